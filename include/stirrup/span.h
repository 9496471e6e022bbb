/* span.h: a piece of somebody else's text, by address and length. Never NUL-terminated, never owned. */
#ifndef STIRRUP_SPAN_H
#define STIRRUP_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct span {
	const char *at;
	size_t length;
};

static inline struct span span_of(const char *text)
{
	return (struct span){ text, text == NULL ? 0 : strlen(text) };
}

static inline bool span_is(struct span span, const char *text)
{
	return span.length == strlen(text) && (span.length == 0 || memcmp(span.at, text, span.length) == 0);
}

/* As span_is(), whatever the letter case (ASCII): header names, URI schemes, hosts, parameter names. */
static inline bool span_is_caseless(struct span span, const char *text)
{
	return span.length == strlen(text) && (span.length == 0 || strncasecmp(span.at, text, span.length) == 0);
}

/* Cuts spaces, tabs, CR and LF (folded header lines, RFC 3261 section 7.3.1) from both ends. */
struct span span_trim(struct span span);

/* Copies as a C string. False, with an empty string in out, when it does not fit or has a NUL inside. */
bool span_copy(char *out, size_t size, struct span span);

#endif
