/* open_records.h: the records whose final status is still to come, by the ids of their calls. Time is a parameter; what
 * has to be written is handed out line by line, so that whoever writes takes no more than there is room for.
 *
 * Line, note and final may come in any order, and more than once: the first of each counts; a note that comes after the
 * final is too late. An id whose record was written
 * is remembered for half a minute, which is as long as SIP repeats its messages (RFC 3261 section 17.1.1.2, 64 * T1). */
#ifndef STIRRUP_OPEN_RECORDS_H
#define STIRRUP_OPEN_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spool.h"
#include "stirrup/record.h"
#include "stirrup/record_message.h"

#define OPEN_BYTES_MAX (256u << 20)  /* of the lines that are held */
#define OPEN_EARLY_US 5000000        /* how long a final or a note waits for its line */
#define OPEN_EARLY_MAX 65536
#define OPEN_WRITTEN_US 32000000
#define OPEN_WRITTEN_MAX 262144
#define OPEN_LINE_MAX (RECORD_MAX + 2 * RECORD_FINAL_MAX)

struct open_records;

/* bytes_max: OPEN_BYTES_MAX. NULL when out of memory. */
struct open_records *open_records_new(size_t bytes_max);
void open_records_free(struct open_records *records); /* NULL is fine */

/* Takes an item of any kind but RECORD_LINE. Returns the length of the line that is to be written by it, 0: none
 * yet, or never. An open line that there is no memory to keep is to be written at once, as it is. */
size_t open_records_take(struct open_records *records, const struct record_item *item, int64_t now_us, char out[OPEN_LINE_MAX]);

/* A line that has waited for limit_us, or the oldest when the bytes are beyond their bound: to be written without a
 * final. To be called until it returns 0. Finals, notes and ids whose time is over are forgotten meanwhile. */
size_t open_records_due(struct open_records *records, int64_t limit_us, int64_t now_us, char out[OPEN_LINE_MAX]);

size_t open_records_count(const struct open_records *records);

/* Of how many calls a final or a note has found no line so far. */
unsigned long open_records_orphans(const struct open_records *records);

/* Brings the spool up to date with what came and went since the last time. idle: this is a good moment to empty it. */
void open_records_save(struct open_records *records, struct spool *spool, int64_t now_us, bool idle);
/* As if nothing had been saved yet: for a new spool. */
void open_records_save_all(struct open_records *records, struct spool *spool);
/* Takes what a predecessor had saved. */
void open_records_restore(struct open_records *records, struct spool *spool, int64_t now_us);

#endif
