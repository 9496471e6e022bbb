#include "stirrup/name_addr.h"

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

/* LWS of RFC 3261, section 25.1, folded lines with it. */
static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span span_from(struct span span, size_t offset)
{
	return (struct span){ span.at + offset, span.length - offset };
}

static struct span skip_space(struct span span)
{
	size_t i = 0;

	while (i < span.length && is_space(span.at[i]))
		i++;
	return i == 0 ? span : span_from(span, i);
}

static bool starts_with(struct span span, char c)
{
	return span.length > 0 && span.at[0] == c;
}

/* The length of the quoted string that text begins with, both quotes counted; 0 when it has no end. */
static size_t quoted_length(struct span text)
{
	for (size_t i = 1; i < text.length; i++) {
		if (text.at[i] == '"')
			return i + 1;
		if (text.at[i] == '\\')
			i++;
	}
	return 0;
}

/* How far text goes until a stop byte outside quoted strings, or its end. False: a quote never ends. */
static bool find_unquoted(struct span text, char stop, size_t *length)
{
	size_t i = 0;

	while (i < text.length && text.at[i] != stop) {
		size_t quoted = 1;

		if (text.at[i] == '"') {
			quoted = quoted_length(span_from(text, i));
			if (quoted == 0)
				return false;
		}
		i += quoted;
	}
	*length = i;
	return true;
}

/* A scheme, ":" and something behind it (RFC 3986, section 3). What it means is for others to say. */
static bool looks_like_uri(struct span uri)
{
	size_t i = 0;

	if (uri.length == 0 || !is_alpha(uri.at[0]))
		return false;
	while (i < uri.length &&
		(is_alpha(uri.at[i]) || is_digit(uri.at[i]) || memchr("+-.", uri.at[i], 3) != NULL))
		i++;
	return i + 1 < uri.length && uri.at[i] == ':';
}

/* A display name without quotes is made of tokens. More than their letters is in use, UTF-8 above all, but
 * nothing that could make two readers see two addresses. */
static bool is_display_byte(char c)
{
	return is_space(c) || (!is_control(c) && memchr("\"<>,;:@\\", c, 8) == NULL);
}

/* Moves *rest to the "<" behind a display name, if there is one. False: addr-spec, or none of the two. */
static bool skip_display_name(struct span *rest)
{
	struct span behind;
	size_t i = 0;

	if (starts_with(*rest, '"')) {
		i = quoted_length(*rest);
	} else {
		while (i < rest->length && is_display_byte(rest->at[i]))
			i++;
	}
	behind = skip_space(span_from(*rest, i));
	if (!starts_with(behind, '<'))
		return false;
	*rest = behind;
	return true;
}

/* "<" addr-spec ">". A space inside is wrong, yet <tel:+1 215 555 1212> is in use and has one meaning. */
static bool take_bracketed(struct span *rest, struct span *uri)
{
	size_t i = 1;

	while (i < rest->length && rest->at[i] != '>') {
		if (is_control(rest->at[i]) || rest->at[i] == '<' || rest->at[i] == '"')
			return false;
		i++;
	}
	if (i == rest->length)
		return false;
	*uri = span_trim((struct span){ rest->at + 1, i - 1 });
	*rest = span_from(*rest, i + 1);
	return looks_like_uri(*uri);
}

/* How far it is from a ";" to the "@" of a URI that is not bracketed; 0 when there is none. Such a ";" is in the user
 * part: outside of quotes, no parameter of a header field can have an "@" (RFC 3261 section 25.1, generic-param). */
static size_t length_to_at_sign(struct span text)
{
	size_t i = 0;

	while (i < text.length && text.at[i] != '@') {
		if (is_space(text.at[i]) || is_control(text.at[i]) || memchr(",<>\"", text.at[i], 4) != NULL)
			return 0;
		i++;
	}
	return i < text.length ? i : 0;
}

/* addr-spec. RFC 3261, section 20.10: without <>, what follows ";" are parameters of the header. */
static bool take_bare(struct span *rest, struct span *uri)
{
	bool has_user = false;
	size_t i = 0;

	while (i < rest->length && !is_space(rest->at[i]) && rest->at[i] != ',') {
		if (is_control(rest->at[i]) || memchr("<>\"", rest->at[i], 3) != NULL)
			return false;
		if (rest->at[i] == ';') {
			size_t user = has_user ? 0 : length_to_at_sign(span_from(*rest, i));

			if (user == 0)
				break;
			i += user;
		}
		has_user = has_user || rest->at[i] == '@';
		i++;
	}
	*uri = (struct span){ rest->at, i };
	*rest = span_from(*rest, i);
	return looks_like_uri(*uri);
}

bool name_addr_next(struct span *rest, struct name_addr *out)
{
	struct span text = skip_space(*rest), uri, params = { text.at, 0 };

	if (text.length == 0) {
		*rest = text;
		return false;
	}
	if (skip_display_name(&text) ? !take_bracketed(&text, &uri) : !take_bare(&text, &uri))
		return false;

	text = skip_space(text);
	if (starts_with(text, ';')) {
		size_t length;

		if (!find_unquoted(text, ',', &length))
			return false;
		params = span_trim((struct span){ text.at, length });
		text = span_from(text, length);
	}
	if (text.length > 0 && text.at[0] != ',')
		return false;

	out->uri = uri;
	out->params = params;
	*rest = text.length > 0 ? span_from(text, 1) : text;
	return true;
}

/* gen-value: what is between the quotes of a quoted string, else what is there. */
static struct span param_value(struct span value)
{
	value = span_trim(value);
	if (starts_with(value, '"') && quoted_length(value) == value.length)
		return (struct span){ value.at + 1, value.length - 2 };
	return value;
}

bool name_addr_param(struct span params, const char *name, struct span *value)
{
	while (params.length > 0) {
		struct span param;
		size_t length, name_length;

		if (!find_unquoted(params, ';', &length))
			return false;
		param = (struct span){ params.at, length };
		if (!find_unquoted(param, '=', &name_length))
			return false;

		if (span_is_caseless(span_trim((struct span){ param.at, name_length }), name)) {
			if (name_length < length)
				name_length++;
			*value = param_value(span_from(param, name_length));
			return true;
		}
		params = span_from(params, length < params.length ? length + 1 : length);
	}
	return false;
}
