/* http_freshness.h: how long an HTTP answer stays fresh for a private cache (RFC 9111 section 4.2). Pure. */
#ifndef STIRRUP_FETCHER_HTTP_FRESHNESS_H
#define STIRRUP_FETCHER_HTTP_FRESHNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "stirrup/span.h"

/* A zeroed struct is ready for use. */
struct http_freshness {
	bool no_store, no_cache;
	bool has_max_age, has_expires, has_date;
	int64_t max_age, age;  /* seconds */
	int64_t expires, date; /* wall clock; expires 0: not a date, so the past */
};

/* Takes in one header field of the answer. */
void http_freshness_read(struct http_freshness *freshness, struct span name, struct span value);

/* Until when (wall clock, seconds) the answer that came now is fresh; not after now: it never was, or it does
 * not say. */
int64_t http_freshness_until(const struct http_freshness *freshness, int64_t now);

#endif
