#include "stirrup/worker.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <sofia-sip/msg_types.h>
#include <sofia-sip/nta_tport.h>
#include <sofia-sip/su.h>
#include <sofia-sip/su_log.h>
#include <sofia-sip/tport_tag.h>

#include "stirrup/clock.h"
#include "stirrup/egress.h"
#include "stirrup/log.h"
#include "stirrup/sip_message.h"
#include "dialogs.h"
#include "outgoing.h"
#include "probe.h"
#include "relay.h"
#include "worker_state.h"

#define MESSAGE_MAX 65536            /* a UDP message may have 65,535 octets (RFC 3261 section 18.1.1) */
#define STOP_POLL_MS 20
#define TCP_IDLE_MS 600000
#define TCP_MESSAGE_MS 10000         /* from the first byte of a message to its last */
#define TCP_QUEUE 500

extern su_log_t tport_log[], nta_log[];
extern int su_socket_close_on_exec;

/* What su_root knows of the sockets that we read: to be taken back at a stop. */
static int datagram_waits[SOCKETS_MAX + 1];
static size_t datagram_wait_count;

static struct worker worker = {
	.signer = -1,
	.fetcher = -1,
	.recorder = -1,
	.handed_over = -1,
	.ticker = -1,
	.judging = -1,
	.housekeeper = -1,
};

/* --- Sofia-SIP --- */

static bool is_listed(const struct sockaddr *source, int listener)
{
	const struct generation *generation = worker.generation;

	if (config_peer_for(generation->config, source, listener) != NULL)
		return true;
	return worker.hops != NULL && outgoing_is_known(&worker, generation->config, source, listener);
}

/* The signer works while the store is written. */
void worker_end_turn(struct worker *ended)
{
	signer_client_flush(ended);
	dialogs_flush(ended->dialogs);
}

/* It would print what peers send to standard error. */
static void silence_sofia(void)
{
	su_log_set_level(su_log_global, 0);
	su_log_set_level(su_log_default, 0);
	su_log_set_level(tport_log, 0);
	su_log_set_level(nta_log, 0);
}

static bool add_transport(const struct listener *listener)
{
	char url[NET_TEXT_SIZE + 32], address[NET_TEXT_SIZE];

	net_text(address, (const struct sockaddr *)&listener->address);
	snprintf(url, sizeof url, "sip:%s;transport=%s", address, egress_transport_word(listener->transport));
	if (nta_agent_add_tport(worker.agent, URL_STRING_MAKE(url), TPTAG_SERVER(1), TPTAG_IDLE(TCP_IDLE_MS),
		    TPTAG_TIMEOUT(TCP_MESSAGE_MS), TPTAG_QUEUESIZE(TCP_QUEUE), TPTAG_PONG2PING(1),
		    /* Who waits for an answer is to know of the end of a connection; nta wants that not to be told. */
		    TPTAG_SDWN_ERROR(1), TAG_END()) == 0)
		return true;
	log_error("cannot serve %s: %s", url, strerror(errno));
	return false;
}

/* Sofia may send from a UDP socket; what comes in is ours to read. */
static void keep_sofia_from_reading_udp(void)
{
	for (tport_t *primary = tport_primaries(nta_agent_tports(worker.agent)); primary != NULL;
		primary = tport_next(primary))
		if (tport_is_udp(primary))
			tport_stall(primary);
}

static int on_datagrams(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *slot)
{
	sockets_read((int)(intptr_t)slot, service_on_datagram, &worker);
	worker_end_turn(&worker);
	return 0;
}

static int on_handed_over(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *argument)
{
	sockets_read_handed_over(worker.handed_over, service_on_datagram, &worker);
	worker_end_turn(&worker);
	return 0;
}

static bool watch(int fd, su_wakeup_f callback, void *argument)
{
	su_wait_t wait[1];
	int index = su_wait_create(wait, fd, SU_WAIT_IN) == 0 ?
		su_root_register(worker.root, wait, callback, argument, 0) :
		-1;

	if (index > 0 && (callback == on_datagrams || callback == on_handed_over))
		datagram_waits[datagram_wait_count++] = index;
	return index > 0;
}

static void stop_reading(void)
{
	while (datagram_wait_count > 0)
		su_root_deregister(worker.root, datagram_waits[--datagram_wait_count]);
	for (tport_t *primary = tport_primaries(nta_agent_tports(worker.agent)); primary != NULL;
		primary = tport_next(primary))
		tport_stall(primary);
}

/* Takes over every socket of the configuration that is not there yet. */
static bool add_listeners(const struct config *config, const int *fds)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct listener *listener = &config->listeners[i];
		int slot;

		if (fds[i] < 0 || sockets_slot(listener) >= 0)
			continue;
		slot = sockets_add(listener, fds[i]);
		if (slot < 0) {
			log_error("cannot serve %s: too many listeners", listener->text);
			return false;
		}
		if (!add_transport(listener))
			return false;
		if (sockets_fd(slot) >= 0 && !watch(sockets_fd(slot), on_datagrams, (void *)(intptr_t)slot))
			return false;
	}
	keep_sofia_from_reading_udp();
	return true;
}

static bool start_agent(void)
{
	su_socket_close_on_exec = 1;
	worker.agent = nta_agent_create(worker.root, (url_string_t *)(intptr_t)-1, service_on_message,
		(nta_agent_magic_t *)&worker, NTATAG_SIPFLAGS(MSG_FLG_EXTRACT_COPY), NTATAG_MAXSIZE(MESSAGE_MAX),
		NTATAG_UDP_MTU(65535), NTATAG_USE_NAPTR(0), NTATAG_USE_SRV(0), NTATAG_UA(0), NTATAG_CANCEL_487(0),
		NTATAG_MERGE_482(0), NTATAG_SERVER_RPORT(1), NTATAG_BAD_REQ_MASK(sip_message_request_mask),
		NTATAG_BAD_RESP_MASK(sip_message_response_mask), TAG_END());
	return worker.agent != NULL;
}

/* --- What the supervisor sends --- */

/* The sockets that came since the last start or reload, by listener of the configuration they came with. */
static int listener_fds[SOCKETS_MAX];
static struct generation *incoming;

static void forget_listener_fds(void)
{
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		listener_fds[i] = -1;
}

static void take_incoming(void)
{
	struct config *config = child_control_take_config(&worker.control);

	generation_unref(incoming);
	incoming = config == NULL ? NULL : generation_new(worker.control.generation, config);
}

/* Whoever is sent to is looked after ten times a second. */
#define HOUSEKEEPING_NS 100000000
#define SWEPT_PER_TURN 64          /* of the calls in the dialog store */
#define RELAYS_MAX 524288

/* Messages that have come in the meantime come first. */
static const struct itimerspec soon = { .it_interval.tv_nsec = HOUSEKEEPING_NS, .it_value.tv_nsec = 1 };

/* Sofia reads nothing more from a connection that has brought what is no message, and leaves it open: whoever goes on to send
 * by it must learn that nobody listens (RFC 3261 section 18.3: the end of a message there is not to be found any more). */
static void close_unreadable(const tport_t *primary)
{
	tport_t *next;

	for (tport_t *connection = tport_secondary(primary); connection != NULL; connection = next) {
		next = tport_next(connection);
		if (tport_is_shutdown(connection))
			tport_shutdown(connection, 2);
	}
}

static void close_unreadable_connections(void)
{
	for (tport_t *primary = tport_primaries(nta_agent_tports(worker.agent)); primary != NULL; primary = tport_next(primary))
		if (tport_is_tcp(primary))
			close_unreadable(primary);
}

static int on_housekeeping(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *argument)
{
	uint64_t expirations;

	if (read(worker.housekeeper, &expirations, sizeof expirations) < 0)
		return 0;
	close_unreadable_connections();
	if (relays_tick(&worker)) {
		timerfd_settime(worker.housekeeper, 0, &soon, NULL);
	} else {
		hops_tick(worker.hops, monotonic_us());
		dialogs_sweep(worker.dialogs, (uint32_t)(wall_us() / 1000000), SWEPT_PER_TURN);
	}
	worker_end_turn(&worker);
	return 0;
}

static int on_hops(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *argument)
{
	hops_tick(worker.hops, monotonic_us());
	return 0;
}

static bool wants_dialogs(const struct config *config)
{
	for (size_t i = 0; i < config->peer_count; i++)
		if (config->peers[i].mode == MODE_B2BUA)
			return true;
	return false;
}

/* What sends calls on; begun with the first configuration that wants it. */
static bool start_forwarding(void)
{
	struct itimerspec often = { .it_interval.tv_nsec = HOUSEKEEPING_NS, .it_value.tv_nsec = HOUSEKEEPING_NS };

	if (worker.hops == NULL) {
		worker.sealer = sealer_new(worker.secret, worker.has_previous_secret ? worker.previous_secret : NULL);
		worker.hops = hops_new(probe_send, &worker);
		worker.relays = relays_new(RELAYS_MAX);
		worker.housekeeper = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		egress_on_failure(relay_connection_failed);
		if (worker.sealer == NULL || worker.hops == NULL || worker.relays == NULL || worker.housekeeper < 0 ||
			timerfd_settime(worker.housekeeper, 0, &often, NULL) != 0 ||
			!watch(worker.housekeeper, on_housekeeping, NULL) || !watch(hops_fd(worker.hops), on_hops, NULL))
			return false;
	}
	hops_configure(worker.hops, worker.generation->config);
	if (worker.dialogs == NULL && wants_dialogs(worker.generation->config))
		worker.dialogs = dialogs_new(worker.generation->config);
	return worker.dialogs != NULL || !wants_dialogs(worker.generation->config);
}

static bool change_over(void)
{
	struct generation *old = worker.generation;

	if (incoming == NULL || !add_listeners(incoming->config, listener_fds))
		return false;
	worker.generation = incoming;
	incoming = NULL;
	sockets_map(worker.generation->config);
	generation_unref(old);
	forget_listener_fds();
	if (!worker.generation->forwards || start_forwarding())
		return true;
	/* Half a server is none: the supervisor starts another. */
	log_error("cannot send calls on: %s", strerror(errno));
	worker.failed = true;
	su_root_break(worker.root);
	return false;
}

static int on_signer(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *argument)
{
	signer_client_receive(&worker);
	return 0;
}

static int on_fetcher(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *argument)
{
	fetcher_client_receive(&worker);
	return 0;
}

static int on_judging(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *argument)
{
	verify_calls_judge(&worker);
	return 0;
}

static int on_tick(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *argument)
{
	deadlines_tick(&worker);
	return 0;
}

static bool start(void)
{
	if (incoming == NULL || worker.generation != NULL || worker.replay == NULL)
		return false;
	worker.generation = generation_ref(incoming); /* the filter below asks it; change_over() gives this reference back */
	worker.digester = call_digester_new(worker.secret);
	worker.memo = answer_memo_new(worker.generation->config->answer_memo_bytes);
	worker.waiting = waiting_calls_new(worker.generation->config->max_waiting);
	if (worker.digester == NULL || worker.memo == NULL || worker.waiting == NULL || !deadlines_open(&worker) ||
		!fetcher_client_open(&worker) || !start_agent())
		return false;
	if (!change_over())
		return false;
	return sockets_self_test() && watch(worker.handed_over, on_handed_over, NULL) &&
		watch(worker.signer, on_signer, NULL) && watch(worker.fetcher, on_fetcher, NULL) &&
		watch(worker.judging, on_judging, NULL) && watch(worker.ticker, on_tick, NULL);
}

/* Ends the loop once no call waits any more; the deadline of the youngest bounds that. */
static void on_stop_tick(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *argument)
{
	call_record_flush(&worker);
	if (waiting_calls_oldest(worker.waiting) == NULL && worker.record_backlog.length == 0)
		su_root_break(worker.root);
}

static void stop(void)
{
	su_timer_t *timer;

	worker.stopping = true;
	if (worker.agent == NULL) {
		su_root_break(worker.root);
		return;
	}
	stop_reading();
	relays_stop(&worker);
	timer = su_timer_create(su_root_task(worker.root), STOP_POLL_MS);
	if (timer == NULL || su_timer_set_for_ever(timer, on_stop_tick, NULL) != 0)
		su_root_break(worker.root);
}

static void serve_or_die(void)
{
	take_incoming();
	if (start()) {
		child_control_answer(&worker.control, CHILD_READY);
		return;
	}
	log_error("cannot start");
	worker.failed = true;
	su_root_break(worker.root);
}

static void reload(void)
{
	take_incoming();
	child_control_answer(&worker.control, change_over() ? CHILD_READY : CHILD_REFUSED);
}

/* Keeps the descriptor or closes it. */
static void take_message(const struct child_message *message, int fd)
{
	switch (message->kind) {
	case CHILD_IDENTITY:
		worker.index = message->index;
		worker.count = message->count;
		sockets_init(worker.index, worker.count, is_listed);
		break;
	case CHILD_LISTENER:
		if (message->index < SOCKETS_MAX)
			listener_fds[message->index] = fd;
		return;
	case CHILD_SIGNER:
		worker.signer = fd;
		return;
	case CHILD_FETCHER:
		worker.fetcher = fd;
		return;
	case CHILD_RECORDER:
		worker.recorder = fd;
		return;
	case CHILD_HANDOVER_READ:
		worker.handed_over = fd;
		return;
	case CHILD_HANDOVER_WRITE:
		sockets_set_handover_write(message->index, fd);
		return;
	case CHILD_REPLAY:
		worker.replay = replay_table_open(fd);
		if (worker.replay == NULL)
			log_error("the replay table cannot be used: %s", strerror(errno));
		break;
	case CHILD_SECRET:
		memcpy(message->index == 1 ? worker.previous_secret : worker.secret, message->secret, sizeof worker.secret);
		worker.has_previous_secret = worker.has_previous_secret || message->index == 1;
		break;
	case CHILD_START:
		serve_or_die();
		break;
	case CHILD_RELOAD:
		reload();
		break;
	case CHILD_SIGNER_READY:
		worker.signer_up = true;
		worker.signer_silent_us = 0;
		if (worker.waiting != NULL)
			signer_client_ask_again(&worker);
		break;
	case CHILD_SIGNER_GONE:
		worker.signer_up = false;
		break;
	case CHILD_FETCHER_READY:
		worker.fetcher_up = true;
		if (worker.flights != NULL)
			fetcher_client_ask_again(&worker);
		break;
	case CHILD_FETCHER_GONE:
		worker.fetcher_up = false;
		break;
	case CHILD_STOP:
		stop();
		break;
	case CHILD_CONFIG:
	case CHILD_RELEASE:
	case CHILD_READY:
	case CHILD_REFUSED:
		break;
	}
	if (fd >= 0)
		close(fd);
}

static int on_control(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *argument)
{
	struct child_message message;
	int fd;

	switch (child_control_next(&worker.control, &message, &fd)) {
	case CHILD_NEWS_NONE:
		break;
	case CHILD_NEWS_MESSAGE:
		take_message(&message, fd);
		break;
	case CHILD_NEWS_END:
		su_root_break(worker.root);
		break;
	}
	return 0;
}

static void release_all(void)
{
	struct call *call;

	while (worker.waiting != NULL && (call = waiting_calls_oldest(worker.waiting)) != NULL) {
		struct call left = *call;

		waiting_calls_remove(worker.waiting, call);
		call_release(&left);
	}
	relays_free(worker.relays);
	if (worker.agent != NULL)
		nta_agent_destroy(worker.agent);
	dialogs_free(worker.dialogs);
	hops_free(worker.hops);
	sealer_free(worker.sealer);
	if (worker.housekeeper >= 0)
		close(worker.housekeeper);
	deadlines_close(&worker);
	waiting_calls_free(worker.waiting);
	fetcher_client_close(&worker);
	replay_table_close(worker.replay);
	answer_memo_free(worker.memo);
	call_digester_free(worker.digester);
	generation_unref(worker.generation);
	generation_unref(incoming);
	child_control_end(&worker.control);
	su_root_destroy(worker.root);
	su_deinit();
}

int worker_main(int control)
{
	child_control_begin(&worker.control, control);
	/* What is freed in small pieces is joined at once, and not thousands of them when a large one is wanted. */
	mallopt(M_MXFAST, 0);
	forget_listener_fds();
	if (su_init() != 0)
		return 1;
	silence_sofia();
	worker.root = su_root_create(NULL);
	if (worker.root == NULL)
		return 1;
	su_root_threading(worker.root, 0);
	if (!watch(control, on_control, NULL))
		return 1;
	su_root_run(worker.root);
	release_all();
	return worker.failed ? 1 : 0;
}
