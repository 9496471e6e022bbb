#include "hop_names.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "stirrup/log.h"
#include "stirrup/net.h"
#include "stirrup/writer.h"

#define SECOND_US INT64_C(1000000)
#define TTL_MIN_S 5
#define TTL_MAX_S 300
#define NONE_S 60 /* until it is asked again whether there are addresses of the other family, too */
#define RETRY_MAX_S 64

enum { IPV4, IPV6, FAMILIES };

/* The addresses of one family. Failures never take any away: what was right an hour ago is better than
 * nothing, and whether somebody is there is found out by asking him. */
struct addresses {
	struct name *name;
	sa_family_t family;
	bool pending;
	unsigned failures; /* in a row */
	int64_t due_us;
	size_t count;
	struct sockaddr_storage items[RESOLVER_ADDRESSES_MAX]; /* sorted */
};

struct name {
	struct hop_names *names;
	char *host;
	struct addresses families[FAMILIES];
};

struct hop_names {
	struct resolver *resolver;
	hop_names_changed *changed;
	void *context;
	struct name **items; /* sorted; each stays where it is while it is asked for */
	size_t count;
	bool has_family[FAMILIES];
	int64_t now_us;
};

struct hop_names *hop_names_new(struct resolver *resolver, hop_names_changed *changed, void *context)
{
	struct hop_names *names = calloc(1, sizeof *names);

	if (names != NULL)
		*names = (struct hop_names){ .resolver = resolver, .changed = changed, .context = context };
	return names;
}

static void free_name(struct name *name)
{
	if (name != NULL)
		free(name->host);
	free(name);
}

static void free_items(struct name **items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free_name(items[i]);
	free(items);
}

void hop_names_free(struct hop_names *names)
{
	if (names == NULL)
		return;
	free_items(names->items, names->count);
	free(names);
}

/* --- Which names --- */

static int by_host(const void *left, const void *right)
{
	const struct name *const *one = left, *const *other = right;

	return strcasecmp((*one)->host, (*other)->host);
}

static struct name *find(const struct hop_names *names, const char *host)
{
	size_t low = 0, high = names->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcasecmp(names->items[middle]->host, host);

		if (order == 0)
			return names->items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static struct name *new_name(struct hop_names *names, const char *host)
{
	struct name *name = calloc(1, sizeof *name);

	if (name == NULL)
		return NULL;
	name->names = names;
	name->host = strdup(host);
	name->families[IPV4] = (struct addresses){ .name = name, .family = AF_INET };
	name->families[IPV6] = (struct addresses){ .name = name, .family = AF_INET6 };
	if (name->host != NULL)
		return name;
	free(name);
	return NULL;
}

static void drop_twins(struct name **items, size_t *count)
{
	size_t kept = 0;

	for (size_t i = 0; i < *count; i++) {
		if (kept > 0 && strcasecmp(items[kept - 1]->host, items[i]->host) == 0)
			free_name(items[i]);
		else
			items[kept++] = items[i];
	}
	*count = kept;
}

/* A question that was under way is asked again at once. */
static void take_over(struct hop_names *names, struct name *name, const struct name *old)
{
	for (int i = 0; i < FAMILIES; i++) {
		struct addresses *family = &name->families[i];

		if (!names->has_family[i])
			continue;
		*family = old->families[i];
		family->name = name;
		if (family->pending)
			family->due_us = 0;
		family->pending = false;
	}
}

static struct name **make_items(struct hop_names *names, const char *const *hosts, size_t *count)
{
	struct name **items = calloc(*count > 0 ? *count : 1, sizeof(struct name *));

	for (size_t i = 0; items != NULL && i < *count; i++) {
		items[i] = new_name(names, hosts[i]);
		if (items[i] == NULL) {
			free_items(items, i);
			return NULL;
		}
	}
	if (items != NULL) {
		qsort(items, *count, sizeof *items, by_host);
		drop_twins(items, count);
	}
	return items;
}

bool hop_names_configure(struct hop_names *names, const struct hop_names_settings *settings)
{
	size_t made = settings->count;
	struct name **items = make_items(names, settings->hosts, &made);

	if (items == NULL)
		return false;
	/* Forgets what was asked for the names that go. */
	(void)resolver_use(names->resolver, settings->servers, settings->server_count);
	names->has_family[IPV4] = settings->has_ipv4;
	names->has_family[IPV6] = settings->has_ipv6;
	for (size_t i = 0; i < made; i++) {
		const struct name *old = find(names, items[i]->host);

		if (old != NULL)
			take_over(names, items[i], old);
	}
	free_items(names->items, names->count);
	names->items = items;
	names->count = made;
	return true;
}

size_t hop_names_addresses(
	const struct hop_names *names, const char *host, struct sockaddr_storage out[HOP_NAME_ADDRESSES_MAX])
{
	const struct name *name = find(names, host);
	size_t count = 0;

	for (int i = 0; name != NULL && i < FAMILIES; i++) {
		memcpy(out + count, name->families[i].items, name->families[i].count * sizeof *out);
		count += name->families[i].count;
	}
	return count;
}

/* --- Answers --- */

static const char *record_type(const struct addresses *family)
{
	return family->family == AF_INET ? "A" : "AAAA";
}

/* Any unicast address: next hops are often private. */
static bool is_unicast(const struct sockaddr_storage *address)
{
	const struct in6_addr *in6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
	uint32_t in;

	if (address->ss_family == AF_INET6)
		return !IN6_IS_ADDR_UNSPECIFIED(in6) && !IN6_IS_ADDR_MULTICAST(in6) &&
		       !IN6_IS_ADDR_V4MAPPED(in6);
	in = ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr);
	return in >> 24 != 0 && in < 0xe0000000;
}

static int by_address(const void *left, const void *right)
{
	const struct sockaddr_storage *one = left, *other = right;

	if (one->ss_family == AF_INET)
		return memcmp(&((const struct sockaddr_in *)one)->sin_addr,
			&((const struct sockaddr_in *)other)->sin_addr, sizeof(struct in_addr));
	return memcmp(&((const struct sockaddr_in6 *)one)->sin6_addr,
		&((const struct sockaddr_in6 *)other)->sin6_addr, sizeof(struct in6_addr));
}

static size_t take_usable(
	const struct addresses *family, const struct resolver_answer *answer, struct sockaddr_storage *out)
{
	size_t count = 0, refused = 0;

	for (size_t i = 0; i < answer->count; i++) {
		if (is_unicast(&answer->addresses[i]))
			out[count++] = answer->addresses[i];
		else
			refused++;
	}
	if (refused > 0 && family->failures == 0)
		log_warning("next hop %s: %zu of its %zu addresses (%s) are of no host, and not used",
			family->name->host, refused, answer->count, record_type(family));
	qsort(out, count, sizeof *out, by_address);
	return count;
}

static bool is_same(const struct addresses *family, const struct sockaddr_storage *items, size_t count)
{
	if (family->count != count)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!net_same_endpoint(&family->items[i], &items[i]))
			return false;
	return true;
}

static void log_addresses(const struct name *name)
{
	struct sockaddr_storage addresses[HOP_NAME_ADDRESSES_MAX];
	size_t count = hop_names_addresses(name->names, name->host, addresses);
	char text[HOP_NAME_ADDRESSES_MAX * (NET_TEXT_SIZE + 2)], host[NET_TEXT_SIZE];
	struct writer writer = writer_on(text, sizeof text);

	for (size_t i = 0; i < count; i++) {
		net_host(host, (const struct sockaddr *)&addresses[i]);
		writer_text(&writer, i > 0 ? ", " : "");
		writer_text(&writer, host);
	}
	if (writer_end(&writer))
		log_notice("next hop %s: %s", name->host, count > 0 ? text : "no address any more");
}

static void replace(struct addresses *family, const struct sockaddr_storage *items, size_t count)
{
	struct name *name = family->name;

	if (is_same(family, items, count))
		return;
	memcpy(family->items, items, count * sizeof *items);
	family->count = count;
	log_addresses(name);
	name->names->changed(name->host, name->names->context);
}

static void fail(struct addresses *family, const char *why)
{
	unsigned wait_s = family->failures < 6 ? 1u << family->failures : RETRY_MAX_S;

	if (family->failures == 0)
		log_warning("next hop %s: no answer to %s: %s%s", family->name->host, record_type(family),
			why, family->count > 0 ? "; the addresses that it had stay" : "");
	family->failures++;
	family->due_us = family->name->names->now_us + wait_s * SECOND_US;
}

static void succeed(struct addresses *family, unsigned wait_s)
{
	if (family->failures > 0)
		log_notice("next hop %s: %s is answered again", family->name->host, record_type(family));
	family->failures = 0;
	family->due_us = family->name->names->now_us + wait_s * SECOND_US;
}

/* Few hosts have both families. */
static void take_none(struct addresses *family)
{
	static const struct sockaddr_storage nothing;
	struct addresses *families = family->name->families;
	const struct addresses *other = &families[family->family == AF_INET ? IPV6 : IPV4];

	if (other->count > 0) {
		succeed(family, NONE_S);
		replace(family, &nothing, 0);
	} else if (family->count == 0 && other->pending) {
		family->due_us = family->name->names->now_us + NONE_S * SECOND_US;
	} else {
		fail(family, "the name has no address");
	}
}

static void on_answer(const struct resolver_answer *answer, void *context)
{
	struct sockaddr_storage usable[RESOLVER_ADDRESSES_MAX];
	struct addresses *family = context;
	unsigned ttl_s = answer->ttl_s;
	size_t count;

	family->pending = false;
	switch (answer->outcome) {
	case RESOLVER_FOUND:
		count = take_usable(family, answer, usable);
		if (count == 0) {
			fail(family, "none of its addresses is usable");
			break;
		}
		succeed(family, ttl_s < TTL_MIN_S ? TTL_MIN_S : ttl_s > TTL_MAX_S ? TTL_MAX_S : ttl_s);
		replace(family, usable, count);
		break;
	case RESOLVER_NONE:
		take_none(family);
		break;
	case RESOLVER_FAILED:
		fail(family, answer->why);
		break;
	}
}

static void ask(struct hop_names *names, struct name *name)
{
	bool due[FAMILIES];

	/* Both count as under way before the first is answered, which may be at once: see take_none(). */
	for (int i = 0; i < FAMILIES; i++) {
		struct addresses *family = &name->families[i];

		due[i] = names->has_family[i] && !family->pending && names->now_us >= family->due_us;
		family->pending = family->pending || due[i];
	}
	for (int i = 0; i < FAMILIES; i++)
		if (due[i])
			resolver_ask(names->resolver, name->host, name->families[i].family, on_answer,
				&name->families[i]);
}

void hop_names_tick(struct hop_names *names, int64_t now_us)
{
	names->now_us = now_us;
	resolver_turn(names->resolver);
	for (size_t i = 0; i < names->count; i++)
		ask(names, names->items[i]);
}
