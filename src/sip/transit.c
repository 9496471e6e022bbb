#include "transit.h"

#include "b2bua.h"
#include "forward.h"
#include "outgoing.h"
#include "relay.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"

void transit_drop(struct worker *worker, const char *what)
{
	static struct log_limiter limiter;
	unsigned long suppressed;
	char text[NET_TEXT_SIZE];

	net_text(text, (const struct sockaddr *)&sockets_arrival()->source);
	if (log_allowed(&limiter, &suppressed))
		log_notice("dropped from %s: %s (%lu more before)", text, what, suppressed);
}

void transit_answer(struct worker *worker, const struct transit *transit, unsigned status, const char *phrase)
{
	char tag[CALL_TAG_SIZE];
	struct span bytes;

	if (span_is(transit->head->method, "ACK"))
		return;
	call_digest_tag(&transit->digest, tag);
	answer_begin(&worker->answer, status, phrase, transit->head, tag);
	if (answer_end(&worker->answer, &bytes))
		reply_path_send(&transit->path, bytes);
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

void transit_told(struct worker *worker, const struct transit *transit)
{
	struct call *waiting = waiting_calls_find(worker->waiting, &transit->digest);

	if (!relay_cancel(worker, &transit->digest, transit->head) && waiting != NULL)
		call_cancel(worker, waiting);
}

bool transit_request(struct worker *worker, struct transit *transit)
{
	if (span_is(transit->head->method, "CANCEL"))
		return pass_cancel(worker, transit);
	if (transit->basics->to_tag.length == 0)
		return false;
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

void transit_response(struct worker *worker, const struct sip_head *head, struct span bytes)
{
	struct sip_basics basics;
	struct span branch;

	/* A next hop may answer by a connection that another worker has accepted. */
	if (sockets_arrival()->stream && sockets_hand_over_response(bytes))
		return;
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
