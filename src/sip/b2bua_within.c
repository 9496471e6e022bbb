#include "b2bua.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dialogs.h"
#include "named_calls.h"
#include "outgoing.h"
#include "own_via.h"
#include "relay_state.h"
#include "stirrup/name_addr.h"
#include "stirrup/random_id.h"
#include "stirrup/sip_uri.h"

/* One message is in the making at a time. */
static struct sip_edit edit;
static char made[MESSAGE_BYTES_MAX];

static int listener_by_hash(const struct config *config, uint16_t hash)
{
	const struct listener *listener = config_listener_by_hash(config, hash);

	return listener == NULL ? -1 : (int)(listener - config->listeners);
}

/* The request line and the Routes for a side (RFC 3261 section 12.2.1.1), and where that leads to. */
static bool edit_route(struct worker *worker, const struct peer *peer, const struct dialog_side *side,
	struct outgoing_target *target, struct span *uri)
{
	struct span rest = side->routes, lr;
	struct name_addr first;
	struct sip_uri parts;
	char text[2048];
	struct writer last = writer_on(text, sizeof text);

	*uri = side->target;
	if (side->routes.length == 0)
		return outgoing_target(worker, worker->generation, peer, side->target, target);
	if (!name_addr_next(&rest, &first) || !sip_uri_read(&parts, first.uri) ||
		!outgoing_target(worker, worker->generation, peer, first.uri, target))
		return false;
	if (sip_uri_param(&parts, "lr", &lr)) {
		sip_edit_prepend(&edit, "Route", side->routes);
		return true;
	}
	/* A strict router: it is the Request-URI, and the target stands last. */
	*uri = first.uri;
	if (rest.length > 0)
		sip_edit_prepend(&edit, "Route", span_trim(rest));
	writer_text(&last, "<");
	writer_span(&last, side->target);
	writer_text(&last, ">");
	sip_edit_prepend(&edit, "Route", (struct span){ text, writer_length(&last) });
	return !last.full;
}

static void edit_within(const struct transit *transit, const struct dialog *dialog, bool from_caller)
{
	static char to[4096];
	const struct dialog_side *other = from_caller ? &dialog->callee : &dialog->caller;
	const struct sip_basics *basics = transit->basics;

	sip_edit_drop_all(&edit, HEADER_VIA);
	sip_edit_drop_all(&edit, HEADER_RECORD_ROUTE);
	sip_edit_drop_all(&edit, HEADER_ROUTE);
	sip_edit_drop_all(&edit, HEADER_CONTACT);
	outgoing_max_forwards(&edit, basics);
	if (other->call_id.length != basics->call_id.length ||
		memcmp(other->call_id.at, basics->call_id.at, basics->call_id.length) != 0)
		sip_edit_replace(&edit, sip_head_find(transit->head, HEADER_CALL_ID, 0), other->call_id);
	if (!from_caller && dialog->caller.name.length > 0)
		sip_edit_replace(&edit, sip_head_find(transit->head, HEADER_TO, 0), dialog->caller.name);
	else if (!from_caller && outgoing_unstamp(to, sizeof to, basics->to, dialog->flags))
		sip_edit_replace(&edit, sip_head_find(transit->head, HEADER_TO, 0), span_of(to));
}

/* The ACK of a 2xx is a transaction of its own that nobody answers: nothing is kept of it. */
static void send_ack(struct worker *worker, const struct transit *transit, const struct egress *egress,
	const struct outgoing_target *target, struct span uri)
{
	struct relay ack = {
		.generation = worker->generation,
		.egress = *egress,
		.contact = sip_head_value(transit->head, HEADER_CONTACT),
	};
	char branch[32], via[256], contact[2048];
	struct writer writer = writer_on(via, sizeof via), lines = writer_on(contact, sizeof contact);
	struct span message;

	snprintf(branch, sizeof branch, "z9hG4bKa%016" PRIx64, random_id());
	own_via_put(&writer, worker->generation, egress, branch, NULL);
	b2bua_put_contact(&lines, &ack);
	sip_edit_prepend_lines(&edit, (struct span){ contact, lines.full ? 0 : writer_length(&lines) });
	sip_edit_prepend(&edit, "Via", (struct span){ via, writer_length(&writer) });
	sip_edit_request_uri(&edit, uri);
	if (sip_edit_write(&edit, made, sizeof made, &message))
		egress_send(egress, worker->agent, &target->address, message, NULL, NULL);
}

static void send_within(struct worker *worker, struct transit *transit, const struct dialog *dialog, bool from_caller,
	const struct dialog_key *key)
{
	const struct config *config = worker->generation->config;
	const struct dialog_side *other = from_caller ? &dialog->callee : &dialog->caller;
	struct hop hop = { .transport_given = true };
	struct outgoing_target target;
	struct egress egress;
	struct relay_plan plan = {
		.kind = RELAY_B2BUA_WITHIN,
		.generation = worker->generation,
		.peer = config_peer_by_hash(config, dialog->peer),
		.digest = transit->digest,
		.path = transit->path,
		.listener = transit->listener,
		.received = transit->head,
		.basics = transit->basics,
		.edit = &edit,
		.contact = sip_head_value(transit->head, HEADER_CONTACT),
		.hops = &hop,
		.hop_count = 1,
		.egress = &egress,
		.flags = dialog->flags,
		.customer = dialog->customer,
		.far_call_id = other->call_id,
		.dialog = *key,
		.from_caller = from_caller,
	};

	edit_within(transit, dialog, from_caller);
	if (from_caller)
		outgoing_drop_claims(&edit, plan.peer, true);
	if (!edit_route(worker, plan.peer, other, &target, &plan.request_uri) ||
		!egress_find(&egress, config, target.transport, target.address.ss_family,
			listener_by_hash(config, other->listener))) {
		transit_answer(worker, transit, 502, "Bad Gateway");
		return;
	}
	if (span_is(transit->head->method, "ACK")) {
		send_ack(worker, transit, &egress, &target, plan.request_uri);
		return;
	}
	plan.shows_contact = plan.contact.length > 0;
	hop.transport = target.transport;
	hop.address = target.address;
	net_text(hop.text, (const struct sockaddr *)&target.address);
	transit_begin(worker, transit, &plan);
}

/* A request within a call: whose, and of which side. */
struct membership {
	struct dialog_key key;
	struct dialog dialog;
	const struct peer *peer;
	bool from_caller;
};

static bool is_same(struct span one, struct span other)
{
	return one.length == other.length && memcmp(one.at, other.at, one.length) == 0;
}

/* Whether the call of the key is there, and the request one of that side of it. */
static bool is_of(struct worker *worker, const struct sip_basics *basics, struct membership *of)
{
	const struct dialog *dialog = &of->dialog;

	if (!dialogs_find(worker->dialogs, &of->key, &of->dialog))
		return false;
	of->from_caller = is_same(dialog->caller.tag, basics->from_tag);
	of->peer = config_peer_by_hash(worker->generation->config, dialog->peer);
	return of->peer != NULL &&
		is_same(of->from_caller ? dialog->caller.call_id : dialog->callee.call_id, basics->call_id);
}

enum belonging { BELONGS, BELONGS_TO_NOBODY, COMES_FROM_ELSEWHERE };

typedef void make_key(struct dialog_key *key, struct span call_id, struct span one_tag, struct span other_tag);

static enum belonging belongs(struct worker *worker, const struct sip_basics *basics, make_key *make, struct membership *of)
{
	make(&of->key, basics->call_id, basics->from_tag, basics->to_tag);
	if (!is_of(worker, basics, of))
		return BELONGS_TO_NOBODY;
	return outgoing_may_speak(worker, of->peer, of->from_caller) ? BELONGS : COMES_FROM_ELSEWHERE;
}

/* A call that passes here twice is found by one Call-ID in both passages: then it is who speaks that tells. The switch between
 * them, which is a caller's of the second, may be one of its callee's, too, by far_side; it is the first's callee then. */
static enum belonging find_call(struct worker *worker, const struct sip_basics *basics, struct membership *of)
{
	enum belonging by_caller = belongs(worker, basics, dialog_key, of), by_callee;
	bool is_between = by_caller == BELONGS && !of->from_caller && outgoing_may_speak(worker, of->peer, true);

	if (by_caller == BELONGS && !is_between)
		return BELONGS;
	by_callee = belongs(worker, basics, dialog_key_of_callee, of);
	if (by_callee == BELONGS)
		return BELONGS;
	if (is_between)
		return belongs(worker, basics, dialog_key, of);
	return by_caller == COMES_FROM_ELSEWHERE ? by_caller : by_callee;
}

/* A dialog is borrowed until the next one is looked for. */
static bool translate_named_calls(struct worker *worker, const struct transit *transit, struct membership *of)
{
	if (!named_calls_any(transit->head))
		return true;
	named_calls_translate(&edit, worker, transit->head, of->peer, of->from_caller);
	return dialogs_find(worker->dialogs, &of->key, &of->dialog);
}

bool b2bua_within(struct worker *worker, struct transit *transit)
{
	struct membership of;

	switch (find_call(worker, transit->basics, &of)) {
	case BELONGS_TO_NOBODY:
		return false;
	case COMES_FROM_ELSEWHERE:
		transit_drop(worker, "a request within a call from where none of that side can come");
		break;
	case BELONGS:
		sip_edit_begin(&edit, transit->head);
		if (transit->basics->max_forwards == 0)
			transit_answer(worker, transit, 483, "Too Many Hops");
		else if (!translate_named_calls(worker, transit, &of))
			return false;
		else
			send_within(worker, transit, &of.dialog, of.from_caller, &of.key);
		break;
	}
	return true;
}
