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

/* The socket that this worker reads. */
int listen_fd(const struct listen_socket *socket, unsigned worker);

#endif
