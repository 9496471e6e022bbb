#include "stirrup/sip_message.h"

#include <string.h>

#include <sofia-sip/msg_addr.h>
#include <sofia-sip/msg_header.h>
#include <sofia-sip/sip_hclasses.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_protos.h>

const unsigned sip_message_request_mask = 0, sip_message_response_mask = sip_mask_response;

msg_t *sip_message_parse(struct span bytes)
{
	msg_t *message = msg_create(sip_default_mclass(), MSG_FLG_EXTRACT_COPY);
	msg_iovec_t parts[8] = { 0 };
	issize_t count = message == NULL ? -1 : msg_recv_iovec(message, parts, 8, bytes.length, 1);
	size_t copied = 0;

	for (issize_t i = 0; i < count && copied < bytes.length; i++) {
		size_t left = bytes.length - copied;
		size_t part = left < parts[i].mv_len ? left : parts[i].mv_len;

		memcpy(parts[i].mv_base, bytes.at + copied, part);
		copied += part;
	}
	if (copied < bytes.length) {
		if (message != NULL)
			msg_destroy(message);
		return NULL;
	}
	msg_recv_commit(message, bytes.length, 1);
	msg_extract(message);
	return message;
}

msg_t *sip_message_to_send(struct span bytes)
{
	msg_t *message = sip_message_parse(bytes);
	size_t length = 0;

	if (message == NULL)
		return NULL;
	for (const msg_header_t *header = *msg_chain_head(message); header != NULL; header = header->sh_succ)
		length += header->sh_common->h_len;
	if (length == bytes.length)
		return message;
	msg_destroy(message);
	return NULL;
}

/* Of a comma list, the first item has the whole line, the others an empty one; where the first was changed its line is gone,
 * and all of them are printed. */
size_t sip_message_bytes(char *out, size_t size, msg_t *message)
{
	const void *covered = NULL; /* the class of headers whose list has its line */
	size_t used = 0;

	for (const msg_header_t *header = *msg_chain_head(message); header != NULL; header = header->sh_succ) {
		const msg_common_t *common = header->sh_common;
		issize_t length;

		if (common->h_data != NULL && common->h_len > 0) {
			if (common->h_len > size - used)
				return 0;
			memcpy(out + used, common->h_data, common->h_len);
			used += common->h_len;
			covered = common->h_class;
			continue;
		}
		if (common->h_data != NULL && covered == common->h_class)
			continue;
		covered = NULL;
		length = msg_header_e(out + used, size - used, header, 0);
		if (length < 0 || (size_t)length >= size - used)
			return 0;
		used += (size_t)length;
	}
	return used;
}
