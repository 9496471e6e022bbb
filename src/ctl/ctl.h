/* ctl.h: what the verbs of stirrupctl share. */
#ifndef STIRRUP_CTL_H
#define STIRRUP_CTL_H

#include <stdbool.h>
#include <stdio.h>

#define DEFAULT_CONFIG "/etc/stirrup/stirrup.conf"

/* A contract: scripts branch on these. */
enum { EXIT_YES = 0, EXIT_NO = 1, EXIT_USAGE = 2 };

/* Each prints its answer and returns the exit code. */
int decode_verb(int argc, char **argv);
int verify_verb(int argc, char **argv);

int ctl_help(FILE *out); /* EXIT_YES */

/* The options that all verbs share. False when there is one that none has; optind is then of no use. */
bool ctl_read_options(int argc, char **argv, bool *json, bool *want_help);

#endif
