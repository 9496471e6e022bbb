#include "stirrup/sip_head.h"

#include <stdlib.h>

#include "stirrup/name_addr.h"
#include "stirrup/writer.h"
#include "unquoted.h"

#define VERSION_LENGTH 7 /* of "SIP/2.0" */

static struct span span_behind(struct span span, size_t length)
{
	return (struct span){ span.at + length, span.length - length };
}

/* --- Header names --- */

/* RFC 3261 section 7.3.3; RFC 8224 section 4, RFC 4028 section 4, RFC 3515 section 2.1. */
static enum header_kind compact_kind(char name)
{
	switch (name | 0x20) {
	case 'v': return HEADER_VIA;
	case 'f': return HEADER_FROM;
	case 't': return HEADER_TO;
	case 'i': return HEADER_CALL_ID;
	case 'm': return HEADER_CONTACT;
	case 'l': return HEADER_CONTENT_LENGTH;
	case 'y': return HEADER_IDENTITY;
	case 'x': return HEADER_SESSION_EXPIRES;
	case 'r': return HEADER_REFER_TO;
	default:  return HEADER_OTHER;
	}
}

static enum header_kind kind_if(struct span name, const char *text, enum header_kind kind)
{
	return strncasecmp(name.at, text, name.length) == 0 ? kind : HEADER_OTHER;
}

static enum header_kind kind_if_either(struct span name, const char *one, enum header_kind kind, const char *other,
	enum header_kind other_kind)
{
	return strncasecmp(name.at, one, name.length) == 0 ? kind : kind_if(name, other, other_kind);
}

/* The names of one length only are compared: most lines are of none of them. */
static enum header_kind kind_of(struct span name)
{
	enum header_kind kind;

	switch (name.length) {
	case 1:  return compact_kind(name.at[0]);
	case 2:  return kind_if(name, "To", HEADER_TO);
	case 3:  return kind_if(name, "Via", HEADER_VIA);
	case 4:
		kind = kind_if_either(name, "From", HEADER_FROM, "CSeq", HEADER_CSEQ);
		return kind != HEADER_OTHER ? kind : kind_if_either(name, "Date", HEADER_DATE, "Join", HEADER_JOIN);
	case 5:  return kind_if(name, "Route", HEADER_ROUTE);
	case 6:  return kind_if(name, "Reason", HEADER_REASON);
	case 7:  return kind_if_either(name, "Call-ID", HEADER_CALL_ID, "Contact", HEADER_CONTACT);
	case 8:
		kind = kind_if_either(name, "Identity", HEADER_IDENTITY, "Replaces", HEADER_REPLACES);
		return kind != HEADER_OTHER ? kind : kind_if(name, "Refer-To", HEADER_REFER_TO);
	case 11: return kind_if(name, "In-Reply-To", HEADER_IN_REPLY_TO);
	case 12: return kind_if_either(name, "Max-Forwards", HEADER_MAX_FORWARDS, "Record-Route", HEADER_RECORD_ROUTE);
	case 13: return kind_if(name, "Target-Dialog", HEADER_TARGET_DIALOG);
	case 14: return kind_if_either(name, "Content-Length", HEADER_CONTENT_LENGTH, "Origination-Id", HEADER_CLAIMED);
	case 15: return kind_if(name, "Session-Expires", HEADER_SESSION_EXPIRES);
	case 16: return kind_if_either(name, "Attestation-Info", HEADER_CLAIMED, "P-Origination-ID", HEADER_CLAIMED);
	case 18: return kind_if_either(name, "P-Attestation-Info", HEADER_CLAIMED, "X-Attestation-Info", HEADER_CLAIMED);
	case 19: return kind_if(name, "P-Asserted-Identity", HEADER_P_ASSERTED_IDENTITY);
	case 23: return kind_if(name, "P-Attestation-Indicator", HEADER_CLAIMED);
	default: return HEADER_OTHER;
	}
}

/* --- The start line --- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool sip_is_token(struct span text)
{
	for (size_t i = 0; i < text.length; i++) {
		char c = text.at[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) ||
			    memchr("-.!%*_+`'~", c, 10) != NULL))
			return false;
	}
	return text.length > 0;
}

static bool has_space_or_control(struct span text)
{
	for (size_t i = 0; i < text.length; i++)
		if ((unsigned char)text.at[i] <= 0x20 || text.at[i] == 0x7f)
			return true;
	return false;
}

/* SIP-Version compares caseless (RFC 3261 section 7.1). */
static bool is_version(struct span text)
{
	return span_is_caseless(text, "SIP/2.0");
}

/* SIP-Version SP Status-Code SP Reason-Phrase. The space before an empty phrase is often forgotten. */
static bool read_status_line(struct sip_head *head)
{
	const char *code = head->start_line.at + VERSION_LENGTH + 1;

	if (head->start_line.length < VERSION_LENGTH + 4 || code[-1] != ' ' || code[0] < '1' || code[0] > '6' ||
		!is_digit(code[1]) || !is_digit(code[2]))
		return false;
	head->status = (unsigned)(code[0] - '0') * 100 + (unsigned)(code[1] - '0') * 10 + (unsigned)(code[2] - '0');
	head->phrase = span_behind(head->start_line, VERSION_LENGTH + 4);
	if (head->phrase.length == 0)
		return true;
	if (head->phrase.at[0] != ' ')
		return false;
	head->phrase = span_behind(head->phrase, 1);
	return true;
}

/* Method SP Request-URI SP SIP-Version, each SP being one (RFC 3261 section 7.1). */
static bool read_request_line(struct sip_head *head)
{
	struct span line = head->start_line, rest;
	const char *space = memchr(line.at, ' ', line.length);

	if (space == NULL)
		return false;
	head->method = (struct span){ line.at, (size_t)(space - line.at) };
	rest = span_behind(line, head->method.length + 1);
	if (rest.length < VERSION_LENGTH + 2 || rest.at[rest.length - VERSION_LENGTH - 1] != ' ' ||
		!is_version(span_behind(rest, rest.length - VERSION_LENGTH)))
		return false;
	head->request_uri = (struct span){ rest.at, rest.length - VERSION_LENGTH - 1 };
	return sip_is_token(head->method) && !has_space_or_control(head->request_uri);
}

static bool read_start_line(struct sip_head *head)
{
	struct span none = { head->start_line.at, 0 };

	head->method = head->request_uri = head->phrase = none;
	head->status = 0;
	head->is_response = head->start_line.length >= VERSION_LENGTH &&
		is_version((struct span){ head->start_line.at, VERSION_LENGTH });
	return head->is_response ? read_status_line(head) : read_request_line(head);
}

/* --- Lines --- */

/* Takes one line off *rest; its text is without its end. A CR inside of it is refused: some take it for a line end, and would
 * see other header lines than we do; and so is a NUL, where some see the end of all. */
static bool take_line(struct span *rest, struct span *text)
{
	const char *end = rest->length == 0 ? NULL : memchr(rest->at, '\n', rest->length), *cr;

	if (end == NULL)
		return false;
	*text = (struct span){ rest->at, (size_t)(end - rest->at) };
	*rest = span_behind(*rest, text->length + 1);
	if (memchr(text->at, '\0', text->length) != NULL)
		return false;
	cr = text->length == 0 ? NULL : memchr(text->at, '\r', text->length);
	if (cr == NULL)
		return true;
	text->length--;
	return cr == text->at + text->length;
}

static bool is_fold(struct span rest)
{
	return rest.length > 0 && (rest.at[0] == ' ' || rest.at[0] == '\t');
}

static bool read_header_line(struct header_line *line, struct span first, struct span *rest)
{
	const char *colon = memchr(first.at, ':', first.length);
	struct span fold;

	if (colon == NULL)
		return false;
	line->name = span_trim((struct span){ first.at, (size_t)(colon - first.at) });
	if (line->name.length == 0 || line->name.at != first.at)
		return false;
	while (is_fold(*rest))
		if (!take_line(rest, &fold))
			return false;
	line->line = (struct span){ first.at, (size_t)(rest->at - first.at) };
	line->value = span_trim(span_behind(line->line, (size_t)(colon - first.at) + 1));
	line->kind = kind_of(line->name);
	return true;
}

/* --- Content-Length --- */

static bool read_number(struct span digits, uint32_t *number)
{
	uint64_t value = 0;

	for (size_t i = 0; i < digits.length; i++) {
		if (!is_digit(digits.at[i]))
			return false;
		value = value * 10 + (uint64_t)(digits.at[i] - '0');
		if (value > UINT32_MAX)
			return false;
	}
	*number = (uint32_t)value;
	return digits.length > 0;
}

/* RFC 3261 section 18.3. Two that differ would have the next one that reads it choose. */
static void bound_body(struct sip_head *head)
{
	size_t i = sip_head_find(head, HEADER_CONTENT_LENGTH, 0);
	uint32_t length, other;

	head->wrong_length = false;
	if (i == head->count)
		return;
	head->wrong_length = !read_number(head->lines[i].value, &length) || length > head->body.length;
	while (!head->wrong_length && (i = sip_head_find(head, HEADER_CONTENT_LENGTH, i + 1)) < head->count)
		head->wrong_length = !read_number(head->lines[i].value, &other) || other != length;
	if (!head->wrong_length)
		head->body.length = length;
}

/* --- The whole --- */

bool sip_head_read(struct sip_head *head, struct span message)
{
	struct span line;

	head->count = 0;
	/* RFC 3261 section 7.5: line ends before the start line are ignored. */
	while (message.length > 0 && (message.at[0] == '\r' || message.at[0] == '\n'))
		message = span_behind(message, 1);
	if (!take_line(&message, &head->start_line) || !read_start_line(head))
		return false;
	for (;;) {
		if (!take_line(&message, &line))
			return false;
		if (line.length == 0)
			break;
		if (head->count == HEADER_LINES_MAX || !read_header_line(&head->lines[head->count], line, &message))
			return false;
		head->count++;
	}
	head->body = message;
	bound_body(head);
	return true;
}

static struct span put(struct writer *writer, struct span bytes)
{
	const char *start = writer->at;

	writer_span(writer, bytes);
	return (struct span){ start, bytes.length };
}

/* The same part of whole's copy. */
static struct span part_of(struct span copy, struct span part, struct span whole)
{
	return (struct span){ copy.at + (part.at - whole.at), part.length };
}

static void copy_line(struct header_line *copy, const struct header_line *line, struct writer *writer)
{
	copy->kind = line->kind;
	copy->line = put(writer, line->line);
	copy->name = part_of(copy->line, line->name, line->line);
	copy->value = part_of(copy->line, line->value, line->line);
}

struct sip_head *sip_head_copy(const struct sip_head *head)
{
	size_t fixed = offsetof(struct sip_head, lines) + head->count * sizeof head->lines[0];
	size_t length = head->start_line.length + head->body.length;
	struct sip_head *copy;
	struct writer writer;

	for (size_t i = 0; i < head->count; i++)
		length += head->lines[i].line.length;
	copy = malloc(fixed + length);
	if (copy == NULL)
		return NULL;
	memcpy(copy, head, offsetof(struct sip_head, lines));
	writer = writer_on((char *)copy + fixed, length);
	copy->start_line = put(&writer, head->start_line);
	copy->method = part_of(copy->start_line, head->method, head->start_line);
	copy->request_uri = part_of(copy->start_line, head->request_uri, head->start_line);
	copy->phrase = part_of(copy->start_line, head->phrase, head->start_line);
	for (size_t i = 0; i < head->count; i++)
		copy_line(&copy->lines[i], &head->lines[i], &writer);
	copy->body = put(&writer, head->body);
	return copy;
}

size_t sip_head_find(const struct sip_head *head, enum header_kind kind, size_t from)
{
	while (from < head->count && head->lines[from].kind != kind)
		from++;
	return from < head->count ? from : head->count;
}

struct span sip_head_value(const struct sip_head *head, enum header_kind kind)
{
	size_t i = sip_head_find(head, kind, 0);

	return i < head->count ? head->lines[i].value : (struct span){ head->start_line.at, 0 };
}

struct span sip_tag(struct span from_or_to)
{
	struct span params = span_behind(from_or_to, unquoted_length(from_or_to, ';')), tag;

	/* From its semicolon on, the first parameter has no name. */
	return name_addr_param(params, "tag", &tag) ? tag : (struct span){ from_or_to.at, 0 };
}

bool sip_cseq(struct span value, uint32_t *number, struct span *method)
{
	size_t digits = 0;
	uint32_t read;
	struct span rest;

	while (digits < value.length && is_digit(value.at[digits]))
		digits++;
	rest = span_behind(value, digits);
	if (!read_number((struct span){ value.at, digits }, &read) || rest.length == 0 ||
		memchr(" \t\r\n", rest.at[0], 4) == NULL || !sip_is_token(span_trim(rest)))
		return false;
	*number = read;
	*method = span_trim(rest);
	return true;
}

bool sip_is_one_line(struct span value)
{
	if (value.length > 0 && memchr(value.at, '\0', value.length) != NULL)
		return false;
	for (size_t i = 0; i < value.length; i++) {
		if (value.at[i] != '\r' && value.at[i] != '\n')
			continue;
		if (value.at[i] == '\r' && (++i == value.length || value.at[i] != '\n'))
			return false;
		if (i + 1 == value.length || (value.at[i + 1] != ' ' && value.at[i + 1] != '\t'))
			return false;
	}
	return true;
}

struct span sip_line_value(struct span line)
{
	const char *colon = line.length == 0 ? NULL : memchr(line.at, ':', line.length);

	return colon == NULL ? (struct span){ "", 0 } :
			       span_trim((struct span){ colon + 1, line.length - (size_t)(colon + 1 - line.at) });
}
