/* outgoing.h: what an INVITE that goes on carries, whoever sends it on. */
#ifndef STIRRUP_OUTGOING_H
#define STIRRUP_OUTGOING_H

#include "stirrup/sip_basics.h"
#include "stirrup/sip_edit.h"
#include "worker_state.h"

#define MESSAGE_BYTES_MAX 65536
#define DATAGRAM_BYTES_MAX 65507 /* what IPv4 and UDP leave of 65,535 octets */

/* The result of signing or verification: our Identity (and a Date where there was none, RFC 8224 section 6.1 step 3), what is
 * stamped, what is claimed and does not go on. */
void outgoing_result(struct sip_edit *edit, const struct call_outcome *outcome);

/* The same of a request within a call: what a peer that is not trusted claims there does not go on either. and_from: also in From,
 * where the answers get the received one back. */
void outgoing_drop_claims(struct sip_edit *edit, const struct peer *peer, bool and_from);

/* One less (RFC 3261 section 16.6 step 3). */
void outgoing_max_forwards(struct sip_edit *edit, const struct sip_basics *basics);

/* The hops for a call in the order in which they are to be tried. */
size_t outgoing_hops(struct worker *worker, const struct generation *generation, const struct peer *peer,
	const struct next_hop *other, struct span call_id, struct hop hops[HOPS_CHOSEN_MAX]);

/* Takes what verification wrote into From out of it again: the value as the caller sent it. False: it is as it came. */
bool outgoing_unstamp(char *out, size_t size, struct span from, uint8_t flags);

/* Whether the address may speak to that listener: a peer, a next hop (a resolved one, too), a far side. */
bool outgoing_is_known(struct worker *worker, const struct config *config, const struct sockaddr *address, int listener);

/* Where a request leads that has no Route any more but this URI (without <>). */
struct outgoing_target {
	struct sockaddr_storage address;
	enum transport transport;
};
/* False for what leads nowhere that a call of the peer may be sent to: no literal address, ourselves, or neither one of the
 * peer's nor of its next hops nor in its far_side. The reason is logged (limited). */
bool outgoing_target(struct worker *worker, const struct generation *generation, const struct peer *peer, struct span uri,
	struct outgoing_target *target);

/* Whether the message at hand comes from where that side of the peer's calls is: the caller's is the peer itself, the callee's
 * the next hops and far_side. */
bool outgoing_may_speak(struct worker *worker, const struct peer *peer, bool from_caller);

#endif
