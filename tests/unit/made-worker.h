/* made-worker.h: a worker whose network, clock and next hops are the test's. Its program is linked with MADE_WORKER_LINK. */
#ifndef STIRRUP_TESTS_MADE_WORKER_H
#define STIRRUP_TESTS_MADE_WORKER_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../src/sip/relay.h"
#include "stirrup/clock.h"

#define SENT_MAX 512
#define SENT_BYTES 65536

/* What went out. */
struct sent {
	char *bytes;
	size_t length;
	struct sockaddr_storage to; /* of a reply: not set */
	enum transport transport;
	struct egress_wait *wait;   /* NULL: nobody learns of a failure */
	void *owner;
	int64_t at_us;
};
struct sent_list {
	struct sent items[SENT_MAX];
	size_t count;
};

static struct worker worker;
static struct sent_list to_hops, to_senders;
static int64_t now_us = INT64_C(1000000000000);
static bool refuses[65536];          /* by port: what cannot be sent to */
static unsigned failed, refused, answered, without_tcp;
static bool is_connected;            /* whatever goes over a connection */
static unsigned open_paths;          /* replies over connections that are held */
static struct {
	unsigned count, status;
	unsigned notes;
	char note[512];          /* the last one */
} recorded;
static struct arrival arrival;

static inline void keep(struct sent_list *list, struct sent sent, struct span message)
{
	assert_true(list->count < SENT_MAX && message.length < SENT_BYTES);
	sent.bytes = malloc(message.length + 1);
	assert_non_null(sent.bytes);
	memcpy(sent.bytes, message.at, message.length);
	sent.bytes[message.length] = '\0';
	sent.length = message.length;
	sent.at_us = now_us;
	list->items[list->count++] = sent;
}

static inline void forget(struct sent_list *list)
{
	while (list->count > 0)
		free(list->items[--list->count].bytes);
}

/* --- What the worker sees of the world --- */

int __wrap_clock_gettime(clockid_t id, struct timespec *time);
int __wrap_clock_gettime(clockid_t id, struct timespec *time)
{
	time->tv_sec = now_us / 1000000;
	time->tv_nsec = now_us % 1000000 * 1000;
	return 0;
}

bool __wrap_egress_send(const struct egress *egress, nta_agent_t *agent, const struct sockaddr_storage *to,
	struct span message, struct egress_wait *wait, void *owner);
bool __wrap_egress_send(const struct egress *egress, nta_agent_t *agent, const struct sockaddr_storage *to,
	struct span message, struct egress_wait *wait, void *owner)
{
	struct sent sent = { .to = *to, .transport = egress->transport, .wait = wait, .owner = owner };

	if (refuses[net_port(to)])
		return false;
	keep(&to_hops, sent, message);
	return true;
}

void __wrap_reply_path_send(const struct reply_path *path, struct span message);
void __wrap_reply_path_send(const struct reply_path *path, struct span message)
{
	struct sent sent = { .to = path->to };

	keep(&to_senders, sent, message);
}

void __wrap_reply_path_close(struct reply_path *path);
void __wrap_reply_path_close(struct reply_path *path)
{
	if (path->connection != NULL)
		open_paths--;
	path->connection = NULL;
}

int __wrap_sockets_slot(const struct listener *listener);
int __wrap_sockets_slot(const struct listener *listener)
{
	return (int)net_port(&listener->address);
}

const struct arrival *__wrap_sockets_arrival(void);
const struct arrival *__wrap_sockets_arrival(void)
{
	return &arrival;
}

nta_agent_magic_t *__wrap_nta_agent_magic(nta_agent_t const *agent);
nta_agent_magic_t *__wrap_nta_agent_magic(nta_agent_t const *agent)
{
	return (nta_agent_magic_t *)&worker;
}

void __wrap_hops_failed(struct hops *hops, const struct sockaddr_storage *address, enum transport transport);
void __wrap_hops_failed(struct hops *hops, const struct sockaddr_storage *address, enum transport transport)
{
	failed++;
}

void __wrap_hops_refused(struct hops *hops, const struct sockaddr_storage *address, enum transport transport);
void __wrap_hops_refused(struct hops *hops, const struct sockaddr_storage *address, enum transport transport)
{
	refused++;
}

void __wrap_hops_answered(struct hops *hops, const struct sockaddr_storage *address, enum transport transport);
void __wrap_hops_answered(struct hops *hops, const struct sockaddr_storage *address, enum transport transport)
{
	answered++;
}

void __wrap_hops_takes_no_tcp(struct hops *hops, const struct sockaddr_storage *address);
void __wrap_hops_takes_no_tcp(struct hops *hops, const struct sockaddr_storage *address)
{
	without_tcp++;
}

bool __wrap_egress_is_connected(const struct egress_wait *wait);
bool __wrap_egress_is_connected(const struct egress_wait *wait)
{
	return is_connected;
}

/* In their order, by their literal addresses. */
size_t __wrap_hops_choose(const struct hops *hops, const struct next_hop *list, size_t count, uint64_t hash,
	struct hop chosen[HOPS_CHOSEN_MAX]);
size_t __wrap_hops_choose(const struct hops *hops, const struct next_hop *list, size_t count, uint64_t hash,
	struct hop chosen[HOPS_CHOSEN_MAX])
{
	for (size_t i = 0; i < count; i++) {
		chosen[i] = (struct hop){ .transport = list[i].transport, .transport_given = list[i].transport_given };
		chosen[i].address = list[i].address;
		net_text(chosen[i].text, (const struct sockaddr *)&list[i].address);
	}
	return count;
}

void __wrap_call_record_final(struct worker *of, uint64_t id, unsigned status, const char *by, struct span why);
void __wrap_call_record_final(struct worker *of, uint64_t id, unsigned status, const char *by, struct span why)
{
	recorded.count++;
	recorded.status = status;
}

void __wrap_call_record_note(struct worker *of, uint64_t id, struct span text);
void __wrap_call_record_note(struct worker *of, uint64_t id, struct span text)
{
	recorded.notes++;
	assert_true(span_copy(recorded.note, sizeof recorded.note, text));
}

/* --- Its configuration --- */

static inline void on_finding(enum config_severity severity, const char *line, void *context)
{
	if (severity == CONFIG_ERROR)
		fail_msg("%s", line);
}

/* The generation has one user, the test. */
static inline struct generation *made_generation(const char *text)
{
	char path[] = "/tmp/stirrup-test-worker-XXXXXX", why[256];
	struct config_report *report = config_report_new();
	struct config_source *source;
	struct config *config;
	int fd = mkstemp(path);

	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	source = config_source_read(path, why, sizeof why);
	unlink(path);
	assert_non_null(source);
	config = config_parse(source, report);
	config_report_each(report, on_finding, NULL);
	config_report_free(report);
	config_source_free(source);
	assert_non_null(config);
	return generation_new(1, config);
}

#endif
