/* knowledge.h: what the fetcher knows of the certificate at each x5u: facts of chains that were judged and
 * are trusted, in memory and behind that on disk; and, apart from them, the failures of the last seconds. */
#ifndef STIRRUP_FETCHER_KNOWLEDGE_H
#define STIRRUP_FETCHER_KNOWLEDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "stirrup/certificate_facts.h"
#include "stirrup/config.h"
#include "stirrup/http_fetch.h"
#include "stirrup/trust_files.h"

/* For how long a failure is known: the first when the host could not deliver, the second when what it
 * delivered is not trusted. */
#define UNREACHABLE_S 10
#define UNTRUSTED_S 60

struct knowledge;

struct knowledge *knowledge_new(void);            /* NULL when out of memory */
void knowledge_free(struct knowledge *knowledge); /* NULL is fine */

/* Before all else, and at every reload. Takes files over, which must have been loaded for config; config must
 * outlive the next call. True: there is another trust now, and facts of an older knowledge_epoch() are void.
 */
bool knowledge_use(
	struct knowledge *knowledge, const struct config *config, struct trust_files *files, int64_t now);
const struct trust_files *knowledge_trust_files(
	const struct knowledge *knowledge); /* NULL before the first use */

/* From time to time: reads trust files that changed, and sees to lists whose time is over. True as above. */
bool knowledge_look_again(struct knowledge *knowledge, int64_t now);
uint32_t knowledge_epoch(const struct knowledge *knowledge);

/* All of these fill *facts; now is the wall clock in seconds. A chain that is only on disk is judged first.
 */
bool knowledge_find(
	struct knowledge *knowledge, const char *x5u, int64_t now, struct certificate_facts *facts);
bool knowledge_find_failure(
	struct knowledge *knowledge, const char *x5u, int64_t now, struct certificate_facts *facts);

/* Judges what a fetch brought. True: it is trusted, and takes the place of what there was. False: facts say
 * why, and nothing else has changed. */
bool knowledge_learn(struct knowledge *knowledge, const char *x5u, const struct http_answer *answer,
	int64_t now, struct certificate_facts *facts);

/* Remembers such facts for a few seconds, and says in them for how long. */
void knowledge_note_failure(struct knowledge *knowledge, int64_t now, struct certificate_facts *facts);

/* Facts that serve are not to be refreshed before this. */
void knowledge_postpone_refresh(struct knowledge *knowledge, int64_t until, struct certificate_facts *facts);

/* Facts that say only that there are none, and why. keep_until is the past. */
void knowledge_say(
	struct certificate_facts *facts, const char *x5u, enum verdict verdict, const char *detail);

#endif
