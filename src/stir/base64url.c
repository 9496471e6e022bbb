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

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	if (c == '_')
		return 63;
	return -1;
}

bool base64url_decode(unsigned char *out, size_t size, size_t *length, struct span text)
{
	size_t bytes = text.length / 4 * 3 + text.length % 4 * 6 / 8;
	unsigned char *p = out;
	uint32_t bits = 0;
	int pending = 0;

	/* One character alone is six bits, and no octet. */
	if (text.length % 4 == 1 || bytes > size)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		int value = value_of(text.at[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		pending += 6;
		if (pending >= 8) {
			pending -= 8;
			*p++ = (unsigned char)(bits >> pending);
		}
	}
	if ((bits & ((1U << pending) - 1)) != 0)
		return false;
	*length = bytes;
	return true;
}
