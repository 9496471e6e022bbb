#include "stirrup/verstat.h"

#include "stirrup/name_addr.h"
#include "stirrup/writer.h"

void verstat_value(char out[VERSTAT_VALUE_SIZE], enum verify_result result, char attest, enum verstat_form form)
{
	struct writer writer = writer_on(out, VERSTAT_VALUE_SIZE);

	switch (result) {
	case VERIFY_PASSED:
		writer_text(&writer, "TN-Validation-Passed");
		break;
	case VERIFY_FAILED:
		writer_text(&writer, "TN-Validation-Failed");
		break;
	case VERIFY_NO_VALIDATION:
		writer_text(&writer, "No-TN-Validation");
		attest = 0;
		break;
	}
	if (form == VERSTAT_WITH_ATTESTATION && attest != 0) {
		writer_text(&writer, "-");
		writer_bytes(&writer, &attest, 1);
	}
	writer_end(&writer);
}

/* The number of a URI with its parameters: what stands between the scheme and the "@" (sip), all behind the scheme
 * (tel). */
static struct span number_part(struct span uri)
{
	const char *colon = uri.length == 0 ? NULL : memchr(uri.at, ':', uri.length);
	struct span part = { uri.at, 0 };
	const char *at_sign;

	if (colon == NULL)
		return part;
	part = (struct span){ colon + 1, uri.length - (size_t)(colon + 1 - uri.at) };
	if (span_is_caseless((struct span){ uri.at, (size_t)(colon - uri.at) }, "tel"))
		return part;
	at_sign = memchr(part.at, '@', part.length);
	part.length = at_sign == NULL ? 0 : (size_t)(at_sign - part.at);
	return part;
}

/* The next ";name=value" of a number, with its semicolon; empty at the end. Moves *rest behind it. */
static struct span next_param(struct span *rest)
{
	struct span param = { rest->at, 0 };

	if (rest->length == 0)
		return param;
	param.length = 1;
	while (param.length < rest->length && rest->at[param.length] != ';')
		param.length++;
	rest->at += param.length;
	rest->length -= param.length;
	return param;
}

static bool is_verstat(struct span param)
{
	static const char name[] = ";verstat";
	size_t length = sizeof name - 1;

	return param.length >= length && strncasecmp(param.at, name, length) == 0 &&
		(param.length == length || param.at[length] == '=');
}

/* Splits a number into its digits and its parameters. */
static struct span digits_of(struct span number, struct span *params)
{
	const char *semicolon = number.length == 0 ? NULL : memchr(number.at, ';', number.length);
	size_t length = semicolon == NULL ? number.length : (size_t)(semicolon - number.at);

	*params = (struct span){ number.at + length, number.length - length };
	return (struct span){ number.at, length };
}

static void put_uri(struct writer *writer, struct span uri, const char *value, unsigned *removed)
{
	struct span number = number_part(uri), params, param;
	struct span digits = digits_of(number, &params);
	const char *behind = number.at + number.length;

	writer_bytes(writer, uri.at, (size_t)(digits.at + digits.length - uri.at));
	for (param = next_param(&params); param.length > 0; param = next_param(&params)) {
		if (is_verstat(param))
			++*removed;
		else
			writer_span(writer, param);
	}
	if (value != NULL) {
		writer_text(writer, ";verstat=");
		writer_text(writer, value);
	}
	writer_bytes(writer, behind, (size_t)(uri.at + uri.length - behind));
}

bool verstat_stamp(char *out, size_t size, struct span header, const struct tn *orig, const struct dial_plan *plan,
	const char *value, unsigned *stamped, unsigned *removed)
{
	struct writer writer = writer_on(out, size);
	const char *copied = header.at;
	struct span rest = header;
	struct name_addr item;

	*stamped = 0;
	*removed = 0;
	while (name_addr_next(&rest, &item)) {
		struct tn tn;
		bool same = tn_from_uri(&tn, item.uri, plan) == TN_NUMBER && strcmp(tn.digits, orig->digits) == 0;
		/* A tel URI without <> would end at our parameter: what stands bare gets none (RFC 3261 section 20). */
		bool bare = item.uri.at == header.at || item.uri.at[-1] != '<';

		writer_bytes(&writer, copied, (size_t)(item.uri.at - copied));
		if (same && bare)
			writer_text(&writer, "<");
		put_uri(&writer, item.uri, same ? value : NULL, removed);
		if (same && bare)
			writer_text(&writer, ">");
		*stamped += same;
		copied = item.uri.at + item.uri.length;
	}
	writer_bytes(&writer, copied, (size_t)(header.at + header.length - copied));
	return writer_end(&writer);
}

bool verstat_present(struct span header)
{
	struct span rest = header;
	struct name_addr item;

	while (name_addr_next(&rest, &item)) {
		struct span params, param;

		digits_of(number_part(item.uri), &params);
		for (param = next_param(&params); param.length > 0; param = next_param(&params))
			if (is_verstat(param))
				return true;
	}
	return false;
}
