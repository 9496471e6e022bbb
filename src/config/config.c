#include "stirrup/config.h"

#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "reading.h"
#include "report.h"
#include "schema.h"
#include "source.h"

#define WORKERS_MAX 64

#define DNS_SERVERS_MAX 8

/* --- The groups --- */

static void read_dns_server(struct reading *reading, const config_setting_t *entry)
{
	struct config *config = reading->config;
	struct sockaddr_storage *server = &config->dns_servers[config->dns_server_count];
	const char *text = entry_text(entry, "address"), *why;

	if (text == NULL || text[0] == '\0')
		return;
	why = endpoint_from_text(server, span_of(text), 53);
	if (why == NULL && (is_wildcard(server) || is_multicast(server)))
		why = "is not the address of a host";
	if (why == NULL)
		config->dns_server_count++;
	else
		setting_error(&reading->tree, entry, "\"%.80s\": %s", text, why);
}

static void read_dns_servers(struct reading *reading)
{
	const config_setting_t *list = tree_find(&reading->tree, "sip.dns_servers");
	bool is_list = list != NULL && (config_setting_is_list(list) || config_setting_is_array(list));
	int length = is_list ? config_setting_length(list) : 0;

	if (length > DNS_SERVERS_MAX) {
		setting_error(&reading->tree, list, "%d servers; %d at most", length, DNS_SERVERS_MAX);
		return;
	}
	reading->config->dns_servers =
		tree_array(&reading->tree, (size_t)length, sizeof *reading->config->dns_servers);
	for (int i = 0; reading->config->dns_servers != NULL && i < length; i++)
		read_dns_server(reading, config_setting_get_elem(list, (unsigned)i));
}

/* The range of the setting begins with 0, which is no interval. */
static void read_probe_interval(struct reading *reading)
{
	const config_setting_t *setting = tree_find(&reading->tree, "sip.probe_interval");
	int64_t milliseconds = duration_at(reading, "sip.probe_interval", "30s");

	if (milliseconds > 0 && milliseconds < 1000)
		setting_error(&reading->tree, setting, "must be \"1s\" at least, or \"0s\" for no probes");
	reading->config->probe_interval_ms = (unsigned)milliseconds;
}

static void read_sip(struct reading *reading, const struct config_source *source)
{
	struct config *config = reading->config;
	const config_setting_t *node = tree_find(&reading->tree, "sip.node");

	config->workers = number_at(reading, "sip.workers", 1);
	if (config->workers == 0)
		config->workers = source->cores < WORKERS_MAX ? source->cores : WORKERS_MAX;
	config->secret_file = path_at(reading, "sip.secret_file", "/var/lib/stirrup/secret");
	config->previous_secret_file = path_at(reading, "sip.previous_secret_file", NULL);
	config->node = tree_copy(&reading->tree, text_at(reading, "sip.node", source->node));
	if (node != NULL && config->node != NULL && strlen(config->node) > SOURCE_NODE_MAX)
		setting_error(&reading->tree, node, "is longer than %d characters", SOURCE_NODE_MAX);
	config->max_waiting = number_at(reading, "sip.max_waiting", 4096);
	config->answer_memo_bytes = (size_t)size_at(reading, "sip.answer_memo", "16M");
	read_dns_servers(reading);
	read_probe_interval(reading);
}

static void read_dialogs(struct reading *reading)
{
	struct config *config = reading->config;
	struct tree *tree = &reading->tree;

	config->dialog_store = path_at(reading, "dialogs.store", "/var/lib/stirrup/dialogs");
	config->dialog_store_bytes = (size_t)size_at(reading, "dialogs.size", "1G");
	config->dialog_max_age_s = (uint32_t)read_seconds(
		tree, tree_find(tree, "dialogs.max_age"), "24h", "a call's age is counted in");
}

static void read_other_groups(struct reading *reading)
{
	struct config *config = reading->config;

	config->signer_deadline_ms = (unsigned)duration_at(reading, "signer.deadline", "250ms");
	config->self_check = word_at(reading, "signer.self_check", self_check_words, SELF_CHECK_SAMPLED);
	config->records_file = path_at(reading, "records.file", NULL);
}

/* --- The whole --- */

static struct config *new_config(const struct config_source *source)
{
	struct config *config = calloc(1, sizeof *config);

	if (config == NULL)
		return NULL;
	config->files = calloc(source->count, sizeof *config->files);
	while (config->files != NULL && config->file_count < source->count) {
		char *name = strdup(source->files[config->file_count].name);

		if (name == NULL)
			break;
		config->files[config->file_count++] = name;
	}
	if (config->file_count == source->count)
		return config;
	config_free(config);
	return NULL;
}

static void read_sections(struct reading *reading, const struct config_source *source)
{
	schema_check(&reading->tree);
	read_sip(reading, source);
	read_other_groups(reading);
	read_listeners(reading);
	read_credentials(reading);
	read_customers(reading);
	read_verification(reading);
	read_trust(reading);
	read_peers(reading);
	read_dialogs(reading);
	name_hashes_read(reading);
}

static void reading_clear(struct reading *reading)
{
	for (size_t i = 0; i < reading->unbuilt_count; i++)
		listener_clear(&reading->unbuilt[i]);
	free(reading->unbuilt);
	names_clear(&reading->credentials);
	names_clear(&reading->customers);
	free(reading->peers);
	tree_clear(&reading->tree);
}

struct config *config_parse(const struct config_source *source, struct config_report *report)
{
	size_t errors_before = config_report_errors(report);
	struct reading reading = { .config = new_config(source) };

	tree_read(&reading.tree, source, report);
	if (reading.config == NULL)
		reading.tree.out_of_memory = true;
	else if (!reading.tree.out_of_memory)
		read_sections(&reading, source);
	config_report_sort(report);
	if (reading.tree.out_of_memory)
		config_report_add(report, CONFIG_ERROR, NULL, 0, NULL, "out of memory");
	reading_clear(&reading);
	if (config_report_errors(report) == errors_before)
		return reading.config;
	config_free(reading.config);
	return NULL;
}

static void credential_clear(struct credential_config *credential)
{
	free(credential->name);
	free(credential->certificate);
	free(credential->private_key);
	free(credential->x5u);
	free(credential->spc);
}

void config_free(struct config *config)
{
	if (config == NULL)
		return;
	for (size_t i = 0; i < config->listener_count; i++)
		listener_clear(&config->listeners[i]);
	for (size_t i = 0; i < config->credential_count; i++)
		credential_clear(&config->credentials[i]);
	for (size_t i = 0; i < config->customer_count; i++) {
		free(config->customers[i].name);
		free(config->customers[i].origid);
	}
	for (size_t i = 0; i < config->trust_count; i++)
		trust_config_clear(&config->trust[i]);
	for (size_t i = 0; i < config->peer_count; i++)
		peer_clear(&config->peers[i]);
	for (size_t i = 0; i < config->file_count; i++)
		free(config->files[i]);
	verification_config_clear(&config->verification);
	peer_networks_free(config->peer_networks);
	name_hashes_free(config->name_hashes);
	number_table_free(config->numbers);
	free(config->listeners);
	free(config->credentials);
	free(config->customers);
	free(config->peers);
	free(config->trust);
	free(config->secret_file);
	free(config->previous_secret_file);
	free(config->dns_servers);
	free(config->dialog_store);
	free(config->node);
	free(config->records_file);
	free(config->files);
	free(config);
}
