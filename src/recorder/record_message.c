#include "stirrup/record_message.h"

#include <stdbool.h>
#include <string.h>

#define STATUS_MIN 200
#define STATUS_MAX 699
/* A character that begins within the limit may end beyond it: the recorder cuts before it. */
#define CHARACTER_MAX 4

_Static_assert(sizeof(struct record_open_head) == 16 && sizeof(struct record_final_head) == 16 &&
		       sizeof(struct record_note_head) == 16,
	"no padding");
_Static_assert(RECORD_MAX <= UINT16_MAX && RECORD_BY_MAX <= UINT8_MAX, "lengths fit into their fields");

static struct span cut(struct span text, size_t max)
{
	return (struct span){ text.at, text.length < max ? text.length : max };
}

size_t record_open_write(char *out, size_t size, uint64_t id, const struct record *record)
{
	struct record_open_head head = { .kind = RECORD_OPEN, .id = id };
	struct span hole;
	char *line;
	size_t length;

	if (size < sizeof head)
		return 0;
	if (size > RECORD_ITEM_MAX)
		size = RECORD_ITEM_MAX;
	line = out + sizeof head;
	length = record_write_open(line, size - sizeof head, record, &hole);
	if (length == 0)
		return 0;
	head.length = (uint16_t)length;
	head.hole = (uint16_t)(hole.at - line);
	memcpy(out, &head, sizeof head);
	return sizeof head + length;
}

size_t record_final_write(char *out, size_t size, uint64_t id, const struct record_final *final)
{
	struct span by = cut(final->by, RECORD_BY_MAX);
	struct span why = cut(final->why, RECORD_REJECTION_MAX + CHARACTER_MAX - 1);
	struct record_final_head head = {
		.kind = RECORD_FINAL,
		.by_length = (uint8_t)by.length,
		.status = (uint16_t) final->status,
		.why_length = (uint16_t)why.length,
		.id = id,
	};
	size_t length = sizeof head + by.length + why.length;

	if (size < length || final->status < STATUS_MIN || final->status > STATUS_MAX)
		return 0;
	memcpy(out, &head, sizeof head);
	if (by.length > 0)
		memcpy(out + sizeof head, by.at, by.length);
	if (why.length > 0)
		memcpy(out + sizeof head + by.length, why.at, why.length);
	return length;
}

size_t record_note_write(char *out, size_t size, uint64_t id, struct span text)
{
	struct span note = cut(text, RECORD_NOTE_MAX + CHARACTER_MAX - 1);
	struct record_note_head head = { .kind = RECORD_NOTE, .length = (uint16_t)note.length, .id = id };

	if (note.length == 0 || size < sizeof head + note.length)
		return 0;
	memcpy(out, &head, sizeof head);
	memcpy(out + sizeof head, note.at, note.length);
	return sizeof head + note.length;
}

static size_t read_line(struct record_item *item, struct span message)
{
	const char *end = memchr(message.at, '\n', message.length < RECORD_MAX ? message.length : RECORD_MAX);

	if (end == NULL)
		return 0;
	*item = (struct record_item){ .kind = RECORD_LINE,
		.line = { message.at, (size_t)(end - message.at) + 1 } };
	return item->line.length;
}

/* One line, with something to fill in at its hole. */
static bool is_open_line(struct span line, size_t hole)
{
	const size_t nothing = sizeof RECORD_NO_FINAL - 1;

	return line.length > 0 && line.length <= RECORD_MAX && line.at[0] == '{' &&
	       memchr(line.at, '\n', line.length) == line.at + line.length - 1 && hole < line.length &&
	       line.length - hole > nothing && memcmp(line.at + hole, RECORD_NO_FINAL, nothing) == 0;
}

static size_t read_open(struct record_item *item, struct span message)
{
	struct record_open_head head;
	struct span line;

	if (message.length < sizeof head)
		return 0;
	memcpy(&head, message.at, sizeof head);
	line = (struct span){ message.at + sizeof head, head.length };
	if (message.length - sizeof head < line.length || !is_open_line(line, head.hole))
		return 0;
	*item = (struct record_item){ .kind = RECORD_OPEN, .id = head.id, .line = line, .hole = head.hole };
	return sizeof head + line.length;
}

static size_t read_final(struct record_item *item, struct span message)
{
	struct record_final_head head;
	const char *by = message.at + sizeof head;

	if (message.length < sizeof head)
		return 0;
	memcpy(&head, message.at, sizeof head);
	if (message.length - sizeof head < (size_t)head.by_length + head.why_length ||
		head.status < STATUS_MIN || head.status > STATUS_MAX || head.by_length > RECORD_BY_MAX ||
		head.why_length >= RECORD_REJECTION_MAX + CHARACTER_MAX)
		return 0;
	*item = (struct record_item){
		.kind = RECORD_FINAL,
		.id = head.id,
		.final = { .status = head.status,
			.by = { by, head.by_length },
			.why = { by + head.by_length, head.why_length } },
	};
	return sizeof head + head.by_length + head.why_length;
}

static size_t read_note(struct record_item *item, struct span message)
{
	struct record_note_head head;
	struct span note;

	if (message.length < sizeof head)
		return 0;
	memcpy(&head, message.at, sizeof head);
	note = (struct span){ message.at + sizeof head, head.length };
	if (message.length - sizeof head < note.length || note.length == 0 ||
		note.length >= RECORD_NOTE_MAX + CHARACTER_MAX)
		return 0;
	*item = (struct record_item){ .kind = RECORD_NOTE, .id = head.id, .note = note };
	return sizeof head + note.length;
}

size_t record_item_read(struct record_item *item, struct span message)
{
	if (message.length == 0)
		return 0;
	switch ((enum record_item_kind)message.at[0]) {
	case RECORD_LINE:
		return read_line(item, message);
	case RECORD_OPEN:
		return read_open(item, message);
	case RECORD_FINAL:
		return read_final(item, message);
	case RECORD_NOTE:
		return read_note(item, message);
	}
	return 0;
}
