#include "stirrup/record.h"

#include <stdbool.h>
#include <string.h>

/* Where the line is written. Once something did not fit, full stays set and nothing more is written. */
struct writer {
	char *at;
	char *end;
	bool full;
};

static const char hex[] = "0123456789abcdef";

static void put(struct writer *w, const void *bytes, size_t length)
{
	if (w->full || (size_t)(w->end - w->at) < length) {
		w->full = true;
		return;
	}
	memcpy(w->at, bytes, length);
	w->at += length;
}

#define PUT(w, literal) put((w), "" literal, sizeof(literal) - 1)

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

		put(w, pair, sizeof pair);
		return 1;
	}
	if (*p < 0x80) {
		char escape[6] = { '\\', 'u', '0', '0', hex[*p >> 4], hex[*p & 15] };

		put(w, escape, sizeof escape);
		return 1;
	}
	length = utf8_length(p, left);
	if (length == 0) {
		PUT(w, "\xef\xbf\xbd");
		return 1;
	}
	if (length == 2 && p[0] == 0xc2 && p[1] < 0xa0) {
		/* C1 controls: valid, but some terminals obey them. */
		char escape[6] = { '\\', 'u', '0', '0', hex[p[1] >> 4], hex[p[1] & 15] };

		put(w, escape, sizeof escape);
	} else {
		put(w, p, length);
	}
	return length;
}

static void put_text(struct writer *w, struct span text)
{
	const unsigned char *p = (const unsigned char *)text.at;
	size_t left = text.length;
	/* Past the limit a character is left out whole, so a cut never makes invalid UTF-8. */
	size_t beyond = left > RECORD_STRING_MAX ? left - RECORD_STRING_MAX : 0;

	PUT(w, "\"");
	while (left > beyond) {
		size_t run = 0, length;

		while (run < left - beyond && is_plain(p[run]))
			run++;
		put(w, p, run);
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
	PUT(w, "\"");
}

static void put_span(struct writer *w, struct span text)
{
	if (text.length == 0)
		PUT(w, "null");
	else
		put_text(w, text);
}

static void put_string(struct writer *w, const char *text)
{
	put_span(w, span_of(text));
}

static void put_number(struct writer *w, int64_t number)
{
	char digits[20];
	size_t i = sizeof digits;
	uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

	do {
		digits[--i] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	if (number < 0)
		digits[--i] = '-';
	put(w, digits + i, sizeof digits - i);
}

static void put_number_or_null(struct writer *w, int64_t number)
{
	if (number == 0)
		PUT(w, "null");
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
	put(w, text, sizeof text - 1);
}

static void put_dest(struct writer *w, const char *dest)
{
	PUT(w, "[");
	if (dest != NULL && dest[0] != '\0')
		put_string(w, dest);
	PUT(w, "]");
}

/* Who called whom, through which peer. */
static void put_call(struct writer *w, const struct record *record)
{
	PUT(w, "{\"v\":1,\"time\":");
	put_time(w, record->time_us);
	PUT(w, ",\"node\":");
	put_string(w, record->node);
	PUT(w, ",\"call_id\":");
	put_span(w, record->call_id);
	PUT(w, ",\"peer\":");
	put_string(w, record->peer);
	PUT(w, ",\"source\":");
	put_string(w, record->source);
	PUT(w, ",\"service\":");
	put_string(w, record->service);
	PUT(w, ",\"mode\":");
	put_string(w, record->mode);
	PUT(w, ",\"customer\":");
	put_string(w, record->customer);
	PUT(w, ",\"orig\":");
	put_string(w, record->orig);
	PUT(w, ",\"dest\":");
	put_dest(w, record->dest);
}

/* What was signed, with what. */
static void put_passport(struct writer *w, const struct record *record)
{
	PUT(w, ",\"attest\":");
	put_span(w, (struct span){ &record->attest, record->attest != 0 });
	PUT(w, ",\"origid\":");
	put_string(w, record->origid);
	PUT(w, ",\"iat\":");
	put_number_or_null(w, record->iat);
	PUT(w, ",\"credential\":");
	put_string(w, record->credential);
	PUT(w, ",\"x5u\":");
	put_string(w, record->x5u);
	PUT(w, ",\"spc\":");
	put_string(w, record->spc);
}

static void put_outcome(struct writer *w, const struct record *record)
{
	PUT(w, ",\"result\":");
	put_string(w, record->result);
	PUT(w, ",\"reason\":");
	put_string(w, record->reason);
	PUT(w, ",\"cause\":");
	put_string(w, record->cause);
	PUT(w, ",\"rule\":");
	put_string(w, record->rule);
	PUT(w, ",\"status\":");
	put_number_or_null(w, record->status);
	PUT(w, ",\"next_hop\":");
	put_string(w, record->next_hop);
	PUT(w, ",\"final_status\":");
	put_number_or_null(w, record->final_status);
	PUT(w, ",\"removed\":[],\"identities\":[],\"cache\":null,\"microseconds\":");
	put_number(w, record->microseconds);
	PUT(w, "}\n");
}

size_t record_write(char *out, size_t size, const struct record *record)
{
	struct writer w = { out, out + size, false };

	put_call(&w, record);
	put_passport(&w, record);
	put_outcome(&w, record);
	return w.full ? 0 : (size_t)(w.at - out);
}
