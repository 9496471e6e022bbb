#include "stirrup/config.h"

#include <stdlib.h>
#include <string.h>

#include "reading.h"
#include "report.h"
#include "schema.h"
#include "source.h"

#define WORKERS_MAX 64

/* --- The groups --- */

static void read_sip(struct reading *reading, const struct config_source *source)
{
	struct config *config = reading->config;
	const config_setting_t *node = tree_find(&reading->tree, "sip.node");

	config->workers = number_at(reading, "sip.workers", 1);
	if (config->workers == 0)
		config->workers = source->cores < WORKERS_MAX ? source->cores : WORKERS_MAX;
	config->secret_file = path_at(reading, "sip.secret_file", "/var/lib/stirrup/secret");
	config->node = tree_copy(&reading->tree, text_at(reading, "sip.node", source->node));
	if (node != NULL && config->node != NULL && strlen(config->node) > SOURCE_NODE_MAX)
		setting_error(&reading->tree, node, "is longer than %d characters", SOURCE_NODE_MAX);
	config->max_waiting = number_at(reading, "sip.max_waiting", 4096);
	config->answer_memo_bytes = (size_t)size_at(reading, "sip.answer_memo", "16M");
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
}

static void reading_clear(struct reading *reading)
{
	for (size_t i = 0; i < reading->unbuilt_count; i++)
		listener_clear(&reading->unbuilt[i]);
	free(reading->unbuilt);
	names_clear(&reading->credentials);
	names_clear(&reading->customers);
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
	number_table_free(config->numbers);
	free(config->listeners);
	free(config->credentials);
	free(config->customers);
	free(config->peers);
	free(config->trust);
	free(config->secret_file);
	free(config->node);
	free(config->records_file);
	free(config->files);
	free(config);
}
