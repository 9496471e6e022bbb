/* signed-identity.h: what an Identity that we made says, once its signature has been verified with a
 * certificate. */
#ifndef STIRRUP_TESTS_SIGNED_IDENTITY_H
#define STIRRUP_TESTS_SIGNED_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/x509.h>

#include "stirrup/es256.h"
#include "stirrup/identity_header.h"
#include "stirrup/passport.h"
#include "stirrup/span.h"

/* NULL unless it is one well-formed Identity, signed with the certificate's key, whose info is its x5u. */
static inline struct passport *signed_identity(struct span value, X509 *certificate)
{
	struct identity_header header;
	struct passport *passport = NULL;
	struct es256_key *key = es256_key_new(X509_get0_pubkey(certificate));
	struct span bytes, rest = value;
	const char *detail;
	bool malformed = false, good;

	good = key != NULL && identity_header_next(&rest, &header, &malformed) && rest.length == 0 &&
	       span_is(header.alg, "ES256") && span_is(header.ppt, "shaken") &&
	       passport_parse(&passport, header.token, &detail) == PASSPORT_OK &&
	       span_is(header.info, passport_x5u(passport));
	if (good) {
		bytes = passport_signed_bytes(passport);
		good = es256_verify(key, bytes.at, bytes.length, passport_signature(passport));
	}
	es256_key_free(key);
	if (good)
		return passport;
	passport_free(passport);
	return NULL;
}

#endif
