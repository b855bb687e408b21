/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host with several users: the collector runs under one, in a directory of mode 3773 that is its own; producers and whoever
 * means ill under others. Needs root, which becomes them; the users need no names.
 */
#ifndef TESTS_INTEGRATION_USERS_H
#define TESTS_INTEGRATION_USERS_H

#include <errno.h>
#include <grp.h>

#include "base/log.h"
#include "collector/collector.h"
#include "integration/collector_stage.h"

/* Of this run alone: two at a time would meet in /dev/shm/tokenring-UID. */
static struct {
    uid_t collector;
    uid_t alice;
    uid_t mallory;
} user;

#define USERS_LOG_BYTES (1 << 20)

struct users {
    struct stage *stage;
    char regions[STAGE_PATH_BYTES]; /* where the collector and the producers meet; the same as stage->runtime */
    atomic_uint *stop;              /* for the collector */
    pid_t collector;
    int log; /* its standard error */
};
static struct users users;

/* Gives up root for good. */
static inline bool become(uid_t uid)
{
    return setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0 &&
           prctl(PR_SET_PDEATHSIG, SIGKILL) == 0; /* which the change has cleared */
}

/* Ends the program unless it can become other users. */
static inline void users_require(void)
{
    pid_t child;

    if (geteuid() != 0) {
        (void)puts("skipped: needs root, to become other users");
        exit(TEST_SKIPPED);
    }
    user.collector = (uid_t)(30000 + 3 * (getpid() % 10000));
    user.alice = user.collector + 1;
    user.mallory = user.collector + 2;
    child = fork();
    if (child == 0)
        _exit(become(user.collector) ? 0 : 1);
    if (stage_exit_code(child) != 0) {
        (void)puts("skipped: users beyond root cannot be had here");
        exit(TEST_SKIPPED);
    }
}

static inline int users_set_up(void **state)
{
    char state_dir[STAGE_PATH_BYTES];
    struct stage *stage;

    if (stage_set_up(state) != 0)
        return -1;
    stage = *state;
    users = (struct users){.stage = stage, .log = memfd_create("log", MFD_CLOEXEC)};
    users.stop = mmap(NULL, sizeof(*users.stop), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    (void)snprintf(state_dir, sizeof(state_dir), "%s/state", stage->dir);
    (void)snprintf(stage->ledger, sizeof(stage->ledger), "%s/state/ledger", stage->dir);
    stage_env(stage, "TOKENRING_LEDGER", stage->ledger);
    return users.log >= 0 && users.stop != MAP_FAILED && chmod(stage->dir, 0711) == 0 && mkdir(state_dir, 0700) == 0 &&
                   chown(state_dir, user.collector, user.collector) == 0 &&
                   chown(stage->runtime, user.collector, user.collector) == 0 && chmod(stage->runtime, 03773) == 0
               ? 0
               : -1;
}

static inline int users_tear_down(void **state)
{
    if (users.collector > 0) {
        (void)kill(users.collector, SIGKILL);
        (void)waitpid(users.collector, NULL, 0);
    }
    (void)close(users.log);
    (void)munmap((void *)users.stop, sizeof(*users.stop));
    return stage_tear_down(state);
}

/* --- children of other users --- */

/* Starts body under a user; its result is the exit status. */
static inline pid_t users_fork(uid_t uid, int (*body)(struct stage *stage, int number), int number)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        _exit(become(uid) ? body(users.stage, number) : 125);
    return child;
}

static inline int users_run(uid_t uid, int (*body)(struct stage *stage, int number), int number)
{
    return stage_exit_code(users_fork(uid, body, number));
}

/* --- the collector --- */

/* All that the collector has logged; valid until the next call. */
static inline const char *users_log(void)
{
    static char text[USERS_LOG_BYTES];
    ssize_t n = pread(users.log, text, sizeof(text) - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static inline int users_log_lines(const char *with)
{
    int lines = 0;

    for (const char *at = users_log(); (at = strstr(at, with)) != NULL; at++)
        lines++;
    return lines;
}

static inline int users_collect(struct stage *stage, int number)
{
    struct tkr_collector_config config;
    struct tkr_collector *collector;
    tkr_message message = {""};
    int result;

    (void)number;
    (void)dup2(users.log, STDERR_FILENO);
    for (int i = 0; stage->env_list[i] != NULL; i++)
        (void)putenv(stage->env[i]);
    if (tkr_collector_config_read(&config, &message) != 0 || tkr_collector_open(&config, &collector, &message) != 0) {
        tkr_log(TKR_LOG_ERROR, "%s", message.text);
        return 1;
    }
    tkr_log(TKR_LOG_INFO, "collecting");
    result = tkr_collector_run(collector, users.stop, NULL, NULL, &message);
    tkr_collector_close(collector);
    return result == 0 ? 0 : 2;
}

static inline void users_collector_start(void)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    assert_int_equal(ftruncate(users.log, 0), 0);
    assert_int_equal(lseek(users.log, 0, SEEK_SET), 0);
    atomic_store(users.stop, 0);
    users.collector = users_fork(user.collector, users_collect, 0);
    while (strstr(users_log(), "collecting") == NULL) {
        if (process_now_ms() > end || waitpid(users.collector, NULL, WNOHANG) != 0)
            fail_msg("%s", users_log());
        process_sleep_ms(2);
    }
}

static inline void users_collector_end(void)
{
    atomic_store(users.stop, 1);
    if (stage_exit_code(users.collector) != 0)
        fail_msg("%s", users_log());
    users.collector = 0;
}

#endif
