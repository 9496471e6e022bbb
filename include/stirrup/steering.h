/* steering.h: which worker a datagram is for, read from its lines before anything parses it. Pure: any worker of any build
 * finds the same. */
#ifndef STIRRUP_STEERING_H
#define STIRRUP_STEERING_H

#include <stdbool.h>

#include "stirrup/span.h"

#define RELAY_BRANCH "z9hG4bKs"   /* begins the branches of what is sent with state; two hex digits of the worker follow */
#define FORWARD_BRANCH "z9hG4bKf" /* and of what is forwarded without: seal.h */

struct steering {
	unsigned lines;  /* of the head */
	bool anyone;     /* needs nothing that one worker alone has: whoever reads it serves it */
	unsigned owner;  /* else */
};

/* A response belongs to whoever sent its request with state; a request, and what is not said otherwise, to the owner of its
 * Call-ID, who has what is remembered of the INVITE. A forwarded call needs nothing of the kind: its messages bring along all
 * that there is to know. Only INVITE, CANCEL and ACK have to meet. workers: at least 1. */
void steering_read(struct steering *out, struct span datagram, unsigned workers);

/* Which worker has the calls of that Call-ID. */
unsigned steering_by_call_id(struct span call_id, unsigned workers);

/* Which worker a response to RELAY_BRANCH is for. False: it is none. */
bool steering_by_branch(struct span response, unsigned workers, unsigned *owner);

#endif
