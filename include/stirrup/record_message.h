/* record_message.h: what workers send to the recorder. A message is one item or several, back to back:
 *
 *   a line      one record as record_write() makes it: it begins with '{' and ends with its newline
 *   an open one a record whose final status comes later, with the id of its call
 *   a final     the final status of the call with that id
 *   a note      what else is to be known of that call, and was before its final
 *
 * Open line, final and note may come by different workers, in any order; the recorder joins them (recorder.h). */
#ifndef STIRRUP_RECORD_MESSAGE_H
#define STIRRUP_RECORD_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "stirrup/record.h"
#include "stirrup/span.h"

enum record_item_kind { RECORD_LINE = '{', RECORD_OPEN = 'o', RECORD_FINAL = 'f', RECORD_NOTE = 'n' };

/* How the other kinds begin. The line follows; or by and why, to their lengths; or the note. */
struct record_open_head {
	uint8_t kind;
	uint8_t zero[3];
	uint16_t length;          /* of the line */
	uint16_t hole;            /* where RECORD_NO_FINAL stands in it */
	uint64_t id;
};
struct record_final_head {
	uint8_t kind;
	uint8_t by_length;
	uint16_t status;
	uint16_t why_length;
	uint16_t zero;
	uint64_t id;
};
struct record_note_head {
	uint8_t kind;
	uint8_t zero[5];
	uint16_t length;          /* of the note */
	uint64_t id;
};

#define RECORD_ITEM_MAX (RECORD_MAX + sizeof(struct record_open_head))
#define RECORD_MESSAGE_MAX RECORD_ITEM_MAX

/* They return the length of the item, 0 when it does not fit (or, of a final, when its status is none: 200 to 699; of a note,
 * when it is empty). */
size_t record_open_write(char *out, size_t size, uint64_t id, const struct record *record);
size_t record_final_write(char *out, size_t size, uint64_t id, const struct record_final *final);
size_t record_note_write(char *out, size_t size, uint64_t id, struct span text);

struct record_item {
	enum record_item_kind kind;
	uint64_t id;              /* not of a line */
	struct span line;         /* of the kinds that have one */
	size_t hole;              /* of an open line */
	struct record_final final; /* of a final: without note */
	struct span note;
};

/* Reads the item that message begins with; its spans are borrowed from there. Returns the item's length, 0 when what
 * stands there is none. */
size_t record_item_read(struct record_item *item, struct span message);

#endif
