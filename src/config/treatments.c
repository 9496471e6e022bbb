#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "guess.h"
#include "reading.h"
#include "schema.h"

#define PHRASE_MAX 127
#define HEADER_MAX 255

void treatment_clear(struct treatment *treatment)
{
	free(treatment->spc);
	free(treatment->x5u_host);
	free(treatment->phrase);
	free(treatment->header);
	free(treatment->next_hop);
	if (treatment->hop != NULL)
		next_hop_clear(treatment->hop);
	free(treatment->hop);
}

/* The member's text. NULL: absent, or refused by the schema already. */
static const char *sound_text(const config_setting_t *group, const char *member)
{
	const char *text = member_text(group, member);

	if (text == NULL || text[0] == '\0')
		return NULL;
	for (const char *at = text; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return NULL;
	return text;
}

/* --- Conditions --- */

/* What verify_conclude() can give as a reason; the others are those of signing. */
static bool is_of_verification(enum verdict verdict)
{
	return verdict == VERDICT_ANONYMOUS || verdict == VERDICT_NUMBER_FORMAT ||
	       (verdict >= VERDICT_PASSED && verdict != VERDICT_PENDING);
}

static int read_reason(struct tree *tree, const config_setting_t *group)
{
	const char *text = sound_text(group, "reason");
	struct guess guess;

	if (text == NULL)
		return -1;
	guess = guess_for(text);
	for (int i = 0; i < VERDICT_COUNT; i++) {
		if (!is_of_verification((enum verdict)i))
			continue;
		if (strcmp(verdict_word((enum verdict)i), text) == 0)
			return i;
		guess_try(&guess, verdict_word((enum verdict)i));
	}
	if (guess.nearest != NULL)
		setting_error(tree, config_setting_get_member(group, "reason"),
			"\"%.60s\": verification has no such reason; did you mean \"%s\"?", text,
			guess.nearest);
	else
		setting_error(tree, config_setting_get_member(group, "reason"),
			"\"%.60s\": verification has no such reason; stirrup.conf(5) has all words", text);
	return -1;
}

static int read_result(const config_setting_t *group)
{
	const char *text = member_text(group, "result");

	return text == NULL ? -1 : (int)member_word(group, "result", result_words, VERIFY_PASSED);
}

static char read_attestation_letter(const config_setting_t *group)
{
	const char *text = member_text(group, "attestation");

	return text == NULL ? '\0' : text[0];
}

/* A literal IPv6 address stands in brackets in a URL. */
static bool is_x5u_host(const char *text)
{
	if (text[0] == '[')
		return text[strlen(text) - 1] == ']' && is_host_port(text);
	return is_host_name(span_of(strncmp(text, "*.", 2) == 0 ? text + 2 : text));
}

static char *read_x5u_host(struct tree *tree, const config_setting_t *group)
{
	const char *text = sound_text(group, "x5u_host");

	if (text == NULL)
		return NULL;
	if (!is_x5u_host(text))
		setting_error(tree, config_setting_get_member(group, "x5u_host"),
			"\"%.80s\": is not the host of a URL; write \"certs.example.net\", or "
			"\"*.example.net\" "
			"for all below it",
			text);
	return tree_copy(tree, text);
}

/* --- What is done --- */

/* RFC 3261 section 25.1: reserved, unreserved, escaped and SP. */
static bool is_phrase(const char *text)
{
	for (const char *at = text; *at != '\0'; at++) {
		if ((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z'))
			continue;
		if (*at == '%' && strspn(at + 1, "0123456789abcdefABCDEF") >= 2)
			continue;
		if (strchr(";/?:@&=+$,-_.!~*'() ", *at) == NULL)
			return false;
	}
	return text[0] != ' ' && text[strlen(text) - 1] != ' ' && strlen(text) <= PHRASE_MAX;
}

static char *read_phrase(struct tree *tree, const config_setting_t *group)
{
	const char *text = sound_text(group, "phrase");

	if (text == NULL)
		return NULL;
	if (!is_phrase(text))
		setting_error(tree, config_setting_get_member(group, "phrase"),
			"\"%.60s\": a reason phrase has 1 to %d letters, digits, blanks or "
			";/?:@&=+$,-_.!~*'(), "
			"others as %%XX (RFC 3261 section 25.1)",
			text, PHRASE_MAX);
	return tree_copy(tree, text);
}

/* Those that make the dialog, those that say what the answer is, and those that are the result of
 * verification, with the compact forms that RFC 3261 section 20 and RFC 8224 section 4 give to them. */
static const char *const our_headers[] = { "Via", "v", "From", "f", "To", "t", "Call-ID", "i", "CSeq",
	"Contact", "m", "Content-Length", "l", "Content-Type", "c", "Content-Encoding", "e", "Date",
	"Identity", "y", "Record-Route", "Route", "Max-Forwards", "P-Asserted-Identity", "Attestation-Info",
	"Origination-Id" };

static bool is_our_header(struct span name)
{
	for (size_t i = 0; i < sizeof our_headers / sizeof our_headers[0]; i++)
		if (strlen(our_headers[i]) == name.length &&
			strncasecmp(our_headers[i], name.at, name.length) == 0)
			return true;
	return false;
}

static bool is_token(struct span text)
{
	for (size_t i = 0; i < text.length; i++) {
		char c = text.at[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
			(c == '\0' || strchr("-.!%*_+`'~", c) == NULL))
			return false;
	}
	return text.length > 0;
}

/* NULL, or what is wrong with it. The schema has refused control characters, and so line breaks. */
static const char *check_header(struct span name, struct span value)
{
	if (name.at == NULL || !is_token(name))
		return "write \"Name: value\", the name without blanks (RFC 3261 section 25.1)";
	if (is_our_header(name))
		return "is a header field of our own; a rule may only add others, such as \"X-Trust: low\"";
	if (value.length == 0)
		return "has no value behind ':'";
	if (name.length + value.length > HEADER_MAX)
		return "is longer than 255 characters";
	for (size_t i = 0; i < value.length; i++)
		if (value.at[i] < ' ' || value.at[i] > '~')
			return "has a character outside of ASCII";
	return NULL;
}

static char *read_header(struct tree *tree, const config_setting_t *group)
{
	const char *text = sound_text(group, "header"), *colon, *why;
	struct span name = { NULL, 0 }, value = { NULL, 0 };
	char header[HEADER_MAX + 3];

	if (text == NULL)
		return NULL;
	colon = strchr(text, ':');
	if (colon != NULL) {
		name = span_trim((struct span){ text, (size_t)(colon - text) });
		value = span_trim(span_of(colon + 1));
	}
	why = check_header(name, value);
	if (why != NULL) {
		setting_error(tree, config_setting_get_member(group, "header"), "\"%.80s\": %s", text, why);
		return NULL;
	}
	snprintf(header, sizeof header, "%.*s: %.*s", (int)name.length, name.at, (int)value.length, value.at);
	return tree_copy(tree, header);
}

static void read_other_hop(
	struct reading *reading, struct treatment *treatment, enum mode mode, const config_setting_t *group)
{
	const char *text = sound_text(group, "next_hop");

	if (text == NULL)
		return;
	treatment->hop = tree_array(&reading->tree, 1, sizeof *treatment->hop);
	if (treatment->hop != NULL && read_next_hop(reading, treatment->hop, mode,
					      config_setting_get_member(group, "next_hop"), text))
		treatment->next_hop = tree_copy(&reading->tree, treatment->hop->text);
}

/* --- What cannot be meant --- */

static void report_idle(
	struct tree *tree, const config_setting_t *group, const char *const *members, const char *because)
{
	for (; *members != NULL; members++) {
		const config_setting_t *setting = config_setting_get_member(group, *members);

		if (setting != NULL)
			setting_error(tree, setting, "is set, but %s", because);
	}
}

/* The result that goes with a reason; -1: any, as no reason is asked for, or verification.replay decides. */
static int result_of(const struct config *config, int reason)
{
	if (reason < 0 || reason == VERDICT_REPLAYED)
		return -1;
	if (reason == VERDICT_PASSED)
		return VERIFY_PASSED;
	if (verdict_is_failed((enum verdict)reason))
		return VERIFY_FAILED;
	return config->verification.verstat_failed_on_any && verdict_refuses_token((enum verdict)reason)
		       ? VERIFY_FAILED
		       : VERIFY_NO_VALIDATION;
}

static void warn_of_contradiction(
	struct reading *reading, const struct treatment *treatment, const config_setting_t *group)
{
	int result = result_of(reading->config, treatment->reason);

	if (result >= 0 && treatment->result >= 0 && result != treatment->result)
		setting_warning(&reading->tree, group,
			"never applies: the result of a call with the reason \"%s\" is \"%s\"",
			verdict_word((enum verdict)treatment->reason),
			verify_result_word((enum verify_result)result));
}

/* What holds for the conditions of a rule as if they were a call's facts holds for all of its calls. */
static void warn_of_unreachable(
	struct tree *tree, const struct treatment *rules, size_t index, const config_setting_t *group)
{
	const struct treatment *rule = &rules[index], *before;
	struct treatment_question question = {
		.result = (enum verify_result)rule->result,
		.reason = (enum verdict)rule->reason,
		.attestation = rule->attestation,
		.spc = rule->spc,
		.x5u_host = rule->x5u_host,
	};

	before = treatment_find(rules, index, &question);
	if (before != NULL)
		setting_warning(tree, group,
			"is never reached: the rule of line %u decides for all its calls", before->line);
}

/* --- Rules --- */

static void read_treatment(
	struct reading *reading, struct treatment *treatment, enum mode mode, const config_setting_t *group)
{
	static const char *const of_rejection[] = { "status", "phrase", NULL };
	static const char *const of_redirection[] = { "next_hop", NULL };
	const config_setting_t *status = config_setting_get_member(group, "status");
	struct tree *tree = &reading->tree;

	treatment->result = read_result(group);
	treatment->reason = read_reason(tree, group);
	treatment->attestation = read_attestation_letter(group);
	treatment->spc = read_spc(tree, group);
	treatment->x5u_host = read_x5u_host(tree, group);
	treatment->reject =
		member_word(group, "action", on_failure_words, ON_FAILURE_CONTINUE) == ON_FAILURE_REJECT;
	treatment->status = status == NULL ? 0 : (unsigned)config_setting_get_int64(status);
	treatment->phrase = read_phrase(tree, group);
	treatment->header = read_header(tree, group);
	read_other_hop(reading, treatment, mode, group);
	treatment->line = config_setting_source_line(group);
	if (treatment->reject)
		report_idle(tree, group, of_redirection, "action = \"reject\": the call goes nowhere");
	else if (member_text(group, "action") != NULL)
		report_idle(tree, group, of_rejection, "action = \"continue\": the call is not refused");
}

struct treatment *read_treatments(
	struct reading *reading, enum mode mode, const config_setting_t *group, size_t *count)
{
	const config_setting_t *list = config_setting_get_member(group, "treatment");
	int length = list != NULL && config_setting_is_list(list) ? config_setting_length(list) : 0;
	struct treatment *rules = tree_array(&reading->tree, (size_t)length, sizeof *rules);

	*count = 0;
	for (int i = 0; rules != NULL && i < length; i++) {
		const config_setting_t *entry = config_setting_get_elem(list, (unsigned)i);

		if (!config_setting_is_group(entry))
			continue;
		read_treatment(reading, &rules[*count], mode, entry);
		/* With an error somewhere, a condition may not be the one that was meant. */
		if (config_report_errors(reading->tree.report) == 0) {
			warn_of_contradiction(reading, &rules[*count], entry);
			warn_of_unreachable(&reading->tree, rules, *count, entry);
		}
		++*count;
	}
	return rules;
}
