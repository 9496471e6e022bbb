#include "input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *input_read(const char *path, size_t *length, const char *too_long)
{
	bool is_file = path != NULL && strcmp(path, "-") != 0;
	const char *name = is_file ? path : "standard input";
	FILE *file = is_file ? fopen(path, "rb") : stdin;
	char *text = malloc(INPUT_MAX + 1);
	const char *problem = NULL;

	if (file == NULL || text == NULL) {
		problem = strerror(errno);
	} else {
		*length = fread(text, 1, INPUT_MAX + 1, file);
		if (ferror(file))
			problem = strerror(errno);
		else if (*length > INPUT_MAX)
			problem = too_long;
		else
			text[*length] = '\0';
	}
	if (file != NULL && is_file)
		fclose(file);
	if (problem == NULL)
		return text;
	fprintf(stderr, "stirrupctl: %s: %s\n", name, problem);
	free(text);
	return NULL;
}

/* Takes a line with those that continue it (RFC 3261 section 7.3.1) off rest. */
static struct span take_line(struct span *rest)
{
	struct span line = { rest->at, 0 };
	bool ended = false;

	while (line.length < rest->length && !ended) {
		ended = rest->at[line.length] == '\n';
		line.length++;
		if (ended && line.length < rest->length && span_trim(line).length > 0)
			ended = rest->at[line.length] != ' ' && rest->at[line.length] != '\t';
	}
	rest->at += line.length;
	rest->length -= line.length;
	return line;
}

/* HCOLON, RFC 3261 section 25.1: false for what is no header line. */
static bool split_header_line(struct span line, struct span *name, struct span *value)
{
	static const char token[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~";
	size_t length = 0;
	size_t colon;

	while (length < line.length && memchr(token, line.at[length], sizeof token - 1) != NULL)
		length++;
	colon = length;
	while (colon < line.length && (line.at[colon] == ' ' || line.at[colon] == '\t'))
		colon++;
	if (length == 0 || colon == line.length || line.at[colon] != ':')
		return false;
	*name = (struct span){ line.at, length };
	*value = span_trim((struct span){ line.at + colon + 1, line.length - colon - 1 });
	return true;
}

static bool is_start_line(struct span line)
{
	static const char version[] = "SIP/2.0";
	size_t length = sizeof version - 1;

	line = span_trim(line);
	return line.length > length && (memcmp(line.at, version, length) == 0 ||
					       memcmp(line.at + line.length - length, version, length) == 0);
}

bool input_headers_begin(struct input_headers *headers, struct span text)
{
	struct input_header first;
	struct span rest = text;
	struct span line = take_line(&rest);

	*headers = (struct input_headers){ { "", 0 }, text };
	if (is_start_line(line))
		*headers = (struct input_headers){ span_trim(line), rest };
	else if (!split_header_line(line, &first.name, &first.value))
		return false;
	return true;
}

bool input_headers_next(struct input_headers *headers, struct input_header *header)
{
	for (;;) {
		struct span line = take_line(&headers->rest);

		if (span_trim(line).length == 0) {
			headers->rest.length = 0;
			return false;
		}
		if (split_header_line(line, &header->name, &header->value))
			return true;
	}
}
