/* hop_health.h: whether a hop answers, and when it is to be asked. Pure: time and the interval of probes are
 * parameters, in microseconds; an interval of 0 means that there are no probes. */
#ifndef STIRRUP_SIP_HOP_HEALTH_H
#define STIRRUP_SIP_HOP_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

struct hop_health {
	bool down;
	bool probing;      /* an OPTIONS is under way */
	unsigned failures; /* in a row */
	int64_t probe_us;  /* when it was sent; else, when the next one is due */
	int64_t failed_us; /* the last failure */
};

enum hop_failure {
	HOP_FAILED,      /* a request: nothing until the end of its transaction, or 503 */
	HOP_REFUSED,     /* a connection that cannot be made */
	HOP_SILENT,      /* a probe: nothing in time, or 408 */
	HOP_UNAVAILABLE, /* a probe: 503 */
};

enum hop_change { HOP_UNCHANGED, HOP_WENT_DOWN, HOP_CAME_UP };

void hop_health_start(struct hop_health *health, int64_t now_us);

enum hop_change hop_health_answered(struct hop_health *health, int64_t now_us, int64_t interval_us);
enum hop_change hop_health_failed(struct hop_health *health, int64_t now_us, enum hop_failure failure);

/* Gives up an unanswered probe. *send: a new one is to be sent, and counts as under way from now on. */
enum hop_change hop_health_tick(struct hop_health *health, int64_t now_us, int64_t interval_us, bool *send);

/* Whether it is to be tried behind the others. Without probes somebody's call has to find out whether it is
 * back. */
bool hop_health_is_last(const struct hop_health *health, int64_t now_us, int64_t interval_us);

#endif
