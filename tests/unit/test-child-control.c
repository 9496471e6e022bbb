#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stirrup/channel.h"
#include "stirrup/child_control.h"
#include "stirrup/log.h"

#define PEERS \
	" peers = ( { name = \"a\"; addresses = [ \"192.0.2.1\" ]; unknown_customer = \"unsigned\"; } );"

static int supervisor, child; /* the ends */
static struct child_control control;

static int set_up(void **state)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
		return 1;
	supervisor = ends[0];
	child = ends[1];
	child_control_begin(&control, child);
	return 0;
}

static int tear_down(void **state)
{
	child_control_end(&control);
	close(supervisor);
	close(child);
	return 0;
}

/* As the supervisor hands it over: a memfd of the source. */
static int configuration(const char *text)
{
	char path[] = "/tmp/stirrup-test-control-XXXXXX", why[256];
	struct config_source *source;
	int fd = mkstemp(path);

	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	source = config_source_read(path, why, sizeof why);
	unlink(path);
	assert_non_null(source);
	fd = config_source_to_memfd(source);
	config_source_free(source);
	assert_true(fd >= 0);
	return fd;
}

static void say(enum child_message_kind kind, uint32_t generation, int fd)
{
	struct child_message message = { .kind = kind, .generation = generation };

	assert_true(channel_send(supervisor, &message, sizeof message, fd));
	if (fd >= 0)
		close(fd);
}

static void assert_next(enum child_news news, enum child_message_kind kind)
{
	struct child_message message;
	int fd;

	assert_int_equal(child_control_next(&control, &message, &fd), news);
	if (news == CHILD_NEWS_MESSAGE) {
		assert_int_equal(message.kind, kind);
		assert_int_equal(fd, -1);
	}
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void the_last_configuration_is_the_one(void **state)
{
	unsigned before = open_descriptors();
	struct config *config;

	say(CHILD_CONFIG, 7, configuration("sip: { listen = [ \"udp:127.0.0.1:5060\" ]; };" PEERS));
	say(CHILD_CONFIG, 8, configuration("sip: { listen = [ \"udp:127.0.0.1:5062\", \"udp:127.0.0.1:5064\" ]; };" PEERS));
	assert_next(CHILD_NEWS_MESSAGE, CHILD_CONFIG);
	assert_next(CHILD_NEWS_MESSAGE, CHILD_CONFIG);
	assert_next(CHILD_NEWS_NONE, CHILD_CONFIG);
	config = child_control_take_config(&control);
	assert_non_null(config);
	assert_int_equal(config->listener_count, 2);
	config_free(config);
	assert_null(child_control_take_config(&control));
	assert_int_equal(open_descriptors(), before);
}

static void an_answer_names_its_generation(void **state)
{
	struct child_message message;
	int fd;

	say(CHILD_CONFIG, 9, configuration("nonsense"));
	assert_next(CHILD_NEWS_MESSAGE, CHILD_CONFIG);
	assert_null(child_control_take_config(&control));
	child_control_answer(&control, CHILD_REFUSED);
	assert_int_equal(channel_receive(supervisor, &message, sizeof message, &fd), sizeof message);
	assert_int_equal(message.kind, CHILD_REFUSED);
	assert_int_equal(message.generation, 9);
}

static void other_descriptors_are_the_callers(void **state)
{
	struct child_message message;
	int fd;

	say(CHILD_SIGNER, 0, dup(0));
	assert_int_equal(child_control_next(&control, &message, &fd), CHILD_NEWS_MESSAGE);
	assert_int_equal(message.kind, CHILD_SIGNER);
	assert_int_equal(close(fd), 0);
}

static void what_is_no_message_is_passed_over(void **state)
{
	static const char long_one[2 * sizeof(struct child_message)];
	unsigned before = open_descriptors();
	int fd = dup(0);

	assert_true(channel_send(supervisor, "short", 5, fd));
	close(fd);
	assert_true(channel_send(supervisor, long_one, sizeof long_one, -1));
	say(CHILD_STOP, 0, -1);
	assert_next(CHILD_NEWS_NONE, CHILD_STOP);
	assert_next(CHILD_NEWS_NONE, CHILD_STOP);
	assert_next(CHILD_NEWS_MESSAGE, CHILD_STOP);
	assert_int_equal(open_descriptors(), before);
}

static void a_supervisor_that_is_gone_is_told(void **state)
{
	say(CHILD_STOP, 0, -1);
	shutdown(supervisor, SHUT_RDWR);
	assert_next(CHILD_NEWS_MESSAGE, CHILD_STOP);
	assert_next(CHILD_NEWS_END, CHILD_STOP);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_last_configuration_is_the_one),
		TEST(an_answer_names_its_generation),
		TEST(other_descriptors_are_the_callers),
		TEST(what_is_no_message_is_passed_over),
		TEST(a_supervisor_that_is_gone_is_told),
	};

	log_open("test-child-control", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
