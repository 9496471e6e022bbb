#include "fuzz.h"

#include "stirrup/claim_constraints.h"

/* {"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://a.example/c"} and claims for it; the
 * signature is none. */
static const char token[] =
	"eyJhbGciOiJFUzI1NiIsInBwdCI6InNoYWtlbiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9hLmV4YW1wbGUvYyJ9"
	".eyJhdHRlc3QiOiJBIiwiZGVzdCI6eyJ0biI6WyIxMjE1NTU1MTIxMyJdfSwiaWF0IjoxNzk4NzYxNjAwLCJvcmlnIjp7InRuIjo"
	"i"
	"MTIxNTU1NTEyMTIifSwib3JpZ2lkIjoiMTIzZTQ1NjctZTg5Yi0xMmQzLWE0NTYtNDI2NjU1NDQwMDAwIn0"
	".AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct passport *passport;
	const char *detail, *why;
	char text[128];

	if (passport == NULL)
		MUST(passport_parse(&passport, span_of(token), &detail) == PASSPORT_OK);
	for (int enhanced = 0; enhanced < 2; enhanced++) {
		bool valid = claim_constraints_are_valid(data, size, enhanced != 0, &why);

		text[0] = '\0';
		/* Those that are not valid allow nothing. */
		if (claim_constraints_allow(data, size, enhanced != 0, passport, text, sizeof text))
			MUST(valid);
		else
			MUST(text[0] != '\0');
	}
	return 0;
}
