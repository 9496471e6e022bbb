/* verstat.h: how a verification result is written into SIP (3GPP TS 24.229 section 7.2A.20): the verstat parameter of a
 * telephone number, in a tel URI or in the user part of a sip URI. Pure. */
#ifndef STIRRUP_VERSTAT_H
#define STIRRUP_VERSTAT_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/config.h"
#include "stirrup/span.h"
#include "stirrup/tn.h"
#include "stirrup/verify.h"

#define VERSTAT_VALUE_SIZE 32

/* "TN-Validation-Passed", "TN-Validation-Failed", "No-TN-Validation"; with "-A" and so on behind the first two where the form wants
 * it and attest is not 0. */
void verstat_value(char out[VERSTAT_VALUE_SIZE], enum verify_result result, char attest, enum verstat_form form);

/* Copies the value of a P-Asserted-Identity header field (a comma list is kept) with verstat=value on each URI that is the number
 * orig, and without any verstat that stood there: as a parameter of the number, of the URI or of the header field. The rest
 * stays octet for octet, but for what is no address. False when it does not fit. *stamped counts the URIs that got it,
 * *removed the ones taken away. */
bool verstat_stamp(char *out, size_t size, struct span header, const struct tn *orig, const struct dial_plan *plan,
	const char *value, unsigned *stamped, unsigned *removed);

/* "<" uri ">" with verstat=value on it, whatever number it is, and without the ones that stood there. */
bool verstat_stamp_uri(char *out, size_t size, struct span uri, const char *value);

/* Copies a URI without any verstat: on its number, or among its parameters. False when it does not fit; *removed counts. */
bool verstat_strip(char *out, size_t size, struct span uri, unsigned *removed);
bool verstat_in_uri(struct span uri);

/* Whether any address in the value carries a verstat parameter. */
bool verstat_present(struct span header);

#endif
