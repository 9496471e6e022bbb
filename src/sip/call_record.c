#include "worker_state.h"

#include "stirrup/clock.h"
#include "stirrup/log.h"
#include "stirrup/record.h"
#include "stirrup/record_message.h"

static const char *service_word(enum service service)
{
	switch (service) {
	case SERVICE_SIGN:
		return "sign";
	case SERVICE_VERIFY:
		return "verify";
	}
	return "";
}

static const char *mode_word(enum mode mode)
{
	switch (mode) {
	case MODE_REDIRECT:
		return "redirect";
	case MODE_B2BUA:
		return "b2bua";
	case MODE_FORWARD:
		return "forward";
	}
	return "";
}

static void fill_decision(struct record *record, const struct call *call)
{
	const struct config *config = call->generation->config;
	const struct sign_decision *decision = &call->decision;

	if (decision->customer >= 0)
		record->customer = config->customers[decision->customer].name;
	if (decision->orig.digits[0] != '\0')
		record->orig = decision->orig.digits;
	if (decision->dest_tn.digits[0] != '\0')
		record->dest = decision->dest_tn.digits;
	else if (decision->dest_uri[0] != '\0')
		record->dest = decision->dest_uri;
}

static void fill_signature(struct record *record, const struct call *call, const struct call_outcome *outcome)
{
	const struct config *config = call->generation->config;
	const struct credential_config *credential = &config->credentials[call->decision.credential];

	record->attest = call->decision.attest;
	record->origid = call->origid;
	record->iat = outcome->iat;
	record->credential = credential->name;
	record->x5u = credential->x5u;
	record->spc = credential->spc;
}

/* --- service "verify" --- */

/* A PASSporT of ours and how it fared, as the record tells it. */
static void describe_identity(struct record_identity *out, const struct verify_identity *identity)
{
	const struct passport *passport = identity->passport;

	*out = (struct record_identity){ .spc = identity->spc, .attest = identity->attest };
	if (passport != NULL) {
		out->ppt = passport_ppt(passport);
		out->x5u = passport_x5u(passport);
		out->origid = passport_origid(passport);
	}
	if (identity->verdict == VERDICT_PASSED) {
		out->result = verify_result_word(VERIFY_PASSED);
	} else {
		out->result = verify_result_word(
			verdict_is_failed(identity->verdict) ? VERIFY_FAILED : VERIFY_NO_VALIDATION);
		out->reason = verdict_word(identity->verdict);
	}
}

static void fill_verification(struct record *record, const struct call *call, const struct call_outcome *outcome)
{
	static struct record_identity identities[VERIFY_IDENTITIES_MAX + 1];
	const struct verification *verification = call->verification;
	const struct verify_identity *deciding = outcome->deciding;

	for (size_t i = 0; i < verification->count; i++)
		describe_identity(&identities[i], &verification->identities[i]);
	record->identities = identities;
	record->identity_count = verification->count;
	if (verification->orig_kind == TN_NUMBER)
		record->orig = verification->orig.digits;
	if (verification->dest.digits[0] != '\0')
		record->dest = verification->dest.digits;
	else if (verification->dest_uri[0] != '\0')
		record->dest = verification->dest_uri;
	record->cache = !call->looked_up ? NULL : call->waited ? "miss" : "hit";
	if (deciding == NULL)
		return;
	record->attest = deciding->attest;
	record->spc = deciding->spc;
	if (deciding->passport != NULL) {
		record->origid = passport_origid(deciding->passport);
		record->iat = passport_iat(deciding->passport);
		record->x5u = passport_x5u(deciding->passport);
	}
}

/* --- All services --- */

void call_record_flush(struct worker *worker)
{
	if (!record_queue_flush(&worker->record_backlog, worker->recorder))
		deadlines_start(worker);
}

/* length 0: the item could not be written. */
static void send_item(struct worker *worker, const char *item, size_t length)
{
	static struct log_limiter limiter;
	unsigned long suppressed;

	if (length > 0 && record_queue_put(&worker->record_backlog, item, length)) {
		call_record_flush(worker);
		return;
	}
	if (log_allowed(&limiter, &suppressed))
		log_warning("call record dropped: %s (%lu more before)",
			length == 0 ? "too long" : "the recorder does not keep up", suppressed);
}

static bool is_wanted(const struct worker *worker, const struct config *config)
{
	return worker->recorder >= 0 && config->records_file != NULL;
}

static void fill(struct record *record, const struct call *call, const struct call_outcome *outcome)
{
	const struct config *config = call->generation->config;

	*record = (struct record){
		.time_us = call->arrived_wall_us,
		.node = config->node,
		.call_id = call->basics.call_id,
		.peer = call->peer->name,
		.source = call->source,
		.service = service_word(call->peer->service),
		.mode = mode_word(call->peer->mode),
		.result = outcome->result,
		.rule = outcome->rule != NULL ? outcome->rule : call->decision.rule,
		.status = outcome->status,
		.next_hop = outcome->next_hop != NULL ? outcome->next_hop : call->peer->next_hop,
		.removed = outcome->removed,
		.removed_count = outcome->removed_count,
		.microseconds = monotonic_us() - call->arrived_us,
	};
	if (outcome->verdict != VERDICT_SIGNED && outcome->verdict != VERDICT_PASSED) {
		record->reason = verdict_word(outcome->verdict);
		record->cause = verdict_cause_word(verdict_cause(outcome->verdict));
	}
	if (call->verification != NULL)
		fill_verification(record, call, outcome);
	else
		fill_decision(record, call);
	if (call->decision.credential >= 0 && outcome->verdict == VERDICT_SIGNED)
		fill_signature(record, call, outcome);
	else if (call->decision.credential >= 0)
		record->credential = config->credentials[call->decision.credential].name;
}

void call_record_send(struct worker *worker, const struct call *call, const struct call_outcome *outcome)
{
	static char line[RECORD_MAX];
	struct record record;

	if (!is_wanted(worker, call->generation->config))
		return;
	fill(&record, call, outcome);
	record.final.status = outcome->status;
	send_item(worker, line, record_write(line, sizeof line, &record));
}

void call_record_pending(struct worker *worker, const struct call *call, const struct call_outcome *outcome, uint64_t id)
{
	static char item[RECORD_ITEM_MAX];
	struct record record;

	if (!is_wanted(worker, call->generation->config))
		return;
	fill(&record, call, outcome);
	record.status = 0; /* it is sent on, not answered */
	send_item(worker, item, record_open_write(item, sizeof item, id, &record));
}

void call_record_final(struct worker *worker, uint64_t id, unsigned status, const char *by, struct span why)
{
	struct record_final final = { .status = status, .by = span_of(by), .why = why };
	char item[sizeof(struct record_final_head) + RECORD_FINAL_MAX];

	if (is_wanted(worker, worker->generation->config))
		send_item(worker, item, record_final_write(item, sizeof item, id, &final));
}

void call_record_note(struct worker *worker, uint64_t id, struct span text)
{
	char item[sizeof(struct record_note_head) + 2 * RECORD_NOTE_MAX];

	if (is_wanted(worker, worker->generation->config))
		send_item(worker, item, record_note_write(item, sizeof item, id, text));
}
