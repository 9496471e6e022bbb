#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stirrup/name_addr.h"

static bool same(struct span span, const char *text)
{
	return span_is(span, text);
}

static void reads_one_address(void **state)
{
	static const struct {
		const char *behaviour, *text, *uri, *params;
	} cases[] = {
		{ "addr-spec", "sip:a@b", "sip:a@b", "" },
		{ "brackets", "<sip:a@b>", "sip:a@b", "" },
		{ "header parameters", "<sip:a@b>;tag=1;x", "sip:a@b", ";tag=1;x" },
		{ "URI parameters inside brackets", "<sip:a@b;user=phone>;tag=1", "sip:a@b;user=phone",
			";tag=1" },
		{ "parameters of an addr-spec are the header's", "sip:a@b;tag=1", "sip:a@b", ";tag=1" },
		{ "but the user part's are the URI's", "sip:a;b=c;d@e;tag=1", "sip:a;b=c;d@e", ";tag=1" },
		{ "and an @ in quotes is none", "sip:a.example;x=\"b@c\"", "sip:a.example", ";x=\"b@c\"" },
		{ "nor is one behind the host", "sip:a@b;x=c@d", "sip:a@b", ";x=c@d" },
		{ "a tel URI without brackets", "tel:+12155551212;tag=1", "tel:+12155551212", ";tag=1" },
		{ "a display name", "Alice <sip:a@b>", "sip:a@b", "" },
		{ "a display name of several words", "The Operator <sip:a@b>;tag=1", "sip:a@b", ";tag=1" },
		{ "a display name without space", "caller<sip:a@b>", "sip:a@b", "" },
		{ "a display name in UTF-8", "Ren\xc3\xa9 <sip:a@b>", "sip:a@b", "" },
		{ "a quoted name", "\"Alice\" <sip:a@b>", "sip:a@b", "" },
		{ "a quoted name without space", "\"Alice\"<sip:a@b>", "sip:a@b", "" },
		{ "an empty quoted name", "\"\" <sip:a@b>", "sip:a@b", "" },
		{ "a comma in the name", "\"Bell, Alexander\" <sip:a@b>;tag=43", "sip:a@b", ";tag=43" },
		{ "brackets in the name", "\"<sip:x@y>\" <sip:a@b>", "sip:a@b", "" },
		{ "an escaped quote in the name", "\"A \\\" <sip:x@y>, \\\\\" <sip:a@b>", "sip:a@b", "" },
		{ "white space before and behind", " \t<sip:a@b> ; tag=1 \t", "sip:a@b", "; tag=1" },
		{ "white space before the ; of an addr-spec", "sip:a@b ;tag=1", "sip:a@b", ";tag=1" },
		{ "folded lines", "\"A\"\r\n <sip:a@b>\r\n\t;tag=1", "sip:a@b", ";tag=1" },
		{ "a quoted parameter", "<sip:a@b>;x=\"a,b;c\";y", "sip:a@b", ";x=\"a,b;c\";y" },
		{ "a comma and a ? inside brackets", "<sip:a,c@b?x=y>", "sip:a,c@b?x=y", "" },
		{ "spaces within a tel URI", "<tel:+1 215 555 1212>", "tel:+1 215 555 1212", "" },
		{ "an IPv6 host", "<sip:a@[2001:db8::1]:5060>", "sip:a@[2001:db8::1]:5060", "" },
		{ "a URN", "<urn:service:sos>", "urn:service:sos", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span rest = span_of(cases[i].text);
		struct name_addr out;

		if (!name_addr_next(&rest, &out) || !same(out.uri, cases[i].uri) ||
			!same(out.params, cases[i].params) || rest.length != 0)
			fail_msg("%s: %s", cases[i].behaviour, cases[i].text);
		assert_false(name_addr_next(&rest, &out));
	}
}

static void takes_a_list_apart(void **state)
{
	struct span rest =
		span_of("\"A, B\" <sip:a@b;x=1,2>;p=\",\" ,\r\n tel:+12155551212;q , Carol <sips:c@d>, sip:e;f, sip:g@h");
	struct name_addr out;

	assert_true(name_addr_next(&rest, &out));
	assert_true(same(out.uri, "sip:a@b;x=1,2"));
	assert_true(same(out.params, ";p=\",\""));
	assert_true(name_addr_next(&rest, &out));
	assert_true(same(out.uri, "tel:+12155551212"));
	assert_true(same(out.params, ";q"));
	assert_true(name_addr_next(&rest, &out));
	assert_true(same(out.uri, "sips:c@d"));
	assert_int_equal(out.params.length, 0);
	assert_true(name_addr_next(&rest, &out));
	assert_true(same(out.uri, "sip:e"));
	assert_true(same(out.params, ";f"));
	assert_true(name_addr_next(&rest, &out));
	assert_true(same(out.uri, "sip:g@h"));
	assert_false(name_addr_next(&rest, &out));
	assert_int_equal(rest.length, 0);
}

static void refuses(void **state)
{
	static const struct {
		const char *behaviour, *text;
	} cases[] = {
		{ "a word", "alice" },
		{ "an unquoted comma in the name", "Bell, Alexander <sip:a@b>" },
		{ "an empty item", ", <sip:a@b>" },
		{ "empty brackets", "<>" },
		{ "a scheme and nothing else", "<sip:>" },
		{ "no scheme", "<alice@b>" },
		{ "a scheme that begins with a digit", "<1sip:a@b>" },
		{ "a bracket that is not closed", "<sip:a@b" },
		{ "a bracket that was not opened", "sip:a@b>" },
		{ "a bracket within brackets", "<sip:a@b<sip:c@d>" },
		{ "a quote that is not closed", "\"Alice <sip:a@b>" },
		{ "a quote that ends in an escape", "\"Alice\\" },
		{ "a quoted name and no address", "\"Alice\"" },
		{ "a quoted name before an addr-spec", "\"Alice\" sip:a@b" },
		{ "words behind a quoted name", "\"Alice\" Bob <sip:a@b>" },
		{ "a name that looks like an address", "sip:a@b <sip:c@d>" },
		{ "two addresses without a comma", "<sip:a@b> <sip:c@d>" },
		{ "words behind an address", "<sip:a@b> hello" },
		{ "a folded line within the address", "<sip:a\r\n @b>" },
		{ "a quote that is not closed in a parameter", "<sip:a@b>;x=\"y, <sip:c@d>" },
		{ "an asterisk", "*" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span rest = span_of(cases[i].text);
		struct name_addr out;

		if (name_addr_next(&rest, &out))
			fail_msg("accepts %s: %s", cases[i].behaviour, cases[i].text);
		assert_ptr_equal(rest.at, cases[i].text);
	}
}

static void refuses_nul_in_the_address_and_in_a_bare_name(void **state)
{
	static const char bracketed[] = "<sip:a\0@b>", bare[] = "sip:a\0@b", name[] = "Al\0ce <sip:a@b>";
	struct span rest;
	struct name_addr out;

	rest = (struct span){ bracketed, sizeof(bracketed) - 1 };
	assert_false(name_addr_next(&rest, &out));
	rest = (struct span){ bare, sizeof(bare) - 1 };
	assert_false(name_addr_next(&rest, &out));
	rest = (struct span){ name, sizeof(name) - 1 };
	assert_false(name_addr_next(&rest, &out));
}

static void nothing_is_the_end(void **state)
{
	struct span rest = { NULL, 0 };
	struct name_addr out;

	assert_false(name_addr_next(&rest, &out));
	rest = span_of(" \r\n\t");
	assert_false(name_addr_next(&rest, &out));
	assert_int_equal(rest.length, 0);
}

/* Each in a heap block of its own size, where a sanitizer sees every byte read too many. */
static void stays_within_every_truncation(void **state)
{
	static const char *const texts[] = {
		"\"Bell, \\\"A\\\"\" <sip:a@b;c=\"d>;tag=1;x=\"y,\\\"z\" , tel:+1 ; q, The Op <sips:c@d> ; e "
		"= \"f\"",
		"sip:a@b;tag = \"1;2\" ;lr; =x ;;y=",
	};

	for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
		for (size_t from = 0; from < strlen(texts[t]); from++) {
			for (size_t length = 1; length <= strlen(texts[t]) - from; length++) {
				char *block = malloc(length);
				struct span rest = { block, length }, value;
				struct name_addr out;

				assert_non_null(block);
				memcpy(block, texts[t] + from, length);
				while (name_addr_next(&rest, &out)) {
					assert_true(out.uri.at >= block);
					assert_true(out.params.at + out.params.length <= block + length);
					name_addr_param(out.params, "tag", &value);
				}
				name_addr_param((struct span){ block, length }, "e", &value);
				free(block);
			}
		}
	}
}

static void finds_a_parameter(void **state)
{
	static const struct {
		const char *params, *name, *value; /* NULL: absent */
	} cases[] = {
		{ ";tag=1", "tag", "1" },
		{ ";TAG=Ab", "tag", "Ab" },
		{ "; tag = 1 ;x", "tag", "1" },
		{ ";x;tag=1", "tag", "1" },
		{ ";x;tag=1", "x", "" },
		{ ";x=;tag=1", "x", "" },
		{ ";x=\"\";tag=1", "x", "" },
		{ ";x=\";tag=2\";tag=1", "tag", "1" },
		{ ";x=\"a;b\"", "x", "a;b" },
		{ ";x=\"a\\\";tag=2\"", "x", "a\\\";tag=2" },
		{ ";x=\"a\\\";tag=2\"", "tag", NULL },
		{ ";tag=1;tag=2", "tag", "1" },
		{ ";tags=1", "tag", NULL },
		{ ";ta=1", "tag", NULL },
		{ ";y=tag", "tag", NULL },
		{ ";x=a=b", "x", "a=b" },
		{ ";received=[::1]", "received", "[::1]" },
		{ ";x=\"open;tag=1", "tag", NULL },
		{ ";;=;", "tag", NULL },
		{ "", "tag", NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span value = { NULL, 0 };
		bool found = name_addr_param(span_of(cases[i].params), cases[i].name, &value);

		if (found != (cases[i].value != NULL) || (found && !same(value, cases[i].value)))
			fail_msg("%s in %s", cases[i].name, cases[i].params);
	}
}

static void reads_a_huge_header_once(void **state)
{
	const size_t size = 1 << 20;
	char *block = malloc(size);
	struct span rest = { block, size };
	struct name_addr out;

	assert_non_null(block);
	memset(block, '"', size);
	assert_false(name_addr_next(&rest, &out));
	memset(block, ';', size);
	memcpy(block, "sip:a@b", 7);
	assert_true(name_addr_next(&rest, &out));
	assert_int_equal(out.params.length, size - 7);
	assert_false(name_addr_param(out.params, "tag", &rest));
	free(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_one_address),
		cmocka_unit_test(takes_a_list_apart),
		cmocka_unit_test(refuses),
		cmocka_unit_test(refuses_nul_in_the_address_and_in_a_bare_name),
		cmocka_unit_test(nothing_is_the_end),
		cmocka_unit_test(stays_within_every_truncation),
		cmocka_unit_test(finds_a_parameter),
		cmocka_unit_test(reads_a_huge_header_once),
	};

	return cmocka_run_group_tests_name("name-addr", tests, NULL, NULL);
}
