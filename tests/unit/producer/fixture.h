/* SPDX-License-Identifier: Apache-2.0 */
/* A runtime directory per test, a producer in it, and calls whose sums are known. */
#ifndef TESTS_UNIT_PRODUCER_FIXTURE_H
#define TESTS_UNIT_PRODUCER_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/tempdir.h"
#include "support/test.h"
#include "tokenring/tokenring.h"
#include "unit/producer/drain.h"

#define CYCLE 20240101u

static char fixture_dir[TEMPDIR_BYTES];

static inline int fixture_setup(void **state)
{
    (void)state;
    return tempdir_make(fixture_dir);
}

static inline int fixture_teardown(void **state)
{
    (void)state;
    tempdir_remove(fixture_dir);
    return 0;
}

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

static inline tkr_options fixture_options(void)
{
    tkr_options options = TKR_OPTIONS_INIT;

    options.runtime_dir = fixture_dir;
    return options;
}

static inline tkr_producer *fixture_open(uint32_t lane_bytes, uint64_t region_bytes_max, uint32_t max_open_calls)
{
    tkr_options options = fixture_options();
    tkr_producer *producer = NULL;

    options.lane_bytes = lane_bytes;
    options.region_bytes_max = region_bytes_max;
    options.max_open_calls = max_open_calls;
    assert_int_equal(tkr_open(&options, &producer), TKR_OK);
    assert_non_null(producer);
    return producer;
}

/*
 * For tests that fork: memcheck looks for leaks at each child's end, word by word through the mappings that the child
 * does not have, a fault each. So regions are small there, and children fewer.
 */
#define SMALL_BUDGET (512u << 10)

static inline tkr_producer *fixture_open_small(void)
{
    return fixture_open(16384, SMALL_BUDGET, 16);
}

static inline bool fixture_under_memcheck(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

static inline int fixture_children(int count)
{
    return fixture_under_memcheck() ? (count + 9) / 10 : count;
}

/* What a thread or a process did, to be compared with what was drained. */
struct done {
    uint64_t recorded;
    uint64_t full;     /* answered with TKR_EFULL */
    uint64_t no_space; /* answered with TKR_ENOSPC */
    uint64_t failed;   /* answered with anything else */
    int64_t prompt;
    uint64_t mix;
};

static inline void done_add(struct done *sum, const struct done *one)
{
    sum->recorded += one->recorded;
    sum->full += one->full;
    sum->no_space += one->no_space;
    sum->failed += one->failed;
    sum->prompt += one->prompt;
    sum->mix += one->mix;
}

/* The answer to a record of prompt tokens for the account. */
static inline void done_note(struct done *done, int result, const char *id, int64_t prompt)
{
    if (result == TKR_OK) {
        done->recorded++;
        done->prompt += prompt;
        done->mix += drain_mix(id, (uint32_t)strlen(id), prompt);
    } else if (result == TKR_EFULL) {
        done->full++;
    } else if (result == TKR_ENOSPC) {
        done->no_space++;
    } else {
        done->failed++;
    }
}

static inline tkr_start start_for(const char *id)
{
    tkr_start start = TKR_START_INIT;

    start.account_count = 1;
    start.account[0] = (tkr_account){.id = id, .len = (uint32_t)strlen(id)};
    start.cycle = CYCLE;
    return start;
}

static inline int record_one(tkr_producer *producer, const char *id, int64_t prompt)
{
    tkr_start start = start_for(id);
    tkr_usage usage = TKR_USAGE_INIT;

    usage.prompt = prompt;
    return tkr_record(producer, &start, &usage);
}

/* Records count calls of an account made from prefix and a number. */
static inline void record_some(tkr_producer *producer, unsigned prefix, unsigned count, struct done *done)
{
    char id[32];

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(id, sizeof(id), "user-%u-%u", prefix, i % 7);
        done_note(done, record_one(producer, id, 1 + i % 1000), id, 1 + i % 1000);
    }
}

/* All that was recorded was found, nothing else, and drops by their causes. */
static inline void assert_drained(const struct drained *found, const struct done *done)
{
    assert_int_equal(done->failed, 0);
    assert_int_equal(found->frames, done->recorded);
    assert_true(found->counts.value[TKR_COUNTER_PROMPT] == done->prompt);
    assert_true(found->mix == done->mix);
    assert_int_equal(found->dropped[TKR_DROP_LANES_FULL], done->full);
    assert_int_equal(found->dropped[TKR_DROP_NO_SPACE], done->no_space);
    assert_int_equal(found->dropped[TKR_DROP_CORRUPT], 0);
}

static inline tkr_stat stat_of(tkr_producer *producer)
{
    tkr_stat stat = TKR_STAT_INIT;

    assert_int_equal(tkr_stat_read(producer, &stat), TKR_OK);
    return stat;
}

#endif
