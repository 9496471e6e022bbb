#include "worker_state.h"

#include <sofia-sip/msg.h>
#include <sofia-sip/nta_tport.h>
#include <sofia-sip/tport.h>

#include "stirrup/clock.h"

#define METHODS "INVITE, ACK, CANCEL, OPTIONS"

/* Answers at once, without a record: what is no call. */
static void answer_now(struct worker *worker, struct call *call, unsigned status)
{
	char tag[CALL_TAG_SIZE];
	struct span bytes;

	call_digest_tag(&call->digest, tag);
	answer_begin(&worker->answer, status, answer_phrase(status), call->sip, tag);
	if (status == 200 || status == 405)
		answer_header(&worker->answer, "Allow", span_of(METHODS));
	if (answer_end(&worker->answer, &bytes))
		reply_path_send(&call->path, bytes);
	call_release(call);
}

static bool is_built(const struct peer *peer)
{
	return peer->service == SERVICE_SIGN && peer->mode == MODE_REDIRECT;
}

static void refuse_not_built(struct worker *worker, struct call *call)
{
	struct call_outcome outcome = {
		.result = "rejected",
		.verdict = VERDICT_NOT_BUILT,
		.rule = "this version signs by redirect only",
		.status = 503,
	};

	call->decision = (struct sign_decision){ .customer = -1, .credential = -1 };
	call_record_send(worker, call, &outcome);
	answer_now(worker, call, 503);
}

/* A repeat of an answered INVITE gets the same bytes; one of a waiting INVITE gets nothing, as the answer is on its
 * way (a 100 would stop the repeats that a lost answer needs: RFC 3261 section 8.2.7). */
static bool is_repeat(struct worker *worker, struct call *call)
{
	struct span answer;

	if (answer_memo_find(worker->memo, &call->digest, &answer)) {
		reply_path_send(&call->path, answer);
		return true;
	}
	return waiting_calls_find(worker->waiting, &call->digest) != NULL;
}

static void on_invite(struct worker *worker, struct call *call)
{
	if (is_repeat(worker, call))
		call_release(call);
	else if (is_built(call->peer))
		redirect_call(worker, call);
	else
		refuse_not_built(worker, call);
}

/* RFC 3261 section 8.3: 200 whether or not the INVITE is still here. */
static void on_cancel(struct worker *worker, struct call *call)
{
	struct call *waiting = waiting_calls_find(worker->waiting, &call->digest);

	answer_now(worker, call, 200);
	if (waiting != NULL)
		redirect_cancel(worker, waiting);
}

static void on_options(struct worker *worker, struct call *call)
{
	bool ready = is_built(call->peer) && signer_client_ready(worker) && !worker->stopping;

	answer_now(worker, call, ready ? 200 : 503);
}

static bool digest_of(struct worker *worker, struct call *call)
{
	const struct sip_request *request = &call->request;
	struct call_digest_input input = {
		.peer = span_of(call->peer->name),
		.request_uri = request->facts.request_uri,
		.call_id = request->call_id,
		.from_tag = request->from_tag,
		.via_host = request->via_host,
		.via_port = request->via_port,
		.branch = request->via_branch,
		.cseq = request->cseq,
	};

	return call_digest(worker->digester, &input, &call->digest);
}

/* Fills the call from the message. False: not from a peer any more, or not a request that can be answered. */
static bool open_call(struct worker *worker, struct call *call, nta_agent_t *agent, msg_t *message, sip_t *sip)
{
	const struct arrival *arrival = sockets_arrival();
	struct generation *generation = worker->generation;

	*call = (struct call){
		.message = message,
		.sip = sip,
		.arrived_us = monotonic_us(),
		.arrived_wall_us = wall_us(),
	};
	if (arrival->listener < 0 || !sip_request_read(&call->request, sip))
		return false;
	call->peer = config_peer_for(generation->config, (const struct sockaddr *)&arrival->source, arrival->listener);
	if (call->peer == NULL || !digest_of(worker, call))
		return false;
	call->generation = generation_ref(generation);
	net_text(call->source, (const struct sockaddr *)&arrival->source);
	reply_path_open(&call->path, agent, message, &call->request, arrival);
	return true;
}

int service_on_message(nta_agent_magic_t *magic, nta_agent_t *agent, msg_t *message, sip_t *sip)
{
	struct worker *worker = (struct worker *)magic;
	struct call call;

	/* Responses, and ACKs of our own final answers, need nothing from us. */
	if (sip == NULL || sip->sip_request == NULL || sip->sip_request->rq_method == sip_method_ack) {
		msg_destroy(message);
		return 0;
	}
	if (!open_call(worker, &call, agent, message, sip)) {
		call_release(&call);
		return 0;
	}
	if (sip->sip_request->rq_method == sip_method_cancel)
		on_cancel(worker, &call);
	else if (call.request.to_tag.length > 0)
		answer_now(worker, &call, 481);
	else if (sip->sip_request->rq_method == sip_method_invite)
		on_invite(worker, &call);
	else if (sip->sip_request->rq_method == sip_method_options)
		on_options(worker, &call);
	else
		answer_now(worker, &call, 405);
	return 0;
}
