#include "stirrup/listen.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stirrup/net.h"

#define BACKLOG 500
/* Bridges a worker's restart: 100 ms of 20,000 calls a second, with room. */
#define RECEIVE_BUFFER_BYTES (8 << 20)

static void enlarge(int fd)
{
	int bytes = RECEIVE_BUFFER_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

static int bind_one(const struct listener *listener, bool shared)
{
	int type = listener->transport == TRANSPORT_UDP ? SOCK_DGRAM : SOCK_STREAM;
	int fd = socket(listener->address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -1;
	if (listener->address.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (shared)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	else
		enlarge(fd);
	if (bind(fd, (const struct sockaddr *)&listener->address, net_length(&listener->address)) == 0 &&
		(type == SOCK_DGRAM || listen(fd, BACKLOG) == 0))
		return fd;
	close(fd);
	return -1;
}

/* Sockets that share a port would share it with another daemon's, too, and each would get half of the calls: a socket
 * that does not share finds out. */
static bool port_is_free(const struct listener *listener)
{
	int fd = bind_one(listener, false);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

bool listen_open(struct listen_socket *socket, const struct listener *listener, unsigned workers, char *why,
	size_t why_size)
{
	size_t count = listener->transport == TRANSPORT_UDP ? workers : 1;

	socket->address = listener->address;
	socket->transport = listener->transport;
	socket->fd_count = 0;
	socket->fds = calloc(count, sizeof *socket->fds);
	while (socket->fds != NULL && socket->fd_count < count && (socket->fd_count > 0 || port_is_free(listener))) {
		int fd = bind_one(listener, count > 1);

		if (fd < 0)
			break;
		socket->fds[socket->fd_count++] = fd;
	}
	if (socket->fd_count == count)
		return true;
	snprintf(why, why_size, "cannot listen on %s: %s", listener->text, strerror(errno));
	listen_close(socket);
	return false;
}

void listen_drop_acks(struct listen_socket *socket, bool drop)
{
	/* A UDP socket's filter sees the datagram from its UDP header on: the payload begins at offset 8. */
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 8),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x41434b20 /* "ACK " */, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	};
	struct sock_fprog program = { sizeof steps / sizeof steps[0], steps };
	int nothing = 0;

	for (size_t i = 0; socket->transport == TRANSPORT_UDP && i < socket->fd_count; i++) {
		/* It only spares work: where the system refuses it, workers drop the ACKs themselves. */
		if (drop)
			setsockopt(socket->fds[i], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
		else
			setsockopt(socket->fds[i], SOL_SOCKET, SO_DETACH_FILTER, &nothing, sizeof nothing);
	}
}

void listen_close(struct listen_socket *socket)
{
	for (size_t i = 0; i < socket->fd_count; i++)
		close(socket->fds[i]);
	free(socket->fds);
	socket->fds = NULL;
	socket->fd_count = 0;
}

int listen_fd(const struct listen_socket *socket, unsigned worker)
{
	return socket->fds[socket->fd_count == 1 ? 0 : worker];
}
