#include "syntax.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32 /* our deepest setting stands at 6 */
#define QUOTE_MAX 40 /* of a text that a message repeats */

enum token { TOKEN_END, TOKEN_NAME, TOKEN_STRING, TOKEN_NUMBER, TOKEN_BOOLEAN, TOKEN_SIGN, TOKEN_BAD };

struct scanner {
	char *at, *end;
	unsigned line;
	const char *file;
	struct config_report *report;

	enum token token;
	char *text; /* of the token */
	size_t length;
	unsigned token_line;
	unsigned before_line; /* where the token before it ended: a missing ";" belongs there */
	bool failed;
};

__attribute__((format(printf, 3, 4))) static bool fail(
	struct scanner *scanner, unsigned line, const char *format, ...)
{
	char text[512];
	va_list arguments;

	if (scanner->failed)
		return false;
	scanner->failed = true;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	config_report_add(scanner->report, CONFIG_ERROR, scanner->file, line, NULL, "%s", text);
	return false;
}

/* --- Tokens --- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_in_name(char c)
{
	return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '*';
}

static void skip_line(struct scanner *scanner)
{
	char *newline = memchr(scanner->at, '\n', (size_t)(scanner->end - scanner->at));

	scanner->at = newline == NULL ? scanner->end : newline;
}

static bool skip_comment(struct scanner *scanner)
{
	unsigned line = scanner->line;

	for (scanner->at += 2; scanner->end - scanner->at >= 2; scanner->at++) {
		if (scanner->at[0] == '*' && scanner->at[1] == '/') {
			scanner->at += 2;
			return true;
		}
		if (scanner->at[0] == '\n')
			scanner->line++;
	}
	scanner->at = scanner->end;
	return fail(scanner, line, "the comment that begins here has no end; close it with */");
}

/* libconfig would read the other file by its own rules, past our limits, and without knowing conf.d. */
static void refuse_include(struct scanner *scanner)
{
	char *start = scanner->at;

	config_report_add(scanner->report, CONFIG_ERROR, scanner->file, scanner->line, "@include",
		"is not supported; put the file into the directory conf.d beside the main file, as "
		"NAME.conf");
	skip_line(scanner);
	memset(start, ' ', (size_t)(scanner->at - start));
}

static bool skip_blank(struct scanner *scanner)
{
	while (scanner->at < scanner->end) {
		char c = scanner->at[0], next = scanner->end - scanner->at > 1 ? scanner->at[1] : '\0';

		if (c == '\n') {
			scanner->line++;
			scanner->at++;
		} else if (c == ' ' || c == '\t' || c == '\r' || c == '\f') {
			scanner->at++;
		} else if (c == '#' || (c == '/' && next == '/')) {
			skip_line(scanner);
		} else if (c == '/' && next == '*') {
			if (!skip_comment(scanner))
				return false;
		} else if (c == '@' && scanner->end - scanner->at >= 8 &&
			   memcmp(scanner->at, "@include", 8) == 0) {
			refuse_include(scanner);
		} else {
			break;
		}
	}
	return true;
}

static bool read_string(struct scanner *scanner)
{
	for (scanner->at++; scanner->at < scanner->end && *scanner->at != '\n'; scanner->at++) {
		if (*scanner->at == '"') {
			scanner->at++;
			return true;
		}
		if (*scanner->at != '\\')
			continue;
		if (scanner->end - scanner->at >= 4 && strncasecmp(scanner->at, "\\x00", 4) == 0)
			return fail(scanner, scanner->line, "\\x00 cannot stand in a text");
		if (scanner->end - scanner->at >= 2 && scanner->at[1] != '\n')
			scanner->at++;
	}
	return fail(scanner, scanner->token_line,
		"the text that begins with %.*s is not closed on its line; is a \" missing?",
		(int)(scanner->at - scanner->text > QUOTE_MAX ? QUOTE_MAX : scanner->at - scanner->text),
		scanner->text);
}

/* Out of range: keeps the length, so that no text moves. The largest value has fewer digits than any that is
 * too large. */
static void saturate(char *digits, size_t length, bool negative)
{
	char largest[16];
	size_t width = (size_t)snprintf(
		largest, sizeof largest, "%lld", llabs((long long)(negative ? INT_MIN : INT_MAX)));

	memset(digits, '0', length - width);
	memcpy(digits + length - width, largest, width);
}

static bool is_hexadecimal(const char *digits, size_t length)
{
	return length > 2 && digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X') &&
	       strspn(digits + 2, "0123456789abcdefABCDEF") >= length - 2;
}

static bool check_integer(struct scanner *scanner)
{
	char *digits = scanner->text;
	size_t length = scanner->length;
	bool negative = digits[0] == '-', is_wide = digits[length - 1] == 'L';
	long long value, limit = negative ? -(long long)INT_MIN : INT_MAX;

	for (size_t i = 0; i < 2 && length > 0 && digits[length - 1] == 'L'; i++)
		length--;
	errno = 0;
	if (is_hexadecimal(digits, length)) {
		value = strtoll(digits, NULL, 16);
	} else {
		if (digits[0] == '-' || digits[0] == '+') {
			digits++;
			length--;
		}
		if (length == 0 || strspn(digits, "0123456789") < length)
			return false;
		value = strtoll(digits, NULL, 10);
	}
	if (errno == ERANGE || (!is_wide && value > limit))
		saturate(digits, length, negative);
	return true;
}

static bool is_float(const char *text, size_t length)
{
	size_t points = 0, digits = 0;

	for (size_t i = text[0] == '-' || text[0] == '+' ? 1 : 0; i < length; i++) {
		points += text[i] == '.';
		digits += is_digit(text[i]);
		if (text[i] != '.' && !is_digit(text[i]))
			return false;
	}
	return points == 1 && digits > 0;
}

static bool read_number(struct scanner *scanner)
{
	while (scanner->at < scanner->end &&
		(is_in_name(*scanner->at) || *scanner->at == '.' || *scanner->at == '+'))
		scanner->at++;
	scanner->length = (size_t)(scanner->at - scanner->text);
	if (check_integer(scanner) || is_float(scanner->text, scanner->length))
		return true;
	return fail(scanner, scanner->token_line,
		"%.*s is not a number; durations, sizes, addresses and telephone numbers stand in quotes: "
		"\"%.*s\"",
		(int)(scanner->length > QUOTE_MAX ? QUOTE_MAX : scanner->length), scanner->text,
		(int)(scanner->length > QUOTE_MAX ? QUOTE_MAX : scanner->length), scanner->text);
}

static enum token read_word(struct scanner *scanner)
{
	while (scanner->at < scanner->end && is_in_name(*scanner->at))
		scanner->at++;
	scanner->length = (size_t)(scanner->at - scanner->text);
	if ((scanner->length == 4 && strncasecmp(scanner->text, "true", 4) == 0) ||
		(scanner->length == 5 && strncasecmp(scanner->text, "false", 5) == 0))
		return TOKEN_BOOLEAN;
	return TOKEN_NAME;
}

static enum token read_other(struct scanner *scanner)
{
	unsigned char c = (unsigned char)*scanner->at;

	if (strchr("{}[]():=;,", c) != NULL) {
		scanner->at++;
		return TOKEN_SIGN;
	}
	if (c == 0xef)
		fail(scanner, scanner->line,
			"a byte order mark, or a character beyond ASCII outside of quotes; "
			"save the file as UTF-8 without byte order mark");
	else if (c > 0x20 && c < 0x7f)
		fail(scanner, scanner->line, "unexpected character '%c'%s", c,
			c == '\'' ? "; texts stand in double quotes" : "");
	else
		fail(scanner, scanner->line, "unexpected byte 0x%02x; beyond ASCII only within quotes", c);
	return TOKEN_BAD;
}

static void next(struct scanner *scanner)
{
	scanner->before_line = scanner->line;
	scanner->length = 0;
	if (scanner->failed || !skip_blank(scanner)) {
		scanner->token = TOKEN_BAD;
		return;
	}
	scanner->text = scanner->at;
	scanner->token_line = scanner->line;
	if (scanner->at == scanner->end)
		scanner->token = TOKEN_END;
	else if (*scanner->at == '"')
		scanner->token = read_string(scanner) ? TOKEN_STRING : TOKEN_BAD;
	else if (is_digit(*scanner->at) || strchr("+-.", *scanner->at) != NULL)
		scanner->token = read_number(scanner) ? TOKEN_NUMBER : TOKEN_BAD;
	else if (is_letter(*scanner->at) || *scanner->at == '*')
		scanner->token = read_word(scanner);
	else
		scanner->token = read_other(scanner);
	scanner->length = (size_t)(scanner->at - scanner->text);
}

static bool is_sign(const struct scanner *scanner, char sign)
{
	return scanner->token == TOKEN_SIGN && *scanner->text == sign;
}

/* --- The grammar --- */

static bool check_value(struct scanner *scanner, unsigned depth);

/* What stands there, for a message. */
static const char *found(const struct scanner *scanner, char out[QUOTE_MAX + 16])
{
	if (scanner->token == TOKEN_END)
		return "the end of the file";
	snprintf(out, QUOTE_MAX + 16, "%.*s",
		(int)(scanner->length > QUOTE_MAX ? QUOTE_MAX : scanner->length), scanner->text);
	return out;
}

static bool check_setting(struct scanner *scanner, unsigned depth)
{
	char quote[QUOTE_MAX + 16], name[QUOTE_MAX + 16];
	unsigned line = scanner->token_line;

	if (is_sign(scanner, ';') || is_sign(scanner, ','))
		return fail(scanner, scanner->token_line, "a '%c' too many; remove it", *scanner->text);
	if (scanner->token != TOKEN_NAME)
		return fail(scanner, scanner->token_line, "a setting's name is expected, not %s",
			found(scanner, quote));
	found(scanner, name);
	next(scanner);
	if (!is_sign(scanner, '=') && !is_sign(scanner, ':'))
		return fail(scanner, line, "%s: '=' and a value are expected, not %s", name,
			found(scanner, quote));
	next(scanner);
	if (is_sign(scanner, ';') || is_sign(scanner, '}') || scanner->token == TOKEN_END)
		return fail(scanner, line, "%s: the value is missing", name);
	if (!check_value(scanner, depth))
		return false;
	if (is_sign(scanner, ';') || is_sign(scanner, ','))
		next(scanner);
	return true;
}

/* "{": settings up to "}". */
static bool check_group(struct scanner *scanner, unsigned depth)
{
	unsigned line = scanner->token_line;

	next(scanner);
	while (!is_sign(scanner, '}')) {
		if (scanner->token == TOKEN_END)
			return fail(scanner, line, "the '{' of this line is never closed; is a '}' missing?");
		if (is_sign(scanner, ']') || is_sign(scanner, ')'))
			return fail(scanner, scanner->token_line,
				"'%c' where a '}' is expected: the '{' of line %u is open", *scanner->text,
				line);
		if (!check_setting(scanner, depth))
			return false;
	}
	next(scanner);
	return true;
}

static bool fail_unclosed(struct scanner *scanner, unsigned line, char close)
{
	return fail(scanner, line, "the '%c' of this line is never closed; is a '%c' missing?",
		close == ']' ? '[' : '(', close);
}

static bool check_separator(struct scanner *scanner, char close, unsigned line)
{
	char quote[QUOTE_MAX + 16];

	if (is_sign(scanner, close))
		return true;
	if (is_sign(scanner, ',')) {
		unsigned comma_line = scanner->token_line;

		next(scanner);
		if (is_sign(scanner, close))
			return fail(scanner, comma_line, "remove the ',' before the '%c'", close);
		return true;
	}
	if (scanner->token == TOKEN_END || is_sign(scanner, ';') || is_sign(scanner, '='))
		return fail_unclosed(scanner, line, close);
	if (scanner->token == TOKEN_SIGN && strchr("]})", *scanner->text) != NULL)
		return fail(scanner, scanner->token_line,
			"'%c' where a '%c' is expected: the '%c' of line %u is open", *scanner->text, close,
			close == ']' ? '[' : '(', line);
	return fail(scanner, scanner->before_line, "a ',' is missing before %s", found(scanner, quote));
}

/* "[" or "(": values up to close. */
static bool check_list(struct scanner *scanner, char close, unsigned depth)
{
	unsigned line = scanner->token_line;

	next(scanner);
	while (!is_sign(scanner, close)) {
		if (scanner->token == TOKEN_END)
			return fail_unclosed(scanner, line, close);
		if (close == ']' && scanner->token == TOKEN_SIGN && strchr("{[(", *scanner->text) != NULL)
			return fail(scanner, scanner->token_line,
				"[ ] takes plain values only; write ( ) around groups and lists");
		if (!check_value(scanner, depth) || !check_separator(scanner, close, line))
			return false;
	}
	next(scanner);
	return true;
}

static bool check_value(struct scanner *scanner, unsigned depth)
{
	char quote[QUOTE_MAX + 16];

	if (depth == DEPTH_MAX)
		return fail(
			scanner, scanner->token_line, "more than %u brackets within each other", DEPTH_MAX);
	switch (scanner->token) {
	case TOKEN_STRING:
		while (scanner->token == TOKEN_STRING)
			next(scanner);
		return !scanner->failed;
	case TOKEN_NUMBER:
	case TOKEN_BOOLEAN:
		next(scanner);
		return !scanner->failed;
	case TOKEN_NAME:
		return fail(
			scanner, scanner->token_line, "texts stand in quotes: \"%s\"", found(scanner, quote));
	case TOKEN_SIGN:
		if (*scanner->text == '{')
			return check_group(scanner, depth + 1);
		if (*scanner->text == '[')
			return check_list(scanner, ']', depth + 1);
		if (*scanner->text == '(')
			return check_list(scanner, ')', depth + 1);
		break;
	case TOKEN_END:
	case TOKEN_BAD:
		break;
	}
	return fail(scanner, scanner->token_line, "a value is expected, not %s", found(scanner, quote));
}

bool syntax_check(char *text, size_t length, const char *file, struct config_report *report)
{
	struct scanner scanner = {
		.at = text, .end = text + length, .line = 1, .file = file, .report = report
	};

	next(&scanner);
	while (!scanner.failed && scanner.token != TOKEN_END)
		if (!check_setting(&scanner, 0))
			break;
	return !scanner.failed;
}
