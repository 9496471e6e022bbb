#include "fetches.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lru.h"
#include "peer_budgets.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"
#include "stirrup/passport.h"
#include "stirrup/x5u_url.h"

#define HOSTS_MAX 4096
#define EVICTION_TRIES 16

/* Known as long as something of it is fetched or waits, and after that by how it fared. */
struct host {
	char name[FETCHES_HOST_SIZE];
	unsigned running, queued;
	bool answers;      /* it did, and has not failed since */
	unsigned failures; /* in a row, the last fetch included */
	int64_t left_alone_until_us;
};

/* Known as long as something that a peer's calls named is fetched or waits. */
struct share {
	uint64_t peer;
	unsigned running, queued;
	unsigned running_unproven; /* as of take_stock() */
};

struct fetch {
	struct fetches *fetches;
	struct fetch *next, *previous;
	struct host *host;
	struct share *share; /* of the peer that named it first; NULL: nobody's */
	bool running;
	bool unconditional; /* wanted also by somebody who does not wait */
	uint64_t url_hash;
	char url[PASSPORT_X5U_MAX + 1];
	struct fetch_waiter *waiters;
	size_t waiter_count, waiter_room;
};

struct fetches {
	struct http_client *http;
	fetches_done *done;
	void *context;
	struct fetch_rules rules;
	struct fetch *first, *last; /* in the order in which they were wanted */
	size_t running, queued, waiters;
	size_t running_suspects; /* of hosts that failed the last time; both as of take_stock() */
	size_t running_unproven; /* of those and of hosts that are new */
	struct lru *hosts;       /* name -> struct host * */
	struct peer_budgets *budgets;
	struct log_limiter failing_limiter;
};

static uint64_t hash_of(const char *text)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
	return hash;
}

/* --- Hosts --- */

static struct host *known_host(struct fetches *fetches, const char *name)
{
	struct host *const *host = lru_find(fetches->hosts, span_of(name));

	return host == NULL ? NULL : *host;
}

static void forget_host(struct fetches *fetches, struct host *host)
{
	lru_remove(fetches->hosts, span_of(host->name));
	free(host);
}

static bool is_idle(const struct host *host)
{
	return host->running + host->queued == 0;
}

/* Of those that only fail, before those that answer; those at work are few. */
static void make_room_for_host(struct fetches *fetches)
{
	for (int tries = 0; tries < 2 * EVICTION_TRIES && lru_count(fetches->hosts) >= HOSTS_MAX; tries++) {
		struct span name;
		struct host *const *oldest = lru_oldest(fetches->hosts, &name);

		if (is_idle(*oldest) && (!(*oldest)->answers || tries >= EVICTION_TRIES))
			forget_host(fetches, *oldest);
		else
			lru_find(fetches->hosts, name);
	}
}

static struct host *host_named(struct fetches *fetches, const char *name)
{
	struct host *host = known_host(fetches, name);

	if (host != NULL)
		return host;
	make_room_for_host(fetches);
	host = calloc(1, sizeof *host);
	if (host == NULL)
		return NULL;
	snprintf(host->name, sizeof host->name, "%s", name);
	if (lru_put(fetches->hosts, span_of(host->name), &host, sizeof host) == NULL) {
		free(host);
		return NULL;
	}
	return host;
}

static void forget_host_if_idle(struct fetches *fetches, struct host *host)
{
	if (is_idle(host) && host->failures == 0 && !host->answers)
		forget_host(fetches, host);
}

static unsigned left_alone_ms(const struct host *host)
{
	int64_t now = monotonic_us();

	if (host == NULL || host->left_alone_until_us <= now)
		return 0;
	return (unsigned)((host->left_alone_until_us - now + 999) / 1000);
}

static void set_standing(struct host *host, unsigned failures)
{
	host->failures = failures;
	host->answers = failures == 0;
}

static void note_outcome(struct fetches *fetches, struct host *host, const struct http_answer *answer)
{
	unsigned limit = fetches->rules.failures_max;
	unsigned long more;

	if (!answer->host_fails) {
		if (host->failures >= limit)
			log_notice("%s answers again", host->name);
		set_standing(host, 0);
		host->left_alone_until_us = 0;
		return;
	}
	set_standing(host, host->failures + 1);
	if (host->failures >= limit)
		host->left_alone_until_us = monotonic_us() + fetches->rules.left_alone_ms * INT64_C(1000);
	if (host->failures == limit && log_allowed(&fetches->failing_limiter, &more))
		log_warning("%s failed %u times in a row and is left alone for %u s at a time (and %lu other "
			    "hosts before it): %s",
			host->name, limit, fetches->rules.left_alone_ms / 1000, more, answer->detail);
}

/* --- Peers --- */

static struct share *share_of(const struct fetches *fetches, uint64_t peer)
{
	const struct fetch *fetch = fetches->first;

	while (fetch != NULL && (fetch->share == NULL || fetch->share->peer != peer))
		fetch = fetch->next;
	return fetch == NULL ? NULL : fetch->share;
}

/* NULL when out of memory: then the fetch is nobody's. */
static struct share *share_for(const struct fetches *fetches, uint64_t peer)
{
	struct share *share = share_of(fetches, peer);

	if (share == NULL)
		share = calloc(1, sizeof *share);
	if (share != NULL)
		share->peer = peer;
	return share;
}

static void forget_share_if_idle(struct fetch *fetch)
{
	if (fetch->share != NULL && fetch->share->running + fetch->share->queued == 0)
		free(fetch->share);
	fetch->share = NULL;
}

/* --- The list --- */

static struct fetch *find(const struct fetches *fetches, const char *url)
{
	uint64_t hash = hash_of(url);
	struct fetch *fetch = fetches->first;

	while (fetch != NULL && (fetch->url_hash != hash || strcmp(fetch->url, url) != 0))
		fetch = fetch->next;
	return fetch;
}

static void count_running(struct fetch *fetch, size_t change)
{
	fetch->fetches->running += change;
	fetch->host->running += (unsigned)change;
	if (fetch->share != NULL)
		fetch->share->running += (unsigned)change;
}

static void count_queued(struct fetch *fetch, size_t change)
{
	fetch->fetches->queued += change;
	fetch->host->queued += (unsigned)change;
	if (fetch->share != NULL)
		fetch->share->queued += (unsigned)change;
}

static void take_out(struct fetch *fetch)
{
	struct fetches *fetches = fetch->fetches;

	if (fetch->previous != NULL)
		fetch->previous->next = fetch->next;
	else
		fetches->first = fetch->next;
	if (fetch->next != NULL)
		fetch->next->previous = fetch->previous;
	else
		fetches->last = fetch->previous;
	if (fetch->running)
		count_running(fetch, (size_t)-1);
	else
		count_queued(fetch, (size_t)-1);
	fetches->waiters -= fetch->waiter_count;
	forget_host_if_idle(fetches, fetch->host);
	forget_share_if_idle(fetch);
}

static void fetch_free(struct fetch *fetch)
{
	free(fetch->waiters);
	free(fetch);
}

static struct fetch *append(struct fetches *fetches, const char *url, struct host *host, uint64_t peer)
{
	struct fetch *fetch = calloc(1, sizeof *fetch);

	if (fetch == NULL)
		return NULL;
	fetch->fetches = fetches;
	fetch->host = host;
	fetch->share = peer == 0 ? NULL : share_for(fetches, peer);
	fetch->url_hash = hash_of(url);
	snprintf(fetch->url, sizeof fetch->url, "%s", url);
	fetch->previous = fetches->last;
	if (fetches->last != NULL)
		fetches->last->next = fetch;
	else
		fetches->first = fetch;
	fetches->last = fetch;
	count_queued(fetch, 1);
	return fetch;
}

static bool add_waiter(struct fetch *fetch, const struct fetch_waiter *waiter)
{
	if (waiter == NULL) {
		fetch->unconditional = true;
		return true;
	}
	if (fetch->fetches->waiters >= FETCHES_WAITERS_MAX)
		return false;
	if (fetch->waiter_count == fetch->waiter_room) {
		size_t room = fetch->waiter_room * 2 + 4;
		struct fetch_waiter *waiters = realloc(fetch->waiters, room * sizeof *waiters);

		if (waiters == NULL)
			return false;
		fetch->waiters = waiters;
		fetch->waiter_room = room;
	}
	fetch->waiters[fetch->waiter_count++] = *waiter;
	fetch->fetches->waiters++;
	return true;
}

static bool is_wanted(const struct fetch *fetch)
{
	int64_t now = monotonic_us();

	for (size_t i = 0; i < fetch->waiter_count; i++)
		if (fetch->waiters[i].deadline_us > now)
			return true;
	return fetch->unconditional;
}

/* --- Whose turn it is --- */

/* Which of what runs may hold its place until the deadline. */
static void take_stock(struct fetches *fetches)
{
	fetches->running_suspects = 0;
	fetches->running_unproven = 0;
	for (struct fetch *fetch = fetches->first; fetch != NULL; fetch = fetch->next)
		if (fetch->share != NULL)
			fetch->share->running_unproven = 0;
	for (struct fetch *fetch = fetches->first; fetch != NULL; fetch = fetch->next) {
		if (!fetch->running || fetch->host->answers)
			continue;
		fetches->running_unproven++;
		if (fetch->host->failures > 0)
			fetches->running_suspects++;
		if (fetch->share != NULL)
			fetch->share->running_unproven++;
	}
}

/* Hosts that failed the last time take at most half of the places, those and new ones three quarters, so that
 * those that answer are not behind them; one that was left alone gets one try. */
static bool host_may_run(const struct fetches *fetches, const struct host *host)
{
	const struct fetch_rules *rules = &fetches->rules;

	if (host->answers)
		return host->running < rules->max_per_host;
	if (fetches->running_unproven >= rules->max - rules->max / 4 ||
		(host->failures > 0 && fetches->running_suspects >= (rules->max + 1) / 2))
		return false;
	return host->running < (host->failures >= rules->failures_max ? 1 : rules->max_per_host);
}

/* What one peer's calls name takes at most half of the places with hosts that did not answer yet, and not all
 * of them with any: the others' calls want some, too. */
static bool peer_may_run(const struct fetches *fetches, const struct fetch *fetch)
{
	unsigned max = fetches->rules.max;

	if (fetch->share == NULL)
		return true;
	return fetch->share->running < max - max / 8 &&
	       (fetch->host->answers || fetch->share->running_unproven < max - max / 2);
}

/* The lower the sooner: thousands of new hosts that say nothing must not be before the one that answers. */
static int rank(const struct host *host)
{
	return host->answers ? 0 : host->failures == 0 ? 1 : 2;
}

static struct fetch *next_to_run(struct fetches *fetches)
{
	struct fetch *next = NULL;

	take_stock(fetches);
	for (struct fetch *fetch = fetches->first; fetch != NULL; fetch = fetch->next)
		if (!fetch->running && (next == NULL || rank(fetch->host) < rank(next->host)) &&
			host_may_run(fetches, fetch->host) && peer_may_run(fetches, fetch))
			next = fetch;
	return next;
}

static void end(struct fetch *fetch, const struct http_answer *answer)
{
	struct fetches *fetches = fetch->fetches;

	take_out(fetch);
	fetches->done(fetches->context, fetch->url, answer, fetch->waiters, fetch->waiter_count);
	fetch_free(fetch);
}

static void end_without(struct fetch *fetch, const char *detail)
{
	struct http_answer answer = { .host_fails = true };

	snprintf(answer.detail, sizeof answer.detail, "%s", detail);
	end(fetch, &answer);
}

static void drop_unwanted(struct fetches *fetches)
{
	struct fetch *next;

	for (struct fetch *fetch = fetches->first; fetch != NULL; fetch = next) {
		next = fetch->next;
		if (fetch->running || is_wanted(fetch))
			continue;
		take_out(fetch);
		fetch_free(fetch);
	}
}

static void answered(void *context, const struct http_answer *answer);

static void run_what_may(struct fetches *fetches)
{
	struct fetch *fetch;

	drop_unwanted(fetches);
	while (fetches->running < fetches->rules.max && (fetch = next_to_run(fetches)) != NULL) {
		/* It may have failed since this one began to wait. */
		if (left_alone_ms(fetch->host) > 0) {
			end_without(fetch, "the host failed and is left alone for a while");
		} else if (!http_fetch(fetches->http, fetch->url, answered, fetch)) {
			end_without(fetch, "out of memory");
		} else {
			fetch->running = true;
			count_queued(fetch, (size_t)-1);
			count_running(fetch, 1);
		}
	}
}

static void answered(void *context, const struct http_answer *answer)
{
	struct fetch *fetch = context;
	struct fetches *fetches = fetch->fetches;

	note_outcome(fetches, fetch->host, answer);
	end(fetch, answer);
	run_what_may(fetches);
}

/* --- The verbs --- */

struct fetches *fetches_new(struct http_client *http, fetches_done *done, void *context)
{
	struct fetches *fetches = calloc(1, sizeof *fetches);

	if (fetches == NULL)
		return NULL;
	fetches->http = http;
	fetches->done = done;
	fetches->context = context;
	fetches->hosts = lru_new(HOSTS_MAX, SIZE_MAX);
	fetches->budgets = peer_budgets_new();
	if (fetches->hosts == NULL || fetches->budgets == NULL) {
		lru_free(fetches->hosts);
		peer_budgets_free(fetches->budgets);
		free(fetches);
		return NULL;
	}
	return fetches;
}

void fetches_free(struct fetches *fetches)
{
	struct host *const *host;
	struct span name;

	if (fetches == NULL)
		return;
	while (fetches->first != NULL) {
		struct fetch *fetch = fetches->first;

		take_out(fetch);
		fetch_free(fetch);
	}
	while ((host = lru_oldest(fetches->hosts, &name)) != NULL)
		forget_host(fetches, *host);
	lru_free(fetches->hosts);
	peer_budgets_free(fetches->budgets);
	free(fetches);
}

void fetches_use(struct fetches *fetches, const struct fetch_rules *rules)
{
	fetches->rules = *rules;
	peer_budgets_use(fetches->budgets, rules->per_peer);
	run_what_may(fetches);
}

static bool has_place(struct fetches *fetches, const char *name)
{
	const struct host *host;

	if (fetches->queued >= FETCHES_QUEUE_MAX)
		drop_unwanted(fetches);
	host = known_host(fetches, name);
	return fetches->queued < FETCHES_QUEUE_MAX &&
	       (host == NULL || host->queued < FETCHES_QUEUE_MAX_PER_HOST);
}

static bool is_within_budget(struct fetches *fetches, uint64_t peer)
{
	const struct share *share = peer == 0 ? NULL : share_of(fetches, peer);

	if (peer == 0)
		return true;
	if (share != NULL && share->queued >= FETCHES_QUEUE_MAX_PER_PEER)
		return false;
	return peer_budgets_take(fetches->budgets, peer, monotonic_us());
}

static bool enqueue(
	struct fetches *fetches, const char *url, const char *name, const struct fetch_waiter *waiter)
{
	struct host *host = host_named(fetches, name);
	struct fetch *fetch =
		host == NULL ? NULL : append(fetches, url, host, waiter == NULL ? 0 : waiter->peer);

	if (host != NULL && fetch == NULL)
		forget_host_if_idle(fetches, host);
	if (fetch == NULL)
		return false;
	if (add_waiter(fetch, waiter))
		return true;
	take_out(fetch);
	fetch_free(fetch);
	return false;
}

enum fetches_answer fetches_want(struct fetches *fetches, const char *url, const char *host,
	const struct fetch_waiter *waiter, unsigned *left_ms)
{
	struct fetch *fetch = find(fetches, url);

	if (fetch != NULL)
		return add_waiter(fetch, waiter) ? FETCHES_WAIT : FETCHES_BUSY;
	*left_ms = left_alone_ms(known_host(fetches, host));
	if (*left_ms > 0)
		return FETCHES_HOST_LEFT_ALONE;
	if (!has_place(fetches, host))
		return FETCHES_BUSY;
	if (waiter != NULL && !is_within_budget(fetches, waiter->peer))
		return FETCHES_OVER_BUDGET;
	if (!enqueue(fetches, url, host, waiter))
		return FETCHES_BUSY;
	run_what_may(fetches);
	return FETCHES_WAIT;
}
