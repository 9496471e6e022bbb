/* number_table.h: whose number is it, and at which level is it signed. Read-only once built. */
#ifndef STIRRUP_NUMBER_TABLE_H
#define STIRRUP_NUMBER_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/tn.h"

/* What to do for a number: attest A (full), B (partial) or C (gateway), leave unsigned, or reject the call. */
enum level { LEVEL_A, LEVEL_B, LEVEL_C, LEVEL_UNSIGNED, LEVEL_REJECT, LEVEL_UNSET };

/* "A", "B", "C", "unsigned", "reject", "". Static. */
const char *level_word(enum level level);
bool level_from_word(enum level *level, const char *word);

struct number_entry {
	struct tn first;     /* the number, the first of a range, or a prefix */
	struct tn last;      /* empty unless a range: same length as first, not before it */
	bool prefix;
	int customer;
	enum level level;    /* LEVEL_UNSET: the customer's own_numbers */
	int tag;             /* the caller's own, for number_table_conflict */
};

struct number_table;

/* A conflict: the same number, the same prefix, or overlapping ranges, in two customers or at two levels. tag is of the
 * entry that comes later among the entries. */
struct number_conflict {
	int tag, other_tag;
};

/* Copies the entries. Reports conflicts through on_conflict (may be NULL), each number, range or prefix once however
 * many others it meets, and is complete all the same (for a check that shows all errors at once). NULL when out of
 * memory. */
struct number_table *number_table_new(const struct number_entry *entries, size_t count,
	void (*on_conflict)(const struct number_conflict *, void *context), void *context);
void number_table_free(struct number_table *table); /* NULL is fine */

/* The entry that matches most narrowly: a single number before a range, the narrower range before the wider, a range
 * before a prefix, a longer prefix before a shorter one. NULL: none, or table is NULL. Borrowed. */
const struct number_entry *number_table_find(const struct number_table *table, const struct tn *tn);

#endif
