/* transit.h: messages that pass through: responses, and requests within a call. */
#ifndef STIRRUP_TRANSIT_H
#define STIRRUP_TRANSIT_H

#include "stirrup/sip_basics.h"
#include "worker_state.h"

/* A request in our hands. Its topmost Via has been told where it came from. */
struct transit {
	struct span bytes;        /* as received */
	const struct sip_head *head;
	struct sip_head *kept;    /* the same, of an INVITE: an own copy; else NULL */
	const struct sip_basics *basics;
	int listener;             /* that it came by */
	const struct peer *peer;  /* whose address it came from; NULL: a far side's */
	struct call_digest digest;
	struct reply_path path;
};

/* False: no request within a call, and no CANCEL of an INVITE that went on. Else it has been dealt with. */
bool transit_request(struct worker *worker, struct transit *transit);

/* A CANCEL that another worker has answered. */
void transit_told(struct worker *worker, const struct transit *transit);

void transit_response(struct worker *worker, const struct sip_head *head, struct span bytes);

/* Passes it on with state, or says why not. */
struct relay_plan;
void transit_begin(struct worker *worker, struct transit *transit, const struct relay_plan *plan);

/* An answer of our own; nothing for an ACK. */
void transit_answer(struct worker *worker, const struct transit *transit, unsigned status, const char *phrase);

/* Counts and logs (limited) what gets no answer. */
void transit_drop(struct worker *worker, const char *what);

#endif
