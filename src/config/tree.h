/* tree.h: what libconfig made of the files, and how a setting is named in a message. */
#ifndef STIRRUP_CONFIG_TREE_H
#define STIRRUP_CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include <libconfig.h>

#include "stirrup/config.h"

struct tree_file {
	config_t settings;      /* first: a setting leads back to its file by its config member */
	const struct source_file *source;
	bool parsed;
};

struct tree {
	struct tree_file *files;
	size_t count;
	bool incomplete;        /* a file was not read whole: what others refer to may stand there */
	bool out_of_memory;
	struct config_report *report;
};

/* Parses every file and reports what cannot be parsed. The source must outlive the tree. */
void tree_read(struct tree *tree, const struct config_source *source, struct config_report *report);
void tree_clear(struct tree *tree);

/* The setting at that path ("sip.workers") in the first file that has it, or NULL. */
const config_setting_t *tree_find(const struct tree *tree, const char *path);

/* All groups of a section that is a list, over all files. The caller frees *out. */
size_t tree_entries(struct tree *tree, const char *section, const config_setting_t ***out);

const struct source_file *setting_file(const config_setting_t *setting);

/* Typed access for what the schema has already judged: the fallback when the member is absent or of another type. */
const char *member_text(const config_setting_t *group, const char *name);   /* NULL */
bool member_flag(const config_setting_t *group, const char *name, bool fallback);

/* The texts of a list, in which an entry is a text or a group with the text under key. */
const char *entry_text(const config_setting_t *entry, const char *key);     /* NULL */

/* A message about a setting: "FILE:LINE: peers.core.next_hop: ...". */
void setting_report(struct tree *tree, enum config_severity severity, const config_setting_t *setting,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
#define setting_error(tree, setting, ...) setting_report(tree, CONFIG_ERROR, setting, __VA_ARGS__)
#define setting_warning(tree, setting, ...) setting_report(tree, CONFIG_WARNING, setting, __VA_ARGS__)

/* Where a setting stands as seen from another file: "conf.d/10.conf:7". */
#define PLACE_SIZE 256
const char *setting_place(char out[PLACE_SIZE], const config_setting_t *setting);

/* The path of a file named in a setting: relative ones are relative to the file that the setting stands in. NULL when
 * out of memory. */
char *setting_path(struct tree *tree, const config_setting_t *setting, const char *path);

/* Memory for the configuration. Running out is noted in the tree and reported once, at the end. */
char *tree_copy(struct tree *tree, const char *text);
void *tree_array(struct tree *tree, size_t count, size_t size);

#endif
