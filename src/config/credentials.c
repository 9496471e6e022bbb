#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "reading.h"
#include "source.h"
#include "stirrup/passport.h"
#include "stirrup/span.h"

#define SPC_MAX 15

/* --- x5u: https, port 443 or 8443, no userinfo, query or fragment (ATIS-1000074 section 5.3.1) --- */

/* The host and port between "https://" and the path. */
static const char *check_authority(struct span authority, bool *other_port)
{
	const char *colon = memchr(authority.at, ':', authority.length);
	struct span port = { NULL, 0 };
	unsigned number = 443;

	if (memchr(authority.at, '@', authority.length) != NULL)
		return "a user name in the URL is refused (ATIS-1000074 section 5.3.1)";
	if (authority.length > 0 && authority.at[0] == '[') {
		const char *bracket = memchr(authority.at, ']', authority.length);

		if (bracket == NULL)
			return "the '[' of the IPv6 address is not closed";
		colon = bracket + 1 < authority.at + authority.length ? bracket + 1 : NULL;
		if (colon != NULL && *colon != ':')
			return "':' and a port are expected behind ']'";
	}
	if (authority.length == 0 || colon == authority.at)
		return "has no host";
	if (colon != NULL) {
		port = (struct span){ colon + 1, (size_t)(authority.at + authority.length - colon) - 1 };
		number = 0;
		for (size_t i = 0; i < port.length && number <= 65535; i++)
			number = isdigit((unsigned char)port.at[i])
					 ? number * 10 + (unsigned)(port.at[i] - '0')
					 : 65536;
		if (number == 0 || number > 65535)
			return "the port must be 443 or 8443 (ATIS-1000074 section 5.3.1)";
	}
	*other_port = number != 443 && number != 8443;
	return NULL;
}

/* NULL, or what is wrong with it. */
static const char *check_x5u(const char *x5u, bool *other_port)
{
	const char *authority = x5u + strlen("https://"), *path;

	*other_port = false;
	/* It stands between "<" and ">" in the header field and between quotes in the token. */
	for (const char *at = x5u; *at != '\0'; at++)
		if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f ||
			strchr("\"<>\\^`{|}", *at) != NULL)
			return "has a character that cannot stand in a URL; write it as %XX";
	if (strlen(x5u) > PASSPORT_X5U_MAX)
		return "is longer than 512 characters";
	if (strncmp(x5u, "https://", strlen("https://")) != 0)
		return "must begin with https:// (ATIS-1000074 section 5.3.1)";
	if (strchr(x5u, '?') != NULL)
		return "a query is refused; remove '?' and what follows (ATIS-1000074 section 5.3.1)";
	if (strchr(x5u, '#') != NULL)
		return "a fragment is refused; remove '#' and what follows (ATIS-1000074 section 5.3.1)";
	path = strchr(authority, '/');
	if (path == NULL || path[1] == '\0')
		return "has no path; it must name the file that holds the certificate";
	return check_authority((struct span){ authority, (size_t)(path - authority) }, other_port);
}

static void read_x5u(struct tree *tree, struct credential_config *credential, const config_setting_t *entry)
{
	const config_setting_t *setting = config_setting_get_member(entry, "x5u");
	const char *text = member_text(entry, "x5u"), *why;
	bool other_port;

	if (text == NULL || text[0] == '\0')
		return;
	why = check_x5u(text, &other_port);
	if (why != NULL)
		setting_error(tree, setting, "\"%.120s\": %s", text, why);
	else if (other_port)
		setting_warning(tree, setting,
			"\"%.120s\": verifiers fetch from port 443 or 8443 only (ATIS-1000074 section 5.3.1)",
			text);
	credential->x5u = tree_copy(tree, text);
}

/* --- The others --- */

char *read_spc(struct tree *tree, const config_setting_t *group)
{
	const char *text = member_text(group, "spc");
	size_t length;

	if (text == NULL || text[0] == '\0')
		return NULL;
	length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
	if (text[length] != '\0' || length > SPC_MAX)
		setting_error(tree, config_setting_get_member(group, "spc"),
			"\"%.60s\": a service provider code has 1 to %d letters and digits, such as \"1234\"",
			text, SPC_MAX);
	return tree_copy(tree, text);
}

static char *read_path(struct tree *tree, const config_setting_t *entry, const char *name)
{
	const config_setting_t *setting = config_setting_get_member(entry, name);
	const char *text = member_text(entry, name);

	return text == NULL ? NULL : setting_path(tree, setting, text);
}

static void read_private_key(
	struct tree *tree, struct credential_config *credential, const config_setting_t *entry)
{
	const char *text = member_text(entry, "private_key");

	if (text == NULL || strncmp(text, "pkcs11:", strlen("pkcs11:")) != 0) {
		credential->private_key = read_path(tree, entry, "private_key");
		return;
	}
	setting_warning(tree, config_setting_get_member(entry, "private_key"),
		"\"pkcs11:\": set, but not built in this version; nothing is signed with this credential");
	credential->private_key = tree_copy(tree, text);
}

void read_credentials(struct reading *reading)
{
	struct tree *tree = &reading->tree;
	struct config *config = reading->config;
	const config_setting_t **entries;
	size_t count = tree_entries(tree, "credentials", &entries);

	config->credentials = tree_array(tree, count, sizeof *config->credentials);
	if (entries != NULL && config->credentials != NULL) {
		for (; config->credential_count < count; config->credential_count++) {
			struct credential_config *credential = &config->credentials[config->credential_count];
			const config_setting_t *entry = entries[config->credential_count];

			credential->name = tree_copy(tree, member_text(entry, "name"));
			credential->certificate = read_path(tree, entry, "certificate");
			credential->file = kept_file(config, setting_file(entry)->name);
			credential->line = config_setting_source_line(entry);
			read_private_key(tree, credential, entry);
			read_x5u(tree, credential, entry);
			credential->spc = read_spc(tree, entry);
		}
		names_read(&reading->credentials, tree, entries, count);
	}
	free(entries);
}
