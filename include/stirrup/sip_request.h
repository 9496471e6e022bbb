/* sip_request.h: what an INVITE says that we decide by. Pure. */
#ifndef STIRRUP_SIP_REQUEST_H
#define STIRRUP_SIP_REQUEST_H

#include "stirrup/call_numbers.h"
#include "stirrup/sip_head.h"

#define CLAIMED_MAX 8

struct sip_request {
	struct call_facts facts;
	/* Results of somebody's verification or attestation that the request claims: Attestation-Info, Origination-Id and
	 * their older spellings (static names). verstat is in the facts' URIs. */
	const char *claimed[CLAIMED_MAX];
	size_t claimed_count;
};

/* Borrows from the bytes of the head. */
void sip_request_read(struct sip_request *request, const struct sip_head *head);

#endif
