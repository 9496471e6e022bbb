#include "relay_state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forward.h"
#include "outgoing.h"
#include "own_route.h"
#include "own_via.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"
#include "stirrup/sip_uri.h"
#include "stirrup/verstat.h"
#include "watch.h"

#define T1_US INT64_C(500000)              /* RFC 3261 section 17.1.1.1 */
#define T2_US INT64_C(4000000)
#define TRANSACTION_US (64 * T1_US)        /* timers B, D, F, H, J, L, M */
#define FAILOVER_US INT64_C(4000000)       /* how long a hop may be silent when there is another one */
#define LONG_MESSAGE 1300                  /* RFC 3261 section 18.1.1 */
#define DATAGRAM_MAX 65507                 /* what IPv4 and UDP leave of 65,535 octets */
#define SLOT_US INT64_C(100000)
#define SLOTS 512
#define BRANCH_SIZE 32

struct relays {
	struct relay **by_id, **by_digest, **by_merge;
	size_t mask;
	unsigned count, capacity;
	struct relay *slots[SLOTS];
	int64_t ticked;                    /* the slot time up to which all has been looked at */
};

static struct sip_edit edit;
static char made[MESSAGE_BYTES_MAX];


/* --- The table --- */

struct relays *relays_new(unsigned capacity)
{
	struct relays *relays = calloc(1, sizeof *relays);
	size_t buckets = 1024;

	if (relays == NULL)
		return NULL;
	while (buckets < capacity)
		buckets *= 2;
	relays->by_id = calloc(buckets, sizeof *relays->by_id);
	relays->by_digest = calloc(buckets, sizeof *relays->by_digest);
	relays->by_merge = calloc(buckets, sizeof *relays->by_merge);
	relays->mask = buckets - 1;
	relays->capacity = capacity;
	relays->ticked = monotonic_us() / SLOT_US;
	if (relays->by_id != NULL && relays->by_digest != NULL && relays->by_merge != NULL)
		return relays;
	relays_free(relays);
	return NULL;
}

size_t relays_count(const struct relays *relays)
{
	return relays->count;
}

static struct relay **bucket_of_id(struct relays *relays, uint64_t id)
{
	return &relays->by_id[id & relays->mask];
}

static struct relay **bucket_of_digest(struct relays *relays, const struct call_digest *digest)
{
	uint64_t bits;

	memcpy(&bits, digest->bytes + 8, sizeof bits);
	return &relays->by_digest[bits & relays->mask];
}

static struct relay **bucket_of_merge(struct relays *relays, uint64_t merge)
{
	return &relays->by_merge[merge & relays->mask];
}

static struct relay *find_digest(struct worker *worker, const struct call_digest *digest)
{
	struct relay *relay = *bucket_of_digest(worker->relays, digest);

	while (relay != NULL && memcmp(&relay->digest, digest, sizeof *digest) != 0)
		relay = relay->by_digest;
	return relay;
}

static struct relay *find_id(struct worker *worker, uint64_t id)
{
	struct relay *relay = *bucket_of_id(worker->relays, id);

	while (relay != NULL && relay->id != id)
		relay = relay->by_id;
	return relay;
}

static uint64_t merge_of(const struct sip_basics *basics)
{
	const struct span parts[] = { basics->call_id, basics->from_tag, { (const char *)&basics->cseq, sizeof basics->cseq } };
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		for (size_t at = 0; at < parts[i].length; at++)
			hash = (hash ^ (unsigned char)parts[i].at[at]) * UINT64_C(1099511628211);
	return hash | 1;
}

bool relay_is_merged(struct worker *worker, const struct sip_basics *basics, const struct call_digest *digest)
{
	uint64_t merge = merge_of(basics);

	for (struct relay *relay = *bucket_of_merge(worker->relays, merge); relay != NULL; relay = relay->by_merge)
		if (relay->merge == merge && memcmp(&relay->digest, digest, sizeof *digest) != 0)
			return true;
	return false;
}

static void enter(struct relays *relays, struct relay *relay)
{
	struct relay **id = bucket_of_id(relays, relay->id), **digest = bucket_of_digest(relays, &relay->digest);

	relay->by_id = *id;
	*id = relay;
	relay->by_digest = *digest;
	*digest = relay;
	if (relay->merge != 0) {
		struct relay **merge = bucket_of_merge(relays, relay->merge);

		relay->by_merge = *merge;
		*merge = relay;
	}
	relays->count++;
}

static void leave(struct relays *relays, struct relay *relay)
{
	struct relay **at = bucket_of_id(relays, relay->id);

	while (*at != relay)
		at = &(*at)->by_id;
	*at = relay->by_id;
	for (at = bucket_of_digest(relays, &relay->digest); *at != relay;)
		at = &(*at)->by_digest;
	*at = relay->by_digest;
	if (relay->merge != 0) {
		for (at = bucket_of_merge(relays, relay->merge); *at != relay;)
			at = &(*at)->by_merge;
		*at = relay->by_merge;
	}
	relays->count--;
}

/* --- Time --- */

static void disarm(struct relay *relay)
{
	if (relay->link == NULL)
		return;
	*relay->link = relay->next;
	if (relay->next != NULL)
		relay->next->link = relay->link;
	relay->link = NULL;
}

static void arm(struct relays *relays, struct relay *relay, int64_t due_us)
{
	struct relay **slot;
	int64_t at = due_us / SLOT_US;

	disarm(relay);
	if (at <= relays->ticked)
		at = relays->ticked + 1;
	slot = &relays->slots[at % SLOTS];
	relay->due_us = due_us;
	relay->next = *slot;
	if (*slot != NULL)
		(*slot)->link = &relay->next;
	relay->link = slot;
	*slot = relay;
}

/* --- Its life --- */

static void free_relay(struct relay *relay)
{
	egress_forget(&relay->wait);
	reply_path_close(&relay->path);
	generation_unref(relay->generation);
	free(relay->block);
	free(relay->answer);
	free(relay->hops);
	free(relay->rest);
	free(relay->acknowledgement);
	free(relay);
}

static void end(struct worker *worker, struct relay *relay)
{
	disarm(relay);
	leave(worker->relays, relay);
	free_relay(relay);
}

void relays_free(struct relays *relays)
{
	if (relays == NULL)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		while (relays->slots[i] != NULL) {
			struct relay *relay = relays->slots[i];

			disarm(relay);
			free_relay(relay);
		}
	free(relays->by_id);
	free(relays->by_digest);
	free(relays->by_merge);
	free(relays);
}

/* But where another hop may still have the INVITE: what it says is answered. */
static void forget_request(struct relay *relay)
{
	egress_forget(&relay->wait);
	if (relay->is_invite && (relay->attempt > 1 || relay->ended_here))
		return;
	free(relay->rest);
	relay->rest = NULL;
}

/* A copy of length bytes, NULL when memory is out. */
static char *copy_of(const char *bytes, size_t length)
{
	char *copy = malloc(length > 0 ? length : 1);

	if (copy != NULL)
		memcpy(copy, bytes, length);
	return copy;
}

static void keep_answer(struct relay *relay, struct span answer)
{
	free(relay->answer);
	relay->answer = copy_of(answer.at, answer.length);
	relay->answer_length = relay->answer == NULL ? 0 : answer.length;
}

/* --- What is kept of a request --- */

static struct span put(struct writer *writer, struct span text)
{
	struct span kept = { writer->at, text.length };

	writer_span(writer, text);
	return kept;
}

static struct span put_lines(struct writer *writer, const struct sip_head *head, enum header_kind kind)
{
	struct span kept = { writer->at, 0 };

	for (size_t i = sip_head_find(head, kind, 0); i < head->count; i = sip_head_find(head, kind, i + 1))
		writer_span(writer, head->lines[i].line);
	kept.length = (size_t)(writer->at - kept.at);
	return kept;
}

static struct span put_reasons(struct writer *writer, const struct stamps *stamps)
{
	struct span kept = { writer->at, 0 };

	for (size_t i = 0; stamps != NULL && i < stamps->reason_count; i++) {
		writer_text(writer, "Reason: ");
		writer_span(writer, stamps->reasons[i]);
		writer_text(writer, "\r\n");
	}
	kept.length = (size_t)(writer->at - kept.at);
	return kept;
}

static size_t length_of_block(const struct relay_plan *plan)
{
	const struct sip_head *head = plan->received;
	size_t length = head->method.length + plan->request_uri.length + head->request_uri.length + plan->contact.length +
		plan->far_call_id.length + (plan->record_route == NULL ? 0 : strlen(plan->record_route));

	for (size_t i = 0; i < head->count; i++)
		switch (head->lines[i].kind) {
		case HEADER_VIA:
		case HEADER_FROM:
		case HEADER_TO:
		case HEADER_CALL_ID:
		case HEADER_CSEQ:
		case HEADER_RECORD_ROUTE:
			length += head->lines[i].line.length;
			break;
		case HEADER_CONTACT:
		case HEADER_ROUTE:
		case HEADER_MAX_FORWARDS:
		case HEADER_CONTENT_LENGTH:
		case HEADER_IDENTITY:
		case HEADER_P_ASSERTED_IDENTITY:
		case HEADER_CLAIMED:
		case HEADER_REASON:
		case HEADER_SESSION_EXPIRES:
		case HEADER_REPLACES:
		case HEADER_JOIN:
		case HEADER_TARGET_DIALOG:
		case HEADER_IN_REPLY_TO:
		case HEADER_REFER_TO:
		case HEADER_OTHER:
			break;
		}
	for (size_t i = 0; plan->stamps != NULL && i < plan->stamps->reason_count; i++)
		length += plan->stamps->reasons[i].length + 10;
	return length;
}

static bool keep_texts(struct relay *relay, const struct relay_plan *plan)
{
	const struct sip_head *head = plan->received;
	size_t length = length_of_block(plan);
	struct writer writer;

	relay->block = malloc(length + 1);
	if (relay->block == NULL)
		return false;
	writer = writer_on(relay->block, length);
	relay->method = put(&writer, head->method);
	relay->request_uri = put(&writer, plan->request_uri);
	relay->received_uri = put(&writer, head->request_uri);
	relay->contact = put(&writer, plan->contact);
	relay->record_route = put(&writer, span_of(plan->record_route));
	relay->far_call_id = put(&writer, plan->far_call_id);
	relay->vias = put_lines(&writer, head, HEADER_VIA);
	relay->from = put_lines(&writer, head, HEADER_FROM);
	relay->to = put_lines(&writer, head, HEADER_TO);
	relay->call_id = put_lines(&writer, head, HEADER_CALL_ID);
	relay->cseq = put_lines(&writer, head, HEADER_CSEQ);
	relay->record_routes = put_lines(&writer, head, HEADER_RECORD_ROUTE);
	relay->reasons = put_reasons(&writer, plan->stamps);
	return !writer.full;
}

/* What is sent, behind its start line. */
static bool make_rest(const struct sip_edit *changes, struct span *rest)
{
	struct span message;
	const char *end_of_line;

	if (!sip_edit_write(changes, made, sizeof made, &message))
		return false;
	end_of_line = memchr(message.at, '\n', message.length);
	*rest = (struct span){ end_of_line + 1, (size_t)(message.at + message.length - (end_of_line + 1)) };
	return true;
}

static bool keep_rest(struct relay *relay, struct span rest)
{
	relay->rest_length = rest.length;
	relay->rest = copy_of(rest.at, rest.length);
	return relay->rest != NULL;
}

static struct relay *new_relay(const struct relay_plan *plan, struct span rest)
{
	struct relay *relay = calloc(1, sizeof *relay);

	if (relay == NULL)
		return NULL;
	arc4random_buf(&relay->id, sizeof relay->id);
	relay->digest = plan->digest;
	relay->peer = plan->peer;
	relay->kind = plan->kind;
	relay->is_invite = span_is(plan->received->method, "INVITE");
	relay->from_caller = plan->from_caller;
	relay->shows_contact = plan->shows_contact;
	relay->flags = plan->flags;
	relay->customer = plan->customer;
	relay->mark = plan->mark;
	relay->keeps_from = plan->stamps != NULL && plan->stamps->from_received.length > 0;
	relay->changes_from = plan->stamps != NULL && plan->stamps->from.length > 0;
	relay->listener = plan->listener;
	relay->record = plan->record;
	relay->dialog = plan->dialog;
	relay->hop_count = (uint8_t)plan->hop_count;
	relay->hops = malloc(plan->hop_count * sizeof *relay->hops);
	if (plan->egress != NULL) {
		relay->egress_given = true;
		relay->egress = *plan->egress;
	}
	if (relay->hops != NULL)
		memcpy(relay->hops, plan->hops, plan->hop_count * sizeof *relay->hops);
	if (relay->hops != NULL && keep_texts(relay, plan) && keep_rest(relay, rest)) {
		call_digest_tag(&relay->digest, relay->tag);
		relay->generation = generation_ref(plan->generation);
		return relay;
	}
	free_relay(relay);
	return NULL;
}

/* --- Towards whoever sent the request --- */

static void answer_locally(struct relay *relay, unsigned status, const char *phrase)
{
	struct writer writer = writer_on(made, sizeof made);

	writer_text(&writer, "SIP/2.0 ");
	writer_number(&writer, status);
	writer_text(&writer, " ");
	writer_text(&writer, phrase);
	writer_text(&writer, "\r\n");
	writer_span(&writer, relay->vias);
	writer_span(&writer, relay->from);
	if (status > 100 && sip_tag(span_trim(relay->to)).length == 0) {
		writer_span(&writer, span_trim(relay->to));
		writer_text(&writer, ";tag=");
		writer_text(&writer, relay->tag);
		writer_text(&writer, "\r\n");
	} else {
		writer_span(&writer, relay->to);
	}
	writer_span(&writer, relay->call_id);
	writer_span(&writer, relay->cseq);
	if (status > 100 && !relay->reasons_sent) {
		writer_span(&writer, relay->reasons);
		relay->reasons_sent = true;
	}
	writer_text(&writer, "Content-Length: 0\r\n\r\n");
	if (writer.full)
		return;
	keep_answer(relay, (struct span){ made, writer_length(&writer) });
	reply_path_send(&relay->path, (struct span){ made, writer_length(&writer) });
}

/* Whether lost responses have to be repeated, and repeated requests answered again. */
static bool is_unreliable(const struct relay *relay)
{
	return relay->path.connection == NULL;
}

static void settle(struct worker *worker, struct relay *relay, enum relay_state state)
{
	int64_t now = monotonic_us();

	forget_request(relay);
	relay->state = state;
	relay->deadline_us = now + TRANSACTION_US;
	relay->interval_us = T1_US;
	arm(worker->relays, relay,
		state == RELAY_FAILED && is_unreliable(relay) ? now + T1_US : relay->deadline_us);
}

static void finish_locally(struct worker *worker, struct relay *relay, unsigned status, const char *phrase)
{
	answer_locally(relay, status, phrase);
	if (relay->record != 0)
		call_record_final(worker, relay->record, status, NULL, (struct span){ "", 0 });
	relay->record = 0;
	relay->ended_here = true;
	settle(worker, relay, relay->is_invite ? RELAY_FAILED : RELAY_OVER);
}

static void edit_response(struct worker *worker, struct relay *relay, const struct sip_head *response,
	const struct sip_basics *basics)
{
	sip_edit_begin(&edit, response);
	watch_edit(&edit, response, relay->mark);
	switch (relay->kind) {
	case RELAY_FORWARD:
		sip_edit_drop_first(&edit, HEADER_VIA, 1);
		if (relay->changes_from)
			sip_edit_replace(&edit, sip_head_find(response, HEADER_FROM, 0), sip_line_value(relay->from));
		break;
	case RELAY_B2BUA:
	case RELAY_B2BUA_WITHIN:
		b2bua_edit_response(worker, relay, &edit, response, basics);
		break;
	}
	if (response->status > 100 && !relay->reasons_sent && relay->reasons.length > 0) {
		sip_edit_append_lines(&edit, relay->reasons);
		relay->reasons_sent = true;
	}
}

/* Passes the response on; keeps it where it may have to be repeated. */
static void pass_response(struct worker *worker, struct relay *relay, const struct sip_head *response,
	const struct sip_basics *basics)
{
	struct span message;

	edit_response(worker, relay, response, basics);
	if (!sip_edit_write(&edit, made, sizeof made, &message)) {
		log_warning("a response of status %u does not fit into a message", response->status);
		return;
	}
	if (!relay->is_invite || response->status < 200 || response->status >= 300)
		keep_answer(relay, message);
	reply_path_send(&relay->path, message);
}

/* --- Towards the next hop --- */

/* An attempt is one hex digit of the branch. */
static_assert(RELAY_ATTEMPTS <= 16 && HOPS_CHOSEN_MAX < RELAY_BY_TCP, "attempts and their hops fit");

static void write_branch(const struct worker *worker, const struct relay *relay, char branch[BRANCH_SIZE])
{
	snprintf(branch, BRANCH_SIZE, RELAY_BRANCH "%02x%016llx%x", worker->index & 0xff, (unsigned long long)relay->id,
		relay->attempt & 0xf);
}

static void put_request_uri(struct writer *writer, const struct relay *relay)
{
	static char uri[2048], clean[2048];
	struct span received = relay->received_uri;
	struct sip_uri parts;
	unsigned removed;

	uri[0] = '\0';
	if (relay->request_uri.length > 0) {
		writer_span(writer, relay->request_uri);
		return;
	}
	if (verstat_in_uri(received) && verstat_strip(clean, sizeof clean, received, &removed))
		received = span_of(clean);
	if (relay->kind == RELAY_FORWARD)
		forward_request_uri(relay->generation, relay->received_uri, &relay->hops[relay->hop], uri, sizeof uri);
	else if (!sip_uri_read(&parts, received) || !sip_uri_at(uri, sizeof uri, &parts, relay->hops[relay->hop].text))
		uri[0] = '\0';
	if (uri[0] != '\0')
		writer_text(writer, uri);
	else
		writer_span(writer, relay->received_uri);
}

static void put_head(const struct worker *worker, struct writer *writer, const struct relay *relay, const char *method)
{
	char branch[BRANCH_SIZE];

	write_branch(worker, relay, branch);
	if (method != NULL)
		writer_text(writer, method);
	else
		writer_span(writer, relay->method);
	writer_text(writer, " ");
	put_request_uri(writer, relay);
	writer_text(writer, " SIP/2.0\r\nVia: ");
	own_via_put(writer, relay->generation, &relay->egress, branch, NULL);
	writer_text(writer, "\r\n");
}

static void put_own_lines(struct writer *writer, const struct relay *relay)
{
	char seal[OWN_ROUTE_PARAMS_SIZE];

	if (relay->record_route.length > 0 && span_copy(seal, sizeof seal, relay->record_route))
		own_route_put(writer, relay->generation, &relay->egress, relay->listener, seal);
	if (relay->shows_contact)
		b2bua_put_contact(writer, relay);
}

static size_t make_request(const struct worker *worker, const struct relay *relay)
{
	struct writer writer = writer_on(made, sizeof made);

	put_head(worker, &writer, relay, NULL);
	put_own_lines(&writer, relay);
	writer_bytes(&writer, relay->rest, relay->rest_length);
	if (relay->egress.transport == TRANSPORT_UDP && writer_length(&writer) > DATAGRAM_MAX)
		return 0;
	return writer.full ? 0 : writer_length(&writer);
}

/* The ACK of a failure (RFC 3261 section 17.1.1.3) and the CANCEL (9.1): the lines of the INVITE that they repeat. to: the
 * response's. */
static size_t make_follower(const struct worker *worker, const struct relay *relay, const char *method, struct span to)
{
	static struct sip_head head;
	static char text[MESSAGE_BYTES_MAX];
	struct writer invite = writer_on(text, sizeof text), writer = writer_on(made, sizeof made);
	struct sip_basics basics;

	writer_text(&invite, "INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x\r\n");
	writer_bytes(&invite, relay->rest, relay->rest_length);
	if (invite.full || !sip_head_read(&head, (struct span){ text, writer_length(&invite) }) ||
		!sip_basics_read(&basics, &head))
		return 0;
	put_head(worker, &writer, relay, method);
	for (size_t i = 0; i < head.count; i++) {
		enum header_kind kind = head.lines[i].kind;

		if (kind == HEADER_FROM || kind == HEADER_CALL_ID || kind == HEADER_ROUTE || (kind == HEADER_TO && to.length == 0))
			writer_span(&writer, head.lines[i].line);
	}
	if (to.length > 0) {
		writer_text(&writer, "To: ");
		writer_span(&writer, to);
		writer_text(&writer, "\r\n");
	}
	writer_text(&writer, "CSeq: ");
	writer_number(&writer, basics.cseq);
	writer_text(&writer, " ");
	writer_text(&writer, method);
	writer_text(&writer, "\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n");
	return writer.full ? 0 : writer_length(&writer);
}

static bool send_made(struct worker *worker, struct relay *relay, size_t length, bool waits)
{
	struct span message = { made, length };

	return length > 0 && egress_send(&relay->egress, worker->agent, &relay->hops[relay->hop].address, message,
		waits ? &relay->wait : NULL, relay);
}

static bool choose_egress(struct relay *relay, enum transport transport)
{
	return relay->egress_given || egress_find(&relay->egress, relay->generation->config, transport,
		relay->hops[relay->hop].address.ss_family, relay->listener);
}

/* Remembers where the attempt goes that is about to be sent. */
static void note_attempt(struct relay *relay)
{
	relay->tried[relay->attempt % RELAY_ATTEMPTS] =
		(uint8_t)(relay->hop | (relay->egress.transport == TRANSPORT_TCP ? RELAY_BY_TCP : 0));
}

/* Turns to the hop of any attempt. */
static bool turn_to(struct relay *relay, unsigned attempt)
{
	uint8_t tried = relay->tried[attempt % RELAY_ATTEMPTS];

	relay->hop = tried & (uint8_t)~RELAY_BY_TCP;
	return choose_egress(relay, (tried & RELAY_BY_TCP) != 0 ? TRANSPORT_TCP : relay->hops[relay->hop].transport);
}

/* A CANCEL or an ACK to the hop of any attempt. */
static void send_to_attempt(struct worker *worker, const struct relay *relay, unsigned attempt, const char *method,
	struct span to)
{
	struct relay then = *relay;

	if (relay->rest == NULL || attempt == 0 || attempt > relay->attempt)
		return;
	then.attempt = (uint8_t)attempt;
	then.wait = (struct egress_wait){ 0 };
	if (turn_to(&then, attempt))
		send_made(worker, &then, make_follower(worker, &then, method, to), false);
}

static void send_cancel(struct worker *worker, struct relay *relay)
{
	relay->cancel_sent = true;
	relay->interval_us = T1_US;
	relay->deadline_us = monotonic_us() + TRANSACTION_US;
	send_made(worker, relay, make_follower(worker, relay, "CANCEL", (struct span){ "", 0 }), false);
	arm(worker->relays, relay, monotonic_us() + T1_US);
}

/* RFC 3261 section 18.1.1: a long request goes by TCP where nothing says which transport to take. */
static bool wants_tcp(const struct relay *relay, const struct hop *hop, size_t length)
{
	struct egress unused;

	return length > LONG_MESSAGE && hop->transport == TRANSPORT_UDP && !hop->transport_given && !relay->by_size &&
		!relay->egress_given &&
		egress_find(&unused, relay->generation->config, TRANSPORT_TCP, hop->address.ss_family, relay->listener);
}

/* The request, to the hop that is tried now. True: it is on its way, or is settled without. */
static bool send_to_hop(struct worker *worker, struct relay *relay)
{
	const struct hop *hop = &relay->hops[relay->hop];
	bool last = relay->hop + 1 == relay->hop_count;
	size_t length;
	int64_t now = monotonic_us();

	relay->attempt++;
	relay->state = RELAY_CALLING;
	relay->interval_us = T1_US;
	relay->deadline_us = now + (last || !relay->is_invite ? TRANSACTION_US : FAILOVER_US);
	if (!choose_egress(relay, hop->transport))
		return false;
	note_attempt(relay);
	length = make_request(worker, relay);
	if (length == 0) {
		finish_locally(worker, relay, 513, "Message Too Large");
		return true;
	}
	if (wants_tcp(relay, hop, length)) {
		relay->by_size = true;
		choose_egress(relay, TRANSPORT_TCP);
		note_attempt(relay);
		if (send_made(worker, relay, make_request(worker, relay), true)) {
			arm(worker->relays, relay, relay->deadline_us);
			return true;
		}
		choose_egress(relay, hop->transport);
		relay->attempt++;
		note_attempt(relay);
		length = make_request(worker, relay);
	}
	if (!send_made(worker, relay, length, true))
		return false;
	arm(worker->relays, relay, relay->egress.transport == TRANSPORT_UDP ? now + T1_US : relay->deadline_us);
	return true;
}

/* How a hop fails. */
enum hop_failure {
	HOP_SILENT,      /* until its time was over */
	HOP_UNAVAILABLE, /* 503 */
	HOP_REFUSES,     /* there is no connection, or no way */
};

static void blame(struct worker *worker, const struct relay *relay, enum hop_failure failure)
{
	const struct sockaddr_storage *address = &relay->hops[relay->hop].address;

	switch (failure) {
	case HOP_SILENT:
	case HOP_UNAVAILABLE:
		hops_failed(worker->hops, address, relay->egress.transport);
		break;
	case HOP_REFUSES:
		hops_refused(worker->hops, address, relay->egress.transport);
		break;
	}
}

/* The next hop that can be sent to at all; none: the request fails. */
static void fail_over(struct worker *worker, struct relay *relay, enum hop_failure failure)
{
	bool was_by_size = relay->by_size && relay->egress.transport == TRANSPORT_TCP && relay->state == RELAY_CALLING;

	egress_forget(&relay->wait);
	/* What was too long for UDP goes by UDP all the same where the hop takes no TCP. */
	if (was_by_size && send_to_hop(worker, relay))
		return;
	blame(worker, relay, failure);
	while (!relay->cancel_wanted && relay->hop + 1 < relay->hop_count) {
		relay->hop++;
		relay->by_size = false;
		if (send_to_hop(worker, relay))
			return;
		blame(worker, relay, HOP_REFUSES);
	}
	if (relay->cancel_wanted)
		finish_locally(worker, relay, 487, "Request Terminated");
	else if (failure != HOP_SILENT)
		finish_locally(worker, relay, 503, "Service Unavailable");
	else if (relay->is_invite)
		finish_locally(worker, relay, 408, "Request Timeout");
	else
		end(worker, relay); /* RFC 4320 section 4.2: nobody waits for a 408 any more */
}

void relay_connection_failed(nta_agent_t *agent, void *owner, int error)
{
	struct worker *worker = (struct worker *)nta_agent_magic(agent);
	struct relay *relay = owner;

	if (relay->state == RELAY_CALLING)
		fail_over(worker, relay, HOP_REFUSES);
	else
		egress_forget(&relay->wait);
}

enum relay_begun relay_begin(struct worker *worker, const struct relay_plan *plan)
{
	struct relays *relays = worker->relays;
	struct relay *relay;
	struct span rest;

	if (!make_rest(plan->edit, &rest))
		return RELAY_TOO_LARGE;
	relay = relays->count < relays->capacity ? new_relay(plan, rest) : NULL;
	if (relay == NULL)
		return RELAY_NO_ROOM;
	if (relay->is_invite && relay->kind != RELAY_B2BUA_WITHIN && relay->kind != RELAY_FORWARD)
		relay->merge = merge_of(plan->basics);
	relay->path = plan->path;
	enter(relays, relay);
	arm(relays, relay, monotonic_us() + TRANSACTION_US);
	if (relay->is_invite)
		answer_locally(relay, 100, "Trying");
	if (!send_to_hop(worker, relay))
		fail_over(worker, relay, HOP_REFUSES);
	return RELAY_BEGUN;
}

/* --- Responses --- */

bool relay_owns(struct span branch)
{
	return branch.length > sizeof RELAY_BRANCH - 1 && memcmp(branch.at, RELAY_BRANCH, sizeof RELAY_BRANCH - 1) == 0;
}

/* "z9hG4bKs", the worker, the id, the attempt. */
static struct relay *find_branch(struct worker *worker, struct span branch, unsigned *attempt)
{
	char text[BRANCH_SIZE], *behind;
	char id[17];

	if (branch.length != sizeof RELAY_BRANCH - 1 + 2 + 16 + 1 || !span_copy(text, sizeof text, branch))
		return NULL;
	memcpy(id, text + sizeof RELAY_BRANCH - 1 + 2, 16);
	id[16] = '\0';
	*attempt = (unsigned)strtoul(text + sizeof RELAY_BRANCH - 1 + 2 + 16, NULL, 16);
	if (*attempt == 0)
		*attempt = RELAY_ATTEMPTS;
	return find_id(worker, strtoull(id, &behind, 16));
}

static void acknowledge(struct worker *worker, struct relay *relay, const struct sip_basics *basics)
{
	size_t length;

	if (relay->acknowledgement == NULL && relay->rest != NULL) {
		length = make_follower(worker, relay, "ACK", basics->to);
		relay->acknowledgement = copy_of(made, length);
		relay->acknowledgement_length = length;
	}
	if (relay->acknowledgement == NULL || relay->acknowledgement_length == 0)
		return;
	memcpy(made, relay->acknowledgement, relay->acknowledgement_length);
	send_made(worker, relay, relay->acknowledgement_length, false);
}

static void record_final(struct worker *worker, struct relay *relay, const struct sip_head *response)
{
	if (relay->record == 0)
		return;
	watch_final(worker, relay->record, response, relay->hops[relay->hop].text,
		relay->kind == RELAY_B2BUA && !relay->survives ? "the dialog store did not take the call" : "");
	watch_count(relay->peer, relay->customer, response, relay->hops[relay->hop].text);
	relay->record = 0;
}

static void take_provisional(struct worker *worker, struct relay *relay, const struct sip_head *response,
	const struct sip_basics *basics)
{
	if (relay->state != RELAY_CALLING && relay->state != RELAY_PROCEEDING)
		return;
	relay->state = RELAY_PROCEEDING;
	if (relay->is_invite && !relay->cancel_sent) {
		relay->deadline_us = monotonic_us() + relay->peer->no_answer_s * INT64_C(1000000);
		arm(worker->relays, relay, relay->deadline_us);
	}
	if (relay->cancel_wanted && !relay->cancel_sent)
		send_cancel(worker, relay);
	if (response->status > 100)
		pass_response(worker, relay, response, basics);
}

/* A hop that had been given up has taken the call (RFC 3261 section 16.7 step 10). */
static void go_back(struct worker *worker, struct relay *relay, unsigned attempt)
{
	if (relay->state == RELAY_PROCEEDING)
		send_to_attempt(worker, relay, relay->attempt, "CANCEL", (struct span){ "", 0 });
	turn_to(relay, attempt);
}

static void take_success(struct worker *worker, struct relay *relay, unsigned attempt, const struct sip_head *response,
	const struct sip_basics *basics)
{
	bool open = relay->state == RELAY_CALLING || relay->state == RELAY_PROCEEDING;

	if (!relay->is_invite && relay->state == RELAY_OVER)
		return;
	if (open && attempt != relay->attempt)
		go_back(worker, relay, attempt);
	pass_response(worker, relay, response, basics);
	record_final(worker, relay, response);
	if (!open)
		return;
	if (relay->is_invite) {
		/* RFC 6026 section 7.1: repeats of the INVITE get nothing any more. */
		free(relay->answer);
		relay->answer = NULL;
		relay->taken = (uint8_t)attempt;
	}
	settle(worker, relay, relay->is_invite ? RELAY_ACCEPTED : RELAY_OVER);
}

static void take_failure(struct worker *worker, struct relay *relay, const struct sip_head *response,
	const struct sip_basics *basics)
{
	bool open = relay->state == RELAY_CALLING || relay->state == RELAY_PROCEEDING;

	if (relay->is_invite)
		acknowledge(worker, relay, basics);
	if (!open)
		return;
	if (response->status == 503 && relay->hop + 1 < relay->hop_count && !relay->cancel_wanted) {
		free(relay->acknowledgement);
		relay->acknowledgement = NULL;
		relay->state = RELAY_PROCEEDING;
		fail_over(worker, relay, HOP_UNAVAILABLE);
		return;
	}
	if (response->status == 503)
		hops_failed(worker->hops, &relay->hops[relay->hop].address, relay->egress.transport);
	record_final(worker, relay, response);
	pass_response(worker, relay, response, basics);
	settle(worker, relay, relay->is_invite ? RELAY_FAILED : RELAY_OVER);
}

static bool is_same(struct span one, struct span other)
{
	return one.length == other.length && memcmp(one.at, other.at, one.length) == 0;
}

/* The branch alone is what tells transactions apart (RFC 3261 section 17.1.3), but what answers with another Call-ID, CSeq
 * or caller's tag would have us touch another call. */
static bool answers(const struct relay *relay, const struct sip_basics *basics)
{
	struct span call_id = relay->far_call_id.length > 0 ? relay->far_call_id : sip_line_value(relay->call_id), method;
	uint32_t cseq = 0;

	sip_cseq(sip_line_value(relay->cseq), &cseq, &method);
	return basics->cseq == cseq && is_same(basics->call_id, call_id) &&
		is_same(basics->from_tag, sip_tag(sip_line_value(relay->from))) &&
		(is_same(basics->method, relay->method) || (relay->is_invite && span_is(basics->method, "CANCEL")));
}

/* Whether the attempt is over for us, though not for its hop. */
static bool is_given_up(const struct relay *relay, unsigned attempt)
{
	return attempt != relay->attempt || (relay->state == RELAY_ACCEPTED && attempt != relay->taken) ||
		(relay->state == RELAY_FAILED && relay->ended_here);
}

/* It rings where nobody wants the call any more; or it fails, which is acknowledged all the same (RFC 3261 sections 9.1 and
 * 17.1.1.2). */
static void take_late(struct worker *worker, struct relay *relay, unsigned attempt, const struct sip_head *response,
	const struct sip_basics *basics)
{
	if (!relay->is_invite)
		return;
	if (response->status < 200)
		send_to_attempt(worker, relay, attempt, "CANCEL", (struct span){ "", 0 });
	else
		send_to_attempt(worker, relay, attempt, "ACK", basics->to);
}

void relay_response(struct worker *worker, const struct sip_head *response, const struct sip_basics *basics)
{
	unsigned attempt;
	struct relay *relay = find_branch(worker, basics->via.branch, &attempt);
	bool is_success = response->status >= 200 && response->status < 300;

	if (relay == NULL) {
		transit_drop(worker, "a response to nothing that is in progress");
		return;
	}
	if (!answers(relay, basics)) {
		transit_drop(worker, "a response of another call than its request");
		return;
	}
	if (!is_same(basics->method, relay->method)) {
		relay->cancel_answered = relay->cancel_answered || attempt == relay->attempt;
		return;
	}
	/* A hop that was given up may still take the call. */
	if (is_given_up(relay, attempt) && !is_success) {
		take_late(worker, relay, attempt, response, basics);
		return;
	}
	if (attempt == relay->attempt)
		egress_forget(&relay->wait);
	if (response->status < 200)
		take_provisional(worker, relay, response, basics);
	else if (is_success)
		take_success(worker, relay, attempt, response, basics);
	else
		take_failure(worker, relay, response, basics);
}

/* --- From whoever sent the request --- */

bool relay_repeat(struct worker *worker, const struct call_digest *digest)
{
	struct relay *relay = find_digest(worker, digest);

	if (relay == NULL)
		return false;
	if (relay->answer != NULL)
		reply_path_send(&relay->path, (struct span){ relay->answer, relay->answer_length });
	return true;
}

bool relay_acknowledge(struct worker *worker, const struct call_digest *digest)
{
	struct relay *relay = find_digest(worker, digest);

	if (relay == NULL || !relay->is_invite || relay->state != RELAY_FAILED)
		return false;
	relay->acknowledged = true;
	free(relay->answer);
	relay->answer = NULL;
	arm(worker->relays, relay, relay->deadline_us);
	return true;
}

bool relay_cancel(struct worker *worker, const struct call_digest *digest)
{
	struct relay *relay = find_digest(worker, digest);

	if (relay == NULL || !relay->is_invite)
		return false;
	if (relay->state != RELAY_CALLING && relay->state != RELAY_PROCEEDING)
		return true;
	relay->cancel_wanted = true;
	if (relay->state == RELAY_PROCEEDING && !relay->cancel_sent)
		send_cancel(worker, relay);
	return true;
}

/* --- The end of the process --- */

void relays_stop(struct worker *worker)
{
	struct relays *relays = worker->relays;

	for (size_t i = 0; relays != NULL && i <= relays->mask; i++)
		for (struct relay *relay = relays->by_id[i]; relay != NULL; relay = relay->by_id) {
			bool open = relay->state == RELAY_CALLING || relay->state == RELAY_PROCEEDING;

			if (open && relay->is_invite && relay->state == RELAY_PROCEEDING && !relay->cancel_sent)
				send_cancel(worker, relay);
			if (open)
				finish_locally(worker, relay, 503, "Service Unavailable");
		}
}

/* --- What is due --- */

static int64_t next_repeat(const struct relay *relay, int64_t now)
{
	return now + relay->interval_us < relay->deadline_us ? now + relay->interval_us : relay->deadline_us;
}

static void double_interval(struct relay *relay, bool capped)
{
	relay->interval_us *= 2;
	if (capped && relay->interval_us > T2_US)
		relay->interval_us = T2_US;
}

static void repeat_request(struct worker *worker, struct relay *relay, int64_t now)
{
	if (relay->egress.transport != TRANSPORT_UDP) {
		arm(worker->relays, relay, relay->deadline_us);
		return;
	}
	send_made(worker, relay, make_request(worker, relay), false);
	/* RFC 3261 section 17.1.2.2. */
	if (relay->state == RELAY_PROCEEDING)
		relay->interval_us = T2_US;
	else
		double_interval(relay, !relay->is_invite);
	arm(worker->relays, relay, next_repeat(relay, now));
}

static void repeat_cancel(struct worker *worker, struct relay *relay, int64_t now)
{
	if (!relay->cancel_answered && relay->egress.transport == TRANSPORT_UDP) {
		send_made(worker, relay, make_follower(worker, relay, "CANCEL", (struct span){ "", 0 }), false);
		double_interval(relay, true);
		arm(worker->relays, relay, next_repeat(relay, now));
	} else {
		arm(worker->relays, relay, relay->deadline_us);
	}
}

/* Timer C: it rang for long enough; then the next hop's answer to the CANCEL is awaited (RFC 3261 section 16.8). */
static void is_not_answered(struct worker *worker, struct relay *relay)
{
	if (!relay->cancel_sent) {
		relay->cancel_wanted = true;
		relay->rang_out = true;
		send_cancel(worker, relay);
	} else if (relay->rang_out) {
		finish_locally(worker, relay, 408, "Request Timeout");
	} else {
		finish_locally(worker, relay, 487, "Request Terminated");
	}
}

static void be_due(struct worker *worker, struct relay *relay, int64_t now)
{
	switch (relay->state) {
	case RELAY_CALLING:
		if (now >= relay->deadline_us)
			fail_over(worker, relay, HOP_SILENT);
		else
			repeat_request(worker, relay, now);
		break;
	case RELAY_PROCEEDING:
		if (now >= relay->deadline_us && relay->is_invite)
			is_not_answered(worker, relay);
		else if (now >= relay->deadline_us)
			end(worker, relay);
		else if (relay->is_invite)
			repeat_cancel(worker, relay, now);
		else
			repeat_request(worker, relay, now);
		break;
	case RELAY_FAILED:
		if (now >= relay->deadline_us) {
			end(worker, relay);
		} else {
			if (relay->answer != NULL)
				reply_path_send(&relay->path, (struct span){ relay->answer, relay->answer_length });
			double_interval(relay, true);
			arm(worker->relays, relay, next_repeat(relay, now));
		}
		break;
	case RELAY_ACCEPTED:
	case RELAY_OVER:
		end(worker, relay);
		break;
	}
}

void relays_tick(struct worker *worker)
{
	struct relays *relays = worker->relays;
	int64_t now = monotonic_us(), until = now / SLOT_US;

	if (until - relays->ticked > SLOTS)
		relays->ticked = until - SLOTS;
	while (relays->ticked < until) {
		struct relay *list, *relay;

		relays->ticked++;
		list = relays->slots[relays->ticked % SLOTS];
		relays->slots[relays->ticked % SLOTS] = NULL;
		if (list != NULL)
			list->link = &list;
		while ((relay = list) != NULL) {
			disarm(relay);
			if (relay->due_us <= now)
				be_due(worker, relay, now);
			else
				arm(relays, relay, relay->due_us);
		}
	}
}
