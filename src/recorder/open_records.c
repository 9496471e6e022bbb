#include "open_records.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 131072        /* 1 MiB, while there is anything to remember */
#define BURST_BYTES (1 << 20) /* what held more gives its memory back to the system as it shrinks */

/* What is known of an id. */
enum state { WAITS, EARLY, WRITTEN };
#define STATES 3

struct note {
	struct entry *of;
	struct note *next, **link; /* with others that the spool wants; link NULL: it has it, or is not to */
	uint16_t length;
	char text[];
};

struct entry {
	uint64_t id;
	struct entry *chain;           /* same bucket */
	struct entry *next, *previous; /* same state, in order of time */
	int64_t since_us;
	enum state state;
	bool saved; /* its line stands in the spool */
	uint16_t length, hole;
	char *bytes; /* WAITS: the line; EARLY: the final as it came, NULL: none yet */
	struct note *note; /* NULL: none */
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
	struct note *unsaved_notes; /* of WAITS */
	size_t bytes, bytes_max; /* of lines and their notes */
	size_t peak;             /* of held(), since memory was given back */
	unsigned long orphans;   /* calls of which what had come was given up */
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

static void unlink_note(struct note *note)
{
	if (note->link == NULL)
		return;
	*note->link = note->next;
	if (note->next != NULL)
		note->next->link = note->link;
	note->link = NULL;
}

static void link_note(struct open_records *records, struct note *note)
{
	note->next = records->unsaved_notes;
	if (note->next != NULL)
		note->next->link = &note->next;
	note->link = &records->unsaved_notes;
	records->unsaved_notes = note;
}

static void forget_unsaved_notes(struct open_records *records)
{
	while (records->unsaved_notes != NULL)
		unlink_note(records->unsaved_notes);
}

static struct span note_of(const struct entry *entry)
{
	return entry->note == NULL ? (struct span){ "", 0 } : (struct span){ entry->note->text, entry->note->length };
}

static void drop_bytes(struct open_records *records, struct entry *entry)
{
	if (entry->state == WAITS)
		records->bytes -= entry->length + note_of(entry).length;
	free(entry->bytes);
	entry->bytes = NULL;
	if (entry->note != NULL)
		unlink_note(entry->note);
	free(entry->note);
	entry->note = NULL;
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

/* As one of whom nothing has come yet. NULL when out of memory. */
static struct entry *remember(struct open_records *records, uint64_t id, int64_t now_us)
{
	struct entry *entry = malloc(sizeof *entry);

	if (records->buckets == NULL)
		records->buckets = calloc(BUCKETS, sizeof(struct entry *));
	if (entry == NULL || records->buckets == NULL) {
		free(entry);
		return NULL;
	}
	*entry = (struct entry){ .id = id, .chain = *bucket_of(records, id), .since_us = now_us };
	*bucket_of(records, id) = entry;
	link_entry(records, entry, EARLY);
	return entry;
}

static bool keep_bytes(struct entry *entry, struct span bytes)
{
	char *copy = malloc(bytes.length);

	if (copy == NULL)
		return false;
	memcpy(copy, bytes.at, bytes.length);
	entry->bytes = copy;
	entry->length = (uint16_t)bytes.length;
	return true;
}

static struct span bytes_of(const struct entry *entry)
{
	return (struct span){ entry->bytes, entry->length };
}

static bool keep_note(struct entry *entry, struct span text)
{
	struct note *note = malloc(sizeof *note + text.length);

	if (note == NULL)
		return false;
	*note = (struct note){ .of = entry, .length = (uint16_t)text.length };
	memcpy(note->text, text.at, text.length);
	entry->note = note;
	return true;
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

static size_t join_nothing(char *out, struct span line, size_t hole, struct span note)
{
	const struct record_final none = { .note = note };

	if (note.length > 0)
		return join(out, line, hole, &none);
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

/* An early one has its line. */
static bool wait_for_final(
	struct open_records *records, struct entry *entry, struct span line, size_t hole, int64_t since_us)
{
	if (!keep_bytes(entry, line))
		return false;
	unlink_entry(records, entry);
	entry->hole = (uint16_t)hole;
	entry->since_us = since_us;
	link_entry(records, entry, WAITS);
	records->bytes += line.length + note_of(entry).length;
	if (entry->note != NULL)
		link_note(records, entry->note);
	return true;
}

static size_t take_line(
	struct open_records *records, const struct record_item *item, int64_t now_us, char *out)
{
	struct entry *entry = find(records, item->id);
	struct record_item early;
	size_t length;

	if (entry != NULL && entry->state != EARLY)
		return 0;
	if (entry != NULL && entry->bytes != NULL) {
		record_item_read(&early, bytes_of(entry));
		early.final.note = note_of(entry);
		length = join(out, item->line, item->hole, &early.final);
		close_entry(records, entry, now_us);
		return length;
	}
	if (entry == NULL)
		entry = remember(records, item->id, now_us);
	if (entry == NULL)
		return join_nothing(out, item->line, item->hole, (struct span){ "", 0 });
	if (wait_for_final(records, entry, item->line, item->hole, now_us))
		return 0;
	length = join_nothing(out, item->line, item->hole, note_of(entry));
	close_entry(records, entry, now_us);
	return length;
}

/* NULL: no room. */
static struct entry *remember_early(struct open_records *records, uint64_t id, int64_t now_us)
{
	struct entry *entry =
		records->by_state[EARLY].count < OPEN_EARLY_MAX ? remember(records, id, now_us) : NULL;

	if (entry == NULL)
		records->orphans++;
	return entry;
}

/* The first final of those without a line. */
static void keep_early(
	struct open_records *records, struct entry *entry, const struct record_item *item, int64_t now_us)
{
	char bytes[RECORD_ITEM_MAX];
	size_t length = record_final_write(bytes, sizeof bytes, item->id, &item->final);

	if (entry == NULL)
		entry = remember_early(records, item->id, now_us);
	if (entry == NULL || entry->bytes != NULL || !keep_bytes(entry, (struct span){ bytes, length }))
		return;
	unlink_entry(records, entry);
	entry->since_us = now_us;
	link_entry(records, entry, EARLY);
}

static size_t take_final(
	struct open_records *records, const struct record_item *item, int64_t now_us, char *out)
{
	struct entry *entry = find(records, item->id);
	struct record_final final = item->final;
	size_t length;

	if (entry == NULL || entry->state == EARLY)
		keep_early(records, entry, item, now_us);
	if (entry == NULL || entry->state != WAITS)
		return 0;
	final.note = note_of(entry);
	length = join(out, bytes_of(entry), entry->hole, &final);
	close_entry(records, entry, now_us);
	return length;
}

static void take_note(struct open_records *records, const struct record_item *item, int64_t now_us)
{
	struct entry *entry = find(records, item->id);

	if (entry == NULL)
		entry = remember_early(records, item->id, now_us);
	/* One that finds a final without its line still comes to that line. */
	if (entry == NULL || entry->state == WRITTEN || entry->note != NULL || !keep_note(entry, item->note))
		return;
	if (entry->state == WAITS) {
		records->bytes += item->note.length;
		link_note(records, entry->note);
	}
}

size_t open_records_take(
	struct open_records *records, const struct record_item *item, int64_t now_us, char out[OPEN_LINE_MAX])
{
	switch (item->kind) {
	case RECORD_OPEN:
		return take_line(records, item, now_us, out);
	case RECORD_FINAL:
		return take_final(records, item, now_us, out);
	case RECORD_NOTE:
		take_note(records, item, now_us);
		break;
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
	length = join_nothing(out, bytes_of(oldest), oldest->hole, note_of(oldest));
	close_entry(records, oldest, now_us);
	return length;
}

/* --- The spool --- */

static void put_line(struct spool *spool, struct entry *entry)
{
	const struct spool_line line = {
		.id = entry->id, .since_us = entry->since_us, .hole = entry->hole, .line = bytes_of(entry)
	};

	spool_put(spool, &line);
	entry->saved = true;
}

static void put_note(struct spool *spool, const struct entry *entry)
{
	spool_put(spool, &(struct spool_line){ .id = entry->id, .since_us = entry->since_us, .note = note_of(entry) });
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
	for (struct entry *entry = records->by_state[WAITS].first; entry != NULL; entry = entry->next) {
		put_line(spool, entry);
		if (entry->note != NULL)
			put_note(spool, entry);
	}
	for (struct entry *entry = records->unmarked; entry != NULL; entry = entry->next)
		entry->saved = false;
	records->unsaved = NULL;
	records->unmarked = NULL;
	forget_unsaved_notes(records);
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
	if (records->unsaved == NULL && records->unsaved_notes == NULL && records->unmarked == NULL)
		return;
	if (spool_wants_rewrite(spool, records->bytes, now_us)) {
		open_records_save_all(records, spool);
		return;
	}
	for (struct entry *entry = records->unsaved; entry != NULL; entry = entry->next)
		put_line(spool, entry);
	records->unsaved = NULL;
	for (struct note *note = records->unsaved_notes; note != NULL; note = note->next)
		put_note(spool, note->of);
	forget_unsaved_notes(records);
	mark_gone(records, spool);
	spool_flush(spool);
}

static void restore_line(struct open_records *records, struct entry *entry, const struct spool_line *line)
{
	if (entry != NULL && entry->state != EARLY)
		return;
	if (entry != NULL)
		forget(records, entry); /* what has come already is less than the record */
	entry = remember(records, line->id, line->since_us);
	if (entry == NULL)
		return;
	if (wait_for_final(records, entry, line->line, line->hole, line->since_us))
		entry->saved = true;
	else
		forget(records, entry);
}

static void restore_one(void *context, const struct spool_line *line)
{
	struct open_records *records = context;
	struct entry *entry = find(records, line->id);

	if (line->line.length > 0)
		restore_line(records, entry, line);
	else if (entry == NULL || entry->state != WAITS)
		return;
	else if (line->note.length == 0)
		close_entry(records, entry, line->since_us);
	else if (entry->note == NULL && keep_note(entry, line->note))
		records->bytes += line->note.length;
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
