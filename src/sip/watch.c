#include "watch.h"

#include <stdio.h>
#include <string.h>

#include "stirrup/log.h"
#include "stirrup/name_addr.h"
#include "unquoted.h"

#define TEXT_BYTES 512
#define COUNTERS 1024

static uint32_t hash_of(struct span text)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < text.length; i++)
		hash = (hash ^ (unsigned char)text.at[i]) * 16777619u;
	return hash == 0 ? 1 : hash;
}

/* The third part of a token: up to what cannot stand in it. */
static struct span signature_of(struct span token)
{
	struct span signature = { token.at, 0 };
	unsigned dots = 0;

	while (token.length > 0 && dots < 2) {
		dots += token.at[0] == '.';
		token.at++;
		token.length--;
	}
	signature.at = token.at;
	while (signature.length < token.length && strchr(";\", \t\r\n", token.at[signature.length]) == NULL)
		signature.length++;
	return signature;
}

uint32_t watch_mark(struct span identity)
{
	return hash_of(signature_of(identity));
}

/* --- Reason --- */

static struct span params_of(struct span reason)
{
	const char *semicolon = memchr(reason.at, ';', reason.length);

	return semicolon == NULL ? (struct span){ reason.at, 0 } :
				   (struct span){ semicolon, (size_t)(reason.at + reason.length - semicolon) };
}

static bool is_stir(struct span reason)
{
	struct span protocol = { reason.at, 0 };

	while (protocol.length < reason.length && strchr("; \t\r\n", reason.at[protocol.length]) == NULL)
		protocol.length++;
	return span_is_caseless(protocol, "STIR");
}

/* A header field may have several (RFC 3326 section 2). */
static struct span next_reason(struct span *list)
{
	size_t length = unquoted_length(*list, ',');
	struct span reason = span_trim((struct span){ list->at, length });

	if (length < list->length)
		length++;
	*list = (struct span){ list->at + length, list->length - length };
	return reason;
}

static bool has_mark(struct span reason, uint32_t mark)
{
	struct span ppi;

	return is_stir(reason) && name_addr_param(params_of(reason), "ppi", &ppi) && watch_mark(ppi) == mark;
}

/* What is left of the list. */
static void edit_line(struct sip_edit *edit, size_t line, struct span list, uint32_t mark)
{
	static char left[SIP_EDIT_TEXT];
	struct writer writer = writer_on(left, sizeof left);
	bool found = false;

	while (list.length > 0) {
		struct span reason = next_reason(&list);

		if (has_mark(reason, mark)) {
			found = true;
			continue;
		}
		if (reason.length > 0 && writer_length(&writer) > 0)
			writer_text(&writer, ", ");
		writer_span(&writer, reason);
	}
	if (found && (writer.full || writer_length(&writer) == 0))
		sip_edit_drop(edit, line);
	else if (found)
		sip_edit_replace(edit, line, (struct span){ left, writer_length(&writer) });
}

void watch_edit(struct sip_edit *edit, const struct sip_head *response, uint32_t mark)
{
	for (size_t i = sip_head_find(response, HEADER_REASON, 0); mark != 0 && i < response->count;
		i = sip_head_find(response, HEADER_REASON, i + 1))
		edit_line(edit, i, response->lines[i].value, mark);
}

static bool speaks_of_identity(const struct sip_head *response)
{
	for (size_t i = sip_head_find(response, HEADER_REASON, 0); i < response->count;
		i = sip_head_find(response, HEADER_REASON, i + 1))
		for (struct span list = response->lines[i].value; list.length > 0;)
			if (is_stir(next_reason(&list)))
				return true;
	return false;
}

bool watch_wants(const struct sip_head *response)
{
	return response->status >= 200 || (response->status > 100 && speaks_of_identity(response));
}

/* --- Texts --- */

/* As much as there is room for: a Reason with a whole token is a long one, and begins with what matters. */
static void put_cut(struct writer *writer, struct span text)
{
	size_t room = (size_t)(writer->end - writer->at);

	writer_bytes(writer, text.at, text.length < room ? text.length : room);
}

static void put_reason(struct writer *writer, struct span reason)
{
	put_cut(writer, span_of("; Reason: "));
	put_cut(writer, reason);
}

/* "438 Invalid Identity Header; Reason: STIR;cause=438". */
static struct span status_and_reasons(char *out, size_t size, const struct sip_head *response)
{
	struct writer writer = writer_on(out, size);

	writer_number(&writer, response->status);
	put_cut(&writer, span_of(" "));
	put_cut(&writer, response->phrase);
	for (size_t i = sip_head_find(response, HEADER_REASON, 0); i < response->count;
		i = sip_head_find(response, HEADER_REASON, i + 1))
		put_reason(&writer, response->lines[i].value);
	return (struct span){ out, writer_length(&writer) };
}

/* "180 from 198.51.100.7:5060; Reason: STIR;cause=436". */
static struct span note_of(char *out, size_t size, const struct sip_head *response, const char *by)
{
	struct writer writer = writer_on(out, size);

	writer_number(&writer, response->status);
	put_cut(&writer, span_of(" from "));
	put_cut(&writer, span_of(by));
	for (size_t i = sip_head_find(response, HEADER_REASON, 0); i < response->count;
		i = sip_head_find(response, HEADER_REASON, i + 1))
		for (struct span list = response->lines[i].value; list.length > 0;) {
			struct span reason = next_reason(&list);

			if (is_stir(reason))
				put_reason(&writer, reason);
		}
	return (struct span){ out, writer_length(&writer) };
}

/* --- Counters --- */

struct counter {
	uint32_t key;
	unsigned long count;
};
static struct counter counters[COUNTERS];

/* What says that somebody does not like an Identity, or the call itself: RFC 8224 section 6.2.2, RFC 8197, RFC 8688, and 603+
 * with its Reason (ATIS-1000099); RFC 9410 in any response. */
static bool is_counted(const struct sip_head *response)
{
	switch (response->status) {
	case 403:
	case 428:
	case 436:
	case 437:
	case 438:
	case 603:
	case 607:
	case 608:
		return true;
	}
	return speaks_of_identity(response);
}

static unsigned long count(const char *by, const char *customer, unsigned status)
{
	char text[NET_TEXT_SIZE + 128];
	uint32_t key;
	size_t at;

	/* By host: ports cost nothing, and would fill the table. */
	snprintf(text, sizeof text, "%.*s/%.64s/%u", (int)(strrchr(by, ':') == NULL ? strlen(by) : (size_t)(strrchr(by, ':') - by)), by,
		customer, status);
	key = hash_of(span_of(text));
	at = key % COUNTERS;
	for (size_t tries = 0; tries < 8; tries++, at = (at + 1) % COUNTERS)
		if (counters[at].count == 0 || counters[at].key == key) {
			counters[at].key = key;
			return ++counters[at].count;
		}
	return 3; /* no room for one more: counted nowhere, and not told */
}

static bool is_power_of_two(unsigned long number)
{
	return (number & (number - 1)) == 0;
}

/* Each first one, and then ever fewer, are logged. */
static void count_response(const struct watched_call *call, const struct sip_head *response, const char *by)
{
	char text[TEXT_BYTES], name[16];
	struct span said;
	unsigned long times;

	snprintf(name, sizeof name, "%04x", call->customer);
	times = count(by, call->customer == 0 ? "" : name, response->status);
	if (!is_power_of_two(times))
		return;
	said = status_and_reasons(text, sizeof text, response);
	log_notice("next hop %s: %.*s (peer %s, %lu times with this status and customer)", by, (int)said.length, said.at,
		call->peer == NULL ? "unknown" : call->peer->name, times);
}

/* --- Both --- */

void watch_response(struct worker *worker, const struct watched_call *call, const struct sip_head *response, const char *by)
{
	char text[TEXT_BYTES];

	if (response->status <= 100)
		return;
	if (response->status < 300 && speaks_of_identity(response))
		call_record_note(worker, call->record, note_of(text, sizeof text, response, by));
	if (response->status >= 300)
		call_record_final(worker, call->record, response->status, by,
			status_and_reasons(text, sizeof text, response));
	else if (response->status >= 200)
		call_record_final(worker, call->record, response->status, by, span_of(call->note));
	if (is_counted(response))
		count_response(call, response, by);
}

void watch_aside(struct worker *worker, const struct watched_call *call, const struct sip_head *response, const char *by)
{
	char text[TEXT_BYTES];

	if (!is_counted(response))
		return;
	if (call->record != 0)
		call_record_note(worker, call->record, note_of(text, sizeof text, response, by));
	count_response(call, response, by);
}
