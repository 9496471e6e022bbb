#include "stirrup/credential.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "stirrup/base64url.h"
#include "stirrup/certificate.h"
#include "stirrup/es256.h"
#include "stirrup/identity_header.h"
#include "stirrup/span.h"

#define CERTIFICATE_FILE_MAX (64 << 10)
#define KEY_FILE_MAX (16 << 10)
#define HEADER_SIZE 1024
#define TIME_SIZE 24

struct credential {
	struct es256_key *signing;
	struct es256_key *checking; /* of the certificate */
	int64_t not_before;
	int64_t not_after;
	bool stopped;
	char x5u[PASSPORT_X5U_MAX + 1];
	char header[HEADER_SIZE];
};

/* A credential on its way, and where to say why it does not come. */
struct loading {
	const struct credential_config *config;
	int64_t now;
	char *why;
	size_t why_size;
};

__attribute__((format(printf, 2, 3))) static bool refuse(
	const struct loading *loading, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(loading->why, loading->why_size, format, arguments);
	va_end(arguments);
	return false;
}

static const char *time_text(int64_t seconds, char text[TIME_SIZE])
{
	time_t time = seconds;
	struct tm broken_down;

	if (gmtime_r(&time, &broken_down) == NULL ||
		strftime(text, TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &broken_down) == 0)
		strcpy(text, "?");
	return text;
}

/* --- Files --- */

static int open_regular(const struct loading *loading, const char *path, int flags, struct stat *status)
{
	/* O_NONBLOCK: a FIFO must not hold us before fstat() has told what it is. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags);

	if (fd < 0 && errno == ELOOP && (flags & O_NOFOLLOW) != 0)
		refuse(loading, "%s: is a symbolic link; want the key file itself", path);
	else if (fd < 0)
		refuse(loading, "%s: cannot be opened: %s", path, strerror(errno));
	else if (fstat(fd, status) != 0)
		refuse(loading, "%s: cannot be looked at: %s", path, strerror(errno));
	else if (S_ISDIR(status->st_mode))
		refuse(loading, "%s: is a directory; want a file", path);
	else if (!S_ISREG(status->st_mode))
		refuse(loading, "%s: is not a regular file", path);
	else
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Reads to the end. buffer has room for max octets and one more, which tells a longer file. */
static bool read_whole(
	const struct loading *loading, const char *path, int fd, char *buffer, size_t max, size_t *length)
{
	*length = 0;
	while (*length <= max) {
		ssize_t got = read(fd, buffer + *length, max + 1 - *length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return refuse(loading, "%s: cannot be read: %s", path, strerror(errno));
		if (got == 0)
			return true;
		*length += (size_t)got;
	}
	return refuse(loading, "%s: is longer than %zu octets", path, max);
}

/* --- The certificate --- */

static bool is_valid_now(const struct loading *loading, const struct certificate_chain *chain)
{
	const char *path = loading->config->certificate;
	int64_t from = certificate_chain_not_before(chain), to = certificate_chain_not_after(chain);
	char limit[TIME_SIZE], now[TIME_SIZE];

	if (loading->now < from)
		return refuse(loading, "%s: is not valid before %s (now: %s)", path, time_text(from, limit),
			time_text(loading->now, now));
	if (loading->now > to)
		return refuse(loading, "%s: expired at %s (now: %s)", path, time_text(to, limit),
			time_text(loading->now, now));
	return true;
}

static bool has_spc(const struct loading *loading, const struct certificate_chain *chain)
{
	const struct tn_auth_list *list = certificate_chain_tn_auth_list(chain);
	const char *path = loading->config->certificate, *spc = loading->config->spc;

	if (tn_auth_list_has_spc(list, spc))
		return true;
	if (tn_auth_list_spc_count(list) == 0)
		return refuse(loading, "%s: its TNAuthList has no service provider code; want %s", path, spc);
	return refuse(loading, "%s: its TNAuthList has the service provider code %s; want %s", path,
		tn_auth_list_spc(list, 0), spc);
}

static struct certificate_chain *read_chain(const struct loading *loading)
{
	const char *path = loading->config->certificate;
	struct certificate_chain *chain = NULL;
	struct stat status;
	int fd = open_regular(loading, path, 0, &status);
	char *text = fd < 0 ? NULL : malloc(CERTIFICATE_FILE_MAX + 1);
	char why[384];
	size_t length;

	if (fd >= 0 && text == NULL)
		refuse(loading, "%s: out of memory", path);
	if (text != NULL && read_whole(loading, path, fd, text, CERTIFICATE_FILE_MAX, &length)) {
		chain = certificate_chain_parse((struct span){ text, length }, why, sizeof why);
		if (chain == NULL)
			refuse(loading, "%s: %s", path, why);
	}
	free(text);
	if (fd >= 0)
		close(fd);
	return chain;
}

static bool load_certificate(struct credential *credential, const struct loading *loading)
{
	struct certificate_chain *chain = read_chain(loading);
	bool ok;

	if (chain == NULL)
		return false;
	ok = is_valid_now(loading, chain) && has_spc(loading, chain);
	if (ok) {
		credential->not_before = certificate_chain_not_before(chain);
		credential->not_after = certificate_chain_not_after(chain);
		credential->checking = es256_key_new(X509_get0_pubkey(certificate_chain_at(chain, 0)));
		if (credential->checking == NULL)
			ok = refuse(loading, "%s: the end entity's public key cannot be used",
				loading->config->certificate);
	}
	certificate_chain_free(chain);
	return ok;
}

/* --- The private key --- */

static bool has_safe_owner_and_mode(const struct loading *loading, const struct stat *status)
{
	const char *path = loading->config->private_key;

	if ((status->st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return refuse(loading,
			"%s: mode %04o lets others than the owner at the key; want 0600 or 0400", path,
			status->st_mode & 07777);
	if (status->st_uid != 0 && status->st_uid != geteuid())
		return refuse(loading, "%s: belongs to user %u; want root or user %u", path, status->st_uid,
			geteuid());
	return true;
}

/* One block of the file. In secure memory, as everything on the key's way. */
struct pem_block {
	char *name;
	char *header;
	unsigned char *der;
	long length;
};

static bool next_block(BIO *bio, struct pem_block *block)
{
	return PEM_read_bio_ex(bio, &block->name, &block->header, &block->der, &block->length,
		       PEM_FLAG_SECURE | PEM_FLAG_EAY_COMPATIBLE) == 1;
}

static void block_clear(struct pem_block *block)
{
	OPENSSL_secure_free(block->name);
	OPENSSL_secure_free(block->header);
	OPENSSL_secure_clear_free(block->der, (size_t)block->length);
	*block = (struct pem_block){ NULL };
}

static bool is_end_of_blocks(void)
{
	unsigned long error = ERR_peek_last_error();

	return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

/* Whether this block holds a key that we may read; the name of a block is no secret. */
static bool is_plain_key(const struct loading *loading, const struct pem_block *block)
{
	const char *path = loading->config->private_key;

	if (strcmp(block->name, "ENCRYPTED PRIVATE KEY") == 0 || strstr(block->header, "ENCRYPTED") != NULL)
		return refuse(loading,
			"%s: the private key is encrypted, and nobody is there to give a passphrase; want it "
			"in the "
			"clear",
			path);
	if (strcmp(block->name, PEM_STRING_PKCS8INF) != 0 &&
		strcmp(block->name, PEM_STRING_ECPRIVATEKEY) != 0)
		return refuse(loading, "%s: holds a PEM block %.40s; want PRIVATE KEY or EC PRIVATE KEY",
			path, block->name);
	return true;
}

static EVP_PKEY *key_from_block(const struct loading *loading, const struct pem_block *block)
{
	const unsigned char *end = block->der;
	EVP_PKEY *key = NULL;

	if (!is_plain_key(loading, block))
		return NULL;
	key = d2i_AutoPrivateKey(NULL, &end, block->length);
	if (key == NULL || end != block->der + block->length) {
		refuse(loading, "%s: the private key is damaged", loading->config->private_key);
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

static void refuse_no_key(const struct loading *loading, bool parameters, struct span text)
{
	const char *path = loading->config->private_key;

	if (parameters)
		refuse(loading, "%s: holds EC PARAMETERS only; want a private key", path);
	else if (span_trim(text).length == 0)
		refuse(loading, "%s: is empty; want a private key in PEM", path);
	else
		refuse(loading, "%s: holds no private key in PEM", path);
}

/* Exactly one key; the parameters that "openssl ecparam -genkey" writes before it are passed over. */
static EVP_PKEY *parse_key(const struct loading *loading, struct span text)
{
	BIO *bio = BIO_new_mem_buf(text.at, (int)text.length);
	struct pem_block block = { NULL };
	EVP_PKEY *key = NULL;
	bool good = bio != NULL, parameters = false;

	while (good && next_block(bio, &block)) {
		if (strcmp(block.name, PEM_STRING_ECPARAMETERS) == 0) {
			parameters = true;
		} else if (key != NULL) {
			good = refuse(loading,
				"%s: holds a PEM block %.40s behind the private key; want the key alone",
				loading->config->private_key, block.name);
		} else {
			key = key_from_block(loading, &block);
			good = key != NULL;
		}
		block_clear(&block);
	}
	if (good && !is_end_of_blocks())
		good = refuse(loading, "%s: is cut off or damaged: no whole PEM block",
			loading->config->private_key);
	else if (good && key == NULL)
		refuse_no_key(loading, parameters, text);
	BIO_free(bio);
	if (good)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

/* ES256 (RFC 7518 section 3.4) wants P-256, RFC 5480 section 2.1.1 its name. */
static bool is_p256(const struct loading *loading, const EVP_PKEY *key)
{
	const char *path = loading->config->private_key;
	char group[40] = "?";
	int explicit_parameters = 0;

	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC)
		return refuse(loading, "%s: holds a key of the type %s; want EC on the curve P-256", path,
			OBJ_nid2sn(EVP_PKEY_get_base_id(key)));
	EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &explicit_parameters);
	if (explicit_parameters != 0)
		return refuse(loading,
			"%s: spells out the parameters of the curve; want the named curve P-256", path);
	if (EVP_PKEY_get_group_name(key, group, sizeof group, NULL) != 1 ||
		strcmp(group, SN_X9_62_prime256v1) != 0)
		return refuse(loading, "%s: holds a key on the curve %s; want P-256", path, group);
	return true;
}

static EVP_PKEY *read_key(const struct loading *loading)
{
	const char *path = loading->config->private_key;
	EVP_PKEY *key = NULL;
	struct stat status;
	int fd = open_regular(loading, path, O_NOFOLLOW, &status);
	char *text = fd < 0 ? NULL : OPENSSL_secure_malloc(KEY_FILE_MAX + 1);
	size_t length;

	if (fd >= 0 && text == NULL)
		refuse(loading, "%s: out of secure memory", path);
	if (text != NULL && has_safe_owner_and_mode(loading, &status) &&
		read_whole(loading, path, fd, text, KEY_FILE_MAX, &length)) {
		ERR_clear_error();
		key = parse_key(loading, (struct span){ text, length });
	}
	OPENSSL_secure_clear_free(text, KEY_FILE_MAX + 1);
	if (fd >= 0)
		close(fd);
	return key;
}

/* Comparing the public halves would trust the one that the key file names. A signature does not. */
static bool is_key_of_certificate(const struct credential *credential, const struct loading *loading)
{
	static const char trial[] = "trial";
	unsigned char signature[ES256_SIGNATURE_BYTES];

	if (!es256_sign(credential->signing, trial, sizeof trial, signature))
		return refuse(loading, "%s: no signature can be made with it", loading->config->private_key);
	if (!es256_verify(credential->checking, trial, sizeof trial, signature))
		return refuse(loading, "%s: is not the key of %s", loading->config->private_key,
			loading->config->certificate);
	return true;
}

static bool load_key(struct credential *credential, const struct loading *loading)
{
	const char *path = loading->config->private_key;
	EVP_PKEY *key;
	bool ok;

	if (strncmp(path, "pkcs11:", strlen("pkcs11:")) == 0)
		return refuse(loading, "%s: pkcs11 is not built yet; want a key file", path);
	key = read_key(loading);
	if (key == NULL)
		return false;
	ok = is_p256(loading, key);
	if (ok) {
		credential->signing = es256_key_new(key);
		if (credential->signing == NULL)
			ok = refuse(loading, "%s: the private key cannot be used", path);
	}
	EVP_PKEY_free(key);
	return ok && is_key_of_certificate(credential, loading);
}

/* --- The credential --- */

static bool make_header(struct credential *credential, const struct loading *loading)
{
	const char *x5u = loading->config->x5u;

	if (span_copy(credential->x5u, sizeof credential->x5u, span_of(x5u)) &&
		passport_shaken_header(credential->header, sizeof credential->header, x5u))
		return true;
	return refuse(loading, "x5u: has %zu characters; want %d at most", strlen(x5u), PASSPORT_X5U_MAX);
}

struct credential *credential_load(
	const struct credential_config *config, int64_t now, char *why, size_t why_size)
{
	struct loading loading = { config, now, why, why_size };
	struct credential *credential = calloc(1, sizeof *credential);
	bool ok = false;

	if (credential == NULL)
		refuse(&loading, "%s: out of memory", config->certificate);
	else
		ok = make_header(credential, &loading) && load_certificate(credential, &loading) &&
		     load_key(credential, &loading);
	ERR_clear_error();
	if (ok)
		return credential;
	credential_free(credential);
	return NULL;
}

void credential_free(struct credential *credential)
{
	if (credential == NULL)
		return;
	es256_key_free(credential->signing);
	es256_key_free(credential->checking);
	free(credential);
}

enum verdict credential_usable(const struct credential *credential, int64_t now)
{
	if (credential->stopped)
		return VERDICT_SELF_CHECK_FAILED;
	if (now < credential->not_before)
		return VERDICT_CERTIFICATE_NOT_YET_VALID;
	if (now > credential->not_after)
		return VERDICT_CERTIFICATE_EXPIRED;
	return VERDICT_SIGNED;
}

enum verdict credential_sign(struct credential *credential, const struct shaken_claims *claims, bool check,
	char *identity, size_t size, size_t *length)
{
	char token[PASSPORT_SIGNING_INPUT_MAX + 1 + BASE64URL_LENGTH(ES256_SIGNATURE_BYTES)];
	unsigned char signature[ES256_SIGNATURE_BYTES];
	size_t end;

	if (credential->stopped)
		return VERDICT_SELF_CHECK_FAILED;
	end = passport_signing_input(token, PASSPORT_SIGNING_INPUT_MAX, credential->header, claims);
	if (end == 0 || !es256_sign(credential->signing, token, end, signature))
		return VERDICT_SIGNER_FAILED;
	if (check && !es256_verify(credential->checking, token, end, signature)) {
		credential->stopped = true;
		return VERDICT_SELF_CHECK_FAILED;
	}
	token[end++] = '.';
	end += base64url_encode(token + end, signature, sizeof signature);
	*length = identity_header_write(identity, size, (struct span){ token, end }, credential->x5u);
	return *length == 0 ? VERDICT_SIGNER_FAILED : VERDICT_SIGNED;
}

int64_t credential_not_before(const struct credential *credential)
{
	return credential->not_before;
}

int64_t credential_not_after(const struct credential *credential)
{
	return credential->not_after;
}
