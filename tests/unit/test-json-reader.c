#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json-agreement.h"

#define TEXT(text) { text, sizeof(text) - 1 }

static void expect(struct span text, bool wanted)
{
	bool accepted;

	if (!json_text_agrees(text, &accepted))
		fail_msg("read in two ways: %.*s", (int)text.length, text.at);
	if (accepted != wanted)
		fail_msg("%s: %.*s", wanted ? "refused" : "taken", (int)text.length, text.at);
}

static void test_takes_json(void **state)
{
	static const struct span texts[] = {
		TEXT("{}"), TEXT("[]"), TEXT(" \t\r\n{ } \n"), TEXT("\"\""), TEXT("0"), TEXT("-0"), TEXT("true"),
		TEXT("false"), TEXT("null"), TEXT("[1,[2,[3]],{\"a\":{}}]"), TEXT("{\"\":1}"), TEXT("{\"a\":1,\"A\":1}"),
		TEXT("{\"a\":{\"a\":1},\"b\":{\"a\":1}}"), TEXT("[{\"a\":1},{\"a\":1}]"),
		TEXT("9223372036854775807"), TEXT("-9223372036854775808"), TEXT("-1"), TEXT("10"), TEXT("0.5"), TEXT("-0.0"),
		TEXT("1e5"), TEXT("1E+5"), TEXT("1e-5"), TEXT("0e0"), TEXT("1.7976931348623157e308"), TEXT("1e-999"),
		TEXT("123456789012345678901234567890.0"),
		TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), TEXT("\"\\u0001\\u007f\\u0080\\u07ff\\u0800\\uFFFF\\uabCD\""),
		TEXT("\"\\ud800\\udc00\\udbff\\udfff\""), TEXT("\"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\""),
		TEXT("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\xef\xbf\xbf\""), TEXT("[[[[[[[[]]]]]]]]"),
		TEXT("{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"j\":10,\"k\":11,\"l\":12,"
		     "\"m\":13,\"n\":14,\"o\":15,\"aa\":16}"),
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		expect(texts[i], true);
}

static void test_refuses_what_is_none(void **state)
{
	static const struct span texts[] = {
		TEXT(""), TEXT(" "), TEXT("{"), TEXT("}"), TEXT("["), TEXT("]"), TEXT("{]"), TEXT("[}"), TEXT("{,}"), TEXT("[,]"),
		TEXT("{}{}"), TEXT("{} x"), TEXT("1 2"), TEXT("[1 2]"), TEXT("[1,]"), TEXT("{\"a\":1,}"), TEXT("{\"a\"}"),
		TEXT("{\"a\":}"), TEXT("{\"a\" 1}"), TEXT("{\"a\":1 \"b\":2}"), TEXT("{a:1}"), TEXT("{1:1}"), TEXT("{null:1}"),
		TEXT("{'a':1}"), TEXT("{}\0"), TEXT("\0{}"), TEXT("{\0}"), TEXT("\f{}"), TEXT("\v{}"), TEXT("\xc2\xa0{}"),
		TEXT("\xef\xbb\xbf{}"), TEXT("{/**/}"), TEXT("[1]//"),
		TEXT("01"), TEXT("-01"), TEXT("+1"), TEXT("-"), TEXT("--1"), TEXT("1."), TEXT(".5"), TEXT("1.e5"), TEXT("1e"),
		TEXT("1e+"), TEXT("1e5.5"), TEXT("0x1p5"), TEXT("0x10"), TEXT("1_0"), TEXT("NaN"), TEXT("Infinity"), TEXT("-Infinity"),
		TEXT("9223372036854775808"), TEXT("-9223372036854775809"), TEXT("92233720368547758070"), TEXT("1e999"),
		TEXT("-1.8e308"),
		TEXT("True"), TEXT("tru"), TEXT("truex"), TEXT("nul"), TEXT("nullnull"), TEXT("[true false]"),
		TEXT("\""), TEXT("\"a"), TEXT("\"\\"), TEXT("\"\\\""), TEXT("\"\\x41\""), TEXT("\"\\'\""), TEXT("\"\\U0041\""),
		TEXT("\"\\u\""), TEXT("\"\\u123\""), TEXT("\"\\u123g\""), TEXT("\"\\u 123\""), TEXT("\"\\u0000\""), TEXT("\"a\0b\""),
		TEXT("\"\n\""), TEXT("\"\x1f\""), TEXT("\"\\ud800\""), TEXT("\"\\udc00\""), TEXT("\"\\ud800x\""),
		TEXT("\"\\ud800\\n\""), TEXT("\"\\ud800\\u0041\""), TEXT("\"\\ud800\\ud800\""), TEXT("\"\\ud800\\udc0\""),
		TEXT("\"\\udc00\\ud800\""),
		TEXT("\"\x80\""), TEXT("\"\xc0\xae\""), TEXT("\"\xc1\xbf\""), TEXT("\"\xc3\""), TEXT("\"\xc3\x28\""),
		TEXT("\"\xe0\x9f\xbf\""), TEXT("\"\xed\xa0\x80\""), TEXT("\"\xe2\x82\""), TEXT("\"\xf0\x8f\xbf\xbf\""),
		TEXT("\"\xf4\x90\x80\x80\""), TEXT("\"\xf5\x80\x80\x80\""), TEXT("\"\xff\""), TEXT("\"\xf0\x90\x80"),
		TEXT("{\"a\":1,\"a\":2}"), TEXT("{\"\":1,\"\":1}"), TEXT("{\"a\":1,\"\\u0061\":1}"), TEXT("[{\"b\":{\"a\":1,\"a\":1}}]"),
		TEXT("{\"a\":{\"b\":1},\"a\":{}}"), TEXT("[[[[[[[[[]]]]]]]]]"), TEXT("{\"a\":[[[[[[[{}]]]]]]]}"),
		TEXT("{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"j\":10,\"k\":11,\"l\":12,"
		     "\"m\":13,\"n\":14,\"h\":15,\"aa\":16}"),
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		expect(texts[i], false);
}

static const char rich[] =
	" {\"attest\":\"A\",\"dest\" :{\"tn\":[\"12155550131\",\"\\u002b1\"]},\"iat\":1443208345, \"orig\":{\"tn\":\"1215\"},"
	"\"x\":[-0.5e+1,true,null,{\"\\ud83d\\ude00\":\"\xe2\x82\xac\\n\"}]}\n";

static void test_every_truncation(void **state)
{
	for (size_t length = 0; length + 2 < sizeof rich; length++)
		expect((struct span){ rich, length }, false);
	expect(span_of(rich), true);
}

/* Whatever one octet is turned into, or with one left out. */
static void test_every_mutation_is_read_as_others_read_it(void **state)
{
	for (size_t i = 0; i + 1 < sizeof rich; i++) {
		char text[sizeof rich];
		bool accepted;

		memcpy(text, rich, sizeof rich);
		for (int c = 0; c < 256; c++) {
			text[i] = (char)c;
			if (!json_text_agrees((struct span){ text, sizeof rich - 1 }, &accepted))
				fail_msg("octet %zu as %02x", i, (unsigned)c);
		}
		memcpy(text + i, rich + i + 1, sizeof rich - i - 1);
		if (!json_text_agrees((struct span){ text, sizeof rich - 2 }, &accepted))
			fail_msg("without octet %zu", i);
	}
}

/* As many names as a text can have, all different; then the last is the first once more. */
static void test_names_without_end(void **state)
{
	static char text[JSON_TEXT_MAX + 2];
	struct span all = { text, 0 };
	int last = 0;

	for (int n = 0; all.length + 16 < JSON_TEXT_MAX; n++) {
		last = (int)all.length;
		all.length += (size_t)sprintf(text + all.length, "%s\"%x\":1", n == 0 ? "{" : ",", n);
	}
	text[all.length++] = '}';
	expect(all, true);
	all.length = (size_t)last + (size_t)sprintf(text + last, ",\"0\":1}");
	expect(all, false);

	all.length = 0;
	for (int n = 0; all.length + 16 < JSON_TEXT_MAX; n++)
		all.length += (size_t)sprintf(text + all.length, "%s\"\":1", n == 0 ? "{" : ",");
	text[all.length++] = '}';
	expect(all, false);
}

static void test_a_text_is_bounded(void **state)
{
	static char text[JSON_TEXT_MAX + 2], room[JSON_ROOM(JSON_TEXT_MAX + 1)];
	struct json_reader reader;

	memset(text, ' ', sizeof text);
	text[0] = '0';
	for (size_t length = JSON_TEXT_MAX; length <= JSON_TEXT_MAX + 1; length++) {
		json_reader_begin(&reader, (struct span){ text, length }, room);
		json_reader_take(&reader);
		assert_int_equal(json_reader_end(&reader), length == JSON_TEXT_MAX);
	}
}

static void test_nothing_follows_a_fault(void **state)
{
	char room[64];
	struct json_reader reader;
	struct json_level object;
	struct span name;

	json_reader_begin(&reader, span_of("{\"a\":x,\"b\":1}"), room);
	assert_false(json_reader_enter(&reader, &object, '['));
	assert_true(json_reader_enter(&reader, &object, '{'));
	assert_true(json_reader_member(&reader, &object, &name));
	assert_true(span_is(name, "a"));
	assert_int_equal(json_reader_take(&reader).kind, JSON_KIND_OTHER);
	assert_false(json_reader_member(&reader, &object, &name));
	assert_false(json_reader_enter(&reader, &object, '{'));
	assert_false(json_reader_item(&reader, &object));
	assert_false(json_reader_end(&reader));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_takes_json),
		cmocka_unit_test(test_refuses_what_is_none),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_every_mutation_is_read_as_others_read_it),
		cmocka_unit_test(test_names_without_end),
		cmocka_unit_test(test_a_text_is_bounded),
		cmocka_unit_test(test_nothing_follows_a_fault),
	};

	return cmocka_run_group_tests_name("json_reader", tests, NULL, NULL);
}
