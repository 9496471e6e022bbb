#include "stirrup/certificate_pem.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/pem.h>

#include "reason.h"

static const char begin_any[] = "-----BEGIN";
static const char begin_certificate[] = "-----BEGIN CERTIFICATE-----";
static const char end_certificate[] = "-----END CERTIFICATE-----";

static const char *find(struct span text, const char *what)
{
	return text.length == 0 ? NULL : memmem(text.at, text.length, what, strlen(what));
}

static struct span after(struct span text, const char *at)
{
	return (struct span){ at, (size_t)(text.at + text.length - at) };
}

static bool starts_with(struct span text, const char *what)
{
	return text.length >= strlen(what) && memcmp(text.at, what, strlen(what)) == 0;
}

/* What stands in a block of another kind is not shown: it may be a key. */
static bool refuse_block(const struct reason *reason, struct span block)
{
	const char *newline = memchr(block.at, '\n', block.length);
	struct span line = { block.at, newline == NULL ? block.length : (size_t)(newline - block.at) };

	if (find(line, "PRIVATE KEY") != NULL)
		return refuse(
			reason, "holds a private key; want certificates only, as this file is published");
	return refuse(reason, "holds a PEM block that is not a CERTIFICATE");
}

/* One block, from its first hyphen to its last. */
static X509 *read_block(struct span block)
{
	BIO *bio = BIO_new_mem_buf(block.at, (int)block.length);
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	X509 *certificate = NULL;
	long length = 0;

	if (bio != NULL && PEM_read_bio(bio, &name, &header, &der, &length) == 1 && header[0] == '\0') {
		const unsigned char *end = der;

		certificate = d2i_X509(NULL, &end, length);
		if (certificate != NULL && end != der + length) {
			X509_free(certificate);
			certificate = NULL;
		}
	}
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(der);
	BIO_free(bio);
	return certificate;
}

/* Takes the next block off the text; number counts from 1, for people. */
static bool take_certificate(
	STACK_OF(X509) *out, struct span *text, size_t number, const struct reason *reason)
{
	const char *start = find(*text, begin_any);
	const char *end, *inner;
	struct span block = after(*text, start);
	X509 *certificate;

	if (!starts_with(block, begin_certificate))
		return refuse_block(reason, block);
	/* RFC 7468 section 3; OpenSSL would skip it and with it whatever it hides. */
	if (start > text->at && start[-1] != '\n' && start[-1] != '\r')
		return refuse(reason, "certificate %zu does not begin on a line of its own", number);
	end = find(block, end_certificate);
	inner = find(after(block, block.at + 1), begin_any);
	if (end == NULL || (inner != NULL && inner < end))
		return refuse(reason, "certificate %zu is cut off: it has no END line", number);

	end += strlen(end_certificate);
	block.length = (size_t)(end - block.at);
	*text = after(*text, end);
	certificate = read_block(block);
	if (certificate == NULL)
		return refuse(reason, "certificate %zu is damaged: no X.509 in PEM", number);
	if (sk_X509_push(out, certificate) == 0) {
		X509_free(certificate);
		return refuse(reason, "out of memory");
	}
	return true;
}

bool certificate_pem_read(STACK_OF(X509) *out, struct span pem, const struct certificate_pem_limits *limits,
	char *why, size_t why_size)
{
	struct reason reason = { why, why_size };

	if (span_trim(pem).length == 0)
		return refuse(&reason, "is empty; want certificates in PEM");
	if (pem.length > limits->octets)
		return refuse(&reason, "is longer than %zu octets", limits->octets);
	if (find(pem, begin_any) == NULL)
		return refuse(&reason, "holds no certificate in PEM");
	for (size_t number = 1; find(pem, begin_any) != NULL; number++) {
		if (number > limits->certificates &&
			starts_with(after(pem, find(pem, begin_any)), begin_certificate))
			return refuse(&reason, "holds more than %zu certificates", limits->certificates);
		if (!take_certificate(out, &pem, number, &reason))
			return false;
	}
	return true;
}
