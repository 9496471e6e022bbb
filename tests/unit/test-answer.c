#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "stirrup/answer.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define VIA "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
#define FROM "From: <sip:a@b>;tag=f\r\n"
#define CALL_ID "Call-ID: 1@b\r\n"
#define CSEQ "CSeq: 7 BYE\r\n"

static struct sip_head head;
static struct answer answer;

static void read_request(const char *lines)
{
	static char text[4096];

	snprintf(text, sizeof text, "BYE sip:c@d SIP/2.0\r\n%s\r\n", lines);
	assert_true(sip_head_read(&head, span_of(text)));
}

static void assert_answer(const char *expected)
{
	struct span bytes;

	assert_true(answer_end(&answer, &bytes));
	assert_int_equal(bytes.length, strlen(expected));
	assert_memory_equal(bytes.at, expected, bytes.length);
}

static void an_answer_repeats_the_lines_as_they_came(void **state)
{
	read_request("CSEQ :  7  BYE\r\nMax-Forwards: 3\r\nv:SIP/2.0/UDP 192.0.2.1;branch=1,\r\n SIP/2.0/UDP b\r\n"
		     "f: <sip:a@b>;tag=f\r\nTo:   <sip:c@d>  \r\nVia: SIP/2.0/UDP c\r\ni: 1@b\r\nRoute: <sip:x;lr>\r\n"
		     "Record-Route: <sip:r;lr>\r\nContact: <sip:a@b>\r\nX: y\r\n");
	answer_begin(&answer, 481, "Call/Transaction Does Not Exist", &head, "ours");
	answer_header(&answer, "Allow", span_of("BYE"));
	assert_answer("SIP/2.0 481 Call/Transaction Does Not Exist\r\n"
		      "v:SIP/2.0/UDP 192.0.2.1;branch=1,\r\n SIP/2.0/UDP b\r\n"
		      "Via: SIP/2.0/UDP c\r\n"
		      "f: <sip:a@b>;tag=f\r\n"
		      "To:   <sip:c@d>;tag=ours\r\n"
		      "i: 1@b\r\n"
		      "CSEQ :  7  BYE\r\n"
		      "Allow: BYE\r\n"
		      "Content-Length: 0\r\n\r\n");
}

static void a_tag_is_added_where_there_is_none(void **state)
{
	static const struct {
		const char *to, *tag, *expected;
	} cases[] = {
		{ "To: <sip:c@d>\r\n", "ours", "To: <sip:c@d>;tag=ours\r\n" },
		{ "To: <sip:c@d>\r\n", NULL, "To: <sip:c@d>\r\n" },
		{ "t: sip:c@d\n", "ours", "t: sip:c@d;tag=ours\r\n" },
		{ "To: <sip:c@d>;tag=theirs\r\n", "ours", "To: <sip:c@d>;tag=theirs\r\n" },
		{ "To: <sip:c@d>\r\n ;x=1\r\n", "ours", "To: <sip:c@d>\r\n ;x=1;tag=ours\r\n" },
		{ "To: <sip:c@d;tag=uri>\r\n", "ours", "To: <sip:c@d;tag=uri>;tag=ours\r\n" },
	};
	char text[512];

	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(text, sizeof text, VIA FROM "%s" CALL_ID CSEQ, cases[i].to);
		read_request(text);
		answer_begin(&answer, 200, "OK", &head, cases[i].tag);
		snprintf(text, sizeof text, "SIP/2.0 200 OK\r\n" VIA FROM "%s" CALL_ID CSEQ "Content-Length: 0\r\n\r\n",
			cases[i].expected);
		assert_answer(text);
	}
}

static void what_does_not_fit_is_no_answer(void **state)
{
	static char long_value[ANSWER_MAX];
	struct span bytes;

	memset(long_value, 'x', sizeof long_value);
	read_request(VIA FROM "To: <sip:c@d>\r\n" CALL_ID CSEQ);
	answer_begin(&answer, 200, "OK", &head, "ours");
	answer_header(&answer, "X", (struct span){ long_value, sizeof long_value });
	assert_false(answer_end(&answer, &bytes));
}

static void a_line_break_that_is_no_fold_spoils_the_answer(void **state)
{
	static const char *const values[] = { "a\r\nY: b", "a\nY: b", "a\r b", "a\r\n", "\r\n\r\n b" };
	struct span bytes;

	read_request(VIA FROM "To: <sip:c@d>\r\n" CALL_ID CSEQ);
	for (size_t i = 0; i < COUNT(values); i++) {
		answer_begin(&answer, 200, "OK", &head, "ours");
		answer_header(&answer, "X", span_of(values[i]));
		assert_false(answer_end(&answer, &bytes));
	}
	answer_begin(&answer, 200, "OK", &head, "ours");
	answer_header(&answer, "X", span_of("a\r\n b\n\tc"));
	assert_answer("SIP/2.0 200 OK\r\n" VIA FROM "To: <sip:c@d>;tag=ours\r\n" CALL_ID CSEQ
		      "X: a\r\n b\n\tc\r\nContent-Length: 0\r\n\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_repeats_the_lines_as_they_came),
		cmocka_unit_test(a_tag_is_added_where_there_is_none),
		cmocka_unit_test(what_does_not_fit_is_no_answer),
		cmocka_unit_test(a_line_break_that_is_no_fold_spoils_the_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
