/* https-host.h: the tests' own HTTPS host (tests/hosts/https_host.py) as a child process, and the directory
 * it serves. */
#ifndef STIRRUP_TESTS_HTTPS_HOST_H
#define STIRRUP_TESTS_HTTPS_HOST_H

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "stirrup/config.h"
#include "test-pki.h"

#define HOST_SCRIPT TEST_DATA "/../hosts/https_host.py"
#define HOST_URL_SIZE 256

struct https_host {
	struct pki *pki; /* its directory is the one served; tls.pem is the host's own CA */
	pid_t process;
	unsigned port, stalled_port, reset_port;
};

static const struct network host_loopback = { .family = AF_INET, .address = { 127 }, .prefix = 8 };

/* A certificate for 127.0.0.1 and localhost, signed by itself. */
static inline void host_make_tls(struct pki *pki)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	char *text;

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), PKI_DAY);
	X509_set_pubkey(certificate, key);
	pki_add_extension(certificate, NULL, "basicConstraints", "critical,CA:true");
	pki_add_extension(certificate, NULL, "subjectAltName",
		"DNS:localhost,DNS:good.test,DNS:half-inside.test,DNS:rebinding.test,IP:127.0.0.1");
	pki_must(X509_sign(certificate, key, EVP_sha256()) > 0, "signature");
	text = pki_pem((X509 *const[]){ certificate, NULL });
	pki_write(pki, "tls.pem", text, 0644);
	free(text);
	text = pki_key_pem(key);
	pki_write(pki, "tls.key", text, 0600);
	free(text);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

/* The chain of a good end entity as good.pem. */
static inline void host_make_chain(struct pki *pki, const char *file, const struct pki_wish *wish)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *leaf = pki_leaf(pki, key, wish);
	char *text = pki_pem((X509 *const[]){ leaf, pki->intermediate, NULL });

	pki_write(pki, file, text, 0644);
	free(text);
	X509_free(leaf);
	EVP_PKEY_free(key);
}

/* NULL when there is no python3. */
static inline struct https_host *host_start(void)
{
	static const struct pki_wish good = { .spc = "1234" };
	struct https_host *host = calloc(1, sizeof *host);
	int ends[2];
	FILE *ports;
	bool told;

	pki_must(host != NULL && pipe(ends) == 0, "pipe");
	host->pki = pki_new();
	host_make_tls(host->pki);
	host_make_chain(host->pki, "good.pem", &good);
	host->process = fork();
	if (host->process == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		execlp("python3", "python3", HOST_SCRIPT, host->pki->directory, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	ports = fdopen(ends[0], "r");
	told = ports != NULL &&
	       fscanf(ports, "%u %u %u", &host->port, &host->stalled_port, &host->reset_port) == 3;
	fclose(ports);
	if (told)
		return host;
	kill(host->process, SIGKILL);
	waitpid(host->process, NULL, 0);
	pki_free(host->pki);
	free(host);
	return NULL;
}

static inline void host_stop(struct https_host *host)
{
	if (host == NULL)
		return;
	kill(host->process, SIGKILL);
	waitpid(host->process, NULL, 0);
	pki_free(host->pki);
	free(host);
}

static inline const char *host_url(const struct https_host *host, char url[HOST_URL_SIZE], const char *path)
{
	snprintf(url, HOST_URL_SIZE, "https://127.0.0.1:%u%s", host->port, path);
	return url;
}

/* How many lines of the host's record are this one: "connection", or a path. */
static inline unsigned host_count(const struct https_host *host, const char *line)
{
	char path[PKI_PATH_SIZE], read[512];
	unsigned count = 0;
	FILE *file;

	pki_path(host->pki, path, "requests");
	file = fopen(path, "r");
	while (file != NULL && fgets(read, sizeof read, file) != NULL) {
		read[strcspn(read, "\n")] = '\0';
		count += strcmp(read, line) == 0;
	}
	if (file != NULL)
		fclose(file);
	return count;
}

#endif
