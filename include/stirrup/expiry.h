/* expiry.h: when to remind that something ends by its own date: once each 30, 14, 7 and 1 days before, and
 * once when it is over. What lives less than twice such a time is not announced that early: it would be with
 * every new one. Pure: time is a parameter. */
#ifndef STIRRUP_EXPIRY_H
#define STIRRUP_EXPIRY_H

#include <stdbool.h>
#include <stdint.h>

#define EXPIRY_LOOK_EVERY_S 3600

/* What was said already. */
struct expiry_watch;
struct expiry_watch *expiry_watch_new(void);        /* NULL when out of memory */
void expiry_watch_free(struct expiry_watch *watch); /* NULL is fine */

struct expiry_item {
	const char *name;     /* tells it apart from the others, with ends */
	int64_t begins, ends; /* seconds since 1970; ends is its last one */
};

#define EXPIRY_TEXT_SIZE 64

struct expiry_reminder {
	bool urgent;                 /* a week or less: an error, not a warning */
	char text[EXPIRY_TEXT_SIZE]; /* "in 12 days, 2026-12-24T22:04:56Z", "since ..." when it is over */
};

/* Whether there is something to say now that was not said before. */
bool expiry_watch_look(struct expiry_watch *watch, const struct expiry_item *item, int64_t now,
	struct expiry_reminder *reminder);

/* After all have been looked at: forgets those that were not. */
void expiry_watch_end_round(struct expiry_watch *watch);

#endif
