#include "worker_state.h"

#include "stirrup/channel.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"
#include "stirrup/record.h"

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
	record->removed = outcome->removed;
	record->removed_count = outcome->removed_count;
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
	char *bytes = worker->record_backlog.bytes;
	size_t at = 0;

	while (at < worker->record_backlog.length) {
		const char *end = memchr(bytes + at, '\n', worker->record_backlog.length - at);
		size_t length = (size_t)(end - (bytes + at)) + 1;

		if (!channel_send(worker->recorder, bytes + at, length, -1))
			break;
		at += length;
	}
	worker->record_backlog.length -= at;
	memmove(bytes, bytes + at, worker->record_backlog.length);
}

static bool keep_back(struct worker *worker, const char *line, size_t length)
{
	if (length > sizeof worker->record_backlog.bytes - worker->record_backlog.length)
		return false;
	memcpy(worker->record_backlog.bytes + worker->record_backlog.length, line, length);
	worker->record_backlog.length += length;
	deadlines_start(worker);
	return true;
}

void call_record_send(struct worker *worker, const struct call *call, const struct call_outcome *outcome)
{
	static struct log_limiter limiter;
	static char line[RECORD_MAX];
	const struct config *config = call->generation->config;
	unsigned long suppressed;
	size_t length;
	struct record record = {
		.time_us = call->arrived_wall_us,
		.node = config->node,
		.call_id = call->request.call_id,
		.peer = call->peer->name,
		.source = call->source,
		.service = service_word(call->peer->service),
		.mode = mode_word(call->peer->mode),
		.result = outcome->result,
		.rule = outcome->rule != NULL ? outcome->rule : call->decision.rule,
		.status = outcome->status,
		.next_hop = outcome->next_hop != NULL ? outcome->next_hop : call->peer->next_hop,
		.final_status = outcome->status,
		.microseconds = monotonic_us() - call->arrived_us,
	};

	if (worker->recorder < 0 || config->records_file == NULL)
		return;
	if (outcome->verdict != VERDICT_SIGNED && outcome->verdict != VERDICT_PASSED) {
		record.reason = verdict_word(outcome->verdict);
		record.cause = verdict_cause_word(verdict_cause(outcome->verdict));
	}
	if (call->verification != NULL)
		fill_verification(&record, call, outcome);
	else
		fill_decision(&record, call);
	if (call->decision.credential >= 0 && outcome->verdict == VERDICT_SIGNED)
		fill_signature(&record, call, outcome);
	else if (call->decision.credential >= 0)
		record.credential = config->credentials[call->decision.credential].name;
	length = record_write(line, sizeof line, &record);
	if (length > 0 && worker->record_backlog.length == 0 && channel_send(worker->recorder, line, length, -1))
		return;
	if (length > 0 && keep_back(worker, line, length))
		return;
	if (log_allowed(&limiter, &suppressed))
		log_warning("call record dropped: %s (%lu more before)",
			length == 0 ? "too long" : "the recorder does not keep up", suppressed);
}
