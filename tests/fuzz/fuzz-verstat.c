/* Header field values and URIs: whatever a verstat looks like, what goes on has none but ours. */
#include "fuzz.h"

#include <string.h>

#include "stirrup/verstat.h"

#define ROOM 262144

static void check_value(struct span value, char *out)
{
	static const struct dial_plan plan = { .country_code = "1" };
	static const struct tn orig = { "12155551212" }, nobody;
	unsigned stamped, removed;

	MUST(verstat_stamp(out, ROOM, value, &nobody, &plan, "", &stamped, &removed));
	MUST(stamped == 0 && strlen(out) <= value.length);
	MUST(!verstat_present(span_of(out)));
	MUST(verstat_present(value) == (removed > 0));
	MUST(verstat_stamp(out, ROOM, value, &orig, &plan, "TN-Validation-Failed", &stamped, &removed));
	MUST(stamped == 0 || strstr(out, ";verstat=TN-Validation-Failed") != NULL);
}

static void check_uri(struct span uri, char *out)
{
	unsigned removed;

	MUST(verstat_strip(out, ROOM, uri, &removed));
	MUST(strlen(out) <= uri.length && verstat_in_uri(uri) == (removed > 0));
	MUST(!verstat_in_uri(span_of(out)));
	MUST(verstat_stamp_uri(out, ROOM, uri, "No-TN-Validation"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char out[ROOM];
	struct span text = fuzz_span(data, size);

	/* A message with a NUL is refused before. */
	if (memchr(data, '\0', size) != NULL)
		return 0;
	check_value(text, out);
	check_uri(text, out);
	return 0;
}
