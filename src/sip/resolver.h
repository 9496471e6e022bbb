/* resolver.h: addresses of host names by c-ares, which no other file knows. Never blocks. */
#ifndef STIRRUP_SIP_RESOLVER_H
#define STIRRUP_SIP_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define RESOLVER_ADDRESSES_MAX 16

enum resolver_outcome {
	RESOLVER_FOUND,
	RESOLVER_NONE,   /* the name is there, and has no address of this family */
	RESOLVER_FAILED, /* all else, the name unknown included */
};

struct resolver_answer {
	enum resolver_outcome outcome;
	const char *why; /* of RESOLVER_FAILED; static */
	unsigned ttl_s;  /* of RESOLVER_FOUND */
	size_t count;
	struct sockaddr_storage addresses[RESOLVER_ADDRESSES_MAX]; /* without port */
};

typedef void resolver_done(const struct resolver_answer *answer, void *context);

struct resolver;
struct resolver *resolver_new(void);           /* NULL when out of memory or descriptors */
void resolver_free(struct resolver *resolver); /* NULL is fine */

/* Asks these servers from now on; none: those of the system, read anew. What was asked before is forgotten,
 * without a word to who asked. False when c-ares does not start: every question then fails. */
bool resolver_use(struct resolver *resolver, const struct sockaddr_storage *servers, size_t count);

/* Asks for the addresses of one family, AF_INET or AF_INET6. Done is called once, from here or from
 * resolver_turn(). The name is taken as it is, without any search domain. */
void resolver_ask(
	struct resolver *resolver, const char *name, sa_family_t family, resolver_done *done, void *context);

/* One descriptor for all of its sockets, readable when there is something to do; resolver_turn() does it, and
 * looks after the time limits of questions. */
int resolver_fd(const struct resolver *resolver);
void resolver_turn(struct resolver *resolver);

#endif
