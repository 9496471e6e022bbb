#include "open_records.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 131072        /* 1 MiB, while there is anything to remember */
#define BURST_BYTES (1 << 20) /* what held more gives its memory back to the system as it shrinks */

/* What is known of an id. */
enum state { WAITS, EARLY, WRITTEN };
#define STATES 3

struct entry {
	uint64_t id;
	struct entry *chain;           /* same bucket */
	struct entry *next, *previous; /* same state, in order of time */
	int64_t since_us;
	enum state state;
	bool saved; /* its line stands in the spool */
	uint16_t length, hole;
	char *bytes; /* WAITS: the line; EARLY: the final as it came */
};

struct entries {
	struct entry *first, *last;
	size_t count;
};

struct open_records {
	struct entry **buckets; /* NULL: nothing is known */
	struct entries by_state[STATES];
	struct entry *unsaved;   /* of WAITS: the first that the spool does not have */
	struct entry *unmarked;  /* of WRITTEN: the first of which the spool does not know that it is gone */
	size_t bytes, bytes_max; /* of lines */
	size_t peak;             /* of held(), since memory was given back */
	unsigned long orphans;   /* finals that were given up */
};

/* --- The table --- */

static struct entry **bucket_of(const struct open_records *records, uint64_t id)
{
	return &records->buckets[(id * 0x9e3779b97f4a7c15u) >> 47];
}

static struct entry *find(const struct open_records *records, uint64_t id)
{
	struct entry *entry = records->buckets == NULL ? NULL : *bucket_of(records, id);

	while (entry != NULL && entry->id != id)
		entry = entry->chain;
	return entry;
}

static void unlink_entry(struct open_records *records, struct entry *entry)
{
	struct entries *list = &records->by_state[entry->state];

	if (records->unsaved == entry)
		records->unsaved = entry->next;
	if (records->unmarked == entry)
		records->unmarked = entry->next;
	if (entry->previous == NULL)
		list->first = entry->next;
	else
		entry->previous->next = entry->next;
	if (entry->next == NULL)
		list->last = entry->previous;
	else
		entry->next->previous = entry->previous;
	list->count--;
}

static void link_entry(struct open_records *records, struct entry *entry, enum state state)
{
	struct entries *list = &records->by_state[state];

	entry->state = state;
	entry->next = NULL;
	entry->previous = list->last;
	if (list->last == NULL)
		list->first = entry;
	else
		list->last->next = entry;
	list->last = entry;
	list->count++;
	if (state == WAITS && records->unsaved == NULL)
		records->unsaved = entry;
	if (state == WRITTEN && records->unmarked == NULL)
		records->unmarked = entry;
}

static void drop_bytes(struct open_records *records, struct entry *entry)
{
	if (entry->state == WAITS)
		records->bytes -= entry->length;
	free(entry->bytes);
	entry->bytes = NULL;
}

static bool is_empty(const struct open_records *records)
{
	for (int i = 0; i < STATES; i++)
		if (records->by_state[i].count > 0)
			return false;
	return true;
}

static void forget(struct open_records *records, struct entry *entry)
{
	struct entry **at = bucket_of(records, entry->id);

	while (*at != entry)
		at = &(*at)->chain;
	*at = entry->chain;
	unlink_entry(records, entry);
	drop_bytes(records, entry);
	free(entry);
	if (is_empty(records)) {
		free(records->buckets);
		records->buckets = NULL;
	}
}

/* NULL when out of memory. */
static struct entry *remember(
	struct open_records *records, uint64_t id, enum state state, struct span bytes, int64_t now_us)
{
	struct entry *entry = malloc(sizeof *entry);
	char *copy = malloc(bytes.length);

	if (records->buckets == NULL)
		records->buckets = calloc(BUCKETS, sizeof(struct entry *));
	if (entry == NULL || copy == NULL || records->buckets == NULL) {
		free(entry);
		free(copy);
		return NULL;
	}
	memcpy(copy, bytes.at, bytes.length);
	*entry = (struct entry){
		.id = id,
		.chain = *bucket_of(records, id),
		.since_us = now_us,
		.length = (uint16_t)bytes.length,
		.bytes = copy,
	};
	*bucket_of(records, id) = entry;
	link_entry(records, entry, state);
	return entry;
}

/* --- Joining --- */

/* The configured next hop stands right before the hole; the one that answered takes its place. No string of a JSON line
 * has the name's quotes in it. */
static size_t before_hop(struct span line, size_t hole)
{
	static const char name[] = "\"next_hop\":";

	for (size_t at = hole; at >= sizeof name - 1; at--)
		if (memcmp(line.at + at - (sizeof name - 1), name, sizeof name - 1) == 0)
			return at - (sizeof name - 1);
	return hole;
}

static size_t join(char *out, struct span line, size_t hole, const struct record_final *final)
{
	size_t after = hole + sizeof RECORD_NO_FINAL - 1;
	size_t length = final->by.length > 0 ? before_hop(line, hole) : hole;

	memcpy(out, line.at, length);
	if (length < hole)
		length += record_write_hop(out + length, RECORD_FINAL_MAX, final->by);
	length += record_write_final(out + length, RECORD_FINAL_MAX, final);
	memcpy(out + length, line.at + after, line.length - after);
	return length + line.length - after;
}

static size_t as_it_is(char *out, struct span line)
{
	memcpy(out, line.at, line.length);
	return line.length;
}

/* The record of this id is in out: no other will be written. */
static void close_entry(struct open_records *records, struct entry *entry, int64_t now_us)
{
	unlink_entry(records, entry);
	drop_bytes(records, entry);
	entry->since_us = now_us;
	link_entry(records, entry, WRITTEN);
	if (records->by_state[WRITTEN].count > OPEN_WRITTEN_MAX)
		forget(records, records->by_state[WRITTEN].first);
}

static struct span line_of(const struct entry *entry)
{
	return (struct span){ entry->bytes, entry->length };
}

static size_t take_line(
	struct open_records *records, const struct record_item *item, int64_t now_us, char *out)
{
	struct entry *entry = find(records, item->id);
	struct record_item early;
	size_t length;

	if (entry != NULL && entry->state != EARLY)
		return 0;
	if (entry != NULL) {
		record_item_read(&early, line_of(entry));
		length = join(out, item->line, item->hole, &early.final);
		close_entry(records, entry, now_us);
		return length;
	}
	entry = remember(records, item->id, WAITS, item->line, now_us);
	if (entry == NULL)
		return as_it_is(out, item->line);
	entry->hole = (uint16_t)item->hole;
	records->bytes += item->line.length;
	return 0;
}

static void keep_early(struct open_records *records, const struct record_item *item, int64_t now_us)
{
	char bytes[RECORD_ITEM_MAX];
	size_t length = record_final_write(bytes, sizeof bytes, item->id, &item->final);

	if (records->by_state[EARLY].count >= OPEN_EARLY_MAX ||
		remember(records, item->id, EARLY, (struct span){ bytes, length }, now_us) == NULL)
		records->orphans++;
}

static size_t take_final(
	struct open_records *records, const struct record_item *item, int64_t now_us, char *out)
{
	struct entry *entry = find(records, item->id);
	size_t length;

	if (entry == NULL)
		keep_early(records, item, now_us);
	if (entry == NULL || entry->state != WAITS)
		return 0;
	length = join(out, line_of(entry), entry->hole, &item->final);
	close_entry(records, entry, now_us);
	return length;
}

size_t open_records_take(
	struct open_records *records, const struct record_item *item, int64_t now_us, char out[OPEN_LINE_MAX])
{
	switch (item->kind) {
	case RECORD_OPEN:
		return take_line(records, item, now_us, out);
	case RECORD_FINAL:
		return take_final(records, item, now_us, out);
	case RECORD_LINE:
		break;
	}
	return 0;
}

/* --- Time --- */

static void forget_old(struct open_records *records, int64_t now_us)
{
	struct entry *entry;

	while ((entry = records->by_state[WRITTEN].first) != NULL &&
		now_us - entry->since_us >= OPEN_WRITTEN_US)
		forget(records, entry);
	while ((entry = records->by_state[EARLY].first) != NULL &&
		now_us - entry->since_us >= OPEN_EARLY_US) {
		records->orphans++;
		forget(records, entry);
	}
}

static size_t held(const struct open_records *records)
{
	size_t count = 0;

	for (int i = 0; i < STATES; i++)
		count += records->by_state[i].count;
	return records->bytes + count * sizeof(struct entry);
}

/* Freed pieces between others stay with the process until it is said. */
static void give_back(struct open_records *records)
{
	size_t now = held(records);

	if (now > records->peak)
		records->peak = now;
	if (records->peak < BURST_BYTES || now > records->peak / 4)
		return;
	records->peak = now;
	malloc_trim(0);
}

size_t open_records_due(
	struct open_records *records, int64_t limit_us, int64_t now_us, char out[OPEN_LINE_MAX])
{
	struct entry *oldest = records->by_state[WAITS].first;
	size_t length;

	forget_old(records, now_us);
	if (oldest == NULL ||
		(now_us - oldest->since_us < limit_us && records->bytes <= records->bytes_max)) {
		give_back(records);
		return 0;
	}
	length = as_it_is(out, line_of(oldest));
	close_entry(records, oldest, now_us);
	return length;
}

/* --- The spool --- */

static void put_line(struct spool *spool, struct entry *entry)
{
	spool_put(spool, &(struct spool_line){ entry->id, entry->since_us, entry->hole, line_of(entry) });
	entry->saved = true;
}

static void mark_gone(struct open_records *records, struct spool *spool)
{
	for (struct entry *entry = records->unmarked; entry != NULL; entry = entry->next) {
		if (entry->saved)
			spool_put(
				spool, &(struct spool_line){ .id = entry->id, .since_us = entry->since_us });
		entry->saved = false;
	}
	records->unmarked = NULL;
}

void open_records_save_all(struct open_records *records, struct spool *spool)
{
	spool_rewrite_begin(spool);
	for (struct entry *entry = records->by_state[WAITS].first; entry != NULL; entry = entry->next)
		put_line(spool, entry);
	for (struct entry *entry = records->unmarked; entry != NULL; entry = entry->next)
		entry->saved = false;
	records->unsaved = NULL;
	records->unmarked = NULL;
	spool_rewrite_end(spool);
}

#define WORTH_EMPTYING (1 << 20)

void open_records_save(struct open_records *records, struct spool *spool, int64_t now_us, bool idle)
{
	if (records->by_state[WAITS].count == 0 && (idle || spool_size(spool) > WORTH_EMPTYING)) {
		for (struct entry *entry = records->unmarked; entry != NULL; entry = entry->next)
			entry->saved = false;
		records->unmarked = NULL;
		spool_empty(spool);
		return;
	}
	if (records->unsaved == NULL && records->unmarked == NULL)
		return;
	if (spool_wants_rewrite(spool, records->bytes, now_us)) {
		open_records_save_all(records, spool);
		return;
	}
	for (struct entry *entry = records->unsaved; entry != NULL; entry = entry->next)
		put_line(spool, entry);
	records->unsaved = NULL;
	mark_gone(records, spool);
	spool_flush(spool);
}

static void restore_one(void *context, const struct spool_line *line)
{
	struct open_records *records = context;
	struct entry *entry = find(records, line->id);

	if (entry != NULL && line->line.length == 0 && entry->state == WAITS)
		close_entry(records, entry, line->since_us);
	if ((entry != NULL && entry->state != EARLY) || line->line.length == 0)
		return;
	if (entry != NULL)
		forget(records, entry); /* what has come already is less than the record */
	entry = remember(records, line->id, WAITS, line->line, line->since_us);
	if (entry == NULL)
		return;
	entry->hole = (uint16_t)line->hole;
	entry->saved = true;
	records->bytes += line->line.length;
}

void open_records_restore(struct open_records *records, struct spool *spool, int64_t now_us)
{
	spool_read(spool, now_us, restore_one, records);
	records->unsaved = NULL;
	for (struct entry *entry = records->unmarked; entry != NULL; entry = entry->next)
		entry->saved = false;
	records->unmarked = NULL;
}

/* --- Their life --- */

struct open_records *open_records_new(size_t bytes_max)
{
	struct open_records *records = calloc(1, sizeof *records);

	if (records != NULL)
		records->bytes_max = bytes_max;
	return records;
}

void open_records_free(struct open_records *records)
{
	if (records == NULL)
		return;
	for (int i = 0; i < STATES; i++)
		while (records->by_state[i].first != NULL)
			forget(records, records->by_state[i].first);
	free(records);
}

size_t open_records_count(const struct open_records *records)
{
	return records->by_state[WAITS].count;
}

unsigned long open_records_orphans(const struct open_records *records)
{
	return records->orphans + records->by_state[EARLY].count;
}
