#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

#include "dns-server.h"
#include "stirrup/hops.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define S INT64_C(1000000)

/* --- Scaffold: a configuration, hops, and what they send and say --- */

static char folder[] = "/tmp/stirrup-test-hops-XXXXXX";

static void remember(enum config_severity severity, const char *line, void *context)
{
	if (severity == CONFIG_ERROR)
		fail_msg("%s", line);
}

static struct config *configure(const char *format, ...) __attribute__((format(printf, 1, 2)));
static struct config *configure(const char *format, ...)
{
	struct config_report *report = config_report_new();
	struct config_source *source;
	struct config *config;
	char path[128], why[256];
	va_list arguments;
	FILE *file;

	snprintf(path, sizeof path, "%s/stirrup.conf", folder);
	file = fopen(path, "w");
	assert_non_null(file);
	va_start(arguments, format);
	vfprintf(file, format, arguments);
	va_end(arguments);
	fclose(file);
	source = config_source_read(path, why, sizeof why);
	assert_non_null(source);
	config = config_parse(source, report);
	config_report_each(report, remember, NULL);
	assert_non_null(config);
	config_source_free(source);
	config_report_free(report);
	unlink(path);
	return config;
}

#define LISTEN "[ \"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\", \"udp:[::1]:5060\" ]"

/* One peer with these next hops, asked for at the test's own server. */
static struct config *peer_with(const char *next_hop, const char *settings)
{
	return configure(
		"sip: { listen = " LISTEN "; dns_servers = [ \"127.0.0.1:%u\" ]; %s };\n"
		"peers = ( { name = \"a\"; addresses = [ \"192.0.2.1\" ]; unknown_customer = \"unsigned\";\n"
		"mode = \"forward\"; next_hop = %s; } );",
		dns.port, settings, next_hop);
}

#define PROBES_MAX 64

struct probes {
	char texts[PROBES_MAX][NET_TEXT_SIZE];
	char branches[PROBES_MAX][64];
	size_t count;
	struct hops *hops; /* not NULL: the connection is refused, from within the callback */
};

static void send_probe(const struct hop *hop, struct span branch, void *context)
{
	struct probes *probes = context;

	assert_true(probes->count < PROBES_MAX);
	snprintf(probes->texts[probes->count], NET_TEXT_SIZE, "%s", hop->text);
	assert_true(span_copy(probes->branches[probes->count], 64, branch));
	probes->count++;
	if (probes->hops != NULL)
		hops_refused(probes->hops, &hop->address, hop->transport);
}

static struct probes probes;

static struct hops *hops_of(const struct config *config)
{
	struct hops *hops;

	probes = (struct probes){ .count = 0 };
	hops = hops_new(send_probe, &probes);
	assert_non_null(hops);
	hops_configure(hops, config);
	return hops;
}

/* "198.51.100.7:5060 [2001:db8::7]:5060/t" */
static const char *chosen_text(const struct hops *hops, const struct peer *peer, uint64_t hash)
{
	static char text[HOPS_CHOSEN_MAX * (NET_TEXT_SIZE + 3)];
	struct hop chosen[HOPS_CHOSEN_MAX];
	size_t count = hops_choose(hops, peer->next_hops, peer->next_hop_count, hash, chosen), length = 0;

	text[0] = '\0';
	for (size_t i = 0; i < count; i++)
		length += (size_t)snprintf(text + length, sizeof text - length, "%s%s%s", i > 0 ? " " : "",
			chosen[i].text, chosen[i].transport == TRANSPORT_TCP ? "/t" : "");
	return text;
}

/* The chosen ones in the order of their texts: where the order is the hash's. */
static int by_text(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static const char *sorted_text(const struct hops *hops, const struct peer *peer)
{
	static char text[HOPS_CHOSEN_MAX * (NET_TEXT_SIZE + 3)];
	char copy[sizeof text], *items[HOPS_CHOSEN_MAX], *rest = copy;
	size_t count = 0;

	snprintf(copy, sizeof copy, "%s", chosen_text(hops, peer, 1));
	while (*rest != '\0' && count < HOPS_CHOSEN_MAX) {
		items[count++] = rest;
		rest += strcspn(rest, " ");
		if (*rest == ' ')
			*rest++ = '\0';
	}
	qsort(items, count, sizeof *items, by_text);
	text[0] = '\0';
	for (size_t i = 0; i < count; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i > 0 ? " " : "", items[i]);
	return text;
}

static void turn(struct hops *hops, int64_t now_us)
{
	struct pollfd polled = { .fd = hops_fd(hops), .events = POLLIN };

	(void)poll(&polled, 1, 20);
	hops_tick(hops, now_us);
}

/* Until the list has these addresses; the clock stands. */
static void wait_for(struct hops *hops, const struct peer *peer, int64_t now_us, const char *expected)
{
	for (int i = 0; i < 500; i++) {
		if (strcmp(sorted_text(hops, peer), expected) == 0)
			return;
		turn(hops, now_us);
	}
	fail_msg("\"%s\" in place of \"%s\"", sorted_text(hops, peer), expected);
}

static void wait_asked(struct hops *hops, int64_t now_us, const char *name, unsigned type, unsigned more_than)
{
	for (int i = 0; i < 500 && dns_asked(name, type) <= more_than; i++)
		turn(hops, now_us);
	if (dns_asked(name, type) <= more_than)
		fail_msg("%s is not asked for", name);
	turn(hops, now_us);
}

static void assert_not_asked(struct hops *hops, int64_t now_us, const char *name, unsigned type)
{
	unsigned before = dns_asked(name, type);

	for (int i = 0; i < 3; i++)
		turn(hops, now_us);
	assert_int_equal(dns_asked(name, type), before);
}

static int saved_stderr = -1;

static void listen_to_log(void)
{
	char path[128];
	int fd;

	snprintf(path, sizeof path, "%s/log", folder);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	saved_stderr = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

static const char *end_of_log(void)
{
	static char text[8192];
	char path[128];
	ssize_t length = pread(STDERR_FILENO, text, sizeof text - 1, 0);

	assert_true(length >= 0);
	text[length] = '\0';
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	snprintf(path, sizeof path, "%s/log", folder);
	unlink(path);
	return text;
}

static unsigned count_of(const char *text, const char *part)
{
	unsigned count = 0;

	for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part))
		count++;
	return count;
}

static struct sockaddr_storage address_of(const char *host, unsigned port)
{
	struct sockaddr_storage address = { 0 };

	address.ss_family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
	assert_int_equal(
		inet_pton(address.ss_family, host,
			address.ss_family == AF_INET ? (void *)&((struct sockaddr_in *)&address)->sin_addr
						     : (void *)&((struct sockaddr_in6 *)&address)->sin6_addr),
		1);
	net_set_port(&address, port);
	return address;
}

static void fail_hop(struct hops *hops, const char *host)
{
	struct sockaddr_storage address = address_of(host, 5060);

	hops_failed(hops, &address, TRANSPORT_UDP);
}

static void refuse_hop(struct hops *hops, const char *host)
{
	struct sockaddr_storage address = address_of(host, 5060);

	hops_refused(hops, &address, TRANSPORT_UDP);
}

static void answer_hop(struct hops *hops, const char *host)
{
	struct sockaddr_storage address = address_of(host, 5060);

	hops_answered(hops, &address, TRANSPORT_UDP);
}

/* --- The order --- */

static void a_list_is_tried_in_its_order(void **state)
{
	struct config *config = peer_with(
		"[ \"sip:198.51.100.9\", \"sip:[2001:db8::7]:5070\", \"sip:198.51.100.7;transport=tcp\" ]",
		"");
	struct hops *hops = hops_of(config);
	struct hop chosen[HOPS_CHOSEN_MAX];

	for (uint64_t hash = 0; hash < 10; hash++)
		assert_string_equal(chosen_text(hops, config->peers, hash),
			"198.51.100.9:5060 [2001:db8::7]:5070 198.51.100.7:5060/t");
	assert_int_equal(hops_choose(hops, config->peers[0].next_hops, 3, 0, chosen), 3);
	assert_false(chosen[0].transport_given);
	assert_true(chosen[2].transport_given);
	assert_int_equal(hops_choose(hops, NULL, 0, 0, chosen), 0);
	hops_free(hops);
	config_free(config);
}

static void more_hops_than_a_call_can_try_are_cut(void **state)
{
	struct config *config = peer_with(
		"[ \"sip:198.51.100.1\", \"sip:198.51.100.2\", \"sip:198.51.100.3\", \"sip:198.51.100.4\", "
		"\"sip:198.51.100.5\",\n"
		"\"sip:198.51.100.6\", \"sip:198.51.100.7\", \"sip:198.51.100.8\", \"sip:198.51.100.9\" ]",
		"");
	struct hops *hops = hops_of(config);
	struct hop chosen[HOPS_CHOSEN_MAX];

	assert_int_equal(hops_choose(hops, config->peers[0].next_hops, 9, 0, chosen), HOPS_CHOSEN_MAX);
	assert_string_equal(chosen[7].text, "198.51.100.8:5060");
	refuse_hop(hops, "198.51.100.1");
	assert_int_equal(hops_choose(hops, config->peers[0].next_hops, 9, 0, chosen), HOPS_CHOSEN_MAX);
	assert_string_equal(chosen[0].text, "198.51.100.2:5060");
	assert_string_equal(chosen[7].text, "198.51.100.9:5060");
	hops_free(hops);
	config_free(config);
}

static void weights_share_the_calls_out(void **state)
{
	struct config *config = peer_with("( { uri = \"sip:198.51.100.1\"; weight = 1; }, { uri = "
					  "\"sip:198.51.100.2\"; weight = 3; },\n"
					  "{ uri = \"sip:198.51.100.3\"; weight = 6; } )",
		"");
	struct hops *hops = hops_of(config);
	unsigned first[4] = { 0 };

	for (uint64_t hash = 0; hash < 10000; hash++) {
		struct hop chosen[HOPS_CHOSEN_MAX], again[HOPS_CHOSEN_MAX];

		assert_int_equal(hops_choose(hops, config->peers[0].next_hops, 3, hash, chosen), 3);
		assert_int_equal(hops_choose(hops, config->peers[0].next_hops, 3, hash, again), 3);
		assert_string_equal(chosen[0].text, again[0].text);
		assert_string_equal(chosen[1].text, again[1].text);
		assert_string_not_equal(chosen[0].text, chosen[1].text);
		assert_string_not_equal(chosen[1].text, chosen[2].text);
		first[chosen[0].text[11] - '0']++;
	}
	assert_in_range(first[1], 850, 1150);
	assert_in_range(first[2], 2800, 3200);
	assert_in_range(first[3], 5800, 6200);

	/* Without the third, its calls are shared by the others' weights; theirs stay where they were. */
	refuse_hop(hops, "198.51.100.3");
	memset(first, 0, sizeof first);
	for (uint64_t hash = 0; hash < 10000; hash++) {
		struct hop chosen[HOPS_CHOSEN_MAX];

		assert_int_equal(hops_choose(hops, config->peers[0].next_hops, 3, hash, chosen), 3);
		assert_string_equal(chosen[2].text, "198.51.100.3:5060");
		first[chosen[0].text[11] - '0']++;
	}
	assert_in_range(first[1], 2200, 2800);
	assert_in_range(first[2], 7200, 7800);
	hops_free(hops);
	config_free(config);
}

static void what_does_not_answer_comes_last(void **state)
{
	struct config *config =
		peer_with("[ \"sip:198.51.100.1\", \"sip:198.51.100.2\", \"sip:198.51.100.3\" ]", "");
	const struct peer *peer = config->peers;
	struct hops *hops = hops_of(config);
	const char *log;

	listen_to_log();
	fail_hop(hops, "198.51.100.1");
	assert_string_equal(
		chosen_text(hops, peer, 0), "198.51.100.1:5060 198.51.100.2:5060 198.51.100.3:5060");
	fail_hop(hops, "198.51.100.1");
	assert_string_equal(
		chosen_text(hops, peer, 0), "198.51.100.2:5060 198.51.100.3:5060 198.51.100.1:5060");
	fail_hop(hops, "198.51.100.1");
	refuse_hop(hops, "198.51.100.2");
	assert_string_equal(
		chosen_text(hops, peer, 0), "198.51.100.3:5060 198.51.100.1:5060 198.51.100.2:5060");
	fail_hop(hops, "198.51.100.3");
	fail_hop(hops, "198.51.100.3");
	/* All are down: all are tried. */
	assert_string_equal(
		chosen_text(hops, peer, 0), "198.51.100.1:5060 198.51.100.2:5060 198.51.100.3:5060");
	answer_hop(hops, "198.51.100.2");
	answer_hop(hops, "198.51.100.2");
	assert_string_equal(
		chosen_text(hops, peer, 0), "198.51.100.2:5060 198.51.100.1:5060 198.51.100.3:5060");
	/* Somebody else's address. */
	refuse_hop(hops, "203.0.113.1");
	answer_hop(hops, "203.0.113.1");
	log = end_of_log();
	assert_int_equal(count_of(log, "\n"), 4);
	assert_int_equal(
		count_of(log,
			"next hop 198.51.100.1:5060 does not answer: requests get no response, or 503\n"),
		1);
	assert_int_equal(
		count_of(log, "next hop 198.51.100.2:5060 does not answer: the connection is refused\n"), 1);
	assert_int_equal(
		count_of(log,
			"next hop 198.51.100.3:5060 does not answer: requests get no response, or 503\n"),
		1);
	assert_int_equal(count_of(log, "next hop 198.51.100.2:5060 answers again\n"), 1);
	hops_free(hops);
	config_free(config);
}

static void the_transports_of_an_address_are_two_places(void **state)
{
	struct config *config =
		peer_with("[ \"sip:198.51.100.1;transport=udp\", \"sip:198.51.100.1;transport=tcp\" ]", "");
	struct sockaddr_storage address = address_of("198.51.100.1", 5060);
	struct hops *hops = hops_of(config);

	hops_refused(hops, &address, TRANSPORT_UDP);
	assert_string_equal(chosen_text(hops, config->peers, 0), "198.51.100.1:5060/t 198.51.100.1:5060");
	hops_answered(hops, &address, TRANSPORT_TCP);
	assert_string_equal(chosen_text(hops, config->peers, 0), "198.51.100.1:5060/t 198.51.100.1:5060");
	hops_answered(hops, &address, TRANSPORT_UDP);
	assert_string_equal(chosen_text(hops, config->peers, 0), "198.51.100.1:5060 198.51.100.1:5060/t");
	hops_free(hops);
	config_free(config);
}

static bool first_takes_tcp(struct hops *hops, const struct config *config)
{
	struct hop chosen[HOPS_CHOSEN_MAX];

	assert_true(hops_choose(hops, config->peers->next_hops, config->peers->next_hop_count, 0, chosen) > 0);
	return !chosen[0].takes_no_tcp;
}

static void a_hop_of_udp_without_tcp_is_known_for_five_minutes(void **state)
{
	struct config *config = peer_with("\"sip:198.51.100.1\"", "");
	struct sockaddr_storage address = address_of("198.51.100.1", 5060);
	struct hops *hops = hops_of(config);

	hops_tick(hops, 1000000);
	assert_true(first_takes_tcp(hops, config));
	hops_takes_no_tcp(hops, &address);
	assert_false(first_takes_tcp(hops, config));
	hops_tick(hops, 300 * INT64_C(1000000));
	assert_false(first_takes_tcp(hops, config));
	hops_tick(hops, 301 * INT64_C(1000000));
	assert_true(first_takes_tcp(hops, config));
	hops_free(hops);
	config_free(config);
}

static void what_a_hop_of_udp_answers_by_tcp_counts(void **state)
{
	struct config *config = peer_with("[ \"sip:198.51.100.1\", \"sip:198.51.100.2\" ]", "");
	struct sockaddr_storage address = address_of("198.51.100.1", 5060);
	struct hops *hops = hops_of(config);

	for (int i = 0; i < 3; i++) {
		fail_hop(hops, "198.51.100.1");
		hops_answered(hops, &address, TRANSPORT_TCP);
	}
	assert_string_equal(chosen_text(hops, config->peers, 0), "198.51.100.1:5060 198.51.100.2:5060");
	hops_free(hops);
	config_free(config);
}

/* --- Probes --- */

static void a_hop_is_probed_and_its_answer_counts(void **state)
{
	struct config *config = peer_with("\"sip:198.51.100.1\"", "");
	struct hops *hops = hops_of(config);
	char foreign[64];

	assert_int_equal(probes.count, 0);
	hops_tick(hops, 100 * S);
	assert_int_equal(probes.count, 1);
	assert_string_equal(probes.texts[0], "198.51.100.1:5060");
	assert_int_equal(strncmp(probes.branches[0], "z9hG4bKp", 8), 0);
	assert_true(hops_is_probe(hops, span_of(probes.branches[0])));
	assert_false(hops_is_probe(hops, span_of("")));
	assert_false(hops_is_probe(hops, span_of("z9hG4bKp")));
	snprintf(foreign, sizeof foreign, "%s", probes.branches[0]);
	foreign[8] = foreign[8] == '0' ? '1' : '0';
	assert_false(hops_is_probe(hops, span_of(foreign)));
	hops_probe_answered(hops, span_of(foreign), 200);

	hops_tick(hops, 102 * S);
	assert_int_equal(probes.count, 2);
	assert_string_not_equal(probes.branches[0], probes.branches[1]);
	assert_true(hops_is_probe(hops, span_of(probes.branches[0])));
	hops_probe_answered(hops, span_of(probes.branches[1]), 200);
	hops_tick(hops, 131 * S);
	assert_int_equal(probes.count, 2);
	hops_tick(hops, 132 * S);
	assert_int_equal(probes.count, 3);
	hops_free(hops);
	config_free(config);
}

static void only_408_and_503_to_a_probe_are_failures(void **state)
{
	static const struct {
		unsigned status;
		bool up;
	} cases[] = { { 200, true }, { 401, true }, { 404, true }, { 405, true }, { 408, false },
		{ 481, true }, { 500, true }, { 503, false }, { 603, true } };

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config *config = peer_with("[ \"sip:198.51.100.1\", \"sip:198.51.100.2\" ]", "");
		struct hops *hops = hops_of(config);
		const char *first;

		hops_tick(hops, 0);
		assert_int_equal(probes.count, 2);
		fail_hop(hops, "198.51.100.1");
		for (size_t at = 0; at < 2; at++)
			if (strcmp(probes.texts[at], "198.51.100.1:5060") == 0)
				hops_probe_answered(hops, span_of(probes.branches[at]), cases[i].status);
		first = chosen_text(hops, config->peers, 0);
		if ((strncmp(first, "198.51.100.1:", 13) == 0) != cases[i].up)
			fail_msg("%u: %s", cases[i].status, first);
		hops_free(hops);
		config_free(config);
	}
}

static void a_copy_of_a_probes_response_says_nothing_new(void **state)
{
	struct config *config = peer_with("[ \"sip:198.51.100.1\", \"sip:198.51.100.2\" ]", "");
	struct hops *hops = hops_of(config);

	hops_tick(hops, 0);
	for (size_t at = 0; at < 2; at++)
		for (int copies = 0; copies < 3; copies++)
			if (strcmp(probes.texts[at], "198.51.100.1:5060") == 0)
				hops_probe_answered(hops, span_of(probes.branches[at]), 503);
	assert_string_equal(chosen_text(hops, config->peers, 0), "198.51.100.1:5060 198.51.100.2:5060");
	hops_free(hops);
	config_free(config);
}

static void a_probe_may_be_refused_on_the_spot(void **state)
{
	struct config *config = peer_with("[ \"sip:198.51.100.1\", \"sip:198.51.100.2;transport=tcp\" ]", "");
	struct hops *hops = hops_of(config);

	probes.hops = hops;
	listen_to_log();
	hops_tick(hops, 0);
	hops_tick(hops, 1 * S);
	assert_int_equal(probes.count, 2);
	hops_tick(hops, 2 * S);
	assert_int_equal(probes.count, 4);
	assert_non_null(strstr(end_of_log(),
		"next hop 198.51.100.2:5060 does not answer by TCP: the connection is refused\n"));
	hops_free(hops);
	config_free(config);
}

static void without_an_interval_nobody_is_probed(void **state)
{
	struct config *config =
		peer_with("[ \"sip:198.51.100.1\", \"sip:198.51.100.2\" ]", "probe_interval = \"0s\";");
	struct hops *hops = hops_of(config);

	hops_tick(hops, 100 * S);
	refuse_hop(hops, "198.51.100.1");
	hops_tick(hops, 129 * S);
	assert_string_equal(chosen_text(hops, config->peers, 0), "198.51.100.2:5060 198.51.100.1:5060");
	hops_tick(hops, 130 * S);
	assert_string_equal(chosen_text(hops, config->peers, 0), "198.51.100.1:5060 198.51.100.2:5060");
	assert_int_equal(probes.count, 0);
	hops_free(hops);
	config_free(config);
}

/* --- Names --- */

static void a_name_stands_for_all_its_addresses(void **state)
{
	struct config *config = peer_with("[ \"sip:all.example:5070\", \"sip:198.51.100.9\" ]", "");
	struct hops *hops = hops_of(config);
	struct sockaddr_storage source = address_of("2001:db8::7", 40000),
				mapped = address_of("::ffff:198.51.100.7", 1),
				stranger = address_of("198.51.100.10", 5070),
				literal = address_of("198.51.100.9", 1);
	const struct next_hop *list = config->peers[0].next_hops;

	dns_say((struct dns_zone){ "all.example", .ttl = 60, .a = { "198.51.100.7", "198.51.100.8" },
		.aaaa = { "2001:db8::7" } });
	/* No call waits. */
	assert_string_equal(chosen_text(hops, config->peers, 0), "198.51.100.9:5060");
	assert_false(hops_knows_address(hops, (struct sockaddr *)&source));
	wait_for(hops, config->peers, 0,
		"198.51.100.7:5070 198.51.100.8:5070 198.51.100.9:5060 [2001:db8::7]:5070");
	assert_true(hops_knows_address(hops, (struct sockaddr *)&source));
	assert_true(hops_knows_address(hops, (struct sockaddr *)&mapped));
	assert_true(hops_knows_address(hops, (struct sockaddr *)&literal));
	assert_false(hops_knows_address(hops, (struct sockaddr *)&stranger));
	assert_true(hops_has_address(hops, list, 1, (struct sockaddr *)&source));
	assert_true(hops_has_address(hops, list, 1, (struct sockaddr *)&mapped));
	assert_false(hops_has_address(hops, list, 1, (struct sockaddr *)&literal));
	assert_true(hops_has_address(hops, list, 2, (struct sockaddr *)&literal));
	assert_false(hops_has_address(hops, list, 2, (struct sockaddr *)&stranger));
	hops_free(hops);
	config_free(config);
}

static void the_addresses_of_a_name_share_its_calls(void **state)
{
	struct config *config = peer_with("[ \"sip:pair.example\", \"sip:198.51.100.9\" ]", "");
	struct hops *hops = hops_of(config);
	unsigned first[10] = { 0 };

	dns_say((struct dns_zone){ "pair.example", .ttl = 60, .a = { "198.51.100.7", "198.51.100.8" } });
	wait_for(hops, config->peers, 0, "198.51.100.7:5060 198.51.100.8:5060 198.51.100.9:5060");
	for (uint64_t hash = 0; hash < 1000; hash++) {
		struct hop chosen[HOPS_CHOSEN_MAX];

		assert_int_equal(hops_choose(hops, config->peers[0].next_hops, 2, hash, chosen), 3);
		assert_string_equal(chosen[2].text, "198.51.100.9:5060");
		first[chosen[0].text[11] - '0']++;
	}
	assert_in_range(first[7], 400, 600);
	assert_int_equal(first[7] + first[8], 1000);
	hops_free(hops);
	config_free(config);
}

static void a_name_leaves_by_what_there_is(void **state)
{
	static const struct {
		const char *listen, *next_hop, *chosen;
	} cases[] = {
		{ "\"udp:127.0.0.1:5060\", \"tcp:[::1]:5060\"", "sip:both.example",
			"198.51.100.7:5060 [2001:db8::7]:5060/t" },
		{ "\"udp:127.0.0.1:5060\", \"tcp:[::1]:5060\"", "sip:both.example;transport=udp",
			"198.51.100.7:5060" },
		{ "\"udp:127.0.0.1:5060\", \"tcp:[::1]:5060\"", "sip:both.example;transport=tcp",
			"[2001:db8::7]:5060/t" },
		{ "\"udp:127.0.0.1:5060\"", "sip:both.example", "198.51.100.7:5060" },
	};

	dns_say((struct dns_zone){
		"both.example", .ttl = 60, .a = { "198.51.100.7" }, .aaaa = { "2001:db8::7" } });
	for (size_t i = 0; i < COUNT(cases); i++) {
		unsigned asked = dns_asked("both.example", DNS_AAAA);
		struct config *config =
			configure("sip: { listen = [ %s ]; dns_servers = [ \"127.0.0.1:%u\" ]; };\n"
				  "peers = ( { name = \"a\"; addresses = [ \"192.0.2.1\" ]; unknown_customer "
				  "= \"unsigned\";\n"
				  "mode = \"b2bua\"; next_hop = \"%s\"; } );",
				cases[i].listen, dns.port, cases[i].next_hop);
		struct hops *hops = hops_of(config);

		wait_for(hops, config->peers, 0, cases[i].chosen);
		if (strstr(cases[i].listen, "::1") == NULL)
			assert_int_equal(dns_asked("both.example", DNS_AAAA), asked);
		hops_free(hops);
		config_free(config);
	}
}

static void names_are_asked_again_by_their_ttl(void **state)
{
	static const struct {
		const char *name;
		unsigned ttl;
		int64_t again_s;
	} cases[] = {
		{ "short.example", 0, 5 },
		{ "normal.example", 60, 60 },
		{ "long.example", 86400, 300 },
		{ "longest.example", INT32_MAX, 300 },
		{ "negative.example", UINT32_MAX, 5 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct dns_zone zone = { .ttl = cases[i].ttl, .a = { "198.51.100.7" } };
		char next_hop[64];
		struct config *config;
		struct hops *hops;

		snprintf(zone.name, sizeof zone.name, "%s", cases[i].name);
		snprintf(next_hop, sizeof next_hop, "\"sip:%s\"", cases[i].name);
		dns_say(zone);
		config = peer_with(next_hop, "");
		hops = hops_of(config);
		wait_for(hops, config->peers, 0, "198.51.100.7:5060");
		assert_not_asked(hops, cases[i].again_s * S - 1, cases[i].name, DNS_A);
		zone.a[0] = "198.51.100.8";
		dns_say(zone);
		wait_for(hops, config->peers, cases[i].again_s * S, "198.51.100.8:5060");
		hops_free(hops);
		config_free(config);
	}
}

static void failures_take_no_address_away(void **state)
{
	static const struct {
		const char *name;
		enum dns_mood mood;
	} cases[] = {
		{ "servfail.example", DNS_SERVFAIL },
		{ "nxdomain.example", DNS_NXDOMAIN },
		{ "silent.example", DNS_SILENT },
		{ "garbage.example", DNS_GARBAGE },
		{ "cut.example", DNS_CUT },
		{ "empty.example", DNS_ANSWERS },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct dns_zone zone = { .ttl = 60, .a = { "198.51.100.7" } };
		struct sockaddr_storage address = address_of("198.51.100.7", 5060);
		unsigned asked;
		char next_hop[64];
		struct config *config;
		struct hops *hops;

		snprintf(zone.name, sizeof zone.name, "%s", cases[i].name);
		snprintf(next_hop, sizeof next_hop, "\"sip:%s\"", cases[i].name);
		dns_say(zone);
		config = peer_with(next_hop, "");
		hops = hops_of(config);
		wait_for(hops, config->peers, 0, "198.51.100.7:5060");
		asked = dns_asked(cases[i].name, DNS_A);
		zone.mood = zone.mood_aaaa = cases[i].mood;
		zone.a[0] = NULL;
		dns_say(zone);
		wait_asked(hops, 60 * S, cases[i].name, DNS_A, asked);
		assert_string_equal(chosen_text(hops, config->peers, 0), "198.51.100.7:5060");
		assert_true(hops_knows_address(hops, (struct sockaddr *)&address));
		hops_free(hops);
		config_free(config);
	}
}

static void failures_are_retried_ever_more_slowly_and_told_once(void **state)
{
	/* Seconds after the first failure, when it is asked again: 1, 2, 4, 8, 16, 32, 64, 64 later each. */
	static const int64_t again_s[] = { 1, 3, 7, 15, 31, 63, 127, 191, 255 };
	struct config *config = configure(
		"sip: { listen = [ \"udp:127.0.0.1:5060\" ]; dns_servers = [ \"127.0.0.1:%u\" ]; };\n"
		"peers = ( { name = \"a\"; addresses = [ \"192.0.2.1\" ]; unknown_customer = \"unsigned\";\n"
		"mode = \"forward\"; next_hop = \"sip:broken.example\"; } );",
		dns.port);
	struct hops *hops = hops_of(config);
	const char *log;

	dns_say((struct dns_zone){ "broken.example", .mood = DNS_NXDOMAIN });
	listen_to_log();
	wait_asked(hops, 0, "broken.example", DNS_A, 0);
	for (size_t i = 0; i < COUNT(again_s); i++) {
		assert_not_asked(hops, again_s[i] * S - 1, "broken.example", DNS_A);
		wait_asked(hops, again_s[i] * S, "broken.example", DNS_A, dns_asked("broken.example", DNS_A));
	}
	dns_say((struct dns_zone){ "broken.example", .ttl = 60, .a = { "198.51.100.7" } });
	wait_for(hops, config->peers, 319 * S, "198.51.100.7:5060");
	log = end_of_log();
	assert_int_equal(count_of(log, "\n"), 3);
	assert_int_equal(
		count_of(log, "next hop broken.example: no answer to A: Domain name not found\n"), 1);
	assert_int_equal(count_of(log, "next hop broken.example: A is answered again\n"), 1);
	assert_int_equal(count_of(log, "next hop broken.example: 198.51.100.7\n"), 1);
	hops_free(hops);
	config_free(config);
}

static void a_family_may_end_while_the_other_is_there(void **state)
{
	struct config *config = peer_with("\"sip:moving.example\"", "");
	struct hops *hops = hops_of(config);

	dns_say((struct dns_zone){
		"moving.example", .ttl = 10, .a = { "198.51.100.7" }, .aaaa = { "2001:db8::7" } });
	wait_for(hops, config->peers, 0, "198.51.100.7:5060 [2001:db8::7]:5060");
	dns_say((struct dns_zone){ "moving.example", .ttl = 10, .a = { "198.51.100.7" } });
	wait_for(hops, config->peers, 10 * S, "198.51.100.7:5060");
	dns_say((struct dns_zone){ "moving.example", .ttl = 10, .aaaa = { "2001:db8::8" } });
	/* AAAA comes back a minute after it was missing, A goes with it. */
	wait_for(hops, config->peers, 80 * S, "198.51.100.7:5060 [2001:db8::8]:5060");
	wait_for(hops, config->peers, 200 * S, "[2001:db8::8]:5060");
	hops_free(hops);
	config_free(config);
}

static void what_is_no_hosts_address_is_left_out(void **state)
{
	struct config *config = peer_with("\"sip:odd.example\"", "");
	struct sockaddr_storage own = address_of("127.0.0.1", 5060);
	struct hops *hops = hops_of(config);
	const char *log;

	dns_say((struct dns_zone){ "odd.example", .ttl = 60,
		.a = { "0.0.0.0", "0.1.2.3", "224.0.0.5", "255.255.255.255", "10.0.0.1", "127.0.0.2",
			"127.0.0.1" },
		.aaaa = { "::", "ff02::1", "::ffff:198.51.100.7", "fd00::7", "::1" } });
	listen_to_log();
	wait_for(hops, config->peers, 0, "10.0.0.1:5060 127.0.0.2:5060 [fd00::7]:5060");
	assert_false(hops_knows_address(hops, (struct sockaddr *)&own));
	assert_false(hops_has_address(hops, config->peers[0].next_hops, 1, (struct sockaddr *)&own));
	log = end_of_log();
	assert_int_equal(
		count_of(log, "odd.example: 4 of its 7 addresses (A) are of no host, and not used\n"), 1);
	assert_int_equal(
		count_of(log, "odd.example: 3 of its 5 addresses (AAAA) are of no host, and not used\n"), 1);
	assert_true(count_of(log, "odd.example: one of its addresses is ours, and not used") >= 2);
	hops_free(hops);
	config_free(config);
}

static void more_addresses_than_a_name_can_have_are_cut(void **state)
{
	struct config *config = peer_with("\"sip:crowd.example\"", "");
	struct hops *hops = hops_of(config);
	struct dns_zone zone = { "crowd.example", .ttl = 60 };
	static char texts[DNS_RECORDS_MAX][24];
	struct hop chosen[HOPS_CHOSEN_MAX];

	for (int i = 0; i < DNS_RECORDS_MAX - 1; i++) {
		snprintf(texts[i], sizeof texts[i], "198.51.100.%d", i + 1);
		zone.a[i] = texts[i];
	}
	dns_say(zone);
	for (int i = 0; i < 500 && hops_choose(hops, config->peers[0].next_hops, 1, 0, chosen) == 0; i++)
		turn(hops, 0);
	assert_int_equal(hops_choose(hops, config->peers[0].next_hops, 1, 0, chosen), HOPS_CHOSEN_MAX);
	hops_free(hops);
	config_free(config);
}

/* --- Other configurations --- */

static void what_is_known_outlives_a_reload(void **state)
{
	struct config *config =
		peer_with("[ \"sip:stays.example\", \"sip:198.51.100.1\", \"sip:goes.example\" ]", "");
	struct config *next =
		peer_with("[ \"sip:198.51.100.1\", \"sip:STAYS.example:5070\", \"sip:comes.example\" ]", "");
	struct hops *hops = hops_of(config);
	struct sockaddr_storage gone = address_of("198.51.100.8", 5060);

	dns_say((struct dns_zone){ "stays.example", .ttl = 60, .a = { "198.51.100.7" } });
	dns_say((struct dns_zone){ "goes.example", .ttl = 60, .a = { "198.51.100.8" } });
	dns_say((struct dns_zone){ "comes.example", .ttl = 60, .a = { "198.51.100.9" } });
	wait_for(hops, config->peers, 0, "198.51.100.1:5060 198.51.100.7:5060 198.51.100.8:5060");
	refuse_hop(hops, "198.51.100.1");
	assert_true(hops_knows_address(hops, (struct sockaddr *)&gone));
	hops_configure(hops, next);
	assert_string_equal(chosen_text(hops, next->peers, 0), "198.51.100.7:5070 198.51.100.1:5060");
	assert_false(hops_knows_address(hops, (struct sockaddr *)&gone));
	wait_for(hops, next->peers, 0, "198.51.100.1:5060 198.51.100.7:5070 198.51.100.9:5060");
	/* A call that began before still has its literal hops. */
	assert_string_equal(chosen_text(hops, config->peers, 0), "198.51.100.1:5060");
	hops_free(hops);
	config_free(config);
	config_free(next);
}

static void a_reload_may_come_while_questions_are_open(void **state)
{
	struct config *config = peer_with("[ \"sip:slow.example\", \"sip:slower.example\" ]", "");
	struct config *next = peer_with("\"sip:slow.example\"", "");
	struct hops *hops = hops_of(config);
	unsigned asked;

	dns_say((struct dns_zone){ "slow.example", .mood = DNS_SILENT, .mood_aaaa = DNS_SILENT });
	dns_say((struct dns_zone){ "slower.example", .mood = DNS_SILENT, .mood_aaaa = DNS_SILENT });
	wait_asked(hops, 0, "slower.example", DNS_A, 0);
	dns_say((struct dns_zone){ "slow.example", .ttl = 60, .a = { "198.51.100.7" } });
	asked = dns_asked("slow.example", DNS_A);
	hops_configure(hops, next);
	wait_asked(hops, 0, "slow.example", DNS_A, asked);
	wait_for(hops, next->peers, 0, "198.51.100.7:5060");
	/* And the end may. */
	dns_say((struct dns_zone){ "slow.example", .mood = DNS_SILENT, .mood_aaaa = DNS_SILENT });
	wait_asked(hops, 60 * S, "slow.example", DNS_A, dns_asked("slow.example", DNS_A));
	hops_free(hops);
	config_free(config);
	config_free(next);
}

static void redirects_have_no_hops(void **state)
{
	struct config *config = configure(
		"sip: { dns_servers = [ \"127.0.0.1:%u\" ]; };\n"
		"peers = ( { name = \"a\"; addresses = [ \"192.0.2.1\" ]; unknown_customer = \"unsigned\";\n"
		"next_hop = \"sip:redirect.example\"; },\n"
		"{ name = \"b\"; addresses = [ \"192.0.2.2\" ]; unknown_customer = \"unsigned\";\n"
		"next_hop = \"sip:198.51.100.7\"; } );",
		dns.port);
	struct sockaddr_storage address = address_of("198.51.100.7", 5060);
	struct hops *hops = hops_of(config);

	dns_say((struct dns_zone){ "redirect.example", .ttl = 60, .a = { "198.51.100.8" } });
	assert_not_asked(hops, 0, "redirect.example", DNS_A);
	assert_int_equal(probes.count, 0);
	assert_false(hops_knows_address(hops, (struct sockaddr *)&address));
	hops_free(hops);
	config_free(config);
}

static void the_next_hops_of_rules_are_hops(void **state)
{
	struct config *config = configure("trust = ( { name = \"us\"; anchors = \"roots\"; } );\n"
					  "sip: { dns_servers = [ \"127.0.0.1:%u\" ]; };\n"
					  "peers = ( { name = \"a\"; addresses = [ \"192.0.2.1\" ]; service "
					  "= \"verify\"; mode = \"b2bua\";\n"
					  "next_hop = \"sip:198.51.100.7\"; treatment = ( { result = "
					  "\"failed\"; action = \"continue\";\n"
					  "next_hop = \"sip:rule.example:5080\"; } ); } );",
		dns.port);
	struct hops *hops = hops_of(config);
	struct hop chosen[HOPS_CHOSEN_MAX];

	dns_say((struct dns_zone){ "rule.example", .ttl = 60, .a = { "198.51.100.8" } });
	for (int i = 0; i < 500 && hops_choose(hops, config->peers[0].treatment[0].hop, 1, 0, chosen) == 0;
		i++)
		turn(hops, 0);
	assert_int_equal(hops_choose(hops, config->peers[0].treatment[0].hop, 1, 0, chosen), 1);
	assert_string_equal(chosen[0].text, "198.51.100.8:5080");
	hops_free(hops);
	config_free(config);
}

static void freeing_nothing_is_fine(void **state)
{
	hops_free(NULL);
}

static int start(void **state)
{
	return mkdtemp(folder) == NULL ? -1 : dns_start();
}

static int stop(void **state)
{
	dns_stop();
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_is_tried_in_its_order),
		cmocka_unit_test(more_hops_than_a_call_can_try_are_cut),
		cmocka_unit_test(weights_share_the_calls_out),
		cmocka_unit_test(what_does_not_answer_comes_last),
		cmocka_unit_test(the_transports_of_an_address_are_two_places),
		cmocka_unit_test(a_hop_of_udp_without_tcp_is_known_for_five_minutes),
		cmocka_unit_test(what_a_hop_of_udp_answers_by_tcp_counts),
		cmocka_unit_test(a_hop_is_probed_and_its_answer_counts),
		cmocka_unit_test(only_408_and_503_to_a_probe_are_failures),
		cmocka_unit_test(a_copy_of_a_probes_response_says_nothing_new),
		cmocka_unit_test(a_probe_may_be_refused_on_the_spot),
		cmocka_unit_test(without_an_interval_nobody_is_probed),
		cmocka_unit_test(a_name_stands_for_all_its_addresses),
		cmocka_unit_test(the_addresses_of_a_name_share_its_calls),
		cmocka_unit_test(a_name_leaves_by_what_there_is),
		cmocka_unit_test(names_are_asked_again_by_their_ttl),
		cmocka_unit_test(failures_take_no_address_away),
		cmocka_unit_test(failures_are_retried_ever_more_slowly_and_told_once),
		cmocka_unit_test(a_family_may_end_while_the_other_is_there),
		cmocka_unit_test(what_is_no_hosts_address_is_left_out),
		cmocka_unit_test(more_addresses_than_a_name_can_have_are_cut),
		cmocka_unit_test(what_is_known_outlives_a_reload),
		cmocka_unit_test(a_reload_may_come_while_questions_are_open),
		cmocka_unit_test(redirects_have_no_hops),
		cmocka_unit_test(the_next_hops_of_rules_are_hops),
		cmocka_unit_test(freeing_nothing_is_fine),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
