#include "stirrup/span.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span span_trim(struct span span)
{
	while (span.length > 0 && is_space(span.at[0])) {
		span.at++;
		span.length--;
	}
	while (span.length > 0 && is_space(span.at[span.length - 1]))
		span.length--;
	return span;
}

bool span_copy(char *out, size_t size, struct span span)
{
	out[0] = '\0';
	if (span.length == 0)
		return true;
	if (span.length >= size || memchr(span.at, '\0', span.length) != NULL)
		return false;
	memcpy(out, span.at, span.length);
	out[span.length] = '\0';
	return true;
}
