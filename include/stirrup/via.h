/* via.h: the topmost Via of a request that came over UDP, told where it came from. Pure. */
#ifndef STIRRUP_VIA_H
#define STIRRUP_VIA_H

#include <stddef.h>

#include "stirrup/span.h"

/* Copies the header line with received=host and, where it asks for it, rport=port (RFC 3261 section 18.2.1, RFC 3581
 * section 4). Returns its length; 0 where that takes a parser: a list of Vias, or one that claims a received of its own. */
size_t via_with_source(char *out, size_t size, struct span line, const char *host, unsigned port);

#endif
