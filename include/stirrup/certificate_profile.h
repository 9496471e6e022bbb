/* certificate_profile.h: what ATIS-1000080 wants of an end-entity certificate, beyond what makes it
 * believable. Nearly every certificate in use breaks some rule, so findings are counted, not punished. */
#ifndef STIRRUP_CERTIFICATE_PROFILE_H
#define STIRRUP_CERTIFICATE_PROFILE_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/x509.h>

#include "stirrup/tn_auth_list.h"

/* One for each rule. */
enum profile_finding {
	PROFILE_VERSION,                  /* not version 3 */
	PROFILE_SIGNATURE,                /* not ECDSA with SHA-256, or with SHA-384 by an issuer on P-384 */
	PROFILE_SERIAL,                   /* a serial number of less than 64 bits */
	PROFILE_SUBJECT,                  /* not one C of two letters, one O and one CN */
	PROFILE_COMMON_NAME,              /* CN has no "SHAKEN", a space, and the SPC */
	PROFILE_BASIC_CONSTRAINTS,        /* absent, or not critical */
	PROFILE_KEY_USAGE,                /* absent, not critical, or not digitalSignature alone */
	PROFILE_SUBJECT_KEY_IDENTIFIER,   /* absent */
	PROFILE_AUTHORITY_KEY_IDENTIFIER, /* absent, or without a key identifier */
	PROFILE_POLICY,                   /* not exactly one policy of 2.16.840.1.114569.1.1, or critical */
	PROFILE_CRL_POINT,                /* not exactly one distribution point with a URL and a cRLIssuer */
	PROFILE_TN_AUTH_LIST,             /* not exactly one SPC and nothing else, or critical */
	PROFILE_OTHER_EXTENSION, /* one that the profile does not name: extended key usage, for example */
};
#define PROFILE_FINDINGS (PROFILE_OTHER_EXTENSION + 1)

/* The findings as bits: 1 << PROFILE_VERSION and so on. */
uint32_t certificate_profile_findings(const X509 *end_entity, const struct tn_auth_list *list);

/* In a word: "key_usage". Static. */
const char *certificate_profile_word(enum profile_finding finding);

#endif
