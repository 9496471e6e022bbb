#include "leg.h"

#include <string.h>

#include "relay_state.h"
#include "stirrup/egress.h"
#include "stirrup/name_addr.h"
#include "stirrup/own_contact.h"

struct span leg_uri(struct span contact)
{
	struct name_addr item;

	if (!name_addr_next(&contact, &item))
		return (struct span){ "", 0 };
	/* It will stand in a request line. */
	for (size_t i = 0; i < item.uri.length; i++)
		if ((unsigned char)item.uri.at[i] <= ' ')
			return (struct span){ "", 0 };
	return item.uri;
}

struct span leg_routes(char *out, size_t size, const struct span *values, size_t count, bool reversed)
{
	struct span items[LEG_ROUTES_MAX];
	struct writer writer = writer_on(out, size);
	size_t item_count = 0;

	for (size_t i = 0; i < count; i++) {
		struct span rest = values[i];
		struct name_addr item;

		while (item_count < LEG_ROUTES_MAX && name_addr_next(&rest, &item)) {
			const char *start = item.uri.at[-1] == '<' ? item.uri.at - 1 : item.uri.at;
			const char *end = item.params.length > 0 ? item.params.at + item.params.length :
								   item.uri.at + item.uri.length + (start < item.uri.at);

			items[item_count++] = (struct span){ start, (size_t)(end - start) };
		}
	}
	for (size_t i = 0; i < item_count; i++) {
		writer_text(&writer, i == 0 ? "" : ",");
		writer_span(&writer, items[reversed ? item_count - 1 - i : i]);
	}
	return (struct span){ out, writer.full ? 0 : writer_length(&writer) };
}

size_t leg_values(const struct sip_head *message, enum header_kind kind, struct span *values, size_t max)
{
	size_t count = 0;

	for (size_t i = sip_head_find(message, kind, 0); i < message->count && count < max;
		i = sip_head_find(message, kind, i + 1))
		values[count++] = message->lines[i].value;
	return count;
}

size_t leg_line_values(struct span lines, struct span *values, size_t max)
{
	size_t count = 0;

	while (lines.length > 0 && count < max) {
		struct span line = { lines.at, 0 };

		do {
			const char *end = memchr(lines.at, '\n', lines.length);
			size_t length = end == NULL ? lines.length : (size_t)(end - lines.at) + 1;

			lines.at += length;
			lines.length -= length;
			line.length += length;
		} while (lines.length > 0 && (lines.at[0] == ' ' || lines.at[0] == '\t'));
		values[count++] = sip_line_value(line);
	}
	return count;
}

static const char *listener_name(const struct generation *generation, int listener)
{
	struct egress egress = { .listener = listener };

	return egress_text(generation, &egress);
}

struct span leg_contact(char *out, size_t size, const struct generation *generation, int listener,
	struct span contact)
{
	size_t length = own_contact_write(out, size, contact, span_of(listener_name(generation, listener)),
		egress_transport_word(generation->config->listeners[listener].transport));

	return (struct span){ out, length };
}

void b2bua_put_contact(struct writer *writer, const struct relay *relay)
{
	char text[2048];
	struct span contact = leg_contact(text, sizeof text, relay->generation, relay->egress.listener, relay->contact);

	if (contact.length == 0)
		return;
	writer_text(writer, "Contact: ");
	writer_span(writer, contact);
	writer_text(writer, "\r\n");
}
