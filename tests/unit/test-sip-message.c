/* Sofia-SIP's form of a message, and its bytes given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "stirrup/sip_message.h"

#define HEAD \
	"INVITE sip:+12155551213@192.0.2.1 SIP/2.0\r\n" \
	"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1, SIP/2.0/UDP 192.0.2.8;branch=z9hG4bK0\r\n" \
	"From: <sip:+12155551212@192.0.2.9>;tag=1\r\nTo: <sip:+12155551213@192.0.2.1>\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n"

static void the_bytes_come_back_as_they_were(void **state)
{
	static const char *const texts[] = {
		HEAD "X-A:  b \r\n c\r\nSubject:\r\nContent-Length: 5\r\n\r\nab\r\nc",
		"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP a;branch=1,SIP/2.0/UDP b\r\nf: <sip:a@b>;tag=1\r\nt: <sip:c@d>;tag=2\r\n"
		"i: x\r\nCSeq: 1 INVITE\r\nContact: <sip:a@b>, <sip:c@d>\r\nRecord-Route: <sip:e;lr>, <sip:f;lr>\r\nl: 0\r\n\r\n",
		/* What may stand once and stands twice. */
		HEAD "Max-Forwards: 70\r\nMax-Forwards: 69\r\n\r\n",
		HEAD "Subject: a\r\nSubject: b\r\n\r\n",
		HEAD "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
		HEAD "User-Agent: a\r\nUser-Agent: b\r\n\r\n",
		HEAD "Date: Tue, 24 Nov 2026 22:00:00 GMT\r\nDate: Tue, 24 Nov 2026 22:00:01 CET\r\n\r\n",
		HEAD "From: <sip:x@y>\r\n\r\n",
		HEAD "To: <sip:x@y>\r\n\r\n",
		HEAD "Call-ID: b\r\n\r\n",
		HEAD "CSeq: 2 INVITE\r\n\r\n",
		HEAD "Privacy: id\r\nPrivacy: none\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		char out[2048];
		msg_t *message = sip_message_parse(span_of(texts[i]));
		size_t length = sip_message_bytes(out, sizeof out, message);

		assert_int_equal(length, strlen(texts[i]));
		assert_memory_equal(out, texts[i], length);
		for (size_t size = 0; size < length; size++)
			assert_int_equal(sip_message_bytes(out, size, message), 0);
		msg_destroy(message);
	}
}

static bool can_be_sent(const char *text, size_t length)
{
	msg_t *message = sip_message_to_send((struct span){ text, length });

	if (message == NULL)
		return false;
	msg_destroy(message);
	return true;
}

static void what_would_leave_in_part_does_not_leave(void **state)
{
	static const char whole[] = HEAD "X-A:  b \r\n c\r\nContact: <sip:a@b>, <sip:c@d>\r\nTo: <sip:x@y>\r\n"
		"Warning: 399\r\nDate: today\r\nl: 6\r\n\r\na\0b\r\n\0";
	static const char early[] = HEAD "Subject: a\0b\r\nl: 0\r\n\r\n", late[] = HEAD "l: 3\r\n\r\nabcd",
		open[] = HEAD "l: 3\r\n\r\nab";

	assert_true(can_be_sent(whole, sizeof whole - 1));
	assert_false(can_be_sent(early, sizeof early - 1));
	assert_false(can_be_sent(late, sizeof late - 1));
	assert_false(can_be_sent(open, sizeof open - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bytes_come_back_as_they_were),
		cmocka_unit_test(what_would_leave_in_part_does_not_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
