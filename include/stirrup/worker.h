/* worker.h: the process that speaks SIP: reads requests, decides, answers. It has no key and opens no file. */
#ifndef STIRRUP_WORKER_H
#define STIRRUP_WORKER_H

/* The body of a worker process: control is its channel to the supervisor (child.h). Returns the exit status. */
int worker_main(int control);

#endif
