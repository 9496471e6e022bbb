#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/core_names.h>
#include <openssl/err.h>

#include "stirrup/base64url.h"
#include "stirrup/es256.h"
#include "published.h"

/* The order of P-256 (FIPS 186-4 D.1.2.3). */
static const unsigned char order[32] = {
	0xff,
	0xff,
	0xff,
	0xff,
	0x00,
	0x00,
	0x00,
	0x00,
	0xff,
	0xff,
	0xff,
	0xff,
	0xff,
	0xff,
	0xff,
	0xff,
	0xbc,
	0xe6,
	0xfa,
	0xad,
	0xa7,
	0x17,
	0x9e,
	0x84,
	0xf3,
	0xb9,
	0xca,
	0xc2,
	0xfc,
	0x63,
	0x25,
	0x51,
};

static struct es256_key *key_from(const char *pem)
{
	EVP_PKEY *pkey = published_key(pem);
	struct es256_key *key;

	assert_non_null(pkey);
	key = es256_key_new(pkey);
	EVP_PKEY_free(pkey);
	assert_non_null(key);
	return key;
}

/* Whether the signature of a compact token verifies under a published key. */
static bool token_verifies(const char *token, const char *pem)
{
	struct es256_key *key = key_from(pem);
	const char *dot = strrchr(token, '.');
	unsigned char signature[ES256_SIGNATURE_BYTES];
	size_t length;
	bool verifies;

	assert_true(base64url_decode(signature, sizeof signature, &length, span_of(dot + 1)));
	assert_int_equal(length, ES256_SIGNATURE_BYTES);
	verifies = es256_verify(key, token, (size_t)(dot - token), signature);
	es256_key_free(key);
	return verifies;
}

static void test_published_signatures(void **state)
{
	static const struct {
		const char *behaviour, *token, *key;
		bool verifies;
	} cases[] = {
		{ "RFC 8946 div", RFC8946_DIV, RFC8946_PUBLIC, true },
		{ "RFC 8946 div, private key", RFC8946_DIV, RFC8946_PRIVATE, true },
		{ "RFC 8946 opt", RFC8946_OPT, RFC8946_PUBLIC, true },
		{ "RFC 8946 div-o", RFC8946_DIVO, RFC8946_PUBLIC, true },
		{ "RFC 8225 section 7", RFC8225_SECTION_7, RFC8225_A2_PUBLIC, true },
		{ "cgrates", CGRATES_TOKEN, CGRATES_PUBLIC, true },
		{ "RFC 8225 section 7 under another key", RFC8225_SECTION_7, RFC8946_PUBLIC, false },
		{ "RFC 8225 appendix A under A.1", RFC8225_APPENDIX_A, RFC8225_A1_PRIVATE, false },
		{ "RFC 8225 appendix A under A.2", RFC8225_APPENDIX_A, RFC8225_A2_PUBLIC, false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (token_verifies(cases[i].token, cases[i].key) != cases[i].verifies)
			fail_msg("%s", cases[i].behaviour);
	}
}

/* Often enough that r and s of 31 octets and fewer, and such with the top bit set, are among them. */
static void test_signs_what_it_verifies(void **state)
{
	struct es256_key *private = key_from(RFC8946_PRIVATE);
	struct es256_key *public = key_from(RFC8946_PUBLIC);
	unsigned char signature[ES256_SIGNATURE_BYTES], previous[ES256_SIGNATURE_BYTES] = { 0 };
	int short_scalars = 0;

	for (int i = 0; i < 2000; i++) {
		assert_true(es256_sign(private, &i, sizeof i, signature));
		assert_true(es256_verify(public, &i, sizeof i, signature));
		assert_memory_not_equal(signature, previous, 32);
		memcpy(previous, signature, sizeof previous);
		short_scalars += signature[0] == 0 || signature[32] == 0;
	}
	assert_true(short_scalars > 0);
	assert_true(es256_sign(private, "", 0, signature));
	assert_true(es256_verify(public, "", 0, signature));
	es256_key_free(private);
	es256_key_free(public);
}

static void test_refuses_every_flipped_bit(void **state)
{
	struct es256_key *key = key_from(RFC8225_A1_PRIVATE);
	unsigned char signature[ES256_SIGNATURE_BYTES];
	char data[] = "header.payload";

	assert_true(es256_sign(key, data, strlen(data), signature));
	for (size_t bit = 0; bit < sizeof signature * 8; bit++) {
		signature[bit / 8] ^= (unsigned char)(1 << bit % 8);
		assert_false(es256_verify(key, data, strlen(data), signature));
		signature[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	assert_false(es256_verify(key, data, strlen(data) - 1, signature));
	data[0] ^= 1;
	assert_false(es256_verify(key, data, strlen(data), signature));
	data[0] ^= 1;
	assert_true(es256_verify(key, data, strlen(data), signature));
	es256_key_free(key);
}

static void test_refuses_scalars_out_of_range(void **state)
{
	struct es256_key *key = key_from(RFC8946_PRIVATE);
	unsigned char good[ES256_SIGNATURE_BYTES], bad[ES256_SIGNATURE_BYTES];
	unsigned char zero[32] = { 0 }, all_ones[32];

	memset(all_ones, 0xff, sizeof all_ones);
	assert_true(es256_sign(key, "x", 1, good));
	for (size_t half = 0; half < 64; half += 32) {
		const unsigned char *const scalars[] = { zero, order, all_ones };

		for (size_t i = 0; i < 3; i++) {
			memcpy(bad, good, sizeof bad);
			memcpy(bad + half, scalars[i], 32);
			assert_false(es256_verify(key, "x", 1, bad));
		}
	}
	memset(bad, 0, sizeof bad);
	assert_false(es256_verify(key, "x", 1, bad));
	es256_key_free(key);
}

static void test_public_key_does_not_sign(void **state)
{
	struct es256_key *key = key_from(RFC8946_PUBLIC);
	unsigned char signature[ES256_SIGNATURE_BYTES];

	assert_false(es256_sign(key, "x", 1, signature));
	assert_int_equal(ERR_peek_error(), 0);
	es256_key_free(key);
}

static void test_takes_only_p256(void **state)
{
	static const char *const curves[] = { "P-384", "P-521", "secp256k1", "P-224" };

	for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
		EVP_PKEY *pkey = EVP_EC_gen(curves[i]);

		assert_non_null(pkey);
		if (es256_key_new(pkey) != NULL)
			fail_msg("took %s", curves[i]);
		EVP_PKEY_free(pkey);
	}
	assert_null(es256_key_new(NULL));
}

static void test_takes_no_other_algorithm(void **state)
{
	EVP_PKEY *ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);

	assert_non_null(ed25519);
	assert_non_null(rsa);
	assert_null(es256_key_new(ed25519));
	assert_null(es256_key_new(rsa));
	EVP_PKEY_free(ed25519);
	EVP_PKEY_free(rsa);
}

/* P-256, but spelled out instead of named: what CVE-2020-0601 was made of. */
static void test_refuses_explicit_curve_parameters(void **state)
{
	EVP_PKEY *named = EVP_EC_gen("P-256");
	EVP_PKEY *read_back;
	unsigned char *der = NULL;
	const unsigned char *p;
	struct es256_key *key;
	int length;

	assert_non_null(named);
	key = es256_key_new(named);
	assert_non_null(key);
	es256_key_free(key);

	assert_int_equal(EVP_PKEY_set_utf8_string_param(
				 named, OSSL_PKEY_PARAM_EC_ENCODING, OSSL_PKEY_EC_ENCODING_EXPLICIT),
		1);
	length = i2d_PUBKEY(named, &der);
	assert_true(length > 200);
	p = der;
	read_back = d2i_PUBKEY(NULL, &p, length);
	assert_non_null(read_back);
	assert_null(es256_key_new(read_back));
	EVP_PKEY_free(read_back);
	OPENSSL_free(der);
	EVP_PKEY_free(named);
}

static void test_frees_nothing(void **state)
{
	es256_key_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_signatures),
		cmocka_unit_test(test_signs_what_it_verifies),
		cmocka_unit_test(test_refuses_every_flipped_bit),
		cmocka_unit_test(test_refuses_scalars_out_of_range),
		cmocka_unit_test(test_public_key_does_not_sign),
		cmocka_unit_test(test_takes_only_p256),
		cmocka_unit_test(test_takes_no_other_algorithm),
		cmocka_unit_test(test_refuses_explicit_curve_parameters),
		cmocka_unit_test(test_frees_nothing),
	};

	return cmocka_run_group_tests_name("es256", tests, NULL, NULL);
}
