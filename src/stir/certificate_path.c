#include "certificate_path.h"

#include <stdio.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/objects.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "stirrup/tn_auth_list.h"
#include "asn1_seconds.h"
#include "extension.h"
#include "reason.h"

/* What a hostile file may cost: verified paths, and look-ups for them. */
#define TRIES_MAX 16
#define STEPS_MAX 256

/* OpenSSL's level of 112 bits: RSA from 2,048 bits, no SHA-1. */
#define SECURITY_LEVEL 2

#define NAME_SIZE 120

struct walk {
	const struct path_search *search;
	X509 *path[CERTIFICATE_PATH_MAX]; /* without the root */
	size_t length;
	unsigned tries, steps;
	struct certificate_path found;
	enum verdict verdict; /* the best so far */
	struct reason reason; /* of that */
};

static const char *name_of(const X509_NAME *name, char text[NAME_SIZE])
{
	if (X509_NAME_oneline(name, text, NAME_SIZE) == NULL)
		text[0] = '\0';
	return text;
}

/* How near to a trusted path a verdict is. */
static int rank(enum verdict verdict)
{
	if (verdict == VERDICT_PASSED)
		return 3;
	if (verdict == VERDICT_CERTIFICATE_REVOKED)
		return 2;
	return verdict == VERDICT_CERTIFICATE_OUTSIDE_VALIDITY;
}

/* --- One path --- */

/* RFC 8226 and RFC 9118 make theirs not critical, and OpenSSL does not know them: this server does. */
static bool is_ours(const X509_EXTENSION *extension)
{
	static const char *const known[] = { TN_AUTH_LIST_OID, CLAIM_CONSTRAINTS_OID,
		ENHANCED_CLAIM_CONSTRAINTS_OID };
	char oid[40];

	if (OBJ_obj2txt(oid, sizeof oid, X509_EXTENSION_get_object((X509_EXTENSION *)extension), 1) <= 0)
		return false;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(oid, known[i]) == 0)
			return true;
	return false;
}

static bool knows_critical_extensions(const X509 *certificate)
{
	for (int i = 0; i < X509_get_ext_count(certificate); i++) {
		X509_EXTENSION *extension = X509_get_ext(certificate, i);

		if (X509_EXTENSION_get_critical(extension) && !X509_supported_extension(extension) &&
			!is_ours(extension))
			return false;
	}
	return true;
}

static int allow(int ok, X509_STORE_CTX *context)
{
	const struct path_search *search = X509_STORE_CTX_get_app_data(context);

	if (ok)
		return 1;
	switch (X509_STORE_CTX_get_error(context)) {
	case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
		return knows_critical_extensions(X509_STORE_CTX_get_current_cert(context));
	case X509_V_ERR_EE_KEY_TOO_SMALL:
	case X509_V_ERR_EC_KEY_EXPLICIT_PARAMS:
		return search->any_end_key && X509_STORE_CTX_get_error_depth(context) == 0;
	default:
		return 0;
	}
}

static bool read_validity(struct certificate_path *path, const struct reason *reason)
{
	path->not_before = INT64_MIN;
	path->not_after = INT64_MAX;
	for (int i = 0; i < sk_X509_num(path->certificates); i++) {
		X509 *certificate = sk_X509_value(path->certificates, i);
		char name[NAME_SIZE];
		int64_t from, to;

		if (!asn1_seconds(X509_get0_notBefore(certificate), &from) ||
			!asn1_seconds(X509_get0_notAfter(certificate), &to))
			return refuse(reason, "the validity of %s is not a time",
				name_of(X509_get_subject_name(certificate), name));
		path->not_before = from > path->not_before ? from : path->not_before;
		path->not_after = to < path->not_after ? to : path->not_after;
	}
	return true;
}

/* Both ends of the validity are within it (RFC 5280 section 4.1.2.5); OpenSSL leaves the last second out. */
static bool is_valid_at(const struct certificate_path *path, int64_t now, const struct reason *reason)
{
	for (int i = 0; i < sk_X509_num(path->certificates); i++) {
		X509 *certificate = sk_X509_value(path->certificates, i);
		int64_t from = now, to = now;
		char name[NAME_SIZE];

		asn1_seconds(X509_get0_notBefore(certificate), &from);
		asn1_seconds(X509_get0_notAfter(certificate), &to);
		if (from <= now && now <= to)
			continue;
		return refuse(reason, "%s %s", now < from ? "not yet valid:" : "expired:",
			name_of(X509_get_subject_name(certificate), name));
	}
	return true;
}

/* A path that OpenSSL has verified, but for its times. */
static enum verdict judge(
	const struct path_search *search, struct certificate_path *path, const struct reason *reason)
{
	if (!read_validity(path, reason))
		return VERDICT_CERTIFICATE_UNTRUSTED;
	if (!is_valid_at(path, search->now, reason))
		return VERDICT_CERTIFICATE_OUTSIDE_VALIDITY;
	if (search->check == NULL)
		return VERDICT_PASSED;
	return search->check(path, search->context, reason->why, reason->size);
}

/* Names, signatures, named curves, basic constraints, key usage, path lengths and name constraints are
 * OpenSSL's. Never its policy tree, whose cost grows beyond bounds (CVE-2023-0464), nor its CRLs, which
 * cannot be the STI-PA's. Validity is judged afterwards, so that a path that is broken and expired counts as
 * broken. */
static enum verdict verify(X509_STORE_CTX *context, const struct walk *walk, X509 *root,
	struct certificate_path *path, const struct reason *reason)
{
	STACK_OF(X509) *between = sk_X509_new_null(), *trusted = sk_X509_new_null();
	enum verdict verdict = VERDICT_CERTIFICATE_UNTRUSTED;
	bool ready = between != NULL && trusted != NULL && sk_X509_push(trusted, root) > 0;

	for (size_t i = 1; ready && i < walk->length; i++)
		ready = sk_X509_push(between, walk->path[i]) > 0;
	if (!ready || X509_STORE_CTX_init(context, NULL, walk->path[0], between) != 1) {
		refuse(reason, "out of memory");
	} else {
		X509_VERIFY_PARAM *parameters = X509_STORE_CTX_get0_param(context);
		char name[NAME_SIZE];

		X509_STORE_CTX_set0_trusted_stack(context, trusted);
		X509_STORE_CTX_set_verify_cb(context, allow);
		X509_STORE_CTX_set_app_data(context, (void *)walk->search);
		X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_NO_CHECK_TIME);
		X509_VERIFY_PARAM_set_auth_level(parameters, SECURITY_LEVEL);
		X509_VERIFY_PARAM_set_depth(parameters, CERTIFICATE_PATH_MAX);
		if (X509_verify_cert(context) == 1) {
			path->certificates = X509_STORE_CTX_get1_chain(context);
			if (path->certificates != NULL)
				verdict = judge(walk->search, path, reason);
		} else {
			X509 *at = X509_STORE_CTX_get_current_cert(context);

			refuse(reason, "%.70s: %s",
				X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)),
				at == NULL ? "" : name_of(X509_get_subject_name(at), name));
		}
	}
	/* Before the stacks, which it has borrowed. */
	X509_STORE_CTX_cleanup(context);
	sk_X509_free(between);
	sk_X509_free(trusted);
	return verdict;
}

static void try_path(struct walk *walk, X509 *root)
{
	struct certificate_path path = { NULL, 0, 0 };
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	char why[200] = "out of memory";
	struct reason reason = { why, sizeof why };
	enum verdict verdict = VERDICT_CERTIFICATE_UNTRUSTED;

	if (context != NULL)
		verdict = verify(context, walk, root, &path, &reason);
	if (walk->tries == 0 || rank(verdict) > rank(walk->verdict)) {
		walk->verdict = verdict;
		if (verdict != VERDICT_PASSED)
			refuse(&walk->reason, "%s", why);
	}
	walk->tries++;
	if (verdict == VERDICT_PASSED)
		walk->found = path;
	else
		certificate_path_clear(&path);
	X509_STORE_CTX_free(context);
}

/* --- All paths --- */

static bool is_over(const struct walk *walk)
{
	return walk->found.certificates != NULL || walk->tries >= TRIES_MAX || walk->steps >= STEPS_MAX;
}

static bool is_on_path(const struct walk *walk, const X509 *certificate)
{
	for (size_t i = 0; i < walk->length; i++)
		if (X509_cmp(walk->path[i], certificate) == 0)
			return true;
	return false;
}

static void step(struct walk *walk);

static void step_to(struct walk *walk, const STACK_OF(X509) *issuers)
{
	X509 *last = walk->path[walk->length - 1];

	for (int i = 0; i < sk_X509_num(issuers) && !is_over(walk); i++) {
		X509 *issuer = sk_X509_value(issuers, i);

		if (X509_check_issued(issuer, last) != X509_V_OK || is_on_path(walk, issuer))
			continue;
		walk->path[walk->length++] = issuer;
		step(walk);
		walk->length--;
	}
}

/* OpenSSL takes the first issuer by name and never goes back: of two STI-CAs of one name, as there are in the
 * field, it would believe in one only. */
static void step(struct walk *walk)
{
	X509 *last = walk->path[walk->length - 1];

	walk->steps++;
	for (int i = 0; i < sk_X509_num(walk->search->roots) && !is_over(walk); i++) {
		X509 *root = sk_X509_value(walk->search->roots, i);

		if (X509_check_issued(root, last) == X509_V_OK)
			try_path(walk, root);
	}
	/* The root takes the last place. */
	if (walk->length + 1 < CERTIFICATE_PATH_MAX) {
		step_to(walk, walk->search->delivered);
		step_to(walk, walk->search->intermediates);
	}
}

/* Nothing reached a root: who is missing? Follows the first issuer there is. */
static void name_the_missing(struct walk *walk)
{
	X509 *last = walk->search->end;
	const STACK_OF(X509) *pools[] = { walk->search->delivered, walk->search->intermediates };
	char name[NAME_SIZE];

	for (bool more = true; more && walk->length < CERTIFICATE_PATH_MAX;) {
		more = false;
		for (size_t pool = 0; pool < 2 && !more; pool++)
			for (int i = 0; i < sk_X509_num(pools[pool]) && !more; i++) {
				X509 *issuer = sk_X509_value(pools[pool], i);

				more = X509_check_issued(issuer, last) == X509_V_OK &&
				       !is_on_path(walk, issuer);
				if (more)
					walk->path[walk->length++] = last = issuer;
			}
	}
	refuse(&walk->reason, "no trusted issuer: wants %s", name_of(X509_get_issuer_name(last), name));
}

enum verdict certificate_path_find(
	const struct path_search *search, struct certificate_path *path, char *why, size_t why_size)
{
	struct walk walk = {
		.search = search,
		.path = { search->end },
		.length = 1,
		.verdict = VERDICT_CERTIFICATE_UNTRUSTED,
		.reason = { why, why_size },
	};

	step(&walk);
	if (walk.tries == 0)
		name_the_missing(&walk);
	if (walk.found.certificates != NULL)
		*path = walk.found;
	return walk.verdict;
}

void certificate_path_clear(struct certificate_path *path)
{
	sk_X509_pop_free(path->certificates, X509_free);
	path->certificates = NULL;
}
