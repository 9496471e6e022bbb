/* fetcher.h: the process that fetches and judges the certificates at x5u URLs, and the messages it understands. The only
 * one that talks HTTP outwards, and the only one that parses a stranger's certificate. It has no keys and no SIP. */
#ifndef STIRRUP_FETCHER_H
#define STIRRUP_FETCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/certificate_facts.h"

/* From a worker: what is known of this x5u? Answered from the store when it is there, else fetched once for however
 * many ask. */
struct fetch_request {
	uint64_t id;             /* comes back with the reply; not 0 */
	uint64_t peer;           /* a digest of the name of the peer whose call names x5u: it has a budget of its own */
	int64_t deadline_us;     /* monotonic; later nobody waits for the reply, but the fetch goes on for those to come */
	bool renew;              /* a signature did not verify by what is known: fetch again, within the rate limit, before answering */
	char x5u[PASSPORT_X5U_MAX + 1];
};

/* To a worker. id 0: nobody asked; the facts replace what the worker has (they were refreshed), or with an empty x5u
 * all facts of an older trust_epoch are void. */
struct fetch_reply {
	uint64_t id;
	struct certificate_facts facts; /* its constraints are sent as far as constraints_length says */
};
#define FETCH_REPLY_BYTES(reply) (offsetof(struct fetch_reply, facts.constraints) + (reply)->facts.constraints_length)

/* The body of the fetcher process: control is its channel to the supervisor (child.h), CHILD_FETCHER brings a worker's
 * channel. Returns the exit status. */
int fetcher_main(int control);

#endif
