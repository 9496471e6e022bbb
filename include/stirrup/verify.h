/* verify.h: the verification service's decision (STI-VS, RFC 8224 section 6.2, ATIS-1000074, ATIS-1000082).
 * Pure: facts of the request and of certificates, the policy and the time come in, outcomes go out. */
#ifndef STIRRUP_VERIFY_H
#define STIRRUP_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/call_numbers.h"
#include "stirrup/certificate_facts.h"
#include "stirrup/es256.h"
#include "stirrup/passport.h"
#include "stirrup/verdict.h"

#define VERIFY_IDENTITIES_MAX 10 /* what Ribbon sends at most */

struct verify_policy {
	enum identity_from identity_from;
	const struct dial_plan *dial_plan;
	int64_t freshness_s;    /* of iat, either way */
	const unsigned *ports;  /* of x5u */
	size_t port_count;
};

/* One Identity header field and how it fared. */
struct verify_identity {
	struct span header;        /* the item as received; of what is malformed, the rest of its line */
	struct span token;         /* empty: malformed */
	struct passport *passport; /* owned; NULL: not parsed */
	unsigned char digest[ES256_DIGEST_BYTES]; /* of what the signature covers; zeros: it was not looked at */
	enum verdict verdict;      /* VERDICT_PENDING: waits for the facts of its x5u */
	char detail[160];          /* the values compared, in words; printable ASCII */
	char attest;               /* as claimed, whatever the verdict; 0: none */
	bool revocation_unknown;   /* passed, but the CRL that its certificate names is out of date */
	char spc[FACTS_SPC_SIZE];  /* the first one of the certificate; empty: unknown, or none */
};

struct verification {
	enum tn_kind orig_kind;
	struct tn orig; /* what the signalling says (identity_from); empty unless TN_NUMBER */
	enum tn_kind dest_kind;
	struct tn dest;
	char dest_uri[DEST_URI_SIZE];
	bool emergency;
	bool date_stale; /* recorded, decides nothing: iat does (RFC 8224 section 6.2, step 4) */
	size_t count;
	/* The one behind the last stands for all further ones: VERDICT_TOO_MANY_IDENTITIES. */
	struct verify_identity identities[VERIFY_IDENTITIES_MAX + 1];
};

/* Parses every Identity and does all checks that need no certificate, the cheap ones first: those that pass
 * are VERDICT_PENDING then. What the facts borrow must outlive the verification. verification_clear()
 * releases what it owns. */
void verify_begin(struct verification *verification, const struct call_facts *facts,
	const struct verify_policy *policy, int64_t now);

/* Decides one pending identity by the facts of its x5u; key is their public key, ready for use (NULL: it is
 * no key of P-256, or facts->verdict is not VERDICT_PASSED). After it, its verdict is not VERDICT_PENDING. */
void verify_credential(struct verification *verification, size_t index, const struct certificate_facts *facts,
	struct es256_key *key, int64_t now);

/* Makes one that verify_credential() decided pending again: other facts of its x5u may come. */
void verify_reopen(struct verification *verification, size_t index);

/* Decides a pending identity without facts: VERDICT_FETCHER_TIMEOUT or VERDICT_FETCHER_BUSY. */
void verify_give_up(struct verification *verification, size_t index, enum verdict verdict);

/* Turns one that passed into VERDICT_REPLAYED, where policy has it fail: the call is then Failed, unless another one
 * passed. */
void verify_refuse_replay(struct verification *verification, size_t index);

/* What the call is worth once nothing is pending: one good token is enough (RFC 8224 6.2.1). failed_on_any:
 * every refused token makes it Failed, else only an untrusted chain or a bad signature (ATIS-1000082's
 * table). *deciding is the index of the identity that decided, -1: none. */
enum verify_result verify_conclude(
	const struct verification *verification, bool failed_on_any, enum verdict *reason, int *deciding);

/* The status for a call that is to be rejected, RFC 8224 section 6.2.2 over all its identities: 428 if none
 * is usable, 436 only if all are 436, else 437 if any is, else 438; 403 if all are stale. 603 when one
 * passed: then it is not this RFC that has it rejected. */
unsigned verify_reject_status(const struct verification *verification);

void verification_clear(struct verification *verification);

#endif
