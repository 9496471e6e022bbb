#include "stirrup/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stirrup/channel.h"
#include "stirrup/child.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"
#include "stirrup/replay.h"
#include "stirrup/secret.h"
#include "stirrup/sockets.h"
#include "stirrup/spawn.h"
#include "setup.h"

#define SECOND_US 1000000LL
#define RELOAD_LIMIT_US (30 * SECOND_US)
#define STOP_LIMIT_US (5 * SECOND_US)
/* The old keys go when the last call that may want one has met its deadline (2 s at most). */
#define RELEASE_AFTER_US (3 * SECOND_US)
/* A child that dies oftener than this is replaced once a second, not at once. */
#define QUICK_RESTARTS 20
#define QUICK_RESTARTS_US (10 * SECOND_US)
/* Two minutes of 2,000 calls a second: a token may be dated 60 s ahead, and is fresh for 60 s after that. */
#define REPLAY_TOKENS (1 << 18)

enum role { ROLE_RECORDER, ROLE_SIGNER, ROLE_FETCHER, ROLE_WORKER };
#define MEMBERS_BESIDE_WORKERS 3

struct member {
	enum role role;
	uint32_t index;           /* among the workers */
	char title[32];           /* what ps shows: "stirrupd: worker 0" */
	const char *name;         /* its end: "worker 0" */
	pid_t pid;                /* 0: not running */
	int control;              /* -1: not running */
	bool ready;
	bool stop_sent;
	uint32_t generation;      /* that it serves */
	int64_t died_us;          /* 0: never */
	int64_t start_us;         /* when to start it, while it does not run */
	unsigned quick_restarts;
	int64_t quick_since_us;
};

struct pair {
	int ends[2];
};

static struct {
	const char *path;
	struct setup current;
	struct setup next;             /* number 0: no reload under way */
	bool reload_wanted;
	int64_t reload_limit_us;
	bool changing_over;            /* all have been told of the current generation, and not all serve it yet */
	int64_t release_us;            /* 0: nothing to release */
	uint8_t secret[CHILD_SECRET_BYTES];
	uint8_t previous_secret[CHILD_SECRET_BYTES];
	bool has_previous_secret;
	int replay;                    /* memory of the workers' replay table, which outlives each of them; -1: none */
	unsigned workers;              /* fixed while the daemon runs */
	struct pair *to_signer;        /* [worker]: 0 the worker's end, 1 the signer's */
	struct pair *to_fetcher;       /* [worker]: 0 the worker's end, 1 the fetcher's */
	struct pair *to_recorder;      /* [worker]: 0 the worker's end, 1 the recorder's */
	struct pair *handover;         /* [worker]: 0 read by it, 1 written by the others */
	struct member *members;        /* the recorder, the signer, the fetcher, the workers */
	size_t member_count;
	bool serving;                  /* everything was ready once */
	bool stopping;
	bool failed;
	int64_t stop_limit_us;
} supervisor;

#define RECORDER (&supervisor.members[0])
#define SIGNER (&supervisor.members[1])
#define FETCHER (&supervisor.members[2])

/* --- Talking to a child --- */

static void tell(struct member *member, struct child_message message, int fd)
{
	if (member->control >= 0 && !channel_send(member->control, &message, sizeof message, fd) && errno != EPIPE)
		log_error("%s: cannot be told anything: %s", member->name, strerror(errno));
}

static void tell_kind(struct member *member, enum child_message_kind kind)
{
	tell(member, (struct child_message){ .kind = kind }, -1);
}

static void tell_channel(struct member *member, enum child_message_kind kind, uint32_t index, int fd)
{
	tell(member, (struct child_message){ .kind = kind, .index = index }, fd);
}

static void tell_config(struct member *member, const struct setup *setup)
{
	tell(member, (struct child_message){ .kind = CHILD_CONFIG, .generation = setup->number }, setup->memfd);
}

static void tell_workers(enum child_message_kind kind)
{
	for (size_t i = 0; i < supervisor.member_count; i++)
		if (supervisor.members[i].role == ROLE_WORKER)
			tell_kind(&supervisor.members[i], kind);
}

static void tell_listeners(struct member *worker, const struct setup *setup)
{
	for (size_t i = 0; i < setup->socket_count; i++)
		if (setup->sockets[i].fd_count > 0)
			tell_channel(worker, CHILD_LISTENER, (uint32_t)i, listen_fd(&setup->sockets[i], worker->index));
}

static void equip_worker(struct member *worker)
{
	struct child_message secret = { .kind = CHILD_SECRET };

	memcpy(secret.secret, supervisor.secret, sizeof secret.secret);
	tell(worker,
		(struct child_message){
			.kind = CHILD_IDENTITY, .index = worker->index, .count = supervisor.workers },
		-1);
	tell(worker, secret, -1);
	if (supervisor.has_previous_secret) {
		secret.index = 1;
		memcpy(secret.secret, supervisor.previous_secret, sizeof secret.secret);
		tell(worker, secret, -1);
	}
	tell_channel(worker, CHILD_REPLAY, 0, supervisor.replay);
	tell_channel(worker, CHILD_SIGNER, 0, supervisor.to_signer[worker->index].ends[0]);
	tell_channel(worker, CHILD_FETCHER, 0, supervisor.to_fetcher[worker->index].ends[0]);
	tell_channel(worker, CHILD_RECORDER, 0, supervisor.to_recorder[worker->index].ends[0]);
	tell_channel(worker, CHILD_HANDOVER_READ, 0, supervisor.handover[worker->index].ends[0]);
	for (uint32_t i = 0; i < supervisor.workers; i++)
		if (i != worker->index)
			tell_channel(worker, CHILD_HANDOVER_WRITE, i, supervisor.handover[i].ends[1]);
	tell_listeners(worker, &supervisor.current);
}

static void equip(struct member *member)
{
	tell_config(member, &supervisor.current);
	switch (member->role) {
	case ROLE_RECORDER:
		for (uint32_t i = 0; i < supervisor.workers; i++)
			tell_channel(member, CHILD_RECORDER, i, supervisor.to_recorder[i].ends[1]);
		break;
	case ROLE_SIGNER:
		for (uint32_t i = 0; i < supervisor.workers; i++)
			tell_channel(member, CHILD_SIGNER, i, supervisor.to_signer[i].ends[1]);
		break;
	case ROLE_FETCHER:
		for (uint32_t i = 0; i < supervisor.workers; i++)
			tell_channel(member, CHILD_FETCHER, i, supervisor.to_fetcher[i].ends[1]);
		break;
	case ROLE_WORKER:
		equip_worker(member);
		break;
	}
	tell_kind(member, CHILD_START);
	if (member->role == ROLE_WORKER && SIGNER->ready)
		tell_kind(member, CHILD_SIGNER_READY);
	if (member->role == ROLE_WORKER && FETCHER->ready)
		tell_kind(member, CHILD_FETCHER_READY);
}

/* --- Life and death of a child --- */

static const char *role_word(enum role role)
{
	switch (role) {
	case ROLE_RECORDER:
		return "recorder";
	case ROLE_SIGNER:
		return "signer";
	case ROLE_FETCHER:
		return "fetcher";
	case ROLE_WORKER:
		return "worker";
	}
	return "";
}

static void start_member(struct member *member)
{
	struct pair control;

	member->start_us = 0;
	member->ready = false;
	if (!channel_pair(control.ends)) {
		log_error("%s: no channel for it: %s", member->name, strerror(errno));
		member->start_us = monotonic_us() + SECOND_US;
		return;
	}
	member->pid = spawn_child(role_word(member->role), member->title, control.ends[1]);
	close(control.ends[1]);
	if (member->pid < 0) {
		log_error("%s: cannot be started: %s", member->name, strerror(errno));
		close(control.ends[0]);
		member->pid = 0;
		member->start_us = monotonic_us() + SECOND_US;
		return;
	}
	member->control = control.ends[0];
	equip(member);
}

/* At once, unless it dies again and again. */
static int64_t next_start(struct member *member)
{
	int64_t now = monotonic_us();

	if (now - member->quick_since_us > QUICK_RESTARTS_US) {
		member->quick_since_us = now;
		member->quick_restarts = 0;
	}
	return ++member->quick_restarts > QUICK_RESTARTS ? now + SECOND_US : now;
}

static void abandon_reload(const char *why)
{
	if (supervisor.next.number == 0)
		return;
	log_error("reload given up: %s; generation %u goes on", why, supervisor.current.number);
	setup_free(&supervisor.next);
	/* It may have changed over already. */
	tell_config(FETCHER, &supervisor.current);
	tell_kind(FETCHER, CHILD_RELOAD);
}

static void bury(struct member *member, int status)
{
	close(member->control);
	member->control = -1;
	member->pid = 0;
	member->ready = false;
	if (supervisor.stopping)
		return;
	if (WIFSIGNALED(status))
		log_error("%s was killed by signal %d", member->name, WTERMSIG(status));
	else
		log_error("%s exited with status %d", member->name, WEXITSTATUS(status));
	if (!supervisor.serving) {
		log_error("not started: %s does not come up", member->name);
		supervisor.failed = true;
		return;
	}
	member->died_us = monotonic_us();
	member->start_us = next_start(member);
	if (member->role == ROLE_SIGNER) {
		tell_workers(CHILD_SIGNER_GONE);
		abandon_reload("the signer died");
	} else if (member->role == ROLE_FETCHER) {
		tell_workers(CHILD_FETCHER_GONE);
		abandon_reload("the fetcher died");
	}
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < supervisor.member_count; i++)
			if (supervisor.members[i].pid == pid)
				bury(&supervisor.members[i], status);
}

static bool all_ready(void)
{
	for (size_t i = 0; i < supervisor.member_count; i++)
		if (!supervisor.members[i].ready)
			return false;
	return true;
}

/* --- Reload --- */

/* NULL is a text of its own. */
static bool same_text(const char *one, const char *other)
{
	return one == other || (one != NULL && other != NULL && strcmp(one, other) == 0);
}

static void warn_of_fixed(const struct config *old, const struct config *new)
{
	if (old->workers != new->workers)
		log_warning("sip.workers stays %u until the next start", old->workers);
	if (strcmp(old->secret_file, new->secret_file) != 0)
		log_warning("sip.secret_file stays %s until the next start", old->secret_file);
	if (!same_text(old->previous_secret_file, new->previous_secret_file))
		log_warning("sip.previous_secret_file counts from the next start on");
	if (!same_text(old->dialog_store, new->dialog_store) || old->dialog_store_bytes != new->dialog_store_bytes)
		log_warning("dialogs.store and dialogs.size stay as they are until the next start");
	if (old->answer_memo_bytes != new->answer_memo_bytes || old->max_waiting != new->max_waiting)
		log_warning("sip.answer_memo and sip.max_waiting stay as they are until the next start");
}

/* First the fetcher, then the signer: they may find that the new trust anchors or keys cannot be used. */
static void begin_reload(void)
{
	uint32_t number = supervisor.current.number + 1;

	supervisor.reload_wanted = false;
	if (!setup_read(&supervisor.next, supervisor.path, number) || !setup_listen(&supervisor.next, &supervisor.current, supervisor.workers)) {
		supervisor.next.number = number;
		abandon_reload("the configuration has errors");
		return;
	}
	warn_of_fixed(supervisor.current.config, supervisor.next.config);
	supervisor.reload_limit_us = monotonic_us() + RELOAD_LIMIT_US;
	tell_config(FETCHER, &supervisor.next);
	tell_kind(FETCHER, CHILD_RELOAD);
}

static void go_on_reloading(void)
{
	tell_config(SIGNER, &supervisor.next);
	tell_kind(SIGNER, CHILD_RELOAD);
}

/* The signer has both sets now: the others may change over, each for itself, and no call is lost between. */
static void commit_reload(void)
{
	struct setup old = supervisor.current;

	for (size_t i = 0; i < supervisor.member_count; i++) {
		struct member *member = &supervisor.members[i];

		if (member->role == ROLE_SIGNER || member->role == ROLE_FETCHER)
			continue;
		tell_config(member, &supervisor.next);
		if (member->role == ROLE_WORKER)
			tell_listeners(member, &supervisor.next);
		tell_kind(member, CHILD_RELOAD);
	}
	setup_take_sockets(&supervisor.next, &old);
	setup_filter(&supervisor.next);
	supervisor.current = supervisor.next;
	supervisor.next = (struct setup){ .memfd = -1 };
	setup_free(&old);
	supervisor.release_us = monotonic_us() + RELEASE_AFTER_US;
	supervisor.changing_over = true;
}

/* Who died while it changed over comes up with it. */
static void announce_reload(void)
{
	if (!supervisor.changing_over)
		return;
	for (size_t i = 0; i < supervisor.member_count; i++)
		if (!supervisor.members[i].ready || supervisor.members[i].generation != supervisor.current.number)
			return;
	supervisor.changing_over = false;
	log_notice("reloaded: generation %u serves", supervisor.current.number);
}

static void release_old(void)
{
	struct child_message message = { .kind = CHILD_RELEASE, .generation = supervisor.current.number };

	supervisor.release_us = 0;
	tell(SIGNER, message, -1);
}

/* --- What children say --- */

static void on_ready(struct member *member, uint32_t generation)
{
	bool came_up = !member->ready;
	bool changed_over = supervisor.next.number != 0 && generation == supervisor.next.number;

	member->ready = true;
	member->generation = generation;
	if (member->role == ROLE_FETCHER && changed_over)
		go_on_reloading();
	else if (member->role == ROLE_SIGNER && changed_over)
		commit_reload();
	else if (member->role == ROLE_SIGNER && came_up)
		tell_workers(CHILD_SIGNER_READY);
	else if (member->role == ROLE_FETCHER && came_up)
		tell_workers(CHILD_FETCHER_READY);
	announce_reload();
	if (came_up && member->died_us != 0)
		log_notice("%s serves again after %lld ms", member->name,
			(long long)(monotonic_us() - member->died_us) / 1000);
	if (!supervisor.serving && all_ready()) {
		supervisor.serving = true;
		log_notice("serves: %u workers, %zu listeners, %zu peers, %zu customers, configuration %s",
			supervisor.workers, supervisor.current.config->listener_count,
			supervisor.current.config->peer_count, supervisor.current.config->customer_count,
			supervisor.path);
	}
}

static void on_refused(struct member *member, uint32_t generation)
{
	bool asked = supervisor.next.number != 0 && generation == supervisor.next.number;

	if (asked && member->role == ROLE_SIGNER) {
		abandon_reload("the signer would lose a credential");
		return;
	}
	if (asked && member->role == ROLE_FETCHER) {
		abandon_reload("the fetcher cannot use the trust anchors");
		return;
	}
	/* It had the checked bytes and could not use them: its successor starts with them. */
	log_error("%s could not change over: it is replaced", member->name);
	kill(member->pid, SIGKILL);
}

static void listen_to(struct member *member)
{
	struct child_message message;

	while (member->control >= 0 &&
		channel_receive(member->control, &message, sizeof message, NULL) == (ssize_t)sizeof message) {
		if (message.kind == CHILD_READY)
			on_ready(member, message.generation);
		else if (message.kind == CHILD_REFUSED)
			on_refused(member, message.generation);
	}
}

/* --- Stop --- */

static bool all_gone(enum role role)
{
	for (size_t i = 0; i < supervisor.member_count; i++)
		if (supervisor.members[i].role == role && supervisor.members[i].pid > 0)
			return false;
	return true;
}

static void stop_role(enum role role)
{
	for (size_t i = 0; i < supervisor.member_count; i++) {
		struct member *member = &supervisor.members[i];

		if (member->role != role || member->stop_sent)
			continue;
		tell_kind(member, CHILD_STOP);
		member->stop_sent = true;
	}
}

static void begin_stop(void)
{
	if (supervisor.stopping)
		return;
	log_notice("stops");
	supervisor.stopping = true;
	supervisor.stop_limit_us = monotonic_us() + STOP_LIMIT_US;
	stop_role(ROLE_WORKER);
}

/* Workers first: they still need the signer for the calls in hand, and the recorder for their records. */
static void go_on_stopping(void)
{
	if (all_gone(ROLE_WORKER)) {
		stop_role(ROLE_SIGNER);
		stop_role(ROLE_FETCHER);
		stop_role(ROLE_RECORDER);
	}
	if (monotonic_us() < supervisor.stop_limit_us)
		return;
	for (size_t i = 0; i < supervisor.member_count; i++)
		if (supervisor.members[i].pid > 0)
			kill(supervisor.members[i].pid, SIGKILL);
}

static bool everyone_gone(void)
{
	return all_gone(ROLE_WORKER) && all_gone(ROLE_SIGNER) && all_gone(ROLE_FETCHER) &&
		all_gone(ROLE_RECORDER);
}

/* --- The loop --- */

static int64_t sooner(int64_t one, int64_t other)
{
	return other != 0 && (one == 0 || other < one) ? other : one;
}

static int poll_timeout(void)
{
	int64_t next = supervisor.release_us;
	int64_t now = monotonic_us();

	for (size_t i = 0; i < supervisor.member_count; i++)
		next = sooner(next, supervisor.members[i].start_us);
	if (supervisor.next.number != 0)
		next = sooner(next, supervisor.reload_limit_us);
	if (supervisor.stopping)
		next = sooner(next, supervisor.stop_limit_us);
	if (next == 0)
		return -1;
	return next <= now ? 0 : (int)((next - now) / 1000 + 1);
}

static void do_what_is_due(void)
{
	int64_t now = monotonic_us();

	if (supervisor.stopping) {
		go_on_stopping();
		return;
	}
	for (size_t i = 0; i < supervisor.member_count; i++)
		if (supervisor.members[i].start_us != 0 && supervisor.members[i].start_us <= now)
			start_member(&supervisor.members[i]);
	if (supervisor.release_us != 0 && supervisor.release_us <= now)
		release_old();
	if (supervisor.next.number != 0 && supervisor.reload_limit_us <= now)
		abandon_reload("the signer does not answer");
	/* The signer keeps two sets of keys: the next reload waits until the oldest is released. */
	if (supervisor.reload_wanted && supervisor.serving && supervisor.next.number == 0 && supervisor.release_us == 0)
		begin_reload();
}

static void take_signals(int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			reap();
			break;
		case SIGHUP:
			supervisor.reload_wanted = true;
			break;
		default:
			begin_stop();
		}
	}
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void supervise(int signals)
{
	struct pollfd fds[SOCKETS_WORKERS_MAX + MEMBERS_BESIDE_WORKERS + 1];

	while (!supervisor.failed && !(supervisor.stopping && everyone_gone())) {
		fds[0] = (struct pollfd){ .fd = signals, .events = POLLIN };
		for (size_t i = 0; i < supervisor.member_count; i++)
			fds[i + 1] = (struct pollfd){ .fd = supervisor.members[i].control, .events = POLLIN };
		if (poll(fds, supervisor.member_count + 1, poll_timeout()) < 0 && errno != EINTR)
			return;
		for (size_t i = 0; i < supervisor.member_count; i++)
			if ((fds[i + 1].revents & POLLIN) != 0)
				listen_to(&supervisor.members[i]);
		if ((fds[0].revents & POLLIN) != 0)
			take_signals(signals);
		do_what_is_due();
	}
}

/* --- Start --- */

static bool open_channels(void)
{
	unsigned count = supervisor.workers;

	supervisor.to_signer = calloc(count, sizeof(struct pair));
	supervisor.to_fetcher = calloc(count, sizeof(struct pair));
	supervisor.to_recorder = calloc(count, sizeof(struct pair));
	supervisor.handover = calloc(count, sizeof(struct pair));
	if (supervisor.to_signer == NULL || supervisor.to_fetcher == NULL || supervisor.to_recorder == NULL || supervisor.handover == NULL)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (!channel_pair(supervisor.to_signer[i].ends) || !channel_pair(supervisor.to_fetcher[i].ends) ||
			!channel_pair(supervisor.to_recorder[i].ends) || !channel_pair(supervisor.handover[i].ends))
			return false;
	return true;
}

static bool make_members(void)
{
	supervisor.member_count = supervisor.workers + MEMBERS_BESIDE_WORKERS;
	supervisor.members = calloc(supervisor.member_count, sizeof *supervisor.members);
	if (supervisor.members == NULL)
		return false;
	for (size_t i = 0; i < supervisor.member_count; i++) {
		struct member *member = &supervisor.members[i];

		member->role = i < MEMBERS_BESIDE_WORKERS ? (enum role)i : ROLE_WORKER;
		member->index = i < MEMBERS_BESIDE_WORKERS ? 0 : (uint32_t)(i - MEMBERS_BESIDE_WORKERS);
		member->control = -1;
		if (member->role == ROLE_WORKER)
			snprintf(member->title, sizeof member->title, "stirrupd: worker %u", member->index);
		else
			snprintf(member->title, sizeof member->title, "stirrupd: %s", role_word(member->role));
		member->name = strchr(member->title, ' ') + 1;
	}
	return true;
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static bool prepare(void)
{
	char why[512];

	if (!setup_read(&supervisor.current, supervisor.path, 1))
		return false;
	supervisor.workers = supervisor.current.config->workers;
	if (!secret_load(supervisor.current.config->secret_file, supervisor.secret, why, sizeof why)) {
		log_error("sip.secret_file: %s", why);
		return false;
	}
	supervisor.has_previous_secret = supervisor.current.config->previous_secret_file != NULL;
	if (supervisor.has_previous_secret &&
		!secret_load_previous(supervisor.current.config->previous_secret_file, supervisor.previous_secret, why,
			sizeof why)) {
		log_error("sip.previous_secret_file: %s", why);
		return false;
	}
	supervisor.replay = replay_table_create(REPLAY_TOKENS);
	if (supervisor.replay < 0) {
		log_error("no memory for the tokens that were seen: %s", strerror(errno));
		return false;
	}
	raise_descriptor_limit();
	if (!setup_listen(&supervisor.current, NULL, supervisor.workers))
		return false;
	setup_filter(&supervisor.current);
	if (open_channels() && make_members())
		return true;
	log_error("cannot open the channels between processes: %s", strerror(errno));
	return false;
}

static void kill_everyone(void)
{
	for (size_t i = 0; i < supervisor.member_count; i++)
		if (supervisor.members[i].pid > 0) {
			kill(supervisor.members[i].pid, SIGKILL);
			waitpid(supervisor.members[i].pid, NULL, 0);
		}
}

static void close_all(void)
{
	for (unsigned i = 0; supervisor.handover != NULL && i < supervisor.workers; i++)
		for (int end = 0; end < 2; end++) {
			close(supervisor.to_signer[i].ends[end]);
			close(supervisor.to_fetcher[i].ends[end]);
			close(supervisor.to_recorder[i].ends[end]);
			close(supervisor.handover[i].ends[end]);
		}
	free(supervisor.to_signer);
	free(supervisor.to_fetcher);
	free(supervisor.to_recorder);
	free(supervisor.handover);
	free(supervisor.members);
	if (supervisor.replay >= 0)
		close(supervisor.replay);
	setup_free(&supervisor.current);
	setup_free(&supervisor.next);
}

int supervisor_main(const char *config_path)
{
	int signals;

	supervisor.path = config_path;
	supervisor.current.memfd = -1;
	supervisor.next.memfd = -1;
	supervisor.replay = -1;
	if (!prepare()) {
		close_all();
		return 1;
	}
	signals = open_signals();
	for (size_t i = 0; i < supervisor.member_count; i++)
		start_member(&supervisor.members[i]);
	supervise(signals);
	kill_everyone();
	close_all();
	close(signals);
	return supervisor.failed ? 1 : 0;
}
