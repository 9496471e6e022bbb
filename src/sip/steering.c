#include "stirrup/steering.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BRANCH_WITHIN 2048 /* octets from the start; ours is on top */

unsigned steering_by_call_id(struct span call_id, unsigned workers)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < call_id.length; i++)
		hash = (hash ^ (unsigned char)call_id.at[i]) * 16777619u;
	return workers <= 1 || call_id.length == 0 ? 0 : hash % workers;
}

static bool starts(struct span text, const char *start)
{
	return text.length >= strlen(start) && memcmp(text.at, start, strlen(start)) == 0;
}

static bool is_response(struct span message)
{
	return starts(message, "SIP/2.0 ");
}

/* From the value of the first branch parameter on; empty: there is none. */
static struct span first_branch(struct span message)
{
	static const char name[] = "branch=";
	size_t length = message.length < BRANCH_WITHIN ? message.length : BRANCH_WITHIN;
	const char *found = memmem(message.at, length, name, sizeof name - 1);

	if (found == NULL)
		return (struct span){ "", 0 };
	found += sizeof name - 1;
	return (struct span){ found, (size_t)(message.at + message.length - found) };
}

static bool owner_of(struct span branch, unsigned workers, unsigned *owner)
{
	char number[3] = "";
	unsigned long worker;

	if (branch.length < sizeof RELAY_BRANCH + 1 || !starts(branch, RELAY_BRANCH))
		return false;
	memcpy(number, branch.at + sizeof RELAY_BRANCH - 1, 2);
	worker = strtoul(number, NULL, 16);
	if (worker >= workers)
		return false;
	*owner = (unsigned)worker;
	return true;
}

bool steering_by_branch(struct span response, unsigned workers, unsigned *owner)
{
	return is_response(response) && owner_of(first_branch(response), workers, owner);
}

/* --- The head, line by line --- */

/* The value of a line of that long or compact name. */
static bool is_line(struct span line, const char *name, char compact, struct span *value)
{
	size_t at = 0;

	if (line.length > strlen(name) && strncasecmp(line.at, name, strlen(name)) == 0)
		at = strlen(name);
	else if (line.length > 1 && compact != '\0' && (line.at[0] | 0x20) == compact)
		at = 1;
	else
		return false;
	while (at < line.length && (line.at[at] == ' ' || line.at[at] == '\t'))
		at++;
	if (at == line.length || line.at[at] != ':')
		return false;
	*value = span_trim((struct span){ line.at + at + 1, line.length - at - 1 });
	return true;
}

struct found {
	unsigned lines;
	struct span call_id; /* of the first such line */
	bool sealed;         /* a Route has a seal of ours, or what looks like one */
};

static void take_line(struct found *found, struct span line)
{
	struct span value;

	found->lines++;
	if (found->call_id.length == 0 && is_line(line, "call-id", 'i', &value))
		found->call_id = value;
	else if (!found->sealed && is_line(line, "route", '\0', &value))
		found->sealed = memmem(value.at, value.length, ";st=", 4) != NULL;
}

static struct found scan(struct span datagram)
{
	struct found found = { .call_id = { datagram.at, 0 } };

	for (size_t at = 0; at < datagram.length;) {
		struct span line = { datagram.at + at, 0 };
		const char *end = memchr(line.at, '\n', datagram.length - at);

		line.length = end == NULL ? datagram.length - at : (size_t)(end - line.at);
		if (line.length == 0 || (line.length == 1 && line.at[0] == '\r'))
			break;
		take_line(&found, line);
		at += line.length + 1;
	}
	return found;
}

static bool must_meet(struct span request)
{
	return starts(request, "INVITE ") || starts(request, "CANCEL ") || starts(request, "ACK ");
}

void steering_read(struct steering *out, struct span datagram, unsigned workers)
{
	struct found found = scan(datagram);

	*out = (struct steering){ .lines = found.lines, .owner = steering_by_call_id(found.call_id, workers) };
	if (workers <= 1)
		return;
	if (is_response(datagram)) {
		struct span branch = first_branch(datagram);

		out->anyone = starts(branch, FORWARD_BRANCH);
		owner_of(branch, workers, &out->owner);
	} else {
		out->anyone = found.sealed && !must_meet(datagram);
	}
}
