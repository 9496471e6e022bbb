/* Contact values, as they come out of a header line: ours is one address, at our host, on one line. */
#include "fuzz.h"

#include <string.h>

#include "stirrup/name_addr.h"
#include "stirrup/own_contact.h"
#include "stirrup/sip_uri.h"

static bool is_one_line(struct span value)
{
	for (size_t i = 0; i < value.length; i++) {
		if (value.at[i] == '\r' && (i + 1 == value.length || value.at[i + 1] != '\n'))
			return false;
		if (value.at[i] == '\n' && (i + 1 == value.length || (value.at[i + 1] != ' ' && value.at[i + 1] != '\t')))
			return false;
	}
	return true;
}

static void check_uri(struct span uri)
{
	struct sip_uri parts;

	MUST(is_one_line(uri));
	MUST(sip_uri_read(&parts, uri) && !parts.secure);
	/* What stands before the host is the far side's; a "@" in it would make another host of it. */
	MUST(span_is(parts.host, "192.0.2.9") && span_is(parts.port, "5060"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char out[262144];
	struct span contact = fuzz_span(data, size), rest;
	struct name_addr item;
	size_t length, uri_length;

	if (!is_one_line(contact))
		return 0;
	length = own_contact_write(out, sizeof out, contact, span_of("192.0.2.9:5060"), "tcp");
	if (length > 0) {
		rest = (struct span){ out, length };
		MUST(is_one_line(rest));
		MUST(name_addr_next(&rest, &item) && rest.length == 0);
		check_uri(item.uri);
	}
	uri_length = own_contact_uri(out, sizeof out, contact, span_of("192.0.2.9:5060"), "udp");
	MUST((uri_length > 0) == (length > 0));
	if (uri_length > 0)
		check_uri((struct span){ out, uri_length });
	return 0;
}
