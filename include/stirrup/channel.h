/* channel.h: typed messages between our own processes, over SOCK_SEQPACKET pairs.
 *
 * A message is one C structure of a fixed layout, sent whole or not at all. Both ends are the same build of the
 * same program (the supervisor starts children through /proc/self/exe), so no byte order or version is negotiated. */
#ifndef STIRRUP_CHANNEL_H
#define STIRRUP_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CHANNEL_BUFFER_BYTES (1 << 20)

/* Makes a non-blocking, close-on-exec pair with send buffers of CHANNEL_BUFFER_BYTES where the system allows it.
 * False with errno set. */
bool channel_pair(int ends[2]);

/* Sends one message, with a copy of the descriptor unless fd is -1. Never blocks.
 * False with errno: EAGAIN when the other side does not keep up, EPIPE when nobody holds the other end. */
bool channel_send(int channel, const void *message, size_t length, int fd);

/* Takes one message of at most size bytes; a longer one is an error (EMSGSIZE). Returns its length, 0 when the other
 * end is closed, -1 with errno (EAGAIN: none there). A descriptor that came along is put into *fd, which the caller
 * then owns, else -1; with fd NULL it is closed. */
ssize_t channel_receive(int channel, void *message, size_t size, int *fd);

#endif
