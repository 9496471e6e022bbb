#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "reading.h"

struct peer_network {
	struct network network;
	int listener; /* -1: on all */
	int peer;
	int position; /* in the peer's addresses, or in those of its far side */
};

/* A run of networks that differ in listener and address only: what matches there is found by binary search.
 */
struct run {
	size_t start, count;
};

struct network_set {
	struct peer_network *items;
	size_t count;
	struct run *runs; /* in the order in which they are asked */
	size_t run_count;
};

struct peer_networks {
	struct network_set peers;
	struct network_set far_sides; /* of the peers whose calls are sent on; on all listeners */
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

static void report_tie(
	struct reading *reading, const struct peer_network *one, const struct peer_network *other)
{
	const config_setting_t *setting = config_setting_get_member(reading->peers[other->peer], "addresses");
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
			setting_place(place, reading->peers[one->peer]));
}

static void sort(struct network_set *set)
{
	qsort(set->items, set->count, sizeof *set->items, by_match);
	for (size_t i = 0; i < set->count; i++) {
		if (i == 0 || compare_runs(&set->items[i - 1], &set->items[i]) != 0)
			set->runs[set->run_count++] = (struct run){ .start = i };
		set->runs[set->run_count - 1].count++;
	}
}

static void report_ties(struct reading *reading, const struct network_set *set)
{
	for (size_t i = 1; i < set->count; i++) {
		const struct peer_network *one = &set->items[i - 1], *other = &set->items[i];

		if (compare_runs(one, other) == 0 && compare_within_run(one, other) == 0)
			report_tie(reading, one, other);
	}
}

static bool make_room(struct tree *tree, struct network_set *set, size_t count)
{
	set->items = tree_array(tree, count, sizeof *set->items);
	set->runs = tree_array(tree, count, sizeof *set->runs);
	return set->items != NULL && set->runs != NULL;
}

static void collect_peers(struct network_set *set, const struct config *config)
{
	for (size_t i = 0; i < config->peer_count; i++) {
		const struct peer *peer = &config->peers[i];

		for (size_t at = 0; at < peer->address_count; at++)
			set->items[set->count++] = (struct peer_network){
				.network = peer->addresses[at],
				.listener = peer->listener,
				.peer = (int)i,
				.position = (int)at,
			};
	}
}

static void add_hop(struct network_set *set, const struct next_hop *hop, int peer)
{
	struct peer_network *item = &set->items[set->count];

	*item = (struct peer_network){ .listener = -1, .peer = peer, .position = (int)set->count };
	if (hop->host == NULL && network_of(&item->network, (const struct sockaddr *)&hop->address))
		set->count++;
}

static void add_far_side(struct network_set *set, const struct peer *peer, int index)
{
	for (size_t i = 0; i < peer->far_side_count; i++) {
		set->items[set->count] = (struct peer_network){
			.network = peer->far_side[i],
			.listener = -1,
			.peer = index,
			.position = (int)set->count,
		};
		set->count++;
	}
	for (size_t i = 0; i < peer->next_hop_count; i++)
		add_hop(set, &peer->next_hops[i], index);
	for (size_t i = 0; i < peer->treatment_count; i++)
		if (peer->treatment[i].hop != NULL)
			add_hop(set, peer->treatment[i].hop, index);
}

void peer_networks_read(struct reading *reading)
{
	const struct config *config = reading->config;
	struct peer_networks *networks = tree_array(&reading->tree, 1, sizeof *networks);
	size_t total = 0, far_total = 0;

	reading->config->peer_networks = networks;
	if (networks == NULL)
		return;
	for (size_t i = 0; i < config->peer_count; i++) {
		const struct peer *peer = &config->peers[i];

		total += peer->address_count;
		far_total += peer->far_side_count + peer->next_hop_count + peer->treatment_count;
	}
	if (!make_room(&reading->tree, &networks->peers, total) ||
		!make_room(&reading->tree, &networks->far_sides, far_total))
		return;
	collect_peers(&networks->peers, config);
	sort(&networks->peers);
	report_ties(reading, &networks->peers);
	for (size_t i = 0; i < config->peer_count; i++)
		if (config->peers[i].mode != MODE_REDIRECT)
			add_far_side(&networks->far_sides, &config->peers[i], (int)i);
	sort(&networks->far_sides);
}

void peer_networks_free(struct peer_networks *networks)
{
	if (networks == NULL)
		return;
	free(networks->peers.items);
	free(networks->peers.runs);
	free(networks->far_sides.items);
	free(networks->far_sides.runs);
	free(networks);
}

static const struct peer_network *find(
	const struct network_set *set, const struct network *address, int listener)
{
	for (size_t i = 0; i < set->run_count; i++) {
		const struct peer_network *items = &set->items[set->runs[i].start], *found;
		struct peer_network key = { .network = *address,
			.listener = items->listener < 0 ? -1 : listener };

		if (items->network.family != address->family)
			continue;
		key.network.prefix = items->network.prefix;
		(void)network_cut(&key.network);
		found = bsearch(&key, items, set->runs[i].count, sizeof *items, by_address);
		if (found != NULL)
			return found;
	}
	return NULL;
}

const struct peer *config_peer_for(const struct config *config, const struct sockaddr *source, int listener)
{
	const struct peer_network *found;
	struct network address;

	if (!network_of(&address, source))
		return NULL;
	found = find(&config->peer_networks->peers, &address, listener);
	return found == NULL ? NULL : &config->peers[found->peer];
}

bool config_may_speak(const struct config *config, const struct sockaddr *source, int listener)
{
	struct network address;

	return network_of(&address, source) &&
	       (find(&config->peer_networks->peers, &address, listener) != NULL ||
		       find(&config->peer_networks->far_sides, &address, -1) != NULL);
}
