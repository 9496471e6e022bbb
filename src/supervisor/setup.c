#include "setup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stirrup/log.h"
#include "stirrup/net.h"

static void log_finding(enum config_severity severity, const char *line, void *context)
{
	if (severity == CONFIG_ERROR)
		log_error("%s", line);
	else
		log_warning("%s", line);
}

bool setup_read(struct setup *setup, const char *path, uint32_t number)
{
	char why[512];
	struct config_source *source = config_source_read(path, why, sizeof why);
	struct config_report *report = config_report_new();

	*setup = (struct setup){ .number = number, .memfd = -1 };
	if (source == NULL)
		log_error("%s", why);
	if (source != NULL && report != NULL) {
		setup->config = config_parse(source, report);
		config_report_each(report, log_finding, NULL);
	}
	if (setup->config != NULL)
		setup->memfd = config_source_to_memfd(source);
	if (setup->config != NULL && setup->memfd < 0)
		log_error("cannot keep the configuration in memory: %s", strerror(errno));
	config_report_free(report);
	config_source_free(source);
	return setup->memfd >= 0;
}

static struct listen_socket *socket_for(struct setup *setup, const struct listener *listener)
{
	for (size_t i = 0; setup != NULL && i < setup->socket_count; i++) {
		const struct listen_socket *have = &setup->sockets[i];

		if (have->fd_count > 0 && have->transport == listener->transport &&
			net_same_endpoint(&have->address, &listener->address))
			return &setup->sockets[i];
	}
	return NULL;
}

bool setup_listen(struct setup *setup, struct setup *old, unsigned workers)
{
	char why[256];

	setup->sockets = calloc(setup->config->listener_count, sizeof *setup->sockets);
	if (setup->sockets == NULL)
		return false;
	setup->socket_count = setup->config->listener_count;
	for (size_t i = 0; i < setup->socket_count; i++) {
		const struct listener *listener = &setup->config->listeners[i];

		if (socket_for(old, listener) != NULL)
			continue;
		if (!listen_open(&setup->sockets[i], listener, workers, why, sizeof why)) {
			log_error("%s", why);
			return false;
		}
	}
	return true;
}

void setup_take_sockets(struct setup *setup, struct setup *old)
{
	for (size_t i = 0; i < setup->socket_count; i++) {
		struct listen_socket *have = socket_for(old, &setup->config->listeners[i]);

		if (setup->sockets[i].fd_count > 0 || have == NULL)
			continue;
		setup->sockets[i] = *have;
		have->fds = NULL;
		have->fd_count = 0;
	}
}

/* Those of calls that are sent on come from the far side as well, on any listener. */
static bool acks_matter(const struct config *config)
{
	for (size_t i = 0; i < config->peer_count; i++)
		if (config->peers[i].mode != MODE_REDIRECT)
			return true;
	return false;
}

void setup_filter(struct setup *setup)
{
	for (size_t i = 0; i < setup->socket_count; i++)
		listen_drop_acks(&setup->sockets[i], !acks_matter(setup->config));
}

void setup_free(struct setup *setup)
{
	for (size_t i = 0; i < setup->socket_count; i++)
		listen_close(&setup->sockets[i]);
	free(setup->sockets);
	config_free(setup->config);
	if (setup->memfd >= 0)
		close(setup->memfd);
	*setup = (struct setup){ .memfd = -1 };
}
