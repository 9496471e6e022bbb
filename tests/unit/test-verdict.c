#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stirrup/verdict.h"

static const struct {
	enum verdict verdict;
	const char *word;
	enum verdict_cause cause;
} documented[] = {
	{ VERDICT_SIGNED, "signed", CAUSE_NONE },
	{ VERDICT_NOT_ENABLED, "not_enabled", CAUSE_NOT_ENABLED },
	{ VERDICT_POLICY, "policy", CAUSE_POLICY },
	{ VERDICT_NOT_BUILT, "not_built", CAUSE_NOT_ENABLED },
	{ VERDICT_ALREADY_SIGNED, "already_signed", CAUSE_SIGNALLING },
	{ VERDICT_ANONYMOUS, "anonymous", CAUSE_SIGNALLING },
	{ VERDICT_NUMBER_FORMAT, "number_format", CAUSE_SIGNALLING },
	{ VERDICT_STALE_DATE, "stale_date", CAUSE_SIGNALLING },
	{ VERDICT_NO_CONTACT, "no_contact", CAUSE_SIGNALLING },
	{ VERDICT_CANCELLED, "cancelled", CAUSE_SIGNALLING },
	{ VERDICT_CREDENTIAL_REFUSED, "credential_refused", CAUSE_CERTIFICATE },
	{ VERDICT_CERTIFICATE_EXPIRED, "certificate_expired", CAUSE_CERTIFICATE },
	{ VERDICT_CERTIFICATE_NOT_YET_VALID, "certificate_not_yet_valid", CAUSE_CERTIFICATE },
	{ VERDICT_SELF_CHECK_FAILED, "self_check_failed", CAUSE_CERTIFICATE },
	{ VERDICT_SIGNER_REFUSED, "signer_refused", CAUSE_FAULT },
	{ VERDICT_SIGNER_FAILED, "signer_failed", CAUSE_FAULT },
	{ VERDICT_SIGNER_TIMEOUT, "signer_timeout", CAUSE_FAULT },
	{ VERDICT_SIGNER_BUSY, "signer_busy", CAUSE_FAULT },
};

static void each_verdict_has_its_documented_word_and_cause(void **state)
{
	assert_int_equal(sizeof(documented) / sizeof(documented[0]), VERDICT_COUNT);

	for (size_t i = 0; i < VERDICT_COUNT; i++) {
		assert_int_equal(documented[i].verdict, i);
		assert_string_equal(verdict_word(documented[i].verdict), documented[i].word);
		assert_int_equal(verdict_cause(documented[i].verdict), documented[i].cause);
	}
}

static void no_two_verdicts_share_a_word(void **state)
{
	for (int i = 0; i < VERDICT_COUNT; i++) {
		for (int j = 0; j < i; j++)
			assert_string_not_equal(verdict_word((enum verdict)i), verdict_word((enum verdict)j));
	}
}

static void words_are_lower_snake(void **state)
{
	for (int i = 0; i < VERDICT_COUNT; i++) {
		const char *word = verdict_word((enum verdict)i);

		assert_true(strlen(word) > 0);
		assert_int_equal(strspn(word, "abcdefghijklmnopqrstuvwxyz_"), strlen(word));
	}
}

static void each_cause_has_its_word(void **state)
{
	assert_string_equal(verdict_cause_word(CAUSE_NONE), "none");
	assert_string_equal(verdict_cause_word(CAUSE_NOT_ENABLED), "not_enabled");
	assert_string_equal(verdict_cause_word(CAUSE_POLICY), "policy");
	assert_string_equal(verdict_cause_word(CAUSE_SIGNALLING), "signalling");
	assert_string_equal(verdict_cause_word(CAUSE_CERTIFICATE), "certificate");
	assert_string_equal(verdict_cause_word(CAUSE_FAULT), "fault");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_verdict_has_its_documented_word_and_cause),
		cmocka_unit_test(no_two_verdicts_share_a_word),
		cmocka_unit_test(words_are_lower_snake),
		cmocka_unit_test(each_cause_has_its_word),
	};

	return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
