#include "stirrup/fetcher.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "fetches.h"
#include "knowledge.h"
#include "lru.h"
#include "outbox.h"
#include "stirrup/channel.h"
#include "stirrup/child_control.h"
#include "stirrup/clock.h"
#include "stirrup/config.h"
#include "stirrup/expiry.h"
#include "stirrup/http_fetch.h"
#include "stirrup/log.h"
#include "stirrup/x5u_url.h"

#define CHANNELS_MAX 1024
#define CONTROL UINT32_MAX /* in epoll's data; else the index of a worker */
#define EVENTS_MAX 64
#define REQUESTS_PER_TURN 32 /* of one worker, before the next has its turn */
#define LOOK_EVERY_US 3000000
#define FAILURES_MAX 5
#define LEFT_ALONE_MS 30000
#define FETCHED_MAX 4096
#define RENEW_EVERY_US 60000000
#define REFRESH_TRY_S 60 /* while a refresh is under way, or has found no place */
#define REFRESH_AFTER_FAILURE_S 300
#define PUSH_US 5000000 /* for how long a refreshed certificate may wait for a worker that reads nothing */

struct worker_end {
	int channel; /* -1: none */
	struct outbox *outbox;
	uint32_t watched_for; /* events of epoll; 0: not watched */
};

struct fetcher {
	struct child_control control;
	int epoll;
	struct worker_end workers[CHANNELS_MAX];
	struct config *config; /* NULL before CHILD_START */
	struct knowledge *knowledge;
	struct http_client *http;
	struct fetches *fetches;
	struct lru *fetched; /* x5u -> when it was fetched last (monotonic) */
	int64_t next_look_us;
	struct expiry_watch *expiries;
	int64_t next_expiry_look_us;
	bool stopping;
	int status;
	struct certificate_facts facts, found; /* found: by a fetch */

	struct log_limiter refused_limiter;
	struct log_limiter failed_limiter;
	struct log_limiter busy_limiter;
	struct log_limiter malformed_limiter;
	struct log_limiter unread_limiter;
};

static int64_t now_s(void)
{
	return wall_us() / 1000000;
}

/* --- Replies --- */

/* A worker that does not read its replies is not read from either: its requests wait in the channel. */
static void watch_as_needed(struct fetcher *fetcher, uint32_t index)
{
	struct worker_end *worker = &fetcher->workers[index];
	uint32_t wanted = (outbox_is_crowded(worker->outbox) ? 0 : EPOLLIN) |
			  (outbox_is_waiting(worker->outbox) ? EPOLLOUT : 0);
	struct epoll_event event = { .events = wanted, .data.u32 = index };

	if (worker->watched_for != 0 && worker->watched_for != wanted &&
		epoll_ctl(fetcher->epoll, EPOLL_CTL_MOD, worker->channel, &event) == 0)
		worker->watched_for = wanted;
}

static void send_to(
	struct fetcher *fetcher, uint32_t index, struct shared_reply *reply, uint64_t id, int64_t deadline_us)
{
	struct worker_end *worker = &fetcher->workers[index];
	unsigned long more;

	if (worker->channel < 0)
		return;
	if (!outbox_send(worker->outbox, reply, id, deadline_us) &&
		log_allowed(&fetcher->unread_limiter, &more))
		log_warning("worker %u does not take its replies (nor %lu before this one)", index, more);
	watch_as_needed(fetcher, index);
}

static void reply(struct fetcher *fetcher, uint32_t index, const struct fetch_request *request,
	const struct certificate_facts *facts)
{
	struct shared_reply *shared = shared_reply_new(facts);

	if (shared != NULL)
		send_to(fetcher, index, shared, request->id, request->deadline_us);
	shared_reply_unref(shared);
}

static void announce_epoch(struct fetcher *fetcher, uint32_t index)
{
	struct shared_reply *shared;

	knowledge_say(&fetcher->facts, "", VERDICT_PENDING, "");
	fetcher->facts.trust_epoch = knowledge_epoch(fetcher->knowledge);
	shared = shared_reply_new(&fetcher->facts);
	if (shared == NULL)
		return;
	outbox_announce(fetcher->workers[index].outbox, shared);
	shared_reply_unref(shared);
	watch_as_needed(fetcher, index);
}

static void announce_epoch_to_all(struct fetcher *fetcher)
{
	log_notice("what is trusted has changed: every certificate is judged anew");
	for (uint32_t i = 0; i < CHANNELS_MAX; i++)
		if (fetcher->workers[i].channel >= 0)
			announce_epoch(fetcher, i);
}

/* --- What a fetch brought --- */

static void report_failure(struct fetcher *fetcher, const struct certificate_facts *facts, bool serves)
{
	unsigned long more;

	if (log_allowed(&fetcher->failed_limiter, &more))
		log_warning("%s: %s%s (and %lu others before it)", facts->x5u, facts->detail,
			serves ? "; the certificate that is known serves on" : "", more);
}

static void push_to_all(struct fetcher *fetcher, struct shared_reply *shared)
{
	int64_t deadline_us = monotonic_us() + PUSH_US;

	for (uint32_t i = 0; i < CHANNELS_MAX; i++)
		send_to(fetcher, i, shared, 0, deadline_us);
}

/* The facts to go by: the new ones, or the old ones where the new ones are not good. True: workers that did
 * not ask may have others. */
static bool conclude(struct fetcher *fetcher, const char *url, const struct http_answer *answer)
{
	int64_t now = now_s();
	bool known = knowledge_find(fetcher->knowledge, url, now, &fetcher->facts);

	if (knowledge_learn(fetcher->knowledge, url, answer, now, &fetcher->found)) {
		memcpy(&fetcher->facts, &fetcher->found, sizeof fetcher->facts);
		log_debug("%s: %s", url, fetcher->facts.subject);
		return known;
	}
	report_failure(fetcher, &fetcher->found, known);
	if (known) {
		knowledge_postpone_refresh(
			fetcher->knowledge, now + REFRESH_AFTER_FAILURE_S, &fetcher->facts);
		return false;
	}
	knowledge_note_failure(fetcher->knowledge, now, &fetcher->found);
	memcpy(&fetcher->facts, &fetcher->found, sizeof fetcher->facts);
	return false;
}

static void take_fetched(void *context, const char *url, const struct http_answer *answer,
	const struct fetch_waiter *waiters, size_t waiter_count)
{
	struct fetcher *fetcher = context;
	bool replaced = conclude(fetcher, url, answer);
	struct shared_reply *shared = shared_reply_new(&fetcher->facts);
	int64_t now_us = monotonic_us();

	lru_put(fetcher->fetched, span_of(url), &now_us, sizeof now_us);
	if (shared == NULL)
		return;
	for (size_t i = 0; i < waiter_count; i++)
		if (waiters[i].deadline_us > now_us)
			send_to(fetcher, waiters[i].worker, shared, waiters[i].id, waiters[i].deadline_us);
	if (replaced)
		push_to_all(fetcher, shared);
	shared_reply_unref(shared);
}

/* --- Requests --- */

/* A worker has checked it, too; one that was taken over sends what it likes. */
static bool is_fetched(struct fetcher *fetcher, const struct fetch_request *request, struct x5u_url *url)
{
	const struct verification_config *config = &fetcher->config->verification;
	const char *why = "not a text";
	unsigned long more;

	if (memchr(request->x5u, '\0', sizeof request->x5u) != NULL &&
		x5u_url_check(
			url, span_of(request->x5u), config->allow_ports, config->allow_port_count, &why))
		return true;
	if (log_allowed(&fetcher->refused_limiter, &more))
		log_warning("%.*s is not fetched (nor %lu others before it): %s", (int)sizeof request->x5u,
			request->x5u, more, why);
	return false;
}

static void refuse_url(struct fetcher *fetcher, uint32_t index, const struct fetch_request *request)
{
	char text[sizeof request->x5u];

	snprintf(text, sizeof text, "%.*s", (int)(sizeof request->x5u - 1), request->x5u);
	knowledge_say(&fetcher->facts, text, VERDICT_BAD_INFO_URI, "not a URL that is fetched");
	reply(fetcher, index, request, &fetcher->facts);
}

static enum fetches_answer want(struct fetcher *fetcher, const char *x5u, const struct x5u_url *url,
	const struct fetch_waiter *waiter, unsigned *left_ms)
{
	char host[FETCHES_HOST_SIZE];

	snprintf(host, sizeof host, "%s:%u", url->host, url->port);
	return fetches_want(fetcher->fetches, x5u, host, waiter, left_ms);
}

/* Hosts use a URL again for the next certificate; but anybody can send a bad signature. */
static bool may_renew(struct fetcher *fetcher, const char *x5u)
{
	const int64_t *fetched_us = lru_find(fetcher->fetched, span_of(x5u));

	return fetched_us == NULL || monotonic_us() - *fetched_us >= RENEW_EVERY_US;
}

static bool reply_from_knowledge(struct fetcher *fetcher, uint32_t index, const struct fetch_request *request,
	const struct x5u_url *url)
{
	struct certificate_facts *facts = &fetcher->facts;
	int64_t now = now_s();
	unsigned left_ms;
	bool due;

	if (knowledge_find_failure(fetcher->knowledge, request->x5u, now, facts)) {
		reply(fetcher, index, request, facts);
		return true;
	}
	if (!knowledge_find(fetcher->knowledge, request->x5u, now, facts))
		return false;
	due = facts->refresh_after <= now;
	if (due)
		knowledge_postpone_refresh(fetcher->knowledge, now + REFRESH_TRY_S, facts);
	reply(fetcher, index, request, facts);
	if (due)
		want(fetcher, request->x5u, url, NULL, &left_ms);
	return true;
}

static void report_busy(struct fetcher *fetcher, const char *x5u, enum fetches_answer answer)
{
	unsigned long more;

	if (log_allowed(&fetcher->busy_limiter, &more))
		log_warning("%s is not fetched (nor %lu others before it): %s", x5u, more,
			answer == FETCHES_OVER_BUDGET ? "the calls of one peer name too many new URLs"
						      : "too many certificates are being fetched");
}

static void fetch(struct fetcher *fetcher, uint32_t index, const struct fetch_request *request,
	const struct x5u_url *url)
{
	struct fetch_waiter waiter = {
		.peer = request->peer, .worker = index, .id = request->id, .deadline_us = request->deadline_us
	};
	struct certificate_facts *facts = &fetcher->facts;
	unsigned left_ms = 0;
	enum fetches_answer answer = want(fetcher, request->x5u, url, &waiter, &left_ms);
	char detail[sizeof facts->detail];

	if (answer == FETCHES_WAIT || reply_from_knowledge(fetcher, index, request, url))
		return;
	if (answer == FETCHES_BUSY || answer == FETCHES_OVER_BUDGET) {
		report_busy(fetcher, request->x5u, answer);
		knowledge_say(
			facts, request->x5u, VERDICT_FETCHER_BUSY, "too many certificates are being fetched");
	} else {
		snprintf(detail, sizeof detail, "the host failed and is left alone for another %u s",
			left_ms / 1000 + 1);
		knowledge_say(facts, request->x5u, VERDICT_CERTIFICATE_UNREACHABLE, detail);
		facts->keep_until =
			now_s() + (left_ms / 1000 < UNREACHABLE_S ? left_ms / 1000 : UNREACHABLE_S);
	}
	facts->trust_epoch = knowledge_epoch(fetcher->knowledge);
	reply(fetcher, index, request, facts);
}

static void answer(struct fetcher *fetcher, uint32_t index, const struct fetch_request *request)
{
	struct x5u_url url;

	if (request->deadline_us <= monotonic_us())
		return;
	if (!is_fetched(fetcher, request, &url))
		refuse_url(fetcher, index, request);
	else if ((request->renew && may_renew(fetcher, request->x5u)) ||
		 !reply_from_knowledge(fetcher, index, request, &url))
		fetch(fetcher, index, request, &url);
}

/* --- Workers --- */

static void close_channel(struct fetcher *fetcher, uint32_t index)
{
	struct worker_end *worker = &fetcher->workers[index];

	/* The supervisor has copies, so that close() alone would leave it in the epoll set. */
	if (worker->watched_for != 0)
		epoll_ctl(fetcher->epoll, EPOLL_CTL_DEL, worker->channel, NULL);
	close(worker->channel);
	outbox_free(worker->outbox);
	*worker = (struct worker_end){ .channel = -1 };
}

static void serve_worker(struct fetcher *fetcher, uint32_t index)
{
	const struct worker_end *worker = &fetcher->workers[index];
	struct fetch_request request;
	unsigned long more;

	for (unsigned i = 0; i < REQUESTS_PER_TURN && !outbox_is_crowded(worker->outbox); i++) {
		ssize_t length = channel_receive(worker->channel, &request, sizeof request, NULL);

		if (length == (ssize_t)sizeof request) {
			answer(fetcher, index, &request);
		} else if (length > 0 || (length < 0 && errno == EMSGSIZE)) {
			if (log_allowed(&fetcher->malformed_limiter, &more))
				log_error("worker %u sent a message of a wrong length (and %lu before it)",
					index, more);
		} else {
			if (length == 0 || (errno != EAGAIN && errno != EINTR))
				close_channel(fetcher, index);
			return;
		}
	}
}

static void on_worker_event(struct fetcher *fetcher, uint32_t index, uint32_t events)
{
	if ((events & EPOLLOUT) != 0) {
		outbox_flush(fetcher->workers[index].outbox);
		watch_as_needed(fetcher, index);
	}
	if ((events & ~(uint32_t)EPOLLOUT) != 0)
		serve_worker(fetcher, index);
}

/* --- The supervisor --- */

static bool watch(struct fetcher *fetcher, int fd, uint32_t index)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = index };

	if (epoll_ctl(fetcher->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
		return true;
	log_error("a channel cannot be watched: %s", strerror(errno));
	return false;
}

static void begin_to_serve(struct fetcher *fetcher, uint32_t index)
{
	struct worker_end *worker = &fetcher->workers[index];

	if (!watch(fetcher, worker->channel, index)) {
		close_channel(fetcher, index);
		return;
	}
	worker->watched_for = EPOLLIN;
	announce_epoch(fetcher, index);
}

/* Requests wait in their channels until there is something to serve them with. */
static void take_channel(struct fetcher *fetcher, uint32_t index, int fd)
{
	struct worker_end *worker = &fetcher->workers[index];

	if (fd < 0)
		return;
	if (index >= CHANNELS_MAX) {
		log_error("more than %d workers", CHANNELS_MAX);
		close(fd);
		return;
	}
	if (worker->channel >= 0)
		close_channel(fetcher, index);
	worker->outbox = outbox_new(fd);
	if (worker->outbox == NULL) {
		log_error("out of memory");
		close(fd);
		return;
	}
	worker->channel = fd;
	if (fetcher->config != NULL)
		begin_to_serve(fetcher, index);
}

/* Changes over to it, and takes both over. */
static void use(struct fetcher *fetcher, struct config *config, struct trust_files *files)
{
	const struct verification_config *verification = &config->verification;
	struct http_options options = { .tls_ca = verification->tls_ca,
		.allowed = verification->allow_addresses,
		.allowed_count = verification->allow_address_count,
		.deadline_ms = verification->fetch_deadline_ms };
	struct fetch_rules rules = { .max = verification->fetch_max,
		.max_per_host = verification->fetch_max_per_host,
		.failures_max = FAILURES_MAX,
		.left_alone_ms = LEFT_ALONE_MS,
		.per_peer = verification->fetch_per_peer };
	bool first = fetcher->config == NULL;

	if (knowledge_use(fetcher->knowledge, config, files, now_s()) && !first)
		announce_epoch_to_all(fetcher);
	http_client_use(fetcher->http, &options);
	config_free(fetcher->config);
	fetcher->config = config;
	fetcher->next_expiry_look_us = 0;
	fetches_use(fetcher->fetches, &rules);
}

static void start(struct fetcher *fetcher)
{
	struct config *config;
	struct trust_files *files;

	if (fetcher->config != NULL)
		return;
	config = child_control_take_config(&fetcher->control);
	/* Who cannot be trusted for now is logged; the others are. */
	files = config == NULL ? NULL : trust_files_load(config, NULL, now_s(), NULL);
	if (files == NULL) {
		config_free(config);
		fetcher->stopping = true;
		fetcher->status = 1;
		return;
	}
	use(fetcher, config, files);
	for (uint32_t i = 0; i < CHANNELS_MAX; i++)
		if (fetcher->workers[i].channel >= 0)
			begin_to_serve(fetcher, i);
	child_control_answer(&fetcher->control, CHILD_READY);
}

static void log_finding(enum config_severity severity, const char *line, void *context)
{
	if (severity == CONFIG_ERROR)
		log_error("reload refused: %s", line);
}

static void reload(struct fetcher *fetcher)
{
	struct config *config = fetcher->config == NULL ? NULL : child_control_take_config(&fetcher->control);
	struct config_report *report = config_report_new();
	struct trust_files *files = NULL;

	if (config != NULL && report != NULL)
		files = trust_files_load(config, knowledge_trust_files(fetcher->knowledge), now_s(), report);
	if (files != NULL && config_report_errors(report) == 0) {
		use(fetcher, config, files);
		child_control_answer(&fetcher->control, CHILD_READY);
	} else {
		if (report != NULL)
			config_report_each(report, log_finding, NULL);
		trust_files_free(files);
		config_free(config);
		child_control_answer(&fetcher->control, CHILD_REFUSED);
	}
	config_report_free(report);
}

static void obey(struct fetcher *fetcher, const struct child_message *message, int fd)
{
	switch (message->kind) {
	case CHILD_FETCHER:
		take_channel(fetcher, message->index, fd);
		return;
	case CHILD_START:
		start(fetcher);
		break;
	case CHILD_RELOAD:
		reload(fetcher);
		break;
	case CHILD_STOP:
		fetcher->stopping = true;
		break;
	case CHILD_CONFIG:
	case CHILD_IDENTITY:
	case CHILD_LISTENER:
	case CHILD_SIGNER:
	case CHILD_RECORDER:
	case CHILD_HANDOVER_READ:
	case CHILD_HANDOVER_WRITE:
	case CHILD_REPLAY:
	case CHILD_SECRET:
	case CHILD_SIGNER_READY:
	case CHILD_SIGNER_GONE:
	case CHILD_FETCHER_READY:
	case CHILD_FETCHER_GONE:
	case CHILD_RELEASE:
	case CHILD_READY:
	case CHILD_REFUSED:
		break;
	}
	if (fd >= 0)
		close(fd);
}

static void read_control(struct fetcher *fetcher)
{
	struct child_message message;
	int fd;

	switch (child_control_next(&fetcher->control, &message, &fd)) {
	case CHILD_NEWS_NONE:
		break;
	case CHILD_NEWS_MESSAGE:
		obey(fetcher, &message, fd);
		break;
	case CHILD_NEWS_END:
		fetcher->stopping = true;
		break;
	}
}

/* --- Trust that expires --- */

static void remind(
	struct fetcher *fetcher, const char *what, const char *ends_by, const struct expiry_item *item)
{
	struct expiry_reminder reminder;
	int64_t now = now_s();

	if (expiry_watch_look(fetcher->expiries, item, now, &reminder))
		log_line(reminder.urgent ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "trust: %s: %s %s", what,
			ends_by, reminder.text);
}

static void look_at_end(void *context, const char *what, bool is_crl, int64_t begins, int64_t ends)
{
	struct fetcher *fetcher = context;
	struct expiry_item item = { what, begins, ends };
	int64_t grace_s = fetcher->config->verification.crl_grace_s;
	char grace[256];

	if (!is_crl) {
		remind(fetcher, what,
			now_s() > ends ? "nothing under it is trusted: it has expired," : "expires", &item);
		return;
	}
	remind(fetcher, what,
		now_s() > ends ? "no newer one came, its nextUpdate has passed," : "its nextUpdate is due",
		&item);
	/* That it counts no more is another thing than that it is late, and is not announced. */
	snprintf(grace, sizeof grace, "%.*s, grace", (int)sizeof grace - 16, what);
	item = (struct expiry_item){ grace, ends + grace_s, ends + grace_s };
	remind(fetcher, what, "what it revokes is not known any more,", &item);
}

static void look_for_expiries(struct fetcher *fetcher)
{
	int64_t now_us = monotonic_us();

	if (now_us < fetcher->next_expiry_look_us)
		return;
	fetcher->next_expiry_look_us = now_us + EXPIRY_LOOK_EVERY_S * INT64_C(1000000);
	trust_each_end(trust_files_trust(knowledge_trust_files(fetcher->knowledge)), look_at_end, fetcher);
	expiry_watch_end_round(fetcher->expiries);
}

/* --- The loop --- */

static void look_after_files(struct fetcher *fetcher)
{
	int64_t now_us = monotonic_us();

	if (fetcher->config == NULL || now_us < fetcher->next_look_us)
		return;
	fetcher->next_look_us = now_us + LOOK_EVERY_US;
	if (knowledge_look_again(fetcher->knowledge, now_s())) {
		announce_epoch_to_all(fetcher);
		fetcher->next_expiry_look_us = 0;
	}
	look_for_expiries(fetcher);
}

static void serve(struct fetcher *fetcher)
{
	struct epoll_event events[EVENTS_MAX];

	while (!fetcher->stopping) {
		int count;

		http_client_wait(fetcher->http, fetcher->epoll, LOOK_EVERY_US / 1000);
		count = epoll_wait(fetcher->epoll, events, EVENTS_MAX, 0);
		if (count < 0 && errno != EINTR) {
			log_error("epoll_wait: %s", strerror(errno));
			fetcher->status = 1;
			return;
		}
		for (int i = 0; i < count; i++) {
			uint32_t index = events[i].data.u32;

			if (index == CONTROL)
				read_control(fetcher);
			else if (fetcher->workers[index].channel >= 0)
				on_worker_event(fetcher, index, events[i].events);
		}
		look_after_files(fetcher);
	}
}

static bool set_up(struct fetcher *fetcher)
{
	static const struct http_options none = { .deadline_ms = 1 };

	fetcher->knowledge = knowledge_new();
	fetcher->http = http_client_new(&none);
	fetcher->fetched = lru_new(FETCHED_MAX, SIZE_MAX);
	fetcher->expiries = expiry_watch_new();
	if (fetcher->http != NULL)
		fetcher->fetches = fetches_new(fetcher->http, take_fetched, fetcher);
	fetcher->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (fetcher->knowledge != NULL && fetcher->fetched != NULL && fetcher->expiries != NULL &&
		fetcher->fetches != NULL && fetcher->epoll >= 0)
		return watch(fetcher, fetcher->control.fd, CONTROL);
	log_error("out of memory, or of descriptors");
	return false;
}

static void release_all(struct fetcher *fetcher)
{
	for (uint32_t i = 0; i < CHANNELS_MAX; i++)
		if (fetcher->workers[i].channel >= 0)
			close_channel(fetcher, i);
	fetches_free(fetcher->fetches);
	http_client_free(fetcher->http);
	knowledge_free(fetcher->knowledge);
	lru_free(fetcher->fetched);
	expiry_watch_free(fetcher->expiries);
	child_control_end(&fetcher->control);
	if (fetcher->epoll >= 0)
		close(fetcher->epoll);
	config_free(fetcher->config);
}

int fetcher_main(int control)
{
	/* Too large for the stack of a small machine. */
	struct fetcher *fetcher = calloc(1, sizeof *fetcher);
	int status;

	if (fetcher == NULL)
		return 1;
	child_control_begin(&fetcher->control, control);
	fetcher->epoll = -1;
	for (uint32_t i = 0; i < CHANNELS_MAX; i++)
		fetcher->workers[i].channel = -1;
	signal(SIGPIPE, SIG_IGN);
	/* A name server that is silent must not keep the threads of libcurl, one for each name, for half a
	 * minute. */
	setenv("RES_OPTIONS", "timeout:1 attempts:2", 0);
	if (set_up(fetcher))
		serve(fetcher);
	else
		fetcher->status = 1;
	release_all(fetcher);
	status = fetcher->status;
	free(fetcher);
	return status;
}
