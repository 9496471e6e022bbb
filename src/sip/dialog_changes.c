#include "dialog_changes.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 16384 /* a power of two, twice the keys that there can be */

struct dialog_changes {
	size_t count;
	size_t bytes;
	uint16_t slots[SLOTS]; /* 1 and the index of a change, by key; 0: free */
	struct dialog_change list[DIALOG_CHANGES_MAX];
};

struct dialog_changes *dialog_changes_new(void)
{
	return calloc(1, sizeof(struct dialog_changes));
}

void dialog_changes_free(struct dialog_changes *changes)
{
	if (changes == NULL)
		return;
	for (size_t i = 0; i < changes->count; i++)
		free(changes->list[i].record);
	free(changes);
}

static bool has_key(const struct dialog_change *change, const struct dialog_key *key)
{
	return dialog_key_equal(&change->keys.key, key) ||
	       (change->keys.has_alias && dialog_key_equal(&change->keys.alias, key));
}

/* Where the key is, or would go. A key is a digest already. */
static uint16_t slot_of(const struct dialog_changes *changes, const struct dialog_key *key)
{
	uint16_t slot;

	memcpy(&slot, key->bytes, sizeof slot);
	slot &= SLOTS - 1;
	while (changes->slots[slot] != 0 && !has_key(&changes->list[changes->slots[slot] - 1], key))
		slot = (slot + 1) & (SLOTS - 1);
	return slot;
}

static struct dialog_change *lookup(struct dialog_changes *changes, const struct dialog_key *key)
{
	uint16_t index = changes->slots[slot_of(changes, key)];

	return index == 0 ? NULL : &changes->list[index - 1];
}

const struct dialog_change *dialog_changes_find(
	const struct dialog_changes *changes, const struct dialog_key *key)
{
	uint16_t index = changes->count == 0 ? 0 : changes->slots[slot_of(changes, key)];

	return index == 0 ? NULL : &changes->list[index - 1];
}

static void enter(struct dialog_changes *changes, size_t index)
{
	struct dialog_change *change = &changes->list[index];

	change->slots[0] = slot_of(changes, &change->keys.key);
	changes->slots[change->slots[0]] = (uint16_t)(index + 1);
	change->slots[1] = change->slots[0];
	if (change->keys.has_alias)
		change->slots[1] = slot_of(changes, &change->keys.alias);
	changes->slots[change->slots[1]] = (uint16_t)(index + 1);
}

static bool same_keys(const struct dialog_keys *one, const struct dialog_keys *other)
{
	return one->has_alias == other->has_alias && dialog_key_equal(&one->key, &other->key) &&
	       (!one->has_alias || dialog_key_equal(&one->alias, &other->alias));
}

/* The change of that call, made if there is none. */
static struct dialog_change *change_of(
	struct dialog_changes *changes, const struct dialog_keys *keys, size_t most)
{
	struct dialog_change *found = lookup(changes, &keys->key);
	struct dialog_change *other = keys->has_alias ? lookup(changes, &keys->alias) : found;

	if (found != NULL || other != NULL)
		return found == other && same_keys(&found->keys, keys) ? found : NULL;
	if (changes->count >= most)
		return NULL;
	found = &changes->list[changes->count];
	*found = (struct dialog_change){ .keys = *keys };
	enter(changes, changes->count++);
	return found;
}

static void drop_record(struct dialog_changes *changes, struct dialog_change *change)
{
	free(change->record);
	changes->bytes -= change->length;
	change->record = NULL;
	change->length = 0;
}

bool dialog_changes_put(
	struct dialog_changes *changes, const struct dialog_keys *keys, struct span record, bool known)
{
	struct dialog_change *change;
	uint8_t *copy;

	if (changes->bytes + record.length > DIALOG_CHANGES_BYTES_MAX)
		return false;
	copy = malloc(record.length);
	if (copy == NULL)
		return false;
	change = change_of(changes, keys, known ? DIALOG_CHANGES_MAX : DIALOG_CHANGES_NEW_MAX);
	if (change == NULL) {
		free(copy);
		return false;
	}
	memcpy(copy, record.at, record.length);
	drop_record(changes, change);
	change->kind = DIALOG_PUT;
	change->record = copy;
	change->length = record.length;
	changes->bytes += record.length;
	return true;
}

bool dialog_changes_remove(struct dialog_changes *changes, const struct dialog_keys *keys)
{
	struct dialog_change *change = change_of(changes, keys, DIALOG_CHANGES_MAX);

	if (change == NULL)
		return false;
	drop_record(changes, change);
	change->kind = DIALOG_REMOVE;
	return true;
}

bool dialog_changes_expire(struct dialog_changes *changes, const struct dialog_keys *keys, uint32_t now)
{
	struct dialog_change *change = change_of(changes, keys, DIALOG_CHANGES_MAX);

	if (change == NULL)
		return false;
	drop_record(changes, change);
	change->kind = DIALOG_EXPIRE;
	change->now = now;
	return true;
}

size_t dialog_changes_count(const struct dialog_changes *changes)
{
	return changes->count;
}

struct dialog_change *dialog_changes_at(struct dialog_changes *changes, size_t index)
{
	return &changes->list[index];
}

void dialog_changes_settle(struct dialog_changes *changes)
{
	size_t kept = 0;

	for (size_t i = 0; i < changes->count; i++) {
		struct dialog_change *change = &changes->list[i];

		changes->slots[change->slots[0]] = 0;
		changes->slots[change->slots[1]] = 0;
		if (change->written)
			drop_record(changes, change);
		else
			changes->list[kept++] = *change;
	}
	changes->count = kept;
	for (size_t i = 0; i < kept; i++)
		enter(changes, i);
}
