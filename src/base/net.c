#include "stirrup/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "stirrup/writer.h"

static bool is_mapped(const struct sockaddr *address)
{
	return address->sa_family == AF_INET6 &&
		IN6_IS_ADDR_V4MAPPED(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

void net_host(char out[NET_TEXT_SIZE], const struct sockaddr *address)
{
	const struct sockaddr_in *in = (const void *)address;
	const struct sockaddr_in6 *in6 = (const void *)address;

	out[0] = '\0';
	if (address->sa_family == AF_INET)
		inet_ntop(AF_INET, &in->sin_addr, out, NET_TEXT_SIZE);
	else if (is_mapped(address))
		inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, out, NET_TEXT_SIZE);
	else if (address->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &in6->sin6_addr, out, NET_TEXT_SIZE);
}

void net_text(char out[NET_TEXT_SIZE], const struct sockaddr *address)
{
	struct sockaddr_storage copy = { 0 };
	struct writer writer = writer_on(out, NET_TEXT_SIZE);
	bool bracketed = address->sa_family == AF_INET6 && !is_mapped(address);
	char host[NET_TEXT_SIZE];

	out[0] = '\0';
	net_host(host, address);
	if (host[0] == '\0')
		return;
	memcpy(&copy, address,
		address->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
	writer_text(&writer, bracketed ? "[" : "");
	writer_text(&writer, host);
	writer_text(&writer, bracketed ? "]:" : ":");
	writer_number(&writer, net_port(&copy));
	writer_end(&writer);
}

unsigned net_port(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)address)->sin_port);
	if (address->ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
	return 0;
}

void net_set_port(struct sockaddr_storage *address, unsigned port)
{
	if (address->ss_family == AF_INET)
		((struct sockaddr_in *)address)->sin_port = htons((uint16_t)port);
	else if (address->ss_family == AF_INET6)
		((struct sockaddr_in6 *)address)->sin6_port = htons((uint16_t)port);
}

socklen_t net_length(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

bool net_same_host(const struct sockaddr_storage *one, const struct sockaddr_storage *other)
{
	if (one->ss_family != other->ss_family)
		return false;
	if (one->ss_family == AF_INET)
		return ((const struct sockaddr_in *)one)->sin_addr.s_addr ==
			((const struct sockaddr_in *)other)->sin_addr.s_addr;
	return memcmp(&((const struct sockaddr_in6 *)one)->sin6_addr,
		       &((const struct sockaddr_in6 *)other)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

bool net_same_endpoint(const struct sockaddr_storage *one, const struct sockaddr_storage *other)
{
	return net_same_host(one, other) && net_port(one) == net_port(other);
}
