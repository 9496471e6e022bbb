#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "stirrup/sign.h"

#define NOW 1793000000 /* Mon, 26 Oct 2026 07:33:20 GMT */

static struct customer customers[] = {
	{ .name = (char[]){ "acme" }, .credential = 0, .own_numbers = LEVEL_A, .other_numbers = LEVEL_B },
	{ .name = (char[]){ "strict" }, .credential = 1, .own_numbers = LEVEL_A, .other_numbers = LEVEL_REJECT },
};
static struct number_table *numbers;

static int build_table(void **state)
{
	struct number_entry entries[3] = {
		{ .customer = 0, .level = LEVEL_UNSET },
		{ .customer = 1, .level = LEVEL_UNSET },
		{ .customer = 0, .level = LEVEL_C },
	};

	if (!tn_from_text(&entries[0].first, span_of("+12155551212")) ||
		!tn_from_text(&entries[1].first, span_of("+12155551300")) ||
		!tn_from_text(&entries[2].first, span_of("+12155551400")))
		return -1;
	numbers = number_table_new(entries, 3, NULL, NULL);
	return numbers == NULL ? -1 : 0;
}

static int free_table(void **state)
{
	number_table_free(numbers);
	return 0;
}

static struct attestation_policy of_acme = { .customer = 0, .unknown_customer = LEVEL_C, .credential = -1 };
static struct attestation_policy of_strict = { .customer = 1, .unknown_customer = LEVEL_C, .credential = -1 };
static struct attestation_policy of_nobody = { .customer = -1, .unknown_customer = LEVEL_C, .credential = -1 };
static struct attestation_policy of_gateway = { .customer = -1, .unknown_customer = LEVEL_C, .credential = 1 };
static struct attestation_policy of_mute = { .customer = -1, .unknown_customer = LEVEL_UNSIGNED, .credential = 1 };

#define TOKEN "eyJhbGciOiJFUzI1NiIsInBwdCI6InNoYWtlbiJ9.e30.AAAA"

struct example {
	const char *behaviour;
	const char *from, *to, *pai, *second_pai, *date, *identity, *request_uri;
	struct attestation_policy *attestation;
	enum identity_from identity_from;
	enum on_stale_date on_stale_date;
	enum sign_action action;
	enum verdict verdict;
	char attest;
	const char *orig, *dest;
};

#define ACME "<sip:+12155551212@example.com>;tag=1"
#define CALLEE "<sip:+12155551213@example.com>"

static const struct example examples[] = {
	{ .behaviour = "own number: full", .from = ACME, .to = CALLEE, .attestation = &of_acme,
		.action = SIGN_ACTION_SIGN, .verdict = VERDICT_SIGNED, .attest = 'A', .orig = "12155551212",
		.dest = "12155551213" },
	{ .behaviour = "other number of a known customer: partial", .from = "<sip:+13125550000@a>;tag=1", .to = CALLEE,
		.attestation = &of_acme, .action = SIGN_ACTION_SIGN, .verdict = VERDICT_SIGNED, .attest = 'B',
		.orig = "13125550000", .dest = "12155551213" },
	{ .behaviour = "a number with a level of its own", .from = "<sip:+12155551400@a>;tag=1", .to = CALLEE,
		.attestation = &of_acme, .action = SIGN_ACTION_SIGN, .verdict = VERDICT_SIGNED, .attest = 'C',
		.orig = "12155551400", .dest = "12155551213" },
	{ .behaviour = "unknown customer: gateway", .from = ACME, .to = CALLEE, .attestation = &of_gateway,
		.action = SIGN_ACTION_SIGN, .verdict = VERDICT_SIGNED, .attest = 'C', .orig = "12155551212",
		.dest = "12155551213" },
	{ .behaviour = "nobody's credential signs", .from = ACME, .to = CALLEE, .attestation = &of_nobody,
		.action = SIGN_ACTION_UNSIGNED, .verdict = VERDICT_NOT_ENABLED, .orig = "12155551212",
		.dest = "12155551213" },
	{ .behaviour = "unsigned by policy", .from = ACME, .to = CALLEE, .attestation = &of_mute,
		.action = SIGN_ACTION_UNSIGNED, .verdict = VERDICT_POLICY, .orig = "12155551212",
		.dest = "12155551213" },
	{ .behaviour = "rejected by policy", .from = ACME, .to = CALLEE, .attestation = &of_strict,
		.action = SIGN_ACTION_REJECT, .verdict = VERDICT_POLICY, .orig = "12155551212",
		.dest = "12155551213" },
	{ .behaviour = "an Identity of his own does not save him from that", .from = ACME, .to = CALLEE,
		.identity = TOKEN ";info=<https://x/y>;ppt=shaken", .attestation = &of_strict,
		.action = SIGN_ACTION_REJECT, .verdict = VERDICT_POLICY, .orig = "12155551212",
		.dest = "12155551213" },
	{ .behaviour = "PAI before From", .from = "<sip:+13125550000@a>;tag=1", .to = CALLEE,
		.pai = "<sip:+12155551212@a>", .attestation = &of_acme, .action = SIGN_ACTION_SIGN,
		.verdict = VERDICT_SIGNED, .attest = 'A', .orig = "12155551212", .dest = "12155551213" },
	{ .behaviour = "the first PAI that is a number", .from = "<sip:+13125550000@a>;tag=1", .to = CALLEE,
		.pai = "\"A, B\" <sip:alice@a>, <tel:+12155551212>", .attestation = &of_acme,
		.action = SIGN_ACTION_SIGN, .verdict = VERDICT_SIGNED, .attest = 'A', .orig = "12155551212",
		.dest = "12155551213" },
	{ .behaviour = "also in a second line", .from = "<sip:+13125550000@a>;tag=1", .to = CALLEE,
		.pai = "<sip:alice@a>", .second_pai = "<tel:+12155551212>", .attestation = &of_acme,
		.action = SIGN_ACTION_SIGN, .verdict = VERDICT_SIGNED, .attest = 'A', .orig = "12155551212",
		.dest = "12155551213" },
	{ .behaviour = "From although there is a PAI", .from = ACME, .to = CALLEE, .pai = "<tel:+13125550000>",
		.identity_from = IDENTITY_FROM_FROM, .attestation = &of_acme, .action = SIGN_ACTION_SIGN,
		.verdict = VERDICT_SIGNED, .attest = 'A', .orig = "12155551212", .dest = "12155551213" },
	{ .behaviour = "PAI only, and there is none", .from = ACME, .to = CALLEE, .identity_from = IDENTITY_FROM_PAI,
		.attestation = &of_acme, .action = SIGN_ACTION_UNSIGNED, .verdict = VERDICT_NUMBER_FORMAT,
		.dest = "12155551213" },
	{ .behaviour = "anonymous From with a PAI", .from = "<sip:anonymous@anonymous.invalid>;tag=1", .to = CALLEE,
		.pai = "<tel:+12155551212>", .attestation = &of_acme, .action = SIGN_ACTION_SIGN,
		.verdict = VERDICT_SIGNED, .attest = 'A', .orig = "12155551212", .dest = "12155551213" },
	{ .behaviour = "anonymous without", .from = "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1",
		.to = CALLEE, .attestation = &of_acme, .action = SIGN_ACTION_UNSIGNED, .verdict = VERDICT_ANONYMOUS,
		.dest = "12155551213" },
	{ .behaviour = "a name calls", .from = "<sip:alice@example.com>;tag=1", .to = CALLEE,
		.attestation = &of_acme, .action = SIGN_ACTION_UNSIGNED, .verdict = VERDICT_NUMBER_FORMAT,
		.dest = "12155551213" },
	{ .behaviour = "a name is called", .from = ACME, .to = "<sip:bob@example.com>", .attestation = &of_acme,
		.action = SIGN_ACTION_UNSIGNED, .verdict = VERDICT_NUMBER_FORMAT, .orig = "12155551212" },
	{ .behaviour = "signed already", .from = ACME, .to = CALLEE,
		.identity = TOKEN ";info=<https://x/y>;ppt=\"shaken\"", .attestation = &of_acme,
		.action = SIGN_ACTION_UNSIGNED, .verdict = VERDICT_ALREADY_SIGNED, .orig = "12155551212",
		.dest = "12155551213" },
	{ .behaviour = "signed already, said by the token alone", .from = ACME, .to = CALLEE,
		.identity = TOKEN ";info=<https://x/y>", .attestation = &of_acme, .action = SIGN_ACTION_UNSIGNED,
		.verdict = VERDICT_ALREADY_SIGNED, .orig = "12155551212", .dest = "12155551213" },
	{ .behaviour = "another type does not count", .from = ACME, .to = CALLEE,
		.identity = "a.b.c;info=<https://x/y>;ppt=rcd", .attestation = &of_acme, .action = SIGN_ACTION_SIGN,
		.verdict = VERDICT_SIGNED, .attest = 'A', .orig = "12155551212", .dest = "12155551213" },
	{ .behaviour = "an empty Identity (Sansay) does not count", .from = ACME, .to = CALLEE, .identity = "",
		.attestation = &of_acme, .action = SIGN_ACTION_SIGN, .verdict = VERDICT_SIGNED, .attest = 'A',
		.orig = "12155551212", .dest = "12155551213" },
	{ .behaviour = "Date 60 s behind is fresh", .from = ACME, .to = CALLEE,
		.date = "Mon, 26 Oct 2026 07:32:20 GMT", .attestation = &of_acme, .action = SIGN_ACTION_SIGN,
		.verdict = VERDICT_SIGNED, .attest = 'A', .orig = "12155551212", .dest = "12155551213" },
	{ .behaviour = "61 s is not", .from = ACME, .to = CALLEE, .date = "Mon, 26 Oct 2026 07:32:19 GMT",
		.attestation = &of_acme, .action = SIGN_ACTION_UNSIGNED, .verdict = VERDICT_STALE_DATE,
		.orig = "12155551212", .dest = "12155551213" },
	{ .behaviour = "nor 61 s ahead", .from = ACME, .to = CALLEE, .date = "Mon, 26 Oct 2026 07:34:21 GMT",
		.attestation = &of_acme, .action = SIGN_ACTION_UNSIGNED, .verdict = VERDICT_STALE_DATE,
		.orig = "12155551212", .dest = "12155551213" },
	{ .behaviour = "nor what is no date", .from = ACME, .to = CALLEE, .date = "yesterday",
		.attestation = &of_acme, .action = SIGN_ACTION_UNSIGNED, .verdict = VERDICT_STALE_DATE,
		.orig = "12155551212", .dest = "12155551213" },
	{ .behaviour = "stale_date = reject", .from = ACME, .to = CALLEE, .date = "Mon, 26 Oct 2026 07:32:19 GMT",
		.on_stale_date = STALE_DATE_REJECT, .attestation = &of_acme, .action = SIGN_ACTION_REJECT,
		.verdict = VERDICT_STALE_DATE, .orig = "12155551212", .dest = "12155551213" },
	{ .behaviour = "911 is signed as dialled", .from = ACME, .to = "<sip:911@example.com;user=phone>",
		.attestation = &of_acme, .action = SIGN_ACTION_SIGN, .verdict = VERDICT_SIGNED, .attest = 'A',
		.orig = "12155551212", .dest = "911" },
	{ .behaviour = "a service URN is signed as a URI", .from = ACME, .to = "<urn:service:sos>",
		.attestation = &of_acme, .action = SIGN_ACTION_SIGN, .verdict = VERDICT_SIGNED, .attest = 'A',
		.orig = "12155551212", .dest = "urn:service:sos" },
	{ .behaviour = "911 is not rejected by policy", .from = ACME, .to = "<sip:911@example.com>",
		.attestation = &of_strict, .action = SIGN_ACTION_UNSIGNED, .verdict = VERDICT_POLICY,
		.orig = "12155551212", .dest = "911" },
	{ .behaviour = "nor when only the Request-URI says so", .from = ACME, .to = CALLEE,
		.request_uri = "urn:service:sos", .attestation = &of_strict, .action = SIGN_ACTION_UNSIGNED,
		.verdict = VERDICT_POLICY, .orig = "12155551212", .dest = "12155551213" },
	{ .behaviour = "nor for its Date", .from = ACME, .to = "<sip:112@example.com>",
		.date = "Mon, 26 Oct 2026 07:32:19 GMT", .on_stale_date = STALE_DATE_REJECT, .attestation = &of_acme,
		.action = SIGN_ACTION_UNSIGNED, .verdict = VERDICT_STALE_DATE, .orig = "12155551212",
		.dest = "112" },
	{ .behaviour = "From that is nothing at all", .from = "", .to = CALLEE, .attestation = &of_acme,
		.action = SIGN_ACTION_UNSIGNED, .verdict = VERDICT_NUMBER_FORMAT, .dest = "12155551213" },
};

static struct span optional(const char *text)
{
	return text == NULL ? (struct span){ "", 0 } : span_of(text);
}

static void decide(struct sign_decision *decision, const struct example *example)
{
	static const struct dial_plan plan = { .country_code = "1" };
	struct call_facts facts = {
		.request_uri = optional(example->request_uri != NULL ? example->request_uri : "sip:+12155551213@us"),
		.from = optional(example->from),
		.to = optional(example->to),
		.date = optional(example->date),
	};
	struct sign_policy policy = {
		.identity_from = example->identity_from,
		.on_stale_date = example->on_stale_date,
		.freshness_s = 60,
		.dial_plan = &plan,
		.attestation = example->attestation,
		.customers = customers,
		.numbers = numbers,
	};

	if (example->pai != NULL)
		facts.pai[facts.pai_count++] = span_of(example->pai);
	if (example->second_pai != NULL)
		facts.pai[facts.pai_count++] = span_of(example->second_pai);
	if (example->identity != NULL)
		facts.identity[facts.identity_count++] = span_of(example->identity);
	sign_decide(decision, &facts, &policy, NOW);
}

static void each_call_is_decided_as_its_example_says(void **state)
{
	for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
		const struct example *example = &examples[i];
		struct sign_decision decision;
		const char *dest;

		decide(&decision, example);
		dest = decision.dest_uri[0] != '\0' ? decision.dest_uri : decision.dest_tn.digits;
		if (decision.action != example->action || decision.verdict != example->verdict ||
			decision.attest != example->attest ||
			strcmp(decision.orig.digits, example->orig == NULL ? "" : example->orig) != 0 ||
			strcmp(dest, example->dest == NULL ? "" : example->dest) != 0)
			fail_msg("%s: action %d, verdict %s, attest %c, orig %s, dest %s", example->behaviour,
				decision.action, verdict_word(decision.verdict),
				decision.attest == 0 ? '-' : decision.attest, decision.orig.digits, dest);
		if (decision.rule[0] == '\0')
			fail_msg("%s: no rule", example->behaviour);
	}
}

static void the_credential_follows_the_customer(void **state)
{
	struct sign_decision decision;

	decide(&decision, &examples[0]);
	assert_int_equal(decision.customer, 0);
	assert_int_equal(decision.credential, 0);
	decide(&decision, &examples[3]);
	assert_int_equal(decision.customer, -1);
	assert_int_equal(decision.credential, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_call_is_decided_as_its_example_says),
		cmocka_unit_test(the_credential_follows_the_customer),
	};

	return cmocka_run_group_tests(tests, build_table, free_table);
}
