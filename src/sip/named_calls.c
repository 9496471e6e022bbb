#include "named_calls.h"

#include <string.h>

#include "dialogs.h"
#include "stirrup/dialog_ids.h"

#define NAMED_CALLS_MAX 64

struct naming {
	struct worker *worker;
	unsigned left; /* a message may be nothing but Call-IDs: after so many they pass as they are */
};

static bool find_other_call_id(struct worker *worker, struct span call_id, struct span one_tag, struct span other_tag,
	struct span *other)
{
	struct dialog_key key;
	struct dialog dialog;

	if (one_tag.length == 0 && other_tag.length == 0)
		return dialogs_other_call_id(worker->dialogs, call_id, other);
	dialog_key_of_callee(&key, call_id, one_tag, other_tag);
	if (dialogs_find(worker->dialogs, &key, &dialog)) {
		*other = dialog.caller.call_id;
		return true;
	}
	dialog_key(&key, call_id, one_tag, other_tag);
	if (!dialogs_find(worker->dialogs, &key, &dialog))
		return false;
	*other = dialog.callee.call_id;
	return true;
}

static bool translate(struct span call_id, struct span one_tag, struct span other_tag, struct span *other, void *context)
{
	struct naming *naming = context;
	static char text[1024];

	if (naming->left == 0)
		return false;
	naming->left--;
	if (!find_other_call_id(naming->worker, call_id, one_tag, other_tag, other) || !span_copy(text, sizeof text, *other))
		return false;
	*other = span_of(text);
	/* Of one Call-ID on both legs nothing is to be written anew: another form of the same is a change, too. */
	return other->length != call_id.length || memcmp(other->at, call_id.at, call_id.length) != 0;
}

static bool names_calls(enum header_kind kind)
{
	return kind == HEADER_REPLACES || kind == HEADER_JOIN || kind == HEADER_TARGET_DIALOG || kind == HEADER_IN_REPLY_TO ||
		kind == HEADER_REFER_TO;
}

void named_calls_translate(struct sip_edit *edit, struct worker *worker, const struct sip_head *message)
{
	struct naming naming = { worker, NAMED_CALLS_MAX };
	char text[2048];

	for (size_t i = 0; i < message->count; i++) {
		struct span changed;

		if (names_calls(message->lines[i].kind) &&
			dialog_ids_replace(&changed, text, sizeof text, message->lines[i].kind, message->lines[i].value,
				translate, &naming))
			sip_edit_replace(edit, i, changed);
	}
}
