/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs under test: started with arguments and environment, their output kept, ended in any case.
 *
 * Output goes to memory files, not to pipes: a program that nobody reads from never blocks, and what it wrote can be
 * read while it runs and after it was killed. Standard input is /dev/null.
 *
 * A child is killed by the kernel when the thread that started it ends (PR_SET_PDEATHSIG): start programs from the
 * test's main thread. Grandchildren are not covered.
 *
 * Functions return 0, or -1 with errno.
 */
#ifndef TESTS_SUPPORT_PROCESS_H
#define TESTS_SUPPORT_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#define PROCESS_PATIENCE_MS \
    180000 /* the longest that a test waits for what must happen: far beyond what a loaded machine needs */

enum process_stream { PROCESS_STDOUT, PROCESS_STDERR, PROCESS_STREAM_COUNT };

struct process {
    pid_t pid;                        /* 0: none, or ended and collected */
    int status;                       /* as of waitpid(2), once it has ended */
    int fd[PROCESS_STREAM_COUNT];     /* memory files */
    char *text[PROCESS_STREAM_COUNT]; /* what process_text last gave */
};

/*
 * Starts argv[0] (looked up in PATH when it has no slash). The environment is the caller's without TOKENRING_* and
 * REDIS_*, so that a test does not depend on the shell, and then env: "NAME=VALUE" sets, "NAME" removes; env may be
 * NULL. A program that cannot be executed exits with 127 and says why on its standard error.
 */
int process_start(struct process *ret_process, const char *const argv[], const char *const env[]);

/* Waits for its end, up to deadline_ms. 0 with process->status, or -1 with ETIMEDOUT. May be called again. */
int process_wait(struct process *process, int deadline_ms);

/* Has it not ended yet? Collects it when it has. */
bool process_running(struct process *process);

/* Sends a signal; nothing happens once it has ended. */
void process_signal(struct process *process, int signal_number);

/* All that it wrote so far, NUL-terminated; valid until the next call for this stream. "" on failure. */
const char *process_text(struct process *process, enum process_stream stream);

/* Waits until the stream holds text. 0, or -1 when the deadline passed or the program ended without it. */
int process_wait_text(struct process *process, enum process_stream stream, const char *text, int deadline_ms);

/* Exit status when it has ended by itself; 128 + signal when by one; -1 while it runs. */
int process_exit_code(const struct process *process);

/* Kills it when it still runs, collects it, frees all. Accepts a zeroed structure and a second call. */
void process_end(struct process *process);

/* Start and wait; kills it at the deadline. Then process_text and process_exit_code; the caller ends it. */
int process_run(struct process *ret_process, const char *const argv[], const char *const env[], int deadline_ms);

/* Milliseconds of a clock that never goes back; and a sleep. */
long process_now_ms(void);
void process_sleep_ms(int ms);

#endif
