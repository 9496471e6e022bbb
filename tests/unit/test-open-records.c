#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "../../src/recorder/open_records.h"
#include "../../src/recorder/spool.h"
#include "stirrup/clock.h"

#define SECOND 1000000LL
#define LIMIT (180 * SECOND)
#define START (1000 * SECOND)

#define SPOOL_HEAD 24 /* octets before each line and note */

static char out[OPEN_LINE_MAX];

/* Reads an item as it would come; its spans stay good until the next call. */
static size_t take(struct open_records *records, int64_t now, const char *bytes, size_t length)
{
	struct record_item item;

	assert_int_equal(record_item_read(&item, (struct span){ bytes, length }), length);
	return open_records_take(records, &item, now, out);
}

static size_t take_line(struct open_records *records, int64_t now, uint64_t id)
{
	char bytes[RECORD_ITEM_MAX], call_id[32];
	struct record record = { .status = 200, .microseconds = 99 };

	snprintf(call_id, sizeof call_id, "call-%llu", (unsigned long long)id);
	record.call_id = span_of(call_id);
	return take(records, now, bytes, record_open_write(bytes, sizeof bytes, id, &record));
}

static size_t take_final(struct open_records *records, int64_t now, uint64_t id, unsigned status)
{
	struct record_final final = { .status = status, .by = span_of("192.0.2.9:5060"), .why = span_of("Busy Here") };
	char bytes[RECORD_ITEM_MAX];

	return take(records, now, bytes, record_final_write(bytes, sizeof bytes, id, &final));
}

static void take_note(struct open_records *records, int64_t now, uint64_t id, const char *text)
{
	char bytes[RECORD_ITEM_MAX];

	assert_int_equal(take(records, now, bytes, record_note_write(bytes, sizeof bytes, id, span_of(text))), 0);
}

/* The line in out is that of this call, with this status. 0: null. */
static void assert_line(size_t length, uint64_t id, unsigned status)
{
	char call_id[32];
	json_t *json, *final;

	assert_true(length > 0 && length <= sizeof out);
	assert_ptr_equal(memchr(out, '\n', length), out + length - 1);
	json = json_loadb(out, length, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	snprintf(call_id, sizeof call_id, "call-%llu", (unsigned long long)id);
	assert_string_equal(json_string_value(json_object_get(json, "call_id")), call_id);
	assert_int_equal(json_integer_value(json_object_get(json, "microseconds")), 99);
	final = json_object_get(json, "final_status");
	assert_int_equal(json_is_null(final) ? 0 : json_integer_value(final), status);
	assert_true(json_is_null(json_object_get(json, "rejected_by")) == (status < 300));
	json_decref(json);
}

/* Its note, NULL: null. */
static void assert_note(size_t length, const char *note)
{
	json_t *json = json_loadb(out, length, JSON_REJECT_DUPLICATES, NULL);
	const char *text;

	assert_non_null(json);
	text = json_string_value(json_object_get(json, "note"));
	if (note == NULL)
		assert_true(json_is_null(json_object_get(json, "note")));
	else
		assert_string_equal(text, note);
	json_decref(json);
}

static void a_line_and_its_final_make_one_record(void **state)
{
	struct open_records *records = open_records_new(OPEN_BYTES_MAX);

	assert_int_equal(take_line(records, START, 1), 0);
	assert_int_equal(take_line(records, START, 2), 0);
	assert_int_equal(open_records_count(records), 2);
	assert_line(take_final(records, START + SECOND, 2, 486), 2, 486);
	assert_line(take_final(records, START + SECOND, 1, 200), 1, 200);
	assert_int_equal(open_records_count(records), 0);
	assert_int_equal(open_records_orphans(records), 0);
	open_records_free(records);
}

static void a_final_may_come_before_its_line(void **state)
{
	struct open_records *records = open_records_new(OPEN_BYTES_MAX);

	assert_int_equal(take_final(records, START, 1, 603), 0);
	assert_int_equal(take_final(records, START, 1, 200), 0);
	assert_int_equal(open_records_due(records, LIMIT, START + 4 * SECOND, out), 0);
	assert_line(take_line(records, START + 4 * SECOND, 1), 1, 603);
	assert_int_equal(open_records_orphans(records), 0);
	open_records_free(records);
}

static void a_final_without_a_line_is_counted_and_forgotten(void **state)
{
	struct open_records *records = open_records_new(OPEN_BYTES_MAX);

	assert_int_equal(take_final(records, START, 1, 200), 0);
	assert_int_equal(open_records_due(records, LIMIT, START + OPEN_EARLY_US, out), 0);
	assert_int_equal(open_records_orphans(records), 1);
	assert_int_equal(take_line(records, START + OPEN_EARLY_US, 1), 0);
	assert_int_equal(open_records_count(records), 1);
	open_records_free(records);
}

static void only_the_first_of_each_counts(void **state)
{
	struct open_records *records = open_records_new(OPEN_BYTES_MAX);

	assert_int_equal(take_line(records, START, 1), 0);
	assert_int_equal(take_line(records, START, 1), 0);
	assert_int_equal(open_records_count(records), 1);
	assert_line(take_final(records, START, 1, 486), 1, 486);
	/* Repeated answers, a fork's second 200, the INVITE once more. */
	for (int64_t later = 0; later < OPEN_WRITTEN_US; later += SECOND) {
		assert_int_equal(open_records_due(records, LIMIT, START + later, out), 0);
		assert_int_equal(take_final(records, START + later, 1, 486), 0);
		assert_int_equal(take_final(records, START + later, 1, 200), 0);
		assert_int_equal(take_line(records, START + later, 1), 0);
	}
	assert_int_equal(open_records_count(records), 0);
	assert_int_equal(open_records_orphans(records), 0);
	/* After that it is another call. */
	assert_int_equal(open_records_due(records, LIMIT, START + OPEN_WRITTEN_US, out), 0);
	assert_int_equal(take_line(records, START + OPEN_WRITTEN_US, 1), 0);
	assert_line(take_final(records, START + OPEN_WRITTEN_US, 1, 200), 1, 200);
	open_records_free(records);
}

static void a_note_stands_in_the_record_whenever_it_came(void **state)
{
	/* The order in which line, note and final come; the last makes the record. */
	static const char *const orders[] = { "LNF", "NLF", "NFL", "FNL" };

	for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++)
		for (unsigned status = 200; status <= 486; status += 286) {
			struct open_records *records = open_records_new(OPEN_BYTES_MAX);
			size_t length = 0;

			for (const char *next = orders[i]; *next != '\0'; next++) {
				assert_int_equal(length, 0);
				assert_int_equal(open_records_due(records, LIMIT, START, out), 0);
				if (*next == 'N')
					take_note(records, START, 1, "180 x");
				else
					length = *next == 'L' ? take_line(records, START, 1) :
								take_final(records, START, 1, status);
			}
			assert_line(length, 1, status);
			assert_note(length, status == 200 ? "180 x; Busy Here" : "180 x");
			assert_int_equal(open_records_orphans(records), 0);
			open_records_free(records);
		}
}

static void the_first_note_counts(void **state)
{
	struct open_records *records = open_records_new(OPEN_BYTES_MAX);
	size_t length;

	/* After its line; before it. */
	take_line(records, START, 1);
	take_note(records, START, 1, "180 x");
	take_note(records, START, 1, "183 y");
	length = take_final(records, START, 1, 486);
	assert_note(length, "180 x");
	take_note(records, START, 2, "180 x");
	take_note(records, START, 2, "183 y");
	take_line(records, START, 2);
	take_note(records, START, 2, "183 z");
	length = take_final(records, START, 2, 486);
	assert_note(length, "180 x");
	/* Too late: that makes no new record, and none of the other call's. */
	take_note(records, START, 2, "180 x");
	assert_int_equal(take_line(records, START, 2), 0);
	take_line(records, START, 3);
	length = take_final(records, START, 3, 486);
	assert_note(length, NULL);
	assert_int_equal(open_records_count(records), 0);
	assert_int_equal(open_records_orphans(records), 0);
	open_records_free(records);
}

static void a_record_without_a_final_has_its_note(void **state)
{
	struct open_records *records = open_records_new(OPEN_BYTES_MAX);
	size_t length;

	take_line(records, START, 1);
	take_note(records, START, 1, "180 x");
	take_note(records, START, 2, "183 y");
	take_line(records, START + SECOND, 2);
	length = open_records_due(records, LIMIT, START + LIMIT, out);
	assert_line(length, 1, 0);
	assert_note(length, "180 x");
	/* The time of its line counts. */
	assert_int_equal(open_records_due(records, LIMIT, START + LIMIT, out), 0);
	length = open_records_due(records, LIMIT, START + LIMIT + SECOND, out);
	assert_line(length, 2, 0);
	assert_note(length, "183 y");
	open_records_free(records);
}

static void a_note_without_a_line_is_counted_and_forgotten(void **state)
{
	struct open_records *records = open_records_new(OPEN_BYTES_MAX);
	size_t length;

	take_note(records, START, 1, "180 x");
	assert_int_equal(open_records_due(records, LIMIT, START + OPEN_EARLY_US - 1, out), 0);
	assert_int_equal(open_records_orphans(records), 1);
	/* A final has its own time, and the note stays with it. */
	assert_int_equal(take_final(records, START + OPEN_EARLY_US - 1, 1, 486), 0);
	assert_int_equal(open_records_due(records, LIMIT, START + 2 * OPEN_EARLY_US - 2, out), 0);
	length = take_line(records, START + 2 * OPEN_EARLY_US - 2, 1);
	assert_line(length, 1, 486);
	assert_note(length, "180 x");
	take_note(records, START, 2, "180 x");
	assert_int_equal(open_records_due(records, LIMIT, START + OPEN_EARLY_US, out), 0);
	assert_int_equal(open_records_orphans(records), 1);
	take_line(records, START + OPEN_EARLY_US, 2);
	length = take_final(records, START + OPEN_EARLY_US, 2, 486);
	assert_note(length, NULL);
	open_records_free(records);
}

static void the_longest_note_and_final_fit_the_longest_line(void **state)
{
	static char call_id[RECORD_STRING_MAX], rule[RECORD_STRING_MAX + 1], junk[1000];
	const struct span all = { junk, sizeof junk };
	const struct record record = { .call_id = { call_id, sizeof call_id }, .node = rule };
	struct open_records *records = open_records_new(OPEN_BYTES_MAX);

	memset(call_id, 1, sizeof call_id);
	memset(rule, 1, sizeof rule - 1);
	memset(junk, 1, sizeof junk);
	for (unsigned status = 200; status <= 603; status += 403) {
		struct record_final final = { .status = status, .by = all, .why = all };
		char bytes[RECORD_ITEM_MAX];
		size_t length = record_open_write(bytes, sizeof bytes, status, &record);
		json_t *json;

		assert_true(length > 0);
		assert_int_equal(take(records, START, bytes, length), 0);
		length = record_note_write(bytes, sizeof bytes, status, all);
		assert_int_equal(take(records, START, bytes, length), 0);
		length = record_final_write(bytes, sizeof bytes, status, &final);
		length = take(records, START, bytes, length);
		assert_in_range(length, 9000, OPEN_LINE_MAX);
		json = json_loadb(out, length, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(json);
		json_decref(json);
	}
	open_records_free(records);
}

static void without_a_final_it_is_written_in_its_time(void **state)
{
	struct open_records *records = open_records_new(OPEN_BYTES_MAX);

	take_line(records, START, 1);
	take_line(records, START + SECOND, 2);
	assert_int_equal(open_records_due(records, LIMIT, START + LIMIT - 1, out), 0);
	assert_line(open_records_due(records, LIMIT, START + LIMIT, out), 1, 0);
	assert_int_equal(open_records_due(records, LIMIT, START + LIMIT, out), 0);
	/* Too late. */
	assert_int_equal(take_final(records, START + LIMIT, 1, 200), 0);
	assert_int_equal(open_records_orphans(records), 0);
	/* A longer limit holds for what waits already. */
	assert_int_equal(open_records_due(records, 2 * LIMIT, START + LIMIT + SECOND, out), 0);
	assert_line(open_records_due(records, LIMIT, START + LIMIT + SECOND, out), 2, 0);
	open_records_free(records);
}

static void at_the_end_all_are_written_in_order(void **state)
{
	struct open_records *records = open_records_new(OPEN_BYTES_MAX);

	for (uint64_t id = 1; id <= 1000; id++)
		take_line(records, START, id);
	take_final(records, START, 500, 200);
	for (uint64_t id = 1; id <= 1000; id++)
		if (id != 500)
			assert_line(open_records_due(records, 0, START, out), id, 0);
	assert_int_equal(open_records_due(records, 0, START, out), 0);
	assert_int_equal(open_records_count(records), 0);
	open_records_free(records);
}

static void beyond_the_bound_the_oldest_are_written(void **state)
{
	const size_t bound = 100000;
	struct open_records *records = open_records_new(bound);
	uint64_t oldest = 1;
	size_t length;

	for (uint64_t id = 1; id <= 1000; id++) {
		take_line(records, START, id);
		while ((length = open_records_due(records, LIMIT, START, out)) > 0)
			assert_line(length, oldest++, 0);
	}
	assert_in_range(open_records_count(records), bound / 700, bound / 400);
	assert_int_equal(open_records_count(records), 1001 - oldest);
	assert_line(take_final(records, START, oldest, 200), oldest, 200);
	open_records_free(records);
}

static void what_is_remembered_is_bounded(void **state)
{
	struct open_records *records = open_records_new(OPEN_BYTES_MAX);

	for (uint64_t id = 0; id < OPEN_EARLY_MAX + 10; id++)
		assert_int_equal(take_final(records, START, id, 200), 0);
	assert_int_equal(open_records_orphans(records), OPEN_EARLY_MAX + 10);
	assert_line(take_line(records, START, OPEN_EARLY_MAX - 1), OPEN_EARLY_MAX - 1, 200);
	assert_int_equal(take_line(records, START, OPEN_EARLY_MAX), 0);
	assert_int_equal(open_records_orphans(records), OPEN_EARLY_MAX + 9);
	assert_int_equal(open_records_due(records, LIMIT, START + OPEN_EARLY_US, out), 0);
	assert_int_equal(open_records_orphans(records), OPEN_EARLY_MAX + 9);
	open_records_free(records);

	/* Notes have the same bound. */
	records = open_records_new(OPEN_BYTES_MAX);
	for (uint64_t id = 0; id < OPEN_EARLY_MAX + 10; id++)
		take_note(records, START, id, "180 x");
	assert_int_equal(open_records_orphans(records), OPEN_EARLY_MAX + 10);
	assert_int_equal(open_records_due(records, LIMIT, START + OPEN_EARLY_US, out), 0);
	open_records_free(records);

	records = open_records_new(OPEN_BYTES_MAX);
	for (uint64_t id = 0; id < OPEN_WRITTEN_MAX + 10; id++) {
		take_line(records, START, id);
		assert_true(take_final(records, START, id, 200) > 0);
	}
	/* The oldest were forgotten, the others were not. */
	assert_int_equal(take_line(records, START, 10), 0);
	assert_int_equal(open_records_count(records), 0);
	assert_int_equal(take_line(records, START, 9), 0);
	assert_int_equal(open_records_count(records), 1);
	open_records_free(records);
}

static long resident_kib(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long total, resident;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%ld %ld", &total, &resident), 2);
	fclose(file);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void a_burst_leaves_no_memory_behind(void **state)
{
	struct open_records *records;
	long before, most;

#ifdef __SANITIZE_ADDRESS__
	skip(); /* it keeps freed memory for a while */
#endif
	records = open_records_new(OPEN_BYTES_MAX);
	malloc_trim(0);
	before = resident_kib();
	for (uint64_t id = 0; id < 50000; id++)
		take_line(records, START, id);
	open_records_due(records, LIMIT, START, out);
	most = resident_kib();
	for (uint64_t id = 0; id < 50000; id++)
		take_final(records, START, id, 200);
	open_records_due(records, LIMIT, START, out);
	open_records_due(records, LIMIT, START + OPEN_WRITTEN_US, out);
	assert_true(most > before + 20000);
	assert_true(resident_kib() < before + 4000);
	open_records_free(records);
}

/* --- The spool --- */

struct place {
	char directory[64];
	char path[128];
};

static int make_place(void **state)
{
	struct place *place = calloc(1, sizeof *place);

	strcpy(place->directory, "/tmp/test-open-records-XXXXXX");
	assert_non_null(mkdtemp(place->directory));
	snprintf(place->path, sizeof place->path, "%s/calls.pending", place->directory);
	*state = place;
	return 0;
}

static int remove_place(void **state)
{
	struct place *place = *state;
	char path[160];

	unlink(place->path);
	snprintf(path, sizeof path, "%s.new", place->path);
	unlink(path);
	assert_int_equal(rmdir(place->directory), 0);
	free(place);
	return 0;
}

static off_t size_of(const struct place *place)
{
	struct stat file;

	return stat(place->path, &file) == 0 ? file.st_size : -1;
}

/* What a successor finds, when the process dies now. */
static struct open_records *successor(const struct place *place, struct spool *dead, struct spool **spool, int64_t now)
{
	struct open_records *records = open_records_new(OPEN_BYTES_MAX);

	spool_close(dead, false);
	*spool = spool_open(place->path);
	open_records_restore(records, *spool, now);
	return records;
}

static void a_successor_goes_on_where_the_dead_one_was(void **state)
{
	struct place *place = *state;
	int64_t now = monotonic_us();
	struct open_records *records = open_records_new(OPEN_BYTES_MAX), *next;
	struct spool *spool = spool_open(place->path), *again;

	open_records_restore(records, spool, now);
	assert_int_equal(size_of(place), -1);
	for (uint64_t id = 1; id <= 10; id++)
		take_line(records, now, id);
	open_records_save(records, spool, now, false);
	assert_line(take_final(records, now, 3, 200), 3, 200);
	take_line(records, now, 11);
	take_final(records, now, 11, 200); /* never saved */
	open_records_save(records, spool, now, false);
	open_records_free(records);

	next = successor(place, spool, &again, now);
	assert_int_equal(open_records_count(next), 9);
	assert_int_equal(take_final(next, now, 3, 200), 0);
	assert_int_equal(take_line(next, now, 3), 0);
	assert_line(take_final(next, now, 10, 486), 10, 486);
	open_records_save(next, again, now, false);
	open_records_free(next);

	records = successor(place, again, &spool, now);
	for (uint64_t id = 1; id < 10; id++)
		if (id != 3)
			assert_line(open_records_due(records, 0, now, out), id, 0);
	assert_int_equal(open_records_due(records, 0, now, out), 0);
	open_records_save(records, spool, now, true);
	assert_int_equal(size_of(place), 0);
	spool_close(spool, true);
	assert_int_equal(size_of(place), -1);
	open_records_free(records);
}

static void a_successor_knows_the_notes(void **state)
{
	struct place *place = *state;
	int64_t now = monotonic_us();
	struct open_records *records = open_records_new(OPEN_BYTES_MAX), *next;
	struct spool *spool = spool_open(place->path), *again;
	size_t length;

	/* Saved with its line, after it, and again as all are saved anew. */
	take_note(records, now, 1, "180 one");
	take_line(records, now, 1);
	take_line(records, now, 2);
	take_line(records, now, 3);
	take_line(records, now, 4);
	open_records_save(records, spool, now, false);
	take_note(records, now, 2, "180 two");
	take_note(records, now, 3, "180 three");
	take_note(records, now, 5, "180 five");
	assert_true(take_final(records, now, 3, 200) > 0);
	open_records_save(records, spool, now, false);
	next = successor(place, spool, &again, now);
	assert_int_equal(open_records_count(next), 3);
	take_note(next, now, 4, "180 four");
	take_note(next, now, 1, "183 one");
	open_records_save_all(next, again);
	take_note(next, now, 2, "183 two");
	open_records_save(next, again, now, false);
	open_records_free(records);
	open_records_free(next);

	records = successor(place, again, &spool, now);
	length = take_final(records, now, 2, 486);
	assert_line(length, 2, 486);
	assert_note(length, "180 two");
	for (uint64_t id = 1; id <= 4; id += 3) {
		length = open_records_due(records, 0, now, out);
		assert_line(length, id, 0);
		assert_note(length, id == 1 ? "180 one" : "180 four");
	}
	assert_int_equal(open_records_due(records, 0, now, out), 0);
	open_records_save(records, spool, now, true);
	assert_int_equal(size_of(place), 0);
	spool_close(spool, true);
	open_records_free(records);
}

static void the_time_of_the_dead_one_counts(void **state)
{
	struct place *place = *state;
	int64_t now = monotonic_us();
	struct open_records *records = open_records_new(OPEN_BYTES_MAX), *next;
	struct spool *spool = spool_open(place->path), *again;

	take_line(records, now - LIMIT, 1);
	take_line(records, now, 2);
	open_records_save(records, spool, now, false);
	next = successor(place, spool, &again, now);
	assert_line(open_records_due(next, LIMIT, now + SECOND, out), 1, 0);
	assert_int_equal(open_records_due(next, LIMIT, now + SECOND, out), 0);
	spool_close(again, true);
	open_records_free(next);
	open_records_free(records);
}

static void a_spool_that_is_read_late_gives_its_records(void **state)
{
	struct place *place = *state;
	int64_t now = monotonic_us();
	struct open_records *records = open_records_new(OPEN_BYTES_MAX), *next = open_records_new(OPEN_BYTES_MAX);
	struct spool *spool = spool_open(place->path);

	take_line(records, now, 1);
	take_line(records, now, 2);
	open_records_save(records, spool, now, false);
	spool_close(spool, false);
	spool = spool_open(place->path);
	take_final(next, now, 1, 200);
	take_line(next, now, 3);
	open_records_restore(next, spool, now);
	open_records_save_all(next, spool);
	open_records_free(records);
	open_records_free(next);

	records = successor(place, spool, &spool, now);
	assert_int_equal(open_records_count(records), 3);
	spool_close(spool, true);
	open_records_free(records);
}

static void a_spool_that_ends_anywhere_gives_what_is_whole(void **state)
{
	struct place *place = *state;
	int64_t now = monotonic_us();
	struct open_records *records = open_records_new(OPEN_BYTES_MAX);
	struct spool *spool = spool_open(place->path);
	off_t ends[4] = { 0 }, note;
	char *bytes;
	int fd;

	for (uint64_t id = 1; id <= 3; id++) {
		take_line(records, now, id);
		if (id == 2)
			take_note(records, now, id, "180 x");
		open_records_save(records, spool, now, false);
		ends[id] = size_of(place);
	}
	note = ends[2] - (off_t)strlen("180 x") - (off_t)SPOOL_HEAD;
	spool_close(spool, false);
	open_records_free(records);
	bytes = malloc((size_t)ends[3]);
	fd = open(place->path, O_RDWR);
	assert_int_equal(pread(fd, bytes, (size_t)ends[3], 0), ends[3]);
	for (off_t size = 0; size <= ends[3]; size++) {
		size_t whole = size == ends[3] ? 3 : size >= note ? 2 : size >= ends[1] ? 1 : 0;
		off_t kept = whole == 2 && size < ends[2] ? note : ends[whole];

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, bytes, (size_t)size, 0), size);
		records = successor(place, NULL, &spool, now);
		assert_int_equal(open_records_count(records), whole);
		assert_int_equal(size_of(place), kept);
		/* What is appended now is read again. */
		take_line(records, now, 9);
		open_records_save(records, spool, now, false);
		open_records_free(records);
		records = successor(place, spool, &spool, now);
		assert_int_equal(open_records_count(records), whole + 1);
		spool_close(spool, false);
		open_records_free(records);
	}
	close(fd);
	free(bytes);
}

static void a_spool_of_others_is_not_believed(void **state)
{
	struct place *place = *state;
	uint32_t seed = 1;

	for (int round = 0; round < 500; round++) {
		struct open_records *records;
		struct spool *spool;
		FILE *file = fopen(place->path, "w");

		for (int i = 0; i < 4 * round; i++) {
			seed = seed * 1103515245 + 12345;
			fputc(i < 4 ? "\x17\x5b\x17\x5b"[i] : (int)(seed >> 16) & 255, file);
		}
		fclose(file);
		records = successor(place, NULL, &spool, monotonic_us());
		assert_int_equal(open_records_count(records), 0);
		spool_close(spool, true);
		open_records_free(records);
	}
}

static void a_spool_in_use_by_another_server_is_left_alone(void **state)
{
	struct place *place = *state;
	int64_t now = monotonic_us();
	struct open_records *one = open_records_new(OPEN_BYTES_MAX), *other = open_records_new(OPEN_BYTES_MAX);
	struct spool *first = spool_open(place->path), *second = spool_open(place->path);
	off_t size;

	take_line(one, now, 1);
	open_records_save(one, first, now, false);
	size = size_of(place);
	open_records_restore(other, second, now);
	assert_int_equal(open_records_count(other), 0);
	take_line(other, now, 2);
	open_records_save(other, second, now, false);
	assert_true(spool_is_lost(second));
	open_records_save_all(other, second);
	assert_true(spool_is_lost(second));
	assert_int_equal(size_of(place), size);
	spool_close(second, true);
	assert_int_equal(size_of(place), size);
	/* Its owner is gone: */
	spool_close(first, false);
	second = spool_open(place->path);
	open_records_save_all(other, second);
	assert_false(spool_is_lost(second));
	spool_close(second, true);
	open_records_free(one);
	open_records_free(other);
}

static void a_spool_does_not_grow_for_ever(void **state)
{
	struct place *place = *state;
	int64_t now = monotonic_us();
	struct open_records *records = open_records_new(OPEN_BYTES_MAX), *next;
	struct spool *spool = spool_open(place->path), *again;
	off_t most = 0;
	uint64_t id = 0;

	/* A hundred are open all the time. */
	for (int turn = 0; turn < 1000; turn++) {
		for (int i = 0; i < 100; i++)
			take_line(records, now, id++);
		open_records_save(records, spool, now, false);
		for (uint64_t done = id < 200 ? 0 : id - 200; done < id - 100; done++)
			take_final(records, now, done, 200);
		if (size_of(place) > most)
			most = size_of(place);
	}
	open_records_save(records, spool, now, false);
	assert_in_range(most, 10 << 20, 18 << 20);
	assert_true(spool_size(spool) == (size_t)size_of(place));
	next = successor(place, spool, &again, now);
	assert_int_equal(open_records_count(next), 100);
	for (uint64_t left = id - 100; left < id; left++)
		assert_line(open_records_due(next, 0, now, out), left, 0);
	spool_close(again, true);
	open_records_free(next);
	open_records_free(records);
}

static void a_full_disk_empties_the_spool_until_there_is_room(void **state)
{
	struct place *place = *state;
	int64_t now = monotonic_us();
	struct open_records *records = open_records_new(OPEN_BYTES_MAX), *next;
	struct spool *spool = spool_open(place->path), *again;
	struct rlimit old, little;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	little = (struct rlimit){ 5000, old.rlim_max };
	take_line(records, now, 1);
	open_records_save(records, spool, now, false);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
	for (uint64_t id = 2; id <= 50; id++) {
		take_line(records, now, id);
		open_records_save(records, spool, now, false);
	}
	assert_true(spool_is_lost(spool));
	assert_int_equal(size_of(place), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_line(take_final(records, now, 1, 200), 1, 200);
	take_line(records, now, 51);
	open_records_save(records, spool, monotonic_us() + 20 * SECOND, false);
	assert_false(spool_is_lost(spool));
	next = successor(place, spool, &again, now);
	assert_int_equal(open_records_count(next), 50);
	spool_close(again, true);
	open_records_free(next);
	open_records_free(records);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_and_its_final_make_one_record),
		cmocka_unit_test(a_final_may_come_before_its_line),
		cmocka_unit_test(a_final_without_a_line_is_counted_and_forgotten),
		cmocka_unit_test(only_the_first_of_each_counts),
		cmocka_unit_test(a_note_stands_in_the_record_whenever_it_came),
		cmocka_unit_test(the_first_note_counts),
		cmocka_unit_test(a_record_without_a_final_has_its_note),
		cmocka_unit_test(a_note_without_a_line_is_counted_and_forgotten),
		cmocka_unit_test(the_longest_note_and_final_fit_the_longest_line),
		cmocka_unit_test(without_a_final_it_is_written_in_its_time),
		cmocka_unit_test(at_the_end_all_are_written_in_order),
		cmocka_unit_test(beyond_the_bound_the_oldest_are_written),
		cmocka_unit_test(what_is_remembered_is_bounded),
		cmocka_unit_test(a_burst_leaves_no_memory_behind),
		cmocka_unit_test_setup_teardown(a_successor_goes_on_where_the_dead_one_was, make_place, remove_place),
		cmocka_unit_test_setup_teardown(a_successor_knows_the_notes, make_place, remove_place),
		cmocka_unit_test_setup_teardown(the_time_of_the_dead_one_counts, make_place, remove_place),
		cmocka_unit_test_setup_teardown(a_spool_that_is_read_late_gives_its_records, make_place, remove_place),
		cmocka_unit_test_setup_teardown(a_spool_that_ends_anywhere_gives_what_is_whole, make_place, remove_place),
		cmocka_unit_test_setup_teardown(a_spool_of_others_is_not_believed, make_place, remove_place),
		cmocka_unit_test_setup_teardown(a_spool_in_use_by_another_server_is_left_alone, make_place, remove_place),
		cmocka_unit_test_setup_teardown(a_spool_does_not_grow_for_ever, make_place, remove_place),
		cmocka_unit_test_setup_teardown(a_full_disk_empties_the_spool_until_there_is_room, make_place, remove_place),
	};

	return cmocka_run_group_tests_name("open records", tests, NULL, NULL);
}
