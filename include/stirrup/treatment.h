/* treatment.h: what a verified call gets: the rules of a peer over what came out. Pure. */
#ifndef STIRRUP_TREATMENT_H
#define STIRRUP_TREATMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/next_hop.h"
#include "stirrup/verdict.h"

/* For a call with a refused token and no good one, where no rule of the treatment decides. */
enum on_failure { ON_FAILURE_CONTINUE, ON_FAILURE_REJECT };

/* One rule of a peer's treatment; the first whose conditions all hold decides. Conditions that are not set
 * always hold. */
struct treatment {
	int result;       /* enum verify_result, or -1 */
	int reason;       /* enum verdict, or -1 */
	char attestation; /* 'A', 'B', 'C', or 0 */
	char *spc;        /* NULL */
	char *x5u_host;   /* NULL; "*.example.net" matches what ends so */
	bool reject;      /* action = "reject", else "continue" */
	unsigned status;  /* of a rejection; 0: RFC 8224's own for the reason */
	char *phrase;     /* NULL: the status's own */
	char *header;     /* "Name: value" to be added to the answer; NULL */
	char *next_hop;   /* another Contact; NULL */
	struct next_hop *hop; /* the same place, for a call that is sent on; NULL; owned */
	unsigned line;    /* where it stands: the record's rule names it */
};

/* What came out of the verification of a call, and of the identity that decided. */
struct treatment_question {
	enum verify_result result;
	enum verdict reason;
	char attestation;     /* 0: none */
	const char *spc;      /* NULL or empty: unknown */
	const char *x5u_host; /* NULL or empty: unknown */
};

/* The rule that decides; NULL: none does. A condition on what is unknown does not hold. */
const struct treatment *treatment_find(
	const struct treatment *rules, size_t count, const struct treatment_question *question);

#endif
