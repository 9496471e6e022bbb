#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stirrup/secret.h"

static char directory[] = "/tmp/stirrup-test-secret-XXXXXX";
static char path[128];

static int make_directory(void **state)
{
	return mkdtemp(directory) == NULL ? -1 : 0;
}

static int remove_directory(void **state)
{
	return rmdir(directory);
}

static int name_file(void **state)
{
	snprintf(path, sizeof path, "%s/secret", directory);
	return 0;
}

static int remove_file(void **state)
{
	unlink(path);
	return 0;
}

static void write_file(const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

#define SIXTY_FOUR "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1E1F"

static void first_start_makes_it_and_the_second_reads_the_same(void **state)
{
	uint8_t first[CHILD_SECRET_BYTES], second[CHILD_SECRET_BYTES];
	struct stat status;
	char why[256];

	assert_true(secret_load(path, first, why, sizeof why));
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_true(secret_load(path, second, why, sizeof why));
	assert_memory_equal(first, second, sizeof first);
}

static void a_copied_secret_is_taken(void **state)
{
	uint8_t secret[CHILD_SECRET_BYTES];
	char why[256];

	write_file(SIXTY_FOUR "\n", 0600);
	assert_true(secret_load(path, secret, why, sizeof why));
	for (int i = 0; i < CHILD_SECRET_BYTES; i++)
		assert_int_equal(secret[i], i);
}

static void refuse(const char *text, mode_t mode, const char *reason)
{
	uint8_t secret[CHILD_SECRET_BYTES];
	char why[256];

	write_file(text, mode);
	assert_false(secret_load(path, secret, why, sizeof why));
	assert_non_null(strstr(why, reason));
	assert_non_null(strstr(why, path));
	unlink(path);
}

static void what_is_no_secret_is_refused(void **state)
{
	refuse("", 0600, "64 hexadecimal digits");
	refuse("0011\n", 0600, "64 hexadecimal digits");
	refuse(SIXTY_FOUR "00\n", 0600, "64 hexadecimal digits");
	refuse("x" SIXTY_FOUR, 0600, "64 hexadecimal digits");
	refuse(SIXTY_FOUR "\n", 0640, "chmod 600");
	refuse(SIXTY_FOUR "\n", 0604, "chmod 600");
}

static void a_link_or_a_missing_directory_is_refused(void **state)
{
	uint8_t secret[CHILD_SECRET_BYTES];
	char why[256];

	assert_int_equal(symlink("/dev/null", path), 0);
	assert_false(secret_load(path, secret, why, sizeof why));
	assert_non_null(strstr(why, "symbolic link"));
	unlink(path);
	snprintf(path, sizeof path, "%s/none/secret", directory);
	assert_false(secret_load(path, secret, why, sizeof why));
	assert_non_null(strstr(why, "cannot be made"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(first_start_makes_it_and_the_second_reads_the_same, name_file, remove_file),
		cmocka_unit_test_setup_teardown(a_copied_secret_is_taken, name_file, remove_file),
		cmocka_unit_test_setup_teardown(what_is_no_secret_is_refused, name_file, remove_file),
		cmocka_unit_test_setup_teardown(a_link_or_a_missing_directory_is_refused, name_file, remove_file),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
