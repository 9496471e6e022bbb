#include "stirrup/dialog_ids.h"

#include "stirrup/name_addr.h"
#include "stirrup/writer.h"

#define EMBEDDED_MAX 2048 /* bytes of a header field within a URI */

struct translation {
	dialog_ids_translate *translate;
	void *context;
	struct writer *writer;
	bool changed;
};

static struct span span_behind(struct span span, size_t length)
{
	return (struct span){ span.at + length, span.length - length };
}

/* How far text goes until one of the stop bytes, or its end. */
static size_t length_until(struct span text, const char *stops, size_t count)
{
	size_t i = 0;

	while (i < text.length && memchr(stops, text.at[i], count) == NULL)
		i++;
	return i;
}

static void put_call_id(struct translation *translation, struct span call_id, struct span one_tag, struct span other_tag)
{
	struct span other;

	if (call_id.length > 0 && translation->translate(call_id, one_tag, other_tag, &other, translation->context)) {
		translation->changed = true;
		call_id = other;
	}
	writer_span(translation->writer, call_id);
}

/* callid *( SEMI param ). A Call-ID may have quotes and <> in it, as plain bytes, and neither ";" nor ",". */
static void put_dialog(struct translation *translation, struct span value, const char *one, const char *other)
{
	struct span call_id = { value.at, length_until(value, ";, \t\r\n", 6) };
	struct span behind = span_behind(value, call_id.length), params = span_trim(behind);
	struct span one_tag = { value.at, 0 }, other_tag = one_tag;

	if (params.length > 0 && params.at[0] != ';') {
		writer_span(translation->writer, value);
		return;
	}
	name_addr_param(params, one, &one_tag);
	name_addr_param(params, other, &other_tag);
	put_call_id(translation, call_id, one_tag, other_tag);
	writer_span(translation->writer, behind);
}

/* callid *( COMMA callid ) */
static void put_list(struct translation *translation, struct span value)
{
	while (value.length > 0) {
		const struct span none = { value.at, 0 };
		struct span call_id = { value.at, length_until(value, ", \t\r\n", 5) };

		put_call_id(translation, call_id, none, none);
		value = span_behind(value, call_id.length);
		while (value.length > 0 && memchr(", \t\r\n", value.at[0], 5) != NULL) {
			writer_bytes(translation->writer, value.at, 1);
			value = span_behind(value, 1);
		}
	}
}

/* --- Header fields within a URI --- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

static bool unescape(struct writer *writer, struct span text)
{
	for (size_t i = 0; i < text.length; i++) {
		int high, low;
		char c = text.at[i];

		if (c == '%') {
			high = i + 2 < text.length ? hex_digit(text.at[i + 1]) : -1;
			low = i + 2 < text.length ? hex_digit(text.at[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		writer_bytes(writer, &c, 1);
	}
	return !writer->full;
}

/* unreserved stands as it is (RFC 3261 section 25.1); "+" could, too, and is a space to some. */
static void escape(struct writer *writer, struct span text)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.at[i];
		char escaped[3] = { '%', hex[c >> 4], hex[c & 15] };

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			memchr("-_.!~*'()", c, 9) != NULL)
			writer_bytes(writer, text.at + i, 1);
		else
			writer_bytes(writer, escaped, sizeof escaped);
	}
}

static enum header_kind embedded_kind(struct span name)
{
	static const struct {
		const char *name;
		enum header_kind kind;
	} names[] = { { "Replaces", HEADER_REPLACES }, { "Join", HEADER_JOIN }, { "Target-Dialog", HEADER_TARGET_DIALOG },
		{ "In-Reply-To", HEADER_IN_REPLY_TO } };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (span_is_caseless(name, names[i].name))
			return names[i].kind;
	return HEADER_OTHER;
}

/* hname "=" hvalue */
static void put_embedded(struct translation *translation, struct span header)
{
	size_t name = length_until(header, "=", 1);
	enum header_kind kind = embedded_kind((struct span){ header.at, name });
	char plain[EMBEDDED_MAX], other[EMBEDDED_MAX];
	struct writer writer = writer_on(plain, sizeof plain);
	struct span value = { plain, 0 };

	if (kind == HEADER_OTHER || name == header.length || !unescape(&writer, span_behind(header, name + 1))) {
		writer_span(translation->writer, header);
		return;
	}
	value.length = writer_length(&writer);
	if (!dialog_ids_replace(&value, other, sizeof other, kind, value, translation->translate, translation->context)) {
		writer_span(translation->writer, header);
		return;
	}
	translation->changed = true;
	writer_bytes(translation->writer, header.at, name + 1);
	escape(translation->writer, value);
}

/* A user part may have "?" in it, so the header fields begin at the first one behind the host. */
static void put_refer_to(struct translation *translation, struct span value)
{
	const char *end = value.at + value.length, *at = value.at, *uri_end;
	struct span rest = value;
	struct name_addr address;

	if (name_addr_next(&rest, &address)) {
		size_t user = length_until(address.uri, "@", 1);
		struct span host = span_behind(address.uri, user < address.uri.length ? user : 0);

		uri_end = host.at + host.length;
		at = host.at + length_until(host, "?", 1);
		writer_bytes(translation->writer, value.at, (size_t)(at - value.at));
		while (at < uri_end) {
			struct span header = { at + 1, (size_t)(uri_end - at - 1) };

			header.length = length_until(header, "&", 1);
			writer_bytes(translation->writer, at, 1);
			put_embedded(translation, header);
			at = header.at + header.length;
		}
	}
	writer_bytes(translation->writer, at, (size_t)(end - at));
}

bool dialog_ids_replace(struct span *changed, char *out, size_t size, enum header_kind kind, struct span value,
	dialog_ids_translate *translate, void *context)
{
	struct writer writer = writer_on(out, size);
	struct translation translation = { translate, context, &writer, false };

	if (kind == HEADER_REPLACES || kind == HEADER_JOIN)
		put_dialog(&translation, value, "from-tag", "to-tag");
	else if (kind == HEADER_TARGET_DIALOG)
		put_dialog(&translation, value, "local-tag", "remote-tag");
	else if (kind == HEADER_IN_REPLY_TO)
		put_list(&translation, value);
	else if (kind == HEADER_REFER_TO)
		put_refer_to(&translation, value);
	if (!translation.changed || writer.full)
		return false;
	*changed = (struct span){ out, writer_length(&writer) };
	return true;
}
