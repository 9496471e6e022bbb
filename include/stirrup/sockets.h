/* sockets.h: the sockets under Sofia-SIP. The supervisor binds them and keeps them open. A worker reads UDP itself: it
 * filters what arrives before anything parses it, and steers each call to its owner. Connections are Sofia's to read, and
 * sending is, too, but for our own answers over UDP.
 *
 * Sofia-SIP has no call for any of this. Its library is linked without -Bsymbolic, so that the functions of its su and
 * tport layers that sockets.c defines under their own names (tport_bind_socket, su_getmsgsize, su_soerror, su_getaddrinfo)
 * are used in place of its own. sockets_self_test() tells whether that really happened. */
#ifndef STIRRUP_SOCKETS_H
#define STIRRUP_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "stirrup/config.h"
#include "stirrup/sip_head.h"
#include "stirrup/span.h"

#define SOCKETS_MAX 64           /* listeners of one process, over all reloads */
#define SOCKETS_WORKERS_MAX 64
#define SOCKETS_DATAGRAMS_MAX 16 /* read at once */

/* Whether source may speak to that listener of the current configuration. */
typedef bool sockets_listed(const struct sockaddr *source, int listener);

/* Which worker of how many this is. Called once, before anything else. */
void sockets_init(unsigned worker, unsigned workers, sockets_listed *listed);

/* Takes over a bound socket for the address of listener; Sofia may then be told to bind there. Returns its slot, -1
 * when there is no room. */
int sockets_add(const struct listener *listener, int fd);

/* Fits the slots to a configuration: a slot whose listener is not in it any more turns deaf. */
void sockets_map(const struct config *config);

/* The slot of this transport and address, -1 without. */
int sockets_slot(const struct listener *listener);

/* What the slot is bound to. Borrowed. */
const struct sockaddr_storage *sockets_address(int slot);

/* Which worker has the calls of that Call-ID. */
unsigned sockets_owner(struct span call_id);

/* A response to what was sent with state belongs to the worker that sent it, whatever way it came. True: to another one,
 * which has it now, as if it had come there in a datagram. */
bool sockets_hand_over_response(struct span message);

/* Tells all other workers of the message at hand, which is answered here: see struct arrival. False: there are none. */
bool sockets_tell_others(struct span message);

/* Where to send other workers' datagrams. */
void sockets_set_handover_write(unsigned worker, int fd);

/* The descriptor to be watched for a UDP slot; -1 for another. */
int sockets_fd(int slot);

/* Reads what is there, at most SOCKETS_DATAGRAMS_MAX, and gives each datagram that is this worker's to deliver, with
 * sockets_arrival() set. From a slot, or from the channel by which other workers hand over what is ours. */
typedef void sockets_deliver(struct span datagram, void *context);
void sockets_read(int slot, sockets_deliver *deliver, void *context);
void sockets_read_handed_over(int channel, sockets_deliver *deliver, void *context);

/* Where the message that is being delivered right now came from. Valid within deliver and Sofia's message callback. */
struct arrival {
	int slot;
	int listener;            /* in the current configuration; -1: gone, or a stream that no listener explains */
	bool stream;             /* TCP: answer on its connection */
	bool told;               /* another worker has answered it: what it is about may be here */
	struct sockaddr_storage source;
	socklen_t source_length;
};
const struct arrival *sockets_arrival(void);

/* Sends a datagram from the slot's socket. False with errno; a datagram that cannot be sent now is lost, as on the
 * network: the caller's repeat asks again. */
bool sockets_send(int slot, const void *data, size_t length, const struct sockaddr *to, socklen_t to_length);

/* False, with the reason logged, unless Sofia calls our functions. To be asked after the transports were made. */
bool sockets_self_test(void);

#endif
