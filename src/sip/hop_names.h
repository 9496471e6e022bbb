/* hop_names.h: the host names among the next hops, and their addresses as they are now. */
#ifndef STIRRUP_SIP_HOP_NAMES_H
#define STIRRUP_SIP_HOP_NAMES_H

#include "resolver.h"

#define HOP_NAME_ADDRESSES_MAX (2 * RESOLVER_ADDRESSES_MAX)

struct hop_names;

/* Called, from hop_names_tick() only, when a name has other addresses than before. */
typedef void hop_names_changed(const char *host, void *context);

struct hop_names *hop_names_new(struct resolver *resolver, hop_names_changed *changed, void *context);
void hop_names_free(struct hop_names *names); /* NULL is fine; the resolver is its owner's */

struct hop_names_settings {
	const char *const *hosts; /* the same one several times is fine */
	size_t count;
	bool has_ipv4, has_ipv6; /* what we can send to */
	const struct sockaddr_storage *servers;
	size_t server_count; /* 0: those of the system */
};
/* The addresses of names that stay are kept. False when out of memory: nothing has changed. */
bool hop_names_configure(struct hop_names *names, const struct hop_names_settings *settings);

/* Without port; the same order, whatever the order of the answer. Returns how many. */
size_t hop_names_addresses(
	const struct hop_names *names, const char *host, struct sockaddr_storage out[HOP_NAME_ADDRESSES_MAX]);

/* Asks for what is due. */
void hop_names_tick(struct hop_names *names, int64_t now_us);

#endif
