#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <fcntl.h>
#include <lmdb.h>
#include <malloc.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/sip/call_id_pairs.h"
#include "../../src/sip/dialog_changes.h"
#include "../../src/sip/dialog_record.h"
#include "made-dialog.h"
#include "stirrup/dialog_store.h"

#define LARGE (256 << 20)
#define SMALL (1 << 20)
#define STEP_US 10000
#define STEPS_MAX 1000 /* ten seconds, of what should take a tenth of one, or one */

static char base[64], directory[96], data_file[128];

static int setup(void **state)
{
	strcpy(base, "/tmp/test-dialogs-XXXXXX");
	assert_non_null(mkdtemp(base));
	snprintf(directory, sizeof directory, "%s/dialogs", base);
	snprintf(data_file, sizeof data_file, "%s/data.mdb", directory);
	return 0;
}

static void empty_directory(const char *path)
{
	DIR *open = opendir(path);
	struct dirent *entry;

	while (open != NULL && (entry = readdir(open)) != NULL) {
		char name[512];

		snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
		unlink(name);
	}
	if (open != NULL)
		closedir(open);
	rmdir(path);
}

static int teardown(void **state)
{
	empty_directory(directory);
	empty_directory(base);
	return 0;
}

static struct dialog_store *open_with(size_t size)
{
	char why[512];
	struct dialog_store *store = dialog_store_open(directory, size, why, sizeof why);

	if (store == NULL)
		fail_msg("%s", why);
	assert_string_equal(why, "");
	return store;
}

static struct dialog_store *open_store(void)
{
	return open_with(LARGE);
}

static struct made_dialog *made(unsigned n, bool new_call_id)
{
	static struct made_dialog dialogs[8]; /* each is good until eight more were made */
	static unsigned next;
	struct made_dialog *dialog = &dialogs[next++ % 8];

	make_dialog(dialog, n, new_call_id);
	return dialog;
}

static bool put(struct dialog_store *store, unsigned n)
{
	return dialog_store_put(store, &made(n, false)->dialog);
}

static void assert_same_span(struct span one, struct span other)
{
	assert_int_equal(one.length, other.length);
	if (one.length > 0)
		assert_memory_equal(one.at, other.at, one.length);
}

static void assert_same_side(const struct dialog_side *one, const struct dialog_side *other)
{
	assert_same_span(one->call_id, other->call_id);
	assert_same_span(one->tag, other->tag);
	assert_same_span(one->target, other->target);
	assert_same_span(one->routes, other->routes);
	assert_same_span(one->name, other->name);
	assert_int_equal(one->listener, other->listener);
}

static void assert_same(const struct dialog *one, const struct dialog *other)
{
	assert_same_side(&one->caller, &other->caller);
	assert_same_side(&one->callee, &other->callee);
	assert_int_equal(one->peer, other->peer);
	assert_int_equal(one->customer, other->customer);
	assert_int_equal(one->flags, other->flags);
	assert_int_equal(one->confirmed, other->confirmed);
	assert_int_equal(one->began, other->began);
	assert_int_equal(one->expires, other->expires);
}

static enum dialog_found find(struct dialog_store *store, unsigned n, bool new_call_id)
{
	struct made_dialog *dialog = made(n, new_call_id);
	struct dialog by_caller, by_callee;
	enum dialog_found found = dialog_store_find(store, &dialog->caller_key, &by_caller);

	if (found == DIALOG_FOUND)
		assert_same(&by_caller, &dialog->dialog);
	assert_int_equal(dialog_store_find(store, &dialog->callee_key, &by_callee), found);
	if (found == DIALOG_FOUND)
		assert_same(&by_callee, &dialog->dialog);
	return found;
}

static bool has(struct dialog_store *store, unsigned n)
{
	enum dialog_found found = find(store, n, false);

	assert_int_not_equal(found, DIALOG_STORE_FAILED);
	return found == DIALOG_FOUND;
}

/* After a failure it is tried again only after a while. */
static bool flush_in_time(struct dialog_store *store)
{
	for (int i = 0; i < STEPS_MAX; i++) {
		if (dialog_store_flush(store))
			return true;
		usleep(STEP_US);
	}
	return false;
}

/* --- Records --- */

static enum dialog_record_state read_record(const uint8_t *record, size_t length, struct dialog *dialog)
{
	static char text[DIALOG_TEXT_MAX];
	uint8_t *exact = malloc(length + 1); /* so that a sanitizer sees what is read behind it */
	enum dialog_record_state state;

	memcpy(exact, record, length);
	state = dialog_record_read((struct span){ (char *)exact, length }, text, dialog);
	free(exact);
	return state;
}

static void test_a_record_holds_all_of_a_call(void **state)
{
	static uint8_t record[DIALOG_RECORD_MAX];
	struct dialog dialog, empty = { 0 };
	uint32_t expires;
	size_t length;

	for (unsigned n = 0; n < 100; n++) {
		struct made_dialog *made_one = made(n, n % 3 == 0);

		length = dialog_record_write(&made_one->dialog, record);
		assert_int_equal(read_record(record, length, &dialog), DIALOG_RECORD_WHOLE);
		assert_same(&dialog, &made_one->dialog);
		assert_int_equal(dialog_record_look((struct span){ (char *)record, length }, &expires),
			DIALOG_RECORD_WHOLE);
		assert_int_equal(expires, 5000 + n);
	}
	length = dialog_record_write(&empty, record);
	assert_int_equal(read_record(record, length, &dialog), DIALOG_RECORD_WHOLE);
	assert_same(&dialog, &empty);
}

static void test_a_record_of_any_length(void **state)
{
	static const size_t lengths[] = { 1, 127, 128, 129, 16383, 16384, 16385, DIALOG_TEXT_MAX };
	static char long_text[DIALOG_TEXT_MAX + 1];
	static uint8_t record[DIALOG_RECORD_MAX];
	struct dialog dialog, read;

	memset(long_text, 'r', sizeof long_text);
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		dialog = (struct dialog){ .callee.routes = { long_text, lengths[i] } };
		assert_int_equal(read_record(record, dialog_record_write(&dialog, record), &read),
			DIALOG_RECORD_WHOLE);
		assert_same(&read, &dialog);
		dialog = (struct dialog){ .callee.target = { long_text, lengths[i] / 2 },
			.caller.name = { long_text, lengths[i] / 2 } };
		assert_int_equal(read_record(record, dialog_record_write(&dialog, record), &read),
			DIALOG_RECORD_WHOLE);
		assert_same(&read, &dialog);
	}
	dialog = (struct dialog){ .callee.routes = { long_text, DIALOG_TEXT_MAX + 1 } };
	assert_int_equal(dialog_record_write(&dialog, record), 0);
	dialog = (struct dialog){ .callee.routes = { long_text, DIALOG_TEXT_MAX },
		.caller.tag = span_of("t") };
	assert_int_equal(dialog_record_write(&dialog, record), 0);
	dialog = (struct dialog){ .callee.routes = { long_text, SIZE_MAX }, .caller.tag = { long_text, 2 } };
	assert_int_equal(dialog_record_write(&dialog, record), 0);
}

static void test_a_record_cut_short_or_changed_is_damaged(void **state)
{
	static uint8_t record[DIALOG_RECORD_MAX];
	struct dialog dialog;
	size_t length = dialog_record_write(&made(1, true)->dialog, record);

	for (size_t cut = 0; cut < length; cut++) {
		assert_int_equal(read_record(record, cut, &dialog), DIALOG_RECORD_DAMAGED);
		if (cut < DIALOG_RECORD_MIN)
			continue;
		dialog_record_seal(record, cut); /* one that even the checksum is right of */
		assert_int_equal(read_record(record, cut, &dialog), DIALOG_RECORD_DAMAGED);
		dialog_record_seal(record, length);
	}
	record[length] = 0;
	assert_int_equal(read_record(record, length + 1, &dialog), DIALOG_RECORD_DAMAGED);
	dialog_record_seal(record, length + 1);
	assert_int_equal(read_record(record, length + 1, &dialog), DIALOG_RECORD_DAMAGED);
	dialog_record_seal(record, length);
	assert_int_equal(read_record(record, length, &dialog), DIALOG_RECORD_WHOLE);
	for (size_t bit = 8; bit < length * 8; bit++) { /* the first byte is the version */
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(read_record(record, length, &dialog), DIALOG_RECORD_DAMAGED);
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void test_any_bytes_with_the_right_checksum_are_read_safely(void **state)
{
	static uint8_t record[DIALOG_RECORD_MAX];
	uint32_t random = 1;
	struct dialog dialog;
	unsigned whole = 0;

	for (unsigned round = 0; round < 20000; round++) {
		size_t length = dialog_record_write(&made(round, round % 2)->dialog, record);

		for (unsigned change = 0; change < 1 + round % 4; change++) {
			random = random * 1103515245 + 12345;
			record[DIALOG_RECORD_MIN + (random >> 8) % (length - DIALOG_RECORD_MIN)] =
				(uint8_t)(random >> 24);
		}
		dialog_record_seal(record, length);
		whole += read_record(record, length, &dialog) == DIALOG_RECORD_WHOLE;
	}
	assert_in_range(whole, 1, 19999); /* most changes are within a text */
	memset(record + 1, 0xff, sizeof record - 1);
	dialog_record_seal(record, sizeof record);
	assert_int_equal(read_record(record, sizeof record, &dialog), DIALOG_RECORD_DAMAGED);
}

static void test_a_later_version_shows_its_age_only(void **state)
{
	static uint8_t record[DIALOG_RECORD_MAX];
	size_t length = dialog_record_write(&made(1, false)->dialog, record);
	struct dialog dialog;
	uint32_t expires;

	record[0]++;
	assert_int_equal(read_record(record, length, &dialog), DIALOG_RECORD_NEWER);
	assert_int_equal(
		dialog_record_look((struct span){ (char *)record, length }, &expires), DIALOG_RECORD_NEWER);
	assert_int_equal(expires, 5001);
	record[0] = 0;
	assert_int_equal(read_record(record, length, &dialog), DIALOG_RECORD_DAMAGED);
}

static void test_keys(void **state)
{
	static const struct {
		const char *behaviour, *call_id, *one_tag, *other_tag;
		bool same;
	} cases[] = {
		{ "whichever tag is From's", "call@host", "two", "one", true },
		{ "another Call-ID", "call@hosT", "one", "two", false },
		{ "another tag", "call@host", "one", "twp", false },
		{ "no tag", "call@host", "one", "", false },
		{ "the same characters divided otherwise", "call@hosto", "ne", "two", false },
		{ "the same characters divided otherwise between the tags", "call@host", "onet", "wo",
			false },
	};
	struct dialog_key key, other;

	dialog_key(&key, span_of("call@host"), span_of("one"), span_of("two"));
	assert_true(dialog_key_leads_somewhere(&key));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		dialog_key(&other, span_of(cases[i].call_id), span_of(cases[i].one_tag),
			span_of(cases[i].other_tag));
		if (dialog_key_equal(&key, &other) != cases[i].same)
			fail_msg("%s", cases[i].behaviour);
	}
	dialog_key(&key, (struct span){ "a\0b", 3 }, (struct span){ 0 }, (struct span){ 0 });
	dialog_key(&other, (struct span){ "a\0c", 3 }, (struct span){ 0 }, (struct span){ 0 });
	assert_false(dialog_key_equal(&key, &other));
}

/* --- The verbs --- */

static void test_keeps_what_was_put(void **state)
{
	struct dialog_store *store = open_store();
	struct dialog dialog;
	struct dialog_key nowhere = { 0 };

	assert_false(has(store, 0));
	assert_int_equal(dialog_store_find(store, &nowhere, &dialog), DIALOG_UNKNOWN);
	for (unsigned n = 0; n < 50; n++)
		assert_true(put(store, n));
	for (unsigned n = 0; n < 50; n++)
		assert_true(has(store, n)); /* before it is written */
	assert_int_equal(dialog_store_count(store), 0);
	assert_true(dialog_store_is_dirty(store));
	assert_true(dialog_store_flush(store));
	assert_false(dialog_store_is_dirty(store));
	assert_int_equal(dialog_store_count(store), 50);
	for (unsigned n = 0; n < 50; n++)
		assert_true(has(store, n));
	assert_false(has(store, 50));
	dialog_store_close(store);
	dialog_store_close(NULL);

	store = open_store();
	assert_int_equal(dialog_store_count(store), 50);
	for (unsigned n = 0; n < 50; n++)
		assert_true(has(store, n));
	dialog_store_close(store);
}

static void test_what_waits_is_written_when_it_is_closed(void **state)
{
	struct dialog_store *store = open_store();

	assert_true(put(store, 1));
	dialog_store_close(store);
	store = open_store();
	assert_true(has(store, 1));
	dialog_store_close(store);
}

static void test_replaces_and_removes(void **state)
{
	struct dialog_store *store = open_store();
	struct made_dialog *one = made(1, false);
	struct dialog dialog;

	for (int flushed = 0; flushed < 2; flushed++) {
		assert_true(dialog_store_put(store, &one->dialog));
		assert_true(!flushed || dialog_store_flush(store));
		one->dialog.callee.target = span_of("sip:moved@198.51.100.9");
		one->dialog.expires += 100;
		assert_true(dialog_store_put(store, &one->dialog));
		assert_true(!flushed || dialog_store_flush(store));
		assert_int_equal(dialog_store_find(store, &one->caller_key, &dialog), DIALOG_FOUND);
		assert_same(&dialog, &one->dialog);
		dialog_store_remove(store, &dialog); /* as found */
		assert_true(!flushed || dialog_store_flush(store));
		assert_int_equal(dialog_store_find(store, &one->caller_key, &dialog), DIALOG_UNKNOWN);
		assert_true(put(store, 1));
		assert_true(!flushed || dialog_store_flush(store));
		assert_true(has(store, 1));
		dialog_store_remove(store, &made(1, false)->dialog);
		dialog_store_remove(store, &made(2, false)->dialog); /* which there never was */
		assert_true(dialog_store_flush(store));
		assert_int_equal(dialog_store_count(store), 0);
		one = made(1, false);
	}
	dialog_store_close(store);
}

static void test_what_was_found_can_be_changed_and_put(void **state)
{
	struct dialog_store *store = open_store();
	struct dialog dialog;

	for (int flushed = 0; flushed < 2; flushed++) {
		assert_true(put(store, 1));
		assert_true(!flushed || dialog_store_flush(store));
		assert_int_equal(
			dialog_store_find(store, &made(1, false)->caller_key, &dialog), DIALOG_FOUND);
		dialog.caller.target = span_of("sip:elsewhere@192.0.2.77");
		assert_true(dialog_store_put(store, &dialog));
		assert_true(!flushed || dialog_store_flush(store));
		assert_int_equal(
			dialog_store_find(store, &made(1, false)->caller_key, &dialog), DIALOG_FOUND);
		assert_true(span_is(dialog.caller.target, "sip:elsewhere@192.0.2.77"));
		assert_same_span(dialog.callee.name, made(1, false)->dialog.callee.name);
	}
	dialog_store_close(store);
}

static void test_what_did_not_change_is_not_written_again(void **state)
{
	struct dialog_store *store = open_store();
	struct dialog dialog;

	assert_true(put(store, 1));
	assert_true(put(store, 1));
	assert_true(dialog_store_flush(store));
	assert_int_equal(dialog_store_find(store, &made(1, false)->caller_key, &dialog), DIALOG_FOUND);
	assert_true(dialog_store_put(store, &dialog));
	assert_false(dialog_store_is_dirty(store));
	dialog.expires++;
	assert_true(dialog_store_put(store, &dialog));
	assert_true(dialog_store_is_dirty(store));
	dialog.expires--; /* back to what is in the file, not to what waits */
	assert_true(dialog_store_put(store, &dialog));
	assert_true(dialog_store_flush(store));
	assert_true(has(store, 1));
	dialog_store_close(store);
}

static void test_both_call_ids_lead_to_a_call(void **state)
{
	struct dialog_store *store = open_store();

	for (unsigned n = 0; n < 50; n++)
		assert_true(dialog_store_put(store, &made(n, true)->dialog));
	for (int flushed = 0; flushed < 2; flushed++) {
		for (unsigned n = 0; n < 50; n++)
			assert_int_equal(find(store, n, true), DIALOG_FOUND);
		assert_int_equal(find(store, 50, true), DIALOG_UNKNOWN);
		assert_true(dialog_store_flush(store));
	}
	assert_int_equal(dialog_store_count(store), 50);
	for (unsigned n = 0; n < 50; n += 2)
		dialog_store_remove(store, &made(n, true)->dialog);
	for (int flushed = 0; flushed < 2; flushed++) {
		for (unsigned n = 0; n < 50; n++)
			assert_int_equal(find(store, n, true), n % 2 ? DIALOG_FOUND : DIALOG_UNKNOWN);
		assert_true(dialog_store_flush(store));
	}
	dialog_store_close(store);
	store = open_store();
	for (unsigned n = 0; n < 50; n++)
		assert_int_equal(find(store, n, true), n % 2 ? DIALOG_FOUND : DIALOG_UNKNOWN);
	dialog_store_close(store);
}

/* A callee that takes the Call-ID of another call for its own side: the later one has it. */
static void test_a_call_that_passes_twice_is_two(void **state)
{
	struct dialog_store *store = open_store();
	struct dialog first = made(1, true)->dialog, second = first, found;
	struct dialog_key of_first, of_second;

	second.caller.call_id = first.callee.call_id;
	second.peer = first.peer + 1;
	assert_true(dialog_store_put(store, &first));
	assert_true(dialog_store_put(store, &second));
	dialog_key_of_callee(&of_first, first.callee.call_id, first.callee.tag, first.caller.tag);
	dialog_key(&of_second, second.caller.call_id, second.callee.tag, second.caller.tag);
	for (int flushed = 0; flushed < 2; flushed++) {
		assert_int_equal(dialog_store_find(store, &of_first, &found), DIALOG_FOUND);
		assert_int_equal(found.peer, first.peer);
		assert_int_equal(dialog_store_find(store, &of_second, &found), DIALOG_FOUND);
		assert_int_equal(found.peer, second.peer);
		assert_true(dialog_store_flush(store));
	}
	dialog_store_close(store);
}

static void test_calls_that_claim_one_key_do_not_mix(void **state)
{
	struct dialog_store *store = open_store();
	struct made_dialog *one = made(1, true), *two = made(2, true);
	struct dialog dialog;

	two->dialog.callee.call_id = one->dialog.callee.call_id;
	two->dialog.caller.tag = one->dialog.caller.tag;
	two->dialog.callee.tag = one->dialog.callee.tag;
	assert_true(dialog_store_put(store, &one->dialog));
	assert_true(dialog_store_put(store, &two->dialog));
	for (int flushed = 0; flushed < 2; flushed++) {
		assert_int_equal(dialog_store_find(store, &one->callee_key, &dialog), DIALOG_FOUND);
		assert_same(&dialog, &two->dialog);
		assert_int_equal(dialog_store_find(store, &one->caller_key, &dialog), DIALOG_FOUND);
		assert_same(&dialog, &one->dialog);
		assert_true(dialog_store_flush(store));
	}
	dialog_store_remove(store, &one->dialog);
	assert_true(dialog_store_flush(store));
	assert_int_equal(dialog_store_find(store, &one->caller_key, &dialog), DIALOG_UNKNOWN);
	assert_int_equal(dialog_store_find(store, &one->callee_key, &dialog), DIALOG_FOUND);
	assert_same(&dialog, &two->dialog);
	dialog_store_close(store);
}

static void test_sixty_routes_fit(void **state)
{
	struct dialog_store *store = open_store();
	struct made_dialog *one = made(1, false);
	static char routes[8192];
	struct dialog dialog;
	size_t length = 0;

	for (int i = 0; i < 60; i++)
		length += (size_t)snprintf(routes + length, sizeof routes - length,
			"%s<sip:proxy-%02d.long-name-of-a-network.example.net:5060;transport=tcp;lr;ftag=%"
			"08x>",
			i > 0 ? "," : "", i, i * 7919);
	assert_in_range(length, 4096, sizeof routes - 1);
	one->dialog.caller.routes = (struct span){ routes, length };
	assert_true(dialog_store_put(store, &one->dialog));
	assert_true(dialog_store_flush(store));
	assert_int_equal(dialog_store_find(store, &one->callee_key, &dialog), DIALOG_FOUND);
	assert_same(&dialog, &one->dialog);
	dialog_store_close(store);
	store = open_store();
	assert_int_equal(dialog_store_find(store, &one->callee_key, &dialog), DIALOG_FOUND);
	assert_same(&dialog, &one->dialog);
	dialog_store_close(store);
}

static void test_a_call_that_is_too_long_is_refused(void **state)
{
	struct dialog_store *store = open_store();
	struct made_dialog *one = made(1, false);
	static char routes[DIALOG_TEXT_MAX];

	memset(routes, 'r', sizeof routes);
	one->dialog.caller.routes = (struct span){ routes, sizeof routes };
	assert_false(dialog_store_put(store, &one->dialog));
	assert_false(dialog_store_is_dirty(store));
	one->dialog.caller.routes.length -= 1000;
	assert_true(dialog_store_put(store, &one->dialog));
	assert_true(dialog_store_flush(store));
	dialog_store_close(store);
}

static void test_a_call_takes_little_of_the_disk_and_nothing_of_the_heap(void **state)
{
	struct dialog_store *store = open_store();
	struct stat before, after;
	size_t heap_before, heap_after;
	double each;

	for (unsigned n = 0; n < 64; n++)
		assert_true(put(store, 100000 + n));
	assert_true(dialog_store_flush(store));
	assert_int_equal(stat(data_file, &before), 0);
	heap_before = mallinfo2().uordblks;
	for (unsigned n = 0; n < 10000; n++) {
		assert_true(put(store, n));
		if (n % 16 == 15)
			assert_true(dialog_store_flush(store));
	}
	heap_after = mallinfo2().uordblks;
	assert_int_equal(stat(data_file, &after), 0);
	each = (double)(after.st_size - before.st_size) / 10000;
	print_message("%.0f bytes a call, heap %+zd bytes\n", each, (ssize_t)(heap_after - heap_before));
	assert_in_range((unsigned)each, 300, 600);
	/* What LMDB keeps are the pages of one transaction, not of the calls. */
	assert_in_range(heap_after, 0, heap_before + 64 * 4096);
	dialog_store_close(store);
}

/* --- Call-IDs alone --- */

static void pair(struct dialog_store *store, unsigned n)
{
	const struct dialog *dialog = &made(n, true)->dialog;

	dialog_store_pair(store, dialog->caller.call_id, dialog->callee.call_id);
}

static bool has_pair(struct dialog_store *store, unsigned n)
{
	const struct dialog *dialog = &made(n, true)->dialog;
	struct span other;

	if (!dialog_store_other_call_id(store, dialog->caller.call_id, &other)) {
		assert_false(dialog_store_other_call_id(store, dialog->callee.call_id, &other));
		return false;
	}
	assert_same_span(other, dialog->callee.call_id);
	assert_true(dialog_store_other_call_id(store, dialog->callee.call_id, &other));
	assert_same_span(other, dialog->caller.call_id);
	return true;
}

static void test_a_call_id_leads_to_the_other(void **state)
{
	struct dialog_store *store = open_store();

	assert_false(has_pair(store, 0));
	for (unsigned n = 0; n < 50; n++)
		pair(store, n);
	for (unsigned n = 0; n < 50; n++)
		assert_true(has_pair(store, n)); /* before it is written */
	assert_false(dialog_store_is_dirty(store)); /* it can wait */
	assert_true(dialog_store_flush(store));
	for (unsigned n = 0; n < 50; n++)
		assert_true(has_pair(store, n));
	assert_false(has_pair(store, 50));
	pair(store, 50);
	dialog_store_close(store);
	store = open_store();
	for (unsigned n = 0; n < 51; n++)
		assert_true(has_pair(store, n));
	assert_int_equal(dialog_store_count(store), 0);
	dialog_store_close(store);
}

/* They are for calls that are over. */
static void test_call_ids_outlive_their_call(void **state)
{
	struct dialog_store *store = open_store();

	for (unsigned n = 0; n < 20; n++) {
		assert_true(dialog_store_put(store, &made(n, true)->dialog));
		pair(store, n);
	}
	assert_true(dialog_store_flush(store));
	for (unsigned n = 0; n < 10; n++)
		dialog_store_remove(store, &made(n, true)->dialog);
	assert_int_equal(dialog_store_sweep(store, UINT32_MAX, 100), 10);
	assert_true(dialog_store_flush(store));
	assert_int_equal(dialog_store_count(store), 0);
	for (unsigned n = 0; n < 20; n++) {
		assert_int_equal(find(store, n, true), DIALOG_UNKNOWN);
		assert_true(has_pair(store, n));
	}
	dialog_store_close(store);
}

/* A fork: each 18x with another To tag, all with the Call-IDs of the one INVITE. */
static void test_an_early_dialog_that_ends_leaves_the_others(void **state)
{
	struct dialog_store *store = open_store();
	struct made_dialog *one = made(1, true), *two = made(1, true);
	struct dialog dialog;
	struct dialog_key key;

	two->dialog.callee.tag = span_of("two");
	assert_true(dialog_store_put(store, &one->dialog));
	assert_true(dialog_store_put(store, &two->dialog));
	pair(store, 1);
	assert_true(dialog_store_flush(store));
	dialog_store_remove(store, &one->dialog);
	for (int flushed = 0; flushed < 2; flushed++) {
		assert_int_equal(find(store, 1, true), DIALOG_UNKNOWN);
		dialog_key_of_callee(&key, two->dialog.callee.call_id, two->dialog.caller.tag, span_of("two"));
		assert_int_equal(dialog_store_find(store, &key, &dialog), DIALOG_FOUND);
		assert_same(&dialog, &two->dialog);
		assert_true(has_pair(store, 1));
		assert_true(dialog_store_flush(store));
	}
	dialog_store_close(store);
}

/* The callee's of one call is the caller's of another: what replies goes back the way it came. */
static void test_call_ids_of_a_call_that_passes_twice(void **state)
{
	struct dialog_store *store = open_store();
	struct span other;

	dialog_store_pair(store, span_of("first"), span_of("second"));
	assert_true(dialog_store_flush(store));
	dialog_store_pair(store, span_of("second"), span_of("third"));
	for (int flushed = 0; flushed < 2; flushed++) {
		assert_true(dialog_store_other_call_id(store, span_of("third"), &other));
		assert_true(span_is(other, "second"));
		assert_true(dialog_store_other_call_id(store, span_of("second"), &other));
		assert_true(span_is(other, "first"));
		assert_true(dialog_store_flush(store));
	}
	/* And a later call with a Call-ID of an earlier one. */
	dialog_store_pair(store, span_of("first"), span_of("fourth"));
	for (int flushed = 0; flushed < 2; flushed++) {
		assert_true(dialog_store_other_call_id(store, span_of("first"), &other));
		assert_true(span_is(other, "fourth"));
		assert_true(dialog_store_other_call_id(store, span_of("second"), &other));
		assert_true(span_is(other, "first"));
		assert_true(dialog_store_flush(store));
	}
	dialog_store_close(store);
}

static void test_call_ids_that_are_not_remembered(void **state)
{
	struct dialog_store *store = open_store();
	static char longer[257];
	struct span other;

	memset(longer, 'x', sizeof longer - 1);
	dialog_store_pair(store, span_of("same"), span_of("same"));
	dialog_store_pair(store, span_of(longer), span_of("callee"));
	dialog_store_pair(store, span_of("caller"), span_of("a\r\nb"));
	dialog_store_pair(store, (struct span){ 0 }, (struct span){ 0 });
	assert_false(dialog_store_other_call_id(store, span_of("same"), &other));
	assert_false(dialog_store_other_call_id(store, span_of(longer), &other));
	assert_false(dialog_store_other_call_id(store, span_of("callee"), &other));
	assert_false(dialog_store_other_call_id(store, span_of("caller"), &other));
	assert_false(dialog_store_other_call_id(store, (struct span){ 0 }, &other));
	dialog_store_close(store);
}

static void test_call_ids_take_little_of_the_disk(void **state)
{
	struct dialog_store *store = open_store();
	struct stat before, after;
	size_t heap_before, heap_after;
	double each;

	pair(store, 100000);
	assert_true(dialog_store_flush(store));
	assert_int_equal(stat(data_file, &before), 0);
	heap_before = mallinfo2().uordblks;
	for (unsigned n = 0; n < 10000; n++) {
		pair(store, n);
		if (n % 16 == 15)
			assert_true(dialog_store_flush(store));
	}
	heap_after = mallinfo2().uordblks;
	assert_int_equal(stat(data_file, &after), 0);
	each = (double)(after.st_size - before.st_size) / 10000;
	print_message("%.0f bytes a call, heap %+zd bytes\n", each, (ssize_t)(heap_after - heap_before));
	assert_in_range((unsigned)each, 100, 200);
	assert_in_range(heap_after, 0, heap_before + 64 * 4096);
	dialog_store_close(store);
}

/* --- Several processes --- */

static void wait_for(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_two_processes_see_what_the_other_flushed(void **state)
{
	int to_child[2], to_parent[2];
	struct dialog_store *store;
	char byte = 0;
	pid_t child;

	assert_int_equal(pipe(to_child), 0);
	assert_int_equal(pipe(to_parent), 0);
	child = fork();
	if (child == 0) {
		char why[256];
		bool good;

		store = dialog_store_open(directory, LARGE, why, sizeof why);
		good = store != NULL && put(store, 1) && dialog_store_flush(store) &&
		       dialog_store_put(store, &made(2, true)->dialog) && write(to_parent[1], "1", 1) == 1 &&
		       read(to_child[0], &byte, 1) == 1 && has(store, 3) && !has(store, 1) &&
		       dialog_store_flush(store) && write(to_parent[1], "2", 1) == 1 &&
		       read(to_child[0], &byte, 1) == 1;
		dialog_store_close(store);
		_exit(good ? 0 : 1);
	}
	assert_int_equal(read(to_parent[0], &byte, 1), 1);
	store = open_store();
	assert_true(has(store, 1));
	assert_int_equal(find(store, 2, true), DIALOG_UNKNOWN); /* not flushed yet */
	assert_true(put(store, 3));
	dialog_store_remove(store, &made(1, false)->dialog);
	assert_true(dialog_store_flush(store));
	assert_int_equal(write(to_child[1], "1", 1), 1);
	assert_int_equal(read(to_parent[0], &byte, 1), 1);
	assert_int_equal(find(store, 2, true), DIALOG_FOUND);
	assert_int_equal(write(to_child[1], "1", 1), 1);
	wait_for(child);
	dialog_store_close(store);
	close(to_child[0]), close(to_child[1]), close(to_parent[0]), close(to_parent[1]);
}

/* Says what it has flushed, and goes on until it is killed. */
static void flush_forever(unsigned from, int report)
{
	char why[256];
	struct dialog_store *store = dialog_store_open(directory, LARGE, why, sizeof why);

	if (store == NULL)
		_exit(1);
	for (unsigned n = from;; n++) {
		if (!dialog_store_put(store, &made(n, n % 2)->dialog))
			_exit(2);
		if (n % 3 == 0 && n > from + 10)
			dialog_store_remove(store, &made(n - 10, n % 2)->dialog);
		if (n % 8 == 7 && (!dialog_store_flush(store) || write(report, &n, sizeof n) != sizeof n))
			_exit(3);
	}
}

static bool was_removed(unsigned from, unsigned n, unsigned last)
{
	return (n + 10) % 3 == 0 && n > from && n + 10 <= last && n % 2 == (n + 10) % 2;
}

static void check_flushed(struct dialog_store *store, unsigned from, unsigned last)
{
	for (unsigned n = from; n <= last; n++) {
		enum dialog_found found = find(store, n, n % 2);

		if (was_removed(from, n, last))
			assert_int_equal(found, DIALOG_UNKNOWN);
		else if (!was_removed(from, n, last + 8)) /* the next flush may have been written too */
			assert_int_equal(found, DIALOG_FOUND);
	}
}

static void kill_a_writer(unsigned from, unsigned lives_us, unsigned *last)
{
	int report[2];
	unsigned n;
	pid_t child;

	assert_int_equal(pipe(report), 0);
	child = fork();
	if (child == 0) {
		close(report[0]);
		flush_forever(from, report[1]);
	}
	close(report[1]);
	*last = from;
	assert_int_equal(read(report[0], last, sizeof *last), sizeof *last);
	usleep(lives_us);
	kill(child, SIGKILL);
	while (read(report[0], &n, sizeof n) == sizeof n)
		*last = n;
	close(report[0]);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_nothing_flushed_is_lost_when_a_writer_is_killed(void **state)
{
	unsigned first[20], last[20];
	struct dialog_store *store;

	for (unsigned i = 0; i < 20; i++) {
		first[i] = i * 1000000;
		kill_a_writer(first[i], 1000 + i * 777, &last[i]);
		store = open_store();
		assert_true(put(store, i * 1000000 + 999999));
		assert_true(dialog_store_flush(store));
		dialog_store_close(store);
	}
	store = open_store();
	for (unsigned i = 0; i < 20; i++) {
		check_flushed(store, first[i], last[i]);
		assert_true(has(store, i * 1000000 + 999999));
	}
	dialog_store_close(store);
}

static void test_call_ids_are_seen_by_other_processes(void **state)
{
	struct dialog_store *store = open_store();
	pid_t child = fork();

	if (child == 0) {
		store = open_store();
		pair(store, 1);
		dialog_store_put(store, &made(1, true)->dialog); /* with which it goes */
		_exit(dialog_store_is_dirty(store) && dialog_store_flush(store) ? 0 : 1);
	}
	wait_for(child);
	assert_true(has_pair(store, 1));
	dialog_store_close(store);
}

static void test_the_others_go_on_when_a_writer_is_killed(void **state)
{
	struct dialog_store *store = open_store();
	unsigned last;

	for (unsigned i = 0; i < 20; i++) {
		kill_a_writer(i * 1000000, 1000 + i * 333, &last);
		assert_true(put(store, i * 1000000 + 999999));
		assert_true(dialog_store_flush(store));
		check_flushed(store, i * 1000000, last);
		assert_true(has(store, i * 1000000 + 999999));
	}
	dialog_store_close(store);
}

/* As one that was stopped while it wrote has. */
static int lock_as_another(void)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	return fd;
}

static void test_a_writer_that_hangs_does_not_hang_the_others(void **state)
{
	struct dialog_store *store = open_store();
	int other;

	assert_true(put(store, 1));
	assert_true(dialog_store_flush(store));
	other = lock_as_another();
	assert_true(dialog_store_flush(store)); /* there is nothing to write */
	assert_true(put(store, 2));
	assert_false(dialog_store_flush(store));
	assert_false(put(store, 3)); /* will not survive as it looks, but is remembered */
	assert_false(dialog_store_flush(store));
	for (unsigned n = 1; n <= 3; n++)
		assert_true(has(store, n));
	close(other);
	assert_true(flush_in_time(store));
	assert_true(put(store, 4));
	dialog_store_close(store);
	store = open_store();
	for (unsigned n = 1; n <= 4; n++)
		assert_true(has(store, n));
	dialog_store_close(store);
}

static void test_what_waits_is_bounded(void **state)
{
	struct dialog_store *store = open_store();
	unsigned n;
	int other;

	for (n = 0; n < 100; n++)
		assert_true(put(store, n));
	assert_true(dialog_store_flush(store));
	other = lock_as_another();
	for (n = 100; n < 100 + DIALOG_CHANGES_NEW_MAX; n++)
		put(store, n);
	assert_true(has(store, n - 1));
	put(store, n);
	assert_false(has(store, n)); /* no room for a new one */
	dialog_store_remove(store, &made(0, false)->dialog);
	assert_false(has(store, 0)); /* but for a removal, */
	assert_true(has(store, 1));
	dialog_store_remove(store, &made(100, false)->dialog);
	assert_false(has(store, 100)); /* of one that waits too, */
	assert_true(has(store, 2));
	{
		struct dialog dialog;

		assert_int_equal(
			dialog_store_find(store, &made(2, false)->caller_key, &dialog), DIALOG_FOUND);
		dialog.expires = 77777;
		dialog_store_put(store, &dialog); /* and for a change of one that is in the store */
		assert_int_equal(
			dialog_store_find(store, &made(2, false)->caller_key, &dialog), DIALOG_FOUND);
		assert_int_equal(dialog.expires, 77777);
	}
	close(other);
	assert_true(flush_in_time(store));
	assert_int_equal(dialog_store_count(store), 100 + DIALOG_CHANGES_NEW_MAX - 2);
	dialog_store_close(store);
}

static void test_call_ids_that_wait_are_bounded(void **state)
{
	struct dialog_store *store = open_store();
	int other = lock_as_another();

	for (unsigned n = 0; n < 1000; n++)
		pair(store, n);
	for (unsigned n = 0; n < 1000; n++)
		assert_int_equal(has_pair(store, n), n >= 1000 - CALL_ID_PAIRS_MAX);
	assert_false(dialog_store_flush(store));
	close(other);
	assert_true(flush_in_time(store));
	dialog_store_close(store);
	store = open_store();
	for (unsigned n = 0; n < 1000; n++)
		assert_int_equal(has_pair(store, n), n >= 1000 - CALL_ID_PAIRS_MAX);
	for (unsigned n = 0; n < 5000; n++)
		pair(store, n);
	for (unsigned n = 0; n < 5000; n++)
		assert_true(has_pair(store, n)); /* flushed without being asked */
	dialog_store_close(store);
}

static void test_many_changes_are_flushed_without_being_asked(void **state)
{
	struct dialog_store *store = open_store();

	for (unsigned n = 0; n < 10000; n++)
		assert_true(put(store, n));
	assert_true(dialog_store_flush(store));
	assert_int_equal(dialog_store_count(store), 10000);
	for (unsigned n = 0; n < 10000; n++)
		dialog_store_remove(store, &made(n, false)->dialog);
	assert_true(dialog_store_flush(store));
	assert_int_equal(dialog_store_count(store), 0);
	dialog_store_close(store);
}

/* --- Full --- */

/* Until it takes no more. Returns how many it took. */
static unsigned fill(struct dialog_store *store)
{
	unsigned n = 0;

	while (put(store, n) && dialog_store_flush(store))
		assert_in_range(++n, 0, 100000);
	return n;
}

static void assert_works_again_after_removals(struct dialog_store *store, unsigned count)
{
	for (unsigned n = 0; n < count; n++)
		assert_true(has(store, n));
	assert_true(has(store, count)); /* remembered, and not written */
	for (unsigned n = 0; n < count / 2; n++)
		dialog_store_remove(store, &made(n, false)->dialog);
	assert_true(flush_in_time(store));
	for (unsigned n = 0; n <= count; n++)
		assert_int_equal(has(store, n), n >= count / 2);
	for (unsigned n = 0; n < count / 4; n++)
		assert_true(put(store, n));
	assert_true(dialog_store_flush(store));
	assert_int_equal(dialog_store_count(store), count + 1 - count / 2 + count / 4);
}

static void test_a_full_store_still_finds_and_removes(void **state)
{
	struct dialog_store *store = open_with(SMALL);
	struct stat file;
	unsigned count = fill(store);

	assert_in_range(count, 1000, 3000);
	assert_works_again_after_removals(store, count);
	for (int round = 0; round < 5; round++) { /* not once only */
		for (unsigned n = 0; n < 3 * count; n++)
			put(store, n);
		assert_false(dialog_store_flush(store));
		assert_in_range(dialog_store_count(store), count / 2, 2 * count);
		for (unsigned n = 0; n < 3 * count; n++)
			dialog_store_remove(store, &made(n, false)->dialog);
		assert_true(flush_in_time(store));
		assert_int_equal(dialog_store_count(store), 0);
	}
	assert_int_equal(stat(data_file, &file), 0);
	assert_in_range(file.st_size, 0, SMALL);
	dialog_store_close(store);
}

/* A limit of the file's size stands for a full disk: it too shows only when it is written. */
/* Each removal changes two tables then, so that as many at once need more of the spare pages. */
static void test_a_full_store_of_both_kinds_of_calls_can_be_emptied(void **state)
{
	struct dialog_store *store = open_with(SMALL);
	unsigned n = 0, count;

	while (dialog_store_put(store, &made(n, n % 2)->dialog) && dialog_store_flush(store))
		assert_in_range(++n, 0, 10000);
	count = n + DIALOG_CHANGES_MAX; /* and as many as can wait, or more */
	for (; n < count; n++)
		dialog_store_put(store, &made(n, n % 2)->dialog);
	for (n = 0; n < count; n++) {
		for (int i = 0; i < STEPS_MAX; i++) {
			dialog_store_remove(store, &made(n, n % 2)->dialog);
			if (find(store, n, n % 2) == DIALOG_UNKNOWN)
				break;
			usleep(STEP_US);
			dialog_store_flush(store);
		}
		assert_int_equal(find(store, n, n % 2), DIALOG_UNKNOWN);
	}
	assert_true(flush_in_time(store));
	assert_int_equal(dialog_store_count(store), 0);
	assert_true(put(store, 1));
	assert_true(dialog_store_flush(store));
	dialog_store_close(store);
}

static void test_call_ids_do_not_fill_the_store(void **state)
{
	struct dialog_store *store = open_with(SMALL);
	unsigned count;

	for (unsigned n = 0; n < 20000; n++) {
		pair(store, n);
		if (n % 10 == 9)
			assert_true(dialog_store_flush(store));
		assert_true(has_pair(store, n));
	}
	count = fill(store);
	assert_in_range(count, 800, 3000);
	assert_works_again_after_removals(store, count);
	dialog_store_close(store);
}

static void test_calls_have_the_room_before_call_ids(void **state)
{
	struct dialog_store *store = open_with(SMALL);
	unsigned count = fill(store);

	for (unsigned n = 0; n < 2000; n++) {
		pair(store, n);
		if (n % 100 == 99)
			dialog_store_flush(store);
	}
	assert_true(has_pair(store, 1999)); /* it waits */
	assert_works_again_after_removals(store, count);
	pair(store, 2000);
	assert_true(dialog_store_flush(store));
	assert_true(has_pair(store, 2000));
	dialog_store_close(store);
}

static void test_a_full_disk_is_survived(void **state)
{
	pid_t child = fork();

	if (child == 0) {
		struct rlimit limit = { 1 << 20, RLIM_INFINITY };
		struct dialog_store *store;
		unsigned count;

		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &limit);
		store = open_store();
		count = fill(store);
		if (count < 1000 || count > 3000)
			_exit(1);
		for (unsigned n = 0; n <= count; n++)
			if (!has(store, n))
				_exit(2);
		limit.rlim_cur = RLIM_INFINITY;
		setrlimit(RLIMIT_FSIZE, &limit);
		if (!flush_in_time(store) || !put(store, 5000) || !dialog_store_flush(store))
			_exit(3);
		for (unsigned n = 0; n <= count; n++)
			if (!has(store, n))
				_exit(4);
		dialog_store_close(store);
		_exit(0);
	}
	wait_for(child);
}

static void test_a_full_disk_at_the_start_costs_no_call(void **state)
{
	struct dialog_store *store = open_store();
	pid_t child;

	for (unsigned n = 0; n < 1000; n++)
		assert_true(put(store, n));
	dialog_store_close(store);
	child = fork();
	if (child == 0) {
		struct rlimit limit = { 4096, RLIM_INFINITY };

		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &limit);
		store = open_store();
		for (unsigned n = 0; n < 1000; n++)
			if (!has(store, n))
				_exit(1);
		dialog_store_close(store);
		_exit(0);
	}
	wait_for(child);
	store = open_store();
	assert_int_equal(dialog_store_count(store), 1000);
	dialog_store_close(store);
}

static void test_directories_that_cannot_be_used(void **state)
{
	char path[160], why[256];
	int fd;

	snprintf(path, sizeof path, "%s/file", base);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_null(dialog_store_open(path, LARGE, why, sizeof why));
	assert_non_null(strstr(why, "Not a directory"));
	assert_non_null(strstr(why, path));
	snprintf(path, sizeof path, "%s/missing/dialogs", base);
	assert_null(dialog_store_open(path, LARGE, why, sizeof why));
	assert_non_null(strstr(why, "No such file"));
	/* One that nobody may write to, root neither. */
	assert_null(dialog_store_open("/proc/self/fd", LARGE, why, sizeof why));
	assert_non_null(strstr(why, "/proc/self/fd: "));
	if (geteuid() != 0) {
		assert_int_equal(mkdir(directory, 0500), 0);
		assert_null(dialog_store_open(directory, LARGE, why, sizeof why));
		assert_non_null(strstr(why, "Permission denied"));
	}
}

/* --- Damage --- */

static bool exists(const char *name)
{
	char path[160];

	snprintf(path, sizeof path, "%s/%s", directory, name);
	return access(path, F_OK) == 0;
}

static void overwrite(off_t from, off_t to, unsigned seed)
{
	int fd = open(data_file, O_WRONLY);

	assert_true(fd >= 0);
	for (off_t at = from; at < to; at += 4) {
		seed = seed * 1103515245 + 12345;
		assert_int_equal(pwrite(fd, &seed, sizeof seed, at), sizeof seed);
	}
	close(fd);
}

static void damage_header(off_t size)
{
	overwrite(0, 4096, 1);
}

static void damage_both_headers(off_t size)
{
	overwrite(0, 8192, 2);
}

static void damage_middle(off_t size)
{
	overwrite(size / 2, size / 2 + 65536, 3);
}

static void damage_all(off_t size)
{
	overwrite(0, size, 4);
}

static void cut_in_half(off_t size)
{
	assert_int_equal(truncate(data_file, size / 2), 0);
}

static void cut_within_the_header(off_t size)
{
	assert_int_equal(truncate(data_file, 5000), 0);
}

static void set_lmdb_version(off_t size)
{
	int fd = open(data_file, O_WRONLY);
	uint32_t version = 999; /* behind the page header and the magic number */

	assert_int_equal(pwrite(fd, &version, sizeof version, 20), sizeof version);
	assert_int_equal(pwrite(fd, &version, sizeof version, 4096 + 20), sizeof version);
	close(fd);
}

static void clear_pages(off_t size)
{
	int fd = open(data_file, O_WRONLY);
	static const char zeros[4096];

	for (off_t at = 8192; at < size; at += 5 * 4096)
		assert_int_equal(pwrite(fd, zeros, sizeof zeros, at), sizeof zeros);
	close(fd);
}

static void test_damage_is_set_aside(void **state)
{
	static void (*const damages[])(off_t size) = { damage_header, damage_both_headers, damage_middle,
		damage_all, cut_in_half, cut_within_the_header, set_lmdb_version, clear_pages };

	for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
		struct dialog_store *store = open_store();
		struct stat file;
		unsigned left = 0;

		for (unsigned n = 0; n < 2000; n++)
			assert_true(put(store, n));
		dialog_store_close(store);
		assert_int_equal(stat(data_file, &file), 0);
		damages[i](file.st_size);
		store = open_store();
		assert_true(exists("data.mdb.damaged-1"));
		assert_false(exists("copy.mdb"));
		for (unsigned n = 0; n < 2000; n++)
			left += has(store, n);
		assert_in_range(left, 0, 1999);
		assert_true(put(store, 2000));
		assert_true(dialog_store_flush(store));
		assert_true(has(store, 2000));
		dialog_store_close(store);
		empty_directory(directory);
	}
}

static void test_files_set_aside_are_few(void **state)
{
	for (int i = 0; i < 7; i++) {
		struct dialog_store *store = open_store();

		assert_true(put(store, 1));
		dialog_store_close(store);
		damage_both_headers(0);
	}
	dialog_store_close(open_store());
	assert_true(exists("data.mdb.damaged-4"));
	assert_false(exists("data.mdb.damaged-5"));
}

static void test_an_empty_file_is_a_new_store(void **state)
{
	struct dialog_store *store = open_store();

	assert_true(put(store, 1));
	dialog_store_close(store);
	assert_int_equal(truncate(data_file, 0), 0);
	store = open_store();
	assert_false(exists("data.mdb.damaged-1"));
	assert_int_equal(dialog_store_count(store), 0);
	dialog_store_close(store);
}

/* Past the store, as an older, a later or a broken program would. */
static void write_raw(
	const char *database, const void *key, size_t key_length, const void *value, size_t length)
{
	MDB_val name = { key_length, (void *)(uintptr_t)key }, what = { length, (void *)(uintptr_t)value };
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 2), 0);
	assert_int_equal(mdb_env_open(env, data_file, MDB_NOSUBDIR, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, database, 0, &dbi), 0);
	assert_int_equal(mdb_put(txn, dbi, &name, &what, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

/* In its own process: a process must not open an LMDB file twice. */
static void write_raw_meanwhile(const char *database, const void *key, const void *value, size_t length)
{
	pid_t child = fork();

	if (child == 0) {
		write_raw(database, key, DIALOG_KEY_BYTES, value, length);
		_exit(0);
	}
	wait_for(child);
}

static void test_a_damaged_record_is_unknown_and_removed(void **state)
{
	struct dialog_store *store = open_store();
	static uint8_t record[DIALOG_RECORD_MAX + 1];
	size_t length = dialog_record_write(&made(1, true)->dialog, record);
	const struct {
		size_t length;
		size_t changed;
	} cases[] = { { 0, 0 }, { 1, 0 }, { length - 1, 0 }, { length, length - 1 }, { sizeof record, 0 } };

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_true(dialog_store_put(store, &made(1, true)->dialog));
		assert_true(put(store, 2));
		assert_true(dialog_store_flush(store));
		record[cases[i].changed] ^= cases[i].changed > 0;
		write_raw_meanwhile("calls", &made(1, true)->caller_key, record, cases[i].length);
		record[cases[i].changed] ^= cases[i].changed > 0;
		assert_int_equal(find(store, 1, true), DIALOG_UNKNOWN);
		assert_true(dialog_store_is_dirty(store));
		assert_true(dialog_store_flush(store));
		assert_int_equal(dialog_store_count(store), 1);
		assert_true(has(store, 2));
	}
	dialog_store_close(store);
}

static void test_a_record_of_a_later_version_is_unknown_and_stays(void **state)
{
	struct dialog_store *store = open_store();
	static uint8_t record[DIALOG_RECORD_MAX];
	size_t length = dialog_record_write(&made(1, false)->dialog, record);

	record[0]++;
	record[length - 1]++; /* and made in another way */
	write_raw_meanwhile("calls", &made(1, false)->caller_key, record, length);
	assert_false(has(store, 1));
	assert_false(dialog_store_is_dirty(store));
	dialog_store_close(store);
	store = open_store();
	assert_false(exists("data.mdb.damaged-1"));
	assert_int_equal(dialog_store_count(store), 1);
	assert_int_equal(dialog_store_sweep(store, 5000, 10), 0);
	assert_int_equal(dialog_store_sweep(store, 5001, 10), 1);
	assert_true(dialog_store_flush(store));
	assert_int_equal(dialog_store_count(store), 0);
	dialog_store_close(store);
}

static void test_an_alias_that_leads_astray_is_unknown(void **state)
{
	struct dialog_store *store = open_store();
	struct made_dialog *one = made(1, true);
	struct dialog dialog;

	assert_true(put(store, 2));
	assert_true(dialog_store_flush(store));
	write_raw_meanwhile("aliases", &one->callee_key, &one->caller_key, DIALOG_KEY_BYTES);
	assert_int_equal(dialog_store_find(store, &one->callee_key, &dialog), DIALOG_UNKNOWN);
	write_raw_meanwhile("aliases", &one->callee_key, &one->caller_key, 3);
	assert_int_equal(dialog_store_find(store, &one->callee_key, &dialog), DIALOG_UNKNOWN);
	write_raw_meanwhile("aliases", &one->callee_key, &made(2, false)->caller_key, DIALOG_KEY_BYTES);
	assert_int_equal(dialog_store_find(store, &one->callee_key, &dialog), DIALOG_UNKNOWN);
	dialog_store_close(store);
}

/* Every page but LMDB's two headers, while it is open. */
static void damage_what_is_open(void)
{
	struct stat file;
	int fd = open(data_file, O_WRONLY);
	static const char zeros[4096];

	assert_int_equal(fstat(fd, &file), 0);
	for (off_t at = 8192; at < file.st_size; at += (off_t)sizeof zeros)
		assert_int_equal(pwrite(fd, zeros, sizeof zeros, at), sizeof zeros);
	close(fd);
}

static void test_damage_found_on_the_way_is_repaired(void **state)
{
	struct dialog_store *store = open_store();
	struct dialog dialog;

	for (unsigned n = 0; n < 100; n++)
		assert_true(put(store, n));
	assert_true(dialog_store_flush(store));
	damage_what_is_open();
	assert_int_equal(dialog_store_find(store, &made(1, false)->caller_key, &dialog), DIALOG_STORE_FAILED);
	assert_true(exists("data.mdb.damaged-1"));
	assert_int_equal(find(store, 1, false), DIALOG_UNKNOWN);
	assert_true(put(store, 2));
	assert_true(dialog_store_flush(store));
	assert_true(has(store, 2));
	damage_what_is_open(); /* and again, which is not repaired at once */
	assert_true(put(store, 3));
	assert_false(dialog_store_flush(store));
	assert_true(has(store, 3));
	assert_true(flush_in_time(store));
	assert_true(exists("data.mdb.damaged-2"));
	dialog_store_close(store);
	store = open_store();
	assert_true(has(store, 3));
	dialog_store_close(store);
}

static void test_a_file_that_was_taken_away_is_noticed(void **state)
{
	struct dialog_store *store = open_store();
	struct dialog dialog;
	bool noticed = false;

	assert_true(put(store, 1));
	assert_true(dialog_store_flush(store));
	empty_directory(directory);
	for (int i = 0; i < STEPS_MAX && !noticed; i++) {
		noticed = dialog_store_find(store, &made(1, false)->caller_key, &dialog) == DIALOG_UNKNOWN;
		usleep(STEP_US);
	}
	assert_true(noticed);
	assert_true(put(store, 2));
	assert_true(flush_in_time(store));
	dialog_store_close(store);
	store = open_store();
	assert_true(has(store, 2));
	dialog_store_close(store);
}

/* --- Age --- */

static void test_sweeping_goes_on_where_it_stopped(void **state)
{
	struct dialog_store *store = open_store();
	unsigned removed = 0;

	for (unsigned n = 0; n < 100; n++)
		assert_true(dialog_store_put(store, &made(n, n % 2)->dialog));
	assert_int_equal(dialog_store_sweep(store, 6000, 100), 0); /* they are not written yet */
	assert_true(dialog_store_flush(store));
	assert_int_equal(dialog_store_sweep(store, 4999, 100), 0);
	for (int i = 0; i < 10; i++)
		removed += dialog_store_sweep(store, 5049, 10); /* expires: 5000 and on */
	assert_int_equal(removed, 50);
	for (unsigned n = 0; n < 100; n++)
		assert_int_equal(find(store, n, n % 2), n < 50 ? DIALOG_UNKNOWN : DIALOG_FOUND);
	assert_int_equal(dialog_store_count(store), 100);
	assert_true(dialog_store_flush(store));
	assert_int_equal(dialog_store_count(store), 50);
	for (unsigned n = 0; n < 100; n++)
		assert_int_equal(find(store, n, n % 2), n < 50 ? DIALOG_UNKNOWN : DIALOG_FOUND);
	assert_int_equal(dialog_store_sweep(store, UINT32_MAX, 0), 0);
	removed = dialog_store_sweep(store, UINT32_MAX, 1000); /* to the end */
	removed += dialog_store_sweep(store, UINT32_MAX, 1000);
	assert_int_equal(removed, 50);
	assert_true(dialog_store_flush(store));
	assert_int_equal(dialog_store_count(store), 0);
	assert_int_equal(dialog_store_sweep(store, UINT32_MAX, 1000), 0);
	dialog_store_close(store);
}

static void test_sweeping_removes_what_is_damaged(void **state)
{
	struct dialog_store *store = open_store();

	write_raw_meanwhile("calls", &made(1, false)->caller_key, "damaged", 7);
	assert_int_equal(dialog_store_sweep(store, 0, 10), 1);
	assert_true(dialog_store_flush(store));
	assert_int_equal(dialog_store_count(store), 0);
	dialog_store_close(store);
}

static void test_a_call_refreshed_meanwhile_is_not_swept(void **state)
{
	struct dialog_store *store = open_store();
	static uint8_t record[DIALOG_RECORD_MAX];
	struct made_dialog *one = made(1, false);
	struct dialog dialog;

	assert_true(put(store, 1));
	assert_true(dialog_store_flush(store));
	assert_int_equal(dialog_store_sweep(store, 5001, 10), 1);
	one->dialog.expires = 9000; /* by another process, before this one flushes */
	write_raw_meanwhile("calls", &one->caller_key, record, dialog_record_write(&one->dialog, record));
	assert_true(dialog_store_flush(store));
	assert_int_equal(dialog_store_find(store, &one->caller_key, &dialog), DIALOG_FOUND);
	assert_int_equal(dialog.expires, 9000);
	dialog_store_close(store);
}

#define STORE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_record_holds_all_of_a_call),
		cmocka_unit_test(test_a_record_of_any_length),
		cmocka_unit_test(test_a_record_cut_short_or_changed_is_damaged),
		cmocka_unit_test(test_any_bytes_with_the_right_checksum_are_read_safely),
		cmocka_unit_test(test_a_later_version_shows_its_age_only),
		cmocka_unit_test(test_keys),
		STORE_TEST(test_keeps_what_was_put),
		STORE_TEST(test_what_waits_is_written_when_it_is_closed),
		STORE_TEST(test_replaces_and_removes),
		STORE_TEST(test_what_was_found_can_be_changed_and_put),
		STORE_TEST(test_what_did_not_change_is_not_written_again),
		STORE_TEST(test_both_call_ids_lead_to_a_call),
		STORE_TEST(test_a_call_that_passes_twice_is_two),
		STORE_TEST(test_calls_that_claim_one_key_do_not_mix),
		STORE_TEST(test_a_call_id_leads_to_the_other),
		STORE_TEST(test_call_ids_outlive_their_call),
		STORE_TEST(test_an_early_dialog_that_ends_leaves_the_others),
		STORE_TEST(test_call_ids_of_a_call_that_passes_twice),
		STORE_TEST(test_call_ids_that_are_not_remembered),
		STORE_TEST(test_call_ids_take_little_of_the_disk),
		STORE_TEST(test_call_ids_are_seen_by_other_processes),
		STORE_TEST(test_call_ids_that_wait_are_bounded),
		STORE_TEST(test_a_full_store_of_both_kinds_of_calls_can_be_emptied),
		STORE_TEST(test_call_ids_do_not_fill_the_store),
		STORE_TEST(test_calls_have_the_room_before_call_ids),
		STORE_TEST(test_sixty_routes_fit),
		STORE_TEST(test_a_call_that_is_too_long_is_refused),
		STORE_TEST(test_a_call_takes_little_of_the_disk_and_nothing_of_the_heap),
		STORE_TEST(test_two_processes_see_what_the_other_flushed),
		STORE_TEST(test_nothing_flushed_is_lost_when_a_writer_is_killed),
		STORE_TEST(test_the_others_go_on_when_a_writer_is_killed),
		STORE_TEST(test_a_writer_that_hangs_does_not_hang_the_others),
		STORE_TEST(test_what_waits_is_bounded),
		STORE_TEST(test_many_changes_are_flushed_without_being_asked),
		STORE_TEST(test_a_full_store_still_finds_and_removes),
		STORE_TEST(test_a_full_disk_is_survived),
		STORE_TEST(test_a_full_disk_at_the_start_costs_no_call),
		STORE_TEST(test_directories_that_cannot_be_used),
		STORE_TEST(test_damage_is_set_aside),
		STORE_TEST(test_files_set_aside_are_few),
		STORE_TEST(test_an_empty_file_is_a_new_store),
		STORE_TEST(test_a_damaged_record_is_unknown_and_removed),
		STORE_TEST(test_a_record_of_a_later_version_is_unknown_and_stays),
		STORE_TEST(test_an_alias_that_leads_astray_is_unknown),
		STORE_TEST(test_damage_found_on_the_way_is_repaired),
		STORE_TEST(test_a_file_that_was_taken_away_is_noticed),
		STORE_TEST(test_sweeping_goes_on_where_it_stopped),
		STORE_TEST(test_sweeping_removes_what_is_damaged),
		STORE_TEST(test_a_call_refreshed_meanwhile_is_not_swept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
