/* certificate.h: a chain of certificates as it is published at an x5u: PEM, the end entity first. */
#ifndef STIRRUP_CERTIFICATE_H
#define STIRRUP_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/x509.h>

#include "stirrup/span.h"
#include "stirrup/tn_auth_list.h"

#define CERTIFICATE_CHAIN_MAX 8

struct certificate_chain;

/* Reads a PEM text that holds certificates and nothing else but white space and comments outside the blocks. Refuses a
 * private key in it, more than CERTIFICATE_CHAIN_MAX, an empty text, an end entity that is a CA, whose key is not on
 * the named curve P-256 or whose TNAuthList is absent or malformed, and an order in which a certificate does not
 * issue the one before it (RFC 9060 section 7). NULL then, with the reason in why. Trust is not judged here. */
struct certificate_chain *certificate_chain_parse(struct span pem, char *why, size_t why_size);
void certificate_chain_free(struct certificate_chain *chain); /* NULL is fine */

size_t certificate_chain_count(const struct certificate_chain *chain);
X509 *certificate_chain_at(const struct certificate_chain *chain, size_t index);       /* borrowed; 0: end entity */
const struct tn_auth_list *certificate_chain_tn_auth_list(const struct certificate_chain *chain); /* borrowed */

/* Seconds since 1970. The whole chain is valid in [not_before, not_after], both included (RFC 5280 4.1.2.5). */
int64_t certificate_chain_not_before(const struct certificate_chain *chain);
int64_t certificate_chain_not_after(const struct certificate_chain *chain);

#endif
