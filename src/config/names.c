#include <stdlib.h>
#include <string.h>

#include "reading.h"

#define NAME_MAX_LENGTH 63

static int by_text(const void *left, const void *right)
{
	const struct name *one = left, *other = right;
	int order = strcmp(one->text, other->text);

	return order != 0 ? order : (one->index > other->index) - (one->index < other->index);
}

/* Names stand in records, metrics and messages without any quoting. */
static bool is_name(const char *text)
{
	size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.");

	return text[length] == '\0' && length >= 1 && length <= NAME_MAX_LENGTH;
}

static void report_twice(const struct names *names, struct tree *tree)
{
	for (size_t i = 1; i < names->count; i++) {
		char place[PLACE_SIZE];

		if (strcmp(names->items[i].text, names->items[i - 1].text) == 0)
			setting_error(tree, config_setting_get_member(names->items[i].entry, "name"),
				"\"%s\" is also the name of the one at %s; names are unique",
				names->items[i].text, setting_place(place, names->items[i - 1].entry));
	}
}

void names_read(struct names *names, struct tree *tree, const config_setting_t *const *entries, size_t count)
{
	names->items = tree_array(tree, count, sizeof *names->items);
	if (names->items == NULL)
		return;
	for (size_t i = 0; i < count; i++) {
		const char *text = member_text(entries[i], "name");

		if (text == NULL || text[0] == '\0')
			continue;
		if (!is_name(text))
			setting_error(tree, config_setting_get_member(entries[i], "name"),
				"\"%.70s\": a name has 1 to %d letters, digits, '-', '_' or '.'", text,
				NAME_MAX_LENGTH);
		names->items[names->count++] = (struct name){ text, entries[i], (int)i };
	}
	qsort(names->items, names->count, sizeof *names->items, by_text);
	report_twice(names, tree);
}

void names_clear(struct names *names)
{
	free(names->items);
}

static const struct name *find(const struct names *names, const char *text)
{
	size_t low = 0, high = names->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(names->items[middle].text, text);

		if (order == 0)
			return &names->items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

int names_refer(const struct names *names, struct tree *tree, const config_setting_t *group,
	const char *member, const char *section)
{
	const char *text = member_text(group, member);
	const struct name *name = text == NULL ? NULL : find(names, text);

	if (name != NULL)
		return name->index;
	/* With a file that could not be parsed, what seems to dangle may be in there. */
	if (text != NULL && text[0] != '\0' && !tree->incomplete) {
		if (names->count == 0)
			setting_error(tree, config_setting_get_member(group, member),
				"\"%.70s\": there is none of this name; the section %s is empty", text,
				section);
		else
			setting_error(tree, config_setting_get_member(group, member),
				"\"%.70s\": there is none of this name in %s; \"%s\" is one", text, section,
				names->items[0].text);
	}
	return -1;
}
