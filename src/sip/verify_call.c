#include "worker_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "stirrup/call_treatment.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"
#include "stirrup/name_addr.h"
#include "stirrup/reason_header.h"
#include "stirrup/verify.h"
#include "stirrup/verstat.h"
#include "stirrup/writer.h"

#define HEADERS_MAX (CALL_PAI_MAX + VERIFY_IDENTITIES_MAX + 9)
#define TEXT_BYTES 32768
/* Ten thousand calls may wait for one certificate; a signature takes 40 us to verify. */
#define JUDGED_PER_TURN 32

/* The headers of the answer being made, and the text that they borrow. */
struct stamps {
	struct extra_header headers[HEADERS_MAX];
	size_t count;
	char text[TEXT_BYTES];
	size_t used;
};

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
	if (!fetcher_client_renew(worker, x5u))
		return;
	call->renewed |= 1u << index;
	verify_reopen(verification, index);
}

static void look_up(struct worker *worker, struct call *call, size_t index)
{
	struct known_certificate known;
	bool busy;

	call->looked_up = true;
	if (fetcher_client_find(worker, x5u_of(&call->verification->identities[index]), &known, &busy))
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

/* --- The answer --- */

static bool wants_identity(enum verdict reason)
{
	return reason == VERDICT_NO_IDENTITY || reason == VERDICT_UNSUPPORTED_PPT;
}

static void add_header(struct stamps *stamps, const char *name, struct span value)
{
	if (stamps->count < HEADERS_MAX)
		stamps->headers[stamps->count++] = (struct extra_header){ name, value };
}

/* Gives room for a text that a header borrows. */
static char *room(struct stamps *stamps, size_t *size)
{
	*size = sizeof stamps->text - stamps->used;
	return stamps->text + stamps->used;
}

static struct span keep(struct stamps *stamps)
{
	char *text = stamps->text + stamps->used;
	struct span kept = span_of(text);

	stamps->used += kept.length + 1;
	return kept;
}

/* False for a value without any address, and for one that is too long. */
static bool stamp_value(struct stamps *stamps, const struct call *call, struct span value, const char *verstat)
{
	unsigned stamped, removed;
	size_t size;
	char *out = room(stamps, &size);

	if (!verstat_stamp(out, size, value, &call->verification->orig, &call->peer->dial_plan, verstat, &stamped, &removed) ||
		out[0] == '\0')
		return false;
	add_header(stamps, "P-Asserted-Identity", keep(stamps));
	return true;
}

/* From's number as a P-Asserted-Identity: the caller's own From is not ours to change in an answer. Only where it is the
 * number that was judged: what nobody verified must not become an asserted identity. */
static void stamp_from(struct stamps *stamps, const struct call *call, const char *verstat)
{
	struct span from = call->request.facts.from;
	struct name_addr item;
	struct tn tn;
	size_t size;
	char *out = room(stamps, &size);

	if (call->verification->orig_kind == TN_NUMBER && name_addr_next(&from, &item) &&
		tn_from_uri(&tn, item.uri, &call->peer->dial_plan) == TN_NUMBER &&
		strcmp(tn.digits, call->verification->orig.digits) == 0 &&
		verstat_stamp_uri(out, size, item.uri, verstat))
		add_header(stamps, "P-Asserted-Identity", keep(stamps));
}

/* What a trusted peer found out stands where there is nothing to judge. */
static bool keep_trusted(struct stamps *stamps, const struct call *call, enum verdict reason)
{
	const struct call_facts *facts = &call->request.facts;
	bool claimed = false;

	for (size_t i = 0; i < facts->pai_count; i++)
		claimed = claimed || verstat_present(facts->pai[i]);
	if (!call->peer->trusted || !claimed || !wants_identity(reason))
		return false;
	for (size_t i = 0; i < facts->pai_count; i++)
		add_header(stamps, "P-Asserted-Identity", facts->pai[i]);
	return true;
}

static void stamp_identities(struct stamps *stamps, const struct call *call, enum verify_result result, char attest)
{
	const struct call_facts *facts = &call->request.facts;
	bool in_pai = false;
	char verstat[VERSTAT_VALUE_SIZE];

	verstat_value(verstat, result, attest, call->peer->verstat_form);
	for (size_t i = 0; call->peer->verstat_place != VERSTAT_IN_FROM && i < facts->pai_count; i++)
		in_pai = stamp_value(stamps, call, facts->pai[i], verstat) || in_pai;
	if (!in_pai || call->peer->verstat_place == VERSTAT_IN_BOTH)
		stamp_from(stamps, call, verstat);
}

/* RFC 9410: one for each failing Identity; which one, where there are several. */
static void stamp_reasons(struct stamps *stamps, const struct verification *verification)
{
	for (size_t i = 0; i < verification->count; i++) {
		const struct verify_identity *identity = &verification->identities[i];
		struct span ppi = verification->count > 1 ? identity->token : (struct span){ "", 0 };
		size_t size;
		char *out = room(stamps, &size);

		if (verdict_refuses_token(identity->verdict) &&
			reason_header_write(out, size, identity->verdict, ppi) > 0)
			add_header(stamps, "Reason", keep(stamps));
	}
}

static void stamp_attestation(struct stamps *stamps, const struct verify_identity *identity)
{
	size_t size;
	char *out = room(stamps, &size);

	if (size < 2)
		return;
	out[0] = identity->attest;
	out[1] = '\0';
	add_header(stamps, "Attestation-Info", keep(stamps));
	add_header(stamps, "Origination-Id", span_of(passport_origid(identity->passport)));
}

static void stamp_extra(struct stamps *stamps, const char *header)
{
	const char *colon = header == NULL ? NULL : strchr(header, ':');
	size_t size;
	char *name = room(stamps, &size);

	if (colon == NULL || (size_t)(colon - header) >= size)
		return;
	memcpy(name, header, (size_t)(colon - header));
	name[colon - header] = '\0';
	keep(stamps);
	add_header(stamps, name, span_trim(span_of(colon + 1)));
}

/* --- The decision --- */

struct judgement {
	enum verify_result result;
	enum verdict reason;
	int index;                              /* of the identity that decided; -1: none */
	const struct verify_identity *deciding; /* NULL: none */
	struct call_treatment treatment;
};

static void conclude_identities(struct judgement *judgement, const struct call *call)
{
	const struct config *config = call->generation->config;

	judgement->result = verify_conclude(call->verification, config->verification.verstat_failed_on_any,
		&judgement->reason, &judgement->index);
	judgement->deciding = judgement->index < 0 ? NULL : &call->verification->identities[judgement->index];
}

/* A token that was seen for another call within its freshness (RFC 8224 section 12.1). Refused, another may still be good. */
static void check_replays(struct worker *worker, struct judgement *judgement, const struct call *call)
{
	const struct config *config = call->generation->config;

	while (judgement->result == VERIFY_PASSED && judgement->deciding != NULL &&
		replay_check(worker->replay, judgement->deciding->passport, call->request.call_id,
			call->arrived_wall_us / 1000000) == REPLAY_SEEN_FOR_OTHER_CALL) {
		if (config->verification.on_replay == ON_REPLAY_RECORD) {
			judgement->reason = VERDICT_REPLAYED;
			return;
		}
		verify_refuse_replay(
			call->verification, (size_t)(judgement->deciding - call->verification->identities));
		conclude_identities(judgement, call);
	}
}

static void judge_call(struct worker *worker, struct judgement *judgement, const struct call *call)
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
	call_treatment_find(&judgement->treatment, &question, &policy);
}

/* What a peer that is not trusted claims of the caller goes no further. */
static void list_removed(struct call_outcome *outcome, const struct call *call)
{
	static const char *names[CLAIMED_MAX + 1];
	const struct call_facts *facts = &call->request.facts;
	bool verstat = verstat_present(facts->from);

	outcome->removed = names;
	if (call->peer->trusted)
		return;
	for (size_t i = 0; i < call->request.claimed_count; i++)
		names[outcome->removed_count++] = call->request.claimed[i];
	for (size_t i = 0; i < facts->pai_count; i++)
		verstat = verstat || verstat_present(facts->pai[i]);
	if (verstat)
		names[outcome->removed_count++] = "verstat";
}

static void conclude(struct worker *worker, struct call *call)
{
	static struct stamps stamps;
	struct judgement judgement;
	char rule[160];
	struct call_outcome outcome = { .status = 302, .headers = stamps.headers };

	judge_call(worker, &judgement, call);
	stamps.count = 0;
	stamps.used = 0;
	outcome.result = verify_result_word(judgement.result);
	outcome.verdict = judgement.reason;
	outcome.rule = judgement.treatment.name;
	/* The token's iat decides (RFC 8224 section 6.2); the Date is told all the same. */
	if (call->verification->date_stale) {
		snprintf(rule, sizeof rule, "%s; the Date of the request is not fresh", judgement.treatment.name);
		outcome.rule = rule;
	}
	outcome.deciding = judgement.deciding;
	list_removed(&outcome, call);
	if (call->peer->shadow) {
		redirect_answer(worker, call, &outcome);
		return;
	}
	if (judgement.treatment.reject) {
		outcome.result = "rejected";
		outcome.status = judgement.treatment.status;
		outcome.phrase = judgement.treatment.phrase != NULL ? judgement.treatment.phrase :
									verdict_reject_phrase(outcome.status);
	} else {
		if (!keep_trusted(&stamps, call, judgement.reason))
			stamp_identities(&stamps, call, judgement.result,
				judgement.deciding == NULL ? 0 : judgement.deciding->attest);
		stamp_reasons(&stamps, call->verification);
		if (judgement.result == VERIFY_PASSED && call->peer->attestation_headers && judgement.deciding->attest != 0)
			stamp_attestation(&stamps, judgement.deciding);
	}
	if (judgement.treatment.rule != NULL) {
		stamp_extra(&stamps, judgement.treatment.rule->header);
		outcome.next_hop = judgement.treatment.rule->next_hop;
	}
	outcome.header_count = stamps.count;
	redirect_answer(worker, call, &outcome);
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

void verify_calls_learn(struct worker *worker, struct span x5u)
{
	static const uint64_t one = 1;
	bool any = false;

	for (struct call *call = waiting_calls_oldest(worker->waiting); call != NULL; call = call->next) {
		struct verification *verification = call->verification;

		for (size_t i = 0; verification != NULL && i < verification->count && !call->learned; i++) {
			const struct verify_identity *identity = &verification->identities[i];
			struct span wanted = identity->verdict == VERDICT_PENDING ? x5u_of(identity) : (struct span){ "", 0 };

			call->learned = wanted.length == x5u.length && memcmp(wanted.at, x5u.at, x5u.length) == 0;
		}
		any = any || call->learned;
	}
	if (any && write(worker->judging, &one, sizeof one) < 0)
		log_error("waiting calls cannot be judged before their deadline: %s", strerror(errno));
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
