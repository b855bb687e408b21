/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/turns.h"

#include "base/clock.h"
#include "base/cycle.h"

#define DAY_S INT64_C(86400)
#define PAST_S (2 * DAY_S)    /* offsets differ by so much at most */
#define FUTURE_S (62 * DAY_S) /* no cycle is longer than a month */
#define STEPS_A_SECOND (TKR_NS_PER_S / TKR_TURN_STEP_NS)
#define PASS_MAX_S 60

static struct tkr_turn *place_of(struct tkr_turns *turns, uint32_t cycle, uint32_t next, int64_t now_s)
{
    struct tkr_turn *oldest = &turns->turn[0];

    for (uint32_t i = 0; i < TKR_TURNS_MAX; i++) {
        struct tkr_turn *turn = &turns->turn[i];
        if (turn->cycle == cycle && turn->next == next)
            return turn;
        oldest = turn->last_s < oldest->last_s ? turn : oldest; /* those that are none are the oldest */
    }
    if (oldest->last_s >= now_s)
        return NULL;
    *oldest = (struct tkr_turn){.cycle = cycle, .next = next, .first_s = INT64_MAX};
    return oldest;
}

bool tkr_turns_note(struct tkr_turns *turns, uint32_t cycle, uint32_t next, int64_t end_s, int64_t now_s)
{
    struct tkr_turn *turn;
    bool news;

    if (next <= cycle || !tkr_cycle_valid(next) || end_s < now_s - PAST_S || end_s > now_s + FUTURE_S)
        return false;
    turn = place_of(turns, cycle, next, now_s);
    if (turn == NULL)
        return false;
    news = end_s < turn->first_s || end_s > turn->last_s;
    turn->first_s = end_s < turn->first_s ? end_s : turn->first_s;
    turn->last_s = end_s > turn->last_s ? end_s : turn->last_s;
    return news;
}

uint32_t tkr_turn_step(const struct tkr_turn *turn, uint32_t places, int64_t now_s)
{
    int64_t pass_s = (turn->first_s - now_s) / 4;

    pass_s = pass_s > PASS_MAX_S ? PASS_MAX_S : pass_s < 1 ? 1 : pass_s;
    return places / (uint32_t)(pass_s * STEPS_A_SECOND) + 1;
}
