/* Messages: each piece lies where it was received, and the lines follow each other without a gap. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "stirrup/sip_head.h"

static void check_line(const struct header_line *line, struct span all)
{
	MUST_LIE_WITHIN(line->line, all);
	MUST_LIE_WITHIN(line->name, line->line);
	MUST_LIE_WITHIN(line->value, line->line);
	MUST(line->name.length > 0 && line->name.at == line->line.at);
	MUST(line->line.at[line->line.length - 1] == '\n');
	/* Whatever breaks a line inside is a fold. */
	for (size_t i = 0; i + 1 < line->line.length; i++)
		if (line->line.at[i] == '\n')
			MUST(line->line.at[i + 1] == ' ' || line->line.at[i + 1] == '\t');
}

static void check_values(const struct sip_head *head)
{
	for (size_t i = 0; i < head->count; i++) {
		struct span value = head->lines[i].value, method;
		uint32_t number;

		MUST_LIE_WITHIN(sip_tag(value), value);
		if (sip_cseq(value, &number, &method))
			MUST_LIE_WITHIN(method, value);
	}
	MUST(sip_head_find(head, HEADER_VIA, 0) <= head->count);
	MUST(sip_head_find(head, HEADER_VIA, head->count) == head->count);
}

static bool same(struct span one, struct span other)
{
	return one.length == other.length && (one.length == 0 || memcmp(one.at, other.at, one.length) == 0);
}

static void check_copy(const struct sip_head *head)
{
	struct sip_head *copy = sip_head_copy(head);

	MUST(copy != NULL && copy->count == head->count);
	MUST(same(copy->method, head->method) && same(copy->request_uri, head->request_uri));
	MUST(same(copy->phrase, head->phrase) && same(copy->body, head->body));
	for (size_t i = 0; i < head->count; i++)
		MUST(same(copy->lines[i].name, head->lines[i].name) && same(copy->lines[i].value, head->lines[i].value) &&
			same(copy->lines[i].line, head->lines[i].line));
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sip_head head;
	struct span all = fuzz_span(data, size);

	if (!sip_head_read(&head, all))
		return 0;
	MUST_LIE_WITHIN(head.start_line, all);
	MUST_LIE_WITHIN(head.method, head.start_line);
	MUST_LIE_WITHIN(head.request_uri, head.start_line);
	MUST_LIE_WITHIN(head.phrase, head.start_line);
	MUST_LIE_WITHIN(head.body, all);
	MUST(head.is_response ? head.status >= 100 && head.status < 700 : head.method.length > 0 && head.status == 0);
	MUST(head.count <= HEADER_LINES_MAX);
	for (size_t i = 0; i < head.count; i++) {
		check_line(&head.lines[i], all);
		if (i > 0)
			MUST(head.lines[i - 1].line.at + head.lines[i - 1].line.length == head.lines[i].line.at);
	}
	check_values(&head);
	check_copy(&head);
	return 0;
}
