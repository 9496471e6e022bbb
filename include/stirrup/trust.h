/* trust.h: which STI-CAs are believed, and what a chain from an x5u is worth to them. Pure: no network, no clock. */
#ifndef STIRRUP_TRUST_H
#define STIRRUP_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/certificate_facts.h"
#include "stirrup/span.h"

/* Roots, additional intermediates and CRLs of one configuration. */
struct trust;

struct trust *trust_new(void);
void trust_free(struct trust *trust); /* NULL is fine */

/* Adds every certificate of a PEM text: self-issued ones with a valid self-signature are roots (STI-CAs), the others intermediates. False
 * with the reason in why, and nothing added, when the text is not PEM certificates, is empty, or one of them cannot be a CA. */
bool trust_add_anchors(struct trust *trust, struct span pem, char *why, size_t why_size);

/* The STI-PA's indirect CRL (PEM or DER), whose signer stands under a root of its own (field: iconectiv). Replaces the one there is for the same
 * issuer only when it is newer (CRLNumber, thisUpdate), verifies up to pa_roots, is within its dates, and is not empty where that one has entries
 * and still counts; else false with the reason, and the last good one stays. The very same list again is fine. signer_chain: PEM of what else is
 * needed to reach pa_roots; may be empty; pa_roots may hold intermediates, too.
 * RFC 5280 section 6.3.3 but for its step (f): the anchor of the CRL is not that of the certificate. */
bool trust_set_crl(struct trust *trust, struct span crl, struct span signer_chain, struct span pa_roots, int64_t now, int64_t grace_s,
	char *why, size_t why_size);

/* All that ends by its own date: "root /CN=...", "intermediate ...", "revocation list of ..."; of a list, its nextUpdate. */
void trust_each_end(const struct trust *trust,
	void (*visit)(void *context, const char *what, bool is_crl, int64_t begins, int64_t ends), void *context);

/* Which of the CRLs count, a bit for each: when that changes, so may every judgement. */
uint32_t trust_current_crls(const struct trust *trust, int64_t now, int64_t grace_s);

struct trust_options {
	bool strict_profile;     /* a finding against ATIS-1000080 makes the chain untrusted */
	int64_t crl_grace_s;     /* how long after nextUpdate a CRL still counts; then revocation is unknown, and detail says so */
};

/* Judges what an x5u delivered (PEM, or one DER certificate) at the moment now, and fills *facts but for x5u, keep_until,
 * refresh_after and trust_epoch. facts->verdict is VERDICT_PASSED or the reason; detail is always set. The first certificate is the end entity
 * (RFC 9060 section 7); the path is built from the delivered ones in any order and the configured intermediates to the roots, nothing else
 * (RFC 9060 section 6; ATIS-1000074): validity, basic constraints, key usage, signatures (ECDSA or RSA, 112 bits of security), a delegating
 * CA's TNAuthList, revocation (by entries for any certificate of the path); then the end entity's named curve P-256, TNAuthList in strict DER,
 * JWTClaimConstraints or the enhanced form but not both (RFC 9118 section 3), and the profile. The first that fails names the verdict. */
void trust_judge(const struct trust *trust, struct span delivered, const struct trust_options *options, int64_t now,
	struct certificate_facts *facts);

#endif
