#include "verify_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "stirrup/reason_header.h"
#include "output.h"

/* --- For people --- */

static const char *number_words(enum tn_kind kind, const struct tn *tn, const char *uri)
{
	if (tn->digits[0] != '\0')
		return tn->digits;
	if (uri[0] != '\0')
		return uri;
	return kind == TN_ANONYMOUS ? "anonymous" : "no telephone number";
}

static void print_call(const struct verify_report *report)
{
	const struct verification *call = report->verification;
	char date[OUTPUT_DATE_SIZE];

	printf("call\n");
	output_row("peer", span_of(report->peer->name));
	if (output_date(date, report->now))
		output_row("time", span_of(date));
	output_row("orig", span_of(number_words(call->orig_kind, &call->orig, "")));
	output_row("dest", span_of(number_words(call->dest_kind, &call->dest, call->dest_uri)));
	if (call->date_stale)
		output_row("Date", span_of("stale, or no date; iat decides"));
}

static void print_certificate(const struct certificate_facts *facts)
{
	printf("certificate\n");
	if (facts->subject[0] != '\0')
		output_row("subject", span_of(facts->subject));
	if (facts->spc_count > 0)
		output_label("spc");
	for (uint32_t i = 0; i < facts->spc_count; i++) {
		printf("%s", i == 0 ? "" : ", ");
		output_escaped(facts->spc[i], strlen(facts->spc[i]));
	}
	if (facts->spc_count > 0)
		printf("\n");
	if (facts->range_count > 0)
		output_format("numbers", "%" PRIu32 " entries", facts->range_count);
	if (facts->verdict == VERDICT_PASSED)
		output_format("profile", "rules of ATIS-1000080 broken: %" PRIu32, facts->profile_findings);
	output_format(facts->verdict == VERDICT_PASSED ? "passed" : "failed", "%s%s%s",
		facts->verdict == VERDICT_PASSED ? "" : verdict_word(facts->verdict),
		facts->verdict == VERDICT_PASSED ? "" : ": ", facts->detail);
}

static void print_dest(const struct passport *passport)
{
	size_t tns = passport_dest_tns(passport);

	output_label("dest");
	for (size_t i = 0; i < tns + passport_dest_uris(passport); i++) {
		const char *dest =
			i < tns ? passport_dest_tn(passport, i) : passport_dest_uri(passport, i - tns);

		printf("%s", i == 0 ? "" : ", ");
		output_escaped(dest, strlen(dest));
	}
	printf("\n");
}

static void print_iat(const struct passport *passport, int64_t now)
{
	int64_t iat = passport_iat(passport);
	int64_t age = now - iat;
	char date[OUTPUT_DATE_SIZE] = "";

	output_date(date, iat);
	output_format("iat", "%" PRId64 " (%s), %" PRId64 " s %s", iat, date, age < 0 ? -age : age,
		age < 0 ? "ahead" : "old");
}

static void print_claims(const struct passport *passport, int64_t now)
{
	const char *tn = passport_orig_tn(passport);
	char attest[2] = { passport_attest(passport), '\0' };

	output_row("orig", span_of(tn != NULL ? tn : passport_orig_uri(passport)));
	print_dest(passport);
	print_iat(passport, now);
	if (attest[0] != '\0')
		output_format("attest", "%s%s", attest, output_attestation(attest));
	output_row("x5u", span_of(passport_x5u(passport)));
}

static void print_identity(
	const struct verify_identity *identity, size_t number, const struct verify_report *report)
{
	char reason[REASON_HEADER_MAX];
	struct span ppi = report->verification->count > 1 ? identity->token : (struct span){ "", 0 };

	printf("identity %zu\n", number);
	if (identity->passport != NULL)
		print_claims(identity->passport, report->now);
	if (identity->verdict == VERDICT_PASSED)
		output_row("passed", span_of("all checks"));
	else
		output_format(identity->verdict == VERDICT_UNSUPPORTED_PPT ? "ignored" : "failed", "%s: %s",
			verdict_word(identity->verdict), identity->detail);
	if (verdict_refuses_token(identity->verdict) &&
		reason_header_write(reason, sizeof reason, identity->verdict, ppi) > 0)
		output_row("Reason", span_of(reason));
}

static const char *phrase_of(const struct call_treatment *treatment)
{
	const char *phrase = treatment->phrase;

	if (phrase == NULL)
		phrase = verdict_reject_phrase(treatment->status);
	return phrase == NULL ? "" : phrase;
}

static void print_conclusion(const struct verify_report *report)
{
	const struct call_treatment *treatment = &report->treatment;

	printf("conclusion\n");
	output_row("result", span_of(verify_result_word(report->result)));
	output_row("reason", span_of(verdict_word(report->reason)));
	output_row("verstat", span_of(report->verstat));
	output_row("rule", span_of(treatment->name));
	if (treatment->reject)
		output_format("answer", "%u %s", treatment->status, phrase_of(treatment));
	else
		output_row("answer", span_of("302 with verstat"));
	if (treatment->rule != NULL && treatment->rule->header != NULL)
		output_row("header", span_of(treatment->rule->header));
	if (treatment->rule != NULL && treatment->rule->next_hop != NULL)
		output_format("next hop", "sip:%s", treatment->rule->next_hop);
	if (report->peer->shadow)
		output_row("shadow", span_of("all this is only recorded: the call goes on as it came"));
}

void verify_report_print(const struct verify_report *report)
{
	print_call(report);
	if (report->certificate != NULL)
		print_certificate(report->certificate);
	for (size_t i = 0; i < report->verification->count; i++)
		print_identity(&report->verification->identities[i], i + 1, report);
	print_conclusion(report);
}

/* --- As JSON --- */

static const char *text_or_null(const char *text)
{
	return text[0] == '\0' ? NULL : text;
}

/* Of the request, which may have any octet: those outside ASCII appear as "?". */
static json_t *dest_json(const struct verification *call)
{
	const char *dest = call->dest.digits[0] != '\0' ? call->dest.digits : call->dest_uri;
	char ascii[DEST_URI_SIZE];
	size_t length = 0;

	for (; length < sizeof ascii - 1 && dest[length] != '\0'; length++)
		ascii[length] = (unsigned char)dest[length] < 0x80 ? dest[length] : '?';
	return length == 0 ? json_null() : json_stringn(ascii, length);
}

static json_t *certificate_json(const struct certificate_facts *facts)
{
	json_t *codes;

	if (facts == NULL)
		return json_null();
	codes = json_array();
	for (uint32_t i = 0; i < facts->spc_count; i++)
		json_array_append_new(codes, json_string(facts->spc[i]));
	return json_pack("{s:s, s:s, s:s?, s:o, s:i}", "verdict", verdict_word(facts->verdict), "detail",
		facts->detail, "subject", text_or_null(facts->subject), "spc", codes, "profile_findings",
		(int)facts->profile_findings);
}

static void add_claims(json_t *object, const struct passport *passport)
{
	const char *tn = passport_orig_tn(passport);
	json_t *dest = json_array();

	for (size_t i = 0; i < passport_dest_tns(passport); i++)
		json_array_append_new(dest, json_string(passport_dest_tn(passport, i)));
	for (size_t i = 0; i < passport_dest_uris(passport); i++)
		json_array_append_new(dest, json_string(passport_dest_uri(passport, i)));
	json_object_set_new(object, "orig", json_string(tn != NULL ? tn : passport_orig_uri(passport)));
	json_object_set_new(object, "dest", dest);
	json_object_set_new(object, "iat", json_integer(passport_iat(passport)));
	json_object_set_new(object, "x5u", json_string(passport_x5u(passport)));
}

static json_t *identity_json(const struct verify_identity *identity)
{
	char attest[2] = { identity->attest, '\0' };
	json_t *object = json_pack("{s:s, s:s, s:s?, s:n, s:n, s:n, s:n}", "verdict",
		verdict_word(identity->verdict), "detail", identity->detail, "attest", text_or_null(attest),
		"orig", "dest", "iat", "x5u");

	if (identity->passport != NULL)
		add_claims(object, identity->passport);
	return object;
}

static json_t *answer_json(const struct verify_report *report)
{
	const struct call_treatment *treatment = &report->treatment;
	const struct treatment *rule = treatment->rule;

	return json_pack("{s:s, s:i, s:s?, s:s?, s:s?, s:b}", "rule", treatment->name, "status",
		treatment->reject ? (int)treatment->status : 302, "phrase",
		treatment->reject ? text_or_null(phrase_of(treatment)) : NULL, "header",
		rule == NULL ? NULL : rule->header, "next_hop", rule == NULL ? NULL : rule->next_hop,
		"shadow", report->peer->shadow);
}

bool verify_report_print_json(const struct verify_report *report)
{
	const struct verification *call = report->verification;
	char date[OUTPUT_DATE_SIZE] = "";
	json_t *identities = json_array();
	json_t *document;

	output_date(date, report->now);
	for (size_t i = 0; i < call->count; i++)
		json_array_append_new(identities, identity_json(&call->identities[i]));
	document = json_pack("{s:s, s:s, s:s?, s:o, s:b, s:b, s:o, s:o, s:s, s:s, s:s, s:o}", "peer",
		report->peer->name, "time", date, "orig", text_or_null(call->orig.digits), "dest",
		dest_json(call), "emergency", call->emergency, "date_stale", call->date_stale, "certificate",
		certificate_json(report->certificate), "identities", identities, "result",
		verify_result_word(report->result), "reason", verdict_word(report->reason), "verstat",
		report->verstat, "answer", answer_json(report));
	if (document == NULL) {
		fprintf(stderr,
			"stirrupctl: the answer cannot be written as JSON: something in it is not UTF-8\n");
		return false;
	}
	json_dumpf(document, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	printf("\n");
	json_decref(document);
	return true;
}
