#include "fuzz.h"

#include <string.h>

#include "stirrup/tn.h"

static void check(const struct tn *tn)
{
	size_t length = strnlen(tn->digits, sizeof tn->digits);

	MUST(length >= 1 && length <= TN_MAX && strspn(tn->digits, "0123456789*#") == length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dial_plan plans[] = { { .country_code = "1" },
		{ .country_code = "49", .national_prefix = "0", .international_prefix = "00" },
		{ .country_code = "45" }, { .country_code = "" } };
	struct span text = fuzz_span(data, size);
	struct tn tn;

	for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
		char again[TN_MAX + 8];
		struct tn same;

		if (tn_from_uri(&tn, text, &plans[i]) != TN_NUMBER)
			continue;
		check(&tn);
		if (strspn(tn.digits, "0123456789") != strlen(tn.digits))
			continue;
		/* What is canonical stays as it is. */
		snprintf(again, sizeof again, "tel:+%s", tn.digits);
		MUST(tn_from_uri(&same, span_of(again), &plans[i]) == TN_NUMBER &&
			strcmp(same.digits, tn.digits) == 0);
	}
	if (tn_from_text(&tn, text))
		check(&tn);
	if (tn_prefix_from_text(&tn, text))
		check(&tn);
	return 0;
}
