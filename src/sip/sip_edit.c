#include "stirrup/sip_edit.h"

#include "unquoted.h"

static const struct span dropped = { "", 0 };

void sip_edit_begin(struct sip_edit *edit, const struct sip_head *head)
{
	edit->head = head;
	edit->start_line = dropped;
	edit->refused = false;
	memset(edit->changed, 0, head->count * sizeof edit->changed[0]);
	edit->front = writer_on(edit->front_bytes, sizeof edit->front_bytes);
	edit->back = writer_on(edit->back_bytes, sizeof edit->back_bytes);
	edit->text = writer_on(edit->text_bytes, sizeof edit->text_bytes);
}

void sip_edit_request_uri(struct sip_edit *edit, struct span uri)
{
	const char *start = edit->text.at;

	for (size_t i = 0; i < uri.length; i++)
		if ((unsigned char)uri.at[i] <= 0x20 || uri.at[i] == 0x7f)
			edit->refused = true;
	if (edit->head->is_response || uri.length == 0)
		edit->refused = true;
	writer_span(&edit->text, edit->head->method);
	writer_text(&edit->text, " ");
	writer_span(&edit->text, uri);
	writer_text(&edit->text, " SIP/2.0");
	edit->start_line = (struct span){ start, (size_t)(edit->text.at - start) };
}

static void change(struct sip_edit *edit, size_t line, struct span text)
{
	edit->changed[line] = true;
	edit->lines[line] = text;
}

void sip_edit_drop(struct sip_edit *edit, size_t line)
{
	change(edit, line, dropped);
}

void sip_edit_drop_all(struct sip_edit *edit, enum header_kind kind)
{
	for (size_t i = sip_head_find(edit->head, kind, 0); i < edit->head->count;
		i = sip_head_find(edit->head, kind, i + 1))
		sip_edit_drop(edit, i);
}

static struct span put_line(struct sip_edit *edit, struct writer *writer, struct span name, struct span value)
{
	const char *start = writer->at;

	if (!sip_is_one_line(value))
		edit->refused = true;
	writer_span(writer, name);
	writer_text(writer, ": ");
	writer_span(writer, value);
	writer_text(writer, "\r\n");
	return (struct span){ start, (size_t)(writer->at - start) };
}

void sip_edit_replace(struct sip_edit *edit, size_t line, struct span value)
{
	change(edit, line, put_line(edit, &edit->text, edit->head->lines[line].name, value));
}

void sip_edit_prepend(struct sip_edit *edit, const char *name, struct span value)
{
	put_line(edit, &edit->front, span_of(name), value);
}

void sip_edit_take_back(struct sip_edit *edit)
{
	edit->front = writer_on(edit->front_bytes, sizeof edit->front_bytes);
}

void sip_edit_append(struct sip_edit *edit, const char *name, struct span value)
{
	put_line(edit, &edit->back, span_of(name), value);
}

/* Half a line would run into the one behind it. */
static void put_lines(struct sip_edit *edit, struct writer *writer, struct span lines)
{
	if (lines.length > 0 && lines.at[lines.length - 1] != '\n')
		edit->refused = true;
	writer_span(writer, lines);
}

void sip_edit_prepend_lines(struct sip_edit *edit, struct span lines)
{
	put_lines(edit, &edit->front, lines);
}

void sip_edit_append_lines(struct sip_edit *edit, struct span lines)
{
	put_lines(edit, &edit->back, lines);
}

/* --- Items of comma lists --- */

/* As it would leave now. */
static struct span value_of(const struct sip_edit *edit, size_t line)
{
	struct span text = edit->lines[line];
	const char *colon;

	if (!edit->changed[line])
		return edit->head->lines[line].value;
	colon = text.length == 0 ? NULL : memchr(text.at, ':', text.length);
	return colon == NULL ? dropped :
			       span_trim((struct span){ colon + 1, text.length - (size_t)(colon + 1 - text.at) });
}

/* Takes the next item off a list. One without any text in it does not count. */
static unsigned take_item(struct span *list)
{
	size_t length = unquoted_length(*list, ',');
	struct span item = span_trim((struct span){ list->at, length });

	if (length < list->length)
		length++;
	*list = span_trim((struct span){ list->at + length, list->length - length });
	return item.length > 0 ? 1 : 0;
}

void sip_edit_drop_first(struct sip_edit *edit, enum header_kind kind, unsigned count)
{
	for (size_t i = sip_head_find(edit->head, kind, 0); count > 0 && i < edit->head->count;
		i = sip_head_find(edit->head, kind, i + 1)) {
		struct span list = value_of(edit, i);

		while (list.length > 0 && (count > 0 || list.at[0] == ','))
			count -= take_item(&list);
		if (list.length == 0)
			sip_edit_drop(edit, i);
		else
			sip_edit_replace(edit, i, list);
	}
}

/* --- The message --- */

/* Whether a Content-Length that is right goes out. A wrong one would have the next one on a stream take a part of another
 * message for the rest of this body. */
static bool keeps_length(const struct sip_edit *edit)
{
	for (size_t i = 0; !edit->head->wrong_length && i < edit->head->count; i++)
		if (edit->head->lines[i].kind == HEADER_CONTENT_LENGTH && !edit->changed[i])
			return true;
	return false;
}

/* A line that ended in a bare LF ends in CRLF from here on (RFC 3261 section 7): who looks for CRLF alone would see the head end
 * elsewhere, and on a stream take what follows for a part of this message. */
static void write_line(struct writer *writer, struct span line)
{
	bool is_bare = line.length > 0 && line.at[line.length - 1] == '\n' &&
		(line.length == 1 || line.at[line.length - 2] != '\r');

	writer_bytes(writer, line.at, line.length - is_bare);
	if (is_bare)
		writer_text(writer, "\r\n");
}

static void write_lines(const struct sip_edit *edit, bool keep_length, struct writer *writer)
{
	const struct sip_head *head = edit->head;

	for (size_t i = 0; i < head->count; i++) {
		if (head->lines[i].kind == HEADER_CONTENT_LENGTH && !keep_length)
			continue;
		write_line(writer, edit->changed[i] ? edit->lines[i] : head->lines[i].line);
	}
}

bool sip_edit_write(const struct sip_edit *edit, char *out, size_t size, struct span *message)
{
	struct writer writer = writer_on(out, size);
	bool keep_length = keeps_length(edit);

	if (edit->refused || edit->front.full || edit->back.full || edit->text.full)
		return false;
	writer_span(&writer, edit->start_line.length > 0 ? edit->start_line : edit->head->start_line);
	writer_text(&writer, "\r\n");
	writer_bytes(&writer, edit->front.start, writer_length(&edit->front));
	write_lines(edit, keep_length, &writer);
	writer_bytes(&writer, edit->back.start, writer_length(&edit->back));
	if (!keep_length) {
		writer_text(&writer, "Content-Length: ");
		writer_number(&writer, edit->head->body.length);
		writer_text(&writer, "\r\n");
	}
	writer_text(&writer, "\r\n");
	writer_span(&writer, edit->head->body);
	*message = (struct span){ out, writer_length(&writer) };
	return !writer.full;
}
