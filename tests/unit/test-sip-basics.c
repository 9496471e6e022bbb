#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stirrup/sip_basics.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct sip_head head;
static struct sip_basics basics;

static void assert_span(struct span span, const char *text)
{
	assert_int_equal(span.length, strlen(text));
	assert_memory_equal(span.at, text, span.length);
}

/* --- What every message must have --- */

#define VIA "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
#define FROM "From: <sip:a@b>;tag=f\r\n"
#define TO "To: <sip:c@d>\r\n"
#define CALL_ID "Call-ID: 1@b\r\n"
#define CSEQ "CSeq: 7 BYE\r\n"

static bool reads(const char *start_line, const char *lines)
{
	static char text[4096];

	snprintf(text, sizeof text, "%s\r\n%s\r\n", start_line, lines);
	assert_true(sip_head_read(&head, span_of(text)));
	return sip_basics_read(&basics, &head);
}

static bool reads_request(const char *lines)
{
	return reads("BYE sip:c@d SIP/2.0", lines);
}

static void reads_what_there_is(void **state)
{
	assert_true(reads_request("v: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1, SIP/2.0/TCP far;branch=z9hG4bK2\r\n"
				  "f: \"A; tag=no\" <sip:a@b;tag=nor-this> ; TAG = f1\r\nt: sip:c@d;tag=t1\r\ni:\t1@b\r\n"
				  "CSeq: 4294967295\r\n BYE\r\nMax-Forwards: 5\r\n"));
	assert_span(basics.via.host, "192.0.2.1");
	assert_span(basics.via.port, "5070");
	assert_span(basics.via.branch, "z9hG4bK1");
	assert_span(basics.call_id, "1@b");
	assert_span(basics.from, "\"A; tag=no\" <sip:a@b;tag=nor-this> ; TAG = f1");
	assert_span(basics.to, "sip:c@d;tag=t1");
	assert_span(basics.from_tag, "f1");
	assert_span(basics.to_tag, "t1");
	assert_int_equal(basics.cseq, 4294967295u);
	assert_span(basics.method, "BYE");
	assert_int_equal(basics.max_forwards, 5);
}

static void refuses_what_is_missing_or_stands_twice(void **state)
{
	static const struct {
		const char *behaviour, *lines;
		bool good;
	} cases[] = {
		{ "all of them", VIA FROM TO CALL_ID CSEQ, true },
		{ "in any order", CSEQ CALL_ID TO FROM VIA, true },
		{ "no Via", FROM TO CALL_ID CSEQ, false },
		{ "no From", VIA TO CALL_ID CSEQ, false },
		{ "no To", VIA FROM CALL_ID CSEQ, false },
		{ "no Call-ID", VIA FROM TO CSEQ, false },
		{ "no CSeq", VIA FROM TO CALL_ID, false },
		{ "two From", VIA FROM FROM TO CALL_ID CSEQ, false },
		{ "two From, one in its compact form", VIA FROM "f: <sip:a@b>;tag=f\r\n" TO CALL_ID CSEQ, false },
		{ "two To", VIA FROM TO TO CALL_ID CSEQ, false },
		{ "two Call-ID", VIA FROM TO CALL_ID CALL_ID CSEQ, false },
		{ "two CSeq", VIA FROM TO CALL_ID CSEQ CSEQ, false },
		{ "two Via", VIA VIA FROM TO CALL_ID CSEQ, true },
		{ "an empty From", VIA "From:\r\n" TO CALL_ID CSEQ, false },
		{ "an empty Call-ID", VIA FROM TO "Call-ID:  \r\n" CSEQ, false },
		{ "a topmost Via that is none", "Via: x\r\n" VIA FROM TO CALL_ID CSEQ, false },
		{ "an empty topmost Via", "Via:\r\n" VIA FROM TO CALL_ID CSEQ, false },
		{ "a CSeq of another method", VIA FROM TO CALL_ID "CSeq: 7 INVITE\r\n", false },
		{ "a CSeq of the method in other letters", VIA FROM TO CALL_ID "CSeq: 7 bye\r\n", false },
		{ "a CSeq of half the method", VIA FROM TO CALL_ID "CSeq: 7 BY\r\n", false },
		{ "a CSeq of 33 bits", VIA FROM TO CALL_ID "CSeq: 4294967296 BYE\r\n", false },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		if (reads_request(cases[i].lines) != cases[i].good)
			fail_msg("%s", cases[i].behaviour);
}

static void a_response_may_be_of_any_method(void **state)
{
	assert_true(reads("SIP/2.0 200 OK", VIA FROM TO CALL_ID "CSeq: 7 INVITE\r\n"));
	assert_span(basics.method, "INVITE");
	assert_false(reads("SIP/2.0 200 OK", VIA FROM TO CALL_ID "CSeq: 7\r\n"));
	assert_false(reads("SIP/2.0 200 OK", VIA FROM TO "CSeq: 7 INVITE\r\n"));
}

static void a_missing_tag_is_empty(void **state)
{
	assert_true(reads_request(VIA "From: <sip:a@b;tag=of-the-uri>\r\nTo: \"c;tag=of-a-name\" <sip:c@d>;x=tag\r\n" CALL_ID
			CSEQ));
	assert_int_equal(basics.from_tag.length, 0);
	assert_int_equal(basics.to_tag.length, 0);
}

static void max_forwards_is_a_number_or_seventy(void **state)
{
	static const struct {
		const char *line;
		unsigned max_forwards;
	} cases[] = {
		{ "", 70 },
		{ "Max-Forwards: 0\r\n", 0 },
		{ "Max-Forwards: 00\r\n", 0 },
		{ "max-forwards:255\r\n", 255 },
		{ "Max-Forwards: 0000\r\n", 0 },
		{ "Max-Forwards: 000000000000000000001\r\n", 1 },
		{ "Max-Forwards: 256\r\n", 255 },
		{ "Max-Forwards: 1000\r\n", 255 },
		{ "Max-Forwards: 18446744073709551616\r\n", 255 },
		{ "Max-Forwards: 2550x\r\n", 70 },
		{ "Max-Forwards: -1\r\n", 70 },
		{ "Max-Forwards: 1 2\r\n", 70 },
		{ "Max-Forwards:\r\n", 70 },
		{ "Max-Forwards: x\r\n", 70 },
	};
	char lines[512];

	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(lines, sizeof lines, VIA FROM TO CALL_ID CSEQ "%s", cases[i].line);
		assert_true(reads_request(lines));
		assert_int_equal(basics.max_forwards, cases[i].max_forwards);
	}
}

static void a_request_makes_sense_or_not(void **state)
{
	static const struct {
		const char *from, *to, *uri;
		bool sound;
	} cases[] = {
		{ "<sip:a@b>;tag=f", "<sip:c@d>", "sip:c@d", true },
		{ "sip:a@b;tag=f", "sip:c@d", "sips:c@d;x=y?z", true },
		{ "\"a, \\\"b;<\" <sip:a;x=1,2@b>\r\n ; tag = f ; x = \"a,b\"", "<tel:+1>", "tel:+1;phone-context=x", true },
		/* What nobody can call leaves the call unsigned; it is no reason to refuse it. */
		{ "J\xc3\xb6rg <sip:a@b>;tag=f", "O'Hara (x) <sip:c@d>", "urn:service:sos", true },
		{ "<anonymous>;tag=f", "foo", "unknown+scheme:totally-opaque", true },
		{ "\"a <sip:a@b>;tag=f", "<sip:c@d>", "sip:c@d", false },
		{ "<sip:a@b>;tag=f", "\"c <sip:c@d>", "sip:c@d", false },
		{ "<sip:a@b;tag=f", "<sip:c@d>", "sip:c@d", false },
		{ "<sip:a@b>;tag=f", "<sip:c@d", "sip:c@d", false },
		{ "a, b <sip:a@b>;tag=f", "<sip:c@d>", "sip:c@d", false },
		{ "<sip:a@b>;tag=f", "<sip:c@d>, <sip:e@f>", "sip:c@d", false },
		{ "<sip:a@b>;tag=f;x=\"y", "<sip:c@d>", "sip:c@d", false },
		{ "<sip:a@b>;tag=", "<sip:c@d>", "sip:c@d", false },
		{ "<sip:a@b>", "<sip:c@d>;tag", "sip:c@d", false },
		{ "<sip:a@b>;tag=f", "<sip:c@d>", "<sip:c@d>", false },
		{ "<sip:a@b>;tag=f", "<sip:c@d>", "c", false },
		{ "<sip:a@b>;tag=f", "<sip:c@d>", "*", false },
		{ "<sip:a@b>;tag=f", "<sip:c@d>", "c@d", false },
		{ "<sip:a@b>;tag=f", "<sip:c@d>", ":c", false },
		{ "<sip:a@b>;tag=f", "<sip:c@d>", "tel:", false },
		{ "<sip:a@b>;tag=f", "<sip:c@d>", "sip:", false },
		{ "<sip:a@b>;tag=f", "<sip:c@d>", "SIP:c@", false },
		{ "<sip:a@b>;tag=f", "<sip:c@d>", "sip:[::1", false },
	};
	char start_line[128], lines[512];

	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(start_line, sizeof start_line, "BYE %s SIP/2.0", cases[i].uri);
		snprintf(lines, sizeof lines, VIA "From: %s\r\nTo: %s\r\n" CALL_ID CSEQ, cases[i].from, cases[i].to);
		assert_true(reads(start_line, lines));
		if (sip_basics_sound(&basics, head.request_uri) != cases[i].sound)
			fail_msg("%s%s", start_line, lines);
	}
}

/* --- Where it came from --- */

static const struct {
	const char *behaviour, *value, *marked; /* NULL: no Via */
} vias[] = {
	{ "received is added", "SIP/2.0/UDP host;branch=b", "SIP/2.0/UDP host;branch=b;received=192.0.2.9" },
	{ "rport is filled where it is asked for", "SIP/2.0/UDP host;rport;branch=b",
		"SIP/2.0/UDP host;rport=5099;branch=b;received=192.0.2.9" },
	{ "rport with an equals sign and nothing", "SIP/2.0/UDP host;rport=;branch=b",
		"SIP/2.0/UDP host;rport=5099;branch=b;received=192.0.2.9" },
	{ "what it claims of these goes", "SIP/2.0/UDP host;received=10.0.0.1;rport=1;branch=b",
		"SIP/2.0/UDP host;rport=5099;branch=b;received=192.0.2.9" },
	{ "however it is written", "SIP/2.0/UDP host ; Received = 10.0.0.1 ; RPORT = 1 ;received=\"a;b\";branch=b",
		"SIP/2.0/UDP host ; RPORT=5099 ;branch=b;received=192.0.2.9" },
	{ "and how often", "SIP/2.0/UDP host;rport;received=1;rport;received=2",
		"SIP/2.0/UDP host;rport=5099;received=192.0.2.9" },
	{ "what only begins so stays", "SIP/2.0/UDP host;rportx=1;xreceived=2;receive=3",
		"SIP/2.0/UDP host;rportx=1;xreceived=2;receive=3;received=192.0.2.9" },
	{ "what only says so in quotes stays", "SIP/2.0/UDP host;x=\";received=10.0.0.1;rport\\\";\";branch=b",
		"SIP/2.0/UDP host;x=\";received=10.0.0.1;rport\\\";\";branch=b;received=192.0.2.9" },
	{ "without parameters", "SIP/2.0/UDP host", "SIP/2.0/UDP host;received=192.0.2.9" },
	{ "IPv6", "SIP/2.0/UDP [2001:db8::1]:5070;rport", "SIP/2.0/UDP [2001:db8::1]:5070;rport=5099;received=192.0.2.9" },
	{ "folded lines", "SIP/2.0/UDP\r\n host\r\n ;rport\r\n ;branch=b",
		"SIP/2.0/UDP\r\n host\r\n ;rport=5099\r\n ;branch=b;received=192.0.2.9" },
	{ "a list: the first, and the others as they are",
		"SIP/2.0/UDP one;branch=1,SIP/2.0/TCP two;received=3.3.3.3;rport=3 , SIP/2.0/UDP three",
		"SIP/2.0/UDP one;branch=1;received=192.0.2.9, SIP/2.0/TCP two;received=3.3.3.3;rport=3 , SIP/2.0/UDP three" },
	{ "a comma in quotes is none", "SIP/2.0/UDP one;x=\"a,b\";rport, SIP/2.0/UDP two",
		"SIP/2.0/UDP one;x=\"a,b\";rport=5099;received=192.0.2.9, SIP/2.0/UDP two" },
	{ "no Via", "SIP/2.0", NULL },
	{ "nothing", "", NULL },
	{ "a quote without an end", "SIP/2.0/UDP host;x=\"a;rport", NULL },
	{ "another version", "SIP/3.0/UDP host;rport", NULL },
};

static void a_via_is_told_where_it_came_from(void **state)
{
	char out[512];

	for (size_t i = 0; i < COUNT(vias); i++) {
		bool good = sip_basics_mark_via(out, sizeof out, span_of(vias[i].value), "192.0.2.9", 5099);

		if (good != (vias[i].marked != NULL))
			fail_msg("%s", vias[i].behaviour);
		if (good)
			assert_string_equal(out, vias[i].marked);
	}
}

static void a_marked_via_reads_as_marked_and_the_rest_unchanged(void **state)
{
	char out[512];

	for (size_t i = 0; i < COUNT(vias); i++) {
		struct span before = span_of(vias[i].value), after;
		struct via one, other;

		if (vias[i].marked == NULL)
			continue;
		assert_true(sip_basics_mark_via(out, sizeof out, before, "192.0.2.9", 5099));
		after = span_of(out);
		assert_true(via_next(&before, &one) && via_next(&after, &other));
		assert_span(other.received, "192.0.2.9");
		assert_span(other.rport, one.has_rport ? "5099" : "");
		assert_int_equal(one.branch.length, other.branch.length);
		assert_memory_equal(one.branch.at, other.branch.at, one.branch.length);
		assert_int_equal(before.length, after.length);
		assert_memory_equal(before.at, after.at, before.length);
	}
}

/* Each prefix stands at the end of its own memory, so that a look behind it shows. */
static void no_length_of_any_text_reads_further(void **state)
{
	char out[512];

	for (size_t i = 0; i < COUNT(vias); i++)
		for (size_t length = 0; length <= strlen(vias[i].value); length++) {
			char *text = malloc(length > 0 ? length : 1);

			assert_non_null(text);
			memcpy(text, vias[i].value, length);
			for (size_t size = 0; size <= sizeof out; size = size * 2 + 1)
				sip_basics_mark_via(out, size, (struct span){ text, length }, "192.0.2.9", 5099);
			free(text);
		}
}

static void what_does_not_fit_is_refused(void **state)
{
	char out[512];
	size_t whole = strlen("SIP/2.0/UDP host;branch=b;received=192.0.2.9") + 1;

	for (size_t size = 0; size < whole; size++)
		assert_false(sip_basics_mark_via(out, size, span_of("SIP/2.0/UDP host;branch=b"), "192.0.2.9", 5099));
	assert_true(sip_basics_mark_via(out, whole, span_of("SIP/2.0/UDP host;branch=b"), "192.0.2.9", 5099));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_there_is),
		cmocka_unit_test(refuses_what_is_missing_or_stands_twice),
		cmocka_unit_test(a_response_may_be_of_any_method),
		cmocka_unit_test(a_missing_tag_is_empty),
		cmocka_unit_test(max_forwards_is_a_number_or_seventy),
		cmocka_unit_test(a_request_makes_sense_or_not),
		cmocka_unit_test(a_via_is_told_where_it_came_from),
		cmocka_unit_test(a_marked_via_reads_as_marked_and_the_rest_unchanged),
		cmocka_unit_test(no_length_of_any_text_reads_further),
		cmocka_unit_test(what_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
