/* call_digest.h: the keyed digest of a SIP transaction. From the installation's secret and the request alone, so every
 * worker and every node computes the same To tag and the same origid for the same INVITE, its CANCEL and its ACK. */
#ifndef STIRRUP_CALL_DIGEST_H
#define STIRRUP_CALL_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "stirrup/child.h"
#include "stirrup/passport.h"
#include "stirrup/span.h"

#define CALL_DIGEST_BYTES 32
#define CALL_TAG_SIZE 17

struct call_digest {
	uint8_t bytes[CALL_DIGEST_BYTES];
};

/* What tells transactions apart (RFC 3261 section 17.2.3), and the peer, so that none can ask for another's answer. */
struct call_digest_input {
	struct span peer;
	struct span request_uri;
	struct span call_id;
	struct span from_tag;
	struct span via_host;    /* the topmost Via's sent-by */
	struct span via_port;
	struct span branch;
	uint32_t cseq;
};

struct call_digester;
struct call_digester *call_digester_new(const uint8_t secret[CHILD_SECRET_BYTES]);
void call_digester_free(struct call_digester *digester); /* NULL is fine */

bool call_digest(struct call_digester *digester, const struct call_digest_input *input, struct call_digest *out);

/* Two disjoint parts of it in the forms in which they go out; neither gives away the rest. */
void call_digest_tag(const struct call_digest *digest, char tag[CALL_TAG_SIZE]);
void call_digest_origid(const struct call_digest *digest, char origid[ORIGID_SIZE]);

#endif
