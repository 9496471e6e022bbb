#include "probe.h"

#include <inttypes.h>
#include <stdio.h>

#include "own_via.h"
#include "stirrup/random_id.h"

/* The response has to come to this worker. */
static void write_call_id(const struct worker *worker, char *out, size_t size)
{
	unsigned tries = 0;

	do
		snprintf(out, size, "probe-%016" PRIx64, random_id());
	while (sockets_owner(span_of(out)) != worker->index && ++tries < 1000);
}

void probe_send(const struct hop *hop, struct span via_branch, void *context)
{
	struct worker *worker = context;
	const struct generation *generation = worker->generation;
	char message[1536], branch[64], call_id[32];
	struct writer writer = writer_on(message, sizeof message);
	struct egress egress;

	if (!span_copy(branch, sizeof branch, via_branch) ||
		!egress_find(&egress, generation->config, hop->transport, hop->address.ss_family, -1))
		return;
	write_call_id(worker, call_id, sizeof call_id);
	writer_text(&writer, "OPTIONS sip:");
	writer_text(&writer, hop->text);
	writer_text(&writer, " SIP/2.0\r\nVia: ");
	own_via_put(&writer, generation, &egress, branch, NULL);
	writer_text(&writer, "\r\nMax-Forwards: 70\r\nFrom: <sip:");
	writer_text(&writer, egress_text(generation, &egress));
	writer_text(&writer, ">;tag=");
	writer_text(&writer, call_id + sizeof "probe-" - 1);
	writer_text(&writer, "\r\nTo: <sip:");
	writer_text(&writer, hop->text);
	writer_text(&writer, ">\r\nCall-ID: ");
	writer_text(&writer, call_id);
	writer_text(&writer, "\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n");
	if (!writer.full)
		egress_send(&egress, worker->agent, &hop->address, (struct span){ message, writer_length(&writer) }, NULL, NULL);
}
