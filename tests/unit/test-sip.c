/* The pure parts of src/sip: digest, memo, waiting calls, Contact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "stirrup/answer_memo.h"
#include "stirrup/call.h"
#include "stirrup/call_digest.h"
#include "stirrup/contact.h"
#include "stirrup/raw_answer.h"

/* --- call_digest --- */

static const struct call_digest_input invite = {
	.peer = { "core", 4 },
	.request_uri = { "sip:+12155551213@192.0.2.1", 26 },
	.call_id = { "a84b4c76e66710@pc33", 19 },
	.from_tag = { "1928301774", 10 },
	.via_host = { "192.0.2.9", 9 },
	.via_port = { "5060", 4 },
	.branch = { "z9hG4bK776asdhds", 16 },
	.cseq = 314159,
};

static struct call_digest digest_with(const uint8_t *secret, const struct call_digest_input *input)
{
	struct call_digester *digester = call_digester_new(secret);
	struct call_digest first, second;

	assert_non_null(digester);
	assert_true(call_digest(digester, input, &first));
	assert_true(call_digest(digester, input, &second));
	assert_memory_equal(&first, &second, sizeof first);
	call_digester_free(digester);
	return first;
}

static void every_part_of_the_transaction_changes_the_digest(void **state)
{
	uint8_t secret[CHILD_SECRET_BYTES] = { 1 };
	struct call_digest base = digest_with(secret, &invite);
	struct call_digest_input other[8];

	for (size_t i = 0; i < 8; i++)
		other[i] = invite;
	other[0].peer = span_of("edge");
	other[1].request_uri = span_of("sip:+12155551214@192.0.2.1");
	other[2].call_id = span_of("b84b4c76e66710@pc33");
	other[3].from_tag = span_of("");
	other[4].via_host = span_of("192.0.2.8");
	other[5].via_port = span_of("5061");
	other[6].branch = span_of("z9hG4bK776asdhdt");
	other[7].cseq = 314160;
	for (size_t i = 0; i < 8; i++) {
		struct call_digest changed = digest_with(secret, &other[i]);

		assert_memory_not_equal(&base, &changed, sizeof base);
	}
	secret[31] = 1;
	struct call_digest elsewhere = digest_with(secret, &invite);

	assert_memory_not_equal(&base, &elsewhere, sizeof base);
}

static void parts_that_run_together_stay_apart(void **state)
{
	uint8_t secret[CHILD_SECRET_BYTES] = { 1 };
	struct call_digest_input one = invite, two = invite;

	one.call_id = span_of("ab");
	one.from_tag = span_of("c");
	two.call_id = span_of("a");
	two.from_tag = span_of("bc");
	struct call_digest first = digest_with(secret, &one), second = digest_with(secret, &two);

	assert_memory_not_equal(&first, &second, sizeof first);
}

static void origid_is_a_uuid_and_tag_is_hex(void **state)
{
	struct call_digest digest;
	char origid[ORIGID_SIZE], tag[CALL_TAG_SIZE];

	memset(&digest, 0xff, sizeof digest);
	call_digest_origid(&digest, origid);
	assert_string_equal(origid, "ffffffff-ffff-8fff-bfff-ffffffffffff");
	call_digest_tag(&digest, tag);
	assert_string_equal(tag, "ffffffffffffffff");
}

/* --- answer_memo --- */

static struct call_digest numbered(unsigned number)
{
	struct call_digest digest = { { 0 } };

	memcpy(digest.bytes, &number, sizeof number);
	/* Many share a set, as bad luck has it. */
	digest.bytes[8] = (uint8_t)(number % 3);
	return digest;
}

static void memo_gives_back_the_same_bytes(void **state)
{
	struct answer_memo *memo = answer_memo_new(1 << 16);
	struct call_digest one = numbered(1), two = numbered(2);
	struct span found;

	assert_non_null(memo);
	assert_false(answer_memo_find(memo, &one, &found));
	answer_memo_put(memo, &one, span_of("first"));
	answer_memo_put(memo, &two, span_of("second"));
	assert_true(answer_memo_find(memo, &one, &found));
	assert_true(span_is(found, "first"));
	assert_true(answer_memo_find(memo, &two, &found));
	assert_true(span_is(found, "second"));
	answer_memo_free(memo);
}

static void memo_forgets_the_oldest_and_never_mixes(void **state)
{
	enum { SIZE = 1 << 14, LENGTH = 700, COUNT = 5000 };
	struct answer_memo *memo = answer_memo_new(SIZE);
	char text[LENGTH];

	assert_non_null(memo);
	for (unsigned i = 0; i < COUNT; i++) {
		struct call_digest digest = numbered(i);
		struct span found;
		unsigned known = 0;

		memset(text, 'a' + (int)(i % 26), sizeof text);
		answer_memo_put(memo, &digest, (struct span){ text, sizeof text - i % 50 });
		for (unsigned back = 0; back < 40 && back <= i; back++) {
			struct call_digest earlier = numbered(i - back);

			if (!answer_memo_find(memo, &earlier, &found))
				continue;
			known++;
			assert_int_equal(found.length, LENGTH - (i - back) % 50);
			assert_int_equal(found.at[0], 'a' + (int)((i - back) % 26));
			assert_int_equal(found.at[found.length - 1], 'a' + (int)((i - back) % 26));
		}
		assert_true(known >= 1 && known <= SIZE / (LENGTH - 50));
		if (i > 20)
			assert_true(known >= SIZE / (LENGTH + 64) - 1);
	}
	answer_memo_free(memo);
}

static void memo_leaves_out_what_is_larger_than_itself(void **state)
{
	struct answer_memo *memo = answer_memo_new(1024);
	struct call_digest digest = numbered(1);
	char text[2048] = { 0 };
	struct span found;

	assert_non_null(memo);
	answer_memo_put(memo, &digest, (struct span){ text, sizeof text });
	assert_false(answer_memo_find(memo, &digest, &found));
	answer_memo_free(memo);
}

/* --- waiting calls --- */

static void waiting_calls_are_found_by_digest_and_id(void **state)
{
	enum { CAPACITY = 16 };
	struct waiting_calls *waiting = waiting_calls_new(CAPACITY);
	struct call *kept[CAPACITY];
	uint64_t first_id;

	assert_non_null(waiting);
	for (unsigned i = 0; i < CAPACITY; i++) {
		struct call call = { .digest = numbered(i) };

		kept[i] = waiting_calls_add(waiting, &call);
		assert_non_null(kept[i]);
	}
	struct call one_too_many = { .digest = numbered(99) };

	assert_null(waiting_calls_add(waiting, &one_too_many));
	assert_ptr_equal(waiting_calls_oldest(waiting), kept[0]);
	first_id = kept[0]->id;
	for (unsigned i = 0; i < CAPACITY; i++) {
		struct call_digest digest = numbered(i);

		assert_ptr_equal(waiting_calls_find(waiting, &digest), kept[i]);
		assert_ptr_equal(waiting_calls_by_id(waiting, kept[i]->id), kept[i]);
	}
	for (unsigned i = 0; i < CAPACITY; i += 2)
		waiting_calls_remove(waiting, kept[i]);
	assert_ptr_equal(waiting_calls_oldest(waiting), kept[1]);
	assert_null(waiting_calls_by_id(waiting, first_id));
	for (unsigned i = 0; i < CAPACITY; i++) {
		struct call_digest digest = numbered(i);

		assert_ptr_equal(waiting_calls_find(waiting, &digest), i % 2 == 0 ? NULL : kept[i]);
	}
	/* The place is taken again: the old id must not find the new call. */
	assert_non_null(waiting_calls_add(waiting, &one_too_many));
	assert_null(waiting_calls_by_id(waiting, first_id));
	waiting_calls_free(waiting);
}

/* --- contact --- */

static bool is_stirrup(const char *host_port, void *context)
{
	return strcmp(host_port, "192.0.2.1:5060") == 0;
}

static void contact_follows_the_rules(void **state)
{
	static const struct {
		const char *behaviour, *request_uri, *next_hop, *via_host, *via_port, *source, *transport, *contact;
	} cases[] = {
		{ "the sender's own name", "sip:+12155551213@192.0.2.1", NULL, "sbc.example.net", "5070",
			"192.0.2.9:40000", "udp", "<sip:+12155551213@sbc.example.net:5070>" },
		{ "no port in Via", "sip:+12155551213@192.0.2.1", NULL, "sbc.example.net", "", "192.0.2.9:40000", "udp",
			"<sip:+12155551213@sbc.example.net>" },
		{ "the number's parameters stay", "sip:+12155551213;npdi;rn=+12155550000;tgrp=a;trunk-context=b@192.0.2.1",
			NULL, "192.0.2.9", "5060", "192.0.2.9:5060", "udp",
			"<sip:+12155551213;npdi;rn=+12155550000;tgrp=a;trunk-context=b@192.0.2.9:5060>" },
		{ "URI parameters do not", "sip:+12155551213@192.0.2.1;user=phone", NULL, "192.0.2.9", "5060",
			"192.0.2.9:5060", "udp", "<sip:+12155551213@192.0.2.9:5060>" },
		{ "next_hop wins", "sip:+12155551213@192.0.2.1", "198.51.100.7:5060", "192.0.2.9", "5060",
			"192.0.2.9:5060", "udp", "<sip:+12155551213@198.51.100.7:5060>" },
		{ "TCP stays TCP", "sip:1@192.0.2.1", NULL, "192.0.2.9", "5060", "192.0.2.9:40000", "tcp",
			"<sip:1@192.0.2.9:5060;transport=tcp>" },
		{ "IPv6", "sip:1@[2001:db8::1]", NULL, "[2001:db8::9]", "5060", "[2001:db8::9]:5060", "udp",
			"<sip:1@[2001:db8::9]:5060>" },
		{ "never the Request-URI", "sip:1@192.0.2.9:5060", NULL, "192.0.2.9", "5060", "192.0.2.9:5060", "udp",
			"<sip:1@192.0.2.9:5060;transport=udp>" },
		{ "never the Request-URI, default port", "sip:1@192.0.2.9", NULL, "192.0.2.9", "5060", "192.0.2.9:5060",
			"udp", "<sip:1@192.0.2.9:5060;transport=udp>" },
		{ "the address when the name would be the Request-URI", "sip:1@sbc;transport=udp", NULL, "sbc", "",
			"192.0.2.9:5060", "udp", "<sip:1@192.0.2.9:5060>" },
		{ "never us: the address instead", "sip:1@192.0.2.1", NULL, "192.0.2.1", "5060", "192.0.2.9:5060", "udp",
			"<sip:1@192.0.2.9:5060>" },
		{ "us and us again: none", "sip:1@192.0.2.1", NULL, "192.0.2.1", "5060", "192.0.2.1:5060", "udp", NULL },
		{ "a next hop that is us: none", "sip:1@192.0.2.1", "192.0.2.1:5060", "192.0.2.9", "5060",
			"192.0.2.9:5060", "udp", NULL },
		{ "a tel URI", "tel:+12155551213;rn=+12155550000", NULL, "192.0.2.9", "5060", "192.0.2.9:5060", "udp",
			"<sip:+12155551213;rn=+12155550000@192.0.2.9:5060>" },
		{ "a service URN has no user", "urn:service:sos", NULL, "192.0.2.9", "5060", "192.0.2.9:5060", "udp",
			"<sip:192.0.2.9:5060>" },
		{ "a password is not repeated", "sip:alice:secret@192.0.2.1", NULL, "192.0.2.9", "5060",
			"192.0.2.9:5060", "udp", "<sip:alice@192.0.2.9:5060>" },
		{ "what would end the URI early", "sip:1>@192.0.2.1", NULL, "192.0.2.9", "5060", "192.0.2.9:5060", "udp",
			NULL },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct contact_choice choice = {
			.request_uri = span_of(cases[i].request_uri),
			.next_hop = cases[i].next_hop,
			.via_host = span_of(cases[i].via_host),
			.via_port = span_of(cases[i].via_port),
			.source = cases[i].source,
			.transport = cases[i].transport,
			.is_us = is_stirrup,
		};
		char contact[256];
		bool written = contact_write(contact, sizeof contact, &choice);

		if (written != (cases[i].contact != NULL) || (written && strcmp(contact, cases[i].contact) != 0))
			fail_msg("%s: want %s, have %s", cases[i].behaviour,
				cases[i].contact == NULL ? "none" : cases[i].contact, written ? contact : "none");
	}
}

static void contact_never_overruns(void **state)
{
	struct contact_choice choice = {
		.request_uri = span_of("sip:+12155551213@192.0.2.1"),
		.via_host = span_of("192.0.2.9"),
		.via_port = span_of("5060"),
		.source = "192.0.2.9:5060",
		.transport = "udp",
		.is_us = is_stirrup,
	};
	char contact[256];
	size_t full = strlen("<sip:+12155551213@192.0.2.9:5060>");

	for (size_t size = 1; size <= full; size++)
		assert_false(contact_write(contact, size, &choice));
	assert_true(contact_write(contact, full + 1, &choice));
	for (size_t length = 0; length < choice.request_uri.length; length++) {
		struct contact_choice cut = choice;
		char *exact = malloc(length + 1);

		memcpy(exact, choice.request_uri.at, length);
		cut.request_uri = (struct span){ exact, length };
		contact_write(contact, sizeof contact, &cut);
		free(exact);
	}
}

/* --- raw_answer --- */

#define HEAD "Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nv: SIP/2.0/UDP b\r\nFROM: <sip:a@b>;tag=1\r\n" \
	"To: <sip:c@d>\r\ni: 1@a\r\nCSeq: 1 INVITE\r\n"

static void raw_answer_copies_what_an_answer_needs(void **state)
{
	static const struct {
		const char *behaviour, *request, *answer;
	} cases[] = {
		{ "in the request's order, with a tag", "INVITE sip:c@d SIP/2.0\r\nX: 1\r\n" HEAD "\r\nFrom: body",
			"SIP/2.0 513 Large\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nv: SIP/2.0/UDP b\r\n"
			"FROM: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=bc9ffd9c\r\ni: 1@a\r\nCSeq: 1 INVITE\r\n"
			"Content-Length: 0\r\n\r\n" },
		{ "folded lines whole, a tag kept",
			"INVITE sip:c@d SIP/2.0\r\nX: 1\r\n From: no\r\nVia: SIP/2.0/UDP\r\n a\r\nFrom: <sip:a@b>\r\n"
			"To: <sip:c@d>\r\n ;tag=9\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n",
			"SIP/2.0 513 Large\r\nVia: SIP/2.0/UDP\r\n a\r\nFrom: <sip:a@b>\r\nTo: <sip:c@d>\r\n ;tag=9\r\n"
			"Call-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n" },
		{ "no answer to a response", "SIP/2.0 200 OK\r\n" HEAD "\r\n", NULL },
		{ "no answer to an ACK", "ACK sip:c@d SIP/2.0\r\n" HEAD "\r\n", NULL },
		{ "no answer without a Call-ID",
			"INVITE sip:c@d SIP/2.0\r\nVia: a\r\nFrom: a\r\nTo: b\r\nCSeq: 1 INVITE\r\n\r\n", NULL },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char out[512];
		size_t length = raw_answer(out, sizeof out, span_of(cases[i].request), "SIP/2.0 513 Large");
		struct span made = { out, length };

		if (cases[i].answer == NULL ? length != 0 : !span_is(made, cases[i].answer))
			fail_msg("%s: %.*s", cases[i].behaviour, (int)length, out);
	}
}

static void raw_answer_stands_any_truncation(void **state)
{
	static const char request[] = "INVITE sip:c@d SIP/2.0\r\n" HEAD " folded\r\n\r\n";
	char out[512];

	for (size_t length = 0; length < sizeof request; length++) {
		char *exact = malloc(length + 1);

		memcpy(exact, request, length);
		raw_answer(out, sizeof out, (struct span){ exact, length }, "SIP/2.0 513 Large");
		free(exact);
		raw_answer(out, length, span_of(request), "SIP/2.0 513 Large");
	}
}

static void what_cannot_be_read_is_refused_by_its_version(void **state)
{
	static const struct {
		const char *request, *status_line;
	} cases[] = {
		{ "INVITE sip:c@d SIP/3.0\r\n\r\n", "SIP/2.0 505 Version Not Supported" },
		{ "INVITE sip:c@d sip/2.00\nX", "SIP/2.0 505 Version Not Supported" },
		{ "INVITE sip:c@d  SIP/1.0 \r\n", "SIP/2.0 505 Version Not Supported" },
		{ "INVITE sip:c@d SIP/2.0\r\n\r\n", "SIP/2.0 400 Bad Request" },
		{ "INVITE sip:c@d SIP/2.0x\r\n\r\n", "SIP/2.0 400 Bad Request" },
		{ "INVITE sip:c@d SIP/", "SIP/2.0 400 Bad Request" },
		{ "GET / HTTP/1.1\r\n\r\n", "SIP/2.0 400 Bad Request" },
		{ "SIP/3.0", "SIP/2.0 505 Version Not Supported" },
		{ "", "SIP/2.0 400 Bad Request" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_string_equal(raw_answer_refusal(span_of(cases[i].request)), cases[i].status_line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_part_of_the_transaction_changes_the_digest),
		cmocka_unit_test(parts_that_run_together_stay_apart),
		cmocka_unit_test(origid_is_a_uuid_and_tag_is_hex),
		cmocka_unit_test(memo_gives_back_the_same_bytes),
		cmocka_unit_test(memo_forgets_the_oldest_and_never_mixes),
		cmocka_unit_test(memo_leaves_out_what_is_larger_than_itself),
		cmocka_unit_test(waiting_calls_are_found_by_digest_and_id),
		cmocka_unit_test(contact_follows_the_rules),
		cmocka_unit_test(contact_never_overruns),
		cmocka_unit_test(raw_answer_copies_what_an_answer_needs),
		cmocka_unit_test(raw_answer_stands_any_truncation),
		cmocka_unit_test(what_cannot_be_read_is_refused_by_its_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
