#include "relay_state.h"

#include <assert.h>
#include <errno.h>

#include "outgoing.h"
#include "stirrup/clock.h"

#define LONG_MESSAGE 1300 /* RFC 3261 section 18.1.1 */

static char made[MESSAGE_BYTES_MAX];

/* An attempt is one hex digit of the branch. */
static_assert(RELAY_ATTEMPTS <= 16 && HOPS_CHOSEN_MAX < RELAY_BY_TCP, "attempts and their hops fit");

bool relay_send(struct worker *worker, struct relay *relay, struct span message, bool waits)
{
	struct sockaddr_storage to = relay_hop_address(relay, relay->hop);

	return message.length > 0 && egress_send(&relay->egress, worker->agent, &to, message,
		waits ? &relay->wait : NULL, relay);
}

/* What was made here. */
static bool send_made(struct worker *worker, struct relay *relay, size_t length, bool waits)
{
	return relay_send(worker, relay, (struct span){ made, length }, waits);
}

static bool choose_egress(struct relay *relay, enum transport transport)
{
	return relay->egress_given || egress_find(&relay->egress, relay->generation->config, transport,
		relay->hops[relay->hop].address.any.sa_family, relay->listener);
}

/* Remembers where the attempt goes that is about to be sent. */
static void note_attempt(struct relay *relay)
{
	relay->tried[relay->attempt % RELAY_ATTEMPTS] =
		(uint8_t)(relay->hop | (relay->egress.transport == TRANSPORT_TCP ? RELAY_BY_TCP : 0));
}

uint8_t relay_hop_of_attempt(const struct relay *relay, unsigned attempt)
{
	return relay->tried[attempt % RELAY_ATTEMPTS] & (uint8_t)~RELAY_BY_TCP;
}

bool relay_turn_to(struct relay *relay, unsigned attempt)
{
	uint8_t tried = relay->tried[attempt % RELAY_ATTEMPTS];

	relay->hop = relay_hop_of_attempt(relay, attempt);
	return choose_egress(relay, (tried & RELAY_BY_TCP) != 0 ? TRANSPORT_TCP : relay->hops[relay->hop].transport);
}

void relay_send_to_attempt(struct worker *worker, const struct relay *relay, unsigned attempt, const char *method,
	struct span to)
{
	struct relay then = *relay;

	if (relay->rest == NULL || attempt == 0 || attempt > relay->attempt)
		return;
	then.attempt = (uint8_t)attempt;
	then.wait = (struct egress_wait){ 0 };
	if (relay_turn_to(&then, attempt))
		send_made(worker, &then, relay_follower(made, sizeof made, worker, &then, method, to), false);
}

void relay_send_cancel(struct worker *worker, struct relay *relay)
{
	relay->cancel_sent = true;
	relay->interval_us = T1_US;
	relay->deadline_us = monotonic_us() + TRANSACTION_US;
	send_made(worker, relay, relay_follower(made, sizeof made, worker, relay, "CANCEL", (struct span){ "", 0 }), false);
	relay_arm(worker->relays, relay, monotonic_us() + T1_US);
}

/* RFC 3261 section 18.1.1: a long request goes by TCP where nothing says which transport to take. */
static bool wants_tcp(const struct relay *relay, const struct kept_hop *hop, size_t length)
{
	struct egress unused;

	return length > LONG_MESSAGE && hop->transport == TRANSPORT_UDP && !hop->transport_given && !hop->takes_no_tcp &&
		!relay->by_size && !relay->egress_given &&
		egress_find(&unused, relay->generation->config, TRANSPORT_TCP, hop->address.any.sa_family, relay->listener);
}

static void note_no_tcp(struct worker *worker, const struct relay *relay)
{
	struct sockaddr_storage address = relay_hop_address(relay, relay->hop);

	hops_takes_no_tcp(worker->hops, &address);
}

bool relay_send_to_hop(struct worker *worker, struct relay *relay)
{
	const struct kept_hop *hop = &relay->hops[relay->hop];
	bool last = relay->hop + 1 == relay->hop_count;
	size_t length;
	int64_t now = monotonic_us();

	relay->attempt++;
	relay->sent_again = false;
	relay->state = RELAY_CALLING;
	relay->interval_us = T1_US;
	relay->deadline_us = now + (last || !relay->is_invite ? TRANSACTION_US : FAILOVER_US);
	if (!choose_egress(relay, hop->transport))
		return false;
	note_attempt(relay);
	length = relay_request(made, sizeof made, worker, relay);
	if (length == 0) {
		relay_finish(worker, relay, 513, "Message Too Large");
		return true;
	}
	if (wants_tcp(relay, hop, length)) {
		relay->by_size = true;
		relay->deadline_us = now + FAILOVER_US;
		choose_egress(relay, TRANSPORT_TCP);
		note_attempt(relay);
		if (send_made(worker, relay, relay_request(made, sizeof made, worker, relay), true)) {
			relay_arm(worker->relays, relay, relay->deadline_us);
			return true;
		}
		note_no_tcp(worker, relay);
		relay->deadline_us = now + (last || !relay->is_invite ? TRANSACTION_US : FAILOVER_US);
		choose_egress(relay, hop->transport);
		relay->attempt++;
		note_attempt(relay);
		length = relay_request(made, sizeof made, worker, relay);
	}
	if (!send_made(worker, relay, length, true))
		return false;
	relay_arm(worker->relays, relay, relay->egress.transport == TRANSPORT_UDP ? now + T1_US : relay->deadline_us);
	return true;
}

void relay_blame(struct worker *worker, const struct relay *relay, enum hop_failure failure)
{
	struct sockaddr_storage address = relay_hop_address(relay, relay->hop);
	enum transport transport = relay->hops[relay->hop].transport;

	/* It is known by its own transport, even where a long request has gone by another. */
	switch (failure) {
	case HOP_SILENT:
	case HOP_UNAVAILABLE:
		hops_failed(worker->hops, &address, transport);
		break;
	case HOP_REFUSES:
		hops_refused(worker->hops, &address, transport);
		break;
	}
}

bool relay_is_by_size(const struct relay *relay)
{
	return relay->by_size && relay->egress.transport == TRANSPORT_TCP;
}

void relay_fail_over(struct worker *worker, struct relay *relay, enum hop_failure failure)
{
	bool takes_no_tcp = relay_is_by_size(relay) && relay->state == RELAY_CALLING &&
		(failure == HOP_REFUSES || !egress_is_connected(&relay->wait));

	egress_forget(&relay->wait);
	/* What was too long for UDP goes by UDP all the same where the hop takes no TCP. */
	if (takes_no_tcp) {
		note_no_tcp(worker, relay);
		if (!relay->cancel_wanted && relay_send_to_hop(worker, relay))
			return;
	}
	relay_blame(worker, relay, failure);
	while (!relay->cancel_wanted && relay->hop + 1 < relay->hop_count) {
		relay->hop++;
		relay->by_size = false;
		if (relay_send_to_hop(worker, relay))
			return;
		relay_blame(worker, relay, HOP_REFUSES);
	}
	if (relay->cancel_wanted)
		relay_finish(worker, relay, 487, "Request Terminated");
	else if (failure != HOP_SILENT)
		relay_finish(worker, relay, 503, "Service Unavailable");
	else if (relay->is_invite)
		relay_finish(worker, relay, 408, "Request Timeout");
	else
		relay_end_unanswered(worker, relay);
}

/* 0: by the other side, in due form. */
static bool was_closed(int error)
{
	return error == 0 || error == ECONNRESET || error == EPIPE;
}

/* By another connection, once: the one that is closed may have been idle for too long just when the request was sent. Who has
 * read it all the same knows it by its branch. */
static bool send_again(struct worker *worker, struct relay *relay)
{
	if (relay->sent_again || relay->cancel_wanted)
		return false;
	egress_forget(&relay->wait);
	relay->sent_again = true;
	return send_made(worker, relay, relay_request(made, sizeof made, worker, relay), true);
}

void relay_connection_failed(nta_agent_t *agent, void *owner, int error)
{
	struct worker *worker = (struct worker *)nta_agent_magic(agent);
	struct relay *relay = owner;

	if (relay->state != RELAY_CALLING)
		egress_forget(&relay->wait);
	else if (!was_closed(error) || !send_again(worker, relay))
		relay_fail_over(worker, relay, HOP_REFUSES);
}
