/* URIs: what is sent to is an address of a host, and at another host nothing leads elsewhere. */
#include "fuzz.h"

#include <string.h>

#include "stirrup/net.h"
#include "stirrup/sip_uri.h"

static void check_endpoint(const struct sip_uri *uri)
{
	struct sockaddr_storage address;
	enum transport transport;

	if (!sip_uri_endpoint(uri, &address, &transport))
		return;
	MUST(transport == TRANSPORT_UDP || transport == TRANSPORT_TCP);
	MUST(net_port(&address) > 0 && !uri->secure);
	MUST(address.ss_family == (uri->host.at[0] == '[' ? AF_INET6 : AF_INET));
}

static void check_moved(const struct sip_uri *uri)
{
	static char out[131072];
	struct sip_uri moved;
	struct span unused;

	MUST(sip_uri_at(out, sizeof out, uri, "192.0.2.9:5060"));
	if (memchr(uri->user.at, '\0', uri->user.length) != NULL || memchr(uri->params.at, '\0', uri->params.length) != NULL)
		return;
	MUST(sip_uri_read(&moved, span_of(out)));
	MUST(span_is(moved.host, "192.0.2.9") && span_is(moved.port, "5060") && moved.secure == uri->secure);
	MUST(!sip_uri_param(&moved, "maddr", &unused) && !sip_uri_param(&moved, "transport", &unused));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = fuzz_span(data, size), value;
	struct sip_uri uri;

	if (!sip_uri_read(&uri, all))
		return 0;
	MUST(uri.host.length > 0);
	MUST_LIE_WITHIN(uri.user, all);
	MUST_LIE_WITHIN(uri.host, all);
	MUST_LIE_WITHIN(uri.port, all);
	MUST_LIE_WITHIN(uri.params, all);
	if (sip_uri_param(&uri, "lr", &value))
		MUST_LIE_WITHIN(value, uri.params);
	check_endpoint(&uri);
	check_moved(&uri);
	return 0;
}
