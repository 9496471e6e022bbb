/* trust_fingerprint.h: whether what chains were judged by is still the same, also after a restart. */
#ifndef STIRRUP_FETCHER_TRUST_FINGERPRINT_H
#define STIRRUP_FETCHER_TRUST_FINGERPRINT_H

#include <stdbool.h>

#include "stirrup/config.h"

#define TRUST_FINGERPRINT_BYTES 32

/* A digest of which trust files there are, as which inode, how long and since when, and of the settings that
 * a judgement depends on. False when out of memory. */
bool trust_fingerprint(const struct config *config, unsigned char out[TRUST_FINGERPRINT_BYTES]);

#endif
