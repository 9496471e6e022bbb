/* probe.h: OPTIONS to a next hop, to see whether it answers (RFC 3261 section 11). */
#ifndef STIRRUP_PROBE_H
#define STIRRUP_PROBE_H

#include "stirrup/hops.h"

/* A hops_send of hops.h; the worker is its context. */
void probe_send(const struct hop *hop, struct span via_branch, void *worker);

#endif
