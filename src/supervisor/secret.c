#include "stirrup/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_BYTES (CHILD_SECRET_BYTES * 2 + 1)

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool decode(uint8_t secret[CHILD_SECRET_BYTES], const char *text)
{
	for (size_t i = 0; i < CHILD_SECRET_BYTES; i++) {
		int high = hex_value(text[2 * i]);
		int low = hex_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		secret[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool read_secret(int fd, uint8_t secret[CHILD_SECRET_BYTES], const char **problem)
{
	char text[TEXT_BYTES + 1];
	struct stat status;
	ssize_t length;

	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
		*problem = "not a regular file";
		return false;
	}
	if ((status.st_mode & 077) != 0) {
		*problem = "group or others have access to it: chmod 600";
		return false;
	}
	length = read(fd, text, sizeof text);
	if (length < TEXT_BYTES - 1 || length > TEXT_BYTES || (length == TEXT_BYTES && text[TEXT_BYTES - 1] != '\n') ||
		!decode(secret, text)) {
		*problem = "want 64 hexadecimal digits";
		return false;
	}
	return true;
}

static bool write_secret(int fd, const uint8_t secret[CHILD_SECRET_BYTES])
{
	char text[TEXT_BYTES + 1];

	for (size_t i = 0; i < CHILD_SECRET_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", secret[i]);
	text[TEXT_BYTES - 1] = '\n';
	return write(fd, text, TEXT_BYTES) == TEXT_BYTES && fsync(fd) == 0;
}

/* Complete or not there: written beside its place, then linked into it. */
static bool make_secret(const char *path, uint8_t secret[CHILD_SECRET_BYTES])
{
	char beside[4096];
	bool made;
	int fd;

	if (getrandom(secret, CHILD_SECRET_BYTES, 0) != CHILD_SECRET_BYTES ||
		(size_t)snprintf(beside, sizeof beside, "%s.%ld", path, (long)getpid()) >= sizeof beside)
		return false;
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	made = write_secret(fd, secret) && rename(beside, path) == 0;
	close(fd);
	if (!made)
		unlink(beside);
	return made;
}

static bool read_file(const char *path, int fd, uint8_t secret[CHILD_SECRET_BYTES], char *why, size_t why_size)
{
	const char *problem = NULL;

	if (fd < 0) {
		snprintf(why, why_size, "%s: %s", path, errno == ELOOP ? "is a symbolic link" : strerror(errno));
		return false;
	}
	if (!read_secret(fd, secret, &problem))
		snprintf(why, why_size, "%s: %s", path, problem);
	close(fd);
	return problem == NULL;
}

bool secret_load(const char *path, uint8_t secret[CHILD_SECRET_BYTES], char *why, size_t why_size)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 || errno != ENOENT)
		return read_file(path, fd, secret, why, why_size);
	if (make_secret(path, secret))
		return true;
	snprintf(why, why_size, "%s: cannot be made: %s", path, strerror(errno));
	return false;
}

bool secret_load_previous(const char *path, uint8_t secret[CHILD_SECRET_BYTES], char *why, size_t why_size)
{
	return read_file(path, open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), secret, why, why_size);
}
