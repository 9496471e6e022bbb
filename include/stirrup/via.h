/* via.h: the Via header field (RFC 3261 section 20.42). Pure. */
#ifndef STIRRUP_VIA_H
#define STIRRUP_VIA_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/span.h"

struct via {
	struct span item;      /* all of it, without white space around */
	struct span transport; /* "UDP" */
	struct span host;      /* of the sent-by; IPv6 in its brackets */
	struct span port;      /* empty: none */
	struct span branch;    /* empty: none */
	struct span received;  /* empty: none */
	struct span rport;     /* its value; empty: none */
	bool has_rport;
	struct span seal;      /* our own parameter: see seal.h; empty: none */
};

/* Takes the next item off a comma list and moves *rest behind it. False at the end, where *rest is empty, and at what is
 * none, where *rest stays. All spans borrow from rest; values are without their quotes. */
bool via_next(struct span *rest, struct via *via);

#endif
