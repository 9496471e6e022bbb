/* What an INVITE says that we decide by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "stirrup/sip_request.h"

#define HEAD \
	"INVITE sip:+12155551213@192.0.2.1;user=phone SIP/2.0\r\n" \
	"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1, SIP/2.0/UDP 192.0.2.8;branch=z9hG4bK0\r\n" \
	"From: <sip:+12155551212@192.0.2.9>;tag=1\r\nTo: <sip:+12155551213@192.0.2.1>\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n"

static struct sip_head head;
static struct sip_request request;

static void read_with(const char *lines)
{
	static char text[4096];

	snprintf(text, sizeof text, HEAD "%s\r\n", lines);
	assert_true(sip_head_read(&head, span_of(text)));
	sip_request_read(&request, &head);
}

static void values_are_as_received(void **state)
{
	read_with("X-Attestation-Info: A\r\nP-Asserted-Identity:  <tel:+1>\r\n ;x , <tel:+2> \r\ny: one\r\nIDENTITY: two\r\n"
		  "p-asserted-identity: <tel:+3>\r\nattestation-info: B\r\nX: y\r\n");
	assert_true(span_is(request.facts.request_uri, "sip:+12155551213@192.0.2.1;user=phone"));
	assert_true(span_is(request.facts.from, "<sip:+12155551212@192.0.2.9>;tag=1"));
	assert_true(span_is(request.facts.to, "<sip:+12155551213@192.0.2.1>"));
	assert_int_equal(request.facts.date.length, 0);
	assert_int_equal(request.facts.pai_count, 2);
	assert_true(span_is(request.facts.pai[0], "<tel:+1>\r\n ;x , <tel:+2>"));
	assert_true(span_is(request.facts.pai[1], "<tel:+3>"));
	assert_int_equal(request.facts.identity_count, 2);
	assert_true(span_is(request.facts.identity[0], "one"));
	assert_true(span_is(request.facts.identity[1], "two"));
	assert_int_equal(request.claimed_count, 2);
	assert_string_equal(request.claimed[0], "X-Attestation-Info");
	assert_string_equal(request.claimed[1], "Attestation-Info");
}

static void a_date_is_read_as_it_came_and_the_first_one_counts(void **state)
{
	read_with("Date: Tue, 24 Nov 2026 22:00:00 CET\r\nDate: Tue, 24 Nov 2026 22:00:01 GMT\r\n");
	assert_true(span_is(request.facts.date, "Tue, 24 Nov 2026 22:00:00 CET"));
}

static void no_more_than_there_is_room_for(void **state)
{
	char lines[2048] = "";

	for (size_t i = 0; i < CALL_PAI_MAX + CALL_IDENTITY_MAX + CLAIMED_MAX; i++)
		strcat(lines, "y: 1\r\nP-Asserted-Identity: <tel:+1>\r\nOrigination-Id: 2\r\n");
	read_with(lines);
	assert_int_equal(request.facts.pai_count, CALL_PAI_MAX);
	assert_int_equal(request.facts.identity_count, CALL_IDENTITY_MAX);
	assert_int_equal(request.claimed_count, CLAIMED_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_as_received),
		cmocka_unit_test(a_date_is_read_as_it_came_and_the_first_one_counts),
		cmocka_unit_test(no_more_than_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
