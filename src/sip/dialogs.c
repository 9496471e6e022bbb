#include "dialogs.h"

#include <stdlib.h>
#include <string.h>

#include "call_id_pairs.h"
#include "dialog_record.h"
#include "stirrup/log.h"

#define BUCKETS 16384
#define KEPT_BYTES_MAX (64u << 20) /* some hundred thousand calls */

/* A call that the store did not take. */
struct kept {
	struct kept *next;       /* of the same hash of its key */
	struct kept *next_alias; /* the same of its alias, if it has one */
	struct dialog_keys keys;
	uint32_t expires;
	size_t length;
	uint8_t record[];
};

struct dialogs {
	struct dialog_store *store;  /* NULL: cannot be opened; then */
	struct call_id_pairs *pairs; /* those of the last calls; NULL: out of memory */
	struct kept *buckets[BUCKETS];
	struct kept *alias_buckets[BUCKETS];
	size_t kept_bytes;
	size_t sweep_at;
	struct log_limiter limiter;
	uint8_t record[DIALOG_RECORD_MAX];
	char text[DIALOG_TEXT_MAX];
};

struct dialogs *dialogs_new(const struct config *config)
{
	struct dialogs *dialogs = calloc(1, sizeof *dialogs);
	char why[256];

	if (dialogs == NULL)
		return NULL;
	dialogs->store = dialog_store_open(config->dialog_store, config->dialog_store_bytes, why, sizeof why);
	if (dialogs->store == NULL) {
		log_error("calls do not outlive this process: %s", why);
		dialogs->pairs = call_id_pairs_new();
	}
	return dialogs;
}

/* --- In memory --- */

static size_t bucket_of(const struct dialog_key *key)
{
	uint16_t bits;

	memcpy(&bits, key->bytes, sizeof bits);
	return bits % BUCKETS;
}

static struct kept *kept_by_key(const struct dialogs *dialogs, const struct dialog_key *key)
{
	struct kept *kept = dialogs->buckets[bucket_of(key)];

	while (kept != NULL && !dialog_key_equal(&kept->keys.key, key))
		kept = kept->next;
	return kept;
}

static struct kept *kept_by_alias(const struct dialogs *dialogs, const struct dialog_key *key)
{
	struct kept *kept = dialogs->alias_buckets[bucket_of(key)];

	while (kept != NULL && !dialog_key_equal(&kept->keys.alias, key))
		kept = kept->next_alias;
	return kept;
}

static void enter(struct dialogs *dialogs, struct kept *kept)
{
	struct kept **bucket = &dialogs->buckets[bucket_of(&kept->keys.key)];

	kept->next = *bucket;
	*bucket = kept;
	if (!kept->keys.has_alias)
		return;
	bucket = &dialogs->alias_buckets[bucket_of(&kept->keys.alias)];
	kept->next_alias = *bucket;
	*bucket = kept;
}

static void drop_kept(struct dialogs *dialogs, struct kept *kept)
{
	struct kept **at = &dialogs->buckets[bucket_of(&kept->keys.key)];

	while (*at != kept)
		at = &(*at)->next;
	*at = kept->next;
	if (kept->keys.has_alias) {
		at = &dialogs->alias_buckets[bucket_of(&kept->keys.alias)];
		while (*at != kept)
			at = &(*at)->next_alias;
		*at = kept->next_alias;
	}
	dialogs->kept_bytes -= sizeof *kept + kept->length;
	free(kept);
}

static bool lead_somewhere(const struct dialog_keys *keys)
{
	return dialog_key_leads_somewhere(&keys->key) &&
	       (!keys->has_alias || dialog_key_leads_somewhere(&keys->alias));
}

static void keep(struct dialogs *dialogs, const struct dialog *dialog, const struct dialog_keys *keys)
{
	size_t length = dialog_record_write(dialog, dialogs->record);
	bool has_room = length > 0 && dialogs->kept_bytes + sizeof(struct kept) + length <= KEPT_BYTES_MAX &&
			lead_somewhere(keys);
	struct kept *kept = has_room ? malloc(sizeof *kept + length) : NULL;
	unsigned long suppressed;

	if (kept == NULL) {
		if (log_allowed(&dialogs->limiter, &suppressed))
			log_error("an established call is lost: neither the dialog store nor memory has room "
				  "(%lu more before)",
				suppressed);
		return;
	}
	*kept = (struct kept){ .keys = *keys, .expires = dialog->expires, .length = length };
	memcpy(kept->record, dialogs->record, length);
	enter(dialogs, kept);
	dialogs->kept_bytes += sizeof *kept + length;
}

static void sweep_kept(struct dialogs *dialogs, uint32_t now, unsigned buckets)
{
	for (; buckets > 0 && dialogs->kept_bytes > 0; buckets--) {
		struct kept *kept = dialogs->buckets[dialogs->sweep_at++ % BUCKETS], *next;

		for (; kept != NULL; kept = next) {
			next = kept->next;
			if (kept->expires <= now)
				drop_kept(dialogs, kept);
		}
	}
}

void dialogs_free(struct dialogs *dialogs)
{
	if (dialogs == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (dialogs->buckets[i] != NULL)
			drop_kept(dialogs, dialogs->buckets[i]);
	dialog_store_close(dialogs->store);
	call_id_pairs_free(dialogs->pairs);
	free(dialogs);
}

/* --- Both --- */

bool dialogs_find(struct dialogs *dialogs, const struct dialog_key *key, struct dialog *dialog)
{
	struct kept *kept = NULL;

	if (dialogs == NULL || !dialog_key_leads_somewhere(key))
		return false;
	if (dialogs->kept_bytes > 0) {
		kept = kept_by_key(dialogs, key);
		if (kept == NULL)
			kept = kept_by_alias(dialogs, key);
	}
	if (kept != NULL) {
		struct span record = { (const char *)kept->record, kept->length };

		return dialog_record_read(record, dialogs->text, dialog) == DIALOG_RECORD_WHOLE;
	}
	return dialogs->store != NULL && dialog_store_find(dialogs->store, key, dialog) == DIALOG_FOUND;
}

bool dialogs_put(struct dialogs *dialogs, const struct dialog *dialog)
{
	struct dialog_keys keys = dialog_keys_of(dialog);
	struct kept *kept;
	bool survives;

	if (dialogs == NULL)
		return false;
	/* The dialog may borrow from what was found, but not from what is kept. */
	kept = kept_by_key(dialogs, &keys.key);
	if (kept != NULL)
		drop_kept(dialogs, kept);
	survives = dialogs->store != NULL && dialog_store_put(dialogs->store, dialog);
	if (!survives)
		keep(dialogs, dialog, &keys);
	dialogs_pair(dialogs, dialog->caller.call_id, dialog->callee.call_id);
	return survives;
}

void dialogs_remove(struct dialogs *dialogs, const struct dialog *dialog)
{
	struct dialog_keys keys = dialog_keys_of(dialog);
	struct kept *kept;

	if (dialogs == NULL)
		return;
	if (dialogs->store != NULL)
		dialog_store_remove(dialogs->store, dialog);
	kept = kept_by_key(dialogs, &keys.key);
	if (kept != NULL)
		drop_kept(dialogs, kept);
	dialogs_pair(dialogs, dialog->caller.call_id, dialog->callee.call_id);
}

void dialogs_pair(struct dialogs *dialogs, struct span caller_call_id, struct span callee_call_id)
{
	if (dialogs != NULL && dialogs->store != NULL)
		dialog_store_pair(dialogs->store, caller_call_id, callee_call_id);
	else if (dialogs != NULL && dialogs->pairs != NULL)
		call_id_pairs_put(dialogs->pairs, caller_call_id, callee_call_id);
}

bool dialogs_other_call_id(struct dialogs *dialogs, struct span call_id, struct span *other)
{
	if (dialogs != NULL && dialogs->store != NULL)
		return dialog_store_other_call_id(dialogs->store, call_id, other);
	return dialogs != NULL && dialogs->pairs != NULL &&
	       call_id_pairs_other(dialogs->pairs, call_id, other);
}

void dialogs_flush(struct dialogs *dialogs)
{
	if (dialogs != NULL && dialogs->store != NULL && dialog_store_is_dirty(dialogs->store))
		dialog_store_flush(dialogs->store);
}

void dialogs_sweep(struct dialogs *dialogs, uint32_t now, unsigned count)
{
	if (dialogs == NULL)
		return;
	sweep_kept(dialogs, now, count);
	if (dialogs->store == NULL)
		return;
	dialog_store_sweep(dialogs->store, now, count);
	dialog_store_flush(dialogs->store); /* pairs, that have waited for calls to come with */
}
