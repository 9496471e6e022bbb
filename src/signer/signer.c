#include "stirrup/signer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "stirrup/attestation.h"
#include "stirrup/channel.h"
#include "stirrup/child_control.h"
#include "stirrup/clock.h"
#include "stirrup/config.h"
#include "stirrup/credential.h"
#include "stirrup/expiry.h"
#include "stirrup/log.h"

#define CHANNELS_MAX 1024
#define CONTROL UINT32_MAX /* in epoll's data; else the index of a worker */
#define EVENTS_MAX 64
#define REQUESTS_PER_TURN 32 /* of one worker, before the next has its turn */
#define SAMPLE_EVERY 100
/* Room for the scalars of thousands of keys and for the file that is being read. */
#define SECURE_HEAP_BYTES (1 << 20)
#define SECURE_HEAP_CHUNK 32
#define REASON_SIZE 768
#define DAY_S 86400
#define EXPIRY_WARNING_DAYS 30

/* A configuration and what signs for it. */
struct key_set {
	uint32_t generation;
	struct config *config;
	struct credential **credentials; /* one for each of the configuration; NULL: failed its checks */
	unsigned *signatures;            /* made with each since it was loaded */
};

struct signer {
	struct child_control control;
	int epoll;
	int channels[CHANNELS_MAX]; /* [worker]; -1: none */
	struct key_set *current;  /* NULL before CHILD_START */
	struct key_set *previous; /* for calls that began under it; NULL: none */
	struct expiry_watch *expiries;
	int64_t next_look_us;
	bool stopping;
	int status;

	struct log_limiter refused_limiter;
	struct log_limiter unsigned_limiter;
	struct log_limiter malformed_limiter;
	struct log_limiter unread_limiter;
};

/* --- A process that keeps its memory to itself --- */

/* Under a limit, MCL_FUTURE would let a later reload fail for want of memory that may be locked. */
static void lock_memory(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	bool unlimited = setrlimit(RLIMIT_MEMLOCK, &limit) == 0 ||
			 (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY);

	if (mlockall(unlimited ? MCL_CURRENT | MCL_FUTURE : MCL_CURRENT) != 0)
		log_warning("memory is not locked, only that of the keys: %s", strerror(errno));
}

/* Before any key is read. */
static bool protect_memory(void)
{
	static const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0) {
		log_error("the process cannot be kept out of core dumps: %s", strerror(errno));
		return false;
	}
	switch (CRYPTO_secure_malloc_init(SECURE_HEAP_BYTES, SECURE_HEAP_CHUNK)) {
	case 1:
		break;
	case 2:
		log_warning("the memory of the keys is not locked: it may reach the swap");
		break;
	default:
		log_error("no secure memory for the keys");
		return false;
	}
	return true;
}

/* --- Key sets --- */

static void key_set_free(struct key_set *set)
{
	if (set == NULL)
		return;
	for (size_t i = 0; set->credentials != NULL && i < set->config->credential_count; i++)
		credential_free(set->credentials[i]);
	free(set->credentials);
	free(set->signatures);
	config_free(set->config);
	free(set);
}

static const char *date_text(int64_t seconds, char text[24])
{
	time_t time = seconds;
	struct tm broken_down;

	if (gmtime_r(&time, &broken_down) == NULL ||
		strftime(text, 24, "%Y-%m-%dT%H:%M:%SZ", &broken_down) == 0)
		strcpy(text, "?");
	return text;
}

/* The supervisor has checked these bytes; that they do not parse here is our fault or want of memory. */
static void load_credential(struct key_set *set, size_t index, int64_t now)
{
	const struct credential_config *config = &set->config->credentials[index];
	char why[REASON_SIZE], date[24];

	set->credentials[index] = credential_load(config, now, why, sizeof why);
	if (set->credentials[index] == NULL)
		log_error("credential %s signs nothing: %s", config->name, why);
	else
		log_notice("credential %s: SPC %s, valid until %s", config->name, config->spc,
			date_text(credential_not_after(set->credentials[index]), date));
}

/* Takes the configuration that CHILD_CONFIG brought. NULL when it has none that can be used. */
static struct key_set *load_next(struct signer *signer)
{
	struct key_set *set = calloc(1, sizeof *set);
	int64_t now = wall_us() / 1000000;

	if (set != NULL)
		set->config = child_control_take_config(&signer->control);
	if (set == NULL || set->config == NULL) {
		key_set_free(set);
		return NULL;
	}
	set->generation = signer->control.generation;
	set->credentials = calloc(set->config->credential_count + 1, sizeof *set->credentials);
	set->signatures = calloc(set->config->credential_count + 1, sizeof *set->signatures);
	if (set->credentials == NULL || set->signatures == NULL) {
		log_error("out of memory");
		key_set_free(set);
		return NULL;
	}
	for (size_t i = 0; i < set->config->credential_count; i++)
		load_credential(set, i, now);
	return set;
}

static const struct credential *credential_named(const struct key_set *set, const char *name)
{
	for (size_t i = 0; i < set->config->credential_count; i++)
		if (strcmp(set->config->credentials[i].name, name) == 0)
			return set->credentials[i];
	return NULL;
}

/* Whether a credential that the new set names, too, signs now and could not then. One that is not named any
 * more was taken out on purpose. */
static bool would_lose_a_credential(const struct key_set *old, const struct key_set *new, int64_t now)
{
	bool would = false;

	for (size_t i = 0; i < new->config->credential_count; i++) {
		const char *name = new->config->credentials[i].name;
		const struct credential *signs_now = credential_named(old, name);

		if (new->credentials[i] != NULL || signs_now == NULL ||
			credential_usable(signs_now, now) != VERDICT_SIGNED)
			continue;
		log_error("reload refused: credential %s signs now and could not be loaded again", name);
		would = true;
	}
	return would;
}

/* --- The decision --- */

static struct key_set *key_set_of(const struct signer *signer, uint32_t generation)
{
	if (signer->current->generation == generation)
		return signer->current;
	if (signer->previous != NULL && signer->previous->generation == generation)
		return signer->previous;
	return NULL;
}

static bool has_only(const char *text, size_t size, const char *characters)
{
	size_t length = strnlen(text, size);

	return length < size && strspn(text, characters) == length;
}

/* A worker speaks with the network; one that was taken over sends what it likes. */
static bool is_well_formed(const struct sign_request *request)
{
	static const char number[] = "0123456789*#";
	static const char uuid[] = "0123456789abcdefABCDEF-";
	/* RFC 8141: what a URN is made of. */
	static const char urn[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%:@!$&'()*+,;=/";

	return has_only(request->orig.digits, sizeof request->orig.digits, number) &&
	       has_only(request->dest_tn.digits, sizeof request->dest_tn.digits, number) &&
	       has_only(request->dest_uri, sizeof request->dest_uri, urn) &&
	       has_only(request->origid, sizeof request->origid, uuid) &&
	       strlen(request->origid) == ORIGID_SIZE - 1 && request->orig.digits[0] != '\0';
}

/* 'A' is the most that can be vouched for, 'C' the least. */
static bool is_within(char attest, enum level level)
{
	static const char letters[] = { [LEVEL_A] = 'A', [LEVEL_B] = 'B', [LEVEL_C] = 'C' };

	return attest <= 'C' && level <= LEVEL_C && attest >= letters[level];
}

static bool refuse(
	struct signer *signer, const struct sign_request *request, const char *peer, const char *why)
{
	char attest = request->attest > ' ' && request->attest <= '~' ? request->attest : '?';
	unsigned long more;

	if (log_allowed(&signer->refused_limiter, &more))
		log_error("request for peer %s refused (and %lu before it): attestation %c, credential %d, "
			  "number %.*s: %s",
			peer, more, attest, (int)request->credential, TN_MAX, request->orig.digits, why);
	return false;
}

/* Whether the configuration allows what is asked: decided here again, by the same function and the same
 * tables as in the worker, so that a worker that was taken over can have nothing signed but what a peer of
 * that configuration could. */
static bool is_allowed(struct signer *signer, const struct key_set *set, const struct sign_request *request)
{
	const struct config *config = set->config;
	struct attestation_decision decision;
	const struct peer *peer;

	if (request->peer >= config->peer_count)
		return refuse(signer, request, "?", "no such peer");
	peer = &config->peers[request->peer];
	if (request->credential < 0 || (size_t)request->credential >= config->credential_count)
		return refuse(signer, request, peer->name, "no such credential");
	if (!is_well_formed(request))
		return refuse(signer, request, peer->name, "malformed claims");
	if (peer->service != SERVICE_SIGN)
		return refuse(signer, request, peer->name, "its calls are not signed");
	attestation_decide(&decision, &peer->attestation, config->customers, config->numbers, &request->orig);
	if (decision.verdict != VERDICT_SIGNED || decision.credential != request->credential ||
		!is_within(request->attest, decision.level))
		return refuse(signer, request, peer->name, decision.rule);
	return true;
}

static bool wants_check(enum self_check self_check, unsigned signatures)
{
	switch (self_check) {
	case SELF_CHECK_SAMPLED:
		return signatures % SAMPLE_EVERY == 0;
	case SELF_CHECK_ALWAYS:
		return true;
	case SELF_CHECK_OFF:
		break;
	}
	return false;
}

static void report_unsigned(struct signer *signer, const char *credential, enum verdict verdict)
{
	unsigned long more;

	if (log_allowed(&signer->unsigned_limiter, &more))
		log_error("credential %s does not sign: %s (nor did %lu calls before)", credential,
			verdict_word(verdict), more);
}

static enum verdict sign(struct signer *signer, struct key_set *set, const struct sign_request *request,
	struct sign_reply *reply)
{
	struct shaken_claims claims = { .attest = request->attest,
		.orig = request->orig,
		.dest_tn = request->dest_tn,
		.iat = reply->iat };
	size_t index = (size_t)request->credential, length = 0;
	const char *name = set->config->credentials[index].name;
	bool check = wants_check(set->config->self_check, set->signatures[index]++);
	enum verdict verdict;

	memcpy(claims.dest_uri, request->dest_uri, sizeof claims.dest_uri);
	memcpy(claims.origid, request->origid, sizeof claims.origid);
	verdict = credential_sign(
		set->credentials[index], &claims, check, reply->identity, sizeof reply->identity, &length);
	if (verdict == VERDICT_SIGNED)
		reply->identity_length = (uint32_t)length;
	else if (verdict == VERDICT_SELF_CHECK_FAILED)
		log_error(
			"credential %s: a signature of ours did not verify; it signs no more until a reload",
			name);
	else
		report_unsigned(signer, name, verdict);
	return verdict;
}

static enum verdict serve_request(
	struct signer *signer, const struct sign_request *request, struct sign_reply *reply)
{
	struct key_set *set = key_set_of(signer, request->generation);
	enum verdict verdict;

	if (set == NULL) {
		refuse(signer, request, "?", "no such generation of the configuration");
		return VERDICT_SIGNER_REFUSED;
	}
	if (!is_allowed(signer, set, request))
		return VERDICT_SIGNER_REFUSED;
	if (set->credentials[request->credential] == NULL)
		return VERDICT_CREDENTIAL_REFUSED; /* why was logged when it was loaded */
	verdict = credential_usable(set->credentials[request->credential], reply->iat);
	if (verdict == VERDICT_SIGNED)
		return sign(signer, set, request, reply);
	report_unsigned(signer, set->config->credentials[request->credential].name, verdict);
	return verdict;
}

/* --- Credentials that expire --- */

static void remind(struct signer *signer, size_t index, int64_t now)
{
	const char *name = signer->current->config->credentials[index].name;
	const struct credential *credential = signer->current->credentials[index];
	struct expiry_item item = { name, credential_not_before(credential),
		credential_not_after(credential) };
	struct expiry_reminder reminder;

	if (!expiry_watch_look(signer->expiries, &item, now, &reminder))
		return;
	if (now > item.ends)
		log_error("credential %s signs no more: its certificates have expired, %s", name,
			reminder.text);
	else
		log_line(reminder.urgent ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
			"credential %s: its certificates expire %s", name, reminder.text);
}

static void look_for_expiries(struct signer *signer)
{
	int64_t now_us = monotonic_us();

	if (signer->current == NULL || now_us < signer->next_look_us)
		return;
	signer->next_look_us = now_us + EXPIRY_LOOK_EVERY_S * INT64_C(1000000);
	for (size_t i = 0; i < signer->current->config->credential_count; i++)
		if (signer->current->credentials[i] != NULL)
			remind(signer, i, wall_us() / 1000000);
	expiry_watch_end_round(signer->expiries);
}

/* --- Workers --- */

static void close_channel(struct signer *signer, uint32_t index)
{
	/* The supervisor has copies, so that close() alone would leave it in the epoll set. */
	epoll_ctl(signer->epoll, EPOLL_CTL_DEL, signer->channels[index], NULL);
	close(signer->channels[index]);
	signer->channels[index] = -1;
}

static void answer(struct signer *signer, int channel, const struct sign_request *request)
{
	struct sign_reply reply;
	unsigned long more;

	if (request->deadline_us <= monotonic_us())
		return;
	reply.id = request->id;
	reply.iat = wall_us() / 1000000;
	reply.identity_length = 0;
	reply.verdict = serve_request(signer, request, &reply);
	if (!channel_send(
		    channel, &reply, offsetof(struct sign_reply, identity) + reply.identity_length, -1) &&
		log_allowed(&signer->unread_limiter, &more))
		log_warning(
			"a worker does not take its reply (nor %lu before it): %s", more, strerror(errno));
}

static void serve_worker(struct signer *signer, uint32_t index)
{
	struct sign_request request;
	unsigned long more;

	for (unsigned i = 0; i < REQUESTS_PER_TURN; i++) {
		ssize_t length = channel_receive(signer->channels[index], &request, sizeof request, NULL);

		if (length == (ssize_t)sizeof request) {
			answer(signer, signer->channels[index], &request);
		} else if (length > 0 || (length < 0 && errno == EMSGSIZE)) {
			if (log_allowed(&signer->malformed_limiter, &more))
				log_error("worker %u sent a message of a wrong length (and %lu before it)",
					index, more);
		} else {
			if (length == 0 || (errno != EAGAIN && errno != EINTR))
				close_channel(signer, index);
			return;
		}
	}
}

/* --- The supervisor --- */

static bool watch(struct signer *signer, int fd, uint32_t index)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = index };

	if (epoll_ctl(signer->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
		return true;
	log_error("a channel cannot be watched: %s", strerror(errno));
	return false;
}

/* Requests wait in their channels until there is something to serve them with. */
static void take_channel(struct signer *signer, uint32_t index, int fd)
{
	if (fd < 0)
		return;
	if (index >= CHANNELS_MAX) {
		log_error("more than %d workers", CHANNELS_MAX);
		close(fd);
		return;
	}
	if (signer->channels[index] >= 0)
		close_channel(signer, index);
	signer->channels[index] = fd;
	if (signer->current != NULL && !watch(signer, fd, index))
		close_channel(signer, index);
}

static void start(struct signer *signer)
{
	if (signer->current != NULL)
		return;
	signer->current = load_next(signer);
	if (signer->current == NULL) {
		signer->stopping = true;
		signer->status = 1;
		return;
	}
	for (uint32_t i = 0; i < CHANNELS_MAX; i++)
		if (signer->channels[i] >= 0 && !watch(signer, signer->channels[i], i))
			close_channel(signer, i);
	child_control_answer(&signer->control, CHILD_READY);
}

static void reload(struct signer *signer)
{
	struct key_set *next = signer->current == NULL ? NULL : load_next(signer);

	if (next == NULL || would_lose_a_credential(signer->current, next, wall_us() / 1000000)) {
		key_set_free(next);
		child_control_answer(&signer->control, CHILD_REFUSED);
		return;
	}
	key_set_free(signer->previous);
	signer->previous = signer->current;
	signer->current = next;
	signer->next_look_us = 0;
	child_control_answer(&signer->control, CHILD_READY);
}

static void release(struct signer *signer, uint32_t generation)
{
	if (signer->previous == NULL || signer->previous->generation >= generation)
		return;
	key_set_free(signer->previous);
	signer->previous = NULL;
}

static void obey(struct signer *signer, const struct child_message *message, int fd)
{
	switch (message->kind) {
	case CHILD_SIGNER:
		take_channel(signer, message->index, fd);
		return;
	case CHILD_START:
		start(signer);
		break;
	case CHILD_RELOAD:
		reload(signer);
		break;
	case CHILD_RELEASE:
		release(signer, message->generation);
		break;
	case CHILD_STOP:
		signer->stopping = true;
		break;
	case CHILD_CONFIG:
	case CHILD_IDENTITY:
	case CHILD_LISTENER:
	case CHILD_RECORDER:
	case CHILD_FETCHER:
	case CHILD_HANDOVER_READ:
	case CHILD_HANDOVER_WRITE:
	case CHILD_REPLAY:
	case CHILD_SECRET:
	case CHILD_SIGNER_READY:
	case CHILD_SIGNER_GONE:
	case CHILD_FETCHER_READY:
	case CHILD_FETCHER_GONE:
	case CHILD_READY:
	case CHILD_REFUSED:
		break;
	}
	if (fd >= 0)
		close(fd);
}

static void read_control(struct signer *signer)
{
	struct child_message message;
	int fd;

	switch (child_control_next(&signer->control, &message, &fd)) {
	case CHILD_NEWS_NONE:
		break;
	case CHILD_NEWS_MESSAGE:
		obey(signer, &message, fd);
		break;
	case CHILD_NEWS_END:
		signer->stopping = true;
		break;
	}
}

/* --- The loop --- */

static void serve(struct signer *signer)
{
	struct epoll_event events[EVENTS_MAX];

	while (!signer->stopping) {
		int count = epoll_wait(signer->epoll, events, EVENTS_MAX, EXPIRY_LOOK_EVERY_S * 1000);

		if (count < 0 && errno != EINTR) {
			log_error("epoll_wait: %s", strerror(errno));
			signer->status = 1;
			return;
		}
		for (int i = 0; i < count; i++) {
			uint32_t index = events[i].data.u32;

			if (index == CONTROL)
				read_control(signer);
			else if (signer->channels[index] >= 0)
				serve_worker(signer, index);
		}
		look_for_expiries(signer);
	}
}

static void release_all(struct signer *signer)
{
	for (uint32_t i = 0; i < CHANNELS_MAX; i++)
		if (signer->channels[i] >= 0)
			close(signer->channels[i]);
	child_control_end(&signer->control);
	if (signer->epoll >= 0)
		close(signer->epoll);
	key_set_free(signer->previous);
	key_set_free(signer->current);
	expiry_watch_free(signer->expiries);
}

int signer_main(int control)
{
	struct signer signer = { .epoll = -1 };

	child_control_begin(&signer.control, control);
	memset(signer.channels, -1, sizeof signer.channels);
	signal(SIGPIPE, SIG_IGN);
	if (!protect_memory())
		return 1;
	lock_memory();
	signer.expiries = expiry_watch_new();
	signer.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (signer.expiries == NULL || signer.epoll < 0 || !watch(&signer, control, CONTROL))
		signer.status = 1;
	else
		serve(&signer);
	release_all(&signer);
	return signer.status;
}

/* --- stirrupd -t --- */

/* Through a pipe; small enough to be written whole. */
struct finding {
	size_t credential;
	enum config_severity severity;
	char text[REASON_SIZE];
};

static bool check_credential(const struct credential_config *config, int64_t now, struct finding *finding)
{
	struct credential *credential = credential_load(config, now, finding->text, sizeof finding->text);
	int64_t days;

	if (credential == NULL) {
		finding->severity = CONFIG_ERROR;
		return false;
	}
	days = (credential_not_after(credential) - now) / DAY_S;
	credential_free(credential);
	if (days >= EXPIRY_WARNING_DAYS)
		return true;
	finding->severity = CONFIG_WARNING;
	snprintf(finding->text, sizeof finding->text, "%s: expires in %lld day%s", config->certificate,
		(long long)days, days == 1 ? "" : "s");
	return false;
}

/* In the child. The caller's address space never holds a key. */
static int check_all(const struct config *config, int out)
{
	int64_t now = wall_us() / 1000000;

	if (!protect_memory())
		return 1;
	for (size_t i = 0; i < config->credential_count; i++) {
		struct finding finding = { .credential = i };

		if (!check_credential(&config->credentials[i], now, &finding) &&
			write(out, &finding, sizeof finding) != (ssize_t)sizeof finding)
			return 1;
	}
	return 0;
}

static bool read_finding(int in, struct finding *finding)
{
	size_t have = 0;

	while (have < sizeof *finding) {
		ssize_t got = read(in, (char *)finding + have, sizeof *finding - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		have += (size_t)got;
	}
	return true;
}

static void add_finding(
	const struct config *config, struct config_report *report, const struct finding *finding)
{
	const struct credential_config *credential = &config->credentials[finding->credential];
	char setting[160];

	snprintf(setting, sizeof setting, "credentials.%s", credential->name);
	config_report_add(report, finding->severity, credential->file, credential->line, setting, "%.*s",
		(int)sizeof finding->text, finding->text);
}

static bool succeeded(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void signer_check_credentials(const struct config *config, struct config_report *report)
{
	struct finding finding;
	int ends[2];
	pid_t child;

	if (config->credential_count == 0)
		return;
	if (pipe2(ends, O_CLOEXEC) != 0) {
		config_report_add(report, CONFIG_ERROR, NULL, 0, "credentials", "cannot be checked: %s",
			strerror(errno));
		return;
	}
	child = fork();
	if (child == 0) {
		close(ends[0]);
		_exit(check_all(config, ends[1]));
	}
	close(ends[1]);
	while (child > 0 && read_finding(ends[0], &finding))
		add_finding(config, report, &finding);
	close(ends[0]);
	if (child < 0 || !succeeded(child))
		config_report_add(report, CONFIG_ERROR, NULL, 0, "credentials",
			"cannot be checked: the process that loads them failed");
}
