#include "relay_state.h"

#include <stdlib.h>
#include <string.h>

#include "outgoing.h"
#include "stirrup/clock.h"
#include "transit.h"
#include "watch.h"

#define LINES_MAX (HEADER_LINES_MAX - 16) /* with what is added, it must be readable again */
#define DUE_PER_TICK 64

static char made[MESSAGE_BYTES_MAX];

/* What is sent, behind its start line. */
static bool make_rest(const struct sip_edit *changes, struct span *rest)
{
	struct span message;
	const char *end_of_line;

	if (!sip_edit_write(changes, made, sizeof made, &message))
		return false;
	end_of_line = memchr(message.at, '\n', message.length);
	*rest = (struct span){ end_of_line + 1, (size_t)(message.at + message.length - (end_of_line + 1)) };
	return true;
}

enum relay_begun relay_begin(struct worker *worker, const struct relay_plan *plan)
{
	struct relays *relays = worker->relays;
	struct relay *relay;
	struct span rest;

	if (plan->received->count > LINES_MAX || !make_rest(plan->edit, &rest))
		return RELAY_TOO_LARGE;
	relay = relays_full(relays) ? NULL : relay_new(plan, rest);
	if (relay == NULL)
		return RELAY_NO_ROOM;
	if (relay->is_invite && relay->kind == RELAY_B2BUA)
		relay->merge = relay_merge_hash(plan->basics);
	if (plan->sealed != NULL)
		seal_loop(worker->sealer, plan->sealed, relay->loop);
	relay->path = plan->path;
	relays_enter(relays, relay);
	relay_arm(relays, relay, monotonic_us() + TRANSACTION_US);
	if (relay->is_invite)
		relay_answer(relay, 100, "Trying");
	if (!relay_send_to_hop(worker, relay))
		relay_fail_over(worker, relay, HOP_REFUSES);
	return RELAY_BEGUN;
}

bool relay_begin_call(struct worker *worker, struct call *call, const struct call_outcome *outcome, struct relay_plan *plan)
{
	memcpy(&plan->record, call->digest.bytes, sizeof plan->record);
	switch (relay_begin(worker, plan)) {
	case RELAY_BEGUN:
		call_record_pending(worker, call, outcome, plan->record);
		call->path.connection = NULL;
		return true;
	case RELAY_NO_ROOM:
		call_refuse(worker, call, 503, VERDICT_RELAY_BUSY, "too many requests are in progress");
		break;
	case RELAY_TOO_LARGE:
		call_refuse(worker, call, 513, VERDICT_TOO_LARGE, "signed or verified, it does not fit into a message");
		break;
	}
	return false;
}

/* --- Responses --- */

static void acknowledge(struct worker *worker, struct relay *relay, const struct sip_basics *basics)
{
	size_t length;

	if (relay->acknowledgement == NULL && relay->rest != NULL) {
		length = relay_follower(made, sizeof made, worker, relay, "ACK", basics->to);
		relay->acknowledgement = relay_copy(made, length);
		relay->acknowledgement_length = length;
	}
	if (relay->acknowledgement == NULL || relay->acknowledgement_length == 0)
		return;
	relay_send(worker, relay, (struct span){ relay->acknowledgement, relay->acknowledgement_length }, false);
}

/* Whether the same provisional status was told already: reliable ones are repeated (RFC 3262), a fork rings several times. */
static bool was_watched(struct relay *relay, unsigned status)
{
	unsigned place = status - 100;
	bool was = (relay->watched[place / 8] >> place % 8 & 1) != 0;

	relay->watched[place / 8] |= (uint8_t)(1 << place % 8);
	return was;
}

static struct watched_call watched_call_of(const struct relay *relay)
{
	return (struct watched_call){ relay->record, relay->peer, relay->customer,
		relay->kind == RELAY_B2BUA && !relay->survives ? "the dialog store did not take the call" : "" };
}

static void watch(struct worker *worker, struct relay *relay, const struct sip_head *response)
{
	struct watched_call call = watched_call_of(relay);
	char by[NET_TEXT_SIZE];

	if (relay->record == 0 || !watch_wants(response) ||
		(response->status < 200 && was_watched(relay, response->status)))
		return;
	relay_hop_text(relay, relay->hop, by);
	watch_response(worker, &call, response, by);
	if (response->status >= 200)
		relay->record = 0;
}

/* What a hop says that is left, or was. Its final response comes again and again where our ACK is lost. */
static void watch_left(struct worker *worker, struct relay *relay, unsigned attempt, const struct sip_head *response)
{
	uint16_t bit = (uint16_t)(1u << attempt % RELAY_ATTEMPTS);
	struct watched_call call = watched_call_of(relay);
	char by[NET_TEXT_SIZE];

	if (!relay->begins_call || !watch_wants(response))
		return;
	if (response->status < 200 ? was_watched(relay, response->status) : (relay->watched_attempts & bit) != 0)
		return;
	if (response->status >= 200)
		relay->watched_attempts |= bit;
	relay_hop_text(relay, relay_hop_of_attempt(relay, attempt), by);
	watch_aside(worker, &call, response, by);
}

static void take_provisional(struct worker *worker, struct relay *relay, const struct sip_head *response,
	const struct sip_basics *basics)
{
	struct span message;

	if (relay->state != RELAY_CALLING && relay->state != RELAY_PROCEEDING)
		return;
	relay->state = RELAY_PROCEEDING;
	if (relay->is_invite && relay->hop + 1 == relay->hop_count) {
		relay_shorten(relay);
		relay_weigh(worker->relays, relay);
	}
	if (relay->is_invite && !relay->cancel_sent) {
		relay->deadline_us = monotonic_us() + relay->peer->no_answer_s * INT64_C(1000000);
		relay_arm(worker->relays, relay, relay->deadline_us);
	}
	if (relay->cancel_wanted && !relay->cancel_sent)
		relay_send_cancel(worker, relay);
	if (response->status <= 100 || !relay_make_response(worker, relay, response, basics, &message))
		return;
	relay_pass_response(worker, relay, response->status, message);
	watch(worker, relay, response);
}

/* A hop that had been given up has taken the call (RFC 3261 section 16.7 step 10). */
static void go_back(struct worker *worker, struct relay *relay, unsigned attempt)
{
	if (relay->state == RELAY_PROCEEDING)
		relay_send_to_attempt(worker, relay, relay->attempt, "CANCEL", (struct span){ "", 0 });
	relay_turn_to(relay, attempt);
}

/* Nobody can be told of it (RFC 3261 section 21.5.3). */
static void refuse_success(struct worker *worker, struct relay *relay, const struct sip_head *response,
	const struct sip_basics *basics)
{
	if (relay->kind == RELAY_B2BUA)
		b2bua_hang_up(worker, relay, response, basics);
	if (relay->state == RELAY_CALLING || relay->state == RELAY_PROCEEDING)
		relay_finish(worker, relay, 502, "Bad Gateway");
}

static void take_success(struct worker *worker, struct relay *relay, unsigned attempt, const struct sip_head *response,
	const struct sip_basics *basics)
{
	bool open = relay->state == RELAY_CALLING || relay->state == RELAY_PROCEEDING;
	struct span message;

	if (!relay->is_invite && relay->state == RELAY_OVER)
		return;
	/* A proxy passes every 2xx on (RFC 3261 section 16.7 step 5), but a caller of ours would not acknowledge this one. */
	if (relay->kind == RELAY_B2BUA && relay->state == RELAY_FAILED) {
		b2bua_hang_up(worker, relay, response, basics);
		return;
	}
	if (open && attempt != relay->attempt)
		go_back(worker, relay, attempt);
	if (!relay_make_response(worker, relay, response, basics, &message)) {
		refuse_success(worker, relay, response, basics);
		return;
	}
	relay_pass_response(worker, relay, response->status, message);
	watch(worker, relay, response);
	if (!open)
		return;
	if (relay->is_invite) {
		/* RFC 6026 section 7.1: repeats of the INVITE get nothing any more. */
		free(relay->answer);
		relay->answer = NULL;
		relay->taken = (uint8_t)attempt;
	}
	relay_settle(worker, relay, relay->is_invite ? RELAY_ACCEPTED : RELAY_OVER);
}

static void take_failure(struct worker *worker, struct relay *relay, const struct sip_head *response,
	const struct sip_basics *basics)
{
	bool open = relay->state == RELAY_CALLING || relay->state == RELAY_PROCEEDING;
	struct span message;

	if (relay->is_invite)
		acknowledge(worker, relay, basics);
	if (!open)
		return;
	if (response->status == 503 && relay->hop + 1 < relay->hop_count && !relay->cancel_wanted) {
		free(relay->acknowledgement);
		relay->acknowledgement = NULL;
		watch_left(worker, relay, relay->attempt, response);
		relay->state = RELAY_PROCEEDING;
		relay_fail_over(worker, relay, HOP_UNAVAILABLE);
		return;
	}
	if (response->status == 503)
		relay_blame(worker, relay, HOP_UNAVAILABLE);
	if (!relay_make_response(worker, relay, response, basics, &message)) {
		relay_finish(worker, relay, 502, "Bad Gateway");
		return;
	}
	watch(worker, relay, response);
	relay_pass_response(worker, relay, response->status, message);
	relay_settle(worker, relay, relay->is_invite ? RELAY_FAILED : RELAY_OVER);
}

static bool is_same(struct span one, struct span other)
{
	return one.length == other.length && memcmp(one.at, other.at, one.length) == 0;
}

/* The branch alone is what tells transactions apart (RFC 3261 section 17.1.3), but what answers with another Call-ID, CSeq
 * or caller's tag would have us touch another call. */
static bool answers(const struct relay *relay, const struct sip_basics *basics)
{
	struct span call_id = relay->far_call_id.length > 0 ? relay->far_call_id : sip_line_value(relay->call_id), method;
	uint32_t cseq = 0;

	sip_cseq(sip_line_value(relay->cseq), &cseq, &method);
	return basics->cseq == cseq && is_same(basics->call_id, call_id) &&
		is_same(basics->from_tag, sip_tag(sip_line_value(relay->from))) &&
		(is_same(basics->method, relay->method) || (relay->is_invite && span_is(basics->method, "CANCEL")));
}

/* Whether the attempt is over for us, though not for its hop. */
static bool is_given_up(const struct relay *relay, unsigned attempt)
{
	return attempt != relay->attempt || (relay->state == RELAY_ACCEPTED && attempt != relay->taken) ||
		(relay->state == RELAY_FAILED && relay->ended_here);
}

/* It rings where nobody wants the call any more; or it fails, which is acknowledged all the same (RFC 3261 sections 9.1 and
 * 17.1.1.2). */
static void take_late(struct worker *worker, struct relay *relay, unsigned attempt, const struct sip_head *response,
	const struct sip_basics *basics)
{
	if (!relay->is_invite)
		return;
	watch_left(worker, relay, attempt, response);
	if (response->status < 200)
		relay_send_to_attempt(worker, relay, attempt, "CANCEL", (struct span){ "", 0 });
	else
		relay_send_to_attempt(worker, relay, attempt, "ACK", basics->to);
}

void relay_response(struct worker *worker, const struct sip_head *response, const struct sip_basics *basics)
{
	unsigned attempt;
	struct relay *relay = relays_find_branch(worker->relays, basics->via.branch, &attempt);
	bool is_success = response->status >= 200 && response->status < 300;

	if (relay == NULL) {
		transit_drop(worker, "a response to nothing that is in progress");
		return;
	}
	if (!answers(relay, basics)) {
		transit_drop(worker, "a response of another call than its request");
		return;
	}
	if (!is_same(basics->method, relay->method)) {
		relay->cancel_answered = relay->cancel_answered || attempt == relay->attempt;
		return;
	}
	/* A hop that was given up may still take the call. */
	if (is_given_up(relay, attempt) && !is_success) {
		take_late(worker, relay, attempt, response, basics);
		return;
	}
	if (attempt == relay->attempt)
		egress_forget(&relay->wait);
	if (response->status < 200)
		take_provisional(worker, relay, response, basics);
	else if (is_success)
		take_success(worker, relay, attempt, response, basics);
	else
		take_failure(worker, relay, response, basics);
}

/* --- From whoever sent the request --- */

bool relay_repeat(struct worker *worker, const struct call_digest *digest)
{
	struct relay *relay = relays_find(worker->relays, digest);

	if (relay == NULL)
		return false;
	if (relay->answer != NULL)
		reply_path_send(&relay->path, (struct span){ relay->answer, relay->answer_length });
	if (relay->state == RELAY_OVER) {
		relay->deadline_us = monotonic_us() + LINGER_US;
		relay_arm(worker->relays, relay, relay->deadline_us);
	}
	return true;
}

bool relay_acknowledge(struct worker *worker, const struct call_digest *digest)
{
	struct relay *relay = relays_find(worker->relays, digest);

	if (relay == NULL || !relay->is_invite || relay->state != RELAY_FAILED)
		return false;
	relay->acknowledged = true;
	free(relay->answer);
	relay->answer = NULL;
	relay_arm(worker->relays, relay, relay->deadline_us);
	return true;
}

bool relay_cancel(struct worker *worker, const struct call_digest *digest, const struct sip_head *cancel)
{
	struct relay *relay = relays_find(worker->relays, digest);

	if (relay == NULL || !relay->is_invite)
		return false;
	if (relay->state != RELAY_CALLING && relay->state != RELAY_PROCEEDING)
		return true;
	relay_keep_cancel_reasons(relay, cancel);
	relay->cancel_wanted = true;
	if (relay->state == RELAY_PROCEEDING && !relay->cancel_sent)
		relay_send_cancel(worker, relay);
	return true;
}

/* --- The end of the process --- */

static void stop(struct relay *relay, void *context)
{
	struct worker *worker = context;

	if (relay->state != RELAY_CALLING && relay->state != RELAY_PROCEEDING)
		return;
	if (relay->is_invite && relay->state == RELAY_PROCEEDING && !relay->cancel_sent)
		relay_send_cancel(worker, relay);
	relay_finish(worker, relay, 503, "Service Unavailable");
}

void relays_stop(struct worker *worker)
{
	if (worker->relays != NULL)
		relays_each(worker->relays, stop, worker);
}

/* --- What is due --- */

static void send_made(struct worker *worker, struct relay *relay, size_t length)
{
	relay_send(worker, relay, (struct span){ made, length }, false);
}

static int64_t next_repeat(const struct relay *relay, int64_t now)
{
	return now + relay->interval_us < relay->deadline_us ? now + relay->interval_us : relay->deadline_us;
}

static void double_interval(struct relay *relay, bool capped)
{
	relay->interval_us *= 2;
	if (capped && relay->interval_us > T2_US)
		relay->interval_us = T2_US;
}

static void repeat_request(struct worker *worker, struct relay *relay, int64_t now)
{
	if (relay->egress.transport != TRANSPORT_UDP) {
		relay_arm(worker->relays, relay, relay->deadline_us);
		return;
	}
	send_made(worker, relay, relay_request(made, sizeof made, worker, relay));
	/* RFC 3261 section 17.1.2.2. */
	if (relay->state == RELAY_PROCEEDING)
		relay->interval_us = T2_US;
	else
		double_interval(relay, !relay->is_invite);
	relay_arm(worker->relays, relay, next_repeat(relay, now));
}

/* Nothing was heard in time. A connection for a long request had to be made in the time of a failover; a hop that has taken it
 * gets what others get, instead of the same request by UDP, too. */
static void is_silent(struct worker *worker, struct relay *relay)
{
	bool last = relay->hop + 1 == relay->hop_count;

	if (relay_is_by_size(relay) && last && !relay->waits_longer && egress_is_connected(&relay->wait)) {
		relay->waits_longer = true;
		relay->deadline_us += TRANSACTION_US - FAILOVER_US;
		relay_arm(worker->relays, relay, relay->deadline_us);
	} else {
		relay_fail_over(worker, relay, HOP_SILENT);
	}
}

static void repeat_cancel(struct worker *worker, struct relay *relay, int64_t now)
{
	if (!relay->cancel_answered && relay->egress.transport == TRANSPORT_UDP) {
		send_made(worker, relay, relay_follower(made, sizeof made, worker, relay, "CANCEL", (struct span){ "", 0 }));
		double_interval(relay, true);
		relay_arm(worker->relays, relay, next_repeat(relay, now));
	} else {
		relay_arm(worker->relays, relay, relay->deadline_us);
	}
}

/* Timer C: it rang for long enough; then the next hop's answer to the CANCEL is awaited (RFC 3261 section 16.8). */
static void is_not_answered(struct worker *worker, struct relay *relay)
{
	if (!relay->cancel_sent) {
		relay->cancel_wanted = true;
		relay->rang_out = true;
		relay_send_cancel(worker, relay);
	} else if (relay->rang_out) {
		relay_finish(worker, relay, 408, "Request Timeout");
	} else {
		relay_finish(worker, relay, 487, "Request Terminated");
	}
}

static void be_due(struct worker *worker, struct relay *relay, int64_t now)
{
	switch (relay->state) {
	case RELAY_CALLING:
		if (now >= relay->deadline_us)
			is_silent(worker, relay);
		else
			repeat_request(worker, relay, now);
		break;
	case RELAY_PROCEEDING:
		if (now >= relay->deadline_us && relay->is_invite)
			is_not_answered(worker, relay);
		else if (now >= relay->deadline_us)
			relay_end_unanswered(worker, relay);
		else if (relay->is_invite)
			repeat_cancel(worker, relay, now);
		else
			repeat_request(worker, relay, now);
		break;
	case RELAY_FAILED:
		if (now >= relay->deadline_us) {
			relay_end(worker, relay);
		} else {
			if (relay->answer != NULL)
				reply_path_send(&relay->path, (struct span){ relay->answer, relay->answer_length });
			double_interval(relay, true);
			relay_arm(worker->relays, relay, next_repeat(relay, now));
		}
		break;
	case RELAY_ACCEPTED:
	case RELAY_OVER:
		relay_end(worker, relay);
		break;
	}
}

bool relays_tick(struct worker *worker)
{
	int64_t now = monotonic_us();
	struct relay *relay = NULL;
	unsigned seen = 0;

	while (seen < DUE_PER_TICK && (relay = relays_take_due(worker->relays, now)) != NULL) {
		be_due(worker, relay, now);
		seen++;
	}
	if (seen > 0)
		relays_sort_freed();
	return relay != NULL;
}
