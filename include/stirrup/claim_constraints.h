/* claim_constraints.h: which claims a certificate allows in the PASSporTs that it signs: JWTClaimConstraints
 * (RFC 8226 section 8) and its enhanced form (RFC 9118). Pure. */
#ifndef STIRRUP_CLAIM_CONSTRAINTS_H
#define STIRRUP_CLAIM_CONSTRAINTS_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/passport.h"

#define CLAIM_CONSTRAINTS_OID "1.3.6.1.5.5.7.1.27"
#define ENHANCED_CLAIM_CONSTRAINTS_OID "1.3.6.1.5.5.7.1.33"

/* Strict DER of the extension's value. False with the reason (static) in *why. */
bool claim_constraints_are_valid(const unsigned char *der, size_t length, bool enhanced, const char **why);

/* Whether a PASSporT keeps to them; those that are not valid allow none. False with the claim and what is
 * wrong with it in why. Values are compared as passport_claim_is() does. */
bool claim_constraints_allow(const unsigned char *der, size_t length, bool enhanced,
	const struct passport *passport, char *why, size_t why_size);

#endif
