#include "stirrup/certificate.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define PEM_TEXT_MAX (64u << 10)
#define NAME_SIZE 160

static const char begin_any[] = "-----BEGIN";
static const char begin_certificate[] = "-----BEGIN CERTIFICATE-----";
static const char end_certificate[] = "-----END CERTIFICATE-----";

struct certificate_chain {
	X509 *certificates[CERTIFICATE_CHAIN_MAX];
	size_t count;
	struct tn_auth_list *tn_auth_list;
	int64_t not_before;
	int64_t not_after;
};

struct reason {
	char *why;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static bool refuse(const struct reason *reason, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason->why, reason->size, format, arguments);
	va_end(arguments);
	return false;
}

/* Numbers are for people: the end entity is certificate 1. */
static const char *subject(X509 *certificate, char name[NAME_SIZE])
{
	if (X509_NAME_oneline(X509_get_subject_name(certificate), name, NAME_SIZE) == NULL)
		name[0] = '\0';
	return name;
}

/* --- PEM --- */

static const char *find(struct span text, const char *what)
{
	return text.length == 0 ? NULL : memmem(text.at, text.length, what, strlen(what));
}

static struct span after(struct span text, const char *at)
{
	return (struct span){ at, (size_t)(text.at + text.length - at) };
}

static bool starts_with(struct span text, const char *what)
{
	return text.length >= strlen(what) && memcmp(text.at, what, strlen(what)) == 0;
}

/* What stands in a block of another kind is not shown: it may be a key. */
static bool refuse_block(const struct reason *reason, struct span block)
{
	const char *newline = memchr(block.at, '\n', block.length);
	struct span line = { block.at, newline == NULL ? block.length : (size_t)(newline - block.at) };

	if (find(line, "PRIVATE KEY") != NULL)
		return refuse(
			reason, "holds a private key; want certificates only, as this file is published");
	return refuse(reason, "holds a PEM block that is not a CERTIFICATE");
}

/* One block, from its first hyphen to its last. */
static X509 *read_block(struct span block)
{
	BIO *bio = BIO_new_mem_buf(block.at, (int)block.length);
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	X509 *certificate = NULL;
	long length = 0;

	if (bio != NULL && PEM_read_bio(bio, &name, &header, &der, &length) == 1 && header[0] == '\0') {
		const unsigned char *end = der;

		certificate = d2i_X509(NULL, &end, length);
		if (certificate != NULL && end != der + length) {
			X509_free(certificate);
			certificate = NULL;
		}
	}
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(der);
	BIO_free(bio);
	return certificate;
}

/* Takes the next block off the text. */
static bool take_certificate(struct certificate_chain *chain, struct span *text, const struct reason *reason)
{
	const char *start = find(*text, begin_any);
	const char *end, *inner;
	struct span block = after(*text, start);
	X509 *certificate;

	if (!starts_with(block, begin_certificate))
		return refuse_block(reason, block);
	/* RFC 7468 section 3; OpenSSL would skip it and with it whatever it hides. */
	if (start > text->at && start[-1] != '\n' && start[-1] != '\r')
		return refuse(
			reason, "certificate %zu does not begin on a line of its own", chain->count + 1);
	end = find(block, end_certificate);
	inner = find(after(block, block.at + 1), begin_any);
	if (end == NULL || (inner != NULL && inner < end))
		return refuse(reason, "certificate %zu is cut off: it has no END line", chain->count + 1);
	if (chain->count == CERTIFICATE_CHAIN_MAX)
		return refuse(reason, "holds more than %d certificates", CERTIFICATE_CHAIN_MAX);

	end += strlen(end_certificate);
	block.length = (size_t)(end - block.at);
	*text = after(*text, end);
	certificate = read_block(block);
	if (certificate == NULL)
		return refuse(reason, "certificate %zu is damaged: no X.509 in PEM", chain->count + 1);
	chain->certificates[chain->count++] = certificate;
	return true;
}

static bool read_pem(struct certificate_chain *chain, struct span pem, const struct reason *reason)
{
	if (span_trim(pem).length == 0)
		return refuse(reason, "is empty; want certificates in PEM");
	if (pem.length > PEM_TEXT_MAX)
		return refuse(reason, "is longer than %u octets", PEM_TEXT_MAX);
	if (find(pem, begin_any) == NULL)
		return refuse(reason, "holds no certificate in PEM");
	while (find(pem, begin_any) != NULL)
		if (!take_certificate(chain, &pem, reason))
			return false;
	return true;
}

/* --- Keys --- */

/* The algorithm, and with it the curve, as written in the certificate. Explicit curve parameters can hide
 * another generator (CVE-2020-0601); RFC 5480 section 2.1.1 forbids them. */
static bool has_sound_key(X509 *certificate, size_t number, const struct reason *reason)
{
	X509_ALGOR *algorithm;
	int type;

	if (X509_PUBKEY_get0_param(NULL, NULL, NULL, &algorithm, X509_get_X509_PUBKEY(certificate)) != 1)
		return refuse(reason, "certificate %zu: its public key cannot be read", number);
	X509_ALGOR_get0(NULL, &type, NULL, algorithm);
	if (OBJ_obj2nid(algorithm->algorithm) == NID_X9_62_id_ecPublicKey && type != V_ASN1_OBJECT)
		return refuse(reason,
			"certificate %zu: its key spells out the parameters of a curve; want a named curve "
			"(RFC 5480 "
			"section 2.1.1)",
			number);
	if (X509_get0_pubkey(certificate) == NULL)
		return refuse(reason, "certificate %zu: its public key cannot be read", number);
	return true;
}

/* RFC 8225 section 8: ES256. */
static bool is_p256(X509 *certificate, const struct reason *reason)
{
	const EVP_PKEY *key = X509_get0_pubkey(certificate);
	char group[40] = "?";

	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC)
		return refuse(reason, "the end entity's key is %s; want EC on the curve P-256",
			OBJ_nid2sn(EVP_PKEY_get_base_id(key)));
	if (EVP_PKEY_get_group_name(key, group, sizeof group, NULL) != 1 ||
		strcmp(group, SN_X9_62_prime256v1) != 0)
		return refuse(reason, "the end entity's key is on the curve %s; want P-256", group);
	return true;
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
	X509 *certificate = chain->certificates[0];
	ASN1_OBJECT *oid = OBJ_txt2obj(TN_AUTH_LIST_OID, 1);
	int at = oid == NULL ? -1 : X509_get_ext_by_OBJ(certificate, oid, -1);
	int second = at < 0 ? -1 : X509_get_ext_by_OBJ(certificate, oid, at);
	const ASN1_OCTET_STRING *value;
	const char *why;

	ASN1_OBJECT_free(oid);
	if (at < 0)
		return refuse(reason, "the end entity has no TNAuthList (RFC 8226 section 9)");
	/* RFC 5280 section 4.2. */
	if (second >= 0)
		return refuse(reason, "the end entity has more than one TNAuthList");
	value = X509_EXTENSION_get_data(X509_get_ext(certificate, at));
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
	for (size_t i = 1; i < chain->count; i++) {
		X509 *issuer = chain->certificates[i], *certificate = chain->certificates[i - 1];
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

static bool seconds(const ASN1_TIME *time, int64_t *out)
{
	struct tm broken_down;

	if (ASN1_TIME_to_tm(time, &broken_down) != 1)
		return false;
	*out = timegm(&broken_down);
	return true;
}

static bool read_validity(struct certificate_chain *chain, const struct reason *reason)
{
	chain->not_before = INT64_MIN;
	chain->not_after = INT64_MAX;
	for (size_t i = 0; i < chain->count; i++) {
		int64_t from, to;

		if (!seconds(X509_get0_notBefore(chain->certificates[i]), &from) ||
			!seconds(X509_get0_notAfter(chain->certificates[i]), &to))
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
	if (!read_pem(chain, pem, reason))
		return false;
	for (size_t i = 0; i < chain->count; i++)
		if (!has_sound_key(chain->certificates[i], i + 1, reason))
			return false;
	return is_end_entity(chain->certificates[0], reason) && is_p256(chain->certificates[0], reason) &&
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
	for (size_t i = 0; i < chain->count; i++)
		X509_free(chain->certificates[i]);
	tn_auth_list_free(chain->tn_auth_list);
	free(chain);
}

size_t certificate_chain_count(const struct certificate_chain *chain)
{
	return chain->count;
}

X509 *certificate_chain_at(const struct certificate_chain *chain, size_t index)
{
	return chain->certificates[index];
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
