#include "stirrup/sign.h"

#include <stdio.h>
#include <string.h>

#include "stirrup/identity_header.h"

static bool find_called(struct sign_decision *decision, const struct call_facts *facts, const struct dial_plan *plan)
{
	switch (call_dest(&decision->dest_tn, decision->dest_uri, &decision->emergency, facts, plan)) {
	case TN_NUMBER:
	case TN_EMERGENCY:
		return true;
	case TN_ANONYMOUS:
	case TN_NOT_A_NUMBER:
		break;
	}
	return false;
}

/* A malformed Identity line counts as none: adding ours to it helps the far end more than silence. */
static bool already_signed(const struct call_facts *facts)
{
	for (size_t i = 0; i < facts->identity_count; i++) {
		struct span rest = facts->identity[i];
		struct identity_header identity;
		bool malformed;

		while (identity_header_next(&rest, &identity, &malformed))
			if (identity_header_is(&identity, "shaken"))
				return true;
	}
	return false;
}

static void unsigned_because(struct sign_decision *decision, enum verdict verdict, const char *rule)
{
	decision->action = SIGN_ACTION_UNSIGNED;
	decision->verdict = verdict;
	decision->attest = 0;
	snprintf(decision->rule, sizeof decision->rule, "%s", rule);
}

/* Emergency calls go on whatever the policy says: a lost one costs more than any forged one. */
static void reject_because(struct sign_decision *decision, enum verdict verdict, const char *rule)
{
	unsigned_because(decision, verdict, rule);
	if (!decision->emergency)
		decision->action = SIGN_ACTION_REJECT;
	else
		snprintf(decision->rule, sizeof decision->rule, "emergency call, not refused; %.100s", rule);
}

static char attest_of(enum level level)
{
	switch (level) {
	case LEVEL_A:
		return 'A';
	case LEVEL_B:
		return 'B';
	case LEVEL_C:
		return 'C';
	case LEVEL_UNSIGNED:
	case LEVEL_REJECT:
	case LEVEL_UNSET:
		break;
	}
	return 0;
}

static const char *no_caller_rule(enum identity_from identity_from)
{
	switch (identity_from) {
	case IDENTITY_FROM_PAI_THEN_FROM:
		return "neither P-Asserted-Identity nor From has a telephone number";
	case IDENTITY_FROM_PAI:
		return "no P-Asserted-Identity has a telephone number (identity_from = pai)";
	case IDENTITY_FROM_FROM:
		return "From has no telephone number (identity_from = from)";
	}
	return "";
}

void sign_decide(struct sign_decision *decision, const struct call_facts *facts, const struct sign_policy *policy,
	int64_t now)
{
	struct attestation_decision attestation;
	enum tn_kind caller;
	bool callee_known;

	*decision = (struct sign_decision){ .customer = -1, .credential = -1 };
	caller = call_orig(&decision->orig, facts, policy->identity_from, policy->dial_plan);
	callee_known = find_called(decision, facts, policy->dial_plan);
	if (caller == TN_NUMBER) {
		attestation_decide(&attestation, policy->attestation, policy->customers, policy->numbers, &decision->orig);
		decision->customer = attestation.customer;
		decision->credential = attestation.credential;
		/* Before anything that a caller can bring about himself, as by adding an Identity. */
		if (attestation.level == LEVEL_REJECT) {
			reject_because(decision, attestation.verdict, attestation.rule);
			return;
		}
	} else {
		decision->customer = policy->attestation->customer;
	}

	if (already_signed(facts)) {
		unsigned_because(decision, VERDICT_ALREADY_SIGNED, "the INVITE carries a shaken Identity");
	} else if (caller != TN_NUMBER) {
		unsigned_because(decision,
			caller == TN_ANONYMOUS ? VERDICT_ANONYMOUS : VERDICT_NUMBER_FORMAT,
			no_caller_rule(policy->identity_from));
	} else if (!callee_known) {
		unsigned_because(decision, VERDICT_NUMBER_FORMAT, "To has no telephone number");
	} else if (attestation.verdict != VERDICT_SIGNED) {
		unsigned_because(decision, attestation.verdict, attestation.rule);
	} else if (!call_date_is_fresh(facts, policy->freshness_s, now)) {
		if (policy->on_stale_date == STALE_DATE_REJECT)
			reject_because(decision, VERDICT_STALE_DATE, "Date is not fresh (stale_date = reject)");
		else
			unsigned_because(decision, VERDICT_STALE_DATE, "Date is not fresh");
	} else {
		decision->action = SIGN_ACTION_SIGN;
		decision->verdict = VERDICT_SIGNED;
		decision->attest = attest_of(attestation.level);
		memcpy(decision->rule, attestation.rule, sizeof decision->rule);
	}
}
