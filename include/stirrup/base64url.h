/* base64url.h: base64url without padding, as JWS wants it (RFC 7515, section 2). */
#ifndef STIRRUP_BASE64URL_H
#define STIRRUP_BASE64URL_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/span.h"

#define BASE64URL_LENGTH(bytes) (((bytes) * 4 + 2) / 3)

/* Writes BASE64URL_LENGTH(length) characters and no NUL; returns how many. */
size_t base64url_encode(char *out, const void *data, size_t length);

/* Canonical input only: no padding, no white space, no stray bits in the last character (two texts must never mean
 * one token). False, too, when it does not fit in size. */
bool base64url_decode(unsigned char *out, size_t size, size_t *length, struct span text);

#endif
