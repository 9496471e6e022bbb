/* dialog_store.h: the established calls of mode "b2bua", in LMDB: what a later request within a call needs to
 * go on. Shared by all workers; an established call costs no process memory, and outlives every restart. */
#ifndef STIRRUP_DIALOG_STORE_H
#define STIRRUP_DIALOG_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/span.h"

/* One side of a call, as we speak with it. */
struct dialog_side {
	struct span call_id;
	struct span tag;     /* its own */
	struct span target;  /* the URI of its Contact (RFC 3261 section 12.2.1.1) */
	struct span routes;  /* the Route header field values towards it, comma-separated, in the order in
			      * which they are sent; empty: none */
	struct span name;    /* its From or To value, where the other side was shown another; empty: the same, or what the
	                      * flags say */
	uint16_t listener;   /* seal_hash() of the text of the listener that we speak from */
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
/* Of the caller's Call-ID and both tags, whichever of them is From's. All zero, which leads nowhere, when out of
 * memory. */
void dialog_key(struct dialog_key *key, struct span call_id, struct span one_tag, struct span other_tag);
/* The same of the callee's Call-ID where that is another one: a call that passes here twice has the callee's Call-ID of the
 * first passage as the caller's of the second. */
void dialog_key_of_callee(struct dialog_key *key, struct span call_id, struct span one_tag, struct span other_tag);

/* The store is a directory with an LMDB file that workers, also those of a second daemon on the same machine,
 * share: each opens it after it was started, once. What is written is found again after any process was
 * killed at any moment, and after all of them were; nothing waits for the disk, so that a machine that
 * crashes may lose some of it. The memory that an open store takes is some 0.6 MiB and what waits to be
 * written (11 MiB at most); the pages of the file that it reads are counted as resident memory too, but are
 * page cache, which the kernel takes back as it likes.
 *
 * What can block: the write of another process, some 10 us, and the disk itself. When another one does not
 * come to an end (it was stopped with SIGSTOP, its disk hangs) dialog_store_flush() gives up after 20 ms, and
 * tries with a patience of 1 ms ten times a second from then on. Finding never waits. A process that is
 * stopped while it reads keeps pages from being used again, so that the file grows, within its size, until
 * that process goes on or is killed. */
struct dialog_store;

/* Opens or makes the store in that directory, and the directory if only that is missing. NULL, and why: then
 * calls pass, and do not outlive their worker. size bounds the file (bytes; at least 1 MiB), of which a
 * sixteenth is kept free for removals.
 *
 * A file that no other process has open is first copied by a child process, record by record, because LMDB
 * believes whatever is in it: 0.1 s for 100,000 calls, and for a while as much disk again. What is damaged is
 * set aside as data.mdb.damaged-N (N up to 4, then the last is replaced), which is logged, and what could be
 * read is kept. Damage that shows later is treated alike, by whoever meets it; the others follow within a
 * second. Nobody but these processes may write to the file or cut it short. */
struct dialog_store *dialog_store_open(const char *directory, size_t size, char *why, size_t why_size);
void dialog_store_close(struct dialog_store *store); /* writes what waits; NULL is fine */

enum dialog_found { DIALOG_FOUND, DIALOG_UNKNOWN, DIALOG_STORE_FAILED };
/* *dialog borrows from the store until its next function is called, and may be changed and given to
 * dialog_store_put() or dialog_store_remove(), and its Call-IDs then to dialog_store_pair(). A damaged record
 * is unknown, and removed; one of a later version of this program is unknown, and stays until it has expired.
 * Whether the call has expired is for the caller to see. */
enum dialog_found dialog_store_find(
	struct dialog_store *store, const struct dialog_key *key, struct dialog *dialog);

/* Remembers it under the keys of both sides, in place of what was there. Visible to dialog_store_find() of
 * this process at once, to others after the next dialog_store_flush(). Costs nothing when it is as it was
 * found. False: the call will not survive, because all its texts together are longer than 64 KiB, there is no
 * room in memory for what waits (logged, limited; then it is not remembered at all), or the last flush failed
 * (then it is remembered, and tried again). */
bool dialog_store_put(struct dialog_store *store, const struct dialog *dialog);
void dialog_store_remove(struct dialog_store *store, const struct dialog *dialog);

/* Writes what was put and removed since, in one transaction (more than 512 changes in several); to be called
 * at the end of a turn; free when there is nothing. False, logged (limited): the store is full or damaged or
 * cannot be written; what waits is tried again by the first call after 100 ms. Removals go first then: they
 * make room in a full store, but not on a full disk, where nothing is written until it has room again. */
bool dialog_store_flush(struct dialog_store *store);
bool dialog_store_is_dirty(const struct dialog_store *store); /* with calls; pairs of Call-IDs can wait */

/* Remembers that the two sides of a call, established or not, know it by different Call-IDs: what names it by
 * one of them alone (In-Reply-To, RFC 3261 section 20.21) mostly does so when it is over. That is found for a
 * day at least, and for two at most as long as others come; of more calls than have room in a sixteenth of
 * the file or in 64 MiB (some 400,000), the earlier ones are forgotten before that. A Call-ID of more than 255
 * bytes is not remembered, nor what waits when the store turns out to be full. Visible to this process at
 * once, to others after the next flush. It takes some 160 bytes of the file. */
void dialog_store_pair(struct dialog_store *store, struct span caller_call_id, struct span callee_call_id);
/* What the other side calls it, borrowed from the store until its next function is called. Where it was the
 * Call-ID of several calls: the last one of which it was the callee's, else the last one of which it was the
 * caller's. */
bool dialog_store_other_call_id(struct dialog_store *store, struct span call_id, struct span *other);

/* Looks at the next count records, goes on where the last call stopped, and removes those that have expired
 * (or are damaged) with the next flush, unless they have been refreshed by then. Returns how many those were.
 */
unsigned dialog_store_sweep(struct dialog_store *store, uint32_t now, unsigned count);

size_t dialog_store_count(struct dialog_store *store); /* calls, as of the last flushes */

#endif
