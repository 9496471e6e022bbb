/* replay.h: which tokens were seen lately, and for which call (RFC 8224 section 12.1). One table for all
 * workers: memory that they share, without locks, so that one that is killed or stopped at any point keeps
 * nobody waiting. It is gone with the daemon. Time is a parameter. */
#ifndef STIRRUP_REPLAY_H
#define STIRRUP_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "stirrup/es256.h"
#include "stirrup/span.h"

enum replay_answer {
	REPLAY_FIRST, /* not seen before, or for this same call only */
	REPLAY_SEEN_FOR_OTHER_CALL,
};

/* Makes the memory of a table, of a size that nobody can change any more: room for about capacity tokens;
 * when it is short, the one that is stale first makes room. A descriptor, close-on-exec; -1 with errno. */
int replay_table_create(size_t capacity);

/* The table in this process. The descriptor remains the caller's and is not needed any longer. */
struct replay_table;
struct replay_table *replay_table_open(int memory);  /* NULL with errno: EINVAL when it is no such memory */
void replay_table_close(struct replay_table *table); /* NULL is fine */

/* Remembers a token for the first call that brings it, until it is stale: fresh_until is its iat and how long that is
 * fresh. digest is the SHA-256 of its signing input, which is what counts: ECDSA signatures can be changed by anybody and
 * still verify. call tells calls apart: the Call-ID. Ask only about tokens that passed, so that nobody fills the table with
 * made-up ones. Where several ask about one token at the same time, for calls that differ, one of them is first. */
enum replay_answer replay_check(struct replay_table *table, const unsigned char digest[ES256_DIGEST_BYTES],
	int64_t fresh_until, struct span call, int64_t now);

#endif
