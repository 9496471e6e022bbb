/* record_queue.h: what a worker has for the recorder, put into as few messages as possible. It is also where records
 * wait while the recorder is held up (a slow disk): up to RECORD_QUEUE_BYTES, which is some 40,000 records. */
#ifndef STIRRUP_RECORD_QUEUE_H
#define STIRRUP_RECORD_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#define RECORD_QUEUE_BYTES (32 << 20)

struct record_queue_message;

/* All zeros: empty. */
struct record_queue {
	struct record_queue_message *first, *last;
	size_t length;            /* bytes that wait */
	unsigned messages, most;  /* that wait; that waited since it was empty */
};

/* Takes a copy of one item (record_message.h). False: no room. */
bool record_queue_put(struct record_queue *queue, const char *item, size_t length);

/* Sends what the channel takes. True when nothing waits any more. */
bool record_queue_flush(struct record_queue *queue, int channel);

#endif
