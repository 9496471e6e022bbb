/* setup.h: a configuration with all that was opened for it. */
#ifndef STIRRUP_SETUP_H
#define STIRRUP_SETUP_H

#include <stdbool.h>
#include <stdint.h>

#include "stirrup/config.h"
#include "stirrup/listen.h"

struct setup {
	uint32_t number;               /* its generation; 0: none */
	struct config *config;
	int memfd;                     /* the source, sealed, as the children get it; -1: none */
	struct listen_socket *sockets; /* one for each listener of config */
	size_t socket_count;
};

/* Reads and checks the files; logs every finding. False when there is an error among them. */
bool setup_read(struct setup *setup, const char *path, uint32_t number);

/* Opens the sockets that old (or NULL) does not have open already; those stay old's until setup_take_sockets(). False,
 * with the reason logged, when one cannot be bound. */
bool setup_listen(struct setup *setup, struct setup *old, unsigned workers);
void setup_take_sockets(struct setup *setup, struct setup *old);

/* Fits the sockets' kernel filters to the peers. */
void setup_filter(struct setup *setup);

void setup_free(struct setup *setup); /* leaves an empty one; twice is fine */

#endif
