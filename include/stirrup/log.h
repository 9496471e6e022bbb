/* log.h: what the operator reads. One line to standard error for each event, never blocking.
 *
 * A line is written whole or dropped and counted; the next line that gets through says how many were lost.
 * Bytes that came from the network are escaped by log_line() itself: control characters and bytes above 0x7e
 * appear as \xNN, so no message can forge a line or move a terminal's cursor. */
#ifndef STIRRUP_LOG_H
#define STIRRUP_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_DEBUG };

/* Names the process in each line ("worker 0"); lines below level are not written. The name is copied. */
void log_open(const char *process, enum log_level level);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Limits what can repeat with every call: true at most once in a second for this limiter; *suppressed then holds
 * how many times it was false since. A zeroed struct is ready for use. */
struct log_limiter {
	long long next_ms;
	unsigned long suppressed;
};
bool log_allowed(struct log_limiter *limiter, unsigned long *suppressed);

#endif
