/* b2bua.h: mode "b2bua": two legs, and one record in the dialog store between them. */
#ifndef STIRRUP_B2BUA_H
#define STIRRUP_B2BUA_H

#include "transit.h"
#include "worker_state.h"

/* A request within a call, an ACK of a 2xx among them. False: of no call that is known. */
bool b2bua_within(struct worker *worker, struct transit *transit);

#endif
