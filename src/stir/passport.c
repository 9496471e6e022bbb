#include "stirrup/passport.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "stirrup/base64url.h"
#include "stirrup/es256.h"
#include "stirrup/json_reader.h"
#include "stirrup/writer.h"

#define IAT_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z, the last that a date can say */
#define HEADER_JSON_MAX 1024
#define PAYLOAD_JSON_MAX 768
#define DECODED_MAX (PASSPORT_MAX / 4 * 3) /* octets that the characters of a token can hold */

_Static_assert(DECODED_MAX <= JSON_TEXT_MAX, "a reader takes what a token can hold");

static void put_escaped(struct writer *writer, char c)
{
	static const char hex[] = "0123456789abcdef";
	/* Pairs of the character and the letter behind its backslash. */
	static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	char text[6] = { '\\', 'u', '0', '0', hex[(unsigned char)c >> 4], hex[c & 15] };

	for (size_t i = 0; i + 1 < sizeof named; i += 2) {
		if (named[i] == c) {
			text[1] = named[i + 1];
			writer_bytes(writer, text, 2);
			return;
		}
	}
	writer_bytes(writer, text, sizeof text);
}

/* A JSON string. RFC 8259 section 7: only these have to be escaped; RFC 8225 section 9 wants nothing more. */
static void put_string(struct writer *writer, const char *text, size_t length)
{
	const char *end = text + length;

	writer_text(writer, "\"");
	while (text < end) {
		const char *start = text;

		while (text < end && (unsigned char)*text >= 0x20 && *text != '"' && *text != '\\')
			text++;
		writer_bytes(writer, start, (size_t)(text - start));
		if (text < end)
			put_escaped(writer, *text++);
	}
	writer_text(writer, "\"");
}

bool passport_shaken_header(char *out, size_t size, const char *x5u)
{
	char json[HEADER_JSON_MAX];
	struct writer writer = writer_on(json, sizeof json);
	size_t length;

	if (strlen(x5u) > PASSPORT_X5U_MAX)
		return false;
	writer_text(&writer, "{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":");
	put_string(&writer, x5u, strlen(x5u));
	writer_text(&writer, "}");
	length = writer_length(&writer);
	if (writer.full || BASE64URL_LENGTH(length) >= size)
		return false;
	out[base64url_encode(out, json, length)] = '\0';
	return true;
}

/* In the order of RFC 8588 section 8. */
static void put_claims(struct writer *writer, const struct shaken_claims *claims)
{
	writer_text(writer, "{\"attest\":\"");
	writer_bytes(writer, &claims->attest, 1);
	if (claims->dest_tn.digits[0] != '\0') {
		writer_text(writer, "\",\"dest\":{\"tn\":[");
		put_string(writer, claims->dest_tn.digits, strnlen(claims->dest_tn.digits, TN_MAX));
	} else {
		writer_text(writer, "\",\"dest\":{\"uri\":[");
		put_string(writer, claims->dest_uri, strnlen(claims->dest_uri, sizeof claims->dest_uri));
	}
	writer_text(writer, "]},\"iat\":");
	writer_number(writer, (uint64_t)claims->iat);
	writer_text(writer, ",\"orig\":{\"tn\":");
	put_string(writer, claims->orig.digits, strnlen(claims->orig.digits, TN_MAX));
	writer_text(writer, "},\"origid\":");
	put_string(writer, claims->origid, strnlen(claims->origid, ORIGID_SIZE - 1));
	writer_text(writer, "}");
}

size_t passport_signing_input(char *out, size_t size, const char *header, const struct shaken_claims *claims)
{
	char json[PAYLOAD_JSON_MAX];
	struct writer writer = writer_on(json, sizeof json);
	size_t header_length = strlen(header);
	size_t json_length;

	if (claims->attest < 'A' || claims->attest > 'C' || claims->orig.digits[0] == '\0' ||
		(claims->dest_tn.digits[0] == '\0' && claims->dest_uri[0] == '\0') || claims->iat < 0)
		return 0;
	put_claims(&writer, claims);
	json_length = writer_length(&writer);
	if (writer.full || header_length >= size || BASE64URL_LENGTH(json_length) > size - header_length - 1)
		return 0;
	memcpy(out, header, header_length);
	out[header_length] = '.';
	return header_length + 1 + base64url_encode(out + header_length + 1, json, json_length);
}

/* An array of strings, or absent. */
struct texts {
	const char *at[PASSPORT_TNS_MAX];
	size_t count; /* of more than there is room for, too */
	bool bad;
};

struct passport {
	const char *ppt; /* these point into text */
	const char *x5u;
	const char *orig_tn;
	const char *orig_uri;
	struct texts dest_tns;
	struct texts dest_uris;
	const char *origid;
	int64_t iat;
	char attest;
	unsigned char signature[ES256_SIGNATURE_BYTES];
	struct span header_json; /* these three, too; a NUL behind the JSON */
	struct span payload_json;
	struct span signed_bytes;
	char text[];
};

/* The three parts of the compact serialization, as they stand. */
struct parts {
	struct span header, payload, signature;
};

static bool split(struct parts *parts, struct span token)
{
	const char *end = token.at + token.length;
	const char *first = token.length == 0 ? NULL : memchr(token.at, '.', token.length);
	const char *second = first == NULL ? NULL : memchr(first + 1, '.', (size_t)(end - first - 1));

	if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL)
		return false;
	parts->header = (struct span){ token.at, (size_t)(first - token.at) };
	parts->payload = (struct span){ first + 1, (size_t)(second - first - 1) };
	parts->signature = (struct span){ second + 1, (size_t)(end - second - 1) };
	return true;
}

static bool is_text(const struct json_value *value)
{
	return value->kind == JSON_KIND_STRING && value->string.length > 0;
}

/* NULL for what is no string. */
static const char *text_of(const struct json_value *value)
{
	return value->kind == JSON_KIND_STRING ? value->string.at : NULL;
}

struct header_members {
	struct json_value alg, typ, x5u, ppt;
	bool crit;
};

/* False for what is not one JSON object. */
static bool read_header_json(struct header_members *members, struct span json, char *room)
{
	struct json_reader reader;
	struct json_level object;
	struct span name;

	*members = (struct header_members){ .crit = false };
	json_reader_begin(&reader, json, room);
	if (!json_reader_enter(&reader, &object, '{'))
		return false;
	while (json_reader_member(&reader, &object, &name)) {
		struct json_value value = json_reader_take(&reader);

		if (span_is(name, "alg"))
			members->alg = value;
		else if (span_is(name, "typ"))
			members->typ = value;
		else if (span_is(name, "x5u"))
			members->x5u = value;
		else if (span_is(name, "ppt"))
			members->ppt = value;
		else if (span_is(name, "crit"))
			members->crit = true;
	}
	return json_reader_end(&reader);
}

static const char *missing_member(const struct header_members *members)
{
	if (members->alg.kind == JSON_KIND_ABSENT)
		return "alg";
	if (members->typ.kind == JSON_KIND_ABSENT)
		return "typ";
	return members->x5u.kind == JSON_KIND_ABSENT ? "x5u" : NULL;
}

/* RFC 8225 sections 4 and 8.1. */
static enum passport_fault read_header(struct passport *passport, char *room, const char **detail)
{
	struct header_members members;

	if (!read_header_json(&members, passport->header_json, room))
		return PASSPORT_BAD_JSON;
	*detail = missing_member(&members);
	if (*detail != NULL)
		return PASSPORT_MISSING_MEMBER;
	*detail = "typ";
	if (!span_is(members.typ.string, "passport"))
		return PASSPORT_BAD_TYP;
	*detail = "alg";
	if (!span_is(members.alg.string, "ES256"))
		return PASSPORT_BAD_ALG;
	*detail = "x5u";
	if (!is_text(&members.x5u))
		return PASSPORT_BAD_HEADER;
	*detail = "ppt";
	if (members.ppt.kind != JSON_KIND_ABSENT && !is_text(&members.ppt))
		return PASSPORT_BAD_HEADER;
	/* RFC 7515 section 4.1.11: we understand no extension that could be critical. */
	*detail = "crit";
	if (members.crit)
		return PASSPORT_CRITICAL;
	passport->ppt = text_of(&members.ppt);
	passport->x5u = text_of(&members.x5u);
	return PASSPORT_OK;
}

/* The claims that the passport itself does not have yet. */
struct payload_members {
	bool dest, orig;
	size_t orig_count;
	struct json_value orig_tn, orig_uri, attest, iat, origid;
};

static void read_texts(struct texts *texts, struct json_reader *reader)
{
	struct json_level array;

	if (!json_reader_enter(reader, &array, '[')) {
		json_reader_take(reader);
		texts->bad = true;
		return;
	}
	while (json_reader_item(reader, &array)) {
		struct json_value value = json_reader_take(reader);

		if (!is_text(&value))
			texts->bad = true;
		else if (texts->count < PASSPORT_TNS_MAX)
			texts->at[texts->count] = value.string.at;
		texts->count++;
	}
}

static void read_dest(struct passport *passport, struct json_reader *reader)
{
	struct json_level object;
	struct span name;

	if (!json_reader_enter(reader, &object, '{')) {
		json_reader_take(reader);
		return;
	}
	while (json_reader_member(reader, &object, &name)) {
		if (span_is(name, "tn"))
			read_texts(&passport->dest_tns, reader);
		else if (span_is(name, "uri"))
			read_texts(&passport->dest_uris, reader);
		else
			json_reader_take(reader);
	}
}

static void read_orig(struct payload_members *members, struct json_reader *reader)
{
	struct json_level object;
	struct span name;

	if (!json_reader_enter(reader, &object, '{')) {
		json_reader_take(reader);
		return;
	}
	while (json_reader_member(reader, &object, &name)) {
		struct json_value value = json_reader_take(reader);

		members->orig_count++;
		if (span_is(name, "tn"))
			members->orig_tn = value;
		else if (span_is(name, "uri"))
			members->orig_uri = value;
	}
}

static void read_claim(
	struct passport *passport, struct payload_members *members, struct json_reader *reader, struct span name)
{
	if (span_is(name, "dest")) {
		members->dest = true;
		read_dest(passport, reader);
	} else if (span_is(name, "orig")) {
		members->orig = true;
		read_orig(members, reader);
	} else if (span_is(name, "attest")) {
		members->attest = json_reader_take(reader);
	} else if (span_is(name, "iat")) {
		members->iat = json_reader_take(reader);
	} else if (span_is(name, "origid")) {
		members->origid = json_reader_take(reader);
	} else {
		json_reader_take(reader);
	}
}

/* False for what is not one JSON object. */
static bool read_payload_json(struct passport *passport, struct payload_members *members, char *room)
{
	struct json_reader reader;
	struct json_level object;
	struct span name;

	*members = (struct payload_members){ .dest = false };
	json_reader_begin(&reader, passport->payload_json, room);
	if (!json_reader_enter(&reader, &object, '{'))
		return false;
	while (json_reader_member(&reader, &object, &name))
		read_claim(passport, members, &reader, name);
	return json_reader_end(&reader);
}

/* RFC 8225 section 5.2.1: one identity, a string. */
static bool orig_is_good(const struct payload_members *members)
{
	return members->orig_count == 1 && (is_text(&members->orig_tn) || is_text(&members->orig_uri));
}

static bool dest_is_good(const struct passport *passport)
{
	size_t count = passport->dest_tns.count + passport->dest_uris.count;

	return !passport->dest_tns.bad && !passport->dest_uris.bad && count >= 1 && count <= PASSPORT_TNS_MAX;
}

/* RFC 8588 section 4: one upper-case letter. */
static char attest_of(const struct json_value *attest)
{
	const char *text = text_of(attest);

	return text != NULL && attest->string.length == 1 && text[0] >= 'A' && text[0] <= 'C' ? text[0] : 0;
}

static bool iat_is_good(const struct json_value *iat)
{
	return iat->kind == JSON_KIND_INTEGER && iat->integer >= 0 && iat->integer <= IAT_MAX;
}

static const char *missing_claim(const struct payload_members *members, bool is_shaken)
{
	if (is_shaken && members->attest.kind == JSON_KIND_ABSENT)
		return "attest";
	if (!members->dest)
		return "dest";
	if (members->iat.kind == JSON_KIND_ABSENT)
		return "iat";
	if (!members->orig)
		return "orig";
	return is_shaken && members->origid.kind == JSON_KIND_ABSENT ? "origid" : NULL;
}

/* RFC 8225 section 5; RFC 8588 sections 4 and 5. */
static enum passport_fault read_claims(struct passport *passport, char *room, const char **detail)
{
	struct payload_members members;
	bool is_shaken = passport->ppt != NULL && strcmp(passport->ppt, "shaken") == 0;

	if (!read_payload_json(passport, &members, room))
		return PASSPORT_BAD_JSON;
	*detail = missing_claim(&members, is_shaken);
	if (*detail != NULL)
		return PASSPORT_MISSING_CLAIM;
	passport->attest = attest_of(&members.attest);
	passport->iat = members.iat.integer;
	passport->orig_tn = text_of(&members.orig_tn);
	passport->orig_uri = text_of(&members.orig_uri);
	passport->origid = text_of(&members.origid);
	*detail = "dest";
	if (!dest_is_good(passport))
		return PASSPORT_BAD_CLAIMS;
	*detail = "iat";
	if (!iat_is_good(&members.iat))
		return PASSPORT_BAD_CLAIMS;
	*detail = "orig";
	if (!orig_is_good(&members))
		return PASSPORT_BAD_CLAIMS;
	*detail = "origid";
	if (is_shaken && passport->origid == NULL)
		return PASSPORT_BAD_CLAIMS;
	*detail = "attest";
	return is_shaken && passport->attest == 0 ? PASSPORT_BAD_ATTEST : PASSPORT_OK;
}

/* What can be said before anything is decoded or kept. */
static enum passport_fault check_parts(const struct parts *parts, const char **detail)
{
	if (parts->header.length == 0 && parts->payload.length == 0 && parts->signature.length > 0) {
		*detail = "header and payload";
		return PASSPORT_COMPACT_FORM;
	}
	if (parts->header.length == 0 || parts->payload.length == 0) {
		*detail = parts->header.length == 0 ? "header" : "payload";
		return PASSPORT_NOT_THREE_PARTS;
	}
	return PASSPORT_OK;
}

/* Decodes one part to *at with a NUL behind it, and moves *at behind that. */
static bool decode(struct span *json, struct span part, char **at)
{
	json->at = *at;
	if (!base64url_decode((unsigned char *)*at, part.length, &json->length, part))
		return false;
	(*at)[json->length] = '\0';
	*at += json->length + 1;
	return true;
}

static enum passport_fault read_signature(struct passport *passport, struct span part)
{
	size_t length;

	if (part.length != BASE64URL_LENGTH(ES256_SIGNATURE_BYTES))
		return PASSPORT_BAD_SIGNATURE_LENGTH;
	if (!base64url_decode(passport->signature, sizeof passport->signature, &length, part))
		return PASSPORT_BAD_BASE64;
	return PASSPORT_OK;
}

/* Reads the parts into a passport whose text has room for the token, for both decoded parts and for the strings in
 * them; the payload is read last, and has the room of its reader behind it. */
static enum passport_fault read_parts(
	struct passport *passport, const struct parts *parts, const char **detail)
{
	char *at = passport->text;
	enum passport_fault fault;

	passport->signed_bytes = (struct span){ at, parts->header.length + 1 + parts->payload.length };
	memcpy(at, parts->header.at, passport->signed_bytes.length);
	at += passport->signed_bytes.length;

	*detail = "header";
	if (!decode(&passport->header_json, parts->header, &at))
		return PASSPORT_BAD_BASE64;
	fault = read_header(passport, at, detail);
	if (fault != PASSPORT_OK)
		return fault;
	at += passport->header_json.length;
	*detail = "signature";
	fault = read_signature(passport, parts->signature);
	if (fault != PASSPORT_OK)
		return fault;
	*detail = "payload";
	if (!decode(&passport->payload_json, parts->payload, &at))
		return PASSPORT_BAD_BASE64;
	return read_claims(passport, at, detail);
}

enum passport_fault passport_parse(struct passport **out, struct span token, const char **detail)
{
	struct parts parts;
	struct passport *passport;
	enum passport_fault fault;

	*detail = "token";
	if (token.length > PASSPORT_MAX)
		return PASSPORT_TOO_LONG;
	if (!split(&parts, token))
		return PASSPORT_NOT_THREE_PARTS;
	fault = check_parts(&parts, detail);
	if (fault != PASSPORT_OK)
		return fault;
	passport = malloc(sizeof *passport + token.length * 4 + JSON_ROOM(0));
	if (passport == NULL) {
		*detail = "memory";
		return PASSPORT_NO_MEMORY;
	}
	*passport = (struct passport){ .ppt = NULL };
	fault = read_parts(passport, &parts, detail);
	if (fault == PASSPORT_OK)
		*out = passport;
	else
		passport_free(passport);
	return fault;
}

void passport_free(struct passport *passport)
{
	free(passport);
}

const char *passport_fault_text(enum passport_fault fault)
{
	switch (fault) {
	case PASSPORT_OK:
		return "well-formed";
	case PASSPORT_TOO_LONG:
		return "too long";
	case PASSPORT_COMPACT_FORM:
		return "compact form, which lacks them (RFC 8225 section 7)";
	case PASSPORT_NOT_THREE_PARTS:
		return "not header.payload.signature";
	case PASSPORT_BAD_BASE64:
		return "not base64url without padding (RFC 7515 section 2)";
	case PASSPORT_BAD_JSON:
		return "not one JSON object, or a member twice in it, or too deep";
	case PASSPORT_MISSING_MEMBER:
		return "missing in the header (RFC 8225 section 4)";
	case PASSPORT_BAD_TYP:
		return "not \"passport\" (RFC 8225 section 4.1)";
	case PASSPORT_BAD_ALG:
		return "not \"ES256\" (RFC 8225 section 4.2)";
	case PASSPORT_BAD_HEADER:
		return "header member of the wrong type (RFC 8225 sections 4 and 8)";
	case PASSPORT_CRITICAL:
		return "an extension that we don't understand (RFC 7515 section 4.1.11)";
	case PASSPORT_MISSING_CLAIM:
		return "claim missing (RFC 8225 section 5, RFC 8588 section 3)";
	case PASSPORT_BAD_CLAIMS:
		return "claim of the wrong type or value (RFC 8225 section 5, RFC 8588)";
	case PASSPORT_BAD_ATTEST:
		return "not \"A\", \"B\" or \"C\" (RFC 8588 section 4)";
	case PASSPORT_BAD_SIGNATURE_LENGTH:
		return "not the 64 octets of ES256 (RFC 7518 section 3.4)";
	case PASSPORT_NO_MEMORY:
		return "out of memory";
	}
	return "";
}

/* The ppt of a token whatever follows its header; false when that cannot be read or has none. */
static bool find_ppt(struct span *ppt, struct span token, char room[JSON_ROOM(DECODED_MAX)])
{
	char json[DECODED_MAX + 1];
	char *at = json;
	const char *dot = token.length == 0 ? NULL : memchr(token.at, '.', token.length);
	struct span part = { token.at, dot == NULL ? 0 : (size_t)(dot - token.at) }, text;
	struct header_members members;

	if (dot == NULL || part.length > PASSPORT_MAX || !decode(&text, part, &at) ||
		!read_header_json(&members, text, room))
		return false;
	*ppt = members.ppt.string;
	return members.ppt.kind == JSON_KIND_STRING;
}

bool passport_read_ppt(char *out, size_t size, struct span token)
{
	char room[JSON_ROOM(DECODED_MAX)];
	struct span ppt;

	if (!find_ppt(&ppt, token, room))
		ppt.length = 0;
	else if (ppt.length >= size)
		ppt.length = size - 1;
	if (ppt.length > 0)
		memcpy(out, ppt.at, ppt.length);
	out[ppt.length] = '\0';
	return ppt.length > 0;
}

bool passport_has_ppt(struct span token, const char *ppt)
{
	char room[JSON_ROOM(DECODED_MAX)];
	struct span found;

	return find_ppt(&found, token, room) && span_is(found, ppt);
}

/* Any claim: its value, and the JSON that it stands in. */
static bool find_claim(const struct passport *passport, struct span wanted, char room[JSON_ROOM(DECODED_MAX)],
	struct json_value *value, struct span *json)
{
	struct json_reader reader;
	struct json_level object;
	struct span name;

	json_reader_begin(&reader, passport->payload_json, room);
	if (!json_reader_enter(&reader, &object, '{'))
		return false;
	while (json_reader_member(&reader, &object, &name)) {
		json->at = reader.at;
		*value = json_reader_take(&reader);
		json->length = (size_t)(reader.at - json->at);
		if (name.length == wanted.length && (wanted.length == 0 || memcmp(name.at, wanted.at, name.length) == 0))
			return true;
	}
	return false;
}

bool passport_has_claim(const struct passport *passport, struct span name)
{
	char room[JSON_ROOM(DECODED_MAX)];
	struct json_value value;
	struct span json;

	return find_claim(passport, name, room, &value, &json);
}

/* As RFC 8225 section 9 has it: without white space, members in their order. NULL when out of memory. */
static char *serialize(struct span json)
{
	json_t *value = json_loadb(json.at, json.length, JSON_DECODE_ANY, NULL);
	char *text = value == NULL ? NULL : json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);

	json_decref(value);
	return text;
}

bool passport_claim_is(const struct passport *passport, struct span name, struct span value)
{
	char room[JSON_ROOM(DECODED_MAX)];
	struct json_value claim;
	struct span json;
	char *text;
	bool is;

	if (!find_claim(passport, name, room, &claim, &json))
		return false;
	if (claim.kind == JSON_KIND_STRING)
		return claim.string.length == value.length &&
		       (value.length == 0 || memcmp(claim.string.at, value.at, value.length) == 0);
	text = serialize(json);
	is = text != NULL && span_is(value, text);
	free(text);
	return is;
}

const char *passport_ppt(const struct passport *passport)
{
	return passport->ppt;
}

const char *passport_x5u(const struct passport *passport)
{
	return passport->x5u;
}

int64_t passport_iat(const struct passport *passport)
{
	return passport->iat;
}

const char *passport_orig_tn(const struct passport *passport)
{
	return passport->orig_tn;
}

const char *passport_orig_uri(const struct passport *passport)
{
	return passport->orig_uri;
}

size_t passport_dest_tns(const struct passport *passport)
{
	return passport->dest_tns.count;
}

const char *passport_dest_tn(const struct passport *passport, size_t index)
{
	return index < passport->dest_tns.count ? passport->dest_tns.at[index] : NULL;
}

size_t passport_dest_uris(const struct passport *passport)
{
	return passport->dest_uris.count;
}

const char *passport_dest_uri(const struct passport *passport, size_t index)
{
	return index < passport->dest_uris.count ? passport->dest_uris.at[index] : NULL;
}

char passport_attest(const struct passport *passport)
{
	return passport->attest;
}

const char *passport_origid(const struct passport *passport)
{
	return passport->origid;
}

struct span passport_signed_bytes(const struct passport *passport)
{
	return passport->signed_bytes;
}

const unsigned char *passport_signature(const struct passport *passport)
{
	return passport->signature;
}

const char *passport_header_json(const struct passport *passport)
{
	return passport->header_json.at;
}

const char *passport_payload_json(const struct passport *passport)
{
	return passport->payload_json.at;
}
