/* spool.h: the open records that the recorder holds, written down beside the records file for the case that it dies: its
 * successor reads them there. What is appended is an open line, its note, or that it is gone; a file that has mostly those that are
 * gone is replaced by a new one. Nothing here is needed for a call to be recorded: where the file cannot be written, it is
 * emptied, the log says so, and it is tried anew a while later. */
#ifndef STIRRUP_SPOOL_H
#define STIRRUP_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/span.h"

struct spool;

struct spool_line {
	uint64_t id;
	int64_t since_us;         /* monotonic: when it came */
	size_t hole;
	struct span line;
	struct span note;         /* in place of a line, after it; both empty: this id is gone */
};

/* The file is made when there is something to write. NULL when out of memory. */
struct spool *spool_open(const char *path);
const char *spool_path(const struct spool *spool);

/* Reads what a predecessor has left, in its order; what it was about to write when it died is cut off. Once, before all else. */
void spool_read(struct spool *spool, int64_t now_us, void (*take)(void *context, const struct spool_line *line), void *context);

/* Kept until spool_flush() or until there are many. */
void spool_put(struct spool *spool, const struct spool_line *line);
void spool_flush(struct spool *spool);

/* Nothing that stands in the file is needed any more. */
void spool_empty(struct spool *spool);
/* It could not be written, and holds nothing. */
bool spool_is_lost(const struct spool *spool);
size_t spool_size(const struct spool *spool);

/* Whether all live lines have to be put anew: the file was lost, or is mostly waste beside live_bytes. */
bool spool_wants_rewrite(const struct spool *spool, size_t live_bytes, int64_t now_us);
/* Between these, spool_put() goes to a new file. */
void spool_rewrite_begin(struct spool *spool);
void spool_rewrite_end(struct spool *spool);

/* Removes the file, if remove; NULL is fine. */
void spool_close(struct spool *spool, bool remove);

#endif
