#include "tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "source.h"
#include "syntax.h"

#define PATH_SIZE 256
#define INDEXED_MAX 1000 /* finding an entry's place in its list takes time in proportion to the list */

/* --- Parsing --- */

static const char *hint_for(const char *error)
{
	if (strcmp(error, "duplicate setting name") == 0)
		return "; a name may stand once in a group, several entries go into a list ( )";
	if (strcmp(error, "mismatched element type in array") == 0)
		return "; all values in [ ] are of one type, ( ) takes any";
	return "";
}

static bool parse(struct tree *tree, struct tree_file *file)
{
	const struct source_file *source = file->source;
	char *text = malloc(source->length + 1);
	bool ok;

	if (text == NULL) {
		tree->out_of_memory = true;
		return false;
	}
	memcpy(text, source->text, source->length + 1);
	ok = syntax_check(text, source->length, source->name, tree->report);
	if (ok && config_read_string(&file->settings, text) != CONFIG_TRUE) {
		const char *error = config_error_text(&file->settings);

		config_report_add(tree->report, CONFIG_ERROR, source->name,
			(unsigned)config_error_line(&file->settings), NULL, "%s%s", error, hint_for(error));
		ok = false;
	}
	free(text);
	return ok;
}

void tree_read(struct tree *tree, const struct config_source *source, struct config_report *report)
{
	*tree = (struct tree){ .report = report };
	tree->files = calloc(source->count, sizeof *tree->files);
	if (tree->files == NULL) {
		tree->out_of_memory = true;
		return;
	}
	for (; tree->count < source->count; tree->count++) {
		struct tree_file *file = &tree->files[tree->count];
		size_t errors = config_report_errors(report);

		file->source = &source->files[tree->count];
		config_report_file(report, file->source->name);
		config_init(&file->settings);
		file->parsed = parse(tree, file);
		/* An @include leaves a hole, too. */
		if (!file->parsed || config_report_errors(report) > errors)
			tree->incomplete = true;
	}
}

void tree_clear(struct tree *tree)
{
	for (size_t i = 0; i < tree->count; i++)
		config_destroy(&tree->files[i].settings);
	free(tree->files);
}

/* --- Finding --- */

const config_setting_t *tree_find(const struct tree *tree, const char *path)
{
	for (size_t i = 0; i < tree->count; i++) {
		const config_setting_t *setting =
			tree->files[i].parsed ? config_lookup(&tree->files[i].settings, path) : NULL;

		if (setting != NULL)
			return setting;
	}
	return NULL;
}

static size_t collect(const struct tree *tree, const char *section, const config_setting_t **out)
{
	size_t count = 0;

	for (size_t i = 0; i < tree->count; i++) {
		const config_setting_t *list =
			tree->files[i].parsed ? config_lookup(&tree->files[i].settings, section) : NULL;
		int length = list != NULL && config_setting_is_list(list) ? config_setting_length(list) : 0;

		for (int at = 0; at < length; at++) {
			const config_setting_t *entry = config_setting_get_elem(list, (unsigned)at);

			if (!config_setting_is_group(entry))
				continue;
			if (out != NULL)
				out[count] = entry;
			count++;
		}
	}
	return count;
}

size_t tree_entries(struct tree *tree, const char *section, const config_setting_t ***out)
{
	size_t count = collect(tree, section, NULL);

	*out = tree_array(tree, count, sizeof **out);
	return *out == NULL ? 0 : collect(tree, section, *out);
}

const struct source_file *setting_file(const config_setting_t *setting)
{
	return ((const struct tree_file *)(const void *)setting->config)->source;
}

const char *member_text(const config_setting_t *group, const char *name)
{
	const config_setting_t *member = config_setting_get_member(group, name);

	return member == NULL ? NULL : config_setting_get_string(member);
}

bool member_flag(const config_setting_t *group, const char *name, bool fallback)
{
	const config_setting_t *member = config_setting_get_member(group, name);

	return member == NULL || member->type != CONFIG_TYPE_BOOL ? fallback
								  : config_setting_get_bool(member);
}

const char *entry_text(const config_setting_t *entry, const char *key)
{
	return config_setting_is_group(entry) ? member_text(entry, key) : config_setting_get_string(entry);
}

/* --- Naming --- */

/* Puts text before what is in the buffer's end. False when there is no room left. */
static bool prepend(char *buffer, size_t *start, const char *text)
{
	size_t length = strlen(text);

	if (length > *start)
		return false;
	*start -= length;
	memcpy(buffer + *start, text, length);
	return true;
}

/* An entry of a list goes by its name, else by its number. */
static void entry_label(char *out, size_t size, const config_setting_t *entry)
{
	const char *name = config_setting_is_group(entry) ? member_text(entry, "name") : NULL;

	if (name != NULL && name[0] != '\0')
		snprintf(out, size, ".%.64s", name);
	else if (config_setting_is_group(entry) && config_setting_length(entry->parent) <= INDEXED_MAX)
		snprintf(out, size, "[%d]", config_setting_index(entry) + 1);
	else
		out[0] = '\0';
}

static const char *write_path(char buffer[PATH_SIZE], const config_setting_t *setting)
{
	size_t start = PATH_SIZE - 1;

	buffer[start] = '\0';
	for (; setting->parent != NULL; setting = setting->parent) {
		char label[80];

		if (setting->name != NULL)
			snprintf(label, sizeof label, "%s%.64s", setting->parent->parent == NULL ? "" : ".",
				setting->name);
		else
			entry_label(label, sizeof label, setting);
		if (!prepend(buffer, &start, label))
			break;
	}
	return buffer + start;
}

void setting_report(struct tree *tree, enum config_severity severity, const config_setting_t *setting,
	const char *format, ...)
{
	char path[PATH_SIZE], text[768];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	config_report_add(tree->report, severity, setting_file(setting)->name,
		config_setting_source_line(setting), write_path(path, setting), "%s", text);
}

const char *setting_place(char out[PLACE_SIZE], const config_setting_t *setting)
{
	snprintf(out, PLACE_SIZE, "%s:%u", setting_file(setting)->name, config_setting_source_line(setting));
	return out;
}

/* --- Copies --- */

char *tree_copy(struct tree *tree, const char *text)
{
	char *copy = text == NULL ? NULL : strdup(text);

	if (text != NULL && copy == NULL)
		tree->out_of_memory = true;
	return copy;
}

void *tree_array(struct tree *tree, size_t count, size_t size)
{
	void *array = calloc(count > 0 ? count : 1, size);

	if (array == NULL)
		tree->out_of_memory = true;
	return array;
}

char *setting_path(struct tree *tree, const config_setting_t *setting, const char *path)
{
	const char *directory = setting_file(setting)->directory;
	size_t size = strlen(directory) + strlen(path) + 2;
	char *joined;

	if (path[0] == '/')
		return tree_copy(tree, path);
	joined = tree_array(tree, size, 1);
	if (joined != NULL)
		snprintf(joined, size, "%s/%s", strcmp(directory, "/") == 0 ? "" : directory, path);
	return joined;
}
