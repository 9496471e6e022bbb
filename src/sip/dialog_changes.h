/* dialog_changes.h: what was put into the dialog store, or removed from it, and is not written yet. Bounded:
 * while nothing can be written, new calls fill three quarters of it, and the rest is left for what concerns
 * calls that are in the store: removals, since only those make room again, and what would else be remembered
 * wrongly. */
#ifndef STIRRUP_SIP_DIALOG_CHANGES_H
#define STIRRUP_SIP_DIALOG_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dialog_record.h"

#define DIALOG_CHANGES_MAX 4096
#define DIALOG_CHANGES_NEW_MAX (DIALOG_CHANGES_MAX / 4 * 3)
#define DIALOG_CHANGES_BYTES_MAX (8 << 20) /* of records */

enum dialog_change_kind {
	DIALOG_PUT,
	DIALOG_REMOVE,
	DIALOG_EXPIRE, /* removed if it then has expired still: another process may have refreshed it in
			  between */
};

struct dialog_change {
	enum dialog_change_kind kind;
	struct dialog_keys keys;
	uint32_t now;    /* EXPIRE */
	uint8_t *record; /* PUT */
	size_t length;
	bool written; /* for the owner to set */
	uint16_t slots[2];
};

struct dialog_changes;

struct dialog_changes *dialog_changes_new(void);          /* NULL when out of memory */
void dialog_changes_free(struct dialog_changes *changes); /* NULL is fine */

/* One change for each call: a later one takes the place of an earlier one. False: there is no room, or
 * another call that is being changed has one of these keys; then what waits must be written first. known: the
 * call is in the store. */
bool dialog_changes_put(
	struct dialog_changes *changes, const struct dialog_keys *keys, struct span record, bool known);
bool dialog_changes_remove(struct dialog_changes *changes, const struct dialog_keys *keys);
bool dialog_changes_expire(struct dialog_changes *changes, const struct dialog_keys *keys, uint32_t now);

/* By either key, borrowed until something changes; NULL: none. */
const struct dialog_change *dialog_changes_find(
	const struct dialog_changes *changes, const struct dialog_key *key);

size_t dialog_changes_count(const struct dialog_changes *changes);
struct dialog_change *dialog_changes_at(struct dialog_changes *changes, size_t index);

/* Forgets those that are marked as written. */
void dialog_changes_settle(struct dialog_changes *changes);

#endif
