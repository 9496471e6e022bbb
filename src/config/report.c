#include "report.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 1024
#define NO_FILE SIZE_MAX

struct item {
	enum config_severity severity;
	size_t file; /* index into files, or NO_FILE */
	unsigned line;
	size_t order; /* in which it was found */
	char *text;
};

struct config_report {
	struct item *items;
	size_t count, room;
	char **files;
	size_t file_count;
	size_t errors;
};

struct config_report *config_report_new(void)
{
	return calloc(1, sizeof(struct config_report));
}

void config_report_free(struct config_report *report)
{
	if (report == NULL)
		return;
	for (size_t i = 0; i < report->count; i++)
		free(report->items[i].text);
	for (size_t i = 0; i < report->file_count; i++)
		free(report->files[i]);
	free(report->items);
	free(report->files);
	free(report);
}

size_t config_report_errors(const struct config_report *report)
{
	return report->errors;
}

void config_report_each(const struct config_report *report,
	void (*print)(enum config_severity, const char *line, void *context), void *context)
{
	for (size_t i = 0; i < report->count; i++)
		print(report->items[i].severity, report->items[i].text, context);
}

static size_t file_index(struct config_report *report, const char *file)
{
	char **larger;

	if (file == NULL)
		return NO_FILE;
	for (size_t i = report->file_count; i-- > 0;)
		if (strcmp(report->files[i], file) == 0)
			return i;
	larger = realloc(report->files, (report->file_count + 1) * sizeof *larger);
	if (larger == NULL)
		return NO_FILE;
	report->files = larger;
	report->files[report->file_count] = strdup(file);
	if (report->files[report->file_count] == NULL)
		return NO_FILE;
	return report->file_count++;
}

void config_report_file(struct config_report *report, const char *file)
{
	(void)file_index(report, file);
}

static int write_place(char *out, size_t size, const char *file, unsigned line, const char *setting)
{
	char number[16] = "";

	if (line > 0)
		snprintf(number, sizeof number, "%s%u", file == NULL ? "line " : ":", line);
	return snprintf(out, size, "%s%s%s%s%s", file == NULL ? "" : file, number,
		file != NULL || line > 0 ? ": " : "", setting == NULL ? "" : setting,
		setting != NULL && setting[0] != '\0' ? ": " : "");
}

static struct item *new_item(struct config_report *report)
{
	if (report->count == report->room) {
		size_t room = report->room == 0 ? 16 : report->room * 2;
		struct item *larger = realloc(report->items, room * sizeof *larger);

		if (larger == NULL)
			return NULL;
		report->items = larger;
		report->room = room;
	}
	return &report->items[report->count];
}

void config_report_add(struct config_report *report, enum config_severity severity, const char *file,
	unsigned line, const char *setting, const char *format, ...)
{
	char text[LINE_MAX_BYTES];
	struct item *item = new_item(report);
	va_list arguments;
	int length = write_place(text, sizeof text, file, line, setting);

	/* Counted whatever happens: an error that found no memory is an error all the same. */
	if (severity == CONFIG_ERROR)
		report->errors++;
	if (item == NULL || length < 0)
		return;
	if ((size_t)length < sizeof text) {
		va_start(arguments, format);
		vsnprintf(text + length, sizeof text - (size_t)length, format, arguments);
		va_end(arguments);
	}
	*item = (struct item){ severity, file_index(report, file), line, report->count, strdup(text) };
	if (item->text != NULL)
		report->count++;
}

static int by_place(const void *left, const void *right)
{
	const struct item *one = left, *other = right;

	if (one->file != other->file)
		return one->file < other->file ? -1 : 1;
	if (one->line != other->line)
		return one->line < other->line ? -1 : 1;
	return one->order < other->order ? -1 : 1;
}

void config_report_sort(struct config_report *report)
{
	if (report->count > 1)
		qsort(report->items, report->count, sizeof *report->items, by_place);
}
