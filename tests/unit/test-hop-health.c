#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/sip/hop_health.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define S INT64_C(1000000)

/* What happens to a hop, second by second. */
enum event { TICK, ANSWERED, FAILED, REFUSED, UNAVAILABLE };

struct step {
	int64_t at_s;
	enum event event;
	enum hop_change change;
	bool send; /* of a tick */
	bool down;
};

static enum hop_change happen(
	struct hop_health *health, const struct step *step, int64_t interval_us, bool *send)
{
	*send = false;
	switch (step->event) {
	case TICK:
		return hop_health_tick(health, step->at_s * S, interval_us, send);
	case ANSWERED:
		return hop_health_answered(health, step->at_s * S, interval_us);
	case FAILED:
		return hop_health_failed(health, step->at_s * S, HOP_FAILED);
	case REFUSED:
		return hop_health_failed(health, step->at_s * S, HOP_REFUSED);
	case UNAVAILABLE:
		return hop_health_failed(health, step->at_s * S, HOP_UNAVAILABLE);
	}
	return HOP_UNCHANGED;
}

static void play(const struct step *steps, size_t count, int64_t interval_us)
{
	struct hop_health health;

	hop_health_start(&health, 0);
	for (size_t i = 0; i < count; i++) {
		bool send;
		enum hop_change change = happen(&health, &steps[i], interval_us, &send);

		if (change != steps[i].change || send != steps[i].send || health.down != steps[i].down)
			fail_msg("step %zu: change %d, send %d, down %d", i, (int)change, send, health.down);
	}
}

#define PLAY(interval_us, ...)                                                                               \
	do {                                                                                                 \
		const struct step steps[] = { __VA_ARGS__ };                                                 \
		play(steps, COUNT(steps), interval_us);                                                      \
	} while (0)

static void two_failures_in_a_row_are_down(void **state)
{
	PLAY(30 * S, { 1, FAILED, HOP_UNCHANGED, false, false }, { 2, FAILED, HOP_WENT_DOWN, false, true },
		{ 3, FAILED, HOP_UNCHANGED, false, true }, { 4, ANSWERED, HOP_CAME_UP, false, false },
		{ 5, ANSWERED, HOP_UNCHANGED, false, false });
	PLAY(30 * S, { 1, UNAVAILABLE, HOP_UNCHANGED, false, false },
		{ 2, FAILED, HOP_WENT_DOWN, false, true });
}

static void an_answer_in_between_starts_anew(void **state)
{
	PLAY(30 * S, { 1, FAILED, HOP_UNCHANGED, false, false }, { 2, ANSWERED, HOP_UNCHANGED, false, false },
		{ 3, FAILED, HOP_UNCHANGED, false, false }, { 4, ANSWERED, HOP_UNCHANGED, false, false });
}

static void one_refused_connection_is_down(void **state)
{
	PLAY(30 * S, { 1, REFUSED, HOP_WENT_DOWN, false, true }, { 2, REFUSED, HOP_UNCHANGED, false, true });
}

static void one_that_answers_is_probed_in_the_interval(void **state)
{
	PLAY(30 * S, { 0, TICK, HOP_UNCHANGED, true, false }, { 1, ANSWERED, HOP_UNCHANGED, false, false },
		{ 30, TICK, HOP_UNCHANGED, false, false }, { 31, TICK, HOP_UNCHANGED, true, false },
		{ 32, TICK, HOP_UNCHANGED, false, false });
}

static void calls_that_are_answered_save_probes(void **state)
{
	PLAY(30 * S, { 0, TICK, HOP_UNCHANGED, true, false }, { 20, ANSWERED, HOP_UNCHANGED, false, false },
		{ 40, ANSWERED, HOP_UNCHANGED, false, false }, { 60, TICK, HOP_UNCHANGED, false, false },
		{ 70, TICK, HOP_UNCHANGED, true, false });
}

static void two_silent_probes_are_down_and_then_it_is_asked_every_two_seconds(void **state)
{
	PLAY(30 * S, { 0, TICK, HOP_UNCHANGED, true, false }, { 1, TICK, HOP_UNCHANGED, false, false },
		{ 2, TICK, HOP_UNCHANGED, true, false }, { 3, TICK, HOP_UNCHANGED, false, false },
		{ 4, TICK, HOP_WENT_DOWN, true, true }, { 5, TICK, HOP_UNCHANGED, false, true },
		{ 6, TICK, HOP_UNCHANGED, true, true }, { 7, ANSWERED, HOP_CAME_UP, false, false },
		{ 36, TICK, HOP_UNCHANGED, false, false }, { 37, TICK, HOP_UNCHANGED, true, false });
}

static void the_first_failure_of_a_call_is_looked_into_soon(void **state)
{
	PLAY(30 * S, { 0, TICK, HOP_UNCHANGED, true, false }, { 1, ANSWERED, HOP_UNCHANGED, false, false },
		{ 10, FAILED, HOP_UNCHANGED, false, false }, { 11, TICK, HOP_UNCHANGED, false, false },
		{ 12, TICK, HOP_UNCHANGED, true, false });
}

static void a_request_that_fails_says_nothing_of_the_probe(void **state)
{
	PLAY(30 * S, { 0, TICK, HOP_UNCHANGED, true, false }, { 1, FAILED, HOP_UNCHANGED, false, false },
		{ 2, TICK, HOP_WENT_DOWN, true, true });
}

static void a_503_is_asked_again_after_a_while(void **state)
{
	PLAY(30 * S, { 0, TICK, HOP_UNCHANGED, true, false }, { 1, UNAVAILABLE, HOP_UNCHANGED, false, false },
		{ 2, TICK, HOP_UNCHANGED, false, false }, { 3, TICK, HOP_UNCHANGED, true, false },
		{ 4, UNAVAILABLE, HOP_WENT_DOWN, false, true });
}

static void a_refused_probe_is_not_waited_for(void **state)
{
	PLAY(30 * S, { 0, TICK, HOP_UNCHANGED, true, false }, { 0, REFUSED, HOP_WENT_DOWN, false, true },
		{ 1, TICK, HOP_UNCHANGED, false, true }, { 2, TICK, HOP_UNCHANGED, true, true });
}

static void a_shorter_interval_holds_at_once(void **state)
{
	struct hop_health health;
	bool send;

	hop_health_start(&health, 0);
	assert_int_equal(hop_health_answered(&health, 0, 3600 * S), HOP_UNCHANGED);
	hop_health_tick(&health, 1 * S, 5 * S, &send);
	assert_false(send);
	hop_health_tick(&health, 6 * S, 5 * S, &send);
	assert_true(send);
}

static void without_probes_a_call_finds_out_after_half_a_minute(void **state)
{
	struct hop_health health;
	bool send;

	hop_health_start(&health, 0);
	assert_int_equal(hop_health_tick(&health, 1 * S, 0, &send), HOP_UNCHANGED);
	assert_false(send);
	assert_int_equal(hop_health_failed(&health, 10 * S, HOP_REFUSED), HOP_WENT_DOWN);
	assert_true(hop_health_is_last(&health, 10 * S, 0));
	assert_true(hop_health_is_last(&health, 39 * S, 0));
	assert_false(hop_health_is_last(&health, 40 * S, 0));
	assert_true(hop_health_is_last(&health, 40 * S, 30 * S));
	assert_int_equal(hop_health_failed(&health, 41 * S, HOP_FAILED), HOP_UNCHANGED);
	assert_true(hop_health_is_last(&health, 70 * S, 0));
	assert_int_equal(hop_health_answered(&health, 71 * S, 0), HOP_CAME_UP);
	assert_false(hop_health_is_last(&health, 71 * S, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_failures_in_a_row_are_down),
		cmocka_unit_test(an_answer_in_between_starts_anew),
		cmocka_unit_test(one_refused_connection_is_down),
		cmocka_unit_test(one_that_answers_is_probed_in_the_interval),
		cmocka_unit_test(calls_that_are_answered_save_probes),
		cmocka_unit_test(two_silent_probes_are_down_and_then_it_is_asked_every_two_seconds),
		cmocka_unit_test(the_first_failure_of_a_call_is_looked_into_soon),
		cmocka_unit_test(a_request_that_fails_says_nothing_of_the_probe),
		cmocka_unit_test(a_503_is_asked_again_after_a_while),
		cmocka_unit_test(a_refused_probe_is_not_waited_for),
		cmocka_unit_test(a_shorter_interval_holds_at_once),
		cmocka_unit_test(without_probes_a_call_finds_out_after_half_a_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
