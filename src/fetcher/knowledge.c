#include "knowledge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lru.h"
#include "stirrup/certificate_store.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"
#include "trust_fingerprint.h"

#define KNOWN_BYTES ((size_t)16 << 20)
#define FAILURES_MAX 4096
#define FLOOR_S 86400     /* ATIS-1000074 section 5.3.1: at least a day, whatever HTTP says */
#define CLOCK_STEP_S 3600 /* an entry from further in the future was stored under a wrong clock */
#define STORE_RETRY_S 60

struct failure {
	enum verdict verdict;
	char detail[sizeof((struct certificate_facts *)0)->detail];
	int64_t until_us; /* monotonic */
};

/* In the store, so that a restart under the same trust keeps the epoch, and workers keep their facts. */
struct epoch_note {
	unsigned char fingerprint[TRUST_FINGERPRINT_BYTES];
	uint32_t epoch;
};

struct knowledge {
	const struct config *config;
	struct trust_files *files;
	struct certificate_store *store; /* NULL: none is configured, or it cannot be used */
	int64_t store_retry;
	char *store_path;
	unsigned store_entries;
	size_t store_bytes;
	struct epoch_note epoch; /* epoch 0: not settled yet */
	uint32_t current_crls;
	struct lru *known;    /* x5u -> facts, cut behind their constraints */
	struct lru *failures; /* x5u -> struct failure */
	struct log_limiter unwritten_limiter;
};

struct knowledge *knowledge_new(void)
{
	struct knowledge *knowledge = calloc(1, sizeof *knowledge);

	if (knowledge == NULL)
		return NULL;
	knowledge->known = lru_new(SIZE_MAX, KNOWN_BYTES);
	knowledge->failures = lru_new(FAILURES_MAX, SIZE_MAX);
	if (knowledge->known == NULL || knowledge->failures == NULL) {
		knowledge_free(knowledge);
		return NULL;
	}
	return knowledge;
}

void knowledge_free(struct knowledge *knowledge)
{
	if (knowledge == NULL)
		return;
	certificate_store_close(knowledge->store);
	free(knowledge->store_path);
	trust_files_free(knowledge->files);
	lru_free(knowledge->known);
	lru_free(knowledge->failures);
	free(knowledge);
}

/* --- The store --- */

static void close_store(struct knowledge *knowledge)
{
	certificate_store_close(knowledge->store);
	free(knowledge->store_path);
	knowledge->store = NULL;
	knowledge->store_path = NULL;
}

/* Without it, only restarts cost more. */
static void open_store(struct knowledge *knowledge, int64_t now)
{
	const struct verification_config *config = &knowledge->config->verification;
	char why[512];

	knowledge->store_retry = now + STORE_RETRY_S;
	knowledge->store_path = strdup(config->cache);
	knowledge->store_entries = config->cache_entries;
	knowledge->store_bytes = config->cache_bytes;
	if (knowledge->store_path != NULL)
		knowledge->store = certificate_store_open(
			config->cache, config->cache_entries, config->cache_bytes, why, sizeof why);
	if (knowledge->store != NULL) {
		log_notice("%zu certificates are in the store %s", certificate_store_count(knowledge->store),
			config->cache);
		return;
	}
	log_error("the certificate store cannot be used, nothing that is fetched outlives this process: %s",
		knowledge->store_path == NULL ? "out of memory" : why);
	close_store(knowledge);
}

static void use_store(struct knowledge *knowledge, int64_t now)
{
	const struct verification_config *config = &knowledge->config->verification;

	if (knowledge->store != NULL &&
		(config->cache == NULL || strcmp(config->cache, knowledge->store_path) != 0 ||
			config->cache_entries != knowledge->store_entries ||
			config->cache_bytes != knowledge->store_bytes))
		close_store(knowledge);
	if (knowledge->store == NULL && config->cache != NULL)
		open_store(knowledge, now);
}

static void store_chain(struct knowledge *knowledge, const struct http_answer *answer, int64_t now,
	const struct certificate_facts *facts)
{
	struct stored_chain chain = { answer->body, now, facts->keep_until, facts->refresh_after };
	unsigned long more;

	if (knowledge->store == NULL)
		return;
	/* RFC 9111 section 5.2.2.5: memory yes, disk no. */
	if (answer->no_store)
		certificate_store_remove(knowledge->store, facts->x5u);
	else if (!certificate_store_put(knowledge->store, facts->x5u, &chain) &&
		 log_allowed(&knowledge->unwritten_limiter, &more))
		log_error(
			"the certificate store does not take an entry (nor %lu before it): is the disk full?",
			more);
}

/* --- The epoch --- */

static void read_note(struct knowledge *knowledge, struct epoch_note *note)
{
	unsigned char octets[STORE_NOTE_MAX];

	memset(note, 0, sizeof *note);
	if (knowledge->store != NULL && certificate_store_note(knowledge->store, octets) == sizeof *note)
		memcpy(note, octets, sizeof *note);
}

static void write_note(struct knowledge *knowledge)
{
	struct epoch_note note;

	if (knowledge->store == NULL)
		return;
	read_note(knowledge, &note);
	if (memcmp(&note, &knowledge->epoch, sizeof note) != 0 &&
		!certificate_store_set_note(knowledge->store, &knowledge->epoch, sizeof knowledge->epoch))
		log_warning(
			"the certificate store does not take the trust epoch: a restart will judge all anew");
}

/* Numbers that only grow, also over restarts without a store, as long as the clock is not set back: the time
 * of the change. */
static void begin_epoch(struct knowledge *knowledge, uint32_t before, int64_t now)
{
	uint32_t next = before + 1;

	knowledge->epoch.epoch = now > (int64_t)next && now <= UINT32_MAX ? (uint32_t)now : next;
	lru_clear(knowledge->failures);
}

static bool settle_epoch(struct knowledge *knowledge, bool changed, int64_t now)
{
	unsigned char fingerprint[TRUST_FINGERPRINT_BYTES];
	struct epoch_note known = knowledge->epoch, stored;

	read_note(knowledge, &stored);
	if (known.epoch == 0)
		known = stored;
	if (!trust_fingerprint(knowledge->config, fingerprint))
		changed = true;
	changed = changed || known.epoch == 0 ||
		  memcmp(known.fingerprint, fingerprint, sizeof fingerprint) != 0;
	knowledge->epoch.epoch = known.epoch;
	memcpy(knowledge->epoch.fingerprint, fingerprint, sizeof fingerprint);
	if (changed)
		begin_epoch(knowledge, known.epoch > stored.epoch ? known.epoch : stored.epoch, now);
	write_note(knowledge);
	return changed;
}

static uint32_t current_crls(const struct knowledge *knowledge, int64_t now)
{
	return trust_current_crls(
		trust_files_trust(knowledge->files), now, knowledge->config->verification.crl_grace_s);
}

bool knowledge_use(
	struct knowledge *knowledge, const struct config *config, struct trust_files *files, int64_t now)
{
	trust_files_free(knowledge->files);
	knowledge->files = files;
	knowledge->config = config;
	use_store(knowledge, now);
	knowledge->current_crls = current_crls(knowledge, now);
	return settle_epoch(knowledge, false, now);
}

const struct trust_files *knowledge_trust_files(const struct knowledge *knowledge)
{
	return knowledge->files;
}

bool knowledge_look_again(struct knowledge *knowledge, int64_t now)
{
	uint32_t current;
	bool changed;

	if (knowledge->store == NULL && now >= knowledge->store_retry) {
		use_store(knowledge, now);
		write_note(knowledge);
	}
	changed = trust_files_refresh(knowledge->files, now);
	/* What a list said counts no more when its time is over, or it is about to. */
	current = current_crls(knowledge, now);
	changed = changed || current != knowledge->current_crls;
	knowledge->current_crls = current;
	return changed && settle_epoch(knowledge, true, now);
}

uint32_t knowledge_epoch(const struct knowledge *knowledge)
{
	return knowledge->epoch.epoch;
}

/* --- Facts --- */

static void judge(const struct knowledge *knowledge, const char *x5u, struct span chain, int64_t now,
	struct certificate_facts *facts)
{
	const struct verification_config *config = &knowledge->config->verification;
	struct trust_options options = { .strict_profile = config->strict_profile,
		.crl_grace_s = config->crl_grace_s };

	memset(facts, 0, sizeof *facts);
	trust_judge(trust_files_trust(knowledge->files), chain, &options, now, facts);
	snprintf(facts->x5u, sizeof facts->x5u, "%s", x5u);
	facts->trust_epoch = knowledge->epoch.epoch;
}

static size_t size_of(const struct certificate_facts *facts)
{
	return offsetof(struct certificate_facts, constraints) + facts->constraints_length;
}

static void remember(struct knowledge *knowledge, const struct certificate_facts *facts)
{
	lru_put(knowledge->known, span_of(facts->x5u), facts, size_of(facts));
	lru_remove(knowledge->failures, span_of(facts->x5u));
}

static bool find_stored(
	struct knowledge *knowledge, const char *x5u, int64_t now, struct certificate_facts *facts)
{
	struct stored_chain chain;

	if (knowledge->store == NULL || !certificate_store_get(knowledge->store, x5u, &chain) ||
		chain.keep_until < now || chain.fetched > now + CLOCK_STEP_S)
		return false;
	judge(knowledge, x5u, chain.pem, now, facts);
	if (facts->verdict != VERDICT_PASSED)
		return false;
	facts->keep_until = chain.keep_until < facts->not_after ? chain.keep_until : facts->not_after;
	facts->refresh_after = chain.refresh_after;
	remember(knowledge, facts);
	return true;
}

bool knowledge_find(
	struct knowledge *knowledge, const char *x5u, int64_t now, struct certificate_facts *facts)
{
	const struct certificate_facts *known = lru_find(knowledge->known, span_of(x5u));

	if (known == NULL || known->trust_epoch != knowledge->epoch.epoch || known->keep_until < now)
		return find_stored(knowledge, x5u, now, facts);
	memcpy(facts, known, size_of(known));
	return true;
}

bool knowledge_find_failure(
	struct knowledge *knowledge, const char *x5u, int64_t now, struct certificate_facts *facts)
{
	const struct failure *failure = lru_find(knowledge->failures, span_of(x5u));
	int64_t left_us = failure == NULL ? 0 : failure->until_us - monotonic_us();

	if (left_us <= 0)
		return false;
	knowledge_say(facts, x5u, failure->verdict, failure->detail);
	facts->trust_epoch = knowledge->epoch.epoch;
	facts->keep_until = now + left_us / 1000000;
	return true;
}

/* Spread over a tenth of the time, by URL: what was fetched at once is not refreshed at once. */
static void set_times(struct certificate_facts *facts, int64_t fresh_until, int64_t now)
{
	uint32_t hash = 2166136261u;

	for (const char *p = facts->x5u; *p != '\0'; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619u;
	facts->keep_until = fresh_until > now + FLOOR_S ? fresh_until : now + FLOOR_S;
	if (facts->keep_until > facts->not_after)
		facts->keep_until = facts->not_after;
	facts->refresh_after = now + (facts->keep_until - now) * (700 + hash % 100) / 1000;
}

bool knowledge_learn(struct knowledge *knowledge, const char *x5u, const struct http_answer *answer,
	int64_t now, struct certificate_facts *facts)
{
	if (!answer->good) {
		knowledge_say(facts, x5u, VERDICT_CERTIFICATE_UNREACHABLE, answer->detail);
		return false;
	}
	judge(knowledge, x5u, answer->body, now, facts);
	if (facts->verdict != VERDICT_PASSED)
		return false;
	set_times(facts, answer->fresh_until, now);
	remember(knowledge, facts);
	store_chain(knowledge, answer, now, facts);
	return true;
}

void knowledge_note_failure(struct knowledge *knowledge, int64_t now, struct certificate_facts *facts)
{
	int64_t seconds = facts->verdict == VERDICT_CERTIFICATE_UNREACHABLE ? UNREACHABLE_S : UNTRUSTED_S;
	struct failure failure = { .verdict = facts->verdict,
		.until_us = monotonic_us() + seconds * 1000000 };

	memcpy(failure.detail, facts->detail, sizeof failure.detail);
	lru_put(knowledge->failures, span_of(facts->x5u), &failure, sizeof failure);
	facts->trust_epoch = knowledge->epoch.epoch;
	facts->keep_until = now + seconds;
}

void knowledge_postpone_refresh(struct knowledge *knowledge, int64_t until, struct certificate_facts *facts)
{
	facts->refresh_after = until;
	lru_put(knowledge->known, span_of(facts->x5u), facts, size_of(facts));
}

void knowledge_say(struct certificate_facts *facts, const char *x5u, enum verdict verdict, const char *detail)
{
	memset(facts, 0, sizeof *facts);
	facts->verdict = verdict;
	snprintf(facts->x5u, sizeof facts->x5u, "%s", x5u);
	snprintf(facts->detail, sizeof facts->detail, "%s", detail);
}
