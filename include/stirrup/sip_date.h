/* sip_date.h: the Date header field (RFC 3261, section 20.17: always GMT). Ours, because Sofia-SIP 1.12.11 is a day
 * off in leap years. */
#ifndef STIRRUP_SIP_DATE_H
#define STIRRUP_SIP_DATE_H

#include <stdbool.h>
#include <stdint.h>

#include "stirrup/span.h"

#define SIP_DATE_SIZE 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and its NUL */

/* Seconds since 1970. Strict: day and month exist, GMT; a wrong weekday is accepted, as it carries nothing. */
bool sip_date_parse(struct span value, int64_t *seconds);
void sip_date_format(char out[SIP_DATE_SIZE], int64_t seconds);

#endif
