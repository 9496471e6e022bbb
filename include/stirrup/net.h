/* net.h: socket addresses as text, and compared. */
#ifndef STIRRUP_NET_H
#define STIRRUP_NET_H

#include <stdbool.h>
#include <sys/socket.h>

#define NET_TEXT_SIZE 64

/* "192.0.2.1:5060", "[2001:db8::1]:5060". An IPv4-mapped IPv6 address is written as IPv4. */
void net_text(char out[NET_TEXT_SIZE], const struct sockaddr *address);

/* The address alone, without [] and port: "192.0.2.1", "2001:db8::1". */
void net_host(char out[NET_TEXT_SIZE], const struct sockaddr *address);

/* Host byte order; 0 when it is neither IPv4 nor IPv6. */
unsigned net_port(const struct sockaddr_storage *address);
void net_set_port(struct sockaddr_storage *address, unsigned port);
socklen_t net_length(const struct sockaddr_storage *address);

/* The same family and address. */
bool net_same_host(const struct sockaddr_storage *one, const struct sockaddr_storage *other);

/* The same family, address and port. */
bool net_same_endpoint(const struct sockaddr_storage *one, const struct sockaddr_storage *other);

#endif
