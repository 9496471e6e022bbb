/* contact.h: where a redirect points: the Contact of a 3xx answer (RFC 3261 section 8.3). Pure. */
#ifndef STIRRUP_CONTACT_H
#define STIRRUP_CONTACT_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/span.h"

struct contact_choice {
	struct span request_uri;
	const char *next_hop;            /* configured host[:port][;parameters]; NULL: the sender itself */
	struct span via_host, via_port;  /* the sender by its own name; port empty: none given */
	const char *source;              /* the sender by its address: "192.0.2.1:5060" */
	const char *transport;           /* by which the request came: "udp", "tcp" */
	/* Whether this host:port is one of ours: a redirect to ourselves would go round for ever. */
	bool (*is_us)(const char *host_port, void *context);
	void *context;
};

/* Writes "<sip:user@host:port>": the Request-URI's user part with its parameters, at the next hop or the sender. Never
 * the Request-URI itself, never us. False when there is no such URI. */
bool contact_write(char *out, size_t size, const struct contact_choice *choice);

#endif
