/* egress.h: out of which of our listeners a message leaves, and its sending. */
#ifndef STIRRUP_EGRESS_H
#define STIRRUP_EGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <sofia-sip/nta.h>

#include "stirrup/call.h"
#include "stirrup/config.h"
#include "stirrup/span.h"

struct egress {
	int listener;              /* of the configuration: its address stands in our Via */
	int slot;                  /* of sockets.h */
	enum transport transport;
};

/* As a URI has it: "udp". */
const char *egress_transport_word(enum transport transport);

/* The preferred listener (-1: none) where it has that transport and address family, else the first one that has. False: none
 * has. */
bool egress_find(struct egress *egress, const struct config *config, enum transport transport, sa_family_t family,
	int preferred);

/* The same socket by the listeners of another configuration. False: it is none of them any more. */
bool egress_find_again(struct egress *egress, const struct config *config);

/* "192.0.2.1:5060": what others are to send to. Borrowed from the generation. */
const char *egress_text(const struct generation *generation, const struct egress *egress);

/* Whether host and port (empty: 5060) are those of one of our listeners, as bound or as advertised. */
bool egress_is_us(const struct generation *generation, struct span host, struct span port);

/* Whoever waits for the answer to a message learns when its connection fails. A zeroed one waits for nothing. */
struct egress_wait {
	struct tport_s *connection; /* a reference */
	int pending;
	void *owner;
};
void egress_forget(struct egress_wait *wait);
/* Whether the connection is there, so that silence is the other side's. */
bool egress_is_connected(const struct egress_wait *wait);

/* Called with the owner of a wait whose connection has failed; it is to forget the wait. */
typedef void egress_failed(nta_agent_t *agent, void *owner, int error);
void egress_on_failure(egress_failed *failed);

/* Sends once. UDP: what a full socket does not take is lost, as on the network. TCP: over the connection to that address, which
 * is made where there is none; wait is then set (NULL: nobody waits). False: it cannot be sent at all. */
bool egress_send(const struct egress *egress, nta_agent_t *agent, const struct sockaddr_storage *to, struct span message,
	struct egress_wait *wait, void *owner);

#endif
