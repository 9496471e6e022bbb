#include "stirrup/random_id.h"

#include <stddef.h>
#include <stdlib.h>

uint64_t random_id(void)
{
	static uint64_t ids[64];
	static size_t left;

	if (left == 0) {
		arc4random_buf(ids, sizeof ids);
		left = sizeof ids / sizeof ids[0];
	}
	return ids[--left];
}
