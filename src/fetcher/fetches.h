/* fetches.h: what is being fetched and what waits for its turn. One fetch for each URL, however many want it;
 * caps in all and for each host; hosts that answered before come first; a host that fails is left alone for a
 * while, then tried with one fetch (a circuit breaker); a budget and a share for each peer whose calls name
 * the URLs. */
#ifndef STIRRUP_FETCHER_FETCHES_H
#define STIRRUP_FETCHER_FETCHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/http_fetch.h"
#include "stirrup/x5u_url.h"

#define FETCHES_QUEUE_MAX 1024
#define FETCHES_QUEUE_MAX_PER_HOST 64
#define FETCHES_QUEUE_MAX_PER_PEER 512
#define FETCHES_WAITERS_MAX 65536
#define FETCHES_HOST_SIZE (X5U_HOST_MAX + sizeof ":65535")

struct fetch_rules {
	unsigned max, max_per_host;
	unsigned failures_max; /* in a row, of one host */
	unsigned left_alone_ms;
	unsigned per_peer; /* new URLs a second */
};

/* Who wants to know. */
struct fetch_waiter {
	uint64_t peer; /* whose call named the URL; 0: nobody's budget is touched */
	uint32_t worker;
	uint64_t id;
	int64_t deadline_us; /* monotonic; is not called back later */
};

/* Called once for each fetch. A fetch for which nobody waits any more before its turn is dropped, without a
 * call. */
typedef void fetches_done(void *context, const char *url, const struct http_answer *answer,
	const struct fetch_waiter *waiters, size_t waiter_count);

struct fetches;
struct fetches *fetches_new(
	struct http_client *http, fetches_done *done, void *context); /* NULL: out of memory */
void fetches_free(struct fetches *fetches); /* NULL is fine; before the http_client */

void fetches_use(struct fetches *fetches, const struct fetch_rules *rules);

enum fetches_answer {
	FETCHES_WAIT,            /* done will be called */
	FETCHES_BUSY,            /* no place */
	FETCHES_OVER_BUDGET,     /* no place for this peer */
	FETCHES_HOST_LEFT_ALONE, /* *left_ms says for how long */
};

/* Wants url, of host (with its port), to be fetched. waiter NULL: nobody waits, and the fetch is made
 * nevertheless. */
enum fetches_answer fetches_want(struct fetches *fetches, const char *url, const char *host,
	const struct fetch_waiter *waiter, unsigned *left_ms);

#endif
