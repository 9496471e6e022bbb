/* call_numbers.h: who calls whom, as the request says it: the two numbers that are signed, and that a
 * received token is compared with. Pure. */
#ifndef STIRRUP_CALL_NUMBERS_H
#define STIRRUP_CALL_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/span.h"
#include "stirrup/tn.h"

#define CALL_PAI_MAX 8
#define CALL_IDENTITY_MAX 11 /* one more than are judged, so that it shows when there are too many */
#define DEST_URI_SIZE 64

/* What the request says, as received. All spans are borrowed; the values are without the header's name. */
struct call_facts {
	struct span request_uri;
	struct span from;
	struct span to;
	struct span date;              /* empty: none */
	struct span pai[CALL_PAI_MAX]; /* P-Asserted-Identity lines, in order */
	size_t pai_count;
	struct span identity[CALL_IDENTITY_MAX]; /* Identity and y lines, in order */
	size_t identity_count;
};

enum identity_from { IDENTITY_FROM_PAI_THEN_FROM, IDENTITY_FROM_PAI, IDENTITY_FROM_FROM };

/* The calling number, and only that one: the first number among the P-Asserted-Identity lines, or From's. *tn
 * is empty unless it is TN_NUMBER. */
enum tn_kind call_orig(struct tn *tn, const struct call_facts *facts, enum identity_from identity_from,
	const struct dial_plan *plan);

/* The called number, from To. TN_NUMBER sets *tn, TN_EMERGENCY either *tn or uri, the others none; what is
 * not set is empty. *emergency also where only the Request-URI says so. */
enum tn_kind call_dest(struct tn *tn, char uri[DEST_URI_SIZE], bool *emergency,
	const struct call_facts *facts, const struct dial_plan *plan);

/* Whether Date is within freshness_s of now, either way; true without one, false for what is no date. */
bool call_date_is_fresh(const struct call_facts *facts, int64_t freshness_s, int64_t now);

#endif
