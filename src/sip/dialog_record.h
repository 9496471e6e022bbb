/* dialog_record.h: a call of the dialog store as bytes, and back. */
#ifndef STIRRUP_SIP_DIALOG_RECORD_H
#define STIRRUP_SIP_DIALOG_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/dialog_store.h"
#include "stirrup/span.h"

#define DIALOG_TEXT_MAX 65536 /* of all texts of a call together */
#define DIALOG_RECORD_MAX (DIALOG_TEXT_MAX + 128)

/* What leads to a call: the key of its caller's side, and where the callee's side has another Call-ID, that
 * one's. */
struct dialog_keys {
	struct dialog_key key, alias;
	bool has_alias;
};
struct dialog_keys dialog_keys_of(const struct dialog *dialog);

bool dialog_key_equal(const struct dialog_key *one, const struct dialog_key *other);
/* False: it could not be computed (out of memory). It leads nowhere then. */
bool dialog_key_leads_somewhere(const struct dialog_key *key);

/* The length of the record; 0: the texts are longer than DIALOG_TEXT_MAX. */
size_t dialog_record_write(const struct dialog *dialog, uint8_t record[DIALOG_RECORD_MAX]);

enum dialog_record_state {
	DIALOG_RECORD_WHOLE,
	DIALOG_RECORD_DAMAGED,
	DIALOG_RECORD_NEWER, /* of a later version of this program: its age can be read, nothing else */
};

/* Of any bytes. *dialog is set only when the record is whole, and borrows from text. */
enum dialog_record_state dialog_record_read(
	struct span record, char text[DIALOG_TEXT_MAX], struct dialog *dialog);

/* The same without taking it apart; *expires is set unless it is damaged. */
enum dialog_record_state dialog_record_look(struct span record, uint32_t *expires);

/* Writes the checksum to its place in a record of at least DIALOG_RECORD_MIN bytes. */
#define DIALOG_RECORD_MIN 24
void dialog_record_seal(uint8_t *record, size_t length);

#endif
