/* A fuzzer without libFuzzer: runs over the files of its arguments, and over changes of them.
 *
 *   fuzz-NAME [-runs=N] [-seed=N] [-max_total_time=SECONDS] [FILE|DIRECTORY]...
 *
 * The same seed makes the same inputs. The input at hand when something fails is left in crash-NAME. */
#include "fuzz.h"
#include "stirrup/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MAX 65536
#define SEEDS_MAX 4096
#define PATH_SIZE 4096
#define LOOK_AT_CLOCK_EVERY 256

/* The sanitizers have it. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

struct input {
	uint8_t *bytes;
	size_t length;
};

static struct input seeds[SEEDS_MAX];
static size_t seed_count;
static uint8_t work[INPUT_MAX];
static struct input at_hand;
static char crash_path[PATH_SIZE];
static uint64_t state;

/* --- What failed --- */

static void keep_input(void)
{
	int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, at_hand.bytes, at_hand.length) != (ssize_t)at_hand.length)
		return;
	close(fd);
	fprintf(stderr, "the input is in %s\n", crash_path);
}

static void on_abort(int number)
{
	keep_input();
	signal(number, SIG_DFL);
	raise(number);
}

/* From a copy of exactly that size, so that a sanitizer sees any read beyond it. */
static void run(const uint8_t *bytes, size_t length)
{
	at_hand.bytes = malloc(length == 0 ? 1 : length);
	at_hand.length = length;
	if (at_hand.bytes == NULL)
		exit(2);
	if (length > 0)
		memcpy(at_hand.bytes, bytes, length);
	LLVMFuzzerTestOneInput(at_hand.bytes, length);
	free(at_hand.bytes);
	at_hand.bytes = NULL;
}

/* --- Seeds --- */

static void read_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, work, sizeof work);
	struct input *seed = &seeds[seed_count];

	if (fd >= 0)
		close(fd);
	if (length < 0 || seed_count == SEEDS_MAX) {
		fprintf(stderr, "%s: %s\n", path, length < 0 ? strerror(errno) : "one seed too many");
		exit(2);
	}
	seed->length = (size_t)length;
	seed->bytes = malloc(seed->length + 1);
	if (seed->bytes == NULL)
		exit(2);
	memcpy(seed->bytes, work, seed->length);
	seed_count++;
}

static int is_no_hidden_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void read_path(const char *path)
{
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, is_no_hidden_file, alphasort);

	if (count < 0) {
		read_file(path);
		return;
	}
	for (int i = 0; i < count; i++) {
		char file[PATH_SIZE];

		snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
		read_file(file);
		free(entries[i]);
	}
	free(entries);
}

/* --- Changes --- */

/* xorshift64*: it need not be good, but the same everywhere. */
static uint64_t draw(uint64_t below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(2685821657736338717) / 2 % below;
}

static size_t put_in(size_t length, size_t at, const uint8_t *bytes, size_t count)
{
	if (count > INPUT_MAX - length)
		count = INPUT_MAX - length;
	memmove(work + at + count, work + at, length - at);
	memmove(work + at, bytes, count);
	return length + count;
}

static size_t cut_out(size_t length, size_t at, size_t count)
{
	memmove(work + at, work + at + count, length - at - count);
	return length - count;
}

/* What parsers look for. */
static size_t put_token(size_t length, size_t at)
{
	static const char *const tokens[] = { ";", "=", "\"", "\\", "<", ">", ",", "@", ":", "%", "%00",
		"\r\n ", "\r\n", " ", "\t", "..", ".", "-", "_", "{", "}", "[", "]", "null", "0", "-1",
		"4294967296", "18446744073709551616", "tel:", "sip:", "+", ";verstat", ";tag=", ";info=<",
		";ppt=shaken", "\xff", "\x80", "\x30\x80", "\xa0\x84\xff\xff\xff\xff",
		"-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n" };
	const char *token = tokens[draw(sizeof tokens / sizeof tokens[0])];

	return put_in(length, at, (const uint8_t *)token, strlen(token));
}

static size_t change_once(size_t length)
{
	size_t at = (size_t)draw(length + 1), count = length - at;
	uint8_t octet = (uint8_t)draw(256), piece[64];

	if (count > sizeof piece)
		count = sizeof piece;
	if (count > 0)
		count = (size_t)draw(count) + 1;
	switch (draw(8)) {
	case 0: /* one bit */
		if (at < length)
			work[at] ^= (uint8_t)(1u << draw(8));
		return length;
	case 1: /* one octet */
		if (at < length)
			work[at] = octet;
		return length;
	case 2:
		return put_in(length, at, &octet, 1);
	case 3:
		return cut_out(length, at, count);
	case 4: /* a piece once more, elsewhere */
		memcpy(piece, work + at, count);
		return put_in(length, (size_t)draw(length + 1), piece, count);
	case 5: /* the end goes */
		return at;
	case 6: { /* the rest of another */
		const struct input *other = &seeds[draw(seed_count)];
		size_t from = (size_t)draw(other->length + 1);

		return put_in(at, at, other->bytes + from, other->length - from);
	}
	default:
		return put_token(length, at);
	}
}

static void run_changed(void)
{
	const struct input *seed = &seeds[draw(seed_count)];
	size_t length = seed->length;

	memcpy(work, seed->bytes, length);
	for (uint64_t changes = draw(6) + 1; changes > 0; changes--)
		length = change_once(length);
	run(work, length);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/') == NULL ? argv[0] : strrchr(argv[0], '/') + 1;
	unsigned long runs = 0, done = 0, seconds = 0;
	int64_t end_us;

	state = 1;
	snprintf(crash_path, sizeof crash_path, "crash-%s", name);
	signal(SIGABRT, on_abort);
	if (__sanitizer_set_death_callback != NULL)
		__sanitizer_set_death_callback(keep_input);
	for (int i = 1; i < argc; i++) {
		if (sscanf(argv[i], "-runs=%lu", &runs) == 1 || sscanf(argv[i], "-seed=%lu", &state) == 1 ||
			sscanf(argv[i], "-max_total_time=%lu", &seconds) == 1)
			continue;
		read_path(argv[i]);
	}
	if (state == 0)
		state = 1;
	for (size_t i = 0; i < seed_count; i++)
		run(seeds[i].bytes, seeds[i].length);
	run((const uint8_t *)"", 0);
	if (seed_count == 0)
		seeds[seed_count++] = (struct input){ calloc(1, 1), 0 };
	end_us = seconds == 0 ? INT64_MAX : monotonic_us() + (int64_t)seconds * 1000000;
	while (done < runs && (done % LOOK_AT_CLOCK_EVERY != 0 || monotonic_us() < end_us)) {
		run_changed();
		done++;
	}
	printf("%s: %zu seeds, %lu changes of them\n1 passed, 0 failed\n", name, seed_count, done);
	for (size_t i = 0; i < seed_count; i++)
		free(seeds[i].bytes);
	return 0;
}
