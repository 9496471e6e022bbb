#include "stirrup/verdict.h"

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
	case VERDICT_NOT_BUILT:
		return "not_built";
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
	}
	return "unknown";
}

enum verdict_cause verdict_cause(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_SIGNED:
		return CAUSE_NONE;
	case VERDICT_NOT_ENABLED:
	case VERDICT_NOT_BUILT:
		return CAUSE_NOT_ENABLED;
	case VERDICT_POLICY:
		return CAUSE_POLICY;
	case VERDICT_ALREADY_SIGNED:
	case VERDICT_ANONYMOUS:
	case VERDICT_NUMBER_FORMAT:
	case VERDICT_STALE_DATE:
	case VERDICT_NO_CONTACT:
	case VERDICT_CANCELLED:
		return CAUSE_SIGNALLING;
	case VERDICT_CREDENTIAL_REFUSED:
	case VERDICT_CERTIFICATE_EXPIRED:
	case VERDICT_CERTIFICATE_NOT_YET_VALID:
	case VERDICT_SELF_CHECK_FAILED:
		return CAUSE_CERTIFICATE;
	case VERDICT_SIGNER_REFUSED:
	case VERDICT_SIGNER_FAILED:
	case VERDICT_SIGNER_TIMEOUT:
	case VERDICT_SIGNER_BUSY:
		return CAUSE_FAULT;
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
	}
	return "unknown";
}
