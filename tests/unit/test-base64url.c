#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stirrup/base64url.h"

static void test_encodes_without_padding(void **state)
{
	static const struct {
		const char *data;
		size_t length;
		const char *text;
	} cases[] = {
		/* RFC 4648 section 10, less the padding. */
		{ "", 0, "" },
		{ "f", 1, "Zg" },
		{ "fo", 2, "Zm8" },
		{ "foo", 3, "Zm9v" },
		{ "foob", 4, "Zm9vYg" },
		{ "fooba", 5, "Zm9vYmE" },
		{ "foobar", 6, "Zm9vYmFy" },
		/* RFC 7515 appendix C. */
		{ "\x03\xec\xff\xe0\xc1", 5, "A-z_4ME" },
		{ "\0\0\0", 3, "AAAA" },
		{ "\xff\xff\xff", 3, "____" },
		{ "\xfb\xef\xbe", 3, "----" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char out[16];
		unsigned char back[16];
		size_t length;

		memset(out, '!', sizeof out);
		assert_int_equal(
			base64url_encode(out, cases[i].data, cases[i].length), strlen(cases[i].text));
		assert_int_equal(BASE64URL_LENGTH(cases[i].length), strlen(cases[i].text));
		assert_memory_equal(out, cases[i].text, strlen(cases[i].text));
		assert_int_equal(out[strlen(cases[i].text)], '!');
		assert_true(base64url_decode(back, sizeof back, &length, span_of(cases[i].text)));
		assert_int_equal(length, cases[i].length);
		assert_memory_equal(back, cases[i].data, length);
	}
}

static void test_every_length_and_octet_comes_back(void **state)
{
	unsigned char data[256], back[256];
	char text[BASE64URL_LENGTH(sizeof data)];
	size_t length;

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (unsigned char)(i * 167 + 13);
	for (size_t n = 0; n <= sizeof data; n++) {
		size_t written = base64url_encode(text, data, n);

		assert_int_equal(written, BASE64URL_LENGTH(n));
		assert_true(base64url_decode(back, n, &length, (struct span){ text, written }));
		assert_int_equal(length, n);
		assert_memory_equal(back, data, n);
		if (n > 0)
			assert_false(base64url_decode(back, n - 1, &length, (struct span){ text, written }));
	}
}

static void test_refuses_what_is_not_canonical(void **state)
{
	static const struct {
		const char *behaviour;
		struct span text;
	} cases[] = {
		{ "one character alone", { "A", 1 } },
		{ "one character after four", { "AAAAA", 5 } },
		{ "padding", { "Zg==", 4 } },
		{ "padding of one", { "Zm8=", 4 } },
		{ "plus of plain base64", { "A+z_", 4 } },
		{ "slash of plain base64", { "A-z/", 4 } },
		{ "a space", { "Zm 9", 4 } },
		{ "a line feed at the end", { "Zm9v\n\n", 6 } },
		{ "a NUL", { "Zm\0v", 4 } },
		{ "a dot", { "Zm.v", 4 } },
		{ "an octet above 127", { "Zm\xc3\xa9", 4 } },
		{ "stray bits after one octet", { "Zh", 2 } },
		{ "stray top bit after one octet", { "Zo", 2 } },
		{ "stray bit after two octets", { "Zm9", 3 } },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		unsigned char out[16];
		size_t length;

		if (base64url_decode(out, sizeof out, &length, cases[i].text))
			fail_msg("decoded: %s", cases[i].behaviour);
	}
}

/* Of the four (or sixteen) texts that a careless decoder takes for the same octets, one is taken. */
static void test_one_text_for_one_meaning(void **state)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	int accepted = 0;

	for (int i = 0; i < 64; i++) {
		char text[2] = { 'Z', alphabet[i] };
		unsigned char out[1];
		size_t length;

		accepted += base64url_decode(out, sizeof out, &length, (struct span){ text, 2 });
	}
	assert_int_equal(accepted, 4);
}

static void test_takes_64_characters_and_no_other(void **state)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	for (size_t at = 0; at < 4; at++) {
		for (int c = 0; c < 256; c++) {
			const char *known = c == '\0' ? NULL : strchr(alphabet, c);
			char text[] = "AAAA";
			unsigned char out[3];
			size_t length;

			text[at] = (char)c;
			assert_int_equal(base64url_decode(out, sizeof out, &length, (struct span){ text, 4 }), known != NULL);
			if (known != NULL)
				assert_int_equal(out[0] << 16 | out[1] << 8 | out[2], (known - alphabet) << (18 - 6 * at));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encodes_without_padding),
		cmocka_unit_test(test_every_length_and_octet_comes_back),
		cmocka_unit_test(test_refuses_what_is_not_canonical),
		cmocka_unit_test(test_one_text_for_one_meaning),
		cmocka_unit_test(test_takes_64_characters_and_no_other),
	};

	return cmocka_run_group_tests_name("base64url", tests, NULL, NULL);
}
