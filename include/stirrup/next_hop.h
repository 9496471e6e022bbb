/* next_hop.h: a place where calls are sent on to, as the configuration names it. */
#ifndef STIRRUP_NEXT_HOP_H
#define STIRRUP_NEXT_HOP_H

#include <stdbool.h>
#include <sys/socket.h>

enum transport { TRANSPORT_UDP, TRANSPORT_TCP, TRANSPORT_TLS };

struct next_hop {
	char *text;                      /* host[:port][;parameters], without scheme: what a redirect shows; owned */
	char *host;                      /* a host name to be resolved; NULL: address is literal; owned */
	struct sockaddr_storage address; /* of a literal one */
	unsigned port;                   /* 5060 unless configured */
	enum transport transport;        /* unless given UDP, or TCP where no listener has UDP of its address family */
	bool transport_given;            /* ";transport=": then nothing leaves by another one */
	unsigned weight;                 /* 0: the list is tried in its order */
};

#endif
