#include "stirrup/record.h"

#include <stdbool.h>
#include <string.h>

#include "stirrup/writer.h"

static const char hex[] = "0123456789abcdef";

/* Bytes that a JSON string takes as they are: printable ASCII but the quote and the backslash (RFC 8259 section 7). */
static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* The length of the UTF-8 sequence at p (RFC 3629 section 4), 0 when there is none: overlong forms, surrogates, what
 * lies above U+10FFFF, a sequence cut short. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t length;

	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		length = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		length = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		length = 4;
	else
		return 0;
	if (left < length)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return length;
}

/* One character that is not plain; returns how many bytes it had. */
static size_t put_special(struct writer *w, const unsigned char *p, size_t left)
{
	size_t length;

	if (*p == '"' || *p == '\\') {
		char pair[2] = { '\\', (char)*p };

		writer_bytes(w, pair, sizeof pair);
		return 1;
	}
	if (*p < 0x80) {
		char escape[6] = { '\\', 'u', '0', '0', hex[*p >> 4], hex[*p & 15] };

		writer_bytes(w, escape, sizeof escape);
		return 1;
	}
	length = utf8_length(p, left);
	if (length == 0) {
		writer_text(w, "\xef\xbf\xbd");
		return 1;
	}
	if (length == 2 && p[0] == 0xc2 && p[1] < 0xa0) {
		/* C1 controls: valid, but some terminals obey them. */
		char escape[6] = { '\\', 'u', '0', '0', hex[p[1] >> 4], hex[p[1] & 15] };

		writer_bytes(w, escape, sizeof escape);
	} else {
		writer_bytes(w, p, length);
	}
	return length;
}

/* What stands between the quotes: at most max octets of the text. */
static void put_characters(struct writer *w, struct span text, size_t max)
{
	const unsigned char *p = (const unsigned char *)text.at;
	size_t left = text.length;
	/* Past the limit a character is left out whole, so a cut never makes invalid UTF-8. */
	size_t beyond = left > max ? left - max : 0;

	while (left > beyond) {
		size_t run = 0, length;

		while (run < left - beyond && is_plain(p[run]))
			run++;
		writer_bytes(w, p, run);
		p += run;
		left -= run;
		if (left <= beyond)
			break;
		length = *p >= 0xc2 ? utf8_length(p, left) : 1;
		if (length > left - beyond)
			break;
		length = put_special(w, p, left);
		p += length;
		left -= length;
	}
}

static void put_cut(struct writer *w, struct span text, size_t max)
{
	if (text.length == 0) {
		writer_text(w, "null");
		return;
	}
	writer_text(w, "\"");
	put_characters(w, text, max);
	writer_text(w, "\"");
}

static void put_span(struct writer *w, struct span text)
{
	put_cut(w, text, RECORD_STRING_MAX);
}

static void put_string(struct writer *w, const char *text)
{
	put_span(w, span_of(text));
}

static void put_number(struct writer *w, int64_t number)
{
	if (number < 0)
		writer_text(w, "-");
	writer_number(w, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

static void put_number_or_null(struct writer *w, int64_t number)
{
	if (number == 0)
		writer_text(w, "null");
	else
		put_number(w, number);
}

static void decimal(char *out, unsigned value, unsigned digits)
{
	while (digits-- > 0) {
		out[digits] = (char)('0' + value % 10);
		value /= 10;
	}
}

/* RFC 3339 in UTC with milliseconds. The date is computed here because gmtime_r() takes a lock and costs as much as
 * the rest of the line: days are counted from 1 March 0000, so that a leap day ends its year. */
static void put_time(struct writer *w, int64_t time_us)
{
	char text[] = "\"0000-00-00T00:00:00.000Z\"";
	const int64_t day_us = 86400LL * 1000000, latest_us = 253402300799LL * 1000000; /* the end of 9999 */
	int64_t us = time_us < 0 ? 0 : time_us > latest_us ? latest_us : time_us;
	unsigned days = (unsigned)(us / day_us) + 719468;
	unsigned ms = (unsigned)(us % day_us / 1000);
	unsigned era = days / 146097, day_of_era = days % 146097;
	unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned month = (5 * day_of_year + 2) / 153; /* 0 is March */

	decimal(text + 1, era * 400 + year_of_era + (month >= 10), 4);
	decimal(text + 6, month < 10 ? month + 3 : month - 9, 2);
	decimal(text + 9, day_of_year - (153 * month + 2) / 5 + 1, 2);
	decimal(text + 12, ms / 3600000, 2);
	decimal(text + 15, ms / 60000 % 60, 2);
	decimal(text + 18, ms / 1000 % 60, 2);
	decimal(text + 21, ms % 1000, 3);
	writer_bytes(w, text, sizeof text - 1);
}

static void put_dest(struct writer *w, const char *dest)
{
	writer_text(w, "[");
	if (dest != NULL && dest[0] != '\0')
		put_string(w, dest);
	writer_text(w, "]");
}

/* Who called whom, through which peer. */
static void put_call(struct writer *w, const struct record *record)
{
	writer_text(w, "{\"v\":1,\"time\":");
	put_time(w, record->time_us);
	writer_text(w, ",\"node\":");
	put_string(w, record->node);
	writer_text(w, ",\"call_id\":");
	put_span(w, record->call_id);
	writer_text(w, ",\"peer\":");
	put_string(w, record->peer);
	writer_text(w, ",\"source\":");
	put_string(w, record->source);
	writer_text(w, ",\"service\":");
	put_string(w, record->service);
	writer_text(w, ",\"mode\":");
	put_string(w, record->mode);
	writer_text(w, ",\"customer\":");
	put_string(w, record->customer);
	writer_text(w, ",\"orig\":");
	put_string(w, record->orig);
	writer_text(w, ",\"dest\":");
	put_dest(w, record->dest);
}

/* What was signed, with what. */
static void put_passport(struct writer *w, const struct record *record)
{
	writer_text(w, ",\"attest\":");
	put_span(w, (struct span){ &record->attest, record->attest != 0 });
	writer_text(w, ",\"origid\":");
	put_string(w, record->origid);
	writer_text(w, ",\"iat\":");
	put_number_or_null(w, record->iat);
	writer_text(w, ",\"credential\":");
	put_string(w, record->credential);
	writer_text(w, ",\"x5u\":");
	put_string(w, record->x5u);
	writer_text(w, ",\"spc\":");
	put_string(w, record->spc);
}

static void put_removed(struct writer *w, const struct record *record)
{
	writer_text(w, ",\"removed\":[");
	for (size_t i = 0; i < record->removed_count; i++) {
		writer_text(w, i > 0 ? "," : "");
		put_string(w, record->removed[i]);
	}
	writer_text(w, "]");
}

static void put_identity(struct writer *w, const struct record_identity *identity)
{
	writer_text(w, "{\"ppt\":");
	put_string(w, identity->ppt);
	writer_text(w, ",\"x5u\":");
	put_string(w, identity->x5u);
	writer_text(w, ",\"spc\":");
	put_string(w, identity->spc);
	writer_text(w, ",\"attest\":");
	put_span(w, (struct span){ &identity->attest, identity->attest != 0 });
	writer_text(w, ",\"origid\":");
	put_string(w, identity->origid);
	writer_text(w, ",\"result\":");
	put_string(w, identity->result);
	writer_text(w, ",\"reason\":");
	put_string(w, identity->reason);
	writer_text(w, "}");
}

static void put_identities(struct writer *w, const struct record *record)
{
	writer_text(w, ",\"identities\":[");
	for (size_t i = 0; i < record->identity_count; i++) {
		writer_text(w, i > 0 ? "," : "");
		put_identity(w, &record->identities[i]);
	}
	writer_text(w, "]");
}

/* What came before the final, and what was said of the final itself. */
static void put_notes(struct writer *w, struct span before, struct span last)
{
	if (before.length == 0 || last.length == 0) {
		put_cut(w, before.length == 0 ? last : before, RECORD_NOTE_MAX);
		return;
	}
	writer_text(w, "\"");
	put_characters(w, before, RECORD_NOTE_MAX);
	writer_text(w, "; ");
	put_characters(w, last, RECORD_NOTE_MAX);
	writer_text(w, "\"");
}

static void put_final(struct writer *w, const struct record_final *final)
{
	bool refused = final->status >= 300;

	writer_text(w, "\"final_status\":");
	put_number_or_null(w, final->status);
	writer_text(w, ",\"rejected_by\":");
	put_cut(w, refused ? final->by : (struct span){ "", 0 }, RECORD_BY_MAX);
	writer_text(w, ",\"rejection\":");
	put_cut(w, refused ? final->why : (struct span){ "", 0 }, RECORD_REJECTION_MAX);
	writer_text(w, ",\"note\":");
	put_notes(w, final->note, refused ? (struct span){ "", 0 } : final->why);
}

static void put_decision(struct writer *w, const struct record *record)
{
	writer_text(w, ",\"result\":");
	put_string(w, record->result);
	writer_text(w, ",\"reason\":");
	put_string(w, record->reason);
	writer_text(w, ",\"cause\":");
	put_string(w, record->cause);
	writer_text(w, ",\"rule\":");
	put_string(w, record->rule);
	writer_text(w, ",\"status\":");
	put_number_or_null(w, record->status);
	writer_text(w, ",\"next_hop\":");
	put_string(w, record->next_hop);
	writer_text(w, ",");
}

static void put_rest(struct writer *w, const struct record *record)
{
	put_removed(w, record);
	put_identities(w, record);
	writer_text(w, ",\"cache\":");
	put_string(w, record->cache);
	writer_text(w, ",\"microseconds\":");
	put_number(w, record->microseconds);
	writer_text(w, "}\n");
}

size_t record_write(char *out, size_t size, const struct record *record)
{
	struct writer w = writer_on(out, size);

	put_call(&w, record);
	put_passport(&w, record);
	put_decision(&w, record);
	put_final(&w, &record->final);
	put_rest(&w, record);
	return w.full ? 0 : writer_length(&w);
}

size_t record_write_open(char *out, size_t size, const struct record *record, struct span *hole)
{
	struct writer w = writer_on(out, size);

	put_call(&w, record);
	put_passport(&w, record);
	put_decision(&w, record);
	*hole = (struct span){ w.at, sizeof RECORD_NO_FINAL - 1 };
	writer_text(&w, RECORD_NO_FINAL);
	put_rest(&w, record);
	return w.full ? 0 : writer_length(&w);
}

size_t record_write_final(char *out, size_t size, const struct record_final *final)
{
	struct writer w = writer_on(out, size);

	put_final(&w, final);
	return w.full ? 0 : writer_length(&w);
}

size_t record_write_hop(char *out, size_t size, struct span by)
{
	struct writer w = writer_on(out, size);

	writer_text(&w, "\"next_hop\":");
	put_cut(&w, by, RECORD_BY_MAX);
	writer_text(&w, ",");
	return w.full ? 0 : writer_length(&w);
}
