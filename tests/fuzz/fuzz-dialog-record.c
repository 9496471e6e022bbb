/* Records of the dialog store, as they are and with a good checksum: LMDB believes whatever is in its file. */
#include "fuzz.h"

#include <string.h>

#include "../../src/sip/dialog_record.h"

static char text[DIALOG_TEXT_MAX];

static void check_side(const struct dialog_side *side, struct span record)
{
	const struct span parts[] = { side->call_id, side->tag, side->target, side->routes, side->name };
	const struct span all = { text, sizeof text };

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		MUST(parts[i].length == 0 ||
			(parts[i].at >= all.at && parts[i].at + parts[i].length <= all.at + all.length) ||
			(parts[i].at >= record.at && parts[i].at + parts[i].length <= record.at + record.length));
}

/* What was read is written and read as the same. */
static void check_again(const struct dialog *dialog)
{
	static uint8_t one[DIALOG_RECORD_MAX], other[DIALOG_RECORD_MAX];
	static char other_text[DIALOG_TEXT_MAX];
	struct dialog again;
	size_t length = dialog_record_write(dialog, one);

	if (length == 0)
		return;
	MUST(dialog_record_read((struct span){ (char *)one, length }, other_text, &again) == DIALOG_RECORD_WHOLE);
	MUST(dialog_record_write(&again, other) == length && memcmp(one, other, length) == 0);
}

static void check(struct span record)
{
	struct dialog dialog;
	uint32_t expires;
	enum dialog_record_state state = dialog_record_read(record, text, &dialog);

	MUST(dialog_record_look(record, &expires) == state || state == DIALOG_RECORD_DAMAGED);
	if (state != DIALOG_RECORD_WHOLE)
		return;
	check_side(&dialog.caller, record);
	check_side(&dialog.callee, record);
	MUST(dialog.expires == expires);
	check_again(&dialog);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *sealed;

	check(fuzz_span(data, size));
	if (size < DIALOG_RECORD_MIN || size > DIALOG_RECORD_MAX)
		return 0;
	sealed = malloc(size);
	MUST(sealed != NULL);
	memcpy(sealed, data, size);
	dialog_record_seal(sealed, size);
	check(fuzz_span(sealed, size));
	free(sealed);
	return 0;
}
