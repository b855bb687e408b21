/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/reaper.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "limit/hold.h"

#define SLOT_TRIES 8 /* at a slot whose calls begin and end while it is read */
#define SWEEP_NS (250 * TKR_NS_PER_MS)
#define REPLACED_NS (60 * TKR_NS_PER_S) /* calls that are open for longer, on the board before, hold nothing */

struct tkr_reaper {
    struct tkr_guarded_board *guarded;
    struct tkr_sweep sweep;
    int64_t sweep_ns; /* monotonic: of the next round */
    uint32_t swept;   /* what the last step of a round answered */
    bool waits;       /* a round has seen all slots, and waits for the lanes */
    bool others;      /* it has seen one that names another board */
    int64_t until_ns; /* monotonic: so long nothing is published at most, while slots name the board before */
};

/* --- slots --- */

/* A slot that names nothing is done with, whatever follows in it: what begins later is of the new epoch (limit/layout.h, P4). */
static bool read_slot(const struct tkr_view *view, uint32_t number, struct tkr_view_hold *ret_hold)
{
    for (int tries = 0; tries < SLOT_TRIES; tries++) {
        if (!tkr_view_slot_hold(view, number, ret_hold))
            return false;
        ret_hold->stable |= ret_hold->word == 0;
        if (ret_hold->stable)
            break;
    }
    return true;
}

/* --- releases --- */

/* What is on its way back. */
struct giving {
    const struct tkr_board *board;
    const struct tkr_frame_release *release;
    uint32_t count;
};

static void give(void *argument)
{
    const struct giving *giving = argument;

    for (uint32_t i = 0; i < giving->count; i++)
        tkr_hold_release(giving->board, giving->release[i].word, giving->release[i].more, giving->release[i].tokens);
}

static void note_obeyed(const struct tkr_drain *drain)
{
    for (uint32_t i = 0; i < drain->spans; i++) {
        const struct tkr_drain_span *span = &drain->span[i];
        if (tkr_feed_state(span->feed) != TKR_CURSOR_ACTIVE)
            tkr_feed_obeyed_all(span->feed); /* set aside: nothing is read from it any more */
        else
            tkr_feed_obeyed(span->feed, span->lane, span->position);
    }
}

void tkr_reaper_obey(struct tkr_reaper *reaper, const struct tkr_drain *drain)
{
    if (reaper != NULL && drain->releases > 0) {
        struct giving giving = {&reaper->guarded->board, drain->release, drain->releases};
        TKR_CRASH(HOLD_COUNTED);
        (void)tkr_guarded_board_call(reaper->guarded, give, &giving); /* given up: there is nothing to give back to */
    }
    note_obeyed(drain);
}

/* --- the dead --- */

/* Cleared first: a kill in between leaves drift, and the next collector gives nothing back twice. */
static bool give_dead(struct tkr_reaper *reaper, struct tkr_view *view, uint32_t number)
{
    struct tkr_view_hold hold;
    struct tkr_frame_release release;
    struct giving giving = {&reaper->guarded->board, &release, 1};

    if (!tkr_view_slot_hold(view, number, &hold))
        return false;
    if (hold.word == 0)
        return true;
    if (!tkr_view_slot_hold_clear(view, number))
        return false;
    TKR_CRASH(HOLD_CLEARED);
    release = (struct tkr_frame_release){hold.word, hold.more, hold.reserve};
    if ((hold.word & TKR_HOLD_STATE_MASK) == TKR_HOLD_HELD) /* else some cells have it, or it is in a release */
        (void)tkr_guarded_board_call(reaper->guarded, give, &giving);
    return true;
}

void tkr_reaper_bury(struct tkr_reaper *reaper, struct tkr_view *view)
{
    uint32_t count;

    if (reaper == NULL || !tkr_view_slot_count(view, &count))
        return; /* cut by its owner: what it held is drift */
    for (uint32_t i = 0; i < count && give_dead(reaper, view, i); i++)
        continue;
}

/* --- rounds --- */

static void begin_sweep(void *argument)
{
    struct tkr_reaper *reaper = argument;

    reaper->swept = tkr_sweep_begin(&reaper->guarded->board, &reaper->sweep);
}

static void end_sweep(void *argument)
{
    struct tkr_reaper *reaper = argument;

    reaper->swept = tkr_sweep_end(&reaper->guarded->board, &reaper->sweep);
}

bool tkr_reaper_sweep_waits(const struct tkr_reaper *reaper)
{
    return reaper != NULL && reaper->waits;
}

/* Has the board taken the place of another on which calls may hold something? */
static bool replaced(const struct tkr_reaper *reaper)
{
    return atomic_load_explicit(&reaper->guarded->board.header->waits, memory_order_relaxed) != 0; /* the main thread's own */
}

void tkr_reaper_wait(struct tkr_reaper *reaper)
{
    if (!replaced(reaper))
        return;
    reaper->until_ns = tkr_clock_monotonic_ns() + REPLACED_NS;
    tkr_log(TKR_LOG_INFO,
            "the board of limits is new: limits are not known to gateways until the calls have ended that reserved on "
            "the one before, for a minute at most");
}

/* A round has ended in which all lanes were obeyed, or nothing can be seen: is it over? */
static void look_at_replaced(struct tkr_reaper *reaper, bool ended)
{
    bool late = tkr_clock_monotonic_ns() > reaper->until_ns;

    if (!replaced(reaper) || !((ended && !reaper->others) || late))
        return;
    if (late)
        tkr_log(TKR_LOG_WARNING,
                "calls that reserved on the board before are still open: what they reserve is not held any more");
    /* What the workers have counted before it; pairs with the acquire in keeper.c. */
    atomic_store_explicit(&reaper->guarded->board.header->waits, 0, memory_order_release);
}

bool tkr_reaper_sweep_begin(struct tkr_reaper *reaper)
{
    int64_t now_ns = tkr_clock_monotonic_ns();

    if (reaper != NULL)
        look_at_replaced(reaper, false);
    if (reaper == NULL || reaper->waits || now_ns < reaper->sweep_ns)
        return false;
    reaper->sweep_ns = now_ns + SWEEP_NS;
    reaper->others = false;
    return tkr_guarded_board_call(reaper->guarded, begin_sweep, reaper) && (reaper->swept != 0 || replaced(reaper));
}

bool tkr_reaper_sweep(struct tkr_reaper *reaper, const struct tkr_view *view)
{
    struct tkr_view_hold hold;
    uint32_t count;
    bool whole = true;

    if (!tkr_view_slot_count(view, &count))
        return true; /* cut by its owner, who has nothing to hold then */
    for (uint32_t i = 0; i < count; i++) {
        if (!read_slot(view, i, &hold))
            return true;
        whole &= hold.stable;
        if (hold.word != 0 && !tkr_sweep_note(&reaper->guarded->board, &reaper->sweep, hold.word, hold.more, hold.reserve))
            reaper->others = true;
    }
    return whole;
}

void tkr_reaper_sweep_wait(struct tkr_reaper *reaper, bool whole)
{
    reaper->waits = whole;
}

void tkr_reaper_sweep_end(struct tkr_reaper *reaper)
{
    reaper->waits = false;
    if (tkr_guarded_board_call(reaper->guarded, end_sweep, reaper) && reaper->swept > 0)
        TKR_LOG(TKR_LOG_DEBUG, "{cells} cells of limits held what no open call vouches for; it is given back",
                tkr_field_cells(reaper->swept));
    look_at_replaced(reaper, true);
}

/* --- life --- */

int tkr_reaper_open(struct tkr_guarded_board *guarded, uint32_t accounts_max, struct tkr_reaper **ret_reaper,
                    tkr_message *ret_message)
{
    struct tkr_reaper *reaper = calloc(1, sizeof(*reaper));

    if (reaper != NULL) {
        reaper->guarded = guarded;
        reaper->sweep.entry = calloc(tkr_board_places(accounts_max), sizeof(*reaper->sweep.entry));
        reaper->sweep.number = calloc(accounts_max, sizeof(*reaper->sweep.number));
    }
    if (reaper == NULL || reaper->sweep.entry == NULL || reaper->sweep.number == NULL) {
        tkr_reaper_close(reaper);
        return tkr_message_set(ret_message, "no memory for limits");
    }
    *ret_reaper = reaper;
    return 0;
}

void tkr_reaper_close(struct tkr_reaper *reaper)
{
    if (reaper == NULL)
        return;
    free(reaper->sweep.entry);
    free(reaper->sweep.number);
    free(reaper);
}
