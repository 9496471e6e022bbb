/* relay.h: requests in progress that are passed on with state: a server transaction towards whoever sent the request, a client
 * transaction towards the next hop (RFC 3261 sections 16 and 17, RFC 6026), and the way between them. A few kilobytes for
 * each, and less once the final response has passed. */
#ifndef STIRRUP_RELAY_H
#define STIRRUP_RELAY_H

#include "stirrup/dialog_store.h"
#include "stirrup/egress.h"
#include "stirrup/hops.h"
#include "stirrup/seal.h"
#include "stirrup/sip_basics.h"
#include "stirrup/sip_edit.h"
#include "stirrup/steering.h"
#include "worker_state.h"

/* How the message is made that a hop gets, and what a response is made into. */
enum relay_kind {
	RELAY_FORWARD,      /* a proxy: the Vias of the caller stay below ours */
	RELAY_B2BUA,        /* an INVITE that begins a call */
	RELAY_B2BUA_WITHIN, /* a request within one */
	RELAY_FAREWELL,     /* a BYE of our own, whose end nobody is to be told of */
};

struct relay;

struct relays;
struct relays *relays_new(unsigned capacity); /* NULL when out of memory */
void relays_free(struct relays *relays);      /* the relays in it, too; NULL is fine */
size_t relays_count(const struct relays *relays);

/* What a request is passed on as. Everything is borrowed, and copied. */
struct relay_plan {
	enum relay_kind kind;
	struct generation *generation;
	const struct peer *peer;              /* of that generation */
	struct call_digest digest;
	struct reply_path path;               /* taken: a connection's reference goes over */
	int listener;                         /* that the request came by */
	const struct sip_head *received;      /* what answers are made of */
	const struct sip_basics *basics;
	struct span request_uri;              /* to send; empty: each hop's own */
	const struct sip_edit *edit;          /* the lines and the body to send, without our Via and what goes with it */
	const struct seal_request *sealed;    /* by which it is known again when it comes back; NULL: it is not */
	const char *record_route;             /* seal of our Record-Route; NULL: none is added */
	struct span contact;                  /* B2BUA: the Contact received, shown as ours; empty: none */
	bool shows_contact;
	const struct hop *hops;
	size_t hop_count;
	const struct egress *egress;          /* NULL: by each hop's transport and family */
	uint64_t record;                      /* of call_record_final(); 0: none */
	const struct stamps *stamps;          /* NULL: none; its reasons go to the caller */
	uint8_t flags;                        /* seal.h: what was done to From */
	uint16_t customer;
	uint32_t mark;                        /* watch_mark() of our Identity; 0: none */
	/* B2BUA: */
	struct span far_call_id;              /* where the far leg has another; empty: the same */
	struct dialog_key dialog;             /* of a request within a call */
	bool from_caller;
};

enum relay_begun {
	RELAY_BEGUN,
	RELAY_NO_ROOM,   /* for one more, or no memory; nothing was taken */
	RELAY_TOO_LARGE, /* it fits into no message; nothing was taken */
};
/* Sends the request to its first hop. */
enum relay_begun relay_begin(struct worker *worker, const struct relay_plan *plan);
/* The same of an INVITE that begins a call, with a record of its own. False: it was refused, and all that *call owns is gone; else
 * its way back is. */
bool relay_begin_call(struct worker *worker, struct call *call, const struct call_outcome *outcome, struct relay_plan *plan);

/* Whether a branch is one of relay_begin()'s, of this worker's or any other's. */
bool relay_owns(struct span branch);
void relay_response(struct worker *worker, const struct sip_head *response, const struct sip_basics *basics);

/* A request that is in progress already: its last answer is repeated, if there is one. False: it is not. */
bool relay_repeat(struct worker *worker, const struct call_digest *digest);
/* The ACK of a failure; false: of none here. */
bool relay_acknowledge(struct worker *worker, const struct call_digest *digest);
/* False: no such INVITE. The CANCEL itself is the caller's to answer; why it came goes on with ours (RFC 3326). */
bool relay_cancel(struct worker *worker, const struct call_digest *digest, const struct sip_head *cancel);

/* An INVITE that begins a call and is here already under another transaction: it came back to us, or came by two ways (RFC 3261
 * section 8.2.2.2). */
bool relay_is_merged(struct worker *worker, const struct sip_basics *basics, const struct call_digest *digest);

/* For egress_on_failure(). */
void relay_connection_failed(nta_agent_t *agent, void *relay, int error);

/* Whoever waits for an answer gets 503, whoever is being called a CANCEL: nobody will pass on what they say. */
void relays_stop(struct worker *worker);

/* Sees to a bounded number of those that are due, so that messages do not wait for all of them. To be called about ten times a
 * second, and soon again where it says that there may be more. */
bool relays_tick(struct worker *worker);

#endif
