#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../src/sip/outgoing.h"
#include "../../src/sip/stamp.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct stamps stamps;
static struct sip_head head;
static struct sip_edit edit;

/* --- From, as verification stamps it and as the caller sees it --- */

/* A verified call of +12155551212 with that From, whose verstat goes into From. */
static void stamp(const char *from)
{
	static struct peer peer = {
		.mode = MODE_FORWARD,
		.service = SERVICE_VERIFY,
		.verstat_place = VERSTAT_IN_FROM,
		.dial_plan = { .country_code = "1" },
	};
	static struct verification verification = { .orig_kind = TN_NUMBER, .orig = { "12155551212" } };
	struct call call = { .peer = &peer, .verification = &verification, .request.facts.from = span_of(from) };
	struct judgement judgement = { .result = VERIFY_FAILED, .reason = VERDICT_BAD_SIGNATURE, .index = -1 };

	stamp_begin(&stamps);
	stamp_verified(&stamps, &call, &judgement);
}

static const char *const displays[] = { "", "Alice ", "Alice", "\"A, \\\" <b> ;verstat=x\" ", "\"\"", "J\xc3\xb6rg \t" };
static const char *const uris[] = { "sip:+12155551212@example.com", "sip:+12155551212@192.0.2.1:5070;user=phone;transport=udp",
	"sip:+1-215-555-1212;npdi;rn=+1@[2001:db8::1]", "sip:2155551212@example.com?subject=x", "tel:+12155551212",
	"tel:+1(215)555-1212", "sips:+12155551212:secret@example.com", "SIP:+12155551212@EXAMPLE.com" };
static const char *const bracketed_only[] = { "tel:2155551212;phone-context=+1", "tel:+12155551212;npdi;cic=+10288" };
static const char *const params[] = { "", ";tag=1928301774", " ;tag=1928301774", ";tag=1 ; x=\"a;b>\"", "; tag = 1;y",
	"\t;tag=a~b.c" };

static unsigned checked;

static void assert_restored(const char *from)
{
	char restored[1024], sent[1024];

	stamp(from);
	if (stamps.from.length == 0)
		return;
	checked++;
	assert_true(span_copy(sent, sizeof sent, stamps.from));
	assert_non_null(strstr(sent, ";verstat=TN-Validation-Failed"));
	if (stamps.from_received.length > 0)
		assert_true(span_copy(restored, sizeof restored, stamps.from_received));
	else
		assert_true(outgoing_unstamp(restored, sizeof restored, stamps.from, stamps.flags));
	assert_string_equal(restored, from);
}

static void the_caller_sees_the_from_that_it_sent(void **state)
{
	char from[1024];

	checked = 0;
	for (size_t i = 0; i < COUNT(params); i++) {
		for (size_t j = 0; j < COUNT(uris); j++) {
			snprintf(from, sizeof from, "%s%s", uris[j], params[i]);
			assert_restored(from);
			for (size_t k = 0; k < COUNT(displays); k++) {
				snprintf(from, sizeof from, "%s<%s>%s", displays[k], uris[j], params[i]);
				assert_restored(from);
				snprintf(from, sizeof from, "%s< %s>%s", displays[k], uris[j], params[i]);
				assert_restored(from);
				snprintf(from, sizeof from, "%s<%s  >%s", displays[k], uris[j], params[i]);
				assert_restored(from);
			}
		}
		for (size_t j = 0; j < COUNT(bracketed_only); j++)
			for (size_t k = 0; k < COUNT(displays); k++) {
				snprintf(from, sizeof from, "%s<%s>%s", displays[k], bracketed_only[j], params[i]);
				assert_restored(from);
			}
	}
	/* Each is stamped, but for those whose number is in another plan. */
	assert_true(checked > COUNT(params) * (COUNT(uris) - 1) * (3 * COUNT(displays) + 1));
}

static void a_verstat_of_its_own_comes_back_to_it(void **state)
{
	static const char *const froms[] = {
		"<sip:+12155551212;verstat=TN-Validation-Passed@a>;tag=1",
		"<tel:+12155551212;verstat=TN-Validation-Passed>;tag=1",
		"sip:+12155551212@a;tag=1;verstat=x",
		"<sip:+12155551212@a;verstat=x>;tag=1",
	};

	for (size_t i = 0; i < COUNT(froms); i++) {
		stamp(froms[i]);
		assert_int_equal(stamps.from_received.length, strlen(froms[i]));
		assert_restored(froms[i]);
	}
}

static void a_from_that_was_not_stamped_stays(void **state)
{
	char out[256];

	assert_false(outgoing_unstamp(out, sizeof out, span_of("<sip:+1;verstat=x@a>"), 0));
	assert_false(outgoing_unstamp(out, sizeof out, span_of("<sip:+1;verstat=x@a>"), SEAL_FROM_BRACKETED));
	assert_false(outgoing_unstamp(out, sizeof out, span_of("<sip:+1@a>;tag=1"), SEAL_FROM_STAMPED));
	assert_false(outgoing_unstamp(out, sizeof out, span_of(""), SEAL_FROM_STAMPED | SEAL_FROM_BRACKETED));
}

/* What comes back need not be what was sent. */
static void any_text_may_come_back(void **state)
{
	static const char *const texts[] = { "<sip:+1;verstat=x@a>;tag=1", "sip:+1;verstat=x@a;tag=1", "\"x\" <tel:+1;verstat=y>",
		"<sip:a;verstat=1@b>, <sip:c;verstat=2@d>;x", "<<sip:+1;verstat=x@a>>", "<sip:+1;verstat=x@a", ";verstat=x",
		"< sip:+1;verstat=x@a >;tag=1", "\"<sip:+1;verstat=x@a>", "<tel:+1>;verstat=x;tag=\"" };
	static const uint8_t flags[] = { SEAL_FROM_STAMPED, SEAL_FROM_STAMPED | SEAL_FROM_BRACKETED };

	for (size_t i = 0; i < COUNT(texts); i++)
		for (size_t length = 0; length <= strlen(texts[i]); length++)
			for (size_t k = 0; k < COUNT(flags); k++)
				for (size_t size = 1; size <= 64; size++) {
					char *text = malloc(length > 0 ? length : 1), *out = malloc(size);

					assert_non_null(text);
					assert_non_null(out);
					memcpy(text, texts[i], length);
					if (outgoing_unstamp(out, size, (struct span){ text, length }, flags[k])) {
						assert_true(memchr(out, '\0', size) != NULL);
						assert_true(strlen(out) <= length);
					}
					free(text);
					free(out);
				}
}

/* --- Max-Forwards --- */

static const char *with_max_forwards(const char *line)
{
	static char text[1024], out[2048];
	struct sip_basics basics;
	struct span message;

	snprintf(text, sizeof text,
		"BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a\r\n%sFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: 1\r\n"
		"CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
		line);
	assert_true(sip_head_read(&head, span_of(text)) && sip_basics_read(&basics, &head));
	sip_edit_begin(&edit, &head);
	outgoing_max_forwards(&edit, &basics);
	assert_true(sip_edit_write(&edit, out, sizeof out - 1, &message));
	out[message.length] = '\0';
	return out;
}

/* RFC 3261 section 16.6 step 3. */
static void max_forwards_counts_down(void **state)
{
	static const struct {
		const char *line, *expected;
	} cases[] = {
		{ "Max-Forwards: 70\r\n", "\r\nMax-Forwards: 69\r\n" },
		{ "max-forwards:1\r\n", "\r\nmax-forwards: 0\r\n" },
		{ "Max-Forwards: 0\r\n", "\r\nMax-Forwards: 0\r\n" },
		{ "Max-Forwards: x\r\n", "\r\nMax-Forwards: 69\r\n" },
		{ "Max-Forwards: 12345678901\r\n", "\r\nMax-Forwards: 254\r\n" },
		{ "", "\r\nMax-Forwards: 70\r\n" },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_non_null(strstr(with_max_forwards(cases[i].line), cases[i].expected));
}

/* --- What signing and verification add and take away --- */

static const char *with_result(const char *lines, const struct call_outcome *outcome)
{
	static char text[4096], out[8192];
	struct span message;

	snprintf(text, sizeof text, "INVITE sip:a@b SIP/2.0\r\nFrom: <sip:a@b>;tag=1\r\n%s\r\n", lines);
	assert_true(sip_head_read(&head, span_of(text)));
	sip_edit_begin(&edit, &head);
	outgoing_result(&edit, outcome);
	assert_true(sip_edit_write(&edit, out, sizeof out - 1, &message));
	out[message.length] = '\0';
	return out;
}

/* RFC 8224 section 6.1 step 3. */
static void an_identity_brings_a_date_where_there_is_none(void **state)
{
	struct call_outcome outcome = { .identity = span_of("a.b.c;info=<x>"), .iat = 1443208345 };

	assert_string_equal(with_result("Identity: theirs\r\n", &outcome),
		"INVITE sip:a@b SIP/2.0\r\nFrom: <sip:a@b>;tag=1\r\nIdentity: theirs\r\nIdentity: a.b.c;info=<x>\r\n"
		"Date: Fri, 25 Sep 2015 19:12:25 GMT\r\nContent-Length: 0\r\n\r\n");
	assert_string_equal(with_result("DATE: whenever\r\n", &outcome),
		"INVITE sip:a@b SIP/2.0\r\nFrom: <sip:a@b>;tag=1\r\nDATE: whenever\r\nIdentity: a.b.c;info=<x>\r\n"
		"Content-Length: 0\r\n\r\n");
}

static void a_call_without_a_result_stays_as_it_is(void **state)
{
	struct call_outcome outcome = { 0 };

	assert_string_equal(with_result("P-Asserted-Identity: <tel:+1;verstat=x>\r\nAttestation-Info: A\r\n", &outcome),
		"INVITE sip:a@b SIP/2.0\r\nFrom: <sip:a@b>;tag=1\r\nP-Asserted-Identity: <tel:+1;verstat=x>\r\n"
		"Attestation-Info: A\r\nContent-Length: 0\r\n\r\n");
}

static void stamps_stand_where_the_stamped_stood(void **state)
{
	struct call_outcome outcome = { .stamps = &stamps };

	stamp_begin(&stamps);
	stamps.asserted[0] = span_of("<tel:+1;verstat=v>");
	stamps.asserted[1] = (struct span){ "", 0 };
	stamps.asserted[2] = span_of("<tel:+3>");
	stamps.asserted_count = 3;
	stamps.from = span_of("<sip:a;verstat=v@b>;tag=1");
	stamps.drops_claimed = true;
	stamps.added[0] = (struct extra_header){ "Attestation-Info", span_of("A") };
	stamps.added_count = 1;
	/* A fourth one was not looked at: it goes. */
	assert_string_equal(with_result("P-Asserted-Identity: <tel:+1>\r\nX: 1\r\np-asserted-identity:<tel:+2>\r\n"
					"P-Asserted-Identity:   <tel:+3>\r\nP-Attestation-Info: C\r\nP-Asserted-Identity: <tel:+4>\r\n",
				    &outcome),
		"INVITE sip:a@b SIP/2.0\r\nFrom: <sip:a;verstat=v@b>;tag=1\r\nP-Asserted-Identity: <tel:+1;verstat=v>\r\nX: 1\r\n"
		"P-Asserted-Identity:   <tel:+3>\r\nAttestation-Info: A\r\nContent-Length: 0\r\n\r\n");
}

/* RFC 3261 section 25.1: a name is a token. */
static void what_only_looks_like_a_name_goes_with_the_claims(void **state)
{
	struct call_outcome outcome = { .stamps = &stamps };
	static const char lines[] = "P-Asserted-Identity\v: <tel:+1;verstat=x>\r\nAttestation-Info\xc2\xa0: A\r\nX: 1\r\n"
				    "\x85P-Asserted-Identity: <tel:+2>\r\nX-`~_.!%*+': 2\r\n";

	stamp_begin(&stamps);
	stamps.drops_claimed = true;
	assert_string_equal(with_result(lines, &outcome),
		"INVITE sip:a@b SIP/2.0\r\nFrom: <sip:a@b>;tag=1\r\nX: 1\r\nX-`~_.!%*+': 2\r\nContent-Length: 0\r\n\r\n");
	stamps.drops_claimed = false;
	assert_non_null(strstr(with_result(lines, &outcome), lines));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_caller_sees_the_from_that_it_sent),
		cmocka_unit_test(a_verstat_of_its_own_comes_back_to_it),
		cmocka_unit_test(a_from_that_was_not_stamped_stays),
		cmocka_unit_test(any_text_may_come_back),
		cmocka_unit_test(max_forwards_counts_down),
		cmocka_unit_test(an_identity_brings_a_date_where_there_is_none),
		cmocka_unit_test(a_call_without_a_result_stays_as_it_is),
		cmocka_unit_test(stamps_stand_where_the_stamped_stood),
		cmocka_unit_test(what_only_looks_like_a_name_goes_with_the_claims),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
