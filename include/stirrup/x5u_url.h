/* x5u_url.h: which URLs are fetched at all, and which addresses are connected to. Pure. */
#ifndef STIRRUP_X5U_URL_H
#define STIRRUP_X5U_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "stirrup/network.h"
#include "stirrup/span.h"

#define X5U_HOST_MAX 255

struct x5u_url {
	char host[X5U_HOST_MAX + 1]; /* lower case; [] around an IPv6 literal */
	unsigned port;
};

/* ATIS-1000074 section 5.3.1: https, a listed port (443 and 8443 by default), a host, a path; no userinfo, query or
 * fragment; no character that a URL cannot have. False with the reason (static) in *why. Never passes a URL that libcurl would read otherwise. */
bool x5u_url_check(struct x5u_url *out, struct span url, const unsigned *ports, size_t port_count, const char **why);

/* Whether a connection to this address is refused: special-purpose ranges of RFC 6890 and its registries (loopback, private,
 * link-local, shared, documentation, benchmarking, multicast, reserved, unique local, 6to4, Teredo, NAT64, IPv4-mapped and
 * -compatible forms of all these), unless a network of allowed has it. */
bool x5u_address_refused(const struct sockaddr *address, const struct network *allowed, size_t allowed_count);

#endif
