/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane (src/ring/lane.h, lane.c, src/region/view.c) between two processors that keep only the order they are told to.
 *
 *   here                        there
 *   producer: size, at, pad     tkr_lane_reserve, tkr_lane_reserve_slow; cells stand for units of 8 bytes
 *             free_cached       writer->free_cached, read again only when the lane seems full
 *             load of free      tkr_lane_room, acquire (P2)
 *             put               the payload's stores, padding included (I3)
 *             hint, head        tkr_lane_publish: sequence relaxed, head release (P1)
 *             die               SIGKILL between any two stores
 *   consumer: load of head      tkr_view_lane_head, acquire (P1)
 *             copying           tkr_guarded_copy, then parse() of collector/drain.c
 *             store of free     tkr_view_lane_release, release (P2), after the batch's commit
 *   memory                      a store buffer that is emptied in any order, but for one address in the order of the
 *                               stores
 *
 * A release store waits until all before it are visible. A load that is no acquire may be satisfied before what
 * precedes it; so may a store overtake a load before it: then it is put first and the run is given up when the load
 * does not allow it.
 *
 * Claims: every frame that is read is whole and the next one (I2, I4); what is published is read, also after a kill,
 * and nothing else; the hint is at most one ahead.
 *
 * Broken on purpose: HEAD_STORE_RELAXED, HEAD_LOAD_RELAXED, FREE_STORE_RELAXED, FREE_LOAD_RELAXED (each half of P1 and
 * P2), ROOM_OFF_BY_ONE, PADDING_LEFT_OUT.
 */
#define CELLS 4
#define FRAMES 5
#define NONE 255
#define PADDING 2 /* of frame 0 */
#define FIRST(n, size) ((n) * 4 + (size))
#define SECOND(n) ((n) * 4 + 3)

byte cell[CELLS], head, hint, free;                /* as the other side sees them */
byte cell_put[CELLS] = NONE, head_put = NONE, hint_put = NONE; /* the producer's store buffer */
byte published;        /* frames whose store of head has been given */
byte consumed;
bool producer_done, consumer_done, torn, given_up;

#define NO_CELL_PENDING (cell_put[0] == NONE && cell_put[1] == NONE && cell_put[2] == NONE && cell_put[3] == NONE)
#define NOTHING_PENDING (NO_CELL_PENDING && head_put == NONE && hint_put == NONE)
#define LIVE if :: skip :: goto die fi

inline flush(to, from) { atomic { from != NONE -> to = from; from = NONE } }

active proctype memory()
{
    do
    :: flush(cell[0], cell_put[0])
    :: flush(cell[1], cell_put[1])
    :: flush(cell[2], cell_put[2])
    :: flush(cell[3], cell_put[3])
    :: flush(head, head_put)
    :: flush(hint, hint_put)
    :: atomic { producer_done && NOTHING_PENDING -> break }
    od
}

inline put(at_cell, value) { atomic { cell_put[at_cell] == NONE -> cell_put[at_cell] = value } }

inline put_frame()
{
    if
    :: pad > 0 ->
#ifndef PADDING_LEFT_OUT
        put(at, PADDING);
#endif
        at = 0
    :: else
    fi;
    put(at, FIRST(n, size));
    LIVE;
    if
    :: size == 2 -> put(at + 1, SECOND(n))
    :: else
    fi
}

#ifdef ROOM_OFF_BY_ONE
#define FITS (position + pad + size - free_cached <= CELLS + 1)
#else
#define FITS (position + pad + size - free_cached <= CELLS)
#endif

active proctype producer()
{
    byte position, free_cached, n, size, at, pad;
    bool early;

    do
    :: n == FRAMES -> break
    :: n < FRAMES ->
        atomic {
            n++;
            if :: size = 1 :: size = 2 fi;
            at = position % CELLS;
            pad = (at + size > CELLS -> CELLS - at : 0);
            early = false
        }
        do
        :: FITS -> break
        :: else ->
#ifdef FREE_LOAD_RELAXED
            if
            :: !early -> early = true; put_frame() /* the stores overtake the load */
            :: skip
            fi;
            atomic {
                free_cached = free;
                if
                :: early && !FITS -> given_up = true; goto die
                :: else
                fi
            }
#else
            atomic { free != free_cached -> free_cached = free }
#endif
        od;
        if
        :: !early -> put_frame()
        :: else
        fi;
        LIVE;
        atomic { hint_put == NONE -> hint_put = n }
        LIVE;
#ifdef HEAD_STORE_RELAXED
        atomic { head_put == NONE -> position = position + pad + size; head_put = position; published++ }
#else
        atomic { NOTHING_PENDING -> position = position + pad + size; head_put = position; published++ }
#endif
    od;
die:
    producer_done = true
}

inline take(c)
{
    if
    :: c == PADDING -> position = position + CELLS - position % CELLS
    :: (c % 4 == 1 || c % 4 == 2) && c / 4 == consumed + 1 && position + c % 4 <= end ->
        if
        :: c % 4 == 2 && cell[(position + 1) % CELLS] != SECOND(consumed + 1) -> torn = true
        :: else
        fi;
        consumed++;
        position = position + c % 4
    :: else -> torn = true
    fi
}

active proctype consumer()
{
    byte position, end, now, early = NONE;

    do
    :: atomic { producer_done && NOTHING_PENDING && head == position -> break }
    :: torn -> atomic { free = head; producer_done && NOTHING_PENDING -> break } /* lets the run come to its end */
    :: !torn ->
#ifdef HEAD_LOAD_RELAXED
        early = cell[position % CELLS]; /* the load of the payload is satisfied before that of head */
#endif
        end = head;
        if
        :: end == position -> goto again
        :: else
        fi;
#ifdef FREE_STORE_RELAXED
        free = end;
#endif
        do
        :: position < end && !torn ->
            atomic { now = (early != NONE -> early : cell[position % CELLS]); early = NONE }
            atomic { take(now) }
        :: else -> break
        od;
#ifndef FREE_STORE_RELAXED
        free = position;
#endif
again:
        skip
    od;
    consumer_done = true
}

active proctype law()
{
    atomic {
        producer_done && consumer_done && NOTHING_PENDING;
        assert(given_up || (!torn && consumed == published));
        assert(given_up || hint == published || hint == published + 1)
    }
}
