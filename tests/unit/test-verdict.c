#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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
	{ VERDICT_ALREADY_SIGNED, "already_signed", CAUSE_SIGNALLING },
	{ VERDICT_ANONYMOUS, "anonymous", CAUSE_SIGNALLING },
	{ VERDICT_NUMBER_FORMAT, "number_format", CAUSE_SIGNALLING },
	{ VERDICT_STALE_DATE, "stale_date", CAUSE_SIGNALLING },
	{ VERDICT_NO_CONTACT, "no_contact", CAUSE_SIGNALLING },
	{ VERDICT_CANCELLED, "cancelled", CAUSE_SIGNALLING },
	{ VERDICT_MALFORMED_REQUEST, "malformed_request", CAUSE_SIGNALLING },
	{ VERDICT_TOO_LARGE, "too_large", CAUSE_SIGNALLING },
	{ VERDICT_LOOP, "loop", CAUSE_SIGNALLING },
	{ VERDICT_CREDENTIAL_REFUSED, "credential_refused", CAUSE_CERTIFICATE },
	{ VERDICT_CERTIFICATE_EXPIRED, "certificate_expired", CAUSE_CERTIFICATE },
	{ VERDICT_CERTIFICATE_NOT_YET_VALID, "certificate_not_yet_valid", CAUSE_CERTIFICATE },
	{ VERDICT_SELF_CHECK_FAILED, "self_check_failed", CAUSE_CERTIFICATE },
	{ VERDICT_SIGNER_REFUSED, "signer_refused", CAUSE_FAULT },
	{ VERDICT_SIGNER_FAILED, "signer_failed", CAUSE_FAULT },
	{ VERDICT_SIGNER_TIMEOUT, "signer_timeout", CAUSE_FAULT },
	{ VERDICT_SIGNER_BUSY, "signer_busy", CAUSE_FAULT },
	{ VERDICT_NO_NEXT_HOP, "no_next_hop", CAUSE_FAULT },
	{ VERDICT_RELAY_BUSY, "relay_busy", CAUSE_FAULT },
	{ VERDICT_PASSED, "passed", CAUSE_NONE },
	{ VERDICT_PENDING, "pending", CAUSE_NONE },
	{ VERDICT_NO_IDENTITY, "no_identity", CAUSE_SIGNALLING },
	{ VERDICT_UNSUPPORTED_PPT, "unsupported_ppt", CAUSE_TOKEN },
	{ VERDICT_TOO_MANY_IDENTITIES, "too_many_identities", CAUSE_TOKEN },
	{ VERDICT_MALFORMED_IDENTITY, "malformed_identity", CAUSE_TOKEN },
	{ VERDICT_NO_INFO, "no_info", CAUSE_TOKEN },
	{ VERDICT_BAD_INFO_URI, "bad_info_uri", CAUSE_TOKEN },
	{ VERDICT_COMPACT_FORM, "compact_form", CAUSE_TOKEN },
	{ VERDICT_MALFORMED_PASSPORT, "malformed_passport", CAUSE_TOKEN },
	{ VERDICT_MISSING_HEADER_MEMBER, "missing_header_member", CAUSE_TOKEN },
	{ VERDICT_INFO_MISMATCH, "info_mismatch", CAUSE_TOKEN },
	{ VERDICT_BAD_TYP, "bad_typ", CAUSE_TOKEN },
	{ VERDICT_BAD_ALG, "bad_alg", CAUSE_TOKEN },
	{ VERDICT_BAD_PPT, "bad_ppt", CAUSE_TOKEN },
	{ VERDICT_CRITICAL_EXTENSION, "critical_extension", CAUSE_TOKEN },
	{ VERDICT_MISSING_CLAIM, "missing_claim", CAUSE_TOKEN },
	{ VERDICT_BAD_CLAIM, "bad_claim", CAUSE_TOKEN },
	{ VERDICT_BAD_ATTEST, "bad_attest", CAUSE_TOKEN },
	{ VERDICT_STALE_IAT, "stale_iat", CAUSE_SIGNALLING },
	{ VERDICT_ORIG_MISMATCH, "orig_mismatch", CAUSE_SIGNALLING },
	{ VERDICT_DEST_MISMATCH, "dest_mismatch", CAUSE_SIGNALLING },
	{ VERDICT_CERTIFICATE_UNREACHABLE, "certificate_unreachable", CAUSE_CERTIFICATE },
	{ VERDICT_CERTIFICATE_MALFORMED, "certificate_malformed", CAUSE_CERTIFICATE },
	{ VERDICT_CERTIFICATE_UNTRUSTED, "certificate_untrusted", CAUSE_CERTIFICATE },
	{ VERDICT_CERTIFICATE_REVOKED, "certificate_revoked", CAUSE_CERTIFICATE },
	{ VERDICT_CERTIFICATE_OUTSIDE_VALIDITY, "certificate_outside_validity", CAUSE_CERTIFICATE },
	{ VERDICT_CERTIFICATE_NOT_P256, "certificate_not_p256", CAUSE_CERTIFICATE },
	{ VERDICT_BAD_TN_AUTH_LIST, "bad_tn_auth_list", CAUSE_CERTIFICATE },
	{ VERDICT_TN_NOT_COVERED, "tn_not_covered", CAUSE_CERTIFICATE },
	{ VERDICT_CLAIM_CONSTRAINTS, "claim_constraints", CAUSE_CERTIFICATE },
	{ VERDICT_PROFILE_VIOLATION, "profile_violation", CAUSE_CERTIFICATE },
	{ VERDICT_BAD_SIGNATURE, "bad_signature", CAUSE_TOKEN },
	{ VERDICT_REPLAYED, "replayed", CAUSE_TOKEN },
	{ VERDICT_FETCHER_TIMEOUT, "fetcher_timeout", CAUSE_FAULT },
	{ VERDICT_FETCHER_BUSY, "fetcher_busy", CAUSE_FAULT },
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
		assert_int_equal(strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(word));
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
	assert_string_equal(verdict_cause_word(CAUSE_TOKEN), "token");
}

static void each_result_has_its_word(void **state)
{
	assert_string_equal(verify_result_word(VERIFY_PASSED), "passed");
	assert_string_equal(verify_result_word(VERIFY_FAILED), "failed");
	assert_string_equal(verify_result_word(VERIFY_NO_VALIDATION), "no_validation");
}

/* RFC 8224 section 6.2.2, with the choices of ATIS-1000082. */
static void each_token_fault_has_its_status(void **state)
{
	static const struct {
		enum verdict verdict;
		unsigned code;
		const char *phrase;
	} cases[] = {
		{ VERDICT_PASSED, 200, "OK" },
		{ VERDICT_STALE_DATE, 403, "Stale Date" },
		{ VERDICT_STALE_IAT, 403, "Stale Date" },
		{ VERDICT_NO_IDENTITY, 428, "Use Identity Header" },
		{ VERDICT_UNSUPPORTED_PPT, 428, "Use Supported PASSporT Format" },
		{ VERDICT_NO_INFO, 436, "Bad Identity Info" },
		{ VERDICT_BAD_INFO_URI, 436, "Bad Identity Info" },
		{ VERDICT_MISSING_HEADER_MEMBER, 436, "Bad Identity Info" },
		{ VERDICT_INFO_MISMATCH, 436, "Bad Identity Info" },
		{ VERDICT_CERTIFICATE_UNREACHABLE, 436, "Bad Identity Info" },
		{ VERDICT_FETCHER_TIMEOUT, 436, "Bad Identity Info" },
		{ VERDICT_FETCHER_BUSY, 436, "Bad Identity Info" },
		{ VERDICT_BAD_TYP, 437, "Unsupported Credential" },
		{ VERDICT_BAD_ALG, 437, "Unsupported Credential" },
		{ VERDICT_CERTIFICATE_MALFORMED, 437, "Unsupported Credential" },
		{ VERDICT_CERTIFICATE_UNTRUSTED, 437, "Unsupported Credential" },
		{ VERDICT_CERTIFICATE_REVOKED, 437, "Unsupported Credential" },
		{ VERDICT_CERTIFICATE_OUTSIDE_VALIDITY, 437, "Unsupported Credential" },
		{ VERDICT_CERTIFICATE_NOT_P256, 437, "Unsupported Credential" },
		{ VERDICT_BAD_TN_AUTH_LIST, 437, "Unsupported Credential" },
		{ VERDICT_TN_NOT_COVERED, 437, "Unsupported Credential" },
		{ VERDICT_PROFILE_VIOLATION, 437, "Unsupported Credential" },
		{ VERDICT_ANONYMOUS, 438, "Invalid Identity Header" },
		{ VERDICT_NUMBER_FORMAT, 438, "Invalid Identity Header" },
		{ VERDICT_TOO_MANY_IDENTITIES, 438, "Invalid Identity Header" },
		{ VERDICT_MALFORMED_IDENTITY, 438, "Invalid Identity Header" },
		{ VERDICT_COMPACT_FORM, 438, "Invalid Identity Header" },
		{ VERDICT_MALFORMED_PASSPORT, 438, "Invalid Identity Header" },
		{ VERDICT_BAD_PPT, 438, "Invalid Identity Header" },
		{ VERDICT_CRITICAL_EXTENSION, 438, "Invalid Identity Header" },
		{ VERDICT_MISSING_CLAIM, 438, "Invalid Identity Header" },
		{ VERDICT_BAD_CLAIM, 438, "Invalid Identity Header" },
		{ VERDICT_BAD_ATTEST, 438, "Invalid Identity Header" },
		{ VERDICT_ORIG_MISMATCH, 438, "Invalid Identity Header" },
		{ VERDICT_DEST_MISMATCH, 438, "Invalid Identity Header" },
		{ VERDICT_CLAIM_CONSTRAINTS, 438, "Invalid Identity Header" },
		{ VERDICT_BAD_SIGNATURE, 438, "Invalid Identity Header" },
		{ VERDICT_REPLAYED, 438, "Invalid Identity Header" },
	};
	bool seen[VERDICT_COUNT] = { false };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sip_status status = verdict_sip_status(cases[i].verdict);

		assert_int_equal(status.code, cases[i].code);
		assert_string_equal(status.phrase, cases[i].phrase);
		seen[cases[i].verdict] = true;
	}
	for (int i = VERDICT_PASSED; i < VERDICT_COUNT; i++)
		assert_true(seen[i] || i == VERDICT_PENDING);
}

static void every_verdict_has_a_final_status(void **state)
{
	for (int i = 0; i < VERDICT_COUNT; i++) {
		struct sip_status status = verdict_sip_status((enum verdict)i);

		assert_in_range(status.code, 200, 699);
		assert_true(strlen(status.phrase) > 0);
	}
	assert_int_equal(verdict_sip_status(VERDICT_POLICY).code, 603);
	assert_int_equal(verdict_sip_status(VERDICT_NO_CONTACT).code, 404);
	assert_int_equal(verdict_sip_status(VERDICT_CANCELLED).code, 487);
	assert_int_equal(verdict_sip_status(VERDICT_SIGNER_BUSY).code, 503);
}

/* What verdict_sip_status() says of a fault, verdict_reject_phrase() says of its code. */
static void the_phrases_of_refusals(void **state)
{
	assert_string_equal(verdict_reject_phrase(403), "Stale Date");
	assert_string_equal(verdict_reject_phrase(428), "Use Identity Header");
	assert_string_equal(verdict_reject_phrase(436), "Bad Identity Info");
	assert_string_equal(verdict_reject_phrase(437), "Unsupported Credential");
	assert_string_equal(verdict_reject_phrase(438), "Invalid Identity Header");
	assert_string_equal(verdict_reject_phrase(503), "Service Unavailable");
	assert_string_equal(verdict_reject_phrase(603), "Decline");
	assert_null(verdict_reject_phrase(0));
	assert_null(verdict_reject_phrase(480));
}

/* ATIS-1000082: E17 and E18. */
static void only_trust_and_signature_make_failed(void **state)
{
	for (int i = 0; i < VERDICT_COUNT; i++)
		assert_int_equal(verdict_is_failed((enum verdict)i), i == VERDICT_CERTIFICATE_UNTRUSTED ||
			i == VERDICT_CERTIFICATE_REVOKED || i == VERDICT_BAD_SIGNATURE);
}

static void what_refuses_a_token(void **state)
{
	static const enum verdict others[] = { VERDICT_PASSED, VERDICT_PENDING, VERDICT_NO_IDENTITY,
		VERDICT_UNSUPPORTED_PPT, VERDICT_FETCHER_TIMEOUT, VERDICT_FETCHER_BUSY };

	for (int i = 0; i < VERDICT_COUNT; i++) {
		bool refuses = i >= VERDICT_PASSED;

		for (size_t j = 0; j < sizeof others / sizeof *others; j++)
			refuses = refuses && i != (int)others[j];
		assert_int_equal(verdict_refuses_token((enum verdict)i), refuses);
	}
}

/* The page is read by people who have only the word. */
static bool page_has(const char *page, const char *word)
{
	size_t length = strlen(word);

	for (const char *line = strstr(page, ".It Li "); line != NULL; line = strstr(line + 1, ".It Li ")) {
		const char *end = strchr(line, '\n');

		for (const char *at = strstr(line, word); at != NULL && at < end; at = strstr(at + 1, word))
			if (at[-1] == ' ' && (at[length] == '\n' || at[length] == ' '))
				return true;
	}
	return false;
}

static bool is_a_word(const char *text, size_t length)
{
	for (int i = 0; i < VERDICT_COUNT; i++) {
		const char *word = verdict_word((enum verdict)i);

		if (strlen(word) == length && memcmp(word, text, length) == 0)
			return true;
	}
	return false;
}

static void the_manual_page_lists_every_reason(void **state)
{
	static char page[65536];
	FILE *file = fopen(TEST_DATA "/../../man/stirrupd.8", "r");
	const char *reasons;

	assert_non_null(file);
	page[fread(page, 1, sizeof page - 1, file)] = '\0';
	fclose(file);
	for (int i = 0; i < VERDICT_COUNT; i++) {
		bool listed = page_has(page, verdict_word((enum verdict)i));
		/* The good ones are results, and what is pending is never seen. */
		bool wanted = i != VERDICT_SIGNED && i != VERDICT_PASSED && i != VERDICT_PENDING;

		if (listed != wanted)
			fail_msg("%s: %s", verdict_word((enum verdict)i), listed ? "listed" : "missing");
	}
	reasons = strstr(page, "The reasons are:");
	assert_non_null(reasons);
	for (const char *line = strstr(reasons, ".It Li "); line != NULL; line = strstr(line + 1, ".It Li ")) {
		const char *word = line + strlen(".It Li ");

		while (*word != '\n') {
			size_t length = strcspn(word, " \n");

			if (*word != ',' && !is_a_word(word, length))
				fail_msg("%.*s is no reason", (int)length, word);
			word += length + (word[length] == ' ');
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_verdict_has_its_documented_word_and_cause),
		cmocka_unit_test(no_two_verdicts_share_a_word),
		cmocka_unit_test(words_are_lower_snake),
		cmocka_unit_test(each_cause_has_its_word),
		cmocka_unit_test(each_result_has_its_word),
		cmocka_unit_test(each_token_fault_has_its_status),
		cmocka_unit_test(every_verdict_has_a_final_status),
		cmocka_unit_test(the_phrases_of_refusals),
		cmocka_unit_test(only_trust_and_signature_make_failed),
		cmocka_unit_test(what_refuses_a_token),
		cmocka_unit_test(the_manual_page_lists_every_reason),
	};

	return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
