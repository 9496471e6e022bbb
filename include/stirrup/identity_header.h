/* identity_header.h: the Identity header field (RFC 8224, section 4). */
#ifndef STIRRUP_IDENTITY_HEADER_H
#define STIRRUP_IDENTITY_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/passport.h"
#include "stirrup/span.h"

#define IDENTITY_HEADER_MAX (PASSPORT_SIGNING_INPUT_MAX + 87 + PASSPORT_X5U_MAX + 32)

/* One Identity, all spans borrowed and without quotes or <>, escapes in quotes not undone. Empty where the parameter
 * is absent; info too, which the RFC wants: what that means is the verifier's business. */
struct identity_header {
	struct span token;
	struct span info;
	struct span alg;
	struct span ppt;
};

/* Takes the next Identity off the value of an "Identity" or "y" line, which may be a comma list, and moves *rest behind
 * it. Parameters in any order, quoted or not, unknown ones skipped, white space and folding allowed where RFC 3261
 * allows it, a comma at the end ignored. False at the end, and at what is malformed (then *malformed is true, and
 * *rest is used up): a token without any parameter, a parameter twice or without its value, control characters. The
 * token is only delimited here: passport_parse() reads it. */
bool identity_header_next(struct span *rest, struct identity_header *out, bool *malformed);

/* Whether it is of this type: by its ppt parameter, or without one by the "ppt" in the header of the token itself,
 * however malformed that is otherwise. */
bool identity_header_is(const struct identity_header *identity, const char *ppt);

/* token ";info=<" x5u ">;alg=ES256;ppt=shaken". Returns the length without the NUL; 0 when it does not fit, and when x5u
 * holds what could end the <> or the line. */
size_t identity_header_write(char *out, size_t size, struct span token, const char *x5u);

#endif
