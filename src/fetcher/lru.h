/* lru.h: a table from a key to a copy of some octets, bounded by entries and by octets: the entry used least
 * recently makes room. Keys may come from strangers. */
#ifndef STIRRUP_FETCHER_LRU_H
#define STIRRUP_FETCHER_LRU_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/span.h"

struct lru;

/* bytes_max is of all that the entries take. NULL when out of memory. */
struct lru *lru_new(size_t entries_max, size_t bytes_max);
void lru_free(struct lru *table); /* NULL is fine */

/* The value, borrowed until the table changes, and now the one used most recently. NULL: not there. */
void *lru_find(struct lru *table, struct span key);

/* In place of what there was. Returns the copy, borrowed likewise; NULL when out of memory: then there is
 * nothing. */
void *lru_put(struct lru *table, struct span key, const void *value, size_t size);

void lru_remove(struct lru *table, struct span key);
void lru_clear(struct lru *table);
size_t lru_count(const struct lru *table);

/* The entry used least recently; both borrowed. NULL: the table is empty. */
void *lru_oldest(const struct lru *table, struct span *key);

#endif
