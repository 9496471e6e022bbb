/* made-dialog.h: calls as they typically are in a dialog store, one for each number. */
#ifndef STIRRUP_TESTS_MADE_DIALOG_H
#define STIRRUP_TESTS_MADE_DIALOG_H

#include <inttypes.h>
#include <stdio.h>

#include "stirrup/dialog_store.h"

#define MADE_TEXT 160

/* Two user agents behind one Kamailio each. */
struct made_dialog {
	struct dialog dialog;
	struct dialog_key caller_key, callee_key;
	char text[10][MADE_TEXT];
};

static inline struct span made_text(struct made_dialog *made, int n)
{
	return span_of(made->text[n]);
}

static inline void make_dialog(struct made_dialog *made, unsigned n, bool new_call_id)
{
	uint32_t a = n * UINT32_C(2654435761), b = a ^ UINT32_C(0x5bd1e995);
	struct dialog *dialog = &made->dialog;

	*made = (struct made_dialog){ 0 };
	snprintf(made->text[0], MADE_TEXT, "%08" PRIx32 "-4d1c-11ef-9e2a-%08" PRIx32 "%04u", a, b, n % 10000);
	if (new_call_id)
		snprintf(made->text[1], MADE_TEXT, "s%08" PRIx32 "%08" PRIx32 "%08x", b, a, n);
	else
		memcpy(made->text[1], made->text[0], MADE_TEXT);
	snprintf(made->text[2], MADE_TEXT, "as%08" PRIx32 "%04x", b, n & 0xffff);
	snprintf(made->text[3], MADE_TEXT, "%08" PRIx32 "-%04x-%08" PRIx32, a, n & 0xffff, b);
	snprintf(made->text[4], MADE_TEXT, "sip:+1215%07u@192.0.2.%u:5060;transport=udp", n % 10000000,
		n % 250 + 1);
	snprintf(made->text[5], MADE_TEXT, "sip:+1303%07u@198.51.100.%u:5060", n % 10000000, n % 250 + 1);
	snprintf(made->text[6], MADE_TEXT, "sip:+1303%07u@203.0.113.80:5060", n % 10000000);
	snprintf(made->text[7], MADE_TEXT, "sip:+1215%07u@203.0.113.80:5060", n % 10000000);
	snprintf(made->text[8], MADE_TEXT, "<sip:192.0.2.1;lr;ftag=as%08" PRIx32 "%04x;did=%03x.%04x>", b,
		n & 0xffff, n & 0xfff, n >> 8 & 0xffff);
	snprintf(made->text[9], MADE_TEXT, "<sip:198.51.100.1;lr;ftag=as%08" PRIx32 "%04x>", b, n & 0xffff);
	dialog->caller = (struct dialog_side){ .call_id = made_text(made, 0),
		.tag = made_text(made, 2),
		.target = made_text(made, 4),
		.name = made_text(made, 6),
		.routes = made_text(made, 8),
		.listener = 7 };
	dialog->callee = (struct dialog_side){ .call_id = made_text(made, 1),
		.tag = made_text(made, 3),
		.target = made_text(made, 5),
		.name = made_text(made, 7),
		.routes = made_text(made, 9),
		.listener = 9 };
	dialog->peer = (uint16_t)(n + 1);
	dialog->customer = (uint16_t)(n + 2);
	dialog->flags = (uint8_t)n;
	dialog->confirmed = n % 2 == 1;
	dialog->began = 1000 + n;
	dialog->expires = 5000 + n;
	dialog_key(&made->caller_key, dialog->caller.call_id, dialog->callee.tag, dialog->caller.tag);
	if (dialog->caller.call_id.length == dialog->callee.call_id.length &&
		memcmp(dialog->caller.call_id.at, dialog->callee.call_id.at, dialog->caller.call_id.length) == 0)
		made->callee_key = made->caller_key;
	else
		dialog_key_of_callee(&made->callee_key, dialog->callee.call_id, dialog->caller.tag, dialog->callee.tag);
}

#endif
