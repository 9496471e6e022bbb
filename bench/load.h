/* load.h: what the load sources share: messages that are patched into templates, the Identity values that they bring
 * along, datagrams sent and read many at a time, what is due when, pace, and percentiles. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#define SECOND_NS 1000000000LL
#define MS_NS 1000000LL

int64_t clock_ns(clockid_t clock);

/* --- Addresses --- */

/* False unless it is in 127/8: a load source must not be pointed at somebody else's server. */
bool loopback_read(const char *text, struct sockaddr_in *address);

/* A UDP socket that is bound to local, which gets its port, and hears only the server. Negative: errno. */
int load_socket(struct sockaddr_in *local, const struct sockaddr_in *server);

/* --- Messages --- */

#define MESSAGE_MAX 4096
#define ID_DIGITS 16                /* 8 of the run, 8 of the call */
#define FIELDS_MAX 24

struct template {
	char text[MESSAGE_MAX];
	size_t length;
	struct {
		int field;
		size_t at;
	} fields[FIELDS_MAX];
	size_t field_count;
	size_t identity_at;        /* where the Identity goes, behind all fields; 0: nowhere */
};

/* \1 is the call's id, \2 the last digits of the caller's number, \3 those of the callee's, \4 the place of Identity. */
void template_read(struct template *template, const char *text);
size_t template_length(const struct template *template, uint32_t call);
/* Always the same bytes for the same call, so nothing has to be kept to repeat it. */
void template_write(const struct template *template, char *out, uint32_t run, uint32_t call);

/* The INVITE of both: sent from local, which is host:port, with a number from PREFIX and four digits. */
void invite_read(struct template *invite, const char *server, const char *local, const char *prefix);
extern const char load_sdp[];

/* The ACK of another final answer than 2xx (RFC 3261 section 17.1.1.3), but for its To. */
void ack_read(struct template *ack, const char *server, const char *local, const char *prefix);

/* Identity values: one a line, for the calls in their order, and from the first again. An empty line: a call without. */
bool identities_read(const char *path);
void identities_free(void);

/* The line that begins with name, which itself begins with the end of the line before. */
bool find_line(const char *data, size_t length, const char *name, const char **at, size_t *size);
/* 0: no response. */
unsigned read_status(const char *data, size_t length);
/* The call of this run whose id begins there. */
bool read_id(const char *at, size_t length, uint32_t run, uint32_t *call);

/* --- Datagrams --- */

#define BATCH 16                    /* for each system call */
#define DATAGRAM_MAX 8192

struct outbox {
	int fd;
	char bytes[BATCH][MESSAGE_MAX];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH];
	unsigned count;
};

/* Room for a message of that length, at most MESSAGE_MAX. */
char *outbox_next(struct outbox *outbox, size_t length);
void outbox_flush(struct outbox *outbox);

/* to: the whole To line of the answer, without its end. */
void ack_send(struct outbox *outbox, const struct template *ack, uint32_t run, uint32_t call, const char *to,
	size_t length);

/* Reads up to one batch; wall is when the kernel had the datagram. Returns how many there were. */
typedef void take_datagram(const char *data, size_t length, int64_t wall);
int load_receive(int fd, take_datagram *take);

/* --- Time --- */

/* After each of the sends, the time to wait before the next, as RFC 3261's timers A and E have it; after the last one the
 * call is lost. */
#define SENDS_MAX 4
extern const int64_t patience_ns[SENDS_MAX];

/* Calls that all wait equally long, in their order: so the first is the next. */
#define QUEUE_SIZE (1u << 18)
struct queue {
	struct {
		int64_t due_ns;
		uint32_t call;
	} *entries;
	uint32_t head;
	uint32_t tail;
};

bool queue_open(struct queue *queue);
void queue_put(struct queue *queue, uint32_t call, int64_t due_ns);
bool queue_take(struct queue *queue, int64_t now, uint32_t *call);
int64_t queue_next(const struct queue *queue); /* INT64_MAX: empty */

struct pace {
	double rate;               /* a second */
	bool poisson;              /* at random moments, as independent callers do */
	int64_t due_ns;            /* the next one */
	int64_t late_max_ns;
};

/* Whether one is due; the next one then is due a gap later. */
bool pace_is_due(struct pace *pace, int64_t now);

/* --- Latencies --- */

#define HISTOGRAM_US 1000000        /* one bucket for each microsecond; the last one takes what is longer */

struct latencies {
	uint32_t histogram[HISTOGRAM_US + 1];
	uint64_t count;
	int64_t sum_ns, max_ns;
};

void latencies_add(struct latencies *latencies, int64_t ns);
/* {"mean": ...} */
void latencies_print(const struct latencies *latencies);

#endif
