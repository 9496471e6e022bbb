#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include <cmocka.h>

#include "../../src/fetcher/fetches.h"
#include "stirrup/clock.h"

#define LATER_US 60000000
#define HELD_MAX 4096
#define PER_PEER 1000

/* --- An HTTP client that does nothing: the tests say what came of each fetch --- */

static struct held {
	char url[64];
	http_done *done;
	void *context;
} held[HELD_MAX];
static size_t held_count, started;
static bool client_fails;

bool http_fetch(struct http_client *client, const char *url, http_done *done, void *context)
{
	if (client_fails)
		return false;
	assert_true(held_count < HELD_MAX);
	snprintf(held[held_count].url, sizeof held[0].url, "%s", url);
	held[held_count].done = done;
	held[held_count++].context = context;
	started++;
	return true;
}

static bool is_running(const char *url)
{
	for (size_t i = 0; i < held_count; i++)
		if (strcmp(held[i].url, url) == 0)
			return true;
	return false;
}

static void finish(const char *url, bool host_fails)
{
	struct http_answer answer = { .good = !host_fails, .host_fails = host_fails, .detail = "x" };

	for (size_t i = 0; i < held_count; i++) {
		struct held one = held[i];

		if (strcmp(one.url, url) != 0)
			continue;
		held[i] = held[--held_count];
		one.done(one.context, &answer);
		return;
	}
	fail_msg("%s is not running", url);
}

/* --- Who is told --- */

static struct told {
	char url[64];
	bool good;
	char detail[HTTP_DETAIL_SIZE];
	size_t waiters;
	uint64_t first_id;
} told[HELD_MAX];
static size_t told_count;

static void note(void *context, const char *url, const struct http_answer *answer,
	const struct fetch_waiter *waiters, size_t waiter_count)
{
	struct told *one = &told[told_count++];

	snprintf(one->url, sizeof one->url, "%s", url);
	memcpy(one->detail, answer->detail, sizeof one->detail);
	one->good = answer->good;
	one->waiters = waiter_count;
	one->first_id = waiter_count == 0 ? 0 : waiters[0].id;
}

static int setup(void **state)
{
	static const struct fetch_rules rules = {
		.max = 8, .max_per_host = 2, .failures_max = 3, .left_alone_ms = 200, .per_peer = PER_PEER
	};
	struct fetches *fetches = fetches_new(NULL, note, NULL);

	held_count = started = told_count = 0;
	client_fails = false;
	fetches_use(fetches, &rules);
	*state = fetches;
	return 0;
}

static int teardown(void **state)
{
	fetches_free(*state);
	return 0;
}

static enum fetches_answer want_for(
	struct fetches *fetches, uint64_t peer, const char *host, unsigned number, int64_t us)
{
	struct fetch_waiter waiter = { .peer = peer, .id = number, .deadline_us = monotonic_us() + us };
	unsigned left_ms = 0;
	char url[64];

	snprintf(url, sizeof url, "%s/%u", host, number);
	return fetches_want(fetches, url, host, &waiter, &left_ms);
}

static enum fetches_answer want_within(struct fetches *fetches, const char *host, unsigned number, int64_t us)
{
	return want_for(fetches, 0, host, number, us);
}

static enum fetches_answer want(struct fetches *fetches, const char *host, unsigned number)
{
	return want_within(fetches, host, number, LATER_US);
}

/* So that it is no new host any more. */
static void make_answer(struct fetches *fetches, const char *host)
{
	char url[64];

	assert_int_equal(want(fetches, host, 800), FETCHES_WAIT);
	snprintf(url, sizeof url, "%s/800", host);
	finish(url, false);
}

/* Three failures in a row. */
static void make_fail(struct fetches *fetches, const char *host)
{
	char url[64];

	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(want(fetches, host, 900 + i), FETCHES_WAIT);
		snprintf(url, sizeof url, "%s/%u", host, 900 + i);
		finish(url, true);
	}
}

static void test_one_fetch_for_all_that_want_it(void **state)
{
	struct fetches *fetches = *state;

	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(want(fetches, "a", 1), FETCHES_WAIT);
	assert_int_equal(started, 1);
	finish("a/1", false);
	assert_int_equal(told_count, 1);
	assert_int_equal(told[0].waiters, 100);
	assert_true(told[0].good);
	assert_int_equal(want(fetches, "a", 1), FETCHES_WAIT);
	assert_int_equal(started, 2);
}

static void test_caps_in_all_and_for_each_host(void **state)
{
	struct fetches *fetches = *state;

	for (const char *host = "a\0b\0c\0d\0e\0"; *host != '\0'; host += 2)
		make_answer(fetches, host);
	for (unsigned i = 0; i < 5; i++)
		want(fetches, "a", i);
	assert_int_equal(held_count, 2);
	want(fetches, "b", 0);
	want(fetches, "c", 0);
	assert_int_equal(held_count, 4);
	for (unsigned i = 1; i < 3; i++) {
		want(fetches, "b", i);
		want(fetches, "c", i);
		want(fetches, "d", i);
		want(fetches, "e", i);
	}
	assert_int_equal(held_count, 8);
	/* In the order in which they came, as far as their hosts allow. */
	finish("b/0", false);
	assert_true(is_running("b/2"));
	finish("a/0", false);
	assert_true(is_running("a/2"));
	finish("a/1", false);
	finish("a/2", false);
	assert_true(is_running("a/3"));
	assert_true(is_running("a/4"));
	assert_int_equal(held_count, 8);
}

static void test_larger_caps_take_effect_at_once(void **state)
{
	static const struct fetch_rules rules = {
		.max = 8, .max_per_host = 4, .failures_max = 3, .left_alone_ms = 200, .per_peer = PER_PEER
	};
	struct fetches *fetches = *state;

	for (unsigned i = 0; i < 5; i++)
		want(fetches, "a", i);
	fetches_use(fetches, &rules);
	assert_int_equal(held_count, 4);
}

static void test_queue_has_an_end(void **state)
{
	struct fetches *fetches = *state;
	char host[32];

	for (unsigned i = 0; i < 2 + FETCHES_QUEUE_MAX_PER_HOST; i++)
		assert_int_equal(want(fetches, "a", i), FETCHES_WAIT);
	assert_int_equal(want(fetches, "a", 1000), FETCHES_BUSY);
	/* Who joins takes no place. */
	assert_int_equal(want(fetches, "a", 1), FETCHES_WAIT);
	/* Six run, as new hosts leave a quarter of the places. */
	for (unsigned i = 0; i < 4 + FETCHES_QUEUE_MAX - FETCHES_QUEUE_MAX_PER_HOST; i++) {
		snprintf(host, sizeof host, "h%u", i);
		assert_int_equal(want(fetches, host, 1), FETCHES_WAIT);
	}
	assert_int_equal(want(fetches, "another", 1), FETCHES_BUSY);
	finish("h0/1", false);
	assert_int_equal(want(fetches, "another", 1), FETCHES_WAIT);
}

static void test_nobody_waits_for_what_is_queued_too_long(void **state)
{
	struct fetches *fetches = *state;
	unsigned left_ms;

	want(fetches, "a", 1);
	want_within(fetches, "a", 2, 1000);
	want_within(fetches, "a", 3, 1000);
	want_within(fetches, "a", 4, 1000);
	want(fetches, "a", 5);
	/* Nobody waits, and it is wanted nevertheless. */
	fetches_want(fetches, "a/4", "a", NULL, &left_ms);
	usleep(2000);
	finish("a/1", false);
	assert_true(is_running("a/2"));
	assert_true(is_running("a/4"));
	finish("a/2", false);
	assert_true(is_running("a/5"));
	assert_int_equal(started, 4);
}

static void test_waiters_have_an_end(void **state)
{
	struct fetches *fetches = *state;

	for (unsigned i = 0; i < FETCHES_WAITERS_MAX; i++)
		assert_int_equal(want(fetches, "a", 1), FETCHES_WAIT);
	assert_int_equal(want(fetches, "a", 1), FETCHES_BUSY);
	assert_int_equal(want(fetches, "b", 1), FETCHES_BUSY);
	finish("a/1", false);
	assert_int_equal(told[0].waiters, FETCHES_WAITERS_MAX);
	assert_int_equal(want(fetches, "b", 1), FETCHES_WAIT);
}

static void test_a_failing_host_is_left_alone_then_tried_once(void **state)
{
	struct fetches *fetches = *state;
	struct fetch_waiter waiter = { .id = 1, .deadline_us = monotonic_us() + LATER_US };
	unsigned left_ms = 0;

	make_fail(fetches, "a");
	assert_int_equal(fetches_want(fetches, "a/1", "a", &waiter, &left_ms), FETCHES_HOST_LEFT_ALONE);
	assert_in_range(left_ms, 100, 200);
	assert_int_equal(want(fetches, "b", 1), FETCHES_WAIT);
	usleep(210000);
	/* One try, the others wait for what comes of it. */
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(want(fetches, "a", i), FETCHES_WAIT);
	assert_true(is_running("a/1"));
	assert_false(is_running("a/2"));
	told_count = 0;
	finish("a/1", true);
	assert_int_equal(told_count, 3);
	assert_string_equal(told[1].detail, "the host failed and is left alone for a while");
	assert_int_equal(want(fetches, "a", 1), FETCHES_HOST_LEFT_ALONE);
	usleep(210000);
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(want(fetches, "a", i), FETCHES_WAIT);
	finish("a/1", false);
	assert_true(is_running("a/2"));
	assert_true(is_running("a/3"));
}

static void test_a_success_between_counts(void **state)
{
	struct fetches *fetches = *state;

	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(want(fetches, "a", 1), FETCHES_WAIT);
		finish("a/1", i % 3 != 2);
	}
	assert_int_equal(want(fetches, "a", 1), FETCHES_WAIT);
}

static void test_hosts_that_fail_leave_room_for_the_others(void **state)
{
	struct fetches *fetches = *state;
	char host[32], url[64];

	for (unsigned i = 0; i < 20; i++) {
		snprintf(host, sizeof host, "bad%u", i);
		want(fetches, host, 1);
		snprintf(url, sizeof url, "%s/1", host);
		finish(url, true);
	}
	for (unsigned i = 0; i < 4; i++) {
		snprintf(host, sizeof host, "good%u", i);
		make_answer(fetches, host);
	}
	for (unsigned i = 0; i < 20; i++) {
		snprintf(host, sizeof host, "bad%u", i);
		assert_int_equal(want(fetches, host, 2), FETCHES_WAIT);
	}
	assert_int_equal(held_count, 4);
	/* They came later and go first. */
	for (unsigned i = 0; i < 4; i++) {
		snprintf(host, sizeof host, "good%u", i);
		want(fetches, host, 1);
		snprintf(url, sizeof url, "%s/1", host);
		assert_true(is_running(url));
	}
	for (unsigned i = 0; i < 4; i++) {
		snprintf(url, sizeof url, "good%u/1", i);
		finish(url, false);
	}
	assert_int_equal(held_count, 4);
	while (held_count > 0)
		finish(held[0].url, false);
	assert_int_equal(started, 20 + 4 + 20 + 4);
}

static void test_thousands_of_failing_hosts_are_forgotten_in_turn(void **state)
{
	struct fetches *fetches = *state;
	char host[32], url[64];

	make_answer(fetches, "known");
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(host, sizeof host, "bad%u", i);
		assert_int_equal(want(fetches, host, 1), FETCHES_WAIT);
		snprintf(url, sizeof url, "%s/1", host);
		finish(url, i % 100 != 0);
		told_count = 0;
	}
	/* And not the one that answers. */
	for (unsigned i = 0; i < 8; i++) {
		snprintf(host, sizeof host, "new%u", i);
		assert_int_equal(want(fetches, host, 1), FETCHES_WAIT);
	}
	assert_int_equal(held_count, 6);
	assert_int_equal(want(fetches, "known", 1), FETCHES_WAIT);
	assert_true(is_running("known/1"));
}

static void test_without_memory_or_descriptors(void **state)
{
	struct fetches *fetches = *state;

	client_fails = true;
	assert_int_equal(want(fetches, "a", 1), FETCHES_WAIT);
	assert_int_equal(told_count, 1);
	assert_string_equal(told[0].detail, "out of memory");
	assert_int_equal(told[0].first_id, 1);
	client_fails = false;
	assert_int_equal(want(fetches, "a", 1), FETCHES_WAIT);
	finish("a/1", false);
}

/* --- Peers --- */

#define PEER 7
#define OTHER_PEER 8

static void use_budget(struct fetches *fetches, unsigned per_peer)
{
	struct fetch_rules rules = {
		.max = 8, .max_per_host = 2, .failures_max = 3, .left_alone_ms = 60000, .per_peer = per_peer
	};

	fetches_use(fetches, &rules);
}

static void test_a_peer_has_a_budget(void **state)
{
	struct fetches *fetches = *state;

	use_budget(fetches, 0);
	assert_int_equal(want_for(fetches, PEER, "a", 1, LATER_US), FETCHES_OVER_BUDGET);
	assert_int_equal(held_count, 0);
	assert_int_equal(want(fetches, "a", 1), FETCHES_WAIT);
	/* What is under way already costs nothing. */
	assert_int_equal(want_for(fetches, PEER, "a", 1, LATER_US), FETCHES_WAIT);
	finish("a/1", false);
	assert_int_equal(told[0].waiters, 2);
	assert_int_equal(want_for(fetches, PEER, "a", 1, LATER_US), FETCHES_OVER_BUDGET);
	use_budget(fetches, PER_PEER);
	assert_int_equal(want_for(fetches, OTHER_PEER, "a", 1, LATER_US), FETCHES_WAIT);
}

static void test_a_host_that_is_left_alone_costs_no_budget(void **state)
{
	struct fetches *fetches = *state;

	use_budget(fetches, 0);
	make_fail(fetches, "a");
	assert_int_equal(want_for(fetches, PEER, "a", 1, LATER_US), FETCHES_HOST_LEFT_ALONE);
	assert_int_equal(want_for(fetches, PEER, "b", 1, LATER_US), FETCHES_OVER_BUDGET);
}

/* Silent ones, say. */
static void want_of_new_hosts(struct fetches *fetches, unsigned count)
{
	char host[16];

	for (unsigned i = 0; i < count; i++) {
		snprintf(host, sizeof host, "h%u", i);
		assert_int_equal(want_for(fetches, PEER, host, 1, LATER_US), FETCHES_WAIT);
	}
}

static void test_a_peer_leaves_room_for_the_others(void **state)
{
	struct fetches *fetches = *state;
	char url[16];

	want_of_new_hosts(fetches, 20);
	assert_int_equal(held_count, 4);
	assert_int_equal(want_for(fetches, OTHER_PEER, "a", 1, LATER_US), FETCHES_WAIT);
	assert_int_equal(want(fetches, "b", 1), FETCHES_WAIT);
	assert_true(is_running("a/1"));
	assert_true(is_running("b/1"));
	finish("h0/1", false);
	assert_true(is_running("h4/1"));
	for (unsigned i = 1; i < 20; i++) {
		snprintf(url, sizeof url, "h%u/1", i);
		finish(url, true);
	}
	assert_int_equal(held_count, 2);
}

static void test_hosts_that_answered_go_before_new_ones(void **state)
{
	struct fetches *fetches = *state;

	make_answer(fetches, "known");
	want_of_new_hosts(fetches, 20);
	want(fetches, "a", 1);
	want(fetches, "b", 1);
	want(fetches, "c", 1);
	assert_int_equal(held_count, 6);
	/* Of that peer, too. */
	assert_int_equal(want_for(fetches, PEER, "known", 1, LATER_US), FETCHES_WAIT);
	assert_int_equal(want(fetches, "known", 2), FETCHES_WAIT);
	assert_true(is_running("known/1"));
	assert_true(is_running("known/2"));
	/* One failure, and it is among the others. */
	finish("known/1", true);
	finish("known/2", true);
	assert_int_equal(want(fetches, "known", 3), FETCHES_WAIT);
	assert_false(is_running("known/3"));
	finish("h0/1", true);
	assert_true(is_running("c/1") || is_running("h4/1"));
	assert_false(is_running("known/3"));
}

static void test_a_peer_leaves_places_in_the_queue(void **state)
{
	struct fetches *fetches = *state;

	want_of_new_hosts(fetches, 4 + FETCHES_QUEUE_MAX_PER_PEER);
	assert_int_equal(want_for(fetches, PEER, "last", 1, LATER_US), FETCHES_OVER_BUDGET);
	assert_int_equal(want_for(fetches, OTHER_PEER, "last", 1, LATER_US), FETCHES_WAIT);
	assert_true(is_running("last/1"));
}

static void test_a_single_place_is_for_any_peer(void **state)
{
	static const struct fetch_rules rules = { .max = 1, .max_per_host = 1, .failures_max = 3, .per_peer = 9 };
	struct fetches *fetches = *state;

	fetches_use(fetches, &rules);
	assert_int_equal(want_for(fetches, PEER, "a", 1, LATER_US), FETCHES_WAIT);
	assert_true(is_running("a/1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_fetch_for_all_that_want_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_caps_in_all_and_for_each_host, setup, teardown),
		cmocka_unit_test_setup_teardown(test_larger_caps_take_effect_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queue_has_an_end, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_nobody_waits_for_what_is_queued_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiters_have_an_end, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_failing_host_is_left_alone_then_tried_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_success_between_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_hosts_that_fail_leave_room_for_the_others, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_thousands_of_failing_hosts_are_forgotten_in_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_peer_has_a_budget, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_host_that_is_left_alone_costs_no_budget, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_peer_leaves_room_for_the_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hosts_that_answered_go_before_new_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_peer_leaves_places_in_the_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_single_place_is_for_any_peer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_memory_or_descriptors, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
