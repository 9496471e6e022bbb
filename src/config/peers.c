#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "reading.h"
#include "schema.h"
#include "stirrup/net.h"

void peer_clear(struct peer *peer)
{
	free(peer->name);
	free(peer->addresses);
	free(peer->next_hop);
	free(peer->origid);
}

/* --- Who --- */

static void read_address(struct tree *tree, struct peer *peer, const config_setting_t *entry)
{
	const char *text = entry_text(entry, "address"), *why;
	struct network *network = &peer->addresses[peer->address_count];
	char shown[NETWORK_TEXT_SIZE];

	if (text == NULL || text[0] == '\0')
		return;
	why = network_from_text(network, text);
	if (why != NULL) {
		setting_error(tree, entry, "\"%.80s\": %s", text, why);
		return;
	}
	if (!network_cut(network)) {
		setting_error(tree, entry, "\"%.80s\": has bits set behind the prefix; did you mean \"%s\"?",
			text, network_text(shown, network));
		return;
	}
	if (network->prefix == 0)
		setting_warning(tree, entry, "\"%s\": everybody in the world is this peer", text);
	peer->address_count++;
}

static void read_addresses(struct tree *tree, struct peer *peer, const config_setting_t *group)
{
	const config_setting_t *list = config_setting_get_member(group, "addresses");
	bool is_list = list != NULL && (config_setting_is_list(list) || config_setting_is_array(list));
	int length = is_list ? config_setting_length(list) : 0;

	peer->addresses = tree_array(tree, (size_t)length, sizeof *peer->addresses);
	if (peer->addresses == NULL)
		return;
	for (int i = 0; i < length; i++)
		read_address(tree, peer, config_setting_get_elem(list, (unsigned)i));
}

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
	else if (by != NULL && config_setting_get_member(group, "authenticates_callers") == NULL)
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

/* --- Where to --- */

/* RFC 3261 section 25.1: token characters and what a parameter's value may have besides. */
static bool are_parameters(struct span text)
{
	for (size_t i = 0; i < text.length; i++) {
		char c = text.at[i];

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
			continue;
		if (c == '\0' || strchr("-_.!~*'()+%[]/:&$;=", c) == NULL)
			return false;
		if (c == ';' && (i + 1 == text.length || text.at[i + 1] == ';' || text.at[i + 1] == '='))
			return false;
	}
	return true;
}

static bool has_parameter(struct span parameters, const char *wanted)
{
	const char *at = parameters.at;
	size_t length = strlen(wanted);

	for (; at < parameters.at + parameters.length; at++)
		if (*at == ';' && strncasecmp(at + 1, wanted, length) == 0 &&
			(at[1 + length] == '\0' || at[1 + length] == ';'))
			return true;
	return false;
}

/* The switch would be sent back to where it asked. */
static bool is_us(const struct config *config, const struct sockaddr_storage *address, struct span parameters)
{
	enum transport transport = has_parameter(parameters, "transport=tcp") ? TRANSPORT_TCP : TRANSPORT_UDP;

	for (size_t i = 0; i < config->listener_count; i++)
		if (config->listeners[i].transport == transport &&
			net_same_endpoint(&config->listeners[i].address, address))
			return true;
	return false;
}

/* NULL, or why it is no next hop; *rest is what follows the scheme. */
static const char *check_next_hop(const struct config *config, const char *text, const char **rest)
{
	struct sockaddr_storage address;
	struct span host, parameters;
	const char *why, *semicolon;

	if (strncasecmp(text, "sips:", 5) == 0)
		return "sips: is not built yet; use sip:";
	if (strncasecmp(text, "sip:", 4) != 0)
		return "must be a SIP URI, such as \"sip:198.51.100.7:5060\"";
	*rest = text + 4;
	semicolon = strchr(*rest, ';');
	host = (struct span){ *rest, semicolon == NULL ? strlen(*rest) : (size_t)(semicolon - *rest) };
	parameters = semicolon == NULL ? span_of("") : span_of(semicolon);
	if (strchr(*rest, '@') != NULL)
		return "takes no user part: the call's own is kept";
	if (strchr(*rest, '?') != NULL)
		return "takes no header fields ('?')";
	why = endpoint_from_text(&address, host, 5060);
	if (why != NULL)
		return why;
	if (is_wildcard(&address) || is_multicast(&address))
		return "is not the address of a host";
	if (!are_parameters(parameters))
		return "the parameters are not well-formed; they are written \";name=value\"";
	if (is_us(config, &address, parameters))
		return "is an address that this server listens on: calls would go round in a circle";
	return NULL;
}

static void read_next_hop(struct reading *reading, struct peer *peer, const config_setting_t *entry)
{
	const char *text = entry_text(entry, "uri"), *rest, *why;

	if (text == NULL || text[0] == '\0')
		return;
	why = check_next_hop(reading->config, text, &rest);
	if (why != NULL)
		setting_error(&reading->tree, entry, "\"%.80s\": %s", text, why);
	else if (peer->next_hop == NULL)
		peer->next_hop = tree_copy(&reading->tree, rest);
}

static void read_next_hops(struct reading *reading, struct peer *peer, const config_setting_t *group)
{
	const config_setting_t *setting = config_setting_get_member(group, "next_hop");
	int length;

	if (setting == NULL)
		return;
	if (!config_setting_is_list(setting) && !config_setting_is_array(setting)) {
		if (config_setting_is_scalar(setting))
			read_next_hop(reading, peer, setting);
		return;
	}
	length = config_setting_length(setting);
	for (int i = 0; i < length; i++)
		read_next_hop(reading, peer, config_setting_get_elem(setting, (unsigned)i));
	if (length > 1)
		setting_warning(&reading->tree, setting,
			"more than one: set, but not built in this version; only the first is used");
}

/* --- Peers --- */

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
	read_addresses(tree, peer, group);
	read_attestation(reading, peer, group);
	read_dial_plan(tree, &peer->dial_plan, group);
	read_next_hops(reading, peer, group);
}

/* A file that was cut or emptied must not silence everybody at a reload. */
static void report_none(struct reading *reading)
{
	const config_setting_t *list = tree_find(&reading->tree, "peers");

	/* What is there and of the wrong type has been reported. */
	if (list == NULL || (!config_setting_is_scalar(list) && config_setting_length(list) == 0))
		config_report_add(reading->tree.report, CONFIG_ERROR, reading->config->files[0], 0, "peers",
			"there are none: every request would be met with silence; list who may ask");
}

void read_peers(struct reading *reading)
{
	struct tree *tree = &reading->tree;
	struct config *config = reading->config;
	const config_setting_t **entries;
	size_t count = tree_entries(tree, "peers", &entries);
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
		peer_networks_read(reading, entries);
	}
	if (count == 0 && !tree->incomplete)
		report_none(reading);
	free(entries);
}
