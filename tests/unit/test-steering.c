#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stirrup/seal.h"
#include "stirrup/steering.h"

#define WORKERS 4
#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define VIA "Via: SIP/2.0/UDP 192.0.2.1:5060;branch="
#define SEALED "Route: <sip:192.0.2.9;lr;st=AAAA>\r\n"
#define ANYONE WORKERS

/* Exactly so many bytes, so that a sanitizer sees what reads behind them. */
static struct steering read_copy(const char *text, size_t length, unsigned workers)
{
	char *copy = malloc(length + 1);
	struct steering steering;

	assert_non_null(copy);
	memcpy(copy + 1, text, length);
	steering_read(&steering, (struct span){ copy + 1, length }, workers);
	free(copy);
	return steering;
}

static struct steering read_text(const char *text)
{
	return read_copy(text, strlen(text), WORKERS);
}

static unsigned of_call(const char *call_id)
{
	return steering_by_call_id(span_of(call_id), WORKERS);
}

/* Every node's every worker has to say the same, in all versions. */
static void a_call_id_has_the_owner_that_it_always_had(void **state)
{
	assert_int_equal(of_call(""), 0);
	assert_int_equal(of_call("a"), 0xe40c292cu % WORKERS);
	assert_int_equal(of_call("foobar"), 0xbf9cf968u % WORKERS);
	assert_int_equal(steering_by_call_id(span_of("foobar"), 7), 0xbf9cf968u % 7);
	assert_int_equal(steering_by_call_id(span_of("foobar"), 1), 0);
}

static void requests_go_by_their_call_id(void **state)
{
	static const char *const heads[] = {
		"INVITE sip:a SIP/2.0\r\n" VIA "z9hG4bKx\r\nCall-ID: foobar\r\n\r\n",
		"INVITE sip:a SIP/2.0\r\n" VIA "z9hG4bKx\r\ni: foobar\r\n\r\n",
		"INVITE sip:a SIP/2.0\r\n" VIA "z9hG4bKx\r\nCALL-id \t:\t foobar \r\n\r\n",
		"INVITE sip:a SIP/2.0\r\n" VIA "z9hG4bKx\r\nCall-ID: foobar\r\nCall-ID: other\r\n\r\n",
		"INVITE sip:a SIP/2.0\n" VIA "z9hG4bKx\nCall-ID: foobar",
		/* What looks like a response's branch is no response's. */
		"INVITE sip:a SIP/2.0\r\n" VIA FORWARD_BRANCH "0\r\nCall-ID: foobar\r\n\r\n",
		"INVITE sip:a SIP/2.0\r\n" VIA RELAY_BRANCH "010\r\nCall-ID: foobar\r\n\r\n",
		/* What has to meet its INVITE. */
		"INVITE sip:a SIP/2.0\r\n" SEALED "Call-ID: foobar\r\n\r\n",
		"CANCEL sip:a SIP/2.0\r\n" SEALED "Call-ID: foobar\r\n\r\n",
		"ACK sip:a SIP/2.0\r\n" SEALED "Call-ID: foobar\r\n\r\n",
		/* No Route of ours. */
		"BYE sip:a SIP/2.0\r\nRoute: <sip:192.0.2.9;lr>\r\nCall-ID: foobar\r\n\r\n",
		"BYE sip:a SIP/2.0\r\nRecord-Route: <sip:192.0.2.9;lr;st=AAAA>\r\nCall-ID: foobar\r\n\r\n",
		"BYE sip:a SIP/2.0\r\nRoute-X: <sip:192.0.2.9;lr;st=AAAA>\r\nCall-ID: foobar\r\n\r\n",
		"BYE sip:a SIP/2.0\r\nCall-ID: foobar\r\n\r\n" SEALED,
	};

	for (size_t i = 0; i < COUNT(heads); i++) {
		struct steering steering = read_text(heads[i]);

		if (steering.anyone || steering.owner != of_call("foobar"))
			fail_msg("not its owner's: %s", heads[i]);
	}
}

static void a_sealed_request_is_anybodys(void **state)
{
	assert_true(read_text("BYE sip:a SIP/2.0\r\nCall-ID: foobar\r\n" SEALED "\r\n").anyone);
	assert_true(read_text("PRACK sip:a SIP/2.0\r\nroute : <sip:x>, <sip:192.0.2.9;lr;st=AAAA>\r\nCall-ID: foobar\r\n\r\n").anyone);
}

static void responses_go_by_their_branch(void **state)
{
	static const struct {
		const char *head;
		unsigned owner;
	} cases[] = {
		{ "SIP/2.0 200 OK\r\n" VIA RELAY_BRANCH "02xyz\r\nCall-ID: foobar\r\n\r\n", 2 },
		{ "SIP/2.0 200 OK\r\nCall-ID: foobar\r\n" VIA RELAY_BRANCH "03xyz\r\n\r\n", 3 },
		{ "SIP/2.0 200 OK\r\n" VIA FORWARD_BRANCH "0123\r\nCall-ID: foobar\r\n\r\n", ANYONE },
		/* The topmost is the one. */
		{ "SIP/2.0 200 OK\r\n" VIA FORWARD_BRANCH "0123\r\n" VIA RELAY_BRANCH "02\r\nCall-ID: foobar\r\n\r\n", ANYONE },
		{ "SIP/2.0 200 OK\r\n" VIA "z9hG4bKx\r\n" VIA RELAY_BRANCH "02\r\nCall-ID: foobar\r\n\r\n", 0 },
		/* Of an installation with more workers, or nobody's. */
		{ "SIP/2.0 200 OK\r\n" VIA RELAY_BRANCH "04xyz\r\nCall-ID: foobar\r\n\r\n", 0 },
		{ "SIP/2.0 200 OK\r\n" VIA RELAY_BRANCH "0\r\nCall-ID: foobar\r\n\r\n", 0 },
		{ "SIP/2.0 200 OK\r\nCall-ID: foobar\r\n\r\n", 0 },
	};

	assert_int_equal(of_call("foobar"), 0);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct steering steering = read_text(cases[i].head);

		if (steering.anyone != (cases[i].owner == ANYONE) || (!steering.anyone && steering.owner != cases[i].owner))
			fail_msg("worker %u, not %u: %s", steering.owner, cases[i].owner, cases[i].head);
	}
}

static void one_worker_has_everything(void **state)
{
	static const char text[] = "SIP/2.0 200 OK\r\n" VIA FORWARD_BRANCH "0123\r\nCall-ID: foobar\r\n\r\n";
	struct steering steering = read_copy(text, sizeof text - 1, 1);

	assert_false(steering.anyone);
	assert_int_equal(steering.owner, 0);
}

static void lines_are_counted_up_to_the_body(void **state)
{
	assert_int_equal(read_text("").lines, 0);
	assert_int_equal(read_text("a").lines, 1);
	assert_int_equal(read_text("a\r\nb\r\n c\r\n\r\nd\r\ne").lines, 3);
	assert_int_equal(read_text("a\nb\n\nd").lines, 2);
}

static void what_seal_makes_is_known_here(void **state)
{
	static const uint8_t secret[CHILD_SECRET_BYTES] = { 1 };
	struct sealer *sealer = sealer_new(secret, NULL);
	struct seal_request request = { .via = { .branch = span_of("z9hG4bKx"), .host = span_of("h") } };
	char branch[SEAL_BRANCH_SIZE], text[256];

	assert_non_null(sealer);
	seal_branch(sealer, &request, branch);
	snprintf(text, sizeof text, "SIP/2.0 200 OK\r\n" VIA "%s\r\n\r\n", branch);
	assert_true(read_text(text).anyone);
	sealer_free(sealer);
}

static void nothing_is_read_behind_the_end(void **state)
{
	static const char *const texts[] = {
		"SIP/2.0 200 OK\r\n" VIA RELAY_BRANCH "02xyz\r\nCall-ID: foobar\r\n\r\n",
		"BYE sip:a SIP/2.0\r\nRoute \t: <sip:192.0.2.9;lr;st=AAAA>\r\ni \t: foobar\r\n\r\n",
	};

	for (size_t i = 0; i < COUNT(texts); i++)
		for (size_t length = 0; length <= strlen(texts[i]); length++)
			assert_true(read_copy(texts[i], length, WORKERS).owner < WORKERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_id_has_the_owner_that_it_always_had),
		cmocka_unit_test(requests_go_by_their_call_id),
		cmocka_unit_test(a_sealed_request_is_anybodys),
		cmocka_unit_test(responses_go_by_their_branch),
		cmocka_unit_test(one_worker_has_everything),
		cmocka_unit_test(lines_are_counted_up_to_the_body),
		cmocka_unit_test(what_seal_makes_is_known_here),
		cmocka_unit_test(nothing_is_read_behind_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
