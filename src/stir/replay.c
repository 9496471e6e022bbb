#include "stirrup/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#define MAGIC UINT64_C(0x31796c7065725453)
/* A token has one set of places; nothing is ever moved, so a look-up costs the same however full the table
 * is. */
#define PLACES_PER_SET 8
#define KEY_BYTES 32
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* Two words, each written by one atomic step. A token that was put here has no owner yet while the bits of
 * its hash in the second word are another's: its worker is between its two steps, or was killed there, and
 * whoever comes next may take the second one. */
struct place {
	_Atomic uint64_t
		holder; /* 32 bits of the token's hash, and its last fresh second; 0: the place is free */
	_Atomic uint64_t owner; /* 40 other bits of the token's hash, and 24 of the call's */
};

struct memory {
	uint64_t magic;
	uint8_t key[KEY_BYTES]; /* of the hashes: nobody outside can choose what falls together */
	_Alignas(64) struct place places[];
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && sizeof(struct place) == 16, "64-bit words without locks");

struct replay_table {
	struct memory *memory;
	size_t bytes;
	size_t set_count;
	EVP_MD *sha256;
	EVP_MD_CTX *digest;
};

/* --- The memory --- */

static size_t bytes_for(size_t set_count)
{
	return sizeof(struct memory) + set_count * PLACES_PER_SET * sizeof(struct place);
}

static bool fill_in(int memory, size_t bytes)
{
	struct memory *head = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	bool filled =
		head != MAP_FAILED && getrandom(head->key, sizeof head->key, 0) == (ssize_t)sizeof head->key;

	if (filled)
		head->magic = MAGIC;
	if (head != MAP_FAILED)
		munmap(head, bytes);
	return filled;
}

int replay_table_create(size_t capacity)
{
	size_t set_count = capacity / PLACES_PER_SET + 1;
	int memory;

	if (set_count > (SIZE_MAX / 2 - sizeof(struct memory)) / (PLACES_PER_SET * sizeof(struct place))) {
		errno = ENOMEM;
		return -1;
	}
	memory = memfd_create("stirrup-replay", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memory >= 0 && ftruncate(memory, (off_t)bytes_for(set_count)) == 0 &&
		fill_in(memory, bytes_for(set_count)) && fcntl(memory, F_ADD_SEALS, SEALS) == 0)
		return memory;
	if (memory >= 0)
		close(memory);
	return -1;
}

/* Its size cannot change under us: reading would otherwise end in SIGBUS. */
static bool measure(int memory, size_t *bytes)
{
	struct stat status;
	int seals = fcntl(memory, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(memory, &status) != 0)
		return false;
	*bytes = (size_t)status.st_size;
	return *bytes >= bytes_for(1) &&
	       (*bytes - sizeof(struct memory)) % (PLACES_PER_SET * sizeof(struct place)) == 0;
}

static bool map(struct replay_table *table, int memory)
{
	errno = EINVAL;
	if (!measure(memory, &table->bytes))
		return false;
	table->memory = mmap(NULL, table->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (table->memory == MAP_FAILED) {
		table->memory = NULL;
		return false;
	}
	table->set_count = (table->bytes - sizeof(struct memory)) / (PLACES_PER_SET * sizeof(struct place));
	errno = EINVAL;
	return table->memory->magic == MAGIC;
}

/* Once: SHA256() of OpenSSL looks the algorithm up for each digest, which costs more than the digest. */
static bool prepare_hash(struct replay_table *table)
{
	table->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	table->digest = EVP_MD_CTX_new();
	if (table->sha256 != NULL && table->digest != NULL)
		return true;
	ERR_clear_error();
	errno = ENOMEM;
	return false;
}

struct replay_table *replay_table_open(int memory)
{
	struct replay_table *table = calloc(1, sizeof *table);
	int error;

	if (table == NULL || (map(table, memory) && prepare_hash(table)))
		return table;
	error = errno;
	replay_table_close(table);
	errno = error;
	return NULL;
}

void replay_table_close(struct replay_table *table)
{
	if (table == NULL)
		return;
	EVP_MD_CTX_free(table->digest);
	EVP_MD_free(table->sha256);
	if (table->memory != NULL)
		munmap(table->memory, table->bytes);
	free(table);
}

/* --- What is remembered --- */

#define CALL_BITS 24

/* A token and the call that brings it, as the words have them. */
struct question {
	struct place *set;
	uint64_t holder;
	uint64_t owner;
};

/* Nobody ever sees a digest, so that none can be lengthened: the key in front is enough. */
static bool hash(struct replay_table *table, uint64_t words[4], struct span text)
{
	unsigned char digest[ES256_DIGEST_BYTES];
	bool good = EVP_DigestInit_ex2(table->digest, table->sha256, NULL) == 1 &&
		    EVP_DigestUpdate(table->digest, table->memory->key, KEY_BYTES) == 1 &&
		    EVP_DigestUpdate(table->digest, text.at, text.length) == 1 &&
		    EVP_DigestFinal_ex(table->digest, digest, NULL) == 1;

	if (good)
		memcpy(words, digest, sizeof digest);
	else
		ERR_clear_error();
	return good;
}

static bool ask(struct question *question, struct replay_table *table,
	const unsigned char digest[ES256_DIGEST_BYTES], int64_t fresh_until, struct span call)
{
	struct span token_digest = { (const char *)digest, ES256_DIGEST_BYTES };
	uint64_t token[4], of_call[4];

	if (!hash(table, token, token_digest) || !hash(table, of_call, call))
		return false;
	*question = (struct question){
		.set = &table->memory->places[token[0] % table->set_count * PLACES_PER_SET],
		/* Neither a free place nor a void one looks like it. */
		.holder = (token[1] << 32 | UINT64_C(1) << 32) | (uint32_t)fresh_until,
		.owner = token[2] << CALL_BITS | of_call[0] >> (64 - CALL_BITS) | 1,
	};
	return true;
}

static bool holds(struct place *place, const struct question *question)
{
	return atomic_load(&place->holder) >> 32 == question->holder >> 32;
}

static bool is_owned(uint64_t owner, const struct question *question)
{
	return owner >> CALL_BITS == question->owner >> CALL_BITS && owner != owner >> CALL_BITS << CALL_BITS;
}

/* The owner of a place for the token that another one made superfluous: no call can come to own it. */
static uint64_t nobody(const struct question *question)
{
	return question->owner >> CALL_BITS << CALL_BITS;
}

/* Seconds that a token in the place is still fresh; less than any for a free place. */
static int64_t freshness(uint64_t holder, int64_t now)
{
	return holder == 0 ? INT64_MIN : (int32_t)((uint32_t)holder - (uint32_t)now);
}

/* Puts the token into the place that has the least to lose, unless another worker is faster there. */
static void put(const struct question *question, int64_t now)
{
	struct place *place = question->set;
	uint64_t before = atomic_load(&place->holder);

	for (struct place *at = question->set + 1; at < question->set + PLACES_PER_SET; at++) {
		uint64_t holder = atomic_load(&at->holder);

		if (freshness(holder, now) < freshness(before, now)) {
			place = at;
			before = holder;
		}
	}
	atomic_compare_exchange_strong(&place->holder, &before, question->holder);
}

/* The first place that the token was put into and that has no owner yet. */
struct candidate {
	struct place *place; /* NULL: none */
	uint64_t owner;      /* as it was */
};

/* Whether the token is owned, and by whom. Where it is not, further candidates are made void: two workers may
 * each have put it into a place, but all agree on the first, and none can take another one behind our back:
 * who puts it into one after we looked there finds the first when it looks. */
static bool find_owner(const struct question *question, struct candidate *candidate, uint64_t *owner)
{
	candidate->place = NULL;
	for (struct place *at = question->set; at < question->set + PLACES_PER_SET; at++) {
		if (!holds(at, question))
			continue;
		*owner = atomic_load(&at->owner);
		if (is_owned(*owner, question))
			return true;
		if (*owner == nobody(question))
			continue;
		if (candidate->place == NULL)
			*candidate = (struct candidate){ at, *owner };
		else if (!atomic_compare_exchange_strong(&at->owner, owner, nobody(question)) &&
			 is_owned(*owner, question))
			return true;
	}
	return false;
}

/* A round that decides nothing was lost to another worker, which got further by it: more than a few are not
 * lost unless somebody scribbles on the memory. */
#define ROUNDS 64

enum replay_answer replay_check(struct replay_table *table, const unsigned char digest[ES256_DIGEST_BYTES],
	int64_t fresh_until, struct span call, int64_t now)
{
	struct question question;
	struct candidate candidate;
	uint64_t owner;

	if (!ask(&question, table, digest, fresh_until, call))
		return REPLAY_FIRST;
	for (int round = 0; round < ROUNDS; round++) {
		if (find_owner(&question, &candidate, &owner))
			return owner == question.owner ? REPLAY_FIRST : REPLAY_SEEN_FOR_OTHER_CALL;
		if (candidate.place == NULL)
			put(&question, now);
		else if (atomic_compare_exchange_strong(
				 &candidate.place->owner, &candidate.owner, question.owner))
			return REPLAY_FIRST;
	}
	return REPLAY_FIRST;
}
