/* hop_table.h: the places that hops stand for, found by their addresses. */
#ifndef STIRRUP_SIP_HOP_TABLE_H
#define STIRRUP_SIP_HOP_TABLE_H

#include "hop_health.h"
#include "stirrup/hops.h"

#define HOP_BRANCH_SIZE 33 /* characters and NUL */

struct hop_place {
	struct hop hop;
	struct hop_health health;
	char branch[HOP_BRANCH_SIZE]; /* of the last probe */
	int64_t tcp_again_us; /* not before that */
	bool wanted;
	struct hop_place *next;
};

#define HOP_TABLE_BUCKETS 256

/* A zeroed one is ready for use. */
struct hop_table {
	struct hop_place *buckets[HOP_TABLE_BUCKETS]; /* by address alone */
};

struct hop_place *hop_table_find(
	const struct hop_table *table, const struct sockaddr_storage *address, enum transport transport);

/* Whether there is any place with that address, IPv4-mapped counting as IPv4. */
bool hop_table_has_host(const struct hop_table *table, const struct sockaddr *address);

/* The place that is there, or a new one; NULL when out of memory. */
struct hop_place *hop_table_add(
	struct hop_table *table, const struct sockaddr_storage *address, enum transport transport);

/* Removes what is not wanted, and takes the mark off the others. */
void hop_table_sweep(struct hop_table *table);
void hop_table_clear(struct hop_table *table);

/* Of one family, whatever the ports; IPv4-mapped counting as IPv4. */
bool hop_is_same_host(const struct sockaddr *one, const struct sockaddr *other);

#endif
