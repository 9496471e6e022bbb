#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "reading.h"
#include "schema.h"

void peer_clear(struct peer *peer)
{
	free(peer->name);
	free(peer->addresses);
	free(peer->next_hop);
	for (size_t i = 0; i < peer->next_hop_count; i++)
		next_hop_clear(&peer->next_hops[i]);
	free(peer->next_hops);
	free(peer->far_side);
	free(peer->origid);
	for (size_t i = 0; i < peer->treatment_count; i++)
		treatment_clear(&peer->treatment[i]);
	free(peer->treatment);
}

/* --- Who --- */

static void read_listen(struct reading *reading, struct peer *peer, const config_setting_t *group)
{
	const char *text = member_text(group, "listen");

	peer->listener = -1;
	if (text == NULL || text[0] == '\0')
		return;
	peer->listener = listener_index(reading, text);
	if (peer->listener == LISTENER_UNKNOWN && !reading->tree.incomplete)
		setting_error(&reading->tree, config_setting_get_member(group, "listen"),
			"\"%.80s\": is not one of sip.listen; write it as there, such as \"%s\"", text,
			reading->config->listener_count > 0 ? reading->config->listeners[0].text
							    : "udp:127.0.0.1:5060");
	else if (peer->listener == LISTENER_NOT_BUILT)
		setting_warning(&reading->tree, config_setting_get_member(group, "listen"),
			"\"%s\": tls listeners are not built in this version; this peer is left out", text);
}

/* --- Whose calls --- */

static enum level read_unknown_customer(const config_setting_t *group)
{
	const char *text = member_text(group, "unknown_customer");
	enum level level;

	return text != NULL && level_from_word(&level, text) && level != LEVEL_A ? level : LEVEL_C;
}

static bool is_attested(enum level level)
{
	return level == LEVEL_A || level == LEVEL_B || level == LEVEL_C;
}

/* Which credential signs for unknown customers. */
static int read_credential(struct reading *reading, const config_setting_t *group,
	const struct attestation_policy *policy, enum service service)
{
	size_t count = reading->config->credential_count;
	bool needed = policy->customer < 0 && member_text(group, "customer") == NULL &&
		      is_attested(policy->unknown_customer) && service == SERVICE_SIGN &&
		      !reading->tree.incomplete;

	if (config_setting_get_member(group, "credential") != NULL)
		return names_refer(&reading->credentials, &reading->tree, group, "credential", "credentials");
	if (count == 1)
		return 0;
	if (needed && count > 1)
		setting_error(&reading->tree, group,
			"which credential signs for unknown customers? Set credential, or unknown_customer = "
			"\"unsigned\"");
	else if (needed)
		setting_warning(&reading->tree, group,
			"there are no credentials: calls of unknown customers leave unsigned");
	return -1;
}

static void read_attestation(struct reading *reading, struct peer *peer, const config_setting_t *group)
{
	struct tree *tree = &reading->tree;
	struct attestation_policy *policy = &peer->attestation;
	const config_setting_t *by = config_setting_get_member(group, "customer_by");

	policy->customer = names_refer(&reading->customers, tree, group, "customer", "customers");
	policy->customer_by_number = by != NULL;
	policy->authenticates_callers = member_flag(group, "authenticates_callers", false);
	policy->unknown_customer = read_unknown_customer(group);
	policy->credential = read_credential(reading, group, policy, peer->service);
	if (by != NULL && config_setting_get_member(group, "customer") != NULL)
		setting_error(tree, by, "is set, and customer too; keep one of them");
	else if (by != NULL && peer->service == SERVICE_SIGN &&
		 config_setting_get_member(group, "authenticates_callers") == NULL)
		setting_warning(tree, by,
			"gives at most B while authenticates_callers is not true; set that to true or false");
}

/* --- Numbers without "+" --- */

static void read_digits(
	struct tree *tree, const config_setting_t *group, const char *name, char *out, size_t size)
{
	const config_setting_t *setting = config_setting_get_member(group, name);
	const char *text = member_text(group, name);

	if (text == NULL || text[0] == '\0')
		return;
	if (strspn(text, "0123456789") < strlen(text) || !span_copy(out, size, span_of(text)))
		setting_error(tree, setting, "\"%.60s\": must be 1 to %zu digits", text, size - 1);
}

static void read_dial_plan(struct tree *tree, struct dial_plan *plan, const config_setting_t *group)
{
	const config_setting_t *code = config_setting_get_member(group, "country_code");
	const config_setting_t *national = config_setting_get_member(group, "national_prefix");

	read_digits(tree, group, "country_code", plan->country_code, sizeof plan->country_code);
	read_digits(tree, group, "national_prefix", plan->national_prefix, sizeof plan->national_prefix);
	read_digits(tree, group, "international_prefix", plan->international_prefix,
		sizeof plan->international_prefix);
	if (plan->country_code[0] == '0')
		setting_error(tree, code, "\"%s\": no country code begins with 0; write \"44\", not \"0044\"",
			plan->country_code);
	if (national != NULL && code == NULL)
		setting_error(tree, national, "is set, but no country_code to put in its place");
	if (code != NULL && national == NULL && plan->international_prefix[0] == '\0' &&
		plan->country_code[0] != '\0' && strcmp(plan->country_code, "1") != 0)
		setting_warning(tree, code,
			"has no effect without national_prefix or international_prefix: only numbers with "
			"'+' are understood");
}

/* --- What its calls are worth --- */

/* A section without entries. What is there and of the wrong type has been reported. */
static bool is_empty_section(const struct tree *tree, const char *name, size_t entries)
{
	const config_setting_t *list = tree_find(tree, name);

	return entries == 0 && !tree->incomplete &&
	       (list == NULL || (!config_setting_is_scalar(list) && config_setting_length(list) == 0));
}

static void read_verify(struct reading *reading, struct peer *peer, const config_setting_t *group)
{
	peer->on_failure =
		member_word(group, "on_failure", on_failure_words, reading->config->verification.on_failure);
	peer->identity_required = member_flag(group, "identity_required", false);
	peer->trusted = member_flag(group, "trusted", false);
	peer->shadow = member_flag(group, "shadow", false);
	peer->verstat_form = member_word(group, "verstat", verstat_words, VERSTAT_PLAIN);
	peer->verstat_place = member_word(group, "verstat_place", verstat_place_words, VERSTAT_IN_PAI);
	peer->attestation_headers = member_flag(group, "attestation_headers", true);
	peer->treatment = read_treatments(reading, peer->mode, group, &peer->treatment_count);
	if (peer->service == SERVICE_VERIFY &&
		is_empty_section(&reading->tree, "trust", reading->config->trust_count))
		setting_error(&reading->tree, group,
			"service = \"verify\" needs an entry in trust: without roots of STI-CAs no call can "
			"pass");
}

/* --- Where its calls go --- */

/* Whether one of its own addresses is a next hop, too: a switch that we send its calls back to would take its
 * own Call-ID for a loop. */
static bool is_own_switch(const struct peer *peer, const struct next_hop *hop)
{
	struct network network;

	if (hop->host != NULL || !network_of(&network, (const struct sockaddr *)&hop->address))
		return false;
	for (size_t i = 0; i < peer->address_count; i++)
		if (network_holds(&peer->addresses[i], &network))
			return true;
	return false;
}

static enum call_id_mode default_call_id(const struct peer *peer)
{
	for (size_t i = 0; i < peer->next_hop_count; i++)
		if (is_own_switch(peer, &peer->next_hops[i]))
			return CALL_ID_NEW;
	for (size_t i = 0; i < peer->treatment_count; i++)
		if (peer->treatment[i].hop != NULL && is_own_switch(peer, peer->treatment[i].hop))
			return CALL_ID_NEW;
	return CALL_ID_KEEP;
}

/* The peer's treatment must have been read. */
static void read_far_side(struct reading *reading, struct peer *peer, const config_setting_t *group)
{
	struct tree *tree = &reading->tree;

	if (peer->mode != MODE_REDIRECT && config_setting_get_member(group, "next_hop") == NULL)
		setting_error(tree, config_setting_get_member(group, "mode"),
			"\"%s\": needs a next_hop, which its calls are sent on to", mode_words[peer->mode]);
	peer->next_hops = read_next_hops(reading, peer->mode, group, &peer->next_hop_count);
	if (peer->next_hop_count > 0)
		peer->next_hop = tree_copy(tree, peer->next_hops[0].text);
	peer->far_side = read_networks(tree, config_setting_get_member(group, "far_side"),
		"everybody in the world may speak within its calls", &peer->far_side_count);
	peer->no_answer_s = (unsigned)read_seconds(
		tree, config_setting_get_member(group, "no_answer"), "180s", "ringing is counted in");
	peer->call_id = member_word(group, "call_id", call_id_words, default_call_id(peer));
}

/* --- Peers --- */

static void warn_without_effect(struct tree *tree, const config_setting_t *group, const char *const *members,
	const char *key, const char *word)
{
	for (; *members != NULL; members++) {
		const config_setting_t *setting = config_setting_get_member(group, *members);

		if (setting != NULL)
			setting_warning(tree, setting, "has no effect on a peer with %s = \"%s\"", key, word);
	}
}

static void warn_of_other_mode(struct tree *tree, enum mode mode, const config_setting_t *group)
{
	static const char *const of_sending_on[] = { "far_side", "call_id", "no_answer", NULL };
	static const char *const of_two_legs[] = { "call_id", NULL };

	if (mode != MODE_B2BUA)
		warn_without_effect(tree, group, mode == MODE_REDIRECT ? of_sending_on : of_two_legs, "mode",
			mode_words[mode]);
}

static void warn_of_other_service(struct tree *tree, enum service service, enum mode mode, const config_setting_t *group)
{
	static const char *const of_signing[] = { "customer", "customer_by", "authenticates_callers",
		"unknown_customer", "credential", "stale_date", "unsigned_status", "reject_status", "origid",
		NULL };
	static const char *const of_verification[] = { "on_failure", "identity_required", "verstat", "verstat_place",
		"attestation_headers", "treatment", NULL };
	/* Of an INVITE that goes on whole, whoever is not trusted loses what he claims, when it is signed, too. */
	static const char *const of_both[] = { "trusted", "shadow", NULL };

	warn_without_effect(tree, group, service == SERVICE_SIGN ? of_verification : of_signing, "service",
		service_words[service]);
	if (service == SERVICE_SIGN && mode == MODE_REDIRECT)
		warn_without_effect(tree, group, of_both, "service", service_words[service]);
}

static unsigned read_status(const config_setting_t *group, const char *name, unsigned fallback)
{
	const config_setting_t *setting = config_setting_get_member(group, name);

	return setting == NULL ? fallback : (unsigned)config_setting_get_int64(setting);
}

static void read_peer(struct reading *reading, struct peer *peer, const config_setting_t *group)
{
	struct tree *tree = &reading->tree;

	peer->name = tree_copy(tree, member_text(group, "name"));
	peer->service = member_word(group, "service", service_words, SERVICE_SIGN);
	peer->mode = member_word(group, "mode", mode_words, MODE_REDIRECT);
	peer->identity_from =
		member_word(group, "identity_from", identity_from_words, IDENTITY_FROM_PAI_THEN_FROM);
	peer->on_error = member_word(group, "on_error", on_error_words, ON_ERROR_CONTINUE);
	peer->on_stale_date = member_word(group, "stale_date", stale_date_words, STALE_DATE_UNSIGNED);
	peer->unsigned_status = read_status(group, "unsigned_status", 302);
	peer->reject_status = read_status(group, "reject_status", 603);
	peer->origid = read_origid(tree, group);
	read_listen(reading, peer, group);
	peer->addresses = read_networks(tree, config_setting_get_member(group, "addresses"),
		"everybody in the world is this peer", &peer->address_count);
	read_attestation(reading, peer, group);
	read_dial_plan(tree, &peer->dial_plan, group);
	read_verify(reading, peer, group);
	read_far_side(reading, peer, group);
	warn_of_other_mode(tree, peer->mode, group);
	warn_of_other_service(tree, peer->service, peer->mode, group);
}

/* A file that was cut or emptied must not silence everybody at a reload. */
static void report_none(struct reading *reading, size_t entries)
{
	if (is_empty_section(&reading->tree, "peers", entries))
		config_report_add(reading->tree.report, CONFIG_ERROR, reading->config->files[0], 0, "peers",
			"there are none: every request would be met with silence; list who may ask");
}

void read_peers(struct reading *reading)
{
	struct tree *tree = &reading->tree;
	struct config *config = reading->config;
	size_t count = tree_entries(tree, "peers", &reading->peers);
	const config_setting_t **entries = reading->peers;
	struct names names = { 0 };

	config->peers = tree_array(tree, count, sizeof *config->peers);
	if (entries != NULL && config->peers != NULL) {
		names_read(&names, tree, entries, count);
		names_clear(&names);
		for (size_t i = 0; i < count; i++) {
			struct peer *peer = &config->peers[config->peer_count];

			read_peer(reading, peer, entries[i]);
			/* One that is only where nothing listens must not be let in elsewhere. */
			if (peer->listener < -1) {
				peer_clear(peer);
				*peer = (struct peer){ 0 };
				continue;
			}
			entries[config->peer_count++] = entries[i];
		}
		peer_networks_read(reading);
	}
	report_none(reading, count);
}
