/* stamp.h: what the verification of a call writes into it: verstat on the numbers, the attestation, a Reason for each
 * Identity that failed; and what a peer claimed of all that and is not believed. */
#ifndef STIRRUP_STAMP_H
#define STIRRUP_STAMP_H

#include "stirrup/call.h"
#include "stirrup/verify.h"

#define STAMP_TEXT_BYTES 65536
/* Of all P-Asserted-Identity together, so that an answer has room for the rest of its lines. */
#define STAMP_ASSERTED_MAX 16384

struct extra_header {
	const char *name;
	struct span value;
};

struct stamps {
	/* P-Asserted-Identity. By redirect: all that the answer has. Else one for each that the request has, in its place;
	 * an empty one goes. */
	struct span asserted[CALL_PAI_MAX + 1];
	size_t asserted_count;
	bool left_out;                     /* a P-Asserted-Identity was too long to be repeated */
	struct span from;                  /* of the INVITE that goes on; empty: as it came */
	uint8_t flags;                     /* seal.h: what was done to From */
	struct span from_received;         /* where that cannot be undone by the flags: as it came; empty: it can */
	bool drops_claimed;                /* Attestation-Info, Origination-Id and their like do not go on */
	struct extra_header added[4];
	size_t added_count;
	struct span reasons[VERIFY_IDENTITIES_MAX + 1]; /* towards the caller */
	size_t reason_count;
	uint8_t verdicts[VERIFY_IDENTITIES_MAX + 1];    /* enum verdict, of each of them */
	struct span signatures[VERIFY_IDENTITIES_MAX + 1]; /* of their tokens, as received; empty: none that can be repeated */
	char text[STAMP_TEXT_BYTES];       /* which all the above borrow */
	size_t used;
};

/* How a verified call came out. */
struct judgement {
	enum verify_result result;
	enum verdict reason;
	int index;                              /* of the identity that decided; -1: none */
	const struct verify_identity *deciding; /* NULL: none */
};

void stamp_begin(struct stamps *stamps);
/* verstat, Reason and attestation of a verified call, by its peer's settings. */
void stamp_verified(struct stamps *stamps, const struct call *call, const struct judgement *judgement);
/* A call that goes on without verification: what its peer claims goes away. */
void stamp_unverified(struct stamps *stamps, const struct call *call);
/* "Name: value" of a treatment; NULL: nothing. */
void stamp_extra(struct stamps *stamps, const char *header);

#define REMOVED_MAX (CLAIMED_MAX + 2)
/* For the record: the names (static) of what a peer that is not trusted claims, of what was too long to go on, and verstat
 * of a Request-URI, where nobody's has a place. Returns how many. stamps is NULL where there are none. */
size_t stamp_removed(const struct call *call, const struct stamps *stamps, const char *names[REMOVED_MAX]);

#endif
