#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stirrup/treatment.h"

#define ANY .result = -1, .reason = -1
#define TEXT(text) ((char[]){ text })

static const struct treatment_question forged = {
	.result = VERIFY_FAILED,
	.reason = VERDICT_BAD_SIGNATURE,
	.attestation = 'A',
	.spc = "1234",
	.x5u_host = "certs.example.net",
};
static const struct treatment_question nothing = {
	.result = VERIFY_NO_VALIDATION,
	.reason = VERDICT_NO_IDENTITY,
};

static void one_rule(void **state)
{
	const struct {
		const char *behaviour;
		struct treatment rule;
		bool forged_matches, nothing_matches;
	} cases[] = {
		{ "no condition", { ANY }, true, true },
		{ "result", { .result = VERIFY_FAILED, .reason = -1 }, true, false },
		{ "result passed is a condition, too", { .result = VERIFY_PASSED, .reason = -1 }, false, false },
		{ "reason", { .result = -1, .reason = VERDICT_BAD_SIGNATURE }, true, false },
		{ "another reason", { .result = -1, .reason = VERDICT_NO_IDENTITY }, false, true },
		{ "result and reason", { .result = VERIFY_FAILED, .reason = VERDICT_NO_IDENTITY }, false, false },
		{ "attestation", { ANY, .attestation = 'A' }, true, false },
		{ "another attestation", { ANY, .attestation = 'C' }, false, false },
		{ "code", { ANY, .spc = TEXT("1234") }, true, false },
		{ "a longer code", { ANY, .spc = TEXT("12345") }, false, false },
		{ "a shorter code", { ANY, .spc = TEXT("123") }, false, false },
		{ "an unknown code is not the empty one", { ANY, .spc = TEXT("") }, false, false },
		{ "host", { ANY, .x5u_host = TEXT("certs.example.net") }, true, false },
		{ "host in capitals", { ANY, .x5u_host = TEXT("CERTS.Example.NET") }, true, false },
		{ "host below a name", { ANY, .x5u_host = TEXT("*.example.net") }, true, false },
		{ "in capitals", { ANY, .x5u_host = TEXT("*.EXAMPLE.net") }, true, false },
		{ "two levels below", { ANY, .x5u_host = TEXT("*.net") }, true, false },
		{ "the name itself is not below it", { ANY, .x5u_host = TEXT("*.certs.example.net") }, false, false },
		{ "ends so, but is no label", { ANY, .x5u_host = TEXT("*.xample.net") }, false, false },
		{ "a longer name", { ANY, .x5u_host = TEXT("*.a.certs.example.net") }, false, false },
		{ "a star alone stands for itself", { ANY, .x5u_host = TEXT("*") }, false, false },
		{ "an unknown host is not the empty one", { ANY, .x5u_host = TEXT("") }, false, false },
		{ "all at once",
			{ .result = VERIFY_FAILED, .reason = VERDICT_BAD_SIGNATURE, .attestation = 'A',
				.spc = TEXT("1234"), .x5u_host = TEXT("*.example.net") }, true, false },
		{ "all but one",
			{ .result = VERIFY_FAILED, .reason = VERDICT_BAD_SIGNATURE, .attestation = 'B',
				.spc = TEXT("1234"), .x5u_host = TEXT("*.example.net") }, false, false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct treatment *rule = &cases[i].rule;

		if ((treatment_find(rule, 1, &forged) == rule) != cases[i].forged_matches)
			fail_msg("%s: a forged token", cases[i].behaviour);
		if ((treatment_find(rule, 1, &nothing) == rule) != cases[i].nothing_matches)
			fail_msg("%s: no token", cases[i].behaviour);
	}
}

static void first_match_wins(void **state)
{
	const struct treatment rules[] = {
		{ .result = VERIFY_PASSED, .reason = -1, .line = 1 },
		{ .result = VERIFY_FAILED, .reason = -1, .line = 2, .reject = true, .status = 438 },
		{ ANY, .line = 3 },
		{ ANY, .line = 4 },
	};

	assert_int_equal(treatment_find(rules, 4, &forged)->line, 2);
	assert_int_equal(treatment_find(rules, 4, &nothing)->line, 3);
	assert_null(treatment_find(rules, 1, &forged));
	assert_null(treatment_find(rules, 0, &forged));
	assert_null(treatment_find(NULL, 0, &forged));
}

static void empty_texts_are_unknown_ones(void **state)
{
	const struct treatment_question empty = { .result = VERIFY_PASSED, .reason = VERDICT_PASSED, .spc = "", .x5u_host = "" };
	const struct treatment code = { ANY, .spc = TEXT("1") };
	const struct treatment host = { ANY, .x5u_host = TEXT("*.net") };

	assert_null(treatment_find(&code, 1, &empty));
	assert_null(treatment_find(&host, 1, &empty));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_rule),
		cmocka_unit_test(first_match_wins),
		cmocka_unit_test(empty_texts_are_unknown_ones),
	};

	return cmocka_run_group_tests_name("treatment", tests, NULL, NULL);
}
