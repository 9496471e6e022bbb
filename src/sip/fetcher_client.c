#include "worker_state.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "stirrup/channel.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"

#define REPLIES_PER_LOOK 32
#define TRUSTED_MAX 20000
#define DISTRUSTED_MAX 1024

static uint64_t hash_of(struct span text)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < text.length; i++)
		hash = (hash ^ (unsigned char)text.at[i]) * 1099511628211u;
	return hash;
}

uint64_t fetcher_client_peer(const struct peer *peer)
{
	return hash_of(span_of(peer->name)) | 1;
}

/* Each peer asks for itself: one whose budget is used up must not have the others turned away. */
static struct flight *flight_to(const struct worker *worker, uint64_t peer, struct span x5u, bool renew)
{
	uint64_t hash = hash_of(x5u);

	for (size_t i = 0; i < worker->flight_count; i++) {
		struct flight *flight = &worker->flights[i];

		if (flight->hash == hash && flight->renew == renew && flight->peer == peer && span_is(x5u, flight->x5u))
			return flight;
	}
	return NULL;
}

static void ask(struct worker *worker, struct flight *flight)
{
	struct fetch_request request = {
		.id = flight->id,
		.peer = flight->peer,
		.deadline_us = flight->deadline_us,
		.renew = flight->renew,
	};

	memcpy(request.x5u, flight->x5u, sizeof request.x5u);
	flight->asked = worker->fetcher_up && channel_send(worker->fetcher, &request, sizeof request, -1);
}

/* Longer than any call waits that takes this flight. */
static int64_t deadline_from(const struct worker *worker, int64_t now_us)
{
	return now_us + worker->generation->config->verification.call_deadline_ms * INT64_C(1500);
}

/* A call that comes later waits longer: the fetcher, which fetches nothing for which nobody waits, is told now and then. */
static void prolong(struct worker *worker, struct flight *flight)
{
	int64_t now = monotonic_us();

	if (flight->deadline_us - now >= worker->generation->config->verification.call_deadline_ms * INT64_C(1000))
		return;
	flight->deadline_us = deadline_from(worker, now);
	ask(worker, flight);
}

/* One question for each x5u, however many calls of a peer want to know. */
static bool take_off(struct worker *worker, const struct peer *of_call, struct span x5u, bool renew)
{
	uint64_t peer = fetcher_client_peer(of_call);
	struct flight *flight = flight_to(worker, peer, x5u, renew);

	if (flight != NULL) {
		prolong(worker, flight);
		return true;
	}
	if (worker->flight_count == FLIGHTS_MAX)
		return false;
	flight = &worker->flights[worker->flight_count];
	if (!span_copy(flight->x5u, sizeof flight->x5u, x5u))
		return false;
	flight->id = ++worker->next_flight;
	flight->hash = hash_of(x5u);
	flight->peer = peer;
	flight->renew = renew;
	flight->deadline_us = deadline_from(worker, monotonic_us());
	worker->flight_count++;
	ask(worker, flight);
	deadlines_start(worker);
	return true;
}

static void land(struct worker *worker, struct flight *flight)
{
	*flight = worker->flights[--worker->flight_count];
}

bool fetcher_client_find(
	struct worker *worker, const struct peer *peer, struct span x5u, struct known_certificate *known, bool *busy)
{
	int64_t now = wall_us() / 1000000;

	*busy = false;
	if (facts_table_find(worker->trusted, x5u, now, known)) {
		if (known->facts->refresh_after <= now)
			take_off(worker, peer, x5u, false);
		return true;
	}
	if (facts_table_find(worker->distrusted, x5u, now, known))
		return true;
	*busy = !take_off(worker, peer, x5u, false);
	return false;
}

bool fetcher_client_recall(struct worker *worker, struct span x5u, struct known_certificate *known)
{
	return facts_table_find(worker->trusted, x5u, 0, known) || facts_table_find(worker->distrusted, x5u, 0, known);
}

bool fetcher_client_renew(struct worker *worker, const struct peer *peer, struct span x5u)
{
	return take_off(worker, peer, x5u, true);
}

static void learn(struct worker *worker, const struct certificate_facts *facts)
{
	struct facts_table *table = facts->verdict == VERDICT_PASSED ? worker->trusted : worker->distrusted;
	struct facts_table *other = table == worker->trusted ? worker->distrusted : worker->trusted;

	facts_table_forget(other, span_of(facts->x5u));
	if (facts_table_put(table, facts))
		verify_calls_learn(worker, span_of(facts->x5u));
	else
		log_error("the fetcher sent facts that cannot be used");
}

static void take_reply(struct worker *worker, const struct fetch_reply *reply)
{
	uint64_t peer = 0;

	if (reply->facts.x5u[0] == '\0') {
		facts_table_forget_before(worker->trusted, reply->facts.trust_epoch);
		facts_table_forget_before(worker->distrusted, reply->facts.trust_epoch);
		return;
	}
	for (size_t i = 0; reply->id != 0 && i < worker->flight_count; i++) {
		if (worker->flights[i].id != reply->id)
			continue;
		peer = worker->flights[i].peer;
		land(worker, &worker->flights[i]);
		break;
	}
	if (reply->facts.verdict == VERDICT_FETCHER_BUSY)
		verify_calls_turn_away(worker, span_of(reply->facts.x5u), peer);
	else
		learn(worker, &reply->facts);
}

static bool is_whole(const struct fetch_reply *reply, size_t length)
{
	return length >= offsetof(struct fetch_reply, facts.constraints) &&
		reply->facts.constraints_length <= FACTS_CONSTRAINTS_MAX && length == FETCH_REPLY_BYTES(reply) &&
		memchr(reply->facts.x5u, '\0', sizeof reply->facts.x5u) != NULL;
}

void fetcher_client_receive(struct worker *worker)
{
	static struct fetch_reply reply;

	for (int i = 0; i < REPLIES_PER_LOOK; i++) {
		ssize_t length = channel_receive(worker->fetcher, &reply, sizeof reply, NULL);

		if (length <= 0)
			return;
		if (is_whole(&reply, (size_t)length))
			take_reply(worker, &reply);
		else
			log_error("the fetcher sent a reply of a wrong length");
	}
}

void fetcher_client_ask_again(struct worker *worker)
{
	for (size_t i = 0; i < worker->flight_count; i++)
		ask(worker, &worker->flights[i]);
}

void fetcher_client_tick(struct worker *worker)
{
	int64_t now = monotonic_us();

	for (size_t i = worker->flight_count; i > 0; i--) {
		struct flight *flight = &worker->flights[i - 1];

		if (flight->deadline_us <= now)
			land(worker, flight);
		else if (!flight->asked)
			ask(worker, flight);
	}
}

bool fetcher_client_waits(const struct worker *worker)
{
	return worker->flight_count > 0;
}

bool fetcher_client_open(struct worker *worker)
{
	worker->judging = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	worker->flights = calloc(FLIGHTS_MAX, sizeof *worker->flights);
	worker->trusted = facts_table_new(TRUSTED_MAX);
	worker->distrusted = facts_table_new(DISTRUSTED_MAX);
	/* A reply that was meant for a predecessor of this process must not end a flight of ours. */
	worker->next_flight = (uint64_t)monotonic_us();
	return worker->judging >= 0 && worker->flights != NULL && worker->trusted != NULL && worker->distrusted != NULL;
}

void fetcher_client_close(struct worker *worker)
{
	if (worker->judging >= 0)
		close(worker->judging);
	facts_table_free(worker->trusted);
	facts_table_free(worker->distrusted);
	free(worker->flights);
}
