#include "stirrup/reply_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/msg.h>
#include <sofia-sip/nta_tport.h>

#include "stirrup/log.h"
#include "stirrup/net.h"
#include "stirrup/sip_message.h"

#define DEFAULT_PORT 5060

static unsigned via_port(const struct via *via)
{
	char text[8];
	unsigned long port;

	if (via->port.length == 0 || !span_copy(text, sizeof text, via->port))
		return DEFAULT_PORT;
	port = strtoul(text, NULL, 10);
	return port >= 1 && port <= 65535 ? (unsigned)port : DEFAULT_PORT;
}

void reply_path_open(struct reply_path *path, nta_agent_t *agent, msg_t *message, const struct via *via,
	const struct arrival *arrival)
{
	path->slot = arrival->slot;
	path->to = arrival->source;
	path->connection = NULL;
	if (arrival->stream)
		path->connection = nta_transport(agent, NULL, message);
	if (via != NULL && (arrival->stream || !via->has_rport))
		net_set_port(&path->to, via_port(via));
}

static void log_lost(const struct reply_path *path, const char *why)
{
	static struct log_limiter limiter;
	unsigned long suppressed;
	char text[NET_TEXT_SIZE];

	if (!log_allowed(&limiter, &suppressed))
		return;
	net_text(text, (const struct sockaddr *)&path->to);
	log_warning("answer to %s not sent: %s (%lu more before)", text, why, suppressed);
}

/* Sofia's transport takes messages only, so the finished bytes are made into one; it sends their received form. */
static bool send_by(tport_t *transport, const tp_name_t *to, struct span answer)
{
	msg_t *message = sip_message_to_send(answer);
	tport_t *sent = NULL;

	if (message != NULL) {
		sent = tport_tsend(transport, message, to, TPTAG_MTU(65536), TAG_END());
		msg_destroy(message);
	}
	return sent != NULL;
}

/* RFC 3261 section 18.2.2: where the connection is gone, by another one, to the port that its sender serves. */
static void send_on_connection(const struct reply_path *path, struct span answer)
{
	char host[NET_TEXT_SIZE], port[8];
	const tp_name_t again = { .tpn_proto = "tcp", .tpn_canon = host, .tpn_host = host, .tpn_port = port };

	if (!tport_is_shutdown(path->connection) && send_by(path->connection, tport_name(path->connection), answer))
		return;
	net_host(host, (const struct sockaddr *)&path->to);
	snprintf(port, sizeof port, "%u", net_port(&path->to));
	if (!send_by(tport_parent(path->connection), &again, answer))
		log_lost(path, "the connection is closed");
}

void reply_path_send(const struct reply_path *path, struct span answer)
{
	if (path->connection != NULL)
		send_on_connection(path, answer);
	else if (!sockets_send(path->slot, answer.at, answer.length, (const struct sockaddr *)&path->to,
			 net_length(&path->to)))
		log_lost(path, strerror(errno));
}

void reply_path_close(struct reply_path *path)
{
	if (path->connection != NULL)
		tport_unref(path->connection);
	path->connection = NULL;
}
