#include "stirrup/certificate.h"

#include <stdlib.h>

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "stirrup/certificate_key.h"
#include "stirrup/certificate_pem.h"
#include "asn1_seconds.h"
#include "extension.h"
#include "reason.h"

#define PEM_TEXT_MAX (64u << 10)
#define NAME_SIZE 160

struct certificate_chain {
	STACK_OF(X509) *certificates;
	struct tn_auth_list *tn_auth_list;
	int64_t not_before;
	int64_t not_after;
};

/* Numbers are for people: the end entity is certificate 1. */
static const char *subject(X509 *certificate, char name[NAME_SIZE])
{
	if (X509_NAME_oneline(X509_get_subject_name(certificate), name, NAME_SIZE) == NULL)
		name[0] = '\0';
	return name;
}

/* --- Keys --- */

static bool has_sound_key(X509 *certificate, size_t number, const struct reason *reason)
{
	char why[120];

	return certificate_key_is_sound(certificate, why, sizeof why) ||
	       refuse(reason, "certificate %zu: %s", number, why);
}

/* --- The end entity --- */

static bool is_end_entity(X509 *certificate, const struct reason *reason)
{
	char name[NAME_SIZE];

	/* Only then does X509_check_ca() mean what it says. */
	if ((X509_get_extension_flags(certificate) & EXFLAG_INVALID) != 0)
		return refuse(
			reason, "the end entity (%s) has a malformed extension", subject(certificate, name));
	if (X509_check_ca(certificate) != 0)
		return refuse(reason, "the first certificate (%s) is a CA; want the end entity first",
			subject(certificate, name));
	return true;
}

static bool read_tn_auth_list(struct certificate_chain *chain, const struct reason *reason)
{
	X509 *certificate = sk_X509_value(chain->certificates, 0);
	const ASN1_OCTET_STRING *value;
	size_t count = extension_find(certificate, TN_AUTH_LIST_OID, &value);
	const char *why;

	if (count == 0)
		return refuse(reason, "the end entity has no TNAuthList (RFC 8226 section 9)");
	/* RFC 5280 section 4.2. */
	if (count > 1)
		return refuse(reason, "the end entity has more than one TNAuthList");
	chain->tn_auth_list =
		tn_auth_list_decode(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value), &why);
	if (chain->tn_auth_list == NULL)
		return refuse(reason, "TNAuthList: %s (RFC 8226 section 9)", why);
	return true;
}

/* --- The chain --- */

/* Names and key identifiers alone would let anyone stand in the place of an issuer. */
static bool issues(X509 *issuer, X509 *certificate)
{
	return X509_check_ca(issuer) != 0 && X509_check_issued(issuer, certificate) == X509_V_OK &&
	       X509_verify(certificate, X509_get0_pubkey(issuer)) == 1;
}

static bool is_in_order(const struct certificate_chain *chain, const struct reason *reason)
{
	for (size_t i = 1; i < certificate_chain_count(chain); i++) {
		X509 *issuer = certificate_chain_at(chain, i);
		X509 *certificate = certificate_chain_at(chain, i - 1);
		char name[NAME_SIZE];

		if (!issues(issuer, certificate))
			return refuse(reason,
				"certificate %zu (%s) did not issue certificate %zu; want the end entity "
				"first, then each "
				"issuer",
				i + 1, subject(issuer, name), i);
	}
	return true;
}

static bool read_validity(struct certificate_chain *chain, const struct reason *reason)
{
	chain->not_before = INT64_MIN;
	chain->not_after = INT64_MAX;
	for (size_t i = 0; i < certificate_chain_count(chain); i++) {
		X509 *certificate = certificate_chain_at(chain, i);
		int64_t from, to;

		if (!asn1_seconds(X509_get0_notBefore(certificate), &from) ||
			!asn1_seconds(X509_get0_notAfter(certificate), &to))
			return refuse(reason, "certificate %zu: its validity is not a time", i + 1);
		if (from > chain->not_before)
			chain->not_before = from;
		if (to < chain->not_after)
			chain->not_after = to;
	}
	return true;
}

static bool read_chain(struct certificate_chain *chain, struct span pem, const struct reason *reason)
{
	static const struct certificate_pem_limits limits = { PEM_TEXT_MAX, CERTIFICATE_CHAIN_MAX };
	X509 *leaf;

	chain->certificates = sk_X509_new_null();
	if (chain->certificates == NULL)
		return refuse(reason, "out of memory");
	if (!certificate_pem_read(chain->certificates, pem, &limits, reason->why, reason->size))
		return false;
	for (size_t i = 0; i < certificate_chain_count(chain); i++)
		if (!has_sound_key(certificate_chain_at(chain, i), i + 1, reason))
			return false;
	leaf = certificate_chain_at(chain, 0);
	return is_end_entity(leaf, reason) && certificate_key_is_p256(leaf, reason->why, reason->size) &&
	       read_tn_auth_list(chain, reason) && is_in_order(chain, reason) && read_validity(chain, reason);
}

struct certificate_chain *certificate_chain_parse(struct span pem, char *why, size_t why_size)
{
	struct reason reason = { why, why_size };
	struct certificate_chain *chain = calloc(1, sizeof *chain);
	bool ok = false;

	if (chain == NULL)
		refuse(&reason, "out of memory");
	else
		ok = read_chain(chain, pem, &reason);
	ERR_clear_error();
	if (ok)
		return chain;
	certificate_chain_free(chain);
	return NULL;
}

void certificate_chain_free(struct certificate_chain *chain)
{
	if (chain == NULL)
		return;
	sk_X509_pop_free(chain->certificates, X509_free);
	tn_auth_list_free(chain->tn_auth_list);
	free(chain);
}

size_t certificate_chain_count(const struct certificate_chain *chain)
{
	return (size_t)sk_X509_num(chain->certificates);
}

X509 *certificate_chain_at(const struct certificate_chain *chain, size_t index)
{
	return sk_X509_value(chain->certificates, (int)index);
}

const struct tn_auth_list *certificate_chain_tn_auth_list(const struct certificate_chain *chain)
{
	return chain->tn_auth_list;
}

int64_t certificate_chain_not_before(const struct certificate_chain *chain)
{
	return chain->not_before;
}

int64_t certificate_chain_not_after(const struct certificate_chain *chain)
{
	return chain->not_after;
}
