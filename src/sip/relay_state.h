/* relay_state.h: a request in progress, as relay.c and the modes see it. */
#ifndef STIRRUP_RELAY_STATE_H
#define STIRRUP_RELAY_STATE_H

#include <netinet/in.h>

#include "relay.h"

enum relay_state {
	RELAY_CALLING,    /* sent, nothing heard (for a request other than INVITE: "trying") */
	RELAY_PROCEEDING, /* a provisional response came */
	RELAY_ACCEPTED,   /* an INVITE's 2xx has passed; further ones pass, too (RFC 6026) */
	RELAY_FAILED,     /* an INVITE's other final response has passed; its ACK is awaited, repeats of it are acknowledged */
	RELAY_OVER,       /* another request's final response has passed, and is repeated on demand */
};

#define T1_US INT64_C(500000)  /* RFC 3261 section 17.1.1.1 */
#define T2_US INT64_C(4000000)
#define TRANSACTION_US (64 * T1_US)        /* timers B, D, F, H, J, L, M */
/* Timer J is as long as all others, but who has not heard our answer repeats every 4 s at the latest (timer E): each repeat
 * begins it anew. */
#define LINGER_US (2 * T2_US)
#define FAILOVER_US INT64_C(4000000)       /* how long a hop may be silent when there is another one */

#define RELAY_CONFIRMED 4
#define RELAY_ATTEMPTS (2 * HOPS_CHOSEN_MAX) /* each hop may be tried over TCP and UDP */
#define RELAY_BY_TCP 0x80
#define RELAY_BRANCH_SIZE 32

/* A next hop, in as few octets as it takes. */
struct kept_hop {
	enum transport transport;
	bool transport_given, takes_no_tcp;
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	} address;
};

struct relay {
	struct relay *chain, *by_merge;   /* the next of the same hash */
	struct relay *next, **link;                 /* with others that are due at about the same time */
	uint64_t id;                      /* of relays_enter() */
	uint64_t merge;                   /* hash of Call-ID, From tag and CSeq; 0: none */
	struct call_digest digest;
	struct generation *generation;    /* a reference */
	const struct peer *peer;
	enum relay_kind kind;
	enum relay_state state;
	bool is_invite;
	bool acknowledged;                /* RELAY_FAILED: the ACK has come */
	bool cancel_wanted, cancel_sent, cancel_answered;
	bool rang_out;                    /* it was we who wanted the CANCEL: timer C */
	bool ended_here;                  /* RELAY_FAILED: by an answer of our own, so that no hop's was acknowledged */
	bool reasons_sent;
	bool by_size;                     /* goes by TCP because it is long */
	bool sent_again;                  /* by a second connection */
	bool waits_longer;                /* and the connection is there, so that timer B counts */
	bool from_caller;
	bool shows_contact;
	bool survives;                    /* mode "b2bua": the call is in the dialog store */
	uint8_t dialogs;                  /* that its responses have made */
	uint8_t confirmed_count;
	struct dialog_key confirmed[RELAY_CONFIRMED]; /* those of them whose 2xx has passed */
	bool keeps_from;                  /* what was done to From cannot be undone by the flags */
	bool changes_from;                /* the next hop got another From than we did */
	uint8_t flags;
	uint16_t customer;
	uint32_t mark;                    /* of our own token: watch.h */
	char loop[SEAL_LOOP_SIZE];        /* seal_loop(); empty: none */
	int listener;                     /* that the request came by */
	bool begins_call;                 /* so that its record tells what becomes of it */
	uint64_t record;                  /* 0: it has none, or has told its final status */
	uint8_t watched[(100 + 7) / 8];   /* a bit for each provisional status that the record was told of */
	uint16_t watched_attempts;        /* a bit for each attempt whose final response the caller never saw */
	struct dialog_key dialog;

	/* Towards whoever sent it. */
	struct reply_path path;
	char tag[CALL_TAG_SIZE];          /* of answers of our own */
	/* Texts, in one block. */
	char *block;
	size_t block_length;
	size_t bytes;                     /* of all that it holds, when last weighed */
	struct span method, request_uri, received_uri, contact, record_route, far_call_id;
	struct span vias, from, to, call_id, cseq, record_routes; /* whole lines of the request */
	struct span reasons;              /* whole lines */
	char *answer;                     /* the last response, as sent; NULL: none, or not to be repeated */
	size_t answer_length;

	/* Towards the next hop. */
	struct kept_hop *hops;
	uint8_t hop_count, hop;           /* the one that is tried */
	uint8_t attempt;                  /* counts what was sent under a branch of its own */
	uint8_t taken;                    /* RELAY_ACCEPTED: the attempt that had the first 2xx */
	uint8_t tried[RELAY_ATTEMPTS];    /* the hop of each attempt, and RELAY_BY_TCP */
	bool egress_given;
	struct egress egress;
	struct egress_wait wait;
	char *rest;                       /* what is sent, behind the lines that are our own; NULL: not needed any more */
	size_t rest_length;
	bool is_short;                    /* only the lines that a CANCEL or an ACK repeats: no hop gets the INVITE any more */
	char *cancel_reasons;             /* whole lines of the CANCEL that came; NULL: none */
	char *acknowledgement;            /* RELAY_FAILED: the ACK that the next hop gets */
	size_t acknowledgement_length;

	int64_t due_us;                   /* monotonic */
	int64_t deadline_us;              /* of the state */
	int64_t interval_us;              /* of repeats */
};

/* --- relay_table.c: those in progress, and when each is due --- */
bool relays_full(const struct relays *relays);
struct relay *relays_find(struct relays *relays, const struct call_digest *digest);
/* By a branch: "z9hG4bKs", the worker, the id, the attempt. */
struct relay *relays_find_branch(struct relays *relays, struct span branch, unsigned *attempt);
uint64_t relay_merge_hash(const struct sip_basics *basics);
void relays_enter(struct relays *relays, struct relay *relay);
void relays_leave(struct relays *relays, struct relay *relay);
void relays_each(struct relays *relays, void (*visit)(struct relay *relay, void *context), void *context);
/* To be called when it holds more or less than before: all of them together are bounded, too. */
void relay_weigh(struct relays *relays, struct relay *relay);
/* To within a tenth of a second. */
void relay_arm(struct relays *relays, struct relay *relay, int64_t due_us);
void relay_disarm(struct relay *relay);
/* The next one that is due, not armed any more; NULL: none. */
struct relay *relays_take_due(struct relays *relays, int64_t now_us);
/* To be called when several have been freed. */
void relays_sort_freed(void);

/* --- relay_new.c: what is kept of a request --- */
/* rest: what is to be sent behind our own lines. NULL when out of memory. */
struct relay *relay_new(const struct relay_plan *plan, struct span rest);
void relay_free(struct relay *relay);
void relay_forget_request(struct relay *relay);
/* Those that are longer than anybody needs are left out. */
void relay_keep_cancel_reasons(struct relay *relay, const struct sip_head *cancel);
void relay_keep_answer(struct relay *relay, struct span answer);
char *relay_copy(const char *bytes, size_t length); /* NULL when out of memory */
struct sockaddr_storage relay_hop_address(const struct relay *relay, unsigned hop);
void relay_hop_text(const struct relay *relay, unsigned hop, char text[NET_TEXT_SIZE]); /* "198.51.100.7:5060" */

/* --- relay_answer.c: towards whoever sent the request --- */
void relay_answer(struct relay *relay, unsigned status, const char *phrase);
/* The same, and the request is over. */
void relay_finish(struct worker *worker, struct relay *relay, unsigned status, const char *phrase);
/* What the next hop has answered, for whoever asked; borrowed until the next one is made. False: it fits into no message of its
 * transport. */
bool relay_make_response(struct worker *worker, struct relay *relay, const struct sip_head *response,
	const struct sip_basics *basics, struct span *message);
/* Keeps it where it may have to be repeated. */
void relay_pass_response(struct worker *worker, struct relay *relay, unsigned status, struct span message);
/* Whether lost responses have to be repeated, and repeated requests answered again. */
bool relay_is_unreliable(const struct relay *relay);
/* Its final response has passed: what is left of it waits for repeats. */
void relay_settle(struct worker *worker, struct relay *relay, enum relay_state state);
void relay_end(struct worker *worker, struct relay *relay);
/* RFC 4320 section 4.2: nobody waits for a 408 any more. */
void relay_end_unanswered(struct worker *worker, struct relay *relay);

/* --- relay_hop.c: towards the next hop --- */
/* To the hop that is tried now. waits: a connection that fails is told. */
bool relay_send(struct worker *worker, struct relay *relay, struct span message, bool waits);
/* The request, to the hop that is tried now. True: it is on its way, or is settled without. */
bool relay_send_to_hop(struct worker *worker, struct relay *relay);
void relay_send_cancel(struct worker *worker, struct relay *relay);
/* A CANCEL or an ACK to the hop of any attempt. */
void relay_send_to_attempt(struct worker *worker, const struct relay *relay, unsigned attempt, const char *method,
	struct span to);
uint8_t relay_hop_of_attempt(const struct relay *relay, unsigned attempt);
/* Turns to the hop of any attempt. */
bool relay_turn_to(struct relay *relay, unsigned attempt);
/* How a hop fails. */
enum hop_failure {
	HOP_SILENT,      /* until its time was over */
	HOP_UNAVAILABLE, /* 503 */
	HOP_REFUSES,     /* there is no connection, or no way */
};
/* Whether it goes by TCP for its length alone. */
bool relay_is_by_size(const struct relay *relay);
void relay_blame(struct worker *worker, const struct relay *relay, enum hop_failure failure);
/* The next hop that can be sent to at all; none: the request fails. */
void relay_fail_over(struct worker *worker, struct relay *relay, enum hop_failure failure);

/* --- relay_request.c: what the next hop gets. Both return the length; 0: it fits into no message. --- */
size_t relay_request(char *out, size_t size, const struct worker *worker, const struct relay *relay);
/* The ACK of a failure (RFC 3261 section 17.1.1.3) and the CANCEL (9.1): the lines of the INVITE that they repeat. to: the
 * response's; empty: the INVITE's. */
size_t relay_follower(char *out, size_t size, const struct worker *worker, const struct relay *relay, const char *method,
	struct span to);
/* The INVITE will not be sent again, to no hop: keeps of it what relay_follower() needs. */
void relay_shorten(struct relay *relay);

/* --- What the modes make of it --- */

/* b2bua.c: our Contact on the request, for the side that gets it. */
void b2bua_put_contact(struct writer *writer, const struct relay *relay);
/* A request within a call that nobody has answered, and nobody will. */
void b2bua_unanswered(struct worker *worker, const struct relay *relay);
/* farewell.c: a 2xx to a call that its caller has heard the end of: it is acknowledged and ended (RFC 3261 section 15.1.1). */
void b2bua_hang_up(struct worker *worker, const struct relay *relay, const struct sip_head *response,
	const struct sip_basics *basics);
/* The response for the other side; the dialog that it makes, changes or ends. */
void b2bua_edit_response(struct worker *worker, struct relay *relay, struct sip_edit *edit,
	const struct sip_head *response, const struct sip_basics *basics);

#endif
