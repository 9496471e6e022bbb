/* crl.h: a certificate revocation list (RFC 5280 section 5) of the kind that an STI-PA publishes: indirect,
 * that is, it names certificates of all STI-CAs (ATIS-1000080), and is signed under a root of its own. */
#ifndef STIRRUP_CRL_H
#define STIRRUP_CRL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/x509.h>

#include "stirrup/span.h"

#define CRL_OCTETS_MAX (8u << 20)

struct crl;

/* Reads PEM or DER. NULL with the reason in why for anything else, a list that is not indirect or holds only
 * a part of the revocations, and one with critical extensions that nobody here understands. Who signed it,
 * and when, is not judged here. */
struct crl *crl_parse(struct span text, char *why, size_t why_size);
void crl_free(struct crl *crl); /* NULL is fine */

const X509_NAME *crl_issuer(const struct crl *crl); /* borrowed */
size_t crl_entries(const struct crl *crl);
int64_t crl_this_update(const struct crl *crl);
int64_t crl_next_update(const struct crl *crl);

/* Whether signer has its issuer's name, may sign CRLs (RFC 5280 section 6.3.3 step f), and did. */
bool crl_is_signed_by(const struct crl *crl, X509 *signer);

/* False with the reason in why before thisUpdate and after nextUpdate plus the grace. */
bool crl_is_current(const struct crl *crl, int64_t now, int64_t grace_s, char *why, size_t why_size);

/* Whether both are the same octets. */
bool crl_is_same(const struct crl *crl, const struct crl *other);

/* Whether it may stand in the place of older, of the same issuer: by CRLNumber and thisUpdate. False with the
 * reason. */
bool crl_is_newer(const struct crl *crl, const struct crl *older, char *why, size_t why_size);

/* Whether certificate says that its revocation would be found here: by the URL of its distribution point, and
 * by cRLIssuer where it has one (a third of the certificates in use have none). */
bool crl_is_named_by(const struct crl *crl, const X509 *certificate);

/* Whether an entry has its issuer and serial number. Such an entry counts whatever the certificate's
 * distribution points say. */
bool crl_revokes(const struct crl *crl, X509 *certificate);

#endif
