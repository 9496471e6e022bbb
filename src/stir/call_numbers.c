#include "stirrup/call_numbers.h"

#include "stirrup/name_addr.h"
#include "stirrup/sip_date.h"

/* The first number among the items of all P-Asserted-Identity lines: one tel and one sip URI may stand there
 * (RFC 3325 section 9.1). */
static bool first_pai_number(struct tn *tn, const struct call_facts *facts, const struct dial_plan *plan)
{
	for (size_t i = 0; i < facts->pai_count; i++) {
		struct span rest = facts->pai[i];
		struct name_addr item;

		while (name_addr_next(&rest, &item))
			if (tn_from_uri(tn, item.uri, plan) == TN_NUMBER)
				return true;
	}
	return false;
}

static enum tn_kind tn_of_header(
	struct tn *tn, struct span value, const struct dial_plan *plan, struct span *uri)
{
	struct name_addr item;

	*uri = (struct span){ NULL, 0 };
	if (!name_addr_next(&value, &item))
		return TN_NOT_A_NUMBER;
	*uri = item.uri;
	return tn_from_uri(tn, item.uri, plan);
}

enum tn_kind call_orig(struct tn *tn, const struct call_facts *facts, enum identity_from identity_from,
	const struct dial_plan *plan)
{
	struct span uri;
	enum tn_kind kind;

	switch (identity_from) {
	case IDENTITY_FROM_PAI_THEN_FROM:
	case IDENTITY_FROM_PAI:
		if (first_pai_number(tn, facts, plan))
			return TN_NUMBER;
		break;
	case IDENTITY_FROM_FROM:
		break;
	}
	kind = tn_of_header(tn, facts->from, plan, &uri);
	if (kind == TN_NUMBER && identity_from == IDENTITY_FROM_PAI)
		kind = TN_NOT_A_NUMBER;
	if (kind != TN_NUMBER)
		tn->digits[0] = '\0';
	return kind;
}

enum tn_kind call_dest(struct tn *tn, char uri[DEST_URI_SIZE], bool *emergency,
	const struct call_facts *facts, const struct dial_plan *plan)
{
	struct tn unused;
	struct span to;
	enum tn_kind kind = tn_of_header(tn, facts->to, plan, &to);

	uri[0] = '\0';
	*emergency = kind == TN_EMERGENCY || tn_from_uri(&unused, facts->request_uri, plan) == TN_EMERGENCY;
	switch (kind) {
	case TN_NUMBER:
		return kind;
	case TN_EMERGENCY:
		if (tn->digits[0] != '\0' || span_copy(uri, DEST_URI_SIZE, to))
			return kind;
		break;
	case TN_ANONYMOUS:
	case TN_NOT_A_NUMBER:
		break;
	}
	tn->digits[0] = '\0';
	return kind == TN_ANONYMOUS ? kind : TN_NOT_A_NUMBER;
}

bool call_date_is_fresh(const struct call_facts *facts, int64_t freshness_s, int64_t now)
{
	int64_t date;

	if (facts->date.length == 0)
		return true;
	return sip_date_parse(facts->date, &date) && date >= now - freshness_s && date <= now + freshness_s;
}
