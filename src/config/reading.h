/* reading.h: from the checked tree to struct config, one file for each section. Each reports what the schema cannot
 * know: what a text means, and what refers to what. */
#ifndef STIRRUP_CONFIG_READING_H
#define STIRRUP_CONFIG_READING_H

#include "tree.h"

/* A name and whose it is, for finding in many. */
struct name {
	const char *text;
	const config_setting_t *entry;
	int index;
};

struct names {
	struct name *items;
	size_t count;
};

struct reading {
	struct tree tree;
	struct config *config;
	/* tls listeners, which a peer may name though nothing listens there. */
	struct listener *unbuilt;
	size_t unbuilt_count;
	struct names credentials, customers;
	/* The groups of config->peers. */
	const config_setting_t **peers;
};

/* In this order: each refers to those before it. */
void read_listeners(struct reading *reading);
void read_credentials(struct reading *reading);
void read_customers(struct reading *reading);
void read_verification(struct reading *reading);
void read_trust(struct reading *reading);
void read_peers(struct reading *reading);

void listener_clear(struct listener *listener);
void peer_clear(struct peer *peer);
void trust_config_clear(struct trust_config *trust);
void treatment_clear(struct treatment *treatment);
void verification_config_clear(struct verification_config *verification);

/* The value of the setting at that path, the fallback when it is absent or of another type. */
const char *text_at(const struct reading *reading, const char *path, const char *fallback);
unsigned number_at(const struct reading *reading, const char *path, unsigned fallback);
bool flag_at(const struct reading *reading, const char *path, bool fallback);
unsigned word_at(
	const struct reading *reading, const char *path, const char *const *words, unsigned fallback);
int64_t duration_at(const struct reading *reading, const char *path, const char *fallback); /* milliseconds */
int64_t size_at(const struct reading *reading, const char *path, const char *fallback);     /* bytes */
char *path_at(struct reading *reading, const char *path, const char *fallback);

/* A duration that is counted in seconds; setting NULL: the fallback. Because: "iat and Date have". */
int64_t read_seconds(
	struct tree *tree, const config_setting_t *setting, const char *fallback, const char *because);

/* The configuration's own copy of a file's name. */
const char *kept_file(const struct config *config, const char *name);

/* The member "spc", a service provider code; reports what is none. NULL: absent. */
char *read_spc(struct tree *tree, const config_setting_t *group);

#define LISTENER_UNKNOWN (-2)
#define LISTENER_NOT_BUILT (-3)
/* The index of the listener of that text, or one of the above. */
int listener_index(const struct reading *reading, const char *text);

/* The names of a section's entries, sorted. Reports bad ones and those that stand twice. */
void names_read(struct names *names, struct tree *tree, const config_setting_t *const *entries, size_t count);
void names_clear(struct names *names);
/* The index of the entry that the member names. -1 when it is absent, or names none, which is reported. */
int names_refer(const struct names *names, struct tree *tree, const config_setting_t *group, const char *member,
	const char *section);

/* The member as a fixed origid; reports what is not a UUID. NULL: absent. */
char *read_origid(struct tree *tree, const config_setting_t *group);

/* The networks that a list has; NULL: no list. The warning about one that holds every address says what that means
 * there. */
struct network *read_networks(
	struct tree *tree, const config_setting_t *list, const char *of_everybody, size_t *count);

/* One next hop of a peer with that mode. False: it is none, which is reported. */
bool read_next_hop(struct reading *reading, struct next_hop *hop, enum mode mode, const config_setting_t *setting,
	const char *text);
/* All of the group's next_hop. */
struct next_hop *read_next_hops(
	struct reading *reading, enum mode mode, const config_setting_t *group, size_t *count);
void next_hop_clear(struct next_hop *hop);

/* The rules of the group's treatment; their verification must have been read. */
struct treatment *read_treatments(
	struct reading *reading, enum mode mode, const config_setting_t *group, size_t *count);

/* Prepares config_peer_for() and config_may_speak(), and reports peers between which nothing decides. */
void peer_networks_read(struct reading *reading);
void peer_networks_free(struct peer_networks *networks); /* NULL is fine */

/* Prepares config_..._by_hash(). */
void name_hashes_read(struct reading *reading);
void name_hashes_free(struct name_hashes *hashes); /* NULL is fine */

#endif
