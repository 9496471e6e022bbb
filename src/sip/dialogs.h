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

/* As dialog_store_pair() and dialog_store_other_call_id(); of calls that are put or removed it is known. Without a store, of
 * the last 512. */
void dialogs_pair(struct dialogs *dialogs, struct span caller_call_id, struct span callee_call_id);
bool dialogs_other_call_id(struct dialogs *dialogs, struct span call_id, struct span *other);

/* At the end of each turn. */
void dialogs_flush(struct dialogs *dialogs);

/* Removes what has expired among the next count calls of the store, and in the next count of 16,384 parts of the memory, and
 * writes what waits. now: since 1970, seconds. */
void dialogs_sweep(struct dialogs *dialogs, uint32_t now, unsigned count);

#endif
