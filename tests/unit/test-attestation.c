#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stirrup/attestation.h"

enum { ACME, BETA, KEYLESS, STRICT };

static char acme[] = "acme", beta[] = "beta", keyless[] = "keyless", strict[] = "strict";

static const struct customer customers[] = {
	[ACME] = { acme, 0, LEVEL_A, LEVEL_B, NULL },
	[BETA] = { beta, 1, LEVEL_B, LEVEL_C, NULL },
	[KEYLESS] = { keyless, -1, LEVEL_A, LEVEL_UNSIGNED, NULL },
	[STRICT] = { strict, 2, LEVEL_A, LEVEL_REJECT, NULL },
};

static const struct number_entry entries[] = {
	{ { "12155551212" }, { "" }, false, ACME, LEVEL_UNSET, 0 },
	{ { "12155551300" }, { "" }, false, ACME, LEVEL_B, 0 },
	{ { "12155550100" }, { "12155550199" }, false, ACME, LEVEL_C, 0 },
	{ { "1215556" }, { "" }, true, ACME, LEVEL_A, 0 },
	{ { "12155551400" }, { "" }, false, ACME, LEVEL_UNSIGNED, 0 },
	{ { "12155552000" }, { "" }, false, BETA, LEVEL_UNSET, 0 },
	{ { "12155553000" }, { "" }, false, KEYLESS, LEVEL_UNSET, 0 },
	{ { "12155554000" }, { "" }, false, STRICT, LEVEL_UNSET, 0 },
};

/* Peers by what their configuration says; 7 is the credential for unknown customers. */
static const struct attestation_policy of_acme = { ACME, false, false, LEVEL_C, 7 };
static const struct attestation_policy of_keyless = { KEYLESS, false, false, LEVEL_C, 7 };
static const struct attestation_policy of_strict = { STRICT, false, false, LEVEL_C, 7 };
static const struct attestation_policy of_acme_and_by_number = { ACME, true, false, LEVEL_C, 7 };
static const struct attestation_policy by_number = { -1, true, true, LEVEL_C, 7 };
static const struct attestation_policy by_number_unchecked = { -1, true, false, LEVEL_C, 7 };
static const struct attestation_policy of_nobody = { -1, false, true, LEVEL_C, 7 };
static const struct attestation_policy of_nobody_without_key = { -1, false, true, LEVEL_C, -1 };
static const struct attestation_policy of_nobody_unsigned = { -1, false, true, LEVEL_UNSIGNED, -1 };
static const struct attestation_policy of_nobody_rejected = { -1, false, true, LEVEL_REJECT, 7 };

static struct number_table *numbers;

static int build_numbers(void **state)
{
	numbers = number_table_new(entries, sizeof(entries) / sizeof(entries[0]), NULL, NULL);
	return numbers == NULL ? -1 : 0;
}

static int free_numbers(void **state)
{
	number_table_free(numbers);
	return 0;
}

static void each_rule_decides_and_says_so(void **state)
{
	static const struct {
		const struct attestation_policy *policy;
		const char *orig;
		enum level level;
		int customer, credential;
		enum verdict verdict;
		const char *rule;
	} cases[] = {
		/* the peer's customer */
		{ &of_acme, "12155551212", LEVEL_A, ACME, 0, VERDICT_SIGNED,
			"customer acme: own number, own_numbers = A" },
		{ &of_acme, "12155551300", LEVEL_B, ACME, 0, VERDICT_SIGNED,
			"number 12155551300: attestation = B" },
		{ &of_acme, "12155550150", LEVEL_C, ACME, 0, VERDICT_SIGNED,
			"numbers 12155550100-12155550199: attestation = C" },
		{ &of_acme, "12155560000", LEVEL_A, ACME, 0, VERDICT_SIGNED,
			"numbers 1215556*: attestation = A" },
		{ &of_acme, "12155551400", LEVEL_UNSIGNED, ACME, 0, VERDICT_POLICY,
			"number 12155551400: attestation = unsigned" },
		{ &of_acme, "442079460018", LEVEL_B, ACME, 0, VERDICT_SIGNED,
			"customer acme: other number, other_numbers = B" },
		{ &of_acme, "12155552000", LEVEL_B, ACME, 0, VERDICT_SIGNED,
			"customer acme: other number (of customer beta), other_numbers = B" },
		{ &of_acme_and_by_number, "12155552000", LEVEL_B, ACME, 0, VERDICT_SIGNED,
			"customer acme: other number (of customer beta), other_numbers = B" },
		{ &of_acme_and_by_number, "12155551212", LEVEL_A, ACME, 0, VERDICT_SIGNED,
			"customer acme: own number, own_numbers = A" },
		{ &of_keyless, "12155553000", LEVEL_A, KEYLESS, -1, VERDICT_NOT_ENABLED,
			"customer keyless: own number, own_numbers = A, no credential" },
		{ &of_keyless, "442079460018", LEVEL_UNSIGNED, KEYLESS, -1, VERDICT_POLICY,
			"customer keyless: other number, other_numbers = unsigned" },
		{ &of_strict, "12155551212", LEVEL_REJECT, STRICT, 2, VERDICT_POLICY,
			"customer strict: other number (of customer acme), other_numbers = reject" },
		/* the number's customer */
		{ &by_number, "12155551212", LEVEL_A, ACME, 0, VERDICT_SIGNED,
			"customer acme: own number, own_numbers = A" },
		{ &by_number, "12155552000", LEVEL_B, BETA, 1, VERDICT_SIGNED,
			"customer beta: own number, own_numbers = B" },
		{ &by_number, "12155560000", LEVEL_A, ACME, 0, VERDICT_SIGNED,
			"numbers 1215556*: attestation = A" },
		{ &by_number, "442079460018", LEVEL_C, -1, 7, VERDICT_SIGNED,
			"unknown customer, unknown_customer = C" },
		/* the same, of a peer that does not check who calls */
		{ &by_number_unchecked, "12155551212", LEVEL_B, ACME, 0, VERDICT_SIGNED,
			"customer acme: own number, own_numbers = A, "
			"at most B: the peer does not authenticate callers" },
		{ &by_number_unchecked, "12155560000", LEVEL_B, ACME, 0, VERDICT_SIGNED,
			"numbers 1215556*: attestation = A, at most B: the peer does not authenticate "
			"callers" },
		{ &by_number_unchecked, "12155552000", LEVEL_B, BETA, 1, VERDICT_SIGNED,
			"customer beta: own number, own_numbers = B" },
		{ &by_number_unchecked, "12155550150", LEVEL_C, ACME, 0, VERDICT_SIGNED,
			"numbers 12155550100-12155550199: attestation = C" },
		{ &by_number_unchecked, "12155553000", LEVEL_B, KEYLESS, -1, VERDICT_NOT_ENABLED,
			"customer keyless: own number, own_numbers = A, "
			"at most B: the peer does not authenticate callers, no credential" },
		/* nobody's */
		{ &of_nobody, "12155551212", LEVEL_C, -1, 7, VERDICT_SIGNED,
			"unknown customer, unknown_customer = C" },
		{ &of_nobody_without_key, "12155551212", LEVEL_C, -1, -1, VERDICT_NOT_ENABLED,
			"unknown customer, unknown_customer = C, no credential" },
		{ &of_nobody_unsigned, "12155551212", LEVEL_UNSIGNED, -1, -1, VERDICT_POLICY,
			"unknown customer, unknown_customer = unsigned" },
		{ &of_nobody_rejected, "12155551212", LEVEL_REJECT, -1, 7, VERDICT_POLICY,
			"unknown customer, unknown_customer = reject" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct attestation_decision decision;
		struct tn orig = { "" };

		strcpy(orig.digits, cases[i].orig);
		memset(&decision, 0xa5, sizeof(decision));
		attestation_decide(&decision, cases[i].policy, customers, numbers, &orig);

		assert_string_equal(decision.rule, cases[i].rule);
		assert_int_equal(decision.level, cases[i].level);
		assert_int_equal(decision.customer, cases[i].customer);
		assert_int_equal(decision.credential, cases[i].credential);
		assert_int_equal(decision.verdict, cases[i].verdict);
	}
}

static void without_a_table_all_numbers_are_others(void **state)
{
	struct attestation_decision decision;
	struct tn orig = { "12155551212" };

	attestation_decide(&decision, &of_acme, customers, NULL, &orig);
	assert_int_equal(decision.level, LEVEL_B);
	assert_string_equal(decision.rule, "customer acme: other number, other_numbers = B");

	attestation_decide(&decision, &of_nobody, NULL, NULL, &orig);
	assert_int_equal(decision.level, LEVEL_C);
	assert_int_equal(decision.customer, -1);
}

static bool ends_in_a_whole_character(const char *text)
{
	size_t length = strlen(text), tail = 0;

	while (tail < length && ((unsigned char)text[length - 1 - tail] & 0xc0) == 0x80)
		tail++;
	/* Only the euro sign, three bytes long, is not ASCII in these names. */
	return tail == 0 ? (unsigned char)text[length - 1] < 0x80
			 : tail == 2 && (unsigned char)text[length - 3] == 0xe2;
}

static void long_names_are_cut_between_characters(void **state)
{
	for (size_t ascii = 0; ascii < 200; ascii++) {
		char name[1024] = "";
		struct customer customer = { .name = name, .own_numbers = LEVEL_A, .other_numbers = LEVEL_B };
		struct attestation_decision decision;
		struct tn orig = { "442079460018" };

		memset(name, 'x', ascii);
		for (int i = 0; i < 200; i++)
			strcat(name, "\xe2\x82\xac");

		memset(&decision, 0xa5, sizeof(decision));
		attestation_decide(&decision, &of_acme, &customer, numbers, &orig);
		assert_non_null(memchr(decision.rule, '\0', sizeof(decision.rule)));
		assert_true(strlen(decision.rule) >= sizeof(decision.rule) - 4);
		assert_true(ends_in_a_whole_character(decision.rule));
		assert_int_equal(decision.level, LEVEL_B);
		assert_int_equal(decision.verdict, VERDICT_SIGNED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule_decides_and_says_so),
		cmocka_unit_test(without_a_table_all_numbers_are_others),
		cmocka_unit_test(long_names_are_cut_between_characters),
	};

	return cmocka_run_group_tests_name("attestation", tests, build_numbers, free_numbers);
}
