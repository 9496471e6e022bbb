#include "stirrup/egress.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <sofia-sip/msg.h>
#include <sofia-sip/nta_tport.h>
#include <sofia-sip/tport.h>

#include "stirrup/log.h"
#include "stirrup/net.h"
#include "stirrup/sip_message.h"
#include "stirrup/sockets.h"

static bool fits(const struct listener *listener, enum transport transport, sa_family_t family)
{
	return listener->transport == transport && listener->address.ss_family == family;
}

const char *egress_transport_word(enum transport transport)
{
	switch (transport) {
	case TRANSPORT_UDP:
		return "udp";
	case TRANSPORT_TCP:
		return "tcp";
	case TRANSPORT_TLS:
		return "tls";
	}
	return "";
}

bool egress_find(struct egress *egress, const struct config *config, enum transport transport, sa_family_t family,
	int preferred)
{
	int found = -1;

	if (preferred >= 0 && (size_t)preferred < config->listener_count &&
		fits(&config->listeners[preferred], transport, family))
		found = preferred;
	for (size_t i = 0; found < 0 && i < config->listener_count; i++)
		if (fits(&config->listeners[i], transport, family))
			found = (int)i;
	if (found < 0)
		return false;
	*egress = (struct egress){
		.listener = found,
		.slot = sockets_slot(&config->listeners[found]),
		.transport = transport,
	};
	return egress->slot >= 0;
}

bool egress_find_again(struct egress *egress, const struct config *config)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (config->listeners[i].transport == egress->transport &&
			sockets_slot(&config->listeners[i]) == egress->slot) {
			egress->listener = (int)i;
			return true;
		}
	return false;
}

const char *egress_text(const struct generation *generation, const struct egress *egress)
{
	const char *advertise = generation->config->listeners[egress->listener].advertise;

	return advertise != NULL ? advertise : generation->listener_texts[egress->listener];
}

static bool is_host_port(const char *text, struct span host, struct span port)
{
	size_t length = strlen(text);

	if (length < host.length || strncasecmp(text, host.at, host.length) != 0)
		return false;
	text += host.length;
	if (*text == '\0')
		return port.length == 0 || span_is(port, "5060");
	return *text == ':' && (port.length == 0 ? strcmp(text + 1, "5060") == 0 : span_is(port, text + 1));
}

bool egress_is_us(const struct generation *generation, struct span host, struct span port)
{
	const struct config *config = generation->config;

	for (size_t i = 0; i < config->listener_count; i++) {
		const char *advertise = config->listeners[i].advertise;

		if (is_host_port(generation->listener_texts[i], host, port) ||
			(advertise != NULL && is_host_port(advertise, host, port)))
			return true;
	}
	return false;
}

/* The transport of Sofia's that is bound to the listener. */
static tport_t *primary_of(nta_agent_t *agent, const struct egress *egress)
{
	char host[NET_TEXT_SIZE], port[8];
	const struct sockaddr_storage *address = sockets_address(egress->slot);

	net_host(host, (const struct sockaddr *)address);
	snprintf(port, sizeof port, "%u", net_port(address));
	for (tport_t *primary = tport_primaries(nta_agent_tports(agent)); primary != NULL; primary = tport_next(primary)) {
		const tp_name_t *name = tport_name(primary);

		if (tport_is_tcp(primary) && strcmp(name->tpn_port, port) == 0 &&
			(strcmp(name->tpn_host, host) == 0 ||
				(name->tpn_host[0] == '[' && strncmp(name->tpn_host + 1, host, strlen(host)) == 0 &&
					name->tpn_host[1 + strlen(host)] == ']')))
			return primary;
	}
	return NULL;
}

static egress_failed *on_failure;

void egress_on_failure(egress_failed *failed)
{
	on_failure = failed;
}

static void connection_failed(tp_stack_t *agent, tp_client_t *owner, tport_t *connection, msg_t *message, int error)
{
	on_failure((nta_agent_t *)agent, owner, error);
}

void egress_forget(struct egress_wait *wait)
{
	if (wait->connection == NULL)
		return;
	if (wait->pending > 0)
		tport_release(wait->connection, wait->pending, NULL, NULL, wait->owner, 0);
	tport_unref(wait->connection);
	*wait = (struct egress_wait){ 0 };
}

bool egress_is_connected(const struct egress_wait *wait)
{
	return wait->connection != NULL && tport_is_connected(wait->connection);
}

static void wait_for(struct egress_wait *wait, tport_t *connection, void *owner)
{
	egress_forget(wait);
	wait->connection = tport_ref(connection);
	wait->owner = owner;
	wait->pending = tport_pend(connection, NULL, connection_failed, owner);
}

static bool send_on_connection(const struct egress *egress, nta_agent_t *agent, const struct sockaddr_storage *to,
	struct span bytes, struct egress_wait *wait, void *owner)
{
	char host[NET_TEXT_SIZE], port[8];
	tp_name_t name = { .tpn_proto = "tcp", .tpn_canon = host, .tpn_host = host, .tpn_port = port };
	tport_t *primary = primary_of(agent, egress), *sent = NULL;
	msg_t *message = primary == NULL ? NULL : sip_message_to_send(bytes);

	net_host(host, (const struct sockaddr *)to);
	snprintf(port, sizeof port, "%u", net_port(to));
	if (message != NULL) {
		sent = tport_tsend(primary, message, &name, TPTAG_MTU(65536), TAG_END());
		msg_destroy(message);
	}
	if (sent != NULL && wait != NULL)
		wait_for(wait, sent, owner);
	return sent != NULL;
}

bool egress_send(const struct egress *egress, nta_agent_t *agent, const struct sockaddr_storage *to, struct span message,
	struct egress_wait *wait, void *owner)
{
	static struct log_limiter limiter;
	unsigned long suppressed;
	char text[NET_TEXT_SIZE];
	bool sent;
	int error;

	errno = 0;
	if (egress->transport != TRANSPORT_UDP)
		sent = send_on_connection(egress, agent, to, message, wait, owner);
	else
		sent = sockets_send(egress->slot, message.at, message.length, (const struct sockaddr *)to, net_length(to));
	error = errno;
	if (sent || (egress->transport == TRANSPORT_UDP && (error == EAGAIN || error == ENOBUFS)))
		return true;
	net_text(text, (const struct sockaddr *)to);
	if (log_allowed(&limiter, &suppressed))
		log_warning("cannot send to %s: %s (%lu more before)", text, error == 0 ? "no connection" : strerror(error),
			suppressed);
	return false;
}
