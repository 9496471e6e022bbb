#include "own_route.h"

#include "stirrup/clock.h"
#include "stirrup/name_addr.h"
#include "stirrup/seal.h"
#include "stirrup/sip_uri.h"

static void put_record_route(struct writer *writer, const struct generation *generation, const struct egress *egress,
	const char *seal)
{
	writer_text(writer, "Record-Route: <sip:");
	writer_text(writer, egress_text(generation, egress));
	writer_text(writer, egress->transport == TRANSPORT_TCP ? ";transport=tcp;lr;st=" : ";lr;st=");
	writer_text(writer, seal);
	writer_text(writer, ">\r\n");
}

void own_route_put(struct writer *writer, const struct generation *generation, const struct egress *egress,
	int arrival, const char *seal)
{
	struct egress back = {
		.listener = arrival,
		.transport = generation->config->listeners[arrival].transport,
	};

	put_record_route(writer, generation, egress, seal);
	if (arrival != egress->listener)
		put_record_route(writer, generation, &back, seal);
}

void own_route_add(struct sip_edit *edit, const struct generation *generation, const struct egress *egress, int arrival,
	const char *seal)
{
	char text[2 * OWN_ROUTE_PARAMS_SIZE + 512];
	struct writer writer = writer_on(text, sizeof text);

	own_route_put(&writer, generation, egress, arrival, seal);
	sip_edit_prepend_lines(edit, (struct span){ text, writer.full ? 0 : writer_length(&writer) });
}

static int listener_of(const struct generation *generation, const struct sip_uri *uri)
{
	const struct config *config = generation->config;
	struct span value;
	enum transport transport = sip_uri_param(uri, "transport", &value) && span_is_caseless(value, "tcp") ?
		TRANSPORT_TCP :
		TRANSPORT_UDP;

	for (size_t i = 0; i < config->listener_count; i++) {
		struct egress egress = { .listener = (int)i, .transport = transport };
		const char *text = egress_text(generation, &egress);
		const char *colon = strrchr(text, ':');

		if (config->listeners[i].transport == transport && strncasecmp(text, uri->host.at, uri->host.length) == 0 &&
			(text[uri->host.length] == '\0' || text + uri->host.length == colon) &&
			(uri->port.length == 0 || (colon != NULL && span_is(uri->port, colon + 1))))
			return (int)i;
	}
	return -1;
}

/* Another node's is ours, too, where its seal is good: we go on in its place. */
static bool is_own_route(struct worker *worker, const struct sip_basics *basics, struct span item, struct sip_uri *uri,
	struct span *seal)
{
	struct seal_route unused;

	*seal = (struct span){ "", 0 };
	if (!sip_uri_read(uri, item))
		return false;
	sip_uri_param(uri, "st", seal);
	return egress_is_us(worker->generation, uri->host, uri->port) ||
		(seal->length > 0 && (seal_route_read(worker->sealer, *seal, basics->call_id, basics->from_tag, &unused) ||
			seal_route_read(worker->sealer, *seal, basics->call_id, basics->to_tag, &unused)));
}

static void take_route(struct own_routes *routes, struct worker *worker, const struct sip_basics *basics, struct span item)
{
	struct sip_uri uri;
	struct span seal;

	if (routes->others > 0 || !is_own_route(worker, basics, item, &uri, &seal)) {
		if (routes->others++ == 0)
			routes->next = item;
		return;
	}
	if (routes->own++ == 0) {
		routes->seal = seal;
		sip_uri_param(&uri, "f", &routes->from);
	}
	if (seal.length > 0)
		routes->last_seal = seal;
	routes->leaves_by = listener_of(worker->generation, &uri);
}

void own_routes_read(struct own_routes *routes, struct worker *worker, const struct sip_head *request,
	const struct sip_basics *basics)
{
	*routes = (struct own_routes){ .leaves_by = -1 };
	for (size_t i = sip_head_find(request, HEADER_ROUTE, 0); i < request->count;
		i = sip_head_find(request, HEADER_ROUTE, i + 1)) {
		struct span rest = request->lines[i].value;
		struct name_addr item;

		while (name_addr_next(&rest, &item))
			take_route(routes, worker, basics, item.uri);
		/* What cannot be read cannot be passed over. */
		if (rest.length > 0) {
			if (routes->others++ == 0)
				routes->next = rest;
			return;
		}
	}
}

bool own_route_read(struct worker *worker, const struct sip_basics *basics, struct span seal, struct seal_route *route,
	bool *from_caller)
{
	int64_t age;

	*from_caller = seal_route_read(worker->sealer, seal, basics->call_id, basics->from_tag, route);
	if (!*from_caller && !seal_route_read(worker->sealer, seal, basics->call_id, basics->to_tag, route))
		return false;
	age = wall_us() / 1000000 - (int64_t)route->time;
	return age < (int64_t)worker->generation->config->dialog_max_age_s || span_is(basics->method, "BYE");
}
