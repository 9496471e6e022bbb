#include "stirrup/reason_header.h"

#include "stirrup/writer.h"

static bool is_base64url(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_';
}

/* What is behind the second dot of a token with two; empty for all that could not stand between quotes. */
static struct span signature_of(struct span token)
{
	const struct span none = { "", 0 };
	struct span part = none;
	int dots = 0;

	for (size_t i = 0; i < token.length; i++) {
		if (token.at[i] != '.')
			continue;
		dots++;
		part = (struct span){ token.at + i + 1, token.length - i - 1 };
	}
	if (dots != 2 || part.length > REASON_PPI_MAX)
		return none;
	for (size_t i = 0; i < part.length; i++)
		if (!is_base64url(part.at[i]))
			return none;
	return part;
}

size_t reason_header_write(char *out, size_t size, enum verdict verdict, struct span token)
{
	struct writer writer = writer_on(out, size);
	struct sip_status status = verdict_sip_status(verdict);
	struct span signature = signature_of(token);

	if (!verdict_refuses_token(verdict))
		return 0;
	writer_text(&writer, "STIR;cause=");
	writer_number(&writer, status.code);
	writer_text(&writer, ";text=\"");
	writer_text(&writer, status.phrase);
	writer_text(&writer, "\"");
	if (signature.length > 0) {
		writer_text(&writer, ";ppi=\"..");
		writer_span(&writer, signature);
		writer_text(&writer, "\"");
	}
	return writer_end(&writer) ? writer_length(&writer) - 1 : 0;
}
