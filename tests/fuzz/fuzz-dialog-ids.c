/* A digit for the header field, and a value of it, as it comes out of a header line. */
#include "fuzz.h"

#include <string.h>

#include "stirrup/dialog_ids.h"

struct asked {
	struct span value;
	unsigned times;
};

static bool translate(struct span call_id, struct span one_tag, struct span other_tag, struct span *other, void *context)
{
	struct asked *asked = context;

	MUST(call_id.length > 0);
	asked->times++;
	*other = span_of("by-another-name@x");
	return call_id.length % 2 == 1;
}

static bool never(struct span call_id, struct span one_tag, struct span other_tag, struct span *other, void *context)
{
	return false;
}

static bool has_line_break(struct span text)
{
	return text.length > 0 && (memchr(text.at, '\r', text.length) != NULL || memchr(text.at, '\n', text.length) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum header_kind kinds[] = { HEADER_REPLACES, HEADER_JOIN, HEADER_TARGET_DIALOG, HEADER_IN_REPLY_TO,
		HEADER_REFER_TO };
	static char out[262144], tight[64];
	struct span value, changed;
	struct asked asked = { 0 };
	enum header_kind kind;

	if (size == 0)
		return 0;
	kind = kinds[data[0] % (sizeof kinds / sizeof kinds[0])];
	value = fuzz_span(data + 1, size - 1);
	asked.value = value;
	MUST(!dialog_ids_replace(&changed, out, sizeof out, kind, value, never, NULL));
	if (dialog_ids_replace(&changed, out, sizeof out, kind, value, translate, &asked)) {
		MUST(asked.times > 0 && changed.length > 0);
		MUST_LIE_WITHIN(changed, ((struct span){ out, sizeof out }));
		MUST(!has_line_break(changed) || has_line_break(value));
	}
	if (dialog_ids_replace(&changed, tight, sizeof tight, kind, value, translate, &asked))
		MUST_LIE_WITHIN(changed, ((struct span){ tight, sizeof tight }));
	return 0;
}
