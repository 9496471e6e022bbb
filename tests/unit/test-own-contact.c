#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stirrup/own_contact.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static char out[2048];

static void assert_written(size_t length, const char *text)
{
	assert_int_equal(length, strlen(text));
	assert_memory_equal(out, text, length);
}

static void shows_us_in_place_of_the_far_side(void **state)
{
	static const struct {
		const char *contact, *transport, *shown, *uri;
	} cases[] = {
		{ "<sip:alice@192.0.2.1:5070>", "udp", "<sip:alice@us:5060>", "sip:alice@us:5060" },
		{ "sip:alice@192.0.2.1", "tcp", "<sip:alice@us:5060;transport=tcp>", "sip:alice@us:5060;transport=tcp" },
		{ "sip:alice@192.0.2.1;expires=60", "udp", "<sip:alice@us:5060>;expires=60", "sip:alice@us:5060" },
		{ " \"Mr. \\\"<A>\\\", x\" \r\n <sip:+1215;tgrp=tg-1;trunk-context=example.com@[2001:db8::1]:5060;transport=udp;ob?a=b>"
		  ";+sip.instance=\"<urn:uuid:0>\" ; isfocus;q=0.7",
			"udp",
			"\"Mr. \\\"<A>\\\", x\" \r\n <sip:+1215;tgrp=tg-1;trunk-context=example.com@us:5060>"
			";+sip.instance=\"<urn:uuid:0>\" ; isfocus;q=0.7",
			"sip:+1215;tgrp=tg-1;trunk-context=example.com@us:5060" },
		{ "Alice W <SIP:a?b/c;d=%40&=+$,:pw@h>", "tls", "Alice W <sip:a?b/c;d=%40&=+$,:pw@us:5060;transport=tls>",
			"sip:a?b/c;d=%40&=+$,:pw@us:5060;transport=tls" },
		{ "<sip:John Doe@h>", "udp", "<sip:John Doe@us:5060>", "sip:John Doe@us:5060" },
		{ "< sip:a@h >", "udp", "<sip:a@us:5060>", "sip:a@us:5060" },
		{ "<sip:192.0.2.1:5070;lr>", "udp", "<sip:us:5060>", "sip:us:5060" },
		{ "<sip:@h>", "udp", "<sip:us:5060>", "sip:us:5060" },
		{ "<sip:a@b@c>", "udp", "<sip:a@us:5060>", "sip:a@us:5060" },
		{ "<sip:a@h;gr=urn:uuid:1>, <sip:b@i>", "udp", "<sip:a@us:5060>", "sip:a@us:5060" },
		{ "<sip:a@h>;x=\",\", <sip:b@i>", "udp", "<sip:a@us:5060>;x=\",\"", "sip:a@us:5060" },
		{ "<sips:a@h:5061;transport=tcp>", "tcp", "<sip:a@us:5060;transport=tcp>", "sip:a@us:5060;transport=tcp" },
		{ "<tel:+1-215-555-1212;isub=1>;q=1", "tcp", "<sip:+1-215-555-1212;isub=1@us:5060;transport=tcp;user=phone>;q=1",
			"sip:+1-215-555-1212;isub=1@us:5060;transport=tcp;user=phone" },
		{ "<tel:911;phone-context=+1;x=[a:b]@>", "udp",
			"<sip:911;phone-context=+1;x=%5Ba%3Ab%5D%40@us:5060;user=phone>",
			"sip:911;phone-context=+1;x=%5Ba%3Ab%5D%40@us:5060;user=phone" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct span contact = span_of(cases[i].contact), us = span_of("us:5060");

		assert_written(own_contact_write(out, sizeof out, contact, us, cases[i].transport), cases[i].shown);
		assert_written(own_contact_uri(out, sizeof out, contact, us, cases[i].transport), cases[i].uri);
	}
}

static void knows_what_is_no_target(void **state)
{
	static const char *const contacts[] = { "", " ", "*", "<>", "<*>", "alice", "sip:", "<sip:>", "<sip:a@h", "\"open <sip:a@h>",
		"<http://a@h>", "<mailto:a@h>", "<urn:service:sos>", "sipx:a@h", ";q=1", ", <sip:a@h>", "<sip:a@h> x",
		"<sip:a\r\n@h>", "<sip:a<b@h>", "<sip:\"a\"@h>", "sip:a@h>" };

	for (size_t i = 0; i < COUNT(contacts); i++) {
		assert_int_equal(own_contact_write(out, sizeof out, span_of(contacts[i]), span_of("us"), "udp"), 0);
		assert_int_equal(own_contact_uri(out, sizeof out, span_of(contacts[i]), span_of("us"), "udp"), 0);
	}
	assert_int_equal(own_contact_write(out, sizeof out, (struct span){ NULL, 0 }, span_of("us"), "udp"), 0);
	assert_int_equal(own_contact_write(out, sizeof out, (struct span){ "<sip:a\0@h>", 10 }, span_of("us"), "udp"), 0);
}

/* Each prefix stands in a block of its own, so that a sanitizer sees a read behind it. */
static void reads_and_writes_nothing_behind_an_end(void **state)
{
	static const char text[] = "\"A\" <sip:alice;tgrp=1@192.0.2.1;lr>;q=\"1\"", shown[] = "\"A\" <sip:alice;tgrp=1@us>;q=\"1\"";

	for (size_t length = 0; length < sizeof text; length++) {
		char *copy = malloc(length > 0 ? length : 1);

		memcpy(copy, text, length);
		own_contact_write(out, sizeof out, (struct span){ copy, length }, span_of("us"), "udp");
		free(copy);
	}
	for (size_t size = 0; size < sizeof shown - 1; size++)
		assert_int_equal(own_contact_write(out, size, span_of(text), span_of("us"), "udp"), 0);
	assert_written(own_contact_write(out, sizeof shown - 1, span_of(text), span_of("us"), "udp"), shown);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_us_in_place_of_the_far_side),
		cmocka_unit_test(knows_what_is_no_target),
		cmocka_unit_test(reads_and_writes_nothing_behind_an_end),
	};

	return cmocka_run_group_tests_name("own-contact", tests, NULL, NULL);
}
