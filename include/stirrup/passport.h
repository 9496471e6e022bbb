/* passport.h: a PASSporT (RFC 8225) with the "shaken" claims (RFC 8588), in full form. */
#ifndef STIRRUP_PASSPORT_H
#define STIRRUP_PASSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/span.h"
#include "stirrup/tn.h"

#define PASSPORT_X5U_MAX 512
#define PASSPORT_MAX 8192        /* of a received token: RFC 8225 sets no limit, memory does */
#define PASSPORT_SIGNING_INPUT_MAX 1536
#define PASSPORT_TNS_MAX 16
#define ORIGID_SIZE 37           /* a UUID as text and its NUL (RFC 8588 section 5, RFC 4122) */

/* The claims of a "shaken" PASSporT that we make. */
struct shaken_claims {
	char attest;             /* 'A', 'B', 'C' */
	struct tn orig;
	struct tn dest_tn;       /* empty: dest_uri stands instead */
	char dest_uri[64];       /* "urn:service:sos": an emergency call (RFC 9027 section 3) */
	int64_t iat;             /* seconds since 1970 */
	char origid[ORIGID_SIZE];
};

/* The protected header {"alg":"ES256","ppt":"shaken","typ":"passport","x5u":...} in base64url, NUL-terminated; made
 * once for a credential. False when x5u is longer than PASSPORT_X5U_MAX or it does not fit. */
bool passport_shaken_header(char *out, size_t size, const char *x5u);

/* header "." payload, both in base64url: the bytes to sign, serialized as RFC 8225 section 9 says (sorted, no white
 * space), without a NUL. Returns the length; 0 when it does not fit, and for claims that make no "shaken" PASSporT (no
 * orig, no dest, another attest, iat before 1970). */
size_t passport_signing_input(char *out, size_t size, const char *header, const struct shaken_claims *claims);

/* How a received token is not a PASSporT. */
enum passport_fault {
	PASSPORT_OK,
	PASSPORT_TOO_LONG,
	PASSPORT_COMPACT_FORM,      /* ".." and a signature: RFC 8225 section 7 */
	PASSPORT_NOT_THREE_PARTS,
	PASSPORT_BAD_BASE64,
	PASSPORT_BAD_JSON,          /* also duplicate members, depth, not an object */
	PASSPORT_MISSING_MEMBER,    /* of the header: alg, typ, x5u */
	PASSPORT_BAD_TYP,
	PASSPORT_BAD_ALG,
	PASSPORT_BAD_HEADER,        /* x5u or ppt is no text */
	PASSPORT_CRITICAL,          /* "crit" */
	PASSPORT_MISSING_CLAIM,
	PASSPORT_BAD_CLAIMS,        /* there, but of the wrong type or value */
	PASSPORT_BAD_ATTEST,
	PASSPORT_BAD_SIGNATURE_LENGTH,
	PASSPORT_NO_MEMORY,         /* ours, not the token's */
};

/* What that means, in words for people. Static. */
const char *passport_fault_text(enum passport_fault fault);

/* A received PASSporT of any ppt. */
struct passport;

/* Reads the compact serialization. Judges form only, never whether to believe it. On PASSPORT_OK the caller owns *out,
 * which passport_free() releases; else *out is untouched and *detail (static) names the member or part at fault.
 * Strict: exact alg ES256 and typ passport, x5u present, no "crit", canonical base64url, no duplicate JSON members, no
 * NUL, iat an integer from 0 to the end of the year 9999, a 64-octet signature, orig exactly one string, dest arrays
 * of 1 to PASSPORT_TNS_MAX strings in all, no empty string among them (a tn is 1*tn-char: RFC 8224 section 8.3).
 * "shaken" also wants attest A, B or C and origid. Lenient: any order, white space, unknown claims. The header is
 * judged before signature and claims: an alg that we don't take explains a signature of another length. */
enum passport_fault passport_parse(struct passport **out, struct span token, const char **detail);
void passport_free(struct passport *passport); /* NULL is fine */

/* The ppt in the header of a token, be the rest of the token as it may; cut at the size of out. False, with an empty
 * string, when there is none or the header cannot be read. */
bool passport_read_ppt(char *out, size_t size, struct span token);
bool passport_has_ppt(struct span token, const char *ppt);

/* All borrowed; NULL or 0 where the claim is absent. */
const char *passport_ppt(const struct passport *passport);       /* NULL: a base PASSporT */
const char *passport_x5u(const struct passport *passport);
int64_t passport_iat(const struct passport *passport);
const char *passport_orig_tn(const struct passport *passport);
const char *passport_orig_uri(const struct passport *passport);
size_t passport_dest_tns(const struct passport *passport);
const char *passport_dest_tn(const struct passport *passport, size_t index);
size_t passport_dest_uris(const struct passport *passport);
const char *passport_dest_uri(const struct passport *passport, size_t index);
char passport_attest(const struct passport *passport);           /* 0: absent; "shaken" never lacks it */
const char *passport_origid(const struct passport *passport);
/* Any claim by its name, and whether its value is this text: that of a string, else its JSON as RFC 8225 section 9
 * serializes it. */
bool passport_has_claim(const struct passport *passport, struct span name);
bool passport_claim_is(const struct passport *passport, struct span name, struct span value);
/* The received bytes that the signature covers, and the signature. */
struct span passport_signed_bytes(const struct passport *passport);
const unsigned char *passport_signature(const struct passport *passport);
/* The decoded JSON texts as received, for people to read. NUL-terminated. */
const char *passport_header_json(const struct passport *passport);
const char *passport_payload_json(const struct passport *passport);

#endif
