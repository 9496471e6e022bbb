#include "stirrup/json_reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stirrup/utf8.h"

/* Up to here each name is compared to each: most objects have fewer members. */
#define FEW_NAMES 12

static bool fail(struct json_reader *reader)
{
	reader->bad = true;
	return false;
}

/* The next octet; NUL, which no JSON text has, at the end. */
static char peek(const struct json_reader *reader)
{
	return reader->at < reader->end ? *reader->at : '\0';
}

static bool take_if(struct json_reader *reader, char c)
{
	if (peek(reader) != c)
		return false;
	reader->at++;
	return true;
}

static void skip_space(struct json_reader *reader)
{
	while (peek(reader) == ' ' || peek(reader) == '\t' || peek(reader) == '\n' || peek(reader) == '\r')
		reader->at++;
}

/* --- Strings, RFC 8259 section 7 --- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* The four digits behind "\u". */
static bool take_hex(struct json_reader *reader, uint32_t *unit)
{
	*unit = 0;
	for (int i = 0; i < 4; i++) {
		int value = hex_value(peek(reader));

		if (value < 0)
			return false;
		*unit = *unit << 4 | (uint32_t)value;
		reader->at++;
	}
	return true;
}

static void put_utf8(struct json_reader *reader, uint32_t character)
{
	char *out = reader->strings;

	if (character < 0x80) {
		*out++ = (char)character;
	} else if (character < 0x800) {
		*out++ = (char)(0xc0 | character >> 6);
		*out++ = (char)(0x80 | (character & 0x3f));
	} else if (character < 0x10000) {
		*out++ = (char)(0xe0 | character >> 12);
		*out++ = (char)(0x80 | (character >> 6 & 0x3f));
		*out++ = (char)(0x80 | (character & 0x3f));
	} else {
		*out++ = (char)(0xf0 | character >> 18);
		*out++ = (char)(0x80 | (character >> 12 & 0x3f));
		*out++ = (char)(0x80 | (character >> 6 & 0x3f));
		*out++ = (char)(0x80 | (character & 0x3f));
	}
	reader->strings = out;
}

/* What follows "\u". Half of a surrogate pair is no character, and a NUL would end the string for some and not for others. */
static bool take_code(struct json_reader *reader)
{
	uint32_t unit, low;

	if (!take_hex(reader, &unit) || unit == 0 || (unit >= 0xdc00 && unit <= 0xdfff))
		return fail(reader);
	if (unit >= 0xd800 && unit <= 0xdbff) {
		if (!take_if(reader, '\\') || !take_if(reader, 'u') || !take_hex(reader, &low) || low < 0xdc00 ||
			low > 0xdfff)
			return fail(reader);
		unit = 0x10000 + ((unit - 0xd800) << 10 | (low - 0xdc00));
	}
	put_utf8(reader, unit);
	return true;
}

/* What follows a backslash. */
static bool take_escape(struct json_reader *reader)
{
	/* Pairs of the letter and the octet that it stands for. */
	static const char named[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
	char c = peek(reader);

	if (c == '\0')
		return fail(reader);
	reader->at++;
	if (c == 'u')
		return take_code(reader);
	for (size_t i = 0; i + 1 < sizeof named; i += 2) {
		if (named[i] == c) {
			*reader->strings++ = named[i + 1];
			return true;
		}
	}
	return fail(reader);
}

/* One character that is not plain. */
static bool take_special(struct json_reader *reader)
{
	size_t length;

	if (take_if(reader, '\\'))
		return take_escape(reader);
	length = utf8_length((const unsigned char *)reader->at, (size_t)(reader->end - reader->at));
	if (length == 0)
		return fail(reader);
	memcpy(reader->strings, reader->at, length);
	reader->strings += length;
	reader->at += length;
	return true;
}

static bool is_plain(char c)
{
	return (signed char)c >= 0x20 && c != '"' && c != '\\';
}

static bool take_string(struct json_reader *reader, struct span *string)
{
	string->at = reader->strings;
	if (!take_if(reader, '"'))
		return fail(reader);
	while (!take_if(reader, '"')) {
		const char *at = reader->at;
		char *out = reader->strings;

		while (at < reader->end && is_plain(*at))
			*out++ = *at++;
		reader->at = at;
		reader->strings = out;
		if (peek(reader) != '"' && (at == reader->end || !take_special(reader)))
			return fail(reader);
	}
	string->length = (size_t)(reader->strings - string->at);
	*reader->strings++ = '\0';
	return true;
}

/* --- Numbers, RFC 8259 section 6 --- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool take_digits(struct json_reader *reader)
{
	const char *start = reader->at;

	while (is_digit(peek(reader)))
		reader->at++;
	return reader->at > start;
}

/* digits: what stands before a "." or an "e". Counted downwards: the negative numbers are one more. */
static bool read_integer(int64_t *integer, struct span digits, bool negative)
{
	*integer = 0;
	for (size_t i = 0; i < digits.length; i++)
		if (__builtin_mul_overflow(*integer, 10, integer) ||
			__builtin_sub_overflow(*integer, digits.at[i] - '0', integer))
			return false;
	return negative || !__builtin_sub_overflow(0, *integer, integer);
}

static bool take_number(struct json_reader *reader, struct json_value *value)
{
	const char *start = reader->at;
	bool negative = take_if(reader, '-');
	struct span digits = { reader->at, 0 };
	bool real = false;

	if (!take_if(reader, '0') && !take_digits(reader))
		return fail(reader);
	digits.length = (size_t)(reader->at - digits.at);
	if (take_if(reader, '.')) {
		real = true;
		if (!take_digits(reader))
			return fail(reader);
	}
	if (take_if(reader, 'e') || take_if(reader, 'E')) {
		real = true;
		if (!take_if(reader, '+'))
			take_if(reader, '-');
		if (!take_digits(reader))
			return fail(reader);
	}
	value->kind = real ? JSON_KIND_OTHER : JSON_KIND_INTEGER;
	if (real ? isinf(strtod(start, NULL)) : !read_integer(&value->integer, digits, negative))
		return fail(reader);
	return true;
}

/* --- Arrays and objects --- */

static int compare_names(const void *left, const void *right, void *room)
{
	const struct json_name *a = left, *b = right;

	if (a->length != b->length)
		return a->length < b->length ? -1 : 1;
	return memcmp((char *)room + a->at, (char *)room + b->at, a->length);
}

/* RFC 8259 section 4 leaves open what a name means that stands twice: two readers may find two calls in one token. */
static bool has_twins(struct json_name *names, size_t count, char *room)
{
	if (count <= FEW_NAMES) {
		for (size_t i = 1; i < count; i++)
			for (size_t j = 0; j < i; j++)
				if (compare_names(&names[i], &names[j], room) == 0)
					return true;
		return false;
	}
	qsort_r(names, count, sizeof *names, compare_names, room);
	for (size_t i = 1; i < count; i++)
		if (compare_names(&names[i - 1], &names[i], room) == 0)
			return true;
	return false;
}

static void leave(struct json_reader *reader, const struct json_level *level)
{
	if (has_twins(reader->names, (size_t)(level->outer_names - reader->names), reader->room))
		fail(reader);
	reader->names = level->outer_names;
	reader->depth--;
}

static bool remember(struct json_reader *reader, struct span name)
{
	/* Never so: a name takes four octets of room, and but for one of each level that is open five of the text. */
	if (name.at + name.length >= (char *)(reader->names - 1))
		return fail(reader);
	*--reader->names = (struct json_name){ (uint16_t)(name.at - reader->room), (uint16_t)name.length };
	return true;
}

/* Whether there is one more; what stands before it is taken. */
static bool goes_on(struct json_reader *reader, struct json_level *level)
{
	bool first = !level->begun;

	if (reader->bad)
		return false;
	skip_space(reader);
	level->begun = true;
	if (take_if(reader, level->end)) {
		leave(reader, level);
		return false;
	}
	if (!first && !take_if(reader, ','))
		return fail(reader);
	return true;
}

bool json_reader_enter(struct json_reader *reader, struct json_level *level, char bracket)
{
	skip_space(reader);
	if (reader->bad || !take_if(reader, bracket))
		return false;
	if (reader->depth++ == JSON_DEPTH_MAX)
		return fail(reader);
	*level = (struct json_level){ .end = bracket == '{' ? '}' : ']', .outer_names = reader->names };
	return true;
}

bool json_reader_member(struct json_reader *reader, struct json_level *level, struct span *name)
{
	if (!goes_on(reader, level))
		return false;
	skip_space(reader);
	if (!take_string(reader, name) || !remember(reader, *name))
		return false;
	skip_space(reader);
	return take_if(reader, ':') || fail(reader);
}

bool json_reader_item(struct json_reader *reader, struct json_level *level)
{
	return goes_on(reader, level);
}

/* --- All of it --- */

static bool take_word(struct json_reader *reader, const char *word)
{
	size_t length = strlen(word);

	if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
		return false;
	reader->at += length;
	return true;
}

/* At most JSON_DEPTH_MAX levels deep. */
static bool pass_over(struct json_reader *reader)
{
	struct json_level level;
	struct span name;

	if (json_reader_enter(reader, &level, '{'))
		while (json_reader_member(reader, &level, &name))
			json_reader_take(reader);
	else if (json_reader_enter(reader, &level, '['))
		while (json_reader_item(reader, &level))
			json_reader_take(reader);
	else
		return take_word(reader, "true") || take_word(reader, "false") || take_word(reader, "null") || fail(reader);
	return !reader->bad;
}

struct json_value json_reader_take(struct json_reader *reader)
{
	struct json_value value = { .kind = JSON_KIND_OTHER, .string = { "", 0 } };
	char next;

	skip_space(reader);
	next = peek(reader);
	if (reader->bad)
		return value;
	if (next == '"') {
		value.kind = JSON_KIND_STRING;
		take_string(reader, &value.string);
	} else if (next == '-' || is_digit(next)) {
		take_number(reader, &value);
	} else {
		pass_over(reader);
	}
	return value;
}

void json_reader_begin(struct json_reader *reader, struct span text, char *room)
{
	uintptr_t end = (uintptr_t)(room + JSON_ROOM(text.length));

	*reader = (struct json_reader){
		.at = text.at,
		.end = text.at + text.length,
		.room = room,
		.strings = room,
		.names = (struct json_name *)(end - end % _Alignof(struct json_name)),
		.bad = text.length > JSON_TEXT_MAX,
	};
}

bool json_reader_end(struct json_reader *reader)
{
	skip_space(reader);
	return !reader->bad && reader->depth == 0 && reader->at == reader->end;
}
