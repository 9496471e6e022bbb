/* The calls of a worker, with and without a dialog store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/sip/dialog_changes.h"
#include "../../src/sip/dialog_record.h"
#include "../../src/sip/dialogs.h"
#include "made-dialog.h"

#define STEP_US 10000
#define STEPS_MAX 1000
#define ALL_BUCKETS 16384

static char base[64], directory[96];
static struct config config;

static int setup(void **state)
{
	strcpy(base, "/tmp/test-dialogs-XXXXXX");
	assert_non_null(mkdtemp(base));
	snprintf(directory, sizeof directory, "%s/dialogs", base);
	config.dialog_store = directory;
	config.dialog_store_bytes = 1 << 20;
	return 0;
}

static void empty_directory(const char *path)
{
	DIR *open = opendir(path);
	struct dirent *entry;

	while (open != NULL && (entry = readdir(open)) != NULL)
		unlinkat(dirfd(open), entry->d_name, 0);
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

static struct dialogs *open_dialogs(void)
{
	struct dialogs *dialogs = dialogs_new(&config);

	assert_non_null(dialogs);
	return dialogs;
}

/* With a store that cannot be opened. */
static struct dialogs *open_without_store(void)
{
	snprintf(directory, sizeof directory, "%s/missing/dialogs", base);
	return open_dialogs();
}

/* As another process that writes, and does not come to an end. */
static int lock_store(void)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	return fd;
}

static struct made_dialog *made(unsigned n, bool new_call_id)
{
	static struct made_dialog ring[8]; /* each is good until eight more were made */
	static unsigned next;
	struct made_dialog *dialog = &ring[next++ % 8];

	make_dialog(dialog, n, new_call_id);
	return dialog;
}

static bool put(struct dialogs *dialogs, unsigned n, bool new_call_id)
{
	return dialogs_put(dialogs, &made(n, new_call_id)->dialog);
}

static void remove_one(struct dialogs *dialogs, unsigned n, bool new_call_id)
{
	dialogs_remove(dialogs, &made(n, new_call_id)->dialog);
}

static void assert_is(const struct dialog *dialog, const struct made_dialog *expected)
{
	static uint8_t one[DIALOG_RECORD_MAX], other[DIALOG_RECORD_MAX];
	size_t length = dialog_record_write(dialog, one);

	assert_int_equal(length, dialog_record_write(&expected->dialog, other));
	assert_memory_equal(one, other, length);
}

/* By either key. */
static bool has(struct dialogs *dialogs, unsigned n, bool new_call_id)
{
	const struct made_dialog *expected = made(n, new_call_id);
	struct dialog dialog;
	bool found = dialogs_find(dialogs, &expected->caller_key, &dialog);

	if (found)
		assert_is(&dialog, expected);
	assert_int_equal(dialogs_find(dialogs, &expected->callee_key, &dialog), found);
	if (found)
		assert_is(&dialog, expected);
	return found;
}

/* Removals wait until they are written, and not more than so many. */
static void remove_in_time(struct dialogs *dialogs, unsigned n, bool new_call_id)
{
	remove_one(dialogs, n, new_call_id);
	for (int i = 0; i < STEPS_MAX && has(dialogs, n, new_call_id); i++) {
		usleep(STEP_US);
		dialogs_flush(dialogs);
		remove_one(dialogs, n, new_call_id);
	}
	assert_false(has(dialogs, n, new_call_id));
}

static bool is_paired(struct dialogs *dialogs, unsigned n)
{
	const struct dialog *dialog = &made(n, true)->dialog;
	struct span other;
	bool found = dialogs_other_call_id(dialogs, dialog->caller.call_id, &other);

	if (found)
		assert_memory_equal(other.at, dialog->callee.call_id.at, dialog->callee.call_id.length);
	assert_int_equal(dialogs_other_call_id(dialogs, dialog->callee.call_id, &other), found);
	if (found)
		assert_memory_equal(other.at, dialog->caller.call_id.at, dialog->caller.call_id.length);
	return found;
}

static void sweep_all(struct dialogs *dialogs, uint32_t now)
{
	for (unsigned i = 0; i < ALL_BUCKETS; i += 1024)
		dialogs_sweep(dialogs, now, 1024);
}

/* --- With a store --- */

static void test_calls_are_in_the_store(void **state)
{
	struct dialogs *dialogs = open_dialogs();

	for (unsigned n = 0; n < 50; n++)
		assert_true(put(dialogs, n, n % 2));
	for (int opened = 0; opened < 2; opened++) {
		for (unsigned n = 0; n < 50; n++) {
			assert_true(has(dialogs, n, n % 2));
			assert_int_equal(is_paired(dialogs, n), n % 2);
		}
		assert_false(has(dialogs, 50, false));
		dialogs_flush(dialogs);
		dialogs_free(dialogs);
		dialogs = open_dialogs();
	}
	for (unsigned n = 0; n < 50; n++)
		remove_one(dialogs, n, n % 2);
	dialogs_flush(dialogs);
	for (unsigned n = 0; n < 50; n++) {
		assert_false(has(dialogs, n, n % 2));
		assert_int_equal(is_paired(dialogs, n), n % 2); /* for what replies to it */
	}
	dialogs_free(dialogs);
}

static void test_expired_calls_leave_the_store(void **state)
{
	struct dialogs *dialogs = open_dialogs();

	for (unsigned n = 0; n < 50; n++)
		assert_true(put(dialogs, n, n % 2)); /* expires: 5000 and on */
	dialogs_flush(dialogs);
	for (int twice = 0; twice < 2; twice++) {
		dialogs_sweep(dialogs, 5024, 100);
		dialogs_flush(dialogs);
	}
	for (unsigned n = 0; n < 50; n++)
		assert_int_equal(has(dialogs, n, n % 2), n > 24);
	dialogs_free(dialogs);
}

/* Of a call that is never answered only its Call-IDs are known, and nothing else may ever be written. */
static void test_pairs_are_written_in_the_end(void **state)
{
	struct dialogs *dialogs = open_dialogs();
	const struct dialog *dialog = &made(1, true)->dialog;
	struct span other;
	int status;
	pid_t child;

	dialogs_pair(dialogs, dialog->caller.call_id, dialog->callee.call_id);
	assert_true(is_paired(dialogs, 1));
	dialogs_flush(dialogs);
	child = fork(); /* one process must not open the file twice */
	if (child == 0) {
		dialogs = open_dialogs();
		_exit(is_paired(dialogs, 1) ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	dialogs_sweep(dialogs, 0, 1);
	child = fork();
	if (child == 0) {
		dialogs = open_dialogs();
		_exit(is_paired(dialogs, 1) ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_false(dialogs_other_call_id(dialogs, span_of("unknown"), &other));
	dialogs_free(dialogs);
}

static void test_a_full_store_costs_no_call(void **state)
{
	struct dialogs *dialogs = open_dialogs();
	unsigned count = 0;

	while (put(dialogs, count, count % 2)) {
		dialogs_flush(dialogs);
		assert_in_range(++count, 1, 10000);
	}
	for (unsigned n = count; n < 3 * count + DIALOG_CHANGES_MAX; n++)
		assert_false(put(dialogs, n, n % 2));
	for (unsigned n = 0; n < 3 * count + DIALOG_CHANGES_MAX; n++)
		assert_true(has(dialogs, n, n % 2));
	for (unsigned n = 0; n < 3 * count + DIALOG_CHANGES_MAX; n++)
		remove_in_time(dialogs, n, n % 2);
	for (int i = 0; i < STEPS_MAX && !put(dialogs, 7, true); i++) {
		dialogs_flush(dialogs);
		usleep(STEP_US);
	}
	dialogs_free(dialogs);
	dialogs = open_dialogs();
	assert_true(has(dialogs, 7, true));
	assert_false(has(dialogs, 8, false));
	dialogs_free(dialogs);
}

/* What was in memory is in the store once that takes it, and then nowhere else. */
static void test_a_call_goes_back_to_the_store(void **state)
{
	struct dialogs *dialogs = open_dialogs();
	struct made_dialog *one = made(1, true);
	struct dialog dialog;
	bool survives = false;
	int other = lock_store();

	assert_true(put(dialogs, 2, false));
	dialogs_flush(dialogs); /* which fails */
	assert_false(dialogs_put(dialogs, &one->dialog));
	assert_true(has(dialogs, 1, true));
	close(other);
	for (int i = 0; i < STEPS_MAX && !survives; i++) {
		dialogs_flush(dialogs);
		assert_true(dialogs_find(dialogs, &one->callee_key, &dialog));
		dialog.expires = 9000;
		survives = dialogs_put(dialogs, &dialog);
		usleep(STEP_US);
	}
	assert_true(survives);
	sweep_all(dialogs, 8999); /* takes the one of before from memory, if it still were there */
	one->dialog.expires = 9000;
	assert_true(dialogs_find(dialogs, &one->caller_key, &dialog));
	assert_is(&dialog, one);
	dialogs_free(dialogs);
	dialogs = open_dialogs();
	assert_true(dialogs_find(dialogs, &one->caller_key, &dialog));
	assert_is(&dialog, one);
	dialogs_free(dialogs);
}

/* --- Without one --- */

static void test_calls_pass_without_a_store(void **state)
{
	struct dialogs *dialogs = open_without_store();

	for (unsigned n = 0; n < 1000; n++)
		assert_false(put(dialogs, n, n % 2));
	dialogs_flush(dialogs);
	for (unsigned n = 0; n < 1000; n++)
		assert_true(has(dialogs, n, n % 2));
	assert_false(has(dialogs, 1000, false));
	for (unsigned n = 0; n < 1000; n += 3)
		remove_one(dialogs, n, n % 2);
	remove_one(dialogs, 2000, true); /* which there never was */
	for (unsigned n = 0; n < 1000; n++)
		assert_int_equal(has(dialogs, n, n % 2), n % 3 != 0);
	dialogs_free(dialogs); /* with the others in it */
}

static void test_a_call_in_memory_is_replaced(void **state)
{
	struct dialogs *dialogs = open_without_store();

	for (int new_call_id = 0; new_call_id < 2; new_call_id++) {
		struct made_dialog *one = made(1, new_call_id);
		struct dialog dialog;
		size_t heap = 0;

		for (int i = 0; i < 100; i++) {
			one->dialog.expires++;
			one->dialog.callee.target =
				span_of(i % 2 ? "sip:here@192.0.2.8" : "sip:there@192.0.2.9");
			assert_false(dialogs_put(dialogs, &one->dialog));
			assert_true(dialogs_find(dialogs, &one->caller_key, &dialog));
			assert_is(&dialog, one);
			dialog.caller.target = span_of("sip:moved@192.0.2.7"); /* as found, and changed */
			assert_false(dialogs_put(dialogs, &dialog));
			assert_true(dialogs_find(dialogs, &one->callee_key, &dialog));
			assert_true(span_is(dialog.caller.target, "sip:moved@192.0.2.7"));
			if (i == 10)
				heap = mallinfo2().uordblks;
		}
		assert_in_range(mallinfo2().uordblks, 0, heap + 1024);
		dialogs_remove(dialogs, &dialog);
		assert_false(dialogs_find(dialogs, &one->caller_key, &dialog));
		assert_false(dialogs_find(dialogs, &one->callee_key, &dialog));
	}
	dialogs_free(dialogs);
}

/* A callee's side whose key is another call's: the later one has it, and takes nothing away from that. */
static void test_calls_in_memory_that_claim_one_key_do_not_mix(void **state)
{
	struct dialogs *dialogs = open_without_store();
	struct made_dialog *one = made(1, true), *two = made(2, true);
	struct dialog dialog;

	two->dialog.callee.call_id = one->dialog.callee.call_id;
	two->dialog.caller.tag = one->dialog.caller.tag;
	two->dialog.callee.tag = one->dialog.callee.tag;
	dialogs_put(dialogs, &one->dialog);
	dialogs_put(dialogs, &two->dialog);
	assert_true(dialogs_find(dialogs, &one->callee_key, &dialog));
	assert_is(&dialog, two);
	assert_true(dialogs_find(dialogs, &one->caller_key, &dialog));
	assert_is(&dialog, one);
	dialogs_remove(dialogs, &two->dialog);
	assert_true(dialogs_find(dialogs, &one->callee_key, &dialog));
	assert_is(&dialog, one);
	/* One whose own key is the alias of another. */
	two->dialog.caller.call_id = one->dialog.callee.call_id;
	two->dialog.callee.call_id = span_of("third");
	dialogs_put(dialogs, &two->dialog);
	dialogs_remove(dialogs, &two->dialog);
	assert_true(dialogs_find(dialogs, &one->callee_key, &dialog));
	assert_is(&dialog, one);
	dialogs_remove(dialogs, &two->dialog); /* which is not there any more */
	assert_true(dialogs_find(dialogs, &one->caller_key, &dialog));
	assert_is(&dialog, one);
	dialogs_free(dialogs);
}

static void test_expired_calls_leave_the_memory(void **state)
{
	struct dialogs *dialogs = open_without_store();

	for (unsigned n = 0; n < 1000; n++)
		put(dialogs, n, n % 2); /* expires: 5000 and on */
	sweep_all(dialogs, 4999);
	for (unsigned n = 0; n < 1000; n++)
		assert_true(has(dialogs, n, n % 2));
	sweep_all(dialogs, 5499);
	for (unsigned n = 0; n < 1000; n++)
		assert_int_equal(has(dialogs, n, n % 2), n >= 500);
	sweep_all(dialogs, UINT32_MAX);
	for (unsigned n = 0; n < 1000; n++)
		assert_false(has(dialogs, n, n % 2));
	dialogs_free(dialogs);
}

#define LONG_ROUTES 60000

static bool put_long(struct dialogs *dialogs, unsigned n, struct dialog *found)
{
	static char routes[LONG_ROUTES];
	struct made_dialog *one = made(n, true);

	memset(routes, 'r', sizeof routes);
	one->dialog.caller.routes = (struct span){ routes, sizeof routes };
	dialogs_put(dialogs, &one->dialog);
	return dialogs_find(dialogs, &one->callee_key, found);
}

static void test_the_memory_is_bounded(void **state)
{
	struct dialogs *dialogs = open_without_store();
	const unsigned most = (64u << 20) / LONG_ROUTES;
	struct dialog dialog;
	unsigned count = 0;

	while (put_long(dialogs, count, &dialog))
		assert_in_range(++count, 1, most);
	assert_in_range(count, most - 20, most);
	assert_false(put_long(dialogs, count + 1, &dialog));
	dialogs_remove(dialogs, &made(0, true)->dialog);
	assert_true(put_long(dialogs, count, &dialog)); /* there is room for one again */
	assert_false(put_long(dialogs, count + 1, &dialog));
	assert_true(put_long(dialogs, 1, &dialog)); /* and in place of what is there */
	dialogs_free(dialogs);
}

static void test_what_cannot_be_kept(void **state)
{
	struct dialogs *dialogs = open_without_store();
	struct made_dialog *one = made(1, true);
	static char routes[DIALOG_TEXT_MAX];
	struct dialog_key nowhere = { 0 };
	struct dialog dialog;

	assert_false(dialogs_find(dialogs, &nowhere, &dialog));
	one->dialog.caller.routes = (struct span){ routes, sizeof routes }; /* too long with the others */
	assert_false(dialogs_put(dialogs, &one->dialog));
	assert_false(dialogs_find(dialogs, &one->caller_key, &dialog));
	dialogs_free(dialogs);
}

static void test_pairs_without_a_store(void **state)
{
	struct dialogs *dialogs = open_without_store();
	struct span other;

	for (unsigned n = 0; n < 1000; n++)
		put(dialogs, n, true);
	put(dialogs, 2000, false);
	for (unsigned n = 900; n < 1000; n++)
		remove_one(dialogs, n, true);
	remove_one(dialogs, 1, true);
	for (unsigned n = 600; n < 1000; n++)
		assert_true(is_paired(dialogs, n)); /* of the last ones, also when they are over */
	assert_true(is_paired(dialogs, 1));         /* which began long ago, and has just ended */
	assert_false(is_paired(dialogs, 2));
	assert_false(dialogs_other_call_id(dialogs, made(2000, false)->dialog.caller.call_id, &other));
	dialogs_pair(dialogs, span_of("caller"), span_of("callee")); /* never answered */
	assert_true(dialogs_other_call_id(dialogs, span_of("callee"), &other));
	assert_true(span_is(other, "caller"));
	dialogs_free(dialogs);
}

static void test_there_may_be_none_at_all(void **state)
{
	struct dialog dialog;
	struct span other;

	assert_false(put(NULL, 1, true));
	assert_false(dialogs_find(NULL, &made(1, true)->caller_key, &dialog));
	dialogs_pair(NULL, span_of("caller"), span_of("callee"));
	assert_false(dialogs_other_call_id(NULL, span_of("caller"), &other));
	remove_one(NULL, 1, true);
	dialogs_flush(NULL);
	dialogs_sweep(NULL, 0, 10);
	dialogs_free(NULL);
}

#define STORE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_calls_are_in_the_store),
		STORE_TEST(test_expired_calls_leave_the_store),
		STORE_TEST(test_pairs_are_written_in_the_end),
		STORE_TEST(test_a_full_store_costs_no_call),
		STORE_TEST(test_a_call_goes_back_to_the_store),
		STORE_TEST(test_calls_pass_without_a_store),
		STORE_TEST(test_a_call_in_memory_is_replaced),
		STORE_TEST(test_calls_in_memory_that_claim_one_key_do_not_mix),
		STORE_TEST(test_expired_calls_leave_the_memory),
		STORE_TEST(test_the_memory_is_bounded),
		STORE_TEST(test_what_cannot_be_kept),
		STORE_TEST(test_pairs_without_a_store),
		cmocka_unit_test(test_there_may_be_none_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
