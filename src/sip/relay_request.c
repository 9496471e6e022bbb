#include "relay_state.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>

#include "forward.h"
#include "outgoing.h"
#include "own_route.h"
#include "own_via.h"
#include "stirrup/sip_uri.h"
#include "stirrup/verstat.h"

static void write_branch(const struct worker *worker, const struct relay *relay, char branch[RELAY_BRANCH_SIZE])
{
	snprintf(branch, RELAY_BRANCH_SIZE, RELAY_BRANCH "%02x%016llx%x", worker->index & 0xff, (unsigned long long)relay->id,
		relay->attempt & 0xf);
}

static void put_request_uri(struct writer *writer, const struct relay *relay)
{
	static char uri[2048], clean[2048];
	char hop[NET_TEXT_SIZE];
	struct span received = relay->received_uri;
	struct sip_uri parts;
	unsigned removed;

	uri[0] = '\0';
	if (relay->request_uri.length > 0) {
		writer_span(writer, relay->request_uri);
		return;
	}
	if (verstat_in_uri(received) && verstat_strip(clean, sizeof clean, received, &removed))
		received = span_of(clean);
	relay_hop_text(relay, relay->hop, hop);
	if (relay->kind == RELAY_FORWARD)
		forward_request_uri(relay->generation, relay->received_uri, hop, uri, sizeof uri);
	else if (!sip_uri_read(&parts, received) || !sip_uri_at(uri, sizeof uri, &parts, hop))
		uri[0] = '\0';
	if (uri[0] != '\0')
		writer_text(writer, uri);
	else
		writer_span(writer, relay->received_uri);
}

static void put_head(const struct worker *worker, struct writer *writer, const struct relay *relay, const char *method)
{
	char branch[RELAY_BRANCH_SIZE];

	write_branch(worker, relay, branch);
	if (method != NULL)
		writer_text(writer, method);
	else
		writer_span(writer, relay->method);
	writer_text(writer, " ");
	put_request_uri(writer, relay);
	writer_text(writer, " SIP/2.0\r\nVia: ");
	own_via_put(writer, relay->generation, &relay->egress, branch, relay->loop[0] == '\0' ? NULL : relay->loop);
	writer_text(writer, "\r\n");
}

static void put_own_lines(struct writer *writer, const struct relay *relay)
{
	char seal[OWN_ROUTE_PARAMS_SIZE];

	if (relay->record_route.length > 0 && span_copy(seal, sizeof seal, relay->record_route))
		own_route_put(writer, relay->generation, &relay->egress, relay->listener, seal);
	if (relay->shows_contact)
		b2bua_put_contact(writer, relay);
}

size_t relay_request(char *out, size_t size, const struct worker *worker, const struct relay *relay)
{
	struct writer writer = writer_on(out, size);

	assert(!relay->is_short);
	put_head(worker, &writer, relay, NULL);
	put_own_lines(&writer, relay);
	writer_bytes(&writer, relay->rest, relay->rest_length);
	if (relay->egress.transport == TRANSPORT_UDP && writer_length(&writer) > DATAGRAM_BYTES_MAX)
		return 0;
	return writer.full ? 0 : writer_length(&writer);
}

/* As a head of its own. NULL: it is none. */
static const struct sip_head *read_rest(const struct relay *relay)
{
	static struct sip_head head;
	static char text[MESSAGE_BYTES_MAX];
	struct writer invite = writer_on(text, sizeof text);

	writer_text(&invite, "INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x\r\n");
	writer_bytes(&invite, relay->rest, relay->rest_length);
	return !invite.full && sip_head_read(&head, (struct span){ text, writer_length(&invite) }) ? &head : NULL;
}

size_t relay_follower(char *out, size_t size, const struct worker *worker, const struct relay *relay, const char *method,
	struct span to)
{
	const struct sip_head *head = read_rest(relay);
	struct writer writer = writer_on(out, size);
	struct sip_basics basics;

	if (head == NULL || !sip_basics_read(&basics, head))
		return 0;
	put_head(worker, &writer, relay, method);
	for (size_t i = 0; i < head->count; i++) {
		enum header_kind kind = head->lines[i].kind;

		if (kind == HEADER_FROM || kind == HEADER_CALL_ID || kind == HEADER_ROUTE || (kind == HEADER_TO && to.length == 0))
			writer_span(&writer, head->lines[i].line);
	}
	if (to.length > 0) {
		writer_text(&writer, "To: ");
		writer_span(&writer, to);
		writer_text(&writer, "\r\n");
	}
	writer_text(&writer, "CSeq: ");
	writer_number(&writer, basics.cseq);
	writer_text(&writer, " ");
	writer_text(&writer, method);
	writer_text(&writer, "\r\nMax-Forwards: 70\r\n");
	if (relay->cancel_reasons != NULL && strcmp(method, "CANCEL") == 0)
		writer_text(&writer, relay->cancel_reasons);
	writer_text(&writer, "Content-Length: 0\r\n\r\n");
	return writer.full ? 0 : writer_length(&writer);
}

static bool is_repeated(enum header_kind kind)
{
	return kind == HEADER_FROM || kind == HEADER_TO || kind == HEADER_CALL_ID || kind == HEADER_CSEQ || kind == HEADER_ROUTE;
}

void relay_shorten(struct relay *relay)
{
	const struct sip_head *head = relay->rest == NULL || relay->is_short ? NULL : read_rest(relay);
	struct writer writer;
	char *shorter;

	if (head == NULL)
		return;
	/* What it is read from is a copy. */
	writer = writer_on(relay->rest, relay->rest_length);
	for (size_t i = 0; i < head->count; i++)
		if (is_repeated(head->lines[i].kind))
			writer_span(&writer, head->lines[i].line);
	writer_text(&writer, "\r\n");
	relay->rest_length = writer_length(&writer);
	relay->is_short = true;
	shorter = realloc(relay->rest, relay->rest_length);
	if (shorter != NULL)
		relay->rest = shorter;
}

bool relay_owns(struct span branch)
{
	return branch.length > sizeof RELAY_BRANCH - 1 && memcmp(branch.at, RELAY_BRANCH, sizeof RELAY_BRANCH - 1) == 0;
}
