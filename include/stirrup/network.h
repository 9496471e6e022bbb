/* network.h: an address range, as configured: "192.0.2.0/28". */
#ifndef STIRRUP_NETWORK_H
#define STIRRUP_NETWORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct network {
	sa_family_t family;       /* AF_INET or AF_INET6 */
	uint8_t address[16];      /* the first 4 octets for AF_INET; host bits zero */
	unsigned prefix;          /* bits */
};

/* IPv4-mapped IPv6 addresses count as IPv4. */
bool network_has(const struct network *network, const struct sockaddr *address);

#endif
