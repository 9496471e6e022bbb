/* trust-lab.h: certificates and CRLs of every kind, good and bad, made in memory for one moment: LAB_NOW. */
#ifndef STIRRUP_TESTS_TRUST_LAB_H
#define STIRRUP_TESTS_TRUST_LAB_H

#include "test-pki.h"

#define LAB_NOW INT64_C(1800000000) /* 15 January 2027 */
#define LAB_EXTENSIONS_MAX 14

#define LAB_CRL_URL "http://crl.sti-pa.example/v1/crl"

struct lab_extension {
	const char *name,
		*value; /* as OpenSSL writes them; the name may be an OID, the value "critical,DER:..." */
};

/* What is zero is as most have it. */
struct lab_recipe {
	const char *subject; /* "C=US/O=Lab/CN=name"; without "=" it is the CN */
	const char
		*key; /* "P-256" (default), another curve, "RSA-2048", "ED25519", "explicit", "compressed" */
	const char *digest; /* "SHA256" */
	bool version_1;
	bool forged; /* signed with another key than the issuer's */
	bool no_key_identifiers;
	const char *serial; /* in hex; else 16 octets, counted up */
	int64_t not_before, not_after;
	struct lab_extension extensions[LAB_EXTENSIONS_MAX];
};

struct lab_made {
	X509 *certificate;
	EVP_PKEY *key;
};

static inline EVP_PKEY *lab_key(const char *kind)
{
	EVP_PKEY *key;

	if (kind == NULL)
		kind = "P-256";
	if (strncmp(kind, "RSA-", 4) == 0)
		return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)atoi(kind + 4));
	if (strcmp(kind, "ED25519") == 0)
		return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (strcmp(kind, "explicit") != 0 && strcmp(kind, "compressed") != 0)
		return EVP_EC_gen(kind);
	key = EVP_EC_gen("P-256");
	if (strcmp(kind, "explicit") == 0)
		pki_must(EVP_PKEY_set_utf8_string_param(
				 key, OSSL_PKEY_PARAM_EC_ENCODING, OSSL_PKEY_EC_ENCODING_EXPLICIT) == 1,
			kind);
	else
		pki_must(EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
				 OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_COMPRESSED) == 1,
			kind);
	return key;
}

static inline X509_NAME *lab_name(const char *text)
{
	X509_NAME *name = X509_NAME_new();
	char copy[256], *rest = copy, *part;

	snprintf(copy, sizeof copy, strchr(text, '=') == NULL ? "CN=%s" : "%s", text);
	while ((part = strsep(&rest, "/")) != NULL) {
		char *value = strchr(part, '=');

		*value++ = '\0';
		pki_must(X509_NAME_add_entry_by_txt(
				 name, part, MBSTRING_UTF8, (unsigned char *)value, -1, -1, 0) == 1,
			text);
	}
	return name;
}

static inline void lab_set_serial(X509 *certificate, const char *hex)
{
	static unsigned count;
	char counted[33];
	BIGNUM *number = NULL;

	snprintf(counted, sizeof counted, "5a5a5a5a5a5a5a5a5a5a5a5a%08x", ++count);
	pki_must(BN_hex2bn(&number, hex == NULL ? counted : hex) > 0, "serial number");
	BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
	BN_free(number);
}

static inline void lab_sign(X509 *certificate, EVP_PKEY *key, const char *digest)
{
	const EVP_MD *md = EVP_get_digestbyname(digest == NULL ? "SHA256" : digest);

	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519)
		md = NULL;
	pki_must(X509_sign(certificate, key, md) > 0, "signature");
}

/* As the far side reads it: what OpenSSL keeps beside a certificate that it made is gone. */
static inline X509 *lab_reread(X509 *certificate)
{
	unsigned char *der = NULL;
	const unsigned char *at;
	int length = i2d_X509(certificate, &der);
	X509 *read;

	at = der;
	read = d2i_X509(NULL, &at, length);
	pki_must(length > 0 && read != NULL, "certificate");
	OPENSSL_free(der);
	X509_free(certificate);
	return read;
}

/* issuer NULL: signed by itself. key NULL: a new one. */
static inline struct lab_made lab_issue_for(
	const struct lab_recipe *recipe, const struct lab_made *issuer, EVP_PKEY *key)
{
	struct lab_made made = { X509_new(), key == NULL ? lab_key(recipe->key) : key };
	X509_NAME *name = lab_name(recipe->subject);
	EVP_PKEY *stranger = EVP_EC_gen("P-256");

	X509_set_version(made.certificate, recipe->version_1 ? 0 : 2);
	lab_set_serial(made.certificate, recipe->serial);
	X509_set_subject_name(made.certificate, name);
	X509_set_issuer_name(
		made.certificate, issuer == NULL ? name : X509_get_subject_name(issuer->certificate));
	ASN1_TIME_set(X509_getm_notBefore(made.certificate),
		recipe->not_before == 0 ? LAB_NOW - PKI_DAY : recipe->not_before);
	ASN1_TIME_set(X509_getm_notAfter(made.certificate),
		recipe->not_after == 0 ? LAB_NOW + 90 * PKI_DAY : recipe->not_after);
	pki_must(X509_set_pubkey(made.certificate, made.key) == 1, "public key");
	if (!recipe->version_1 && !recipe->no_key_identifiers) {
		pki_add_extension(made.certificate, NULL, "subjectKeyIdentifier", "hash");
		if (issuer != NULL && X509_get0_subject_key_id(issuer->certificate) != NULL)
			pki_add_extension(made.certificate, issuer->certificate, "authorityKeyIdentifier",
				"keyid:always");
	}
	for (const struct lab_extension *e = recipe->extensions; e->name != NULL; e++)
		pki_add_extension(made.certificate, issuer == NULL ? made.certificate : issuer->certificate,
			e->name, e->value);
	lab_sign(made.certificate,
		recipe->forged   ? stranger
		: issuer == NULL ? made.key
				 : issuer->key,
		recipe->digest);
	made.certificate = lab_reread(made.certificate);
	X509_NAME_free(name);
	EVP_PKEY_free(stranger);
	return made;
}

static inline struct lab_made lab_issue(const struct lab_recipe *recipe, const struct lab_made *issuer)
{
	return lab_issue_for(recipe, issuer, NULL);
}

static inline void lab_discard(struct lab_made *made)
{
	X509_free(made->certificate);
	EVP_PKEY_free(made->key);
	*made = (struct lab_made){ NULL, NULL };
}

#define LAB_CA                                                                                               \
	{ "basicConstraints", "critical,CA:true" },                                                          \
	{                                                                                                    \
		"keyUsage", "critical,keyCertSign,cRLSign"                                                   \
	}
#define LAB_END                                                                                              \
	{ "basicConstraints", "critical,CA:false" },                                                         \
	{                                                                                                    \
		"keyUsage", "critical,digitalSignature"                                                      \
	}
#define LAB_1234                                                                                             \
	{                                                                                                    \
		TN_AUTH_LIST_OID, "DER:3008a006160431323334"                                                 \
	}

/* --- CRLs --- */

struct lab_entry {
	const X509 *certificate;        /* its serial number and issuer; NULL ends a list */
	bool without_issuer;            /* no certificateIssuer: as the entry before it */
	bool removed;                   /* reason removeFromCRL */
	struct lab_extension extension; /* one more */
};

struct lab_crl {
	int64_t number;                   /* 0: none */
	int64_t this_update, next_update; /* 0: an hour before LAB_NOW, a day after; next_update -1: none */
	const char
		*scope; /* DER of the issuingDistributionPoint; NULL: indirect, with LAB_CRL_URL; "": none */
	const char *digest;
	bool forged;
	struct lab_extension extension; /* one more */
	const struct lab_entry *entries;
};

static inline X509_EXTENSION *lab_extension(const struct lab_extension *e)
{
	X509_EXTENSION *extension = X509V3_EXT_nconf(NULL, NULL, e->name, e->value);

	pki_must(extension != NULL, e->value);
	return extension;
}

static inline void lab_add_entry(X509_CRL *list, const struct lab_entry *entry)
{
	X509_REVOKED *revoked = X509_REVOKED_new();
	ASN1_TIME *when = ASN1_TIME_set(NULL, LAB_NOW - 7200);

	X509_REVOKED_set_serialNumber(revoked, (ASN1_INTEGER *)X509_get0_serialNumber(entry->certificate));
	X509_REVOKED_set_revocationDate(revoked, when);
	if (!entry->without_issuer) {
		GENERAL_NAMES *names = GENERAL_NAMES_new();
		GENERAL_NAME *name = GENERAL_NAME_new();

		GENERAL_NAME_set0_value(
			name, GEN_DIRNAME, X509_NAME_dup(X509_get_issuer_name(entry->certificate)));
		sk_GENERAL_NAME_push(names, name);
		pki_must(X509_REVOKED_add1_ext_i2d(revoked, NID_certificate_issuer, names, 1, 0) == 1,
			"certificateIssuer");
		GENERAL_NAMES_free(names);
	}
	if (entry->removed) {
		ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();

		ASN1_ENUMERATED_set(reason, 8);
		pki_must(X509_REVOKED_add1_ext_i2d(revoked, NID_crl_reason, reason, 0, 0) == 1, "reason");
		ASN1_ENUMERATED_free(reason);
	}
	if (entry->extension.name != NULL) {
		X509_EXTENSION *extension = lab_extension(&entry->extension);

		X509_REVOKED_add_ext(revoked, extension, -1);
		X509_EXTENSION_free(extension);
	}
	X509_CRL_add0_revoked(list, revoked);
	ASN1_TIME_free(when);
}

/* A distribution point with that URL and indirectCRL TRUE, as DER. */
static inline void lab_scope(char *value, size_t size, const char *url)
{
	size_t length = strlen(url);
	char *at = value;

	pki_must(length < 100 && size > 64 + 2 * length, "URL");
	at += sprintf(
		at, "critical,DER:30%02zxa0%02zxa0%02zx86%02zx", length + 9, length + 4, length + 2, length);
	for (size_t i = 0; i < length; i++)
		at += sprintf(at, "%02x", (unsigned char)url[i]);
	sprintf(at, "8401ff");
}

static inline void lab_add_crl_extensions(X509_CRL *list, const struct lab_crl *wish)
{
	char scope[512];
	struct lab_extension point = { "issuingDistributionPoint",
		wish->scope == NULL ? scope : wish->scope };

	lab_scope(scope, sizeof scope, LAB_CRL_URL);
	if (point.value[0] != '\0') {
		X509_EXTENSION *extension = lab_extension(&point);

		X509_CRL_add_ext(list, extension, -1);
		X509_EXTENSION_free(extension);
	}
	if (wish->number != 0) {
		ASN1_INTEGER *number = ASN1_INTEGER_new();

		ASN1_INTEGER_set_int64(number, wish->number);
		X509_CRL_add1_ext_i2d(list, NID_crl_number, number, 0, 0);
		ASN1_INTEGER_free(number);
	}
	if (wish->extension.name != NULL) {
		X509_EXTENSION *extension = lab_extension(&wish->extension);

		X509_CRL_add_ext(list, extension, -1);
		X509_EXTENSION_free(extension);
	}
}

static inline X509_CRL *lab_crl(const struct lab_crl *wish, const struct lab_made *signer)
{
	X509_CRL *list = X509_CRL_new();
	ASN1_TIME *time = ASN1_TIME_set(NULL, wish->this_update == 0 ? LAB_NOW - 3600 : wish->this_update);
	EVP_PKEY *stranger = EVP_EC_gen("P-256");

	X509_CRL_set_version(list, 1);
	X509_CRL_set_issuer_name(list, X509_get_subject_name(signer->certificate));
	X509_CRL_set1_lastUpdate(list, time);
	if (wish->next_update != -1) {
		ASN1_TIME_set(time, wish->next_update == 0 ? LAB_NOW + PKI_DAY : wish->next_update);
		X509_CRL_set1_nextUpdate(list, time);
	}
	lab_add_crl_extensions(list, wish);
	for (const struct lab_entry *entry = wish->entries; entry != NULL && entry->certificate != NULL;
		entry++)
		lab_add_entry(list, entry);
	pki_must(X509_CRL_sign(list, wish->forged ? stranger : signer->key,
			 EVP_get_digestbyname(wish->digest == NULL ? "SHA256" : wish->digest)) > 0,
		"CRL");
	ASN1_TIME_free(time);
	EVP_PKEY_free(stranger);
	return list;
}

#endif
