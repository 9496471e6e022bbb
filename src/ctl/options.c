#include "ctl.h"

#include <getopt.h>
#include <stddef.h>

bool ctl_read_options(int argc, char **argv, bool *json, bool *want_help)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	*json = false;
	*want_help = false;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'j')
			*json = true;
		else if (option == 'h')
			*want_help = true;
		else
			return false;
	}
	return true;
}
