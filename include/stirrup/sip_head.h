/* sip_head.h: a SIP message as its start line, its header lines and its body, all by their received bytes: what is passed on
 * goes out as it came in. Pure; it validates nothing beyond its own lines. */
#ifndef STIRRUP_SIP_HEAD_H
#define STIRRUP_SIP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/span.h"

#define HEADER_LINES_MAX 256 /* what comes by a connection is read by Sofia's parser, too, which is quadratic in them */

/* By its long or its compact name (RFC 3261 section 7.3.3), in any letter case. */
enum header_kind {
	HEADER_VIA,
	HEADER_FROM,
	HEADER_TO,
	HEADER_CALL_ID,
	HEADER_CSEQ,
	HEADER_CONTACT,
	HEADER_ROUTE,
	HEADER_RECORD_ROUTE,
	HEADER_MAX_FORWARDS,
	HEADER_CONTENT_LENGTH,
	HEADER_DATE,
	HEADER_IDENTITY,
	HEADER_P_ASSERTED_IDENTITY,
	HEADER_CLAIMED,          /* what a peer says of verification or attestation: Attestation-Info, Origination-Id and
	                          * their older spellings */
	HEADER_REASON,
	HEADER_SESSION_EXPIRES,
	HEADER_REPLACES,
	HEADER_JOIN,
	HEADER_TARGET_DIALOG,
	HEADER_IN_REPLY_TO,
	HEADER_REFER_TO,
	HEADER_OTHER,
};

struct header_line {
	enum header_kind kind;
	struct span line;  /* from its name to its last line end, folds included */
	struct span name;
	struct span value; /* without the white space around it; folds stay in it */
};

struct sip_head {
	struct span start_line;          /* without its line end */
	bool is_response;
	struct span method, request_uri; /* of a request */
	unsigned status;                 /* of a response: 100 to 699 */
	struct span phrase;              /* may be empty */
	struct span body;                /* cut at Content-Length; without a usable one all that there is */
	bool wrong_length;               /* Content-Length is no number, says more than there is, or two of them differ: a
	                                  * request gets 400, a response is dropped (RFC 3261 section 18.3) */
	size_t count;
	struct header_line lines[HEADER_LINES_MAX]; /* a copy has room for count of them */
};

/* False for what has no SIP/2.0 start line, a line without name or colon, more than HEADER_LINES_MAX lines, or no empty line
 * at the end. The spans borrow from message. Line ends are CRLF or LF; a CR elsewhere in the head is refused. */
bool sip_head_read(struct sip_head *head, struct span message);

/* A copy with all its bytes, in one block for free(). NULL when out of memory. */
struct sip_head *sip_head_copy(const struct sip_head *head);

/* The index of the first line of the kind from the index on; head->count: none. */
size_t sip_head_find(const struct sip_head *head, enum header_kind kind, size_t from);

/* Its value; empty: none. */
struct span sip_head_value(const struct sip_head *head, enum header_kind kind);

/* The value of a whole line. */
struct span sip_line_value(struct span line);

/* Whether each line break inside of a value is a fold (RFC 3261 section 7.3.1), and there is no NUL: whatever else begins a line
 * of its own there, or ends the head, for us or for some. */
bool sip_is_one_line(struct span value);

/* token of RFC 3261 section 25.1: what methods and the names of header fields are. */
bool sip_is_token(struct span text);

/* The tag parameter of a From or To value; empty: none. */
struct span sip_tag(struct span from_or_to);

/* "102 INVITE". False when it is none (RFC 3261 section 8.1.1.5). */
bool sip_cseq(struct span value, uint32_t *number, struct span *method);

#endif
