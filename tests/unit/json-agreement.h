/* json-agreement.h: what json_reader makes of a text, held against Jansson. */
#ifndef STIRRUP_TESTS_JSON_AGREEMENT_H
#define STIRRUP_TESTS_JSON_AGREEMENT_H

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "stirrup/json_reader.h"

static bool json_agrees(struct json_reader *reader, const json_t *wanted);

static inline bool json_object_agrees(struct json_reader *reader, const json_t *wanted)
{
	struct json_level level;
	struct span name;
	size_t count = 0;

	if (!json_reader_enter(reader, &level, '{'))
		return false;
	for (; json_reader_member(reader, &level, &name); count++)
		if (name.at[name.length] != '\0' || !json_agrees(reader, json_object_getn(wanted, name.at, name.length)))
			return false;
	return count == json_object_size(wanted);
}

static inline bool json_array_agrees(struct json_reader *reader, const json_t *wanted)
{
	struct json_level level;
	size_t count = 0;

	if (!json_reader_enter(reader, &level, '['))
		return false;
	for (; json_reader_item(reader, &level); count++)
		if (!json_agrees(reader, json_array_get(wanted, count)))
			return false;
	return count == json_array_size(wanted);
}

/* The next value of the reader is this one. */
static inline bool json_agrees(struct json_reader *reader, const json_t *wanted)
{
	struct json_value value;

	if (json_is_object(wanted))
		return json_object_agrees(reader, wanted);
	if (json_is_array(wanted))
		return json_array_agrees(reader, wanted);
	value = json_reader_take(reader);
	if (json_is_string(wanted))
		return value.kind == JSON_KIND_STRING && value.string.length == json_string_length(wanted) &&
		       memcmp(value.string.at, json_string_value(wanted), value.string.length + 1) == 0;
	if (json_is_integer(wanted))
		return value.kind == JSON_KIND_INTEGER && value.integer == json_integer_value(wanted);
	return wanted != NULL && value.kind == JSON_KIND_OTHER;
}

static inline unsigned json_depth(json_t *value)
{
	unsigned deepest = 0;
	const char *name;
	json_t *item;
	size_t i;

	json_object_foreach (value, name, item)
		deepest = json_depth(item) > deepest ? json_depth(item) : deepest;
	json_array_foreach (value, i, item)
		deepest = json_depth(item) > deepest ? json_depth(item) : deepest;
	return deepest + (json_is_object(value) || json_is_array(value));
}

/* Whether both say the same of the text: that it is no JSON, or which. Ours takes no NUL and nothing too deep. *accepted: ours
 * takes it, read value by value and as a whole. */
static inline bool json_text_agrees(struct span text, bool *accepted)
{
	char *copy = calloc(1, text.length + 1), *room = malloc(JSON_ROOM(text.length));
	json_t *wanted = NULL;
	struct json_reader reader;
	bool agrees, whole;

	if (text.length > 0)
		memcpy(copy, text.at, text.length);
	text.at = copy;
	if (strlen(copy) == text.length)
		wanted = json_loadb(copy, text.length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	if (json_depth(wanted) > JSON_DEPTH_MAX) {
		json_decref(wanted);
		wanted = NULL;
	}
	json_reader_begin(&reader, text, room);
	json_reader_take(&reader);
	whole = json_reader_end(&reader);
	json_reader_begin(&reader, text, room);
	agrees = json_agrees(&reader, wanted);
	*accepted = json_reader_end(&reader);
	agrees = wanted == NULL ? !*accepted && !whole : agrees && *accepted && whole;
	json_decref(wanted);
	free(room);
	free(copy);
	return agrees;
}

#endif
