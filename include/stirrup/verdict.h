/* verdict.h: why a call was signed or not, why a token is believed or not: one enum, one translation for each
 * language. */
#ifndef STIRRUP_VERDICT_H
#define STIRRUP_VERDICT_H

#include <stdbool.h>

/* --- Signing: VERDICT_SIGNED is the good one; all others leave the call without an Identity of ours. --- */
enum verdict {
	VERDICT_SIGNED,
	/* what the configuration says */
	VERDICT_NOT_ENABLED,           /* no credential signs for this peer */
	VERDICT_POLICY,                /* the level is "unsigned" or "reject" */
	/* what the request says; the numbers count for verification, too */
	VERDICT_ALREADY_SIGNED,        /* carries a "shaken" Identity */
	VERDICT_ANONYMOUS,             /* no number: anonymous From and no usable P-Asserted-Identity */
	VERDICT_NUMBER_FORMAT,         /* the calling or called number has no canonical form (RFC 8224 8.3) */
	VERDICT_STALE_DATE,            /* RFC 8224 4.1 */
	VERDICT_NO_CONTACT,            /* every Contact would equal the Request-URI or us (RFC 3261 8.3) */
	VERDICT_CANCELLED,             /* the caller gave up while the call waited */
	VERDICT_MALFORMED_REQUEST,     /* it cannot be sent on as it is */
	VERDICT_TOO_LARGE,             /* with what is added to it, it fits into no message */
	VERDICT_LOOP,                  /* it came back to us (RFC 5393), or Max-Forwards is used up */
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
	VERDICT_NO_NEXT_HOP,           /* none of them has an address, or a listener to send from */
	VERDICT_RELAY_BUSY,            /* no place among the requests in progress */

	/* --- Verification: VERDICT_PASSED is the good one. --- */
	VERDICT_PASSED,
	VERDICT_PENDING,               /* not decided yet: the facts of the certificate are missing */
	/* what the Identity header fields say (RFC 8224 section 4) */
	VERDICT_NO_IDENTITY,
	VERDICT_UNSUPPORTED_PPT,       /* ignored, not failed (RFC 8224 6.2); compact form without ppt, too */
	VERDICT_TOO_MANY_IDENTITIES,   /* those beyond the cap are not looked at */
	VERDICT_MALFORMED_IDENTITY,
	VERDICT_NO_INFO,
	VERDICT_BAD_INFO_URI,          /* not a URI that is fetched (ATIS-1000074 section 5.3.1) */
	/* what the token says (RFC 8225, RFC 8588) */
	VERDICT_COMPACT_FORM,          /* forbidden for "shaken" */
	VERDICT_MALFORMED_PASSPORT,    /* not three parts, not base64url, not JSON, too long */
	VERDICT_MISSING_HEADER_MEMBER, /* alg, ppt, typ or x5u */
	VERDICT_INFO_MISMATCH,         /* x5u is not the info URI */
	VERDICT_BAD_TYP,
	VERDICT_BAD_ALG,               /* of the token or of the header field */
	VERDICT_BAD_PPT,               /* of the token, where the header field says another */
	VERDICT_CRITICAL_EXTENSION,    /* "crit" (RFC 7515 section 4.1.11) */
	VERDICT_MISSING_CLAIM,
	VERDICT_BAD_CLAIM,             /* there, but not as it must be: an iat in quotes, an empty dest */
	VERDICT_BAD_ATTEST,
	/* what the token says of another call than this one */
	VERDICT_STALE_IAT,
	VERDICT_ORIG_MISMATCH,
	VERDICT_DEST_MISMATCH,
	/* what the certificate says */
	VERDICT_CERTIFICATE_UNREACHABLE,
	VERDICT_CERTIFICATE_MALFORMED,
	VERDICT_CERTIFICATE_UNTRUSTED,
	VERDICT_CERTIFICATE_REVOKED,
	VERDICT_CERTIFICATE_OUTSIDE_VALIDITY,
	VERDICT_CERTIFICATE_NOT_P256,
	VERDICT_BAD_TN_AUTH_LIST,
	VERDICT_TN_NOT_COVERED,        /* its TNAuthList has numbers, and not the calling one */
	VERDICT_CLAIM_CONSTRAINTS,     /* RFC 8226 section 8, RFC 9118 */
	VERDICT_PROFILE_VIOLATION,     /* ATIS-1000080, with strict_profile */
	VERDICT_BAD_SIGNATURE,
	VERDICT_REPLAYED,              /* the same token was seen for another call */
	/* what went wrong here */
	VERDICT_FETCHER_TIMEOUT,       /* no facts of the certificate within the call's deadline */
	VERDICT_FETCHER_BUSY,          /* no place among those that wait for it */
};
#define VERDICT_COUNT (VERDICT_FETCHER_BUSY + 1)

/* The cause classes that an operator looks for first when a call has no Identity, or when its token is not
 * believed. */
enum verdict_cause {
	CAUSE_NONE,
	CAUSE_NOT_ENABLED,
	CAUSE_POLICY,
	CAUSE_SIGNALLING,
	CAUSE_CERTIFICATE,
	CAUSE_FAULT,
	CAUSE_TOKEN, /* the received Identity or its PASSporT is wrong by itself */
};

/* The documented word in records and logs: "stale_date". Static. */
const char *verdict_word(enum verdict verdict);
enum verdict_cause verdict_cause(enum verdict verdict);
/* "none", "not_enabled", "policy", "signalling", "certificate", "fault", "token". Static. */
const char *verdict_cause_word(enum verdict_cause cause);

struct sip_status {
	unsigned code;
	const char *phrase; /* static */
};

/* What a call gets that is refused for it: RFC 8224 section 6.2.2, and as ATIS-1000082 has it where the RFC leaves
 * a choice. */
struct sip_status verdict_sip_status(enum verdict verdict);

/* RFC 8224's phrase of one of its statuses (403, 428, 436, 437, 438), and RFC 3261's of 503 and 603. NULL for
 * others. */
const char *verdict_reject_phrase(unsigned status);

/* Whether a token was judged and found wanting: such a one is reported in a Reason header field (RFC 9410), and is
 * Failed where all failures are. False where there was no token to judge, or no way to judge it. */
bool verdict_refuses_token(enum verdict verdict);

/* TN-Validation-Failed by ATIS-1000082: only a chain that is not trusted, revoked ones too, and a bad signature; all
 * else that does not pass is No-TN-Validation. */
bool verdict_is_failed(enum verdict verdict);

/* What a verified call is worth: verstat's three values. */
enum verify_result { VERIFY_PASSED, VERIFY_FAILED, VERIFY_NO_VALIDATION };
const char *verify_result_word(enum verify_result result); /* "passed", "failed", "no_validation". Static. */

#endif
