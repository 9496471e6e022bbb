#include "stirrup/sip_request.h"

#include <sofia-sip/msg_addr.h>
#include <sofia-sip/msg_header.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_hclasses.h>
#include <sofia-sip/sip_protos.h>

struct span sip_header_value(const void *header)
{
	const msg_common_t *common = header;
	const char *line;
	const char *colon;

	if (common == NULL || common->h_data == NULL || common->h_len == 0)
		return (struct span){ "", 0 };
	line = common->h_data;
	colon = memchr(line, ':', common->h_len);
	if (colon == NULL)
		return (struct span){ "", 0 };
	return span_trim((struct span){ colon + 1, common->h_len - (size_t)(colon + 1 - line) });
}

/* "INVITE sip:... SIP/2.0": what stands between the outer spaces. */
static struct span request_uri(const sip_request_t *line)
{
	const msg_common_t *common = line->rq_common;
	const char *start = common->h_data;
	const char *first, *last;

	if (start == NULL)
		return (struct span){ "", 0 };
	first = memchr(start, ' ', common->h_len);
	last = memrchr(start, ' ', common->h_len);
	if (first == NULL || last <= first)
		return (struct span){ "", 0 };
	return span_trim((struct span){ first, (size_t)(last - first) });
}

static struct span text(const char *string)
{
	return string == NULL ? (struct span){ "", 0 } : span_of(string);
}

static void read_claimed(struct sip_request *request, struct span name)
{
	static const char *const names[] = { "Attestation-Info", "Origination-Id", "P-Attestation-Info",
		"P-Attestation-Indicator", "P-Origination-ID", "X-Attestation-Info" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (span_is_caseless(name, names[i]) && request->claimed_count < CLAIMED_MAX)
			request->claimed[request->claimed_count++] = names[i];
}

static void read_unknown_headers(struct sip_request *request, const sip_unknown_t *unknown)
{
	struct call_facts *facts = &request->facts;

	for (; unknown != NULL; unknown = unknown->un_next) {
		struct span name = text(unknown->un_name);
		struct span value = text(unknown->un_value);

		if (span_is_caseless(name, "P-Asserted-Identity")) {
			if (facts->pai_count < CALL_PAI_MAX)
				facts->pai[facts->pai_count++] = value;
		} else if (span_is_caseless(name, "Identity") || span_is_caseless(name, "y")) {
			if (facts->identity_count < CALL_IDENTITY_MAX)
				facts->identity[facts->identity_count++] = value;
		} else {
			read_claimed(request, name);
		}
	}
}

/* As received, also where Sofia cannot read it (another time zone than GMT): it then stands among the errors. So does what stands
 * twice and may stand once, but as what it is. */
static struct span date_as_received(const sip_t *sip)
{
	if (sip->sip_date != NULL)
		return sip_header_value(sip->sip_date);
	for (const msg_error_t *error = sip->sip_error; error != NULL; error = error->er_next)
		if (error->er_common->h_class == sip_error_class && error->er_name != NULL && strcasecmp(error->er_name, "Date") == 0)
			return sip_header_value(error);
	return (struct span){ "", 0 };
}

/* Sofia fills rv_rport with "" for the bare flag, and with the port once it has answered it. */
static void read_via(struct sip_request *request, const sip_via_t *via)
{
	request->via_host = text(via->v_host);
	request->via_port = text(via->v_port);
	request->via_branch = text(via->v_branch);
	request->via_rport = via->v_rport != NULL;
}

bool sip_request_read(struct sip_request *request, const sip_t *sip)
{
	*request = (struct sip_request){ 0 };
	if (sip->sip_request == NULL || sip->sip_via == NULL || sip->sip_from == NULL || sip->sip_to == NULL ||
		sip->sip_call_id == NULL || sip->sip_cseq == NULL)
		return false;
	request->facts.request_uri = request_uri(sip->sip_request);
	request->facts.from = sip_header_value(sip->sip_from);
	request->facts.to = sip_header_value(sip->sip_to);
	request->facts.date = date_as_received(sip);
	read_unknown_headers(request, sip->sip_unknown);
	request->call_id = text(sip->sip_call_id->i_id);
	request->from_tag = text(sip->sip_from->a_tag);
	request->to_tag = text(sip->sip_to->a_tag);
	request->cseq = sip->sip_cseq->cs_seq;
	read_via(request, sip->sip_via);
	return request->facts.request_uri.length > 0;
}

msg_t *sip_message_parse(struct span bytes)
{
	msg_t *message = msg_create(sip_default_mclass(), MSG_FLG_EXTRACT_COPY);
	msg_iovec_t parts[8] = { 0 };
	issize_t count = message == NULL ? -1 : msg_recv_iovec(message, parts, 8, bytes.length, 1);
	size_t copied = 0;

	for (issize_t i = 0; i < count && copied < bytes.length; i++) {
		size_t left = bytes.length - copied;
		size_t part = left < parts[i].mv_len ? left : parts[i].mv_len;

		memcpy(parts[i].mv_base, bytes.at + copied, part);
		copied += part;
	}
	if (copied < bytes.length) {
		if (message != NULL)
			msg_destroy(message);
		return NULL;
	}
	msg_recv_commit(message, bytes.length, 1);
	msg_extract(message);
	return message;
}

msg_t *sip_message_to_send(struct span bytes)
{
	msg_t *message = sip_message_parse(bytes);
	size_t length = 0;

	if (message == NULL)
		return NULL;
	for (const msg_header_t *header = *msg_chain_head(message); header != NULL; header = header->sh_succ)
		length += header->sh_common->h_len;
	if (length == bytes.length)
		return message;
	msg_destroy(message);
	return NULL;
}

/* Of a comma list, the first item has the whole line, the others an empty one; where the first was changed its line is gone,
 * and all of them are printed. */
size_t sip_message_bytes(char *out, size_t size, msg_t *message)
{
	const void *covered = NULL; /* the class of headers whose list has its line */
	size_t used = 0;

	for (const msg_header_t *header = *msg_chain_head(message); header != NULL; header = header->sh_succ) {
		const msg_common_t *common = header->sh_common;
		issize_t length;

		if (common->h_data != NULL && common->h_len > 0) {
			if (common->h_len > size - used)
				return 0;
			memcpy(out + used, common->h_data, common->h_len);
			used += common->h_len;
			covered = common->h_class;
			continue;
		}
		if (common->h_data != NULL && covered == common->h_class)
			continue;
		covered = NULL;
		length = msg_header_e(out + used, size - used, header, 0);
		if (length < 0 || (size_t)length >= size - used)
			return 0;
		used += (size_t)length;
	}
	return used;
}
