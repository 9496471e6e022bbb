#include "stirrup/crl.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "asn1_seconds.h"
#include "reason.h"

struct crl {
	X509_CRL *list;
	ISSUING_DIST_POINT *scope;
	ASN1_INTEGER *number;
	int64_t this_update, next_update;
};

static const char begin_crl[] = "-----BEGIN X509 CRL-----";

/* --- Form --- */

static X509_CRL *decode(struct span der)
{
	const unsigned char *at = (const unsigned char *)der.at;
	const unsigned char *end = at + der.length;
	X509_CRL *list = d2i_X509_CRL(NULL, &at, (long)der.length);

	if (list != NULL && at != end) {
		X509_CRL_free(list);
		list = NULL;
	}
	return list;
}

static X509_CRL *decode_pem(struct span text)
{
	BIO *bio = BIO_new_mem_buf(text.at, (int)text.length);
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	X509_CRL *list = NULL;
	long length = 0;

	if (bio != NULL && PEM_read_bio(bio, &name, &header, &der, &length) == 1 && header[0] == '\0' &&
		strcmp(name, PEM_STRING_X509_CRL) == 0)
		list = decode((struct span){ (const char *)der, (size_t)length });
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(der);
	BIO_free(bio);
	return list;
}

static bool read_list(struct crl *crl, struct span text, const struct reason *reason)
{
	const char *pem;

	if (span_trim(text).length == 0)
		return refuse(reason, "is empty; want a CRL in PEM or DER");
	if (text.length > CRL_OCTETS_MAX)
		return refuse(reason, "is longer than %u octets", CRL_OCTETS_MAX);
	pem = memmem(text.at, text.length, begin_crl, strlen(begin_crl));
	crl->list = pem != NULL ? decode_pem((struct span){ pem, (size_t)(text.at + text.length - pem) })
				: decode(text);
	if (crl->list == NULL)
		return refuse(reason, "is no CRL in PEM or DER, or damaged");
	return true;
}

/* Extension nid of the list. False when it is there more than once or malformed; *value is NULL when it is
 * absent. */
static bool take_extension(const X509_CRL *list, int nid, void **value)
{
	int state;

	*value = X509_CRL_get_ext_d2i(list, nid, &state, NULL);
	return *value != NULL || state == -1;
}

/* RFC 5280 section 5.2.5. */
static bool read_scope(struct crl *crl, const struct reason *reason)
{
	void *value;

	if (!take_extension(crl->list, NID_issuing_distribution_point, &value))
		return refuse(reason, "has a malformed issuingDistributionPoint");
	crl->scope = value;
	if (crl->scope == NULL || crl->scope->indirectCRL <= 0)
		return refuse(reason, "does not say that it is an indirect CRL (RFC 5280 section 5.2.5)");
	if (crl->scope->onlyattr > 0 || crl->scope->onlysomereasons != NULL)
		return refuse(reason, "holds attribute certificates or some reasons only; want a whole CRL");
	return true;
}

/* RFC 5280 section 5.2.3; one without a number cannot be told from an older one. */
static bool read_number(struct crl *crl, const struct reason *reason)
{
	void *value;

	if (!take_extension(crl->list, NID_crl_number, &value))
		return refuse(reason, "has a malformed CRLNumber");
	crl->number = value;
	if (crl->number == NULL || (ASN1_STRING_type(crl->number) & V_ASN1_NEG) != 0)
		return refuse(reason, "has no CRLNumber (RFC 5280 section 5.2.3)");
	return true;
}

static bool read_dates(struct crl *crl, const struct reason *reason)
{
	if (!asn1_seconds(X509_CRL_get0_lastUpdate(crl->list), &crl->this_update) ||
		!asn1_seconds(X509_CRL_get0_nextUpdate(crl->list), &crl->next_update))
		return refuse(
			reason, "lacks a thisUpdate or nextUpdate that is a time (RFC 5280 section 5.1.2.5)");
	return true;
}

/* RFC 5280 section 5.2: a list with a critical extension that is not understood must not be used. A delta CRL
 * is known by one. */
static bool knows_extensions(const X509_CRL *list, const struct reason *reason)
{
	for (int i = 0; i < X509_CRL_get_ext_count(list); i++) {
		X509_EXTENSION *extension = X509_CRL_get_ext(list, i);
		int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));

		if (nid == NID_delta_crl)
			return refuse(reason, "is a delta CRL; want a whole one");
		if (X509_EXTENSION_get_critical(extension) && nid != NID_issuing_distribution_point)
			return refuse(reason, "has a critical extension that is not understood");
	}
	return true;
}

static bool has_directory_name(const GENERAL_NAMES *names)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
		if (sk_GENERAL_NAME_value(names, i)->type == GEN_DIRNAME)
			return true;
	return false;
}

/* RFC 5280 section 5.3. An entry whose issuer nobody can read would pass for one of the certificateIssuer
 * before it. */
static bool is_sound_entry(const X509_REVOKED *entry, const struct reason *reason)
{
	GENERAL_NAMES *issuer;
	bool named;
	int state;

	for (int i = 0; i < X509_REVOKED_get_ext_count(entry); i++) {
		X509_EXTENSION *extension = X509_REVOKED_get_ext(entry, i);
		int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));

		if (X509_EXTENSION_get_critical(extension) && nid != NID_certificate_issuer &&
			nid != NID_crl_reason)
			return refuse(
				reason, "has an entry with a critical extension that is not understood");
	}
	issuer = X509_REVOKED_get_ext_d2i(entry, NID_certificate_issuer, &state, NULL);
	if (issuer == NULL)
		return state == -1 || refuse(reason, "has an entry with a malformed certificateIssuer");
	named = has_directory_name(issuer);
	GENERAL_NAMES_free(issuer);
	return named || refuse(reason, "has an entry whose certificateIssuer is no directory name");
}

static bool has_sound_entries(const struct crl *crl, const struct reason *reason)
{
	STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl->list);

	for (int i = 0; i < sk_X509_REVOKED_num(entries); i++)
		if (!is_sound_entry(sk_X509_REVOKED_value(entries, i), reason))
			return false;
	return true;
}

struct crl *crl_parse(struct span text, char *why, size_t why_size)
{
	struct reason reason = { why, why_size };
	struct crl *crl = calloc(1, sizeof *crl);
	bool ok = false;

	if (crl == NULL)
		refuse(&reason, "out of memory");
	else
		ok = read_list(crl, text, &reason) && knows_extensions(crl->list, &reason) &&
		     read_scope(crl, &reason) && read_number(crl, &reason) && read_dates(crl, &reason) &&
		     has_sound_entries(crl, &reason);
	ERR_clear_error();
	if (ok)
		return crl;
	crl_free(crl);
	return NULL;
}

void crl_free(struct crl *crl)
{
	if (crl == NULL)
		return;
	X509_CRL_free(crl->list);
	ISSUING_DIST_POINT_free(crl->scope);
	ASN1_INTEGER_free(crl->number);
	free(crl);
}

const X509_NAME *crl_issuer(const struct crl *crl)
{
	return X509_CRL_get_issuer(crl->list);
}

size_t crl_entries(const struct crl *crl)
{
	int count = sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl->list));

	return count < 0 ? 0 : (size_t)count;
}

int64_t crl_this_update(const struct crl *crl)
{
	return crl->this_update;
}

int64_t crl_next_update(const struct crl *crl)
{
	return crl->next_update;
}

/* --- Signature and age --- */

/* ECDSA or RSA with a hash of the SHA-2 family: X509_CRL_verify() would take MD5. */
static bool has_strong_digest(const X509_CRL *list)
{
	int digest = NID_undef;

	if (OBJ_find_sigid_algs(X509_CRL_get_signature_nid(list), &digest, NULL) != 1)
		return false;
	return digest == NID_sha256 || digest == NID_sha384 || digest == NID_sha512;
}

bool crl_is_signed_by(const struct crl *crl, X509 *signer)
{
	EVP_PKEY *key = X509_get0_pubkey(signer);

	/* UINT32_MAX where there is no key usage. */
	return key != NULL && X509_NAME_cmp(X509_get_subject_name(signer), crl_issuer(crl)) == 0 &&
	       (X509_get_key_usage(signer) & KU_CRL_SIGN) != 0 && has_strong_digest(crl->list) &&
	       X509_CRL_verify(crl->list, key) == 1;
}

bool crl_is_current(const struct crl *crl, int64_t now, int64_t grace_s, char *why, size_t why_size)
{
	struct reason reason = { why, why_size };

	if (now < crl->this_update)
		return refuse(&reason, "is not valid yet: its thisUpdate is %lld s ahead",
			(long long)(crl->this_update - now));
	if (now > crl->next_update && now - crl->next_update > grace_s)
		return refuse(&reason,
			"is out of date: its nextUpdate was %lld s ago, beyond the grace of %lld s",
			(long long)(now - crl->next_update), (long long)grace_s);
	return true;
}

bool crl_is_same(const struct crl *crl, const struct crl *other)
{
	return X509_CRL_match(crl->list, other->list) == 0;
}

bool crl_is_newer(const struct crl *crl, const struct crl *older, char *why, size_t why_size)
{
	struct reason reason = { why, why_size };

	if (ASN1_INTEGER_cmp(crl->number, older->number) <= 0)
		return refuse(&reason, "its CRLNumber is not above that of the one there is");
	if (crl->this_update < older->this_update)
		return refuse(&reason, "its thisUpdate is before that of the one there is");
	return true;
}

/* --- Certificates --- */

static bool has_name(const GENERAL_NAMES *names, const X509_NAME *name)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *candidate = sk_GENERAL_NAME_value(names, i);

		if (candidate->type == GEN_DIRNAME && X509_NAME_cmp(candidate->d.directoryName, name) == 0)
			return true;
	}
	return false;
}

static bool share_url(const DIST_POINT_NAME *one, const DIST_POINT_NAME *other)
{
	if (one == NULL || other == NULL || one->type != 0 || other->type != 0)
		return false;
	for (int i = 0; i < sk_GENERAL_NAME_num(one->name.fullname); i++)
		for (int j = 0; j < sk_GENERAL_NAME_num(other->name.fullname); j++) {
			const GENERAL_NAME *a = sk_GENERAL_NAME_value(one->name.fullname, i);
			const GENERAL_NAME *b = sk_GENERAL_NAME_value(other->name.fullname, j);

			if (a->type == GEN_URI && b->type == GEN_URI &&
				ASN1_STRING_cmp(
					a->d.uniformResourceIdentifier, b->d.uniformResourceIdentifier) == 0)
				return true;
		}
	return false;
}

/* RFC 5280 section 6.3.3 step (b), but that the STI-PA's URL alone is enough. */
static bool names(const struct crl *crl, const DIST_POINT *point)
{
	if (point->CRLissuer != NULL && !has_name(point->CRLissuer, crl_issuer(crl)))
		return false;
	if (crl->scope->distpoint == NULL)
		return point->CRLissuer != NULL;
	return share_url(point->distpoint, crl->scope->distpoint);
}

bool crl_is_named_by(const struct crl *crl, const X509 *certificate)
{
	CRL_DIST_POINTS *points = X509_get_ext_d2i(certificate, NID_crl_distribution_points, NULL, NULL);
	bool named = false;

	for (int i = 0; i < sk_DIST_POINT_num(points) && !named; i++)
		named = names(crl, sk_DIST_POINT_value(points, i));
	CRL_DIST_POINTS_free(points);
	return named;
}

bool crl_revokes(const struct crl *crl, X509 *certificate)
{
	X509_REVOKED *entry;

	/* 2: removeFromCRL, which takes an entry back. */
	return X509_CRL_get0_by_cert(crl->list, &entry, certificate) == 1;
}
