/* json_reader.h: a JSON text (RFC 8259) read once from its beginning to its end. No tree is built and no memory taken: who
 * knows which members count takes those and passes over the rest.
 *
 *	json_reader_begin(&reader, text, room);
 *	if (json_reader_enter(&reader, &object, '{'))
 *		while (json_reader_member(&reader, &object, &name))
 *			value = json_reader_take(&reader);
 *	well_formed = json_reader_end(&reader);
 *
 * Strict: one value and nothing behind it, no member twice in any object, valid UTF-8, whole surrogate pairs, no NUL, integers
 * of 64 bits, no number beyond what a double holds. After the first fault nothing more is found, and json_reader_end()
 * says no: what was taken until then counts only once that said yes. */
#ifndef STIRRUP_JSON_READER_H
#define STIRRUP_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/span.h"

#define JSON_TEXT_MAX 6144 /* octets; a longer text is a fault */
#define JSON_DEPTH_MAX 8   /* an rcd claim with a jCard (RFC 9795) nests to 6 */
#define JSON_ROOM(length) (2 * (length) + 16)

enum json_kind {
	JSON_KIND_ABSENT, /* zeros: nothing was taken */
	JSON_KIND_STRING,
	JSON_KIND_INTEGER,
	JSON_KIND_OTHER, /* a real number, true, false, null, an array, an object */
};

struct json_value {
	enum json_kind kind;
	int64_t integer;
	struct span string; /* escapes undone, a NUL behind it; in the room */
};

/* What has been opened and not closed yet. */
struct json_level {
	char end;
	bool begun;
	struct json_name *outer_names;
};

struct json_name {
	uint16_t at, length; /* among the strings */
};

struct json_reader {
	const char *at;
	const char *end;
	char *room;    /* begins with the strings, */
	char *strings; /* up to here, */
	struct json_name *names; /* and ends with the names of all levels that are open, the last one first */
	unsigned depth;
	bool bad;
};

/* The text is borrowed, and has a NUL behind it. The room has JSON_ROOM(text.length) octets: strings and names are decoded to
 * there, into no more octets than the text has, and stay when the reader is gone. */
void json_reader_begin(struct json_reader *reader, struct span text, char *room);

/* Opens what comes next when it is an object ('{') or an array ('['); else nothing happens. What was opened is read by the
 * next two until they say no. */
bool json_reader_enter(struct json_reader *reader, struct json_level *level, char bracket);

/* Whether another member, or item, comes; its value is next. */
bool json_reader_member(struct json_reader *reader, struct json_level *level, struct span *name);
bool json_reader_item(struct json_reader *reader, struct json_level *level);

/* Takes the next value whole. */
struct json_value json_reader_take(struct json_reader *reader);

/* Whether all of the text was read and is well-formed. */
bool json_reader_end(struct json_reader *reader);

#endif
