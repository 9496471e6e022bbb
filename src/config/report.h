/* report.h: what only config_parse() needs of a report. */
#ifndef STIRRUP_CONFIG_REPORT_H
#define STIRRUP_CONFIG_REPORT_H

#include "stirrup/config.h"

/* Files are listed in the order in which they were first named, here or in a message. */
void config_report_file(struct config_report *report, const char *file);

/* Puts what is there into the order of the files and their lines; what has no place comes last. */
void config_report_sort(struct config_report *report);

#endif
