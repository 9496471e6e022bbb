#include "b2bua.h"

#include <string.h>

#include "dialogs.h"
#include "named_calls.h"
#include "outgoing.h"
#include "relay.h"
#include "stirrup/name_addr.h"
#include "stirrup/name_hash.h"
#include "stirrup/seal.h"
#include "watch.h"

/* One message is in the making at a time. */
static struct sip_edit edit;

/* One that has the far leg's messages come to this worker, too. */
static void new_call_id(struct worker *worker, const struct call *call, char call_id[SEAL_CALL_ID_SIZE])
{
	const struct sip_basics *basics = &call->basics;
	unsigned salt = 0;

	do
		seal_call_id(worker->sealer, basics->call_id, basics->from_tag, span_of(call->peer->name), salt++, call_id);
	while (sockets_owner(span_of(call_id)) != worker->index && salt < 1000);
}

static void edit_invite(struct worker *worker, const struct call *call, const struct call_outcome *outcome,
	struct span call_id)
{
	sip_edit_begin(&edit, call->head);
	sip_edit_drop_all(&edit, HEADER_VIA);
	sip_edit_drop_all(&edit, HEADER_RECORD_ROUTE);
	sip_edit_drop_all(&edit, HEADER_ROUTE);
	sip_edit_drop_all(&edit, HEADER_CONTACT);
	if (call_id.length > 0)
		sip_edit_replace(&edit, sip_head_find(call->head, HEADER_CALL_ID, 0), call_id);
	named_calls_translate(&edit, worker, call->head, call->peer, true);
	outgoing_max_forwards(&edit, &call->basics);
	outgoing_result(&edit, outcome);
}

static bool is_loop(struct worker *worker, const struct call *call)
{
	return relay_is_merged(worker, &call->basics, &call->digest) ||
		seal_call_id_is_ours(worker->sealer, call->basics.call_id, span_of(call->peer->name));
}

void b2bua_invite(struct worker *worker, struct call *call, const struct call_outcome *outcome)
{
	const struct config *config = call->generation->config;
	const struct sip_basics *basics = &call->basics;
	struct hop hops[HOPS_CHOSEN_MAX];
	char call_id[SEAL_CALL_ID_SIZE] = "";
	struct span contact = sip_head_value(call->head, HEADER_CONTACT);
	struct name_addr address;
	struct relay_plan plan = {
		.kind = RELAY_B2BUA,
		.generation = call->generation,
		.peer = call->peer,
		.digest = call->digest,
		.path = call->path,
		.listener = call->listener,
		.received = call->head,
		.basics = basics,
		.edit = &edit,
		.hops = hops,
		.stamps = outcome->stamps,
		.flags = outcome->stamps == NULL ? 0 : outcome->stamps->flags,
		.customer = call->decision.customer < 0 ? 0 :
							  name_hash(span_of(config->customers[call->decision.customer].name)),
		.mark = outcome->identity.length > 0 ? watch_mark(outcome->identity) : 0,
		.from_caller = true,
		.contact = contact,
		.shows_contact = contact.length > 0,
	};

	if (contact.length > 0 && !name_addr_next(&contact, &address)) {
		call_refuse(worker, call, 400, VERDICT_MALFORMED_REQUEST, "its Contact cannot be read");
		return;
	}
	if (is_loop(worker, call)) {
		call_refuse(worker, call, 482, VERDICT_LOOP, "it has been here before");
		return;
	}
	plan.hop_count = outgoing_hops(worker, call->generation, call->peer, outcome->hop, basics->call_id, hops);
	if (plan.hop_count == 0) {
		call_refuse(worker, call, 503, VERDICT_NO_NEXT_HOP, "no next hop has an address");
		return;
	}
	if (call->peer->call_id == CALL_ID_NEW)
		new_call_id(worker, call, call_id);
	plan.far_call_id = span_of(call_id);
	edit_invite(worker, call, outcome, plan.far_call_id);
	if (!relay_begin_call(worker, call, outcome, &plan))
		return;
	if (plan.far_call_id.length > 0)
		dialogs_pair(worker->dialogs, basics->call_id, plan.far_call_id);
	call_release(call);
}
