#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stirrup/sip_head.h"
#include "stirrup/writer.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define MESSAGE_MAX 131072

static struct sip_head head;

static void assert_span(struct span span, const char *text)
{
	assert_int_equal(span.length, strlen(text));
	assert_memory_equal(span.at, text, span.length);
}

static bool reads(const char *text)
{
	return sip_head_read(&head, span_of(text));
}

static void reads_start_lines(void **state)
{
	static const struct {
		const char *line, *method, *uri; /* of a request */
		unsigned status;                 /* of a response */
		const char *phrase;
	} cases[] = {
		{ "INVITE sip:+12155551212@example.net SIP/2.0", "INVITE", "sip:+12155551212@example.net", 0, "" },
		{ "!interesting-Method0123456789_*+`.%indeed'~ sip:a@b sip/2.0",
			"!interesting-Method0123456789_*+`.%indeed'~", "sip:a@b", 0, "" },
		{ "OPTIONS sip:user;par=u%40example.net@example.com;x=%00 SIP/2.0", "OPTIONS",
			"sip:user;par=u%40example.net@example.com;x=%00", 0, "" },
		{ "SIP/2.0 200 OK", "", "", 200, "OK" },
		{ "SIP/2.0 100 ", "", "", 100, "" },
		{ "SIP/2.0 699", "", "", 699, "" },
		{ "sip/2.0 200 = 2**3 * 5**2 \xd0\xbd\xd0\xbe", "", "", 200, "= 2**3 * 5**2 \xd0\xbd\xd0\xbe" },
	};
	char text[512];

	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(text, sizeof text, "%s\r\n\r\n", cases[i].line);
		assert_true(reads(text));
		assert_span(head.start_line, cases[i].line);
		assert_int_equal(head.is_response, cases[i].status > 0);
		assert_span(head.method, cases[i].method);
		assert_span(head.request_uri, cases[i].uri);
		assert_int_equal(head.status, cases[i].status);
		assert_span(head.phrase, cases[i].phrase);
	}
}

static void refuses_other_start_lines(void **state)
{
	static const char *const lines[] = { "", " ", "INVITE", "INVITE sip:a@b", "INVITE sip:a@b SIP/3.0",
		"INVITE  sip:a@b SIP/2.0", "INVITE sip:a@b  SIP/2.0", "INVITE sip:a@b SIP/2.0 ", "INVITE SIP/2.0",
		"INVITE  SIP/2.0", "INVITE sip:a@b; lr SIP/2.0", "INVITE sip:a\t@b SIP/2.0", "IN\"VITE sip:a@b SIP/2.0",
		" INVITE sip:a@b SIP/2.0", "INVITE\tsip:a@b\tSIP/2.0", "INVITE sip:a@b HTTP/1.1", "SIP/2.0",
		"SIP/2.0 ", "SIP/2.0 20", "SIP/2.0 2000", "SIP/2.0 200OK", "SIP/2.0 099 x", "SIP/2.0 700 x",
		"SIP/2.0  200 OK", "SIP/2.0 2x0 OK", "SIP/2.00 200 OK", "SIP/2.0\t200 OK", "INVITE sip:a\rb SIP/2.0" };
	char text[512];

	for (size_t i = 0; i < COUNT(lines); i++) {
		snprintf(text, sizeof text, "%s\r\nVia: x\r\n\r\n", lines[i]);
		assert_false(reads(text));
	}
	assert_false(sip_head_read(&head, (struct span){ "IN\0VITE sip:a@b SIP/2.0\r\n\r\n", 26 }));
	assert_false(sip_head_read(&head, (struct span){ "INVITE sip:a\0b SIP/2.0\r\n\r\n", 26 }));
	assert_false(sip_head_read(&head, (struct span){ "ACK sip:a SIP/2.0\r\nX: a\0b\r\n\r\n", 29 }));
	assert_false(sip_head_read(&head, (struct span){ "ACK sip:a SIP/2.0\r\nX: a\r\n \0\r\n\r\n", 31 }));
	assert_false(sip_head_read(&head, (struct span){ "SIP/2.0 200 O\0K\r\nX: a\r\n\r\n", 25 }));
}

static void knows_names_long_and_compact(void **state)
{
	static const struct {
		const char *name;
		enum header_kind kind;
	} cases[] = {
		{ "Via", HEADER_VIA }, { "v", HEADER_VIA }, { "VIA", HEADER_VIA }, { "V", HEADER_VIA },
		{ "From", HEADER_FROM }, { "f", HEADER_FROM }, { "To", HEADER_TO }, { "T", HEADER_TO },
		{ "Call-ID", HEADER_CALL_ID }, { "call-id", HEADER_CALL_ID }, { "i", HEADER_CALL_ID },
		{ "CSeq", HEADER_CSEQ }, { "CSEQ", HEADER_CSEQ }, { "Contact", HEADER_CONTACT }, { "m", HEADER_CONTACT },
		{ "Route", HEADER_ROUTE }, { "Record-Route", HEADER_RECORD_ROUTE }, { "Max-Forwards", HEADER_MAX_FORWARDS },
		{ "Content-Length", HEADER_CONTENT_LENGTH }, { "l", HEADER_CONTENT_LENGTH }, { "Date", HEADER_DATE },
		{ "Identity", HEADER_IDENTITY }, { "y", HEADER_IDENTITY },
		{ "P-Asserted-Identity", HEADER_P_ASSERTED_IDENTITY }, { "Attestation-Info", HEADER_CLAIMED },
		{ "origination-id", HEADER_CLAIMED }, { "P-Attestation-Info", HEADER_CLAIMED },
		{ "P-Attestation-Indicator", HEADER_CLAIMED }, { "P-Origination-ID", HEADER_CLAIMED },
		{ "X-Attestation-Info", HEADER_CLAIMED }, { "Reason", HEADER_REASON },
		{ "Session-Expires", HEADER_SESSION_EXPIRES }, { "x", HEADER_SESSION_EXPIRES },
		{ "Replaces", HEADER_REPLACES }, { "Join", HEADER_JOIN }, { "Target-Dialog", HEADER_TARGET_DIALOG },
		{ "In-Reply-To", HEADER_IN_REPLY_TO }, { "Refer-To", HEADER_REFER_TO }, { "r", HEADER_REFER_TO },
		{ "c", HEADER_OTHER }, { "Vie", HEADER_OTHER }, { "Tö", HEADER_OTHER }, { "\x16", HEADER_OTHER },
		{ "Record_Route", HEADER_OTHER }, { "Subject", HEADER_OTHER }, { "P-Asserted-Identitx", HEADER_OTHER },
		{ "Identity-Info", HEADER_OTHER }, { "extensionHeader-!.%*+_`'~", HEADER_OTHER },
	};
	char text[256];

	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(text, sizeof text, "ACK sip:a SIP/2.0\r\n%s: value\r\n\r\n", cases[i].name);
		assert_true(reads(text));
		assert_int_equal(head.count, 1);
		assert_int_equal(head.lines[0].kind, cases[i].kind);
		assert_span(head.lines[0].name, cases[i].name);
		assert_span(head.lines[0].value, "value");
	}
}

/* In the manner of RFC 4475 section 3.1.1.1. */
static void keeps_what_lines_are_made_of(void **state)
{
	static const struct {
		const char *line, *name, *value;
	} lines[] = {
		{ "TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n", "TO",
			"sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n" },
		{ "from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\n  tag = 98asjd8\r\n", "from",
			"\"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\n  tag = 98asjd8" },
		{ "Call-ID:x\n", "Call-ID", "x" },
		{ "s :\r\n", "s", "" },
		{ "Subject:\t \r\n  \r\n\t\r\n", "Subject", "" },
		{ "NewFangledHeader:   newfangled value\r\n continued newfangled value\n", "NewFangledHeader",
			"newfangled value\r\n continued newfangled value" },
		{ "Unknown:;;,,;;,;\r\n", "Unknown", ";;,,;;,;" },
		{ "a::b\r\n", "a", ":b" },
	};
	char text[2048];
	struct writer writer = writer_on(text, sizeof text);

	writer_text(&writer, "\r\n\n\r\nINVITE sip:a@b SIP/2.0\n");
	for (size_t i = 0; i < COUNT(lines); i++)
		writer_text(&writer, lines[i].line);
	writer_text(&writer, "\nbody");
	assert_true(writer_end(&writer) && reads(text));
	assert_int_equal(head.count, COUNT(lines));
	for (size_t i = 0; i < COUNT(lines); i++) {
		assert_span(head.lines[i].line, lines[i].line);
		assert_span(head.lines[i].name, lines[i].name);
		assert_span(head.lines[i].value, lines[i].value);
	}
	assert_span(head.body, "body");
}

static void refuses_heads_that_two_would_read_differently(void **state)
{
	static const char *const heads[] = { "Via x\r\n\r\n", ": x\r\n\r\n", " : x\r\n\r\n", " Via: x\r\n\r\n",
		"\tfold of nothing\r\n\r\n", "Subject: a\rVia: b\r\n\r\n", "Subject: a\r\r\n\r\n", "Subject\r\n : x\r\n\r\n",
		"Subject: a\r\n b\rc\r\n\r\n", "\r", "Subject: a\r\n\r", "Subject: a\r\n", "Subject: a", "\rSubject: a\r\n\r\n" };
	char text[512];

	for (size_t i = 0; i < COUNT(heads); i++) {
		snprintf(text, sizeof text, "INVITE sip:a@b SIP/2.0\r\n%s", heads[i]);
		assert_false(reads(text));
	}
}

static void bounds_the_body(void **state)
{
	static const struct {
		const char *lines, *body;
		bool wrong;
	} cases[] = {
		{ "", "0123456789", false },
		{ "Content-Length: 10\r\n", "0123456789", false },
		{ "l:\r\n 0010 \r\n", "0123456789", false },
		{ "Content-Length: 4\r\n", "0123", false },
		{ "Content-Length: 0\r\n", "", false },
		{ "Content-Length: 4\r\nl: 4\r\n", "0123", false },
		{ "Content-Length: 4\r\nl: 5\r\n", "0123456789", true },
		{ "Content-Length: 4\r\nl: x\r\n", "0123456789", true },
		{ "Content-Length: 11\r\n", "0123456789", true },
		{ "Content-Length: -4\r\n", "0123456789", true },
		{ "Content-Length: +4\r\n", "0123456789", true },
		{ "Content-Length: 4, 4\r\n", "0123456789", true },
		{ "Content-Length:\r\n", "0123456789", true },
		{ "Content-Length: 4294967300\r\n", "0123456789", true },
		{ "Content-Length: 18446744073709551620\r\n", "0123456789", true },
	};
	char text[512];

	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(text, sizeof text, "INVITE sip:a@b SIP/2.0\r\n%s\r\n0123456789", cases[i].lines);
		assert_true(reads(text));
		assert_span(head.body, cases[i].body);
		assert_int_equal(head.wrong_length, cases[i].wrong);
	}
}

static void nul_bytes_in_the_body_are_body(void **state)
{
	static const char text[] = "INFO sip:a@b SIP/2.0\r\nl: 6\r\n\r\na\0\r\n\r\nrest";

	assert_true(sip_head_read(&head, (struct span){ text, sizeof text - 1 }));
	assert_int_equal(head.body.length, 6);
	assert_memory_equal(head.body.at, "a\0\r\n\r\n", 6);
}

static void finds_lines_of_a_kind(void **state)
{
	assert_true(reads("BYE sip:a@b SIP/2.0\r\nVia: 1\r\nX: 2\r\nv: 3\r\nTo:\r\nVIA: 4\r\n\r\n"));
	assert_int_equal(sip_head_find(&head, HEADER_VIA, 0), 0);
	assert_int_equal(sip_head_find(&head, HEADER_VIA, 1), 2);
	assert_int_equal(sip_head_find(&head, HEADER_VIA, 3), 4);
	assert_int_equal(sip_head_find(&head, HEADER_VIA, 5), head.count);
	assert_int_equal(sip_head_find(&head, HEADER_VIA, 99), head.count);
	assert_int_equal(sip_head_find(&head, HEADER_FROM, 0), head.count);
	assert_span(sip_head_value(&head, HEADER_VIA), "1");
	assert_span(sip_head_value(&head, HEADER_TO), "");
	assert_span(sip_head_value(&head, HEADER_FROM), "");
}

static void takes_256_lines_and_no_more(void **state)
{
	static char text[MESSAGE_MAX];

	for (int lines = HEADER_LINES_MAX - 1; lines <= HEADER_LINES_MAX + 1; lines++) {
		struct writer writer = writer_on(text, sizeof text);

		writer_text(&writer, "INVITE sip:a@b SIP/2.0\r\n");
		for (int i = 0; i < lines; i++)
			writer_text(&writer, "Via: SIP/2.0/UDP a,\r\n SIP/2.0/UDP b\r\n");
		writer_text(&writer, "\r\n");
		assert_true(writer_end(&writer));
		assert_int_equal(reads(text), lines <= HEADER_LINES_MAX);
		if (lines <= HEADER_LINES_MAX)
			assert_int_equal(head.count, lines);
	}
}

static void takes_long_bodies_and_long_values(void **state)
{
	static char text[MESSAGE_MAX];
	struct writer writer = writer_on(text, sizeof text);

	writer_text(&writer, "MESSAGE sip:a@b SIP/2.0\r\nSubject: ");
	memset(writer.at, 'x', 40000);
	writer.at += 40000;
	writer_text(&writer, "\r\nContent-Length: 65000\r\n\r\n");
	memset(writer.at, '\n', 65000);
	assert_true(sip_head_read(&head, (struct span){ text, writer_length(&writer) + 65000 }));
	assert_int_equal(head.lines[0].value.length, 40000);
	assert_int_equal(head.body.length, 65000);
}

/* Each prefix stands in a block of its own, so that a sanitizer sees a read behind it. */
static void nothing_short_of_the_empty_line_is_a_head(void **state)
{
	static const char text[] = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=b\r\nSubject: x\r\n y\r\n"
				   "l: 4\r\n\r\nbody";
	const size_t whole = sizeof text - 1, bare = whole - 4;

	for (size_t length = 0; length <= whole; length++) {
		char *copy = malloc(length + 1);

		memcpy(copy, text, length);
		copy = realloc(copy, length > 0 ? length : 1);
		assert_int_equal(sip_head_read(&head, (struct span){ copy, length }), length >= bare);
		if (length >= bare) {
			assert_int_equal(head.body.length, length - bare);
			assert_int_equal(head.wrong_length, length < whole);
		}
		free(copy);
	}
	assert_false(sip_head_read(&head, (struct span){ NULL, 0 }));
}

static void assert_same_elsewhere(struct span one, struct span other)
{
	assert_int_equal(one.length, other.length);
	assert_memory_equal(one.at, other.at, one.length);
	assert_true(one.at != other.at);
}

static void a_copy_says_the_same_by_bytes_of_its_own(void **state)
{
	static const char *const texts[] = {
		"INVITE sip:a@b SIP/2.0\r\nv :  SIP/2.0/UDP a \r\n ;b\r\nX:\r\nContent-Length: 4\r\n\r\nbody and more",
		"SIP/2.0 486 Busy Here\n\n",
	};

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct sip_head *copy;

		assert_true(reads(texts[i]));
		copy = sip_head_copy(&head);
		assert_non_null(copy);
		assert_same_elsewhere(copy->start_line, head.start_line);
		assert_same_elsewhere(copy->method, head.method);
		assert_same_elsewhere(copy->request_uri, head.request_uri);
		assert_same_elsewhere(copy->phrase, head.phrase);
		assert_same_elsewhere(copy->body, head.body);
		assert_int_equal(copy->status, head.status);
		assert_int_equal(copy->count, head.count);
		for (size_t line = 0; line < head.count; line++) {
			assert_int_equal(copy->lines[line].kind, head.lines[line].kind);
			assert_same_elsewhere(copy->lines[line].line, head.lines[line].line);
			assert_same_elsewhere(copy->lines[line].name, head.lines[line].name);
			assert_same_elsewhere(copy->lines[line].value, head.lines[line].value);
		}
		free(copy);
	}
}

static void reads_tags(void **state)
{
	static const struct {
		const char *value, *tag;
	} cases[] = {
		{ "<sip:a@b>;tag=1", "1" },
		{ "sip:a@b;tag=1", "1" },
		{ "\"x;tag=no\" <sip:a@b;tag=no>;x=\";tag=no\";TAG = 1 ;y", "1" },
		{ "Bell, Alexander <sip:a@b>;tag=43", "43" },
		{ "<sip:a@b>\r\n ;\r\n tag\r\n =\r\n 1", "1" },
		{ "<sip:a@b>;tag=1;tag=2", "1" },
		{ "<sip:a@b>;tagged=1", "" },
		{ "<sip:a@b>;x=tag=1", "" },
		{ "<sip:a@b>;tag", "" },
		{ "<sip:a@b>;tag=", "" },
		{ "<sip:a@b;tag=1", "" },
		{ "\"open <sip:a@b>;tag=1", "" },
		{ "<sip:a@b>;", "" },
		{ "", "" },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_span(sip_tag(span_of(cases[i].value)), cases[i].tag);
	assert_int_equal(sip_tag((struct span){ NULL, 0 }).length, 0);
}

static void reads_cseq(void **state)
{
	static const struct {
		const char *value, *method;
		uint32_t number;
	} good[] = {
		{ "102 INVITE", "INVITE", 102 },
		{ "0009\r\n  INVITE", "INVITE", 9 },
		{ "0 \t!x'", "!x'", 0 },
		{ "4294967295 BYE", "BYE", 4294967295u },
	};
	static const char *const bad[] = { "", "102", "102 ", "INVITE", "102INVITE", "x INVITE", "-1 INVITE",
		"4294967296 BYE", "36893488147419103232 REGISTER", "1 IN VITE", "1 IN,VITE", "1 \"x\"" };
	uint32_t number;
	struct span method;

	for (size_t i = 0; i < COUNT(good); i++) {
		assert_true(sip_cseq(span_of(good[i].value), &number, &method));
		assert_int_equal(number, good[i].number);
		assert_span(method, good[i].method);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(sip_cseq(span_of(bad[i]), &number, &method));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_start_lines),
		cmocka_unit_test(refuses_other_start_lines),
		cmocka_unit_test(knows_names_long_and_compact),
		cmocka_unit_test(keeps_what_lines_are_made_of),
		cmocka_unit_test(refuses_heads_that_two_would_read_differently),
		cmocka_unit_test(bounds_the_body),
		cmocka_unit_test(nul_bytes_in_the_body_are_body),
		cmocka_unit_test(finds_lines_of_a_kind),
		cmocka_unit_test(takes_256_lines_and_no_more),
		cmocka_unit_test(takes_long_bodies_and_long_values),
		cmocka_unit_test(nothing_short_of_the_empty_line_is_a_head),
		cmocka_unit_test(a_copy_says_the_same_by_bytes_of_its_own),
		cmocka_unit_test(reads_tags),
		cmocka_unit_test(reads_cseq),
	};

	return cmocka_run_group_tests_name("sip-head", tests, NULL, NULL);
}
