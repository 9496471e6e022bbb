#include "named_calls.h"

#include <string.h>

#include "dialogs.h"
#include "stirrup/dialog_ids.h"

#define NAMED_CALLS_MAX 64

struct naming {
	struct worker *worker;
	const struct peer *peer; /* and which side of its calls the message comes from */
	bool from_caller;
	unsigned left; /* a message may be nothing but Call-IDs: after so many they pass as they are */
};

/* The call that the caller's side, or the callee's, knows by that Call-ID; *other is what it is called on the other one. */
static bool find_known(const struct naming *naming, bool by_caller, const struct dialog_key *key, struct span *other,
	bool *is_the_peers)
{
	struct dialog dialog;

	if (!dialogs_find(naming->worker->dialogs, key, &dialog))
		return false;
	*other = by_caller ? dialog.callee.call_id : dialog.caller.call_id;
	*is_the_peers = dialog.peer == naming->peer->hash;
	return true;
}

/* Of a call that passes here twice the switch in the middle knows both passages by one Call-ID: it means the one that leads to
 * where its message goes. Else a Call-ID of our own, which is a callee's, comes first. */
static bool find_other_call_id(const struct naming *naming, struct span call_id, struct span one_tag, struct span other_tag,
	struct span *other)
{
	struct dialog_key of_caller, of_callee;
	bool is_the_peers;

	if (one_tag.length == 0 && other_tag.length == 0)
		return dialogs_other_call_id(naming->worker->dialogs, call_id, other);
	dialog_key(&of_caller, call_id, one_tag, other_tag);
	dialog_key_of_callee(&of_callee, call_id, one_tag, other_tag);
	if (naming->from_caller && find_known(naming, true, &of_caller, other, &is_the_peers) && is_the_peers)
		return true;
	return find_known(naming, false, &of_callee, other, &is_the_peers) ||
		find_known(naming, true, &of_caller, other, &is_the_peers);
}

static bool translate(struct span call_id, struct span one_tag, struct span other_tag, struct span *other, void *context)
{
	struct naming *naming = context;
	static char text[1024];

	if (naming->left == 0)
		return false;
	naming->left--;
	if (!find_other_call_id(naming, call_id, one_tag, other_tag, other) || !span_copy(text, sizeof text, *other))
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

bool named_calls_any(const struct sip_head *message)
{
	for (size_t i = 0; i < message->count; i++)
		if (names_calls(message->lines[i].kind))
			return true;
	return false;
}

void named_calls_translate(struct sip_edit *edit, struct worker *worker, const struct sip_head *message,
	const struct peer *peer, bool from_caller)
{
	struct naming naming = { worker, peer, from_caller, NAMED_CALLS_MAX };
	char text[2048];

	for (size_t i = 0; i < message->count; i++) {
		struct span changed;

		if (names_calls(message->lines[i].kind) &&
			dialog_ids_replace(&changed, text, sizeof text, message->lines[i].kind, message->lines[i].value,
				translate, &naming))
			sip_edit_replace(edit, i, changed);
	}
}
