/* reason_header.h: the Reason header field of a call that goes on although its Identity failed (RFC 9410, RFC
 * 3326). */
#ifndef STIRRUP_REASON_HEADER_H
#define STIRRUP_REASON_HEADER_H

#include <stddef.h>

#include "stirrup/span.h"
#include "stirrup/verdict.h"

#define REASON_HEADER_MAX 640
#define REASON_PPI_MAX 512 /* characters of a signature; ES256 has 86 */

/* STIR;cause=436;text="Bad Identity Info";ppi="..SIGNATURE": the compact form of the token that failed (RFC
 * 9410 section 5). Without ppi for an empty token and for one whose third part is no base64url or longer than
 * REASON_PPI_MAX. Returns the length without the NUL; 0 when it does not fit, and for a verdict that is no
 * failure of a token. */
size_t reason_header_write(char *out, size_t size, enum verdict verdict, struct span token);

#endif
