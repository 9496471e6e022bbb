#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/fetcher/http_freshness.h"
#include "https-host.h"
#include "stirrup/clock.h"
#include "stirrup/http_fetch.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define DEADLINE_MS 1500
#define PATIENCE_US 10000000

/* --- DNS: libcurl's threads come here instead of asking the network --- */

static _Atomic unsigned lookups;

static struct addrinfo *chain_address(struct addrinfo *rest, const char *text, unsigned port)
{
	struct {
		struct addrinfo info;
		struct sockaddr_storage address;
	} *made = calloc(1, sizeof *made);
	struct sockaddr_in *in = (void *)&made->address;
	struct sockaddr_in6 *in6 = (void *)&made->address;

	made->info.ai_family = inet_pton(AF_INET, text, &in->sin_addr) == 1 ? AF_INET : AF_INET6;
	if (made->info.ai_family == AF_INET6)
		inet_pton(AF_INET6, text, &in6->sin6_addr);
	made->address.ss_family = (sa_family_t)made->info.ai_family;
	in->sin_port = htons((uint16_t)port);
	made->info.ai_socktype = SOCK_STREAM;
	made->info.ai_protocol = IPPROTO_TCP;
	made->info.ai_addrlen = made->info.ai_family == AF_INET ? sizeof *in : sizeof *in6;
	made->info.ai_addr = (struct sockaddr *)&made->address;
	made->info.ai_next = rest;
	return &made->info;
}

void freeaddrinfo(struct addrinfo *info)
{
	while (info != NULL) {
		struct addrinfo *next = info->ai_next;

		free(info);
		info = next;
	}
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	unsigned port = service == NULL ? 0 : (unsigned)atoi(service), nth = lookups++;
	struct in_addr literal;

	*out = NULL;
	if (inet_pton(AF_INET, name, &literal) == 1 || strchr(name, ':') != NULL)
		*out = chain_address(NULL, name, port);
	else if (strcmp(name, "good.test") == 0 || strcmp(name, "alias.test") == 0)
		*out = chain_address(NULL, "127.0.0.1", port);
	else if (strcmp(name, "inside.test") == 0)
		*out = chain_address(chain_address(NULL, "::ffff:10.0.0.1", port), "169.254.169.254", port);
	else if (strcmp(name, "half-inside.test") == 0)
		*out = chain_address(chain_address(NULL, "127.0.0.1", port), "10.0.0.1", port);
	else if (strcmp(name, "rebinding.test") == 0)
		*out = chain_address(NULL, nth == 0 ? "127.0.0.1" : "10.0.0.1", port);
	else if (strcmp(name, "slow.test") == 0)
		sleep(4);
	return *out == NULL ? EAI_NONAME : 0;
}

/* --- The host --- */

static struct https_host *host;
static char tls_ca[PKI_PATH_SIZE];

static int start_host(void **state)
{
	host = host_start();
	if (host != NULL)
		pki_path(host->pki, tls_ca, "tls.pem");
	return 0;
}

static int stop_host(void **state)
{
	host_stop(host);
	return 0;
}

static struct http_options usual(void)
{
	return (struct http_options){
		.tls_ca = tls_ca, .allowed = &host_loopback, .allowed_count = 1, .deadline_ms = DEADLINE_MS
	};
}

/* What a fetch brought, with a copy of the body. */
struct outcome {
	bool done;
	struct http_answer answer;
	char body[HTTP_BODY_MAX];
};

static void note(void *context, const struct http_answer *answer)
{
	struct outcome *outcome = context;

	assert_false(outcome->done);
	outcome->done = true;
	outcome->answer = *answer;
	if (answer->body.length > 0)
		memcpy(outcome->body, answer->body.at, answer->body.length);
	outcome->answer.body.at = outcome->body;
}

static void wait_for(struct http_client *client, const struct outcome *outcome)
{
	int64_t give_up = monotonic_us() + PATIENCE_US;
	int never[2];

	assert_int_equal(pipe(never), 0);
	while (!outcome->done && monotonic_us() < give_up)
		http_client_wait(client, never[0], 100);
	close(never[0]);
	close(never[1]);
	assert_true(outcome->done);
}

static void fetch_with(const struct http_options *options, const char *url, struct outcome *outcome)
{
	struct http_client *client = http_client_new(options);

	memset(outcome, 0, offsetof(struct outcome, body));
	assert_non_null(client);
	assert_true(http_fetch(client, url, note, outcome));
	wait_for(client, outcome);
	http_client_free(client);
}

static void fetch(const char *path, struct outcome *outcome)
{
	struct http_options options = usual();
	char url[HOST_URL_SIZE];

	if (host == NULL)
		skip();
	fetch_with(&options, host_url(host, url, path), outcome);
}

static void expect_chain(const struct outcome *outcome)
{
	char path[PKI_PATH_SIZE], text[8192];
	size_t length;
	FILE *file;

	pki_path(host->pki, path, "good.pem");
	file = fopen(path, "r");
	length = fread(text, 1, sizeof text, file);
	fclose(file);
	if (!outcome->answer.good)
		fail_msg("%s", outcome->answer.detail);
	assert_int_equal(outcome->answer.status, 200);
	assert_false(outcome->answer.host_fails);
	assert_string_equal(outcome->answer.detail, "");
	assert_int_equal(outcome->answer.body.length, length);
	assert_memory_equal(outcome->body, text, length);
}

static void expect_fault(const struct outcome *outcome, const char *detail, bool host_fails)
{
	assert_false(outcome->answer.good);
	assert_int_equal(outcome->answer.body.length, 0);
	if (strstr(outcome->answer.detail, detail) == NULL)
		fail_msg("\"%s\" is not \"%s\"", outcome->answer.detail, detail);
	assert_int_equal(outcome->answer.host_fails, host_fails);
}

static void test_fetches_a_chain(void **state)
{
	static const char *const paths[] = { "/good.pem", "/chunked", "/no-length", "/wrong-type",
		"/wait/200/good.pem" };
	static struct outcome outcome;

	for (size_t i = 0; i < COUNT(paths); i++) {
		fetch(paths[i], &outcome);
		expect_chain(&outcome);
	}
}

static void test_each_fault_has_its_words(void **state)
{
	static const struct {
		const char *path, *detail;
		bool host_fails;
	} cases[] = {
		{ "/nowhere.pem", "HTTP status 404", false },
		{ "/status/204", "HTTP status 204", false },
		{ "/status/206", "HTTP status 206", false },
		{ "/status/301", "HTTP status 301, and redirects are not followed", false },
		{ "/status/302", "HTTP status 302, and redirects are not followed", false },
		{ "/status/307", "HTTP status 307, and redirects are not followed", false },
		{ "/status/401", "HTTP status 401", false },
		{ "/status/407", "HTTP status 407", false },
		{ "/status/410", "HTTP status 410", false },
		{ "/status/429", "HTTP status 429", true },
		{ "/status/500", "HTTP status 500", true },
		{ "/status/503", "HTTP status 503", true },
		{ "/empty", "an empty answer", false },
		{ "/silence", "no answer came within 1500 ms", true },
		{ "/slow", "the answer did not end within 1500 ms", true },
		{ "/reset", "the connection broke", true },
		{ "/nothing", "the host closed the connection without an answer", true },
		{ "/early", "the answer ended early", true },
		{ "/garbage", "", true },
		{ "/gzip", "content encoding \"gzip\", which was not asked for", false },
		{ "/gzip-bomb", "content encoding \"gzip\", which was not asked for", false },
		{ "/64k-and-one", "more than 65536 octets", false },
		{ "/64k-and-one-no-length", "more than 65536 octets", false },
		{ "/10-gigabytes", "more than 65536 octets", false },
		{ "/endless-body", "more than 65536 octets", false },
		{ "/endless-headers", "more than 16384 octets of header", false },
		{ "/endless-100", "more than 16384 octets of header", false },
		{ "/header/X:%1b%0d%0aContent-Encoding:%20br%1b/good.pem", "content encoding \"br?\"",
			false },
	};
	static struct outcome outcome;

	for (size_t i = 0; i < COUNT(cases); i++) {
		fetch(cases[i].path, &outcome);
		expect_fault(&outcome, cases[i].detail, cases[i].host_fails);
	}
}

static void test_what_never_ends_costs_little(void **state)
{
	static const char *const paths[] = { "/10-gigabytes", "/endless-body", "/endless-chunks",
		"/endless-chunk-extension", "/endless-headers", "/endless-header-line", "/endless-100",
		"/gzip-bomb" };
	static struct outcome outcome;
	struct rusage before, after;

	fetch("/good.pem", &outcome);
	for (size_t i = 0; i < COUNT(paths); i++) {
		int64_t start = monotonic_us();

		getrusage(RUSAGE_SELF, &before);
		fetch(paths[i], &outcome);
		getrusage(RUSAGE_SELF, &after);
		assert_false(outcome.answer.good);
		if (monotonic_us() - start > 1000 * INT64_C(1000))
			fail_msg("%s: only the deadline ended it: %s", paths[i], outcome.answer.detail);
		assert_true(after.ru_maxrss - before.ru_maxrss < 4096);
	}
}

static void test_exactly_the_limit(void **state)
{
	static struct outcome outcome;

	fetch("/exactly-64k", &outcome);
	assert_true(outcome.answer.good);
	assert_int_equal(outcome.answer.body.length, 65536);
}

static void test_redirects_are_not_followed(void **state)
{
	static struct outcome outcome;
	unsigned before = host == NULL ? 0 : host_count(host, "connection");

	fetch("/status/302", &outcome);
	assert_int_equal(host_count(host, "connection"), before + 1);
}

static void test_deadline_holds_at_every_stage(void **state)
{
	static struct outcome outcome;
	struct http_options options = usual();
	char url[HOST_URL_SIZE];

	if (host == NULL)
		skip();
	options.deadline_ms = 300;
	for (int stage = 0; stage < 3; stage++) {
		int64_t start = monotonic_us();

		if (stage == 0)
			snprintf(url, sizeof url, "https://127.0.0.1:%u/good.pem", host->stalled_port);
		else
			host_url(host, url, stage == 1 ? "/silence" : "/slow");
		fetch_with(&options, url, &outcome);
		expect_fault(&outcome,
			stage == 0   ? "the TLS handshake did not end within 300 ms"
			: stage == 1 ? "no answer came within 300 ms"
				     : "the answer did not end within 300 ms",
			true);
		assert_in_range(monotonic_us() - start, 290000, 600000);
	}
}

/* Nor does the client, when it goes, wait for the resolver. */
static void test_slow_name_resolution_holds_nobody_up(void **state)
{
	static struct outcome slow, good;
	struct http_options options = usual();
	struct http_client *client = http_client_new(&options);
	int64_t start = monotonic_us();
	char url[HOST_URL_SIZE];

	if (host == NULL) {
		http_client_free(client);
		skip();
	}
	slow.done = good.done = false;
	assert_true(http_fetch(client, "https://slow.test/a.pem", note, &slow));
	assert_true(http_fetch(client, host_url(host, url, "/good.pem"), note, &good));
	wait_for(client, &good);
	expect_chain(&good);
	assert_true(monotonic_us() - start < 1000000);
	wait_for(client, &slow);
	expect_fault(&slow, "the host name was not resolved within 1500 ms", true);
	assert_in_range(monotonic_us() - start, 1490000, 2500000);
	assert_true(http_fetch(client, "https://slow.test/a.pem", note, &slow));
	http_client_wait(client, 0, 50);
	http_client_free(client);
	assert_true(monotonic_us() - start < 3500000);
}

static void test_hosts_that_cannot_be_reached(void **state)
{
	static struct outcome outcome;
	struct http_options options = usual();
	char url[HOST_URL_SIZE];

	if (host == NULL)
		skip();
	fetch_with(&options, "https://nowhere.test/a.pem", &outcome);
	expect_fault(&outcome, "the host name has no address", true);
	fetch_with(&options, "https://127.0.0.1:1/a.pem", &outcome);
	expect_fault(&outcome, "no connection: Connection refused", true);
	snprintf(url, sizeof url, "https://127.0.0.1:%u/a.pem", host->reset_port);
	fetch_with(&options, url, &outcome);
	/* In the handshake, or before it is seen to begin. */
	expect_fault(&outcome, "onnection", true);
}

static void test_the_hosts_certificate_is_checked(void **state)
{
	static struct outcome outcome;
	struct http_options options = usual();
	char url[HOST_URL_SIZE];

	if (host == NULL)
		skip();
	snprintf(url, sizeof url, "https://alias.test:%u/good.pem", host->port);
	fetch_with(&options, url, &outcome);
	expect_fault(&outcome, "the host's TLS certificate is not accepted: ", true);
	options.tls_ca = NULL;
	fetch_with(&options, host_url(host, url, "/good.pem"), &outcome);
	expect_fault(&outcome, "the host's TLS certificate is not accepted: ", true);
	options.tls_ca = "/nowhere/ca.pem";
	fetch_with(&options, host_url(host, url, "/good.pem"), &outcome);
	expect_fault(&outcome, "the web CAs cannot be read: ", true);
}

static void test_the_environment_has_no_say(void **state)
{
	static struct outcome outcome;

	setenv("https_proxy", "http://127.0.0.1:1", 1);
	setenv("HTTPS_PROXY", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	fetch("/good.pem", &outcome);
	expect_chain(&outcome);
	unsetenv("https_proxy");
	unsetenv("HTTPS_PROXY");
	unsetenv("ALL_PROXY");
}

/* --- Addresses --- */

static void test_no_connection_reaches_a_special_address(void **state)
{
	static const char *const names[] = { "127.0.0.1", "good.test", "[::ffff:127.0.0.1]" };
	static struct outcome outcome;
	struct http_options options = usual();
	unsigned before;
	char url[HOST_URL_SIZE];

	if (host == NULL)
		skip();
	options.allowed_count = 0;
	before = host_count(host, "connection");
	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(url, sizeof url, "https://%s:%u/good.pem", names[i], host->port);
		fetch_with(&options, url, &outcome);
		snprintf(url, sizeof url, "the host's address is not a public one: 127.0.0.1:%u", host->port);
		expect_fault(&outcome, url, true);
	}
	fetch_with(&options, "https://inside.test/latest/meta-data", &outcome);
	expect_fault(&outcome, "the host's address is not a public one: ", true);
	assert_int_equal(host_count(host, "connection"), before);
}

static void test_every_address_of_a_host_is_checked(void **state)
{
	static struct outcome outcome;
	struct http_options options = usual();
	char url[HOST_URL_SIZE];

	if (host == NULL)
		skip();
	snprintf(url, sizeof url, "https://half-inside.test:%u/good.pem", host->port);
	fetch_with(&options, url, &outcome);
	expect_chain(&outcome);
}

static void test_every_attempt_is_checked(void **state)
{
	static struct outcome outcome;
	struct http_options options = usual();
	struct http_client *client = http_client_new(&options);
	char url[HOST_URL_SIZE];

	if (host == NULL) {
		http_client_free(client);
		skip();
	}
	lookups = 0;
	snprintf(url, sizeof url, "https://rebinding.test:%u/good.pem", host->port);
	outcome.done = false;
	assert_true(http_fetch(client, url, note, &outcome));
	wait_for(client, &outcome);
	expect_chain(&outcome);
	outcome.done = false;
	assert_true(http_fetch(client, url, note, &outcome));
	wait_for(client, &outcome);
	expect_fault(&outcome, "the host's address is not a public one: 10.0.0.1:", true);
	http_client_free(client);
}

/* --- Many at once --- */

static void test_fetches_go_on_beside_each_other(void **state)
{
	static struct outcome outcomes[20];
	struct http_options options = usual();
	struct http_client *client = http_client_new(&options);
	int64_t start = monotonic_us();
	char url[HOST_URL_SIZE];

	if (host == NULL) {
		http_client_free(client);
		skip();
	}
	for (size_t i = 0; i < COUNT(outcomes); i++) {
		host_url(host, url, i % 2 == 0 ? "/wait/300/good.pem" : "/silence");
		outcomes[i].done = false;
		assert_true(http_fetch(client, url, note, &outcomes[i]));
	}
	for (size_t i = 0; i < COUNT(outcomes); i += 2) {
		wait_for(client, &outcomes[i]);
		expect_chain(&outcomes[i]);
	}
	assert_true(monotonic_us() - start < 1300000);
	/* The others are dropped. */
	http_client_free(client);
	assert_false(outcomes[1].done);
}

static void test_waits_for_a_descriptor_too(void **state)
{
	struct http_options options = usual();
	struct http_client *client = http_client_new(&options);
	int64_t start = monotonic_us();
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	http_client_wait(client, ends[0], 5000);
	assert_true(monotonic_us() - start < 1000000);
	close(ends[0]);
	close(ends[1]);
	http_client_free(client);
}

/* --- Freshness --- */

#define NOW INT64_C(784111777) /* Sun, 06 Nov 1994 08:49:37 GMT */

static void test_freshness(void **state)
{
	static const struct {
		const char *behaviour;
		const char *lines[4];
		int64_t lifetime;
		bool no_store;
	} cases[] = {
		{ "nothing said", { "Server: x" }, 0, false },
		{ "max-age", { "Cache-Control: max-age=600" }, 600, false },
		{ "any case and order", { "cache-CONTROL:public ,  MAX-AGE=600,must-revalidate" }, 600,
			false },
		{ "quoted", { "Cache-Control: max-age=\"600\"" }, 600, false },
		{ "less age", { "Cache-Control: max-age=600", "Age: 100" }, 500, false },
		{ "older than it may be", { "Cache-Control: max-age=600", "Age: 700" }, 0, false },
		{ "two: the shorter", { "Cache-Control: max-age=600", "Cache-Control: max-age=60" }, 60,
			false },
		{ "not a number", { "Cache-Control: max-age=never" }, 0, false },
		{ "negative", { "Cache-Control: max-age=-1" }, 0, false },
		{ "without a value", { "Cache-Control: max-age" }, 0, false },
		{ "no end of it", { "Cache-Control: max-age=99999999999999999999999999" },
			INT64_C(2147483648), false },
		{ "inside a string", { "Cache-Control: private=\"x, max-age=600\"" }, 0, false },
		{ "after a string", { "Cache-Control: private=\"\\\"x,\", max-age=600" }, 600, false },
		{ "a string without end", { "Cache-Control: private=\"x, max-age=600" }, 0, false },
		{ "for shared caches", { "Cache-Control: s-maxage=600" }, 0, false },
		{ "no-store", { "Cache-Control: no-store, max-age=600" }, 0, true },
		{ "no-cache", { "Cache-Control: no-cache, max-age=600" }, 0, false },
		{ "Expires", { "Expires: Sun, 06 Nov 1994 09:49:37 GMT" }, 3600, false },
		{ "by their clock",
			{ "Expires: Sun, 06 Nov 1994 09:49:37 GMT", "Date: Sun, 06 Nov 1994 09:39:37 GMT" },
			600, false },
		{ "max-age wins", { "Expires: Sun, 06 Nov 1994 09:49:37 GMT", "Cache-Control: max-age=5" }, 5,
			false },
		{ "past", { "Expires: Sun, 06 Nov 1994 07:49:37 GMT" }, 0, false },
		{ "not a date", { "Expires: 0" }, 0, false },
		{ "empty", { "Cache-Control:", "Expires:", "Age:", "Date:" }, 0, false },
		{ "only commas", { "Cache-Control: ,,,=,\"," }, 0, false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct http_freshness freshness = { 0 };

		for (size_t n = 0; n < COUNT(cases[i].lines) && cases[i].lines[n] != NULL; n++) {
			const char *line = cases[i].lines[n];
			size_t name = strcspn(line, ":");

			http_freshness_read(
				&freshness, (struct span){ line, name }, span_trim(span_of(line + name + 1)));
		}
		if (http_freshness_until(&freshness, NOW) != NOW + cases[i].lifetime)
			fail_msg("%s: %lld", cases[i].behaviour,
				(long long)http_freshness_until(&freshness, NOW) - NOW);
		assert_int_equal(freshness.no_store, cases[i].no_store);
	}
}

static void test_answers_say_how_long_to_keep_them(void **state)
{
	static struct outcome outcome;
	int64_t now = wall_us() / 1000000;

	fetch("/header/Cache-Control:%20max-age=90000/good.pem", &outcome);
	expect_chain(&outcome);
	assert_in_range(outcome.answer.fresh_until, now + 90000, now + 90010);
	assert_false(outcome.answer.no_store);
	fetch("/header/Cache-Control:%20no-store/good.pem", &outcome);
	assert_true(outcome.answer.no_store);
	fetch("/good.pem", &outcome);
	assert_in_range(outcome.answer.fresh_until, now, now + 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fetches_a_chain),
		cmocka_unit_test(test_each_fault_has_its_words),
		cmocka_unit_test(test_what_never_ends_costs_little),
		cmocka_unit_test(test_exactly_the_limit),
		cmocka_unit_test(test_redirects_are_not_followed),
		cmocka_unit_test(test_deadline_holds_at_every_stage),
		cmocka_unit_test(test_slow_name_resolution_holds_nobody_up),
		cmocka_unit_test(test_hosts_that_cannot_be_reached),
		cmocka_unit_test(test_the_hosts_certificate_is_checked),
		cmocka_unit_test(test_the_environment_has_no_say),
		cmocka_unit_test(test_no_connection_reaches_a_special_address),
		cmocka_unit_test(test_every_address_of_a_host_is_checked),
		cmocka_unit_test(test_every_attempt_is_checked),
		cmocka_unit_test(test_fetches_go_on_beside_each_other),
		cmocka_unit_test(test_waits_for_a_descriptor_too),
		cmocka_unit_test(test_freshness),
		cmocka_unit_test(test_answers_say_how_long_to_keep_them),
	};

	return cmocka_run_group_tests(tests, start_host, stop_host);
}
