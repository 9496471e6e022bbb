#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "stirrup/certificate_profile.h"
#include "trust-lab.h"

#define SUBJECT "C=US/O=Lab/CN=SHAKEN 1234"

/* The parts of a distribution point: LAB_CRL_URL, and a cRLIssuer. */
#define POINT_URL "a024a0228620687474703a2f2f63726c2e7374692d70612e6578616d706c652f76312f63726c"
#define POINT_ISSUER "a215a4133011310f300d06035504030c065354492d5041"
#define POINT "303d" POINT_URL POINT_ISSUER

#define BASIC                                                                                                \
	{                                                                                                    \
		"basicConstraints", "critical,CA:false"                                                      \
	}
#define USAGE                                                                                                \
	{                                                                                                    \
		"keyUsage", "critical,digitalSignature"                                                      \
	}
#define POLICY                                                                                               \
	{                                                                                                    \
		"certificatePolicies", "DER:300e300c060a6086480186ff09010103"                                \
	} /* 2.16.840.1.114569.1.1.3 */
#define CRL_POINT                                                                                            \
	{                                                                                                    \
		"crlDistributionPoints", "DER:303f" POINT                                                    \
	}
#define BIT(finding) (UINT32_C(1) << (finding))

static const struct lab_recipe authority = { .subject = "C=US/O=Lab/CN=STI-CA", .extensions = { LAB_CA } };
static const struct lab_recipe rsa_authority = {
	.subject = "C=US/O=Lab/CN=STI-CA", .key = "RSA-2048", .extensions = { LAB_CA }
};

/* The first TNAuthList of a certificate; NULL when it has none that can be read. */
static struct tn_auth_list *list_of(const X509 *certificate)
{
	ASN1_OBJECT *oid = OBJ_txt2obj(TN_AUTH_LIST_OID, 1);
	int at = X509_get_ext_by_OBJ(certificate, oid, -1);
	const ASN1_OCTET_STRING *value =
		at < 0 ? NULL : X509_EXTENSION_get_data(X509_get_ext(certificate, at));
	const char *why;

	ASN1_OBJECT_free(oid);
	if (value == NULL)
		return NULL;
	return tn_auth_list_decode(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value), &why);
}

static void expect_findings(const char *what, const X509 *certificate, uint32_t wanted)
{
	struct tn_auth_list *list = list_of(certificate);
	uint32_t got;

	assert_non_null(list);
	got = certificate_profile_findings(certificate, list);
	ERR_clear_error();
	for (unsigned i = 0; i < PROFILE_FINDINGS; i++)
		if (((got ^ wanted) >> i & 1) != 0)
			fail_msg("%s: %s is %sa finding", what, certificate_profile_word(i),
				(got >> i & 1) != 0 ? "" : "not ");
	tn_auth_list_free(list);
}

static const struct {
	const char *behaviour;
	struct lab_recipe recipe;
	uint32_t findings;
} cases[] = {
	{ "has nothing against a good one",
		{ .subject = SUBJECT, .extensions = { BASIC, USAGE, POLICY, CRL_POINT, LAB_1234 } }, 0 },
	{ "lets the CN say more",
		{ .subject = "C=US/ST=TX/O=Lab/CN=Lab Inc. SHAKEN 1234 #2",
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT, LAB_1234 } },
		0 },
	{ "knows claim constraints",
		{ .subject = SUBJECT,
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT, LAB_1234,
				{ "1.3.6.1.5.5.7.1.33", "DER:3000" } } },
		0 },
	{ "wants 64 bits of serial number",
		{ .subject = SUBJECT,
			.serial = "7a5a5a5a5a5a5a",
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT, LAB_1234 } },
		BIT(PROFILE_SERIAL) },
	{ "takes 64 bits of it",
		{ .subject = SUBJECT,
			.serial = "0a5a5a5a5a5a5a5a",
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT, LAB_1234 } },
		0 },
	{ "wants a country",
		{ .subject = "O=Lab/CN=SHAKEN 1234",
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT, LAB_1234 } },
		BIT(PROFILE_SUBJECT) },
	{ "wants an organization",
		{ .subject = "C=US/CN=SHAKEN 1234",
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT, LAB_1234 } },
		BIT(PROFILE_SUBJECT) },
	{ "wants one common name",
		{ .subject = SUBJECT "/CN=SHAKEN 1234",
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT, LAB_1234 } },
		BIT(PROFILE_SUBJECT) | BIT(PROFILE_COMMON_NAME) },
	{ "wants the code in the common name",
		{ .subject = "C=US/O=Lab/CN=SHAKEN",
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT, LAB_1234 } },
		BIT(PROFILE_COMMON_NAME) },
	{ "wants that code",
		{ .subject = "C=US/O=Lab/CN=SHAKEN 1235",
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT, LAB_1234 } },
		BIT(PROFILE_COMMON_NAME) },
	{ "wants a space before it",
		{ .subject = "C=US/O=Lab/CN=SHAKEN-1234",
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT, LAB_1234 } },
		BIT(PROFILE_COMMON_NAME) },
	{ "wants basicConstraints",
		{ .subject = SUBJECT, .extensions = { USAGE, POLICY, CRL_POINT, LAB_1234 } },
		BIT(PROFILE_BASIC_CONSTRAINTS) },
	{ "wants it critical",
		{ .subject = SUBJECT,
			.extensions = { { "basicConstraints", "CA:false" }, USAGE, POLICY, CRL_POINT,
				LAB_1234 } },
		BIT(PROFILE_BASIC_CONSTRAINTS) },
	{ "wants key usage", { .subject = SUBJECT, .extensions = { BASIC, POLICY, CRL_POINT, LAB_1234 } },
		BIT(PROFILE_KEY_USAGE) },
	{ "wants it critical, too",
		{ .subject = SUBJECT,
			.extensions = { BASIC, { "keyUsage", "digitalSignature" }, POLICY, CRL_POINT,
				LAB_1234 } },
		BIT(PROFILE_KEY_USAGE) },
	{ "wants no other key usage",
		{ .subject = SUBJECT,
			.extensions = { BASIC, { "keyUsage", "critical,digitalSignature,nonRepudiation" },
				POLICY, CRL_POINT, LAB_1234 } },
		BIT(PROFILE_KEY_USAGE) },
	{ "wants its bits as DER has them",
		{ .subject = SUBJECT,
			.extensions = { BASIC, { "keyUsage", "critical,DER:03020080" }, POLICY, CRL_POINT,
				LAB_1234 } },
		BIT(PROFILE_KEY_USAGE) },
	{ "wants key identifiers",
		{ .subject = SUBJECT,
			.no_key_identifiers = true,
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT, LAB_1234 } },
		BIT(PROFILE_SUBJECT_KEY_IDENTIFIER) | BIT(PROFILE_AUTHORITY_KEY_IDENTIFIER) },
	{ "wants a key identifier of the issuer",
		{ .subject = SUBJECT,
			.no_key_identifiers = true,
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT, LAB_1234,
				{ "subjectKeyIdentifier", "hash" },
				{ "authorityKeyIdentifier", "issuer:always" } } },
		BIT(PROFILE_AUTHORITY_KEY_IDENTIFIER) },
	{ "wants a policy", { .subject = SUBJECT, .extensions = { BASIC, USAGE, CRL_POINT, LAB_1234 } },
		BIT(PROFILE_POLICY) },
	{ "wants one of ATIS (here: 2.16.840.1.114569.1.11)",
		{ .subject = SUBJECT,
			.extensions = { BASIC, USAGE,
				{ "certificatePolicies", "DER:300d300b06096086480186ff09010b" }, CRL_POINT,
				LAB_1234 } },
		BIT(PROFILE_POLICY) },
	{ "wants one only",
		{ .subject = SUBJECT,
			.extensions = { BASIC, USAGE,
				{ "certificatePolicies",
					"DER:301c300c060a6086480186ff09010103300c060a6086480186ff09010104" },
				CRL_POINT, LAB_1234 } },
		BIT(PROFILE_POLICY) },
	{ "wants it not critical",
		{ .subject = SUBJECT,
			.extensions = { BASIC, USAGE,
				{ "certificatePolicies", "critical,DER:300e300c060a6086480186ff09010103" },
				CRL_POINT, LAB_1234 } },
		BIT(PROFILE_POLICY) },
	{ "wants a distribution point",
		{ .subject = SUBJECT, .extensions = { BASIC, USAGE, POLICY, LAB_1234 } },
		BIT(PROFILE_CRL_POINT) },
	{ "wants a cRLIssuer",
		{ .subject = SUBJECT,
			.extensions = { BASIC, USAGE, POLICY,
				{ "crlDistributionPoints", "DER:30283026" POINT_URL }, LAB_1234 } },
		BIT(PROFILE_CRL_POINT) },
	{ "wants a URL",
		{ .subject = SUBJECT,
			.extensions = { BASIC, USAGE, POLICY,
				{ "crlDistributionPoints", "DER:30193017" POINT_ISSUER }, LAB_1234 } },
		BIT(PROFILE_CRL_POINT) },
	{ "wants one point",
		{ .subject = SUBJECT,
			.extensions = { BASIC, USAGE, POLICY,
				{ "crlDistributionPoints", "DER:307e" POINT POINT }, LAB_1234 } },
		BIT(PROFILE_CRL_POINT) },
	{ "survives a malformed point",
		{ .subject = SUBJECT,
			.extensions = { BASIC, USAGE, POLICY, { "crlDistributionPoints", "DER:0500" },
				LAB_1234 } },
		BIT(PROFILE_CRL_POINT) },
	{ "wants one code",
		{ .subject = SUBJECT,
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT,
				{ TN_AUTH_LIST_OID, "DER:3010a006160431323334a006160435363738" } } },
		BIT(PROFILE_TN_AUTH_LIST) | BIT(PROFILE_COMMON_NAME) },
	{ "wants no numbers",
		{ .subject = SUBJECT,
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT,
				{ TN_AUTH_LIST_OID,
					"DER:3017a006160431323334a20d160b3132313535353531323132" } } },
		BIT(PROFILE_TN_AUTH_LIST) },
	{ "wants the list not critical",
		{ .subject = SUBJECT,
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT,
				{ TN_AUTH_LIST_OID, "critical,DER:3008a006160431323334" } } },
		BIT(PROFILE_TN_AUTH_LIST) },
	{ "wants no extended key usage",
		{ .subject = SUBJECT,
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT, LAB_1234,
				{ "extendedKeyUsage", "serverAuth" } } },
		BIT(PROFILE_OTHER_EXTENSION) },
	{ "wants no strange extension",
		{ .subject = SUBJECT,
			.extensions = { BASIC, USAGE, POLICY, CRL_POINT, LAB_1234,
				{ "1.2.3.4", "DER:0500" } } },
		BIT(PROFILE_OTHER_EXTENSION) },
};

static void test_finds_each_departure(void **state)
{
	struct lab_made issuer = lab_issue(&authority, NULL);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct lab_made leaf = lab_issue(&cases[i].recipe, &issuer);

		expect_findings(cases[i].behaviour, leaf.certificate, cases[i].findings);
		lab_discard(&leaf);
	}
	lab_discard(&issuer);
}

static void test_wants_ecdsa_and_version_3(void **state)
{
	struct lab_made issuer = lab_issue(&rsa_authority, NULL);
	struct lab_made leaf = lab_issue(&cases[0].recipe, &issuer);

	expect_findings("RSA", leaf.certificate, BIT(PROFILE_SIGNATURE));
	X509_set_version(leaf.certificate, 1);
	expect_findings("version 2", leaf.certificate, BIT(PROFILE_SIGNATURE) | BIT(PROFILE_VERSION));
	lab_discard(&leaf);
	lab_discard(&issuer);
}

static void test_has_a_word_for_each(void **state)
{
	for (unsigned i = 0; i < PROFILE_FINDINGS; i++)
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(certificate_profile_word(i), certificate_profile_word(j));
}

/* --- Certificates in use, where they are at hand, with what a public linter says of them --- */

static const struct {
	enum profile_finding finding;
	const char *codes[4];
	size_t both, only_ours, only_theirs;
} agreements[] = {
	{ PROFILE_VERSION, { "e_atis_version" }, 0, 0, 0 },
	/* It has no word against one signed with RSA in 2020. */
	{ PROFILE_SIGNATURE, { "e_atis_signature_algorithm" }, 2, 1, 0 },
	/* It counts bits where random numbers begin with zeros; here, octets count. */
	{ PROFILE_SERIAL, { "e_atis_serial_number_size" }, 4, 0, 9 },
	{ PROFILE_SUBJECT, { "e_atis_subject_dn", "e_atis_subject_c_iso", "e_atis_subject_o_required" }, 0, 0,
		0 },
	/* Here and below, ours alone are older than its rule: it applies a rule only to what is newer. */
	{ PROFILE_COMMON_NAME, { "e_atis_subject_cn_spc", "e_atis_subject_cn" }, 325, 5, 0 },
	{ PROFILE_BASIC_CONSTRAINTS, { "e_atis_ext_basic_constraints" }, 2, 0, 0 },
	{ PROFILE_KEY_USAGE, { "e_atis_ext_key_usage", "e_atis_ext_key_usage_ee", "e_incorrect_ku_encoding" },
		44, 0, 0 },
	{ PROFILE_SUBJECT_KEY_IDENTIFIER, { "e_atis_subject_key_identifier" }, 1, 0, 0 },
	{ PROFILE_AUTHORITY_KEY_IDENTIFIER, { "e_atis_ext_authority_key_identifier" }, 1, 0, 0 },
	/* It takes 2.16.840.1.114569.1.1.1 for outdated. */
	{ PROFILE_POLICY, { "e_atis_ext_certificate_policies", "e_shaken_certificate_policies_id" }, 19, 1,
		54 },
	{ PROFILE_CRL_POINT, { "e_atis_ext_crl_distribution", "e_atis_ext_crl_distribution_struct" }, 138,
		333, 0 },
	/* It wants four capital letters or digits of every code. */
	{ PROFILE_TN_AUTH_LIST, { "e_atis_tn_auth_list", "e_atis_tn_auth_list_spc_format" }, 0, 0, 9 },
	/* It has a word against authority information access, which RFC 8226 section 10.1 uses, and none
	   against an old alternative name. */
	{ PROFILE_OTHER_EXTENSION, { "e_atis_ext_not_specified" }, 1, 1, 2 },
};

static char *read_corpus(void)
{
	const char *shared = getenv("STIRRUP_SHARED");
	char path[512], *text;
	FILE *file;

	if (shared == NULL)
		skip();
	snprintf(path, sizeof path, "%s/corpus/leaf.tsv", shared);
	file = fopen(path, "r");
	text = calloc(1, 8 << 20);
	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, (8 << 20) - 1, file) > 0);
	fclose(file);
	return text;
}

static X509 *from_base64(const char *base64)
{
	unsigned char der[16384];
	const unsigned char *at = der;
	int length = EVP_DecodeBlock(der, (const unsigned char *)base64, (int)strlen(base64));

	for (const char *end = base64 + strlen(base64); end[-1] == '='; end--)
		length--;
	return d2i_X509(NULL, &at, length);
}

/* Of "a,b,c". */
static bool has_code(const char *codes, const char *code)
{
	size_t length = strlen(code);

	for (const char *at = codes; (at = strstr(at, code)) != NULL; at += length)
		if ((at == codes || at[-1] == ',') && (at[length] == '\0' || at[length] == ','))
			return true;
	return false;
}

static void test_agrees_with_a_linter(void **state)
{
	enum { RULES = sizeof agreements / sizeof *agreements };
	char *text = read_corpus();
	size_t both[RULES] = { 0 }, only_ours[RULES] = { 0 }, only_theirs[RULES] = { 0 };

	for (char *line = strchr(text, '\n') + 1, *next; *line != '\0'; line = next) {
		char *base64, *codes;
		X509 *certificate;
		struct tn_auth_list *list;

		next = line + strcspn(line, "\n");
		*next++ = '\0';
		base64 = strrchr(line, '\t');
		*base64++ = '\0';
		codes = strrchr(line, '\t') + 1;
		certificate = from_base64(base64);
		assert_non_null(certificate);
		list = list_of(certificate);
		for (size_t i = 0; list != NULL && i < RULES; i++) {
			bool ours =
				(certificate_profile_findings(certificate, list) >> agreements[i].finding &
					1) != 0;
			bool theirs = false;

			for (size_t k = 0; agreements[i].codes[k] != NULL; k++)
				theirs = theirs || has_code(codes, agreements[i].codes[k]);
			both[i] += ours && theirs;
			only_ours[i] += ours && !theirs;
			only_theirs[i] += !ours && theirs;
		}
		tn_auth_list_free(list);
		X509_free(certificate);
	}
	free(text);
	ERR_clear_error();
	for (size_t i = 0; i < RULES; i++)
		if (both[i] != agreements[i].both || only_ours[i] != agreements[i].only_ours ||
			only_theirs[i] != agreements[i].only_theirs)
			fail_msg("%s: both %zu, only ours %zu, only theirs %zu",
				certificate_profile_word(agreements[i].finding), both[i], only_ours[i],
				only_theirs[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds_each_departure),
		cmocka_unit_test(test_wants_ecdsa_and_version_3),
		cmocka_unit_test(test_has_a_word_for_each),
		cmocka_unit_test(test_agrees_with_a_linter),
	};

	return cmocka_run_group_tests_name("certificate-profile", tests, NULL, NULL);
}
