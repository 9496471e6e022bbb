#include "resolver.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <ares.h>

#include "stirrup/log.h"
#include "stirrup/net.h"

#define TRY_MS 1000 /* the second try waits longer, by c-ares' own rule */
#define TRIES 2
#define EVENTS_MAX 16

struct resolver {
	int epoll;
	ares_channel channel;
	bool has_channel;
	bool closing; /* the channel is: answers are for nobody */
};

struct question {
	struct resolver *resolver;
	sa_family_t family;
	resolver_done *done;
	void *context;
};

struct resolver *resolver_new(void)
{
	struct resolver *resolver = calloc(1, sizeof *resolver);

	if (resolver == NULL || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		free(resolver);
		return NULL;
	}
	resolver->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (resolver->epoll >= 0)
		return resolver;
	ares_library_cleanup();
	free(resolver);
	return NULL;
}

static void close_channel(struct resolver *resolver)
{
	if (!resolver->has_channel)
		return;
	resolver->closing = true;
	ares_destroy(resolver->channel);
	resolver->closing = false;
	resolver->has_channel = false;
}

void resolver_free(struct resolver *resolver)
{
	if (resolver == NULL)
		return;
	close_channel(resolver);
	close(resolver->epoll);
	ares_library_cleanup();
	free(resolver);
}

/* --- The channel --- */

static void watch(void *context, ares_socket_t fd, int readable, int writable)
{
	const struct resolver *resolver = context;
	struct epoll_event event = {
		.events = (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0),
		.data.fd = fd,
	};

	if (!readable && !writable)
		epoll_ctl(resolver->epoll, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(resolver->epoll, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT &&
		 epoll_ctl(resolver->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		log_warning("a socket for DNS cannot be watched: %s", strerror(errno));
}

static bool set_servers(ares_channel channel, const struct sockaddr_storage *servers, size_t count)
{
	struct ares_addr_port_node *nodes = calloc(count, sizeof *nodes);
	bool set;

	if (nodes == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		struct ares_addr_port_node *node = &nodes[i];

		node->next = i + 1 < count ? node + 1 : NULL;
		node->family = servers[i].ss_family;
		node->udp_port = node->tcp_port = (int)net_port(&servers[i]);
		if (node->family == AF_INET)
			memcpy(&node->addr, &((const struct sockaddr_in *)&servers[i])->sin_addr,
				sizeof(struct in_addr));
		else
			memcpy(&node->addr, &((const struct sockaddr_in6 *)&servers[i])->sin6_addr,
				sizeof(struct in6_addr));
	}
	set = ares_set_servers_ports(channel, nodes) == ARES_SUCCESS;
	free(nodes);
	return set;
}

bool resolver_use(struct resolver *resolver, const struct sockaddr_storage *servers, size_t count)
{
	/* ndomains is 0: no search domain, whatever the system has. */
	struct ares_options options = {
		.timeout = TRY_MS,
		.tries = TRIES,
		.sock_state_cb = watch,
		.sock_state_cb_data = resolver,
	};
	int result;

	close_channel(resolver);
	result = ares_init_options(&resolver->channel, &options,
		ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_DOMAINS);
	if (result != ARES_SUCCESS) {
		log_error("host names of next hops cannot be resolved: %s", ares_strerror(result));
		return false;
	}
	resolver->has_channel = true;
	if (count == 0 || set_servers(resolver->channel, servers, count))
		return true;
	log_error("host names of next hops cannot be resolved: sip.dns_servers cannot be set");
	close_channel(resolver);
	return false;
}

/* --- Questions --- */

/* One with the highest bit set counts as 0 (RFC 2181 section 8). */
static void shorten_ttl(unsigned *ttl_s, int other)
{
	unsigned seconds = other < 0 ? 0 : (unsigned)other;

	if (seconds < *ttl_s)
		*ttl_s = seconds;
}

/* Aliases on the way to the addresses have lives of their own. */
static void take_addresses(
	struct resolver_answer *answer, const struct ares_addrinfo *result, sa_family_t family)
{
	answer->ttl_s = UINT32_MAX;
	for (const struct ares_addrinfo_cname *cname = result->cnames; cname != NULL; cname = cname->next)
		shorten_ttl(&answer->ttl_s, cname->ttl);
	for (const struct ares_addrinfo_node *node = result->nodes; node != NULL; node = node->ai_next) {
		if (node->ai_family != family || node->ai_addrlen > sizeof answer->addresses[0] ||
			answer->count == RESOLVER_ADDRESSES_MAX)
			continue;
		memcpy(&answer->addresses[answer->count], node->ai_addr, node->ai_addrlen);
		net_set_port(&answer->addresses[answer->count], 0);
		answer->count++;
		shorten_ttl(&answer->ttl_s, node->ai_ttl);
	}
}

static void on_answer(void *context, int status, int timeouts, struct ares_addrinfo *result)
{
	struct question *question = context;
	struct resolver_answer answer = { .outcome = RESOLVER_FAILED, .why = ares_strerror(status) };

	if (status == ARES_SUCCESS)
		take_addresses(&answer, result, question->family);
	if (status == ARES_SUCCESS || status == ARES_ENODATA)
		answer.outcome = answer.count > 0 ? RESOLVER_FOUND : RESOLVER_NONE;
	ares_freeaddrinfo(result);
	if (!question->resolver->closing)
		question->done(&answer, question->context);
	free(question);
}

void resolver_ask(
	struct resolver *resolver, const char *name, sa_family_t family, resolver_done *done, void *context)
{
	const struct ares_addrinfo_hints hints = { .ai_family = family, .ai_flags = ARES_AI_NOSORT };
	struct question *question = resolver->has_channel ? malloc(sizeof *question) : NULL;

	if (question == NULL) {
		const struct resolver_answer answer = { .outcome = RESOLVER_FAILED, .why = "DNS cannot be asked" };

		done(&answer, context);
		return;
	}
	*question =
		(struct question){ .resolver = resolver, .family = family, .done = done, .context = context };
	ares_getaddrinfo(resolver->channel, name, NULL, &hints, on_answer, question);
}

int resolver_fd(const struct resolver *resolver)
{
	return resolver->epoll;
}

void resolver_turn(struct resolver *resolver)
{
	struct epoll_event events[EVENTS_MAX];
	int count;

	if (!resolver->has_channel)
		return;
	count = epoll_wait(resolver->epoll, events, EVENTS_MAX, 0);
	for (int i = 0; i < count; i++) {
		int fd = events[i].data.fd;

		ares_process_fd(resolver->channel,
			(events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0 ? fd : ARES_SOCKET_BAD,
			(events[i].events & EPOLLOUT) != 0 ? fd : ARES_SOCKET_BAD);
	}
	ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}
