#include "fuzz.h"

#include <string.h>

#include "stirrup/via.h"

static void check_item(const struct via *via, struct span all)
{
	MUST_LIE_WITHIN(via->item, all);
	MUST_LIE_WITHIN(via->transport, via->item);
	MUST_LIE_WITHIN(via->host, via->item);
	MUST_LIE_WITHIN(via->port, via->item);
	MUST_LIE_WITHIN(via->branch, via->item);
	MUST_LIE_WITHIN(via->received, via->item);
	MUST_LIE_WITHIN(via->rport, via->item);
	MUST_LIE_WITHIN(via->seal, via->item);
	MUST(via->host.length > 0 && via->port.length <= 5);
}

/* With the source, it says it, and the rest as before. */
static void check_source(struct span line)
{
	static char out[131072];
	struct span rest = line, marked;
	struct via before, after;
	size_t length = via_with_source(out, sizeof out, line, "192.0.2.9", 5099);

	if (length == 0 || !via_next(&rest, &before))
		return;
	marked = span_trim((struct span){ out, length });
	if (rest.length > 0 || !via_next(&marked, &after))
		return;
	MUST(span_is(after.received, "192.0.2.9") && marked.length == 0);
	MUST(span_is(after.rport, before.has_rport ? "5099" : ""));
	MUST(after.branch.length == before.branch.length &&
		(before.branch.length == 0 || memcmp(after.branch.at, before.branch.at, before.branch.length) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = fuzz_span(data, size), rest = all;
	size_t before = rest.length + 1;
	struct via via;

	while (via_next(&rest, &via)) {
		MUST(rest.length < before);
		check_item(&via, all);
		before = rest.length;
	}
	MUST_LIE_WITHIN(rest, all);
	check_source(all);
	return 0;
}
