#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/config/quantity.h"
#include "../../src/config/schema.h"
#include "stirrup/config.h"
#include "stirrup/name_hash.h"
#include "stirrup/net.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define LINES_MAX 64

/* --- Scaffold: a directory of files, and what a check says of them --- */

static char folder[] = "/tmp/stirrup-test-config-XXXXXX";

static int make_folder(void **state)
{
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
	return rmdir(folder);
}

static const char *in_folder(const char *name)
{
	static char path[2][PATH_MAX];
	static int turn;

	turn = 1 - turn;
	snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
	return path[turn];
}

static void put_bytes(const char *name, const char *text, size_t length)
{
	FILE *file = fopen(in_folder(name), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
}

static void put(const char *name, const char *text)
{
	put_bytes(name, text, strlen(text));
}

static void take(const char *name)
{
	assert_int_equal(remove(in_folder(name)), 0);
}

static char *read_text(const char *path)
{
	char *text = calloc(1, 1 << 20);
	FILE *file = fopen(path, "r");
	size_t length;

	assert_non_null(text);
	if (file == NULL)
		fail_msg("cannot open %s", path);
	length = fread(text, 1, (1 << 20) - 1, file);
	fclose(file);
	text[length] = '\0';
	return text;
}

struct said {
	char *lines[LINES_MAX];
	enum config_severity severities[LINES_MAX];
	size_t count;
};

static void remember(enum config_severity severity, const char *line, void *context)
{
	struct said *said = context;

	assert_true(said->count < LINES_MAX);
	said->severities[said->count] = severity;
	said->lines[said->count++] = strdup(line);
}

static void forget(struct said *said)
{
	for (size_t i = 0; i < said->count; i++)
		free(said->lines[i]);
	*said = (struct said){ 0 };
}

static size_t count_of(const struct said *said, enum config_severity severity)
{
	size_t count = 0;

	for (size_t i = 0; i < said->count; i++)
		count += said->severities[i] == severity;
	return count;
}

static struct config_source *source_of(const char *path)
{
	char why[256] = "";
	struct config_source *source = config_source_read(path, why, sizeof why);

	if (source == NULL)
		fail_msg("%s", why);
	return source;
}

static struct config *parse_source(const struct config_source *source, struct said *said)
{
	struct config_report *report = config_report_new();
	struct config *config = config_parse(source, report);

	*said = (struct said){ 0 };
	config_report_each(report, remember, said);
	assert_int_equal(config_report_errors(report), count_of(said, CONFIG_ERROR));
	assert_int_equal(config == NULL, config_report_errors(report) > 0);
	config_report_free(report);
	return config;
}

static struct config *parse_path(const char *path, struct said *said)
{
	struct config_source *source = source_of(path);
	struct config *config = parse_source(source, said);

	config_source_free(source);
	return config;
}

static struct config *parse_text(const char *text, struct said *said)
{
	struct config *config;

	put("stirrup.conf", text);
	config = parse_path(in_folder("stirrup.conf"), said);
	take("stirrup.conf");
	return config;
}

#define A_PEER "peers = ( { name = \"a\"; addresses = [ \"192.0.2.1\" ]; unknown_customer = \"unsigned\"; } );\n"

static struct config *good(const char *text)
{
	struct said said;
	struct config *config = parse_text(text, &said);

	if (config == NULL)
		fail_msg("%s", said.lines[0]);
	forget(&said);
	return config;
}

/* --- The corpus --- */

/* The lines of text that begin with mark, and what stands behind it. */
static size_t marked_lines(char *text, const char *mark, char *out[LINES_MAX])
{
	size_t count = 0;

	for (char *line = text, *end; *line == '#'; line = end + 1) {
		end = strchr(line, '\n');
		assert_non_null(end);
		*end = '\0';
		if (strncmp(line, mark, strlen(mark)) == 0)
			out[count++] = line + strlen(mark);
	}
	return count;
}

static void compare_said(const char *path, const struct said *said, enum config_severity severity, const char *mark)
{
	char *text = read_text(path), *expected[LINES_MAX];
	size_t count = marked_lines(text, mark, expected);

	if (count_of(said, severity) != count)
		fail_msg("%s: %zu lines expected, %zu said: %s", path, count, count_of(said, severity),
			said->count > 0 ? said->lines[0] : "");
	for (size_t i = 0; i < count; i++) {
		bool found = false;

		for (size_t at = 0; at < said->count; at++)
			found = found || (said->severities[at] == severity && strstr(said->lines[at], expected[i]) != NULL);
		if (!found)
			fail_msg("%s: nobody said: %s", path, expected[i]);
	}
	free(text);
}

static size_t each_conf(const char *directory, void (*check)(const char *path))
{
	DIR *dir = opendir(directory);
	const struct dirent *entry;
	size_t count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		char path[PATH_MAX];

		if (strstr(entry->d_name, ".conf") == NULL)
			continue;
		snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
		check(path);
		count++;
	}
	closedir(dir);
	return count;
}

static void check_bad(const char *path)
{
	struct said said;

	if (parse_path(path, &said) != NULL)
		fail_msg("%s: was taken", path);
	compare_said(path, &said, CONFIG_ERROR, "# expect: ");
	forget(&said);
}

static void check_good(const char *path)
{
	struct said said;
	struct config *config = parse_path(path, &said);

	if (config == NULL)
		fail_msg("%s", said.lines[0]);
	compare_said(path, &said, CONFIG_WARNING, "# warning: ");
	forget(&said);
	config_free(config);
}

static void bad_files_are_refused_with_every_reason(void **state)
{
	assert_true(each_conf(TEST_DATA "/config/bad", check_bad) >= 379);
}

static void good_files_are_taken_with_every_warning(void **state)
{
	assert_true(each_conf(TEST_DATA "/config/good", check_good) >= 53);
}

/* --- What a file becomes --- */

static void check_default_verification(const struct verification_config *verification)
{
	assert_int_equal(verification->on_failure, ON_FAILURE_CONTINUE);
	assert_false(verification->verstat_failed_on_any);
	assert_false(verification->strict_profile);
	assert_int_equal(verification->crl_grace_s, 24 * 3600);
	assert_int_equal(verification->on_replay, ON_REPLAY_RECORD);
	assert_null(verification->cache);
	assert_int_equal(verification->cache_entries, 50000);
	assert_int_equal(verification->cache_bytes, 256 << 20);
	assert_int_equal(verification->call_deadline_ms, 2000);
	assert_int_equal(verification->fetch_deadline_ms, 2000);
	assert_null(verification->tls_ca);
	assert_int_equal(verification->allow_address_count, 0);
	assert_int_equal(verification->allow_port_count, 2);
	assert_int_equal(verification->allow_ports[0], 443);
	assert_int_equal(verification->allow_ports[1], 8443);
	assert_int_equal(verification->fetch_max, 64);
	assert_int_equal(verification->fetch_max_per_host, 4);
	assert_int_equal(verification->fetch_per_peer, 50);
}

static void what_is_not_set_has_its_default(void **state)
{
	struct config *config = good(A_PEER);
	char host[65] = "";

	gethostname(host, sizeof host - 1);
	assert_int_equal(config->listener_count, 2);
	assert_int_equal(config->listeners[0].transport, TRANSPORT_UDP);
	assert_int_equal(config->listeners[1].transport, TRANSPORT_TCP);
	assert_string_equal(config->listeners[1].text, "tcp:127.0.0.1:5060");
	assert_null(config->listeners[0].advertise);
	assert_int_equal(config->workers, 1);
	assert_string_equal(config->secret_file, "/var/lib/stirrup/secret");
	assert_string_equal(config->node, host);
	assert_int_equal(config->max_waiting, 4096);
	assert_int_equal(config->answer_memo_bytes, 16 << 20);
	assert_int_equal(config->signer_deadline_ms, 250);
	assert_int_equal(config->self_check, SELF_CHECK_SAMPLED);
	assert_int_equal(config->freshness_s, 60);
	assert_null(config->records_file);
	assert_null(config->previous_secret_file);
	assert_int_equal(config->dns_server_count, 0);
	assert_int_equal(config->probe_interval_ms, 30000);
	assert_string_equal(config->dialog_store, "/var/lib/stirrup/dialogs");
	assert_int_equal(config->dialog_store_bytes, 1 << 30);
	assert_int_equal(config->dialog_max_age_s, 24 * 3600);
	assert_null(config->peers[0].next_hop);
	assert_int_equal(config->peers[0].next_hop_count, 0);
	assert_int_equal(config->peers[0].far_side_count, 0);
	assert_int_equal(config->peers[0].call_id, CALL_ID_KEEP);
	assert_int_equal(config->peers[0].no_answer_s, 180);
	check_default_verification(&config->verification);
	assert_int_equal(config->trust_count, 0);
	assert_int_equal(config->credential_count + config->customer_count, 0);
	config_free(config);
}

static const char whole[] =
	"sip: { listen = ( \"udp:127.0.0.1:5060\", { address = \"tcp:[::1]:5070\"; advertise = \"sip.example.net:5060\"; } );\n"
	"  workers = 7; secret_file = \"secret\"; node = \"as1\"; max_waiting = 100; answer_memo = \"2M\";\n"
	"  previous_secret_file = \"old\"; dns_servers = [ \"192.0.2.53\", \"[::1]:5353\" ]; probe_interval = \"5s\"; };\n"
	"credentials = (\n"
	"  { name = \"alpha\"; certificate = \"alpha.pem\"; private_key = \"/keys/alpha.key\";\n"
	"    x5u = \"https://certs.example.net/alpha.pem\"; spc = \"1234\"; },\n"
	"  { name = \"beta\"; certificate = \"beta.pem\"; private_key = \"beta.key\";\n"
	"    x5u = \"https://certs.example.net/beta.pem\"; spc = \"5678\"; } );\n"
	"customers = (\n"
	"  { name = \"acme\"; credential = \"beta\"; own_numbers = \"B\"; other_numbers = \"reject\";\n"
	"    origid = \"123e4567-e89b-12d3-a456-426655440000\";\n"
	"    numbers = ( \"+12155551212\", \"+12155550100-+12155550199\", \"+1215556*\",\n"
	"      { number = \"+12155551300\"; attestation = \"C\"; } ); },\n"
	"  { name = \"zeta\"; credential = \"alpha\"; } );\n"
	"peers = (\n"
	"  { name = \"core\"; addresses = [ \"192.0.2.0/28\", \"2001:db8::/64\" ]; listen = \"tcp:[::1]:5070\";\n"
	"    customer = \"zeta\"; identity_from = \"from\"; next_hop = \"sip:198.51.100.7:5060;transport=tcp\";\n"
	"    country_code = \"49\"; national_prefix = \"0\"; international_prefix = \"00\"; on_error = \"503\";\n"
	"    stale_date = \"reject\"; unsigned_status = 404; reject_status = 403;\n"
	"    origid = \"9f1d3a52-7c1b-4f0e-8a3d-2b6c5d4e3f21\"; },\n"
	"  { name = \"many\"; addresses = [ \"198.51.100.1\" ]; customer_by = \"number\"; authenticates_callers = true;\n"
	"    unknown_customer = \"B\"; credential = \"beta\"; mode = \"forward\"; far_side = [ \"198.51.100.0/24\" ];\n"
	"    no_answer = \"2m\"; next_hop = ( { uri = \"sip:203.0.113.7\"; weight = 3; },\n"
	"      { uri = \"SIP:sbc.example.net:5080;Transport=TCP;lr\"; weight = 1; } ); },\n"
	"  { name = \"in\"; addresses = [ \"198.51.100.2\" ]; service = \"verify\"; on_failure = \"continue\"; identity_required = true;\n"
	"    trusted = true; shadow = true; verstat = \"with-attestation\"; verstat_place = \"both\"; attestation_headers = false;\n"
	"    treatment = (\n"
	"      { result = \"no_validation\"; reason = \"orig_mismatch\"; attestation = \"B\"; spc = \"12A\"; x5u_host = \"*.example.net\";\n"
	"        action = \"reject\"; status = 606; phrase = \"Not Acceptable\"; header = \"Retry-After:  7 \"; },\n"
	"      { action = \"continue\"; next_hop = \"sip:198.51.100.9:5080;transport=tcp\"; } ); },\n"
	"  { name = \"usual\"; addresses = [ \"198.51.100.3\" ]; service = \"verify\"; } );\n"
	"signer: { deadline = \"1s\"; self_check = \"off\"; };\n"
	"records: { file = \"logs/calls.jsonl\"; };\n"
	"verification: { freshness = \"2m\"; on_failure = \"reject\"; verstat_failed_on = \"any\"; strict_profile = true;\n"
	"  crl_grace = \"90m\"; replay = \"fail\"; cache = \"cache\"; cache_entries = 1000; cache_size = \"3G\";\n"
	"  call_deadline = \"750ms\"; fetch: { deadline = \"3s\"; tls_ca = \"web.pem\"; max = 7; max_per_host = 3;\n"
	"    per_peer = 8; allow_addresses = ( \"127.0.0.0/8\", { address = \"::1\"; } ); allow_ports = [ 8443, 9443, 443 ]; }; };\n"
	"dialogs: { store = \"dialogs\"; size = \"2G\"; max_age = \"2h\"; };\n"
	"trust = ( { name = \"us\"; anchors = \"roots\"; crl = \"pa.crl\"; crl_issuer_anchors = \"/pki/pa.pem\"; },\n"
	"  { name = \"fr\"; anchors = \"fr.pem\"; } );\n";

static void assert_path(const char *path, const char *name)
{
	char directory[PATH_MAX], expected[PATH_MAX + 64];

	assert_non_null(realpath(folder, directory));
	snprintf(expected, sizeof expected, "%s/%s", directory, name);
	assert_string_equal(path, expected);
}

static void check_whole_groups(const struct config *config)
{
	assert_int_equal(config->listener_count, 2);
	assert_string_equal(config->listeners[1].text, "tcp:[::1]:5070");
	assert_string_equal(config->listeners[1].advertise, "sip.example.net:5060");
	assert_int_equal(config->listeners[1].address.ss_family, AF_INET6);
	assert_int_equal(config->workers, 7);
	assert_path(config->secret_file, "secret");
	assert_string_equal(config->node, "as1");
	assert_int_equal(config->max_waiting, 100);
	assert_int_equal(config->answer_memo_bytes, 2 << 20);
	assert_int_equal(config->signer_deadline_ms, 1000);
	assert_int_equal(config->self_check, SELF_CHECK_OFF);
	assert_path(config->records_file, "logs/calls.jsonl");
	assert_int_equal(config->freshness_s, 120);
}

static void check_whole_sending_on(const struct config *config)
{
	const struct peer *many = &config->peers[1];
	const struct next_hop *first = &many->next_hops[0], *second = &many->next_hops[1];

	assert_path(config->previous_secret_file, "old");
	assert_int_equal(config->dns_server_count, 2);
	assert_int_equal(net_port(&config->dns_servers[0]), 53);
	assert_int_equal(net_port(&config->dns_servers[1]), 5353);
	assert_int_equal(config->probe_interval_ms, 5000);
	assert_path(config->dialog_store, "dialogs");
	assert_int_equal(config->dialog_store_bytes, INT64_C(2) << 30);
	assert_int_equal(config->dialog_max_age_s, 7200);

	assert_int_equal(many->next_hop_count, 2);
	assert_string_equal(first->text, "203.0.113.7");
	assert_null(first->host);
	assert_int_equal(first->address.ss_family, AF_INET);
	assert_int_equal(net_port(&first->address), 5060);
	assert_int_equal(first->port, 5060);
	assert_int_equal(first->transport, TRANSPORT_UDP);
	assert_false(first->transport_given);
	assert_int_equal(first->weight, 3);
	assert_string_equal(second->text, "sbc.example.net:5080;Transport=TCP;lr");
	assert_string_equal(second->host, "sbc.example.net");
	assert_int_equal(second->port, 5080);
	assert_int_equal(second->transport, TRANSPORT_TCP);
	assert_true(second->transport_given);
	assert_int_equal(second->weight, 1);
	assert_int_equal(many->far_side_count, 1);
	assert_int_equal(many->far_side[0].prefix, 24);
	assert_int_equal(many->no_answer_s, 120);
	assert_int_equal(many->call_id, CALL_ID_KEEP);
}

static void check_whole_verification(const struct config *config)
{
	const struct verification_config *verification = &config->verification;

	assert_int_equal(verification->on_failure, ON_FAILURE_REJECT);
	assert_true(verification->verstat_failed_on_any);
	assert_true(verification->strict_profile);
	assert_int_equal(verification->crl_grace_s, 5400);
	assert_int_equal(verification->on_replay, ON_REPLAY_FAIL);
	assert_path(verification->cache, "cache");
	assert_int_equal(verification->cache_entries, 1000);
	assert_int_equal(verification->cache_bytes, INT64_C(3) << 30);
	assert_int_equal(verification->call_deadline_ms, 750);
	assert_int_equal(verification->fetch_deadline_ms, 3000);
	assert_path(verification->tls_ca, "web.pem");
	assert_int_equal(verification->fetch_max, 7);
	assert_int_equal(verification->fetch_max_per_host, 3);
	assert_int_equal(verification->fetch_per_peer, 8);
	assert_int_equal(verification->allow_address_count, 2);
	assert_int_equal(verification->allow_addresses[0].family, AF_INET);
	assert_int_equal(verification->allow_addresses[0].prefix, 8);
	assert_int_equal(verification->allow_addresses[1].family, AF_INET6);
	assert_int_equal(verification->allow_addresses[1].prefix, 128);
	assert_int_equal(verification->allow_port_count, 3);
	assert_int_equal(verification->allow_ports[0], 8443);
	assert_int_equal(verification->allow_ports[1], 9443);
	assert_int_equal(verification->allow_ports[2], 443);
}

static void check_whole_trust(const struct config *config)
{
	const struct trust_config *us = &config->trust[0], *fr = &config->trust[1];

	assert_int_equal(config->trust_count, 2);
	assert_string_equal(us->name, "us");
	assert_path(us->anchors, "roots");
	assert_path(us->crl, "pa.crl");
	assert_string_equal(us->crl_issuer_anchors, "/pki/pa.pem");
	assert_string_equal(us->file, in_folder("stirrup.conf"));
	assert_int_equal(us->line, 39);
	assert_string_equal(fr->name, "fr");
	assert_path(fr->anchors, "fr.pem");
	assert_null(fr->crl);
	assert_null(fr->crl_issuer_anchors);
	assert_int_equal(fr->line, 40);
}

static void check_whole_customers(const struct config *config)
{
	const struct credential_config *alpha = &config->credentials[0];
	const struct customer *acme = &config->customers[0], *zeta = &config->customers[1];

	assert_int_equal(config->credential_count, 2);
	assert_string_equal(alpha->name, "alpha");
	assert_path(alpha->certificate, "alpha.pem");
	assert_string_equal(alpha->private_key, "/keys/alpha.key");
	assert_string_equal(alpha->x5u, "https://certs.example.net/alpha.pem");
	assert_string_equal(alpha->spc, "1234");
	assert_string_equal(alpha->file, in_folder("stirrup.conf"));
	assert_int_equal(alpha->line, 5);

	assert_int_equal(config->customer_count, 2);
	assert_string_equal(acme->name, "acme");
	assert_int_equal(acme->credential, 1);
	assert_int_equal(acme->own_numbers, LEVEL_B);
	assert_int_equal(acme->other_numbers, LEVEL_REJECT);
	assert_string_equal(acme->origid, "123e4567-e89b-12d3-a456-426655440000");
	assert_int_equal(zeta->credential, 0);
	assert_int_equal(zeta->own_numbers, LEVEL_A);
	assert_int_equal(zeta->other_numbers, LEVEL_B);
	assert_null(zeta->origid);
}

static void check_whole_peers(const struct config *config)
{
	const struct peer *core = &config->peers[0], *many = &config->peers[1];

	assert_int_equal(config->peer_count, 4);
	assert_string_equal(core->name, "core");
	assert_int_equal(core->address_count, 2);
	assert_int_equal(core->addresses[0].family, AF_INET);
	assert_int_equal(core->addresses[0].prefix, 28);
	assert_int_equal(core->addresses[1].family, AF_INET6);
	assert_int_equal(core->listener, 1);
	assert_int_equal(core->service, SERVICE_SIGN);
	assert_int_equal(core->mode, MODE_REDIRECT);
	assert_int_equal(core->attestation.customer, 1);
	assert_false(core->attestation.customer_by_number);
	assert_false(core->attestation.authenticates_callers);
	assert_int_equal(core->attestation.credential, -1);
	assert_int_equal(core->identity_from, IDENTITY_FROM_FROM);
	assert_string_equal(core->next_hop, "198.51.100.7:5060;transport=tcp");
	assert_string_equal(core->dial_plan.country_code, "49");
	assert_string_equal(core->dial_plan.national_prefix, "0");
	assert_string_equal(core->dial_plan.international_prefix, "00");
	assert_int_equal(core->on_error, ON_ERROR_503);
	assert_int_equal(core->on_stale_date, STALE_DATE_REJECT);
	assert_int_equal(core->unsigned_status, 404);
	assert_int_equal(core->reject_status, 403);
	assert_string_equal(core->origid, "9f1d3a52-7c1b-4f0e-8a3d-2b6c5d4e3f21");

	assert_int_equal(many->listener, -1);
	assert_int_equal(many->service, SERVICE_SIGN);
	assert_int_equal(many->mode, MODE_FORWARD);
	assert_int_equal(many->attestation.customer, -1);
	assert_true(many->attestation.customer_by_number);
	assert_true(many->attestation.authenticates_callers);
	assert_int_equal(many->attestation.unknown_customer, LEVEL_B);
	assert_int_equal(many->attestation.credential, 1);
	assert_int_equal(many->identity_from, IDENTITY_FROM_PAI_THEN_FROM);
	assert_string_equal(many->next_hop, "203.0.113.7");
	assert_string_equal(many->dial_plan.country_code, "");
	assert_int_equal(many->on_error, ON_ERROR_CONTINUE);
	assert_int_equal(many->on_stale_date, STALE_DATE_UNSIGNED);
	assert_int_equal(many->unsigned_status, 302);
	assert_int_equal(many->reject_status, 603);
	assert_null(many->origid);
}

static void check_whole_treatment(const struct peer *peer)
{
	const struct treatment *first = &peer->treatment[0], *second = &peer->treatment[1];

	assert_int_equal(peer->treatment_count, 2);
	assert_int_equal(first->result, VERIFY_NO_VALIDATION);
	assert_int_equal(first->reason, VERDICT_ORIG_MISMATCH);
	assert_int_equal(first->attestation, 'B');
	assert_string_equal(first->spc, "12A");
	assert_string_equal(first->x5u_host, "*.example.net");
	assert_true(first->reject);
	assert_int_equal(first->status, 606);
	assert_string_equal(first->phrase, "Not Acceptable");
	assert_string_equal(first->header, "Retry-After: 7");
	assert_null(first->next_hop);
	assert_null(first->hop);
	assert_int_equal(first->line, 28);
	assert_int_equal(second->result, -1);
	assert_int_equal(second->reason, -1);
	assert_int_equal(second->attestation, 0);
	assert_null(second->spc);
	assert_null(second->x5u_host);
	assert_false(second->reject);
	assert_int_equal(second->status, 0);
	assert_null(second->phrase);
	assert_null(second->header);
	assert_string_equal(second->next_hop, "198.51.100.9:5080;transport=tcp");
	assert_non_null(second->hop);
	assert_string_equal(second->hop->text, "198.51.100.9:5080;transport=tcp");
	assert_int_equal(second->hop->transport, TRANSPORT_TCP);
	assert_int_equal(net_port(&second->hop->address), 5080);
	assert_int_equal(second->line, 30);
}

static void check_whole_verifying_peers(const struct config *config)
{
	const struct peer *in = &config->peers[2], *usual = &config->peers[3];

	assert_int_equal(in->service, SERVICE_VERIFY);
	assert_int_equal(in->mode, MODE_REDIRECT);
	assert_int_equal(in->on_failure, ON_FAILURE_CONTINUE);
	assert_true(in->identity_required);
	assert_true(in->trusted);
	assert_true(in->shadow);
	assert_int_equal(in->verstat_form, VERSTAT_WITH_ATTESTATION);
	assert_int_equal(in->verstat_place, VERSTAT_IN_BOTH);
	assert_false(in->attestation_headers);
	check_whole_treatment(in);

	/* verification.on_failure is reject. */
	assert_int_equal(usual->on_failure, ON_FAILURE_REJECT);
	assert_false(usual->identity_required);
	assert_false(usual->trusted);
	assert_false(usual->shadow);
	assert_int_equal(usual->verstat_form, VERSTAT_PLAIN);
	assert_int_equal(usual->verstat_place, VERSTAT_IN_PAI);
	assert_true(usual->attestation_headers);
	assert_int_equal(usual->treatment_count, 0);
	assert_int_equal(usual->on_error, ON_ERROR_CONTINUE);
}

static void every_setting_finds_its_place(void **state)
{
	struct config *config = good(whole);

	check_whole_groups(config);
	check_whole_sending_on(config);
	check_whole_customers(config);
	check_whole_peers(config);
	check_whole_verifying_peers(config);
	check_whole_verification(config);
	check_whole_trust(config);
	config_free(config);
}

static void numbers_are_found_with_customer_and_level(void **state)
{
	static const struct {
		const char *number;
		int customer; /* -1: nobody's */
		enum level level;
	} cases[] = {
		{ "12155551212", 0, LEVEL_UNSET },
		{ "12155550100", 0, LEVEL_UNSET },
		{ "12155550199", 0, LEVEL_UNSET },
		{ "12155550200", -1, LEVEL_UNSET },
		{ "12155561234", 0, LEVEL_UNSET },
		{ "12155551300", 0, LEVEL_C },
		{ "12155551301", -1, LEVEL_UNSET },
	};
	struct config *config = good(whole);

	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct number_entry *entry;
		struct tn tn = { "" };

		strcpy(tn.digits, cases[i].number);
		entry = number_table_find(config->numbers, &tn);
		assert_int_equal(entry == NULL ? -1 : entry->customer, cases[i].customer);
		if (entry != NULL)
			assert_int_equal(entry->level, cases[i].level);
	}
	config_free(config);
}

static void the_only_credential_signs_for_unknown_customers(void **state)
{
	struct config *config =
		good("credentials = ( { name = \"alpha\"; certificate = \"a\"; private_key = \"k\"; spc = \"1234\";\n"
		     "x5u = \"https://certs.example.net/a.pem\"; } );\n"
		     "peers = ( { name = \"core\"; addresses = [ \"192.0.2.1\" ]; } );");

	assert_int_equal(config->peers[0].attestation.credential, 0);
	assert_int_equal(config->peers[0].attestation.unknown_customer, LEVEL_C);
	config_free(config);
}

static void no_workers_means_one_for_each_core(void **state)
{
	struct config *config = good(A_PEER "sip: { workers = 0; };");
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	assert_int_equal(config->workers, cores > 64 ? 64 : cores);
	config_free(config);
}

static void a_peer_of_an_unbuilt_listener_is_nowhere(void **state)
{
	struct config *config =
		good("sip: { listen = [ \"tls:127.0.0.1:5061\", \"udp:127.0.0.1:5060\" ]; };\n"
		     "peers = (\n"
		     "{ name = \"a\"; addresses = [ \"192.0.2.1\" ]; listen = \"tls:127.0.0.1:5061\"; },\n"
		     "{ name = \"b\"; addresses = [ \"192.0.2.2\" ]; listen = \"udp:127.0.0.1:5060\"; } );");

	assert_int_equal(config->listener_count, 1);
	assert_int_equal(config->peer_count, 1);
	assert_string_equal(config->peers[0].name, "b");
	assert_int_equal(config->peers[0].listener, 0);
	config_free(config);
}

/* The manual lists them, and a rule may ask for any of them. */
static void every_reason_of_verification_can_have_a_rule(void **state)
{
	char *text = read_text(TEST_DATA "/../../man/stirrup.conf.5");

	for (int i = VERDICT_PASSED; i < VERDICT_COUNT; i++) {
		const char *word = verdict_word((enum verdict)i);
		struct config *config;
		char rule[512];

		if (i == VERDICT_PENDING)
			continue;
		snprintf(rule, sizeof rule,
			"trust = ( { name = \"us\"; anchors = \"roots\"; } );\n"
			"peers = ( { name = \"a\"; addresses = [ \"192.0.2.1\" ]; service = \"verify\";\n"
			"  treatment = ( { reason = \"%s\"; action = \"reject\"; } ); } );",
			word);
		config = good(rule);
		assert_int_equal(config->peers[0].treatment[0].reason, i);
		if (strstr(strstr(text, ".Sh VERIFICATION"), word) == NULL)
			fail_msg("stirrup.conf(5) does not list %s", word);
		config_free(config);
	}
	free(text);
}

/* --- Several files --- */

static void put_fragments(void)
{
	assert_int_equal(mkdir(in_folder("conf.d"), 0700), 0);
	put("conf.d/20-b.conf", "peers = ( { name = \"b\"; addresses = [ \"192.0.2.2\" ]; customer = \"acme\"; } );\n");
	put("conf.d/10-a.conf",
		"customers = ( { name = \"acme\"; credential = \"alpha\"; } );\n"
		"credentials = ( { name = \"alpha\"; certificate = \"a.pem\"; private_key = \"k\"; spc = \"1234\";\n"
		"  x5u = \"https://certs.example.net/a.pem\"; } );\n"
		"signer: { deadline = \"1s\"; };\n");
	put("conf.d/.hidden.conf", "nonsense");
	put("conf.d/notes.txt", "nonsense");
	put("stirrup.conf", "peers = ( { name = \"a\"; addresses = [ \"192.0.2.1\" ]; customer = \"acme\"; } );\n"
			    "signer: { self_check = \"off\"; };\n");
}

static void take_fragments(void)
{
	take("stirrup.conf");
	take("conf.d/notes.txt");
	take("conf.d/.hidden.conf");
	take("conf.d/10-a.conf");
	take("conf.d/20-b.conf");
	take("conf.d");
}

static void fragments_add_up_in_the_order_of_their_names(void **state)
{
	struct config *config;
	struct said said;

	put_fragments();
	config = parse_path(in_folder("stirrup.conf"), &said);
	assert_int_equal(said.count, 0);
	assert_int_equal(config->file_count, 3);
	assert_int_equal(config->peer_count, 2);
	assert_string_equal(config->peers[0].name, "a");
	assert_string_equal(config->peers[1].name, "b");
	assert_int_equal(config->peers[1].attestation.customer, 0);
	assert_path(config->credentials[0].certificate, "conf.d/a.pem");
	assert_string_equal(config->credentials[0].file, in_folder("conf.d/10-a.conf"));
	assert_int_equal(config->signer_deadline_ms, 1000);
	assert_int_equal(config->self_check, SELF_CHECK_OFF);
	config_free(config);
	take_fragments();
}

static void a_setting_in_two_files_names_both_places(void **state)
{
	char expected[1024];
	struct said said;

	put_fragments();
	put("stirrup.conf", "signer: {\n\tdeadline = \"1s\";\n};\n");
	assert_null(parse_path(in_folder("stirrup.conf"), &said));
	assert_int_equal(said.count, 1);
	snprintf(expected, sizeof expected,
		"%s/conf.d/10-a.conf:4: signer.deadline: is set in two files, here and at %s/stirrup.conf:2; remove one of them",
		folder, folder);
	assert_string_equal(said.lines[0], expected);
	forget(&said);
	take_fragments();
}

static void a_broken_file_hides_nothing_of_the_others(void **state)
{
	char expected[2][256];
	struct said said;

	put_fragments();
	/* acme and alpha are lost with it; that is not held against those who name them. */
	put("conf.d/10-a.conf", "customers = (\n");
	put("conf.d/20-b.conf", "peers = ( { name = \"b\"; addresses = [ \"192.0.2.2\" ]; customer = \"acme\";\n"
				"  reject_status = 5; } );\n");
	assert_null(parse_path(in_folder("stirrup.conf"), &said));
	snprintf(expected[0], sizeof expected[0],
		"%s/conf.d/10-a.conf:1: the '(' of this line is never closed; is a ')' missing?", folder);
	snprintf(expected[1], sizeof expected[1],
		"%s/conf.d/20-b.conf:2: peers.b.reject_status: 5: out of range; must be 400 to 699", folder);
	assert_int_equal(said.count, 2);
	assert_non_null(strstr(said.lines[0], "conf.d/10-a.conf:1: "));
	assert_string_equal(said.lines[1], expected[1]);
	forget(&said);
	take_fragments();
}

static void names_are_unique_over_all_files(void **state)
{
	char expected[512];
	struct said said;

	put_fragments();
	put("conf.d/20-b.conf", "peers = ( { addresses = [ \"192.0.2.2\" ]; customer = \"acme\";\n\tname = \"a\"; } );\n");
	assert_null(parse_path(in_folder("stirrup.conf"), &said));
	snprintf(expected, sizeof expected,
		"%s/conf.d/20-b.conf:2: peers.a.name: \"a\" is also the name of the one at %s/stirrup.conf:1; names are unique",
		folder, folder);
	assert_int_equal(said.count, 1);
	assert_string_equal(said.lines[0], expected);
	forget(&said);
	take_fragments();
}

/* --- Reading --- */

static void assert_unreadable(const char *name, const char *reason)
{
	char why[512] = "", expected[PATH_MAX + 128];

	assert_null(config_source_read(in_folder(name), why, sizeof why));
	snprintf(expected, sizeof expected, "%s: %s", in_folder(name), reason);
	assert_string_equal(why, expected);
}

static void what_is_no_text_file_is_refused(void **state)
{
	assert_unreadable("missing.conf", strerror(ENOENT));

	assert_int_equal(mkdir(in_folder("dir.conf"), 0700), 0);
	assert_unreadable("dir.conf", "is not a regular file");
	take("dir.conf");

	assert_int_equal(mkfifo(in_folder("fifo.conf"), 0600), 0);
	assert_unreadable("fifo.conf", "is not a regular file");
	take("fifo.conf");

	put_bytes("nul.conf", "sip: { };\0", 10);
	assert_unreadable("nul.conf", "has a NUL byte inside: not a configuration file");
	take("nul.conf");

	put("huge.conf", "");
	assert_int_equal(truncate(in_folder("huge.conf"), (64 << 20) + 1), 0);
	assert_unreadable("huge.conf", "more than 64 MiB of configuration");
	take("huge.conf");
}

static void a_fragment_that_cannot_be_read_is_refused(void **state)
{
	char why[512];

	put("stirrup.conf", "");
	assert_int_equal(mkdir(in_folder("conf.d"), 0700), 0);
	assert_int_equal(symlink("nowhere", in_folder("conf.d/a.conf")), 0);
	assert_null(config_source_read(in_folder("stirrup.conf"), why, sizeof why));
	assert_non_null(strstr(why, "conf.d/a.conf: No such file"));
	take("conf.d/a.conf");
	take("conf.d");
	put("conf.d", "");
	assert_null(config_source_read(in_folder("stirrup.conf"), why, sizeof why));
	assert_non_null(strstr(why, "conf.d: Not a directory"));
	take("conf.d");
	take("stirrup.conf");
}

static void a_short_reason_is_cut(void **state)
{
	char why[4] = "xxx";

	assert_null(config_source_read("/nonexistent/stirrup.conf", why, sizeof why));
	assert_string_equal(why, "/no");
}

static void a_relative_path_is_taken_from_the_working_directory(void **state)
{
	char before[PATH_MAX];
	struct config *config;
	struct said said;

	assert_non_null(getcwd(before, sizeof before));
	put("stirrup.conf", A_PEER "records: { file = \"calls.jsonl\"; };");
	assert_int_equal(chdir(folder), 0);
	config = parse_path("stirrup.conf", &said);
	assert_int_equal(chdir(before), 0);
	assert_non_null(config);
	assert_path(config->records_file, "calls.jsonl");
	assert_string_equal(config->files[0], "stirrup.conf");
	forget(&said);
	config_free(config);
	take("stirrup.conf");
}

static void the_memfd_gives_the_same_configuration(void **state)
{
	struct config_source *source, *copy;
	struct config *config;
	struct said said;
	int fd;

	put("stirrup.conf", whole);
	source = source_of(in_folder("stirrup.conf"));
	take("stirrup.conf");
	fd = config_source_to_memfd(source);
	assert_true(fd >= 0);
	config_source_free(source);
	/* Several processes read it, and none has to rewind it. */
	for (int i = 0; i < 2; i++) {
		copy = config_source_from_memfd(fd);
		assert_non_null(copy);
		config = parse_source(copy, &said);
		config_source_free(copy);
		assert_non_null(config);
		check_whole_groups(config);
		check_whole_sending_on(config);
		check_whole_customers(config);
		check_whole_peers(config);
		check_whole_verification(config);
		check_whole_trust(config);
		config_free(config);
		forget(&said);
	}
	close(fd);
}

static void the_memfd_cannot_be_changed(void **state)
{
	struct config_source *source;
	int fd;

	put("stirrup.conf", whole);
	source = source_of(in_folder("stirrup.conf"));
	take("stirrup.conf");
	fd = config_source_to_memfd(source);
	config_source_free(source);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 1 << 20), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, 0), -1);
	close(fd);
}

static int memfd_of(const char *bytes, size_t length, int seals)
{
	int fd = memfd_create("test", MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), length);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void a_damaged_memfd_is_refused(void **state)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
	struct config_source *source;
	char bytes[4096];
	ssize_t length;
	int fd;

	put("stirrup.conf", "sip: { };");
	source = source_of(in_folder("stirrup.conf"));
	take("stirrup.conf");
	fd = config_source_to_memfd(source);
	config_source_free(source);
	length = pread(fd, bytes, sizeof bytes, 0);
	close(fd);
	assert_in_range(length, 1, sizeof bytes - 1);

	for (ssize_t cut = 0; cut < length; cut++) {
		fd = memfd_of(bytes, (size_t)cut, seals);
		assert_null(config_source_from_memfd(fd));
		close(fd);
	}
	fd = memfd_of(bytes, (size_t)length, F_SEAL_WRITE);
	assert_null(config_source_from_memfd(fd));
	close(fd);
	assert_null(config_source_from_memfd(-1));
}

/* --- Peers --- */

static const char several_peers[] =
	"sip: { listen = [ \"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\" ]; };\n"
	"peers = (\n"
	"{ name = \"wide\"; addresses = [ \"192.0.2.0/24\" ]; },\n"
	"{ name = \"narrow\"; addresses = [ \"192.0.2.16/28\" ]; },\n"
	"{ name = \"one\"; addresses = [ \"192.0.2.17\", \"198.51.100.7\" ]; },\n"
	"{ name = \"tcp\"; addresses = [ \"192.0.0.0/16\" ]; listen = \"tcp:127.0.0.1:5060\"; },\n"
	"{ name = \"tcp-one\"; addresses = [ \"192.0.2.40\" ]; listen = \"tcp:127.0.0.1:5060\"; },\n"
	"{ name = \"six\"; addresses = [ \"2001:db8::/64\", \"2001:db8::7\" ]; },\n"
	"{ name = \"odd\"; addresses = [ \"203.0.113.128/25\", \"2001:db8:0:8::/61\" ]; },\n"
	"{ name = \"mapped\"; addresses = [ \"::ffff:203.0.113.0/122\" ]; } );";

static const char *peer_name(const struct config *config, const char *address, int listener)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	const struct peer *peer;

	if (inet_pton(AF_INET, address, &in.sin_addr) == 1) {
		peer = config_peer_for(config, (const struct sockaddr *)&in, listener);
	} else {
		assert_int_equal(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
		peer = config_peer_for(config, (const struct sockaddr *)&in6, listener);
	}
	return peer == NULL ? "" : peer->name;
}

static void the_nearest_peer_is_found(void **state)
{
	static const struct {
		const char *behaviour, *address;
		int listener;
		const char *name;
	} cases[] = {
		{ "a network", "192.0.2.1", 0, "wide" },
		{ "its first address", "192.0.2.0", 0, "wide" },
		{ "its last address", "192.0.2.255", 0, "wide" },
		{ "behind it", "192.0.3.0", 0, "" },
		{ "before it", "192.0.1.255", 0, "" },
		{ "the longer prefix", "192.0.2.16", 0, "narrow" },
		{ "the longest prefix", "192.0.2.17", 0, "one" },
		{ "the end of the longer prefix", "192.0.2.32", 0, "wide" },
		{ "its own listener before any prefix", "192.0.2.17", 1, "tcp" },
		{ "the longest prefix of its own listener", "192.0.2.40", 1, "tcp-one" },
		{ "another's listener", "192.0.2.40", 0, "wide" },
		{ "no peer of its own on the listener", "198.51.100.7", 1, "one" },
		{ "no listener any more", "192.0.2.17", -1, "one" },
		{ "a stranger", "198.51.100.8", 0, "" },
		{ "IPv6", "2001:db8::1", 0, "six" },
		{ "behind the IPv6 network", "2001:db8:0:1::1", 0, "" },
		{ "an odd IPv6 prefix", "2001:db8:0:f::1", 0, "odd" },
		{ "behind an odd IPv6 prefix", "2001:db8:0:10::1", 0, "" },
		{ "before an odd IPv4 prefix", "203.0.113.127", 0, "" },
		{ "an odd IPv4 prefix", "203.0.113.128", 0, "odd" },
		{ "IPv4-mapped counts as IPv4", "::ffff:192.0.2.17", 0, "one" },
		{ "an IPv4-mapped network counts as IPv4", "203.0.113.63", 0, "mapped" },
		{ "behind an IPv4-mapped network", "203.0.113.64", 0, "" },
		{ "IPv4-compatible is not mapped", "::192.0.2.17", 0, "" },
	};
	struct sockaddr local = { .sa_family = AF_UNIX };
	struct config *config = good(several_peers);

	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *name = peer_name(config, cases[i].address, cases[i].listener);

		if (strcmp(name, cases[i].name) != 0)
			fail_msg("%s: %s is \"%s\"", cases[i].behaviour, cases[i].address, name);
	}
	assert_null(config_peer_for(config, &local, 0));
	config_free(config);
}

/* --- Where calls go on to --- */

#define SENDING_ON "name = \"a\"; addresses = [ \"192.0.2.0/28\", \"2001:db8::7\" ]; unknown_customer = \"unsigned\"; mode = \"b2bua\"; "

static void a_hop_without_transport_leaves_where_something_listens(void **state)
{
	static const struct {
		const char *listen, *next_hop;
		enum transport transport;
	} cases[] = {
		{ "\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\"", "sip:198.51.100.7", TRANSPORT_UDP },
		{ "\"tcp:127.0.0.1:5060\"", "sip:198.51.100.7", TRANSPORT_TCP },
		{ "\"udp:[::1]:5060\", \"tcp:127.0.0.1:5060\"", "sip:198.51.100.7", TRANSPORT_TCP },
		{ "\"udp:[::1]:5060\", \"tcp:127.0.0.1:5060\"", "sip:[2001:db8::7]", TRANSPORT_UDP },
		{ "\"udp:[::1]:5060\", \"tcp:127.0.0.1:5060\"", "sip:sbc.example", TRANSPORT_UDP },
		{ "\"tcp:127.0.0.1:5060\"", "sip:sbc.example", TRANSPORT_TCP },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config *config;
		char text[512];

		snprintf(text, sizeof text, "sip: { listen = [ %s ]; };\npeers = ( { " SENDING_ON "next_hop = \"%s\"; } );",
			cases[i].listen, cases[i].next_hop);
		config = good(text);
		if (config->peers[0].next_hops[0].transport != cases[i].transport)
			fail_msg("%s", text);
		assert_false(config->peers[0].next_hops[0].transport_given);
		config_free(config);
	}
}

static void a_call_that_returns_to_its_switch_gets_a_call_id_of_its_own(void **state)
{
	static const struct {
		const char *settings;
		enum call_id_mode call_id;
	} cases[] = {
		{ "next_hop = \"sip:198.51.100.7\";", CALL_ID_KEEP },
		{ "next_hop = \"sip:192.0.2.15:5080\";", CALL_ID_NEW },
		{ "next_hop = \"sip:192.0.2.16\";", CALL_ID_KEEP },
		{ "next_hop = [ \"sip:198.51.100.7\", \"sip:192.0.2.1\" ];", CALL_ID_NEW },
		{ "next_hop = \"sip:192.0.2.1\"; call_id = \"keep\";", CALL_ID_KEEP },
		{ "next_hop = \"sip:198.51.100.7\"; call_id = \"new\";", CALL_ID_NEW },
		{ "next_hop = \"sip:sbc.example\";", CALL_ID_KEEP },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config *config;
		char text[512];

		snprintf(text, sizeof text, "peers = ( { " SENDING_ON "%s } );", cases[i].settings);
		config = good(text);
		if (config->peers[0].call_id != cases[i].call_id)
			fail_msg("%s", cases[i].settings);
		config_free(config);
	}
}

static bool may_speak(const struct config *config, const char *address, int listener)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, address, &in.sin_addr) == 1)
		return config_may_speak(config, (const struct sockaddr *)&in, listener);
	assert_int_equal(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
	return config_may_speak(config, (const struct sockaddr *)&in6, listener);
}

static void the_far_side_may_speak_on_every_listener(void **state)
{
	static const struct {
		const char *behaviour, *address;
		int listener;
		bool may;
	} cases[] = {
		{ "a peer", "192.0.2.1", 0, true },
		{ "a peer of another listener", "192.0.2.1", 1, false },
		{ "a next hop, whatever its port", "198.51.100.7", 0, true },
		{ "a next hop on a listener that is not its peer's", "198.51.100.7", 1, true },
		{ "the second one", "2001:db8::7", 1, true },
		{ "that of a rule", "198.51.100.9", 0, true },
		{ "a far side", "203.0.113.200", 1, true },
		{ "IPv4-mapped", "::ffff:203.0.113.200", 1, true },
		{ "behind a far side", "203.0.114.0", 1, false },
		{ "the next hop of a redirect", "198.51.100.8", 0, false },
		{ "the far side of a redirect", "198.51.100.65", 0, false },
		{ "a stranger", "198.51.100.6", 0, false },
	};
	struct sockaddr local = { .sa_family = AF_UNIX };
	struct config *config =
		good("sip: { listen = [ \"udp:127.0.0.1:5060\", \"udp:[::1]:5060\" ]; };\n"
		     "trust = ( { name = \"us\"; anchors = \"roots\"; } );\n"
		     "peers = ( { name = \"a\"; addresses = [ \"192.0.2.1\" ]; listen = \"udp:127.0.0.1:5060\"; service = \"verify\";\n"
		     "  mode = \"forward\"; next_hop = [ \"sip:198.51.100.7:5080\", \"sip:[2001:db8::7]\", \"sip:sbc.example\" ];\n"
		     "  far_side = [ \"203.0.113.0/24\" ];\n"
		     "  treatment = ( { action = \"continue\"; next_hop = \"sip:198.51.100.9\"; } ); },\n"
		     "{ name = \"b\"; addresses = [ \"192.0.2.2\" ]; unknown_customer = \"unsigned\"; next_hop = \"sip:198.51.100.8\";\n"
		     "  far_side = [ \"198.51.100.64/28\" ]; } );");

	for (size_t i = 0; i < COUNT(cases); i++)
		if (may_speak(config, cases[i].address, cases[i].listener) != cases[i].may)
			fail_msg("%s", cases[i].behaviour);
	assert_false(config_may_speak(config, &local, 0));
	config_free(config);
}

static void names_are_found_by_their_hashes(void **state)
{
	struct config *config =
		good("credentials = ( { name = \"alpha\"; certificate = \"a\"; private_key = \"k\"; spc = \"1234\";\n"
		     "x5u = \"https://certs.example.net/a.pem\"; } );\n"
		     "customers = ( { name = \"acme\"; credential = \"alpha\"; },\n"
		     "{ name = \"customer-257\"; credential = \"alpha\"; }, { name = \"customer-316\"; credential = \"alpha\"; } );\n"
		     "peers = ( { name = \"core\"; addresses = [ \"192.0.2.1\" ]; mode = \"b2bua\"; next_hop = \"sip:198.51.100.7\"; },\n"
		     "{ name = \"other\"; addresses = [ \"192.0.2.2\" ]; mode = \"forward\"; next_hop = \"sip:198.51.100.7\"; },\n"
		     "{ name = \"redirected\"; addresses = [ \"192.0.2.3\" ]; } );");
	const uint16_t shared = name_hash(span_of("customer-257"));

	/* They go into messages that other versions read. */
	assert_int_equal(name_hash(span_of("")), 7385);
	assert_int_equal(name_hash(span_of("a")), 52512);
	assert_int_equal(name_hash(span_of("core")), 48416);

	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(config->peers[i].hash, name_hash(span_of(config->peers[i].name)));
		assert_ptr_equal(config_peer_by_hash(config, config->peers[i].hash), &config->peers[i]);
		assert_int_equal(config->listeners[i].hash, name_hash(span_of(config->listeners[i].text)));
		assert_ptr_equal(config_listener_by_hash(config, config->listeners[i].hash), &config->listeners[i]);
	}
	assert_null(config_peer_by_hash(config, config->peers[2].hash));
	assert_null(config_peer_by_hash(config, 0));
	assert_null(config_listener_by_hash(config, 0));
	assert_ptr_equal(config_customer_by_hash(config, name_hash(span_of("acme"))), &config->customers[0]);
	assert_int_equal(name_hash(span_of("customer-316")), shared);
	assert_null(config_customer_by_hash(config, shared));
	assert_null(config_customer_by_hash(config, UINT16_MAX));
	config_free(config);
}

/* --- Hostile texts --- */

static void parse_anything(const char *text, size_t length)
{
	struct config_report *report = config_report_new();
	struct config_source *source;

	put_bytes("stirrup.conf", text, length);
	source = source_of(in_folder("stirrup.conf"));
	config_free(config_parse(source, report));
	config_source_free(source);
	config_report_free(report);
}

static void every_cut_text_is_survived(void **state)
{
	for (size_t length = 0; length < sizeof whole; length++)
		parse_anything(whole, length);
	take("stirrup.conf");
}

static void every_changed_byte_is_survived(void **state)
{
	static const char bytes[] = "\"\\{}[]();,=#/*@-9\x01\xff\n";
	char text[sizeof whole];

	for (size_t at = 0; at < sizeof whole - 1; at++) {
		memcpy(text, whole, sizeof whole);
		text[at] = bytes[at % (sizeof bytes - 1)];
		parse_anything(text, sizeof whole - 1);
		text[at] = bytes[(at / 7 + 3) % (sizeof bytes - 1)];
		parse_anything(text, sizeof whole - 1);
	}
	take("stirrup.conf");
}

static void many_brackets_are_survived(void **state)
{
	static const char *const pieces[] = { "x=(", "x={", "x:{x=(", "(", "{", "[", "x=[" };
	size_t length = 1 << 16;
	char *text = malloc(length + 8);

	for (size_t i = 0; i < COUNT(pieces); i++) {
		for (size_t at = 0; at < length; at++)
			text[at] = pieces[i][at % strlen(pieces[i])];
		parse_anything(text, length);
	}
	free(text);
	take("stirrup.conf");
}

static void integers_at_their_ends_are_read_right(void **state)
{
	static const struct {
		const char *number;
		unsigned workers; /* UINT_MAX: refused */
	} cases[] = {
		{ "64", 64 },
		{ "+64", 64 },
		{ "0x40", 64 },
		{ "64L", 64 },
		{ "0x40LL", 64 },
		{ "0000000000000000000000064", 64 },
		{ "2147483647", UINT_MAX },
		{ "2147483648", UINT_MAX },
		{ "-2147483648", UINT_MAX },
		{ "-2147483649", UINT_MAX },
		{ "4294967296", UINT_MAX },
		{ "4294967360", UINT_MAX },
		{ "0xFFFFFFFF", UINT_MAX },
		{ "0x100000040", UINT_MAX },
		{ "-4294967232", UINT_MAX },
		{ "9223372036854775807L", UINT_MAX },
		{ "9223372036854775872L", UINT_MAX },
		{ "18446744073709551680L", UINT_MAX },
		{ "-18446744073709551552LL", UINT_MAX },
		{ "0x10000000000000040L", UINT_MAX },
		{ "99999999999999999999999999999999999999", UINT_MAX },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config *config;
		struct said said;
		char text[256];

		snprintf(text, sizeof text, A_PEER "sip: { workers = %s; };", cases[i].number);
		config = parse_text(text, &said);
		if ((config == NULL ? UINT_MAX : config->workers) != cases[i].workers)
			fail_msg("%s", text);
		config_free(config);
		forget(&said);
	}
}

static void parsing_is_the_same_every_time(void **state)
{
	static const char wrong[] = "peers = ( { name = \"b\"; }, { name = \"b\"; x = 1; } );\nsip: { workers = 99; };";
	struct said first, second;

	assert_null(parse_text(wrong, &first));
	assert_null(parse_text(wrong, &second));
	assert_int_equal(first.count, second.count);
	for (size_t i = 0; i < first.count; i++)
		assert_string_equal(first.lines[i], second.lines[i]);
	forget(&first);
	forget(&second);
}

/* A hundred thousand take 0.05 s; what grows with the square of them would take minutes. */
/* What it costs to read that many, in nanoseconds of this process's own time. */
static int64_t cost_of_numbers(int count)
{
	char *text = malloc((size_t)count * 24 + 1024);
	struct timespec before, after;
	size_t length;

	length = (size_t)sprintf(text,
		A_PEER "credentials = ( { name = \"alpha\"; certificate = \"a\"; private_key = \"k\"; spc = \"1234\";\n"
		"x5u = \"https://certs.example.net/a.pem\"; } );\n"
		"customers = ( { name = \"acme\"; credential = \"alpha\"; numbers = [\n");
	for (int i = 0; i < count; i++)
		length += (size_t)sprintf(text + length, "\"+1215%07d\"%s\n", i * 3, i == count - 1 ? "" : ",");
	strcpy(text + length, "]; } );");
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	config_free(good(text));
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	free(text);
	return (after.tv_sec - before.tv_sec) * INT64_C(1000000000) + after.tv_nsec - before.tv_nsec;
}

/* Ten times the numbers cost about ten times as much; a hundred times would be the square. */
static void many_numbers_cost_what_each_of_them_costs(void **state)
{
	int64_t few = cost_of_numbers(10000);

#ifdef __SANITIZE_ADDRESS__
	skip(); /* its realloc() always copies, and libconfig calls it for every few elements */
#endif
	assert_true(cost_of_numbers(100000) < 40 * few);
}

/* --- Quantities --- */

static void durations_and_sizes_have_units(void **state)
{
	static const struct {
		const char *text;
		int64_t duration, size; /* -1: is none */
	} cases[] = {
		{ "250ms", 250, -1 },
		{ "60s", 60000, -1 },
		{ "5m", 300000, -1 },
		{ "24h", 86400000, -1 },
		{ "1d", 86400000, -1 },
		{ "0s", 0, -1 },
		{ "007s", 7000, -1 },
		{ "64K", -1, 65536 },
		{ "16M", -1, 16777216 },
		{ "1G", -1, 1073741824 },
		{ "512", -1, 512 },
		{ "", -1, -1 },
		{ "s", -1, -1 },
		{ "60 s", -1, -1 },
		{ "-1s", -1, -1 },
		{ "+1s", -1, -1 },
		{ "1.5s", -1, -1 },
		{ "1S", -1, -1 },
		{ "1k", -1, -1 },
		{ "1sec", -1, -1 },
		{ "1s ", -1, -1 },
		{ "106751991168d", -1, -1 },
		{ "9223372036854775807G", -1, -1 },
		{ "99999999999999999999999s", -1, -1 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		int64_t duration = -1, size = -1;

		assert_int_equal(duration_from_text(&duration, cases[i].text), cases[i].duration >= 0);
		assert_int_equal(size_from_text(&size, cases[i].text), cases[i].size >= 0);
		assert_int_equal(duration, cases[i].duration);
		assert_int_equal(size, cases[i].size);
	}
}

/* --- Reports --- */

static void a_report_names_place_and_setting(void **state)
{
	struct config_report *report = config_report_new();
	struct said said = { 0 };
	char text[2001];

	memset(text, 'x', 2000);
	text[2000] = '\0';
	config_report_add(report, CONFIG_ERROR, "a.conf", 12, "sip.workers", "%d: is wrong", 5);
	config_report_add(report, CONFIG_WARNING, "a.conf", 0, "sip", "is odd");
	config_report_add(report, CONFIG_WARNING, NULL, 0, NULL, "is odd");
	config_report_add(report, CONFIG_ERROR, NULL, 3, "", "%s", "%n is text");
	config_report_add(report, CONFIG_ERROR, text, 3, text, "%s", text);
	config_report_each(report, remember, &said);
	assert_int_equal(config_report_errors(report), 3);
	assert_int_equal(said.count, 5);
	assert_string_equal(said.lines[0], "a.conf:12: sip.workers: 5: is wrong");
	assert_string_equal(said.lines[1], "a.conf: sip: is odd");
	assert_string_equal(said.lines[2], "is odd");
	assert_string_equal(said.lines[3], "line 3: %n is text");
	assert_int_equal(said.severities[2], CONFIG_WARNING);
	forget(&said);
	config_report_free(report);
	config_report_free(NULL);
}

static void freeing_nothing_is_fine(void **state)
{
	config_free(NULL);
	config_source_free(NULL);
}

/* --- The documents --- */

static char *manual, *sample;

static bool has_word(const char *text, const char *word)
{
	for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
		bool begins = at == text || strchr(" \t#({", at[-1]) != NULL || at[-1] == '\n';

		if (begins && strchr(" :=", at[strlen(word)]) != NULL)
			return true;
	}
	return false;
}

/* The item of the manual must say what happens without the setting, and show it. */
static void check_item(const char *path)
{
	char head[128], item[4096];
	const char *start, *end;

	snprintf(head, sizeof head, "\n.It Va %s\n", path);
	start = strstr(manual, head);
	if (start == NULL)
		fail_msg("stirrup.conf(5) does not explain %s", path);
	start += strlen(head);
	end = strstr(start, "\n.It Va ");
	snprintf(item, sizeof item, "%.*s", end == NULL ? 2000 : (int)(end - start), start);
	if (strstr(item, "Default:") == NULL && strstr(item, "Required") == NULL)
		fail_msg("stirrup.conf(5) does not tell the default of %s", path);
	if (strstr(item, "\n.Dl ") == NULL)
		fail_msg("stirrup.conf(5) has no example of %s", path);
}

static size_t check_documents(const struct schema *members, const char *prefix)
{
	size_t count = 0;

	for (; members->name != NULL; members++) {
		char path[128];

		snprintf(path, sizeof path, "%s%s%s", prefix, *prefix == '\0' ? "" : ".", members->name);
		if (members->members != NULL)
			count += check_documents(members->members, path);
		if (!has_word(sample, members->name))
			fail_msg("stirrup.conf.sample does not show %s", path);
		if (members->type == SCHEMA_GROUP || (members->type == SCHEMA_ENTRIES && *prefix == '\0'))
			continue;
		check_item(path);
		count++;
	}
	return count;
}

static void every_setting_is_documented(void **state)
{
	manual = read_text(TEST_DATA "/../../man/stirrup.conf.5");
	sample = read_text(TEST_DATA "/../../conf/stirrup.conf.sample");
	assert_true(check_documents(schema_root, "") > 60);
	free(manual);
	free(sample);
}

static void the_sample_is_taken_without_a_word(void **state)
{
	char *text = read_text(TEST_DATA "/../../conf/stirrup.conf.sample");
	struct config *config;
	struct said said;

	config = parse_text(text, &said);
	assert_non_null(config);
	assert_int_equal(said.count, 0);
	for (size_t i = 0; i < config->listener_count; i++)
		assert_non_null(strstr(config->listeners[i].text, ":127.0.0.1:"));
	assert_string_equal(peer_name(config, "127.0.0.1", 0), "local");
	assert_string_equal(peer_name(config, "192.0.2.1", 0), "");
	config_free(config);
	free(text);
}

/* With every setting taken in, only what is not built gives a warning, and the groups have their defaults. */
static void the_sample_with_every_setting_is_taken(void **state)
{
	char *text = read_text(TEST_DATA "/../../conf/stirrup.conf.sample");
	struct config *config, *defaults = good(A_PEER);
	struct said said;

	for (char *line = text; line != NULL; line = strchr(line + 1, '\n')) {
		char *first = line == text ? line : line + 1;

		if (*first == '#')
			*first = ' ';
	}
	config = parse_text(text, &said);
	if (config == NULL)
		fail_msg("%s", said.lines[0]);
	for (size_t i = 0; i < said.count; i++)
		assert_non_null(strstr(said.lines[i], "not built in this version"));
	assert_int_equal(config->peer_count, 4);
	assert_int_equal(config->workers, defaults->workers);
	assert_string_equal(config->secret_file, defaults->secret_file);
	assert_int_equal(config->max_waiting, defaults->max_waiting);
	assert_int_equal(config->answer_memo_bytes, defaults->answer_memo_bytes);
	assert_int_equal(config->signer_deadline_ms, defaults->signer_deadline_ms);
	assert_int_equal(config->self_check, defaults->self_check);
	assert_int_equal(config->freshness_s, defaults->freshness_s);
	/* What has no default is an example. */
	free(config->verification.cache);
	free(config->verification.tls_ca);
	config->verification.cache = config->verification.tls_ca = NULL;
	config->verification.allow_address_count = 0;
	assert_string_equal(config->dialog_store, defaults->dialog_store);
	assert_int_equal(config->dialog_store_bytes, defaults->dialog_store_bytes);
	assert_int_equal(config->dialog_max_age_s, defaults->dialog_max_age_s);
	assert_int_equal(config->probe_interval_ms, defaults->probe_interval_ms);
	check_default_verification(&config->verification);
	forget(&said);
	config_free(config);
	config_free(defaults);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_files_are_refused_with_every_reason),
		cmocka_unit_test(good_files_are_taken_with_every_warning),
		cmocka_unit_test(what_is_not_set_has_its_default),
		cmocka_unit_test(every_setting_finds_its_place),
		cmocka_unit_test(numbers_are_found_with_customer_and_level),
		cmocka_unit_test(the_only_credential_signs_for_unknown_customers),
		cmocka_unit_test(no_workers_means_one_for_each_core),
		cmocka_unit_test(a_peer_of_an_unbuilt_listener_is_nowhere),
		cmocka_unit_test(every_reason_of_verification_can_have_a_rule),
		cmocka_unit_test(fragments_add_up_in_the_order_of_their_names),
		cmocka_unit_test(a_setting_in_two_files_names_both_places),
		cmocka_unit_test(a_broken_file_hides_nothing_of_the_others),
		cmocka_unit_test(names_are_unique_over_all_files),
		cmocka_unit_test(what_is_no_text_file_is_refused),
		cmocka_unit_test(a_fragment_that_cannot_be_read_is_refused),
		cmocka_unit_test(a_short_reason_is_cut),
		cmocka_unit_test(a_relative_path_is_taken_from_the_working_directory),
		cmocka_unit_test(the_memfd_gives_the_same_configuration),
		cmocka_unit_test(the_memfd_cannot_be_changed),
		cmocka_unit_test(a_damaged_memfd_is_refused),
		cmocka_unit_test(the_nearest_peer_is_found),
		cmocka_unit_test(a_hop_without_transport_leaves_where_something_listens),
		cmocka_unit_test(a_call_that_returns_to_its_switch_gets_a_call_id_of_its_own),
		cmocka_unit_test(the_far_side_may_speak_on_every_listener),
		cmocka_unit_test(names_are_found_by_their_hashes),
		cmocka_unit_test(every_cut_text_is_survived),
		cmocka_unit_test(every_changed_byte_is_survived),
		cmocka_unit_test(many_brackets_are_survived),
		cmocka_unit_test(integers_at_their_ends_are_read_right),
		cmocka_unit_test(parsing_is_the_same_every_time),
		cmocka_unit_test(many_numbers_cost_what_each_of_them_costs),
		cmocka_unit_test(durations_and_sizes_have_units),
		cmocka_unit_test(a_report_names_place_and_setting),
		cmocka_unit_test(freeing_nothing_is_fine),
		cmocka_unit_test(every_setting_is_documented),
		cmocka_unit_test(the_sample_is_taken_without_a_word),
		cmocka_unit_test(the_sample_with_every_setting_is_taken),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
