#include "stirrup/answer.h"

#include <sofia-sip/msg_header.h>
#include <sofia-sip/sip_header.h>

/* Prints a header whose received line is no longer what it means. */
static void put_printed(struct writer *writer, const void *header)
{
	size_t room = (size_t)(writer->end - writer->at);
	issize_t length = writer->full ? -1 : msg_header_e(writer->at, room, header, 0);

	if (length < 0 || (size_t)length >= room)
		writer->full = true;
	else
		writer->at += length;
}

static void put_received(struct writer *writer, const void *header)
{
	const msg_common_t *common = header;

	if (common->h_data != NULL && common->h_len > 0)
		writer_bytes(writer, common->h_data, common->h_len);
	else
		put_printed(writer, header);
}

/* The first item of a comma list has the whole line, the others an empty one. Once the first was changed (received,
 * rport) its line is gone, and the others must be printed, too. */
static void put_vias(struct writer *writer, const sip_via_t *via)
{
	bool line_covers_list = false;

	for (; via != NULL; via = via->v_next) {
		const msg_common_t *common = via->v_common;
		bool has_line = common->h_data != NULL && common->h_len > 0;

		if (has_line)
			line_covers_list = true;
		else if (line_covers_list && common->h_data != NULL)
			continue;
		else
			line_covers_list = false;
		put_received(writer, via);
	}
}

static void put_to(struct writer *writer, const sip_to_t *to, const char *tag)
{
	const msg_common_t *common = to->a_common;
	size_t length;

	if (to->a_tag != NULL || tag == NULL || common->h_data == NULL || common->h_len == 0) {
		put_received(writer, to);
		return;
	}
	length = common->h_len;
	while (length > 0 && strchr("\r\n \t", ((const char *)common->h_data)[length - 1]) != NULL)
		length--;
	writer_bytes(writer, common->h_data, length);
	writer_text(writer, ";tag=");
	writer_text(writer, tag);
	writer_text(writer, "\r\n");
}

void answer_begin(struct answer *answer, unsigned status, const char *phrase, const sip_t *request, const char *to_tag)
{
	struct writer *writer = &answer->writer;

	*writer = writer_on(answer->bytes, sizeof answer->bytes);
	writer_text(writer, "SIP/2.0 ");
	writer_number(writer, status);
	writer_text(writer, " ");
	writer_text(writer, phrase);
	writer_text(writer, "\r\n");
	put_vias(writer, request->sip_via);
	put_received(writer, request->sip_from);
	put_to(writer, request->sip_to, to_tag);
	put_received(writer, request->sip_call_id);
	put_received(writer, request->sip_cseq);
}

void answer_header(struct answer *answer, const char *name, struct span value)
{
	struct writer *writer = &answer->writer;

	if (memchr(value.at, '\r', value.length) != NULL || memchr(value.at, '\n', value.length) != NULL) {
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
