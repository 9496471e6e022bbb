#include <stdlib.h>
#include <string.h>

#include "reading.h"
#include "stirrup/passport.h"

/* Full attestation for so much of a numbering plan is more likely a slip than a customer's allocation. */
#define WIDE_PREFIX 4

/* What stands in all the customers' numbers. A number's tag is the index of its setting. */
struct numbers {
	struct number_entry *entries;
	const config_setting_t **settings;
	size_t count;
};

/* --- One number, range or prefix --- */

static bool read_range(struct number_entry *number, const char *text, const char **why)
{
	const char *second = strchr(text + 1, '+');
	struct span first = { text, (size_t)(second - text) };

	first = span_trim(first);
	if (first.length == 0 || first.at[first.length - 1] != '-') {
		*why = "is not a number; a range is written \"+12155550100-+12155550199\"";
		return false;
	}
	first.length--;
	if (!tn_from_text(&number->first, first) || !tn_from_text(&number->last, span_of(second)))
		*why = "is not a range of two numbers, such as \"+12155550100-+12155550199\"";
	else if (strlen(number->first.digits) != strlen(number->last.digits))
		*why = "the first and the last number of a range have the same number of digits";
	else if (strcmp(number->first.digits, number->last.digits) > 0)
		*why = "the first number of the range is behind the last; exchange them";
	else
		return true;
	return false;
}

static bool read_number(struct number_entry *number, const char *text, const char **why)
{
	struct span prefix = span_trim(span_of(text));

	if (text[0] != '+') {
		*why = "must begin with '+' and the country code, as in \"+12155551212\"";
		return false;
	}
	if (strchr(text + 1, '+') != NULL)
		return read_range(number, text, why);
	if (prefix.at[prefix.length - 1] == '*') {
		prefix.length--;
		number->prefix = true;
		*why = "is not a prefix; it is written \"+1215556*\"";
		return tn_prefix_from_text(&number->first, prefix);
	}
	*why = "is not a telephone number of '+' and 7 to 31 digits; a prefix is written \"+1215556*\"";
	return tn_from_text(&number->first, span_of(text));
}

static void warn_of_wide_prefix(struct tree *tree, const config_setting_t *entry,
	const struct number_entry *number, const struct customer *customer, const char *text)
{
	enum level level = number->level == LEVEL_UNSET ? customer->own_numbers : number->level;

	if (number->prefix && level == LEVEL_A && strlen(number->first.digits) < WIDE_PREFIX)
		setting_warning(tree, entry,
			"\"%s\": full attestation for every number of a country or region; is it all this "
			"customer's?",
			text);
}

/* --- All of them --- */

static size_t count_numbers(const config_setting_t *const *customers, size_t count)
{
	size_t total = 0;

	for (size_t i = 0; i < count; i++) {
		const config_setting_t *list = config_setting_get_member(customers[i], "numbers");

		if (list != NULL && config_setting_is_aggregate(list))
			total += (size_t)config_setting_length(list);
	}
	return total;
}

static void read_entry(struct tree *tree, struct numbers *numbers, const config_setting_t *entry,
	const struct customer *customer, int index)
{
	const char *text = entry_text(entry, "number");
	const char *level = config_setting_is_group(entry) ? member_text(entry, "attestation") : NULL;
	struct number_entry number = { .customer = index, .level = LEVEL_UNSET, .tag = (int)numbers->count };
	const char *why;

	if (text == NULL || text[0] == '\0')
		return;
	if (level != NULL)
		(void)level_from_word(&number.level, level);
	if (!read_number(&number, text, &why)) {
		setting_error(tree, entry, "\"%.80s\": %s", text, why);
		return;
	}
	warn_of_wide_prefix(tree, entry, &number, customer, text);
	numbers->entries[numbers->count] = number;
	numbers->settings[numbers->count++] = entry;
}

static void read_numbers(
	struct reading *reading, struct numbers *numbers, const config_setting_t *group, int index)
{
	const config_setting_t *list = config_setting_get_member(group, "numbers");
	bool is_list = list != NULL && (config_setting_is_list(list) || config_setting_is_array(list));
	int length = is_list ? config_setting_length(list) : 0;

	for (int i = 0; i < length; i++)
		read_entry(&reading->tree, numbers, config_setting_get_elem(list, (unsigned)i),
			&reading->config->customers[index], index);
}

struct conflict_context {
	struct reading *reading;
	const struct numbers *numbers;
};

static const char *shown_name(const struct customer *customer)
{
	return customer->name == NULL ? "without name" : customer->name;
}

static void report_conflict(const struct number_conflict *conflict, void *context)
{
	const struct conflict_context *ours = context;
	const struct numbers *numbers = ours->numbers;
	const struct number_entry *one = &numbers->entries[conflict->tag],
				  *other = &numbers->entries[conflict->other_tag];
	const config_setting_t *setting = numbers->settings[conflict->tag];
	const config_setting_t *other_setting = numbers->settings[conflict->other_tag];
	const char *text = entry_text(setting, "number"), *other_text = entry_text(other_setting, "number");
	struct tree *tree = &ours->reading->tree;
	char place[PLACE_SIZE];

	setting_place(place, other_setting);
	if (one->customer != other->customer)
		setting_error(tree, setting,
			"\"%.80s\": customer %s has it too (\"%.80s\", %s); a number is one customer's", text,
			shown_name(&ours->reading->config->customers[other->customer]), other_text, place);
	else
		setting_error(tree, setting,
			"\"%.80s\": is there at another level too (\"%.80s\", %s); keep one", text,
			other_text, place);
}

static void build_table(struct reading *reading, const struct numbers *numbers)
{
	struct conflict_context context = { reading, numbers };

	reading->config->numbers =
		number_table_new(numbers->entries, numbers->count, report_conflict, &context);
	if (reading->config->numbers == NULL)
		reading->tree.out_of_memory = true;
}

/* --- Customers --- */

static enum level read_level(const config_setting_t *group, const char *name, enum level fallback)
{
	const char *text = member_text(group, name);
	enum level level;

	return text != NULL && level_from_word(&level, text) ? level : fallback;
}

static bool is_uuid(const char *text)
{
	if (strlen(text) != ORIGID_SIZE - 1)
		return false;
	for (size_t i = 0; i < ORIGID_SIZE - 1; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : strchr("0123456789abcdefABCDEF", text[i]) == NULL)
			return false;
	}
	return true;
}

char *read_origid(struct tree *tree, const config_setting_t *group)
{
	const char *text = member_text(group, "origid");

	/* RFC 8588 section 5. */
	if (text != NULL && text[0] != '\0' && !is_uuid(text))
		setting_error(tree, config_setting_get_member(group, "origid"),
			"\"%.60s\": must be a UUID, such as \"123e4567-e89b-12d3-a456-426655440000\" (RFC "
			"8588 section 5)",
			text);
	return tree_copy(tree, text);
}

static void read_customer(struct reading *reading, struct customer *customer, const config_setting_t *group)
{
	struct tree *tree = &reading->tree;

	customer->name = tree_copy(tree, member_text(group, "name"));
	customer->credential = names_refer(&reading->credentials, tree, group, "credential", "credentials");
	customer->own_numbers = read_level(group, "own_numbers", LEVEL_A);
	customer->other_numbers = read_level(group, "other_numbers", LEVEL_B);
	customer->origid = read_origid(tree, group);
}

void read_customers(struct reading *reading)
{
	struct tree *tree = &reading->tree;
	struct config *config = reading->config;
	const config_setting_t **entries;
	size_t count = tree_entries(tree, "customers", &entries);
	size_t total = entries == NULL ? 0 : count_numbers(entries, count);
	struct numbers numbers = { .entries = tree_array(tree, total, sizeof *numbers.entries) };

	numbers.settings = tree_array(tree, total, sizeof *numbers.settings);
	config->customers = tree_array(tree, count, sizeof *config->customers);
	if (entries != NULL && numbers.entries != NULL && numbers.settings != NULL &&
		config->customers != NULL) {
		for (; config->customer_count < count; config->customer_count++) {
			read_customer(reading, &config->customers[config->customer_count],
				entries[config->customer_count]);
			read_numbers(reading, &numbers, entries[config->customer_count],
				(int)config->customer_count);
		}
		names_read(&reading->customers, tree, entries, count);
		build_table(reading, &numbers);
	}
	free(numbers.settings);
	free(numbers.entries);
	free(entries);
}
