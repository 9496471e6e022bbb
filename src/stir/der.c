#include "stirrup/der.h"

/* X.690 sections 8.1.3 and 10.1: definite, in as few octets as possible. */
static bool take_length(struct der *in, size_t *length)
{
	unsigned octets;

	if (der_left(in) == 0)
		return false;
	*length = *in->at++;
	if (*length < 0x80)
		return true;
	octets = (unsigned)*length & 0x7f;
	if (octets == 0 || octets > 4 || der_left(in) < octets || *in->at == 0)
		return false;
	*length = 0;
	while (octets-- > 0)
		*length = *length << 8 | *in->at++;
	return *length >= 0x80;
}

bool der_take(struct der *in, unsigned char tag, struct der *content)
{
	struct der rest = *in;
	size_t length;

	if (!der_next_is(&rest, tag))
		return false;
	rest.at++;
	if (!take_length(&rest, &length) || length > der_left(&rest))
		return false;
	*content = (struct der){ rest.at, rest.at + length };
	in->at = rest.at + length;
	return true;
}
