#include "stirrup/raw_answer.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "stirrup/writer.h"

enum kept { KEPT_VIA, KEPT_FROM, KEPT_TO, KEPT_CALL_ID, KEPT_CSEQ, KEPT_NONE };

/* Takes one line with its end off *rest. */
static struct span take_line(struct span *rest)
{
	const char *end = memchr(rest->at, '\n', rest->length);
	struct span line = { rest->at, end == NULL ? rest->length : (size_t)(end - rest->at) + 1 };

	rest->at += line.length;
	rest->length -= line.length;
	return line;
}

static enum kept kind_of(struct span line)
{
	static const struct {
		const char *name;
		enum kept kept;
	} names[] = {
		{ "Via", KEPT_VIA }, { "v", KEPT_VIA }, { "From", KEPT_FROM }, { "f", KEPT_FROM }, { "To", KEPT_TO },
		{ "t", KEPT_TO }, { "Call-ID", KEPT_CALL_ID }, { "i", KEPT_CALL_ID }, { "CSeq", KEPT_CSEQ },
	};
	const char *colon = memchr(line.at, ':', line.length);
	struct span name = span_trim((struct span){ line.at, colon == NULL ? 0 : (size_t)(colon - line.at) });

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (span_is_caseless(name, names[i].name))
			return names[i].kept;
	return KEPT_NONE;
}

static bool wants_answer(struct span start_line)
{
	return start_line.length > 8 && strncmp(start_line.at, "SIP/2.0", 7) != 0 &&
		strncmp(start_line.at, "ACK ", 4) != 0;
}

/* The To of a request outside a dialog has no tag; every final answer gives it one. The same for each repeat. */
static void put_tagged(struct writer *writer, struct span to, struct span request)
{
	char tag[24];
	uint32_t hash = 2166136261u;
	struct span value = span_trim(to);

	for (size_t i = 0; i < request.length; i++)
		hash = (hash ^ (unsigned char)request.at[i]) * 16777619u;
	writer_span(writer, value);
	if (memmem(value.at, value.length, ";tag=", 5) == NULL) {
		snprintf(tag, sizeof tag, ";tag=%08x", hash);
		writer_text(writer, tag);
	}
	writer_text(writer, "\r\n");
}

static struct span with_folds(struct span line, struct span *rest)
{
	while (rest->length > 0 && (rest->at[0] == ' ' || rest->at[0] == '\t'))
		line.length += take_line(rest).length;
	return line;
}

size_t raw_answer(char *out, size_t size, struct span request, const char *status_line)
{
	struct writer writer = writer_on(out, size);
	bool seen[KEPT_NONE + 1] = { false };
	struct span rest = request;

	if (request.length == 0 || !wants_answer(take_line(&rest)))
		return 0;
	writer_text(&writer, status_line);
	writer_text(&writer, "\r\n");
	while (rest.length > 0) {
		struct span line = take_line(&rest);
		enum kept kept;

		if (span_trim(line).length == 0)
			break;
		line = with_folds(line, &rest);
		kept = kind_of(line);
		if (kept == KEPT_NONE || (seen[kept] && kept != KEPT_VIA))
			continue;
		seen[kept] = true;
		if (kept == KEPT_TO)
			put_tagged(&writer, line, request);
		else
			writer_span(&writer, line);
	}
	writer_text(&writer, "Content-Length: 0\r\n\r\n");
	for (int i = 0; i < KEPT_NONE; i++)
		if (!seen[i])
			return 0;
	return writer.full ? 0 : writer_length(&writer);
}

/* SIP-Version, RFC 3261 section 25.1. */
static bool is_version_of_sip(struct span word)
{
	size_t length = 4;

	while (length < word.length && memchr("0123456789.", word.at[length], 11) != NULL)
		length++;
	return word.length > 4 && strncasecmp(word.at, "SIP/", 4) == 0 && length == word.length;
}

const char *raw_answer_refusal(struct span request)
{
	struct span line = request.length == 0 ? request : span_trim(take_line(&request)), word;
	const char *space = line.length == 0 ? NULL : memrchr(line.at, ' ', line.length);

	word = space == NULL ? line : (struct span){ space + 1, (size_t)(line.at + line.length - space - 1) };
	if (is_version_of_sip(word) && !span_is_caseless(word, "SIP/2.0"))
		return "SIP/2.0 505 Version Not Supported";
	return "SIP/2.0 400 Bad Request";
}
