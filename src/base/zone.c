/* SPDX-License-Identifier: Apache-2.0 */
#include "base/zone.h"

#include <time.h>

#include "base/clock.h"
#include "base/cycle.h"

#define STEP_S INT64_C(604800) /* clocks change, and change back, months apart */
#define END_S (INT64_MAX / TKR_NS_PER_S)

static int64_t offset_at(int64_t unix_s)
{
    time_t t = (time_t)unix_s;
    struct tm local;

    if (localtime_r(&t, &local) == NULL)
        return 0; /* not for times that fit 63 bits of nanoseconds */
    return tkr_days_from_civil(local.tm_year + INT64_C(1900), (unsigned)local.tm_mon + 1, (unsigned)local.tm_mday) * 86400 +
           local.tm_hour * INT64_C(3600) + local.tm_min * INT64_C(60) + local.tm_sec - unix_s;
}

/* The first second of (before_s, after_s] that has the offset of after_s. */
static int64_t find_change(int64_t before_s, int64_t after_s, int64_t offset_s)
{
    while (after_s - before_s > 1) {
        int64_t middle_s = before_s + (after_s - before_s) / 2;
        if (offset_at(middle_s) == offset_s)
            after_s = middle_s;
        else
            before_s = middle_s;
    }
    return after_s;
}

void tkr_zone_read(struct tkr_zone *ret_zone)
{
    int64_t offset_s = offset_at(0);

    ret_zone->count = 1;
    ret_zone->offset[0].from_s = INT64_MIN;
    ret_zone->offset[0].offset_s = offset_s;
    for (int64_t t = 0; t < END_S && ret_zone->count < TKR_ZONE_OFFSETS_MAX; t += STEP_S) {
        int64_t next_s = t + STEP_S < END_S ? t + STEP_S : END_S;
        int64_t next_offset_s = offset_at(next_s);
        if (next_offset_s == offset_s)
            continue;
        offset_s = next_offset_s;
        ret_zone->offset[ret_zone->count].from_s = find_change(t, next_s, offset_s);
        ret_zone->offset[ret_zone->count++].offset_s = offset_s;
    }
}

int64_t tkr_zone_offset(const struct tkr_zone *zone, int64_t unix_s, int64_t *ret_from_s, int64_t *ret_end_s)
{
    uint32_t low = 0;
    uint32_t high = zone->count;

    while (high - low > 1) { /* offset[low] began, offset[high] did not */
        uint32_t middle = low + (high - low) / 2;
        if (zone->offset[middle].from_s <= unix_s)
            low = middle;
        else
            high = middle;
    }
    *ret_from_s = zone->offset[low].from_s;
    *ret_end_s = high < zone->count ? zone->offset[high].from_s : INT64_MAX;
    return zone->offset[low].offset_s;
}
