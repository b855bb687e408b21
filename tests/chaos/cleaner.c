/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/cleaner.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "support/process.h"
#include "support/tempdir.h"

#define DIRS_MAX 16
#define LAST_WRITES_MS 300 /* of programs that are being killed with us */

static int writer = -1;

/* Until the writing end is closed, that is, until we have ended. */
static void clean(int reader)
{
    char dir[DIRS_MAX][TEMPDIR_BYTES];
    int count = 0;

    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)setsid(); /* an interrupt of the terminal's whole group is not ours */
    while (count < DIRS_MAX && read(reader, dir[count], TEMPDIR_BYTES) == TEMPDIR_BYTES)
        count++;
    process_sleep_ms(LAST_WRITES_MS);
    while (count > 0)
        tempdir_remove(dir[--count]);
}

int cleaner_start(void)
{
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        (void)close(ends[1]);
        (void)close(STDOUT_FILENO); /* who reads our output must not wait for it */
        (void)close(STDERR_FILENO);
        clean(ends[0]);
        _exit(0);
    }
    (void)close(ends[0]);
    writer = ends[1];
    return pid < 0 ? -1 : 0;
}

void cleaner_note(const char *dir)
{
    char record[TEMPDIR_BYTES] = "";

    (void)snprintf(record, sizeof(record), "%s", dir);
    if (write(writer, record, sizeof(record)) != (ssize_t)sizeof(record))
        (void)fprintf(stderr, "%s will have to be removed by hand if we are killed\n", dir);
}
