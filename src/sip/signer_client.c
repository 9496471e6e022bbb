#include "worker_state.h"

#include <stddef.h>
#include <sys/socket.h>

#include "stirrup/channel.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"

#define REPLIES_PER_LOOK 32
/* How long a signer that let a deadline pass counts as unfit: then the next call tries it again. */
#define SILENCE_US 2000000

/* Questions of one turn of the loop, sent together: a wake-up of the signer for each would cost more than their copies. */
static struct {
	struct sign_request requests[SOCKETS_DATAGRAMS_MAX];
	size_t count;
} queue;

void signer_client_flush(struct worker *worker)
{
	struct mmsghdr messages[SOCKETS_DATAGRAMS_MAX] = { 0 };
	struct iovec parts[SOCKETS_DATAGRAMS_MAX];
	int sent;

	if (queue.count == 0)
		return;
	for (size_t i = 0; i < queue.count; i++) {
		parts[i] = (struct iovec){ &queue.requests[i], sizeof queue.requests[i] };
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	sent = sendmmsg(worker->signer, messages, (unsigned)queue.count, MSG_DONTWAIT | MSG_NOSIGNAL);
	for (size_t i = sent < 0 ? 0 : (size_t)sent; i < queue.count; i++) {
		struct call *call = waiting_calls_by_id(worker->waiting, queue.requests[i].id);

		if (call != NULL)
			call->asked = false; /* the ticker tries again */
	}
	queue.count = 0;
}

static void ask(struct worker *worker, struct call *call)
{
	struct sign_request *request;

	if (queue.count == SOCKETS_DATAGRAMS_MAX)
		signer_client_flush(worker);
	request = &queue.requests[queue.count++];
	*request = (struct sign_request){
		.id = call->id,
		.deadline_us = call->deadline_us,
		.generation = call->generation->number,
		.peer = (uint32_t)(call->peer - call->generation->config->peers),
		.credential = call->decision.credential,
		.attest = call->decision.attest,
		.orig = call->decision.orig,
		.dest_tn = call->decision.dest_tn,
	};
	memcpy(request->dest_uri, call->decision.dest_uri, sizeof request->dest_uri);
	memcpy(request->origid, call->origid, sizeof request->origid);
	call->asked = true;
}

void signer_client_ask_unasked(struct worker *worker)
{
	for (struct call *call = waiting_calls_oldest(worker->waiting); call != NULL && worker->signer_up;
		call = call->next) {
		if (call->asked || call->peer->service != SERVICE_SIGN)
			continue;
		ask(worker, call);
	}
	signer_client_flush(worker);
}

bool signer_client_ask(struct worker *worker, const struct call *call)
{
	struct call *waiting = waiting_calls_add(worker->waiting, call);

	if (waiting == NULL)
		return false;
	waiting->deadline_us = waiting->arrived_us + waiting->generation->config->signer_deadline_ms * 1000LL;
	if (worker->signer_up)
		ask(worker, waiting);
	deadlines_start(worker);
	return true;
}

static void take_reply(struct worker *worker, const struct sign_reply *reply)
{
	struct call *call = waiting_calls_by_id(worker->waiting, reply->id);

	worker->signer_silent_us = 0;
	if (call == NULL)
		return; /* its deadline has passed, it was cancelled, or this is the second answer to a repeated question */
	sign_call_finish(worker, call, reply->verdict,
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
	signer_client_ask_unasked(worker);
}
