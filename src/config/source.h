/* source.h: what a configuration source holds, for the other files of this folder. */
#ifndef STIRRUP_CONFIG_SOURCE_H
#define STIRRUP_CONFIG_SOURCE_H

#include <stddef.h>

struct source_file {
	char *name;             /* for messages: the path as given to config_source_read(), or below it */
	char *directory;        /* absolute: what relative paths in the file are relative to */
	char *text;             /* no NUL inside, one behind */
	size_t length;
};

#define SOURCE_NODE_MAX 64

struct config_source {
	struct source_file *files;  /* the main file first */
	size_t count;
	/* What the machine adds. Noted when the files are read, so that every process counts the same. */
	unsigned cores;
	char node[SOURCE_NODE_MAX + 1];
};

#endif
