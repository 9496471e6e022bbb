#include "worker_state.h"

#include "stirrup/clock.h"
#include "stirrup/contact.h"
#include "stirrup/log.h"
#include "stirrup/sip_date.h"
#include "stirrup/verstat.h"

#define CONTACT_MAX 1536

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

/* Where the call was to go, without a verstat, which nobody found out about the number that is called. */
static struct span request_uri_of(const struct call *call)
{
	static char stripped[65536];
	struct span uri = call->request.facts.request_uri;
	unsigned removed;

	if (!verstat_in_uri(uri) || !verstat_strip(stripped, sizeof stripped, uri, &removed))
		return uri;
	return span_of(stripped);
}

static bool write_contact(char *out, size_t size, const struct call *call, const char *next_hop)
{
	struct contact_choice choice = {
		.request_uri = request_uri_of(call),
		.next_hop = next_hop != NULL ? next_hop : call->peer->next_hop,
		.via_host = call->basics.via.host,
		.via_port = call->basics.via.port,
		.source = call->source,
		.transport = call->path.connection != NULL ? "tcp" : "udp",
		.is_us = is_us,
		.context = call->generation,
	};

	return contact_write(out, size, &choice);
}

static void put_stamps(struct worker *worker, const struct stamps *stamps)
{
	for (size_t i = 0; i < stamps->asserted_count; i++)
		answer_header(&worker->answer, "P-Asserted-Identity", stamps->asserted[i]);
	for (size_t i = 0; i < stamps->reason_count; i++)
		answer_header(&worker->answer, "Reason", stamps->reasons[i]);
	for (size_t i = 0; i < stamps->added_count; i++)
		answer_header(&worker->answer, stamps->added[i].name, stamps->added[i].value);
}

static void put_headers(struct worker *worker, const struct call_outcome *outcome)
{
	if (outcome->identity.length > 0)
		answer_header(&worker->answer, "Identity", outcome->identity);
	if (outcome->stamps != NULL)
		put_stamps(worker, outcome->stamps);
}

/* Ends the answer, sends it, remembers it, records the call, lets it go. */
static void finish(struct worker *worker, struct call *call, const struct call_outcome *outcome)
{
	struct call_outcome sent = *outcome;
	struct span bytes;

	if (answer_end(&worker->answer, &bytes)) {
		reply_path_send(&call->path, bytes);
		/* By a connection nothing is repeated; but an ACK and a CANCEL of what would have been sent on must find that
		 * they end here. */
		if (call->path.connection == NULL || call->peer->mode != MODE_REDIRECT)
			answer_memo_put(worker->memo, &call->digest, bytes);
	} else {
		log_error("peer %s: an answer of status %u does not fit into a datagram", call->peer->name,
			outcome->status);
		sent.status = 0;
	}
	call_record_send(worker, call, &sent);
	call_release(call);
}

static void begin(struct worker *worker, const struct call *call, const struct call_outcome *outcome)
{
	const char *phrase = outcome->phrase != NULL ? outcome->phrase : answer_phrase(outcome->status);
	char tag[CALL_TAG_SIZE];

	call_digest_tag(&call->digest, tag);
	answer_begin(&worker->answer, outcome->status, phrase, call->head, tag);
}

void redirect_answer(struct worker *worker, struct call *call, const struct call_outcome *outcome)
{
	char contact[CONTACT_MAX];
	char date[SIP_DATE_SIZE];

	if (outcome->status >= 300 && outcome->status < 400) {
		if (!write_contact(contact, sizeof contact, call, outcome->next_hop)) {
			struct call_outcome nowhere = {
				.result = "rejected",
				.verdict = VERDICT_NO_CONTACT,
				.rule = "every Contact would be the Request-URI or us",
				.status = 404,
			};

			begin(worker, call, &nowhere);
			finish(worker, call, &nowhere);
			return;
		}
		begin(worker, call, outcome);
		answer_header(&worker->answer, "Contact", span_of(contact));
		sip_date_format(date, outcome->iat != 0 ? outcome->iat : wall_us() / 1000000);
		answer_header(&worker->answer, "Date", span_of(date));
	} else {
		begin(worker, call, outcome);
	}
	put_headers(worker, outcome);
	finish(worker, call, outcome);
}
