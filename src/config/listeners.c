#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "reading.h"
#include "stirrup/net.h"

#define LISTENERS_MAX 32

static const char *const default_listeners[] = { "udp:127.0.0.1:5060", "tcp:127.0.0.1:5060" };

void listener_clear(struct listener *listener)
{
	free(listener->text);
	free(listener->advertise);
}

static bool read_transport(enum transport *transport, const char *text, const char **rest)
{
	static const char *const prefixes[] = {
		[TRANSPORT_UDP] = "udp:", [TRANSPORT_TCP] = "tcp:", [TRANSPORT_TLS] = "tls:"
	};

	for (enum transport i = TRANSPORT_UDP; i <= TRANSPORT_TLS; i++) {
		if (strncmp(text, prefixes[i], 4) != 0)
			continue;
		*transport = i;
		*rest = text + 4;
		return true;
	}
	return false;
}

/* NULL, or why it is no place to listen at. */
static const char *parse(struct listener *listener, const char *text)
{
	const char *rest, *why;

	if (!read_transport(&listener->transport, text, &rest))
		return "must begin with udp:, tcp: or tls:, as in \"udp:192.0.2.1:5060\"";
	if (rest[0] == '*')
		return "is not an address; list every address to listen on";
	why = endpoint_from_text(&listener->address, span_of(rest), 0);
	if (why != NULL)
		return why;
	/* An answer has to leave from the address that was asked, and Via and Contact have to name it. */
	if (is_wildcard(&listener->address))
		return "a wildcard address is refused; list every address to listen on";
	if (is_multicast(&listener->address))
		return "is a multicast address";
	if (is_ipv4_mapped(&listener->address))
		return "is an IPv4-mapped address; write it as IPv4";
	return NULL;
}

static bool same(const struct listener *one, const struct listener *other)
{
	return one->transport == other->transport && net_same_endpoint(&one->address, &other->address);
}

static const struct listener *find_same(
	const struct listener *listeners, size_t count, const struct listener *listener)
{
	for (size_t i = 0; i < count; i++)
		if (same(&listeners[i], listener))
			return &listeners[i];
	return NULL;
}

int listener_index(const struct reading *reading, const char *text)
{
	const struct config *config = reading->config;
	const struct listener *found;
	struct listener listener = { 0 };

	if (parse(&listener, text) != NULL)
		return LISTENER_UNKNOWN;
	found = find_same(config->listeners, config->listener_count, &listener);
	if (found != NULL)
		return (int)(found - config->listeners);
	return find_same(reading->unbuilt, reading->unbuilt_count, &listener) != NULL ? LISTENER_NOT_BUILT
										      : LISTENER_UNKNOWN;
}

static void add(struct reading *reading, struct listener listener, const char *text, const char *advertise)
{
	struct config *config = reading->config;
	struct listener *place = listener.transport == TRANSPORT_TLS
					 ? &reading->unbuilt[reading->unbuilt_count++]
					 : &config->listeners[config->listener_count++];

	*place = listener;
	place->text = tree_copy(&reading->tree, text);
	place->advertise = tree_copy(&reading->tree, advertise);
}

static void read_listener(struct reading *reading, const config_setting_t *entry)
{
	const char *text = entry_text(entry, "address");
	const char *advertise = config_setting_is_group(entry) ? member_text(entry, "advertise") : NULL;
	struct listener listener = { 0 };
	const char *why;

	if (text == NULL || text[0] == '\0')
		return;
	why = parse(&listener, text);
	if (why != NULL) {
		setting_error(&reading->tree, entry, "\"%.80s\": %s", text, why);
		return;
	}
	if (find_same(reading->config->listeners, reading->config->listener_count, &listener) != NULL ||
		find_same(reading->unbuilt, reading->unbuilt_count, &listener) != NULL) {
		setting_error(&reading->tree, entry, "\"%s\": is listed twice", text);
		return;
	}
	if (advertise != NULL && !is_host_port(advertise))
		setting_error(&reading->tree, config_setting_get_member(entry, "advertise"),
			"\"%.80s\": is not a host and port, such as \"sip.example.net:5060\"", advertise);
	if (listener.transport == TRANSPORT_TLS)
		setting_warning(&reading->tree, entry,
			"\"%s\": tls: set, but not built in this version; nothing listens there", text);
	add(reading, listener, text, advertise);
}

static void read_defaults(struct reading *reading)
{
	for (size_t i = 0; i < sizeof default_listeners / sizeof *default_listeners; i++) {
		struct listener listener = { 0 };

		if (parse(&listener, default_listeners[i]) == NULL)
			add(reading, listener, default_listeners[i], NULL);
	}
}

void read_listeners(struct reading *reading)
{
	const config_setting_t *list = tree_find(&reading->tree, "sip.listen");
	bool is_list = list != NULL && (config_setting_is_array(list) || config_setting_is_list(list));
	int length = is_list ? config_setting_length(list) : 0;

	reading->config->listeners = tree_array(&reading->tree, LISTENERS_MAX, sizeof(struct listener));
	reading->unbuilt = tree_array(&reading->tree, LISTENERS_MAX, sizeof(struct listener));
	if (reading->config->listeners == NULL || reading->unbuilt == NULL)
		return;
	if (length > LISTENERS_MAX) {
		setting_error(&reading->tree, list, "%d listeners; %d at most", length, LISTENERS_MAX);
		length = LISTENERS_MAX;
	}
	for (int i = 0; i < length; i++)
		read_listener(reading, config_setting_get_elem(list, (unsigned)i));
	if (list == NULL)
		read_defaults(reading);
	else if (reading->config->listener_count == 0 && reading->unbuilt_count > 0)
		setting_error(&reading->tree, list,
			"nothing would listen; add a udp: or tcp: address, such as \"udp:192.0.2.1:5060\"");
}
