#include "dialogs.h"

#include <stdlib.h>
#include <string.h>

#include "dialog_record.h"
#include "stirrup/log.h"

#define BUCKETS 16384
#define KEPT_BYTES_MAX (64u << 20) /* some hundred thousand calls */

/* A call that the store did not take. */
struct kept {
	struct kept *next;        /* of the same hash */
	struct dialog_keys keys;
	uint32_t expires;
	size_t length;
	uint8_t record[];
};

struct dialogs {
	struct dialog_store *store;      /* NULL: cannot be opened */
	struct kept *buckets[BUCKETS];
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
	if (dialogs->store == NULL)
		log_error("calls do not outlive this process: %s", why);
	return dialogs;
}

/* --- In memory --- */

static size_t bucket_of(const struct dialog_key *key)
{
	uint16_t bits;

	memcpy(&bits, key->bytes, sizeof bits);
	return bits % BUCKETS;
}

/* By the key of the caller's side; the other one's is looked for in all of them, as only few calls have one. */
static struct kept **find_kept(struct dialogs *dialogs, const struct dialog_key *key)
{
	struct kept **at = &dialogs->buckets[bucket_of(key)];

	if (dialogs->kept_bytes == 0)
		return NULL;
	for (; *at != NULL; at = &(*at)->next)
		if (dialog_key_equal(&(*at)->keys.key, key))
			return at;
	for (size_t i = 0; i < BUCKETS; i++)
		for (at = &dialogs->buckets[i]; *at != NULL; at = &(*at)->next)
			if ((*at)->keys.has_alias && dialog_key_equal(&(*at)->keys.alias, key))
				return at;
	return NULL;
}

static void drop_kept(struct dialogs *dialogs, struct kept **at)
{
	struct kept *kept = *at;

	*at = kept->next;
	dialogs->kept_bytes -= sizeof *kept + kept->length;
	free(kept);
}

static void keep(struct dialogs *dialogs, const struct dialog *dialog)
{
	size_t length = dialog_record_write(dialog, dialogs->record);
	struct kept *kept = length == 0 || dialogs->kept_bytes > KEPT_BYTES_MAX ? NULL : malloc(sizeof *kept + length);
	unsigned long suppressed;

	if (kept == NULL) {
		if (log_allowed(&dialogs->limiter, &suppressed))
			log_error("an established call is lost: neither the dialog store nor memory has room (%lu more before)",
				suppressed);
		return;
	}
	*kept = (struct kept){ .keys = dialog_keys_of(dialog), .expires = dialog->expires, .length = length };
	memcpy(kept->record, dialogs->record, length);
	kept->next = dialogs->buckets[bucket_of(&kept->keys.key)];
	dialogs->buckets[bucket_of(&kept->keys.key)] = kept;
	dialogs->kept_bytes += sizeof *kept + length;
}

static void sweep_kept(struct dialogs *dialogs, uint32_t now)
{
	struct kept **at = &dialogs->buckets[dialogs->sweep_at++ % BUCKETS];

	while (*at != NULL)
		if ((*at)->expires <= now)
			drop_kept(dialogs, at);
		else
			at = &(*at)->next;
}

void dialogs_free(struct dialogs *dialogs)
{
	if (dialogs == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (dialogs->buckets[i] != NULL)
			drop_kept(dialogs, &dialogs->buckets[i]);
	dialog_store_close(dialogs->store);
	free(dialogs);
}

/* --- Both --- */

bool dialogs_find(struct dialogs *dialogs, const struct dialog_key *key, struct dialog *dialog)
{
	struct kept **kept = dialogs == NULL ? NULL : find_kept(dialogs, key);

	if (kept != NULL) {
		struct span record = { (const char *)(*kept)->record, (*kept)->length };

		return dialog_record_read(record, dialogs->text, dialog) == DIALOG_RECORD_WHOLE;
	}
	return dialogs != NULL && dialogs->store != NULL &&
		dialog_store_find(dialogs->store, key, dialog) == DIALOG_FOUND;
}

bool dialogs_put(struct dialogs *dialogs, const struct dialog *dialog)
{
	struct dialog_keys keys = dialog_keys_of(dialog);
	struct kept **kept;

	if (dialogs == NULL)
		return false;
	/* The dialog may borrow from what was found, but not from what is kept. */
	kept = find_kept(dialogs, &keys.key);
	if (kept != NULL)
		drop_kept(dialogs, kept);
	if (dialogs->store != NULL && dialog_store_put(dialogs->store, dialog))
		return true;
	keep(dialogs, dialog);
	return false;
}

void dialogs_remove(struct dialogs *dialogs, const struct dialog *dialog)
{
	struct dialog_keys keys = dialog_keys_of(dialog);
	struct kept **kept;

	if (dialogs == NULL)
		return;
	if (dialogs->store != NULL)
		dialog_store_remove(dialogs->store, dialog);
	kept = find_kept(dialogs, &keys.key);
	if (kept != NULL)
		drop_kept(dialogs, kept);
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
	sweep_kept(dialogs, now);
	if (dialogs->store != NULL)
		dialog_store_sweep(dialogs->store, now, count);
}
