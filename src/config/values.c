#include <string.h>

#include "quantity.h"
#include "reading.h"
#include "schema.h"

const char *text_at(const struct reading *reading, const char *path, const char *fallback)
{
	const config_setting_t *setting = tree_find(&reading->tree, path);
	const char *text = setting == NULL ? NULL : config_setting_get_string(setting);

	return text == NULL ? fallback : text;
}

unsigned number_at(const struct reading *reading, const char *path, unsigned fallback)
{
	const config_setting_t *setting = tree_find(&reading->tree, path);

	return setting == NULL ? fallback : (unsigned)config_setting_get_int64(setting);
}

bool flag_at(const struct reading *reading, const char *path, bool fallback)
{
	const config_setting_t *setting = tree_find(&reading->tree, path);

	return setting == NULL || setting->type != CONFIG_TYPE_BOOL ? fallback
								    : config_setting_get_bool(setting) != 0;
}

unsigned word_at(const struct reading *reading, const char *path, const char *const *words, unsigned fallback)
{
	const config_setting_t *setting = tree_find(&reading->tree, path);

	return setting == NULL ? fallback : member_word(setting->parent, setting->name, words, fallback);
}

int64_t duration_at(const struct reading *reading, const char *path, const char *fallback)
{
	int64_t milliseconds = 0;

	(void)duration_from_text(&milliseconds, text_at(reading, path, fallback));
	return milliseconds;
}

int64_t read_seconds(
	struct tree *tree, const config_setting_t *setting, const char *fallback, const char *because)
{
	const char *text = setting == NULL ? NULL : config_setting_get_string(setting);
	int64_t milliseconds = 0;

	(void)duration_from_text(&milliseconds, text == NULL ? fallback : text);
	if (milliseconds % 1000 != 0)
		setting_error(tree, setting, "must be whole seconds, which is what %s", because);
	return milliseconds / 1000;
}

int64_t size_at(const struct reading *reading, const char *path, const char *fallback)
{
	int64_t bytes = 0;

	(void)size_from_text(&bytes, text_at(reading, path, fallback));
	return bytes;
}

char *path_at(struct reading *reading, const char *path, const char *fallback)
{
	const config_setting_t *setting = tree_find(&reading->tree, path);
	const char *text = text_at(reading, path, NULL);

	return text == NULL ? tree_copy(&reading->tree, fallback)
			    : setting_path(&reading->tree, setting, text);
}

const char *kept_file(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->file_count; i++)
		if (strcmp(config->files[i], name) == 0)
			return config->files[i];
	return NULL;
}
