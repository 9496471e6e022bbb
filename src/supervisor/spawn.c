#include "stirrup/spawn.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "stirrup/child.h"

static void become(const char *role, const char *title, int control, pid_t parent)
{
	char *arguments[] = { (char *)(uintptr_t)title, (char *)(uintptr_t) "--child", (char *)(uintptr_t)role, NULL };
	sigset_t none;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* A terminal or a service manager sends them to the whole group; they are for the supervisor, who stops its
	 * children in the right order. Ignored signals stay so over exec. */
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	/* dup2 clears close-on-exec; all other descriptors keep it. */
	if (control == CHILD_CONTROL_FD || dup2(control, CHILD_CONTROL_FD) < 0)
		_exit(1);
	execv("/proc/self/exe", arguments);
	_exit(127);
}

pid_t spawn_child(const char *role, const char *title, int control)
{
	pid_t parent = getpid();
	pid_t child = fork();

	if (child == 0)
		become(role, title, control, parent);
	return child;
}
