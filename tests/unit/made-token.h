/* made-token.h: PASSporTs made and signed by the test itself, whatever is wrong with them. */
#ifndef STIRRUP_TESTS_MADE_TOKEN_H
#define STIRRUP_TESTS_MADE_TOKEN_H

#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "stirrup/base64url.h"
#include "stirrup/es256.h"
#include "stirrup/passport.h"

#define MADE_TOKEN_MAX 65536

enum made_by {
	MADE_BY_ES256,
	MADE_BY_NOBODY,       /* the third part is empty */
	MADE_BY_HS256,        /* keyed with the public key, as a confused verifier would */
	MADE_BY_HS384,
	MADE_BY_HS512,        /* 64 octets, as many as ES256 has */
	MADE_BY_ES384,
	MADE_BY_DER,          /* ES256, but as X.509 has it */
	MADE_BY_OTHER_KEY,
	MADE_BY_ZEROS,        /* r = s = 0 (CVE-2022-21449) */
	MADE_BY_ORDER,        /* r = s = n */
	MADE_BY_ONES,         /* all bits set */
	MADE_BY_FLIPPED_S,    /* s replaced by n - s: verifies, under another text */
};

struct token_maker {
	EVP_PKEY *pkey;
	EVP_PKEY *other;
	EVP_PKEY *p384;
	struct es256_key *key;
	struct es256_key *other_key;
	unsigned char point[65];
	char text[MADE_TOKEN_MAX];
	size_t length;
};

static inline struct token_maker *token_maker_new(void)
{
	struct token_maker *maker = calloc(1, sizeof *maker);
	size_t length;

	maker->pkey = EVP_EC_gen("P-256");
	maker->other = EVP_EC_gen("P-256");
	maker->p384 = EVP_EC_gen("P-384");
	maker->key = es256_key_new(maker->pkey);
	maker->other_key = es256_key_new(maker->other);
	if (maker->key == NULL || maker->other_key == NULL ||
		EVP_PKEY_get_octet_string_param(maker->pkey, "encoded-pub-key", maker->point, sizeof maker->point, &length) != 1)
		abort();
	return maker;
}

static inline void token_maker_free(struct token_maker *maker)
{
	es256_key_free(maker->key);
	es256_key_free(maker->other_key);
	EVP_PKEY_free(maker->pkey);
	EVP_PKEY_free(maker->other);
	EVP_PKEY_free(maker->p384);
	free(maker);
}

/* The order of P-256 (FIPS 186-4, D.1.2.3). */
static const unsigned char made_order[32] = {
	0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
};

static inline void made_flip_s(unsigned char s[32])
{
	int borrow = 0;

	for (int i = 31; i >= 0; i--) {
		int difference = made_order[i] - s[i] - borrow;

		borrow = difference < 0;
		s[i] = (unsigned char)(difference + (borrow ? 256 : 0));
	}
}

static inline size_t made_hmac(struct token_maker *maker, const EVP_MD *md, unsigned char *out)
{
	unsigned length = 0;

	HMAC(md, maker->point, sizeof maker->point, (const unsigned char *)maker->text, maker->length, out, &length);
	return length;
}

static inline size_t made_evp(struct token_maker *maker, EVP_PKEY *pkey, const EVP_MD *md, unsigned char *out, size_t size)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (EVP_DigestSignInit(context, NULL, md, NULL, pkey) != 1 ||
		EVP_DigestSign(context, out, &size, (const unsigned char *)maker->text, maker->length) != 1)
		abort();
	EVP_MD_CTX_free(context);
	return size;
}

static inline size_t made_signature(struct token_maker *maker, enum made_by by, unsigned char out[256])
{
	switch (by) {
	case MADE_BY_ES256:
	case MADE_BY_FLIPPED_S:
		es256_sign(maker->key, maker->text, maker->length, out);
		if (by == MADE_BY_FLIPPED_S)
			made_flip_s(out + 32);
		return 64;
	case MADE_BY_NOBODY:
		return 0;
	case MADE_BY_HS256:
		return made_hmac(maker, EVP_sha256(), out);
	case MADE_BY_HS384:
		return made_hmac(maker, EVP_sha384(), out);
	case MADE_BY_HS512:
		return made_hmac(maker, EVP_sha512(), out);
	case MADE_BY_ES384:
		made_evp(maker, maker->p384, EVP_sha384(), out, 256);
		return 96;
	case MADE_BY_DER:
		return made_evp(maker, maker->pkey, EVP_sha256(), out, 256);
	case MADE_BY_OTHER_KEY:
		es256_sign(maker->other_key, maker->text, maker->length, out);
		return 64;
	case MADE_BY_ZEROS:
		memset(out, 0, 64);
		return 64;
	case MADE_BY_ORDER:
		memcpy(out, made_order, 32);
		memcpy(out + 32, made_order, 32);
		return 64;
	case MADE_BY_ONES:
		memset(out, 0xff, 64);
		return 64;
	}
	return 0;
}

/* The token stays until the next one is made. */
static inline struct span make_token_of(
	struct token_maker *maker, struct span header, struct span payload, enum made_by by)
{
	unsigned char signature[256];
	size_t length;

	if (BASE64URL_LENGTH(header.length) + BASE64URL_LENGTH(payload.length) + 400 > sizeof maker->text)
		abort();
	maker->length = base64url_encode(maker->text, header.at, header.length);
	maker->text[maker->length++] = '.';
	maker->length += base64url_encode(maker->text + maker->length, payload.at, payload.length);
	length = made_signature(maker, by, signature);
	maker->text[maker->length++] = '.';
	maker->length += base64url_encode(maker->text + maker->length, signature, length);
	return (struct span){ maker->text, maker->length };
}

#endif
