#include "stirrup/tn.h"

#include <string.h>

/* The shortest number of E.164 in use: Niue's +683 and four digits. */
#define E164_MIN 7

/* A telephone-subscriber with all its parameters. RFC 3966 has no bound; the long ones in use are a third of
 * this. */
#define SUBSCRIBER_MAX 512

/* A number as it was written, without what is only for the eye. */
struct dialled {
	bool plus;
	size_t length;
	char digits[TN_MAX + 1];
};

/* ASCII only: other scripts have digits, too, and no canonical form (RFC 8224, section 8.3). */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* RFC 3966, section 3: visual-separator; and the space, that is none but is written all the same. */
static bool is_separator(char c)
{
	return c == '-' || c == '.' || c == '(' || c == ')' || c == ' ';
}

/* What is before the first stop byte, and what is behind it: empty without one. */
static struct span split(struct span text, char stop, struct span *behind)
{
	const char *at = text.length > 0 ? memchr(text.at, stop, text.length) : NULL;
	size_t length = at == NULL ? text.length : (size_t)(at - text.at);

	if (behind != NULL) {
		behind->at = at == NULL ? text.at + length : at + 1;
		behind->length = at == NULL ? 0 : text.length - length - 1;
	}
	return (struct span){ text.at, length };
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* False when it does not fit, when an escape is not one, and when a control byte is found: whoever writes
 * those into a number wants two readers to see two numbers. */
static bool percent_decode(struct span *out, char *buffer, size_t size, struct span text)
{
	size_t length = 0;

	for (size_t i = 0; i < text.length; i++) {
		char c = text.at[i];

		if (c == '%') {
			int high = i + 1 < text.length ? hex_value(text.at[i + 1]) : -1;
			int low = i + 2 < text.length ? hex_value(text.at[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high * 16 + low);
			i += 2;
		}
		if ((unsigned char)c < 0x20 || c == 0x7f || length == size)
			return false;
		buffer[length++] = c;
	}
	*out = (struct span){ buffer, length };
	return true;
}

/* RFC 8224, section 8.3 keeps "*" and "#", but what has them stays as dialled: it is no number of E.164. */
static bool dialled_read(struct dialled *dialled, struct span text)
{
	*dialled = (struct dialled){ 0 };

	for (size_t i = 0; i < text.length; i++) {
		char c = text.at[i];

		if (is_separator(c))
			continue;
		if (c == '+' && !dialled->plus && dialled->length == 0) {
			dialled->plus = true;
			continue;
		}
		if (!is_digit(c) || dialled->length == TN_MAX)
			return false;
		dialled->digits[dialled->length++] = c;
	}
	return dialled->length > 0;
}

/* What is behind the prefix; NULL when the digits do not begin with it, and when there is no such prefix. */
static const char *behind_prefix(const char *digits, const char *prefix)
{
	size_t length = strlen(prefix);

	return length > 0 && strncmp(digits, prefix, length) == 0 ? digits + length : NULL;
}

/* Sets tn to code and digits if that can be a number of E.164: no country code begins with 0. */
static bool set_e164(struct tn *tn, const char *code, const char *digits)
{
	size_t code_length = strlen(code), length = strlen(digits);

	if (code_length + length < E164_MIN || code_length + length > TN_MAX)
		return false;
	if (code_length > 0 ? code[0] == '0' : digits[0] == '0')
		return false;
	memcpy(tn->digits, code, code_length);
	memcpy(tn->digits + code_length, digits, length + 1);
	return true;
}

/* The North American plan. 011 comes first: it begins no area code. */
static bool complete_in_country_1(struct tn *tn, const struct dialled *number)
{
	const char *international = behind_prefix(number->digits, "011");

	if (international != NULL)
		return set_e164(tn, "", international);
	if (number->length == 10)
		return set_e164(tn, "1", number->digits);
	return number->length == 11 && number->digits[0] == '1' && set_e164(tn, "", number->digits);
}

/* RFC 8224, section 8.3: the country code is added, national and international prefixes go. */
static bool complete_by_plan(struct tn *tn, const struct dialled *number, const struct dial_plan *plan)
{
	const char *international = behind_prefix(number->digits, plan->international_prefix);
	const char *national = behind_prefix(number->digits, plan->national_prefix);

	if (strcmp(plan->country_code, "1") == 0)
		return complete_in_country_1(tn, number);
	if (international != NULL)
		return set_e164(tn, "", international);
	if (plan->country_code[0] == '\0')
		return false;

	/* A 0 behind the national prefix: an international prefix that the plan does not know. */
	if (plan->national_prefix[0] != '\0')
		return national != NULL && national[0] != '0' && set_e164(tn, plan->country_code, national);

	/* A country without national prefix, like Italy, where the 0 is part of the number. With no prefix at
	 * all, a bare number could as well begin with its country code: the plan says nothing of it. */
	return plan->international_prefix[0] != '\0' && set_e164(tn, plan->country_code, number->digits);
}

/* RFC 3966, section 5.1.5: phone-context is the first digits of the global numbers among which this one is
 * valid, or a domain name; in a peer's domains the peer's plan is valid. */
static bool complete_by_context(
	struct tn *tn, const struct dialled *number, struct span context, const struct dial_plan *plan)
{
	struct dialled area;

	if (context.length > 0 && context.at[0] != '+')
		return complete_by_plan(tn, number, plan);
	if (!dialled_read(&area, context))
		return false;
	if (strcmp(area.digits, "1") == 0)
		return complete_in_country_1(tn, number);
	if (strcmp(area.digits, plan->country_code) == 0 && complete_by_plan(tn, number, plan))
		return true;

	/* A leading 0 goes in one country (Britain) and stays in the next (Italy). */
	if (number->digits[0] == '0')
		return false;
	if (area.digits[0] == '1' && area.length + number->length != 11)
		return false;
	return set_e164(tn, area.digits, number->digits);
}

/* RFC 3966, section 3: no parameter twice. Two contexts would be two numbers, so the count is told. */
static int find_phone_context(struct span params, struct span *context)
{
	int found = 0;

	while (params.length > 0) {
		struct span value, param = split(params, ';', &params);

		if (span_is_caseless(split(param, '=', &value), "phone-context")) {
			*context = value;
			found++;
		}
	}
	return found;
}

/* telephone-subscriber of RFC 3966, section 3. Only phone-context among its parameters completes a number. */
static enum tn_kind from_subscriber(struct tn *tn, struct span text, const struct dial_plan *plan)
{
	struct span params, context = { NULL, 0 }, digits = split(text, ';', &params);
	struct dialled number;
	bool complete = false;

	if (!dialled_read(&number, digits))
		return TN_NOT_A_NUMBER;

	if (strcmp(number.digits, "911") == 0 || strcmp(number.digits, "112") == 0) {
		memcpy(tn->digits, number.digits, number.length + 1);
		return TN_EMERGENCY;
	}
	if (number.plus) {
		complete = set_e164(tn, "", number.digits);
	} else {
		switch (find_phone_context(params, &context)) {
		case 0:
			complete = complete_by_plan(tn, &number, plan);
			break;
		case 1:
			complete = complete_by_context(tn, &number, context, plan);
			break;
		}
	}
	return complete ? TN_NUMBER : TN_NOT_A_NUMBER;
}

static enum tn_kind from_tel(struct tn *tn, struct span text, const struct dial_plan *plan)
{
	char buffer[SUBSCRIBER_MAX];
	struct span subscriber;

	if (!percent_decode(&subscriber, buffer, sizeof(buffer), text))
		return TN_NOT_A_NUMBER;
	return from_subscriber(tn, subscriber, plan);
}

/* RFC 8224, section 8.1 leaves it to policy which users are numbers when there is no "user=phone". Ours: all
 * that have a canonical form, so that parameter makes no difference. */
static enum tn_kind from_sip(struct tn *tn, struct span text, const struct dial_plan *plan)
{
	char buffer[SUBSCRIBER_MAX];
	bool has_user = memchr(text.at, '@', text.length) != NULL;
	struct span behind = text, userinfo = { text.at, 0 }, host, user;

	if (has_user)
		userinfo = split(text, '@', &behind);
	host = split(split(split(behind, '?', NULL), ';', NULL), ':', NULL);
	/* A second "@" can't be there (RFC 3261, section 25.1), and would make two readers see two users. */
	if (host.length == 0 || memchr(behind.at, '@', behind.length) != NULL)
		return TN_NOT_A_NUMBER;
	if (span_is_caseless(host, "anonymous.invalid"))
		return TN_ANONYMOUS;

	if (!percent_decode(&user, buffer, sizeof(buffer), userinfo))
		return TN_NOT_A_NUMBER;
	user = split(user, ':', NULL); /* the rest is a password */
	if (span_is_caseless(split(user, ';', NULL), "anonymous"))
		return TN_ANONYMOUS;
	return from_subscriber(tn, user, plan);
}

/* RFC 5031, section 4.2: "service:sos" and what is below it; letter case does not matter. */
static enum tn_kind from_urn(struct tn *tn, struct span text)
{
	struct span below, sos;

	if (!span_is_caseless(split(text, ':', &below), "service"))
		return TN_NOT_A_NUMBER;
	sos = split(below, '.', &below);
	if (!span_is_caseless(sos, "sos"))
		return TN_NOT_A_NUMBER;
	tn->digits[0] = '\0';
	return TN_EMERGENCY;
}

enum tn_kind tn_from_uri(struct tn *tn, struct span uri, const struct dial_plan *plan)
{
	struct span scheme, rest;

	uri = span_trim(uri);
	if (uri.length == 0)
		return TN_NOT_A_NUMBER;
	scheme = split(uri, ':', &rest);
	if (rest.length == 0)
		return TN_NOT_A_NUMBER;
	if (span_is_caseless(scheme, "tel"))
		return from_tel(tn, rest, plan);
	if (span_is_caseless(scheme, "sip") || span_is_caseless(scheme, "sips"))
		return from_sip(tn, rest, plan);
	if (span_is_caseless(scheme, "urn"))
		return from_urn(tn, rest);
	return TN_NOT_A_NUMBER;
}

bool tn_from_text(struct tn *tn, struct span text)
{
	struct dialled number;

	return dialled_read(&number, span_trim(text)) && number.plus && set_e164(tn, "", number.digits);
}

bool tn_prefix_from_text(struct tn *tn, struct span text)
{
	struct dialled number;

	if (!dialled_read(&number, span_trim(text)) || !number.plus || number.digits[0] == '0')
		return false;
	memcpy(tn->digits, number.digits, number.length + 1);
	return true;
}
