#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "reading.h"
#include "stirrup/net.h"

#define NEXT_HOPS_MAX 16

void next_hop_clear(struct next_hop *hop)
{
	free(hop->text);
	free(hop->host);
}

/* --- The text --- */

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

/* Takes ";name=value" off the text. */
static bool next_parameter(struct span *rest, struct span *name, struct span *value)
{
	const char *end, *equals;

	if (rest->length == 0)
		return false;
	*name = (struct span){ rest->at + 1, rest->length - 1 };
	end = memchr(name->at, ';', name->length);
	if (end != NULL)
		name->length = (size_t)(end - name->at);
	*rest = (struct span){ name->at + name->length, rest->length - 1 - name->length };
	equals = memchr(name->at, '=', name->length);
	*value = (struct span){ NULL, 0 };
	if (equals != NULL) {
		*value = (struct span){ equals + 1, (size_t)(name->at + name->length - equals) - 1 };
		name->length = (size_t)(equals - name->at);
	}
	return true;
}

/* A redirect only shows it, and the switch may speak what we do not. */
static const char *read_transport(struct next_hop *hop, enum mode mode, struct span parameters)
{
	struct span name, value;

	while (next_parameter(&parameters, &name, &value)) {
		if (!span_is_caseless(name, "transport"))
			continue;
		if (hop->transport_given)
			return "has two transport parameters";
		hop->transport_given = true;
		if (span_is_caseless(value, "udp"))
			hop->transport = TRANSPORT_UDP;
		else if (span_is_caseless(value, "tcp"))
			hop->transport = TRANSPORT_TCP;
		else
			hop->transport = TRANSPORT_TLS;
		if (hop->transport == TRANSPORT_TLS && mode != MODE_REDIRECT)
			return span_is_caseless(value, "tls")
				       ? "transport=tls is not built yet; use udp or tcp"
				       : "the transport must be udp or tcp";
	}
	return NULL;
}

/* NULL, or why it is no next hop. Text is what follows the scheme; host is empty where the address is
 * literal. */
static const char *parse(struct next_hop *hop, struct span *host, enum mode mode, const char *text)
{
	const char *semicolon = strchr(text, ';'), *why;
	struct span place = { text, semicolon == NULL ? strlen(text) : (size_t)(semicolon - text) };
	struct span parameters = span_of(text + place.length);

	if (strchr(text, '@') != NULL)
		return "takes no user part: the call's own is kept";
	if (strchr(text, '?') != NULL)
		return "takes no header fields ('?')";
	hop->port = 5060;
	why = host_from_text(&hop->address, host, &hop->port, place);
	if (why != NULL)
		return why;
	if (hop->address.ss_family != AF_UNSPEC) {
		host->length = 0;
		if (is_wildcard(&hop->address) || is_multicast(&hop->address))
			return "is not the address of a host";
		if (is_ipv4_mapped(&hop->address))
			return "is an IPv4-mapped address; write it as IPv4";
	}
	if (!are_parameters(parameters))
		return "the parameters are not well-formed; they are written \";name=value\"";
	return read_transport(hop, mode, parameters);
}

/* --- What listens --- */

/* Family AF_UNSPEC: any. */
static bool has_listener(const struct config *config, enum transport transport, sa_family_t family)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (config->listeners[i].transport == transport &&
			(family == AF_UNSPEC || config->listeners[i].address.ss_family == family))
			return true;
	return false;
}

/* What is sent on leaves from a listener of ours. */
static bool find_listener(struct reading *reading, struct next_hop *hop, const config_setting_t *setting)
{
	static const char *const transports[] = { [TRANSPORT_UDP] = "udp:", [TRANSPORT_TCP] = "tcp:" };
	sa_family_t family = hop->address.ss_family;
	bool is_ipv6 = family == AF_INET6;

	if (has_listener(reading->config, hop->transport, family))
		return true;
	if (!hop->transport_given && has_listener(reading->config, TRANSPORT_TCP, family)) {
		hop->transport = TRANSPORT_TCP;
		return true;
	}
	/* The missing one may stand in a file that could not be read. */
	if (reading->tree.incomplete)
		return true;
	setting_error(&reading->tree, setting,
		"\"sip:%.80s\": sip.listen has no %s address%s to send from; add one, such as \"%s%s:5060\"",
		hop->text, transports[hop->transport],
		family == AF_UNSPEC ? ""
		: is_ipv6           ? " of IPv6"
				    : " of IPv4",
		transports[hop->transport], is_ipv6 ? "[2001:db8::1]" : "192.0.2.1");
	return false;
}

/* The call would come back to us. */
static bool is_us(const struct config *config, const struct next_hop *hop)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (config->listeners[i].transport == hop->transport &&
			net_same_endpoint(&config->listeners[i].address, &hop->address))
			return true;
	return false;
}

/* --- One, and many --- */

bool read_next_hop(struct reading *reading, struct next_hop *hop, enum mode mode,
	const config_setting_t *setting, const char *text)
{
	struct span host;
	const char *why;

	*hop = (struct next_hop){ 0 };
	if (strncasecmp(text, "sips:", 5) == 0)
		why = "sips: is not built yet; use sip:";
	else if (strncasecmp(text, "sip:", 4) != 0)
		why = "must be a SIP URI, such as \"sip:198.51.100.7:5060\"";
	else
		why = parse(hop, &host, mode, text + 4);
	if (why != NULL) {
		setting_error(&reading->tree, setting, "\"%.80s\": %s", text, why);
		return false;
	}
	hop->text = tree_copy(&reading->tree, text + 4);
	if (host.length > 0) {
		hop->host = tree_copy(&reading->tree, text + 4);
		if (hop->host != NULL)
			hop->host[host.length] = '\0';
	}
	if (mode != MODE_REDIRECT && !find_listener(reading, hop, setting))
		return false;
	if (hop->address.ss_family == AF_UNSPEC || !is_us(reading->config, hop))
		return true;
	setting_error(&reading->tree, setting,
		"\"%.80s\": is an address that this server listens on: calls would go round in a circle",
		text);
	return false;
}

static bool is_same(const struct next_hop *one, const struct next_hop *other)
{
	if (one->port != other->port || one->transport != other->transport)
		return false;
	if (one->host != NULL && other->host != NULL)
		return strcasecmp(one->host, other->host) == 0;
	return one->host == NULL && other->host == NULL && net_same_endpoint(&one->address, &other->address);
}

static bool read_entry(struct reading *reading, enum mode mode, const config_setting_t *entry,
	struct next_hop *hops, size_t count)
{
	const config_setting_t *weight =
		config_setting_is_group(entry) ? config_setting_get_member(entry, "weight") : NULL;
	const char *text = entry_text(entry, "uri");

	if (text == NULL || text[0] == '\0')
		return false;
	if (!read_next_hop(reading, &hops[count], mode, entry, text)) {
		next_hop_clear(&hops[count]);
		return false;
	}
	hops[count].weight = weight == NULL ? 0 : (unsigned)config_setting_get_int64(weight);
	for (size_t i = 0; i < count; i++)
		if (is_same(&hops[i], &hops[count]))
			setting_error(&reading->tree, entry, "\"%.80s\": is listed twice", text);
	return true;
}

static void check_weights(struct reading *reading, const config_setting_t *list)
{
	int length = config_setting_length(list), weights = 0;

	for (int i = 0; i < length; i++) {
		const config_setting_t *entry = config_setting_get_elem(list, (unsigned)i);

		weights +=
			config_setting_is_group(entry) && config_setting_get_member(entry, "weight") != NULL;
	}
	if (weights > 0 && weights < length)
		setting_error(&reading->tree, list,
			"%d of %d have a weight; give one to all of them, or to none: then they are tried in "
			"their "
			"order",
			weights, length);
}

static struct next_hop *read_list(
	struct reading *reading, enum mode mode, const config_setting_t *list, size_t *count)
{
	struct next_hop *hops = tree_array(&reading->tree, NEXT_HOPS_MAX, sizeof *hops);
	int length = config_setting_length(list);

	if (length > NEXT_HOPS_MAX) {
		setting_error(&reading->tree, list, "%d next hops; %d at most", length, NEXT_HOPS_MAX);
		length = NEXT_HOPS_MAX;
	}
	for (int i = 0; hops != NULL && i < length; i++)
		*count += read_entry(reading, mode, config_setting_get_elem(list, (unsigned)i), hops, *count);
	check_weights(reading, list);
	if (length > 1 && mode == MODE_REDIRECT)
		setting_warning(&reading->tree, list,
			"more than one has no effect on a peer with mode = \"redirect\"; only the first is "
			"used");
	return hops;
}

struct next_hop *read_next_hops(
	struct reading *reading, enum mode mode, const config_setting_t *group, size_t *count)
{
	const config_setting_t *setting = config_setting_get_member(group, "next_hop");
	struct next_hop *hop;

	*count = 0;
	if (setting == NULL)
		return NULL;
	if (config_setting_is_list(setting) || config_setting_is_array(setting))
		return read_list(reading, mode, setting, count);
	hop = tree_array(&reading->tree, 1, sizeof *hop);
	if (hop != NULL && config_setting_is_scalar(setting))
		*count = read_entry(reading, mode, setting, hop, 0);
	return hop;
}
