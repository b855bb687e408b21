/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds (src/limit/hold.h, hold.c) on one entry of a board, by two gateways that may die, the worker that counts what their calls
 * used, and the collector that mends.
 *
 *   here                        there
 *   gateway:   word_put         the slot's word in the store buffer: it is seen by others when the buffer is emptied
 *              addition         atomic_fetch_add on the cell, and the fence after it: the buffer is empty after it
 *              epoch again      turn_to_cells (board P4)
 *              look             tkr_board_read: the two cells, one after the other, then what is counted (board P5)
 *              end              the release goes into the lane with the usage: `lane`, of this gateway, by cell; then the slot is
 *                               cleared: both through the buffer, in this order
 *              die              SIGKILL between any two steps; what is in the buffer is seen all the same
 *   worker:    obey             a call is counted, then its release taken off the cell
 *   collector: bury             tkr_reaper_bury: of the dead whose lane is drained, once
 *              sweep            tkr_sweep_begin, the slots, then the lanes' heads; when the worker is there, tkr_sweep_end
 *
 * Each call holds 1 and uses 1, also if it is settled, and the limit is 1: one call may use it, and all others are refused.
 *
 * Claims: what is held and what was used is never more than the limit; the cells and what is counted are together never below
 * that (I1); the cells are never below 0; when all have ended or died, a few sweeps later both cells are 0.
 *
 * Broken on purpose: LOOKED_FIRST (a check, then an addition), SLOT_AFTER_ADDITION, ADDITION_NO_FENCE, EPOCH_NOT_LOOKED_AT_AGAIN,
 * PARITY_LOOKED_AT (an epoch that has moved on by two is taken for the same),
 * TAKEN_BACK (a late addition is subtracted, though it may have been mended in between), BUSY_TAKEN_FOR_NONE,
 * EPOCH_KEPT, OTHER_CELL_FORGOTTEN (late additions stay), DEAD_JOINING_TAKEN_OFF, GIVEN_AT_THE_END (what was used is taken off by
 * the gateway, as it was before), RELEASED_BEFORE_COUNTED, COUNTED_LOOKED_AT_FIRST, SLOT_CLEARED_FIRST (before the release is
 * published), LANES_NOT_WAITED_FOR, HEADS_BEFORE_SLOTS.
 */
#define GATEWAYS 2
#define SWEEPS 2
#define TRIES 2
#define LIMIT 1

#define NONE 0
#define JOINING 1
#define HELD 2
#define LEAVING 3
#define EMPTY 255
#define WORD(state, c) ((state) * 2 + (c))
#define STATE(word) ((word) / 2)
#define CELL(word) ((word) % 2)

short cell[2];
byte epoch; /* its parity is the cell */
byte word[GATEWAYS];              /* of each slot, as others see it */
byte word_put[GATEWAYS] = EMPTY;  /* in the store buffer */
byte held;                        /* calls that were told that they hold, and go on */
byte used;                        /* calls that have ended, or were settled */
byte counted;                     /* of them, those that the board has */
byte lane[GATEWAYS * 2];          /* releases that no worker has, by gateway and cell */
byte published[GATEWAYS];         /* all there ever were: the lane's head */
byte obeyed[GATEWAYS];            /* of them, those that are counted and then taken off */
bool holds[GATEWAYS], leaves[GATEWAYS], ended[GATEWAYS], dead[GATEWAYS], buried[GATEWAYS];

#ifdef DYING
#define CALLS(g) 1
#define LIVE if :: skip :: dead[me] = true; goto gone fi
#else
#define CALLS(g) (2 - (g))
#define LIVE skip
#endif
#define BUFFERED(value) atomic { word_put[me] == EMPTY -> word_put[me] = value }
#define EMPTIED if :: word_put[me] != EMPTY -> word[me] = word_put[me]; word_put[me] = EMPTY :: else fi
#define ALL_ENDED (ended[0] && ended[1] && word_put[0] == EMPTY && word_put[1] == EMPTY)
#define ALL_OBEYED (published[0] == obeyed[0] && published[1] == obeyed[1])

active proctype memory()
{
    do
    :: atomic { word_put[0] != EMPTY -> word[0] = word_put[0]; word_put[0] = EMPTY }
    :: atomic { word_put[1] != EMPTY -> word[1] = word_put[1]; word_put[1] = EMPTY }
    :: atomic { ALL_ENDED -> break }
    od
}

inline add()
{
    atomic {
        cell[c] = cell[c] + 1;
#ifndef ADDITION_NO_FENCE
        EMPTIED
#endif
    }
}

inline leave()
{
#ifdef NONE_BEFORE_SUBTRACTION
    BUFFERED(WORD(NONE, 0));
    LIVE;
    atomic { EMPTIED; cell[c] = cell[c] - 1 }
#else
    BUFFERED(WORD(LEAVING, c));
    LIVE;
    atomic { EMPTIED; cell[c] = cell[c] - 1 }
    LIVE;
    BUFFERED(WORD(NONE, 0))
#endif
}

inline publish()
{
    atomic {
        EMPTIED;
        held--;
        holds[me] = false;
        leaves[me] = false;
        used++;
        published[me] = published[me] + 1;
        lane[me * 2 + c] = lane[me * 2 + c] + 1
    }
}

inline end_call()
{
#ifdef GIVEN_AT_THE_END
    publish();
    LIVE;
    leave()
#else
    atomic { word_put[me] == EMPTY -> word_put[me] = WORD(LEAVING, c); leaves[me] = true }
    LIVE;
#ifdef SLOT_CLEARED_FIRST
    BUFFERED(WORD(NONE, 0));
    LIVE;
    publish()
#else
    publish();
    LIVE;
    BUFFERED(WORD(NONE, 0))
#endif
#endif
}

proctype gateway(byte me)
{
    byte calls, tries, c, seen, now;
    short sum;
    bool over;

    do
    :: calls == CALLS(me) -> break
    :: calls < CALLS(me) ->
        calls++;
        tries = 0;
        atomic { seen = epoch; c = seen % 2 }
#ifdef LOOKED_FIRST
        atomic { sum = cell[0] + cell[1] + counted + 1 }
#endif
        do
        :: tries == TRIES -> BUFFERED(WORD(NONE, 0)); goto next
        :: tries < TRIES ->
            tries++;
#ifndef SLOT_AFTER_ADDITION
            BUFFERED(WORD(JOINING, c));
            LIVE;
#endif
            add();
            LIVE;
#ifdef SLOT_AFTER_ADDITION
            BUFFERED(WORD(JOINING, c));
#endif
#ifdef EPOCH_NOT_LOOKED_AT_AGAIN
            break
#else
            now = epoch;
            if
#ifdef PARITY_LOOKED_AT
            :: now % 2 == c -> break
#else
            :: now == seen -> break
#endif
            :: else
            fi;
#ifdef TAKEN_BACK
            atomic { cell[c] = cell[c] - 1 }
#endif
            atomic { seen = now; c = seen % 2 }
#endif
        od;
#ifndef LOOKED_FIRST
#ifdef COUNTED_LOOKED_AT_FIRST
        sum = counted;
        sum = sum + cell[0];
        sum = sum + cell[1];
#else
        sum = cell[0];
        sum = sum + cell[1];
        sum = sum + counted;
#endif
#endif
        atomic { now = 0; seen = 0; tries = 0; over = sum > LIMIT; sum = 0 }
        if
        :: over -> leave()
        :: else ->
            atomic { held++; holds[me] = true }
            LIVE;
            BUFFERED(WORD(HELD, c));
            LIVE;
            end_call()
        fi;
next:
        LIVE
    od;
gone:
    atomic {
        if
        :: dead[me] && holds[me] -> held--; holds[me] = false
        :: else
        fi;
        ended[me] = true
    }
}

#define TAKE(i) atomic { lane[i] > 0 -> lane[i] = lane[i] - 1; at = i }

active proctype worker()
{
    byte at;

    do
    :: if :: TAKE(0) :: TAKE(1) :: TAKE(2) :: TAKE(3) fi;
#ifdef GIVEN_AT_THE_END
        counted++;
#else
#ifdef RELEASED_BEFORE_COUNTED
        atomic { cell[at % 2] = cell[at % 2] - 1 }
        counted++;
#else
        counted++;
        atomic { cell[at % 2] = cell[at % 2] - 1 }
#endif
#endif
        atomic { obeyed[at / 2] = obeyed[at / 2] + 1; at = 0 }
    :: atomic { ALL_ENDED && ALL_OBEYED -> break }
    od
}

/* The worker's: of a dead gateway that it has drained. Its call is settled, and then what it held is given back. */
inline bury(g)
{
    if
    :: atomic {
        dead[g] && ended[g] && word_put[g] == EMPTY && published[g] == obeyed[g] && !buried[g] ->
            buried[g] = true;
            if
            :: STATE(word[g]) == HELD || leaves[g] -> used++; counted++
            :: else
            fi
        }
        atomic {
            if
#ifdef DEAD_JOINING_TAKEN_OFF
            :: STATE(word[g]) == HELD || STATE(word[g]) == JOINING ->
#else
            :: STATE(word[g]) == HELD ->
#endif
                if
                :: cell[CELL(word[g])] > 0 -> cell[CELL(word[g])] = cell[CELL(word[g])] - 1
                :: else
                fi
            :: else
            fi;
            word[g] = WORD(NONE, 0)
        }
    :: else
    fi
}

inline note(g)
{
    atomic {
        if
#ifdef BUSY_TAKEN_FOR_NONE
        :: STATE(word[g]) == HELD && CELL(word[g]) == drained - 1 -> sum++
#else
        :: STATE(word[g]) != NONE && CELL(word[g]) == drained - 1 -> sum++
#endif
        :: else
        fi
    }
}

inline mark()
{
    atomic { head[0] = published[0]; head[1] = published[1] }
}

inline sweep()
{
    if
    :: drained > 0
    :: else ->
        if
        :: cell[epoch % 2] != 0 -> drained = 1 + epoch % 2;
#ifndef EPOCH_KEPT
            epoch++
#endif
        :: else ->
#ifndef OTHER_CELL_FORGOTTEN
            if
            :: cell[1 - epoch % 2] != 0 -> drained = 2 - epoch % 2
            :: else
            fi
#else
            skip
#endif
        fi
    fi;
#ifdef HEADS_BEFORE_SLOTS
    mark();
#endif
    note(0);
    note(1);
#ifndef HEADS_BEFORE_SLOTS
    mark();
#endif
#ifndef LANES_NOT_WAITED_FOR
    atomic { obeyed[0] >= head[0] && obeyed[1] >= head[1] -> head[0] = 0; head[1] = 0 }
#endif
    atomic {
        if
        :: drained > 0 && cell[drained - 1] > sum -> cell[drained - 1] = sum
        :: else
        fi;
        drained = 0;
        sum = 0;
        head[0] = 0;
        head[1] = 0
    }
}

active proctype collector()
{
    byte sweeps, drained; /* 1 + the cell; 0: none */
    byte head[GATEWAYS];
    short sum;

    run gateway(0);
    run gateway(1);
    do
    :: sweeps == SWEEPS -> break
    :: sweeps < SWEEPS -> bury(0); bury(1); sweep(); sweeps++
    od;
    atomic { ALL_ENDED && ALL_OBEYED -> sweeps = 0 }
    bury(0);
    bury(1);
    do
    :: sweeps == 4 -> break
    :: sweeps < 4 -> sweep(); sweeps++
    od;
    assert(cell[0] == 0 && cell[1] == 0)
}

active proctype law()
{
end:
    do
    :: atomic { held + used > LIMIT -> assert(held + used <= LIMIT) }
    :: atomic { cell[0] + cell[1] + counted < held + used -> assert(cell[0] + cell[1] + counted >= held + used) }
    :: atomic { cell[0] < 0 || cell[1] < 0 -> assert(cell[0] >= 0 && cell[1] >= 0) }
    od
}
