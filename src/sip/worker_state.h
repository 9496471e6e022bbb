/* worker_state.h: what the files of a worker process share. */
#ifndef STIRRUP_WORKER_STATE_H
#define STIRRUP_WORKER_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <sofia-sip/nta.h>
#include <sofia-sip/su_wait.h>

#include "stirrup/answer.h"
#include "stirrup/answer_memo.h"
#include "stirrup/call.h"
#include "stirrup/child_control.h"
#include "stirrup/facts_table.h"
#include "stirrup/fetcher.h"
#include "stirrup/hops.h"
#include "stirrup/record_queue.h"
#include "stirrup/replay.h"
#include "stirrup/seal.h"
#include "stirrup/signer.h"
#include "stamp.h"

#define FLIGHTS_MAX 4096

/* A question to the fetcher that is open. */
struct flight {
	uint64_t id;                     /* 0: none */
	uint64_t hash;                   /* of x5u */
	uint64_t peer;                   /* digest of the name of the one whose call asks first */
	int64_t deadline_us;             /* monotonic; later it counts as unanswered */
	bool renew;
	bool asked;                      /* the fetcher has the question */
	char x5u[PASSPORT_X5U_MAX + 1];
};

struct worker {
	struct child_control control;
	int signer, fetcher, recorder, handed_over; /* channels; -1: none */
	uint32_t index, count;
	uint8_t secret[CHILD_SECRET_BYTES], previous_secret[CHILD_SECRET_BYTES];
	bool has_previous_secret;
	su_root_t *root;
	nta_agent_t *agent;
	struct generation *generation;   /* the current one */
	struct call_digester *digester;
	struct answer_memo *memo;
	struct waiting_calls *waiting;
	int ticker;                      /* a timerfd; -1: none */
	bool ticks;
	bool signer_up;
	int64_t signer_silent_us;        /* monotonic: when it last let a deadline pass; 0: it answers */
	bool fetcher_up;
	struct facts_table *trusted;     /* what is known of certificates: a flood of bad ones must not */
	struct facts_table *distrusted;  /* drive out the good */
	struct flight *flights;          /* FLIGHTS_MAX; the first flight_count are in use */
	size_t flight_count;
	uint64_t next_flight;
	struct replay_table *replay;
	int judging;                     /* an eventfd: there are calls whose facts have come; -1: none */
	struct sealer *sealer;
	struct hops *hops;
	struct relays *relays;           /* requests in progress that are passed on with state */
	struct dialogs *dialogs;         /* established calls of mode "b2bua"; NULL: no peer has that mode */
	int housekeeper;                 /* a timerfd: ten times a second, where calls are sent on; -1: none */
	bool stopping, failed;
	struct answer answer;            /* the one being made */
	struct record_queue record_backlog; /* for the recorder: of this turn, or while it does not keep up */
};

/* --- worker.c --- */
/* To be called by whoever has read from the network: sends and writes what one turn of the loop has gathered. */
void worker_end_turn(struct worker *worker);

/* --- service.c: what to do with a request, by its method --- */
void service_on_datagram(struct span datagram, void *worker);
int service_on_message(nta_agent_magic_t *worker, nta_agent_t *agent, msg_t *message, sip_t *sip);

/* --- conclude.c: what becomes of a call --- */
struct call_outcome {
	const char *result;
	enum verdict verdict;
	const char *rule;        /* NULL: the decision's own */
	unsigned status;         /* 3xx: the call goes on: the answer has Contact and Date, or the INVITE is sent on */
	const char *phrase;      /* NULL: the status's own */
	const char *next_hop;    /* NULL: the peer's */
	const struct next_hop *hop; /* the same, for what is sent on */
	struct span identity;    /* ours; empty: none */
	int64_t iat;             /* of our signature; 0: none */
	const struct stamps *stamps; /* NULL: none */
	const struct verify_identity *deciding; /* service "verify"; NULL: none */
	const char *const *removed;
	size_t removed_count;
};
/* Answers or sends on, by the mode of its peer. Takes everything that *call owns. */
void call_conclude(struct worker *worker, struct call *call, const struct call_outcome *outcome);
/* Ends a waiting call with 487. */
void call_cancel(struct worker *worker, struct call *waiting);
/* Of a call that cannot be sent on, whatever was decided. Takes everything that *call owns. */
void call_refuse(struct worker *worker, struct call *call, unsigned status, enum verdict verdict, const char *rule);

/* --- forward.c, b2bua.c: an INVITE that goes on, with Max-Forwards left. Take everything that *call owns. --- */
void forward_invite(struct worker *worker, struct call *call, const struct call_outcome *outcome);
void b2bua_invite(struct worker *worker, struct call *call, const struct call_outcome *outcome);

/* --- redirect.c: final answers of our own --- */
/* Answers, remembers, records; takes everything that *call owns. */
void redirect_answer(struct worker *worker, struct call *call, const struct call_outcome *outcome);

/* --- sign_call.c: service "sign" --- */
/* Takes everything that *call owns. */
void sign_call(struct worker *worker, struct call *call);
/* Answers a waiting call whose signature has arrived or will not. identity is empty unless VERDICT_SIGNED. */
void sign_call_finish(struct worker *worker, struct call *waiting, enum verdict verdict, struct span identity, int64_t iat);

/* --- deadlines.c: calls do not wait for ever --- */
bool deadlines_open(struct worker *worker);
void deadlines_close(struct worker *worker);
/* Makes the ticker fire within a few milliseconds. */
void deadlines_start(struct worker *worker);
/* To be called when the ticker is readable. */
void deadlines_tick(struct worker *worker);

/* --- signer_client.c: questions to the signer and what comes of them --- */
/* Puts the call among the waiting ones and asks with the next signer_client_flush(), which whoever reads from the network
 * calls at the end of a turn. False when there is no room: *call is as before. */
bool signer_client_ask(struct worker *worker, const struct call *call);
void signer_client_flush(struct worker *worker);
void signer_client_receive(struct worker *worker);
/* Asks what found the channel full. */
void signer_client_ask_unasked(struct worker *worker);
/* Whether calls get signed now, as far as this worker can tell. */
bool signer_client_ready(const struct worker *worker);
/* Asks once more for every waiting call: a new signer knows nothing of what its predecessor was asked. */
void signer_client_ask_again(struct worker *worker);

/* --- verify_call.c: service "verify" --- */
/* Takes everything that *call owns. */
void verify_call(struct worker *worker, struct call *call);
/* The facts of an x5u have come: marks the calls that wait for them, and makes worker->judging readable. */
void verify_calls_learn(struct worker *worker, struct span x5u);
/* The fetcher has no place for this x5u where a call of this peer wants it: its waiting calls go without; as above. */
void verify_calls_turn_away(struct worker *worker, struct span x5u, uint64_t peer);
/* To be called when it is: decides some of them. */
void verify_calls_judge(struct worker *worker);
/* No facts will come for the waiting call: policy decides. */
void verify_call_give_up(struct worker *worker, struct call *waiting, enum verdict verdict);

/* --- fetcher_client.c: questions to the fetcher and what comes of them --- */
bool fetcher_client_open(struct worker *worker);
void fetcher_client_close(struct worker *worker);
/* What is known of the x5u now; asks for it, for a call of this peer, where it is not, or where it wants to be refreshed. False: a reply will
 * call verify_calls_learn(), unless *busy: there is no room for one more question. */
bool fetcher_client_find(
	struct worker *worker, const struct peer *peer, struct span x5u, struct known_certificate *known, bool *busy);
/* What has just come, even where it may not be kept. */
bool fetcher_client_recall(struct worker *worker, struct span x5u, struct known_certificate *known);
/* Asks to fetch again what is known: a signature does not verify by it. False: no room. */
bool fetcher_client_renew(struct worker *worker, const struct peer *peer, struct span x5u);
/* Names a peer to the fetcher, over reloads, too. */
uint64_t fetcher_client_peer(const struct peer *peer);
void fetcher_client_receive(struct worker *worker);
void fetcher_client_ask_again(struct worker *worker);
void fetcher_client_tick(struct worker *worker);
bool fetcher_client_waits(const struct worker *worker);

/* --- call_record.c --- */
/* Sends what was kept back. */
void call_record_flush(struct worker *worker);
/* Sends the record of an answered call, or keeps it back while the recorder catches up; what does not fit there is dropped
 * and counted. */
void call_record_send(struct worker *worker, const struct call *call, const struct call_outcome *outcome);
/* The same of a call that goes on: its record is written with what call_record_final() tells under this id, or after some
 * minutes without. Of several for one id the first counts; so it is with finals. */
void call_record_pending(struct worker *worker, const struct call *call, const struct call_outcome *outcome, uint64_t id);
/* What the caller got (200 to 699); by: address:port of the next hop that answered, NULL: we did; why: its phrase and
 * Reason, as in "438 Invalid Identity Header; Reason: STIR;cause=438", of which 256 octets are kept. */
void call_record_final(struct worker *worker, uint64_t id, unsigned status, const char *by, struct span why);
/* What else is to be known of it, before its final status: text that is not empty, of which 256 octets are kept; the first
 * counts. */
void call_record_note(struct worker *worker, uint64_t id, struct span text);

#endif
