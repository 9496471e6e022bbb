#include "worker_state.h"
#include "forward.h"
#include "outgoing.h"
#include "relay.h"
#include "transit.h"

#include <stdlib.h>

#include "stirrup/clock.h"
#include "stirrup/raw_answer.h"
#include "stirrup/sip_message.h"

#define METHODS "INVITE, ACK, CANCEL, OPTIONS"

/* Answers at once, without a record: what is no call. */
static void answer_now(struct worker *worker, const struct transit *request, unsigned status)
{
	char tag[CALL_TAG_SIZE];
	struct span bytes;

	call_digest_tag(&request->digest, tag);
	answer_begin(&worker->answer, status, answer_phrase(status), request->head, tag);
	if (status == 200 || status == 405)
		answer_header(&worker->answer, "Allow", span_of(METHODS));
	if (answer_end(&worker->answer, &bytes))
		reply_path_send(&request->path, bytes);
}

/* What cannot be read: to where it came from, unless another worker has answered it. */
static void refuse(struct worker *worker, struct span bytes, msg_t *message)
{
	static char answer[4096];
	size_t length = raw_answer(answer, sizeof answer, bytes, raw_answer_refusal(bytes));
	struct reply_path path;

	if (length == 0 || sockets_arrival()->told)
		return;
	reply_path_open(&path, worker->agent, message, NULL, sockets_arrival());
	reply_path_send(&path, (struct span){ answer, length });
	reply_path_close(&path);
}

/* A repeat of an answered INVITE gets the same bytes; one of a waiting INVITE gets nothing, as the answer is on its
 * way (a 100 would stop the repeats that a lost answer needs: RFC 3261 section 8.2.7). */
static bool is_repeat(struct worker *worker, const struct transit *request)
{
	struct span answer;

	if (answer_memo_find(worker->memo, &request->digest, &answer)) {
		if (!forward_repeat(worker, answer))
			reply_path_send(&request->path, answer);
		return true;
	}
	if (worker->relays != NULL && relay_repeat(worker, &request->digest))
		return true;
	return waiting_calls_find(worker->waiting, &request->digest) != NULL;
}

/* Takes the path of the request, and its head, which is an own copy. */
static void open_call(struct call *call, struct worker *worker, struct transit *request)
{
	*call = (struct call){
		.head = request->kept,
		.basics = *request->basics,
		.path = request->path,
		.digest = request->digest,
		.generation = generation_ref(worker->generation),
		.peer = request->peer,
		.listener = request->listener,
		.arrived_us = monotonic_us(),
		.arrived_wall_us = wall_us(),
	};
	net_text(call->source, (const struct sockaddr *)&sockets_arrival()->source);
	sip_request_read(&call->request, call->head);
	request->kept = NULL;
	request->path.connection = NULL;
}

static void on_invite(struct worker *worker, struct transit *request)
{
	struct call call;

	if (is_repeat(worker, request))
		return;
	open_call(&call, worker, request);
	switch (call.peer->service) {
	case SERVICE_SIGN:
		sign_call(worker, &call);
		break;
	case SERVICE_VERIFY:
		verify_call(worker, &call);
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

/* RFC 3261 section 8.3: 200 whether or not the INVITE is still here. */
static void on_cancel(struct worker *worker, const struct transit *request)
{
	struct call *waiting = waiting_calls_find(worker->waiting, &request->digest);

	answer_now(worker, request, 200);
	if (waiting != NULL)
		call_cancel(worker, waiting);
}

static void serve(struct worker *worker, struct transit *request, msg_t *message)
{
	struct span method = request->head->method;

	if (request->peer == NULL || span_is(method, "ACK"))
		return;
	if (!sip_basics_sound(request->basics, request->head->request_uri))
		refuse(worker, request->bytes, message);
	else if (span_is(method, "CANCEL"))
		on_cancel(worker, request);
	else if (request->basics->to_tag.length > 0)
		answer_now(worker, request, 481);
	else if (span_is(method, "INVITE"))
		on_invite(worker, request);
	else if (span_is(method, "OPTIONS"))
		answer_now(worker, request, is_ready(worker, request->peer) ? 200 : 503);
	else
		answer_now(worker, request, 405);
}

/* --- What arrives --- */

/* RFC 3261 section 18.2.1. Sofia has done it for what came by a connection. */
static bool mark_via(struct sip_head *head)
{
	static char marked[MESSAGE_BYTES_MAX];
	size_t i = sip_head_find(head, HEADER_VIA, 0);
	struct writer writer = writer_on(marked, sizeof marked);
	const struct arrival *arrival = sockets_arrival();
	struct header_line *via = &head->lines[i];
	char host[NET_TEXT_SIZE];

	if (i == head->count)
		return false;
	net_host(host, (const struct sockaddr *)&arrival->source);
	writer_bytes(&writer, via->line.at, (size_t)(via->value.at - via->line.at));
	if (!sip_basics_mark_via(writer.at, (size_t)(writer.end - writer.at), via->value, host, net_port(&arrival->source)))
		return false;
	via->name.at = marked;
	via->value = span_of(writer.at);
	writer.at += via->value.length;
	writer_text(&writer, "\r\n");
	via->line = (struct span){ marked, writer_length(&writer) };
	return !writer.full;
}

static bool digest_of(struct worker *worker, struct transit *request)
{
	const struct sip_basics *basics = request->basics;
	struct call_digest_input input = {
		.peer = request->peer == NULL ? (struct span){ "", 0 } : span_of(request->peer->name),
		.request_uri = request->head->request_uri,
		.call_id = basics->call_id,
		.from_tag = basics->from_tag,
		.via_host = basics->via.host,
		.via_port = basics->via.port,
		.branch = basics->via.branch,
		.cseq = basics->cseq,
	};

	return call_digest(worker->digester, &input, &request->digest);
}

static void take_good_request(struct worker *worker, struct transit *request, msg_t *message)
{
	const struct arrival *arrival = sockets_arrival();
	const struct config *config = worker->generation->config;

	request->listener = arrival->listener;
	request->peer = config_peer_for(config, (const struct sockaddr *)&arrival->source, arrival->listener);
	if (!digest_of(worker, request))
		return;
	if (arrival->told) {
		transit_told(worker, request);
		return;
	}
	reply_path_open(&request->path, worker->agent, message, &request->basics->via, arrival);
	if (worker->relays == NULL || !transit_request(worker, request))
		serve(worker, request, message);
	reply_path_close(&request->path);
}

static void take_request(struct worker *worker, struct span bytes, struct sip_head *head, msg_t *message)
{
	struct sip_basics basics;
	struct transit request = { .bytes = bytes, .head = head, .basics = &basics };
	bool marked;

	/* That of an answer of our own ends here. */
	if (worker->relays == NULL && span_is(head->method, "ACK"))
		return;
	marked = message != NULL || mark_via(head);
	/* It may have to wait. */
	if (span_is(head->method, "INVITE")) {
		request.kept = sip_head_copy(head);
		if (request.kept == NULL)
			return;
		request.head = request.kept;
	}
	if (marked && !head->wrong_length && sip_basics_read(&basics, request.head))
		take_good_request(worker, &request, message);
	else
		refuse(worker, bytes, message);
	free(request.kept);
}

/* message: Sofia's, of what came by a connection; else NULL. */
static void take(struct worker *worker, struct span bytes, msg_t *message)
{
	static struct sip_head head;

	if (sockets_arrival()->listener < 0)
		return;
	if (!sip_head_read(&head, bytes))
		refuse(worker, bytes, message);
	else if (!head.is_response)
		take_request(worker, bytes, &head, message);
	else if (worker->relays != NULL)
		transit_response(worker, &head, bytes);
}

void service_on_datagram(struct span datagram, void *context)
{
	take(context, datagram, NULL);
}

int service_on_message(nta_agent_magic_t *magic, nta_agent_t *agent, msg_t *message, sip_t *sip)
{
	static char bytes[MESSAGE_BYTES_MAX + NET_TEXT_SIZE * 2]; /* Sofia tells the Via where it came from */
	struct worker *worker = (struct worker *)magic;
	size_t length = sip_message_bytes(bytes, sizeof bytes, message);

	take(worker, (struct span){ bytes, length }, message);
	msg_destroy(message);
	worker_end_turn(worker);
	return 0;
}
