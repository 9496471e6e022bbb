#include "relay_state.h"

#include "outgoing.h"
#include "stirrup/clock.h"
#include "stirrup/log.h"
#include "watch.h"

static struct sip_edit edit;
static char made[MESSAGE_BYTES_MAX];

void relay_end(struct worker *worker, struct relay *relay)
{
	relay_disarm(relay);
	relays_leave(worker->relays, relay);
	relay_free(relay);
}

void relay_end_unanswered(struct worker *worker, struct relay *relay)
{
	b2bua_unanswered(worker, relay);
	relay_end(worker, relay);
}

void relay_answer(struct relay *relay, unsigned status, const char *phrase)
{
	struct writer writer = writer_on(made, sizeof made);

	if (relay->kind == RELAY_FAREWELL)
		return;
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
	relay_keep_answer(relay, (struct span){ made, writer_length(&writer) });
	reply_path_send(&relay->path, (struct span){ made, writer_length(&writer) });
}

bool relay_is_unreliable(const struct relay *relay)
{
	return relay->path.connection == NULL;
}

void relay_settle(struct worker *worker, struct relay *relay, enum relay_state state)
{
	int64_t now = monotonic_us();

	relay_forget_request(relay);
	relay->state = state;
	relay_weigh(worker->relays, relay);
	relay->deadline_us = now + (state == RELAY_OVER ? LINGER_US : TRANSACTION_US);
	relay->interval_us = T1_US;
	relay_arm(worker->relays, relay,
		state == RELAY_FAILED && relay_is_unreliable(relay) ? now + T1_US : relay->deadline_us);
}

void relay_finish(struct worker *worker, struct relay *relay, unsigned status, const char *phrase)
{
	relay_answer(relay, status, phrase);
	if (relay->record != 0)
		call_record_final(worker, relay->record, status, NULL, (struct span){ "", 0 });
	relay->record = 0;
	relay->ended_here = true;
	relay_settle(worker, relay, relay->is_invite ? RELAY_FAILED : RELAY_OVER);
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
	case RELAY_FAREWELL:
		break;
	}
	if (response->status > 100 && !relay->reasons_sent && relay->reasons.length > 0) {
		sip_edit_append_lines(&edit, relay->reasons);
		relay->reasons_sent = true;
	}
}

bool relay_make_response(struct worker *worker, struct relay *relay, const struct sip_head *response,
	const struct sip_basics *basics, struct span *message)
{
	if (relay->kind == RELAY_FAREWELL)
		return true;
	edit_response(worker, relay, response, basics);
	if (sip_edit_write(&edit, made, sizeof made, message) && !(relay_is_unreliable(relay) && message->length > DATAGRAM_BYTES_MAX))
		return true;
	log_warning("a response of status %u does not fit into a message", response->status);
	return false;
}

void relay_pass_response(struct worker *worker, struct relay *relay, unsigned status, struct span message)
{
	if (relay->kind == RELAY_FAREWELL)
		return;
	if (!relay->is_invite || status < 200 || status >= 300) {
		relay_keep_answer(relay, message);
		relay_weigh(worker->relays, relay);
	}
	reply_path_send(&relay->path, message);
}
