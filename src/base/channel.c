#include "stirrup/channel.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void enlarge(int fd)
{
	int bytes = CHANNEL_BUFFER_BYTES;

	/* Beyond net.core.wmem_max only root may; what the system gives is enough to work. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

bool channel_pair(int ends[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
		return false;
	enlarge(ends[0]);
	enlarge(ends[1]);
	return true;
}

bool channel_send(int channel, const void *message, size_t length, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec part = { (void *)(uintptr_t)message, length };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t sent;

	if (fd == -1) {
		sent = send(channel, message, length, MSG_DONTWAIT | MSG_NOSIGNAL);
		return sent == (ssize_t)length;
	}
	header.msg_control = control.bytes;
	header.msg_controllen = sizeof control.bytes;
	struct cmsghdr *item = CMSG_FIRSTHDR(&header);
	item->cmsg_level = SOL_SOCKET;
	item->cmsg_type = SCM_RIGHTS;
	item->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(item), &fd, sizeof fd);
	sent = sendmsg(channel, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent == (ssize_t)length;
}

static int received_fd(struct msghdr *header)
{
	for (struct cmsghdr *item = CMSG_FIRSTHDR(header); item != NULL; item = CMSG_NXTHDR(header, item)) {
		int fd;

		if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(&fd, CMSG_DATA(item), sizeof fd);
		return fd;
	}
	return -1;
}

ssize_t channel_receive(int channel, void *message, size_t size, int *fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = { message, size };
	struct msghdr header = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof control.bytes,
	};
	ssize_t length = recvmsg(channel, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int came = -1;

	if (fd != NULL)
		*fd = -1;
	if (length < 0)
		return -1;
	came = received_fd(&header);
	if ((header.msg_flags & MSG_TRUNC) != 0) {
		if (came != -1)
			close(came);
		errno = EMSGSIZE;
		return -1;
	}
	if (fd != NULL)
		*fd = came;
	else if (came != -1)
		close(came);
	return length;
}
