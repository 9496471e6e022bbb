#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/sip/forward.h"
#include "made-worker.h"
#include "stirrup/base64url.h"
#include "stirrup/log.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* --- Scaffold: a caller at 192.0.2.1, a callee's side at 198.51.100.7 --- */

#define PEER                                                                                                       \
	"peers = ( { name = \"a\"; addresses = [ \"192.0.2.1\" ]; unknown_customer = \"unsigned\"; mode = \"forward\";\n" \
	"next_hop = \"sip:198.51.100.7\"; } );"

static struct generation *one, *other;

static int set_up(void **state)
{
	static const uint8_t secret[CHILD_SECRET_BYTES] = { 1 };

	one = made_generation(
		"sip: { listen = [ \"udp:127.0.0.1:5060\", \"udp:127.0.0.1:5070\", \"udp:127.0.0.1:5080\" ]; };\n" PEER);
	other = NULL;
	worker = (struct worker){ .recorder = -1, .generation = one };
	worker.sealer = sealer_new(secret, NULL);
	worker.memo = answer_memo_new(1 << 20);
	worker.relays = relays_new(4);
	worker.digester = call_digester_new(secret);
	arrival = (struct arrival){ .listener = 2 };
	recorded.count = recorded.notes = 0;
	return worker.sealer == NULL || worker.memo == NULL || worker.relays == NULL || worker.digester == NULL;
}

static int tear_down(void **state)
{
	relays_free(worker.relays);
	answer_memo_free(worker.memo);
	sealer_free(worker.sealer);
	call_digester_free(worker.digester);
	generation_unref(one);
	generation_unref(other);
	forget(&to_hops);
	forget(&to_senders);
	return 0;
}

static const char *request_of(const char *method, unsigned max_forwards, const char *to_tag, const char *lines)
{
	static char text[8192];

	snprintf(text, sizeof text,
		"%s sip:+12155550100@198.51.100.7 SIP/2.0\r\n"
		"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcaller;received=192.0.2.1\r\n"
		"Max-Forwards: %u\r\n"
		"%s"
		"From: <sip:+12155551212@192.0.2.1>;tag=caller\r\n"
		"To: <sip:+12155550100@127.0.0.1>%s\r\n"
		"Call-ID: call-1\r\n"
		"CSeq: 7 %s\r\n"
		"Content-Length: 0\r\n\r\n",
		method, max_forwards, lines, to_tag, method);
	return text;
}

static struct sip_head head;
static struct sip_basics basics;

/* The INVITE goes on, by the listener that it came by. */
static void forward_call(void)
{
	struct call_outcome outcome = { .result = "unsigned", .status = 302 };
	struct call call = {
		.generation = generation_ref(one),
		.peer = &one->config->peers[0],
		.listener = 2,
		.arrived_wall_us = now_us,
	};

	call.decision.customer = -1;
	assert_true(sip_head_read(&head, span_of(request_of("INVITE", 70, "", ""))) && (call.head = sip_head_copy(&head)) != NULL &&
		sip_basics_read(&call.basics, call.head));
	forward_invite(&worker, &call, &outcome);
	assert_int_equal(to_hops.count, 1);
}

static struct transit transit_of(const char *text)
{
	struct transit transit = { .head = &head, .basics = &basics, .listener = arrival.listener };

	assert_true(sip_head_read(&head, span_of(text)) && sip_basics_read(&basics, &head));
	transit.peer = &worker.generation->config->peers[0];
	return transit;
}

static const char *last(const struct sent_list *list)
{
	assert_true(list->count > 0);
	return list->items[list->count - 1].bytes;
}

/* Up to the end of the line, which is part of it. */
static struct span line_with(const char *text, const char *start)
{
	const char *at = strstr(text, start), *end;

	assert_non_null(at);
	end = strchr(at, '\n');
	assert_non_null(end);
	return (struct span){ at, (size_t)(end + 1 - at) };
}

/* --- CANCEL, and the ACK of a failure --- */

static void a_follower_is_of_the_transaction_of_its_invite(void **state)
{
	static const char *const methods[] = { "CANCEL", "ACK" };

	forward_call();
	for (size_t i = 0; i < COUNT(methods); i++) {
		struct transit transit = transit_of(request_of(methods[i], 70, i == 0 ? "" : ";tag=x", ""));
		struct span branch, of_invite = line_with(to_hops.items[0].bytes, ";branch=z9hG4bKf");
		size_t length;

		forward_follow(&worker, &transit);
		branch = line_with(last(&to_hops), ";branch=z9hG4bKf");
		length = (size_t)((const char *)memchr(of_invite.at + 1, ';', of_invite.length - 1) - of_invite.at);
		assert_memory_equal(branch.at, of_invite.at, length);
		line_with(last(&to_hops), "Via: SIP/2.0/UDP 127.0.0.1:5080;");
		assert_int_equal(net_port(&to_hops.items[to_hops.count - 1].to), 5060);
	}
	assert_int_equal(to_hops.count, 3);
}

/* What a loop of two that send to each other would never end by. */
static void a_follower_whose_max_forwards_is_used_up_ends_here(void **state)
{
	struct transit transit = transit_of(request_of("ACK", 0, ";tag=x", ""));

	forward_follow(&worker, &transit);
	assert_int_equal(to_hops.count, 0);
	assert_int_equal(to_senders.count, 0);
	transit = transit_of(request_of("CANCEL", 0, "", ""));
	forward_follow(&worker, &transit);
	assert_int_equal(to_hops.count, 0);
	assert_memory_equal(last(&to_senders), "SIP/2.0 483 ", 12);
	transit = transit_of(request_of("ACK", 1, ";tag=x", ""));
	forward_follow(&worker, &transit);
	assert_int_equal(to_hops.count, 1);
}

/* Where INVITEs have transactions, it would have their branch. */
static void a_follower_of_nothing_by_a_connection_ends_here(void **state)
{
	struct transit transit = transit_of(request_of("ACK", 70, ";tag=x", ""));

	arrival.stream = true;
	forward_follow(&worker, &transit);
	assert_int_equal(to_senders.count, 0);
	transit = transit_of(request_of("CANCEL", 70, "", ""));
	forward_follow(&worker, &transit);
	assert_memory_equal(last(&to_senders), "SIP/2.0 481 ", 12);
	assert_int_equal(to_hops.count, 0);
}

static void a_follower_that_comes_back_ends_here(void **state)
{
	struct transit transit = transit_of(request_of("ACK", 70, ";tag=x", ""));
	static char again[8192];

	forward_follow(&worker, &transit);
	assert_int_equal(to_hops.count, 1);
	snprintf(again, sizeof again, "%s", last(&to_hops));
	transit = transit_of(again);
	forward_follow(&worker, &transit);
	assert_int_equal(to_hops.count, 1);
	assert_int_equal(to_senders.count, 0);
}

static void reload(const char *config)
{
	other = made_generation(config);
	worker.generation = other;
}

static void a_follower_leaves_by_the_same_listener_after_a_reload(void **state)
{
	struct transit transit;

	forward_call();
	reload("sip: { listen = [ \"udp:127.0.0.1:5080\" ]; };\n" PEER);
	arrival.listener = 0;
	transit = transit_of(request_of("CANCEL", 70, "", ""));
	forward_follow(&worker, &transit);
	assert_int_equal(to_hops.count, 2);
	line_with(last(&to_hops), "Via: SIP/2.0/UDP 127.0.0.1:5080;");
}

static void and_by_another_where_that_one_is_gone(void **state)
{
	struct transit transit;

	forward_call();
	reload("sip: { listen = [ \"udp:127.0.0.1:5060\" ]; };\n" PEER);
	arrival.listener = 0;
	transit = transit_of(request_of("CANCEL", 70, "", ""));
	forward_follow(&worker, &transit);
	assert_int_equal(to_hops.count, 2);
	line_with(last(&to_hops), "Via: SIP/2.0/UDP 127.0.0.1:5060;");
}

/* --- Responses --- */

static void come_from_callee(void)
{
	arrival.source.ss_family = AF_INET;
	((struct sockaddr_in *)&arrival.source)->sin_addr.s_addr = htonl(0xc6336407);
}

/* To what went on; more: further lines. */
static void respond(const char *request, unsigned status, const char *more)
{
	static struct answer answer;
	struct span bytes;

	assert_true(sip_head_read(&head, span_of(request)));
	answer_begin(&answer, status, "Phrase", &head, "callee");
	writer_text(&answer.writer, more);
	assert_true(answer_end(&answer, &bytes) && sip_head_read(&head, bytes) && sip_basics_read(&basics, &head));
	come_from_callee();
	net_set_port(&arrival.source, 5060);
	forward_response(&worker, &head, &basics);
}

/* Nothing remembers that it came before: of several notes the recorder takes the first. */
static void what_is_said_of_an_identity_is_noted(void **state)
{
	forward_call();
	respond(to_hops.items[0].bytes, 100, "Reason: STIR;cause=436\r\n");
	respond(to_hops.items[0].bytes, 180, "");
	assert_int_equal(recorded.notes, 0);
	for (unsigned i = 1; i <= 2; i++) {
		respond(to_hops.items[0].bytes, 180, "Reason: STIR;cause=436\r\n");
		line_with(last(&to_hops), "Reason: STIR;cause=436\r\n");
		assert_int_equal(recorded.notes, i);
		assert_string_equal(recorded.note, "180 from 198.51.100.7:5060; Reason: STIR;cause=436");
	}
	assert_int_equal(recorded.count, 0);
	respond(to_hops.items[0].bytes, 200, "Reason: STIR;cause=438\r\n");
	assert_string_equal(recorded.note, "200 from 198.51.100.7:5060; Reason: STIR;cause=438");
	assert_int_equal(recorded.count, 1);
	assert_int_equal(recorded.status, 200);
	assert_int_equal(to_hops.count, 6);
}

/* --- Another secret --- */

static void change_secret(const uint8_t *previous)
{
	static const uint8_t secret[CHILD_SECRET_BYTES] = { 2 };

	sealer_free(worker.sealer);
	worker.sealer = sealer_new(secret, previous);
	assert_non_null(worker.sealer);
	answer_memo_free(worker.memo);
	worker.memo = answer_memo_new(1 << 20);
	assert_non_null(worker.memo);
}

static bool same_branch(const char *invite, const char *follower)
{
	struct span branch = line_with(invite, ";branch=z9hG4bKf");
	size_t length = (size_t)((const char *)memchr(branch.at + 1, ';', branch.length - 1) - branch.at);

	return strncmp(line_with(follower, ";branch=z9hG4bKf").at, branch.at, length) == 0;
}

static void follow_with(const char *method, const char *to_tag)
{
	struct transit transit = transit_of(request_of(method, 70, to_tag, ""));

	forward_follow(&worker, &transit);
}

static void a_follower_of_a_call_from_before_reaches_it(void **state)
{
	static const uint8_t previous[CHILD_SECRET_BYTES] = { 1 };
	static const char *const methods[] = { "CANCEL", "ACK" };

	forward_call();
	change_secret(previous);
	for (size_t i = 0; i < COUNT(methods); i++) {
		follow_with(methods[i], i == 0 ? "" : ";tag=x");
		assert_int_equal(to_hops.count, 3 + 2 * i);
		assert_true(same_branch(to_hops.items[0].bytes, to_hops.items[1 + 2 * i].bytes));
		assert_false(same_branch(to_hops.items[0].bytes, to_hops.items[2 + 2 * i].bytes));
	}
	change_secret(NULL);
	follow_with("CANCEL", "");
	assert_int_equal(to_hops.count, 6);
}

/* The far side knows one of the two CANCELs. The caller sent one. */
static void one_failure_of_two_guesses_is_told(void **state)
{
	static const uint8_t previous[CHILD_SECRET_BYTES] = { 1 };

	forward_call();
	change_secret(previous);
	follow_with("CANCEL", "");
	assert_int_equal(to_hops.count, 3);
	respond(to_hops.items[1].bytes, 481, "");
	assert_int_equal(to_hops.count, 3);
	respond(to_hops.items[1].bytes, 200, "");
	assert_int_equal(to_hops.count, 4);
	assert_memory_equal(last(&to_hops), "SIP/2.0 200 ", 12);
	respond(to_hops.items[2].bytes, 481, "");
	assert_int_equal(to_hops.count, 5);
	assert_memory_equal(last(&to_hops), "SIP/2.0 481 ", 12);
}

/* --- Within a call --- */

/* The seal in our Record-Route. */
static void take_seal(char seal[SEAL_ROUTE_SIZE])
{
	struct span line = line_with(to_hops.items[0].bytes, "Record-Route: <sip:127.0.0.1:5080;lr;st=");
	const char *at = strstr(line.at, ";st=") + 4;

	assert_true(span_copy(seal, SEAL_ROUTE_SIZE, (struct span){ at, strcspn(at, ";>") }));
}

/* A BYE of the callee, whose Route brings that text as the caller's From. */
static struct span to_of_bye(const char *from)
{
	static char text[8192];
	char seal[SEAL_ROUTE_SIZE], encoded[1024];
	struct transit transit;

	encoded[base64url_encode(encoded, from, strlen(from))] = '\0';
	take_seal(seal);
	snprintf(text, sizeof text,
		"BYE sip:+12155551212@192.0.2.1 SIP/2.0\r\n"
		"Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKcallee;received=198.51.100.7\r\n"
		"Max-Forwards: 70\r\n"
		"Route: <sip:127.0.0.1:5080;lr;st=%s;f=%s>\r\n"
		"From: <sip:+12155550100@127.0.0.1>;tag=callee\r\n"
		"To: <sip:+12155551212@x>;tag=caller\r\n"
		"Call-ID: call-1\r\n"
		"CSeq: 1 BYE\r\n"
		"Content-Length: 0\r\n\r\n",
		seal, encoded);
	transit = transit_of(text);
	come_from_callee();
	forward_within(&worker, &transit);
	assert_int_equal(to_hops.count, 2);
	return line_with(last(&to_hops), "To: ");
}

static void assert_line(struct span line, const char *text)
{
	assert_int_equal(line.length, strlen(text));
	assert_memory_equal(line.at, text, line.length);
}

static void the_from_that_travelled_with_a_call_comes_back(void **state)
{
	forward_call();
	assert_line(to_of_bye("\"A\" <sip:+12155551212;verstat=x@192.0.2.1>;tag=caller"),
		"To: \"A\" <sip:+12155551212;verstat=x@192.0.2.1>;tag=caller\r\n");
}

/* It would begin a call that nobody has verified. */
static void but_not_without_the_tag_of_the_call(void **state)
{
	static const char *const froms[] = { "<sip:victim@192.0.2.1>", "<sip:victim@192.0.2.1>;tag=another", "<sip:a@b;tag=caller>",
		"\"<sip:a@b>;tag=caller\"", "<sip:a@b>;tag=caller\r\nX: y", "" };

	for (size_t i = 0; i < COUNT(froms); i++) {
		forward_call();
		assert_line(to_of_bye(froms[i]), "To: <sip:+12155551212@x>;tag=caller\r\n");
		forget(&to_hops);
	}
}

/* Some switches put all Vias into one line. */
static void a_via_line_may_be_long(void **state)
{
	static char text[16384], vias[12000];
	char seal[SEAL_ROUTE_SIZE];
	size_t length = 0;

	forward_call();
	take_seal(seal);
	for (unsigned i = 0; i < 100; i++)
		length += (size_t)snprintf(vias + length, sizeof vias - length, ", SIP/2.0/UDP host-%u.example.net;branch=z9hG4bK%u", i, i);
	snprintf(text, sizeof text,
		"BYE sip:+12155551212@192.0.2.1 SIP/2.0\r\n"
		"Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKcallee%s\r\n"
		"Route: <sip:127.0.0.1:5080;lr;st=%s>\r\n"
		"From: <sip:+12155550100@127.0.0.1>;tag=callee\r\n"
		"To: <sip:+12155551212@x>;tag=caller\r\n"
		"Call-ID: call-1\r\n"
		"CSeq: 1 BYE\r\n"
		"Content-Length: 0\r\n\r\n",
		vias, seal);
	come_from_callee();
	service_on_datagram(span_of(text), &worker);
	assert_int_equal(to_hops.count, 2);
	assert_non_null(strstr(last(&to_hops), ";branch=z9hG4bKcallee;received="));
	assert_non_null(strstr(last(&to_hops), vias));
}

/* RFC 2543's: it would want to be the Request-URI itself (RFC 3261 section 16.6 step 6). */
static void a_strict_router_is_treated_as_a_loose_one(void **state)
{
	static char text[4096];
	char seal[SEAL_ROUTE_SIZE];

	forward_call();
	take_seal(seal);
	snprintf(text, sizeof text,
		"BYE sip:+12155551212@192.0.2.1:5070 SIP/2.0\r\n"
		"Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKcallee\r\n"
		"Route: <sip:127.0.0.1:5080;lr;st=%s>, <sip:192.0.2.1:5080>\r\n"
		"From: <sip:+12155550100@127.0.0.1>;tag=callee\r\n"
		"To: <sip:+12155551212@x>;tag=caller\r\n"
		"Call-ID: call-1\r\n"
		"CSeq: 1 BYE\r\n"
		"Content-Length: 0\r\n\r\n",
		seal);
	come_from_callee();
	service_on_datagram(span_of(text), &worker);
	assert_int_equal(to_hops.count, 2);
	assert_memory_equal(last(&to_hops), "BYE sip:+12155551212@192.0.2.1:5070 SIP/2.0\r\n", 44);
	line_with(last(&to_hops), "Route: <sip:192.0.2.1:5080>\r\n");
}

/* Nobody can say where it would lead. */
static void a_route_that_cannot_be_read_leads_nowhere(void **state)
{
	static const char *const routes[] = { "<sip:127.0.0.1:5080;lr;st=%s>, sip", "<sip:127.0.0.1:5080;lr;st=%s>\r\nRoute: <sip:a",
		"<sip:127.0.0.1:5080;lr;st=%s>, , <sip:192.0.2.1:5080;lr>", "sip\r\nRoute: <sip:127.0.0.1:5080;lr;st=%s>" };
	static char text[4096];
	char seal[SEAL_ROUTE_SIZE];

	forward_call();
	take_seal(seal);
	for (size_t i = 0; i < COUNT(routes); i++) {
		struct writer writer = writer_on(text, sizeof text);
		const char *hole = strstr(routes[i], "%s");

		writer_text(&writer, "BYE sip:+12155551212@192.0.2.1:5070 SIP/2.0\r\n"
				     "Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKcallee\r\nRoute: ");
		writer_bytes(&writer, routes[i], (size_t)(hole - routes[i]));
		writer_text(&writer, seal);
		writer_text(&writer, hole + 2);
		writer_text(&writer, "\r\nFrom: <sip:+12155550100@127.0.0.1>;tag=callee\r\n"
				     "To: <sip:+12155551212@x>;tag=caller\r\nCall-ID: call-1\r\nCSeq: 1 BYE\r\n\r\n");
		assert_true(writer_end(&writer));
		come_from_callee();
		service_on_datagram(span_of(text), &worker);
		assert_int_equal(to_hops.count, 1);
		assert_int_equal(to_senders.count, i + 1);
		assert_memory_equal(last(&to_senders), "SIP/2.0 481 ", 12);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_follower_is_of_the_transaction_of_its_invite),
		TEST(a_follower_whose_max_forwards_is_used_up_ends_here),
		TEST(a_follower_of_nothing_by_a_connection_ends_here),
		TEST(a_follower_that_comes_back_ends_here),
		TEST(a_follower_leaves_by_the_same_listener_after_a_reload),
		TEST(and_by_another_where_that_one_is_gone),
		TEST(what_is_said_of_an_identity_is_noted),
		TEST(a_follower_of_a_call_from_before_reaches_it),
		TEST(one_failure_of_two_guesses_is_told),
		TEST(the_from_that_travelled_with_a_call_comes_back),
		TEST(but_not_without_the_tag_of_the_call),
		TEST(a_via_line_may_be_long),
		TEST(a_strict_router_is_treated_as_a_loose_one),
		TEST(a_route_that_cannot_be_read_leads_nowhere),
	};

	log_open("test-forward", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
