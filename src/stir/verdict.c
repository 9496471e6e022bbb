#include "stirrup/verdict.h"

#include <stddef.h>

/* No default in these switches: -Wswitch then names the value that somebody forgot. */

const char *verdict_word(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_SIGNED:
		return "signed";
	case VERDICT_NOT_ENABLED:
		return "not_enabled";
	case VERDICT_POLICY:
		return "policy";
	case VERDICT_ALREADY_SIGNED:
		return "already_signed";
	case VERDICT_ANONYMOUS:
		return "anonymous";
	case VERDICT_NUMBER_FORMAT:
		return "number_format";
	case VERDICT_STALE_DATE:
		return "stale_date";
	case VERDICT_NO_CONTACT:
		return "no_contact";
	case VERDICT_CANCELLED:
		return "cancelled";
	case VERDICT_MALFORMED_REQUEST:
		return "malformed_request";
	case VERDICT_TOO_LARGE:
		return "too_large";
	case VERDICT_LOOP:
		return "loop";
	case VERDICT_CREDENTIAL_REFUSED:
		return "credential_refused";
	case VERDICT_CERTIFICATE_EXPIRED:
		return "certificate_expired";
	case VERDICT_CERTIFICATE_NOT_YET_VALID:
		return "certificate_not_yet_valid";
	case VERDICT_SELF_CHECK_FAILED:
		return "self_check_failed";
	case VERDICT_SIGNER_REFUSED:
		return "signer_refused";
	case VERDICT_SIGNER_FAILED:
		return "signer_failed";
	case VERDICT_SIGNER_TIMEOUT:
		return "signer_timeout";
	case VERDICT_SIGNER_BUSY:
		return "signer_busy";
	case VERDICT_NO_NEXT_HOP:
		return "no_next_hop";
	case VERDICT_RELAY_BUSY:
		return "relay_busy";
	case VERDICT_PASSED:
		return "passed";
	case VERDICT_PENDING:
		return "pending";
	case VERDICT_NO_IDENTITY:
		return "no_identity";
	case VERDICT_UNSUPPORTED_PPT:
		return "unsupported_ppt";
	case VERDICT_TOO_MANY_IDENTITIES:
		return "too_many_identities";
	case VERDICT_MALFORMED_IDENTITY:
		return "malformed_identity";
	case VERDICT_NO_INFO:
		return "no_info";
	case VERDICT_BAD_INFO_URI:
		return "bad_info_uri";
	case VERDICT_COMPACT_FORM:
		return "compact_form";
	case VERDICT_MALFORMED_PASSPORT:
		return "malformed_passport";
	case VERDICT_MISSING_HEADER_MEMBER:
		return "missing_header_member";
	case VERDICT_INFO_MISMATCH:
		return "info_mismatch";
	case VERDICT_BAD_TYP:
		return "bad_typ";
	case VERDICT_BAD_ALG:
		return "bad_alg";
	case VERDICT_BAD_PPT:
		return "bad_ppt";
	case VERDICT_CRITICAL_EXTENSION:
		return "critical_extension";
	case VERDICT_MISSING_CLAIM:
		return "missing_claim";
	case VERDICT_BAD_CLAIM:
		return "bad_claim";
	case VERDICT_BAD_ATTEST:
		return "bad_attest";
	case VERDICT_STALE_IAT:
		return "stale_iat";
	case VERDICT_ORIG_MISMATCH:
		return "orig_mismatch";
	case VERDICT_DEST_MISMATCH:
		return "dest_mismatch";
	case VERDICT_CERTIFICATE_UNREACHABLE:
		return "certificate_unreachable";
	case VERDICT_CERTIFICATE_MALFORMED:
		return "certificate_malformed";
	case VERDICT_CERTIFICATE_UNTRUSTED:
		return "certificate_untrusted";
	case VERDICT_CERTIFICATE_REVOKED:
		return "certificate_revoked";
	case VERDICT_CERTIFICATE_OUTSIDE_VALIDITY:
		return "certificate_outside_validity";
	case VERDICT_CERTIFICATE_NOT_P256:
		return "certificate_not_p256";
	case VERDICT_BAD_TN_AUTH_LIST:
		return "bad_tn_auth_list";
	case VERDICT_TN_NOT_COVERED:
		return "tn_not_covered";
	case VERDICT_CLAIM_CONSTRAINTS:
		return "claim_constraints";
	case VERDICT_PROFILE_VIOLATION:
		return "profile_violation";
	case VERDICT_BAD_SIGNATURE:
		return "bad_signature";
	case VERDICT_REPLAYED:
		return "replayed";
	case VERDICT_FETCHER_TIMEOUT:
		return "fetcher_timeout";
	case VERDICT_FETCHER_BUSY:
		return "fetcher_busy";
	}
	return "unknown";
}

enum verdict_cause verdict_cause(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_SIGNED:
	case VERDICT_PASSED:
	case VERDICT_PENDING:
		return CAUSE_NONE;
	case VERDICT_NOT_ENABLED:
		return CAUSE_NOT_ENABLED;
	case VERDICT_POLICY:
		return CAUSE_POLICY;
	case VERDICT_ALREADY_SIGNED:
	case VERDICT_ANONYMOUS:
	case VERDICT_NUMBER_FORMAT:
	case VERDICT_STALE_DATE:
	case VERDICT_NO_CONTACT:
	case VERDICT_CANCELLED:
	case VERDICT_MALFORMED_REQUEST:
	case VERDICT_TOO_LARGE:
	case VERDICT_LOOP:
	case VERDICT_NO_IDENTITY:
	case VERDICT_STALE_IAT:
	case VERDICT_ORIG_MISMATCH:
	case VERDICT_DEST_MISMATCH:
		return CAUSE_SIGNALLING;
	case VERDICT_CREDENTIAL_REFUSED:
	case VERDICT_CERTIFICATE_EXPIRED:
	case VERDICT_CERTIFICATE_NOT_YET_VALID:
	case VERDICT_SELF_CHECK_FAILED:
	case VERDICT_CERTIFICATE_UNREACHABLE:
	case VERDICT_CERTIFICATE_MALFORMED:
	case VERDICT_CERTIFICATE_UNTRUSTED:
	case VERDICT_CERTIFICATE_REVOKED:
	case VERDICT_CERTIFICATE_OUTSIDE_VALIDITY:
	case VERDICT_CERTIFICATE_NOT_P256:
	case VERDICT_BAD_TN_AUTH_LIST:
	case VERDICT_TN_NOT_COVERED:
	case VERDICT_CLAIM_CONSTRAINTS:
	case VERDICT_PROFILE_VIOLATION:
		return CAUSE_CERTIFICATE;
	case VERDICT_SIGNER_REFUSED:
	case VERDICT_SIGNER_FAILED:
	case VERDICT_SIGNER_TIMEOUT:
	case VERDICT_SIGNER_BUSY:
	case VERDICT_NO_NEXT_HOP:
	case VERDICT_RELAY_BUSY:
	case VERDICT_FETCHER_TIMEOUT:
	case VERDICT_FETCHER_BUSY:
		return CAUSE_FAULT;
	case VERDICT_UNSUPPORTED_PPT:
	case VERDICT_TOO_MANY_IDENTITIES:
	case VERDICT_MALFORMED_IDENTITY:
	case VERDICT_NO_INFO:
	case VERDICT_BAD_INFO_URI:
	case VERDICT_COMPACT_FORM:
	case VERDICT_MALFORMED_PASSPORT:
	case VERDICT_MISSING_HEADER_MEMBER:
	case VERDICT_INFO_MISMATCH:
	case VERDICT_BAD_TYP:
	case VERDICT_BAD_ALG:
	case VERDICT_BAD_PPT:
	case VERDICT_CRITICAL_EXTENSION:
	case VERDICT_MISSING_CLAIM:
	case VERDICT_BAD_CLAIM:
	case VERDICT_BAD_ATTEST:
	case VERDICT_BAD_SIGNATURE:
	case VERDICT_REPLAYED:
		return CAUSE_TOKEN;
	}
	return CAUSE_FAULT;
}

const char *verdict_cause_word(enum verdict_cause cause)
{
	switch (cause) {
	case CAUSE_NONE:
		return "none";
	case CAUSE_NOT_ENABLED:
		return "not_enabled";
	case CAUSE_POLICY:
		return "policy";
	case CAUSE_SIGNALLING:
		return "signalling";
	case CAUSE_CERTIFICATE:
		return "certificate";
	case CAUSE_FAULT:
		return "fault";
	case CAUSE_TOKEN:
		return "token";
	}
	return "unknown";
}

struct sip_status verdict_sip_status(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_SIGNED:
	case VERDICT_PASSED:
		return (struct sip_status){ 200, "OK" };
	case VERDICT_NOT_ENABLED:
	case VERDICT_ALREADY_SIGNED:
		return (struct sip_status){ 302, "Moved Temporarily" };
	case VERDICT_STALE_DATE:
	case VERDICT_STALE_IAT:
		return (struct sip_status){ 403, "Stale Date" };
	case VERDICT_NO_CONTACT:
		return (struct sip_status){ 404, "Not Found" };
	case VERDICT_NO_IDENTITY:
		return (struct sip_status){ 428, "Use Identity Header" };
	case VERDICT_UNSUPPORTED_PPT:
		return (struct sip_status){ 428, "Use Supported PASSporT Format" };
	case VERDICT_NO_INFO:
	case VERDICT_BAD_INFO_URI:
	case VERDICT_MISSING_HEADER_MEMBER:
	case VERDICT_INFO_MISMATCH:
	case VERDICT_CERTIFICATE_UNREACHABLE:
	case VERDICT_FETCHER_TIMEOUT:
	case VERDICT_FETCHER_BUSY:
		return (struct sip_status){ 436, "Bad Identity Info" };
	case VERDICT_BAD_TYP:
	case VERDICT_BAD_ALG:
	case VERDICT_CERTIFICATE_MALFORMED:
	case VERDICT_CERTIFICATE_UNTRUSTED:
	case VERDICT_CERTIFICATE_REVOKED:
	case VERDICT_CERTIFICATE_OUTSIDE_VALIDITY:
	case VERDICT_CERTIFICATE_NOT_P256:
	case VERDICT_BAD_TN_AUTH_LIST:
	case VERDICT_TN_NOT_COVERED:
	case VERDICT_PROFILE_VIOLATION:
		return (struct sip_status){ 437, "Unsupported Credential" };
	case VERDICT_ANONYMOUS:
	case VERDICT_NUMBER_FORMAT:
	case VERDICT_TOO_MANY_IDENTITIES:
	case VERDICT_MALFORMED_IDENTITY:
	case VERDICT_COMPACT_FORM:
	case VERDICT_MALFORMED_PASSPORT:
	case VERDICT_BAD_PPT:
	case VERDICT_CRITICAL_EXTENSION:
	case VERDICT_MISSING_CLAIM:
	case VERDICT_BAD_CLAIM:
	case VERDICT_BAD_ATTEST:
	case VERDICT_ORIG_MISMATCH:
	case VERDICT_DEST_MISMATCH:
	case VERDICT_CLAIM_CONSTRAINTS:
	case VERDICT_BAD_SIGNATURE:
	case VERDICT_REPLAYED:
		return (struct sip_status){ 438, "Invalid Identity Header" };
	case VERDICT_CANCELLED:
		return (struct sip_status){ 487, "Request Terminated" };
	case VERDICT_MALFORMED_REQUEST:
		return (struct sip_status){ 400, "Bad Request" };
	case VERDICT_TOO_LARGE:
		return (struct sip_status){ 513, "Message Too Large" };
	case VERDICT_LOOP:
		return (struct sip_status){ 482, "Loop Detected" };
	case VERDICT_PENDING:
		return (struct sip_status){ 500, "Server Internal Error" };
		return (struct sip_status){ 501, "Not Implemented" };
	case VERDICT_CREDENTIAL_REFUSED:
	case VERDICT_CERTIFICATE_EXPIRED:
	case VERDICT_CERTIFICATE_NOT_YET_VALID:
	case VERDICT_SELF_CHECK_FAILED:
	case VERDICT_SIGNER_REFUSED:
	case VERDICT_SIGNER_FAILED:
	case VERDICT_SIGNER_TIMEOUT:
	case VERDICT_SIGNER_BUSY:
	case VERDICT_NO_NEXT_HOP:
	case VERDICT_RELAY_BUSY:
		return (struct sip_status){ 503, "Service Unavailable" };
	case VERDICT_POLICY:
		return (struct sip_status){ 603, "Decline" };
	}
	return (struct sip_status){ 500, "Server Internal Error" };
}

const char *verdict_reject_phrase(unsigned status)
{
	static const struct sip_status phrases[] = {
		{ 403, "Stale Date" },
		{ 428, "Use Identity Header" },
		{ 436, "Bad Identity Info" },
		{ 437, "Unsupported Credential" },
		{ 438, "Invalid Identity Header" },
		{ 503, "Service Unavailable" },
		{ 603, "Decline" },
	};

	for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
		if (phrases[i].code == status)
			return phrases[i].phrase;
	return NULL;
}

bool verdict_refuses_token(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_SIGNED:
	case VERDICT_NOT_ENABLED:
	case VERDICT_POLICY:
	case VERDICT_ALREADY_SIGNED:
	case VERDICT_ANONYMOUS:
	case VERDICT_NUMBER_FORMAT:
	case VERDICT_STALE_DATE:
	case VERDICT_NO_CONTACT:
	case VERDICT_CANCELLED:
	case VERDICT_MALFORMED_REQUEST:
	case VERDICT_TOO_LARGE:
	case VERDICT_LOOP:
	case VERDICT_CREDENTIAL_REFUSED:
	case VERDICT_CERTIFICATE_EXPIRED:
	case VERDICT_CERTIFICATE_NOT_YET_VALID:
	case VERDICT_SELF_CHECK_FAILED:
	case VERDICT_SIGNER_REFUSED:
	case VERDICT_SIGNER_FAILED:
	case VERDICT_SIGNER_TIMEOUT:
	case VERDICT_SIGNER_BUSY:
	case VERDICT_NO_NEXT_HOP:
	case VERDICT_RELAY_BUSY:
	case VERDICT_PASSED:
	case VERDICT_PENDING:
	case VERDICT_NO_IDENTITY:
	case VERDICT_UNSUPPORTED_PPT:
	case VERDICT_FETCHER_TIMEOUT:
	case VERDICT_FETCHER_BUSY:
		return false;
	case VERDICT_TOO_MANY_IDENTITIES:
	case VERDICT_MALFORMED_IDENTITY:
	case VERDICT_NO_INFO:
	case VERDICT_BAD_INFO_URI:
	case VERDICT_COMPACT_FORM:
	case VERDICT_MALFORMED_PASSPORT:
	case VERDICT_MISSING_HEADER_MEMBER:
	case VERDICT_INFO_MISMATCH:
	case VERDICT_BAD_TYP:
	case VERDICT_BAD_ALG:
	case VERDICT_BAD_PPT:
	case VERDICT_CRITICAL_EXTENSION:
	case VERDICT_MISSING_CLAIM:
	case VERDICT_BAD_CLAIM:
	case VERDICT_BAD_ATTEST:
	case VERDICT_STALE_IAT:
	case VERDICT_ORIG_MISMATCH:
	case VERDICT_DEST_MISMATCH:
	case VERDICT_CERTIFICATE_UNREACHABLE:
	case VERDICT_CERTIFICATE_MALFORMED:
	case VERDICT_CERTIFICATE_UNTRUSTED:
	case VERDICT_CERTIFICATE_REVOKED:
	case VERDICT_CERTIFICATE_OUTSIDE_VALIDITY:
	case VERDICT_CERTIFICATE_NOT_P256:
	case VERDICT_BAD_TN_AUTH_LIST:
	case VERDICT_TN_NOT_COVERED:
	case VERDICT_CLAIM_CONSTRAINTS:
	case VERDICT_PROFILE_VIOLATION:
	case VERDICT_BAD_SIGNATURE:
	case VERDICT_REPLAYED:
		return true;
	}
	return false;
}

bool verdict_is_failed(enum verdict verdict)
{
	return verdict == VERDICT_CERTIFICATE_UNTRUSTED || verdict == VERDICT_CERTIFICATE_REVOKED ||
	       verdict == VERDICT_BAD_SIGNATURE;
}

const char *verify_result_word(enum verify_result result)
{
	switch (result) {
	case VERIFY_PASSED:
		return "passed";
	case VERIFY_FAILED:
		return "failed";
	case VERIFY_NO_VALIDATION:
		return "no_validation";
	}
	return "unknown";
}
