#include "stirrup/sip_uri.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "stirrup/name_addr.h"
#include "stirrup/writer.h"

static bool take_scheme(struct span *rest, bool *secure)
{
	*secure = rest->length >= 5 && strncasecmp(rest->at, "sips:", 5) == 0;
	if (!*secure && (rest->length < 4 || strncasecmp(rest->at, "sip:", 4) != 0))
		return false;
	rest->at += *secure ? 5 : 4;
	rest->length -= *secure ? 5 : 4;
	return true;
}

/* False: nothing before an "@". Without that "@", a later one would be taken for it. */
static bool take_user(struct span *rest, struct span *user)
{
	const char *at_sign = memchr(rest->at, '@', rest->length);

	*user = (struct span){ rest->at, 0 };
	if (at_sign == NULL)
		return true;
	user->length = (size_t)(at_sign - rest->at);
	rest->length -= user->length + 1;
	rest->at = at_sign + 1;
	return user->length > 0;
}

/* Up to one of the characters, or the end. */
static struct span take_until(struct span *rest, const char *stops)
{
	struct span taken = { rest->at, 0 };

	while (taken.length < rest->length && (taken.at[taken.length] == '\0' || strchr(stops, taken.at[taken.length]) == NULL))
		taken.length++;
	rest->at += taken.length;
	rest->length -= taken.length;
	return taken;
}

static bool take_host(struct span *rest, struct span *host)
{
	if (rest->length > 0 && rest->at[0] == '[') {
		const char *end = memchr(rest->at, ']', rest->length);

		if (end == NULL)
			return false;
		*host = (struct span){ rest->at, (size_t)(end + 1 - rest->at) };
		rest->at += host->length;
		rest->length -= host->length;
		return true;
	}
	*host = take_until(rest, ":;?");
	return host->length > 0;
}

bool sip_uri_read(struct sip_uri *out, struct span uri)
{
	struct span rest = uri;

	*out = (struct sip_uri){ 0 };
	if (!take_scheme(&rest, &out->secure))
		return false;
	if (!take_user(&rest, &out->user) || !take_host(&rest, &out->host))
		return false;
	if (rest.length > 0 && rest.at[0] == ':') {
		rest.at++;
		rest.length--;
		out->port = take_until(&rest, ";?");
	}
	if (rest.length > 0 && rest.at[0] != ';' && rest.at[0] != '?')
		return false;
	out->params = take_until(&rest, "?");
	return true;
}

static bool read_port(struct span text, unsigned *port)
{
	*port = text.length == 0 ? 5060 : 0;
	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] < '0' || text.at[i] > '9' || *port > 6553)
			return false;
		*port = *port * 10 + (unsigned)(text.at[i] - '0');
	}
	return *port >= 1 && *port <= 65535;
}

/* IPv4 has a form of its own: no IPv6 socket of ours speaks to an IPv4-mapped address, and lists of networks know none. */
static bool read_address(struct span host, unsigned port, struct sockaddr_storage *out)
{
	struct sockaddr_in *four = (struct sockaddr_in *)out;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
	char text[INET6_ADDRSTRLEN];
	bool is_six = host.length > 2 && host.at[0] == '[';

	*out = (struct sockaddr_storage){ 0 };
	if (is_six)
		host = (struct span){ host.at + 1, host.length - 2 };
	if (!span_copy(text, sizeof text, host))
		return false;
	if (is_six) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons((uint16_t)port);
		return inet_pton(AF_INET6, text, &six->sin6_addr) == 1 && !IN6_IS_ADDR_MULTICAST(&six->sin6_addr) &&
			!IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr) && !IN6_IS_ADDR_V4MAPPED(&six->sin6_addr);
	}
	four->sin_family = AF_INET;
	four->sin_port = htons((uint16_t)port);
	return inet_pton(AF_INET, text, &four->sin_addr) == 1 && !IN_MULTICAST(ntohl(four->sin_addr.s_addr)) &&
		four->sin_addr.s_addr != htonl(INADDR_ANY) && four->sin_addr.s_addr != htonl(INADDR_BROADCAST);
}

bool sip_uri_param(const struct sip_uri *uri, const char *name, struct span *value)
{
	return name_addr_param(uri->params, name, value);
}

bool sip_uri_endpoint(const struct sip_uri *uri, struct sockaddr_storage *address, enum transport *transport)
{
	struct span value;
	unsigned port;

	*transport = TRANSPORT_UDP;
	if (uri->secure)
		return false;
	if (sip_uri_param(uri, "transport", &value)) {
		if (span_is_caseless(value, "tcp"))
			*transport = TRANSPORT_TCP;
		else if (!span_is_caseless(value, "udp"))
			return false;
	}
	return read_port(uri->port, &port) && read_address(uri->host, port, address);
}

static bool leads_elsewhere(struct span param)
{
	struct span rest = { param.at + 1, param.length - 1 };
	struct span name = span_trim(take_until(&rest, "="));

	return span_is_caseless(name, "maddr") || span_is_caseless(name, "transport");
}

bool sip_uri_at(char *out, size_t size, const struct sip_uri *uri, const char *host_port)
{
	struct writer writer = writer_on(out, size);
	struct span rest = uri->params;

	writer_text(&writer, uri->secure ? "sips:" : "sip:");
	if (uri->user.length > 0) {
		writer_span(&writer, uri->user);
		writer_text(&writer, "@");
	}
	writer_text(&writer, host_port);
	while (rest.length > 0) {
		struct span param = { rest.at, 1 };
		struct span behind = { rest.at + 1, rest.length - 1 };

		param.length += take_until(&behind, ";").length;
		rest = behind;
		if (!leads_elsewhere(param))
			writer_span(&writer, param);
	}
	return writer_end(&writer);
}
