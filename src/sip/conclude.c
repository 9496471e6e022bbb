#include "worker_state.h"

void call_conclude(struct worker *worker, struct call *call, const struct call_outcome *outcome)
{
	bool goes_on = outcome->status >= 300 && outcome->status < 400;

	switch (goes_on ? call->peer->mode : MODE_REDIRECT) {
	case MODE_REDIRECT:
		redirect_answer(worker, call, outcome);
		break;
	case MODE_B2BUA:
		b2bua_invite(worker, call, outcome);
		break;
	case MODE_FORWARD:
		forward_invite(worker, call, outcome);
		break;
	}
}

void call_cancel(struct worker *worker, struct call *waiting)
{
	struct call call = *waiting;
	struct call_outcome outcome = {
		.result = "rejected",
		.verdict = VERDICT_CANCELLED,
		.rule = "the caller cancelled while the call waited",
		.status = 487,
	};

	waiting_calls_remove(worker->waiting, waiting);
	call_conclude(worker, &call, &outcome);
}
