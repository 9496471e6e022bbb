/* sip_basics.h: what every message must have (RFC 3261 section 8.1.1), read from its lines. Pure. */
#ifndef STIRRUP_SIP_BASICS_H
#define STIRRUP_SIP_BASICS_H

#include <stdbool.h>
#include <stdint.h>

#include "stirrup/sip_head.h"
#include "stirrup/via.h"

struct sip_basics {
	struct via via;           /* the topmost one */
	struct span call_id;
	struct span from, to;     /* the values */
	struct span from_tag, to_tag; /* empty: none */
	uint32_t cseq;
	struct span method;       /* of the CSeq */
	unsigned max_forwards;    /* 255 at most; 70 where there is none or it is no number */
};

/* False when one of them is missing, or stands twice where it may stand once, or the CSeq is of another method than the
 * request. */
bool sip_basics_read(struct sip_basics *basics, const struct sip_head *head);

/* Whether a request that is to be answered or judged here has a From, a To and a Request-URI that make sense. What else stands
 * in it need not be well-formed (RFC 3261 section 16.3). */
bool sip_basics_sound(const struct sip_basics *basics, struct span request_uri);

/* Copies the value of a topmost Via line with received=host, and rport=port where it asks for that (RFC 3261 section
 * 18.2.1, RFC 3581 section 4); what it claims of these two itself goes. Further Vias behind a comma stay. False when it does
 * not fit. */
bool sip_basics_mark_via(char *out, size_t size, struct span value, const char *host, unsigned port);

#endif
