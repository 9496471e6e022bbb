#include "stirrup/answer.h"

#include <stdio.h>

#include <sofia-sip/msg_header.h>
#include <sofia-sip/sip_header.h>

static void put(struct answer *answer, const char *at, size_t length)
{
	if (length > sizeof answer->bytes - answer->length) {
		answer->overflow = true;
		return;
	}
	memcpy(answer->bytes + answer->length, at, length);
	answer->length += length;
}

static void put_text(struct answer *answer, const char *text)
{
	put(answer, text, strlen(text));
}

/* Prints a header whose received line is no longer what it means. */
static void put_printed(struct answer *answer, const void *header)
{
	char *at = answer->bytes + answer->length;
	size_t room = sizeof answer->bytes - answer->length;
	issize_t length = msg_header_e(at, room, header, 0);

	if (length < 0 || (size_t)length >= room)
		answer->overflow = true;
	else
		answer->length += (size_t)length;
}

static void put_received(struct answer *answer, const void *header)
{
	const msg_common_t *common = header;

	if (common->h_data != NULL && common->h_len > 0)
		put(answer, common->h_data, common->h_len);
	else
		put_printed(answer, header);
}

/* The first item of a comma list has the whole line, the others an empty one. Once the first was changed (received,
 * rport) its line is gone, and the others must be printed, too. */
static void put_vias(struct answer *answer, const sip_via_t *via)
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
		put_received(answer, via);
	}
}

static void put_to(struct answer *answer, const sip_to_t *to, const char *tag)
{
	const msg_common_t *common = to->a_common;
	size_t length;

	if (to->a_tag != NULL || tag == NULL || common->h_data == NULL || common->h_len == 0) {
		put_received(answer, to);
		return;
	}
	length = common->h_len;
	while (length > 0 && strchr("\r\n \t", ((const char *)common->h_data)[length - 1]) != NULL)
		length--;
	put(answer, common->h_data, length);
	put_text(answer, ";tag=");
	put_text(answer, tag);
	put_text(answer, "\r\n");
}

void answer_begin(struct answer *answer, unsigned status, const char *phrase, const sip_t *request, const char *to_tag)
{
	char line[160];

	answer->length = 0;
	answer->overflow = false;
	snprintf(line, sizeof line, "SIP/2.0 %03u %s\r\n", status, phrase);
	put_text(answer, line);
	put_vias(answer, request->sip_via);
	put_received(answer, request->sip_from);
	put_to(answer, request->sip_to, to_tag);
	put_received(answer, request->sip_call_id);
	put_received(answer, request->sip_cseq);
}

void answer_header(struct answer *answer, const char *name, struct span value)
{
	if (memchr(value.at, '\r', value.length) != NULL || memchr(value.at, '\n', value.length) != NULL) {
		answer->overflow = true;
		return;
	}
	put_text(answer, name);
	put_text(answer, ": ");
	put(answer, value.at, value.length);
	put_text(answer, "\r\n");
}

bool answer_end(struct answer *answer)
{
	put_text(answer, "Content-Length: 0\r\n\r\n");
	return !answer->overflow;
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
		{ 428, "Use Identity Header" },
		{ 433, "Anonymity Disallowed" },
		{ 436, "Bad Identity Info" },
		{ 437, "Unsupported Credential" },
		{ 438, "Invalid Identity Header" },
		{ 480, "Temporarily Unavailable" },
		{ 481, "Call/Transaction Does Not Exist" },
		{ 484, "Address Incomplete" },
		{ 486, "Busy Here" },
		{ 487, "Request Terminated" },
		{ 488, "Not Acceptable Here" },
		{ 500, "Server Internal Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 504, "Server Time-out" },
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
