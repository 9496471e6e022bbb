#include "stirrup/expiry.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOUR_S 3600
#define DAY_S 86400
#define URGENT_DAYS 7

static const int thresholds[] = { 30, 14, 7, 1 };

#define OVER 0
#define NOT_YET 31

struct said {
	uint64_t item; /* digest of name and end */
	int days;      /* the threshold that was announced last */
	bool seen;     /* in this round */
};

struct expiry_watch {
	struct said *items;
	size_t count, room;
};

struct expiry_watch *expiry_watch_new(void)
{
	return calloc(1, sizeof(struct expiry_watch));
}

void expiry_watch_free(struct expiry_watch *watch)
{
	if (watch == NULL)
		return;
	free(watch->items);
	free(watch);
}

/* FNV-1a: for telling apart, not against an adversary. */
static uint64_t digest(const struct expiry_item *item)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (uint64_t)item->ends;

	for (const char *c = item->name; *c != '\0'; c++)
		hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	return hash;
}

/* NULL when out of memory: then it is said every time. */
static struct said *entry_of(struct expiry_watch *watch, const struct expiry_item *item)
{
	uint64_t wanted = digest(item);

	for (size_t i = 0; i < watch->count; i++)
		if (watch->items[i].item == wanted)
			return &watch->items[i];
	if (watch->count == watch->room) {
		size_t room = watch->room * 2 + 16;
		struct said *items = realloc(watch->items, room * sizeof *items);

		if (items == NULL)
			return NULL;
		watch->items = items;
		watch->room = room;
	}
	watch->items[watch->count] = (struct said){ .item = wanted, .days = NOT_YET };
	return &watch->items[watch->count++];
}

/* The lowest threshold that is reached. */
static int threshold_at(const struct expiry_item *item, int64_t now)
{
	int64_t life = item->ends - item->begins, left = item->ends - now;
	int reached = NOT_YET;

	if (left < 0)
		return OVER;
	for (size_t i = 0; i < sizeof thresholds / sizeof thresholds[0]; i++)
		if (left <= (int64_t)thresholds[i] * DAY_S && life >= (int64_t)thresholds[i] * DAY_S * 2)
			reached = thresholds[i];
	return reached;
}

static void say(struct expiry_reminder *reminder, const struct expiry_item *item, int64_t now)
{
	time_t ends = item->ends;
	int64_t left = item->ends - now;
	char date[24] = "?";
	struct tm parts;

	if (gmtime_r(&ends, &parts) != NULL)
		strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &parts);
	if (left < 0)
		snprintf(reminder->text, sizeof reminder->text, "since %s", date);
	else if (left < 2 * DAY_S)
		snprintf(
			reminder->text, sizeof reminder->text, "in %d hours, %s", (int)(left / HOUR_S), date);
	else
		snprintf(reminder->text, sizeof reminder->text, "in %d days, %s", (int)(left / DAY_S), date);
}

bool expiry_watch_look(struct expiry_watch *watch, const struct expiry_item *item, int64_t now,
	struct expiry_reminder *reminder)
{
	struct said *said = entry_of(watch, item);
	int reached = threshold_at(item, now);

	if (said != NULL)
		said->seen = true;
	if (reached >= (said == NULL ? NOT_YET : said->days))
		return false;
	if (said != NULL)
		said->days = reached;
	reminder->urgent = reached <= URGENT_DAYS;
	say(reminder, item, now);
	return true;
}

void expiry_watch_end_round(struct expiry_watch *watch)
{
	size_t kept = 0;

	for (size_t i = 0; i < watch->count; i++) {
		if (!watch->items[i].seen)
			continue;
		watch->items[kept] = watch->items[i];
		watch->items[kept++].seen = false;
	}
	watch->count = kept;
}
