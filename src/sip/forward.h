/* forward.h: mode "forward": a stateless proxy (RFC 3261 section 16.11) that signs and verifies. What later messages of a call
 * need, they bring along: see seal.h. With transactions only where one side is TCP or another next hop may have to be tried. */
#ifndef STIRRUP_FORWARD_H
#define STIRRUP_FORWARD_H

#include "stirrup/egress.h"
#include "stirrup/hops.h"
#include "stirrup/writer.h"
#include "transit.h"
#include "worker_state.h"

/* What a branch is made of. */
void forward_seal_request(struct seal_request *out, const struct sip_head *request, const struct sip_basics *basics);

/* A Request-URI that names us cannot be meant to reach the next hop as it is: writes the one that does; an empty string where
 * the received one stays. */
void forward_request_uri(const struct generation *generation, struct span uri, const char *hop, char *out, size_t size);

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
