/* SPDX-License-Identifier: Apache-2.0 */
/* A producer with a start and a usage that it takes, and what shows that a refusal is counted once and changes nothing. */
#ifndef TESTS_UNIT_PRODUCER_REFUSALS_H
#define TESTS_UNIT_PRODUCER_REFUSALS_H

#include "unit/producer/fixture.h"

static tkr_producer *producer;
static tkr_start start;
static tkr_usage usage;

static inline int setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    producer = fixture_open_small();
    return 0;
}

static inline int teardown(void **state)
{
    tkr_close(producer);
    return fixture_teardown(state);
}

static inline void good(void)
{
    start = start_for("alice");
    usage = (tkr_usage)TKR_USAGE_INIT;
    usage.prompt = 5;
    usage.completion = 6;
}

static inline struct drained look(void)
{
    struct drained found;

    assert_true(drain_directory(fixture_dir, false, &found));
    return found;
}

/* One more refusal of this code, and nothing else is different. */
static inline void check_only_refused(const struct drained *before, int code, unsigned times, const char *what)
{
    struct drained after = look();

    for (int i = 0; i < TKR_REFUSED_MAX; i++) {
        uint64_t expected = before->refused[i] + (i == -code ? times : 0);
        if (after.refused[i] != expected)
            fail_msg("%s: refusals of code -%d: %u, not %u", what, i, (unsigned)after.refused[i], (unsigned)expected);
        after.refused[i] = before->refused[i];
    }
    if (memcmp(&after, before, sizeof(after)) != 0)
        fail_msg("%s: something else has changed", what);
}

#define REFUSED(code, expression)                                         \
    do {                                                                  \
        struct drained before = look();                                   \
        int result = (expression);                                        \
        if (result != (code))                                             \
            fail_msg("%s: %d, not %d", #expression, result, (int)(code)); \
        check_only_refused(&before, (code), 1, #expression);              \
    } while (0)

/* A start with one thing wrong, in each function that takes one. */
#define BAD_START(code, change)                                            \
    do {                                                                   \
        tkr_call call = 77;                                                \
        good();                                                            \
        change;                                                            \
        REFUSED(code, tkr_record(producer, &start, &usage));               \
        REFUSED(code, tkr_call_begin(producer, &start, &call));            \
        assert_true(call == 77);                                           \
        REFUSED(code, tkr_record_many(producer, &start, &usage, 1, NULL)); \
    } while (0)

/* A usage with one thing wrong, for a record and for the end of a call, which then is still open. */
#define BAD_USAGE(code, change)                                            \
    do {                                                                   \
        tkr_call call = 0;                                                 \
        good();                                                            \
        assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK); \
        change;                                                            \
        REFUSED(code, tkr_record(producer, &start, &usage));               \
        REFUSED(code, tkr_call_end(producer, call, &usage));               \
        good();                                                            \
        assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);    \
    } while (0)

#define PRODUCER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
