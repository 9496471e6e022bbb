#include <string.h>

#include "dialogs.h"
#include "leg.h"
#include "relay_state.h"
#include "stirrup/clock.h"

#define EARLY_MARGIN_S 60
#define EARLY_PER_INVITE 32        /* forks: each tag that the far side thinks of makes one */
#define DIALOGS_PER_INVITE 64      /* with those that are made by their 2xx: who rings as one too many may still answer */
#define SESSION_MARGIN_S 32        /* RFC 4028 section 10: what a late refresh is granted */

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
	static char caller_routes[LEG_ROUTES_BYTES], callee_routes[LEG_ROUTES_BYTES];
	struct span values[LEG_ROUTES_MAX];
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
	count = leg_line_values(relay->record_routes, values, LEG_ROUTES_MAX);
	dialog.caller = (struct dialog_side){
		.call_id = sip_line_value(relay->call_id),
		.tag = basics->from_tag,
		.name = relay->keeps_from ? sip_line_value(relay->from) : (struct span){ "", 0 },
		.target = leg_uri(relay->contact),
		.routes = leg_routes(caller_routes, sizeof caller_routes, values, count, false),
		.listener = hash_of_listener(relay, relay->listener),
	};
	count = leg_values(response, HEADER_RECORD_ROUTE, values, LEG_ROUTES_MAX);
	dialog.callee = (struct dialog_side){
		.call_id = basics->call_id,
		.tag = basics->to_tag,
		.target = leg_uri(contact),
		.routes = leg_routes(callee_routes, sizeof callee_routes, values, count, true),
		.listener = hash_of_listener(relay, relay->egress.listener),
	};
	if (dialog.callee.target.length == 0 && known != NULL)
		dialog.callee.target = known->callee.target;
	if (dialog.callee.target.length == 0) {
		struct writer writer = writer_on(hop_uri, sizeof hop_uri);
		char hop[NET_TEXT_SIZE];

		/* It ought to have one (RFC 3261 section 12.1.1); where the INVITE went is the best guess. */
		relay_hop_text(relay, relay->hop, hop);
		writer_text(&writer, "sip:");
		writer_text(&writer, hop);
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
	if (is_known ? known.confirmed : relay->dialogs >= (response->status < 200 ? EARLY_PER_INVITE : DIALOGS_PER_INVITE))
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
	struct span asked = leg_uri(relay->contact), answered = leg_uri(sip_head_value(response, HEADER_CONTACT));

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

void b2bua_unanswered(struct worker *worker, const struct relay *relay)
{
	struct dialog dialog;

	/* RFC 3261 section 15.1.1: who has sent it takes the call for ended. */
	if (relay->kind == RELAY_B2BUA_WITHIN && span_is(relay->method, "BYE") &&
		dialogs_find(worker->dialogs, &relay->dialog, &dialog))
		dialogs_remove(worker->dialogs, &dialog);
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
	contact = leg_contact(text, sizeof text, relay->generation, relay->listener, response->lines[line].value);
	sip_edit_drop_all(changes, HEADER_CONTACT);
	if (contact.length > 0)
		sip_edit_replace(changes, line, contact);
}

/* RFC 3261 section 15.1.1: what answers a BYE so knows of no call any more. */
static bool ends_call(const struct relay *relay, const struct sip_head *response)
{
	return span_is(relay->method, "BYE") && (response->status == 481 || response->status == 408);
}

/* Of a request within the call: an answer that changes it, and no repeat of one, which may be older than what has changed
 * since. */
static bool is_news(const struct relay *relay, const struct sip_head *response)
{
	return (relay->state == RELAY_CALLING || relay->state == RELAY_PROCEEDING) && response->status >= 200 &&
		(response->status < 300 || ends_call(relay, response));
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
	else if (relay->kind == RELAY_B2BUA_WITHIN && is_news(relay, response))
		change_dialog(worker, relay, response);
}
