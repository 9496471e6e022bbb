#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "reading.h"
#include "stirrup/net.h"

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

char *read_next_hop(struct reading *reading, const config_setting_t *setting, const char *text)
{
	const char *rest, *why = check_next_hop(reading->config, text, &rest);

	if (why == NULL)
		return tree_copy(&reading->tree, rest);
	setting_error(&reading->tree, setting, "\"%.80s\": %s", text, why);
	return NULL;
}

static void keep_first(struct reading *reading, char **first, const config_setting_t *entry)
{
	const char *text = entry_text(entry, "uri");
	char *next_hop;

	if (text == NULL || text[0] == '\0')
		return;
	next_hop = read_next_hop(reading, entry, text);
	if (*first == NULL)
		*first = next_hop;
	else
		free(next_hop);
}

char *read_next_hops(struct reading *reading, const config_setting_t *group)
{
	const config_setting_t *setting = config_setting_get_member(group, "next_hop");
	char *first = NULL;
	int length;

	if (setting == NULL)
		return NULL;
	if (!config_setting_is_list(setting) && !config_setting_is_array(setting)) {
		if (config_setting_is_scalar(setting))
			keep_first(reading, &first, setting);
		return first;
	}
	length = config_setting_length(setting);
	for (int i = 0; i < length; i++)
		keep_first(reading, &first, config_setting_get_elem(setting, (unsigned)i));
	if (length > 1)
		setting_warning(&reading->tree, setting,
			"more than one: set, but not built in this version; only the first is used");
	return first;
}
