/* certificate_facts.h: what is known of the certificate at an x5u, as plain facts. The fetcher finds them, workers keep
 * and use them: no worker ever parses a certificate. */
#ifndef STIRRUP_CERTIFICATE_FACTS_H
#define STIRRUP_CERTIFICATE_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/es256.h"
#include "stirrup/passport.h"
#include "stirrup/tn.h"
#include "stirrup/verdict.h"

#define FACTS_POINT_BYTES ES256_POINT_BYTES
#define FACTS_SPC_MAX 8
#define FACTS_SPC_SIZE 16
#define FACTS_RANGE_MAX 32         /* a certificate with more is refused: bad_tn_auth_list */
#define FACTS_CONSTRAINTS_MAX 2048 /* octets of DER of the claim constraints; more is refused: claim_constraints */

/* A single number has count 1 (RFC 8226 section 9). */
struct facts_range {
	struct tn start;
	uint64_t count;
};

/* One message from the fetcher, and one entry of a worker's table. Fixed layout, no pointers. */
struct certificate_facts {
	char x5u[PASSPORT_X5U_MAX + 1];
	enum verdict verdict;          /* VERDICT_PASSED: the chain is trusted; else why not, and only x5u, keep and detail count */
	char detail[160];              /* in words: "HTTP status 404", "no STI-CA root issued it" */
	int64_t keep_until;            /* wall clock, seconds: not to be used after this */
	int64_t refresh_after;         /* wall clock, seconds: ask for it again from here on, while the old facts serve */
	uint32_t trust_epoch;          /* of the roots and CRLs that judged it; facts of an older epoch are void */
	int64_t not_before, not_after; /* of the whole chain, both included */
	unsigned char public_key[FACTS_POINT_BYTES];
	char subject[128];             /* of the end entity, for people */
	uint32_t spc_count;
	char spc[FACTS_SPC_MAX][FACTS_SPC_SIZE];
	uint32_t range_count;
	struct facts_range ranges[FACTS_RANGE_MAX];
	bool revocation_unknown;       /* the CRL that it names is out of date, beyond the grace */
	uint32_t profile_findings;     /* how many rules of ATIS-1000080 it breaks */
	bool enhanced_constraints;     /* constraints are of RFC 9118, else of RFC 8226 section 8 */
	uint32_t constraints_length;   /* 0: none */
	unsigned char constraints[FACTS_CONSTRAINTS_MAX];
};

#endif
