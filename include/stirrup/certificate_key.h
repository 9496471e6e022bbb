/* certificate_key.h: the public key of a certificate: is it one that this trade uses? */
#ifndef STIRRUP_CERTIFICATE_KEY_H
#define STIRRUP_CERTIFICATE_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/x509.h>

/* Whether the key can be read and, where it is on a curve, gives it by name. Explicit curve parameters can
 * hide another generator (CVE-2020-0601); RFC 5480 section 2.1.1 forbids them. False with the reason in why.
 */
bool certificate_key_is_sound(X509 *certificate, char *why, size_t why_size);

/* Whether a sound key is on P-256: ES256 (RFC 8225 section 8). */
bool certificate_key_is_p256(X509 *certificate, char *why, size_t why_size);

#endif
