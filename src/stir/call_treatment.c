#include "stirrup/call_treatment.h"

#include <stdio.h>
#include <string.h>

/* The host of a URL that passed x5u_url_check(), or of whatever the token has in its place: then nothing
 * matches. */
static void host_of(char *host, size_t size, const char *x5u)
{
	const char *start = strstr(x5u, "://");
	size_t length;

	host[0] = '\0';
	if (start == NULL)
		return;
	start += 3;
	length = *start == '[' ? strcspn(start, "]") + 1 : strcspn(start, ":/");
	if (length <= strlen(start))
		span_copy(host, size, (struct span){ start, length });
}

static const struct treatment *find_rule(
	const struct call_treatment_question *question, const struct call_treatment_policy *policy)
{
	const struct verify_identity *deciding =
		question->deciding < 0 ? NULL : &question->verification->identities[question->deciding];
	char host[256] = "";
	struct treatment_question asked = {
		.result = question->result,
		.reason = question->reason,
		.x5u_host = host,
	};

	if (deciding != NULL) {
		asked.attestation = deciding->attest;
		asked.spc = deciding->spc;
		if (deciding->passport != NULL)
			host_of(host, sizeof host, passport_x5u(deciding->passport));
	}
	return treatment_find(policy->rules, policy->rule_count, &asked);
}

static void name(struct call_treatment *out, const char *setting, const char *value)
{
	snprintf(out->name, sizeof out->name, "%s = %s", setting, value);
}

static void apply_settings(struct call_treatment *out, const struct call_treatment_question *question,
	const struct call_treatment_policy *policy)
{
	if (question->result == VERIFY_PASSED) {
		snprintf(out->name, sizeof out->name, "verified");
	} else if (verdict_cause(question->reason) == CAUSE_FAULT && policy->fault_is_503) {
		out->reject = true;
		out->status = 503;
		name(out, "on_error", "503");
	} else if (question->reason == VERDICT_NO_IDENTITY || question->reason == VERDICT_UNSUPPORTED_PPT) {
		out->reject = policy->identity_required;
		name(out, "identity_required", out->reject ? "true" : "false");
	} else {
		out->reject = policy->on_failure == ON_FAILURE_REJECT;
		name(out, "on_failure", out->reject ? "reject" : "continue");
	}
}

void call_treatment_find(struct call_treatment *out, const struct call_treatment_question *question,
	const struct call_treatment_policy *policy)
{
	*out = (struct call_treatment){ .rule = find_rule(question, policy) };
	if (out->rule == NULL) {
		apply_settings(out, question, policy);
	} else {
		out->reject = out->rule->reject;
		out->status = out->rule->status;
		out->phrase = out->rule->phrase;
		snprintf(out->name, sizeof out->name, "treatment of line %u", out->rule->line);
	}
	if (out->reject && question->verification->emergency) {
		out->reject = false;
		snprintf(out->name, sizeof out->name, "emergency call, not refused");
	}
	if (!out->reject)
		out->status = 0;
	else if (out->status == 0)
		out->status = verify_reject_status(question->verification);
}
