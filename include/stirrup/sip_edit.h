/* sip_edit.h: the message that is to leave, told as changes to the one that came in. What is not named leaves byte for byte,
 * in its place. Pure. */
#ifndef STIRRUP_SIP_EDIT_H
#define STIRRUP_SIP_EDIT_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/sip_head.h"
#include "stirrup/writer.h"

#define SIP_EDIT_TEXT 49152

struct sip_edit {
	const struct sip_head *head;
	struct span start_line;                   /* empty: the received one */
	bool refused;                             /* asked for what would not be the message that was meant */
	bool changed[HEADER_LINES_MAX];
	struct span lines[HEADER_LINES_MAX];      /* of a changed one; empty: dropped */
	struct writer front, back, text;          /* whole lines; what the rest borrows */
	char front_bytes[SIP_EDIT_TEXT], back_bytes[SIP_EDIT_TEXT], text_bytes[SIP_EDIT_TEXT];
};

/* The head must outlive the edit. */
void sip_edit_begin(struct sip_edit *edit, const struct sip_head *head);

/* The request line with another Request-URI. */
void sip_edit_request_uri(struct sip_edit *edit, struct span uri);

void sip_edit_drop(struct sip_edit *edit, size_t line);
void sip_edit_drop_all(struct sip_edit *edit, enum header_kind kind);

/* Another value under the name as received. */
void sip_edit_replace(struct sip_edit *edit, size_t line, struct span value);

/* A further line: right behind the start line, in the order of the calls; behind the last header line. */
void sip_edit_prepend(struct sip_edit *edit, const char *name, struct span value);
void sip_edit_append(struct sip_edit *edit, const char *name, struct span value);
/* Nothing is prepended: the message leaves once more, under other lines. */
void sip_edit_take_back(struct sip_edit *edit);
/* Further whole lines, with their line ends. */
void sip_edit_prepend_lines(struct sip_edit *edit, struct span lines);
void sip_edit_append_lines(struct sip_edit *edit, struct span lines);

/* Takes the first count items off the comma lists of the kind: the topmost Vias, the first Routes. A line that is left without
 * any is dropped. */
void sip_edit_drop_first(struct sip_edit *edit, enum header_kind kind, unsigned count);

/* Writes the message. A Content-Length is added where there was none, and takes the place of a wrong one: on a stream nothing
 * else ends a body (RFC 3261 section 18.3). Every line that came ends in CRLF. False when something did not fit, a value has a
 * line break that begins another line, whole lines do not end in one, or a Request-URI has white space. */
bool sip_edit_write(const struct sip_edit *edit, char *out, size_t size, struct span *message);

#endif
