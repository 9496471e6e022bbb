/* dialog_ids.h: header fields that name another call by its Call-ID, for a B2BUA whose two sides know it by different ones
 * (call_id = "new"). Pure. */
#ifndef STIRRUP_DIALOG_IDS_H
#define STIRRUP_DIALOG_IDS_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/sip_head.h"
#include "stirrup/span.h"

/* By which Call-ID the side that the message goes to knows the call; *other stands until the next call of this function. The
 * tags are those of the value, in whichever order, both empty where it has none (In-Reply-To). False: no call of ours. */
typedef bool dialog_ids_translate(struct span call_id, struct span one_tag, struct span other_tag, struct span *other,
	void *context);

/* Translates the Call-IDs of a Replaces (RFC 3891), Join (RFC 3911), Target-Dialog (RFC 4538) or In-Reply-To value (RFC 3261
 * section 20.21), or of those header fields within the URI of a Refer-To value (RFC 3261 section 19.1.1). All else stays byte
 * for byte, except that a header field within a URI is escaped anew when it changes. True: *changed is the new value, in out.
 * False, and the value stays as it is: nothing in it is known, or it does not fit. */
bool dialog_ids_replace(struct span *changed, char *out, size_t size, enum header_kind kind, struct span value,
	dialog_ids_translate *translate, void *context);

#endif
