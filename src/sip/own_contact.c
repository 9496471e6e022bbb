#include "stirrup/own_contact.h"

#include <stdbool.h>

#include "stirrup/name_addr.h"
#include "stirrup/writer.h"

/* The Contact of the far side, taken apart. */
struct far_contact {
	struct span display; /* as received, up to "<"; empty: none */
	struct span user;    /* with all its parameters; of a tel URI, all of it */
	struct span params;  /* of the header */
	bool is_tel;
};

static bool take_scheme(struct span *uri, const char *scheme)
{
	size_t length = strlen(scheme);

	if (uri->length < length || strncasecmp(uri->at, scheme, length) != 0)
		return false;
	uri->at += length;
	uri->length -= length;
	return true;
}

/* What is before "<", where uri stands in <>. */
static struct span display_before(struct span contact, struct span uri)
{
	const char *at = uri.at;

	while (at > contact.at && (at[-1] == ' ' || at[-1] == '\t'))
		at--;
	if (at == contact.at || at[-1] != '<')
		return (struct span){ contact.at, 0 };
	return (struct span){ contact.at, (size_t)(at - 1 - contact.at) };
}

/* A user part may have ";" and "?" in it, and never a bare "@". */
static bool read_contact(struct far_contact *far, struct span contact)
{
	struct span rest = span_trim(contact), start = rest, uri;
	struct name_addr address;
	const char *at_sign;

	if (!name_addr_next(&rest, &address))
		return false;
	uri = address.uri;
	far->display = display_before(start, uri);
	far->params = address.params;
	far->is_tel = take_scheme(&uri, "tel:");
	if (!far->is_tel && !take_scheme(&uri, "sip:") && !take_scheme(&uri, "sips:"))
		return false;
	at_sign = memchr(uri.at, '@', uri.length);
	far->user = (struct span){ uri.at, at_sign == NULL ? 0 : (size_t)(at_sign - uri.at) };
	if (far->is_tel)
		far->user = uri;
	return uri.length > 0;
}

/* Parameters of a tel URI may have what a user part may not (RFC 3966 section 3, RFC 3261 section 25.1). */
static void put_subscriber(struct writer *writer, struct span subscriber)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < subscriber.length; i++) {
		unsigned char c = (unsigned char)subscriber.at[i];
		char escaped[3] = { '%', hex[c >> 4], hex[c & 15] };

		if (memchr("[]:@ ", c, 5) != NULL)
			writer_bytes(writer, escaped, sizeof escaped);
		else
			writer_bytes(writer, subscriber.at + i, 1);
	}
}

static void put_uri(struct writer *writer, const struct far_contact *far, struct span host_port, const char *transport)
{
	writer_text(writer, "sip:");
	if (far->is_tel)
		put_subscriber(writer, far->user);
	else
		writer_span(writer, far->user);
	writer_text(writer, far->user.length > 0 ? "@" : "");
	writer_span(writer, host_port);
	if (strcmp(transport, "udp") != 0) {
		writer_text(writer, ";transport=");
		writer_text(writer, transport);
	}
	writer_text(writer, far->is_tel ? ";user=phone" : "");
}

size_t own_contact_write(char *out, size_t size, struct span contact, struct span host_port, const char *transport)
{
	struct writer writer = writer_on(out, size);
	struct far_contact far;

	if (!read_contact(&far, contact))
		return 0;
	writer_span(&writer, far.display);
	writer_text(&writer, "<");
	put_uri(&writer, &far, host_port, transport);
	writer_text(&writer, ">");
	writer_span(&writer, far.params);
	return writer.full ? 0 : writer_length(&writer);
}

size_t own_contact_uri(char *out, size_t size, struct span contact, struct span host_port, const char *transport)
{
	struct writer writer = writer_on(out, size);
	struct far_contact far;

	if (!read_contact(&far, contact))
		return 0;
	put_uri(&writer, &far, host_port, transport);
	return writer.full ? 0 : writer_length(&writer);
}
