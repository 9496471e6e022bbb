#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stirrup/tn.h"

static const struct dial_plan america = { "1", "", "" };
static const struct dial_plan britain = { "44", "0", "00" };
static const struct dial_plan italy = { "39", "", "00" };
static const struct dial_plan russia = { "7", "8", "810" };
static const struct dial_plan bare = { "44", "", "" };
static const struct dial_plan none = { "", "", "" };

struct tn_case {
	const char *behaviour;
	const struct dial_plan *plan;
	const char *uri;
	enum tn_kind kind;
	const char *digits; /* NULL: untouched */
};

static void check_span(const struct tn_case *expected, struct span uri)
{
	struct tn tn = { "untouched" };
	const char *digits = expected->digits == NULL ? "untouched" : expected->digits;
	enum tn_kind kind = tn_from_uri(&tn, uri, expected->plan);

	if (kind != expected->kind || strcmp(tn.digits, digits) != 0)
		fail_msg("%s: %s is %d, %s", expected->behaviour, expected->uri, kind, tn.digits);
}

static void check(const struct tn_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_span(&cases[i], span_of(cases[i].uri));
}

#define CHECK(cases) check(cases, sizeof(cases) / sizeof(cases[0]))

static void numbers_with_a_plus_need_no_plan(void **state)
{
	static const struct tn_case cases[] = {
		{ "tel", &none, "tel:+12155551212", TN_NUMBER, "12155551212" },
		{ "sip", &none, "sip:+12155551212@example.net;user=phone", TN_NUMBER, "12155551212" },
		{ "sips", &none, "sips:+12155551212@example.net", TN_NUMBER, "12155551212" },
		{ "schemes in any letter case", &none, "TeL:+12155551212", TN_NUMBER, "12155551212" },
		{ "schemes in any letter case", &none, "SIP:+12155551212@example.net", TN_NUMBER,
			"12155551212" },
		{ "white space around the URI", &none, " \r\n\ttel:+12155551212 ", TN_NUMBER, "12155551212" },
		{ "visual separators", &none, "tel:+1-(215).555-1212", TN_NUMBER, "12155551212" },
		{ "spaces", &none, "tel:+1 215 555 1212", TN_NUMBER, "12155551212" },
		{ "encoded spaces", &none, "sip:+1%20215%20555%201212@h", TN_NUMBER, "12155551212" },
		{ "a separator before the plus", &none, "tel:(+1)2155551212", TN_NUMBER, "12155551212" },
		{ "an encoded plus", &none, "tel:%2B12155551212", TN_NUMBER, "12155551212" },
		{ "an encoded plus", &none, "sip:%2b12155551212@h", TN_NUMBER, "12155551212" },
		{ "encoded digits", &none, "sip:+1215555121%32@h", TN_NUMBER, "12155551212" },
		{ "host, port and URI parameters", &none, "sip:+12155551212@[::1]:5060;user=phone?Subject=x",
			TN_NUMBER, "12155551212" },
		{ "a password", &none, "sip:+12155551212:99@h", TN_NUMBER, "12155551212" },
		{ "the shortest", &none, "tel:+6834000", TN_NUMBER, "6834000" },
		{ "the longest", &none, "tel:+3300012345678901234567890123456", TN_NUMBER,
			"3300012345678901234567890123456" },
		{ "no country has 0", &none, "tel:+0123456789", TN_NOT_A_NUMBER, NULL },
		{ "an international prefix is not a country", &america, "tel:+011442079460018",
			TN_NOT_A_NUMBER, NULL },
		{ "too short", &none, "tel:+123456", TN_NOT_A_NUMBER, NULL },
		{ "too long", &none, "tel:+33000123456789012345678901234567", TN_NOT_A_NUMBER, NULL },
		{ "a star", &none, "tel:+1215555*1212", TN_NOT_A_NUMBER, NULL },
		{ "a hash", &none, "sip:+12155551212%23@h", TN_NOT_A_NUMBER, NULL },
		{ "two pluses", &none, "tel:++12155551212", TN_NOT_A_NUMBER, NULL },
		{ "a plus within", &none, "tel:+1+2155551212", TN_NOT_A_NUMBER, NULL },
		{ "a plus behind", &none, "tel:12155551212+", TN_NOT_A_NUMBER, NULL },
		{ "letters", &none, "tel:+1215555CALL", TN_NOT_A_NUMBER, NULL },
		{ "only a plus", &none, "tel:+", TN_NOT_A_NUMBER, NULL },
		{ "only separators", &none, "tel:+-()", TN_NOT_A_NUMBER, NULL },
	};

	CHECK(cases);
}

static void parameters_of_the_number_go(void **state)
{
	static const struct tn_case cases[] = {
		{ "npdi and rn", &none, "sip:+12155551212;npdi;rn=+12155550000@h;user=phone", TN_NUMBER,
			"12155551212" },
		{ "verstat", &none, "tel:+12155551212;verstat=TN-Validation-Passed", TN_NUMBER,
			"12155551212" },
		{ "cic", &none, "tel:+12155551212;cic=+10222", TN_NUMBER, "12155551212" },
		{ "isub", &none, "tel:+12155551212;isub=1411", TN_NUMBER, "12155551212" },
		{ "ext", &none, "tel:+12155551212;ext=55", TN_NUMBER, "12155551212" },
		{ "a trunk group (RFC 4904)", &none,
			"sip:+12155551212;tgrp=TG-1;trunk-context=example.net@gw.example.net;user=phone",
			TN_NUMBER, "12155551212" },
		{ "an encoded semicolon", &none, "sip:+12155551212%3Bnpdi@h", TN_NUMBER, "12155551212" },
		{ "parameters with a password", &none, "sip:+12155551212;npdi:secret@h", TN_NUMBER,
			"12155551212" },
		{ "phone-context of a global number says nothing", &none,
			"tel:+12155551212;phone-context=+44", TN_NUMBER, "12155551212" },
	};

	CHECK(cases);
}

static void country_code_1_completes(void **state)
{
	static const struct tn_case cases[] = {
		{ "ten digits get the 1", &america, "tel:2155551212", TN_NUMBER, "12155551212" },
		{ "ten digits of a sip user", &america, "sip:2155551212@10.0.0.1", TN_NUMBER, "12155551212" },
		{ "ten digits with separators", &america, "sip:(215)555-1212@h", TN_NUMBER, "12155551212" },
		{ "ten digits and a trunk group", &america, "sip:2155551212;tgrp=a;trunk-context=b.c@h",
			TN_NUMBER, "12155551212" },
		{ "eleven beginning with 1 stay", &america, "sip:12155551212@h", TN_NUMBER, "12155551212" },
		{ "011 goes", &america, "sip:011442079460018@h", TN_NUMBER, "442079460018" },
		{ "011 goes from ten digits, too", &america, "sip:0116834000@h", TN_NUMBER, "6834000" },
		{ "011 and nothing sensible", &america, "sip:0110442079460018@h", TN_NOT_A_NUMBER, NULL },
		{ "011 alone", &america, "sip:011@h", TN_NOT_A_NUMBER, NULL },
		{ "eleven beginning with 2", &america, "sip:22155551212@h", TN_NOT_A_NUMBER, NULL },
		{ "nine digits", &america, "sip:215555121@h", TN_NOT_A_NUMBER, NULL },
		{ "seven digits", &america, "sip:5551212@h", TN_NOT_A_NUMBER, NULL },
		{ "twelve digits", &america, "sip:121555512121@h", TN_NOT_A_NUMBER, NULL },
		{ "an extension", &america, "sip:1000@h", TN_NOT_A_NUMBER, NULL },
		{ "00", &america, "sip:00442079460018@h", TN_NOT_A_NUMBER, NULL },
		{ "a service code", &america, "tel:*67#", TN_NOT_A_NUMBER, NULL },
		{ "a service code before a number", &america, "sip:*672155551212@h", TN_NOT_A_NUMBER, NULL },
		{ "411", &america, "tel:411", TN_NOT_A_NUMBER, NULL },
	};

	CHECK(cases);
}

static void other_plans_complete(void **state)
{
	static const struct tn_case cases[] = {
		{ "national", &britain, "tel:02079460018", TN_NUMBER, "442079460018" },
		{ "international", &britain, "sip:0012155551212@h", TN_NUMBER, "12155551212" },
		{ "no prefix", &britain, "sip:2079460018@h", TN_NOT_A_NUMBER, NULL },
		{ "the country code without plus", &britain, "sip:442079460018@h", TN_NOT_A_NUMBER, NULL },
		{ "international and a 0", &britain, "sip:000442079460018@h", TN_NOT_A_NUMBER, NULL },
		{ "the national prefix alone", &britain, "sip:0@h", TN_NOT_A_NUMBER, NULL },
		{ "no rule of America's", &britain, "sip:2155551212@h", TN_NOT_A_NUMBER, NULL },
		{ "the 0 is part of the number", &italy, "sip:0669812345@h", TN_NUMBER, "390669812345" },
		{ "a mobile number", &italy, "sip:3331234567@h", TN_NUMBER, "393331234567" },
		{ "international", &italy, "sip:00442079460018@h", TN_NUMBER, "442079460018" },
		{ "a short code", &italy, "sip:1530@h", TN_NOT_A_NUMBER, NULL },
		{ "national", &russia, "sip:84951234567@h", TN_NUMBER, "74951234567" },
		{ "international before national", &russia, "sip:810442079460018@h", TN_NUMBER,
			"442079460018" },
		{ "a plan without prefixes has no rule", &bare, "sip:2079460018@h", TN_NOT_A_NUMBER, NULL },
		{ "no plan has no rule", &none, "sip:2155551212@h", TN_NOT_A_NUMBER, NULL },
		{ "no plan has no rule", &none, "sip:12155551212@h;user=phone", TN_NOT_A_NUMBER, NULL },
	};

	CHECK(cases);
}

static void phone_context_completes(void **state)
{
	static const struct tn_case cases[] = {
		{ "the plan's country", &america, "tel:2155551212;phone-context=+1", TN_NUMBER,
			"12155551212" },
		{ "with separators", &america, "tel:215-555-1212;phone-context=+1", TN_NUMBER,
			"12155551212" },
		{ "in any letter case", &none, "tel:2155551212;Phone-Context=+1", TN_NUMBER, "12155551212" },
		{ "encoded", &none, "sip:2155551212;phone-context=%2B1@h;user=phone", TN_NUMBER,
			"12155551212" },
		{ "after other parameters", &none, "tel:2155551212;ext=1;phone-context=+1;npdi", TN_NUMBER,
			"12155551212" },
		{ "eleven digits stay", &britain, "tel:12155551212;phone-context=+1", TN_NUMBER,
			"12155551212" },
		{ "seven digits are not enough", &america, "tel:5551212;phone-context=+1", TN_NOT_A_NUMBER,
			NULL },
		{ "another country", &america, "tel:2079460018;phone-context=+44", TN_NUMBER,
			"442079460018" },
		{ "another country, a 0 in doubt", &america, "tel:02079460018;phone-context=+44",
			TN_NOT_A_NUMBER, NULL },
		{ "the plan's country, by its rules", &britain, "tel:02079460018;phone-context=+44",
			TN_NUMBER, "442079460018" },
		{ "the plan's country, without prefix", &britain, "tel:2079460018;phone-context=+44",
			TN_NUMBER, "442079460018" },
		{ "the plan's country, no rule", &bare, "tel:2079460018;phone-context=+44", TN_NUMBER,
			"442079460018" },
		{ "an area of America", &america, "tel:5551212;phone-context=+1215", TN_NUMBER,
			"12155551212" },
		{ "an area with separators", &america, "tel:1212;phone-context=+1-215-555", TN_NUMBER,
			"12155551212" },
		{ "too much for the area", &america, "tel:2155551212;phone-context=+1215", TN_NOT_A_NUMBER,
			NULL },
		{ "too little for the area", &america, "tel:1212;phone-context=+1215", TN_NOT_A_NUMBER,
			NULL },
		{ "an area elsewhere", &america, "tel:79460018;phone-context=+4420", TN_NUMBER,
			"442079460018" },
		{ "an area elsewhere, a 0 in doubt", &america, "tel:02079460018;phone-context=+4420",
			TN_NOT_A_NUMBER, NULL },
		{ "too short all the same", &america, "tel:1;phone-context=+4420", TN_NOT_A_NUMBER, NULL },
		{ "too long", &none, "tel:1234567890123456789012345678901;phone-context=+44", TN_NOT_A_NUMBER,
			NULL },
		{ "a domain: the peer's plan", &america, "tel:2155551212;phone-context=example.com",
			TN_NUMBER, "12155551212" },
		{ "a domain: nothing fits", &america, "tel:7042;phone-context=example.com", TN_NOT_A_NUMBER,
			NULL },
		{ "no value", &america, "tel:2155551212;phone-context", TN_NOT_A_NUMBER, NULL },
		{ "an empty value", &america, "tel:2155551212;phone-context=", TN_NOT_A_NUMBER, NULL },
		{ "a plus alone", &america, "tel:2155551212;phone-context=+", TN_NOT_A_NUMBER, NULL },
		{ "no country has 0", &america, "tel:2155551212;phone-context=+0", TN_NOT_A_NUMBER, NULL },
		{ "a plus and letters", &america, "tel:2155551212;phone-context=+1a", TN_NOT_A_NUMBER, NULL },
		{ "two contexts", &america, "tel:2155551212;phone-context=+1;phone-context=+44",
			TN_NOT_A_NUMBER, NULL },
	};

	CHECK(cases);
}

static void emergency_calls_stay_as_dialled(void **state)
{
	static const struct tn_case cases[] = {
		{ "911", &america, "tel:911", TN_EMERGENCY, "911" },
		{ "911 of a sip user", &none, "sip:911@h", TN_EMERGENCY, "911" },
		{ "911 with parameters", &america, "sip:911;phone-context=+1@h;user=phone", TN_EMERGENCY,
			"911" },
		{ "112", &britain, "tel:112", TN_EMERGENCY, "112" },
		{ "112 with a context", &america, "tel:112;phone-context=+44", TN_EMERGENCY, "112" },
		{ "separators", &none, "tel:9-1-1", TN_EMERGENCY, "911" },
		{ "a plus goes in the clean-up", &none, "sip:+911@h", TN_EMERGENCY, "911" },
		{ "a URN", &none, "urn:service:sos", TN_EMERGENCY, "" },
		{ "a URN below", &none, "urn:service:sos.police", TN_EMERGENCY, "" },
		{ "a URN in capitals", &none, "URN:SERVICE:SOS.Fire", TN_EMERGENCY, "" },
		{ "another service", &none, "urn:service:counseling", TN_NOT_A_NUMBER, NULL },
		{ "a longer word", &none, "urn:service:sosa", TN_NOT_A_NUMBER, NULL },
		{ "another namespace", &none, "urn:isbn:sos", TN_NOT_A_NUMBER, NULL },
		{ "a prefix of it", &none, "urn:service", TN_NOT_A_NUMBER, NULL },
		{ "a number that begins with it", &america, "tel:9115551212", TN_NUMBER, "19115551212" },
		{ "9111", &america, "tel:9111", TN_NOT_A_NUMBER, NULL },
	};

	CHECK(cases);
}

static void anonymous_callers_are_told_apart(void **state)
{
	static const struct tn_case cases[] = {
		{ "RFC 3323", &america, "sip:anonymous@anonymous.invalid", TN_ANONYMOUS, NULL },
		{ "the user", &america, "sip:anonymous@example.net", TN_ANONYMOUS, NULL },
		{ "the user with parameters", &america, "sip:anonymous;x=y@example.net", TN_ANONYMOUS, NULL },
		{ "the user with password", &america, "sip:anonymous:x@example.net", TN_ANONYMOUS, NULL },
		{ "the user encoded", &america, "sip:%61nonymous@example.net", TN_ANONYMOUS, NULL },
		{ "the host", &america, "sip:+12155551212@Anonymous.Invalid:5060;user=phone", TN_ANONYMOUS,
			NULL },
		{ "the host alone", &america, "sips:anonymous.invalid", TN_ANONYMOUS, NULL },
		{ "a longer user", &america, "sip:anonymous1@example.net", TN_NOT_A_NUMBER, NULL },
		{ "another host", &america, "sip:alice@not-anonymous.invalid", TN_NOT_A_NUMBER, NULL },
		{ "tel", &america, "tel:anonymous", TN_NOT_A_NUMBER, NULL },
	};

	CHECK(cases);
}

static void all_else_is_not_a_number(void **state)
{
	static const struct tn_case cases[] = {
		{ "nothing", &america, "", TN_NOT_A_NUMBER, NULL },
		{ "white space", &america, " \t", TN_NOT_A_NUMBER, NULL },
		{ "no scheme", &america, "2155551212", TN_NOT_A_NUMBER, NULL },
		{ "only a scheme", &america, "tel:", TN_NOT_A_NUMBER, NULL },
		{ "only a scheme", &america, "sip:", TN_NOT_A_NUMBER, NULL },
		{ "another scheme", &america, "mailto:2155551212@example.com", TN_NOT_A_NUMBER, NULL },
		{ "a scheme that begins alike", &america, "tels:2155551212", TN_NOT_A_NUMBER, NULL },
		{ "a name", &america, "sip:alice@example.com", TN_NOT_A_NUMBER, NULL },
		{ "a name with user=phone", &america, "sip:alice@example.com;user=phone", TN_NOT_A_NUMBER,
			NULL },
		{ "a host of digits", &america, "sip:2155551212", TN_NOT_A_NUMBER, NULL },
		{ "no user", &america, "sip:@example.com", TN_NOT_A_NUMBER, NULL },
		{ "no host", &america, "sip:2155551212@", TN_NOT_A_NUMBER, NULL },
		{ "no host but parameters", &america, "sip:2155551212@;user=phone", TN_NOT_A_NUMBER, NULL },
		{ "two at signs", &america, "sip:2155551212@a@b", TN_NOT_A_NUMBER, NULL },
		{ "brackets", &america, "<tel:2155551212>", TN_NOT_A_NUMBER, NULL },
		{ "an encoded NUL", &america, "sip:2155551212%00@h", TN_NOT_A_NUMBER, NULL },
		{ "an encoded NUL in a parameter", &america, "sip:2155551212;a=%00@h", TN_NOT_A_NUMBER,
			NULL },
		{ "an encoded line end", &america, "tel:2155551212%0d%0a", TN_NOT_A_NUMBER, NULL },
		{ "an encoded DEL", &america, "tel:215555%7f1212", TN_NOT_A_NUMBER, NULL },
		{ "an encoded percent sign", &america, "tel:%2532155551212", TN_NOT_A_NUMBER, NULL },
		{ "half an escape", &america, "tel:2155551212%3", TN_NOT_A_NUMBER, NULL },
		{ "a percent sign at the end", &america, "tel:2155551212%", TN_NOT_A_NUMBER, NULL },
		{ "no escape", &america, "tel:%g12155551212", TN_NOT_A_NUMBER, NULL },
		{ "an anonymous name with a NUL", &america, "sip:anonymous%00@h", TN_NOT_A_NUMBER, NULL },
		{ "Arabic digits", &america, "sip:\xd9\xa2\xd9\xa1\xd9\xa5\x35\x35\x35\x31\x32\x31\x32@h",
			TN_NOT_A_NUMBER, NULL },
		{ "full-width digits, encoded", &america, "sip:%EF%BC%92155551212@h", TN_NOT_A_NUMBER, NULL },
		{ "a tab", &america, "tel:215\t5551212", TN_NOT_A_NUMBER, NULL },
		{ "a list of digits", &america, "tel:2155551212,2155551213", TN_NOT_A_NUMBER, NULL },
		{ "hexadecimal digits", &america, "tel:21555512AB;phone-context=+1", TN_NOT_A_NUMBER, NULL },
		{ "a pause", &america, "tel:2155551212p1", TN_NOT_A_NUMBER, NULL },
	};

	CHECK(cases);
}

static void nul_bytes_end_nothing(void **state)
{
	static const char tel[] = "tel:+12155551212\0", sip[] = "sip:2155551212\0@h";
	static const struct tn_case expected = { "a NUL", &america, "(with a NUL)", TN_NOT_A_NUMBER, NULL };

	check_span(&expected, (struct span){ tel, sizeof(tel) - 1 });
	check_span(&expected, (struct span){ sip, sizeof(sip) - 1 });
	check_span(&expected, (struct span){ NULL, 0 });
}

/* Each in a heap block of its own size, where a sanitizer sees every byte read too many. */
static void stays_within_every_truncation(void **state)
{
	static const char *const uris[] = {
		"sip:%2B1-215;phone-context=+1;tgrp=x:pw@anonymous.invalid:5060;user=phone?a=b",
		"tel:0;npdi;phone-context=+4420;verstat=No-TN-Validation%20",
		"urn:service:sos.police",
	};

	for (size_t u = 0; u < sizeof(uris) / sizeof(uris[0]); u++) {
		for (size_t length = 1; length <= strlen(uris[u]); length++) {
			char *block = malloc(length);
			struct tn tn;

			assert_non_null(block);
			memcpy(block, uris[u], length);
			tn_from_uri(&tn, (struct span){ block, length }, &britain);
			tn_from_text(&tn, (struct span){ block, length });
			free(block);
		}
	}
}

static void huge_uris_are_not_numbers(void **state)
{
	static const char *const starts[] = { "tel:+1", "sip:+1", "tel:+12155551212;x=", "sip:%31", "urn:" };
	const size_t size = 1 << 20;
	char *block = malloc(size);
	struct tn tn;

	assert_non_null(block);
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		memset(block, '1', size);
		memcpy(block, starts[i], strlen(starts[i]));
		memcpy(block + size - 2, "@h", 2);
		assert_int_equal(tn_from_uri(&tn, (struct span){ block, size }, &america), TN_NOT_A_NUMBER);
	}
	free(block);
}

static void long_parameters_are_no_obstacle(void **state)
{
	char uri[600];
	struct tn tn;

	memset(uri, 'x', sizeof(uri));
	memcpy(uri, "tel:+12155551212;", 17);
	assert_int_equal(tn_from_uri(&tn, (struct span){ uri, 4 + 512 }, &none), TN_NUMBER);
	assert_string_equal(tn.digits, "12155551212");
	assert_int_equal(tn_from_uri(&tn, (struct span){ uri, 4 + 513 }, &none), TN_NOT_A_NUMBER);
}

static void configuration_text_has_a_plus(void **state)
{
	static const struct {
		const char *text, *number, *prefix; /* NULL: refused */
	} cases[] = {
		{ "+12155551212", "12155551212", "12155551212" },
		{ " +1 (215) 555-1212 ", "12155551212", "12155551212" },
		{ "+6834000", "6834000", "6834000" },
		{ "+121555", NULL, "121555" },
		{ "+1", NULL, "1" },
		{ "+911", NULL, "911" },
		{ "12155551212", NULL, NULL },
		{ "2155551212", NULL, NULL },
		{ "+02155551212", NULL, NULL },
		{ "+1215555*", NULL, NULL },
		{ "+12155551212;ext=1", NULL, NULL },
		{ "%2B12155551212", NULL, NULL },
		{ "tel:+12155551212", NULL, NULL },
		{ "+12345678901234567890123456789012", NULL, NULL },
		{ "+", NULL, NULL },
		{ "", NULL, NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tn number = { "" }, prefix = { "" };

		assert_int_equal(tn_from_text(&number, span_of(cases[i].text)), cases[i].number != NULL);
		assert_string_equal(number.digits, cases[i].number == NULL ? "" : cases[i].number);
		assert_int_equal(
			tn_prefix_from_text(&prefix, span_of(cases[i].text)), cases[i].prefix != NULL);
		assert_string_equal(prefix.digits, cases[i].prefix == NULL ? "" : cases[i].prefix);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_with_a_plus_need_no_plan),
		cmocka_unit_test(parameters_of_the_number_go),
		cmocka_unit_test(country_code_1_completes),
		cmocka_unit_test(other_plans_complete),
		cmocka_unit_test(phone_context_completes),
		cmocka_unit_test(emergency_calls_stay_as_dialled),
		cmocka_unit_test(anonymous_callers_are_told_apart),
		cmocka_unit_test(all_else_is_not_a_number),
		cmocka_unit_test(nul_bytes_end_nothing),
		cmocka_unit_test(stays_within_every_truncation),
		cmocka_unit_test(huge_uris_are_not_numbers),
		cmocka_unit_test(long_parameters_are_no_obstacle),
		cmocka_unit_test(configuration_text_has_a_plus),
	};

	return cmocka_run_group_tests_name("tn", tests, NULL, NULL);
}
