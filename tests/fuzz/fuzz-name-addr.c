#include "fuzz.h"

#include "stirrup/name_addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = fuzz_span(data, size), rest = all, value;
	struct name_addr item;
	size_t before = rest.length + 1;

	while (name_addr_next(&rest, &item)) {
		MUST(rest.length < before && item.uri.length > 0);
		MUST_LIE_WITHIN(item.uri, all);
		MUST_LIE_WITHIN(item.params, all);
		if (name_addr_param(item.params, "tag", &value))
			MUST_LIE_WITHIN(value, item.params);
		before = rest.length;
	}
	MUST_LIE_WITHIN(rest, all);
	return 0;
}
