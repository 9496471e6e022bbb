#include "verify_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stirrup/clock.h"
#include "ctl.h"

#define LAST_SECOND INT64_C(253402300799) /* of the year 9999: a date has four digits for it */

/* Whether text begins as form does, where "0" stands for any digit. */
static bool has_form(const char *text, const char *form)
{
	for (; *form != '\0'; form++, text++)
		if (*form == '0' ? *text < '0' || *text > '9' : *text != *form)
			return false;
	return true;
}

/* Z, or what the clock is ahead of UTC. */
static bool read_offset(const char *text, int *offset_s)
{
	int hours, minutes;

	*offset_s = 0;
	if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
		return true;
	if ((*text != '+' && *text != '-') || !has_form(text + 1, "00:00") || text[6] != '\0' ||
		sscanf(text + 1, "%2d:%2d", &hours, &minutes) != 2 || hours > 23 || minutes > 59)
		return false;
	*offset_s = (hours * 60 + minutes) * (*text == '-' ? -60 : 60);
	return true;
}

/* RFC 3339 section 5.6; what is less than a second is dropped. */
static bool read_date(const char *text, int64_t *seconds)
{
	struct tm given = { 0 }, real;
	int offset_s;

	if ((!has_form(text, "0000-00-00T00:00:00") && !has_form(text, "0000-00-00t00:00:00")) ||
		sscanf(text, "%4d-%2d-%2d%*c%2d:%2d:%2d", &given.tm_year, &given.tm_mon, &given.tm_mday,
			&given.tm_hour, &given.tm_min, &given.tm_sec) != 6)
		return false;
	text += strlen("0000-00-00T00:00:00");
	if (has_form(text, ".0"))
		text += 1 + strspn(text + 1, "0123456789");
	if (!read_offset(text, &offset_s))
		return false;
	given.tm_year -= 1900;
	given.tm_mon--;
	real = given;
	/* timegm() takes 31 February for 3 March. */
	*seconds = timegm(&real);
	if (real.tm_mon != given.tm_mon || real.tm_mday != given.tm_mday || real.tm_hour != given.tm_hour ||
		real.tm_min != given.tm_min || real.tm_sec != given.tm_sec)
		return false;
	*seconds -= offset_s;
	return *seconds >= 0 && *seconds <= LAST_SECOND;
}

static bool read_time(const char *text, int64_t *seconds)
{
	size_t digits = strspn(text, "0123456789");

	if (digits > 0 && digits < 13 && text[digits] == '\0') {
		*seconds = strtoll(text, NULL, 10);
		return *seconds <= LAST_SECOND;
	}
	if (read_date(text, seconds))
		return true;
	fprintf(stderr,
		"stirrupctl: --time %s: neither a date such as 2026-11-24T12:00:00Z nor seconds since 1970\n",
		text);
	return false;
}

bool verify_options_read(struct verify_options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{ "config", required_argument, NULL, 'f' },
		{ "peer", required_argument, NULL, 'p' },
		{ "certificate", required_argument, NULL, 'c' },
		{ "time", required_argument, NULL, 't' },
		{ "orig", required_argument, NULL, 'o' },
		{ "dest", required_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	bool good = true;
	int option;

	*options = (struct verify_options){ .config = DEFAULT_CONFIG, .time = wall_us() / 1000000 };
	while (good && (option = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		switch (option) {
		case 'f':
			options->config = optarg;
			break;
		case 'p':
			options->peer = optarg;
			break;
		case 'c':
			options->certificate = optarg;
			break;
		case 't':
			good = read_time(optarg, &options->time);
			break;
		case 'o':
			options->orig = optarg;
			break;
		case 'd':
			options->dest = optarg;
			break;
		case 'j':
			options->json = true;
			break;
		case 'h':
			options->want_help = true;
			break;
		default:
			good = false;
			break;
		}
	}
	if (good && argc - optind <= 1) {
		options->file = argv[optind];
		return true;
	}
	return false;
}
