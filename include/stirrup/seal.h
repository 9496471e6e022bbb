/* seal.h: what we write into messages to find again in those that follow, so that nothing need be kept of a forwarded call:
 * the branch of our Via, a parameter beside it, a parameter of our Record-Route, Call-IDs of our own. All are keyed with the
 * installation's secret, the same on all its nodes: what does not verify is not ours, and what verifies cannot be carried
 * over to another call. */
#ifndef STIRRUP_SEAL_H
#define STIRRUP_SEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "stirrup/child.h"
#include "stirrup/span.h"
#include "stirrup/via.h"

#define SEAL_BRANCH_SIZE 48    /* characters and NUL, of each */
#define SEAL_VIA_SIZE 48
#define SEAL_ROUTE_SIZE 48
#define SEAL_CALL_ID_SIZE 48
#define SEAL_VERDICTS_MAX 4

struct sealer;
/* previous: the secret before this one, still accepted where something is read, never used to write but in
 * seal_previous_branch(); NULL: none. NULL when out
 * of memory. Nothing is written, an empty string, where OpenSSL fails. */
struct sealer *sealer_new(const uint8_t secret[CHILD_SECRET_BYTES], const uint8_t *previous);
void sealer_free(struct sealer *sealer); /* NULL is fine */

/* --- The branch of a request that is forwarded without state (RFC 3261 section 16.11) --- */

/* Everything as received. The same for an INVITE, its CANCEL and the ACK of its non-2xx answer; another for each other
 * transaction. What the transport adds to the Via (received, rport) does not count. */
struct seal_request {
	struct via via;           /* the topmost one */
	struct span request_uri;
	struct span call_id;
	struct span from_tag;
	uint32_t cseq;
	struct span next_route;   /* within a call: the URI of the first Route that is not ours */
	uint32_t routes;          /* and how many there are of these */
};
/* "z9hG4bKf" and two hashes: of the received branch (of all the above, where it is older than RFC 3261), and of what must
 * differ before a request may pass us again (RFC 5393 section 4.2). */
void seal_branch(const struct sealer *sealer, const struct seal_request *request, char branch[SEAL_BRANCH_SIZE]);
/* The one that an INVITE got while the previous secret was in use. False: there is no previous one. */
bool seal_previous_branch(const struct sealer *sealer, const struct seal_request *request, char branch[SEAL_BRANCH_SIZE]);

/* The second of them, for the parameter "s" of a Via of ours that has another branch: that of a request with a transaction. */
#define SEAL_LOOP_SIZE 17
void seal_loop(const struct sealer *sealer, const struct seal_request *request, char mark[SEAL_LOOP_SIZE]);

/* Whether a Via that the request brings along is of ours and of this very request: it has gone in a circle. */
bool seal_is_loop(const struct sealer *sealer, const struct seal_request *request, const struct via *via);

/* --- The parameter "s" beside that branch: it comes back with every response --- */

#define SEAL_FROM_STAMPED 1   /* the From that we sent has a verstat of ours */
#define SEAL_FROM_BRACKETED 2 /* and <> of ours around its URI */
#define SEAL_SEVERAL 4        /* the request had several Identity header fields */
#define SEAL_INITIAL 8        /* an INVITE that begins a call: its final response ends the record */
#define SEAL_GUESSED 16       /* sent on the chance that its INVITE went there, and so: a failure says that it did not */

struct seal_via {
	uint16_t listener;        /* hash of the listener that the request came by: seal_hash() of its text */
	uint16_t peer, customer;  /* hashes of their names */
	uint8_t flags;
	uint8_t verdicts[SEAL_VERDICTS_MAX]; /* enum verdict of the failing identities, for the Reason; 0: none */
};
/* What the response must bring besides: it goes to no other Via than this one, and answers nothing else. */
struct seal_via_bound {
	struct span branch;       /* ours */
	struct via next;          /* the Via below ours, with what we added: received, rport */
	struct span call_id;
	uint32_t cseq;
};
void seal_via_write(const struct sealer *sealer, const struct seal_via *fields, const struct seal_via_bound *bound,
	char seal[SEAL_VIA_SIZE]);
bool seal_via_read(const struct sealer *sealer, struct span seal, const struct seal_via_bound *bound,
	struct seal_via *fields);

/* --- The parameter "st" of our Record-Route --- */

struct seal_route {
	uint32_t time;            /* of the INVITE, since 1970; seconds */
	uint16_t peer, customer;
	uint8_t flags;
};
void seal_route_write(const struct sealer *sealer, const struct seal_route *fields, struct span call_id, struct span from_tag,
	char seal[SEAL_ROUTE_SIZE]);
/* from_tag: of the INVITE, so the To tag of what the callee sends. */
bool seal_route_read(const struct sealer *sealer, struct span seal, struct span call_id, struct span from_tag,
	struct seal_route *fields);

/* --- The Call-ID of a far leg (call_id = "new") --- */

/* The same for the same call, so that its repeats and CANCEL get it again; salt is what the caller of this function counts
 * until the result hashes to the worker that it wants. */
void seal_call_id(const struct sealer *sealer, struct span call_id, struct span from_tag, struct span peer, unsigned salt,
	char out[SEAL_CALL_ID_SIZE]);
/* Whether it is one of ours for that peer: then the call has gone in a circle. */
bool seal_call_id_is_ours(const struct sealer *sealer, struct span call_id, struct span peer);

/* FNV-1a, folded. */
uint16_t seal_hash(struct span text);

#endif
