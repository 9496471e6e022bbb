/* verify.h: the verification service's decision (STI-VS, RFC 8224 section 6.2, ATIS-1000074, ATIS-1000082). Pure: facts of
 * the request and of certificates, the policy and the time come in, outcomes go out. */
#ifndef STIRRUP_VERIFY_H
#define STIRRUP_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/certificate_facts.h"
#include "stirrup/es256.h"
#include "stirrup/passport.h"
#include "stirrup/sign.h"
#include "stirrup/verdict.h"

#define VERIFY_IDENTITIES_MAX 10 /* what Ribbon sends at most; further ones are reported as too_many_identities */

struct verify_policy {
	enum identity_from identity_from;
	const struct dial_plan *dial_plan;
	int64_t freshness_s;           /* of iat, either way */
	bool identity_required;        /* no usable Identity: 428 */
	const unsigned *ports;         /* of x5u */
	size_t port_count;
};

/* One Identity header field and how it fared. */
struct verify_identity {
	struct span header;            /* the item as received */
	struct span token;
	struct passport *passport;     /* owned; NULL: not parsed */
	enum verdict verdict;          /* VERDICT_PENDING: waits for the facts of its x5u */
	char detail[160];              /* the values compared, in words */
	char attest;                   /* 0: none */
	char spc[FACTS_SPC_SIZE];      /* of the certificate; empty: unknown */
};

struct verification {
	enum tn_kind orig_kind;
	struct tn orig;                /* what the signalling says (identity_from) */
	enum tn_kind dest_kind;
	struct tn dest;
	char dest_uri[64];
	bool emergency;
	size_t count;
	struct verify_identity identities[VERIFY_IDENTITIES_MAX];
};

/* Parses every Identity and does all checks that need no certificate, the cheap ones first: those that pass are
 * VERDICT_PENDING then. The facts must outlive the verification. verification_clear() releases what it owns. */
void verify_begin(struct verification *verification, const struct call_facts *facts, const struct verify_policy *policy, int64_t now);

/* Decides one pending identity by the facts of its x5u; key is their public key, ready for use (NULL unless
 * facts->verdict is VERDICT_PASSED). After it, its verdict is not VERDICT_PENDING. */
void verify_credential(struct verification *verification, size_t index, const struct certificate_facts *facts, struct es256_key *key, int64_t now);

/* Decides a pending identity without facts: VERDICT_FETCHER_TIMEOUT or VERDICT_FETCHER_BUSY. */
void verify_give_up(struct verification *verification, size_t index, enum verdict verdict);

enum verify_result { VERIFY_PASSED, VERIFY_FAILED, VERIFY_NO_VALIDATION };
const char *verify_result_word(enum verify_result result); /* "passed", "failed", "no_validation". Static. */

/* What the call is worth once nothing is pending: one good token is enough (RFC 8224 6.2.1). failed_on_any: every failed token makes it
 * Failed, else only an untrusted chain or a bad signature (ATIS-1000082's table). *deciding is the index of the identity that decided, -1: none. */
enum verify_result verify_conclude(const struct verification *verification, bool failed_on_any, enum verdict *reason, int *deciding);

/* The status for a call that is to be rejected for it, RFC 8224 section 6.2.2 over all its identities: 428 if none is usable,
 * 436 only if all are 436, else 437 if any is, else 438; 403 if all are stale. */
unsigned verify_reject_status(const struct verification *verification);

void verification_clear(struct verification *verification);

#endif
