/* secret.h: the installation's one secret (sip.secret_file), from which To tags and origids are computed. */
#ifndef STIRRUP_SECRET_H
#define STIRRUP_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/child.h"

/* Reads the secret, or makes one at the first start (mode 0600). Refuses a file that others can read, a link, and one of
 * another length than 64 hexadecimal digits and a newline. False with the reason in why. */
bool secret_load(const char *path, uint8_t secret[CHILD_SECRET_BYTES], char *why, size_t why_size);

/* The same of a file that must be there: nobody makes up an old secret. */
bool secret_load_previous(const char *path, uint8_t secret[CHILD_SECRET_BYTES], char *why, size_t why_size);

#endif
