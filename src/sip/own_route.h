/* own_route.h: our Record-Route on what is forwarded, and the Routes that it comes back as: "st" is its seal (seal.h), "f" the
 * caller's From where it cannot be told by that. */
#ifndef STIRRUP_OWN_ROUTE_H
#define STIRRUP_OWN_ROUTE_H

#include "stirrup/egress.h"
#include "stirrup/seal.h"
#include "stirrup/sip_basics.h"
#include "stirrup/sip_edit.h"
#include "worker_state.h"

#define OWN_ROUTE_PARAMS_SIZE 768 /* what stands behind "st=", and a NUL */

/* Whole lines. RFC 5658: two, where the call leaves by another listener than it came by; the one that the callee is to speak
 * to on top. seal: what stands behind "st=". */
void own_route_put(struct writer *writer, const struct generation *generation, const struct egress *egress, int arrival,
	const char *seal);
void own_route_add(struct sip_edit *edit, const struct generation *generation, const struct egress *egress, int arrival,
	const char *seal);

/* What of the Routes is ours, and what follows. */
struct own_routes {
	unsigned own;             /* how many on top are ours */
	struct span seal;         /* of the first one; empty: none */
	struct span last_seal;    /* of the last one that has any: another, where the call passed here twice in a row */
	struct span from;         /* of the first one: the encoded From of the caller; empty: none */
	int leaves_by;            /* the listener that the last one names; -1: unknown */
	struct span next;         /* the URI behind them, or what cannot be read there; empty: none */
	unsigned others;          /* how many are behind them, that one counted */
};
void own_routes_read(struct own_routes *routes, struct worker *worker, const struct sip_head *request,
	const struct sip_basics *basics);

/* Whether the seal is good for this call, and not too old (dialogs.max_age), which it never is for a BYE: however long a call
 * has lasted, it has to end; whether the request comes from the caller's side. */
bool own_route_read(struct worker *worker, const struct sip_basics *basics, struct span seal, struct seal_route *route,
	bool *from_caller);

#endif
