#include "stirrup/trust_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "stirrup/certificate_pem.h"
#include "stirrup/log.h"

#define ANCHORS_MAX ((size_t)4 << 20)
#define ANCHOR_COUNT_MAX 4096
#define CRL_MAX ((size_t)64 << 20)
#define WHY_SIZE 320

/* The bytes of a file; at NULL: none. */
struct text {
	char *at;
	size_t length;
};

/* What one entry has given that was good. */
struct entry {
	struct text anchors;
	struct text crl;
	struct text crl_roots;   /* of crl_issuer_anchors: what is self-issued */
	struct text crl_signers; /* and the rest, which leads from the list's signer to them */
};

struct trust_files {
	const struct config *config;
	struct entry *entries; /* as many as the configuration's trust has */
	uint64_t stamp;        /* of the files as they were before they were read */
	struct trust *trust;
};

/* One pass over the files. */
struct loading {
	struct trust_files *files;
	struct config_report *report;
	struct trust *trust; /* being made */
	int64_t now;
	bool changed;
	bool out_of_memory;
};

/* --- Saying what is wrong --- */

static void say(const struct loading *loading, size_t index, const char *member, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static void say(const struct loading *loading, size_t index, const char *member, const char *format, ...)
{
	const struct trust_config *entry = &loading->files->config->trust[index];
	char setting[128], text[PATH_MAX + WHY_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	snprintf(setting, sizeof setting, "trust.%.64s.%s", entry->name, member);
	if (loading->report == NULL)
		log_error("%s: %s", setting, text);
	else
		config_report_add(
			loading->report, CONFIG_ERROR, entry->file, entry->line, setting, "%s", text);
}

/* --- Texts --- */

static void text_clear(struct text *text)
{
	free(text->at);
	*text = (struct text){ NULL, 0 };
}

static bool text_add(struct text *text, const char *bytes, size_t length)
{
	char *larger = realloc(text->at, text->length + length + 1);

	if (larger == NULL)
		return false;
	text->at = larger;
	if (length > 0)
		memcpy(text->at + text->length, bytes, length);
	text->length += length;
	return true;
}

static struct span text_span(const struct text *text)
{
	return (struct span){ text->at, text->length };
}

static bool text_same(const struct text *one, const struct text *other)
{
	return one->length == other->length &&
	       (one->length == 0 || memcmp(one->at, other->at, one->length) == 0);
}

static void entry_clear(struct entry *entry)
{
	text_clear(&entry->anchors);
	text_clear(&entry->crl);
	text_clear(&entry->crl_roots);
	text_clear(&entry->crl_signers);
}

/* Moves what is new to where it is kept. */
static void text_keep(struct loading *loading, struct text *kept, struct text *found)
{
	if (!text_same(kept, found))
		loading->changed = true;
	text_clear(kept);
	*kept = *found;
	*found = (struct text){ NULL, 0 };
}

/* Adds to the text what the file has. NULL, or why it cannot be read. */
static const char *read_to_end(struct text *text, int fd, size_t max)
{
	char piece[16384];
	ssize_t got;

	while ((got = read(fd, piece, sizeof piece)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return strerror(errno);
		if (text->length + (size_t)got > max)
			return "is too large";
		if (!text_add(text, piece, (size_t)got))
			return "out of memory";
	}
	return text_add(text, "", 0) ? NULL : "out of memory";
}

static const char *read_file(struct text *text, const char *path, size_t max)
{
	/* O_NONBLOCK: a FIFO must not hang us before fstat() has told us what it is. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct stat status;
	const char *why;

	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		why = "is not a regular file";
	else
		why = read_to_end(text, fd, max);
	close(fd);
	return why;
}

/* --- Directories of anchors --- */

static bool is_directory(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* The rest of such a directory is notes, backups, and links by hash to the same files. */
static int is_anchor_file(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && dot != NULL &&
	       (strcmp(dot, ".pem") == 0 || strcmp(dot, ".crt") == 0 || strcmp(dot, ".cer") == 0);
}

static int by_name(const struct dirent **one, const struct dirent **other)
{
	return strcmp((*one)->d_name, (*other)->d_name);
}

/* Calls visit for each file of anchors in the order of the names. The number of files, or -1 with errno. */
static int each_anchor_file(const char *path, void (*visit)(void *context, const char *path), void *context)
{
	struct dirent **names = NULL;
	int count;

	if (!is_directory(path)) {
		visit(context, path);
		return 1;
	}
	count = scandir(path, &names, is_anchor_file, by_name);
	for (int i = 0; i < count; i++) {
		char file[PATH_MAX];

		if (snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name) < (int)sizeof file)
			visit(context, file);
		free(names[i]);
	}
	free(names);
	return count;
}

/* --- Whether files changed --- */

/* FNV-1a, 64 bits: for telling apart, not against an adversary. */
static void stamp_bytes(uint64_t *stamp, const void *bytes, size_t length)
{
	for (const unsigned char *at = bytes; length > 0; at++, length--)
		*stamp = (*stamp ^ *at) * UINT64_C(0x100000001b3);
}

static void stamp_file(void *context, const char *path)
{
	uint64_t *stamp = context;
	struct stat status;

	stamp_bytes(stamp, path, strlen(path) + 1);
	if (stat(path, &status) != 0)
		return;
	stamp_bytes(stamp, &status.st_dev, sizeof status.st_dev);
	stamp_bytes(stamp, &status.st_ino, sizeof status.st_ino);
	stamp_bytes(stamp, &status.st_size, sizeof status.st_size);
	stamp_bytes(stamp, &status.st_mtim.tv_sec, sizeof status.st_mtim.tv_sec);
	stamp_bytes(stamp, &status.st_mtim.tv_nsec, sizeof status.st_mtim.tv_nsec);
	stamp_bytes(stamp, &status.st_ctim.tv_sec, sizeof status.st_ctim.tv_sec);
	stamp_bytes(stamp, &status.st_ctim.tv_nsec, sizeof status.st_ctim.tv_nsec);
}

static uint64_t stamp_of(const struct config *config)
{
	uint64_t stamp = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < config->trust_count; i++) {
		(void)each_anchor_file(config->trust[i].anchors, stamp_file, &stamp);
		if (config->trust[i].crl != NULL)
			stamp_file(&stamp, config->trust[i].crl);
		if (config->trust[i].crl_issuer_anchors != NULL)
			stamp_file(&stamp, config->trust[i].crl_issuer_anchors);
	}
	return stamp;
}

/* --- Anchors --- */

struct anchor_reading {
	struct loading *loading;
	size_t index;
	struct text good;
	unsigned bad;
};

/* A file that is no good by itself is named by itself, and does not spoil the others of its directory. */
static void read_anchor_file(void *context, const char *path)
{
	struct anchor_reading *reading = context;
	struct trust *alone = trust_new();
	struct text text = { NULL, 0 };
	char why[WHY_SIZE] = "out of memory";
	const char *unread = read_file(&text, path, ANCHORS_MAX);
	bool good = unread == NULL && alone != NULL &&
		    trust_add_anchors(alone, text_span(&text), why, sizeof why);

	if (good && (!text_add(&reading->good, text.at, text.length) || !text_add(&reading->good, "\n", 1)))
		reading->loading->out_of_memory = true;
	if (!good) {
		reading->bad++;
		say(reading->loading, reading->index, "anchors", "%s: %s", path,
			unread != NULL ? unread : why);
	}
	trust_free(alone);
	text_clear(&text);
}

static void load_anchors(struct loading *loading, size_t index)
{
	const char *path = loading->files->config->trust[index].anchors;
	struct text *kept = &loading->files->entries[index].anchors;
	struct anchor_reading reading = { .loading = loading, .index = index };
	int count = each_anchor_file(path, read_anchor_file, &reading);
	char why[WHY_SIZE];
	bool good;

	if (count < 0)
		say(loading, index, "anchors", "%s: %s", path, strerror(errno));
	else if (count == 0)
		say(loading, index, "anchors", "%s: has no file whose name ends with .pem, .crt or .cer",
			path);
	/* The good ones of a directory are better than none, but no reason to drop what the bad one had. */
	if (reading.good.at == NULL || (reading.bad > 0 && kept->at != NULL)) {
		good = false;
	} else {
		good = trust_add_anchors(loading->trust, text_span(&reading.good), why, sizeof why);
		if (!good)
			say(loading, index, "anchors", "%s: %s", path, why);
	}
	if (good)
		text_keep(loading, kept, &reading.good);
	else if (kept->at != NULL)
		(void)trust_add_anchors(loading->trust, text_span(kept), why, sizeof why);
	text_clear(&reading.good);
}

/* --- Revocation lists --- */

static bool add_pem(struct text *text, X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes = NULL;
	bool good = bio != NULL && PEM_write_bio_X509(bio, certificate) == 1;
	long length = good ? BIO_get_mem_data(bio, &bytes) : 0;

	good = good && text_add(text, bytes, (size_t)length);
	BIO_free(bio);
	return good;
}

static bool read_certificates(STACK_OF(X509) * certificates, const char *path, char *why, size_t size)
{
	static const struct certificate_pem_limits limits = { ANCHORS_MAX, ANCHOR_COUNT_MAX };
	struct text text = { NULL, 0 };
	const char *unread = read_file(&text, path, ANCHORS_MAX);
	bool good =
		unread == NULL && certificate_pem_read(certificates, text_span(&text), &limits, why, size);

	if (unread != NULL)
		snprintf(why, size, "%s", unread);
	text_clear(&text);
	return good;
}

/* The list's signer need not be a CA, so it goes apart from the roots that lead to it. */
static bool read_crl_issuers(struct entry *found, const char *path, char *why, size_t size)
{
	STACK_OF(X509) *certificates = sk_X509_new_null();
	bool good = certificates != NULL && read_certificates(certificates, path, why, size);

	for (int i = 0; good && i < sk_X509_num(certificates); i++) {
		X509 *certificate = sk_X509_value(certificates, i);
		bool self_issued = X509_NAME_cmp(X509_get_subject_name(certificate),
					   X509_get_issuer_name(certificate)) == 0;

		good = add_pem(self_issued ? &found->crl_roots : &found->crl_signers, certificate);
		if (!good)
			snprintf(why, size, "out of memory");
	}
	if (good && found->crl_roots.at == NULL) {
		snprintf(why, size, "has no root: none of its certificates is self-issued");
		good = false;
	}
	sk_X509_pop_free(certificates, X509_free);
	ERR_clear_error();
	return good;
}

static bool set_crl(const struct loading *loading, const struct entry *entry, char *why, size_t size)
{
	return trust_set_crl(loading->trust, text_span(&entry->crl), text_span(&entry->crl_signers),
		text_span(&entry->crl_roots), loading->now, loading->files->config->verification.crl_grace_s,
		why, size);
}

/* What can be read of it, and is newer than the last good one. */
static bool find_crl(struct loading *loading, size_t index, struct entry *found)
{
	const struct trust_config *config = &loading->files->config->trust[index];
	char why[WHY_SIZE] = "out of memory";
	const char *unread;

	if (!read_crl_issuers(found, config->crl_issuer_anchors, why, sizeof why)) {
		say(loading, index, "crl_issuer_anchors", "%s: %s", config->crl_issuer_anchors, why);
		return false;
	}
	unread = read_file(&found->crl, config->crl, CRL_MAX);
	if (unread == NULL && set_crl(loading, found, why, sizeof why))
		return true;
	say(loading, index, "crl", "%s: %s", config->crl, unread != NULL ? unread : why);
	return false;
}

static void load_crl(struct loading *loading, size_t index)
{
	struct entry *entry = &loading->files->entries[index], found = { .crl = { NULL, 0 } };
	char ignored[WHY_SIZE];

	if (loading->files->config->trust[index].crl == NULL)
		return;
	/* The last good one first, for the new one to be compared with. Where its time is over, it says
	 * nothing. */
	if (entry->crl.at != NULL)
		(void)set_crl(loading, entry, ignored, sizeof ignored);
	if (find_crl(loading, index, &found)) {
		text_keep(loading, &entry->crl, &found.crl);
		text_keep(loading, &entry->crl_roots, &found.crl_roots);
		text_keep(loading, &entry->crl_signers, &found.crl_signers);
	}
	entry_clear(&found);
}

/* --- All of them --- */

/* Makes a trust of what is good now. True when it is there and differs from the one before. */
static bool load(struct trust_files *files, int64_t now, struct config_report *report)
{
	struct loading loading = { .files = files, .report = report, .trust = trust_new(), .now = now };

	files->stamp = stamp_of(files->config);
	if (loading.trust == NULL)
		return false;
	for (size_t i = 0; i < files->config->trust_count; i++) {
		load_anchors(&loading, i);
		load_crl(&loading, i);
	}
	if (files->trust != NULL && (!loading.changed || loading.out_of_memory)) {
		trust_free(loading.trust);
		return false;
	}
	trust_free(files->trust);
	files->trust = loading.trust;
	return true;
}

static const struct entry *entry_of_crl(const struct trust_files *files, const struct trust_config *wanted)
{
	for (size_t i = 0; files != NULL && i < files->config->trust_count; i++) {
		const struct trust_config *config = &files->config->trust[i];

		if (config->crl != NULL && strcmp(config->crl, wanted->crl) == 0 &&
			strcmp(config->crl_issuer_anchors, wanted->crl_issuer_anchors) == 0)
			return &files->entries[i];
	}
	return NULL;
}

static bool inherit_crls(struct trust_files *files, const struct trust_files *before)
{
	for (size_t i = 0; i < files->config->trust_count; i++) {
		const struct trust_config *config = &files->config->trust[i];
		const struct entry *old = config->crl == NULL ? NULL : entry_of_crl(before, config);
		struct entry *entry = &files->entries[i];

		if (old == NULL || old->crl.at == NULL)
			continue;
		if (!text_add(&entry->crl, old->crl.at, old->crl.length) ||
			!text_add(&entry->crl_roots, old->crl_roots.at, old->crl_roots.length) ||
			!text_add(&entry->crl_signers, old->crl_signers.at, old->crl_signers.length))
			return false;
	}
	return true;
}

struct trust_files *trust_files_load(const struct config *config, const struct trust_files *before,
	int64_t now, struct config_report *report)
{
	struct trust_files *files = calloc(1, sizeof *files);

	if (files == NULL)
		return NULL;
	files->config = config;
	files->entries = calloc(config->trust_count + 1, sizeof *files->entries);
	if (files->entries != NULL && inherit_crls(files, before) && load(files, now, report))
		return files;
	trust_files_free(files);
	return NULL;
}

void trust_files_free(struct trust_files *files)
{
	if (files == NULL)
		return;
	for (size_t i = 0; files->entries != NULL && i < files->config->trust_count; i++)
		entry_clear(&files->entries[i]);
	free(files->entries);
	trust_free(files->trust);
	free(files);
}

const struct trust *trust_files_trust(const struct trust_files *files)
{
	return files->trust;
}

bool trust_files_refresh(struct trust_files *files, int64_t now)
{
	return stamp_of(files->config) != files->stamp && load(files, now, NULL);
}

/* --- The check --- */

static void check_tls_ca(const struct config *config, struct config_report *report)
{
	const char *path = config->verification.tls_ca;
	STACK_OF(X509) *certificates = sk_X509_new_null();
	char why[WHY_SIZE] = "out of memory";

	if (path != NULL && (certificates == NULL || !read_certificates(certificates, path, why, sizeof why)))
		config_report_add(report, CONFIG_ERROR, config->files[0], 0, "verification.fetch.tls_ca",
			"%s: %s", path, why);
	sk_X509_pop_free(certificates, X509_free);
	ERR_clear_error();
}

void trust_check_files(const struct config *config, struct config_report *report)
{
	struct trust_files *files = trust_files_load(config, NULL, time(NULL), report);

	if (files == NULL)
		config_report_add(report, CONFIG_ERROR, NULL, 0, "trust", "cannot be checked: out of memory");
	trust_files_free(files);
	check_tls_ca(config, report);
}
