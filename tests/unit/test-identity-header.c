#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "published.h"
#include "stirrup/base64url.h"
#include "stirrup/identity_header.h"

#define INFO "info=<https://cert.example.org/a.pem>"

static void assert_span(const char *behaviour, struct span span, const char *text)
{
	if (!span_is(span, text))
		fail_msg("%s: \"%.*s\", not \"%s\"", behaviour, (int)span.length, span.at, text);
}

/* A copy with nothing behind it, so that a sanitizer sees one octet too many. */
static struct span exact_copy(struct span value)
{
	char *copy = malloc(value.length == 0 ? 1 : value.length);

	memcpy(copy, value.at, value.length);
	return (struct span){ copy, value.length };
}

static void test_reads_one_identity(void **state)
{
	static const struct {
		const char *behaviour, *value, *token, *info, *alg, *ppt;
	} cases[] = {
		{ "as we write it", "a.b.c;" INFO ";alg=ES256;ppt=shaken", "a.b.c",
			"https://cert.example.org/a.pem", "ES256", "shaken" },
		{ "info alone", "a.b.c;" INFO, "a.b.c", "https://cert.example.org/a.pem", "", "" },
		{ "other order", "a.b.c;ppt=shaken;alg=ES256;" INFO, "a.b.c",
			"https://cert.example.org/a.pem", "ES256", "shaken" },
		{ "quoted, as in RFC 8946", "a.b.c;" INFO ";alg=\"ES256\";ppt=\"div\"", "a.b.c",
			"https://cert.example.org/a.pem", "ES256", "div" },
		{ "names in capitals", "a.b.c;INFO=<u>;ALG=ES256;Ppt=shaken", "a.b.c", "u", "ES256",
			"shaken" },
		{ "white space", " \ta.b.c ; info = <u> ;\talg\t=\tES256 ; ppt = \"shaken\" ", "a.b.c", "u",
			"ES256", "shaken" },
		{ "folded", "a.b.c;\r\n info=<u>;\r\n\talg=ES256\r\n ;ppt=shaken\r\n", "a.b.c", "u", "ES256",
			"shaken" },
		{ "without info", "a.b.c;alg=ES256;ppt=shaken", "a.b.c", "", "ES256", "shaken" },
		{ "unknown parameters",
			"a.b.c;x;y=1;canon=\"a;,\\\"<b>=\";h=[2001:db8::1]:5061;z=<a,b;c>;" INFO ";n=a.b",
			"a.b.c", "https://cert.example.org/a.pem", "", "" },
		{ "unknown parameter twice, one empty", "a.b.c;x=1;x=\"\";" INFO, "a.b.c",
			"https://cert.example.org/a.pem", "", "" },
		{ "semicolon, comma and equals sign in info", "a.b.c;info=<https://a/b;c,d=e?f>;ppt=shaken",
			"a.b.c", "https://a/b;c,d=e?f", "", "shaken" },
		{ "compact form", "..c;" INFO, "..c", "https://cert.example.org/a.pem", "", "" },
		{ "characters of plain base64", "a+/.b==.c;" INFO, "a+/.b==.c",
			"https://cert.example.org/a.pem", "", "" },
		{ "a comma at the end", "a.b.c;info=<u>;ppt=shaken, ", "a.b.c", "u", "", "shaken" },
		{ "RFC 8225 section 7, with white space",
			"..rq3pjT1hoRw; info=<https://cert.example.org/p.cer>", "..rq3pjT1hoRw",
			"https://cert.example.org/p.cer", "", "" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct span value = exact_copy(span_of(cases[i].value));
		struct span rest = value;
		struct identity_header identity, another;
		bool malformed = true;

		if (!identity_header_next(&rest, &identity, &malformed) || malformed)
			fail_msg("refused: %s", cases[i].behaviour);
		assert_span(cases[i].behaviour, identity.token, cases[i].token);
		assert_span(cases[i].behaviour, identity.info, cases[i].info);
		assert_span(cases[i].behaviour, identity.alg, cases[i].alg);
		assert_span(cases[i].behaviour, identity.ppt, cases[i].ppt);
		assert_false(identity_header_next(&rest, &another, &malformed));
		assert_false(malformed);
		assert_int_equal(rest.length, 0);
		free((char *)value.at);
	}
}

static void test_reads_a_comma_list(void **state)
{
	struct span rest =
		span_of("a.b.c;info=<u,v>;x=\",\";ppt=shaken , d.e.f;info=<w>;ppt=\"div\",g.h.i;info=<x>");
	struct identity_header identity;
	bool malformed;

	assert_true(identity_header_next(&rest, &identity, &malformed));
	assert_span("first", identity.token, "a.b.c");
	assert_span("first", identity.info, "u,v");
	assert_true(identity_header_next(&rest, &identity, &malformed));
	assert_span("second", identity.token, "d.e.f");
	assert_span("second", identity.ppt, "div");
	assert_true(identity_header_next(&rest, &identity, &malformed));
	assert_span("third", identity.token, "g.h.i");
	assert_span("third", identity.ppt, "");
	assert_false(identity_header_next(&rest, &identity, &malformed));
	assert_false(malformed);
}

static void test_nothing_is_not_malformed(void **state)
{
	static const char *const values[] = { "", " ", "\r\n\t " };

	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		struct span rest = span_of(values[i]);
		struct identity_header identity;
		bool malformed = true;

		assert_false(identity_header_next(&rest, &identity, &malformed));
		assert_false(malformed);
	}
}

static void test_refuses_what_is_malformed(void **state)
{
	static const struct {
		const char *behaviour;
		struct span value;
	} cases[] = {
#define CASE(behaviour, text)                                                                                \
	{                                                                                                    \
		behaviour,                                                                                   \
		{                                                                                            \
			text, sizeof(text) - 1                                                               \
		}                                                                                            \
	}
		CASE("a token alone (GHSA-mrq5-74j5-f5cr)", "a.b.c"),
		CASE("a real token alone", RFC8946_DIV),
		CASE("a compact token alone", "..lj2311mNk23vinNsceeWNvVtElsuvEVCHO"),
		CASE("a semicolon alone", ";"),
		CASE("no token", ";" INFO),
		CASE("a comma first", ",a.b.c;" INFO),
		CASE("a parameter for a token", INFO),
		CASE("a quoted token, RFC 4474", "\"a.b.c\";" INFO),
		CASE("a token with a space inside", "a.b .c;" INFO),
		CASE("a token with another character", "a.b*c;" INFO),
		CASE("nothing behind the semicolon", "a.b.c;"),
		CASE("an empty parameter", "a.b.c;;" INFO),
		CASE("a value without name", "a.b.c;=x"),
		CASE("no value behind the equals sign", "a.b.c;x=;" INFO),
		CASE("info without value", "a.b.c;info"),
		CASE("info empty", "a.b.c;info=<>"),
		CASE("info without brackets", "a.b.c;info=https://cert.example.org/a.pem"),
		CASE("info quoted", "a.b.c;info=\"https://cert.example.org/a.pem\""),
		CASE("info not closed", "a.b.c;info=<https://cert.example.org/a.pem"),
		CASE("info closed by a quote", "a.b.c;info=<u\">"),
		CASE("info with a bracket", "a.b.c;info=<u<v>"),
		CASE("info with a space", "a.b.c;info=<u v>"),
		CASE("info with a line end", "a.b.c;info=<u\r\nVia: x>"),
		CASE("info with a NUL", "a.b.c;info=<u\0v>"),
		CASE("info with a DEL", "a.b.c;info=<u\x7f>"),
		CASE("info twice", "a.b.c;info=<u>;info=<u>"),
		CASE("alg twice", "a.b.c;" INFO ";alg=ES256;ALG=ES256"),
		CASE("ppt twice, once quoted", "a.b.c;" INFO ";ppt=shaken;ppt=\"shaken\""),
		CASE("alg without value", "a.b.c;" INFO ";alg"),
		CASE("ppt empty", "a.b.c;" INFO ";ppt=\"\""),
		CASE("ppt in brackets", "a.b.c;" INFO ";ppt=<shaken>"),
		CASE("ppt not closed", "a.b.c;" INFO ";ppt=\"shaken"),
		CASE("ppt closed by an escaped quote", "a.b.c;" INFO ";ppt=\"shaken\\\""),
		CASE("a backslash at the very end", "a.b.c;" INFO ";ppt=\"shaken\\"),
		CASE("a line end in quotes", "a.b.c;" INFO ";x=\"a\r\nVia: b\""),
		CASE("an escaped NUL in quotes", "a.b.c;" INFO ";x=\"a\\\0b\""),
		CASE("no semicolon between parameters", PORTSIP_IDENTITY),
		CASE("text behind a quoted value", "a.b.c;ppt=\"shaken\"x;" INFO),
		CASE("a NUL behind", "a.b.c;" INFO "\0"),
		CASE("two tokens", "a.b.c d.e.f;" INFO),
		CASE("octets above 127", "a.b.c;" INFO ";x=\xc3\xa9"),
#undef CASE
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct span value = exact_copy(cases[i].value);
		struct span rest = value;
		struct identity_header identity;
		bool malformed = false;

		if (identity_header_next(&rest, &identity, &malformed) || !malformed)
			fail_msg("taken: %s", cases[i].behaviour);
		assert_int_equal(rest.length, 0);
		assert_false(identity_header_next(&rest, &identity, &malformed));
		free((char *)value.at);
	}
}

static void test_malformed_ends_the_list(void **state)
{
	struct span rest = span_of("a.b.c;info=<u>,,d.e.f;info=<v>");
	struct identity_header identity;
	bool malformed;

	assert_true(identity_header_next(&rest, &identity, &malformed));
	assert_false(identity_header_next(&rest, &identity, &malformed));
	assert_true(malformed);
	assert_int_equal(rest.length, 0);
}

/* Each truncation is a well-formed shorter value or malformed, and reads nothing behind its end. */
#define ALPHANUMERIC "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* RFC 3261 section 25.1: token and gen-value; of the PASSporT base64 and base64url. */
static void test_which_octets_stand_where(void **state)
{
	static const struct {
		const char *form, *octets;
	} places[] = {
		{ "a?b;info=<u>", ALPHANUMERIC "-_.+/=" },
		{ "a;x?y=1;info=<u>", ALPHANUMERIC "-.!%*_+`'~" },
		{ "a;x=1?2;info=<u>", ALPHANUMERIC "-.!%*_+`'~" "[]:" },
	};

	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		for (int c = 1; c < 256; c++) {
			char text[64];
			struct span rest;
			struct identity_header identity;
			bool malformed, taken;

			/* They end what stands there, and what follows can be something else. */
			if (strchr(" \t\r\n;,", c) != NULL)
				continue;
			strcpy(text, places[i].form);
			*strchr(text, '?') = (char)c;
			rest = span_of(text);
			taken = identity_header_next(&rest, &identity, &malformed);
			if (taken != (strchr(places[i].octets, c) != NULL) || malformed == taken)
				fail_msg("octet %02x of %s", (unsigned)c, places[i].form);
		}
	}
}

static void test_truncations(void **state)
{
	static const char text[] =
		"a.b.c ; info=<u;v> ;x=\"q\\\"r\";ppt=\"shaken\" , d.e.f;info=<w>;alg=ES256";

	for (size_t length = 0; length < sizeof text; length++) {
		struct span value = exact_copy((struct span){ text, length });
		struct span rest = value;
		struct identity_header identity;
		bool malformed;

		while (identity_header_next(&rest, &identity, &malformed))
			assert_true(identity.token.length > 0);
		assert_int_equal(rest.length, 0);
		free((char *)value.at);
	}
}

static void test_huge_values(void **state)
{
	static const char *const units[] = { "a", ";a", ";a=\"", "<", ",", "a;b,", ";info=<", " ", "\\\"" };
	size_t size = 100000;
	char *text = malloc(size);

	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		struct span rest = { text, size };
		struct identity_header identity;
		bool malformed;

		for (size_t j = 0; j < size; j++)
			text[j] = units[i][j % strlen(units[i])];
		while (identity_header_next(&rest, &identity, &malformed))
			;
		assert_int_equal(rest.length, 0);
	}
	free(text);
}

static bool is_of_type(const char *value, const char *ppt)
{
	struct span rest = span_of(value);
	struct identity_header identity;
	bool malformed;

	assert_true(identity_header_next(&rest, &identity, &malformed));
	return identity_header_is(&identity, ppt);
}

static void test_type_by_parameter_then_by_token(void **state)
{
	assert_true(is_of_type("a.b.c;" INFO ";ppt=shaken", "shaken"));
	assert_true(is_of_type("a.b.c;" INFO ";ppt=\"shaken\"", "shaken"));
	assert_true(is_of_type("a.b.c;" INFO ";ppt=SHAKEN", "shaken"));
	assert_false(is_of_type("a.b.c;" INFO ";ppt=shake", "shaken"));
	assert_false(is_of_type("a.b.c;" INFO ";ppt=div", "shaken"));
	assert_false(is_of_type("a.b.c;" INFO, "shaken"));
	assert_true(is_of_type(CGRATES_TOKEN ";" INFO, "shaken"));
	assert_true(is_of_type(RFC8946_DIV ";" INFO, "div"));
	assert_false(is_of_type(RFC8946_OPT ";" INFO, "shaken"));
	assert_false(is_of_type(RFC8946_DIV ";" INFO ";ppt=shaken", "div"));
	assert_false(is_of_type("..c;" INFO, "shaken"));
}

static void test_writes_what_it_reads(void **state)
{
	static const char expected[] = "a.b.c;info=<https://cert.example.org/a.pem>;alg=ES256;ppt=shaken";
	char out[IDENTITY_HEADER_MAX];
	struct span rest;
	struct identity_header identity;
	bool malformed;
	size_t length =
		identity_header_write(out, sizeof out, span_of("a.b.c"), "https://cert.example.org/a.pem");

	assert_int_equal(length, strlen(expected));
	assert_string_equal(out, expected);
	rest = (struct span){ out, length };
	assert_true(identity_header_next(&rest, &identity, &malformed));
	assert_span("token", identity.token, "a.b.c");
	assert_span("info", identity.info, "https://cert.example.org/a.pem");
	assert_true(identity_header_is(&identity, "shaken"));
}

static void test_writing_is_bounded(void **state)
{
	char out[IDENTITY_HEADER_MAX], token[PASSPORT_SIGNING_INPUT_MAX + 87], x5u[PASSPORT_X5U_MAX + 1];
	size_t needed = identity_header_write(out, sizeof out, span_of("a.b.c"), "https://a/b") + 1;

	for (size_t size = 0; size < needed; size++) {
		char *exact = malloc(size == 0 ? 1 : size);

		assert_int_equal(identity_header_write(exact, size, span_of("a.b.c"), "https://a/b"), 0);
		free(exact);
	}
	assert_int_equal(identity_header_write(out, needed, span_of("a.b.c"), "https://a/b"), needed - 1);

	memset(token, 'a', sizeof token);
	memset(x5u, 'b', sizeof x5u);
	x5u[PASSPORT_X5U_MAX] = '\0';
	assert_true(identity_header_write(out, sizeof out, (struct span){ token, sizeof token }, x5u) > 0);
	assert_int_equal(identity_header_write(out, sizeof out, (struct span){ token, SIZE_MAX }, x5u), 0);
}

static void test_writes_no_line_of_its_own(void **state)
{
	static const char *const x5us[] = { "https://a>;x=<b", "a\r\nVia: b", "a b", "a\"b", "a<b", "a\x7f" };
	char out[IDENTITY_HEADER_MAX];

	for (size_t i = 0; i < sizeof x5us / sizeof *x5us; i++)
		assert_int_equal(identity_header_write(out, sizeof out, span_of("a.b.c"), x5us[i]), 0);
}

/* Those published header fields that no parser may take; all others it has to. */
static bool is_described_as_malformed(const char *id)
{
	return strcmp(id, "sems-compact-no-info") == 0 || strcmp(id, "portsip-doc") == 0;
}

static void check_vector(const char *id, const char *value)
{
	struct span copy = exact_copy(span_of(value));
	struct span rest = copy;
	struct identity_header identity;
	bool malformed;

	if (identity_header_next(&rest, &identity, &malformed) == is_described_as_malformed(id))
		fail_msg("%s", id);
	if (!malformed) {
		const char *info = strchr(value, '<') + 1;

		assert_int_equal(identity.token.length, strcspn(value, ";"));
		assert_int_equal(identity.info.length, strcspn(info, ">"));
		assert_memory_equal(identity.info.at, info, identity.info.length);
	}
	free((char *)copy.at);
}

/* All published Identity header fields, where they are at hand; what their tokens hold is test-passport's. */
static void test_published_vectors(void **state)
{
	const char *shared = getenv("STIRRUP_SHARED");
	char path[4096];
	json_t *file, *vectors;
	int identities = 0;

	if (shared == NULL)
		skip();
	snprintf(path, sizeof path, "%s/vectors/vectors.json", shared);
	file = json_load_file(path, 0, NULL);
	assert_non_null(file);
	vectors = json_object_get(file, "vectors");
	for (size_t i = 0; i < json_array_size(vectors); i++) {
		const json_t *vector = json_array_get(vectors, i);
		const char *value = json_string_value(json_object_get(vector, "identity"));

		if (value == NULL)
			continue;
		check_vector(json_string_value(json_object_get(vector, "id")), value);
		identities++;
	}
	assert_int_equal(identities, 31);
	json_decref(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_one_identity),
		cmocka_unit_test(test_reads_a_comma_list),
		cmocka_unit_test(test_nothing_is_not_malformed),
		cmocka_unit_test(test_refuses_what_is_malformed),
		cmocka_unit_test(test_malformed_ends_the_list),
		cmocka_unit_test(test_which_octets_stand_where),
		cmocka_unit_test(test_truncations),
		cmocka_unit_test(test_huge_values),
		cmocka_unit_test(test_type_by_parameter_then_by_token),
		cmocka_unit_test(test_writes_what_it_reads),
		cmocka_unit_test(test_writing_is_bounded),
		cmocka_unit_test(test_writes_no_line_of_its_own),
		cmocka_unit_test(test_published_vectors),
	};

	return cmocka_run_group_tests_name("identity-header", tests, NULL, NULL);
}
