#include "lru.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

#define BUCKETS_MIN 64

struct entry {
	struct entry *chain;         /* same bucket */
	struct entry *newer, *older; /* by use */
	uint64_t hash;
	size_t value_size, key_length;
	max_align_t octets[]; /* value, key */
};

struct lru {
	struct entry **buckets;
	size_t bucket_count;
	size_t entries_max, bytes_max;
	size_t count, bytes;
	uint64_t seed;
	struct entry *newest, *oldest;
};

struct lru *lru_new(size_t entries_max, size_t bytes_max)
{
	struct lru *table = calloc(1, sizeof *table);

	if (table == NULL)
		return NULL;
	table->bucket_count = BUCKETS_MIN;
	table->buckets = calloc(table->bucket_count, sizeof(struct entry *));
	if (table->buckets == NULL || getrandom(&table->seed, sizeof table->seed, 0) != sizeof table->seed) {
		lru_free(table);
		return NULL;
	}
	table->entries_max = entries_max;
	table->bytes_max = bytes_max;
	return table;
}

void lru_free(struct lru *table)
{
	if (table == NULL)
		return;
	lru_clear(table);
	free(table->buckets);
	free(table);
}

/* FNV-1a from a secret start. */
static uint64_t hash_of(const struct lru *table, struct span key)
{
	uint64_t hash = table->seed;

	for (size_t i = 0; i < key.length; i++)
		hash = (hash ^ (unsigned char)key.at[i]) * UINT64_C(1099511628211);
	return hash ^ hash >> 32;
}

static char *key_at(struct entry *entry)
{
	return (char *)entry->octets + entry->value_size;
}

static size_t size_of(const struct entry *entry)
{
	return sizeof *entry + sizeof(struct entry *) + entry->value_size + entry->key_length;
}

static struct entry *find(const struct lru *table, struct span key)
{
	uint64_t hash = hash_of(table, key);
	struct entry *entry = table->buckets[hash % table->bucket_count];

	while (entry != NULL && (entry->hash != hash || entry->key_length != key.length ||
					memcmp(key_at(entry), key.at, key.length) != 0))
		entry = entry->chain;
	return entry;
}

static void unlink_use(struct lru *table, struct entry *entry)
{
	if (entry->newer != NULL)
		entry->newer->older = entry->older;
	else
		table->newest = entry->older;
	if (entry->older != NULL)
		entry->older->newer = entry->newer;
	else
		table->oldest = entry->newer;
}

static void link_newest(struct lru *table, struct entry *entry)
{
	entry->newer = NULL;
	entry->older = table->newest;
	if (table->newest != NULL)
		table->newest->newer = entry;
	else
		table->oldest = entry;
	table->newest = entry;
}

static void link_bucket(struct lru *table, struct entry *entry)
{
	struct entry **bucket = &table->buckets[entry->hash % table->bucket_count];

	entry->chain = *bucket;
	*bucket = entry;
}

static void remove_entry(struct lru *table, struct entry *entry)
{
	struct entry **link = &table->buckets[entry->hash % table->bucket_count];

	while (*link != entry)
		link = &(*link)->chain;
	*link = entry->chain;
	unlink_use(table, entry);
	table->count--;
	table->bytes -= size_of(entry);
	free(entry);
}

/* Memory for buckets comes with the entries. Without it, the chains are longer. */
static void grow(struct lru *table)
{
	struct entry **buckets;

	if (table->count < table->bucket_count)
		return;
	buckets = calloc(table->bucket_count * 2, sizeof(struct entry *));
	if (buckets == NULL)
		return;
	free(table->buckets);
	table->buckets = buckets;
	table->bucket_count *= 2;
	for (struct entry *entry = table->newest; entry != NULL; entry = entry->older)
		link_bucket(table, entry);
}

void *lru_find(struct lru *table, struct span key)
{
	struct entry *entry = find(table, key);

	if (entry == NULL)
		return NULL;
	unlink_use(table, entry);
	link_newest(table, entry);
	return entry->octets;
}

void *lru_put(struct lru *table, struct span key, const void *value, size_t size)
{
	struct entry *entry = malloc(sizeof *entry + size + key.length);

	if (entry != NULL) {
		entry->hash = hash_of(table, key);
		entry->value_size = size;
		entry->key_length = key.length;
		memcpy(entry->octets, value, size);
		memcpy(key_at(entry), key.at, key.length);
	}
	/* Only now: key and value may be its own. */
	lru_remove(table, entry == NULL ? key : (struct span){ key_at(entry), entry->key_length });
	if (entry == NULL)
		return NULL;
	link_bucket(table, entry);
	link_newest(table, entry);
	table->count++;
	table->bytes += size_of(entry);
	while (table->oldest != entry &&
		(table->count > table->entries_max || table->bytes > table->bytes_max))
		remove_entry(table, table->oldest);
	grow(table);
	return entry->octets;
}

void lru_remove(struct lru *table, struct span key)
{
	struct entry *entry = find(table, key);

	if (entry != NULL)
		remove_entry(table, entry);
}

void lru_clear(struct lru *table)
{
	while (table->oldest != NULL)
		remove_entry(table, table->oldest);
}

size_t lru_count(const struct lru *table)
{
	return table->count;
}

void *lru_oldest(const struct lru *table, struct span *key)
{
	if (table->oldest == NULL)
		return NULL;
	*key = (struct span){ key_at(table->oldest), table->oldest->key_length };
	return table->oldest->octets;
}
