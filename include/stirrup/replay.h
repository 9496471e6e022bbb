/* replay.h: which tokens were seen lately, and for which call (RFC 8224 section 12.1). Bounded; time is a
 * parameter. */
#ifndef STIRRUP_REPLAY_H
#define STIRRUP_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "stirrup/passport.h"
#include "stirrup/span.h"

enum replay_answer {
	REPLAY_FIRST, /* not seen before, or for this same call only */
	REPLAY_SEEN_FOR_OTHER_CALL,
};

struct replay_table;

/* Room for about capacity tokens: when it is short, the one that is stale first makes room. window_s is the
 * freshness of iat: a token is remembered until it would be stale. NULL when out of memory. */
struct replay_table *replay_table_new(size_t capacity, int64_t window_s);
void replay_table_free(struct replay_table *table); /* NULL is fine */

/* Remembers a token for the first call that brings it. call tells calls apart: the Call-ID. What counts is
 * the signing input: ECDSA signatures can be changed by anybody and still verify. Ask only about tokens that
 * passed, so that nobody fills the table with made-up ones. */
enum replay_answer replay_check(
	struct replay_table *table, const struct passport *passport, struct span call, int64_t now);

#endif
