#include "stirrup/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stirrup/channel.h"
#include "stirrup/child_control.h"
#include "stirrup/clock.h"
#include "stirrup/config.h"
#include "stirrup/log.h"
#include "stirrup/record.h"
#include "stirrup/record_message.h"
#include "open_records.h"
#include "spool.h"

#define LINES_SIZE (1 << 20)
#define BATCH 64              /* messages taken from one channel by one system call */
#define ROUNDS_MAX 64         /* batches from each channel before control messages are looked at again */
#define DUE_MAX 65536         /* open records that are written out before they are */
#define NAP_MS 5              /* under load: many lines for one write(), few wake-ups; the channels buffer meanwhile */
#define SHORT_NAP_MS 1        /* a channel was rather full */
#define FINAL_WAIT_US 180000000 /* for the final status; longer where a peer's calls may ring longer */
#define RING_MARGIN_US 30000000
#define SPOOL_SUFFIX ".pending"
#define FILE_CHECK_US 1000000 /* how often the file is looked for under its name */
#define STALL_US 1000000      /* how long a FIFO's reader may rest before lines are dropped */
#define STOP_US 1000000       /* how long CHILD_STOP may be busy with what is queued */

/* Messages as they came from one channel; those before next are done, and of it what is before at. */
struct inbox {
	unsigned next, count;
	size_t at;
	size_t lengths[BATCH];
	char bytes[BATCH][RECORD_MESSAGE_MAX];
};

struct recorder {
	struct child_control control;
	struct config *config;
	bool started;
	bool stopping;

	int *channels;
	size_t channel_count;
	struct pollfd *polled;        /* room for the channels and two more */
	struct inbox *inbox;
	bool full_batch;              /* a channel had one since the last nap */
	bool idle;                    /* nothing came for a second */

	struct open_records *open;
	struct spool *spool;          /* NULL: none, as the records go to no regular file */
	int64_t limit_us;             /* how long an open record waits */
	int64_t now_us;

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

/* What waits for its final status is written down beside the records, if those are in a regular file. */
static void change_spool(struct recorder *r, const char *records)
{
	char path[PATH_MAX];
	struct spool *old = r->spool;
	bool regular = S_ISREG(r->identity.st_mode);
	bool fits = (size_t)snprintf(path, sizeof path, "%s" SPOOL_SUFFIX, records) < sizeof path;

	if (old != NULL && regular && strcmp(spool_path(old), path) == 0)
		return;
	r->spool = regular && fits ? spool_open(path) : NULL;
	if (r->spool != NULL) {
		bool had = open_records_count(r->open) > 0;

		open_records_restore(r->open, r->spool, monotonic_us());
		if (had)
			open_records_save_all(r->open, r->spool);
	}
	spool_close(old, true);
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
	change_spool(r, path);
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

/* Lines go to their file before the spool forgets them: a recorder that dies in between has them written twice rather
 * than not at all. */
static void settle(struct recorder *r)
{
	flush(r);
	if (r->spool != NULL && !has_lines(r))
		open_records_save(r->open, r->spool, r->now_us, r->idle);
}

/* Room for one more line. False while the reader of a FIFO rests; what is open and the channels hold the rest. */
static bool make_room(struct recorder *r)
{
	if (LINES_SIZE - r->length < OPEN_LINE_MAX)
		settle(r);
	return LINES_SIZE - r->length >= OPEN_LINE_MAX;
}

static void take_item(struct recorder *r, const struct record_item *item)
{
	char *out = r->lines + r->length;

	if (records_file(r) == NULL)
		return;
	if (item->kind == RECORD_LINE) {
		memcpy(out, item->line.at, item->line.length);
		r->length += item->line.length;
	} else {
		r->length += open_records_take(r->open, item, r->now_us, out);
	}
}

/* False when it had to stop for want of room. */
static bool empty_inbox(struct recorder *r)
{
	struct inbox *inbox = r->inbox;

	while (inbox->next < inbox->count) {
		struct span rest = { inbox->bytes[inbox->next] + inbox->at, inbox->lengths[inbox->next] - inbox->at };
		struct record_item item;
		size_t length;

		if (rest.length == 0) {
			inbox->next++;
			inbox->at = 0;
			continue;
		}
		if (!make_room(r))
			return false;
		length = record_item_read(&item, rest);
		if (length > 0) {
			take_item(r, &item);
			inbox->at += length;
		} else {
			lose(r, 1, EBADMSG);
			inbox->at += rest.length;
		}
	}
	return true;
}

/* Fills the empty inbox from a channel. Returns how many messages came, -1 when the other end is closed and nothing is
 * left. */
static int fill_inbox(struct recorder *r, int channel)
{
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	int count;

	for (unsigned i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ r->inbox->bytes[i], RECORD_MESSAGE_MAX };
		messages[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &parts[i], .msg_iovlen = 1 } };
	}
	r->inbox->next = r->inbox->count = 0;
	r->inbox->at = 0;
	count = recvmmsg(channel, messages, BATCH, MSG_DONTWAIT, NULL);
	if (count == -1)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	for (int i = 0; i < count; i++) {
		if (messages[i].msg_len == 0) {
			count = i;
			break;
		}
		r->inbox->lengths[i] = messages[i].msg_len;
		if ((messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) {
			lose(r, 1, EMSGSIZE);
			r->inbox->lengths[i] = 0;
		}
	}
	r->inbox->count = (unsigned)count;
	r->full_batch |= count == BATCH;
	return count > 0 ? count : -1;
}

/* One batch from each channel; whether anything came. */
static bool take_round(struct recorder *r)
{
	bool came = false;

	r->now_us = monotonic_us();
	if (!empty_inbox(r))
		return false;
	for (size_t i = r->channel_count; i-- > 0;) {
		int count = fill_inbox(r, r->channels[i]);

		if (count == -1)
			remove_channel(r, i);
		if (count > 0)
			came = true;
		if (!empty_inbox(r))
			break;
	}
	return came;
}

/* Writes the open records that have waited for limit_us. */
static void write_due(struct recorder *r, int64_t limit_us)
{
	for (unsigned i = 0; i < DUE_MAX && make_room(r); i++) {
		size_t length = open_records_due(r->open, limit_us, r->now_us, r->lines + r->length);

		if (length == 0)
			break;
		r->length += length;
	}
}

static bool drain(struct recorder *r)
{
	bool came = false;

	for (unsigned round = 0; round < ROUNDS_MAX && take_round(r); round++)
		came = true;
	write_due(r, r->limit_us);
	settle(r);
	return came;
}

/* ---- the supervisor ---- */

static int64_t final_wait_us(const struct config *config)
{
	int64_t wait = FINAL_WAIT_US;

	for (size_t i = 0; i < config->peer_count; i++) {
		int64_t rings = config->peers[i].no_answer_s * 1000000LL + RING_MARGIN_US;

		if (config->peers[i].mode != MODE_REDIRECT && rings > wait)
			wait = rings;
	}
	return wait;
}

/* There will be no file for them any more. */
static void end_open_records(struct recorder *r)
{
	r->now_us = monotonic_us();
	while (open_records_count(r->open) > 0 && make_room(r))
		write_due(r, 0);
	settle(r);
	spool_close(r->spool, true);
	r->spool = NULL;
}

static void change_over(struct recorder *r)
{
	struct config *next = child_control_take_config(&r->control);

	if (next == NULL) {
		child_control_answer(&r->control, CHILD_REFUSED);
		return;
	}
	if (next->records_file == NULL)
		end_open_records(r);
	config_free(r->config);
	r->config = next;
	r->limit_us = final_wait_us(r->config);
	/* What waits for a FIFO's reader belongs to the old file; check_file() opens the new one after that. */
	r->next_check_us = 0;
	r->identity = (struct stat){ 0 };
	r->open_error = 0;
	if (records_file(r) == NULL) {
		close_file(r);
		forget_lines(r);
	}
	check_file(r);
	child_control_answer(&r->control, CHILD_READY);
}

static void obey(struct recorder *r, const struct child_message *message, int fd)
{
	switch (message->kind) {
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
	case CHILD_CONFIG:
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
	struct child_message message;
	int fd;

	switch (child_control_next(&r->control, &message, &fd)) {
	case CHILD_NEWS_NONE:
		break;
	case CHILD_NEWS_MESSAGE:
		obey(r, &message, fd);
		break;
	case CHILD_NEWS_END:
		r->stopping = true;
		break;
	}
}

/* ---- the loop ---- */

/* Waits until something comes, or a second, in which the file may have been renamed. While lines wait for a FIFO's
 * reader, the channels are left alone. */
static void wait_for_work(struct recorder *r)
{
	nfds_t count = 0;

	r->polled[count++] = (struct pollfd){ .fd = r->control.fd, .events = POLLIN };
	if (has_lines(r)) {
		r->polled[count++] = (struct pollfd){ .fd = r->file, .events = POLLOUT };
	} else if (r->started) {
		for (size_t i = 0; i < r->channel_count; i++)
			r->polled[count++] = (struct pollfd){ .fd = r->channels[i], .events = POLLIN };
	}
	r->idle = poll(r->polled, count, 1000) == 0;
	if (!r->idle && r->polled[0].revents != 0)
		read_control(r);
}

static void nap(struct recorder *r)
{
	struct pollfd control = { .fd = r->control.fd, .events = POLLIN };

	poll(&control, 1, r->full_batch ? SHORT_NAP_MS : NAP_MS);
	r->full_batch = false;
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

/* What could not be written in time is the successor's, where there is a spool. */
static void leave_open_records(struct recorder *r)
{
	size_t left = open_records_count(r->open);
	bool kept = r->spool != NULL && !spool_is_lost(r->spool);

	if (left > 0 && kept)
		log_warning("%zu records of calls without a final answer are left in %s", left, spool_path(r->spool));
	else if (left > 0)
		lose(r, left, EAGAIN);
	if (open_records_orphans(r->open) > 0)
		log_notice("what was told of %lu calls found no open record", open_records_orphans(r->open));
	spool_close(r->spool, left == 0);
	open_records_free(r->open);
}

/* Writes what is queued and what is open, for a bounded time: a worker may still be sending, a FIFO's reader may not
 * come back. */
static void finish(struct recorder *r)
{
	int64_t deadline = monotonic_us() + STOP_US;

	while (monotonic_us() < deadline) {
		bool came = drain(r);

		if (has_lines(r)) {
			struct pollfd file = { .fd = r->file, .events = POLLOUT };

			poll(&file, 1, NAP_MS);
		} else if (!came && open_records_count(r->open) == 0) {
			break;
		} else if (!came) {
			write_due(r, 0);
			settle(r);
		}
	}
	if (has_lines(r))
		give_up(r, EAGAIN);
	if (r->spool != NULL)
		open_records_save(r->open, r->spool, r->now_us, true);
	leave_open_records(r);
	r->limiter = (struct log_limiter){ 0 };
	report_lost(r);
}

static bool allocate(struct recorder *r)
{
	r->lines = malloc(LINES_SIZE);
	r->inbox = calloc(1, sizeof *r->inbox);
	r->polled = calloc(3, sizeof *r->polled);
	r->open = open_records_new(OPEN_BYTES_MAX);
	if (r->lines == NULL || r->inbox == NULL || r->polled == NULL || r->open == NULL)
		return false;
	r->lines[0] = '\n';
	forget_lines(r);
	return true;
}

static void release(struct recorder *r)
{
	close_file(r);
	while (r->channel_count > 0)
		remove_channel(r, r->channel_count - 1);
	config_free(r->config);
	child_control_end(&r->control);
	free(r->channels);
	free(r->polled);
	free(r->inbox);
	free(r->lines);
}

int recorder_main(int control)
{
	struct recorder r = { .file = -1, .limit_us = FINAL_WAIT_US };

	child_control_begin(&r.control, control);
	/* A FIFO whose reader is gone, a limit on the file's size: both are errors of write(), not our end. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);

	if (!allocate(&r)) {
		log_error("out of memory");
		open_records_free(r.open);
		release(&r);
		return 1;
	}
	serve(&r);
	finish(&r);
	release(&r);
	return 0;
}
