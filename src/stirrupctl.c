/* stirrupctl: the tool. Each verb is a function and a line in the table at the end. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "stirrup/base64url.h"
#include "stirrup/identity_header.h"
#include "stirrup/passport.h"
#include "stirrup/span.h"

#define INPUT_MAX 262144 /* four times the largest SIP message that UDP carries */
#define DATE_SIZE 32

/* A contract: scripts branch on these. */
enum { EXIT_YES = 0, EXIT_NO = 1, EXIT_USAGE = 2 };

struct verb {
	const char *name;
	const char *arguments;
	const char *summary;
	int (*run)(int argc, char **argv);
};

static int help(FILE *out);

/* The options that all verbs share. False when there is one that none has; optind is then of no use. */
static bool read_options(int argc, char **argv, bool *json, bool *want_help)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	*json = false;
	*want_help = false;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'j')
			*json = true;
		else if (option == 'h')
			*want_help = true;
		else
			return false;
	}
	return true;
}

/* The file, or standard input for NULL and "-", with a NUL behind it. NULL after a message. */
static char *read_input(const char *path, size_t *length)
{
	bool is_file = path != NULL && strcmp(path, "-") != 0;
	const char *name = is_file ? path : "standard input";
	FILE *file = is_file ? fopen(path, "rb") : stdin;
	char *text = malloc(INPUT_MAX + 1);
	const char *problem = NULL;

	if (file == NULL || text == NULL) {
		problem = strerror(errno);
	} else {
		*length = fread(text, 1, INPUT_MAX + 1, file);
		if (ferror(file))
			problem = strerror(errno);
		else if (*length > INPUT_MAX)
			problem = "too long for a SIP message";
		else
			text[*length] = '\0';
	}
	if (file != NULL && is_file)
		fclose(file);
	if (problem == NULL)
		return text;
	fprintf(stderr, "stirrupctl: %s: %s\n", name, problem);
	free(text);
	return NULL;
}

/* What came from elsewhere, with everything escaped that could move a terminal's cursor. Returns the width.
 */
static int print_escaped(const char *text, size_t length)
{
	int width = 0;

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		width += c >= 0x20 && c < 0x7f ? printf("%c", c) : printf("\\x%02x", c);
	}
	return width;
}

static void print_label(const char *label)
{
	int width = printf("  ") + print_escaped(label, strlen(label));

	printf("%*s", width < 12 ? 12 - width : 1, "");
}

static void print_row(const char *label, struct span value)
{
	print_label(label);
	print_escaped(value.at, value.length);
	printf("\n");
}

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
static bool format_date(const json_t *iat, char out[DATE_SIZE])
{
	time_t seconds = (time_t)json_integer_value(iat);
	struct tm utc;

	return json_is_integer(iat) && gmtime_r(&seconds, &utc) != NULL &&
	       strftime(out, DATE_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc) > 0;
}

static const char *attestation_words(const char *attest)
{
	if (strcmp(attest, "A") == 0)
		return " (full)";
	if (strcmp(attest, "B") == 0)
		return " (partial)";
	if (strcmp(attest, "C") == 0)
		return " (gateway)";
	return "";
}

/* Text without its quotes, unless the member should not be text: then the quotes are what is wrong with it.
 */
static void print_value(const char *name, const json_t *value)
{
	bool is_text = strcmp(name, "dest") != 0 && strcmp(name, "iat") != 0 && strcmp(name, "orig") != 0;
	char *json;

	if (is_text && json_is_string(value)) {
		print_escaped(json_string_value(value), json_string_length(value));
		return;
	}
	json = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
	if (json != NULL)
		print_escaped(json, strlen(json));
	free(json);
}

static void print_member(const char *name, const json_t *value)
{
	char date[DATE_SIZE];

	print_label(name);
	print_value(name, value);
	if (strcmp(name, "attest") == 0 && json_is_string(value))
		printf("%s", attestation_words(json_string_value(value)));
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
		print_row("text", (struct span){ json_string_value(part), json_string_length(part) });
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
			print_row("info", reading->identity.info);
		if (reading->identity.alg.length > 0)
			print_row("alg", reading->identity.alg);
		if (reading->identity.ppt.length > 0)
			print_row("ppt", reading->identity.ppt);
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
	char date[DATE_SIZE];
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

/* Takes a line with those that continue it (RFC 3261 section 7.3.1) off rest. */
static struct span take_line(struct span *rest)
{
	struct span line = { rest->at, 0 };
	bool ended = false;

	while (line.length < rest->length && !ended) {
		ended = rest->at[line.length] == '\n';
		line.length++;
		if (ended && line.length < rest->length && span_trim(line).length > 0)
			ended = rest->at[line.length] != ' ' && rest->at[line.length] != '\t';
	}
	rest->at += line.length;
	rest->length -= line.length;
	return line;
}

/* HCOLON, RFC 3261 section 25.1: false for what is no header line. */
static bool split_header_line(struct span line, struct span *name, struct span *value)
{
	static const char token[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~";
	size_t length = 0;
	size_t colon;

	while (length < line.length && memchr(token, line.at[length], sizeof token - 1) != NULL)
		length++;
	colon = length;
	while (colon < line.length && (line.at[colon] == ' ' || line.at[colon] == '\t'))
		colon++;
	if (length == 0 || colon == line.length || line.at[colon] != ':')
		return false;
	*name = (struct span){ line.at, length };
	*value = span_trim((struct span){ line.at + colon + 1, line.length - colon - 1 });
	return true;
}

static bool is_start_line(struct span line)
{
	static const char version[] = "SIP/2.0";
	size_t length = sizeof version - 1;

	line = span_trim(line);
	return line.length > length && (memcmp(line.at, version, length) == 0 ||
					       memcmp(line.at + line.length - length, version, length) == 0);
}

/* A message, or some of its header lines. False when the text is neither. */
static bool decode_message(struct decoding *decoding, struct span text)
{
	struct span rest = text;
	struct span line = take_line(&rest);
	struct span name = { "", 0 }, value = { "", 0 };

	if (is_start_line(line))
		line = take_line(&rest);
	else if (!split_header_line(line, &name, &value))
		return false;
	/* A body may have lines that look alike; it begins behind the first empty line. An Identity without
	 * any value is as malformed as one that begins with its parameters. */
	for (; span_trim(line).length > 0; line = take_line(&rest)) {
		if (split_header_line(line, &name, &value) &&
			(span_is_caseless(name, "Identity") || span_is_caseless(name, "y")))
			decode_value(decoding, value.length > 0 ? value : span_of(";"));
	}
	return true;
}

static void decode_text(struct decoding *decoding, struct span text)
{
	text = span_trim(text);
	if (text.length == 0 || decode_message(decoding, text))
		return;
	if (memchr(text.at, ';', text.length) != NULL)
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

static int decode(int argc, char **argv)
{
	struct decoding decoding = { 0 };
	bool json, want_help;
	char *text;
	size_t length = 0;
	int result;

	if (!read_options(argc, argv, &json, &want_help) || argc - optind > 1) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (want_help)
		return help(stdout);
	text = read_input(argv[optind], &length);
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

static int version(int argc, char **argv)
{
	bool json, want_help;

	if (!read_options(argc, argv, &json, &want_help) || argc - optind > 0) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (want_help)
		return help(stdout);
	if (json)
		printf("{\"stirrup\": \"%s\", \"openssl\": \"%s\", \"jansson\": \"%s\"}\n", PACKAGE_VERSION,
			OpenSSL_version(OPENSSL_VERSION_STRING), jansson_version_str());
	else
		printf("stirrupctl %s\nOpenSSL %s\njansson %s\n", PACKAGE_VERSION,
			OpenSSL_version(OPENSSL_VERSION_STRING), jansson_version_str());
	return EXIT_YES;
}

static const struct verb verbs[] = {
	{ "decode", "[--json] [FILE]", "show what an Identity header, a token or a SIP message carries",
		decode },
	{ "version", "[--json]", "show the version of the tool and of its libraries", version },
};

static int help(FILE *out)
{
	fprintf(out, "usage: stirrupctl VERB [ARGUMENTS]\n\n");
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		fprintf(out, "  %-8s %-16s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].summary);
	fprintf(out,
		"\nWithout FILE, standard input is read. Exit code: 0 yes, 1 no, 2 usage or environment.\n"
		"See stirrupctl(1).\n");
	return EXIT_YES;
}

static int run(int argc, char **argv)
{
	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
		return help(stdout);
	if (strcmp(argv[1], "--version") == 0)
		return version(1, argv);
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "stirrupctl: no verb \"%s\"\n\n", argv[1]);
	help(stderr);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	int result = run(argc, argv);

	/* An answer that did not get out is none. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "stirrupctl: standard output: %s\n", strerror(errno));
		return EXIT_USAGE;
	}
	return result;
}
