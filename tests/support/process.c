/* SPDX-License-Identifier: Apache-2.0 */
#include "support/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define POLL_MS 2

extern char **environ;

long process_now_ms(void)
{
    return (long)(tkr_clock_monotonic_ns() / TKR_NS_PER_MS);
}

void process_sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * TKR_NS_PER_MS};

    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        continue;
}

static size_t name_length(const char *entry)
{
    return strcspn(entry, "=");
}

static bool same_name(const char *a, const char *b)
{
    return name_length(a) == name_length(b) && strncmp(a, b, name_length(a)) == 0;
}

static bool inherited(const char *entry, const char *const env[])
{
    if (strncmp(entry, "TOKENRING_", 10) == 0 || strncmp(entry, "REDIS_", 6) == 0)
        return false;
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        if (same_name(entry, env[i]))
            return false;
    }
    return true;
}

/* A vector of borrowed strings; the caller frees the vector. */
static const char **environment_make(const char *const env[])
{
    size_t count = 0;
    size_t n = 0;
    const char **out;

    while (environ[count] != NULL)
        count++;
    for (size_t i = 0; env != NULL && env[i] != NULL; i++)
        count++;
    out = calloc(count + 2, sizeof(*out));
    if (out == NULL)
        return NULL;
    for (size_t i = 0; environ[i] != NULL; i++) {
        if (inherited(environ[i], env))
            out[n++] = environ[i];
    }
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        if (strchr(env[i], '=') != NULL)
            out[n++] = env[i];
    }
    out[n++] = "TOKENRING_HTTP=off"; /* unless env has another one before it: collectors run side by side */
    return out;
}

/* In the child, between fork and exec: only calls that are safe there although other threads existed. */
static void child_run(const int fd[], pid_t parent, const char *const argv[], const char **env)
{
    static const char unusable[] = ": cannot be executed\n";
    sigset_t none;
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL); /* the test may ignore it; a program must not get that for free */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(126);
    if (dup2(null_fd, 0) < 0 || dup2(fd[PROCESS_STDOUT], 1) < 0 || dup2(fd[PROCESS_STDERR], 2) < 0)
        _exit(126);
    execvpe(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
    if (write(2, argv[0], strlen(argv[0])) < 0 || write(2, unusable, sizeof(unusable) - 1) < 0)
        _exit(126);
    _exit(127);
}

static int open_streams(struct process *process)
{
    process->fd[PROCESS_STDOUT] = memfd_create("stdout", MFD_CLOEXEC);
    process->fd[PROCESS_STDERR] = memfd_create("stderr", MFD_CLOEXEC);
    return process->fd[PROCESS_STDOUT] < 0 || process->fd[PROCESS_STDERR] < 0 ? -1 : 0;
}

int process_start(struct process *ret_process, const char *const argv[], const char *const env[])
{
    const char **environment = environment_make(env);
    pid_t parent = getpid();

    memset(ret_process, 0, sizeof(*ret_process));
    if (environment == NULL || open_streams(ret_process) != 0)
        goto fail;
    ret_process->pid = fork();
    if (ret_process->pid == 0)
        child_run(ret_process->fd, parent, argv, environment);
    if (ret_process->pid < 0)
        goto fail;
    free(environment);
    return 0;
fail:
    ret_process->pid = 0;
    free(environment);
    process_end(ret_process);
    return -1;
}

bool process_running(struct process *process)
{
    pid_t pid;

    if (process->pid == 0)
        return false;
    do {
        pid = waitpid(process->pid, &process->status, WNOHANG);
    } while (pid < 0 && errno == EINTR);
    if (pid == 0)
        return true;
    process->pid = 0;
    return false;
}

int process_wait(struct process *process, int deadline_ms)
{
    long end = process_now_ms() + deadline_ms;

    while (process_running(process)) {
        if (process_now_ms() >= end) {
            errno = ETIMEDOUT;
            return -1;
        }
        process_sleep_ms(POLL_MS);
    }
    return 0;
}

void process_signal(struct process *process, int signal_number)
{
    if (process->pid > 0)
        (void)kill(process->pid, signal_number); /* it is ours and not collected, so the pid is still its own */
}

const char *process_text(struct process *process, enum process_stream stream)
{
    struct stat st;
    ssize_t n;

    free(process->text[stream]);
    process->text[stream] = NULL;
    if (process->fd[stream] <= 0 || fstat(process->fd[stream], &st) != 0)
        return "";
    process->text[stream] = calloc(1, (size_t)st.st_size + 1);
    if (process->text[stream] == NULL)
        return "";
    n = pread(process->fd[stream], process->text[stream], (size_t)st.st_size, 0);
    process->text[stream][n < 0 ? 0 : n] = '\0';
    return process->text[stream];
}

int process_wait_text(struct process *process, enum process_stream stream, const char *text, int deadline_ms)
{
    long end = process_now_ms() + deadline_ms;

    for (;;) {
        bool running = process_running(process); /* first: what it wrote before its end counts */

        if (strstr(process_text(process, stream), text) != NULL)
            return 0;
        if (!running || process_now_ms() >= end) {
            errno = running ? ETIMEDOUT : ECHILD;
            return -1;
        }
        process_sleep_ms(POLL_MS);
    }
}

int process_exit_code(const struct process *process)
{
    if (process->pid != 0)
        return -1;
    return WIFEXITED(process->status) ? WEXITSTATUS(process->status) : 128 + WTERMSIG(process->status);
}

void process_end(struct process *process)
{
    if (process->pid > 0) {
        (void)kill(process->pid, SIGKILL);
        while (waitpid(process->pid, &process->status, 0) < 0 && errno == EINTR)
            continue;
        process->pid = 0;
    }
    for (int i = 0; i < PROCESS_STREAM_COUNT; i++) {
        if (process->fd[i] > 0)
            (void)close(process->fd[i]);
        process->fd[i] = 0;
        free(process->text[i]);
        process->text[i] = NULL;
    }
}

int process_run(struct process *ret_process, const char *const argv[], const char *const env[], int deadline_ms)
{
    if (process_start(ret_process, argv, env) != 0)
        return -1;
    if (process_wait(ret_process, deadline_ms) == 0)
        return 0;
    process_signal(ret_process, SIGKILL);
    (void)process_wait(ret_process, 1000); /* only to collect it; the deadline is the result */
    errno = ETIMEDOUT;
    return -1;
}
