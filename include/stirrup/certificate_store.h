/* certificate_store.h: fetched chains on disk (LMDB), so that a restart does not begin with 16,000 fetches.
 */
#ifndef STIRRUP_CERTIFICATE_STORE_H
#define STIRRUP_CERTIFICATE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/span.h"

/* Keyed by the exact URL (RFC 8226 section 7). Holds what was delivered, not what was thought of it: an entry
 * is judged again before its first use after a start, and again when roots or CRLs change. Bounded by entries
 * and bytes; the entry used least recently goes first. */
struct certificate_store;

struct stored_chain {
	struct span pem;    /* as delivered; borrowed until the next call */
	int64_t fetched;    /* wall clock, seconds */
	int64_t keep_until; /* by HTTP's directives, the floor and the certificate */
	int64_t refresh_after;
};

#define STORED_CHAIN_MAX 65536
#define STORE_NOTE_MAX 64

/* Makes the directory if only that is missing. NULL with the reason in why when it cannot be used, also
 * because another process uses it. What is found is copied before use, by a child process that is forked for
 * that and needs as much disk again: damaged entries are dropped, a damaged file is set aside beside what
 * could be read of it, and the log says so. */
struct certificate_store *certificate_store_open(
	const char *directory, size_t entries_max, size_t bytes_max, char *why, size_t why_size);
void certificate_store_close(struct certificate_store *store); /* NULL is fine */

/* False: not there, or damaged, and then there no more. */
bool certificate_store_get(struct certificate_store *store, const char *x5u, struct stored_chain *chain);
/* False when it is longer than STORED_CHAIN_MAX or the disk does not take it; the old entry is still there
 * then. Written without waiting for the disk: what a crash of the machine loses is fetched again. */
bool certificate_store_put(
	struct certificate_store *store, const char *x5u, const struct stored_chain *chain);
bool certificate_store_remove(struct certificate_store *store, const char *x5u);
size_t certificate_store_count(const struct certificate_store *store);

/* A few octets of the owner's beside the chains; never evicted. The length of what there is (0: nothing). */
bool certificate_store_set_note(struct certificate_store *store, const void *note, size_t length);
size_t certificate_store_note(struct certificate_store *store, unsigned char note[STORE_NOTE_MAX]);

#endif
