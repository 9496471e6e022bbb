#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stirrup/via.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void assert_span(struct span span, const char *text)
{
	assert_int_equal(span.length, strlen(text));
	assert_memory_equal(span.at, text, span.length);
}

static void reads_every_form(void **state)
{
	static const struct {
		const char *value, *transport, *host, *port, *branch, *received, *rport;
		bool has_rport;
		const char *seal;
	} cases[] = {
		{ "SIP/2.0/UDP pc33.example.com;branch=z9hG4bK776asdhds", "UDP", "pc33.example.com", "", "z9hG4bK776asdhds",
			"", "", false, "" },
		{ "SIP/2.0/UDP 192.0.2.1:5060;rport;received=192.0.2.7;branch=z9hG4bKkjshdyff", "UDP", "192.0.2.1", "5060",
			"z9hG4bKkjshdyff", "192.0.2.7", "", true, "" },
		{ "SIP/2.0/tls [2001:db8::9:1]:5061;received=2001:db8::9:255;rport=9;branch=b;s=AAAA-_", "tls",
			"[2001:db8::9:1]", "5061", "b", "2001:db8::9:255", "9", true, "AAAA-_" },
		{ "SIP/2.0/TCP [::1];received=[::2]", "TCP", "[::1]", "", "", "[::2]", "", false, "" },
		{ "SIP  / 2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw", "UDP", "192.0.2.2", "", "390skdjuw", "", "", false,
			"" },
		{ "SIP\t/\t2.0\t/ \tTCP     spindle.example.com  :\r\n 5070 ;\r\n  branch  =   z9hG4bK9ikj8  ;  S = x", "TCP",
			"spindle.example.com", "5070", "z9hG4bK9ikj8", "", "", false, "x" },
		{ "sip/2.0/!x-Transport host;x=\"a,b;branch=no\\\"\";BRANCH=\"quoted\"", "!x-Transport", "host", "", "quoted",
			"", "", false, "" },
		{ "SIP/2.0/UDP host;rport=;branch=;y=\"\"", "UDP", "host", "", "", "", "", true, "" },
		{ "SIP/2.0/UDP host;branch=one;branch=two;rport=1;rport=2", "UDP", "host", "", "one", "", "1", true, "" },
		{ "SIP/2.0/UDP host;branched=1;xbranch=2;ss=3;ttl=16;maddr=224.2.0.1", "UDP", "host", "", "", "", "", false,
			"" },
		{ "SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~", "TCP", "host1.example.com", "",
			"z9hG4bK-.!%66*_+`'~", "", "", false, "" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct span rest = span_of(cases[i].value);
		struct via via;

		assert_true(via_next(&rest, &via));
		assert_span(via.item, cases[i].value);
		assert_span(via.transport, cases[i].transport);
		assert_span(via.host, cases[i].host);
		assert_span(via.port, cases[i].port);
		assert_span(via.branch, cases[i].branch);
		assert_span(via.received, cases[i].received);
		assert_span(via.rport, cases[i].rport);
		assert_int_equal(via.has_rport, cases[i].has_rport);
		assert_span(via.seal, cases[i].seal);
		assert_int_equal(rest.length, 0);
		assert_false(via_next(&rest, &via));
	}
}

static void walks_along_a_list(void **state)
{
	struct span rest = span_of(" SIP/2.0/UDP a;x=\",\" ,\r\n SIP / 2.0 / TCP b:1,SIP/2.0/TLS c;branch=3 ,\t");
	static const char *const items[] = { "SIP/2.0/UDP a;x=\",\"", "SIP / 2.0 / TCP b:1", "SIP/2.0/TLS c;branch=3" };
	struct via via;

	for (size_t i = 0; i < COUNT(items); i++) {
		assert_true(via_next(&rest, &via));
		assert_span(via.item, items[i]);
	}
	assert_false(via_next(&rest, &via));
	assert_int_equal(rest.length, 0);
}

static void refuses_what_is_no_via(void **state)
{
	static const char *const values[] = { ",", "x", "SIP", "SIP/2.0", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0/UDP ;branch=x",
		"SIP/3.0/UDP a", "HTTP/2.0/UDP a", "SIP/2.0 UDP a", "SIP/2.0/UDP/a b", "SIP//UDP a", "/2.0/UDP a",
		"SIP/2.0/ a", "SIP/2.0/UDP,a", "SIP/2.0/UDP:a", "SIP/2.0/UDP [::1", "SIP/2.0/UDP [::1;branch=x]",
		"SIP/2.0/UDP [::1]x", "SIP/2.0/UDP a:", "SIP/2.0/UDP a:x", "SIP/2.0/UDP a:123456", "SIP/2.0/UDP a:-1",
		"SIP/2.0/UDP a:50 60", "SIP/2.0/UDP a b", "SIP/2.0/UDP a;", "SIP/2.0/UDP a;;branch=x", "SIP/2.0/UDP a;=x",
		"SIP/2.0/UDP 192.0.2.15;;,;,,", "SIP/2.0/UDP a;x=\"open", "SIP/2.0/UDP a;x=\"open\\\"",
		"SIP/2.0/UDP a;x=\"a\"b", "SIP/2.0/UDP a;x=a=b", "SIP/2.0/UDP a;x=a b", "SIP/2.0/UDP a;x=<a>",
		"SIP/2.0/UDP <a>", "SIP/2.0/UDP \"a\"", "SIP/2.0/UDP a\x01", "SIP/2.0/UDP a;b\x7f=c" };
	struct via via;

	for (size_t i = 0; i < COUNT(values); i++) {
		struct span rest = span_of(values[i]);

		assert_false(via_next(&rest, &via));
		assert_int_equal(rest.length, strlen(values[i]));
	}
}

/* Each prefix stands in a block of its own, so that a sanitizer sees a read behind it. */
static void reads_nothing_behind_its_end(void **state)
{
	static const char text[] = "SIP / 2.0 / UDP [2001:db8::1] : 5060 ; x = \"a\\\"\" ; branch = b ; rport , SIP/2.0/TCP c";

	for (size_t length = 0; length < sizeof text; length++) {
		char *copy = malloc(length > 0 ? length : 1);
		struct span rest = { copy, length };
		struct via via;

		memcpy(copy, text, length);
		while (via_next(&rest, &via))
			assert_true(via.item.at >= copy && via.item.at + via.item.length <= copy + length);
		free(copy);
	}
}

static void nul_ends_nothing_early(void **state)
{
	static const char text[] = "SIP/2.0/UDP a\0;branch=b", param[] = "SIP/2.0/UDP a;branch=b\0c";
	struct span rest = { text, sizeof text - 1 };
	struct via via;

	assert_false(via_next(&rest, &via));
	rest = (struct span){ param, sizeof param - 1 };
	assert_false(via_next(&rest, &via));
}

static void takes_long_values(void **state)
{
	static char text[65000];
	struct span rest = { text, sizeof text };
	struct via via;

	memset(text, 'x', sizeof text);
	memcpy(text, "SIP/2.0/UDP a;branch=", 21);
	assert_true(via_next(&rest, &via));
	assert_int_equal(via.branch.length, sizeof text - 21);
	memset(text, ' ', sizeof text);
	rest = (struct span){ text, sizeof text };
	assert_false(via_next(&rest, &via));
	assert_int_equal(rest.length, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_every_form),
		cmocka_unit_test(walks_along_a_list),
		cmocka_unit_test(refuses_what_is_no_via),
		cmocka_unit_test(reads_nothing_behind_its_end),
		cmocka_unit_test(nul_ends_nothing_early),
		cmocka_unit_test(takes_long_values),
	};

	return cmocka_run_group_tests_name("via", tests, NULL, NULL);
}
