/* stirrupctl verify: a received call, judged by the server's own engine at a given moment. Nothing is
 * fetched: what the x5u delivers comes from a file. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#include "stirrup/call_treatment.h"
#include "stirrup/clock.h"
#include "stirrup/config.h"
#include "stirrup/es256.h"
#include "stirrup/name_addr.h"
#include "stirrup/trust.h"
#include "stirrup/trust_files.h"
#include "stirrup/verify.h"
#include "stirrup/verstat.h"
#include "ctl.h"
#include "input.h"
#include "verify_options.h"
#include "verify_report.h"

#define WHY_SIZE 512
#define VALUE_SIZE 256

/* --- The configuration --- */

struct settings {
	struct config_source *source;
	struct config_report *report;
	struct config *config;
	const struct peer *peer;
};

static void print_error(enum config_severity severity, const char *line, void *context)
{
	if (severity == CONFIG_ERROR)
		fprintf(stderr, "stirrupctl: %s\n", line);
}

static bool find_peer(struct settings *settings, const struct verify_options *options)
{
	for (size_t i = 0; i < settings->config->peer_count && settings->peer == NULL; i++) {
		const struct peer *peer = &settings->config->peers[i];

		if (options->peer == NULL ? peer->service == SERVICE_VERIFY
					  : strcmp(peer->name, options->peer) == 0)
			settings->peer = peer;
	}
	if (settings->peer == NULL && options->peer != NULL)
		fprintf(stderr, "stirrupctl: %s: no peer \"%s\"\n", options->config, options->peer);
	else if (settings->peer == NULL)
		fprintf(stderr, "stirrupctl: %s: no peer has service = \"verify\"\n", options->config);
	else if (settings->peer->service != SERVICE_VERIFY)
		fprintf(stderr, "stirrupctl: %s: peer \"%s\" does not have service = \"verify\"\n",
			options->config, options->peer);
	return settings->peer != NULL && settings->peer->service == SERVICE_VERIFY;
}

static bool settings_read(struct settings *settings, const struct verify_options *options)
{
	char why[WHY_SIZE] = "out of memory";

	*settings = (struct settings){ .report = config_report_new() };
	if (settings->report != NULL)
		settings->source = config_source_read(options->config, why, sizeof why);
	if (settings->source == NULL) {
		fprintf(stderr, "stirrupctl: %s\n", why);
		return false;
	}
	settings->config = config_parse(settings->source, settings->report);
	if (settings->config == NULL) {
		config_report_each(settings->report, print_error, NULL);
		return false;
	}
	return find_peer(settings, options);
}

static void settings_free(struct settings *settings)
{
	config_free(settings->config);
	config_report_free(settings->report);
	config_source_free(settings->source);
}

/* --- The call --- */

/* "INVITE sip:... SIP/2.0": what stands between the outer spaces. */
static struct span request_uri(struct span line)
{
	const char *first = memchr(line.at, ' ', line.length);
	const char *last = memrchr(line.at, ' ', line.length);

	if (first == NULL || last <= first)
		return (struct span){ "", 0 };
	return span_trim((struct span){ first, (size_t)(last - first) });
}

static void take_once(struct span *value, const struct input_header *header)
{
	if (value->length == 0)
		*value = header->value;
}

static void take_header(struct call_facts *facts, const struct input_header *header)
{
	struct span name = header->name;

	if (span_is_caseless(name, "From") || span_is_caseless(name, "f"))
		take_once(&facts->from, header);
	else if (span_is_caseless(name, "To") || span_is_caseless(name, "t"))
		take_once(&facts->to, header);
	else if (span_is_caseless(name, "Date"))
		take_once(&facts->date, header);
	else if (span_is_caseless(name, "P-Asserted-Identity") && facts->pai_count < CALL_PAI_MAX)
		facts->pai[facts->pai_count++] = header->value;
	else if ((span_is_caseless(name, "Identity") || span_is_caseless(name, "y")) &&
		 facts->identity_count < CALL_IDENTITY_MAX)
		facts->identity[facts->identity_count++] = header->value;
}

/* False where there is nothing at all in it. */
static bool read_call(struct call_facts *facts, struct span text)
{
	struct input_headers headers;
	struct input_header header;

	*facts = (struct call_facts){ 0 };
	text = span_trim(text);
	if (!input_headers_begin(&headers, text)) {
		facts->identity[facts->identity_count++] = text;
		return text.length > 0;
	}
	facts->request_uri = request_uri(headers.start_line);
	while (input_headers_next(&headers, &header))
		take_header(facts, &header);
	return true;
}

/* A number of the command line as a header field would have it, or a URI. False after a message. */
static bool write_number(
	char out[VALUE_SIZE], const char *option, const char *number, const struct peer *peer)
{
	bool is_uri = strchr(number, ':') != NULL;
	int length = snprintf(out, VALUE_SIZE, "<%s%s>", is_uri ? "" : "tel:", number);
	struct span rest = { out, (size_t)length };
	struct name_addr item;
	struct tn unused;

	if (length < VALUE_SIZE && name_addr_next(&rest, &item) && rest.length == 0 &&
		tn_from_uri(&unused, item.uri, &peer->dial_plan) != TN_NOT_A_NUMBER)
		return true;
	fprintf(stderr,
		"stirrupctl: %s %s: no telephone number to peer \"%s\"; begin it with \"+\" and the country "
		"code\n",
		option, number, peer->name);
	return false;
}

/* What the command line says goes before what the message says. */
static bool complete_call(struct call_facts *facts, const struct verify_options *options,
	const struct peer *peer, char orig[VALUE_SIZE], char dest[VALUE_SIZE])
{
	if (options->orig != NULL) {
		if (!write_number(orig, "--orig", options->orig, peer))
			return false;
		facts->from = facts->pai[0] = span_of(orig);
		facts->pai_count = 1;
	}
	if (options->dest != NULL) {
		if (!write_number(dest, "--dest", options->dest, peer))
			return false;
		facts->to = span_of(dest);
	}
	if (facts->from.length == 0 && facts->pai_count == 0)
		fprintf(stderr, "stirrupctl: neither From nor P-Asserted-Identity in it: say who calls with "
				"--orig\n");
	else if (facts->to.length == 0)
		fprintf(stderr, "stirrupctl: no To in it: say who is called with --dest\n");
	else
		return true;
	return false;
}

/* --- The certificate --- */

/* The files of trust as they are today, for that is what the daemon has: a list of revocations is often newer
 * than the call. False after a message. */
static bool judge_certificate(struct certificate_facts *facts, const struct settings *settings,
	const struct verify_options *options)
{
	const struct verification_config *verification = &settings->config->verification;
	struct trust_options how = { verification->strict_profile, verification->crl_grace_s };
	struct trust_files *files =
		trust_files_load(settings->config, NULL, wall_us() / 1000000, settings->report);
	size_t length = 0;
	char *chain = NULL;

	config_report_each(settings->report, print_error, NULL);
	if (files == NULL)
		fprintf(stderr, "stirrupctl: out of memory\n");
	else if (config_report_errors(settings->report) == 0)
		chain = input_read(
			options->certificate, &length, "too long for a certificate and its issuers");
	if (chain != NULL)
		trust_judge(
			trust_files_trust(files), (struct span){ chain, length }, &how, options->time, facts);
	free(chain);
	trust_files_free(files);
	return chain != NULL;
}

/* It is taken for what every x5u delivers. */
static void judge_identities(struct verification *verification, struct certificate_facts *facts, int64_t now)
{
	struct es256_key *key = facts->verdict == VERDICT_PASSED ? es256_key_from_point(facts->public_key) : NULL;

	for (size_t i = 0; i < verification->count; i++) {
		const struct verify_identity *identity = &verification->identities[i];

		if (identity->verdict != VERDICT_PENDING)
			continue;
		snprintf(facts->x5u, sizeof facts->x5u, "%s", passport_x5u(identity->passport));
		verify_credential(verification, i, facts, key, now);
	}
	es256_key_free(key);
}

/* --- The answer --- */

/* False when the answer cannot be written. */
static bool answer(struct verify_report *report, const struct config *config, bool json)
{
	const struct peer *peer = report->peer;
	struct call_treatment_policy policy = {
		.rules = peer->treatment,
		.rule_count = peer->treatment_count,
		.on_failure = peer->on_failure,
		.identity_required = peer->identity_required,
		.fault_is_503 = peer->on_error == ON_ERROR_503,
	};
	struct call_treatment_question question = { .verification = report->verification };

	question.result = verify_conclude(report->verification, config->verification.verstat_failed_on_any,
		&question.reason, &question.deciding);
	call_treatment_find(&report->treatment, &question, &policy);
	verstat_value(report->verstat, question.result,
		question.deciding < 0 ? 0 : report->verification->identities[question.deciding].attest,
		peer->verstat_form);
	report->result = question.result;
	report->reason = question.reason;
	if (json)
		return verify_report_print_json(report);
	verify_report_print(report);
	return true;
}

static void begin(struct verification *verification, const struct call_facts *call,
	const struct settings *settings, int64_t now)
{
	const struct config *config = settings->config;
	struct verify_policy policy = {
		.identity_from = settings->peer->identity_from,
		.dial_plan = &settings->peer->dial_plan,
		.freshness_s = config->freshness_s,
		.ports = config->verification.allow_ports,
		.port_count = config->verification.allow_port_count,
	};

	verify_begin(verification, call, &policy, now);
}

static int verify(const struct verify_options *options, const struct settings *settings, struct span text)
{
	struct certificate_facts facts = {
		.verdict = VERDICT_CERTIFICATE_UNREACHABLE,
		.detail = "not fetched, which is the daemon's work: give it with --certificate; all checks "
			  "before it passed",
	};
	struct verify_report report = { .peer = settings->peer, .now = options->time };
	struct verification verification;
	struct call_facts call;
	char orig[VALUE_SIZE], dest[VALUE_SIZE];
	bool written;

	if (!read_call(&call, text)) {
		fprintf(stderr, "stirrupctl: no Identity header field and no SIP message in it\n");
		return EXIT_NO;
	}
	if (!complete_call(&call, options, settings->peer, orig, dest))
		return EXIT_USAGE;
	if (options->certificate != NULL) {
		if (!judge_certificate(&facts, settings, options))
			return EXIT_USAGE;
		report.certificate = &facts;
	}
	begin(&verification, &call, settings, options->time);
	judge_identities(&verification, &facts, options->time);
	report.verification = &verification;
	written = answer(&report, settings->config, options->json);
	verification_clear(&verification);
	if (!written)
		return EXIT_USAGE;
	return report.result == VERIFY_PASSED ? EXIT_YES : EXIT_NO;
}

int verify_verb(int argc, char **argv)
{
	struct verify_options options;
	struct settings settings;
	size_t length = 0;
	char *text = NULL;
	int result = EXIT_USAGE;

	if (!verify_options_read(&options, argc, argv)) {
		ctl_help(stderr);
		return EXIT_USAGE;
	}
	if (options.want_help)
		return ctl_help(stdout);
	if (settings_read(&settings, &options))
		text = input_read(options.file, &length, "too long for a SIP message");
	if (text != NULL)
		result = verify(&options, &settings, (struct span){ text, length });
	free(text);
	settings_free(&settings);
	return result;
}
