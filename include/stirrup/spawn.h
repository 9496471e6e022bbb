/* spawn.h: starting a child process of the daemon. */
#ifndef STIRRUP_SPAWN_H
#define STIRRUP_SPAWN_H

#include <sys/types.h>

/* Starts this same program anew (through /proc/self/exe, so that an upgrade on disk does not mix two builds) in a
 * role: "worker", "signer", "recorder". title is what ps shows; control becomes its descriptor CHILD_CONTROL_FD, and no
 * other descriptor but the standard ones is open. It dies with its parent. -1 with errno. */
pid_t spawn_child(const char *role, const char *title, int control);

#endif
