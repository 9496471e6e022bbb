#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <openssl/x509.h>

#include "published.h"
#include "stirrup/base64url.h"
#include "stirrup/es256.h"
#include "stirrup/passport.h"

#define HEADER                                                                                               \
	"{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":\"https://cert.example.org/"     \
	"a.pem\"}"
#define PAYLOAD                                                                                              \
	"{\"attest\":\"A\",\"dest\":{\"tn\":[\"12155550131\"]},\"iat\":1443208345,"                          \
	"\"orig\":{\"tn\":\"12155550121\"},\"origid\":\"123e4567-e89b-12d3-a456-426655440000\"}"
#define BASE "{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"https://cert.example.org/a.pem\"}"
/* BASE in base64url: for what is wrong behind the header. */
#define BASE_PART                                                                                            \
	"eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9jZXJ0LmV4YW1wbGUub3JnL2EucGVtIn0"
#define SIGNATURE "VLBCIVDCaeK6M4hLJb6SHQvacAQVvoiiEOWQ_iUkqk79UD81fHQ0E1b3_GluIkba7UWYRM47ZbNFdOJquE35cw"

/* RFC 8588 section 6, with iat as a number (erratum 6656). */
static const struct shaken_claims rfc8588 = {
	.attest = 'A',
	.orig = { "12155550121" },
	.dest_tn = { "12155550131" },
	.iat = 1443208345,
	.origid = "123e4567-e89b-12d3-a456-426655440000",
};

static size_t make_token(char *out, struct span header, struct span payload, const char *signature)
{
	char *p = out;

	p += base64url_encode(p, header.at, header.length);
	*p++ = '.';
	p += base64url_encode(p, payload.at, payload.length);
	*p++ = '.';
	memcpy(p, signature, strlen(signature));
	return (size_t)(p - out) + strlen(signature);
}

/* Parses a copy with nothing behind it, so that a sanitizer sees one octet too many. */
static enum passport_fault parse(struct passport **out, const char *token, size_t length, const char **detail)
{
	char *copy = malloc(length == 0 ? 1 : length);
	enum passport_fault fault;

	memcpy(copy, token, length);
	*detail = NULL;
	fault = passport_parse(out, (struct span){ copy, length }, detail);
	free(copy);
	return fault;
}

/* Fails unless the token has this fault in this place; *out must be left alone then. */
static void expect_fault(const char *behaviour, const char *token, size_t length, enum passport_fault wanted,
	const char *wanted_detail)
{
	struct passport *const untouched = (struct passport *)&rfc8588;
	struct passport *passport = untouched;
	const char *detail;
	enum passport_fault fault = parse(&passport, token, length, &detail);

	if (fault == PASSPORT_OK)
		passport_free(passport);
	if (fault != wanted)
		fail_msg(
			"%s: %s, not %s", behaviour, passport_fault_text(fault), passport_fault_text(wanted));
	if (fault == PASSPORT_OK)
		return;
	assert_ptr_equal(passport, untouched);
	if (strcmp(detail, wanted_detail) != 0)
		fail_msg("%s: at %s, not %s", behaviour, detail, wanted_detail);
}

static void expect_json_fault(const char *behaviour, const char *header, const char *payload,
	enum passport_fault wanted, const char *wanted_detail)
{
	char token[PASSPORT_MAX * 2];
	size_t length = make_token(token, span_of(header), span_of(payload), SIGNATURE);

	expect_fault(behaviour, token, length, wanted, wanted_detail);
}

static void assert_encodes(const char *text, size_t length, const char *json)
{
	unsigned char decoded[2048];
	size_t decoded_length;

	assert_true(
		base64url_decode(decoded, sizeof decoded, &decoded_length, (struct span){ text, length }));
	assert_int_equal(decoded_length, strlen(json));
	assert_memory_equal(decoded, json, decoded_length);
}

static void assert_header_is(const char *x5u, const char *json)
{
	char header[1024];

	assert_true(passport_shaken_header(header, sizeof header, x5u));
	assert_encodes(header, strlen(header), json);
}

static void assert_payload_is(const struct shaken_claims *claims, const char *json)
{
	char input[PASSPORT_SIGNING_INPUT_MAX];
	size_t length = passport_signing_input(input, sizeof input, "aGVhZGVy", claims);

	assert_true(length > 9);
	assert_memory_equal(input, "aGVhZGVy.", 9);
	assert_encodes(input + 9, length - 9, json);
}

static void test_header_in_canonical_order(void **state)
{
	assert_header_is("https://cert.example.org/passport.cer",
		"{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\","
		"\"x5u\":\"https://cert.example.org/passport.cer\"}");
}

static void test_header_escapes_what_json_must(void **state)
{
	assert_header_is("a\"b\\c/d\b\f\n\r\t\x01\x1f\x7f\xc3\xa9",
		"{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\","
		"\"x5u\":\"a\\\"b\\\\c/d\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xc3\xa9\"}");
}

static void test_header_is_bounded(void **state)
{
	char x5u[PASSPORT_X5U_MAX + 2], exact[1024], header[1024];
	size_t needed;

	memset(x5u, 'a', sizeof x5u);
	x5u[PASSPORT_X5U_MAX] = '\0';
	assert_true(passport_shaken_header(header, sizeof header, x5u));
	needed = strlen(header) + 1;
	assert_false(passport_shaken_header(exact, needed - 1, x5u));
	assert_true(passport_shaken_header(exact, needed, x5u));
	assert_string_equal(exact, header);
	assert_false(passport_shaken_header(exact, 0, x5u));

	x5u[PASSPORT_X5U_MAX] = 'a';
	x5u[PASSPORT_X5U_MAX + 1] = '\0';
	assert_false(passport_shaken_header(header, sizeof header, x5u));
	memset(x5u, '\x01', PASSPORT_X5U_MAX);
	x5u[PASSPORT_X5U_MAX] = '\0';
	assert_false(passport_shaken_header(header, sizeof header, x5u));
}

static void test_payload_of_rfc8588(void **state)
{
	assert_payload_is(&rfc8588, PAYLOAD);
}

static void test_payload_for_an_emergency_call(void **state)
{
	struct shaken_claims claims = rfc8588;

	claims.dest_tn.digits[0] = '\0';
	strcpy(claims.dest_uri, "urn:service:sos");
	assert_payload_is(&claims,
		"{\"attest\":\"A\",\"dest\":{\"uri\":[\"urn:service:sos\"]},\"iat\":1443208345,"
		"\"orig\":{\"tn\":\"12155550121\"},\"origid\":\"123e4567-e89b-12d3-a456-426655440000\"}");
}

static void test_payload_at_the_edges(void **state)
{
	struct shaken_claims claims = rfc8588;

	claims.attest = 'C';
	claims.iat = 0;
	strcpy(claims.origid, "");
	strcpy(claims.dest_tn.digits, "911");
	assert_payload_is(&claims, "{\"attest\":\"C\",\"dest\":{\"tn\":[\"911\"]},\"iat\":0,"
				   "\"orig\":{\"tn\":\"12155550121\"},\"origid\":\"\"}");
	claims.iat = INT64_MAX;
	claims.attest = 'B';
	assert_payload_is(&claims,
		"{\"attest\":\"B\",\"dest\":{\"tn\":[\"911\"]},\"iat\":9223372036854775807,"
		"\"orig\":{\"tn\":\"12155550121\"},\"origid\":\"\"}");
}

/* The claims come from another process: a text without its NUL or with quotes in it must not break out. */
static void test_payload_survives_hostile_claims(void **state)
{
	struct shaken_claims claims = rfc8588;
	char input[PASSPORT_SIGNING_INPUT_MAX];

	strcpy(claims.orig.digits, "1\",\"x\":\"");
	claims.dest_tn.digits[0] = '\0';
	memset(claims.dest_uri, '\x01', sizeof claims.dest_uri);
	memset(claims.origid, '"', sizeof claims.origid);
	assert_true(passport_signing_input(input, sizeof input, "aGVhZGVy", &claims) > 9);
	memset(&claims.orig, '9', sizeof claims.orig);
	memset(&claims.dest_tn, '9', sizeof claims.dest_tn);
	memset(claims.origid, 'f', sizeof claims.origid);
	assert_payload_is(&claims, "{\"attest\":\"A\",\"dest\":{\"tn\":[\"9999999999999999999999999999999\"]}"
				   ",\"iat\":1443208345,"
				   "\"orig\":{\"tn\":\"9999999999999999999999999999999\"},"
				   "\"origid\":\"ffffffffffffffffffffffffffffffffffff\"}");
}

static void test_payload_wants_all_claims(void **state)
{
	char input[PASSPORT_SIGNING_INPUT_MAX];
	struct shaken_claims claims;

	for (int c = -128; c < 128; c++) {
		claims = rfc8588;
		claims.attest = (char)c;
		assert_int_equal(
			passport_signing_input(input, sizeof input, "aA", &claims) > 0, c >= 'A' && c <= 'C');
	}
	claims = rfc8588;
	claims.orig.digits[0] = '\0';
	assert_int_equal(passport_signing_input(input, sizeof input, "aA", &claims), 0);
	claims = rfc8588;
	claims.dest_tn.digits[0] = '\0';
	assert_int_equal(passport_signing_input(input, sizeof input, "aA", &claims), 0);
	claims = rfc8588;
	claims.iat = -1;
	assert_int_equal(passport_signing_input(input, sizeof input, "aA", &claims), 0);
}

static void test_signing_input_is_bounded(void **state)
{
	char input[PASSPORT_SIGNING_INPUT_MAX];
	size_t needed = passport_signing_input(input, sizeof input, "aGVhZGVy", &rfc8588);

	for (size_t size = 0; size < needed; size++) {
		char *exact = malloc(size == 0 ? 1 : size);

		assert_int_equal(passport_signing_input(exact, size, "aGVhZGVy", &rfc8588), 0);
		free(exact);
	}
	assert_int_equal(passport_signing_input(input, needed, "aGVhZGVy", &rfc8588), needed);
}

static void test_reads_what_it_writes(void **state)
{
	EVP_PKEY *pkey = published_key(RFC8946_PRIVATE);
	struct es256_key *key = es256_key_new(pkey);
	char header[1024], token[PASSPORT_SIGNING_INPUT_MAX + 87];
	unsigned char signature[ES256_SIGNATURE_BYTES];
	struct passport *passport;
	const char *detail;
	size_t length;

	assert_true(passport_shaken_header(header, sizeof header, "https://cert.example.org/a.pem"));
	length = passport_signing_input(token, sizeof token, header, &rfc8588);
	assert_true(es256_sign(key, token, length, signature));
	token[length] = '.';
	length += 1 + base64url_encode(token + length + 1, signature, sizeof signature);

	assert_int_equal(parse(&passport, token, length, &detail), PASSPORT_OK);
	assert_string_equal(passport_header_json(passport), HEADER);
	assert_string_equal(passport_payload_json(passport), PAYLOAD);
	assert_string_equal(passport_ppt(passport), "shaken");
	assert_string_equal(passport_x5u(passport), "https://cert.example.org/a.pem");
	assert_int_equal(passport_iat(passport), 1443208345);
	assert_int_equal(passport_attest(passport), 'A');
	assert_string_equal(passport_origid(passport), "123e4567-e89b-12d3-a456-426655440000");
	assert_string_equal(passport_orig_tn(passport), "12155550121");
	assert_null(passport_orig_uri(passport));
	assert_int_equal(passport_dest_tns(passport), 1);
	assert_string_equal(passport_dest_tn(passport, 0), "12155550131");
	assert_null(passport_dest_tn(passport, 1));
	assert_int_equal(passport_dest_uris(passport), 0);
	assert_true(es256_verify(key, passport_signed_bytes(passport).at,
		passport_signed_bytes(passport).length, passport_signature(passport)));
	passport_free(passport);
	es256_key_free(key);
	EVP_PKEY_free(pkey);
}

/* RFC 8225 appendix A: the decoded form, and the signing input from it octet for octet. */
static void test_reads_rfc8225_appendix_a(void **state)
{
	static const char token[] = RFC8225_APPENDIX_A;
	char input[1024];
	struct passport *passport;
	const char *detail;
	size_t length;

	assert_int_equal(parse(&passport, token, strlen(token), &detail), PASSPORT_OK);
	assert_string_equal(passport_header_json(passport),
		"{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"https://cert.example.org/passport.cer\"}");
	assert_string_equal(
		passport_payload_json(passport), "{\"dest\":{\"uri\":[\"sip:alice@example.com\"]},\"iat\":"
						 "1471375418,\"orig\":{\"tn\":\"12155551212\"}}");
	assert_null(passport_ppt(passport));
	assert_int_equal(passport_attest(passport), 0);
	assert_null(passport_origid(passport));
	assert_int_equal(passport_dest_tns(passport), 0);
	assert_int_equal(passport_dest_uris(passport), 1);
	assert_string_equal(passport_dest_uri(passport, 0), "sip:alice@example.com");

	length = make_token(input, span_of(passport_header_json(passport)),
		span_of(passport_payload_json(passport)), strrchr(token, '.') + 1);
	assert_int_equal(length, strlen(token));
	assert_memory_equal(input, token, length);
	assert_int_equal(passport_signed_bytes(passport).length, strrchr(token, '.') - token);
	assert_memory_equal(
		passport_signed_bytes(passport).at, token, passport_signed_bytes(passport).length);
	passport_free(passport);
}

static void test_published_tokens(void **state)
{
	static const struct {
		const char *behaviour, *token;
		enum passport_fault fault;
		const char *detail;
	} cases[] = {
		{ "RFC 8225 section 7: iat is a string", RFC8225_SECTION_7, PASSPORT_BAD_CLAIMS, "iat" },
		{ "RFC 8946 div", RFC8946_DIV, PASSPORT_OK, "" },
		{ "RFC 8946 opt", RFC8946_OPT, PASSPORT_OK, "" },
		{ "RFC 8946 div-o: dest.tn is a string", RFC8946_DIVO, PASSPORT_BAD_CLAIMS, "dest" },
		{ "RFC 8443: the payload is no JSON", RFC8443_RPH, PASSPORT_BAD_JSON, "payload" },
		{ "cgrates: a path for x5u is well-formed", CGRATES_TOKEN, PASSPORT_OK, "" },
		{ "sems: empty numbers", SEMS_TOKEN, PASSPORT_BAD_CLAIMS, "dest" },
		{ "libstirshaken: JSON in strings", LIBSTIRSHAKEN_TOKEN, PASSPORT_BAD_CLAIMS, "dest" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		expect_fault(cases[i].behaviour, cases[i].token, strlen(cases[i].token), cases[i].fault,
			cases[i].detail);
}

static void test_refuses_a_broken_shape(void **state)
{
	static const struct {
		const char *behaviour, *token;
		enum passport_fault fault;
		const char *detail;
	} cases[] = {
		{ "nothing", "", PASSPORT_NOT_THREE_PARTS, "token" },
		{ "a word", "headerpayload", PASSPORT_NOT_THREE_PARTS, "token" },
		{ "two parts", "header.payloadsignature", PASSPORT_NOT_THREE_PARTS, "token" },
		{ "four parts", "e30.e30." SIGNATURE ".", PASSPORT_NOT_THREE_PARTS, "token" },
		{ "one dot", ".", PASSPORT_NOT_THREE_PARTS, "token" },
		{ "two dots", "..", PASSPORT_NOT_THREE_PARTS, "header" },
		{ "compact form", ".." SIGNATURE, PASSPORT_COMPACT_FORM, "header and payload" },
		{ "compact form, odd signature", "..signature", PASSPORT_COMPACT_FORM, "header and payload" },
		{ "no header", ".e30." SIGNATURE, PASSPORT_NOT_THREE_PARTS, "header" },
		{ "no payload", "e30.." SIGNATURE, PASSPORT_NOT_THREE_PARTS, "payload" },
		{ "no signature", BASE_PART ".e30.", PASSPORT_BAD_SIGNATURE_LENGTH, "signature" },
		{ "63 octets",
			BASE_PART ".e30."
			"VLBCIVDCaeK6M4hLJb6SHQvacAQVvoiiEOWQ_iUkqk79UD81fHQ0E1b3_GluIkba7UWYRM47"
			"ZbNFdOJquE35",
			PASSPORT_BAD_SIGNATURE_LENGTH, "signature" },
		{ "padded signature", BASE_PART ".e30." SIGNATURE "==", PASSPORT_BAD_SIGNATURE_LENGTH, "signature" },
		{ "stray bits in the signature",
			BASE_PART ".e30."
			"VLBCIVDCaeK6M4hLJb6SHQvacAQVvoiiEOWQ_iUkqk79UD81fHQ0E1b3_GluIkba7UWYRM47"
			"ZbNFdOJquE35cx",
			PASSPORT_BAD_BASE64, "signature" },
		{ "padded header", "e30=.e30." SIGNATURE, PASSPORT_BAD_BASE64, "header" },
		{ "padded payload", BASE_PART ".e30=." SIGNATURE, PASSPORT_BAD_BASE64, "payload" },
		{ "stray bits in the header", "e31.e30." SIGNATURE, PASSPORT_BAD_BASE64, "header" },
		{ "white space around", " e30.e30." SIGNATURE, PASSPORT_BAD_BASE64, "header" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		expect_fault(cases[i].behaviour, cases[i].token, strlen(cases[i].token), cases[i].fault,
			cases[i].detail);
}

static void test_refuses_a_bad_header(void **state)
{
#define REST "\"typ\":\"passport\",\"x5u\":\"https://a.example/c\"}"
	static const struct {
		const char *behaviour, *header;
		enum passport_fault fault;
		const char *detail;
	} cases[] = {
		{ "no alg", "{" REST, PASSPORT_MISSING_MEMBER, "alg" },
		{ "alg none", "{\"alg\":\"none\"," REST, PASSPORT_BAD_ALG, "alg" },
		{ "alg HS256", "{\"alg\":\"HS256\"," REST, PASSPORT_BAD_ALG, "alg" },
		{ "alg RS256", "{\"alg\":\"RS256\"," REST, PASSPORT_BAD_ALG, "alg" },
		{ "alg ES384", "{\"alg\":\"ES384\"," REST, PASSPORT_BAD_ALG, "alg" },
		{ "alg in small letters", "{\"alg\":\"es256\"," REST, PASSPORT_BAD_ALG, "alg" },
		{ "alg with a space", "{\"alg\":\"ES256 \"," REST, PASSPORT_BAD_ALG, "alg" },
		{ "alg in an array", "{\"alg\":[\"ES256\"]," REST, PASSPORT_BAD_ALG, "alg" },
		{ "alg a number", "{\"alg\":256," REST, PASSPORT_BAD_ALG, "alg" },
		{ "alg null", "{\"alg\":null," REST, PASSPORT_BAD_ALG, "alg" },
		{ "ALG", "{\"ALG\":\"ES256\"," REST, PASSPORT_MISSING_MEMBER, "alg" },
		{ "no typ", "{\"alg\":\"ES256\",\"x5u\":\"u\"}", PASSPORT_MISSING_MEMBER, "typ" },
		{ "typ JWT", "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"u\"}", PASSPORT_BAD_TYP, "typ" },
		{ "typ Passport", "{\"alg\":\"ES256\",\"typ\":\"Passport\",\"x5u\":\"u\"}", PASSPORT_BAD_TYP, "typ" },
		{ "no x5u", "{\"alg\":\"ES256\",\"typ\":\"passport\"}", PASSPORT_MISSING_MEMBER, "x5u" },
		{ "x5u empty", "{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"\"}", PASSPORT_BAD_HEADER, "x5u" },
		{ "x5u an array", "{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":[\"u\"]}", PASSPORT_BAD_HEADER, "x5u" },
		{ "ppt empty", "{\"alg\":\"ES256\",\"ppt\":\"\"," REST, PASSPORT_BAD_HEADER, "ppt" },
		{ "ppt an array", "{\"alg\":\"ES256\",\"ppt\":[\"shaken\"]," REST, PASSPORT_BAD_HEADER, "ppt" },
		{ "ppt null", "{\"alg\":\"ES256\",\"ppt\":null," REST, PASSPORT_BAD_HEADER, "ppt" },
		{ "crit", "{\"alg\":\"ES256\",\"crit\":[\"b64\"],\"b64\":false," REST, PASSPORT_CRITICAL, "crit" },
		{ "crit empty", "{\"alg\":\"ES256\",\"crit\":[]," REST, PASSPORT_CRITICAL, "crit" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		expect_json_fault(
			cases[i].behaviour, cases[i].header, PAYLOAD, cases[i].fault, cases[i].detail);
	expect_json_fault("keys in the header are ignored",
		"{\"alg\":\"ES256\",\"jwk\":{},\"x5c\":[\"A\"],\"kid\":\"1\",\"jku\":\"https://"
		"b.example\"," REST,
		PAYLOAD, PASSPORT_OK, "");
#undef REST
}

/* What a case's name says of its fault. */
static enum passport_fault claim_fault(const char *behaviour, const char *detail)
{
	if (detail == NULL)
		return PASSPORT_OK;
	if (strncmp(behaviour, "no", 2) == 0)
		return PASSPORT_MISSING_CLAIM;
	return strcmp(detail, "attest") == 0 ? PASSPORT_BAD_ATTEST : PASSPORT_BAD_CLAIMS;
}

static void test_refuses_bad_claims(void **state)
{
#define IAT "\"iat\":1443208345"
#define ORIG "\"orig\":{\"tn\":\"12155550121\"}"
#define DEST "\"dest\":{\"tn\":[\"12155550131\"]}"
#define SIXTEEN                                                                                              \
	"\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"0\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\""
	static const struct {
		const char *behaviour, *payload, *detail; /* detail NULL: well-formed */
	} cases[] = {
		{ "nothing", "{}", "dest" },
		{ "no dest", "{" IAT "," ORIG "}", "dest" },
		{ "dest a string", "{\"dest\":\"{}\"," IAT "," ORIG "}", "dest" },
		{ "dest an array", "{\"dest\":[\"1\"]," IAT "," ORIG "}", "dest" },
		{ "dest empty", "{\"dest\":{}," IAT "," ORIG "}", "dest" },
		{ "dest.tn a string", "{\"dest\":{\"tn\":\"1\"}," IAT "," ORIG "}", "dest" },
		{ "dest.tn empty", "{\"dest\":{\"tn\":[]}," IAT "," ORIG "}", "dest" },
		{ "dest.tn with a number", "{\"dest\":{\"tn\":[\"1\",2]}," IAT "," ORIG "}", "dest" },
		{ "dest.tn with an empty string", "{\"dest\":{\"tn\":[\"1\",\"\"]}," IAT "," ORIG "}",
			"dest" },
		{ "dest.uri an object", "{\"dest\":{\"tn\":[\"1\"],\"uri\":{}}," IAT "," ORIG "}", "dest" },
		{ "dest.uri null", "{\"dest\":{\"tn\":[\"1\"],\"uri\":null}," IAT "," ORIG "}", "dest" },
		{ "sixteen", "{\"dest\":{\"tn\":[" SIXTEEN "]}," IAT "," ORIG "}", NULL },
		{ "seventeen", "{\"dest\":{\"tn\":[" SIXTEEN ",\"7\"]}," IAT "," ORIG "}", "dest" },
		{ "seventeen in two arrays",
			"{\"dest\":{\"tn\":[" SIXTEEN "],\"uri\":[\"7\"]}," IAT "," ORIG "}", "dest" },
		{ "no iat", "{" DEST "," ORIG "}", "iat" },
		{ "iat a string", "{" DEST ",\"iat\":\"1443208345\"," ORIG "}", "iat" },
		{ "iat an integral float", "{" DEST ",\"iat\":1443208345.0," ORIG "}", "iat" },
		{ "iat with an exponent", "{" DEST ",\"iat\":1e9," ORIG "}", "iat" },
		{ "iat true", "{" DEST ",\"iat\":true," ORIG "}", "iat" },
		{ "iat before 1970", "{" DEST ",\"iat\":-1," ORIG "}", "iat" },
		{ "iat minus zero", "{" DEST ",\"iat\":-0," ORIG "}", NULL },
		{ "iat at the end of 9999", "{" DEST ",\"iat\":253402300799," ORIG "}", NULL },
		{ "iat in the year 10000", "{" DEST ",\"iat\":253402300800," ORIG "}", "iat" },
		{ "iat in milliseconds", "{" DEST ",\"iat\":1443208345000000," ORIG "}", "iat" },
		{ "no orig", "{" DEST "," IAT "}", "orig" },
		{ "orig a string", "{" DEST "," IAT ",\"orig\":\"12155550121\"}", "orig" },
		{ "orig empty", "{" DEST "," IAT ",\"orig\":{}}", "orig" },
		{ "orig.tn an array", "{" DEST "," IAT ",\"orig\":{\"tn\":[\"1\"]}}", "orig" },
		{ "orig.tn an object", "{" DEST "," IAT ",\"orig\":{\"tn\":{}}}", "orig" },
		{ "orig.tn a number", "{" DEST "," IAT ",\"orig\":{\"tn\":12155550121}}", "orig" },
		{ "orig.tn empty", "{" DEST "," IAT ",\"orig\":{\"tn\":\"\"}}", "orig" },
		{ "orig of tn and uri", "{" DEST "," IAT ",\"orig\":{\"tn\":\"1\",\"uri\":\"sip:a@b\"}}",
			"orig" },
		{ "orig of another kind", "{" DEST "," IAT ",\"orig\":{\"did\":\"1\"}}", "orig" },
		{ "orig.uri", "{" DEST "," IAT ",\"orig\":{\"uri\":\"sip:a@b.example\"}}", NULL },
		{ "other claims",
			"{" DEST "," IAT "," ORIG ",\"mky\":[1],\"rcd\":{\"nam\":\"x\"},\"attest\":7}",
			NULL },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		expect_json_fault(cases[i].behaviour, BASE, cases[i].payload,
			claim_fault(cases[i].behaviour, cases[i].detail), cases[i].detail);
}

static void test_shaken_wants_attest_and_origid(void **state)
{
	static const struct {
		const char *behaviour, *attest, *detail;
	} cases[] = {
		{ "A", "\"attest\":\"A\",\"origid\":\"x\"", NULL },
		{ "B", "\"attest\":\"B\",\"origid\":\"x\"", NULL },
		{ "C", "\"attest\":\"C\",\"origid\":\"x\"", NULL },
		{ "no attest", "\"origid\":\"x\"", "attest" },
		{ "D", "\"attest\":\"D\",\"origid\":\"x\"", "attest" },
		{ "small letter", "\"attest\":\"a\",\"origid\":\"x\"", "attest" },
		{ "a word", "\"attest\":\"A+\",\"origid\":\"x\"", "attest" },
		{ "empty", "\"attest\":\"\",\"origid\":\"x\"", "attest" },
		{ "a number", "\"attest\":1,\"origid\":\"x\"", "attest" },
		{ "an array", "\"attest\":[\"A\"],\"origid\":\"x\"", "attest" },
		{ "no origid", "\"attest\":\"A\"", "origid" },
		{ "origid a number", "\"attest\":\"A\",\"origid\":1", "origid" },
		{ "origid null", "\"attest\":\"A\",\"origid\":null", "origid" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char payload[256];

		snprintf(payload, sizeof payload, "{%s," DEST "," IAT "," ORIG "}", cases[i].attest);
		expect_json_fault(cases[i].behaviour, HEADER, payload,
			claim_fault(cases[i].behaviour, cases[i].detail), cases[i].detail);
		expect_json_fault(cases[i].behaviour, BASE, payload, PASSPORT_OK, NULL);
	}
}

static void test_refuses_bad_json(void **state)
{
	static const struct {
		const char *behaviour;
		struct span payload;
	} cases[] = {
#define CASE(behaviour, text)                                                                                \
	{                                                                                                    \
		behaviour,                                                                                   \
		{                                                                                            \
			text, sizeof(text) - 1                                                               \
		}                                                                                            \
	}
		CASE("white space only", " "),
		CASE("an array", "[]"),
		CASE("a string", "\"x\""),
		CASE("null", "null"),
		CASE("cut off", "{\"iat\":1"),
		CASE("a comma at the end", "{\"iat\":1,}"),
		CASE("something behind", "{} {}"),
		CASE("a NUL behind", "{}\0"),
		CASE("a NUL in a name", "{\"a\0\":1}"),
		CASE("an escaped NUL in a string", "{\"a\":\"\\u0000\"}"),
		CASE("an escaped NUL in a name", "{\"a\\u0000\":1}"),
		CASE("a member twice", "{\"iat\":1,\"iat\":1}"),
		CASE("a member twice, once escaped", "{\"iat\":1,\"\\u0069at\":2}"),
		CASE("a member twice, deeper", "{\"orig\":{\"tn\":\"1\",\"tn\":\"2\"}}"),
		CASE("no UTF-8", "{\"a\":\"\xff\"}"),
		CASE("overlong UTF-8", "{\"a\":\"\xc0\xae\"}"),
		CASE("half a surrogate", "{\"a\":\"\\ud800\"}"),
		CASE("a byte order mark", "\xef\xbb\xbf{}"),
		CASE("an integer too big", "{\"iat\":9223372036854775808}"),
		CASE("a real too big", "{\"iat\":1e999}"),
		CASE("NaN", "{\"iat\":NaN}"),
		CASE("a comment", "{/**/}"),
		CASE("single quotes", "{'iat':1}"),
		CASE("as RFC 8588 section 6 prints it",
			"{\"attest\":\"A\" \"dest\":{\"tn\":[\"12155550131\"]} \"iat\":\"1443208345\","
			"\"orig\":{\"tn\":\"12155550121\"},\"origid\":\"123e4567-e89b-12d3-a456-"
			"426655440000\"}"),
		CASE("nesting of nine", "{\"a\":[[[[[[[[]]]]]]]]}"),
#undef CASE
	};
	char token[4096];
	size_t length;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		length = make_token(token, span_of(HEADER), cases[i].payload, SIGNATURE);
		expect_fault(cases[i].behaviour, token, length, PASSPORT_BAD_JSON, "payload");
		length = make_token(token, cases[i].payload, span_of(PAYLOAD), SIGNATURE);
		expect_fault(cases[i].behaviour, token, length, PASSPORT_BAD_JSON, "header");
	}
}

static void test_takes_json_of_any_layout(void **state)
{
	expect_json_fault("white space, any order, escapes",
		" {\t\"x5u\" : \"https:\\/\\/cert.example.org\\/a.pem\",\r\n\"typ\":\"pass\\u0070ort\", "
		"\"alg\":\"ES256\"} ",
		"{ \"orig\": {\"tn\": \"12155550121\"}, \"iat\": 1443208345, \"dest\": {\"uri\": [], \"tn\": "
		"[\"1\"]} }\n",
		PASSPORT_OK, "");
	expect_json_fault("nesting of eight, brackets in strings", BASE,
		"{\"a\":[[[[[[[]]]]]]],\"b\":\"[[[[[[[[[{{{{{{{{\\\"[[\"," DEST "," IAT "," ORIG "}",
		PASSPORT_OK, "");
}

static void test_deep_nesting_is_not_followed(void **state)
{
	char payload[6000];
	char token[PASSPORT_MAX + 1];
	size_t length;

	memset(payload, '[', sizeof payload);
	length = make_token(token, span_of(BASE), (struct span){ payload, sizeof payload }, SIGNATURE);
	assert_true(length > 8000 && length <= PASSPORT_MAX);
	expect_fault("6000 levels", token, length, PASSPORT_BAD_JSON, "payload");
}

static void test_longest_token(void **state)
{
	char payload[PASSPORT_MAX];
	char token[PASSPORT_MAX * 2];
	const char *start = "{\"x\":\"";
	const char *end = "\"," DEST "," IAT "," ORIG "}";
	size_t fill = (PASSPORT_MAX - BASE64URL_LENGTH(strlen(BASE)) - 88) / 4 * 3;
	size_t length;

	memset(payload, 'x', sizeof payload);
	memcpy(payload, start, strlen(start));
	memcpy(payload + fill - strlen(end), end, strlen(end));
	length = make_token(token, span_of(BASE), (struct span){ payload, fill }, SIGNATURE);
	assert_true(length <= PASSPORT_MAX && length > PASSPORT_MAX - 4);
	expect_fault("as long as may be", token, length, PASSPORT_OK, "");
	memset(token + length, 'A', sizeof token - length);
	expect_fault("one too long", token, PASSPORT_MAX + 1, PASSPORT_TOO_LONG, "token");
	expect_fault("twice that", token, sizeof token, PASSPORT_TOO_LONG, "token");
}

static void test_no_truncation_passes(void **state)
{
	static const char token[] = RFC8946_DIV;

	for (size_t length = 0; length < strlen(token); length++) {
		struct passport *passport;
		const char *detail;

		assert_int_not_equal(parse(&passport, token, length, &detail), PASSPORT_OK);
		assert_non_null(detail);
	}
}

/* Whatever one octet is turned into, the token is refused or its signature covers other bytes. */
static void test_no_mutation_verifies(void **state)
{
	static const unsigned char octets[] = { 0, '.', ' ', '=', '+', '"', 'A', 'B', '_', 0x80, 0xff };
	char token[] = RFC8946_OPT;
	EVP_PKEY *pkey = published_key(RFC8946_PUBLIC);
	struct es256_key *key = es256_key_new(pkey);

	for (size_t i = 0; i < strlen(RFC8946_OPT); i++) {
		for (size_t j = 0; j < sizeof octets; j++) {
			struct passport *passport;
			const char *detail;
			char saved = token[i];

			token[i] = (char)octets[j];
			if (token[i] != saved &&
				parse(&passport, token, strlen(RFC8946_OPT), &detail) == PASSPORT_OK) {
				assert_false(es256_verify(key, passport_signed_bytes(passport).at,
					passport_signed_bytes(passport).length,
					passport_signature(passport)));
				passport_free(passport);
			}
			token[i] = saved;
		}
	}
	es256_key_free(key);
	EVP_PKEY_free(pkey);
}

static void test_ppt_of_a_header_alone(void **state)
{
	char token[1024];
	size_t length = make_token(token, span_of(HEADER), span_of("{}"), "");

	assert_true(passport_has_ppt((struct span){ token, length }, "shaken"));
	assert_false(passport_has_ppt((struct span){ token, length }, "div"));
	assert_false(passport_has_ppt((struct span){ token, length }, "shake"));
	assert_true(passport_has_ppt(span_of(RFC8946_DIV), "div"));
	assert_false(passport_has_ppt(span_of(RFC8946_OPT), "shaken"));
	assert_false(passport_has_ppt(span_of(""), "shaken"));
	assert_false(passport_has_ppt((struct span){ NULL, 0 }, "shaken"));
	assert_false(passport_has_ppt(span_of(".."), "shaken"));
	assert_false(passport_has_ppt(span_of("e30"), "shaken"));
	length = make_token(token, span_of("{\"ppt\":[\"shaken\"]}"), span_of("{}"), "");
	assert_false(passport_has_ppt((struct span){ token, length }, "shaken"));
	length = make_token(token, span_of("[\"ppt\",\"shaken\"]"), span_of("{}"), "");
	assert_false(passport_has_ppt((struct span){ token, length }, "shaken"));
}

static void test_reads_the_ppt_alone(void **state)
{
	char token[256], ppt[8];
	size_t length = make_token(token, span_of("{\"ppt\":\"div\"}"), span_of("{}"), "");

	assert_true(passport_read_ppt(ppt, sizeof ppt, (struct span){ token, length }));
	assert_string_equal(ppt, "div");
	assert_true(passport_read_ppt(ppt, 3, (struct span){ token, length }));
	assert_string_equal(ppt, "di");
	length = make_token(token, span_of("{\"ppt\":3}"), span_of("{}"), "");
	assert_false(passport_read_ppt(ppt, sizeof ppt, (struct span){ token, length }));
	assert_string_equal(ppt, "");
	assert_false(passport_read_ppt(ppt, sizeof ppt, span_of("..x")));
	assert_false(passport_read_ppt(ppt, sizeof ppt, (struct span){ NULL, 0 }));
}

static void test_any_claim_by_its_name(void **state)
{
	static const struct {
		const char *name, *value;
		bool is;
	} cases[] = {
		{ "text", "a b", true },
		{ "text", "a", false },
		{ "text", "a bc", false },
		{ "text", "\"a b\"", false },
		{ "empty", "", true },
		{ "number", "5", true },
		{ "number", "05", false },
		{ "yes", "true", true },
		{ "none", "null", true },
		{ "rcd", "{\"a\":[1,\"x\"],\"b\":1}", true },
		{ "rcd", "{\"b\":1,\"a\":[1,\"x\"]}", false },
		{ "absent", "", false },
		{ "tex", "a b", false },
	};
	char token[1024];
	size_t length = make_token(token, span_of(BASE),
		span_of("{\"text\":\"a b\",\"empty\":\"\",\"number\":5,\"yes\":true,\"none\":null,"
			"\"rcd\":{ \"b\": 1, \"a\": [1, \"x\"] }," DEST "," IAT "," ORIG "}"),
		SIGNATURE);
	struct passport *passport;
	const char *detail;

	assert_int_equal(parse(&passport, token, length, &detail), PASSPORT_OK);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (passport_claim_is(passport, span_of(cases[i].name), span_of(cases[i].value)) != cases[i].is)
			fail_msg("%s: %s", cases[i].name, cases[i].value);
	assert_true(passport_has_claim(passport, span_of("none")));
	assert_true(passport_has_claim(passport, (struct span){ "texts", 4 }));
	assert_false(passport_has_claim(passport, span_of("absent")));
	assert_false(passport_has_claim(passport, span_of("")));
	assert_false(passport_has_claim(passport, (struct span){ "text\0", 5 }));
	passport_free(passport);
}

/* Which of two faults is named: the header's before the signature's, what is missing before what is wrong. */
static void test_the_first_fault_is_named(void **state)
{
	char token[1024];
	size_t length = make_token(token, span_of("{\"alg\":\"HS256\",\"typ\":\"passport\",\"x5u\":\"u\"}"),
		span_of(PAYLOAD), "c2hvcnQ");

	expect_fault("HS256 with its 32 octets", token, length, PASSPORT_BAD_ALG, "alg");
	expect_json_fault("bad attest, no origid", HEADER, "{\"attest\":\"D\"," DEST "," IAT "," ORIG "}",
		PASSPORT_MISSING_CLAIM, "origid");
	expect_json_fault("bad alg, no x5u", "{\"alg\":\"none\",\"typ\":\"passport\"}", PAYLOAD,
		PASSPORT_MISSING_MEMBER, "x5u");
	expect_json_fault("bad alg, bad typ", "{\"alg\":\"none\",\"typ\":\"JWT\",\"x5u\":\"u\"}", PAYLOAD,
		PASSPORT_BAD_TYP, "typ");
}

static void test_ppt_of_a_huge_header(void **state)
{
	char *token = malloc(100000);

	memset(token, 'A', 100000);
	token[99999] = '.';
	assert_false(passport_has_ppt((struct span){ token, 100000 }, "shaken"));
	token[PASSPORT_MAX - 1] = '.';
	assert_false(passport_has_ppt((struct span){ token, 100000 }, "shaken"));
	free(token);
}

static void test_every_fault_has_words(void **state)
{
	for (int fault = PASSPORT_OK; fault <= PASSPORT_NO_MEMORY; fault++)
		assert_true(strlen(passport_fault_text((enum passport_fault)fault)) > 0);
	passport_free(NULL);
}

static const char *text_of(const json_t *vector, const char *name)
{
	const char *text = json_string_value(json_object_get(vector, name));

	return text == NULL ? "" : text;
}

/* The public key in a file of the published examples: a certificate or a key. */
static struct es256_key *key_file(const char *directory, const char *name)
{
	char path[4096];
	FILE *file;
	EVP_PKEY *pkey;
	X509 *certificate;
	struct es256_key *key;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	file = fopen(path, "r");
	assert_non_null(file);
	certificate = PEM_read_X509(file, NULL, NULL, NULL);
	rewind(file);
	pkey = certificate != NULL ? X509_get_pubkey(certificate) : PEM_read_PUBKEY(file, NULL, NULL, NULL);
	if (pkey == NULL) {
		rewind(file);
		pkey = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	}
	fclose(file);
	key = es256_key_new(pkey);
	assert_non_null(key);
	EVP_PKEY_free(pkey);
	X509_free(certificate);
	return key;
}

static bool any_key_verifies(const json_t *vector, const char *directory, const char *token)
{
	const char *dot = strrchr(token, '.');
	const json_t *keys = json_object_get(vector, "key");
	unsigned char signature[ES256_SIGNATURE_BYTES];
	bool verifies = false;
	size_t length;

	assert_true(base64url_decode(signature, sizeof signature, &length, span_of(dot + 1)));
	assert_int_equal(length, ES256_SIGNATURE_BYTES);
	for (size_t i = 0; i < json_array_size(keys); i++) {
		struct es256_key *key = key_file(directory, json_string_value(json_array_get(keys, i)));

		verifies = es256_verify(key, token, (size_t)(dot - token), signature) || verifies;
		es256_key_free(key);
	}
	return verifies;
}

/* What a published example's description says of its form. Those of SEMS have empty numbers where they don't
 * have another fault: their tests look no further than the first. */
static enum passport_fault described_fault(const json_t *vector)
{
	const json_t *expect = json_object_get(vector, "expect");
	const json_t *header = json_object_get(vector, "header");
	const char *alg = text_of(header, "alg");
	const char *typ = text_of(header, "typ");

	if (!json_is_object(header) || !json_is_object(json_object_get(vector, "payload")))
		return PASSPORT_BAD_JSON;
	if (strcmp(typ, "passport") != 0)
		return PASSPORT_BAD_TYP;
	if (strcmp(alg, "ES256") != 0)
		return PASSPORT_BAD_ALG;
	if (json_object_get(json_object_get(vector, "payload"), "iat") == NULL)
		return PASSPORT_MISSING_CLAIM;
	if (strncmp(text_of(expect, "claims"), "invalid", 7) == 0 ||
		strncmp(text_of(vector, "id"), "sems-parse-", 11) == 0)
		return PASSPORT_BAD_CLAIMS;
	return PASSPORT_OK;
}

static void check_vector(const json_t *vector, const char *directory)
{
	const char *token = text_of(vector, "token");
	const json_t *valid = json_object_get(vector, "signature_valid");
	struct passport *passport;
	const char *detail;
	enum passport_fault fault = parse(&passport, token, strlen(token), &detail);

	if (fault != described_fault(vector))
		fail_msg("%s: %s: %s", text_of(vector, "id"), detail, passport_fault_text(fault));
	if (json_is_boolean(valid) && any_key_verifies(vector, directory, token) != json_is_true(valid))
		fail_msg("%s: signature", text_of(vector, "id"));
	if (fault != PASSPORT_OK)
		return;
	assert_string_equal(passport_header_json(passport), text_of(vector, "header_raw"));
	assert_string_equal(passport_payload_json(passport), text_of(vector, "payload_raw"));
	passport_free(passport);
}

/* All published PASSporTs, where they are at hand. */
static void test_published_vectors(void **state)
{
	const char *shared = getenv("STIRRUP_SHARED");
	char directory[2048], path[4096];
	json_t *file, *vectors;
	int passports = 0;

	if (shared == NULL)
		skip();
	snprintf(directory, sizeof directory, "%s/vectors", shared);
	snprintf(path, sizeof path, "%s/vectors.json", directory);
	file = json_load_file(path, 0, NULL);
	assert_non_null(file);
	vectors = json_object_get(file, "vectors");
	for (size_t i = 0; i < json_array_size(vectors); i++) {
		const json_t *vector = json_array_get(vectors, i);

		if (strcmp(text_of(vector, "kind"), "passport") != 0)
			continue;
		check_vector(vector, directory);
		passports++;
	}
	assert_int_equal(passports, 24);
	json_decref(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header_in_canonical_order),
		cmocka_unit_test(test_header_escapes_what_json_must),
		cmocka_unit_test(test_header_is_bounded),
		cmocka_unit_test(test_payload_of_rfc8588),
		cmocka_unit_test(test_payload_for_an_emergency_call),
		cmocka_unit_test(test_payload_at_the_edges),
		cmocka_unit_test(test_payload_survives_hostile_claims),
		cmocka_unit_test(test_payload_wants_all_claims),
		cmocka_unit_test(test_signing_input_is_bounded),
		cmocka_unit_test(test_reads_what_it_writes),
		cmocka_unit_test(test_reads_rfc8225_appendix_a),
		cmocka_unit_test(test_published_tokens),
		cmocka_unit_test(test_refuses_a_broken_shape),
		cmocka_unit_test(test_refuses_a_bad_header),
		cmocka_unit_test(test_refuses_bad_claims),
		cmocka_unit_test(test_shaken_wants_attest_and_origid),
		cmocka_unit_test(test_refuses_bad_json),
		cmocka_unit_test(test_takes_json_of_any_layout),
		cmocka_unit_test(test_deep_nesting_is_not_followed),
		cmocka_unit_test(test_longest_token),
		cmocka_unit_test(test_no_truncation_passes),
		cmocka_unit_test(test_no_mutation_verifies),
		cmocka_unit_test(test_ppt_of_a_header_alone),
		cmocka_unit_test(test_reads_the_ppt_alone),
		cmocka_unit_test(test_any_claim_by_its_name),
		cmocka_unit_test(test_the_first_fault_is_named),
		cmocka_unit_test(test_ppt_of_a_huge_header),
		cmocka_unit_test(test_every_fault_has_words),
		cmocka_unit_test(test_published_vectors),
	};

	return cmocka_run_group_tests_name("passport", tests, NULL, NULL);
}
