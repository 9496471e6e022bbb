/* schema.h: every setting's name, type and range, and the check of the files against them. */
#ifndef STIRRUP_CONFIG_SCHEMA_H
#define STIRRUP_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "tree.h"

enum schema_type {
	SCHEMA_GROUP,           /* { members } */
	SCHEMA_ENTRIES,         /* ( { members }, ... ), adding up over the files */
	SCHEMA_TEXT,
	SCHEMA_TEXTS,           /* [ "" ] or ( "", { members } ); the text of a group stands in its first member */
	SCHEMA_INTEGER,
	SCHEMA_INTEGERS,        /* [ 1 ] or ( 1 ) */
	SCHEMA_FLAG,
	SCHEMA_WORD,            /* one of words */
	SCHEMA_LEVEL,           /* level_from_word() */
	SCHEMA_DURATION,        /* milliseconds */
	SCHEMA_SIZE,            /* bytes */
};

enum schema_flags {
	SCHEMA_REQUIRED = 1,
	SCHEMA_NOT_BUILT = 2,   /* checked, but without effect in this version: a warning, and none for its members */
	SCHEMA_OR_TEXT = 4,     /* of SCHEMA_TEXTS: a single "" does as well */
	SCHEMA_NOT_A = 8,       /* of SCHEMA_LEVEL: "A" needs the number in the table */
};

struct schema {
	const char *name;
	enum schema_type type;
	unsigned flags;
	int64_t min, max;                       /* of the number, the milliseconds, the bytes */
	const char *const *words;               /* ended by NULL; in the order of the enum that they stand for */
	const struct schema *members;           /* ended by a NULL name */
};

/* The members of the file itself. */
extern const struct schema schema_root[];

extern const char *const service_words[], *const mode_words[], *const call_id_words[], *const identity_from_words[];
extern const char *const on_error_words[], *const stale_date_words[], *const self_check_words[];
extern const char *const on_failure_words[], *const verstat_failed_on_words[], *const on_replay_words[];
extern const char *const result_words[], *const verstat_words[], *const verstat_place_words[];

/* Reports every unknown or missing name, wrong type, word or value out of range, and what stands in two files. */
void schema_check(struct tree *tree);

/* The place in words of the member's text, fallback when it is absent or wrong. */
unsigned member_word(const config_setting_t *group, const char *name, const char *const *words, unsigned fallback);

#endif
