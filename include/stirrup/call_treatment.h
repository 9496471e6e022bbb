/* call_treatment.h: what becomes of a verified call: by the rules of its peer, or where none decides by its
 * settings. Pure. */
#ifndef STIRRUP_CALL_TREATMENT_H
#define STIRRUP_CALL_TREATMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/treatment.h"
#include "stirrup/verify.h"

/* What a peer's configuration says of it. */
struct call_treatment_policy {
	const struct treatment *rules;
	size_t rule_count;
	enum on_failure on_failure;
	bool identity_required;
	bool fault_is_503; /* on_error = "503" */
};

/* How the verification came out: verify_conclude()'s answers. */
struct call_treatment_question {
	const struct verification *verification;
	enum verify_result result;
	enum verdict reason;
	int deciding; /* -1: none */
};

struct call_treatment {
	const struct treatment *rule; /* that decided; NULL: none */
	bool reject;
	unsigned status;    /* of the rejection; 0: none */
	const char *phrase; /* NULL: the status's own */
	char name[64];      /* of what decided: "treatment of line 12", "on_failure = reject" */
};

/* An emergency call is never rejected. */
void call_treatment_find(struct call_treatment *out, const struct call_treatment_question *question,
	const struct call_treatment_policy *policy);

#endif
