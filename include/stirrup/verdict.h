/* verdict.h: why a call was not signed (or was turned away): one enum, one translation for each language. */
#ifndef STIRRUP_VERDICT_H
#define STIRRUP_VERDICT_H

/* VERDICT_SIGNED is the good one; all others leave the call without an Identity of ours. */
enum verdict {
	VERDICT_SIGNED,
	/* what the configuration says */
	VERDICT_NOT_ENABLED,           /* no credential signs for this peer */
	VERDICT_POLICY,                /* the level is "unsigned" or "reject" */
	VERDICT_NOT_BUILT,             /* the peer's service or mode is not in this version */
	/* what the request says */
	VERDICT_ALREADY_SIGNED,        /* carries a "shaken" Identity */
	VERDICT_ANONYMOUS,             /* no number: anonymous From and no usable P-Asserted-Identity */
	VERDICT_NUMBER_FORMAT,         /* the calling or called number has no canonical form (RFC 8224 8.3) */
	VERDICT_STALE_DATE,            /* RFC 8224 4.1 */
	VERDICT_NO_CONTACT,            /* every Contact would equal the Request-URI or us (RFC 3261 8.3) */
	VERDICT_CANCELLED,             /* the caller gave up while the call waited */
	/* what the credential says */
	VERDICT_CREDENTIAL_REFUSED,    /* failed its checks at load */
	VERDICT_CERTIFICATE_EXPIRED,
	VERDICT_CERTIFICATE_NOT_YET_VALID,
	VERDICT_SELF_CHECK_FAILED,     /* our own signature did not verify: the credential is stopped */
	/* what went wrong here */
	VERDICT_SIGNER_REFUSED,        /* the signer's own policy check disagrees with the worker's */
	VERDICT_SIGNER_FAILED,         /* the signature could not be made */
	VERDICT_SIGNER_TIMEOUT,        /* no answer within signer.deadline */
	VERDICT_SIGNER_BUSY,           /* no place among the waiting calls */
};
#define VERDICT_COUNT (VERDICT_SIGNER_BUSY + 1)

/* The cause classes that an operator looks for first when a call has no Identity. */
enum verdict_cause { CAUSE_NONE, CAUSE_NOT_ENABLED, CAUSE_POLICY, CAUSE_SIGNALLING, CAUSE_CERTIFICATE, CAUSE_FAULT };

/* The documented word in records and logs: "stale_date". Static. */
const char *verdict_word(enum verdict verdict);
enum verdict_cause verdict_cause(enum verdict verdict);
/* "none", "not_enabled", "policy", "signalling", "certificate", "fault". Static. */
const char *verdict_cause_word(enum verdict_cause cause);

#endif
