/* forward.h: mode "forward": a stateless proxy (RFC 3261 section 16.11) that signs and verifies. What later messages of a call
 * need, they bring along: see seal.h. With transactions only where one side is TCP or another next hop may have to be tried. */
#ifndef STIRRUP_FORWARD_H
#define STIRRUP_FORWARD_H

#include "stirrup/egress.h"
#include "stirrup/hops.h"
#include "stirrup/writer.h"
#include "transit.h"
#include "worker_state.h"

#define ROUTE_PARAMS_SIZE 768 /* what stands behind "st=" of our Record-Route, and a NUL */

/* The value of a Via of ours. seal NULL: none. */
void forward_put_via(struct writer *writer, const struct generation *generation, const struct egress *egress,
	const char *branch, const char *seal);

/* Whole lines. RFC 5658: two, where the call leaves by another listener than it came by; the one that the callee is to speak
 * to on top. */
void forward_put_record_route(struct writer *writer, const struct generation *generation, const struct egress *egress,
	int arrival, const char *seal);

/* A Request-URI that names us cannot be meant to reach the next hop as it is: writes the one that does; an empty string where
 * the received one stays. */
void forward_request_uri(const struct generation *generation, struct span uri, const struct hop *hop, char *out, size_t size);

/* What is remembered of an INVITE that went on goes on again, the very same. False: it is an answer of ours. */
bool forward_repeat(struct worker *worker, struct span remembered);

/* A CANCEL, or the ACK of a failure: after its INVITE. */
void forward_follow(struct worker *worker, struct transit *transit);

/* Whether the request has a Route of ours with a seal. */
bool forward_has_seal(struct worker *worker, const struct transit *transit);
/* A request within a call. */
void forward_within(struct worker *worker, struct transit *transit);

/* A response whose topmost Via is ours, with a branch of seal_branch(). */
void forward_response(struct worker *worker, const struct sip_head *response, const struct sip_basics *basics);

#endif
