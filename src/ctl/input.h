/* input.h: what the verbs read: a SIP message, some of its header lines, or less. */
#ifndef STIRRUP_CTL_INPUT_H
#define STIRRUP_CTL_INPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/span.h"

#define INPUT_MAX 262144 /* four times the largest SIP message that UDP carries */

/* The whole file, or standard input for NULL and "-", with a NUL behind it. NULL after a message. too_long
 * says what it is too long for. */
char *input_read(const char *path, size_t *length, const char *too_long);

struct input_header {
	struct span name;
	struct span value; /* with its foldings */
};

/* The header lines of a message: those up to the first empty line, since a body may have lines that look
 * alike. */
struct input_headers {
	struct span start_line; /* empty: there is none */
	struct span rest;
};

/* False when the text begins neither with a start line nor with a header line. */
bool input_headers_begin(struct input_headers *headers, struct span text);

/* The next one; what is no header line is skipped. */
bool input_headers_next(struct input_headers *headers, struct input_header *header);

#endif
