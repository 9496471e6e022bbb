/* certificate_pem.h: certificates out of a PEM text (RFC 7468), as files and x5u URLs bring them. */
#ifndef STIRRUP_CERTIFICATE_PEM_H
#define STIRRUP_CERTIFICATE_PEM_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/x509.h>

#include "stirrup/span.h"

/* How much is looked at before anything is decoded. */
struct certificate_pem_limits {
	size_t octets;
	size_t certificates;
};

/* Appends the certificates of a text that holds them and nothing else but white space and comments outside
 * the blocks. False with the reason in why for an empty text, one without any, a block of another kind (a
 * private key: its content is never shown), a damaged one, and beyond the limits. What was appended before
 * stays in out then. */
bool certificate_pem_read(STACK_OF(X509) *out, struct span pem, const struct certificate_pem_limits *limits,
	char *why, size_t why_size);

#endif
