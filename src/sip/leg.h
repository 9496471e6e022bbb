/* leg.h: what one side of a call of mode "b2bua" is to be addressed by, and what it is shown. */
#ifndef STIRRUP_LEG_H
#define STIRRUP_LEG_H

#include "stirrup/call.h"
#include "stirrup/sip_head.h"

#define LEG_ROUTES_MAX 512
#define LEG_ROUTES_BYTES 32768

/* The URI of a Contact value (its first one), fit for a request line; empty: there is none. */
struct span leg_uri(struct span contact);

/* The values of a message's header fields of that kind, and of whole lines as they were received. Both return how many. */
size_t leg_values(const struct sip_head *message, enum header_kind kind, struct span *values, size_t max);
size_t leg_line_values(struct span lines, struct span *values, size_t max);

/* The Record-Routes of a message as the Routes of one side: in their order for the callee, reversed for the caller (RFC 3261
 * sections 12.1.1 and 12.1.2). */
struct span leg_routes(char *out, size_t size, const struct span *values, size_t count, bool reversed);

/* Our Contact in place of another one, as the side sees it that speaks to that listener. */
struct span leg_contact(char *out, size_t size, const struct generation *generation, int listener, struct span contact);

#endif
