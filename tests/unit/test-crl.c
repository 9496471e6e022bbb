#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "stirrup/crl.h"
#include "stirrup/trust.h"
#include "trust-lab.h"

#define GRACE 3600

/* The STI-CA and, apart from it, the STI-PA: the root of the one has nothing to do with the root of the
 * other. */
struct fixture {
	struct lab_made root, intermediate, leaf, other_leaf;
	struct lab_made pa_root, pa_signer;
	struct lab_made pretender; /* the signer's name, under no root of the STI-PA */
	char *anchors, *delivered, *other, *pa_roots, *signer_chain;
};

static char *pem_of(X509 *first, X509 *second)
{
	return pki_pem((X509 *const[]){ first, second, NULL });
}

/* cRLIssuer is the signer's name: DER of the extension made from its parts. */
static X509_EXTENSION *crl_point(const char *url, const X509_NAME *issuer)
{
	CRL_DIST_POINTS *points = sk_DIST_POINT_new_null();
	DIST_POINT *point = DIST_POINT_new();
	GENERAL_NAME *name = GENERAL_NAME_new();
	X509_EXTENSION *extension;

	if (url != NULL) {
		ASN1_IA5STRING *uri = ASN1_IA5STRING_new();
		GENERAL_NAME *location = GENERAL_NAME_new();

		ASN1_STRING_set(uri, url, -1);
		GENERAL_NAME_set0_value(location, GEN_URI, uri);
		point->distpoint = DIST_POINT_NAME_new();
		point->distpoint->type = 0;
		point->distpoint->name.fullname = sk_GENERAL_NAME_new_null();
		sk_GENERAL_NAME_push(point->distpoint->name.fullname, location);
	}
	if (issuer != NULL) {
		GENERAL_NAME_set0_value(name, GEN_DIRNAME, X509_NAME_dup(issuer));
		point->CRLissuer = sk_GENERAL_NAME_new_null();
		sk_GENERAL_NAME_push(point->CRLissuer, name);
	} else {
		GENERAL_NAME_free(name);
	}
	sk_DIST_POINT_push(points, point);
	extension = X509V3_EXT_i2d(NID_crl_distribution_points, 0, points);
	CRL_DIST_POINTS_free(points);
	return extension;
}

static void set_point(struct fixture *f, struct lab_made *leaf, const char *url, const X509_NAME *issuer)
{
	X509_EXTENSION *extension = crl_point(url, issuer);
	int at = X509_get_ext_by_NID(leaf->certificate, NID_crl_distribution_points, -1);

	if (at >= 0)
		X509_EXTENSION_free(X509_delete_ext(leaf->certificate, at));
	X509_add_ext(leaf->certificate, extension, -1);
	X509_EXTENSION_free(extension);
	lab_sign(leaf->certificate, f->intermediate.key, NULL);
}

static int setup(void **state)
{
	static const struct lab_recipe root = { .subject = "O=Lab/CN=STI-CA root", .extensions = { LAB_CA } };
	static const struct lab_recipe intermediate = { .subject = "O=Lab/CN=STI-CA",
		.extensions = { LAB_CA } };
	static const struct lab_recipe leaf = { .subject = "C=US/O=Lab/CN=SHAKEN 1234",
		.extensions = { LAB_END, LAB_1234 } };
	static const struct lab_recipe pa_root = { .subject = "O=STI-PA/CN=root", .extensions = { LAB_CA } };
	static const struct lab_recipe signer = { .subject = "O=STI-PA/CN=CRL signer",
		.extensions = {
			{ "basicConstraints", "critical,CA:false" }, { "keyUsage", "critical,cRLSign" } } };
	struct fixture *f = calloc(1, sizeof *f);
	const X509_NAME *pa;

	f->root = lab_issue(&root, NULL);
	f->intermediate = lab_issue(&intermediate, &f->root);
	f->leaf = lab_issue(&leaf, &f->intermediate);
	f->other_leaf = lab_issue(&leaf, &f->intermediate);
	f->pa_root = lab_issue(&pa_root, NULL);
	f->pa_signer = lab_issue(&signer, &f->pa_root);
	f->pretender = lab_issue(&signer, &f->root);
	pa = X509_get_subject_name(f->pa_signer.certificate);
	set_point(f, &f->leaf, LAB_CRL_URL, pa);
	set_point(f, &f->other_leaf, LAB_CRL_URL, pa);
	f->anchors = pem_of(f->root.certificate, NULL);
	f->delivered = pem_of(f->leaf.certificate, f->intermediate.certificate);
	f->other = pem_of(f->other_leaf.certificate, f->intermediate.certificate);
	f->pa_roots = pem_of(f->pa_root.certificate, NULL);
	f->signer_chain = pem_of(f->pa_signer.certificate, NULL);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct lab_made *all[] = { &f->root, &f->intermediate, &f->leaf, &f->other_leaf, &f->pa_root,
		&f->pa_signer, &f->pretender };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		lab_discard(all[i]);
	free(f->anchors);
	free(f->delivered);
	free(f->other);
	free(f->pa_roots);
	free(f->signer_chain);
	free(f);
	return 0;
}

/* --- Helpers --- */

static char *der_of(X509_CRL *list, size_t *length)
{
	unsigned char *der = NULL;
	int octets = i2d_X509_CRL(list, &der);
	char *copy = malloc((size_t)octets);

	assert_true(octets > 0);
	assert_non_null(copy);
	memcpy(copy, der, (size_t)octets);
	*length = (size_t)octets;
	OPENSSL_free(der);
	return copy;
}

static struct trust *new_trust(const struct fixture *f)
{
	struct trust *trust = trust_new();
	char why[200];

	assert_non_null(trust);
	assert_true(trust_add_anchors(trust, span_of(f->anchors), why, sizeof why));
	return trust;
}

static bool set_at(const struct fixture *f, struct trust *trust, const struct lab_crl *wish,
	const struct lab_made *signer, const char *chain, int64_t now, char why[200])
{
	X509_CRL *list = lab_crl(wish, signer);
	size_t length;
	char *der = der_of(list, &length);
	bool ok;

	why[0] = '\0';
	ok = trust_set_crl(trust, (struct span){ der, length }, span_of(chain), span_of(f->pa_roots), now,
		GRACE, why, 200);
	assert_int_equal(ERR_peek_error(), 0);
	X509_CRL_free(list);
	free(der);
	return ok;
}

static void expect_set(const struct fixture *f, struct trust *trust, const struct lab_crl *wish)
{
	char why[200];

	if (!set_at(f, trust, wish, &f->pa_signer, f->signer_chain, LAB_NOW, why))
		fail_msg("refused: %s", why);
}

static void expect_unset(
	const struct fixture *f, struct trust *trust, const struct lab_crl *wish, const char *wanted)
{
	char why[200];

	if (set_at(f, trust, wish, &f->pa_signer, f->signer_chain, LAB_NOW, why))
		fail_msg("taken; want \"%s\"", wanted);
	assert_string_equal(why, wanted);
}

static void expect_at(const struct trust *trust, const char *delivered, int64_t now, enum verdict verdict,
	const char *detail)
{
	static const struct trust_options options = { .crl_grace_s = GRACE };
	struct certificate_facts facts;

	trust_judge(trust, span_of(delivered), &options, now, &facts);
	assert_string_equal(verdict_word(facts.verdict), verdict_word(verdict));
	if (strncmp(facts.detail, detail, strlen(detail)) != 0)
		fail_msg("\"%s\"; want \"%s\"", facts.detail, detail);
}

static const char revoked_leaf[] = "on the STI-PA's CRL: /C=US/O=Lab/CN=SHAKEN 1234";
static const char not_revoked[] = "not revoked; trusted by /O=Lab/CN=STI-CA root";

/* --- Revoked or not --- */

static void test_finds_a_revoked_certificate(void **state)
{
	const struct fixture *f = *state;
	const struct lab_entry entries[] = { { .certificate = f->leaf.certificate }, { NULL } };
	const struct lab_crl crl = { .number = 5, .entries = entries };
	struct trust *trust = new_trust(f);

	expect_at(trust, f->delivered, LAB_NOW, VERDICT_PASSED, "no CRL configured; trusted by");
	expect_set(f, trust, &crl);
	expect_at(trust, f->delivered, LAB_NOW, VERDICT_CERTIFICATE_REVOKED, revoked_leaf);
	expect_at(trust, f->other, LAB_NOW, VERDICT_PASSED, not_revoked);
	trust_free(trust);
}

/* The same serial number under another STI-CA is another certificate. */
static void test_heeds_the_issuer_of_an_entry(void **state)
{
	const struct fixture *f = *state;
	X509 *twin = X509_dup(f->leaf.certificate);
	const struct lab_entry others[] = { { .certificate = twin }, { NULL } };
	/* The second one takes the issuer of the first (RFC 5280 section 5.3.3). */
	const struct lab_entry inherited[] = { { .certificate = f->other_leaf.certificate },
		{ .certificate = f->leaf.certificate, .without_issuer = true }, { NULL } };
	const struct lab_entry both[] = { { .certificate = twin }, { .certificate = f->leaf.certificate },
		{ NULL } };
	/* Without any, it is a certificate of the STI-PA itself. */
	const struct lab_entry own[] = { { .certificate = f->leaf.certificate, .without_issuer = true },
		{ NULL } };
	const struct {
		const struct lab_entry *entries;
		bool revoked;
	} cases[] = { { others, false }, { inherited, true }, { both, true }, { own, false } };

	X509_set_issuer_name(twin, X509_get_subject_name(f->root.certificate));
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct trust *trust = new_trust(f);

		expect_set(f, trust, &(struct lab_crl){ .number = 1, .entries = cases[i].entries });
		expect_at(trust, f->delivered, LAB_NOW,
			cases[i].revoked ? VERDICT_CERTIFICATE_REVOKED : VERDICT_PASSED,
			cases[i].revoked ? revoked_leaf : not_revoked);
		trust_free(trust);
	}
	X509_free(twin);
}

static void test_revokes_intermediates_and_roots(void **state)
{
	const struct fixture *f = *state;
	const struct lab_entry intermediate[] = { { .certificate = f->intermediate.certificate }, { NULL } };
	const struct lab_entry root[] = { { .certificate = f->root.certificate }, { NULL } };
	struct trust *trust = new_trust(f);

	expect_set(f, trust, &(struct lab_crl){ .number = 1, .entries = intermediate });
	expect_at(trust, f->delivered, LAB_NOW, VERDICT_CERTIFICATE_REVOKED,
		"on the STI-PA's CRL: /O=Lab/CN=STI-CA");
	expect_set(f, trust, &(struct lab_crl){ .number = 2, .entries = root });
	expect_at(trust, f->delivered, LAB_NOW, VERDICT_CERTIFICATE_REVOKED,
		"on the STI-PA's CRL: /O=Lab/CN=STI-CA root");
	trust_free(trust);
}

static void test_lets_go_what_is_taken_off(void **state)
{
	const struct fixture *f = *state;
	const struct lab_entry entries[] = { { .certificate = f->leaf.certificate, .removed = true },
		{ NULL } };
	struct trust *trust = new_trust(f);

	expect_set(f, trust, &(struct lab_crl){ .number = 1, .entries = entries });
	expect_at(trust, f->delivered, LAB_NOW, VERDICT_PASSED, not_revoked);
	trust_free(trust);
}

/* An entry names issuer and number, so it counts whatever the certificate points to; the point only says
 * whether the absence of an entry means something. */
static void test_compares_distribution_points(void **state)
{
	struct fixture *f = *state;
	const X509_NAME *pa = X509_get_subject_name(f->pa_signer.certificate);
	const X509_NAME *stranger = X509_get_subject_name(f->root.certificate);
	const struct {
		const char *url;
		const X509_NAME *issuer;
		bool named;
	} cases[] = {
		{ LAB_CRL_URL, pa, true },
		{ LAB_CRL_URL, NULL, true }, /* a third of those in use */
		{ LAB_CRL_URL, stranger, false },
		{ "http://crl.sti-pa.example/v2/crl", pa, false },
		{ "http://crl.sti-pa.example/v2/crl", NULL, false },
		{ NULL, pa, false },
	};
	const struct lab_entry entries[] = { { .certificate = f->leaf.certificate }, { NULL } };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct trust *trust = new_trust(f);
		char *delivered;

		set_point(f, &f->leaf, cases[i].url, cases[i].issuer);
		delivered = pem_of(f->leaf.certificate, f->intermediate.certificate);
		expect_set(f, trust, &(struct lab_crl){ .number = 1 });
		expect_at(trust, delivered, LAB_NOW, VERDICT_PASSED,
			cases[i].named ? "not revoked;" : "no CRL names it;");
		expect_set(f, trust, &(struct lab_crl){ .number = 2, .entries = entries });
		expect_at(trust, delivered, LAB_NOW, VERDICT_CERTIFICATE_REVOKED, revoked_leaf);
		free(delivered);
		trust_free(trust);
	}
	set_point(f, &f->leaf, LAB_CRL_URL, pa);
}

/* Without a URL of the CRL's own, cRLIssuer alone names it. */
static void test_knows_a_crl_without_url(void **state)
{
	const struct fixture *f = *state;
	struct trust *trust = new_trust(f);

	expect_set(f, trust, &(struct lab_crl){ .number = 1, .scope = "critical,DER:30038401ff" });
	expect_at(trust, f->delivered, LAB_NOW, VERDICT_PASSED, not_revoked);
	trust_free(trust);
}

/* --- Who signed --- */

static void test_wants_the_signer_under_the_anchors_of_the_sti_pa(void **state)
{
	struct fixture *f = *state;
	static const char unsigned_by_it[] =
		"is not signed by a certificate of its issuer /O=STI-PA/CN=CRL signer";
	static const struct lab_recipe no_crls = { .subject = "O=STI-PA/CN=CRL signer",
		.extensions = { LAB_END } };
	static const struct lab_recipe old = { .subject = "O=STI-PA/CN=CRL signer",
		.not_after = LAB_NOW - 1,
		.extensions = { { "keyUsage", "critical,cRLSign" } } };
	static const struct lab_recipe weak = { .subject = "O=STI-PA/CN=CRL signer", .key = "RSA-1024" };
	static const struct lab_recipe odd = { .subject = "O=STI-PA/CN=CRL signer", .key = "explicit" };
	const struct lab_crl good = { .number = 1 }, forged = { .number = 1, .forged = true };
	struct lab_made digital = lab_issue(&no_crls, &f->pa_root), expired = lab_issue(&old, &f->pa_root);
	struct lab_made short_key = lab_issue(&weak, &f->pa_root), odd_curve = lab_issue(&odd, &f->pa_root);
	const struct {
		const struct lab_made *signer;
		const struct lab_crl *crl;
		X509 *chain;
		const char *why;
	} cases[] = {
		{ &f->pa_signer, &good, f->pa_signer.certificate, NULL },
		{ &f->pa_root, &good, NULL, NULL },
		{ &f->pa_signer, &good, NULL, unsigned_by_it },
		{ &f->pa_signer, &forged, f->pa_signer.certificate, unsigned_by_it },
		{ &f->pa_signer, &good, f->pretender.certificate, unsigned_by_it },
		/* It hangs under the STI-CA's root, which the STI-PA's anchors are not. */
		{ &f->pretender, &good, f->pretender.certificate,
			"its signer is not trusted: no trusted issuer: wants /O=Lab/CN=STI-CA root" },
		{ &digital, &good, digital.certificate, unsigned_by_it },
		{ &expired, &good, expired.certificate,
			"its signer is not trusted: expired: /O=STI-PA/CN=CRL signer" },
		{ &short_key, &good, short_key.certificate,
			"its signer is not trusted: EE certificate key too weak: /O=STI-PA/CN=CRL signer" },
		{ &odd_curve, &good, odd_curve.certificate,
			"its signer is not trusted: Certificate public key has explicit ECC parameters: "
			"/O=STI-PA/CN=CRL signer" },
		{ &f->root, &good, f->root.certificate,
			"its signer is not trusted: no trusted issuer: wants /O=Lab/CN=STI-CA root" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct trust *trust = new_trust(f);
		char *chain = pem_of(cases[i].chain, NULL), why[200];
		bool ok = set_at(f, trust, cases[i].crl, cases[i].signer, chain, LAB_NOW, why);

		if (ok != (cases[i].why == NULL))
			fail_msg("case %zu: %s", i, why);
		if (!ok)
			assert_string_equal(why, cases[i].why);
		free(chain);
		trust_free(trust);
	}
	lab_discard(&digital);
	lab_discard(&expired);
	lab_discard(&short_key);
	lab_discard(&odd_curve);
}

/* Whoever has no file for the chain puts it beside the root. */
static void test_takes_the_signer_from_the_anchors(void **state)
{
	struct fixture *f = *state;
	X509_CRL *list = lab_crl(&(struct lab_crl){ .number = 1 }, &f->pa_signer);
	static const struct lab_recipe between = { .subject = "O=STI-PA/CN=between",
		.extensions = { LAB_CA } };
	static const struct lab_recipe signer = { .subject = "O=STI-PA/CN=CRL signer",
		.extensions = { LAB_CA } };
	struct lab_made above = lab_issue(&between, &f->pa_root),
			below = lab_issue_for(&signer, &above, NULL);
	X509_CRL *deeper = lab_crl(&(struct lab_crl){ .number = 2 }, &below);
	char *anchors = pki_pem(
		(X509 *const[]){ above.certificate, below.certificate, f->pa_root.certificate, NULL });
	struct trust *trust = new_trust(f);
	char why[200], *der;
	size_t length;

	der = der_of(deeper, &length);
	assert_true(trust_set_crl(trust, (struct span){ der, length }, span_of(NULL), span_of(anchors),
		LAB_NOW, 0, why, sizeof why));
	free(der);
	der = der_of(list, &length);
	assert_false(trust_set_crl(trust, (struct span){ der, length }, span_of(NULL), span_of(anchors),
		LAB_NOW, 0, why, sizeof why));
	free(der);
	free(anchors);
	X509_CRL_free(list);
	X509_CRL_free(deeper);
	lab_discard(&above);
	lab_discard(&below);
	trust_free(trust);
}

static void test_wants_anchors_of_the_sti_pa(void **state)
{
	const struct fixture *f = *state;
	X509_CRL *list = lab_crl(&(struct lab_crl){ .number = 1 }, &f->pa_root);
	struct trust *trust = new_trust(f);
	char why[200], *der;
	size_t length;

	der = der_of(list, &length);
	assert_false(trust_set_crl(
		trust, (struct span){ der, length }, span_of(""), span_of(""), LAB_NOW, 0, why, sizeof why));
	assert_string_equal(why, "the anchors of its issuer: is empty; want certificates in PEM");
	assert_false(trust_set_crl(trust, (struct span){ der, length }, span_of(""), span_of(f->delivered),
		LAB_NOW, 0, why, sizeof why));
	assert_string_equal(
		why, "the anchors of its issuer: certificate 1 (/C=US/O=Lab/CN=SHAKEN 1234) is no CA");
	assert_false(trust_set_crl(trust, (struct span){ der, length }, span_of("junk"), span_of(f->pa_roots),
		LAB_NOW, 0, why, sizeof why));
	assert_string_equal(why, "the chain of its signer: holds no certificate in PEM");
	free(der);
	X509_CRL_free(list);
	trust_free(trust);
}

/* --- Dates and numbers --- */

struct ends {
	size_t count;
	char what[8][160];
	bool is_crl[8];
	int64_t begins[8], ends[8];
};

static void note_end(void *context, const char *what, bool is_crl, int64_t begins, int64_t ends)
{
	struct ends *seen = context;
	size_t i = seen->count++;

	assert_true(i < 8);
	snprintf(seen->what[i], sizeof seen->what[i], "%s", what);
	seen->is_crl[i] = is_crl;
	seen->begins[i] = begins;
	seen->ends[i] = ends;
}

static void test_tells_all_that_ends(void **state)
{
	const struct fixture *f = *state;
	const struct lab_crl crl = { .number = 1, .next_update = LAB_NOW + 100 };
	struct trust *trust = new_trust(f);
	char *pem = pem_of(f->intermediate.certificate, NULL), why[200];
	struct ends seen = { 0 };

	assert_true(trust_add_anchors(trust, span_of(pem), why, sizeof why));
	expect_set(f, trust, &crl);
	trust_each_end(trust, note_end, &seen);
	assert_int_equal(seen.count, 3);
	assert_string_equal(seen.what[0], "root /O=Lab/CN=STI-CA root");
	assert_string_equal(seen.what[1], "intermediate /O=Lab/CN=STI-CA");
	assert_string_equal(seen.what[2], "revocation list of /O=STI-PA/CN=CRL signer");
	for (size_t i = 0; i < 2; i++) {
		assert_false(seen.is_crl[i]);
		assert_int_equal(seen.begins[i], LAB_NOW - PKI_DAY);
		assert_int_equal(seen.ends[i], LAB_NOW + 90 * PKI_DAY);
	}
	assert_true(seen.is_crl[2]);
	assert_int_equal(seen.begins[2], LAB_NOW - 3600);
	assert_int_equal(seen.ends[2], LAB_NOW + 100);
	trust_free(trust);
	free(pem);
}

static bool is_unknown_at(const struct trust *trust, const char *delivered, int64_t now)
{
	const struct trust_options options = { .crl_grace_s = GRACE };
	static struct certificate_facts facts;

	trust_judge(trust, span_of(delivered), &options, now, &facts);
	return facts.revocation_unknown;
}

static void test_counts_until_next_update_and_grace(void **state)
{
	const struct fixture *f = *state;
	const struct lab_entry entries[] = { { .certificate = f->leaf.certificate }, { NULL } };
	const struct lab_crl crl = { .number = 1, .next_update = LAB_NOW + 100, .entries = entries };
	static const struct {
		int64_t at;
		bool settable, counts;
	} cases[] = {
		{ -3601, false, true },
		{ -3600, true, true },
		{ 0, true, true },
		{ 100, true, true },
		{ 101, true, true },
		{ 100 + GRACE, true, true },
		{ 101 + GRACE, false, false },
	};
	struct trust *set = new_trust(f);

	expect_set(f, set, &crl);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct trust *trust = new_trust(f);
		char why[200];

		assert_int_equal(
			set_at(f, trust, &crl, &f->pa_signer, f->signer_chain, LAB_NOW + cases[i].at, why),
			cases[i].settable);
		if (!cases[i].settable)
			assert_string_equal(why, cases[i].at < 0
							 ? "is not valid yet: its thisUpdate is 1 s ahead"
							 : "is out of date: its nextUpdate was 3601 s ago, "
							   "beyond the grace of 3600 s");
		if (cases[i].counts)
			expect_at(set, f->delivered, LAB_NOW + cases[i].at, VERDICT_CERTIFICATE_REVOKED,
				revoked_leaf);
		else
			expect_at(set, f->delivered, LAB_NOW + cases[i].at, VERDICT_PASSED,
				"its CRL is out of date, revocation unknown; trusted by /O=Lab/CN=STI-CA "
				"root");
		assert_int_equal(trust_current_crls(set, LAB_NOW + cases[i].at, GRACE), cases[i].settable);
		assert_int_equal(is_unknown_at(set, f->delivered, LAB_NOW + cases[i].at), !cases[i].counts);
		trust_free(trust);
	}
	trust_free(set);
}

static void test_keeps_the_last_good_one(void **state)
{
	const struct fixture *f = *state;
	const struct lab_entry entries[] = { { .certificate = f->leaf.certificate }, { NULL } };
	const struct lab_entry others[] = { { .certificate = f->other_leaf.certificate }, { NULL } };
	const struct lab_crl first = { .number = 300, .entries = entries };
	struct trust *trust = new_trust(f);
	char why[200];

	expect_set(f, trust, &first);
	expect_unset(
		f, trust, &first, "its CRLNumber is not above that of the one there is"); /* signed again */
	expect_unset(f, trust, &(struct lab_crl){ .number = 299, .entries = others },
		"its CRLNumber is not above that of the one there is");
	expect_unset(f, trust, &(struct lab_crl){ .number = 300, .entries = others },
		"its CRLNumber is not above that of the one there is");
	expect_unset(f, trust,
		&(struct lab_crl){ .number = 301, .this_update = LAB_NOW - 3601, .entries = others },
		"its thisUpdate is before that of the one there is");
	expect_unset(f, trust, &(struct lab_crl){ .number = 301, .forged = true, .entries = others },
		"is not signed by a certificate of its issuer /O=STI-PA/CN=CRL signer");
	expect_unset(f, trust, &(struct lab_crl){ .number = 301 },
		"is empty; the one there is has 1 entries and is kept while it counts");
	expect_unset(f, trust,
		&(struct lab_crl){ .number = 301, .next_update = LAB_NOW - GRACE - 1, .entries = others },
		"is out of date: its nextUpdate was 3601 s ago, beyond the grace of 3600 s");
	assert_false(trust_set_crl(trust, span_of(""), span_of(f->signer_chain), span_of(f->pa_roots),
		LAB_NOW, 0, why, sizeof why));
	assert_string_equal(why, "is empty; want a CRL in PEM or DER");
	expect_at(trust, f->delivered, LAB_NOW, VERDICT_CERTIFICATE_REVOKED, revoked_leaf);
	expect_at(trust, f->other, LAB_NOW, VERDICT_PASSED, not_revoked);

	expect_set(f, trust, &(struct lab_crl){ .number = 65536, .entries = others });
	expect_at(trust, f->delivered, LAB_NOW, VERDICT_PASSED, not_revoked);
	expect_at(trust, f->other, LAB_NOW, VERDICT_CERTIFICATE_REVOKED, revoked_leaf);
	trust_free(trust);
}

/* The file was touched, or the service sent it once more. */
static void test_takes_the_very_same_again(void **state)
{
	const struct fixture *f = *state;
	const struct lab_entry entries[] = { { .certificate = f->leaf.certificate }, { NULL } };
	X509_CRL *list = lab_crl(&(struct lab_crl){ .number = 1, .entries = entries }, &f->pa_signer);
	struct trust *trust = new_trust(f);
	char why[200];
	size_t length;
	char *der = der_of(list, &length);

	for (int i = 0; i < 2; i++)
		assert_true(trust_set_crl(trust, (struct span){ der, length }, span_of(f->signer_chain),
			span_of(f->pa_roots), LAB_NOW, GRACE, why, sizeof why));
	expect_at(trust, f->delivered, LAB_NOW, VERDICT_CERTIFICATE_REVOKED, revoked_leaf);
	free(der);
	X509_CRL_free(list);
	trust_free(trust);
}

/* Once the last good one counts for nothing, an empty one is better than none. */
static void test_takes_an_empty_one_when_the_last_is_over(void **state)
{
	const struct fixture *f = *state;
	const struct lab_entry entries[] = { { .certificate = f->leaf.certificate }, { NULL } };
	const struct lab_crl empty = { .number = 2, .next_update = LAB_NOW + 9 * PKI_DAY };
	struct trust *trust = new_trust(f);
	char why[200];

	expect_set(f, trust, &(struct lab_crl){ .number = 1, .entries = entries });
	assert_false(
		set_at(f, trust, &empty, &f->pa_signer, f->signer_chain, LAB_NOW + PKI_DAY + GRACE, why));
	assert_true(
		set_at(f, trust, &empty, &f->pa_signer, f->signer_chain, LAB_NOW + PKI_DAY + GRACE + 1, why));
	expect_at(trust, f->delivered, LAB_NOW + PKI_DAY + GRACE + 1, VERDICT_PASSED, not_revoked);
	trust_free(trust);
}

static void test_keeps_one_for_each_issuer(void **state)
{
	struct fixture *f = *state;
	const struct lab_entry one[] = { { .certificate = f->leaf.certificate }, { NULL } };
	const struct lab_entry other[] = { { .certificate = f->other_leaf.certificate }, { NULL } };
	struct trust *trust = new_trust(f);
	char why[200];

	expect_set(f, trust, &(struct lab_crl){ .number = 7, .entries = one });
	assert_true(set_at(
		f, trust, &(struct lab_crl){ .number = 1, .entries = other }, &f->pa_root, "", LAB_NOW, why));
	expect_at(trust, f->delivered, LAB_NOW, VERDICT_CERTIFICATE_REVOKED, revoked_leaf);
	expect_at(trust, f->other, LAB_NOW, VERDICT_CERTIFICATE_REVOKED, revoked_leaf);
	for (int i = 2; i <= 17; i++) {
		char subject[32];
		struct lab_recipe recipe = { .subject = subject,
			.extensions = { { "keyUsage", "cRLSign" } } };
		struct lab_made signer;
		char *chain;

		snprintf(subject, sizeof subject, "CN=signer %d", i);
		signer = lab_issue(&recipe, &f->pa_root);
		chain = pem_of(signer.certificate, NULL);
		assert_int_equal(
			set_at(f, trust, &(struct lab_crl){ .number = 1 }, &signer, chain, LAB_NOW, why),
			i < 16);
		free(chain);
		lab_discard(&signer);
	}
	assert_string_equal(why, "would be one CRL too many: there are 16");
	trust_free(trust);
}

/* --- Form --- */

static void test_refuses_what_is_no_whole_indirect_crl(void **state)
{
	static const char no_scope[] = "does not say that it is an indirect CRL (RFC 5280 section 5.2.5)";
	static const char partial[] = "holds attribute certificates or some reasons only; want a whole CRL";
	const struct fixture *f = *state;
	const struct lab_entry strange[] = { { .certificate = f->leaf.certificate,
						     .extension = { "1.2.3.4", "critical,DER:0500" } },
		{ NULL } };
	const struct lab_entry harmless[] = {
		{ .certificate = f->leaf.certificate, .extension = { "1.2.3.4", "DER:0500" } }, { NULL }
	};
	const struct lab_entry malformed[] = {
		{ .certificate = f->leaf.certificate,
			.without_issuer = true,
			.extension = { "certificateIssuer", "critical,DER:0500" } },
		{ NULL }
	};
	const struct lab_entry nameless[] = {
		{ .certificate = f->leaf.certificate,
			.without_issuer = true,
			.extension = { "certificateIssuer", "critical,DER:3003820161" } },
		{ NULL }
	};
	struct trust *whole;
	const struct {
		struct lab_crl crl;
		const char *why;
	} cases[] = {
		{ { .number = 1, .scope = "" }, no_scope },
		{ { .number = 1, .scope = "critical,DER:3000" }, no_scope },
		{ { .number = 1, .scope = "critical,DER:30068401ff8501ff" }, partial },
		{ { .number = 1, .scope = "critical,DER:3007830206408401ff" }, partial },
		{ { .number = 1, .scope = "critical,DER:0500" }, "has a malformed issuingDistributionPoint" },
		{ { .number = 0 }, "has no CRLNumber (RFC 5280 section 5.2.3)" },
		{ { .number = -5 }, "has no CRLNumber (RFC 5280 section 5.2.3)" },
		{ { .number = 0, .extension = { "2.5.29.20", "DER:0500" } }, "has a malformed CRLNumber" },
		{ { .number = 1, .next_update = -1 },
			"lacks a thisUpdate or nextUpdate that is a time (RFC 5280 section 5.1.2.5)" },
		{ { .number = 1, .extension = { "deltaCRL", "critical,DER:020101" } },
			"is a delta CRL; want a whole one" },
		{ { .number = 1, .extension = { "1.2.3.4", "critical,DER:0500" } },
			"has a critical extension that is not understood" },
		{ { .number = 1, .entries = strange },
			"has an entry with a critical extension that is not understood" },
		{ { .number = 1, .entries = malformed }, "has an entry with a malformed certificateIssuer" },
		{ { .number = 1, .entries = nameless },
			"has an entry whose certificateIssuer is no directory name" },
		{ { .number = 1, .digest = "SHA1" },
			"is not signed by a certificate of its issuer /O=STI-PA/CN=CRL signer" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct trust *trust = new_trust(f);

		expect_unset(f, trust, &cases[i].crl, cases[i].why);
		trust_free(trust);
	}
	whole = new_trust(f);
	expect_set(f, whole,
		&(struct lab_crl){
			.number = 1, .entries = harmless, .extension = { "1.2.3.4", "DER:0500" } });
	trust_free(whole);
}

static struct crl *parse(const char *text, size_t length, char why[200])
{
	char *exact = malloc(length == 0 ? 1 : length);
	struct crl *crl;

	assert_non_null(exact);
	memcpy(exact, text, length);
	crl = crl_parse((struct span){ exact, length }, why, 200);
	free(exact);
	assert_int_equal(ERR_peek_error(), 0);
	return crl;
}

static void test_reads_pem_and_der(void **state)
{
	const struct fixture *f = *state;
	const struct lab_entry entries[] = { { .certificate = f->leaf.certificate }, { NULL } };
	X509_CRL *list = lab_crl(&(struct lab_crl){ .number = 1, .entries = entries }, &f->pa_signer);
	BIO *bio = BIO_new(BIO_s_mem());
	char why[200], text[4096], *pem, *der;
	size_t length;
	struct crl *one, *other;

	PEM_write_bio_X509_CRL(bio, list);
	pem = pki_text_of(bio);
	der = der_of(list, &length);
	snprintf(text, sizeof text, "# of today\r\n%s\n# end\n", pem);
	one = parse(der, length, why);
	other = parse(text, strlen(text), why);
	assert_non_null(one);
	assert_non_null(other);
	assert_true(crl_is_same(one, other));
	assert_int_equal(crl_entries(one), 1);
	assert_int_equal(crl_next_update(one), LAB_NOW + PKI_DAY);
	assert_true(crl_revokes(one, f->leaf.certificate));
	assert_false(crl_revokes(one, f->other_leaf.certificate));
	crl_free(one);
	crl_free(other);
	crl_free(NULL);

	for (size_t cut = 0; cut < length; cut++)
		assert_null(parse(der, cut, why));
	for (size_t cut = 0; cut < strlen(pem) - 1; cut += 7)
		assert_null(parse(pem, cut, why));
	for (size_t i = 0; i < length; i++) {
		der[i] ^= 0x41;
		crl_free(parse(der, length, why));
		der[i] ^= 0x41;
	}
	der = realloc(der, length + 1);
	der[length] = 0;
	assert_null(parse(der, length + 1, why));
	assert_string_equal(why, "is no CRL in PEM or DER, or damaged");
	free(der);
	free(pem);
	X509_CRL_free(list);
}

static void test_refuses_garbage(void **state)
{
	const struct fixture *f = *state;
	static const char damaged[] = "is no CRL in PEM or DER, or damaged";
	size_t huge = 10u << 20;
	char *text = calloc(1, huge), why[200];
	const char *const cases[] = { "0", "<!DOCTYPE html><html></html>", "-----BEGIN X509 CRL-----",
		"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n", f->delivered, "{\"error\":404}" };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_null(parse(cases[i], strlen(cases[i]), why));
		assert_string_equal(why, damaged);
	}
	assert_null(parse(" \r\n", 3, why));
	assert_string_equal(why, "is empty; want a CRL in PEM or DER");
	assert_null(parse(text, huge, why));
	assert_string_equal(why, "is longer than 8388608 octets");
	memset(text, 0x30, huge);
	assert_null(parse(text, CRL_OCTETS_MAX, why));
	assert_string_equal(why, damaged);
	free(text);
}

/* More than all that will ever be revoked at a time: half of the 16,000 certificates in use, each with its
 * issuer's name. */
static void test_takes_a_long_list(void **state)
{
	enum { COUNT = 8000 };
	const struct fixture *f = *state;
	struct lab_entry *entries = calloc(COUNT + 1, sizeof *entries);
	X509 **others = calloc(COUNT, sizeof *others);
	struct trust *trust = new_trust(f);

	for (size_t i = 0; i < COUNT; i++) {
		others[i] = X509_new();
		lab_set_serial(others[i], NULL);
		X509_set_issuer_name(others[i], X509_get_subject_name(f->intermediate.certificate));
		entries[i].certificate = others[i];
	}
	X509_free(others[COUNT / 2]);
	others[COUNT / 2] = X509_dup(f->leaf.certificate);
	entries[COUNT / 2].certificate = others[COUNT / 2];
	expect_set(f, trust, &(struct lab_crl){ .number = 1, .entries = entries });
	expect_at(trust, f->delivered, LAB_NOW, VERDICT_CERTIFICATE_REVOKED, revoked_leaf);
	expect_at(trust, f->other, LAB_NOW, VERDICT_PASSED, not_revoked);
	for (size_t i = 0; i < COUNT; i++)
		X509_free(others[i]);
	free(others);
	free(entries);
	trust_free(trust);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds_a_revoked_certificate),
		cmocka_unit_test(test_heeds_the_issuer_of_an_entry),
		cmocka_unit_test(test_revokes_intermediates_and_roots),
		cmocka_unit_test(test_lets_go_what_is_taken_off),
		cmocka_unit_test(test_compares_distribution_points),
		cmocka_unit_test(test_knows_a_crl_without_url),
		cmocka_unit_test(test_wants_the_signer_under_the_anchors_of_the_sti_pa),
		cmocka_unit_test(test_takes_the_signer_from_the_anchors),
		cmocka_unit_test(test_wants_anchors_of_the_sti_pa),
		cmocka_unit_test(test_tells_all_that_ends),
		cmocka_unit_test(test_counts_until_next_update_and_grace),
		cmocka_unit_test(test_keeps_the_last_good_one),
		cmocka_unit_test(test_takes_the_very_same_again),
		cmocka_unit_test(test_takes_an_empty_one_when_the_last_is_over),
		cmocka_unit_test(test_keeps_one_for_each_issuer),
		cmocka_unit_test(test_refuses_what_is_no_whole_indirect_crl),
		cmocka_unit_test(test_reads_pem_and_der),
		cmocka_unit_test(test_refuses_garbage),
		cmocka_unit_test(test_takes_a_long_list),
	};

	return cmocka_run_group_tests_name("crl", tests, setup, teardown);
}
