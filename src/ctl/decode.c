/* stirrupctl decode: what an Identity header field carries, whatever it is worth. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "stirrup/base64url.h"
#include "stirrup/identity_header.h"
#include "stirrup/passport.h"
#include "stirrup/span.h"
#include "ctl.h"
#include "input.h"
#include "output.h"

/* One Identity, or a token that came without a header field, and all that could be made out of it. */
struct reading {
	bool has_parameters;
	struct identity_header identity; /* without parameters only the token is set */
	json_t *header; /* an object; the text where it is none; JSON null where there is none */
	json_t *payload;
	bool has_signature;
	size_t signature_octets;
	json_t *malformed; /* array of sentences; empty: none */
};

/* A part of a token, for people: whatever the parser thinks of it. */
static json_t *decode_part(struct span part)
{
	unsigned char *text = malloc(part.length + 1);
	json_t *value = NULL;
	size_t length;

	if (text != NULL && base64url_decode(text, part.length, &length, part)) {
		value = json_loadb((const char *)text, length, 0, NULL);
		if (!json_is_object(value)) {
			json_decref(value);
			value = json_stringn((const char *)text, length);
		}
	}
	free(text);
	return value == NULL ? json_null() : value;
}

/* Cuts the text before the first dot off rest; all of it where there is none. */
static struct span take_part(struct span *rest)
{
	const char *dot = rest->length == 0 ? NULL : memchr(rest->at, '.', rest->length);
	struct span part = { rest->at, dot == NULL ? rest->length : (size_t)(dot - rest->at) };
	size_t taken = dot == NULL ? part.length : part.length + 1;

	rest->at += taken;
	rest->length -= taken;
	return part;
}

static void read_token(struct reading *reading)
{
	struct span rest = reading->identity.token;
	unsigned char *signature = malloc(rest.length + 1);
	struct passport *passport = NULL;
	const char *detail;
	enum passport_fault fault = passport_parse(&passport, rest, &detail);

	if (fault != PASSPORT_OK)
		json_array_append_new(
			reading->malformed, json_sprintf("%s: %s", detail, passport_fault_text(fault)));
	passport_free(passport);
	reading->header = decode_part(take_part(&rest));
	reading->payload = decode_part(take_part(&rest));
	reading->has_signature = signature != NULL &&
				 base64url_decode(signature, rest.length, &reading->signature_octets, rest);
	free(signature);
}

/* Takes the next Identity off a header field's value, or what stands in its place where it is malformed. */
static bool next_reading(struct span *rest, struct reading *reading)
{
	struct span before = span_trim(*rest);
	bool malformed;

	*reading = (struct reading){ .malformed = json_array() };
	reading->has_parameters = identity_header_next(rest, &reading->identity, &malformed);
	if (!reading->has_parameters && !malformed) {
		json_decref(reading->malformed);
		return false;
	}
	if (malformed) {
		size_t length = 0;

		while (length < before.length && strchr(";, \t\r\n", before.at[length]) == NULL)
			length++;
		reading->identity = (struct identity_header){ .token = { before.at, length } };
		json_array_append_new(reading->malformed,
			json_string("Identity header field: not token;info=<URI>;alg=ES256;ppt=type "
				    "(RFC 8224 section 4)"));
	}
	read_token(reading);
	return true;
}

static void free_reading(struct reading *reading)
{
	json_decref(reading->header);
	json_decref(reading->payload);
	json_decref(reading->malformed);
}
/* False where no date can be made of it. */
static bool format_date(const json_t *iat, char out[OUTPUT_DATE_SIZE])
{
	return json_is_integer(iat) && output_date(out, json_integer_value(iat));
}

/* Text without its quotes, unless the member should not be text: then the quotes are what is wrong with it.
 */
static void print_value(const char *name, const json_t *value)
{
	bool is_text = strcmp(name, "dest") != 0 && strcmp(name, "iat") != 0 && strcmp(name, "orig") != 0;
	char *json;

	if (is_text && json_is_string(value)) {
		output_escaped(json_string_value(value), json_string_length(value));
		return;
	}
	json = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
	if (json != NULL)
		output_escaped(json, strlen(json));
	free(json);
}

static void print_member(const char *name, const json_t *value)
{
	char date[OUTPUT_DATE_SIZE];

	output_label(name);
	print_value(name, value);
	if (strcmp(name, "attest") == 0 && json_is_string(value))
		printf("%s", output_attestation(json_string_value(value)));
	if (strcmp(name, "iat") == 0 && format_date(value, date))
		printf(" (%s)", date);
	printf("\n");
}

static void print_part(const char *title, json_t *part)
{
	printf("%s\n", title);
	if (json_is_string(part) && json_string_length(part) == 0)
		printf("  empty\n");
	else if (json_is_string(part))
		output_row("text", (struct span){ json_string_value(part), json_string_length(part) });
	else if (!json_is_object(part))
		printf("  cannot be decoded\n");
	else if (json_object_size(part) == 0)
		printf("  no members\n");
	for (void *i = json_object_iter(part); i != NULL; i = json_object_iter_next(part, i))
		print_member(json_object_iter_key(i), json_object_iter_value(i));
}

static void print_reading(const struct reading *reading)
{
	if (reading->has_parameters) {
		printf("parameters\n");
		if (reading->identity.info.length > 0)
			output_row("info", reading->identity.info);
		if (reading->identity.alg.length > 0)
			output_row("alg", reading->identity.alg);
		if (reading->identity.ppt.length > 0)
			output_row("ppt", reading->identity.ppt);
	}
	print_part("header", reading->header);
	print_part("claims", reading->payload);
	if (reading->has_signature)
		printf("signature\n  %zu octets\n", reading->signature_octets);
	else
		printf("signature\n  cannot be decoded\n");
	if (json_array_size(reading->malformed) > 0)
		printf("malformed\n");
	for (size_t i = 0; i < json_array_size(reading->malformed); i++)
		printf("  %s\n", json_string_value(json_array_get(reading->malformed, i)));
}

static json_t *text_or_null(struct span text)
{
	json_t *value = text.length == 0 ? NULL : json_stringn(text.at, text.length);

	return value == NULL ? json_null() : value;
}

static json_t *reading_json(const struct reading *reading)
{
	const struct identity_header *identity = &reading->identity;
	char date[OUTPUT_DATE_SIZE];
	bool dated = format_date(json_object_get(reading->payload, "iat"), date);
	json_t *octets =
		reading->has_signature ? json_integer((json_int_t)reading->signature_octets) : json_null();
	json_t *parameters =
		reading->has_parameters
			? json_pack("{s:o, s:o, s:o}", "info", text_or_null(identity->info), "alg",
				  text_or_null(identity->alg), "ppt", text_or_null(identity->ppt))
			: json_null();

	return json_pack("{s:o, s:O, s:O, s:s?, s:o, s:O}", "parameters", parameters, "header",
		reading->header, "payload", reading->payload, "date", dated ? date : NULL, "signature_octets",
		octets, "malformed", reading->malformed);
}

/* What decode has found so far. */
struct decoding {
	json_t *list; /* NULL unless JSON was asked for */
	size_t count;
	size_t malformed;
};

static void add_reading(struct decoding *decoding, struct reading *reading)
{
	decoding->count++;
	decoding->malformed += json_array_size(reading->malformed) > 0;
	if (decoding->list != NULL) {
		json_array_append_new(decoding->list, reading_json(reading));
	} else {
		if (decoding->count > 1)
			printf("\n");
		print_reading(reading);
	}
	free_reading(reading);
}

static void decode_value(struct decoding *decoding, struct span value)
{
	struct reading reading;

	while (next_reading(&value, &reading))
		add_reading(decoding, &reading);
}

static void decode_bare_token(struct decoding *decoding, struct span token)
{
	struct reading reading = { .identity = { .token = token }, .malformed = json_array() };

	read_token(&reading);
	add_reading(decoding, &reading);
}

/* An Identity without any value is as malformed as one that begins with its parameters. */
static void decode_message(struct decoding *decoding, struct input_headers *headers)
{
	struct input_header header;

	while (input_headers_next(headers, &header))
		if (span_is_caseless(header.name, "Identity") || span_is_caseless(header.name, "y"))
			decode_value(decoding, header.value.length > 0 ? header.value : span_of(";"));
}

static void decode_text(struct decoding *decoding, struct span text)
{
	struct input_headers headers;

	text = span_trim(text);
	if (text.length == 0)
		return;
	if (input_headers_begin(&headers, text))
		decode_message(decoding, &headers);
	else if (memchr(text.at, ';', text.length) != NULL)
		decode_value(decoding, text);
	else
		decode_bare_token(decoding, text);
}

static int finish_decoding(struct decoding *decoding)
{
	if (decoding->list != NULL) {
		json_t *document = json_pack("{s:O}", "identities", decoding->list);

		json_dumpf(document, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
		printf("\n");
		json_decref(document);
	}
	if (decoding->count == 0)
		fprintf(stderr, "stirrupctl: no Identity header field and no token in it\n");
	return decoding->count > 0 && decoding->malformed == 0 ? EXIT_YES : EXIT_NO;
}

int decode_verb(int argc, char **argv)
{
	struct decoding decoding = { 0 };
	bool json, want_help;
	char *text;
	size_t length = 0;
	int result;

	if (!ctl_read_options(argc, argv, &json, &want_help) || argc - optind > 1) {
		ctl_help(stderr);
		return EXIT_USAGE;
	}
	if (want_help)
		return ctl_help(stdout);
	text = input_read(argv[optind], &length, "too long for a SIP message");
	if (text == NULL)
		return EXIT_USAGE;
	if (json)
		decoding.list = json_array();
	decode_text(&decoding, (struct span){ text, length });
	result = finish_decoding(&decoding);
	json_decref(decoding.list);
	free(text);
	return result;
}
