/* sip_uri.h: a SIP URI by its parts (RFC 3261 section 19.1), as far as forwarding looks at it. Pure. */
#ifndef STIRRUP_SIP_URI_H
#define STIRRUP_SIP_URI_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "stirrup/next_hop.h"
#include "stirrup/span.h"

struct sip_uri {
	bool secure;           /* sips: */
	struct span user;      /* with its parameters and password, without "@"; empty: none */
	struct span host;      /* IPv6 in its brackets */
	struct span port;      /* empty: none */
	struct span params;    /* of the URI, from the first ";" on; empty: none */
};

/* False for what is no sip or sips URI. A header part ("?") belongs to nothing. */
bool sip_uri_read(struct sip_uri *out, struct span uri);

/* Where it leads to: a literal address, port 5060 unless it says another, UDP unless it says TCP. False for a host name, for
 * sips, for another transport than these two, and for what is no address of a host. maddr is not obeyed: it would lead
 * elsewhere than the URI says. */
bool sip_uri_endpoint(const struct sip_uri *uri, struct sockaddr_storage *address, enum transport *transport);

/* The value of the parameter; false: absent. */
bool sip_uri_param(const struct sip_uri *uri, const char *name, struct span *value);

/* The same URI at another host: the scheme, the user part and the parameters stay, but for maddr and transport. False when it
 * does not fit. */
bool sip_uri_at(char *out, size_t size, const struct sip_uri *uri, const char *host_port);

#endif
