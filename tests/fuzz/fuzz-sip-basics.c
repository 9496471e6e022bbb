/* Messages: an answer of ours is one to the very request, and a Via says where it came from whatever it claims. */
#include "fuzz.h"

#include <string.h>

#include "stirrup/answer.h"
#include "stirrup/sip_basics.h"

static bool same(struct span one, struct span other)
{
	return one.length == other.length && (one.length == 0 || memcmp(one.at, other.at, one.length) == 0);
}

static void check_answer(const struct sip_head *head, const struct sip_basics *basics)
{
	static struct answer made;
	static struct sip_head answer;
	struct sip_basics of_answer;
	struct span bytes;

	answer_begin(&made, 486, "Busy Here", head, "ours");
	if (!answer_end(&made, &bytes))
		return;
	MUST(sip_head_read(&answer, bytes) && sip_basics_read(&of_answer, &answer));
	MUST(answer.is_response && answer.status == 486 && answer.body.length == 0 && !answer.wrong_length);
	MUST(same(of_answer.call_id, basics->call_id) && same(of_answer.from, basics->from));
	MUST(of_answer.cseq == basics->cseq && same(of_answer.method, basics->method));
	MUST(same(of_answer.via.item, basics->via.item));
	if (basics->to_tag.length > 0)
		MUST(same(of_answer.to_tag, basics->to_tag));
	else if (sip_basics_sound(basics, head->request_uri))
		MUST(span_is(of_answer.to_tag, "ours"));
}

static void check_mark(struct span value, const struct via *via)
{
	static char out[131072];
	struct span marked;
	struct via after;

	MUST(sip_basics_mark_via(out, sizeof out, value, "2001:db8::9", 5099));
	marked = span_of(out);
	/* One without a NUL, that is. */
	if (memchr(value.at, '\0', value.length) != NULL)
		return;
	MUST(via_next(&marked, &after));
	MUST(span_is(after.received, "2001:db8::9") && span_is(after.rport, via->has_rport ? "5099" : ""));
	MUST(same(after.host, via->host) && same(after.port, via->port) && same(after.branch, via->branch) &&
		same(after.seal, via->seal));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sip_head head;
	struct span all = fuzz_span(data, size);
	struct sip_basics basics;

	if (!sip_head_read(&head, all) || !sip_basics_read(&basics, &head))
		return 0;
	MUST_LIE_WITHIN(basics.via.item, all);
	MUST_LIE_WITHIN(basics.call_id, all);
	MUST_LIE_WITHIN(basics.from_tag, basics.from);
	MUST_LIE_WITHIN(basics.to_tag, basics.to);
	MUST(basics.call_id.length > 0 && basics.from.length > 0 && basics.to.length > 0);
	MUST(basics.max_forwards <= 999);
	check_mark(sip_head_value(&head, HEADER_VIA), &basics.via);
	if (!head.is_response)
		check_answer(&head, &basics);
	return 0;
}
