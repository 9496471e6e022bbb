#include "relay_state.h"

#include <stdlib.h>
#include <string.h>

#define CANCEL_REASONS_MAX 1024

void relay_free(struct relay *relay)
{
	egress_forget(&relay->wait);
	reply_path_close(&relay->path);
	generation_unref(relay->generation);
	free(relay->block);
	free(relay->answer);
	free(relay->hops);
	free(relay->rest);
	free(relay->cancel_reasons);
	free(relay->acknowledgement);
	free(relay);
}

/* But where another hop may still have the INVITE: what it says is answered. */
void relay_forget_request(struct relay *relay)
{
	egress_forget(&relay->wait);
	if (relay->is_invite && (relay->attempt > 1 || relay->ended_here))
		return;
	free(relay->rest);
	relay->rest = NULL;
}

/* A copy of length bytes, NULL when memory is out. */
char *relay_copy(const char *bytes, size_t length)
{
	char *copy = malloc(length > 0 ? length : 1);

	if (copy != NULL)
		memcpy(copy, bytes, length);
	return copy;
}

void relay_keep_answer(struct relay *relay, struct span answer)
{
	free(relay->answer);
	relay->answer = relay_copy(answer.at, answer.length);
	relay->answer_length = relay->answer == NULL ? 0 : answer.length;
}

void relay_keep_cancel_reasons(struct relay *relay, const struct sip_head *cancel)
{
	char lines[CANCEL_REASONS_MAX];
	struct writer writer = writer_on(lines, sizeof lines);

	for (size_t i = sip_head_find(cancel, HEADER_REASON, 0); i < cancel->count; i = sip_head_find(cancel, HEADER_REASON, i + 1))
		writer_span(&writer, cancel->lines[i].line);
	if (writer_length(&writer) > 0 && writer_end(&writer) && relay->cancel_reasons == NULL)
		relay->cancel_reasons = relay_copy(lines, strlen(lines) + 1);
}

/* --- What is kept of a request --- */

static struct span put(struct writer *writer, struct span text)
{
	struct span kept = { writer->at, text.length };

	writer_span(writer, text);
	return kept;
}

static struct span put_lines(struct writer *writer, const struct sip_head *head, enum header_kind kind)
{
	struct span kept = { writer->at, 0 };

	for (size_t i = sip_head_find(head, kind, 0); i < head->count; i = sip_head_find(head, kind, i + 1))
		writer_span(writer, head->lines[i].line);
	kept.length = (size_t)(writer->at - kept.at);
	return kept;
}

static struct span put_reasons(struct writer *writer, const struct stamps *stamps)
{
	struct span kept = { writer->at, 0 };

	for (size_t i = 0; stamps != NULL && i < stamps->reason_count; i++) {
		writer_text(writer, "Reason: ");
		writer_span(writer, stamps->reasons[i]);
		writer_text(writer, "\r\n");
	}
	kept.length = (size_t)(writer->at - kept.at);
	return kept;
}

static size_t length_of_block(const struct relay_plan *plan)
{
	const struct sip_head *head = plan->received;
	size_t length = head->method.length + plan->request_uri.length + head->request_uri.length + plan->contact.length +
		plan->far_call_id.length + (plan->record_route == NULL ? 0 : strlen(plan->record_route));

	for (size_t i = 0; i < head->count; i++)
		switch (head->lines[i].kind) {
		case HEADER_VIA:
		case HEADER_FROM:
		case HEADER_TO:
		case HEADER_CALL_ID:
		case HEADER_CSEQ:
		case HEADER_RECORD_ROUTE:
			length += head->lines[i].line.length;
			break;
		case HEADER_CONTACT:
		case HEADER_ROUTE:
		case HEADER_MAX_FORWARDS:
		case HEADER_CONTENT_LENGTH:
		case HEADER_DATE:
		case HEADER_IDENTITY:
		case HEADER_P_ASSERTED_IDENTITY:
		case HEADER_CLAIMED:
		case HEADER_REASON:
		case HEADER_SESSION_EXPIRES:
		case HEADER_REPLACES:
		case HEADER_JOIN:
		case HEADER_TARGET_DIALOG:
		case HEADER_IN_REPLY_TO:
		case HEADER_REFER_TO:
		case HEADER_OTHER:
			break;
		}
	for (size_t i = 0; plan->stamps != NULL && i < plan->stamps->reason_count; i++)
		length += plan->stamps->reasons[i].length + 10;
	return length;
}

static bool keep_texts(struct relay *relay, const struct relay_plan *plan)
{
	const struct sip_head *head = plan->received;
	size_t length = length_of_block(plan);
	struct writer writer;

	relay->block = malloc(length + 1);
	relay->block_length = length;
	if (relay->block == NULL)
		return false;
	writer = writer_on(relay->block, length);
	relay->method = put(&writer, head->method);
	relay->request_uri = put(&writer, plan->request_uri);
	relay->received_uri = put(&writer, head->request_uri);
	relay->contact = put(&writer, plan->contact);
	relay->record_route = put(&writer, span_of(plan->record_route));
	relay->far_call_id = put(&writer, plan->far_call_id);
	relay->vias = put_lines(&writer, head, HEADER_VIA);
	relay->from = put_lines(&writer, head, HEADER_FROM);
	relay->to = put_lines(&writer, head, HEADER_TO);
	relay->call_id = put_lines(&writer, head, HEADER_CALL_ID);
	relay->cseq = put_lines(&writer, head, HEADER_CSEQ);
	relay->record_routes = put_lines(&writer, head, HEADER_RECORD_ROUTE);
	relay->reasons = put_reasons(&writer, plan->stamps);
	return !writer.full;
}

static void keep_hop(struct kept_hop *kept, const struct hop *hop)
{
	*kept = (struct kept_hop){ hop->transport, hop->transport_given, hop->takes_no_tcp, { { 0 } } };
	memcpy(&kept->address, &hop->address, net_length(&hop->address));
}

struct sockaddr_storage relay_hop_address(const struct relay *relay, unsigned hop)
{
	struct sockaddr_storage address = { 0 };

	memcpy(&address, &relay->hops[hop].address, sizeof relay->hops[hop].address);
	return address;
}

void relay_hop_text(const struct relay *relay, unsigned hop, char text[NET_TEXT_SIZE])
{
	net_text(text, &relay->hops[hop].address.any);
}

static bool keep_rest(struct relay *relay, struct span rest)
{
	relay->rest_length = rest.length;
	relay->rest = relay_copy(rest.at, rest.length);
	return relay->rest != NULL;
}

struct relay *relay_new(const struct relay_plan *plan, struct span rest)
{
	struct relay *relay = calloc(1, sizeof *relay);

	if (relay == NULL)
		return NULL;
	relay->digest = plan->digest;
	relay->peer = plan->peer;
	relay->kind = plan->kind;
	relay->is_invite = span_is(plan->received->method, "INVITE");
	relay->from_caller = plan->from_caller;
	relay->shows_contact = plan->shows_contact;
	relay->flags = plan->flags;
	relay->customer = plan->customer;
	relay->mark = plan->mark;
	relay->keeps_from = plan->stamps != NULL && plan->stamps->from_received.length > 0;
	relay->changes_from = plan->stamps != NULL && plan->stamps->from.length > 0;
	relay->listener = plan->listener;
	relay->record = plan->record;
	relay->begins_call = plan->record != 0;
	relay->dialog = plan->dialog;
	relay->hop_count = (uint8_t)plan->hop_count;
	relay->hops = malloc(plan->hop_count * sizeof *relay->hops);
	if (plan->egress != NULL) {
		relay->egress_given = true;
		relay->egress = *plan->egress;
	}
	for (size_t i = 0; relay->hops != NULL && i < plan->hop_count; i++)
		keep_hop(&relay->hops[i], &plan->hops[i]);
	if (relay->hops != NULL && keep_texts(relay, plan) && keep_rest(relay, rest)) {
		call_digest_tag(&relay->digest, relay->tag);
		relay->generation = generation_ref(plan->generation);
		return relay;
	}
	relay_free(relay);
	return NULL;
}
