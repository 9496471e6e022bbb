#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "stirrup/channel.h"
#include "stirrup/child.h"
#include "stirrup/clock.h"
#include "stirrup/config.h"
#include "stirrup/signer.h"
#include "signed-identity.h"
#include "test-pki.h"

#define WORKERS 2
#define PATIENCE_MS 5000
#define PROMPT_US 60000000
#define OWN "12155551212"
#define NOBODYS "13125550199"
#define SHARED "12155551300" /* acme's, at most B */

/* What the signer's process and this one both see. Linked with --wrap=es256_verify. */
static struct {
	unsigned verified;
	bool signatures_are_bad;
} * watched;

bool __real_es256_verify(struct es256_key *key, const void *data, size_t length,
	const unsigned char signature[ES256_SIGNATURE_BYTES]);
bool __wrap_es256_verify(struct es256_key *key, const void *data, size_t length,
	const unsigned char signature[ES256_SIGNATURE_BYTES]);

bool __wrap_es256_verify(struct es256_key *key, const void *data, size_t length,
	const unsigned char signature[ES256_SIGNATURE_BYTES])
{
	watched->verified++;
	return !watched->signatures_are_bad && __real_es256_verify(key, data, length, signature);
}

/* A signer in a process of its own, and this test as its supervisor and its workers. */
struct fixture {
	struct pki *pki;
	X509 *alpha, *beta;
	const char *self_check;
	pid_t child;
	int control;
	int workers[WORKERS];
	uint64_t next_id;
};

static const struct pki_wish alpha_wish = { .spc = "1234" };
static const struct pki_wish beta_wish = { .spc = "5678" };

/* The peers, by index. */
enum { CORE, BY_NUMBER, STRANGERS, VERIFIED, PEERS };
enum { ALPHA, BETA };

static struct config_source *source_of(struct fixture *f, bool with_beta)
{
	static const char beta[] =
		", { name = \"beta\"; certificate = \"beta.pem\"; private_key = \"beta.key\";\n"
		"    x5u = \"https://certs.example.net/beta.pem\"; spc = \"5678\"; }";
	char text[4096], path[PKI_PATH_SIZE], why[256] = "";
	struct config_source *source;

	snprintf(text, sizeof text,
		"sip: { listen = [ \"udp:127.0.0.1:5060\" ]; secret_file = \"secret\"; };\n"
		"signer: { self_check = \"%s\"; };\n"
		"credentials = ( { name = \"alpha\"; certificate = \"alpha.pem\"; private_key = "
		"\"alpha.key\";\n"
		"    x5u = \"https://certs.example.net/alpha.pem\"; spc = \"1234\"; }%s );\n"
		"customers = ( { name = \"acme\"; credential = \"alpha\"; own_numbers = \"A\"; other_numbers "
		"= \"B\";\n"
		"    numbers = ( \"+" OWN "\", { number = \"+" SHARED "\"; attestation = \"B\"; } ); } );\n"
		"peers = (\n"
		"  { name = \"core\"; addresses = [ \"192.0.2.1\" ]; service = \"sign\"; mode = "
		"\"redirect\";\n"
		"    customer = \"acme\"; },\n"
		"  { name = \"by-number\"; addresses = [ \"192.0.2.2\" ]; service = \"sign\"; mode = "
		"\"redirect\";\n"
		"    customer_by = \"number\"; unknown_customer = \"unsigned\"; },\n"
		"  { name = \"strangers\"; addresses = [ \"192.0.2.3\" ]; service = \"sign\"; mode = "
		"\"redirect\";\n"
		"    unknown_customer = \"C\"; credential = \"%s\"; },\n"
		"  { name = \"verified\"; addresses = [ \"192.0.2.4\" ]; service = \"verify\"; mode = "
		"\"redirect\"; } );\n"
		"trust = ( { name = \"us\"; anchors = \"roots.pem\"; } );\n",
		f->self_check, with_beta ? beta : "", with_beta ? "beta" : "alpha");
	pki_write(f->pki, "stirrup.conf", text, 0600);
	pki_path(f->pki, path, "stirrup.conf");
	source = config_source_read(path, why, sizeof why);
	if (source == NULL)
		fail_msg("%s", why);
	return source;
}

static void order(const struct fixture *f, enum child_message_kind kind, uint32_t generation, int fd)
{
	struct child_message message = { .kind = kind, .generation = generation };

	assert_true(channel_send(f->control, &message, sizeof message, fd));
}

static void send_config(struct fixture *f, uint32_t generation, bool with_beta)
{
	struct config_source *source = source_of(f, with_beta);
	int fd = config_source_to_memfd(source);

	assert_true(fd >= 0);
	order(f, CHILD_CONFIG, generation, fd);
	close(fd);
	config_source_free(source);
}

static void expect_answer(const struct fixture *f, enum child_message_kind kind, uint32_t generation)
{
	struct pollfd control = { .fd = f->control, .events = POLLIN };
	struct child_message message;

	assert_int_equal(poll(&control, 1, PATIENCE_MS), 1);
	assert_int_equal(channel_receive(f->control, &message, sizeof message, NULL), sizeof message);
	assert_int_equal(message.kind, kind);
	assert_int_equal(message.generation, generation);
}

static void reload(struct fixture *f, uint32_t generation, bool with_beta, enum child_message_kind answer)
{
	send_config(f, generation, with_beta);
	order(f, CHILD_RELOAD, 0, -1);
	expect_answer(f, answer, generation);
}

static int add_worker(const struct fixture *f, uint32_t index)
{
	struct child_message message = { .kind = CHILD_SIGNER, .index = index };
	int ends[2];

	assert_true(channel_pair(ends));
	assert_true(channel_send(f->control, &message, sizeof message, ends[1]));
	close(ends[1]);
	return ends[0];
}

static void fork_signer(struct fixture *f)
{
	char log[PKI_PATH_SIZE];
	int ends[2];

	pki_path(f->pki, log, "log");
	assert_true(channel_pair(ends));
	f->child = fork();
	assert_true(f->child >= 0);
	if (f->child == 0) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

		dup2(fd, STDERR_FILENO);
		close(ends[0]);
		_exit(signer_main(ends[1]));
	}
	close(ends[1]);
	f->control = ends[0];
}

/* Made, but not yet started: its credentials may still be changed. */
static int setup_stopped(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	watched = mmap(NULL, sizeof *watched, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(watched != MAP_FAILED);
	f->pki = pki_new();
	f->alpha = pki_credential(f->pki, "alpha", &alpha_wish);
	f->beta = pki_credential(f->pki, "beta", &beta_wish);
	f->self_check = "sampled";
	fork_signer(f);
	*state = f;
	return 0;
}

static void start(struct fixture *f)
{
	send_config(f, 1, true);
	for (uint32_t i = 0; i < WORKERS; i++)
		f->workers[i] = add_worker(f, i);
	order(f, CHILD_START, 0, -1);
	expect_answer(f, CHILD_READY, 1);
}

static int setup(void **state)
{
	setup_stopped(state);
	start(*state);
	return 0;
}

static int exit_status(struct fixture *f)
{
	int64_t give_up = monotonic_us() + PATIENCE_MS * 1000;
	int status = -1;
	pid_t done = 0;

	while (done == 0 && monotonic_us() < give_up) {
		done = waitpid(f->child, &status, WNOHANG);
		usleep(1000);
	}
	if (done == 0) {
		kill(f->child, SIGKILL);
		waitpid(f->child, &status, 0);
	}
	f->child = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int status = 0;

	if (f->child > 0) {
		order(f, CHILD_STOP, 0, -1);
		status = exit_status(f);
	}
	for (int i = 0; i < WORKERS; i++)
		if (f->workers[i] > 0)
			close(f->workers[i]);
	close(f->control);
	X509_free(f->alpha);
	X509_free(f->beta);
	pki_free(f->pki);
	munmap(watched, sizeof *watched);
	free(f);
	return status;
}

static struct sign_request request_for(
	struct fixture *f, uint32_t peer, int credential, char attest, const char *orig)
{
	struct sign_request request = {
		.id = ++f->next_id,
		.deadline_us = monotonic_us() + PROMPT_US,
		.generation = 1,
		.peer = peer,
		.credential = credential,
		.attest = attest,
		.dest_tn = { "12155551213" },
		.origid = "123e4567-e89b-12d3-a456-426655440000",
	};

	snprintf(request.orig.digits, sizeof request.orig.digits, "%s", orig);
	return request;
}

static void ask(const struct fixture *f, int worker, const struct sign_request *request)
{
	assert_true(channel_send(f->workers[worker], request, sizeof *request, -1));
}

static struct sign_reply reply_to(const struct fixture *f, int worker)
{
	struct pollfd channel = { .fd = f->workers[worker], .events = POLLIN };
	struct sign_reply reply;
	ssize_t length;

	assert_int_equal(poll(&channel, 1, PATIENCE_MS), 1);
	length = channel_receive(f->workers[worker], &reply, sizeof reply, NULL);
	assert_int_equal(length, offsetof(struct sign_reply, identity) + reply.identity_length);
	return reply;
}

static struct sign_reply answer_to(const struct fixture *f, const struct sign_request *request)
{
	struct sign_reply reply;

	ask(f, 0, request);
	reply = reply_to(f, 0);
	assert_int_equal(reply.id, request->id);
	return reply;
}

static void expect_verdict(const struct fixture *f, const struct sign_request *request, enum verdict verdict)
{
	struct sign_reply reply = answer_to(f, request);

	assert_string_equal(verdict_word(reply.verdict), verdict_word(verdict));
	assert_int_equal(reply.identity_length > 0, verdict == VERDICT_SIGNED);
}

static void expect_signed_in(struct fixture *f, uint32_t generation, X509 *certificate)
{
	struct sign_request request = request_for(f, CORE, ALPHA, 'A', OWN);
	struct sign_reply reply;
	struct passport *passport;

	request.generation = generation;
	reply = answer_to(f, &request);
	assert_int_equal(reply.verdict, VERDICT_SIGNED);
	passport = signed_identity((struct span){ reply.identity, reply.identity_length }, certificate);
	assert_non_null(passport);
	passport_free(passport);
}

static void expect_log(const struct fixture *f, const char *wanted)
{
	char path[PKI_PATH_SIZE], text[16384] = "";
	FILE *file;

	pki_path(f->pki, path, "log");
	file = fopen(path, "r");
	assert_non_null(file);
	if (fread(text, 1, sizeof text - 1, file) == 0 || strstr(text, wanted) == NULL)
		fail_msg("no \"%s\" in the log:\n%s", wanted, text);
	fclose(file);
}

/* --- Signing --- */

static void test_signs_what_the_certificate_verifies(void **state)
{
	struct fixture *f = *state;
	struct sign_request request = request_for(f, CORE, ALPHA, 'A', OWN);
	int64_t before = wall_us() / 1000000;
	struct sign_reply reply = answer_to(f, &request);
	struct passport *passport;

	assert_int_equal(reply.verdict, VERDICT_SIGNED);
	assert_in_range(reply.iat, before, wall_us() / 1000000);
	passport = signed_identity((struct span){ reply.identity, reply.identity_length }, f->alpha);
	assert_non_null(passport);
	assert_int_equal(passport_iat(passport), reply.iat);
	assert_int_equal(passport_attest(passport), 'A');
	assert_string_equal(passport_x5u(passport), "https://certs.example.net/alpha.pem");
	assert_string_equal(passport_orig_tn(passport), OWN);
	assert_string_equal(passport_dest_tn(passport, 0), "12155551213");
	assert_string_equal(passport_origid(passport), "123e4567-e89b-12d3-a456-426655440000");
	passport_free(passport);
}

static void test_signs_an_emergency_call(void **state)
{
	struct fixture *f = *state;
	struct sign_request request = request_for(f, CORE, ALPHA, 'A', OWN);
	struct sign_reply reply;
	struct passport *passport;

	request.dest_tn.digits[0] = '\0';
	strcpy(request.dest_uri, "urn:service:sos");
	reply = answer_to(f, &request);
	passport = signed_identity((struct span){ reply.identity, reply.identity_length }, f->alpha);
	assert_non_null(passport);
	assert_int_equal(passport_dest_tns(passport), 0);
	assert_string_equal(passport_dest_uri(passport, 0), "urn:service:sos");
	passport_free(passport);
}

static void test_signs_what_the_configuration_allows(void **state)
{
	static const struct {
		const char *behaviour;
		uint32_t peer;
		int credential;
		char attest;
		const char *orig;
		enum verdict verdict;
	} cases[] = {
		{ "A for his number", CORE, ALPHA, 'A', OWN, VERDICT_SIGNED },
		{ "less than is allowed", CORE, ALPHA, 'C', OWN, VERDICT_SIGNED },
		{ "B for another number", CORE, ALPHA, 'B', NOBODYS, VERDICT_SIGNED },
		{ "no A for another number", CORE, ALPHA, 'A', NOBODYS, VERDICT_SIGNER_REFUSED },
		{ "B for a number of level B", CORE, ALPHA, 'B', SHARED, VERDICT_SIGNED },
		{ "no A for a number of level B", CORE, ALPHA, 'A', SHARED, VERDICT_SIGNER_REFUSED },
		{ "no foreign credential", CORE, BETA, 'A', OWN, VERDICT_SIGNER_REFUSED },
		{ "no A where callers are not known", BY_NUMBER, ALPHA, 'A', OWN, VERDICT_SIGNER_REFUSED },
		{ "B where callers are not known", BY_NUMBER, ALPHA, 'B', OWN, VERDICT_SIGNED },
		{ "nothing by policy", BY_NUMBER, ALPHA, 'C', NOBODYS, VERDICT_SIGNER_REFUSED },
		{ "C for strangers", STRANGERS, BETA, 'C', NOBODYS, VERDICT_SIGNED },
		{ "no B for strangers", STRANGERS, BETA, 'B', OWN, VERDICT_SIGNER_REFUSED },
		{ "a stranger's credential only", STRANGERS, ALPHA, 'C', NOBODYS, VERDICT_SIGNER_REFUSED },
		{ "nothing for a peer to verify", VERIFIED, ALPHA, 'C', OWN, VERDICT_SIGNER_REFUSED },
		{ "no D", CORE, ALPHA, 'D', OWN, VERDICT_SIGNER_REFUSED },
		{ "no level before A", CORE, ALPHA, '@', OWN, VERDICT_SIGNER_REFUSED },
		{ "no level 0", CORE, ALPHA, '\0', OWN, VERDICT_SIGNER_REFUSED },
		{ "no negative level", CORE, ALPHA, (char)-1, OWN, VERDICT_SIGNER_REFUSED },
		{ "no peer behind the last", PEERS, ALPHA, 'C', OWN, VERDICT_SIGNER_REFUSED },
		{ "no peer far away", UINT32_MAX, ALPHA, 'C', OWN, VERDICT_SIGNER_REFUSED },
		{ "no credential behind the last", CORE, 2, 'C', OWN, VERDICT_SIGNER_REFUSED },
		{ "no credential far away", CORE, INT32_MAX, 'C', OWN, VERDICT_SIGNER_REFUSED },
		{ "no credential -1", CORE, -1, 'C', OWN, VERDICT_SIGNER_REFUSED },
		{ "no credential far before", CORE, INT32_MIN, 'C', OWN, VERDICT_SIGNER_REFUSED },
		{ "no empty number", CORE, ALPHA, 'B', "", VERDICT_SIGNER_REFUSED },
		{ "no name", CORE, ALPHA, 'B', "alice", VERDICT_SIGNER_REFUSED },
		{ "no JSON", CORE, ALPHA, 'B', "1\"},\"attest\":\"A", VERDICT_SIGNER_REFUSED },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sign_request request =
			request_for(f, cases[i].peer, cases[i].credential, cases[i].attest, cases[i].orig);
		struct sign_reply reply = answer_to(f, &request);

		if (reply.verdict != cases[i].verdict)
			fail_msg("%s: %s", cases[i].behaviour, verdict_word(reply.verdict));
		assert_int_equal(reply.identity_length > 0, reply.verdict == VERDICT_SIGNED);
	}
	expect_log(f, "request for peer core refused (and 0 before it): attestation A, credential 0, "
		      "number " NOBODYS ": customer acme: other number, other_numbers = B");
}

static void test_refuses_texts_without_an_end(void **state)
{
	struct fixture *f = *state;
	struct sign_request request = request_for(f, CORE, ALPHA, 'B', OWN);

	memset(&request.orig, '7', sizeof request.orig);
	expect_verdict(f, &request, VERDICT_SIGNER_REFUSED);
	request = request_for(f, CORE, ALPHA, 'B', OWN);
	memset(&request.dest_tn, '7', sizeof request.dest_tn);
	expect_verdict(f, &request, VERDICT_SIGNER_REFUSED);
	request = request_for(f, CORE, ALPHA, 'B', OWN);
	memset(request.dest_uri, 'u', sizeof request.dest_uri);
	expect_verdict(f, &request, VERDICT_SIGNER_REFUSED);
	request = request_for(f, CORE, ALPHA, 'B', OWN);
	memset(request.origid, 'a', sizeof request.origid);
	expect_verdict(f, &request, VERDICT_SIGNER_REFUSED);
	request = request_for(f, CORE, ALPHA, 'B', OWN);
	request.origid[4] = '\0';
	expect_verdict(f, &request, VERDICT_SIGNER_REFUSED);
	/* Nobody called. */
	request = request_for(f, CORE, ALPHA, 'B', OWN);
	request.dest_tn.digits[0] = '\0';
	expect_verdict(f, &request, VERDICT_SIGNER_FAILED);
	expect_signed_in(f, 1, f->alpha);
}

static void test_leaves_late_requests_unanswered(void **state)
{
	struct fixture *f = *state;
	struct sign_request late = request_for(f, CORE, ALPHA, 'A', OWN);
	struct sign_request prompt = request_for(f, CORE, ALPHA, 'A', OWN);

	late.deadline_us = monotonic_us() - 1;
	ask(f, 0, &late);
	late.deadline_us = INT64_MIN;
	ask(f, 0, &late);
	ask(f, 0, &prompt);
	/* The first reply that comes is to the third request. */
	assert_int_equal(reply_to(f, 0).id, prompt.id);
}

static void test_answers_each_worker_on_its_channel(void **state)
{
	struct fixture *f = *state;
	uint64_t first[WORKERS] = { 0 };

	for (int i = 0; i < 200; i++) {
		struct sign_request request = request_for(f, CORE, ALPHA, 'A', OWN);

		if (i < WORKERS)
			first[i] = request.id;
		ask(f, i % WORKERS, &request);
	}
	for (int worker = 0; worker < WORKERS; worker++)
		for (uint64_t i = 0; i < 200 / WORKERS; i++)
			assert_int_equal(reply_to(f, worker).id, first[worker] + i * WORKERS);
}

static void test_survives_what_is_no_request(void **state)
{
	struct fixture *f = *state;
	char garbage[8192];
	int fd;

	memset(garbage, 0xa5, sizeof garbage);
	for (size_t length = 1; length <= sizeof garbage; length += length < 700 ? 1 : 500)
		if (length != sizeof(struct sign_request))
			while (!channel_send(f->workers[0], garbage, length, -1))
				assert_int_equal(errno, EAGAIN);
	/* With a descriptor that nobody asked for. */
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(channel_send(f->workers[0], garbage, 4, fd));
	assert_true(channel_send(f->control, garbage, 4, fd));
	assert_true(channel_send(f->control, garbage, sizeof garbage, fd));
	assert_true(channel_send(f->control, garbage, sizeof(struct child_message), fd));
	close(fd);
	expect_signed_in(f, 1, f->alpha);
	expect_log(f, "worker 0 sent a message of a wrong length");
}

/* Of the right length, the rest by chance: never a signature that the tables do not give, never an end. */
static void test_survives_random_requests(void **state)
{
	struct fixture *f = *state;
	unsigned seed = 1;

	for (int i = 0; i < 2000; i++) {
		struct sign_request request = request_for(f, CORE, ALPHA, 'A', NOBODYS);
		unsigned char *bytes = (unsigned char *)&request;

		for (int j = 0; j < 1 + i % 60; j++) {
			size_t at = offsetof(struct sign_request, generation);

			at += (size_t)rand_r(&seed) % (sizeof request - at);
			bytes[at] = (unsigned char)rand_r(&seed);
		}
		if (answer_to(f, &request).verdict == VERDICT_SIGNED)
			assert_true(request.attest == 'B' || request.attest == 'C');
	}
	expect_signed_in(f, 1, f->alpha);
}

static void test_outlives_a_worker_that_does_not_read(void **state)
{
	struct fixture *f = *state;
	int asked = 0, idle = 0;

	/* Until neither requests nor replies find room: then replies are dropped, and requests taken again.
	 */
	while (asked < 20000 && idle < 200) {
		struct sign_request request = request_for(f, CORE, ALPHA, 'A', OWN);

		if (channel_send(f->workers[1], &request, sizeof request, -1)) {
			asked++;
			idle = 0;
		} else {
			usleep(1000);
			idle++;
		}
		if (asked % 100 == 0)
			expect_signed_in(f, 1, f->alpha);
	}
	assert_int_equal(asked, 20000);
	expect_signed_in(f, 1, f->alpha);
	expect_log(f, "a worker does not take its reply");
}

static void test_takes_a_successor_of_a_worker(void **state)
{
	struct fixture *f = *state;

	close(f->workers[0]);
	f->workers[0] = add_worker(f, 0);
	expect_signed_in(f, 1, f->alpha);
	close(f->workers[1]);
	expect_signed_in(f, 1, f->alpha);
	f->workers[1] = add_worker(f, 1);
	/* Beyond all bounds: closed, no more. */
	close(add_worker(f, UINT32_MAX));
	close(add_worker(f, 1024));
	expect_signed_in(f, 1, f->alpha);
}

/* --- Credentials --- */

static void test_starts_when_a_credential_fails(void **state)
{
	struct fixture *f = *state;
	struct sign_request request;
	char path[PKI_PATH_SIZE];

	pki_path(f->pki, path, "beta.key");
	chmod(path, 0644);
	start(f);
	expect_signed_in(f, 1, f->alpha);
	request = request_for(f, STRANGERS, BETA, 'C', NOBODYS);
	expect_verdict(f, &request, VERDICT_CREDENTIAL_REFUSED);
	expect_log(f, "credential alpha: SPC 1234, valid until 20");
	expect_log(f, "credential beta signs nothing: ");
	expect_log(f, "beta.key: mode 0644 lets others");
}

static void test_an_expired_certificate_signs_no_more(void **state)
{
	struct fixture *f = *state;
	struct pki_wish short_lived = { .spc = "1234", .not_after = time(NULL) + 2 };
	struct sign_request request;

	X509_free(f->alpha);
	f->alpha = pki_credential(f->pki, "alpha", &short_lived);
	start(f);
	expect_signed_in(f, 1, f->alpha);
	while (wall_us() / 1000000 <= short_lived.not_after)
		usleep(20000);
	request = request_for(f, CORE, ALPHA, 'A', OWN);
	expect_verdict(f, &request, VERDICT_CERTIFICATE_EXPIRED);
	expect_log(f, "credential alpha does not sign: certificate_expired");
	/* It signs no more, so that a reload loses nothing. */
	reload(f, 2, true, CHILD_READY);
	request.generation = 2;
	expect_verdict(f, &request, VERDICT_CREDENTIAL_REFUSED);
}

static void test_checks_its_signatures_as_configured(void **state)
{
	static const struct {
		const char *self_check;
		unsigned checked; /* of 201 signatures */
	} cases[] = { { "sampled", 3 }, { "always", 201 }, { "off", 0 } };
	struct fixture *f = *state;
	uint32_t generation = 2;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++, generation++) {
		struct sign_request request;

		f->self_check = cases[i].self_check;
		reload(f, generation, true, CHILD_READY);
		watched->verified = 0;
		for (int signature = 0; signature < 201; signature++) {
			request = request_for(f, CORE, ALPHA, 'A', OWN);
			request.generation = generation;
			expect_verdict(f, &request, VERDICT_SIGNED);
		}
		assert_int_equal(watched->verified, cases[i].checked);
	}
}

static void test_a_credential_that_signs_wrongly_stops(void **state)
{
	struct fixture *f = *state;
	struct sign_request request = request_for(f, CORE, ALPHA, 'A', OWN);

	watched->signatures_are_bad = true;
	expect_verdict(f, &request, VERDICT_SELF_CHECK_FAILED);
	watched->signatures_are_bad = false;
	expect_verdict(f, &request, VERDICT_SELF_CHECK_FAILED);
	expect_log(
		f, "credential alpha: a signature of ours did not verify; it signs no more until a reload");
	request = request_for(f, STRANGERS, BETA, 'C', NOBODYS);
	expect_verdict(f, &request, VERDICT_SIGNED);
	reload(f, 2, true, CHILD_READY);
	expect_signed_in(f, 2, f->alpha);
}

/* --- Reload --- */

static void test_a_reload_signs_with_the_new_key_and_the_old_one_until_release(void **state)
{
	struct fixture *f = *state;
	X509 *old = f->alpha;
	struct sign_request request;

	f->alpha = pki_credential(f->pki, "alpha", &alpha_wish);
	expect_signed_in(f, 1, old);
	reload(f, 2, true, CHILD_READY);
	expect_signed_in(f, 2, f->alpha);
	expect_signed_in(f, 1, old);
	/* Not its turn: generation 1 itself is still in use. */
	order(f, CHILD_RELEASE, 1, -1);
	expect_signed_in(f, 1, old);
	order(f, CHILD_RELEASE, 2, -1);
	expect_signed_in(f, 2, f->alpha);
	request = request_for(f, CORE, ALPHA, 'A', OWN);
	for (int i = 0; i < 100; i++) {
		if (answer_to(f, &request).verdict == VERDICT_SIGNER_REFUSED)
			break;
		usleep(10000);
	}
	expect_verdict(f, &request, VERDICT_SIGNER_REFUSED);
	request.generation = 3;
	expect_verdict(f, &request, VERDICT_SIGNER_REFUSED);
	X509_free(old);
}

static void test_a_reload_that_would_lose_a_credential_is_refused(void **state)
{
	struct fixture *f = *state;
	struct sign_request request = request_for(f, STRANGERS, BETA, 'C', NOBODYS);
	char path[PKI_PATH_SIZE];

	pki_path(f->pki, path, "beta.key");
	chmod(path, 0644);
	reload(f, 2, true, CHILD_REFUSED);
	expect_log(f, "reload refused: credential beta signs now and could not be loaded again");
	expect_signed_in(f, 1, f->alpha);
	expect_verdict(f, &request, VERDICT_SIGNED);
	request.generation = 2;
	expect_verdict(f, &request, VERDICT_SIGNER_REFUSED);

	/* Taken out on purpose. */
	reload(f, 3, false, CHILD_READY);
	expect_signed_in(f, 3, f->alpha);
	/* And in again, failing: it did not sign before. */
	reload(f, 4, true, CHILD_READY);
	request.generation = 4;
	expect_verdict(f, &request, VERDICT_CREDENTIAL_REFUSED);
	chmod(path, 0600);
	reload(f, 5, true, CHILD_READY);
	request.generation = 5;
	expect_verdict(f, &request, VERDICT_SIGNED);
}

static void test_a_reload_without_a_configuration_is_refused(void **state)
{
	struct fixture *f = *state;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	order(f, CHILD_CONFIG, 2, fd);
	close(fd);
	order(f, CHILD_RELOAD, 0, -1);
	expect_answer(f, CHILD_REFUSED, 2);
	order(f, CHILD_RELOAD, 0, -1);
	expect_answer(f, CHILD_REFUSED, 2);
	expect_signed_in(f, 1, f->alpha);
}

/* --- Its life --- */

static void test_requests_from_before_the_start_are_answered_after_it(void **state)
{
	struct fixture *f = *state;
	struct sign_request request = request_for(f, CORE, ALPHA, 'A', OWN);

	send_config(f, 1, true);
	f->workers[0] = add_worker(f, 0);
	ask(f, 0, &request);
	usleep(20000);
	order(f, CHILD_START, 0, -1);
	expect_answer(f, CHILD_READY, 1);
	assert_int_equal(reply_to(f, 0).verdict, VERDICT_SIGNED);
}

static void test_ends_when_told(void **state)
{
	struct fixture *f = *state;

	order(f, CHILD_STOP, 0, -1);
	assert_int_equal(exit_status(f), 0);
}

static void test_ends_with_its_supervisor(void **state)
{
	struct fixture *f = *state;

	close(f->control);
	f->control = -1;
	assert_int_equal(exit_status(f), 0);
}

static void test_does_not_start_without_a_configuration(void **state)
{
	struct fixture *f = *state;

	order(f, CHILD_START, 0, -1);
	assert_int_equal(exit_status(f), 1);
}

static void test_keeps_its_memory_out_of_cores(void **state)
{
	struct fixture *f = *state;
	char path[64], line[256];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/limits", (int)f->child);
	file = fopen(path, "r");
	if (file == NULL)
		skip(); /* not root: what cannot be dumped cannot be looked at */
	while (fgets(line, sizeof line, file) != NULL)
		found = found || strncmp(line, "Max core file size        0                    0 ", 49) == 0;
	fclose(file);
	assert_true(found);
}

/* --- stirrupd -t --- */

struct said {
	size_t errors, warnings;
	char lines[4][1024];
};

static void remember(enum config_severity severity, const char *line, void *context)
{
	struct said *said = context;
	size_t index = said->errors + said->warnings;

	assert_true(index < 4);
	snprintf(said->lines[index], sizeof said->lines[index], "%s", line);
	if (severity == CONFIG_ERROR)
		said->errors++;
	else
		said->warnings++;
}

static struct said check(struct fixture *f)
{
	struct config_source *source = source_of(f, true);
	struct config_report *parsed = config_report_new(), *report = config_report_new();
	struct config *config = config_parse(source, parsed);
	struct said said = { 0 };

	assert_non_null(config);
	signer_check_credentials(config, report);
	config_report_each(report, remember, &said);
	assert_int_equal(config_report_errors(report), said.errors);
	config_free(config);
	config_report_free(report);
	config_report_free(parsed);
	config_source_free(source);
	return said;
}

static void test_the_check_finds_nothing_in_good_credentials(void **state)
{
	struct said said = check(*state);

	assert_int_equal(said.errors, 0);
	assert_int_equal(said.warnings, 0);
}

static void test_the_check_names_every_bad_credential(void **state)
{
	struct fixture *f = *state;
	struct pki_wish expired = { .spc = "5678", .not_before = 1500000000, .not_after = 1600000000 };
	char path[PKI_PATH_SIZE];
	struct said said;

	pki_path(f->pki, path, "alpha.key");
	chmod(path, 0644);
	X509_free(f->beta);
	f->beta = pki_credential(f->pki, "beta", &expired);
	said = check(f);
	assert_int_equal(said.errors, 2);
	assert_non_null(strstr(said.lines[0], "stirrup.conf:3: credentials.alpha: "));
	assert_non_null(strstr(said.lines[0], "alpha.key: mode 0644 lets others"));
	assert_non_null(strstr(said.lines[1], "stirrup.conf:4: credentials.beta: "));
	assert_non_null(strstr(said.lines[1], "beta.pem: expired at 2020-09-13T12:26:40Z"));
}

static void test_the_check_warns_of_an_end_that_is_near(void **state)
{
	static const struct {
		int64_t days;
		const char *said; /* NULL: nothing */
	} cases[] = {
		{ 31, NULL },
		{ 30, NULL },
		{ 29, "alpha.pem: expires in 29 days" },
		{ 1, "alpha.pem: expires in 1 day" },
		{ 0, "alpha.pem: expires in 0 days" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct pki_wish wish = { .spc = "1234",
			.not_after = time(NULL) + cases[i].days * PKI_DAY + 600 };
		struct said said;

		X509_free(f->alpha);
		f->alpha = pki_credential(f->pki, "alpha", &wish);
		said = check(f);
		assert_int_equal(said.errors, 0);
		assert_int_equal(said.warnings, cases[i].said != NULL);
		if (cases[i].said != NULL)
			assert_non_null(strstr(said.lines[0], cases[i].said));
	}
}

#define with_signer(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define with_stopped(test) cmocka_unit_test_setup_teardown(test, setup_stopped, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_signer(test_signs_what_the_certificate_verifies),
		with_signer(test_signs_an_emergency_call),
		with_signer(test_signs_what_the_configuration_allows),
		with_signer(test_refuses_texts_without_an_end),
		with_signer(test_leaves_late_requests_unanswered),
		with_signer(test_answers_each_worker_on_its_channel),
		with_signer(test_survives_what_is_no_request),
		with_signer(test_survives_random_requests),
		with_signer(test_outlives_a_worker_that_does_not_read),
		with_signer(test_takes_a_successor_of_a_worker),
		with_stopped(test_starts_when_a_credential_fails),
		with_stopped(test_an_expired_certificate_signs_no_more),
		with_signer(test_checks_its_signatures_as_configured),
		with_signer(test_a_credential_that_signs_wrongly_stops),
		with_signer(test_a_reload_signs_with_the_new_key_and_the_old_one_until_release),
		with_signer(test_a_reload_that_would_lose_a_credential_is_refused),
		with_signer(test_a_reload_without_a_configuration_is_refused),
		with_stopped(test_requests_from_before_the_start_are_answered_after_it),
		with_signer(test_ends_when_told),
		with_signer(test_ends_with_its_supervisor),
		with_stopped(test_does_not_start_without_a_configuration),
		with_signer(test_keeps_its_memory_out_of_cores),
		with_stopped(test_the_check_finds_nothing_in_good_credentials),
		with_stopped(test_the_check_names_every_bad_credential),
		with_stopped(test_the_check_warns_of_an_end_that_is_near),
	};

	return cmocka_run_group_tests_name("signer", tests, NULL, NULL);
}
