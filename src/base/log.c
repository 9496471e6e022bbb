#include "stirrup/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "stirrup/clock.h"

/* At most this much is written at once: a pipe with room for PIPE_BUF (4096) octets takes it whole. */
#define LINE_MAX_BYTES 2048

static char process_name[32] = "stirrup";
static enum log_level threshold = LOG_LEVEL_NOTICE;
static unsigned long dropped;

void log_open(const char *process, enum log_level level)
{
	snprintf(process_name, sizeof process_name, "%s", process);
	threshold = level;
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARNING:
		return "warning";
	case LOG_LEVEL_NOTICE:
		return "notice";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	return "";
}

/* Appends text with everything escaped that could forge a line. Leaves room for the newline. */
static size_t append_escaped(char *line, size_t length, const char *text)
{
	static const char hex[] = "0123456789abcdef";

	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
		if (*p >= 0x20 && *p < 0x7f) {
			if (length + 2 > LINE_MAX_BYTES)
				break;
			line[length++] = (char)*p;
		} else {
			if (length + 5 > LINE_MAX_BYTES)
				break;
			line[length++] = '\\';
			line[length++] = 'x';
			line[length++] = hex[*p >> 4];
			line[length++] = hex[*p & 15];
		}
	}
	return length;
}

/* Whether standard error takes a line now. A reader that hangs must not hang the calls. */
static bool writable(void)
{
	struct pollfd error = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&error, 1, 0) == 1 && (error.revents & POLLOUT) != 0;
}

void log_line(enum log_level level, const char *format, ...)
{
	char message[LINE_MAX_BYTES];
	char line[LINE_MAX_BYTES];
	va_list arguments;
	size_t length;
	int saved = errno;

	if (level > threshold)
		return;
	va_start(arguments, format);
	vsnprintf(message, sizeof message, format, arguments);
	va_end(arguments);

	length = (size_t)snprintf(line, sizeof line, "%s: %s: ", process_name, level_name(level));
	if (dropped > 0)
		length += (size_t)snprintf(line + length, sizeof line - length, "(%lu lines lost) ", dropped);
	length = append_escaped(line, length, message);
	line[length++] = '\n';

	if (!writable() || write(STDERR_FILENO, line, length) != (ssize_t)length)
		dropped++;
	else
		dropped = 0;
	errno = saved;
}

bool log_allowed(struct log_limiter *limiter, unsigned long *suppressed)
{
	long long now = monotonic_us() / 1000;

	if (now < limiter->next_ms) {
		limiter->suppressed++;
		return false;
	}
	*suppressed = limiter->suppressed;
	limiter->suppressed = 0;
	limiter->next_ms = now + 1000;
	return true;
}
