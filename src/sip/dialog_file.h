/* dialog_file.h: the file under the dialog store, an LMDB environment that all workers share: opening,
 * checking and setting it aside, and its transactions. */
#ifndef STIRRUP_SIP_DIALOG_FILE_H
#define STIRRUP_SIP_DIALOG_FILE_H

#include <limits.h>
#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>

/* Beside LMDB's own lock there is one on the directory, of whoever changes anything: it can be waited for no
 * longer than one wants to, and the kernel lets go of it when a process dies. */
struct dialog_file {
	char directory_path[PATH_MAX];
	size_t size;
	unsigned patience_s; /* with its opening */
	int directory;
	int data; /* locked (shared) by all who use the file */
	MDB_env *env;
	MDB_dbi calls;       /* key of the caller's side -> record */
	MDB_dbi aliases;     /* key of the callee's side -> key of the caller's side */
	MDB_dbi call_ids[2]; /* call_id_tables.h */
	MDB_txn *reader;
};

enum dialog_file_opening {
	DIALOG_FILE_FIRST,  /* may wait, for seconds if need be */
	DIALOG_FILE_AGAIN,  /* calls are waiting */
	DIALOG_FILE_REPAIR, /* the same, and it is known to be damaged */
};

/* False, and why; *file is then as closed. A file that is damaged, and one that nobody else uses, is copied
 * by a child process before anything believes it: LMDB trusts its file, and may crash or loop over a damaged
 * one. */
bool dialog_file_open(struct dialog_file *file, const char *directory, size_t size,
	enum dialog_file_opening opening, char *why, size_t why_size);
void dialog_file_close(struct dialog_file *file);
bool dialog_file_is_open(const struct dialog_file *file);

/* False: there is another file in its place now, or none. */
bool dialog_file_is_current(const struct dialog_file *file);

/* All of these return an error of LMDB or errno, 0: none. */
int dialog_file_begin_read(struct dialog_file *file); /* file->reader */
void dialog_file_end_read(struct dialog_file *file);

/* EBUSY: another process has been changing something for so long. */
int dialog_file_begin_write(struct dialog_file *file, long wait_us, MDB_txn **txn);
/* Commits if there is no fault yet. */
int dialog_file_end_write(struct dialog_file *file, MDB_txn *txn, int fault);

/* Pages that are used, and that there are. */
size_t dialog_file_pages_used(struct dialog_file *file, MDB_txn *txn);
size_t dialog_file_pages(const struct dialog_file *file);

/* Releases what processes that died have held. */
void dialog_file_forget_the_dead(struct dialog_file *file);

/* Whether such an error says that the file must not be used any more as it is, and whether its contents are
 * to blame. */
bool dialog_file_is_lost(int fault);
bool dialog_file_is_damaged(int fault);

#endif
