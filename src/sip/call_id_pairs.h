/* call_id_pairs.h: which two Call-IDs are of one call, where its sides have different ones (call_id = "new"):
 * of the last calls, in memory, until they are in the dialog store. They are for In-Reply-To, which names
 * calls by their Call-ID alone, and mostly such as are over or were never answered (RFC 3261 section 20.21).
 */
#ifndef STIRRUP_SIP_CALL_ID_PAIRS_H
#define STIRRUP_SIP_CALL_ID_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/span.h"

#define CALL_ID_MAX 255 /* bytes; calls with a longer one are not remembered */
#define CALL_ID_PAIRS_MAX 512
#define CALL_ID_KEY_BYTES 8

/* Whose Call-ID it is. A call that passes us twice has one that is the callee's in its first passage and the
 * caller's in its second. A message that replies comes from the callee's side: so that is asked for first. */
enum call_side {
	CALL_SIDE_CALLEE,
	CALL_SIDE_CALLER,
	CALL_SIDES,
};

struct call_id_key {
	uint8_t bytes[CALL_ID_KEY_BYTES];
};
/* False: out of memory. */
bool call_id_key(struct call_id_key *key, enum call_side side, struct span call_id);

/* Whether it can stand in a list of them without being taken for something else, and is not too long. */
bool call_id_is_plain(struct span call_id);

struct call_id_pair {
	struct call_id_key keys[CALL_SIDES];
	uint16_t next[CALL_SIDES]; /* of the same hash: 1 and its index; 0: none */
	uint8_t lengths[CALL_SIDES];
	char texts[CALL_SIDES][CALL_ID_MAX];
};
struct span call_id_of(const struct call_id_pair *pair, enum call_side side); /* borrowed */
enum call_side call_side_other(enum call_side side);

struct call_id_pairs;

struct call_id_pairs *call_id_pairs_new(void);        /* NULL when out of memory */
void call_id_pairs_free(struct call_id_pairs *pairs); /* NULL is fine */

/* A later call takes a Call-ID over from an earlier one. When there are too many, the earliest is forgotten.
 * Nothing is remembered when both are the same or one of them is not plain. */
void call_id_pairs_put(struct call_id_pairs *pairs, struct span caller, struct span callee);

/* The last one with that key; borrowed until something changes. NULL: none. */
const struct call_id_pair *call_id_pairs_find(
	const struct call_id_pairs *pairs, enum call_side side, const struct call_id_key *key);

/* By the callee's side, else by the caller's: what the other side calls it; borrowed as above. */
bool call_id_pairs_other(const struct call_id_pairs *pairs, struct span call_id, struct span *other);

size_t call_id_pairs_count(const struct call_id_pairs *pairs);
const struct call_id_pair *call_id_pairs_at(
	const struct call_id_pairs *pairs, size_t index); /* 0: earliest */
void call_id_pairs_clear(struct call_id_pairs *pairs);

#endif
