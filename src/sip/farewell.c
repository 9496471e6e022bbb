#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "leg.h"
#include "outgoing.h"
#include "own_via.h"
#include "relay_state.h"
#include "stirrup/name_addr.h"
#include "stirrup/random_id.h"

/* One message is in the making at a time. */
static struct sip_edit edit;
static struct sip_head head;
static char made[MESSAGE_BYTES_MAX];

/* Where a call is ended that was accepted when nobody wanted it any more. */
struct farewell {
	struct span uri, routes;
	struct outgoing_target target;
	struct egress egress;
};

static bool find_way(struct worker *worker, const struct relay *relay, const struct sip_head *response,
	struct farewell *farewell)
{
	static char routes[LEG_ROUTES_BYTES];
	struct span values[LEG_ROUTES_MAX], rest;
	size_t count = leg_values(response, HEADER_RECORD_ROUTE, values, LEG_ROUTES_MAX);
	struct name_addr first;

	farewell->uri = leg_uri(sip_head_value(response, HEADER_CONTACT));
	farewell->routes = rest = leg_routes(routes, sizeof routes, values, count, true);
	return farewell->uri.length > 0 &&
		outgoing_target(worker, relay->generation, relay->peer,
			name_addr_next(&rest, &first) ? first.uri : farewell->uri, &farewell->target) &&
		egress_find(&farewell->egress, relay->generation->config, farewell->target.transport,
			farewell->target.address.ss_family, relay->egress.listener);
}

static struct span write_request(const struct relay *relay, const struct farewell *farewell, const struct sip_basics *basics,
	const char *method, uint32_t cseq)
{
	struct writer writer = writer_on(made, sizeof made);
	char branch[32];

	snprintf(branch, sizeof branch, "z9hG4bKa%016" PRIx64, random_id());
	writer_text(&writer, method);
	writer_text(&writer, " ");
	writer_span(&writer, farewell->uri);
	writer_text(&writer, " SIP/2.0\r\nVia: ");
	own_via_put(&writer, relay->generation, &farewell->egress, branch, NULL);
	if (farewell->routes.length > 0) {
		writer_text(&writer, "\r\nRoute: ");
		writer_span(&writer, farewell->routes);
	}
	writer_text(&writer, "\r\nMax-Forwards: 70\r\nFrom: ");
	writer_span(&writer, basics->from);
	writer_text(&writer, "\r\nTo: ");
	writer_span(&writer, basics->to);
	writer_text(&writer, "\r\nCall-ID: ");
	writer_span(&writer, basics->call_id);
	writer_text(&writer, "\r\nCSeq: ");
	writer_number(&writer, cseq);
	writer_text(&writer, " ");
	writer_text(&writer, method);
	writer_text(&writer, "\r\nContent-Length: 0\r\n\r\n");
	return (struct span){ made, writer.full ? 0 : writer_length(&writer) };
}

/* One for each callee that accepts: the digest tells whether its BYE is under way already. */
static struct call_digest digest_of(const struct relay *relay, struct span callee_tag)
{
	struct call_digest digest = relay->digest;
	uint64_t hash = relay->id ^ UINT64_C(14695981039346656037);

	for (size_t i = 0; i < callee_tag.length; i++)
		hash = (hash ^ (unsigned char)callee_tag.at[i]) * UINT64_C(1099511628211);
	memcpy(digest.bytes, &relay->id, sizeof relay->id);
	memcpy(digest.bytes + sizeof relay->id, &hash, sizeof hash);
	return digest;
}

/* With all that a request has to have that may be lost, but nobody to be told how it ends. */
static void begin_bye(struct worker *worker, const struct relay *relay, const struct farewell *farewell, struct span bye,
	const struct call_digest *digest)
{
	struct sip_basics basics;
	struct hop hop = {
		.transport = farewell->target.transport,
		.transport_given = true,
		.address = farewell->target.address,
	};
	struct relay_plan plan = {
		.kind = RELAY_FAREWELL,
		.generation = relay->generation,
		.peer = relay->peer,
		.digest = *digest,
		.listener = relay->listener,
		.received = &head,
		.basics = &basics,
		.request_uri = farewell->uri,
		.edit = &edit,
		.hops = &hop,
		.hop_count = 1,
		.egress = &farewell->egress,
	};

	if (!sip_head_read(&head, bye) || !sip_basics_read(&basics, &head))
		return;
	net_text(hop.text, (const struct sockaddr *)&hop.address);
	sip_edit_begin(&edit, &head);
	sip_edit_drop_all(&edit, HEADER_VIA);
	if (relay_begin(worker, &plan) != RELAY_BEGUN)
		egress_send(&farewell->egress, worker->agent, &hop.address, bye, NULL, NULL);
}

void b2bua_hang_up(struct worker *worker, const struct relay *relay, const struct sip_head *response,
	const struct sip_basics *basics)
{
	struct call_digest digest = digest_of(relay, basics->to_tag);
	struct farewell farewell;
	struct span message;

	if (!find_way(worker, relay, response, &farewell))
		return;
	message = write_request(relay, &farewell, basics, "ACK", basics->cseq);
	if (message.length > 0)
		egress_send(&farewell.egress, worker->agent, &farewell.target.address, message, NULL, NULL);
	if (relays_find(worker->relays, &digest) != NULL)
		return;
	message = write_request(relay, &farewell, basics, "BYE", basics->cseq + 1);
	if (message.length > 0)
		begin_bye(worker, relay, &farewell, message, &digest);
}
