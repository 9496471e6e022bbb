#include <stdlib.h>
#include <string.h>

#include "reading.h"
#include "stirrup/name_hash.h"

struct hashed {
	uint16_t hash;
	size_t index;
};

struct name_hashes {
	struct hashed *peers, *customers; /* sorted by hash */
	size_t peer_count, customer_count;
};

static int by_hash(const void *left, const void *right)
{
	const struct hashed *one = left, *other = right;

	if (one->hash != other->hash)
		return one->hash < other->hash ? -1 : 1;
	return (one->index > other->index) - (one->index < other->index);
}

/* A peer without name, or with another's, is an error already. */
static void report_peers(struct reading *reading, const struct hashed *one, const struct hashed *other)
{
	const char *first = reading->config->peers[one->index].name;
	const char *second = reading->config->peers[other->index].name;
	char place[PLACE_SIZE];

	if (first == NULL || second == NULL || strcmp(first, second) == 0)
		return;
	setting_error(&reading->tree, config_setting_get_member(reading->peers[other->index], "name"),
		"\"%s\" and \"%s\" (%s) have the same hash, by which requests within a call find their peer; "
		"rename "
		"one of them",
		second, first, setting_place(place, reading->peers[one->index]));
}

static void hash_peers(struct reading *reading, struct name_hashes *hashes)
{
	struct config *config = reading->config;

	hashes->peers = tree_array(&reading->tree, config->peer_count, sizeof *hashes->peers);
	if (hashes->peers == NULL)
		return;
	for (size_t i = 0; i < config->peer_count; i++) {
		config->peers[i].hash = name_hash(span_of(config->peers[i].name));
		if (config->peers[i].mode != MODE_REDIRECT)
			hashes->peers[hashes->peer_count++] = (struct hashed){ config->peers[i].hash, i };
	}
	qsort(hashes->peers, hashes->peer_count, sizeof *hashes->peers, by_hash);
	for (size_t i = 1; i < hashes->peer_count; i++)
		if (hashes->peers[i].hash == hashes->peers[i - 1].hash)
			report_peers(reading, &hashes->peers[i - 1], &hashes->peers[i]);
}

static void hash_customers(struct reading *reading, struct name_hashes *hashes)
{
	struct config *config = reading->config;

	hashes->customers = tree_array(&reading->tree, config->customer_count, sizeof *hashes->customers);
	if (hashes->customers == NULL)
		return;
	for (size_t i = 0; i < config->customer_count; i++) {
		config->customers[i].hash = name_hash(span_of(config->customers[i].name));
		hashes->customers[i] = (struct hashed){ config->customers[i].hash, i };
	}
	hashes->customer_count = config->customer_count;
	qsort(hashes->customers, hashes->customer_count, sizeof *hashes->customers, by_hash);
}

static void hash_listeners(struct reading *reading)
{
	struct config *config = reading->config;

	for (size_t i = 0; i < config->listener_count; i++) {
		struct listener *listener = &config->listeners[i];
		const struct listener *other;

		listener->hash = name_hash(span_of(listener->text));
		other = config_listener_by_hash(config, listener->hash);
		if (other != listener && other->text != NULL && listener->text != NULL)
			setting_error(&reading->tree, tree_find(&reading->tree, "sip.listen"),
				"\"%s\" and \"%s\" have the same hash, by which responses find their way; "
				"use another "
				"port for one of them",
				other->text, listener->text);
	}
}

void name_hashes_read(struct reading *reading)
{
	struct name_hashes *hashes = tree_array(&reading->tree, 1, sizeof *hashes);

	reading->config->name_hashes = hashes;
	if (hashes == NULL)
		return;
	hash_peers(reading, hashes);
	hash_customers(reading, hashes);
	hash_listeners(reading);
}

void name_hashes_free(struct name_hashes *hashes)
{
	if (hashes == NULL)
		return;
	free(hashes->peers);
	free(hashes->customers);
	free(hashes);
}

static size_t first_at_least(const struct hashed *sorted, size_t count, uint16_t hash)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (sorted[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct peer *config_peer_by_hash(const struct config *config, uint16_t hash)
{
	const struct name_hashes *hashes = config->name_hashes;
	size_t at = first_at_least(hashes->peers, hashes->peer_count, hash);

	return at < hashes->peer_count && hashes->peers[at].hash == hash
		       ? &config->peers[hashes->peers[at].index]
		       : NULL;
}

const struct customer *config_customer_by_hash(const struct config *config, uint16_t hash)
{
	const struct name_hashes *hashes = config->name_hashes;
	size_t at = first_at_least(hashes->customers, hashes->customer_count, hash);

	if (at == hashes->customer_count || hashes->customers[at].hash != hash ||
		(at + 1 < hashes->customer_count && hashes->customers[at + 1].hash == hash))
		return NULL;
	return &config->customers[hashes->customers[at].index];
}

const struct listener *config_listener_by_hash(const struct config *config, uint16_t hash)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (config->listeners[i].hash == hash)
			return &config->listeners[i];
	return NULL;
}
