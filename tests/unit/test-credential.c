#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "stirrup/credential.h"
#include "signed-identity.h"
#include "test-pki.h"

#define X5U "https://certs.example.net/alpha.pem"

/* Linked with --wrap=es256_verify: signatures that fail although the key is the right one, as after a fault
 * of the memory. */
bool __real_es256_verify(struct es256_key *key, const void *data, size_t length,
	const unsigned char signature[ES256_SIGNATURE_BYTES]);
bool __wrap_es256_verify(struct es256_key *key, const void *data, size_t length,
	const unsigned char signature[ES256_SIGNATURE_BYTES]);
static bool signatures_are_bad;

bool __wrap_es256_verify(struct es256_key *key, const void *data, size_t length,
	const unsigned char signature[ES256_SIGNATURE_BYTES])
{
	return !signatures_are_bad && __real_es256_verify(key, data, length, signature);
}

static const struct shaken_claims claims = {
	.attest = 'A',
	.orig = { "12155551212" },
	.dest_tn = { "12155551213" },
	.iat = 1443208345,
	.origid = "123e4567-e89b-12d3-a456-426655440000",
};

struct fixture {
	struct pki *pki;
	X509 *leaf;
	char certificate[PKI_PATH_SIZE];
	char key[PKI_PATH_SIZE];
	struct credential_config config;
};

static int setup(void **state)
{
	static const struct pki_wish wish = { .spc = "1234" };
	static char name[] = "alpha", x5u[] = X5U, spc[] = "1234";
	struct fixture *f = calloc(1, sizeof *f);

	f->pki = pki_new();
	f->leaf = pki_credential(f->pki, "alpha", &wish);
	pki_path(f->pki, f->certificate, "alpha.pem");
	pki_path(f->pki, f->key, "alpha.key");
	f->config = (struct credential_config){
		.name = name, .certificate = f->certificate, .private_key = f->key, .x5u = x5u, .spc = spc
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	X509_free(f->leaf);
	pki_free(f->pki);
	free(f);
	return 0;
}

static struct credential *load_at(struct fixture *f, int64_t now, char why[512])
{
	struct credential *credential;

	why[0] = '\0';
	credential = credential_load(&f->config, now, why, 512);
	assert_int_equal(credential == NULL, why[0] != '\0');
	assert_int_equal(ERR_peek_error(), 0);
	return credential;
}

static struct credential *load(struct fixture *f)
{
	char why[512];
	struct credential *credential = load_at(f, time(NULL), why);

	if (credential == NULL)
		fail_msg("%s", why);
	return credential;
}

/* wanted: how the reason goes on after the name of the file. */
static void expect_refused_at(struct fixture *f, int64_t now, const char *path, const char *wanted)
{
	char why[512], whole[512];

	snprintf(whole, sizeof whole, "%s: %s", path, wanted);
	if (load_at(f, now, why) != NULL)
		fail_msg("taken, want \"%s\"", whole);
	assert_string_equal(why, whole);
}

static void expect_key_refused(struct fixture *f, const char *wanted)
{
	expect_refused_at(f, time(NULL), f->key, wanted);
}

static void expect_certificate_refused(struct fixture *f, const char *wanted)
{
	expect_refused_at(f, time(NULL), f->certificate, wanted);
}

static void expect_key_text_refused(struct fixture *f, const char *text, const char *wanted)
{
	pki_write(f->pki, "alpha.key", text, 0600);
	expect_key_refused(f, wanted);
}

static char *file_text(const char *path)
{
	char *text = calloc(1, PKI_TEXT_MAX);
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, PKI_TEXT_MAX - 1, file) > 0);
	fclose(file);
	return text;
}

static void test_signs_what_verifies_with_its_certificate(void **state)
{
	struct fixture *f = *state;
	struct credential *credential = load(f);

	for (int check = 0; check < 2; check++) {
		char identity[IDENTITY_HEADER_MAX];
		size_t length = 0;
		struct passport *passport;

		assert_int_equal(
			credential_sign(credential, &claims, check == 1, identity, sizeof identity, &length),
			VERDICT_SIGNED);
		passport = signed_identity((struct span){ identity, length }, f->leaf);
		assert_non_null(passport);
		assert_string_equal(passport_ppt(passport), "shaken");
		assert_string_equal(passport_x5u(passport), X5U);
		assert_int_equal(passport_attest(passport), 'A');
		assert_int_equal(passport_iat(passport), claims.iat);
		assert_string_equal(passport_orig_tn(passport), "12155551212");
		assert_int_equal(passport_dest_tns(passport), 1);
		assert_string_equal(passport_dest_tn(passport, 0), "12155551213");
		assert_string_equal(passport_origid(passport), claims.origid);
		passport_free(passport);
	}
	credential_free(credential);
}

static void test_signs_nothing_else(void **state)
{
	struct fixture *f = *state;
	struct credential *credential = load(f);
	struct shaken_claims bad = claims;
	char identity[IDENTITY_HEADER_MAX];
	size_t length;

	bad.orig.digits[0] = '\0';
	assert_int_equal(credential_sign(credential, &bad, false, identity, sizeof identity, &length),
		VERDICT_SIGNER_FAILED);
	bad = claims;
	bad.attest = 'D';
	assert_int_equal(credential_sign(credential, &bad, false, identity, sizeof identity, &length),
		VERDICT_SIGNER_FAILED);
	assert_int_equal(
		credential_sign(credential, &claims, false, identity, 100, &length), VERDICT_SIGNER_FAILED);
	assert_int_equal(credential_sign(credential, &claims, true, identity, sizeof identity, &length),
		VERDICT_SIGNED);
	credential_free(credential);
}

static void test_stops_when_its_signature_does_not_verify(void **state)
{
	struct fixture *f = *state;
	struct credential *credential = load(f);
	int64_t now = time(NULL);
	char identity[IDENTITY_HEADER_MAX];
	size_t length;

	assert_int_equal(credential_usable(credential, now), VERDICT_SIGNED);
	signatures_are_bad = true;
	assert_int_equal(credential_sign(credential, &claims, false, identity, sizeof identity, &length),
		VERDICT_SIGNED);
	assert_int_equal(credential_sign(credential, &claims, true, identity, sizeof identity, &length),
		VERDICT_SELF_CHECK_FAILED);
	signatures_are_bad = false;
	assert_int_equal(credential_usable(credential, now), VERDICT_SELF_CHECK_FAILED);
	assert_int_equal(credential_sign(credential, &claims, false, identity, sizeof identity, &length),
		VERDICT_SELF_CHECK_FAILED);
	credential_free(credential);
}

static void test_is_usable_while_valid(void **state)
{
	struct fixture *f = *state;
	struct pki_wish wish = { .spc = "1234", .not_before = 1500000000, .not_after = 1600000000 };
	struct pki_wish ca = {
		.name = "CA", .ca = true, .not_before = 1000000000, .not_after = INT64_C(4102444800)
	};
	struct credential *credential;
	char why[512];

	X509_free(f->pki->intermediate);
	f->pki->intermediate = pki_issue(f->pki->intermediate_key, f->pki->root, f->pki->root_key, &ca);
	X509_free(f->leaf);
	f->leaf = pki_credential(f->pki, "alpha", &wish);
	credential = load_at(f, 1500000000, why);
	assert_non_null(credential);
	assert_int_equal(credential_not_after(credential), 1600000000);
	assert_int_equal(credential_usable(credential, 1499999999), VERDICT_CERTIFICATE_NOT_YET_VALID);
	assert_int_equal(credential_usable(credential, 1500000000), VERDICT_SIGNED);
	assert_int_equal(credential_usable(credential, 1600000000), VERDICT_SIGNED);
	assert_int_equal(credential_usable(credential, 1600000001), VERDICT_CERTIFICATE_EXPIRED);
	credential_free(credential);

	expect_refused_at(f, 1499999999, f->certificate,
		"is not valid before 2017-07-14T02:40:00Z (now: 2017-07-14T02:39:59Z)");
	expect_refused_at(
		f, 1600000001, f->certificate, "expired at 2020-09-13T12:26:40Z (now: 2020-09-13T12:26:41Z)");
}

static void test_refuses_a_key_file_that_others_may_touch(void **state)
{
	static const struct {
		mode_t mode;
		const char *why;
	} cases[] = {
		{ 0644, "mode 0644 lets others than the owner at the key; want 0600 or 0400" },
		{ 0640, "mode 0640 lets others than the owner at the key; want 0600 or 0400" },
		{ 0620, "mode 0620 lets others than the owner at the key; want 0600 or 0400" },
		{ 0601, "mode 0601 lets others than the owner at the key; want 0600 or 0400" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(chmod(f->key, cases[i].mode), 0);
		expect_key_refused(f, cases[i].why);
	}
	assert_int_equal(chmod(f->key, 0400), 0);
	credential_free(load(f));
}

static void test_refuses_a_key_file_of_another_user(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(f->key, 12345, 0), 0);
	expect_key_refused(f, "belongs to user 12345; want root or user 0");
}

static void test_refuses_what_is_no_key_file(void **state)
{
	struct fixture *f = *state;
	char elsewhere[PKI_PATH_SIZE], device[] = "/dev/null", token[] = "pkcs11:token=hsm;object=alpha";

	pki_path(f->pki, elsewhere, "elsewhere");
	assert_int_equal(rename(f->key, elsewhere), 0);
	expect_key_refused(f, "cannot be opened: No such file or directory");
	assert_int_equal(symlink(elsewhere, f->key), 0);
	expect_key_refused(f, "is a symbolic link; want the key file itself");
	assert_int_equal(unlink(f->key), 0);
	assert_int_equal(mkdir(f->key, 0700), 0);
	expect_key_refused(f, "is a directory; want a file");
	assert_int_equal(rmdir(f->key), 0);
	assert_int_equal(mkfifo(f->key, 0600), 0);
	expect_key_refused(f, "is not a regular file");
	f->config.private_key = device;
	expect_refused_at(f, time(NULL), "/dev/null", "is not a regular file");
	f->config.private_key = token;
	expect_refused_at(f, time(NULL), f->config.private_key, "pkcs11 is not built yet; want a key file");
}

static void test_refuses_what_holds_no_key(void **state)
{
	static const char end_of_nothing[] = "holds no private key in PEM";
	struct fixture *f = *state;
	char *certificate = file_text(f->certificate);
	char *text = calloc(1, PKI_TEXT_MAX);

	expect_key_text_refused(f, "", "is empty; want a private key in PEM");
	expect_key_text_refused(f, "\n\n", "is empty; want a private key in PEM");
	expect_key_text_refused(f, "secret\n", end_of_nothing);
	expect_key_text_refused(
		f, certificate, "holds a PEM block CERTIFICATE; want PRIVATE KEY or EC PRIVATE KEY");
	expect_key_text_refused(f,
		"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n",
		"holds EC PARAMETERS only; want a private key");
	expect_key_text_refused(f, "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
		"the private key is damaged");
	expect_key_text_refused(f, "-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n",
		"holds a PEM block RSA PRIVATE KEY; want PRIVATE KEY or EC PRIVATE KEY");
	memset(text, '\n', 20000);
	expect_key_text_refused(f, text, "is longer than 16384 octets");
	free(text);
	free(certificate);
}

static void test_refuses_a_key_that_is_not_alone(void **state)
{
	struct fixture *f = *state;
	char *certificate = file_text(f->certificate), *key = file_text(f->key);
	char *text = malloc(PKI_TEXT_MAX);

	snprintf(text, PKI_TEXT_MAX, "%s%s", key, certificate);
	expect_key_text_refused(
		f, text, "holds a PEM block CERTIFICATE behind the private key; want the key alone");
	snprintf(text, PKI_TEXT_MAX, "%s%s", key, key);
	expect_key_text_refused(
		f, text, "holds a PEM block PRIVATE KEY behind the private key; want the key alone");
	free(certificate);
	free(key);
	free(text);
}

static void test_refuses_an_encrypted_key(void **state)
{
	static const char why[] = "the private key is encrypted, and nobody is there to give a passphrase; "
				  "want it in the clear";
	struct fixture *f = *state;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	char *text, *renamed;

	assert_int_equal(
		PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_128_cbc(), "pass", 4, NULL, NULL), 1);
	text = pki_text_of(bio);
	expect_key_text_refused(f, text, why);

	/* The same under the name of an open one: still nobody is asked. */
	renamed = calloc(1, strlen(text) + 1);
	for (char *from = text, *to = renamed; *from != '\0';) {
		from += strncmp(from, "ENCRYPTED ", 10) == 0 ? 10 : 0;
		*to++ = *from++;
	}
	expect_key_text_refused(f, renamed, "the private key is damaged");
	free(renamed);
	free(text);

	bio = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_PrivateKey_traditional(
				 bio, key, EVP_aes_128_cbc(), (unsigned char *)"pass", 4, NULL, NULL),
		1);
	text = pki_text_of(bio);
	assert_non_null(strstr(text, "Proc-Type: 4,ENCRYPTED"));
	expect_key_text_refused(f, text, why);
	free(text);
	EVP_PKEY_free(key);
}

static void test_takes_both_ways_to_write_a_key(void **state)
{
	struct fixture *f = *state;
	char *text = file_text(f->key), *with_parameters = malloc(PKI_TEXT_MAX);
	BIO *bio = BIO_new_mem_buf(text, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

	BIO_free(bio);
	free(text);
	bio = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	text = pki_text_of(bio);
	assert_non_null(strstr(text, "BEGIN EC PRIVATE KEY"));
	pki_write(f->pki, "alpha.key", text, 0600);
	credential_free(load(f));

	snprintf(with_parameters, PKI_TEXT_MAX,
		"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n%s", text);
	pki_write(f->pki, "alpha.key", with_parameters, 0600);
	credential_free(load(f));
	free(with_parameters);
	free(text);
	EVP_PKEY_free(key);
}

static void test_refuses_other_keys_than_p256(void **state)
{
	struct fixture *f = *state;
	EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
	EVP_PKEY *p384 = EVP_EC_gen("P-384");
	EVP_PKEY *explicit = EVP_EC_gen("P-256");
	char *text = pki_key_pem(rsa);

	expect_key_text_refused(f, text, "holds a key of the type rsaEncryption; want EC on the curve P-256");
	free(text);
	text = pki_key_pem(p384);
	expect_key_text_refused(f, text, "holds a key on the curve secp384r1; want P-256");
	free(text);
	assert_int_equal(EVP_PKEY_set_utf8_string_param(
				 explicit, OSSL_PKEY_PARAM_EC_ENCODING, OSSL_PKEY_EC_ENCODING_EXPLICIT),
		1);
	text = pki_key_pem(explicit);
	expect_key_text_refused(
		f, text, "spells out the parameters of the curve; want the named curve P-256");
	free(text);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(p384);
	EVP_PKEY_free(explicit);
}

static void test_refuses_the_key_of_another_certificate(void **state)
{
	struct fixture *f = *state;
	EVP_PKEY *other = EVP_EC_gen("P-256");
	char *text = pki_key_pem(other), wanted[256];

	snprintf(wanted, sizeof wanted, "is not the key of %s", f->certificate);
	expect_key_text_refused(f, text, wanted);
	free(text);
	EVP_PKEY_free(other);
}

/* The public half in the key file is the certificate's, the private half is not. */
static void test_refuses_a_key_with_a_borrowed_public_half(void **state)
{
	struct fixture *f = *state;
	char *text = file_text(f->key), wanted[256];
	BIO *bio = BIO_new_mem_buf(text, -1);
	EVP_PKEY *own = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL), *other = EVP_EC_gen("P-256");
	unsigned char *own_der = NULL, *other_der = NULL;
	int own_length = i2d_PrivateKey(own, &own_der), other_length = i2d_PrivateKey(other, &other_der);

	BIO_free(bio);
	free(text);
	/* RFC 5915: the public point is the last thing in it. */
	assert_int_equal(own_length, other_length);
	memcpy(other_der + other_length - 64, own_der + own_length - 64, 64);
	bio = BIO_new(BIO_s_mem());
	assert_true(PEM_write_bio(bio, "EC PRIVATE KEY", "", other_der, other_length) > 0);
	text = pki_text_of(bio);
	snprintf(wanted, sizeof wanted, "is not the key of %s", f->certificate);
	expect_key_text_refused(f, text, wanted);
	free(text);
	OPENSSL_free(own_der);
	OPENSSL_free(other_der);
	EVP_PKEY_free(own);
	EVP_PKEY_free(other);
}

static void test_refuses_every_truncation_of_the_key(void **state)
{
	struct fixture *f = *state;
	char *text = file_text(f->key), why[512];

	for (size_t length = strlen(text) - 2; length > 0; length -= length > 7 ? 7 : length) {
		text[length] = '\0';
		pki_write(f->pki, "alpha.key", text, 0600);
		if (load_at(f, time(NULL), why) != NULL)
			fail_msg("took %zu octets", length);
		assert_non_null(strstr(why, "alpha.key: "));
	}
	free(text);
}

static void test_refuses_an_unfit_certificate_file(void **state)
{
	struct fixture *f = *state;
	char *certificate = file_text(f->certificate), *key = file_text(f->key);
	char *text = calloc(1, PKI_TEXT_MAX);

	snprintf(text, PKI_TEXT_MAX, "%s%s", certificate, key);
	pki_write(f->pki, "alpha.pem", text, 0600);
	expect_certificate_refused(
		f, "holds a private key; want certificates only, as this file is published");
	pki_write(f->pki, "alpha.pem", "", 0644);
	expect_certificate_refused(f, "is empty; want certificates in PEM");
	memset(text, '#', 70000);
	pki_write(f->pki, "alpha.pem", text, 0644);
	expect_certificate_refused(f, "is longer than 65536 octets");
	assert_int_equal(unlink(f->certificate), 0);
	expect_certificate_refused(f, "cannot be opened: No such file or directory");
	assert_int_equal(mkdir(f->certificate, 0700), 0);
	expect_certificate_refused(f, "is a directory; want a file");
	free(certificate);
	free(key);
	free(text);
}

/* As tools that renew certificates leave it. */
static void test_follows_a_link_to_the_certificate(void **state)
{
	struct fixture *f = *state;
	char elsewhere[PKI_PATH_SIZE];

	pki_path(f->pki, elsewhere, "elsewhere");
	assert_int_equal(rename(f->certificate, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, f->certificate), 0);
	credential_free(load(f));
}

static void test_wants_the_configured_service_provider_code(void **state)
{
	struct fixture *f = *state;
	struct pki_wish number = { .tn_auth_list = "DER:300fa20d160b3132313235353531383234" };
	struct pki_wish none = { 0 };
	char spc[] = "9999";

	f->config.spc = spc;
	expect_certificate_refused(f, "its TNAuthList has the service provider code 1234; want 9999");
	X509_free(f->leaf);
	f->leaf = pki_credential(f->pki, "alpha", &number);
	expect_certificate_refused(f, "its TNAuthList has no service provider code; want 9999");
	X509_free(f->leaf);
	f->leaf = pki_credential(f->pki, "alpha", &none);
	expect_certificate_refused(f, "the end entity has no TNAuthList (RFC 8226 section 9)");
}

static void test_bounds_the_x5u(void **state)
{
	struct fixture *f = *state;
	char x5u[PASSPORT_X5U_MAX + 2] = "https://certs.example.net/", identity[IDENTITY_HEADER_MAX];
	struct shaken_claims longest = claims;
	struct credential *credential;
	size_t length = strlen(x5u);

	memset(x5u + length, 'a', PASSPORT_X5U_MAX + 1 - length);
	f->config.x5u = x5u;
	expect_refused_at(f, time(NULL), "x5u", "has 513 characters; want 512 at most");
	x5u[PASSPORT_X5U_MAX] = '\0';
	credential = load(f);
	memset(longest.orig.digits, '7', TN_MAX);
	memset(longest.dest_tn.digits, '7', TN_MAX);
	longest.iat = INT64_C(253402300799);
	assert_int_equal(credential_sign(credential, &longest, true, identity, sizeof identity, &length),
		VERDICT_SIGNED);
	credential_free(credential);
}

static void test_frees_nothing(void **state)
{
	credential_free(NULL);
}

#define with_files(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_files(test_signs_what_verifies_with_its_certificate),
		with_files(test_signs_nothing_else),
		with_files(test_stops_when_its_signature_does_not_verify),
		with_files(test_is_usable_while_valid),
		with_files(test_refuses_a_key_file_that_others_may_touch),
		with_files(test_refuses_a_key_file_of_another_user),
		with_files(test_refuses_what_is_no_key_file),
		with_files(test_refuses_what_holds_no_key),
		with_files(test_refuses_a_key_that_is_not_alone),
		with_files(test_refuses_an_encrypted_key),
		with_files(test_takes_both_ways_to_write_a_key),
		with_files(test_refuses_other_keys_than_p256),
		with_files(test_refuses_the_key_of_another_certificate),
		with_files(test_refuses_a_key_with_a_borrowed_public_half),
		with_files(test_refuses_every_truncation_of_the_key),
		with_files(test_refuses_an_unfit_certificate_file),
		with_files(test_follows_a_link_to_the_certificate),
		with_files(test_wants_the_configured_service_provider_code),
		with_files(test_bounds_the_x5u),
		cmocka_unit_test(test_frees_nothing),
	};

	/* As the signer has it. */
	CRYPTO_secure_malloc_init(1 << 18, 32);
	return cmocka_run_group_tests_name("credential", tests, NULL, NULL);
}
