/* child.h: how the supervisor and its children talk: a control channel on descriptor 3 of every child.
 *
 * Order at the start of a child: CHILD_CONFIG, then whatever it needs (channels, listeners), then CHILD_START; it
 * answers CHILD_READY when it serves. A reload is CHILD_CONFIG (and new listeners), then CHILD_RELOAD; it answers
 * CHILD_READY with the new generation, or CHILD_REFUSED and goes on with the old one. End of file on the control
 * channel means that the supervisor is gone: the child exits. */
#ifndef STIRRUP_CHILD_H
#define STIRRUP_CHILD_H

#include <stdint.h>

#define CHILD_CONTROL_FD 3

enum child_message_kind {
	CHILD_CONFIG,         /* fd: the sealed configuration source of this generation */
	CHILD_IDENTITY,       /* index: which worker this is; count: how many there are */
	CHILD_LISTENER,       /* fd: the socket of config->listeners[index] */
	CHILD_SIGNER,         /* fd: to the signer (in a worker), to worker [index] (in the signer) */
	CHILD_RECORDER,       /* fd: to the recorder (in a worker), from worker [index] (in the recorder) */
	CHILD_FETCHER,        /* fd: to the fetcher (in a worker), to worker [index] (in the fetcher) */
	CHILD_HANDOVER_READ,  /* fd: datagrams that other workers received for this one */
	CHILD_HANDOVER_WRITE, /* fd: to worker [index] */
	CHILD_REPLAY,         /* fd: the memory of the replay table that all workers share (replay.h) */
	CHILD_SECRET,         /* the installation's secret (sip.secret_file); index 1: the one before it */
	CHILD_START,          /* all is there: serve */
	CHILD_RELOAD,         /* all is there: change over to the new generation */
	CHILD_SIGNER_READY,   /* to workers: a signer serves (again): ask once more for what is open */
	CHILD_SIGNER_GONE,    /* to workers: the signer died, its successor is on its way */
	CHILD_FETCHER_READY,  /* to workers: as CHILD_SIGNER_READY */
	CHILD_FETCHER_GONE,   /* to workers: as CHILD_SIGNER_GONE */
	CHILD_RELEASE,        /* to the signer: no worker uses generations before this one any more */
	CHILD_STOP,           /* finish what is in hand and exit */
	CHILD_READY,          /* from the child: serves this generation */
	CHILD_REFUSED,        /* from the child: keeps the old generation; why it logs itself */
};

#define CHILD_SECRET_BYTES 32

struct child_message {
	enum child_message_kind kind;
	uint32_t generation;
	uint32_t index;
	uint32_t count;
	uint8_t secret[CHILD_SECRET_BYTES];
};

#endif
