#include "relay_state.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "stirrup/clock.h"
#include "stirrup/random_id.h"

#define SLOT_US INT64_C(100000)
#define SLOTS 512
#define CHAIN_MAX 4 /* requests in a bucket, on average, when all places are taken: buckets lie scattered, and each costs a page */
#define BYTES_MAX (512u << 20)
#define TRIMMED_FROM 8192 /* requests at a time */
#define QUIET 20          /* requests begun in a tenth of a second: to give memory back takes milliseconds */
#define SORTING_BYTES 60000

struct relays {
	struct relay **buckets;            /* by digest and id */
	struct relay **by_merge;
	size_t mask;
	unsigned count, capacity, peak;
	unsigned entered;                  /* since all that was due had been seen to */
	size_t bytes;                      /* of all of them */
	struct relay *slots[SLOTS];
	struct relay *looked_at;           /* what is left of the slot that is being looked at */
	int64_t ticked;                    /* the slot time up to which all has been looked at */
};

/* So that nobody can choose Call-IDs that share a bucket. */
static uint64_t merge_seed;

struct relays *relays_new(unsigned capacity)
{
	struct relays *relays = calloc(1, sizeof *relays);
	size_t buckets = 1024;

	if (relays == NULL)
		return NULL;
	while (buckets < capacity / CHAIN_MAX)
		buckets *= 2;
	relays->buckets = calloc(buckets, sizeof *relays->buckets);
	relays->by_merge = calloc(buckets, sizeof *relays->by_merge);
	relays->mask = buckets - 1;
	relays->capacity = capacity;
	relays->ticked = monotonic_us() / SLOT_US;
	merge_seed = random_id();
	if (relays->buckets != NULL && relays->by_merge != NULL)
		return relays;
	relays_free(relays);
	return NULL;
}

bool relays_full(const struct relays *relays)
{
	return relays->count >= relays->capacity || relays->bytes >= BYTES_MAX;
}

size_t relays_count(const struct relays *relays)
{
	return relays->count;
}

static uint32_t bits_of(const struct call_digest *digest)
{
	uint32_t bits;

	memcpy(&bits, digest->bytes + 8, sizeof bits);
	return bits;
}

/* The lower half of an id is of the digest: both are found in one table. */
static uint64_t new_id(const struct call_digest *digest)
{
	return random_id() << 32 | bits_of(digest);
}

static struct relay **bucket_of(struct relays *relays, uint32_t bits)
{
	return &relays->buckets[bits & relays->mask];
}

static struct relay **bucket_of_merge(struct relays *relays, uint64_t merge)
{
	return &relays->by_merge[merge & relays->mask];
}

struct relay *relays_find(struct relays *relays, const struct call_digest *digest)
{
	struct relay *relay = *bucket_of(relays, bits_of(digest));

	while (relay != NULL && memcmp(&relay->digest, digest, sizeof *digest) != 0)
		relay = relay->chain;
	return relay;
}

static struct relay *find_id(struct relays *relays, uint64_t id)
{
	struct relay *relay = *bucket_of(relays, (uint32_t)id);

	while (relay != NULL && relay->id != id)
		relay = relay->chain;
	return relay;
}

uint64_t relay_merge_hash(const struct sip_basics *basics)
{
	const struct span parts[] = { basics->call_id, basics->from_tag, { (const char *)&basics->cseq, sizeof basics->cseq } };
	uint64_t hash = merge_seed ^ UINT64_C(14695981039346656037);

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		for (size_t at = 0; at < parts[i].length; at++)
			hash = (hash ^ (unsigned char)parts[i].at[at]) * UINT64_C(1099511628211);
	return hash | 1;
}

bool relay_is_merged(struct worker *worker, const struct sip_basics *basics, const struct call_digest *digest)
{
	uint64_t merge = relay_merge_hash(basics);

	for (struct relay *relay = *bucket_of_merge(worker->relays, merge); relay != NULL; relay = relay->by_merge)
		if (relay->merge == merge && memcmp(&relay->digest, digest, sizeof *digest) != 0)
			return true;
	return false;
}

void relay_weigh(struct relays *relays, struct relay *relay)
{
	size_t bytes = sizeof *relay + relay->block_length + (relay->rest == NULL ? 0 : relay->rest_length) +
		(relay->answer == NULL ? 0 : relay->answer_length) + relay->acknowledgement_length +
		(relay->cancel_reasons == NULL ? 0 : strlen(relay->cancel_reasons));

	relays->bytes += bytes - relay->bytes;
	relay->bytes = bytes;
}

void relays_enter(struct relays *relays, struct relay *relay)
{
	struct relay **bucket = bucket_of(relays, bits_of(&relay->digest));

	relay->id = new_id(&relay->digest);
	relay->chain = *bucket;
	*bucket = relay;
	if (relay->merge != 0) {
		struct relay **merge = bucket_of_merge(relays, relay->merge);

		relay->by_merge = *merge;
		*merge = relay;
	}
	relays->count++;
	relays->entered++;
	relay_weigh(relays, relay);
}

void relays_leave(struct relays *relays, struct relay *relay)
{
	struct relay **at = bucket_of(relays, bits_of(&relay->digest));

	while (*at != relay)
		at = &(*at)->chain;
	*at = relay->chain;
	if (relay->merge != 0) {
		for (at = bucket_of_merge(relays, relay->merge); *at != relay;)
			at = &(*at)->by_merge;
		*at = relay->by_merge;
	}
	relays->count--;
	relays->bytes -= relay->bytes;
}

struct relay *relays_find_branch(struct relays *relays, struct span branch, unsigned *attempt)
{
	char text[RELAY_BRANCH_SIZE], *behind;
	char id[17];

	if (branch.length != sizeof RELAY_BRANCH - 1 + 2 + 16 + 1 || !span_copy(text, sizeof text, branch))
		return NULL;
	memcpy(id, text + sizeof RELAY_BRANCH - 1 + 2, 16);
	id[16] = '\0';
	*attempt = (unsigned)strtoul(text + sizeof RELAY_BRANCH - 1 + 2 + 16, NULL, 16);
	if (*attempt == 0)
		*attempt = RELAY_ATTEMPTS;
	return find_id(relays, strtoull(id, &behind, 16));
}

void relays_each(struct relays *relays, void (*visit)(struct relay *relay, void *context), void *context)
{
	for (size_t i = 0; i <= relays->mask; i++)
		for (struct relay *relay = relays->buckets[i]; relay != NULL; relay = relay->chain)
			visit(relay, context);
}

/* --- Time --- */

void relay_disarm(struct relay *relay)
{
	if (relay->link == NULL)
		return;
	*relay->link = relay->next;
	if (relay->next != NULL)
		relay->next->link = relay->link;
	relay->link = NULL;
}

void relay_arm(struct relays *relays, struct relay *relay, int64_t due_us)
{
	struct relay **slot;
	int64_t at = due_us / SLOT_US;

	relay_disarm(relay);
	if (at <= relays->ticked)
		at = relays->ticked + 1;
	slot = &relays->slots[at % SLOTS];
	relay->due_us = due_us;
	relay->next = *slot;
	if (*slot != NULL)
		(*slot)->link = &relay->next;
	relay->link = slot;
	*slot = relay;
}

/* The allocator puts what is freed into one list, which the next large request looks through: after thousands of frees, for
 * milliseconds, in the middle of a message. volatile: the compiler would leave out a block that nobody uses. */
void relays_sort_freed(void)
{
	void *volatile block = malloc(SORTING_BYTES);

	free(block);
}

/* What a burst has taken is given back when it is over: the allocator keeps it else. */
static void trim(struct relays *relays)
{
	bool is_quiet = relays->entered <= QUIET;

	relays->entered = 0;
	if (relays->count > relays->peak)
		relays->peak = relays->count;
	if (!is_quiet || relays->count > relays->peak / 16 || relays->peak < TRIMMED_FROM)
		return;
	malloc_trim(0);
	relays->peak = relays->count;
}

struct relay *relays_take_due(struct relays *relays, int64_t now_us)
{
	int64_t until = now_us / SLOT_US;

	if (until - relays->ticked > SLOTS)
		relays->ticked = until - SLOTS;
	for (;;) {
		struct relay *relay = relays->looked_at;

		if (relay != NULL) {
			relay_disarm(relay);
			if (relay->due_us <= now_us)
				return relay;
			relay_arm(relays, relay, relay->due_us);
			continue;
		}
		if (relays->ticked >= until) {
			trim(relays);
			return NULL;
		}
		relays->ticked++;
		relays->looked_at = relays->slots[relays->ticked % SLOTS];
		relays->slots[relays->ticked % SLOTS] = NULL;
		if (relays->looked_at != NULL)
			relays->looked_at->link = &relays->looked_at;
	}
}

static void free_slot(struct relay **slot)
{
	while (*slot != NULL) {
		struct relay *relay = *slot;

		relay_disarm(relay);
		relay_free(relay);
	}
}

void relays_free(struct relays *relays)
{
	if (relays == NULL)
		return;
	free_slot(&relays->looked_at);
	for (size_t i = 0; i < SLOTS; i++)
		free_slot(&relays->slots[i]);
	free(relays->buckets);
	free(relays->by_merge);
	free(relays);
}
