#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "made-token.h"
#include "published.h"
#include "stirrup/verify.h"

#define NOW 1793000000 /* Mon, 26 Oct 2026 07:33:20 GMT */
#define X5U "https://certs.example.net/a.pem"
#define INFO ";info=<" X5U ">"
#define PARAMETERS INFO ";alg=ES256;ppt=shaken"
#define CALLER "<sip:+12155551212@example.com>;tag=1"
#define CALLEE "<sip:+12155551213@example.com>"

#define HEADER_OF(alg, ppt, typ) "{\"alg\":" alg ",\"ppt\":" ppt ",\"typ\":" typ ",\"x5u\":\"" X5U "\"}"
#define HEADER HEADER_OF("\"ES256\"", "\"shaken\"", "\"passport\"")
#define BASE "{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"" X5U "\"}"
#define ATTEST "\"attest\":\"A\""
#define DEST "\"dest\":{\"tn\":[\"12155551213\"]}"
#define IAT "\"iat\":1793000000"
#define ORIG "\"orig\":{\"tn\":\"12155551212\"}"
#define ORIGID "\"origid\":\"123e4567-e89b-12d3-a456-426655440000\""
#define PAYLOAD "{" ATTEST "," DEST "," IAT "," ORIG "," ORIGID "}"

static const unsigned ports[] = { 443, 8443 };
static const struct dial_plan north_america = { .country_code = "1" };
static struct token_maker *maker;

static int start(void **state)
{
	maker = token_maker_new();
	return 0;
}

static int stop(void **state)
{
	token_maker_free(maker);
	return 0;
}

/* One call with one Identity. What is NULL is as in a good one. */
struct trial {
	const char *behaviour;
	enum verdict verdict;
	const char *header, *payload;
	const char *parameters;
	enum made_by by;
	const char *from, *to, *pai, *second_pai, *date, *request_uri;
	enum identity_from identity_from;
	int64_t freshness_s; /* 0: 60 */
	char attest;         /* 0: not looked at */
};

static void fill_facts(struct certificate_facts *facts)
{
	*facts = (struct certificate_facts){
		.x5u = X5U,
		.verdict = VERDICT_PASSED,
		.not_before = NOW - 86400,
		.not_after = NOW + 86400,
		.spc_count = 1,
		.spc = { "1234" },
	};
}

static struct span or(const char *text, const char *otherwise)
{
	return span_of(text == NULL ? otherwise : text);
}

static void begin_trial(struct verification *verification, const struct trial *trial, struct span identity)
{
	struct call_facts facts = {
		.request_uri = or(trial->request_uri, "sip:+12155551213@example.com"),
		.from = or(trial->from, CALLER),
		.to = or(trial->to, CALLEE),
		.date = or(trial->date, ""),
		.pai = { or(trial->pai, ""), or(trial->second_pai, "") },
		.pai_count = trial->second_pai != NULL ? 2 : trial->pai != NULL ? 1 : 0,
		.identity = { identity },
		.identity_count = 1,
	};
	struct verify_policy policy = {
		.identity_from = trial->identity_from,
		.dial_plan = &north_america,
		.freshness_s = trial->freshness_s == 0 ? 60 : trial->freshness_s,
		.ports = ports,
		.port_count = 2,
	};

	verify_begin(verification, &facts, &policy, NOW);
}

/* The value of an Identity header field; stays until the next one. */
static struct span identity_of(const struct trial *trial)
{
	static char value[MADE_TOKEN_MAX + 4096];
	struct span token = make_token_of(maker, or(trial->header, HEADER), or(trial->payload, PAYLOAD), trial->by);

	memcpy(value, token.at, token.length);
	strcpy(value + token.length, trial->parameters == NULL ? PARAMETERS : trial->parameters);
	return span_of(value);
}

static void judge_pending(struct verification *verification, const struct certificate_facts *facts)
{
	for (size_t i = 0; i < verification->count; i++)
		if (verification->identities[i].verdict == VERDICT_PENDING)
			verify_credential(verification, i, facts, maker->key, NOW);
}

static void check_trial(const struct trial *trial)
{
	struct certificate_facts facts;
	struct verification verification;
	const struct verify_identity *identity = &verification.identities[0];

	fill_facts(&facts);
	begin_trial(&verification, trial, identity_of(trial));
	judge_pending(&verification, &facts);
	assert_int_equal(verification.count, 1);
	if (identity->verdict != trial->verdict)
		fail_msg("%s: %s (%s), not %s", trial->behaviour, verdict_word(identity->verdict), identity->detail,
			verdict_word(trial->verdict));
	if (trial->attest != 0)
		assert_int_equal(identity->attest, trial->attest);
	assert_true(strlen(identity->detail) > 0);
	for (const char *p = identity->detail; *p != '\0'; p++)
		assert_in_range(*p, 0x20, 0x7e);
	verification_clear(&verification);
}

static void check_trials(const struct trial *trials, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_trial(&trials[i]);
}
#define CHECK(trials) check_trials(trials, sizeof(trials) / sizeof *(trials))

/* --- RFC 8224 section 4: the header field --- */

static void the_header_field(void **state)
{
	static const struct trial trials[] = {
		{ "as RFC 8224 has it", VERDICT_PASSED, .by = MADE_BY_ES256 },
		{ "quoted", VERDICT_PASSED, .parameters = INFO ";alg=\"ES256\";ppt=\"shaken\"" },
		{ "in any order", VERDICT_PASSED, .parameters = ";ppt=shaken;alg=ES256" INFO },
		{ "in any letter case", VERDICT_PASSED, .parameters = ";INFO=<" X5U ">;Alg=es256;PPT=Shaken" },
		{ "with white space", VERDICT_PASSED, .parameters = " ; info = <" X5U "> ;alg = ES256\r\n ; ppt\t=shaken " },
		{ "without alg", VERDICT_PASSED, .parameters = INFO ";ppt=shaken" },
		{ "ppt in the token only", VERDICT_PASSED, .parameters = INFO ";alg=ES256" },
		{ "info only", VERDICT_PASSED, .parameters = INFO },
		{ "unknown parameters", VERDICT_PASSED, .parameters = INFO ";x;y=\"a;b,c\";canon=z;ppt=shaken" },
		{ "a comma behind it", VERDICT_PASSED, .parameters = PARAMETERS " , " },
		{ "no parameter", VERDICT_MALFORMED_IDENTITY, .parameters = "" },
		{ "a parameter twice", VERDICT_MALFORMED_IDENTITY, .parameters = PARAMETERS ";ppt=shaken" },
		{ "info twice", VERDICT_MALFORMED_IDENTITY, .parameters = PARAMETERS INFO },
		{ "an empty info", VERDICT_MALFORMED_IDENTITY, .parameters = ";info=<>;ppt=shaken" },
		{ "info not in <>", VERDICT_MALFORMED_IDENTITY, .parameters = ";info=" X5U ";ppt=shaken" },
		{ "info without its end", VERDICT_MALFORMED_IDENTITY, .parameters = ";info=<" X5U },
		{ "no info", VERDICT_NO_INFO, .parameters = ";alg=ES256;ppt=shaken" },
	};

	CHECK(trials);
}

/* ATIS-1000074 section 5.3.1; what else is wrong with a URL is x5u_url's business. */
static void info_and_x5u(void **state)
{
	static const struct trial trials[] = {
		{ "http", VERDICT_BAD_INFO_URI, .parameters = ";info=<http://certs.example.net/a.pem>;ppt=shaken" },
		{ "a file", VERDICT_BAD_INFO_URI, .parameters = ";info=<file:///etc/passwd>;ppt=shaken" },
		{ "a path", VERDICT_BAD_INFO_URI, .parameters = ";info=</etc/passwd>;ppt=shaken" },
		{ "another port", VERDICT_BAD_INFO_URI, .parameters = ";info=<https://certs.example.net:22/a>;ppt=shaken" },
		{ "a user", VERDICT_BAD_INFO_URI, .parameters = ";info=<https://u@certs.example.net/a>;ppt=shaken" },
		{ "a query", VERDICT_BAD_INFO_URI, .parameters = ";info=<" X5U "?a>;ppt=shaken" },
		{ "a fragment", VERDICT_BAD_INFO_URI, .parameters = ";info=<" X5U "#a>;ppt=shaken" },
		{ "port 8443", VERDICT_INFO_MISMATCH, .parameters = ";info=<https://certs.example.net:8443/a.pem>;ppt=shaken" },
		{ "another host", VERDICT_INFO_MISMATCH, .parameters = ";info=<https://certs.example.com/a.pem>;ppt=shaken" },
		{ "the same URL, written otherwise", VERDICT_INFO_MISMATCH,
			.parameters = ";info=<https://Certs.example.net/a.pem>;ppt=shaken" },
		{ "with its port", VERDICT_INFO_MISMATCH,
			.parameters = ";info=<https://certs.example.net:443/a.pem>;ppt=shaken" },
		{ "the beginning of it", VERDICT_INFO_MISMATCH, .parameters = ";info=<https://certs.example.net/a>;ppt=shaken" },
		{ "x5u escaped in the JSON is the same text", VERDICT_PASSED,
			.header = "{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\","
				  "\"x5u\":\"https:\\/\\/certs.example.net\\/a.pem\"}" },
	};

	CHECK(trials);
}

/* RFC 8224 section 6.2, step 1: ignored, whatever is in it. RFC 8588 section 7: no compact form. */
static void types(void **state)
{
	static const struct trial trials[] = {
		{ "div by its parameter", VERDICT_UNSUPPORTED_PPT, .parameters = INFO ";ppt=div" },
		{ "div by its parameter, shaken in the token", VERDICT_UNSUPPORTED_PPT, .parameters = INFO ";ppt=\"div\"" },
		{ "div in the token only", VERDICT_UNSUPPORTED_PPT,
			.header = HEADER_OF("\"ES256\"", "\"div\"", "\"passport\""), .parameters = INFO },
		{ "another type may have another alg", VERDICT_UNSUPPORTED_PPT,
			.header = HEADER_OF("\"ES384\"", "\"new\"", "\"passport\""), .parameters = INFO, .by = MADE_BY_ES384 },
		{ "and other claims", VERDICT_UNSUPPORTED_PPT, .payload = "[]", .parameters = INFO ";ppt=rcd" },
		{ "a type without info", VERDICT_UNSUPPORTED_PPT, .parameters = ";ppt=rph" },
		{ "a base PASSporT in full form", VERDICT_PASSED, .header = BASE, .parameters = INFO ";alg=ES256" },
		{ "Shaken in the token is another type", VERDICT_UNSUPPORTED_PPT,
			.header = HEADER_OF("\"ES256\"", "\"Shaken\"", "\"passport\""), .parameters = INFO },
		{ "which the parameter must not hide", VERDICT_BAD_PPT,
			.header = HEADER_OF("\"ES256\"", "\"Shaken\"", "\"passport\"") },
		{ "div in the token, shaken by parameter", VERDICT_BAD_PPT,
			.header = HEADER_OF("\"ES256\"", "\"div\"", "\"passport\"") },
	};

	CHECK(trials);
}

static enum verdict verdict_of_value(struct span value)
{
	static const struct trial good = { .behaviour = "" };
	struct certificate_facts facts;
	struct verification verification;
	enum verdict verdict;

	fill_facts(&facts);
	begin_trial(&verification, &good, value);
	judge_pending(&verification, &facts);
	verdict = verification.count == 0 ? VERDICT_NO_IDENTITY : verification.identities[0].verdict;
	verification_clear(&verification);
	return verdict;
}

#define SIGNATURE "VLBCIVDCaeK6M4hLJb6SHQvacAQVvoiiEOWQ_iUkqk79UD81fHQ0E1b3_GluIkba7UWYRM47ZbNFdOJquE35cw"

static void forms(void **state)
{
	static const struct {
		const char *value;
		enum verdict verdict;
	} cases[] = {
		{ ".." SIGNATURE PARAMETERS, VERDICT_COMPACT_FORM },
		{ "..x" PARAMETERS, VERDICT_COMPACT_FORM },
		{ ".." SIGNATURE ";ppt=shaken", VERDICT_COMPACT_FORM },
		{ ".." SIGNATURE INFO ";alg=ES256", VERDICT_UNSUPPORTED_PPT },
		{ ".." SIGNATURE INFO ";ppt=div", VERDICT_UNSUPPORTED_PPT },
		{ ".." PARAMETERS, VERDICT_MALFORMED_PASSPORT },
		{ "..." PARAMETERS, VERDICT_MALFORMED_PASSPORT },
		{ "..a.b" PARAMETERS, VERDICT_MALFORMED_PASSPORT },
		{ "abc" PARAMETERS, VERDICT_MALFORMED_PASSPORT },
		{ "a.b" PARAMETERS, VERDICT_MALFORMED_PASSPORT },
		{ "a.b.c.d" PARAMETERS, VERDICT_MALFORMED_PASSPORT },
		{ ".e30." SIGNATURE PARAMETERS, VERDICT_MALFORMED_PASSPORT },
		{ "e30.." SIGNATURE PARAMETERS, VERDICT_MALFORMED_PASSPORT },
		{ "W10.e30." SIGNATURE PARAMETERS, VERDICT_MALFORMED_PASSPORT },
		{ "e30.e30." SIGNATURE PARAMETERS, VERDICT_MISSING_HEADER_MEMBER },
		{ "e30=.e30." SIGNATURE PARAMETERS, VERDICT_MALFORMED_PASSPORT },
		{ "e31.e30." SIGNATURE PARAMETERS, VERDICT_MALFORMED_PASSPORT },
		{ "", VERDICT_NO_IDENTITY },
		{ " \t ", VERDICT_NO_IDENTITY },
		{ ",", VERDICT_MALFORMED_IDENTITY },
		{ ";", VERDICT_MALFORMED_IDENTITY },
		{ "\"", VERDICT_MALFORMED_IDENTITY },
		/* In DER, and cut off. */
		{ VONAGE_IDENTITY, VERDICT_BAD_SIGNATURE },
		{ PORTSIP_IDENTITY, VERDICT_MALFORMED_IDENTITY },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		enum verdict verdict = verdict_of_value(span_of(cases[i].value));

		if (verdict != cases[i].verdict)
			fail_msg("%.60s: %s, not %s", cases[i].value, verdict_word(verdict),
				verdict_word(cases[i].verdict));
	}
}

/* --- Algorithm confusion and key injection --- */

#define WITH(member) "{\"alg\":\"ES256\"," member ",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":\"" X5U "\"}"
#define ALG(alg) HEADER_OF(alg, "\"shaken\"", "\"passport\"")
#define TYP(typ) HEADER_OF("\"ES256\"", "\"shaken\"", typ)
#define PPT(ppt) HEADER_OF("\"ES256\"", ppt, "\"passport\"")

static void algorithm_confusion(void **state)
{
	static const struct trial trials[] = {
		{ "none, unsigned", VERDICT_BAD_ALG, .header = ALG("\"none\""), .by = MADE_BY_NOBODY },
		{ "None", VERDICT_BAD_ALG, .header = ALG("\"None\""), .by = MADE_BY_NOBODY },
		{ "NONE", VERDICT_BAD_ALG, .header = ALG("\"NONE\""), .by = MADE_BY_NOBODY },
		{ "nOnE", VERDICT_BAD_ALG, .header = ALG("\"nOnE\""), .by = MADE_BY_NOBODY },
		{ "none, yet signed", VERDICT_BAD_ALG, .header = ALG("\"none\"") },
		{ "empty", VERDICT_BAD_ALG, .header = ALG("\"\""), .by = MADE_BY_NOBODY },
		{ "empty, yet signed", VERDICT_BAD_ALG, .header = ALG("\"\"") },
		{ "HS256 keyed with the public key", VERDICT_BAD_ALG, .header = ALG("\"HS256\""), .by = MADE_BY_HS256 },
		{ "HS384", VERDICT_BAD_ALG, .header = ALG("\"HS384\""), .by = MADE_BY_HS384 },
		{ "HS512, as long as ES256", VERDICT_BAD_ALG, .header = ALG("\"HS512\""), .by = MADE_BY_HS512 },
		{ "hs256", VERDICT_BAD_ALG, .header = ALG("\"hs256\""), .by = MADE_BY_HS256 },
		{ "HS512 by the parameter, too", VERDICT_BAD_ALG, .header = ALG("\"HS512\""), .by = MADE_BY_HS512,
			.parameters = INFO ";alg=HS512;ppt=shaken" },
		{ "HS256 by the parameter, too", VERDICT_BAD_ALG, .header = ALG("\"HS256\""), .by = MADE_BY_HS256,
			.parameters = INFO ";alg=HS256;ppt=shaken" },
		{ "an HMAC called ES256", VERDICT_BAD_SIGNATURE, .by = MADE_BY_HS512 },
		{ "a short HMAC called ES256", VERDICT_BAD_SIGNATURE, .by = MADE_BY_HS256 },
		{ "RS256", VERDICT_BAD_ALG, .header = ALG("\"RS256\"") },
		{ "RS384", VERDICT_BAD_ALG, .header = ALG("\"RS384\"") },
		{ "RS512", VERDICT_BAD_ALG, .header = ALG("\"RS512\"") },
		{ "PS256", VERDICT_BAD_ALG, .header = ALG("\"PS256\"") },
		{ "PS512", VERDICT_BAD_ALG, .header = ALG("\"PS512\"") },
		{ "ES384", VERDICT_BAD_ALG, .header = ALG("\"ES384\""), .by = MADE_BY_ES384 },
		{ "ES384 called ES256", VERDICT_BAD_SIGNATURE, .by = MADE_BY_ES384 },
		{ "ES512", VERDICT_BAD_ALG, .header = ALG("\"ES512\"") },
		{ "ES256K", VERDICT_BAD_ALG, .header = ALG("\"ES256K\"") },
		{ "EdDSA", VERDICT_BAD_ALG, .header = ALG("\"EdDSA\"") },
		{ "dir", VERDICT_BAD_ALG, .header = ALG("\"dir\"") },
		{ "RSA1_5", VERDICT_BAD_ALG, .header = ALG("\"RSA1_5\"") },
		{ "ECDH-ES", VERDICT_BAD_ALG, .header = ALG("\"ECDH-ES\"") },
		{ "es256", VERDICT_BAD_ALG, .header = ALG("\"es256\"") },
		{ "Es256", VERDICT_BAD_ALG, .header = ALG("\"Es256\"") },
		{ "a space behind", VERDICT_BAD_ALG, .header = ALG("\"ES256 \"") },
		{ "a space before", VERDICT_BAD_ALG, .header = ALG("\" ES256\"") },
		{ "a line end behind", VERDICT_BAD_ALG, .header = ALG("\"ES256\\n\"") },
		{ "a NUL behind", VERDICT_MALFORMED_PASSPORT, .header = ALG("\"ES256\\u0000\"") },
		{ "a letter that looks like E", VERDICT_BAD_ALG, .header = ALG("\"\\u0415S256\"") },
		{ "ES256 with an escape in it is ES256", VERDICT_PASSED, .header = ALG("\"\\u0045S256\"") },
		{ "an array", VERDICT_BAD_ALG, .header = ALG("[\"ES256\"]") },
		{ "an object", VERDICT_BAD_ALG, .header = ALG("{\"ES256\":1}") },
		{ "a number", VERDICT_BAD_ALG, .header = ALG("256") },
		{ "true", VERDICT_BAD_ALG, .header = ALG("true") },
		{ "null", VERDICT_BAD_ALG, .header = ALG("null") },
		{ "alg twice", VERDICT_MALFORMED_PASSPORT, .header = WITH("\"alg\":\"ES256\"") },
		{ "alg twice, the second one none", VERDICT_MALFORMED_PASSPORT, .header = WITH("\"alg\":\"none\"") },
		{ "alg twice, once escaped", VERDICT_MALFORMED_PASSPORT, .header = WITH("\"\\u0061lg\":\"none\"") },
		{ "ALG beside alg counts for nothing", VERDICT_PASSED, .header = WITH("\"ALG\":\"none\"") },
		{ "no alg", VERDICT_MISSING_HEADER_MEMBER,
			.header = "{\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":\"" X5U "\"}" },
		{ "alg in the payload only", VERDICT_MISSING_HEADER_MEMBER,
			.header = "{\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":\"" X5U "\"}",
			.payload = "{\"alg\":\"ES256\"," ATTEST "," DEST "," IAT "," ORIG "," ORIGID "}" },
		{ "parameter none", VERDICT_BAD_ALG, .parameters = INFO ";alg=none;ppt=shaken" },
		{ "parameter HS256", VERDICT_BAD_ALG, .parameters = INFO ";alg=HS256;ppt=shaken" },
		{ "parameter ES384", VERDICT_BAD_ALG, .parameters = INFO ";alg=ES384;ppt=shaken" },
		{ "parameter RS256, quoted", VERDICT_BAD_ALG, .parameters = INFO ";alg=\"RS256\";ppt=shaken" },
		{ "parameter with a space", VERDICT_BAD_ALG, .parameters = INFO ";alg=\"ES256 \";ppt=shaken" },
		{ "crit", VERDICT_CRITICAL_EXTENSION, .header = WITH("\"crit\":[\"exp\"],\"exp\":1") },
		{ "crit with b64", VERDICT_CRITICAL_EXTENSION, .header = WITH("\"crit\":[\"b64\"],\"b64\":false") },
		{ "crit of a member that we know", VERDICT_CRITICAL_EXTENSION, .header = WITH("\"crit\":[\"x5u\"]") },
		{ "crit empty", VERDICT_CRITICAL_EXTENSION, .header = WITH("\"crit\":[]") },
		{ "crit null", VERDICT_CRITICAL_EXTENSION, .header = WITH("\"crit\":null") },
		{ "b64 false without crit is not obeyed", VERDICT_PASSED, .header = WITH("\"b64\":false") },
		{ "a key inside, signed with it", VERDICT_BAD_SIGNATURE,
			.header = WITH("\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}"),
			.by = MADE_BY_OTHER_KEY },
		{ "a symmetric key inside", VERDICT_BAD_SIGNATURE, .header = WITH("\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}"),
			.by = MADE_BY_HS512 },
		{ "a chain inside", VERDICT_BAD_SIGNATURE, .header = WITH("\"x5c\":[\"MIIB\"]"), .by = MADE_BY_OTHER_KEY },
		{ "jku", VERDICT_BAD_SIGNATURE, .header = WITH("\"jku\":\"https://evil.example/k\""), .by = MADE_BY_OTHER_KEY },
		{ "kid", VERDICT_BAD_SIGNATURE, .header = WITH("\"kid\":\"../../dev/null\""), .by = MADE_BY_OTHER_KEY },
		{ "x5t", VERDICT_BAD_SIGNATURE, .header = WITH("\"x5t\":\"AA\""), .by = MADE_BY_OTHER_KEY },
		{ "such members on a good token are ignored", VERDICT_PASSED,
			.header = WITH("\"jwk\":{},\"x5c\":[\"A\"],\"kid\":\"1\",\"jku\":\"https://b.example\"") },
		{ "zip", VERDICT_PASSED, .header = WITH("\"zip\":\"DEF\"") },
		{ "enc does not make it a JWE", VERDICT_PASSED, .header = WITH("\"enc\":\"A128GCM\"") },
		{ "another key", VERDICT_BAD_SIGNATURE, .by = MADE_BY_OTHER_KEY },
		{ "unsigned", VERDICT_BAD_SIGNATURE, .by = MADE_BY_NOBODY },
		{ "r and s zero", VERDICT_BAD_SIGNATURE, .by = MADE_BY_ZEROS },
		{ "r and s the order of the curve", VERDICT_BAD_SIGNATURE, .by = MADE_BY_ORDER },
		{ "r and s beyond it", VERDICT_BAD_SIGNATURE, .by = MADE_BY_ONES },
		{ "a signature in DER", VERDICT_BAD_SIGNATURE, .by = MADE_BY_DER },
		{ "s flipped: the same signature to everybody", VERDICT_PASSED, .by = MADE_BY_FLIPPED_S },
		{ "typ JWT", VERDICT_BAD_TYP, .header = TYP("\"JWT\"") },
		{ "typ Passport", VERDICT_BAD_TYP, .header = TYP("\"Passport\"") },
		{ "typ with a space", VERDICT_BAD_TYP, .header = TYP("\"passport \"") },
		{ "typ an array", VERDICT_BAD_TYP, .header = TYP("[\"passport\"]") },
		{ "typ null", VERDICT_BAD_TYP, .header = TYP("null") },
		{ "ppt an array", VERDICT_MALFORMED_PASSPORT, .header = PPT("[\"shaken\"]") },
		{ "ppt null", VERDICT_MALFORMED_PASSPORT, .header = PPT("null") },
		{ "ppt empty", VERDICT_MALFORMED_PASSPORT, .header = PPT("\"\"") },
		{ "ppt with a space", VERDICT_BAD_PPT, .header = PPT("\"shaken \"") },
		{ "ppt twice", VERDICT_MALFORMED_PASSPORT, .header = WITH("\"ppt\":\"div\"") },
		{ "x5u twice", VERDICT_MALFORMED_PASSPORT, .header = WITH("\"x5u\":\"https://evil.example/c\"") },
		{ "x5u an array", VERDICT_MALFORMED_PASSPORT,
			.header = "{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":[\"" X5U "\"]}" },
		{ "X5U beside x5u counts for nothing", VERDICT_PASSED, .header = WITH("\"X5U\":\"https://evil.example/c\"") },
	};

	assert_true(sizeof trials / sizeof *trials >= 60);
	CHECK(trials);
}

/* --- The claims against the call --- */

#define CLAIMS(dest, orig) "{" ATTEST "," dest "," IAT "," orig "," ORIGID "}"
#define ORIG_IS(tn) CLAIMS(DEST, "\"orig\":" tn)
#define DEST_IS(value) CLAIMS("\"dest\":" value, ORIG)
#define IAT_IS(value) "{" ATTEST "," DEST ",\"iat\":" value "," ORIG "," ORIGID "}"
#define PRIVATE "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1"

static void orig(void **state)
{
	static const struct trial trials[] = {
		{ "another number", VERDICT_ORIG_MISMATCH, .payload = ORIG_IS("{\"tn\":\"12155551211\"}") },
		{ "one digit less", VERDICT_ORIG_MISMATCH, .payload = ORIG_IS("{\"tn\":\"1215555121\"}") },
		{ "one digit more", VERDICT_ORIG_MISMATCH, .payload = ORIG_IS("{\"tn\":\"121555512120\"}") },
		{ "no country code: not ours to guess", VERDICT_ORIG_MISMATCH, .payload = ORIG_IS("{\"tn\":\"2155551212\"}") },
		{ "its plus left in", VERDICT_PASSED, .payload = ORIG_IS("{\"tn\":\"+12155551212\"}") },
		{ "its separators left in", VERDICT_PASSED, .payload = ORIG_IS("{\"tn\":\"+1 (215) 555-1212\"}") },
		{ "plus and another number", VERDICT_ORIG_MISMATCH, .payload = ORIG_IS("{\"tn\":\"+12155551211\"}") },
		{ "something behind it", VERDICT_ORIG_MISMATCH, .payload = ORIG_IS("{\"tn\":\"12155551212;x\"}") },
		{ "Unicode digits", VERDICT_ORIG_MISMATCH, .payload = ORIG_IS("{\"tn\":\"1215555121\\u0662\"}") },
		{ "a URI instead", VERDICT_ORIG_MISMATCH, .payload = ORIG_IS("{\"uri\":\"sip:+12155551212@example.com\"}") },
		{ "a national From", VERDICT_PASSED, .from = "<sip:2155551212@example.com>" },
		{ "a tel From", VERDICT_PASSED, .from = "<tel:+1-215-555-1212>" },
		{ "a From with trunk group", VERDICT_PASSED,
			.from = "<sip:+12155551212;tgrp=a;trunk-context=b@example.com>" },
		{ "PAI before From", VERDICT_PASSED, .from = "<sip:+13125550000@a>", .pai = "<tel:+12155551212>" },
		{ "anonymous, with PAI", VERDICT_PASSED, .from = PRIVATE, .pai = "<tel:+12155551212>" },
		{ "From has it, PAI another", VERDICT_ORIG_MISMATCH, .pai = "<tel:+13125550000>" },
		{ "the second PAI has it", VERDICT_ORIG_MISMATCH, .pai = "<sip:+13125550000@a>, <tel:+12155551212>" },
		{ "the second PAI line has it", VERDICT_ORIG_MISMATCH, .pai = "<tel:+13125550000>",
			.second_pai = "<tel:+12155551212>" },
		{ "a name, then the number, in PAI", VERDICT_PASSED, .pai = "<sip:alice@a>, <tel:+12155551212>" },
		{ "From only", VERDICT_PASSED, .pai = "<tel:+13125550000>", .identity_from = IDENTITY_FROM_FROM },
		{ "From only, PAI has it", VERDICT_ORIG_MISMATCH, .from = "<sip:+13125550000@a>",
			.pai = "<tel:+12155551212>", .identity_from = IDENTITY_FROM_FROM },
		{ "PAI only, none there", VERDICT_NUMBER_FORMAT, .identity_from = IDENTITY_FROM_PAI },
		{ "anonymous without PAI", VERDICT_ANONYMOUS, .from = PRIVATE },
		{ "a name calls", VERDICT_NUMBER_FORMAT, .from = "<sip:alice@example.com>" },
		{ "From is no address", VERDICT_NUMBER_FORMAT, .from = "garbage" },
		{ "orig.tn an array", VERDICT_BAD_CLAIM, .payload = ORIG_IS("{\"tn\":[\"12155551212\"]}") },
		{ "orig of two", VERDICT_BAD_CLAIM, .payload = ORIG_IS("{\"tn\":\"12155551212\",\"uri\":\"sip:a@b\"}") },
		{ "orig twice", VERDICT_MALFORMED_PASSPORT,
			.payload = "{" ATTEST "," DEST "," IAT ",\"orig\":{\"tn\":\"1\"}," ORIG "," ORIGID "}" },
		{ "orig.tn twice", VERDICT_MALFORMED_PASSPORT, .payload = ORIG_IS("{\"tn\":\"1\",\"tn\":\"12155551212\"}") },
	};

	CHECK(trials);
}

static void dest(void **state)
{
	static const struct trial trials[] = {
		{ "another number", VERDICT_DEST_MISMATCH, .payload = DEST_IS("{\"tn\":[\"12155551214\"]}") },
		{ "the caller's number", VERDICT_DEST_MISMATCH, .payload = DEST_IS("{\"tn\":[\"12155551212\"]}") },
		{ "the second of two", VERDICT_PASSED, .payload = DEST_IS("{\"tn\":[\"12155550000\",\"12155551213\"]}") },
		{ "the first of two, unsorted", VERDICT_PASSED, .payload = DEST_IS("{\"tn\":[\"12155551213\",\"12155550000\"]}") },
		{ "none of two", VERDICT_DEST_MISMATCH, .payload = DEST_IS("{\"tn\":[\"12155550000\",\"12155550001\"]}") },
		{ "beside a URI", VERDICT_PASSED, .payload = DEST_IS("{\"tn\":[\"12155551213\"],\"uri\":[\"sip:a@b\"]}") },
		{ "a URI only", VERDICT_DEST_MISMATCH, .payload = DEST_IS("{\"uri\":[\"sip:+12155551213@example.com\"]}") },
		{ "its plus left in", VERDICT_PASSED, .payload = DEST_IS("{\"tn\":[\"+12155551213\"]}") },
		{ "To, not the Request-URI", VERDICT_PASSED, .request_uri = "sip:+19995550000@example.com" },
		{ "the Request-URI only", VERDICT_DEST_MISMATCH, .to = "<sip:+12155559999@example.com>" },
		{ "a national To", VERDICT_PASSED, .to = "<sip:2155551213@example.com>" },
		{ "a ported To", VERDICT_PASSED, .to = "<sip:+12155551213;npdi;rn=+12155550000@example.com;user=phone>" },
		{ "a name is called", VERDICT_NUMBER_FORMAT, .to = "<sip:bob@example.com>" },
		{ "To is no address", VERDICT_NUMBER_FORMAT, .to = "" },
		{ "911", VERDICT_PASSED, .payload = DEST_IS("{\"tn\":[\"911\"]}"), .to = "<sip:911@example.com>" },
		{ "911 for 112", VERDICT_DEST_MISMATCH, .payload = DEST_IS("{\"tn\":[\"911\"]}"), .to = "<tel:112>" },
		{ "an emergency by URN", VERDICT_PASSED, .payload = DEST_IS("{\"uri\":[\"urn:service:sos\"]}"),
			.to = "<urn:service:sos>" },
		{ "in other letters", VERDICT_PASSED, .payload = DEST_IS("{\"uri\":[\"urn:service:sos\"]}"),
			.to = "<URN:Service:SOS>" },
		{ "another URN", VERDICT_DEST_MISMATCH, .payload = DEST_IS("{\"uri\":[\"urn:service:sos.fire\"]}"),
			.to = "<urn:service:sos>" },
		{ "dest.tn a string", VERDICT_BAD_CLAIM, .payload = DEST_IS("{\"tn\":\"12155551213\"}") },
		{ "dest empty", VERDICT_BAD_CLAIM, .payload = DEST_IS("{}") },
		{ "seventeen numbers", VERDICT_BAD_CLAIM,
			.payload = DEST_IS("{\"tn\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\","
					   "\"11\",\"12\",\"13\",\"14\",\"15\",\"16\",\"12155551213\"]}") },
		{ "sixteen", VERDICT_PASSED,
			.payload = DEST_IS("{\"tn\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\","
					   "\"11\",\"12\",\"13\",\"14\",\"15\",\"12155551213\"]}") },
	};

	CHECK(trials);
}

/* RFC 8224 section 6.2, step 4: of a full form, iat decides. */
static void freshness(void **state)
{
	static const struct trial trials[] = {
		{ "60 s old", VERDICT_PASSED, .payload = IAT_IS("1792999940") },
		{ "61 s old", VERDICT_STALE_IAT, .payload = IAT_IS("1792999939") },
		{ "1 s ahead", VERDICT_PASSED, .payload = IAT_IS("1793000001") },
		{ "60 s ahead", VERDICT_PASSED, .payload = IAT_IS("1793000060") },
		{ "61 s ahead", VERDICT_STALE_IAT, .payload = IAT_IS("1793000061") },
		{ "1970", VERDICT_STALE_IAT, .payload = IAT_IS("0") },
		{ "9999", VERDICT_STALE_IAT, .payload = IAT_IS("253402300799") },
		{ "in milliseconds", VERDICT_BAD_CLAIM, .payload = IAT_IS("1793000000000") },
		{ "before 1970", VERDICT_BAD_CLAIM, .payload = IAT_IS("-1") },
		{ "a string, as RFC 8588 section 6 prints it", VERDICT_BAD_CLAIM, .payload = IAT_IS("\"1793000000\"") },
		{ "a float", VERDICT_BAD_CLAIM, .payload = IAT_IS("1793000000.0") },
		{ "an integer that wraps", VERDICT_MALFORMED_PASSPORT, .payload = IAT_IS("18446744075502551616") },
		{ "120 s old, 120 s allowed", VERDICT_PASSED, .payload = IAT_IS("1792999880"), .freshness_s = 120 },
		{ "121 s old, 120 s allowed", VERDICT_STALE_IAT, .payload = IAT_IS("1792999879"), .freshness_s = 120 },
		{ "16 s old, 15 s allowed", VERDICT_STALE_IAT, .payload = IAT_IS("1792999984"), .freshness_s = 15 },
		{ "a stale Date, a fresh iat", VERDICT_PASSED, .date = "Mon, 26 Oct 2026 06:33:20 GMT" },
		{ "a Date that is none, a fresh iat", VERDICT_PASSED, .date = "yesterday" },
		{ "a fresh Date, a stale iat", VERDICT_STALE_IAT, .payload = IAT_IS("1792999939"),
			.date = "Mon, 26 Oct 2026 07:33:20 GMT" },
	};

	CHECK(trials);
}

static void a_stale_date_is_recorded(void **state)
{
	static const struct {
		const char *date;
		bool stale;
	} cases[] = {
		{ "", false },
		{ "Mon, 26 Oct 2026 07:33:20 GMT", false },
		{ "Mon, 26 Oct 2026 07:34:20 GMT", false },
		{ "Mon, 26 Oct 2026 07:34:21 GMT", true },
		{ "Mon, 26 Oct 2026 07:32:19 GMT", true },
		{ "soon", true },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct trial trial = { .behaviour = "", .date = cases[i].date };
		struct verification verification;

		begin_trial(&verification, &trial, identity_of(&trial));
		assert_int_equal(verification.date_stale, cases[i].stale);
		verification_clear(&verification);
	}
}

static void attestation_and_origid(void **state)
{
#define REST DEST "," IAT "," ORIG "}"
	static const struct trial trials[] = {
		{ "A", VERDICT_PASSED, .payload = "{\"attest\":\"A\"," ORIGID "," REST, .attest = 'A' },
		{ "B", VERDICT_PASSED, .payload = "{\"attest\":\"B\"," ORIGID "," REST, .attest = 'B' },
		{ "C", VERDICT_PASSED, .payload = "{\"attest\":\"C\"," ORIGID "," REST, .attest = 'C' },
		{ "D", VERDICT_BAD_ATTEST, .payload = "{\"attest\":\"D\"," ORIGID "," REST },
		{ "small letter", VERDICT_BAD_ATTEST, .payload = "{\"attest\":\"a\"," ORIGID "," REST },
		{ "begins with A", VERDICT_BAD_ATTEST, .payload = "{\"attest\":\"AB\"," ORIGID "," REST },
		{ "empty", VERDICT_BAD_ATTEST, .payload = "{\"attest\":\"\"," ORIGID "," REST },
		{ "a number", VERDICT_BAD_ATTEST, .payload = "{\"attest\":1," ORIGID "," REST },
		{ "none", VERDICT_MISSING_CLAIM, .payload = "{" ORIGID "," REST },
		{ "no origid", VERDICT_MISSING_CLAIM, .payload = "{" ATTEST "," REST },
		{ "origid a number", VERDICT_BAD_CLAIM, .payload = "{" ATTEST ",\"origid\":7," REST },
		{ "origid is no UUID: opaque to us", VERDICT_PASSED, .payload = "{" ATTEST ",\"origid\":\"x\"," REST },
	};

	CHECK(trials);
#undef REST
}

/* --- ATIS-1000082, the table of verification --- */

struct row {
	const char *row;
	struct trial trial;
	unsigned status;
	const char *phrase;
	enum verify_result result;
	enum verdict facts; /* of the certificate */
};

static void check_row(const struct row *row)
{
	struct certificate_facts facts;
	struct verification verification;
	struct sip_status status;
	enum verdict reason;
	int deciding;

	fill_facts(&facts);
	facts.verdict = row->facts;
	begin_trial(&verification, &row->trial, identity_of(&row->trial));
	judge_pending(&verification, &facts);
	if (verify_conclude(&verification, false, &reason, &deciding) != row->result || reason != row->trial.verdict)
		fail_msg("%s: %s", row->row, verdict_word(reason));
	assert_int_equal(deciding, 0);
	status = verdict_sip_status(reason);
	assert_int_equal(status.code, row->status);
	assert_string_equal(status.phrase, row->phrase);
	if (reason != VERDICT_PASSED)
		assert_int_equal(verify_reject_status(&verification), row->status);
	verification_clear(&verification);
}

static void table_082_5(void **state)
{
#define NONE VERIFY_NO_VALIDATION
#define BAD_INFO 436, "Bad Identity Info", NONE
#define UNSUPPORTED 437, "Unsupported Credential", NONE
#define INVALID 438, "Invalid Identity Header", NONE
	/* E1 and E2 are about the REST request; E3 about its time, which is Date's place: freshness() has it. */
	static const struct row rows[] = {
		{ "E4", { "", VERDICT_COMPACT_FORM, .by = MADE_BY_NOBODY }, INVALID, VERDICT_PASSED },
		/* RFC 8224 section 6.2 has it ignored, and its 428 for a call that has nothing else. */
		{ "E5", { "", VERDICT_UNSUPPORTED_PPT, .parameters = INFO ";ppt=div" }, 428,
			"Use Supported PASSporT Format", NONE, VERDICT_PASSED },
		{ "E6", { "", VERDICT_NO_INFO, .parameters = ";alg=ES256;ppt=shaken" }, BAD_INFO, VERDICT_PASSED },
		{ "E7", { "", VERDICT_BAD_INFO_URI, .parameters = ";info=<certs.example.net>;ppt=shaken" }, BAD_INFO, VERDICT_PASSED },
		{ "E8", { "", VERDICT_CERTIFICATE_UNREACHABLE, .by = MADE_BY_ES256 }, BAD_INFO, VERDICT_CERTIFICATE_UNREACHABLE },
		{ "E9 alg", { "", VERDICT_MISSING_HEADER_MEMBER,
				    .header = "{\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":\"" X5U "\"}" }, BAD_INFO, VERDICT_PASSED },
		{ "E9 typ", { "", VERDICT_MISSING_HEADER_MEMBER,
				    .header = "{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"x5u\":\"" X5U "\"}" }, BAD_INFO, VERDICT_PASSED },
		{ "E9 x5u", { "", VERDICT_MISSING_HEADER_MEMBER,
				    .header = "{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\"}" }, BAD_INFO, VERDICT_PASSED },
		{ "E9 ppt", { "", VERDICT_MISSING_HEADER_MEMBER, .header = BASE }, BAD_INFO, VERDICT_PASSED },
		{ "E10", { "", VERDICT_INFO_MISMATCH, .parameters = ";info=<https://b.example/a>;ppt=shaken" }, BAD_INFO, VERDICT_PASSED },
		{ "E11", { "", VERDICT_BAD_TYP, .header = TYP("\"JWT\"") }, UNSUPPORTED, VERDICT_PASSED },
		{ "E12", { "", VERDICT_BAD_ALG, .header = ALG("\"RS256\"") }, UNSUPPORTED, VERDICT_PASSED },
		{ "E13", { "", VERDICT_BAD_PPT, .header = PPT("\"div\"") }, INVALID, VERDICT_PASSED },
		{ "E14 attest", { "", VERDICT_MISSING_CLAIM, .payload = "{" DEST "," IAT "," ORIG "," ORIGID "}" }, INVALID, VERDICT_PASSED },
		{ "E14 dest", { "", VERDICT_MISSING_CLAIM, .payload = "{" ATTEST "," IAT "," ORIG "," ORIGID "}" }, INVALID, VERDICT_PASSED },
		{ "E14 iat", { "", VERDICT_MISSING_CLAIM, .payload = "{" ATTEST "," DEST "," ORIG "," ORIGID "}" }, INVALID, VERDICT_PASSED },
		{ "E14 orig", { "", VERDICT_MISSING_CLAIM, .payload = "{" ATTEST "," DEST "," IAT "," ORIGID "}" }, INVALID, VERDICT_PASSED },
		{ "E14 origid", { "", VERDICT_MISSING_CLAIM, .payload = "{" ATTEST "," DEST "," IAT "," ORIG "}" }, INVALID, VERDICT_PASSED },
		{ "E15", { "", VERDICT_STALE_IAT, .payload = IAT_IS("1792999000") }, 403, "Stale Date", NONE, VERDICT_PASSED },
		{ "E16 orig", { "", VERDICT_ORIG_MISMATCH, .from = "<tel:+12155551299>" }, INVALID, VERDICT_PASSED },
		{ "E16 dest", { "", VERDICT_DEST_MISMATCH, .to = "<tel:+12155551299>" }, INVALID, VERDICT_PASSED },
		{ "E17", { "", VERDICT_CERTIFICATE_UNTRUSTED, .by = MADE_BY_ES256 }, 437, "Unsupported Credential", VERIFY_FAILED,
			VERDICT_CERTIFICATE_UNTRUSTED },
		{ "E17 revoked", { "", VERDICT_CERTIFICATE_REVOKED, .by = MADE_BY_ES256 }, 437, "Unsupported Credential", VERIFY_FAILED,
			VERDICT_CERTIFICATE_REVOKED },
		{ "E18", { "", VERDICT_BAD_SIGNATURE, .by = MADE_BY_OTHER_KEY }, 438, "Invalid Identity Header", VERIFY_FAILED, VERDICT_PASSED },
		{ "E19", { "", VERDICT_BAD_ATTEST,
				 .payload = "{\"attest\":\"X\"," DEST "," IAT "," ORIG "," ORIGID "}" }, INVALID, VERDICT_PASSED },
		{ "all pass", { "", VERDICT_PASSED, .by = MADE_BY_ES256 }, 200, "OK", VERIFY_PASSED, VERDICT_PASSED },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (strcmp(rows[i].row, "E4") != 0) {
			check_row(&rows[i]);
			continue;
		}
		assert_int_equal(verdict_of_value(span_of(".." SIGNATURE PARAMETERS)), rows[i].trial.verdict);
		assert_int_equal(verdict_sip_status(rows[i].trial.verdict).code, rows[i].status);
		assert_false(verdict_is_failed(rows[i].trial.verdict));
	}
}

/* --- What others get wrong --- */

static void what_peers_get_wrong(void **state)
{
	static const struct trial trials[] = {
		{ "OpenSIPS: the received bytes are verified, claims in any order", VERDICT_PASSED,
			.payload = "{" ORIG "," ORIGID "," IAT "," ATTEST "," DEST "}" },
		{ "OpenSIPS: white space", VERDICT_PASSED,
			.header = " { \"x5u\": \"" X5U "\", \"typ\": \"passport\",\n\"ppt\": \"shaken\", \"alg\": \"ES256\" }",
			.payload = "{ \"orig\": { \"tn\": \"12155551212\" },\r\n\t" ATTEST ", " DEST ", " IAT ", " ORIGID " } " },
		{ "OpenSIPS: a claim that we don't know", VERDICT_PASSED,
			.payload = "{" ATTEST "," DEST "," IAT ",\"mky\":[{\"alg\":\"sha-256\",\"dig\":\"00\"}]," ORIG ","
				   ORIGID ",\"zzz\":[1,{\"a\":null}]}" },
		{ "OpenSIPS: a second dest, ours is not the first", VERDICT_PASSED,
			.payload = DEST_IS("{\"tn\":[\"12155550000\",\"12155551213\"]}") },
		{ "OpenSIPS: no Date", VERDICT_PASSED, .by = MADE_BY_ES256 },
		{ "OpenSIPS: iat stale, Date fresh, is no bad signature", VERDICT_STALE_IAT,
			.payload = IAT_IS("1792999000"), .date = "Mon, 26 Oct 2026 07:33:20 GMT" },
		{ "secsipidx: 300 s old", VERDICT_STALE_IAT, .payload = IAT_IS("1792999700") },
		{ "secsipidx: a day ahead", VERDICT_STALE_IAT, .payload = IAT_IS("1793086400") },
		{ "secsipidx: http", VERDICT_BAD_INFO_URI,
			.header = "{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":\"http://a.example/c\"}",
			.parameters = ";info=<http://a.example/c>;ppt=shaken" },
		{ "secsipidx: an empty header", VERDICT_MISSING_HEADER_MEMBER, .header = "{}" },
		{ "libstirshaken: orig.uri an array", VERDICT_BAD_CLAIM, .payload = ORIG_IS("{\"uri\":[\"sip:a@b\"]}") },
		{ "libstirshaken: orig and dest are strings", VERDICT_BAD_CLAIM,
			.payload = CLAIMS("\"dest\":\"{\\\"tn\\\":[\\\"12155551213\\\"]}\"",
				"\"orig\":\"{\\\"tn\\\":\\\"12155551212\\\"}\"") },
		{ "Kamailio stirshaken: HS256 keyed with the public key", VERDICT_BAD_ALG, .header = ALG("\"HS256\""),
			.by = MADE_BY_HS256 },
		{ "FreeSWITCH: one second ahead", VERDICT_PASSED, .payload = IAT_IS("1793000001") },
		{ "FreeSWITCH: PAI", VERDICT_PASSED, .from = "<sip:+13125550000@a>", .pai = "<tel:+12155551212>" },
		{ "FreeSWITCH: attestation C passes", VERDICT_PASSED, .attest = 'C',
			.payload = "{\"attest\":\"C\"," DEST "," IAT "," ORIG "," ORIGID "}" },
		{ "Asterisk: 30 s old", VERDICT_PASSED, .payload = IAT_IS("1792999970") },
		{ "Asterisk: attest begins with A", VERDICT_BAD_ATTEST,
			.payload = "{\"attest\":\"Apple\"," DEST "," IAT "," ORIG "," ORIGID "}" },
		{ "Asterisk: info is not x5u", VERDICT_INFO_MISMATCH, .parameters = ";info=<https://b.example/c>;ppt=shaken" },
		{ "vermouth: the order of parameters", VERDICT_PASSED, .parameters = ";alg=ES256;ppt=shaken" INFO },
		{ "vermouth: a small attest", VERDICT_BAD_ATTEST,
			.payload = "{\"attest\":\"a\"," DEST "," IAT "," ORIG "," ORIGID "}" },
		{ "Sofia-SIP 1.13: a parameter whose value looks like another", VERDICT_PASSED,
			.parameters = ";x=\";ppt=div;info=<https://evil.example/>\"" PARAMETERS },
		{ "RFC 8588: iat in quotes", VERDICT_BAD_CLAIM, .payload = IAT_IS("\"1793000000\"") },
	};

	CHECK(trials);
}

/* libstirshaken had 2000 octets for it. */
static void long_tokens(void **state)
{
	static char payload[20000];
	struct trial trial = { "a claim of 4000 characters", VERDICT_PASSED, .payload = payload };

	snprintf(payload, sizeof payload, "{\"aaa\":\"%04000d\"," ATTEST "," DEST "," IAT "," ORIG "," ORIGID "}", 0);
	check_trial(&trial);
	snprintf(payload, sizeof payload, "{\"aaa\":\"%07000d\"," ATTEST "," DEST "," IAT "," ORIG "," ORIGID "}", 0);
	trial = (struct trial){ "a claim of 7000", VERDICT_MALFORMED_PASSPORT, .payload = payload };
	check_trial(&trial);
}

/* --- What the certificate says --- */

/* The verdict on a good token, or on the trial's, by these facts. */
static enum verdict by_facts(const struct certificate_facts *facts, struct es256_key *key, char detail[160])
{
	static const struct trial good = { .behaviour = "" };
	struct verification verification;
	enum verdict verdict;

	begin_trial(&verification, &good, identity_of(&good));
	assert_int_equal(verification.identities[0].verdict, VERDICT_PENDING);
	verify_credential(&verification, 0, facts, key, NOW);
	verdict = verification.identities[0].verdict;
	if (detail != NULL)
		memcpy(detail, verification.identities[0].detail, 160);
	verification_clear(&verification);
	return verdict;
}

static void facts_that_do_not_pass(void **state)
{
	static const enum verdict verdicts[] = {
		VERDICT_CERTIFICATE_UNREACHABLE,
		VERDICT_CERTIFICATE_MALFORMED,
		VERDICT_CERTIFICATE_UNTRUSTED,
		VERDICT_CERTIFICATE_REVOKED,
		VERDICT_CERTIFICATE_OUTSIDE_VALIDITY,
		VERDICT_CERTIFICATE_NOT_P256,
		VERDICT_BAD_TN_AUTH_LIST,
		VERDICT_CLAIM_CONSTRAINTS,
		VERDICT_PROFILE_VIOLATION,
		VERDICT_FETCHER_BUSY,
	};
	struct certificate_facts facts;
	char detail[160];

	for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
		fill_facts(&facts);
		facts.verdict = verdicts[i];
		strcpy(facts.detail, "HTTP status 404\x1b");
		assert_int_equal(by_facts(&facts, NULL, detail), verdicts[i]);
		assert_string_equal(detail, "HTTP status 404?");
	}
	fill_facts(&facts);
	assert_int_equal(by_facts(&facts, NULL, NULL), VERDICT_CERTIFICATE_NOT_P256);
	assert_int_equal(by_facts(&facts, maker->other_key, NULL), VERDICT_BAD_SIGNATURE);
	assert_int_equal(by_facts(&facts, maker->key, NULL), VERDICT_PASSED);
}

/* Both ends are included (RFC 5280 section 4.1.2.5). C.3: no 438, which OpenSIPS has for it. */
static void validity(void **state)
{
	static const struct {
		int64_t not_before, not_after, iat;
		enum verdict verdict;
	} cases[] = {
		{ NOW, NOW, NOW, VERDICT_PASSED },
		{ NOW + 1, NOW + 9, NOW, VERDICT_CERTIFICATE_OUTSIDE_VALIDITY },
		{ NOW - 9, NOW - 1, NOW, VERDICT_CERTIFICATE_OUTSIDE_VALIDITY },
		{ NOW - 10, NOW + 9, NOW - 10, VERDICT_PASSED },
		{ NOW - 9, NOW + 9, NOW - 10, VERDICT_CERTIFICATE_OUTSIDE_VALIDITY },
		{ NOW - 9, NOW + 10, NOW + 10, VERDICT_PASSED },
		{ NOW - 9, NOW + 9, NOW + 10, VERDICT_CERTIFICATE_OUTSIDE_VALIDITY },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char payload[256];
		struct trial trial = { .behaviour = "", .payload = payload };
		struct verification verification;
		struct certificate_facts facts;

		fill_facts(&facts);
		facts.not_before = cases[i].not_before;
		facts.not_after = cases[i].not_after;
		snprintf(payload, sizeof payload, IAT_IS("%lld"), (long long)cases[i].iat);
		begin_trial(&verification, &trial, identity_of(&trial));
		judge_pending(&verification, &facts);
		assert_int_equal(verification.identities[0].verdict, cases[i].verdict);
		verification_clear(&verification);
	}
	assert_int_equal(verdict_sip_status(VERDICT_CERTIFICATE_OUTSIDE_VALIDITY).code, 437);
}

static void coverage(void **state)
{
	static const struct {
		const char *behaviour;
		struct facts_range ranges[2];
		uint32_t count;
		bool covered;
	} cases[] = {
		{ "a code only", { { { "" }, 0 } }, 0, true },
		{ "the number", { { { "12155551212" }, 1 } }, 1, true },
		{ "another number", { { { "12155551211" }, 1 } }, 1, false },
		{ "the second entry", { { { "12155551211" }, 1 }, { { "12155551212" }, 1 } }, 2, true },
		{ "the first of a range", { { { "12155551212" }, 10 } }, 1, true },
		{ "the last of a range", { { { "12155551203" }, 10 } }, 1, true },
		{ "one behind a range", { { { "12155551202" }, 10 } }, 1, false },
		{ "one before a range", { { { "12155551213" }, 10 } }, 1, false },
		{ "a range of shorter numbers", { { { "2155551212" }, 100 } }, 1, false },
		{ "a range that is as wide as can be", { { { "10000000000" }, 90000000000 } }, 1, true },
		{ "a number with a star", { { { "1215555121*" }, 1 } }, 1, false },
		{ "no numbers at all", { { { "12155551212" }, 0 } }, 1, false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct certificate_facts facts;
		enum verdict verdict;

		fill_facts(&facts);
		memcpy(facts.ranges, cases[i].ranges, sizeof cases[i].ranges);
		facts.range_count = cases[i].count;
		verdict = by_facts(&facts, maker->key, NULL);
		if (verdict != (cases[i].covered ? VERDICT_PASSED : VERDICT_TN_NOT_COVERED))
			fail_msg("%s: %s", cases[i].behaviour, verdict_word(verdict));
	}
}

static void constraints(void **state)
{
	struct certificate_facts facts;
	char detail[160];

	fill_facts(&facts);
	memcpy(facts.constraints, "\x30\x09\xa0\x07\x30\x05\x16\x03rcd", 11);
	facts.constraints_length = 11;
	assert_int_equal(by_facts(&facts, maker->key, detail), VERDICT_CLAIM_CONSTRAINTS);
	assert_string_equal(detail, "the certificate demands the claim rcd");

	memcpy(facts.constraints, "\x30\x13\xa1\x11\x30\x0f\x30\x0d\x16\x06" "attest\x30\x03\x0c\x01" "A", 21);
	facts.constraints_length = 21;
	assert_int_equal(by_facts(&facts, maker->key, NULL), VERDICT_PASSED);
	facts.constraints[20] = 'B';
	assert_int_equal(by_facts(&facts, maker->key, NULL), VERDICT_CLAIM_CONSTRAINTS);

	memcpy(facts.constraints, "\x30\x0c\xa2\x0a\x30\x08\x16\x06origid", 14);
	facts.constraints_length = 14;
	assert_int_equal(by_facts(&facts, maker->key, NULL), VERDICT_CLAIM_CONSTRAINTS);
	facts.enhanced_constraints = true;
	assert_int_equal(by_facts(&facts, maker->key, detail), VERDICT_CLAIM_CONSTRAINTS);
	assert_string_equal(detail, "the certificate forbids the claim origid");
}

static void remembers_the_code(void **state)
{
	static const struct trial good = { .behaviour = "" };
	struct verification verification;
	struct certificate_facts facts;

	fill_facts(&facts);
	begin_trial(&verification, &good, identity_of(&good));
	assert_string_equal(verification.identities[0].spc, "");
	verify_credential(&verification, 0, &facts, maker->other_key, NOW);
	assert_int_equal(verification.identities[0].verdict, VERDICT_BAD_SIGNATURE);
	assert_string_equal(verification.identities[0].spc, "1234");

	/* The host has a new certificate. */
	verify_reopen(&verification, 0);
	assert_int_equal(verification.identities[0].verdict, VERDICT_PENDING);
	assert_string_equal(verification.identities[0].spc, "");
	facts.spc_count = 0;
	verify_credential(&verification, 0, &facts, maker->key, NOW);
	assert_int_equal(verification.identities[0].verdict, VERDICT_PASSED);
	assert_string_equal(verification.identities[0].spc, "");
	verification_clear(&verification);
}

/* By it, whoever looks for replays tells tokens apart. */
static void remembers_what_was_signed(void **state)
{
	static const struct trial good = { .behaviour = "" };
	struct verification verification;
	struct certificate_facts facts;
	unsigned char digest[ES256_DIGEST_BYTES] = { 0 };
	struct span bytes;

	fill_facts(&facts);
	begin_trial(&verification, &good, identity_of(&good));
	assert_memory_equal(verification.identities[0].digest, digest, sizeof digest);
	bytes = passport_signed_bytes(verification.identities[0].passport);
	verify_credential(&verification, 0, &facts, maker->key, NOW);
	assert_int_equal(verification.identities[0].verdict, VERDICT_PASSED);
	assert_true(EVP_Digest(bytes.at, bytes.length, digest, NULL, EVP_sha256(), NULL) == 1);
	assert_memory_equal(verification.identities[0].digest, digest, sizeof digest);
	verification_clear(&verification);
}

/* --- Several Identities --- */

static char lines[16][4096];

/* A line that is made once, as the maker has only one token. */
static struct span line_of(size_t index, const struct trial *trial)
{
	struct span value = identity_of(trial);

	assert_true(value.length < sizeof lines[0]);
	memcpy(lines[index], value.at, value.length);
	return (struct span){ lines[index], value.length };
}

static void begin_lines(struct verification *verification, const struct span *values, size_t count)
{
	struct call_facts facts = { .from = span_of(CALLER), .to = span_of(CALLEE), .identity_count = count };
	struct verify_policy policy = { .dial_plan = &north_america, .freshness_s = 60, .ports = ports, .port_count = 2 };

	for (size_t i = 0; i < count; i++)
		facts.identity[i] = values[i];
	verify_begin(verification, &facts, &policy, NOW);
}

static const struct trial good_trial = { .behaviour = "" };
static const struct trial stale_trial = { .behaviour = "", .payload = IAT_IS("1792999000") };
static const struct trial forged_trial = { .behaviour = "", .by = MADE_BY_OTHER_KEY };
static const struct trial div_trial = { .behaviour = "", .parameters = INFO ";ppt=div" };

static void one_good_token_is_enough(void **state)
{
	struct certificate_facts facts;
	struct verification verification;
	enum verdict reason;
	int deciding;
	struct span values[] = { line_of(0, &stale_trial), span_of("garbage"), line_of(1, &div_trial),
		line_of(2, &forged_trial), line_of(3, &good_trial), line_of(4, &good_trial) };

	fill_facts(&facts);
	begin_lines(&verification, values, 6);
	judge_pending(&verification, &facts);
	assert_int_equal(verification.count, 6);
	assert_int_equal(verification.identities[0].verdict, VERDICT_STALE_IAT);
	assert_int_equal(verification.identities[1].verdict, VERDICT_MALFORMED_IDENTITY);
	assert_int_equal(verification.identities[2].verdict, VERDICT_UNSUPPORTED_PPT);
	assert_int_equal(verification.identities[3].verdict, VERDICT_BAD_SIGNATURE);
	assert_int_equal(verification.identities[4].verdict, VERDICT_PASSED);
	assert_int_equal(verification.identities[5].verdict, VERDICT_PASSED);
	assert_int_equal(verify_conclude(&verification, true, &reason, &deciding), VERIFY_PASSED);
	assert_int_equal(reason, VERDICT_PASSED);
	assert_int_equal(deciding, 4);
	assert_int_equal(verify_reject_status(&verification), 603);
	verification_clear(&verification);
}

static void lists_are_taken_apart(void **state)
{
	static char list[8192];
	struct certificate_facts facts;
	struct verification verification;
	struct span first = line_of(0, &stale_trial), second = line_of(1, &good_trial), value;

	snprintf(list, sizeof list, " %.*s , %.*s;x=\"a,b\",", (int)first.length, first.at, (int)second.length, second.at);
	value = span_of(list);
	fill_facts(&facts);
	begin_lines(&verification, &value, 1);
	judge_pending(&verification, &facts);
	assert_int_equal(verification.count, 2);
	assert_int_equal(verification.identities[0].verdict, VERDICT_STALE_IAT);
	assert_int_equal(verification.identities[1].verdict, VERDICT_PASSED);
	assert_int_equal(verification.identities[0].header.length, first.length);
	assert_memory_equal(verification.identities[0].header.at, first.at, first.length);
	assert_int_equal(verification.identities[1].header.length, second.length + strlen(";x=\"a,b\""));
	assert_int_equal(verification.identities[1].token.length, second.length - strlen(PARAMETERS));
	verification_clear(&verification);
}

static void a_malformed_line_costs_only_itself(void **state)
{
	static char list[8192];
	struct certificate_facts facts;
	struct verification verification;
	struct span good = line_of(0, &good_trial);
	struct span values[2] = { { list, 0 }, good };

	snprintf(list, sizeof list, "%.*s, <>;, %.*s", (int)good.length, good.at, (int)good.length, good.at);
	values[0].length = strlen(list);
	fill_facts(&facts);
	begin_lines(&verification, values, 2);
	judge_pending(&verification, &facts);
	assert_int_equal(verification.count, 3);
	assert_int_equal(verification.identities[0].verdict, VERDICT_PASSED);
	assert_int_equal(verification.identities[1].verdict, VERDICT_MALFORMED_IDENTITY);
	assert_int_equal(verification.identities[1].token.length, 0);
	assert_int_equal(verification.identities[2].verdict, VERDICT_PASSED);
	verification_clear(&verification);
}

static void ten_are_judged(void **state)
{
	static char hundred[100 * 8 + 4096];
	struct certificate_facts facts;
	struct verification verification;
	struct span values[CALL_IDENTITY_MAX], value;
	enum verdict reason;
	int deciding;

	fill_facts(&facts);
	for (size_t i = 0; i < CALL_IDENTITY_MAX; i++)
		values[i] = line_of(i, i == 10 ? &good_trial : &stale_trial);
	begin_lines(&verification, values, 10);
	assert_int_equal(verification.count, 10);
	verification_clear(&verification);

	begin_lines(&verification, values, 11);
	judge_pending(&verification, &facts);
	assert_int_equal(verification.count, 11);
	assert_int_equal(verification.identities[9].verdict, VERDICT_STALE_IAT);
	assert_int_equal(verification.identities[10].verdict, VERDICT_TOO_MANY_IDENTITIES);
	assert_null(verification.identities[10].passport);
	assert_int_equal(verify_conclude(&verification, false, &reason, &deciding), VERIFY_NO_VALIDATION);
	assert_int_equal(reason, VERDICT_STALE_IAT);
	verification_clear(&verification);

	for (int i = 0; i < 100; i++)
		memcpy(hundred + i * 8, "a.b.c;d,", 8);
	strcpy(hundred + 800, "a.b.c;d");
	value = span_of(hundred);
	begin_lines(&verification, &value, 1);
	assert_int_equal(verification.count, 11);
	assert_int_equal(verification.identities[10].verdict, VERDICT_TOO_MANY_IDENTITIES);
	verification_clear(&verification);
}

static void no_identity(void **state)
{
	struct verification verification;
	enum verdict reason;
	int deciding;

	begin_lines(&verification, NULL, 0);
	assert_int_equal(verification.count, 0);
	assert_string_equal(verification.orig.digits, "12155551212");
	assert_string_equal(verification.dest.digits, "12155551213");
	assert_int_equal(verify_conclude(&verification, true, &reason, &deciding), VERIFY_NO_VALIDATION);
	assert_int_equal(reason, VERDICT_NO_IDENTITY);
	assert_int_equal(deciding, -1);
	assert_int_equal(verify_reject_status(&verification), 428);
	verification_clear(&verification);
}

static void no_answer_from_the_fetcher(void **state)
{
	struct span value = line_of(0, &good_trial);
	struct verification verification;
	enum verdict reason;
	int deciding;

	begin_lines(&verification, &value, 1);
	verify_give_up(&verification, 0, VERDICT_FETCHER_TIMEOUT);
	assert_int_equal(verify_conclude(&verification, true, &reason, &deciding), VERIFY_NO_VALIDATION);
	assert_int_equal(reason, VERDICT_FETCHER_TIMEOUT);
	assert_int_equal(deciding, 0);
	assert_int_equal(verify_reject_status(&verification), 436);
	verify_reopen(&verification, 0);
	verify_give_up(&verification, 0, VERDICT_FETCHER_BUSY);
	assert_int_equal(verification.identities[0].verdict, VERDICT_FETCHER_BUSY);
	verification_clear(&verification);
}

static void a_replay_is_refused_by_policy(void **state)
{
	struct span values[] = { line_of(0, &good_trial), line_of(1, &good_trial) };
	struct certificate_facts facts;
	struct verification verification;
	enum verdict reason;
	int deciding;

	fill_facts(&facts);
	begin_lines(&verification, values, 2);
	judge_pending(&verification, &facts);
	verify_refuse_replay(&verification, 0);
	assert_int_equal(verify_conclude(&verification, false, &reason, &deciding), VERIFY_PASSED);
	assert_int_equal(deciding, 1);
	verify_refuse_replay(&verification, 1);
	assert_int_equal(verify_conclude(&verification, false, &reason, &deciding), VERIFY_FAILED);
	assert_int_equal(reason, VERDICT_REPLAYED);
	assert_int_equal(deciding, 0);
	assert_int_equal(verify_reject_status(&verification), 438);
	verification_clear(&verification);
}

/* What the call is worth, and the status of its rejection, by the verdicts on its Identities. */
static void conclusions(void **state)
{
#define END VERDICT_COUNT
	static const struct {
		int verdicts[4];
		enum verify_result plain, on_any;
		enum verdict reason;
		int deciding;
		unsigned status;
	} cases[] = {
		{ { VERDICT_PASSED, END }, VERIFY_PASSED, VERIFY_PASSED, VERDICT_PASSED, 0, 603 },
		{ { VERDICT_BAD_SIGNATURE, VERDICT_PASSED, END }, VERIFY_PASSED, VERIFY_PASSED, VERDICT_PASSED, 1, 603 },
		{ { VERDICT_UNSUPPORTED_PPT, END }, NONE, NONE, VERDICT_UNSUPPORTED_PPT, 0, 428 },
		{ { VERDICT_UNSUPPORTED_PPT, VERDICT_STALE_IAT, END }, NONE, VERIFY_FAILED, VERDICT_STALE_IAT, 1, 403 },
		{ { VERDICT_STALE_IAT, VERDICT_STALE_IAT, END }, NONE, VERIFY_FAILED, VERDICT_STALE_IAT, 0, 403 },
		{ { VERDICT_STALE_IAT, VERDICT_DEST_MISMATCH, END }, NONE, VERIFY_FAILED, VERDICT_STALE_IAT, 0, 438 },
		{ { VERDICT_STALE_IAT, VERDICT_NO_INFO, END }, NONE, VERIFY_FAILED, VERDICT_STALE_IAT, 0, 438 },
		{ { VERDICT_NO_INFO, VERDICT_CERTIFICATE_UNREACHABLE, END }, NONE, VERIFY_FAILED, VERDICT_NO_INFO, 0, 436 },
		{ { VERDICT_CERTIFICATE_UNREACHABLE, VERDICT_ORIG_MISMATCH, END }, NONE, VERIFY_FAILED,
			VERDICT_CERTIFICATE_UNREACHABLE, 0, 438 },
		{ { VERDICT_ORIG_MISMATCH, VERDICT_CERTIFICATE_UNTRUSTED, END }, VERIFY_FAILED, VERIFY_FAILED,
			VERDICT_CERTIFICATE_UNTRUSTED, 1, 437 },
		{ { VERDICT_BAD_ALG, VERDICT_BAD_SIGNATURE, END }, VERIFY_FAILED, VERIFY_FAILED, VERDICT_BAD_SIGNATURE, 1, 437 },
		{ { VERDICT_CERTIFICATE_REVOKED, VERDICT_BAD_SIGNATURE, END }, VERIFY_FAILED, VERIFY_FAILED,
			VERDICT_CERTIFICATE_REVOKED, 0, 437 },
		{ { VERDICT_FETCHER_TIMEOUT, VERDICT_ORIG_MISMATCH, END }, NONE, VERIFY_FAILED, VERDICT_ORIG_MISMATCH, 1, 438 },
		{ { VERDICT_FETCHER_TIMEOUT, VERDICT_UNSUPPORTED_PPT, END }, NONE, NONE, VERDICT_FETCHER_TIMEOUT, 0, 436 },
		{ { VERDICT_ANONYMOUS, END }, NONE, NONE, VERDICT_ANONYMOUS, 0, 438 },
		{ { VERDICT_TOO_MANY_IDENTITIES, END }, NONE, VERIFY_FAILED, VERDICT_TOO_MANY_IDENTITIES, 0, 438 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct verification verification = { .count = 0 };
		enum verdict reason;
		int deciding;

		while (cases[i].verdicts[verification.count] != END) {
			verification.identities[verification.count].verdict =
				(enum verdict)cases[i].verdicts[verification.count];
			verification.count++;
		}
		assert_int_equal(verify_conclude(&verification, false, &reason, &deciding), cases[i].plain);
		assert_int_equal(reason, cases[i].reason);
		assert_int_equal(deciding, cases[i].deciding);
		assert_int_equal(verify_conclude(&verification, true, &reason, &deciding), cases[i].on_any);
		assert_int_equal(verify_reject_status(&verification), cases[i].status);
		verification_clear(&verification);
	}
}

/* --- Hostile input --- */

/* A copy with nothing behind it, so that a sanitizer sees one octet too many. */
static enum verdict verdict_of_copy(const char *at, size_t length)
{
	char *copy = malloc(length == 0 ? 1 : length);
	enum verdict verdict;

	memcpy(copy, at, length);
	verdict = verdict_of_value((struct span){ copy, length });
	free(copy);
	return verdict;
}

static void no_truncation_passes(void **state)
{
	struct span value = line_of(0, &good_trial);

	assert_int_equal(verdict_of_copy(value.at, value.length), VERDICT_PASSED);
	for (size_t length = 0; length < value.length - strlen(";alg=ES256;ppt=shaken"); length++)
		assert_int_not_equal(verdict_of_copy(value.at, length), VERDICT_PASSED);
}

/* Of the token, no octet can be another. */
static void no_mutation_passes(void **state)
{
	static const unsigned char octets[] = { 0, '.', ' ', '=', ';', ',', '"', 'A', 'B', '_', 0x80, 0xff };
	struct span value = line_of(0, &good_trial);
	size_t token = value.length - strlen(PARAMETERS);

	for (size_t i = 0; i < token; i++) {
		for (size_t j = 0; j < sizeof octets; j++) {
			char saved = lines[0][i];

			lines[0][i] = (char)octets[j];
			if (lines[0][i] != saved)
				assert_int_not_equal(verdict_of_copy(value.at, value.length), VERDICT_PASSED);
			lines[0][i] = saved;
		}
	}
}

/* Parts of two good tokens are no token. */
static void no_swap_passes(void **state)
{
	static const struct trial other = { .behaviour = "",
		.payload = "{" ATTEST "," DEST "," IAT "," ORIG ",\"origid\":\"00000000-0000-0000-0000-000000000000\"}" };
	static char mixed[8192];
	struct span a = line_of(0, &good_trial), b = line_of(1, &other);
	const char *dot_a = memrchr(a.at, '.', a.length - strlen(PARAMETERS));
	const char *dot_b = memrchr(b.at, '.', b.length - strlen(PARAMETERS));

	snprintf(mixed, sizeof mixed, "%.*s%.*s", (int)(dot_a - a.at), a.at, (int)(b.length - (size_t)(dot_b - b.at)), dot_b);
	assert_int_equal(verdict_of_value(span_of(mixed)), VERDICT_BAD_SIGNATURE);
	snprintf(mixed, sizeof mixed, "%.*s%.*s", (int)(dot_b - b.at), b.at, (int)(a.length - (size_t)(dot_a - a.at)), dot_a);
	assert_int_equal(verdict_of_value(span_of(mixed)), VERDICT_BAD_SIGNATURE);
	assert_int_equal(verdict_of_value(b), VERDICT_PASSED);
}

static void huge_values(void **state)
{
	static char value[65536 + 64];
	size_t length = 65536;

	memset(value, 'A', length);
	strcpy(value + length, PARAMETERS + strlen(INFO));
	assert_int_equal(verdict_of_value(span_of(value)), VERDICT_NO_INFO);
	memset(value, '.', length);
	assert_int_equal(verdict_of_value(span_of(value)), VERDICT_MALFORMED_PASSPORT);
	memset(value, ',', length);
	assert_int_equal(verdict_of_value(span_of(value)), VERDICT_MALFORMED_IDENTITY);
	memset(value, 0, length);
	assert_int_equal(verdict_of_value((struct span){ value, length }), VERDICT_MALFORMED_IDENTITY);
	memset(value, '\xff', length);
	assert_int_equal(verdict_of_value((struct span){ value, length }), VERDICT_MALFORMED_IDENTITY);

	memset(value, 'A', length);
	memcpy(value, "a.b.c;info=<https://certs.example.net/", 38);
	strcpy(value + length, ">;ppt=shaken");
	assert_int_equal(verdict_of_value(span_of(value)), VERDICT_BAD_INFO_URI);
}

/* What the network wrote is shown without what could move a cursor. */
static void details_are_printable(void **state)
{
	static const struct trial trials[] = {
		{ "escape codes", VERDICT_ORIG_MISMATCH, .payload = ORIG_IS("{\"tn\":\"\\u001b[2J\\u009b\\r\\n%s%n\"}") },
		{ "in dest", VERDICT_DEST_MISMATCH, .payload = DEST_IS("{\"tn\":[\"\\u001b[2J\\u00ff\"]}") },
		{ "in ppt", VERDICT_BAD_PPT, .header = PPT("\"\\u001b[2J\\u00e9\"") },
		{ "in x5u", VERDICT_INFO_MISMATCH,
			.header = "{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":\"\\u001b[2J\\u00e9%n\"}" },
		{ "long", VERDICT_ORIG_MISMATCH,
			.payload = ORIG_IS("{\"tn\":\"00000000000000000000000000000000000000000000000000000000000000000000000"
					   "00000000000000000000000000000000000000000000000000000000000000000000000000000\"}") },
	};

	CHECK(trials);
}

static void details_name_the_values(void **state)
{
	static const struct {
		struct trial trial;
		const char *detail;
	} cases[] = {
		{ { .payload = IAT_IS("1792999000") }, "iat is 1000 s old, 60 s are allowed" },
		{ { .payload = IAT_IS("1793000075") }, "iat is 75 s ahead, 60 s are allowed" },
		{ { .payload = ORIG_IS("{\"tn\":\"15\"}") }, "orig 15, the caller is 12155551212" },
		{ { .payload = DEST_IS("{\"tn\":[\"15\",\"16\"]}") }, "dest 15 and others, To is 12155551213" },
		{ { .from = PRIVATE }, "orig 12155551212, the caller is anonymous" },
		{ { .parameters = INFO ";ppt=div" }, "ppt div" },
		{ { .header = ALG("\"none\"") }, "alg: not \"ES256\" (RFC 8225 section 4.2)" },
		{ { .parameters = ";info=<https://b.example/c>" },
			"x5u https://certs.example.net/a.pem, info https://b.example/c" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct verification verification;

		begin_trial(&verification, &cases[i].trial, identity_of(&cases[i].trial));
		assert_string_equal(verification.identities[0].detail, cases[i].detail);
		verification_clear(&verification);
	}
}

static void published_tokens(void **state)
{
	static const struct {
		const char *token, *parameters;
		enum verdict verdict;
	} cases[] = {
		{ RFC8225_SECTION_7, ";info=<https://cert.example.org/passport.cer>", VERDICT_BAD_CLAIM },
		{ RFC8946_DIV, ";info=<https://www.example.com/cert.cer>;ppt=div", VERDICT_UNSUPPORTED_PPT },
		{ RFC8946_DIVO, ";info=<https://www.example.com/cert.cer>", VERDICT_UNSUPPORTED_PPT },
		{ RFC8443_RPH, ";info=<https://www.example.com/cert.cer>;ppt=\"rph\"", VERDICT_UNSUPPORTED_PPT },
		{ CGRATES_TOKEN, ";info=</usr/share/cgrates/stir/stir_pubkey.pem>;ppt=shaken", VERDICT_BAD_INFO_URI },
		{ LIBSTIRSHAKEN_TOKEN, ";info=<https://shaken.signalwire.cloud/sp.pem>;ppt=shaken", VERDICT_BAD_CLAIM },
		{ RFC8946_OPT, ";info=<https://www.example.com/cert.cer>", VERDICT_STALE_IAT },
	};
	char value[2048];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		snprintf(value, sizeof value, "%s%s", cases[i].token, cases[i].parameters);
		assert_int_equal(verdict_of_value(span_of(value)), cases[i].verdict);
	}
}

/* RFC 8946 section 5 has a base PASSporT in full form; RFC 8224 has it verified like any other. */
static void a_published_token_in_its_minute(void **state)
{
	struct call_facts facts = {
		.from = span_of("<sip:+12155551212@example.com>"),
		.to = span_of("<sip:+12155551213@example.com>"),
		.identity = { span_of(RFC8946_OPT ";info=<https://www.example.com/cert.cer>") },
		.identity_count = 1,
	};
	struct verify_policy policy = { .dial_plan = &north_america, .freshness_s = 60, .ports = ports, .port_count = 2 };
	struct certificate_facts certificate = {
		.x5u = "https://www.example.com/cert.cer",
		.verdict = VERDICT_PASSED,
		.not_after = NOW,
	};
	EVP_PKEY *pkey = published_key(RFC8946_PUBLIC);
	struct es256_key *key = es256_key_new(pkey);
	struct verification verification;

	verify_begin(&verification, &facts, &policy, 1443208345);
	verify_credential(&verification, 0, &certificate, key, 1443208345);
	assert_int_equal(verification.identities[0].verdict, VERDICT_PASSED);
	assert_int_equal(verification.identities[0].attest, 0);
	verification_clear(&verification);
	es256_key_free(key);
	EVP_PKEY_free(pkey);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_header_field),
		cmocka_unit_test(info_and_x5u),
		cmocka_unit_test(types),
		cmocka_unit_test(forms),
		cmocka_unit_test(algorithm_confusion),
		cmocka_unit_test(orig),
		cmocka_unit_test(dest),
		cmocka_unit_test(freshness),
		cmocka_unit_test(a_stale_date_is_recorded),
		cmocka_unit_test(attestation_and_origid),
		cmocka_unit_test(table_082_5),
		cmocka_unit_test(what_peers_get_wrong),
		cmocka_unit_test(long_tokens),
		cmocka_unit_test(facts_that_do_not_pass),
		cmocka_unit_test(validity),
		cmocka_unit_test(coverage),
		cmocka_unit_test(constraints),
		cmocka_unit_test(remembers_the_code),
		cmocka_unit_test(remembers_what_was_signed),
		cmocka_unit_test(one_good_token_is_enough),
		cmocka_unit_test(lists_are_taken_apart),
		cmocka_unit_test(a_malformed_line_costs_only_itself),
		cmocka_unit_test(ten_are_judged),
		cmocka_unit_test(no_identity),
		cmocka_unit_test(no_answer_from_the_fetcher),
		cmocka_unit_test(a_replay_is_refused_by_policy),
		cmocka_unit_test(conclusions),
		cmocka_unit_test(no_truncation_passes),
		cmocka_unit_test(no_mutation_passes),
		cmocka_unit_test(no_swap_passes),
		cmocka_unit_test(huge_values),
		cmocka_unit_test(details_are_printable),
		cmocka_unit_test(details_name_the_values),
		cmocka_unit_test(published_tokens),
		cmocka_unit_test(a_published_token_in_its_minute),
	};

	return cmocka_run_group_tests_name("verify", tests, start, stop);
}
