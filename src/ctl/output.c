#include "output.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int output_escaped(const char *text, size_t length)
{
	int width = 0;

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		width += c >= 0x20 && c < 0x7f ? printf("%c", c) : printf("\\x%02x", c);
	}
	return width;
}

void output_label(const char *label)
{
	int width = printf("  ") + output_escaped(label, strlen(label));

	printf("%*s", width < 12 ? 12 - width : 1, "");
}

void output_row(const char *label, struct span value)
{
	output_label(label);
	output_escaped(value.at, value.length);
	printf("\n");
}

void output_format(const char *label, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	output_row(label, span_of(text));
}

bool output_date(char out[OUTPUT_DATE_SIZE], int64_t seconds)
{
	time_t moment = (time_t)seconds;
	struct tm utc;

	return gmtime_r(&moment, &utc) != NULL &&
	       strftime(out, OUTPUT_DATE_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc) > 0;
}

const char *output_attestation(const char *attest)
{
	if (strcmp(attest, "A") == 0)
		return " (full)";
	if (strcmp(attest, "B") == 0)
		return " (partial)";
	if (strcmp(attest, "C") == 0)
		return " (gateway)";
	return "";
}
