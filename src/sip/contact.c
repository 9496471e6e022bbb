#include "stirrup/contact.h"

#include <stdlib.h>

#include "stirrup/writer.h"

/* The parts of a URI that decide whether two name the same place (RFC 3261 section 19.1.4). */
struct place {
	struct span user;         /* with the parameters of the number: ";rn=", ";tgrp=" */
	struct span host;         /* with [] for IPv6 */
	unsigned port;
	struct span params;       /* URI parameters, from the first ";" on */
};

#define PLACE_MAX 1024

static unsigned port_of(struct span digits)
{
	char text[8];

	return digits.length > 0 && span_copy(text, sizeof text, digits) ? (unsigned)strtoul(text, NULL, 10) : 5060;
}

/* "host:port;params" or "[v6]:port;params". */
static void split_host(struct place *place, struct span rest)
{
	size_t host = 0, end;

	if (rest.length > 0 && rest.at[0] == '[')
		while (host < rest.length && rest.at[host] != ']')
			host++;
	while (host < rest.length && strchr(":;?", rest.at[host]) == NULL)
		host++;
	place->host = (struct span){ rest.at, host };
	end = host;
	while (end < rest.length && rest.at[end] != ';' && rest.at[end] != '?')
		end++;
	place->port = port_of(end > host ? (struct span){ rest.at + host + 1, end - host - 1 } :
					   (struct span){ "", 0 });
	place->params = (struct span){ rest.at + end, rest.length - end };
}

static bool has_scheme(struct span uri, const char *scheme)
{
	size_t length = strlen(scheme);

	return uri.length > length && strncasecmp(uri.at, scheme, length) == 0 && uri.at[length] == ':';
}

static struct span without_password(struct span user)
{
	const char *colon = user.length == 0 ? NULL : memchr(user.at, ':', user.length);

	return colon == NULL ? user : (struct span){ user.at, (size_t)(colon - user.at) };
}

/* The user part of a tel URI is all of it behind the scheme. A URI of another kind (urn:service:sos) has none. */
static struct place split_uri(struct span uri)
{
	struct place place = { .user = { "", 0 }, .host = { "", 0 }, .params = { "", 0 } };
	const char *at_sign;
	size_t scheme;

	if (has_scheme(uri, "tel")) {
		place.user = (struct span){ uri.at + 4, uri.length - 4 };
		return place;
	}
	if (!has_scheme(uri, "sip") && !has_scheme(uri, "sips"))
		return place;
	scheme = (size_t)((const char *)memchr(uri.at, ':', uri.length) - uri.at) + 1;
	at_sign = memchr(uri.at, '@', uri.length);
	if (at_sign != NULL) {
		place.user = without_password((struct span){ uri.at + scheme, (size_t)(at_sign - uri.at) - scheme });
		scheme = (size_t)(at_sign - uri.at) + 1;
	}
	split_host(&place, (struct span){ uri.at + scheme, uri.length - scheme });
	return place;
}

/* What would end the URI or the header early has no place in it. */
static bool is_clean(struct span text)
{
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (c <= 0x20 || c >= 0x7f || c == '<' || c == '>' || c == '"' || c == '@')
			return false;
	}
	return true;
}

static bool has_param(struct span params, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i + length < params.length; i++)
		if (params.at[i] == ';' && strncasecmp(params.at + i + 1, name, length) == 0)
			return true;
	return false;
}

static bool same_text(struct span one, struct span other)
{
	return one.length == other.length && strncasecmp(one.at, other.at, one.length) == 0;
}

/* Cautious: a default port counts as 5060, and parameters do not make a difference unless we add one that does. */
static bool same_place(const struct place *one, const struct place *other)
{
	return same_text(one->user, other->user) && same_text(one->host, other->host) && one->port == other->port;
}

/* "host:port" of a place, as sockets are named. */
static bool name_place(char *out, size_t size, const struct place *place)
{
	struct writer writer = writer_on(out, size);

	writer_span(&writer, place->host);
	writer_text(&writer, ":");
	writer_number(&writer, place->port);
	return writer_end(&writer);
}

static bool write_at(char *out, size_t size, const struct contact_choice *choice, const struct place *asked,
	const char *host_port)
{
	struct writer writer = writer_on(out, size);
	struct place target = { .user = asked->user };
	char name[PLACE_MAX];

	split_host(&target, span_of(host_port));
	if (target.host.length == 0 || !is_clean(span_of(host_port)) || !name_place(name, sizeof name, &target) ||
		choice->is_us(name, choice->context))
		return false;
	writer_text(&writer, "<sip:");
	writer_span(&writer, target.user);
	writer_text(&writer, target.user.length > 0 ? "@" : "");
	writer_text(&writer, host_port);
	if (same_place(asked, &target)) {
		if (has_param(asked->params, "transport="))
			return false;
		if (!has_param(target.params, "transport=")) {
			writer_text(&writer, ";transport=");
			writer_text(&writer, choice->transport);
		}
	}
	writer_text(&writer, ">");
	return writer_end(&writer);
}

/* The sender by the name that it gives itself in Via. */
static bool name_sender(char *out, size_t size, const struct contact_choice *choice, const char *suffix)
{
	struct writer writer = writer_on(out, size);

	writer_span(&writer, choice->via_host);
	writer_text(&writer, choice->via_port.length > 0 ? ":" : "");
	writer_span(&writer, choice->via_port);
	writer_text(&writer, suffix);
	return writer_end(&writer);
}

bool contact_write(char *out, size_t size, const struct contact_choice *choice)
{
	struct place asked = split_uri(choice->request_uri);
	const char *suffix = strcmp(choice->transport, "tcp") == 0 ? ";transport=tcp" : "";
	char sender[PLACE_MAX];
	struct writer writer = writer_on(sender, sizeof sender);

	if (!is_clean(asked.user))
		return false;
	if (choice->next_hop != NULL)
		return write_at(out, size, choice, &asked, choice->next_hop);
	if (name_sender(sender, sizeof sender, choice, suffix) && write_at(out, size, choice, &asked, sender))
		return true;
	writer_text(&writer, choice->source);
	writer_text(&writer, suffix);
	return writer_end(&writer) && write_at(out, size, choice, &asked, sender);
}
