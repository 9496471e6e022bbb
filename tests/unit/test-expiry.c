#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stirrup/expiry.h"

#define DAY_S 86400
#define HOUR_S 3600
#define END INT64_C(1798106400) /* 2026-12-24T10:00:00Z */

static int setup(void **state)
{
	*state = expiry_watch_new();
	return *state == NULL;
}

static int teardown(void **state)
{
	expiry_watch_free(*state);
	return 0;
}

/* What is said so many seconds before the end; "" for nothing. */
static const char *look(void **state, const char *name, int64_t life_s, int64_t left_s, bool *urgent)
{
	static struct expiry_reminder reminder;
	struct expiry_item item = { name, END - life_s, END };
	bool said = expiry_watch_look(*state, &item, END - left_s, &reminder);

	expiry_watch_end_round(*state);
	*urgent = said && reminder.urgent;
	return said ? reminder.text : "";
}

/* Hour after hour over more than a year. */
static void says_each_threshold_once(void **state)
{
	static const struct {
		int64_t left_s;
		const char *text;
		bool urgent;
	} expected[] = {
		{ 30 * DAY_S, "in 30 days, 2026-12-24T10:00:00Z", false },
		{ 14 * DAY_S, "in 14 days, 2026-12-24T10:00:00Z", false },
		{ 7 * DAY_S, "in 7 days, 2026-12-24T10:00:00Z", true },
		{ 1 * DAY_S, "in 24 hours, 2026-12-24T10:00:00Z", true },
		{ -HOUR_S, "since 2026-12-24T10:00:00Z", true },
	};
	size_t next = 0;
	bool urgent;

	for (int64_t left_s = 400 * DAY_S; left_s > -100 * DAY_S; left_s -= HOUR_S) {
		const char *text = look(state, "a", 400 * DAY_S, left_s, &urgent);

		if (text[0] == '\0')
			continue;
		assert_true(next < sizeof expected / sizeof expected[0]);
		assert_int_equal(left_s, expected[next].left_s);
		assert_string_equal(text, expected[next].text);
		assert_int_equal(urgent, expected[next].urgent);
		next++;
	}
	assert_int_equal(next, 5);
}

static void what_starts_late_hears_the_nearest_threshold_alone(void **state)
{
	bool urgent;

	assert_string_equal(
		look(state, "a", 400 * DAY_S, 12 * DAY_S + 5, &urgent), "in 12 days, 2026-12-24T10:00:00Z");
	assert_false(urgent);
	assert_string_equal(look(state, "a", 400 * DAY_S, 12 * DAY_S, &urgent), "");
	assert_string_equal(look(state, "b", 400 * DAY_S, 30 * DAY_S + 1, &urgent), "");
	assert_string_equal(look(state, "c", 400 * DAY_S, 0, &urgent), "in 0 hours, 2026-12-24T10:00:00Z");
	assert_string_equal(look(state, "d", 400 * DAY_S, -1, &urgent), "since 2026-12-24T10:00:00Z");
}

/* Certificates of six days are usual: a fresh one is no news. */
static void what_lives_shortly_is_announced_late(void **state)
{
	static const struct {
		int64_t life_s, first_s;
	} cases[] = {
		{ 60 * DAY_S, 30 * DAY_S },
		{ 60 * DAY_S - 1, 14 * DAY_S },
		{ 30 * DAY_S, 14 * DAY_S },
		{ 28 * DAY_S - 1, 7 * DAY_S },
		{ 6 * DAY_S, 1 * DAY_S },
		{ 2 * DAY_S - 1, -1 },
		{ 0, -1 },
		{ -5, -1 },
	};
	char name[8];
	bool urgent;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		snprintf(name, sizeof name, "%zu", i);
		assert_string_equal(look(state, name, cases[i].life_s, cases[i].first_s + 1, &urgent), "");
		assert_string_not_equal(look(state, name, cases[i].life_s, cases[i].first_s, &urgent), "");
	}
}

static void a_new_end_counts_anew(void **state)
{
	struct expiry_item item = { "a", END - 400 * DAY_S, END };
	struct expiry_reminder reminder;

	assert_true(expiry_watch_look(*state, &item, END - DAY_S, &reminder));
	assert_false(expiry_watch_look(*state, &item, END - DAY_S, &reminder));
	item.ends += 400 * DAY_S;
	assert_false(expiry_watch_look(*state, &item, END - DAY_S, &reminder));
	assert_true(expiry_watch_look(*state, &item, END + 399 * DAY_S, &reminder));
}

static void what_is_looked_at_no_more_is_forgotten(void **state)
{
	struct expiry_item a = { "a", 0, END }, b = { "b", 0, END };
	struct expiry_reminder reminder;

	assert_true(expiry_watch_look(*state, &a, END - DAY_S, &reminder));
	assert_true(expiry_watch_look(*state, &b, END - DAY_S, &reminder));
	expiry_watch_end_round(*state);
	assert_false(expiry_watch_look(*state, &b, END - DAY_S, &reminder));
	expiry_watch_end_round(*state);
	assert_true(expiry_watch_look(*state, &a, END - DAY_S, &reminder));
	assert_false(expiry_watch_look(*state, &b, END - DAY_S, &reminder));
}

static void many_and_odd_ones(void **state)
{
	struct expiry_reminder reminder;
	char name[16];

	for (int i = 0; i < 1000; i++) {
		struct expiry_item item = { name, 0, END };

		snprintf(name, sizeof name, "%d", i);
		assert_true(expiry_watch_look(*state, &item, END, &reminder));
		assert_false(expiry_watch_look(*state, &item, END, &reminder));
	}
	assert_false(
		expiry_watch_look(*state, &(struct expiry_item){ "", 0, INT64_MAX / 2 }, END, &reminder));
	assert_true(expiry_watch_look(*state, &(struct expiry_item){ "", 0, INT64_MIN / 2 }, END, &reminder));
	assert_string_equal(reminder.text, "since ?");
	expiry_watch_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(says_each_threshold_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_starts_late_hears_the_nearest_threshold_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(what_lives_shortly_is_announced_late, setup, teardown),
		cmocka_unit_test_setup_teardown(a_new_end_counts_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_looked_at_no_more_is_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(many_and_odd_ones, setup, teardown),
	};

	return cmocka_run_group_tests_name("expiry", tests, NULL, NULL);
}
