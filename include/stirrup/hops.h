/* hops.h: where calls are sent on to, and which of those places answer. One object in each worker; it never blocks: host names
 * are resolved and hosts are probed beside the calls. */
#ifndef STIRRUP_HOPS_H
#define STIRRUP_HOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "stirrup/config.h"
#include "stirrup/net.h"
#include "stirrup/span.h"

#define HOPS_CHOSEN_MAX 8

/* An address to send to. */
struct hop {
	enum transport transport;
	bool transport_given;            /* by the configuration: a long request stays on it */
	struct sockaddr_storage address;
	char text[NET_TEXT_SIZE];        /* "198.51.100.7:5060" */
};

struct hops;

/* Sends an OPTIONS to the hop; its response comes back through hops_answered(). */
typedef void hops_send(const struct hop *hop, struct span via_branch, void *context);

struct hops *hops_new(hops_send *probe, void *context); /* NULL when out of memory, or c-ares does not start */
void hops_free(struct hops *hops);                      /* NULL is fine */

/* What is known of hops that stay is kept; names are resolved, hosts probed from now on. */
void hops_configure(struct hops *hops, const struct config *config);

/* The hops of a list for one call, in the order in which they are to be tried: the configured order, or by weight and hash;
 * every address of a name; those that do not answer last. The same hash gives the same order as long as nobody's state
 * changes. Returns how many; 0: none has an address (yet). */
size_t hops_choose(struct hops *hops, const struct next_hop *list, size_t count, uint64_t hash, struct hop chosen[HOPS_CHOSEN_MAX]);

/* How a hop fared with a request: a response of any status but 503 is an answer; silence until the end of the transaction, a
 * connection that cannot be made and 503 are none. */
void hops_answered(struct hops *hops, const struct sockaddr_storage *address, enum transport transport);
void hops_failed(struct hops *hops, const struct sockaddr_storage *address, enum transport transport);

/* Whether the address is that of any hop of the list now (whatever its port): who may speak within a call. */
bool hops_has_address(struct hops *hops, const struct next_hop *list, size_t count, const struct sockaddr *address);

/* Whether a probe carries this branch: then the response is not for anybody else. */
bool hops_is_probe(const struct hops *hops, struct span via_branch);

/* To be called when hops_fd() is readable, and once in a while (every 100 to 1,000 ms). */
int hops_fd(const struct hops *hops);
void hops_tick(struct hops *hops, int64_t monotonic_us);

#endif
