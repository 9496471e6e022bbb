#include "worker_state.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "stirrup/call_treatment.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"
#include "stirrup/verify.h"
#include "stirrup/writer.h"

/* Ten thousand calls may wait for one certificate; a signature takes 40 us to verify. */
#define JUDGED_PER_TURN 32

/* --- What the certificates say --- */

static struct span x5u_of(const struct verify_identity *identity)
{
	return span_of(passport_x5u(identity->passport));
}

static bool is_pending(const struct verification *verification)
{
	for (size_t i = 0; i < verification->count; i++)
		if (verification->identities[i].verdict == VERDICT_PENDING)
			return true;
	return false;
}

/* Half of all certificates live six days, and hosts reuse URLs: before a signature counts as bad, the certificate is
 * fetched once more. */
static void judge(struct worker *worker, struct call *call, size_t index, const struct known_certificate *known)
{
	struct verification *verification = call->verification;
	struct verify_identity *identity = &verification->identities[index];
	struct span x5u = x5u_of(identity);

	verify_credential(verification, index, known->facts, known->key, wall_us() / 1000000);
	if (identity->verdict != VERDICT_BAD_SIGNATURE || (call->renewed & 1u << index) != 0)
		return;
	if (!fetcher_client_renew(worker, call->peer, x5u))
		return;
	call->renewed |= 1u << index;
	verify_reopen(verification, index);
}

static void look_up(struct worker *worker, struct call *call, size_t index)
{
	struct known_certificate known;
	bool busy;

	call->looked_up = true;
	if (fetcher_client_find(
		    worker, call->peer, x5u_of(&call->verification->identities[index]), &known, &busy))
		judge(worker, call, index, &known);
	else if (busy)
		verify_give_up(call->verification, index, VERDICT_FETCHER_BUSY);
}

static void give_up_all(struct verification *verification, enum verdict verdict)
{
	for (size_t i = 0; i < verification->count; i++)
		if (verification->identities[i].verdict == VERDICT_PENDING)
			verify_give_up(verification, i, verdict);
}

/* --- The decision --- */

static void conclude_identities(struct judgement *judgement, const struct call *call)
{
	const struct config *config = call->generation->config;

	judgement->result = verify_conclude(call->verification, config->verification.verstat_failed_on_any,
		&judgement->reason, &judgement->index);
	judgement->deciding = judgement->index < 0 ? NULL : &call->verification->identities[judgement->index];
}

static bool is_replayed(struct worker *worker, const struct verify_identity *identity, const struct call *call)
{
	int64_t fresh_until = passport_iat(identity->passport) + call->generation->config->freshness_s;

	return replay_check(worker->replay, identity->digest, fresh_until, call->basics.call_id,
		       call->arrived_wall_us / 1000000) == REPLAY_SEEN_FOR_OTHER_CALL;
}

/* A token that was seen for another call within its freshness (RFC 8224 section 12.1). Refused, another may still be good. */
static void check_replays(struct worker *worker, struct judgement *judgement, const struct call *call)
{
	while (judgement->result == VERIFY_PASSED && judgement->deciding != NULL &&
		is_replayed(worker, judgement->deciding, call)) {
		if (call->generation->config->verification.on_replay == ON_REPLAY_RECORD) {
			judgement->reason = VERDICT_REPLAYED;
			return;
		}
		verify_refuse_replay(
			call->verification, (size_t)(judgement->deciding - call->verification->identities));
		conclude_identities(judgement, call);
	}
}

static void judge_call(struct worker *worker, struct judgement *judgement, struct call_treatment *treatment,
	const struct call *call)
{
	const struct peer *peer = call->peer;
	struct call_treatment_policy policy = {
		.rules = peer->treatment,
		.rule_count = peer->treatment_count,
		.on_failure = peer->on_failure,
		.identity_required = peer->identity_required,
		.fault_is_503 = peer->on_error == ON_ERROR_503,
	};
	struct call_treatment_question question = { .verification = call->verification };

	conclude_identities(judgement, call);
	check_replays(worker, judgement, call);
	question.result = judgement->result;
	question.reason = judgement->reason;
	question.deciding = judgement->index;
	call_treatment_find(treatment, &question, &policy);
}

/* What decided, and what decided nothing but is told all the same. */
static const char *rule_text(
	char *out, size_t size, const struct call *call, const struct judgement *judgement, const char *name)
{
	struct writer writer = writer_on(out, size);

	writer_text(&writer, name);
	/* The token's iat decides (RFC 8224 section 6.2). */
	if (call->verification->date_stale)
		writer_text(&writer, "; the Date of the request is not fresh");
	if (judgement->deciding != NULL && judgement->deciding->revocation_unknown)
		writer_text(&writer, "; the CRL is out of date, revocation unknown");
	return writer_end(&writer) ? out : name;
}

static void conclude(struct worker *worker, struct call *call)
{
	static struct stamps stamps;
	const char *removed[REMOVED_MAX];
	struct judgement judgement;
	struct call_treatment treatment;
	char rule[240];
	struct call_outcome outcome = { .status = 302, .removed = removed };

	judge_call(worker, &judgement, &treatment, call);
	outcome.result = verify_result_word(judgement.result);
	outcome.verdict = judgement.reason;
	outcome.rule = rule_text(rule, sizeof rule, call, &judgement, treatment.name);
	outcome.deciding = judgement.deciding;
	if (call->peer->shadow) {
		outcome.removed_count = stamp_removed(call, NULL, removed);
		call_conclude(worker, call, &outcome);
		return;
	}
	stamp_begin(&stamps);
	outcome.stamps = &stamps;
	if (treatment.reject) {
		outcome.result = "rejected";
		outcome.status = treatment.status;
		outcome.phrase = treatment.phrase != NULL ? treatment.phrase : verdict_reject_phrase(outcome.status);
	} else {
		stamp_verified(&stamps, call, &judgement);
	}
	if (treatment.rule != NULL) {
		stamp_extra(&stamps, treatment.rule->header);
		outcome.next_hop = treatment.rule->next_hop;
		outcome.hop = treatment.rule->hop;
	}
	outcome.removed_count = stamp_removed(call, &stamps, removed);
	call_conclude(worker, call, &outcome);
}

/* --- The life of a call --- */

void verify_call(struct worker *worker, struct call *call)
{
	const struct config *config = call->generation->config;
	const struct peer *peer = call->peer;
	struct verify_policy policy = {
		.identity_from = peer->identity_from,
		.dial_plan = &peer->dial_plan,
		.freshness_s = config->freshness_s,
		.ports = config->verification.allow_ports,
		.port_count = config->verification.allow_port_count,
	};
	struct call *waiting;

	call->decision = (struct sign_decision){ .customer = -1, .credential = -1 };
	call->verification = malloc(sizeof *call->verification);
	if (call->verification == NULL) {
		log_error("out of memory: a call goes unanswered");
		call_release(call);
		return;
	}
	verify_begin(call->verification, &call->request.facts, &policy, call->arrived_wall_us / 1000000);
	for (size_t i = 0; i < call->verification->count; i++)
		if (call->verification->identities[i].verdict == VERDICT_PENDING)
			look_up(worker, call, i);
	if (!is_pending(call->verification)) {
		conclude(worker, call);
		return;
	}
	waiting = waiting_calls_add(worker->waiting, call);
	if (waiting == NULL) {
		give_up_all(call->verification, VERDICT_FETCHER_BUSY);
		conclude(worker, call);
		return;
	}
	waiting->waited = true;
	waiting->deadline_us = waiting->arrived_us + config->verification.call_deadline_ms * 1000LL;
	deadlines_start(worker);
}

static void take_out_and_conclude(struct worker *worker, struct call *waiting)
{
	struct call call = *waiting;

	waiting_calls_remove(worker->waiting, waiting);
	conclude(worker, &call);
}

static bool waits_for(const struct verify_identity *identity, struct span x5u)
{
	struct span wanted = identity->verdict == VERDICT_PENDING ? x5u_of(identity) : (struct span){ "", 0 };

	return wanted.length == x5u.length && memcmp(wanted.at, x5u.at, x5u.length) == 0;
}

static void wake_judge(struct worker *worker)
{
	static const uint64_t one = 1;

	if (write(worker->judging, &one, sizeof one) < 0)
		log_error("waiting calls cannot be judged before their deadline: %s", strerror(errno));
}

void verify_calls_learn(struct worker *worker, struct span x5u)
{
	bool any = false;

	for (struct call *call = waiting_calls_oldest(worker->waiting); call != NULL; call = call->next) {
		const struct verification *verification = call->verification;

		for (size_t i = 0; verification != NULL && i < verification->count && !call->learned; i++)
			call->learned = waits_for(&verification->identities[i], x5u);
		any = any || call->learned;
	}
	if (any)
		wake_judge(worker);
}

void verify_calls_turn_away(struct worker *worker, struct span x5u, uint64_t peer)
{
	bool any = false;

	for (struct call *call = waiting_calls_oldest(worker->waiting); call != NULL; call = call->next) {
		struct verification *verification = call->verification;

		for (size_t i = 0; verification != NULL && i < verification->count; i++) {
			if (!waits_for(&verification->identities[i], x5u) || fetcher_client_peer(call->peer) != peer)
				continue;
			verify_give_up(verification, i, VERDICT_FETCHER_BUSY);
			call->learned = true;
			any = true;
		}
	}
	if (any)
		wake_judge(worker);
}

static void judge_learned(struct worker *worker, struct call *call)
{
	struct verification *verification = call->verification;

	call->learned = false;
	for (size_t i = 0; i < verification->count; i++) {
		const struct verify_identity *identity = &verification->identities[i];
		struct known_certificate known;

		if (identity->verdict == VERDICT_PENDING && fetcher_client_recall(worker, x5u_of(identity), &known))
			judge(worker, call, i, &known);
	}
	if (!is_pending(verification))
		take_out_and_conclude(worker, call);
}

void verify_calls_judge(struct worker *worker)
{
	struct call *call = waiting_calls_oldest(worker->waiting);
	unsigned judged = 0;
	uint64_t all;

	while (call != NULL) {
		struct call *next = call->next;

		if (call->learned) {
			if (judged++ == JUDGED_PER_TURN)
				return; /* the descriptor stays readable: others have their turn first */
			judge_learned(worker, call);
		}
		call = next;
	}
	if (read(worker->judging, &all, sizeof all) < 0)
		log_error("eventfd: %s", strerror(errno));
}

void verify_call_give_up(struct worker *worker, struct call *waiting, enum verdict verdict)
{
	give_up_all(waiting->verification, verdict);
	take_out_and_conclude(worker, waiting);
}
