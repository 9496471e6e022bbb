/* der.h: takes DER apart (X.690), element by element, without copying. */
#ifndef STIRRUP_DER_H
#define STIRRUP_DER_H

#include <stdbool.h>
#include <stddef.h>

#define DER_IA5STRING 0x16
#define DER_UTF8STRING 0x0c
#define DER_SEQUENCE 0x30
#define DER_EXPLICIT(number) (0xa0 | (number)) /* [number], constructed */

/* What is left of the content of one element. */
struct der {
	const unsigned char *at;
	const unsigned char *end;
};

static inline size_t der_left(const struct der *in)
{
	return (size_t)(in->end - in->at);
}

static inline bool der_next_is(const struct der *in, unsigned char tag)
{
	return in->at < in->end && *in->at == tag;
}

/* Takes one element of this tag (of one octet). False for another tag, for a length that is indefinite or not
 * in its shortest form, which DER forbids, and for one that runs beyond its surroundings; then nothing is
 * taken. */
bool der_take(struct der *in, unsigned char tag, struct der *content);

#endif
