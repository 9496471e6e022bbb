/* A text that claims to be a seal, and what it would be bound to, each on a line: none is ever believed; and one of ours is,
 * whatever it is bound to. */
#include "fuzz.h"

#include <string.h>

#include "stirrup/seal.h"

static struct span take_line(struct span *rest)
{
	const char *end = rest->length == 0 ? NULL : memchr(rest->at, '\n', rest->length);
	struct span line = { rest->at, end == NULL ? rest->length : (size_t)(end - rest->at) };

	rest->at += line.length + (end != NULL);
	rest->length -= line.length + (end != NULL);
	return line;
}

static void check_via(const struct sealer *sealer, struct span claimed, const struct seal_via_bound *bound)
{
	static const struct seal_via fields = { 1, 2, 3, SEAL_INITIAL, { 4, 5, 6, 7 } };
	struct seal_via read;
	char seal[SEAL_VIA_SIZE];

	MUST(!seal_via_read(sealer, claimed, bound, &read));
	seal_via_write(sealer, &fields, bound, seal);
	MUST(seal_via_read(sealer, span_of(seal), bound, &read));
	MUST(read.listener == 1 && read.peer == 2 && read.customer == 3 && read.flags == SEAL_INITIAL);
	MUST(memcmp(read.verdicts, fields.verdicts, sizeof read.verdicts) == 0);
	for (size_t length = 0; length < strlen(seal); length++)
		MUST(!seal_via_read(sealer, (struct span){ seal, length }, bound, &read));
}

static void check_route(const struct sealer *sealer, struct span claimed, struct span call_id, struct span tag)
{
	static const struct seal_route fields = { 0xfedcba98, 0xffff, 0, 0xff };
	struct seal_route read;
	char seal[SEAL_ROUTE_SIZE];

	MUST(!seal_route_read(sealer, claimed, call_id, tag, &read));
	seal_route_write(sealer, &fields, call_id, tag, seal);
	MUST(seal_route_read(sealer, span_of(seal), call_id, tag, &read));
	MUST(read.time == fields.time && read.peer == fields.peer && read.customer == 0 && read.flags == 0xff);
	for (size_t length = 0; length < strlen(seal); length++)
		MUST(!seal_route_read(sealer, (struct span){ seal, length }, call_id, tag, &read));
}

static void check_call_id(const struct sealer *sealer, struct span claimed, struct span call_id, struct span tag)
{
	char made[SEAL_CALL_ID_SIZE];

	MUST(!seal_call_id_is_ours(sealer, claimed, tag));
	seal_call_id(sealer, call_id, tag, call_id, 1, made);
	MUST(seal_call_id_is_ours(sealer, span_of(made), call_id));
	MUST(seal_call_id_is_ours(sealer, span_of(made), claimed) ==
		(claimed.length == call_id.length &&
			(claimed.length == 0 || memcmp(claimed.at, call_id.at, claimed.length) == 0)));
}

static void check_branch(const struct sealer *sealer, const struct seal_request *request)
{
	char branch[SEAL_BRANCH_SIZE], same[SEAL_BRANCH_SIZE];
	struct via via = request->via;

	MUST(!seal_is_loop(sealer, request, &via));
	seal_branch(sealer, request, branch);
	seal_branch(sealer, request, same);
	MUST(strcmp(branch, same) == 0);
	via.branch = span_of(branch);
	MUST(seal_is_loop(sealer, request, &via));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[CHILD_SECRET_BYTES] = { 1, 2, 3 };
	static struct sealer *sealer;
	struct span rest = fuzz_span(data, size), claimed, via;
	struct seal_request request = { .cseq = 7 };
	struct seal_via_bound bound = { .cseq = 7 };

	if (sealer == NULL)
		sealer = sealer_new(secret, NULL);
	claimed = take_line(&rest);
	request.call_id = take_line(&rest);
	request.from_tag = take_line(&rest);
	request.request_uri = take_line(&rest);
	via = rest;
	if (!via_next(&via, &request.via))
		return 0;
	bound.branch = request.via.branch;
	bound.next = request.via;
	bound.call_id = request.call_id;
	check_via(sealer, claimed, &bound);
	check_route(sealer, claimed, request.call_id, request.from_tag);
	check_call_id(sealer, claimed, request.call_id, request.from_tag);
	check_branch(sealer, &request);
	return 0;
}
