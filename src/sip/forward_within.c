#include "forward.h"

#include "outgoing.h"
#include "own_route.h"
#include "own_via.h"
#include "relay.h"
#include "stirrup/seal.h"

/* One message is in the making at a time. */
static struct sip_edit edit;
static char made[MESSAGE_BYTES_MAX];

static void unstamp_to(const struct transit *transit, const struct own_routes *routes, uint8_t flags)
{
	static char value[4096];

	if (own_via_read_from(value, sizeof value, routes->from, transit->basics->to_tag) ||
		outgoing_unstamp(value, sizeof value, transit->basics->to, flags))
		sip_edit_replace(&edit, sip_head_find(transit->head, HEADER_TO, 0), span_of(value));
}

static void send_within(struct worker *worker, struct transit *transit, const struct seal_request *sealed,
	const struct seal_route *route, const struct egress *egress, const struct outgoing_target *target)
{
	const struct generation *generation = worker->generation;
	struct seal_via fields = {
		.listener = generation->config->listeners[transit->listener].hash,
		.peer = route->peer,
		.customer = route->customer,
	};
	char branches[OWN_BRANCHES_MAX][SEAL_BRANCH_SIZE];
	size_t count = own_via_branches(worker, sealed, transit->head->method, branches);
	size_t most = egress->transport == TRANSPORT_UDP ? DATAGRAM_BYTES_MAX : sizeof made;
	struct span message;
	bool fits = true;

	for (size_t i = 0; fits && i < count; i++) {
		fields.flags = i + 1 < count ? SEAL_GUESSED : 0;
		sip_edit_take_back(&edit);
		own_via_add(&edit, worker, generation, egress, sealed, &fields, NULL, (struct span){ "", 0 }, branches[i]);
		fits = sip_edit_write(&edit, made, most, &message);
		if (fits)
			egress_send(egress, worker->agent, &target->address, message, NULL, NULL);
	}
	if (!fits)
		transit_answer(worker, transit, 513, "Message Too Large");
}

static void send_within_stateful(struct worker *worker, struct transit *transit, const struct peer *peer,
	const struct seal_request *sealed, const struct seal_route *route, const struct egress *egress, const struct outgoing_target *target)
{
	struct hop hop = { .transport = target->transport, .transport_given = true, .address = target->address };
	struct relay_plan plan = {
		.kind = RELAY_FORWARD,
		.generation = worker->generation,
		.peer = peer,
		.digest = transit->digest,
		.path = transit->path,
		.listener = transit->listener,
		.received = transit->head,
		.basics = transit->basics,
		.request_uri = transit->head->request_uri,
		.edit = &edit,
		.sealed = sealed,
		.hops = &hop,
		.hop_count = 1,
		.egress = egress,
		.customer = route->customer,
	};

	net_text(hop.text, (const struct sockaddr *)&target->address);
	transit_begin(worker, transit, &plan);
}

/* Whose call it is. One whose peer has another name by now is that of whoever speaks for that side. */
static const struct peer *peer_of(struct worker *worker, const struct seal_route *route, bool from_caller)
{
	const struct config *config = worker->generation->config;
	const struct peer *peer = config_peer_by_hash(config, route->peer);

	for (size_t i = 0; peer == NULL && i < config->peer_count; i++)
		if (config->peers[i].mode == MODE_FORWARD && outgoing_may_speak(worker, &config->peers[i], from_caller))
			peer = &config->peers[i];
	return peer;
}

/* Whose networks it may go to: where the call passed here twice in a row, what sent it back does not see its requests, and the
 * next one is of the last pass. */
static const struct peer *leads_to(struct worker *worker, const struct transit *transit, const struct own_routes *routes,
	const struct peer *peer, bool from_caller)
{
	const struct peer *last = NULL;
	struct seal_route route;
	bool caller;

	if (routes->own > 1 && own_route_read(worker, transit->basics, routes->last_seal, &route, &caller) &&
		caller == from_caller)
		last = config_peer_by_hash(worker->generation->config, route.peer);
	return last != NULL ? last : peer;
}

void forward_within(struct worker *worker, struct transit *transit)
{
	const struct generation *generation = worker->generation;
	bool is_ack = span_is(transit->head->method, "ACK"), from_caller;
	const struct peer *peer;
	struct seal_request sealed;
	struct seal_route route;
	struct own_routes routes;
	struct outgoing_target target;
	struct egress egress;

	own_routes_read(&routes, worker, transit->head, transit->basics);
	forward_seal_request(&sealed, transit->head, transit->basics);
	sealed.next_route = routes.next;
	sealed.routes = routes.others;
	peer = own_route_read(worker, transit->basics, routes.seal, &route, &from_caller) ?
		peer_of(worker, &route, from_caller) :
		NULL;
	if (peer == NULL)
		transit_answer(worker, transit, 481, "Call/Transaction Does Not Exist");
	else if (!outgoing_may_speak(worker, peer, from_caller))
		transit_drop(worker, "a request within a call from where none of that side can come");
	else if (transit->basics->max_forwards == 0)
		transit_answer(worker, transit, 483, "Too Many Hops");
	else if (own_via_is_loop(worker, transit->head, &sealed))
		transit_answer(worker, transit, 482, "Loop Detected");
	else if (!outgoing_target(worker, generation, leads_to(worker, transit, &routes, peer, from_caller),
			 routes.next.length > 0 ? routes.next : transit->head->request_uri, &target) ||
		!egress_find(&egress, generation->config, target.transport, target.address.ss_family,
			routes.leaves_by >= 0 ? routes.leaves_by : transit->listener))
		transit_answer(worker, transit, 481, "Call/Transaction Does Not Exist");
	else {
		sip_edit_begin(&edit, transit->head);
		outgoing_max_forwards(&edit, transit->basics);
		sip_edit_drop_first(&edit, HEADER_ROUTE, routes.own);
		if (from_caller)
			outgoing_drop_claims(&edit, peer, false);
		else
			unstamp_to(transit, &routes, route.flags);
		if (!is_ack && (sockets_arrival()->stream || target.transport != TRANSPORT_UDP))
			send_within_stateful(worker, transit, peer, &sealed, &route, &egress, &target);
		else
			send_within(worker, transit, &sealed, &route, &egress, &target);
	}
}

bool forward_has_seal(struct worker *worker, const struct transit *transit)
{
	struct own_routes routes;

	own_routes_read(&routes, worker, transit->head, transit->basics);
	return routes.seal.length > 0;
}
