#include "stirrup/es256.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>

#define SCALAR_BYTES (ES256_SIGNATURE_BYTES / 2)
#define DER_SIGNATURE_MAX 72 /* SEQUENCE of two INTEGERs of at most 33 octets */

struct es256_key {
	EVP_PKEY *pkey;
	EVP_PKEY_CTX *sign;
	EVP_PKEY_CTX *verify;
	EVP_MD *sha256;
	EVP_MD_CTX *digest;
};

/* The curve must be given by its name: explicit parameters can hide another generator (CVE-2020-0601) or make
 * OpenSSL work for long (CVE-2022-0778), and RFC 5480 section 2.1.1 forbids them. */
static bool is_named_p256(const EVP_PKEY *pkey)
{
	char group[32];
	size_t length;
	int explicit_parameters;

	return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC &&
	       EVP_PKEY_get_group_name(pkey, group, sizeof group, &length) == 1 &&
	       strcmp(group, SN_X9_62_prime256v1) == 0 &&
	       EVP_PKEY_get_int_param(
		       pkey, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &explicit_parameters) == 1 &&
	       explicit_parameters == 0;
}

/* Prepared here once: a new context for each signature costs more than all else around the scalar
 * multiplication. */
static bool prepare(struct es256_key *key)
{
	key->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	key->digest = EVP_MD_CTX_new();
	key->sign = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	key->verify = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	return key->sha256 != NULL && key->digest != NULL && key->sign != NULL && key->verify != NULL &&
	       EVP_PKEY_public_check(key->verify) == 1 && EVP_PKEY_sign_init(key->sign) == 1 &&
	       EVP_PKEY_verify_init(key->verify) == 1;
}

struct es256_key *es256_key_new(EVP_PKEY *pkey)
{
	struct es256_key *key;

	if (pkey == NULL || !is_named_p256(pkey)) {
		ERR_clear_error();
		return NULL;
	}
	key = calloc(1, sizeof *key);
	if (key == NULL)
		return NULL;
	EVP_PKEY_up_ref(pkey);
	key->pkey = pkey;
	if (!prepare(key)) {
		ERR_clear_error();
		es256_key_free(key);
		return NULL;
	}
	return key;
}

struct es256_key *es256_key_from_point(const unsigned char point[ES256_POINT_BYTES])
{
	char group[] = "prime256v1";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)point, ES256_POINT_BYTES),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *pkey = NULL;
	struct es256_key *key = NULL;

	if (context != NULL && EVP_PKEY_fromdata_init(context) == 1 &&
		EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1)
		key = es256_key_new(pkey);
	EVP_PKEY_free(pkey);
	EVP_PKEY_CTX_free(context);
	if (key == NULL)
		ERR_clear_error();
	return key;
}

void es256_key_free(struct es256_key *key)
{
	if (key == NULL)
		return;
	EVP_MD_CTX_free(key->digest);
	EVP_MD_free(key->sha256);
	EVP_PKEY_CTX_free(key->sign);
	EVP_PKEY_CTX_free(key->verify);
	EVP_PKEY_free(key->pkey);
	free(key);
}

bool es256_digest(
	struct es256_key *key, const void *data, size_t length, unsigned char digest[ES256_DIGEST_BYTES])
{
	if (EVP_DigestInit_ex2(key->digest, key->sha256, NULL) == 1 &&
		EVP_DigestUpdate(key->digest, data, length) == 1 &&
		EVP_DigestFinal_ex(key->digest, digest, NULL) == 1)
		return true;
	ERR_clear_error();
	return false;
}

/* Takes an INTEGER of at most 32 octets off DER that OpenSSL has just made. */
static bool take_integer(
	const unsigned char **at, const unsigned char *end, unsigned char scalar[SCALAR_BYTES])
{
	const unsigned char *p = *at;
	size_t length;

	if (end - p < 2 || p[0] != 0x02 || p[1] == 0 || p[1] > end - p - 2)
		return false;
	length = p[1];
	p += 2;
	*at = p + length;
	if (length == SCALAR_BYTES + 1 && p[0] == 0) {
		p++;
		length--;
	}
	if (length > SCALAR_BYTES)
		return false;
	memset(scalar, 0, SCALAR_BYTES - length);
	memcpy(scalar + SCALAR_BYTES - length, p, length);
	return true;
}

static bool raw_from_der(unsigned char raw[ES256_SIGNATURE_BYTES], const unsigned char *der, size_t length)
{
	const unsigned char *at = der + 2;
	const unsigned char *end = der + length;

	return length > 2 && der[0] == 0x30 && der[1] == length - 2 && take_integer(&at, end, raw) &&
	       take_integer(&at, end, raw + SCALAR_BYTES) && at == end;
}

/* DER wants the fewest octets, and a zero first where the top bit would make it negative. */
static unsigned char *put_integer(unsigned char *out, const unsigned char scalar[SCALAR_BYTES])
{
	size_t length = SCALAR_BYTES;

	while (length > 1 && scalar[0] == 0) {
		scalar++;
		length--;
	}
	*out++ = 0x02;
	*out++ = (unsigned char)(length + (scalar[0] >> 7));
	if (scalar[0] >> 7)
		*out++ = 0;
	memcpy(out, scalar, length);
	return out + length;
}

static size_t der_from_raw(
	unsigned char der[DER_SIGNATURE_MAX], const unsigned char raw[ES256_SIGNATURE_BYTES])
{
	unsigned char *end = put_integer(put_integer(der + 2, raw), raw + SCALAR_BYTES);

	der[0] = 0x30;
	der[1] = (unsigned char)(end - der - 2);
	return (size_t)(end - der);
}

bool es256_sign(struct es256_key *key, const void *data, size_t length,
	unsigned char signature[ES256_SIGNATURE_BYTES])
{
	unsigned char digest[ES256_DIGEST_BYTES];
	unsigned char der[DER_SIGNATURE_MAX];
	size_t der_length = sizeof der;

	if (es256_digest(key, data, length, digest) &&
		EVP_PKEY_sign(key->sign, der, &der_length, digest, sizeof digest) == 1 &&
		raw_from_der(signature, der, der_length))
		return true;
	ERR_clear_error();
	return false;
}

bool es256_verify_digest(struct es256_key *key, const unsigned char digest[ES256_DIGEST_BYTES],
	const unsigned char signature[ES256_SIGNATURE_BYTES])
{
	unsigned char der[DER_SIGNATURE_MAX];
	size_t der_length = der_from_raw(der, signature);

	if (EVP_PKEY_verify(key->verify, der, der_length, digest, ES256_DIGEST_BYTES) == 1)
		return true;
	ERR_clear_error();
	return false;
}

bool es256_verify(struct es256_key *key, const void *data, size_t length,
	const unsigned char signature[ES256_SIGNATURE_BYTES])
{
	unsigned char digest[ES256_DIGEST_BYTES];

	return es256_digest(key, data, length, digest) && es256_verify_digest(key, digest, signature);
}
