/* watch.h: what comes back from those who got our calls: who rejects what, and why. */
#ifndef STIRRUP_WATCH_H
#define STIRRUP_WATCH_H

#include "stirrup/sip_edit.h"
#include "worker_state.h"

/* Of the signature in an Identity header field of ours; never 0. */
uint32_t watch_mark(struct span identity);

/* Takes out each Reason, also one of several in a line, that tells of our own token (RFC 9410 section 7): it is ours to know,
 * not the caller's. mark 0: we made none. */
void watch_edit(struct sip_edit *edit, const struct sip_head *response, uint32_t mark);

/* An INVITE that begins a call, where responses to it come back. */
struct watched_call {
	uint64_t record;           /* the id of its record; 0: it has told its final status */
	const struct peer *peer;   /* NULL: one that is not configured any more */
	uint16_t customer;
	const char *note;          /* for the record, should the call be accepted; NULL or empty: none */
};

/* Whether there is anything to watch_response(): the response is final, or has a Reason of the protocol STIR (RFC 9410). */
bool watch_wants(const struct sip_head *response);

/* Tells the record what the far side said: its final status; what it says of an Identity, though it goes on with the call.
 * Counts rejections of what we signed or verified, by next hop, customer and code, and logs some of them. by: the address of
 * who sent the response. Repeats are the caller's to keep away where it knows them; of several notes and finals the recorder
 * takes the first. */
void watch_response(struct worker *worker, const struct watched_call *call, const struct sip_head *response, const char *by);

/* The same of a response that the caller never sees, as the call goes on elsewhere, or has ended: it is no final status. */
void watch_aside(struct worker *worker, const struct watched_call *call, const struct sip_head *response, const char *by);

#endif
