#include "stirrup/verify.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "stirrup/claim_constraints.h"
#include "stirrup/identity_header.h"
#include "stirrup/x5u_url.h"

/* Of an x5u, a number or a type, in the words of a detail. */
#define SHOWN_MAX 48

/* The detail is read on terminals and in logs, and half of it came from the network. */
static void decide(struct verify_identity *identity, enum verdict verdict, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void decide(struct verify_identity *identity, enum verdict verdict, const char *format, ...)
{
	va_list arguments;

	identity->verdict = verdict;
	va_start(arguments, format);
	vsnprintf(identity->detail, sizeof identity->detail, format, arguments);
	va_end(arguments);
	for (char *p = identity->detail; *p != '\0'; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
}

static int shown(struct span span)
{
	return (int)(span.length < SHOWN_MAX ? span.length : SHOWN_MAX);
}

/* --- The header field and the form of its token --- */

static enum verdict verdict_of_fault(enum passport_fault fault)
{
	switch (fault) {
	case PASSPORT_OK:
		return VERDICT_PENDING;
	case PASSPORT_COMPACT_FORM:
		return VERDICT_COMPACT_FORM;
	case PASSPORT_TOO_LONG:
	case PASSPORT_NOT_THREE_PARTS:
	case PASSPORT_BAD_BASE64:
	case PASSPORT_BAD_JSON:
	case PASSPORT_BAD_HEADER:
	case PASSPORT_NO_MEMORY:
		return VERDICT_MALFORMED_PASSPORT;
	case PASSPORT_MISSING_MEMBER:
		return VERDICT_MISSING_HEADER_MEMBER;
	case PASSPORT_BAD_TYP:
		return VERDICT_BAD_TYP;
	case PASSPORT_BAD_ALG:
		return VERDICT_BAD_ALG;
	case PASSPORT_CRITICAL:
		return VERDICT_CRITICAL_EXTENSION;
	case PASSPORT_MISSING_CLAIM:
		return VERDICT_MISSING_CLAIM;
	case PASSPORT_BAD_CLAIMS:
		return VERDICT_BAD_CLAIM;
	case PASSPORT_BAD_ATTEST:
		return VERDICT_BAD_ATTEST;
	/* Whatever the key is, it does not verify (RFC 7518 section 3.4). */
	case PASSPORT_BAD_SIGNATURE_LENGTH:
		return VERDICT_BAD_SIGNATURE;
	}
	return VERDICT_MALFORMED_PASSPORT;
}

static bool is_compact(struct span token)
{
	return token.length >= 2 && token.at[0] == '.' && token.at[1] == '.';
}

/* RFC 8224 section 6.2, step 1, before anything else is looked at: what other types want of their tokens we
 * can't know. RFC 3261 section 7.3.1: the parameter is compared whatever its letter case. */
static bool check_type(struct verify_identity *identity, const struct identity_header *header)
{
	char ppt[SHOWN_MAX + 1];

	if (header->ppt.length > 0) {
		if (span_is_caseless(header->ppt, "shaken"))
			return true;
		decide(identity, VERDICT_UNSUPPORTED_PPT, "ppt %.*s", shown(header->ppt), header->ppt.at);
		return false;
	}
	if (is_compact(header->token)) {
		decide(identity, VERDICT_UNSUPPORTED_PPT, "a PASSporT without ppt in compact form");
		return false;
	}
	if (!passport_read_ppt(ppt, sizeof ppt, header->token) || strcmp(ppt, "shaken") == 0)
		return true;
	decide(identity, VERDICT_UNSUPPORTED_PPT, "ppt %s", ppt);
	return false;
}

static bool check_info(struct verify_identity *identity, const struct identity_header *header,
	const struct verify_policy *policy)
{
	struct x5u_url url;
	const char *why;

	if (header->info.length == 0) {
		decide(identity, VERDICT_NO_INFO, "no info parameter");
		return false;
	}
	if (header->info.length > PASSPORT_X5U_MAX) {
		decide(identity, VERDICT_BAD_INFO_URI, "info is longer than %d characters", PASSPORT_X5U_MAX);
		return false;
	}
	if (!x5u_url_check(&url, header->info, policy->ports, policy->port_count, &why)) {
		decide(identity, VERDICT_BAD_INFO_URI, "info: %s", why);
		return false;
	}
	return true;
}

static bool parse(struct verify_identity *identity)
{
	const char *part;
	enum passport_fault fault = passport_parse(&identity->passport, identity->token, &part);

	if (fault == PASSPORT_OK) {
		identity->attest = passport_attest(identity->passport);
		return true;
	}
	decide(identity, verdict_of_fault(fault), "%s: %s", part, passport_fault_text(fault));
	return false;
}

/* RFC 8224 section 4.1: x5u, alg and ppt of the token are what the parameters say. */
static bool check_parameters(struct verify_identity *identity, const struct identity_header *header)
{
	const char *x5u = passport_x5u(identity->passport);
	const char *ppt = passport_ppt(identity->passport);

	/* RFC 3986 section 6.2.1: octet for octet. */
	if (!span_is(header->info, x5u)) {
		decide(identity, VERDICT_INFO_MISMATCH, "x5u %.*s, info %.*s", SHOWN_MAX, x5u,
			shown(header->info), header->info.at);
		return false;
	}
	if (header->alg.length > 0 && !span_is_caseless(header->alg, "ES256")) {
		decide(identity, VERDICT_BAD_ALG, "alg %.*s in the header field, ES256 in the token",
			shown(header->alg), header->alg.at);
		return false;
	}
	if (header->ppt.length > 0 && ppt == NULL) {
		decide(identity, VERDICT_MISSING_HEADER_MEMBER,
			"ppt: missing in the header, the parameter says shaken");
		return false;
	}
	if (ppt != NULL && strcmp(ppt, "shaken") != 0) {
		decide(identity, VERDICT_BAD_PPT, "ppt %.*s, the parameter says shaken", SHOWN_MAX, ppt);
		return false;
	}
	return true;
}

/* --- The claims and the call --- */

static bool check_iat(struct verify_identity *identity, int64_t freshness_s, int64_t now)
{
	int64_t age = now - passport_iat(identity->passport);

	if (age <= freshness_s && age >= -freshness_s)
		return true;
	decide(identity, VERDICT_STALE_IAT, "iat is %" PRId64 " s %s, %" PRId64 " s are allowed",
		age < 0 ? -age : age, age < 0 ? "ahead" : "old", freshness_s);
	return false;
}

/* The claim has to be canonical (RFC 8224 section 8.3). One with its "+" and separators left in says the same
 * number; digits without "+" are never completed, for that would be a guess at the signer's numbering plan.
 */
static bool is_number(const char *claim, const struct tn *tn)
{
	struct tn canonical;

	if (claim == NULL)
		return false;
	if (claim[0] == '+' && tn_from_text(&canonical, span_of(claim)))
		return strcmp(canonical.digits, tn->digits) == 0;
	return strcmp(claim, tn->digits) == 0;
}

/* RFC 8224 section 6.2.4: the number of the signalling, and never any other that the request has. */
static bool check_orig(struct verify_identity *identity, const struct verification *call)
{
	const char *tn = passport_orig_tn(identity->passport);
	const char *uri = passport_orig_uri(identity->passport);

	if (call->orig_kind != TN_NUMBER) {
		bool anonymous = call->orig_kind == TN_ANONYMOUS;

		decide(identity, anonymous ? VERDICT_ANONYMOUS : VERDICT_NUMBER_FORMAT, "orig %.*s, %s",
			SHOWN_MAX, tn != NULL ? tn : uri,
			anonymous ? "the caller is anonymous" : "the caller has no number");
		return false;
	}
	if (is_number(tn, &call->orig))
		return true;
	decide(identity, VERDICT_ORIG_MISMATCH, "orig %.*s, the caller is %s", SHOWN_MAX,
		tn != NULL ? tn : uri, call->orig.digits);
	return false;
}

static bool has_dest(const struct passport *passport, const struct verification *call)
{
	if (call->dest.digits[0] != '\0')
		for (size_t i = 0; i < passport_dest_tns(passport); i++)
			if (is_number(passport_dest_tn(passport, i), &call->dest))
				return true;
	/* RFC 9027 section 3; RFC 5031 section 4.2: whatever its letter case. */
	if (call->dest_uri[0] != '\0')
		for (size_t i = 0; i < passport_dest_uris(passport); i++)
			if (span_is_caseless(span_of(call->dest_uri), passport_dest_uri(passport, i)))
				return true;
	return false;
}

static bool check_dest(struct verify_identity *identity, const struct verification *call)
{
	const struct passport *passport = identity->passport;
	size_t tns = passport_dest_tns(passport);
	const char *first = tns > 0 ? passport_dest_tn(passport, 0) : passport_dest_uri(passport, 0);

	if (call->dest.digits[0] == '\0' && call->dest_uri[0] == '\0') {
		decide(identity, VERDICT_NUMBER_FORMAT, "dest %.*s, To has no number", SHOWN_MAX, first);
		return false;
	}
	if (has_dest(passport, call))
		return true;
	decide(identity, VERDICT_DEST_MISMATCH, "dest %.*s%s, To is %s", SHOWN_MAX, first,
		tns + passport_dest_uris(passport) > 1 ? " and others" : "",
		call->dest.digits[0] != '\0' ? call->dest.digits : call->dest_uri);
	return false;
}

/* --- All that needs no certificate --- */

static void begin_one(struct verify_identity *identity, const struct identity_header *header,
	const struct verification *call, const struct verify_policy *policy, int64_t now)
{
	identity->token = header->token;
	if (!check_type(identity, header))
		return;
	/* RFC 8588 section 7. The rest of such a token cannot be looked at. */
	if (is_compact(header->token)) {
		parse(identity);
		return;
	}
	if (check_info(identity, header, policy) && parse(identity) && check_parameters(identity, header) &&
		check_iat(identity, policy->freshness_s, now) && check_orig(identity, call) &&
		check_dest(identity, call))
		decide(identity, VERDICT_PENDING, "the certificate is awaited");
}

/* What identity_header_next() took off, without the comma behind it. */
static struct span taken(struct span before, struct span rest)
{
	before = span_trim((struct span){ before.at, (size_t)(rest.at - before.at) });
	if (before.length > 0 && before.at[before.length - 1] == ',')
		before = span_trim((struct span){ before.at, before.length - 1 });
	return before;
}

/* False when there is no more room. */
static bool begin_line(
	struct verification *verification, struct span line, const struct verify_policy *policy, int64_t now)
{
	struct span rest = line;

	for (;;) {
		struct verify_identity *identity = &verification->identities[verification->count];
		struct identity_header header;
		struct span before = rest;
		bool malformed;

		if (!identity_header_next(&rest, &header, &malformed) && !malformed)
			return true;
		*identity = (struct verify_identity){ .header = taken(before, rest), .token = { "", 0 } };
		if (verification->count++ == VERIFY_IDENTITIES_MAX) {
			decide(identity, VERDICT_TOO_MANY_IDENTITIES, "only %d are judged",
				VERIFY_IDENTITIES_MAX);
			return false;
		}
		if (malformed)
			decide(identity, VERDICT_MALFORMED_IDENTITY,
				"not token;info=<URI>;alg=ES256;ppt=type");
		else
			begin_one(identity, &header, verification, policy, now);
	}
}

void verify_begin(struct verification *verification, const struct call_facts *facts,
	const struct verify_policy *policy, int64_t now)
{
	*verification = (struct verification){ 0 };
	verification->orig_kind =
		call_orig(&verification->orig, facts, policy->identity_from, policy->dial_plan);
	verification->dest_kind = call_dest(&verification->dest, verification->dest_uri,
		&verification->emergency, facts, policy->dial_plan);
	verification->date_stale = !call_date_is_fresh(facts, policy->freshness_s, now);
	for (size_t i = 0; i < facts->identity_count; i++)
		if (!begin_line(verification, facts->identity[i], policy, now))
			return;
}

/* --- The certificate --- */

/* RFC 8224 section 6.2, step 4: valid when it was signed, and now. */
static bool check_validity(
	struct verify_identity *identity, const struct certificate_facts *facts, int64_t now)
{
	int64_t iat = passport_iat(identity->passport);

	if (now < facts->not_before || now > facts->not_after) {
		decide(identity, VERDICT_CERTIFICATE_OUTSIDE_VALIDITY, "the certificate is %s now",
			now < facts->not_before ? "not yet valid" : "expired");
		return false;
	}
	if (iat < facts->not_before || iat > facts->not_after) {
		decide(identity, VERDICT_CERTIFICATE_OUTSIDE_VALIDITY, "the certificate was %s at iat",
			iat < facts->not_before ? "not yet valid" : "expired");
		return false;
	}
	return true;
}

/* At most 15 digits where a range has one (RFC 8226 section 9). False for what has "*" or "#". */
static bool value_of(const char *digits, uint64_t *value)
{
	*value = 0;
	for (const char *p = digits; *p != '\0'; p++) {
		if (*p < '0' || *p > '9' || *value > UINT64_MAX / 100)
			return false;
		*value = *value * 10 + (uint64_t)(*p - '0');
	}
	return true;
}

static bool range_has(const struct facts_range *range, const struct tn *tn)
{
	uint64_t start, value;

	if (strcmp(range->start.digits, tn->digits) == 0)
		return range->count > 0;
	/* The numbers of a range have as many digits as its first one. */
	return strlen(range->start.digits) == strlen(tn->digits) && value_of(range->start.digits, &start) &&
	       value_of(tn->digits, &value) && value >= start && value - start < range->count;
}

/* Which numbers belong to a service provider code no certificate says: those are covered by the trust in
 * their holder (ATIS-1000080). Where numbers are named, the calling one is to be among them. */
static bool check_coverage(
	struct verify_identity *identity, const struct certificate_facts *facts, const struct tn *orig)
{
	for (uint32_t i = 0; i < facts->range_count; i++)
		if (range_has(&facts->ranges[i], orig))
			return true;
	if (facts->range_count == 0)
		return true;
	decide(identity, VERDICT_TN_NOT_COVERED, "the TNAuthList does not have %s", orig->digits);
	return false;
}

static bool check_constraints(struct verify_identity *identity, const struct certificate_facts *facts)
{
	char why[128];

	if (facts->constraints_length == 0 ||
		claim_constraints_allow(facts->constraints, facts->constraints_length,
			facts->enhanced_constraints, identity->passport, why, sizeof why))
		return true;
	decide(identity, VERDICT_CLAIM_CONSTRAINTS, "%s", why);
	return false;
}

/* Over the received octets (RFC 7515 section 5.2): a token made again from its claims would lose what we
 * don't know. */
static void check_signature(struct verify_identity *identity, struct es256_key *key)
{
	struct span bytes = passport_signed_bytes(identity->passport);

	if (key == NULL)
		decide(identity, VERDICT_CERTIFICATE_NOT_P256, "the public key is no point of P-256");
	else if (es256_digest(key, bytes.at, bytes.length, identity->digest) &&
		 es256_verify_digest(key, identity->digest, passport_signature(identity->passport)))
		decide(identity, VERDICT_PASSED, "passed");
	else
		decide(identity, VERDICT_BAD_SIGNATURE,
			"the signature does not verify with the certificate's key");
}

void verify_credential(struct verification *verification, size_t index, const struct certificate_facts *facts,
	struct es256_key *key, int64_t now)
{
	struct verify_identity *identity = &verification->identities[index];

	assert(index < verification->count && identity->verdict == VERDICT_PENDING);
	assert(strcmp(facts->x5u, passport_x5u(identity->passport)) == 0);
	if (facts->verdict != VERDICT_PASSED) {
		decide(identity, facts->verdict, "%s", facts->detail);
		return;
	}
	identity->revocation_unknown = facts->revocation_unknown;
	if (facts->spc_count > 0)
		snprintf(identity->spc, sizeof identity->spc, "%s", facts->spc[0]);
	if (check_validity(identity, facts, now) && check_coverage(identity, facts, &verification->orig) &&
		check_constraints(identity, facts))
		check_signature(identity, key);
}

void verify_reopen(struct verification *verification, size_t index)
{
	struct verify_identity *identity = &verification->identities[index];

	assert(index < verification->count && identity->passport != NULL);
	identity->spc[0] = '\0';
	identity->revocation_unknown = false;
	decide(identity, VERDICT_PENDING, "the certificate is awaited again");
}

void verify_give_up(struct verification *verification, size_t index, enum verdict verdict)
{
	struct verify_identity *identity = &verification->identities[index];

	assert(index < verification->count && identity->verdict == VERDICT_PENDING);
	assert(verdict == VERDICT_FETCHER_TIMEOUT || verdict == VERDICT_FETCHER_BUSY);
	decide(identity, verdict,
		verdict == VERDICT_FETCHER_BUSY ? "too much waits for certificates already"
						: "the certificate did not come in time");
}

void verify_refuse_replay(struct verification *verification, size_t index)
{
	assert(index < verification->count && verification->identities[index].verdict == VERDICT_PASSED);
	decide(&verification->identities[index], VERDICT_REPLAYED, "passed, but seen for another call");
}

/* --- The call --- */

/* How much a verdict says of the call: the one that says most decides where none passed. */
static int weight(enum verdict verdict)
{
	if (verdict == VERDICT_PASSED)
		return 4;
	if (verdict_is_failed(verdict) || verdict == VERDICT_REPLAYED)
		return 3;
	if (verdict_refuses_token(verdict))
		return 2;
	return verdict == VERDICT_UNSUPPORTED_PPT ? 0 : 1;
}

enum verify_result verify_conclude(
	const struct verification *verification, bool failed_on_any, enum verdict *reason, int *deciding)
{
	*reason = VERDICT_NO_IDENTITY;
	*deciding = -1;
	for (size_t i = 0; i < verification->count; i++) {
		enum verdict verdict = verification->identities[i].verdict;

		assert(verdict != VERDICT_PENDING);
		if (*deciding >= 0 && weight(verdict) <= weight(*reason))
			continue;
		*reason = verdict;
		*deciding = (int)i;
	}
	if (*reason == VERDICT_PASSED)
		return VERIFY_PASSED;
	/* A replay is refused only where policy wants it Failed. */
	if (verdict_is_failed(*reason) || *reason == VERDICT_REPLAYED ||
		(failed_on_any && verdict_refuses_token(*reason)))
		return VERIFY_FAILED;
	return VERIFY_NO_VALIDATION;
}

unsigned verify_reject_status(const struct verification *verification)
{
	bool all_403 = true, all_436 = true, any_437 = false;
	size_t usable = 0;

	for (size_t i = 0; i < verification->count; i++) {
		enum verdict verdict = verification->identities[i].verdict;
		unsigned code = verdict_sip_status(verdict).code;

		if (verdict == VERDICT_PASSED)
			return verdict_sip_status(VERDICT_POLICY).code;
		if (verdict == VERDICT_UNSUPPORTED_PPT)
			continue;
		usable++;
		all_403 = all_403 && code == 403;
		all_436 = all_436 && code == 436;
		any_437 = any_437 || code == 437;
	}
	if (usable == 0)
		return 428;
	if (all_403)
		return 403;
	if (all_436)
		return 436;
	return any_437 ? 437 : 438;
}

void verification_clear(struct verification *verification)
{
	for (size_t i = 0; i < verification->count; i++) {
		passport_free(verification->identities[i].passport);
		verification->identities[i].passport = NULL;
	}
	verification->count = 0;
}
