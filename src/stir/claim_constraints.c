#include "stirrup/claim_constraints.h"

#include <stdio.h>

#include "stirrup/der.h"

/* RFC 9118 section 3, in a module with explicit tags (appendix A); RFC 8226 section 8 lacks mustExclude:
 *   EnhancedJWTClaimConstraints ::= SEQUENCE {
 *     mustInclude [0] JWTClaimNames OPTIONAL,
 *     permittedValues [1] JWTClaimValuesList OPTIONAL,
 *     mustExclude [2] JWTClaimNames OPTIONAL }           -- one at least
 *   JWTClaimValuesList ::= SEQUENCE SIZE (1..MAX) OF SEQUENCE {
 *     claim JWTClaimName, values SEQUENCE SIZE (1..MAX) OF UTF8String }
 *   JWTClaimNames ::= SEQUENCE SIZE (1..MAX) OF JWTClaimName
 *   JWTClaimName ::= IA5String */

/* The contents of the lists; empty: absent. */
struct constraints {
	struct der must_include;
	struct der permitted_values;
	struct der must_exclude;
};

static bool take_name(struct der *in, struct span *name)
{
	struct der string;

	if (!der_take(in, DER_IA5STRING, &string) || der_left(&string) == 0)
		return false;
	for (const unsigned char *p = string.at; p < string.end; p++)
		if (*p < 0x20 || *p > 0x7e)
			return false;
	*name = (struct span){ (const char *)string.at, der_left(&string) };
	return true;
}

static bool take_value(struct der *in, struct span *value)
{
	struct der string;

	if (!der_take(in, DER_UTF8STRING, &string))
		return false;
	*value = (struct span){ (const char *)string.at, der_left(&string) };
	return true;
}

/* One claim and the list of its values. */
static bool take_values(struct der *in, struct span *claim, struct der *values)
{
	struct der entry;

	return der_take(in, DER_SEQUENCE, &entry) && take_name(&entry, claim) &&
	       der_take(&entry, DER_SEQUENCE, values) && der_left(values) > 0 && der_left(&entry) == 0;
}

static bool are_names(struct der list)
{
	struct span name;

	while (der_left(&list) > 0)
		if (!take_name(&list, &name))
			return false;
	return true;
}

static bool are_values(struct der list)
{
	while (der_left(&list) > 0) {
		struct span claim, value;
		struct der values;

		if (!take_values(&list, &claim, &values))
			return false;
		while (der_left(&values) > 0)
			if (!take_value(&values, &value))
				return false;
	}
	return true;
}

/* One of the optional lists, which is not empty where it is there. */
static bool take_list(struct der *in, unsigned char tag, struct der *list)
{
	struct der tagged;

	*list = (struct der){ in->at, in->at };
	if (!der_next_is(in, tag))
		return true;
	return der_take(in, tag, &tagged) && der_take(&tagged, DER_SEQUENCE, list) && der_left(list) > 0 &&
	       der_left(&tagged) == 0;
}

/* NULL, or what is wrong. */
static const char *decode(struct constraints *out, const unsigned char *der, size_t length, bool enhanced)
{
	struct der in = { der, der + length }, content;

	if (!der_take(&in, DER_SEQUENCE, &content))
		return "not a SEQUENCE in DER";
	if (der_left(&in) > 0)
		return "something is behind the SEQUENCE";
	if (der_left(&content) == 0)
		return "no constraint in it";
	if (!take_list(&content, DER_EXPLICIT(0), &out->must_include) || !are_names(out->must_include))
		return "mustInclude is not a list of names in DER";
	if (!take_list(&content, DER_EXPLICIT(1), &out->permitted_values) ||
		!are_values(out->permitted_values))
		return "permittedValues is not a list of names and values in DER";
	out->must_exclude = (struct der){ content.at, content.at };
	if (enhanced &&
		(!take_list(&content, DER_EXPLICIT(2), &out->must_exclude) || !are_names(out->must_exclude)))
		return "mustExclude is not a list of names in DER";
	return der_left(&content) > 0 ? "something in it that is not known" : NULL;
}

bool claim_constraints_are_valid(const unsigned char *der, size_t length, bool enhanced, const char **why)
{
	struct constraints constraints;

	*why = decode(&constraints, der, length, enhanced);
	return *why == NULL;
}

static bool refuse(char *why, size_t why_size, struct span claim, const char *what)
{
	snprintf(why, why_size, "the certificate %s the claim %.*s", what,
		(int)(claim.length < 64 ? claim.length : 64), claim.at);
	return false;
}

/* RFC 9118 section 3: who excludes what every PASSporT has is taken to have no such extension. */
static bool excludes_baseline(struct der names)
{
	struct span name;

	while (der_left(&names) > 0 && take_name(&names, &name))
		if (span_is(name, "iat") || span_is(name, "orig") || span_is(name, "dest"))
			return true;
	return false;
}

static bool has_one_of(const struct passport *passport, struct span claim, struct der values)
{
	struct span value;

	while (der_left(&values) > 0 && take_value(&values, &value))
		if (passport_claim_is(passport, claim, value))
			return true;
	return false;
}

bool claim_constraints_allow(const unsigned char *der, size_t length, bool enhanced,
	const struct passport *passport, char *why, size_t why_size)
{
	struct constraints constraints;
	struct span claim;
	struct der values;
	const char *malformed = decode(&constraints, der, length, enhanced);

	if (malformed != NULL) {
		snprintf(why, why_size, "claim constraints: %s", malformed);
		return false;
	}
	if (excludes_baseline(constraints.must_exclude))
		return true;
	while (der_left(&constraints.must_include) > 0 && take_name(&constraints.must_include, &claim))
		if (!passport_has_claim(passport, claim))
			return refuse(why, why_size, claim, "demands");
	while (der_left(&constraints.permitted_values) > 0 &&
		take_values(&constraints.permitted_values, &claim, &values))
		if (passport_has_claim(passport, claim) && !has_one_of(passport, claim, values))
			return refuse(why, why_size, claim, "has other values for");
	while (der_left(&constraints.must_exclude) > 0 && take_name(&constraints.must_exclude, &claim))
		if (passport_has_claim(passport, claim))
			return refuse(why, why_size, claim, "forbids");
	return true;
}
