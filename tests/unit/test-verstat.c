#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "stirrup/verstat.h"

static const struct dial_plan plan = { .country_code = "1" };

static void each_result_has_its_value(void **state)
{
	static const struct {
		enum verify_result result;
		char attest;
		enum verstat_form form;
		const char *value;
	} cases[] = {
		{ VERIFY_PASSED, 'A', VERSTAT_PLAIN, "TN-Validation-Passed" },
		{ VERIFY_PASSED, 'A', VERSTAT_WITH_ATTESTATION, "TN-Validation-Passed-A" },
		{ VERIFY_PASSED, 0, VERSTAT_WITH_ATTESTATION, "TN-Validation-Passed" },
		{ VERIFY_FAILED, 'C', VERSTAT_PLAIN, "TN-Validation-Failed" },
		{ VERIFY_FAILED, 'C', VERSTAT_WITH_ATTESTATION, "TN-Validation-Failed-C" },
		{ VERIFY_NO_VALIDATION, 'B', VERSTAT_WITH_ATTESTATION, "No-TN-Validation" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char value[VERSTAT_VALUE_SIZE];

		verstat_value(value, cases[i].result, cases[i].attest, cases[i].form);
		assert_string_equal(value, cases[i].value);
	}
}

static const struct {
	const char *behaviour, *header, *stamped;
	unsigned stamped_count, removed_count;
} cases[] = {
	{ "sip URI: in the user part", "\"A, B\" <sip:+12155551212@example.com;user=phone>;x=1",
		"\"A, B\" <sip:+12155551212;verstat=V@example.com;user=phone>;x=1", 1, 0 },
	{ "tel URI", "<tel:+1-215-555-1212;npdi>", "<tel:+1-215-555-1212;npdi;verstat=V>", 1, 0 },
	{ "a list: each that is the number", "<sip:2155551212@a>, <tel:+12155551212>, <tel:+13125550000>",
		"<sip:2155551212;verstat=V@a>, <tel:+12155551212;verstat=V>, <tel:+13125550000>", 2, 0 },
	{ "a verstat that stood there goes", "<sip:+12155551212;verstat=TN-Validation-Passed;cic=1@a>",
		"<sip:+12155551212;cic=1;verstat=V@a>", 1, 1 },
	{ "also from another number, which gets none", "<tel:+13125550000;VERSTAT=TN-Validation-Passed>",
		"<tel:+13125550000>", 0, 1 },
	{ "a parameter that only begins so stays", "<tel:+12155551212;verstatx=1>",
		"<tel:+12155551212;verstatx=1;verstat=V>", 1, 0 },
	{ "a name is left alone", "<sip:alice@example.com>", "<sip:alice@example.com>", 0, 0 },
	{ "a verstat of the URI goes, too", "<sip:+12155551212@a;verstat=TN-Validation-Passed;user=phone>",
		"<sip:+12155551212;verstat=V@a;user=phone>", 1, 1 },
	{ "and one that hides its name", "<sip:+12155551212;%76er%53tat=TN-Validation-Passed@a>",
		"<sip:+12155551212;verstat=V@a>", 1, 1 },
	{ "and one of the header field", "<tel:+12155551212>;x=\";verstat=1\";verstat=TN-Validation-Passed",
		"<tel:+12155551212;verstat=V>;x=\";verstat=1\"", 1, 1 },
	{ "and one behind a bare URI", "sip:+12155551212@a;verstat=TN-Validation-Passed",
		"<sip:+12155551212;verstat=V@a>", 1, 1 },
	{ "and one in the user part of a bare URI", "sip:+12155551212;verstat=TN-Validation-Passed@a",
		"<sip:+12155551212;verstat=V@a>", 1, 1 },
	{ "whose number is another", "sip:+13125550000;npdi;verstat=TN-Validation-Passed@a:5060;user=phone",
		"sip:+13125550000;npdi@a:5060;user=phone", 0, 1 },
	{ "and one in a list of bare URIs", "sip:+13125550000;verstat=x@a, sip:+12155551212;npdi@a,tel:+12155551212;verstat=x",
		"sip:+13125550000@a, <sip:+12155551212;npdi;verstat=V@a>,<tel:+12155551212;verstat=V>", 2, 2 },
	{ "what is no address is not repeated", "<tel:+12155551212>, ;verstat=TN-Validation-Passed",
		"<tel:+12155551212;verstat=V>", 1, 0 },
	{ "spaces within the brackets stay", "A < sip:+12155551212@a >;x=1, <tel:+12155551212 >,< tel:+13125550000;verstat=x>",
		"A < sip:+12155551212;verstat=V@a >;x=1, <tel:+12155551212;verstat=V >,< tel:+13125550000>", 2, 1 },
	{ "a bare URI is bracketed", "sip:+12155551212@a", "<sip:+12155551212;verstat=V@a>", 1, 0 },
};

static void the_number_and_only_the_number_is_stamped(void **state)
{
	const struct tn orig = { "12155551212" };

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		unsigned stamped, removed;
		char out[256];
		size_t full;

		if (!verstat_stamp(out, sizeof out, span_of(cases[i].header), &orig, &plan, "V", &stamped, &removed))
			fail_msg("%s: does not fit", cases[i].behaviour);
		if (strcmp(out, cases[i].stamped) != 0 || stamped != cases[i].stamped_count ||
			removed != cases[i].removed_count)
			fail_msg("%s: %s (%u, %u)", cases[i].behaviour, out, stamped, removed);
		full = strlen(out);
		for (size_t size = 1; size <= full; size++)
			assert_false(verstat_stamp(out, size, span_of(cases[i].header), &orig, &plan, "V", &stamped,
				&removed));
	}
}

static void any_truncation_is_stood(void **state)
{
	const struct tn orig = { "12155551212" };

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		size_t length = strlen(cases[i].header);

		for (size_t cut = 0; cut < length; cut++) {
			char *exact = malloc(cut + 1);
			unsigned stamped, removed;
			char out[256];

			memcpy(exact, cases[i].header, cut);
			verstat_stamp(out, sizeof out, (struct span){ exact, cut }, &orig, &plan, "V", &stamped, &removed);
			verstat_present((struct span){ exact, cut });
			free(exact);
		}
	}
}

static void a_uri_alone_is_stamped_whole(void **state)
{
	static const struct {
		const char *uri, *stamped;
	} uris[] = {
		{ "sip:+12155551212@a;user=phone", "<sip:+12155551212;verstat=V@a;user=phone>" },
		{ "sip:+12155551212;verstat=TN-Validation-Passed@a", "<sip:+12155551212;verstat=V@a>" },
		{ "sip:+12155551212;npdi@a;verstat=TN-Validation-Passed", "<sip:+12155551212;npdi;verstat=V@a>" },
		{ "tel:+12155551212;verstat=x", "<tel:+12155551212;verstat=V>" },
	};

	for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++) {
		char out[128];

		assert_true(verstat_stamp_uri(out, sizeof out, span_of(uris[i].uri), "V"));
		assert_string_equal(out, uris[i].stamped);
	}
}

static void an_inbound_verstat_is_seen(void **state)
{
	assert_true(verstat_present(span_of("<tel:+1;verstat=x>")));
	assert_true(verstat_present(span_of("<sip:a@b>, <sip:+1;npdi;Verstat=x@b>")));
	assert_true(verstat_present(span_of("<sip:+1@b;verstat=x>")));
	assert_true(verstat_present(span_of("<sip:+1@b>;verstat=y")));
	assert_true(verstat_present(span_of("<sip:+1@b>;v;verstat=y")));
	assert_true(verstat_present(span_of("<sip:+1@b>;versta%7;;;  %76ERSTAT")));
	assert_false(verstat_present(span_of("<sip:+1@b;user=phone>;tag=verstat")));
	assert_false(verstat_present(span_of("")));
}

static void a_uri_is_stripped(void **state)
{
	static const struct {
		const char *uri, *stripped;
		unsigned removed;
	} uris[] = {
		{ "sip:+12155551212@a;user=phone", "sip:+12155551212@a;user=phone", 0 },
		{ "sip:+12155551212;verstat=TN-Validation-Passed@a;user=phone", "sip:+12155551212@a;user=phone", 1 },
		{ "sip:+12155551212;rn=+1312;VerStat=x;npdi@a:5070", "sip:+12155551212;rn=+1312;npdi@a:5070", 1 },
		{ "sip:+12155551212;%76erstat=x@a;verstat=y", "sip:+12155551212@a", 2 },
		{ "sip:+12155551212;verstat@a", "sip:+12155551212@a", 1 },
		{ "tel:+12155551212;verstat=x;npdi", "tel:+12155551212;npdi", 1 },
		{ "sip:a.example;verstat=x", "sip:a.example", 1 },
		{ "urn:service:sos", "urn:service:sos", 0 },
		{ "", "", 0 },
	};

	for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++) {
		char out[128];
		unsigned removed;

		assert_true(verstat_strip(out, sizeof out, span_of(uris[i].uri), &removed));
		assert_string_equal(out, uris[i].stripped);
		assert_int_equal(removed, uris[i].removed);
		assert_false(verstat_strip(out, strlen(uris[i].stripped), span_of(uris[i].uri), &removed));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_result_has_its_value),
		cmocka_unit_test(the_number_and_only_the_number_is_stamped),
		cmocka_unit_test(any_truncation_is_stood),
		cmocka_unit_test(a_uri_alone_is_stamped_whole),
		cmocka_unit_test(a_uri_is_stripped),
		cmocka_unit_test(an_inbound_verstat_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
