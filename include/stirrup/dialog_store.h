/* dialog_store.h: the established calls of mode "b2bua", in LMDB: what a later request within a call needs to go on. Shared by
 * all workers; an established call costs no process memory, and outlives every restart. */
#ifndef STIRRUP_DIALOG_STORE_H
#define STIRRUP_DIALOG_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/span.h"

/* One side of a call, as we speak with it. */
struct dialog_side {
	struct span call_id;
	struct span tag;      /* its own */
	struct span target;   /* the URI of its Contact (RFC 3261 section 12.2.1.1) */
	struct span routes;   /* the Route header field values towards it, comma-separated, in the order in which they are sent;
	                       * empty: none */
	struct span contact;  /* the URI that we showed it as our Contact */
	uint16_t listener;    /* seal_hash() of the text of the listener that we speak from */
};

struct dialog {
	struct dialog_side caller, callee;
	uint16_t peer, customer; /* seal_hash() of their names */
	uint8_t flags;           /* seal.h: what we did to From */
	bool confirmed;          /* a 2xx has passed */
	uint32_t began;          /* since 1970; seconds */
	uint32_t expires;        /* since 1970; seconds: nothing is heard of it after that */
};

/* Two keys lead to a call where its sides have different Call-IDs. */
#define DIALOG_KEY_BYTES 16
struct dialog_key {
	uint8_t bytes[DIALOG_KEY_BYTES];
};
/* Of the Call-ID and both tags, whichever of them is From's. */
void dialog_key(struct dialog_key *key, struct span call_id, struct span one_tag, struct span other_tag);

struct dialog_store;

/* Opens or makes the store in that directory. NULL, and why: then calls pass, and do not outlive their worker. size bounds the
 * file (bytes). Damaged contents are set aside, which is logged, and a new store begun. */
struct dialog_store *dialog_store_open(const char *directory, size_t size, char *why, size_t why_size);
void dialog_store_close(struct dialog_store *store); /* NULL is fine */

enum dialog_found { DIALOG_FOUND, DIALOG_UNKNOWN, DIALOG_STORE_FAILED };
/* *dialog borrows from the store until its next function is called. */
enum dialog_found dialog_store_find(struct dialog_store *store, const struct dialog_key *key, struct dialog *dialog);

/* Remembers it under the keys of both sides, in place of what was there. Visible to dialog_store_find() of this process at
 * once, to others after the next dialog_store_flush(). False, logged (limited), when there is no room in memory for what
 * waits, or the last flush failed: the call will not survive. */
bool dialog_store_put(struct dialog_store *store, const struct dialog *dialog);
void dialog_store_remove(struct dialog_store *store, const struct dialog *dialog);

/* Writes what was put and removed since, in one transaction; to be called at the end of a turn. False, logged (limited): the
 * store is full or damaged or cannot be written; it is tried again with the next one. */
bool dialog_store_flush(struct dialog_store *store);
bool dialog_store_is_dirty(const struct dialog_store *store);

/* Looks at the next count records, goes on where the last call stopped, and removes those that have expired. Returns how many
 * those were. */
unsigned dialog_store_sweep(struct dialog_store *store, uint32_t now, unsigned count);

size_t dialog_store_count(struct dialog_store *store); /* calls */

#endif
