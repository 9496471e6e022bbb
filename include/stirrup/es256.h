/* es256.h: ECDSA with P-256 and SHA-256 as JWS carries it: r and s, 32 octets each (RFC 7518, section 3.4). */
#ifndef STIRRUP_ES256_H
#define STIRRUP_ES256_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/evp.h>

#define ES256_SIGNATURE_BYTES 64
#define ES256_DIGEST_BYTES 32

/* A key ready for use: what OpenSSL would look up for every signature is looked up once. Not for several threads. */
struct es256_key;

/* Takes its own reference of pkey. NULL when that is no EC key on the named curve P-256, or out of memory. */
struct es256_key *es256_key_new(EVP_PKEY *pkey);
/* The public key that is this uncompressed point; for verifying only. NULL when it is not on the curve. */
#define ES256_POINT_BYTES 65
struct es256_key *es256_key_from_point(const unsigned char point[ES256_POINT_BYTES]);

void es256_key_free(struct es256_key *key); /* NULL is fine */

bool es256_sign(struct es256_key *key, const void *data, size_t length, unsigned char signature[ES256_SIGNATURE_BYTES]);

/* False for a wrong signature and for r or s out of range. */
bool es256_verify(struct es256_key *key, const void *data, size_t length,
	const unsigned char signature[ES256_SIGNATURE_BYTES]);

/* The same in two steps, for who wants the digest, too. False, the first one: out of memory. */
bool es256_digest(struct es256_key *key, const void *data, size_t length, unsigned char digest[ES256_DIGEST_BYTES]);
bool es256_verify_digest(struct es256_key *key, const unsigned char digest[ES256_DIGEST_BYTES],
	const unsigned char signature[ES256_SIGNATURE_BYTES]);

#endif
