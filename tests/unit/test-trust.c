#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "stirrup/trust.h"
#include "trust-lab.h"

static const struct trust_options lenient = { .strict_profile = false };
static const struct trust_options strict = { .strict_profile = true };

/* --- Authorities --- */

#define SUBJECT "C=US/O=Lab/CN=SHAKEN 1234"
#define CA_MORE(...)                                                                                         \
	{                                                                                                    \
		LAB_CA, __VA_ARGS__                                                                          \
	}
#define CN(name) "C=US/O=Lab/CN=" name

/* Each by a letter, with its issuer's; '*' is signed by itself. Issuers come first. */
static const struct authority {
	char letter, issuer;
	bool configured;
	struct lab_recipe recipe;
} authorities[] = {
	/* roots that are configured */
	{ 'R', '*', true,
		{ .subject = CN("root"), .not_after = LAB_NOW + 9000 * PKI_DAY, .extensions = { LAB_CA } } },
	{ '1', '*', true, { .subject = CN("version 1 root"), .version_1 = true } },
	{ 'O', '*', true, { .subject = CN("old root"), .not_after = LAB_NOW - 1, .extensions = { LAB_CA } } },
	{ 'A', '*', true, { .subject = CN("RSA root"), .key = "RSA-2048", .extensions = { LAB_CA } } },
	{ '0', '*', true,
		{ .subject = CN("root with path length 0"),
			.extensions = { { "basicConstraints", "critical,CA:true,pathlen:0" },
				{ "keyUsage", "keyCertSign" } } } },
	{ 'b', '*', true,
		{ .subject = CN("root for web servers"),
			.extensions = CA_MORE({ "extendedKeyUsage", "serverAuth" }) } },
	/* roots that are not */
	{ 'W', '*', false, { .subject = CN("web root"), .extensions = { LAB_CA } } },
	{ 'w', '*', false, { .subject = CN("root"), .extensions = { LAB_CA } } }, /* by the name of ours */
	/* intermediates */
	{ 'I', 'R', false, { .subject = CN("intermediate"), .extensions = { LAB_CA } } },
	{ 'J', 'I', false, { .subject = CN("second intermediate"), .extensions = { LAB_CA } } },
	{ 'H', 'R', true, { .subject = CN("configured intermediate"), .extensions = { LAB_CA } } },
	{ 'V', 'W', false, { .subject = CN("web intermediate"), .extensions = { LAB_CA } } },
	{ 'v', 'w', false, { .subject = CN("false intermediate"), .extensions = { LAB_CA } } },
	{ 'P', 'R', false,
		{ .subject = CN("path length 0"),
			.extensions = { { "basicConstraints", "critical,CA:true,pathlen:0" },
				{ "keyUsage", "critical,keyCertSign" } } } },
	{ 'Q', 'P', false, { .subject = CN("below path length 0"), .extensions = { LAB_CA } } },
	{ 'z', '0', false, { .subject = CN("below root with path length 0"), .extensions = { LAB_CA } } },
	{ 'E', 'R', false, { .subject = CN("expired"), .not_after = LAB_NOW - 1, .extensions = { LAB_CA } } },
	{ 'F', 'R', false, { .subject = CN("future"), .not_before = LAB_NOW + 1, .extensions = { LAB_CA } } },
	{ 'K', 'R', false,
		{ .subject = CN("no keyCertSign"),
			.extensions = { { "basicConstraints", "critical,CA:true" },
				{ "keyUsage", "critical,digitalSignature,cRLSign" } } } },
	{ 'C', 'R', false,
		{ .subject = CN("no CA"),
			.extensions = { { "basicConstraints", "critical,CA:false" },
				{ "keyUsage", "critical,keyCertSign" } } } },
	{ 'B', 'R', false,
		{ .subject = CN("no basicConstraints"),
			.extensions = { { "keyUsage", "critical,keyCertSign" } } } },
	{ 'u', 'R', false,
		{ .subject = CN("no keyUsage"),
			.extensions = { { "basicConstraints", "critical,CA:true" } } } },
	{ 'S', 'R', false,
		{ .subject = CN("signed with SHA-1"), .digest = "SHA1", .extensions = { LAB_CA } } },
	{ 'T', 'R', false,
		{ .subject = CN("RSA of 1024 bits"), .key = "RSA-1024", .extensions = { LAB_CA } } },
	{ 'U', 'R', false,
		{ .subject = CN("RSA of 2048 bits"), .key = "RSA-2048", .extensions = { LAB_CA } } },
	{ '3', 'R', false,
		{ .subject = CN("P-384"), .key = "P-384", .digest = "SHA384", .extensions = { LAB_CA } } },
	{ 'X', 'R', false, { .subject = CN("explicit curve"), .key = "explicit", .extensions = { LAB_CA } } },
	{ 'G', 'R', false,
		{ .subject = CN("strange extension"),
			.extensions = CA_MORE({ "1.2.3.4", "critical,DER:0500" }) } },
	{ 'N', 'R', false,
		{ .subject = CN("name constraints"),
			.extensions =
				CA_MORE({ "nameConstraints", "critical,permitted;DNS:lab.example" }) } },
	{ 'M', 'R', false,
		{ .subject = CN("malformed"),
			.extensions = { { "basicConstraints", "DER:0500" },
				{ "keyUsage", "keyCertSign" } } } },
	{ 'Y', 'R', false, { .subject = CN("forged"), .forged = true, .extensions = { LAB_CA } } },
	{ 'k', 'R', false,
		{ .subject = CN("no key identifiers"),
			.no_key_identifiers = true,
			.extensions = { LAB_CA } } },
	{ 'l', 'R', false,
		{ .subject = CN("no key identifiers"),
			.no_key_identifiers = true,
			.extensions = { LAB_CA } } },
	{ 'a', 'A', false, { .subject = CN("below RSA root"), .extensions = { LAB_CA } } },
	{ 'o', 'O', false, { .subject = CN("below old root"), .extensions = { LAB_CA } } },
	/* delegates: two codes; the numbers 12155550100 to 12155550199; a list that is none */
	{ 'D', 'R', false,
		{ .subject = CN("delegate of codes"),
			.extensions =
				CA_MORE({ TN_AUTH_LIST_OID, "DER:3010a006160431323334a006160435363738" }) } },
	{ 'd', 'R', false,
		{ .subject = CN("delegate of numbers"),
			.extensions = CA_MORE(
				{ TN_AUTH_LIST_OID, "DER:3014a1123010160b3132313535353530313030020164" }) } },
	{ 'm', 'R', false,
		{ .subject = CN("delegate of nonsense"),
			.extensions = CA_MORE({ TN_AUTH_LIST_OID, "DER:0500" }) } },
	{ 'e', 'd', false, { .subject = CN("below delegate of numbers"), .extensions = { LAB_CA } } },
	/* a chain of seven */
	{ '2', 'J', false, { .subject = CN("third"), .extensions = { LAB_CA } } },
	{ '4', '2', false, { .subject = CN("fourth"), .extensions = { LAB_CA } } },
	{ '5', '4', false, { .subject = CN("fifth"), .extensions = { LAB_CA } } },
	{ '6', '5', false, { .subject = CN("sixth"), .extensions = { LAB_CA } } },
	{ '7', '6', false, { .subject = CN("seventh"), .extensions = { LAB_CA } } },
};
#define AUTHORITIES (sizeof authorities / sizeof *authorities)

struct fixture {
	struct lab_made made[AUTHORITIES];
	struct lab_made cross; /* I's name and key, under W */
	EVP_PKEY *key;         /* of end entities */
	struct trust *trust;
	X509_STORE *store; /* the same roots, for OpenSSL's own opinion */
};

static const struct lab_made *authority(const struct fixture *f, char letter)
{
	for (size_t i = 0; i < AUTHORITIES; i++)
		if (authorities[i].letter == letter)
			return &f->made[i];
	fail_msg("no authority %c", letter);
	return NULL;
}

static int setup(void **state)
{
	static const struct lab_recipe cross = { .subject = CN("intermediate"), .extensions = { LAB_CA } };
	struct fixture *f = calloc(1, sizeof *f);

	f->key = EVP_EC_gen("P-256");
	f->trust = trust_new();
	f->store = X509_STORE_new();
	for (size_t i = 0; i < AUTHORITIES; i++) {
		const struct authority *a = &authorities[i];
		char *pem, why[200];

		f->made[i] = lab_issue(&a->recipe, a->issuer == '*' ? NULL : authority(f, a->issuer));
		if (!a->configured)
			continue;
		pem = pki_pem((X509 *const[]){ f->made[i].certificate, NULL });
		if (!trust_add_anchors(f->trust, span_of(pem), why, sizeof why))
			fail_msg("%c: %s", a->letter, why);
		free(pem);
		if (a->issuer == '*')
			X509_STORE_add_cert(f->store, f->made[i].certificate);
	}
	f->cross = lab_issue_for(&cross, authority(f, 'W'), authority(f, 'I')->key);
	EVP_PKEY_up_ref(f->cross.key);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < AUTHORITIES; i++)
		lab_discard(&f->made[i]);
	lab_discard(&f->cross);
	EVP_PKEY_free(f->key);
	trust_free(f->trust);
	X509_STORE_free(f->store);
	free(f);
	return 0;
}

/* --- Judging --- */

/* From a copy of exactly that size, so that a sanitizer sees any read beyond it. */
static void judge_bytes(const struct trust *trust, const char *text, size_t length,
	const struct trust_options *options, int64_t now, struct certificate_facts *facts)
{
	char *exact = malloc(length == 0 ? 1 : length);

	assert_non_null(exact);
	if (length > 0)
		memcpy(exact, text, length);
	memset(facts, 0xa5, sizeof *facts);
	strcpy(facts->x5u, "https://untouched.example/");
	facts->keep_until = 11;
	facts->refresh_after = 22;
	facts->trust_epoch = 33;
	trust_judge(trust, (struct span){ exact, length }, options, now, facts);
	free(exact);
	assert_int_equal(ERR_peek_error(), 0);
	assert_string_equal(facts->x5u, "https://untouched.example/");
	assert_int_equal(facts->keep_until, 11);
	assert_int_equal(facts->refresh_after, 22);
	assert_int_equal(facts->trust_epoch, 33);
	assert_true(facts->detail[0] != '\0' && memchr(facts->detail, '\0', sizeof facts->detail) != NULL);
}

static void judge(const struct fixture *f, const char *text, int64_t now, struct certificate_facts *facts)
{
	judge_bytes(f->trust, text, strlen(text), &lenient, now, facts);
}

static void expect(
	const char *what, const struct certificate_facts *facts, enum verdict verdict, const char *detail)
{
	if (facts->verdict != verdict ||
		(detail != NULL && strncmp(facts->detail, detail, strlen(detail)) != 0))
		fail_msg("%s: %s, \"%s\"; want %s, \"%s\"", what, verdict_word(facts->verdict), facts->detail,
			verdict_word(verdict), detail == NULL ? "" : detail);
}

/* "L" is the end entity, "+" the cross certificate, else the letters of the authorities. */
static char *deliver(const struct fixture *f, X509 *leaf, const char *letters)
{
	X509 *certificates[12] = { NULL };

	for (size_t i = 0; letters[i] != '\0'; i++)
		certificates[i] = letters[i] == 'L'   ? leaf
				  : letters[i] == '+' ? f->cross.certificate
						      : authority(f, letters[i])->certificate;
	return pki_pem(certificates);
}

/* What X509_verify_cert() thinks of the first one as delivered, with the same roots. */
static bool openssl_takes(const struct fixture *f, X509 *leaf, const char *letters)
{
	STACK_OF(X509) *untrusted = sk_X509_new_null();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	X509 *first = letters[0] == 'L' ? leaf : authority(f, letters[0])->certificate;
	bool ok;

	for (const char *letter = letters + 1; *letter != '\0'; letter++)
		sk_X509_push(untrusted, *letter == 'L'   ? leaf
					: *letter == '+' ? f->cross.certificate
							 : authority(f, *letter)->certificate);
	for (size_t i = 0; i < AUTHORITIES; i++)
		if (authorities[i].configured && authorities[i].issuer != '*')
			sk_X509_push(untrusted, f->made[i].certificate);
	assert_int_equal(X509_STORE_CTX_init(context, f->store, first, untrusted), 1);
	X509_STORE_CTX_set_time(context, 0, LAB_NOW);
	X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(context), 2);
	ok = X509_verify_cert(context) == 1;
	X509_STORE_CTX_free(context);
	sk_X509_free(untrusted);
	ERR_clear_error();
	return ok;
}

/* --- The zoo --- */

#define LEAF                                                                                                 \
	{                                                                                                    \
		.subject = SUBJECT, .extensions = { LAB_END, LAB_1234 }                                      \
	}
#define LEAF_WITH(...)                                                                                       \
	{                                                                                                    \
		.subject = SUBJECT, .extensions = { LAB_END, LAB_1234, __VA_ARGS__ }                         \
	}
#define LEAF_LIST(der)                                                                                       \
	{                                                                                                    \
		.subject = SUBJECT, .extensions = { LAB_END, { TN_AUTH_LIST_OID, "DER:" der } }              \
	}
#define LEAF_KEY(kind)                                                                                       \
	{                                                                                                    \
		.subject = SUBJECT, .key = kind, .extensions = { LAB_END, LAB_1234 }                         \
	}
#define UNTRUSTED VERDICT_CERTIFICATE_UNTRUSTED

/* What OpenSSL, asked about the path alone, says: the same, or this server is stricter or milder on purpose.
 */
enum opinion { SAME, STRICTER, MILDER };

static const struct chain {
	const char *behaviour;
	char issuer;
	const char *delivered;
	struct lab_recipe leaf;
	enum verdict verdict;
	const char *detail; /* how it begins; NULL: any */
	enum opinion opinion;
} zoo[] = {
	/* good ones */
	{ "takes an end entity with its intermediate", 'I', "LI", LEAF, VERDICT_PASSED,
		"no CRL configured; trusted by /C=US/O=Lab/CN=root", SAME },
	{ "takes one right under a root", 'R', "L", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "takes the root in the file", 'I', "LIR", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "takes two intermediates", 'J', "LJI", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "takes intermediates in any order", 'J', "LIJ", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "takes strays in the file", 'I', "LVWPDIY", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "takes the end entity twice", 'I', "LLI", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "uses a configured intermediate", 'H', "L", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "takes the configured intermediate in the file", 'H', "LH", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "takes path length 0 above an end entity", 'P', "LP", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "takes eight certificates in all", '6', "L6542JI", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "takes a CA on P-384", '3', "L3", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "takes an RSA CA", 'U', "LU", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "takes an RSA root", 'a', "La", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "takes a root of version 1", '1', "L", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "ignores what a root is for", 'b', "L", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "takes a CA without key usage", 'u', "Lu", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "takes a CA without key identifiers", 'k', "Lk", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "takes a compressed key", 'I', "LI", LEAF_KEY("compressed"), VERDICT_PASSED, NULL, SAME },
	{ "takes names within the constraints", 'N', "LN",
		LEAF_WITH({ "subjectAltName", "DNS:a.lab.example" }), VERDICT_PASSED, NULL, SAME },
	{ "takes an end entity without key usage", 'I', "LI",
		{ .subject = SUBJECT, .extensions = { LAB_1234 } }, VERDICT_PASSED, NULL, SAME },
	{ "ignores extended key usage", 'I', "LI", LEAF_WITH({ "extendedKeyUsage", "serverAuth" }),
		VERDICT_PASSED, NULL, SAME },
	{ "takes a critical TNAuthList, which it understands", 'I', "LI",
		{ .subject = SUBJECT,
			.extensions = { LAB_END,
				{ TN_AUTH_LIST_OID, "critical,DER:3008a006160431323334" } } },
		VERDICT_PASSED, NULL, MILDER },

	/* two CAs of one name: the one that signed is found, whatever comes first */
	{ "tries the issuers of one name: first", 'k', "Lkl", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "tries the issuers of one name: last", 'k', "Llk", LEAF, VERDICT_PASSED, NULL, MILDER },
	{ "goes back from a cross certificate that leads nowhere", 'I', "L+I", LEAF, VERDICT_PASSED, NULL,
		MILDER },
	{ "goes back from a strange root", 'I', "L+WI", LEAF, VERDICT_PASSED, NULL, MILDER },

	/* other authorities */
	{ "refuses the web's", 'V', "LVW", LEAF, UNTRUSTED,
		"no trusted issuer: wants /C=US/O=Lab/CN=web root", SAME },
	{ "refuses the web's root in the file", 'W', "LW", LEAF, UNTRUSTED,
		"no trusted issuer: wants /C=US/O=Lab/CN=web root", SAME },
	{ "refuses a root by the name of ours", 'w', "Lw", LEAF, UNTRUSTED,
		"self-signed certificate in certificate chain: /C=US/O=Lab/CN=root", SAME },
	{ "refuses an intermediate of a false root", 'v', "Lvw", LEAF, UNTRUSTED,
		"self-signed certificate in certificate chain: /C=US/O=Lab/CN=root", SAME },
	{ "refuses a cross certificate alone", 'I', "L+", LEAF, UNTRUSTED,
		"no trusted issuer: wants /C=US/O=Lab/CN=web root", SAME },
	{ "refuses without the intermediate", 'I', "L", LEAF, UNTRUSTED,
		"no trusted issuer: wants /C=US/O=Lab/CN=intermediate", SAME },
	{ "refuses with another intermediate", 'I', "LJ", LEAF, UNTRUSTED,
		"no trusted issuer: wants /C=US/O=Lab/CN=intermediate", SAME },
	{ "refuses a gap", 'J', "LJ", LEAF, UNTRUSTED, "no trusted issuer: wants /C=US/O=Lab/CN=intermediate",
		SAME },
	{ "refuses one signed by itself", '*', "L", LEAF, UNTRUSTED,
		"no trusted issuer: wants /C=US/O=Lab/CN=SHAKEN 1234", SAME },
	{ "refuses a forged end entity", 'I', "LI",
		{ .subject = SUBJECT, .forged = true, .extensions = { LAB_END, LAB_1234 } }, UNTRUSTED,
		"certificate signature failure: /C=US/O=Lab/CN=SHAKEN 1234", SAME },
	{ "refuses a forged intermediate", 'Y', "LY", LEAF, UNTRUSTED,
		"certificate signature failure: /C=US/O=Lab/CN=forged", SAME },
	{ "refuses nine certificates in all", '7', "L76542JI", LEAF, UNTRUSTED, "no trusted issuer: wants",
		STRICTER },

	/* issuers that may not */
	{ "refuses below path length 0", 'Q', "LQP", LEAF, UNTRUSTED, "path length constraint exceeded",
		SAME },
	{ "refuses below a root's path length 0", 'z', "Lz", LEAF, UNTRUSTED,
		"path length constraint exceeded", SAME },
	{ "refuses an issuer without keyCertSign", 'K', "LK", LEAF, UNTRUSTED, "no trusted issuer", SAME },
	{ "refuses an issuer that is no CA", 'C', "LC", LEAF, UNTRUSTED,
		"invalid CA certificate: /C=US/O=Lab/CN=no CA", SAME },
	{ "refuses an issuer without basicConstraints", 'B', "LB", LEAF, UNTRUSTED,
		"invalid CA certificate: /C=US/O=Lab/CN=no basicConstraints", SAME },
	{ "refuses SHA-1", 'S', "LS", LEAF, UNTRUSTED, "CA signature digest algorithm too weak", SAME },
	{ "refuses SHA-1 on the end entity", 'I', "LI",
		{ .subject = SUBJECT, .digest = "SHA1", .extensions = { LAB_END, LAB_1234 } }, UNTRUSTED,
		"CA signature digest algorithm too weak", SAME },
	{ "refuses RSA of 1024 bits", 'T', "LT", LEAF, UNTRUSTED, "CA certificate key too weak", SAME },
	{ "refuses a CA's explicit curve parameters", 'X', "LX", LEAF, UNTRUSTED,
		"Certificate public key has explicit ECC parameters: /C=US/O=Lab/CN=explicit curve", SAME },
	{ "refuses a CA's critical extension that it does not know", 'G', "LG", LEAF, UNTRUSTED,
		"unhandled critical extension", SAME },
	{ "refuses names beyond the constraints", 'N', "LN",
		LEAF_WITH({ "subjectAltName", "DNS:evil.example" }), UNTRUSTED, "permitted subtree violation",
		SAME },
	{ "refuses a malformed CA", 'M', "LM", LEAF, UNTRUSTED, "no trusted issuer", SAME },
	{ "refuses an end entity that issues", '*', "LI", LEAF, UNTRUSTED, "no trusted issuer", SAME },

	/* delegation (RFC 9060) */
	{ "takes a code that was delegated", 'D', "LD", LEAF, VERDICT_PASSED, NULL, SAME },
	{ "refuses a code that was not", 'D', "LD", LEAF_LIST("3008a006160439393939"), UNTRUSTED,
		"the TNAuthList of /C=US/O=Lab/CN=SHAKEN 1234 goes beyond its issuer's", STRICTER },
	{ "takes numbers below codes, which nobody can compare", 'D', "LD",
		LEAF_LIST("300fa20d160b3132313535353530313939"), VERDICT_PASSED, NULL, SAME },
	{ "takes a number within the range", 'd', "Ld", LEAF_LIST("300fa20d160b3132313535353530313939"),
		VERDICT_PASSED, NULL, SAME },
	{ "refuses the number after the range", 'd', "Ld", LEAF_LIST("300fa20d160b3132313535353530323030"),
		UNTRUSTED, "the TNAuthList of", STRICTER },
	{ "refuses a code below numbers", 'd', "Ld", LEAF, UNTRUSTED, "the TNAuthList of", STRICTER },
	{ "refuses beyond the issuer's issuer", 'e', "Led", LEAF, UNTRUSTED, "the TNAuthList of", STRICTER },
	{ "refuses below a delegate's malformed list", 'm', "Lm", LEAF, UNTRUSTED,
		"/C=US/O=Lab/CN=delegate of nonsense: TNAuthList: not a SEQUENCE", STRICTER },

	/* the wrong certificate first */
	{ "refuses a CA as end entity", 'R', "I", LEAF, UNTRUSTED,
		"the first certificate (/C=US/O=Lab/CN=intermediate) is a CA", STRICTER },
	{ "refuses a root as end entity", 'R', "R", LEAF, UNTRUSTED,
		"the first certificate (/C=US/O=Lab/CN=root) is a CA", STRICTER },
	{ "refuses the reverse order", 'I', "IL", LEAF, UNTRUSTED,
		"the first certificate (/C=US/O=Lab/CN=intermediate) is a CA", STRICTER },
	{ "refuses a key usage without signatures", 'I', "LI",
		{ .subject = SUBJECT,
			.extensions = { { "keyUsage", "critical,keyEncipherment" }, LAB_1234 } },
		UNTRUSTED,
		"the key usage of the end entity (/C=US/O=Lab/CN=SHAKEN 1234) is not digitalSignature",
		STRICTER },
	{ "refuses a critical extension that it does not know", 'I', "LI",
		LEAF_WITH({ "1.2.3.4", "critical,DER:0500" }), UNTRUSTED,
		"unhandled critical extension: /C=US/O=Lab/CN=SHAKEN 1234", SAME },
	{ "refuses a malformed extension", 'I', "LI", LEAF_WITH({ "extendedKeyUsage", "DER:0500" }),
		VERDICT_CERTIFICATE_MALFORMED,
		"the end entity (/C=US/O=Lab/CN=SHAKEN 1234) has a malformed extension", SAME },

	/* time; its ends have a test of their own */
	{ "refuses an expired end entity", 'I', "LI",
		{ .subject = SUBJECT, .not_after = LAB_NOW - 1, .extensions = { LAB_END, LAB_1234 } },
		VERDICT_CERTIFICATE_OUTSIDE_VALIDITY, "expired: /C=US/O=Lab/CN=SHAKEN 1234", SAME },
	{ "refuses a future end entity", 'I', "LI",
		{ .subject = SUBJECT, .not_before = LAB_NOW + 1, .extensions = { LAB_END, LAB_1234 } },
		VERDICT_CERTIFICATE_OUTSIDE_VALIDITY, "not yet valid: /C=US/O=Lab/CN=SHAKEN 1234", SAME },
	{ "refuses an expired intermediate", 'E', "LE", LEAF, VERDICT_CERTIFICATE_OUTSIDE_VALIDITY,
		"expired: /C=US/O=Lab/CN=expired", SAME },
	{ "refuses a future intermediate", 'F', "LF", LEAF, VERDICT_CERTIFICATE_OUTSIDE_VALIDITY,
		"not yet valid: /C=US/O=Lab/CN=future", SAME },
	{ "refuses an expired root", 'o', "Lo", LEAF, VERDICT_CERTIFICATE_OUTSIDE_VALIDITY,
		"expired: /C=US/O=Lab/CN=old root", SAME },
	{ "calls an expired stranger a stranger", 'V', "LV",
		{ .subject = SUBJECT, .not_after = LAB_NOW - 1, .extensions = { LAB_END, LAB_1234 } },
		UNTRUSTED, "no trusted issuer", SAME },

	/* keys of end entities: the path is good */
	{ "refuses P-384", 'I', "LI", LEAF_KEY("P-384"), VERDICT_CERTIFICATE_NOT_P256,
		"the end entity's key is on the curve secp384r1; want P-256", SAME },
	{ "refuses P-521", 'I', "LI", LEAF_KEY("P-521"), VERDICT_CERTIFICATE_NOT_P256,
		"the end entity's key is on the curve secp521r1", SAME },
	{ "refuses secp256k1", 'I', "LI", LEAF_KEY("secp256k1"), VERDICT_CERTIFICATE_NOT_P256,
		"the end entity's key is on the curve secp256k1", SAME },
	{ "refuses RSA", 'I', "LI", LEAF_KEY("RSA-2048"), VERDICT_CERTIFICATE_NOT_P256,
		"the end entity's key is rsaEncryption", SAME },
	{ "refuses short RSA for the same reason", 'I', "LI", LEAF_KEY("RSA-1024"),
		VERDICT_CERTIFICATE_NOT_P256, "the end entity's key is rsaEncryption", MILDER },
	{ "refuses Ed25519", 'I', "LI", LEAF_KEY("ED25519"), VERDICT_CERTIFICATE_NOT_P256,
		"the end entity's key is ED25519", SAME },
	{ "refuses explicit curve parameters", 'I', "LI", LEAF_KEY("explicit"), VERDICT_CERTIFICATE_NOT_P256,
		"its key spells out the parameters of a curve", MILDER },

	/* TNAuthLists */
	{ "refuses no TNAuthList", 'I', "LI", { .subject = SUBJECT, .extensions = { LAB_END } },
		VERDICT_BAD_TN_AUTH_LIST, "TNAuthList: there is none (RFC 8226 section 9)", SAME },
	{ "refuses a TNAuthList that is elsewhere", 'I', "LI",
		{ .subject = SUBJECT,
			.extensions = { LAB_END,
				{ "authorityInfoAccess", "OCSP;URI:http://a.example,1.3.6.1.5.5.7.48.14;URI:https://b.example" } } },
		VERDICT_BAD_TN_AUTH_LIST,
		"TNAuthList: only by reference, which is not fetched (RFC 8226 section 10.1)", SAME },
	{ "takes no other access for one", 'I', "LI",
		{ .subject = SUBJECT,
			.extensions = { LAB_END, { "authorityInfoAccess", "caIssuers;URI:https://b.example" } } },
		VERDICT_BAD_TN_AUTH_LIST, "TNAuthList: there is none (RFC 8226 section 9)", SAME },
	{ "takes the TNAuthList that is here, and leaves the other one alone", 'I', "LI",
		LEAF_WITH({ "authorityInfoAccess", "1.3.6.1.5.5.7.48.14;URI:https://b.example" }), VERDICT_PASSED,
		"no CRL configured", SAME },
	{ "refuses two TNAuthLists", 'I', "LI", LEAF_WITH(LAB_1234), VERDICT_BAD_TN_AUTH_LIST,
		"TNAuthList: more than one", SAME },
	{ "refuses an untagged code", 'I', "LI", LEAF_LIST("300613043735354a"), VERDICT_BAD_TN_AUTH_LIST,
		"TNAuthList: an entry is not tagged [0], [1] or [2]", SAME },
	{ "refuses a code of sixteen characters", 'I', "LI",
		LEAF_LIST("3014a012161031323334353637383930313233343536"), VERDICT_BAD_TN_AUTH_LIST,
		"TNAuthList: a service provider code of more than 15 characters", SAME },

	/* claim constraints */
	{ "refuses both forms of constraints", 'I', "LI",
		LEAF_WITH({ "1.3.6.1.5.5.7.1.27", "DER:3000" }, { "1.3.6.1.5.5.7.1.33", "DER:3000" }),
		VERDICT_CLAIM_CONSTRAINTS, "has JWTClaimConstraints in both forms", SAME },
	{ "refuses one form twice", 'I', "LI",
		LEAF_WITH({ "1.3.6.1.5.5.7.1.27", "DER:3000" }, { "1.3.6.1.5.5.7.1.27", "DER:3000" }),
		VERDICT_CLAIM_CONSTRAINTS, "has JWTClaimConstraints more than once", SAME },
};

static void test_judges_the_zoo(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof zoo / sizeof *zoo; i++) {
		const struct chain *c = &zoo[i];
		struct lab_made leaf = lab_issue(&c->leaf, c->issuer == '*' ? NULL : authority(f, c->issuer));
		char *text = deliver(f, leaf.certificate, c->delivered);
		bool takes = openssl_takes(f, leaf.certificate, c->delivered), path;
		struct certificate_facts facts;

		judge(f, text, LAB_NOW, &facts);
		expect(c->behaviour, &facts, c->verdict, c->detail);
		path = facts.verdict != UNTRUSTED && facts.verdict != VERDICT_CERTIFICATE_OUTSIDE_VALIDITY &&
		       facts.verdict != VERDICT_CERTIFICATE_MALFORMED;
		if ((path == takes ? SAME : path ? MILDER : STRICTER) != c->opinion)
			fail_msg("%s: OpenSSL %s it", c->behaviour, takes ? "takes" : "refuses");
		free(text);
		lab_discard(&leaf);
	}
}

/* --- Time --- */

static void test_is_valid_from_the_first_second_to_the_last(void **state)
{
	static const struct {
		int64_t now;
		enum verdict verdict;
	} cases[] = {
		{ LAB_NOW - 101, VERDICT_CERTIFICATE_OUTSIDE_VALIDITY },
		{ LAB_NOW - 100, VERDICT_PASSED },
		{ LAB_NOW + 100, VERDICT_PASSED },
		{ LAB_NOW + 101, VERDICT_CERTIFICATE_OUTSIDE_VALIDITY },
		{ 0, VERDICT_CERTIFICATE_OUTSIDE_VALIDITY },
		{ INT64_C(253402300800), VERDICT_CERTIFICATE_OUTSIDE_VALIDITY },
	};
	struct fixture *f = *state;
	struct lab_recipe recipe = { .subject = SUBJECT,
		.not_before = LAB_NOW - 100,
		.not_after = LAB_NOW + 100,
		.extensions = { LAB_END, LAB_1234 } };
	struct lab_made leaf = lab_issue(&recipe, authority(f, 'I'));
	char *text = deliver(f, leaf.certificate, "LI");

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct certificate_facts facts;

		judge(f, text, cases[i].now, &facts);
		expect("time", &facts, cases[i].verdict, NULL);
	}
	free(text);
	lab_discard(&leaf);
}

/* --- Facts --- */

static void test_tells_what_it_found(void **state)
{
	/* codes 1234 and OFT01, number 12155551212, 100 numbers from 12155550100 */
	static const struct lab_recipe recipe = { .subject = SUBJECT,
		.key = "compressed",
		.not_after = LAB_NOW + 500 * PKI_DAY,
		.extensions = { LAB_END,
			{ TN_AUTH_LIST_OID,
				"DER:3034a006160431323334a00716054f46543031a20d160b3132313535353531323132"
				"a1123010160b3132313535353530313030020164" },
			{ "1.3.6.1.5.5.7.1.33", "DER:3005a003160161" } } };
	struct fixture *f = *state;
	struct lab_made leaf = lab_issue(&recipe, authority(f, 'I'));
	char *text = deliver(f, leaf.certificate, "LI");
	BIGNUM *x = NULL;
	unsigned char octets[32];
	struct certificate_facts facts;

	judge(f, text, LAB_NOW, &facts);
	expect("facts", &facts, VERDICT_PASSED, NULL);
	assert_int_equal(facts.not_before, LAB_NOW - PKI_DAY);
	assert_int_equal(facts.not_after, LAB_NOW + 90 * PKI_DAY); /* the intermediate's */
	assert_string_equal(facts.subject, "/C=US/O=Lab/CN=SHAKEN 1234");
	assert_int_equal(facts.spc_count, 2);
	assert_string_equal(facts.spc[0], "1234");
	assert_string_equal(facts.spc[1], "OFT01");
	assert_int_equal(facts.range_count, 2);
	assert_string_equal(facts.ranges[0].start.digits, "12155551212");
	assert_int_equal(facts.ranges[0].count, 1);
	assert_string_equal(facts.ranges[1].start.digits, "12155550100");
	assert_int_equal(facts.ranges[1].count, 100);
	assert_true(facts.enhanced_constraints);
	assert_int_equal(facts.constraints_length, 7);
	assert_memory_equal(facts.constraints, "\x30\x05\xa0\x03\x16\x01\x61", 7);
	/* No policy, no distribution point, more than one code, no single code for the CN. */
	assert_int_equal(facts.profile_findings, 4);
	assert_int_equal(facts.public_key[0], 4);
	assert_int_equal(EVP_PKEY_get_bn_param(leaf.key, OSSL_PKEY_PARAM_EC_PUB_X, &x), 1);
	BN_bn2binpad(x, octets, 32);
	assert_memory_equal(facts.public_key + 1, octets, 32);
	BN_free(x);
	x = NULL;
	assert_int_equal(EVP_PKEY_get_bn_param(leaf.key, OSSL_PKEY_PARAM_EC_PUB_Y, &x), 1);
	BN_bn2binpad(x, octets, 32);
	assert_memory_equal(facts.public_key + 33, octets, 32);
	BN_free(x);
	free(text);
	lab_discard(&leaf);
}

static void test_copies_simple_constraints(void **state)
{
	static const struct lab_recipe recipe = LEAF_WITH({ "1.3.6.1.5.5.7.1.27", "DER:3000" });
	struct fixture *f = *state;
	struct lab_made leaf = lab_issue(&recipe, authority(f, 'I'));
	char *text = deliver(f, leaf.certificate, "LI");
	struct certificate_facts facts;

	judge(f, text, LAB_NOW, &facts);
	expect("constraints", &facts, VERDICT_PASSED, NULL);
	assert_false(facts.enhanced_constraints);
	assert_int_equal(facts.constraints_length, 2);
	free(text);
	lab_discard(&leaf);
}

/* An entry repeated, and an extension of that many octets. */
static char *repeated(const char *entry, size_t count)
{
	size_t octets = strlen(entry) / 2 * count;
	char *value = calloc(1, 64 + 2 * octets);
	int length = sprintf(value,
		octets < 0x80    ? "DER:30%02zx"
		: octets < 0x100 ? "DER:3081%02zx"
				 : "DER:3082%04zx",
		octets);

	for (size_t i = 0; i < count; i++)
		strcpy(value + length + i * strlen(entry), entry);
	return value;
}

static void test_bounds_what_it_copies(void **state)
{
	static const struct {
		const char *oid, *entry;
		size_t count;
		enum verdict verdict;
		const char *detail;
	} cases[] = {
		{ TN_AUTH_LIST_OID, "a006160431323334", 8, VERDICT_PASSED, NULL },
		{ TN_AUTH_LIST_OID, "a006160431323334", 9, VERDICT_BAD_TN_AUTH_LIST,
			"TNAuthList: more than 8 service provider codes" },
		{ TN_AUTH_LIST_OID, "a20d160b3132313535353531323132", 32, VERDICT_PASSED, NULL },
		{ TN_AUTH_LIST_OID, "a20d160b3132313535353531323132", 33, VERDICT_BAD_TN_AUTH_LIST,
			"TNAuthList: more than 32 numbers and ranges" },
		{ "1.3.6.1.5.5.7.1.27", "00", FACTS_CONSTRAINTS_MAX - 4, VERDICT_PASSED, NULL },
		{ "1.3.6.1.5.5.7.1.27", "00", FACTS_CONSTRAINTS_MAX - 3, VERDICT_CLAIM_CONSTRAINTS,
			"has JWTClaimConstraints of 2049 octets; want 1 to 2048" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		bool constraints = strcmp(cases[i].oid, TN_AUTH_LIST_OID) != 0;
		char *value = repeated(cases[i].entry, cases[i].count), *text;
		struct lab_recipe recipe = { .subject = SUBJECT,
			.extensions = { LAB_END, { cases[i].oid, value },
				{ constraints ? TN_AUTH_LIST_OID : NULL, "DER:3008a006160431323334" } } };
		struct lab_made leaf = lab_issue(&recipe, authority(f, 'I'));
		struct certificate_facts facts;

		text = deliver(f, leaf.certificate, "LI");
		judge(f, text, LAB_NOW, &facts);
		expect(cases[i].entry, &facts, cases[i].verdict, cases[i].detail);
		free(text);
		free(value);
		lab_discard(&leaf);
	}
}

/* A delegating CA's list is compared entry by entry, so its length is bounded. */
static void test_bounds_the_list_of_a_delegate(void **state)
{
	static const char number[] = "a20d160b3132313535353531323132";
	static const struct lab_recipe below = { .subject = SUBJECT,
		.extensions = { LAB_END, { TN_AUTH_LIST_OID, "DER:300fa20d160b3132313535353531323132" } } };
	struct fixture *f = *state;

	for (size_t count = 1024; count <= 1025; count++) {
		char *value = repeated(number, count), *text;
		struct lab_recipe recipe = { .subject = CN("long list"),
			.extensions = { LAB_CA, { TN_AUTH_LIST_OID, value } } };
		struct lab_made delegate = lab_issue(&recipe, authority(f, 'R')),
				leaf = lab_issue(&below, &delegate);
		struct certificate_facts facts;

		text = pki_pem((X509 *const[]){ leaf.certificate, delegate.certificate, NULL });
		judge(f, text, LAB_NOW, &facts);
		expect("long list", &facts, count == 1024 ? VERDICT_PASSED : UNTRUSTED,
			count == 1024 ? NULL
				      : "/C=US/O=Lab/CN=long list: TNAuthList: more than 1024 numbers");
		free(text);
		free(value);
		lab_discard(&delegate);
		lab_discard(&leaf);
	}
}

static void test_counts_findings_and_fails_none_of_them(void **state)
{
	static const struct lab_recipe recipe = { .subject = "CN=someone", .extensions = { LAB_1234 } };
	struct fixture *f = *state;
	struct lab_made leaf = lab_issue(&recipe, authority(f, 'I'));
	char *text = deliver(f, leaf.certificate, "LI");
	struct certificate_facts facts;

	judge(f, text, LAB_NOW, &facts);
	expect("lenient", &facts, VERDICT_PASSED, NULL);
	assert_int_equal(facts.profile_findings, 6);
	judge_bytes(f->trust, text, strlen(text), &strict, LAB_NOW, &facts);
	expect("strict", &facts, VERDICT_PROFILE_VIOLATION,
		"breaks ATIS-1000080: subject common_name basic_constraints key_usage policy crl_point");
	free(text);
	lab_discard(&leaf);
}

/* --- What an x5u delivers --- */

static void expect_text(
	const struct fixture *f, const char *text, size_t length, enum verdict verdict, const char *detail)
{
	struct certificate_facts facts;

	judge_bytes(f->trust, text, length, &lenient, LAB_NOW, &facts);
	expect(detail, &facts, verdict, detail);
}

static void test_reads_text_around_certificates(void **state)
{
	static const struct lab_recipe recipe = LEAF;
	struct fixture *f = *state;
	struct lab_made leaf = lab_issue(&recipe, authority(f, 'I'));
	char *one = deliver(f, leaf.certificate, "L"), *two = deliver(f, leaf.certificate, "I"), text[8192],
	     crlf[8192];
	char *at = crlf;

	snprintf(text, sizeof text,
		"\n# subject=/CN=x\nBag Attributes\n    friendlyName: x\n%s\n\ni:/CN=root\n%s\n", one, two);
	expect_text(f, text, strlen(text), VERDICT_PASSED, "no CRL configured");
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\n')
			*at++ = '\r';
		*at++ = *p;
	}
	expect_text(f, crlf, (size_t)(at - crlf), VERDICT_PASSED, "no CRL configured");
	free(one);
	free(two);
	lab_discard(&leaf);
}

static void test_reads_one_certificate_in_der(void **state)
{
	static const struct lab_recipe recipe = LEAF;
	struct fixture *f = *state;
	struct lab_made leaf = lab_issue(&recipe, authority(f, 'H'));
	unsigned char der[4096], *end = der;
	int length = i2d_X509(leaf.certificate, &end);
	static const char neither[] = "is neither PEM nor one certificate in DER";
	struct certificate_facts facts;

	expect_text(f, (char *)der, (size_t)length, VERDICT_PASSED, "no CRL configured");
	der[length] = 0;
	expect_text(f, (char *)der, (size_t)length + 1, VERDICT_CERTIFICATE_MALFORMED, neither);
	for (size_t cut = 1; cut < (size_t)length; cut++)
		expect_text(f, (char *)der, cut, VERDICT_CERTIFICATE_MALFORMED, neither);
	for (size_t i = 0; i < (size_t)length; i++) {
		der[i] ^= 0x21;
		judge_bytes(f->trust, (char *)der, (size_t)length, &lenient, LAB_NOW, &facts);
		/* Each bit is signed, or part of the signature. */
		assert_int_not_equal(facts.verdict, VERDICT_PASSED);
		der[i] ^= 0x21;
	}
	lab_discard(&leaf);
}

static void test_refuses_what_is_no_certificate(void **state)
{
	static const struct lab_recipe recipe = LEAF;
	struct fixture *f = *state;
	struct lab_made leaf = lab_issue(&recipe, authority(f, 'I'));
	char *pem = deliver(f, leaf.certificate, "LI"), *key = pki_key_pem(leaf.key), *big = malloc(70000),
	     text[8192];
	const struct {
		const char *text, *detail;
	} cases[] = {
		{ "", "is empty; want certificates in PEM" },
		{ " \r\n\t", "is empty; want certificates in PEM" },
		{ "Not found", "holds no certificate in PEM" },
		{ "0 is how this begins", "is neither PEM nor one certificate in DER" },
		{ "\r\n<!DOCTYPE html>\n<html><body>404</body></html>",
			"is a web page; want certificates in PEM" },
		{ "<HTML>", "is a web page; want certificates in PEM" },
		{ "{\"error\":\"not found\"}", "holds no certificate in PEM" },
		{ key, "holds a private key; want certificates only" },
		{ "-----BEGIN CERTIFICATE REQUEST-----\n", "holds a PEM block that is not a CERTIFICATE" },
		{ "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
			"certificate 1 is damaged: no X.509 in PEM" },
		{ "-----BEGIN CERTIFICATE-----\nMIIB", "certificate 1 is cut off: it has no END line" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		expect_text(f, cases[i].text, strlen(cases[i].text), VERDICT_CERTIFICATE_MALFORMED,
			cases[i].detail);
	expect_text(f, NULL, 0, VERDICT_CERTIFICATE_MALFORMED, "is empty");
	expect_text(f, "\0\0\0", 3, VERDICT_CERTIFICATE_MALFORMED, "holds no certificate in PEM");
	snprintf(text, sizeof text, "%s%s", pem, key);
	expect_text(f, text, strlen(text), VERDICT_CERTIFICATE_MALFORMED, "holds a private key");
	memset(big, '#', 69999);
	memcpy(big + 69000, "\n-----BEGIN CERTIFICATE-----", 28);
	expect_text(f, big, 69999, VERDICT_CERTIFICATE_MALFORMED, "is longer than 65536 octets");
	memset(big, 0x30, 69999);
	expect_text(f, big, 69999, VERDICT_CERTIFICATE_MALFORMED, "is longer than 65536 octets");
	free(big);
	free(pem);
	free(key);
	lab_discard(&leaf);
}

static void test_refuses_more_than_eight_certificates(void **state)
{
	static const struct lab_recipe recipe = LEAF;
	struct fixture *f = *state;
	struct lab_made leaf = lab_issue(&recipe, authority(f, 'I'));
	char *eight = deliver(f, leaf.certificate, "LVWPQDYI"),
	     *nine = deliver(f, leaf.certificate, "LIVWPQDYE");

	expect_text(f, eight, strlen(eight), VERDICT_PASSED, "no CRL configured");
	expect_text(f, nine, strlen(nine), VERDICT_CERTIFICATE_MALFORMED, "holds more than 8 certificates");
	free(eight);
	free(nine);
	lab_discard(&leaf);
}

static void test_survives_every_truncation_and_changed_characters(void **state)
{
	static const char changes[] = { '\0', '\n', '-', 'A', '\xff' };
	static const struct lab_recipe recipe = LEAF;
	struct fixture *f = *state;
	struct lab_made leaf = lab_issue(&recipe, authority(f, 'I'));
	char *one = deliver(f, leaf.certificate, "L"), *text = deliver(f, leaf.certificate, "LI");
	size_t length = strlen(text), first = strlen(one);
	struct certificate_facts facts;

	for (size_t cut = 0; cut < length; cut++) {
		judge_bytes(f->trust, text, cut, &lenient, LAB_NOW, &facts);
		/* Behind its END line, the end entity is whole and its issuer missing. */
		if (cut == length - 1)
			expect("the last line needs no end", &facts, VERDICT_PASSED, NULL);
		else if (cut >= first - 1 && cut < first + strlen("-----BEGIN"))
			expect("without the issuer", &facts, UNTRUSTED, NULL);
		else
			expect("cut off", &facts, VERDICT_CERTIFICATE_MALFORMED, NULL);
	}
	for (size_t i = 0; i < length; i++) {
		char original = text[i];

		text[i] = changes[i % sizeof changes];
		judge_bytes(f->trust, text, length, &lenient, LAB_NOW, &facts);
		text[i] = original;
	}
	free(one);
	free(text);
	lab_discard(&leaf);
}

/* Certificates of one name that all might issue each other: the search ends. */
static void test_bounds_the_search(void **state)
{
	static const struct lab_recipe same = {
		.subject = CN("same"), .no_key_identifiers = true, .extensions = { LAB_CA }
	};
	static const struct lab_recipe recipe = {
		.subject = SUBJECT, .no_key_identifiers = true, .extensions = { LAB_END, LAB_1234 }
	};
	struct fixture *f = *state;
	struct trust *trust = trust_new();
	struct lab_made many[10], leaf;
	X509 *chain[9] = { NULL };
	struct certificate_facts facts;
	char *text, why[200];

	for (size_t i = 0; i < 10; i++)
		many[i] = lab_issue(&same, NULL);
	for (size_t i = 0; i < 3; i++) {
		text = pki_pem((X509 *const[]){ many[7 + i].certificate, NULL });
		assert_true(trust_add_anchors(trust, span_of(text), why, sizeof why));
		free(text);
	}
	leaf = lab_issue(&recipe, &many[0]);
	chain[0] = leaf.certificate;
	for (size_t i = 1; i < 8; i++)
		chain[i] = many[i - 1].certificate;
	text = pki_pem(chain);
	judge_bytes(trust, text, strlen(text), &lenient, LAB_NOW, &facts);
	expect("one name", &facts, UNTRUSTED, "certificate signature failure");
	judge_bytes(f->trust, text, strlen(text), &lenient, LAB_NOW, &facts);
	expect("no root", &facts, UNTRUSTED, "no trusted issuer: wants /C=US/O=Lab/CN=same");
	free(text);
	trust_free(trust);
	for (size_t i = 0; i < 10; i++)
		lab_discard(&many[i]);
	lab_discard(&leaf);
}

/* --- Anchors --- */

static void test_refuses_anchors_that_are_none(void **state)
{
	static const struct lab_recipe recipe = LEAF;
	struct fixture *f = *state;
	struct lab_made leaf = lab_issue(&recipe, authority(f, 'I'));
	struct trust *trust = trust_new();
	char *mixed = pki_pem((X509 *const[]){
		authority(f, 'R')->certificate, authority(f, 'I')->certificate, leaf.certificate, NULL });
	char *malformed = pki_pem((X509 *const[]){ authority(f, 'M')->certificate, NULL });
	char *odd = pki_pem((X509 *const[]){ authority(f, 'X')->certificate, NULL });
	char *key = pki_key_pem(f->key), *good = deliver(f, leaf.certificate, "LI");
	const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "is empty; want certificates in PEM" },
		{ "x", "holds no certificate in PEM" },
		{ key, "holds a private key; want certificates only, as this file is published" },
		{ mixed, "certificate 3 (/C=US/O=Lab/CN=SHAKEN 1234) is no CA" },
		{ malformed, "certificate 1 (/C=US/O=Lab/CN=malformed) is no CA" },
		{ odd, "certificate 1 (/C=US/O=Lab/CN=explicit curve): its key spells out the parameters of "
		       "a curve; want a named "
		       "curve (RFC 5480 section 2.1.1)" },
	};
	struct certificate_facts facts;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char why[200];

		assert_false(trust_add_anchors(trust, span_of(cases[i].text), why, sizeof why));
		assert_string_equal(why, cases[i].why);
		assert_int_equal(ERR_peek_error(), 0);
	}
	/* Nothing of a refused text counts. */
	judge_bytes(trust, good, strlen(good), &lenient, LAB_NOW, &facts);
	expect("no roots", &facts, UNTRUSTED, "no trusted issuer: wants /C=US/O=Lab/CN=root");
	free(mixed);
	free(malformed);
	free(odd);
	free(key);
	free(good);
	trust_free(trust);
	trust_free(NULL);
	lab_discard(&leaf);
}

/* --- Certificates in use, where they are at hand --- */

static char *read_text(const char *name)
{
	const char *shared = getenv("STIRRUP_SHARED");
	char path[512], *text;
	FILE *file;

	if (shared == NULL)
		skip();
	snprintf(path, sizeof path, "%s/%s", shared, name);
	file = fopen(path, "r");
	text = calloc(1, 8 << 20);
	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, (8 << 20) - 1, file) > 0);
	fclose(file);
	return text;
}

static int64_t seconds_of(const ASN1_TIME *time)
{
	struct tm broken_down;

	assert_int_equal(ASN1_TIME_to_tm(time, &broken_down), 1);
	return timegm(&broken_down);
}

/* In the middle of its own validity. */
static void judge_base64(const struct trust *trust, const char *base64, struct certificate_facts *facts)
{
	unsigned char der[16384];
	const unsigned char *at = der;
	int length = EVP_DecodeBlock(der, (const unsigned char *)base64, (int)strlen(base64));
	X509 *certificate;
	int64_t from, to;

	assert_true(length > 0);
	for (const char *end = base64 + strlen(base64); end[-1] == '='; end--)
		length--;
	certificate = d2i_X509(NULL, &at, length);
	assert_non_null(certificate);
	from = seconds_of(X509_get0_notBefore(certificate));
	to = seconds_of(X509_get0_notAfter(certificate));
	X509_free(certificate);
	judge_bytes(trust, (const char *)der, (size_t)length, &lenient, from + (to - from) / 2, facts);
}

/* Why each of those does not pass that does not. 56 have no issuer among the CA certificates at hand; no
 * other path is refused, so the rest, 1,554, chain. Four of those have a malformed TNAuthList. */
static struct {
	const char *detail;
	enum verdict verdict;
	size_t count, seen;
} refusals[] = {
	/* The roots of TransNexus's former intermediates and of Neustar's Canadian and test ones are not in
	   the list. */
	{ "no trusted issuer: wants /C=US/O=TransNexus, Inc./OU=SHAKEN/CN=TransNexus, Inc. SHAKEN Root CA1",
		UNTRUSTED, 46, 0 },
	{ "no trusted issuer: wants /C=US/O=TransNexus/OU=Certification Authorities/CN=TransNexus Root CA G2",
		UNTRUSTED, 1, 0 },
	{ "no trusted issuer: wants /C=CA/O=Neustar Information Services "
	  "Inc/OU=cms-ca.ccid.neustar/CN=Neustar Canada",
		UNTRUSTED, 4, 0 },
	{ "no trusted issuer: wants /CN=Neustar UAT Canada", UNTRUSTED, 1, 0 },
	{ "no trusted issuer: wants /C=US/O=Neustar Inc a TransUnion "
	  "company/OU=www.ccid-uat.neustar/CN=Neustar UAT",
		UNTRUSTED, 1, 0 },
	/* Its authority key identifier has the key of the intermediate that is here, and the serial number of
	   another certificate for it. */
	{ "no trusted issuer: wants /C=US/ST=California/O=Sansay Corporation/OU=Sansay CA/CN=SHAKEN Sansay "
	  "Intermediate",
		UNTRUSTED, 1, 0 },
	/* Authorities of nobody but themselves. */
	{ "no trusted issuer: wants /C=CA/ST=BC/L=Someplace/O=BigFatTelecom Corp./OU=VOIP/CN=SHAKEN",
		UNTRUSTED, 1, 0 },
	{ "no trusted issuer: wants /C=US/ST=FL/O=VOSLogic.com/CN=*.voslogic.com", UNTRUSTED, 1, 0 },
	/* A bare PrintableString where the tagged SPC belongs: 5b034b208d3c, afbfce2e5623. */
	{ "TNAuthList: an entry is not tagged [0], [1] or [2]", VERDICT_BAD_TN_AUTH_LIST, 2, 0 },
	/* The IA5String has no length, so that its first character stands for one: 224a236b3649,
	   d092ee80d10e. */
	{ "TNAuthList: a length runs beyond its surroundings", VERDICT_BAD_TN_AUTH_LIST, 2, 0 },
};

static void count_refusal(const char *digest, const struct certificate_facts *facts)
{
	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
		if (facts->verdict == refusals[i].verdict &&
			strncmp(facts->detail, refusals[i].detail, strlen(refusals[i].detail)) == 0) {
			refusals[i].seen++;
			return;
		}
	fail_msg("%s: %s: %s", digest, verdict_word(facts->verdict), facts->detail);
}

static void test_judges_certificates_in_use(void **state)
{
	char *anchors = read_text("corpus/ca.pem"), *leaves = read_text("corpus/leaf.tsv"), wanted[64],
	     got[64], why[200];
	FILE *verdicts =
		fopen(TEST_DATA "/corpus-verdicts.tsv", "r"); /* 12 digits of each SHA-256, and the word */
	struct trust *trust = trust_new();
	size_t counts[VERDICT_COUNT] = { 0 };

	assert_non_null(verdicts);
	if (!trust_add_anchors(trust, span_of(anchors), why, sizeof why))
		fail_msg("%s", why);
	for (char *line = strchr(leaves, '\n') + 1; *line != '\0';) {
		char *end = line + strcspn(line, "\n");
		struct certificate_facts facts;

		*end = '\0';
		judge_base64(trust, strrchr(line, '\t') + 1, &facts);
		counts[facts.verdict]++;
		if (facts.verdict != VERDICT_PASSED)
			count_refusal(line, &facts);
		assert_non_null(fgets(wanted, sizeof wanted, verdicts));
		snprintf(got, sizeof got, "%.12s\t%s\n", line, verdict_word(facts.verdict));
		assert_string_equal(got, wanted);
		line = end + 1;
	}
	assert_null(fgets(wanted, sizeof wanted, verdicts));
	assert_int_equal(counts[VERDICT_PASSED], 1550);
	assert_int_equal(counts[VERDICT_BAD_TN_AUTH_LIST], 4);
	assert_int_equal(counts[VERDICT_CERTIFICATE_UNTRUSTED], 56);
	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
		assert_int_equal(refusals[i].seen, refusals[i].count);
	fclose(verdicts);
	free(anchors);
	free(leaves);
	trust_free(trust);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judges_the_zoo),
		cmocka_unit_test(test_is_valid_from_the_first_second_to_the_last),
		cmocka_unit_test(test_tells_what_it_found),
		cmocka_unit_test(test_copies_simple_constraints),
		cmocka_unit_test(test_bounds_what_it_copies),
		cmocka_unit_test(test_bounds_the_list_of_a_delegate),
		cmocka_unit_test(test_counts_findings_and_fails_none_of_them),
		cmocka_unit_test(test_reads_text_around_certificates),
		cmocka_unit_test(test_reads_one_certificate_in_der),
		cmocka_unit_test(test_refuses_what_is_no_certificate),
		cmocka_unit_test(test_refuses_more_than_eight_certificates),
		cmocka_unit_test(test_survives_every_truncation_and_changed_characters),
		cmocka_unit_test(test_bounds_the_search),
		cmocka_unit_test(test_refuses_anchors_that_are_none),
		cmocka_unit_test(test_judges_certificates_in_use),
	};

	return cmocka_run_group_tests_name("trust", tests, setup, teardown);
}
