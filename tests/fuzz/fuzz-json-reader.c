#include "fuzz.h"

#include "../unit/json-agreement.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = fuzz_span(data, size);
	bool accepted;

	if (size <= JSON_TEXT_MAX)
		MUST(json_text_agrees(text, &accepted));
	return 0;
}
