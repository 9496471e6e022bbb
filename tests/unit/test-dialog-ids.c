#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stirrup/dialog_ids.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define ODD "a!%`<\"(:?{}[]/\\>~@b"

static char out[8192], one_tag[32], other_tag[32];
static int asked;

/* Knows one call, and one with an odd Call-ID. */
static bool translate(struct span call_id, struct span one, struct span other, struct span *found, void *context)
{
	assert_string_equal(context, "context");
	assert_true(span_copy(one_tag, sizeof one_tag, one) && span_copy(other_tag, sizeof other_tag, other));
	asked++;
	if (span_is(call_id, "known@host"))
		*found = span_of("stOther-1");
	else if (span_is(call_id, ODD))
		*found = span_of("x+y@z%");
	else
		return false;
	return true;
}

static bool replaces(struct span *changed, enum header_kind kind, const char *value)
{
	asked = 0;
	one_tag[0] = other_tag[0] = '\0';
	return dialog_ids_replace(changed, out, sizeof out, kind, span_of(value), translate, (char *)"context");
}

static void translates_what_is_known(void **state)
{
	static const struct {
		enum header_kind kind;
		const char *value, *changed, *one, *other;
	} cases[] = {
		{ HEADER_REPLACES, "known@host;from-tag=f;to-tag=t", "stOther-1;from-tag=f;to-tag=t", "f", "t" },
		{ HEADER_REPLACES, "known@host \r\n ; To-Tag = t ;early-only; FROM-TAG=0;x=\"a;b\"",
			"stOther-1 \r\n ; To-Tag = t ;early-only; FROM-TAG=0;x=\"a;b\"", "0", "t" },
		{ HEADER_REPLACES, ODD ";to-tag=t", "x+y@z%;to-tag=t", "", "t" },
		{ HEADER_JOIN, "known@host;from-tag=f;to-tag=t", "stOther-1;from-tag=f;to-tag=t", "f", "t" },
		{ HEADER_TARGET_DIALOG, "known@host;local-tag=l;remote-tag=r", "stOther-1;local-tag=l;remote-tag=r", "l", "r" },
		{ HEADER_IN_REPLY_TO, "known@host", "stOther-1", "", "" },
		{ HEADER_IN_REPLY_TO, "70710@saturn,\r\n known@host , " ODD ",17320@saturn",
			"70710@saturn,\r\n stOther-1 , x+y@z%,17320@saturn", "", "" },
		{ HEADER_REFER_TO, "<sip:bob@b.example?Replaces=known%40host%3Bto-tag%3Dt%3bfrom-tag%3Df>",
			"<sip:bob@b.example?Replaces=stOther-1%3Bto-tag%3Dt%3Bfrom-tag%3Df>", "f", "t" },
		{ HEADER_REFER_TO,
			"\"B?\" <sip:b?o=b@b.example;x=1?Subject=a%20b&rePLACES=known%40host%3Bto-tag%3Dt&Require=replaces> ;x=\"?\"",
			"\"B?\" <sip:b?o=b@b.example;x=1?Subject=a%20b&rePLACES=stOther-1%3Bto-tag%3Dt&Require=replaces> ;x=\"?\"", "",
			"t" },
		{ HEADER_REFER_TO, "sip:b.example?Join=a%21%25%60%3C%22(%3A%3F%7B%7D%5B%5D%2F%5C%3E~%40b",
			"sip:b.example?Join=x%2By%40z%25", "", "" },
		{ HEADER_REFER_TO, "<sip:b@h?In-Reply-To=known%40host%2C%20x&Target-Dialog=known@host>",
			"<sip:b@h?In-Reply-To=stOther-1%2C%20x&Target-Dialog=stOther-1>", "", "" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct span changed;

		assert_true(replaces(&changed, cases[i].kind, cases[i].value));
		assert_int_equal(changed.length, strlen(cases[i].changed));
		assert_memory_equal(changed.at, cases[i].changed, changed.length);
		if (cases[i].kind != HEADER_IN_REPLY_TO) {
			assert_string_equal(one_tag, cases[i].one);
			assert_string_equal(other_tag, cases[i].other);
		}
	}
}

static void what_is_not_known_stays(void **state)
{
	static const struct {
		enum header_kind kind;
		const char *value;
	} cases[] = {
		{ HEADER_REPLACES, "" },
		{ HEADER_REPLACES, ";to-tag=t" },
		{ HEADER_REPLACES, "unknown@host;to-tag=t;from-tag=f" },
		{ HEADER_REPLACES, "known@hos;to-tag=t" },
		{ HEADER_REPLACES, "KNOWN@host;to-tag=t" },
		{ HEADER_REPLACES, "known@host, known@host" },
		{ HEADER_REPLACES, "known@host x" },
		{ HEADER_IN_REPLY_TO, ", ,\r\n ," },
		{ HEADER_IN_REPLY_TO, "known@host;x" },
		{ HEADER_REFER_TO, "" },
		{ HEADER_REFER_TO, "*" },
		{ HEADER_REFER_TO, "<sip:b@h>" },
		{ HEADER_REFER_TO, "<sip:b@h?>" },
		{ HEADER_REFER_TO, "<sip:b@h?Replaces>" },
		{ HEADER_REFER_TO, "<sip:b@h?Replaces=>" },
		{ HEADER_REFER_TO, "<sip:b@h?Replaces=known%40host%3" },
		{ HEADER_REFER_TO, "<sip:b@h?Replaces=known%40host%3>" },
		{ HEADER_REFER_TO, "<sip:b@h?Replaces=known%4xhost>" },
		{ HEADER_REFER_TO, "<sip:b@h?Replaced=known%40host>" },
		{ HEADER_REFER_TO, "<sip:b?Replaces=known%40host@h>" },
		{ HEADER_REFER_TO, "<sip:b@h>;x=\"?Replaces=known%40host\"" },
		{ HEADER_REFER_TO, "<sip:b@h?&&=&Replaces=unknown>" },
		{ HEADER_CALL_ID, "known@host" },
		{ HEADER_OTHER, "known@host" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct span changed = { NULL, 0 };

		assert_false(replaces(&changed, cases[i].kind, cases[i].value));
		assert_null(changed.at);
	}
	assert_false(replaces(&(struct span){ NULL, 0 }, HEADER_REPLACES, "; x"));
	assert_int_equal(asked, 0);
}

static void nul_is_a_byte_like_others(void **state)
{
	static const char value[] = "known@host\0;to-tag=t", param[] = "known@host;x=\"\0\"";
	struct span changed;

	assert_false(dialog_ids_replace(&changed, out, sizeof out, HEADER_REPLACES, (struct span){ value, sizeof value - 1 },
		translate, (char *)"context"));
	assert_true(dialog_ids_replace(&changed, out, sizeof out, HEADER_REPLACES, (struct span){ param, sizeof param - 1 },
		translate, (char *)"context"));
	assert_int_equal(changed.length, sizeof param - 2);
	assert_memory_equal(changed.at, "stOther-1;x=\"\0\"", changed.length);
}

/* Each prefix stands in a block of its own, so that a sanitizer sees a read behind it. */
static void reads_and_writes_nothing_behind_an_end(void **state)
{
	static const char text[] = "<sip:bob@b.example?Replaces=known%40host%3Bto-tag%3Dt>";
	static const char whole[] = "<sip:bob@b.example?Replaces=stOther-1%3Bto-tag%3Dt>";
	struct span changed;

	for (int kind = HEADER_VIA; kind <= HEADER_OTHER; kind++) {
		for (size_t length = 0; length < sizeof text; length++) {
			char *copy = malloc(length > 0 ? length : 1);

			memcpy(copy, text, length);
			dialog_ids_replace(&changed, out, sizeof out, (enum header_kind)kind, (struct span){ copy, length },
				translate, (char *)"context");
			free(copy);
		}
		assert_false(dialog_ids_replace(&changed, out, sizeof out, (enum header_kind)kind, (struct span){ NULL, 0 },
			translate, (char *)"context"));
	}
	for (size_t size = 0; size < sizeof whole; size++)
		assert_int_equal(dialog_ids_replace(&changed, out, size, HEADER_REFER_TO, span_of(text), translate,
					 (char *)"context"),
			size == sizeof whole - 1);
}

static void what_is_too_long_to_be_looked_at_stays(void **state)
{
	static const char start[] = "<sip:b@h?Replaces=known%40host%3Bx%3D";
	static char text[65000];
	struct span changed = { NULL, 0 };

	memset(text, 'x', sizeof text - 1);
	memcpy(text, start, sizeof start - 1);
	text[sizeof text - 2] = '>';
	assert_false(replaces(&changed, HEADER_REFER_TO, text));
	assert_int_equal(asked, 0);
	memset(text, ',', sizeof text - 1);
	assert_false(replaces(&changed, HEADER_IN_REPLY_TO, text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(translates_what_is_known),
		cmocka_unit_test(what_is_not_known_stays),
		cmocka_unit_test(nul_is_a_byte_like_others),
		cmocka_unit_test(reads_and_writes_nothing_behind_an_end),
		cmocka_unit_test(what_is_too_long_to_be_looked_at_stays),
	};

	return cmocka_run_group_tests_name("dialog-ids", tests, NULL, NULL);
}
