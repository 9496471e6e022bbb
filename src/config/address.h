/* address.h: literal IP addresses, networks and transport addresses as configuration files write them. */
#ifndef STIRRUP_CONFIG_ADDRESS_H
#define STIRRUP_CONFIG_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "stirrup/config.h"
#include "stirrup/span.h"

/* "192.0.2.1:5060", "[2001:db8::1]:5060". Static reason why it is not one; NULL: it is. A missing port is default_port,
 * or an error when that is 0. */
const char *endpoint_from_text(struct sockaddr_storage *out, struct span text, unsigned default_port);

/* As above, or a host name in place of the address: host is then that name and the address's family AF_UNSPEC. The caller has
 * set *port to the default. */
const char *host_from_text(struct sockaddr_storage *out, struct span *host, unsigned *port, struct span text);

/* A host name by RFC 1123, or a literal address; with or without a port. */
bool is_host_port(const char *text);
bool is_host_name(struct span text);

/* What nobody can send from or to: 0.0.0.0, ::, multicast. */
bool is_wildcard(const struct sockaddr_storage *address);
bool is_multicast(const struct sockaddr_storage *address);
bool is_ipv4_mapped(const struct sockaddr_storage *address);

/* "192.0.2.0/28", "2001:db8::/64", a single address. IPv4-mapped ones become IPv4. NULL, or why it is not one. */
const char *network_from_text(struct network *out, const char *text);

/* False when host bits are set; they are then cleared. */
bool network_cut(struct network *network);

#define NETWORK_TEXT_SIZE 64
const char *network_text(char out[NETWORK_TEXT_SIZE], const struct network *network);

/* Whether the whole of the inner network is within the outer one, whose host bits are cut. */
bool network_holds(const struct network *outer, const struct network *inner);

/* The network of one address: IPv4-mapped ones become IPv4. False when it is neither IPv4 nor IPv6. */
bool network_of(struct network *out, const struct sockaddr *address);

#endif
