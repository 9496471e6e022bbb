#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IDENTITY_MAX 2048
#define SOCKET_BUFFER (16 << 20)

int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* --- Addresses --- */

bool loopback_read(const char *text, struct sockaddr_in *address)
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
	return inet_pton(AF_INET, host, &address->sin_addr) == 1 && ntohl(address->sin_addr.s_addr) >> 24 == 127;
}

int load_socket(struct sockaddr_in *local, const struct sockaddr_in *server)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof *local;
	int on = 1;
	int size = SOCKET_BUFFER;

	if (fd < 0)
		return -1;
	if (bind(fd, (const struct sockaddr *)local, sizeof *local) != 0 ||
		connect(fd, (const struct sockaddr *)server, sizeof *server) != 0 ||
		getsockname(fd, (struct sockaddr *)local, &length) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0) {
		close(fd);
		return -1;
	}
	/* The first needs a privilege; the second takes what net.core.rmem_max allows. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	return fd;
}

/* --- Messages: a template and what differs from call to call --- */

enum field { FIELD_ID = 1, FIELD_ORIG, FIELD_DEST };
#define IDENTITY_PLACE '\4'

#define ORIG_DIGITS 4
#define DEST_DIGITS 7

static const size_t field_width[] = { [FIELD_ID] = ID_DIGITS, [FIELD_ORIG] = ORIG_DIGITS, [FIELD_DEST] = DEST_DIGITS };

const char load_sdp[] = "v=0\r\n"
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

void template_read(struct template *template, const char *text)
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
		template->fields[template->field_count].field = (int)field;
		template->fields[template->field_count++].at = template->length;
		template->length += field_width[field];
	}
}

void invite_read(struct template *invite, const char *server, const char *local, const char *prefix)
{
	static const char text[] = "INVITE sip:+1303\3@%s;user=phone SIP/2.0\r\n"
				   "Via: SIP/2.0/UDP %s;rport;branch=z9hG4bK\1\r\n"
				   "Max-Forwards: 69\r\n"
				   "From: \"Example Caller\" <sip:%s\2@carrier.example.net;user=phone>;tag=\1\r\n"
				   "To: <sip:+1303\3@%s;user=phone>\r\n"
				   "Call-ID: \1@%.*s\r\n"
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
	char filled[MESSAGE_MAX - IDENTITY_MAX - 32];
	int host = (int)strcspn(local, ":");

	snprintf(filled, sizeof filled, text, server, local, prefix, server, host, local, prefix, local, prefix,
		strlen(load_sdp), load_sdp);
	template_read(invite, filled);
}

void ack_read(struct template *ack, const char *server, const char *local, const char *prefix)
{
	static const char text[] = "ACK sip:+1303\3@%s;user=phone SIP/2.0\r\n"
				   "Via: SIP/2.0/UDP %s;rport;branch=z9hG4bK\1\r\n"
				   "Max-Forwards: 69\r\n"
				   "From: \"Example Caller\" <sip:%s\2@carrier.example.net;user=phone>;tag=\1\r\n"
				   "Call-ID: \1@%.*s\r\n"
				   "CSeq: 1 ACK\r\n"
				   "Content-Length: 0\r\n";
	char filled[MESSAGE_MAX / 2];

	snprintf(filled, sizeof filled, text, server, local, prefix, (int)strcspn(local, ":"), local);
	template_read(ack, filled);
}

static void put_digits(char *at, size_t width, uint64_t value, unsigned base)
{
	while (width-- > 0) {
		at[width] = "0123456789abcdef"[value % base];
		value /= base;
	}
}

static struct {
	char **lines;              /* each without the end of its line */
	size_t count;
} identities;

bool identities_read(const char *path)
{
	FILE *file = identities.count > 0 ? NULL : fopen(path, "r");
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

void identities_free(void)
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

size_t template_length(const struct template *template, uint32_t call)
{
	size_t identity = template->identity_at != 0 ? strlen(identity_of(call)) : 0;

	return template->length + (identity > 0 ? identity + sizeof "Identity: \r\n" - 1 : 0);
}

void template_write(const struct template *template, char *out, uint32_t run, uint32_t call)
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

		switch ((enum field)template->fields[i].field) {
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

bool find_line(const char *data, size_t length, const char *name, const char **at, size_t *size)
{
	const char *line = memmem(data, length, name, strlen(name));
	const char *end;

	if (line == NULL)
		return false;
	line += 2;
	end = memchr(line, '\r', length - (size_t)(line - data));
	if (end == NULL)
		return false;
	*at = line;
	*size = (size_t)(end - line);
	return true;
}

unsigned read_status(const char *data, size_t length)
{
	unsigned status = 0;

	if (length < 12 || memcmp(data, "SIP/2.0 ", 8) != 0)
		return 0;
	for (int i = 8; i < 11; i++)
		status = status * 10 + (unsigned)(unsigned char)data[i] - '0';
	return status >= 100 && status < 700 ? status : 0;
}

bool read_id(const char *at, size_t length, uint32_t run, uint32_t *call)
{
	char digits[ID_DIGITS + 1];
	char *end;
	uint64_t id;

	if (length < ID_DIGITS)
		return false;
	memcpy(digits, at, ID_DIGITS);
	digits[ID_DIGITS] = '\0';
	id = strtoull(digits, &end, 16);
	*call = (uint32_t)id;
	return *end == '\0' && id >> 32 == run;
}

/* --- Datagrams --- */

/* What the kernel does not take is as good as lost on the way: its repeat is due like any other. */
void outbox_flush(struct outbox *outbox)
{
	unsigned done = 0;

	while (done < outbox->count) {
		int sent = sendmmsg(outbox->fd, outbox->messages + done, outbox->count - done, 0);

		if (sent < 0 && errno == EINTR)
			continue;
		done += sent > 0 ? (unsigned)sent : 1;
	}
	outbox->count = 0;
}

char *outbox_next(struct outbox *outbox, size_t length)
{
	unsigned i = outbox->count;

	if (i == BATCH) {
		outbox_flush(outbox);
		i = 0;
	}
	outbox->parts[i] = (struct iovec){ outbox->bytes[i], length };
	outbox->messages[i].msg_hdr = (struct msghdr){ .msg_iov = &outbox->parts[i], .msg_iovlen = 1 };
	outbox->count = i + 1;
	return outbox->bytes[i];
}

void ack_send(struct outbox *outbox, const struct template *ack, uint32_t run, uint32_t call, const char *to,
	size_t length)
{
	char *out;

	if (ack->length + length + 4 > MESSAGE_MAX)
		return;
	out = outbox_next(outbox, ack->length + length + 4);
	template_write(ack, out, run, call);
	memcpy(out + ack->length, to, length);
	memcpy(out + ack->length + length, "\r\n\r\n", 4);
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

int load_receive(int fd, take_datagram *take)
{
	static char bytes[BATCH][DATAGRAM_MAX];
	static char control[BATCH][64];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH];
	int count;

	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ bytes[i], DATAGRAM_MAX };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i],
			.msg_iovlen = 1,
			.msg_control = control[i],
			.msg_controllen = sizeof control[i] };
	}
	count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		take(bytes[i], messages[i].msg_len, stamp_of(&messages[i].msg_hdr));
	return count;
}

/* --- Time --- */

const int64_t patience_ns[SENDS_MAX] = { 500 * MS_NS, 1000 * MS_NS, 2000 * MS_NS, 4000 * MS_NS };

bool queue_open(struct queue *queue)
{
	queue->entries = calloc(QUEUE_SIZE, sizeof *queue->entries);
	return queue->entries != NULL;
}

void queue_put(struct queue *queue, uint32_t call, int64_t due_ns)
{
	queue->entries[queue->tail % QUEUE_SIZE].due_ns = due_ns;
	queue->entries[queue->tail++ % QUEUE_SIZE].call = call;
}

bool queue_take(struct queue *queue, int64_t now, uint32_t *call)
{
	if (queue->head == queue->tail || queue->entries[queue->head % QUEUE_SIZE].due_ns > now)
		return false;
	*call = queue->entries[queue->head++ % QUEUE_SIZE].call;
	return true;
}

int64_t queue_next(const struct queue *queue)
{
	return queue->head == queue->tail ? INT64_MAX : queue->entries[queue->head % QUEUE_SIZE].due_ns;
}

bool pace_is_due(struct pace *pace, int64_t now)
{
	double gap = (double)SECOND_NS / pace->rate;

	if (pace->due_ns > now)
		return false;
	if (now - pace->due_ns > pace->late_max_ns)
		pace->late_max_ns = now - pace->due_ns;
	/* Calls of many independent callers: exponential gaps. */
	if (pace->poisson)
		gap *= -log(1.0 - drand48());
	pace->due_ns += (int64_t)gap;
	return true;
}

/* --- Latencies --- */

void latencies_add(struct latencies *latencies, int64_t ns)
{
	int64_t us;

	if (ns < 0)
		ns = 0;
	us = ns / 1000;
	latencies->histogram[us < HISTOGRAM_US ? us : HISTOGRAM_US]++;
	latencies->count++;
	latencies->sum_ns += ns;
	if (ns > latencies->max_ns)
		latencies->max_ns = ns;
}

static long percentile_us(const struct latencies *latencies, double share)
{
	uint64_t want = (uint64_t)ceil((double)latencies->count * share);
	uint64_t seen = 0;

	for (long us = 0; us <= HISTOGRAM_US; us++) {
		seen += latencies->histogram[us];
		if (seen >= want && seen > 0)
			return us;
	}
	return 0;
}

void latencies_print(const struct latencies *latencies)
{
	printf("{\"mean\": %.1f, \"p50\": %ld, \"p90\": %ld, \"p99\": %ld, \"p999\": %ld, \"max\": %lld}",
		latencies->count > 0 ? (double)latencies->sum_ns / 1000 / (double)latencies->count : 0,
		percentile_us(latencies, 0.50), percentile_us(latencies, 0.90), percentile_us(latencies, 0.99),
		percentile_us(latencies, 0.999), (long long)latencies->max_ns / 1000);
}
