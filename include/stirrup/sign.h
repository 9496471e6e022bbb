/* sign.h: the authentication service's decision (STI-AS, RFC 8224 section 6.1): sign this call or not, and as what.
 * Pure: the request's facts, the policy and the time come in, the decision goes out. */
#ifndef STIRRUP_SIGN_H
#define STIRRUP_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/attestation.h"
#include "stirrup/call_numbers.h"
#include "stirrup/span.h"
#include "stirrup/tn.h"
#include "stirrup/verdict.h"

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
	char dest_uri[DEST_URI_SIZE];
	char rule[160];                          /* which rule decided, in words */
};

void sign_decide(struct sign_decision *decision, const struct call_facts *facts, const struct sign_policy *policy,
	int64_t now);

#endif
