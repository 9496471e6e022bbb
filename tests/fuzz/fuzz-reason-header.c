#include "fuzz.h"

#include <string.h>

#include "stirrup/reason_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span token = fuzz_span(data, size);

	for (unsigned verdict = 0; verdict < VERDICT_COUNT; verdict++) {
		char out[512];
		size_t length = reason_header_write(out, sizeof out, (enum verdict)verdict, token);
		unsigned quotes = 0;

		MUST(length < sizeof out && (length == 0 || strlen(out) == length));
		/* Nothing of the token ends the quotes, or the line. */
		for (size_t i = 0; i < length; i++) {
			MUST(out[i] >= ' ' && out[i] <= '~' && out[i] != '\\');
			quotes += out[i] == '"';
		}
		MUST(length == 0 || quotes == 2 || quotes == 4);
	}
	return 0;
}
