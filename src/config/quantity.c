#include "quantity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *word;
	int64_t factor;
};

/* Largest first. */
static const struct unit duration_units[] = {
	{ "d", 86400000 },
	{ "h", 3600000 },
	{ "m", 60000 },
	{ "s", 1000 },
	{ "ms", 1 },
};

static const struct unit size_units[] = {
	{ "G", INT64_C(1) << 30 },
	{ "M", INT64_C(1) << 20 },
	{ "K", INT64_C(1) << 10 },
	{ "", 1 },
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool from_text(int64_t *out, const char *text, const struct unit *units, size_t count)
{
	size_t digits = strspn(text, "0123456789");
	int64_t value = 0;

	if (digits == 0)
		return false;
	for (size_t i = 0; i < digits; i++) {
		if (value > (INT64_MAX - 9) / 10)
			return false;
		value = value * 10 + (text[i] - '0');
	}
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text + digits, units[i].word) != 0)
			continue;
		if (value > INT64_MAX / units[i].factor)
			return false;
		*out = value * units[i].factor;
		return true;
	}
	return false;
}

static const char *to_text(char out[QUANTITY_SIZE], int64_t value, const struct unit *units, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (value % units[i].factor != 0)
			continue;
		snprintf(out, QUANTITY_SIZE, "%" PRId64 "%s", value / units[i].factor, units[i].word);
		break;
	}
	return out;
}

bool duration_from_text(int64_t *milliseconds, const char *text)
{
	return from_text(milliseconds, text, duration_units, COUNT(duration_units));
}

bool size_from_text(int64_t *bytes, const char *text)
{
	return from_text(bytes, text, size_units, COUNT(size_units));
}

const char *duration_text(char out[QUANTITY_SIZE], int64_t milliseconds)
{
	return to_text(out, milliseconds, duration_units, COUNT(duration_units));
}

const char *size_text(char out[QUANTITY_SIZE], int64_t bytes)
{
	return to_text(out, bytes, size_units, COUNT(size_units));
}
