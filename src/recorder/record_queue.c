#include "stirrup/record_queue.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "stirrup/channel.h"
#include "stirrup/record_message.h"

/* The kernel keeps a message in a buffer of a power of two, and some 350 bytes of its own beside it: this
 * much fits into 8 KiB, a byte more than fits costs another 8. An item that is longer goes alone. */
#define PACKED_MAX 7680
#define MESSAGES_MAX (RECORD_QUEUE_BYTES / RECORD_MESSAGE_MAX)
#define BURST 128 /* messages after which memory is given back to the system */

struct record_queue_message {
	struct record_queue_message *next;
	size_t length;
	char bytes[RECORD_MESSAGE_MAX];
};

/* An emptied message stays for the next item: most of the time there is never more than one. */
static struct record_queue_message *message_for(struct record_queue *queue, size_t length)
{
	struct record_queue_message *last = queue->last, *message;

	if (last != NULL && (last->length == 0 || last->length + length <= PACKED_MAX))
		return last;
	if (queue->messages >= MESSAGES_MAX)
		return NULL;
	message = malloc(sizeof *message);
	if (message == NULL)
		return NULL;
	message->next = NULL;
	message->length = 0;
	if (last == NULL)
		queue->first = message;
	else
		last->next = message;
	queue->last = message;
	return message;
}

bool record_queue_put(struct record_queue *queue, const char *item, size_t length)
{
	struct record_queue_message *message = length > RECORD_ITEM_MAX ? NULL : message_for(queue, length);

	if (message == NULL)
		return false;
	if (message->length == 0 && ++queue->messages > queue->most)
		queue->most = queue->messages;
	memcpy(message->bytes + message->length, item, length);
	message->length += length;
	queue->length += length;
	return true;
}

static void end_burst(struct record_queue *queue)
{
	if (queue->most >= BURST)
		malloc_trim(0);
	queue->most = 0;
}

bool record_queue_flush(struct record_queue *queue, int channel)
{
	while (queue->length > 0) {
		struct record_queue_message *message = queue->first;

		if (!channel_send(channel, message->bytes, message->length, -1))
			return false;
		queue->length -= message->length;
		queue->messages--;
		message->length = 0;
		if (message->next != NULL) {
			queue->first = message->next;
			free(message);
		}
	}
	end_burst(queue);
	return true;
}
