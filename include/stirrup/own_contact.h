/* own_contact.h: the Contact that a B2BUA shows to one side of a call in place of the other side's. Pure. */
#ifndef STIRRUP_OWN_CONTACT_H
#define STIRRUP_OWN_CONTACT_H

#include <stddef.h>

#include "stirrup/span.h"

/* What the far side's Contact becomes: its display name and user part byte for byte (trunk group parameters stand there: RFC
 * 4904), our host[:port], ";transport=" unless that is "udp", and its header parameters (+sip.instance, isfocus, expires, q).
 * Its URI parameters and headers are of its side only. Always in <>: a bare URI would hand its parameters to the header.
 *
 * tel:+1215 becomes sip:+1215@us;user=phone, with its parameters (RFC 3261 section 19.1.6). sips: becomes sip:, as we are not
 * to be reached otherwise on this side. Of a list, the first one counts.
 *
 * Returns the length, and writes no NUL. 0: it did not fit, or the value is none that a dialog can have (RFC 3261 section
 * 12.1.1): "*", another scheme, nothing. */
size_t own_contact_write(char *out, size_t size, struct span contact, struct span host_port, const char *transport);

/* Its URI alone, as a target (dialog_store.h) and for comparison with the Request-URIs that come back. */
size_t own_contact_uri(char *out, size_t size, struct span contact, struct span host_port, const char *transport);

#endif
