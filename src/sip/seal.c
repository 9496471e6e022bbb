#include "stirrup/seal.h"

#include <assert.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "stirrup/base64url.h"
#include "stirrup/steering.h"
#include "stirrup/verdict.h"
#include "stirrup/writer.h"

/* A verdict goes into one byte, where 0 says that there is none. */
static_assert(VERDICT_COUNT <= 256 && VERDICT_SIGNED == 0, "verdicts fit into a seal");

#define SIPHASH_KEY 16
#define SIPHASH_BYTES 16
#define HMAC_BYTES 32
#define MAC_INPUT 512

#define COOKIE "z9hG4bK" /* RFC 3261 section 8.1.1.7 */
#define BRANCH_HASH 8
#define CALL_ID_PREFIX "st"

#define VIA_FIELDS 12
#define VIA_MAC 8
#define ROUTE_FIELDS 10
#define ROUTE_MAC 10
#define CALL_ID_FIELDS 17 /* key id, hash of the call */
#define CALL_ID_MAC 8
#define SEALED_MAX 32

/* What one key says is of no use for another purpose. */
enum purpose { FOR_TRANSACTION, FOR_LOOP, FOR_VIA, FOR_CALL, FOR_CALL_ID, SIPHASH_PURPOSES };

/* All that is derived from one secret. */
struct keys {
	uint8_t id;
	uint8_t siphash[SIPHASH_PURPOSES][SIPHASH_KEY];
	EVP_MAC_CTX *route; /* HMAC-SHA256, keyed */
};

struct sealer {
	EVP_MAC_CTX *siphash;
	struct keys keys[2]; /* the secret in use, the one before */
	size_t count;
};

/* --- Keys --- */

static EVP_MAC_CTX *new_context(const char *algorithm)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, algorithm, NULL);
	EVP_MAC_CTX *context = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);

	EVP_MAC_free(mac);
	return context;
}

static bool set_hmac_key(EVP_MAC_CTX *context, const uint8_t key[HMAC_BYTES])
{
	char sha256[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_init(context, key, HMAC_BYTES, params) == 1;
}

static bool finish(EVP_MAC_CTX *context, uint8_t *out, size_t size)
{
	size_t length = 0;

	return EVP_MAC_final(context, out, &length, size) == 1 && length == size;
}

/* The labels name the layouts, too: those of another version are sealed with other keys, and have another key id. */
static bool derive(EVP_MAC_CTX *secret, const char *label, uint8_t out[HMAC_BYTES])
{
	return EVP_MAC_init(secret, NULL, 0, NULL) == 1 &&
		EVP_MAC_update(secret, (const unsigned char *)label, strlen(label)) == 1 &&
		finish(secret, out, HMAC_BYTES);
}

static bool derive_all(struct keys *keys, EVP_MAC_CTX *secret)
{
	static const char *const labels[] = {
		[FOR_TRANSACTION] = "seal 1 transaction",
		[FOR_LOOP] = "seal 1 loop",
		[FOR_VIA] = "seal 1 via",
		[FOR_CALL] = "seal 1 call",
		[FOR_CALL_ID] = "seal 1 call-id",
	};
	uint8_t derived[HMAC_BYTES];
	bool ok = derive(secret, "seal 1 key id", derived);

	keys->id = derived[0];
	for (size_t i = 0; ok && i < SIPHASH_PURPOSES; i++) {
		ok = derive(secret, labels[i], derived);
		memcpy(keys->siphash[i], derived, SIPHASH_KEY);
	}
	ok = ok && derive(secret, "seal 1 route", derived) && set_hmac_key(keys->route, derived);
	OPENSSL_cleanse(derived, sizeof derived);
	return ok;
}

static bool add_keys(struct sealer *sealer, const uint8_t secret[CHILD_SECRET_BYTES])
{
	struct keys *keys = &sealer->keys[sealer->count++];
	EVP_MAC_CTX *context = new_context("HMAC");
	bool ok;

	keys->route = new_context("HMAC");
	ok = context != NULL && keys->route != NULL && set_hmac_key(context, secret) && derive_all(keys, context);
	EVP_MAC_CTX_free(context);
	return ok;
}

struct sealer *sealer_new(const uint8_t secret[CHILD_SECRET_BYTES], const uint8_t *previous)
{
	struct sealer *sealer = calloc(1, sizeof *sealer);

	static_assert(CHILD_SECRET_BYTES == HMAC_BYTES, "a secret is a key of HMAC-SHA256");
	if (sealer == NULL)
		return NULL;
	sealer->siphash = new_context("SIPHASH");
	if (sealer->siphash == NULL || !add_keys(sealer, secret) || (previous != NULL && !add_keys(sealer, previous))) {
		sealer_free(sealer);
		return NULL;
	}
	return sealer;
}

void sealer_free(struct sealer *sealer)
{
	if (sealer == NULL)
		return;
	for (size_t i = 0; i < sealer->count; i++)
		EVP_MAC_CTX_free(sealer->keys[i].route);
	EVP_MAC_CTX_free(sealer->siphash);
	OPENSSL_cleanse(sealer, sizeof *sealer);
	free(sealer);
}

/* --- Keyed hashes --- */

/* A hash in the making. Its parts are many and short, so they are gathered. */
struct hash {
	EVP_MAC_CTX *context;
	uint8_t input[MAC_INPUT];
	size_t length;
	bool ok;
};

static void hash_begin(struct hash *hash, const struct sealer *sealer, const struct keys *keys, enum purpose purpose)
{
	hash->context = sealer->siphash;
	hash->length = 0;
	hash->ok = EVP_MAC_init(hash->context, keys->siphash[purpose], SIPHASH_KEY, NULL) == 1;
}

static void flush(struct hash *hash)
{
	hash->ok = hash->ok && EVP_MAC_update(hash->context, hash->input, hash->length) == 1;
	hash->length = 0;
}

static void add_bytes(struct hash *hash, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	while (length > 0) {
		size_t part = sizeof hash->input - hash->length < length ? sizeof hash->input - hash->length : length;

		memcpy(hash->input + hash->length, at, part);
		hash->length += part;
		if (hash->length == sizeof hash->input)
			flush(hash);
		at += part;
		length -= part;
	}
}

/* The same bytes on nodes of any kind. */
static uint8_t *put_number(uint8_t *out, uint32_t number, size_t bytes)
{
	while (bytes-- > 0)
		*out++ = (uint8_t)(number >> (8 * bytes));
	return out;
}

static const uint8_t *take_number(const uint8_t *in, uint32_t *number, size_t bytes)
{
	*number = 0;
	while (bytes-- > 0)
		*number = *number << 8 | *in++;
	return in;
}

static void add_number(struct hash *hash, uint32_t number)
{
	uint8_t bytes[4];

	put_number(bytes, number, sizeof bytes);
	add_bytes(hash, bytes, sizeof bytes);
}

/* Each part goes in with its length: no two inputs may run into the same bytes. */
static void add_text(struct hash *hash, struct span text)
{
	add_number(hash, (uint32_t)text.length);
	add_bytes(hash, text.at, text.length);
}

/* Host names are the same in any letter case (RFC 3261 section 19.1.4), and some that pass them on change it. */
static void add_host(struct hash *hash, struct span host)
{
	add_number(hash, (uint32_t)host.length);
	for (size_t i = 0; i < host.length; i++) {
		char c = host.at[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c | 0x20);
		add_bytes(hash, &c, 1);
	}
}

static bool hash_end(struct hash *hash, uint8_t out[SIPHASH_BYTES])
{
	flush(hash);
	return hash->ok && finish(hash->context, out, SIPHASH_BYTES);
}

/* --- Seals: fields, the first of them the key id, and the MAC over them and what they are bound to --- */

struct sealed {
	size_t fields, mac;
	bool (*compute)(const struct sealer *sealer, const struct keys *keys, const uint8_t *fields, const void *bound,
		uint8_t *out);
};

static void seal_write(const struct sealer *sealer, const struct sealed *kind, uint8_t *fields, const void *bound, char *out)
{
	uint8_t mac[HMAC_BYTES], bytes[SEALED_MAX];
	size_t length = 0;

	fields[0] = sealer->keys[0].id;
	if (kind->compute(sealer, &sealer->keys[0], fields, bound, mac)) {
		memcpy(bytes, fields, kind->fields);
		memcpy(bytes + kind->fields, mac, kind->mac);
		length = base64url_encode(out, bytes, kind->fields + kind->mac);
	}
	out[length] = '\0';
}

static bool seal_read(const struct sealer *sealer, const struct sealed *kind, struct span text, const void *bound,
	uint8_t bytes[SEALED_MAX])
{
	uint8_t mac[HMAC_BYTES];
	size_t length;

	if (text.length != BASE64URL_LENGTH(kind->fields + kind->mac) ||
		!base64url_decode(bytes, SEALED_MAX, &length, text) || length != kind->fields + kind->mac)
		return false;
	for (size_t i = 0; i < sealer->count; i++)
		if (sealer->keys[i].id == bytes[0] && kind->compute(sealer, &sealer->keys[i], bytes, bound, mac) &&
			CRYPTO_memcmp(mac, bytes + kind->fields, kind->mac) == 0)
			return true;
	return false;
}

/* --- The branch --- */

static bool has_cookie(struct span branch)
{
	return branch.length > strlen(COOKIE) && memcmp(branch.at, COOKIE, strlen(COOKIE)) == 0;
}

/* received and rport are left out: what the transport adds to a repeat need not be what it added before. The To tag is: an ACK
 * has one where its INVITE has none. */
static bool hash_transaction(const struct sealer *sealer, const struct keys *keys, const struct seal_request *request,
	uint8_t out[SIPHASH_BYTES])
{
	struct hash hash;

	hash_begin(&hash, sealer, keys, FOR_TRANSACTION);
	/* RFC 3261 section 17.2.3: a branch is unique at its sender. */
	add_text(&hash, request->via.branch);
	add_host(&hash, request->via.host);
	add_text(&hash, request->via.port);
	if (!has_cookie(request->via.branch)) {
		add_text(&hash, request->via.transport);
		add_text(&hash, request->request_uri);
		add_text(&hash, request->call_id);
		add_text(&hash, request->from_tag);
		add_number(&hash, request->cseq);
	}
	return hash_end(&hash, out);
}

static bool hash_loop(const struct sealer *sealer, const struct keys *keys, const struct seal_request *request,
	uint8_t out[SIPHASH_BYTES])
{
	struct hash hash;

	hash_begin(&hash, sealer, keys, FOR_LOOP);
	add_text(&hash, request->request_uri);
	add_text(&hash, request->call_id);
	add_text(&hash, request->from_tag);
	add_number(&hash, request->cseq);
	/* What its Routes lead through us again has the same Request-URI each time. */
	if (request->routes > 0) {
		add_text(&hash, request->next_route);
		add_number(&hash, request->routes);
	}
	return hash_end(&hash, out);
}

static char *put_hex(char *out, const uint8_t *bytes, size_t count)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < count; i++) {
		*out++ = hex[bytes[i] >> 4];
		*out++ = hex[bytes[i] & 15];
	}
	return out;
}

static void write_branch(const struct sealer *sealer, const struct keys *keys, const struct seal_request *request,
	char branch[SEAL_BRANCH_SIZE])
{
	uint8_t transaction[SIPHASH_BYTES], loop[SIPHASH_BYTES];
	char *out = branch;

	if (hash_transaction(sealer, keys, request, transaction) && hash_loop(sealer, keys, request, loop)) {
		memcpy(out, FORWARD_BRANCH, strlen(FORWARD_BRANCH));
		out = put_hex(out + strlen(FORWARD_BRANCH), transaction, BRANCH_HASH);
		out = put_hex(out, loop, BRANCH_HASH);
	}
	*out = '\0';
}

void seal_branch(const struct sealer *sealer, const struct seal_request *request, char branch[SEAL_BRANCH_SIZE])
{
	write_branch(sealer, &sealer->keys[0], request, branch);
}

bool seal_previous_branch(const struct sealer *sealer, const struct seal_request *request, char branch[SEAL_BRANCH_SIZE])
{
	if (sealer->count < 2)
		return false;
	write_branch(sealer, &sealer->keys[1], request, branch);
	return true;
}

void seal_loop(const struct sealer *sealer, const struct seal_request *request, char mark[SEAL_LOOP_SIZE])
{
	uint8_t loop[SIPHASH_BYTES];
	char *out = mark;

	static_assert(2 * BRANCH_HASH < SEAL_LOOP_SIZE, "size of a loop mark");
	if (hash_loop(sealer, &sealer->keys[0], request, loop))
		out = put_hex(out, loop, BRANCH_HASH);
	*out = '\0';
}

/* What seal_branch() or seal_loop() wrote, if this is a Via of ours. */
static bool find_loop_hash(const struct via *via, struct span *hex)
{
	const size_t hash = strlen(FORWARD_BRANCH) + 2 * BRANCH_HASH;

	*hex = via->seal;
	if (via->branch.length == hash + 2 * BRANCH_HASH &&
		memcmp(via->branch.at, FORWARD_BRANCH, strlen(FORWARD_BRANCH)) == 0)
		*hex = (struct span){ via->branch.at + hash, 2 * BRANCH_HASH };
	return hex->length == 2 * BRANCH_HASH;
}

bool seal_is_loop(const struct sealer *sealer, const struct seal_request *request, const struct via *via)
{
	uint8_t loop[SIPHASH_BYTES];
	char hex[2 * BRANCH_HASH];
	struct span found;

	if (!find_loop_hash(via, &found))
		return false;
	for (size_t i = 0; i < sealer->count; i++) {
		if (!hash_loop(sealer, &sealer->keys[i], request, loop))
			return false;
		put_hex(hex, loop, BRANCH_HASH);
		if (CRYPTO_memcmp(hex, found.at, sizeof hex) == 0)
			return true;
	}
	return false;
}

/* --- The parameter of our Via --- */

static bool compute_via(const struct sealer *sealer, const struct keys *keys, const uint8_t *fields, const void *context,
	uint8_t *out)
{
	const struct seal_via_bound *bound = context;
	struct hash hash;

	hash_begin(&hash, sealer, keys, FOR_VIA);
	add_bytes(&hash, fields, VIA_FIELDS);
	add_text(&hash, bound->branch);
	add_text(&hash, bound->next.transport);
	add_host(&hash, bound->next.host);
	add_text(&hash, bound->next.port);
	add_text(&hash, bound->next.branch);
	add_host(&hash, bound->next.received);
	add_text(&hash, bound->next.rport);
	add_text(&hash, bound->call_id);
	add_number(&hash, bound->cseq);
	return hash_end(&hash, out);
}

static const struct sealed via_seal = { VIA_FIELDS, VIA_MAC, compute_via };

void seal_via_write(const struct sealer *sealer, const struct seal_via *fields, const struct seal_via_bound *bound,
	char seal[SEAL_VIA_SIZE])
{
	uint8_t bytes[VIA_FIELDS], *out = bytes + 1;

	static_assert(1 + 2 + 2 + 2 + 1 + SEAL_VERDICTS_MAX == VIA_FIELDS, "layout of a Via seal");
	static_assert(BASE64URL_LENGTH(VIA_FIELDS + VIA_MAC) < SEAL_VIA_SIZE, "size of a Via seal");
	out = put_number(out, fields->listener, 2);
	out = put_number(out, fields->peer, 2);
	out = put_number(out, fields->customer, 2);
	*out++ = fields->flags;
	memcpy(out, fields->verdicts, SEAL_VERDICTS_MAX);
	seal_write(sealer, &via_seal, bytes, bound, seal);
}

bool seal_via_read(const struct sealer *sealer, struct span seal, const struct seal_via_bound *bound, struct seal_via *fields)
{
	uint8_t bytes[SEALED_MAX];
	const uint8_t *in = bytes + 1;
	uint32_t listener, peer, customer;

	if (!seal_read(sealer, &via_seal, seal, bound, bytes))
		return false;
	in = take_number(in, &listener, 2);
	in = take_number(in, &peer, 2);
	in = take_number(in, &customer, 2);
	*fields = (struct seal_via){ (uint16_t)listener, (uint16_t)peer, (uint16_t)customer, in[0], { 0 } };
	/* Another node may run another version, with verdicts that this one has not. */
	for (size_t i = 0; i < SEAL_VERDICTS_MAX; i++)
		fields->verdicts[i] = in[1 + i] < VERDICT_COUNT ? in[1 + i] : 0;
	return true;
}

/* --- The parameter of our Record-Route --- */

struct route_bound {
	struct span call_id, from_tag;
};

static bool add_to_hmac(EVP_MAC_CTX *context, struct span text)
{
	uint8_t length[4];

	put_number(length, (uint32_t)text.length, sizeof length);
	return EVP_MAC_update(context, length, sizeof length) == 1 &&
		(text.length == 0 || EVP_MAC_update(context, (const unsigned char *)text.at, text.length) == 1);
}

/* 80 bits of HMAC: this one stands for as long as a call, and is what lets a request pass. */
static bool compute_route(const struct sealer *sealer, const struct keys *keys, const uint8_t *fields, const void *context,
	uint8_t *out)
{
	const struct route_bound *bound = context;

	return EVP_MAC_init(keys->route, NULL, 0, NULL) == 1 && EVP_MAC_update(keys->route, fields, ROUTE_FIELDS) == 1 &&
		add_to_hmac(keys->route, bound->call_id) && add_to_hmac(keys->route, bound->from_tag) &&
		finish(keys->route, out, HMAC_BYTES);
}

static const struct sealed route_seal = { ROUTE_FIELDS, ROUTE_MAC, compute_route };

void seal_route_write(const struct sealer *sealer, const struct seal_route *fields, struct span call_id, struct span from_tag,
	char seal[SEAL_ROUTE_SIZE])
{
	const struct route_bound bound = { call_id, from_tag };
	uint8_t bytes[ROUTE_FIELDS], *out = bytes + 1;

	static_assert(1 + 4 + 2 + 2 + 1 == ROUTE_FIELDS, "layout of a Route seal");
	static_assert(BASE64URL_LENGTH(ROUTE_FIELDS + ROUTE_MAC) < SEAL_ROUTE_SIZE, "size of a Route seal");
	out = put_number(out, fields->time, 4);
	out = put_number(out, fields->peer, 2);
	out = put_number(out, fields->customer, 2);
	*out = fields->flags;
	seal_write(sealer, &route_seal, bytes, &bound, seal);
}

bool seal_route_read(const struct sealer *sealer, struct span seal, struct span call_id, struct span from_tag,
	struct seal_route *fields)
{
	const struct route_bound bound = { call_id, from_tag };
	uint8_t bytes[SEALED_MAX];
	const uint8_t *in = bytes + 1;
	uint32_t time, peer, customer;

	if (!seal_read(sealer, &route_seal, seal, &bound, bytes))
		return false;
	in = take_number(in, &time, 4);
	in = take_number(in, &peer, 2);
	in = take_number(in, &customer, 2);
	*fields = (struct seal_route){ time, (uint16_t)peer, (uint16_t)customer, in[0] };
	return true;
}

/* --- Call-IDs --- */

static bool hash_call(const struct sealer *sealer, struct span call_id, struct span from_tag, unsigned salt,
	uint8_t out[SIPHASH_BYTES])
{
	struct hash hash;

	hash_begin(&hash, sealer, &sealer->keys[0], FOR_CALL);
	add_text(&hash, call_id);
	add_text(&hash, from_tag);
	add_number(&hash, salt);
	return hash_end(&hash, out);
}

static bool compute_call_id(const struct sealer *sealer, const struct keys *keys, const uint8_t *fields, const void *context,
	uint8_t *out)
{
	const struct span *peer = context;
	struct hash hash;

	hash_begin(&hash, sealer, keys, FOR_CALL_ID);
	add_bytes(&hash, fields, CALL_ID_FIELDS);
	add_text(&hash, *peer);
	return hash_end(&hash, out);
}

static const struct sealed call_id_seal = { CALL_ID_FIELDS, CALL_ID_MAC, compute_call_id };

void seal_call_id(const struct sealer *sealer, struct span call_id, struct span from_tag, struct span peer, unsigned salt,
	char out[SEAL_CALL_ID_SIZE])
{
	const size_t prefix = strlen(CALL_ID_PREFIX);
	uint8_t bytes[CALL_ID_FIELDS];

	static_assert(1 + SIPHASH_BYTES == CALL_ID_FIELDS && CALL_ID_FIELDS + CALL_ID_MAC <= SEALED_MAX, "layout of a Call-ID");
	static_assert(sizeof CALL_ID_PREFIX + BASE64URL_LENGTH(CALL_ID_FIELDS + CALL_ID_MAC) <= SEAL_CALL_ID_SIZE,
		"size of a Call-ID");
	memcpy(out, CALL_ID_PREFIX, prefix + 1);
	if (hash_call(sealer, call_id, from_tag, salt, bytes + 1))
		seal_write(sealer, &call_id_seal, bytes, &peer, out + prefix);
}

bool seal_call_id_is_ours(const struct sealer *sealer, struct span call_id, struct span peer)
{
	const size_t prefix = strlen(CALL_ID_PREFIX);
	uint8_t bytes[SEALED_MAX];

	return call_id.length > prefix && memcmp(call_id.at, CALL_ID_PREFIX, prefix) == 0 &&
		seal_read(sealer, &call_id_seal, (struct span){ call_id.at + prefix, call_id.length - prefix }, &peer, bytes);
}

uint16_t seal_hash(struct span text)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < text.length; i++)
		hash = (hash ^ (unsigned char)text.at[i]) * 16777619u;
	return (uint16_t)(hash >> 16 ^ hash);
}
