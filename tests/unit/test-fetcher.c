#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "https-host.h"
#include "stirrup/certificate_store.h"
#include "stirrup/channel.h"
#include "stirrup/child.h"
#include "stirrup/clock.h"
#include "stirrup/config.h"
#include "stirrup/fetcher.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define WORKERS 2
#define PATIENCE_MS 8000
#define PROMPT_US 20000000
#define DAY 86400
#ifdef __SANITIZE_ADDRESS__ /* it keeps what is freed */
#define GROWTH_MAX_KIB LONG_MAX
#else
#define GROWTH_MAX_KIB 16384
#endif

/* A fetcher in a process of its own, this test as its supervisor and its workers, and a host to fetch from.
 */
struct fixture {
	struct https_host *host;
	struct pki *pki; /* the host's: the root is the STI-CA */
	pid_t child;
	int control;
	int workers[WORKERS];
	uint32_t epochs[WORKERS]; /* as announced last */
	uint64_t next_id;
	/* of the configuration: */
	const char *cache; /* NULL: none */
	const char *anchors;
	bool special_addresses; /* 127.0.0.0/8 is allowed */
	unsigned max_per_host;
};

/* --- The fetcher --- */

static struct config_source *source_of(struct fixture *f)
{
	char text[4096], cache[128] = "", path[PKI_PATH_SIZE], why[256] = "";
	struct config_source *source;

	if (f->cache != NULL)
		snprintf(cache, sizeof cache, "cache = \"%s\";", f->cache);
	snprintf(text, sizeof text,
		"sip: { listen = [ \"udp:127.0.0.1:5060\" ]; secret_file = \"secret\"; };\n"
		"trust = ( { name = \"us\"; anchors = \"%s\"; } );\n"
		"verification: { %s fetch: { deadline = \"1500ms\"; tls_ca = \"tls.pem\"; %s\n"
		"  allow_ports = [ %u, %u, %u ]; max_per_host = %u; }; };\n"
		"peers = ( { name = \"in\"; addresses = [ \"192.0.2.1\" ]; service = \"verify\"; mode = "
		"\"redirect\"; } );\n",
		f->anchors, cache, f->special_addresses ? "allow_addresses = [ \"127.0.0.0/8\" ];" : "",
		f->host->port, f->host->stalled_port, f->host->reset_port, f->max_per_host);
	pki_write(f->pki, "stirrup.conf", text, 0600);
	pki_path(f->pki, path, "stirrup.conf");
	source = config_source_read(path, why, sizeof why);
	if (source == NULL)
		fail_msg("%s", why);
	return source;
}

static void order(const struct fixture *f, enum child_message_kind kind, uint32_t generation, int fd)
{
	struct child_message message = { .kind = kind, .generation = generation };

	assert_true(channel_send(f->control, &message, sizeof message, fd));
}

static void send_config(struct fixture *f, uint32_t generation)
{
	struct config_source *source = source_of(f);
	int fd = config_source_to_memfd(source);

	assert_true(fd >= 0);
	order(f, CHILD_CONFIG, generation, fd);
	close(fd);
	config_source_free(source);
}

static void expect_answer(const struct fixture *f, enum child_message_kind kind, uint32_t generation)
{
	struct pollfd control = { .fd = f->control, .events = POLLIN };
	struct child_message message;

	assert_int_equal(poll(&control, 1, PATIENCE_MS), 1);
	assert_int_equal(channel_receive(f->control, &message, sizeof message, NULL), sizeof message);
	assert_int_equal(message.kind, kind);
	assert_int_equal(message.generation, generation);
}

static int add_worker(const struct fixture *f, uint32_t index)
{
	struct child_message message = { .kind = CHILD_FETCHER, .index = index };
	int ends[2];

	assert_true(channel_pair(ends));
	assert_true(channel_send(f->control, &message, sizeof message, ends[1]));
	close(ends[1]);
	return ends[0];
}

static void fork_fetcher(struct fixture *f)
{
	char log[PKI_PATH_SIZE];
	int ends[2];

	pki_path(f->pki, log, "log");
	assert_true(channel_pair(ends));
	f->child = fork();
	assert_true(f->child >= 0);
	if (f->child == 0) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

		dup2(fd, STDERR_FILENO);
		signal(SIGSEGV, SIG_DFL);
		close(ends[0]);
		_exit(fetcher_main(ends[1]));
	}
	close(ends[1]);
	f->control = ends[0];
}

static struct fetch_reply next_message(const struct fixture *f, int worker, int patience_ms)
{
	struct pollfd channel = { .fd = f->workers[worker], .events = POLLIN };
	struct fetch_reply reply;
	ssize_t length;

	assert_int_equal(poll(&channel, 1, patience_ms), 1);
	length = channel_receive(f->workers[worker], &reply, sizeof reply, NULL);
	assert_true(length >= (ssize_t)offsetof(struct fetch_reply, facts.constraints));
	assert_int_equal(length, FETCH_REPLY_BYTES(&reply));
	return reply;
}

static uint32_t next_epoch(struct fixture *f, int worker)
{
	struct fetch_reply reply = next_message(f, worker, PATIENCE_MS);

	assert_int_equal(reply.id, 0);
	assert_string_equal(reply.facts.x5u, "");
	f->epochs[worker] = reply.facts.trust_epoch;
	return reply.facts.trust_epoch;
}

static void start(struct fixture *f)
{
	fork_fetcher(f);
	send_config(f, 1);
	for (uint32_t i = 0; i < WORKERS; i++)
		f->workers[i] = add_worker(f, i);
	order(f, CHILD_START, 0, -1);
	expect_answer(f, CHILD_READY, 1);
	for (int i = 0; i < WORKERS; i++)
		next_epoch(f, i);
}

static int exit_status(struct fixture *f)
{
	int64_t give_up = monotonic_us() + PATIENCE_MS * 1000;
	int status = -1;
	pid_t done = 0;

	while (done == 0 && monotonic_us() < give_up) {
		done = waitpid(f->child, &status, WNOHANG);
		usleep(1000);
	}
	if (done == 0) {
		kill(f->child, SIGKILL);
		waitpid(f->child, &status, 0);
	}
	f->child = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void hang_up(struct fixture *f)
{
	for (int i = 0; i < WORKERS; i++) {
		if (f->workers[i] > 0)
			close(f->workers[i]);
		f->workers[i] = 0;
	}
	if (f->control > 0)
		close(f->control);
	f->control = 0;
}

static void stop(struct fixture *f)
{
	order(f, CHILD_STOP, 0, -1);
	assert_int_equal(exit_status(f), 0);
	hang_up(f);
}

static void write_anchor(struct fixture *f, const char *file, X509 *root)
{
	char *text = pki_pem((X509 *const[]){ root, NULL });

	pki_write(f->pki, file, text, 0644);
	free(text);
}

static int setup_stopped(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	*state = f;
	f->host = host_start();
	if (f->host == NULL)
		return 0;
	f->pki = f->host->pki;
	f->anchors = "root.pem";
	f->special_addresses = true;
	f->max_per_host = 4;
	write_anchor(f, "root.pem", f->pki->root);
	return 0;
}

static int setup(void **state)
{
	struct fixture *f;

	setup_stopped(state);
	f = *state;
	if (f->host != NULL)
		start(f);
	return 0;
}

static void remove_cache(struct fixture *f)
{
	static const char *const files[] = { "cache/data.mdb", "cache/damaged.mdb", "cache/copy.mdb" };
	char path[PKI_PATH_SIZE];

	for (size_t i = 0; i < COUNT(files); i++) {
		pki_path(f->pki, path, files[i]);
		unlink(path);
	}
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int status = 0;

	if (f->child > 0) {
		order(f, CHILD_STOP, 0, -1);
		status = exit_status(f);
	}
	hang_up(f);
	if (f->host != NULL)
		remove_cache(f);
	host_stop(f->host);
	free(f);
	return status;
}

static struct fixture *needed(void **state)
{
	struct fixture *f = *state;

	if (f->host == NULL)
		skip();
	return f;
}

/* --- Requests and replies --- */

static struct fetch_request request_for(struct fixture *f, const char *path)
{
	struct fetch_request request = { .id = ++f->next_id, .deadline_us = monotonic_us() + PROMPT_US };
	char url[HOST_URL_SIZE];

	host_url(f->host, url, path);
	snprintf(request.x5u, sizeof request.x5u, "%s", path[0] == '/' ? url : path);
	return request;
}

static void ask(const struct fixture *f, int worker, const struct fetch_request *request)
{
	assert_true(channel_send(f->workers[worker], request, sizeof *request, -1));
}

static struct certificate_facts facts_for(struct fixture *f, const struct fetch_request *request)
{
	struct fetch_reply reply;

	ask(f, 0, request);
	reply = next_message(f, 0, PATIENCE_MS);
	assert_int_equal(reply.id, request->id);
	assert_string_equal(reply.facts.x5u, request->x5u);
	return reply.facts;
}

static struct certificate_facts facts_at(struct fixture *f, const char *path)
{
	struct fetch_request request = request_for(f, path);

	return facts_for(f, &request);
}

static struct certificate_facts expect_verdict(
	struct fixture *f, const char *path, enum verdict verdict, const char *detail)
{
	struct certificate_facts facts = facts_at(f, path);

	if (facts.verdict != verdict || strstr(facts.detail, detail) == NULL)
		fail_msg("%s: %s: %s", path, verdict_word(facts.verdict), facts.detail);
	return facts;
}

static void expect_silence(const struct fixture *f, int worker, int ms)
{
	struct pollfd channel = { .fd = f->workers[worker], .events = POLLIN };

	assert_int_equal(poll(&channel, 1, ms), 0);
}

static void expect_log(const struct fixture *f, const char *wanted)
{
	char path[PKI_PATH_SIZE], text[32768] = "";
	FILE *file;

	pki_path(f->pki, path, "log");
	file = fopen(path, "r");
	assert_non_null(file);
	if (fread(text, 1, sizeof text - 1, file) == 0 || strstr(text, wanted) == NULL)
		fail_msg("no \"%s\" in the log:\n%s", wanted, text);
	fclose(file);
}

/* The chain of a leaf of its own under this SPC, in place of what there was. */
static void publish(struct fixture *f, const char *file, const char *spc)
{
	struct pki_wish wish = { .spc = spc };

	host_make_chain(f->pki, file, &wish);
}

/* --- Facts --- */

static void test_facts_of_a_trusted_chain(void **state)
{
	struct fixture *f = needed(state);
	int64_t now = wall_us() / 1000000;
	struct certificate_facts facts = expect_verdict(f, "/good.pem", VERDICT_PASSED, "");

	assert_int_equal(facts.spc_count, 1);
	assert_string_equal(facts.spc[0], "1234");
	assert_int_equal(facts.public_key[0], 4);
	assert_int_equal(facts.trust_epoch, f->epochs[0]);
	assert_in_range(facts.keep_until, now + DAY, now + DAY + 10);
	assert_in_range(facts.refresh_after, now + DAY * 70 / 100, now + DAY * 80 / 100 + 10);
	assert_in_range(facts.not_after, now + 89 * DAY, now + 91 * DAY);
	assert_int_equal(host_count(f->host, "/good.pem"), 1);
	/* From memory. */
	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	assert_int_equal(host_count(f->host, "/good.pem"), 1);
}

static void test_keeps_as_long_as_http_says_but_not_beyond_the_certificate(void **state)
{
	static const struct {
		const char *path;
		int64_t keep;
	} cases[] = {
		{ "/header/Cache-Control:%20max-age=200000/good.pem", 200000 },
		{ "/header/Cache-Control:%20max-age=60/good.pem", DAY },
		{ "/header/Cache-Control:%20no-store/good.pem", DAY },
		{ "/header/Cache-Control:%20max-age=31536000/week.pem", 7 * DAY },
		{ "/hour.pem", 3600 },
	};
	struct fixture *f = needed(state);
	int64_t now = wall_us() / 1000000;
	struct pki_wish week = { .spc = "1", .not_after = now + 7 * DAY };
	struct pki_wish hour = { .spc = "1", .not_after = now + 3600 };

	host_make_chain(f->pki, "week.pem", &week);
	host_make_chain(f->pki, "hour.pem", &hour);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct certificate_facts facts = expect_verdict(f, cases[i].path, VERDICT_PASSED, "");

		assert_in_range(facts.keep_until, now + cases[i].keep, now + cases[i].keep + 10);
		assert_in_range(facts.refresh_after, now + cases[i].keep * 70 / 100, facts.keep_until);
	}
}

static void make_files(struct fixture *f)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *stranger_key = EVP_EC_gen("P-256");
	struct pki_wish stranger = { .name = "another root", .ca = true };
	struct pki_wish expired = {
		.spc = "1", .not_before = time(NULL) - 9 * DAY, .not_after = time(NULL) - DAY
	};
	X509 *root = pki_issue(stranger_key, NULL, stranger_key, &stranger);
	struct pki_wish wish = { .spc = "1234" };
	X509 *leaf = pki_leaf(f->pki, key, &wish), *foreign = pki_issue(key, root, stranger_key, &wish);
	char *text = pki_pem((X509 *const[]){ f->pki->intermediate, leaf, NULL });

	pki_write(f->pki, "reversed.pem", text, 0644);
	free(text);
	text = pki_pem((X509 *const[]){ foreign, root, NULL });
	pki_write(f->pki, "foreign.pem", text, 0644);
	free(text);
	text = pki_pem((X509 *const[]){ leaf, NULL });
	pki_write(f->pki, "half.pem", text, 0644);
	text[strlen(text) / 2] = '\0';
	pki_write(f->pki, "cut.pem", text, 0644);
	free(text);
	text = pki_key_pem(key);
	pki_write(f->pki, "key.pem", text, 0644);
	free(text);
	write_anchor(f, "other-root.pem", root);
	host_make_chain(f->pki, "expired.pem", &expired);
	X509_free(root);
	X509_free(leaf);
	X509_free(foreign);
	EVP_PKEY_free(key);
	EVP_PKEY_free(stranger_key);
}

static void test_each_fault_has_its_verdict(void **state)
{
	static const struct {
		const char *path;
		enum verdict verdict;
		const char *detail;
	} cases[] = {
		{ "/nowhere.pem", VERDICT_CERTIFICATE_UNREACHABLE, "HTTP status 404" },
		{ "/status/302", VERDICT_CERTIFICATE_UNREACHABLE, "redirects are not followed" },
		{ "/10-gigabytes", VERDICT_CERTIFICATE_UNREACHABLE, "more than 65536 octets" },
		{ "/endless-headers", VERDICT_CERTIFICATE_UNREACHABLE, "of header" },
		{ "/gzip", VERDICT_CERTIFICATE_UNREACHABLE, "content encoding" },
		{ "/empty", VERDICT_CERTIFICATE_UNREACHABLE, "an empty answer" },
		{ "/early", VERDICT_CERTIFICATE_UNREACHABLE, "the answer ended early" },
		{ "/html", VERDICT_CERTIFICATE_MALFORMED, "" },
		{ "/key.pem", VERDICT_CERTIFICATE_MALFORMED, "" },
		{ "/cut.pem", VERDICT_CERTIFICATE_MALFORMED, "" },
		{ "/exactly-64k", VERDICT_CERTIFICATE_MALFORMED, "" },
		{ "/half.pem", VERDICT_CERTIFICATE_UNTRUSTED, "" },
		{ "/foreign.pem", VERDICT_CERTIFICATE_UNTRUSTED, "" },
		{ "/reversed.pem", VERDICT_CERTIFICATE_UNTRUSTED, "" },
		{ "/expired.pem", VERDICT_CERTIFICATE_OUTSIDE_VALIDITY, "" },
		{ "/wrong-type", VERDICT_PASSED, "" },
		{ "/chunked", VERDICT_PASSED, "" },
	};
	struct fixture *f = needed(state);

	make_files(f);
	for (size_t i = 0; i < COUNT(cases); i++) {
		int64_t now = wall_us() / 1000000;
		struct certificate_facts facts =
			expect_verdict(f, cases[i].path, cases[i].verdict, cases[i].detail);

		if (cases[i].verdict == VERDICT_CERTIFICATE_UNREACHABLE)
			assert_in_range(facts.keep_until, now + 9, now + 12);
		else if (cases[i].verdict != VERDICT_PASSED)
			assert_in_range(facts.keep_until, now + 59, now + 62);
		/* Known for a while. */
		expect_verdict(f, cases[i].path, cases[i].verdict, cases[i].detail);
		assert_int_equal(host_count(f->host, cases[i].path), 1);
	}
	expect_log(f, "/nowhere.pem: HTTP status 404 (and 0 others before it)");
}

static void test_urls_that_are_not_fetched(void **state)
{
	static const char *const urls[] = { "http://127.0.0.1/a.pem", "https://user@127.0.0.1/a.pem",
		"https://127.0.0.1:22/a.pem", "https://127.1/a.pem", "https://127.0.0.1/a.pem",
		"file:///etc/passwd", "x", "" };
	struct fixture *f = needed(state);
	struct fetch_request request = request_for(f, "/good.pem");

	for (size_t i = 0; i < COUNT(urls); i++) {
		struct certificate_facts facts = expect_verdict(f, urls[i], VERDICT_BAD_INFO_URI, "");

		assert_int_equal(facts.keep_until, 0);
	}
	/* Without an end. */
	memset(request.x5u, 'u', sizeof request.x5u);
	ask(f, 0, &request);
	assert_int_equal(next_message(f, 0, PATIENCE_MS).facts.verdict, VERDICT_BAD_INFO_URI);
	assert_int_equal(host_count(f->host, "connection"), 0);
}

static void test_special_addresses_get_no_connection(void **state)
{
	struct fixture *f = needed(state);

	f->special_addresses = false;
	start(f);
	expect_verdict(f, "/good.pem", VERDICT_CERTIFICATE_UNREACHABLE,
		"the host's address is not a public one: 127.0.0.1");
	assert_int_equal(host_count(f->host, "connection"), 0);
}

/* --- One fetch, many that wait --- */

static void test_one_fetch_however_many_ask(void **state)
{
	struct fixture *f = needed(state);
	struct fetch_request request = request_for(f, "/wait/1000/good.pem");
	unsigned sent = 0, answered = 0;
	int64_t give_up = monotonic_us() + PATIENCE_MS * 1000;
	static bool seen[10001];

	while ((sent < 10000 || answered < 10000) && monotonic_us() < give_up) {
		struct fetch_reply reply;
		int worker = (int)(sent % WORKERS);

		request.id = sent + 1;
		if (sent < 10000 && channel_send(f->workers[worker], &request, sizeof request, -1))
			sent++;
		for (int i = 0; i < WORKERS; i++) {
			while (channel_receive(f->workers[i], &reply, sizeof reply, NULL) > 0) {
				assert_in_range(reply.id, 1, 10000);
				assert_int_equal((int)((reply.id - 1) % WORKERS), i);
				assert_false(seen[reply.id]);
				seen[reply.id] = true;
				assert_int_equal(reply.facts.verdict, VERDICT_PASSED);
				answered++;
			}
		}
	}
	assert_int_equal(answered, 10000);
	assert_int_equal(host_count(f->host, "/wait/1000/good.pem"), 1);
}

static void test_a_late_request_is_dropped_and_its_fetch_is_not(void **state)
{
	struct fixture *f = needed(state);
	struct fetch_request request = request_for(f, "/wait/500/good.pem");

	request.deadline_us = monotonic_us() + 200000;
	ask(f, 0, &request);
	expect_silence(f, 0, 900);
	expect_verdict(f, "/wait/500/good.pem", VERDICT_PASSED, "");
	assert_int_equal(host_count(f->host, "/wait/500/good.pem"), 1);
	request.deadline_us = monotonic_us() - 1;
	ask(f, 0, &request);
	expect_silence(f, 0, 100);
}

static void test_a_silent_host_holds_nobody_up(void **state)
{
	struct fixture *f = needed(state);
	struct fetch_request silent = request_for(f, "/silence");
	int64_t begin = monotonic_us();
	struct fetch_reply reply;

	ask(f, 1, &silent);
	silent = request_for(f, "/slow");
	ask(f, 1, &silent);
	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	assert_true(monotonic_us() - begin < 500000);
	for (int i = 0; i < 2; i++) {
		reply = next_message(f, 1, PATIENCE_MS);
		assert_int_equal(reply.facts.verdict, VERDICT_CERTIFICATE_UNREACHABLE);
		assert_non_null(strstr(reply.facts.detail, "within 1500 ms"));
	}
	assert_in_range(monotonic_us() - begin, 1400000, 3000000);
}

static void test_a_host_that_fails_is_left_alone(void **state)
{
	struct fixture *f = needed(state);
	int64_t begin;
	char url[HOST_URL_SIZE];

	for (int i = 0; i < 5; i++) {
		snprintf(url, sizeof url, "https://127.0.0.1:%u/%d.pem", f->host->reset_port, i);
		/* In the handshake, or before it is seen to begin. */
		expect_verdict(f, url, VERDICT_CERTIFICATE_UNREACHABLE, "onnection");
	}
	begin = monotonic_us();
	snprintf(url, sizeof url, "https://127.0.0.1:%u/5.pem", f->host->reset_port);
	expect_verdict(
		f, url, VERDICT_CERTIFICATE_UNREACHABLE, "the host failed and is left alone for another ");
	assert_true(monotonic_us() - begin < 200000);
	snprintf(url, sizeof url, "127.0.0.1:%u failed 5 times in a row and is left alone for 30 s at a time",
		f->host->reset_port);
	expect_log(f, url);
	/* Another host, and a URL's own faults. */
	for (int i = 0; i < 10; i++) {
		char path[32];

		snprintf(path, sizeof path, "/nowhere-%d.pem", i);
		expect_verdict(f, path, VERDICT_CERTIFICATE_UNREACHABLE, "HTTP status 404");
	}
	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
}

/* Its requests wait until it reads; none is lost. */
static void test_a_worker_that_reads_nothing_holds_nobody_up(void **state)
{
	struct fixture *f = needed(state);
	struct fetch_request request;
	unsigned sent = 0;

	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	for (int tries = 0; tries < 500; tries++) {
		request = request_for(f, "/good.pem");
		while (channel_send(f->workers[1], &request, sizeof request, -1)) {
			sent++;
			tries = 0;
		}
		usleep(200);
	}
	assert_in_range(sent, 1000, 10000);
	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	for (unsigned received = 0; received < sent; received++)
		assert_int_equal(next_message(f, 1, PATIENCE_MS).facts.verdict, VERDICT_PASSED);
	expect_silence(f, 1, 50);
}

static void test_messages_of_a_wrong_length(void **state)
{
	struct fixture *f = needed(state);
	static char junk[20000];

	for (size_t length = 1; length < sizeof(struct fetch_request); length += 37)
		assert_true(channel_send(f->workers[0], junk, length, -1));
	assert_true(channel_send(f->workers[0], junk, sizeof junk, -1));
	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	expect_log(f, "worker 0 sent a message of a wrong length");
}

static long resident_kib(pid_t process)
{
	char path[64];
	long size = 0, resident = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/statm", (int)process);
	file = fopen(path, "r");
	assert_int_equal(fscanf(file, "%ld %ld", &size, &resident), 2);
	fclose(file);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void test_unique_urls_cost_little_and_evict_nothing(void **state)
{
	struct fixture *f = needed(state);
	unsigned answered = 0, sent = 0;
	int64_t give_up = monotonic_us() + 60000000;
	long before;

	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	before = resident_kib(f->child);
	while (answered < 100000 && monotonic_us() < give_up) {
		struct fetch_request request = { .id = 1, .deadline_us = monotonic_us() + PROMPT_US };
		struct fetch_reply reply;

		/* 1,000 hosts, none of which takes a connection. */
		snprintf(request.x5u, sizeof request.x5u, "https://127.1.%u.%u:%u/%u.pem", sent % 1000 / 250,
			sent % 250 + 1, f->host->port, sent);
		if (sent < 100000 && channel_send(f->workers[0], &request, sizeof request, -1))
			sent++;
		while (channel_receive(f->workers[0], &reply, sizeof reply, NULL) > 0) {
			assert_int_not_equal(reply.facts.verdict, VERDICT_PASSED);
			answered++;
		}
	}
	assert_int_equal(answered, 100000);
	assert_true(resident_kib(f->child) - before < GROWTH_MAX_KIB);
	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	assert_int_equal(host_count(f->host, "/good.pem"), 1);
}

/* --- Over restarts --- */

static void test_survives_a_restart(void **state)
{
	struct fixture *f = needed(state);
	uint32_t epoch;

	f->cache = "cache";
	start(f);
	epoch = f->epochs[0];
	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	expect_verdict(f, "/header/Cache-Control:%20no-store/good.pem", VERDICT_PASSED, "");
	stop(f);
	start(f);
	/* The same trust, so that workers keep what they have. */
	assert_int_equal(f->epochs[0], epoch);
	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	assert_int_equal(host_count(f->host, "/good.pem"), 1);
	expect_verdict(f, "/header/Cache-Control:%20no-store/good.pem", VERDICT_PASSED, "");
	assert_int_equal(host_count(f->host, "/header/Cache-Control:%20no-store/good.pem"), 2);
	kill(f->child, SIGKILL);
	exit_status(f);
	hang_up(f);
	start(f);
	assert_int_equal(f->epochs[0], epoch);
	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	assert_int_equal(host_count(f->host, "/good.pem"), 1);
}

static void test_what_is_stored_is_judged_again(void **state)
{
	struct fixture *f = needed(state);
	uint32_t epoch;

	f->cache = "cache";
	make_files(f);
	start(f);
	epoch = f->epochs[0];
	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	stop(f);
	f->anchors = "other-root.pem";
	start(f);
	assert_true(f->epochs[0] > epoch);
	expect_verdict(f, "/good.pem", VERDICT_CERTIFICATE_UNTRUSTED, "");
	assert_int_equal(host_count(f->host, "/good.pem"), 2);
	expect_verdict(f, "/foreign.pem", VERDICT_PASSED, "");
}

static struct certificate_store *open_cache(struct fixture *f)
{
	char path[PKI_PATH_SIZE], why[256];
	struct certificate_store *store;

	pki_path(f->pki, path, "cache");
	store = certificate_store_open(path, 50000, 256 << 20, why, sizeof why);
	assert_non_null(store);
	return store;
}

static char *read_file(struct fixture *f, const char *name)
{
	char path[PKI_PATH_SIZE], *text = calloc(1, 16384);
	FILE *file;

	pki_path(f->pki, path, name);
	file = fopen(path, "r");
	assert_true(fread(text, 1, 16383, file) > 0);
	fclose(file);
	return text;
}

/* As if it had been fetched so long ago; the host has another one since. */
static void store_old(
	struct fixture *f, const char *path, int64_t fetched, int64_t keep_until, int64_t refresh_after)
{
	struct certificate_store *store = open_cache(f);
	char *pem = read_file(f, "good.pem"), url[HOST_URL_SIZE];
	int64_t now = wall_us() / 1000000;
	struct stored_chain chain = { span_of(pem), now + fetched, now + keep_until, now + refresh_after };

	assert_true(certificate_store_put(store, host_url(f->host, url, path), &chain));
	certificate_store_close(store);
	free(pem);
	f->cache = "cache";
	publish(f, "good.pem", "5678");
}

static void test_refreshed_while_the_old_one_serves(void **state)
{
	struct fixture *f = needed(state);
	struct certificate_facts facts;
	struct fetch_reply push;
	int64_t now = wall_us() / 1000000;

	store_old(f, "/wait/300/good.pem", -70000, 16000, -1);
	start(f);
	facts = expect_verdict(f, "/wait/300/good.pem", VERDICT_PASSED, "");
	assert_string_equal(facts.spc[0], "1234");
	assert_true(facts.refresh_after > now);
	for (int i = 0; i < WORKERS; i++) {
		push = next_message(f, i, PATIENCE_MS);
		assert_int_equal(push.id, 0);
		assert_string_equal(push.facts.x5u, facts.x5u);
		assert_string_equal(push.facts.spc[0], "5678");
		assert_true(push.facts.keep_until >= now + DAY);
	}
	assert_string_equal(facts_at(f, "/wait/300/good.pem").spc[0], "5678");
	assert_int_equal(host_count(f->host, "/wait/300/good.pem"), 1);
}

static void test_a_failed_refresh_changes_nothing(void **state)
{
	struct fixture *f = needed(state);
	struct certificate_facts facts;

	store_old(f, "/good.pem", -70000, 16000, -1);
	pki_write(f->pki, "broken", "", 0644);
	start(f);
	facts = expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	assert_string_equal(facts.spc[0], "1234");
	expect_silence(f, 0, 300);
	facts = expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	assert_string_equal(facts.spc[0], "1234");
	assert_true(facts.refresh_after > wall_us() / 1000000 + 200);
	assert_int_equal(host_count(f->host, "/good.pem"), 1);
	expect_log(f, "HTTP status 503; the certificate that is known serves on");
}

static void test_a_refresh_that_brings_an_untrusted_chain_changes_nothing(void **state)
{
	struct fixture *f = needed(state);
	char *foreign;

	make_files(f);
	store_old(f, "/good.pem", -70000, 16000, -1);
	foreign = read_file(f, "foreign.pem");
	pki_write(f->pki, "good.pem", foreign, 0644);
	free(foreign);
	start(f);
	assert_string_equal(facts_at(f, "/good.pem").spc[0], "1234");
	expect_silence(f, 0, 300);
	assert_string_equal(facts_at(f, "/good.pem").spc[0], "1234");
	assert_int_equal(host_count(f->host, "/good.pem"), 1);
}

static void test_old_entries_are_not_used(void **state)
{
	struct fixture *f = needed(state);

	store_old(f, "/good.pem", -90000, -1, -20000);
	start(f);
	assert_string_equal(facts_at(f, "/good.pem").spc[0], "5678");
	stop(f);
	/* Stored under a clock that was a day ahead. */
	store_old(f, "/good.pem", DAY, 2 * DAY, 2 * DAY);
	publish(f, "good.pem", "9");
	start(f);
	assert_string_equal(facts_at(f, "/good.pem").spc[0], "9");
}

static void test_a_bad_signature_makes_it_fetch_again(void **state)
{
	struct fixture *f = needed(state);
	struct fetch_request request;

	store_old(f, "/good.pem", -100, DAY, 20000);
	start(f);
	request = request_for(f, "/good.pem");
	assert_string_equal(facts_for(f, &request).spc[0], "1234");
	request = request_for(f, "/good.pem");
	request.renew = true;
	assert_string_equal(facts_for(f, &request).spc[0], "5678");
	/* The other worker may still have the old one. */
	assert_string_equal(next_message(f, 1, PATIENCE_MS).facts.spc[0], "5678");
	assert_string_equal(next_message(f, 0, PATIENCE_MS).facts.spc[0], "5678");
	/* Once in a minute. */
	publish(f, "good.pem", "9");
	request.id = ++f->next_id;
	assert_string_equal(facts_for(f, &request).spc[0], "5678");
	assert_int_equal(host_count(f->host, "/good.pem"), 1);
}

static void test_renewal_that_fails_answers_from_what_is_known(void **state)
{
	struct fixture *f = needed(state);
	struct fetch_request request;

	store_old(f, "/good.pem", -100, DAY, 20000);
	pki_write(f->pki, "broken", "", 0644);
	start(f);
	request = request_for(f, "/good.pem");
	request.renew = true;
	assert_string_equal(facts_for(f, &request).spc[0], "1234");
	assert_int_equal(host_count(f->host, "/good.pem"), 1);
}

static void test_serves_within_a_second_with_16000_entries(void **state)
{
	struct fixture *f = needed(state);
	struct certificate_store *store = open_cache(f);
	char *pem = read_file(f, "good.pem"), url[HOST_URL_SIZE];
	int64_t now = wall_us() / 1000000, begin;
	struct stored_chain chain = { span_of(pem), now, now + DAY, now + DAY };

	for (unsigned i = 0; i < 16000; i++) {
		snprintf(url, sizeof url, "https://127.0.0.1:%u/%u.pem", f->host->port, i);
		assert_true(certificate_store_put(store, url, &chain));
	}
	certificate_store_close(store);
	free(pem);
	f->cache = "cache";
	begin = monotonic_us();
	start(f);
	expect_verdict(f, "/15999.pem", VERDICT_PASSED, "");
	assert_true(monotonic_us() - begin < 1000000);
	assert_int_equal(host_count(f->host, "connection"), 0);
}

static void test_a_store_that_cannot_be_used_costs_no_call(void **state)
{
	struct fixture *f = needed(state);

	f->cache = "good.pem";
	start(f);
	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	expect_log(f, "the certificate store cannot be used");
}

/* --- Trust that changes --- */

static void test_reload_with_other_roots(void **state)
{
	struct fixture *f = needed(state);
	uint32_t epoch = f->epochs[0];

	make_files(f);
	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	f->anchors = "other-root.pem";
	send_config(f, 2);
	order(f, CHILD_RELOAD, 0, -1);
	expect_answer(f, CHILD_READY, 2);
	for (int i = 0; i < WORKERS; i++)
		assert_true(next_epoch(f, i) > epoch);
	expect_verdict(f, "/good.pem", VERDICT_CERTIFICATE_UNTRUSTED, "");
	assert_int_equal(expect_verdict(f, "/foreign.pem", VERDICT_PASSED, "").trust_epoch, f->epochs[0]);
}

static void test_reload_without_change_voids_nothing(void **state)
{
	struct fixture *f = needed(state);

	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	for (uint32_t generation = 2; generation < 5; generation++) {
		send_config(f, generation);
		order(f, CHILD_RELOAD, 0, -1);
		expect_answer(f, CHILD_READY, generation);
	}
	expect_silence(f, 0, 50);
	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	assert_int_equal(host_count(f->host, "/good.pem"), 1);
}

static void test_reload_with_unusable_anchors_is_refused(void **state)
{
	struct fixture *f = needed(state);

	f->anchors = "nowhere.pem";
	send_config(f, 2);
	order(f, CHILD_RELOAD, 0, -1);
	expect_answer(f, CHILD_REFUSED, 2);
	expect_silence(f, 0, 50);
	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	expect_log(f, "reload refused: ");
}

static void test_start_with_unusable_anchors_trusts_nobody(void **state)
{
	struct fixture *f = needed(state);

	f->anchors = "nowhere.pem";
	start(f);
	expect_verdict(f, "/good.pem", VERDICT_CERTIFICATE_UNTRUSTED, "");
}

static void test_anchors_that_change_on_disk(void **state)
{
	struct fixture *f = needed(state);
	char from[PKI_PATH_SIZE], to[PKI_PATH_SIZE];
	uint32_t epoch = f->epochs[0];

	make_files(f);
	expect_verdict(f, "/good.pem", VERDICT_PASSED, "");
	pki_path(f->pki, from, "other-root.pem");
	pki_path(f->pki, to, "root.pem");
	assert_int_equal(rename(from, to), 0);
	assert_true(next_epoch(f, 0) > epoch);
	expect_verdict(f, "/good.pem", VERDICT_CERTIFICATE_UNTRUSTED, "");
	expect_verdict(f, "/foreign.pem", VERDICT_PASSED, "");
}

/* --- The supervisor --- */

static void test_ends_with_the_supervisor(void **state)
{
	struct fixture *f = needed(state);
	struct fetch_request request = request_for(f, "/silence");

	ask(f, 0, &request);
	usleep(50000);
	close(f->control);
	f->control = 0;
	assert_int_equal(exit_status(f), 0);
}

static void test_a_worker_that_goes_and_one_that_comes(void **state)
{
	struct fixture *f = needed(state);
	struct fetch_request request = request_for(f, "/wait/300/good.pem");

	ask(f, 1, &request);
	close(f->workers[1]);
	f->workers[1] = add_worker(f, 1);
	next_epoch(f, 1);
	expect_verdict(f, "/wait/300/good.pem", VERDICT_PASSED, "");
	assert_int_equal(host_count(f->host, "/wait/300/good.pem"), 1);
}

#define AFTER_START(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define BEFORE_START(test) cmocka_unit_test_setup_teardown(test, setup_stopped, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		AFTER_START(test_facts_of_a_trusted_chain),
		AFTER_START(test_keeps_as_long_as_http_says_but_not_beyond_the_certificate),
		AFTER_START(test_each_fault_has_its_verdict),
		AFTER_START(test_urls_that_are_not_fetched),
		BEFORE_START(test_special_addresses_get_no_connection),
		AFTER_START(test_one_fetch_however_many_ask),
		AFTER_START(test_a_late_request_is_dropped_and_its_fetch_is_not),
		AFTER_START(test_a_silent_host_holds_nobody_up),
		AFTER_START(test_a_host_that_fails_is_left_alone),
		AFTER_START(test_a_worker_that_reads_nothing_holds_nobody_up),
		AFTER_START(test_messages_of_a_wrong_length),
		AFTER_START(test_unique_urls_cost_little_and_evict_nothing),
		BEFORE_START(test_survives_a_restart),
		BEFORE_START(test_what_is_stored_is_judged_again),
		BEFORE_START(test_refreshed_while_the_old_one_serves),
		BEFORE_START(test_a_failed_refresh_changes_nothing),
		BEFORE_START(test_a_refresh_that_brings_an_untrusted_chain_changes_nothing),
		BEFORE_START(test_old_entries_are_not_used),
		BEFORE_START(test_a_bad_signature_makes_it_fetch_again),
		BEFORE_START(test_renewal_that_fails_answers_from_what_is_known),
		BEFORE_START(test_serves_within_a_second_with_16000_entries),
		BEFORE_START(test_a_store_that_cannot_be_used_costs_no_call),
		AFTER_START(test_reload_with_other_roots),
		AFTER_START(test_reload_without_change_voids_nothing),
		AFTER_START(test_reload_with_unusable_anchors_is_refused),
		BEFORE_START(test_start_with_unusable_anchors_trusts_nobody),
		AFTER_START(test_anchors_that_change_on_disk),
		AFTER_START(test_ends_with_the_supervisor),
		AFTER_START(test_a_worker_that_goes_and_one_that_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
