#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stirrup/number_table.h"

enum { ACME, BETA };

static struct number_entry single(const char *number, int customer, enum level level)
{
	struct number_entry entry = { .customer = customer, .level = level };

	strcpy(entry.first.digits, number);
	return entry;
}

static struct number_entry range(const char *first, const char *last, int customer, enum level level)
{
	struct number_entry entry = single(first, customer, level);

	strcpy(entry.last.digits, last);
	return entry;
}

static struct number_entry prefix(const char *digits, int customer, enum level level)
{
	struct number_entry entry = single(digits, customer, level);

	entry.prefix = true;
	return entry;
}

struct conflicts {
	size_t count;
	struct number_conflict list[32];
};

static void note_conflict(const struct number_conflict *conflict, void *context)
{
	struct conflicts *conflicts = context;

	assert_true(conflicts->count < 32);
	conflicts->list[conflicts->count++] = *conflict;
}

/* Tags are the places in the list. */
static struct number_table *build(struct number_entry *entries, size_t count, struct conflicts *conflicts)
{
	struct number_table *table;

	for (size_t i = 0; i < count; i++)
		entries[i].tag = (int)i;
	conflicts->count = 0;
	table = number_table_new(entries, count, note_conflict, conflicts);
	assert_non_null(table);
	return table;
}

/* The tag of the entry that matches; -1 for none. */
static int find(const struct number_table *table, const char *number)
{
	struct tn tn = { "" };
	const struct number_entry *entry;

	strcpy(tn.digits, number);
	entry = number_table_find(table, &tn);
	return entry == NULL ? -1 : entry->tag;
}

static void levels_have_words(void **state)
{
	static const struct {
		enum level level;
		const char *word;
	} levels[] = { { LEVEL_A, "A" }, { LEVEL_B, "B" }, { LEVEL_C, "C" }, { LEVEL_UNSIGNED, "unsigned" },
		{ LEVEL_REJECT, "reject" } };
	static const char *const others[] = { "", "a", "D", "AB", "Unsigned", "reject " };
	enum level level;

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		level = LEVEL_UNSET;
		assert_string_equal(level_word(levels[i].level), levels[i].word);
		assert_true(level_from_word(&level, levels[i].word));
		assert_int_equal(level, levels[i].level);
	}
	assert_string_equal(level_word(LEVEL_UNSET), "");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(level_from_word(&level, others[i]));
}

static void an_empty_table_matches_nothing(void **state)
{
	struct number_table *table = number_table_new(NULL, 0, NULL, NULL);

	assert_non_null(table);
	assert_int_equal(find(table, "12155551212"), -1);
	assert_int_equal(find(NULL, "12155551212"), -1);
	number_table_free(table);
	number_table_free(NULL);
}

static void the_narrowest_entry_matches(void **state)
{
	struct number_entry entries[] = {
		prefix("1215", ACME, LEVEL_UNSET),
		prefix("1215555", ACME, LEVEL_UNSET),
		range("12155550000", "12155559999", ACME, LEVEL_UNSET),
		range("12155551000", "12155551999", ACME, LEVEL_UNSET),
		range("12155551900", "12155552099", ACME, LEVEL_UNSET), /* half in the one before */
		single("12155551212", ACME, LEVEL_B),
		prefix("12155551212", BETA, LEVEL_UNSET),
		range("9999", "9999", BETA, LEVEL_UNSET),
	};
	static const struct {
		const char *behaviour, *number;
		int tag;
	} cases[] = {
		{ "a single number before all", "12155551212", 5 },
		{ "the narrower range", "12155551000", 3 },
		{ "the narrower range", "12155551899", 3 },
		{ "the narrower range behind the single number", "12155551213", 3 },
		{ "the narrowest of three", "12155551900", 4 },
		{ "the narrowest of three", "12155551999", 4 },
		{ "the one that goes on", "12155552000", 4 },
		{ "the one that goes on", "12155552099", 4 },
		{ "the wide range again", "12155552100", 2 },
		{ "the wide range", "12155550000", 2 },
		{ "the wide range", "12155550999", 2 },
		{ "the wide range's last", "12155559999", 2 },
		{ "a longer prefix", "1215555", 1 },
		{ "a longer prefix, longer than any range", "121555512121", 6 },
		{ "a longer prefix, longer than any range", "121555512131", 1 },
		{ "the shorter prefix", "12155560000", 0 },
		{ "the shorter prefix itself", "1215", 0 },
		{ "less than a prefix", "121", -1 },
		{ "behind a prefix", "12160000000", -1 },
		{ "before a prefix", "12149999999", -1 },
		{ "another country", "442079460018", -1 },
		{ "a range of one", "9999", 7 },
		{ "one more digit than the range", "99990", -1 },
		{ "nothing", "", -1 },
		{ "a star", "1215555121*", -1 },
		{ "the longest number", "1215555121212155551212121555512", 6 },
	};
	struct conflicts conflicts;
	struct number_table *table = build(entries, sizeof(entries) / sizeof(entries[0]), &conflicts);

	assert_int_equal(conflicts.count, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (find(table, cases[i].number) != cases[i].tag)
			fail_msg("%s: %s is in %d", cases[i].behaviour, cases[i].number,
				find(table, cases[i].number));
	}
	number_table_free(table);
}

/* Zeros and nines at the edges, where an order of digits, of lengths and of values would differ. */
static void edges_are_exact(void **state)
{
	struct number_entry entries[] = {
		prefix("12000", ACME, LEVEL_UNSET),
		prefix("1999", ACME, LEVEL_UNSET),
		range("1099", "1100", ACME, LEVEL_UNSET),
		range("1000000000000000000000000000009", "1999999999999999999999999999999", ACME,
			LEVEL_UNSET),
		prefix("3333333333333333333333333333333", ACME, LEVEL_UNSET),
		range("19999999999999999", "20000000000000000", ACME, LEVEL_UNSET),
		prefix("", ACME, LEVEL_UNSET),
	};
	struct conflicts conflicts;
	struct number_table *table = build(entries, sizeof(entries) / sizeof(entries[0]), &conflicts);

	assert_int_equal(find(table, "12"), 6);
	assert_int_equal(find(table, "12000"), 0);
	assert_int_equal(find(table, "120009999999999999"), 0);
	assert_int_equal(find(table, "12001"), 6);
	assert_int_equal(find(table, "19999999"), 1);
	assert_int_equal(find(table, "1998999999"), 6);
	assert_int_equal(find(table, "2"), 6);
	assert_int_equal(find(table, "1098"), 6);
	assert_int_equal(find(table, "1099"), 2);
	assert_int_equal(find(table, "1100"), 2);
	assert_int_equal(find(table, "1101"), 6);
	assert_int_equal(find(table, "1000000000000000000000000000008"), 6);
	assert_int_equal(find(table, "1000000000000000000000000000009"), 3);
	assert_int_equal(find(table, "1999999999999999999999999999999"), 3);
	assert_int_equal(find(table, "2000000000000000000000000000000"), 6);
	assert_int_equal(find(table, "3333333333333333333333333333333"), 4);
	assert_int_equal(find(table, "3333333333333333333333333333334"), 6);
	assert_int_equal(find(table, "19999999999999998"), 1);
	assert_int_equal(find(table, "19999999999999999"), 5);
	assert_int_equal(find(table, "20000000000000000"), 5);
	assert_int_equal(find(table, "20000000000000001"), 6);
	number_table_free(table);
}

static void check_conflicts(struct number_entry *entries, size_t count,
	const struct number_conflict *expected, size_t expected_count)
{
	struct conflicts conflicts;
	struct number_table *table = build(entries, count, &conflicts);

	assert_int_equal(conflicts.count, expected_count);
	for (size_t i = 0; i < expected_count; i++) {
		assert_int_equal(conflicts.list[i].tag, expected[i].tag);
		assert_int_equal(conflicts.list[i].other_tag, expected[i].other_tag);
	}
	number_table_free(table);
}

static void the_same_number_in_two_customers_is_a_conflict(void **state)
{
	struct number_entry entries[] = {
		single("12155550002", ACME, LEVEL_UNSET),
		single("12155550001", BETA, LEVEL_UNSET),
		single("12155550001", BETA, LEVEL_UNSET), /* twice is no conflict */
		single("12155550001", ACME, LEVEL_UNSET),
		single("12155550002", ACME, LEVEL_B),
		single("12155550001", ACME, LEVEL_UNSET),
	};
	static const struct number_conflict expected[] = { { 3, 1 }, { 5, 1 }, { 4, 0 } };

	check_conflicts(entries, 6, expected, 3);
}

static void the_same_prefix_in_two_customers_is_a_conflict(void **state)
{
	struct number_entry entries[] = {
		prefix("1215", ACME, LEVEL_UNSET),
		prefix("12155", BETA, LEVEL_UNSET), /* longer: narrower, no conflict */
		prefix("1215", BETA, LEVEL_UNSET),
		single("1215", BETA, LEVEL_UNSET),
		prefix("12150", BETA, LEVEL_UNSET),
	};
	static const struct number_conflict expected[] = { { 2, 0 } };

	check_conflicts(entries, 5, expected, 1);
}

static void overlapping_ranges_in_two_customers_are_a_conflict(void **state)
{
	struct number_entry entries[] = {
		range("12155550100", "12155550199", ACME, LEVEL_UNSET),
		range("12155550199", "12155550299", BETA, LEVEL_UNSET),   /* one number in common */
		range("12155550300", "12155550399", BETA, LEVEL_UNSET),   /* just behind */
		range("12155550310", "12155550319", BETA, LEVEL_C),       /* within, at another level */
		range("12155550320", "12155550329", BETA, LEVEL_UNSET),   /* within, the same */
		range("121555501000", "121555501999", BETA, LEVEL_UNSET), /* longer numbers */
		range("12155550100", "12155550109", ACME, LEVEL_UNSET),
		single("12155550150", BETA, LEVEL_UNSET), /* narrower, no conflict */
	};
	static const struct number_conflict expected[] = { { 1, 0 }, { 3, 2 } };

	check_conflicts(entries, 8, expected, 2);
}

static void a_conflict_is_found_behind_a_range_that_reaches_further(void **state)
{
	struct number_entry entries[] = {
		range("1000000", "1999999", ACME, LEVEL_UNSET),
		range("1000000", "1000099", BETA, LEVEL_UNSET),
		range("1000050", "1000060", ACME,
			LEVEL_UNSET), /* agrees with the wide one, not with the other */
		range("1000090", "2999999", ACME, LEVEL_UNSET), /* so does this one */
		range("1000100", "1000200", ACME, LEVEL_UNSET),
	};
	static const struct number_conflict expected[] = { { 1, 0 }, { 2, 1 }, { 3, 1 } };

	check_conflicts(entries, 5, expected, 3);
}

static void a_table_with_conflicts_is_complete(void **state)
{
	struct number_entry entries[] = {
		single("12155550001", BETA, LEVEL_UNSET),
		single("12155550001", ACME, LEVEL_UNSET),
		range("12155550000", "12155550009", ACME, LEVEL_UNSET),
		range("12155550005", "12155550014", BETA, LEVEL_UNSET),
	};
	struct number_table *table = number_table_new(entries, 4, NULL, NULL);
	struct tn tn = { "12155550001" };

	assert_non_null(table);
	assert_int_equal(number_table_find(table, &tn)->customer, BETA);
	strcpy(tn.digits, "12155550004");
	assert_int_equal(number_table_find(table, &tn)->customer, ACME);
	strcpy(tn.digits, "12155550010");
	assert_int_equal(number_table_find(table, &tn)->customer, BETA);
	number_table_free(table);
}

/* The plainest way to say what number_table_find() does. */
static int find_plainly(const struct number_entry *entries, size_t count, const char *number)
{
	int best = -1;
	long best_width = 0;

	for (size_t i = 0; i < count; i++) {
		const char *first = entries[i].first.digits, *last = entries[i].last.digits;
		bool matches;
		long width;

		if (entries[i].prefix) {
			matches = strncmp(number, first, strlen(first)) == 0;
			width = 1000000000 - (long)strlen(first);
		} else if (last[0] != '\0') {
			matches = strlen(number) == strlen(first) && strcmp(number, first) >= 0 &&
				  strcmp(number, last) <= 0;
			width = strtol(last, NULL, 10) - strtol(first, NULL, 10);
		} else {
			matches = strcmp(number, first) == 0;
			width = -1;
		}
		if (matches && (best < 0 || width < best_width)) {
			best = (int)i;
			best_width = width;
		}
	}
	return best;
}

static bool conflict_plainly(const struct number_entry *a, const struct number_entry *b)
{
	const char *a_last = a->last.digits[0] == '\0' ? a->first.digits : a->last.digits;
	const char *b_last = b->last.digits[0] == '\0' ? b->first.digits : b->last.digits;

	if ((a->customer == b->customer && a->level == b->level) || a->prefix != b->prefix)
		return false;
	if (a->prefix)
		return strcmp(a->first.digits, b->first.digits) == 0;
	return (a->last.digits[0] == '\0') == (b->last.digits[0] == '\0') &&
	       strlen(a->first.digits) == strlen(b->first.digits) && strcmp(a->first.digits, b_last) <= 0 &&
	       strcmp(b->first.digits, a_last) <= 0;
}

static void check_reports(const struct number_entry *entries, size_t count, const struct conflicts *conflicts)
{
	bool expected = false;

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < i; j++)
			expected = expected || conflict_plainly(&entries[i], &entries[j]);
	}
	assert_int_equal(conflicts->count > 0, expected);
	for (size_t i = 0; i < conflicts->count; i++) {
		assert_true(conflicts->list[i].tag > conflicts->list[i].other_tag);
		assert_true(conflict_plainly(
			&entries[conflicts->list[i].tag], &entries[conflicts->list[i].other_tag]));
	}
}

/* A sequence of our own, the same on every machine. */
static unsigned next_random(unsigned *state)
{
	*state = *state * 1103515245u + 12345u;
	return *state >> 8;
}

static void random_number(struct tn *tn, unsigned *state)
{
	size_t length = 1 + next_random(state) % 4;

	memset(tn, 0, sizeof(*tn));
	for (size_t i = 0; i < length; i++)
		tn->digits[i] = "0159"[next_random(state) % 4];
}

static void all_answers_and_reports_are_those_of_a_plain_search(void **state)
{
	unsigned seed = 1;

	for (int round = 0; round < 300; round++) {
		struct number_entry entries[24];
		size_t count = 1 + next_random(&seed) % 24;
		struct conflicts conflicts;
		struct number_table *table;

		memset(entries, 0, sizeof(entries));
		for (size_t i = 0; i < count; i++) {
			random_number(&entries[i].first, &seed);
			entries[i].customer = next_random(&seed) % 8 == 0 ? BETA : ACME;
			entries[i].prefix = next_random(&seed) % 4 == 0;
			random_number(&entries[i].last, &seed);
			if (entries[i].prefix ||
				strlen(entries[i].last.digits) != strlen(entries[i].first.digits) ||
				strcmp(entries[i].last.digits, entries[i].first.digits) < 0)
				memset(&entries[i].last, 0, sizeof(entries[i].last));
		}
		table = build(entries, count, &conflicts);
		check_reports(entries, count, &conflicts);
		for (int number = 0; number < 10000; number += 1 + (int)(next_random(&seed) % 9)) {
			char text[16], padded[16];

			snprintf(text, sizeof(text), "%d", number);
			snprintf(padded, sizeof(padded), "%04d", number);
			assert_int_equal(find(table, text), find_plainly(entries, count, text));
			assert_int_equal(find(table, padded), find_plainly(entries, count, padded));
		}
		number_table_free(table);
	}
}

static void a_hundred_thousand_numbers_are_all_found(void **state)
{
	const size_t count = 100000;
	struct number_entry *entries = calloc(count, sizeof(*entries));
	struct number_table *table;

	assert_non_null(entries);
	for (size_t i = 0; i < count; i++) {
		snprintf(entries[i].first.digits, sizeof(entries[i].first.digits), "1215%07zu",
			i * 7919 % 1000000 * 10);
		entries[i].tag = (int)i;
	}
	table = number_table_new(entries, count, NULL, NULL);
	assert_non_null(table);
	for (size_t i = 0; i < count; i++) {
		struct tn tn = entries[i].first;

		assert_int_equal(number_table_find(table, &tn)->tag, i);
		tn.digits[10] = '5';
		assert_null(number_table_find(table, &tn));
	}
	number_table_free(table);
	free(entries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_have_words),
		cmocka_unit_test(an_empty_table_matches_nothing),
		cmocka_unit_test(the_narrowest_entry_matches),
		cmocka_unit_test(edges_are_exact),
		cmocka_unit_test(the_same_number_in_two_customers_is_a_conflict),
		cmocka_unit_test(the_same_prefix_in_two_customers_is_a_conflict),
		cmocka_unit_test(overlapping_ranges_in_two_customers_are_a_conflict),
		cmocka_unit_test(a_conflict_is_found_behind_a_range_that_reaches_further),
		cmocka_unit_test(a_table_with_conflicts_is_complete),
		cmocka_unit_test(all_answers_and_reports_are_those_of_a_plain_search),
		cmocka_unit_test(a_hundred_thousand_numbers_are_all_found),
	};

	return cmocka_run_group_tests_name("number-table", tests, NULL, NULL);
}
