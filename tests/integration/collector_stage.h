/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host in small for the tests of the collector: directories, the daemon, producers as processes of their own, and the
 * truth that they write down in shared memory while they record.
 */
#ifndef TESTS_INTEGRATION_COLLECTOR_STAGE_H
#define TESTS_INTEGRATION_COLLECTOR_STAGE_H

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sink/sink.h"
#include "support/process.h"
#include "support/redis.h"
#include "support/tempdir.h"
#include "support/test.h"
#include "table/reader.h"
#include "tokenring/tokenring.h"

#define COLLECTOR TEST_BIN_DIR "/tokenringd"
#define STAGE_CYCLE UINT32_C(20261101)
#define STAGE_USERS 40
#define STAGE_DEADLINE_MS PROCESS_PATIENCE_MS
#define STAGE_PATH_BYTES (TEMPDIR_BYTES + 24)
#define STAGE_ENV_MAX 16

/* What producers have recorded, by user; each of them adds after the library took it. */
struct stage_truth {
    _Atomic int64_t prompt[STAGE_USERS];
    _Atomic int64_t completion[STAGE_USERS];
    _Atomic int64_t calls[STAGE_USERS];
    _Atomic uint64_t recorded;
    _Atomic uint64_t failed; /* answers of the library that were not 0 */
    atomic_bool stop;
    _Atomic uint64_t note[64]; /* for the test's own use */
};

struct stage {
    char dir[TEMPDIR_BYTES];
    char runtime[STAGE_PATH_BYTES];
    char ledger[STAGE_PATH_BYTES];
    char env[STAGE_ENV_MAX][2 * STAGE_PATH_BYTES];
    const char *env_list[STAGE_ENV_MAX + 1];
    struct redis_server server;
    bool redis;
    struct process collector;
    struct stage_truth *truth;
};

static inline void stage_env(struct stage *stage, const char *name, const char *value)
{
    int i = 0;

    while (stage->env_list[i] != NULL && strncmp(stage->env[i], name, strlen(name)) != 0)
        i++;
    assert_true(i < STAGE_ENV_MAX);
    (void)snprintf(stage->env[i], sizeof(stage->env[i]), "%s=%s", name, value);
    stage->env_list[i] = stage->env[i];
}

static inline int stage_set_up(void **state)
{
    struct stage *stage = calloc(1, sizeof(*stage));

    if (stage == NULL || tempdir_make(stage->dir) != 0)
        return -1;
    (void)snprintf(stage->runtime, sizeof(stage->runtime), "%s/run", stage->dir);
    (void)snprintf(stage->ledger, sizeof(stage->ledger), "%s/ledger.db", stage->dir);
    stage->truth = mmap(NULL, sizeof(*stage->truth), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mkdir(stage->runtime, 0700) != 0 || stage->truth == MAP_FAILED)
        return -1;
    stage_env(stage, "TOKENRING_RUNTIME_DIR", stage->runtime);
    stage_env(stage, "TOKENRING_SINK", "sqlite");
    stage_env(stage, "TOKENRING_LEDGER", stage->ledger);
    stage_env(stage, "TOKENRING_FLUSH_INTERVAL_MS", "50");
    stage_env(stage, "TOKENRING_WORKERS", "1");
    stage_env(stage, "TOKENRING_HTTP", "off"); /* the default port is one for all tests that run now */
    *state = stage;
    return 0;
}

static inline int stage_set_up_redis(void **state)
{
    struct stage *stage;

    if (stage_set_up(state) != 0)
        return -1;
    stage = *state;
    if (redis_server_start(&stage->server, NULL) != 0)
        return -1;
    stage->redis = true;
    stage_env(stage, "TOKENRING_SINK", "redis");
    stage_env(stage, "REDIS_SOCKET", stage->server.socket);
    return 0;
}

static inline int stage_tear_down(void **state)
{
    struct stage *stage = *state;

    atomic_store(&stage->truth->stop, true);
    process_end(&stage->collector);
    redis_server_stop(&stage->server);
    tempdir_remove(stage->dir);
    (void)munmap(stage->truth, sizeof(*stage->truth));
    free(stage);
    return 0;
}

/* A test with a stage of its own, in Redis, in a ledger, or once in each. */
#define IN_REDIS(test)                                                    \
    {                                                                     \
#test " (redis)", test, stage_set_up_redis, stage_tear_down, NULL \
    }
#define IN_LEDGER(test)                                              \
    {                                                                \
#test " (ledger)", test, stage_set_up, stage_tear_down, NULL \
    }
#define IN_BOTH(test) IN_REDIS(test), IN_LEDGER(test)

/* --- the collector --- */

static inline void stage_collector_start(struct stage *stage, const char *workers)
{
    const char *argv[] = {COLLECTOR, NULL};

    process_end(&stage->collector);
    stage_env(stage, "TOKENRING_WORKERS", workers);
    assert_int_equal(process_start(&stage->collector, argv, stage->env_list), 0);
    if (process_wait_text(&stage->collector, PROCESS_STDERR, "collecting in", STAGE_DEADLINE_MS) != 0)
        fail_msg("%s", process_text(&stage->collector, PROCESS_STDERR));
}

/* Ends it as an operator would. */
static inline void stage_collector_end(struct stage *stage, int exit_code)
{
    process_signal(&stage->collector, SIGTERM);
    assert_int_equal(process_wait(&stage->collector, STAGE_DEADLINE_MS), 0);
    if (process_exit_code(&stage->collector) != exit_code)
        fail_msg("exit status %d: %s", process_exit_code(&stage->collector), process_text(&stage->collector, PROCESS_STDERR));
}

static inline int stage_regions(const struct stage *stage)
{
    DIR *directory = opendir(stage->runtime);
    const struct dirent *item;
    int count = 0;

    assert_non_null(directory);
    while ((item = readdir(directory)) != NULL)
        count += strncmp(item->d_name, "region-", 7) == 0 || strncmp(item->d_name, ".region-", 8) == 0;
    (void)closedir(directory);
    return count;
}

/* Waits until the collector has folded all regions but so many. */
static inline void stage_wait_regions(const struct stage *stage, int left)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (stage_regions(stage) > left) {
        if (process_now_ms() > end)
            fail_msg("%d regions are left", stage_regions(stage));
        process_sleep_ms(5);
    }
}

/* --- producers --- */

/* Starts body as a process of its own, which the kernel kills when the test ends; its result is the exit status. */
static inline pid_t stage_fork(struct stage *stage, int (*body)(struct stage *stage, int number), int number)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(body(stage, number));
    }
    return child;
}

static inline int stage_exit_code(pid_t child)
{
    int status = -1;

    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline tkr_producer *stage_producer(const struct stage *stage)
{
    tkr_options options = TKR_OPTIONS_INIT;
    tkr_producer *producer = NULL;

    options.runtime_dir = stage->runtime;
    options.lane_bytes = 16384; /* lanes grow on the way */
    return tkr_open(&options, &producer) == TKR_OK ? producer : NULL;
}

/* Records a call of user number so and so and writes it down. */
static inline int stage_record(struct stage *stage, tkr_producer *producer, int user, int64_t prompt, int64_t completion)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;
    char id[16];
    int result;

    start.cycle = STAGE_CYCLE;
    start.account_count = 1;
    start.account[0].id = id;
    start.account[0].len = (uint32_t)snprintf(id, sizeof(id), "user-%02d", user);
    usage.prompt = prompt;
    usage.completion = completion;
    result = tkr_record(producer, &start, &usage);
    if (result != TKR_OK) {
        atomic_fetch_add(&stage->truth->failed, 1);
        return result;
    }
    atomic_fetch_add(&stage->truth->prompt[user], prompt);
    atomic_fetch_add(&stage->truth->completion[user], completion);
    atomic_fetch_add(&stage->truth->calls[user], 1);
    atomic_fetch_add(&stage->truth->recorded, 1);
    return 0;
}

/* --- what the sink has --- */

struct stage_row {
    uint64_t kind;
    char id[TKR_ID_BYTES_MAX];
    uint32_t id_len;
    tkr_counts counts;
};

struct stage_rows {
    struct stage_row row[16384];
    int count;
};

static inline int stage_keep_row(const struct tkr_usage_row *row, void *arg)
{
    struct stage_rows *rows = arg;
    struct stage_row *kept = &rows->row[rows->count];

    if (rows->count == (int)(sizeof(rows->row) / sizeof(rows->row[0])))
        return 1;
    kept->kind = row->kind;
    kept->id_len = row->id_len;
    memcpy(kept->id, row->id, row->id_len);
    kept->counts = row->counts;
    rows->count++;
    return 0;
}

/* The sink, as a command would open it; closed by the caller. */
static inline tkr_sink *stage_sink(const struct stage *stage)
{
    struct tkr_sink_config config = {.kind = TKR_SINK_SQLITE, .connect_timeout_ms = 5000, .command_timeout_ms = 5000};
    tkr_message message;
    tkr_sink *sink;

    (void)snprintf(config.ledger, sizeof(config.ledger), "%s", stage->ledger);
    if (stage->redis) {
        config.kind = TKR_SINK_REDIS;
        (void)snprintf(config.socket, sizeof(config.socket), "%s", stage->server.socket);
    }
    assert_int_equal(tkr_sink_open(&config, &sink, &message), 0);
    return sink;
}

/* Gives all that the sink has to the function. */
static inline void stage_read_each(const struct stage *stage, int (*each)(const struct tkr_usage_row *row, void *arg), void *arg)
{
    struct tkr_usage_query query = {.any_kind = 1};
    tkr_sink *sink = stage_sink(stage);
    tkr_message message = {""};

    if (sink->ops->read(sink, &query, each, arg, &message) != 0)
        fail_msg("%s", message.text);
    sink->ops->close(sink);
}

/* All that the sink has; freed by the caller. */
static inline struct stage_rows *stage_read(const struct stage *stage)
{
    struct stage_rows *rows = calloc(1, sizeof(*rows));

    assert_non_null(rows);
    stage_read_each(stage, stage_keep_row, rows);
    return rows;
}

static inline int stage_no_row(const struct tkr_usage_row *row, void *arg)
{
    (void)row;
    (void)arg;
    return 0;
}

/* Waits until there is a ledger that can be read: the collector makes it when it looks at its sink first. */
static inline void stage_wait_ledger(const struct stage *stage)
{
    struct tkr_usage_query query = {.any_kind = 1};
    long end = process_now_ms() + STAGE_DEADLINE_MS;
    tkr_message message = {""};
    tkr_sink *sink;

    if (stage->redis)
        return;
    sink = stage_sink(stage);
    while (sink->ops->read(sink, &query, stage_no_row, NULL, &message) != 0) {
        if (process_now_ms() > end)
            fail_msg("%s", message.text);
        process_sleep_ms(10);
    }
    sink->ops->close(sink);
}

/* Counters of an account; all 0 when the sink has none. */
static inline tkr_counts stage_counts(const struct stage_rows *rows, uint64_t kind, const char *id, uint32_t id_len)
{
    tkr_counts counts = {{0}};

    for (int i = 0; i < rows->count; i++) {
        if (rows->row[i].kind == kind && rows->row[i].id_len == id_len && memcmp(rows->row[i].id, id, id_len) == 0)
            counts = rows->row[i].counts;
    }
    return counts;
}

/* The sink has to the token what producers wrote down. */
static inline void stage_assert_exact(const struct stage *stage)
{
    struct stage_rows *rows = stage_read(stage);

    assert_int_equal(atomic_load(&stage->truth->failed), 0);
    for (int user = 0; user < STAGE_USERS; user++) {
        char id[16];
        int len = snprintf(id, sizeof(id), "user-%02d", user);
        tkr_counts counts = stage_counts(rows, TKR_KIND_USER, id, (uint32_t)len);
        int64_t prompt = atomic_load(&stage->truth->prompt[user]);
        int64_t completion = atomic_load(&stage->truth->completion[user]);
        if (counts.value[TKR_COUNTER_PROMPT] != prompt || counts.value[TKR_COUNTER_COMPLETION] != completion ||
            counts.value[TKR_COUNTER_TOTAL] != prompt + completion ||
            counts.value[TKR_COUNTER_CALLS] != atomic_load(&stage->truth->calls[user]))
            fail_msg("%s: prompt %lld of %lld, completion %lld of %lld, total %lld, calls %lld of %lld", id,
                     (long long)counts.value[TKR_COUNTER_PROMPT], (long long)prompt,
                     (long long)counts.value[TKR_COUNTER_COMPLETION], (long long)completion,
                     (long long)counts.value[TKR_COUNTER_TOTAL], (long long)counts.value[TKR_COUNTER_CALLS],
                     (long long)atomic_load(&stage->truth->calls[user]));
    }
    free(rows);
}

/* Law of all shards together, of regions that are gone. */
struct stage_law {
    uint64_t offered;
    uint64_t counted;
    uint64_t dropped;
    uint64_t settled;
    uint64_t regions;
};

/* The collector's folder; the caller closes it. */
static inline int stage_folder(const struct stage *stage)
{
    char path[2 * STAGE_PATH_BYTES];
    int folder;

    (void)snprintf(path, sizeof(path), "%s/collector", stage->runtime);
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(folder >= 0);
    return folder;
}

/* The law's numbers of a shard in the folder. false: there is none of this number. */
static inline bool stage_shard_law(int folder, uint32_t number, struct tkr_law *ret_law)
{
    struct tkr_reader *reader;
    tkr_message message = {""};

    if (tkr_reader_open(folder, number, &reader, &message) != 1)
        return false;
    assert_true(tkr_reader_law(reader, ret_law));
    tkr_reader_close(reader);
    return true;
}

/* The law's numbers of the first shard, which is there. */
static inline struct tkr_law stage_first_law(const struct stage *stage)
{
    int folder = stage_folder(stage);
    struct tkr_law law;

    assert_true(stage_shard_law(folder, 0, &law));
    (void)close(folder);
    return law;
}

static inline uint64_t stage_first_accounts(const struct stage *stage)
{
    struct tkr_law law = stage_first_law(stage);

    return law.accounts;
}

static inline struct stage_law stage_law(const struct stage *stage)
{
    struct stage_law sum = {0};
    int folder = stage_folder(stage);
    struct tkr_law law;

    for (uint32_t number = 0; stage_shard_law(folder, number, &law); number++) {
        sum.offered += law.gone_offered;
        sum.counted += law.gone_counted;
        sum.settled += law.gone_settled;
        sum.regions += law.gone_regions;
        for (int i = 0; i < TKR_DROP_MAX; i++)
            sum.dropped += law.gone_dropped[i];
    }
    (void)close(folder);
    return sum;
}

/* Nothing dropped, nothing lost, nothing doubled: of regions that are all gone. */
static inline void stage_assert_law(const struct stage *stage, uint64_t recorded)
{
    struct stage_law law = stage_law(stage);

    assert_int_equal(law.dropped, 0);
    assert_int_equal(law.offered, law.counted);
    assert_int_equal(law.counted, recorded);
}

#endif
