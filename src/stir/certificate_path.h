/* certificate_path.h: certification paths (RFC 5280 section 6) from one certificate to a trusted root. */
#ifndef STIRRUP_STIR_CERTIFICATE_PATH_H
#define STIRRUP_STIR_CERTIFICATE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/x509.h>

#include "stirrup/verdict.h"

#define CERTIFICATE_PATH_MAX 8 /* certificates, the end entity and the root included */

struct certificate_path {
	STACK_OF(X509) *certificates; /* the end entity first, the root last */
	int64_t not_before, not_after;
};

/* What else a path has to stand, once it is a valid one at the moment asked for. Not VERDICT_PASSED: the
 * reason in why, and another path is tried. */
typedef enum verdict path_check(
	const struct certificate_path *path, void *context, char *why, size_t why_size);

struct path_search {
	X509 *end; /* may be an end entity or a CA */
	const STACK_OF(X509) *
		delivered; /* issuers from here first, in any order (the first one is end itself) */
	const STACK_OF(X509) *intermediates;
	const STACK_OF(X509) *roots;
	int64_t now;
	bool any_end_key;  /* the key of the end may be of any kind: the caller judges it */
	path_check *check; /* NULL: nothing else */
	void *context;
};

/* VERDICT_PASSED and *path, for certificate_path_clear(); or the verdict of the path that came nearest
 * (revoked before outside_validity before untrusted), with the reason in why and *path untouched. All paths
 * there are get tried, up to a bound. */
enum verdict certificate_path_find(
	const struct path_search *search, struct certificate_path *path, char *why, size_t why_size);
void certificate_path_clear(struct certificate_path *path);

#endif
