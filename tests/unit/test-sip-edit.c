#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stirrup/sip_edit.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define MESSAGE_MAX 131072

static struct sip_head head;
static struct sip_edit edit;
static char out[MESSAGE_MAX];
static struct span written;

static void begin(const char *text)
{
	assert_true(sip_head_read(&head, span_of(text)));
	sip_edit_begin(&edit, &head);
}

static void assert_writes(const char *text)
{
	assert_true(sip_edit_write(&edit, out, sizeof out, &written));
	assert_int_equal(written.length, strlen(text));
	assert_memory_equal(written.at, text, written.length);
}

static void assert_refuses(void)
{
	assert_false(sip_edit_write(&edit, out, sizeof out, &written));
}

static void what_is_not_named_leaves_as_it_came(void **state)
{
	static const char *const messages[] = {
		"INVITE sip:a@b SIP/2.0\r\nVia:SIP/2.0/UDP a\r\nTO :\r\n x ;  tag = 1\r\nl: 4\r\n\r\nbody",
		"SIP/2.0 200 = 2**3\r\nv:\tx \r\nVia: y\r\nX:\r\n \r\n\t\r\nContent-Length: 0\r\n\r\n",
		"sip/2.0 180 \r\nA: 1\r\nB: 2\r\nA: 3\r\nl: 2\r\nl: 2\r\n\r\n\r\n",
	};

	for (size_t i = 0; i < COUNT(messages); i++) {
		begin(messages[i]);
		assert_writes(messages[i]);
	}
}

/* Who looks for CRLF alone would find the end of this head in the body. */
static void every_line_ends_in_crlf(void **state)
{
	begin("INVITE sip:a@b SIP/2.0\nA: 1\nB: 2\n 3\nC: 4\r\nl: 8\n\nD: 5\r\n\r\n");
	assert_writes("INVITE sip:a@b SIP/2.0\r\nA: 1\r\nB: 2\n 3\r\nC: 4\r\nl: 8\r\n\r\nD: 5\r\n\r\n");
	begin("INVITE sip:a@b SIP/2.0\nA: 1\n\n");
	sip_edit_append(&edit, "B", span_of("2"));
	sip_edit_prepend_lines(&edit, span_of("C: 3\nD: 4\r\n"));
	assert_writes("INVITE sip:a@b SIP/2.0\r\nC: 3\nD: 4\r\nA: 1\r\nB: 2\r\nContent-Length: 0\r\n\r\n");
}

static void changes_what_is_named(void **state)
{
	begin("INVITE sip:a@b SIP/2.0\r\nv : one\r\nFrom: two\r\n folded\r\nVia: three\r\nSubject: four\r\nl: 2\r\n\r\nxy");
	sip_edit_request_uri(&edit, span_of("sip:c@d;lr"));
	sip_edit_drop(&edit, 3);
	sip_edit_replace(&edit, 0, span_of("eins"));
	sip_edit_replace(&edit, 1, span_of("zwei\r\n mit Falte"));
	sip_edit_prepend(&edit, "Via", span_of("zero"));
	sip_edit_prepend_lines(&edit, span_of("Record-Route: <sip:us>\r\nRecord-Route: <sip:me>\r\n"));
	sip_edit_append(&edit, "Identity", span_of("token"));
	sip_edit_append_lines(&edit, span_of("Date: now\r\n"));
	assert_writes("INVITE sip:c@d;lr SIP/2.0\r\nVia: zero\r\nRecord-Route: <sip:us>\r\nRecord-Route: <sip:me>\r\n"
		      "v: eins\r\nFrom: zwei\r\n mit Falte\r\nVia: three\r\nl: 2\r\nIdentity: token\r\nDate: now\r\n\r\nxy");
}

static void what_was_prepended_can_be_taken_back(void **state)
{
	begin("BYE sip:a@b SIP/2.0\r\nA: 1\r\nl: 0\r\n\r\n");
	sip_edit_replace(&edit, 0, span_of("2"));
	sip_edit_append(&edit, "B", span_of("3"));
	for (int i = 0; i < 2; i++) {
		sip_edit_take_back(&edit);
		sip_edit_prepend(&edit, "Via", span_of(i == 0 ? "one" : "two"));
		assert_writes(i == 0 ? "BYE sip:a@b SIP/2.0\r\nVia: one\r\nA: 2\r\nl: 0\r\nB: 3\r\n\r\n" :
				       "BYE sip:a@b SIP/2.0\r\nVia: two\r\nA: 2\r\nl: 0\r\nB: 3\r\n\r\n");
	}
}

static void the_last_change_of_a_line_counts(void **state)
{
	begin("BYE sip:a@b SIP/2.0\r\nA: 1\r\nB: 1\r\nA: 1\r\nl: 0\r\n\r\n");
	sip_edit_drop_all(&edit, HEADER_OTHER);
	sip_edit_replace(&edit, 2, span_of("2"));
	sip_edit_replace(&edit, 2, span_of(""));
	sip_edit_replace(&edit, 1, span_of("2"));
	sip_edit_drop(&edit, 1);
	sip_edit_request_uri(&edit, span_of("sip:x"));
	sip_edit_request_uri(&edit, span_of("sip:y"));
	assert_writes("BYE sip:y SIP/2.0\r\nA: \r\nl: 0\r\n\r\n");
}

static void drops_the_first_items_of_lists(void **state)
{
	static const struct {
		const char *lines;
		unsigned count;
		const char *left;
	} cases[] = {
		{ "Via: a\r\nVia: b\r\n", 1, "Via: b\r\n" },
		{ "Via: a\r\nX: 1\r\nVia: b\r\n", 2, "X: 1\r\n" },
		{ "Via: a\r\nVia: b\r\n", 0, "Via: a\r\nVia: b\r\n" },
		{ "Via: a\r\n", 5, "" },
		{ "Via: a;x=\"1,2\\\",\", b ,\r\n c\r\nv: d\r\n", 1, "Via: b ,\r\n c\r\nv: d\r\n" },
		{ "Via: a;x=\"1,2\\\",\", b ,\r\n c\r\nv: d\r\n", 2, "Via: c\r\nv: d\r\n" },
		{ "Via: a;x=\"1,2\\\",\", b ,\r\n c\r\nv: d , e\r\n", 4, "v: e\r\n" },
		{ "v:\r\n a,b\r\n", 1, "v: b\r\n" },
		{ "Via: ,, a, b\r\n", 1, "Via: b\r\n" },
		{ "Via: a,\r\nVia: b\r\n", 1, "Via: b\r\n" },
		{ "Via: a, ,\r\nVia: b\r\n", 1, "Via: b\r\n" },
		{ "Via: a, , b,\r\n", 1, "Via: b,\r\n" },
		{ "Via:\r\nVia: a,b\r\n", 1, "Via: b\r\n" },
		{ "Via: a;x=\"open, b\r\nVia: c\r\n", 1, "Via: c\r\n" },
		{ "Via: a;x=\"open\\\r\n", 1, "" },
		{ "Via: <a, b\r\nVia: c\r\n", 1, "Via: c\r\n" },
		{ "Via: a>, b\r\n", 1, "Via: b\r\n" },
		{ "Via: \"<\" <a,\",b>;c, d\r\n", 1, "Via: d\r\n" },
	};
	char text[256], left[256];

	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(text, sizeof text, "ACK sip:a SIP/2.0\r\n%sl: 0\r\n\r\n", cases[i].lines);
		snprintf(left, sizeof left, "ACK sip:a SIP/2.0\r\n%sl: 0\r\n\r\n", cases[i].left);
		begin(text);
		sip_edit_drop_first(&edit, HEADER_VIA, cases[i].count);
		assert_writes(left);
	}
}

static void drops_items_of_what_a_line_has_become(void **state)
{
	begin("ACK sip:a SIP/2.0\r\nRoute: <sip:1>\r\nRoute: <sip:2>\r\nRoute: <sip:3>\r\nl: 0\r\n\r\n");
	sip_edit_replace(&edit, 1, span_of("<sip:4,5>, <sip:6>"));
	sip_edit_drop(&edit, 0);
	sip_edit_drop_first(&edit, HEADER_ROUTE, 1);
	assert_writes("ACK sip:a SIP/2.0\r\nRoute: <sip:6>\r\nRoute: <sip:3>\r\nl: 0\r\n\r\n");
	sip_edit_drop_first(&edit, HEADER_ROUTE, 1);
	assert_writes("ACK sip:a SIP/2.0\r\nRoute: <sip:3>\r\nl: 0\r\n\r\n");
}

static void the_length_that_leaves_is_right(void **state)
{
	static const struct {
		const char *lines, *left;
	} cases[] = {
		{ "", "Content-Length: 4\r\n" },
		{ "X: 1\r\n", "X: 1\r\nContent-Length: 4\r\n" },
		{ "l: 0004\r\nX: 1\r\n", "l: 0004\r\nX: 1\r\n" },
		{ "l: 5\r\nX: 1\r\n", "X: 1\r\nContent-Length: 4\r\n" },
		{ "l: 4\r\nl: 3\r\n", "Content-Length: 4\r\n" },
		{ "l: 4, 4\r\n", "Content-Length: 4\r\n" },
	};
	char text[256], left[256];

	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(text, sizeof text, "ACK sip:a SIP/2.0\r\n%s\r\nbody", cases[i].lines);
		snprintf(left, sizeof left, "ACK sip:a SIP/2.0\r\n%s\r\nbody", cases[i].left);
		begin(text);
		assert_writes(left);
	}
	begin("ACK sip:a SIP/2.0\r\nl: 4\r\n\r\nbody of another length");
	sip_edit_replace(&edit, 0, span_of("44"));
	assert_writes("ACK sip:a SIP/2.0\r\nContent-Length: 4\r\n\r\nbody");
}

static void nothing_begins_a_line_that_was_not_meant(void **state)
{
	static const char *const values[] = { "x\r\nVia: y", "x\nVia: y", "x\rVia: y", "x\r\n", "x\n", "\n", "\r", "x\r\n\r\n",
		"x\r\r\n y", "x\n\n y" };

	for (size_t i = 0; i < COUNT(values); i++) {
		for (int way = 0; way < 3; way++) {
			begin("ACK sip:a SIP/2.0\r\nX: 1\r\n\r\n");
			if (way == 0)
				sip_edit_replace(&edit, 0, span_of(values[i]));
			else if (way == 1)
				sip_edit_prepend(&edit, "X", span_of(values[i]));
			else
				sip_edit_append(&edit, "X", span_of(values[i]));
			assert_refuses();
		}
	}
	begin("ACK sip:a SIP/2.0\r\nX: 1\r\n\r\n");
	sip_edit_append_lines(&edit, span_of("X: half"));
	assert_refuses();
	begin("ACK sip:a SIP/2.0\r\nX: 1\r\n\r\n");
	sip_edit_append(&edit, "X", (struct span){ "a\0b", 3 });
	assert_refuses();
}

static void refuses_what_is_no_request_uri(void **state)
{
	static const char *const uris[] = { "", "sip:a b", "sip:a\r\nX: y", "sip:a\tb", "sip:\x7f" };

	for (size_t i = 0; i < COUNT(uris); i++) {
		begin("ACK sip:a SIP/2.0\r\nX: 1\r\n\r\n");
		sip_edit_request_uri(&edit, span_of(uris[i]));
		assert_refuses();
	}
	begin("SIP/2.0 200 OK\r\nX: 1\r\n\r\n");
	sip_edit_request_uri(&edit, span_of("sip:a"));
	assert_refuses();
}

static void what_does_not_fit_is_not_written_in_part(void **state)
{
	static const char text[] = "ACK sip:a SIP/2.0\r\nX: 1\r\nl: 4\r\n\r\nbody";
	static char huge[SIP_EDIT_TEXT];
	struct span value = { huge, sizeof huge };

	memset(huge, 'x', sizeof huge);
	begin(text);
	for (size_t size = 0; size < sizeof text - 1; size++)
		assert_false(sip_edit_write(&edit, out, size, &written));
	assert_true(sip_edit_write(&edit, out, sizeof text - 1, &written));
	sip_edit_replace(&edit, 0, value);
	assert_refuses();
	begin(text);
	sip_edit_prepend(&edit, "X", value);
	assert_refuses();
	begin(text);
	sip_edit_append(&edit, "X", value);
	assert_refuses();
	begin(text);
	sip_edit_request_uri(&edit, value);
	assert_refuses();
	begin(text);
	value.length -= 5;
	sip_edit_append(&edit, "X", value);
	assert_true(sip_edit_write(&edit, out, sizeof out, &written));
}

static void passes_256_lines_and_long_bodies(void **state)
{
	static char text[MESSAGE_MAX];
	struct writer writer = writer_on(text, sizeof text);

	writer_text(&writer, "MESSAGE sip:a@b SIP/2.0\r\n");
	for (int i = 0; i < HEADER_LINES_MAX - 1; i++)
		writer_text(&writer, "Via: SIP/2.0/UDP a,\r\n SIP/2.0/UDP b\r\n");
	writer_text(&writer, "l: 65000\r\n\r\n");
	for (int i = 0; i < 65000; i++)
		writer_bytes(&writer, i % 3 == 0 ? "" : "\n", 1);
	assert_false(writer.full);
	assert_true(sip_head_read(&head, (struct span){ text, writer_length(&writer) }));
	sip_edit_begin(&edit, &head);
	assert_true(sip_edit_write(&edit, out, sizeof out, &written));
	assert_int_equal(written.length, writer_length(&writer));
	assert_memory_equal(written.at, text, written.length);
	sip_edit_drop_first(&edit, HEADER_VIA, 2 * (HEADER_LINES_MAX - 1) - 1);
	assert_true(sip_edit_write(&edit, out, sizeof out, &written));
	assert_memory_equal(written.at, "MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP b\r\nl: 65000\r\n\r\n", 58);
	assert_int_equal(written.length, 57 + 65000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_named_leaves_as_it_came),
		cmocka_unit_test(every_line_ends_in_crlf),
		cmocka_unit_test(changes_what_is_named),
		cmocka_unit_test(what_was_prepended_can_be_taken_back),
		cmocka_unit_test(the_last_change_of_a_line_counts),
		cmocka_unit_test(drops_the_first_items_of_lists),
		cmocka_unit_test(drops_items_of_what_a_line_has_become),
		cmocka_unit_test(the_length_that_leaves_is_right),
		cmocka_unit_test(nothing_begins_a_line_that_was_not_meant),
		cmocka_unit_test(refuses_what_is_no_request_uri),
		cmocka_unit_test(what_does_not_fit_is_not_written_in_part),
		cmocka_unit_test(passes_256_lines_and_long_bodies),
	};

	return cmocka_run_group_tests_name("sip-edit", tests, NULL, NULL);
}
