/* SPDX-License-Identifier: Apache-2.0 */
/* Producers of the stage that record some calls or until they are told to stop, and what must hold when all have ended. */
#ifndef TESTS_INTEGRATION_STAGE_CALLS_H
#define TESTS_INTEGRATION_STAGE_CALLS_H

#include "integration/collector_stage.h"
#include "support/light.h"

#define STAGE_CALLS 200

static inline int stage_record_some(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL)
        return 1;
    for (int i = 0; i < STAGE_CALLS; i++) {
        if (stage_record(stage, producer, (number + i) % STAGE_USERS, 100 + i, number) != TKR_OK)
            return 2;
    }
    tkr_close(producer);
    return 0;
}

/* Records so many calls and waits until the collector has counted them. Returns an exit status. */
static inline int stage_record_and_sync(struct stage *stage, int calls, int number, uint32_t timeout_ms)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL)
        return 1;
    for (int i = 0; i < calls; i++) {
        if (stage_record(stage, producer, i % STAGE_USERS, 1 + i % 700, number + i % 300) != TKR_OK)
            return 2;
    }
    if (tkr_sync(producer, timeout_ms) != TKR_OK)
        return 3;
    tkr_close(producer);
    return 0;
}

/* Records until it is told to stop. */
static inline int stage_record_on(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL)
        return 1;
    for (int i = 0; !atomic_load(&stage->truth->stop); i++) {
        if (stage_record(stage, producer, (number + i) % STAGE_USERS, 1 + i % 1000, number) != TKR_OK)
            return 2;
        if (i % (TEST_COLLECTOR_IS_SLOW ? 2 : 20) == 0)
            process_sleep_ms(1);
    }
    tkr_close(producer);
    return 0;
}

/* Waits until producers have recorded so many in all. */
static inline void stage_wait_recorded(const struct stage *stage, uint64_t count)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (atomic_load(&stage->truth->recorded) < count) {
        assert_true(process_now_ms() < end);
        process_sleep_ms(1);
    }
}

static inline void stage_assert_all_gone_and_exact(struct stage *stage)
{
    stage_wait_regions(stage, 0);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    stage_assert_law(stage, atomic_load(&stage->truth->recorded));
}

/* How many users' totals in the sink are not what producers wrote down. */
static inline int stage_inexact(const struct stage *stage)
{
    struct stage_rows *rows = stage_read(stage);
    int count = 0;

    for (int user = 0; user < STAGE_USERS; user++) {
        char id[16];
        int len = snprintf(id, sizeof(id), "user-%02d", user);
        tkr_counts counts = stage_counts(rows, TKR_KIND_USER, id, (uint32_t)len);
        count += counts.value[TKR_COUNTER_PROMPT] != atomic_load(&stage->truth->prompt[user]) ||
                 counts.value[TKR_COUNTER_COMPLETION] != atomic_load(&stage->truth->completion[user]) ||
                 counts.value[TKR_COUNTER_CALLS] != atomic_load(&stage->truth->calls[user]);
    }
    free(rows);
    return count;
}

/* Waits until there is none. */
static inline void stage_wait_exact(const struct stage *stage, long timeout_ms)
{
    long end = process_now_ms() + timeout_ms;

    stage_wait_ledger(stage);
    while (stage_inexact(stage) > 0) {
        if (process_now_ms() > end)
            fail_msg("%d users are not exact: %s", stage_inexact(stage),
                     process_text((struct process *)&stage->collector, PROCESS_STDERR));
        process_sleep_ms(20);
    }
}

#endif
