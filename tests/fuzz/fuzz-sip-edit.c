/* What is to be changed, an empty line, and a message. Whatever the values are, the message that leaves has just the lines that
 * it was told to have, and the body that came in.
 *
 * A change is a line: the letter of the change, a digit for which line or how many, the value, in which "\n" is a line end and
 * "\r" a CR. */
#include "fuzz.h"

#include <string.h>

#include "stirrup/sip_edit.h"

#define ROOM 262144

static struct sip_head head, again;
static struct sip_edit edit;
static size_t added;

static struct span take_line(struct span *rest)
{
	const char *end = rest->length == 0 ? NULL : memchr(rest->at, '\n', rest->length);
	struct span line = { rest->at, end == NULL ? rest->length : (size_t)(end - rest->at) };

	rest->at += line.length + (end != NULL);
	rest->length -= line.length + (end != NULL);
	return line;
}

static struct span unescaped(struct span text, char *out)
{
	struct span value = { out, 0 };

	for (size_t i = 0; i < text.length; i++) {
		char c = text.at[i];

		if (c == '\\' && i + 1 < text.length && (text.at[i + 1] == 'n' || text.at[i + 1] == 'r'))
			c = text.at[++i] == 'n' ? '\n' : '\r';
		out[value.length++] = c;
	}
	return value;
}

static void change(struct span order)
{
	static char text[65536];
	unsigned number = order.length > 1 ? (unsigned char)order.at[1] - (unsigned)'0' : 0;
	struct span value;

	if (order.length < 2)
		return;
	value = unescaped((struct span){ order.at + 2, order.length - 2 }, text);
	switch (order.at[0]) {
	case 'd':
		if (number < head.count)
			sip_edit_drop(&edit, number);
		break;
	case 'r':
		if (number < head.count)
			sip_edit_replace(&edit, number, value);
		break;
	case 'f':
		sip_edit_drop_first(&edit, number % 2 == 0 ? HEADER_VIA : HEADER_ROUTE, number);
		break;
	case 'k':
		sip_edit_drop_all(&edit, (enum header_kind)(number % HEADER_OTHER));
		break;
	case 'p':
		sip_edit_prepend(&edit, "X-Front", value);
		added++;
		break;
	case 'a':
		sip_edit_append(&edit, "X-Back", value);
		added++;
		break;
	case 'u':
		sip_edit_request_uri(&edit, value);
		break;
	}
}

static size_t lines_left(void)
{
	size_t count = added;
	bool length = false;

	for (size_t i = 0; i < head.count; i++) {
		bool is_length = head.lines[i].kind == HEADER_CONTENT_LENGTH;

		length = length || (is_length && !edit.changed[i] && !head.wrong_length);
		count += !is_length && (!edit.changed[i] || edit.lines[i].length > 0);
	}
	if (!length)
		return count + 1;
	for (size_t i = 0; i < head.count; i++)
		count += head.lines[i].kind == HEADER_CONTENT_LENGTH && (!edit.changed[i] || edit.lines[i].length > 0);
	return count;
}

/* Of a Content-Length that was given another value, nothing can be said. */
static bool gives_a_length(void)
{
	for (size_t i = 0; i < head.count; i++)
		if (head.lines[i].kind == HEADER_CONTENT_LENGTH && edit.changed[i] && edit.lines[i].length > 0)
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char out[ROOM];
	struct span rest = fuzz_span(data, size), orders = rest, order, message;

	while (take_line(&rest).length > 0)
		;
	if (!sip_head_read(&head, rest))
		return 0;
	sip_edit_begin(&edit, &head);
	added = 0;
	for (order = take_line(&orders); order.length > 0; order = take_line(&orders))
		change(order);
	if (!sip_edit_write(&edit, out, sizeof out, &message))
		return 0;
	MUST(message.at == out && message.length <= sizeof out);
	if (lines_left() > HEADER_LINES_MAX || gives_a_length())
		return 0;
	MUST(sip_head_read(&again, message));
	MUST(again.is_response == head.is_response && again.status == head.status && !again.wrong_length);
	MUST(again.method.length == head.method.length);
	MUST(again.count == lines_left());
	MUST(again.body.length == head.body.length &&
		(head.body.length == 0 || memcmp(again.body.at, head.body.at, head.body.length) == 0));
	return 0;
}
