#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stirrup/seal.h"
#include "stirrup/verdict.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const uint8_t secret[CHILD_SECRET_BYTES] = "a secret of thirty-two bytes ...";
static const uint8_t other[CHILD_SECRET_BYTES] = "another one of thirty-two bytes.";

static struct sealer *sealer, *stranger, *successor;

static int set_up(void **state)
{
	sealer = sealer_new(secret, NULL);
	stranger = sealer_new(other, NULL);
	successor = sealer_new(other, secret);
	return sealer == NULL || stranger == NULL || successor == NULL;
}

static int tear_down(void **state)
{
	sealer_free(sealer);
	sealer_free(stranger);
	sealer_free(successor);
	sealer_free(NULL);
	return 0;
}

static struct via via_of(const char *text)
{
	struct span rest = span_of(text);
	struct via via;

	assert_true(via_next(&rest, &via));
	return via;
}

static const char *no_others(const char *text, const char *allowed)
{
	return text + strspn(text, allowed);
}

#define HEX "0123456789abcdef"
#define BASE64URL "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/* --- Branches --- */

struct request_text {
	const char *via, *uri, *call_id, *from_tag;
	uint32_t cseq;
};

static struct seal_request request_of(const struct request_text *text)
{
	return (struct seal_request){ .via = via_of(text->via),
		.request_uri = span_of(text->uri),
		.call_id = span_of(text->call_id),
		.from_tag = span_of(text->from_tag),
		.cseq = text->cseq };
}

#define VIA "SIP/2.0/UDP a.example:5062;branch=z9hG4bKx1"
#define OLD "SIP/2.0/UDP a.example:5062;branch=1"
static const struct request_text usual = { VIA, "sip:+1215@b", "call@a", "tag1", 7 };
static const struct request_text elder = { OLD, "sip:+1215@b", "call@a", "tag1", 7 };

static void branch_of(const struct sealer *by, const struct request_text *text, char branch[SEAL_BRANCH_SIZE])
{
	struct seal_request request = request_of(text);

	seal_branch(by, &request, branch);
}

static void a_branch_is_a_cookie_and_hex(void **state)
{
	char branch[SEAL_BRANCH_SIZE];

	branch_of(sealer, &usual, branch);
	assert_int_equal(strlen(branch), 40);
	assert_memory_equal(branch, "z9hG4bKf", 8);
	assert_string_equal(no_others(branch + 8, HEX), "");
}

/* Nodes of one installation, and builds of one version, must make the same. */
static void seals_are_the_same_everywhere(void **state)
{
	struct sealer *again = sealer_new(secret, other);
	char one[SEAL_BRANCH_SIZE], two[SEAL_BRANCH_SIZE];

	branch_of(sealer, &usual, one);
	branch_of(again, &usual, two);
	assert_string_equal(one, two);
	assert_string_equal(one, "z9hG4bKfa069ad9557ddedce354346888e929acd");
	seal_call_id(again, span_of("call@a"), span_of("tag1"), span_of("core"), 0, one);
	assert_string_equal(one, "stXEuPrNKzTFMEUPL7YpJRFCpPKynpYysvcA");
	sealer_free(again);
}

/* RFC 3261 section 16.11. What the transport adds to a repeat may change, and so may what a proxy adds without need. */
static void repeats_cancel_and_ack_get_the_branch_again(void **state)
{
	static const char *const repeats[] = { VIA ";rport", VIA ";received=192.0.2.1;rport=9", VIA ";x=y",
		"SIP / 2.0 / UDP  A.EXAMPLE : 5062 ; branch = z9hG4bKx1" };
	static const char *const old_repeats[] = { OLD ";rport=1", OLD ";received=192.0.2.1" };
	char branch[SEAL_BRANCH_SIZE], again[SEAL_BRANCH_SIZE];

	branch_of(sealer, &usual, branch);
	for (size_t i = 0; i < COUNT(repeats); i++) {
		struct request_text text = usual;

		text.via = repeats[i];
		branch_of(sealer, &text, again);
		assert_string_equal(again, branch);
	}
	branch_of(sealer, &elder, branch);
	for (size_t i = 0; i < COUNT(old_repeats); i++) {
		struct request_text text = elder;

		text.via = old_repeats[i];
		branch_of(sealer, &text, again);
		assert_string_equal(again, branch);
	}
}

static void other_transactions_get_other_branches(void **state)
{
	static const struct request_text others[] = {
		{ VIA "2", "sip:+1215@b", "call@a", "tag1", 7 },
		{ "SIP/2.0/UDP a.example:5063;branch=z9hG4bKx1", "sip:+1215@b", "call@a", "tag1", 7 },
		{ "SIP/2.0/UDP b.example:5062;branch=z9hG4bKx1", "sip:+1215@b", "call@a", "tag1", 7 },
		{ "SIP/2.0/UDP a.example;branch=z9hG4bKx1", "sip:+1215@b", "call@a", "tag1", 7 },
		{ VIA, "sip:+1216@b", "call@a", "tag1", 7 },
		{ VIA, "sip:+1215@b", "call@b", "tag1", 7 },
		{ VIA, "sip:+1215@b", "call@a", "tag2", 7 },
		{ VIA, "sip:+1215@b", "call@a", "tag1", 8 },
		{ VIA, "sip:+1215@", "bcall@a", "tag1", 7 },
		{ VIA, "sip:+1215@b", "call@atag1", "", 7 },
		{ OLD, "sip:+1215@b", "call@a", "tag1", 7 },
		{ "SIP/2.0/UDP a.example:5062", "sip:+1215@b", "call@a", "tag1", 7 },
		{ "SIP/2.0/UDP a.example:5062;branch=z9hG4bK", "sip:+1215@b", "call@a", "tag1", 7 },
		{ OLD, "sip:+1215@b", "call@b", "tag1", 7 },
		{ OLD, "sip:+1215@b", "call@a", "tag1", 8 },
		{ OLD, "sip:+1215@c", "call@a", "tag1", 7 },
		{ OLD, "sip:+1215@b", "call@a", "tag2", 7 },
		{ "SIP/2.0/TCP a.example:5062;branch=1", "sip:+1215@b", "call@a", "tag1", 7 },
	};
	char branches[COUNT(others) + 2][SEAL_BRANCH_SIZE];

	branch_of(sealer, &usual, branches[COUNT(others)]);
	branch_of(stranger, &usual, branches[COUNT(others) + 1]);
	for (size_t i = 0; i < COUNT(others); i++)
		branch_of(sealer, &others[i], branches[i]);
	for (size_t i = 0; i < COUNT(branches); i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(branches[i], branches[j]);
}

/* A request that comes back has a Via of somebody else on top, and ours below. */
static void knows_what_went_in_a_circle(void **state)
{
	static const struct {
		struct request_text now;
		bool loop;
	} cases[] = {
		{ { "SIP/2.0/UDP far;branch=z9hG4bKother", "sip:+1215@b", "call@a", "tag1", 7 }, true },
		{ { "SIP/2.0/UDP far;branch=z9hG4bKother", "sip:+1216@b", "call@a", "tag1", 7 }, false }, /* a spiral */
		{ { "SIP/2.0/UDP far;branch=z9hG4bKother", "sip:+1215@b", "call@a", "tag1", 8 }, false },
		{ { "SIP/2.0/UDP far;branch=z9hG4bKother", "sip:+1215@b", "call@b", "tag1", 7 }, false },
		{ { "SIP/2.0/UDP far;branch=z9hG4bKother", "sip:+1215@b", "call@a", "tag2", 7 }, false },
	};
	char branch[SEAL_BRANCH_SIZE], text[128];

	branch_of(sealer, &usual, branch);
	snprintf(text, sizeof text, "SIP/2.0/UDP us;branch=%s", branch);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct seal_request request = request_of(&cases[i].now);
		struct via via = via_of(text);

		assert_int_equal(seal_is_loop(sealer, &request, &via), cases[i].loop);
		assert_int_equal(seal_is_loop(successor, &request, &via), cases[i].loop);
		assert_false(seal_is_loop(stranger, &request, &via));
	}
}

/* The Request-URI stays the same within a call (RFC 5393 section 4.2.1): its Routes say that it is on another leg of its way. */
static void what_its_routes_lead_here_again_is_no_circle(void **state)
{
	struct seal_request request = request_of(&usual);
	char branch[SEAL_BRANCH_SIZE];
	struct via via = via_of("SIP/2.0/UDP us;branch=x");

	request.next_route = span_of("sip:switch");
	request.routes = 3;
	seal_branch(sealer, &request, branch);
	via.branch = span_of(branch);
	assert_true(seal_is_loop(sealer, &request, &via));
	request.routes = 1;
	assert_false(seal_is_loop(sealer, &request, &via));
	request.routes = 3;
	request.next_route = span_of("sip:other");
	assert_false(seal_is_loop(sealer, &request, &via));
}

/* The Via of a request with a transaction, whose branch is drawn. */
static void a_mark_beside_another_branch_tells_a_circle_too(void **state)
{
	struct seal_request request = request_of(&usual), spiral = request;
	char mark[SEAL_LOOP_SIZE];
	struct via via = via_of("SIP/2.0/TCP us;branch=z9hG4bKr00;s=x");

	spiral.request_uri = span_of("sip:+1216@b");
	seal_loop(sealer, &request, mark);
	assert_int_equal(strlen(mark), SEAL_LOOP_SIZE - 1);
	via.seal = span_of(mark);
	assert_true(seal_is_loop(sealer, &request, &via));
	assert_true(seal_is_loop(successor, &request, &via));
	assert_false(seal_is_loop(stranger, &request, &via));
	assert_false(seal_is_loop(sealer, &spiral, &via));
	for (size_t length = 0; length < SEAL_LOOP_SIZE - 1; length++) {
		via.seal.length = length;
		assert_false(seal_is_loop(sealer, &request, &via));
	}
	via.seal = (struct span){ NULL, 0 };
	assert_false(seal_is_loop(sealer, &request, &via));
}

static void no_other_branch_is_a_loop(void **state)
{
	struct seal_request request = request_of(&usual);
	char branch[SEAL_BRANCH_SIZE];
	struct via via = via_of("SIP/2.0/UDP us;branch=x");

	branch_of(sealer, &usual, branch);
	for (size_t length = 0; length < 40; length++) {
		via.branch = (struct span){ branch, length };
		assert_false(seal_is_loop(sealer, &request, &via));
	}
	for (size_t i = 0; i < 40; i++) {
		branch[i] ^= 1;
		via.branch = (struct span){ branch, 40 };
		/* The first hash is the transaction's. */
		assert_int_equal(seal_is_loop(sealer, &request, &via), i >= 8 && i < 24);
		branch[i] ^= 1;
	}
	via.branch = (struct span){ NULL, 0 };
	assert_false(seal_is_loop(sealer, &request, &via));
}

/* --- Seals in Vias --- */

struct bound_text {
	const char *branch, *next, *call_id;
	uint32_t cseq;
};

static struct seal_via_bound bound_of(const struct bound_text *text)
{
	return (struct seal_via_bound){ span_of(text->branch), via_of(text->next), span_of(text->call_id), text->cseq };
}

#define NEXT "SIP/2.0/UDP a.example:5062;branch=z9hG4bKx1;rport=9;received=192.0.2.1"
static const struct bound_text here = { "z9hG4bKf0", NEXT, "call@a", 7 };
static const struct seal_via via_fields = { 0x1234, 0xffff, 0x8001, SEAL_FROM_STAMPED | SEAL_SEVERAL,
	{ VERDICT_BAD_SIGNATURE, VERDICT_FETCHER_BUSY, 0, VERDICT_STALE_IAT } };

static void write_via(const struct sealer *by, char seal[SEAL_VIA_SIZE])
{
	struct seal_via_bound bound = bound_of(&here);

	seal_via_write(by, &via_fields, &bound, seal);
}

static bool reads_via(const struct sealer *by, struct span seal, const struct bound_text *where)
{
	struct seal_via_bound bound = bound_of(where);
	struct seal_via fields;
	bool ok;

	memset(&fields, 0x55, sizeof fields);
	ok = seal_via_read(by, seal, &bound, &fields);
	if (ok) {
		assert_int_equal(fields.listener, via_fields.listener);
		assert_int_equal(fields.peer, via_fields.peer);
		assert_int_equal(fields.customer, via_fields.customer);
		assert_int_equal(fields.flags, via_fields.flags);
		assert_memory_equal(fields.verdicts, via_fields.verdicts, sizeof fields.verdicts);
	}
	return ok;
}

static void a_via_seal_comes_back(void **state)
{
	static const struct bound_text same[] = {
		{ "z9hG4bKf0", NEXT, "call@a", 7 },
		{ "z9hG4bKf0", "sip / 2.0\r\n / UDP A.Example :5062 ; received=192.0.2.1; branch=z9hG4bKx1;\r\n rport = 9", "call@a",
			7 },
		{ "z9hG4bKf0", NEXT ";comment=1", "call@a", 7 },
	};
	char seal[SEAL_VIA_SIZE];

	write_via(sealer, seal);
	assert_int_equal(strlen(seal), 27);
	assert_string_equal(no_others(seal, BASE64URL), "");
	for (size_t i = 0; i < COUNT(same); i++)
		assert_true(reads_via(sealer, span_of(seal), &same[i]));
}

static void a_via_seal_is_good_in_its_place_only(void **state)
{
	static const struct bound_text elsewhere[] = {
		{ "z9hG4bKf1", NEXT, "call@a", 7 },
		{ "z9hG4bKf0", NEXT, "call@b", 7 },
		{ "z9hG4bKf0", NEXT, "call@a", 8 },
		{ "z9hG4bKf0", "SIP/2.0/TCP a.example:5062;branch=z9hG4bKx1;rport=9;received=192.0.2.1", "call@a", 7 },
		{ "z9hG4bKf0", "SIP/2.0/UDP b.example:5062;branch=z9hG4bKx1;rport=9;received=192.0.2.1", "call@a", 7 },
		{ "z9hG4bKf0", "SIP/2.0/UDP a.example:5063;branch=z9hG4bKx1;rport=9;received=192.0.2.1", "call@a", 7 },
		{ "z9hG4bKf0", "SIP/2.0/UDP a.example;branch=z9hG4bKx1;rport=9;received=192.0.2.1", "call@a", 7 },
		{ "z9hG4bKf0", "SIP/2.0/UDP a.example:5062;branch=z9hG4bKx2;rport=9;received=192.0.2.1", "call@a", 7 },
		{ "z9hG4bKf0", "SIP/2.0/UDP a.example:5062;branch=z9hG4bKx1;rport=8;received=192.0.2.1", "call@a", 7 },
		{ "z9hG4bKf0", "SIP/2.0/UDP a.example:5062;branch=z9hG4bKx1;rport=9;received=192.0.2.2", "call@a", 7 },
		{ "z9hG4bKf0", "SIP/2.0/UDP a.example:5062;branch=z9hG4bKx1;rport=9", "call@a", 7 },
		{ "z9hG4bKf0", "SIP/2.0/UDP a.example:5062;branch=z9hG4bKx1", "call@a", 7 },
	};
	char seal[SEAL_VIA_SIZE];

	write_via(sealer, seal);
	for (size_t i = 0; i < COUNT(elsewhere); i++)
		assert_false(reads_via(sealer, span_of(seal), &elsewhere[i]));
}

/* Every character of it, every length, and what is no base64url at all. */
static void a_via_seal_that_was_touched_is_none(void **state)
{
	static const char *const none[] = { "", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAA", "===========================",
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" };
	char seal[SEAL_VIA_SIZE];

	write_via(sealer, seal);
	for (size_t i = 0; i < 27; i++) {
		char kept = seal[i];

		for (const char *c = BASE64URL "+/=. "; *c != '\0'; c++) {
			seal[i] = *c;
			assert_int_equal(reads_via(sealer, span_of(seal), &here), *c == kept);
		}
		seal[i] = '\0';
		assert_false(reads_via(sealer, (struct span){ seal, 27 }, &here));
		seal[i] = kept;
		assert_false(reads_via(sealer, (struct span){ seal, i }, &here));
	}
	assert_false(reads_via(sealer, (struct span){ seal, 28 }, &here));
	assert_false(reads_via(sealer, (struct span){ NULL, 0 }, &here));
	for (size_t i = 0; i < COUNT(none); i++)
		assert_false(reads_via(sealer, span_of(none[i]), &here));
}

static void a_verdict_of_another_version_is_none(void **state)
{
	struct seal_via_bound bound = bound_of(&here);
	struct seal_via fields = via_fields, read;
	char seal[SEAL_VIA_SIZE];

	fields.verdicts[1] = VERDICT_COUNT;
	fields.verdicts[2] = 255;
	seal_via_write(sealer, &fields, &bound, seal);
	assert_true(seal_via_read(sealer, span_of(seal), &bound, &read));
	assert_int_equal(read.verdicts[0], VERDICT_BAD_SIGNATURE);
	assert_int_equal(read.verdicts[1], 0);
	assert_int_equal(read.verdicts[2], 0);
}

/* --- Seals in Record-Routes --- */

static const struct seal_route route_fields = { 0x89abcdef, 0x1234, 0xfedc, SEAL_FROM_BRACKETED };

static bool reads_route(const struct sealer *by, struct span seal, const char *call_id, const char *from_tag)
{
	struct seal_route fields;
	bool ok = seal_route_read(by, seal, span_of(call_id), span_of(from_tag), &fields);

	if (ok) {
		assert_int_equal(fields.time, route_fields.time);
		assert_int_equal(fields.peer, route_fields.peer);
		assert_int_equal(fields.customer, route_fields.customer);
		assert_int_equal(fields.flags, route_fields.flags);
	}
	return ok;
}

static void a_route_seal_is_good_for_its_call_only(void **state)
{
	char seal[SEAL_ROUTE_SIZE];

	seal_route_write(sealer, &route_fields, span_of("call@a"), span_of("tag1"), seal);
	assert_int_equal(strlen(seal), 27);
	assert_string_equal(no_others(seal, BASE64URL), "");
	assert_true(reads_route(sealer, span_of(seal), "call@a", "tag1"));
	assert_false(reads_route(sealer, span_of(seal), "call@b", "tag1"));
	assert_false(reads_route(sealer, span_of(seal), "call@a", "tag2"));
	assert_false(reads_route(sealer, span_of(seal), "call@", "atag1"));
	assert_false(reads_route(sealer, span_of(seal), "tag1", "call@a"));
	assert_false(reads_route(sealer, span_of(seal), "", ""));
	for (size_t i = 0; i < 27; i++) {
		assert_false(reads_route(sealer, (struct span){ seal, i }, "call@a", "tag1"));
		seal[i] ^= 1;
		assert_false(reads_route(sealer, span_of(seal), "call@a", "tag1"));
		seal[i] ^= 1;
	}
}

static void no_seal_is_good_as_another_one(void **state)
{
	const struct bound_text place = { "call@a", NEXT, "tag1", 0 };
	char via[SEAL_VIA_SIZE], route[SEAL_ROUTE_SIZE];

	write_via(sealer, via);
	seal_route_write(sealer, &route_fields, span_of("call@a"), span_of("tag1"), route);
	assert_false(reads_route(sealer, span_of(via), "call@a", "tag1"));
	assert_false(reads_via(sealer, span_of(route), &place));
}

/* --- Rotation --- */

static void the_previous_secret_is_read_and_not_written(void **state)
{
	char via[SEAL_VIA_SIZE], route[SEAL_ROUTE_SIZE], call_id[SEAL_CALL_ID_SIZE], one[SEAL_BRANCH_SIZE],
		two[SEAL_BRANCH_SIZE];

	write_via(sealer, via);
	seal_route_write(sealer, &route_fields, span_of("c"), span_of("t"), route);
	seal_call_id(sealer, span_of("c"), span_of("t"), span_of("core"), 0, call_id);
	assert_true(reads_via(successor, span_of(via), &here));
	assert_true(reads_route(successor, span_of(route), "c", "t"));
	assert_true(seal_call_id_is_ours(successor, span_of(call_id), span_of("core")));
	assert_false(reads_via(stranger, span_of(via), &here));
	assert_false(reads_route(stranger, span_of(route), "c", "t"));
	assert_false(seal_call_id_is_ours(stranger, span_of(call_id), span_of("core")));

	write_via(successor, via);
	seal_route_write(successor, &route_fields, span_of("c"), span_of("t"), route);
	seal_call_id(successor, span_of("c"), span_of("t"), span_of("core"), 0, call_id);
	assert_false(reads_via(sealer, span_of(via), &here));
	assert_false(reads_route(sealer, span_of(route), "c", "t"));
	assert_false(seal_call_id_is_ours(sealer, span_of(call_id), span_of("core")));
	assert_true(reads_via(stranger, span_of(via), &here));
	assert_true(reads_route(stranger, span_of(route), "c", "t"));
	assert_true(seal_call_id_is_ours(stranger, span_of(call_id), span_of("core")));
	branch_of(successor, &usual, one);
	branch_of(stranger, &usual, two);
	assert_string_equal(one, two);
}

static void the_branch_of_before_is_known(void **state)
{
	struct seal_request request = request_of(&usual);
	char one[SEAL_BRANCH_SIZE], two[SEAL_BRANCH_SIZE] = "untouched";

	assert_true(seal_previous_branch(successor, &request, two));
	branch_of(sealer, &usual, one);
	assert_string_equal(one, two);
	assert_false(seal_previous_branch(sealer, &request, two));
}

/* --- Call-IDs --- */

static void a_call_gets_its_call_id_again(void **state)
{
	static const struct {
		const char *call_id, *from_tag, *peer;
		unsigned salt;
	} calls[] = {
		{ "c", "t", "core", 0 }, { "c", "t", "core", 1 }, { "d", "t", "core", 0 }, { "c", "u", "core", 0 },
		{ "c", "t", "edge", 0 }, { "ct", "", "core", 0 }, { "", "", "", 4294967295u },
	};
	char ids[COUNT(calls)][SEAL_CALL_ID_SIZE], again[SEAL_CALL_ID_SIZE];

	for (size_t i = 0; i < COUNT(calls); i++) {
		for (int time = 0; time < 2; time++)
			seal_call_id(sealer, span_of(calls[i].call_id), span_of(calls[i].from_tag), span_of(calls[i].peer),
				calls[i].salt, time == 0 ? ids[i] : again);
		assert_string_equal(ids[i], again);
		assert_int_equal(strlen(ids[i]), 36);
		assert_string_equal(no_others(ids[i], BASE64URL), "");
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(ids[i], ids[j]);
	}
}

static void knows_its_own_call_ids(void **state)
{
	static const char *const others[] = { "", "s", "st", "st@host", "a84b4c76e66710@pc33.example.com",
		"stAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" };
	char call_id[SEAL_CALL_ID_SIZE];

	seal_call_id(sealer, span_of("c"), span_of("t"), span_of("core"), 3, call_id);
	assert_true(seal_call_id_is_ours(sealer, span_of(call_id), span_of("core")));
	assert_false(seal_call_id_is_ours(sealer, span_of(call_id), span_of("edge")));
	assert_false(seal_call_id_is_ours(sealer, span_of(call_id), span_of("")));
	for (size_t i = 0; i < 36; i++) {
		assert_false(seal_call_id_is_ours(sealer, (struct span){ call_id, i }, span_of("core")));
		call_id[i] ^= 1;
		assert_false(seal_call_id_is_ours(sealer, span_of(call_id), span_of("core")));
		call_id[i] ^= 1;
	}
	for (size_t i = 0; i < COUNT(others); i++)
		assert_false(seal_call_id_is_ours(sealer, span_of(others[i]), span_of("core")));
}

static void takes_long_input(void **state)
{
	static char text[65000];
	struct span huge = { text, sizeof text };
	struct seal_request request = request_of(&elder);
	char one[SEAL_BRANCH_SIZE], two[SEAL_BRANCH_SIZE], route[SEAL_ROUTE_SIZE];
	struct seal_route fields;

	memset(text, 'x', sizeof text);
	for (size_t length = sizeof text - 600; length < sizeof text; length += 1) {
		request.call_id = request.via.host = (struct span){ text, length };
		seal_branch(sealer, &request, one);
		request.call_id.length++;
		seal_branch(sealer, &request, two);
		assert_string_not_equal(one, two);
	}
	seal_route_write(sealer, &route_fields, huge, huge, route);
	assert_true(seal_route_read(sealer, span_of(route), huge, huge, &fields));
	huge.length--;
	assert_false(seal_route_read(sealer, span_of(route), huge, huge, &fields));
}

static void hashes_names(void **state)
{
	assert_int_equal(seal_hash(span_of("")), 0x811c ^ 0x9dc5);
	assert_int_equal(seal_hash(span_of("a")), 0xe40c ^ 0x292c);
	assert_int_equal(seal_hash(span_of("foobar")), 0xbf9c ^ 0xf968);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_branch_is_a_cookie_and_hex),
		cmocka_unit_test(seals_are_the_same_everywhere),
		cmocka_unit_test(repeats_cancel_and_ack_get_the_branch_again),
		cmocka_unit_test(other_transactions_get_other_branches),
		cmocka_unit_test(knows_what_went_in_a_circle),
		cmocka_unit_test(what_its_routes_lead_here_again_is_no_circle),
		cmocka_unit_test(a_mark_beside_another_branch_tells_a_circle_too),
		cmocka_unit_test(no_other_branch_is_a_loop),
		cmocka_unit_test(a_via_seal_comes_back),
		cmocka_unit_test(a_via_seal_is_good_in_its_place_only),
		cmocka_unit_test(a_via_seal_that_was_touched_is_none),
		cmocka_unit_test(a_verdict_of_another_version_is_none),
		cmocka_unit_test(a_route_seal_is_good_for_its_call_only),
		cmocka_unit_test(no_seal_is_good_as_another_one),
		cmocka_unit_test(the_previous_secret_is_read_and_not_written),
		cmocka_unit_test(the_branch_of_before_is_known),
		cmocka_unit_test(a_call_gets_its_call_id_again),
		cmocka_unit_test(knows_its_own_call_ids),
		cmocka_unit_test(takes_long_input),
		cmocka_unit_test(hashes_names),
	};

	return cmocka_run_group_tests_name("seal", tests, set_up, tear_down);
}
