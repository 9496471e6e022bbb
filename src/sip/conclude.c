#include "worker_state.h"

#define REQUEST_URI_MAX 1984 /* with another host and port it fits into 2,048 */

void call_refuse(struct worker *worker, struct call *call, unsigned status, enum verdict verdict, const char *rule)
{
	struct call_outcome outcome = { .result = "rejected", .verdict = verdict, .rule = rule, .status = status };

	redirect_answer(worker, call, &outcome);
}

/* False: it was refused. */
static bool may_go_on(struct worker *worker, struct call *call)
{
	bool is_short = call->head->request_uri.length <= REQUEST_URI_MAX, has_forwards = call->basics.max_forwards > 0;

	if (!is_short)
		call_refuse(worker, call, 414, VERDICT_TOO_LARGE, "its Request-URI is too long");
	else if (!has_forwards)
		call_refuse(worker, call, 483, VERDICT_LOOP, "Max-Forwards is used up");
	return is_short && has_forwards;
}

void call_conclude(struct worker *worker, struct call *call, const struct call_outcome *outcome)
{
	bool goes_on = outcome->status >= 300 && outcome->status < 400;

	switch (goes_on ? call->peer->mode : MODE_REDIRECT) {
	case MODE_REDIRECT:
		redirect_answer(worker, call, outcome);
		break;
	case MODE_B2BUA:
		if (may_go_on(worker, call))
			b2bua_invite(worker, call, outcome);
		break;
	case MODE_FORWARD:
		if (may_go_on(worker, call))
			forward_invite(worker, call, outcome);
		break;
	}
}

void call_cancel(struct worker *worker, struct call *waiting)
{
	struct call call = *waiting;

	waiting_calls_remove(worker->waiting, waiting);
	call_refuse(worker, &call, 487, VERDICT_CANCELLED, "the caller cancelled while the call waited");
}
