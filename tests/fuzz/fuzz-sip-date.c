#include "fuzz.h"

#include <string.h>

#include "stirrup/sip_date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[SIP_DATE_SIZE];
	int64_t seconds, again;

	/* What is before 1970 is written as its first second. */
	if (!sip_date_parse(fuzz_span(data, size), &seconds) || seconds < 0)
		return 0;
	sip_date_format(text, seconds);
	MUST(strnlen(text, sizeof text) < sizeof text);
	MUST(sip_date_parse(span_of(text), &again) && again == seconds);
	return 0;
}
