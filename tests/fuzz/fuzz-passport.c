#include "fuzz.h"

#include <string.h>

#include "stirrup/passport.h"

static void walk(const struct passport *passport, struct span token)
{
	struct span bytes = passport_signed_bytes(passport);

	MUST(passport_x5u(passport) != NULL && strlen(passport_x5u(passport)) <= PASSPORT_X5U_MAX);
	MUST((passport_orig_tn(passport) == NULL) != (passport_orig_uri(passport) == NULL));
	MUST(passport_dest_tns(passport) + passport_dest_uris(passport) >= 1);
	MUST(passport_dest_tns(passport) + passport_dest_uris(passport) <= PASSPORT_TNS_MAX);
	for (size_t i = 0; i < passport_dest_tns(passport); i++)
		MUST(passport_dest_tn(passport, i)[0] != '\0');
	for (size_t i = 0; i < passport_dest_uris(passport); i++)
		MUST(passport_dest_uri(passport, i)[0] != '\0');
	MUST(passport_iat(passport) >= 0);
	if (passport_ppt(passport) != NULL && strcmp(passport_ppt(passport), "shaken") == 0)
		MUST(strchr("ABC", passport_attest(passport)) != NULL && passport_origid(passport) != NULL);
	MUST(bytes.length < token.length && memcmp(bytes.at, token.at, bytes.length) == 0 &&
		token.at[bytes.length] == '.');
	MUST(passport_has_claim(passport, span_of("orig")) && passport_has_claim(passport, span_of("iat")));
	passport_claim_is(passport, span_of("orig"), span_of("{\"tn\":\"12155551212\"}"));
	MUST(strlen(passport_header_json(passport)) > 0 && strlen(passport_payload_json(passport)) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span token = fuzz_span(data, size);
	struct passport *passport = NULL;
	const char *detail = NULL;
	enum passport_fault fault = passport_parse(&passport, token, &detail);
	char ppt[16];

	MUST((fault == PASSPORT_OK) == (passport != NULL));
	MUST(passport_fault_text(fault) != NULL && (fault == PASSPORT_OK || detail != NULL));
	if (passport != NULL)
		walk(passport, token);
	passport_free(passport);
	passport_has_ppt(token, "shaken");
	passport_read_ppt(ppt, sizeof ppt, token);
	MUST(memchr(ppt, '\0', sizeof ppt) != NULL);
	return 0;
}
