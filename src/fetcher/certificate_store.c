#include "stirrup/certificate_store.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "lru.h"
#include "stirrup/log.h"
#include "stirrup/passport.h"

#define DATA_FILE "data.mdb"
#define DAMAGED_FILE "damaged.mdb"
#define COPY_FILE "copy.mdb"
#define FORMAT UINT32_C(0x53545231) /* of struct stored; another one's entries are dropped */
#define PAGE_BYTES 4096
#define INLINE_MAX 2000       /* LMDB gives longer values pages of their own */
#define ROOM_BYTES (16 << 20) /* in the map, for pages that are free or being replaced */
#define COPYING_S 20          /* and for a large store more */
#define COPYING_BYTES_PER_S (32 << 20)
#define COPIED_AT_ONCE 500
#define PATH_SIZE 1024
#define NOTE "note"
#define FULL_RETRIES 3
#define LOCK_TRIES 20
#define LOCK_WAIT_US 10000

/* A value begins with it; the URL and the chain follow. The key is the digest of the URL: LMDB's keys end at
 * 511 octets. */
struct stored {
	uint32_t format;
	uint32_t url_length;
	uint32_t pem_length;
	uint32_t zero;
	int64_t fetched, keep_until, refresh_after;
	unsigned char checksum[SHA256_DIGEST_LENGTH]; /* of all of it, this being zero */
};
#define VALUE_MAX (sizeof(struct stored) + PASSPORT_X5U_MAX + STORED_CHAIN_MAX)

struct certificate_store {
	int directory; /* locked as long as the store is open */
	MDB_env *env;
	MDB_dbi dbi;
	struct lru *index; /* digest of the URL -> octets on disk, by use */
	size_t entries_max, bytes_max;
	size_t bytes;
	char buffer[VALUE_MAX];
};

/* --- Entries --- */

static struct span digest_of(const char *x5u, unsigned char digest[SHA256_DIGEST_LENGTH])
{
	SHA256((const unsigned char *)x5u, strlen(x5u), digest);
	return (struct span){ (const char *)digest, SHA256_DIGEST_LENGTH };
}

static MDB_val value_of(struct span span)
{
	return (MDB_val){ .mv_size = span.length, .mv_data = (void *)(uintptr_t)span.at };
}

static bool read_header(const MDB_val *value, struct stored *stored)
{
	if (value->mv_size < sizeof *stored)
		return false;
	memcpy(stored, value->mv_data, sizeof *stored);
	return stored->format == FORMAT && stored->url_length <= PASSPORT_X5U_MAX &&
	       stored->pem_length <= STORED_CHAIN_MAX &&
	       value->mv_size == sizeof *stored + stored->url_length + stored->pem_length;
}

static bool checksum(const struct stored *stored, const char *rest, unsigned char out[SHA256_DIGEST_LENGTH])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	struct stored bare = *stored;
	bool good;

	memset(bare.checksum, 0, sizeof bare.checksum);
	good = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
	       EVP_DigestUpdate(context, &bare, sizeof bare) == 1 &&
	       EVP_DigestUpdate(context, rest, (size_t)stored->url_length + stored->pem_length) == 1 &&
	       EVP_DigestFinal_ex(context, out, NULL) == 1;
	EVP_MD_CTX_free(context);
	return good;
}

/* Whether it is as it was written. *url then is whose. */
static bool is_whole(const MDB_val *value, struct stored *stored, struct span *url)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	if (!read_header(value, stored))
		return false;
	*url = (struct span){ (const char *)value->mv_data + sizeof *stored, stored->url_length };
	return checksum(stored, url->at, digest) && memcmp(digest, stored->checksum, sizeof digest) == 0;
}

/* What an entry costs on disk. */
static size_t cost_of(size_t value_size)
{
	if (value_size <= INLINE_MAX)
		return value_size + SHA256_DIGEST_LENGTH;
	return (value_size / PAGE_BYTES + 1) * PAGE_BYTES;
}

/* --- The environment --- */

static const char *path_of(char path[PATH_SIZE], const char *directory, const char *file)
{
	return snprintf(path, PATH_SIZE, "%s/%s", directory, file) < PATH_SIZE ? path : "";
}

/* One process and one thread at a time (the directory is locked), so that LMDB's own locks are not needed. */
static int open_env(const char *directory, const char *file, size_t bytes_max, MDB_env **env, MDB_dbi *dbi)
{
	char path[PATH_SIZE];
	MDB_txn *txn;
	int fault = mdb_env_create(env);

	if (fault != 0)
		return fault;
	fault = mdb_env_set_mapsize(*env, bytes_max * 2 + ROOM_BYTES);
	if (fault == 0)
		fault = mdb_env_open(*env, path_of(path, directory, file),
			MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC | MDB_NOTLS, 0600);
	if (fault == 0)
		fault = mdb_txn_begin(*env, NULL, 0, &txn);
	if (fault == 0) {
		fault = mdb_dbi_open(txn, NULL, 0, dbi);
		if (fault == 0)
			fault = mdb_txn_commit(txn);
		else
			mdb_txn_abort(txn);
	}
	if (fault != 0) {
		mdb_env_close(*env);
		*env = NULL;
	}
	return fault;
}

/* Calls each for every entry, until it answers false. */
static int walk(MDB_env *env, MDB_dbi dbi, bool (*each)(void *context, const MDB_val *, const MDB_val *),
	void *context)
{
	MDB_txn *txn;
	MDB_cursor *cursor;
	MDB_val key, value;
	int fault = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

	if (fault != 0)
		return fault;
	fault = mdb_cursor_open(txn, dbi, &cursor);
	if (fault == 0) {
		while ((fault = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
			if (!each(context, &key, &value))
				break;
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return fault == MDB_NOTFOUND ? 0 : fault;
}

/* --- A copy of what is whole --- */

/* LMDB believes what is in its file: a damaged one may make it loop or crash, at once or much later. So
 * nothing is read from the file that is found but by a child, which copies each whole entry into a new one.
 */
struct copy {
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *txn;
	size_t entries, dropped;
	int fault;
};

enum copied { COPIED, COPIED_IN_PART, COPY_NOT_WRITTEN };

static bool is_name_of(struct span url, const MDB_val *key)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	struct span name = { key->mv_data, key->mv_size };

	if (name.length != sizeof digest)
		return span_is(name, NOTE) && span_is(url, NOTE);
	SHA256((const unsigned char *)url.at, url.length, digest);
	return memcmp(digest, name.at, sizeof digest) == 0;
}

static bool copy_entry(void *context, const MDB_val *key, const MDB_val *value)
{
	struct copy *copy = context;
	struct stored stored;
	struct span url;
	MDB_val to = *key, what = *value;

	if (!is_whole(value, &stored, &url) || !is_name_of(url, key)) {
		copy->dropped++;
		return true;
	}
	copy->fault = mdb_put(copy->txn, copy->dbi, &to, &what, 0);
	if (copy->fault == 0 && ++copy->entries % COPIED_AT_ONCE == 0) {
		copy->fault = mdb_txn_commit(copy->txn);
		copy->txn = NULL;
		if (copy->fault == 0)
			copy->fault = mdb_txn_begin(copy->env, NULL, 0, &copy->txn);
	}
	return copy->fault == 0;
}

static enum copied copy_file(const char *directory, size_t bytes_max)
{
	struct copy copy = { 0 };
	MDB_env *env;
	MDB_dbi dbi;

	if (open_env(directory, COPY_FILE, bytes_max, &copy.env, &copy.dbi) != 0 ||
		mdb_txn_begin(copy.env, NULL, 0, &copy.txn) != 0)
		return COPY_NOT_WRITTEN;
	if (open_env(directory, DATA_FILE, bytes_max, &env, &dbi) != 0)
		return COPIED_IN_PART;
	if (walk(env, dbi, copy_entry, &copy) != 0) {
		mdb_txn_commit(copy.txn);
		return COPIED_IN_PART;
	}
	if (copy.fault != 0 || mdb_txn_commit(copy.txn) != 0)
		return COPY_NOT_WRITTEN;
	if (copy.dropped > 0)
		log_warning(
			"the certificate store: %zu entries are damaged, or of another version, and dropped",
			copy.dropped);
	return COPIED;
}

static void prepare_to_crash(size_t bytes_max)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM };
	static const struct rlimit none = { 0, 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &none);
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		signal(faults[i], SIG_DFL);
	alarm((unsigned)(COPYING_S + bytes_max / COPYING_BYTES_PER_S));
}

static enum copied copy_in_child(const char *directory, size_t bytes_max)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		prepare_to_crash(bytes_max);
		_exit((int)copy_file(directory, bytes_max));
	}
	if (child < 0)
		return COPY_NOT_WRITTEN;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return COPY_NOT_WRITTEN;
	return WIFEXITED(status) ? (enum copied)WEXITSTATUS(status) : COPIED_IN_PART;
}

static bool put_in_place(struct certificate_store *store, const char *directory)
{
	switch (copy_in_child(directory, store->bytes_max)) {
	case COPIED:
		break;
	case COPIED_IN_PART:
		log_warning("the certificate store %s is damaged: it is set aside as " DAMAGED_FILE
			    ", and what could be read is kept",
			directory);
		if (renameat(store->directory, DATA_FILE, store->directory, DAMAGED_FILE) != 0)
			return false;
		break;
	case COPY_NOT_WRITTEN:
		/* A full disk, for one. */
		log_warning("the certificate store %s cannot be checked before it is used", directory);
		unlinkat(store->directory, COPY_FILE, 0);
		return true;
	}
	return renameat(store->directory, COPY_FILE, store->directory, DATA_FILE) == 0;
}

/* What a process that was killed has just left may not be gone yet. */
static bool lock(int directory)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(directory, LOCK_EX | LOCK_NB) == 0)
			return true;
		usleep(LOCK_WAIT_US);
	}
	return false;
}

static int open_directory(const char *directory, char *why, size_t why_size)
{
	int fd;

	if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
		snprintf(why, why_size, "%s: %s", directory, strerror(errno));
		return -1;
	}
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		snprintf(why, why_size, "%s: %s", directory, strerror(errno));
	if (fd >= 0 && !lock(fd)) {
		snprintf(why, why_size, "%s: another process uses it", directory);
		close(fd);
		fd = -1;
	}
	return fd;
}

/* --- Writing --- */

/* Within one transaction; value NULL removes. */
static int write_entry(struct certificate_store *store, struct span name, const MDB_val *value)
{
	MDB_val key = value_of(name), copy;
	MDB_txn *txn;
	int fault = mdb_txn_begin(store->env, NULL, 0, &txn);

	if (fault != 0)
		return fault;
	if (value != NULL) {
		copy = *value;
		fault = mdb_put(txn, store->dbi, &key, &copy, 0);
	} else {
		fault = mdb_del(txn, store->dbi, &key, NULL);
		if (fault == MDB_NOTFOUND)
			fault = 0;
	}
	if (fault == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return fault;
}

static void forget(struct certificate_store *store, struct span digest)
{
	const size_t *cost = lru_find(store->index, digest);

	if (cost == NULL)
		return;
	store->bytes -= *cost;
	lru_remove(store->index, digest);
}

static void remember(struct certificate_store *store, struct span digest, size_t cost)
{
	forget(store, digest);
	if (lru_put(store->index, digest, &cost, sizeof cost) != NULL)
		store->bytes += cost;
}

/* The one used least recently. False: it is the last, or cannot be removed. */
static bool evict(struct certificate_store *store)
{
	unsigned char copy[SHA256_DIGEST_LENGTH];
	struct span digest;

	if (lru_count(store->index) < 2 || lru_oldest(store->index, &digest) == NULL)
		return false;
	memcpy(copy, digest.at, sizeof copy);
	digest.at = (const char *)copy;
	if (write_entry(store, digest, NULL) != 0)
		return false;
	forget(store, digest);
	return true;
}

static void keep_bounds(struct certificate_store *store)
{
	while (lru_count(store->index) > store->entries_max || store->bytes > store->bytes_max)
		if (!evict(store))
			return;
}

static int write_with_room(struct certificate_store *store, struct span name, const MDB_val *value)
{
	int fault = write_entry(store, name, value);

	for (int i = 0; i < FULL_RETRIES && fault == MDB_MAP_FULL && evict(store); i++)
		fault = write_entry(store, name, value);
	return fault;
}

/* --- Opening --- */

struct found {
	unsigned char digest[SHA256_DIGEST_LENGTH];
	int64_t fetched;
	size_t cost;
};

struct inventory {
	struct found *found;
	size_t count, room;
};

static bool take_stock(void *context, const MDB_val *key, const MDB_val *value)
{
	struct inventory *inventory = context;
	struct stored stored;
	struct found *found;

	if (key->mv_size != SHA256_DIGEST_LENGTH || !read_header(value, &stored))
		return true;
	if (inventory->count == inventory->room) {
		size_t room = inventory->room * 2 + 1024;

		found = realloc(inventory->found, room * sizeof *found);
		if (found == NULL)
			return false;
		inventory->found = found;
		inventory->room = room;
	}
	found = &inventory->found[inventory->count++];
	memcpy(found->digest, key->mv_data, sizeof found->digest);
	found->cost = cost_of(value->mv_size);
	found->fetched = stored.fetched;
	return true;
}

static int by_age(const void *one, const void *other)
{
	const struct found *a = one, *b = other;

	return (a->fetched > b->fetched) - (a->fetched < b->fetched);
}

/* When each was used last is not written down at every use; that it was fetched again tells it well enough.
 */
static int read_index(struct certificate_store *store)
{
	struct inventory inventory = { 0 };
	int fault = walk(store->env, store->dbi, take_stock, &inventory);

	if (inventory.count > 1)
		qsort(inventory.found, inventory.count, sizeof *inventory.found, by_age);
	for (size_t i = 0; i < inventory.count; i++)
		remember(store,
			(struct span){ (const char *)inventory.found[i].digest, SHA256_DIGEST_LENGTH },
			inventory.found[i].cost);
	free(inventory.found);
	keep_bounds(store);
	return fault;
}

static bool open_store(struct certificate_store *store, const char *directory, char *why, size_t why_size)
{
	int fault;

	unlinkat(store->directory, COPY_FILE, 0);
	if (faccessat(store->directory, DATA_FILE, F_OK, 0) == 0 && !put_in_place(store, directory)) {
		snprintf(why, why_size, "%s: %s", directory, strerror(errno));
		return false;
	}
	fault = open_env(directory, DATA_FILE, store->bytes_max, &store->env, &store->dbi);
	if (fault == 0)
		fault = read_index(store);
	if (fault == 0)
		return true;
	snprintf(why, why_size, "%s: %s", directory, mdb_strerror(fault));
	return false;
}

struct certificate_store *certificate_store_open(
	const char *directory, size_t entries_max, size_t bytes_max, char *why, size_t why_size)
{
	struct certificate_store *store = calloc(1, sizeof *store);

	snprintf(why, why_size, "out of memory");
	if (store == NULL)
		return NULL;
	store->directory = -1;
	store->entries_max = entries_max;
	store->bytes_max = bytes_max;
	store->index = lru_new(SIZE_MAX, SIZE_MAX);
	if (store->index != NULL)
		store->directory = open_directory(directory, why, why_size);
	if (store->directory < 0 || !open_store(store, directory, why, why_size)) {
		certificate_store_close(store);
		return NULL;
	}
	why[0] = '\0';
	return store;
}

void certificate_store_close(struct certificate_store *store)
{
	if (store == NULL)
		return;
	if (store->env != NULL)
		mdb_env_close(store->env);
	if (store->directory >= 0)
		close(store->directory);
	lru_free(store->index);
	free(store);
}

/* --- The verbs --- */

/* Copies the entry into the store's buffer: the transaction does not outlive the call. */
static bool read_entry(
	struct certificate_store *store, struct span name, const char *x5u, struct stored_chain *chain)
{
	MDB_val key = value_of(name), value;
	struct stored stored;
	struct span url;
	MDB_txn *txn;
	bool good;

	if (mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn) != 0)
		return false;
	good = mdb_get(txn, store->dbi, &key, &value) == 0 && value.mv_size <= sizeof store->buffer;
	if (good) {
		memcpy(store->buffer, value.mv_data, value.mv_size);
		value.mv_data = store->buffer;
	}
	mdb_txn_abort(txn);
	if (!good || !is_whole(&value, &stored, &url) || !span_is(url, x5u))
		return false;
	*chain = (struct stored_chain){ .pem = { url.at + url.length, stored.pem_length },
		.fetched = stored.fetched,
		.keep_until = stored.keep_until,
		.refresh_after = stored.refresh_after };
	return true;
}

/* The octets it takes, 0: it was not written. */
static size_t put_entry(
	struct certificate_store *store, struct span name, const char *x5u, const struct stored_chain *chain)
{
	struct stored stored = { .format = FORMAT,
		.fetched = chain->fetched,
		.keep_until = chain->keep_until,
		.refresh_after = chain->refresh_after };
	size_t url_length = strlen(x5u);
	MDB_val value = { sizeof stored + url_length + chain->pem.length, store->buffer };
	char *rest = store->buffer + sizeof stored;

	if (url_length > PASSPORT_X5U_MAX || chain->pem.length > STORED_CHAIN_MAX)
		return 0;
	stored.url_length = (uint32_t)url_length;
	stored.pem_length = (uint32_t)chain->pem.length;
	/* It may be the one that was got before. */
	if (chain->pem.length > 0)
		memmove(rest + url_length, chain->pem.at, chain->pem.length);
	memcpy(rest, x5u, url_length);
	if (!checksum(&stored, rest, stored.checksum))
		return 0;
	memcpy(store->buffer, &stored, sizeof stored);
	return write_with_room(store, name, &value) == 0 ? value.mv_size : 0;
}

bool certificate_store_get(struct certificate_store *store, const char *x5u, struct stored_chain *chain)
{
	unsigned char octets[SHA256_DIGEST_LENGTH];
	struct span digest = digest_of(x5u, octets);

	if (lru_find(store->index, digest) == NULL)
		return false;
	if (read_entry(store, digest, x5u, chain))
		return true;
	log_warning("the certificate store: the entry of %s is damaged and dropped", x5u);
	certificate_store_remove(store, x5u);
	return false;
}

bool certificate_store_put(struct certificate_store *store, const char *x5u, const struct stored_chain *chain)
{
	unsigned char octets[SHA256_DIGEST_LENGTH];
	struct span digest = digest_of(x5u, octets);
	size_t size = put_entry(store, digest, x5u, chain);

	if (size == 0)
		return false;
	remember(store, digest, cost_of(size));
	keep_bounds(store);
	return true;
}

bool certificate_store_remove(struct certificate_store *store, const char *x5u)
{
	unsigned char octets[SHA256_DIGEST_LENGTH];
	struct span digest = digest_of(x5u, octets);

	forget(store, digest);
	return write_entry(store, digest, NULL) == 0;
}

size_t certificate_store_count(const struct certificate_store *store)
{
	return lru_count(store->index);
}

bool certificate_store_set_note(struct certificate_store *store, const void *note, size_t length)
{
	struct stored_chain chain = { .pem = { note, length } };

	return length <= STORE_NOTE_MAX && put_entry(store, span_of(NOTE), NOTE, &chain) > 0;
}

size_t certificate_store_note(struct certificate_store *store, unsigned char note[STORE_NOTE_MAX])
{
	struct stored_chain chain;

	if (!read_entry(store, span_of(NOTE), NOTE, &chain) || chain.pem.length > STORE_NOTE_MAX)
		return 0;
	memcpy(note, chain.pem.at, chain.pem.length);
	return chain.pem.length;
}
