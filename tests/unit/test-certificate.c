#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "stirrup/certificate.h"
#include "test-pki.h"

static const struct pki_wish good = { .spc = "1234" };

struct fixture {
	struct pki *pki;
	EVP_PKEY *key;
	X509 *leaf;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	f->pki = pki_new();
	f->key = EVP_EC_gen("P-256");
	f->leaf = pki_leaf(f->pki, f->key, &good);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	X509_free(f->leaf);
	EVP_PKEY_free(f->key);
	pki_free(f->pki);
	free(f);
	return 0;
}

/* From a copy of exactly that size, so that a sanitizer sees any read beyond it. */
static struct certificate_chain *parse_bytes(const char *text, size_t length, char why[256])
{
	char *exact = malloc(length == 0 ? 1 : length);
	struct certificate_chain *chain;

	assert_non_null(exact);
	memcpy(exact, text, length);
	why[0] = '\0';
	chain = certificate_chain_parse((struct span){ exact, length }, why, 256);
	free(exact);
	assert_int_equal(chain == NULL, why[0] != '\0');
	assert_int_equal(ERR_peek_error(), 0);
	return chain;
}

static struct certificate_chain *parse(const char *text, char why[256])
{
	return parse_bytes(text, strlen(text), why);
}

static void expect_refused(const char *text, const char *wanted)
{
	char why[256];

	if (parse(text, why) != NULL)
		fail_msg("taken, want \"%s\"", wanted);
	assert_string_equal(why, wanted);
}

static struct certificate_chain *parse_chain(X509 *const *certificates, char why[256])
{
	char *text = pki_pem(certificates);
	struct certificate_chain *chain = parse(text, why);

	free(text);
	return chain;
}

static void expect_chain_refused(X509 *const *certificates, const char *wanted)
{
	char why[256];

	if (parse_chain(certificates, why) != NULL)
		fail_msg("taken, want \"%s\"", wanted);
	assert_string_equal(why, wanted);
}

static void expect_leaf_refused(
	struct fixture *f, const struct pki_wish *wish, EVP_PKEY *key, const char *wanted)
{
	X509 *leaf = pki_leaf(f->pki, key, wish);

	expect_chain_refused((X509 *const[]){ leaf, f->pki->intermediate, NULL }, wanted);
	X509_free(leaf);
}

static void test_reads_a_chain(void **state)
{
	struct fixture *f = *state;
	X509 *const whole[] = { f->leaf, f->pki->intermediate, f->pki->root, NULL };
	char why[256];

	for (size_t count = 1; count <= 3; count++) {
		X509 *part[4] = { NULL };
		struct certificate_chain *chain;

		memcpy(part, whole, count * sizeof *part);
		chain = parse_chain(part, why);
		if (chain == NULL)
			fail_msg("%zu: %s", count, why);
		assert_int_equal(certificate_chain_count(chain), count);
		for (size_t i = 0; i < count; i++)
			assert_int_equal(X509_cmp(certificate_chain_at(chain, i), whole[i]), 0);
		assert_true(tn_auth_list_has_spc(certificate_chain_tn_auth_list(chain), "1234"));
		certificate_chain_free(chain);
	}
}

static void test_is_valid_while_all_are(void **state)
{
	static const struct {
		int64_t leaf[2], intermediate[2], whole[2];
	} cases[] = {
		{ { 1000000, 2000000 }, { 500000, 3000000 }, { 1000000, 2000000 } },
		{ { 1000000, 2000000 }, { 1500000, 1600000 }, { 1500000, 1600000 } },
		{ { 1000000, 2000000 }, { 1500000, 3000000 }, { 1500000, 2000000 } },
		/* UTCTime ends with 2049, int32_t with 2038. */
		{ { 1, INT64_C(2240524800) }, { 2, INT64_C(3000000000) }, { 2, INT64_C(2240524800) } },
		{ { 1, INT64_C(253402300799) }, { 1, INT64_C(253402300799) }, { 1, INT64_C(253402300799) } },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct pki_wish leaf = {
			.spc = "1", .not_before = cases[i].leaf[0], .not_after = cases[i].leaf[1]
		};
		struct pki_wish ca = { .name = "CA",
			.ca = true,
			.not_before = cases[i].intermediate[0],
			.not_after = cases[i].intermediate[1] };
		X509 *issuer = pki_issue(f->pki->intermediate_key, f->pki->root, f->pki->root_key, &ca);
		X509 *certificate = pki_issue(f->key, issuer, f->pki->intermediate_key, &leaf);
		char why[256];
		struct certificate_chain *chain =
			parse_chain((X509 *const[]){ certificate, issuer, NULL }, why);

		assert_non_null(chain);
		assert_int_equal(certificate_chain_not_before(chain), cases[i].whole[0]);
		assert_int_equal(certificate_chain_not_after(chain), cases[i].whole[1]);
		certificate_chain_free(chain);
		X509_free(certificate);
		X509_free(issuer);
	}
}

static void test_allows_text_outside_the_blocks(void **state)
{
	struct fixture *f = *state;
	char *leaf = pki_pem((X509 *const[]){ f->leaf, NULL });
	char *issuer = pki_pem((X509 *const[]){ f->pki->intermediate, NULL });
	char *text = malloc(PKI_TEXT_MAX), why[256];
	struct certificate_chain *chain;

	snprintf(text, PKI_TEXT_MAX, "# ours\r\nsubject=CN = x\n%s\n\n  # issuer\n%s\n-- end --\n", leaf,
		issuer);
	chain = parse(text, why);
	assert_non_null(chain);
	assert_int_equal(certificate_chain_count(chain), 2);
	certificate_chain_free(chain);
	free(leaf);
	free(issuer);
	free(text);
}

static void test_refuses_what_is_no_list_of_certificates(void **state)
{
	struct fixture *f = *state;
	char *leaf = pki_pem((X509 *const[]){ f->leaf, NULL });
	char *key = pki_key_pem(f->key);
	char *text = malloc(PKI_TEXT_MAX), why[256];

	expect_refused("", "is empty; want certificates in PEM");
	expect_refused(" \r\n\t", "is empty; want certificates in PEM");
	expect_refused("nothing", "holds no certificate in PEM");
	assert_null(parse_bytes("\x30\x82\x01\x00\x00", 5, why));
	assert_string_equal(why, "holds no certificate in PEM");
	expect_refused(key, "holds a private key; want certificates only, as this file is published");
	snprintf(text, PKI_TEXT_MAX, "%s%s", leaf, key);
	expect_refused(text, "holds a private key; want certificates only, as this file is published");
	snprintf(text, PKI_TEXT_MAX, "%s# %s", leaf, key);
	expect_refused(text, "holds a private key; want certificates only, as this file is published");
	snprintf(text, PKI_TEXT_MAX, "%s-----BEGIN ENCRYPTED PRIVATE KEY-----", leaf);
	expect_refused(text, "holds a private key; want certificates only, as this file is published");
	snprintf(text, PKI_TEXT_MAX, "%s-----BEGIN TRUSTED CERTIFICATE-----\n", leaf);
	expect_refused(text, "holds a PEM block that is not a CERTIFICATE");
	snprintf(text, PKI_TEXT_MAX, "%s-----BEGIN", leaf);
	expect_refused(text, "holds a PEM block that is not a CERTIFICATE");
	snprintf(text, PKI_TEXT_MAX, "# %s", leaf);
	expect_refused(text, "certificate 1 does not begin on a line of its own");
	snprintf(text, PKI_TEXT_MAX, "%.*s%s", 200, leaf, leaf);
	expect_refused(text, "certificate 1 is cut off: it has no END line");
	snprintf(text, PKI_TEXT_MAX, "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n");
	expect_refused(text, "certificate 1 is damaged: no X.509 in PEM");
	snprintf(text, PKI_TEXT_MAX, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
	expect_refused(text, "certificate 1 is damaged: no X.509 in PEM");
	/* An encrypted block: nobody is asked for a passphrase. */
	snprintf(text, PKI_TEXT_MAX,
		"-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n%s",
		strchr(leaf, '\n') + 1);
	expect_refused(text, "certificate 1 is damaged: no X.509 in PEM");
	free(leaf);
	free(key);
	free(text);
}

static void test_refuses_too_much(void **state)
{
	struct fixture *f = *state;
	X509 *many[CERTIFICATE_CHAIN_MAX + 2] = { NULL };
	char *text = malloc(70000);

	for (size_t i = 0; i <= CERTIFICATE_CHAIN_MAX; i++)
		many[i] = f->pki->root;
	expect_chain_refused(many, "holds more than 8 certificates");
	memset(text, '#', 69999);
	text[69999] = '\0';
	expect_refused(text, "is longer than 65536 octets");
	free(text);
}

static void test_refuses_an_unfit_end_entity(void **state)
{
	struct fixture *f = *state;
	struct pki_wish none = { 0 };
	struct pki_wish ca = { .spc = "1234", .ca = true, .name = "CA" };
	struct pki_wish malformed = { .tn_auth_list = "DER:300613043735354a" };
	struct pki_wish twice = { .spc = "1234", .twice = true };

	expect_leaf_refused(f, &none, f->key, "the end entity has no TNAuthList (RFC 8226 section 9)");
	expect_leaf_refused(f, &twice, f->key, "the end entity has more than one TNAuthList");
	expect_leaf_refused(f, &malformed, f->key,
		"TNAuthList: an entry is not tagged [0], [1] or [2] (RFC 8226 section 9)");
	expect_leaf_refused(
		f, &ca, f->key, "the first certificate (/CN=CA) is a CA; want the end entity first");
}

static void test_refuses_a_malformed_extension(void **state)
{
	struct fixture *f = *state;
	X509 *leaf = X509_dup(f->leaf);

	pki_add_extension(leaf, NULL, "extendedKeyUsage", "DER:0500");
	assert_true(X509_sign(leaf, f->pki->intermediate_key, EVP_sha256()) > 0);
	expect_chain_refused((X509 *const[]){ leaf, f->pki->intermediate, NULL },
		"the end entity (/CN=SHAKEN) has a malformed extension");
	X509_free(leaf);
}

static void test_refuses_other_keys_than_p256(void **state)
{
	static const struct {
		const char *curve, *why;
	} cases[] = {
		{ "P-384", "the end entity's key is on the curve secp384r1; want P-256" },
		{ "P-521", "the end entity's key is on the curve secp521r1; want P-256" },
		{ "secp256k1", "the end entity's key is on the curve secp256k1; want P-256" },
	};
	struct fixture *f = *state;
	EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
	EVP_PKEY *ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		EVP_PKEY *key = EVP_EC_gen(cases[i].curve);

		expect_leaf_refused(f, &good, key, cases[i].why);
		EVP_PKEY_free(key);
	}
	expect_leaf_refused(
		f, &good, rsa, "the end entity's key is rsaEncryption; want EC on the curve P-256");
	expect_leaf_refused(f, &good, ed25519, "the end entity's key is ED25519; want EC on the curve P-256");
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ed25519);
}

/* What CVE-2020-0601 was made of: in the end entity and in an issuer. */
static void test_refuses_explicit_curve_parameters(void **state)
{
	struct fixture *f = *state;
	struct pki_wish ca = { .ca = true, .name = "CA" };
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *issuer, *leaf;

	assert_int_equal(EVP_PKEY_set_utf8_string_param(
				 key, OSSL_PKEY_PARAM_EC_ENCODING, OSSL_PKEY_EC_ENCODING_EXPLICIT),
		1);
	expect_leaf_refused(f, &good, key,
		"certificate 1: its key spells out the parameters of a curve; want a named curve (RFC 5480 "
		"section "
		"2.1.1)");
	issuer = pki_issue(key, f->pki->root, f->pki->root_key, &ca);
	leaf = pki_issue(f->key, issuer, key, &good);
	expect_chain_refused((X509 *const[]){ leaf, issuer, NULL },
		"certificate 2: its key spells out the parameters of a curve; want a named curve (RFC 5480 "
		"section "
		"2.1.1)");
	X509_free(leaf);
	X509_free(issuer);
	EVP_PKEY_free(key);
}

static void test_refuses_another_order(void **state)
{
	struct fixture *f = *state;
	X509 *leaf = f->leaf, *intermediate = f->pki->intermediate, *root = f->pki->root;

	expect_chain_refused((X509 *const[]){ intermediate, leaf, NULL },
		"the first certificate (/CN=STI-CA intermediate) is a CA; want the end entity first");
	expect_chain_refused((X509 *const[]){ leaf, root, intermediate, NULL },
		"certificate 2 (/CN=STI-CA root) did not issue certificate 1; want the end entity first, "
		"then each "
		"issuer");
	expect_chain_refused((X509 *const[]){ leaf, leaf, NULL },
		"certificate 2 (/CN=SHAKEN) did not issue certificate "
		"1; want the end entity first, then each issuer");
	expect_chain_refused((X509 *const[]){ leaf, intermediate, intermediate, NULL },
		"certificate 3 (/CN=STI-CA intermediate) did not issue certificate 2; want the end entity "
		"first, then "
		"each issuer");
}

/* Name and key identifier of the true issuer, the key of another. */
static void test_refuses_an_issuer_that_did_not_sign(void **state)
{
	struct fixture *f = *state;
	EVP_PKEY *other = EVP_EC_gen("P-256");
	X509 *leaf = pki_issue(f->key, f->pki->intermediate, other, &good);

	expect_chain_refused((X509 *const[]){ leaf, f->pki->intermediate, NULL },
		"certificate 2 (/CN=STI-CA intermediate) did not issue certificate 1; want the end entity "
		"first, "
		"then each issuer");
	X509_free(leaf);
	EVP_PKEY_free(other);
}

static void test_refuses_an_issuer_that_is_no_ca(void **state)
{
	struct fixture *f = *state;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *leaf = pki_issue(key, f->leaf, f->key, &good);

	expect_chain_refused((X509 *const[]){ leaf, f->leaf, f->pki->intermediate, NULL },
		"certificate 2 (/CN=SHAKEN) did not issue certificate 1; want the end entity first, then "
		"each issuer");
	X509_free(leaf);
	EVP_PKEY_free(key);
}

static void test_refuses_every_truncation(void **state)
{
	struct fixture *f = *state;
	char *text = pki_pem((X509 *const[]){ f->leaf, NULL }), why[256];
	size_t length = strlen(text) - 1; /* the last line needs no end */

	for (size_t cut = 0; cut < length; cut++)
		assert_null(parse_bytes(text, cut, why));
	certificate_chain_free(parse_bytes(text, length, why));
	free(text);
}

/* A chain or a reason, whatever became of the text. */
static void test_survives_changed_characters(void **state)
{
	static const char changes[] = { '\0', '\n', '-', 'A', '\xff' };
	struct fixture *f = *state;
	char *text = pki_pem((X509 *const[]){ f->leaf, f->pki->intermediate, NULL }), why[256];
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++) {
		char original = text[i];

		text[i] = changes[i % sizeof changes];
		certificate_chain_free(parse_bytes(text, length, why));
		text[i] = original;
	}
	free(text);
}

static void test_cuts_a_long_reason(void **state)
{
	char why[8];

	assert_null(certificate_chain_parse((struct span){ "x", 1 }, why, sizeof why));
	assert_string_equal(why, "holds n");
	assert_null(certificate_chain_parse((struct span){ NULL, 0 }, why, sizeof why));
	assert_string_equal(why, "is empt");
	certificate_chain_free(NULL);
}

/* --- Certificates in use, where they are at hand --- */

static char *read_text(const char *name)
{
	const char *shared = getenv("STIRRUP_SHARED");
	char path[512], *text = calloc(1, 8 << 20);
	FILE *file;

	if (shared == NULL) {
		free(text);
		skip();
	}
	snprintf(path, sizeof path, "%s/%s", shared, name);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, (8 << 20) - 1, file) > 0);
	fclose(file);
	return text;
}

static void test_agrees_with_published_certificates(void **state)
{
	static const char malformed[] = "TNAuthList: ";
	static const struct {
		const char *file, *spc, *why; /* why: how it begins */
	} cases[] = {
		{ "rfc9118-fig1.pem", "1234", NULL },
		{ "asterisk-spast1.pem", "1", NULL },
		{ "real-neustar-spc5.pem", "OFT01", NULL },
		{ "real-gbsd-badlen.pem", NULL, malformed },
		{ "real-telonium-untagged.pem", NULL, malformed },
		{ "libstirshaken-sp.pem", NULL, malformed },
		{ "asterisk-spast1-caexp.pem", NULL, malformed },
		{ "real-ctia-root.pem", NULL, "the first certificate (" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char name[128], why[256];
		struct certificate_chain *chain;
		char *text;

		snprintf(name, sizeof name, "vectors/certs/%s", cases[i].file);
		text = read_text(name);
		chain = parse(text, why);
		free(text);
		if (cases[i].spc != NULL && chain == NULL)
			fail_msg("%s: %s", cases[i].file, why);
		if (cases[i].spc == NULL && strncmp(why, cases[i].why, strlen(cases[i].why)) != 0)
			fail_msg("%s: %s", cases[i].file, why);
		if (chain != NULL)
			assert_true(
				tn_auth_list_has_spc(certificate_chain_tn_auth_list(chain), cases[i].spc));
		certificate_chain_free(chain);
	}
}

static void test_takes_real_chains(void **state)
{
	static const char *const names[] = { "martini", "netnumber", "tmobile" };

	if (getenv("STIRRUP_SHARED") == NULL)
		skip();
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char *whole = calloc(1, PKI_TEXT_MAX), why[256];
		struct certificate_chain *chain;

		for (int part = 0; part < 3; part++) {
			char name[128], *text;

			snprintf(name, sizeof name, "vectors/certs/real-%s-%d.pem", names[i], part);
			text = read_text(name);
			strcat(whole, text);
			free(text);
		}
		chain = parse(whole, why);
		if (chain == NULL)
			fail_msg("%s: %s", names[i], why);
		assert_int_equal(certificate_chain_count(chain), 3);
		certificate_chain_free(chain);
		free(whole);
	}
}

/* By what the refusals of all real certificates begin with. */
static void test_agrees_with_certificates_in_use(void **state)
{
	char *text = read_text("corpus/leaf.tsv");
	size_t good_ones = 0, other_keys = 0, malformed = 0;

	for (char *line = strchr(text, '\n') + 1; *line != '\0';) {
		char *end = line + strcspn(line, "\n"), *base64, pem[16384], why[256];
		size_t length = 0;
		struct certificate_chain *chain;

		*end = '\0';
		base64 = strrchr(line, '\t') + 1;
		length = (size_t)snprintf(pem, sizeof pem, "-----BEGIN CERTIFICATE-----\n");
		for (; *base64 != '\0'; base64 += strnlen(base64, 64))
			length += (size_t)snprintf(pem + length, sizeof pem - length, "%.64s\n", base64);
		snprintf(pem + length, sizeof pem - length, "-----END CERTIFICATE-----\n");
		chain = parse(pem, why);
		if (chain != NULL)
			good_ones++;
		else if (strncmp(why, "the end entity's key", 20) == 0)
			other_keys++;
		else if (strncmp(why, "TNAuthList: ", 12) == 0)
			malformed++;
		else
			print_message("%.64s: %s\n", line, why);
		certificate_chain_free(chain);
		line = end + 1;
	}
	free(text);
	print_message("%zu taken, %zu with another key, %zu with a malformed TNAuthList\n", good_ones,
		other_keys, malformed);
	assert_true(good_ones > 1590);
	assert_true(malformed <= 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_a_chain),
		cmocka_unit_test(test_is_valid_while_all_are),
		cmocka_unit_test(test_allows_text_outside_the_blocks),
		cmocka_unit_test(test_refuses_what_is_no_list_of_certificates),
		cmocka_unit_test(test_refuses_too_much),
		cmocka_unit_test(test_refuses_an_unfit_end_entity),
		cmocka_unit_test(test_refuses_a_malformed_extension),
		cmocka_unit_test(test_refuses_other_keys_than_p256),
		cmocka_unit_test(test_refuses_explicit_curve_parameters),
		cmocka_unit_test(test_refuses_another_order),
		cmocka_unit_test(test_refuses_an_issuer_that_did_not_sign),
		cmocka_unit_test(test_refuses_an_issuer_that_is_no_ca),
		cmocka_unit_test(test_refuses_every_truncation),
		cmocka_unit_test(test_survives_changed_characters),
		cmocka_unit_test(test_cuts_a_long_reason),
		cmocka_unit_test(test_agrees_with_published_certificates),
		cmocka_unit_test(test_takes_real_chains),
		cmocka_unit_test(test_agrees_with_certificates_in_use),
	};

	return cmocka_run_group_tests_name("certificate", tests, setup, teardown);
}
