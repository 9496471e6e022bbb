#include "worker_state.h"
#include "forward.h"
#include "outgoing.h"
#include "relay.h"

#include <stdio.h>

#include <sofia-sip/msg.h>
#include <sofia-sip/msg_header.h>
#include <sofia-sip/nta_tport.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/su_alloc.h>
#include <sofia-sip/tport.h>

#include "stirrup/clock.h"
#include "stirrup/raw_answer.h"
#include "stirrup/via.h"

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

/* A repeat of an answered INVITE gets the same bytes; one of a waiting INVITE gets nothing, as the answer is on its
 * way (a 100 would stop the repeats that a lost answer needs: RFC 3261 section 8.2.7). */
static bool is_repeat(struct worker *worker, struct call *call)
{
	struct span answer;

	if (answer_memo_find(worker->memo, &call->digest, &answer)) {
		if (!forward_repeat(worker, answer))
			reply_path_send(&call->path, answer);
		return true;
	}
	if (worker->relays != NULL && relay_repeat(worker, &call->digest))
		return true;
	return waiting_calls_find(worker->waiting, &call->digest) != NULL;
}

static void serve(struct worker *worker, struct call *call)
{
	switch (call->peer->service) {
	case SERVICE_SIGN:
		sign_call(worker, call);
		break;
	case SERVICE_VERIFY:
		verify_call(worker, call);
		break;
	}
}

static bool is_ready(const struct worker *worker, const struct peer *peer)
{
	if (worker->stopping)
		return false;
	switch (peer->service) {
	case SERVICE_SIGN:
		return signer_client_ready(worker);
	case SERVICE_VERIFY:
		return worker->fetcher_up;
	}
	return false;
}

static void on_invite(struct worker *worker, struct call *call)
{
	if (is_repeat(worker, call))
		call_release(call);
	else
		serve(worker, call);
}

/* RFC 3261 section 8.3: 200 whether or not the INVITE is still here. */
static void on_cancel(struct worker *worker, struct call *call)
{
	struct call *waiting = waiting_calls_find(worker->waiting, &call->digest);

	answer_now(worker, call, 200);
	if (waiting != NULL)
		call_cancel(worker, waiting);
}

static void on_options(struct worker *worker, struct call *call)
{
	answer_now(worker, call, is_ready(worker, call->peer) ? 200 : 503);
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
	call->listener = arrival->listener;
	call->generation = generation_ref(generation);
	net_text(call->source, (const struct sockaddr *)&arrival->source);
	reply_path_open(&call->path, agent, message, &call->request, arrival);
	return true;
}

static void serve_request(struct worker *worker, nta_agent_t *agent, msg_t *message, sip_t *sip)
{
	struct call call;

	if (!open_call(worker, &call, agent, message, sip)) {
		call_release(&call);
		return;
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
}

const unsigned service_request_mask = sip_mask_response | sip_mask_ua, service_response_mask = sip_mask_response;

/* Responses, and ACKs of our own final answers, need nothing from us. */
static bool needs_nothing(const sip_t *sip)
{
	return sip == NULL || sip->sip_request == NULL || sip->sip_request->rq_method == sip_method_ack;
}

/* By a connection: Sofia has framed it and read it. */
static bool is_in_transit(struct worker *worker, msg_t *message)
{
	static char bytes[MESSAGE_BYTES_MAX];
	size_t length = worker->relays != NULL ? sip_message_bytes(bytes, sizeof bytes, message) : 0;

	return length > 0 && transit_take(worker, (struct span){ bytes, length }, message);
}

int service_on_message(nta_agent_magic_t *magic, nta_agent_t *agent, msg_t *message, sip_t *sip)
{
	struct worker *worker = (struct worker *)magic;

	if (!is_in_transit(worker, message)) {
		if (needs_nothing(sip))
			msg_destroy(message);
		else
			serve_request(worker, agent, message, sip);
	}
	worker_end_turn(worker);
	return 0;
}

/* --- Datagrams, which Sofia does not read --- */

/* What nta says of a request that it reads itself. NULL: nothing. */
static const char *objection(const msg_t *message, const sip_t *sip)
{
	if (sip->sip_request->rq_version != sip_version_2_0)
		return "SIP/2.0 505 Version Not Supported";
	if ((sip->sip_flags & (MSG_FLG_ERROR | MSG_FLG_TOOLARGE)) != 0 || sip_sanity_check(sip) != 0 ||
		(msg_extract_errors(message) & service_request_mask) != 0)
		return "SIP/2.0 400 Bad Request";
	return NULL;
}

static void refuse(const struct arrival *arrival, struct span datagram, const char *status_line)
{
	static char answer[4096];
	size_t length = raw_answer(answer, sizeof answer, datagram, status_line);

	if (length > 0)
		sockets_send(arrival->slot, answer, length, (const struct sockaddr *)&arrival->source,
			arrival->source_length);
}

/* RFC 3261 section 18.2.1: the topmost Via is told where the request came from. */
static void mark_via(msg_t *message, sip_t *sip, const struct arrival *arrival)
{
	msg_common_t *common = sip->sip_via->v_common;
	struct span line = { common->h_data, common->h_len };
	size_t room = line.length + 2 * NET_TEXT_SIZE;
	char *out = su_alloc(msg_home(message), (isize_t)room);
	char host[NET_TEXT_SIZE], param[NET_TEXT_SIZE + 16];
	unsigned port = net_port(&arrival->source);
	size_t length;

	net_host(host, (const struct sockaddr *)&arrival->source);
	length = out == NULL || line.at == NULL ? 0 : via_with_source(out, room, line, host, port);
	if (length > 0) {
		common->h_data = out;
		common->h_len = (unsigned)length;
		return;
	}
	snprintf(param, sizeof param, "received=%s", host);
	msg_header_replace_param(msg_home(message), common, su_strdup(msg_home(message), param));
	if (sip->sip_via->v_rport == NULL)
		return;
	snprintf(param, sizeof param, "rport=%u", port);
	msg_header_replace_param(msg_home(message), common, su_strdup(msg_home(message), param));
}

void service_on_datagram(struct span datagram, void *context)
{
	struct worker *worker = context;
	const struct arrival *arrival = sockets_arrival();
	msg_t *message;
	sip_t *sip;
	const char *status_line;

	if (worker->relays != NULL && transit_take(worker, datagram, NULL))
		return;
	message = sip_message_parse(datagram);
	sip = message == NULL ? NULL : sip_object(message);
	if (needs_nothing(sip)) {
		if (message != NULL)
			msg_destroy(message);
		return;
	}
	status_line = objection(message, sip);
	if (status_line != NULL) {
		refuse(arrival, datagram, status_line);
		msg_destroy(message);
		return;
	}
	mark_via(message, sip, arrival);
	serve_request(worker, worker->agent, message, sip);
}
