#include "stirrup/dialog_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call_id_pairs.h"
#include "call_id_tables.h"
#include "dialog_changes.h"
#include "dialog_file.h"
#include "dialog_record.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"

#define SIZE_MIN (1 << 20)
#define AT_ONCE 512           /* changes in one transaction */
#define AT_ONCE_IN_TROUBLE 16 /* at most; then each takes less room */
#define LOCK_WAIT_US 20000
#define LOCK_WAIT_IN_TROUBLE_US 1000
#define RETRY_US 100000
#define LOOK_US 1000000
/* Pages that no call may take: LMDB writes what it changes to other pages, so that also a removal needs some.
 */
#define SPARE_PAGES_MIN 64
#define SPARE_PAGES_MAX 1024
#define SPARE_PART 16

struct dialog_store {
	struct dialog_file file;
	struct dialog_changes *changes;
	struct call_id_pairs *pairs; /* that wait to be written */
	size_t size;
	bool in_trouble; /* the last attempt to write has failed */
	int64_t retry_at;
	int64_t look_at;                  /* for the dead, and for another file in its place */
	int64_t open_at;                  /* not again before */
	enum dialog_file_opening opening; /* how, next time */
	struct log_limiter write_limiter, read_limiter;
	struct dialog_key sweep_at;
	struct dialog_key last_key;
	size_t last_length;              /* 0: none */
	uint8_t last[DIALOG_RECORD_MAX]; /* the record that was found last */
	uint8_t record[DIALOG_RECORD_MAX];
	char text[DIALOG_TEXT_MAX];
	char call_id[CALL_ID_MAX];
};

static MDB_val value_of_key(const struct dialog_key *key)
{
	return (MDB_val){ .mv_size = sizeof key->bytes, .mv_data = (void *)(uintptr_t)key->bytes };
}

/* --- Opening, and opening again --- */

struct dialog_store *dialog_store_open(const char *directory, size_t size, char *why, size_t why_size)
{
	struct dialog_store *store = calloc(1, sizeof *store);

	snprintf(why, why_size, "out of memory");
	if (store == NULL)
		return NULL;
	store->size = (size < SIZE_MIN ? SIZE_MIN : size) / 4096 * 4096;
	store->file = (struct dialog_file){ .directory = -1, .data = -1 };
	store->opening = DIALOG_FILE_AGAIN;
	store->changes = dialog_changes_new();
	store->pairs = call_id_pairs_new();
	if (store->changes == NULL || store->pairs == NULL ||
		!dialog_file_open(&store->file, directory, store->size, DIALOG_FILE_FIRST, why, why_size)) {
		dialog_store_close(store);
		return NULL;
	}
	why[0] = '\0';
	store->look_at = monotonic_us() + LOOK_US;
	return store;
}

void dialog_store_close(struct dialog_store *store)
{
	if (store == NULL)
		return;
	if (dialog_file_is_open(&store->file))
		dialog_store_flush(store);
	dialog_file_close(&store->file);
	dialog_changes_free(store->changes);
	call_id_pairs_free(store->pairs);
	free(store);
}

static void report(struct dialog_store *store, struct log_limiter *limiter, const char *what, const char *why)
{
	unsigned long suppressed;

	if (log_allowed(limiter, &suppressed))
		log_error("the dialog store %s cannot be %s (nor %lu times before): %s",
			store->file.directory_path, what, suppressed, why);
}

/* What happens again and again is not worth more than one attempt in a second: it may copy the file. */
static void open_again(struct dialog_store *store)
{
	char directory[PATH_MAX], why[PATH_MAX + 128];
	int64_t now = monotonic_us();

	memcpy(directory, store->file.directory_path, sizeof directory);
	store->last_length = 0;
	dialog_file_close(&store->file);
	if (now < store->open_at)
		return;
	if (dialog_file_open(&store->file, directory, store->size, store->opening, why, sizeof why))
		store->opening = DIALOG_FILE_AGAIN;
	else
		report(store, &store->read_limiter, "opened", why);
	store->open_at = monotonic_us() + LOOK_US;
}

static void look_around(struct dialog_store *store)
{
	int64_t now = monotonic_us();

	if (now < store->look_at)
		return;
	if (!dialog_file_is_open(&store->file) || !dialog_file_is_current(&store->file))
		open_again(store);
	else
		dialog_file_forget_the_dead(&store->file);
	store->look_at = monotonic_us() + LOOK_US;
}

static void on_fault(struct dialog_store *store, struct log_limiter *limiter, const char *what, int fault)
{
	report(store, limiter, what,
		fault == EBUSY ? "another process is writing it and does not come to an end"
			       : mdb_strerror(fault));
	if (!dialog_file_is_lost(fault))
		return;
	if (dialog_file_is_damaged(fault))
		store->opening = DIALOG_FILE_REPAIR;
	open_again(store);
}

/* --- Finding --- */

static enum dialog_found removed_as_damaged(struct dialog_store *store, const struct dialog_keys *keys)
{
	unsigned long suppressed;

	if (log_allowed(&store->read_limiter, &suppressed))
		log_warning("the dialog store %s: a record is damaged, and removed (and %lu before it)",
			store->file.directory_path, suppressed);
	dialog_changes_remove(store->changes, keys);
	return DIALOG_UNKNOWN;
}

/* Copies the record that the key, or its alias, leads to. */
static int read_record(struct dialog_store *store, struct dialog_keys *keys)
{
	struct dialog_file *file = &store->file;
	MDB_val key = value_of_key(&keys->key), found;
	int fault = mdb_get(file->reader, file->calls, &key, &found);

	if (fault == MDB_NOTFOUND) {
		fault = mdb_get(file->reader, file->aliases, &key, &found);
		if (fault == 0 && found.mv_size != DIALOG_KEY_BYTES)
			fault = MDB_NOTFOUND;
		if (fault == 0) {
			keys->has_alias = true;
			keys->alias = keys->key;
			memcpy(keys->key.bytes, found.mv_data, DIALOG_KEY_BYTES);
			key = value_of_key(&keys->key);
			fault = mdb_get(file->reader, file->calls, &key, &found);
		}
	}
	if (fault != 0)
		return fault;
	/* A longer one is none of ours, and what there is of it is not whole. */
	store->last_length = found.mv_size < sizeof store->last ? found.mv_size : sizeof store->last;
	memcpy(store->last, found.mv_data, store->last_length);
	store->last_key = keys->key;
	return 0;
}

static enum dialog_found find_in_file(
	struct dialog_store *store, const struct dialog_key *key, struct dialog *dialog)
{
	struct dialog_keys keys = { .key = *key };
	struct dialog_key callee;
	int fault;

	if (!dialog_file_is_open(&store->file))
		return DIALOG_STORE_FAILED;
	store->last_length = 0;
	fault = dialog_file_begin_read(&store->file);
	if (fault == 0) {
		fault = read_record(store, &keys);
		dialog_file_end_read(&store->file);
	}
	if (fault == MDB_NOTFOUND)
		return DIALOG_UNKNOWN;
	if (fault != 0) {
		on_fault(store, &store->read_limiter, "read", fault);
		return DIALOG_STORE_FAILED;
	}
	switch (dialog_record_read(
		(struct span){ (char *)store->last, store->last_length }, store->text, dialog)) {
	case DIALOG_RECORD_NEWER:
		return DIALOG_UNKNOWN;
	case DIALOG_RECORD_DAMAGED:
		store->last_length = 0;
		return removed_as_damaged(store, &keys);
	case DIALOG_RECORD_WHOLE:
		break;
	}
	if (!keys.has_alias)
		return DIALOG_FOUND;
	/* What an alias leads to may have come from another call since. */
	dialog_key_of_callee(&callee, dialog->callee.call_id, dialog->caller.tag, dialog->callee.tag);
	return dialog_key_equal(&callee, key) ? DIALOG_FOUND : DIALOG_UNKNOWN;
}

enum dialog_found dialog_store_find(
	struct dialog_store *store, const struct dialog_key *key, struct dialog *dialog)
{
	const struct dialog_change *change;
	enum dialog_record_state state;

	if (!dialog_key_leads_somewhere(key))
		return DIALOG_UNKNOWN;
	look_around(store);
	change = dialog_changes_find(store->changes, key);
	if (change == NULL)
		return find_in_file(store, key, dialog);
	if (change->kind != DIALOG_PUT)
		return DIALOG_UNKNOWN;
	state = dialog_record_read(
		(struct span){ (char *)change->record, change->length }, store->text, dialog);
	return state == DIALOG_RECORD_WHOLE ? DIALOG_FOUND : DIALOG_UNKNOWN;
}

static bool find_call_id_in_file(
	struct dialog_store *store, const struct call_id_key *key, struct span *other)
{
	int fault;

	if (!dialog_file_is_open(&store->file))
		return false;
	fault = dialog_file_begin_read(&store->file);
	if (fault == 0) {
		fault = call_id_tables_find(&store->file, key, store->call_id, other);
		dialog_file_end_read(&store->file);
	}
	if (fault != 0 && fault != MDB_NOTFOUND)
		on_fault(store, &store->read_limiter, "read", fault);
	return fault == 0;
}

bool dialog_store_other_call_id(struct dialog_store *store, struct span call_id, struct span *other)
{
	look_around(store);
	for (enum call_side side = 0; side < CALL_SIDES && call_id_is_plain(call_id); side++) {
		const struct call_id_pair *pair;
		struct call_id_key key;

		if (!call_id_key(&key, side, call_id))
			return false;
		pair = call_id_pairs_find(store->pairs, side, &key);
		if (pair != NULL)
			*other = call_id_of(pair, call_side_other(side));
		if (pair != NULL || find_call_id_in_file(store, &key, other))
			return true;
	}
	return false;
}

/* --- Writing --- */

static int write_put(struct dialog_file *file, MDB_txn *txn, const struct dialog_change *change)
{
	MDB_val key = value_of_key(&change->keys.key);
	MDB_val record = { change->length, change->record };
	MDB_val alias = value_of_key(&change->keys.alias);
	int fault = mdb_put(txn, file->calls, &key, &record, 0);

	if (fault == 0 && change->keys.has_alias)
		fault = mdb_put(txn, file->aliases, &alias, &key, 0);
	return fault;
}

static int erase(MDB_txn *txn, MDB_dbi dbi, const struct dialog_key *which)
{
	MDB_val key = value_of_key(which);
	int fault = mdb_del(txn, dbi, &key, NULL);

	return fault == MDB_NOTFOUND ? 0 : fault;
}

/* Unless it leads to another call by now. */
static int erase_alias(struct dialog_file *file, MDB_txn *txn, const struct dialog_keys *keys)
{
	MDB_val alias = value_of_key(&keys->alias), found;
	int fault = mdb_get(txn, file->aliases, &alias, &found);

	if (fault == MDB_NOTFOUND)
		return 0;
	if (fault == 0 && found.mv_size == DIALOG_KEY_BYTES &&
		memcmp(found.mv_data, keys->key.bytes, DIALOG_KEY_BYTES) != 0)
		return 0;
	return fault == 0 ? erase(txn, file->aliases, &keys->alias) : fault;
}

static bool was_refreshed(struct dialog_file *file, MDB_txn *txn, const struct dialog_change *change)
{
	MDB_val key = value_of_key(&change->keys.key), found;
	uint32_t expires;

	return mdb_get(txn, file->calls, &key, &found) == 0 &&
	       dialog_record_look((struct span){ found.mv_data, found.mv_size }, &expires) !=
		       DIALOG_RECORD_DAMAGED &&
	       expires > change->now;
}

static int write_removal(struct dialog_file *file, MDB_txn *txn, const struct dialog_change *change)
{
	int fault;

	if (change->kind == DIALOG_EXPIRE && was_refreshed(file, txn, change))
		return 0;
	fault = erase(txn, file->calls, &change->keys.key);
	if (fault == 0 && change->keys.has_alias)
		fault = erase_alias(file, txn, &change->keys);
	return fault;
}

static size_t pages_for_calls(const struct dialog_file *file)
{
	size_t pages = dialog_file_pages(file), spare = pages / SPARE_PART;

	if (spare < SPARE_PAGES_MIN)
		spare = SPARE_PAGES_MIN;
	if (spare > SPARE_PAGES_MAX)
		spare = SPARE_PAGES_MAX;
	return pages > spare ? pages - spare : 0;
}

enum which { ALL, REMOVALS };

static bool is_wanted(const struct dialog_change *change, enum which which)
{
	return !change->written && (which == ALL || change->kind != DIALOG_PUT);
}

/* They come with the last changes, and while there is trouble not at all. */
static bool may_write_pairs(const struct dialog_store *store, enum which which, size_t at)
{
	return which == ALL && !store->in_trouble && at >= dialog_changes_count(store->changes);
}

/* In one transaction, the changes from *from on, not more than so many. */
static int write_some(struct dialog_store *store, enum which which, size_t most, size_t *from)
{
	struct dialog_file *file = &store->file;
	size_t count = dialog_changes_count(store->changes), at = *from, written = 0, used;
	MDB_txn *txn;
	int fault = dialog_file_begin_write(
		file, store->in_trouble ? LOCK_WAIT_IN_TROUBLE_US : LOCK_WAIT_US, &txn);

	if (fault != 0)
		return fault;
	used = dialog_file_pages_used(file, txn);
	for (; fault == 0 && at < count && written < most; at++) {
		const struct dialog_change *change = dialog_changes_at(store->changes, at);

		if (!is_wanted(change, which))
			continue;
		fault = change->kind == DIALOG_PUT ? write_put(file, txn, change)
						   : write_removal(file, txn, change);
		written++;
	}
	if (fault == 0 && may_write_pairs(store, which, at))
		fault = call_id_tables_write(file, txn, store->pairs, (uint32_t)(wall_us() / 1000000));
	if (fault == 0 && dialog_file_pages_used(file, txn) > used &&
		dialog_file_pages_used(file, txn) > pages_for_calls(file))
		fault = MDB_MAP_FULL;
	fault = dialog_file_end_write(file, txn, fault);
	for (; fault == 0 && *from < at; ++*from) {
		struct dialog_change *change = dialog_changes_at(store->changes, *from);

		change->written = change->written || is_wanted(change, which);
	}
	if (fault == 0 && may_write_pairs(store, which, at))
		call_id_pairs_clear(store->pairs);
	return fault;
}

static int write_all(struct dialog_store *store)
{
	size_t count = dialog_changes_count(store->changes), from = 0;
	int fault;

	do
		fault = write_some(store, ALL, AT_ONCE, &from);
	while (fault == 0 && from < count);
	return fault;
}

/* What a transaction has written anew gives back the pages of before only to the next but one: less at once
 * may have room where more has none, and makes some for more. */
static int write_in_trouble(struct dialog_store *store, enum which which)
{
	size_t count = dialog_changes_count(store->changes), from = 0, most = AT_ONCE_IN_TROUBLE;
	int fault = 0;

	while (fault == 0 && from < count) {
		fault = write_some(store, which, most, &from);
		if (fault == MDB_MAP_FULL && most > 1) {
			most /= 2;
			fault = 0;
		} else if (most < AT_ONCE_IN_TROUBLE) {
			most *= 2;
		}
	}
	return fault;
}

bool dialog_store_flush(struct dialog_store *store)
{
	int fault;

	if (dialog_changes_count(store->changes) == 0 && call_id_pairs_count(store->pairs) == 0)
		return true;
	look_around(store);
	if ((store->in_trouble && monotonic_us() < store->retry_at) || !dialog_file_is_open(&store->file))
		return false;
	store->last_length = 0;
	fault = store->in_trouble ? MDB_MAP_FULL : write_all(store);
	if (fault == MDB_MAP_FULL && !store->in_trouble)
		call_id_pairs_clear(store->pairs); /* calls have the room that there is */
	if (fault == MDB_MAP_FULL) {
		dialog_file_forget_the_dead(&store->file); /* who kept pages from being used again */
		fault = write_in_trouble(store, REMOVALS);
		if (fault == 0)
			fault = write_in_trouble(store, ALL);
	}
	dialog_changes_settle(store->changes);
	if (fault != 0) {
		on_fault(store, &store->write_limiter, "written", fault);
		store->retry_at = monotonic_us() + RETRY_US;
	}
	store->in_trouble = fault != 0;
	return fault == 0;
}

bool dialog_store_is_dirty(const struct dialog_store *store)
{
	return dialog_changes_count(store->changes) > 0;
}

static bool was_found_last(const struct dialog_store *store, const struct dialog_key *key)
{
	return store->last_length > 0 && dialog_key_equal(&store->last_key, key);
}

static bool not_kept(struct dialog_store *store, const char *why)
{
	report(store, &store->write_limiter, "given a call", why);
	return false;
}

bool dialog_store_put(struct dialog_store *store, const struct dialog *dialog)
{
	struct dialog_keys keys = dialog_keys_of(dialog);
	struct span record = { (char *)store->record, dialog_record_write(dialog, store->record) };
	bool known = was_found_last(store, &keys.key);

	if (record.length == 0)
		return not_kept(store, "it is too long");
	if (!dialog_key_leads_somewhere(&keys.key) ||
		(keys.has_alias && !dialog_key_leads_somewhere(&keys.alias)))
		return not_kept(store, "out of memory");
	if (known && dialog_changes_find(store->changes, &keys.key) == NULL &&
		store->last_length == record.length && memcmp(store->last, record.at, record.length) == 0)
		return true;
	if (!dialog_changes_put(store->changes, &keys, record, known)) {
		dialog_store_flush(store);
		if (!dialog_changes_put(store->changes, &keys, record, known))
			return not_kept(store, "there is no room for what waits to be written");
	}
	return !store->in_trouble && dialog_file_is_open(&store->file);
}

void dialog_store_remove(struct dialog_store *store, const struct dialog *dialog)
{
	struct dialog_keys keys = dialog_keys_of(dialog);

	if (dialog_changes_remove(store->changes, &keys))
		return;
	dialog_store_flush(store);
	dialog_changes_remove(store->changes, &keys); /* else its age removes it */
}

void dialog_store_pair(struct dialog_store *store, struct span caller_call_id, struct span callee_call_id)
{
	if (call_id_pairs_count(store->pairs) == CALL_ID_PAIRS_MAX)
		dialog_store_flush(store);
	call_id_pairs_put(store->pairs, caller_call_id, callee_call_id);
}

/* --- Cleaning up --- */

/* False: there is no room for another change now. */
static bool sweep_one(struct dialog_store *store, const struct dialog_key *key, struct span record,
	uint32_t now, unsigned *removed)
{
	struct dialog_keys keys = { .key = *key };
	struct dialog dialog;
	uint32_t expires = 0;
	enum dialog_record_state state = dialog_record_look(record, &expires);

	if ((state != DIALOG_RECORD_DAMAGED && expires > now) ||
		dialog_changes_find(store->changes, key) != NULL)
		return true;
	if (dialog_record_read(record, store->text, &dialog) == DIALOG_RECORD_WHOLE) {
		keys = dialog_keys_of(&dialog);
		keys.key = *key;
	}
	if (!dialog_changes_expire(store->changes, &keys, now))
		return false;
	++*removed;
	return true;
}

/* A key of another length is none of ours, and could not be gone past. */
static int step(MDB_cursor *cursor, MDB_val *key, MDB_val *found, MDB_cursor_op where)
{
	int fault = mdb_cursor_get(cursor, key, found, where);

	return fault == 0 && key->mv_size != DIALOG_KEY_BYTES ? MDB_CORRUPTED : fault;
}

static int sweep_some(struct dialog_store *store, uint32_t now, unsigned count, unsigned *removed)
{
	struct dialog_key at = store->sweep_at;
	MDB_val key = value_of_key(&at), found;
	MDB_cursor *cursor;
	int fault = mdb_cursor_open(store->file.reader, store->file.calls, &cursor);

	if (fault != 0)
		return fault;
	fault = step(cursor, &key, &found, MDB_SET_RANGE);
	for (; fault == 0; count--) {
		memcpy(store->sweep_at.bytes, key.mv_data, sizeof at.bytes);
		if (count == 0 || !sweep_one(store, &store->sweep_at,
					  (struct span){ found.mv_data, found.mv_size }, now, removed))
			break;
		fault = step(cursor, &key, &found, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	if (fault == MDB_NOTFOUND) { /* the end, and from the start again */
		store->sweep_at = (struct dialog_key){ 0 };
		fault = 0;
	}
	return fault;
}

unsigned dialog_store_sweep(struct dialog_store *store, uint32_t now, unsigned count)
{
	unsigned removed = 0;
	int fault;

	look_around(store);
	if (!dialog_file_is_open(&store->file))
		return 0;
	fault = dialog_file_begin_read(&store->file);
	if (fault == 0) {
		fault = sweep_some(store, now, count, &removed);
		dialog_file_end_read(&store->file);
	}
	if (fault != 0)
		on_fault(store, &store->read_limiter, "swept", fault);
	return removed;
}

size_t dialog_store_count(struct dialog_store *store)
{
	MDB_stat stat = { 0 };

	if (dialog_file_is_open(&store->file) && dialog_file_begin_read(&store->file) == 0) {
		mdb_stat(store->file.reader, store->file.calls, &stat);
		dialog_file_end_read(&store->file);
	}
	return stat.ms_entries;
}
