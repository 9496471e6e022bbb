/* attestation.h: what we may vouch for, from the configured tables alone (ATIS-1000074 section 5.2.4). */
#ifndef STIRRUP_ATTESTATION_H
#define STIRRUP_ATTESTATION_H

#include <stdbool.h>
#include <stdint.h>

#include "stirrup/number_table.h"
#include "stirrup/tn.h"
#include "stirrup/verdict.h"

/* A customer whose calls we sign, as configured. */
struct customer {
	char *name;
	int credential;             /* index into the configuration's credentials */
	enum level own_numbers;     /* for numbers of his in the table that have no level of their own */
	enum level other_numbers;   /* for all other numbers; never LEVEL_A */
	char *origid;               /* fixed origid (RFC 8588 section 5), or NULL: one for each call */
	uint16_t hash;              /* name_hash() of the name */
};

/* What a peer's configuration says of its callers. */
struct attestation_policy {
	int customer;               /* all its calls are this customer's; -1: none */
	bool customer_by_number;    /* the number's owner in the table is the customer */
	bool authenticates_callers; /* false caps customer_by_number at B (RFC 8224 section 6.1, step 2) */
	enum level unknown_customer;/* never LEVEL_A */
	int credential;             /* signs for unknown customers; -1: none */
};

struct attestation_decision {
	enum level level;
	int customer;               /* -1: unknown */
	int credential;             /* -1: none, then VERDICT_NOT_ENABLED at level A, B or C */
	enum verdict verdict;       /* VERDICT_SIGNED: to be signed with level; VERDICT_POLICY; VERDICT_NOT_ENABLED */
	char rule[160];             /* which rule decided, in words; cut between characters when names are long */
};

/* Pure: the worker decides with it, and the signer decides again with it before it uses a key. */
void attestation_decide(struct attestation_decision *decision, const struct attestation_policy *policy,
	const struct customer *customers, const struct number_table *numbers, const struct tn *orig);

#endif
