#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stirrup/net.h"
#include "stirrup/sip_uri.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void assert_span(struct span span, const char *text)
{
	assert_int_equal(span.length, strlen(text));
	assert_memory_equal(span.length > 0 ? span.at : "", text, span.length);
}

static void reads_every_form(void **state)
{
	static const struct {
		const char *uri, *user, *host, *port, *params;
		bool secure;
	} cases[] = {
		{ "sip:host", "", "host", "", "", false },
		{ "SIP:host", "", "host", "", "", false },
		{ "sips:host:5061", "", "host", "5061", "", true },
		{ "SipS:a@host", "a", "host", "", "", true },
		{ "sip:alice:secret@example.com:5070;transport=tcp;lr", "alice:secret", "example.com", "5070",
			";transport=tcp;lr", false },
		{ "sip:+12155551212;phone-context=+1;tgrp=a?b@192.0.2.1", "+12155551212;phone-context=+1;tgrp=a?b",
			"192.0.2.1", "", "", false },
		{ "sip:%61%40%3b;x@host", "%61%40%3b;x", "host", "", "", false },
		{ "sip:[2001:db8::1]", "", "[2001:db8::1]", "", "", false },
		{ "sip:a@[2001:db8::1]:5070;lr", "a", "[2001:db8::1]", "5070", ";lr", false },
		{ "sip:host?subject=x&priority=urgent", "", "host", "", "", false },
		{ "sip:host;x=1?subject=a;b", "", "host", "", ";x=1", false },
		{ "sip:host:5060?a=b", "", "host", "5060", "", false },
		{ "sip:host:;lr", "", "host", "", ";lr", false },
		{ "sip:a@host@elsewhere", "a", "host@elsewhere", "", "", false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct sip_uri uri;

		assert_true(sip_uri_read(&uri, span_of(cases[i].uri)));
		assert_int_equal(uri.secure, cases[i].secure);
		assert_span(uri.user, cases[i].user);
		assert_span(uri.host, cases[i].host);
		assert_span(uri.port, cases[i].port);
		assert_span(uri.params, cases[i].params);
	}
}

static void refuses_what_is_none(void **state)
{
	static const char *const uris[] = { "", "s", "sip", "sip:", "sips:", "sip:@", "sip:a@", "sip:;lr", "sip::5060",
		"sip:a@:5060", "sip:[", "sip:[2001:db8::1", "sip:[::1]x", "sip:a@?b", "sip:@host", "sip:@host;x=a@elsewhere",
		"tel:+12155551212", "http://host",
		"<sip:host>", " sip:host", "sip2:host", "urn:service:sos" };
	struct sip_uri uri;

	for (size_t i = 0; i < COUNT(uris); i++)
		if (sip_uri_read(&uri, span_of(uris[i])))
			fail_msg("%s", uris[i]);
}

/* --- Where it leads to --- */

static void leads_to_literal_addresses_only(void **state)
{
	static const struct {
		const char *uri, *address; /* NULL: nowhere */
		enum transport transport;
	} cases[] = {
		{ "sip:192.0.2.1", "192.0.2.1:5060", TRANSPORT_UDP },
		{ "sip:a;x=@y@192.0.2.1:5070;lr", NULL, 0 },
		{ "sip:a;x=y@192.0.2.1:5070;lr", "192.0.2.1:5070", TRANSPORT_UDP },
		{ "sip:192.0.2.1:65535;transport=udp", "192.0.2.1:65535", TRANSPORT_UDP },
		{ "sip:192.0.2.1:1;Transport=TCP", "192.0.2.1:1", TRANSPORT_TCP },
		{ "sip:192.0.2.1:05060", "192.0.2.1:5060", TRANSPORT_UDP },
		{ "sip:[2001:db8::1]", "[2001:db8::1]:5060", TRANSPORT_UDP },
		{ "sip:a@[2001:db8::1]:5070;transport=tcp", "[2001:db8::1]:5070", TRANSPORT_TCP },
		{ "sip:192.0.2.1;maddr=203.0.113.1", "192.0.2.1:5060", TRANSPORT_UDP },
		{ "sip:192.0.2.1;transport=udp;transport=tls", "192.0.2.1:5060", TRANSPORT_UDP },
		/* Other transports. */
		{ "sip:192.0.2.1;transport=tls", NULL, 0 },
		{ "sip:192.0.2.1;transport=sctp", NULL, 0 },
		{ "sip:192.0.2.1;transport=ws", NULL, 0 },
		{ "sip:192.0.2.1;transport=", NULL, 0 },
		{ "sip:192.0.2.1;transport", NULL, 0 },
		{ "sips:192.0.2.1", NULL, 0 },
		/* Ports. */
		{ "sip:192.0.2.1:0", NULL, 0 },
		{ "sip:192.0.2.1:65536", NULL, 0 },
		{ "sip:192.0.2.1:65537", NULL, 0 },
		{ "sip:192.0.2.1:4294967297", NULL, 0 },
		{ "sip:192.0.2.1:18446744073709551617", NULL, 0 },
		{ "sip:192.0.2.1:-1", NULL, 0 },
		{ "sip:192.0.2.1:+5060", NULL, 0 },
		{ "sip:192.0.2.1: 5060", NULL, 0 },
		{ "sip:192.0.2.1:5060x", NULL, 0 },
		{ "sip:192.0.2.1:5060:5061", NULL, 0 },
		/* What is no address. */
		{ "sip:example.com", NULL, 0 },
		{ "sip:192.0.2", NULL, 0 },
		{ "sip:192.0.2.256", NULL, 0 },
		{ "sip:192.0.2.01", NULL, 0 },
		{ "sip:0xc0000201", NULL, 0 },
		{ "sip:3221225985", NULL, 0 },
		{ "sip:192.0.2.1.", NULL, 0 },
		{ "sip:192.0.2.1%00", NULL, 0 },
		{ "sip:2001:db8::1", NULL, 0 },
		{ "sip:[192.0.2.1]", NULL, 0 },
		{ "sip:[]", NULL, 0 },
		{ "sip:[fe80::1%eth0]", NULL, 0 },
		{ "sip:[2001:db8::1]]", NULL, 0 },
		{ "sip:a@192.0.2.1@192.0.2.2", NULL, 0 },
		/* What is no address of a host. */
		{ "sip:0.0.0.0", NULL, 0 },
		{ "sip:255.255.255.255", NULL, 0 },
		{ "sip:224.0.1.75", NULL, 0 },
		{ "sip:239.255.255.255", NULL, 0 },
		{ "sip:[::]", NULL, 0 },
		{ "sip:[::ffff:192.0.2.1]", NULL, 0 }, /* no socket of ours sends there */
		{ "sip:[::ffff:c000:201]:5060", NULL, 0 },
		{ "sip:[ff02::1]", NULL, 0 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct sockaddr_storage address;
		enum transport transport;
		char text[NET_TEXT_SIZE];
		struct sip_uri uri;
		bool leads = sip_uri_read(&uri, span_of(cases[i].uri)) && sip_uri_endpoint(&uri, &address, &transport);

		if (leads != (cases[i].address != NULL))
			fail_msg("%s", cases[i].uri);
		if (!leads)
			continue;
		net_text(text, (const struct sockaddr *)&address);
		assert_string_equal(text, cases[i].address);
		assert_int_equal(transport, cases[i].transport);
	}
}

static void a_nul_in_a_host_does_not_end_it(void **state)
{
	static const char text[] = "sip:192.0.2.1\0.example.com";
	struct sockaddr_storage address;
	enum transport transport;
	struct sip_uri uri;

	assert_true(sip_uri_read(&uri, (struct span){ text, sizeof text - 1 }));
	assert_int_equal(uri.host.length, sizeof text - 1 - 4);
	assert_false(sip_uri_endpoint(&uri, &address, &transport));
}

static void finds_a_parameter_in_any_letter_case(void **state)
{
	struct span value;
	struct sip_uri uri;

	assert_true(sip_uri_read(&uri, span_of("sip:a;st=no@host;LR;st=abc-_;x=\"y\"?st=none")));
	assert_true(sip_uri_param(&uri, "lr", &value));
	assert_int_equal(value.length, 0);
	assert_true(sip_uri_param(&uri, "st", &value));
	assert_span(value, "abc-_");
	assert_false(sip_uri_param(&uri, "s", &value));
	assert_false(sip_uri_param(&uri, "none", &value));
}

/* --- At another host --- */

static void moves_to_another_host(void **state)
{
	static const struct {
		const char *uri, *moved;
	} cases[] = {
		{ "sip:host", "sip:192.0.2.9:5060" },
		{ "sip:+12155551212;rn=+1;npdi@us:5060;user=phone", "sip:+12155551212;rn=+1;npdi@192.0.2.9:5060;user=phone" },
		{ "sips:a:pw@us", "sips:a:pw@192.0.2.9:5060" },
		{ "sip:a@us;transport=tcp;x=1;maddr=203.0.113.1;user=phone", "sip:a@192.0.2.9:5060;x=1;user=phone" },
		{ "sip:a@us;TRANSPORT=tls;MADDR=x", "sip:a@192.0.2.9:5060" },
		{ "sip:a@us;maddr =x; Transport = tcp;x", "sip:a@192.0.2.9:5060;x" },
		{ "sip:a@us;transport;maddr", "sip:a@192.0.2.9:5060" },
		{ "sip:a@us;transports=1;xmaddr=2", "sip:a@192.0.2.9:5060;transports=1;xmaddr=2" },
		{ "sip:a@us;;x", "sip:a@192.0.2.9:5060;;x" },
		{ "sip:a@us?subject=x", "sip:a@192.0.2.9:5060" },
		{ "sip:a@[2001:db8::1]:5070;lr", "sip:a@192.0.2.9:5060;lr" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char out[256];
		struct sip_uri uri;
		size_t whole = strlen(cases[i].moved) + 1;

		assert_true(sip_uri_read(&uri, span_of(cases[i].uri)));
		assert_true(sip_uri_at(out, sizeof out, &uri, "192.0.2.9:5060"));
		assert_string_equal(out, cases[i].moved);
		for (size_t size = 0; size < whole; size++)
			assert_false(sip_uri_at(out, size, &uri, "192.0.2.9:5060"));
		assert_true(sip_uri_at(out, whole, &uri, "192.0.2.9:5060"));
	}
}

/* Each prefix stands at the end of its own memory, so that a look behind it shows. */
static void no_length_of_any_text_reads_further(void **state)
{
	static const char *const texts[] = { "sips:a;b=c@[2001:db8::1]:5070;transport=tcp;lr;x=\"y\"?a=b",
		"sip:192.0.2.1:5060;maddr=1" };

	for (size_t i = 0; i < COUNT(texts); i++)
		for (size_t length = 0; length <= strlen(texts[i]); length++) {
			char *text = malloc(length > 0 ? length : 1), out[128];
			struct sockaddr_storage address;
			enum transport transport;
			struct span value;
			struct sip_uri uri;

			assert_non_null(text);
			memcpy(text, texts[i], length);
			if (sip_uri_read(&uri, (struct span){ text, length })) {
				sip_uri_endpoint(&uri, &address, &transport);
				sip_uri_param(&uri, "lr", &value);
				sip_uri_at(out, sizeof out, &uri, "h");
			}
			free(text);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_every_form),
		cmocka_unit_test(refuses_what_is_none),
		cmocka_unit_test(leads_to_literal_addresses_only),
		cmocka_unit_test(a_nul_in_a_host_does_not_end_it),
		cmocka_unit_test(finds_a_parameter_in_any_letter_case),
		cmocka_unit_test(moves_to_another_host),
		cmocka_unit_test(no_length_of_any_text_reads_further),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
