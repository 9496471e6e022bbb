/* watch.h: what comes back from those who got our calls: who rejects what, and why. */
#ifndef STIRRUP_WATCH_H
#define STIRRUP_WATCH_H

#include "stirrup/sip_edit.h"
#include "worker_state.h"

/* Of the signature in an Identity header field of ours; never 0. */
uint32_t watch_mark(struct span identity);

/* Takes out each Reason, also one of several in a line, that tells of our own token (RFC 9410 section 7): it is ours to know, not the caller's. mark 0: we
 * made none. */
void watch_edit(struct sip_edit *edit, const struct sip_head *response, uint32_t mark);

/* Ends the record of a call with what the far side said. by: its address; note: of a call that goes on; empty: none. */
void watch_final(struct worker *worker, uint64_t record, const struct sip_head *response, const char *by, const char *note);

/* Counts rejections of what we signed or verified, by next hop, customer and code; each first one, and then ever fewer, are
 * logged. peer NULL: one that is not configured any more. */
void watch_count(const struct peer *peer, uint16_t customer, const struct sip_head *response, const char *by);

#endif
