#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/sip/dialogs.h"
#include "../../src/sip/outgoing.h"
#include "made-worker.h"
#include "stirrup/log.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define CAPACITY 4

/* --- Scaffold: one request from a caller, and what its next hops say --- */

static const char config_text[] =
	"sip: { listen = [ \"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\" ]; };\n"
	"peers = ( { name = \"a\"; addresses = [ \"192.0.2.1\" ]; unknown_customer = \"unsigned\"; mode = \"forward\";\n"
	"next_hop = \"sip:198.51.100.7\"; no_answer = \"60s\"; } );\n"
	"dialogs: { store = \"/nonexistent/store\"; };";

static struct generation *generation;
static char request_text[SENT_BYTES];
static struct sip_head request;
static struct sip_basics request_basics;
static struct call_digest digest;
static bool by_connection;
static const char *more_vias;    /* whole lines */
static struct dialog_key within; /* the call of a request within one */

static const struct sip_head no_reasons;

static struct hop hop_at(unsigned port, enum transport transport, bool given)
{
	struct hop hop = { .transport = transport, .transport_given = given };

	hop.address.ss_family = AF_INET;
	((struct sockaddr_in *)&hop.address)->sin_addr.s_addr = htonl(0xc6336407);
	net_set_port(&hop.address, port);
	net_text(hop.text, (const struct sockaddr *)&hop.address);
	return hop;
}

static const char *request_of(const char *method, size_t body_length)
{
	int length = snprintf(request_text, sizeof request_text,
		"%s sip:+12155550100@127.0.0.1:5060 SIP/2.0\r\n"
		"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcaller;received=192.0.2.1\r\n"
		"%s"
		"Max-Forwards: 69\r\n"
		"From: \"A\" <sip:+12155551212@192.0.2.1>;tag=caller\r\n"
		"To: <sip:+12155550100@127.0.0.1>\r\n"
		"Call-ID: call-1\r\n"
		"CSeq: 7 %s\r\n"
		"Contact: <sip:a@192.0.2.1>\r\n"
		"Route: <sip:198.51.100.9;lr>\r\n"
		"Content-Length: %zu\r\n\r\n",
		method, more_vias, method, body_length);

	memset(request_text + length, 'x', body_length);
	request_text[(size_t)length + body_length] = '\0';
	return request_text;
}

static bool begin(enum relay_kind kind, const char *method, size_t body_length, const struct hop *hops, size_t hop_count)
{
	static struct sip_edit edit;
	struct relay_plan plan = {
		.kind = kind,
		.generation = generation,
		.peer = &generation->config->peers[0],
		.digest = digest,
		.received = &request,
		.basics = &request_basics,
		.edit = &edit,
		.hops = hops,
		.hop_count = hop_count,
		.record = 1,
		.dialog = within,
		.from_caller = true,
	};

	assert_true(sip_head_read(&request, span_of(request_of(method, body_length))));
	assert_true(sip_basics_read(&request_basics, &request));
	sip_edit_begin(&edit, &request);
	if (kind != RELAY_FORWARD) {
		sip_edit_drop_all(&edit, HEADER_VIA);
		sip_edit_drop_all(&edit, HEADER_CONTACT);
		plan.contact = sip_head_value(&request, HEADER_CONTACT);
		plan.shows_contact = true;
	}
	if (by_connection) {
		plan.path.connection = (tport_t *)&worker;
		open_paths++;
	}
	if (relay_begin(&worker, &plan) == RELAY_BEGUN)
		return true;
	__wrap_reply_path_close(&plan.path);
	return false;
}

/* An INVITE by UDP, to hops at ports 5081, 5082 and so on. */
static void begin_invite(size_t hop_count)
{
	struct hop hops[HOPS_CHOSEN_MAX];

	for (size_t i = 0; i < hop_count; i++)
		hops[i] = hop_at(5081 + (unsigned)i, TRANSPORT_UDP, true);
	assert_true(begin(RELAY_FORWARD, "INVITE", 0, hops, hop_count));
}

static void begin_other(const char *method)
{
	struct hop hop = hop_at(5081, TRANSPORT_UDP, true);

	assert_true(begin(RELAY_FORWARD, method, 0, &hop, 1));
}

static void advance_ms(int64_t ms)
{
	for (int64_t until = now_us + ms * 1000; now_us < until;) {
		now_us += 100000;
		while (relays_tick(&worker))
			;
	}
}

/* False: it is nothing that gets as far as to the relays. */
static bool deliver(struct span bytes)
{
	static struct sip_head head;
	struct sip_basics basics;

	if (!sip_head_read(&head, bytes) || !head.is_response || !sip_basics_read(&basics, &head))
		return false;
	if (relay_owns(basics.via.branch))
		relay_response(&worker, &head, &basics);
	return true;
}

/* A response to what a hop got; more: further lines. */
static struct span response_to(const struct sent *to, unsigned status, const char *tag, const char *more)
{
	static struct sip_head head;
	static struct answer answer;
	struct span bytes;

	assert_true(sip_head_read(&head, (struct span){ to->bytes, to->length }));
	answer_begin(&answer, status, "Phrase", &head, tag);
	writer_text(&answer.writer, more);
	assert_true(answer_end(&answer, &bytes));
	return bytes;
}

static void respond(const struct sent *to, unsigned status, const char *tag)
{
	assert_true(deliver(response_to(to, status, tag, "")));
}

static const struct sent *last_to_hop(void)
{
	assert_true(to_hops.count > 0);
	return &to_hops.items[to_hops.count - 1];
}

static const struct sent *last_to_caller(void)
{
	assert_true(to_senders.count > 0);
	return &to_senders.items[to_senders.count - 1];
}

static bool starts(const struct sent *sent, const char *text)
{
	return strncmp(sent->bytes, text, strlen(text)) == 0;
}

static void assert_starts(const struct sent *sent, const char *text)
{
	if (!starts(sent, text))
		fail_msg("not %s: %s", text, sent->bytes);
}

static struct span branch_of(const struct sent *sent)
{
	static struct sip_head head;
	static struct sip_basics basics;

	assert_true(sip_head_read(&head, (struct span){ sent->bytes, sent->length }));
	assert_true(sip_basics_read(&basics, &head));
	return basics.via.branch;
}

static bool same_branch(const struct sent *one, const struct sent *other)
{
	struct span first = branch_of(one), second;

	second = branch_of(other);
	return first.length == second.length && memcmp(first.at, second.at, first.length) == 0;
}

static size_t count_of(const struct sent_list *list, const char *start)
{
	size_t count = 0;

	for (size_t i = 0; i < list->count; i++)
		count += starts(&list->items[i], start);
	return count;
}

/* The messages that start so left at these times, and no others. */
static void assert_times(const struct sent_list *list, const char *start, int64_t from_us, const int *ms, size_t count)
{
	size_t found = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (!starts(&list->items[i], start) || list->items[i].at_us < from_us)
			continue;
		assert_true(found < count);
		assert_int_equal((list->items[i].at_us - from_us) / 1000, ms[found]);
		found++;
	}
	assert_int_equal(found, count);
}

static int set_up(void **state)
{
	static uint8_t nth;

	generation = made_generation(config_text);
	worker = (struct worker){ .recorder = -1, .generation = generation };
	worker.relays = relays_new(CAPACITY);
	digest = (struct call_digest){ { ++nth } };
	by_connection = false;
	more_vias = "";
	memset(refuses, 0, sizeof refuses);
	failed = refused = answered = without_tcp = 0;
	is_connected = false;
	recorded.count = recorded.status = recorded.notes = 0;
	return worker.relays == NULL;
}

/* Whatever happened, nothing is left of it some minutes later, and then nothing is sent any more. */
static int tear_down(void **state)
{
	size_t sent;

	advance_ms(400000);
	sent = to_hops.count + to_senders.count;
	assert_int_equal(relays_count(worker.relays), 0);
	assert_int_equal(open_paths, 0);
	assert_int_equal(generation->users, 1);
	advance_ms(100000);
	assert_int_equal(to_hops.count + to_senders.count, sent);
	relays_free(worker.relays);
	generation_unref(generation);
	forget(&to_hops);
	forget(&to_senders);
	return 0;
}

/* --- Going on --- */

static void an_invite_is_answered_at_once_and_goes_on(void **state)
{
	begin_invite(1);
	assert_int_equal(to_senders.count, 1);
	assert_string_equal(last_to_caller()->bytes,
		"SIP/2.0 100 Trying\r\n"
		"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcaller;received=192.0.2.1\r\n"
		"From: \"A\" <sip:+12155551212@192.0.2.1>;tag=caller\r\n"
		"To: <sip:+12155550100@127.0.0.1>\r\n"
		"Call-ID: call-1\r\n"
		"CSeq: 7 INVITE\r\n"
		"Content-Length: 0\r\n\r\n");
	assert_int_equal(to_hops.count, 1);
	assert_int_equal(net_port(&to_hops.items[0].to), 5081);
	/* The Request-URI named us. */
	assert_starts(&to_hops.items[0], "INVITE sip:+12155550100@198.51.100.7:5081 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=");
	assert_non_null(strstr(to_hops.items[0].bytes, "\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcaller;"));
}

static void another_request_gets_no_trying(void **state)
{
	begin_other("OPTIONS");
	assert_int_equal(to_senders.count, 0);
	assert_int_equal(to_hops.count, 1);
	respond(last_to_hop(), 200, "hop");
}

static void no_two_branches_are_the_same(void **state)
{
	begin_invite(1);
	digest.bytes[1] = 1;
	begin_invite(1);
	assert_false(same_branch(&to_hops.items[0], &to_hops.items[1]));
	assert_true(relay_owns(branch_of(&to_hops.items[0])));
}

static void there_is_room_for_so_many_and_no_more(void **state)
{
	struct hop hop = hop_at(5081, TRANSPORT_UDP, true);

	for (uint8_t i = 0; i < CAPACITY; i++) {
		digest.bytes[1] = i;
		begin_invite(1);
	}
	digest.bytes[1] = CAPACITY;
	assert_false(begin(RELAY_FORWARD, "INVITE", 0, &hop, 1));
	assert_int_equal(relays_count(worker.relays), CAPACITY);
	assert_int_equal(to_hops.count, CAPACITY);
	by_connection = true;
	assert_false(begin(RELAY_FORWARD, "INVITE", 0, &hop, 1));
}

/* Answered, and due at the same moment. */
static void begin_many(unsigned count)
{
	relays_free(worker.relays);
	worker.relays = relays_new(count);
	for (unsigned i = 0; i < count; i++) {
		digest.bytes[0] = (uint8_t)i;
		begin_other("OPTIONS");
		respond(last_to_hop(), 200, "hop");
	}
	now_us += 10000000;
}

static void many_that_are_due_are_seen_to_a_few_at_a_time(void **state)
{
	unsigned ticks = 1;
	size_t before = 250;

	begin_many(250);
	for (; relays_tick(&worker); ticks++) {
		assert_in_range(relays_count(worker.relays), before - 64, before - 1);
		before = relays_count(worker.relays);
	}
	assert_int_equal(relays_count(worker.relays), 0);
	assert_in_range(ticks, 4, 5);
}

static void in_between_all_can_be_freed(void **state)
{
	begin_many(250);
	assert_true(relays_tick(&worker));
	relays_free(worker.relays);
	worker.relays = relays_new(CAPACITY);
	assert_int_equal(generation->users, 1);
}

static void what_is_in_progress_can_be_freed(void **state)
{
	by_connection = true;
	begin_invite(2);
	digest.bytes[1] = 1;
	begin_invite(1);
	respond(last_to_hop(), 486, "hop");
	digest.bytes[1] = 2;
	begin_other("INFO");
	relays_free(worker.relays);
	worker.relays = relays_new(CAPACITY);
	assert_int_equal(open_paths, 0);
}

/* --- RFC 3261 section 17.1.1: INVITE client transaction --- */

/* Timers A and B. */
static void an_invite_is_repeated_until_its_time_is_over(void **state)
{
	static const int times[] = { 0, 500, 1500, 3500, 7500, 15500, 31500 };
	static const int final[] = { 32000 };
	int64_t from = now_us;

	begin_invite(1);
	advance_ms(32100);
	assert_times(&to_hops, "INVITE ", from, times, COUNT(times));
	assert_times(&to_senders, "SIP/2.0 408 ", from, final, 1);
	for (size_t i = 1; i < to_hops.count; i++)
		assert_string_equal(to_hops.items[i].bytes, to_hops.items[0].bytes);
	assert_non_null(strstr(last_to_caller()->bytes, "\r\nTo: <sip:+12155550100@127.0.0.1>;tag="));
	assert_int_equal(failed, 1);
	assert_int_equal(recorded.count, 1);
	assert_int_equal(recorded.status, 408);
	relay_acknowledge(&worker, &digest);
}

static void a_provisional_response_ends_the_repeats_and_passes(void **state)
{
	begin_invite(1);
	respond(&to_hops.items[0], 100, NULL);
	assert_int_equal(to_senders.count, 1);
	advance_ms(40000);
	assert_int_equal(to_hops.count, 1);
	respond(&to_hops.items[0], 180, "hop");
	assert_string_equal(last_to_caller()->bytes,
		"SIP/2.0 180 Phrase\r\n"
		"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcaller;received=192.0.2.1\r\n"
		"From: \"A\" <sip:+12155551212@192.0.2.1>;tag=caller\r\n"
		"To: <sip:+12155550100@127.0.0.1>;tag=hop\r\n"
		"Call-ID: call-1\r\n"
		"CSeq: 7 INVITE\r\n"
		"Content-Length: 0\r\n\r\n");
	respond(&to_hops.items[0], 183, "other");
	assert_starts(last_to_caller(), "SIP/2.0 183 ");
	respond(&to_hops.items[0], 486, "hop");
}

/* Section 16.8: timer C. */
static void what_rings_too_long_is_cancelled(void **state)
{
	int64_t from = now_us;
	static const int cancelled[] = { 60000 };

	begin_invite(1);
	respond(&to_hops.items[0], 180, "hop");
	advance_ms(60000);
	assert_times(&to_hops, "CANCEL ", from, cancelled, 1);
	respond(last_to_hop(), 200, NULL);
	respond(&to_hops.items[0], 487, "hop");
	assert_starts(last_to_caller(), "SIP/2.0 487 ");
	assert_int_equal(count_of(&to_senders, "SIP/2.0 4"), 1);
}

static void and_is_given_up_when_even_that_has_no_answer(void **state)
{
	int64_t from = now_us;
	static const int given_up[] = { 92000 };

	begin_invite(1);
	respond(&to_hops.items[0], 180, "hop");
	advance_ms(92000);
	assert_times(&to_senders, "SIP/2.0 408 ", from, given_up, 1);
}

static void a_failure_is_acknowledged_however_often_it_comes(void **state)
{
	begin_invite(1);
	respond(&to_hops.items[0], 180, "hop");
	for (size_t i = 1; i <= 8; i++) {
		respond(&to_hops.items[0], 486, "hop");
		assert_int_equal(count_of(&to_hops, "ACK "), i);
		assert_string_equal(last_to_hop()->bytes, to_hops.items[1].bytes);
		advance_ms(3900);
	}
	assert_int_equal(count_of(&to_senders, "SIP/2.0 486 "), 1 + 9); /* timer G: nobody acknowledged it */
	assert_int_equal(recorded.count, 1);
	assert_int_equal(recorded.status, 486);
}

static void assert_last_is_ack_of_first(void)
{
	char expected[1024];
	struct span branch;

	branch = branch_of(&to_hops.items[0]);
	snprintf(expected, sizeof expected,
		"ACK sip:+12155550100@198.51.100.7:5081 SIP/2.0\r\n"
		"Via: SIP/2.0/UDP 127.0.0.1:5060;branch=%.*s\r\n"
		"From: \"A\" <sip:+12155551212@192.0.2.1>;tag=caller\r\n"
		"Call-ID: call-1\r\n"
		"Route: <sip:198.51.100.9;lr>\r\n"
		"To: <sip:+12155550100@127.0.0.1>;tag=hop\r\n"
		"CSeq: 7 ACK\r\n"
		"Max-Forwards: 70\r\n"
		"Content-Length: 0\r\n\r\n",
		(int)branch.length, branch.at);
	assert_string_equal(last_to_hop()->bytes, expected);
}

/* Section 17.1.1.3. */
static void the_ack_of_a_failure_is_of_its_invite(void **state)
{
	begin_invite(1);
	respond(&to_hops.items[0], 404, "hop");
	assert_last_is_ack_of_first();
}

static void so_it_is_when_it_has_rung(void **state)
{
	begin_invite(1);
	respond(&to_hops.items[0], 180, "hop");
	respond(&to_hops.items[0], 404, "hop");
	assert_last_is_ack_of_first();
}

/* --- RFC 3261 section 17.1.2: other client transactions --- */

/* Timers E and F. */
static void another_request_is_repeated_every_four_seconds_at_most(void **state)
{
	static const int times[] = { 0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500 };
	int64_t from = now_us;

	begin_other("BYE");
	advance_ms(32000);
	assert_times(&to_hops, "BYE ", from, times, COUNT(times));
	/* RFC 4320 section 4.2. */
	assert_int_equal(to_senders.count, 0);
	assert_int_equal(relays_count(worker.relays), 0);
	assert_int_equal(failed, 1);
}

static void and_every_four_seconds_once_something_was_heard(void **state)
{
	static const int times[] = { 0, 500, 4500, 8500, 12500, 16500, 20500, 24500, 28500 };
	int64_t from = now_us;

	begin_other("BYE");
	respond(&to_hops.items[0], 100, NULL);
	advance_ms(40000);
	assert_times(&to_hops, "BYE ", from, times, COUNT(times));
	assert_int_equal(relays_count(worker.relays), 0);
}

/* --- RFC 3261 section 17.2: server transactions --- */

/* Timers G and H. */
static void a_failure_is_repeated_until_it_is_acknowledged(void **state)
{
	static const int times[] = { 0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500 };
	int64_t from;

	begin_invite(1);
	advance_ms(1000);
	respond(&to_hops.items[0], 486, "hop");
	from = now_us;
	advance_ms(40000);
	assert_times(&to_senders, "SIP/2.0 486 ", from, times, COUNT(times));
	assert_int_equal(relays_count(worker.relays), 0);
}

static void and_no_more_once_it_is(void **state)
{
	begin_invite(1);
	respond(&to_hops.items[0], 486, "hop");
	advance_ms(600);
	assert_int_equal(count_of(&to_senders, "SIP/2.0 486 "), 2);
	assert_true(relay_acknowledge(&worker, &digest));
	assert_true(relay_acknowledge(&worker, &digest));
	assert_true(relay_repeat(&worker, &digest));
	advance_ms(40000);
	assert_int_equal(count_of(&to_senders, "SIP/2.0 486 "), 2);
	assert_false(relay_acknowledge(&worker, &digest));
}

static void nothing_is_repeated_over_a_connection(void **state)
{
	by_connection = true;
	begin_invite(1);
	respond(&to_hops.items[0], 486, "hop");
	advance_ms(20000);
	assert_int_equal(count_of(&to_senders, "SIP/2.0 486 "), 1);
}

static void a_repeated_invite_gets_the_last_answer_again(void **state)
{
	begin_invite(1);
	assert_true(relay_repeat(&worker, &digest));
	assert_starts(last_to_caller(), "SIP/2.0 100 ");
	respond(&to_hops.items[0], 180, "hop");
	assert_true(relay_repeat(&worker, &digest));
	assert_starts(last_to_caller(), "SIP/2.0 180 ");
	respond(&to_hops.items[0], 603, "hop");
	assert_true(relay_repeat(&worker, &digest));
	assert_starts(last_to_caller(), "SIP/2.0 603 ");
	assert_int_equal(to_senders.count, 6);
	assert_int_equal(count_of(&to_hops, "INVITE "), 1);
}

static void another_request_gets_its_final_answer_again(void **state)
{
	begin_other("BYE");
	assert_true(relay_repeat(&worker, &digest));
	assert_int_equal(to_senders.count, 0);
	respond(&to_hops.items[0], 200, "hop");
	assert_true(relay_repeat(&worker, &digest));
	assert_int_equal(count_of(&to_senders, "SIP/2.0 200 "), 2);
	/* It was the last one: whatever comes now is nothing to the sender. */
	respond(&to_hops.items[0], 200, "hop");
	respond(&to_hops.items[0], 481, "hop");
	respond(&to_hops.items[0], 180, "hop");
	assert_int_equal(to_senders.count, 2);
	advance_ms(32000);
	assert_false(relay_repeat(&worker, &digest));
}

/* RFC 4320 section 4.2. */
static void another_request_gets_no_408_but_the_hops(void **state)
{
	begin_other("BYE");
	advance_ms(33000);
	assert_int_equal(to_senders.count, 0);
	digest.bytes[1]++;
	begin_other("BYE");
	respond(last_to_hop(), 408, "hop");
	assert_int_equal(to_senders.count, 1);
	assert_starts(last_to_caller(), "SIP/2.0 408 ");
}

static void what_is_not_in_progress_is_said_to_be_so(void **state)
{
	static const struct call_digest unknown;

	begin_other("BYE");
	assert_false(relay_repeat(&worker, &unknown));
	assert_false(relay_cancel(&worker, &unknown, &no_reasons));
	assert_false(relay_acknowledge(&worker, &unknown));
	/* Neither is there an INVITE. */
	assert_false(relay_cancel(&worker, &digest, &no_reasons));
	assert_false(relay_acknowledge(&worker, &digest));
}

/* --- RFC 6026: what follows a 2xx --- */

static void every_2xx_passes(void **state)
{
	begin_invite(1);
	respond(&to_hops.items[0], 180, "one");
	respond(&to_hops.items[0], 200, "one");
	respond(&to_hops.items[0], 200, "two");
	respond(&to_hops.items[0], 200, "one");
	assert_int_equal(count_of(&to_senders, "SIP/2.0 200 "), 3);
	assert_int_equal(recorded.count, 1);
	advance_ms(31900);
	respond(&to_hops.items[0], 200, "one");
	assert_int_equal(count_of(&to_senders, "SIP/2.0 200 "), 4);
	/* The callee repeats it itself. */
	advance_ms(100);
	assert_int_equal(relays_count(worker.relays), 0);
	respond(&to_hops.items[0], 200, "one");
	assert_int_equal(count_of(&to_senders, "SIP/2.0 200 "), 4);
	assert_int_equal(count_of(&to_hops, "ACK "), 0);
}

static void a_repeated_invite_gets_nothing_after_a_2xx(void **state)
{
	begin_invite(1);
	respond(&to_hops.items[0], 180, "one");
	respond(&to_hops.items[0], 200, "one");
	assert_int_equal(to_senders.count, 3);
	assert_true(relay_repeat(&worker, &digest));
	assert_int_equal(to_senders.count, 3);
	assert_int_equal(count_of(&to_hops, "INVITE "), 1);
}

static void nothing_else_passes_after_a_2xx(void **state)
{
	begin_invite(1);
	respond(&to_hops.items[0], 200, "one");
	respond(&to_hops.items[0], 180, "two");
	respond(&to_hops.items[0], 486, "two");
	respond(&to_hops.items[0], 503, "two");
	assert_int_equal(to_senders.count, 2);
	assert_false(relay_acknowledge(&worker, &digest));
}

/* --- CANCEL (RFC 3261 section 9.1) --- */

static void a_cancel_waits_for_a_provisional_response(void **state)
{
	begin_invite(1);
	assert_true(relay_cancel(&worker, &digest, &no_reasons));
	advance_ms(1000);
	assert_int_equal(count_of(&to_hops, "CANCEL "), 0);
	assert_int_equal(count_of(&to_hops, "INVITE "), 2);
	respond(&to_hops.items[0], 100, NULL);
	assert_int_equal(count_of(&to_hops, "CANCEL "), 1);
	assert_true(same_branch(last_to_hop(), &to_hops.items[0]));
	assert_non_null(strstr(last_to_hop()->bytes, "\r\nCSeq: 7 CANCEL\r\n"));
	assert_non_null(strstr(last_to_hop()->bytes, "\r\nTo: <sip:+12155550100@127.0.0.1>\r\n"));
	assert_non_null(strstr(last_to_hop()->bytes, "\r\nRoute: <sip:198.51.100.9;lr>\r\n"));
	respond(last_to_hop(), 200, NULL);
	respond(&to_hops.items[0], 487, "hop");
	assert_starts(last_to_caller(), "SIP/2.0 487 ");
	assert_int_equal(count_of(&to_hops, "ACK "), 1);
}

static void a_cancel_goes_on_at_once_while_it_rings_and_once_only(void **state)
{
	begin_invite(1);
	respond(&to_hops.items[0], 180, "hop");
	assert_true(relay_cancel(&worker, &digest, &no_reasons));
	assert_true(relay_cancel(&worker, &digest, &no_reasons));
	respond(&to_hops.items[0], 183, "hop");
	assert_int_equal(count_of(&to_hops, "CANCEL "), 1);
	respond(&to_hops.items[0], 487, "hop");
}

static void a_cancel_is_repeated_until_it_is_answered(void **state)
{
	static const int times[] = { 0, 500, 1500, 3500, 7500 };
	int64_t from;

	begin_invite(1);
	respond(&to_hops.items[0], 180, "hop");
	from = now_us;
	relay_cancel(&worker, &digest, &no_reasons);
	advance_ms(8000);
	respond(last_to_hop(), 200, NULL);
	advance_ms(10000);
	assert_times(&to_hops, "CANCEL ", from, times, COUNT(times));
	respond(&to_hops.items[0], 487, "hop");
	assert_int_equal(count_of(&to_senders, "SIP/2.0 487 "), 1);
}

static void a_2xx_that_crosses_a_cancel_passes(void **state)
{
	begin_invite(1);
	respond(&to_hops.items[0], 180, "hop");
	relay_cancel(&worker, &digest, &no_reasons);
	respond(&to_hops.items[0], 200, "hop");
	assert_starts(last_to_caller(), "SIP/2.0 200 ");
	respond(&to_hops.items[1], 481, NULL);
	advance_ms(20000);
	assert_int_equal(count_of(&to_hops, "CANCEL "), 1);
	assert_starts(last_to_caller(), "SIP/2.0 200 ");
	/* One that comes later has nothing to cancel. */
	assert_true(relay_cancel(&worker, &digest, &no_reasons));
	assert_int_equal(count_of(&to_hops, "CANCEL "), 1);
}

static void a_cancel_after_a_failure_changes_nothing(void **state)
{
	begin_invite(1);
	respond(&to_hops.items[0], 486, "hop");
	assert_true(relay_cancel(&worker, &digest, &no_reasons));
	assert_int_equal(count_of(&to_hops, "CANCEL "), 0);
	assert_int_equal(to_senders.count, 2);
}

/* Section 9.1: it is taken for cancelled 32 seconds later. */
static void a_cancelled_call_ends_whatever_the_hop_does(void **state)
{
	begin_invite(1);
	respond(&to_hops.items[0], 180, "hop");
	relay_cancel(&worker, &digest, &no_reasons);
	respond(last_to_hop(), 200, NULL);
	advance_ms(32000);
	assert_starts(last_to_caller(), "SIP/2.0 487 ");
	assert_int_equal(recorded.status, 487);
	/* Its answer comes, too late for the caller; the hop gets its ACK all the same. */
	respond(&to_hops.items[0], 487, "hop");
	assert_int_equal(count_of(&to_hops, "ACK "), 1);
	assert_int_equal(count_of(&to_senders, "SIP/2.0 487 "), 1);
}

static void a_cancelled_call_of_a_silent_hop_ends_with_487(void **state)
{
	begin_invite(2);
	relay_cancel(&worker, &digest, &no_reasons);
	advance_ms(4000);
	assert_starts(last_to_caller(), "SIP/2.0 487 ");
	/* Nobody else is asked. */
	assert_int_equal(net_port(&last_to_hop()->to), 5081);
	assert_int_equal(count_of(&to_hops, "CANCEL "), 0);
}

static void a_cancelled_call_does_not_fail_over(void **state)
{
	begin_invite(2);
	respond(&to_hops.items[0], 100, NULL);
	relay_cancel(&worker, &digest, &no_reasons);
	respond(&to_hops.items[0], 503, "hop");
	assert_starts(last_to_caller(), "SIP/2.0 503 ");
	assert_int_equal(net_port(&last_to_hop()->to), 5081);
}

/* --- What a next hop says of an Identity --- */

/* A fork may ring as often as it likes, a reliable response is repeated. */
static void a_reason_is_noted_once_for_each_status_until_the_call_is_answered(void **state)
{
	static const struct {
		unsigned status;
		bool stir;
		unsigned notes;
		const char *note;
	} cases[] = {
		{ 100, true, 0, NULL },
		{ 180, false, 0, NULL },
		{ 180, true, 1, "180 from 198.51.100.7:5081; Reason: STIR;cause=436" },
		{ 180, true, 1, NULL },
		{ 183, true, 2, "183 from 198.51.100.7:5081; Reason: STIR;cause=436" },
		{ 180, true, 2, NULL },
		{ 199, true, 3, "199 from 198.51.100.7:5081; Reason: STIR;cause=436" },
		{ 183, false, 3, NULL },
		{ 200, true, 4, "200 from 198.51.100.7:5081; Reason: STIR;cause=436" },
		{ 200, true, 4, NULL },
	};

	begin_invite(1);
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t passed = to_senders.count + (cases[i].status > 100);

		assert_true(deliver(response_to(&to_hops.items[0], cases[i].status, "hop",
			cases[i].stir ? "Reason: STIR;cause=436\r\n" : "")));
		assert_int_equal(to_senders.count, passed);
		assert_int_equal(recorded.notes, cases[i].notes);
		if (cases[i].note != NULL)
			assert_string_equal(recorded.note, cases[i].note);
	}
	assert_int_equal(recorded.count, 1);
}

static void assert_noted(unsigned notes, const char *note)
{
	assert_int_equal(recorded.notes, notes);
	assert_string_equal(recorded.note, note);
	assert_int_equal(recorded.count, 0);
}

/* The caller never sees it, the record does. */
static void what_leads_to_the_next_hop_is_noted(void **state)
{
	begin_invite(3);
	assert_true(deliver(response_to(&to_hops.items[0], 503, "one", "Reason: STIR;cause=436\r\n")));
	assert_int_equal(net_port(&last_to_hop()->to), 5082);
	assert_noted(1, "503 from 198.51.100.7:5081; Reason: STIR;cause=436");
	assert_true(deliver(response_to(&to_hops.items[0], 503, "one", "Reason: STIR;cause=436\r\n")));
	assert_noted(1, "503 from 198.51.100.7:5081; Reason: STIR;cause=436");
	respond(&to_hops.items[2], 503, "two");
	assert_int_equal(net_port(&last_to_hop()->to), 5083);
	assert_noted(1, "503 from 198.51.100.7:5081; Reason: STIR;cause=436");
	respond(last_to_hop(), 200, "three");
	assert_int_equal(recorded.count, 1);
	assert_int_equal(recorded.status, 200);
}

static void what_a_hop_says_that_was_left_is_noted_once(void **state)
{
	size_t second;

	begin_invite(2);
	advance_ms(4100);
	second = to_hops.count - 1;
	assert_int_equal(net_port(&to_hops.items[second].to), 5082);
	for (size_t i = 0; i < 2; i++) {
		assert_true(deliver(response_to(&to_hops.items[0], 180, "one", "Reason: STIR;cause=436\r\n")));
		assert_noted(1, "180 from 198.51.100.7:5081; Reason: STIR;cause=436");
	}
	for (size_t i = 0; i < 2; i++) {
		assert_true(deliver(response_to(&to_hops.items[0], 438, "one", "")));
		assert_noted(2, "438 from 198.51.100.7:5081");
	}
	respond(&to_hops.items[second], 486, "two");
	assert_int_equal(recorded.count, 1);
	assert_int_equal(recorded.status, 486);
	assert_int_equal(recorded.notes, 2);
}

static void nothing_is_noted_of_a_call_that_has_ended(void **state)
{
	begin_invite(2);
	advance_ms(4100);
	respond(last_to_hop(), 486, "two");
	assert_int_equal(recorded.count, 1);
	assert_true(deliver(response_to(&to_hops.items[0], 438, "one", "Reason: STIR;cause=438\r\n")));
	assert_int_equal(recorded.notes, 0);
	assert_int_equal(recorded.count, 1);
}

/* --- The next hop but one --- */

static void a_503_leads_to_the_next_hop(void **state)
{
	begin_invite(2);
	respond(&to_hops.items[0], 100, NULL);
	respond(&to_hops.items[0], 503, "one");
	assert_int_equal(to_hops.count, 3);
	assert_starts(&to_hops.items[1], "ACK ");
	assert_int_equal(net_port(&to_hops.items[1].to), 5081);
	assert_starts(&to_hops.items[2], "INVITE sip:+12155550100@198.51.100.7:5082 ");
	assert_int_equal(net_port(&to_hops.items[2].to), 5082);
	assert_false(same_branch(&to_hops.items[0], &to_hops.items[2]));
	assert_int_equal(to_senders.count, 1);
	assert_int_equal(failed, 1);
	assert_int_equal(recorded.count, 0);
	respond(&to_hops.items[2], 200, "two");
	assert_starts(last_to_caller(), "SIP/2.0 200 ");
	assert_int_equal(recorded.count, 1);
}

static void what_has_rung_goes_to_the_next_hop_as_it_was(void **state)
{
	static char first[SENT_BYTES];
	struct hop hops[] = { hop_at(5081, TRANSPORT_UDP, true), hop_at(5082, TRANSPORT_UDP, true) };

	assert_true(begin(RELAY_FORWARD, "INVITE", 50000, hops, COUNT(hops)));
	snprintf(first, sizeof first, "%s", strstr(last_to_hop()->bytes, "\r\nMax-Forwards: "));
	respond(&to_hops.items[0], 180, "one");
	respond(&to_hops.items[0], 503, "one");
	assert_string_equal(strstr(last_to_hop()->bytes, "\r\nMax-Forwards: "), first);
	respond(last_to_hop(), 486, "two");
}

/* It waits for minutes, and there are thousands. */
static void what_rings_at_the_last_hop_is_not_kept_whole(void **state)
{
	struct hop hops[] = { hop_at(5081, TRANSPORT_UDP, true), hop_at(5082, TRANSPORT_UDP, true) };
	size_t before;

	assert_true(begin(RELAY_FORWARD, "INVITE", 50000, hops, COUNT(hops)));
	respond(&to_hops.items[0], 503, "one");
	before = mallinfo2().uordblks;
	respond(last_to_hop(), 180, "two");
	/* The sanitizers' allocator tells nothing. */
	if (before > 0)
		assert_true(mallinfo2().uordblks + 45000 < before);
	respond(last_to_hop(), 486, "two");
}

static void the_503_of_the_last_hop_passes(void **state)
{
	begin_invite(2);
	respond(&to_hops.items[0], 503, "one");
	respond(last_to_hop(), 503, "two");
	assert_int_equal(count_of(&to_hops, "ACK "), 2);
	assert_starts(last_to_caller(), "SIP/2.0 503 Phrase\r\n");
	assert_int_equal(failed, 2);
}

static void a_repeated_503_of_a_hop_that_was_left_is_acknowledged(void **state)
{
	begin_invite(2);
	respond(&to_hops.items[0], 503, "one");
	assert_int_equal(count_of(&to_hops, "ACK "), 1);
	respond(&to_hops.items[0], 503, "one");
	assert_int_equal(count_of(&to_hops, "ACK "), 2);
	assert_true(same_branch(last_to_hop(), &to_hops.items[0]));
	assert_int_equal(net_port(&last_to_hop()->to), 5081);
	assert_string_equal(last_to_hop()->bytes, to_hops.items[1].bytes);
	/* The call goes on at the other one. */
	assert_int_equal(to_senders.count, 1);
	assert_int_equal(count_of(&to_hops, "INVITE "), 2);
	respond(&to_hops.items[2], 180, "two");
	assert_starts(last_to_caller(), "SIP/2.0 180 ");
	respond(&to_hops.items[2], 486, "two");
	assert_starts(last_to_caller(), "SIP/2.0 486 ");
	assert_int_equal(net_port(&last_to_hop()->to), 5082);
}

static void other_failures_pass_from_any_hop(void **state)
{
	static const unsigned statuses[] = { 300, 401, 486, 500, 504, 600, 603, 699 };
	char start[16];

	for (size_t i = 0; i < COUNT(statuses); i++) {
		begin_invite(2);
		respond(&to_hops.items[0], statuses[i], "one");
		snprintf(start, sizeof start, "SIP/2.0 %u ", statuses[i]);
		assert_starts(last_to_caller(), start);
		assert_int_equal(count_of(&to_hops, "INVITE "), 1);
		advance_ms(40000);
		forget(&to_hops);
		forget(&to_senders);
	}
}

static void a_hop_that_cannot_be_sent_to_is_passed_over(void **state)
{
	refuses[5081] = refuses[5082] = true;
	begin_invite(3);
	assert_int_equal(to_hops.count, 1);
	assert_int_equal(net_port(&last_to_hop()->to), 5083);
	assert_int_equal(refused, 2);
	respond(last_to_hop(), 200, "three");
	assert_starts(last_to_caller(), "SIP/2.0 200 ");
}

static void a_call_without_any_hop_fails(void **state)
{
	refuses[5081] = refuses[5082] = true;
	begin_invite(2);
	assert_starts(last_to_caller(), "SIP/2.0 503 ");
	assert_int_equal(to_hops.count, 0);
	assert_int_equal(recorded.status, 503);
	assert_true(relay_acknowledge(&worker, &digest));
}

static void a_silent_hop_is_left_after_four_seconds(void **state)
{
	static const int one[] = { 0, 500, 1500, 3500 };
	int64_t from = now_us;

	begin_invite(2);
	advance_ms(4000);
	assert_times(&to_hops, "INVITE sip:+12155550100@198.51.100.7:5081 ", from, one, COUNT(one));
	assert_int_equal(net_port(&last_to_hop()->to), 5082);
	assert_int_equal(failed, 1);
	advance_ms(32000);
	assert_starts(last_to_caller(), "SIP/2.0 408 ");
	assert_int_equal(failed, 2);
}

static void one_that_rings_is_not(void **state)
{
	begin_invite(2);
	respond(&to_hops.items[0], 180, "one");
	advance_ms(50000);
	assert_int_equal(to_hops.count, 1);
	respond(&to_hops.items[0], 486, "one");
}

static void the_2xx_of_a_hop_that_was_left_passes_and_the_other_is_cancelled(void **state)
{
	begin_invite(2);
	advance_ms(4000);
	respond(last_to_hop(), 180, "two");
	respond(&to_hops.items[0], 200, "one");
	assert_starts(last_to_caller(), "SIP/2.0 200 ");
	/* RFC 3261 section 16.7 step 10. */
	assert_int_equal(count_of(&to_hops, "CANCEL "), 1);
	assert_int_equal(net_port(&last_to_hop()->to), 5082);
	respond(last_to_hop(), 200, NULL);
	respond(&to_hops.items[4], 487, "two");
	assert_starts(last_to_hop(), "ACK ");
	assert_int_equal(net_port(&last_to_hop()->to), 5082);
	assert_int_equal(count_of(&to_senders, "SIP/2.0 487 "), 0);
}

static void a_hop_that_was_left_and_rings_all_the_same_is_cancelled(void **state)
{
	const struct sent *cancel;

	begin_invite(2);
	advance_ms(4000);
	respond(&to_hops.items[0], 180, "one");
	assert_int_equal(to_senders.count, 1);
	cancel = last_to_hop();
	assert_starts(cancel, "CANCEL ");
	assert_true(same_branch(cancel, &to_hops.items[0]));
	assert_int_equal(net_port(&cancel->to), 5081);
	respond(cancel, 200, NULL);
	respond(&to_hops.items[0], 487, "one");
	assert_starts(last_to_hop(), "ACK ");
	assert_int_equal(net_port(&last_to_hop()->to), 5081);
	assert_int_equal(to_senders.count, 1);
	/* The call is at the other one. */
	advance_ms(600);
	assert_int_equal(net_port(&last_to_hop()->to), 5082);
	respond(last_to_hop(), 200, "two");
	assert_starts(last_to_caller(), "SIP/2.0 200 ");
}

/* --- Connections --- */

static void a_connection_that_fails_leads_to_the_next_hop(void **state)
{
	struct hop hops[] = { hop_at(5081, TRANSPORT_TCP, true), hop_at(5082, TRANSPORT_UDP, true) };

	assert_true(begin(RELAY_FORWARD, "INVITE", 0, hops, 2));
	assert_int_equal(to_hops.items[0].transport, TRANSPORT_TCP);
	assert_non_null(strstr(to_hops.items[0].bytes, "\r\nVia: SIP/2.0/TCP 127.0.0.1:5060;branch="));
	advance_ms(1000);
	assert_int_equal(to_hops.count, 1);
	relay_connection_failed(NULL, to_hops.items[0].owner, 111);
	assert_int_equal(net_port(&last_to_hop()->to), 5082);
	assert_int_equal(refused, 1);
	respond(last_to_hop(), 486, "two");
}

/* It may have been idle for too long. */
static void a_connection_that_is_closed_is_made_again_once(void **state)
{
	static const int errors[] = { 0, ECONNRESET };
	struct hop hops[] = { hop_at(5081, TRANSPORT_TCP, true), hop_at(5082, TRANSPORT_UDP, true) };

	for (size_t i = 0; i < COUNT(errors); i++) {
		forget(&to_hops);
		digest.bytes[1]++;
		assert_true(begin(RELAY_FORWARD, "INVITE", 0, hops, COUNT(hops)));
		relay_connection_failed(NULL, to_hops.items[0].owner, errors[i]);
		assert_int_equal(to_hops.count, 2);
		assert_string_equal(to_hops.items[1].bytes, to_hops.items[0].bytes);
		assert_int_equal(net_port(&to_hops.items[1].to), 5081);
		assert_int_equal(refused, i);
		relay_connection_failed(NULL, to_hops.items[1].owner, errors[i]);
		assert_int_equal(to_hops.count, 3);
		assert_int_equal(net_port(&to_hops.items[2].to), 5082);
		assert_int_equal(refused, i + 1);
		respond(&to_hops.items[2], 486, "two");
		relay_acknowledge(&worker, &digest);
	}
}

static void one_that_fails_while_it_rings_does_not(void **state)
{
	struct hop hops[] = { hop_at(5081, TRANSPORT_TCP, true), hop_at(5082, TRANSPORT_UDP, true) };

	assert_true(begin(RELAY_FORWARD, "INVITE", 0, hops, 2));
	respond(&to_hops.items[0], 180, "one");
	relay_connection_failed(NULL, to_hops.items[0].owner, 111);
	assert_int_equal(to_hops.count, 1);
	respond(&to_hops.items[0], 200, "one");
	assert_starts(last_to_caller(), "SIP/2.0 200 ");
}

/* RFC 3261 section 18.1.1. */
static void a_long_request_goes_by_tcp_where_nothing_is_said(void **state)
{
	struct hop hop = hop_at(5081, TRANSPORT_UDP, false);

	assert_true(begin(RELAY_FORWARD, "INVITE", 1300, &hop, 1));
	assert_int_equal(to_hops.count, 1);
	assert_int_equal(to_hops.items[0].transport, TRANSPORT_TCP);
	respond(&to_hops.items[0], 200, "one");
	assert_starts(last_to_caller(), "SIP/2.0 200 ");
}

static void and_by_udp_where_there_is_no_tcp(void **state)
{
	struct hop hop = hop_at(5081, TRANSPORT_UDP, false);

	assert_true(begin(RELAY_FORWARD, "INVITE", 1300, &hop, 1));
	relay_connection_failed(NULL, to_hops.items[0].owner, 111);
	assert_int_equal(to_hops.count, 2);
	assert_int_equal(to_hops.items[1].transport, TRANSPORT_UDP);
	assert_non_null(strstr(to_hops.items[1].bytes, "\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch="));
	assert_false(same_branch(&to_hops.items[0], &to_hops.items[1]));
	/* That it takes no TCP is nothing against the hop. */
	assert_int_equal(refused + failed, 0);
	assert_int_equal(without_tcp, 1);
	advance_ms(600);
	assert_int_equal(to_hops.count, 3);
	respond(&to_hops.items[1], 486, "one");
}

static void and_by_udp_at_once_where_that_is_known(void **state)
{
	struct hop hop = hop_at(5081, TRANSPORT_UDP, false);

	hop.takes_no_tcp = true;
	assert_true(begin(RELAY_FORWARD, "INVITE", 1300, &hop, 1));
	assert_int_equal(to_hops.items[0].transport, TRANSPORT_UDP);
	respond(&to_hops.items[0], 486, "one");
}

static void a_connection_that_is_not_there_in_four_seconds_is_none(void **state)
{
	struct hop hop = hop_at(5081, TRANSPORT_UDP, false);

	assert_true(begin(RELAY_FORWARD, "INVITE", 1300, &hop, 1));
	advance_ms(4100);
	assert_int_equal(to_hops.count, 2);
	assert_int_equal(to_hops.items[1].transport, TRANSPORT_UDP);
	assert_int_equal(without_tcp, 1);
	assert_int_equal(refused + failed, 0);
	respond(&to_hops.items[1], 486, "one");
}

/* It would take the same request by UDP for a merged one (RFC 3261 section 8.2.2.2). */
static void who_takes_the_connection_and_says_nothing_gets_his_time(void **state)
{
	struct hop hop = hop_at(5081, TRANSPORT_UDP, false);
	static const int final[] = { 32000 };
	int64_t from = now_us;

	is_connected = true;
	assert_true(begin(RELAY_FORWARD, "INVITE", 1300, &hop, 1));
	advance_ms(32100);
	assert_int_equal(to_hops.count, 1);
	assert_times(&to_senders, "SIP/2.0 408 ", from, final, 1);
	assert_int_equal(failed, 1);
	assert_int_equal(without_tcp, 0);
	relay_acknowledge(&worker, &digest);
}

static void a_long_request_that_is_cancelled_is_not_sent_by_udp(void **state)
{
	struct hop hop = hop_at(5081, TRANSPORT_UDP, false);

	assert_true(begin(RELAY_FORWARD, "INVITE", 1300, &hop, 1));
	assert_true(relay_cancel(&worker, &digest, &no_reasons));
	relay_connection_failed(NULL, to_hops.items[0].owner, 111);
	assert_int_equal(to_hops.count, 1);
	assert_starts(last_to_caller(), "SIP/2.0 487 ");
	relay_acknowledge(&worker, &digest);
}

static void what_is_said_holds_however_long_it_is(void **state)
{
	struct hop hop = hop_at(5081, TRANSPORT_UDP, true);

	assert_true(begin(RELAY_FORWARD, "INVITE", 20000, &hop, 1));
	assert_int_equal(to_hops.items[0].transport, TRANSPORT_UDP);
	respond(&to_hops.items[0], 486, "one");
}

/* --- Two legs --- */

/* As long as a message can be, so that the Vias of the caller's side make it more than a datagram takes. */
static void deliver_long(const struct sent *to, unsigned status)
{
	static char more[DATAGRAM_BYTES_MAX];
	const size_t length = sizeof more - 400;

	memset(more, 'x', length);
	memcpy(more, "X: ", 3);
	memcpy(more + length - 2, "\r\n", 3);
	assert_true(deliver(response_to(to, status, "hop", more)));
}

static void what_is_too_long_for_the_caller_is_not_silence(void **state)
{
	static const unsigned statuses[] = { 486, 200 };
	struct hop hop = hop_at(5081, TRANSPORT_UDP, true);
	char vias[1024];

	snprintf(vias, sizeof vias, "Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK%0500d\r\n", 0);
	more_vias = vias;
	for (size_t i = 0; i < COUNT(statuses); i++) {
		size_t invite = to_hops.count, finals = recorded.count;

		digest.bytes[1] = (uint8_t)i;
		assert_true(begin(RELAY_B2BUA, "INVITE", 0, &hop, 1));
		deliver_long(&to_hops.items[invite], 183);
		assert_starts(last_to_caller(), "SIP/2.0 100 ");
		respond(&to_hops.items[invite], 180, "hop");
		assert_starts(last_to_caller(), "SIP/2.0 180 ");
		deliver_long(&to_hops.items[invite], statuses[i]);
		assert_starts(last_to_caller(), "SIP/2.0 502 Bad Gateway\r\n");
		assert_int_equal(recorded.count, finals + 1);
		assert_int_equal(recorded.status, 502);
		assert_true(relay_acknowledge(&worker, &digest));
	}
	/* It is the hop's refusal that is acknowledged. */
	assert_int_equal(count_of(&to_hops, "ACK "), 1);
}

static void over_a_connection_it_passes(void **state)
{
	struct hop hop = hop_at(5081, TRANSPORT_UDP, true);

	by_connection = true;
	assert_true(begin(RELAY_B2BUA, "INVITE", 0, &hop, 1));
	deliver_long(&to_hops.items[0], 486);
	assert_starts(last_to_caller(), "SIP/2.0 486 ");
	assert_int_equal(recorded.status, 486);
}

static void merged_requests_are_told(void **state)
{
	struct hop hop = hop_at(5081, TRANSPORT_UDP, true);
	struct call_digest other = { { 0xff } };

	assert_true(begin(RELAY_B2BUA, "INVITE", 0, &hop, 1));
	assert_false(relay_is_merged(&worker, &request_basics, &digest));
	assert_true(relay_is_merged(&worker, &request_basics, &other));
	request_basics.cseq++;
	assert_false(relay_is_merged(&worker, &request_basics, &other));
	request_basics.cseq--;
	request_basics.from_tag = span_of("another");
	assert_false(relay_is_merged(&worker, &request_basics, &other));
	request_basics.from_tag = span_of("caller");
	advance_ms(70000);
	assert_false(relay_is_merged(&worker, &request_basics, &other));
}

static void nothing_of_the_far_leg_is_seen(void **state)
{
	struct hop hop = hop_at(5081, TRANSPORT_UDP, true);

	assert_true(begin(RELAY_B2BUA, "INVITE", 0, &hop, 1));
	assert_null(strstr(to_hops.items[0].bytes, "z9hG4bKcaller"));
	assert_null(strstr(to_hops.items[0].bytes, "sip:a@192.0.2.1"));
	assert_non_null(strstr(to_hops.items[0].bytes, "\r\nContact: <sip:a@127.0.0.1:5060>\r\n"));
	deliver(response_to(&to_hops.items[0], 183, "hop",
		"Record-Route: <sip:198.51.100.99;lr>\r\nContact: <sip:callee@198.51.100.100>\r\n"));
	assert_null(strstr(last_to_caller()->bytes, "198.51.100.99"));
	assert_null(strstr(last_to_caller()->bytes, "198.51.100.100"));
	assert_non_null(strstr(last_to_caller()->bytes, "\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcaller;"));
	assert_null(strstr(last_to_caller()->bytes, "branch=z9hG4bKs"));
	deliver(response_to(&to_hops.items[0], 183, "hop",
		"Contact: <sip:one@198.51.100.100>, <sip:two@198.51.100.100>\r\nm: <sip:three@198.51.100.100>\r\n"));
	assert_null(strstr(last_to_caller()->bytes, "198.51.100.100"));
	assert_non_null(strstr(last_to_caller()->bytes, "\r\nContact: <sip:one@127.0.0.1:5060>\r\n"));
	deliver(response_to(&to_hops.items[0], 183, "hop", "Contact: *\r\n"));
	assert_null(strstr(last_to_caller()->bytes, "\r\nContact:"));
	respond(&to_hops.items[0], 486, "hop");
}

static bool find_call(const char *to_tag, struct dialog *dialog)
{
	struct dialog_key key;

	dialog_key(&key, span_of("call-1"), span_of("caller"), span_of(to_tag));
	return dialogs_find(worker.dialogs, &key, dialog);
}

static void assert_span(struct span span, const char *text)
{
	assert_int_equal(span.length, strlen(text));
	assert_memory_equal(span.at, text, span.length);
}

static void begin_call(void)
{
	struct hop hop = hop_at(5081, TRANSPORT_UDP, true);

	/* There is no store: calls are in memory. */
	worker.dialogs = dialogs_new(generation->config);
	assert_non_null(worker.dialogs);
	assert_true(begin(RELAY_B2BUA, "INVITE", 0, &hop, 1));
}

static void end_call(void)
{
	dialogs_free(worker.dialogs);
	worker.dialogs = NULL;
}

/* RFC 3311: an UPDATE while it rings. */
static void a_2xx_confirms_what_has_changed_while_it_rang(void **state)
{
	struct dialog dialog;

	begin_call();
	deliver(response_to(&to_hops.items[0], 180, "hop", "Contact: <sip:early@198.51.100.7>\r\n"));
	assert_true(find_call("hop", &dialog));
	assert_false(dialog.confirmed);
	assert_span(dialog.caller.target, "sip:a@192.0.2.1");
	assert_span(dialog.callee.target, "sip:early@198.51.100.7");
	dialog.caller.target = span_of("sip:moved@192.0.2.1");
	dialogs_put(worker.dialogs, &dialog);
	deliver(response_to(&to_hops.items[0], 200, "hop", "Contact: <sip:final@198.51.100.7>\r\n"));
	assert_true(find_call("hop", &dialog));
	assert_true(dialog.confirmed);
	assert_span(dialog.caller.target, "sip:moved@192.0.2.1");
	assert_span(dialog.callee.target, "sip:final@198.51.100.7");
	end_call();
}

static void the_repeats_of_a_2xx_tell_nothing_new(void **state)
{
	static const char contact[] = "Contact: <sip:first@198.51.100.7>\r\n";
	struct dialog dialog;

	begin_call();
	deliver(response_to(&to_hops.items[0], 200, "hop", contact));
	assert_true(find_call("hop", &dialog));
	dialog.callee.target = span_of("sip:moved@198.51.100.7");
	dialogs_put(worker.dialogs, &dialog);
	deliver(response_to(&to_hops.items[0], 200, "hop", contact));
	assert_true(find_call("hop", &dialog));
	assert_span(dialog.callee.target, "sip:moved@198.51.100.7");
	/* A BYE has gone through. */
	dialogs_remove(worker.dialogs, &dialog);
	deliver(response_to(&to_hops.items[0], 200, "hop", contact));
	assert_false(find_call("hop", &dialog));
	/* That of another fork is another call. */
	deliver(response_to(&to_hops.items[0], 200, "fork", contact));
	assert_true(find_call("fork", &dialog));
	assert_int_equal(count_of(&to_senders, "SIP/2.0 200 "), 4);
	end_call();
}

static void there_is_a_limit_to_forks(void **state)
{
	struct dialog dialog;
	char tag[16];

	begin_call();
	for (unsigned i = 0; i < 200; i++) {
		snprintf(tag, sizeof tag, "fork-%u", i);
		respond(&to_hops.items[0], 183, tag);
		assert_int_equal(find_call(tag, &dialog), i < 32);
	}
	assert_int_equal(count_of(&to_senders, "SIP/2.0 183 "), 200);
	respond(&to_hops.items[0], 200, "fork-0");
	assert_true(find_call("fork-0", &dialog));
	assert_true(dialog.confirmed);
	end_call();
}

/* RFC 3261 section 15.1.1. */
static void a_bye_that_nobody_answers_ends_the_call(void **state)
{
	static const struct {
		const char *method, *tag;
		unsigned status; /* that is heard; 0: nothing */
		bool stands;
	} cases[] = { { "INFO", "hop", 0, true }, { "BYE", "hop", 407, true }, { "BYE", "hop", 100, false },
		{ "BYE", "fork", 0, false } };
	struct hop hop = hop_at(5081, TRANSPORT_UDP, true);
	struct dialog dialog;

	begin_call();
	for (size_t i = 0; i < COUNT(cases); i++)
		deliver(response_to(&to_hops.items[0], 200, cases[i].tag, "Contact: <sip:final@198.51.100.7>\r\n"));
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_true(find_call(cases[i].tag, &dialog));
		dialog_key(&within, span_of("call-1"), span_of("caller"), span_of(cases[i].tag));
		digest.bytes[1]++;
		assert_true(begin(RELAY_B2BUA_WITHIN, cases[i].method, 0, &hop, 1));
		if (cases[i].status != 0)
			respond(last_to_hop(), cases[i].status, cases[i].tag);
		advance_ms(33000);
		assert_int_equal(find_call(cases[i].tag, &dialog), cases[i].stands);
	}
	end_call();
}

/* Whoever answers a call that has ended is told so until he has heard it, and the caller hears nothing (RFC 3261 section
 * 15.1.1). */
static void what_is_accepted_too_late_is_ended_however_much_is_lost(void **state)
{
	static const char contact[] = "Contact: <sip:late@198.51.100.7:5090;transport=tcp>\r\n",
			  by_udp[] = "Contact: <sip:late@198.51.100.7:5090>\r\n";
	static const int times[] = { 0, 500, 1500, 3500 };
	size_t told;
	int64_t from;

	begin_call();
	advance_ms(32100);
	assert_starts(last_to_caller(), "SIP/2.0 408 ");
	relay_acknowledge(&worker, &digest);
	told = to_senders.count;
	from = now_us;
	for (unsigned repeats = 1; repeats <= 3; repeats++) {
		deliver(response_to(&to_hops.items[0], 200, "late", by_udp));
		assert_int_equal(count_of(&to_hops, "ACK sip:late@198.51.100.7:5090 SIP/2.0"), repeats);
		assert_int_equal(count_of(&to_hops, "BYE sip:late@198.51.100.7:5090 SIP/2.0"), 1);
	}
	assert_non_null(strstr(last_to_hop()->bytes, "\r\nCSeq: 7 ACK\r\n"));
	advance_ms(4000);
	assert_times(&to_hops, "BYE ", from, times, COUNT(times));
	assert_non_null(strstr(last_to_hop()->bytes, "\r\nCSeq: 8 BYE\r\n"));
	respond(last_to_hop(), 200, "late");
	advance_ms(12000);
	assert_times(&to_hops, "BYE ", from, times, COUNT(times));
	/* Another one of a fork, elsewhere. */
	deliver(response_to(&to_hops.items[0], 200, "fork", contact));
	assert_starts(last_to_hop(), "BYE ");
	assert_int_equal(last_to_hop()->transport, TRANSPORT_TCP);
	assert_int_equal(to_senders.count, told);
	end_call();
}

/* --- What is no answer --- */

static void only_the_answer_to_the_very_request_counts(void **state)
{
	static const struct {
		const char *part, *other;
	} changes[] = {
		{ "CSeq: 7 INVITE", "CSeq: 7 UPDATE" },
		{ "CSeq: 7 INVITE", "CSeq: 8 INVITE" },
		{ "Call-ID: call-1", "Call-ID: call-2" },
		{ ";tag=caller", ";tag=callee" },
	};
	static const unsigned statuses[] = { 180, 200, 486 };
	char text[4096];

	begin_invite(1);
	for (size_t i = 0; i < COUNT(changes); i++)
		for (size_t k = 0; k < COUNT(statuses); k++) {
			struct span response = response_to(&to_hops.items[0], statuses[k], "hop", "");
			char *part = strstr(response.at, changes[i].part);
			size_t before = (size_t)(part - response.at);

			assert_non_null(part);
			snprintf(text, sizeof text, "%.*s%s%s", (int)before, response.at, changes[i].other,
				part + strlen(changes[i].part));
			assert_true(deliver(span_of(text)));
			assert_int_equal(to_senders.count, 1);
			assert_int_equal(to_hops.count, 1);
		}
	respond(&to_hops.items[0], 486, "hop");
	assert_int_equal(to_senders.count, 2);
}

static void branches_of_nobody_are_dropped(void **state)
{
	static const char *const branches[] = { "z9hG4bKs", "z9hG4bKs0", "z9hG4bKs000000000000000000", "z9hG4bKs0000000000000000001",
		"z9hG4bKs00zzzzzzzzzzzzzzzz1", "z9hG4bKs00-0000000000000010", "z9hG4bKs00                1",
		"z9hG4bKs00000000000000000011", "z9hG4bKsffffffffffffffffffff" };
	char text[1024];

	begin_invite(1);
	for (size_t i = 0; i < COUNT(branches); i++) {
		snprintf(text, sizeof text,
			"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=\"%s\"\r\nFrom: <sip:a@b>;tag=caller\r\n"
			"To: <sip:c@d>;tag=x\r\nCall-ID: call-1\r\nCSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n",
			branches[i]);
		assert_true(deliver(span_of(text)));
	}
	assert_int_equal(to_senders.count, 1);
	respond(&to_hops.items[0], 486, "hop");
}

static uint32_t random_below(uint32_t limit)
{
	static uint64_t seed = 1;

	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % limit;
}

static void change_at_random(char *text, size_t *length)
{
	static const char bytes[] = "\r\n \t:;,<>\"\\=@%.0123456789SIPz";

	for (uint32_t changes = random_below(4); changes > 0 && *length > 40; changes--) {
		size_t at = random_below((uint32_t)*length - 20), size = 1 + random_below(16);

		switch (random_below(4)) {
		case 0:
			text[at] = bytes[random_below(sizeof bytes)];
			break;
		case 1:
			text[at] = (char)random_below(256);
			break;
		case 2:
			memmove(text + at, text + at + size, *length - at - size);
			*length -= size;
			break;
		case 3:
			memmove(text + at + size, text + at, *length - at);
			*length += size;
			break;
		}
	}
}

/* Anybody who may speak at all can say anything, at any time. */
static void whatever_comes_nothing_breaks(void **state)
{
	static const char *const more[] = { "", "Contact: <sip:x@198.51.100.7>\r\nRecord-Route: <sip:r;lr>,<sip:s>\r\n",
		"Reason: STIR;cause=438;ppi=\"..x\"\r\n", "Contact: *\r\nRequire: 100rel\r\n", "Record-Route: < sip:a >, b\r\n" };
	static const unsigned statuses[] = { 100, 180, 183, 199, 200, 202, 302, 408, 486, 487, 503, 603 };
	static const char *const tags[] = { "one", "two", "three" };
	struct hop hops[3];
	static char text[SENT_BYTES];

	for (unsigned i = 0; i < COUNT(hops); i++)
		hops[i] = hop_at(5081 + i, i == 1 ? TRANSPORT_TCP : TRANSPORT_UDP, i != 0);
	for (unsigned round = 0; round < 1500; round++) {
		size_t hop_count = 1 + random_below(COUNT(hops));
		enum relay_kind kind = random_below(2) == 0 ? RELAY_FORWARD : RELAY_B2BUA;

		memcpy(digest.bytes + 8, &round, sizeof round);
		by_connection = random_below(4) == 0;
		refuses[5081 + random_below(8)] = random_below(2) == 0;
		if (!begin(kind, random_below(4) == 0 ? "INFO" : "INVITE", random_below(1600), hops, hop_count))
			advance_ms(100000);
		for (unsigned step = 0; step < 12 && to_hops.count > 0; step++) {
			const struct sent *to = &to_hops.items[random_below((uint32_t)to_hops.count)];
			struct span response = response_to(to, statuses[random_below(COUNT(statuses))],
				tags[random_below(COUNT(tags))], more[random_below(COUNT(more))]);
			size_t length = response.length;

			memcpy(text, response.at, length);
			change_at_random(text, &length);
			deliver((struct span){ text, length });
			switch (random_below(8)) {
			case 0:
				relay_cancel(&worker, &digest, &no_reasons);
				break;
			case 1:
				relay_acknowledge(&worker, &digest);
				break;
			case 2:
				relay_repeat(&worker, &digest);
				break;
			case 3:
				advance_ms(random_below(9000));
				break;
			}
		}
		if (to_hops.count > SENT_MAX / 2)
			forget(&to_hops);
		if (to_senders.count > SENT_MAX / 2)
			forget(&to_senders);
		assert_true(relays_count(worker.relays) <= CAPACITY);
	}
	memset(refuses, 0, sizeof refuses);
}

/* --- --- */

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_invite_is_answered_at_once_and_goes_on),
		TEST(another_request_gets_no_trying),
		TEST(no_two_branches_are_the_same),
		TEST(there_is_room_for_so_many_and_no_more),
		TEST(many_that_are_due_are_seen_to_a_few_at_a_time),
		TEST(in_between_all_can_be_freed),
		TEST(what_is_in_progress_can_be_freed),
		TEST(an_invite_is_repeated_until_its_time_is_over),
		TEST(a_provisional_response_ends_the_repeats_and_passes),
		TEST(what_rings_too_long_is_cancelled),
		TEST(and_is_given_up_when_even_that_has_no_answer),
		TEST(a_failure_is_acknowledged_however_often_it_comes),
		TEST(the_ack_of_a_failure_is_of_its_invite),
		TEST(so_it_is_when_it_has_rung),
		TEST(another_request_is_repeated_every_four_seconds_at_most),
		TEST(and_every_four_seconds_once_something_was_heard),
		TEST(a_failure_is_repeated_until_it_is_acknowledged),
		TEST(and_no_more_once_it_is),
		TEST(nothing_is_repeated_over_a_connection),
		TEST(a_repeated_invite_gets_the_last_answer_again),
		TEST(another_request_gets_its_final_answer_again),
		TEST(another_request_gets_no_408_but_the_hops),
		TEST(what_is_not_in_progress_is_said_to_be_so),
		TEST(every_2xx_passes),
		TEST(a_repeated_invite_gets_nothing_after_a_2xx),
		TEST(nothing_else_passes_after_a_2xx),
		TEST(a_cancel_waits_for_a_provisional_response),
		TEST(a_cancel_goes_on_at_once_while_it_rings_and_once_only),
		TEST(a_cancel_is_repeated_until_it_is_answered),
		TEST(a_2xx_that_crosses_a_cancel_passes),
		TEST(a_cancel_after_a_failure_changes_nothing),
		TEST(a_cancelled_call_ends_whatever_the_hop_does),
		TEST(a_cancelled_call_of_a_silent_hop_ends_with_487),
		TEST(a_cancelled_call_does_not_fail_over),
		TEST(a_reason_is_noted_once_for_each_status_until_the_call_is_answered),
		TEST(what_leads_to_the_next_hop_is_noted),
		TEST(what_a_hop_says_that_was_left_is_noted_once),
		TEST(nothing_is_noted_of_a_call_that_has_ended),
		TEST(a_503_leads_to_the_next_hop),
		TEST(what_has_rung_goes_to_the_next_hop_as_it_was),
		TEST(what_rings_at_the_last_hop_is_not_kept_whole),
		TEST(the_503_of_the_last_hop_passes),
		TEST(a_repeated_503_of_a_hop_that_was_left_is_acknowledged),
		TEST(other_failures_pass_from_any_hop),
		TEST(a_hop_that_cannot_be_sent_to_is_passed_over),
		TEST(a_call_without_any_hop_fails),
		TEST(a_silent_hop_is_left_after_four_seconds),
		TEST(one_that_rings_is_not),
		TEST(the_2xx_of_a_hop_that_was_left_passes_and_the_other_is_cancelled),
		TEST(a_hop_that_was_left_and_rings_all_the_same_is_cancelled),
		TEST(a_connection_that_fails_leads_to_the_next_hop),
		TEST(a_connection_that_is_closed_is_made_again_once),
		TEST(one_that_fails_while_it_rings_does_not),
		TEST(a_long_request_goes_by_tcp_where_nothing_is_said),
		TEST(and_by_udp_where_there_is_no_tcp),
		TEST(and_by_udp_at_once_where_that_is_known),
		TEST(a_connection_that_is_not_there_in_four_seconds_is_none),
		TEST(who_takes_the_connection_and_says_nothing_gets_his_time),
		TEST(a_long_request_that_is_cancelled_is_not_sent_by_udp),
		TEST(what_is_said_holds_however_long_it_is),
		TEST(what_is_too_long_for_the_caller_is_not_silence),
		TEST(over_a_connection_it_passes),
		TEST(merged_requests_are_told),
		TEST(nothing_of_the_far_leg_is_seen),
		TEST(a_2xx_confirms_what_has_changed_while_it_rang),
		TEST(the_repeats_of_a_2xx_tell_nothing_new),
		TEST(there_is_a_limit_to_forks),
		TEST(a_bye_that_nobody_answers_ends_the_call),
		TEST(what_is_accepted_too_late_is_ended_however_much_is_lost),
		TEST(only_the_answer_to_the_very_request_counts),
		TEST(branches_of_nobody_are_dropped),
		TEST(whatever_comes_nothing_breaks),
	};

	log_open("test-relay", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
