#include "call_id_tables.h"

#include <string.h>

/* Beside the Call-IDs in each table; longer than their keys. */
static char state_key[] = "taken from";

struct state {
	uint32_t turn; /* the later one takes, until it wraps around and beyond */
	uint32_t began;
};

static MDB_val state_name(void)
{
	return (MDB_val){ .mv_size = sizeof state_key, .mv_data = state_key };
}

static bool has_state(const MDB_val *value, struct state *state)
{
	if (value->mv_size != sizeof *state)
		return false;
	memcpy(state, value->mv_data, sizeof *state);
	return true;
}

static bool has_call_id(const MDB_val *value)
{
	return call_id_is_plain((struct span){ value->mv_data, value->mv_size });
}

bool call_id_tables_is_entry(const MDB_val *key, const MDB_val *value)
{
	struct state state;

	if (key->mv_size == sizeof state_key)
		return memcmp(key->mv_data, state_key, sizeof state_key) == 0 && has_state(value, &state);
	return key->mv_size == CALL_ID_KEY_BYTES && has_call_id(value);
}

/* *table is the one that takes; *state is all zero when it is new. */
static int find_taking(struct dialog_file *file, MDB_txn *txn, unsigned *table, struct state *state)
{
	struct state states[2] = { 0 };

	for (unsigned i = 0; i < 2; i++) {
		MDB_val key = state_name(), found;
		int fault = mdb_get(txn, file->call_ids[i], &key, &found);

		if (fault != 0 && fault != MDB_NOTFOUND)
			return fault;
		if (fault == 0 && !has_state(&found, &states[i]))
			states[i] = (struct state){ 0 };
	}
	*table = (int32_t)(states[1].turn - states[0].turn) > 0;
	*state = states[*table];
	return 0;
}

static bool has_its_share(struct dialog_file *file, MDB_txn *txn, MDB_dbi table)
{
	size_t share = dialog_file_pages(file) / CALL_ID_TABLE_PART;
	MDB_stat stat;

	if (share > CALL_ID_TABLE_PAGES_MAX)
		share = CALL_ID_TABLE_PAGES_MAX;
	return mdb_stat(txn, table, &stat) == 0 &&
	       stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages > share;
}

/* The table to write to, made ready for it. */
static int take_turns(struct dialog_file *file, MDB_txn *txn, uint32_t now, MDB_dbi *into)
{
	MDB_val key = state_name(), value;
	struct state state;
	unsigned table;
	int fault = find_taking(file, txn, &table, &state);

	if (fault != 0)
		return fault;
	*into = file->call_ids[table];
	if (state.turn != 0) {
		bool is_old = now > state.began && now - state.began >= CALL_ID_TABLE_S;

		if (!is_old && !has_its_share(file, txn, *into))
			return 0;
		*into = file->call_ids[!table];
		fault = mdb_drop(txn, *into, 0);
	}
	state = (struct state){ .turn = state.turn + 1 == 0 ? 1 : state.turn + 1, .began = now };
	value = (MDB_val){ .mv_size = sizeof state, .mv_data = &state };
	return fault == 0 ? mdb_put(txn, *into, &key, &value, 0) : fault;
}

/* What stands there already costs no page. */
static int write_one(MDB_txn *txn, MDB_dbi into, const struct call_id_key *key, struct span call_id)
{
	MDB_val name = { sizeof key->bytes, (void *)(uintptr_t)key->bytes };
	MDB_val value = { call_id.length, (void *)(uintptr_t)call_id.at }, found;
	int fault = mdb_get(txn, into, &name, &found);

	if (fault == 0 && found.mv_size == call_id.length &&
		memcmp(found.mv_data, call_id.at, call_id.length) == 0)
		return 0;
	return fault == 0 || fault == MDB_NOTFOUND ? mdb_put(txn, into, &name, &value, 0) : fault;
}

int call_id_tables_write(
	struct dialog_file *file, MDB_txn *txn, const struct call_id_pairs *pairs, uint32_t now)
{
	MDB_dbi into;
	int fault;

	if (call_id_pairs_count(pairs) == 0)
		return 0;
	fault = take_turns(file, txn, now, &into);
	for (size_t i = 0; fault == 0 && i < call_id_pairs_count(pairs); i++) {
		const struct call_id_pair *pair = call_id_pairs_at(pairs, i);

		fault = write_one(
			txn, into, &pair->keys[CALL_SIDE_CALLER], call_id_of(pair, CALL_SIDE_CALLEE));
		if (fault == 0)
			fault = write_one(
				txn, into, &pair->keys[CALL_SIDE_CALLEE], call_id_of(pair, CALL_SIDE_CALLER));
	}
	return fault;
}

int call_id_tables_find(
	struct dialog_file *file, const struct call_id_key *key, char text[CALL_ID_MAX], struct span *other)
{
	struct state state;
	unsigned table;
	int fault = find_taking(file, file->reader, &table, &state);

	for (unsigned i = 0; fault == 0 && i < 2; i++) {
		MDB_val name = { sizeof key->bytes, (void *)(uintptr_t)key->bytes }, found;

		fault = mdb_get(file->reader, file->call_ids[table ^ i], &name, &found);
		if (fault == 0 && has_call_id(&found)) {
			memcpy(text, found.mv_data, found.mv_size);
			*other = (struct span){ text, found.mv_size };
			return 0;
		}
		if (fault == MDB_NOTFOUND)
			fault = 0;
	}
	return fault == 0 ? MDB_NOTFOUND : fault;
}
