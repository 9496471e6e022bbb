#include "fuzz.h"

#include "stirrup/identity_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = fuzz_span(data, size), rest = all;
	struct identity_header identity;
	bool malformed = false;
	size_t before = rest.length;
	char out[512];

	while (identity_header_next(&rest, &identity, &malformed)) {
		MUST(!malformed && identity.token.length > 0 && rest.length < before);
		MUST_LIE_WITHIN(rest, all);
		MUST_LIE_WITHIN(identity.token, all);
		MUST_LIE_WITHIN(identity.info, all);
		MUST_LIE_WITHIN(identity.alg, all);
		MUST_LIE_WITHIN(identity.ppt, all);
		identity_header_is(&identity, "shaken");
		MUST(identity_header_write(out, sizeof out, identity.token, "https://a.example/c") <
			sizeof out);
		before = rest.length;
	}
	MUST(rest.length == 0);
	return 0;
}
