/* record.h: what is kept of each call: one JSON object on one line (the fields are in stirrupd(8)). */
#ifndef STIRRUP_RECORD_H
#define STIRRUP_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "stirrup/span.h"

#define RECORD_MAX 8192
#define RECORD_STRING_MAX 512 /* octets of any one string that are kept: a caller's Call-ID must not cost a record */
#define RECORD_REJECTION_MAX 256
#define RECORD_NOTE_MAX 256
#define RECORD_BY_MAX 64

/* One Identity header field that was judged. */
struct record_identity {
	const char *ppt;
	const char *x5u;
	const char *spc;
	char attest;              /* 0: none */
	const char *origid;
	const char *result;       /* passed failed no_validation */
	const char *reason;       /* NULL: passed */
};

/* What became of the INVITE. */
struct record_final {
	unsigned status;          /* what the caller got; 0: nothing (yet) */
	struct span by;           /* address:port of the next hop whose answer it is; empty: ours */
	struct span why;          /* of a refusal (300 or more), which is told with by: its phrase and Reason; else a note */
	struct span note;         /* what was to be noted before it; stands before that other note */
};

/* Everything is borrowed. An empty or NULL string, an empty span are written as null. */
struct record {
	int64_t time_us;          /* arrival, since 1970 */
	const char *node;
	struct span call_id;
	const char *peer;
	const char *source;       /* address:port, [address]:port */
	const char *service;
	const char *mode;
	const char *customer;
	const char *orig;
	const char *dest;         /* written as an array of one, or an empty array */
	char attest;              /* 0: none */
	const char *origid;
	int64_t iat;              /* 0: none */
	const char *credential;
	const char *x5u;
	const char *spc;
	const char *result;       /* signed unsigned rejected passed failed no_validation */
	const char *reason;
	const char *cause;
	const char *rule;
	unsigned status;          /* what we decided to answer; 0: nothing */
	const char *next_hop;
	struct record_final final;
	const char *const *removed; /* names of what a peer is not believed: verstat, Attestation-Info ... */
	size_t removed_count;
	const struct record_identity *identities;
	size_t identity_count;
	const char *cache;        /* where the certificates came from: "hit", "miss" */
	int64_t microseconds;     /* from arrival to the answer */
};

/* Writes the line with its newline and no NUL. Every string is made valid JSON whatever bytes it has (what is not
 * UTF-8 becomes U+FFFD). Returns the length, 0 when it does not fit. */
size_t record_write(char *out, size_t size, const struct record *record);

/* A line whose end of the call is not known yet: what stands in *hole is RECORD_NO_FINAL, for which the text of
 * record_write_final() is put in later. */
#define RECORD_NO_FINAL "\"final_status\":null,\"rejected_by\":null,\"rejection\":null,\"note\":null"
size_t record_write_open(char *out, size_t size, const struct record *record, struct span *hole);

#define RECORD_FINAL_MAX 4096 /* whatever by, why and note hold */
size_t record_write_final(char *out, size_t size, const struct record_final *final);
/* The member "next_hop" and its comma, which stand before that. */
size_t record_write_hop(char *out, size_t size, struct span by);

#endif
