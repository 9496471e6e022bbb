#include "dialog_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "call_id_tables.h"
#include "dialog_record.h"
#include "stirrup/log.h"
#include "stirrup/span.h"

#define DATA_FILE "data.mdb"
#define LOCK_FILE DATA_FILE "-lock" /* LMDB's */
#define COPY_FILE "copy.mdb"
#define DAMAGED_MAX 4
#define CALLS "calls"
#define ALIASES "aliases"
#define DATABASES 4
#define LOCK_FILE_BYTES 36864 /* room for some 570 processes at once */
#define MODE 0600
/* Without waiting for the disk: what is written outlives the process, and a machine that crashes ends its
 * calls anyway. Not MDB_WRITEMAP: it would save 3 us a transaction, and kill the process (SIGBUS) when the
 * disk is full. */
#define FLAGS (MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS)
#define COPIED_AT_ONCE 1000
#define COPYING_S 20 /* and for a large file more */
#define COPYING_AGAIN_S 2
#define COPYING_BYTES_PER_S (32 << 20)
#define ROOM_BYTES (1 << 20)
#define LOCK_STEP_US 50
#define LOCK_AGAIN_US 20000
#define SECOND_US 1000000L

/* MDB_BAD_TXN too: what makes a transaction bad here is a page that is not what it should be. */
bool dialog_file_is_damaged(int fault)
{
	return fault == MDB_CORRUPTED || fault == MDB_PAGE_NOTFOUND || fault == MDB_INVALID ||
	       fault == MDB_VERSION_MISMATCH || fault == MDB_INCOMPATIBLE || fault == MDB_CURSOR_FULL ||
	       fault == MDB_PAGE_FULL || fault == MDB_BAD_TXN || fault == MDB_BAD_DBI;
}

bool dialog_file_is_lost(int fault)
{
	return dialog_file_is_damaged(fault) || fault == MDB_PANIC;
}

/* --- The environment --- */

static const char *const call_ids_names[2] = { "call-ids-0", "call-ids-1" };

struct path {
	char text[PATH_MAX + 32];
};

static struct path path_of(const char *directory, const char *name)
{
	struct path path;

	snprintf(path.text, sizeof path.text, "%s/%s", directory, name);
	return path;
}

static int open_databases(struct dialog_file *file)
{
	MDB_txn *txn;
	int fault = mdb_txn_begin(file->env, NULL, 0, &txn);

	if (fault != 0)
		return fault;
	fault = mdb_dbi_open(txn, CALLS, MDB_CREATE, &file->calls);
	if (fault == 0)
		fault = mdb_dbi_open(txn, ALIASES, MDB_CREATE, &file->aliases);
	for (int i = 0; fault == 0 && i < 2; i++)
		fault = mdb_dbi_open(txn, call_ids_names[i], MDB_CREATE, &file->call_ids[i]);
	if (fault == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return fault;
}

static int open_env(
	const char *directory, const char *name, size_t size, unsigned flags, struct dialog_file *file)
{
	int fault = mdb_env_create(&file->env);

	if (fault != 0)
		return fault;
	fault = mdb_env_set_mapsize(file->env, size);
	if (fault == 0)
		fault = mdb_env_set_maxdbs(file->env, DATABASES);
	if (fault == 0)
		fault = mdb_env_open(file->env, path_of(directory, name).text, FLAGS | flags, MODE);
	if (fault == 0)
		fault = open_databases(file);
	if (fault != 0) {
		mdb_env_close(file->env);
		file->env = NULL;
	}
	return fault;
}

/* LMDB maps it: on a full disk the first touch of a page that is not there yet would kill the process
 * (SIGBUS). It makes room for as many readers as there are bytes. To be closed before LMDB opens it, because
 * that drops the process's locks. */
static int make_lock_file(const struct dialog_file *file)
{
	int fd = openat(file->directory, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, MODE);
	int fault = fd < 0 ? errno : 0;

	if (fault == 0 && fallocate(fd, 0, 0, LOCK_FILE_BYTES) != 0 && errno != EOPNOTSUPP)
		fault = errno;
	if (fd >= 0)
		close(fd);
	return fault;
}

/* --- A copy of what is whole --- */

enum copied { COPIED, COPIED_IN_PART, COPY_NOT_WRITTEN };

struct copy {
	struct dialog_file to;
	MDB_txn *txn;
	size_t entries, dropped;
	int fault; /* once there is one, the rest is read and not written */
};

typedef bool copy_wants(struct copy *copy, const MDB_val *key, const MDB_val *value);

static bool is_whole_call(struct copy *copy, const MDB_val *key, const MDB_val *value)
{
	uint32_t expires;

	if (key->mv_size == DIALOG_KEY_BYTES &&
		dialog_record_look((struct span){ value->mv_data, value->mv_size }, &expires) !=
			DIALOG_RECORD_DAMAGED)
		return true;
	copy->dropped++;
	return false;
}

static bool leads_to_call(struct copy *copy, const MDB_val *key, const MDB_val *value)
{
	MDB_val to = *value, found;

	return key->mv_size == DIALOG_KEY_BYTES && value->mv_size == DIALOG_KEY_BYTES && copy->fault == 0 &&
	       mdb_get(copy->txn, copy->to.calls, &to, &found) == 0;
}

static bool is_whole_call_id(struct copy *copy, const MDB_val *key, const MDB_val *value)
{
	bool is_whole = call_id_tables_is_entry(key, value);

	copy->dropped += !is_whole;
	return is_whole;
}

static void copy_entry(struct copy *copy, MDB_dbi into, MDB_val key, MDB_val value)
{
	int fault = copy->fault != 0 ? copy->fault : mdb_put(copy->txn, into, &key, &value, MDB_APPEND);

	if (fault == MDB_KEYEXIST) { /* out of order, which LMDB itself would not notice */
		copy->dropped++;
		return;
	}
	if (fault == 0 && ++copy->entries % COPIED_AT_ONCE == 0) {
		fault = mdb_txn_commit(copy->txn);
		copy->txn = NULL;
		if (fault == 0)
			fault = mdb_txn_begin(copy->to.env, NULL, 0, &copy->txn);
	}
	copy->fault = fault;
}

static int copy_database(struct copy *copy, MDB_txn *from, const char *name, MDB_dbi into, copy_wants *wants)
{
	MDB_dbi dbi;
	MDB_cursor *cursor;
	MDB_val key, value;
	int fault = mdb_dbi_open(from, name, 0, &dbi);

	if (fault == 0)
		fault = mdb_cursor_open(from, dbi, &cursor);
	if (fault != 0)
		return fault == MDB_NOTFOUND ? 0 : fault;
	while ((fault = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
		if (wants(copy, &key, &value))
			copy_entry(copy, into, key, value);
	mdb_cursor_close(cursor);
	return fault == MDB_NOTFOUND ? 0 : fault;
}

static int copy_all(struct copy *copy, const char *path)
{
	MDB_env *env;
	MDB_txn *from;
	int fault = mdb_env_create(&env);

	if (fault == 0)
		fault = mdb_env_set_maxdbs(env, DATABASES);
	if (fault == 0)
		fault = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_RDONLY | MDB_NOLOCK, MODE);
	if (fault == 0)
		fault = mdb_txn_begin(env, NULL, MDB_RDONLY, &from);
	if (fault == 0)
		fault = copy_database(copy, from, CALLS, copy->to.calls, is_whole_call);
	if (fault == 0)
		fault = copy_database(copy, from, ALIASES, copy->to.aliases, leads_to_call);
	for (int i = 0; fault == 0 && i < 2; i++)
		fault = copy_database(copy, from, call_ids_names[i], copy->to.call_ids[i], is_whole_call_id);
	return fault; /* the process ends here anyway */
}

static enum copied copy_file(const char *directory, size_t size)
{
	struct copy copy = { 0 };
	int read;

	copy.fault = open_env(directory, COPY_FILE, size + ROOM_BYTES, MDB_NOLOCK, &copy.to);
	if (copy.fault == 0)
		copy.fault = mdb_txn_begin(copy.to.env, NULL, 0, &copy.txn);
	read = copy_all(&copy, path_of(directory, DATA_FILE).text);
	if (copy.fault == 0)
		copy.fault = mdb_txn_commit(copy.txn);
	if (read != 0 || copy.dropped > 0)
		return COPIED_IN_PART;
	return copy.fault == 0 ? COPIED : COPY_NOT_WRITTEN;
}

static void prepare_to_crash(unsigned patience_s)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM };
	static const struct rlimit none = { 0, 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &none);
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
		signal(faults[i], SIG_DFL);
	signal(SIGXFSZ, SIG_IGN);
	alarm(patience_s);
}

static enum copied copy_in_child(const struct dialog_file *file, size_t size)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		prepare_to_crash(file->patience_s + (unsigned)(size / COPYING_BYTES_PER_S));
		dup2(null, STDERR_FILENO); /* LMDB's assertions speak there */
		_exit((int)copy_file(file->directory_path, size));
	}
	if (child < 0)
		return COPY_NOT_WRITTEN;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return COPY_NOT_WRITTEN;
	if (WIFSIGNALED(status) &&
		WTERMSIG(status) == SIGKILL) /* out of memory, for one: that says nothing of the file */
		return COPY_NOT_WRITTEN;
	return WIFEXITED(status) ? (enum copied)WEXITSTATUS(status) : COPIED_IN_PART;
}

/* --- Opening --- */

static void set_aside(const struct dialog_file *file)
{
	char name[sizeof DATA_FILE + 32];
	int n = 0;

	do
		snprintf(name, sizeof name, DATA_FILE ".damaged-%d", ++n);
	while (n < DAMAGED_MAX && faccessat(file->directory, name, F_OK, 0) == 0);
	log_warning("the dialog store %s is damaged: it is set aside as %s, and what could be read is kept",
		file->directory_path, name);
	if (renameat(file->directory, DATA_FILE, file->directory, name) != 0)
		log_warning("the dialog store %s: %s: %s", file->directory_path, name, strerror(errno));
}

/* LMDB's lock goes with the file that was under it: whoever still has the old one open must not meet those
 * who open the new one. */
static void replace_by_copy(const struct dialog_file *file)
{
	size_t size = file->size;
	struct stat found;
	enum copied copied;

	if (fstat(file->data, &found) == 0 && (size_t)found.st_size > size)
		size = (size_t)found.st_size;
	unlinkat(file->directory, COPY_FILE, 0);
	copied = copy_in_child(file, size);
	if (copied == COPY_NOT_WRITTEN) {
		log_warning("the dialog store %s cannot be checked before it is used", file->directory_path);
		unlinkat(file->directory, COPY_FILE, 0);
		return;
	}
	if (copied == COPIED_IN_PART)
		set_aside(file);
	unlinkat(file->directory, LOCK_FILE, 0);
	if (renameat(file->directory, COPY_FILE, file->directory, DATA_FILE) != 0 && errno != ENOENT)
		log_warning("the dialog store %s: %s: %s", file->directory_path, COPY_FILE, strerror(errno));
}

static int lock_directory(const struct dialog_file *file, long wait_us)
{
	for (long waited = 0; flock(file->directory, LOCK_EX | LOCK_NB) != 0; waited += LOCK_STEP_US) {
		if (errno != EWOULDBLOCK)
			return errno;
		if (waited >= wait_us)
			return EBUSY;
		usleep(LOCK_STEP_US);
	}
	return 0;
}

static void unlock_directory(const struct dialog_file *file)
{
	flock(file->directory, LOCK_UN);
}

static int open_directory(struct dialog_file *file, long wait_us)
{
	if (mkdir(file->directory_path, 0700) != 0 && errno != EEXIST)
		return errno;
	file->directory = open(file->directory_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file->directory < 0)
		return errno;
	return lock_directory(file, wait_us);
}

static int open_data(struct dialog_file *file)
{
	if (file->data >= 0)
		close(file->data);
	file->data = openat(file->directory, DATA_FILE, O_RDWR | O_CREAT | O_CLOEXEC, MODE);
	return file->data < 0 ? errno : 0;
}

/* With the directory locked. */
static int open_checked(struct dialog_file *file, bool suspect)
{
	struct stat found;
	int fault = open_data(file);
	bool alone = fault == 0 && flock(file->data, LOCK_EX | LOCK_NB) == 0;

	if (fault == 0 && (alone || suspect) && fstat(file->data, &found) == 0 && found.st_size > 0) {
		replace_by_copy(file);
		fault = open_data(file);
	}
	if (fault == 0 && flock(file->data, LOCK_SH | LOCK_NB) != 0)
		fault = errno;
	if (fault == 0)
		fault = make_lock_file(file);
	if (fault == 0)
		fault = open_env(file->directory_path, DATA_FILE, file->size, 0, file);
	return fault;
}

/* Somebody else who opens it first may be copying it. */
static long lock_patience_us(enum dialog_file_opening opening, size_t size)
{
	if (opening != DIALOG_FILE_FIRST)
		return LOCK_AGAIN_US;
	return SECOND_US * (long)(COPYING_S + size / COPYING_BYTES_PER_S);
}

bool dialog_file_open(struct dialog_file *file, const char *directory, size_t size,
	enum dialog_file_opening opening, char *why, size_t why_size)
{
	int fault = ENAMETOOLONG;

	*file = (struct dialog_file){ .size = size, .directory = -1, .data = -1 };
	file->patience_s = opening == DIALOG_FILE_FIRST ? COPYING_S : COPYING_AGAIN_S;
	if (span_copy(file->directory_path, sizeof file->directory_path, span_of(directory)))
		fault = open_directory(file, lock_patience_us(opening, size));
	if (fault == 0) {
		fault = open_checked(file, opening == DIALOG_FILE_REPAIR);
		if (dialog_file_is_damaged(fault) && opening != DIALOG_FILE_REPAIR)
			fault = open_checked(file, true);
		unlock_directory(file);
	}
	if (fault == 0) {
		dialog_file_forget_the_dead(file);
		return true;
	}
	snprintf(why, why_size, "%s: %s", directory,
		fault == EBUSY ? "another process is changing it and does not come to an end"
			       : mdb_strerror(fault));
	dialog_file_close(file);
	return false;
}

void dialog_file_close(struct dialog_file *file)
{
	if (file->reader != NULL)
		mdb_txn_abort(file->reader);
	file->reader = NULL;
	if (file->env != NULL)
		mdb_env_close(file->env);
	file->env = NULL;
	if (file->data >= 0)
		close(file->data);
	file->data = -1;
	if (file->directory >= 0)
		close(file->directory);
	file->directory = -1;
}

bool dialog_file_is_open(const struct dialog_file *file)
{
	return file->env != NULL;
}

bool dialog_file_is_current(const struct dialog_file *file)
{
	struct stat ours, theirs;

	return fstat(file->data, &ours) == 0 &&
	       stat(path_of(file->directory_path, DATA_FILE).text, &theirs) == 0 &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

void dialog_file_forget_the_dead(struct dialog_file *file)
{
	int dead;

	mdb_reader_check(file->env, &dead);
}

/* --- Transactions --- */

int dialog_file_begin_read(struct dialog_file *file)
{
	int fault = 0;

	for (int tries = 0; tries < 2; tries++) {
		if (file->reader != NULL) {
			fault = mdb_txn_renew(file->reader);
			if (fault == 0)
				return 0;
			mdb_txn_abort(file->reader);
			file->reader = NULL;
		}
		fault = mdb_txn_begin(file->env, NULL, MDB_RDONLY, &file->reader);
		if (fault == 0)
			return 0;
		file->reader = NULL;
		if (fault == MDB_READERS_FULL)
			dialog_file_forget_the_dead(file);
		else if (fault == MDB_MAP_RESIZED)
			mdb_env_set_mapsize(file->env, file->size);
		else
			break;
	}
	return fault;
}

void dialog_file_end_read(struct dialog_file *file)
{
	if (file->reader != NULL)
		mdb_txn_reset(file->reader);
}

int dialog_file_begin_write(struct dialog_file *file, long wait_us, MDB_txn **txn)
{
	int fault = lock_directory(file, wait_us);

	if (fault != 0)
		return fault;
	fault = mdb_txn_begin(file->env, NULL, 0, txn);
	if (fault ==
		MDB_MAP_RESIZED) { /* by a process with a larger size; LMDB takes at least what is used */
		mdb_env_set_mapsize(file->env, file->size);
		fault = mdb_txn_begin(file->env, NULL, 0, txn);
	}
	if (fault != 0)
		unlock_directory(file);
	return fault;
}

int dialog_file_end_write(struct dialog_file *file, MDB_txn *txn, int fault)
{
	if (fault == 0)
		fault = mdb_txn_commit(txn);
	else
		mdb_txn_abort(txn);
	unlock_directory(file);
	return fault;
}

size_t dialog_file_pages(const struct dialog_file *file)
{
	MDB_envinfo info;
	MDB_stat stat;

	if (mdb_env_info(file->env, &info) != 0 || mdb_env_stat(file->env, &stat) != 0)
		return 0;
	return info.me_mapsize / stat.ms_psize;
}

size_t dialog_file_pages_used(struct dialog_file *file, MDB_txn *txn)
{
	/* LMDB's list of free pages is database 0, as its own mdb_stat knows; the databases' names are
	 * database 1. */
	const MDB_dbi databases[] = { 0, 1, file->calls, file->aliases, file->call_ids[0],
		file->call_ids[1] };
	size_t used = 2; /* meta pages */

	for (size_t i = 0; i < sizeof databases / sizeof databases[0]; i++) {
		MDB_stat stat;

		if (mdb_stat(txn, databases[i], &stat) == 0)
			used += stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
	}
	return used;
}
