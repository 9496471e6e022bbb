/* peer_budgets.h: how many new URLs the calls of each peer may have fetched in a time: a token bucket for
 * each. What one peer names without end must not use up the fetcher for the others. Pure: time is a
 * parameter. */
#ifndef STIRRUP_FETCHER_PEER_BUDGETS_H
#define STIRRUP_FETCHER_PEER_BUDGETS_H

#include <stdbool.h>
#include <stdint.h>

#define PEER_BUDGETS_BURST 4 /* seconds' worth that may come at once */

struct peer_budgets;
struct peer_budgets *peer_budgets_new(void); /* NULL when out of memory; gives nothing before the first use */
void peer_budgets_free(struct peer_budgets *budgets); /* NULL is fine */

void peer_budgets_use(struct peer_budgets *budgets, unsigned per_second);

/* One more for this peer. False: its budget is used up. now_us is monotonic. */
bool peer_budgets_take(struct peer_budgets *budgets, uint64_t peer, int64_t now_us);

#endif
