#include "dialog_record.h"

#include <assert.h>
#include <string.h>

#include <openssl/evp.h>

#include "stirrup/writer.h"

#define VERSION 1

/* In the byte order of the machine, which the file of the store is bound to anyway. */
struct header {
	uint8_t version;
	uint8_t flags;
	uint8_t confirmed;
	uint8_t zero;
	uint32_t checksum; /* of all of it, this being zero */
	uint32_t expires;  /* stays here in every version, so that an older program can still clean up */
	uint32_t began;
	uint16_t peer, customer;
	uint16_t caller_listener, callee_listener;
};
static_assert(sizeof(struct header) == DIALOG_RECORD_MIN, "no padding");

/* --- Keys --- */

/* Each part goes in with its length: no two inputs may run into the same bytes. */
static bool add_part(EVP_MD_CTX *context, struct span part)
{
	uint64_t length = part.length;

	return EVP_DigestUpdate(context, &length, sizeof length) == 1 &&
	       (length == 0 || EVP_DigestUpdate(context, part.at, part.length) == 1);
}

static int compare(struct span one, struct span other)
{
	size_t length = one.length < other.length ? one.length : other.length;
	int order = length == 0 ? 0 : memcmp(one.at, other.at, length);

	return order != 0 ? order : (one.length > other.length) - (one.length < other.length);
}

struct hasher {
	EVP_MD *sha256;
	EVP_MD_CTX *context;
};

/* One for the process, which lives as long: looking SHA-256 up for each key takes longer than the digest. NULL: out of memory. */
static const struct hasher *the_hasher(void)
{
	static struct hasher hasher;

	if (hasher.sha256 == NULL)
		hasher.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (hasher.context == NULL)
		hasher.context = EVP_MD_CTX_new();
	return hasher.sha256 != NULL && hasher.context != NULL ? &hasher : NULL;
}

/* SHA-256, cut: Call-IDs and tags are chosen by strangers, and none may choose those of somebody else's call.
 */
static void make_key(struct dialog_key *key, struct span side, struct span call_id, struct span one_tag, struct span other_tag)
{
	bool ordered = compare(one_tag, other_tag) <= 0;
	const struct hasher *hasher = the_hasher();
	unsigned char digest[EVP_MAX_MD_SIZE];

	memset(key, 0, sizeof *key);
	if (hasher != NULL && EVP_DigestInit_ex2(hasher->context, hasher->sha256, NULL) == 1 &&
		add_part(hasher->context, call_id) && add_part(hasher->context, ordered ? one_tag : other_tag) &&
		add_part(hasher->context, ordered ? other_tag : one_tag) &&
		(side.length == 0 || add_part(hasher->context, side)) &&
		EVP_DigestFinal_ex(hasher->context, digest, NULL) == 1)
		memcpy(key->bytes, digest, sizeof key->bytes);
}

void dialog_key(struct dialog_key *key, struct span call_id, struct span one_tag, struct span other_tag)
{
	make_key(key, (struct span){ "", 0 }, call_id, one_tag, other_tag);
}

void dialog_key_of_callee(struct dialog_key *key, struct span call_id, struct span one_tag, struct span other_tag)
{
	make_key(key, span_of("callee"), call_id, one_tag, other_tag);
}

bool dialog_key_equal(const struct dialog_key *one, const struct dialog_key *other)
{
	return memcmp(one->bytes, other->bytes, sizeof one->bytes) == 0;
}

bool dialog_key_leads_somewhere(const struct dialog_key *key)
{
	static const struct dialog_key nowhere;

	return !dialog_key_equal(key, &nowhere);
}

struct dialog_keys dialog_keys_of(const struct dialog *dialog)
{
	const struct dialog_side *caller = &dialog->caller, *callee = &dialog->callee;
	struct dialog_keys keys = { .has_alias = compare(caller->call_id, callee->call_id) != 0 };

	dialog_key(&keys.key, caller->call_id, caller->tag, callee->tag);
	if (keys.has_alias)
		dialog_key_of_callee(&keys.alias, callee->call_id, caller->tag, callee->tag);
	return keys;
}

/* --- Texts --- */

/* In the order of the record. */
enum field {
	CALLER_CALL_ID,
	CALLEE_CALL_ID,
	CALLER_TAG,
	CALLEE_TAG,
	CALLER_TARGET,
	CALLEE_TARGET,
	CALLER_NAME,
	CALLEE_NAME,
	CALLER_ROUTES,
	CALLEE_ROUTES,
	FIELDS,
};
#define AT(side, text) (offsetof(struct dialog, side) + offsetof(struct dialog_side, text))

static const size_t offsets[FIELDS] = {
	[CALLER_CALL_ID] = AT(caller, call_id),
	[CALLEE_CALL_ID] = AT(callee, call_id),
	[CALLER_TAG] = AT(caller, tag),
	[CALLEE_TAG] = AT(callee, tag),
	[CALLER_TARGET] = AT(caller, target),
	[CALLEE_TARGET] = AT(callee, target),
	[CALLER_NAME] = AT(caller, name),
	[CALLEE_NAME] = AT(callee, name),
	[CALLER_ROUTES] = AT(caller, routes),
	[CALLEE_ROUTES] = AT(callee, routes),
};

static struct span text_of(const struct dialog *dialog, enum field field)
{
	struct span text;

	memcpy(&text, (const char *)dialog + offsets[field], sizeof text);
	return text;
}

static void set_text(struct dialog *dialog, enum field field, struct span text)
{
	memcpy((char *)dialog + offsets[field], &text, sizeof text);
}

/* An earlier text that often begins with the same bytes, which are then left out: both sides have one
 * Call-ID, and our Contact keeps the user part of the one for which it stands. */
static bool is_like(enum field field, const struct dialog *dialog, struct span *like)
{
	switch (field) {
	case CALLEE_CALL_ID:
		*like = text_of(dialog, CALLER_CALL_ID);
		return true;
	case CALLER_NAME:
		*like = text_of(dialog, CALLEE_TARGET);
		return true;
	case CALLEE_NAME:
		*like = text_of(dialog, CALLER_TARGET);
		return true;
	default:
		*like = (struct span){ 0 };
		return false;
	}
}

static size_t shared_length(struct span one, struct span other)
{
	size_t length = 0;

	while (length < one.length && length < other.length && one.at[length] == other.at[length])
		length++;
	return length;
}

/* Seven bits a byte, the lowest first; the top bit says that more follow. */
static void write_length(struct writer *writer, size_t length)
{
	do {
		uint8_t byte = (uint8_t)((length & 0x7f) | (length > 0x7f ? 0x80 : 0));

		writer_bytes(writer, &byte, 1);
	} while ((length >>= 7) > 0);
}

static bool read_length(struct span *rest, size_t *length)
{
	*length = 0;
	for (unsigned shift = 0; shift <= 14; shift += 7) {
		uint8_t byte;

		if (rest->length == 0)
			return false;
		byte = (uint8_t)*rest->at++;
		rest->length--;
		*length |= (size_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			return true;
	}
	return false;
}

static void write_texts(struct writer *writer, const struct dialog *dialog)
{
	for (enum field field = 0; field < FIELDS; field++) {
		struct span text = text_of(dialog, field), like;

		if (is_like(field, dialog, &like)) {
			size_t shared = shared_length(text, like);

			write_length(writer, shared);
			text = (struct span){ shared > 0 ? text.at + shared : text.at, text.length - shared };
		}
		write_length(writer, text.length);
		writer_span(writer, text);
	}
}

static bool read_text(struct span *rest, enum field field, const struct dialog *dialog, struct writer *texts,
	struct span *text)
{
	struct span like;
	size_t shared = 0, own;

	if (is_like(field, dialog, &like) && (!read_length(rest, &shared) || shared > like.length))
		return false;
	if (!read_length(rest, &own) || own > rest->length)
		return false;
	*text = (struct span){ texts->at, shared + own };
	writer_bytes(texts, like.at, shared);
	writer_bytes(texts, rest->at, own);
	rest->at += own;
	rest->length -= own;
	return !texts->full;
}

static bool read_texts(struct span rest, char text[DIALOG_TEXT_MAX], struct dialog *dialog)
{
	struct writer texts = writer_on(text, DIALOG_TEXT_MAX);

	for (enum field field = 0; field < FIELDS; field++) {
		struct span one;

		if (!read_text(&rest, field, dialog, &texts, &one))
			return false;
		set_text(dialog, field, one);
	}
	return rest.length == 0;
}

static size_t texts_length(const struct dialog *dialog)
{
	size_t total = 0;

	for (enum field field = 0; field < FIELDS; field++) {
		size_t length = text_of(dialog, field).length;

		if (length > DIALOG_TEXT_MAX)
			return length;
		total += length;
	}
	return total;
}

/* --- The record --- */

/* Each step can be undone, so that bytes that differ never end in the same sum but by the folding at the end.
 */
static uint64_t mix(uint64_t sum, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length > 0) {
		size_t step = length < 8 ? length : 8;
		uint64_t word = 0;

		memcpy(&word, at, step);
		sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		sum ^= sum >> 32;
		at += step;
		length -= step;
	}
	return sum;
}

static uint32_t checksum(struct header header, struct span texts)
{
	header.checksum = 0;
	return (uint32_t)mix(mix(texts.length, &header, sizeof header), texts.at, texts.length);
}

static bool split(struct span record, struct header *header, struct span *texts)
{
	if (record.length < sizeof *header || record.length > DIALOG_RECORD_MAX)
		return false;
	memcpy(header, record.at, sizeof *header);
	*texts = (struct span){ record.at + sizeof *header, record.length - sizeof *header };
	return true;
}

void dialog_record_seal(uint8_t *record, size_t length)
{
	struct header header;
	struct span texts;
	bool good = split((struct span){ (const char *)record, length }, &header, &texts);

	assert(good);
	header.checksum = checksum(header, texts);
	memcpy(record, &header, sizeof header);
}

size_t dialog_record_write(const struct dialog *dialog, uint8_t record[DIALOG_RECORD_MAX])
{
	struct writer writer = writer_on((char *)record, DIALOG_RECORD_MAX);
	struct header header = {
		.version = VERSION,
		.flags = dialog->flags,
		.confirmed = dialog->confirmed,
		.expires = dialog->expires,
		.began = dialog->began,
		.peer = dialog->peer,
		.customer = dialog->customer,
		.caller_listener = dialog->caller.listener,
		.callee_listener = dialog->callee.listener,
	};

	if (texts_length(dialog) > DIALOG_TEXT_MAX)
		return 0;
	writer_bytes(&writer, &header, sizeof header);
	write_texts(&writer, dialog);
	if (writer.full)
		return 0;
	dialog_record_seal(record, writer_length(&writer));
	return writer_length(&writer);
}

static enum dialog_record_state judge(struct span record, struct header *header, struct span *texts)
{
	if (!split(record, header, texts) || header->version == 0)
		return DIALOG_RECORD_DAMAGED;
	if (header->version > VERSION)
		return DIALOG_RECORD_NEWER;
	return checksum(*header, *texts) == header->checksum ? DIALOG_RECORD_WHOLE : DIALOG_RECORD_DAMAGED;
}

enum dialog_record_state dialog_record_look(struct span record, uint32_t *expires)
{
	struct header header;
	struct span texts;
	enum dialog_record_state state = judge(record, &header, &texts);

	if (state != DIALOG_RECORD_DAMAGED)
		*expires = header.expires;
	return state;
}

enum dialog_record_state dialog_record_read(
	struct span record, char text[DIALOG_TEXT_MAX], struct dialog *dialog)
{
	struct header header;
	struct span texts;
	enum dialog_record_state state = judge(record, &header, &texts);
	struct dialog read = { 0 };

	if (state != DIALOG_RECORD_WHOLE)
		return state;
	if (!read_texts(texts, text, &read))
		return DIALOG_RECORD_DAMAGED;
	read.caller.listener = header.caller_listener;
	read.callee.listener = header.callee_listener;
	read.peer = header.peer;
	read.customer = header.customer;
	read.flags = header.flags;
	read.confirmed = header.confirmed != 0;
	read.began = header.began;
	read.expires = header.expires;
	*dialog = read;
	return DIALOG_RECORD_WHOLE;
}
