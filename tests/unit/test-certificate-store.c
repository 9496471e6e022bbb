#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "stirrup/certificate_store.h"
#include "stirrup/clock.h"
#include "stirrup/passport.h"

#define MANY 1000
#define LARGE (64 << 20)

static char base[64], directory[96], data_file[128], damaged_file[128];

static int setup(void **state)
{
	strcpy(base, "/tmp/test-store-XXXXXX");
	assert_non_null(mkdtemp(base));
	snprintf(directory, sizeof directory, "%s/certificates", base);
	snprintf(data_file, sizeof data_file, "%s/data.mdb", directory);
	snprintf(damaged_file, sizeof damaged_file, "%s/damaged.mdb", directory);
	return 0;
}

static int teardown(void **state)
{
	unlink(data_file);
	unlink(damaged_file);
	rmdir(directory);
	rmdir(base);
	return 0;
}

static struct certificate_store *open_with(size_t entries, size_t bytes)
{
	char why[256];
	struct certificate_store *store = certificate_store_open(directory, entries, bytes, why, sizeof why);

	if (store == NULL)
		fail_msg("%s", why);
	return store;
}

static struct certificate_store *open_store(void)
{
	return open_with(MANY, LARGE);
}

/* The nth URL and what is there: recognizable, and of a length of its own. */
static const char *url_of(unsigned n)
{
	static char url[64];

	snprintf(url, sizeof url, "https://certs.example.net/%u.pem", n);
	return url;
}

static struct span pem_of(unsigned n)
{
	static char pem[8192];
	size_t length = 1000 + n * 37 % 5000;

	for (size_t i = 0; i < length; i += 8)
		snprintf(pem + i, 9, "%08x", n * 7919 + (unsigned)i);
	return (struct span){ pem, length };
}

static bool put(struct certificate_store *store, unsigned n)
{
	struct stored_chain chain = { pem_of(n), 1000 + n, 2000 + n, 1500 + n };

	return certificate_store_put(store, url_of(n), &chain);
}

static bool has(struct certificate_store *store, unsigned n)
{
	struct stored_chain chain;
	struct span pem = pem_of(n);

	if (!certificate_store_get(store, url_of(n), &chain))
		return false;
	assert_int_equal(chain.pem.length, pem.length);
	assert_memory_equal(chain.pem.at, pem.at, pem.length);
	assert_int_equal(chain.fetched, 1000 + n);
	assert_int_equal(chain.keep_until, 2000 + n);
	assert_int_equal(chain.refresh_after, 1500 + n);
	return true;
}

static void test_keeps_what_was_put(void **state)
{
	struct certificate_store *store = open_store();

	assert_int_equal(certificate_store_count(store), 0);
	assert_false(has(store, 0));
	for (unsigned n = 0; n < 50; n++)
		assert_true(put(store, n));
	for (unsigned n = 0; n < 50; n++)
		assert_true(has(store, n));
	assert_false(has(store, 50));
	assert_int_equal(certificate_store_count(store), 50);
	certificate_store_close(store);
	certificate_store_close(NULL);
}

static void test_any_size_up_to_the_limit(void **state)
{
	static const size_t sizes[] = { 0, 1, 1900, 1999, 2000, 2001, 4096, 65535, 65536 };
	struct certificate_store *store = open_store();
	char *octets = malloc(STORED_CHAIN_MAX + 1), url[PASSPORT_X5U_MAX + 2];
	struct stored_chain chain = { .fetched = 1 }, got;

	memset(octets, '\0', STORED_CHAIN_MAX + 1);
	memset(url, 'u', sizeof url);
	url[PASSPORT_X5U_MAX] = '\0';
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		chain.pem = (struct span){ octets, sizes[i] };
		assert_true(certificate_store_put(store, url, &chain));
		assert_true(certificate_store_get(store, url, &got));
		assert_int_equal(got.pem.length, sizes[i]);
	}
	chain.pem.length = STORED_CHAIN_MAX + 1;
	assert_false(certificate_store_put(store, url, &chain));
	url[PASSPORT_X5U_MAX] = 'u';
	url[PASSPORT_X5U_MAX + 1] = '\0';
	chain.pem.length = 1;
	assert_false(certificate_store_put(store, url, &chain));
	assert_int_equal(certificate_store_count(store), 1);
	free(octets);
	certificate_store_close(store);
}

static void test_replaces_and_removes(void **state)
{
	struct certificate_store *store = open_store();
	struct stored_chain chain = { .fetched = 1002 };

	assert_true(put(store, 1));
	chain.pem = pem_of(2);
	/* Another chain under the same URL. */
	assert_true(certificate_store_put(store, url_of(1), &chain));
	assert_true(certificate_store_get(store, url_of(1), &chain));
	assert_int_equal(chain.fetched, 1002);
	/* What was got can be put again. */
	chain.keep_until = 9999;
	assert_true(certificate_store_put(store, url_of(3), &chain));
	assert_true(certificate_store_get(store, url_of(3), &chain));
	assert_int_equal(chain.keep_until, 9999);
	assert_memory_equal(chain.pem.at, pem_of(2).at, chain.pem.length);
	assert_true(certificate_store_remove(store, url_of(1)));
	assert_true(certificate_store_remove(store, url_of(1)));
	assert_false(has(store, 1));
	assert_int_equal(certificate_store_count(store), 1);
	certificate_store_close(store);
}

static void test_survives_a_restart(void **state)
{
	struct certificate_store *store = open_store();

	for (unsigned n = 0; n < 20; n++)
		put(store, n);
	certificate_store_remove(store, url_of(7));
	certificate_store_close(store);
	store = open_store();
	assert_int_equal(certificate_store_count(store), 19);
	for (unsigned n = 0; n < 20; n++)
		assert_int_equal(has(store, n), n != 7);
	certificate_store_close(store);
}

static void test_least_recently_used_goes_first(void **state)
{
	struct certificate_store *store = open_with(10, LARGE);

	for (unsigned n = 0; n < 10; n++)
		put(store, n);
	assert_true(has(store, 0));
	assert_true(has(store, 1));
	for (unsigned n = 10; n < 18; n++)
		put(store, n);
	assert_int_equal(certificate_store_count(store), 10);
	for (unsigned n = 0; n < 18; n++)
		assert_int_equal(has(store, n), n < 2 || n > 9);
	certificate_store_close(store);
	/* A smaller bound leaves the youngest. */
	store = open_with(3, LARGE);
	assert_int_equal(certificate_store_count(store), 3);
	for (unsigned n = 15; n < 18; n++)
		assert_true(has(store, n));
	certificate_store_close(store);
}

static void test_bounded_by_bytes(void **state)
{
	struct certificate_store *store = open_with(100000, 1 << 20);
	struct stat status;

	for (unsigned n = 0; n < 3000; n++)
		assert_true(put(store, n));
	assert_in_range(certificate_store_count(store), 128, 400);
	assert_true(has(store, 2999));
	assert_false(has(store, 0));
	assert_int_equal(stat(data_file, &status), 0);
	assert_true(status.st_size < 4 << 20);
	certificate_store_close(store);
}

static void test_note(void **state)
{
	struct certificate_store *store = open_with(1, LARGE);
	unsigned char note[STORE_NOTE_MAX], long_note[STORE_NOTE_MAX + 1] = { 0 };

	assert_int_equal(certificate_store_note(store, note), 0);
	assert_true(certificate_store_set_note(store, "epoch 7", 7));
	assert_false(certificate_store_set_note(store, long_note, sizeof long_note));
	put(store, 1);
	put(store, 2);
	certificate_store_close(store);
	store = open_with(1, LARGE);
	assert_int_equal(certificate_store_note(store, note), 7);
	assert_memory_equal(note, "epoch 7", 7);
	assert_int_equal(certificate_store_count(store), 1);
	certificate_store_close(store);
}

static void test_one_process_at_a_time(void **state)
{
	struct certificate_store *store = open_store(), *other;
	char why[256], expected[256];

	assert_null(certificate_store_open(directory, MANY, LARGE, why, sizeof why));
	snprintf(expected, sizeof expected, "%s: another process uses it", directory);
	assert_string_equal(why, expected);
	certificate_store_close(store);
	other = open_store();
	certificate_store_close(other);
}

static void test_directories_that_cannot_be_used(void **state)
{
	char why[256], path[256];

	assert_null(certificate_store_open("/nowhere/deep/store", MANY, LARGE, why, sizeof why));
	assert_string_equal(why, "/nowhere/deep/store: No such file or directory");
	snprintf(path, sizeof path, "%s/file", base);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	assert_null(certificate_store_open(path, MANY, LARGE, why, sizeof why));
	assert_non_null(strstr(why, "Not a directory"));
	unlink(path);
}

/* --- Damage --- */

struct image {
	char *octets;
	size_t size;
};

static struct image read_image(void)
{
	struct image image;
	int fd = open(data_file, O_RDONLY);
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	image.size = (size_t)status.st_size;
	image.octets = malloc(image.size);
	assert_int_equal(read(fd, image.octets, image.size), image.size);
	close(fd);
	return image;
}

static void write_image(const char *octets, size_t size)
{
	int fd = open(data_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, octets, size), size);
	close(fd);
}

static void test_a_flipped_bit_costs_one_entry(void **state)
{
	struct certificate_store *store = open_store();
	struct image image; /* chains so long that they have pages of their own, written once */
	char *at;

	for (unsigned n = 40; n < 60; n++)
		put(store, n);
	certificate_store_close(store);
	image = read_image();
	at = memmem(image.octets, image.size, pem_of(45).at, pem_of(45).length);
	assert_non_null(at);
	at[500] ^= 1;
	/* And a date: keep_until of the sixth. */
	at = memmem(image.octets, image.size, url_of(46), strlen(url_of(46)));
	assert_non_null(at);
	at[-48] ^= 1;
	write_image(image.octets, image.size);
	free(image.octets);
	store = open_store();
	for (unsigned n = 40; n < 60; n++)
		assert_int_equal(has(store, n), n != 45 && n != 46);
	assert_int_equal(certificate_store_count(store), 18);
	certificate_store_close(store);
}

static void test_entries_of_another_format_are_dropped(void **state)
{
	struct certificate_store *store = open_store();
	struct image image;

	for (unsigned n = 0; n < 20; n++)
		put(store, n);
	certificate_store_set_note(store, "note", 4);
	certificate_store_close(store);
	image = read_image();
	for (size_t i = 0; i + 4 <= image.size; i += 2)
		if (memcmp(image.octets + i, "1RTS", 4) == 0)
			image.octets[i] = '2';
	write_image(image.octets, image.size);
	free(image.octets);
	store = open_store();
	assert_int_equal(certificate_store_count(store), 0);
	assert_true(put(store, 1));
	certificate_store_close(store);
	store = open_store();
	assert_int_equal(certificate_store_count(store), 1);
	certificate_store_close(store);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void damage(struct image *image, unsigned kind, uint32_t *seed)
{
	switch (kind) {
	case 0: /* bits */
		for (unsigned i = 0; i <= next_random(seed) % 8; i++)
			image->octets[next_random(seed) % image->size] ^= (char)(1 << next_random(seed) % 8);
		break;
	case 1: /* bits where LMDB keeps its own: the first octets of each page */
		for (unsigned i = 0; i <= next_random(seed) % 4; i++)
			image->octets[next_random(seed) % (image->size / 4096) * 4096 +
				      next_random(seed) % 64] ^= (char)(1 << next_random(seed) % 8);
		break;
	case 2: /* a stretch of random octets */
		for (size_t i = next_random(seed) % image->size, n = 0; i < image->size && n < 5000; i++, n++)
			image->octets[i] = (char)next_random(seed);
		break;
	case 3: /* a page from elsewhere */
		memcpy(image->octets + next_random(seed) % (image->size / 4096) * 4096,
			image->octets + next_random(seed) % (image->size / 4096) * 4096, 4096);
		break;
	case 4: /* cut short */
		image->size = next_random(seed) % image->size;
		break;
	default:
		break;
	}
}

/* In a process of its own: what it finds is as it was, or not there; 0 says so. */
static int use_damaged(unsigned count)
{
	static const struct rlimit none = { 0, 0 };
	char why[256];
	struct certificate_store *store;
	int wrong = 0;

	setrlimit(RLIMIT_CORE, &none);
	/* cmocka has handlers, which would go on with the next test here. */
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	signal(SIGABRT, SIG_DFL);
	close(STDERR_FILENO);
	open("/dev/null", O_WRONLY);
	store = certificate_store_open(directory, MANY, LARGE, why, sizeof why);
	if (store == NULL)
		return 2;
	for (unsigned n = 0; n < count; n++) {
		struct stored_chain chain;
		struct span pem = pem_of(n);

		if (!certificate_store_get(store, url_of(n), &chain))
			continue;
		wrong |= chain.pem.length != pem.length || memcmp(chain.pem.at, pem.at, pem.length) != 0 ||
			 chain.keep_until != 2000 + n;
	}
	for (unsigned n = count; n < count + 5; n++)
		put(store, n);
	certificate_store_close(store);
	return wrong;
}

static int run_damaged(unsigned count)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		alarm(30);
		_exit(use_damaged(count));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_any_damage_leaves_a_store_that_opens(void **state)
{
	struct certificate_store *store = open_store();
	struct image sound, mutant;
	uint32_t seed = 4711;

	for (unsigned n = 0; n < 40; n++)
		put(store, n);
	certificate_store_close(store);
	sound = read_image();
	mutant.octets = malloc(sound.size);
	for (unsigned i = 0; i < 500; i++) {
		int result;

		memcpy(mutant.octets, sound.octets, sound.size);
		mutant.size = sound.size;
		damage(&mutant, i % 5, &seed);
		write_image(mutant.octets, mutant.size);
		result = run_damaged(40);
		if (result != 0)
			fail_msg("mutant %u of kind %u: %d", i, i % 5, result);
	}
	free(mutant.octets);
	free(sound.octets);
}

static void test_files_that_are_no_store(void **state)
{
	static const struct {
		const char *octets;
		size_t size;
	} files[] = { { "", 0 }, { "x", 1 }, { "not a database at all", 21 } };
	char *zeros = calloc(1, 65536);

	assert_int_equal(mkdir(directory, 0700), 0);
	for (size_t i = 0; i < 4; i++) {
		struct certificate_store *store;

		write_image(i == 3 ? zeros : files[i].octets, i == 3 ? 65536 : files[i].size);
		store = open_store();
		assert_int_equal(certificate_store_count(store), 0);
		assert_true(put(store, 1));
		assert_true(has(store, 1));
		certificate_store_close(store);
	}
	free(zeros);
}

/* kill -9 at any moment of a write: what is found is whole. */
static void test_killed_while_writing(void **state)
{
	uint32_t seed = 1;

	for (unsigned round = 0; round < 30; round++) {
		struct certificate_store *store;
		pid_t child = fork();

		if (child == 0) {
			char why[256];

			store = certificate_store_open(directory, 50, LARGE, why, sizeof why);
			for (unsigned n = round * 50; store != NULL; n++)
				put(store, n % 5000);
			_exit(1);
		}
		usleep(3000 + next_random(&seed) % 10000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		store = open_with(50, LARGE);
		for (unsigned n = 0; n < 5000; n++)
			has(store, n);
		assert_true(certificate_store_count(store) <= 50);
		assert_true(round == 0 || access(damaged_file, F_OK) != 0);
		certificate_store_close(store);
	}
}

static void test_full_disk(void **state)
{
	struct certificate_store *store = open_store();
	struct rlimit before, small = { 1 << 20, 1 << 20 };
	unsigned n = 0;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small.rlim_max = before.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	while (n < 2000 && put(store, n))
		n++;
	setrlimit(RLIMIT_FSIZE, &before);
	assert_in_range(n, 50, 1000);
	for (unsigned i = 0; i < n; i++)
		assert_true(has(store, i));
	assert_false(has(store, n));
	/* There is room again. */
	assert_true(put(store, n));
	assert_true(has(store, n));
	certificate_store_close(store);
}

static void test_opens_fast_with_16000_entries(void **state)
{
	struct certificate_store *store = open_with(50000, 256 << 20);
	int64_t start;

	for (unsigned n = 0; n < 16000; n++)
		assert_true(put(store, n));
	certificate_store_close(store);
	start = monotonic_us();
	store = open_with(50000, 256 << 20);
	assert_true(has(store, 15999));
	assert_true(monotonic_us() - start < 1000000);
	assert_int_equal(certificate_store_count(store), 16000);
	certificate_store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_keeps_what_was_put, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_size_up_to_the_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaces_and_removes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_survives_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_least_recently_used_goes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded_by_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_note, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_process_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_directories_that_cannot_be_used, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_flipped_bit_costs_one_entry, setup, teardown),
		cmocka_unit_test_setup_teardown(test_entries_of_another_format_are_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_damage_leaves_a_store_that_opens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files_that_are_no_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_while_writing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_opens_fast_with_16000_entries, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
