#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../src/sip/watch.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define SIGNATURE "rq3pjT1akEfbjWVQYb6BJ1Q8RbGZiCH9kzM8mY-1f4_A0VQvc2qMkLxRZBkYbX1nLcGmJWn7FQbnPYpzZlNo0w"
#define TOKEN "eyJhbGciOiJFUzI1NiJ9.eyJpYXQiOjF9." SIGNATURE

static struct sip_head head;
static struct sip_edit edit;

static const char *edited(const char *lines, uint32_t mark)
{
	static char text[4096], out[4096];
	struct span message;

	snprintf(text, sizeof text, "SIP/2.0 438 Invalid Identity Header\r\n%sContent-Length: 0\r\n\r\n", lines);
	assert_true(sip_head_read(&head, span_of(text)));
	sip_edit_begin(&edit, &head);
	watch_edit(&edit, &head, mark);
	assert_true(sip_edit_write(&edit, out, sizeof out - 1, &message));
	out[message.length] = '\0';
	assert_string_equal(out + message.length - strlen("Content-Length: 0\r\n\r\n"), "Content-Length: 0\r\n\r\n");
	out[message.length - strlen("Content-Length: 0\r\n\r\n")] = '\0';
	return out + strlen("SIP/2.0 438 Invalid Identity Header\r\n");
}

static void the_mark_is_of_the_signature_alone(void **state)
{
	uint32_t mark = watch_mark(span_of(TOKEN ";info=<https://cert.example.org/a.pem>;alg=ES256;ppt=shaken"));

	assert_int_not_equal(mark, 0);
	assert_int_equal(watch_mark(span_of(TOKEN)), mark);
	assert_int_equal(watch_mark(span_of(TOKEN " ;info=<x>")), mark);
	assert_int_equal(watch_mark(span_of(TOKEN "\r\n ;info=<x>")), mark);
	assert_int_equal(watch_mark(span_of(".." SIGNATURE)), mark);
	assert_int_equal(watch_mark(span_of("other.claims." SIGNATURE)), mark);
	assert_int_not_equal(watch_mark(span_of(TOKEN "x")), mark);
	assert_int_not_equal(watch_mark((struct span){ TOKEN, sizeof TOKEN - 2 }), mark);
}

static void the_mark_of_anything_is_never_none(void **state)
{
	static const char *const texts[] = { "", ".", "..", "...", ";", "..;", "a.b", "a.b.\"" };

	for (size_t i = 0; i < COUNT(texts); i++)
		assert_int_not_equal(watch_mark(span_of(texts[i])), 0);
	for (size_t length = 0; length < sizeof TOKEN; length++) {
		char *text = malloc(length > 0 ? length : 1);

		assert_non_null(text);
		memcpy(text, TOKEN, length);
		assert_int_not_equal(watch_mark((struct span){ text, length }), 0);
		free(text);
	}
}

/* RFC 9410 section 7. */
static void takes_out_what_tells_of_our_token(void **state)
{
	static const struct {
		const char *behaviour, *lines, *left;
	} cases[] = {
		{ "nothing there", "", "" },
		{ "the whole token", "Reason: STIR;cause=438;text=\"x\";ppi=\"" TOKEN "\"\r\n", "" },
		{ "its compact form", "Reason: STIR;cause=438;ppi=\".." SIGNATURE "\"\r\n", "" },
		{ "without quotes", "Reason: STIR;cause=438;ppi=.." SIGNATURE "\r\n", "" },
		{ "in any letter case, with white space", "reason : stir ;\r\n cause=438 ; PPI = \".." SIGNATURE "\"\r\n", "" },
		{ "each of them", "Reason: STIR;cause=438;ppi=\".." SIGNATURE "\"\r\nX: y\r\nReason: STIR;ppi=\"" TOKEN "\"\r\n",
			"X: y\r\n" },
		{ "not another token's", "Reason: STIR;cause=438;ppi=\"..x" SIGNATURE "\"\r\n",
			"Reason: STIR;cause=438;ppi=\"..x" SIGNATURE "\"\r\n" },
		{ "not without a token", "Reason: STIR;cause=438\r\n", "Reason: STIR;cause=438\r\n" },
		{ "not with an empty one", "Reason: STIR;cause=438;ppi\r\n", "Reason: STIR;cause=438;ppi\r\n" },
		{ "not another protocol's", "Reason: Q.850;cause=16;ppi=\".." SIGNATURE "\"\r\n",
			"Reason: Q.850;cause=16;ppi=\".." SIGNATURE "\"\r\n" },
		{ "not a protocol that only begins so", "Reason: STIRX;ppi=\".." SIGNATURE "\"\r\n",
			"Reason: STIRX;ppi=\".." SIGNATURE "\"\r\n" },
		{ "not what only quotes it", "Reason: STIR;text=\";ppi=.." SIGNATURE "\"\r\n",
			"Reason: STIR;text=\";ppi=.." SIGNATURE "\"\r\n" },
		{ "not another header field", "X-Reason: STIR;ppi=\".." SIGNATURE "\"\r\n", "X-Reason: STIR;ppi=\".." SIGNATURE "\"\r\n" },
		{ "one of a list",
			"Reason: Q.850;cause=16;text=\"a, b\" , STIR;cause=438;ppi=\".." SIGNATURE "\",SIP;cause=603\r\n",
			"Reason: Q.850;cause=16;text=\"a, b\", SIP;cause=603\r\n" },
		{ "the first of a list", "Reason: STIR;ppi=\".." SIGNATURE "\",\r\n Q.850;cause=16\r\n", "Reason: Q.850;cause=16\r\n" },
		{ "all of a list", "Reason: STIR;ppi=\".." SIGNATURE "\", , STIR;cause=436;ppi=\"" TOKEN "\"\r\n", "" },
		{ "none of a list", "Reason: Q.850;cause=16 ,STIR;ppi=\"..x" SIGNATURE "\"\r\n",
			"Reason: Q.850;cause=16 ,STIR;ppi=\"..x" SIGNATURE "\"\r\n" },
		{ "an empty Reason", "Reason:\r\n", "Reason:\r\n" },
		{ "a quote without an end", "Reason: STIR;text=\"x;ppi=.." SIGNATURE "\r\n",
			"Reason: STIR;text=\"x;ppi=.." SIGNATURE "\r\n" },
	};
	uint32_t mark = watch_mark(span_of(TOKEN ";info=<x>"));

	for (size_t i = 0; i < COUNT(cases); i++) {
		if (strcmp(edited(cases[i].lines, mark), cases[i].left) != 0)
			fail_msg("%s: %s", cases[i].behaviour, edited(cases[i].lines, mark));
		assert_string_equal(edited(cases[i].lines, 0), cases[i].lines);
	}
}

/* --- What the record is told --- */

static struct {
	unsigned finals, notes, status;
	uint64_t id;
	char by[64], why[1024], note[1024];
} told;

void __wrap_call_record_final(struct worker *of, uint64_t id, unsigned status, const char *by, struct span why);
void __wrap_call_record_final(struct worker *of, uint64_t id, unsigned status, const char *by, struct span why)
{
	told.finals++;
	told.id = id;
	told.status = status;
	assert_true(span_copy(told.by, sizeof told.by, span_of(by)));
	assert_true(span_copy(told.why, sizeof told.why, why));
}

void __wrap_call_record_note(struct worker *of, uint64_t id, struct span text);
void __wrap_call_record_note(struct worker *of, uint64_t id, struct span text)
{
	assert_int_equal(told.finals, 0); /* which would be too late */
	told.notes++;
	told.id = id;
	assert_true(text.length > 0 && span_copy(told.note, sizeof told.note, text));
}

/* Line and header fields of a response. Whether there is anything to it. */
static bool watch(const char *line, const char *lines, const char *note)
{
	static struct worker worker;
	static char text[65536];
	const struct watched_call call = { .record = 77, .customer = 0xac3e, .note = note };

	memset(&told, 0, sizeof told);
	snprintf(text, sizeof text, "SIP/2.0 %s\r\n%sContent-Length: 0\r\n\r\n", line, lines);
	assert_true(sip_head_read(&head, span_of(text)));
	watch_response(&worker, &call, &head, "198.51.100.7:5060");
	assert_true(told.finals + told.notes == 0 || told.id == 77);
	return watch_wants(&head);
}

#define STIR_436 "Reason: STIR;cause=436;text=\"Bad Identity Info\"\r\n"

static void what_is_said_of_an_identity_is_noted_though_the_call_goes_on(void **state)
{
	static const struct {
		const char *behaviour, *line, *lines, *note;
	} cases[] = {
		{ "ringing", "180 Ringing", STIR_436,
			"180 from 198.51.100.7:5060; Reason: STIR;cause=436;text=\"Bad Identity Info\"" },
		{ "accepted", "200 OK", STIR_436,
			"200 from 198.51.100.7:5060; Reason: STIR;cause=436;text=\"Bad Identity Info\"" },
		{ "no phrase, another form", "183 ", "reason:  stir ;\tcause=438 \r\n",
			"183 from 198.51.100.7:5060; Reason: stir ;\tcause=438" },
		{ "without other protocols", "180 Ringing",
			"Reason: Q.850;cause=16\r\nReason: SIP;cause=200;text=\", STIR;\", STIR;cause=437, STIRX;a\r\n" STIR_436,
			"180 from 198.51.100.7:5060; Reason: STIR;cause=437; Reason: STIR;cause=436;text=\"Bad Identity Info\"" },
		{ "100 is of the next hop alone", "100 Trying", STIR_436, "" },
		{ "no Reason", "180 Ringing", "", "" },
		{ "an empty one", "180 Ringing", "Reason:\r\nReason: ,,\r\n", "" },
		{ "of another protocol", "180 Ringing", "Reason: Q.850;cause=16;text=\"STIR\"\r\nReason: STIRX\r\n", "" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		bool final = cases[i].line[0] == '2', noted = cases[i].note[0] != '\0';

		if (watch(cases[i].line, cases[i].lines, NULL) != (final || noted) || told.notes != noted ||
			told.finals != final || strcmp(told.note, cases[i].note) != 0)
			fail_msg("%s: %u, %u: %s", cases[i].behaviour, told.notes, told.finals, told.note);
	}
}

static void a_final_ends_the_record(void **state)
{
	assert_true(watch("200 OK", "", "kept in memory"));
	assert_int_equal(told.status, 200);
	assert_string_equal(told.why, "kept in memory");
	assert_true(watch("200 OK", "", NULL));
	assert_string_equal(told.why, "");
	assert_true(watch("486 Busy Here", "Reason: Q.850;cause=17\r\n" STIR_436, "kept in memory"));
	assert_int_equal(told.status, 486);
	assert_int_equal(told.notes, 0);
	assert_string_equal(told.by, "198.51.100.7:5060");
	assert_string_equal(told.why,
		"486 Busy Here; Reason: Q.850;cause=17; Reason: STIR;cause=436;text=\"Bad Identity Info\"");
}

/* Its beginning says what it is. */
static void what_is_long_is_cut(void **state)
{
	static char lines[40000], phrase[30000] = "486 ";

	for (size_t i = 0; i < 100; i++)
		strcat(lines, "Reason: STIR;cause=436;ppi=\"" TOKEN TOKEN TOKEN "\"\r\n");
	assert_true(watch("183 x", lines, NULL));
	assert_in_range(strlen(told.note), 256, 512);
	assert_memory_equal(told.note, "183 from 198.51.100.7:5060; Reason: STIR;cause=436;ppi=\"ey", 58);
	assert_true(watch("438 x", lines, NULL));
	assert_in_range(strlen(told.why), 256, 512);
	assert_memory_equal(told.why, "438 x; Reason: STIR;cause=436;ppi=\"ey", 37);
	memset(phrase + 4, 'x', sizeof phrase - 5);
	assert_true(watch(phrase, STIR_436, NULL));
	assert_in_range(strlen(told.why), 256, 512);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_mark_is_of_the_signature_alone),
		cmocka_unit_test(the_mark_of_anything_is_never_none),
		cmocka_unit_test(takes_out_what_tells_of_our_token),
		cmocka_unit_test(what_is_said_of_an_identity_is_noted_though_the_call_goes_on),
		cmocka_unit_test(a_final_ends_the_record),
		cmocka_unit_test(what_is_long_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
