#include "worker_state.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include "stirrup/clock.h"

/* Not a timer of Sofia's: its loop spins through the last millisecond before one is due. */
#define TICK_NS 5000000

static void expire(struct worker *worker)
{
	int64_t now = monotonic_us();
	struct call *call = waiting_calls_oldest(worker->waiting);

	while (call != NULL) {
		struct call *next = call->next;

		if (call->deadline_us <= now) {
			switch (call->peer->service) {
			case SERVICE_SIGN:
				worker->signer_silent_us = now;
				sign_call_finish(worker, call, VERDICT_SIGNER_TIMEOUT, (struct span){ "", 0 }, 0);
				break;
			case SERVICE_VERIFY:
				verify_call_give_up(worker, call, VERDICT_FETCHER_TIMEOUT);
				break;
			}
		}
		call = next;
	}
}

bool deadlines_open(struct worker *worker)
{
	worker->ticker = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	return worker->ticker >= 0;
}

void deadlines_close(struct worker *worker)
{
	if (worker->ticker >= 0)
		close(worker->ticker);
}

void deadlines_start(struct worker *worker)
{
	struct itimerspec once = { .it_value.tv_nsec = TICK_NS };

	if (!worker->ticks)
		worker->ticks = timerfd_settime(worker->ticker, 0, &once, NULL) == 0;
}

void deadlines_tick(struct worker *worker)
{
	uint64_t expirations;

	if (read(worker->ticker, &expirations, sizeof expirations) < 0)
		return;
	worker->ticks = false;
	expire(worker);
	signer_client_ask_unasked(worker);
	fetcher_client_tick(worker);
	call_record_flush(worker);
	if (waiting_calls_oldest(worker->waiting) != NULL || worker->record_backlog.length > 0 ||
		fetcher_client_waits(worker))
		deadlines_start(worker);
}
