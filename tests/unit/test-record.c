#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "stirrup/clock.h"
#include "stirrup/record.h"

static const struct record full = {
	.time_us = 1795545681234567,
	.node = "as1",
	.call_id = { "a84b4c76e66710@192.0.2.7", 24 },
	.peer = "core",
	.source = "192.0.2.7:5060",
	.service = "sign",
	.mode = "redirect",
	.customer = "acme",
	.orig = "12155551212",
	.dest = "12155551213",
	.attest = 'A',
	.origid = "123e4567-e89b-12d3-a456-426655440000",
	.iat = 1795545681,
	.credential = "alpha",
	.x5u = "https://certs.example.net/alpha.pem",
	.spc = "1234",
	.result = "signed",
	.reason = NULL,
	.cause = "none",
	.rule = "customer acme: number in the table",
	.status = 302,
	.next_hop = "sip:198.51.100.7:5060",
	.final.status = 302,
	.microseconds = 187,
};

static const char full_line[] =
	"{\"v\":1,\"time\":\"2026-11-24T18:41:21.234Z\",\"node\":\"as1\",\"call_id\":\"a84b4c76e66710@192.0.2.7\","
	"\"peer\":\"core\",\"source\":\"192.0.2.7:5060\",\"service\":\"sign\",\"mode\":\"redirect\","
	"\"customer\":\"acme\",\"orig\":\"12155551212\",\"dest\":[\"12155551213\"],\"attest\":\"A\","
	"\"origid\":\"123e4567-e89b-12d3-a456-426655440000\",\"iat\":1795545681,\"credential\":\"alpha\","
	"\"x5u\":\"https://certs.example.net/alpha.pem\",\"spc\":\"1234\",\"result\":\"signed\",\"reason\":null,"
	"\"cause\":\"none\",\"rule\":\"customer acme: number in the table\",\"status\":302,"
	"\"next_hop\":\"sip:198.51.100.7:5060\",\"final_status\":302,\"rejected_by\":null,\"rejection\":null,\"note\":null,\"removed\":[],\"identities\":[],"
	"\"cache\":null,\"microseconds\":187}\n";

static const char empty_line[] =
	"{\"v\":1,\"time\":\"1970-01-01T00:00:00.000Z\",\"node\":null,\"call_id\":null,\"peer\":null,\"source\":null,"
	"\"service\":null,\"mode\":null,\"customer\":null,\"orig\":null,\"dest\":[],\"attest\":null,\"origid\":null,"
	"\"iat\":null,\"credential\":null,\"x5u\":null,\"spc\":null,\"result\":null,\"reason\":null,\"cause\":null,"
	"\"rule\":null,\"status\":null,\"next_hop\":null,\"final_status\":null,\"rejected_by\":null,\"rejection\":null,\"note\":null,\"removed\":[],\"identities\":[],"
	"\"cache\":null,\"microseconds\":0}\n";

static void assert_line(const struct record *record, const char *expected)
{
	char line[RECORD_MAX];
	size_t length = record_write(line, sizeof line, record);

	assert_int_equal(length, strlen(expected));
	assert_memory_equal(line, expected, length);
}

static void every_field_stands_in_its_place(void **state)
{
	assert_line(&full, full_line);
}

static void what_is_absent_is_null(void **state)
{
	struct record empty = { 0 };

	assert_line(&empty, empty_line);
	empty.node = empty.dest = empty.origid = "";
	empty.call_id = (struct span){ "x", 0 };
	assert_line(&empty, empty_line);
}

static void a_refusal_says_whose_it_is_and_why(void **state)
{
	static const struct {
		const char *behaviour;
		struct record_final final;
		const char *text;
	} cases[] = {
#define SPAN(literal) { literal, sizeof(literal) - 1 }
#define NONE { NULL, 0 }
		{ "an answer is no refusal", { 200, SPAN("192.0.2.9:5060"), NONE, NONE },
			"\"final_status\":200,\"rejected_by\":null,\"rejection\":null,\"note\":null" },
		{ "what is said of it is a note", { 200, SPAN("192.0.2.9:5060"), SPAN("a \"note\""), NONE },
			"\"final_status\":200,\"rejected_by\":null,\"rejection\":null,\"note\":\"a \\\"note\\\"\"" },
		{ "300 is one", { 300, SPAN("192.0.2.9:5060"), SPAN("300 Multiple Choices"), NONE },
			"\"final_status\":300,\"rejected_by\":\"192.0.2.9:5060\",\"rejection\":\"300 Multiple Choices\",\"note\":null" },
		{ "phrase and Reason are escaped", { 438, SPAN("[2001:db8::9]:5060"), SPAN("438 \"Invalid\"\r\n\x80"), NONE },
			"\"final_status\":438,\"rejected_by\":\"[2001:db8::9]:5060\","
			"\"rejection\":\"438 \\\"Invalid\\\"\\u000d\\u000a\xef\xbf\xbd\",\"note\":null" },
		{ "ours is nobody's", { 408, NONE, NONE, NONE },
			"\"final_status\":408,\"rejected_by\":null,\"rejection\":null,\"note\":null" },
		{ "none is none", { 0, SPAN("192.0.2.9:5060"), NONE, NONE }, RECORD_NO_FINAL },
		{ "what was noted before it stands beside a refusal", { 486, SPAN("192.0.2.9:5060"), SPAN("486 Busy"), SPAN("180 \"x\"") },
			"\"final_status\":486,\"rejected_by\":\"192.0.2.9:5060\",\"rejection\":\"486 Busy\",\"note\":\"180 \\\"x\\\"\"" },
		{ "and before the note of an answer", { 200, SPAN("192.0.2.9:5060"), SPAN("kept in memory"), SPAN("180 x") },
			"\"final_status\":200,\"rejected_by\":null,\"rejection\":null,\"note\":\"180 x; kept in memory\"" },
		{ "and stands alone where nothing else comes", { 0, NONE, NONE, SPAN("180 x") },
			"\"final_status\":null,\"rejected_by\":null,\"rejection\":null,\"note\":\"180 x\"" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char text[RECORD_FINAL_MAX];
		size_t length = record_write_final(text, sizeof text, &cases[i].final);

		if (length != strlen(cases[i].text) || memcmp(text, cases[i].text, length) != 0)
			fail_msg("%s: %.*s", cases[i].behaviour, (int)length, text);
	}
}

static void whatever_a_next_hop_says_fits(void **state)
{
	static char junk[70000];
	char text[RECORD_FINAL_MAX], member[RECORD_FINAL_MAX + 2];
	const struct span all = { junk, sizeof junk };
	struct record_final final = { .by = all, .why = all, .note = all };

	for (int octet = 0; octet < 512; octet++) {
		bool refused = octet < 256;
		size_t length;
		json_t *json;

		memset(junk, octet, sizeof junk);
		final.status = refused ? 603 : 200;
		length = record_write_final(text, sizeof text, &final);
		assert_true(length > 0);
		snprintf(member, sizeof member, "{%.*s}", (int)length, text);
		json = json_loads(member, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
		assert_non_null(json);
		assert_true(!refused || json_string_length(json_object_get(json, "rejection")) >= RECORD_REJECTION_MAX);
		assert_true(json_string_length(json_object_get(json, "note")) >= (refused ? 1 : 2) * RECORD_NOTE_MAX);
		json_decref(json);
	}
}

static void an_open_line_is_the_line_without_its_end(void **state)
{
	struct record open = full;
	char line[RECORD_MAX], expected[RECORD_MAX];
	struct span hole;
	size_t length = record_write_open(line, sizeof line, &full, &hole);

	open.final = (struct record_final){ 0 };
	assert_int_equal(length, record_write(expected, sizeof expected, &open));
	assert_memory_equal(line, expected, length);
	assert_true(span_is(hole, RECORD_NO_FINAL));
	assert_true(hole.at > line && hole.at + hole.length < line + length);
	for (size_t size = 0; size < length; size++)
		assert_int_equal(record_write_open(line, size, &full, &hole), 0);
}

static void a_line_that_does_not_fit_is_not_begun(void **state)
{
	char line[sizeof full_line + 16];
	size_t exact = sizeof full_line - 1;

	for (size_t size = 0; size < exact; size++) {
		memset(line, '#', sizeof line);
		assert_int_equal(record_write(line, size, &full), 0);
		for (size_t i = size; i < sizeof line; i++)
			assert_int_equal(line[i], '#');
	}
	assert_int_equal(record_write(line, exact, &full), exact);
}

static void time_is_utc_with_milliseconds(void **state)
{
	static const struct {
		int64_t us;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 999, "1970-01-01T00:00:00.000Z" },
		{ 951782399999999, "2000-02-28T23:59:59.999Z" },
		{ 951782400000000, "2000-02-29T00:00:00.000Z" },
		{ 951868800000000, "2000-03-01T00:00:00.000Z" },
		{ 1835395199000000, "2028-02-28T23:59:59.000Z" },
		{ 1835395200001000, "2028-02-29T00:00:00.001Z" },
		{ 1835481600000000, "2028-03-01T00:00:00.000Z" },
		{ 1830297599500000, "2027-12-31T23:59:59.500Z" },
		{ 1830297600000000, "2028-01-01T00:00:00.000Z" },
		{ 4107542400000000, "2100-03-01T00:00:00.000Z" },
		{ 2147483648000000, "2038-01-19T03:14:08.000Z" },
		{ 253402300799999999, "9999-12-31T23:59:59.000Z" },
		{ INT64_MAX, "9999-12-31T23:59:59.000Z" },
		{ -1, "1970-01-01T00:00:00.000Z" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct record record = { .time_us = cases[i].us };
		char line[RECORD_MAX];

		assert_true(record_write(line, sizeof line, &record) > 0);
		assert_memory_equal(line + 15, cases[i].text, 24);
	}
}

static void time_agrees_with_the_c_library_on_every_day(void **state)
{
	for (int64_t day = 0; day < 80000; day++) {
		struct record record = { .time_us = day * 86400000000LL + 43200000000LL };
		time_t seconds = (time_t)(record.time_us / 1000000);
		char line[RECORD_MAX], expected[32];
		struct tm tm;

		gmtime_r(&seconds, &tm);
		strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
		assert_true(record_write(line, sizeof line, &record) > 0);
		assert_memory_equal(line + 15, expected, 24);
	}
}

static void strings_are_valid_json_whatever_they_hold(void **state)
{
	static const struct {
		const char *behaviour;
		struct span text;
		const char *json;
	} cases[] = {
#define TEXT(literal) { literal, sizeof(literal) - 1 }
#define BAD "\xef\xbf\xbd"
		{ "escapes quote and backslash", TEXT("a\"b\\c"), "\"a\\\"b\\\\c\"" },
		{ "escapes line ends", TEXT("a\r\n\tb"), "\"a\\u000d\\u000a\\u0009b\"" },
		{ "escapes NUL and DEL", TEXT("\0x\x7f"), "\"\\u0000x\\u007f\"" },
		{ "escapes C1 controls", TEXT("\xc2\x9b"), "\"\\u009b\"" },
		{ "keeps two octets", TEXT("\xc3\xa9"), "\"\xc3\xa9\"" },
		{ "keeps three octets", TEXT("\xe2\x82\xac"), "\"\xe2\x82\xac\"" },
		{ "keeps four octets", TEXT("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\"" },
		{ "keeps the last code point", TEXT("\xf4\x8f\xbf\xbf"), "\"\xf4\x8f\xbf\xbf\"" },
		{ "refuses what lies above it", TEXT("\xf4\x90\x80\x80"), "\"" BAD BAD BAD BAD "\"" },
		{ "refuses a surrogate", TEXT("\xed\xa0\x80"), "\"" BAD BAD BAD "\"" },
		{ "refuses overlong slash", TEXT("\xc0\xaf"), "\"" BAD BAD "\"" },
		{ "refuses overlong three", TEXT("\xe0\x80\xaf"), "\"" BAD BAD BAD "\"" },
		{ "refuses overlong four", TEXT("\xf0\x80\x80\xaf"), "\"" BAD BAD BAD BAD "\"" },
		{ "refuses a lone continuation", TEXT("a\x80z"), "\"a" BAD "z\"" },
		{ "refuses a sequence cut short", TEXT("a\xe2\x82"), "\"a" BAD BAD "\"" },
		{ "refuses a sequence cut by ASCII", TEXT("\xe2\x82z"), "\"" BAD BAD "z\"" },
		{ "refuses Latin-1", TEXT("caf\xe9"), "\"caf" BAD "\"" },
		{ "refuses 0xff", TEXT("\xff\xfe"), "\"" BAD BAD "\"" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct record record = { .call_id = cases[i].text };
		char line[RECORD_MAX], member[128];
		size_t length = record_write(line, sizeof line - 1, &record);

		assert_true(length > 0);
		line[length] = '\0';
		snprintf(member, sizeof member, ",\"call_id\":%s,\"peer\"", cases[i].json);
		if (strstr(line, member) == NULL)
			fail_msg("%s: %s", cases[i].behaviour, line);
	}
}

static void any_octets_make_one_line_that_a_json_parser_takes(void **state)
{
	char junk[600];
	uint32_t seed = 1;

	for (int round = 0; round < 2000; round++) {
		char line[RECORD_MAX];
		struct record record = full;
		size_t length;
		json_t *json;

		for (size_t i = 0; i < sizeof junk; i++) {
			seed = seed * 1103515245 + 12345;
			junk[i] = (char)(seed >> 16);
		}
		record.call_id = (struct span){ junk, 1 + (size_t)round % sizeof junk };
		length = record_write(line, sizeof line, &record);
		assert_true(length > 0);
		assert_ptr_equal(memchr(line, '\n', length), line + length - 1);
		json = json_loadb(line, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
		assert_non_null(json);
		json_decref(json);
	}
}

static void a_huge_string_is_cut_and_the_record_kept(void **state)
{
	static char huge[70000];
	static const char *const fill[] = { "a", "\x01", "\xff", "\xf0\x9f\x98\x80", "ab\xe2\x82\xac" };

	for (size_t f = 0; f < sizeof fill / sizeof fill[0]; f++) {
		struct record record = full;
		char line[RECORD_MAX];
		size_t step = strlen(fill[f]), length;
		json_t *json;

		for (size_t i = 0; i + step <= sizeof huge; i += step)
			memcpy(huge + i, fill[f], step);
		record.call_id = (struct span){ huge, sizeof huge };
		length = record_write(line, sizeof line, &record);
		assert_true(length > 0);
		json = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(json);
		if (f == 0)
			assert_int_equal(json_string_length(json_object_get(json, "call_id")), RECORD_STRING_MAX);
		json_decref(json);
	}
}

static void costs_little(void **state)
{
	enum { ROUNDS = 200000 };
	char line[RECORD_MAX];
	size_t total = 0;
	int64_t start = monotonic_us();

	for (int i = 0; i < ROUNDS; i++)
		total += record_write(line, sizeof line, &full);
	assert_int_equal(total, ROUNDS * (sizeof full_line - 1));
	print_message("%.2f us a record\n", (double)(monotonic_us() - start) / ROUNDS);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_stands_in_its_place),
		cmocka_unit_test(what_is_absent_is_null),
		cmocka_unit_test(a_refusal_says_whose_it_is_and_why),
		cmocka_unit_test(whatever_a_next_hop_says_fits),
		cmocka_unit_test(an_open_line_is_the_line_without_its_end),
		cmocka_unit_test(a_line_that_does_not_fit_is_not_begun),
		cmocka_unit_test(time_is_utc_with_milliseconds),
		cmocka_unit_test(time_agrees_with_the_c_library_on_every_day),
		cmocka_unit_test(strings_are_valid_json_whatever_they_hold),
		cmocka_unit_test(any_octets_make_one_line_that_a_json_parser_takes),
		cmocka_unit_test(a_huge_string_is_cut_and_the_record_kept),
		cmocka_unit_test(costs_little),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
