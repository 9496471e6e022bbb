/* raw_answer.h: an answer to a request that is not to be parsed. Pure. */
#ifndef STIRRUP_RAW_ANSWER_H
#define STIRRUP_RAW_ANSWER_H

#include <stddef.h>

#include "stirrup/span.h"

/* Makes the answer by copying the request's Via, From, To, Call-ID and CSeq lines, folded ones, too (RFC 3261 section
 * 8.2.6.2), in one pass over its head. Returns its length; 0 for what gets none: a response, an ACK, a head without
 * those lines or with more of them than size holds. */
size_t raw_answer(char *out, size_t size, struct span request, const char *status_line);

/* The status line for a request that cannot be read: 505 for another version of SIP, else 400. */
const char *raw_answer_refusal(struct span request);

#endif
