#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stirrup/channel.h"
#include "stirrup/child.h"
#include "stirrup/spawn.h"

/* --- As a child, by the role that the test gives it: says something on its control channel --- */

static void say(const char *text)
{
	channel_send(CHILD_CONTROL_FD, text, strlen(text), -1);
}

/* Whatever comes to the group of processes. */
static void outlive_signals(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGTERM };

	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		raise(signals[i]);
	say("alive");
}

static void name_blocked_signals(void)
{
	sigset_t blocked;

	sigprocmask(SIG_SETMASK, NULL, &blocked);
	for (int number = 1; number < 32; number++)
		if (sigismember(&blocked, number))
			say("blocked");
	say("none");
}

static int be_child(const char *role)
{
	if (strcmp(role, "signals") == 0)
		outlive_signals();
	else if (strcmp(role, "blocked") == 0)
		name_blocked_signals();
	else if (strcmp(role, "dies") == 0)
		raise(SIGKILL);
	return 7;
}

/* --- As the one who spawns it --- */

static const char *heard_from(const char *role, int *status)
{
	static char said[32];
	int ends[2];
	ssize_t length;
	pid_t child;

	assert_true(channel_pair(ends));
	child = spawn_child(role, "a child", ends[1]);
	assert_true(child > 0);
	close(ends[1]);
	assert_int_equal(waitpid(child, status, 0), child);
	length = channel_receive(ends[0], said, sizeof said - 1, NULL);
	said[length > 0 ? length : 0] = '\0';
	close(ends[0]);
	return said;
}

static void signals_are_left_to_the_supervisor(void **state)
{
	int status;

	assert_string_equal(heard_from("signals", &status), "alive");
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void none_is_blocked(void **state)
{
	sigset_t all, before;
	int status;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	assert_string_equal(heard_from("blocked", &status), "none");
	sigprocmask(SIG_SETMASK, &before, NULL);
}

static void an_end_is_seen(void **state)
{
	int status;

	assert_string_equal(heard_from("dies", &status), "");
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signals_are_left_to_the_supervisor),
		cmocka_unit_test(none_is_blocked),
		cmocka_unit_test(an_end_is_seen),
	};

	if (argc == 3 && strcmp(argv[1], "--child") == 0)
		return be_child(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
