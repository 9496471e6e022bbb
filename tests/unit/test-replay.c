#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "made-token.h"
#include "stirrup/replay.h"

#define NOW 1793000000
#define WINDOW_S 60
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

static struct replay_table *new_table(size_t capacity)
{
	int memory = replay_table_create(capacity);
	struct replay_table *table = replay_table_open(memory);

	assert_non_null(table);
	close(memory);
	return table;
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

static enum replay_answer check(struct replay_table *table, const struct passport *passport, struct span call, int64_t now)
{
	struct span bytes = passport_signed_bytes(passport);
	unsigned char digest[ES256_DIGEST_BYTES];

	assert_true(es256_digest(maker->key, bytes.at, bytes.length, digest));
	return replay_check(table, digest, passport_iat(passport) + WINDOW_S, call, now);
}

static enum replay_answer ask(struct replay_table *table, int number, int64_t iat, const char *call, int64_t now)
{
	struct passport *passport = token_number(number, iat, MADE_BY_ES256);
	enum replay_answer answer = check(table, passport, span_of(call), now);

	passport_free(passport);
	return answer;
}

static void another_call_with_the_same_token(void **state)
{
	struct replay_table *table = new_table(100);

	assert_int_equal(ask(table, 1, NOW, "a@x", NOW), REPLAY_FIRST);
	assert_int_equal(ask(table, 1, NOW, "a@x", NOW), REPLAY_FIRST);
	assert_int_equal(ask(table, 2, NOW, "b@x", NOW), REPLAY_FIRST);
	assert_int_equal(ask(table, 1, NOW, "b@x", NOW), REPLAY_SEEN_FOR_OTHER_CALL);
	assert_int_equal(ask(table, 1, NOW, "a@x", NOW), REPLAY_FIRST);
	assert_int_equal(ask(table, 1, NOW, "", NOW + 59), REPLAY_SEEN_FOR_OTHER_CALL);
	replay_table_close(table);
}

/* Anybody can turn s into n - s, and it still verifies. */
static void another_signature_of_the_same_token(void **state)
{
	struct replay_table *table = new_table(100);
	struct passport *first = token_number(1, NOW, MADE_BY_ES256);
	struct passport *second = token_number(1, NOW, MADE_BY_FLIPPED_S);

	assert_memory_not_equal(passport_signature(first), passport_signature(second), ES256_SIGNATURE_BYTES);
	assert_true(es256_verify(maker->key, passport_signed_bytes(second).at, passport_signed_bytes(second).length,
		passport_signature(second)));
	assert_int_equal(check(table, first, span_of("a"), NOW), REPLAY_FIRST);
	assert_int_equal(check(table, second, span_of("b"), NOW), REPLAY_SEEN_FOR_OTHER_CALL);
	passport_free(first);
	passport_free(second);
	replay_table_close(table);
}

/* Their clock may run ahead: what counts is how long the token itself is fresh. */
static void is_remembered_as_long_as_it_is_fresh(void **state)
{
	struct replay_table *table = new_table(1);

	for (int i = 0; i < 7; i++)
		assert_int_equal(ask(table, i, NOW, "a", NOW), REPLAY_FIRST);
	assert_int_equal(ask(table, 7, NOW + 60, "a", NOW), REPLAY_FIRST);
	assert_int_equal(ask(table, 0, NOW, "b", NOW + 60), REPLAY_SEEN_FOR_OTHER_CALL);
	for (int i = 8; i < 15; i++)
		assert_int_equal(ask(table, i, NOW + 100, "a", NOW + 120), REPLAY_FIRST);
	for (int i = 7; i < 15; i++)
		assert_int_equal(ask(table, i, i == 7 ? NOW + 60 : NOW + 100, "b", NOW + 120), REPLAY_SEEN_FOR_OTHER_CALL);
	replay_table_close(table);
}

static void a_full_table_forgets_the_oldest(void **state)
{
	struct replay_table *table = new_table(1);

	for (int i = 0; i < 8; i++)
		assert_int_equal(ask(table, i, NOW + i, "a", NOW + 7), REPLAY_FIRST);
	assert_int_equal(ask(table, 8, NOW + 8, "a", NOW + 8), REPLAY_FIRST);
	for (int i = 1; i <= 8; i++)
		assert_int_equal(ask(table, i, NOW + i, "b", NOW + 8), REPLAY_SEEN_FOR_OTHER_CALL);
	assert_int_equal(ask(table, 0, NOW, "b", NOW + 8), REPLAY_FIRST);
	replay_table_close(table);
}

static void holds_what_it_has_room_for(void **state)
{
	struct replay_table *table = new_table(20000);
	int seen = 0;

	for (int i = 0; i < 1000; i++)
		ask(table, i, NOW, "a", NOW);
	for (int i = 0; i < 1000; i++)
		seen += ask(table, i, NOW, "b", NOW) == REPLAY_SEEN_FOR_OTHER_CALL;
	assert_int_equal(seen, 1000);
	replay_table_close(table);
}

static void absurd_sizes(void **state)
{
	struct replay_table *table = new_table(0);

	assert_int_equal(ask(table, 1, NOW, "a", NOW), REPLAY_FIRST);
	assert_int_equal(ask(table, 1, NOW, "b", NOW), REPLAY_SEEN_FOR_OTHER_CALL);
	replay_table_close(table);
	assert_int_equal(replay_table_create(SIZE_MAX), -1);
	assert_int_equal(replay_table_create(SIZE_MAX / 4), -1);
	replay_table_close(NULL);
}

static void memory_of_another_kind_is_refused(void **state)
{
	int memory = memfd_create("test", MFD_ALLOW_SEALING);
	int pipe_ends[2];

	assert_null(replay_table_open(-1));
	assert_null(replay_table_open(memory));
	assert_int_equal(ftruncate(memory, 192), 0);
	assert_null(replay_table_open(memory)); /* could shrink */
	assert_int_equal(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	assert_null(replay_table_open(memory)); /* is all zeros */
	close(memory);
	assert_int_equal(pipe(pipe_ends), 0);
	assert_null(replay_table_open(pipe_ends[0]));
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	memory = replay_table_create(100);
	assert_int_equal(ftruncate(memory, 64), -1);
	close(memory);
}

/* --- Several processes --- */

#define TOKENS 2000
#define PROCESSES 4

/* Asks about every token for a call of its own; a bit of *first for each for which it was the first. */
static void ask_about_all(int memory, int process, unsigned char first[TOKENS])
{
	struct replay_table *table = replay_table_open(memory);
	char call[32];

	snprintf(call, sizeof call, "call-%d", process);
	for (int i = 0; table != NULL && i < TOKENS; i++)
		first[i] = ask(table, i, NOW, call, NOW) == REPLAY_FIRST;
	_exit(table == NULL);
}

static void of_several_processes_one_is_first(void **state)
{
	int memory = replay_table_create(TOKENS * 16);
	unsigned char(*first)[TOKENS] = mmap(NULL, PROCESSES * TOKENS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t children[PROCESSES];
	int status;

	for (int i = 0; i < PROCESSES; i++) {
		children[i] = fork();
		if (children[i] == 0)
			ask_about_all(memory, i, first[i]);
	}
	for (int i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
	for (int i = 0; i < TOKENS; i++)
		assert_int_equal(first[0][i] + first[1][i] + first[2][i] + first[3][i], 1);
	munmap(first, PROCESSES * TOKENS);
	close(memory);
}

/* Two that hammer one and the same token, again and again in a fresh table. */
static void of_two_at_once_one_is_first(void **state)
{
	unsigned char(*first)[TOKENS] = mmap(NULL, 2 * TOKENS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct passport *passport = token_number(1, NOW, MADE_BY_ES256);
	struct replay_table *tables[TOKENS];
	int *round = mmap(NULL, 2 * sizeof *round, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;

	for (int i = 0; i < TOKENS; i++)
		tables[i] = new_table(0);
	child = fork();
	for (int i = 0; i < TOKENS; i++) {
		int me = child == 0;

		__atomic_store_n(&round[me], i + 1, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&round[!me], __ATOMIC_SEQ_CST) < i + 1)
			sched_yield();
		first[me][i] = check(tables[i], passport, span_of(me ? "a" : "b"), NOW) == REPLAY_FIRST;
	}
	if (child == 0)
		_exit(0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	for (int i = 0; i < TOKENS; i++)
		assert_int_equal(first[0][i] + first[1][i], 1);
	for (int i = 0; i < TOKENS; i++)
		replay_table_close(tables[i]);
	passport_free(passport);
	munmap(first, 2 * TOKENS);
	munmap(round, 2 * sizeof *round);
}

/* Wherever it was killed, the others go on, and a token that it was putting in has one owner. */
static void a_process_that_is_killed_keeps_nobody_waiting(void **state)
{
	int memory = replay_table_create(64);
	struct replay_table *table = replay_table_open(memory);

	for (int i = 0; i < 50; i++) {
		pid_t child = fork();

		if (child == 0)
			for (int token = 0;; token++)
				ask(table, token % 8, NOW + i, "killed", NOW + i);
		usleep((useconds_t)(i * 97 % 3000));
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, NULL, 0), child);
		for (int token = 0; token < 8; token++) {
			enum replay_answer mine = ask(table, token, NOW + i, "mine", NOW + i);

			assert_int_equal(ask(table, token, NOW + i, "killed", NOW + i),
				mine == REPLAY_FIRST ? REPLAY_SEEN_FOR_OTHER_CALL : REPLAY_FIRST);
		}
	}
	replay_table_close(table);
	close(memory);
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
		cmocka_unit_test(memory_of_another_kind_is_refused),
		cmocka_unit_test(of_several_processes_one_is_first),
		cmocka_unit_test(of_two_at_once_one_is_first),
		cmocka_unit_test(a_process_that_is_killed_keeps_nobody_waiting),
	};

	return cmocka_run_group_tests_name("replay", tests, start, stop);
}
