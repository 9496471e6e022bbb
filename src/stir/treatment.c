#include "stirrup/treatment.h"

#include <string.h>
#include <strings.h>

/* Hosts are compared whatever their letter case (RFC 3986 section 3.2.2). "*." stands for at least one label.
 */
static bool host_matches(const char *pattern, const char *host)
{
	size_t suffix, length;

	if (strncmp(pattern, "*.", 2) != 0)
		return strcasecmp(pattern, host) == 0;
	suffix = strlen(pattern + 1);
	length = strlen(host);
	return length > suffix && strcasecmp(host + length - suffix, pattern + 1) == 0;
}

static bool matches(const struct treatment *rule, const struct treatment_question *question)
{
	const char *spc = question->spc == NULL ? "" : question->spc;
	const char *host = question->x5u_host == NULL ? "" : question->x5u_host;

	if (rule->result >= 0 && rule->result != (int)question->result)
		return false;
	if (rule->reason >= 0 && rule->reason != (int)question->reason)
		return false;
	if (rule->attestation != 0 && rule->attestation != question->attestation)
		return false;
	if (rule->spc != NULL && (spc[0] == '\0' || strcmp(rule->spc, spc) != 0))
		return false;
	return rule->x5u_host == NULL || (host[0] != '\0' && host_matches(rule->x5u_host, host));
}

const struct treatment *treatment_find(
	const struct treatment *rules, size_t count, const struct treatment_question *question)
{
	for (size_t i = 0; i < count; i++)
		if (matches(&rules[i], question))
			return &rules[i];
	return NULL;
}
