/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A window (src/limit/window.h, window.c): two threads of a gateway hold and give back on the board that they see, while a third
 * exchanges it for the next. Addresses of reservations are three; what lies at each is a board's cells, or zeros of the process.
 *
 *   here                        there
 *   holder:    word_put         the slot's word in the store buffer
 *              addition         atomic_fetch_add on the cell, and the fence after it: the buffer is empty after it
 *              turn again       tkr_board_shown (P2), in tkr_hold_take
 *              give             tkr_hold_give: the board that is seen now, if the slot names it
 *   finder:    turn             made odd, with its fence, before anything else of the exchange
 *              zeros            drop_cells
 *              named            inherit_cells: the first address that lies free of a board that a slot names, else the next one
 *
 * Claims: nothing is subtracted from cells that it was not added to, but for zeros; who was told that it holds has it in its
 * board's cells as long as they lie there. (An addition may reach another board: that is drift, which is mended.)
 *
 * Broken on purpose: NAMES_IGNORED, NAMED_BEFORE_TURN, TURN_NOT_LOOKED_AT_AGAIN, ADDITION_NO_FENCE, TAKEN_BACK (the addition to a
 * board that is gone is subtracted), GIVEN_BY_ADDRESS (whatever board the slot names), NONE_BEFORE_SUBTRACTION.
 */
#define HOLDERS 2
#define CALLS 2
#define BOARDS 4
#define ADDRESSES 4
#define ZEROS 0
#define EMPTY 255

byte lies[ADDRESSES];            /* the board whose cells lie there; ZEROS */
byte at[BOARDS + 1];             /* the address of each board's cells, as its view has it */
byte last[ADDRESSES];            /* the board whose cells lay there, if a later one may have the address; 0: not so */
byte board;                      /* that is seen */
byte turn;                       /* even: twice the board's number */
byte word[HOLDERS];              /* the board that the slot names; 0: none */
byte word_put[HOLDERS] = EMPTY;
byte wrong;

#define BUFFERED(value) atomic { word_put[me] == EMPTY -> word_put[me] = value }
#define EMPTIED if :: word_put[me] != EMPTY -> word[me] = word_put[me]; word_put[me] = EMPTY :: else fi

active proctype memory()
{
end:
    do
    :: atomic { word_put[0] != EMPTY -> word[0] = word_put[0]; word_put[0] = EMPTY }
    :: atomic { word_put[1] != EMPTY -> word[1] = word_put[1]; word_put[1] = EMPTY }
    od
}

/* Takes off what went to the cells of board `to`. */
inline subtract(b, to)
{
    atomic {
        EMPTIED;
        wrong = (lies[at[b]] != ZEROS && lies[at[b]] != to -> 1 : wrong)
    }
}

proctype holder(byte me)
{
    byte calls, b, to, now;

    do
    :: calls == CALLS -> break
    :: calls < CALLS ->
        calls++;
        b = board;
        BUFFERED(b);
        atomic { /* the addition */
            to = lies[at[b]];
#ifndef ADDITION_NO_FENCE
            EMPTIED
#endif
        }
#ifndef TURN_NOT_LOOKED_AT_AGAIN
        if
        :: turn == 2 * b
        :: else ->
#ifdef TAKEN_BACK
            subtract(b, to);
#endif
            goto none
        fi;
#endif
        atomic { wrong = (to != b && lies[at[b]] == b -> 1 : wrong) }; /* HELD */
        now = board; /* its end */
#ifdef GIVEN_BY_ADDRESS
        subtract(now, to);
#else
        if
        :: now == b ->
#ifdef NONE_BEFORE_SUBTRACTION
            BUFFERED(0);
#endif
            subtract(b, to)
        :: else
        fi;
#endif
none:
        BUFFERED(0);
        atomic { b = 0; to = 0; now = 0 }
    od
}

#ifdef NAMES_IGNORED
#define NAMED(b) false
#else
#define NAMED(b) (word[0] == (b) || word[1] == (b))
#endif

inline consider(a)
{
    if
    :: address == ADDRESSES && last[a] != 0 ->
        if
        :: !NAMED(last[a]) -> address = a
        :: else
        fi
    :: else
    fi
}

inline look_for_address()
{
    address = ADDRESSES;
    consider(0);
    consider(1);
    consider(2);
    if
    :: address == ADDRESSES -> address = fresh; fresh++
    :: else
    fi
}

active proctype finder()
{
    byte next, address, fresh;

    atomic {
        board = 1;
        turn = 2;
        at[1] = 0;
        lies[0] = 1;
        fresh = 1;
        next = 2;
        run holder(0);
        run holder(1)
    }
    do
    :: next > BOARDS -> break
    :: next <= BOARDS ->
#ifdef NAMED_BEFORE_TURN
        last[at[board]] = board;
        look_for_address();
#endif
        turn = 2 * board + 1;
        lies[at[board]] = ZEROS;
#ifndef NAMED_BEFORE_TURN
        last[at[board]] = board;
        look_for_address();
#endif
        atomic { last[address] = 0; at[next] = address; lies[address] = next };
        board = next;
        turn = 2 * board;
        next++
    od
}

active proctype law()
{
end:
    atomic { wrong != 0 -> assert(wrong == 0) }
}
