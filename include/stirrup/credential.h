/* credential.h: a private key with the certificate chain that it belongs to. Lives in the signer process only. */
#ifndef STIRRUP_CREDENTIAL_H
#define STIRRUP_CREDENTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/config.h"
#include "stirrup/passport.h"
#include "stirrup/verdict.h"

struct credential;

/* Loads and checks: the key file is opened without following links, is a regular file that group and others cannot
 * read, holds one P-256 key that matches the end entity; the certificate file passes certificate_chain_parse(), is
 * valid at now, and its TNAuthList has the configured SPC. NULL with the reason in why. */
struct credential *credential_load(const struct credential_config *config, int64_t now, char *why, size_t why_size);
void credential_free(struct credential *credential); /* NULL is fine; cleanses the key */

/* VERDICT_SIGNED while the whole chain is valid at that second, else the reason. */
enum verdict credential_usable(const struct credential *credential, int64_t now);

/* The value of an Identity header for the claims (claims->iat is the moment of signing). With check it is verified
 * with the certificate's public key first. Returns VERDICT_SIGNED and sets *length, or the reason; after
 * VERDICT_SELF_CHECK_FAILED the credential stays unusable. */
enum verdict credential_sign(struct credential *credential, const struct shaken_claims *claims, bool check,
	char *identity, size_t size, size_t *length);

/* Of the whole chain. */
int64_t credential_not_before(const struct credential *credential);
int64_t credential_not_after(const struct credential *credential);

#endif
