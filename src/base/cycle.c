/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cycle.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tokenring/tokenring.h"

#define S_PER_DAY INT64_C(86400)
#define YEAR_MIN 1970
#define YEAR_MAX 2261
#define OFFSET_MAX_MINUTES 1440
#define LAST 22611231u

int64_t tkr_days_from_civil(int64_t year, unsigned month, unsigned day)
{
    int64_t era;
    int64_t year_of_era;
    int64_t day_of_year;

    year -= month <= 2;
    era = (year >= 0 ? year : year - 399) / 400;
    year_of_era = year - era * 400;
    day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

/* The inverse of tkr_days_from_civil (Hinnant, civil_from_days). */
static void civil_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;

    *ret_day = (unsigned)(day_of_year - (153 * shifted + 2) / 5 + 1);
    *ret_month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
    *ret_year = year_of_era + era * 400 + (*ret_month <= 2);
}

static unsigned days_in_month(int64_t year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

static uint32_t pack_date(int64_t year, unsigned month, unsigned day)
{
    return (uint32_t)year * 10000 + month * 100 + day;
}

bool tkr_cycle_valid(uint32_t cycle)
{
    uint32_t year = cycle / 10000;
    uint32_t month = cycle / 100 % 100;
    uint32_t day = cycle % 100;

    return year >= YEAR_MIN && year <= YEAR_MAX && month >= 1 && month <= 12 && day >= 1 && day <= days_in_month(year, month);
}

/* Day on which the cycle of year and month begins. */
static unsigned anchor_in(const struct tkr_cycle_rule *rule, int64_t year, unsigned month)
{
    unsigned last = days_in_month(year, month);

    return (unsigned)rule->anchor_day < last ? (unsigned)rule->anchor_day : last;
}

static int64_t floor_days(int64_t local_s)
{
    return local_s >= 0 ? local_s / S_PER_DAY : -((S_PER_DAY - 1 - local_s) / S_PER_DAY);
}

/* Cycles lie in 1970..2261; one that would begin before is named by the first day. */
static void find_month(const struct tkr_cycle_rule *rule, int64_t unix_ns, struct tkr_cycle_span *ret_span)
{
    int64_t offset_s = (int64_t)rule->utc_offset_minutes * 60;
    int64_t days = floor_days(unix_ns / TKR_NS_PER_S + offset_s);
    int64_t year;
    int64_t end_s;
    int64_t begin_s;
    unsigned month;
    unsigned day;

    civil_from_days(days, &year, &month, &day);
    if (day < anchor_in(rule, year, month)) {
        year -= month == 1;
        month = month == 1 ? 12 : month - 1;
    }
    day = anchor_in(rule, year, month);
    begin_s = tkr_days_from_civil(year, month, day) * S_PER_DAY - offset_s;
    ret_span->cycle = year < YEAR_MIN ? pack_date(YEAR_MIN, 1, 1) : pack_date(year, month, day);
    year += month == 12;
    month = month == 12 ? 1 : month + 1;
    end_s = tkr_days_from_civil(year, month, anchor_in(rule, year, month)) * S_PER_DAY - offset_s;
    ret_span->begin_ns = begin_s * TKR_NS_PER_S;
    ret_span->end_ns = end_s > INT64_MAX / TKR_NS_PER_S ? INT64_MAX : end_s * TKR_NS_PER_S;
}

/* The span ends with the day, or where the clock changes: the day may go on behind that, or come a second time. */
static void find_day(const struct tkr_zone *zone, int64_t unix_ns, struct tkr_cycle_span *ret_span)
{
    int64_t from_s;
    int64_t until_s;
    int64_t offset_s = tkr_zone_offset(zone, unix_ns / TKR_NS_PER_S, &from_s, &until_s);
    int64_t days = floor_days(unix_ns / TKR_NS_PER_S + offset_s);
    int64_t begin_s = days * S_PER_DAY - offset_s;
    int64_t end_s = begin_s + S_PER_DAY;
    int64_t year;
    unsigned month;
    unsigned day;

    civil_from_days(days, &year, &month, &day);
    if (begin_s < from_s)
        begin_s = from_s;
    if (end_s > until_s)
        end_s = until_s;
    ret_span->cycle = year < YEAR_MIN ? pack_date(YEAR_MIN, 1, 1) : pack_date(year, month, day);
    ret_span->begin_ns = begin_s * TKR_NS_PER_S;
    ret_span->end_ns = end_s > INT64_MAX / TKR_NS_PER_S ? INT64_MAX : end_s * TKR_NS_PER_S;
}

void tkr_cycle_find(const struct tkr_cycle_rule *rule, int64_t unix_ns, struct tkr_cycle_span *ret_span)
{
    if (rule->zone != NULL)
        find_day(rule->zone, unix_ns, ret_span);
    else
        find_month(rule, unix_ns, ret_span);
    if (ret_span->cycle > LAST) /* east of UTC the last moments belong to 2262 */
        ret_span->cycle = LAST;
}

/* The anchor days of two months in a row. */
static void turn_month(const struct tkr_cycle_rule *rule, uint32_t cycle, struct tkr_cycle_turn *ret_turn)
{
    struct tkr_cycle_rule from = *rule;
    int64_t year = cycle / 10000;
    unsigned month = cycle / 100 % 100;
    int64_t end_s;

    if (anchor_in(rule, year, month) != cycle % 100)
        from.anchor_day = (int32_t)(cycle % 100);
    year += month == 12;
    month = month == 12 ? 1 : month + 1;
    end_s = tkr_days_from_civil(year, month, anchor_in(&from, year, month)) * S_PER_DAY - (int64_t)rule->utc_offset_minutes * 60;
    ret_turn->next = pack_date(year, month, anchor_in(&from, year, month));
    ret_turn->end_ns = end_s > INT64_MAX / TKR_NS_PER_S ? INT64_MAX : end_s * TKR_NS_PER_S;
}

/* The first moment of a later day, in steps of days or of parts of them between changes of the clock. */
static void turn_day(const struct tkr_zone *zone, uint32_t cycle, struct tkr_cycle_turn *ret_turn)
{
    struct tkr_cycle_span span = {0, 0, 0};
    int64_t at_ns = tkr_days_from_civil(cycle / 10000, cycle / 100 % 100, cycle % 100) * S_PER_DAY * TKR_NS_PER_S;

    at_ns = at_ns > S_PER_DAY * TKR_NS_PER_S ? at_ns - S_PER_DAY * TKR_NS_PER_S : 0; /* before it, or in it, anywhere on earth */
    do {
        find_day(zone, at_ns, &span);
        ret_turn->end_ns = at_ns;
        ret_turn->next = span.cycle;
        at_ns = span.end_ns;
    } while (span.cycle <= cycle && at_ns != INT64_MAX);
}

void tkr_cycle_turn_find(const struct tkr_cycle_rule *rule, uint32_t cycle, struct tkr_cycle_turn *ret_turn)
{
    ret_turn->cycle = cycle;
    if (rule->zone != NULL)
        turn_day(rule->zone, cycle, ret_turn);
    else
        turn_month(rule, cycle, ret_turn);
    if (ret_turn->next > LAST)
        ret_turn->next = LAST;
}

int tkr_cycle(int64_t unix_ns, int32_t anchor_day, int32_t utc_offset_minutes, uint32_t *ret_cycle)
{
    struct tkr_cycle_rule rule = {.anchor_day = anchor_day, .utc_offset_minutes = utc_offset_minutes};
    struct tkr_cycle_span span;

    if (ret_cycle == NULL)
        return TKR_EINVAL;
    if (anchor_day < 1 || anchor_day > 31)
        return TKR_ECYCLE;
    if (unix_ns < 0 || utc_offset_minutes < -OFFSET_MAX_MINUTES || utc_offset_minutes > OFFSET_MAX_MINUTES)
        return TKR_ERANGE;
    find_month(&rule, unix_ns, &span);
    if (!tkr_cycle_valid(span.cycle))
        return TKR_ERANGE;
    *ret_cycle = span.cycle;
    return TKR_OK;
}

void tkr_cycle_format(uint32_t cycle, char ret_text[TKR_CYCLE_TEXT_BYTES])
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%04u-%02u-%02u", cycle / 10000, cycle / 100 % 100, cycle % 100);
    memcpy(ret_text, text, TKR_CYCLE_TEXT_BYTES - 1);
    ret_text[TKR_CYCLE_TEXT_BYTES - 1] = '\0';
}

bool tkr_cycle_parse(const char *text, uint32_t *ret_cycle)
{
    uint32_t digits = 0;

    for (int i = 0; i < 10; i++) {
        if (i == 4 || i == 7) {
            if (text[i] != '-')
                return false;
        } else if (text[i] >= '0' && text[i] <= '9') {
            digits = digits * 10 + (uint32_t)(text[i] - '0');
        } else {
            return false;
        }
    }
    if (text[10] != '\0' || !tkr_cycle_valid(digits))
        return false;
    *ret_cycle = digits;
    return true;
}
