#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "reading.h"

struct peer_network {
	struct network network;
	int listener; /* -1: on all */
	int peer;
	int position; /* in the peer's addresses */
};

/* A run of networks that differ in listener and address only: what matches there is found by binary search.
 */
struct run {
	size_t start, count;
};

struct peer_networks {
	struct peer_network *items;
	size_t count;
	struct run *runs; /* in the order in which they are asked */
	size_t run_count;
};

static int compare(int one, int other)
{
	return (one > other) - (one < other);
}

/* Those of one listener first, then the longest prefix first. */
static int compare_runs(const struct peer_network *one, const struct peer_network *other)
{
	int order = compare(one->listener < 0, other->listener < 0);

	if (order == 0)
		order = compare(one->network.family, other->network.family);
	return order != 0 ? order : compare((int)other->network.prefix, (int)one->network.prefix);
}

static int compare_within_run(const struct peer_network *one, const struct peer_network *other)
{
	int order = compare(one->listener, other->listener);

	return order != 0 ? order
			  : memcmp(one->network.address, other->network.address, sizeof one->network.address);
}

static int by_match(const void *left, const void *right)
{
	const struct peer_network *one = left, *other = right;
	int order = compare_runs(one, other);

	if (order == 0)
		order = compare_within_run(one, other);
	if (order == 0)
		order = compare(one->peer, other->peer);
	return order != 0 ? order : compare(one->position, other->position);
}

static int by_address(const void *key, const void *item)
{
	return compare_within_run(key, item);
}

static const char *shown_name(const struct peer *peer)
{
	return peer->name == NULL ? "without name" : peer->name;
}

static void report_tie(struct reading *reading, const config_setting_t *const *entries,
	const struct peer_network *one, const struct peer_network *other)
{
	const config_setting_t *setting = config_setting_get_member(entries[other->peer], "addresses");
	char network[NETWORK_TEXT_SIZE], place[PLACE_SIZE];

	network_text(network, &one->network);
	if (one->peer == other->peer)
		setting_warning(&reading->tree, setting, "\"%s\": is listed twice", network);
	else
		setting_error(&reading->tree, setting,
			"\"%s\": peer %s (%s) has the same network on the same listeners; give one of them a "
			"longer prefix "
			"or a listener of its own",
			network, shown_name(&reading->config->peers[one->peer]),
			setting_place(place, entries[one->peer]));
}

static void find_runs(
	struct reading *reading, struct peer_networks *networks, const config_setting_t *const *entries)
{
	for (size_t i = 0; i < networks->count; i++) {
		const struct peer_network *item = &networks->items[i];

		if (i == 0 || compare_runs(item - 1, item) != 0)
			networks->runs[networks->run_count++] = (struct run){ .start = i };
		else if (compare_within_run(item - 1, item) == 0)
			report_tie(reading, entries, item - 1, item);
		networks->runs[networks->run_count - 1].count++;
	}
}

static void collect(struct peer_networks *networks, const struct config *config)
{
	for (size_t i = 0; i < config->peer_count; i++) {
		const struct peer *peer = &config->peers[i];

		for (size_t at = 0; at < peer->address_count; at++)
			networks->items[networks->count++] = (struct peer_network){
				.network = peer->addresses[at],
				.listener = peer->listener,
				.peer = (int)i,
				.position = (int)at,
			};
	}
}

void peer_networks_read(struct reading *reading, const config_setting_t *const *entries)
{
	struct peer_networks *networks = tree_array(&reading->tree, 1, sizeof *networks);
	size_t total = 0;

	reading->config->peer_networks = networks;
	if (networks == NULL)
		return;
	for (size_t i = 0; i < reading->config->peer_count; i++)
		total += reading->config->peers[i].address_count;
	networks->items = tree_array(&reading->tree, total, sizeof *networks->items);
	networks->runs = tree_array(&reading->tree, total, sizeof *networks->runs);
	if (networks->items == NULL || networks->runs == NULL)
		return;
	collect(networks, reading->config);
	qsort(networks->items, networks->count, sizeof *networks->items, by_match);
	find_runs(reading, networks, entries);
}

void peer_networks_free(struct peer_networks *networks)
{
	if (networks == NULL)
		return;
	free(networks->items);
	free(networks->runs);
	free(networks);
}

const struct peer *config_peer_for(const struct config *config, const struct sockaddr *source, int listener)
{
	const struct peer_networks *networks = config->peer_networks;
	struct network address;

	if (!network_of(&address, source))
		return NULL;
	for (size_t i = 0; i < networks->run_count; i++) {
		const struct peer_network *items = &networks->items[networks->runs[i].start], *found;
		struct peer_network key = { .network = address,
			.listener = items->listener < 0 ? -1 : listener };

		if (items->network.family != address.family)
			continue;
		key.network.prefix = items->network.prefix;
		(void)network_cut(&key.network);
		found = bsearch(&key, items, networks->runs[i].count, sizeof *items, by_address);
		if (found != NULL)
			return &config->peers[found->peer];
	}
	return NULL;
}
