#include "stirrup/verstat.h"

#include "stirrup/name_addr.h"
#include "stirrup/writer.h"

void verstat_value(char out[VERSTAT_VALUE_SIZE], enum verify_result result, char attest, enum verstat_form form)
{
	struct writer writer = writer_on(out, VERSTAT_VALUE_SIZE);

	switch (result) {
	case VERIFY_PASSED:
		writer_text(&writer, "TN-Validation-Passed");
		break;
	case VERIFY_FAILED:
		writer_text(&writer, "TN-Validation-Failed");
		break;
	case VERIFY_NO_VALIDATION:
		writer_text(&writer, "No-TN-Validation");
		attest = 0;
		break;
	}
	if (form == VERSTAT_WITH_ATTESTATION && attest != 0) {
		writer_text(&writer, "-");
		writer_bytes(&writer, &attest, 1);
	}
	writer_end(&writer);
}

/* The number of a URI with its parameters: what stands between the scheme and the "@" (sip), all behind the scheme
 * (tel). */
static struct span number_part(struct span uri)
{
	const char *colon = uri.length == 0 ? NULL : memchr(uri.at, ':', uri.length);
	struct span part = { uri.at, 0 };
	const char *at_sign;

	if (colon == NULL)
		return part;
	part = (struct span){ colon + 1, uri.length - (size_t)(colon + 1 - uri.at) };
	if (span_is_caseless((struct span){ uri.at, (size_t)(colon - uri.at) }, "tel"))
		return part;
	at_sign = memchr(part.at, '@', part.length);
	part.length = at_sign == NULL ? 0 : (size_t)(at_sign - part.at);
	return part;
}

/* The next ";name=value", with its semicolon; what stands before the first one comes as it is. Empty at the end. Moves
 * *rest behind it. */
static struct span next_param(struct span *rest)
{
	struct span param = { rest->at, 0 };
	bool quoted = false;

	while (param.length < rest->length && (param.length == 0 || quoted || rest->at[param.length] != ';')) {
		if (rest->at[param.length] == '"')
			quoted = !quoted;
		else if (quoted && rest->at[param.length] == '\\' && param.length + 1 < rest->length)
			param.length++;
		param.length++;
	}
	rest->at += param.length;
	rest->length -= param.length;
	return param;
}

/* The next character with its percent-encoding undone (RFC 3986 section 2.1); '\0' at the end. */
static char next_decoded(struct span *text)
{
	static const char hex[] = "0123456789abcdef";
	const char *high, *low;
	char c;

	if (text->length == 0)
		return '\0';
	c = text->at[0];
	if (c == '%' && text->length >= 3 && text->at[1] != '\0' && text->at[2] != '\0') {
		high = strchr(hex, text->at[1] | 0x20);
		low = strchr(hex, text->at[2] | 0x20);
		if (high != NULL && low != NULL) {
			c = (char)((high - hex) << 4 | (low - hex));
			text->at += 2;
			text->length -= 2;
		}
	}
	text->at++;
	text->length--;
	return c;
}

/* Takes ";verstat" off the text, however it is written. */
static bool take_name(struct span *text)
{
	static const char name[] = "verstat";

	if (text->length == 0 || text->at[0] != ';')
		return false;
	do {
		text->at++;
		text->length--;
	} while (text->length > 0 && memchr(" \t\r\n", text->at[0], 4) != NULL);
	for (const char *c = name; *c != '\0'; c++)
		if ((next_decoded(text) | 0x20) != *c)
			return false;
	return true;
}

static bool is_verstat(struct span param)
{
	if (param.length == 0 || param.at[0] != ';')
		return false;
	param = span_trim(param);
	return take_name(&param) && (param.length == 0 || strchr("= \t@?>%", param.at[0]) != NULL);
}

/* False where there is none, quoted or not: what most header fields and URIs are needs no closer look. */
static bool may_have_verstat(struct span text)
{
	const char *end = text.at + text.length, *at = text.at;

	while (at < end && (at = memchr(at, ';', (size_t)(end - at))) != NULL) {
		struct span here = { at, (size_t)(end - at) };

		if (take_name(&here))
			return true;
		at++;
	}
	return false;
}

/* Copies parameters of a number, a URI or a header field, but for verstat: field practice has it in each of these places. */
static void put_without_verstat(struct writer *writer, struct span text, unsigned *removed)
{
	for (struct span param = next_param(&text); param.length > 0; param = next_param(&text)) {
		if (is_verstat(param))
			++*removed;
		else
			writer_span(writer, param);
	}
}

/* Splits a number into its digits and its parameters. */
static struct span digits_of(struct span number, struct span *params)
{
	const char *semicolon = number.length == 0 ? NULL : memchr(number.at, ';', number.length);
	size_t length = semicolon == NULL ? number.length : (size_t)(semicolon - number.at);

	*params = (struct span){ number.at + length, number.length - length };
	return (struct span){ number.at, length };
}

static void put_uri(struct writer *writer, struct span uri, const char *value, unsigned *removed)
{
	struct span number = number_part(uri), params;
	struct span digits = digits_of(number, &params);
	const char *behind = number.at + number.length;

	writer_bytes(writer, uri.at, (size_t)(digits.at + digits.length - uri.at));
	put_without_verstat(writer, params, removed);
	if (value != NULL) {
		writer_text(writer, ";verstat=");
		writer_text(writer, value);
	}
	put_without_verstat(writer, (struct span){ behind, (size_t)(uri.at + uri.length - behind) }, removed);
}

bool verstat_stamp_uri(char *out, size_t size, struct span uri, const char *value)
{
	struct writer writer = writer_on(out, size);
	unsigned removed = 0;

	writer_text(&writer, "<");
	put_uri(&writer, uri, value, &removed);
	writer_text(&writer, ">");
	return writer_end(&writer);
}

bool verstat_strip(char *out, size_t size, struct span uri, unsigned *removed)
{
	struct writer writer = writer_on(out, size);

	*removed = 0;
	put_uri(&writer, uri, NULL, removed);
	return writer_end(&writer);
}

bool verstat_in_uri(struct span uri)
{
	char none[1];
	unsigned removed;

	if (!may_have_verstat(uri))
		return false;
	/* It counts on where there is no more room. */
	verstat_strip(none, sizeof none, uri, &removed);
	return removed > 0;
}

/* How far it is from the end of the URI to behind its ">"; 0: it stands in none. A space inside is wrong, yet in use. */
static size_t length_to_bracket(struct span header, struct span uri)
{
	const char *before = uri.at, *behind = uri.at + uri.length, *end = header.at + header.length;

	while (before > header.at && before[-1] == ' ')
		before--;
	while (behind < end && *behind == ' ')
		behind++;
	if (before == header.at || before[-1] != '<' || behind == end || *behind != '>')
		return 0;
	return (size_t)(behind + 1 - (uri.at + uri.length));
}

bool verstat_stamp(char *out, size_t size, struct span header, const struct tn *orig, const struct dial_plan *plan,
	const char *value, unsigned *stamped, unsigned *removed)
{
	struct writer writer = writer_on(out, size);
	const char *copied = header.at;
	struct span rest = header;
	struct name_addr item;

	*stamped = 0;
	*removed = 0;
	while (name_addr_next(&rest, &item)) {
		struct tn tn;
		bool same = tn_from_uri(&tn, item.uri, plan) == TN_NUMBER && strcmp(tn.digits, orig->digits) == 0;
		/* What stands bare would end at our semicolon (RFC 3261 section 20). */
		size_t bracket = length_to_bracket(header, item.uri);

		writer_bytes(&writer, copied, (size_t)(item.uri.at - copied));
		writer_text(&writer, same && bracket == 0 ? "<" : "");
		put_uri(&writer, item.uri, same ? value : NULL, removed);
		writer_text(&writer, same && bracket == 0 ? ">" : "");
		writer_bytes(&writer, item.uri.at + item.uri.length, bracket);
		*stamped += same;
		copied = item.uri.at + item.uri.length + bracket;
		if (item.params.length > 0) {
			writer_bytes(&writer, copied, (size_t)(item.params.at - copied));
			put_without_verstat(&writer, item.params, removed);
			copied = item.params.at + item.params.length;
		}
	}
	/* What is no address (any more) is not repeated: it could be anybody's claim. */
	return writer_end(&writer);
}

bool verstat_present(struct span header)
{
	static const struct tn nobody;
	static const struct dial_plan plan;
	char none[1];
	unsigned stamped, removed;

	if (!may_have_verstat(header))
		return false;
	verstat_stamp(none, sizeof none, header, &nobody, &plan, "", &stamped, &removed);
	return removed > 0;
}
