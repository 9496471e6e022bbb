/* sign.h: the authentication service's decision (STI-AS, RFC 8224 section 6.1): sign this call or not, and as what.
 * Pure: the request's facts, the policy and the time come in, the decision goes out. */
#ifndef STIRRUP_SIGN_H
#define STIRRUP_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/attestation.h"
#include "stirrup/span.h"
#include "stirrup/tn.h"
#include "stirrup/verdict.h"

#define CALL_PAI_MAX 8
#define CALL_IDENTITY_MAX 10

/* What the request says, as received. All spans are borrowed; the values are without the header's name. */
struct call_facts {
	struct span request_uri;
	struct span from;
	struct span to;
	struct span date;                        /* empty: none */
	struct span pai[CALL_PAI_MAX];           /* P-Asserted-Identity lines, in order */
	size_t pai_count;
	struct span identity[CALL_IDENTITY_MAX]; /* Identity and y lines, in order */
	size_t identity_count;
};

enum identity_from { IDENTITY_FROM_PAI_THEN_FROM, IDENTITY_FROM_PAI, IDENTITY_FROM_FROM };
enum on_stale_date { STALE_DATE_UNSIGNED, STALE_DATE_REJECT };

/* What the configuration says of the peer that sent it. */
struct sign_policy {
	enum identity_from identity_from;
	enum on_stale_date on_stale_date;
	int64_t freshness_s;                     /* how far Date may be off, either way (RFC 8224 section 4.1) */
	const struct dial_plan *dial_plan;
	const struct attestation_policy *attestation;
	const struct customer *customers;
	const struct number_table *numbers;
};

enum sign_action { SIGN_ACTION_SIGN, SIGN_ACTION_UNSIGNED, SIGN_ACTION_REJECT };

struct sign_decision {
	enum sign_action action;
	enum verdict verdict;                    /* VERDICT_SIGNED with SIGN_ACTION_SIGN, else the reason */
	char attest;                             /* 'A', 'B', 'C'; 0: none */
	int customer;                            /* -1: unknown */
	int credential;                          /* -1: none */
	bool emergency;                          /* never refused */
	struct tn orig;                          /* empty: no number */
	struct tn dest_tn;                       /* empty: none, or dest_uri */
	char dest_uri[64];
	char rule[160];                          /* which rule decided, in words */
};

void sign_decide(struct sign_decision *decision, const struct call_facts *facts, const struct sign_policy *policy,
	int64_t now);

#endif
