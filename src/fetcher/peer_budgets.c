#include "peer_budgets.h"

#include <stdlib.h>

#include "lru.h"

#define PEERS_MAX 4096
#define WHOLE 1000000 /* one fetch, in the unit of struct bucket */

struct bucket {
	int64_t level;
	int64_t filled_us;
};

struct peer_budgets {
	unsigned per_second;
	struct lru *buckets; /* peer -> struct bucket; who is not there has a full one */
};

struct peer_budgets *peer_budgets_new(void)
{
	struct peer_budgets *budgets = calloc(1, sizeof *budgets);

	if (budgets == NULL)
		return NULL;
	budgets->buckets = lru_new(PEERS_MAX, SIZE_MAX);
	if (budgets->buckets == NULL) {
		free(budgets);
		return NULL;
	}
	return budgets;
}

void peer_budgets_free(struct peer_budgets *budgets)
{
	if (budgets == NULL)
		return;
	lru_free(budgets->buckets);
	free(budgets);
}

void peer_budgets_use(struct peer_budgets *budgets, unsigned per_second)
{
	budgets->per_second = per_second;
}

static void fill(const struct peer_budgets *budgets, struct bucket *bucket, int64_t now_us)
{
	int64_t full = (int64_t)budgets->per_second * PEER_BUDGETS_BURST * WHOLE;
	int64_t elapsed_us = now_us - bucket->filled_us;

	/* Longer than it takes to fill an empty one, so that the product below cannot overflow. */
	if (elapsed_us > PEER_BUDGETS_BURST * INT64_C(1000000))
		elapsed_us = PEER_BUDGETS_BURST * INT64_C(1000000);
	if (bucket->level > full)
		bucket->level = full;
	if (elapsed_us > 0)
		bucket->level += elapsed_us * budgets->per_second;
	if (bucket->level > full)
		bucket->level = full;
	bucket->filled_us = now_us;
}

bool peer_budgets_take(struct peer_budgets *budgets, uint64_t peer, int64_t now_us)
{
	struct span key = { (const char *)&peer, sizeof peer };
	struct bucket *bucket = lru_find(budgets->buckets, key);
	struct bucket full = { INT64_MAX, now_us };

	if (bucket == NULL)
		bucket = lru_put(budgets->buckets, key, &full, sizeof full);
	if (bucket == NULL)
		return false;
	fill(budgets, bucket, now_us);
	if (bucket->level < WHOLE)
		return false;
	bucket->level -= WHOLE;
	return true;
}
