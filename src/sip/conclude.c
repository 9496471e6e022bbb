#include "worker_state.h"

void call_conclude(struct worker *worker, struct call *call, const struct call_outcome *outcome)
{
	redirect_answer(worker, call, outcome);
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
