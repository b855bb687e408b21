/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and lives: what a collector has lost when it comes back, its memory, its name, both or the time, and what that does to the
 * totals: nothing. Each with Redis and with the ledger.
 */
#include <jansson.h>
#include <time.h>

#include "integration/collector_stage.h"
#include "region/layout.h"

#define CALLS_EACH 10
#define SETTLE_MS PROCESS_PATIENCE_MS
#define DAY_NS (UINT64_C(86400) * 1000000000)

static int set_up_ledger(void **state)
{
    struct stage *stage;

    if (stage_set_up(state) != 0)
        return -1;
    stage = *state;
    stage_env(stage, "TOKENRING_STATE_DIR", stage->dir); /* the name lies beside the runtime directory */
    return 0;
}

static int set_up_redis(void **state)
{
    struct stage *stage;

    if (stage_set_up_redis(state) != 0)
        return -1;
    stage = *state;
    stage_env(stage, "TOKENRING_STATE_DIR", stage->dir);
    return 0;
}

/* --- calls --- */

static int record_each(struct stage *stage, int prompt)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL)
        return 1;
    for (int i = 0; i < CALLS_EACH * STAGE_USERS; i++) {
        if (stage_record(stage, producer, i % STAGE_USERS, prompt, 1 + i % STAGE_USERS) != TKR_OK)
            return 2;
    }
    if (tkr_sync(producer, SETTLE_MS) != TKR_OK)
        return 3;
    tkr_close(producer);
    return 0;
}

/* Every user makes some calls of so many tokens; all of them are counted. */
static void record(struct stage *stage, int prompt)
{
    assert_int_equal(stage_exit_code(stage_fork(stage, record_each, prompt)), 0);
}

/* The same as nobody will count, which is why they are not written down either: their process dies with them in its region. */
static int record_in_vain(struct stage *stage, int prompt)
{
    tkr_producer *producer = stage_producer(stage);
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;

    if (producer == NULL)
        return 1;
    start.cycle = STAGE_CYCLE;
    start.account_count = 1;
    start.account[0] = (tkr_account){.id = "user-07", .len = 7};
    usage.prompt = prompt;
    for (int i = 0; i < 5; i++) {
        if (tkr_record(producer, &start, &usage) != TKR_OK)
            return 2;
    }
    return 0;
}

/* --- the host --- */

/* Runs a line of the shell in the stage's directory, in which are run/, name and, with SQLite, the ledger. */
static void shell(const struct stage *stage, const char *line)
{
    char command[512];

    (void)snprintf(command, sizeof(command), "cd %s && %s", stage->dir, line);
    assert_int_equal(system(command), 0); /* NOLINT: fixed lines in a directory of our own */
}

/* Writes over a part of a file in the runtime directory, while nobody runs. */
static void patch(const struct stage *stage, const char *file, size_t offset, const void *bytes, size_t count)
{
    char path[STAGE_PATH_BYTES + 256];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", stage->runtime, file);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, count, (off_t)offset), (ssize_t)count);
    (void)close(fd);
}

/* The host was booted: what is left over in memory, against all expectation, is of another boot. */
static void boot_again(const struct stage *stage)
{
    static const uint8_t other[TKR_BOOT_ID_BYTES] = {1, 2, 3};
    DIR *directory = opendir(stage->runtime);
    const struct dirent *item;

    assert_non_null(directory);
    while ((item = readdir(directory)) != NULL) {
        if (strncmp(item->d_name, TKR_REGION_PREFIX, strlen(TKR_REGION_PREFIX)) == 0)
            patch(stage, item->d_name, offsetof(struct tkr_region_header, boot_id), other, sizeof(other));
    }
    (void)closedir(directory);
    patch(stage, "collector/shard-0", offsetof(struct tkr_shard_header, boot_id), other, sizeof(other));
}

/* What `tokenring stat --json` says of the first shard; freed by the caller. */
static json_t *stat_shard(struct stage *stage)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "stat", "--json", NULL};
    struct process process;
    json_t *answer;
    json_t *shard;

    assert_int_equal(process_run(&process, argv, stage->env_list, SETTLE_MS), 0);
    answer = json_loads(process_text(&process, PROCESS_STDOUT), 0, NULL);
    if (answer == NULL || process_exit_code(&process) != 0)
        fail_msg("stat: %s%s", process_text(&process, PROCESS_STDOUT), process_text(&process, PROCESS_STDERR));
    shard = json_incref(json_array_get(json_object_get(answer, "shards"), 0));
    json_decref(answer);
    process_end(&process);
    return shard;
}

static json_int_t stat_number(struct stage *stage, const char *key)
{
    json_t *shard = stat_shard(stage);
    json_int_t number = json_integer_value(json_object_get(shard, key));

    json_decref(shard);
    return number;
}

struct name {
    char source[TKR_SOURCE_BYTES];
};

static struct name name_of(struct stage *stage)
{
    json_t *shard = stat_shard(stage);
    struct name name = {""};

    (void)snprintf(name.source, sizeof(name.source), "%s", json_string_value(json_object_get(shard, "source")));
    json_decref(shard);
    return name;
}

static void wait_said(struct stage *stage, const char *text)
{
    if (process_wait_text(&stage->collector, PROCESS_STDERR, text, SETTLE_MS) != 0)
        fail_msg("the collector does not say \"%s\": %s", text, process_text(&stage->collector, PROCESS_STDERR));
}

/* A collector's whole life in which every user makes calls. */
static struct name live(struct stage *stage, int prompt)
{
    struct name name;

    stage_collector_start(stage, "1");
    record(stage, prompt);
    name = name_of(stage);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    return name;
}

/* How many sources have a record of a user in Redis; with the ledger there is nothing to look at from here. */
static void assert_sources(const struct stage *stage, int sources)
{
    redisReply *reply;

    if (!stage->redis)
        return;
    reply = redis_server_command(&stage->server, "HLEN tr1:{0}:user-03:2026-11-01");
    assert_non_null(reply);
    assert_int_equal(reply->integer, sources);
    freeReplyObject(reply);
}

/* --- what is lost --- */

static void test_reboot_sets_tables_aside_keeps_the_name_and_is_exact(void **state)
{
    struct stage *stage = *state;
    struct name name = live(stage, 5);
    int left;

    assert_int_equal(stage_exit_code(stage_fork(stage, record_in_vain, 1000)), 0);
    boot_again(stage);
    left = stage_regions(stage);
    assert_true(left >= 1);
    stage_collector_start(stage, "1");
    wait_said(stage, "of another boot");
    record(stage, 7);
    assert_string_equal(name_of(stage).source, name.source);
    stage_wait_regions(stage, left);
    assert_int_equal(stage_regions(stage), left); /* of another boot: never read, never removed */
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    assert_sources(stage, 1);
    assert_string_equal(live(stage, 9).source, name.source);
}

static void test_memory_lost_and_the_name_kept_is_exact(void **state)
{
    struct stage *stage = *state;
    struct name name = live(stage, 5);

    for (int i = 0; i < 3; i++) {
        shell(stage, "rm -rf run/*");
        assert_string_equal(live(stage, 6 + i).source, name.source);
        assert_sources(stage, 1); /* a newer life in the place of the older one */
    }
}

static void test_name_lost_and_the_memory_kept_is_exact(void **state)
{
    struct stage *stage = *state;
    struct name name = live(stage, 5);

    shell(stage, "rm name");
    assert_string_equal(live(stage, 7).source, name.source); /* tables keep the name that they were made with */
    assert_sources(stage, 1);
}

static void test_name_and_memory_lost_is_exact_under_a_new_name(void **state)
{
    struct stage *stage = *state;
    struct name name = live(stage, 5);

    shell(stage, "rm -rf run/* name");
    assert_string_not_equal(live(stage, 7).source, name.source);
    assert_sources(stage, 2);
}

/* --- what is found --- */

/* The table was put back as it had been some time ago: it counts on from there, below what the sink has. */
static void test_older_table_put_back_subtracts_nothing_and_is_exact(void **state)
{
    struct stage *stage = *state;

    (void)live(stage, 5);
    shell(stage, "cp run/collector/shard-0 older");
    (void)live(stage, 700);
    shell(stage, "cat older > run/collector/shard-0"); /* the same file, so that it is no copy */
    stage_collector_start(stage, "1");
    record(stage, 3); /* less than was forgotten */
    wait_said(stage, "ahead of this collector");
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    (void)live(stage, 11); /* and goes on */
    assert_sources(stage, 1);
}

/* The clock was a day ahead in the life before, and its memory is gone: lives given now are lower than those recorded. */
static void test_clock_that_stepped_back_between_lives_is_exact(void **state)
{
    struct stage *stage = *state;
    struct timespec now;
    uint64_t life;

    stage_collector_start(stage, "1");
    stage_collector_end(stage, 0);
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    life = (uint64_t)now.tv_sec * UINT64_C(1000000000) + DAY_NS;
    patch(stage, "collector/shard-0", offsetof(struct tkr_shard_header, law) + offsetof(struct tkr_law, life_last), &life,
          sizeof(life));
    (void)live(stage, 5);
    shell(stage, "rm -rf run/*");
    stage_collector_start(stage, "1");
    record(stage, 7);
    wait_said(stage, "ahead of this collector");
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    (void)live(stage, 9);
    assert_sources(stage, 1);
}

/* --- forgetting --- */

enum { BEGUN, FORGOTTEN };

/* Begins a call, and ends it when it has been told that its account is forgotten. */
static int call_that_lasts(struct stage *stage, int user)
{
    tkr_producer *producer = stage_producer(stage);
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;
    char id[16];
    tkr_call call;

    start.cycle = STAGE_CYCLE;
    start.account_count = 1;
    start.account[0].id = id;
    start.account[0].len = (uint32_t)snprintf(id, sizeof(id), "user-%02d", user);
    if (producer == NULL || tkr_call_begin(producer, &start, &call) != TKR_OK)
        return 1;
    atomic_store(&stage->truth->note[BEGUN], 1);
    while (atomic_load(&stage->truth->note[FORGOTTEN]) == 0)
        process_sleep_ms(1);
    usage.prompt = 41;
    usage.completion = 1;
    if (tkr_call_end(producer, call, &usage) != TKR_OK || tkr_sync(producer, SETTLE_MS) != TKR_OK)
        return 2;
    atomic_fetch_add(&stage->truth->prompt[user], 41);
    atomic_fetch_add(&stage->truth->completion[user], 1);
    atomic_fetch_add(&stage->truth->calls[user], 1);
    tkr_close(producer);
    return 0;
}

static void wait_accounts(struct stage *stage, json_int_t count)
{
    long end = process_now_ms() + SETTLE_MS;

    while (stat_number(stage, "accounts") != count) {
        if (process_now_ms() > end)
            fail_msg("%lld accounts", (long long)stat_number(stage, "accounts"));
        process_sleep_ms(20);
    }
}

static void wait_records_gone(struct stage *stage)
{
    long end = process_now_ms() + SETTLE_MS;
    size_t keys = 1 + (size_t)stage->redis;

    while (stage->redis && keys > 1) {
        redisReply *reply = redis_server_command(&stage->server, "KEYS tr1:*");
        assert_non_null(reply);
        keys = reply->elements; /* `seen` stays */
        freeReplyObject(reply);
        if (process_now_ms() > end)
            fail_msg("%zu keys are left", keys);
        process_sleep_ms(20);
    }
}

static void test_late_end_of_a_call_whose_account_was_forgotten_is_exact(void **state)
{
    struct stage *stage = *state;
    pid_t child;

    stage_env(stage, "TOKENRING_FORGET_AFTER_S", "1");
    stage_collector_start(stage, "1");
    child = stage_fork(stage, call_that_lasts, 3);
    while (atomic_load(&stage->truth->note[BEGUN]) == 0)
        process_sleep_ms(1);
    record(stage, 5);
    wait_accounts(stage, 0);
    wait_records_gone(stage);
    stage_env(stage, "TOKENRING_FORGET_AFTER_S", "0");
    stage_collector_end(stage, 0);
    stage_collector_start(stage, "1");
    atomic_store(&stage->truth->note[FORGOTTEN], 1);
    assert_int_equal(stage_exit_code(child), 0);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    assert_sources(stage, 1); /* as a life of its own */
}

/* --- a table at its maximum --- */

#define ROOM 1000
#define STRANGERS 1500

struct sums {
    int64_t all;
    int64_t overflow;
    int rows;
};

static int add_row(const struct tkr_usage_row *row, void *arg)
{
    struct sums *sums = arg;
    bool overflow = row->id_len == strlen(TKR_OVERFLOW_ID) && memcmp(row->id, TKR_OVERFLOW_ID, row->id_len) == 0;

    sums->all += row->counts.value[TKR_COUNTER_CALLS];
    sums->overflow += overflow ? row->counts.value[TKR_COUNTER_CALLS] : 0;
    sums->rows++;
    return 0;
}

static struct sums sum_up(const struct stage *stage)
{
    struct sums sums = {0};

    stage_read_each(stage, add_row, &sums);
    return sums;
}

static int record_strangers(struct stage *stage, int first)
{
    tkr_options options = TKR_OPTIONS_INIT;
    tkr_producer *producer;

    options.runtime_dir = stage->runtime;
    options.lane_bytes = 1u << 20; /* one lane: who is recorded first is counted first, and finds room */
    if (tkr_open(&options, &producer) != TKR_OK)
        return 1;
    for (int i = first; i < STRANGERS; i++) {
        tkr_start start = TKR_START_INIT;
        tkr_usage usage = TKR_USAGE_INIT;
        char id[32];
        start.cycle = STAGE_CYCLE;
        start.account_count = 1;
        start.account[0].id = id;
        start.account[0].len = (uint32_t)snprintf(id, sizeof(id), "stranger-%d", i);
        usage.prompt = 1;
        if (tkr_record(producer, &start, &usage) != TKR_OK)
            return 2;
    }
    if (tkr_sync(producer, SETTLE_MS) != TKR_OK)
        return 3;
    tkr_close(producer);
    return 0;
}

static void assert_stat_says(struct stage *stage, const char *text)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "stat", NULL};
    struct process process;

    assert_int_equal(process_run(&process, argv, stage->env_list, SETTLE_MS), 0);
    if (strstr(process_text(&process, PROCESS_STDOUT), text) == NULL)
        fail_msg("stat does not say \"%s\": %s", text, process_text(&process, PROCESS_STDOUT));
    process_end(&process);
}

static void test_full_table_charges_overflow_says_so_and_recovers_when_some_are_forgotten(void **state)
{
    struct stage *stage = *state;
    struct sums sums;

    stage_env(stage, "TOKENRING_MAX_ACCOUNTS", "1000");
    stage_env(stage, "TOKENRING_FORGET_AFTER_S", "0");
    stage_collector_start(stage, "1");
    assert_int_equal(stage_exit_code(stage_fork(stage, record_strangers, 0)), 0);
    wait_said(stage, "charged to the account ~overflow");
    assert_int_equal(stat_number(stage, "overflow_charges"), STRANGERS - ROOM);
    assert_stat_says(stage, "shard 0: 500 charges went to the account ~overflow");
    stage_collector_end(stage, 0);
    sums = sum_up(stage);
    assert_int_equal(sums.all, STRANGERS);
    assert_int_equal(sums.overflow, STRANGERS - ROOM);
    assert_int_equal(sums.rows, ROOM + 1);

    stage_env(stage, "TOKENRING_FORGET_AFTER_S", "1");
    stage_collector_start(stage, "1");
    wait_accounts(stage, 0);
    assert_int_equal(stage_exit_code(stage_fork(stage, record_strangers, ROOM)), 0); /* those who found no room */
    assert_int_equal(stat_number(stage, "overflow_charges"), STRANGERS - ROOM);
    stage_collector_end(stage, 0);
    sums = sum_up(stage);
    assert_int_equal(sums.all, STRANGERS + STRANGERS - ROOM);
    assert_int_equal(sums.overflow, STRANGERS - ROOM);
    assert_int_equal(sums.rows, STRANGERS + 1);
}

#define LIVES_TESTS(set_up)                                                                                                     \
    cmocka_unit_test_setup_teardown(test_reboot_sets_tables_aside_keeps_the_name_and_is_exact, set_up, stage_tear_down),        \
        cmocka_unit_test_setup_teardown(test_memory_lost_and_the_name_kept_is_exact, set_up, stage_tear_down),                  \
        cmocka_unit_test_setup_teardown(test_name_lost_and_the_memory_kept_is_exact, set_up, stage_tear_down),                  \
        cmocka_unit_test_setup_teardown(test_name_and_memory_lost_is_exact_under_a_new_name, set_up, stage_tear_down),          \
        cmocka_unit_test_setup_teardown(test_older_table_put_back_subtracts_nothing_and_is_exact, set_up, stage_tear_down),     \
        cmocka_unit_test_setup_teardown(test_clock_that_stepped_back_between_lives_is_exact, set_up, stage_tear_down),          \
        cmocka_unit_test_setup_teardown(test_late_end_of_a_call_whose_account_was_forgotten_is_exact, set_up, stage_tear_down), \
        cmocka_unit_test_setup_teardown(test_full_table_charges_overflow_says_so_and_recovers_when_some_are_forgotten, set_up,  \
                                        stage_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {LIVES_TESTS(set_up_redis), LIVES_TESTS(set_up_ledger)};

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
