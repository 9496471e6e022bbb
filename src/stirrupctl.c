/* stirrupctl: the tool. Each verb is a function and a line in the table at the end. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "ctl/ctl.h"

struct verb {
	const char *name;
	const char *arguments;
	const char *summary;
	int (*run)(int argc, char **argv);
};

static int version(int argc, char **argv)
{
	bool json, want_help;

	if (!ctl_read_options(argc, argv, &json, &want_help) || argc - optind > 0) {
		ctl_help(stderr);
		return EXIT_USAGE;
	}
	if (want_help)
		return ctl_help(stdout);
	if (json)
		printf("{\"stirrup\": \"%s\", \"openssl\": \"%s\", \"jansson\": \"%s\"}\n", PACKAGE_VERSION,
			OpenSSL_version(OPENSSL_VERSION_STRING), jansson_version_str());
	else
		printf("stirrupctl %s\nOpenSSL %s\njansson %s\n", PACKAGE_VERSION,
			OpenSSL_version(OPENSSL_VERSION_STRING), jansson_version_str());
	return EXIT_YES;
}

static const struct verb verbs[] = {
	{ "decode", "[--json] [FILE]", "show what an Identity header, a token or a SIP message carries",
		decode_verb },
	{ "verify", "[OPTION]... [FILE]", "judge the Identity header fields of a call as the server would",
		verify_verb },
	{ "version", "[--json]", "show the version of the tool and of its libraries", version },
};

int ctl_help(FILE *out)
{
	fprintf(out, "usage: stirrupctl VERB [ARGUMENTS]\n\n");
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		fprintf(out, "  %-8s %-19s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].summary);
	fprintf(out,
		"\nOptions of verify:\n"
		"  --config FILE       the server's configuration (" DEFAULT_CONFIG ")\n"
		"  --peer NAME         from whom the call came; without it the first peer that verifies\n"
		"  --certificate FILE  what the x5u delivers: the chain in PEM\n"
		"  --time TIME         when the call came, RFC 3339 or seconds since 1970; without it now\n"
		"  --orig NUMBER       who calls, whatever From and P-Asserted-Identity say\n"
		"  --dest NUMBER       who is called, whatever To says\n"
		"\nWithout FILE, standard input is read. Exit code: 0 yes, 1 no, 2 usage or environment.\n"
		"See stirrupctl(1).\n");
	return EXIT_YES;
}

static int run(int argc, char **argv)
{
	if (argc < 2) {
		ctl_help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
		return ctl_help(stdout);
	if (strcmp(argv[1], "--version") == 0)
		return version(1, argv);
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "stirrupctl: no verb \"%s\"\n\n", argv[1]);
	ctl_help(stderr);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	int result = run(argc, argv);

	/* An answer that did not get out is none. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "stirrupctl: standard output: %s\n", strerror(errno));
		return EXIT_USAGE;
	}
	return result;
}
