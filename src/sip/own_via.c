#include "own_via.h"

#include <stdio.h>
#include <stdlib.h>

#include "stirrup/base64url.h"
#include "stirrup/name_addr.h"
#include "stirrup/sip_uri.h"
#include "watch.h"

#define RETURNED_MAX 512 /* octets of a text that travels with the call */

static const char *transport_name(enum transport transport)
{
	switch (transport) {
	case TRANSPORT_UDP:
		return "UDP";
	case TRANSPORT_TCP:
		return "TCP";
	case TRANSPORT_TLS:
		return "TLS";
	}
	return "";
}

void own_via_put(struct writer *writer, const struct generation *generation, const struct egress *egress,
	const char *branch, const char *seal)
{
	writer_text(writer, "SIP/2.0/");
	writer_text(writer, transport_name(egress->transport));
	writer_text(writer, " ");
	writer_text(writer, egress_text(generation, egress));
	writer_text(writer, ";branch=");
	writer_text(writer, branch);
	if (seal != NULL) {
		writer_text(writer, ";s=");
		writer_text(writer, seal);
	}
}

/* Which Identity a Reason is about, where there were several (RFC 9410 section 5): their signatures, as far as the seal has
 * room for their verdicts. They come back with the responses. */
static void put_signatures(struct writer *writer, const struct stamps *stamps)
{
	for (size_t i = 0; i < stamps->reason_count && i < SEAL_VERDICTS_MAX; i++) {
		writer_text(writer, i == 0 ? ";p=" : ".");
		writer_span(writer, stamps->signatures[i]);
	}
}

static void put_own_mark(struct writer *writer, struct span identity)
{
	char mark[16];

	if (identity.length == 0)
		return;
	snprintf(mark, sizeof mark, ";o=%08x", watch_mark(identity));
	writer_text(writer, mark);
}

void own_via_put_text(struct writer *writer, const char *name, struct span text)
{
	char encoded[BASE64URL_LENGTH(RETURNED_MAX)];

	if (text.length == 0 || text.length > RETURNED_MAX)
		return;
	writer_text(writer, name);
	writer_bytes(writer, encoded, base64url_encode(encoded, text.at, text.length));
}

/* What own_via_put_text() wrote: nobody else can make another line of it. */
static bool read_encoded(char *out, size_t size, struct span text)
{
	size_t length;

	if (text.length == 0 || !base64url_decode((unsigned char *)out, size - 1, &length, text))
		return false;
	out[length] = '\0';
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)out[i] < ' ')
			return false;
	return length > 0;
}

size_t own_via_branches(const struct worker *worker, const struct seal_request *sealed, struct span method,
	char branches[OWN_BRANCHES_MAX][SEAL_BRANCH_SIZE])
{
	bool follows = span_is(method, "CANCEL") || span_is(method, "ACK");
	size_t count = follows && seal_previous_branch(worker->sealer, sealed, branches[0]) ? 1 : 0;

	seal_branch(worker->sealer, sealed, branches[count]);
	return count + 1;
}

void own_via_add(struct sip_edit *edit, const struct worker *worker, const struct generation *generation,
	const struct egress *egress, const struct seal_request *sealed, const struct seal_via *fields,
	const struct stamps *stamps, struct span identity, const char *branch)
{
	struct seal_via_bound bound = {
		.branch = span_of(branch),
		.next = sealed->via,
		.call_id = sealed->call_id,
		.cseq = sealed->cseq,
	};
	char seal[SEAL_VIA_SIZE], text[2048];
	struct writer writer = writer_on(text, sizeof text);

	seal_via_write(worker->sealer, fields, &bound, seal);
	own_via_put(&writer, generation, egress, branch, seal);
	if (stamps != NULL && (fields->flags & SEAL_SEVERAL) != 0)
		put_signatures(&writer, stamps);
	put_own_mark(&writer, identity);
	if (stamps != NULL)
		own_via_put_text(&writer, ";f=", stamps->from_received);
	sip_edit_prepend(edit, "Via", (struct span){ text, writer_length(&writer) });
}

bool own_via_is_loop(struct worker *worker, const struct sip_head *request, const struct seal_request *sealed)
{
	for (size_t i = sip_head_find(request, HEADER_VIA, 0); i < request->count;
		i = sip_head_find(request, HEADER_VIA, i + 1)) {
		struct span rest = request->lines[i].value;
		struct via via;

		while (via_next(&rest, &via))
			if (seal_is_loop(worker->sealer, sealed, &via))
				return true;
	}
	return false;
}

/* --- What comes back --- */

struct span own_via_param(const struct via *via, const char *name)
{
	const char *semicolon = memchr(via->item.at, ';', via->item.length);
	struct span value = { "", 0 };

	if (semicolon != NULL)
		name_addr_param((struct span){ semicolon, (size_t)(via->item.at + via->item.length - semicolon) }, name, &value);
	return value;
}

uint32_t own_via_mark(const struct via *via)
{
	struct span value = own_via_param(via, "o");
	char text[9];

	return span_copy(text, sizeof text, value) ? (uint32_t)strtoul(text, NULL, 16) : 0;
}

uint64_t own_via_record(struct span branch)
{
	char hex[17] = { 0 };

	if (branch.length < 8 + 16)
		return 0;
	memcpy(hex, branch.at + 8, 16);
	return strtoull(hex, NULL, 16);
}

bool own_via_read_from(char *out, size_t size, struct span encoded, struct span tag)
{
	struct span own;

	if (!read_encoded(out, size, encoded))
		return false;
	own = sip_tag(span_of(out));
	return own.length == tag.length && memcmp(own.at, tag.at, tag.length) == 0;
}

bool own_via_next(const struct sip_head *response, struct via *via)
{
	unsigned seen = 0;

	for (size_t i = sip_head_find(response, HEADER_VIA, 0); i < response->count;
		i = sip_head_find(response, HEADER_VIA, i + 1)) {
		struct span rest = response->lines[i].value;

		while (via_next(&rest, via))
			if (seen++ == 1)
				return true;
	}
	return false;
}

bool own_via_address(const struct via *via, struct sockaddr_storage *address)
{
	char text[NET_TEXT_SIZE * 2];
	struct span host = via->received.length > 0 ? via->received : via->host;
	struct span port = via->rport.length > 0 ? via->rport : via->port;
	struct writer writer = writer_on(text, sizeof text);
	bool bare_six = host.length > 0 && host.at[0] != '[' && memchr(host.at, ':', host.length) != NULL;
	enum transport transport;
	struct sip_uri uri;

	writer_text(&writer, bare_six ? "sip:[" : "sip:");
	writer_span(&writer, host);
	writer_text(&writer, bare_six ? "]" : "");
	if (port.length > 0) {
		writer_text(&writer, ":");
		writer_span(&writer, port);
	}
	return writer_end(&writer) && sip_uri_read(&uri, span_of(text)) && sip_uri_endpoint(&uri, address, &transport);
}
