#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stirrup/reason_header.h"

static void writes_rfc9410(void **state)
{
	static const struct {
		enum verdict verdict;
		const char *token, *value;
	} cases[] = {
		{ VERDICT_INFO_MISMATCH, "", "STIR;cause=436;text=\"Bad Identity Info\"" },
		{ VERDICT_STALE_IAT, "", "STIR;cause=403;text=\"Stale Date\"" },
		{ VERDICT_CERTIFICATE_UNTRUSTED, "", "STIR;cause=437;text=\"Unsupported Credential\"" },
		{ VERDICT_BAD_SIGNATURE, "eyJ0.eyJi.c2ln-_A",
			"STIR;cause=438;text=\"Invalid Identity Header\";ppi=\"..c2ln-_A\"" },
		{ VERDICT_COMPACT_FORM, "..c2ln",
			"STIR;cause=438;text=\"Invalid Identity Header\";ppi=\"..c2ln\"" },
		{ VERDICT_MALFORMED_PASSPORT, "a.b.c.d", "STIR;cause=438;text=\"Invalid Identity Header\"" },
		{ VERDICT_MALFORMED_PASSPORT, "abc", "STIR;cause=438;text=\"Invalid Identity Header\"" },
		{ VERDICT_MALFORMED_PASSPORT, "a.b", "STIR;cause=438;text=\"Invalid Identity Header\"" },
		{ VERDICT_BAD_ALG, "a.b.", "STIR;cause=437;text=\"Unsupported Credential\"" },
		{ VERDICT_BAD_ALG, "a.b.c=", "STIR;cause=437;text=\"Unsupported Credential\"" },
		{ VERDICT_BAD_ALG, "a.b.c\"d", "STIR;cause=437;text=\"Unsupported Credential\"" },
		{ VERDICT_BAD_ALG, "a.b.c\r\nX: y", "STIR;cause=437;text=\"Unsupported Credential\"" },
	};
	char out[REASON_HEADER_MAX];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t length = reason_header_write(out, sizeof out, cases[i].verdict, span_of(cases[i].token));

		assert_string_equal(out, cases[i].value);
		assert_int_equal(length, strlen(cases[i].value));
	}
}

static void only_failed_tokens_have_one(void **state)
{
	char out[REASON_HEADER_MAX];

	for (int i = 0; i < VERDICT_COUNT; i++) {
		enum verdict verdict = (enum verdict)i;

		assert_int_equal(reason_header_write(out, sizeof out, verdict, span_of("a.b.c")) > 0,
			verdict_refuses_token(verdict));
	}
}

static void is_bounded(void **state)
{
	struct span token = span_of("a.b.c2ln");
	char whole[REASON_HEADER_MAX];
	size_t length = reason_header_write(whole, sizeof whole, VERDICT_BAD_SIGNATURE, token);

	for (size_t size = 0; size <= length; size++) {
		char *exact = malloc(size == 0 ? 1 : size);

		assert_int_equal(reason_header_write(exact, size, VERDICT_BAD_SIGNATURE, token), 0);
		free(exact);
	}
	assert_int_equal(reason_header_write(whole, length + 1, VERDICT_BAD_SIGNATURE, token), length);
}

static void a_huge_signature_is_left_out(void **state)
{
	char token[8192], out[REASON_HEADER_MAX];

	memset(token, 'A', sizeof token);
	token[1] = '.';
	token[3] = '.';
	assert_true(reason_header_write(out, sizeof out, VERDICT_BAD_SIGNATURE, (struct span){ token, sizeof token }) > 0);
	assert_string_equal(out, "STIR;cause=438;text=\"Invalid Identity Header\"");
	assert_true(reason_header_write(out, sizeof out, VERDICT_CERTIFICATE_UNTRUSTED,
			    (struct span){ token, 4 + REASON_PPI_MAX }) > 0);
	assert_non_null(strstr(out, ";ppi=\"..AAA"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_rfc9410),
		cmocka_unit_test(only_failed_tokens_have_one),
		cmocka_unit_test(is_bounded),
		cmocka_unit_test(a_huge_signature_is_left_out),
	};

	return cmocka_run_group_tests_name("reason-header", tests, NULL, NULL);
}
