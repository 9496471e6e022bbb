#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../src/fetcher/peer_budgets.h"

#define SECOND_US 1000000
#define START_US INT64_C(123456789)

static unsigned take_all(struct peer_budgets *budgets, uint64_t peer, int64_t now_us)
{
	unsigned taken = 0;

	while (taken < 2000000 && peer_budgets_take(budgets, peer, now_us))
		taken++;
	return taken;
}

static int setup(void **state)
{
	*state = peer_budgets_new();
	peer_budgets_use(*state, 50);
	return 0;
}

static int teardown(void **state)
{
	peer_budgets_free(*state);
	return 0;
}

static void a_burst_then_so_many_a_second(void **state)
{
	assert_int_equal(take_all(*state, 1, START_US), 200);
	assert_int_equal(take_all(*state, 1, START_US), 0);
	assert_int_equal(take_all(*state, 1, START_US + 19999), 0);
	assert_int_equal(take_all(*state, 1, START_US + 20000), 1);
	assert_int_equal(take_all(*state, 1, START_US + SECOND_US), 49);
	for (int i = 2; i < 100; i++)
		assert_int_equal(take_all(*state, 1, START_US + i * SECOND_US), 50);
}

static void each_peer_has_its_own(void **state)
{
	assert_int_equal(take_all(*state, 1, START_US), 200);
	assert_int_equal(take_all(*state, 2, START_US), 200);
	assert_int_equal(take_all(*state, 0, START_US), 200);
	assert_int_equal(take_all(*state, UINT64_MAX, START_US), 200);
	assert_int_equal(take_all(*state, 1, START_US), 0);
}

static void more_than_full_it_does_not_get(void **state)
{
	take_all(*state, 1, START_US);
	assert_int_equal(take_all(*state, 1, START_US + 3 * SECOND_US), 150);
	assert_int_equal(take_all(*state, 1, START_US + INT64_C(1000000) * SECOND_US), 200);
	assert_int_equal(take_all(*state, 1, INT64_MAX), 200);
}

static void a_clock_that_stands_or_goes_back_fills_nothing(void **state)
{
	take_all(*state, 1, START_US);
	assert_int_equal(take_all(*state, 1, START_US - SECOND_US), 0);
	assert_int_equal(take_all(*state, 1, START_US - SECOND_US + 20000), 1);
}

static void another_rate_counts_at_once(void **state)
{
	take_all(*state, 1, START_US);
	peer_budgets_take(*state, 2, START_US);
	peer_budgets_use(*state, 1);
	assert_int_equal(take_all(*state, 2, START_US), 4);
	assert_int_equal(take_all(*state, 1, START_US + SECOND_US), 1);
	peer_budgets_use(*state, 100000);
	assert_int_equal(take_all(*state, 1, START_US + 11 * SECOND_US), 400000);
	assert_int_equal(take_all(*state, 3, START_US), 400000);
}

/* The name of the one that is forgotten first is the one that has not asked for longest. */
static void many_peers_do_not_take_more_memory(void **state)
{
	for (uint64_t peer = 0; peer < 10000; peer++)
		assert_true(peer_budgets_take(*state, peer, START_US));
	assert_int_equal(take_all(*state, 9999, START_US), 199);
	assert_int_equal(take_all(*state, 0, START_US), 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_burst_then_so_many_a_second, setup, teardown),
		cmocka_unit_test_setup_teardown(each_peer_has_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(more_than_full_it_does_not_get, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_clock_that_stands_or_goes_back_fills_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(another_rate_counts_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(many_peers_do_not_take_more_memory, setup, teardown),
	};

	return cmocka_run_group_tests_name("peer_budgets", tests, NULL, NULL);
}
