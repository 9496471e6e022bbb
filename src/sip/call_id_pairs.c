#include "call_id_pairs.h"

#include <stdlib.h>
#include <string.h>

#include "stirrup/dialog_store.h"

#define BUCKETS 512

struct call_id_pairs {
	size_t first, count;                   /* a ring */
	uint16_t buckets[CALL_SIDES][BUCKETS]; /* 1 and the index of the last pair of that hash; 0: none */
	struct call_id_pair ring[CALL_ID_PAIRS_MAX];
};

/* --- Call-IDs --- */

/* Shorter than the key of a dialog, since so little hangs on it, and there are many. */
bool call_id_key(struct call_id_key *key, enum call_side side, struct span call_id)
{
	static const char *const marks[CALL_SIDES] = {
		[CALL_SIDE_CALLEE] = "callee", [CALL_SIDE_CALLER] = "caller"
	};
	struct dialog_key whole;
	static const struct dialog_key nowhere;

	dialog_key(&whole, call_id, span_of(marks[side]), (struct span){ 0 });
	memcpy(key->bytes, whole.bytes, sizeof key->bytes);
	return memcmp(&whole, &nowhere, sizeof whole) != 0;
}

bool call_id_is_plain(struct span call_id)
{
	for (size_t i = 0; i < call_id.length; i++)
		if (call_id.at[i] <= ' ' || call_id.at[i] > '~' || call_id.at[i] == ',' ||
			call_id.at[i] == ';')
			return false;
	return call_id.length > 0 && call_id.length <= CALL_ID_MAX;
}

/* --- Pairs --- */

struct call_id_pairs *call_id_pairs_new(void)
{
	return calloc(1, sizeof(struct call_id_pairs));
}

void call_id_pairs_free(struct call_id_pairs *pairs)
{
	free(pairs);
}

struct span call_id_of(const struct call_id_pair *pair, enum call_side side)
{
	return (struct span){ pair->texts[side], pair->lengths[side] };
}

enum call_side call_side_other(enum call_side side)
{
	return side == CALL_SIDE_CALLER ? CALL_SIDE_CALLEE : CALL_SIDE_CALLER;
}

static size_t bucket_of(const struct call_id_key *key)
{
	uint16_t bits;

	memcpy(&bits, key->bytes, sizeof bits);
	return bits % BUCKETS;
}

static bool same_text(struct span one, struct span other)
{
	return one.length == other.length && memcmp(one.at, other.at, one.length) == 0;
}

static void forget_first(struct call_id_pairs *pairs)
{
	const struct call_id_pair *pair = &pairs->ring[pairs->first];

	for (enum call_side side = 0; side < CALL_SIDES; side++) {
		uint16_t *at = &pairs->buckets[side][bucket_of(&pair->keys[side])];

		while (*at != pairs->first + 1)
			at = &pairs->ring[*at - 1].next[side];
		*at = pair->next[side];
	}
	pairs->first = (pairs->first + 1) % CALL_ID_PAIRS_MAX;
	pairs->count--;
}

static void add(struct call_id_pairs *pairs, const struct call_id_key keys[], const struct span texts[])
{
	size_t index = (pairs->first + pairs->count++) % CALL_ID_PAIRS_MAX;
	struct call_id_pair *pair = &pairs->ring[index];

	for (enum call_side side = 0; side < CALL_SIDES; side++) {
		uint16_t *bucket = &pairs->buckets[side][bucket_of(&keys[side])];

		pair->keys[side] = keys[side];
		pair->next[side] = *bucket;
		pair->lengths[side] = (uint8_t)texts[side].length;
		memcpy(pair->texts[side], texts[side].at, texts[side].length);
		*bucket = (uint16_t)(index + 1);
	}
}

static bool is_remembered(
	const struct call_id_pairs *pairs, const struct call_id_key keys[], const struct span texts[])
{
	for (enum call_side side = 0; side < CALL_SIDES; side++) {
		const struct call_id_pair *found = call_id_pairs_find(pairs, side, &keys[side]);

		if (found == NULL ||
			!same_text(call_id_of(found, CALL_SIDE_CALLER), texts[CALL_SIDE_CALLER]) ||
			!same_text(call_id_of(found, CALL_SIDE_CALLEE), texts[CALL_SIDE_CALLEE]))
			return false;
	}
	return true;
}

void call_id_pairs_put(struct call_id_pairs *pairs, struct span caller, struct span callee)
{
	const struct span texts[CALL_SIDES] = { [CALL_SIDE_CALLER] = caller, [CALL_SIDE_CALLEE] = callee };
	struct call_id_key keys[CALL_SIDES];

	if (!call_id_is_plain(caller) || !call_id_is_plain(callee) || same_text(caller, callee))
		return;
	for (enum call_side side = 0; side < CALL_SIDES; side++)
		if (!call_id_key(&keys[side], side, texts[side]))
			return;
	if (is_remembered(pairs, keys, texts))
		return;
	if (pairs->count == CALL_ID_PAIRS_MAX)
		forget_first(pairs);
	add(pairs, keys, texts);
}

const struct call_id_pair *call_id_pairs_find(
	const struct call_id_pairs *pairs, enum call_side side, const struct call_id_key *key)
{
	uint16_t at = pairs->count == 0 ? 0 : pairs->buckets[side][bucket_of(key)];

	while (at != 0 && memcmp(&pairs->ring[at - 1].keys[side], key, sizeof *key) != 0)
		at = pairs->ring[at - 1].next[side];
	return at == 0 ? NULL : &pairs->ring[at - 1];
}

bool call_id_pairs_other(const struct call_id_pairs *pairs, struct span call_id, struct span *other)
{
	for (enum call_side side = 0; side < CALL_SIDES && call_id_is_plain(call_id); side++) {
		const struct call_id_pair *pair;
		struct call_id_key key;

		if (!call_id_key(&key, side, call_id))
			return false;
		pair = call_id_pairs_find(pairs, side, &key);
		if (pair != NULL) {
			*other = call_id_of(pair, call_side_other(side));
			return true;
		}
	}
	return false;
}

size_t call_id_pairs_count(const struct call_id_pairs *pairs)
{
	return pairs->count;
}

const struct call_id_pair *call_id_pairs_at(const struct call_id_pairs *pairs, size_t index)
{
	return &pairs->ring[(pairs->first + index) % CALL_ID_PAIRS_MAX];
}

/* From the start of the ring again, so that a few that come and go touch little memory. */
void call_id_pairs_clear(struct call_id_pairs *pairs)
{
	if (pairs->count > 0)
		memset(pairs->buckets, 0, sizeof pairs->buckets);
	pairs->first = 0;
	pairs->count = 0;
}
