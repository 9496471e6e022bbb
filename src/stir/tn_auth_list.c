#include "stirrup/tn_auth_list.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* RFC 8226 section 9, in a module with explicit tags (appendix A):
 *   TNAuthorizationList ::= SEQUENCE SIZE (1..MAX) OF TNEntry
 *   TNEntry ::= CHOICE { spc [0] IA5String, range [1] TelephoneNumberRange, one [2] TelephoneNumber }
 *   TelephoneNumberRange ::= SEQUENCE { start TelephoneNumber, count INTEGER (2..MAX) }
 *   TelephoneNumber ::= IA5String (SIZE (1..15)) (FROM ("0123456789#*")) */
#define TAG_INTEGER 0x02
#define TAG_IA5STRING 0x16
#define TAG_SEQUENCE 0x30
#define TAG_SPC 0xa0
#define TAG_RANGE 0xa1
#define TAG_ONE 0xa2

#define NUMBER_MAX 15
/* The shortest entry: a tag and a length around an IA5String of one character. */
#define ENTRY_BYTES_MIN 5

struct number {
	char start[NUMBER_MAX + 1];
	uint64_t count; /* 1: a single number, perhaps with "*" or "#" */
};

struct tn_auth_list {
	const char **spcs;
	size_t spc_count;
	struct number *numbers;
	size_t number_count;
	char *text; /* of the codes */
	char *text_end;
};

/* What is left of the content of one element. */
struct der {
	const unsigned char *at;
	const unsigned char *end;
	const char *why; /* NULL until something is wrong */
};

static bool refuse(struct der *in, const char *why)
{
	in->why = why;
	return false;
}

static size_t left(const struct der *in)
{
	return (size_t)(in->end - in->at);
}

/* X.690 sections 8.1.3 and 10.1: definite, in as few octets as possible. */
static bool take_length(struct der *in, size_t *length)
{
	unsigned octets;

	if (left(in) == 0)
		return refuse(in, "cut off before a length");
	*length = *in->at++;
	if (*length < 0x80)
		return true;
	octets = (unsigned)*length & 0x7f;
	if (octets == 0)
		return refuse(in, "a length is indefinite, which DER forbids");
	if (octets > 4)
		return refuse(in, "a length runs beyond its surroundings");
	if (left(in) < octets)
		return refuse(in, "cut off within a length");
	*length = 0;
	for (unsigned i = 0; i < octets; i++)
		*length = *length << 8 | *in->at++;
	if (*length < 0x80 || (octets > 1 && *length >> 8 * (octets - 1) == 0))
		return refuse(in, "a length is not in its shortest form, which DER wants");
	return true;
}

/* Takes one element of this tag; wanted says what was expected there. */
static bool take(struct der *in, unsigned char tag, struct der *content, const char *wanted)
{
	size_t length;

	if (left(in) == 0 || *in->at != tag)
		return refuse(in, wanted);
	in->at++;
	if (!take_length(in, &length))
		return false;
	if (length > left(in))
		return refuse(in, "a length runs beyond its surroundings");
	*content = (struct der){ in->at, in->at + length, NULL };
	in->at += length;
	return true;
}

static bool take_spc(struct der *in, struct tn_auth_list *list)
{
	struct der string;

	if (!take(in, TAG_IA5STRING, &string, "a service provider code is not an IA5String"))
		return false;
	if (left(&string) == 0)
		return refuse(in, "a service provider code is empty");
	for (const unsigned char *p = string.at; p < string.end; p++)
		if (*p < 0x20 || *p > 0x7e)
			return refuse(in, "a service provider code has a character that cannot be printed");
	memcpy(list->text_end, string.at, left(&string));
	list->spcs[list->spc_count++] = list->text_end;
	list->text_end += left(&string);
	*list->text_end++ = '\0';
	return true;
}

static bool take_number(struct der *in, char number[NUMBER_MAX + 1])
{
	struct der string;

	if (!take(in, TAG_IA5STRING, &string, "a telephone number is not an IA5String"))
		return false;
	if (left(&string) == 0 || left(&string) > NUMBER_MAX)
		return refuse(in, "a telephone number does not have 1 to 15 characters");
	memcpy(number, string.at, left(&string));
	number[left(&string)] = '\0';
	if (strspn(number, "0123456789#*") != left(&string))
		return refuse(in, "a telephone number has other characters than 0-9, # and *");
	return true;
}

/* RFC 8226 section 9, item 2. */
static bool take_count(struct der *in, uint64_t *count)
{
	struct der integer;

	if (!take(in, TAG_INTEGER, &integer, "the count of a range is not an INTEGER"))
		return false;
	if (left(&integer) == 0)
		return refuse(in, "the count of a range is empty");
	/* X.690 section 8.3.2. */
	if (left(&integer) > 1 && ((integer.at[0] == 0 && integer.at[1] < 0x80) ||
					  (integer.at[0] == 0xff && integer.at[1] >= 0x80)))
		return refuse(in, "the count of a range is not in its shortest form, which DER wants");
	if (integer.at[0] >= 0x80)
		return refuse(in, "the count of a range is negative");
	if (left(&integer) > sizeof *count)
		return refuse(in, "a range goes beyond the numbers of its length");
	*count = 0;
	while (integer.at < integer.end)
		*count = *count << 8 | *integer.at++;
	if (*count < 2)
		return refuse(in, "the count of a range is less than 2");
	return true;
}

/* Of digits only; 15 of them are less than 2^50. */
static uint64_t value_of(const char *digits)
{
	uint64_t value = 0;

	while (*digits != '\0')
		value = value * 10 + (uint64_t)(*digits++ - '0');
	return value;
}

static uint64_t power_of_ten(size_t exponent)
{
	uint64_t power = 1;

	while (exponent-- > 0)
		power *= 10;
	return power;
}

static bool take_range(struct der *in, struct number *number)
{
	struct der range;
	uint64_t end;

	if (!take(in, TAG_SEQUENCE, &range, "a range is not a SEQUENCE"))
		return false;
	if (!take_number(&range, number->start) || !take_count(&range, &number->count))
		return refuse(in, range.why);
	if (left(&range) != 0)
		return refuse(in, "a range has something after its count");
	if (strpbrk(number->start, "#*") != NULL)
		return refuse(in, "a range starts at a number with # or *");
	end = power_of_ten(strlen(number->start));
	if (number->count >= end || value_of(number->start) + number->count >= end)
		return refuse(in, "a range goes beyond the numbers of its length");
	return true;
}

static bool take_entry(struct der *in, struct tn_auth_list *list)
{
	unsigned char tag = *in->at;
	struct number *number = &list->numbers[list->number_count];
	struct der entry;
	bool ok = false;

	if (tag != TAG_SPC && tag != TAG_RANGE && tag != TAG_ONE)
		return refuse(in, "an entry is not tagged [0], [1] or [2]");
	if (!take(in, tag, &entry, ""))
		return false;
	if (tag == TAG_SPC) {
		ok = take_spc(&entry, list);
	} else {
		number->count = 1;
		ok = tag == TAG_RANGE ? take_range(&entry, number) : take_number(&entry, number->start);
		list->number_count += ok;
	}
	if (!ok)
		return refuse(in, entry.why);
	if (left(&entry) != 0)
		return refuse(in, "an entry holds more than one value");
	return true;
}

static bool take_list(struct der *in, struct tn_auth_list *list)
{
	struct der entries;

	if (!take(in, TAG_SEQUENCE, &entries, "not a SEQUENCE"))
		return false;
	if (left(in) != 0)
		return refuse(in, "something stands after the SEQUENCE");
	if (left(&entries) == 0)
		return refuse(in, "an empty SEQUENCE");
	while (left(&entries) > 0)
		if (!take_entry(&entries, list))
			return refuse(in, entries.why);
	return true;
}

/* With room for whatever that many octets can say. */
static struct tn_auth_list *new_list(size_t length)
{
	struct tn_auth_list *list = calloc(1, sizeof *list);
	size_t entries = length / ENTRY_BYTES_MIN + 1;

	if (list == NULL)
		return NULL;
	list->spcs = calloc(entries, sizeof *list->spcs);
	list->numbers = calloc(entries, sizeof *list->numbers);
	list->text = malloc(length + 1);
	list->text_end = list->text;
	if (list->spcs != NULL && list->numbers != NULL && list->text != NULL)
		return list;
	tn_auth_list_free(list);
	return NULL;
}

struct tn_auth_list *tn_auth_list_decode(const unsigned char *der, size_t length, const char **why)
{
	struct der in = { der, der + length, NULL };
	struct tn_auth_list *list = new_list(length);

	if (list == NULL) {
		*why = "out of memory";
		return NULL;
	}
	if (take_list(&in, list))
		return list;
	*why = in.why;
	tn_auth_list_free(list);
	return NULL;
}

void tn_auth_list_free(struct tn_auth_list *list)
{
	if (list == NULL)
		return;
	free(list->spcs);
	free(list->numbers);
	free(list->text);
	free(list);
}

size_t tn_auth_list_spc_count(const struct tn_auth_list *list)
{
	return list->spc_count;
}

const char *tn_auth_list_spc(const struct tn_auth_list *list, size_t index)
{
	return list->spcs[index];
}

size_t tn_auth_list_number_count(const struct tn_auth_list *list)
{
	return list->number_count;
}

const char *tn_auth_list_number(const struct tn_auth_list *list, size_t index, uint64_t *count)
{
	*count = list->numbers[index].count;
	return list->numbers[index].start;
}

bool tn_auth_list_has_spc(const struct tn_auth_list *list, const char *spc)
{
	for (size_t i = 0; i < list->spc_count; i++)
		if (strcmp(list->spcs[i], spc) == 0)
			return true;
	return false;
}

static bool covers(const struct number *number, const struct tn *tn)
{
	uint64_t start, value;

	if (strcmp(number->start, tn->digits) == 0)
		return true;
	/* Within a range all numbers are as long as the first: its count never makes them longer. */
	if (number->count == 1 || strlen(number->start) != strlen(tn->digits) ||
		strpbrk(tn->digits, "#*") != NULL)
		return false;
	start = value_of(number->start);
	value = value_of(tn->digits);
	return value >= start && value - start < number->count;
}

bool tn_auth_list_covers(const struct tn_auth_list *list, const struct tn *tn)
{
	for (size_t i = 0; i < list->number_count; i++)
		if (covers(&list->numbers[i], tn))
			return true;
	return false;
}

/* How many numbers from this value on, all of that length, an entry has. */
static uint64_t reach(const struct number *number, uint64_t value, size_t length)
{
	uint64_t start;

	if (strlen(number->start) != length || strpbrk(number->start, "#*") != NULL)
		return 0;
	start = value_of(number->start);
	return value >= start && value - start < number->count ? number->count - (value - start) : 0;
}

/* Several entries together may cover what none of them covers alone. */
static bool covers_range(const struct tn_auth_list *list, const struct number *inner)
{
	size_t length = strlen(inner->start);
	uint64_t value = value_of(inner->start), left_over = inner->count;

	while (left_over > 0) {
		uint64_t longest = 0;

		for (size_t i = 0; i < list->number_count; i++) {
			uint64_t reached = reach(&list->numbers[i], value, length);

			longest = reached > longest ? reached : longest;
		}
		if (longest == 0)
			return false;
		if (longest >= left_over)
			return true;
		value += longest;
		left_over -= longest;
	}
	return true;
}

static bool covers_entry(const struct tn_auth_list *list, const struct number *inner)
{
	struct tn tn;

	if (strpbrk(inner->start, "#*") == NULL)
		return covers_range(list, inner);
	strcpy(tn.digits, inner->start);
	return tn_auth_list_covers(list, &tn);
}

bool tn_auth_list_encompasses(const struct tn_auth_list *list, const struct tn_auth_list *inner)
{
	for (size_t i = 0; i < inner->spc_count; i++)
		if (!tn_auth_list_has_spc(list, inner->spcs[i]))
			return false;
	if (list->spc_count > 0)
		return true;
	for (size_t i = 0; i < inner->number_count; i++)
		if (!covers_entry(list, &inner->numbers[i]))
			return false;
	return true;
}
