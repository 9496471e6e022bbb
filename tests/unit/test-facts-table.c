#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include "stirrup/facts_table.h"

static EVP_PKEY *pkey;
static unsigned char point[FACTS_POINT_BYTES];

static int make_key(void **state)
{
	size_t length;

	pkey = EVP_EC_gen("P-256");
	return pkey != NULL && EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point,
				       &length) == 1 && length == sizeof point ? 0 : -1;
}

static int free_key(void **state)
{
	EVP_PKEY_free(pkey);
	return 0;
}

static const struct certificate_facts *facts_of(unsigned number, enum verdict verdict)
{
	static struct certificate_facts facts;

	memset(&facts, 0, sizeof facts);
	snprintf(facts.x5u, sizeof facts.x5u, "https://host/%u", number);
	facts.verdict = verdict;
	facts.keep_until = 1000 + number;
	facts.trust_epoch = number;
	facts.constraints_length = number % 50;
	memset(facts.constraints, 'c', facts.constraints_length);
	memcpy(facts.public_key, point, sizeof point);
	return &facts;
}

static bool knows(struct facts_table *table, unsigned number, int64_t now)
{
	struct known_certificate known;
	char x5u[32];

	snprintf(x5u, sizeof x5u, "https://host/%u", number);
	if (!facts_table_find(table, span_of(x5u), now, &known))
		return false;
	assert_string_equal(known.facts->x5u, x5u);
	assert_int_equal(known.facts->constraints_length, number % 50);
	return true;
}

static void a_known_key_verifies(void **state)
{
	struct facts_table *table = facts_table_new(4);
	struct es256_key *signing = es256_key_new(pkey);
	unsigned char signature[ES256_SIGNATURE_BYTES];
	struct known_certificate known;

	assert_true(facts_table_put(table, facts_of(1, VERDICT_PASSED)));
	assert_true(facts_table_find(table, span_of("https://host/1"), 0, &known));
	assert_true(es256_sign(signing, "data", 4, signature));
	assert_true(es256_verify(known.key, "data", 4, signature));
	assert_false(es256_verify(known.key, "date", 4, signature));
	es256_key_free(signing);
	facts_table_free(table);
}

static void a_failure_is_known_without_a_key(void **state)
{
	struct facts_table *table = facts_table_new(4);
	struct known_certificate known;

	assert_true(facts_table_put(table, facts_of(1, VERDICT_CERTIFICATE_UNREACHABLE)));
	assert_true(facts_table_find(table, span_of("https://host/1"), 0, &known));
	assert_null(known.key);
	assert_int_equal(known.facts->verdict, VERDICT_CERTIFICATE_UNREACHABLE);
	facts_table_free(table);
}

static void a_point_off_the_curve_is_refused_and_the_old_one_forgotten(void **state)
{
	struct facts_table *table = facts_table_new(4);
	struct certificate_facts bad = *facts_of(1, VERDICT_PASSED);

	assert_true(facts_table_put(table, facts_of(1, VERDICT_PASSED)));
	bad.public_key[40] ^= 1;
	assert_false(facts_table_put(table, &bad));
	assert_false(knows(table, 1, 0));
	facts_table_free(table);
}

static void the_least_recently_used_goes_first(void **state)
{
	struct facts_table *table = facts_table_new(3);

	for (unsigned i = 1; i <= 3; i++)
		assert_true(facts_table_put(table, facts_of(i, VERDICT_PASSED)));
	assert_true(knows(table, 1, 0));
	assert_true(facts_table_put(table, facts_of(4, VERDICT_PASSED)));
	assert_false(knows(table, 2, 0));
	assert_true(knows(table, 1, 0));
	assert_true(knows(table, 3, 0));
	assert_true(knows(table, 4, 0));
	for (unsigned i = 10; i < 1000; i++)
		assert_true(facts_table_put(table, facts_of(i, VERDICT_CERTIFICATE_UNREACHABLE)));
	assert_false(knows(table, 4, 0));
	assert_true(knows(table, 999, 0));
	facts_table_free(table);
}

static void facts_end_with_their_time_and_their_epoch(void **state)
{
	struct facts_table *table = facts_table_new(10);

	for (unsigned i = 1; i <= 5; i++)
		assert_true(facts_table_put(table, facts_of(i, VERDICT_PASSED)));
	assert_true(knows(table, 3, 1003));
	assert_false(knows(table, 3, 1004));
	facts_table_forget_before(table, 4);
	assert_false(knows(table, 3, 0));
	assert_true(knows(table, 4, 0));
	facts_table_forget(table, span_of("https://host/4"));
	facts_table_forget(table, span_of("https://host/none"));
	assert_false(knows(table, 4, 0));
	assert_true(knows(table, 5, 0));
	facts_table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_known_key_verifies),
		cmocka_unit_test(a_failure_is_known_without_a_key),
		cmocka_unit_test(a_point_off_the_curve_is_refused_and_the_old_one_forgotten),
		cmocka_unit_test(the_least_recently_used_goes_first),
		cmocka_unit_test(facts_end_with_their_time_and_their_epoch),
	};

	return cmocka_run_group_tests(tests, make_key, free_key);
}
