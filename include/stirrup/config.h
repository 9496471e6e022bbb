/* config.h: the configuration, read whole and checked before anything starts. The settings are in stirrup.conf(5). */
#ifndef STIRRUP_CONFIG_H
#define STIRRUP_CONFIG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "stirrup/attestation.h"
#include "stirrup/network.h"
#include "stirrup/next_hop.h"
#include "stirrup/number_table.h"
#include "stirrup/sign.h"
#include "stirrup/tn.h"
#include "stirrup/treatment.h"

/* The texts of the main file and of conf.d beside it, read once. Every process parses these same bytes. */
struct config_source;

/* Reads path, then conf.d/ *.conf in its directory in the order of their names. NULL when a file cannot be read; the
 * reason is in why. */
struct config_source *config_source_read(const char *path, char *why, size_t why_size);
void config_source_free(struct config_source *source); /* NULL is fine */

/* A sealed memfd with the source, for the children; -1 with errno. And back. */
int config_source_to_memfd(const struct config_source *source);
struct config_source *config_source_from_memfd(int fd);

/* What a check has to say, in the order of the files and their lines; what is added after config_parse() comes last. */
enum config_severity { CONFIG_ERROR, CONFIG_WARNING };
struct config_report;
struct config_report *config_report_new(void);
void config_report_free(struct config_report *report); /* NULL is fine */
size_t config_report_errors(const struct config_report *report);
/* Calls print for each line: "FILE:LINE: setting: what is wrong; hint". Line 0 is left out. */
void config_report_each(const struct config_report *report,
	void (*print)(enum config_severity, const char *line, void *context), void *context);
/* For later checks (a key file, a certificate) that belong to a place in the file. file NULL, line 0: no place. */
void config_report_add(struct config_report *report, enum config_severity severity, const char *file, unsigned line,
	const char *setting, const char *format, ...) __attribute__((format(printf, 6, 7)));

/* tls: is not built, so no listener of a configuration has it. */
struct listener {
	enum transport transport;
	struct sockaddr_storage address;
	char *text;               /* as configured: "udp:127.0.0.1:5060" */
	char *advertise;          /* host[:port] to show instead, or NULL */
	uint16_t hash;            /* name_hash() of the text */
};

struct credential_config {
	char *name;
	char *certificate;        /* path */
	char *private_key;        /* path, or "pkcs11:...", which is not built */
	char *x5u;
	char *spc;
	const char *file;         /* where it stands, for messages */
	unsigned line;
};

enum service { SERVICE_SIGN, SERVICE_VERIFY };
enum mode { MODE_REDIRECT, MODE_B2BUA, MODE_FORWARD };
/* NEW, unless configured, where a next hop is the caller's own switch. */
enum call_id_mode { CALL_ID_KEEP, CALL_ID_NEW };
enum on_error { ON_ERROR_CONTINUE, ON_ERROR_503 };
enum self_check { SELF_CHECK_SAMPLED, SELF_CHECK_ALWAYS, SELF_CHECK_OFF };

/* --- Verification --- */

enum verstat_form { VERSTAT_PLAIN, VERSTAT_WITH_ATTESTATION }; /* "TN-Validation-Passed", "TN-Validation-Passed-A" */
enum verstat_place { VERSTAT_IN_PAI, VERSTAT_IN_FROM, VERSTAT_IN_BOTH };
enum on_replay { ON_REPLAY_RECORD, ON_REPLAY_FAIL };

struct trust_config {
	char *name;
	char *anchors;            /* PEM file, or a directory of them */
	char *crl;                /* NULL: none */
	char *crl_issuer_anchors; /* PEM; NULL only without crl */
	const char *file;
	unsigned line;
};

struct verification_config {
	enum on_failure on_failure;
	bool verstat_failed_on_any;
	bool strict_profile;
	int64_t crl_grace_s;
	enum on_replay on_replay;
	char *cache;              /* directory; NULL: none, nothing survives a restart */
	unsigned cache_entries;
	size_t cache_bytes;
	unsigned fetch_deadline_ms;  /* of one fetch in all */
	unsigned call_deadline_ms;   /* how long a call waits for it */
	char *tls_ca;             /* PEM; NULL: the system's web CAs */
	struct network *allow_addresses;
	size_t allow_address_count;
	unsigned *allow_ports;    /* never empty: 443 and 8443 unless configured */
	size_t allow_port_count;
	unsigned fetch_max, fetch_max_per_host;
	unsigned fetch_per_peer;  /* new URLs a second */
};

struct peer {
	char *name;
	uint16_t hash;            /* name_hash() of the name */
	struct network *addresses;
	size_t address_count;
	int listener;             /* only there; -1: on all */
	enum service service;
	enum mode mode;
	struct attestation_policy attestation;
	enum identity_from identity_from;
	struct dial_plan dial_plan;
	char *next_hop;           /* the first one: host[:port][;parameters], without scheme; NULL: none */
	struct next_hop *next_hops; /* all of them, up to 16; at least one in the modes b2bua and forward */
	size_t next_hop_count;
	struct network *far_side; /* modes b2bua and forward: who may send requests within a call, besides the next hops */
	size_t far_side_count;
	enum call_id_mode call_id; /* mode b2bua */
	unsigned no_answer_s;     /* how long an INVITE may ring (RFC 3261 timer C) */
	enum on_error on_error;
	enum on_stale_date on_stale_date;
	unsigned unsigned_status; /* 302 unless configured; in the modes b2bua and forward, below 400: the call goes on */
	unsigned reject_status;   /* 603 unless configured */
	char *origid;             /* fixed origid, or NULL */
	/* service = "verify": */
	enum on_failure on_failure;
	bool identity_required;
	bool trusted;             /* its verstat, Attestation-Info and Origination-Id headers are believed */
	bool shadow;
	enum verstat_form verstat_form;
	enum verstat_place verstat_place;
	bool attestation_headers; /* Attestation-Info and Origination-Id on the answer of a passed call */
	struct treatment *treatment;
	size_t treatment_count;
};

struct peer_networks;
struct name_hashes;

struct config {
	struct listener *listeners;
	size_t listener_count;
	unsigned workers;         /* never 0: one per core is already counted */
	char *secret_file;
	char *node;               /* sip.node, or the host name */
	unsigned max_waiting;     /* calls that wait for signer or fetcher, for each worker */
	size_t answer_memo_bytes; /* for each worker */
	struct credential_config *credentials;
	size_t credential_count;
	struct customer *customers;
	size_t customer_count;
	struct number_table *numbers;
	struct peer *peers;
	size_t peer_count;
	unsigned signer_deadline_ms;
	enum self_check self_check;
	int64_t freshness_s;      /* verification.freshness: for Date when signing, too */
	struct verification_config verification;
	struct trust_config *trust;
	size_t trust_count;
	char *records_file;       /* NULL: no records */
	struct sockaddr_storage *dns_servers; /* none: those of the system */
	size_t dns_server_count;
	unsigned probe_interval_ms; /* of a next hop that answers; 0: none is probed */
	char *dialog_store;       /* directory; of use where a peer has the mode b2bua */
	size_t dialog_store_bytes;
	uint32_t dialog_max_age_s;
	char *previous_secret_file; /* the secret before this one, for calls that began under it; NULL: none */
	struct peer_networks *peer_networks; /* for config_peer_for() and config_may_speak() */
	struct name_hashes *name_hashes; /* for config_..._by_hash() */
	char **files;             /* the names of the files that it was read from */
	size_t file_count;
};

/* Parses and checks everything that can be checked without opening other files (keys and certificates are the
 * signer's). All findings go into the report. NULL when there is an error among them. */
struct config *config_parse(const struct config_source *source, struct config_report *report);
void config_free(struct config *config); /* NULL is fine */

/* The peer that may speak from this address on this listener: one with a matching "listen" first, then the longest
 * prefix. NULL: a stranger. IPv4-mapped IPv6 addresses count as IPv4. */
const struct peer *config_peer_for(const struct config *config, const struct sockaddr *source, int listener);

/* Whether anything is listened to that comes from this address on this listener: a peer may speak there, or it is a literal
 * next hop or of the far side of a peer with the mode b2bua or forward, on whatever listener. The addresses of next hops
 * that have names are for hops_knows_address(). */
bool config_may_speak(const struct config *config, const struct sockaddr *source, int listener);

/* Whose name, or text, has this name_hash(); NULL: nobody's. Peers of the mode redirect are not found: nothing comes back
 * for them, so that they may share a hash. Nor is a customer who shares his with another. */
const struct peer *config_peer_by_hash(const struct config *config, uint16_t hash);
const struct listener *config_listener_by_hash(const struct config *config, uint16_t hash);
const struct customer *config_customer_by_hash(const struct config *config, uint16_t hash);

#endif
