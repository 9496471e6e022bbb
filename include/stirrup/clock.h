/* clock.h: the two clocks. Timers and deadlines use the monotonic one, iat and Date the wall clock. */
#ifndef STIRRUP_CLOCK_H
#define STIRRUP_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_microseconds(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* The same in all processes of one machine. */
static inline int64_t monotonic_us(void)
{
	return clock_microseconds(CLOCK_MONOTONIC);
}

/* Since 1970-01-01 UTC. */
static inline int64_t wall_us(void)
{
	return clock_microseconds(CLOCK_REALTIME);
}

#endif
