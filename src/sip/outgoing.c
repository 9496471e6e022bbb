#include "outgoing.h"

#include "stirrup/egress.h"
#include "stirrup/log.h"
#include "stirrup/name_addr.h"
#include "stirrup/seal.h"
#include "stirrup/sip_date.h"
#include "stirrup/sip_uri.h"
#include "stirrup/verstat.h"

static void put_asserted(struct sip_edit *edit, const struct stamps *stamps)
{
	size_t nth = 0;

	for (size_t i = sip_head_find(edit->head, HEADER_P_ASSERTED_IDENTITY, 0); i < edit->head->count;
		i = sip_head_find(edit->head, HEADER_P_ASSERTED_IDENTITY, i + 1), nth++) {
		struct span value = nth < stamps->asserted_count ? stamps->asserted[nth] : (struct span){ "", 0 };
		struct span received = edit->head->lines[i].value;

		if (value.length == 0)
			sip_edit_drop(edit, i);
		else if (value.length != received.length || memcmp(value.at, received.at, value.length) != 0)
			sip_edit_replace(edit, i, value);
	}
}

/* And what has white space of some kind beside its name: who trims more of it than we do would see one of those. */
static void drop_claimed(struct sip_edit *edit)
{
	sip_edit_drop_all(edit, HEADER_CLAIMED);
	for (size_t i = 0; i < edit->head->count; i++)
		if (edit->head->lines[i].kind == HEADER_OTHER && !sip_is_token(edit->head->lines[i].name))
			sip_edit_drop(edit, i);
}

static void put_stamps(struct sip_edit *edit, const struct stamps *stamps)
{
	if (stamps->asserted_count > 0)
		put_asserted(edit, stamps);
	if (stamps->from.length > 0)
		sip_edit_replace(edit, sip_head_find(edit->head, HEADER_FROM, 0), stamps->from);
	if (stamps->drops_claimed)
		drop_claimed(edit);
	for (size_t i = 0; i < stamps->added_count; i++)
		sip_edit_append(edit, stamps->added[i].name, stamps->added[i].value);
}

static bool has_date(const struct sip_head *head)
{
	for (size_t i = 0; i < head->count; i++)
		if (span_is_caseless(head->lines[i].name, "Date"))
			return true;
	return false;
}

void outgoing_result(struct sip_edit *edit, const struct call_outcome *outcome)
{
	char date[SIP_DATE_SIZE];

	if (outcome->stamps != NULL)
		put_stamps(edit, outcome->stamps);
	if (outcome->identity.length == 0)
		return;
	sip_edit_append(edit, "Identity", outcome->identity);
	if (has_date(edit->head))
		return;
	sip_date_format(date, outcome->iat);
	sip_edit_append(edit, "Date", span_of(date));
}

static void drop_verstat(struct sip_edit *edit, enum header_kind kind)
{
	static const struct tn nobody;
	static const struct dial_plan none;
	static char text[MESSAGE_BYTES_MAX];

	for (size_t i = sip_head_find(edit->head, kind, 0); i < edit->head->count; i = sip_head_find(edit->head, kind, i + 1)) {
		struct span value = edit->head->lines[i].value;
		unsigned stamped, removed;

		if (!verstat_present(value))
			continue;
		if (verstat_stamp(text, sizeof text, value, &nobody, &none, "", &stamped, &removed))
			sip_edit_replace(edit, i, span_of(text));
		else
			sip_edit_drop(edit, i);
	}
}

void outgoing_drop_claims(struct sip_edit *edit, const struct peer *peer, bool and_from)
{
	if (peer->trusted || peer->shadow)
		return;
	drop_claimed(edit);
	drop_verstat(edit, HEADER_P_ASSERTED_IDENTITY);
	if (and_from)
		drop_verstat(edit, HEADER_FROM);
}

void outgoing_max_forwards(struct sip_edit *edit, const struct sip_basics *basics)
{
	size_t line = sip_head_find(edit->head, HEADER_MAX_FORWARDS, 0);
	char text[8];
	struct writer writer = writer_on(text, sizeof text);

	writer_number(&writer, basics->max_forwards == 0 ? 0 : basics->max_forwards - 1);
	if (line == edit->head->count)
		sip_edit_append(edit, "Max-Forwards", span_of("70"));
	else
		sip_edit_replace(edit, line, (struct span){ text, writer_length(&writer) });
	/* It may stand once; what stands behind it was never counted. */
	while (line < edit->head->count && (line = sip_head_find(edit->head, HEADER_MAX_FORWARDS, line + 1)) < edit->head->count)
		sip_edit_drop(edit, line);
}

static uint64_t hash_of(struct span call_id)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < call_id.length; i++)
		hash = (hash ^ (unsigned char)call_id.at[i]) * UINT64_C(1099511628211);
	return hash;
}

size_t outgoing_hops(struct worker *worker, const struct generation *generation, const struct peer *peer,
	const struct next_hop *other, struct span call_id, struct hop hops[HOPS_CHOSEN_MAX])
{
	const struct next_hop *list = other != NULL ? other : peer->next_hops;
	size_t count = other != NULL ? 1 : peer->next_hop_count;
	size_t chosen = hops_choose(worker->hops, list, count, hash_of(call_id), hops);
	size_t usable = 0;

	for (size_t i = 0; i < chosen; i++) {
		struct egress egress;

		if (egress_find(&egress, generation->config, hops[i].transport, hops[i].address.ss_family, peer->listener))
			hops[usable++] = hops[i];
	}
	return usable;
}

/* verstat=VALUE is the last parameter of the number: what verstat_stamp() wrote. */
bool outgoing_unstamp(char *out, size_t size, struct span from, uint8_t flags)
{
	static const struct tn nobody;
	static const struct dial_plan none;
	struct name_addr item;
	struct span rest;
	unsigned stamped, removed;
	char *at, *behind;

	if ((flags & SEAL_FROM_STAMPED) == 0 ||
		!verstat_stamp(out, size, from, &nobody, &none, "", &stamped, &removed) || removed == 0)
		return false;
	if ((flags & SEAL_FROM_BRACKETED) == 0)
		return true;
	rest = span_of(out);
	if (!name_addr_next(&rest, &item) || item.uri.at == out || item.uri.at[-1] != '<' || item.uri.at[item.uri.length] != '>')
		return true;
	at = out + (item.uri.at - out);
	behind = at + item.uri.length + 1;
	memmove(at - 1, at, item.uri.length);
	memmove(behind - 2, behind, strlen(behind) + 1);
	return true;
}

static void refuse(struct span uri, const char *why)
{
	static struct log_limiter limiter;
	unsigned long suppressed;

	if (log_allowed(&limiter, &suppressed))
		log_warning("a request within a call leads to %.*s, which %s (%lu more before)",
			(int)(uri.length < 200 ? uri.length : 200), uri.at, why, suppressed);
}

bool outgoing_is_known(struct worker *worker, const struct config *config, const struct sockaddr *address, int listener)
{
	return config_may_speak(config, address, listener) ||
		(worker->hops != NULL && hops_knows_address(worker->hops, address));
}

static bool is_within(const struct network *networks, size_t count, const struct sockaddr *address)
{
	for (size_t i = 0; i < count; i++)
		if (network_has(&networks[i], address))
			return true;
	return false;
}

static bool is_callees(struct worker *worker, const struct peer *peer, const struct sockaddr *address)
{
	if (is_within(peer->far_side, peer->far_side_count, address) ||
		hops_has_address(worker->hops, peer->next_hops, peer->next_hop_count, address))
		return true;
	for (size_t i = 0; i < peer->treatment_count; i++)
		if (peer->treatment[i].hop != NULL && hops_has_address(worker->hops, peer->treatment[i].hop, 1, address))
			return true;
	return false;
}

bool outgoing_may_speak(struct worker *worker, const struct peer *peer, bool from_caller)
{
	const struct sockaddr *source = (const struct sockaddr *)&sockets_arrival()->source;

	return from_caller ? is_within(peer->addresses, peer->address_count, source) : is_callees(worker, peer, source);
}

static bool is_us(const struct config *config, const struct outgoing_target *target)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (config->listeners[i].transport == target->transport &&
			net_same_endpoint(&config->listeners[i].address, &target->address))
			return true;
	return false;
}

bool outgoing_target(struct worker *worker, const struct generation *generation, const struct peer *peer, struct span uri,
	struct outgoing_target *target)
{
	const struct sockaddr *address = (const struct sockaddr *)&target->address;
	struct sip_uri parts;

	if (!sip_uri_read(&parts, uri) || !sip_uri_endpoint(&parts, &target->address, &target->transport)) {
		refuse(uri, "is no literal address of UDP or TCP");
		return false;
	}
	if (is_us(generation->config, target)) {
		refuse(uri, "is this server itself");
		return false;
	}
	if (!is_within(peer->addresses, peer->address_count, address) && !is_callees(worker, peer, address)) {
		refuse(uri, "is none of its peer's addresses or next hops, nor in its far_side");
		return false;
	}
	return true;
}
