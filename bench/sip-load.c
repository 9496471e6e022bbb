/* sip-load: the caller of the benchmarks. Sends INVITEs to a SIP server on loopback, waits for their final answers, and
 * prints what happened as one JSON object.
 *
 * One process and one UDP socket, because on a small machine what the load source burns the server lacks: messages are
 * patched into a template, sent and read many at a time, and latencies run between the clock read before the send and the
 * kernel's receive timestamp, so that they do not contain this program's own waiting. It ends by itself: after so many
 * calls or seconds, and then the time it takes to give up the unanswered ones. */
#include <arpa/inet.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "load.h"

#define SLOTS QUEUE_SIZE            /* calls in flight; a power of two */
#define SAVED_MAX 1000000           /* calls with --save */

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
static struct outbox outbox;
static struct slot slots[SLOTS];
static struct queue queues[SENDS_MAX]; /* of the calls that were sent for the n-th time */
static struct counts counts;
static uint32_t in_flight;
static struct latencies latencies;
static char **saved;               /* an Identity value for each call, with options.save */

/* --- Sending --- */

static void wait_more(struct slot *slot, int64_t now)
{
	queue_put(&queues[slot->sends], slot->call, now + patience_ns[slot->sends]);
	slot->sends++;
}

static void send_invite(struct slot *slot, int64_t now)
{
	template_write(&invite, outbox_next(&outbox, template_length(&invite, slot->call)), run_id, slot->call);
	wait_more(slot, now);
}

static bool has_room(void)
{
	bool room = slots[counts.sent % SLOTS].sent_wall_ns == 0;

	if (!room)
		counts.held_back++;
	return room;
}

static void start_call(int64_t now, int64_t wall)
{
	struct slot *slot = &slots[counts.sent % SLOTS];

	*slot = (struct slot){ .sent_wall_ns = wall, .call = (uint32_t)counts.sent };
	counts.sent++;
	in_flight++;
	send_invite(slot, now);
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

static void be_due(struct slot *slot, int64_t now)
{
	if (slot->sends == SENDS_MAX) {
		counts.lost++;
		end_call(slot);
	} else if (slot->quiet) {
		wait_more(slot, now);
	} else {
		counts.retransmitted++;
		send_invite(slot, now);
	}
}

/* Repeats or gives up what has waited long enough. Returns when the next one will have. */
static int64_t expire(int64_t now)
{
	int64_t next = INT64_MAX;
	uint32_t call;

	for (unsigned i = 0; i < SENDS_MAX; i++) {
		while (queue_take(&queues[i], now, &call)) {
			struct slot *slot = slot_of(call);

			if (slot != NULL)
				be_due(slot, now);
		}
		if (queue_next(&queues[i]) < next)
			next = queue_next(&queues[i]);
	}
	outbox_flush(&outbox);
	return next;
}

/* --- Receiving --- */

static bool read_call(const char *data, size_t length, uint32_t *call)
{
	static const char name[] = "branch=z9hG4bK";
	const char *at = memmem(data, length, name, sizeof name - 1);

	return at != NULL && read_id(at + sizeof name - 1, length - (size_t)(at + sizeof name - 1 - data), run_id, call);
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
	if (options.ack && find_line(data, length, "\r\nTo:", &line, &size))
		ack_send(&outbox, &ack, run_id, call, line, size);
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
	latencies_add(&latencies, wall - slot->sent_wall_ns);
	end_call(slot);
}

/* --- The run --- */

/* Starts the calls that are due. Returns when the next one is. */
static int64_t start_due(struct pace *pace, int64_t now)
{
	int64_t wall = clock_ns(CLOCK_REALTIME);

	if (options.rate == 0) {
		while (in_flight < options.window && counts.sent < options.calls && outbox.count < BATCH && has_room())
			start_call(now, wall);
		outbox_flush(&outbox);
		return INT64_MAX;
	}
	for (int i = 0; i < BATCH && counts.sent < options.calls && has_room() && pace_is_due(pace, now); i++)
		start_call(now, wall);
	outbox_flush(&outbox);
	return pace->due_ns;
}

static void wait_for_input(int64_t until)
{
	int64_t left = until - clock_ns(CLOCK_MONOTONIC);
	struct pollfd poll_fd = { .fd = outbox.fd, .events = POLLIN };
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
		if (load_receive(outbox.fd, take_answer) > 0)
			last_answer = clock_ns(CLOCK_MONOTONIC);
		else
			wait_for_input(next < next_repeat ? next : next_repeat);
		outbox_flush(&outbox);
		now = clock_ns(CLOCK_MONOTONIC);
	}
	return last_answer - start;
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
	printf("}, \"latency_us\": ");
	latencies_print(&latencies);
	printf(", \"sent_late_us_max\": %lld}\n", (long long)pace->late_max_ns / 1000);
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
			if (!identities_read(optarg)) {
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

static void read_templates(const char *server, const struct sockaddr_in *local)
{
	char host[INET_ADDRSTRLEN], text[INET_ADDRSTRLEN + 8];

	inet_ntop(AF_INET, &local->sin_addr, host, sizeof host);
	snprintf(text, sizeof text, "%s:%u", host, ntohs(local->sin_port));
	invite_read(&invite, server, text, options.from);
	ack_read(&ack, server, text, options.from);
}

int main(int argc, char **argv)
{
	struct sockaddr_in server, local;
	struct pace pace = { 0 };
	int64_t took;

	if (!parse_options(argc, argv) || !loopback_read(argv[optind], &server) || server.sin_port == 0 ||
		!loopback_read(options.local, &local))
		return usage();
	outbox.fd = load_socket(&local, &server);
	if (outbox.fd < 0 || getrandom(&run_id, sizeof run_id, 0) != sizeof run_id) {
		perror("sip-load");
		return 1;
	}
	for (unsigned i = 0; i < SENDS_MAX; i++)
		if (!queue_open(&queues[i]))
			return 1;
	if (options.save != NULL && (saved = calloc(options.calls, sizeof *saved)) == NULL)
		return 1;
	read_templates(argv[optind], &local);
	srand48(run_id);
	pace.rate = options.rate;
	pace.poisson = options.poisson;
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
	close(outbox.fd);
	return counts.answered > 0 ? 0 : 1;
}
