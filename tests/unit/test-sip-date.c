#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stirrup/sip_date.h"

static void reads_and_writes_the_same_second(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} cases[] = {
		{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
		{ "Sat, 13 Nov 2010 23:29:00 GMT", 1289690940 }, /* RFC 3261, section 20.17 */
		{ "Thu, 29 Feb 2024 23:59:59 GMT", 1709251199 },
		{ "Fri, 01 Mar 2024 00:00:00 GMT", 1709251200 },
		{ "Sun, 31 Mar 2024 12:00:00 GMT", 1711886400 }, /* Sofia-SIP: "32 Mar" */
		{ "Mon, 01 Apr 2024 00:00:00 GMT", 1711929600 },
		{ "Tue, 31 Dec 2024 23:59:59 GMT", 1735689599 },
		{ "Wed, 15 Mar 2028 00:00:00 GMT", 1836691200 },
		{ "Tue, 19 Jan 2038 03:14:08 GMT", 2147483648 },
		{ "Mon, 01 Mar 2100 00:00:00 GMT", 4107542400 }, /* no leap year */
		{ "Tue, 29 Feb 2000 00:00:00 GMT", 951782400 },
		{ "Fri, 31 Dec 9999 23:59:59 GMT", 253402300799 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[SIP_DATE_SIZE];
		int64_t seconds = -1;

		assert_true(sip_date_parse(span_of(cases[i].text), &seconds));
		assert_int_equal(seconds, cases[i].seconds);
		sip_date_format(out, cases[i].seconds);
		assert_string_equal(out, cases[i].text);
	}
}

static void accepts(void **state)
{
	static const struct {
		const char *behaviour, *text;
	} cases[] = {
		{ "white space of a folded header around it", "\r\n Sun, 06 Nov 1994 08:49:37 GMT \t" },
		{ "a weekday that is not that day's", "Mon, 06 Nov 1994 08:49:37 GMT" },
		{ "names in any letter case", "sun, 06 NOV 1994 08:49:37 gmt" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t seconds = -1;

		if (!sip_date_parse(span_of(cases[i].text), &seconds) || seconds != 784111777)
			fail_msg("does not accept %s", cases[i].behaviour);
	}
}

static void refuses(void **state)
{
	static const struct {
		const char *behaviour, *text;
	} cases[] = {
		{ "nothing", "" },
		{ "another zone", "Sun, 06 Nov 1994 08:49:37 UTC" },
		{ "a numeric zone", "Sun, 06 Nov 1994 08:49:37 +0000" },
		{ "no zone", "Sun, 06 Nov 1994 08:49:37" },
		{ "no weekday", "06 Nov 1994 08:49:37 GMT" },
		{ "an unknown weekday", "Foo, 06 Nov 1994 08:49:37 GMT" },
		{ "an unknown month", "Sun, 06 Foo 1994 08:49:37 GMT" },
		{ "day 0", "Sun, 00 Nov 1994 08:49:37 GMT" },
		{ "day 31 of a short month", "Sun, 31 Nov 1994 08:49:37 GMT" },
		{ "day 32", "Sun, 32 Mar 2024 08:49:37 GMT" },
		{ "29 February of a common year", "Sun, 29 Feb 2023 08:49:37 GMT" },
		{ "29 February of 2100", "Sun, 29 Feb 2100 08:49:37 GMT" },
		{ "hour 24", "Sun, 06 Nov 1994 24:00:00 GMT" },
		{ "minute 60", "Sun, 06 Nov 1994 08:60:00 GMT" },
		{ "second 60", "Sun, 06 Nov 1994 08:49:60 GMT" },
		{ "year 0", "Sun, 06 Nov 0000 08:49:37 GMT" },
		{ "a day of one digit", "Sun, 6 Nov 1994 08:49:37 GMT" },
		{ "a day of a space and a digit", "Sun,  6 Nov 1994 08:49:37 GMT" },
		{ "a sign", "Sun, +6 Nov 1994 08:49:37 GMT" },
		{ "a year of two digits", "Sunday, 06-Nov-94 08:49:37 GMT" },
		{ "asctime's form", "Sun Nov  6 08:49:37 1994" },
		{ "other separators", "Sun, 06 Nov 1994 08.49.37 GMT" },
		{ "something behind it", "Sun, 06 Nov 1994 08:49:37 GMT+1" },
		{ "seconds since 1970", "784111777" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t seconds = 42;

		if (sip_date_parse(span_of(cases[i].text), &seconds))
			fail_msg("accepts %s", cases[i].behaviour);
		assert_int_equal(seconds, 42);
	}
}

static void refuses_every_truncation_and_every_wrong_byte(void **state)
{
	static const char whole[] = "Sun, 06 Nov 1994 08:49:37 GMT";
	int64_t seconds;

	for (size_t length = 0; length < sizeof(whole) - 1; length++) {
		char *cut = malloc(length + 1);

		assert_non_null(cut);
		memcpy(cut, whole, length);
		cut = realloc(cut, length > 0 ? length : 1);
		assert_non_null(cut);
		assert_false(sip_date_parse((struct span){ cut, length }, &seconds));
		free(cut);
	}
	for (size_t i = 0; i < sizeof(whole) - 1; i++) {
		char text[sizeof(whole)];

		memcpy(text, whole, sizeof(whole));
		text[i] = '\0';
		assert_false(sip_date_parse((struct span){ text, sizeof(whole) - 1 }, &seconds));
		text[i] = '\xb2';
		assert_false(sip_date_parse((struct span){ text, sizeof(whole) - 1 }, &seconds));
	}
}

static void every_day_of_eight_centuries_comes_back(void **state)
{
	for (int64_t day = 0; day < 365 * 800; day++) {
		char out[SIP_DATE_SIZE];
		int64_t seconds = -1;

		sip_date_format(out, day * 86400 + 86399);
		assert_true(sip_date_parse(span_of(out), &seconds));
		assert_int_equal(seconds, day * 86400 + 86399);
	}
}

static void writes_the_nearest_date_for_a_clock_out_of_range(void **state)
{
	char out[SIP_DATE_SIZE];

	sip_date_format(out, INT64_MIN);
	assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
	sip_date_format(out, INT64_MAX);
	assert_string_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_and_writes_the_same_second),
		cmocka_unit_test(accepts),
		cmocka_unit_test(refuses),
		cmocka_unit_test(refuses_every_truncation_and_every_wrong_byte),
		cmocka_unit_test(every_day_of_eight_centuries_comes_back),
		cmocka_unit_test(writes_the_nearest_date_for_a_clock_out_of_range),
	};

	return cmocka_run_group_tests_name("sip-date", tests, NULL, NULL);
}
