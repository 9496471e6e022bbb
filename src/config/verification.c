#include <stdlib.h>
#include <string.h>

#include "reading.h"
#include "schema.h"
#include "source.h"

/* Somebody who gives a URL expects it to be fetched. */
static char *read_file(struct tree *tree, const config_setting_t *setting)
{
	const char *text = setting == NULL ? NULL : config_setting_get_string(setting);

	if (text == NULL || text[0] == '\0')
		return NULL;
	if (strstr(text, "://") != NULL)
		setting_error(tree, setting,
			"\"%.120s\": is a URL; give the path of a file, which something else downloads",
			text);
	return setting_path(tree, setting, text);
}

/* --- trust --- */

void trust_config_clear(struct trust_config *trust)
{
	free(trust->name);
	free(trust->anchors);
	free(trust->crl);
	free(trust->crl_issuer_anchors);
}

static void read_trust_entry(
	struct reading *reading, struct trust_config *trust, const config_setting_t *entry)
{
	struct tree *tree = &reading->tree;
	const config_setting_t *crl = config_setting_get_member(entry, "crl");
	const config_setting_t *issuers = config_setting_get_member(entry, "crl_issuer_anchors");

	trust->name = tree_copy(tree, member_text(entry, "name"));
	trust->anchors = read_file(tree, config_setting_get_member(entry, "anchors"));
	trust->crl = read_file(tree, crl);
	trust->crl_issuer_anchors = read_file(tree, issuers);
	trust->file = kept_file(reading->config, setting_file(entry)->name);
	trust->line = config_setting_source_line(entry);
	if (crl != NULL && issuers == NULL)
		setting_error(tree, crl,
			"is set, but no crl_issuer_anchors: the list is signed under the STI-PA's own root, "
			"which no STI-CA's replaces");
	if (issuers != NULL && crl == NULL)
		setting_error(tree, issuers, "is set, but no crl that is checked with it");
}

void read_trust(struct reading *reading)
{
	struct tree *tree = &reading->tree;
	struct config *config = reading->config;
	const config_setting_t **entries;
	size_t count = tree_entries(tree, "trust", &entries);
	struct names names = { 0 };

	config->trust = tree_array(tree, count, sizeof *config->trust);
	if (entries != NULL && config->trust != NULL) {
		for (; config->trust_count < count; config->trust_count++)
			read_trust_entry(
				reading, &config->trust[config->trust_count], entries[config->trust_count]);
		names_read(&names, tree, entries, count);
		names_clear(&names);
	}
	free(entries);
}

/* --- verification --- */

void verification_config_clear(struct verification_config *verification)
{
	free(verification->cache);
	free(verification->tls_ca);
	free(verification->allow_addresses);
	free(verification->allow_ports);
}

static void read_ports(struct reading *reading, struct verification_config *verification)
{
	const config_setting_t *list = tree_find(&reading->tree, "verification.fetch.allow_ports");
	bool is_list = list != NULL && (config_setting_is_list(list) || config_setting_is_array(list));
	size_t count = is_list ? (size_t)config_setting_length(list) : 0;

	verification->allow_ports = tree_array(&reading->tree, count + 2, sizeof *verification->allow_ports);
	if (verification->allow_ports == NULL)
		return;
	for (size_t i = 0; i < count; i++)
		verification->allow_ports[i] =
			(unsigned)config_setting_get_int64(config_setting_get_elem(list, (unsigned)i));
	verification->allow_port_count = count;
	if (count == 0) {
		/* ATIS-1000074 section 5.3.1 */
		verification->allow_ports[0] = 443;
		verification->allow_ports[1] = 8443;
		verification->allow_port_count = 2;
	}
}

static void read_fetch(struct reading *reading, struct verification_config *verification)
{
	struct tree *tree = &reading->tree;
	const config_setting_t *per_host = tree_find(tree, "verification.fetch.max_per_host");

	verification->fetch_deadline_ms = (unsigned)duration_at(reading, "verification.fetch.deadline", "2s");
	verification->tls_ca = read_file(tree, tree_find(tree, "verification.fetch.tls_ca"));
	verification->allow_addresses =
		read_networks(tree, tree_find(tree, "verification.fetch.allow_addresses"),
			"every address: a caller can then make this server ask any host of your own networks",
			&verification->allow_address_count);
	read_ports(reading, verification);
	verification->fetch_max = number_at(reading, "verification.fetch.max", 64);
	verification->fetch_max_per_host = number_at(reading, "verification.fetch.max_per_host", 4);
	if (per_host != NULL && verification->fetch_max_per_host > verification->fetch_max)
		setting_error(tree, per_host, "%u: is more than the %u of verification.fetch.max",
			verification->fetch_max_per_host, verification->fetch_max);
	if (verification->fetch_max_per_host > verification->fetch_max)
		verification->fetch_max_per_host = verification->fetch_max;
	verification->fetch_per_peer = number_at(reading, "verification.fetch.per_peer", 50);
}

void read_verification(struct reading *reading)
{
	struct verification_config *verification = &reading->config->verification;
	struct tree *tree = &reading->tree;

	reading->config->freshness_s =
		read_seconds(tree, tree_find(tree, "verification.freshness"), "60s", "iat and Date have");
	verification->on_failure =
		word_at(reading, "verification.on_failure", on_failure_words, ON_FAILURE_CONTINUE);
	verification->verstat_failed_on_any =
		word_at(reading, "verification.verstat_failed_on", verstat_failed_on_words, 0) == 1;
	verification->strict_profile = flag_at(reading, "verification.strict_profile", false);
	verification->crl_grace_s =
		read_seconds(tree, tree_find(tree, "verification.crl_grace"), "24h", "a list's dates have");
	verification->on_replay = word_at(reading, "verification.replay", on_replay_words, ON_REPLAY_RECORD);
	verification->cache = read_file(tree, tree_find(tree, "verification.cache"));
	verification->cache_entries = number_at(reading, "verification.cache_entries", 50000);
	verification->cache_bytes = (size_t)size_at(reading, "verification.cache_size", "256M");
	verification->call_deadline_ms = (unsigned)duration_at(reading, "verification.call_deadline", "2s");
	read_fetch(reading, verification);
}
