/* dialogs.h: the established calls of mode "b2bua" as a worker has them: in the dialog store; and while that takes none, in
 * its own memory, so that they pass all the same, but do not outlive it. */
#ifndef STIRRUP_DIALOGS_H
#define STIRRUP_DIALOGS_H

#include <stdbool.h>
#include <stdint.h>

#include "stirrup/config.h"
#include "stirrup/dialog_store.h"

struct dialogs;
/* NULL when out of memory. A store that cannot be opened is logged. */
struct dialogs *dialogs_new(const struct config *config);
void dialogs_free(struct dialogs *dialogs); /* NULL is fine, here and below: then there are none */

/* *dialog is borrowed until the next call of any of these. */
bool dialogs_find(struct dialogs *dialogs, const struct dialog_key *key, struct dialog *dialog);
/* True: the call will outlive this process. */
bool dialogs_put(struct dialogs *dialogs, const struct dialog *dialog);
void dialogs_remove(struct dialogs *dialogs, const struct dialog *dialog);

/* At the end of each turn. */
void dialogs_flush(struct dialogs *dialogs);

/* Removes what has expired among the next count calls of the store, and in memory. now: since 1970, seconds. */
void dialogs_sweep(struct dialogs *dialogs, uint32_t now, unsigned count);

#endif
