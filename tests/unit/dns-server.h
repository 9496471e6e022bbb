/* dns-server.h: a DNS server on loopback that says what a test wants it to say. */
#ifndef TEST_DNS_SERVER_H
#define TEST_DNS_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stirrup/net.h"

#define DNS_A 1
#define DNS_AAAA 28
#define DNS_RECORDS_MAX 20

enum dns_mood { DNS_ANSWERS, DNS_SILENT, DNS_SERVFAIL, DNS_NXDOMAIN, DNS_GARBAGE, DNS_CUT };

struct dns_zone {
	char name[256];
	enum dns_mood mood, mood_aaaa;
	unsigned ttl;
	const char *a[DNS_RECORDS_MAX], *aaaa[DNS_RECORDS_MAX]; /* ended by NULL */
	unsigned asked_a, asked_aaaa;
};

#define DNS_ZONES_MAX 64

static struct {
	int fd, stop[2];
	unsigned port;
	pthread_t thread;
	pthread_mutex_t lock;
	struct dns_zone zones[DNS_ZONES_MAX];
	size_t count;
} dns;

static struct dns_zone *dns_find(const char *name)
{
	for (size_t i = 0; i < dns.count; i++)
		if (strcasecmp(dns.zones[i].name, name) == 0)
			return &dns.zones[i];
	return NULL;
}

/* In place of what was there; the counters stay. */
static inline void dns_say(struct dns_zone zone)
{
	struct dns_zone *old;

	pthread_mutex_lock(&dns.lock);
	old = dns_find(zone.name);
	if (old == NULL && dns.count < DNS_ZONES_MAX)
		old = &dns.zones[dns.count++];
	if (old != NULL) {
		zone.asked_a = old->asked_a;
		zone.asked_aaaa = old->asked_aaaa;
		*old = zone;
	}
	pthread_mutex_unlock(&dns.lock);
}

static inline unsigned dns_asked(const char *name, unsigned type)
{
	const struct dns_zone *zone;
	unsigned asked = 0;

	pthread_mutex_lock(&dns.lock);
	zone = dns_find(name);
	if (zone != NULL)
		asked = type == DNS_A ? zone->asked_a : zone->asked_aaaa;
	pthread_mutex_unlock(&dns.lock);
	return asked;
}

/* The name of the only question, and its type. Returns where the question ends; 0: not one. */
static size_t dns_read_question(const uint8_t *query, size_t length, char name[256], unsigned *type)
{
	size_t at = 12, out = 0;

	while (at < length && query[at] != 0) {
		size_t label = query[at];

		if (at + 1 + label >= length || out + label + 1 >= 256)
			return 0;
		if (out > 0)
			name[out++] = '.';
		memcpy(name + out, query + at + 1, label);
		out += label;
		at += 1 + label;
	}
	name[out] = '\0';
	if (at + 5 > length)
		return 0;
	*type = (unsigned)query[at + 1] << 8 | query[at + 2];
	return at + 5;
}

static size_t dns_put_record(uint8_t *out, unsigned type, unsigned ttl, const char *address)
{
	const uint8_t head[] = { 0xc0, 12, 0, (uint8_t)type, 0, 1, (uint8_t)(ttl >> 24), (uint8_t)(ttl >> 16),
		(uint8_t)(ttl >> 8), (uint8_t)ttl, 0, type == DNS_A ? 4 : 16 };

	memcpy(out, head, sizeof head);
	inet_pton(type == DNS_A ? AF_INET : AF_INET6, address, out + sizeof head);
	return sizeof head + head[11];
}

/* Returns the length of the reply; 0: none. */
static size_t dns_reply(uint8_t *reply, const uint8_t *query, size_t length, unsigned **asked)
{
	static const uint8_t flags[] = { 0x81, 0x80 };
	struct dns_zone *zone;
	enum dns_mood mood;
	unsigned type, count = 0;
	char name[256];
	size_t question = dns_read_question(query, length, name, &type), at = question;

	zone = at == 0 ? NULL : dns_find(name);
	if (zone == NULL)
		return 0;
	*asked = type == DNS_A ? &zone->asked_a : &zone->asked_aaaa;
	mood = type == DNS_A ? zone->mood : zone->mood_aaaa;
	memset(reply, 0, 12);
	memcpy(reply, query, at);
	memcpy(reply + 2, flags, 2);
	memset(reply + 6, 0, 6);
	for (const char *const *address = type == DNS_A ? zone->a : zone->aaaa; *address != NULL;
		address++, count++)
		at += dns_put_record(reply + at, type, zone->ttl, *address);
	reply[7] = (uint8_t)count;
	switch (mood) {
	case DNS_ANSWERS:
		return at;
	case DNS_SILENT:
		return 0;
	case DNS_SERVFAIL:
	case DNS_NXDOMAIN:
		reply[3] |= mood == DNS_SERVFAIL ? 2 : 3;
		reply[7] = 0;
		return question;
	case DNS_GARBAGE:
		memset(reply + 12, 0xff, at - 12);
		return at;
	case DNS_CUT:
		return at - 3;
	}
	return 0;
}

static void *dns_serve(void *unused)
{
	struct pollfd polled[] = { { .fd = dns.fd, .events = POLLIN },
		{ .fd = dns.stop[0], .events = POLLIN } };

	while (poll(polled, 2, -1) > 0 && polled[1].revents == 0) {
		struct sockaddr_storage from;
		socklen_t from_length = sizeof from;
		uint8_t query[512], reply[2048];
		ssize_t length =
			recvfrom(dns.fd, query, sizeof query, 0, (struct sockaddr *)&from, &from_length);
		unsigned *asked = NULL;
		size_t reply_length;

		if (length < 12)
			continue;
		pthread_mutex_lock(&dns.lock);
		reply_length = dns_reply(reply, query, (size_t)length, &asked);
		if (reply_length > 0)
			(void)sendto(dns.fd, reply, reply_length, 0, (struct sockaddr *)&from, from_length);
		/* Who sees the count finds the reply in his socket. */
		if (asked != NULL)
			++*asked;
		pthread_mutex_unlock(&dns.lock);
	}
	return NULL;
}

static inline int dns_start(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;

	pthread_mutex_init(&dns.lock, NULL);
	dns.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (dns.fd < 0 || pipe(dns.stop) != 0 ||
		bind(dns.fd, (struct sockaddr *)&address, sizeof address) != 0 ||
		getsockname(dns.fd, (struct sockaddr *)&address, &length) != 0)
		return -1;
	dns.port = ntohs(address.sin_port);
	return pthread_create(&dns.thread, NULL, dns_serve, NULL);
}

static inline int dns_stop(void)
{
	close(dns.stop[1]);
	pthread_join(dns.thread, NULL);
	close(dns.stop[0]);
	close(dns.fd);
	return 0;
}

#endif
