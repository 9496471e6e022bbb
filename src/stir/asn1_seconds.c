#include "asn1_seconds.h"

#include <time.h>

bool asn1_seconds(const ASN1_TIME *time, int64_t *out)
{
	struct tm broken_down;

	/* OpenSSL takes none for now. */
	if (time == NULL || ASN1_TIME_to_tm(time, &broken_down) != 1)
		return false;
	*out = timegm(&broken_down);
	return true;
}
