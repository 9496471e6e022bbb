#include "http_freshness.h"

#include <stddef.h>

#include "stirrup/sip_date.h"

#define DELTA_MAX INT64_C(2147483648) /* RFC 9111 section 1.2.2: what is more counts as this */

/* delta-seconds. A value that is none makes the answer stale (RFC 9111 section 4.2.1): 0. */
static int64_t delta_seconds(struct span text)
{
	int64_t seconds = 0;

	if (text.length >= 2 && text.at[0] == '"' && text.at[text.length - 1] == '"')
		text = (struct span){ text.at + 1, text.length - 2 };
	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return 0;
		if (seconds < DELTA_MAX)
			seconds = seconds * 10 + (text.at[i] - '0');
	}
	return seconds < DELTA_MAX ? seconds : DELTA_MAX;
}

/* Up to the next comma that is not within a quoted string. */
static struct span take_directive(struct span *list)
{
	struct span directive = *list;
	bool quoted = false;
	size_t i = 0;

	for (; i < list->length && (quoted || list->at[i] != ','); i++) {
		if (quoted && list->at[i] == '\\')
			i++;
		else if (list->at[i] == '"')
			quoted = !quoted;
	}
	if (i > list->length)
		i = list->length;
	directive.length = i;
	i += i < list->length;
	list->at += i;
	list->length -= i;
	return span_trim(directive);
}

static void read_directive(struct http_freshness *freshness, struct span directive)
{
	const char *equals = directive.length == 0 ? NULL : memchr(directive.at, '=', directive.length);
	struct span name = directive, argument = { "", 0 };
	int64_t seconds;

	if (equals != NULL) {
		name.length = (size_t)(equals - directive.at);
		argument = (struct span){ equals + 1, directive.length - name.length - 1 };
	}
	if (span_is_caseless(name, "no-store")) {
		freshness->no_store = true;
	} else if (span_is_caseless(name, "no-cache")) {
		freshness->no_cache = true;
	} else if (span_is_caseless(name, "max-age")) {
		/* Of two, the more careful one. */
		seconds = delta_seconds(argument);
		if (!freshness->has_max_age || seconds < freshness->max_age)
			freshness->max_age = seconds;
		freshness->has_max_age = true;
	}
}

void http_freshness_read(struct http_freshness *freshness, struct span name, struct span value)
{
	if (span_is_caseless(name, "Cache-Control")) {
		while (value.length > 0)
			read_directive(freshness, take_directive(&value));
	} else if (span_is_caseless(name, "Age")) {
		freshness->age = delta_seconds(value);
	} else if (span_is_caseless(name, "Date")) {
		freshness->has_date = sip_date_parse(value, &freshness->date);
	} else if (span_is_caseless(name, "Expires")) {
		freshness->has_expires = true;
		if (!sip_date_parse(value, &freshness->expires))
			freshness->expires = 0;
	}
}

int64_t http_freshness_until(const struct http_freshness *freshness, int64_t now)
{
	int64_t lifetime = 0;

	if (freshness->no_store || freshness->no_cache)
		return now;
	if (freshness->has_max_age)
		lifetime = freshness->max_age;
	else if (freshness->has_expires)
		lifetime = freshness->expires - (freshness->has_date ? freshness->date : now);
	if (lifetime > DELTA_MAX)
		lifetime = DELTA_MAX;
	return lifetime > freshness->age ? now + lifetime - freshness->age : now;
}
