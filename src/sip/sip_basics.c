#include "stirrup/sip_basics.h"

#include "stirrup/writer.h"

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

static void put_tagged(struct writer *writer, const struct header_line *to, const char *tag)
{
	writer_span(writer, to->name);
	writer_text(writer, ": ");
	writer_span(writer, to->value);
	writer_text(writer, ";tag=");
	writer_text(writer, tag);
	writer_text(writer, "\r\n");
}

size_t sip_basics_answer(char *out, size_t size, const struct sip_head *request, unsigned status, const char *phrase,
	const char *to_tag)
{
	struct writer writer = writer_on(out, size);

	writer_text(&writer, "SIP/2.0 ");
	writer_number(&writer, status);
	writer_text(&writer, " ");
	writer_text(&writer, phrase);
	writer_text(&writer, "\r\n");
	for (size_t i = 0; i < request->count; i++) {
		const struct header_line *line = &request->lines[i];

		switch (line->kind) {
		case HEADER_TO:
			if (to_tag != NULL && sip_tag(line->value).length == 0) {
				put_tagged(&writer, line, to_tag);
				break;
			}
			writer_span(&writer, line->line);
			break;
		case HEADER_VIA:
		case HEADER_FROM:
		case HEADER_CALL_ID:
		case HEADER_CSEQ:
		case HEADER_RECORD_ROUTE:
			writer_span(&writer, line->line);
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
	}
	writer_text(&writer, "Content-Length: 0\r\n\r\n");
	return writer.full ? 0 : writer_length(&writer);
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

static bool is_param(struct span param, const char *name)
{
	struct span text = span_trim((struct span){ param.at + 1, param.length - 1 });
	size_t length = 0;

	while (length < text.length && strchr("= \t\r\n", text.at[length]) == NULL)
		length++;
	return span_is_caseless((struct span){ text.at, length }, name);
}

bool sip_basics_mark_via(char *out, size_t size, struct span value, const char *host, unsigned port)
{
	struct writer writer = writer_on(out, size);
	struct span rest = value;
	struct via via;
	struct span params;
	const char *semicolon;

	if (!via_next(&rest, &via))
		return false;
	semicolon = memchr(via.item.at, ';', via.item.length);
	params = (struct span){ semicolon, semicolon == NULL ? 0 : (size_t)(via.item.at + via.item.length - semicolon) };
	writer_bytes(&writer, via.item.at, via.item.length - params.length);
	while (params.length > 0) {
		struct span param = take_param(&params);

		if (!is_param(param, "received") && !is_param(param, "rport"))
			writer_span(&writer, param);
	}
	writer_text(&writer, ";received=");
	writer_text(&writer, host);
	if (via.has_rport) {
		writer_text(&writer, ";rport=");
		writer_number(&writer, port);
	}
	if (rest.length > 0) {
		writer_text(&writer, ", ");
		writer_span(&writer, span_trim(rest));
	}
	return writer_end(&writer);
}
