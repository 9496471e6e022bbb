#include "stirrup/hops.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "hop_names.h"
#include "hop_table.h"
#include "stirrup/log.h"
#include "stirrup/writer.h"

#define PROBE_PREFIX "z9hG4bKp"
#define LIST_MAX 16       /* next hops of a peer */
#define CANDIDATES_MAX 32 /* addresses among which a call chooses */
#define NO_TCP_US INT64_C(300000000)

/* A hop of the configuration, in our own copy. */
struct target {
	char *host; /* NULL: the address is literal */
	struct sockaddr_storage address;
	unsigned port;
	enum transport transport;
	bool transport_given;
};

struct endpoint {
	enum transport transport;
	struct sockaddr_storage address;
};

/* What is kept of a configuration. */
struct layout {
	struct target *targets;
	size_t target_count;
	struct endpoint *listeners;
	size_t listener_count;
	int64_t interval_us;
};

struct hops {
	hops_send *probe;
	void *context;
	struct resolver *resolver;
	struct hop_names *names;
	struct hop_table table;
	struct layout layout;
	int64_t now_us;
	char branch_start[sizeof PROBE_PREFIX +
			  8]; /* of all our probes: random, so that they are known from other workers' */
};

/* --- Layout --- */

static void layout_clear(struct layout *layout)
{
	for (size_t i = 0; i < layout->target_count; i++)
		free(layout->targets[i].host);
	free(layout->targets);
	free(layout->listeners);
	*layout = (struct layout){ 0 };
}

static bool layout_add(struct layout *layout, const struct next_hop *hop)
{
	struct target *target = &layout->targets[layout->target_count];

	*target = (struct target){
		.host = hop->host == NULL ? NULL : strdup(hop->host),
		.address = hop->address,
		.port = hop->port,
		.transport = hop->transport,
		.transport_given = hop->transport_given,
	};
	if (hop->host != NULL && target->host == NULL)
		return false;
	layout->target_count++;
	return true;
}

static bool layout_add_peer(struct layout *layout, const struct peer *peer)
{
	for (size_t i = 0; i < peer->next_hop_count; i++)
		if (!layout_add(layout, &peer->next_hops[i]))
			return false;
	for (size_t i = 0; i < peer->treatment_count; i++)
		if (peer->treatment[i].hop != NULL && !layout_add(layout, peer->treatment[i].hop))
			return false;
	return true;
}

static bool layout_read(struct layout *layout, const struct config *config)
{
	size_t total = 0;

	for (size_t i = 0; i < config->peer_count; i++)
		total += config->peers[i].next_hop_count + config->peers[i].treatment_count;
	*layout = (struct layout){ .interval_us = config->probe_interval_ms * INT64_C(1000) };
	layout->targets = calloc(total > 0 ? total : 1, sizeof *layout->targets);
	layout->listeners =
		calloc(config->listener_count > 0 ? config->listener_count : 1, sizeof *layout->listeners);
	if (layout->targets == NULL || layout->listeners == NULL)
		return false;
	for (; layout->listener_count < config->listener_count; layout->listener_count++)
		layout->listeners[layout->listener_count] = (struct endpoint){
			.transport = config->listeners[layout->listener_count].transport,
			.address = config->listeners[layout->listener_count].address,
		};
	for (size_t i = 0; i < config->peer_count; i++)
		if (config->peers[i].mode != MODE_REDIRECT && !layout_add_peer(layout, &config->peers[i]))
			return false;
	return true;
}

static bool layout_has(const struct layout *layout, enum transport transport, sa_family_t family)
{
	for (size_t i = 0; i < layout->listener_count; i++)
		if (layout->listeners[i].transport == transport &&
			layout->listeners[i].address.ss_family == family)
			return true;
	return false;
}

static bool layout_is_us(const struct layout *layout, const struct endpoint *endpoint)
{
	for (size_t i = 0; i < layout->listener_count; i++)
		if (layout->listeners[i].transport == endpoint->transport &&
			net_same_endpoint(&layout->listeners[i].address, &endpoint->address))
			return true;
	return false;
}

/* An address of a name, with the name's port, and by what there is a listener for. */
static struct endpoint endpoint_at(const struct layout *layout, const struct sockaddr_storage *address,
	unsigned port, enum transport transport, bool transport_given)
{
	struct endpoint endpoint = { .transport = transport, .address = *address };

	net_set_port(&endpoint.address, port);
	if (!transport_given)
		endpoint.transport =
			layout_has(layout, TRANSPORT_UDP, address->ss_family) ? TRANSPORT_UDP : TRANSPORT_TCP;
	return endpoint;
}

/* --- Places --- */

static void want(struct hops *hops, const struct sockaddr_storage *address, enum transport transport)
{
	struct hop_place *place = hop_table_find(&hops->table, address, transport);

	if (place == NULL) {
		place = hop_table_add(&hops->table, address, transport);
		if (place == NULL)
			return;
		hop_health_start(&place->health, hops->now_us);
	}
	place->wanted = true;
}

static void want_name(struct hops *hops, const struct target *target)
{
	struct sockaddr_storage addresses[HOP_NAME_ADDRESSES_MAX];
	size_t count = hop_names_addresses(hops->names, target->host, addresses);

	for (size_t i = 0; i < count; i++) {
		struct endpoint endpoint = endpoint_at(&hops->layout, &addresses[i], target->port,
			target->transport, target->transport_given);

		if (layout_has(&hops->layout, endpoint.transport, endpoint.address.ss_family) &&
			!layout_is_us(&hops->layout, &endpoint))
			want(hops, &endpoint.address, endpoint.transport);
	}
}

static void update_places(struct hops *hops)
{
	for (size_t i = 0; i < hops->layout.target_count; i++) {
		const struct target *target = &hops->layout.targets[i];

		if (target->host == NULL)
			want(hops, &target->address, target->transport);
		else
			want_name(hops, target);
	}
	hop_table_sweep(&hops->table);
}

/* Said here, once for each change, and not for each call. */
static void on_names_changed(const char *host, void *context)
{
	struct hops *hops = context;
	struct sockaddr_storage addresses[HOP_NAME_ADDRESSES_MAX];
	size_t count = hop_names_addresses(hops->names, host, addresses);

	for (size_t i = 0; i < hops->layout.target_count; i++) {
		const struct target *target = &hops->layout.targets[i];

		for (size_t at = 0; target->host != NULL && strcasecmp(target->host, host) == 0 && at < count;
			at++) {
			struct endpoint endpoint = endpoint_at(&hops->layout, &addresses[at], target->port,
				target->transport, target->transport_given);

			if (layout_is_us(&hops->layout, &endpoint))
				log_warning("next hop %s: one of its addresses is ours, and not used: calls "
					    "would go round "
					    "in a circle",
					host);
		}
	}
	update_places(hops);
}

/* --- The object --- */

static bool start_branches(struct hops *hops)
{
	struct writer writer = writer_on(hops->branch_start, sizeof hops->branch_start);
	uint32_t number;

	if (getrandom(&number, sizeof number, 0) != sizeof number)
		return false;
	writer_text(&writer, PROBE_PREFIX);
	for (int shift = 28; shift >= 0; shift -= 4)
		writer_bytes(&writer, &"0123456789abcdef"[number >> shift & 15], 1);
	return writer_end(&writer);
}

struct hops *hops_new(hops_send *probe, void *context)
{
	struct hops *hops = calloc(1, sizeof *hops);

	if (hops == NULL)
		return NULL;
	hops->probe = probe;
	hops->context = context;
	hops->resolver = resolver_new();
	hops->names = hop_names_new(hops->resolver, on_names_changed, hops);
	if (hops->resolver != NULL && hops->names != NULL && start_branches(hops))
		return hops;
	hops_free(hops);
	return NULL;
}

void hops_free(struct hops *hops)
{
	if (hops == NULL)
		return;
	/* Before those who asked. */
	resolver_free(hops->resolver);
	hop_names_free(hops->names);
	hop_table_clear(&hops->table);
	layout_clear(&hops->layout);
	free(hops);
}

static bool has_family(const struct layout *layout, sa_family_t family)
{
	return layout_has(layout, TRANSPORT_UDP, family) || layout_has(layout, TRANSPORT_TCP, family);
}

static bool configure_names(struct hops *hops, const struct layout *layout, const struct config *config)
{
	const char **hosts = calloc(layout->target_count > 0 ? layout->target_count : 1, sizeof *hosts);
	struct hop_names_settings settings = {
		.hosts = hosts,
		.has_ipv4 = has_family(layout, AF_INET),
		.has_ipv6 = has_family(layout, AF_INET6),
		.servers = config->dns_servers,
		.server_count = config->dns_server_count,
	};
	bool done;

	if (hosts == NULL)
		return false;
	for (size_t i = 0; i < layout->target_count; i++)
		if (layout->targets[i].host != NULL)
			hosts[settings.count++] = layout->targets[i].host;
	done = hop_names_configure(hops->names, &settings);
	free(hosts);
	return done;
}

void hops_configure(struct hops *hops, const struct config *config)
{
	struct layout layout;

	if (!layout_read(&layout, config) || !configure_names(hops, &layout, config)) {
		log_error("next hops stay as they were: out of memory");
		layout_clear(&layout);
		return;
	}
	layout_clear(&hops->layout);
	hops->layout = layout;
	update_places(hops);
}

/* --- The choice --- */

/* The finalizer of splitmix64: each bit of the input counts in each of the output. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* One after the other is drawn by its share of the weights that are left. */
static void order_by_weight(size_t order[LIST_MAX], const struct next_hop *list, size_t count, uint64_t hash)
{
	uint64_t total = 0;

	for (size_t i = 0; i < count; i++)
		total += list[order[i]].weight;
	for (size_t i = 0; i < count && total > 0; i++) {
		uint64_t drawn = mix(hash + i * UINT64_C(0x9e3779b97f4a7c15)) % total;
		size_t at = i, chosen;

		while (drawn >= list[order[at]].weight)
			drawn -= list[order[at++]].weight;
		chosen = order[at];
		total -= list[chosen].weight;
		memmove(&order[i + 1], &order[i], (at - i) * sizeof *order);
		order[i] = chosen;
	}
}

struct candidate {
	struct hop hop;
	bool last;
};

struct candidates {
	struct candidate items[CANDIDATES_MAX];
	size_t count;
};

/* A place that is not known any more is that of a call which began under an older configuration. */
static void add_candidate(const struct hops *hops, struct candidates *candidates,
	const struct endpoint *endpoint, bool transport_given)
{
	const struct hop_place *place = hop_table_find(&hops->table, &endpoint->address, endpoint->transport);
	struct candidate *candidate = &candidates->items[candidates->count];

	for (size_t i = 0; i < candidates->count; i++)
		if (candidates->items[i].hop.transport == endpoint->transport &&
			net_same_endpoint(&candidates->items[i].hop.address, &endpoint->address))
			return;
	if (candidates->count == CANDIDATES_MAX)
		return;
	if (place != NULL) {
		candidate->hop = place->hop;
		candidate->hop.takes_no_tcp = hops->now_us < place->tcp_again_us;
		candidate->last = hop_health_is_last(&place->health, hops->now_us, hops->layout.interval_us);
	} else {
		candidate->hop =
			(struct hop){ .transport = endpoint->transport, .address = endpoint->address };
		net_text(candidate->hop.text, (const struct sockaddr *)&endpoint->address);
		candidate->last = false;
	}
	candidate->hop.transport_given = transport_given;
	candidates->count++;
}

static uint64_t hash_address(uint64_t hash, const struct sockaddr_storage *address)
{
	char text[NET_TEXT_SIZE];

	net_host(text, (const struct sockaddr *)address);
	for (const char *at = text; *at != '\0'; at++)
		hash = mix(hash ^ (unsigned char)*at);
	return hash;
}

/* Highest first: each address gets its share of the calls, and one that comes or goes moves no others'
 * (rendezvous hashing). */
static void sort_by_hash(struct sockaddr_storage *addresses, size_t count, uint64_t hash)
{
	uint64_t scores[HOP_NAME_ADDRESSES_MAX];

	for (size_t i = 0; i < count; i++) {
		struct sockaddr_storage address = addresses[i];
		uint64_t score = hash_address(hash, &address);
		size_t at = i;

		for (; at > 0 && scores[at - 1] < score; at--) {
			scores[at] = scores[at - 1];
			addresses[at] = addresses[at - 1];
		}
		scores[at] = score;
		addresses[at] = address;
	}
}

static void add_name(
	const struct hops *hops, struct candidates *candidates, const struct next_hop *hop, uint64_t hash)
{
	struct sockaddr_storage addresses[HOP_NAME_ADDRESSES_MAX];
	size_t count = hop_names_addresses(hops->names, hop->host, addresses);

	sort_by_hash(addresses, count, hash);
	for (size_t i = 0; i < count; i++) {
		struct endpoint endpoint = endpoint_at(
			&hops->layout, &addresses[i], hop->port, hop->transport, hop->transport_given);

		if (hop_table_find(&hops->table, &endpoint.address, endpoint.transport) != NULL)
			add_candidate(hops, candidates, &endpoint, hop->transport_given);
	}
}

static void find_candidates(const struct hops *hops, struct candidates *candidates,
	const struct next_hop *list, size_t count, uint64_t hash)
{
	size_t order[LIST_MAX];

	for (size_t i = 0; i < count; i++)
		order[i] = i;
	if (count > 0 && list[0].weight > 0)
		order_by_weight(order, list, count, hash);
	for (size_t i = 0; i < count; i++) {
		const struct next_hop *hop = &list[order[i]];
		struct endpoint endpoint = { .transport = hop->transport, .address = hop->address };

		if (hop->host == NULL)
			add_candidate(hops, candidates, &endpoint, hop->transport_given);
		else
			add_name(hops, candidates, hop, hash);
	}
}

size_t hops_choose(const struct hops *hops, const struct next_hop *list, size_t count, uint64_t hash,
	struct hop chosen[HOPS_CHOSEN_MAX])
{
	struct candidates candidates;
	size_t chosen_count = 0;

	candidates.count = 0;
	find_candidates(hops, &candidates, list, count < LIST_MAX ? count : LIST_MAX, hash);
	for (int last = 0; last <= 1; last++)
		for (size_t i = 0; i < candidates.count && chosen_count < HOPS_CHOSEN_MAX; i++)
			if (candidates.items[i].last == (last == 1))
				chosen[chosen_count++] = candidates.items[i].hop;
	return chosen_count;
}

/* --- Health --- */

static const char *failure_text(enum hop_failure failure)
{
	switch (failure) {
	case HOP_FAILED:
		return "requests get no response, or 503";
	case HOP_REFUSED:
		return "the connection is refused";
	case HOP_SILENT:
		return "no response to OPTIONS";
	case HOP_UNAVAILABLE:
		return "503 to OPTIONS";
	}
	return "";
}

static const char *transport_text(enum transport transport)
{
	return transport == TRANSPORT_TCP ? " by TCP" : "";
}

static void tell(const struct hop_place *place, enum hop_change change, enum hop_failure failure)
{
	const struct hop *hop = &place->hop;

	switch (change) {
	case HOP_UNCHANGED:
		break;
	case HOP_WENT_DOWN:
		log_warning("next hop %s does not answer%s: %s", hop->text, transport_text(hop->transport),
			failure_text(failure));
		break;
	case HOP_CAME_UP:
		log_notice("next hop %s answers again%s", hop->text, transport_text(hop->transport));
		break;
	}
}

static void on_answered(struct hops *hops, struct hop_place *place)
{
	tell(place, hop_health_answered(&place->health, hops->now_us, hops->layout.interval_us), HOP_SILENT);
}

static void on_failed(struct hops *hops, struct hop_place *place, enum hop_failure failure)
{
	tell(place, hop_health_failed(&place->health, hops->now_us, failure), failure);
}

void hops_answered(struct hops *hops, const struct sockaddr_storage *address, enum transport transport)
{
	struct hop_place *place = hop_table_find(&hops->table, address, transport);

	/* Long requests go by TCP to hops of UDP. */
	if (place == NULL && transport == TRANSPORT_TCP)
		place = hop_table_find(&hops->table, address, TRANSPORT_UDP);
	if (place != NULL)
		on_answered(hops, place);
}

void hops_failed(struct hops *hops, const struct sockaddr_storage *address, enum transport transport)
{
	struct hop_place *place = hop_table_find(&hops->table, address, transport);

	if (place != NULL)
		on_failed(hops, place, HOP_FAILED);
}

void hops_refused(struct hops *hops, const struct sockaddr_storage *address, enum transport transport)
{
	struct hop_place *place = hop_table_find(&hops->table, address, transport);

	if (place != NULL)
		on_failed(hops, place, HOP_REFUSED);
}

void hops_takes_no_tcp(struct hops *hops, const struct sockaddr_storage *address)
{
	struct hop_place *place = hop_table_find(&hops->table, address, TRANSPORT_UDP);

	if (place != NULL)
		place->tcp_again_us = hops->now_us + NO_TCP_US;
}

/* --- Probes --- */

/* What follows the common start is random: nobody who has not seen the OPTIONS can answer for the hop. */
static bool new_branch(const struct hops *hops, char branch[HOP_BRANCH_SIZE])
{
	struct writer writer = writer_on(branch, HOP_BRANCH_SIZE);
	uint64_t number;

	if (getrandom(&number, sizeof number, 0) != sizeof number)
		return false;
	writer_text(&writer, hops->branch_start);
	for (int shift = 60; shift >= 0; shift -= 4)
		writer_bytes(&writer, &"0123456789abcdef"[number >> shift & 15], 1);
	return writer_end(&writer);
}

bool hops_is_probe(const struct hops *hops, struct span via_branch)
{
	return via_branch.length == HOP_BRANCH_SIZE - 1 &&
	       memcmp(via_branch.at, hops->branch_start, strlen(hops->branch_start)) == 0;
}

static struct hop_place *find_probed(struct hops *hops, struct span via_branch)
{
	for (size_t i = 0; i < HOP_TABLE_BUCKETS; i++)
		for (struct hop_place *place = hops->table.buckets[i]; place != NULL; place = place->next)
			if (span_is(via_branch, place->branch))
				return place;
	return NULL;
}

void hops_probe_answered(struct hops *hops, struct span via_branch, unsigned status)
{
	struct hop_place *place = hops_is_probe(hops, via_branch) ? find_probed(hops, via_branch) : NULL;

	if (place == NULL)
		return;
	/* A copy of the response says nothing new. */
	place->branch[0] = '\0';
	if (status == 503)
		on_failed(hops, place, HOP_UNAVAILABLE);
	else if (status == 408)
		on_failed(hops, place, HOP_SILENT);
	else
		on_answered(hops, place);
}

static void tick_place(struct hops *hops, struct hop_place *place)
{
	bool send;

	tell(place, hop_health_tick(&place->health, hops->now_us, hops->layout.interval_us, &send),
		HOP_SILENT);
	if (send && new_branch(hops, place->branch))
		hops->probe(&place->hop, span_of(place->branch), hops->context);
}

/* --- The rest --- */

static bool name_has_address(const struct hops *hops, const char *host, const struct sockaddr *address)
{
	struct sockaddr_storage addresses[HOP_NAME_ADDRESSES_MAX];
	size_t count = hop_names_addresses(hops->names, host, addresses);

	/* That of one of our own listeners is the name's, and no hop's. */
	if (!hop_table_has_host(&hops->table, address))
		return false;
	for (size_t i = 0; i < count; i++)
		if (hop_is_same_host((const struct sockaddr *)&addresses[i], address))
			return true;
	return false;
}

bool hops_has_address(
	const struct hops *hops, const struct next_hop *list, size_t count, const struct sockaddr *address)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].host != NULL
				? name_has_address(hops, list[i].host, address)
				: hop_is_same_host((const struct sockaddr *)&list[i].address, address))
			return true;
	return false;
}

bool hops_knows_address(const struct hops *hops, const struct sockaddr *address)
{
	return hop_table_has_host(&hops->table, address);
}

int hops_fd(const struct hops *hops)
{
	return resolver_fd(hops->resolver);
}

void hops_tick(struct hops *hops, int64_t monotonic_us)
{
	hops->now_us = monotonic_us;
	hop_names_tick(hops->names, monotonic_us);
	for (size_t i = 0; i < HOP_TABLE_BUCKETS; i++)
		for (struct hop_place *place = hops->table.buckets[i]; place != NULL; place = place->next)
			tick_place(hops, place);
}
