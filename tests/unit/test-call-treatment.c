#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "stirrup/call_treatment.h"
#include "made-token.h"

#define TEXT(text) ((char[]){ text })
#define REJECTING { .on_failure = ON_FAILURE_REJECT }

/* A call with one Identity of this verdict; none for VERDICT_NO_IDENTITY. */
static struct call_treatment_question question_of(
	struct verification *verification, enum verify_result result, enum verdict reason)
{
	*verification = (struct verification){ .count = reason == VERDICT_NO_IDENTITY ? 0 : 1 };
	verification->identities[0].verdict = reason;
	verification->identities[0].attest = 'B';
	return (struct call_treatment_question){
		.verification = verification,
		.result = result,
		.reason = reason,
		.deciding = verification->count == 0 ? -1 : 0,
	};
}

static void settings_decide_where_no_rule_does(void **state)
{
	static const struct {
		const char *behaviour;
		enum verify_result result;
		enum verdict reason;
		struct call_treatment_policy policy;
		unsigned status; /* 0: the call goes on */
		const char *name;
	} cases[] = {
		{ "a good call goes on", VERIFY_PASSED, VERDICT_PASSED,
			{ .on_failure = ON_FAILURE_REJECT, .identity_required = true, .fault_is_503 = true }, 0,
			"verified" },
		{ "a bad one, too", VERIFY_FAILED, VERDICT_BAD_SIGNATURE, { .on_failure = ON_FAILURE_CONTINUE },
			0, "on_failure = continue" },
		{ "unless it is to be rejected", VERIFY_FAILED, VERDICT_BAD_SIGNATURE, REJECTING, 438,
			"on_failure = reject" },
		{ "its status is the reason's", VERIFY_NO_VALIDATION, VERDICT_STALE_IAT, REJECTING, 403,
			"on_failure = reject" },
		{ "one that passed and is refused all the same", VERIFY_FAILED, VERDICT_REPLAYED, REJECTING, 438,
			"on_failure = reject" },
		{ "no Identity", VERIFY_NO_VALIDATION, VERDICT_NO_IDENTITY, REJECTING, 0,
			"identity_required = false" },
		{ "no Identity where one is required", VERIFY_NO_VALIDATION, VERDICT_NO_IDENTITY,
			{ .identity_required = true }, 428, "identity_required = true" },
		{ "one of another type is none", VERIFY_NO_VALIDATION, VERDICT_UNSUPPORTED_PPT,
			{ .identity_required = true }, 428, "identity_required = true" },
		{ "no time for the certificate", VERIFY_NO_VALIDATION, VERDICT_FETCHER_TIMEOUT,
			{ .fault_is_503 = true }, 503, "on_error = 503" },
		{ "goes on without on_error", VERIFY_NO_VALIDATION, VERDICT_FETCHER_TIMEOUT,
			{ .fault_is_503 = false }, 0, "on_failure = continue" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct verification verification;
		struct call_treatment_question question =
			question_of(&verification, cases[i].result, cases[i].reason);
		struct call_treatment found;

		print_message("%s\n", cases[i].behaviour);
		call_treatment_find(&found, &question, &cases[i].policy);
		assert_null(found.rule);
		assert_int_equal(found.reject, cases[i].status != 0);
		assert_int_equal(found.status, cases[i].status);
		assert_string_equal(found.name, cases[i].name);
	}
}

static void a_rule_goes_before_settings(void **state)
{
	struct treatment rules[] = {
		{ .result = -1, .reason = VERDICT_STALE_IAT, .reject = true, .status = 480, .phrase = TEXT("Late"),
			.line = 7 },
		{ .result = VERIFY_FAILED, .reason = -1, .attestation = 'B', .line = 8 },
		{ .result = -1, .reason = -1, .reject = true, .line = 9 },
	};
	struct call_treatment_policy policy = { rules, 3, ON_FAILURE_REJECT, true, true };
	struct verification verification;
	struct call_treatment_question question =
		question_of(&verification, VERIFY_NO_VALIDATION, VERDICT_STALE_IAT);
	struct call_treatment found;

	call_treatment_find(&found, &question, &policy);
	assert_ptr_equal(found.rule, &rules[0]);
	assert_true(found.reject);
	assert_int_equal(found.status, 480);
	assert_string_equal(found.phrase, "Late");
	assert_string_equal(found.name, "treatment of line 7");

	question = question_of(&verification, VERIFY_FAILED, VERDICT_BAD_SIGNATURE);
	call_treatment_find(&found, &question, &policy);
	assert_ptr_equal(found.rule, &rules[1]);
	assert_false(found.reject);
	assert_int_equal(found.status, 0);

	question = question_of(&verification, VERIFY_PASSED, VERDICT_PASSED);
	call_treatment_find(&found, &question, &policy);
	assert_ptr_equal(found.rule, &rules[2]);
	assert_int_equal(found.status, 603);
	assert_null(found.phrase);
}

static void an_emergency_call_is_never_rejected(void **state)
{
	struct treatment rules[] = { { .result = -1, .reason = -1, .reject = true, .status = 603, .line = 1 } };
	struct call_treatment_policy policy = { rules, 1, ON_FAILURE_REJECT, true, true };
	struct verification verification;
	struct call_treatment_question question =
		question_of(&verification, VERIFY_FAILED, VERDICT_BAD_SIGNATURE);
	struct call_treatment found;

	verification.emergency = true;
	for (policy.rule_count = 0; policy.rule_count < 2; policy.rule_count++) {
		call_treatment_find(&found, &question, &policy);
		assert_false(found.reject);
		assert_int_equal(found.status, 0);
		assert_string_equal(found.name, "emergency call, not refused");
	}
}

static void the_host_is_that_of_the_x5u(void **state)
{
	static const struct {
		const char *x5u, *host;
	} cases[] = {
		{ "https://certs.example.net/a.pem", "certs.example.net" },
		{ "https://certs.example.net:8443/a.pem", "certs.example.net" },
		{ "https://certs.example.net", "certs.example.net" },
		{ "https://[2001:db8::1]:8443/a.pem", "[2001:db8::1]" },
		{ "https://[2001:db8::1/a.pem", NULL },
		{ "https:certs.example.net/a.pem", NULL },
		{ "https:///a.pem", NULL },
	};
	struct token_maker *maker = token_maker_new();

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct treatment rule = { .result = -1, .reason = -1, .x5u_host = (char *)cases[i].host };
		struct treatment any_host = { .result = -1, .reason = -1, .x5u_host = TEXT("*.net") };
		struct call_treatment_policy policy = { cases[i].host == NULL ? &any_host : &rule, 1,
			ON_FAILURE_CONTINUE, false, false };
		struct verification verification;
		struct call_treatment_question question =
			question_of(&verification, VERIFY_PASSED, VERDICT_PASSED);
		struct call_treatment found;
		char header[256];
		const char *detail;

		print_message("%s\n", cases[i].x5u);
		snprintf(header, sizeof header,
			"{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":\"%s\"}", cases[i].x5u);
		assert_int_equal(passport_parse(&verification.identities[0].passport,
					 make_token_of(maker, span_of(header),
						 span_of("{\"attest\":\"A\",\"dest\":{\"tn\":[\"1\"]},\"iat\":1,"
							 "\"orig\":{\"tn\":\"2\"},\"origid\":\"x\"}"),
						 MADE_BY_ES256),
					 &detail),
			PASSPORT_OK);
		call_treatment_find(&found, &question, &policy);
		assert_int_equal(found.rule != NULL, cases[i].host != NULL);
		verification_clear(&verification);
	}
	token_maker_free(maker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_decide_where_no_rule_does),
		cmocka_unit_test(a_rule_goes_before_settings),
		cmocka_unit_test(an_emergency_call_is_never_rejected),
		cmocka_unit_test(the_host_is_that_of_the_x5u),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
