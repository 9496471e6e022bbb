#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "made-token.h"
#include "stirrup/replay.h"

#define NOW 1793000000
#define HEADER "{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"https://a.example/c\"}"

static struct token_maker *maker;

static int start(void **state)
{
	maker = token_maker_new();
	return 0;
}

static int stop(void **state)
{
	token_maker_free(maker);
	return 0;
}

static struct passport *token_number(int number, int64_t iat, enum made_by by)
{
	char payload[256];
	struct passport *passport;
	const char *detail;

	snprintf(payload, sizeof payload, "{\"dest\":{\"tn\":[\"%d\"]},\"iat\":%lld,\"orig\":{\"tn\":\"12155551212\"}}",
		number, (long long)iat);
	assert_int_equal(passport_parse(&passport, make_token_of(maker, span_of(HEADER), span_of(payload), by), &detail),
		PASSPORT_OK);
	return passport;
}

static enum replay_answer ask(struct replay_table *table, int number, int64_t iat, const char *call, int64_t now)
{
	struct passport *passport = token_number(number, iat, MADE_BY_ES256);
	enum replay_answer answer = replay_check(table, passport, span_of(call), now);

	passport_free(passport);
	return answer;
}

static void another_call_with_the_same_token(void **state)
{
	struct replay_table *table = replay_table_new(100, 60);

	assert_int_equal(ask(table, 1, NOW, "a@x", NOW), REPLAY_FIRST);
	assert_int_equal(ask(table, 1, NOW, "a@x", NOW), REPLAY_FIRST);
	assert_int_equal(ask(table, 2, NOW, "b@x", NOW), REPLAY_FIRST);
	assert_int_equal(ask(table, 1, NOW, "b@x", NOW), REPLAY_SEEN_FOR_OTHER_CALL);
	assert_int_equal(ask(table, 1, NOW, "a@x", NOW), REPLAY_FIRST);
	assert_int_equal(ask(table, 1, NOW, "", NOW + 59), REPLAY_SEEN_FOR_OTHER_CALL);
	replay_table_free(table);
}

/* Anybody can turn s into n - s, and it still verifies. */
static void another_signature_of_the_same_token(void **state)
{
	struct replay_table *table = replay_table_new(100, 60);
	struct passport *first = token_number(1, NOW, MADE_BY_ES256);
	struct passport *second = token_number(1, NOW, MADE_BY_FLIPPED_S);

	assert_memory_not_equal(passport_signature(first), passport_signature(second), ES256_SIGNATURE_BYTES);
	assert_true(es256_verify(maker->key, passport_signed_bytes(second).at, passport_signed_bytes(second).length,
		passport_signature(second)));
	assert_int_equal(replay_check(table, first, span_of("a"), NOW), REPLAY_FIRST);
	assert_int_equal(replay_check(table, second, span_of("b"), NOW), REPLAY_SEEN_FOR_OTHER_CALL);
	passport_free(first);
	passport_free(second);
	replay_table_free(table);
}

/* Their clock may run ahead: what counts is how long the token itself is fresh. */
static void is_remembered_as_long_as_it_is_fresh(void **state)
{
	struct replay_table *table = replay_table_new(100, 60);

	assert_int_equal(ask(table, 1, NOW + 60, "a", NOW), REPLAY_FIRST);
	assert_int_equal(ask(table, 1, NOW + 60, "b", NOW + 120), REPLAY_SEEN_FOR_OTHER_CALL);
	assert_int_equal(ask(table, 1, NOW + 60, "b", NOW + 121), REPLAY_FIRST);
	assert_int_equal(ask(table, 2, NOW, "a", NOW + 60), REPLAY_FIRST);
	assert_int_equal(ask(table, 2, NOW, "b", NOW + 60), REPLAY_SEEN_FOR_OTHER_CALL);
	replay_table_free(table);
}

static void a_full_table_forgets_the_oldest(void **state)
{
	struct replay_table *table = replay_table_new(1, 60);

	for (int i = 0; i < 8; i++)
		assert_int_equal(ask(table, i, NOW + i, "a", NOW + 7), REPLAY_FIRST);
	assert_int_equal(ask(table, 8, NOW + 8, "a", NOW + 8), REPLAY_FIRST);
	for (int i = 1; i <= 8; i++)
		assert_int_equal(ask(table, i, NOW + i, "b", NOW + 8), REPLAY_SEEN_FOR_OTHER_CALL);
	assert_int_equal(ask(table, 0, NOW, "b", NOW + 8), REPLAY_FIRST);
	replay_table_free(table);
}

static void holds_what_it_has_room_for(void **state)
{
	struct replay_table *table = replay_table_new(20000, 60);
	int seen = 0;

	for (int i = 0; i < 1000; i++)
		ask(table, i, NOW, "a", NOW);
	for (int i = 0; i < 1000; i++)
		seen += ask(table, i, NOW, "b", NOW) == REPLAY_SEEN_FOR_OTHER_CALL;
	assert_int_equal(seen, 1000);
	replay_table_free(table);
}

static void absurd_sizes(void **state)
{
	struct replay_table *table = replay_table_new(0, 60);

	assert_int_equal(ask(table, 1, NOW, "a", NOW), REPLAY_FIRST);
	assert_int_equal(ask(table, 1, NOW, "b", NOW), REPLAY_SEEN_FOR_OTHER_CALL);
	replay_table_free(table);
	assert_null(replay_table_new(SIZE_MAX, 60));
	replay_table_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_call_with_the_same_token),
		cmocka_unit_test(another_signature_of_the_same_token),
		cmocka_unit_test(is_remembered_as_long_as_it_is_fresh),
		cmocka_unit_test(a_full_table_forgets_the_oldest),
		cmocka_unit_test(holds_what_it_has_room_for),
		cmocka_unit_test(absurd_sizes),
	};

	return cmocka_run_group_tests_name("replay", tests, start, stop);
}
