#include "stirrup/base64url.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t base64url_encode(char *out, const void *data, size_t length)
{
	const unsigned char *in = data;
	char *p = out;

	for (; length >= 3; in += 3, length -= 3) {
		uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];

		*p++ = alphabet[bits >> 18];
		*p++ = alphabet[bits >> 12 & 63];
		*p++ = alphabet[bits >> 6 & 63];
		*p++ = alphabet[bits & 63];
	}
	if (length > 0) {
		uint32_t bits = (uint32_t)in[0] << 16 | (length == 2 ? (uint32_t)in[1] << 8 : 0);

		*p++ = alphabet[bits >> 18];
		*p++ = alphabet[bits >> 12 & 63];
		if (length == 2)
			*p++ = alphabet[bits >> 6 & 63];
	}
	return (size_t)(p - out);
}

/* The six bits of each character, and NONE for what is none. */
#define NONE 0x40

static const unsigned char values[256] = {
	0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40,
	0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40,
	0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x3e, 0x40, 0x40,
	0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40,
	0x40, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
	0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x40, 0x40, 0x40, 0x40, 0x3f,
	0x40, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,
	0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f, 0x30, 0x31, 0x32, 0x33, 0x40, 0x40, 0x40, 0x40, 0x40,
	[0x80 ... 0xff] = NONE,
};

static uint32_t value_of(char c)
{
	return values[(unsigned char)c];
}

/* Whole groups of four; false when there is anything else among the characters. */
static bool decode_groups(unsigned char *out, const char *in, size_t groups)
{
	uint32_t seen = 0;

	for (; groups > 0; groups--, in += 4, out += 3) {
		uint32_t a = value_of(in[0]), b = value_of(in[1]), c = value_of(in[2]), d = value_of(in[3]);
		uint32_t bits = a << 18 | b << 12 | c << 6 | d;

		seen |= a | b | c | d;
		out[0] = (unsigned char)(bits >> 16);
		out[1] = (unsigned char)(bits >> 8);
		out[2] = (unsigned char)bits;
	}
	return (seen & NONE) == 0;
}

/* The two or three characters behind them. */
static bool decode_rest(unsigned char *out, const char *in, size_t length)
{
	uint32_t a = value_of(in[0]), b = value_of(in[1]), c = length == 3 ? value_of(in[2]) : 0;
	uint32_t bits = a << 18 | b << 12 | c << 6;

	out[0] = (unsigned char)(bits >> 16);
	if (length == 3)
		out[1] = (unsigned char)(bits >> 8);
	return ((a | b | c) & NONE) == 0 && (bits & (length == 3 ? 0xff : 0xffff)) == 0;
}

bool base64url_decode(unsigned char *out, size_t size, size_t *length, struct span text)
{
	size_t groups = text.length / 4, rest = text.length % 4;
	size_t bytes = groups * 3 + rest * 6 / 8;

	/* One character alone is six bits, and no octet. */
	if (rest == 1 || bytes > size || !decode_groups(out, text.at, groups) ||
		(rest > 0 && !decode_rest(out + groups * 3, text.at + groups * 4, rest)))
		return false;
	*length = bytes;
	return true;
}
