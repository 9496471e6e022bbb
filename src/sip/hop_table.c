#include "hop_table.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "stirrup/net.h"

/* IPv4 as IPv4-mapped IPv6. */
struct host_key {
	uint8_t octets[16];
};

static bool key_of(struct host_key *key, const struct sockaddr *address)
{
	if (address->sa_family == AF_INET6) {
		memcpy(key->octets, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
		return true;
	}
	if (address->sa_family != AF_INET)
		return false;
	memset(key->octets, 0, 10);
	memset(key->octets + 10, 0xff, 2);
	memcpy(key->octets + 12, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
	return true;
}

/* Who sends from where is no secret, and nobody's choice fills a bucket: what is in them is configured or
 * resolved. */
static size_t bucket_of(const struct host_key *key)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < sizeof key->octets; i++)
		hash = (hash ^ key->octets[i]) * 16777619u;
	return (hash >> 16 ^ hash) % HOP_TABLE_BUCKETS;
}

bool hop_is_same_host(const struct sockaddr *one, const struct sockaddr *other)
{
	struct host_key first, second;

	return key_of(&first, one) && key_of(&second, other) && memcmp(&first, &second, sizeof first) == 0;
}

static struct hop_place *find_in(
	struct hop_place *place, const struct sockaddr_storage *address, enum transport transport)
{
	for (; place != NULL; place = place->next)
		if (place->hop.transport == transport && net_same_endpoint(&place->hop.address, address))
			return place;
	return NULL;
}

struct hop_place *hop_table_find(
	const struct hop_table *table, const struct sockaddr_storage *address, enum transport transport)
{
	struct host_key key;

	return key_of(&key, (const struct sockaddr *)address)
		       ? find_in(table->buckets[bucket_of(&key)], address, transport)
		       : NULL;
}

bool hop_table_has_host(const struct hop_table *table, const struct sockaddr *address)
{
	struct host_key key;

	if (!key_of(&key, address))
		return false;
	for (const struct hop_place *place = table->buckets[bucket_of(&key)]; place != NULL;
		place = place->next)
		if (hop_is_same_host((const struct sockaddr *)&place->hop.address, address))
			return true;
	return false;
}

struct hop_place *hop_table_add(
	struct hop_table *table, const struct sockaddr_storage *address, enum transport transport)
{
	struct hop_place *place = hop_table_find(table, address, transport), **bucket;
	struct host_key key;

	if (place != NULL || !key_of(&key, (const struct sockaddr *)address))
		return place;
	place = calloc(1, sizeof *place);
	if (place == NULL)
		return NULL;
	place->hop.address = *address;
	place->hop.transport = transport;
	net_text(place->hop.text, (const struct sockaddr *)address);
	bucket = &table->buckets[bucket_of(&key)];
	place->next = *bucket;
	*bucket = place;
	return place;
}

void hop_table_sweep(struct hop_table *table)
{
	for (size_t i = 0; i < HOP_TABLE_BUCKETS; i++) {
		struct hop_place **at = &table->buckets[i];

		while (*at != NULL) {
			struct hop_place *place = *at;

			if (place->wanted) {
				place->wanted = false;
				at = &place->next;
				continue;
			}
			*at = place->next;
			free(place);
		}
	}
}

void hop_table_clear(struct hop_table *table)
{
	for (size_t i = 0; i < HOP_TABLE_BUCKETS; i++)
		for (struct hop_place *place = table->buckets[i]; place != NULL; place = place->next)
			place->wanted = false;
	hop_table_sweep(table);
}
