#include "stirrup/child_control.h"

#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "stirrup/channel.h"
#include "stirrup/log.h"

void child_control_begin(struct child_control *control, int fd)
{
	*control = (struct child_control){ .fd = fd, .next = -1 };
}

static void forget_next(struct child_control *control)
{
	if (control->next >= 0)
		close(control->next);
	control->next = -1;
}

void child_control_end(struct child_control *control)
{
	forget_next(control);
}

static enum child_news not_a_message(ssize_t length, int error, int fd)
{
	if (length == 0 || (length < 0 && error != EAGAIN && error != EINTR && error != EMSGSIZE))
		return CHILD_NEWS_END;
	if (length > 0 || error == EMSGSIZE)
		log_error("the supervisor sent a message of a wrong length");
	if (length > 0 && fd >= 0)
		close(fd);
	return CHILD_NEWS_NONE;
}

enum child_news child_control_next(struct child_control *control, struct child_message *message, int *fd)
{
	ssize_t length = channel_receive(control->fd, message, sizeof *message, fd);

	if (length != (ssize_t)sizeof *message)
		return not_a_message(length, errno, *fd);
	if (message->kind == CHILD_CONFIG) {
		forget_next(control);
		control->next = *fd;
		control->generation = message->generation;
		*fd = -1;
	}
	return CHILD_NEWS_MESSAGE;
}

struct config *child_control_take_config(struct child_control *control)
{
	struct config_source *source = control->next < 0 ? NULL : config_source_from_memfd(control->next);
	struct config_report *report = config_report_new();
	struct config *config = source == NULL || report == NULL ? NULL : config_parse(source, report);

	if (config == NULL)
		log_error("the configuration cannot be read");
	config_report_free(report);
	config_source_free(source);
	forget_next(control);
	return config;
}

void child_control_answer(const struct child_control *control, enum child_message_kind kind)
{
	struct child_message message = { .kind = kind, .generation = control->generation };

	if (!channel_send(control->fd, &message, sizeof message, -1))
		log_error("the supervisor does not take an answer: %s", strerror(errno));
}
