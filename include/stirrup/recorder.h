/* recorder.h: the process that writes the call records. What may block (a full disk, a hung file system, a FIFO that
 * nobody reads) blocks it alone: workers send and forget. */
#ifndef STIRRUP_RECORDER_H
#define STIRRUP_RECORDER_H

/* The body of the recorder process: control is its channel to the supervisor (child.h); what comes on the workers'
 * channels is in record_message.h. Lines that cannot be written are dropped and counted, and the log says so (once a
 * second at most); a line is written whole or not at all. The file is opened anew after a reload and when it was renamed
 * or removed (logrotate); while the new one cannot be opened, the old one is written.
 *
 * An open line waits for its final, a final and a note for their line. Without a final it is written as it is after
 * three minutes, or half a minute after the longest no_answer of a peer of mode "b2bua" or "forward". Open lines and
 * their notes stand in FILE.pending as well, beside a records file that is a regular one, so that a successor goes on
 * with them.
 *
 * CHILD_STOP is obeyed within about a second whatever the file does; what is open is written then. Returns the exit
 * status. */
int recorder_main(int control);

#endif
