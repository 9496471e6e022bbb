#include "stirrup/sip_basics.h"

#include <ctype.h>

#include "stirrup/name_addr.h"
#include "stirrup/sip_uri.h"
#include "stirrup/writer.h"
#include "unquoted.h"

#define MAX_FORWARDS_DEFAULT 70
#define MAX_FORWARDS_MOST 255 /* RFC 3261 section 20.22 */

/* The value of a header field that must stand there once. */
static bool take_single(const struct sip_head *head, enum header_kind kind, struct span *value)
{
	size_t at = sip_head_find(head, kind, 0);

	if (at == head->count || sip_head_find(head, kind, at + 1) != head->count)
		return false;
	*value = head->lines[at].value;
	return value->length > 0;
}

static unsigned max_forwards(struct span value)
{
	unsigned number = 0;

	if (value.length == 0)
		return MAX_FORWARDS_DEFAULT;
	for (size_t i = 0; i < value.length; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return MAX_FORWARDS_DEFAULT;
		number = number * 10 + (unsigned)(value.at[i] - '0');
		if (number > MAX_FORWARDS_MOST)
			number = MAX_FORWARDS_MOST;
	}
	return number;
}

bool sip_basics_read(struct sip_basics *basics, const struct sip_head *head)
{
	struct span via = sip_head_value(head, HEADER_VIA);
	struct span cseq;

	*basics = (struct sip_basics){ .max_forwards = max_forwards(sip_head_value(head, HEADER_MAX_FORWARDS)) };
	if (!via_next(&via, &basics->via) || !take_single(head, HEADER_CALL_ID, &basics->call_id) ||
		!take_single(head, HEADER_FROM, &basics->from) || !take_single(head, HEADER_TO, &basics->to) ||
		!take_single(head, HEADER_CSEQ, &cseq) || !sip_cseq(cseq, &basics->cseq, &basics->method))
		return false;
	basics->from_tag = sip_tag(basics->from);
	basics->to_tag = sip_tag(basics->to);
	return head->is_response || (basics->method.length == head->method.length &&
		memcmp(basics->method.at, head->method.at, head->method.length) == 0);
}

/* Quotes and brackets end, none comes behind a comma, and a tag is a token. */
static bool is_one_address(struct span value)
{
	size_t length = unquoted_length(value, ';'), end;
	struct span params = { value.at + length, value.length - length }, tag;

	for (size_t i = 0; i < value.length; i += end) {
		struct span rest = { value.at + i, value.length - i };

		end = rest.at[0] == '"' ? quoted_length(rest) : rest.at[0] == '<' ? bracketed_length(rest) : rest.at[0] != ',';
		if (end == 0)
			return false;
	}
	return !name_addr_param(params, "tag", &tag) || tag.length > 0;
}

/* A URI of RFC 3986 section 3; a sip URI with a host (RFC 3261 section 19.1.1). */
static bool leads_somewhere(struct span uri)
{
	struct span scheme = { uri.at, 0 };
	struct sip_uri parts;

	while (scheme.length < uri.length && (isalnum((unsigned char)uri.at[scheme.length]) ||
		memchr("+-.", uri.at[scheme.length], 3) != NULL))
		scheme.length++;
	if (scheme.length == 0 || scheme.length + 1 >= uri.length || uri.at[scheme.length] != ':')
		return false;
	return (!span_is_caseless(scheme, "sip") && !span_is_caseless(scheme, "sips")) || sip_uri_read(&parts, uri);
}

bool sip_basics_sound(const struct sip_basics *basics, struct span request_uri)
{
	return is_one_address(basics->from) && is_one_address(basics->to) && leads_somewhere(request_uri);
}

/* Takes ";name=value" off the front of a Via's parameters; quotes hide semicolons. */
static struct span take_param(struct span *rest)
{
	struct span param = { rest->at, 0 };
	bool quoted = false;

	while (param.length < rest->length && (param.length == 0 || quoted || rest->at[param.length] != ';')) {
		if (rest->at[param.length] == '"')
			quoted = !quoted;
		else if (quoted && rest->at[param.length] == '\\' && param.length + 1 < rest->length)
			param.length++;
		param.length++;
	}
	rest->at += param.length;
	rest->length -= param.length;
	return param;
}

/* From the semicolon to the end of the name. */
static struct span param_head(struct span param)
{
	size_t length = 1;

	while (length < param.length && strchr(" \t\r\n", param.at[length]) != NULL)
		length++;
	while (length < param.length && strchr("= \t\r\n", param.at[length]) == NULL)
		length++;
	return (struct span){ param.at, length };
}

static bool is_named(struct span param_head, const char *name)
{
	return span_is_caseless(span_trim((struct span){ param_head.at + 1, param_head.length - 1 }), name);
}

/* ";rport" with the port, and the white space behind it. */
static void put_rport(struct writer *writer, struct span param, struct span param_head, unsigned port)
{
	const char *end = param.at + span_trim(param).length;

	writer_span(writer, param_head);
	writer_text(writer, "=");
	writer_number(writer, port);
	writer_bytes(writer, end, (size_t)(param.at + param.length - end));
}

bool sip_basics_mark_via(char *out, size_t size, struct span value, const char *host, unsigned port)
{
	struct writer writer = writer_on(out, size);
	struct span rest = value;
	struct via via;
	struct span params;
	const char *semicolon;
	bool has_port = false;

	if (!via_next(&rest, &via))
		return false;
	semicolon = memchr(via.item.at, ';', via.item.length);
	params = (struct span){ semicolon, semicolon == NULL ? 0 : (size_t)(via.item.at + via.item.length - semicolon) };
	writer_bytes(&writer, via.item.at, via.item.length - params.length);
	while (params.length > 0) {
		struct span param = take_param(&params), name = param_head(param);

		if (is_named(name, "rport")) {
			if (!has_port)
				put_rport(&writer, param, name, port);
			has_port = true;
		} else if (!is_named(name, "received")) {
			writer_span(&writer, param);
		}
	}
	writer_text(&writer, ";received=");
	writer_text(&writer, host);
	if (rest.length > 0) {
		writer_text(&writer, ", ");
		writer_span(&writer, span_trim(rest));
	}
	return writer_end(&writer);
}
