#include "forward.h"

#include <stdio.h>
#include <stdlib.h>

#include "outgoing.h"
#include "relay.h"
#include "stirrup/base64url.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"
#include "stirrup/name_addr.h"
#include "stirrup/name_hash.h"
#include "stirrup/reason_header.h"
#include "stirrup/seal.h"
#include "stirrup/sip_uri.h"
#include "stirrup/verstat.h"
#include "watch.h"

#define RETURNED_MAX 512 /* octets of a text that travels with the call */

/* One message is in the making at a time. */
static struct sip_edit edit;
static struct sip_head head;
static char received[MESSAGE_BYTES_MAX], made[MESSAGE_BYTES_MAX];

/* --- Our Via --- */

static const char *transport_name(enum transport transport)
{
	switch (transport) {
	case TRANSPORT_UDP:
		return "UDP";
	case TRANSPORT_TCP:
		return "TCP";
	case TRANSPORT_TLS:
		return "TLS";
	}
	return "";
}

void forward_put_via(struct writer *writer, const struct generation *generation, const struct egress *egress,
	const char *branch, const char *seal)
{
	writer_text(writer, "SIP/2.0/");
	writer_text(writer, transport_name(egress->transport));
	writer_text(writer, " ");
	writer_text(writer, egress_text(generation, egress));
	writer_text(writer, ";branch=");
	writer_text(writer, branch);
	if (seal != NULL) {
		writer_text(writer, ";s=");
		writer_text(writer, seal);
	}
}

static void seal_request_of(struct seal_request *out, const struct sip_head *request, const struct sip_basics *basics)
{
	*out = (struct seal_request){
		.via = basics->via,
		.request_uri = request->request_uri,
		.call_id = basics->call_id,
		.from_tag = basics->from_tag,
		.cseq = basics->cseq,
	};
}

/* RFC 5393 section 4.2. */
static bool is_loop(struct worker *worker, const struct sip_head *request, const struct seal_request *sealed)
{
	for (size_t i = sip_head_find(request, HEADER_VIA, 0); i < request->count;
		i = sip_head_find(request, HEADER_VIA, i + 1)) {
		struct span rest = request->lines[i].value;
		struct via via;

		while (via_next(&rest, &via))
			if (seal_is_loop(worker->sealer, sealed, &via))
				return true;
	}
	return false;
}

/* Which Identity a Reason is about, where there were several (RFC 9410 section 5): their signatures, as far as the seal has
 * room for their verdicts. They come back with the responses. */
static void put_signatures(struct writer *writer, const struct stamps *stamps)
{
	for (size_t i = 0; i < stamps->reason_count && i < SEAL_VERDICTS_MAX; i++) {
		writer_text(writer, i == 0 ? ";p=" : ".");
		writer_span(writer, stamps->signatures[i]);
	}
}

static void put_own_mark(struct writer *writer, struct span identity)
{
	char mark[16];

	if (identity.length == 0)
		return;
	snprintf(mark, sizeof mark, ";o=%08x", watch_mark(identity));
	writer_text(writer, mark);
}

/* A text of ours for the way back, as a parameter that nothing has to be escaped in. */
static void put_encoded(struct writer *writer, const char *name, struct span text)
{
	char encoded[BASE64URL_LENGTH(RETURNED_MAX)];

	if (text.length == 0 || text.length > RETURNED_MAX)
		return;
	writer_text(writer, name);
	writer_bytes(writer, encoded, base64url_encode(encoded, text.at, text.length));
}

/* What put_encoded() wrote: nobody else can make another line of it. */
static bool read_encoded(char *out, size_t size, struct span text)
{
	size_t length;

	if (text.length == 0 || !base64url_decode((unsigned char *)out, size - 1, &length, text))
		return false;
	out[length] = '\0';
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)out[i] < ' ')
			return false;
	return length > 0;
}

/* Our Via goes on top: the branch by the request, the seal with what its responses have to bring back. */
static void add_via(struct worker *worker, const struct generation *generation, const struct egress *egress,
	const struct seal_request *sealed, const struct seal_via *fields, const struct stamps *stamps,
	struct span identity, char branch[SEAL_BRANCH_SIZE])
{
	struct seal_via_bound bound = { .next = sealed->via, .call_id = sealed->call_id, .cseq = sealed->cseq };
	char seal[SEAL_VIA_SIZE], text[2048];
	struct writer writer = writer_on(text, sizeof text);

	seal_branch(worker->sealer, sealed, branch);
	bound.branch = span_of(branch);
	seal_via_write(worker->sealer, fields, &bound, seal);
	forward_put_via(&writer, generation, egress, branch, seal);
	if ((fields->flags & SEAL_SEVERAL) != 0)
		put_signatures(&writer, stamps);
	put_own_mark(&writer, identity);
	if (stamps != NULL)
		put_encoded(&writer, ";f=", stamps->from_received);
	sip_edit_prepend(&edit, "Via", (struct span){ text, writer_length(&writer) });
}

/* The same in all responses to a request, and in what any node of this installation makes of it. */
static uint64_t record_id(struct span branch)
{
	char hex[17] = { 0 };

	if (branch.length < 8 + 16)
		return 0;
	memcpy(hex, branch.at + 8, 16);
	return strtoull(hex, NULL, 16);
}

/* --- Our Record-Route --- */

static void put_record_route(struct writer *writer, const struct generation *generation, const struct egress *egress,
	const char *seal)
{
	writer_text(writer, "Record-Route: <sip:");
	writer_text(writer, egress_text(generation, egress));
	writer_text(writer, egress->transport == TRANSPORT_TCP ? ";transport=tcp;lr;st=" : ";lr;st=");
	writer_text(writer, seal);
	writer_text(writer, ">\r\n");
}

void forward_put_record_route(struct writer *writer, const struct generation *generation, const struct egress *egress,
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

static void add_record_route(const struct generation *generation, const struct egress *egress, int arrival, const char *seal)
{
	char text[2 * ROUTE_PARAMS_SIZE + 512];
	struct writer writer = writer_on(text, sizeof text);

	forward_put_record_route(&writer, generation, egress, arrival, seal);
	sip_edit_prepend_lines(&edit, (struct span){ text, writer.full ? 0 : writer_length(&writer) });
}

/* What of the Routes is ours, and what follows. */
struct routes {
	unsigned own;             /* how many on top are ours */
	struct span seal;         /* of the first one; empty: none */
	struct span from;         /* of the first one: the encoded From of the caller; empty: none */
	int leaves_by;            /* the listener that the last one names; -1: unknown */
	struct span next;         /* the URI behind them; empty: none */
};

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

static void read_routes(struct routes *routes, struct worker *worker, const struct sip_head *request,
	const struct sip_basics *basics)
{
	*routes = (struct routes){ .leaves_by = -1 };
	for (size_t i = sip_head_find(request, HEADER_ROUTE, 0); i < request->count;
		i = sip_head_find(request, HEADER_ROUTE, i + 1)) {
		struct span rest = request->lines[i].value;
		struct name_addr item;

		while (name_addr_next(&rest, &item)) {
			struct sip_uri uri;
			struct span seal;

			if (routes->own >= 2 || !is_own_route(worker, basics, item.uri, &uri, &seal)) {
				routes->next = item.uri;
				return;
			}
			if (routes->own++ == 0) {
				routes->seal = seal;
				sip_uri_param(&uri, "f", &routes->from);
			}
			routes->leaves_by = listener_of(worker->generation, &uri);
		}
	}
}

/* --- An INVITE that begins a call --- */

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

static void refuse(struct worker *worker, struct call *call, unsigned status, enum verdict verdict, const char *rule)
{
	struct call_outcome outcome = { .result = "rejected", .verdict = verdict, .rule = rule, .status = status };

	redirect_answer(worker, call, &outcome);
}

/* A Request-URI that names us cannot be meant to reach the next hop as it is; nor can a verstat in it, which nobody found
 * out about the number that is called. */
void forward_request_uri(const struct generation *generation, struct span uri, const struct hop *hop, char *out, size_t size)
{
	char clean[2048];
	struct sip_uri parts;
	unsigned removed = 0;

	if (verstat_in_uri(uri) && verstat_strip(clean, sizeof clean, uri, &removed))
		uri = span_of(clean);
	if (sip_uri_read(&parts, uri) && egress_is_us(generation, parts.host, parts.port) &&
		sip_uri_at(out, size, &parts, hop->text))
		return;
	if (removed == 0 || !span_copy(out, size, uri))
		out[0] = '\0';
}

static void edit_routes(struct worker *worker, const struct sip_head *request, const struct sip_basics *basics)
{
	struct routes routes;

	read_routes(&routes, worker, request, basics);
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
	const struct call_outcome *outcome, const struct sip_basics *basics, char text[ROUTE_PARAMS_SIZE])
{
	struct seal_route route = route_seal_of(fields, call);
	struct writer writer = writer_on(text, ROUTE_PARAMS_SIZE);
	char seal[SEAL_ROUTE_SIZE];

	seal_route_write(worker->sealer, &route, basics->call_id, basics->from_tag, seal);
	writer_text(&writer, seal);
	if (outcome->stamps != NULL)
		put_encoded(&writer, ";f=", outcome->stamps->from_received);
	writer_end(&writer);
}

static void send_invite(struct worker *worker, struct call *call, const struct call_outcome *outcome,
	const struct sip_basics *basics, const struct seal_request *sealed, const struct hop *hop)
{
	const struct generation *generation = call->generation;
	struct seal_via fields;
	struct egress egress;
	char branch[SEAL_BRANCH_SIZE], params[ROUTE_PARAMS_SIZE], uri[2048];
	struct span message;

	egress_find(&egress, generation->config, hop->transport, hop->address.ss_family, call->listener);
	fill_seal(&fields, call, outcome);
	add_via(worker, generation, &egress, sealed, &fields, outcome->stamps, outcome->identity, branch);
	write_route_seal(worker, &fields, call, outcome, basics, params);
	add_record_route(generation, &egress, call->listener, params);
	forward_request_uri(generation, head.request_uri, hop, uri, sizeof uri);
	if (uri[0] != '\0')
		sip_edit_request_uri(&edit, span_of(uri));
	if (!sip_edit_write(&edit, made, sizeof made, &message)) {
		refuse(worker, call, 513, VERDICT_TOO_LARGE, "signed or verified, it does not fit into a message");
		return;
	}
	call_record_pending(worker, call, outcome, record_id(span_of(branch)));
	egress_send(&egress, worker->agent, &hop->address, message, NULL, NULL);
	remember(worker, &call->digest, &egress, &hop->address, message);
	call_release(call);
}

/* By transactions: see relay.h. */
static void forward_stateful(struct worker *worker, struct call *call, const struct call_outcome *outcome,
	const struct sip_basics *basics, const struct hop *hops, size_t hop_count)
{
	struct seal_via fields;
	char params[ROUTE_PARAMS_SIZE];
	struct relay_plan plan = {
		.kind = RELAY_FORWARD,
		.generation = call->generation,
		.peer = call->peer,
		.digest = call->digest,
		.path = call->path,
		.listener = call->listener,
		.received = &head,
		.basics = basics,
		.edit = &edit,
		.record_route = params,
		.hops = hops,
		.hop_count = hop_count,
		.stamps = outcome->stamps,
		.mark = outcome->identity.length > 0 ? watch_mark(outcome->identity) : 0,
	};

	fill_seal(&fields, call, outcome);
	write_route_seal(worker, &fields, call, outcome, basics, params);
	plan.flags = fields.flags;
	plan.customer = fields.customer;
	memcpy(&plan.record, call->digest.bytes, sizeof plan.record);
	call_record_pending(worker, call, outcome, plan.record);
	if (relay_begin(worker, &plan)) {
		call->path.connection = NULL;
		call_release(call);
	} else {
		refuse(worker, call, 503, VERDICT_RELAY_BUSY, "too many requests are in progress");
	}
}

void forward_invite(struct worker *worker, struct call *call, const struct call_outcome *outcome)
{
	struct sip_basics basics;
	struct seal_request sealed;
	struct hop hops[HOPS_CHOSEN_MAX];
	size_t length = sip_message_bytes(received, sizeof received, call->message), hop_count;

	if (length == 0 || !sip_head_read(&head, (struct span){ received, length }) || !sip_basics_read(&basics, &head)) {
		refuse(worker, call, 400, VERDICT_MALFORMED_REQUEST, "it cannot be sent on as it is");
		return;
	}
	seal_request_of(&sealed, &head, &basics);
	if (basics.max_forwards == 0) {
		refuse(worker, call, 483, VERDICT_LOOP, "Max-Forwards is used up");
		return;
	}
	if (is_loop(worker, &head, &sealed)) {
		refuse(worker, call, 482, VERDICT_LOOP, "it has been here before");
		return;
	}
	hop_count = outgoing_hops(worker, call->generation, call->peer, outcome->hop, basics.call_id, hops);
	if (hop_count == 0) {
		refuse(worker, call, 503, VERDICT_NO_NEXT_HOP, "no next hop has an address");
		return;
	}
	sip_edit_begin(&edit, &head);
	outgoing_max_forwards(&edit, &basics);
	outgoing_result(&edit, outcome);
	edit_routes(worker, &head, &basics);
	if (call->path.connection != NULL || hop_count > 1 || hops[0].transport != TRANSPORT_UDP)
		forward_stateful(worker, call, outcome, &basics, hops, hop_count);
	else
		send_invite(worker, call, outcome, &basics, &sealed, &hops[0]);
}

/* --- CANCEL, and the ACK of a failure: to where their INVITE went (RFC 3261 section 16.11) --- */

/* Where the INVITE went: as it is remembered, else by the order of the hops, which is the same as long as their state is. */
static bool find_forwarded(struct worker *worker, const struct transit *transit, struct forwarded *forwarded)
{
	const struct config *config = worker->generation->config;
	struct hop hops[HOPS_CHOSEN_MAX];
	struct span entry, message;

	if (answer_memo_find(worker->memo, &transit->digest, &entry) && read_entry(entry, forwarded, &message))
		return egress_find_again(&forwarded->egress, config);
	if (outgoing_hops(worker, worker->generation, transit->peer, NULL, transit->basics->call_id, hops) == 0)
		return false;
	forwarded->to = hops[0].address;
	return egress_find(
		&forwarded->egress, config, hops[0].transport, hops[0].address.ss_family, transit->listener);
}

static void send_follower(struct worker *worker, const struct transit *transit, const struct seal_request *sealed,
	const struct forwarded *forwarded)
{
	const struct generation *generation = worker->generation;
	struct seal_via fields = {
		.listener = generation->config->listeners[transit->listener].hash,
		.peer = transit->peer->hash,
	};
	struct hop hop = { 0 };
	char branch[SEAL_BRANCH_SIZE], uri[2048];
	struct span message;

	net_text(hop.text, (const struct sockaddr *)&forwarded->to);
	sip_edit_begin(&edit, transit->head);
	outgoing_max_forwards(&edit, transit->basics);
	edit_routes(worker, transit->head, transit->basics);
	add_via(worker, generation, &forwarded->egress, sealed, &fields, NULL, (struct span){ "", 0 }, branch);
	forward_request_uri(generation, transit->head->request_uri, &hop, uri, sizeof uri);
	if (uri[0] != '\0')
		sip_edit_request_uri(&edit, span_of(uri));
	if (sip_edit_write(&edit, made, sizeof made, &message))
		egress_send(&forwarded->egress, worker->agent, &forwarded->to, message, NULL, NULL);
}

void forward_follow(struct worker *worker, struct transit *transit)
{
	struct seal_request sealed;
	struct forwarded forwarded;

	seal_request_of(&sealed, transit->head, transit->basics);
	if (transit->basics->max_forwards == 0)
		transit_answer(worker, transit, 483, "Too Many Hops");
	else if (is_loop(worker, transit->head, &sealed))
		transit_answer(worker, transit, 482, "Loop Detected");
	else if (find_forwarded(worker, transit, &forwarded))
		send_follower(worker, transit, &sealed, &forwarded);
}

/* --- Requests within a call --- */

static bool read_seal(struct worker *worker, const struct transit *transit, struct span seal, struct seal_route *route,
	bool *from_caller)
{
	const struct sip_basics *basics = transit->basics;
	int64_t age;

	*from_caller = seal_route_read(worker->sealer, seal, basics->call_id, basics->from_tag, route);
	if (!*from_caller && !seal_route_read(worker->sealer, seal, basics->call_id, basics->to_tag, route))
		return false;
	age = wall_us() / 1000000 - (int64_t)route->time;
	return age < (int64_t)worker->generation->config->dialog_max_age_s;
}

/* The caller's From as it travelled with the call. No seal covers it, so nobody may make another call of this one by it. */
static bool read_from(char *out, size_t size, struct span encoded, struct span tag)
{
	struct span own;

	if (!read_encoded(out, size, encoded))
		return false;
	own = sip_tag(span_of(out));
	return own.length == tag.length && memcmp(own.at, tag.at, tag.length) == 0;
}

static void unstamp_to(const struct transit *transit, const struct routes *routes, uint8_t flags)
{
	static char value[4096];

	if (read_from(value, sizeof value, routes->from, transit->basics->to_tag) ||
		outgoing_unstamp(value, sizeof value, transit->basics->to, flags))
		sip_edit_replace(&edit, sip_head_find(transit->head, HEADER_TO, 0), span_of(value));
}

static void send_within(struct worker *worker, const struct transit *transit, const struct seal_request *sealed,
	const struct seal_route *route, const struct egress *egress, const struct outgoing_target *target)
{
	const struct generation *generation = worker->generation;
	struct seal_via fields = {
		.listener = generation->config->listeners[transit->listener].hash,
		.peer = route->peer,
		.customer = route->customer,
	};
	char branch[SEAL_BRANCH_SIZE];
	struct span message;

	add_via(worker, generation, egress, sealed, &fields, NULL, (struct span){ "", 0 }, branch);
	if (sip_edit_write(&edit, made, sizeof made, &message))
		egress_send(egress, worker->agent, &target->address, message, NULL, NULL);
}

static void send_within_stateful(struct worker *worker, struct transit *transit, const struct seal_route *route,
	const struct egress *egress, const struct outgoing_target *target)
{
	const struct peer *peer = config_peer_by_hash(worker->generation->config, route->peer);
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
		.hops = &hop,
		.hop_count = 1,
		.egress = egress,
		.customer = route->customer,
	};

	net_text(hop.text, (const struct sockaddr *)&target->address);
	if (peer != NULL && relay_begin(worker, &plan))
		transit->path.connection = NULL;
	else
		transit_answer(worker, transit, 503, "Service Unavailable");
}

void forward_within(struct worker *worker, struct transit *transit)
{
	const struct generation *generation = worker->generation;
	bool is_ack = span_is(transit->head->method, "ACK"), from_caller;
	struct seal_request sealed;
	struct seal_route route;
	struct routes routes;
	struct outgoing_target target;
	struct egress egress;

	read_routes(&routes, worker, transit->head, transit->basics);
	seal_request_of(&sealed, transit->head, transit->basics);
	if (!read_seal(worker, transit, routes.seal, &route, &from_caller))
		transit_answer(worker, transit, 481, "Call/Transaction Does Not Exist");
	else if (transit->basics->max_forwards == 0)
		transit_answer(worker, transit, 483, "Too Many Hops");
	else if (is_loop(worker, transit->head, &sealed))
		transit_answer(worker, transit, 482, "Loop Detected");
	else if (!outgoing_target(worker, generation, routes.next.length > 0 ? routes.next : transit->head->request_uri,
			 &target) ||
		!egress_find(&egress, generation->config, target.transport, target.address.ss_family,
			routes.leaves_by >= 0 ? routes.leaves_by : transit->listener))
		transit_answer(worker, transit, 481, "Call/Transaction Does Not Exist");
	else {
		sip_edit_begin(&edit, transit->head);
		outgoing_max_forwards(&edit, transit->basics);
		sip_edit_drop_first(&edit, HEADER_ROUTE, routes.own);
		if (!from_caller)
			unstamp_to(transit, &routes, route.flags);
		if (!is_ack && (sockets_arrival()->stream || target.transport != TRANSPORT_UDP))
			send_within_stateful(worker, transit, &route, &egress, &target);
		else
			send_within(worker, transit, &sealed, &route, &egress, &target);
	}
}

bool forward_has_seal(struct worker *worker, const struct transit *transit)
{
	struct routes routes;

	read_routes(&routes, worker, transit->head, transit->basics);
	return routes.seal.length > 0;
}

/* --- Responses --- */

static struct span via_param_of(const struct via *via, const char *name)
{
	const char *semicolon = memchr(via->item.at, ';', via->item.length);
	struct span value = { "", 0 };

	if (semicolon != NULL)
		name_addr_param((struct span){ semicolon, (size_t)(via->item.at + via->item.length - semicolon) }, name, &value);
	return value;
}

/* The Via below ours. */
static bool next_via(const struct sip_head *response, struct via *via)
{
	unsigned seen = 0;

	for (size_t i = sip_head_find(response, HEADER_VIA, 0); i < response->count;
		i = sip_head_find(response, HEADER_VIA, i + 1)) {
		struct span rest = response->lines[i].value;

		while (via_next(&rest, via))
			if (seen++ == 1)
				return true;
	}
	return false;
}

/* RFC 3261 section 18.2.2, RFC 3581 section 4. What the seal covers is what we wrote ourselves. */
static bool address_of_via(const struct via *via, struct sockaddr_storage *address)
{
	char text[NET_TEXT_SIZE * 2];
	struct span host = via->received.length > 0 ? via->received : via->host;
	struct span port = via->rport.length > 0 ? via->rport : via->port;
	struct writer writer = writer_on(text, sizeof text);
	bool bare_six = host.length > 0 && host.at[0] != '[' && memchr(host.at, ':', host.length) != NULL;
	enum transport transport;
	struct sip_uri uri;

	writer_text(&writer, bare_six ? "sip:[" : "sip:");
	writer_span(&writer, host);
	writer_text(&writer, bare_six ? "]" : "");
	if (port.length > 0) {
		writer_text(&writer, ":");
		writer_span(&writer, port);
	}
	return writer_end(&writer) && sip_uri_read(&uri, span_of(text)) && sip_uri_endpoint(&uri, address, &transport);
}

static void put_reasons(const struct seal_via *fields, struct span signatures)
{
	for (size_t i = 0; i < SEAL_VERDICTS_MAX && fields->verdicts[i] != 0; i++) {
		char token[REASON_PPI_MAX + 3], reason[REASON_HEADER_MAX];
		struct writer writer = writer_on(token, sizeof token);
		const char *dot = memchr(signatures.at, '.', signatures.length);
		struct span signature = { signatures.at, dot == NULL ? signatures.length : (size_t)(dot - signatures.at) };
		struct span whole = { token, 0 };

		if (signature.length > 0) {
			writer_text(&writer, "..");
			writer_span(&writer, signature);
			whole.length = writer.full ? 0 : writer_length(&writer);
			signatures.at += signature.length + (dot != NULL);
			signatures.length -= signature.length + (dot != NULL);
		}
		if (fields->verdicts[i] < VERDICT_COUNT &&
			reason_header_write(reason, sizeof reason, fields->verdicts[i], whole) > 0)
			sip_edit_append(&edit, "Reason", span_of(reason));
	}
}

static void unstamp_from(const struct sip_head *response, const struct sip_basics *basics, uint8_t flags)
{
	static char value[4096];

	if (read_from(value, sizeof value, via_param_of(&basics->via, "f"), basics->from_tag) ||
		outgoing_unstamp(value, sizeof value, basics->from, flags))
		sip_edit_replace(&edit, sip_head_find(response, HEADER_FROM, 0), span_of(value));
}

/* The mark of our own token, which watch_edit() looks for. */
static uint32_t own_mark_in(const struct via *via)
{
	struct span value = via_param_of(via, "o");
	char text[9];

	return span_copy(text, sizeof text, value) ? (uint32_t)strtoul(text, NULL, 16) : 0;
}

static void record_final(struct worker *worker, const struct sip_head *response, const struct sip_basics *basics,
	const struct seal_via *fields)
{
	const struct config *config = worker->generation->config;
	char by[NET_TEXT_SIZE];

	if (response->status < 200 || !span_is(basics->method, "INVITE"))
		return;
	net_text(by, (const struct sockaddr *)&sockets_arrival()->source);
	watch_final(worker, record_id(basics->via.branch), response, by, "");
	watch_count(config_peer_by_hash(config, fields->peer), fields->customer, response, by);
}

static int listener_by_hash(const struct config *config, uint16_t hash)
{
	const struct listener *listener = config_listener_by_hash(config, hash);

	return listener == NULL ? -1 : (int)(listener - config->listeners);
}

void forward_response(struct worker *worker, const struct sip_head *response, const struct sip_basics *basics)
{
	const struct config *config = worker->generation->config;
	struct seal_via_bound bound = {
		.branch = basics->via.branch,
		.call_id = basics->call_id,
		.cseq = basics->cseq,
	};
	struct seal_via fields;
	struct sockaddr_storage address;
	struct egress egress;
	struct span message;

	if (!next_via(response, &bound.next) || !seal_via_read(worker->sealer, basics->via.seal, &bound, &fields) ||
		!address_of_via(&bound.next, &address) ||
		!egress_find(&egress, config, TRANSPORT_UDP, address.ss_family, listener_by_hash(config, fields.listener))) {
		transit_drop(worker, "a response that answers nothing of ours");
		return;
	}
	sip_edit_begin(&edit, response);
	sip_edit_drop_first(&edit, HEADER_VIA, 1);
	watch_edit(&edit, response, own_mark_in(&basics->via));
	if ((fields.flags & SEAL_INITIAL) != 0) {
		unstamp_from(response, basics, fields.flags);
		if (response->status > 100 && span_is(basics->method, "INVITE"))
			put_reasons(&fields, via_param_of(&basics->via, "p"));
		record_final(worker, response, basics, &fields);
	}
	if (sip_edit_write(&edit, made, sizeof made, &message))
		egress_send(&egress, worker->agent, &address, message, NULL, NULL);
}
