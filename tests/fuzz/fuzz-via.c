#include "fuzz.h"

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
	return 0;
}
