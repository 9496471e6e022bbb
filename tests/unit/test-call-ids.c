/* Which two Call-IDs are of one call: in memory (call_id_pairs.h) and in the file of the dialog store
 * (call_id_tables.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/sip/call_id_pairs.h"
#include "../../src/sip/call_id_tables.h"
#include "../../src/sip/dialog_file.h"

#define DAY CALL_ID_TABLE_S
#define SIZE (16 << 20)

/* --- In memory --- */

static void pair(struct call_id_pairs *pairs, const char *caller, const char *callee)
{
	call_id_pairs_put(pairs, span_of(caller), span_of(callee));
}

static void assert_other(const struct call_id_pairs *pairs, const char *call_id, const char *expected)
{
	struct span other;

	if (call_id_pairs_other(pairs, span_of(call_id), &other) != (expected != NULL) ||
		(expected != NULL && !span_is(other, expected)))
		fail_msg("%s", call_id);
}

static void test_each_leads_to_the_other(void **state)
{
	struct call_id_pairs *pairs = call_id_pairs_new();

	assert_other(pairs, "caller", NULL);
	pair(pairs, "caller", "callee");
	assert_other(pairs, "caller", "callee");
	assert_other(pairs, "callee", "caller");
	assert_other(pairs, "calle", NULL);
	assert_other(pairs, "calleee", NULL);
	assert_other(pairs, "Caller", NULL);
	assert_other(pairs, "", NULL);
	pair(pairs, "caller", "callee");
	assert_int_equal(call_id_pairs_count(pairs), 1);
	call_id_pairs_clear(pairs);
	assert_int_equal(call_id_pairs_count(pairs), 0);
	assert_other(pairs, "caller", NULL);
	call_id_pairs_free(pairs);
	call_id_pairs_free(NULL);
}

static void test_the_last_call_has_it(void **state)
{
	struct call_id_pairs *pairs = call_id_pairs_new();

	pair(pairs, "caller", "one");
	pair(pairs, "caller", "two");
	assert_other(pairs, "caller", "two");
	assert_other(pairs, "one", "caller");
	assert_other(pairs, "two", "caller");
	pair(pairs, "caller", "one");
	assert_other(pairs, "caller", "one");
	call_id_pairs_free(pairs);
}

/* What replies comes back by the way that the call went, so twice, too. */
static void test_a_call_that_passes_twice(void **state)
{
	for (int order = 0; order < 2; order++) {
		struct call_id_pairs *pairs = call_id_pairs_new();

		pair(pairs, order == 0 ? "first" : "second", order == 0 ? "second" : "third");
		pair(pairs, order == 0 ? "second" : "first", order == 0 ? "third" : "second");
		assert_other(pairs, "third", "second");
		assert_other(pairs, "second", "first");
		assert_other(pairs, "first", "second");
		call_id_pairs_free(pairs);
	}
}

static void test_what_is_not_remembered(void **state)
{
	static char longest[CALL_ID_MAX + 2];
	static const struct {
		const char *behaviour;
		struct span caller, callee;
		size_t count;
	} cases[] = {
		{ "one Call-ID for both", { "same", 4 }, { "same", 4 }, 0 },
		{ "none", { "", 0 }, { "callee", 6 }, 0 },
		{ "none, and no address either", { "caller", 6 }, { NULL, 0 }, 0 },
		{ "a space", { "a b", 3 }, { "callee", 6 }, 0 },
		{ "a line end", { "caller", 6 }, { "a\r\nb", 4 }, 0 },
		{ "a NUL", { "caller", 6 }, { "a\0b", 3 }, 0 },
		{ "a comma", { "a,b", 3 }, { "callee", 6 }, 0 },
		{ "a semicolon", { "a;b", 3 }, { "callee", 6 }, 0 },
		{ "not ASCII", { "a\xc3\xa4", 3 }, { "callee", 6 }, 0 },
		{ "DEL", { "a\x7f", 2 }, { "callee", 6 }, 0 },
		{ "too long", { longest, CALL_ID_MAX + 1 }, { "callee", 6 }, 0 },
		{ "as long as may be", { longest, CALL_ID_MAX }, { "callee", 6 }, 1 },
		{ "all that a word has (RFC 3261 section 25.1)", { "a-.!%*_+`'~()<>:\\\"/[]?{}@b", 26 },
			{ "callee", 6 }, 1 },
		{ "one byte each", { "a", 1 }, { "b", 1 }, 1 },
	};

	memset(longest, 'x', sizeof longest - 1);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct call_id_pairs *pairs = call_id_pairs_new();
		struct span other;

		call_id_pairs_put(pairs, cases[i].caller, cases[i].callee);
		if (call_id_pairs_count(pairs) != cases[i].count ||
			call_id_pairs_other(pairs, cases[i].caller, &other) != (cases[i].count == 1))
			fail_msg("%s", cases[i].behaviour);
		call_id_pairs_free(pairs);
	}
}

static const char *numbered(char text[32], const char *prefix, unsigned n)
{
	snprintf(text, 32, "%s%u", prefix, n);
	return text;
}

static void test_the_earliest_are_forgotten(void **state)
{
	struct call_id_pairs *pairs = call_id_pairs_new();
	const unsigned all = CALL_ID_PAIRS_MAX * 3 + 7;
	char caller[32], callee[32];

	for (int round = 0; round < 2; round++) {
		for (unsigned n = 0; n < all; n++) {
			pair(pairs, numbered(caller, "a", n), numbered(callee, "b", n));
			pair(pairs, caller, callee);
		}
		assert_int_equal(call_id_pairs_count(pairs), CALL_ID_PAIRS_MAX);
		for (unsigned n = 0; n < all; n++) {
			bool expected = n >= all - CALL_ID_PAIRS_MAX;

			assert_other(
				pairs, numbered(caller, "a", n), expected ? numbered(callee, "b", n) : NULL);
			assert_other(
				pairs, numbered(callee, "b", n), expected ? numbered(caller, "a", n) : NULL);
		}
		for (size_t i = 0; i < CALL_ID_PAIRS_MAX; i++)
			assert_true(span_is(call_id_of(call_id_pairs_at(pairs, i), CALL_SIDE_CALLER),
				numbered(caller, "a", all - CALL_ID_PAIRS_MAX + (unsigned)i)));
		call_id_pairs_clear(pairs);
	}
	/* All with one Call-ID of the caller. */
	for (unsigned n = 0; n < all; n++)
		pair(pairs, "caller", numbered(callee, "b", n));
	assert_other(pairs, "caller", callee);
	assert_int_equal(call_id_pairs_count(pairs), CALL_ID_PAIRS_MAX);
	call_id_pairs_free(pairs);
}

/* --- In the file --- */

static char directory[64];

static int setup(void **state)
{
	strcpy(directory, "/tmp/test-call-ids-XXXXXX");
	assert_non_null(mkdtemp(directory));
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "data.mdb", "data.mdb-lock", "data.mdb.damaged-1" };
	char path[128];

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", directory, names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(directory), 0);
	return 0;
}

static struct dialog_file *open_file(void)
{
	static struct dialog_file file;
	char why[256];

	if (!dialog_file_open(&file, directory, SIZE, DIALOG_FILE_FIRST, why, sizeof why))
		fail_msg("%s", why);
	return &file;
}

/* Those from first on, at that time. */
static void write_at(struct dialog_file *file, uint32_t now, unsigned first, unsigned count)
{
	struct call_id_pairs *pairs = call_id_pairs_new();
	char caller[32], callee[32];
	MDB_txn *txn;

	assert_in_range(count, 0, CALL_ID_PAIRS_MAX);
	for (unsigned n = first; n < first + count; n++)
		pair(pairs, numbered(caller, "a", n), numbered(callee, "b", n));
	assert_int_equal(dialog_file_begin_write(file, 1000000, &txn), 0);
	assert_int_equal(call_id_tables_write(file, txn, pairs, now), 0);
	assert_int_equal(dialog_file_end_write(file, txn, 0), 0);
	call_id_pairs_free(pairs);
}

static int find(struct dialog_file *file, enum call_side side, const char *call_id, char text[CALL_ID_MAX],
	struct span *other)
{
	struct call_id_key key;
	int fault;

	assert_true(call_id_key(&key, side, span_of(call_id)));
	assert_int_equal(dialog_file_begin_read(file), 0);
	fault = call_id_tables_find(file, &key, text, other);
	dialog_file_end_read(file);
	return fault;
}

static bool has(struct dialog_file *file, unsigned n)
{
	char caller[32], callee[32], text[CALL_ID_MAX];
	struct span other;
	int fault;

	numbered(caller, "a", n);
	numbered(callee, "b", n);
	fault = find(file, CALL_SIDE_CALLER, caller, text, &other);
	assert_int_equal(find(file, CALL_SIDE_CALLEE, caller, text, &other), MDB_NOTFOUND);
	assert_true(fault == 0 || fault == MDB_NOTFOUND);
	if (fault == 0)
		assert_true(span_is(other, callee));
	assert_int_equal(find(file, CALL_SIDE_CALLEE, callee, text, &other), fault);
	if (fault == 0)
		assert_true(span_is(other, caller));
	return fault == 0;
}

static size_t entries(struct dialog_file *file, int table)
{
	MDB_stat stat;

	assert_int_equal(dialog_file_begin_read(file), 0);
	assert_int_equal(mdb_stat(file->reader, file->call_ids[table], &stat), 0);
	dialog_file_end_read(file);
	return stat.ms_entries;
}

static void test_the_file_keeps_them(void **state)
{
	struct dialog_file *file = open_file();

	assert_false(has(file, 0));
	write_at(file, 1000, 0, 0);
	assert_int_equal(entries(file, 0), 0);
	write_at(file, 1000, 0, 50);
	write_at(file, 1001, 40, 20);
	for (int opened = 0; opened < 2; opened++) {
		for (unsigned n = 0; n < 60; n++)
			assert_true(has(file, n));
		assert_false(has(file, 60));
		assert_int_equal(entries(file, 0), 121);
		assert_int_equal(entries(file, 1), 0);
		dialog_file_close(file);
		file = open_file(); /* which copies it */
	}
	dialog_file_close(file);
}

/* For a day at least, and two at most where others come. */
static void test_the_tables_take_turns_by_age(void **state)
{
	static const struct {
		const char *behaviour;
		uint32_t second; /* of the first write, the next one, and the one after that */
		uint32_t third;
		bool first_stays, second_stays;
	} cases[] = {
		{ "within a day", 1000, 1000 + DAY - 1, true, true },
		{ "the other table after a day", 1000 + DAY - 1, 1000 + DAY, true, true },
		{ "which keeps the first", 1000 + DAY, 1000 + 2 * DAY - 1, true, true },
		{ "and the first again after two", 1000 + DAY, 1000 + 2 * DAY, false, true },
		{ "after a long silence the last ones are kept", 1000 + 50 * DAY, 1000 + 99 * DAY, false,
			true },
		{ "a clock that goes back", 500, 0, true, true },
		{ "a clock that went forward and back", 1000 + 50 * DAY, 1000, true, true },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct dialog_file *file = open_file();

		write_at(file, 1000, 0, 10);
		write_at(file, cases[i].second, 10, 10);
		write_at(file, cases[i].third, 20, 10);
		for (unsigned n = 0; n < 30; n++) {
			bool expected = n < 10 ? cases[i].first_stays : n < 20 ? cases[i].second_stays : true;

			if (has(file, n) != expected)
				fail_msg("%s: %u", cases[i].behaviour, n);
		}
		dialog_file_close(file);
		teardown(NULL);
		setup(NULL);
	}
}

static void test_one_that_comes_again_is_kept_anew(void **state)
{
	struct dialog_file *file = open_file();

	write_at(file, 0, 0, 10);
	write_at(file, DAY, 0, 5);
	write_at(file, 2 * DAY, 100, 1);
	for (unsigned n = 0; n < 10; n++)
		assert_int_equal(has(file, n), n < 5);
	dialog_file_close(file);
}

static void test_the_later_table_counts(void **state)
{
	struct dialog_file *file = open_file();
	struct call_id_pairs *pairs = call_id_pairs_new();
	char text[CALL_ID_MAX];
	struct span other;
	MDB_txn *txn;

	for (uint32_t day = 0; day < 5; day++) {
		char callee[32];

		call_id_pairs_clear(pairs);
		pair(pairs, "caller", numbered(callee, "day", day));
		assert_int_equal(dialog_file_begin_write(file, 1000000, &txn), 0);
		assert_int_equal(call_id_tables_write(file, txn, pairs, day * DAY), 0);
		assert_int_equal(dialog_file_end_write(file, txn, 0), 0);
		assert_int_equal(find(file, CALL_SIDE_CALLER, "caller", text, &other), 0);
		assert_true(span_is(other, callee));
	}
	call_id_pairs_free(pairs);
	dialog_file_close(file);
}

static void test_they_have_a_share_of_the_file_only(void **state)
{
	struct dialog_file *file = open_file();
	size_t pages = dialog_file_pages(file), most = 0;
	unsigned last = 0, kept = 0;

	for (unsigned first = 0; first < 40000; first += 100) {
		MDB_txn *txn;
		size_t used;

		write_at(file, 1000, first, 100);
		last = first + 99;
		assert_true(has(file, first) && has(file, last));
		assert_int_equal(dialog_file_begin_write(file, 1000000, &txn), 0);
		used = dialog_file_pages_used(file, txn);
		most = used > most ? used : most;
		assert_int_equal(dialog_file_end_write(file, txn, 0), 0);
	}
	assert_in_range(most, pages / 10, pages / 6); /* two sixteenths, and the list of free pages */
	while (kept <= last && has(file, last - kept))
		kept++;
	for (unsigned n = 0; n <= last - kept; n++)
		assert_false(has(file, n));
	print_message("%u calls in %zu pages, of which %u are kept\n", last + 1, most, kept);
	assert_in_range(kept, 8000, 32000);
	dialog_file_close(file);
}

static void put_raw(struct dialog_file *file, int table, struct span key_bytes, struct span bytes)
{
	MDB_val key = { key_bytes.length, (void *)(uintptr_t)key_bytes.at };
	MDB_val value = { bytes.length, (void *)(uintptr_t)bytes.at };
	MDB_txn *txn;

	assert_int_equal(dialog_file_begin_write(file, 1000000, &txn), 0);
	assert_int_equal(mdb_put(txn, file->call_ids[table], &key, &value, 0), 0);
	assert_int_equal(dialog_file_end_write(file, txn, 0), 0);
}

static void test_what_is_damaged_is_not_believed(void **state)
{
	static char text[1024];
	static const struct {
		const char *behaviour;
		struct span key, value; /* no key: that of a Call-ID that is there */
		bool drops;             /* when the file is opened again */
	} cases[] = {
		{ "a line end in a Call-ID", { NULL, 0 }, { "a\r\nB:1", 6 }, true },
		{ "an empty one", { NULL, 0 }, { "", 0 }, true },
		{ "a long one", { NULL, 0 }, { text, CALL_ID_MAX + 1 }, true },
		{ "a key of another length", { "abc", 3 }, { "abc", 3 }, true },
		{ "the state cut short", { "taken from", 11 }, { "abc", 3 }, true },
		{ "another state", { "taken from", 11 }, { "\377\377\377\377\377\377\377\377", 8 }, false },
	};
	struct call_id_key key;

	memset(text, 'x', sizeof text);
	assert_true(call_id_key(&key, CALL_SIDE_CALLER, span_of("a5")));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct dialog_file *file = open_file();
		bool replaced = cases[i].key.at == NULL;
		char path[128], found[CALL_ID_MAX];
		struct span other;

		write_at(file, 1000, 0, 10);
		put_raw(file, 0, replaced ? (struct span){ (char *)key.bytes, sizeof key } : cases[i].key,
			cases[i].value);
		for (int opened = 0; opened < 2; opened++) {
			int expected = replaced ? MDB_NOTFOUND : 0;

			if (find(file, CALL_SIDE_CALLER, "a5", found, &other) != expected)
				fail_msg("%s", cases[i].behaviour);
			assert_int_equal(find(file, CALL_SIDE_CALLEE, "b5", found, &other), 0);
			dialog_file_close(file);
			file = open_file();
		}
		snprintf(path, sizeof path, "%s/data.mdb.damaged-1", directory);
		assert_int_equal(access(path, F_OK) == 0, cases[i].drops);
		for (uint32_t day = 0; day < 4; day++) { /* and goes on */
			write_at(file, 2000 + day * DAY, 5 + day * 10, 10);
			for (unsigned n = 5 + day * 10; n < 15 + day * 10; n++)
				assert_true(has(file, n));
		}
		dialog_file_close(file);
		teardown(NULL);
		setup(NULL);
	}
}

#define FILE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_leads_to_the_other),
		cmocka_unit_test(test_the_last_call_has_it),
		cmocka_unit_test(test_a_call_that_passes_twice),
		cmocka_unit_test(test_what_is_not_remembered),
		cmocka_unit_test(test_the_earliest_are_forgotten),
		FILE_TEST(test_the_file_keeps_them),
		FILE_TEST(test_the_tables_take_turns_by_age),
		FILE_TEST(test_one_that_comes_again_is_kept_anew),
		FILE_TEST(test_the_later_table_counts),
		FILE_TEST(test_they_have_a_share_of_the_file_only),
		FILE_TEST(test_what_is_damaged_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
