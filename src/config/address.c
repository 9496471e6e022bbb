#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "stirrup/net.h"

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* Up to max, decimal, without sign and leading zeros. */
static bool read_number(unsigned *out, struct span text, unsigned max)
{
	unsigned value = 0;

	if (text.length == 0 || text.length > 5 || (text.length > 1 && text.at[0] == '0'))
		return false;
	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text.at[i] - '0');
	}
	*out = value;
	return value <= max;
}

static bool is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_host_name(struct span text)
{
	char before = '.';

	if (text.length == 0 || text.length > 253)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		char c = text.at[i];

		/* A label neither begins nor ends with a hyphen, and has at least one character. */
		if (!is_alphanumeric(c) && c != '.' && c != '-')
			return false;
		if ((c == '-' && before == '.') || (c == '.' && (before == '.' || before == '-')))
			return false;
		before = c;
	}
	return before != '-';
}

/* The host and what stands behind its last ":", brackets taken off. */
static bool split(struct span text, struct span *host, struct span *port, bool *has_port)
{
	const char *end = text.at + text.length, *colon;

	if (text.length > 0 && text.at[0] == '[') {
		const char *bracket = memchr(text.at, ']', text.length);

		if (bracket == NULL || (bracket + 1 < end && bracket[1] != ':'))
			return false;
		*host = (struct span){ text.at + 1, (size_t)(bracket - text.at) - 1 };
		colon = bracket + 1 < end ? bracket + 1 : NULL;
	} else {
		colon = memchr(text.at, ':', text.length);
		*host = (struct span){ text.at, colon == NULL ? text.length : (size_t)(colon - text.at) };
	}
	*has_port = colon != NULL;
	*port = colon == NULL ? (struct span){ NULL, 0 }
			      : (struct span){ colon + 1, (size_t)(end - colon) - 1 };
	return true;
}

static bool read_literal(struct sockaddr_storage *out, struct span host, bool bracketed)
{
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	char text[INET6_ADDRSTRLEN];

	memset(out, 0, sizeof *out);
	if (!span_copy(text, sizeof text, host))
		return false;
	out->ss_family = bracketed ? AF_INET6 : AF_INET;
	return inet_pton(out->ss_family, text, bracketed ? (void *)&in6->sin6_addr : (void *)&in->sin_addr) ==
	       1;
}

static bool is_bare_ipv6(struct span text)
{
	struct sockaddr_storage unused;

	return read_literal(&unused, text, true);
}

/* What consists of digits and dots only is meant as an IPv4 address. */
static bool is_name_of_host(struct span host)
{
	return is_host_name(host) && strspn(host.at, "0123456789.") < host.length;
}

const char *host_from_text(struct sockaddr_storage *out, struct span *host, unsigned *port, struct span text)
{
	struct span digits;
	bool has_port, bracketed = text.length > 0 && text.at[0] == '[';

	if (is_bare_ipv6(text))
		return "write an IPv6 address in brackets: [2001:db8::1]:5060";
	if (!split(text, host, &digits, &has_port) || host->length == 0)
		return "is not an address and a port, such as 192.0.2.1:5060 or [2001:db8::1]:5060";
	if (!read_literal(out, *host, bracketed)) {
		if (bracketed || !is_name_of_host(*host))
			return "is not a literal IP address";
		out->ss_family = AF_UNSPEC;
	}
	if (!has_port && *port == 0)
		return "has no port; add one, such as :5060";
	if (has_port && (!read_number(port, digits, 65535) || *port == 0))
		return "the port must be 1 to 65535";
	net_set_port(out, *port);
	return NULL;
}

const char *endpoint_from_text(struct sockaddr_storage *out, struct span text, unsigned default_port)
{
	struct span host;
	const char *why = host_from_text(out, &host, &default_port, text);

	if (why == NULL && out->ss_family == AF_UNSPEC)
		return "is a host name; give a literal address";
	return why;
}

bool is_host_port(const char *text)
{
	struct sockaddr_storage unused;
	struct span host, port;
	unsigned number = 1;
	bool has_port;

	if (!split(span_of(text), &host, &port, &has_port))
		return false;
	if (text[0] == '[' ? !read_literal(&unused, host, true) : !is_host_name(host))
		return false;
	return !has_port || (read_number(&number, port, 65535) && number > 0);
}

bool is_wildcard(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return ((const struct sockaddr_in *)address)->sin_addr.s_addr == INADDR_ANY;
	return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

bool is_multicast(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >= 0xe0000000;
	return IN6_IS_ADDR_MULTICAST(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

bool is_ipv4_mapped(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 &&
	       IN6_IS_ADDR_V4MAPPED(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

/* --- Networks --- */

static void unmap(struct network *network)
{
	if (network->family != AF_INET6 || network->prefix < 96 ||
		memcmp(network->address, mapped_prefix, 12) != 0)
		return;
	network->family = AF_INET;
	network->prefix -= 96;
	memmove(network->address, network->address + 12, 4);
	memset(network->address + 4, 0, 12);
}

const char *network_from_text(struct network *out, const char *text)
{
	const char *slash = strchr(text, '/');
	struct span host = { text, slash == NULL ? strlen(text) : (size_t)(slash - text) };
	char address[INET6_ADDRSTRLEN];
	unsigned bits;

	*out = (struct network){ .family = memchr(host.at, ':', host.length) != NULL ? AF_INET6 : AF_INET };
	bits = out->family == AF_INET6 ? 128 : 32;
	if (!span_copy(address, sizeof address, host) || inet_pton(out->family, address, out->address) != 1) {
		if (is_host_name(host) && strspn(text, "0123456789./") < strlen(text))
			return "is a host name; give a literal address";
		return "is not an address or network, such as 192.0.2.1, 192.0.2.0/28 or 2001:db8::/64";
	}
	out->prefix = bits;
	if (slash != NULL && !read_number(&out->prefix, span_of(slash + 1), bits))
		return out->family == AF_INET6 ? "the prefix length must be /0 to /128"
					       : "the prefix length must be /0 to /32";
	unmap(out);
	return NULL;
}

bool network_cut(struct network *network)
{
	bool clean = true;

	for (unsigned i = 0; i < sizeof network->address; i++) {
		unsigned kept = network->prefix <= i * 8 ? 0 : network->prefix - i * 8;
		uint8_t mask = kept >= 8 ? 0xff : (uint8_t)(0xff00 >> kept);

		if ((network->address[i] & ~mask) != 0)
			clean = false;
		network->address[i] &= mask;
	}
	return clean;
}

const char *network_text(char out[NETWORK_TEXT_SIZE], const struct network *network)
{
	char address[INET6_ADDRSTRLEN] = "";

	inet_ntop(network->family, network->address, address, sizeof address);
	snprintf(out, NETWORK_TEXT_SIZE, "%s/%u", address, network->prefix);
	return out;
}

bool network_holds(const struct network *outer, const struct network *inner)
{
	struct network cut = *inner;

	if (outer->family != inner->family || outer->prefix > inner->prefix)
		return false;
	cut.prefix = outer->prefix;
	(void)network_cut(&cut);
	return memcmp(cut.address, outer->address, sizeof cut.address) == 0;
}

bool network_of(struct network *out, const struct sockaddr *address)
{
	*out = (struct network){ .family = address->sa_family };
	if (address->sa_family == AF_INET) {
		out->prefix = 32;
		memcpy(out->address, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
		return true;
	}
	if (address->sa_family == AF_INET6) {
		out->prefix = 128;
		memcpy(out->address, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
		unmap(out);
		return true;
	}
	return false;
}

bool network_has(const struct network *network, const struct sockaddr *address)
{
	struct network one;

	return network_of(&one, address) && network_holds(network, &one);
}
