#include "stirrup/replay.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

/* A token has one set of places; nothing is ever moved, so a look-up costs the same however full the table
 * is. */
#define PLACES_PER_SET 8

struct seen {
	uint64_t token[2]; /* of the SHA-256 of the signing input */
	uint64_t call;     /* of the SHA-256 of the Call-ID */
	int64_t expires;   /* the last second in which the token is fresh */
	bool used;
};

struct replay_table {
	int64_t window_s;
	size_t set_count;
	struct seen places[];
};

struct replay_table *replay_table_new(size_t capacity, int64_t window_s)
{
	size_t set_count = capacity / PLACES_PER_SET + 1;
	struct replay_table *table;

	if (set_count > (SIZE_MAX - sizeof *table) / (PLACES_PER_SET * sizeof table->places[0]))
		return NULL;
	table = calloc(1, sizeof *table + set_count * PLACES_PER_SET * sizeof table->places[0]);
	if (table == NULL)
		return NULL;
	table->window_s = window_s;
	table->set_count = set_count;
	return table;
}

void replay_table_free(struct replay_table *table)
{
	free(table);
}

static void hash(uint64_t words[4], struct span text)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)text.at, text.length, digest);
	memcpy(words, digest, sizeof digest);
}

/* Whether a is the better place to write to: a free one, else the one that is stale first. */
static bool gives_way_before(const struct seen *a, const struct seen *b)
{
	if (a->used != b->used)
		return !a->used;
	return a->expires < b->expires;
}

enum replay_answer replay_check(
	struct replay_table *table, const struct passport *passport, struct span call, int64_t now)
{
	uint64_t token[4], of_call[4];
	struct seen *set, *place;

	hash(token, passport_signed_bytes(passport));
	hash(of_call, call);
	set = &table->places[token[2] % table->set_count * PLACES_PER_SET];
	place = set;
	for (struct seen *at = set; at < set + PLACES_PER_SET; at++) {
		if (at->used && at->expires < now)
			at->used = false;
		if (at->used && at->token[0] == token[0] && at->token[1] == token[1])
			return at->call == of_call[0] ? REPLAY_FIRST : REPLAY_SEEN_FOR_OTHER_CALL;
		if (gives_way_before(at, place))
			place = at;
	}
	*place = (struct seen){
		.token = { token[0], token[1] },
		.call = of_call[0],
		.expires = passport_iat(passport) + table->window_s,
		.used = true,
	};
	return REPLAY_FIRST;
}
