#include "stirrup/trust.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "stirrup/certificate_key.h"
#include "stirrup/certificate_pem.h"
#include "asn1_seconds.h"
#include "certificate_path.h"
#include "reason.h"
#include "trust_state.h"

#define NAME_SIZE 128

static const struct certificate_pem_limits anchor_limits = { 4u << 20, 4096 };
static const struct certificate_pem_limits signer_limits = { 64u << 10, CERTIFICATE_PATH_MAX };

static const char *name_of(const X509_NAME *name, char text[NAME_SIZE])
{
	if (X509_NAME_oneline(name, text, NAME_SIZE) == NULL)
		text[0] = '\0';
	return text;
}

static const char *subject_of(const X509 *certificate, char text[NAME_SIZE])
{
	return name_of(X509_get_subject_name(certificate), text);
}

/* --- Anchors --- */

static bool anchors_init(struct anchors *anchors)
{
	anchors->roots = sk_X509_new_null();
	anchors->intermediates = sk_X509_new_null();
	return anchors->roots != NULL && anchors->intermediates != NULL;
}

static void anchors_clear(struct anchors *anchors)
{
	sk_X509_pop_free(anchors->roots, X509_free);
	sk_X509_pop_free(anchors->intermediates, X509_free);
}

static bool can_be_ca(X509 *certificate, int number, const struct reason *reason)
{
	char name[NAME_SIZE], why[120];

	if (!certificate_key_is_sound(certificate, why, sizeof why))
		return refuse(reason, "certificate %d (%s): %s", number, subject_of(certificate, name), why);
	/* X509_check_ca() takes roots of version 1, too, which have no extensions to say it. */
	if ((X509_get_extension_flags(certificate) & EXFLAG_INVALID) != 0 || X509_check_ca(certificate) == 0)
		return refuse(reason, "certificate %d (%s) is no CA", number, subject_of(certificate, name));
	return true;
}

static bool has(const STACK_OF(X509) *certificates, const X509 *certificate)
{
	for (int i = 0; i < sk_X509_num(certificates); i++)
		if (X509_cmp(sk_X509_value(certificates, i), certificate) == 0)
			return true;
	return false;
}

static bool add_anchor(struct anchors *anchors, X509 *certificate)
{
	STACK_OF(X509) *to = X509_self_signed(certificate, 1) == 1 ? anchors->roots : anchors->intermediates;

	if (has(to, certificate))
		return true;
	if (sk_X509_push(to, certificate) == 0)
		return false;
	X509_up_ref(certificate);
	return true;
}

static bool add_anchors(struct anchors *anchors, struct span pem, const struct reason *reason)
{
	STACK_OF(X509) *certificates = sk_X509_new_null();
	bool ok = certificates != NULL &&
		  certificate_pem_read(certificates, pem, &anchor_limits, reason->why, reason->size);

	for (int i = 0; ok && i < sk_X509_num(certificates); i++)
		ok = can_be_ca(sk_X509_value(certificates, i), i + 1, reason);
	for (int i = 0; ok && i < sk_X509_num(certificates); i++)
		ok = add_anchor(anchors, sk_X509_value(certificates, i)) || refuse(reason, "out of memory");
	sk_X509_pop_free(certificates, X509_free);
	return ok;
}

struct trust *trust_new(void)
{
	struct trust *trust = calloc(1, sizeof *trust);

	if (trust != NULL && anchors_init(&trust->anchors))
		return trust;
	trust_free(trust);
	return NULL;
}

void trust_free(struct trust *trust)
{
	if (trust == NULL)
		return;
	anchors_clear(&trust->anchors);
	for (size_t i = 0; i < trust->crl_count; i++)
		crl_free(trust->crls[i]);
	free(trust);
}

bool trust_add_anchors(struct trust *trust, struct span pem, char *why, size_t why_size)
{
	struct reason reason = { why, why_size };
	bool ok = add_anchors(&trust->anchors, pem, &reason);

	ERR_clear_error();
	return ok;
}

/* --- CRLs --- */

/* Looks for who signed among these, and whether a path leads from there to a root of the STI-PA. */
static bool is_signed_from(const struct crl *crl, const STACK_OF(X509) *candidates,
	struct path_search *search, const struct reason *reason)
{
	for (int i = 0; i < sk_X509_num(candidates); i++) {
		struct certificate_path path;
		char why[160];

		search->end = sk_X509_value(candidates, i);
		if (!crl_is_signed_by(crl, search->end))
			continue;
		if (certificate_path_find(search, &path, why, sizeof why) == VERDICT_PASSED) {
			certificate_path_clear(&path);
			return true;
		}
		refuse(reason, "its signer is not trusted: %s", why);
	}
	return false;
}

static bool is_trusted_crl(const struct crl *crl, const STACK_OF(X509) *chain, const struct anchors *pa,
	int64_t now, const struct reason *reason)
{
	struct path_search search = {
		.delivered = chain, .intermediates = pa->intermediates, .roots = pa->roots, .now = now
	};
	char name[NAME_SIZE];

	refuse(reason, "is not signed by a certificate of its issuer %s", name_of(crl_issuer(crl), name));
	return is_signed_from(crl, chain, &search, reason) ||
	       is_signed_from(crl, pa->intermediates, &search, reason) ||
	       is_signed_from(crl, pa->roots, &search, reason);
}

/* The place of the CRL of that issuer; NULL when there is none. */
static struct crl **find_crl(struct trust *trust, const X509_NAME *issuer)
{
	for (size_t i = 0; i < trust->crl_count; i++)
		if (X509_NAME_cmp(crl_issuer(trust->crls[i]), issuer) == 0)
			return &trust->crls[i];
	return NULL;
}

static bool may_replace(const struct crl *crl, const struct crl *old, int64_t now, int64_t grace_s,
	const struct reason *reason)
{
	char ignored[120];

	if (!crl_is_newer(crl, old, reason->why, reason->size))
		return false;
	/* A service that has lost its data is likelier than a day on which nobody is revoked any more. */
	if (crl_entries(crl) == 0 && crl_entries(old) > 0 &&
		crl_is_current(old, now, grace_s, ignored, sizeof ignored))
		return refuse(reason,
			"is empty; the one there is has %zu entries and is kept while it counts",
			crl_entries(old));
	return true;
}

static bool add_crl(struct trust *trust, struct crl *crl, const struct reason *reason)
{
	if (trust->crl_count >= TRUST_CRLS_MAX)
		return refuse(reason, "would be one CRL too many: there are %d", TRUST_CRLS_MAX);
	trust->crls[trust->crl_count++] = crl;
	return true;
}

/* Owns crl from here on. */
static bool put_crl(
	struct trust *trust, struct crl *crl, int64_t now, int64_t grace_s, const struct reason *reason)
{
	struct crl **old = find_crl(trust, crl_issuer(crl));
	bool same = old != NULL && crl_is_same(crl, *old);
	bool ok = same || (old != NULL ? may_replace(crl, *old, now, grace_s, reason) :
					 add_crl(trust, crl, reason));

	if (!ok || same) {
		crl_free(crl);
	} else if (old != NULL) {
		crl_free(*old);
		*old = crl;
	}
	return ok;
}

/* The reason says which of the texts it is about, unless that is the CRL. */
static bool read_signers(STACK_OF(X509) *chain, struct anchors *pa, struct span signer_chain,
	struct span pa_roots, const struct reason *reason)
{
	char why[200];
	struct reason inner = { why, sizeof why };

	if (!add_anchors(pa, pa_roots, &inner))
		return refuse(reason, "the anchors of its issuer: %s", why);
	if (span_trim(signer_chain).length > 0 &&
		!certificate_pem_read(chain, signer_chain, &signer_limits, why, sizeof why))
		return refuse(reason, "the chain of its signer: %s", why);
	return true;
}

bool trust_set_crl(struct trust *trust, struct span crl, struct span signer_chain, struct span pa_roots,
	int64_t now, int64_t grace_s, char *why, size_t why_size)
{
	struct reason reason = { why, why_size };
	struct crl *list = crl_parse(crl, why, why_size);
	STACK_OF(X509) *chain = sk_X509_new_null();
	struct anchors pa;
	bool ok = anchors_init(&pa) && chain != NULL;

	if (!ok)
		refuse(&reason, "out of memory");
	ok = ok && list != NULL && read_signers(chain, &pa, signer_chain, pa_roots, &reason) &&
	     is_trusted_crl(list, chain, &pa, now, &reason) &&
	     crl_is_current(list, now, grace_s, why, why_size);
	if (ok)
		ok = put_crl(trust, list, now, grace_s, &reason);
	else
		crl_free(list);
	sk_X509_pop_free(chain, X509_free);
	anchors_clear(&pa);
	ERR_clear_error();
	return ok;
}

uint32_t trust_current_crls(const struct trust *trust, int64_t now, int64_t grace_s)
{
	uint32_t current = 0;
	char ignored[120];

	for (size_t i = 0; i < trust->crl_count; i++)
		if (crl_is_current(trust->crls[i], now, grace_s, ignored, sizeof ignored))
			current |= UINT32_C(1) << i;
	return current;
}

/* --- What ends --- */

struct visit {
	void (*call)(void *context, const char *what, bool is_crl, int64_t begins, int64_t ends);
	void *context;
};

static void visit_certificates(
	const struct visit *visit, const char *kind, const STACK_OF(X509) *certificates)
{
	for (int i = 0; i < sk_X509_num(certificates); i++) {
		const X509 *certificate = sk_X509_value(certificates, i);
		char name[NAME_SIZE], what[NAME_SIZE + 32];
		int64_t begins, ends;

		if (!asn1_seconds(X509_get0_notBefore(certificate), &begins) ||
			!asn1_seconds(X509_get0_notAfter(certificate), &ends))
			continue;
		snprintf(what, sizeof what, "%s %s", kind, subject_of(certificate, name));
		visit->call(visit->context, what, false, begins, ends);
	}
}

void trust_each_end(const struct trust *trust,
	void (*visit)(void *context, const char *what, bool is_crl, int64_t begins, int64_t ends), void *context)
{
	struct visit each = { visit, context };

	visit_certificates(&each, "root", trust->anchors.roots);
	visit_certificates(&each, "intermediate", trust->anchors.intermediates);
	for (size_t i = 0; i < trust->crl_count; i++) {
		const struct crl *crl = trust->crls[i];
		char name[NAME_SIZE], what[NAME_SIZE + 32];

		snprintf(what, sizeof what, "revocation list of %s", name_of(crl_issuer(crl), name));
		visit(context, what, true, crl_this_update(crl), crl_next_update(crl));
	}
}
