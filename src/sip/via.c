#include "stirrup/via.h"

#include "stirrup/writer.h"

/* Whether the parameter begins at this semicolon. */
static bool is_param(const char *semicolon, const char *end, const char *name, const char **behind)
{
	const char *at = semicolon + 1;
	size_t length = strlen(name);

	while (at < end && strchr(" \t\r\n", *at) != NULL)
		at++;
	if ((size_t)(end - at) < length || strncasecmp(at, name, length) != 0)
		return false;
	at += length;
	if (at < end && strchr("=; \t\r\n", *at) == NULL)
		return false;
	*behind = at;
	return true;
}

static bool has_value(const char *at, const char *end)
{
	while (at < end && strchr(" \t\r\n", *at) != NULL)
		at++;
	return at < end && *at == '=';
}

size_t via_with_source(char *out, size_t size, struct span line, const char *host, unsigned port)
{
	struct writer writer = writer_on(out, size);
	struct span value = span_trim(line);
	const char *end = value.at + value.length, *rport = NULL, *behind;

	if (memchr(value.at, ',', value.length) != NULL || memchr(value.at, '"', value.length) != NULL)
		return 0;
	for (const char *at = memchr(value.at, ';', value.length); at != NULL;
		at = memchr(at + 1, ';', (size_t)(end - at - 1))) {
		if (is_param(at, end, "received", &behind))
			return 0;
		if (!is_param(at, end, "rport", &behind))
			continue;
		if (rport != NULL || has_value(behind, end))
			return 0;
		rport = behind;
	}
	writer_bytes(&writer, value.at, (size_t)((rport != NULL ? rport : end) - value.at));
	if (rport != NULL) {
		writer_text(&writer, "=");
		writer_number(&writer, port);
		writer_bytes(&writer, rport, (size_t)(end - rport));
	}
	writer_text(&writer, ";received=");
	writer_text(&writer, host);
	writer_text(&writer, "\r\n");
	return writer.full ? 0 : writer_length(&writer);
}
