/* listen.h: the sockets that the supervisor binds and keeps open for all workers. */
#ifndef STIRRUP_LISTEN_H
#define STIRRUP_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/config.h"

/* The sockets of one listener: one for each worker over UDP (SO_REUSEPORT spreads the flows), over TCP one for all. */
struct listen_socket {
	struct sockaddr_storage address;
	enum transport transport;
	int *fds;
	size_t fd_count;
};

/* Binds, and listens over TCP. False with the reason in why; nothing is left open then. */
bool listen_open(struct listen_socket *socket, const struct listener *listener, unsigned workers, char *why,
	size_t why_size);
void listen_close(struct listen_socket *socket);

/* Has the kernel drop what begins with "ACK " (or stops that): where all peers get stateless final answers only, their
 * ACKs mean nothing (RFC 3261 section 8.2.7), and waking a worker for each costs a tenth of a call. UDP only. */
void listen_drop_acks(struct listen_socket *socket, bool drop);

/* The socket that this worker reads. */
int listen_fd(const struct listen_socket *socket, unsigned worker);

#endif
