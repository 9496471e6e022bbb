/* facts_table.h: what a worker knows of certificates, by exact x5u: bounded, the least recently used goes first. */
#ifndef STIRRUP_FACTS_TABLE_H
#define STIRRUP_FACTS_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "stirrup/certificate_facts.h"
#include "stirrup/es256.h"
#include "stirrup/span.h"

struct known_certificate {
	const struct certificate_facts *facts; /* all borrowed until the next put or forget */
	struct es256_key *key;                 /* NULL unless facts->verdict is VERDICT_PASSED */
};

struct facts_table;
struct facts_table *facts_table_new(size_t capacity); /* NULL when out of memory */
void facts_table_free(struct facts_table *table);     /* NULL is fine */

/* Copies the facts, makes the key ready, and replaces what it had for this x5u. False when the key cannot be used or memory
 * is out: then nothing is known of the x5u. */
bool facts_table_put(struct facts_table *table, const struct certificate_facts *facts);

/* False: unknown, or not to be used any more at now (wall clock, seconds). */
bool facts_table_find(struct facts_table *table, struct span x5u, int64_t now, struct known_certificate *known);

void facts_table_forget(struct facts_table *table, struct span x5u);

/* Forgets the facts of every trust_epoch before this one. */
void facts_table_forget_before(struct facts_table *table, uint32_t trust_epoch);

#endif
