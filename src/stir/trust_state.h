/* trust_state.h: what trust.c collects and trust_judge.c judges by. */
#ifndef STIRRUP_STIR_TRUST_STATE_H
#define STIRRUP_STIR_TRUST_STATE_H

#include <stddef.h>

#include <openssl/x509.h>

#include "stirrup/crl.h"

#define TRUST_CRLS_MAX 16 /* one for each STI-PA */

struct anchors {
	STACK_OF(X509) *roots, *intermediates;
};

struct trust {
	struct anchors anchors;
	struct crl *crls[TRUST_CRLS_MAX];
	size_t crl_count;
};

#endif
