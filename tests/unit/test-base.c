#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "stirrup/channel.h"
#include "stirrup/log.h"
#include "stirrup/net.h"
#include "stirrup/span.h"

static void span_trims_folded_lines(void **state)
{
	assert_true(span_is(span_trim(span_of(" \t\r\n a b \r\n ")), "a b"));
	assert_int_equal(span_trim(span_of(" \r\n")).length, 0);
}

static void span_copy_refuses_what_a_string_cannot_hold(void **state)
{
	char out[4];

	assert_true(span_copy(out, sizeof out, span_of("abc")));
	assert_string_equal(out, "abc");
	assert_false(span_copy(out, sizeof out, span_of("abcd")));
	assert_string_equal(out, "");
	assert_false(span_copy(out, sizeof out, (struct span){ "a\0b", 3 }));
	assert_string_equal(out, "");
}

static void channel_carries_messages_whole_with_a_descriptor(void **state)
{
	int ends[2], pipe_ends[2], fd;
	char buffer[16];

	assert_true(channel_pair(ends));
	assert_int_equal(pipe(pipe_ends), 0);
	assert_int_equal(channel_receive(ends[1], buffer, sizeof buffer, &fd), -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(channel_send(ends[0], "one", 3, -1));
	assert_true(channel_send(ends[0], "two", 3, pipe_ends[1]));
	assert_int_equal(channel_receive(ends[1], buffer, sizeof buffer, &fd), 3);
	assert_memory_equal(buffer, "one", 3);
	assert_int_equal(fd, -1);
	assert_int_equal(channel_receive(ends[1], buffer, sizeof buffer, &fd), 3);
	assert_memory_equal(buffer, "two", 3);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(read(pipe_ends[0], buffer, 1), 1);
	close(fd);

	assert_true(channel_send(ends[0], "longer than sixteen octets", 26, pipe_ends[1]));
	assert_int_equal(channel_receive(ends[1], buffer, sizeof buffer, &fd), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(fd, -1);

	close(ends[0]);
	assert_int_equal(channel_receive(ends[1], buffer, sizeof buffer, NULL), 0);
	assert_false(channel_send(ends[1], "one", 3, -1));
	assert_int_equal(errno, EPIPE);
	close(ends[1]);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}

static void channel_never_waits_for_a_reader(void **state)
{
	char message[1000] = { 0 };
	int ends[2];
	unsigned sent = 0;

	assert_true(channel_pair(ends));
	while (sent < 100000 && channel_send(ends[0], message, sizeof message, -1))
		sent++;
	assert_int_equal(errno, EAGAIN);
	assert_in_range(sent, 50, 99999);
	close(ends[0]);
	close(ends[1]);
}

/* Runs with standard error on a pipe and gives back what arrived there. */
static size_t logged(char *out, size_t size, void (*body)(void))
{
	int ends[2], saved = dup(STDERR_FILENO);
	ssize_t length;

	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	dup2(ends[1], STDERR_FILENO);
	body();
	dup2(saved, STDERR_FILENO);
	length = read(ends[0], out, size - 1);
	close(ends[0]);
	close(ends[1]);
	close(saved);
	out[length < 0 ? 0 : length] = '\0';
	return length < 0 ? 0 : (size_t)length;
}

static void log_hostile(void)
{
	log_open("test", LOG_LEVEL_NOTICE);
	log_error("call %s", "a\r\nfake: error: \x1b[2J\xff");
	log_debug("not shown");
}

static void log_escapes_what_could_forge_a_line(void **state)
{
	char out[256];

	logged(out, sizeof out, log_hostile);
	assert_string_equal(out, "test: error: call a\\x0d\\x0afake: error: \\x1b[2J\\xff\n");
}

static void log_a_lot(void)
{
	log_open("test", LOG_LEVEL_NOTICE);
	for (int i = 0; i < 10000; i++)
		log_notice("%0*d", 1000, i);
}

static void log_drops_and_counts_when_nobody_reads(void **state)
{
	static char out[1 << 20];
	size_t length = logged(out, sizeof out, log_a_lot);

	assert_true(length > 1000 && length < 10000 * 1000);
	assert_int_equal(out[length - 1], '\n');
	logged(out, sizeof out, log_hostile);
	assert_non_null(strstr(out, "lines lost) call"));
}

static void log_limiter_lets_one_through(void **state)
{
	struct log_limiter limiter = { 0 };
	unsigned long suppressed = 99;

	assert_true(log_allowed(&limiter, &suppressed));
	assert_int_equal(suppressed, 0);
	assert_false(log_allowed(&limiter, &suppressed));
	assert_false(log_allowed(&limiter, &suppressed));
	limiter.next_ms = 0;
	assert_true(log_allowed(&limiter, &suppressed));
	assert_int_equal(suppressed, 2);
}

static struct sockaddr_storage address(int family, const char *host, unsigned port)
{
	struct sockaddr_storage out = { .ss_family = (sa_family_t)family };

	if (family == AF_INET)
		inet_pton(AF_INET, host, &((struct sockaddr_in *)&out)->sin_addr);
	else
		inet_pton(AF_INET6, host, &((struct sockaddr_in6 *)&out)->sin6_addr);
	net_set_port(&out, port);
	return out;
}

static void addresses_are_written_and_compared(void **state)
{
	struct sockaddr_storage four = address(AF_INET, "192.0.2.1", 5060);
	struct sockaddr_storage six = address(AF_INET6, "2001:db8::1", 5060);
	struct sockaddr_storage mapped = address(AF_INET6, "::ffff:192.0.2.1", 5061);
	char text[NET_TEXT_SIZE];

	net_text(text, (struct sockaddr *)&four);
	assert_string_equal(text, "192.0.2.1:5060");
	net_text(text, (struct sockaddr *)&six);
	assert_string_equal(text, "[2001:db8::1]:5060");
	net_text(text, (struct sockaddr *)&mapped);
	assert_string_equal(text, "192.0.2.1:5061");
	assert_int_equal(net_port(&six), 5060);
	assert_true(net_same_endpoint(&six, &six));
	assert_false(net_same_endpoint(&four, &six));
	net_set_port(&six, 5070);
	assert_int_equal(net_port(&six), 5070);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(span_trims_folded_lines),
		cmocka_unit_test(span_copy_refuses_what_a_string_cannot_hold),
		cmocka_unit_test(channel_carries_messages_whole_with_a_descriptor),
		cmocka_unit_test(channel_never_waits_for_a_reader),
		cmocka_unit_test(log_escapes_what_could_forge_a_line),
		cmocka_unit_test(log_drops_and_counts_when_nobody_reads),
		cmocka_unit_test(log_limiter_lets_one_through),
		cmocka_unit_test(addresses_are_written_and_compared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
