/* outbox.h: replies on their way to one worker, in order. What its channel does not take at once waits here.
 */
#ifndef STIRRUP_FETCHER_OUTBOX_H
#define STIRRUP_FETCHER_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/fetcher.h"

#define OUTBOX_MAX 65536
#define OUTBOX_CROWDED 1024

/* One answer, shared by all that get it. */
struct shared_reply;
struct shared_reply *shared_reply_new(const struct certificate_facts *facts); /* NULL when out of memory */
void shared_reply_unref(struct shared_reply *reply);                          /* NULL is fine */

struct outbox;
struct outbox *outbox_new(int channel);  /* NULL when out of memory. The channel remains the caller's. */
void outbox_free(struct outbox *outbox); /* NULL is fine */

/* Sends it under this id, at once or later; not after the deadline (monotonic). False: there is no place, it
 * is dropped. */
bool outbox_send(struct outbox *outbox, struct shared_reply *reply, uint64_t id, int64_t deadline_us);

/* Sends it with id 0 before all else, whenever that is possible; the last announcement counts. */
void outbox_announce(struct outbox *outbox, struct shared_reply *reply);

/* To be called when the channel takes something again. */
void outbox_flush(struct outbox *outbox);
bool outbox_is_waiting(const struct outbox *outbox);

/* So many wait that nothing more should be read from this worker before it reads. */
bool outbox_is_crowded(const struct outbox *outbox);

#endif
