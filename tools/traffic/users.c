/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/users.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TOP_COUNT 10
#define TAIL_PPM UINT64_C(274000)
#define UNIT (UINT64_C(1) << 40) /* weight of rank r in the tail is UNIT / r */

static const uint64_t top_ppm[TOP_COUNT] = {286000, 90000, 70000, 60000, 50000, 45000, 40000, 35000, 26000, 24000};

/*
 * The weight that the whole tail has, or would have if it were long enough for rank 11 to weigh no more than rank 10:
 * top_ppm[9] / TAIL_PPM of it is at least UNIT / 11. At most UNIT * ln(10^6), so that times 286000 it fits 64 bits.
 */
static uint64_t tail_weight(uint32_t count)
{
    uint64_t least = UNIT / (TOP_COUNT + 1) * TAIL_PPM / top_ppm[TOP_COUNT - 1] + TAIL_PPM; /* rounded up */
    uint64_t tail = 0;

    for (uint64_t rank = TOP_COUNT + 1; rank <= count; rank++)
        tail += UNIT / rank;
    return tail > least ? tail : least;
}

int tkr_traffic_users_make(uint32_t count, struct tkr_traffic_users *ret_users)
{
    uint64_t *sum = malloc(count * sizeof(*sum));
    uint64_t tail = tail_weight(count);
    uint64_t all = 0;

    if (sum == NULL)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        all += i < TOP_COUNT ? top_ppm[i] * tail / TAIL_PPM : UNIT / ((uint64_t)i + 1);
        sum[i] = all;
    }
    *ret_users = (struct tkr_traffic_users){.count = count, .sum = sum};
    return 0;
}

void tkr_traffic_users_free(struct tkr_traffic_users *users)
{
    free(users->sum);
    *users = (struct tkr_traffic_users){0};
}

uint32_t tkr_traffic_users_draw(const struct tkr_traffic_users *users, struct tkr_traffic_random *random)
{
    uint64_t at = tkr_traffic_random_below(random, users->sum[users->count - 1]);
    uint32_t low = 0;
    uint32_t high = users->count - 1;

    while (low < high) { /* the first user whose sum is above `at` */
        uint32_t middle = low + (high - low) / 2;

        if (users->sum[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void tkr_traffic_user_name(uint32_t user, char ret_name[TKR_TRAFFIC_USER_NAME_BYTES])
{
    (void)snprintf(ret_name, TKR_TRAFFIC_USER_NAME_BYTES, "user-%04" PRIu32, user + 1);
}

/* Above 0, at most 1, with 53 random bits. */
static double unit_interval(struct tkr_traffic_random *random)
{
    return (double)((tkr_traffic_random_next(random) >> 11) + 1) * 0x1p-53;
}

static int64_t log_normal(double mu, double sigma, double normal)
{
    double tokens = round(exp(mu + sigma * normal));

    if (tokens < 1.0)
        return 1;
    return tokens > TKR_TRAFFIC_SIMULATED_TOKENS_MAX ? TKR_TRAFFIC_SIMULATED_TOKENS_MAX : (int64_t)tokens;
}

/* Box and Muller, "A Note on the Generation of Random Normal Deviates", 1958: two uniform numbers make two normal. */
void tkr_traffic_tokens_draw(struct tkr_traffic_random *random, int64_t *ret_prompt_tokens, int64_t *ret_completion_tokens)
{
    const double two_pi = 6.283185307179586;
    double radius = sqrt(-2.0 * log(unit_interval(random)));
    double angle = two_pi * unit_interval(random);

    *ret_prompt_tokens = log_normal(6.633, 0.985, radius * cos(angle));
    *ret_completion_tokens = log_normal(5.019, 0.859, radius * sin(angle));
}
