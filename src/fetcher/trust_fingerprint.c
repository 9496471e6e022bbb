#include "trust_fingerprint.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

static void add_number(EVP_MD_CTX *digest, uint64_t number)
{
	EVP_DigestUpdate(digest, &number, sizeof number);
}

static void add_text(EVP_MD_CTX *digest, const char *text)
{
	EVP_DigestUpdate(digest, text, strlen(text) + 1);
}

static void add_status(EVP_MD_CTX *digest, int directory, const char *name)
{
	struct stat status;

	add_text(digest, name);
	if (fstatat(directory, name, &status, 0) != 0) {
		add_number(digest, 0);
		return;
	}
	add_number(digest, status.st_dev);
	add_number(digest, status.st_ino);
	add_number(digest, (uint64_t)status.st_size);
	add_number(digest, (uint64_t)status.st_mtim.tv_sec);
	add_number(digest, (uint64_t)status.st_mtim.tv_nsec);
	add_number(digest, (uint64_t)status.st_ctim.tv_sec);
	add_number(digest, (uint64_t)status.st_ctim.tv_nsec);
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void add_path(EVP_MD_CTX *digest, const char *path)
{
	struct dirent **entries = NULL;
	int directory, count;

	if (path == NULL)
		return;
	add_status(digest, AT_FDCWD, path);
	directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return;
	count = scandir(path, &entries, is_visible, alphasort);
	for (int i = 0; i < count; i++) {
		add_status(digest, directory, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	close(directory);
}

bool trust_fingerprint(const struct config *config, unsigned char out[TRUST_FINGERPRINT_BYTES])
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool good = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;

	for (size_t i = 0; good && i < config->trust_count; i++) {
		add_path(digest, config->trust[i].anchors);
		add_path(digest, config->trust[i].crl);
		add_path(digest, config->trust[i].crl_issuer_anchors);
	}
	if (good) {
		add_number(digest, config->verification.strict_profile);
		add_number(digest, (uint64_t)config->verification.crl_grace_s);
		good = EVP_DigestFinal_ex(digest, out, NULL) == 1;
	}
	EVP_MD_CTX_free(digest);
	return good;
}
