#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "stirrup/channel.h"
#include "stirrup/record_message.h"
#include "stirrup/record_queue.h"

static const struct record record = { .node = "as1", .call_id = { "a84b4c76e66710", 14 }, .status = 200 };

/* On the heap and no byte longer, for the address sanitizer. */
static size_t read_exact(struct record_item *item, const char *bytes, size_t length)
{
	char *copy = malloc(length + (length == 0));
	size_t taken;

	assert_non_null(copy);
	memcpy(copy, bytes, length);
	taken = record_item_read(item, (struct span){ copy, length });
	free(copy);
	return taken;
}

static void what_was_written_is_read(void **state)
{
	const struct record_final final = {
		.status = 438, .by = { "192.0.2.9:5060", 14 }, .why = { "438 Invalid Identity Header", 27 } };
	char bytes[4 * RECORD_ITEM_MAX];
	size_t open, last, line, note;
	struct record_item item;

	open = record_open_write(bytes, RECORD_ITEM_MAX, 7, &record);
	last = record_final_write(bytes + open, RECORD_ITEM_MAX, UINT64_MAX, &final);
	line = record_write(bytes + open + last, RECORD_MAX, &record);
	assert_true(open > 0 && last > 0 && line > 0);

	assert_int_equal(record_item_read(&item, (struct span){ bytes, open + last + line }), open);
	assert_int_equal(item.kind, RECORD_OPEN);
	assert_int_equal(item.id, 7);
	assert_memory_equal(item.line.at, bytes + open + last, line);
	assert_memory_equal(item.line.at + item.hole, RECORD_NO_FINAL, strlen(RECORD_NO_FINAL));

	assert_int_equal(record_item_read(&item, (struct span){ bytes + open, last + line }), last);
	assert_int_equal(item.kind, RECORD_FINAL);
	assert_true(item.id == UINT64_MAX);
	assert_int_equal(item.final.status, 438);
	assert_true(span_is(item.final.by, "192.0.2.9:5060"));
	assert_true(span_is(item.final.why, "438 Invalid Identity Header"));

	assert_int_equal(record_item_read(&item, (struct span){ bytes + open + last, line }), line);
	assert_int_equal(item.kind, RECORD_LINE);
	assert_int_equal(item.line.length, line);

	note = record_note_write(bytes, RECORD_ITEM_MAX, 8, span_of("180 x"));
	memset(bytes + note, 'x', 10);
	assert_int_equal(record_item_read(&item, (struct span){ bytes, note + 10 }), note);
	assert_int_equal(item.kind, RECORD_NOTE);
	assert_int_equal(item.id, 8);
	assert_true(span_is(item.note, "180 x"));
}

static void a_piece_of_an_item_is_none(void **state)
{
	const struct record_final final = {
		.status = 486, .by = { "192.0.2.9:5060", 14 }, .why = { "486 Busy Here", 13 } };
	char bytes[RECORD_ITEM_MAX];
	struct record_item item;
	size_t length = record_open_write(bytes, sizeof bytes, 7, &record);

	for (size_t size = 0; size < length; size++) {
		char little[RECORD_ITEM_MAX];

		assert_int_equal(read_exact(&item, bytes, size), 0);
		assert_int_equal(record_open_write(little, size, 7, &record), 0);
	}
	length = record_final_write(bytes, sizeof bytes, 7, &final);
	for (size_t size = 0; size < length; size++) {
		char little[RECORD_ITEM_MAX];

		assert_int_equal(read_exact(&item, bytes, size), 0);
		assert_int_equal(record_final_write(little, size, 7, &final), 0);
	}
	length = record_note_write(bytes, sizeof bytes, 7, span_of("180 from 192.0.2.9:5060"));
	for (size_t size = 0; size < length; size++) {
		char little[RECORD_ITEM_MAX];

		assert_int_equal(read_exact(&item, bytes, size), 0);
		assert_int_equal(record_note_write(little, size, 7, span_of("180 from 192.0.2.9:5060")), 0);
	}
	length = record_write(bytes, sizeof bytes, &record);
	for (size_t size = 0; size < length; size++)
		assert_int_equal(read_exact(&item, bytes, size), 0);
}

static void lengths_that_lie_are_refused(void **state)
{
	char good[RECORD_ITEM_MAX], bytes[RECORD_ITEM_MAX];
	size_t length = record_open_write(good, sizeof good, 7, &record);
	struct record_open_head head;
	struct record_item item;

	/* Only the true hole is one, whatever the number in its place. */
	for (unsigned hole = 0; hole <= UINT16_MAX; hole++) {
		memcpy(bytes, good, length);
		memcpy(&head, good, sizeof head);
		if (hole == head.hole)
			continue;
		head.hole = (uint16_t)hole;
		memcpy(bytes, &head, sizeof head);
		assert_int_equal(record_item_read(&item, (struct span){ bytes, length }), 0);
	}
	for (unsigned claimed = 0; claimed <= UINT16_MAX; claimed++) {
		memcpy(bytes, good, length);
		memcpy(&head, good, sizeof head);
		if (claimed == head.length)
			continue;
		head.length = (uint16_t)claimed;
		memcpy(bytes, &head, sizeof head);
		assert_int_equal(record_item_read(&item, (struct span){ bytes, length }), 0);
	}
	memcpy(bytes, good, length);
	bytes[sizeof head + 20] = '\n';
	assert_int_equal(record_item_read(&item, (struct span){ bytes, length }), 0);
}

static void a_status_that_is_not_final_is_refused(void **state)
{
	static const unsigned statuses[] = { 0, 1, 100, 199, 700, 65536 + 200, UINT32_MAX };
	char bytes[RECORD_ITEM_MAX];
	struct record_item item;

	for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
		struct record_final_head head = { .kind = RECORD_FINAL, .status = (uint16_t)statuses[i] };
		struct record_final final = { .status = statuses[i] };

		assert_int_equal(record_final_write(bytes, sizeof bytes, 7, &final), 0);
		if (head.status == 200)
			continue;
		memcpy(bytes, &head, sizeof head);
		assert_int_equal(read_exact(&item, bytes, sizeof head), 0);
	}
}

static void what_a_next_hop_says_is_cut(void **state)
{
	static char huge[70000];
	const struct record_final final = {
		.status = 603, .by = { huge, sizeof huge }, .why = { huge, sizeof huge } };
	char bytes[RECORD_ITEM_MAX];
	struct record_item item;
	size_t length;

	memset(huge, 'x', sizeof huge);
	length = record_final_write(bytes, sizeof bytes, 7, &final);
	assert_int_equal(read_exact(&item, bytes, length), length);
	assert_int_equal(item.final.by.length, RECORD_BY_MAX);
	assert_in_range(item.final.why.length, RECORD_REJECTION_MAX, RECORD_REJECTION_MAX + 3);
	length = record_note_write(bytes, sizeof bytes, 7, (struct span){ huge, sizeof huge });
	assert_int_equal(read_exact(&item, bytes, length), length);
	assert_in_range(item.note.length, RECORD_NOTE_MAX, RECORD_NOTE_MAX + 3);
}

static void a_note_that_says_nothing_or_too_much_is_refused(void **state)
{
	char bytes[70000] = "";
	struct record_note_head head = { .kind = RECORD_NOTE };
	struct record_item item;

	assert_int_equal(record_note_write(bytes, sizeof bytes, 7, (struct span){ "", 0 }), 0);
	for (unsigned length = 0; length <= UINT16_MAX; length++) {
		bool good = length > 0 && length <= RECORD_NOTE_MAX + 3;

		head.length = (uint16_t)length;
		memcpy(bytes, &head, sizeof head);
		assert_int_equal(record_item_read(&item, (struct span){ bytes, sizeof bytes }),
			good ? sizeof head + length : 0);
	}
}

static void junk_is_refused(void **state)
{
	uint32_t seed = 1;

	for (int round = 0; round < 20000; round++) {
		char junk[64];
		struct record_item item;
		size_t size = (size_t)round % sizeof junk;

		for (size_t i = 0; i < size; i++) {
			seed = seed * 1103515245 + 12345;
			junk[i] = (char)(seed >> 16);
		}
		if (size > 0)
			junk[0] = "ofn{"[round % 4];
		assert_in_range(read_exact(&item, junk, size), 0, size);
	}
}

/* --- The queue of a worker --- */

struct ends {
	int worker, recorder;
};

static struct ends open_channel(int buffer)
{
	int ends[2];

	assert_true(channel_pair(ends));
	if (buffer > 0)
		assert_int_equal(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer), 0);
	return (struct ends){ ends[0], ends[1] };
}

static void close_channel(struct ends ends)
{
	close(ends.worker);
	close(ends.recorder);
}

static size_t numbered_line(char line[800], int number)
{
	int length = snprintf(line, 800, "{\"n\":%d,\"fill\":\"%0*d\"}\n", number, 700 - number % 50, 0);

	return (size_t)length;
}

static void put_lines(struct record_queue *queue, int from, int to)
{
	for (int i = from; i < to; i++) {
		char line[800];

		assert_true(record_queue_put(queue, line, numbered_line(line, i)));
	}
}

/* Takes what is there; every line whole and in order from *next on. Returns how many messages it was. */
static int take_lines(struct ends ends, int *next)
{
	char bytes[RECORD_MESSAGE_MAX];
	ssize_t length;
	int messages = 0;

	while ((length = channel_receive(ends.recorder, bytes, sizeof bytes, NULL)) > 0) {
		struct span rest = { bytes, (size_t)length };

		while (rest.length > 0) {
			char line[800];
			struct record_item item;
			size_t taken = record_item_read(&item, rest);

			assert_int_equal(taken, numbered_line(line, (*next)++));
			assert_memory_equal(item.line.at, line, taken);
			rest.at += taken;
			rest.length -= taken;
		}
		messages++;
	}
	return messages;
}

static void lines_of_one_turn_share_messages(void **state)
{
	struct ends ends = open_channel(0);
	struct record_queue queue = { 0 };
	int next = 0;

	put_lines(&queue, 0, 10);
	assert_true(record_queue_flush(&queue, ends.worker));
	assert_int_equal(take_lines(ends, &next), 1);
	put_lines(&queue, 10, 100);
	assert_true(record_queue_flush(&queue, ends.worker));
	assert_int_equal(queue.length, 0);
	assert_in_range(take_lines(ends, &next), 8, 11);
	assert_int_equal(next, 100);
	assert_true(record_queue_flush(&queue, ends.worker));
	assert_int_equal(take_lines(ends, &next), 0);
	free(queue.first);
	close_channel(ends);
}

static void what_the_channel_does_not_take_waits_in_order(void **state)
{
	struct ends ends = open_channel(40000);
	struct record_queue queue = { 0 };
	int next = 0;

	for (int i = 0; i < 5000; i += 50) {
		put_lines(&queue, i, i + 50);
		record_queue_flush(&queue, ends.worker);
	}
	assert_true(queue.length > 3000000);
	while (!record_queue_flush(&queue, ends.worker))
		take_lines(ends, &next);
	take_lines(ends, &next);
	assert_int_equal(next, 5000);
	assert_int_equal(queue.length, 0);
	free(queue.first);
	close_channel(ends);
}

static void a_full_queue_takes_no_more_and_loses_nothing(void **state)
{
	struct ends ends = open_channel(40000);
	struct record_queue queue = { 0 };
	int next = 0, put = 0;
	char line[800];

	while (record_queue_put(&queue, line, numbered_line(line, put)))
		put++;
	assert_in_range(put, 38000, 45000);
	assert_in_range(queue.length, 28 << 20, RECORD_QUEUE_BYTES);
	while (!record_queue_flush(&queue, ends.worker))
		take_lines(ends, &next);
	take_lines(ends, &next);
	assert_int_equal(next, put);
	put_lines(&queue, put, put + 10);
	assert_true(record_queue_flush(&queue, ends.worker));
	take_lines(ends, &next);
	assert_int_equal(next, put + 10);
	free(queue.first);
	close_channel(ends);
}

static void the_longest_item_goes_alone(void **state)
{
	static char item[RECORD_ITEM_MAX + 1], bytes[RECORD_MESSAGE_MAX];
	struct ends ends = open_channel(0);
	struct record_queue queue = { 0 };

	memset(item, 'x', sizeof item);
	assert_false(record_queue_put(&queue, item, sizeof item));
	assert_true(record_queue_put(&queue, item, 10));
	assert_true(record_queue_put(&queue, item, sizeof item - 1));
	assert_true(record_queue_put(&queue, item, 10));
	assert_true(record_queue_flush(&queue, ends.worker));
	assert_int_equal(channel_receive(ends.recorder, bytes, sizeof bytes, NULL), 10);
	assert_int_equal(channel_receive(ends.recorder, bytes, sizeof bytes, NULL), RECORD_ITEM_MAX);
	assert_int_equal(channel_receive(ends.recorder, bytes, sizeof bytes, NULL), 10);
	free(queue.first);
	close_channel(ends);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(a_piece_of_an_item_is_none),
		cmocka_unit_test(lengths_that_lie_are_refused),
		cmocka_unit_test(a_status_that_is_not_final_is_refused),
		cmocka_unit_test(what_a_next_hop_says_is_cut),
		cmocka_unit_test(a_note_that_says_nothing_or_too_much_is_refused),
		cmocka_unit_test(junk_is_refused),
		cmocka_unit_test(lines_of_one_turn_share_messages),
		cmocka_unit_test(what_the_channel_does_not_take_waits_in_order),
		cmocka_unit_test(a_full_queue_takes_no_more_and_loses_nothing),
		cmocka_unit_test(the_longest_item_goes_alone),
	};

	return cmocka_run_group_tests_name("record message", tests, NULL, NULL);
}
