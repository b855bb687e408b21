/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many accounts for tests of the collector: recorded by a rule instead of being written down, so that what each must have in the
 * sink follows from its number and how often it was called.
 */
#ifndef TESTS_INTEGRATION_CROWD_H
#define TESTS_INTEGRATION_CROWD_H

#include "collector/balance.h"
#include "integration/collector_stage.h"
#include "region/guard.h"
#include "support/procfs.h"

/* What a child of crowd_record does: `rounds` calls of each of `count` accounts from `first` on. Set it, then fork. */
struct crowd_plan {
    int first;
    int count;
    int rounds;
    uint32_t cycle;
    uint64_t together; /* producers that wait for each other once they have opened, by truth->note[0]; 0: none */
};
static struct crowd_plan crowd_plan;

static inline int64_t crowd_prompt(int account)
{
    return 1 + account % 7;
}

static inline int crowd_call(tkr_producer *producer, int account)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;
    char id[24];

    start.cycle = crowd_plan.cycle;
    start.account_count = 1;
    start.account[0].id = id;
    start.account[0].len = (uint32_t)snprintf(id, sizeof(id), "account-%06d", account);
    usage.prompt = crowd_prompt(account);
    return tkr_record(producer, &start, &usage);
}

/* A producer's process (for stage_fork): the plan, with the accounts of the next `count` for each number. */
static inline int crowd_record(struct stage *stage, int number)
{
    int first = crowd_plan.first + number * crowd_plan.count;
    tkr_options options = TKR_OPTIONS_INIT;
    tkr_producer *producer;

    options.runtime_dir = stage->runtime;
    if (tkr_open(&options, &producer) != TKR_OK)
        return 1;
    atomic_fetch_add(&stage->truth->note[0], 1);
    while (atomic_load(&stage->truth->note[0]) < crowd_plan.together)
        process_sleep_ms(1);
    for (int round = 0; round < crowd_plan.rounds; round++) {
        for (int i = 0; i < crowd_plan.count; i++) {
            if (crowd_call(producer, first + i) != TKR_OK)
                return 2;
        }
    }
    if (tkr_sync(producer, STAGE_DEADLINE_MS) != TKR_OK)
        return 3;
    tkr_close(producer);
    return 0;
}

/* --- what the collector has --- */

struct crowd_memory {
    uint64_t accounts;
    uint64_t arena_bytes; /* used by entries, also of those forgotten */
    uint64_t unflushed;
    long file_bytes; /* memory of the shards' files */
};

static inline struct crowd_memory crowd_memory(const struct stage *stage)
{
    struct crowd_memory sum = {0};
    int folder = stage_folder(stage);
    struct tkr_law law;

    for (uint32_t number = 0; stage_shard_law(folder, number, &law); number++) {
        struct stat status;
        char name[16];
        sum.accounts += law.accounts;
        sum.arena_bytes += law.arena_used;
        (void)snprintf(name, sizeof(name), "shard-%u", number);
        assert_int_equal(fstatat(folder, name, &status, 0), 0);
        sum.file_bytes += (long)status.st_blocks * 512;
    }
    (void)close(folder);
    return sum;
}

/* Waits until no more than so many accounts are in the collector's memory. */
static inline void crowd_wait_forgotten(const struct stage *stage, uint64_t left)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (crowd_memory(stage).accounts > left) {
        if (process_now_ms() > end)
            fail_msg("%llu accounts in memory", (unsigned long long)crowd_memory(stage).accounts);
        process_sleep_ms(10);
    }
}

/* Waits until the sink has all. */
static inline void crowd_wait_flushed(const struct stage *stage)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;
    struct tkr_host_balance balance;
    tkr_message message = {""};
    uint64_t unflushed;

    assert_true(tkr_guard_install());
    do {
        unflushed = 0;
        assert_true(process_now_ms() < end);
        process_sleep_ms(10);
        if (tkr_balance_read(stage->runtime, &balance, &message) != 0)
            fail_msg("%s", message.text);
        for (uint32_t i = 0; i < balance.shard_count; i++)
            unflushed += balance.shard[i].unflushed;
        tkr_balance_free(&balance);
    } while (unflushed > 0);
}

/* --- what the sink has --- */

struct crowd_check {
    int64_t calls; /* that each account and cycle must have */
    long rows;
    long wrong;
};

static inline int crowd_check_row(const struct tkr_usage_row *row, void *arg)
{
    struct crowd_check *check = arg;
    char id[TKR_ID_BYTES_MAX + 1] = "";
    int64_t prompt;

    memcpy(id, row->id, row->id_len);
    prompt = check->calls * crowd_prompt((int)strtol(id + sizeof("account-") - 1, NULL, 10));
    check->rows++;
    check->wrong += row->counts.value[TKR_COUNTER_CALLS] != check->calls || row->counts.value[TKR_COUNTER_PROMPT] != prompt ||
                    row->counts.value[TKR_COUNTER_TOTAL] != prompt;
    return 0;
}

/* The sink has so many (account, cycle), each with so many calls and their tokens, and nothing else. */
static inline void crowd_assert_exact(const struct stage *stage, long rows, int64_t calls)
{
    struct crowd_check check = {.calls = calls};

    stage_read_each(stage, crowd_check_row, &check);
    if (check.rows != rows || check.wrong != 0)
        fail_msg("%ld rows of %ld, %ld of them wrong", check.rows, rows, check.wrong);
}

#endif
