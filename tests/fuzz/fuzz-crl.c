#include "fuzz.h"

#include "stirrup/crl.h"

#define NOW INT64_C(1798761600)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[200] = "";
	struct crl *crl = crl_parse(fuzz_span(data, size), why, sizeof why);

	MUST((crl == NULL) == (why[0] != '\0'));
	if (crl == NULL)
		return 0;
	MUST(crl_issuer(crl) != NULL);
	MUST(crl_is_same(crl, crl));
	MUST(!crl_is_newer(crl, crl, why, sizeof why));
	crl_is_current(crl, NOW, 3600, why, sizeof why);
	crl_entries(crl);
	MUST(crl_this_update(crl) < INT64_MAX && crl_next_update(crl) > INT64_MIN);
	crl_free(crl);
	return 0;
}
