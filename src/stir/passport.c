#include "stirrup/passport.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "stirrup/base64url.h"
#include "stirrup/es256.h"
#include "stirrup/writer.h"

#define JSON_DEPTH_MAX 8              /* an rcd claim with a jCard (RFC 9795) nests to 6 */
#define IAT_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z, the last that a date can say */
#define HEADER_JSON_MAX 1024
#define PAYLOAD_JSON_MAX 768
#define DECODED_MAX (PASSPORT_MAX / 4 * 3) /* octets that the characters of a token can hold */

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

struct passport {
	json_t *header;
	json_t *payload;
	const char *ppt;
	const char *x5u;
	const char *orig_tn;
	const char *orig_uri;
	json_t *dest_tns; /* borrowed from payload, as are all these */
	json_t *dest_uris;
	const char *origid;
	int64_t iat;
	char attest;
	unsigned char signature[ES256_SIGNATURE_BYTES];
	char *header_json; /* these three point into text */
	char *payload_json;
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

/* Whether arrays and objects nest no deeper than that: jansson recurses once for each level. */
static bool is_shallow(const char *text, size_t length)
{
	int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < length; i++) {
		if (in_string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			in_string = !in_string;
		else if (!in_string && (text[i] == '{' || text[i] == '[') && ++depth > JSON_DEPTH_MAX)
			return false;
		else if (!in_string && (text[i] == '}' || text[i] == ']'))
			depth--;
	}
	return true;
}

/* NULL for what is not one JSON object with distinct member names. */
static json_t *load_object(const char *text, size_t length)
{
	json_t *value;

	if (memchr(text, '\0', length) != NULL || !is_shallow(text, length))
		return NULL;
	value = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(value))
		return value;
	json_decref(value);
	return NULL;
}

static const char *member(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static bool is_text(const json_t *value)
{
	return json_is_string(value) && json_string_length(value) > 0;
}

/* The first of these that the object lacks; NULL: none. */
static const char *first_missing(const json_t *object, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (json_object_get(object, names[i]) == NULL)
			return names[i];
	return NULL;
}

/* RFC 8225 sections 4 and 8.1. */
static enum passport_fault read_header(struct passport *passport, const char **detail)
{
	static const char *const required[] = { "alg", "typ", "x5u" };
	const char *alg = member(passport->header, "alg");
	const char *typ = member(passport->header, "typ");
	const json_t *ppt = json_object_get(passport->header, "ppt");

	*detail = first_missing(passport->header, required, sizeof required / sizeof *required);
	if (*detail != NULL)
		return PASSPORT_MISSING_MEMBER;
	*detail = "typ";
	if (typ == NULL || strcmp(typ, "passport") != 0)
		return PASSPORT_BAD_TYP;
	*detail = "alg";
	if (alg == NULL || strcmp(alg, "ES256") != 0)
		return PASSPORT_BAD_ALG;
	*detail = "x5u";
	if (!is_text(json_object_get(passport->header, "x5u")))
		return PASSPORT_BAD_HEADER;
	*detail = "ppt";
	if (ppt != NULL && !is_text(ppt))
		return PASSPORT_BAD_HEADER;
	/* RFC 7515 section 4.1.11: we understand no extension that could be critical. */
	*detail = "crit";
	if (json_object_get(passport->header, "crit") != NULL)
		return PASSPORT_CRITICAL;
	passport->ppt = json_string_value(ppt);
	passport->x5u = member(passport->header, "x5u");
	return PASSPORT_OK;
}

/* RFC 8225 section 5.2.1: one identity, a string. */
static bool read_orig(struct passport *passport)
{
	const json_t *orig = json_object_get(passport->payload, "orig");

	passport->orig_tn = member(orig, "tn");
	passport->orig_uri = member(orig, "uri");
	return json_object_size(orig) == 1 &&
	       (is_text(json_object_get(orig, "tn")) || is_text(json_object_get(orig, "uri")));
}

/* An array of strings, or absent. */
static bool is_text_array(const json_t *array)
{
	if (array == NULL)
		return true;
	if (!json_is_array(array))
		return false;
	for (size_t i = 0; i < json_array_size(array); i++) {
		if (!is_text(json_array_get(array, i)))
			return false;
	}
	return true;
}

static bool read_dest(struct passport *passport)
{
	const json_t *dest = json_object_get(passport->payload, "dest");
	size_t count;

	passport->dest_tns = json_object_get(dest, "tn");
	passport->dest_uris = json_object_get(dest, "uri");
	count = json_array_size(passport->dest_tns) + json_array_size(passport->dest_uris);
	return is_text_array(passport->dest_tns) && is_text_array(passport->dest_uris) && count >= 1 &&
	       count <= PASSPORT_TNS_MAX;
}

/* RFC 8588 section 4: one upper-case letter. */
static char read_attest(const json_t *payload)
{
	const json_t *attest = json_object_get(payload, "attest");
	const char *text = json_string_value(attest);

	return json_string_length(attest) == 1 && text[0] >= 'A' && text[0] <= 'C' ? text[0] : 0;
}

static bool read_iat(struct passport *passport)
{
	const json_t *iat = json_object_get(passport->payload, "iat");

	passport->iat = json_integer_value(iat);
	return json_is_integer(iat) && passport->iat >= 0 && passport->iat <= IAT_MAX;
}

/* RFC 8225 section 5; RFC 8588 sections 4 and 5. */
static enum passport_fault read_claims(struct passport *passport, const char **detail)
{
	static const char *const base[] = { "dest", "iat", "orig" };
	static const char *const shaken[] = { "attest", "dest", "iat", "orig", "origid" };
	bool is_shaken = passport->ppt != NULL && strcmp(passport->ppt, "shaken") == 0;

	*detail = is_shaken ? first_missing(passport->payload, shaken, sizeof shaken / sizeof *shaken)
			    : first_missing(passport->payload, base, sizeof base / sizeof *base);
	if (*detail != NULL)
		return PASSPORT_MISSING_CLAIM;
	passport->attest = read_attest(passport->payload);
	passport->origid = member(passport->payload, "origid");
	*detail = "dest";
	if (!read_dest(passport))
		return PASSPORT_BAD_CLAIMS;
	*detail = "iat";
	if (!read_iat(passport))
		return PASSPORT_BAD_CLAIMS;
	*detail = "orig";
	if (!read_orig(passport))
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

/* Decodes one part to *at as JSON with a NUL behind it, and moves *at behind that. */
static enum passport_fault decode_json(struct span part, char **at, char **text, json_t **object)
{
	size_t length;

	if (!base64url_decode((unsigned char *)*at, part.length, &length, part))
		return PASSPORT_BAD_BASE64;
	*text = *at;
	(*at)[length] = '\0';
	*at += length + 1;
	*object = load_object(*text, length);
	return *object == NULL ? PASSPORT_BAD_JSON : PASSPORT_OK;
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

/* Reads the parts into a passport whose text has room for the token and for both decoded parts. */
static enum passport_fault read_parts(
	struct passport *passport, const struct parts *parts, const char **detail)
{
	char *at = passport->text;
	enum passport_fault fault;

	passport->signed_bytes = (struct span){ at, parts->header.length + 1 + parts->payload.length };
	memcpy(at, parts->header.at, passport->signed_bytes.length);
	at += passport->signed_bytes.length;

	*detail = "header";
	fault = decode_json(parts->header, &at, &passport->header_json, &passport->header);
	if (fault == PASSPORT_OK)
		fault = read_header(passport, detail);
	if (fault != PASSPORT_OK)
		return fault;
	*detail = "signature";
	fault = read_signature(passport, parts->signature);
	if (fault != PASSPORT_OK)
		return fault;
	*detail = "payload";
	fault = decode_json(parts->payload, &at, &passport->payload_json, &passport->payload);
	return fault == PASSPORT_OK ? read_claims(passport, detail) : fault;
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
	passport = calloc(1, sizeof *passport + token.length * 2);
	if (passport == NULL) {
		*detail = "memory";
		return PASSPORT_NO_MEMORY;
	}
	fault = read_parts(passport, &parts, detail);
	if (fault == PASSPORT_OK)
		*out = passport;
	else
		passport_free(passport);
	return fault;
}

void passport_free(struct passport *passport)
{
	if (passport == NULL)
		return;
	json_decref(passport->header);
	json_decref(passport->payload);
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

/* The header of a token as JSON, whatever follows it; NULL when it cannot be read. */
static json_t *load_header(struct span token)
{
	unsigned char json[DECODED_MAX];
	const char *dot = token.length == 0 ? NULL : memchr(token.at, '.', token.length);
	size_t length;

	if (dot == NULL || !base64url_decode(json, sizeof json, &length,
				   (struct span){ token.at, (size_t)(dot - token.at) }))
		return NULL;
	return load_object((const char *)json, length);
}

bool passport_read_ppt(char *out, size_t size, struct span token)
{
	json_t *header = load_header(token);
	const char *ppt = member(header, "ppt");
	size_t length = ppt == NULL ? 0 : strnlen(ppt, size - 1);

	memcpy(out, ppt == NULL ? "" : ppt, length);
	out[length] = '\0';
	json_decref(header);
	return length > 0;
}

bool passport_has_ppt(struct span token, const char *ppt)
{
	json_t *header = load_header(token);
	const char *value = member(header, "ppt");
	bool has = value != NULL && strcmp(value, ppt) == 0;

	json_decref(header);
	return has;
}

bool passport_has_claim(const struct passport *passport, struct span name)
{
	return json_object_getn(passport->payload, name.at, name.length) != NULL;
}

bool passport_claim_is(const struct passport *passport, struct span name, struct span value)
{
	const json_t *claim = json_object_getn(passport->payload, name.at, name.length);
	char *json;
	bool is;

	if (json_is_string(claim))
		return json_string_length(claim) == value.length &&
		       (value.length == 0 || memcmp(json_string_value(claim), value.at, value.length) == 0);
	json = json_dumps(claim, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	is = json != NULL && span_is(value, json);
	free(json);
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
	return json_array_size(passport->dest_tns);
}

const char *passport_dest_tn(const struct passport *passport, size_t index)
{
	return json_string_value(json_array_get(passport->dest_tns, index));
}

size_t passport_dest_uris(const struct passport *passport)
{
	return json_array_size(passport->dest_uris);
}

const char *passport_dest_uri(const struct passport *passport, size_t index)
{
	return json_string_value(json_array_get(passport->dest_uris, index));
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
	return passport->header_json;
}

const char *passport_payload_json(const struct passport *passport)
{
	return passport->payload_json;
}
