#include "stirrup/certificate_profile.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include "extension.h"

/* Delegate certificates have claim constraints. */
static const char *const own_extensions[] = { TN_AUTH_LIST_OID, CLAIM_CONSTRAINTS_OID,
	ENHANCED_CLAIM_CONSTRAINTS_OID };
static const char policy_arc[] = "2.16.840.1.114569.1.1.";

#define OID_SIZE 64
#define SERIAL_BITS 64

static bool has_version(const X509 *certificate)
{
	return X509_get_version(certificate) == 2;
}

static bool has_signature(const X509 *certificate)
{
	int nid = X509_get_signature_nid(certificate);

	return nid == NID_ecdsa_with_SHA256 || nid == NID_ecdsa_with_SHA384;
}

/* Random bits are as likely as not to begin with zeros, so the octets are counted. */
static bool has_serial(const X509 *certificate)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);

	return ASN1_STRING_type(serial) == V_ASN1_INTEGER && ASN1_STRING_length(serial) * 8 >= SERIAL_BITS;
}

/* NULL unless the subject has it exactly once. */
static const ASN1_STRING *only(const X509 *certificate, int nid)
{
	const X509_NAME *subject = X509_get_subject_name(certificate);
	int at = X509_NAME_get_index_by_NID(subject, nid, -1);

	if (at < 0 || X509_NAME_get_index_by_NID(subject, nid, at) >= 0)
		return NULL;
	return X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
}

static bool has_subject(const X509 *certificate)
{
	const ASN1_STRING *country = only(certificate, NID_countryName);
	const unsigned char *letters = country == NULL ? NULL : ASN1_STRING_get0_data(country);

	return country != NULL && ASN1_STRING_length(country) == 2 && isupper(letters[0]) &&
	       isupper(letters[1]) && only(certificate, NID_organizationName) != NULL &&
	       only(certificate, NID_commonName) != NULL;
}

static bool has_common_name(const X509 *certificate, const struct tn_auth_list *list)
{
	const ASN1_STRING *common = only(certificate, NID_commonName);
	char wanted[64];
	int length;

	if (common == NULL || tn_auth_list_spc_count(list) != 1)
		return false;
	length = snprintf(wanted, sizeof wanted, "SHAKEN %s", tn_auth_list_spc(list, 0));
	return length < (int)sizeof wanted && ASN1_STRING_length(common) > 0 &&
	       memmem(ASN1_STRING_get0_data(common), (size_t)ASN1_STRING_length(common), wanted,
		       (size_t)length) != NULL;
}

static bool has_extension(const X509 *certificate, int nid, bool critical)
{
	int at = X509_get_ext_by_NID(certificate, nid, -1);

	return at >= 0 && X509_get_ext_by_NID(certificate, nid, at) < 0 &&
	       X509_EXTENSION_get_critical(X509_get_ext(certificate, at)) == critical;
}

/* The bits as they stand: DER leaves trailing zeros of a named list out (X.690 section 11.2.2), so one bit
 * and seven unused ones. */
static bool has_key_usage(const X509 *certificate)
{
	ASN1_BIT_STRING *usage = X509_get_ext_d2i(certificate, NID_key_usage, NULL, NULL);
	bool good = usage != NULL && has_extension(certificate, NID_key_usage, true) &&
		    ASN1_STRING_length(usage) == 1 && ASN1_STRING_get0_data(usage)[0] == 0x80 &&
		    (usage->flags & 7) == 7;

	ASN1_BIT_STRING_free(usage);
	return good;
}

static bool has_authority_key_identifier(const X509 *certificate)
{
	AUTHORITY_KEYID *authority = X509_get_ext_d2i(certificate, NID_authority_key_identifier, NULL, NULL);
	bool good = authority != NULL && authority->keyid != NULL;

	AUTHORITY_KEYID_free(authority);
	return good;
}

static bool has_policy(const X509 *certificate)
{
	CERTIFICATEPOLICIES *policies = X509_get_ext_d2i(certificate, NID_certificate_policies, NULL, NULL);
	char oid[OID_SIZE] = "";
	bool good = false;

	if (sk_POLICYINFO_num(policies) == 1 &&
		OBJ_obj2txt(oid, sizeof oid, sk_POLICYINFO_value(policies, 0)->policyid, 1) > 0)
		good = has_extension(certificate, NID_certificate_policies, false) &&
		       strncmp(oid, policy_arc, strlen(policy_arc)) == 0;
	CERTIFICATEPOLICIES_free(policies);
	return good;
}

static bool has_url_and_issuer(const DIST_POINT *point)
{
	if (point->CRLissuer == NULL || point->distpoint == NULL || point->distpoint->type != 0)
		return false;
	for (int i = 0; i < sk_GENERAL_NAME_num(point->distpoint->name.fullname); i++)
		if (sk_GENERAL_NAME_value(point->distpoint->name.fullname, i)->type == GEN_URI)
			return true;
	return false;
}

static bool has_crl_point(const X509 *certificate)
{
	CRL_DIST_POINTS *points = X509_get_ext_d2i(certificate, NID_crl_distribution_points, NULL, NULL);
	bool good = sk_DIST_POINT_num(points) == 1 && has_url_and_issuer(sk_DIST_POINT_value(points, 0));

	CRL_DIST_POINTS_free(points);
	return good;
}

static bool is_own(const X509_EXTENSION *extension, char oid[OID_SIZE])
{
	if (OBJ_obj2txt(oid, OID_SIZE, X509_EXTENSION_get_object((X509_EXTENSION *)extension), 1) <= 0)
		return false;
	for (size_t i = 0; i < sizeof own_extensions / sizeof *own_extensions; i++)
		if (strcmp(oid, own_extensions[i]) == 0)
			return true;
	return false;
}

static bool has_tn_auth_list(const X509 *certificate, const struct tn_auth_list *list)
{
	for (int i = 0; i < X509_get_ext_count(certificate); i++) {
		X509_EXTENSION *extension = X509_get_ext(certificate, i);
		char oid[OID_SIZE];

		if (is_own(extension, oid) && strcmp(oid, TN_AUTH_LIST_OID) == 0 &&
			X509_EXTENSION_get_critical(extension))
			return false;
	}
	return tn_auth_list_spc_count(list) == 1 && tn_auth_list_number_count(list) == 0;
}

static bool has_only_named_extensions(const X509 *certificate)
{
	static const int named[] = { NID_basic_constraints, NID_key_usage, NID_subject_key_identifier,
		NID_authority_key_identifier, NID_certificate_policies, NID_crl_distribution_points,
		NID_info_access };

	for (int i = 0; i < X509_get_ext_count(certificate); i++) {
		X509_EXTENSION *extension = X509_get_ext(certificate, i);
		int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
		char oid[OID_SIZE];
		bool found = is_own(extension, oid);

		for (size_t j = 0; j < sizeof named / sizeof *named && !found; j++)
			found = named[j] == nid;
		if (!found)
			return false;
	}
	return true;
}

uint32_t certificate_profile_findings(const X509 *end_entity, const struct tn_auth_list *list)
{
	const bool good[PROFILE_FINDINGS] = {
		[PROFILE_VERSION] = has_version(end_entity),
		[PROFILE_SIGNATURE] = has_signature(end_entity),
		[PROFILE_SERIAL] = has_serial(end_entity),
		[PROFILE_SUBJECT] = has_subject(end_entity),
		[PROFILE_COMMON_NAME] = has_common_name(end_entity, list),
		[PROFILE_BASIC_CONSTRAINTS] = has_extension(end_entity, NID_basic_constraints, true),
		[PROFILE_KEY_USAGE] = has_key_usage(end_entity),
		[PROFILE_SUBJECT_KEY_IDENTIFIER] =
			has_extension(end_entity, NID_subject_key_identifier, false),
		[PROFILE_AUTHORITY_KEY_IDENTIFIER] = has_authority_key_identifier(end_entity),
		[PROFILE_POLICY] = has_policy(end_entity),
		[PROFILE_CRL_POINT] = has_crl_point(end_entity),
		[PROFILE_TN_AUTH_LIST] = has_tn_auth_list(end_entity, list),
		[PROFILE_OTHER_EXTENSION] = has_only_named_extensions(end_entity),
	};
	uint32_t findings = 0;

	for (unsigned i = 0; i < PROFILE_FINDINGS; i++)
		findings |= good[i] ? 0 : UINT32_C(1) << i;
	return findings;
}

const char *certificate_profile_word(enum profile_finding finding)
{
	switch (finding) {
	case PROFILE_VERSION:
		return "version";
	case PROFILE_SIGNATURE:
		return "signature";
	case PROFILE_SERIAL:
		return "serial";
	case PROFILE_SUBJECT:
		return "subject";
	case PROFILE_COMMON_NAME:
		return "common_name";
	case PROFILE_BASIC_CONSTRAINTS:
		return "basic_constraints";
	case PROFILE_KEY_USAGE:
		return "key_usage";
	case PROFILE_SUBJECT_KEY_IDENTIFIER:
		return "subject_key_identifier";
	case PROFILE_AUTHORITY_KEY_IDENTIFIER:
		return "authority_key_identifier";
	case PROFILE_POLICY:
		return "policy";
	case PROFILE_CRL_POINT:
		return "crl_point";
	case PROFILE_TN_AUTH_LIST:
		return "tn_auth_list";
	case PROFILE_OTHER_EXTENSION:
		return "other_extension";
	}
	assert(!"a finding");
	return "";
}
