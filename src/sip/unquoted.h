/* unquoted.h: how far the items and the parameters of a header value go (RFC 3261 section 25.1). */
#ifndef STIRRUP_SIP_UNQUOTED_H
#define STIRRUP_SIP_UNQUOTED_H

#include <stddef.h>

#include "stirrup/span.h"

/* The length of the quoted string that text begins with, both quotes counted; 0 when it has no end. */
size_t quoted_length(struct span text);

/* The same of <>. */
size_t bracketed_length(struct span text);

/* How far text goes until the stop byte outside of quoted strings and <>; all of it where there is none. */
size_t unquoted_length(struct span text, char stop);

#endif
