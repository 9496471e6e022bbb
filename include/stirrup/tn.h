/* tn.h: a canonical telephone number, the form that is signed and compared (RFC 8224, section 8.3). */
#ifndef STIRRUP_TN_H
#define STIRRUP_TN_H

#include <stdbool.h>

#include "stirrup/span.h"

#define TN_MAX 31 /* E.164 says 15; French numbers with a portability prefix are longer */

/* Digits, "*" and "#" only, no "+", NUL-terminated: "12155551212". */
struct tn {
	char digits[TN_MAX + 1];
};

/* How a peer writes numbers without "+". Each an empty string where there is none. With country code "1" the prefixes
 * are not looked at. Elsewhere, a country without national prefix gets its code put before every number that has no
 * international prefix; without either prefix, only "+" and phone-context make a number. */
struct dial_plan {
	char country_code[4];         /* "1": ten digits get the 1, eleven beginning with 1 stay, 011 is stripped */
	char national_prefix[8];      /* other countries: "0" is replaced by the country code */
	char international_prefix[8]; /* other countries: "00" is stripped */
};

enum tn_kind {
	TN_NUMBER,        /* *tn is set */
	TN_EMERGENCY,     /* 911, 112 (left as dialled, RFC 8224 8.3), urn:service:sos: *tn is set, empty for a URN */
	TN_ANONYMOUS,     /* RFC 3323: the user "anonymous" or the host "anonymous.invalid" */
	TN_NOT_A_NUMBER,  /* a name, a URI of another scheme, or digits that no rule of the plan makes into E.164 */
};

/* The canonical number of a tel, sip or sips URI (without <>), or what the URI is instead. Percent-encoding is undone
 * first; visual separators and the parameters of the number (npdi, rn, cic, verstat, isub, RFC 4904's tgrp and
 * trunk-context) go; phone-context and the plan complete what has no "+". *tn is untouched unless said above. */
enum tn_kind tn_from_uri(struct tn *tn, struct span uri, const struct dial_plan *plan);

/* A number as configuration files write it: "+" and 7 to TN_MAX digits, visual separators allowed. */
bool tn_from_text(struct tn *tn, struct span text);

/* The beginning of one, without the "*": as tn_from_text(), and one digit is enough. */
bool tn_prefix_from_text(struct tn *tn, struct span text);

#endif
