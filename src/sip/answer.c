#include "stirrup/answer.h"

static void put_lines(struct writer *writer, const struct sip_head *head, enum header_kind kind)
{
	for (size_t i = sip_head_find(head, kind, 0); i < head->count; i = sip_head_find(head, kind, i + 1))
		writer_span(writer, head->lines[i].line);
}

static void put_to(struct writer *writer, const struct sip_head *head, const char *tag)
{
	size_t i = sip_head_find(head, HEADER_TO, 0);
	const struct header_line *to = &head->lines[i];

	if (i == head->count || tag == NULL || sip_tag(to->value).length > 0) {
		put_lines(writer, head, HEADER_TO);
		return;
	}
	writer_bytes(writer, to->line.at, (size_t)(to->value.at + to->value.length - to->line.at));
	writer_text(writer, ";tag=");
	writer_text(writer, tag);
	writer_text(writer, "\r\n");
}

void answer_begin(struct answer *answer, unsigned status, const char *phrase, const struct sip_head *request,
	const char *to_tag)
{
	struct writer *writer = &answer->writer;

	*writer = writer_on(answer->bytes, sizeof answer->bytes);
	writer_text(writer, "SIP/2.0 ");
	writer_number(writer, status);
	writer_text(writer, " ");
	writer_text(writer, phrase);
	writer_text(writer, "\r\n");
	put_lines(writer, request, HEADER_VIA);
	put_lines(writer, request, HEADER_FROM);
	put_to(writer, request, to_tag);
	put_lines(writer, request, HEADER_CALL_ID);
	put_lines(writer, request, HEADER_CSEQ);
}

void answer_header(struct answer *answer, const char *name, struct span value)
{
	struct writer *writer = &answer->writer;

	if (!sip_is_one_line(value)) {
		writer->full = true;
		return;
	}
	writer_text(writer, name);
	writer_text(writer, ": ");
	writer_span(writer, value);
	writer_text(writer, "\r\n");
}

bool answer_end(struct answer *answer, struct span *bytes)
{
	writer_text(&answer->writer, "Content-Length: 0\r\n\r\n");
	*bytes = (struct span){ answer->bytes, writer_length(&answer->writer) };
	return !answer->writer.full;
}

const char *answer_phrase(unsigned status)
{
	static const struct {
		unsigned status;
		const char *phrase;
	} phrases[] = {
		{ 200, "OK" },
		{ 300, "Multiple Choices" },
		{ 301, "Moved Permanently" },
		{ 302, "Moved Temporarily" },
		{ 305, "Use Proxy" },
		{ 380, "Alternative Service" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" },
		{ 408, "Request Timeout" },
		{ 410, "Gone" },
		{ 414, "Request-URI Too Long" },
		{ 428, "Use Identity Header" },
		{ 433, "Anonymity Disallowed" },
		{ 436, "Bad Identity Info" },
		{ 437, "Unsupported Credential" },
		{ 438, "Invalid Identity Header" },
		{ 480, "Temporarily Unavailable" },
		{ 481, "Call/Transaction Does Not Exist" },
		{ 482, "Loop Detected" },
		{ 483, "Too Many Hops" },
		{ 484, "Address Incomplete" },
		{ 486, "Busy Here" },
		{ 487, "Request Terminated" },
		{ 488, "Not Acceptable Here" },
		{ 500, "Server Internal Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 504, "Server Time-out" },
		{ 513, "Message Too Large" },
		{ 600, "Busy Everywhere" },
		{ 603, "Decline" },
		{ 604, "Does Not Exist Anywhere" },
		{ 606, "Not Acceptable" },
		{ 607, "Unwanted" },
		{ 608, "Rejected" },
	};
	static const char *const classes[] = { "Trying", "OK", "Redirection", "Request Failure", "Server Failure",
		"Global Failure" };

	for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return status >= 100 && status <= 699 ? classes[status / 100 - 1] : "Unknown";
}
