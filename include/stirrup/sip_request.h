/* sip_request.h: what we need of a request that Sofia-SIP has parsed, as spans into the received bytes. */
#ifndef STIRRUP_SIP_REQUEST_H
#define STIRRUP_SIP_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <sofia-sip/msg.h>
#include <sofia-sip/sip.h>

#include "stirrup/sign.h"
#include "stirrup/span.h"

#define CLAIMED_MAX 8

struct sip_request {
	struct call_facts facts;
	struct span call_id;
	struct span from_tag;
	struct span to_tag;       /* empty: none */
	struct span via_host;     /* the topmost Via's sent-by */
	struct span via_port;     /* empty: none */
	struct span via_branch;   /* empty: none */
	bool via_rport;           /* RFC 3581: answer to the port that it came from */
	uint32_t cseq;
	/* Results of somebody's verification or attestation that the request claims: Attestation-Info, Origination-Id and
	 * their older spellings (static names). verstat is in the facts' URIs. */
	const char *claimed[CLAIMED_MAX];
	size_t claimed_count;
};

/* False when a header that every answer needs is missing. The spans live as long as the message. */
bool sip_request_read(struct sip_request *request, const sip_t *sip);

/* The value of a header field as received, without its name and the white space around it. */
struct span sip_header_value(const void *header);

/* The message as received, but for a topmost Via that was told where it came from. Returns its length; 0 when it does not fit. */
size_t sip_message_bytes(char *out, size_t size, msg_t *message);

/* Makes a message of its bytes as Sofia's transports do. (msg_make() would do it in one call, but aborts where a header
 * that may stand once stands twice.) Broken ones, too: see their flags. The caller owns it; NULL when memory is out. */
msg_t *sip_message_parse(struct span bytes);

/* The same of what is to be sent by a connection. NULL also when Sofia would send less than all of it: on a stream the next
 * message would be taken for the rest. */
msg_t *sip_message_to_send(struct span bytes);

#endif
