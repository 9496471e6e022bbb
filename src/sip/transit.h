/* transit.h: messages that pass through: responses, and requests within a call. Read by their lines, without Sofia's parser. */
#ifndef STIRRUP_TRANSIT_H
#define STIRRUP_TRANSIT_H

#include "stirrup/sip_basics.h"
#include "worker_state.h"

/* A request within a call, in our hands. Its topmost Via has been told where it came from. */
struct transit {
	struct span bytes;
	const struct sip_head *head;
	const struct sip_basics *basics;
	int listener;             /* that it came by */
	const struct peer *peer;  /* whose address it came from; NULL: a far side's */
	struct call_digest digest;
	struct reply_path path;
};

/* True when the message was one of them, and has been dealt with. message: as Sofia has it, for one that came by a connection,
 * and taken when true; else NULL. */
bool transit_take(struct worker *worker, struct span bytes, msg_t *message);

/* Passes it on with state, or says why not. */
struct relay_plan;
void transit_begin(struct worker *worker, struct transit *transit, const struct relay_plan *plan);

/* An answer of our own; nothing for an ACK. */
void transit_answer(struct worker *worker, struct transit *transit, unsigned status, const char *phrase);

/* Counts and logs (limited) what gets no answer. */
void transit_drop(struct worker *worker, const char *what);

#endif
