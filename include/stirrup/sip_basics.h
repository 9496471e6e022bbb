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

/* Writes final and provisional answers without a parser: the status line, then the lines of the request that every answer
 * repeats (RFC 3261 section 8.2.6.2; Record-Route for what makes a dialog, 12.1.1). to_tag NULL: none is added. Returns the
 * length; 0: it does not fit. */
size_t sip_basics_answer(char *out, size_t size, const struct sip_head *request, unsigned status, const char *phrase,
	const char *to_tag);

/* Copies the value of a topmost Via line with received=host, and rport=port where it asks for that (RFC 3261 section
 * 18.2.1, RFC 3581 section 4); what it claims of these two itself goes. Further Vias behind a comma stay. False when it does
 * not fit. */
bool sip_basics_mark_via(char *out, size_t size, struct span value, const char *host, unsigned port);

#endif
