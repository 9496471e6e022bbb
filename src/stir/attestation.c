#include "stirrup/attestation.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Records are UTF-8: a name that is cut must not end within a character. */
static void drop_partial_character(char *text)
{
	size_t length = strlen(text), start = length;
	unsigned char lead;
	size_t wanted;

	while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
		start--;
	if (start == 0)
		return;
	lead = (unsigned char)text[start - 1];
	wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
	if (length - (start - 1) < wanted)
		text[start - 1] = '\0';
}

__attribute__((format(printf, 2, 3))) static void add_rule(
	struct attestation_decision *decision, const char *format, ...)
{
	size_t length = strlen(decision->rule), room = sizeof(decision->rule) - length;
	va_list arguments;
	int wanted;

	va_start(arguments, format);
	wanted = vsnprintf(decision->rule + length, room, format, arguments);
	va_end(arguments);
	if (wanted < 0)
		decision->rule[length] = '\0';
	else if ((size_t)wanted >= room)
		drop_partial_character(decision->rule);
}

/* As the configuration writes it, but for the "+". */
static void add_entry(struct attestation_decision *decision, const struct number_entry *entry)
{
	if (entry->prefix)
		add_rule(decision, "numbers %s*", entry->first.digits);
	else if (entry->last.digits[0] != '\0')
		add_rule(decision, "numbers %s-%s", entry->first.digits, entry->last.digits);
	else
		add_rule(decision, "number %s", entry->first.digits);
}

static void decide_own_number(struct attestation_decision *decision, const struct customer *customer,
	const struct number_entry *entry)
{
	if (entry->level != LEVEL_UNSET) {
		decision->level = entry->level;
		add_entry(decision, entry);
		add_rule(decision, ": attestation = %s", level_word(decision->level));
	} else {
		decision->level = customer->own_numbers;
		add_rule(decision, "customer %s: own number, own_numbers = %s", customer->name,
			level_word(decision->level));
	}
}

/* owner: whose number it is according to the table; NULL when nobody's. */
static void decide_other_number(
	struct attestation_decision *decision, const struct customer *customer, const struct customer *owner)
{
	assert(customer->other_numbers != LEVEL_A);
	decision->level = customer->other_numbers;
	add_rule(decision, "customer %s: other number", customer->name);
	if (owner != NULL)
		add_rule(decision, " (of customer %s)", owner->name);
	add_rule(decision, ", other_numbers = %s", level_word(decision->level));
}

static void decide_known_customer(struct attestation_decision *decision,
	const struct attestation_policy *policy, const struct customer *customers,
	const struct number_entry *entry)
{
	const struct customer *customer = &customers[decision->customer];

	decision->credential = customer->credential;
	if (entry != NULL && entry->customer == decision->customer)
		decide_own_number(decision, customer, entry);
	else
		decide_other_number(decision, customer, entry != NULL ? &customers[entry->customer] : NULL);

	/* RFC 8224, section 6.1, step 2: that a number is a customer's does not say that he is the one who
	 * calls. */
	if (policy->customer < 0 && !policy->authenticates_callers && decision->level == LEVEL_A) {
		decision->level = LEVEL_B;
		add_rule(decision, ", at most B: the peer does not authenticate callers");
	}
}

static void decide_unknown_customer(
	struct attestation_decision *decision, const struct attestation_policy *policy)
{
	assert(policy->unknown_customer != LEVEL_A);
	decision->credential = policy->credential;
	decision->level = policy->unknown_customer;
	add_rule(decision, "unknown customer, unknown_customer = %s", level_word(decision->level));
}

static enum verdict verdict_for(enum level level, int credential)
{
	switch (level) {
	case LEVEL_A:
	case LEVEL_B:
	case LEVEL_C:
		return credential < 0 ? VERDICT_NOT_ENABLED : VERDICT_SIGNED;
	case LEVEL_UNSIGNED:
	case LEVEL_REJECT:
	case LEVEL_UNSET:
		break;
	}
	return VERDICT_POLICY;
}

void attestation_decide(struct attestation_decision *decision, const struct attestation_policy *policy,
	const struct customer *customers, const struct number_table *numbers, const struct tn *orig)
{
	const struct number_entry *entry = number_table_find(numbers, orig);

	*decision = (struct attestation_decision){ .customer = policy->customer };
	if (decision->customer < 0 && policy->customer_by_number && entry != NULL)
		decision->customer = entry->customer;

	if (decision->customer >= 0) {
		decide_known_customer(decision, policy, customers, entry);
	} else {
		decision->customer = -1;
		decide_unknown_customer(decision, policy);
	}

	decision->verdict = verdict_for(decision->level, decision->credential);
	if (decision->verdict == VERDICT_NOT_ENABLED)
		add_rule(decision, ", no credential");
}
