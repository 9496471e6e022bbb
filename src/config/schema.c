#include "schema.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "guess.h"
#include "quantity.h"
#include "source.h"
#include "stirrup/number_table.h"

#define TEXT_MAX 4095 /* the longest path that the system takes */

/* --- The settings --- */

const char *const service_words[] = { "sign", "verify", NULL };
const char *const mode_words[] = { "redirect", "b2bua", "forward", NULL };
const char *const call_id_words[] = { "keep", "new", NULL };
const char *const identity_from_words[] = { "pai-then-from", "pai", "from", NULL };
const char *const on_error_words[] = { "continue", "503", NULL };
const char *const stale_date_words[] = { "unsigned", "reject", NULL };
const char *const self_check_words[] = { "sampled", "always", "off", NULL };
static const char *const customer_by_words[] = { "number", NULL };
const char *const on_failure_words[] = { "continue", "reject", NULL };
const char *const verstat_failed_on_words[] = { "table", "any", NULL };
const char *const on_replay_words[] = { "record", "fail", NULL };
const char *const verstat_words[] = { "plain", "with-attestation", NULL };
const char *const verstat_place_words[] = { "pai", "from", "both", NULL };
const char *const result_words[] = { "passed", "failed", "no_validation", NULL };
static const char *const attestation_words[] = { "A", "B", "C", NULL };

#define END { .name = NULL }
#define REQUIRED SCHEMA_REQUIRED
#define NOT_BUILT SCHEMA_NOT_BUILT
#define TEXT(NAME, FLAGS) { .name = NAME, .type = SCHEMA_TEXT, .flags = FLAGS }
#define TEXTS(NAME, FLAGS, MEMBERS) { .name = NAME, .type = SCHEMA_TEXTS, .flags = FLAGS, .members = MEMBERS }
#define FLAG(NAME, FLAGS) { .name = NAME, .type = SCHEMA_FLAG, .flags = FLAGS }
#define LEVEL(NAME, FLAGS) { .name = NAME, .type = SCHEMA_LEVEL, .flags = FLAGS }
#define WORD(NAME, FLAGS, WORDS) { .name = NAME, .type = SCHEMA_WORD, .flags = FLAGS, .words = WORDS }
#define NUMBER(NAME, TYPE, FLAGS, MIN, MAX) { .name = NAME, .type = TYPE, .flags = FLAGS, .min = MIN, .max = MAX }
#define GROUP(NAME, FLAGS, MEMBERS) { .name = NAME, .type = SCHEMA_GROUP, .flags = FLAGS, .members = MEMBERS }
#define ENTRIES(NAME, FLAGS, MEMBERS) { .name = NAME, .type = SCHEMA_ENTRIES, .flags = FLAGS, .members = MEMBERS }

static const struct schema address_members[] = { TEXT("address", REQUIRED), END };
static const struct schema next_hop_members[] = {
	TEXT("uri", REQUIRED),
	NUMBER("weight", SCHEMA_INTEGER, 0, 1, 1000),
	END,
};

static const struct schema listen_members[] = { TEXT("address", REQUIRED), TEXT("advertise", 0), END };
static const struct schema number_members[] = { TEXT("number", REQUIRED), LEVEL("attestation", 0), END };

static const struct schema sip_members[] = {
	TEXTS("listen", 0, listen_members),
	NUMBER("workers", SCHEMA_INTEGER, 0, 0, 64),
	TEXT("secret_file", 0),
	TEXT("previous_secret_file", 0),
	TEXT("node", 0),
	NUMBER("max_waiting", SCHEMA_INTEGER, 0, 16, 65536),
	NUMBER("answer_memo", SCHEMA_SIZE, 0, 1 << 20, 1 << 30),
	TEXTS("dns_servers", 0, address_members),
	NUMBER("probe_interval", SCHEMA_DURATION, 0, 0, 3600000),
	END,
};

static const struct schema credential_members[] = {
	TEXT("name", REQUIRED),
	TEXT("certificate", REQUIRED),
	TEXT("private_key", REQUIRED),
	TEXT("x5u", REQUIRED),
	TEXT("spc", REQUIRED),
	END,
};

static const struct schema customer_members[] = {
	TEXT("name", REQUIRED),
	TEXT("credential", REQUIRED),
	TEXTS("numbers", 0, number_members),
	LEVEL("own_numbers", 0),
	LEVEL("other_numbers", SCHEMA_NOT_A),
	TEXT("origid", 0),
	END,
};

static const struct schema treatment_members[] = {
	WORD("result", 0, result_words),
	TEXT("reason", 0),
	WORD("attestation", 0, attestation_words),
	TEXT("spc", 0),
	TEXT("x5u_host", 0),
	WORD("action", REQUIRED, on_failure_words),
	NUMBER("status", SCHEMA_INTEGER, 0, 400, 699),
	TEXT("phrase", 0),
	TEXT("header", 0),
	TEXT("next_hop", 0),
	END,
};

static const struct schema peer_members[] = {
	TEXT("name", REQUIRED),
	TEXTS("addresses", REQUIRED, address_members),
	TEXT("listen", 0),
	WORD("service", 0, service_words),
	WORD("mode", 0, mode_words),
	TEXT("customer", 0),
	WORD("customer_by", 0, customer_by_words),
	FLAG("authenticates_callers", 0),
	LEVEL("unknown_customer", SCHEMA_NOT_A),
	TEXT("credential", 0),
	WORD("identity_from", 0, identity_from_words),
	TEXTS("next_hop", SCHEMA_OR_TEXT, next_hop_members),
	TEXT("country_code", 0),
	TEXT("national_prefix", 0),
	TEXT("international_prefix", 0),
	WORD("on_error", 0, on_error_words),
	WORD("stale_date", 0, stale_date_words),
	NUMBER("unsigned_status", SCHEMA_INTEGER, 0, 300, 699),
	NUMBER("reject_status", SCHEMA_INTEGER, 0, 400, 699),
	TEXT("origid", 0),
	TEXTS("far_side", 0, address_members),
	WORD("call_id", 0, call_id_words),
	NUMBER("no_answer", SCHEMA_DURATION, 0, 10000, 3600000),
	WORD("on_failure", 0, on_failure_words),
	FLAG("identity_required", 0),
	FLAG("trusted", 0),
	FLAG("shadow", 0),
	WORD("verstat", 0, verstat_words),
	WORD("verstat_place", 0, verstat_place_words),
	FLAG("attestation_headers", 0),
	ENTRIES("treatment", 0, treatment_members),
	END,
};

static const struct schema trust_members[] = {
	TEXT("name", REQUIRED),
	TEXT("anchors", REQUIRED),
	TEXT("crl", 0),
	TEXT("crl_issuer_anchors", 0),
	END,
};

static const struct schema signer_members[] = {
	NUMBER("deadline", SCHEMA_DURATION, 0, 10, 2000),
	WORD("self_check", 0, self_check_words),
	END,
};

static const struct schema fetch_members[] = {
	NUMBER("deadline", SCHEMA_DURATION, 0, 10, 30000),
	TEXT("tls_ca", 0),
	TEXTS("allow_addresses", 0, address_members),
	NUMBER("allow_ports", SCHEMA_INTEGERS, 0, 1, 65535),
	NUMBER("max", SCHEMA_INTEGER, 0, 1, 1024),
	NUMBER("max_per_host", SCHEMA_INTEGER, 0, 1, 1024),
	NUMBER("per_peer", SCHEMA_INTEGER, 0, 1, 100000),
	END,
};

static const struct schema verification_members[] = {
	NUMBER("freshness", SCHEMA_DURATION, 0, 1000, 3600000),
	WORD("on_failure", 0, on_failure_words),
	WORD("verstat_failed_on", 0, verstat_failed_on_words),
	FLAG("strict_profile", 0),
	NUMBER("crl_grace", SCHEMA_DURATION, 0, 0, INT64_C(30) * 24 * 3600 * 1000),
	WORD("replay", 0, on_replay_words),
	TEXT("cache", 0),
	NUMBER("cache_entries", SCHEMA_INTEGER, 0, 1000, 1000000),
	NUMBER("cache_size", SCHEMA_SIZE, 0, 1 << 20, INT64_C(16) << 30),
	NUMBER("call_deadline", SCHEMA_DURATION, 0, 50, 4000),
	GROUP("fetch", 0, fetch_members),
	END,
};

static const struct schema dialogs_members[] = {
	TEXT("store", 0),
	NUMBER("size", SCHEMA_SIZE, 0, 1 << 20, INT64_C(64) << 30),
	NUMBER("max_age", SCHEMA_DURATION, 0, 10000, INT64_C(30) * 24 * 3600 * 1000),
	END,
};

static const struct schema records_members[] = { TEXT("file", 0), END };
static const struct schema control_members[] = { TEXT("socket", 0), TEXT("http", 0), END };

const struct schema schema_root[] = {
	GROUP("sip", 0, sip_members),
	ENTRIES("credentials", 0, credential_members),
	ENTRIES("customers", 0, customer_members),
	ENTRIES("peers", 0, peer_members),
	GROUP("signer", 0, signer_members),
	GROUP("records", 0, records_members),
	ENTRIES("trust", 0, trust_members),
	GROUP("verification", 0, verification_members),
	GROUP("dialogs", 0, dialogs_members),
	GROUP("control", NOT_BUILT, control_members),
	END,
};

/* --- Did you mean --- */

static const char *nearest(const struct schema *members, const char *name)
{
	struct guess guess = guess_for(name);

	for (; members->name != NULL; members++)
		guess_try(&guess, members->name);
	return guess.nearest;
}

/* A known name in the wrong place: "workers" beside "sip" instead of in it. */
static bool find_elsewhere(
	char *out, size_t size, const struct schema *members, const char *prefix, const char *name)
{
	for (; members->name != NULL; members++) {
		char path[128];

		snprintf(path, sizeof path, "%s%s%s", prefix, *prefix == '\0' ? "" : ".", members->name);
		if (strcmp(members->name, name) == 0) {
			snprintf(out, size, "%s", path);
			return true;
		}
		if (members->members != NULL && find_elsewhere(out, size, members->members, path, name))
			return true;
	}
	return false;
}

static void report_unknown(struct tree *tree, const config_setting_t *setting, const struct schema *members)
{
	const char *near = nearest(members, setting->name);
	char elsewhere[128];

	if (near != NULL)
		setting_error(tree, setting, "unknown setting; did you mean %s?", near);
	else if (find_elsewhere(elsewhere, sizeof elsewhere, schema_root, "", setting->name))
		setting_error(tree, setting, "unknown setting here; did you mean %s?", elsewhere);
	else
		setting_error(tree, setting, "unknown setting; stirrup.conf(5) has all names");
}

/* --- Values --- */

struct check {
	struct tree *tree;
	bool quiet; /* below what is not built, which has been said */
};

static void check_setting(struct check *check, const config_setting_t *setting, const struct schema *schema);

static const char *type_name(const config_setting_t *setting)
{
	switch (setting->type) {
	case CONFIG_TYPE_GROUP:
		return "a group { }";
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "a number";
	case CONFIG_TYPE_FLOAT:
		return "a number with a decimal point";
	case CONFIG_TYPE_STRING:
		return "a text";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	case CONFIG_TYPE_ARRAY:
		return "an array [ ]";
	case CONFIG_TYPE_LIST:
		return "a list ( )";
	}
	return "nothing";
}

static const char *wanted(const struct schema *schema)
{
	switch (schema->type) {
	case SCHEMA_GROUP:
		return "a group: { ... }";
	case SCHEMA_ENTRIES:
		return "a list of groups: ( { ... } )";
	case SCHEMA_TEXTS:
		return (schema->flags & SCHEMA_OR_TEXT) != 0
			       ? "a text in quotes, or a list of them: ( \"...\" )"
			       : "a list of texts: [ \"...\" ]";
	case SCHEMA_INTEGER:
		return "a whole number, without quotes";
	case SCHEMA_INTEGERS:
		return "a list of whole numbers: [ 443 ]";
	case SCHEMA_FLAG:
		return "true or false, without quotes";
	case SCHEMA_DURATION:
		return "a duration in quotes, such as \"250ms\", \"60s\", \"5m\", \"24h\" or \"1d\"";
	case SCHEMA_SIZE:
		return "a size in quotes, such as \"64K\", \"16M\" or \"1G\"";
	case SCHEMA_TEXT:
	case SCHEMA_WORD:
	case SCHEMA_LEVEL:
		break;
	}
	return "a text in quotes";
}

static void report_type(struct check *check, const config_setting_t *setting, const struct schema *schema)
{
	setting_error(check->tree, setting, "is %s; write %s", type_name(setting), wanted(schema));
}

static bool check_text(struct check *check, const config_setting_t *setting, const struct schema *schema)
{
	const char *text = config_setting_get_string(setting);

	if (text == NULL) {
		report_type(check, setting, schema);
		return false;
	}
	if (text[0] == '\0') {
		setting_error(check->tree, setting, "is empty; remove the line, or set a value");
		return false;
	}
	if (strlen(text) > TEXT_MAX) {
		setting_error(check->tree, setting, "is longer than %d bytes", TEXT_MAX);
		return false;
	}
	for (const char *at = text; *at != '\0'; at++) {
		if ((unsigned char)*at >= 0x20 && *at != 0x7f)
			continue;
		setting_error(check->tree, setting, "has a control character (0x%02x)", (unsigned char)*at);
		return false;
	}
	return true;
}

static void check_word(struct check *check, const config_setting_t *setting, const struct schema *schema)
{
	const char *text = config_setting_get_string(setting);
	char list[200] = "";
	unsigned i;

	for (i = 0; schema->words[i] != NULL; i++) {
		const char *separator = i == 0 ? "" : schema->words[i + 1] == NULL ? " or " : ", ";
		size_t length = strlen(list);

		if (strcmp(text, schema->words[i]) == 0)
			break;
		snprintf(list + length, sizeof list - length, "%s\"%s\"", separator, schema->words[i]);
	}
	if (schema->words[i] == NULL)
		setting_error(check->tree, setting, "\"%.60s\": must be %s", text, list);
}

static void check_level(struct check *check, const config_setting_t *setting, const struct schema *schema)
{
	const char *text = config_setting_get_string(setting);
	bool not_a = (schema->flags & SCHEMA_NOT_A) != 0;
	enum level level;

	if (!level_from_word(&level, text) || level == LEVEL_UNSET)
		setting_error(check->tree, setting,
			"\"%.60s\": must be %s\"B\", \"C\", \"unsigned\" or \"reject\"", text,
			not_a ? "" : "\"A\", ");
	else if (level == LEVEL_A && not_a)
		setting_error(check->tree, setting,
			"\"A\" is refused here: full attestation needs the number in a customer's numbers; "
			"\"B\", \"C\", "
			"\"unsigned\" or \"reject\"");
}

static void check_integer(struct check *check, const config_setting_t *setting, const struct schema *schema)
{
	long long value = config_setting_get_int64(setting);

	if (setting->type != CONFIG_TYPE_INT && setting->type != CONFIG_TYPE_INT64)
		report_type(check, setting, schema);
	else if (value == INT_MAX || value == INT_MIN)
		/* syntax_check() makes these of what libconfig cannot hold. */
		setting_error(check->tree, setting, "far out of range; must be %" PRId64 " to %" PRId64,
			schema->min, schema->max);
	else if (value < schema->min || value > schema->max)
		setting_error(check->tree, setting, "%lld: out of range; must be %" PRId64 " to %" PRId64,
			value, schema->min, schema->max);
}

static void check_quantity(struct check *check, const config_setting_t *setting, const struct schema *schema)
{
	bool is_size = schema->type == SCHEMA_SIZE;
	const char *text = config_setting_get_string(setting);
	const char *(*to_text)(char *, int64_t) = is_size ? size_text : duration_text;
	char min[QUANTITY_SIZE], max[QUANTITY_SIZE];
	int64_t value;

	if (!(is_size ? size_from_text : duration_from_text)(&value, text))
		setting_error(check->tree, setting, "\"%.60s\": write %s", text, wanted(schema));
	else if (value < schema->min || value > schema->max)
		setting_error(check->tree, setting, "\"%.60s\": out of range; must be \"%s\" to \"%s\"", text,
			to_text(min, schema->min), to_text(max, schema->max));
}

/* --- Groups and lists --- */

static const struct schema *find_member(const struct schema *members, const char *name)
{
	for (; members->name != NULL; members++)
		if (strcmp(members->name, name) == 0)
			return members;
	return NULL;
}

static void check_members(struct check *check, const config_setting_t *group, const struct schema *members)
{
	int length = config_setting_length(group);

	for (int i = 0; i < length; i++) {
		const config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);
		const struct schema *schema = find_member(members, setting->name);

		if (schema == NULL)
			report_unknown(check->tree, setting, members);
		else
			check_setting(check, setting, schema);
	}
	for (; members->name != NULL; members++)
		if ((members->flags & SCHEMA_REQUIRED) != 0 &&
			config_setting_get_member(group, members->name) == NULL)
			setting_error(check->tree, group, "%s is missing; it has no default", members->name);
}

static void check_entries(struct check *check, const config_setting_t *list, const struct schema *schema)
{
	int length = config_setting_length(list);

	for (int i = 0; i < length; i++) {
		const config_setting_t *entry = config_setting_get_elem(list, (unsigned)i);

		if (config_setting_is_group(entry))
			check_members(check, entry, schema->members);
		else
			setting_error(check->tree, entry, "entry %d is %s; write %s", i + 1, type_name(entry),
				wanted(schema));
	}
}

static void check_texts(struct check *check, const config_setting_t *list, const struct schema *schema)
{
	int length = config_setting_length(list);

	if (config_setting_is_scalar(list)) {
		if ((schema->flags & SCHEMA_OR_TEXT) != 0)
			(void)check_text(check, list, schema);
		else
			report_type(check, list, schema);
		return;
	}
	if (length == 0)
		setting_error(check->tree, list, "is empty; remove the line, or list something");
	for (int i = 0; i < length; i++) {
		const config_setting_t *entry = config_setting_get_elem(list, (unsigned)i);

		if (config_setting_is_group(entry))
			check_members(check, entry, schema->members);
		else if (config_setting_get_string(entry) == NULL)
			setting_error(check->tree, entry, "entry %d is %s; write a text in quotes", i + 1,
				type_name(entry));
		else
			(void)check_text(check, entry, schema);
	}
}

static void check_integers(struct check *check, const config_setting_t *list, const struct schema *schema)
{
	int length = config_setting_length(list);

	if (length == 0)
		setting_error(check->tree, list, "is empty; remove the line, or list something");
	for (int i = 0; i < length; i++)
		check_integer(check, config_setting_get_elem(list, (unsigned)i), schema);
}

static void check_value(struct check *check, const config_setting_t *setting, const struct schema *schema)
{
	bool is_list = config_setting_is_list(setting) || config_setting_is_array(setting);

	switch (schema->type) {
	case SCHEMA_GROUP:
		if (config_setting_is_group(setting))
			check_members(check, setting, schema->members);
		else
			report_type(check, setting, schema);
		break;
	case SCHEMA_ENTRIES:
		if (is_list)
			check_entries(check, setting, schema);
		else
			report_type(check, setting, schema);
		break;
	case SCHEMA_TEXTS:
		if (is_list || config_setting_is_scalar(setting))
			check_texts(check, setting, schema);
		else
			report_type(check, setting, schema);
		break;
	case SCHEMA_INTEGERS:
		if (is_list)
			check_integers(check, setting, schema);
		else
			report_type(check, setting, schema);
		break;
	case SCHEMA_INTEGER:
		check_integer(check, setting, schema);
		break;
	case SCHEMA_FLAG:
		if (setting->type != CONFIG_TYPE_BOOL)
			report_type(check, setting, schema);
		break;
	case SCHEMA_TEXT:
		(void)check_text(check, setting, schema);
		break;
	case SCHEMA_WORD:
		if (check_text(check, setting, schema))
			check_word(check, setting, schema);
		break;
	case SCHEMA_LEVEL:
		if (check_text(check, setting, schema))
			check_level(check, setting, schema);
		break;
	case SCHEMA_DURATION:
	case SCHEMA_SIZE:
		if (check_text(check, setting, schema))
			check_quantity(check, setting, schema);
		break;
	}
}

static void check_setting(struct check *check, const config_setting_t *setting, const struct schema *schema)
{
	bool was_quiet = check->quiet;

	if ((schema->flags & SCHEMA_NOT_BUILT) != 0 && !check->quiet) {
		setting_warning(check->tree, setting, "set, but not built in this version");
		check->quiet = true;
	}
	check_value(check, setting, schema);
	check->quiet = was_quiet;
}

/* --- Several files --- */

/* What is not a list can have one value only, so the second file that sets it contradicts the first. */
static void check_twice(struct tree *tree, const config_setting_t *group, const struct schema *members,
	const char *prefix, size_t file)
{
	for (; members->name != NULL; members++) {
		const config_setting_t *setting = config_setting_get_member(group, members->name);
		struct tree before = { .files = tree->files, .count = file };
		const config_setting_t *first;
		char path[128], place[PLACE_SIZE];

		if (setting == NULL || members->type == SCHEMA_ENTRIES)
			continue;
		snprintf(path, sizeof path, "%s%s%s", prefix, *prefix == '\0' ? "" : ".", members->name);
		if (members->type == SCHEMA_GROUP) {
			if (config_setting_is_group(setting))
				check_twice(tree, setting, members->members, path, file);
			continue;
		}
		first = tree_find(&before, path);
		if (first != NULL)
			setting_error(tree, setting,
				"is set in two files, here and at %s; remove one of them",
				setting_place(place, first));
	}
}

void schema_check(struct tree *tree)
{
	struct check check = { .tree = tree };

	for (size_t i = 0; i < tree->count; i++) {
		const config_setting_t *root = config_root_setting(&tree->files[i].settings);

		if (!tree->files[i].parsed)
			continue;
		check_members(&check, root, schema_root);
		check_twice(tree, root, schema_root, "", i);
	}
}

unsigned member_word(
	const config_setting_t *group, const char *name, const char *const *words, unsigned fallback)
{
	const char *text = group == NULL ? NULL : member_text(group, name);

	for (unsigned i = 0; text != NULL && words[i] != NULL; i++)
		if (strcmp(text, words[i]) == 0)
			return i;
	return fallback;
}
