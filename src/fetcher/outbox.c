#include "outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stirrup/channel.h"
#include "stirrup/clock.h"

#define ROOM_MIN 64

struct shared_reply {
	size_t references;
	struct fetch_reply reply; /* cut behind its constraints */
};

struct waiting {
	struct shared_reply *reply;
	uint64_t id;
	int64_t deadline_us;
};

struct outbox {
	int channel;
	struct shared_reply *announcement;
	struct waiting *ring; /* room is a power of two */
	size_t room, first, count;
};

/* --- Replies --- */

struct shared_reply *shared_reply_new(const struct certificate_facts *facts)
{
	size_t size = offsetof(struct certificate_facts, constraints) + facts->constraints_length;
	struct shared_reply *shared = malloc(offsetof(struct shared_reply, reply.facts) + size);

	if (shared == NULL)
		return NULL;
	shared->references = 1;
	shared->reply.id = 0;
	memcpy(&shared->reply.facts, facts, size);
	return shared;
}

static struct shared_reply *ref(struct shared_reply *reply)
{
	reply->references++;
	return reply;
}

void shared_reply_unref(struct shared_reply *reply)
{
	if (reply != NULL && --reply->references == 0)
		free(reply);
}

/* --- The outbox --- */

struct outbox *outbox_new(int channel)
{
	struct outbox *outbox = calloc(1, sizeof *outbox);

	if (outbox != NULL)
		outbox->channel = channel;
	return outbox;
}

static struct waiting take_first(struct outbox *outbox)
{
	struct waiting waiting = outbox->ring[outbox->first];

	outbox->first = (outbox->first + 1) & (outbox->room - 1);
	outbox->count--;
	return waiting;
}

void outbox_free(struct outbox *outbox)
{
	if (outbox == NULL)
		return;
	while (outbox->count > 0)
		shared_reply_unref(take_first(outbox).reply);
	shared_reply_unref(outbox->announcement);
	free(outbox->ring);
	free(outbox);
}

/* False: the channel is full. Nobody there: nobody to tell, and the channel's reader finds out. */
static bool send_now(const struct outbox *outbox, struct shared_reply *shared, uint64_t id)
{
	shared->reply.id = id;
	return channel_send(outbox->channel, &shared->reply, FETCH_REPLY_BYTES(&shared->reply), -1) ||
	       errno != EAGAIN;
}

static bool make_room(struct outbox *outbox)
{
	size_t room = outbox->room == 0 ? ROOM_MIN : outbox->room * 2;
	struct waiting *ring;

	if (outbox->count < outbox->room)
		return true;
	if (outbox->count >= OUTBOX_MAX)
		return false;
	ring = malloc(room * sizeof *ring);
	if (ring == NULL)
		return false;
	for (size_t i = 0; i < outbox->count; i++)
		ring[i] = outbox->ring[(outbox->first + i) & (outbox->room - 1)];
	free(outbox->ring);
	outbox->ring = ring;
	outbox->room = room;
	outbox->first = 0;
	return true;
}

bool outbox_send(struct outbox *outbox, struct shared_reply *reply, uint64_t id, int64_t deadline_us)
{
	if (!outbox_is_waiting(outbox) && send_now(outbox, reply, id))
		return true;
	if (!make_room(outbox))
		return false;
	outbox->ring[(outbox->first + outbox->count++) & (outbox->room - 1)] =
		(struct waiting){ ref(reply), id, deadline_us };
	return true;
}

void outbox_announce(struct outbox *outbox, struct shared_reply *reply)
{
	shared_reply_unref(outbox->announcement);
	outbox->announcement = ref(reply);
	outbox_flush(outbox);
}

void outbox_flush(struct outbox *outbox)
{
	int64_t now = monotonic_us();

	if (outbox->announcement != NULL) {
		if (!send_now(outbox, outbox->announcement, 0))
			return;
		shared_reply_unref(outbox->announcement);
		outbox->announcement = NULL;
	}
	while (outbox->count > 0) {
		const struct waiting *first = &outbox->ring[outbox->first];

		if (first->deadline_us > now && !send_now(outbox, first->reply, first->id))
			return;
		shared_reply_unref(take_first(outbox).reply);
	}
}

bool outbox_is_waiting(const struct outbox *outbox)
{
	return outbox->count > 0 || outbox->announcement != NULL;
}

bool outbox_is_crowded(const struct outbox *outbox)
{
	return outbox->count >= OUTBOX_CROWDED;
}
