/* sip-load: the caller of the benchmarks. Sends INVITEs to a SIP server on loopback, waits for their final answers, and
 * prints what happened as one JSON object.
 *
 * One process and one UDP socket, because on a small machine what the load source burns the server lacks: messages are
 * patched into a template, sent and read many at a time, and latencies run between the clock read before the send and the
 * kernel's receive timestamp, so that they do not contain this program's own waiting. It ends by itself: after so many
 * calls or seconds, and then the time it takes to give up the unanswered ones. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 16                    /* datagrams per system call */
#define MESSAGE_MAX 4096
#define IDENTITY_MAX 2048
#define ANSWER_MAX 8192
#define SLOTS (1u << 18)            /* calls in flight; a power of two */
#define HISTOGRAM_US 1000000        /* one bucket for each microsecond; the last one takes what is longer */
#define SECOND_NS 1000000000LL
#define MS_NS 1000000LL
#define SOCKET_BUFFER (16 << 20)
#define SAVED_MAX 1000000           /* calls with --save */

/* After each of the sends, the time to wait before the next, as RFC 3261's timer A has it; after the last one the call is
 * lost. */
static const int64_t patience_ns[] = { 500 * MS_NS, 1000 * MS_NS, 2000 * MS_NS, 4000 * MS_NS };
#define SENDS_MAX (sizeof patience_ns / sizeof patience_ns[0])

/* --- Messages: a template and what differs from call to call --- */

enum field { FIELD_ID = 1, FIELD_ORIG, FIELD_DEST };
#define IDENTITY_PLACE '\4'

#define ID_DIGITS 16                /* 8 of the run, 8 of the call */
#define ORIG_DIGITS 4
#define DEST_DIGITS 7
#define FIELDS_MAX 24

struct template {
	char text[MESSAGE_MAX];
	size_t length;
	struct {
		enum field field;
		size_t at;
	} fields[FIELDS_MAX];
	size_t field_count;
	size_t identity_at;        /* where the Identity goes, behind all fields; 0: nowhere */
};

/* \1 is the call's id, \2 the last digits of the caller's number, \3 those of the callee's, \4 the place of Identity. */
static const char invite_head[] = "INVITE sip:+1303\3@%s;user=phone SIP/2.0\r\n"
				  "Via: SIP/2.0/UDP %s;rport;branch=z9hG4bK\1\r\n"
				  "Max-Forwards: 69\r\n"
				  "From: \"Example Caller\" <sip:%s\2@carrier.example.net;user=phone>;tag=\1\r\n"
				  "To: <sip:+1303\3@%s;user=phone>\r\n"
				  "Call-ID: \1@%s\r\n"
				  "CSeq: 1 INVITE\r\n"
				  "Contact: <sip:%s\2@%s;transport=udp>\r\n"
				  "P-Asserted-Identity: \"Example Caller\" <sip:%s\2@carrier.example.net;user=phone>\r\n"
				  "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, REFER\r\n"
				  "Supported: 100rel, timer\r\n"
				  "Session-Expires: 1800;refresher=uac\r\n"
				  "Min-SE: 90\r\n"
				  "User-Agent: sip-load\r\n"
				  "\4"
				  "Content-Type: application/sdp\r\n"
				  "Content-Length: %zu\r\n"
				  "\r\n%s";
static const char sdp[] = "v=0\r\n"
			  "o=carrier 8000 8000 IN IP4 127.0.0.1\r\n"
			  "s=-\r\n"
			  "c=IN IP4 127.0.0.1\r\n"
			  "t=0 0\r\n"
			  "m=audio 30000 RTP/AVP 0 8 101\r\n"
			  "a=rtpmap:0 PCMU/8000\r\n"
			  "a=rtpmap:8 PCMA/8000\r\n"
			  "a=rtpmap:101 telephone-event/8000\r\n"
			  "a=fmtp:101 0-15\r\n"
			  "a=ptime:20\r\n"
			  "a=sendrecv\r\n";
static const char ack_head[] = "ACK sip:+1303\3@%s;user=phone SIP/2.0\r\n"
			       "Via: SIP/2.0/UDP %s;rport;branch=z9hG4bK\1\r\n"
			       "Max-Forwards: 69\r\n"
			       "From: \"Example Caller\" <sip:%s\2@carrier.example.net;user=phone>;tag=\1\r\n"
			       "Call-ID: \1@%s\r\n"
			       "CSeq: 1 ACK\r\n"
			       "Content-Length: 0\r\n";

static const size_t field_width[] = { [FIELD_ID] = ID_DIGITS, [FIELD_ORIG] = ORIG_DIGITS, [FIELD_DEST] = DEST_DIGITS };

static void template_read(struct template *template, const char *text)
{
	*template = (struct template){ .length = 0 };
	for (; *text != '\0'; text++) {
		enum field field = (enum field)*text;

		if (template->length + ID_DIGITS >= sizeof template->text)
			abort();
		if (*text == IDENTITY_PLACE) {
			template->identity_at = template->length;
			continue;
		}
		if (field > FIELD_DEST) {
			template->text[template->length++] = *text;
			continue;
		}
		if (template->field_count == FIELDS_MAX || template->identity_at != 0)
			abort();
		template->fields[template->field_count].field = field;
		template->fields[template->field_count++].at = template->length;
		template->length += field_width[field];
	}
}

static void put_digits(char *at, size_t width, uint64_t value, unsigned base)
{
	while (width-- > 0) {
		at[width] = "0123456789abcdef"[value % base];
		value /= base;
	}
}

/* --- Identity values: one a line, for the calls in their order, and from the first again --- */

struct identities {
	char **lines;              /* each without the end of its line; may be empty: a call without Identity */
	size_t count;
};

static struct identities identities;

static bool identities_read(const char *path)
{
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t room = 0;
	size_t size = 0;
	ssize_t length;

	if (file == NULL)
		return false;
	while ((length = getline(&line, &room, file)) > 0) {
		if (identities.count == size) {
			char **more = realloc(identities.lines, (size = size * 2 + 1024) * sizeof *more);

			if (more == NULL)
				break;
			identities.lines = more;
		}
		if (line[length - 1] == '\n')
			line[--length] = '\0';
		if (length > IDENTITY_MAX)
			break;
		identities.lines[identities.count++] = line;
		line = NULL;
		room = 0;
	}
	free(line);
	fclose(file);
	return length < 0 && identities.count > 0;
}

static void identities_free(void)
{
	for (size_t i = 0; i < identities.count; i++)
		free(identities.lines[i]);
	free(identities.lines);
}

/* Calls with the same Identity have the same numbers, as its claims say. */
static uint32_t number_of(uint32_t call)
{
	return identities.count > 0 ? (uint32_t)(call % identities.count) : call;
}

static const char *identity_of(uint32_t call)
{
	return identities.count > 0 ? identities.lines[number_of(call)] : "";
}

static size_t template_length(const struct template *template, uint32_t call)
{
	size_t identity = template->identity_at != 0 ? strlen(identity_of(call)) : 0;

	return template->length + (identity > 0 ? identity + sizeof "Identity: \r\n" - 1 : 0);
}

/* Writes the message of one call: always the same bytes for the same call, so nothing has to be kept to repeat it. */
static void template_write(const struct template *template, char *out, uint32_t run, uint32_t call)
{
	size_t head = template->identity_at != 0 ? template->identity_at : template->length;
	size_t tail = template->length - head;
	char *end = out + template_length(template, call);

	memcpy(out, template->text, head);
	if (end != out + template->length) {
		memcpy(out + head, "Identity: ", 10);
		memcpy(out + head + 10, identity_of(call), strlen(identity_of(call)));
		memcpy(end - tail - 2, "\r\n", 2);
	}
	memcpy(end - tail, template->text + head, tail);
	for (size_t i = 0; i < template->field_count; i++) {
		char *at = out + template->fields[i].at;

		switch (template->fields[i].field) {
		case FIELD_ID:
			put_digits(at, ID_DIGITS, (uint64_t)run << 32 | call, 16);
			break;
		case FIELD_ORIG:
			put_digits(at, ORIG_DIGITS, number_of(call) % 10000, 10);
			break;
		case FIELD_DEST:
			/* Odd step: neighbours in time are no neighbours in number. */
			put_digits(at, DEST_DIGITS, 2000000 + (uint64_t)number_of(call) * 7919 % 8000000, 10);
			break;
		}
	}
}

/* --- State --- */

struct options {
	const char *local;
	const char *from;
	const char *save;          /* write the answers' Identity values to this file */
	double rate;               /* calls a second; 0: as fast as the window allows */
	unsigned window;
	uint64_t calls;
	double seconds;
	bool ack;
	bool poisson;
	bool show;
};

/* A call that waits for its final answer. */
struct slot {
	int64_t sent_wall_ns;      /* 0: free */
	uint32_t call;
	uint8_t sends;
	bool quiet;                /* a provisional answer came: no more repeats (RFC 3261 section 17.1.1.2) */
};

/* The calls that were sent for the n-th time, in that order: each waits equally long, so the first is the next. */
struct queue {
	struct {
		int64_t due_ns;
		uint32_t call;
	} *entries;                /* SLOTS of them */
	uint32_t head;
	uint32_t tail;
};

struct counts {
	uint64_t sent;
	uint64_t retransmitted;
	uint64_t provisional;
	uint64_t answered;
	uint64_t answered_first;   /* to an INVITE that was not repeated */
	uint64_t with_identity;
	uint64_t without_identity;
	uint64_t passed;           /* with verstat=TN-Validation-Passed */
	uint64_t duplicates;       /* a second final answer to the same call */
	uint64_t strays;           /* datagrams that are no answer to a call of this run */
	uint64_t lost;
	uint64_t held_back;        /* turns in which no slot was free */
	uint64_t status[700];
};

static struct options options = { .local = "127.0.0.1", .from = "+1215555", .window = 64, .seconds = 60 };
static struct template invite, ack;
static uint32_t run_id;
static int fd;
static struct slot slots[SLOTS];
static struct queue queues[SENDS_MAX];
static struct counts counts;
static uint32_t in_flight;
static uint32_t histogram[HISTOGRAM_US + 1];
static int64_t latency_max_ns;
static int64_t latency_sum_ns;
static char **saved;               /* an Identity value for each call, with options.save */

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* --- Sending --- */

static struct outbox {
	char bytes[BATCH][MESSAGE_MAX];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH];
	unsigned count;
} outbox;

/* What the kernel does not take is as good as lost on the way: its repeat is due like any other. */
static void flush(void)
{
	unsigned done = 0;

	while (done < outbox.count) {
		int sent = sendmmsg(fd, outbox.messages + done, outbox.count - done, 0);

		if (sent < 0 && errno == EINTR)
			continue;
		done += sent > 0 ? (unsigned)sent : 1;
	}
	outbox.count = 0;
}

static char *outbox_next(size_t length)
{
	unsigned i = outbox.count;

	if (i == BATCH) {
		flush();
		i = 0;
	}
	outbox.parts[i] = (struct iovec){ outbox.bytes[i], length };
	outbox.messages[i].msg_hdr = (struct msghdr){ .msg_iov = &outbox.parts[i], .msg_iovlen = 1 };
	outbox.count = i + 1;
	return outbox.bytes[i];
}

static void queue_put(unsigned sends, uint32_t call, int64_t now)
{
	struct queue *queue = &queues[sends - 1];

	queue->entries[queue->tail % SLOTS].due_ns = now + patience_ns[sends - 1];
	queue->entries[queue->tail++ % SLOTS].call = call;
}

static void send_invite(struct slot *slot, int64_t now)
{
	template_write(&invite, outbox_next(template_length(&invite, slot->call)), run_id, slot->call);
	slot->sends++;
	queue_put(slot->sends, slot->call, now);
}

static bool start_call(int64_t now, int64_t wall)
{
	struct slot *slot = &slots[counts.sent % SLOTS];

	if (slot->sent_wall_ns != 0) {
		counts.held_back++;
		return false;
	}
	*slot = (struct slot){ .sent_wall_ns = wall, .call = (uint32_t)counts.sent };
	counts.sent++;
	in_flight++;
	send_invite(slot, now);
	return true;
}

static void end_call(struct slot *slot)
{
	slot->sent_wall_ns = 0;
	in_flight--;
}

static struct slot *slot_of(uint32_t call)
{
	struct slot *slot = &slots[call % SLOTS];

	return slot->sent_wall_ns != 0 && slot->call == call ? slot : NULL;
}

/* Repeats or gives up what has waited long enough. Returns when the next one will have. */
static int64_t expire(int64_t now)
{
	int64_t next = INT64_MAX;

	for (unsigned i = 0; i < SENDS_MAX; i++) {
		struct queue *queue = &queues[i];

		while (queue->head != queue->tail && queue->entries[queue->head % SLOTS].due_ns <= now) {
			struct slot *slot = slot_of(queue->entries[queue->head++ % SLOTS].call);

			if (slot == NULL)
				continue;
			if (slot->sends == SENDS_MAX) {
				counts.lost++;
				end_call(slot);
			} else if (slot->quiet) {
				slot->sends++;
				queue_put(slot->sends, slot->call, now);
			} else {
				counts.retransmitted++;
				send_invite(slot, now);
			}
		}
		if (queue->head != queue->tail && queue->entries[queue->head % SLOTS].due_ns < next)
			next = queue->entries[queue->head % SLOTS].due_ns;
	}
	flush();
	return next;
}

/* --- Receiving --- */

static bool find_line(const char *data, size_t length, const char *name, const char **at, size_t *size)
{
	const char *line = memmem(data, length, name, strlen(name));
	const char *end;

	if (line == NULL)
		return false;
	line += 2;                 /* name begins with the end of the line before */
	end = memchr(line, '\r', length - (size_t)(line - data));
	if (end == NULL)
		return false;
	*at = line;
	*size = (size_t)(end - line);
	return true;
}

static bool read_call(const char *data, size_t length, uint32_t *call)
{
	static const char name[] = "branch=z9hG4bK";
	const char *at = memmem(data, length, name, sizeof name - 1);
	char digits[ID_DIGITS + 1];
	char *end;
	uint64_t id;

	if (at == NULL || length - (size_t)(at - data) < sizeof name - 1 + ID_DIGITS)
		return false;
	memcpy(digits, at + sizeof name - 1, ID_DIGITS);
	digits[ID_DIGITS] = '\0';
	id = strtoull(digits, &end, 16);
	*call = (uint32_t)id;
	return *end == '\0' && id >> 32 == run_id;
}

static unsigned read_status(const char *data, size_t length)
{
	unsigned status = 0;

	if (length < 12 || memcmp(data, "SIP/2.0 ", 8) != 0)
		return 0;
	for (int i = 8; i < 11; i++)
		status = status * 10 + (unsigned)(unsigned char)data[i] - '0';
	return status >= 100 && status < 700 ? status : 0;
}

/* The To of the ACK is the one of the answer, tag and all (RFC 3261 section 17.1.1.3). */
static void send_ack(const char *data, size_t length, uint32_t call)
{
	const char *to;
	size_t size;
	char *out;

	if (!find_line(data, length, "\r\nTo:", &to, &size) || ack.length + size + 4 > MESSAGE_MAX)
		return;
	out = outbox_next(ack.length + size + 4);
	template_write(&ack, out, run_id, call);
	memcpy(out + ack.length, to, size);
	memcpy(out + ack.length + size, "\r\n\r\n", 4);
}

/* line: the header field, name and all. */
static void save_identity(uint32_t call, const char *line, size_t size)
{
	static const char name[] = "Identity:";
	size_t start = sizeof name - 1;

	while (start < size && line[start] == ' ')
		start++;
	saved[call] = strndup(line + start, size - start);
}

static bool write_saved(void)
{
	FILE *file = fopen(options.save, "w");
	bool good = file != NULL;

	for (uint64_t call = 0; good && call < counts.sent; call++)
		good = fprintf(file, "%s\n", saved[call] != NULL ? saved[call] : "") > 0;
	for (uint64_t call = 0; call < counts.sent; call++)
		free(saved[call]);
	free(saved);
	return file != NULL && fclose(file) == 0 && good;
}

static void measure(int64_t latency)
{
	int64_t us = latency / 1000;

	if (latency < 0)
		us = latency = 0;
	histogram[us < HISTOGRAM_US ? us : HISTOGRAM_US]++;
	latency_sum_ns += latency;
	if (latency > latency_max_ns)
		latency_max_ns = latency;
}

static void take_answer(const char *data, size_t length, int64_t wall)
{
	static const char passed[] = ";verstat=TN-Validation-Passed";
	unsigned status = read_status(data, length);
	const char *line;
	size_t size;
	struct slot *slot;
	uint32_t call;

	if (status == 0 || !read_call(data, length, &call)) {
		counts.strays++;
		return;
	}
	slot = slot_of(call);
	if (status < 200) {
		counts.provisional++;
		if (slot != NULL)
			slot->quiet = true;
		return;
	}
	if (options.ack)
		send_ack(data, length, call);
	if (slot == NULL) {
		counts.duplicates++;
		return;
	}
	if (options.show && counts.answered == 0)
		fprintf(stderr, "%.*s", (int)length, data);
	counts.answered++;
	if (slot->sends == 1)
		counts.answered_first++;
	counts.status[status]++;
	if (find_line(data, length, "\r\nIdentity:", &line, &size) && size > 100) {
		counts.with_identity++;
		if (saved != NULL)
			save_identity(call, line, size);
	} else {
		counts.without_identity++;
	}
	if (memmem(data, length, passed, sizeof passed - 1) != NULL)
		counts.passed++;
	measure(wall - slot->sent_wall_ns);
	end_call(slot);
}

static int64_t stamp_of(struct msghdr *message)
{
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
		struct timespec stamp;

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&stamp, CMSG_DATA(part), sizeof stamp);
		return stamp.tv_sec * SECOND_NS + stamp.tv_nsec;
	}
	return clock_ns(CLOCK_REALTIME);
}

/* Reads up to one batch. Returns how many there were. */
static int receive(void)
{
	static char bytes[BATCH][ANSWER_MAX];
	static char control[BATCH][64];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH];
	int count;

	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ bytes[i], ANSWER_MAX };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i],
			.msg_iovlen = 1,
			.msg_control = control[i],
			.msg_controllen = sizeof control[i] };
	}
	count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		take_answer(bytes[i], messages[i].msg_len, stamp_of(&messages[i].msg_hdr));
	flush();
	return count;
}

/* --- The run --- */

struct pace {
	int64_t due_ns;            /* of the next call */
	int64_t late_max_ns;
};

static int64_t gap_ns(void)
{
	double gap = (double)SECOND_NS / options.rate;

	/* Calls of many independent callers: exponential gaps. */
	if (options.poisson)
		gap *= -log(1.0 - drand48());
	return (int64_t)gap;
}

/* Starts the calls that are due. Returns when the next one is. */
static int64_t start_due(struct pace *pace, int64_t now)
{
	int64_t wall = clock_ns(CLOCK_REALTIME);

	if (options.rate == 0) {
		while (in_flight < options.window && counts.sent < options.calls && outbox.count < BATCH)
			if (!start_call(now, wall))
				break;
		flush();
		return INT64_MAX;
	}
	for (int i = 0; i < BATCH && pace->due_ns <= now && counts.sent < options.calls; i++) {
		if (!start_call(now, wall))
			break;
		if (now - pace->due_ns > pace->late_max_ns)
			pace->late_max_ns = now - pace->due_ns;
		pace->due_ns += gap_ns();
	}
	flush();
	return pace->due_ns;
}

static void wait_for_input(int64_t until)
{
	int64_t left = until - clock_ns(CLOCK_MONOTONIC);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	struct timespec limit;

	if (left <= 0)
		return;
	if (left > SECOND_NS / 10)
		left = SECOND_NS / 10;
	limit = (struct timespec){ left / SECOND_NS, left % SECOND_NS };
	ppoll(&poll_fd, 1, &limit, NULL);
}

/* Returns how long it took to send all calls and get their answers. */
static int64_t run(struct pace *pace)
{
	int64_t start = clock_ns(CLOCK_MONOTONIC);
	int64_t limit = start + (int64_t)(options.seconds * SECOND_NS);
	int64_t last_answer = start;
	int64_t now = start;

	pace->due_ns = start;
	while (in_flight > 0 || (counts.sent < options.calls && now < limit)) {
		int64_t next = INT64_MAX;
		int64_t next_repeat;

		if (now < limit && counts.sent < options.calls)
			next = start_due(pace, now);
		next_repeat = expire(now);
		if (receive() > 0)
			last_answer = clock_ns(CLOCK_MONOTONIC);
		else
			wait_for_input(next < next_repeat ? next : next_repeat);
		now = clock_ns(CLOCK_MONOTONIC);
	}
	return last_answer - start;
}

static long percentile_us(double share)
{
	uint64_t want = (uint64_t)ceil((double)counts.answered * share);
	uint64_t seen = 0;

	for (long us = 0; us <= HISTOGRAM_US; us++) {
		seen += histogram[us];
		if (seen >= want && seen > 0)
			return us;
	}
	return 0;
}

static void print_json(int64_t took, const struct pace *pace)
{
	double seconds = (double)took / SECOND_NS;
	const char *separator = "";

	printf("{\"mode\": \"%s\", \"offered_rate\": %.1f, \"window\": %u, \"ack\": %s, ",
		options.rate > 0 ? "paced" : "saturated", options.rate, options.rate > 0 ? 0 : options.window,
		options.ack ? "true" : "false");
	printf("\"invite_bytes\": %zu, \"seconds\": %.3f, \"calls_per_s\": %.1f, ",
		template_length(&invite, 0), seconds, seconds > 0 ? (double)counts.answered / seconds : 0);
	printf("\"sent\": %llu, \"answered\": %llu, \"answered_first\": %llu, \"lost\": %llu, "
	       "\"retransmitted\": %llu, ",
		(unsigned long long)counts.sent, (unsigned long long)counts.answered,
		(unsigned long long)counts.answered_first, (unsigned long long)counts.lost,
		(unsigned long long)counts.retransmitted);
	printf("\"with_identity\": %llu, \"without_identity\": %llu, \"passed\": %llu, \"provisional\": %llu, "
	       "\"duplicates\": %llu, \"strays\": %llu, \"held_back\": %llu, \"status\": {",
		(unsigned long long)counts.with_identity, (unsigned long long)counts.without_identity,
		(unsigned long long)counts.passed, (unsigned long long)counts.provisional,
		(unsigned long long)counts.duplicates, (unsigned long long)counts.strays,
		(unsigned long long)counts.held_back);
	for (unsigned status = 200; status < 700; status++) {
		if (counts.status[status] == 0)
			continue;
		printf("%s\"%u\": %llu", separator, status, (unsigned long long)counts.status[status]);
		separator = ", ";
	}
	printf("}, \"latency_us\": {\"mean\": %.1f, \"p50\": %ld, \"p90\": %ld, \"p99\": %ld, \"p999\": %ld, \"max\": "
	       "%lld}, \"sent_late_us_max\": %lld}\n",
		counts.answered > 0 ? (double)latency_sum_ns / 1000 / (double)counts.answered : 0,
		percentile_us(0.50), percentile_us(0.90), percentile_us(0.99), percentile_us(0.999),
		(long long)latency_max_ns / 1000, (long long)pace->late_max_ns / 1000);
}

/* --- Start --- */

static int usage(void)
{
	fputs("usage: sip-load [options] ADDRESS:PORT        (an IPv4 address in 127/8)\n"
	      "  --calls N       stop after so many calls\n"
	      "  --seconds S     stop after so many seconds (60)\n"
	      "  --rate R        start R calls a second, whatever comes back\n"
	      "  --poisson       with --rate: at random moments, as independent callers do\n"
	      "  --window N      without --rate: keep N calls waiting for an answer (64)\n"
	      "  --ack           acknowledge the final answer\n"
	      "  --local A       send from this address (127.0.0.1)\n"
	      "  --from PREFIX   caller's number without its last four digits (+1215555)\n"
	      "  --identities F  an Identity value for each INVITE: one a line, for the calls in their order\n"
	      "  --save F        write the Identity values of the answers to F, in the order of the calls\n"
	      "  --show          print the first answer on standard error\n",
		stderr);
	return 2;
}

static bool parse_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "calls", required_argument, NULL, 'c' },
		{ "seconds", required_argument, NULL, 's' },
		{ "rate", required_argument, NULL, 'r' },
		{ "poisson", no_argument, NULL, 'p' },
		{ "window", required_argument, NULL, 'w' },
		{ "ack", no_argument, NULL, 'a' },
		{ "local", required_argument, NULL, 'l' },
		{ "from", required_argument, NULL, 'f' },
		{ "identities", required_argument, NULL, 'i' },
		{ "save", required_argument, NULL, 'o' },
		{ "show", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	options.calls = UINT32_MAX;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'c':
			options.calls = strtoull(optarg, NULL, 10);
			break;
		case 's':
			options.seconds = strtod(optarg, NULL);
			break;
		case 'r':
			options.rate = strtod(optarg, NULL);
			break;
		case 'p':
			options.poisson = true;
			break;
		case 'w':
			options.window = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'a':
			options.ack = true;
			break;
		case 'l':
			options.local = optarg;
			break;
		case 'f':
			options.from = optarg;
			break;
		case 'i':
			if (identities.count > 0 || !identities_read(optarg)) {
				fprintf(stderr, "sip-load: cannot use %s\n", optarg);
				return false;
			}
			break;
		case 'o':
			options.save = optarg;
			break;
		case 'v':
			options.show = true;
			break;
		default:
			return false;
		}
	}
	return argc - optind == 1 && options.calls > 0 && options.calls <= UINT32_MAX && options.seconds > 0 &&
		options.seconds <= 3600 && options.rate >= 0 && options.rate <= 1000000 && options.window > 0 &&
		options.window <= SLOTS / 2 && strlen(options.from) < 32 &&
		(options.save == NULL || options.calls <= SAVED_MAX);
}

static bool read_address(const char *text, struct sockaddr_in *address)
{
	const char *colon = strrchr(text, ':');
	char host[INET_ADDRSTRLEN];
	size_t length = colon == NULL ? strlen(text) : (size_t)(colon - text);

	*address = (struct sockaddr_in){ .sin_family = AF_INET };
	if (length >= sizeof host)
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	if (colon != NULL)
		address->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	/* A load source must not be pointed at somebody else's server. */
	return inet_pton(AF_INET, host, &address->sin_addr) == 1 && ntohl(address->sin_addr.s_addr) >> 24 == 127;
}

static bool open_socket(const struct sockaddr_in *server, struct sockaddr_in *local)
{
	socklen_t length = sizeof *local;
	int on = 1;
	int size = SOCKET_BUFFER;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)local, sizeof *local) != 0 ||
		connect(fd, (const struct sockaddr *)server, sizeof *server) != 0 ||
		getsockname(fd, (struct sockaddr *)local, &length) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0)
		return false;
	/* The first needs a privilege; the second takes what net.core.rmem_max allows. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	return true;
}

static void read_templates(const char *server, const struct sockaddr_in *local)
{
	char host[INET_ADDRSTRLEN];
	char local_text[INET_ADDRSTRLEN + 8];
	char text[MESSAGE_MAX - IDENTITY_MAX - 32];
	const char *from = options.from;

	inet_ntop(AF_INET, &local->sin_addr, host, sizeof host);
	snprintf(local_text, sizeof local_text, "%s:%u", host, ntohs(local->sin_port));
	snprintf(text, sizeof text, invite_head, server, local_text, from, server, host, from, local_text, from,
		sizeof sdp - 1, sdp);
	template_read(&invite, text);
	snprintf(text, sizeof text, ack_head, server, local_text, from, host);
	template_read(&ack, text);
}

int main(int argc, char **argv)
{
	struct sockaddr_in server, local;
	struct pace pace = { 0, 0 };
	int64_t took;

	if (!parse_options(argc, argv) || !read_address(argv[optind], &server) || server.sin_port == 0 ||
		!read_address(options.local, &local))
		return usage();
	if (!open_socket(&server, &local) || getrandom(&run_id, sizeof run_id, 0) != sizeof run_id) {
		perror("sip-load");
		return 1;
	}
	for (unsigned i = 0; i < SENDS_MAX; i++) {
		queues[i].entries = calloc(SLOTS, sizeof *queues[i].entries);
		if (queues[i].entries == NULL)
			return 1;
	}
	if (options.save != NULL && (saved = calloc(options.calls, sizeof *saved)) == NULL)
		return 1;
	read_templates(argv[optind], &local);
	srand48(run_id);
	/* Sleep as exactly as the kernel can. */
	prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
	took = run(&pace);
	print_json(took, &pace);
	if (saved != NULL && !write_saved()) {
		perror(options.save);
		return 1;
	}
	identities_free();
	for (unsigned i = 0; i < SENDS_MAX; i++)
		free(queues[i].entries);
	close(fd);
	return counts.answered > 0 ? 0 : 1;
}
