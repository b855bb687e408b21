/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/bench.h"

#define EXIT_NOT_STARTED 127

extern char **environ;

static bool become(uid_t user)
{
    return user == 0 || (setgroups(0, NULL) == 0 && setgid(user) == 0 && setuid(user) == 0);
}

/* In the child. The program is opened before it becomes another user, who may not reach its folder. */
static _Noreturn void run_program(const struct bench_child_options *options, int input, int output)
{
    int program = open(options->argv[0], O_RDONLY | O_CLOEXEC);

    bench_pin(options->processor);
    for (const char *const *variable = options->env; *variable != NULL; variable++)
        (void)putenv((char *)(uintptr_t)*variable);
    if (program >= 0 && dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 && become(options->user)) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* which a change of the user forgets */
        (void)fexecve(program, (char *const *)(uintptr_t)options->argv, environ);
    }
    _exit(EXIT_NOT_STARTED);
}

static int begin(struct bench_child *child, const struct bench_child_options *options)
{
    int input[2];
    int output[2];

    if (pipe2(input, O_CLOEXEC) != 0)
        return bench_wrong("no pipe: %s", strerror(errno));
    if (pipe2(output, O_CLOEXEC) != 0) {
        (void)close(input[0]);
        (void)close(input[1]);
        return bench_wrong("no pipe: %s", strerror(errno));
    }
    child->pid = fork();
    if (child->pid == 0)
        run_program(options, input[0], output[1]);
    (void)close(input[0]);
    (void)close(output[1]);
    child->to = fdopen(input[1], "w");
    child->from = fdopen(output[0], "r");
    if (child->pid < 0 || child->to == NULL || child->from == NULL)
        return bench_wrong("%s: no process", options->argv[0]);
    return 0;
}

int bench_child_start(struct bench_child *child, const struct bench_child_options *options)
{
    char line[32];

    memset(child, 0, sizeof(*child));
    (void)signal(SIGPIPE, SIG_IGN);
    if (begin(child, options) != 0)
        return -1;
    if (fgets(line, sizeof(line), child->from) == NULL || strcmp(line, "ready\n") != 0)
        return bench_wrong("%s is not ready", options->argv[0]);
    return 0;
}

double bench_child_ask(struct bench_child *child, const char *line)
{
    char answer[64];

    if (fprintf(child->to, "%s\n", line) < 0 || fflush(child->to) != 0 || fgets(answer, sizeof(answer), child->from) == NULL)
        return bench_wrong("no answer to \"%s\"", line);
    return strtod(answer, NULL);
}

void bench_child_end(struct bench_child *child)
{
    if (child->to != NULL)
        (void)fclose(child->to);
    if (child->from != NULL)
        (void)fclose(child->from);
    if (child->pid > 0) {
        (void)kill(child->pid, SIGKILL); /* whoever was forked since has its input open */
        (void)waitpid(child->pid, NULL, 0);
    }
    memset(child, 0, sizeof(*child));
}
