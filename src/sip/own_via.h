/* own_via.h: our Via on what is sent on, and on what comes back: its branch, its seal (seal.h), and what travels beside them:
 * "p" signatures for Reason, "o" the mark of our own token, "f" the caller's From. */
#ifndef STIRRUP_OWN_VIA_H
#define STIRRUP_OWN_VIA_H

#include "stirrup/egress.h"
#include "stirrup/seal.h"
#include "stirrup/sip_edit.h"
#include "worker_state.h"

/* The value of a Via of ours. seal NULL: none. */
void own_via_put(struct writer *writer, const struct generation *generation, const struct egress *egress, const char *branch,
	const char *seal);

#define OWN_BRANCHES_MAX 2
/* The branches that a request leaves with, the most likely one last: of a CANCEL or an ACK those that its INVITE can have had,
 * under the previous secret, too. Returns their number. */
size_t own_via_branches(const struct worker *worker, const struct seal_request *sealed, struct span method,
	char branches[OWN_BRANCHES_MAX][SEAL_BRANCH_SIZE]);

/* Our Via goes on top of a request that is forwarded without state: its branch, and the seal with what its responses have to
 * bring back. stamps NULL, identity empty: none. */
void own_via_add(struct sip_edit *edit, const struct worker *worker, const struct generation *generation,
	const struct egress *egress, const struct seal_request *sealed, const struct seal_via *fields,
	const struct stamps *stamps, struct span identity, const char *branch);

/* A text of ours for the way back, as a parameter that nothing has to be escaped in: name is ";x=". One that is too long does
 * not travel. */
void own_via_put_text(struct writer *writer, const char *name, struct span text);

/* RFC 5393 section 4.2: whether a Via that the request brings along is ours for this very request. */
bool own_via_is_loop(struct worker *worker, const struct sip_head *request, const struct seal_request *sealed);

struct span own_via_param(const struct via *via, const char *name);
/* The mark of our own token, which watch_edit() looks for; 0: none. */
uint32_t own_via_mark(const struct via *via);
/* The id of the call's record: the same in all responses to a request, and in what any node of this installation makes of it. */
uint64_t own_via_record(struct span branch);
/* The caller's From as it travelled with the call. No seal covers it, so nobody may make another call of this one by it: its
 * tag has to be this. */
bool own_via_read_from(char *out, size_t size, struct span encoded, struct span tag);

/* The Via below ours. */
bool own_via_next(const struct sip_head *response, struct via *via);
/* Where it leads to (RFC 3261 section 18.2.2, RFC 3581 section 4). What the seal covers is what we wrote ourselves. */
bool own_via_address(const struct via *via, struct sockaddr_storage *address);

#endif
