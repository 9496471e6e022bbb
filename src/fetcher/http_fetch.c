#include "stirrup/http_fetch.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <linux/tcp.h>

#include "http_freshness.h"
#include "stirrup/clock.h"
#include "stirrup/net.h"
#include "stirrup/x5u_url.h"

#define TCP_ESTABLISHED 1 /* in tcpi_state; <netinet/tcp.h>, which names it, has an older struct tcp_info */
#define ATTEMPTS_MAX 8    /* addresses of one host */

struct transfer {
	struct http_client *client;
	CURL *easy;
	struct curl_slist *headers;
	http_done *done;
	void *context;
	unsigned deadline_ms;
	int sockets[ATTEMPTS_MAX]; /* open ones; -1: none */
	unsigned connections;      /* opened in all */
	bool connected;            /* one of them, as TCP sees it; libcurl counts the TLS handshake in */
	char refused[NET_TEXT_SIZE];
	size_t header_bytes;
	struct http_freshness freshness;
	char fault[HTTP_DETAIL_SIZE]; /* found by a callback, which then ended the transfer */
	char error[CURL_ERROR_SIZE];
	struct transfer *next, *previous;
	size_t body_bytes;
	char body[HTTP_BODY_MAX];
};

struct http_client {
	CURLM *multi;
	const char *default_ca;
	struct http_options options;
	struct transfer *transfers;
};

/* --- Callbacks --- */

/* Every address of every attempt comes through here, whatever DNS says the second time. */
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct transfer *transfer = context;
	const struct http_options *options = &transfer->client->options;
	size_t free_place = 0;

	if (x5u_address_refused(&address->addr, options->allowed, options->allowed_count)) {
		net_text(transfer->refused, &address->addr);
		return CURL_SOCKET_BAD;
	}
	while (free_place < ATTEMPTS_MAX && transfer->sockets[free_place] >= 0)
		free_place++;
	if (free_place == ATTEMPTS_MAX || transfer->connections >= ATTEMPTS_MAX)
		return CURL_SOCKET_BAD;
	transfer->sockets[free_place] =
		socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	transfer->connections++;
	return transfer->sockets[free_place];
}

static int close_socket(void *context, curl_socket_t fd)
{
	struct transfer *transfer = context;

	for (size_t i = 0; i < ATTEMPTS_MAX; i++)
		if (transfer->sockets[i] == fd)
			transfer->sockets[i] = -1;
	return close(fd);
}

static uint64_t bytes_on_the_wire(struct transfer *transfer)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
		struct tcp_info info = { 0 };
		socklen_t size = sizeof info;

		if (transfer->sockets[i] < 0 ||
			getsockopt(transfer->sockets[i], IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
			continue;
		bytes += info.tcpi_bytes_received;
		transfer->connected |= info.tcpi_state == TCP_ESTABLISHED;
	}
	return bytes;
}

/* Chunk extensions, trailers and TLS records count for nothing elsewhere. */
static int watch_wire(void *context, curl_off_t to_come, curl_off_t here, curl_off_t to_send, curl_off_t sent)
{
	struct transfer *transfer = context;

	if (bytes_on_the_wire(transfer) <= HTTP_WIRE_MAX)
		return 0;
	if (transfer->fault[0] == '\0')
		snprintf(transfer->fault, sizeof transfer->fault, "more than %d octets on the wire",
			HTTP_WIRE_MAX);
	return 1;
}

static size_t take_body(char *data, size_t unit, size_t length, void *context)
{
	struct transfer *transfer = context;

	if (length > HTTP_BODY_MAX - transfer->body_bytes) {
		snprintf(transfer->fault, sizeof transfer->fault, "more than %d octets", HTTP_BODY_MAX);
		return 0;
	}
	memcpy(transfer->body + transfer->body_bytes, data, length);
	transfer->body_bytes += length;
	return length;
}

/* Status lines, also of 1xx answers, and trailers come here, too. */
static size_t take_header(char *data, size_t unit, size_t length, void *context)
{
	struct transfer *transfer = context;
	struct span name = { data, 0 }, value;
	const char *colon = length == 0 ? NULL : memchr(data, ':', length);

	transfer->header_bytes += length;
	if (transfer->header_bytes > HTTP_HEADER_MAX) {
		snprintf(transfer->fault, sizeof transfer->fault, "more than %d octets of header",
			HTTP_HEADER_MAX);
		return 0;
	}
	if (colon == NULL)
		return length;
	name.length = (size_t)(colon - data);
	value = span_trim((struct span){ colon + 1, length - name.length - 1 });
	http_freshness_read(&transfer->freshness, name, value);
	/* It was not asked for, and 64 KiB of it may be gigabytes. */
	if (span_is_caseless(name, "Content-Encoding") && !span_is_caseless(value, "identity")) {
		snprintf(transfer->fault, sizeof transfer->fault,
			"content encoding \"%.*s\", which was not asked for",
			value.length < 32 ? (int)value.length : 32, value.at);
		return 0;
	}
	return length;
}

/* --- One transfer --- */

/* The options of another type than the value make curl_easy_setopt() complain at compile time. */
#define SET(option, value) (good = good && curl_easy_setopt(transfer->easy, option, value) == CURLE_OK)

static bool set_callbacks(struct transfer *transfer)
{
	bool good = true;

	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, transfer);
	SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	SET(CURLOPT_CLOSESOCKETDATA, transfer);
	SET(CURLOPT_XFERINFOFUNCTION, watch_wire);
	SET(CURLOPT_XFERINFODATA, transfer);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, transfer);
	SET(CURLOPT_HEADERFUNCTION, take_header);
	SET(CURLOPT_HEADERDATA, transfer);
	SET(CURLOPT_ERRORBUFFER, transfer->error);
	SET(CURLOPT_PRIVATE, (void *)transfer);
	return good;
}

static bool set_limits(struct transfer *transfer)
{
	bool good = true;

	SET(CURLOPT_TIMEOUT_MS, (long)transfer->deadline_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)transfer->deadline_ms);
	SET(CURLOPT_MAXFILESIZE, (long)HTTP_BODY_MAX);
	SET(CURLOPT_BUFFERSIZE, 8192L);
	/* Else the end of a fetch whose name is still being looked up waits for that: all others would, too.
	 * The thread that does so cleans up after itself. */
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_NOSIGNAL, 1L);
	/* A host that moved or healed is seen at the next fetch; and no connection is used again, so that
	 * each is checked. */
	SET(CURLOPT_DNS_CACHE_TIMEOUT, 0L);
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_FORBID_REUSE, 1L);
	return good;
}

/* HSTS, alt-svc, cookies and content decoding are off unless asked for. */
static bool set_protocol(struct transfer *transfer)
{
	bool good = true;

	SET(CURLOPT_PROTOCOLS_STR, "https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
	SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_HTTPHEADER, transfer->headers);
	SET(CURLOPT_USERAGENT, "stirrup");
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(CURLOPT_PROXY, ""); /* also none of the environment's */
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_NONE);
	return good;
}

/* Without a directory of CAs: libcurl then reads the file once for all transfers. */
static bool set_tls(struct transfer *transfer)
{
	const struct http_client *client = transfer->client;
	bool good = true;

	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
	if (client->options.tls_ca != NULL || client->default_ca != NULL) {
		SET(CURLOPT_CAINFO,
			client->options.tls_ca != NULL ? client->options.tls_ca : client->default_ca);
		SET(CURLOPT_CAPATH, NULL);
	}
	return good;
}

static void transfer_free(struct transfer *transfer)
{
	if (transfer == NULL)
		return;
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->headers);
	free(transfer);
}

/* The body is left as malloc() gives it: pages that nothing is written to cost nothing. */
static struct transfer *transfer_new(
	struct http_client *client, const char *url, http_done *done, void *context)
{
	struct transfer *transfer = malloc(sizeof *transfer);
	bool good = true;

	if (transfer == NULL)
		return NULL;
	memset(transfer, 0, offsetof(struct transfer, body));
	memset(transfer->sockets, -1, sizeof transfer->sockets);
	transfer->client = client;
	transfer->done = done;
	transfer->context = context;
	transfer->deadline_ms = client->options.deadline_ms;
	transfer->easy = curl_easy_init();
	transfer->headers = curl_slist_append(NULL, "Accept: application/pem-certificate-chain, */*");
	if (transfer->easy == NULL || transfer->headers == NULL) {
		transfer_free(transfer);
		return NULL;
	}
	SET(CURLOPT_URL, url);
	if (!good || !set_callbacks(transfer) || !set_limits(transfer) || !set_protocol(transfer) ||
		!set_tls(transfer)) {
		transfer_free(transfer);
		return NULL;
	}
	return transfer;
}

static void link_transfer(struct http_client *client, struct transfer *transfer)
{
	transfer->next = client->transfers;
	if (transfer->next != NULL)
		transfer->next->previous = transfer;
	client->transfers = transfer;
}

static void unlink_transfer(struct http_client *client, struct transfer *transfer)
{
	if (transfer->previous != NULL)
		transfer->previous->next = transfer->next;
	else
		client->transfers = transfer->next;
	if (transfer->next != NULL)
		transfer->next->previous = transfer->previous;
}

/* --- What came of it --- */

static bool has_happened(const struct transfer *transfer, CURLINFO moment)
{
	curl_off_t microseconds = 0;

	return curl_easy_getinfo(transfer->easy, moment, &microseconds) == CURLE_OK && microseconds > 0;
}

static const char *missed(const struct transfer *transfer)
{
	if (!has_happened(transfer, CURLINFO_NAMELOOKUP_TIME_T))
		return "the host name was not resolved";
	if (!transfer->connected)
		return "the host did not take the connection";
	if (!has_happened(transfer, CURLINFO_APPCONNECT_TIME_T))
		return "the TLS handshake did not end";
	if (!has_happened(transfer, CURLINFO_STARTTRANSFER_TIME_T))
		return "no answer came";
	return "the answer did not end";
}

static void describe_connect(const struct transfer *transfer, char detail[HTTP_DETAIL_SIZE])
{
	long error = 0;

	if (transfer->refused[0] != '\0' && transfer->connections == 0) {
		snprintf(detail, HTTP_DETAIL_SIZE, "the host's address is not a public one: %s",
			transfer->refused);
		return;
	}
	curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &error);
	snprintf(detail, HTTP_DETAIL_SIZE, "no connection: %.140s",
		error == 0 ? transfer->error : strerror((int)error));
}

static void describe_failure(const struct transfer *transfer, CURLcode result, struct http_answer *answer)
{
	char *detail = answer->detail;

	answer->host_fails = true;
	switch (result) {
	case CURLE_OPERATION_TIMEDOUT:
		snprintf(
			detail, HTTP_DETAIL_SIZE, "%s within %u ms", missed(transfer), transfer->deadline_ms);
		break;
	case CURLE_COULDNT_RESOLVE_HOST:
		snprintf(detail, HTTP_DETAIL_SIZE, "the host name has no address");
		break;
	case CURLE_COULDNT_CONNECT:
		describe_connect(transfer, detail);
		break;
	case CURLE_PEER_FAILED_VERIFICATION:
		snprintf(detail, HTTP_DETAIL_SIZE, "the host's TLS certificate is not accepted: %.100s",
			transfer->error);
		break;
	case CURLE_SSL_CONNECT_ERROR:
		snprintf(detail, HTTP_DETAIL_SIZE, "TLS: %.140s", transfer->error);
		break;
	case CURLE_SSL_CACERT_BADFILE:
		snprintf(detail, HTTP_DETAIL_SIZE, "the web CAs cannot be read: %.120s", transfer->error);
		break;
	case CURLE_GOT_NOTHING:
		snprintf(detail, HTTP_DETAIL_SIZE, "the host closed the connection without an answer");
		break;
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		snprintf(detail, HTTP_DETAIL_SIZE, "the connection broke: %.120s", transfer->error);
		break;
	case CURLE_PARTIAL_FILE:
		snprintf(detail, HTTP_DETAIL_SIZE, "the answer ended early");
		break;
	case CURLE_FILESIZE_EXCEEDED:
		answer->host_fails = false;
		snprintf(detail, HTTP_DETAIL_SIZE, "more than %d octets", HTTP_BODY_MAX);
		break;
	default:
		snprintf(detail, HTTP_DETAIL_SIZE, "%.150s",
			transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(result));
		break;
	}
}

static void describe_status(const struct transfer *transfer, struct http_answer *answer)
{
	if (answer->status >= 300 && answer->status < 400)
		snprintf(answer->detail, sizeof answer->detail,
			"HTTP status %u, and redirects are not followed", answer->status);
	else if (answer->status != 200)
		snprintf(answer->detail, sizeof answer->detail, "HTTP status %u", answer->status);
	else if (transfer->body_bytes == 0)
		snprintf(answer->detail, sizeof answer->detail, "an empty answer");
	else
		answer->good = true;
	answer->host_fails = answer->status >= 500 || answer->status == 429;
}

/* Some of it is the host's own words. */
static void make_printable(char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

static void finish(struct transfer *transfer, CURLcode result)
{
	struct http_answer answer = { .no_store = transfer->freshness.no_store };
	long status = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	answer.status = (unsigned)status;
	if (transfer->fault[0] != '\0')
		memcpy(answer.detail, transfer->fault, sizeof answer.detail);
	else if (result != CURLE_OK)
		describe_failure(transfer, result, &answer);
	else
		describe_status(transfer, &answer);
	make_printable(answer.detail);
	answer.fresh_until = http_freshness_until(&transfer->freshness, wall_us() / 1000000);
	if (answer.good)
		answer.body = (struct span){ transfer->body, transfer->body_bytes };
	transfer->done(transfer->context, &answer);
}

/* --- The client --- */

struct http_client *http_client_new(const struct http_options *options)
{
	struct http_client *client = calloc(1, sizeof *client);

	if (client == NULL)
		return NULL;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(client);
		return NULL;
	}
	client->default_ca = curl_version_info(CURLVERSION_NOW)->cainfo;
	client->options = *options;
	client->multi = curl_multi_init();
	if (client->multi == NULL) {
		http_client_free(client);
		return NULL;
	}
	return client;
}

static void drop(struct http_client *client, struct transfer *transfer)
{
	unlink_transfer(client, transfer);
	curl_multi_remove_handle(client->multi, transfer->easy);
	transfer_free(transfer);
}

void http_client_free(struct http_client *client)
{
	if (client == NULL)
		return;
	while (client->transfers != NULL)
		drop(client, client->transfers);
	curl_multi_cleanup(client->multi);
	curl_global_cleanup();
	free(client);
}

void http_client_use(struct http_client *client, const struct http_options *options)
{
	client->options = *options;
}

bool http_fetch(struct http_client *client, const char *url, http_done *done, void *context)
{
	struct transfer *transfer = transfer_new(client, url, done, context);

	if (transfer == NULL)
		return false;
	if (curl_multi_add_handle(client->multi, transfer->easy) != CURLM_OK) {
		transfer_free(transfer);
		return false;
	}
	link_transfer(client, transfer);
	return true;
}

static void take_results(struct http_client *client)
{
	CURLMsg *message;
	int more;

	while ((message = curl_multi_info_read(client->multi, &more)) != NULL) {
		CURLcode result = message->data.result;
		char *private = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		finish((struct transfer *)(void *)private, result);
		drop(client, (struct transfer *)(void *)private);
	}
}

void http_client_wait(struct http_client *client, int fd, int timeout_ms)
{
	struct curl_waitfd extra = { .fd = fd, .events = CURL_WAIT_POLLIN };
	int running;

	curl_multi_poll(client->multi, &extra, 1, timeout_ms, NULL);
	curl_multi_perform(client->multi, &running);
	take_results(client);
}
