/* verify_options.h: what stirrupctl verify is asked. */
#ifndef STIRRUP_CTL_VERIFY_OPTIONS_H
#define STIRRUP_CTL_VERIFY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct verify_options {
	const char *config;
	const char *peer;        /* NULL: the first one that verifies */
	const char *certificate; /* NULL: none */
	const char *orig;        /* NULL: what the message says */
	const char *dest;
	const char *file; /* NULL: standard input */
	int64_t time;
	bool json;
	bool want_help;
};

/* False after a message, where the usage was wrong. */
bool verify_options_read(struct verify_options *options, int argc, char **argv);

#endif
