#include "stirrup/x5u_url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "stirrup/passport.h"

#define SCHEME "https://"
#define HTTPS_PORT 443
#define NAME_MAX_BYTES 253 /* RFC 1035 section 2.3.4, written with dots */
#define LABEL_MAX_BYTES 63

/* --- The URL --- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool all_of(struct span text, bool (*is)(char))
{
	for (size_t i = 0; i < text.length; i++)
		if (!is(text.at[i]))
			return false;
	return text.length > 0;
}

static bool is_hex(char c)
{
	return hex_value(c) >= 0;
}

/* RFC 3986 section 3.3: unreserved, sub-delims, ":" and "@", and "/" between segments. */
static bool is_path_character(char c)
{
	return is_letter(c) || is_digit(c) || (c != '\0' && strchr("-._~!$&'()*+,;=:@/", c) != NULL);
}

/* Cuts text at the first of any of these characters: what is before it is returned, *text begins with it
 * then. */
static struct span take_until(struct span *text, const char *characters)
{
	struct span before = *text;

	before.length = 0;
	while (before.length < text->length &&
		(text->at[before.length] == '\0' || strchr(characters, text->at[before.length]) == NULL))
		before.length++;
	text->at += before.length;
	text->length -= before.length;
	return before;
}

static bool starts_with_caseless(struct span text, const char *start)
{
	size_t length = strlen(start);

	return text.length >= length && strncasecmp(text.at, start, length) == 0;
}

/* "127.1", "0x7f000001", "2130706433": resolvers and libcurl read what ends in a number as an IPv4 address.
 */
static bool ends_in_number(struct span host)
{
	struct span last = host;

	for (size_t i = 0; i < host.length; i++)
		if (host.at[i] == '.')
			last = (struct span){ host.at + i + 1, host.length - i - 1 };
	if (all_of(last, is_digit))
		return true;
	if (!starts_with_caseless(last, "0x"))
		return false;
	last.at += 2;
	last.length -= 2;
	return last.length == 0 || all_of(last, is_hex);
}

static const char *check_ipv4(const char *host)
{
	struct in_addr address;

	return inet_pton(AF_INET, host, &address) == 1 ? NULL : "the host is a number but no IPv4 address";
}

static const char *check_name(const char *host)
{
	size_t label = 0, length = strlen(host);

	if (length > NAME_MAX_BYTES)
		return "the host name is too long";
	for (size_t i = 0; i < length; i++) {
		if (host[i] == '.') {
			if (label == 0)
				return "the host name has an empty label";
			label = 0;
		} else if (is_letter(host[i]) || is_digit(host[i]) || host[i] == '-' || host[i] == '_') {
			if (++label > LABEL_MAX_BYTES)
				return "the host name has a label that is too long";
		} else {
			return "a character that a host name cannot have";
		}
	}
	/* "example.net." is the same host as "example.net", under another name in every table. */
	return label == 0 ? "the host name ends in a dot" : NULL;
}

static const char *read_ipv6(struct x5u_url *out, struct span host)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	host.at++;
	host.length -= 2;
	/* No zone either: RFC 6874 is for addresses that are refused anyway. */
	if (!span_copy(text, sizeof text, host) || inet_pton(AF_INET6, text, &address) != 1 ||
		inet_ntop(AF_INET6, &address, text, sizeof text) == NULL)
		return "the host is no IPv6 address";
	snprintf(out->host, sizeof out->host, "[%s]", text);
	return NULL;
}

static const char *read_host(struct x5u_url *out, struct span host)
{
	if (host.length == 0)
		return "no host";
	if (host.at[0] == '[')
		return host.length > 2 && host.at[host.length - 1] == ']' ? read_ipv6(out, host)
									  : "the host is no IPv6 address";
	if (!span_copy(out->host, sizeof out->host, host))
		return "the host name is too long, or has a NUL";
	for (char *p = out->host; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return ends_in_number(host) ? check_ipv4(out->host) : check_name(out->host);
}

static const char *read_port(unsigned *port, struct span text, const unsigned *ports, size_t port_count)
{
	*port = 0;
	if (text.length > 5 || !all_of(text, is_digit) || text.at[0] == '0')
		return "the port is not a number";
	for (size_t i = 0; i < text.length; i++)
		*port = *port * 10 + (unsigned)(text.at[i] - '0');
	for (size_t i = 0; i < port_count; i++)
		if (ports[i] == *port)
			return NULL;
	return "a port that is not allowed";
}

static const char *read_authority(
	struct x5u_url *out, struct span authority, const unsigned *ports, size_t port_count)
{
	static const struct span https_port = { "443", 3 };
	struct span host, port = authority;
	const char *fault;

	if (memchr(authority.at, '@', authority.length) != NULL)
		return "userinfo";
	if (authority.length > 0 && authority.at[0] == '[') {
		host = take_until(&port, "]");
		host.length += port.length > 0;
		port.at += port.length > 0;
		port.length -= port.length > 0;
		if (port.length > 0 && port.at[0] != ':')
			return "the host is no IPv6 address";
	} else {
		host = take_until(&port, ":");
	}
	fault = read_host(out, host);
	if (fault != NULL)
		return fault;
	if (port.length == 0)
		return read_port(&out->port, https_port, ports, port_count);
	port.at++;
	port.length--;
	return read_port(&out->port, port, ports, port_count);
}

/* The octet at text.at[*i], percent-encoding undone, *i then at its last character. -1: not one that may be
 * there. */
static int path_octet(struct span text, size_t *i)
{
	int high, low;

	if (text.at[*i] != '%')
		return is_path_character(text.at[*i]) ? (unsigned char)text.at[*i] : -1;
	if (text.length - *i < 3)
		return -1;
	high = hex_value(text.at[*i + 1]);
	low = hex_value(text.at[*i + 2]);
	*i += 2;
	if (high < 0 || low < 0 || high * 16 + low < ' ' || high * 16 + low == 0x7f)
		return -1;
	return high * 16 + low;
}

/* Clients take dot segments out before they ask (RFC 3986 section 5.2.4), so that the URL signed is not the
 * URL fetched; some undo their percent-encoding first. */
static const char *check_path(struct span path)
{
	size_t dots = 0, octets = 0; /* of this segment */

	for (size_t i = 0; i < path.length; i++) {
		bool separator = path.at[i] == '/';
		int octet = path_octet(path, &i);

		if (octet < 0)
			return "a character that a URL cannot have";
		if (!separator) {
			octets++;
			dots += octet == '.';
		}
		if ((separator || i + 1 == path.length) && octets > 0 && octets == dots && dots <= 2)
			return "a dot segment in the path";
		if (separator)
			dots = octets = 0;
	}
	return NULL;
}

static const char *read_url(struct x5u_url *out, struct span url, const unsigned *ports, size_t port_count)
{
	struct span authority;
	const char *fault;

	if (url.length == 0)
		return "empty";
	if (url.length > PASSPORT_X5U_MAX)
		return "too long";
	if (!starts_with_caseless(url, SCHEME))
		return "not an https URL";
	url.at += strlen(SCHEME);
	url.length -= strlen(SCHEME);
	authority = take_until(&url, "/?#");
	fault = read_authority(out, authority, ports, port_count);
	if (fault != NULL)
		return fault;
	if (memchr(url.at, '#', url.length) != NULL)
		return "a fragment";
	if (memchr(url.at, '?', url.length) != NULL)
		return "a query";
	if (url.length == 0)
		return "no path";
	return check_path(url);
}

bool x5u_url_check(
	struct x5u_url *out, struct span url, const unsigned *ports, size_t port_count, const char **why)
{
	struct x5u_url read;
	const char *fault = read_url(&read, url, ports, port_count);

	if (fault != NULL) {
		*why = fault;
		return false;
	}
	*out = read;
	return true;
}

/* --- The address --- */

struct range {
	uint8_t address[16];
	unsigned prefix;
};

/* The IANA IPv4 Special-Purpose Address Registry (RFC 6890 and what came after it), multicast (RFC 5771) and
 * the reserved rest. */
static const struct range special_ipv4[] = {
	{ { 0 }, 8 },
	{ { 10 }, 8 },
	{ { 100, 64 }, 10 }, /* shared, RFC 6598 */
	{ { 127 }, 8 },
	{ { 169, 254 }, 16 }, /* link-local, and the metadata services of the clouds */
	{ { 172, 16 }, 12 },
	{ { 192, 0, 0 }, 24 },    /* IETF protocol assignments */
	{ { 192, 0, 2 }, 24 },    /* documentation, as 198.51.100.0 and 203.0.113.0 */
	{ { 192, 31, 196 }, 24 }, /* AS112 */
	{ { 192, 52, 193 }, 24 }, /* AMT relays */
	{ { 192, 88, 99 }, 24 },  /* 6to4 relays */
	{ { 192, 168 }, 16 },
	{ { 192, 175, 48 }, 24 }, /* AS112 */
	{ { 198, 18 }, 15 },      /* benchmarking */
	{ { 198, 51, 100 }, 24 },
	{ { 203, 0, 113 }, 24 },
	{ { 224 }, 4 },
	{ { 240 }, 4 },
};

/* Only 2000::/3 is global unicast (RFC 4291 section 2.4): loopback, link-local, unique local, multicast,
 * NAT64, discard-only and IPv4-compatible addresses are outside it. These are within it. */
static const struct range global_unicast = { { 0x20 }, 3 };
static const struct range special_ipv6[] = {
	{ { 0x20, 0x01, 0x00 }, 23 },       /* IETF protocol assignments: Teredo, ORCHID, benchmarking */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* documentation, as 3fff::/20 */
	{ { 0x20, 0x02 }, 16 },             /* 6to4 */
	{ { 0x26, 0x20, 0x00, 0x4f, 0x80, 0x00 }, 48 }, /* AS112 */
	{ { 0x3f, 0xfe }, 16 },                         /* the 6bone's, returned: RFC 3701 */
	{ { 0x3f, 0xff, 0x00 }, 20 },                   /* RFC 9637 */
};

static bool is_within(const uint8_t *address, const uint8_t *network, unsigned prefix)
{
	unsigned whole = prefix / 8, rest = prefix % 8;
	uint8_t mask = (uint8_t)(0xff << (8 - rest));

	return memcmp(address, network, whole) == 0 &&
	       (rest == 0 || ((address[whole] ^ network[whole]) & mask) == 0);
}

static bool is_within_any(const uint8_t *address, const struct range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_within(address, ranges[i].address, ranges[i].prefix))
			return true;
	return false;
}

static bool is_allowed(
	sa_family_t family, const uint8_t *address, const struct network *allowed, size_t allowed_count)
{
	for (size_t i = 0; i < allowed_count; i++)
		if (allowed[i].family == family && is_within(address, allowed[i].address, allowed[i].prefix))
			return true;
	return false;
}

static bool ipv4_refused(const uint8_t *address, const struct network *allowed, size_t allowed_count)
{
	return is_within_any(address, special_ipv4, sizeof special_ipv4 / sizeof *special_ipv4) &&
	       !is_allowed(AF_INET, address, allowed, allowed_count);
}

static bool ipv6_refused(const uint8_t *address, const struct network *allowed, size_t allowed_count)
{
	bool special = !is_within(address, global_unicast.address, global_unicast.prefix) ||
		       is_within_any(address, special_ipv6, sizeof special_ipv6 / sizeof *special_ipv6);

	return special && !is_allowed(AF_INET6, address, allowed, allowed_count);
}

bool x5u_address_refused(const struct sockaddr *address, const struct network *allowed, size_t allowed_count)
{
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)address;

		return ipv4_refused((const uint8_t *)&in->sin_addr, allowed, allowed_count);
	}
	if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)address;

		/* The packets are IPv4's then. */
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
			return ipv4_refused(in6->sin6_addr.s6_addr + 12, allowed, allowed_count);
		return ipv6_refused(in6->sin6_addr.s6_addr, allowed, allowed_count);
	}
	return true;
}
