/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who calls, and with how many tokens, where a trace does not say: drawn from a seed.
 *
 * Shares of the calls follow the five production services summed up by ServeGen (arXiv:2505.09999; 422 clients of
 * alibaba/ServeGen), whose top client makes 13-52 % of the requests and whose top ten make 63-93 %. The ten first
 * ranks have the shares below, in parts per million, about the median of the services at each rank; what is left,
 * 27.4 %, goes to the other ranks in proportion to 1/rank (Zipf).
 *
 *     rank    1       2      3      4      5      6      7      8      9      10     11..N
 *     share   286000  90000  70000  60000  50000  45000  40000  35000  26000  24000  274000 in all
 *
 * With few users the tail is shorter than its share: rank 11 never weighs more than rank 10, and what the tail does not
 * take falls to all ranks alike. From 30 users on the shares are those of the table.
 *
 * Tokens are log-normal, fitted to the Azure conversation trace of 2023 (mean and standard deviation of the logarithm):
 *     prompt 6.633 and 0.985 (median 760), completion 5.019 and 0.859 (median 151)
 * cut to 1..131072 each. They are the same for a seed with the same C library; another one's log and exp may differ in
 * the last bit, and then a figure by one token.
 */
#ifndef TOOLS_TRAFFIC_USERS_H
#define TOOLS_TRAFFIC_USERS_H

#include <stdint.h>

#include "traffic/random.h"

#define TKR_TRAFFIC_USERS_MAX 1000000
#define TKR_TRAFFIC_SIMULATED_TOKENS_MAX 131072

/* The users' shares: cumulated integer weights. Read only after it is made, so processes share it after a fork. */
struct tkr_traffic_users {
    uint32_t count;
    uint64_t *sum; /* sum[i]: weights of users 0..i */
};

/* Makes the shares of count users, 1..TKR_TRAFFIC_USERS_MAX. 0, or -1 when there is no memory. */
int tkr_traffic_users_make(uint32_t count, struct tkr_traffic_users *ret_users);

/* Frees them; accepts a zeroed structure. */
void tkr_traffic_users_free(struct tkr_traffic_users *users);

/* Draws a user, 0..count-1, the most frequent first. Integers only; O(log count). */
uint32_t tkr_traffic_users_draw(const struct tkr_traffic_users *users, struct tkr_traffic_random *random);

#define TKR_TRAFFIC_USER_NAME_BYTES 16

/* "user-0001" for user 0, with its NUL. */
void tkr_traffic_user_name(uint32_t user, char ret_name[TKR_TRAFFIC_USER_NAME_BYTES]);

/* Draws the tokens of one call. */
void tkr_traffic_tokens_draw(struct tkr_traffic_random *random, int64_t *ret_prompt_tokens, int64_t *ret_completion_tokens);

#endif
