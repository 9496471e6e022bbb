#include "worker_state.h"

#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "stirrup/channel.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"

/* Not a timer of Sofia's: its loop spins through the last millisecond before one is due. */
#define TICK_NS 5000000
#define REPLIES_PER_LOOK 32
/* How long a signer that let a deadline pass counts as unfit: then the next call tries it again. */
#define SILENCE_US 2000000

static void ask(struct worker *worker, struct call *call)
{
	struct sign_request request = {
		.id = call->id,
		.deadline_us = call->deadline_us,
		.generation = call->generation->number,
		.peer = (uint32_t)(call->peer - call->generation->config->peers),
		.credential = call->decision.credential,
		.attest = call->decision.attest,
		.orig = call->decision.orig,
		.dest_tn = call->decision.dest_tn,
	};

	memcpy(request.dest_uri, call->decision.dest_uri, sizeof request.dest_uri);
	memcpy(request.origid, call->origid, sizeof request.origid);
	call->asked = channel_send(worker->signer, &request, sizeof request, -1);
}

/* What was full a moment ago may take it now. */
static void ask_unasked(struct worker *worker)
{
	for (struct call *call = waiting_calls_oldest(worker->waiting); call != NULL; call = call->next) {
		if (call->asked)
			continue;
		ask(worker, call);
		if (!call->asked)
			return;
	}
}

static void expire(struct worker *worker)
{
	int64_t now = monotonic_us();
	struct call *call = waiting_calls_oldest(worker->waiting);

	while (call != NULL) {
		struct call *next = call->next;

		if (call->deadline_us <= now) {
			worker->signer_silent_us = now;
			redirect_finish(worker, call, VERDICT_SIGNER_TIMEOUT, (struct span){ "", 0 }, 0);
		}
		call = next;
	}
}

void signer_client_start_ticking(struct worker *worker)
{
	struct itimerspec once = { .it_value.tv_nsec = TICK_NS };

	if (!worker->ticks)
		worker->ticks = timerfd_settime(worker->ticker, 0, &once, NULL) == 0;
}

void signer_client_tick(struct worker *worker)
{
	uint64_t expirations;

	if (read(worker->ticker, &expirations, sizeof expirations) < 0)
		return;
	worker->ticks = false;
	expire(worker);
	call_record_flush(worker);
	if (worker->signer_up)
		ask_unasked(worker);
	if (waiting_calls_oldest(worker->waiting) != NULL || worker->record_backlog.length > 0)
		signer_client_start_ticking(worker);
}

bool signer_client_ask(struct worker *worker, const struct call *call)
{
	struct call *waiting = waiting_calls_add(worker->waiting, call);

	if (waiting == NULL)
		return false;
	waiting->deadline_us = waiting->arrived_us + waiting->generation->config->signer_deadline_ms * 1000LL;
	if (worker->signer_up)
		ask(worker, waiting);
	signer_client_start_ticking(worker);
	return true;
}

static void take_reply(struct worker *worker, const struct sign_reply *reply)
{
	struct call *call = waiting_calls_by_id(worker->waiting, reply->id);

	worker->signer_silent_us = 0;
	if (call == NULL)
		return; /* its deadline has passed, it was cancelled, or this is the second answer to a repeated question */
	redirect_finish(worker, call, reply->verdict,
		(struct span){ reply->identity, reply->verdict == VERDICT_SIGNED ? reply->identity_length : 0 },
		reply->iat);
}

void signer_client_receive(struct worker *worker)
{
	static struct sign_reply reply;

	for (int i = 0; i < REPLIES_PER_LOOK; i++) {
		ssize_t length = channel_receive(worker->signer, &reply, sizeof reply, NULL);

		if (length <= 0)
			return;
		if ((size_t)length < offsetof(struct sign_reply, identity) ||
			reply.identity_length != (size_t)length - offsetof(struct sign_reply, identity))
			log_error("the signer sent a reply of a wrong length");
		else
			take_reply(worker, &reply);
	}
}

bool signer_client_ready(const struct worker *worker)
{
	return worker->signer_up &&
		(worker->signer_silent_us == 0 || monotonic_us() - worker->signer_silent_us > SILENCE_US);
}

void signer_client_ask_again(struct worker *worker)
{
	for (struct call *call = waiting_calls_oldest(worker->waiting); call != NULL; call = call->next)
		call->asked = false;
	ask_unasked(worker);
}

bool signer_client_start(struct worker *worker)
{
	worker->waiting = waiting_calls_new(worker->generation->config->max_waiting);
	worker->ticker = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	return worker->waiting != NULL && worker->ticker >= 0;
}

void signer_client_stop(struct worker *worker)
{
	if (worker->ticker >= 0)
		close(worker->ticker);
	waiting_calls_free(worker->waiting);
}
