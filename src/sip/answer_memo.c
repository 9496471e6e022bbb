#include "stirrup/answer_memo.h"

#include <stdint.h>
#include <stdlib.h>

/* One ring of bytes. Positions count up for ever: what lies more than its size behind the head is overwritten. */
struct answer_memo {
	char *ring;
	size_t size;
	uint64_t head;
	struct place *index;      /* sets of WAYS places */
	size_t set_mask;
};

/* Some bits of the digest stand beside the position: to look into the ring for each candidate would cost a cache miss. */
struct place {
	uint64_t position : 48;   /* + 1; 0: none */
	uint64_t bits : 16;
};

struct entry {
	struct call_digest digest;
	uint32_t length;
};

#define BYTES_PER_INDEX_PLACE 512 /* less than an answer has: the index is not what makes it forget */
#define WAYS 8                    /* answers whose digests fall into the same set live side by side */
#define ALIGNMENT 8

struct answer_memo *answer_memo_new(size_t bytes)
{
	struct answer_memo *memo = calloc(1, sizeof *memo);
	size_t places = 1024;

	if (memo == NULL)
		return NULL;
	while (places * BYTES_PER_INDEX_PLACE < bytes)
		places *= 2;
	memo->size = bytes / ALIGNMENT * ALIGNMENT;
	memo->ring = malloc(memo->size);
	memo->index = calloc(places, sizeof *memo->index);
	memo->set_mask = places / WAYS - 1;
	if (memo->ring == NULL || memo->index == NULL) {
		answer_memo_free(memo);
		return NULL;
	}
	return memo;
}

void answer_memo_free(struct answer_memo *memo)
{
	if (memo == NULL)
		return;
	free(memo->ring);
	free(memo->index);
	free(memo);
}

static struct place *set_of(const struct answer_memo *memo, const struct call_digest *digest)
{
	uint64_t bits;

	memcpy(&bits, digest->bytes + 8, sizeof bits);
	return &memo->index[(bits & memo->set_mask) * WAYS];
}

static uint16_t bits_of(const struct call_digest *digest)
{
	uint16_t bits;

	memcpy(&bits, digest->bytes, sizeof bits);
	return bits;
}

static void remember(struct place *set, struct place place)
{
	size_t oldest = 0;

	for (size_t i = 1; i < WAYS; i++)
		if (set[i].position < set[oldest].position)
			oldest = i;
	set[oldest] = place;
}

void answer_memo_put(struct answer_memo *memo, const struct call_digest *digest, struct span answer)
{
	size_t need = (sizeof(struct entry) + answer.length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	size_t at = memo->head % memo->size;
	struct entry entry = { .digest = *digest, .length = (uint32_t)answer.length };

	if (need > memo->size)
		return;
	if (at + need > memo->size) {
		memo->head += memo->size - at;
		at = 0;
	}
	memcpy(memo->ring + at, &entry, sizeof entry);
	memcpy(memo->ring + at + sizeof entry, answer.at, answer.length);
	remember(set_of(memo, digest), (struct place){ .position = memo->head + 1, .bits = bits_of(digest) });
	memo->head += need;
}

bool answer_memo_find(const struct answer_memo *memo, const struct call_digest *digest, struct span *answer)
{
	const struct place *set = set_of(memo, digest);
	uint16_t bits = bits_of(digest);

	for (size_t i = 0; i < WAYS; i++) {
		uint64_t position = set[i].position;
		struct entry entry;
		const char *at;

		if (set[i].bits != bits || position == 0 || position - 1 + memo->size < memo->head)
			continue;
		at = memo->ring + (position - 1) % memo->size;
		memcpy(&entry, at, sizeof entry);
		if (memcmp(&entry.digest, digest, sizeof *digest) != 0)
			continue;
		*answer = (struct span){ at + sizeof entry, entry.length };
		return true;
	}
	return false;
}
