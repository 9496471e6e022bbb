/* call-load: both ends of the calls of the benchmarks. The caller sends INVITEs to a SIP server on loopback, the callee,
 * which is that server's next hop, answers them; the caller acknowledges and ends the calls. Prints what happened as one
 * JSON object.
 *
 * One process for both ends, because on a small machine what the load source burns the server lacks. Between them nothing
 * is known but what comes through the server: the caller's route set and target are those of the 2xx (RFC 3261 section
 * 12.1.2), the callee answers with what the request brought. Latencies run from the clock read before one end sends to the
 * kernel's receive timestamp at the other. It ends by itself: after so many calls or seconds, and then the time it takes to
 * give up the unanswered ones. */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load.h"

#define SLOTS QUEUE_SIZE            /* calls at a time; a power of two */
#define SOCKETS_MAX 32              /* of each end */
#define DIALOG_MAX 2048
#define LIMIT_AFTER_NS (15 * SECOND_NS)

/* --- State --- */

enum gate { GATE_NONE, GATE_RINGING, GATE_TALKING };

static struct options {
	const char *local, *callee;
	const char *from;
	double rate;               /* calls a second; 0: as fast as the window allows */
	unsigned window;
	uint64_t calls;
	double seconds;
	double hold;               /* between ACK and BYE */
	unsigned sockets;
	enum gate gate;
	bool poisson;
	bool show;
} options = { .local = "127.0.0.1", .callee = "", .from = "+1215555", .window = 64, .seconds = 60, .sockets = 1 };

enum state { FREE, CALLING, TALKING, ENDING };

/* One call, as both ends have it. */
struct call {
	int64_t sent_wall_ns;      /* the INVITE, then the BYE */
	int64_t answered_wall_ns;  /* the 200, by the callee */
	uint32_t number;
	uint8_t state;             /* enum state: the caller's */
	uint8_t sends;             /* of what the caller waits for an answer to */
	uint8_t answers;           /* the callee's 200, until the ACK comes */
	bool ringing;              /* the caller heard a provisional response */
	bool invited;              /* the callee has the INVITE, */
	bool acknowledged;         /* the ACK, */
	bool bye_seen;             /* the BYE */
	char *dialog;              /* the caller's: target, then Route lines and To */
	uint16_t target_length, dialog_length;
	uint16_t answer_length;
	char *answer;              /* the callee's 200 */
};

static struct counts {
	uint64_t sent, completed;
	uint64_t lost;             /* one end gave up */
	uint64_t refused;          /* INVITE or BYE got another final answer than 200 */
	uint64_t repeated_invite, repeated_answer, repeated_bye;
	uint64_t seen, seen_again; /* INVITEs at the callee */
	uint64_t with_identity, passed, altered;
	uint64_t provisional, duplicates, strays, held_back;
	uint64_t unacknowledged;   /* calls that ended before their ACK was seen */
	uint64_t status[700];
} counts;

static struct template invite, ack, failure_ack, bye;
static uint32_t run_id;
static char callee_text[INET_ADDRSTRLEN + 8];
static struct outbox caller[SOCKETS_MAX], callee[SOCKETS_MAX];
static struct call calls[SLOTS];
static struct queue invites[SENDS_MAX], answers[SENDS_MAX], byes[SENDS_MAX], holds;
static uint32_t in_flight;
static uint32_t at_gate;           /* calls that have come as far as the gate, or are lost */
static bool gate_open;
static uint32_t released;          /* calls that were let through it */
static struct latencies to_callee, to_caller, bye_to_callee;

static struct call *call_of(uint32_t number)
{
	struct call *call = &calls[number % SLOTS];

	return call->state != FREE && call->number == number ? call : NULL;
}

static void end_call(struct call *call)
{
	free(call->dialog);
	free(call->answer);
	*call = (struct call){ .state = FREE };
	in_flight--;
}

static void lose_call(struct call *call)
{
	counts.lost++;
	if (!gate_open)
		at_gate++;
	end_call(call);
}

/* --- The caller --- */

static struct outbox *caller_of(const struct call *call)
{
	return &caller[call->number % options.sockets];
}

static void wait_more(struct queue *queues, uint8_t *sends, const struct call *call, int64_t now)
{
	queue_put(&queues[*sends], call->number, now + patience_ns[*sends]);
	++*sends;
}

static void send_invite(struct call *call, int64_t now)
{
	template_write(&invite, outbox_next(caller_of(call), template_length(&invite, call->number)), run_id, call->number);
	wait_more(invites, &call->sends, call, now);
}

static bool has_room(void)
{
	bool room = calls[counts.sent % SLOTS].state == FREE;

	if (!room)
		counts.held_back++;
	return room;
}

static void start_call(int64_t now, int64_t wall)
{
	struct call *call = &calls[counts.sent % SLOTS];

	*call = (struct call){ .sent_wall_ns = wall, .number = (uint32_t)counts.sent, .state = CALLING };
	counts.sent++;
	in_flight++;
	send_invite(call, now);
}

static char *put(char *out, const char *text, size_t length)
{
	memcpy(out, text, length);
	return out + length;
}

/* method: with a space behind it. */
static void send_within(const struct call *call, const char *method, const struct template *template)
{
	static const char version[] = " SIP/2.0\r\n", end[] = "Content-Length: 0\r\n\r\n";
	size_t length = strlen(method) + sizeof version - 1 + call->dialog_length + template->length + sizeof end - 1;
	char *out;

	if (length > MESSAGE_MAX)
		return;
	out = put(outbox_next(caller_of(call), length), method, strlen(method));
	out = put(out, call->dialog, call->target_length);
	out = put(out, version, sizeof version - 1);
	template_write(template, out, run_id, call->number);
	out = put(out + template->length, call->dialog + call->target_length,
		(size_t)(call->dialog_length - call->target_length));
	put(out, end, sizeof end - 1);
}

static void send_bye(struct call *call, int64_t now)
{
	send_within(call, "BYE ", &bye);
	wait_more(byes, &call->sends, call, now);
}

static void hang_up(struct call *call, int64_t now)
{
	call->state = ENDING;
	call->sends = 0;
	call->sent_wall_ns = clock_ns(CLOCK_REALTIME);
	send_bye(call, now);
}

/* --- Reading messages --- */

struct line {
	const char *at;
	size_t length;             /* with its end */
};

#define LISTED_MAX 8

struct message {
	unsigned status;           /* 0: a request */
	struct line from, to, call_id, cseq, contact, identity;
	struct line vias[LISTED_MAX], record_routes[LISTED_MAX];
	unsigned via_count, record_route_count;
	const char *body;
	size_t body_length;
	uint32_t call;
};

static bool is_named(const struct line *line, const char *name, size_t length)
{
	return line->length > length && memcmp(line->at, name, length) == 0;
}

static void list(struct line *lines, unsigned *count, const struct line *line)
{
	if (*count < LISTED_MAX)
		lines[(*count)++] = *line;
}

#define IS(name) is_named(line, name, sizeof name - 1)

static void read_line(struct message *message, const struct line *line)
{
	switch (line->at[0]) {
	case 'V':
		if (IS("Via:"))
			list(message->vias, &message->via_count, line);
		break;
	case 'R':
		if (IS("Record-Route:"))
			list(message->record_routes, &message->record_route_count, line);
		break;
	case 'F':
		if (IS("From:"))
			message->from = *line;
		break;
	case 'T':
		if (IS("To:"))
			message->to = *line;
		break;
	case 'C':
		if (IS("Call-ID:"))
			message->call_id = *line;
		else if (IS("CSeq:"))
			message->cseq = *line;
		else if (IS("Contact:"))
			message->contact = *line;
		break;
	case 'I':
		if (IS("Identity:"))
			message->identity = *line;
		break;
	default:
		break;
	}
}

/* The call by the From tag, which no server changes. */
static bool read_message(struct message *message, const char *data, size_t length)
{
	const char *end = data + length, *at = memchr(data, '\n', length), *tag;

	*message = (struct message){ .status = read_status(data, length) };
	for (at = at == NULL ? end : at + 1; at < end;) {
		const char *next = memchr(at, '\n', (size_t)(end - at));
		struct line line = { at, next == NULL ? (size_t)(end - at) : (size_t)(next + 1 - at) };

		at += line.length;
		if (line.at[0] == '\r')
			break;
		read_line(message, &line);
	}
	message->body = at;
	message->body_length = (size_t)(end - at);
	if (message->from.length == 0 || message->to.length == 0 || message->cseq.length == 0)
		return false;
	tag = memmem(message->from.at, message->from.length, ";tag=", 5);
	return tag != NULL &&
		read_id(tag + 5, (size_t)(message->from.at + message->from.length - tag - 5), run_id, &message->call);
}

static bool is_of(const struct message *message, const char *method)
{
	size_t length = strlen(method);
	const struct line *cseq = &message->cseq;

	return cseq->length > length + 2 && memcmp(cseq->at + cseq->length - length - 2, method, length) == 0;
}

/* The text between the angle brackets of a value. */
static struct line bracketed(const struct line *line)
{
	const char *open = memchr(line->at, '<', line->length);
	const char *close = open == NULL ? NULL : memchr(open, '>', (size_t)(line->at + line->length - open));

	return close == NULL ? (struct line){ "", 0 } : (struct line){ open + 1, (size_t)(close - open - 1) };
}

/* --- The caller gets an answer --- */

/* RFC 3261 section 12.1.2. Each server has its Record-Route in a line of its own. */
static void keep_dialog(struct call *call, const struct message *answer)
{
	static char text[DIALOG_MAX + DATAGRAM_MAX];
	struct line target = bracketed(&answer->contact);
	char *out = put(text, target.at, target.length);

	for (unsigned i = answer->record_route_count; i-- > 0;) {
		const struct line *route = &answer->record_routes[i];

		out = put(out, "Route:", 6);
		out = put(out, route->at + 13, route->length - 13);
	}
	out = put(out, answer->to.at, answer->to.length);
	if (out - text > DIALOG_MAX)
		return;
	call->dialog = malloc((size_t)(out - text));
	if (call->dialog == NULL)
		abort();
	put(call->dialog, text, (size_t)(out - text));
	call->dialog_length = (uint16_t)(out - text);
	call->target_length = (uint16_t)target.length;
}

static void reach_gate(enum gate gate)
{
	if (options.gate == gate && !gate_open)
		at_gate++;
}

static void take_success(struct call *call, const struct message *answer, int64_t wall, int64_t now)
{
	if (call->state != CALLING) {
		counts.duplicates++;
		send_within(call, "ACK ", &ack);
		return;
	}
	keep_dialog(call, answer);
	if (call->dialog == NULL) {
		lose_call(call);
		return;
	}
	latencies_add(&to_caller, wall - call->answered_wall_ns);
	call->state = TALKING;
	send_within(call, "ACK ", &ack);
	reach_gate(GATE_TALKING);
	if (options.gate == GATE_TALKING && !gate_open)
		return;
	if (options.hold > 0)
		queue_put(&holds, call->number, now + (int64_t)(options.hold * SECOND_NS));
	else
		hang_up(call, now);
}

static void refuse_call(struct call *call, const struct message *answer)
{
	counts.refused++;
	if (is_of(answer, "INVITE"))
		ack_send(caller_of(call), &failure_ack, run_id, call->number, answer->to.at, answer->to.length - 2);
	if (!gate_open)
		at_gate++;
	end_call(call);
}

static void complete(struct call *call)
{
	counts.completed++;
	if (!call->acknowledged)
		counts.unacknowledged++;
	end_call(call);
}

static void take_provisional(struct call *call, const struct message *answer)
{
	counts.provisional++;
	if (call == NULL)
		return;
	if (call->state == CALLING)
		call->sends = SENDS_MAX + 1; /* no repeats any more: RFC 3261 section 17.1.1.2 */
	if (answer->status == 100 || call->ringing)
		return;
	call->ringing = true;
	reach_gate(GATE_RINGING);
}

static void caller_takes(const char *data, size_t length, int64_t wall)
{
	struct message answer;
	struct call *call;

	if (!read_message(&answer, data, length) || answer.status == 0) {
		counts.strays++;
		return;
	}
	call = call_of(answer.call);
	if (options.show && counts.completed == 0)
		fprintf(stderr, "--- to the caller\n%.*s", (int)length, data);
	if (answer.status < 200) {
		take_provisional(call, &answer);
		return;
	}
	if (call == NULL) {
		counts.duplicates++;
		return;
	}
	if (call->state == CALLING || is_of(&answer, "BYE"))
		counts.status[answer.status]++;
	if (answer.status >= 300)
		refuse_call(call, &answer);
	else if (is_of(&answer, "INVITE"))
		take_success(call, &answer, wall, clock_ns(CLOCK_MONOTONIC));
	else if (is_of(&answer, "BYE") && call->state == ENDING)
		complete(call);
}

/* --- The callee --- */

static struct outbox *callee_of(const struct message *request)
{
	return &callee[request->call % options.sockets];
}

static char *put_line(char *out, const struct line *line)
{
	return put(out, line->at, line->length);
}

/* RFC 3261 section 8.2.6. Returns its length, 0: too long. */
static size_t make_answer(char *out, const struct message *request, const char *status_line, bool with_sdp)
{
	static char text[2 * DATAGRAM_MAX];
	bool is_invite = is_of(request, "INVITE");
	char *at = put(text, status_line, strlen(status_line));
	char *end = text + sizeof text;

	for (unsigned i = 0; i < request->via_count; i++)
		at = put_line(at, &request->vias[i]);
	for (unsigned i = 0; is_invite && i < request->record_route_count; i++)
		at = put_line(at, &request->record_routes[i]);
	at = put_line(at, &request->from);
	at = put(at, request->to.at, request->to.length - 2);
	if (memmem(request->to.at, request->to.length, ";tag=", 5) == NULL)
		at += snprintf(at, (size_t)(end - at), ";tag=c%08x", request->call);
	at = put(at, "\r\n", 2);
	at = put_line(at, &request->call_id);
	at = put_line(at, &request->cseq);
	if (is_invite)
		at += snprintf(at, (size_t)(end - at), "Contact: <sip:callee@%s;transport=udp>\r\n", callee_text);
	if (with_sdp)
		at += snprintf(at, (size_t)(end - at), "Content-Type: application/sdp\r\nContent-Length: %zu\r\n\r\n%s",
			strlen(load_sdp), load_sdp);
	else
		at = put(at, "Content-Length: 0\r\n\r\n", 21);
	if (at - text > MESSAGE_MAX)
		return 0;
	put(out, text, (size_t)(at - text));
	return (size_t)(at - text);
}

static void send_answer(const struct message *request, const char *status_line)
{
	char text[MESSAGE_MAX];
	size_t length = make_answer(text, request, status_line, false);

	if (length > 0)
		put(outbox_next(callee_of(request), length), text, length);
}

static void repeat_answer(struct call *call, int64_t now)
{
	put(outbox_next(&callee[call->number % options.sockets], call->answer_length), call->answer, call->answer_length);
	wait_more(answers, &call->answers, call, now);
}

/* Its 200; the first one. */
static void pick_up(struct call *call, int64_t now)
{
	call->answered_wall_ns = clock_ns(CLOCK_REALTIME);
	repeat_answer(call, now);
}

static void look_at(const struct message *request, const char *data, size_t length)
{
	static const char passed[] = ";verstat=TN-Validation-Passed";

	counts.seen++;
	if (request->identity.length > 100)
		counts.with_identity++;
	if (memmem(data, length, passed, sizeof passed - 1) != NULL)
		counts.passed++;
	if (request->body_length != strlen(load_sdp) || memcmp(request->body, load_sdp, request->body_length) != 0)
		counts.altered++;
}

static void callee_invited(struct call *call, const struct message *request, const char *data, size_t length,
	int64_t wall)
{
	char text[MESSAGE_MAX];
	int64_t now = clock_ns(CLOCK_MONOTONIC);

	if (call->invited) {
		counts.seen_again++;
		if (call->answers == 0)
			send_answer(request, "SIP/2.0 180 Ringing\r\n");
		return;
	}
	call->invited = true;
	latencies_add(&to_callee, wall - call->sent_wall_ns);
	look_at(request, data, length);
	call->answer_length = (uint16_t)make_answer(text, request, "SIP/2.0 200 OK\r\n", true);
	call->answer = malloc(call->answer_length);
	if (call->answer == NULL || call->answer_length == 0)
		abort();
	put(call->answer, text, call->answer_length);
	send_answer(request, "SIP/2.0 180 Ringing\r\n");
	if (options.gate != GATE_RINGING || gate_open)
		pick_up(call, now);
}

static void callee_takes(const char *data, size_t length, int64_t wall)
{
	struct message request;
	struct call *call;

	if (!read_message(&request, data, length) || request.status != 0) {
		/* A server that asks whether its next hop is there. */
		if (request.status == 0 && is_of(&request, "OPTIONS"))
			send_answer(&request, "SIP/2.0 200 OK\r\n");
		else
			counts.strays++;
		return;
	}
	call = call_of(request.call);
	if (options.show && counts.completed == 0)
		fprintf(stderr, "--- to the callee\n%.*s", (int)length, data);
	if (is_of(&request, "INVITE") && call != NULL) {
		callee_invited(call, &request, data, length, wall);
	} else if (is_of(&request, "ACK") && call != NULL) {
		call->acknowledged = true;
		free(call->answer);
		call->answer = NULL;
	} else if (is_of(&request, "BYE")) {
		if (call != NULL && !call->bye_seen) {
			call->bye_seen = true;
			latencies_add(&bye_to_callee, wall - call->sent_wall_ns);
		}
		send_answer(&request, "SIP/2.0 200 OK\r\n");
	}
}

/* --- What is due --- */

static void invite_is_due(struct call *call, int64_t now)
{
	if (call->state != CALLING || call->sends > SENDS_MAX)
		return;
	if (call->sends == SENDS_MAX) {
		lose_call(call);
		return;
	}
	counts.repeated_invite++;
	send_invite(call, now);
}

static void answer_is_due(struct call *call, int64_t now)
{
	if (call->answer == NULL)
		return;
	if (call->answers == SENDS_MAX) {
		lose_call(call);
		return;
	}
	counts.repeated_answer++;
	repeat_answer(call, now);
}

static void bye_is_due(struct call *call, int64_t now)
{
	if (call->state != ENDING)
		return;
	if (call->sends == SENDS_MAX) {
		lose_call(call);
		return;
	}
	counts.repeated_bye++;
	send_bye(call, now);
}

static int64_t expire(struct queue *queue, int64_t now, void due(struct call *, int64_t))
{
	uint32_t number;

	while (queue_take(queue, now, &number)) {
		struct call *call = call_of(number);

		if (call != NULL)
			due(call, now);
	}
	return queue_next(queue);
}

static int64_t earlier(int64_t one, int64_t other)
{
	return one < other ? one : other;
}

/* Returns when the next of all that is waited for is due. */
static int64_t expire_all(int64_t now)
{
	int64_t next = expire(&holds, now, hang_up);

	for (unsigned i = 0; i < SENDS_MAX; i++) {
		next = earlier(next, expire(&invites[i], now, invite_is_due));
		next = earlier(next, expire(&answers[i], now, answer_is_due));
		next = earlier(next, expire(&byes[i], now, bye_is_due));
	}
	return next;
}

static void flush(void)
{
	for (unsigned i = 0; i < options.sockets; i++) {
		if (caller[i].count > 0)
			outbox_flush(&caller[i]);
		if (callee[i].count > 0)
			outbox_flush(&callee[i]);
	}
}

/* --- The run --- */

/* Starts the calls that are due. Returns when the next one is. */
static int64_t start_due(struct pace *pace, int64_t now)
{
	int64_t wall = clock_ns(CLOCK_REALTIME);

	if (options.rate == 0) {
		for (int i = 0; i < BATCH && in_flight < options.window && counts.sent < options.calls && has_room(); i++)
			start_call(now, wall);
		return INT64_MAX;
	}
	for (int i = 0; i < BATCH && counts.sent < options.calls && has_room() && pace_is_due(pace, now); i++)
		start_call(now, wall);
	return pace->due_ns;
}

static void let_through(uint32_t number, int64_t now)
{
	struct call *call = call_of(number);

	if (call == NULL)
		return;
	if (options.gate == GATE_TALKING && call->state == TALKING)
		hang_up(call, now);
	else if (options.gate == GATE_RINGING && call->answer != NULL && call->answers == 0)
		pick_up(call, now);
}

static int64_t release_due(struct pace *pace, int64_t now)
{
	for (int i = 0; i < BATCH && released < counts.sent && pace_is_due(pace, now); i++)
		let_through(released++, now);
	return released < counts.sent ? pace->due_ns : INT64_MAX;
}

/* Tells that all calls are at the gate, and waits for a word. */
static void stand(int64_t *now, struct pace *pace)
{
	char word[16];

	printf("{\"at_gate\": %u, \"lost\": %llu, \"refused\": %llu}\n", in_flight, (unsigned long long)counts.lost,
		(unsigned long long)counts.refused);
	fflush(stdout);
	if (read(STDIN_FILENO, word, sizeof word) < 0)
		perror("call-load");
	gate_open = true;
	*now = clock_ns(CLOCK_MONOTONIC);
	pace->due_ns = *now;
}

static bool receive(int epoll, int64_t until)
{
	struct epoll_event events[2 * SOCKETS_MAX];
	int64_t left = until - clock_ns(CLOCK_MONOTONIC);
	struct timespec limit;
	int count;

	if (left > SECOND_NS / 10)
		left = SECOND_NS / 10;
	if (left < 0)
		left = 0;
	limit = (struct timespec){ left / SECOND_NS, left % SECOND_NS };
	count = epoll_pwait2(epoll, events, 2 * SOCKETS_MAX, &limit, NULL);
	for (int i = 0; i < count; i++) {
		bool is_callee = events[i].data.u32 >= SOCKETS_MAX;

		if (is_callee)
			load_receive(callee[events[i].data.u32 - SOCKETS_MAX].fd, callee_takes);
		else
			load_receive(caller[events[i].data.u32].fd, caller_takes);
	}
	return count > 0;
}

static bool is_over(int64_t now, int64_t limit)
{
	if (now >= limit + LIMIT_AFTER_NS)
		return true;
	return in_flight == 0 && (counts.sent == options.calls || now >= limit);
}

/* Returns how long it took from the first INVITE to the last answer, without what was waited at the gate. */
static int64_t run(int epoll, struct pace *pace, struct pace *release)
{
	int64_t start = clock_ns(CLOCK_MONOTONIC), now = start, last = start;
	int64_t limit = start + (int64_t)(options.seconds * SECOND_NS);

	pace->due_ns = start;
	while (!is_over(now, limit)) {
		int64_t next = INT64_MAX;

		if (options.gate != GATE_NONE && !gate_open && counts.sent == options.calls && at_gate >= counts.sent) {
			int64_t before = now;

			stand(&now, release);
			start += now - before;
			limit += now - before;
		}
		if (now < limit && counts.sent < options.calls)
			next = start_due(pace, now);
		if (gate_open)
			next = earlier(next, release_due(release, now));
		next = earlier(next, expire_all(now));
		flush();
		if (receive(epoll, next))
			last = clock_ns(CLOCK_MONOTONIC);
		flush();
		now = clock_ns(CLOCK_MONOTONIC);
	}
	counts.lost += in_flight;
	return last - start;
}

/* --- Printing --- */

static void print_counts(void)
{
	const struct {
		const char *name;
		uint64_t value;
	} all[] = {
		{ "sent", counts.sent },
		{ "completed", counts.completed },
		{ "lost", counts.lost },
		{ "refused", counts.refused },
		{ "repeated_invite", counts.repeated_invite },
		{ "repeated_answer", counts.repeated_answer },
		{ "repeated_bye", counts.repeated_bye },
		{ "retransmitted", counts.repeated_invite + counts.repeated_answer + counts.repeated_bye },
		{ "seen", counts.seen },
		{ "seen_again", counts.seen_again },
		{ "with_identity", counts.with_identity },
		{ "passed", counts.passed },
		{ "altered", counts.altered },
		{ "provisional", counts.provisional },
		{ "duplicates", counts.duplicates },
		{ "strays", counts.strays },
		{ "held_back", counts.held_back },
		{ "unacknowledged", counts.unacknowledged },
	};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		printf("\"%s\": %llu, ", all[i].name, (unsigned long long)all[i].value);
}

static double own_cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
		(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void print_json(int64_t took, const struct pace *pace, double cpu_us)
{
	double seconds = (double)took / SECOND_NS;
	const char *separator = "";

	printf("{\"mode\": \"%s\", \"offered_rate\": %.1f, \"window\": %u, \"invite_bytes\": %zu, \"seconds\": %.3f, "
	       "\"calls_per_s\": %.1f, ",
		options.rate > 0 ? "paced" : "saturated", options.rate, options.rate > 0 ? 0 : options.window,
		template_length(&invite, 0), seconds, seconds > 0 ? (double)counts.completed / seconds : 0);
	print_counts();
	printf("\"status\": {");
	for (unsigned status = 200; status < 700; status++) {
		if (counts.status[status] == 0)
			continue;
		printf("%s\"%u\": %llu", separator, status, (unsigned long long)counts.status[status]);
		separator = ", ";
	}
	printf("}, \"latency_us\": {\"invite\": ");
	latencies_print(&to_callee);
	printf(", \"answer\": ");
	latencies_print(&to_caller);
	printf(", \"bye\": ");
	latencies_print(&bye_to_callee);
	printf("}, \"load_cpu_us\": %.1f, \"sent_late_us_max\": %lld}\n",
		counts.completed > 0 ? cpu_us / (double)counts.completed : 0, (long long)pace->late_max_ns / 1000);
}

/* --- Start --- */

static int usage(void)
{
	fputs("usage: call-load [options] --callee ADDRESS:PORT ADDRESS:PORT      (IPv4 addresses in 127/8)\n"
	      "  --callee A      be the next hop there\n"
	      "  --calls N       stop after so many calls\n"
	      "  --seconds S     stop after so many seconds (60)\n"
	      "  --rate R        start R calls a second, whatever comes back\n"
	      "  --poisson       with --rate: at random moments, as independent callers do\n"
	      "  --window N      without --rate: keep N calls in flight (64)\n"
	      "  --hold S        seconds from ACK to BYE (0)\n"
	      "  --gate G        \"ringing\" or \"talking\": bring all --calls so far, say so, and wait for a line on standard\n"
	      "                  input; then go on with --rate of them a second\n"
	      "  --sockets N     send from so many sockets at each end (1)\n"
	      "  --local A       the caller's address (127.0.0.1)\n"
	      "  --from PREFIX   caller's number without its last four digits (+1215555)\n"
	      "  --identities F  an Identity value for each INVITE: one a line, for the calls in their order\n"
	      "  --show          print what comes for the first call on standard error\n",
		stderr);
	return 2;
}

static bool parse_gate(const char *word)
{
	options.gate = strcmp(word, "ringing") == 0 ? GATE_RINGING : strcmp(word, "talking") == 0 ? GATE_TALKING : GATE_NONE;
	return options.gate != GATE_NONE;
}

static bool parse_option(int option)
{
	switch (option) {
	case 'b':
		options.callee = optarg;
		return true;
	case 'c':
		options.calls = strtoull(optarg, NULL, 10);
		return true;
	case 's':
		options.seconds = strtod(optarg, NULL);
		return true;
	case 'r':
		options.rate = strtod(optarg, NULL);
		return true;
	case 'p':
		options.poisson = true;
		return true;
	case 'w':
		options.window = (unsigned)strtoul(optarg, NULL, 10);
		return true;
	case 'h':
		options.hold = strtod(optarg, NULL);
		return true;
	case 'g':
		return parse_gate(optarg);
	case 'n':
		options.sockets = (unsigned)strtoul(optarg, NULL, 10);
		return true;
	case 'l':
		options.local = optarg;
		return true;
	case 'f':
		options.from = optarg;
		return true;
	case 'i':
		return identities_read(optarg);
	case 'v':
		options.show = true;
		return true;
	default:
		return false;
	}
}

static bool parse_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "callee", required_argument, NULL, 'b' },
		{ "calls", required_argument, NULL, 'c' },
		{ "seconds", required_argument, NULL, 's' },
		{ "rate", required_argument, NULL, 'r' },
		{ "poisson", no_argument, NULL, 'p' },
		{ "window", required_argument, NULL, 'w' },
		{ "hold", required_argument, NULL, 'h' },
		{ "gate", required_argument, NULL, 'g' },
		{ "sockets", required_argument, NULL, 'n' },
		{ "local", required_argument, NULL, 'l' },
		{ "from", required_argument, NULL, 'f' },
		{ "identities", required_argument, NULL, 'i' },
		{ "show", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	options.calls = UINT32_MAX;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
		if (!parse_option(option))
			return false;
	return argc - optind == 1 && options.calls > 0 && options.calls <= UINT32_MAX && options.seconds > 0 &&
		options.seconds <= 3600 && options.rate >= 0 && options.rate <= 1000000 && options.window > 0 &&
		options.window <= SLOTS / 2 && options.sockets > 0 && options.sockets <= SOCKETS_MAX && options.hold >= 0 &&
		options.hold <= 600 && strlen(options.from) < 32 &&
		(options.gate == GATE_NONE || (options.rate > 0 && options.calls <= SLOTS));
}

static void text_of(char *out, size_t size, const struct sockaddr_in *address)
{
	char host[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &address->sin_addr, host, sizeof host);
	snprintf(out, size, "%s:%u", host, ntohs(address->sin_port));
}

/* The first socket of an end has the address, the others have other ports. */
static bool open_end(int epoll, struct outbox *end, struct sockaddr_in *address, const struct sockaddr_in *server,
	uint32_t base)
{
	for (unsigned i = 0; i < options.sockets; i++) {
		struct sockaddr_in more = *address;
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = base + i };

		if (i > 0)
			more.sin_port = 0;
		end[i].fd = load_socket(i == 0 ? address : &more, server);
		if (end[i].fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, end[i].fd, &event) != 0)
			return false;
	}
	return true;
}

static bool open_queues(void)
{
	for (unsigned i = 0; i < SENDS_MAX; i++)
		if (!queue_open(&invites[i]) || !queue_open(&answers[i]) || !queue_open(&byes[i]))
			return false;
	return queue_open(&holds);
}

static void read_templates(const char *server, const struct sockaddr_in *local)
{
	static const char within[] = "Via: SIP/2.0/UDP %s;rport;branch=z9hG4bK%s\1\r\n"
				     "Max-Forwards: 70\r\n"
				     "From: \"Example Caller\" <sip:%s\2@carrier.example.net;user=phone>;tag=\1\r\n"
				     "Call-ID: \1@%.*s\r\n"
				     "CSeq: %s\r\n";
	char local_text[INET_ADDRSTRLEN + 8], text[1024];
	int host;

	text_of(local_text, sizeof local_text, local);
	host = (int)strcspn(local_text, ":");
	invite_read(&invite, server, local_text, options.from);
	ack_read(&failure_ack, server, local_text, options.from);
	snprintf(text, sizeof text, within, local_text, "a", options.from, host, local_text, "1 ACK");
	template_read(&ack, text);
	snprintf(text, sizeof text, within, local_text, "b", options.from, host, local_text, "2 BYE");
	template_read(&bye, text);
}

int main(int argc, char **argv)
{
	struct sockaddr_in server, local, next_hop;
	struct pace pace = { 0 }, release = { 0 };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int64_t took;
	double began;

	if (!parse_options(argc, argv) || !loopback_read(argv[optind], &server) || server.sin_port == 0 ||
		!loopback_read(options.local, &local) || !loopback_read(options.callee, &next_hop) || next_hop.sin_port == 0)
		return usage();
	if (epoll < 0 || !open_end(epoll, caller, &local, &server, 0) ||
		!open_end(epoll, callee, &next_hop, &server, SOCKETS_MAX) || !open_queues() ||
		getrandom(&run_id, sizeof run_id, 0) != sizeof run_id) {
		perror("call-load");
		return 1;
	}
	text_of(callee_text, sizeof callee_text, &next_hop);
	read_templates(argv[optind], &local);
	srand48(run_id);
	pace.rate = release.rate = options.rate;
	pace.poisson = options.poisson;
	/* Sleep as exactly as the kernel can. */
	prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
	began = own_cpu_us();
	took = run(epoll, &pace, &release);
	print_json(took, &pace, own_cpu_us() - began);
	return counts.completed > 0 ? 0 : 1;
}
