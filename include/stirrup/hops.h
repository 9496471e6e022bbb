/* hops.h: where calls are sent on to, and which of those places answer. One object in each worker; it never
 * blocks: host names are resolved and hosts are probed beside the calls.
 *
 * A hop is down after two failures in a row, or one refused connection, and up again with its first answer.
 * Being down puts it behind the others, no more: when all are down, all are tried. */
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
	bool transport_given; /* by the configuration: a long request stays on it */
	bool takes_no_tcp;    /* a long request was tried by TCP in vain, lately */
	struct sockaddr_storage address;
	char text[NET_TEXT_SIZE]; /* "198.51.100.7:5060" */
};

struct hops;

/* Sends an OPTIONS to the hop, once; its response comes back through hops_probe_answered(). */
typedef void hops_send(const struct hop *hop, struct span via_branch, void *context);

/* NULL when out of memory or descriptors, or c-ares does not start. */
struct hops *hops_new(hops_send *probe, void *context);
void hops_free(struct hops *hops); /* NULL is fine */

/* The hops of all peers whose calls are sent on. What is known of those that stay is kept; names are
 * resolved, hosts probed from the next hops_tick() on. Nothing of the configuration is borrowed. */
void hops_configure(struct hops *hops, const struct config *config);

/* The hops of a list for one call, in the order in which they are to be tried: the configured order, or by
 * weight and hash; every address of a name, again by hash; those that are down last. The same hash gives the
 * same order as long as nobody's state changes. Returns how many; 0: none has an address (yet). */
size_t hops_choose(const struct hops *hops, const struct next_hop *list, size_t count, uint64_t hash,
	struct hop chosen[HOPS_CHOSEN_MAX]);

/* How a hop fared with a request: a response of any status but 503 is an answer; silence until the end of the
 * transaction and 503 are a failure; a connection that cannot be made is one that needs no second. The
 * address is that of the hop; others are not looked after. */
void hops_answered(struct hops *hops, const struct sockaddr_storage *address, enum transport transport);
void hops_failed(struct hops *hops, const struct sockaddr_storage *address, enum transport transport);
void hops_refused(struct hops *hops, const struct sockaddr_storage *address, enum transport transport);

/* A hop of UDP with which no connection could be made for a long request: nothing against it, but the next ones need not try,
 * for five minutes. */
void hops_takes_no_tcp(struct hops *hops, const struct sockaddr_storage *address);

/* Whether the address is that of any hop of the list now, whatever its port: who may speak within a call. */
bool hops_has_address(
	const struct hops *hops, const struct next_hop *list, size_t count, const struct sockaddr *address);
/* Whether it is that of any hop: what config_may_speak() cannot know of names. Quick. */
bool hops_knows_address(const struct hops *hops, const struct sockaddr *address);

/* Whether the branch is one of a probe, late ones included: then the response is not for anybody else. */
bool hops_is_probe(const struct hops *hops, struct span via_branch);
/* Any status but 408 and 503 says that the hop is there. */
void hops_probe_answered(struct hops *hops, struct span via_branch, unsigned status);

/* To be called when hops_fd() is readable, and once in a while (every 100 to 1,000 ms). The descriptor stays
 * the same. */
int hops_fd(const struct hops *hops);
void hops_tick(struct hops *hops, int64_t monotonic_us);

#endif
