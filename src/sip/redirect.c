#include "worker_state.h"

#include <inttypes.h>
#include <stdio.h>

#include "stirrup/clock.h"
#include "stirrup/contact.h"
#include "stirrup/log.h"
#include "stirrup/sip_date.h"

#define CONTACT_MAX 1536

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

/* --- Answering --- */

static bool is_us(const char *host_port, void *context)
{
	const struct generation *generation = context;
	const struct config *config = generation->config;

	for (size_t i = 0; i < config->listener_count; i++) {
		const char *advertise = config->listeners[i].advertise;

		if (strcasecmp(generation->listener_texts[i], host_port) == 0 ||
			(advertise != NULL && strcasecmp(advertise, host_port) == 0))
			return true;
	}
	return false;
}

static bool write_contact(char *out, size_t size, const struct call *call)
{
	struct contact_choice choice = {
		.request_uri = call->request.facts.request_uri,
		.next_hop = call->peer->next_hop,
		.via_host = call->request.via_host,
		.via_port = call->request.via_port,
		.source = call->source,
		.transport = call->path.connection != NULL ? "tcp" : "udp",
		.is_us = is_us,
		.context = call->generation,
	};

	return contact_write(out, size, &choice);
}

static void begin(struct worker *worker, const struct call *call, unsigned status, const char *phrase)
{
	char tag[CALL_TAG_SIZE];

	call_digest_tag(&call->digest, tag);
	answer_begin(&worker->answer, status, phrase, call->sip, tag);
}

/* Ends the answer, sends it, remembers it, records the call, lets it go. */
static void finish(struct worker *worker, struct call *call, const struct call_outcome *outcome)
{
	struct call_outcome sent = *outcome;
	struct span bytes;

	if (answer_end(&worker->answer, &bytes)) {
		reply_path_send(&call->path, bytes);
		if (call->path.connection == NULL)
			answer_memo_put(worker->memo, &call->digest, bytes);
	} else {
		log_error("peer %s: an answer of status %u does not fit into a datagram", call->peer->name,
			outcome->status);
		sent.status = 0;
	}
	call_record_send(worker, call, &sent);
	call_release(call);
}

static void redirect(struct worker *worker, struct call *call, struct call_outcome *outcome)
{
	char contact[CONTACT_MAX];
	char date[SIP_DATE_SIZE];
	int64_t now = outcome->iat != 0 ? outcome->iat : wall_us() / 1000000;

	if (!write_contact(contact, sizeof contact, call)) {
		outcome->result = "rejected";
		outcome->verdict = VERDICT_NO_CONTACT;
		outcome->rule = "every Contact would be the Request-URI or us";
		outcome->status = 404;
		begin(worker, call, 404, answer_phrase(404));
		finish(worker, call, outcome);
		return;
	}
	begin(worker, call, outcome->status, answer_phrase(outcome->status));
	answer_header(&worker->answer, "Contact", span_of(contact));
	sip_date_format(date, now);
	answer_header(&worker->answer, "Date", span_of(date));
	if (outcome->verdict == VERDICT_SIGNED)
		answer_header(&worker->answer, "Identity", outcome->identity);
	finish(worker, call, outcome);
}

static void refuse(struct worker *worker, struct call *call, struct call_outcome *outcome, const char *phrase)
{
	outcome->result = "rejected";
	begin(worker, call, outcome->status, phrase);
	finish(worker, call, outcome);
}

static void leave_unsigned(struct worker *worker, struct call *call, enum verdict verdict, const char *rule)
{
	struct call_outcome outcome = {
		.result = "unsigned",
		.verdict = verdict,
		.rule = rule,
		.status = call->decision.emergency ? 302 : call->peer->unsigned_status,
	};

	if (outcome.status < 400) {
		redirect(worker, call, &outcome);
		return;
	}
	begin(worker, call, outcome.status, answer_phrase(outcome.status));
	finish(worker, call, &outcome);
}

static void reject(struct worker *worker, struct call *call)
{
	struct call_outcome outcome = { .verdict = call->decision.verdict, .status = call->peer->reject_status };

	/* RFC 8224 section 6.1 step 3 names this answer. */
	if (call->decision.verdict == VERDICT_STALE_DATE) {
		outcome.status = 403;
		refuse(worker, call, &outcome, "Stale Date");
	} else {
		refuse(worker, call, &outcome, answer_phrase(outcome.status));
	}
}

/* No signature: the peer's on_error decides where the fault is ours, an emergency call always goes on. */
static void without_signature(struct worker *worker, struct call *call, enum verdict verdict)
{
	struct call_outcome outcome = { .verdict = verdict, .rule = "on_error = 503", .status = 503 };

	if (verdict_cause(verdict) == CAUSE_FAULT && call->peer->on_error == ON_ERROR_503 && !call->decision.emergency)
		refuse(worker, call, &outcome, answer_phrase(503));
	else
		leave_unsigned(worker, call, verdict, NULL);
}

void redirect_finish(struct worker *worker, struct call *waiting, enum verdict verdict, struct span identity,
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
		redirect(worker, &call, &outcome);
	else
		without_signature(worker, &call, verdict);
}

void redirect_cancel(struct worker *worker, struct call *waiting)
{
	struct call call = *waiting;
	struct call_outcome outcome = {
		.verdict = VERDICT_CANCELLED,
		.rule = "the caller cancelled while the call waited for its signature",
		.status = 487,
	};

	waiting_calls_remove(worker->waiting, waiting);
	refuse(worker, &call, &outcome, answer_phrase(487));
}

void redirect_call(struct worker *worker, struct call *call)
{
	decide(call);
	switch (call->decision.action) {
	case SIGN_ACTION_SIGN:
		choose_origid(call);
		if (!signer_client_ask(worker, call))
			without_signature(worker, call, VERDICT_SIGNER_BUSY);
		break;
	case SIGN_ACTION_UNSIGNED:
		leave_unsigned(worker, call, call->decision.verdict, NULL);
		break;
	case SIGN_ACTION_REJECT:
		reject(worker, call);
		break;
	}
}
