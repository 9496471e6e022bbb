#include "stirrup/call.h"

#include <stdlib.h>

#include "stirrup/clock.h"

struct generation *generation_new(uint32_t number, struct config *config)
{
	struct generation *generation = calloc(1, sizeof *generation);

	if (generation != NULL)
		generation->listener_texts = calloc(config->listener_count, sizeof *generation->listener_texts);
	if (generation == NULL || generation->listener_texts == NULL) {
		free(generation);
		config_free(config);
		return NULL;
	}
	for (size_t i = 0; i < config->listener_count; i++)
		net_text(generation->listener_texts[i], (const struct sockaddr *)&config->listeners[i].address);
	for (size_t i = 0; i < config->peer_count; i++)
		generation->forwards = generation->forwards || config->peers[i].mode != MODE_REDIRECT;
	generation->number = number;
	generation->config = config;
	generation->users = 1;
	return generation;
}

struct generation *generation_ref(struct generation *generation)
{
	generation->users++;
	return generation;
}

void generation_unref(struct generation *generation)
{
	if (generation == NULL || --generation->users > 0)
		return;
	config_free(generation->config);
	free(generation->listener_texts);
	free(generation);
}

void call_release(struct call *call)
{
	reply_path_close(&call->path);
	generation_unref(call->generation);
	call->generation = NULL;
	if (call->verification != NULL)
		verification_clear(call->verification);
	free(call->verification);
	call->verification = NULL;
	free(call->head);
	call->head = NULL;
}

struct waiting_calls {
	struct call *calls;
	struct call *free;
	struct call **buckets;
	size_t bucket_mask;
	struct call *oldest, *newest;
	unsigned capacity;
	uint64_t next_id;
};

struct waiting_calls *waiting_calls_new(unsigned capacity)
{
	struct waiting_calls *waiting = calloc(1, sizeof *waiting);
	size_t buckets = 64;

	if (waiting == NULL)
		return NULL;
	while (buckets < capacity)
		buckets *= 2;
	waiting->calls = calloc(capacity, sizeof *waiting->calls);
	waiting->buckets = calloc(buckets, sizeof *waiting->buckets);
	if (waiting->calls == NULL || waiting->buckets == NULL) {
		waiting_calls_free(waiting);
		return NULL;
	}
	waiting->bucket_mask = buckets - 1;
	waiting->capacity = capacity;
	/* A reply that was meant for a predecessor of this process must not find a call here. */
	waiting->next_id = (uint64_t)monotonic_us();
	for (unsigned i = capacity; i > 0; i--) {
		waiting->calls[i - 1].next = waiting->free;
		waiting->free = &waiting->calls[i - 1];
	}
	return waiting;
}

void waiting_calls_free(struct waiting_calls *waiting)
{
	if (waiting == NULL)
		return;
	free(waiting->calls);
	free(waiting->buckets);
	free(waiting);
}

static struct call **bucket_of(const struct waiting_calls *waiting, const struct call_digest *digest)
{
	uint64_t bits;

	memcpy(&bits, digest->bytes + 8, sizeof bits);
	return &waiting->buckets[bits & waiting->bucket_mask];
}

struct call *waiting_calls_add(struct waiting_calls *waiting, const struct call *call)
{
	struct call *slot = waiting->free;
	struct call **bucket = bucket_of(waiting, &call->digest);

	if (slot == NULL)
		return NULL;
	waiting->free = slot->next;
	*slot = *call;
	slot->id = ++waiting->next_id * waiting->capacity + (uint64_t)(slot - waiting->calls);
	slot->chain = *bucket;
	*bucket = slot;
	slot->next = NULL;
	slot->previous = waiting->newest;
	if (waiting->newest != NULL)
		waiting->newest->next = slot;
	else
		waiting->oldest = slot;
	waiting->newest = slot;
	return slot;
}

struct call *waiting_calls_find(const struct waiting_calls *waiting, const struct call_digest *digest)
{
	struct call *call = *bucket_of(waiting, digest);

	while (call != NULL && memcmp(&call->digest, digest, sizeof *digest) != 0)
		call = call->chain;
	return call;
}

struct call *waiting_calls_by_id(const struct waiting_calls *waiting, uint64_t id)
{
	struct call *call = &waiting->calls[id % waiting->capacity];

	return call->id == id ? call : NULL;
}

struct call *waiting_calls_oldest(const struct waiting_calls *waiting)
{
	return waiting->oldest;
}

void waiting_calls_remove(struct waiting_calls *waiting, struct call *call)
{
	struct call **link = bucket_of(waiting, &call->digest);

	while (*link != call)
		link = &(*link)->chain;
	*link = call->chain;
	if (call->previous != NULL)
		call->previous->next = call->next;
	else
		waiting->oldest = call->next;
	if (call->next != NULL)
		call->next->previous = call->previous;
	else
		waiting->newest = call->previous;
	call->id = 0;
	call->previous = NULL;
	call->next = waiting->free;
	waiting->free = call;
}
