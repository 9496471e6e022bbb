#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "stirrup/tn_auth_list.h"

#define DER_MAX 4096

static size_t from_hex(unsigned char out[DER_MAX], const char *hex)
{
	size_t length = 0;

	for (; hex[0] != '\0' && length < DER_MAX; hex += 2) {
		unsigned octet;

		assert_int_equal(sscanf(hex, "%2x", &octet), 1);
		out[length++] = (unsigned char)octet;
	}
	return length;
}

/* From a copy of exactly that size, so that a sanitizer sees any read beyond it. */
static struct tn_auth_list *decode(const unsigned char *der, size_t length, const char **why)
{
	unsigned char *exact = malloc(length == 0 ? 1 : length);
	struct tn_auth_list *list;

	assert_non_null(exact);
	memcpy(exact, der, length);
	*why = NULL;
	list = tn_auth_list_decode(exact, length, why);
	free(exact);
	assert_int_equal(list == NULL, *why != NULL);
	return list;
}

static struct tn_auth_list *decode_hex(const char *hex, const char **why)
{
	unsigned char der[DER_MAX];
	size_t length = from_hex(der, hex);

	return decode(der, length, why);
}

static bool covers(const struct tn_auth_list *list, const char *digits)
{
	struct tn tn;

	snprintf(tn.digits, sizeof tn.digits, "%s", digits);
	return tn_auth_list_covers(list, &tn);
}

static void test_reads_every_entry(void **state)
{
	/* 709J, then 12155500100 and the 99 after it, then 18005551212. */
	static const char mixed[] = "302ba00616043730394aa1123010160b3132313535353030313030020164"
				    "a20d160b3138303035353531323132";
	const char *why;
	struct tn_auth_list *list = decode_hex(mixed, &why);

	assert_non_null(list);
	assert_int_equal(tn_auth_list_spc_count(list), 1);
	assert_string_equal(tn_auth_list_spc(list, 0), "709J");
	assert_int_equal(tn_auth_list_number_count(list), 2);
	assert_true(tn_auth_list_has_spc(list, "709J"));
	assert_false(tn_auth_list_has_spc(list, "709j"));
	assert_false(tn_auth_list_has_spc(list, "709"));
	assert_false(tn_auth_list_has_spc(list, ""));
	assert_true(covers(list, "12155500100"));
	assert_true(covers(list, "18005551212"));
	tn_auth_list_free(list);
}

static void test_keeps_several_codes_in_order(void **state)
{
	const char *why;
	struct tn_auth_list *list = decode_hex("3010a006160431323334a006160435363738", &why);

	assert_non_null(list);
	assert_int_equal(tn_auth_list_spc_count(list), 2);
	assert_string_equal(tn_auth_list_spc(list, 0), "1234");
	assert_string_equal(tn_auth_list_spc(list, 1), "5678");
	assert_int_equal(tn_auth_list_number_count(list), 0);
	assert_false(covers(list, "1234"));
	tn_auth_list_free(list);
}

static void test_covers_what_it_lists(void **state)
{
	static const struct {
		const char *behaviour, *der, *number;
		bool covered;
	} cases[] = {
		{ "the only number", "300fa20d160b3132313235353531383234", "12125551824", true },
		{ "another number", "300fa20d160b3132313235353531383234", "12125551825", false },
		{ "a shorter one", "300fa20d160b3132313235353531383234", "1212555182", false },
		{ "a longer one", "300fa20d160b3132313235353531383234", "121255518240", false },
		{ "an empty one", "300fa20d160b3132313235353531383234", "", false },
		{ "star and hash", "3008a20616042a363723", "*67#", true },
		{ "star and hash, otherwise", "3008a20616042a363723", "*67*", false },
		{ "below a range", "3015a1133011160b3132313235353531303030020203e8", "12125550999", false },
		{ "first of a range", "3015a1133011160b3132313235353531303030020203e8", "12125551000", true },
		{ "last of a range", "3015a1133011160b3132313235353531303030020203e8", "12125551999", true },
		{ "above a range", "3015a1133011160b3132313235353531303030020203e8", "12125552000", false },
		{ "a range, zero put before", "3015a1133011160b3132313235353531303030020203e8",
			"012125551000", false },
		{ "a star in a range", "3015a1133011160b3132313235353531303030020203e8", "1212555100*",
			false },
		{ "31 digits against a range", "3015a1133011160b3132313235353531303030020203e8",
			"1212555100012125551000121255510", false },
		/* 007 and the two after it: the zeros count. */
		{ "a range with zeros in front", "300ca10a30081603303037020103", "009", true },
		{ "a range with zeros in front, without them", "300ca10a30081603303037020103", "9", false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *why;
		struct tn_auth_list *list = decode_hex(cases[i].der, &why);

		if (list == NULL)
			fail_msg("%s: %s", cases[i].behaviour, why);
		if (covers(list, cases[i].number) != cases[i].covered)
			fail_msg("%s", cases[i].behaviour);
		tn_auth_list_free(list);
	}
}

static void test_refuses_what_is_not_well_formed(void **state)
{
	static const char indefinite[] = "a length is indefinite, which DER forbids";
	static const char minimal[] = "a length is not in its shortest form, which DER wants";
	static const char beyond[] = "a length runs beyond its surroundings";
	static const char tag[] = "an entry is not tagged [0], [1] or [2]";
	static const char overflow[] = "a range goes beyond the numbers of its length";
	static const struct {
		const char *der, *why;
	} cases[] = {
		{ "", "not a SEQUENCE" },
		{ "30", "cut off before a length" },
		{ "3000", "an empty SEQUENCE" },
		{ "3100", "not a SEQUENCE" },
		{ "16043132333430", "not a SEQUENCE" },
		{ "30820008a006160431323334", minimal },
		{ "308108a006160431323334", minimal },
		{ "3009a08106160431323334", minimal },
		{ "3009a00716810431323334", minimal },
		{ "3080a0060604313233340000", indefinite },
		{ "300ca080160431323334"
		  "00000000",
			indefinite },
		{ "3085010000000000", beyond },
		{ "30ff", beyond },
		{ "3082ff", "cut off within a length" },
		{ "3084ffffffff00", beyond },
		{ "3008a00616043132", beyond },
		{ "3008a006163836374a", beyond },
		{ "3008a0061604313233340500", "something stands after the SEQUENCE" },
		{ "3008a00616043132333400", "something stands after the SEQUENCE" },
		{ "300613043735354a", tag },
		{ "3006800431323334", tag },
		{ "3006160431323334", tag },
		{ "3008a306160431323334", tag },
		{ "3002a000", "a service provider code is not an IA5String" },
		{ "3008a0060c0431323334", "a service provider code is not an IA5String" },
		{ "3008a006130431323334", "a service provider code is not an IA5String" },
		{ "3004a0021600", "a service provider code is empty" },
		{ "3008a006160431003334", "a service provider code has a character that cannot be printed" },
		{ "3008a0061604310a3334", "a service provider code has a character that cannot be printed" },
		{ "3008a00616043180ff34", "a service provider code has a character that cannot be printed" },
		{ "300ea00c160431323334160431323334", "an entry holds more than one value" },
		{ "3002a200", "a telephone number is not an IA5String" },
		{ "3004a2021600", "a telephone number does not have 1 to 15 characters" },
		{ "3014a212161031323334353637383930313233343536",
			"a telephone number does not have 1 to 15 characters" },
		{ "300fa20d160b3132313235353543414c4c",
			"a telephone number has other characters than 0-9, # and *" },
		{ "3006a204160231"
		  "00",
			"a telephone number has other characters than 0-9, # and *" },
		{ "3007a20516032b3132", "a telephone number has other characters than 0-9, # and *" },
		{ "3006a10416023132", "a range is not a SEQUENCE" },
		{ "3008a106300416023132", "the count of a range is not an INTEGER" },
		{ "300aa1083006160231320200", "the count of a range is empty" },
		{ "300ca10a3008160231300202"
		  "0002",
			"the count of a range is not in its shortest form, which DER wants" },
		{ "300ca10a3008160231300202"
		  "ff80",
			"the count of a range is not in its shortest form, which DER wants" },
		{ "3014a1123010160b31323132353535313030300201ff", "the count of a range is negative" },
		{ "3014a1123010160b3132313235353531303030020100", "the count of a range is less than 2" },
		{ "3014a1123010160b3132313235353531303030020101", "the count of a range is less than 2" },
		{ "300ba10930071602313002015a", overflow },
		{ "300ba10930071602313002015b", overflow },
		{ "3013a111300f1602313002090100000000000000"
		  "00",
			overflow },
		{ "3012a110300e1602313002087fffffffffffffff", overflow },
		{ "300ca10a300816032a3535020105", "a range starts at a number with # or *" },
		{ "300ea10c300a1602313002010a020101", "a range has something after its count" },
		{ "3838313231322c494e54454745523a3530", "not a SEQUENCE" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *why;

		if (decode_hex(cases[i].der, &why) != NULL)
			fail_msg("%s: taken", cases[i].der);
		if (strcmp(why, cases[i].why) != 0)
			fail_msg("%s: \"%s\", want \"%s\"", cases[i].der, why, cases[i].why);
	}
}

static void test_refuses_every_truncation(void **state)
{
	static const char mixed[] = "302ba00616043730394aa1123010160b3132313535353030313030020164"
				    "a20d160b3138303035353531323132";
	unsigned char der[DER_MAX];
	size_t length = from_hex(der, mixed);
	const char *why;

	for (size_t cut = 0; cut < length; cut++)
		assert_null(decode(der, cut, &why));
}

/* Whatever one octet becomes: a list or a reason, and never a look beyond the end. */
static void test_survives_every_changed_octet(void **state)
{
	static const char mixed[] = "302ba00616043730394aa1123010160b3132313535353030313030020164"
				    "a20d160b3138303035353531323132";
	unsigned char der[DER_MAX];
	size_t length = from_hex(der, mixed);

	for (size_t i = 0; i < length; i++) {
		unsigned char original = der[i];

		for (unsigned octet = 0; octet < 256; octet++) {
			const char *why;

			der[i] = (unsigned char)octet;
			tn_auth_list_free(decode(der, length, &why));
		}
		der[i] = original;
	}
}

/* More than 64 KiB, lengths of three octets, as many entries as fit. */
static void test_reads_a_long_list(void **state)
{
	enum { ENTRIES = 20000 };
	size_t content = (size_t)ENTRIES * 5;
	unsigned char *der = malloc(content + 5);
	struct tn_auth_list *list;
	const char *why;

	assert_non_null(der);
	memcpy(der,
		(unsigned char[]){ 0x30, 0x83, (unsigned char)(content >> 16), (unsigned char)(content >> 8),
			(unsigned char)content },
		5);
	for (size_t i = 0; i < ENTRIES; i++)
		memcpy(der + 5 + i * 5, i % 2 == 0 ? "\xa0\x03\x16\x01\x41" : "\xa2\x03\x16\x01\x37", 5);
	list = decode(der, content + 5, &why);
	free(der);
	assert_non_null(list);
	assert_int_equal(tn_auth_list_spc_count(list), ENTRIES / 2);
	assert_string_equal(tn_auth_list_spc(list, ENTRIES / 2 - 1), "A");
	assert_int_equal(tn_auth_list_number_count(list), ENTRIES / 2);
	assert_true(covers(list, "7"));
	tn_auth_list_free(list);
}

static void test_frees_nothing(void **state)
{
	tn_auth_list_free(NULL);
}

/* --- What is published and in use, where it is at hand --- */

static void shared_path(char path[512], const char *name)
{
	const char *shared = getenv("STIRRUP_SHARED");

	if (shared == NULL)
		skip();
	snprintf(path, 512, "%s/%s", shared, name);
}

static void check_published(const json_t *vector)
{
	const json_t *expect = json_object_get(vector, "expect"), *entry;
	const char *id = json_string_value(json_object_get(vector, "id")), *why;
	struct tn_auth_list *list = decode_hex(json_string_value(json_object_get(vector, "hex")), &why);
	size_t index;

	if (json_is_string(expect)) {
		if (list != NULL)
			fail_msg("%s: taken", id);
		return;
	}
	if (list == NULL)
		fail_msg("%s: %s", id, why);
	json_array_foreach(expect, index, entry)
	{
		const json_t *spc = json_object_get(entry, "spc"), *one = json_object_get(entry, "one");
		const json_t *first = json_array_get(json_object_get(entry, "range"), 0);

		if (spc != NULL && !tn_auth_list_has_spc(list, json_string_value(spc)))
			fail_msg("%s: SPC", id);
		if (one != NULL && !covers(list, json_string_value(one)))
			fail_msg("%s: number", id);
		if (first != NULL && !covers(list, json_string_value(first)))
			fail_msg("%s: range", id);
	}
	assert_int_equal(
		tn_auth_list_spc_count(list) + tn_auth_list_number_count(list), json_array_size(expect));
	tn_auth_list_free(list);
}

static void test_agrees_with_published_encodings(void **state)
{
	char path[512];
	json_t *all, *vector;
	size_t index, seen = 0;

	shared_path(path, "vectors/vectors.json");
	all = json_load_file(path, 0, NULL);
	assert_non_null(all);
	json_array_foreach(json_object_get(all, "vectors"), index, vector)
	{
		const char *kind = json_string_value(json_object_get(vector, "kind"));

		if (kind == NULL || strcmp(kind, "tnauthlist") != 0)
			continue;
		check_published(vector);
		seen++;
	}
	json_decref(all);
	assert_true(seen >= 20);
}

static struct tn_auth_list *decode_extension(X509 *certificate, const char **why)
{
	ASN1_OBJECT *oid = OBJ_txt2obj(TN_AUTH_LIST_OID, 1);
	int at = X509_get_ext_by_OBJ(certificate, oid, -1);
	const ASN1_OCTET_STRING *value;

	ASN1_OBJECT_free(oid);
	*why = "absent";
	if (at < 0)
		return NULL;
	value = X509_EXTENSION_get_data(X509_get_ext(certificate, at));
	return decode(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value), why);
}

static X509 *certificate_from_base64(const char *text)
{
	size_t length = strcspn(text, "\r\n");
	unsigned char *der = malloc(length);
	const unsigned char *p = der;
	X509 *certificate;

	assert_true(EVP_DecodeBlock(der, (const unsigned char *)text, (int)length) > 0);
	certificate = d2i_X509(NULL, &p, (long)length);
	free(der);
	return certificate;
}

/* Of all real certificates, those only are refused that a linter finds malformed, too. */
static void test_agrees_with_certificates_in_use(void **state)
{
	char path[512];
	char line[16384];
	size_t good = 0, bad = 0, one_code = 0;
	FILE *file;

	shared_path(path, "corpus/leaf.tsv");
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(line, sizeof line, file));
	while (fgets(line, sizeof line, file) != NULL) {
		X509 *certificate = certificate_from_base64(strrchr(line, '\t') + 1);
		const char *why;
		struct tn_auth_list *list;

		assert_non_null(certificate);
		list = decode_extension(certificate, &why);
		X509_free(certificate);
		if (list == NULL) {
			bad++;
			if (strstr(line, "e_atis_tn_auth_list,") == NULL &&
				strstr(line, "e_atis_tn_auth_list\t") == NULL)
				fail_msg("%.64s: %s", line, why);
		} else {
			good++;
			one_code += tn_auth_list_spc_count(list) == 1 && tn_auth_list_number_count(list) == 0;
		}
		tn_auth_list_free(list);
	}
	fclose(file);
	print_message("%zu well-formed, %zu with one code, %zu refused\n", good, one_code, bad);
	assert_true(good > 1500);
}

/* RFC 9060 section 4.1: equal to or a subset. */
static void test_encompasses_what_it_covers(void **state)
{
	/* codes: 1234; 1234 and 5678. Numbers: 12155550100 and 100; 12155550100 alone; 12155550150 and 100; *67 */
	static const char one_code[] = "3008a006160431323334", two_codes[] = "3010a006160431323334a006160435363738";
	static const char hundred[] = "3014a1123010160b3132313535353530313030020164";
	static const char first[] = "300fa20d160b3132313535353530313030", last[] = "300fa20d160b3132313535353530313939";
	static const char after[] = "300fa20d160b3132313535353530323030";
	static const char later[] = "3014a1123010160b3132313535353530313530020164";
	static const char both[] = "3028a1123010160b3132313535353530313030020164a1123010160b3132313535353530313530020164";
	static const char across[] = "3015a1133011160b313231353535353031303002020096";
	static const char star[] = "3007a20516032a3637", code_and_first[] = "3017a006160431323334a20d160b3132313535353530313030";
	static const struct {
		const char *list, *inner;
		bool encompasses;
	} cases[] = {
		{ one_code, one_code, true }, { two_codes, one_code, true }, { one_code, two_codes, false },
		{ hundred, hundred, true }, { hundred, first, true }, { hundred, last, true }, { hundred, after, false },
		{ hundred, later, false }, { first, hundred, false }, { later, first, false }, { both, across, true },
		{ hundred, across, false }, { later, across, false }, { both, later, true }, { star, star, true },
		{ hundred, star, false }, { star, first, false }, { hundred, one_code, false },
		/* Which numbers belong to a code is nowhere in a certificate. */
		{ one_code, hundred, true }, { one_code, code_and_first, true }, { hundred, code_and_first, false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *why;
		struct tn_auth_list *list = decode_hex(cases[i].list, &why), *inner = decode_hex(cases[i].inner, &why);

		assert_non_null(list);
		assert_non_null(inner);
		if (tn_auth_list_encompasses(list, inner) != cases[i].encompasses)
			fail_msg("case %zu", i);
		tn_auth_list_free(list);
		tn_auth_list_free(inner);
	}
}

static void test_lends_its_numbers(void **state)
{
	const char *why;
	struct tn_auth_list *list = decode_hex("3023a20d160b3132313535353530313030a1123010160b3132313535353530313530020164", &why);
	uint64_t count;

	assert_non_null(list);
	assert_string_equal(tn_auth_list_number(list, 0, &count), "12155550100");
	assert_int_equal(count, 1);
	assert_string_equal(tn_auth_list_number(list, 1, &count), "12155550150");
	assert_int_equal(count, 100);
	tn_auth_list_free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encompasses_what_it_covers),
		cmocka_unit_test(test_lends_its_numbers),
		cmocka_unit_test(test_reads_every_entry),
		cmocka_unit_test(test_keeps_several_codes_in_order),
		cmocka_unit_test(test_covers_what_it_lists),
		cmocka_unit_test(test_refuses_what_is_not_well_formed),
		cmocka_unit_test(test_refuses_every_truncation),
		cmocka_unit_test(test_survives_every_changed_octet),
		cmocka_unit_test(test_reads_a_long_list),
		cmocka_unit_test(test_frees_nothing),
		cmocka_unit_test(test_agrees_with_published_encodings),
		cmocka_unit_test(test_agrees_with_certificates_in_use),
	};

	return cmocka_run_group_tests_name("tn-auth-list", tests, NULL, NULL);
}
