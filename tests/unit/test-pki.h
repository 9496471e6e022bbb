/* test-pki.h: a throw-away STI-CA, its certificates and keys, in a directory that goes with it. */
#ifndef STIRRUP_TESTS_TEST_PKI_H
#define STIRRUP_TESTS_TEST_PKI_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "stirrup/tn_auth_list.h"

#define PKI_DAY 86400
#define PKI_PATH_SIZE 128
#define PKI_TEXT_MAX (256 << 10)

struct pki {
	char directory[64];
	EVP_PKEY *root_key;
	EVP_PKEY *intermediate_key;
	X509 *root;
	X509 *intermediate;
};

/* What is zero is as a good end entity has it: not a CA, valid from an hour ago for 90 days. */
struct pki_wish {
	const char *name;
	const char *spc;          /* NULL: as tn_auth_list says */
	const char *tn_auth_list; /* DER as an OpenSSL value, "DER:30..."; NULL: none */
	bool twice;               /* two TNAuthLists */
	bool ca;
	int64_t not_before;
	int64_t not_after;
};

static inline void pki_must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "test-pki: %s\n", what);
	abort();
}

static inline void pki_add_extension(X509 *certificate, X509 *issuer, const char *name, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_nconf(NULL, &context, name, value);
	pki_must(extension != NULL && X509_add_ext(certificate, extension, -1) == 1, value);
	X509_EXTENSION_free(extension);
}

static inline void pki_add_tn_auth_list(X509 *certificate, const struct pki_wish *wish)
{
	char value[256] = "DER:";
	char *at = value + 4;

	if (wish->spc == NULL && wish->tn_auth_list == NULL)
		return;
	if (wish->spc != NULL) {
		size_t length = strlen(wish->spc);

		at += sprintf(at, "30%02zxa0%02zx16%02zx", length + 4, length + 2, length);
		for (size_t i = 0; i < length; i++)
			at += sprintf(at, "%02x", (unsigned char)wish->spc[i]);
	}
	for (int i = 0; i <= wish->twice; i++)
		pki_add_extension(
			certificate, NULL, TN_AUTH_LIST_OID, wish->spc != NULL ? value : wish->tn_auth_list);
}

/* issuer NULL: signed by itself. */
static inline X509 *pki_issue(EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, const struct pki_wish *wish)
{
	static long serial;
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	int64_t now = time(NULL);
	const char *common = wish->name == NULL ? "SHAKEN" : wish->name;

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common, -1, -1, 0);
	X509_set_issuer_name(certificate, issuer == NULL ? name : X509_get_subject_name(issuer));
	ASN1_TIME_set(
		X509_getm_notBefore(certificate), wish->not_before == 0 ? now - 3600 : wish->not_before);
	ASN1_TIME_set(
		X509_getm_notAfter(certificate), wish->not_after == 0 ? now + 90 * PKI_DAY : wish->not_after);
	pki_must(X509_set_pubkey(certificate, key) == 1, "public key");
	pki_add_extension(
		certificate, NULL, "basicConstraints", wish->ca ? "critical,CA:true" : "critical,CA:false");
	pki_add_extension(certificate, NULL, "keyUsage",
		wish->ca ? "critical,keyCertSign" : "critical,digitalSignature");
	pki_add_extension(certificate, NULL, "subjectKeyIdentifier", "hash");
	if (issuer != NULL)
		pki_add_extension(certificate, issuer, "authorityKeyIdentifier", "keyid:always");
	pki_add_tn_auth_list(certificate, wish);
	pki_must(X509_sign(certificate, issuer_key, EVP_sha256()) > 0, "signature");
	return certificate;
}

static inline struct pki *pki_new(void)
{
	struct pki *pki = calloc(1, sizeof *pki);
	struct pki_wish root = { .name = "STI-CA root", .ca = true, .not_after = INT64_C(4102444800) };
	struct pki_wish intermediate = root;

	pki_must(pki != NULL, "memory");
	strcpy(pki->directory, "/tmp/test-pki-XXXXXX");
	pki_must(mkdtemp(pki->directory) != NULL, "mkdtemp");
	intermediate.name = "STI-CA intermediate";
	pki->root_key = EVP_EC_gen("P-256");
	pki->intermediate_key = EVP_EC_gen("P-256");
	pki->root = pki_issue(pki->root_key, NULL, pki->root_key, &root);
	pki->intermediate = pki_issue(pki->intermediate_key, pki->root, pki->root_key, &intermediate);
	return pki;
}

static inline void pki_free(struct pki *pki)
{
	DIR *directory = opendir(pki->directory);
	struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (unlinkat(dirfd(directory), entry->d_name, 0) != 0)
			unlinkat(dirfd(directory), entry->d_name, AT_REMOVEDIR);
	}
	if (directory != NULL)
		closedir(directory);
	rmdir(pki->directory);
	X509_free(pki->root);
	X509_free(pki->intermediate);
	EVP_PKEY_free(pki->root_key);
	EVP_PKEY_free(pki->intermediate_key);
	free(pki);
}

/* An end entity under the intermediate. */
static inline X509 *pki_leaf(struct pki *pki, EVP_PKEY *key, const struct pki_wish *wish)
{
	return pki_issue(key, pki->intermediate, pki->intermediate_key, wish);
}

/* The named ones are written in order; NULL ends them. The caller frees the text. */
static inline char *pki_text_of(BIO *bio)
{
	char *data, *text;
	long length = BIO_get_mem_data(bio, &data);

	text = calloc(1, (size_t)length + 1);
	pki_must(text != NULL, "memory");
	if (length > 0)
		memcpy(text, data, (size_t)length);
	BIO_free(bio);
	return text;
}

static inline char *pki_pem(X509 *const *certificates)
{
	BIO *bio = BIO_new(BIO_s_mem());

	for (; *certificates != NULL; certificates++)
		pki_must(PEM_write_bio_X509(bio, *certificates) == 1, "PEM");
	return pki_text_of(bio);
}

static inline char *pki_key_pem(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());

	pki_must(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1, "PEM");
	return pki_text_of(bio);
}

static inline void pki_path(const struct pki *pki, char path[PKI_PATH_SIZE], const char *name)
{
	snprintf(path, PKI_PATH_SIZE, "%s/%s", pki->directory, name);
}

/* In place of what was there. */
static inline void pki_write(const struct pki *pki, const char *name, const char *text, mode_t mode)
{
	char path[PKI_PATH_SIZE];
	size_t length = strlen(text);
	int fd;

	pki_path(pki, path, name);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	pki_must(fd >= 0 && write(fd, text, length) == (ssize_t)length && fchmod(fd, mode) == 0, path);
	close(fd);
}

/* NAME.pem (end entity and intermediate) and NAME.key. The caller frees the certificate. */
static inline X509 *pki_credential(struct pki *pki, const char *name, const struct pki_wish *wish)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *leaf = pki_leaf(pki, key, wish);
	char file[64];
	char *text = pki_pem((X509 *const[]){ leaf, pki->intermediate, NULL });

	snprintf(file, sizeof file, "%s.pem", name);
	pki_write(pki, file, text, 0644);
	free(text);
	text = pki_key_pem(key);
	snprintf(file, sizeof file, "%s.key", name);
	pki_write(pki, file, text, 0600);
	free(text);
	EVP_PKEY_free(key);
	return leaf;
}

#endif
