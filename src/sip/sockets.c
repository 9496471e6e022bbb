#include "stirrup/sockets.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sofia-sip/su.h>
#include <sofia-sip/su_addrinfo.h>

#include "stirrup/log.h"
#include "stirrup/net.h"
#include "stirrup/raw_answer.h"
#include "stirrup/span.h"
#include "stirrup/steering.h"

#define DESCRIPTORS_MAX 4096
#define DATAGRAM_MAX 65536

struct slot {
	enum transport transport;
	struct sockaddr_storage address;
	int fd;
	int listener;
};

/* What goes before a datagram that another worker received for us. By its address: slots are numbered as listeners come, and
 * a worker that was begun after a reload counts otherwise. */
struct handover {
	struct sockaddr_storage source, listener;
	socklen_t source_length;
	enum transport transport;
	bool told;
};

/* What recvmmsg() fills. */
struct batch {
	struct mmsghdr messages[SOCKETS_DATAGRAMS_MAX];
	struct iovec parts[SOCKETS_DATAGRAMS_MAX][2];
	struct sockaddr_storage sources[SOCKETS_DATAGRAMS_MAX];
	struct handover heads[SOCKETS_DATAGRAMS_MAX];
	char datagrams[SOCKETS_DATAGRAMS_MAX][DATAGRAM_MAX];
};

static struct {
	unsigned worker, workers;
	sockets_listed *listed;
	struct slot slots[SOCKETS_MAX];
	int slot_count;
	int handover_write[SOCKETS_WORKERS_MAX];
	bool bind_hook_ran;
	bool is_datagram[DESCRIPTORS_MAX]; /* by Sofia's descriptor */
	struct arrival arrival;
	struct batch batch;
	struct log_limiter strangers, oversized, unsteered;
} sockets;

int tport_bind_socket(int s, su_addrinfo_t *ai, char const **culprit);

void sockets_init(unsigned worker, unsigned workers, sockets_listed *listed)
{
	sockets.worker = worker;
	sockets.workers = workers;
	sockets.listed = listed;
	for (unsigned i = 0; i < SOCKETS_WORKERS_MAX; i++)
		sockets.handover_write[i] = -1;
}

int sockets_add(const struct listener *listener, int fd)
{
	struct slot *slot = &sockets.slots[sockets.slot_count];

	if (sockets.slot_count == SOCKETS_MAX)
		return -1;
	slot->transport = listener->transport;
	slot->address = listener->address;
	slot->fd = fd;
	slot->listener = -1;
	return sockets.slot_count++;
}

static int slot_at(enum transport transport, const struct sockaddr_storage *address)
{
	for (int i = 0; i < sockets.slot_count; i++)
		if (sockets.slots[i].transport == transport && net_same_endpoint(&sockets.slots[i].address, address))
			return i;
	return -1;
}

int sockets_slot(const struct listener *listener)
{
	return slot_at(listener->transport, &listener->address);
}

void sockets_map(const struct config *config)
{
	for (int i = 0; i < sockets.slot_count; i++)
		sockets.slots[i].listener = -1;
	for (size_t i = 0; i < config->listener_count; i++) {
		int slot = sockets_slot(&config->listeners[i]);

		if (slot >= 0)
			sockets.slots[slot].listener = (int)i;
	}
}

const struct sockaddr_storage *sockets_address(int slot)
{
	return &sockets.slots[slot].address;
}

void sockets_set_handover_write(unsigned worker, int fd)
{
	if (worker < SOCKETS_WORKERS_MAX)
		sockets.handover_write[worker] = fd;
}

const struct arrival *sockets_arrival(void)
{
	return &sockets.arrival;
}

bool sockets_send(int slot, const void *data, size_t length, const struct sockaddr *to, socklen_t to_length)
{
	int fd = sockets.slots[slot].fd;

	if (sendto(fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL, to, to_length) == (ssize_t)length)
		return true;
	/* Sofia sets IP_RECVERR: what an ICMP message says of an earlier datagram is reported to this one. */
	if (errno != ECONNREFUSED && errno != EHOSTUNREACH && errno != ENETUNREACH)
		return false;
	return sendto(fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL, to, to_length) == (ssize_t)length;
}

bool sockets_self_test(void)
{
	if (dlsym(RTLD_DEFAULT, "su_getmsgsize") != (void *)(uintptr_t)su_getmsgsize || !sockets.bind_hook_ran) {
		log_error("Sofia-SIP does not use our socket functions: wrong library or wrong link");
		return false;
	}
	return true;
}

/* --- Between workers --- */

unsigned sockets_owner(struct span call_id)
{
	return steering_by_call_id(call_id, sockets.workers);
}

static bool is_other(unsigned worker)
{
	return worker != sockets.worker && sockets.handover_write[worker] >= 0;
}

static void hand_over(unsigned worker, struct span message_bytes, bool told)
{
	const struct slot *slot = &sockets.slots[sockets.arrival.slot];
	struct handover head = {
		.source = sockets.arrival.source,
		.source_length = sockets.arrival.source_length,
		.listener = slot->address,
		.transport = slot->transport,
		.told = told,
	};
	struct iovec parts[2] = { { &head, sizeof head }, { (void *)(uintptr_t)message_bytes.at, message_bytes.length } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	unsigned long suppressed;

	if (sendmsg(sockets.handover_write[worker], &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
		log_allowed(&sockets.unsteered, &suppressed))
		log_warning("worker %u does not keep up: its datagram is dropped (%lu more before)", worker, suppressed);
}

bool sockets_hand_over_response(struct span message)
{
	unsigned owner;

	if (!steering_by_branch(message, sockets.workers, &owner) || !is_other(owner))
		return false;
	hand_over(owner, message, false);
	return true;
}

bool sockets_tell_others(struct span message)
{
	bool told = false;

	for (unsigned worker = 0; worker < sockets.workers; worker++)
		if (is_other(worker)) {
			hand_over(worker, message, true);
			told = true;
		}
	return told;
}

/* --- Reading a datagram before Sofia sees it --- */

static void log_stranger(int slot)
{
	char text[NET_TEXT_SIZE];
	unsigned long suppressed;

	if (!log_allowed(&sockets.strangers, &suppressed))
		return;
	net_text(text, (const struct sockaddr *)&sockets.arrival.source);
	log_notice("%s is no peer on %s: dropped without answer (%lu more before)", text,
		slot >= 0 && sockets.slots[slot].listener >= 0 ? "this listener" : "any listener", suppressed);
}

static bool listed(int slot, const struct sockaddr_storage *source)
{
	int listener = sockets.slots[slot].listener;

	return listener >= 0 && sockets.listed((const struct sockaddr *)source, listener);
}

/* What is too short for any SIP message, or begins like STUN, RTP, DTLS or a keep-alive, has no answer. */
static bool looks_like_sip(struct span datagram)
{
	return datagram.length >= 20 && datagram.at[0] >= 'A' && datagram.at[0] <= 'z';
}

/* RFC 3261 section 21.5.7. To where it came from; its Vias are not read. */
static void refuse_oversized(int slot, struct span datagram)
{
	static char answer[DATAGRAM_MAX / 16];
	unsigned long suppressed;
	size_t size = raw_answer(answer, sizeof answer, datagram, "SIP/2.0 513 Message Too Large");

	if (size > 0)
		sockets_send(slot, answer, size, (const struct sockaddr *)&sockets.arrival.source,
			sockets.arrival.source_length);
	if (log_allowed(&sockets.oversized, &suppressed))
		log_warning("a message of more than %d header lines is refused (%lu more before)", HEADER_LINES_MAX,
			suppressed);
}

/* True when the datagram at hand is this worker's to parse. */
static bool accept_datagram(int index, struct span datagram)
{
	struct steering steering;

	if (!looks_like_sip(datagram))
		return false;
	if (!listed(index, &sockets.arrival.source)) {
		log_stranger(index);
		return false;
	}
	steering_read(&steering, datagram, sockets.workers);
	if (steering.lines > HEADER_LINES_MAX) {
		refuse_oversized(index, datagram);
		return false;
	}
	if (steering.anyone || !is_other(steering.owner))
		return true;
	hand_over(steering.owner, datagram, false);
	return false;
}

static void set_arrival(int slot, bool stream, bool told)
{
	sockets.arrival.slot = slot;
	sockets.arrival.listener = slot < 0 ? -1 : sockets.slots[slot].listener;
	sockets.arrival.stream = stream;
	sockets.arrival.told = told;
}

int sockets_fd(int slot)
{
	return sockets.slots[slot].transport == TRANSPORT_UDP ? sockets.slots[slot].fd : -1;
}

static void prepare(struct batch *batch, bool handed_over)
{
	for (int i = 0; i < SOCKETS_DATAGRAMS_MAX; i++) {
		struct msghdr *header = &batch->messages[i].msg_hdr;

		batch->parts[i][0] = (struct iovec){ &batch->heads[i], sizeof batch->heads[i] };
		batch->parts[i][1] = (struct iovec){ batch->datagrams[i], sizeof batch->datagrams[i] };
		*header = (struct msghdr){ 0 };
		header->msg_iov = handed_over ? &batch->parts[i][0] : &batch->parts[i][1];
		header->msg_iovlen = handed_over ? 2 : 1;
		header->msg_name = handed_over ? NULL : &batch->sources[i];
		header->msg_namelen = handed_over ? 0 : sizeof batch->sources[i];
	}
}

void sockets_read(int slot, sockets_deliver *deliver, void *context)
{
	struct batch *batch = &sockets.batch;
	int count;

	prepare(batch, false);
	count = recvmmsg(sockets.slots[slot].fd, batch->messages, SOCKETS_DATAGRAMS_MAX, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++) {
		struct span datagram = { batch->datagrams[i], batch->messages[i].msg_len };

		sockets.arrival.source = batch->sources[i];
		sockets.arrival.source_length = batch->messages[i].msg_hdr.msg_namelen;
		set_arrival(slot, false, false);
		if (accept_datagram(slot, datagram))
			deliver(datagram, context);
	}
}

/* Its sender has filtered it. */
void sockets_read_handed_over(int channel, sockets_deliver *deliver, void *context)
{
	struct batch *batch = &sockets.batch;
	int count;

	prepare(batch, true);
	count = recvmmsg(channel, batch->messages, SOCKETS_DATAGRAMS_MAX, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++) {
		const struct handover *head = &batch->heads[i];
		int slot = batch->messages[i].msg_len <= sizeof *head ? -1 : slot_at(head->transport, &head->listener);

		if (slot < 0)
			continue;
		sockets.arrival.source = head->source;
		sockets.arrival.source_length = head->source_length;
		set_arrival(slot, false, head->told);
		deliver((struct span){ batch->datagrams[i], batch->messages[i].msg_len - sizeof *head }, context);
	}
}

/* --- Connections --- */

/* The slot of the listener that accepted this connection. */
static int slot_of_connection(int s)
{
	struct sockaddr_storage local = { 0 };
	socklen_t length = sizeof local;

	if (getsockname(s, (struct sockaddr *)&local, &length) != 0)
		return -1;
	for (int i = 0; i < sockets.slot_count; i++)
		if (sockets.slots[i].transport != TRANSPORT_UDP && net_same_endpoint(&sockets.slots[i].address, &local))
			return i;
	/* One that we made ourselves has a port of its own, and the address that the kernel's routes gave it. */
	for (int i = 0; i < sockets.slot_count; i++)
		if (sockets.slots[i].transport != TRANSPORT_UDP && net_same_host(&sockets.slots[i].address, &local))
			return i;
	for (int i = 0; i < sockets.slot_count; i++)
		if (sockets.slots[i].transport != TRANSPORT_UDP && sockets.slots[i].address.ss_family == local.ss_family)
			return i;
	return -1;
}

static bool is_start_line(struct span line)
{
	static const char version[] = "SIP/2.0";
	size_t length = sizeof version - 1;

	line = span_trim(line);
	return line.length > length &&
		(memcmp(line.at, version, length) == 0 || memcmp(line.at + line.length - length, version, length) == 0);
}

#define LINE_ENDS_MAX 8 /* that Sofia is shown at a time */

static size_t count_line_ends(struct span data)
{
	size_t count = 0;

	while (count < data.length && count < LINE_ENDS_MAX && (data.at[count] == '\r' || data.at[count] == '\n'))
		count++;
	return count;
}

/* Line ends may stand before a message (RFC 3261 section 7.5), and keep-alives are nothing else (RFC 5626 section 3.5.1).
 * Sofia handles a few of them well that come alone, but with MSG_FLG_EXTRACT_COPY garbles the start line that comes
 * behind them in the same read. So a read ends before what may be a start line: it could end anywhere, as far as Sofia knows.
 * What comes is read on from there. */
static size_t length_to_start_line(struct span data)
{
	size_t at = count_line_ends(data), size;
	bool behind_empty = false;

	if (at > 0)
		return at;
	for (; at < data.length; at += size) {
		const char *line = data.at + at;
		const char *end = memchr(line, '\n', data.length - at);
		bool is_empty = line[0] == '\n' || (line[0] == '\r' && (end == NULL || end == line + 1));

		size = end == NULL ? data.length - at : (size_t)(end - line) + 1;
		if (at > 0 && !is_empty && ((end == NULL && behind_empty) || is_start_line((struct span){ line, size })))
			break;
		behind_empty = is_empty;
	}
	return at;
}

/* A stranger's connection ends before a byte of it is read: 0 means end of file to Sofia. */
static issize_t next_of_stream(int s)
{
	static char peeked[DATAGRAM_MAX];
	socklen_t length = sizeof sockets.arrival.source;
	int slot = slot_of_connection(s);
	ssize_t available;

	if (getpeername(s, (struct sockaddr *)&sockets.arrival.source, &length) != 0)
		return 0;
	sockets.arrival.source_length = length;
	set_arrival(slot, true, false);
	if (slot < 0 || !listed(slot, &sockets.arrival.source)) {
		log_stranger(slot);
		return 0;
	}
	available = recv(s, peeked, sizeof peeked, MSG_PEEK | MSG_DONTWAIT);
	return available <= 0 ? 0 : (issize_t)length_to_start_line((struct span){ peeked, (size_t)available });
}

/* --- The functions that Sofia-SIP calls in place of its own --- */

static bool is_datagram(int s)
{
	return s >= 0 && s < DESCRIPTORS_MAX && sockets.is_datagram[s];
}

static int inherited_for(const su_addrinfo_t *ai)
{
	struct sockaddr_storage wanted = { 0 };

	memcpy(&wanted, ai->ai_addr, ai->ai_addrlen < sizeof wanted ? ai->ai_addrlen : sizeof wanted);
	for (int i = 0; i < sockets.slot_count; i++)
		if ((sockets.slots[i].transport == TRANSPORT_UDP) == (ai->ai_socktype == SOCK_DGRAM) &&
			net_same_endpoint(&sockets.slots[i].address, &wanted))
			return sockets.slots[i].fd;
	return -1;
}

int tport_bind_socket(int s, su_addrinfo_t *ai, char const **culprit)
{
	int fd = inherited_for(ai);

	sockets.bind_hook_ran = true;
	if (fd < 0 || s >= DESCRIPTORS_MAX || dup3(fd, s, O_CLOEXEC) < 0) {
		*culprit = "no inherited socket";
		return -1;
	}
	sockets.is_datagram[s] = ai->ai_socktype == SOCK_DGRAM;
	return 0;
}

issize_t su_getmsgsize(su_socket_t s)
{
	if (!is_datagram(s))
		return next_of_stream(s);
	/* Not Sofia's to read. */
	errno = EAGAIN;
	return -1;
}

int su_soerror(su_socket_t s)
{
	int error = 0;
	socklen_t length = sizeof error;

	if (is_datagram(s))
		return 0;
	getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &length);
	return error;
}

/* Numeric only: a host name in a Via must not make a worker wait for DNS. */
int su_getaddrinfo(char const *node, char const *service, su_addrinfo_t const *hints, su_addrinfo_t **res)
{
	struct addrinfo numeric = hints != NULL ? *hints : (struct addrinfo){ 0 };

	numeric.ai_flags |= AI_NUMERICHOST | AI_NUMERICSERV;
	return getaddrinfo(node, service, &numeric, res);
}
