#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "stirrup/passport.h"
#include "stirrup/x5u_url.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const unsigned usual_ports[] = { 443, 8443 };

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *url, *host;
	unsigned port;
} accepted[] = {
	{ "https://certs.example.net/a.pem", "certs.example.net", 443 },
	{ "https://certs.example.net/", "certs.example.net", 443 },
	{ "https://certs.example.net:443/a.pem", "certs.example.net", 443 },
	{ "https://certs.example.net:8443/a.pem", "certs.example.net", 8443 },
	{ "HTTPS://Certs.Example.NET/A.pem", "certs.example.net", 443 },
	{ "hTTpS://certs.example.net/a.pem", "certs.example.net", 443 },
	{ "https://cr.sti.example/certs/7b/1a2b3c4d-5e6f.crt", "cr.sti.example", 443 },
	{ "https://xn--bcher-kva.example/a.pem", "xn--bcher-kva.example", 443 },
	{ "https://localhost/a.pem", "localhost", 443 },
	{ "https://under_score.example.net/a.pem", "under_score.example.net", 443 },
	{ "https://a-.example.net/a.pem", "a-.example.net", 443 },
	{ "https://1.example.net/a.pem", "1.example.net", 443 },
	{ "https://1e100.net/a.pem", "1e100.net", 443 },
	{ "https://0xcafe.example/a.pem", "0xcafe.example", 443 },
	{ "https://example.0xyz/a.pem", "example.0xyz", 443 },
	{ "https://example.1a/a.pem", "example.1a", 443 },
	{ "https://" L63 ".example/a", L63 ".example", 443 },
	{ "https://192.0.2.1/a.pem", "192.0.2.1", 443 },
	{ "https://192.0.2.1:8443/a.pem", "192.0.2.1", 8443 },
	{ "https://255.255.255.255/a.pem", "255.255.255.255", 443 },
	{ "https://[2001:db8::1]/a.pem", "[2001:db8::1]", 443 },
	{ "https://[2001:DB8::1]:8443/a.pem", "[2001:db8::1]", 8443 },
	{ "https://[2001:0db8:0:0:0:0:0:1]/a.pem", "[2001:db8::1]", 443 },
	{ "https://[::ffff:192.0.2.1]/a.pem", "[::ffff:192.0.2.1]", 443 },
	{ "https://[::1]/a.pem", "[::1]", 443 },
	{ "https://[::]/a.pem", "[::]", 443 },
	{ "https://certs.example.net/~who/a_b-c.pem", "certs.example.net", 443 },
	{ "https://certs.example.net/a;v=1,2/(b)*'!$&+=:@", "certs.example.net", 443 },
	{ "https://certs.example.net/user@host/a.pem", "certs.example.net", 443 },
	{ "https://certs.example.net/a%20b%2Fc%3f%23.pem", "certs.example.net", 443 },
	{ "https://certs.example.net/%C3%BC.pem", "certs.example.net", 443 },
	{ "https://certs.example.net//a//b.pem", "certs.example.net", 443 },
	{ "https://certs.example.net/a/", "certs.example.net", 443 },
	{ "https://certs.example.net/.a", "certs.example.net", 443 },
	{ "https://certs.example.net/...", "certs.example.net", 443 },
	{ "https://certs.example.net/a../b", "certs.example.net", 443 },
	{ "https://certs.example.net/.../b", "certs.example.net", 443 },
	{ "https://certs.example.net/https://other.example/", "certs.example.net", 443 },
};

static const struct {
	const char *url, *why;
} refused[] = {
	{ "", "empty" },
	{ "https", "not an https URL" },
	{ "https:", "not an https URL" },
	{ "https:/", "not an https URL" },
	{ "https:/certs.example.net/a.pem", "not an https URL" },
	{ "https:certs.example.net/a.pem", "not an https URL" },
	{ "http://certs.example.net/a.pem", "not an https URL" },
	{ "httpss://certs.example.net/a.pem", "not an https URL" },
	{ "ftp://certs.example.net/a.pem", "not an https URL" },
	{ "file:///etc/passwd", "not an https URL" },
	{ "gopher://127.0.0.1:6379/_x", "not an https URL" },
	{ "dict://127.0.0.1:11211/stats", "not an https URL" },
	{ "data:text/plain,x", "not an https URL" },
	{ "//certs.example.net/a.pem", "not an https URL" },
	{ "certs.example.net/a.pem", "not an https URL" },
	{ " https://certs.example.net/a.pem", "not an https URL" },
	{ "\thttps://certs.example.net/a.pem", "not an https URL" },
	{ "<https://certs.example.net/a.pem>", "not an https URL" },
	{ "https:\\\\certs.example.net\\a.pem", "not an https URL" },
	{ "view-source:https://certs.example.net/a.pem", "not an https URL" },
	{ "https://", "no host" },
	{ "https:///a.pem", "no host" },
	{ "https:////certs.example.net/a.pem", "no host" },
	{ "https://:443/a.pem", "no host" },
	{ "https://?a", "no host" },
	{ "https://certs.example.net", "no path" },
	{ "https://certs.example.net:443", "no path" },
	{ "https://certs.example.net?a", "a query" },
	{ "https://certs.example.net#a", "a fragment" },
	/* userinfo */
	{ "https://user@certs.example.net/a.pem", "userinfo" },
	{ "https://user:secret@certs.example.net/a.pem", "userinfo" },
	{ "https://@certs.example.net/a.pem", "userinfo" },
	{ "https://:@certs.example.net/a.pem", "userinfo" },
	{ "https://certs.example.net:443@127.0.0.1/a.pem", "userinfo" },
	{ "https://certs.example.net@127.0.0.1:443@evil.example/a.pem", "userinfo" },
	{ "https://certs.example.net\\@127.0.0.1/a.pem", "userinfo" },
	{ "https://[::1]@certs.example.net/a.pem", "userinfo" },
	{ "https://certs.example.net%40evil.example/a.pem", "a character that a host name cannot have" },
	{ "https://certs.example.net%2f@127.0.0.1/a.pem", "userinfo" },
	/* query and fragment */
	{ "https://certs.example.net/a.pem?", "a query" },
	{ "https://certs.example.net/a.pem?v=1", "a query" },
	{ "https://certs.example.net/?/a.pem", "a query" },
	{ "https://certs.example.net/a.pem#", "a fragment" },
	{ "https://certs.example.net/a.pem#x", "a fragment" },
	{ "https://certs.example.net/a.pem?v=1#x", "a fragment" },
	{ "https://certs.example.net#@127.0.0.1/a.pem", "a fragment" },
	{ "https://certs.example.net?@127.0.0.1/a.pem", "a query" },
	/* ports */
	{ "https://certs.example.net:/a.pem", "the port is not a number" },
	{ "https://certs.example.net:80/a.pem", "a port that is not allowed" },
	{ "https://certs.example.net:22/a.pem", "a port that is not allowed" },
	{ "https://certs.example.net:8444/a.pem", "a port that is not allowed" },
	{ "https://certs.example.net:65979/a.pem", "a port that is not allowed" },
	{ "https://certs.example.net:0/a.pem", "the port is not a number" },
	{ "https://certs.example.net:0443/a.pem", "the port is not a number" },
	{ "https://certs.example.net:4294967739/a.pem", "the port is not a number" },
	{ "https://certs.example.net:-443/a.pem", "the port is not a number" },
	{ "https://certs.example.net:+443/a.pem", "the port is not a number" },
	{ "https://certs.example.net:443 /a.pem", "the port is not a number" },
	{ "https://certs.example.net: 443/a.pem", "the port is not a number" },
	{ "https://certs.example.net:0x1bb/a.pem", "the port is not a number" },
	{ "https://certs.example.net:https/a.pem", "the port is not a number" },
	{ "https://certs.example.net:443:443/a.pem", "the port is not a number" },
	{ "https://[2001:db8::1]:22/a.pem", "a port that is not allowed" },
	{ "https://[2001:db8::1]443/a.pem", "the host is no IPv6 address" },
	{ "https://[2001:db8::1].example/a.pem", "the host is no IPv6 address" },
	/* numbers for hosts */
	{ "https://2130706433/a.pem", "the host is a number but no IPv4 address" },
	{ "https://0x7f000001/a.pem", "the host is a number but no IPv4 address" },
	{ "https://0X7F000001/a.pem", "the host is a number but no IPv4 address" },
	{ "https://0x/a.pem", "the host is a number but no IPv4 address" },
	{ "https://017700000001/a.pem", "the host is a number but no IPv4 address" },
	{ "https://127.1/a.pem", "the host is a number but no IPv4 address" },
	{ "https://127.0.1/a.pem", "the host is a number but no IPv4 address" },
	{ "https://0177.0.0.1/a.pem", "the host is a number but no IPv4 address" },
	{ "https://127.0.0.01/a.pem", "the host is a number but no IPv4 address" },
	{ "https://0x7f.0.0.1/a.pem", "the host is a number but no IPv4 address" },
	{ "https://127.0.0.0x1/a.pem", "the host is a number but no IPv4 address" },
	{ "https://256.0.0.1/a.pem", "the host is a number but no IPv4 address" },
	{ "https://127.0.0.1.1/a.pem", "the host is a number but no IPv4 address" },
	{ "https://1.2.3/a.pem", "the host is a number but no IPv4 address" },
	{ "https://example.1/a.pem", "the host is a number but no IPv4 address" },
	{ "https://0/a.pem", "the host is a number but no IPv4 address" },
	{ "https://127.0.0.1./a.pem", "the host name ends in a dot" },
	{ "https://[::1/a.pem", "the host is no IPv6 address" },
	{ "https://[]/a.pem", "the host is no IPv6 address" },
	{ "https://[/a.pem", "the host is no IPv6 address" },
	{ "https://[:1]/a.pem", "the host is no IPv6 address" },
	{ "https://[::1%25lo]/a.pem", "the host is no IPv6 address" },
	{ "https://[fe80::1%eth0]/a.pem", "the host is no IPv6 address" },
	{ "https://[v1.fe80]/a.pem", "the host is no IPv6 address" },
	{ "https://[127.0.0.1]/a.pem", "the host is no IPv6 address" },
	{ "https://[1:2:3:4:5:6:7:8:9]/a.pem", "the host is no IPv6 address" },
	{ "https://[::ffff:127.1]/a.pem", "the host is no IPv6 address" },
	{ "https://::1/a.pem", "no host" },
	{ "https://2001:db8::1/a.pem", "the host is a number but no IPv4 address" },
	/* names */
	{ "https://./a.pem", "the host name has an empty label" },
	{ "https://.example.net/a.pem", "the host name has an empty label" },
	{ "https://certs..example.net/a.pem", "the host name has an empty label" },
	{ "https://certs.example.net./a.pem", "the host name ends in a dot" },
	{ "https://certs.example.net.:443/a.pem", "the host name ends in a dot" },
	{ "https://" L63 "a.example/a", "the host name has a label that is too long" },
	{ "https://" L63 "." L63 "." L63 "." L63 "/a", "the host name is too long" },
	{ "https://" L63 "." L63 "." L63 "." L63 "." L63 "/a", "the host name is too long, or has a NUL" },
	{ "https://b\xc3\xbc"
	  "cher.example/a.pem",
		"a character that a host name cannot have" },
	{ "https://certs\xe3\x80\x82"
	  "example/a.pem",
		"a character that a host name cannot have" },
	{ "https://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/a.pem",
		"the host is a number but no IPv4 address" },
	{ "https://certs.example.net\xe2\x80\x8b/a.pem", "a character that a host name cannot have" },
	{ "https://certs%2eexample.net/a.pem", "a character that a host name cannot have" },
	{ "https://127.0.0.1%00.example.net/a.pem", "a character that a host name cannot have" },
	{ "https://certs example.net/a.pem", "a character that a host name cannot have" },
	{ "https://certs.example.net\\.evil.example/a.pem", "a character that a host name cannot have" },
	{ "https://certs.example.net;.evil.example/a.pem", "a character that a host name cannot have" },
	{ "https://certs.example.net,evil.example/a.pem", "a character that a host name cannot have" },
	{ "https://*.example.net/a.pem", "a character that a host name cannot have" },
	{ "https://certs.example.net\r\n.evil.example/a.pem", "a character that a host name cannot have" },
	/* paths */
	{ "https://certs.example.net/a b.pem", "a character that a URL cannot have" },
	{ "https://certs.example.net/a.pem ", "a character that a URL cannot have" },
	{ "https://certs.example.net/a.pem\r\nHost: evil.example", "a character that a URL cannot have" },
	{ "https://certs.example.net/a.pem\n", "a character that a URL cannot have" },
	{ "https://certs.example.net/\x1b[2J", "a character that a URL cannot have" },
	{ "https://certs.example.net/\x7f", "a character that a URL cannot have" },
	{ "https://certs.example.net/\xc3\xbc.pem", "a character that a URL cannot have" },
	{ "https://certs.example.net/a\\b", "a character that a URL cannot have" },
	{ "https://certs.example.net/\"a\"", "a character that a URL cannot have" },
	{ "https://certs.example.net/<a>", "a character that a URL cannot have" },
	{ "https://certs.example.net/{a,b}", "a character that a URL cannot have" },
	{ "https://certs.example.net/[1-9].pem", "a character that a URL cannot have" },
	{ "https://certs.example.net/a|b^c`d", "a character that a URL cannot have" },
	{ "https://certs.example.net/%", "a character that a URL cannot have" },
	{ "https://certs.example.net/%4", "a character that a URL cannot have" },
	{ "https://certs.example.net/%zz", "a character that a URL cannot have" },
	{ "https://certs.example.net/a%00.pem", "a character that a URL cannot have" },
	{ "https://certs.example.net/a%0d%0aHost:evil", "a character that a URL cannot have" },
	{ "https://certs.example.net/%7f", "a character that a URL cannot have" },
	{ "https://certs.example.net/.", "a dot segment in the path" },
	{ "https://certs.example.net/..", "a dot segment in the path" },
	{ "https://certs.example.net/./a.pem", "a dot segment in the path" },
	{ "https://certs.example.net/../a.pem", "a dot segment in the path" },
	{ "https://certs.example.net/a/../b.pem", "a dot segment in the path" },
	{ "https://certs.example.net/a/..", "a dot segment in the path" },
	{ "https://certs.example.net/%2e%2e/a.pem", "a dot segment in the path" },
	{ "https://certs.example.net/.%2E/a.pem", "a dot segment in the path" },
	{ "https://certs.example.net/a/%2e", "a dot segment in the path" },
};

static void test_accepts_what_the_standard_wants(void **state)
{
	for (size_t i = 0; i < COUNT(accepted); i++) {
		struct x5u_url url;
		const char *why = NULL;

		if (!x5u_url_check(&url, span_of(accepted[i].url), usual_ports, COUNT(usual_ports), &why))
			fail_msg("%s: %s", accepted[i].url, why);
		assert_string_equal(url.host, accepted[i].host);
		assert_int_equal(url.port, accepted[i].port);
	}
}

static void test_refuses_with_the_reason(void **state)
{
	for (size_t i = 0; i < COUNT(refused); i++) {
		struct x5u_url url = { .port = 1 };
		const char *why = NULL;

		if (x5u_url_check(&url, span_of(refused[i].url), usual_ports, COUNT(usual_ports), &why))
			fail_msg("%s is accepted", refused[i].url);
		if (strcmp(why, refused[i].why) != 0)
			fail_msg("%s: %s", refused[i].url, why);
		assert_int_equal(url.port, 1);
	}
}

static void test_only_listed_ports(void **state)
{
	static const unsigned ports[] = { 9443 };
	struct x5u_url url;
	const char *why;

	assert_true(x5u_url_check(&url, span_of("https://a.example:9443/"), ports, 1, &why));
	assert_false(x5u_url_check(&url, span_of("https://a.example:443/"), ports, 1, &why));
	assert_false(x5u_url_check(&url, span_of("https://a.example/"), ports, 1, &why));
	assert_string_equal(why, "a port that is not allowed");
	assert_false(x5u_url_check(&url, span_of("https://a.example/"), NULL, 0, &why));
}

static void test_length_has_an_end(void **state)
{
	char text[PASSPORT_X5U_MAX + 2];
	struct x5u_url url;
	const char *why;

	memset(text, 'a', sizeof text);
	memcpy(text, "https://a.example/", 18);
	assert_true(x5u_url_check(
		&url, (struct span){ text, PASSPORT_X5U_MAX }, usual_ports, COUNT(usual_ports), &why));
	assert_false(x5u_url_check(
		&url, (struct span){ text, PASSPORT_X5U_MAX + 1 }, usual_ports, COUNT(usual_ports), &why));
	assert_string_equal(why, "too long");
}

static char *curl_part(CURLU *parsed, CURLUPart part)
{
	char *text = NULL;

	if (curl_url_get(parsed, part, &text, part == CURLUPART_PORT ? CURLU_DEFAULT_PORT : 0) != CURLUE_OK)
		return NULL;
	return text;
}

static bool same_host(const char *ours, const char *curls)
{
	struct in6_addr one, other;
	char text[64];

	if (ours[0] != '[')
		return strcasecmp(ours, curls) == 0;
	return span_copy(text, sizeof text, (struct span){ ours + 1, strlen(ours) - 2 }) &&
	       inet_pton(AF_INET6, text, &one) == 1 && curls[0] == '[' &&
	       span_copy(text, sizeof text, (struct span){ curls + 1, strlen(curls) - 2 }) &&
	       inet_pton(AF_INET6, text, &other) == 1 && memcmp(&one, &other, sizeof one) == 0;
}

/* A URL that passes is read by libcurl as we read it. */
static void expect_agreement(const char *text, const struct x5u_url *url)
{
	CURLU *parsed = curl_url();
	char *scheme, *host, *port, *path;

	if (curl_url_set(parsed, CURLUPART_URL, text, 0) != CURLUE_OK)
		fail_msg("libcurl refuses %s", text);
	scheme = curl_part(parsed, CURLUPART_SCHEME);
	host = curl_part(parsed, CURLUPART_HOST);
	port = curl_part(parsed, CURLUPART_PORT);
	path = curl_part(parsed, CURLUPART_PATH);
	assert_string_equal(scheme, "https");
	if (!same_host(url->host, host))
		fail_msg("%s: host %s, libcurl says %s", text, url->host, host);
	assert_int_equal(atoi(port), url->port);
	assert_string_equal(path, strchr(text + strlen("https://"), '/'));
	assert_null(curl_part(parsed, CURLUPART_USER));
	assert_null(curl_part(parsed, CURLUPART_PASSWORD));
	assert_null(curl_part(parsed, CURLUPART_QUERY));
	assert_null(curl_part(parsed, CURLUPART_FRAGMENT));
	assert_null(curl_part(parsed, CURLUPART_ZONEID));
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_free(path);
	curl_url_cleanup(parsed);
}

static void test_agrees_with_libcurl(void **state)
{
	for (size_t i = 0; i < COUNT(accepted); i++) {
		struct x5u_url url;
		const char *why;

		assert_true(
			x5u_url_check(&url, span_of(accepted[i].url), usual_ports, COUNT(usual_ports), &why));
		expect_agreement(accepted[i].url, &url);
	}
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Any mutant of any of them is refused, or read by libcurl as we read it. */
static void test_mutants_that_pass_agree_with_libcurl(void **state)
{
	static const char odd[] = "@:/\\?#[]%.0x1a \t\r\n\x7f\xc3;&'\"<>~_-";
	uint32_t seed = 20241124;
	size_t passed = 0;

	for (unsigned i = 0; i < 40000; i++) {
		bool good = next_random(&seed) % 2 == 0;
		const char *origin = good ? accepted[next_random(&seed) % COUNT(accepted)].url
					  : refused[next_random(&seed) % COUNT(refused)].url;
		char text[PASSPORT_X5U_MAX];
		size_t length = strlen(origin);
		struct x5u_url url;
		const char *why;

		strcpy(text, origin);
		for (unsigned change = 0; length > 0 && change <= next_random(&seed) % 2; change++) {
			size_t at = next_random(&seed) % length;

			if (next_random(&seed) % 2 == 0) {
				memmove(text + at + 1, text + at, length - at + 1);
				length++;
			}
			text[at] = odd[next_random(&seed) % (sizeof odd - 1)];
		}
		if (!x5u_url_check(
			    &url, (struct span){ text, length }, usual_ports, COUNT(usual_ports), &why))
			continue;
		expect_agreement(text, &url);
		passed++;
	}
	assert_true(passed > 1000);
}

/* In a buffer of just that size, so that a sanitizer sees a step too far. */
static void test_reads_no_further_than_the_length(void **state)
{
	for (size_t i = 0; i < COUNT(accepted); i++) {
		for (size_t length = 0; length <= strlen(accepted[i].url); length++) {
			char *text = malloc(length + 1);
			struct x5u_url url;
			const char *why;

			memcpy(text, accepted[i].url, length);
			text = realloc(text, length > 0 ? length : 1);
			x5u_url_check(
				&url, (struct span){ text, length }, usual_ports, COUNT(usual_ports), &why);
			free(text);
		}
	}
}

static void test_nul_within(void **state)
{
	static const char host[] = "https://certs.example.net\0.evil.example/a.pem";
	static const char path[] = "https://certs.example.net/a\0b";
	struct x5u_url url;
	const char *why;

	assert_false(x5u_url_check(
		&url, (struct span){ host, sizeof host - 1 }, usual_ports, COUNT(usual_ports), &why));
	assert_string_equal(why, "the host name is too long, or has a NUL");
	assert_false(x5u_url_check(
		&url, (struct span){ path, sizeof path - 1 }, usual_ports, COUNT(usual_ports), &why));
	assert_string_equal(why, "a character that a URL cannot have");
}

/* --- Addresses --- */

static struct sockaddr_storage address_of(const char *text)
{
	struct sockaddr_storage address = { 0 };

	if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&address)->sin_addr) == 1)
		address.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&address)->sin6_addr) == 1)
		address.ss_family = AF_INET6;
	else
		fail_msg("%s", text);
	return address;
}

static bool is_refused(const char *text, const struct network *allowed, size_t count)
{
	struct sockaddr_storage address = address_of(text);

	return x5u_address_refused((const struct sockaddr *)&address, allowed, count);
}

static void test_special_addresses_are_refused(void **state)
{
	static const char *const special[] = { "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255",
		"100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255", "169.254.169.254",
		"172.16.0.0", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.7", "192.31.196.1",
		"192.52.193.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "192.175.48.1", "198.18.0.0",
		"198.19.255.255", "198.51.100.1", "203.0.113.255", "224.0.0.1", "239.255.255.255",
		"240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1",
		"::ffff:10.1.2.3", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1",
		"64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "100:0:0:1::1", "2001::1", "2001:2::1",
		"2001:10::1", "2001:20::1", "2001:1ff:ffff::1", "2001:db8::1", "2002::1", "2002:7f00:1::1",
		"2620:4f:8000::1", "3ffe::1", "3fff::1", "3fff:fff::1", "4000::1", "5f00::1", "8000::1",
		"fc00::1", "fd12:3456::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ff0e::1" };

	for (size_t i = 0; i < COUNT(special); i++)
		if (!is_refused(special[i], NULL, 0))
			fail_msg("%s is not refused", special[i]);
}

static void test_public_addresses_are_not(void **state)
{
	static const char *const public[] = { "1.0.0.0", "8.8.8.8", "9.255.255.255", "11.0.0.0",
		"100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255",
		"169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255",
		"192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255", "203.0.112.255",
		"203.0.114.0", "223.255.255.255", "::ffff:8.8.8.8", "2000::1", "2001:200::1",
		"2001:4860:4860::8888", "2001:db7::1", "2001:db9::1", "2003::1", "2606:4700::1111",
		"2620:4f:8001::1", "2a00:1450::1", "3fff:1000::1" };

	for (size_t i = 0; i < COUNT(public); i++)
		if (is_refused(public[i], NULL, 0))
			fail_msg("%s is refused", public[i]);
}

static void test_allowed_networks_are_exceptions(void **state)
{
	static const struct network allowed[] = {
		{ .family = AF_INET, .address = { 127 }, .prefix = 8 },
		{ .family = AF_INET, .address = { 10, 1, 0x80 }, .prefix = 17 },
		{ .family = AF_INET6, .address = { 0xfd, 0x12 }, .prefix = 16 },
		{ .family = AF_INET6, .address = { [15] = 1 }, .prefix = 128 },
	};

	assert_false(is_refused("127.0.0.1", allowed, COUNT(allowed)));
	assert_false(is_refused("::ffff:127.0.0.1", allowed, COUNT(allowed)));
	assert_false(is_refused("10.1.128.1", allowed, COUNT(allowed)));
	assert_true(is_refused("10.1.127.1", allowed, COUNT(allowed)));
	assert_true(is_refused("::ffff:10.1.127.1", allowed, COUNT(allowed)));
	assert_true(is_refused("192.168.1.1", allowed, COUNT(allowed)));
	assert_false(is_refused("fd12::1", allowed, COUNT(allowed)));
	assert_true(is_refused("fd13::1", allowed, COUNT(allowed)));
	assert_false(is_refused("::1", allowed, COUNT(allowed)));
	assert_true(is_refused("::2", allowed, COUNT(allowed)));
	/* IPv4 inside IPv6 of other kinds is not that IPv4 address. */
	assert_true(is_refused("::127.0.0.1", allowed, COUNT(allowed)));
	assert_true(is_refused("64:ff9b::127.0.0.1", allowed, COUNT(allowed)));
}

static void test_other_families_are_refused(void **state)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX, .sun_path = "/run/x" };
	struct sockaddr_storage nothing = { 0 };

	assert_true(x5u_address_refused((const struct sockaddr *)&local, NULL, 0));
	assert_true(x5u_address_refused((const struct sockaddr *)&nothing, NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepts_what_the_standard_wants),
		cmocka_unit_test(test_refuses_with_the_reason),
		cmocka_unit_test(test_only_listed_ports),
		cmocka_unit_test(test_length_has_an_end),
		cmocka_unit_test(test_agrees_with_libcurl),
		cmocka_unit_test(test_mutants_that_pass_agree_with_libcurl),
		cmocka_unit_test(test_reads_no_further_than_the_length),
		cmocka_unit_test(test_nul_within),
		cmocka_unit_test(test_special_addresses_are_refused),
		cmocka_unit_test(test_public_addresses_are_not),
		cmocka_unit_test(test_allowed_networks_are_exceptions),
		cmocka_unit_test(test_other_families_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
