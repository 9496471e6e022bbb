#include "b2bua.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forward.h"
#include "outgoing.h"
#include "own_via.h"
#include "relay_state.h"
#include "stirrup/clock.h"
#include "dialogs.h"
#include "stirrup/dialog_ids.h"
#include "stirrup/log.h"
#include "stirrup/name_addr.h"
#include "stirrup/name_hash.h"
#include "stirrup/own_contact.h"
#include "stirrup/random_id.h"
#include "stirrup/seal.h"
#include "stirrup/sip_uri.h"
#include "watch.h"

#define ROUTES_MAX 512
#define ROUTES_BYTES 32768
#define EARLY_MARGIN_S 60
#define NAMED_CALLS_MAX 64
#define DIALOGS_PER_INVITE 32      /* forks: each tag that the far side thinks of makes one */
#define SESSION_MARGIN_S 32        /* RFC 4028 section 10: what a late refresh is granted */

static struct sip_edit edit;
static struct sip_head head;
static char received[MESSAGE_BYTES_MAX], made[MESSAGE_BYTES_MAX];

/* --- Pieces of a dialog --- */

static struct span uri_of(struct span contact)
{
	struct name_addr item;

	if (!name_addr_next(&contact, &item))
		return (struct span){ "", 0 };
	/* It will stand in a request line. */
	for (size_t i = 0; i < item.uri.length; i++)
		if ((unsigned char)item.uri.at[i] <= ' ')
			return (struct span){ "", 0 };
	return item.uri;
}

/* The Record-Routes of a message as the Routes of one side: in their order for the callee, reversed for the caller (RFC 3261
 * sections 12.1.1 and 12.1.2). */
static struct span routes_of(char *out, size_t size, const struct span *values, size_t count, bool reversed)
{
	struct span items[ROUTES_MAX];
	struct writer writer = writer_on(out, size);
	size_t item_count = 0;

	for (size_t i = 0; i < count; i++) {
		struct span rest = values[i];
		struct name_addr item;

		while (item_count < ROUTES_MAX && name_addr_next(&rest, &item)) {
			const char *start = item.uri.at[-1] == '<' ? item.uri.at - 1 : item.uri.at;
			const char *end = item.params.length > 0 ? item.params.at + item.params.length :
								   item.uri.at + item.uri.length + (start < item.uri.at);

			items[item_count++] = (struct span){ start, (size_t)(end - start) };
		}
	}
	for (size_t i = 0; i < item_count; i++) {
		writer_text(&writer, i == 0 ? "" : ",");
		writer_span(&writer, items[reversed ? item_count - 1 - i : i]);
	}
	return (struct span){ out, writer.full ? 0 : writer_length(&writer) };
}

static size_t values_of_kind(const struct sip_head *message, enum header_kind kind, struct span *values, size_t max)
{
	size_t count = 0;

	for (size_t i = sip_head_find(message, kind, 0); i < message->count && count < max;
		i = sip_head_find(message, kind, i + 1))
		values[count++] = message->lines[i].value;
	return count;
}

/* The same of whole lines as they were received. */
static size_t values_of_lines(struct span lines, struct span *values, size_t max)
{
	size_t count = 0;

	while (lines.length > 0 && count < max) {
		struct span line = { lines.at, 0 };

		do {
			const char *end = memchr(lines.at, '\n', lines.length);
			size_t length = end == NULL ? lines.length : (size_t)(end - lines.at) + 1;

			lines.at += length;
			lines.length -= length;
			line.length += length;
		} while (lines.length > 0 && (lines.at[0] == ' ' || lines.at[0] == '\t'));
		values[count++] = sip_line_value(line);
	}
	return count;
}

static const char *transport_word(enum transport transport)
{
	switch (transport) {
	case TRANSPORT_UDP:
		return "udp";
	case TRANSPORT_TCP:
		return "tcp";
	case TRANSPORT_TLS:
		return "tls";
	}
	return "udp";
}

static const char *listener_name(const struct generation *generation, int listener)
{
	struct egress egress = { .listener = listener };

	return egress_text(generation, &egress);
}

/* Our Contact in place of another one, as the side sees it that speaks to that listener. */
static struct span own_contact(char *out, size_t size, const struct generation *generation, int listener,
	struct span contact)
{
	size_t length = own_contact_write(out, size, contact, span_of(listener_name(generation, listener)),
		transport_word(generation->config->listeners[listener].transport));

	return (struct span){ out, length };
}

void b2bua_put_contact(struct writer *writer, const struct relay *relay)
{
	char text[2048];
	struct span contact = own_contact(text, sizeof text, relay->generation, relay->egress.listener, relay->contact);

	if (contact.length == 0)
		return;
	writer_text(writer, "Contact: ");
	writer_span(writer, contact);
	writer_text(writer, "\r\n");
}

/* --- Calls that are named by other calls' messages --- */

struct naming {
	struct worker *worker;
	unsigned left; /* a message may be nothing but Call-IDs: after so many they pass as they are */
};

static bool find_other_call_id(struct worker *worker, struct span call_id, struct span one_tag, struct span other_tag,
	struct span *other)
{
	struct dialog_key key;
	struct dialog dialog;

	if (one_tag.length == 0 && other_tag.length == 0)
		return dialogs_other_call_id(worker->dialogs, call_id, other);
	dialog_key_of_callee(&key, call_id, one_tag, other_tag);
	if (dialogs_find(worker->dialogs, &key, &dialog)) {
		*other = dialog.caller.call_id;
		return true;
	}
	dialog_key(&key, call_id, one_tag, other_tag);
	if (!dialogs_find(worker->dialogs, &key, &dialog))
		return false;
	*other = dialog.callee.call_id;
	return true;
}

static bool translate(struct span call_id, struct span one_tag, struct span other_tag, struct span *other, void *context)
{
	struct naming *naming = context;
	static char text[1024];

	if (naming->left == 0)
		return false;
	naming->left--;
	if (!find_other_call_id(naming->worker, call_id, one_tag, other_tag, other) || !span_copy(text, sizeof text, *other))
		return false;
	*other = span_of(text);
	return true;
}

static bool names_calls(enum header_kind kind)
{
	return kind == HEADER_REPLACES || kind == HEADER_JOIN || kind == HEADER_TARGET_DIALOG || kind == HEADER_IN_REPLY_TO ||
		kind == HEADER_REFER_TO;
}

static void translate_ids(struct worker *worker, const struct sip_head *message)
{
	struct naming naming = { worker, NAMED_CALLS_MAX };
	char text[2048];

	for (size_t i = 0; i < message->count; i++) {
		struct span changed;

		if (names_calls(message->lines[i].kind) &&
			dialog_ids_replace(&changed, text, sizeof text, message->lines[i].kind, message->lines[i].value,
				translate, &naming))
			sip_edit_replace(&edit, i, changed);
	}
}

/* --- An INVITE that begins a call --- */

static void refuse(struct worker *worker, struct call *call, unsigned status, enum verdict verdict, const char *rule)
{
	struct call_outcome outcome = { .result = "rejected", .verdict = verdict, .rule = rule, .status = status };

	redirect_answer(worker, call, &outcome);
}

/* One that has the far leg's messages come to this worker, too. */
static void new_call_id(struct worker *worker, const struct call *call, const struct sip_basics *basics,
	char call_id[SEAL_CALL_ID_SIZE])
{
	unsigned salt = 0;

	do
		seal_call_id(worker->sealer, basics->call_id, basics->from_tag, span_of(call->peer->name), salt++, call_id);
	while (sockets_owner(span_of(call_id)) != worker->index && salt < 1000);
}

static void edit_invite(struct worker *worker, const struct call_outcome *outcome, const struct sip_basics *basics,
	struct span call_id)
{
	sip_edit_begin(&edit, &head);
	sip_edit_drop_all(&edit, HEADER_VIA);
	sip_edit_drop_all(&edit, HEADER_RECORD_ROUTE);
	sip_edit_drop_all(&edit, HEADER_ROUTE);
	sip_edit_drop_all(&edit, HEADER_CONTACT);
	if (call_id.length > 0)
		sip_edit_replace(&edit, sip_head_find(&head, HEADER_CALL_ID, 0), call_id);
	translate_ids(worker, &head);
	outgoing_max_forwards(&edit, basics);
	outgoing_result(&edit, outcome);
}

static bool is_loop(struct worker *worker, const struct call *call, const struct sip_basics *basics)
{
	return relay_is_merged(worker, basics, &call->digest) ||
		seal_call_id_is_ours(worker->sealer, basics->call_id, span_of(call->peer->name));
}

void b2bua_invite(struct worker *worker, struct call *call, const struct call_outcome *outcome)
{
	const struct config *config = call->generation->config;
	struct sip_basics basics;
	struct hop hops[HOPS_CHOSEN_MAX];
	char call_id[SEAL_CALL_ID_SIZE] = "";
	size_t length = sip_message_bytes(received, sizeof received, call->message);
	struct relay_plan plan = {
		.kind = RELAY_B2BUA,
		.generation = call->generation,
		.peer = call->peer,
		.digest = call->digest,
		.path = call->path,
		.listener = call->listener,
		.received = &head,
		.basics = &basics,
		.edit = &edit,
		.hops = hops,
		.stamps = outcome->stamps,
		.flags = outcome->stamps == NULL ? 0 : outcome->stamps->flags,
		.customer = call->decision.customer < 0 ? 0 :
							  name_hash(span_of(config->customers[call->decision.customer].name)),
		.mark = outcome->identity.length > 0 ? watch_mark(outcome->identity) : 0,
		.from_caller = true,
	};

	if (length == 0 || !sip_head_read(&head, (struct span){ received, length }) || !sip_basics_read(&basics, &head)) {
		refuse(worker, call, 400, VERDICT_MALFORMED_REQUEST, "it cannot be sent on as it is");
		return;
	}
	if (basics.max_forwards == 0 || is_loop(worker, call, &basics)) {
		refuse(worker, call, basics.max_forwards == 0 ? 483 : 482, VERDICT_LOOP,
			basics.max_forwards == 0 ? "Max-Forwards is used up" : "it has been here before");
		return;
	}
	plan.hop_count = outgoing_hops(worker, call->generation, call->peer, outcome->hop, basics.call_id, hops);
	if (plan.hop_count == 0) {
		refuse(worker, call, 503, VERDICT_NO_NEXT_HOP, "no next hop has an address");
		return;
	}
	if (call->peer->call_id == CALL_ID_NEW)
		new_call_id(worker, call, &basics, call_id);
	plan.far_call_id = span_of(call_id);
	plan.contact = sip_head_value(&head, HEADER_CONTACT);
	plan.shows_contact = plan.contact.length > 0;
	edit_invite(worker, outcome, &basics, plan.far_call_id);
	memcpy(&plan.record, call->digest.bytes, sizeof plan.record);
	switch (relay_begin(worker, &plan)) {
	case RELAY_BEGUN:
		call_record_pending(worker, call, outcome, plan.record);
		if (plan.far_call_id.length > 0)
			dialogs_pair(worker->dialogs, basics.call_id, plan.far_call_id);
		call->path.connection = NULL;
		call_release(call);
		break;
	case RELAY_NO_ROOM:
		refuse(worker, call, 503, VERDICT_RELAY_BUSY, "too many requests are in progress");
		break;
	case RELAY_TOO_LARGE:
		refuse(worker, call, 513, VERDICT_TOO_LARGE, "signed or verified, it does not fit into a message");
		break;
	}
}

/* --- The dialog store --- */

static uint32_t now_s(void)
{
	return (uint32_t)(wall_us() / 1000000);
}

/* How long the call may be silent: until the session expires that its ends have agreed upon (RFC 4028), else for ever but for
 * the limit of the store. */
static uint32_t expiry(const struct config *config, const struct sip_head *response)
{
	struct span value = sip_head_value(response, HEADER_SESSION_EXPIRES);
	uint32_t seconds = 0;

	for (size_t i = 0; i < value.length && value.at[i] >= '0' && value.at[i] <= '9' && seconds < 10000000; i++)
		seconds = seconds * 10 + (uint32_t)(value.at[i] - '0');
	if (seconds > 0 && seconds < config->dialog_max_age_s)
		return now_s() + seconds + SESSION_MARGIN_S;
	return now_s() + config->dialog_max_age_s;
}

static uint16_t hash_of_listener(const struct relay *relay, int listener)
{
	return relay->generation->config->listeners[listener].hash;
}

/* The first response with a tag makes the dialog, later ones confirm it (RFC 3261 section 12.1). known: as it is, NULL for a
 * new one; its caller may have another target by now (RFC 3311). */
static bool make_dialog(struct worker *worker, const struct relay *relay, const struct sip_head *response,
	const struct sip_basics *basics, const struct dialog *known)
{
	static char caller_routes[ROUTES_BYTES], callee_routes[ROUTES_BYTES];
	struct span values[ROUTES_MAX];
	struct span contact = sip_head_value(response, HEADER_CONTACT);
	const struct config *config = relay->generation->config;
	struct dialog dialog = {
		.peer = relay->peer->hash,
		.customer = relay->customer,
		.flags = relay->flags,
		.confirmed = response->status >= 200,
		.began = now_s(),
	};
	char hop_uri[NET_TEXT_SIZE + 8];
	size_t count;

	dialog.expires = dialog.confirmed ? expiry(config, response) :
					    dialog.began + relay->peer->no_answer_s + EARLY_MARGIN_S;
	count = values_of_lines(relay->record_routes, values, ROUTES_MAX);
	dialog.caller = (struct dialog_side){
		.call_id = sip_line_value(relay->call_id),
		.tag = basics->from_tag,
		.name = relay->keeps_from ? sip_line_value(relay->from) : (struct span){ "", 0 },
		.target = uri_of(relay->contact),
		.routes = routes_of(caller_routes, sizeof caller_routes, values, count, false),
		.listener = hash_of_listener(relay, relay->listener),
	};
	count = values_of_kind(response, HEADER_RECORD_ROUTE, values, ROUTES_MAX);
	dialog.callee = (struct dialog_side){
		.call_id = basics->call_id,
		.tag = basics->to_tag,
		.target = uri_of(contact),
		.routes = routes_of(callee_routes, sizeof callee_routes, values, count, true),
		.listener = hash_of_listener(relay, relay->egress.listener),
	};
	if (dialog.callee.target.length == 0) {
		struct writer writer = writer_on(hop_uri, sizeof hop_uri);

		/* It ought to have one (RFC 3261 section 12.1.1); where the INVITE went is the best guess. */
		writer_text(&writer, "sip:");
		writer_text(&writer, relay->hops[relay->hop].text);
		dialog.callee.target = (struct span){ hop_uri, writer_length(&writer) };
	}
	if (known != NULL) {
		dialog.began = known->began;
		dialog.caller.target = known->caller.target;
	}
	return dialogs_put(worker->dialogs, &dialog);
}

static bool is_confirmed(const struct relay *relay, const struct dialog_key *key)
{
	for (size_t i = 0; i < relay->confirmed_count; i++)
		if (memcmp(&relay->confirmed[i], key, sizeof *key) == 0)
			return true;
	return false;
}

/* The repeats of a 2xx tell nothing new: what has changed since stays so, and a call that has ended does not come back. */
static void take_dialog(struct worker *worker, struct relay *relay, const struct sip_head *response,
	const struct sip_basics *basics)
{
	struct dialog_key key;
	struct dialog known;
	bool is_known;

	if (relay->far_call_id.length > 0)
		dialog_key_of_callee(&key, basics->call_id, basics->from_tag, basics->to_tag);
	else
		dialog_key(&key, basics->call_id, basics->from_tag, basics->to_tag);
	if (is_confirmed(relay, &key))
		return;
	is_known = dialogs_find(worker->dialogs, &key, &known);
	if (is_known ? known.confirmed : relay->dialogs == DIALOGS_PER_INVITE)
		return;
	relay->dialogs += !is_known;
	relay->survives = make_dialog(worker, relay, response, basics, is_known ? &known : NULL);
	if (response->status >= 200 && relay->confirmed_count < RELAY_CONFIRMED)
		relay->confirmed[relay->confirmed_count++] = key;
}

static bool refreshes_target(struct span method)
{
	static const char *const methods[] = { "INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER" };

	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
		if (span_is(method, methods[i]))
			return true;
	return false;
}

/* What a request within the call has changed, once it was accepted (RFC 3261 section 12.2, RFC 4028). */
static void change_dialog(struct worker *worker, const struct relay *relay, const struct sip_head *response)
{
	struct dialog dialog;
	struct span asked = uri_of(relay->contact), answered = uri_of(sip_head_value(response, HEADER_CONTACT));

	if (!dialogs_find(worker->dialogs, &relay->dialog, &dialog))
		return;
	if (span_is(relay->method, "BYE")) {
		dialogs_remove(worker->dialogs, &dialog);
		return;
	}
	if (!refreshes_target(relay->method))
		return;
	if (asked.length > 0)
		*(relay->from_caller ? &dialog.caller.target : &dialog.callee.target) = asked;
	if (answered.length > 0)
		*(relay->from_caller ? &dialog.callee.target : &dialog.caller.target) = answered;
	if (dialog.confirmed && (span_is(relay->method, "INVITE") || span_is(relay->method, "UPDATE")))
		dialog.expires = expiry(relay->generation->config, response);
	dialogs_put(worker->dialogs, &dialog);
}

/* --- A call that nobody wants any more --- */

static void put_farewell(struct writer *writer, const struct relay *relay, const struct sip_basics *basics, const char *method,
	uint32_t cseq, struct span uri, struct span routes)
{
	char branch[32];

	snprintf(branch, sizeof branch, "z9hG4bKa%016" PRIx64, random_id());
	writer_text(writer, method);
	writer_text(writer, " ");
	writer_span(writer, uri);
	writer_text(writer, " SIP/2.0\r\nVia: ");
	own_via_put(writer, relay->generation, &relay->egress, branch, NULL);
	if (routes.length > 0) {
		writer_text(writer, "\r\nRoute: ");
		writer_span(writer, routes);
	}
	writer_text(writer, "\r\nMax-Forwards: 70\r\nFrom: ");
	writer_span(writer, basics->from);
	writer_text(writer, "\r\nTo: ");
	writer_span(writer, basics->to);
	writer_text(writer, "\r\nCall-ID: ");
	writer_span(writer, basics->call_id);
	writer_text(writer, "\r\nCSeq: ");
	writer_number(writer, cseq);
	writer_text(writer, " ");
	writer_text(writer, method);
	writer_text(writer, "\r\nContent-Length: 0\r\n\r\n");
}

void b2bua_hang_up(struct worker *worker, const struct relay *relay, const struct sip_head *response,
	const struct sip_basics *basics)
{
	static const char *const methods[] = { "ACK", "BYE" };
	static char routes[ROUTES_BYTES];
	struct span values[ROUTES_MAX];
	size_t count = values_of_kind(response, HEADER_RECORD_ROUTE, values, ROUTES_MAX);
	struct span route_set = routes_of(routes, sizeof routes, values, count, true), rest = route_set;
	struct span uri = uri_of(sip_head_value(response, HEADER_CONTACT));
	struct outgoing_target target;
	struct name_addr first;

	if (uri.length == 0 || !outgoing_target(worker, relay->generation, relay->peer,
				       name_addr_next(&rest, &first) ? first.uri : uri, &target))
		return;
	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
		struct writer writer = writer_on(made, sizeof made);

		put_farewell(&writer, relay, basics, methods[i], basics->cseq + (uint32_t)i, uri, route_set);
		if (!writer.full)
			egress_send(&relay->egress, worker->agent, &target.address, (struct span){ made, writer_length(&writer) },
				NULL, NULL);
	}
}

/* --- Responses --- */

/* A header field of the response as the request had it. */
static void restore(struct sip_edit *changes, const struct sip_head *response, enum header_kind kind, struct span line)
{
	size_t at = sip_head_find(response, kind, 0);
	struct span value = sip_line_value(line);

	if (value.length != response->lines[at].value.length ||
		memcmp(value.at, response->lines[at].value.at, value.length) != 0)
		sip_edit_replace(changes, at, value);
}

/* Ours, once; none where it is none that a call can have. */
static void edit_contact(const struct relay *relay, struct sip_edit *changes, const struct sip_head *response)
{
	char text[2048];
	size_t line = sip_head_find(response, HEADER_CONTACT, 0);
	struct span contact;

	if (line == response->count)
		return;
	contact = own_contact(text, sizeof text, relay->generation, relay->listener, response->lines[line].value);
	sip_edit_drop_all(changes, HEADER_CONTACT);
	if (contact.length > 0)
		sip_edit_replace(changes, line, contact);
}

/* RFC 3261 section 15.1.1: what answers a BYE so knows of no call any more. */
static bool ends_call(const struct relay *relay, const struct sip_head *response)
{
	return span_is(relay->method, "BYE") && (response->status == 481 || response->status == 408);
}

void b2bua_edit_response(struct worker *worker, struct relay *relay, struct sip_edit *changes,
	const struct sip_head *response, const struct sip_basics *basics)
{
	sip_edit_drop_all(changes, HEADER_VIA);
	sip_edit_drop_all(changes, HEADER_RECORD_ROUTE);
	sip_edit_prepend_lines(changes, relay->vias);
	sip_edit_prepend_lines(changes, relay->record_routes);
	restore(changes, response, HEADER_CALL_ID, relay->call_id);
	restore(changes, response, HEADER_FROM, relay->from);
	/* Of a request within the call, To has its tag already. */
	if (relay->kind == RELAY_B2BUA_WITHIN)
		restore(changes, response, HEADER_TO, relay->to);
	/* The Contacts of other answers are where else to try, or how the callee is written: not of this call. */
	if (response->status < 300)
		edit_contact(relay, changes, response);
	if (relay->kind == RELAY_B2BUA && response->status > 100 && response->status < 300 && basics->to_tag.length > 0)
		take_dialog(worker, relay, response, basics);
	else if (relay->kind == RELAY_B2BUA_WITHIN && response->status >= 200 &&
		(response->status < 300 || ends_call(relay, response)))
		change_dialog(worker, relay, response);
}

/* --- Requests within a call --- */

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

/* A call that passes here twice is found by one Call-ID in both passages: then it is who speaks that tells. */
static enum belonging find_call(struct worker *worker, const struct sip_basics *basics, struct membership *of)
{
	static void (*const keys[])(struct dialog_key *, struct span, struct span, struct span) = { dialog_key,
		dialog_key_of_callee };
	enum belonging belonging = BELONGS_TO_NOBODY;

	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		keys[i](&of->key, basics->call_id, basics->from_tag, basics->to_tag);
		if (!is_of(worker, basics, of))
			continue;
		if (outgoing_may_speak(worker, of->peer, of->from_caller))
			return BELONGS;
		belonging = COMES_FROM_ELSEWHERE;
	}
	return belonging;
}

bool b2bua_within(struct worker *worker, struct transit *transit)
{
	struct membership of;

	/* First what looks for other calls: a dialog is borrowed until the next one is looked for. */
	sip_edit_begin(&edit, transit->head);
	translate_ids(worker, transit->head);
	switch (find_call(worker, transit->basics, &of)) {
	case BELONGS_TO_NOBODY:
		return false;
	case COMES_FROM_ELSEWHERE:
		transit_drop(worker, "a request within a call from where none of that side can come");
		break;
	case BELONGS:
		if (transit->basics->max_forwards == 0)
			transit_answer(worker, transit, 483, "Too Many Hops");
		else
			send_within(worker, transit, &of.dialog, of.from_caller, &of.key);
		break;
	}
	return true;
}
