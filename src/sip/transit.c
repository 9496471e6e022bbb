#include "transit.h"

#include "b2bua.h"
#include "forward.h"
#include "outgoing.h"
#include "relay.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"

static char marked_via[MESSAGE_BYTES_MAX];
static char answer[MESSAGE_BYTES_MAX];

void transit_drop(struct worker *worker, const char *what)
{
	static struct log_limiter limiter;
	unsigned long suppressed;
	char text[NET_TEXT_SIZE];

	net_text(text, (const struct sockaddr *)&sockets_arrival()->source);
	if (log_allowed(&limiter, &suppressed))
		log_notice("dropped from %s: %s (%lu more before)", text, what, suppressed);
}

void transit_answer(struct worker *worker, struct transit *transit, unsigned status, const char *phrase)
{
	char tag[CALL_TAG_SIZE];
	size_t length;

	if (span_is(transit->head->method, "ACK"))
		return;
	call_digest_tag(&transit->digest, tag);
	length = sip_basics_answer(answer, sizeof answer, transit->head, status, phrase, tag);
	if (length > 0)
		reply_path_send(&transit->path, (struct span){ answer, length });
}

void transit_begin(struct worker *worker, struct transit *transit, const struct relay_plan *plan)
{
	switch (relay_begin(worker, plan)) {
	case RELAY_BEGUN:
		transit->path.connection = NULL;
		break;
	case RELAY_NO_ROOM:
		transit_answer(worker, transit, 503, "Service Unavailable");
		break;
	case RELAY_TOO_LARGE:
		transit_answer(worker, transit, 513, "Message Too Large");
		break;
	}
}

/* RFC 3261 section 18.2.1. Sofia has done it for what came by a connection. */
static bool mark_via(struct sip_head *head, const struct arrival *arrival)
{
	size_t line = sip_head_find(head, HEADER_VIA, 0);
	struct writer writer = writer_on(marked_via, sizeof marked_via);
	char host[NET_TEXT_SIZE];
	size_t start;

	net_host(host, (const struct sockaddr *)&arrival->source);
	writer_text(&writer, "Via: ");
	start = writer_length(&writer);
	if (line == head->count ||
		!sip_basics_mark_via(marked_via + start, sizeof marked_via - start - 3, head->lines[line].value, host,
			net_port(&arrival->source)))
		return false;
	head->lines[line].value = span_of(marked_via + start);
	writer.at += head->lines[line].value.length;
	writer_text(&writer, "\r\n");
	head->lines[line].line = (struct span){ marked_via, writer_length(&writer) };
	return !writer.full;
}

static bool digest_of(struct worker *worker, struct transit *transit)
{
	const struct sip_basics *basics = transit->basics;
	struct call_digest_input input = {
		.peer = transit->peer == NULL ? (struct span){ "", 0 } : span_of(transit->peer->name),
		.request_uri = transit->head->request_uri,
		.call_id = basics->call_id,
		.from_tag = basics->from_tag,
		.via_host = basics->via.host,
		.via_port = basics->via.port,
		.branch = basics->via.branch,
		.cseq = basics->cseq,
	};

	return call_digest(worker->digester, &input, &transit->digest);
}

/* The ACK of a failure that we ourselves answered ends here. */
static bool is_our_answer(struct worker *worker, const struct transit *transit)
{
	struct span entry;

	return answer_memo_find(worker->memo, &transit->digest, &entry) && entry.length > 0 && entry.at[0] == 'S';
}

static void pass_ack(struct worker *worker, struct transit *transit)
{
	if (relay_acknowledge(worker, &transit->digest) || is_our_answer(worker, transit))
		return;
	if (forward_has_seal(worker, transit))
		forward_within(worker, transit);
	else if (!b2bua_within(worker, transit) && transit->peer != NULL && transit->peer->mode == MODE_FORWARD)
		forward_follow(worker, transit);
}

/* An INVITE that came by a connection is with the worker that reads it; its CANCEL need not come the same way. Nobody waits for
 * what the others find: it is answered as if one of them had the INVITE, whose own answer is what counts (RFC 3261 section 9.1). */
static bool tell_others(struct worker *worker, struct transit *transit)
{
	if (!sockets_arrival()->stream || !sockets_tell_others(transit->bytes))
		return false;
	transit_answer(worker, transit, 200, "OK");
	return true;
}

/* False: its INVITE is not on its way, but waits here, or was answered here. */
static bool pass_cancel(struct worker *worker, struct transit *transit)
{
	if (relay_cancel(worker, &transit->digest, transit->head)) {
		transit_answer(worker, transit, 200, "OK");
		return true;
	}
	if (waiting_calls_find(worker->waiting, &transit->digest) != NULL || is_our_answer(worker, transit))
		return false;
	if (tell_others(worker, transit))
		return true;
	if (forward_has_seal(worker, transit))
		forward_within(worker, transit);
	else if (transit->peer != NULL && transit->peer->mode == MODE_FORWARD)
		forward_follow(worker, transit);
	else
		return false;
	return true;
}

/* A CANCEL that another worker has answered. */
static void be_told(struct worker *worker, const struct transit *transit)
{
	struct call *waiting = waiting_calls_find(worker->waiting, &transit->digest);

	if (!relay_cancel(worker, &transit->digest, transit->head) && waiting != NULL)
		call_cancel(worker, waiting);
}

/* False: not for us to pass on. */
static bool pass_request(struct worker *worker, struct transit *transit)
{
	if (span_is(transit->head->method, "CANCEL"))
		return pass_cancel(worker, transit);
	if (span_is(transit->head->method, "ACK"))
		pass_ack(worker, transit);
	else if (relay_repeat(worker, &transit->digest))
		return true;
	else if (forward_has_seal(worker, transit))
		forward_within(worker, transit);
	else if (!b2bua_within(worker, transit))
		transit_answer(worker, transit, 481, "Call/Transaction Does Not Exist");
	return true;
}

static void open_path(struct worker *worker, struct transit *transit, msg_t *message)
{
	const struct via *via = &transit->basics->via;
	struct sip_request request = { .via_port = via->port, .via_rport = via->has_rport };

	reply_path_open(&transit->path, worker->agent, message, &request, sockets_arrival());
}

static bool take_request(struct worker *worker, struct span bytes, struct sip_head *head, const struct sip_basics *basics,
	msg_t *message)
{
	const struct arrival *arrival = sockets_arrival();
	const struct config *config = worker->generation->config;
	struct transit transit = {
		.bytes = bytes,
		.head = head,
		.basics = basics,
		.listener = arrival->listener,
		.peer = config_peer_for(config, (const struct sockaddr *)&arrival->source, arrival->listener),
	};
	bool taken;

	if (!digest_of(worker, &transit))
		return true;
	if (arrival->told) {
		be_told(worker, &transit);
		return true;
	}
	open_path(worker, &transit, message);
	taken = pass_request(worker, &transit);
	reply_path_close(&transit.path);
	if (taken && message != NULL)
		msg_destroy(message);
	return taken;
}

static void take_response(struct worker *worker, const struct sip_head *head)
{
	struct sip_basics basics;
	struct span branch;

	if (head->wrong_length || !sip_basics_read(&basics, head)) {
		transit_drop(worker, "a response that has not what it must have");
		return;
	}
	branch = basics.via.branch;
	if (hops_is_probe(worker->hops, branch)) {
		hops_probe_answered(worker->hops, branch, head->status);
		return;
	}
	if (head->status != 503)
		hops_answered(worker->hops, &sockets_arrival()->source,
			sockets_arrival()->stream ? TRANSPORT_TCP : TRANSPORT_UDP);
	if (relay_owns(branch))
		relay_response(worker, head, &basics);
	else
		forward_response(worker, head, &basics);
}

static bool take(struct worker *worker, struct span bytes, msg_t *message)
{
	static struct sip_head head;
	struct sip_basics basics;

	if (sockets_arrival()->listener < 0 || !sip_head_read(&head, bytes))
		return false;
	if (head.is_response) {
		/* A next hop may answer by a connection that another worker has accepted. */
		if (message == NULL || !sockets_hand_over_response(bytes))
			take_response(worker, &head);
		if (message != NULL)
			msg_destroy(message);
		return true;
	}
	/* What is no request within a call, or has not what it must have, is the business of the parser. */
	if (sip_tag(sip_head_value(&head, HEADER_TO)).length == 0 && !span_is(head.method, "CANCEL"))
		return false;
	if (head.wrong_length || (message == NULL && !mark_via(&head, sockets_arrival())) || !sip_basics_read(&basics, &head))
		return false;
	return take_request(worker, bytes, &head, &basics, message);
}

bool transit_take(struct worker *worker, struct span bytes, msg_t *message)
{
	/* What we were told of is answered, whatever it is. */
	return take(worker, bytes, message) || sockets_arrival()->told;
}
