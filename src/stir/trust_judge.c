#include "stirrup/trust.h"

#include <string.h>
#include <strings.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "stirrup/certificate_key.h"
#include "stirrup/certificate_pem.h"
#include "stirrup/certificate_profile.h"
#include "stirrup/crl.h"
#include "stirrup/tn_auth_list.h"
#include "certificate_path.h"
#include "extension.h"
#include "reason.h"
#include "trust_state.h"

#define NAME_SIZE 128
#define COORDINATE_BYTES ((FACTS_POINT_BYTES - 1) / 2)
/* How many numbers the TNAuthList of a CA may have: what is below it is compared with each of them. */
#define DELEGATED_NUMBERS_MAX 1024
/* Where a web page says that it is one. */
#define PAGE_BEGINNING 1024

static const struct certificate_pem_limits chain_limits = { 64u << 10, CERTIFICATE_PATH_MAX };

struct judgement {
	const struct trust *trust;
	struct span delivered;
	const struct trust_options *options;
	int64_t now;
	struct certificate_facts *facts;
	struct reason reason;          /* facts->detail */
	STACK_OF(X509) *certificates; /* as delivered */
	X509 *end;                     /* the first of them */
	struct certificate_path path;
	struct tn_auth_list *list;
	const char *revocation; /* what is known of it, in words; static */
};

/* Says why in the detail. */
#define FAIL(judgement, verdict, ...) (refuse(&(judgement)->reason, __VA_ARGS__), (verdict))

static const char *subject_of(const X509 *certificate, char text[NAME_SIZE])
{
	if (X509_NAME_oneline(X509_get_subject_name(certificate), text, NAME_SIZE) == NULL)
		text[0] = '\0';
	return text;
}

/* --- What an x5u delivered --- */

static bool is_web_page(struct span text)
{
	for (size_t i = 0; i < text.length && i < PAGE_BEGINNING; i++) {
		size_t left = text.length - i;

		if ((left >= 5 && strncasecmp(text.at + i, "<html", 5) == 0) ||
			(left >= 9 && strncasecmp(text.at + i, "<!doctype", 9) == 0))
			return true;
	}
	return false;
}

static bool is_der(struct span delivered)
{
	return delivered.length > 0 && delivered.length <= chain_limits.octets && delivered.at[0] == 0x30;
}

static enum verdict take_der(struct judgement *j)
{
	const unsigned char *at = (const unsigned char *)j->delivered.at;
	const unsigned char *end = at + j->delivered.length;
	X509 *certificate = d2i_X509(NULL, &at, (long)j->delivered.length);

	if (certificate != NULL && at == end && sk_X509_push(j->certificates, certificate) > 0)
		return VERDICT_PASSED;
	X509_free(certificate);
	return FAIL(j, VERDICT_CERTIFICATE_MALFORMED, "is neither PEM nor one certificate in DER");
}

static enum verdict take_delivered(struct judgement *j)
{
	bool is_pem = j->delivered.length > 0 &&
		      memmem(j->delivered.at, j->delivered.length, "-----BEGIN", 10) != NULL;

	if (j->certificates == NULL)
		return FAIL(j, VERDICT_CERTIFICATE_MALFORMED, "out of memory");
	if (!is_pem && is_web_page(j->delivered))
		return FAIL(j, VERDICT_CERTIFICATE_MALFORMED, "is a web page; want certificates in PEM");
	if (!is_pem && is_der(j->delivered))
		return take_der(j);
	if (!certificate_pem_read(
		    j->certificates, j->delivered, &chain_limits, j->reason.why, j->reason.size))
		return VERDICT_CERTIFICATE_MALFORMED;
	return VERDICT_PASSED;
}

static enum verdict check_end_entity(struct judgement *j)
{
	char name[NAME_SIZE];

	j->end = sk_X509_value(j->certificates, 0);
	subject_of(j->end, j->facts->subject);
	/* Only where this flag is not set does X509_check_ca() mean what it says. */
	if ((X509_get_extension_flags(j->end) & EXFLAG_INVALID) != 0)
		return FAIL(j, VERDICT_CERTIFICATE_MALFORMED, "the end entity (%s) has a malformed extension",
			subject_of(j->end, name));
	if (X509_check_ca(j->end) != 0)
		return FAIL(j, VERDICT_CERTIFICATE_UNTRUSTED,
			"the first certificate (%s) is a CA; want the end entity first",
			subject_of(j->end, name));
	if ((X509_get_key_usage(j->end) & KU_DIGITAL_SIGNATURE) == 0)
		return FAIL(j, VERDICT_CERTIFICATE_UNTRUSTED,
			"the key usage of the end entity (%s) is not digitalSignature",
			subject_of(j->end, name));
	return VERDICT_PASSED;
}

/* --- The path --- */

static bool counts(const struct judgement *j, const struct crl *crl)
{
	int64_t next_update = crl_next_update(crl);

	return j->now <= next_update || j->now - next_update <= j->options->crl_grace_s;
}

static bool is_revoked(
	const struct crl *crl, const struct certificate_path *path, const struct reason *reason)
{
	for (int i = 0; i < sk_X509_num(path->certificates); i++) {
		X509 *certificate = sk_X509_value(path->certificates, i);
		char name[NAME_SIZE];

		if (!crl_revokes(crl, certificate))
			continue;
		refuse(reason, "on the STI-PA's CRL: %s", subject_of(certificate, name));
		return true;
	}
	return false;
}

static enum verdict check_revocation(
	struct judgement *j, const struct certificate_path *path, const struct reason *reason)
{
	j->revocation = j->trust->crl_count == 0 ? "no CRL configured" : "no CRL names it";
	for (size_t i = 0; i < j->trust->crl_count; i++) {
		const struct crl *crl = j->trust->crls[i];
		bool in_force = counts(j, crl);

		if (in_force && is_revoked(crl, path, reason))
			return VERDICT_CERTIFICATE_REVOKED;
		if (!crl_is_named_by(crl, j->end))
			continue;
		j->revocation = in_force ? "not revoked" : "its CRL is out of date, revocation unknown";
		j->facts->revocation_unknown = !in_force;
	}
	return VERDICT_PASSED;
}

/* NULL with *why NULL when there is none. */
static struct tn_auth_list *read_list(const X509 *certificate, const char **why)
{
	const ASN1_OCTET_STRING *value;
	size_t count = extension_find(certificate, TN_AUTH_LIST_OID, &value);

	*why = NULL;
	if (count == 0)
		return NULL;
	/* RFC 5280 section 4.2. */
	if (count > 1) {
		*why = "more than one";
		return NULL;
	}
	return tn_auth_list_decode(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value), why);
}

/* From the root down, each list within the one above it (RFC 8226 section 9, RFC 9060 section 4.1). STI-CAs
 * have none. */
static bool is_delegated(const struct certificate_path *path, const struct reason *reason)
{
	struct tn_auth_list *above = NULL;
	bool ok = true;

	for (int i = sk_X509_num(path->certificates) - 1; ok && i >= 0; i--) {
		X509 *certificate = sk_X509_value(path->certificates, i);
		char name[NAME_SIZE];
		const char *why;
		struct tn_auth_list *list = read_list(certificate, &why);

		if (list == NULL && (why == NULL || i == 0))
			continue;
		if (list == NULL)
			ok = refuse(reason, "%s: TNAuthList: %s", subject_of(certificate, name), why);
		else if (i > 0 && tn_auth_list_number_count(list) > DELEGATED_NUMBERS_MAX)
			ok = refuse(reason, "%s: TNAuthList: more than %d numbers",
				subject_of(certificate, name), DELEGATED_NUMBERS_MAX);
		else if (above != NULL && !tn_auth_list_encompasses(above, list))
			ok = refuse(reason, "the TNAuthList of %s goes beyond its issuer's",
				subject_of(certificate, name));
		tn_auth_list_free(above);
		above = list;
	}
	tn_auth_list_free(above);
	return ok;
}

static enum verdict check_path(const struct certificate_path *path, void *context, char *why, size_t why_size)
{
	struct reason reason = { why, why_size };

	if (!is_delegated(path, &reason))
		return VERDICT_CERTIFICATE_UNTRUSTED;
	return check_revocation(context, path, &reason);
}

static enum verdict find_path(struct judgement *j)
{
	struct path_search search = {
		.end = j->end,
		.delivered = j->certificates,
		.intermediates = j->trust->anchors.intermediates,
		.roots = j->trust->anchors.roots,
		.now = j->now,
		.any_end_key = true,
		.check = check_path,
		.context = j,
	};
	enum verdict verdict = certificate_path_find(&search, &j->path, j->reason.why, j->reason.size);

	if (verdict == VERDICT_PASSED) {
		j->facts->not_before = j->path.not_before;
		j->facts->not_after = j->path.not_after;
	}
	return verdict;
}

/* --- The end entity --- */

/* By its coordinates: the certificate may hold the compressed form (RFC 5480 section 2.2). */
static bool copy_point(unsigned char point[FACTS_POINT_BYTES], const EVP_PKEY *key)
{
	BIGNUM *x = NULL, *y = NULL;
	bool ok = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1 &&
		  EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1 &&
		  BN_bn2binpad(x, point + 1, COORDINATE_BYTES) == COORDINATE_BYTES &&
		  BN_bn2binpad(y, point + 1 + COORDINATE_BYTES, COORDINATE_BYTES) == COORDINATE_BYTES;

	point[0] = 0x04;
	BN_free(x);
	BN_free(y);
	return ok;
}

static enum verdict take_key(struct judgement *j)
{
	if (!certificate_key_is_sound(j->end, j->reason.why, j->reason.size) ||
		!certificate_key_is_p256(j->end, j->reason.why, j->reason.size))
		return VERDICT_CERTIFICATE_NOT_P256;
	if (!copy_point(j->facts->public_key, X509_get0_pubkey(j->end)))
		return FAIL(j, VERDICT_CERTIFICATE_NOT_P256, "its public key is no point of P-256");
	return VERDICT_PASSED;
}

static enum verdict copy_codes(struct judgement *j)
{
	struct certificate_facts *facts = j->facts;

	if (tn_auth_list_spc_count(j->list) > FACTS_SPC_MAX)
		return FAIL(j, VERDICT_BAD_TN_AUTH_LIST, "TNAuthList: more than %d service provider codes",
			FACTS_SPC_MAX);
	for (; facts->spc_count < tn_auth_list_spc_count(j->list); facts->spc_count++) {
		struct span code = span_of(tn_auth_list_spc(j->list, facts->spc_count));

		if (!span_copy(facts->spc[facts->spc_count], FACTS_SPC_SIZE, code))
			return FAIL(j, VERDICT_BAD_TN_AUTH_LIST,
				"TNAuthList: a service provider code of more than %d characters",
				FACTS_SPC_SIZE - 1);
	}
	return VERDICT_PASSED;
}

static enum verdict copy_numbers(struct judgement *j)
{
	struct certificate_facts *facts = j->facts;

	if (tn_auth_list_number_count(j->list) > FACTS_RANGE_MAX)
		return FAIL(j, VERDICT_BAD_TN_AUTH_LIST, "TNAuthList: more than %d numbers and ranges",
			FACTS_RANGE_MAX);
	for (; facts->range_count < tn_auth_list_number_count(j->list); facts->range_count++) {
		struct facts_range *range = &facts->ranges[facts->range_count];
		struct span start = span_of(tn_auth_list_number(j->list, facts->range_count, &range->count));

		/* At most 15 characters: it fits. */
		span_copy(range->start.digits, sizeof range->start.digits, start);
	}
	return VERDICT_PASSED;
}

/* RFC 8226 section 10.1: somewhere else is a list by an access method of authority information access. */
static bool has_list_elsewhere(const X509 *certificate)
{
	AUTHORITY_INFO_ACCESS *access = X509_get_ext_d2i(certificate, NID_info_access, NULL, NULL);
	ASN1_OBJECT *method = OBJ_txt2obj(TN_LIST_ACCESS_OID, 1);
	bool found = false;

	for (int i = 0; access != NULL && method != NULL && i < sk_ACCESS_DESCRIPTION_num(access); i++)
		found = found || OBJ_cmp(sk_ACCESS_DESCRIPTION_value(access, i)->method, method) == 0;
	ASN1_OBJECT_free(method);
	AUTHORITY_INFO_ACCESS_free(access);
	return found;
}

static enum verdict take_list(struct judgement *j)
{
	const char *why;
	enum verdict verdict;

	j->list = read_list(j->end, &why);
	if (j->list == NULL && why == NULL && has_list_elsewhere(j->end))
		return FAIL(j, VERDICT_BAD_TN_AUTH_LIST,
			"TNAuthList: only by reference, which is not fetched (RFC 8226 section 10.1)");
	if (j->list == NULL)
		return FAIL(j, VERDICT_BAD_TN_AUTH_LIST, "TNAuthList: %s (RFC 8226 section 9)",
			why == NULL ? "there is none" : why);
	verdict = copy_codes(j);
	return verdict == VERDICT_PASSED ? copy_numbers(j) : verdict;
}

/* Only copied: what they say is compared with each token. */
static enum verdict take_constraints(struct judgement *j)
{
	const ASN1_OCTET_STRING *simple, *enhanced, *value;
	size_t count = extension_find(j->end, CLAIM_CONSTRAINTS_OID, &simple) +
		       extension_find(j->end, ENHANCED_CLAIM_CONSTRAINTS_OID, &enhanced);
	int length;

	if (count == 0)
		return VERDICT_PASSED;
	if (simple != NULL && enhanced != NULL)
		return FAIL(j, VERDICT_CLAIM_CONSTRAINTS,
			"has JWTClaimConstraints in both forms, which RFC 9118 section 3 forbids");
	if (count > 1)
		return FAIL(j, VERDICT_CLAIM_CONSTRAINTS, "has JWTClaimConstraints more than once");
	value = simple != NULL ? simple : enhanced;
	length = ASN1_STRING_length(value);
	if (length == 0 || length > FACTS_CONSTRAINTS_MAX)
		return FAIL(j, VERDICT_CLAIM_CONSTRAINTS,
			"has JWTClaimConstraints of %d octets; want 1 to %d", length, FACTS_CONSTRAINTS_MAX);
	j->facts->enhanced_constraints = enhanced != NULL;
	j->facts->constraints_length = (uint32_t)length;
	memcpy(j->facts->constraints, ASN1_STRING_get0_data(value), (size_t)length);
	return VERDICT_PASSED;
}

/* As many as fit. */
static void list_findings(struct judgement *j, uint32_t findings)
{
	size_t length = strlen(j->reason.why);

	for (unsigned i = 0; i < PROFILE_FINDINGS; i++) {
		const char *word = certificate_profile_word(i);

		if ((findings >> i & 1) == 0 || length + 1 + strlen(word) >= j->reason.size)
			continue;
		length += (size_t)snprintf(j->reason.why + length, j->reason.size - length, " %s", word);
	}
}

static enum verdict check_profile(struct judgement *j)
{
	uint32_t findings = certificate_profile_findings(j->end, j->list);

	j->facts->profile_findings = (uint32_t)__builtin_popcount(findings);
	if (findings == 0 || !j->options->strict_profile)
		return VERDICT_PASSED;
	refuse(&j->reason, "breaks ATIS-1000080:");
	list_findings(j, findings);
	return VERDICT_PROFILE_VIOLATION;
}

/* --- The judgement --- */

/* The chain before what the certificate says: of a stranger's certificate nothing but that it is a stranger's
 * matters. */
static enum verdict judge(struct judgement *j)
{
	static enum verdict (*const checks[])(struct judgement *) = { take_delivered, check_end_entity,
		find_path, take_key, take_list, take_constraints, check_profile };

	for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
		enum verdict verdict = checks[i](j);

		if (verdict != VERDICT_PASSED)
			return verdict;
	}
	return VERDICT_PASSED;
}

static void say_passed(struct judgement *j)
{
	X509 *root = sk_X509_value(j->path.certificates, sk_X509_num(j->path.certificates) - 1);
	char name[NAME_SIZE];

	snprintf(j->reason.why, j->reason.size, "%s; trusted by %s", j->revocation, subject_of(root, name));
}

void trust_judge(const struct trust *trust, struct span delivered, const struct trust_options *options,
	int64_t now, struct certificate_facts *facts)
{
	struct judgement judgement = {
		.trust = trust,
		.delivered = delivered,
		.options = options,
		.now = now,
		.facts = facts,
		.reason = { facts->detail, sizeof facts->detail },
		.certificates = sk_X509_new_null(),
	};

	memset(&facts->not_before, 0, sizeof *facts - offsetof(struct certificate_facts, not_before));
	facts->detail[0] = '\0';
	facts->verdict = judge(&judgement);
	if (facts->verdict == VERDICT_PASSED)
		say_passed(&judgement);
	certificate_path_clear(&judgement.path);
	tn_auth_list_free(judgement.list);
	sk_X509_pop_free(judgement.certificates, X509_free);
	ERR_clear_error();
}
