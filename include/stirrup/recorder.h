/* recorder.h: the process that writes the call records. What may block (a full disk, a hung file system, a FIFO that
 * nobody reads) blocks it alone: workers send and forget. */
#ifndef STIRRUP_RECORDER_H
#define STIRRUP_RECORDER_H

/* The body of the recorder process: control is its channel to the supervisor (child.h). Each message on a worker's
 * channel is one line as record_write() makes it. Lines that cannot be written are dropped and counted, and the log
 * says so (once a second at most); a line is written whole or not at all. The file is opened anew after a reload and
 * when it was renamed or removed (logrotate); while the new one cannot be opened, the old one is written. CHILD_STOP
 * is obeyed within about a second whatever the file does. Returns the exit status. */
int recorder_main(int control);

#endif
