/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer of the log: a thread of its own, so that a pipe that nobody reads, a full disk or a file system that hangs holds up
 * nobody who counts.
 *
 *     any thread --lock, copy--> buffer that is filled <--change places--> buffer that is written --write(2)--> file
 *
 * Who says a line takes a lock for as long as it takes to compare it with the last ones (base/log_repeats.h) and to copy it; the lock
 * is never held while something is written. When the writer is behind by a whole buffer, lines are lost; so are those that the file
 * refuses. Both are counted, and told once something can be written again.
 *
 * What is written is whole lines, as many as are waiting, up to 4096 bytes in a write(2): a pipe takes so much whole, a file that is
 * appended to any of it, so lines of several writers do not mix. Where a disk is full in mid-line, the next one begins a line of its own.
 *
 * A file that cannot be opened again under its name, or that was removed and cannot be made anew, is tried again each second;
 * until then lines go to standard error.
 *
 * A kill of the process loses what is waiting: less than a millisecond's lines, unless the file holds the writer up.
 */
#ifndef TKR_BASE_LOG_WRITER_H
#define TKR_BASE_LOG_WRITER_H

#include "base/log_line.h"
#include "base/settings.h"

/*
 * Starts the writer; there is one in a process. path: a file that is appended to; NULL: standard error. repeats_ns: the window of
 * base/log_repeats.h. 0, or -1 with the reason, and nothing is left.
 */
int tkr_log_writer_open(const char *path, const struct tkr_log_style *style, int64_t repeats_ns, tkr_message *ret_message);

/*
 * Hands a line over. each: it has a limit of its own and is no repeat. false: there is no room for it, and it is counted as lost
 * unless each is set; then some room is kept for others. Any thread; takes a lock, allocates nothing, writes to no file.
 */
bool tkr_log_writer_put(const struct tkr_log_body *body, bool each);

/* Has the file opened again under its name, by the writer, before it writes what comes later. Async-signal-safe. */
void tkr_log_writer_reopen(void);

/* Can the file not be opened, so that lines go to standard error? Then with a sentence for people. Any thread. */
bool tkr_log_writer_problem(tkr_message *ret_message);

/*
 * Writes all that is waiting, also what is counted of repeats, and ends the thread; what is not taken within two seconds is given up.
 * No line may be put any more.
 */
void tkr_log_writer_close(void);

#endif
