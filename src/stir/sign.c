#include "stirrup/sign.h"

#include <stdio.h>
#include <string.h>

#include "stirrup/identity_header.h"
#include "stirrup/name_addr.h"
#include "stirrup/sip_date.h"

/* The calling number, or why there is none. */
struct caller {
	enum tn_kind kind;
	struct tn tn;
};

/* The first number among the items of all P-Asserted-Identity lines: one tel and one sip URI may stand there
 * (RFC 3325 section 9.1). */
static bool caller_from_pai(struct caller *caller, const struct call_facts *facts, const struct dial_plan *plan)
{
	for (size_t i = 0; i < facts->pai_count; i++) {
		struct span rest = facts->pai[i];
		struct name_addr item;

		while (name_addr_next(&rest, &item)) {
			if (tn_from_uri(&caller->tn, item.uri, plan) != TN_NUMBER)
				continue;
			caller->kind = TN_NUMBER;
			return true;
		}
	}
	return false;
}

static enum tn_kind tn_of_header(struct tn *tn, struct span value, const struct dial_plan *plan, struct span *uri)
{
	struct name_addr item;

	*uri = (struct span){ NULL, 0 };
	if (!name_addr_next(&value, &item))
		return TN_NOT_A_NUMBER;
	*uri = item.uri;
	return tn_from_uri(tn, item.uri, plan);
}

static void find_caller(struct caller *caller, const struct call_facts *facts, const struct sign_policy *policy)
{
	struct span uri;

	caller->kind = TN_NOT_A_NUMBER;
	caller->tn.digits[0] = '\0';
	switch (policy->identity_from) {
	case IDENTITY_FROM_PAI_THEN_FROM:
	case IDENTITY_FROM_PAI:
		if (caller_from_pai(caller, facts, policy->dial_plan))
			return;
		break;
	case IDENTITY_FROM_FROM:
		break;
	}
	caller->kind = tn_of_header(&caller->tn, facts->from, policy->dial_plan, &uri);
	if (caller->kind == TN_NUMBER && policy->identity_from == IDENTITY_FROM_PAI)
		caller->kind = TN_NOT_A_NUMBER;
	if (caller->kind != TN_NUMBER)
		caller->tn.digits[0] = '\0';
}

static bool find_called(struct sign_decision *decision, const struct call_facts *facts, const struct dial_plan *plan)
{
	struct tn unused;
	struct span uri;
	enum tn_kind kind = tn_of_header(&decision->dest_tn, facts->to, plan, &uri);

	decision->emergency = kind == TN_EMERGENCY || tn_from_uri(&unused, facts->request_uri, plan) == TN_EMERGENCY;
	switch (kind) {
	case TN_NUMBER:
		return true;
	case TN_EMERGENCY:
		return decision->dest_tn.digits[0] != '\0' ||
			span_copy(decision->dest_uri, sizeof decision->dest_uri, uri);
	case TN_ANONYMOUS:
	case TN_NOT_A_NUMBER:
		break;
	}
	decision->dest_tn.digits[0] = '\0';
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

static bool date_is_fresh(const struct call_facts *facts, int64_t freshness_s, int64_t now)
{
	int64_t date;

	if (facts->date.length == 0)
		return true;
	return sip_date_parse(facts->date, &date) && date >= now - freshness_s && date <= now + freshness_s;
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
	struct caller caller;
	bool callee_known;

	*decision = (struct sign_decision){ .customer = -1, .credential = -1 };
	find_caller(&caller, facts, policy);
	callee_known = find_called(decision, facts, policy->dial_plan);
	if (caller.kind == TN_NUMBER) {
		decision->orig = caller.tn;
		attestation_decide(&attestation, policy->attestation, policy->customers, policy->numbers, &caller.tn);
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
	} else if (caller.kind != TN_NUMBER) {
		unsigned_because(decision,
			caller.kind == TN_ANONYMOUS ? VERDICT_ANONYMOUS : VERDICT_NUMBER_FORMAT,
			no_caller_rule(policy->identity_from));
	} else if (!callee_known) {
		unsigned_because(decision, VERDICT_NUMBER_FORMAT, "To has no telephone number");
	} else if (attestation.verdict != VERDICT_SIGNED) {
		unsigned_because(decision, attestation.verdict, attestation.rule);
	} else if (!date_is_fresh(facts, policy->freshness_s, now)) {
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
