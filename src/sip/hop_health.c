#include "hop_health.h"

#define FAILURES_MAX 2
#define PROBE_TIMEOUT_US INT64_C(2000000)
#define PROBE_DOWN_US INT64_C(2000000) /* between two probes of a hop that failed */
#define RETRY_US INT64_C(30000000)     /* without probes */

void hop_health_start(struct hop_health *health, int64_t now_us)
{
	*health = (struct hop_health){ .probe_us = now_us };
}

enum hop_change hop_health_answered(struct hop_health *health, int64_t now_us, int64_t interval_us)
{
	bool was_down = health->down;

	*health = (struct hop_health){ .probe_us = now_us + interval_us };
	return was_down ? HOP_CAME_UP : HOP_UNCHANGED;
}

enum hop_change hop_health_failed(struct hop_health *health, int64_t now_us, enum hop_failure failure)
{
	health->failures = failure == HOP_REFUSED ? FAILURES_MAX : health->failures + 1;
	health->failed_us = now_us;
	/* A request that failed says nothing of a probe that is under way. */
	if (failure != HOP_FAILED)
		health->probing = false;
	if (!health->probing)
		health->probe_us = now_us + PROBE_DOWN_US;
	if (health->down || health->failures < FAILURES_MAX)
		return HOP_UNCHANGED;
	health->down = true;
	return HOP_WENT_DOWN;
}

static enum hop_change give_up_probe(struct hop_health *health, int64_t now_us)
{
	enum hop_change change = hop_health_failed(health, now_us, HOP_SILENT);

	/* It has had its time: the next one follows at once. */
	health->probe_us = now_us;
	return change;
}

enum hop_change hop_health_tick(struct hop_health *health, int64_t now_us, int64_t interval_us, bool *send)
{
	int64_t longest_us = interval_us > PROBE_DOWN_US ? interval_us : PROBE_DOWN_US;
	enum hop_change change = HOP_UNCHANGED;

	*send = false;
	if (health->probing && now_us - health->probe_us >= PROBE_TIMEOUT_US)
		change = give_up_probe(health, now_us);
	if (health->probing || interval_us == 0)
		return change;
	/* The interval may have become shorter since. */
	if (health->probe_us - now_us > longest_us)
		health->probe_us = now_us + longest_us;
	if (now_us < health->probe_us)
		return change;
	health->probing = *send = true;
	health->probe_us = now_us;
	return change;
}

bool hop_health_is_last(const struct hop_health *health, int64_t now_us, int64_t interval_us)
{
	return health->down && (interval_us > 0 || now_us - health->failed_us < RETRY_US);
}
