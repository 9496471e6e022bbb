#include "fuzz.h"

#include "stirrup/sip_basics.h"
#include "stirrup/sip_head.h"
#include "stirrup/steering.h"

/* Whatever the number of workers, one of them has it. */
static void check(struct span datagram, unsigned workers)
{
	struct steering steering;
	unsigned owner = 0;

	steering_read(&steering, datagram, workers);
	MUST(steering.owner < workers);
	MUST(workers > 1 || !steering.anyone);
	if (steering_by_branch(datagram, workers, &owner))
		MUST(owner < workers && (workers == 1 || steering.owner == owner));
}

/* What may not be split among workers is never anybody's. */
static void check_meeting(struct span datagram)
{
	static struct sip_head head;
	struct steering steering;

	steering_read(&steering, datagram, 4);
	if (!sip_head_read(&head, datagram) || head.is_response)
		return;
	if (span_is(head.method, "INVITE") || span_is(head.method, "CANCEL") || span_is(head.method, "ACK"))
		MUST(!steering.anyone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span datagram = fuzz_span(data, size);

	check(datagram, 1);
	check(datagram, 3);
	check(datagram, 64);
	check_meeting(datagram);
	return 0;
}
