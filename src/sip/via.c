#include "stirrup/via.h"

#include "unquoted.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip(struct span *text, size_t length)
{
	text->at += length;
	text->length -= length;
}

static void skip_space(struct span *text)
{
	while (text->length > 0 && is_space(text->at[0]))
		skip(text, 1);
}

/* Takes this byte and the white space around it off: SLASH, SEMI, COLON, EQUAL of RFC 3261 section 25.1. */
static bool take_separator(struct span *text, char separator)
{
	struct span rest = *text;

	skip_space(&rest);
	if (rest.length == 0 || rest.at[0] != separator)
		return false;
	skip(&rest, 1);
	skip_space(&rest);
	*text = rest;
	return true;
}

/* What most of a Via is made of, and none of our separators. */
static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

/* Takes what stands before white space and separators; never nothing. */
static bool take_word(struct span *text, const char *separators, struct span *word)
{
	size_t i = 0;

	while (i < text->length && (is_plain(text->at[i]) || ((unsigned char)text->at[i] > 0x20 && text->at[i] != 0x7f &&
		strchr(separators, text->at[i]) == NULL)))
		i++;
	*word = (struct span){ text->at, i };
	skip(text, i);
	return i > 0;
}

static bool take_protocol(struct span *text, struct via *via)
{
	struct span name, version;

	return take_word(text, "/", &name) && span_is_caseless(name, "SIP") && take_separator(text, '/') &&
		take_word(text, "/", &version) && span_is(version, "2.0") && take_separator(text, '/') &&
		take_word(text, "/;:,=\"<>", &via->transport) && text->length > 0 && is_space(text->at[0]);
}

static bool take_port(struct span *text, struct span *port)
{
	if (!take_word(text, ";,=\"<>", port) || port->length > 5)
		return false;
	for (size_t i = 0; i < port->length; i++)
		if (port->at[i] < '0' || port->at[i] > '9')
			return false;
	return true;
}

static bool take_sent_by(struct span *text, struct via *via)
{
	skip_space(text);
	if (text->length > 0 && text->at[0] == '[') {
		if (!take_word(text, "];,=\"<>", &via->host) || text->length == 0 || text->at[0] != ']')
			return false;
		via->host.length++;
		skip(text, 1);
	} else if (!take_word(text, "[]:;,=\"<>", &via->host)) {
		return false;
	}
	return !take_separator(text, ':') || take_port(text, &via->port);
}

/* gen-value; between the quotes of a quoted string. IPv6 addresses stand here without brackets, too, and "rport=" occurs. */
static bool take_value(struct span *text, struct span *value)
{
	size_t length;

	if (text->length == 0 || text->at[0] != '"') {
		take_word(text, ";,=\"<>", value);
		return true;
	}
	length = quoted_length(*text);
	if (length == 0)
		return false;
	*value = (struct span){ text->at + 1, length - 2 };
	skip(text, length);
	return true;
}

/* The first one counts where a name comes twice. */
static void keep(struct span *place, struct span value)
{
	if (place->length == 0)
		*place = value;
}

static void keep_param(struct via *via, struct span name, struct span value)
{
	if (span_is_caseless(name, "branch"))
		keep(&via->branch, value);
	else if (span_is_caseless(name, "received"))
		keep(&via->received, value);
	else if (span_is_caseless(name, "rport"))
		keep(&via->rport, value);
	else if (span_is_caseless(name, "s"))
		keep(&via->seal, value);
	via->has_rport = via->has_rport || span_is_caseless(name, "rport");
}

static bool take_params(struct span *text, struct via *via)
{
	while (take_separator(text, ';')) {
		struct span name, value = { text->at, 0 };

		if (!take_word(text, ";,=\"<>", &name))
			return false;
		if (take_separator(text, '=') && !take_value(text, &value))
			return false;
		keep_param(via, name, value);
	}
	return true;
}

bool via_next(struct span *rest, struct via *via)
{
	struct span text = *rest, none;

	skip_space(&text);
	if (text.length == 0) {
		*rest = text;
		return false;
	}
	none = (struct span){ text.at, 0 };
	*via = (struct via){ text, none, none, none, none, none, none, false, none };
	if (!take_protocol(&text, via) || !take_sent_by(&text, via) || !take_params(&text, via))
		return false;
	via->item.length = (size_t)(text.at - via->item.at);
	skip_space(&text);
	if (text.length > 0 && !take_separator(&text, ','))
		return false;
	*rest = text;
	return true;
}
