/* reason.h: where a function of stir/ says in words why it refuses. */
#ifndef STIRRUP_STIR_REASON_H
#define STIRRUP_STIR_REASON_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct reason {
	char *why;
	size_t size;
};

/* False, so that a check can end with it. */
__attribute__((format(printf, 2, 3))) static inline bool refuse(
	const struct reason *reason, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason->why, reason->size, format, arguments);
	va_end(arguments);
	return false;
}

#endif
