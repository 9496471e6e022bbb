/* reply_path.h: the way back to whoever sent a request, kept while its answer is being made. */
#ifndef STIRRUP_REPLY_PATH_H
#define STIRRUP_REPLY_PATH_H

#include <stdbool.h>
#include <sys/socket.h>

#include <sofia-sip/nta.h>
#include <sofia-sip/tport.h>

#include "stirrup/sockets.h"
#include "stirrup/span.h"
#include "stirrup/via.h"

struct reply_path {
	int slot;                    /* UDP: the socket that it leaves from */
	struct sockaddr_storage to;  /* TCP: where, should the connection be gone */
	tport_t *connection;         /* TCP: a reference; NULL for UDP */
};

/* UDP by RFC 3261 section 18.2.2 and RFC 3581, but always to the address that the request came from: a maddr would make
 * us send to a third party; via NULL: to its port, too. TCP: the connection that message, as Sofia has it, came on, else
 * another one to the sent-by port of that address. */
void reply_path_open(struct reply_path *path, nta_agent_t *agent, msg_t *message, const struct via *via,
	const struct arrival *arrival);

/* Sends once; what a full socket or a caller who is gone does not take is lost, and logged where it is known. */
void reply_path_send(const struct reply_path *path, struct span answer);

/* Gives the reference back. */
void reply_path_close(struct reply_path *path);

#endif
