#include "stamp.h"

#include <ctype.h>
#include <string.h>

#include "stirrup/name_addr.h"
#include "stirrup/reason_header.h"
#include "stirrup/seal.h"
#include "stirrup/verstat.h"
#include "stirrup/writer.h"

void stamp_begin(struct stamps *stamps)
{
	stamps->asserted_count = 0;
	stamps->left_out = false;
	stamps->from = (struct span){ "", 0 };
	stamps->from_received = (struct span){ "", 0 };
	stamps->flags = 0;
	stamps->drops_claimed = false;
	stamps->added_count = 0;
	stamps->reason_count = 0;
	stamps->used = 0;
}

/* Gives room for a text that a stamp borrows. */
static char *room(struct stamps *stamps, size_t *size)
{
	*size = sizeof stamps->text - stamps->used;
	return stamps->text + stamps->used;
}

static struct span keep(struct stamps *stamps)
{
	char *text = stamps->text + stamps->used;
	struct span kept = span_of(text);

	stamps->used += kept.length + 1;
	return kept;
}

static void add(struct stamps *stamps, const char *name, struct span value)
{
	if (stamps->added_count < sizeof stamps->added / sizeof stamps->added[0])
		stamps->added[stamps->added_count++] = (struct extra_header){ name, value };
}

static void assert_value(struct stamps *stamps, struct span value)
{
	if (stamps->asserted_count < sizeof stamps->asserted / sizeof stamps->asserted[0])
		stamps->asserted[stamps->asserted_count++] = value;
}

/* The value with verstat on each URI of the verified number, and without what stood there. Empty for a value without any
 * address, and for one that is too long. */
static struct span stamped_value(struct stamps *stamps, const struct call *call, struct span value, size_t max,
	const char *verstat, unsigned *stamped)
{
	unsigned removed;
	size_t size;
	char *out = room(stamps, &size);

	*stamped = 0;
	if (size > max)
		size = max;
	if (verstat_stamp(out, size, value, &call->verification->orig, &call->peer->dial_plan, verstat, stamped, &removed))
		return keep(stamps);
	*stamped = 0;
	return (struct span){ "", 0 };
}

static bool is_address(struct span value)
{
	struct name_addr item;

	return name_addr_next(&value, &item);
}

/* The same of a P-Asserted-Identity, noted when it is too long. */
static struct span stamped_asserted(struct stamps *stamps, const struct call *call, size_t i, const char *verstat,
	unsigned *stamped)
{
	struct span value = call->request.facts.pai[i];
	size_t max = stamps->used < STAMP_ASSERTED_MAX ? STAMP_ASSERTED_MAX - stamps->used : 0;
	struct span kept = stamped_value(stamps, call, value, max, verstat, stamped);

	if (kept.length == 0 && value.length > 0 && is_address(value))
		stamps->left_out = true;
	return kept;
}

/* The number that was judged, and nothing else: where the header field that it stood in is too long to be repeated. */
static struct span judged_number(struct stamps *stamps, const struct call *call, const char *verstat)
{
	const struct tn *orig = &call->verification->orig;
	char uri[sizeof orig->digits + 8];
	struct writer writer = writer_on(uri, sizeof uri);
	size_t size;
	char *out = room(stamps, &size);

	if (call->verification->orig_kind != TN_NUMBER || strspn(orig->digits, "0123456789") != strlen(orig->digits))
		return (struct span){ "", 0 };
	writer_text(&writer, "tel:+");
	writer_text(&writer, orig->digits);
	if (!writer_end(&writer) || !verstat_stamp_uri(out, size, span_of(uri), verstat))
		return (struct span){ "", 0 };
	return keep(stamps);
}

/* --- By redirect --- */

/* From's number as a P-Asserted-Identity: the caller's own From is not ours to change in an answer. Only where it is the
 * number that was judged: what nobody verified must not become an asserted identity. */
static struct span asserted_from(struct stamps *stamps, const struct call *call, const char *verstat)
{
	struct span from = call->request.facts.from;
	struct name_addr item;
	struct tn tn;
	size_t size;
	char *out = room(stamps, &size);

	if (call->verification->orig_kind == TN_NUMBER && name_addr_next(&from, &item) &&
		tn_from_uri(&tn, item.uri, &call->peer->dial_plan) == TN_NUMBER &&
		strcmp(tn.digits, call->verification->orig.digits) == 0 &&
		verstat_stamp_uri(out, size, item.uri, verstat))
		return keep(stamps);
	return (struct span){ "", 0 };
}

static void stamp_answer(struct stamps *stamps, const struct call *call, const char *verstat)
{
	const struct call_facts *facts = &call->request.facts;
	struct span from;
	bool in_pai = false;

	for (size_t i = 0; call->peer->verstat_place != VERSTAT_IN_FROM && i < facts->pai_count; i++) {
		unsigned stamped;
		struct span value = stamped_asserted(stamps, call, i, verstat, &stamped);

		if (value.length == 0)
			continue;
		assert_value(stamps, value);
		in_pai = true;
	}
	if (in_pai && call->peer->verstat_place != VERSTAT_IN_BOTH)
		return;
	from = asserted_from(stamps, call, verstat);
	if (from.length == 0 && !in_pai && stamps->left_out)
		from = judged_number(stamps, call, verstat);
	if (from.length > 0)
		assert_value(stamps, from);
}

/* --- In the INVITE that goes on --- */

static bool is_bracketed(struct span from)
{
	struct span rest = from;
	struct name_addr item;

	return name_addr_next(&rest, &item) && item.uri.at > from.at && item.uri.at[-1] == '<';
}

static void stamp_from(struct stamps *stamps, const struct call *call, const char *verstat)
{
	struct span from = call->request.facts.from;
	unsigned stamped;
	struct span value = stamped_value(stamps, call, from, SIZE_MAX, verstat, &stamped);

	if (stamped == 0)
		return;
	stamps->from = value;
	stamps->flags |= SEAL_FROM_STAMPED | (is_bracketed(from) ? 0 : SEAL_FROM_BRACKETED);
}

/* A value without the verstat that stood in it. What cannot be looked into goes. */
static struct span clean_value(struct stamps *stamps, struct span value)
{
	static const struct tn nobody;
	static const struct dial_plan none;
	unsigned stamped, removed;
	size_t size;
	char *out = room(stamps, &size);

	if (!verstat_present(value))
		return value;
	if (!verstat_stamp(out, size, value, &nobody, &none, "", &stamped, &removed)) {
		stamps->left_out = true;
		return (struct span){ "", 0 };
	}
	return keep(stamps);
}

/* The caller is to see what it sent, all the same: a verstat of its own comes back to it. */
static void clean_from(struct stamps *stamps, const struct call *call)
{
	struct span from = call->request.facts.from;

	if (!verstat_present(from))
		return;
	if (stamps->from.length == 0)
		stamps->from = clean_value(stamps, from);
	stamps->from_received = from;
}

static void stamp_invite(struct stamps *stamps, const struct call *call, const char *verstat)
{
	const struct call_facts *facts = &call->request.facts;
	size_t left_out = facts->pai_count;
	bool in_pai = false;

	for (size_t i = 0; i < facts->pai_count; i++) {
		unsigned stamped = 0;

		if (call->peer->verstat_place == VERSTAT_IN_FROM)
			assert_value(stamps, clean_value(stamps, facts->pai[i]));
		else
			assert_value(stamps, stamped_asserted(stamps, call, i, verstat, &stamped));
		in_pai = in_pai || stamped > 0;
		if (stamps->left_out && left_out > i)
			left_out = i;
	}
	if (!in_pai && left_out < facts->pai_count && call->peer->verstat_place != VERSTAT_IN_FROM) {
		stamps->asserted[left_out] = judged_number(stamps, call, verstat);
		in_pai = stamps->asserted[left_out].length > 0;
	}
	if (!in_pai || call->peer->verstat_place == VERSTAT_IN_BOTH)
		stamp_from(stamps, call, verstat);
	clean_from(stamps, call);
}

void stamp_unverified(struct stamps *stamps, const struct call *call)
{
	const struct call_facts *facts = &call->request.facts;

	if (call->peer->trusted)
		return;
	for (size_t i = 0; i < facts->pai_count; i++)
		assert_value(stamps, clean_value(stamps, facts->pai[i]));
	clean_from(stamps, call);
	stamps->drops_claimed = true;
}

/* --- Both --- */

static bool wants_identity(enum verdict reason)
{
	return reason == VERDICT_NO_IDENTITY || reason == VERDICT_UNSUPPORTED_PPT;
}

/* What a trusted peer found out stands where there is nothing to judge. */
static bool keeps_claims(const struct call *call, enum verdict reason)
{
	const struct call_facts *facts = &call->request.facts;
	bool claimed = verstat_present(facts->from) && call->peer->mode != MODE_REDIRECT;
	size_t length = 0;

	for (size_t i = 0; i < facts->pai_count; i++) {
		claimed = claimed || verstat_present(facts->pai[i]);
		length += facts->pai[i].length;
	}
	if (length > STAMP_ASSERTED_MAX)
		return false;
	return call->peer->trusted && claimed && wants_identity(reason);
}

/* The third part of a token, where it is one and of the length that ES256 has. */
static struct span signature_of(struct span token)
{
	const char *dot = token.length == 0 ? NULL : memrchr(token.at, '.', token.length);
	struct span signature = { dot == NULL ? token.at : dot + 1, 0 };
	size_t length = dot == NULL ? 0 : (size_t)(token.at + token.length - (dot + 1));

	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)signature.at[i]) && signature.at[i] != '-' && signature.at[i] != '_')
			return signature;
	signature.length = length == 86 ? length : 0;
	return signature;
}

/* RFC 9410: one for each failing Identity; which one, where there are several. */
static void stamp_reasons(struct stamps *stamps, const struct verification *verification)
{
	if (verification->count > 1)
		stamps->flags |= SEAL_SEVERAL;
	for (size_t i = 0; i < verification->count; i++) {
		const struct verify_identity *identity = &verification->identities[i];
		struct span ppi = verification->count > 1 ? identity->token : (struct span){ "", 0 };
		size_t size;
		char *out = room(stamps, &size);

		if (!verdict_refuses_token(identity->verdict) || reason_header_write(out, size, identity->verdict, ppi) == 0)
			continue;
		stamps->signatures[stamps->reason_count] = signature_of(ppi);
		stamps->verdicts[stamps->reason_count] = (uint8_t)identity->verdict;
		stamps->reasons[stamps->reason_count++] = keep(stamps);
	}
}

static void stamp_attestation(struct stamps *stamps, const struct verify_identity *identity)
{
	size_t size;
	char *out = room(stamps, &size);

	if (size < 2)
		return;
	out[0] = identity->attest;
	out[1] = '\0';
	add(stamps, "Attestation-Info", keep(stamps));
	add(stamps, "Origination-Id", span_of(passport_origid(identity->passport)));
}

void stamp_verified(struct stamps *stamps, const struct call *call, const struct judgement *judgement)
{
	const struct call_facts *facts = &call->request.facts;
	char attest = judgement->deciding == NULL ? 0 : judgement->deciding->attest;
	char verstat[VERSTAT_VALUE_SIZE];

	verstat_value(verstat, judgement->result, attest, call->peer->verstat_form);
	stamps->drops_claimed = !call->peer->trusted;
	if (keeps_claims(call, judgement->reason)) {
		for (size_t i = 0; i < facts->pai_count; i++)
			assert_value(stamps, facts->pai[i]);
	} else if (call->peer->mode == MODE_REDIRECT) {
		stamp_answer(stamps, call, verstat);
	} else {
		stamp_invite(stamps, call, verstat);
	}
	stamp_reasons(stamps, call->verification);
	if (judgement->result == VERIFY_PASSED && call->peer->attestation_headers && attest != 0) {
		stamp_attestation(stamps, judgement->deciding);
		stamps->drops_claimed = true; /* ours stand in their place */
	}
}

void stamp_extra(struct stamps *stamps, const char *header)
{
	const char *colon = header == NULL ? NULL : strchr(header, ':');
	size_t size;
	char *name = room(stamps, &size);

	if (colon == NULL || (size_t)(colon - header) >= size)
		return;
	memcpy(name, header, (size_t)(colon - header));
	name[colon - header] = '\0';
	keep(stamps);
	add(stamps, name, span_trim(span_of(colon + 1)));
}

size_t stamp_removed(const struct call *call, const struct stamps *stamps, const char *names[REMOVED_MAX])
{
	const struct call_facts *facts = &call->request.facts;
	bool verstat = verstat_in_uri(facts->request_uri);
	size_t count = 0;

	if (stamps != NULL && stamps->left_out)
		names[count++] = "P-Asserted-Identity";
	if (!call->peer->trusted) {
		for (size_t i = 0; i < call->request.claimed_count; i++)
			names[count++] = call->request.claimed[i];
		verstat = verstat || verstat_present(facts->from);
		for (size_t i = 0; i < facts->pai_count; i++)
			verstat = verstat || verstat_present(facts->pai[i]);
	}
	if (verstat)
		names[count++] = "verstat";
	return count;
}
