#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stirrup/clock.h"
#include "stirrup/log.h"
#include "stirrup/record.h"
#include "stirrup/record_message.h"

#define SPOOL_MAGIC 0x5b175b17u
#define NOTE UINT16_MAX
#define BUFFER_SIZE 65536
#define WASTE_MIN (16 << 20) /* no rewrite for less */
#define RETRY_US 10000000

/* Before each line. The wall clock: it goes on over a restart of the machine. */
struct spool_head {
	uint32_t magic;
	uint16_t length; /* 0: the id is gone */
	uint16_t hole;   /* NOTE: what follows is no line */
	uint64_t id;
	int64_t since_wall_us;
};

struct spool {
	char path[PATH_MAX], new_path[PATH_MAX];
	int fd;      /* -1: none */
	int old_fd;  /* during a rewrite: what stands under path meanwhile; -1: none */
	size_t size; /* of the file: whole entries */
	bool lost;   /* it could not be written: it holds nothing that may be read */
	int said;    /* the error that was logged last */
	int64_t retry_us;
	size_t used;
	char buffer[BUFFER_SIZE];
};

static void complain(struct spool *spool, const char *what)
{
	if (spool->said != errno)
		log_warning("%s: %s: %s: if the recorder dies now, the records of calls without a final "
			    "answer are lost",
			spool->path, what, strerror(errno));
	spool->said = errno;
}

/* A second server with the same records file must not take these calls for its own. */
static int open_locked(const char *path, int flags)
{
	int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | flags, 0640);
	struct stat file;
	int error;

	if (fd == -1)
		return -1;
	if (fstat(fd, &file) != 0)
		error = errno;
	else if (!S_ISREG(file.st_mode))
		error = EINVAL;
	else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		error = errno == EWOULDBLOCK ? EBUSY : errno;
	else
		return fd;
	close(fd);
	errno = error;
	return -1;
}

static int open_emptied(const char *path)
{
	int fd = open_locked(path, O_CREAT);
	int error;

	if (fd == -1 || ftruncate(fd, 0) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* --- Writing --- */

/* What stands in it will have ended without being marked so, and would be written twice. */
static void discard(int *fd, const char *path)
{
	if (*fd == -1)
		return;
	if (ftruncate(*fd, 0) != 0)
		unlink(path);
	close(*fd);
	*fd = -1;
}

static void lose(struct spool *spool, const char *what)
{
	bool rewriting = spool->old_fd != -1;

	complain(spool, what);
	discard(&spool->fd, rewriting ? spool->new_path : spool->path);
	discard(&spool->old_fd, spool->path);
	if (rewriting)
		unlink(spool->new_path);
	spool->lost = true;
	spool->retry_us = monotonic_us() + RETRY_US;
	spool->used = 0;
	spool->size = 0;
}

static bool write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t written = write(fd, bytes, length);

		if (written == -1 && errno == EINTR)
			continue;
		if (written <= 0) {
			errno = written == 0 ? ENOSPC : errno;
			return false;
		}
		bytes += written;
		length -= (size_t)written;
	}
	return true;
}

void spool_flush(struct spool *spool)
{
	if (spool->lost || spool->used == 0)
		return;
	if (spool->fd == -1)
		spool->fd = open_emptied(spool->path);
	if (spool->fd == -1 || !write_all(spool->fd, spool->buffer, spool->used)) {
		lose(spool, "cannot be written");
		return;
	}
	spool->size += spool->used;
	spool->used = 0;
	spool->said = 0;
}

static void append(struct spool *spool, const void *bytes, size_t length)
{
	if (spool->used + length > sizeof spool->buffer)
		spool_flush(spool);
	if (spool->lost)
		return;
	memcpy(spool->buffer + spool->used, bytes, length);
	spool->used += length;
}

void spool_put(struct spool *spool, const struct spool_line *line)
{
	bool is_note = line->note.length > 0;
	struct span text = is_note ? line->note : line->line;
	struct spool_head head = {
		.magic = SPOOL_MAGIC,
		.length = (uint16_t)text.length,
		.hole = is_note ? NOTE : (uint16_t)line->hole,
		.id = line->id,
		.since_wall_us = wall_us() - (monotonic_us() - line->since_us),
	};

	append(spool, &head, sizeof head);
	if (text.length > 0)
		append(spool, text.at, text.length);
}

void spool_empty(struct spool *spool)
{
	spool->used = 0;
	if (spool->fd == -1 || spool->size == 0)
		return;
	if (ftruncate(spool->fd, 0) != 0)
		lose(spool, "cannot be emptied");
	else
		spool->size = 0;
}

bool spool_is_lost(const struct spool *spool)
{
	return spool->lost;
}

size_t spool_size(const struct spool *spool)
{
	return spool->size + spool->used;
}

bool spool_wants_rewrite(const struct spool *spool, size_t live_bytes, int64_t now_us)
{
	if (spool->lost)
		return now_us >= spool->retry_us;
	return spool_size(spool) > 2 * live_bytes + WASTE_MIN;
}

void spool_rewrite_begin(struct spool *spool)
{
	spool->used = 0;
	spool->size = 0;
	spool->lost = false;
	spool->old_fd = spool->fd;
	spool->fd = open_emptied(spool->old_fd == -1 ? spool->path : spool->new_path);
	if (spool->fd == -1)
		lose(spool, "cannot be made anew");
}

void spool_rewrite_end(struct spool *spool)
{
	spool_flush(spool);
	if (spool->old_fd == -1)
		return;
	if (rename(spool->new_path, spool->path) != 0) {
		lose(spool, "cannot be replaced");
		return;
	}
	close(spool->old_fd);
	spool->old_fd = -1;
}

/* --- Reading --- */

static bool is_well_formed(const struct spool_head *head, const char *text)
{
	struct record_open_head open = {
		.kind = RECORD_OPEN, .length = head->length, .hole = head->hole, .id = head->id
	};
	char bytes[RECORD_ITEM_MAX];
	struct record_item item;

	if (head->hole == NOTE)
		return record_note_write(bytes, sizeof bytes, head->id, (struct span){ text, head->length }) ==
		       sizeof(struct record_note_head) + head->length;
	memcpy(bytes, &open, sizeof open);
	memcpy(bytes + sizeof open, text, head->length);
	return record_item_read(&item, (struct span){ bytes, sizeof open + head->length }) > 0;
}

static bool read_entry(FILE *file, struct spool_head *head, char text[RECORD_MAX])
{
	if (fread(head, sizeof *head, 1, file) != 1 || head->magic != SPOOL_MAGIC ||
		head->length > RECORD_MAX)
		return false;
	return head->length == 0 || (fread(text, head->length, 1, file) == 1 && is_well_formed(head, text));
}

static void read_entries(struct spool *spool, FILE *file, int64_t now_us,
	void (*take)(void *context, const struct spool_line *line), void *context)
{
	static char bytes[RECORD_MAX];
	struct spool_head head;
	int64_t wall = wall_us();

	while (read_entry(file, &head, bytes)) {
		struct span text = { bytes, head.length }, none = { "", 0 };
		bool is_note = head.hole == NOTE;
		/* A clock that was set back makes it wait once more from the beginning. */
		int64_t age =
			head.since_wall_us >= 0 && head.since_wall_us < wall ? wall - head.since_wall_us : 0;

		take(context,
			&(struct spool_line){ head.id, now_us - age, is_note ? 0 : head.hole, is_note ? none : text,
				is_note ? text : none });
		spool->size += sizeof head + head.length;
	}
}

void spool_read(struct spool *spool, int64_t now_us,
	void (*take)(void *context, const struct spool_line *line), void *context)
{
	FILE *file;
	int copy;

	spool->fd = open_locked(spool->path, 0);
	if (spool->fd == -1) {
		if (errno != ENOENT)
			complain(spool, "cannot be read");
		return;
	}
	unlink(spool->new_path);
	copy = fcntl(spool->fd, F_DUPFD_CLOEXEC, 0);
	file = copy == -1 ? NULL : fdopen(copy, "r");
	if (file != NULL) {
		read_entries(spool, file, now_us, take, context);
		fclose(file);
	} else if (copy != -1) {
		close(copy);
	}
	if (ftruncate(spool->fd, (off_t)spool->size) != 0)
		lose(spool, "cannot be cut");
}

/* --- Its life --- */

const char *spool_path(const struct spool *spool)
{
	return spool->path;
}

struct spool *spool_open(const char *path)
{
	struct spool *spool = malloc(sizeof *spool);

	if (spool == NULL)
		return NULL;
	memset(spool, 0, offsetof(struct spool, buffer));
	spool->fd = spool->old_fd = -1;
	if ((size_t)snprintf(spool->path, sizeof spool->path, "%s", path) >= sizeof spool->path ||
		(size_t)snprintf(spool->new_path, sizeof spool->new_path, "%s.new", path) >=
			sizeof spool->new_path) {
		free(spool);
		return NULL;
	}
	return spool;
}

void spool_close(struct spool *spool, bool remove)
{
	if (spool == NULL)
		return;
	if (remove && spool->fd != -1)
		unlink(spool->path);
	if (spool->fd != -1)
		close(spool->fd);
	free(spool);
}
