#include "source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stirrup/config.h"

#define TEXTS_MAX (64u << 20) /* all files together */
#define FILES_MAX 4096
#define STRING_MAX 8192 /* a name or directory in the memfd */

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static void file_clear(struct source_file *file)
{
	free(file->name);
	free(file->directory);
	free(file->text);
	*file = (struct source_file){ 0 };
}

void config_source_free(struct config_source *source)
{
	if (source == NULL)
		return;
	for (size_t i = 0; i < source->count; i++)
		file_clear(&source->files[i]);
	free(source->files);
	free(source);
}

/* --- Reading files --- */

struct reader {
	struct config_source *source;
	size_t total;
	char *why;
	size_t why_size;
};

static bool refuse(struct reader *reader, const char *name, const char *reason)
{
	snprintf(reader->why, reader->why_size, "%s: %s", name, reason);
	return false;
}

/* O_NONBLOCK: a FIFO must not hang us before fstat() has told us what it is. */
static int open_regular(struct reader *reader, const char *path, off_t *size)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	if (fd < 0) {
		refuse(reader, path, strerror(errno));
		return -1;
	}
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
		*size = status.st_size;
		return fd;
	}
	refuse(reader, path, "is not a regular file");
	close(fd);
	return -1;
}

/* To the end of the file, however long it is by now. */
static bool read_whole(struct reader *reader, int fd, off_t size, struct source_file *file)
{
	size_t room = size > 0 && size < (off_t)TEXTS_MAX ? (size_t)size + 1 : 4096;

	for (;;) {
		char *larger = realloc(file->text, room + 1);
		ssize_t got;

		if (larger == NULL)
			return refuse(reader, file->name, "out of memory");
		file->text = larger;
		got = read(fd, file->text + file->length, room - file->length);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return refuse(reader, file->name, strerror(errno));
		if (got == 0)
			break;
		file->length += (size_t)got;
		if (reader->total + file->length > TEXTS_MAX)
			return refuse(reader, file->name, "more than 64 MiB of configuration");
		if (file->length == room)
			room *= 2;
	}
	file->text[file->length] = '\0';
	reader->total += file->length;
	return true;
}

static bool read_file(struct reader *reader, const char *path, const char *directory)
{
	struct config_source *source = reader->source;
	struct source_file *larger, *file;
	off_t size = 0;
	bool ok;
	int fd;

	if (source->count == FILES_MAX)
		return refuse(reader, path, "more than 4096 configuration files");
	larger = realloc(source->files, (source->count + 1) * sizeof *larger);
	if (larger == NULL)
		return refuse(reader, path, "out of memory");
	source->files = larger;
	file = &larger[source->count++];
	*file = (struct source_file){ .name = strdup(path), .directory = strdup(directory) };
	if (file->name == NULL || file->directory == NULL)
		return refuse(reader, path, "out of memory");

	fd = open_regular(reader, path, &size);
	if (fd < 0)
		return false;
	ok = read_whole(reader, fd, size, file);
	close(fd);
	if (ok && memchr(file->text, '\0', file->length) != NULL)
		return refuse(reader, path, "has a NUL byte inside: not a configuration file");
	return ok;
}

static int is_fragment(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

/* By bytes: alphasort() would follow the locale. */
static int by_name(const struct dirent **one, const struct dirent **other)
{
	return strcmp((*one)->d_name, (*other)->d_name);
}

static bool read_fragments(struct reader *reader, const char *prefix, const char *directory)
{
	char shown[PATH_MAX], folder[PATH_MAX];
	struct dirent **entries = NULL;
	bool ok = true;
	int count;

	if (snprintf(shown, sizeof shown, "%sconf.d", prefix) >= (int)sizeof shown ||
		snprintf(folder, sizeof folder, "%s/conf.d", directory) >= (int)sizeof folder)
		return refuse(reader, prefix, strerror(ENAMETOOLONG));
	count = scandir(shown, &entries, is_fragment, by_name);
	if (count < 0)
		return errno == ENOENT ? true : refuse(reader, shown, strerror(errno));

	for (int i = 0; i < count; i++) {
		char path[PATH_MAX];

		if (ok && snprintf(path, sizeof path, "%s/%s", shown, entries[i]->d_name) >= (int)sizeof path)
			ok = refuse(reader, shown, strerror(ENAMETOOLONG));
		ok = ok && read_file(reader, path, folder);
		free(entries[i]);
	}
	free(entries);
	return ok;
}

static void note_machine(struct config_source *source)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	source->cores = cores > 0 && cores < INT_MAX ? (unsigned)cores : 1;
	if (gethostname(source->node, sizeof source->node) != 0 || source->node[0] == '\0')
		snprintf(source->node, sizeof source->node, "localhost");
	source->node[SOURCE_NODE_MAX] = '\0';
}

static bool read_all(struct reader *reader, const char *path)
{
	const char *slash = strrchr(path, '/');
	char prefix[PATH_MAX], directory[PATH_MAX];
	size_t length = slash == NULL ? 0 : (size_t)(slash - path) + 1;

	if (length >= sizeof prefix)
		return refuse(reader, path, strerror(ENAMETOOLONG));
	memcpy(prefix, path, length);
	prefix[length] = '\0';
	if (realpath(length == 0 ? "." : prefix, directory) == NULL)
		return refuse(reader, path, strerror(errno));

	return read_file(reader, path, directory) && read_fragments(reader, prefix, directory);
}

struct config_source *config_source_read(const char *path, char *why, size_t why_size)
{
	struct reader reader = {
		.source = calloc(1, sizeof *reader.source), .why = why, .why_size = why_size
	};

	if (reader.source == NULL) {
		refuse(&reader, path, "out of memory");
		return NULL;
	}
	note_machine(reader.source);
	if (read_all(&reader, path))
		return reader.source;
	config_source_free(reader.source);
	return NULL;
}

/* --- The memfd: a head, then for each file its three lengths and its three strings, each with its NUL --- */

#define MAGIC UINT64_C(0x3172697473666e63)

struct memfd_head {
	uint64_t magic;
	uint64_t count;
	uint64_t cores;
	char node[SOURCE_NODE_MAX + 1];
};

struct memfd_lengths {
	uint64_t name, directory, text;
};

static bool write_all(int fd, const void *data, size_t length)
{
	const char *at = data;

	while (length > 0) {
		ssize_t written = write(fd, at, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		at += written;
		length -= (size_t)written;
	}
	return true;
}

static bool write_file(int fd, const struct source_file *file)
{
	struct memfd_lengths lengths = { strlen(file->name), strlen(file->directory), file->length };

	return write_all(fd, &lengths, sizeof lengths) && write_all(fd, file->name, lengths.name + 1) &&
	       write_all(fd, file->directory, lengths.directory + 1) &&
	       write_all(fd, file->text, lengths.text + 1);
}

int config_source_to_memfd(const struct config_source *source)
{
	struct memfd_head head = { .magic = MAGIC, .count = source->count, .cores = source->cores };
	int fd = memfd_create("stirrup.conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int saved;

	if (fd < 0)
		return -1;
	memcpy(head.node, source->node, sizeof head.node);
	if (write_all(fd, &head, sizeof head)) {
		size_t written = 0;

		while (written < source->count && write_file(fd, &source->files[written]))
			written++;
		if (written == source->count && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
			return fd;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* The descriptor's offset is shared between processes, so each reads by its own. */
static bool read_at(int fd, off_t *offset, void *data, size_t length)
{
	char *at = data;

	while (length > 0) {
		ssize_t got = pread(fd, at, length, *offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += got;
		*offset += got;
		length -= (size_t)got;
	}
	return true;
}

static bool read_string(int fd, off_t *offset, char **out, uint64_t length, uint64_t max)
{
	if (length > max)
		return false;
	*out = malloc(length + 1);
	return *out != NULL && read_at(fd, offset, *out, length + 1) && memchr(*out, '\0', length) == NULL &&
	       (*out)[length] == '\0';
}

static bool read_files(int fd, off_t *offset, struct config_source *source, uint64_t count)
{
	if (count == 0 || count > FILES_MAX)
		return false;
	source->files = calloc(count, sizeof *source->files);
	if (source->files == NULL)
		return false;
	while (source->count < count) {
		struct source_file *file = &source->files[source->count++];
		struct memfd_lengths lengths;

		if (!read_at(fd, offset, &lengths, sizeof lengths) ||
			!read_string(fd, offset, &file->name, lengths.name, STRING_MAX) ||
			!read_string(fd, offset, &file->directory, lengths.directory, STRING_MAX) ||
			!read_string(fd, offset, &file->text, lengths.text, TEXTS_MAX))
			return false;
		file->length = lengths.text;
	}
	return true;
}

struct config_source *config_source_from_memfd(int fd)
{
	struct config_source *source = calloc(1, sizeof *source);
	struct memfd_head head;
	off_t offset = 0;

	/* What could still change would not be the same configuration for everyone. */
	if (source != NULL && fcntl(fd, F_GET_SEALS) == SEALS && read_at(fd, &offset, &head, sizeof head) &&
		head.magic == MAGIC) {
		source->cores = (unsigned)head.cores;
		memcpy(source->node, head.node, sizeof source->node);
		source->node[SOURCE_NODE_MAX] = '\0';
		if (read_files(fd, &offset, source, head.count))
			return source;
	}
	config_source_free(source);
	return NULL;
}
