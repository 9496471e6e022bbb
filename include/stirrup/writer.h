/* writer.h: text built into a buffer of a fixed size. The one way in which headers, tokens and records are put together:
 * what does not fit is never written in part and never forgotten. */
#ifndef STIRRUP_WRITER_H
#define STIRRUP_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "stirrup/span.h"

/* Once something did not fit, full stays set and nothing more is written. */
struct writer {
	char *start;
	char *at;
	char *end;
	bool full;
};

static inline struct writer writer_on(char *buffer, size_t size)
{
	return (struct writer){ buffer, buffer, buffer + size, false };
}

static inline size_t writer_length(const struct writer *writer)
{
	return (size_t)(writer->at - writer->start);
}

static inline void writer_bytes(struct writer *writer, const void *bytes, size_t length)
{
	if (writer->full || (size_t)(writer->end - writer->at) < length) {
		writer->full = true;
		return;
	}
	if (length > 0)
		memcpy(writer->at, bytes, length);
	writer->at += length;
}

static inline void writer_span(struct writer *writer, struct span span)
{
	writer_bytes(writer, span.at, span.length);
}

static inline void writer_text(struct writer *writer, const char *text)
{
	writer_bytes(writer, text, strlen(text));
}

/* Decimal, without leading zeros. */
static inline void writer_number(struct writer *writer, uint64_t number)
{
	char digits[20];
	char *p = digits + sizeof digits;

	do
		*--p = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	writer_bytes(writer, p, (size_t)(digits + sizeof digits - p));
}

/* Ends the text as a C string. False when it or its NUL did not fit: out is then an empty string. */
static inline bool writer_end(struct writer *writer)
{
	writer_bytes(writer, "", 1);
	if (writer->full && writer->end > writer->start)
		writer->start[0] = '\0';
	return !writer->full;
}

#endif
