/* call_id_tables.h: which two Call-IDs are of one call, in the file of the dialog store. There are two
 * tables. What comes goes into one of them until that has taken for a day, or has its share of the file; then
 * the other one is emptied and takes over. */
#ifndef STIRRUP_SIP_CALL_ID_TABLES_H
#define STIRRUP_SIP_CALL_ID_TABLES_H

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "call_id_pairs.h"
#include "dialog_file.h"
#include "stirrup/span.h"

#define CALL_ID_TABLE_S 86400
/* Of the file, for each; not more than can be emptied at once without others waiting for it. */
#define CALL_ID_TABLE_PART 16
#define CALL_ID_TABLE_PAGES_MAX 16384

/* now: since 1970, seconds. Returns an error of LMDB; 0: none. */
int call_id_tables_write(
	struct dialog_file *file, MDB_txn *txn, const struct call_id_pairs *pairs, uint32_t now);

/* In file->reader. *other is what the other side calls it, in text. Returns an error of LMDB. */
int call_id_tables_find(
	struct dialog_file *file, const struct call_id_key *key, char text[CALL_ID_MAX], struct span *other);

/* Whether anything of this program wrote it. */
bool call_id_tables_is_entry(const MDB_val *key, const MDB_val *value);

#endif
