/* child_control.h: a child's end of the channel that child.h describes: what the supervisor says, the configuration that it
 * hands over, and what the child answers. */
#ifndef STIRRUP_CHILD_CONTROL_H
#define STIRRUP_CHILD_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "stirrup/child.h"
#include "stirrup/config.h"

struct child_control {
	int fd;              /* the channel; borrowed */
	int next;            /* the configuration of CHILD_CONFIG, until it is taken; -1: none */
	uint32_t generation; /* of the last one that came */
};
void child_control_begin(struct child_control *control, int fd);
void child_control_end(struct child_control *control);

/* What has come. */
enum child_news {
	CHILD_NEWS_NONE,    /* nothing for now; or what is no message, which is logged */
	CHILD_NEWS_MESSAGE,
	CHILD_NEWS_END,     /* the supervisor is gone */
};
/* One message: what workers sent before a reload is to be served before the next one. *fd is the caller's to close; -1: none, as
 * with CHILD_CONFIG, whose descriptor is kept here. */
enum child_news child_control_next(struct child_control *control, struct child_message *message, int *fd);

/* The configuration that came last, which is the caller's to free. The supervisor has checked its bytes: NULL, logged, says that
 * none came, that we are at fault, or that memory is out. */
struct config *child_control_take_config(struct child_control *control);

/* CHILD_READY or CHILD_REFUSED, for the generation that came last. */
void child_control_answer(const struct child_control *control, enum child_message_kind kind);

#endif
