/* answer_memo.h: the answers given lately, so that a repeated request gets the same bytes and no second signature. */
#ifndef STIRRUP_ANSWER_MEMO_H
#define STIRRUP_ANSWER_MEMO_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/call_digest.h"
#include "stirrup/span.h"

struct answer_memo;

/* bytes bounds all it ever holds; the oldest answer makes room for the newest. NULL when out of memory. */
struct answer_memo *answer_memo_new(size_t bytes);
void answer_memo_free(struct answer_memo *memo); /* NULL is fine */

void answer_memo_put(struct answer_memo *memo, const struct call_digest *digest, struct span answer);

/* False: not known, or forgotten. The answer is borrowed until the next put. */
bool answer_memo_find(const struct answer_memo *memo, const struct call_digest *digest, struct span *answer);

#endif
