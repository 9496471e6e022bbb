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
#include "stirrup/signer.h"

#define RECORD_BACKLOG_BYTES (1 << 20)

struct worker {
	int control, signer, recorder;   /* channels; -1: none */
	uint32_t index, count;
	uint8_t secret[CHILD_SECRET_BYTES];
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
	bool stopping, failed;
	struct answer answer;            /* the one being made */
	struct {                         /* whole record lines that the recorder had no room for a moment ago */
		char bytes[RECORD_BACKLOG_BYTES];
		size_t length;
	} record_backlog;
};

/* --- service.c: what to do with a request, by its method --- */
int service_on_message(nta_agent_magic_t *worker, nta_agent_t *agent, msg_t *message, sip_t *sip);

/* --- redirect.c: mode "redirect" --- */
/* Takes everything that *call owns. */
void redirect_call(struct worker *worker, struct call *call);
/* Answers a call whose signature has arrived or will not. Releases it. identity is empty unless VERDICT_SIGNED. */
void redirect_finish(struct worker *worker, struct call *call, enum verdict verdict, struct span identity, int64_t iat);
void redirect_cancel(struct worker *worker, struct call *call);

/* --- signer_client.c: questions to the signer and what comes of them --- */
/* Puts the call among the waiting ones and asks. False when there is no room: *call is as before. */
bool signer_client_ask(struct worker *worker, const struct call *call);
void signer_client_receive(struct worker *worker);
/* Makes the ticker fire within a few milliseconds. */
void signer_client_start_ticking(struct worker *worker);
/* To be called when the ticker is readable: deadlines, and questions that found the channel full. */
void signer_client_tick(struct worker *worker);
/* Whether calls get signed now, as far as this worker can tell. */
bool signer_client_ready(const struct worker *worker);
/* Asks once more for every waiting call: a new signer knows nothing of what its predecessor was asked. */
void signer_client_ask_again(struct worker *worker);
bool signer_client_start(struct worker *worker);
void signer_client_stop(struct worker *worker);

/* --- call_record.c --- */
struct call_outcome {
	const char *result;
	enum verdict verdict;
	const char *rule;        /* NULL: the decision's own */
	unsigned status;         /* 0: none was sent */
	struct span identity;
	int64_t iat;
};
/* Sends what was kept back. */
void call_record_flush(struct worker *worker);
/* Sends the line, or keeps it back while the recorder catches up; what does not fit there is dropped and counted. */
void call_record_send(struct worker *worker, const struct call *call, const struct call_outcome *outcome);

#endif
