/* http_fetch.h: HTTPS GETs, many at a time, each within the limits that a stranger's host calls for. The only
 * code that knows libcurl. */
#ifndef STIRRUP_HTTP_FETCH_H
#define STIRRUP_HTTP_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/network.h"
#include "stirrup/span.h"

#define HTTP_BODY_MAX 65536
#define HTTP_HEADER_MAX 16384
#define HTTP_WIRE_MAX 131072 /* of everything that arrives: TLS, headers, the framing of the body */
#define HTTP_DETAIL_SIZE 160

struct http_options {
	const char *tls_ca;            /* PEM; NULL: the system's web CAs */
	const struct network *allowed; /* exceptions to x5u_address_refused() */
	size_t allowed_count;
	unsigned deadline_ms; /* of one fetch in all, name resolution included */
};

/* What came of one. */
struct http_answer {
	bool good;           /* status 200 and a whole body that is not empty */
	bool host_fails;     /* the fault is the host's, others of its URLs have it, too */
	unsigned status;     /* 0: it did not come to that */
	struct span body;    /* borrowed until http_done returns */
	bool no_store;       /* RFC 9111 section 5.2.2.5 */
	int64_t fresh_until; /* wall clock, seconds (RFC 9111 section 4.2); the past: not fresh, or nothing is
				said */
	char detail[HTTP_DETAIL_SIZE]; /* the fault in words: "HTTP status 404"; empty when good */
};

typedef void http_done(void *context, const struct http_answer *answer);

struct http_client;

/* The options, and what they point to, must outlive the client or its next http_client_use(). NULL when out
 * of memory. */
struct http_client *http_client_new(const struct http_options *options);

/* Ends what is under way; its http_done is not called. NULL is fine. */
void http_client_free(struct http_client *client);

/* From now on; the deadline of what is under way stays as it was. */
void http_client_use(struct http_client *client, const struct http_options *options);

/* Begins to fetch url, which x5u_url_check() has passed. done is called once, from http_client_wait(). False
 * when out of memory or descriptors. */
bool http_fetch(struct http_client *client, const char *url, http_done *done, void *context);

/* Moves everything on and returns when fd can be read, when something has moved, or after timeout_ms. */
void http_client_wait(struct http_client *client, int fd, int timeout_ms);

#endif
