/* stirrupd: the daemon. Options here; the rest is told by supervisor.h, worker.h, signer.h and recorder.h. */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stirrup/child.h"
#include "stirrup/config.h"
#include "stirrup/log.h"
#include "stirrup/recorder.h"
#include "stirrup/signer.h"
#include "stirrup/supervisor.h"
#include "stirrup/trust_files.h"
#include "stirrup/worker.h"
#include "stirrup/fetcher.h"

#define DEFAULT_CONFIG "/etc/stirrup/stirrup.conf"

static void usage(FILE *out)
{
	fputs("usage: stirrupd [-f FILE] [-t] [-V] [-h]\n"
	      "  -f FILE  the configuration (" DEFAULT_CONFIG ")\n"
	      "  -t       check it, with keys and certificates, and exit: 0 good, 1 not\n"
	      "  -V       print the version\n",
		out);
}

static void print_finding(enum config_severity severity, const char *line, void *context)
{
	printf("%s: %s\n", severity == CONFIG_ERROR ? "error" : "warning", line);
}

static int check(const char *path)
{
	char why[512];
	struct config_source *source = config_source_read(path, why, sizeof why);
	struct config_report *report = config_report_new();
	struct config *config = NULL;
	size_t errors = 1;

	if (source == NULL)
		printf("error: %s\n", why);
	if (source != NULL && report != NULL) {
		config = config_parse(source, report);
		if (config != NULL) {
			signer_check_credentials(config, report);
			trust_check_files(config, report);
		}
		config_report_each(report, print_finding, NULL);
		errors = config_report_errors(report);
	}
	printf(errors == 0 ? "%s: good\n" : "%s: not usable\n", path);
	config_free(config);
	config_report_free(report);
	config_source_free(source);
	return errors == 0 ? 0 : 1;
}

/* Only the supervisor starts these. */
static int be_child(const char *role, const char *title)
{
	/* Sofia-SIP obeys these: dumps of traffic, another event loop. */
	static const char *const unwanted[] = { "TPORT_LOG", "TPORT_DUMP", "MSG_DUMP", "SIPCOMPACT", "TPORT_SSL",
		"SU_PORT", "SOFIA_DEBUG", "SU_DEBUG", "NTA_DEBUG", "TPORT_DEBUG", "STUN_SERVER", "SRES_OPTIONS" };
	const char *name = strchr(title, ' ');

	for (size_t i = 0; i < sizeof unwanted / sizeof unwanted[0]; i++)
		unsetenv(unwanted[i]);
	log_open(name == NULL ? role : name + 1, LOG_LEVEL_NOTICE);
	if (strcmp(role, "worker") == 0)
		return worker_main(CHILD_CONTROL_FD);
	if (strcmp(role, "signer") == 0)
		return signer_main(CHILD_CONTROL_FD);
	if (strcmp(role, "fetcher") == 0)
		return fetcher_main(CHILD_CONTROL_FD);
	if (strcmp(role, "recorder") == 0)
		return recorder_main(CHILD_CONTROL_FD);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	const char *path = DEFAULT_CONFIG;
	bool only_check = false;
	int option;

	if (argc == 3 && strcmp(argv[1], "--child") == 0)
		return be_child(argv[2], argv[0]);
	while ((option = getopt_long(argc, argv, "f:thV", options, NULL)) != -1) {
		switch (option) {
		case 'f':
			path = optarg;
			break;
		case 't':
			only_check = true;
			break;
		case 'V':
			puts(PACKAGE_STRING);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind != argc) {
		usage(stderr);
		return 2;
	}
	if (only_check)
		return check(path);
	log_open("stirrupd", LOG_LEVEL_NOTICE);
	return supervisor_main(path);
}
