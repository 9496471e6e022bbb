/* named_calls.h: other calls that a message names by their Call-IDs (Replaces, Join, Target-Dialog, In-Reply-To, Refer-To). */
#ifndef STIRRUP_NAMED_CALLS_H
#define STIRRUP_NAMED_CALLS_H

#include "stirrup/sip_edit.h"
#include "worker_state.h"

bool named_calls_any(const struct sip_head *message);

/* Puts in the Call-IDs by which the side knows them that the message goes to: the callee's side of the peer's calls where it
 * comes from the caller's, and the other way round. What is no call of ours stays as it is. */
void named_calls_translate(struct sip_edit *edit, struct worker *worker, const struct sip_head *message,
	const struct peer *peer, bool from_caller);

#endif
