/* call.h: an INVITE in our hands, from its arrival to its answer, and the table of those that wait for one. */
#ifndef STIRRUP_CALL_H
#define STIRRUP_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "stirrup/call_digest.h"
#include "stirrup/config.h"
#include "stirrup/net.h"
#include "stirrup/reply_path.h"
#include "stirrup/sign.h"
#include "stirrup/sip_basics.h"
#include "stirrup/sip_request.h"
#include "stirrup/verify.h"

/* A configuration in use. Calls that began under it end under it. */
struct generation {
	uint32_t number;
	struct config *config;
	char (*listener_texts)[NET_TEXT_SIZE]; /* "192.0.2.1:5060", one for each of config->listeners */
	bool forwards;                   /* there are peers of another mode than redirect */
	unsigned users;
};
struct generation *generation_new(uint32_t number, struct config *config); /* takes config; one user */
struct generation *generation_ref(struct generation *generation);
void generation_unref(struct generation *generation);

struct call {
	struct sip_head *head;           /* owned: sip_head_copy(); what follows borrows from it */
	struct sip_basics basics;
	struct sip_request request;
	struct reply_path path;
	struct call_digest digest;
	struct generation *generation;   /* a reference */
	const struct peer *peer;         /* of that generation */
	int listener;                    /* of its configuration: where the INVITE came in */
	struct sign_decision decision;   /* service "sign" */
	struct verification *verification; /* service "verify": owned; NULL */
	bool learned;                    /* facts that it waits for have come */
	bool looked_up, waited;          /* a certificate was looked for; its facts were not there */
	unsigned renewed;                /* bit i: the certificate of identity i was asked for once more */
	char origid[ORIGID_SIZE];
	char source[NET_TEXT_SIZE];
	int64_t arrived_us;              /* monotonic */
	int64_t arrived_wall_us;
	/* While it waits for the signer: */
	uint64_t id;
	int64_t deadline_us;             /* monotonic */
	bool asked;                      /* the signer has the request */
	struct call *next, *previous;    /* in order of arrival */
	struct call *chain;              /* same hash of the digest */
};

/* Lets go of everything that the call owns; the structure itself belongs to whoever made it. */
void call_release(struct call *call);

/* Bounded; nothing is allocated after its making. */
struct waiting_calls;
struct waiting_calls *waiting_calls_new(unsigned capacity); /* NULL when out of memory */
void waiting_calls_free(struct waiting_calls *waiting);     /* the calls in it are not released; NULL is fine */

/* Moves *call in and gives it an id that no earlier call had. NULL when the table is full: *call is as before. */
struct call *waiting_calls_add(struct waiting_calls *waiting, const struct call *call);
struct call *waiting_calls_find(const struct waiting_calls *waiting, const struct call_digest *digest);
struct call *waiting_calls_by_id(const struct waiting_calls *waiting, uint64_t id);
struct call *waiting_calls_oldest(const struct waiting_calls *waiting);

/* Takes it out; the caller releases it before the next add. */
void waiting_calls_remove(struct waiting_calls *waiting, struct call *call);

#endif
