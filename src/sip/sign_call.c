#include "worker_state.h"

#include <stdio.h>

#include "stirrup/verstat.h"

/* --- Deciding --- */

static void decide(struct call *call)
{
	const struct config *config = call->generation->config;
	const struct peer *peer = call->peer;
	struct sign_policy policy = {
		.identity_from = peer->identity_from,
		.on_stale_date = peer->on_stale_date,
		.freshness_s = config->freshness_s,
		.dial_plan = &peer->dial_plan,
		.attestation = &peer->attestation,
		.customers = config->customers,
		.numbers = config->numbers,
	};

	sign_decide(&call->decision, &call->request.facts, &policy, call->arrived_wall_us / 1000000);
}

/* The customer's own fixed one first, then the peer's, else one for each call (RFC 8588 section 5). */
static void choose_origid(struct call *call)
{
	const struct config *config = call->generation->config;
	const char *fixed = call->peer->origid;

	if (call->decision.customer >= 0 && config->customers[call->decision.customer].origid != NULL)
		fixed = config->customers[call->decision.customer].origid;
	if (fixed != NULL)
		snprintf(call->origid, sizeof call->origid, "%s", fixed);
	else
		call_digest_origid(&call->digest, call->origid);
}

/* --- Concluding --- */

/* Where the INVITE itself goes on, what a peer claims of its callers goes no further. */
static void conclude(struct worker *worker, struct call *call, struct call_outcome *outcome)
{
	static struct stamps stamps;
	const char *removed[REMOVED_MAX];

	outcome->removed = removed;
	if (call->peer->mode != MODE_REDIRECT && !call->peer->shadow) {
		stamp_begin(&stamps);
		stamp_unverified(&stamps, call);
		outcome->stamps = &stamps;
		outcome->removed_count = stamp_removed(call, &stamps, removed);
	} else if (verstat_in_uri(call->request.facts.request_uri)) {
		/* The Contact shows nothing else of the request. */
		removed[0] = "verstat";
		outcome->removed_count = 1;
	}
	call_conclude(worker, call, outcome);
}

static void leave_unsigned(struct worker *worker, struct call *call, enum verdict verdict)
{
	struct call_outcome outcome = {
		.result = "unsigned",
		.verdict = verdict,
		.status = call->decision.emergency ? 302 : call->peer->unsigned_status,
	};

	conclude(worker, call, &outcome);
}

static void reject(struct worker *worker, struct call *call)
{
	struct call_outcome outcome = {
		.result = "rejected",
		.verdict = call->decision.verdict,
		.status = call->peer->reject_status,
	};

	/* RFC 8224 section 6.1 step 3 names this answer. */
	if (call->decision.verdict == VERDICT_STALE_DATE) {
		outcome.status = 403;
		outcome.phrase = "Stale Date";
	}
	conclude(worker, call, &outcome);
}

/* No signature: the peer's on_error decides where the fault is ours, an emergency call always goes on. */
static void without_signature(struct worker *worker, struct call *call, enum verdict verdict)
{
	struct call_outcome outcome = {
		.result = "rejected",
		.verdict = verdict,
		.rule = "on_error = 503",
		.status = 503,
	};

	if (verdict_cause(verdict) == CAUSE_FAULT && call->peer->on_error == ON_ERROR_503 && !call->decision.emergency)
		conclude(worker, call, &outcome);
	else
		leave_unsigned(worker, call, verdict);
}

void sign_call_finish(struct worker *worker, struct call *waiting, enum verdict verdict, struct span identity,
	int64_t iat)
{
	struct call call = *waiting;
	struct call_outcome outcome = {
		.result = "signed",
		.verdict = verdict,
		.status = 302,
		.identity = identity,
		.iat = iat,
	};

	waiting_calls_remove(worker->waiting, waiting);
	if (verdict == VERDICT_SIGNED)
		conclude(worker, &call, &outcome);
	else
		without_signature(worker, &call, verdict);
}

void sign_call(struct worker *worker, struct call *call)
{
	decide(call);
	switch (call->decision.action) {
	case SIGN_ACTION_SIGN:
		choose_origid(call);
		if (!signer_client_ask(worker, call))
			without_signature(worker, call, VERDICT_SIGNER_BUSY);
		break;
	case SIGN_ACTION_UNSIGNED:
		leave_unsigned(worker, call, call->decision.verdict);
		break;
	case SIGN_ACTION_REJECT:
		reject(worker, call);
		break;
	}
}
