/* sip_message.h: Sofia-SIP's own form of a message, for what comes and goes by its connections. */
#ifndef STIRRUP_SIP_MESSAGE_H
#define STIRRUP_SIP_MESSAGE_H

#include <stddef.h>

#include <sofia-sip/msg.h>

#include "stirrup/span.h"

/* Which header fields must not be malformed for nta to pass the message on. For all of them that is for our own reader to say, but
 * in a response, nta takes 0 for all: it has those that every message needs. */
extern const unsigned sip_message_request_mask, sip_message_response_mask;

/* The message as received, but for a topmost Via that was told where it came from. Returns its length; 0 when it does not fit. */
size_t sip_message_bytes(char *out, size_t size, msg_t *message);

/* Makes a message of its bytes as Sofia's transports do. (msg_make() would do it in one call, but aborts where a header
 * that may stand once stands twice.) Broken ones, too: see their flags. The caller owns it; NULL when memory is out. */
msg_t *sip_message_parse(struct span bytes);

/* The same of what is to be sent by a connection. NULL also when Sofia would send less than all of it: on a stream the next
 * message would be taken for the rest. */
msg_t *sip_message_to_send(struct span bytes);

#endif
