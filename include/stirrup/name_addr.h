/* name_addr.h: name-addr and addr-spec of RFC 3261, section 25.1, as in From, To and P-Asserted-Identity. */
#ifndef STIRRUP_NAME_ADDR_H
#define STIRRUP_NAME_ADDR_H

#include <stdbool.h>

#include "stirrup/span.h"

struct name_addr {
	struct span uri;    /* without <> */
	struct span params; /* header parameters behind it, from the first ";" on; empty without */
};

/* Takes the next item off a comma list (P-Asserted-Identity: RFC 3325, section 9.1) and moves *rest behind it.
 * False at the end, where *rest is empty, and at the first thing that is neither form, where *rest stays. All spans
 * borrow from rest. */
bool name_addr_next(struct span *rest, struct name_addr *out);

/* The value of the first parameter of this name (";tag=x"), in any letter case; without its quotes, escapes inside them
 * left as they are. False when it is absent. *value is empty for a flag parameter. */
bool name_addr_param(struct span params, const char *name, struct span *value);

#endif
