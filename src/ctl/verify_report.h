/* verify_report.h: the answer of stirrupctl verify, for people and as JSON. */
#ifndef STIRRUP_CTL_VERIFY_REPORT_H
#define STIRRUP_CTL_VERIFY_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "stirrup/call_treatment.h"
#include "stirrup/verstat.h"
#include "stirrup/certificate_facts.h"
#include "stirrup/config.h"
#include "stirrup/verify.h"

struct verify_report {
	const struct peer *peer;
	int64_t now;
	const struct certificate_facts *certificate; /* NULL: none was given */
	const struct verification *verification;
	enum verify_result result;
	enum verdict reason;
	char verstat[VERSTAT_VALUE_SIZE];
	struct call_treatment treatment;
};

void verify_report_print(const struct verify_report *report);
/* False after a message: something in it, a phrase of the configuration or the like, is not UTF-8. */
bool verify_report_print_json(const struct verify_report *report);

#endif
