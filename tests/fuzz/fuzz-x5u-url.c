#include "fuzz.h"

#include <string.h>
#include <strings.h>

#include "stirrup/x5u_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned ports[] = { 443, 8443 };
	struct x5u_url url;
	const char *why = NULL;
	const uint8_t *path;
	bool good = x5u_url_check(&url, fuzz_span(data, size), ports, 2, &why);

	if (!good) {
		MUST(why != NULL);
		return 0;
	}
	MUST(url.port == 443 || url.port == 8443);
	MUST(strnlen(url.host, sizeof url.host) >= 1 && strnlen(url.host, sizeof url.host) <= X5U_HOST_MAX);
	MUST(size > 8 && strncasecmp((const char *)data, "https://", 8) == 0);
	path = memchr(data + 8, '/', size - 8);
	MUST(path != NULL && memchr(data, '@', (size_t)(path - data)) == NULL);
	return 0;
}
