/* A chain from an x5u: its form, and what it is worth to an STI-CA that the seeds stand under. */
#include "fuzz.h"

#include <string.h>

#include <openssl/err.h>

#include "stirrup/certificate.h"
#include "stirrup/tn_auth_list.h"
#include "stirrup/trust.h"

#define NOW INT64_C(1798761600) /* 1 January 2027 */

static const struct trust *anchors(void)
{
	static struct trust *trust;
	static char pem[8192];
	FILE *file;
	char why[200];

	if (trust != NULL)
		return trust;
	trust = trust_new();
	file = fopen(FUZZ_DATA "/certificate/root.pem", "r");
	MUST(trust != NULL && file != NULL);
	MUST(fread(pem, 1, sizeof pem - 1, file) > 0);
	fclose(file);
	MUST(trust_add_anchors(trust, span_of(pem), why, sizeof why));
	return trust;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct trust_options strict = { .strict_profile = true };
	static const struct trust_options lenient;
	static struct certificate_facts facts;
	struct span text = fuzz_span(data, size);
	char why[200] = "";
	struct certificate_chain *chain = certificate_chain_parse(text, why, sizeof why);

	MUST(chain != NULL || why[0] != '\0');
	if (chain != NULL)
		MUST(certificate_chain_count(chain) > 0 && certificate_chain_tn_auth_list(chain) != NULL);
	certificate_chain_free(chain);
	trust_judge(anchors(), text, (size & 1) != 0 ? &strict : &lenient, NOW, &facts);
	MUST(facts.detail[0] != '\0' && memchr(facts.detail, '\0', sizeof facts.detail) != NULL);
	MUST(facts.spc_count <= FACTS_SPC_MAX && facts.range_count <= FACTS_RANGE_MAX);
	MUST(facts.constraints_length <= FACTS_CONSTRAINTS_MAX);
	MUST(facts.verdict != VERDICT_PASSED || (facts.not_before <= NOW && NOW <= facts.not_after));
	MUST(ERR_peek_error() == 0);
	return 0;
}
