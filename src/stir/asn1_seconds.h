/* asn1_seconds.h: the times in certificates and lists as seconds. */
#ifndef STIRRUP_STIR_ASN1_SECONDS_H
#define STIRRUP_STIR_ASN1_SECONDS_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/asn1.h>

/* Since 1970. False: it is no time, or there is none (NULL). */
bool asn1_seconds(const ASN1_TIME *time, int64_t *out);

#endif
