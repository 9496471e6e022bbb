#include "stirrup/number_table.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The kinds, narrowest first. Each has a map of its own, asked in this order. */
enum kind { SINGLE, RANGE, PREFIX, KIND_COUNT };

/* A number as an integer, so that a million of them fit into 16 MB and compare in a few instructions. */
struct key {
	uint64_t high, low;
};

/* All the numbers that an entry matches, while the maps are built. */
struct interval {
	struct key first, last;
	struct key width; /* for comparing within the kind only */
	uint32_t entry;
};

/* Disjoint pieces in ascending order: from starts[i] up to the next start, the entry of pieces[i] matches
 * most narrowly, as far as it reaches. One binary search answers, however the intervals overlap; and a miss
 * is known without a look at the entry, which would be one more page of memory. */
struct piece {
	struct key last;
	uint32_t entry;
};

struct map {
	struct key *starts;
	struct piece *pieces;
	size_t count;
};

struct number_table {
	struct number_entry *entries;
	struct map maps[KIND_COUNT];
};

struct conflict_report {
	void (*on_conflict)(const struct number_conflict *, void *context);
	void *context;
};

static const char *const level_words[] = {
	[LEVEL_A] = "A",
	[LEVEL_B] = "B",
	[LEVEL_C] = "C",
	[LEVEL_UNSIGNED] = "unsigned",
	[LEVEL_REJECT] = "reject",
	[LEVEL_UNSET] = "",
};

const char *level_word(enum level level)
{
	return level_words[level];
}

bool level_from_word(enum level *level, const char *word)
{
	for (enum level known = LEVEL_A; known <= LEVEL_REJECT; known++) {
		if (strcmp(word, level_words[known]) == 0) {
			*level = known;
			return true;
		}
	}
	return false;
}

/* Keys: ascending order, and room behind each for a start that no number has. */

static int key_compare(struct key a, struct key b)
{
	if (a.high != b.high)
		return a.high < b.high ? -1 : 1;
	return (a.low > b.low) - (a.low < b.low);
}

static struct key key_behind(struct key key)
{
	return (struct key){ key.high, key.low + 1 };
}

/* For single numbers and ranges: by length, then by value. The low half holds 16 decimal digits. */
#define LOW_LIMIT UINT64_C(10000000000000000)

static struct key number_key(const struct tn *tn)
{
	struct key key = { 0, 0 };
	uint64_t length = 0;

	for (const char *digit = tn->digits; *digit != '\0'; digit++, length++) {
		key.high = key.high * 10 + key.low / (LOW_LIMIT / 10);
		key.low = key.low % (LOW_LIMIT / 10) * 10 + (uint64_t)(*digit - '0');
	}
	key.high |= length << 56;
	return key;
}

static struct key number_width(struct key first, struct key last)
{
	bool borrow = last.low < first.low;

	return (struct key){
		last.high - first.high - (borrow ? 1 : 0),
		last.low - first.low + (borrow ? LOW_LIMIT : 0),
	};
}

/* For prefixes: as words in a dictionary. Four bits for each digit, 1 to 10, then fill: 0 as the end of a
 * number, which is before all that begins with it, or 15, which is behind all that. */
static struct key prefix_key(const struct tn *tn, uint64_t fill)
{
	struct key key = { 0, 0 };
	const char *digit = tn->digits;

	for (size_t i = 0; i < TN_MAX; i++) {
		uint64_t next = *digit == '\0' ? fill : (uint64_t)(*digit++ - '0') + 1;

		key.high = key.high << 4 | key.low >> 60;
		key.low = key.low << 4 | next;
	}
	/* Four free bits for key_behind(). */
	return (struct key){ key.high << 4 | key.low >> 60, key.low << 4 };
}

static bool is_digits(const struct tn *tn)
{
	const char *digit = tn->digits;

	while (*digit >= '0' && *digit <= '9')
		digit++;
	return *digit == '\0';
}

static enum kind entry_kind(const struct number_entry *entry)
{
	if (entry->prefix)
		return PREFIX;
	return entry->last.digits[0] == '\0' ? SINGLE : RANGE;
}

/* Entries come from a checked configuration: what can't be a number there is our own mistake. */
static struct interval entry_interval(const struct number_entry *entry, uint32_t index)
{
	struct interval interval = { .entry = index };

	assert(is_digits(&entry->first));
	assert(is_digits(&entry->last));
	switch (entry_kind(entry)) {
	case SINGLE:
		interval.first = interval.last = number_key(&entry->first);
		break;
	case RANGE:
		assert(strlen(entry->first.digits) == strlen(entry->last.digits));
		interval.first = number_key(&entry->first);
		interval.last = number_key(&entry->last);
		interval.width = number_width(interval.first, interval.last);
		assert(key_compare(interval.first, interval.last) <= 0);
		break;
	case PREFIX:
		assert(entry->last.digits[0] == '\0');
		interval.first = prefix_key(&entry->first, 0);
		interval.last = prefix_key(&entry->first, 15);
		interval.width.low = TN_MAX - strlen(entry->first.digits);
		break;
	case KIND_COUNT:
		break;
	}
	return interval;
}

/* By first number, then as configured, so that equal configurations make equal reports. */
static int compare_intervals(const void *left, const void *right)
{
	const struct interval *a = left, *b = right;
	int order = key_compare(a->first, b->first);

	return order != 0 ? order : (a->entry > b->entry) - (a->entry < b->entry);
}

/* Conflicts. Each interval that is in one is reported once, with one that it is in conflict with. */

static bool differ(const struct number_entry *entries, const struct interval *a, const struct interval *b)
{
	const struct number_entry *one = &entries[a->entry], *other = &entries[b->entry];

	return one->customer != other->customer || one->level != other->level;
}

static void report_conflict(const struct conflict_report *report, const struct number_entry *entries,
	const struct interval *a, const struct interval *b)
{
	const struct interval *later = a->entry > b->entry ? a : b, *earlier = later == a ? b : a;
	struct number_conflict conflict = { entries[later->entry].tag, entries[earlier->entry].tag };

	if (report->on_conflict != NULL)
		report->on_conflict(&conflict, report->context);
}

/* For numbers and prefixes, where only the same one is a conflict: prefixes nest at will, and no two of them
 * have the same first key. */
static void report_equals(const struct conflict_report *report, const struct number_entry *entries,
	const struct interval *intervals, size_t count)
{
	for (size_t i = 0, head; i < count;) {
		head = i++;
		for (; i < count && key_compare(intervals[i].first, intervals[head].first) == 0; i++) {
			if (differ(entries, &intervals[i], &intervals[head]))
				report_conflict(report, entries, &intervals[i], &intervals[head]);
		}
	}
}

/* For ranges. In ascending order of their first numbers, a range meets an earlier one that differs from it if
 * it meets the one of those that reaches furthest; and that is among the two furthest that differ from each
 * other. */
static void report_overlaps(const struct conflict_report *report, const struct number_entry *entries,
	const struct interval *intervals, size_t count)
{
	const struct interval *furthest = NULL, *second = NULL;

	for (size_t i = 0; i < count; i++) {
		const struct interval *range = &intervals[i], *other = furthest;

		if (other != NULL && !differ(entries, range, other))
			other = second;
		if (other != NULL && key_compare(range->first, other->last) <= 0)
			report_conflict(report, entries, range, other);

		if (furthest == NULL || key_compare(range->last, furthest->last) > 0) {
			if (furthest != NULL && differ(entries, range, furthest))
				second = furthest;
			furthest = range;
		} else if (differ(entries, range, furthest) &&
			   (second == NULL || key_compare(range->last, second->last) > 0)) {
			second = range;
		}
	}
}

/* A heap of the intervals that are open at one point of the sweep, the narrowest on top. */

struct heap {
	const struct interval **items;
	size_t count;
};

static bool is_narrower(const struct interval *a, const struct interval *b)
{
	int order = key_compare(a->width, b->width);

	return order < 0 || (order == 0 && a->entry < b->entry);
}

static void heap_push(struct heap *heap, const struct interval *interval)
{
	size_t place = heap->count++;

	while (place > 0 && is_narrower(interval, heap->items[(place - 1) / 2])) {
		heap->items[place] = heap->items[(place - 1) / 2];
		place = (place - 1) / 2;
	}
	heap->items[place] = interval;
}

static void heap_pop(struct heap *heap)
{
	const struct interval *last = heap->items[--heap->count];
	size_t place = 0, child;

	while ((child = place * 2 + 1) < heap->count) {
		if (child + 1 < heap->count && is_narrower(heap->items[child + 1], heap->items[child]))
			child++;
		if (!is_narrower(heap->items[child], last))
			break;
		heap->items[place] = heap->items[child];
		place = child;
	}
	heap->items[place] = last;
}

/* The map of the pieces. */

static void map_add(struct map *map, struct key start, const struct interval *interval)
{
	if (map->count > 0 && map->pieces[map->count - 1].entry == interval->entry)
		return;
	if (map->count > 0 && key_compare(map->starts[map->count - 1], start) == 0)
		map->count--;
	map->starts[map->count] = start;
	map->pieces[map->count] = (struct piece){ interval->last, interval->entry };
	map->count++;
}

/* Closes the intervals that end before until (NULL: all). The narrowest of those that go on takes over. */
static void close_until(struct map *map, struct heap *open, const struct key *until)
{
	while (open->count > 0 && (until == NULL || key_compare(open->items[0]->last, *until) < 0)) {
		struct key end = open->items[0]->last;

		while (open->count > 0 && key_compare(open->items[0]->last, end) <= 0)
			heap_pop(open);
		if (open->count > 0)
			map_add(map, key_behind(end), open->items[0]);
	}
}

static void map_shrink(struct map *map)
{
	struct key *starts = realloc(map->starts, map->count * sizeof(*starts));
	struct piece *pieces = realloc(map->pieces, map->count * sizeof(*pieces));

	if (starts != NULL)
		map->starts = starts;
	if (pieces != NULL)
		map->pieces = pieces;
}

/* False when out of memory. The intervals are sorted. */
static bool map_build(struct map *map, const struct interval *intervals, size_t count)
{
	struct heap open = { calloc(count, sizeof(const struct interval *)), 0 };

	/* Each interval adds one piece where it begins, and at most one where it ends. */
	map->starts = calloc(count, 2 * sizeof(*map->starts));
	map->pieces = calloc(count, 2 * sizeof(*map->pieces));
	if (open.items == NULL || map->starts == NULL || map->pieces == NULL) {
		free(open.items);
		return false;
	}

	for (size_t i = 0; i < count; i++) {
		close_until(map, &open, &intervals[i].first);
		heap_push(&open, &intervals[i]);
		map_add(map, intervals[i].first, open.items[0]);
	}
	close_until(map, &open, NULL);

	free(open.items);
	map_shrink(map);
	return true;
}

static bool build_kind(
	struct number_table *table, enum kind kind, size_t count, const struct conflict_report *report)
{
	struct interval *intervals;
	size_t found = 0;
	bool ok;

	for (size_t i = 0; i < count; i++)
		found += entry_kind(&table->entries[i]) == kind ? 1 : 0;
	if (found == 0)
		return true;
	intervals = calloc(found, sizeof(*intervals));
	if (intervals == NULL)
		return false;

	found = 0;
	for (size_t i = 0; i < count; i++) {
		if (entry_kind(&table->entries[i]) == kind)
			intervals[found++] = entry_interval(&table->entries[i], (uint32_t)i);
	}
	qsort(intervals, found, sizeof(*intervals), compare_intervals);

	if (kind == RANGE)
		report_overlaps(report, table->entries, intervals, found);
	else
		report_equals(report, table->entries, intervals, found);
	ok = map_build(&table->maps[kind], intervals, found);

	free(intervals);
	return ok;
}

struct number_table *number_table_new(const struct number_entry *entries, size_t count,
	void (*on_conflict)(const struct number_conflict *, void *context), void *context)
{
	struct conflict_report report = { on_conflict, context };
	struct number_table *table = calloc(1, sizeof(*table));

	assert(count < UINT32_MAX);
	if (table == NULL)
		return NULL;
	table->entries = calloc(count > 0 ? count : 1, sizeof(*entries));
	if (table->entries == NULL) {
		number_table_free(table);
		return NULL;
	}
	if (count > 0)
		memcpy(table->entries, entries, count * sizeof(*entries));

	for (enum kind kind = SINGLE; kind < KIND_COUNT; kind++) {
		if (!build_kind(table, kind, count, &report)) {
			number_table_free(table);
			return NULL;
		}
	}
	return table;
}

void number_table_free(struct number_table *table)
{
	if (table == NULL)
		return;
	for (enum kind kind = SINGLE; kind < KIND_COUNT; kind++) {
		free(table->maps[kind].starts);
		free(table->maps[kind].pieces);
	}
	free(table->entries);
	free(table);
}

/* The last piece that begins at key or before it answers, unless its entry ends before key. */
static const struct number_entry *map_find(const struct number_table *table, enum kind kind, struct key key)
{
	const struct map *map = &table->maps[kind];
	size_t low = 0, high = map->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (key_compare(map->starts[middle], key) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || key_compare(key, map->pieces[low - 1].last) > 0)
		return NULL;
	return &table->entries[map->pieces[low - 1].entry];
}

const struct number_entry *number_table_find(const struct number_table *table, const struct tn *tn)
{
	const struct number_entry *entry;
	struct key key;

	if (table == NULL || tn->digits[0] == '\0' || !is_digits(tn))
		return NULL;

	key = number_key(tn);
	entry = map_find(table, SINGLE, key);
	if (entry == NULL)
		entry = map_find(table, RANGE, key);
	if (entry == NULL)
		entry = map_find(table, PREFIX, prefix_key(tn, 0));
	return entry;
}
