#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "made-token.h"
#include "stirrup/claim_constraints.h"

#define HEADER "{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"https://a.example/c\"}"
#define CLAIMS "\"dest\":{\"tn\":[\"1\"]},\"iat\":1,\"orig\":{\"tn\":\"2\"}"

static struct token_maker *maker;

static int start(void **state)
{
	maker = token_maker_new();
	return 0;
}

static int stop(void **state)
{
	token_maker_free(maker);
	return 0;
}

struct extension {
	unsigned char bytes[512];
	size_t length;
};

/* Hexadecimal with words in '' and spaces between: "30 05 16 03 'iat'". */
static struct extension der(const char *text)
{
	struct extension out = { .length = 0 };

	while (*text != '\0') {
		unsigned octet;

		if (*text == ' ') {
			text++;
		} else if (*text == '\'') {
			for (text++; *text != '\''; text++)
				out.bytes[out.length++] = (unsigned char)*text;
			text++;
		} else {
			assert_int_equal(sscanf(text, "%2x", &octet), 1);
			out.bytes[out.length++] = (unsigned char)octet;
			text += 2;
		}
	}
	return out;
}

static bool allows(const struct extension *extension, bool enhanced, const char *payload, char why[128])
{
	unsigned char *exact = malloc(extension->length == 0 ? 1 : extension->length);
	struct passport *passport;
	const char *detail;
	bool allowed;

	memcpy(exact, extension->bytes, extension->length);
	assert_int_equal(passport_parse(&passport,
				 make_token_of(maker, span_of(HEADER), span_of(payload), MADE_BY_ES256), &detail),
		PASSPORT_OK);
	why[0] = '\0';
	allowed = claim_constraints_allow(exact, extension->length, enhanced, passport, why, 128);
	passport_free(passport);
	free(exact);
	return allowed;
}

/* RFC 9118 figure 1: "confidence" is demanded, "high" or "medium"; "priority" is forbidden. */
#define FIGURE_1 \
	"30 40 a0 0e 30 0c 16 0a 'confidence' a1 20 30 1e 30 1c 16 0a 'confidence' 30 0e 0c 04 'high' 0c 06 'medium'" \
	" a2 0c 30 0a 16 08 'priority'"

static void rfc9118_figure_1(void **state)
{
	static const struct {
		const char *payload, *why; /* NULL: allowed */
	} cases[] = {
		{ "{\"confidence\":\"high\"," CLAIMS "}", NULL },
		{ "{\"confidence\":\"medium\"," CLAIMS "}", NULL },
		{ "{\"confidence\":\"low\"," CLAIMS "}", "the certificate has other values for the claim confidence" },
		{ "{\"confidence\":\"High\"," CLAIMS "}", "the certificate has other values for the claim confidence" },
		{ "{\"confidence\":[\"high\"]," CLAIMS "}", "the certificate has other values for the claim confidence" },
		{ "{" CLAIMS "}", "the certificate demands the claim confidence" },
		{ "{\"confidence\":\"high\",\"priority\":1," CLAIMS "}", "the certificate forbids the claim priority" },
		{ "{\"confidence\":\"high\",\"priority\":null," CLAIMS "}", "the certificate forbids the claim priority" },
		{ "{\"confidence\":\"high\",\"Priority\":1," CLAIMS "}", NULL },
	};
	struct extension extension = der(FIGURE_1);
	const char *reason;
	char why[128];

	assert_true(claim_constraints_are_valid(extension.bytes, extension.length, true, &reason));
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(allows(&extension, true, cases[i].payload, why), cases[i].why == NULL);
		assert_string_equal(why, cases[i].why == NULL ? "" : cases[i].why);
	}
}

/* The older extension has no mustExclude, so its presence there is an error. */
static void the_older_form_ends_after_two(void **state)
{
	struct extension extension = der(FIGURE_1);
	const char *reason;
	char why[128];

	assert_false(claim_constraints_are_valid(extension.bytes, extension.length, false, &reason));
	assert_false(allows(&extension, false, "{\"confidence\":\"high\"," CLAIMS "}", why));
	assert_string_equal(why, "claim constraints: something in it that is not known");
}

static void values(void **state)
{
	static const struct {
		const char *behaviour, *der, *payload;
		bool allowed;
	} cases[] = {
		{ "names only", "30 09 a0 07 30 05 16 03 'rcd'", "{\"rcd\":{}," CLAIMS "}", true },
		{ "names only, absent", "30 09 a0 07 30 05 16 03 'rcd'", "{" CLAIMS "}", false },
		{ "two names, one absent", "30 0e a0 0c 30 0a 16 03 'rcd' 16 03 'mky'", "{\"rcd\":{}," CLAIMS "}", false },
		{ "iat, orig and dest are always there",
			"30 15 a0 13 30 11 16 03 'iat' 16 04 'orig' 16 04 'dest'", "{" CLAIMS "}", true },
		{ "a value of a claim that is absent", "30 10 a1 0e 30 0c 30 0a 16 03 'rcd' 30 03 0c 01 '1'", "{" CLAIMS "}", true },
		{ "a number", "30 10 a1 0e 30 0c 30 0a 16 03 'rcd' 30 03 0c 01 '1'", "{\"rcd\":1," CLAIMS "}", true },
		{ "another number", "30 10 a1 0e 30 0c 30 0a 16 03 'rcd' 30 03 0c 01 '1'", "{\"rcd\":11," CLAIMS "}", false },
		{ "an object in canonical form",
			"30 16 a1 14 30 12 30 10 16 03 'rcd' 30 09 0c 07 '{\"a\":1}'", "{\"rcd\":{ \"a\": 1 }," CLAIMS "}", true },
		{ "an empty value", "30 0f a1 0d 30 0b 30 09 16 03 'rcd' 30 02 0c 00", "{\"rcd\":\"\"," CLAIMS "}", true },
		{ "the calling number as a value",
			"30 18 a1 16 30 14 30 12 16 04 'orig' 30 0a 0c 08 '{\"tn\":2}'", "{" CLAIMS "}", false },
		{ "the calling number as a value, a string",
			"30 1a a1 18 30 16 30 14 16 04 'orig' 30 0c 0c 0a '{\"tn\":\"2\"}'", "{" CLAIMS "}", true },
		{ "a claim twice, both lists hold",
			"30 1c a1 1a 30 18 30 0a 16 03 'rcd' 30 03 0c 01 '1' 30 0a 16 03 'rcd' 30 03 0c 01 '2'",
			"{\"rcd\":1," CLAIMS "}", false },
	};
	char why[128];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct extension extension = der(cases[i].der);

		if (allows(&extension, false, cases[i].payload, why) != cases[i].allowed)
			fail_msg("%s: %s", cases[i].behaviour, why);
		if (allows(&extension, true, cases[i].payload, why) != cases[i].allowed)
			fail_msg("%s, enhanced: %s", cases[i].behaviour, why);
	}
}

/* RFC 9118 section 3: then it is as if the extension were not there. */
static void excluding_what_must_be_there_voids_it(void **state)
{
	static const char *const extensions[] = {
		"30 12 a0 07 30 05 16 03 'rcd' a2 07 30 05 16 03 'iat'",
		"30 13 a0 07 30 05 16 03 'rcd' a2 08 30 06 16 04 'orig'",
		"30 18 a0 07 30 05 16 03 'rcd' a2 0d 30 0b 16 03 'abc' 16 04 'dest'",
	};
	char why[128];

	for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
		struct extension extension = der(extensions[i]);

		assert_true(allows(&extension, true, "{" CLAIMS "}", why));
	}
}

static void refuses_what_is_not_der(void **state)
{
	static const struct {
		const char *behaviour, *der;
	} cases[] = {
		{ "nothing", "" },
		{ "no SEQUENCE", "31 09 a0 07 30 05 16 03 'rcd'" },
		{ "no constraint", "30 00" },
		{ "something behind", "30 09 a0 07 30 05 16 03 'rcd' 00" },
		{ "something behind the last list", "30 0b a0 07 30 05 16 03 'rcd' 05 00" },
		{ "an empty list", "30 04 a0 02 30 00" },
		{ "an empty explicit tag", "30 02 a0 00" },
		{ "implicit tags", "30 07 a0 05 16 03 'rcd'" },
		{ "a list twice", "30 12 a0 07 30 05 16 03 'rcd' a0 07 30 05 16 03 'mky'" },
		{ "the wrong order", "30 17 a1 0e 30 0c 30 0a 16 03 'rcd' 30 03 0c 01 '1' a0 05 30 03 16 01 'a'" },
		{ "an empty name", "30 06 a0 04 30 02 16 00" },
		{ "a name that is UTF8String", "30 09 a0 07 30 05 0c 03 'rcd'" },
		{ "a name with a NUL", "30 09 a0 07 30 05 16 03 'r' 00 'd'" },
		{ "a name that is not ASCII", "30 09 a0 07 30 05 16 03 'r' ff 'd'" },
		{ "a value that is IA5String", "30 10 a1 0e 30 0c 30 0a 16 03 'rcd' 30 03 16 01 '1'" },
		{ "no value", "30 0d a1 0b 30 09 30 07 16 03 'rcd' 30 00" },
		{ "something behind the values", "30 12 a1 10 30 0e 30 0c 16 03 'rcd' 30 03 0c 01 '1' 05 00" },
		{ "values without a name", "30 0b a1 09 30 07 30 05 30 03 0c 01 '1'" },
		{ "a length in long form without need", "30 81 09 a0 07 30 05 16 03 'rcd'" },
		{ "an indefinite length", "30 80 a0 07 30 05 16 03 'rcd' 00 00" },
		{ "a length of five octets", "30 85 00 00 00 00 09 a0 07 30 05 16 03 'rcd'" },
		{ "a length with a leading zero", "30 82 00 09 a0 07 30 05 16 03 'rcd'" },
		{ "a length beyond its surroundings", "30 09 a0 07 30 05 16 04 'rcd'" },
		{ "a huge length", "30 84 ff ff ff ff a0" },
		{ "an unknown list", "30 09 a3 07 30 05 16 03 'rcd'" },
	};
	char why[128];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct extension extension = der(cases[i].der);
		const char *reason = NULL;

		if (claim_constraints_are_valid(extension.bytes, extension.length, true, &reason))
			fail_msg("%s", cases[i].behaviour);
		assert_non_null(reason);
		if (allows(&extension, true, "{\"rcd\":1," CLAIMS "}", why))
			fail_msg("%s allows", cases[i].behaviour);
	}
}

static void no_truncation_is_valid(void **state)
{
	struct extension whole = der(FIGURE_1);

	for (size_t length = 0; length < whole.length; length++) {
		unsigned char *exact = malloc(length == 0 ? 1 : length);
		const char *reason;

		memcpy(exact, whole.bytes, length);
		assert_false(claim_constraints_are_valid(exact, length, true, &reason));
		free(exact);
	}
}

static void long_lengths(void **state)
{
	struct extension extension = { .length = 0 };
	const char *reason;
	unsigned char *p = extension.bytes;

	/* One name of 200 characters. */
	memcpy(p, "\x30\x81\xd1\xa0\x81\xce\x30\x81\xcb\x16\x81\xc8", 12);
	memset(p + 12, 'a', 200);
	extension.length = 212;
	assert_true(claim_constraints_are_valid(p, extension.length, false, &reason));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc9118_figure_1),
		cmocka_unit_test(the_older_form_ends_after_two),
		cmocka_unit_test(values),
		cmocka_unit_test(excluding_what_must_be_there_voids_it),
		cmocka_unit_test(refuses_what_is_not_der),
		cmocka_unit_test(no_truncation_is_valid),
		cmocka_unit_test(long_lengths),
	};

	return cmocka_run_group_tests_name("claim-constraints", tests, start, stop);
}
