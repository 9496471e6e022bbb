/* dialog-store: what an established call of mode "b2bua" costs in the dialog store. Prints microseconds of
 * wall time for each verb, beside the same bytes put into LMDB without anything around it, and the size on
 * disk and in memory. It makes a directory of its own under $TMPDIR (/tmp) and takes it away again. */
#include <dirent.h>
#include <inttypes.h>
#include <lmdb.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/sip/dialog_record.h"
#include "../tests/unit/made-dialog.h"
#include "stirrup/clock.h"
#include "stirrup/dialog_store.h"

#define SIZE ((size_t)1 << 30)
#define FLUSHES 20000 /* beside another writer */

static char base[512], directory[600];
static unsigned calls = 100000;

static void die(const char *what)
{
	fprintf(stderr, "dialog-store: %s\n", what);
	exit(1);
}

static void empty_directory(void)
{
	DIR *open = opendir(directory);
	struct dirent *entry;

	while (open != NULL && (entry = readdir(open)) != NULL)
		unlinkat(dirfd(open), entry->d_name, 0);
	if (open != NULL)
		closedir(open);
	rmdir(directory);
}

static struct dialog_store *open_store(void)
{
	char why[700];
	struct dialog_store *store = dialog_store_open(directory, SIZE, why, sizeof why);

	if (store == NULL)
		die(why);
	return store;
}

/* Every call once, in an order that is not the one in which they were made. */
static unsigned shuffled(unsigned n)
{
	return (unsigned)(n * UINT64_C(7919) % calls);
}

static double each(int64_t began, unsigned count)
{
	return (double)(monotonic_us() - began) / count;
}

/* What making up the calls takes is not the store's. */
static double made_us(void)
{
	struct made_dialog made;
	int64_t began = monotonic_us();

	for (unsigned n = 0; n < calls; n++)
		make_dialog(&made, n, false);
	return each(began, calls);
}

static void flush(struct dialog_store *store)
{
	if (!dialog_store_flush(store))
		die("it cannot be written");
}

static double puts_us(struct dialog_store *store, unsigned batch)
{
	struct made_dialog made;
	double making = made_us();
	int64_t began = monotonic_us();

	for (unsigned n = 0; n < calls; n++) {
		make_dialog(&made, n, false);
		dialog_store_put(store, &made.dialog);
		if (n % batch == batch - 1)
			flush(store);
	}
	flush(store);
	return each(began, calls) - making;
}

static double refreshes_us(struct dialog_store *store, unsigned batch)
{
	struct made_dialog made;
	struct dialog dialog;
	double making = made_us();
	int64_t began = monotonic_us();

	for (unsigned n = 0; n < calls; n++) {
		make_dialog(&made, shuffled(n), false);
		if (dialog_store_find(store, &made.caller_key, &dialog) != DIALOG_FOUND)
			die("a call is missing");
		dialog.expires += batch;
		dialog_store_put(store, &dialog);
		if (n % batch == batch - 1)
			flush(store);
	}
	flush(store);
	return each(began, calls) - making;
}

static double removals_us(struct dialog_store *store, unsigned batch)
{
	struct made_dialog made;
	double making = made_us();
	int64_t began = monotonic_us();

	for (unsigned n = 0; n < calls; n++) {
		make_dialog(&made, shuffled(n), false);
		dialog_store_remove(store, &made.dialog);
		if (n % batch == batch - 1)
			flush(store);
	}
	flush(store);
	return each(began, calls) - making;
}

static double finds_us(struct dialog_store *store, unsigned first, enum dialog_found expected)
{
	struct made_dialog made;
	struct dialog dialog;
	double making = made_us();
	int64_t began = monotonic_us();

	for (unsigned n = 0; n < calls; n++) {
		make_dialog(&made, first + shuffled(n), false);
		if (dialog_store_find(store, &made.caller_key, &dialog) != expected)
			die("an answer is wrong");
	}
	return each(began, calls) - making;
}

static double sweep_us(struct dialog_store *store)
{
	int64_t began = monotonic_us();

	for (unsigned n = 0; n < calls; n += 100)
		dialog_store_sweep(store, 0, 100);
	return each(began, calls);
}

/* --- LMDB itself --- */

struct raw {
	MDB_env *env;
	MDB_dbi dbi;
};

static void must(int fault)
{
	if (fault != 0)
		die(mdb_strerror(fault));
}

static struct raw open_raw(void)
{
	struct raw raw;
	MDB_txn *txn;
	char path[700];

	mkdir(directory, 0700);
	snprintf(path, sizeof path, "%s/raw", directory);
	must(mdb_env_create(&raw.env));
	must(mdb_env_set_mapsize(raw.env, SIZE));
	must(mdb_env_open(raw.env, path, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS, 0600));
	must(mdb_txn_begin(raw.env, NULL, 0, &txn));
	must(mdb_dbi_open(txn, NULL, 0, &raw.dbi));
	must(mdb_txn_commit(txn));
	return raw;
}

static double raw_puts_us(unsigned batch)
{
	static uint8_t record[DIALOG_RECORD_MAX];
	struct raw raw = open_raw();
	struct made_dialog made;
	MDB_txn *txn = NULL;
	int64_t inside = 0;

	for (unsigned n = 0; n < calls; n++) {
		MDB_val key, value;
		int64_t began;

		make_dialog(&made, n, false);
		key = (MDB_val){ sizeof made.caller_key, &made.caller_key };
		value = (MDB_val){ dialog_record_write(&made.dialog, record), record };
		began = monotonic_us();
		if (n % batch == 0)
			must(mdb_txn_begin(raw.env, NULL, 0, &txn));
		must(mdb_put(txn, raw.dbi, &key, &value, 0));
		if (n % batch == batch - 1 || n == calls - 1)
			must(mdb_txn_commit(txn));
		inside += monotonic_us() - began;
	}
	mdb_env_close(raw.env);
	empty_directory();
	return (double)inside / calls;
}

/* --- Memory, disk, others --- */

/* MiB: all, and without the pages of files. */
static void resident(double *all, double *own)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long pages, shared;

	*all = *own = 0;
	if (file == NULL)
		return;
	if (fscanf(file, "%*d %ld %ld", &pages, &shared) == 2) {
		*all = (double)pages * 4096 / (1 << 20);
		*own = (double)(pages - shared) * 4096 / (1 << 20);
	}
	fclose(file);
}

static double file_bytes(void)
{
	char path[700];
	struct stat file;

	snprintf(path, sizeof path, "%s/data.mdb", directory);
	return stat(path, &file) == 0 ? (double)file.st_blocks * 512 : 0;
}

static int by_size(const void *one, const void *other)
{
	const int64_t *a = one, *b = other;

	return (*a > *b) - (*a < *b);
}

static void write_forever(void)
{
	struct dialog_store *store;
	struct made_dialog made;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	store = open_store();
	for (unsigned n = calls;; n++) {
		make_dialog(&made, n, false);
		dialog_store_put(store, &made.dialog);
		make_dialog(&made, n - calls / 10, false);
		dialog_store_remove(store, &made.dialog);
		if (n % 8 == 7)
			dialog_store_flush(store);
	}
}

static void flushes_beside_another(void)
{
	static int64_t taken[FLUSHES];
	pid_t other = fork();
	struct dialog_store *store;
	struct made_dialog made;
	unsigned failed = 0;

	if (other == 0)
		write_forever();
	store = open_store();
	sleep(1);
	for (unsigned n = 0; n < FLUSHES; n++) {
		int64_t began;

		make_dialog(&made, n, true);
		dialog_store_put(store, &made.dialog);
		began = monotonic_us();
		failed += !dialog_store_flush(store);
		taken[n] = monotonic_us() - began;
	}
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	dialog_store_close(store);
	qsort(taken, FLUSHES, sizeof taken[0], by_size);
	printf("one flush, another process writing all the time: p50 %" PRId64 ", p99 %" PRId64
	       ", max %" PRId64 " us, %u given up\n",
		taken[FLUSHES / 2], taken[FLUSHES / 100 * 99], taken[FLUSHES - 1], failed);
}

/* --- The run --- */

static void print_line(const char *what, unsigned batch, double us, double base_us)
{
	char name[32];

	snprintf(name, sizeof name, batch > 0 ? "%s, %u a flush" : "%s", what, batch);
	printf("%-26s %8.2f %8.2f\n", name, us, us / base_us);
}

static void measure_batches(double base_us)
{
	static const unsigned batches[] = { 1, 16, 64 };

	for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
		struct dialog_store *store = open_store();

		print_line("put", batches[i], puts_us(store, batches[i]), base_us);
		print_line("find and put", batches[i], refreshes_us(store, batches[i]), base_us);
		print_line("remove", batches[i], removals_us(store, batches[i]), base_us);
		dialog_store_close(store);
		empty_directory();
	}
}

static void measure_standing(double base_us)
{
	double all_before, own_before, all, own;
	struct dialog_store *store = open_store();
	int64_t began;

	resident(&all_before, &own_before);
	puts_us(store, 16);
	print_line("find", 0, finds_us(store, 0, DIALOG_FOUND), base_us);
	print_line("find, unknown", 0, finds_us(store, calls, DIALOG_UNKNOWN), base_us);
	print_line("sweep, a call", 0, sweep_us(store), base_us);
	resident(&all, &own);
	printf("%u calls: %.0f bytes each on disk; process memory %+.1f MiB of its own, %+.1f MiB of the "
	       "file's pages\n",
		calls, file_bytes() / calls, own - own_before, (all - own) - (all_before - own_before));
	dialog_store_close(store);
	began = monotonic_us();
	store = open_store();
	printf("opening, with the check of %u calls: %.0f ms\n", calls,
		(double)(monotonic_us() - began) / 1000);
	dialog_store_close(store);
	flushes_beside_another();
	empty_directory();
}

int main(int argc, char **argv)
{
	static const unsigned batches[] = { 16, 64 };
	const char *parent = getenv("TMPDIR");
	double base_us;

	if (argc > 2 || (argc == 2 && (calls = (unsigned)atoi(argv[1])) < 1000))
		die("usage: dialog-store [CALLS, at least 1000]");
	snprintf(base, sizeof base, "%s/dialog-store-XXXXXX", parent == NULL ? "/tmp" : parent);
	if (mkdtemp(base) == NULL)
		die(base);
	snprintf(directory, sizeof directory, "%s/store", base);
	printf("%-26s %8s %8s\n", "", "us", "ratio");
	base_us = raw_puts_us(1);
	print_line("LMDB put", 1, base_us, base_us);
	for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++)
		print_line("LMDB put", batches[i], raw_puts_us(batches[i]), base_us);
	measure_batches(base_us);
	measure_standing(base_us);
	rmdir(base);
	return 0;
}
