#include "forward.h"

#include "outgoing.h"
#include "own_route.h"
#include "own_via.h"
#include "relay.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"
#include "stirrup/name_hash.h"
#include "stirrup/seal.h"
#include "stirrup/sip_uri.h"
#include "stirrup/verstat.h"
#include "watch.h"

/* One message is in the making at a time. */
static struct sip_edit edit;
static char made[MESSAGE_BYTES_MAX];

/* --- An INVITE that begins a call --- */

void forward_seal_request(struct seal_request *out, const struct sip_head *request, const struct sip_basics *basics)
{
	*out = (struct seal_request){
		.via = basics->via,
		.request_uri = request->request_uri,
		.call_id = basics->call_id,
		.from_tag = basics->from_tag,
		.cseq = basics->cseq,
	};
}

static void fill_seal(struct seal_via *fields, const struct call *call, const struct call_outcome *outcome)
{
	const struct config *config = call->generation->config;
	int customer = call->decision.customer;

	*fields = (struct seal_via){
		.listener = config->listeners[call->listener].hash,
		.peer = call->peer->hash,
		.customer = customer < 0 ? 0 : name_hash(span_of(config->customers[customer].name)),
		.flags = SEAL_INITIAL,
	};
	if (outcome->stamps == NULL)
		return;
	fields->flags |= outcome->stamps->flags;
	for (size_t i = 0; i < outcome->stamps->reason_count && i < SEAL_VERDICTS_MAX; i++)
		fields->verdicts[i] = outcome->stamps->verdicts[i];
}

/* A Request-URI that names us cannot be meant to reach the next hop as it is; nor can a verstat in it, which nobody found
 * out about the number that is called. */
void forward_request_uri(const struct generation *generation, struct span uri, const char *hop, char *out, size_t size)
{
	char clean[2048];
	struct sip_uri parts;
	unsigned removed = 0;

	if (verstat_in_uri(uri) && verstat_strip(clean, sizeof clean, uri, &removed))
		uri = span_of(clean);
	if (sip_uri_read(&parts, uri) && egress_is_us(generation, parts.host, parts.port) &&
		sip_uri_at(out, size, &parts, hop))
		return;
	if (removed == 0 || !span_copy(out, size, uri))
		out[0] = '\0';
}

static void edit_routes(struct worker *worker, const struct sip_head *request, const struct sip_basics *basics)
{
	struct own_routes routes;

	own_routes_read(&routes, worker, request, basics);
	if (routes.own > 0)
		sip_edit_drop_first(&edit, HEADER_ROUTE, routes.own);
}

/* What a repeat of the INVITE, its CANCEL and the ACK of its failure need: where it went, and the bytes. */
struct forwarded {
	char mark;                       /* FORWARDED: no answer of our own begins so */
	struct egress egress;
	struct sockaddr_storage to;
};
#define FORWARDED '\0'

static void remember(struct worker *worker, const struct call_digest *digest, const struct egress *egress,
	const struct sockaddr_storage *to, struct span message)
{
	static char entry[sizeof(struct forwarded) + MESSAGE_BYTES_MAX];
	struct forwarded forwarded = { .mark = FORWARDED, .egress = *egress, .to = *to };

	memcpy(entry, &forwarded, sizeof forwarded);
	memcpy(entry + sizeof forwarded, message.at, message.length);
	answer_memo_put(worker->memo, digest, (struct span){ entry, sizeof forwarded + message.length });
}

static bool read_entry(struct span entry, struct forwarded *forwarded, struct span *message)
{
	if (entry.length < sizeof *forwarded || entry.at[0] != FORWARDED)
		return false;
	memcpy(forwarded, entry.at, sizeof *forwarded);
	*message = (struct span){ entry.at + sizeof *forwarded, entry.length - sizeof *forwarded };
	return true;
}

bool forward_repeat(struct worker *worker, struct span remembered)
{
	struct forwarded forwarded;
	struct span message;

	if (!read_entry(remembered, &forwarded, &message))
		return false;
	egress_send(&forwarded.egress, worker->agent, &forwarded.to, message, NULL, NULL);
	return true;
}

static struct seal_route route_seal_of(const struct seal_via *fields, const struct call *call)
{
	return (struct seal_route){
		.time = (uint32_t)(call->arrived_wall_us / 1000000),
		.peer = fields->peer,
		.customer = fields->customer,
		.flags = fields->flags & (SEAL_FROM_STAMPED | SEAL_FROM_BRACKETED),
	};
}

/* The parameter of our Record-Route: the seal, and what cannot be told by it. */
static void write_route_seal(struct worker *worker, const struct seal_via *fields, const struct call *call,
	const struct call_outcome *outcome, char text[OWN_ROUTE_PARAMS_SIZE])
{
	struct seal_route route = route_seal_of(fields, call);
	struct writer writer = writer_on(text, OWN_ROUTE_PARAMS_SIZE);
	char seal[SEAL_ROUTE_SIZE];

	seal_route_write(worker->sealer, &route, call->basics.call_id, call->basics.from_tag, seal);
	writer_text(&writer, seal);
	if (outcome->stamps != NULL)
		own_via_put_text(&writer, ";f=", outcome->stamps->from_received);
	writer_end(&writer);
}

static void send_invite(struct worker *worker, struct call *call, const struct call_outcome *outcome,
	const struct seal_request *sealed, const struct hop *hop)
{
	const struct generation *generation = call->generation;
	struct seal_via fields;
	struct egress egress;
	char branch[SEAL_BRANCH_SIZE], params[OWN_ROUTE_PARAMS_SIZE], uri[2048];
	struct span message;

	egress_find(&egress, generation->config, hop->transport, hop->address.ss_family, call->listener);
	fill_seal(&fields, call, outcome);
	seal_branch(worker->sealer, sealed, branch);
	own_via_add(&edit, worker, generation, &egress, sealed, &fields, outcome->stamps, outcome->identity, branch);
	write_route_seal(worker, &fields, call, outcome, params);
	own_route_add(&edit, generation, &egress, call->listener, params);
	forward_request_uri(generation, call->head->request_uri, hop->text, uri, sizeof uri);
	if (uri[0] != '\0')
		sip_edit_request_uri(&edit, span_of(uri));
	if (!sip_edit_write(&edit, made, DATAGRAM_BYTES_MAX, &message)) {
		call_refuse(worker, call, 513, VERDICT_TOO_LARGE, "signed or verified, it does not fit into a message");
		return;
	}
	call_record_pending(worker, call, outcome, own_via_record(span_of(branch)));
	egress_send(&egress, worker->agent, &hop->address, message, NULL, NULL);
	remember(worker, &call->digest, &egress, &hop->address, message);
	call_release(call);
}

/* By transactions: see relay.h. */
static void forward_stateful(struct worker *worker, struct call *call, const struct call_outcome *outcome,
	const struct seal_request *sealed, const struct hop *hops, size_t hop_count)
{
	struct seal_via fields;
	char params[OWN_ROUTE_PARAMS_SIZE];
	struct relay_plan plan = {
		.kind = RELAY_FORWARD,
		.generation = call->generation,
		.peer = call->peer,
		.digest = call->digest,
		.path = call->path,
		.listener = call->listener,
		.received = call->head,
		.basics = &call->basics,
		.edit = &edit,
		.sealed = sealed,
		.record_route = params,
		.hops = hops,
		.hop_count = hop_count,
		.stamps = outcome->stamps,
		.mark = outcome->identity.length > 0 ? watch_mark(outcome->identity) : 0,
	};

	fill_seal(&fields, call, outcome);
	write_route_seal(worker, &fields, call, outcome, params);
	plan.flags = fields.flags;
	plan.customer = fields.customer;
	if (relay_begin_call(worker, call, outcome, &plan))
		call_release(call);
}

void forward_invite(struct worker *worker, struct call *call, const struct call_outcome *outcome)
{
	const struct sip_basics *basics = &call->basics;
	struct seal_request sealed;
	struct hop hops[HOPS_CHOSEN_MAX];
	size_t hop_count;

	forward_seal_request(&sealed, call->head, basics);
	if (own_via_is_loop(worker, call->head, &sealed)) {
		call_refuse(worker, call, 482, VERDICT_LOOP, "it has been here before");
		return;
	}
	hop_count = outgoing_hops(worker, call->generation, call->peer, outcome->hop, basics->call_id, hops);
	if (hop_count == 0) {
		call_refuse(worker, call, 503, VERDICT_NO_NEXT_HOP, "no next hop has an address");
		return;
	}
	sip_edit_begin(&edit, call->head);
	outgoing_max_forwards(&edit, basics);
	outgoing_result(&edit, outcome);
	edit_routes(worker, call->head, basics);
	if (call->path.connection != NULL || hop_count > 1 || hops[0].transport != TRANSPORT_UDP)
		forward_stateful(worker, call, outcome, &sealed, hops, hop_count);
	else
		send_invite(worker, call, outcome, &sealed, &hops[0]);
}

/* --- CANCEL, and the ACK of a failure: to where their INVITE went (RFC 3261 section 16.11) --- */

static void send_follower(struct worker *worker, const struct transit *transit, const struct seal_request *sealed,
	const struct forwarded *forwarded, const char *branch, uint8_t flags)
{
	const struct generation *generation = worker->generation;
	struct seal_via fields = {
		.listener = generation->config->listeners[transit->listener].hash,
		.peer = transit->peer->hash,
		.flags = flags,
	};
	char uri[2048], hop[NET_TEXT_SIZE];
	struct span message;

	net_text(hop, (const struct sockaddr *)&forwarded->to);
	sip_edit_begin(&edit, transit->head);
	outgoing_max_forwards(&edit, transit->basics);
	edit_routes(worker, transit->head, transit->basics);
	own_via_add(&edit, worker, generation, &forwarded->egress, sealed, &fields, NULL, (struct span){ "", 0 }, branch);
	forward_request_uri(generation, transit->head->request_uri, hop, uri, sizeof uri);
	if (uri[0] != '\0')
		sip_edit_request_uri(&edit, span_of(uri));
	if (sip_edit_write(&edit, made, sizeof made, &message))
		egress_send(&forwarded->egress, worker->agent, &forwarded->to, message, NULL, NULL);
}

/* It was this process that forwarded the INVITE. */
static bool is_remembered(struct worker *worker, const struct transit *transit, struct forwarded *forwarded)
{
	struct span entry, message;

	return answer_memo_find(worker->memo, &transit->digest, &entry) && read_entry(entry, forwarded, &message) &&
		egress_find_again(&forwarded->egress, worker->generation->config);
}

/* other NULL: the hop that the INVITE went to, as long as the state of the hops is the same. False: there is no way there. */
static bool find_place(struct worker *worker, const struct transit *transit, const struct next_hop *other,
	struct forwarded *place)
{
	struct hop hops[HOPS_CHOSEN_MAX];

	if (outgoing_hops(worker, worker->generation, transit->peer, other, transit->basics->call_id, hops) == 0)
		return false;
	place->to = hops[0].address;
	return egress_find(&place->egress, worker->generation->config, hops[0].transport, hops[0].address.ss_family,
		transit->listener);
}

static void send_by_all_branches(struct worker *worker, const struct transit *transit, const struct seal_request *sealed,
	const struct forwarded *place, bool is_last)
{
	char branches[OWN_BRANCHES_MAX][SEAL_BRANCH_SIZE];
	size_t count = own_via_branches(worker, sealed, transit->head->method, branches);

	for (size_t i = 0; i < count; i++)
		send_follower(worker, transit, sealed, place, branches[i], is_last && i + 1 == count ? 0 : SEAL_GUESSED);
}

/* Where nothing is remembered, to each place that a rule could have sent the INVITE to, and as what it can have gone there: who
 * does not know it says so. The caller hears it from the last one only. */
static void follow(struct worker *worker, const struct transit *transit, const struct seal_request *sealed)
{
	const struct peer *peer = transit->peer;
	struct forwarded place, other;
	char branch[SEAL_BRANCH_SIZE];
	bool found;

	if (is_remembered(worker, transit, &place)) {
		seal_branch(worker->sealer, sealed, branch);
		send_follower(worker, transit, sealed, &place, branch, 0);
		return;
	}
	found = find_place(worker, transit, NULL, &place);
	for (size_t i = 0; i < peer->treatment_count; i++)
		if (peer->treatment[i].hop != NULL && find_place(worker, transit, peer->treatment[i].hop, &other) &&
			!(found && net_same_endpoint(&other.to, &place.to)))
			send_by_all_branches(worker, transit, sealed, &other, false);
	if (found)
		send_by_all_branches(worker, transit, sealed, &place, true);
}

void forward_follow(struct worker *worker, struct transit *transit)
{
	struct seal_request sealed;

	forward_seal_request(&sealed, transit->head, transit->basics);
	if (transit->basics->max_forwards == 0)
		transit_answer(worker, transit, 483, "Too Many Hops");
	else if (own_via_is_loop(worker, transit->head, &sealed))
		transit_answer(worker, transit, 482, "Loop Detected");
	else if (sockets_arrival()->stream)
		/* Its INVITE had a transaction, and with that went its branch: no next hop knows another one. */
		transit_answer(worker, transit, 481, "Call/Transaction Does Not Exist");
	else
		follow(worker, transit, &sealed);
}
