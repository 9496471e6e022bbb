/* signer.h: the process that holds the private keys, and the messages it understands. It has no network. */
#ifndef STIRRUP_SIGNER_H
#define STIRRUP_SIGNER_H

#include <stdint.h>

#include "stirrup/identity_header.h"
#include "stirrup/passport.h"
#include "stirrup/tn.h"
#include "stirrup/verdict.h"

/* From a worker. The signer decides again by attestation_decide() and refuses what that does not allow; iat and x5u
 * are its own. */
struct sign_request {
	uint64_t id;             /* comes back with the reply */
	int64_t deadline_us;     /* monotonic; later nobody waits for the reply and none is made */
	uint32_t generation;     /* of the configuration that the indices refer to */
	uint32_t peer;           /* index into config->peers */
	int32_t credential;      /* what the worker decided */
	char attest;
	struct tn orig;
	struct tn dest_tn;
	char dest_uri[64];
	char origid[ORIGID_SIZE];
};

struct sign_reply {
	uint64_t id;
	int64_t iat;             /* seconds since 1970: the Date of the answer */
	enum verdict verdict;    /* VERDICT_SIGNED: identity is the header field's value */
	uint32_t identity_length;
	char identity[IDENTITY_HEADER_MAX];   /* only identity_length octets of it are sent */
};

/* The body of the signer process: control is its channel to the supervisor (see child.h). Returns the exit status. */
int signer_main(int control);

/* For "stirrupd -t": loads every credential of the configuration in a child of its own and adds what fails to the
 * report. */
struct config;
struct config_report;
void signer_check_credentials(const struct config *config, struct config_report *report);

#endif
