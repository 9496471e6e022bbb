#include "stirrup/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stirrup/channel.h"
#include "stirrup/child.h"
#include "stirrup/clock.h"
#include "stirrup/config.h"
#include "stirrup/log.h"
#include "stirrup/record.h"

#define LINES_SIZE (1 << 20)
#define BATCH 64              /* messages taken from one channel by one system call */
#define ROUNDS_MAX 64         /* batches from each channel before control messages are looked at again */
#define NAP_MS 5              /* under load: many lines for one write(), few wake-ups; the channels buffer meanwhile */
#define FILE_CHECK_US 1000000 /* how often the file is looked for under its name */
#define STALL_US 1000000      /* how long a FIFO's reader may rest before lines are dropped */
#define STOP_US 1000000       /* how long CHILD_STOP may be busy with what is queued */

struct recorder {
	int control;
	struct config *config;
	struct config *next;          /* CHILD_CONFIG came, CHILD_RELOAD not yet */
	bool next_refused;
	uint32_t next_generation;
	bool started;
	bool stopping;

	int *channels;
	size_t channel_count;
	struct pollfd *polled;        /* room for the channels and two more */

	int file;                     /* -1: none */
	struct stat identity;         /* of file: rotation is seen by it */
	int64_t next_check_us;
	int open_error;               /* the last one that was logged */
	bool torn;                    /* the file ends in the middle of a line */
	int64_t stalled_since_us;     /* 0: the file takes what it is given */

	/* lines[0] is a newline for ever, written first where a torn line stands; the lines are from 1 on. What is
	 * between done and length waits to be written. */
	char *lines;
	size_t done;
	size_t length;

	unsigned long lost;           /* not yet reported */
	int lost_error;               /* why the last ones were */
	struct log_limiter limiter;
};

static const char *records_file(const struct recorder *r)
{
	return r->config == NULL ? NULL : r->config->records_file;
}

/* ---- what could not be written ---- */

static unsigned long count_lines(const char *at, size_t length)
{
	const char *end = at + length;
	unsigned long count = 0;

	while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		count++;
		at++;
	}
	return count;
}

static void report_lost(struct recorder *r)
{
	unsigned long ignored;

	if (r->lost == 0 || !log_allowed(&r->limiter, &ignored))
		return;
	log_error("%s: %lu records lost: %s", records_file(r) == NULL ? "records" : records_file(r), r->lost,
		strerror(r->lost_error));
	r->lost = 0;
}

static void lose(struct recorder *r, unsigned long count, int error)
{
	if (count == 0)
		return;
	r->lost += count;
	r->lost_error = error;
	report_lost(r);
}

static void forget_lines(struct recorder *r)
{
	r->done = 0;
	r->length = 1;
}

static bool has_lines(const struct recorder *r)
{
	return r->length > 1;
}

/* ---- the file ---- */

/* A writer that was killed in the middle of a line has left a piece of it. */
static bool ends_torn(const char *path, const struct stat *file)
{
	struct stat same;
	char last = '\n';
	int fd;

	if (!S_ISREG(file->st_mode) || file->st_size == 0)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1)
		return false;
	if (fstat(fd, &same) == 0 && same.st_dev == file->st_dev && same.st_ino == file->st_ino &&
		pread(fd, &last, 1, file->st_size - 1) != 1)
		last = '\n';
	close(fd);
	return last != '\n';
}

static void close_file(struct recorder *r)
{
	if (r->file != -1)
		close(r->file);
	r->file = -1;
	r->torn = false;
	r->stalled_since_us = 0;
}

/* Opens the file under its configured name. Keeps the old one when that fails: lines in yesterday's file are better
 * than none. O_NONBLOCK is for a FIFO: without a reader it gives ENXIO instead of waiting for one. */
static void open_file(struct recorder *r)
{
	const char *path = records_file(r);
	struct stat identity;
	int fd;

	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0640);
	if (fd == -1 || fstat(fd, &identity) != 0) {
		if (r->open_error != errno)
			log_error("%s: cannot be opened: %s", path, strerror(errno));
		r->open_error = errno;
		if (fd != -1)
			close(fd);
		return;
	}
	if (r->open_error != 0)
		log_notice("%s: open", path);
	r->open_error = 0;
	close_file(r);
	r->file = fd;
	r->identity = identity;
	r->torn = ends_torn(path, &identity);
}

/* Once a second: has the file been renamed or removed (logrotate), can it be opened now? */
static void check_file(struct recorder *r)
{
	int64_t now = monotonic_us();
	struct stat named;

	if (records_file(r) == NULL || now < r->next_check_us || has_lines(r))
		return;
	r->next_check_us = now + FILE_CHECK_US;
	if (r->file != -1 && stat(records_file(r), &named) == 0 && named.st_dev == r->identity.st_dev &&
		named.st_ino == r->identity.st_ino)
		return;
	open_file(r);
}

/* ---- writing ---- */

/* A line was begun and cannot be ended. A regular file is cut back to whole lines; elsewhere a newline has to end
 * the piece, before the next line. */
static bool cut_back(int file, size_t piece)
{
	off_t end = lseek(file, 0, SEEK_CUR);
	struct stat now;

	return end >= (off_t)piece && fstat(file, &now) == 0 && S_ISREG(now.st_mode) && now.st_size == end &&
	       ftruncate(file, end - (off_t)piece) == 0;
}

/* Drops what is left in lines. */
static void give_up(struct recorder *r, int error)
{
	size_t first = r->done == 0 ? 1 : r->done;
	size_t piece = 0;

	while (first - piece > 1 && r->lines[first - piece - 1] != '\n')
		piece++;
	if (piece > 0)
		r->torn = !cut_back(r->file, piece);
	lose(r, count_lines(r->lines + first, r->length - first), error);
	if (error == EPIPE)
		close_file(r);
	forget_lines(r);
}

static bool stalled_too_long(struct recorder *r)
{
	int64_t now = monotonic_us();

	if (r->stalled_since_us == 0)
		r->stalled_since_us = now;
	return now - r->stalled_since_us >= STALL_US;
}

/* Writes what was drained. Something is left in lines afterwards only while a FIFO's reader may still come back. */
static void flush(struct recorder *r)
{
	if (!has_lines(r))
		return;
	if (r->file == -1) {
		if (records_file(r) != NULL)
			lose(r, count_lines(r->lines + 1, r->length - 1), r->open_error == 0 ? EPIPE : r->open_error);
		forget_lines(r);
		return;
	}
	if (r->done == 0 && !r->torn)
		r->done = 1;
	while (r->done < r->length) {
		ssize_t written = write(r->file, r->lines + r->done, r->length - r->done);

		if (written > 0) {
			r->torn = false;
			r->done += (size_t)written;
			r->stalled_since_us = 0;
		} else if (written == -1 && errno == EINTR) {
			continue;
		} else if (written == -1 && errno == EAGAIN) {
			if (stalled_too_long(r))
				give_up(r, EAGAIN);
			return;
		} else {
			give_up(r, written == 0 ? ENOSPC : errno);
			return;
		}
	}
	forget_lines(r);
}

/* ---- the workers' channels ---- */

static bool add_channel(struct recorder *r, int fd)
{
	int *channels = realloc(r->channels, (r->channel_count + 1) * sizeof *channels);
	struct pollfd *polled;

	if (channels == NULL)
		return false;
	r->channels = channels;
	polled = realloc(r->polled, (r->channel_count + 3) * sizeof *polled);
	if (polled == NULL)
		return false;
	r->polled = polled;
	r->channels[r->channel_count++] = fd;
	return true;
}

static void remove_channel(struct recorder *r, size_t index)
{
	close(r->channels[index]);
	r->channels[index] = r->channels[--r->channel_count];
}

/* Takes one batch. Returns how many lines came, -1 when the other end is closed and nothing is left. */
static int take_batch(struct recorder *r, int channel)
{
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	size_t room = (LINES_SIZE - r->length) / RECORD_MAX;
	unsigned batch = room < BATCH ? (unsigned)room : BATCH;
	int count;

	for (unsigned i = 0; i < batch; i++) {
		parts[i] = (struct iovec){ r->lines + r->length + (size_t)i * RECORD_MAX, RECORD_MAX };
		messages[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &parts[i], .msg_iovlen = 1 } };
	}
	count = recvmmsg(channel, messages, batch, MSG_DONTWAIT, NULL);
	if (count == -1)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	for (int i = 0; i < count; i++) {
		const char *line = parts[i].iov_base;
		size_t length = messages[i].msg_len;

		if (length == 0)
			return i > 0 ? i : -1;
		if ((messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0 || line[length - 1] != '\n') {
			lose(r, 1, EMSGSIZE);
			continue;
		}
		if (line != r->lines + r->length)
			memmove(r->lines + r->length, line, length);
		r->length += length;
	}
	return count;
}

/* One batch from each channel; whether anything came. */
static bool take_round(struct recorder *r)
{
	bool came = false;

	for (size_t i = r->channel_count; i-- > 0;) {
		int count;

		if (LINES_SIZE - r->length < (size_t)BATCH * RECORD_MAX)
			flush(r);
		/* The reader of a FIFO rests; the channels hold the rest. */
		if (LINES_SIZE - r->length < RECORD_MAX)
			return came;
		count = take_batch(r, r->channels[i]);
		if (count == -1)
			remove_channel(r, i);
		else if (count > 0)
			came = true;
	}
	return came;
}

static bool drain(struct recorder *r)
{
	bool came = false;

	for (unsigned round = 0; round < ROUNDS_MAX && take_round(r); round++)
		came = true;
	flush(r);
	return came;
}

/* ---- the supervisor ---- */

static void answer(struct recorder *r, enum child_message_kind kind)
{
	struct child_message message = { .kind = kind, .generation = r->next_generation };

	if (!channel_send(r->control, &message, sizeof message, -1))
		log_warning("the supervisor does not take an answer: %s", strerror(errno));
}

static void take_config(struct recorder *r, uint32_t generation, int fd)
{
	struct config_source *source = config_source_from_memfd(fd);
	struct config_report *report = config_report_new();

	config_free(r->next);
	r->next = source == NULL || report == NULL ? NULL : config_parse(source, report);
	r->next_refused = r->next == NULL;
	r->next_generation = generation;
	config_report_free(report);
	config_source_free(source);
}

static void change_over(struct recorder *r)
{
	if (r->next_refused) {
		log_error("the configuration cannot be read");
		answer(r, CHILD_REFUSED);
		r->next_refused = false;
		return;
	}
	if (r->next != NULL) {
		config_free(r->config);
		r->config = r->next;
		r->next = NULL;
	}
	/* What waits for a FIFO's reader belongs to the old file; check_file() opens the new one after that. */
	r->next_check_us = 0;
	r->identity = (struct stat){ 0 };
	r->open_error = 0;
	if (records_file(r) == NULL) {
		close_file(r);
		forget_lines(r);
	}
	check_file(r);
	answer(r, CHILD_READY);
}

static void obey(struct recorder *r, const struct child_message *message, int fd)
{
	switch (message->kind) {
	case CHILD_CONFIG:
		take_config(r, message->generation, fd);
		break;
	case CHILD_RECORDER:
		if (fd != -1 && add_channel(r, fd))
			return;
		break;
	case CHILD_START:
	case CHILD_RELOAD:
		r->started = true;
		change_over(r);
		break;
	case CHILD_STOP:
		r->stopping = true;
		break;
	case CHILD_IDENTITY:
	case CHILD_LISTENER:
	case CHILD_SIGNER:
	case CHILD_FETCHER:
	case CHILD_HANDOVER_READ:
	case CHILD_HANDOVER_WRITE:
	case CHILD_REPLAY:
	case CHILD_SECRET:
	case CHILD_SIGNER_READY:
	case CHILD_SIGNER_GONE:
	case CHILD_FETCHER_READY:
	case CHILD_FETCHER_GONE:
	case CHILD_RELEASE:
	case CHILD_READY:
	case CHILD_REFUSED:
		break;
	}
	if (fd != -1)
		close(fd);
}

static void read_control(struct recorder *r)
{
	for (;;) {
		struct child_message message;
		int fd;
		ssize_t length = channel_receive(r->control, &message, sizeof message, &fd);

		if (length == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (length <= 0) {
			r->stopping = true;
			return;
		}
		if (length == sizeof message)
			obey(r, &message, fd);
		else if (fd != -1)
			close(fd);
	}
}

/* ---- the loop ---- */

/* Waits until something comes, or a second, in which the file may have been renamed. While lines wait for a FIFO's
 * reader, the channels are left alone. */
static void wait_for_work(struct recorder *r)
{
	nfds_t count = 0;

	r->polled[count++] = (struct pollfd){ .fd = r->control, .events = POLLIN };
	if (has_lines(r)) {
		r->polled[count++] = (struct pollfd){ .fd = r->file, .events = POLLOUT };
	} else if (r->started) {
		for (size_t i = 0; i < r->channel_count; i++)
			r->polled[count++] = (struct pollfd){ .fd = r->channels[i], .events = POLLIN };
	}
	if (poll(r->polled, count, 1000) > 0 && r->polled[0].revents != 0)
		read_control(r);
}

static void nap(struct recorder *r)
{
	struct pollfd control = { .fd = r->control, .events = POLLIN };

	poll(&control, 1, NAP_MS);
}

static void serve(struct recorder *r)
{
	while (!r->stopping) {
		wait_for_work(r);
		if (!r->started)
			continue;
		flush(r);
		check_file(r);
		if (!has_lines(r) && drain(r))
			nap(r);
		report_lost(r);
	}
}

/* Writes what is queued, for a bounded time: a worker may still be sending, a FIFO's reader may not come back. */
static void finish(struct recorder *r)
{
	int64_t deadline = monotonic_us() + STOP_US;

	while (monotonic_us() < deadline) {
		bool came = drain(r);

		if (has_lines(r)) {
			struct pollfd file = { .fd = r->file, .events = POLLOUT };

			poll(&file, 1, NAP_MS);
		} else if (!came) {
			break;
		}
	}
	if (has_lines(r))
		give_up(r, EAGAIN);
	r->limiter = (struct log_limiter){ 0 };
	report_lost(r);
}

int recorder_main(int control)
{
	struct recorder r = { .control = control, .file = -1 };

	/* A FIFO whose reader is gone, a limit on the file's size: both are errors of write(), not our end. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);

	r.lines = malloc(LINES_SIZE);
	r.polled = calloc(3, sizeof *r.polled);
	if (r.lines == NULL || r.polled == NULL) {
		log_error("out of memory");
		free(r.lines);
		free(r.polled);
		return 1;
	}
	r.lines[0] = '\n';
	forget_lines(&r);

	serve(&r);
	finish(&r);

	close_file(&r);
	while (r.channel_count > 0)
		remove_channel(&r, r.channel_count - 1);
	config_free(r.config);
	config_free(r.next);
	free(r.channels);
	free(r.polled);
	free(r.lines);
	return 0;
}
