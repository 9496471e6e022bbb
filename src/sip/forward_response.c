#include "forward.h"

#include "outgoing.h"
#include "own_via.h"
#include "stirrup/reason_header.h"
#include "stirrup/seal.h"
#include "watch.h"

/* One message is in the making at a time. */
static struct sip_edit edit;
static char made[MESSAGE_BYTES_MAX];

static void put_reasons(const struct seal_via *fields, struct span signatures)
{
	for (size_t i = 0; i < SEAL_VERDICTS_MAX && fields->verdicts[i] != 0; i++) {
		char token[REASON_PPI_MAX + 3], reason[REASON_HEADER_MAX];
		struct writer writer = writer_on(token, sizeof token);
		const char *dot = memchr(signatures.at, '.', signatures.length);
		struct span signature = { signatures.at, dot == NULL ? signatures.length : (size_t)(dot - signatures.at) };
		struct span whole = { token, 0 };

		if (signature.length > 0) {
			writer_text(&writer, "..");
			writer_span(&writer, signature);
			whole.length = writer.full ? 0 : writer_length(&writer);
		}
		signatures.at += signature.length + (dot != NULL);
		signatures.length -= signature.length + (dot != NULL);
		if (fields->verdicts[i] < VERDICT_COUNT &&
			reason_header_write(reason, sizeof reason, fields->verdicts[i], whole) > 0)
			sip_edit_append(&edit, "Reason", span_of(reason));
	}
}

static void unstamp_from(const struct sip_head *response, const struct sip_basics *basics, uint8_t flags)
{
	static char value[4096];

	if (own_via_read_from(value, sizeof value, own_via_param(&basics->via, "f"), basics->from_tag) ||
		outgoing_unstamp(value, sizeof value, basics->from, flags))
		sip_edit_replace(&edit, sip_head_find(response, HEADER_FROM, 0), span_of(value));
}

/* Nothing remembers what was counted already: a repeated response counts again. */
static void watch(struct worker *worker, const struct sip_head *response, const struct sip_basics *basics,
	const struct seal_via *fields)
{
	struct watched_call call = { .customer = fields->customer };
	char by[NET_TEXT_SIZE];

	if (!span_is(basics->method, "INVITE") || !watch_wants(response))
		return;
	call.record = own_via_record(basics->via.branch);
	call.peer = config_peer_by_hash(worker->generation->config, fields->peer);
	net_text(by, (const struct sockaddr *)&sockets_arrival()->source);
	watch_response(worker, &call, response, by);
}

static int listener_by_hash(const struct config *config, uint16_t hash)
{
	const struct listener *listener = config_listener_by_hash(config, hash);

	return listener == NULL ? -1 : (int)(listener - config->listeners);
}

void forward_response(struct worker *worker, const struct sip_head *response, const struct sip_basics *basics)
{
	const struct config *config = worker->generation->config;
	struct seal_via_bound bound = {
		.branch = basics->via.branch,
		.call_id = basics->call_id,
		.cseq = basics->cseq,
	};
	struct seal_via fields;
	struct sockaddr_storage address;
	struct egress egress;
	struct span message;

	if (!own_via_next(response, &bound.next) || !seal_via_read(worker->sealer, basics->via.seal, &bound, &fields) ||
		!own_via_address(&bound.next, &address) ||
		!egress_find(&egress, config, TRANSPORT_UDP, address.ss_family, listener_by_hash(config, fields.listener))) {
		transit_drop(worker, "a response that answers nothing of ours");
		return;
	}
	if ((fields.flags & SEAL_GUESSED) != 0 && response->status >= 300)
		return;
	sip_edit_begin(&edit, response);
	sip_edit_drop_first(&edit, HEADER_VIA, 1);
	watch_edit(&edit, response, own_via_mark(&basics->via));
	if ((fields.flags & SEAL_INITIAL) != 0) {
		unstamp_from(response, basics, fields.flags);
		if (response->status > 100 && span_is(basics->method, "INVITE"))
			put_reasons(&fields, own_via_param(&basics->via, "p"));
		watch(worker, response, basics, &fields);
	}
	if (sip_edit_write(&edit, made, sizeof made, &message))
		egress_send(&egress, worker->agent, &address, message, NULL, NULL);
}
