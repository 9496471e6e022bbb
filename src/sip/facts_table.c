#include "stirrup/facts_table.h"

#include <stdlib.h>
#include <sys/random.h>

struct entry {
	struct certificate_facts *facts; /* cut behind its constraints */
	struct es256_key *key;
	struct entry *chain;             /* same bucket */
	struct entry *newer, *older;     /* by use */
};

struct facts_table {
	struct entry **buckets;
	size_t bucket_mask;
	size_t capacity, count;
	uint64_t seed;
	struct entry *newest, *oldest;
};

struct facts_table *facts_table_new(size_t capacity)
{
	struct facts_table *table = calloc(1, sizeof *table);
	size_t buckets = 64;

	if (table == NULL)
		return NULL;
	while (buckets < capacity)
		buckets *= 2;
	table->buckets = calloc(buckets, sizeof *table->buckets);
	if (table->buckets == NULL) {
		free(table);
		return NULL;
	}
	table->bucket_mask = buckets - 1;
	table->capacity = capacity;
	if (getrandom(&table->seed, sizeof table->seed, 0) != sizeof table->seed)
		table->seed = 14695981039346656037u;
	return table;
}

/* FNV-1a from a secret start: nobody outside can choose URLs for one bucket. */
static struct entry **bucket_of(const struct facts_table *table, struct span x5u)
{
	uint64_t hash = table->seed;

	for (size_t i = 0; i < x5u.length; i++)
		hash = (hash ^ (unsigned char)x5u.at[i]) * 1099511628211u;
	return &table->buckets[(hash ^ hash >> 32) & table->bucket_mask];
}

static void unlink_use(struct facts_table *table, struct entry *entry)
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

static void link_newest(struct facts_table *table, struct entry *entry)
{
	entry->newer = NULL;
	entry->older = table->newest;
	if (table->newest != NULL)
		table->newest->newer = entry;
	else
		table->oldest = entry;
	table->newest = entry;
}

static void remove_entry(struct facts_table *table, struct entry *entry)
{
	struct entry **link = bucket_of(table, span_of(entry->facts->x5u));

	while (*link != entry)
		link = &(*link)->chain;
	*link = entry->chain;
	unlink_use(table, entry);
	es256_key_free(entry->key);
	free(entry->facts);
	free(entry);
	table->count--;
}

void facts_table_free(struct facts_table *table)
{
	if (table == NULL)
		return;
	while (table->newest != NULL)
		remove_entry(table, table->newest);
	free(table->buckets);
	free(table);
}

static struct entry *entry_for(const struct facts_table *table, struct span x5u)
{
	struct entry *entry = *bucket_of(table, x5u);

	while (entry != NULL && !span_is(x5u, entry->facts->x5u))
		entry = entry->chain;
	return entry;
}

static struct entry *entry_new(const struct certificate_facts *facts)
{
	size_t size = offsetof(struct certificate_facts, constraints) + facts->constraints_length;
	struct entry *entry = calloc(1, sizeof *entry);
	bool usable;

	if (entry == NULL)
		return NULL;
	/* As far as its constraints go: most have none, and there may be thousands. */
	entry->facts = malloc(size);
	if (facts->verdict == VERDICT_PASSED)
		entry->key = es256_key_from_point(facts->public_key);
	usable = entry->facts != NULL && (facts->verdict != VERDICT_PASSED || entry->key != NULL);
	if (!usable) {
		es256_key_free(entry->key);
		free(entry->facts);
		free(entry);
		return NULL;
	}
	memcpy(entry->facts, facts, size);
	return entry;
}

bool facts_table_put(struct facts_table *table, const struct certificate_facts *facts)
{
	struct span x5u = span_of(facts->x5u);
	struct entry *old = entry_for(table, x5u);
	struct entry *entry = entry_new(facts);
	struct entry **bucket;

	if (old != NULL)
		remove_entry(table, old);
	if (entry == NULL)
		return false;
	if (table->count == table->capacity)
		remove_entry(table, table->oldest);
	bucket = bucket_of(table, x5u);
	entry->chain = *bucket;
	*bucket = entry;
	link_newest(table, entry);
	table->count++;
	return true;
}

bool facts_table_find(struct facts_table *table, struct span x5u, int64_t now, struct known_certificate *known)
{
	struct entry *entry = entry_for(table, x5u);

	if (entry == NULL || entry->facts->keep_until < now)
		return false;
	unlink_use(table, entry);
	link_newest(table, entry);
	known->facts = entry->facts;
	known->key = entry->key;
	return true;
}

void facts_table_forget(struct facts_table *table, struct span x5u)
{
	struct entry *entry = entry_for(table, x5u);

	if (entry != NULL)
		remove_entry(table, entry);
}

void facts_table_forget_before(struct facts_table *table, uint32_t trust_epoch)
{
	struct entry *entry = table->newest;

	while (entry != NULL) {
		struct entry *older = entry->older;

		if (entry->facts->trust_epoch < trust_epoch)
			remove_entry(table, entry);
		entry = older;
	}
}
