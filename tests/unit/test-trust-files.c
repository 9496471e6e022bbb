#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "stirrup/config.h"
#include "stirrup/trust_files.h"
#include "trust-lab.h"

/* --- Scaffold: a directory with the files that trust entries name --- */

struct fixture {
	char folder[64];
	struct lab_made root, other_root, leaf, other_leaf;
	struct lab_made pa_root, pa_signer;
	struct config *config;
	char *leaf_pem, *other_leaf_pem;
};

static void path_of(const struct fixture *f, char path[PATH_MAX], const char *name)
{
	snprintf(path, PATH_MAX, "%s/%s", f->folder, name);
}

/* As a download does it: written beside, then moved into place. */
static void put(const struct fixture *f, const char *name, const char *text)
{
	char path[PATH_MAX], beside[PATH_MAX];
	FILE *file;

	path_of(f, path, name);
	path_of(f, beside, "beside");
	file = fopen(beside, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
	assert_int_equal(rename(beside, path), 0);
}

static void take(const struct fixture *f, const char *name)
{
	char path[PATH_MAX];

	path_of(f, path, name);
	assert_int_equal(remove(path), 0);
}

static void make_directory(const struct fixture *f, const char *name)
{
	char path[PATH_MAX];

	path_of(f, path, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void put_certificates(const struct fixture *f, const char *name, X509 *first, X509 *second)
{
	char *text = pki_pem((X509 *const[]){ first, second, NULL });

	put(f, name, text);
	free(text);
}

static void put_crl(const struct fixture *f, const char *name, const struct lab_crl *wish)
{
	X509_CRL *list = lab_crl(wish, &f->pa_signer);
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;

	assert_int_equal(PEM_write_bio_X509_CRL(bio, list), 1);
	text = pki_text_of(bio);
	put(f, name, text);
	free(text);
	X509_CRL_free(list);
}

static struct config *configure(const struct fixture *f, const char *trust)
{
	struct config_report *report = config_report_new();
	char text[2048], path[PATH_MAX], why[256];
	struct config_source *source;
	struct config *config;

	snprintf(text, sizeof text,
		"%s\npeers = ( { name = \"a\"; addresses = [ \"192.0.2.1\" ]; unknown_customer = \"unsigned\"; } );\n", trust);
	put(f, "stirrup.conf", text);
	path_of(f, path, "stirrup.conf");
	source = config_source_read(path, why, sizeof why);
	assert_non_null(source);
	config = config_parse(source, report);
	assert_non_null(config);
	config_source_free(source);
	config_report_free(report);
	return config;
}

static const char with_crl[] =
	"trust = ( { name = \"us\"; anchors = \"roots.pem\"; crl = \"pa.crl\"; crl_issuer_anchors = \"pa.pem\"; } );";

static int set_up(void **state)
{
	static const struct lab_recipe root = { .subject = "O=Lab/CN=STI-CA root", .extensions = { LAB_CA } };
	static const struct lab_recipe other = { .subject = "O=Lab/CN=another root", .extensions = { LAB_CA } };
	static const struct lab_recipe leaf = { .subject = "C=US/O=Lab/CN=SHAKEN 1234",
		.extensions = { LAB_END, LAB_1234 } };
	static const struct lab_recipe pa_root = { .subject = "O=STI-PA/CN=root", .extensions = { LAB_CA } };
	/* As in the field: no CA, and under a root that is no STI-CA's. */
	static const struct lab_recipe signer = { .subject = "O=STI-PA/CN=CRL signer",
		.extensions = { { "basicConstraints", "critical,CA:false" }, { "keyUsage", "critical,cRLSign" } } };
	struct fixture *f = calloc(1, sizeof *f);

	strcpy(f->folder, "/tmp/test-trust-files-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	f->root = lab_issue(&root, NULL);
	f->other_root = lab_issue(&other, NULL);
	f->leaf = lab_issue(&leaf, &f->root);
	f->other_leaf = lab_issue(&leaf, &f->other_root);
	f->pa_root = lab_issue(&pa_root, NULL);
	f->pa_signer = lab_issue(&signer, &f->pa_root);
	f->leaf_pem = pki_pem((X509 *const[]){ f->leaf.certificate, NULL });
	f->other_leaf_pem = pki_pem((X509 *const[]){ f->other_leaf.certificate, NULL });
	put_certificates(f, "roots.pem", f->root.certificate, NULL);
	put_certificates(f, "pa.pem", f->pa_signer.certificate, f->pa_root.certificate);
	put_crl(f, "pa.crl", &(struct lab_crl){ .number = 5 });
	f->config = configure(f, with_crl);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct lab_made *all[] = { &f->root, &f->other_root, &f->leaf, &f->other_leaf, &f->pa_root, &f->pa_signer };
	char command[128];

	config_free(f->config);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		lab_discard(all[i]);
	free(f->leaf_pem);
	free(f->other_leaf_pem);
	snprintf(command, sizeof command, "rm -r %s", f->folder);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* --- Helpers --- */

static void expect(const struct trust_files *files, const char *delivered, enum verdict verdict)
{
	static const struct trust_options options = { .crl_grace_s = 24 * 3600 };
	struct certificate_facts facts;

	trust_judge(trust_files_trust(files), span_of(delivered), &options, LAB_NOW, &facts);
	if (facts.verdict != verdict)
		fail_msg("%s: %s; want %s", verdict_word(facts.verdict), facts.detail, verdict_word(verdict));
}

static struct trust_files *loaded(const struct fixture *f, const struct trust_files *before)
{
	struct trust_files *files = trust_files_load(f->config, before, LAB_NOW, NULL);

	assert_non_null(files);
	return files;
}

static const struct lab_crl *revoking(const struct fixture *f, int64_t number)
{
	static struct lab_entry entries[2];
	static struct lab_crl list;

	entries[0] = (struct lab_entry){ .certificate = f->leaf.certificate };
	list = (struct lab_crl){ .number = number, .entries = entries };
	return &list;
}

struct said {
	char lines[8][1024];
	size_t count;
};

static void remember(enum config_severity severity, const char *line, void *context)
{
	struct said *said = context;

	assert_int_equal(severity, CONFIG_ERROR);
	assert_true(said->count < 8);
	snprintf(said->lines[said->count++], sizeof said->lines[0], "%s", line);
}

/* At the lab's moment, unlike trust_check_files(). */
static struct said check(const struct fixture *f, const struct config *config)
{
	struct config_report *report = config_report_new();
	struct trust_files *files = trust_files_load(config, NULL, LAB_NOW, report);
	struct said said = { .count = 0 };

	assert_non_null(files);
	config_report_each(report, remember, &said);
	config_report_free(report);
	trust_files_free(files);
	return said;
}

/* What is said of the only thing that is wrong, behind "FOLDER/stirrup.conf:LINE: SETTING: FOLDER/". */
static void expect_said(const struct fixture *f, const struct said *said, const char *setting, const char *wanted)
{
	char expected[1024];

	assert_int_equal(said->count, 1);
	snprintf(expected, sizeof expected, "%s/stirrup.conf:1: trust.us.%s: %s/%s", f->folder, setting, f->folder, wanted);
	if (strncmp(said->lines[0], expected, strlen(expected)) != 0)
		fail_msg("\"%s\"; want \"%s\"", said->lines[0], expected);
}

static void check_wrong(const struct fixture *f, const char *trust, const char *setting, const char *wanted)
{
	struct config *config = configure(f, trust);
	struct said said = check(f, config);

	expect_said(f, &said, setting, wanted);
	config_free(config);
}

/* --- Anchors --- */

static void anchors_come_from_a_file(void **state)
{
	const struct fixture *f = *state;
	struct trust_files *files = loaded(f, NULL);

	expect(files, f->leaf_pem, VERDICT_PASSED);
	expect(files, f->other_leaf_pem, VERDICT_CERTIFICATE_UNTRUSTED);
	trust_files_free(files);
}

static void anchors_come_from_a_directory(void **state)
{
	struct fixture *f = *state;
	struct trust_files *files;

	make_directory(f, "roots");
	put_certificates(f, "roots/a.pem", f->root.certificate, NULL);
	put_certificates(f, "roots/b.crt", f->other_root.certificate, NULL);
	put(f, "roots/README", "not a certificate");
	put(f, "roots/.hidden.pem", "not a certificate");
	put(f, "roots/a.pem~", "not a certificate");
	config_free(f->config);
	f->config = configure(f, "trust = ( { name = \"us\"; anchors = \"roots\"; } );");
	assert_int_equal(check(f, f->config).count, 0);
	files = loaded(f, NULL);
	expect(files, f->leaf_pem, VERDICT_PASSED);
	expect(files, f->other_leaf_pem, VERDICT_PASSED);

	take(f, "roots/b.crt");
	assert_true(trust_files_refresh(files, LAB_NOW));
	expect(files, f->leaf_pem, VERDICT_PASSED);
	expect(files, f->other_leaf_pem, VERDICT_CERTIFICATE_UNTRUSTED);
	trust_files_free(files);
}

static void anchors_of_all_entries_add_up(void **state)
{
	struct fixture *f = *state;
	struct trust_files *files;

	put_certificates(f, "fr.pem", f->other_root.certificate, NULL);
	config_free(f->config);
	f->config = configure(
		f, "trust = ( { name = \"us\"; anchors = \"roots.pem\"; }, { name = \"fr\"; anchors = \"fr.pem\"; } );");
	files = loaded(f, NULL);
	expect(files, f->leaf_pem, VERDICT_PASSED);
	expect(files, f->other_leaf_pem, VERDICT_PASSED);
	trust_files_free(files);
}

static void without_entries_nobody_is_trusted(void **state)
{
	struct fixture *f = *state;
	struct trust_files *files;

	config_free(f->config);
	f->config = configure(f, "");
	files = loaded(f, NULL);
	expect(files, f->leaf_pem, VERDICT_CERTIFICATE_UNTRUSTED);
	assert_false(trust_files_refresh(files, LAB_NOW));
	trust_files_free(files);
}

static void a_bad_file_does_not_spoil_its_directory(void **state)
{
	struct fixture *f = *state;
	struct said said;
	struct trust_files *files;

	make_directory(f, "roots");
	put_certificates(f, "roots/a.pem", f->root.certificate, NULL);
	put_certificates(f, "roots/leaf.pem", f->leaf.certificate, NULL);
	config_free(f->config);
	f->config = configure(f, "trust = ( { name = \"us\"; anchors = \"roots\"; } );");
	said = check(f, f->config);
	expect_said(f, &said, "anchors", "roots/leaf.pem: certificate 1 (/C=US/O=Lab/CN=SHAKEN 1234) is no CA");
	files = loaded(f, NULL);
	expect(files, f->leaf_pem, VERDICT_PASSED);

	/* What was good stays until all of the directory is good again. */
	put_certificates(f, "roots/a.pem", f->other_root.certificate, NULL);
	assert_false(trust_files_refresh(files, LAB_NOW));
	expect(files, f->leaf_pem, VERDICT_PASSED);
	take(f, "roots/leaf.pem");
	assert_true(trust_files_refresh(files, LAB_NOW));
	expect(files, f->leaf_pem, VERDICT_CERTIFICATE_UNTRUSTED);
	expect(files, f->other_leaf_pem, VERDICT_PASSED);
	trust_files_free(files);
}

static void damaged_anchors_take_no_trust_away(void **state)
{
	struct fixture *f = *state;
	struct trust_files *files = loaded(f, NULL);
	char *whole = pki_pem((X509 *const[]){ f->other_root.certificate, NULL });

	put(f, "roots.pem", "");
	assert_false(trust_files_refresh(files, LAB_NOW));
	for (size_t cut = 0; cut + 1 < strlen(whole); cut += 7) {
		char *text = strndup(whole, cut);

		put(f, "roots.pem", text);
		assert_false(trust_files_refresh(files, LAB_NOW));
		free(text);
	}
	take(f, "roots.pem");
	assert_false(trust_files_refresh(files, LAB_NOW));
	expect(files, f->leaf_pem, VERDICT_PASSED);
	put(f, "roots.pem", whole);
	assert_true(trust_files_refresh(files, LAB_NOW));
	expect(files, f->leaf_pem, VERDICT_CERTIFICATE_UNTRUSTED);
	free(whole);
	trust_files_free(files);
}

/* --- Revocation lists --- */

static void a_newer_list_is_taken(void **state)
{
	const struct fixture *f = *state;
	struct trust_files *files = loaded(f, NULL);

	expect(files, f->leaf_pem, VERDICT_PASSED);
	assert_false(trust_files_refresh(files, LAB_NOW));
	put_crl(f, "pa.crl", revoking(f, 6));
	assert_true(trust_files_refresh(files, LAB_NOW));
	expect(files, f->leaf_pem, VERDICT_CERTIFICATE_REVOKED);
	assert_false(trust_files_refresh(files, LAB_NOW));
	trust_files_free(files);
}

static void the_same_list_again_changes_nothing(void **state)
{
	const struct fixture *f = *state;
	struct trust_files *files = loaded(f, NULL);
	char path[PATH_MAX];

	path_of(f, path, "pa.crl");
	assert_int_equal(utimensat(AT_FDCWD, path, NULL, 0), 0);
	assert_false(trust_files_refresh(files, LAB_NOW));
	expect(files, f->leaf_pem, VERDICT_PASSED);
	trust_files_free(files);
}

static void the_last_good_list_stays(void **state)
{
	const struct fixture *f = *state;
	struct lab_crl forged = { .number = 7, .forged = true }, empty = { .number = 8 }, older = { .number = 4 };
	struct trust_files *files;

	put_crl(f, "pa.crl", revoking(f, 6));
	files = loaded(f, NULL);
	expect(files, f->leaf_pem, VERDICT_CERTIFICATE_REVOKED);
	put_crl(f, "pa.crl", &older);
	assert_false(trust_files_refresh(files, LAB_NOW));
	put_crl(f, "pa.crl", &forged);
	assert_false(trust_files_refresh(files, LAB_NOW));
	put_crl(f, "pa.crl", &empty);
	assert_false(trust_files_refresh(files, LAB_NOW));
	put(f, "pa.crl", "");
	assert_false(trust_files_refresh(files, LAB_NOW));
	put(f, "pa.crl", "<html>503 Service Unavailable</html>");
	assert_false(trust_files_refresh(files, LAB_NOW));
	put_certificates(f, "pa.pem", f->root.certificate, NULL);
	assert_false(trust_files_refresh(files, LAB_NOW));
	take(f, "pa.crl");
	assert_false(trust_files_refresh(files, LAB_NOW));
	/* And when something else changes, it comes along. */
	put_certificates(f, "roots.pem", f->root.certificate, f->other_root.certificate);
	assert_true(trust_files_refresh(files, LAB_NOW));
	expect(files, f->leaf_pem, VERDICT_CERTIFICATE_REVOKED);
	expect(files, f->other_leaf_pem, VERDICT_PASSED);
	trust_files_free(files);
}

static void another_configuration_inherits_the_last_good_list(void **state)
{
	struct fixture *f = *state;
	struct config *first = f->config, *other;
	struct trust_files *files, *next, *elsewhere;

	put_crl(f, "pa.crl", revoking(f, 6));
	files = loaded(f, NULL);
	put(f, "pa.crl", "");
	f->config = configure(f, with_crl);
	next = loaded(f, files);
	expect(next, f->leaf_pem, VERDICT_CERTIFICATE_REVOKED);
	put_crl(f, "pa.crl", &(struct lab_crl){ .number = 5 });
	assert_false(trust_files_refresh(next, LAB_NOW));

	/* Whoever says that others are to be asked wants others. */
	other = configure(f, "trust = ( { name = \"us\"; anchors = \"roots.pem\"; crl = \"pa.crl\";\n"
			     "  crl_issuer_anchors = \"other-pa.pem\"; } );");
	elsewhere = trust_files_load(other, files, LAB_NOW, NULL);
	expect(elsewhere, f->leaf_pem, VERDICT_PASSED);
	trust_files_free(elsewhere);
	trust_files_free(files);
	config_free(first);
	expect(next, f->leaf_pem, VERDICT_CERTIFICATE_REVOKED);
	trust_files_free(next);
	config_free(other);
}

/* --- What is said --- */

static void good_files_are_taken_without_a_word(void **state)
{
	const struct fixture *f = *state;

	assert_int_equal(check(f, f->config).count, 0);
}

static void what_cannot_be_used_is_named(void **state)
{
	const struct fixture *f = *state;
	char path[PATH_MAX];

	make_directory(f, "empty");
	path_of(f, path, "fifo");
	assert_int_equal(mkfifo(path, 0600), 0);
	put(f, "text", "no certificate");
	put_certificates(f, "leaf.pem", f->leaf.certificate, NULL);
	put_certificates(f, "signer.pem", f->pa_signer.certificate, NULL);
	put_crl(f, "old.crl", &(struct lab_crl){ .number = 1, .this_update = LAB_NOW - 9 * PKI_DAY,
					.next_update = LAB_NOW - 8 * PKI_DAY });

	check_wrong(f, "trust = ( { name = \"us\"; anchors = \"none\"; } );", "anchors", "none: No such file or directory");
	check_wrong(f, "trust = ( { name = \"us\"; anchors = \"fifo\"; } );", "anchors", "fifo: is not a regular file");
	check_wrong(f, "trust = ( { name = \"us\"; anchors = \"text\"; } );", "anchors",
		"text: holds no certificate in PEM");
	check_wrong(f, "trust = ( { name = \"us\"; anchors = \"leaf.pem\"; } );", "anchors",
		"leaf.pem: certificate 1 (/C=US/O=Lab/CN=SHAKEN 1234) is no CA");
	check_wrong(f, "trust = ( { name = \"us\"; anchors = \"empty\"; } );", "anchors",
		"empty: has no file whose name ends with .pem, .crt or .cer");
#define ENTRY(crl, issuers) \
	"trust = ( { name = \"us\"; anchors = \"roots.pem\"; crl = \"" crl "\"; crl_issuer_anchors = \"" issuers "\"; } );"
	check_wrong(f, ENTRY("none", "pa.pem"), "crl", "none: No such file or directory");
	check_wrong(f, ENTRY("empty", "pa.pem"), "crl", "empty: is not a regular file");
	check_wrong(f, ENTRY("text", "pa.pem"), "crl", "text: ");
	check_wrong(f, ENTRY("old.crl", "pa.pem"), "crl", "old.crl: ");
	check_wrong(f, ENTRY("pa.crl", "none"), "crl_issuer_anchors", "none: No such file or directory");
	check_wrong(f, ENTRY("pa.crl", "text"), "crl_issuer_anchors", "text: holds no certificate in PEM");
	check_wrong(f, ENTRY("pa.crl", "signer.pem"), "crl_issuer_anchors",
		"signer.pem: has no root: none of its certificates is self-issued");
	check_wrong(f, ENTRY("pa.crl", "roots.pem"), "crl", "pa.crl: ");
}

static void a_file_that_is_too_large_is_refused(void **state)
{
	const struct fixture *f = *state;
	char path[PATH_MAX];

	put(f, "huge.pem", "");
	path_of(f, path, "huge.pem");
	assert_int_equal(truncate(path, (4 << 20) + 1), 0);
	check_wrong(f, "trust = ( { name = \"us\"; anchors = \"huge.pem\"; } );", "anchors", "huge.pem: is too large");
}

static struct said checked_by_name(const struct config *config)
{
	struct config_report *report = config_report_new();
	struct said said = { .count = 0 };

	trust_check_files(config, report);
	config_report_each(report, remember, &said);
	config_report_free(report);
	return said;
}

static void the_check_reads_the_web_cas_too(void **state)
{
	const struct fixture *f = *state;
	struct config *config = configure(f, "verification: { fetch: { tls_ca = \"web.pem\"; }; };");
	char expected[256];
	struct said said;

	put_certificates(f, "web.pem", f->other_root.certificate, f->root.certificate);
	assert_int_equal(checked_by_name(config).count, 0);
	put(f, "web.pem", "junk");
	said = checked_by_name(config);
	assert_int_equal(said.count, 1);
	snprintf(expected, sizeof expected, "%s/stirrup.conf: verification.fetch.tls_ca: %s/web.pem: holds no certificate in PEM",
		f->folder, f->folder);
	assert_string_equal(said.lines[0], expected);
	take(f, "web.pem");
	said = checked_by_name(config);
	assert_int_equal(said.count, 1);
	assert_non_null(strstr(said.lines[0], "web.pem: No such file or directory"));
	config_free(config);
}

static void freeing_nothing_is_fine(void **state)
{
	trust_files_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(anchors_come_from_a_file),
		TEST(anchors_come_from_a_directory),
		TEST(anchors_of_all_entries_add_up),
		TEST(without_entries_nobody_is_trusted),
		TEST(a_bad_file_does_not_spoil_its_directory),
		TEST(damaged_anchors_take_no_trust_away),
		TEST(a_newer_list_is_taken),
		TEST(the_same_list_again_changes_nothing),
		TEST(the_last_good_list_stays),
		TEST(another_configuration_inherits_the_last_good_list),
		TEST(good_files_are_taken_without_a_word),
		TEST(what_cannot_be_used_is_named),
		TEST(a_file_that_is_too_large_is_refused),
		TEST(the_check_reads_the_web_cas_too),
		cmocka_unit_test(freeing_nothing_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
