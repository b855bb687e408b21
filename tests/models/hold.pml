/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds (src/limit/hold.h, hold.c) on one entry of a board, by two gateways that may die, and the collector that mends.
 *
 *   here                        there
 *   gateway:   word_put         the slot's word in the store buffer: it is seen by others when the buffer is emptied
 *              addition         atomic_fetch_add on the cell, and the fence after it: the buffer is empty after it
 *              epoch again      turn_to_cells (board P4)
 *              look             tkr_board_read: the two cells, one after the other
 *              die              SIGKILL between any two steps; what is in the buffer is seen all the same
 *   collector: bury             tkr_hold_give_dead, for each of the dead once
 *              sweep            tkr_sweep_begin, the slots of those who live or are not buried, tkr_sweep_end
 *
 * Each call holds 1, and the limit is 1: whoever holds must hold alone.
 *
 * Claims: never more is held than the limit (and so no addition is undone that somebody counts on); the cells are never below
 * what is held (I1); when all have ended or died, a few sweeps later both cells are 0.
 *
 * Broken on purpose: LOOKED_FIRST (a check, then an addition), SLOT_AFTER_ADDITION, ADDITION_NO_FENCE, EPOCH_NOT_LOOKED_AT_AGAIN,
 * PARITY_LOOKED_AT (an epoch that has moved on by two is taken for the same),
 * TAKEN_BACK (a late addition is subtracted, though it may have been mended in between), BUSY_TAKEN_FOR_NONE,
 * EPOCH_KEPT, OTHER_CELL_FORGOTTEN (late additions stay), DEAD_JOINING_TAKEN_OFF, NONE_BEFORE_SUBTRACTION.
 */
#define GATEWAYS 2
#define SWEEPS 3
#define TRIES 2

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
bool holds[GATEWAYS], ended[GATEWAYS], dead[GATEWAYS], buried[GATEWAYS];

#ifdef DYING
#define CALLS 1
#define LIVE if :: skip :: dead[me] = true; goto gone fi
#else
#define CALLS 2
#define LIVE skip
#endif
#define BUFFERED(value) atomic { word_put[me] == EMPTY -> word_put[me] = value }
#define EMPTIED if :: word_put[me] != EMPTY -> word[me] = word_put[me]; word_put[me] = EMPTY :: else fi

active proctype memory()
{
    do
    :: atomic { word_put[0] != EMPTY -> word[0] = word_put[0]; word_put[0] = EMPTY }
    :: atomic { word_put[1] != EMPTY -> word[1] = word_put[1]; word_put[1] = EMPTY }
    :: atomic { ended[0] && ended[1] && word_put[0] == EMPTY && word_put[1] == EMPTY -> break }
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

proctype gateway(byte me)
{
    byte calls, tries, c, seen, now;
    short sum;
    bool over;

    do
    :: calls == CALLS -> break
    :: calls < CALLS ->
        calls++;
        tries = 0;
        atomic { seen = epoch; c = seen % 2 }
#ifdef LOOKED_FIRST
        atomic { sum = cell[0] + cell[1] + 1 }
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
        sum = cell[0];
        sum = sum + cell[1];
#endif
        atomic { now = 0; seen = 0; tries = 0; over = sum > 1; sum = 0 }
        if
        :: over -> leave()
        :: else ->
            atomic { held++; holds[me] = true }
            LIVE;
            BUFFERED(WORD(HELD, c));
            LIVE;
            atomic { held--; holds[me] = false }
            leave()
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

inline bury(g)
{
    atomic {
        if
        :: dead[g] && ended[g] && word_put[g] == EMPTY && !buried[g] ->
            buried[g] = true;
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
            fi
        :: else
        fi
    }
}

inline note(g)
{
    atomic {
        if
        :: !buried[g] && STATE(word[g]) != NONE && CELL(word[g]) == drained - 1 ->
            if
            :: STATE(word[g]) == HELD -> sum++
            :: else ->
#ifdef BUSY_TAKEN_FOR_NONE
                skip
#else
                busy = true
#endif
            fi
        :: else
        fi
    }
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
    atomic {
        sum = 0;
        busy = false;
        if
        :: drained > 0 -> before = cell[drained - 1]
        :: else
        fi
    }
    note(0);
    note(1);
    atomic {
        if
        :: drained > 0 && !busy && cell[drained - 1] == before -> cell[drained - 1] = sum; drained = 0
        :: else
        fi;
        sum = 0;
        busy = false;
        before = 0
    }
}

active proctype collector()
{
    byte sweeps, drained; /* 1 + the cell; 0: none */
    bool busy;
    short sum, before;

    run gateway(0);
    run gateway(1);
    do
    :: sweeps == SWEEPS -> break
    :: sweeps < SWEEPS -> bury(0); bury(1); sweep(); sweeps++
    od;
    atomic { ended[0] && ended[1] && word_put[0] == EMPTY && word_put[1] == EMPTY -> sweeps = 0 }
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
    :: atomic { held > 1 -> assert(held <= 1) }
    :: atomic { cell[0] + cell[1] < held -> assert(cell[0] + cell[1] >= held) }
    :: atomic { cell[0] < 0 || cell[1] < 0 -> assert(cell[0] >= 0 && cell[1] >= 0) }
    od
}
