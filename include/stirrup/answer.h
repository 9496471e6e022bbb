/* answer.h: a final response, spliced from the request's own header lines (RFC 3261 section 8.2.6.2). */
#ifndef STIRRUP_ANSWER_H
#define STIRRUP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/sip_head.h"
#include "stirrup/span.h"
#include "stirrup/writer.h"

#define ANSWER_MAX 65507 /* what a UDP datagram takes */

struct answer {
	struct writer writer;    /* on bytes */
	char bytes[ANSWER_MAX];
};

/* Status line, the Via, From, To (with to_tag where it has none; NULL: none is added), Call-ID and CSeq of the request. */
void answer_begin(struct answer *answer, unsigned status, const char *phrase, const struct sip_head *request,
	const char *to_tag);

/* A further header field. A value with a line break that is no fold is left out and spoils the answer. */
void answer_header(struct answer *answer, const char *name, struct span value);

/* Content-Length and the empty line. *bytes is then what to send, borrowed; false when something did not fit. */
bool answer_end(struct answer *answer, struct span *bytes);

/* The standard's phrase: "Moved Temporarily". Never NULL. */
const char *answer_phrase(unsigned status);

#endif
