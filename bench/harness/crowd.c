/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/crowd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/bench.h"

const char *bench_skew_name(enum bench_skew skew)
{
    static const char *const names[] = {"uniform", "Zipf", "ServeGen"};

    return names[skew];
}

int bench_crowd_make(struct bench_crowd *crowd, uint32_t count, enum bench_skew skew)
{
    double sum = 0;

    memset(crowd, 0, sizeof(*crowd));
    crowd->count = count;
    crowd->skew = skew;
    crowd->random = tkr_traffic_random_for(1, 0);
    crowd->id = calloc(count, sizeof(*crowd->id));
    crowd->sum = calloc(count, sizeof(*crowd->sum));
    if (crowd->id == NULL || crowd->sum == NULL || tkr_traffic_users_make(count, &crowd->users) != 0)
        return bench_wrong("no memory for %u accounts", count);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(crowd->id[i], sizeof(crowd->id[i]), "%08x-1234-4567-89ab-%012x", i * UINT32_C(2654435761), i);
        sum += 1.0 / (i + 1);
        crowd->sum[i] = sum;
    }
    return 0;
}

void bench_crowd_free(struct bench_crowd *crowd)
{
    free(crowd->id);
    free(crowd->sum);
    tkr_traffic_users_free(&crowd->users);
    memset(crowd, 0, sizeof(*crowd));
}

static uint32_t draw_zipf(struct bench_crowd *crowd)
{
    double at = (double)(tkr_traffic_random_next(&crowd->random) >> 11) * 0x1p-53 * crowd->sum[crowd->count - 1];
    uint32_t low = 0;
    uint32_t high = crowd->count - 1;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (crowd->sum[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t bench_crowd_draw(struct bench_crowd *crowd)
{
    if (crowd->skew == BENCH_UNIFORM)
        return (uint32_t)tkr_traffic_random_below(&crowd->random, crowd->count);
    return crowd->skew == BENCH_ZIPF ? draw_zipf(crowd) : tkr_traffic_users_draw(&crowd->users, &crowd->random);
}
