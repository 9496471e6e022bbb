
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "stirrup/channel.h"
#include "stirrup/child.h"
#include "stirrup/clock.h"
#include "stirrup/config.h"
#include "stirrup/record.h"
#include "stirrup/record_message.h"
#include "stirrup/recorder.h"

#define WORKERS 2
#define PATIENCE_MS 5000

/* A recorder in a process of its own, and this test as its supervisor and its workers. */
struct fixture {
	char directory[64];
	char records[128];
	char log[128];
	pid_t child;
	int control;
	int workers[WORKERS];
};

static void path_in(const struct fixture *f, char path[128], const char *name)
{
	snprintf(path, 128, "%s/%s", f->directory, name);
}

static void order(const struct fixture *f, enum child_message_kind kind, uint32_t generation, int fd)
{
	struct child_message message = { .kind = kind, .generation = generation };

	assert_true(channel_send(f->control, &message, sizeof message, fd));
}

static void send_config(const struct fixture *f, uint32_t generation, const char *records)
{
	char path[128], why[256];
	struct config_source *source;
	FILE *file;
	int fd;

	path_in(f, path, "stirrup.conf");
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "sip: { listen = [ \"udp:127.0.0.1:5060\" ]; secret_file = \"secret\"; };\n");
	fprintf(file, "peers = ( { name = \"core\"; addresses = [ \"127.0.0.1\" ]; } );\n");
	if (records != NULL)
		fprintf(file, "records: { file = \"%s\"; };\n", records);
	fclose(file);
	source = config_source_read(path, why, sizeof why);
	assert_non_null(source);
	fd = config_source_to_memfd(source);
	assert_true(fd >= 0);
	order(f, CHILD_CONFIG, generation, fd);
	close(fd);
	config_source_free(source);
}

static void expect_answer(const struct fixture *f, enum child_message_kind kind, uint32_t generation)
{
	struct pollfd control = { .fd = f->control, .events = POLLIN };
	struct child_message message;

	assert_int_equal(poll(&control, 1, PATIENCE_MS), 1);
	assert_int_equal(channel_receive(f->control, &message, sizeof message, NULL), sizeof message);
	assert_int_equal(message.kind, kind);
	assert_int_equal(message.generation, generation);
}

static int add_worker(const struct fixture *f)
{
	int ends[2];

	assert_true(channel_pair(ends));
	order(f, CHILD_RECORDER, 0, ends[1]);
	close(ends[1]);
	return ends[0];
}

static struct fixture *start(const char *records)
{
	struct fixture *f = calloc(1, sizeof *f);
	int ends[2];

	assert_non_null(f);
	strcpy(f->directory, "/tmp/test-recorder-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	path_in(f, f->log, "log");
	if (records != NULL && records[0] == '/')
		snprintf(f->records, sizeof f->records, "%s", records);
	else if (records != NULL)
		path_in(f, f->records, records);
	assert_true(channel_pair(ends));
	f->child = fork();
	assert_true(f->child >= 0);
	if (f->child == 0) {
		int log = open(f->log, O_WRONLY | O_CREAT | O_APPEND, 0600);

		dup2(log, STDERR_FILENO);
		close(ends[0]);
		_exit(recorder_main(ends[1]));
	}
	close(ends[1]);
	f->control = ends[0];
	send_config(f, 1, records == NULL ? NULL : f->records);
	for (int i = 0; i < WORKERS; i++)
		f->workers[i] = add_worker(f);
	order(f, CHILD_START, 0, -1);
	return f;
}

static void expect_exit(struct fixture *f)
{
	int64_t give_up = monotonic_us() + PATIENCE_MS * 1000;
	int status = -1;

	while (waitpid(f->child, &status, WNOHANG) == 0) {
		if (monotonic_us() > give_up) {
			kill(f->child, SIGKILL);
			fail_msg("the recorder does not stop");
		}
		usleep(2000);
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void stop(struct fixture *f)
{
	order(f, CHILD_STOP, 0, -1);
	expect_exit(f);
}

static void clean(struct fixture *f)
{
	static const char *const names[] = { "stirrup.conf", "log", "calls", "calls.1", "other", "fifo",
		"calls.pending", "other.pending" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		char path[128];

		path_in(f, path, names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(f->directory), 0);
	close(f->control);
	for (int i = 0; i < WORKERS; i++)
		close(f->workers[i]);
	free(f);
}

static void send_line(const struct fixture *f, int worker, int number)
{
	char line[700];
	int length = snprintf(line, sizeof line, "{\"w\":%d,\"n\":%d,\"fill\":\"", worker, number);

	memset(line + length, 'x', 600 - (size_t)length);
	strcpy(line + 600, "\"}\n");
	while (!channel_send(f->workers[worker], line, strlen(line), -1)) {
		assert_int_equal(errno, EAGAIN);
		usleep(500);
	}
}

static size_t open_item(char item[RECORD_ITEM_MAX], int number)
{
	char call_id[32];
	struct record record = { .node = "open" };
	size_t length;

	snprintf(call_id, sizeof call_id, "call-%d", number);
	record.call_id = span_of(call_id);
	length = record_open_write(item, RECORD_ITEM_MAX, (uint64_t)number, &record);
	assert_true(length > 0);
	return length;
}

static size_t final_item(char item[RECORD_ITEM_MAX], int number, unsigned status)
{
	struct record_final final = {
		.status = status, .by = span_of("192.0.2.9:5060"), .why = span_of("486 Busy Here") };
	size_t length = record_final_write(item, RECORD_ITEM_MAX, (uint64_t)number, &final);

	assert_true(length > 0);
	return length;
}

static size_t note_item(char item[RECORD_ITEM_MAX], int number)
{
	char text[32];

	snprintf(text, sizeof text, "180 of %d", number);
	return record_note_write(item, RECORD_ITEM_MAX, (uint64_t)number, span_of(text));
}

static void send_item(const struct fixture *f, int worker, const char *item, size_t length)
{
	while (!channel_send(f->workers[worker], item, length, -1)) {
		assert_int_equal(errno, EAGAIN);
		usleep(500);
	}
}

static void send_open(const struct fixture *f, int worker, int number)
{
	char item[RECORD_ITEM_MAX];

	send_item(f, worker, item, open_item(item, number));
}

static void send_final(const struct fixture *f, int worker, int number, unsigned status)
{
	char item[RECORD_ITEM_MAX];

	send_item(f, worker, item, final_item(item, number, status));
}

static void send_note(const struct fixture *f, int worker, int number)
{
	char item[RECORD_ITEM_MAX];

	send_item(f, worker, item, note_item(item, number));
}

static char *contents(const char *path, size_t *length)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 16 << 20);

	assert_non_null(text);
	*length = file == NULL ? 0 : fread(text, 1, (16 << 20) - 1, file);
	if (file != NULL)
		fclose(file);
	return text;
}

static int lines_in(const char *path)
{
	size_t length;
	char *text = contents(path, &length);
	int count = 0;

	for (size_t i = 0; i < length; i++)
		count += text[i] == '\n';
	free(text);
	return count;
}

static void wait_for_lines(const char *path, int count)
{
	for (int ms = 0; ms < PATIENCE_MS && lines_in(path) < count; ms += 5)
		usleep(5000);
	assert_int_equal(lines_in(path), count);
}

/* How many lines are of this call with this status. 0: null. */
static int records_of(const char *path, int number, unsigned status)
{
	size_t length;
	char *text = contents(path, &length), call[64], final[128];
	int count = 0;

	snprintf(call, sizeof call, ",\"call_id\":\"call-%d\",", number);
	if (status == 0)
		strcpy(final, "," RECORD_NO_FINAL ",");
	else
		snprintf(final, sizeof final, ",\"final_status\":%u,", status);
	for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		count += strstr(line, call) != NULL && strstr(line, final) != NULL;
	}
	free(text);
	return count;
}

/* Whether the one record of this call has this member. */
static bool record_has(const char *path, int number, const char *member)
{
	size_t length;
	char *text = contents(path, &length), call[64], *line, *end;
	bool has;

	snprintf(call, sizeof call, ",\"call_id\":\"call-%d\",", number);
	line = strstr(text, call);
	assert_non_null(line);
	end = strchr(line, '\n');
	assert_non_null(end);
	assert_null(strstr(end, call));
	*end = '\0';
	has = strstr(line, member) != NULL;
	free(text);
	return has;
}

static off_t size_of(const char *path)
{
	struct stat file;

	return stat(path, &file) == 0 ? file.st_size : -1;
}

static void wait_for_size(const char *path, off_t least)
{
	for (int ms = 0; ms < PATIENCE_MS && size_of(path) < least; ms += 5)
		usleep(5000);
	assert_true(size_of(path) >= least);
}

static bool log_has(const struct fixture *f, const char *text)
{
	size_t length;
	char *log = contents(f->log, &length);
	bool has = strstr(log, text) != NULL;

	free(log);
	return has;
}

static void wait_for_log(const struct fixture *f, const char *text)
{
	for (int ms = 0; ms < PATIENCE_MS && !log_has(f, text); ms += 5)
		usleep(5000);
	assert_true(log_has(f, text));
}

/* Every line is whole, and those of each worker are in the order sent, from 0 on without a gap. */
static void assert_whole_and_ordered(const char *path, const int counts[WORKERS])
{
	int next[WORKERS] = { 0 };
	size_t length;
	char *text = contents(path, &length);

	for (char *line = text; *line != '\0';) {
		char *end = strchr(line, '\n');
		int worker, number;

		assert_non_null(end);
		assert_int_equal(end - line, 602);
		assert_memory_equal(end - 2, "\"}", 2);
		assert_int_equal(sscanf(line, "{\"w\":%d,\"n\":%d,", &worker, &number), 2);
		assert_int_equal(number, next[worker]++);
		line = end + 1;
	}
	for (int i = 0; i < WORKERS; i++)
		assert_int_equal(next[i], counts[i]);
	free(text);
}

static void lines_arrive_whole_and_in_order(void **state)
{
	static const int counts[WORKERS] = { 6000, 4000 };
	struct fixture *f = start("calls");
	struct stat file;

	expect_answer(f, CHILD_READY, 1);
	for (int i = 0; i < 6000; i++) {
		send_line(f, 0, i);
		if (i < 4000)
			send_line(f, 1, i);
	}
	stop(f);
	assert_whole_and_ordered(f->records, counts);
	assert_int_equal(stat(f->records, &file), 0);
	assert_int_equal(file.st_mode & 0137, 0);
	assert_false(log_has(f, "lost"));
	clean(f);
}

static void a_line_is_in_the_file_soon(void **state)
{
	struct fixture *f = start("calls");
	int64_t sent;

	expect_answer(f, CHILD_READY, 1);
	sent = monotonic_us();
	send_line(f, 0, 0);
	wait_for_lines(f->records, 1);
	assert_true(monotonic_us() - sent < 500000);
	stop(f);
	clean(f);
}

static void stop_writes_what_is_queued(void **state)
{
	static const int counts[WORKERS] = { 300, 300 };
	struct fixture *f = start("calls");

	expect_answer(f, CHILD_READY, 1);
	kill(f->child, SIGSTOP);
	for (int i = 0; i < 300; i++) {
		send_line(f, 0, i);
		send_line(f, 1, i);
	}
	order(f, CHILD_STOP, 0, -1);
	kill(f->child, SIGCONT);
	expect_exit(f);
	assert_whole_and_ordered(f->records, counts);
	clean(f);
}

static void the_end_of_the_supervisor_is_a_stop(void **state)
{
	static const int counts[WORKERS] = { 1, 0 };
	struct fixture *f = start("calls");

	expect_answer(f, CHILD_READY, 1);
	send_line(f, 0, 0);
	shutdown(f->control, SHUT_RDWR);
	expect_exit(f);
	assert_whole_and_ordered(f->records, counts);
	clean(f);
}

static void a_dead_workers_lines_are_kept_and_its_successor_heard(void **state)
{
	static const int counts[WORKERS] = { 150, 0 };
	struct fixture *f = start("calls");

	expect_answer(f, CHILD_READY, 1);
	kill(f->child, SIGSTOP);
	for (int i = 0; i < 100; i++)
		send_line(f, 0, i);
	close(f->workers[0]);
	kill(f->child, SIGCONT);
	wait_for_lines(f->records, 100);
	f->workers[0] = add_worker(f);
	for (int i = 100; i < 150; i++)
		send_line(f, 0, i);
	wait_for_lines(f->records, 150);
	stop(f);
	assert_whole_and_ordered(f->records, counts);
	clean(f);
}

static void what_is_not_one_line_is_not_written(void **state)
{
	static char huge[RECORD_MESSAGE_MAX + 1];
	struct fixture *f = start("calls");

	expect_answer(f, CHILD_READY, 1);
	assert_true(channel_send(f->workers[0], "{no newline", 11, -1));
	wait_for_log(f, "1 records lost: Bad message");
	assert_true(channel_send(f->workers[0], "x\n", 2, -1));
	memset(huge, '{', sizeof huge);
	huge[sizeof huge - 1] = '\n';
	assert_true(channel_send(f->workers[0], huge, sizeof huge, -1));
	send_line(f, 0, 0);
	wait_for_lines(f->records, 1);
	stop(f);
	assert_whole_and_ordered(f->records, (const int[WORKERS]){ 1, 0 });
	assert_true(log_has(f, "2 records lost: "));
	clean(f);
}

static void a_message_may_have_several_items(void **state)
{
	struct fixture *f = start("calls");
	char message[RECORD_MESSAGE_MAX], item[RECORD_ITEM_MAX];
	size_t length = 0, next;

	expect_answer(f, CHILD_READY, 1);
	for (int i = 1; i <= 5; i++) {
		length += record_write(message + length, sizeof message - length, &(struct record){ .node = "whole" });
		next = open_item(item, i);
		memcpy(message + length, item, next);
		length += next;
	}
	for (int i = 1; i <= 4; i++) {
		next = final_item(item, i, 200);
		memcpy(message + length, item, next);
		length += next;
	}
	memcpy(message + length, "{torn", 5);
	send_item(f, 0, message, length + 5);
	wait_for_lines(f->records, 9);
	stop(f);
	assert_int_equal(lines_in(f->records), 10);
	assert_int_equal(records_of(f->records, 4, 200), 1);
	assert_int_equal(records_of(f->records, 5, 0), 1);
	assert_true(log_has(f, "1 records lost: Bad message"));
	clean(f);
}

static void an_open_record_waits_for_its_final(void **state)
{
	struct fixture *f = start("calls");

	expect_answer(f, CHILD_READY, 1);
	send_open(f, 0, 1);
	send_line(f, 0, 0);
	wait_for_lines(f->records, 1);
	/* By another worker; of the next call first. */
	send_final(f, 1, 2, 486);
	send_final(f, 1, 1, 200);
	wait_for_lines(f->records, 2);
	send_open(f, 0, 2);
	wait_for_lines(f->records, 3);
	send_final(f, 0, 1, 200);
	send_final(f, 1, 2, 200);
	send_final(f, 1, 99, 200);
	stop(f);
	assert_int_equal(lines_in(f->records), 3);
	assert_int_equal(records_of(f->records, 1, 200), 1);
	assert_int_equal(records_of(f->records, 2, 486), 1);
	assert_true(log_has(f, "what was told of 1 calls found no open record"));
	assert_false(log_has(f, "lost"));
	clean(f);
}

static void a_note_is_written_with_the_record_of_its_call(void **state)
{
	struct fixture *f = start("calls");

	expect_answer(f, CHILD_READY, 1);
	/* Before its line, after it, and by another worker. */
	send_note(f, 0, 1);
	send_open(f, 0, 1);
	send_note(f, 0, 1);
	send_open(f, 0, 2);
	send_line(f, 0, 0);
	wait_for_lines(f->records, 1);
	send_note(f, 1, 2);
	send_open(f, 1, 3);
	send_final(f, 0, 1, 486);
	send_final(f, 1, 2, 200);
	wait_for_lines(f->records, 3);
	send_note(f, 1, 3);
	stop(f);
	assert_int_equal(lines_in(f->records), 4);
	assert_true(record_has(f->records, 1, ",\"final_status\":486,"));
	assert_true(record_has(f->records, 1, ",\"rejection\":\"486 Busy Here\",\"note\":\"180 of 1\","));
	assert_true(record_has(f->records, 2, ",\"note\":\"180 of 2; 486 Busy Here\","));
	assert_true(record_has(f->records, 3, ",\"final_status\":null,\"rejected_by\":null,\"rejection\":null,\"note\":\"180 of 3\","));
	assert_false(log_has(f, "lost"));
	clean(f);
}

static void stop_writes_what_is_open(void **state)
{
	struct fixture *f = start("calls");
	char spool[128];

	expect_answer(f, CHILD_READY, 1);
	path_in(f, spool, "calls.pending");
	for (int i = 0; i < 5000; i++) {
		send_open(f, i % WORKERS, i);
		if (i % 5 == 0)
			send_final(f, i % WORKERS, i, 200);
	}
	stop(f);
	assert_int_equal(lines_in(f->records), 5000);
	assert_int_equal(records_of(f->records, 100, 200), 1);
	assert_int_equal(records_of(f->records, 101, 0), 1);
	assert_int_equal(size_of(spool), -1);
	clean(f);
}

static void kill_it(struct fixture *f)
{
	kill(f->child, SIGKILL);
	assert_int_equal(waitpid(f->child, NULL, 0), f->child);
}

static void a_successor_knows_what_was_open(void **state)
{
	struct fixture *f = start("calls"), *again;
	char spool[128];

	expect_answer(f, CHILD_READY, 1);
	path_in(f, spool, "calls.pending");
	for (int i = 0; i < 100; i++)
		send_open(f, 0, i);
	wait_for_size(spool, 100 * 300);
	send_note(f, 0, 48);
	send_note(f, 0, 50);
	send_final(f, 0, 0, 200);
	wait_for_lines(f->records, 1);
	usleep(50000);
	kill_it(f);

	again = start(f->records);
	expect_answer(again, CHILD_READY, 1);
	send_final(again, 0, 0, 200);
	for (int i = 1; i < 50; i++)
		send_final(again, 1, i, 486);
	wait_for_lines(f->records, 50);
	stop(again);
	assert_int_equal(lines_in(f->records), 100);
	assert_int_equal(records_of(f->records, 49, 486), 1);
	assert_true(record_has(f->records, 48, "\"rejection\":\"486 Busy Here\",\"note\":\"180 of 48\","));
	assert_true(record_has(f->records, 50, "\"final_status\":null,\"rejected_by\":null,\"rejection\":null,\"note\":\"180 of 50\","));
	assert_int_equal(records_of(f->records, 51, 0), 1);
	assert_int_equal(size_of(spool), -1);
	clean(again);
	clean(f);
}

static void what_is_open_follows_a_reload(void **state)
{
	struct fixture *f = start("calls");
	char other[128], spool[128], other_spool[128];

	expect_answer(f, CHILD_READY, 1);
	path_in(f, other, "other");
	path_in(f, spool, "calls.pending");
	path_in(f, other_spool, "other.pending");
	send_open(f, 0, 1);
	send_open(f, 0, 2);
	wait_for_size(spool, 600);
	send_config(f, 2, other);
	order(f, CHILD_RELOAD, 0, -1);
	expect_answer(f, CHILD_READY, 2);
	assert_int_equal(size_of(spool), -1);
	assert_true(size_of(other_spool) > 600);
	send_final(f, 0, 1, 200);
	wait_for_lines(other, 1);
	send_config(f, 3, NULL);
	order(f, CHILD_RELOAD, 0, -1);
	expect_answer(f, CHILD_READY, 3);
	assert_int_equal(records_of(other, 1, 200), 1);
	assert_int_equal(records_of(other, 2, 0), 1);
	assert_int_equal(size_of(other_spool), -1);
	stop(f);
	assert_int_equal(lines_in(f->records), 0);
	clean(f);
}

static void a_full_disk_costs_records_and_says_so(void **state)
{
	struct fixture *f = start("/dev/full");
	size_t length;
	char *log;
	int said = 0;

	expect_answer(f, CHILD_READY, 1);
	for (int i = 0; i < 40; i++) {
		send_line(f, 0, i);
		usleep(10000);
	}
	stop(f);
	log = contents(f->log, &length);
	for (char *at = log; (at = strstr(at, "records lost: No space left on device")) != NULL; at++)
		said++;
	free(log);
	assert_in_range(said, 1, 2);
	clean(f);
}

static void limit_file_size(const struct fixture *f, rlim_t size)
{
	struct rlimit limit = { size, RLIM_INFINITY };

	assert_int_equal(prlimit(f->child, RLIMIT_FSIZE, &limit, NULL), 0);
}

static void a_disk_that_fills_within_a_line_leaves_whole_lines(void **state)
{
	struct fixture *f = start("calls");

	expect_answer(f, CHILD_READY, 1);
	limit_file_size(f, 603 * 3 + 100);
	for (int i = 0; i < 10; i++)
		send_line(f, 0, i);
	wait_for_log(f, "lost: File too large");
	limit_file_size(f, RLIM_INFINITY);
	/* There is room again: the next lines are written without anybody's help. */
	for (int i = 3; i < 5; i++)
		send_line(f, 0, i);
	wait_for_lines(f->records, 5);
	stop(f);
	assert_whole_and_ordered(f->records, (const int[WORKERS]){ 5, 0 });
	clean(f);
}

static void a_torn_line_of_a_killed_writer_is_ended_first(void **state)
{
	struct fixture *f = start("calls");
	FILE *file;
	size_t length;
	char *text;

	expect_answer(f, CHILD_READY, 1);
	stop(f);
	file = fopen(f->records, "w");
	assert_non_null(file);
	fputs("{\"v\":1,\"ti", file);
	fclose(file);

	struct fixture *again = start(f->records);

	expect_answer(again, CHILD_READY, 1);
	send_line(again, 0, 0);
	send_line(again, 0, 1);
	wait_for_lines(again->records, 3);
	stop(again);
	text = contents(f->records, &length);
	assert_memory_equal(text, "{\"v\":1,\"ti\n{\"w\":0,\"n\":0,", 24);
	free(text);
	clean(again);
	clean(f);
}

static void a_renamed_file_is_opened_anew(void **state)
{
	struct fixture *f = start("calls");
	char rotated[128];

	expect_answer(f, CHILD_READY, 1);
	path_in(f, rotated, "calls.1");
	send_line(f, 0, 0);
	wait_for_lines(f->records, 1);
	assert_int_equal(rename(f->records, rotated), 0);
	for (int ms = 0; ms < PATIENCE_MS && access(f->records, F_OK) != 0; ms += 10)
		usleep(10000);
	send_line(f, 0, 1);
	wait_for_lines(f->records, 1);
	stop(f);
	assert_int_equal(lines_in(rotated), 1);
	clean(f);
}

static void a_removed_file_is_made_anew_under_load(void **state)
{
	struct fixture *f = start("calls");
	int i = 0;

	expect_answer(f, CHILD_READY, 1);
	send_line(f, 0, i++);
	wait_for_lines(f->records, 1);
	unlink(f->records);
	for (int ms = 0; ms < PATIENCE_MS && access(f->records, F_OK) != 0; ms += 10) {
		send_line(f, 0, i++);
		usleep(10000);
	}
	assert_int_equal(access(f->records, F_OK), 0);
	stop(f);
	clean(f);
}

static void a_reload_changes_over_to_another_file(void **state)
{
	struct fixture *f = start("calls");
	char other[128];

	expect_answer(f, CHILD_READY, 1);
	path_in(f, other, "other");
	send_line(f, 0, 0);
	wait_for_lines(f->records, 1);
	send_config(f, 2, other);
	order(f, CHILD_RELOAD, 0, -1);
	expect_answer(f, CHILD_READY, 2);
	send_line(f, 0, 1);
	wait_for_lines(other, 1);
	stop(f);
	assert_int_equal(lines_in(f->records), 1);
	clean(f);
}

static void a_reload_without_records_ends_them(void **state)
{
	struct fixture *f = start("calls");

	expect_answer(f, CHILD_READY, 1);
	send_config(f, 2, NULL);
	order(f, CHILD_RELOAD, 0, -1);
	expect_answer(f, CHILD_READY, 2);
	send_line(f, 0, 0);
	stop(f);
	assert_int_equal(lines_in(f->records), 0);
	assert_false(log_has(f, "lost"));
	clean(f);
}

static void a_reload_that_cannot_be_read_is_refused(void **state)
{
	struct fixture *f = start("calls");
	int junk = memfd_create("junk", MFD_CLOEXEC);

	expect_answer(f, CHILD_READY, 1);
	assert_int_equal(write(junk, "\0\xff???", 5), 5);
	order(f, CHILD_CONFIG, 2, junk);
	close(junk);
	order(f, CHILD_RELOAD, 0, -1);
	expect_answer(f, CHILD_REFUSED, 2);
	send_line(f, 0, 0);
	wait_for_lines(f->records, 1);
	stop(f);
	clean(f);
}

static void a_file_that_cannot_be_opened_is_tried_again(void **state)
{
	struct fixture *f = start("calls");
	char other[128];

	expect_answer(f, CHILD_READY, 1);
	path_in(f, other, "other");
	assert_int_equal(symlink("calls", other), 0);
	send_config(f, 2, other);
	order(f, CHILD_RELOAD, 0, -1);
	expect_answer(f, CHILD_READY, 2);
	wait_for_log(f, "cannot be opened");
	/* Meanwhile the old file is better than none. */
	send_line(f, 0, 0);
	wait_for_lines(f->records, 1);
	unlink(other);
	for (int ms = 0; ms < PATIENCE_MS && access(other, F_OK) != 0; ms += 10)
		usleep(10000);
	send_line(f, 0, 1);
	wait_for_lines(other, 1);
	stop(f);
	clean(f);
}

static void make_fifo(char path[128], const struct fixture *f)
{
	path_in(f, path, "fifo");
	assert_int_equal(mkfifo(path, 0600), 0);
}

static void a_fifo_without_a_reader_hinders_nothing(void **state)
{
	struct fixture *f = start("calls");
	char fifo[128], line[1024];
	int reader;

	expect_answer(f, CHILD_READY, 1);
	stop(f);
	make_fifo(fifo, f);

	struct fixture *again = start(fifo);

	expect_answer(again, CHILD_READY, 1);
	send_line(again, 0, 0);
	wait_for_log(again, "1 records lost");
	reader = open(fifo, O_RDONLY | O_NONBLOCK);
	assert_true(reader >= 0);
	wait_for_log(again, "open");
	usleep(1100000);
	send_line(again, 0, 1);
	for (int ms = 0; ms < PATIENCE_MS && read(reader, line, sizeof line) <= 0; ms += 5)
		usleep(5000);
	assert_memory_equal(line, "{\"w\":0,\"n\":1,", 13);
	close(reader);
	stop(again);
	clean(again);
	clean(f);
}

static void a_fifo_whose_reader_hangs_costs_lines_and_not_the_stop(void **state)
{
	struct fixture *f = start("calls");
	char fifo[128];
	static char taken[1 << 20];
	size_t length = 0;
	ssize_t got;
	int reader;

	expect_answer(f, CHILD_READY, 1);
	stop(f);
	make_fifo(fifo, f);
	reader = open(fifo, O_RDONLY | O_NONBLOCK);
	assert_true(reader >= 0);

	struct fixture *again = start(fifo);

	expect_answer(again, CHILD_READY, 1);
	for (int i = 0; i < 500; i++)
		send_line(again, 0, i);
	wait_for_log(again, "records lost: Resource temporarily unavailable");
	/* The reader comes back, and the next line stands on a line of its own. */
	while ((got = read(reader, taken + length, sizeof taken - length)) > 0)
		length += (size_t)got;
	send_line(again, 1, 7);
	for (int ms = 0; ms < PATIENCE_MS && memmem(taken, length, "\n{\"w\":1,\"n\":7,", 14) == NULL; ms += 5) {
		got = read(reader, taken + length, sizeof taken - length);
		length += got > 0 ? (size_t)got : 0;
		usleep(5000);
	}
	assert_non_null(memmem(taken, length, "\n{\"w\":1,\"n\":7,", 14));
	for (int i = 0; i < 500; i++)
		send_line(again, 0, i);
	stop(again);
	close(reader);
	clean(again);
	clean(f);
}

static void what_is_open_outlasts_a_fifo_that_hangs(void **state)
{
	struct fixture *f = start("calls"), *again;
	char fifo[128], spool[140];
	int reader;

	expect_answer(f, CHILD_READY, 1);
	stop(f);
	make_fifo(fifo, f);
	reader = open(fifo, O_RDONLY | O_NONBLOCK);
	assert_true(reader >= 0);
	again = start(fifo);
	expect_answer(again, CHILD_READY, 1);
	for (int i = 0; i < 3000; i++)
		send_open(again, 0, i);
	for (int i = 0; i < 500; i++)
		send_line(again, 1, i);
	wait_for_log(again, "records lost: Resource temporarily unavailable");
	snprintf(spool, sizeof spool, "%s.pending", fifo);
	assert_int_equal(size_of(spool), -1);
	stop(again);
	close(reader);
	clean(again);
	clean(f);
}

static void no_records_are_no_trouble(void **state)
{
	struct fixture *f = start(NULL);

	expect_answer(f, CHILD_READY, 1);
	for (int i = 0; i < 5000; i++) {
		send_line(f, 0, i);
		send_open(f, 1, i);
	}
	stop(f);
	assert_false(log_has(f, "lost"));
	clean(f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_arrive_whole_and_in_order),
		cmocka_unit_test(a_line_is_in_the_file_soon),
		cmocka_unit_test(stop_writes_what_is_queued),
		cmocka_unit_test(the_end_of_the_supervisor_is_a_stop),
		cmocka_unit_test(a_dead_workers_lines_are_kept_and_its_successor_heard),
		cmocka_unit_test(what_is_not_one_line_is_not_written),
		cmocka_unit_test(a_message_may_have_several_items),
		cmocka_unit_test(an_open_record_waits_for_its_final),
		cmocka_unit_test(a_note_is_written_with_the_record_of_its_call),
		cmocka_unit_test(stop_writes_what_is_open),
		cmocka_unit_test(a_successor_knows_what_was_open),
		cmocka_unit_test(what_is_open_follows_a_reload),
		cmocka_unit_test(a_full_disk_costs_records_and_says_so),
		cmocka_unit_test(a_disk_that_fills_within_a_line_leaves_whole_lines),
		cmocka_unit_test(a_torn_line_of_a_killed_writer_is_ended_first),
		cmocka_unit_test(a_renamed_file_is_opened_anew),
		cmocka_unit_test(a_removed_file_is_made_anew_under_load),
		cmocka_unit_test(a_reload_changes_over_to_another_file),
		cmocka_unit_test(a_reload_without_records_ends_them),
		cmocka_unit_test(a_reload_that_cannot_be_read_is_refused),
		cmocka_unit_test(a_file_that_cannot_be_opened_is_tried_again),
		cmocka_unit_test(a_fifo_without_a_reader_hinders_nothing),
		cmocka_unit_test(a_fifo_whose_reader_hangs_costs_lines_and_not_the_stop),
		cmocka_unit_test(what_is_open_outlasts_a_fifo_that_hangs),
		cmocka_unit_test(no_records_are_no_trouble),
	};

	return cmocka_run_group_tests_name("recorder", tests, NULL, NULL);
}
