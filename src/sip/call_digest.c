#include "stirrup/call_digest.h"

#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>

struct call_digester {
	EVP_MAC *mac;
	EVP_MAC_CTX *context;
};

struct call_digester *call_digester_new(const uint8_t secret[CHILD_SECRET_BYTES])
{
	struct call_digester *digester = calloc(1, sizeof *digester);
	char sha256[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
		OSSL_PARAM_construct_end(),
	};

	if (digester == NULL)
		return NULL;
	digester->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	digester->context = digester->mac == NULL ? NULL : EVP_MAC_CTX_new(digester->mac);
	if (digester->context == NULL || EVP_MAC_init(digester->context, secret, CHILD_SECRET_BYTES, params) != 1) {
		call_digester_free(digester);
		return NULL;
	}
	return digester;
}

void call_digester_free(struct call_digester *digester)
{
	if (digester == NULL)
		return;
	EVP_MAC_CTX_free(digester->context);
	EVP_MAC_free(digester->mac);
	free(digester);
}

/* Each part goes in with its length: no two inputs may run into the same bytes. */
static bool add(EVP_MAC_CTX *context, struct span part)
{
	uint32_t length = (uint32_t)part.length;

	return EVP_MAC_update(context, (const unsigned char *)&length, sizeof length) == 1 &&
		(part.length == 0 || EVP_MAC_update(context, (const unsigned char *)part.at, part.length) == 1);
}

bool call_digest(struct call_digester *digester, const struct call_digest_input *input, struct call_digest *out)
{
	EVP_MAC_CTX *context = digester->context;
	struct span cseq = { (const char *)&input->cseq, sizeof input->cseq };
	size_t length;

	return EVP_MAC_init(context, NULL, 0, NULL) == 1 && add(context, input->peer) &&
		add(context, input->request_uri) && add(context, input->call_id) && add(context, input->from_tag) &&
		add(context, input->via_host) &&
		add(context, input->via_port) && add(context, input->branch) && add(context, cseq) &&
		EVP_MAC_final(context, out->bytes, &length, sizeof out->bytes) == 1;
}

static char *put_hex(char *out, const uint8_t *bytes, size_t count)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < count; i++) {
		*out++ = hex[bytes[i] >> 4];
		*out++ = hex[bytes[i] & 15];
	}
	return out;
}

void call_digest_tag(const struct call_digest *digest, char tag[CALL_TAG_SIZE])
{
	*put_hex(tag, digest->bytes, 8) = '\0';
}

void call_digest_origid(const struct call_digest *digest, char origid[ORIGID_SIZE])
{
	static const size_t group[] = { 4, 2, 2, 2, 6 };
	uint8_t uuid[16];
	char *out = origid;
	size_t at = 0;

	memcpy(uuid, digest->bytes + 16, sizeof uuid);
	/* RFC 9562 section 5.8: version 8 is for values computed in a way of one's own; the variant stands above it. */
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x80);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof group / sizeof group[0]; i++) {
		if (i > 0)
			*out++ = '-';
		out = put_hex(out, uuid + at, group[i]);
		at += group[i];
	}
	*out = '\0';
}
