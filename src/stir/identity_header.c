#include "stirrup/identity_header.h"

#include <string.h>

#include "stirrup/writer.h"

/* SWS of RFC 3261 section 25.1; a folded line ends in CR LF and goes on with a space. */
static void skip_space(struct span *rest)
{
	while (rest->length > 0 && memchr(" \t\r\n", rest->at[0], 4) != NULL) {
		rest->at++;
		rest->length--;
	}
}

static bool next_is(const struct span *rest, char c)
{
	return rest->length > 0 && rest->at[0] == c;
}

static struct span take(struct span *rest, size_t length)
{
	struct span taken = { rest->at, length };

	rest->at += length;
	rest->length -= length;
	return taken;
}

/* What a character can be part of. */
enum {
	OF_TOKEN = 1,    /* RFC 3261 section 25.1 */
	OF_GEN_VALUE = 2, /* a token or a host */
	/* RFC 8224 has the characters of base64, RFC 7515 those of base64url: which of them make a token is passport_parse()'s
	 * business. */
	OF_PASSPORT = 4,
};

static const unsigned char kinds[256] = {
	['0' ... '9'] = OF_TOKEN | OF_GEN_VALUE | OF_PASSPORT,
	['A' ... 'Z'] = OF_TOKEN | OF_GEN_VALUE | OF_PASSPORT,
	['a' ... 'z'] = OF_TOKEN | OF_GEN_VALUE | OF_PASSPORT,
	['-'] = OF_TOKEN | OF_GEN_VALUE | OF_PASSPORT,
	['_'] = OF_TOKEN | OF_GEN_VALUE | OF_PASSPORT,
	['.'] = OF_TOKEN | OF_GEN_VALUE | OF_PASSPORT,
	['+'] = OF_TOKEN | OF_GEN_VALUE | OF_PASSPORT,
	['!'] = OF_TOKEN | OF_GEN_VALUE,
	['%'] = OF_TOKEN | OF_GEN_VALUE,
	['*'] = OF_TOKEN | OF_GEN_VALUE,
	['`'] = OF_TOKEN | OF_GEN_VALUE,
	['\''] = OF_TOKEN | OF_GEN_VALUE,
	['~'] = OF_TOKEN | OF_GEN_VALUE,
	['['] = OF_GEN_VALUE,
	[']'] = OF_GEN_VALUE,
	[':'] = OF_GEN_VALUE,
	['/'] = OF_PASSPORT,
	['='] = OF_PASSPORT,
};

/* Empty when there is none. */
static struct span take_run(struct span *rest, unsigned char kind)
{
	size_t length = 0;

	while (length < rest->length && (kinds[(unsigned char)rest->at[length]] & kind) != 0)
		length++;
	return take(rest, length);
}

/* What may not stand in a value, quoted or not: it would let a copy of it end a header line. */
static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

/* quoted-string, RFC 3261 section 25.1; lent as it stands, escapes not undone. */
static bool take_quoted(struct span *rest, struct span *value)
{
	size_t i = 1;

	while (i < rest->length && rest->at[i] != '"') {
		if (rest->at[i] == '\\')
			i++;
		if (i < rest->length && is_control(rest->at[i]))
			return false;
		i++;
	}
	if (i >= rest->length)
		return false;
	*value = (struct span){ rest->at + 1, i - 1 };
	take(rest, i + 1);
	return true;
}

static bool take_bracketed(struct span *rest, struct span *value)
{
	size_t i = 1;

	while (i < rest->length && rest->at[i] != '>') {
		if (rest->at[i] == ' ' || rest->at[i] == '<' || rest->at[i] == '"' || is_control(rest->at[i]))
			return false;
		i++;
	}
	if (i >= rest->length)
		return false;
	*value = (struct span){ rest->at + 1, i - 1 };
	take(rest, i + 1);
	return true;
}

static bool take_value(struct span *rest, struct span *value)
{
	if (next_is(rest, '"'))
		return take_quoted(rest, value);
	if (next_is(rest, '<'))
		return take_bracketed(rest, value);
	*value = take_run(rest, OF_GEN_VALUE);
	return value->length > 0;
}

/* Where the value of the parameter goes; NULL for one that is not ours to read. */
static struct span *known_parameter(struct identity_header *identity, struct span name)
{
	if (span_is_caseless(name, "info"))
		return &identity->info;
	if (span_is_caseless(name, "alg"))
		return &identity->alg;
	if (span_is_caseless(name, "ppt"))
		return &identity->ppt;
	return NULL;
}

/* SEMI generic-param, the SEMI already taken. */
static bool take_parameter(struct span *rest, struct identity_header *identity)
{
	struct span name, value;
	struct span *known;
	bool bracketed;

	skip_space(rest);
	name = take_run(rest, OF_TOKEN);
	if (name.length == 0)
		return false;
	known = known_parameter(identity, name);
	skip_space(rest);
	if (!next_is(rest, '='))
		return known == NULL;
	take(rest, 1);
	skip_space(rest);
	bracketed = next_is(rest, '<');
	if (!take_value(rest, &value))
		return false;
	if (known == NULL)
		return true;
	/* RFC 3261 section 7.3.1: none more than once. RFC 8224 section 4: info, and only info, is in <>. */
	if (known->length > 0 || value.length == 0 || bracketed != (known == &identity->info))
		return false;
	*known = value;
	return true;
}

/* One Identity without the comma behind it. */
static bool take_identity(struct span *rest, struct identity_header *identity)
{
	bool has_parameters = false;

	identity->token = take_run(rest, OF_PASSPORT);
	if (identity->token.length == 0)
		return false;
	for (skip_space(rest); next_is(rest, ';'); skip_space(rest)) {
		take(rest, 1);
		if (!take_parameter(rest, identity))
			return false;
		has_parameters = true;
	}
	return has_parameters;
}

bool identity_header_next(struct span *rest, struct identity_header *out, bool *malformed)
{
	const struct span absent = span_of("");
	struct identity_header identity = { absent, absent, absent, absent };

	*malformed = false;
	skip_space(rest);
	if (rest->length == 0)
		return false;
	if (!take_identity(rest, &identity) || (rest->length > 0 && !next_is(rest, ','))) {
		take(rest, rest->length);
		*malformed = true;
		return false;
	}
	if (rest->length > 0)
		take(rest, 1);
	*out = identity;
	return true;
}

bool identity_header_is(const struct identity_header *identity, const char *ppt)
{
	/* RFC 3261 section 7.3.1: parameter values are compared whatever their letter case. */
	if (identity->ppt.length > 0)
		return span_is_caseless(identity->ppt, ppt);
	return passport_has_ppt(identity->token, ppt);
}

/* Whether it can stand between < and > and be read back. */
static bool is_uri_text(const char *x5u)
{
	for (; *x5u != '\0'; x5u++) {
		if (*x5u == ' ' || *x5u == '<' || *x5u == '>' || *x5u == '"' || is_control(*x5u))
			return false;
	}
	return true;
}

size_t identity_header_write(char *out, size_t size, struct span token, const char *x5u)
{
	struct writer writer = writer_on(out, size);

	if (!is_uri_text(x5u))
		return 0;
	writer_span(&writer, token);
	writer_text(&writer, ";info=<");
	writer_text(&writer, x5u);
	writer_text(&writer, ">;alg=ES256;ppt=shaken");
	return writer_end(&writer) ? writer_length(&writer) - 1 : 0;
}
