/* SPDX-License-Identifier: Apache-2.0 */
/* Billing cycles: dates, their texts, the cycle of a moment and the moments of a cycle. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/cycle.h"
#include "support/light.h"
#include "support/random.h"
#include "support/test.h"
#include "tokenring/tokenring.h"

#define DAY_S INT64_C(86400)
#define TIME_END_NS INT64_C(9214646400000000000) /* 2262-01-01 */

static int64_t at(int year, unsigned month, unsigned day, int64_t second)
{
    return (tkr_days_from_civil(year, month, day) * DAY_S + second) * TKR_NS_PER_S;
}

static void test_days_from_civil_agrees_with_timegm(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    assert_int_equal(tkr_days_from_civil(1970, 1, 1), 0);
    assert_int_equal(tkr_days_from_civil(1969, 12, 31), -1);
    assert_int_equal(tkr_days_from_civil(2000, 3, 1), 11017);
    for (int i = 0; i < 20000; i++) {
        time_t t = (time_t)(test_random_below(&random, 9214646400) / 86400 * 86400);
        struct tm tm;
        assert_non_null(gmtime_r(&t, &tm));
        assert_int_equal(tkr_days_from_civil(tm.tm_year + 1900, (unsigned)tm.tm_mon + 1, (unsigned)tm.tm_mday) * DAY_S, t);
    }
}

static void test_cycle_valid_is_exactly_the_real_dates(void **state)
{
    static const uint32_t bad[] = {0,        1,        19691231, 22620101, 99991231, 20240230, 20240231,
                                   20230229, 21000229, 19000101, 20240001, 20241301, 20240100, 20240132,
                                   20240431, 20240631, 20240931, 20241131, 202401,   2024010,  UINT32_MAX};
    static const uint32_t good[] = {19700101, 22611231, 20240229, 20000229, 20240131, 20241231, 20240430};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(tkr_cycle_valid(bad[i]));
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(tkr_cycle_valid(good[i]));
}

/* Walks all days from 1970 to 2261 and all numbers between them. */
static void test_cycle_valid_accepts_every_day_and_nothing_between(void **state)
{
    uint32_t next = 19700101;

    (void)state;
    for (time_t t = 0; t < (time_t)(TIME_END_NS / TKR_NS_PER_S); t += 86400) {
        struct tm tm;
        uint32_t day;
        assert_non_null(gmtime_r(&t, &tm));
        day = (uint32_t)(tm.tm_year + 1900) * 10000 + (uint32_t)(tm.tm_mon + 1) * 100 + (uint32_t)tm.tm_mday;
        for (; next < day; next++) {
            if (tkr_cycle_valid(next))
                fail_msg("%u is no date", next);
        }
        if (!tkr_cycle_valid(day))
            fail_msg("%u is a date", day);
        next = day + 1;
    }
}

static void test_cycle_text_comes_back(void **state)
{
    static const uint32_t cycles[] = {19700101, 22611231, 20240229, 20241231};
    static const char *const texts[] = {"1970-01-01", "2261-12-31", "2024-02-29", "2024-12-31"};
    char text[TKR_CYCLE_TEXT_BYTES];
    uint32_t cycle = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(cycles) / sizeof(cycles[0]); i++) {
        tkr_cycle_format(cycles[i], text);
        assert_string_equal(text, texts[i]);
        assert_true(tkr_cycle_parse(text, &cycle));
        assert_int_equal(cycle, cycles[i]);
    }
}

/* Any number, as a stranger's bytes may hold it, makes a text that ends. */
static void test_cycle_format_of_any_number_ends_in_time(void **state)
{
    static const uint32_t cycles[] = {0, 99999999, 100000000, UINT32_MAX};
    char text[TKR_CYCLE_TEXT_BYTES + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(cycles) / sizeof(cycles[0]); i++) {
        memset(text, 'x', sizeof(text));
        tkr_cycle_format(cycles[i], text);
        assert_true(memchr(text, '\0', TKR_CYCLE_TEXT_BYTES) != NULL);
        assert_int_equal(text[TKR_CYCLE_TEXT_BYTES], 'x');
    }
}

static void test_cycle_parse_bad_texts_are_refused(void **state)
{
    static const char *const texts[] = {
        "",           "2",          "2024",       "2024-",      "2024-0",      "2024-02",     "2024-02-",     "2024-02-0",
        "2024-02-30", "2024-2-03",  "20240203",   "2024/02/03", "2024-02-03 ", " 2024-02-03", "2024-02-03\n", "+024-02-03",
        "-024-02-03", "2024-13-01", "2024-00-10", "2024-01-00", "1969-12-31",  "2262-01-01",  "2024-02-031",  "2O24-02-03",
        "2024_02_03", "2023-02-29"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *exact = strdup(texts[i]); /* its exact size: reading beyond the NUL is seen */
        uint32_t cycle = 5;
        assert_non_null(exact);
        if (tkr_cycle_parse(exact, &cycle) || cycle != 5)
            fail_msg("'%s' was accepted", texts[i]);
        free(exact);
    }
}

static void test_cycle_anchor_days_begin_on_their_day_or_the_last(void **state)
{
    static const struct {
        int year;
        unsigned month;
        unsigned days;
    } months[] = {{2023, 1, 31}, {2023, 2, 28}, {2024, 2, 29}, {2000, 2, 29}, {2100, 2, 28}, {2024, 4, 30}, {2024, 12, 31}};

    (void)state;
    for (int32_t anchor = 1; anchor <= 31; anchor++) {
        for (size_t i = 0; i < sizeof(months) / sizeof(months[0]); i++) {
            unsigned first = (unsigned)anchor < months[i].days ? (unsigned)anchor : months[i].days;
            uint32_t expected = (uint32_t)months[i].year * 10000 + months[i].month * 100 + first;
            int64_t begin = at(months[i].year, months[i].month, first, 0);
            uint32_t cycle = 0;
            uint32_t before = 0;
            assert_int_equal(tkr_cycle(begin, anchor, 0, &cycle), TKR_OK);
            assert_int_equal(cycle, expected);
            assert_int_equal(tkr_cycle(begin - 1, anchor, 0, &before), TKR_OK);
            assert_true(before < expected);
            assert_true(before / 100 % 100 == (months[i].month == 1 ? 12 : months[i].month - 1));
        }
    }
}

static void test_cycle_anchor_31_in_february(void **state)
{
    uint32_t cycle = 0;

    (void)state;
    assert_int_equal(tkr_cycle(at(2023, 2, 27, 86399), 31, 0, &cycle), TKR_OK);
    assert_int_equal(cycle, 20230131);
    assert_int_equal(tkr_cycle(at(2023, 2, 28, 0), 31, 0, &cycle), TKR_OK);
    assert_int_equal(cycle, 20230228);
    assert_int_equal(tkr_cycle(at(2023, 3, 30, 86399), 31, 0, &cycle), TKR_OK);
    assert_int_equal(cycle, 20230228);
    assert_int_equal(tkr_cycle(at(2024, 2, 28, 86399), 31, 0, &cycle), TKR_OK);
    assert_int_equal(cycle, 20240131);
    assert_int_equal(tkr_cycle(at(2024, 2, 29, 0), 31, 0, &cycle), TKR_OK);
    assert_int_equal(cycle, 20240229);
}

static void test_cycle_offsets_move_midnight(void **state)
{
    (void)state;
    for (int32_t offset = -1440; offset <= 1440; offset += 5) {
        int64_t midnight = at(2024, 7, 1, 0) - offset * 60 * TKR_NS_PER_S;
        uint32_t cycle = 0;
        assert_int_equal(tkr_cycle(midnight, 1, offset, &cycle), TKR_OK);
        assert_int_equal(cycle, 20240701);
        assert_int_equal(tkr_cycle(midnight - 1, 1, offset, &cycle), TKR_OK);
        assert_int_equal(cycle, 20240601);
    }
}

static void test_cycle_before_the_first_is_named_by_the_first_day(void **state)
{
    uint32_t cycle = 0;

    (void)state;
    assert_int_equal(tkr_cycle(0, 1, 0, &cycle), TKR_OK);
    assert_int_equal(cycle, 19700101);
    assert_int_equal(tkr_cycle(0, 15, 0, &cycle), TKR_OK);
    assert_int_equal(cycle, 19700101);
    assert_int_equal(tkr_cycle(0, 1, -1440, &cycle), TKR_OK);
    assert_int_equal(cycle, 19700101);
    assert_int_equal(tkr_cycle(at(1970, 1, 15, 0), 15, 0, &cycle), TKR_OK);
    assert_int_equal(cycle, 19700115);
}

static void test_cycle_bad_arguments_are_refused(void **state)
{
    uint32_t cycle = 5;

    (void)state;
    assert_int_equal(tkr_cycle(0, 1, 0, NULL), TKR_EINVAL);
    assert_int_equal(tkr_cycle(0, 0, 0, &cycle), TKR_ECYCLE);
    assert_int_equal(tkr_cycle(0, 32, 0, &cycle), TKR_ECYCLE);
    assert_int_equal(tkr_cycle(0, -1, 0, &cycle), TKR_ECYCLE);
    assert_int_equal(tkr_cycle(-1, 1, 0, &cycle), TKR_ERANGE);
    assert_int_equal(tkr_cycle(INT64_MIN, 1, 0, &cycle), TKR_ERANGE);
    assert_int_equal(tkr_cycle(0, 1, 1441, &cycle), TKR_ERANGE);
    assert_int_equal(tkr_cycle(0, 1, -1441, &cycle), TKR_ERANGE);
    assert_int_equal(tkr_cycle(0, 1, INT32_MIN, &cycle), TKR_ERANGE);
    assert_int_equal(tkr_cycle(INT64_MAX, 1, 0, &cycle), TKR_ERANGE);
    assert_int_equal(tkr_cycle(TIME_END_NS, 1, 0, &cycle), TKR_ERANGE);
    assert_int_equal(tkr_cycle(TIME_END_NS - 1, 1, 1440, &cycle), TKR_ERANGE);
    assert_int_equal(cycle, 5);
    assert_int_equal(tkr_cycle(TIME_END_NS - 1, 1, 0, &cycle), TKR_OK);
    assert_int_equal(cycle, 22611201);
}

static void check_span(const struct tkr_cycle_rule *rule, int64_t t)
{
    struct tkr_cycle_span span;
    struct tkr_cycle_span edge;

    tkr_cycle_find(rule, t, &span);
    if (!tkr_cycle_valid(span.cycle) || span.begin_ns > t || t >= span.end_ns)
        fail_msg("t %lld: cycle %u, %lld..%lld", (long long)t, span.cycle, (long long)span.begin_ns, (long long)span.end_ns);
    tkr_cycle_find(rule, span.begin_ns < 0 ? 0 : span.begin_ns, &edge);
    if (edge.cycle != span.cycle)
        fail_msg("t %lld: cycle %u, but %u at the begin of its span", (long long)t, span.cycle, edge.cycle);
    tkr_cycle_find(rule, span.end_ns - 1, &edge);
    if (edge.cycle != span.cycle)
        fail_msg("t %lld: cycle %u, but %u at the end of its span", (long long)t, span.cycle, edge.cycle);
}

static void test_cycle_span_of_months_holds_the_moment_and_is_exact(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    for (int i = 0; i < test_light(100000); i++) {
        struct tkr_cycle_rule rule = {.anchor_day = 1 + (int32_t)test_random_below(&random, 31),
                                      .utc_offset_minutes = (int32_t)test_random_below(&random, 2881) - 1440};
        int64_t t = (int64_t)test_random_below(&random, (uint64_t)TIME_END_NS);
        struct tkr_cycle_span span;
        struct tkr_cycle_span next;
        check_span(&rule, t);
        tkr_cycle_find(&rule, t, &span);
        if (span.end_ns < TIME_END_NS) { /* the next one begins where this one ends */
            tkr_cycle_find(&rule, span.end_ns, &next);
            assert_int_equal(next.begin_ns, span.end_ns);
            if (span.begin_ns < 0) /* it began before 1970 and is named by the first day, as one that begins on it is */
                assert_true(next.cycle >= span.cycle);
            else
                assert_true(next.cycle > span.cycle);
        }
    }
}

/* A record's default cycle must be a date that the frame may carry, to the last moment that the API takes. */
static void test_cycle_found_at_the_ends_of_time_is_a_valid_date(void **state)
{
    static const int32_t offsets[] = {-1440, -60, 0, 60, 1440};
    static const int64_t times[] = {0, 1, TIME_END_NS - 1, TIME_END_NS - 3600 * TKR_NS_PER_S};

    (void)state;
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        for (size_t j = 0; j < sizeof(times) / sizeof(times[0]); j++) {
            for (int32_t anchor = 1; anchor <= 31; anchor++) {
                struct tkr_cycle_rule rule = {.anchor_day = anchor, .utc_offset_minutes = offsets[i]};
                check_span(&rule, times[j]);
            }
        }
    }
}

static struct tkr_zone zone_used;

static void use_zone(const char *zone)
{
    assert_int_equal(setenv("TZ", zone, 1), 0);
    tzset();
    tkr_zone_read(&zone_used);
}

static uint32_t local_day(int64_t unix_ns)
{
    time_t t = (time_t)(unix_ns / TKR_NS_PER_S);
    struct tm tm;

    assert_non_null(localtime_r(&t, &tm));
    return (uint32_t)(tm.tm_year + 1900) * 10000 + (uint32_t)(tm.tm_mon + 1) * 100 + (uint32_t)tm.tm_mday;
}

/*
 * POSIX forms need no zone files. The third changes back at one minute past midnight, as Newfoundland did: the day
 * comes twice. The fourth's midnight is at no quarter of an hour; the next ones lie a day and more from UTC.
 */
static const char *const zones[] = {"UTC0",
                                    "CET-1CEST,M3.5.0,M10.5.0/3",
                                    "NST3:30NDT,M3.2.0/0:01,M11.1.0/0:01",
                                    "ODD0:44:30",
                                    "FAR-24:59:59",
                                    "WEST24:59:59",
                                    "LHST-10:30LHDT-11,M10.1.0,M4.1.0",
                                    "America/St_Johns",
                                    "Africa/Monrovia",
                                    "Asia/Kathmandu",
                                    "Pacific/Apia"};

static void test_cycle_day_is_the_local_day_and_constant_within_its_span(void **state)
{
    const struct tkr_cycle_rule rule = {.zone = &zone_used, .anchor_day = 1};
    struct test_random random = test_random_start();

    (void)state;
    for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        use_zone(zones[i]);
        for (int j = 0; j < 3000; j++) {
            /* From the second day on, and not into the last year: there names are clamped. */
            int64_t t = (int64_t)test_random_below(&random, INT64_C(4102444800)) * TKR_NS_PER_S + 2 * DAY_S * TKR_NS_PER_S;
            struct tkr_cycle_span span;
            check_span(&rule, t);
            tkr_cycle_find(&rule, t, &span);
            assert_int_equal(span.cycle, local_day(t));
        }
    }
}

/* Every second of a span, around the moments at which clocks change and days begin. */
static void test_cycle_day_around_changes_of_the_clock_is_exact_to_the_second(void **state)
{
    static const struct {
        const char *zone;
        int year;
        unsigned month, day;
        int64_t second; /* UTC */
    } changes[] = {
        {"CET-1CEST,M3.5.0,M10.5.0/3", 2024, 3, 31, 3600},
        {"CET-1CEST,M3.5.0,M10.5.0/3", 2024, 10, 27, 3600},
        {"CET-1CEST,M3.5.0,M10.5.0/3", 2024, 10, 26, 79200},
        {"NST3:30NDT,M3.2.0/0:01,M11.1.0/0:01", 2024, 11, 3, 9060},
        {"NST3:30NDT,M3.2.0/0:01,M11.1.0/0:01", 2024, 3, 10, 12660},
        {"ODD0:44:30", 2024, 5, 5, 2670},
        {"FAR-24:59:59", 2024, 5, 5, 82801},
    };
    const struct tkr_cycle_rule rule = {.zone = &zone_used, .anchor_day = 1};

    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        int64_t middle = at(changes[i].year, changes[i].month, changes[i].day, changes[i].second);
        struct tkr_cycle_span span = {0, 0, 0};
        use_zone(changes[i].zone);
        for (int64_t t = middle - 2000 * TKR_NS_PER_S; t < middle + 2000 * TKR_NS_PER_S; t += TKR_NS_PER_S) {
            if (t < span.begin_ns || t >= span.end_ns) /* as a channel does: the last span serves while it holds */
                tkr_cycle_find(&rule, t, &span);
            if (span.cycle != local_day(t))
                fail_msg("%s at %lld: %u, local day %u", changes[i].zone, (long long)t, span.cycle, local_day(t));
        }
    }
}

static void test_cycle_day_at_the_ends_of_time_is_a_valid_date(void **state)
{
    const struct tkr_cycle_rule rule = {.zone = &zone_used, .anchor_day = 1};

    (void)state;
    for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        use_zone(zones[i]);
        check_span(&rule, 0);
        check_span(&rule, TIME_END_NS - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_days_from_civil_agrees_with_timegm),
        cmocka_unit_test(test_cycle_valid_is_exactly_the_real_dates),
        cmocka_unit_test(test_cycle_valid_accepts_every_day_and_nothing_between),
        cmocka_unit_test(test_cycle_text_comes_back),
        cmocka_unit_test(test_cycle_format_of_any_number_ends_in_time),
        cmocka_unit_test(test_cycle_parse_bad_texts_are_refused),
        cmocka_unit_test(test_cycle_anchor_days_begin_on_their_day_or_the_last),
        cmocka_unit_test(test_cycle_anchor_31_in_february),
        cmocka_unit_test(test_cycle_offsets_move_midnight),
        cmocka_unit_test(test_cycle_before_the_first_is_named_by_the_first_day),
        cmocka_unit_test(test_cycle_bad_arguments_are_refused),
        cmocka_unit_test(test_cycle_span_of_months_holds_the_moment_and_is_exact),
        cmocka_unit_test(test_cycle_found_at_the_ends_of_time_is_a_valid_date),
        cmocka_unit_test(test_cycle_day_is_the_local_day_and_constant_within_its_span),
        cmocka_unit_test(test_cycle_day_around_changes_of_the_clock_is_exact_to_the_second),
        cmocka_unit_test(test_cycle_day_at_the_ends_of_time_is_a_valid_date),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
