/* name_hash.h: the name of a peer, customer or listener in 16 bits, as it is sealed into messages. The same on every node. */
#ifndef STIRRUP_NAME_HASH_H
#define STIRRUP_NAME_HASH_H

#include <stdint.h>

#include "stirrup/span.h"

/* FNV-1a of 32 bits, its halves folded into one. */
static inline uint16_t name_hash(struct span name)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < name.length; i++)
		hash = (hash ^ (unsigned char)name.at[i]) * 16777619u;
	return (uint16_t)(hash >> 16 ^ hash);
}

#endif
