/* supervisor.h: the parent process: opens the sockets, starts the children, replaces those that die, reloads, stops.
 * It parses nothing from the network and holds no key. */
#ifndef STIRRUP_SUPERVISOR_H
#define STIRRUP_SUPERVISOR_H

/* Reads and checks the configuration, starts everything and serves until SIGTERM or SIGINT. Returns the exit status:
 * 1 when the configuration has an error or something could not be started. */
int supervisor_main(const char *config_path);

#endif
