/* random_id.h: numbers that nobody can guess: ids of requests, branches. */
#ifndef STIRRUP_RANDOM_ID_H
#define STIRRUP_RANDOM_ID_H

#include <stdint.h>

/* From the kernel, many at a time: a system call for each would cost more than what it is for. Not for a process that goes on
 * after fork(). */
uint64_t random_id(void);

#endif
