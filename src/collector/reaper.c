/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/reaper.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "limit/hold.h"

#define SLOT_TRIES 8 /* at a slot whose calls begin and end while it is read */
#define SWEEP_NS (250 * TKR_NS_PER_MS)

struct tkr_reaper {
    struct tkr_guarded_board *guarded;
    struct tkr_sweep sweep;
    int64_t sweep_ns; /* monotonic: of the next round */
    uint32_t swept;   /* what the last step of a round answered */
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

static bool each_slot(const struct tkr_view *view, bool (*visit)(struct tkr_reaper *reaper, const struct tkr_view_hold *hold),
                      struct tkr_reaper *reaper)
{
    struct tkr_view_hold hold;
    uint32_t count;
    bool whole = true;

    if (!tkr_view_slot_count(view, &count))
        return true; /* cut by its owner, who has nothing to hold then */
    for (uint32_t i = 0; i < count; i++) {
        if (!read_slot(view, i, &hold))
            return true;
        whole &= visit(reaper, &hold);
    }
    return whole;
}

/* --- the dead --- */

/* What a dead slot held, on its way back. */
struct giving {
    const struct tkr_board *board;
    const struct tkr_view_hold *hold;
};

static void give(void *argument)
{
    const struct giving *giving = argument;

    tkr_hold_give_dead(giving->board, giving->hold->word, giving->hold->more, giving->hold->reserve);
}

static bool give_dead(struct tkr_reaper *reaper, const struct tkr_view_hold *hold)
{
    struct giving giving = {&reaper->guarded->board, hold};

    if (hold->word != 0)
        (void)tkr_guarded_board_call(reaper->guarded, give, &giving); /* given up: there is nothing to give back to */
    return true;
}

void tkr_reaper_bury(struct tkr_reaper *reaper, const struct tkr_view *view)
{
    if (reaper != NULL)
        (void)each_slot(view, give_dead, reaper);
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

bool tkr_reaper_sweep_begin(struct tkr_reaper *reaper)
{
    int64_t now_ns = tkr_clock_monotonic_ns();

    if (reaper == NULL || now_ns < reaper->sweep_ns)
        return false;
    reaper->sweep_ns = now_ns + SWEEP_NS;
    return tkr_guarded_board_call(reaper->guarded, begin_sweep, reaper) && reaper->swept != 0;
}

static bool note_live(struct tkr_reaper *reaper, const struct tkr_view_hold *hold)
{
    if (hold->word != 0 || !hold->stable)
        tkr_sweep_note(&reaper->guarded->board, &reaper->sweep, hold->word, hold->more, hold->reserve);
    return hold->stable;
}

bool tkr_reaper_sweep(struct tkr_reaper *reaper, const struct tkr_view *view)
{
    return each_slot(view, note_live, reaper);
}

void tkr_reaper_sweep_end(struct tkr_reaper *reaper, bool whole)
{
    if (whole && tkr_guarded_board_call(reaper->guarded, end_sweep, reaper) && reaper->swept > 0)
        TKR_LOG(TKR_LOG_DEBUG, "{cells} cells of limits held what no open call vouches for; it is given back",
                tkr_field_cells(reaper->swept));
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
