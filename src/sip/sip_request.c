#include "stirrup/sip_request.h"

static void read_claimed(struct sip_request *request, struct span name)
{
	static const char *const names[] = { "Attestation-Info", "Origination-Id", "P-Attestation-Info",
		"P-Attestation-Indicator", "P-Origination-ID", "X-Attestation-Info" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (span_is_caseless(name, names[i]) && request->claimed_count < CLAIMED_MAX)
			request->claimed[request->claimed_count++] = names[i];
}

static void read_line(struct sip_request *request, const struct header_line *line)
{
	struct call_facts *facts = &request->facts;

	if (line->kind == HEADER_P_ASSERTED_IDENTITY && facts->pai_count < CALL_PAI_MAX)
		facts->pai[facts->pai_count++] = line->value;
	else if (line->kind == HEADER_IDENTITY && facts->identity_count < CALL_IDENTITY_MAX)
		facts->identity[facts->identity_count++] = line->value;
	else if (line->kind == HEADER_CLAIMED)
		read_claimed(request, line->name);
}

void sip_request_read(struct sip_request *request, const struct sip_head *head)
{
	*request = (struct sip_request){
		.facts = {
			.request_uri = head->request_uri,
			.from = sip_head_value(head, HEADER_FROM),
			.to = sip_head_value(head, HEADER_TO),
			.date = sip_head_value(head, HEADER_DATE),
		},
	};
	for (size_t i = 0; i < head->count; i++)
		read_line(request, &head->lines[i]);
}
