/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches of a shard (src/table/layout.h): a worker that may be killed between any two stores, and in its recovery too;
 * a reader beside it that never waits: what the batch under way has stamped it takes out of the log.
 *
 *   here              there
 *   CURSOR, ENTRY     struct tkr_lane_cursor (position, counted) and struct tkr_entry (two of its counters)
 *   begin             tkr_batch_begin, tkr_undo_begin
 *   touch             tkr_batch_touch, tkr_undo_touch, tkr_undo_save
 *   the batch         tkr_batch_apply, then move_cursor of collector/drain.c; an entry may be charged twice in it
 *   commit            tkr_batch_commit; only then the lane's memory is given back (release_spans)
 *   recover           recover of table/shard.c, tkr_undo_roll_back and put_back
 *   reader            try_copy of table/reader.c, the accepting of entries
 *   look_up           tkr_undo_read of table/undo.c
 *   killer            SIGKILL: memory stays as it is, what a process had for itself is gone
 *
 * Memory is a prefix of the program's order for whoever comes after a kill. For the reader too: each word is a release
 * store and an acquire load (P1, P2, P3), so it sees them in order; where one of these orders is missing stands a variant
 * of its own.
 *
 * Claims: at each commit, what is counted is what the cursor has passed, and never less than before; at the end every
 * event is counted once, however often the worker was killed; whoever reads an entry gets a state that was committed,
 * whole, and never an older one than before (I1..I4); a lane's memory is given back only for what is committed.
 *
 * Broken on purpose: UNDO_OFF, CURSOR_NOT_LOGGED, USED_BEFORE_RECORD, LOG_RESET_SWAPPED, STAMP_AFTER_CONTENTS,
 * STAMP_REUSED (recovery puts the old stamp back and gives the number again, against I3), READER_IGNORES_COMMITTED,
 * READER_LOADS_COMMITTED_LAST, LOG_NOT_LOOKED_AT_AGAIN (the reader takes what it copied out of the log, whatever has become of
 * the log meanwhile), FREE_BEFORE_COMMIT.
 */
#define EVENTS 3
#define KILLS 2
#define READS 2
#define CURSOR 0
#define ENTRY 1

byte stamp[2], first[2], second[2];             /* the objects */
byte committed;
byte log_batch, log_used;                       /* the undo log */
byte log_object[2], log_stamp[2], log_first[2], log_second[2];
byte lane_free;

bool kill, done;
byte truth;                 /* events committed */
bool was_committed[EVENTS + 1] = false;

inline record()
{
    d_step {
        log_object[used] = object;
        log_stamp[used] = stamp[object];
        log_first[used] = first[object];
        log_second[used] = second[object]
    }
}

inline save()
{
    used = log_used;
#ifdef USED_BEFORE_RECORD
    log_used = used + 1;
    record()
#else
    record();
    log_used = used + 1
#endif
}

inline touch(which, logged)
{
    object = which;
    if
    :: stamp[object] == batch -> skip
    :: else ->
        if
        :: logged -> save()
        :: else
        fi;
#ifndef STAMP_AFTER_CONTENTS
        stamp[object] = batch
#endif
    fi
}

inline add(which, count)
{
    first[which] = first[which] + count;
    second[which] = second[which] + count;
#ifdef STAMP_AFTER_CONTENTS
    stamp[which] = batch
#endif
}

inline begin()
{
    batch++;
#ifdef LOG_RESET_SWAPPED
    log_batch = batch;
    log_used = 0
#else
    log_used = 0;
    log_batch = batch
#endif
}

inline commit()
{
    d_step {
        assert(first[ENTRY] == first[CURSOR] && second[ENTRY] == second[CURSOR] && first[ENTRY] >= truth);
        committed = batch;
        truth = first[ENTRY];
        was_committed[truth] = true
    }
}

inline recover()
{
    batch = committed;
    if
    :: log_batch > committed ->
#ifndef STAMP_REUSED
        batch = log_batch + 1;
#endif
        used = 0;
        do
        :: used < log_used ->
            object = log_object[used];
#ifndef STAMP_REUSED
            stamp[object] = batch;
#endif
            second[object] = log_second[used];
            first[object] = log_first[used];
#ifdef STAMP_REUSED
            stamp[object] = log_stamp[used];
#endif
            used++
        :: else -> break
        od;
#ifndef STAMP_REUSED
        commit()
#endif
    :: else
    fi
}

#ifdef UNDO_OFF
#define ENTRY_LOGGED false
#else
#define ENTRY_LOGGED true
#endif
#ifdef CURSOR_NOT_LOGGED
#define CURSOR_LOGGED false
#else
#define CURSOR_LOGGED true
#endif

inline give_back()
{
    lane_free = first[CURSOR];
    assert(lane_free <= truth)
}

active proctype worker()
{
    byte batch, used, object, events;

restart:
    {
        d_step { batch = 0; used = 0; object = 0; events = 0 }
        recover();
        do
        :: first[CURSOR] >= EVENTS -> break
        :: first[CURSOR] < EVENTS ->
            events = 0;
            begin();
            do
            :: events < 2 && first[CURSOR] + events < EVENTS ->
                touch(ENTRY, ENTRY_LOGGED);
                add(ENTRY, 1);
                events++
            :: events > 0 -> break
            od;
            touch(CURSOR, CURSOR_LOGGED);
            add(CURSOR, events);
#ifdef FREE_BEFORE_COMMIT
            give_back();
#endif
            commit();
#ifndef FREE_BEFORE_COMMIT
            give_back()
#endif
        od;
        done = true
    } unless {
        atomic { kill; kill = false; goto restart }
    };
    assert(first[CURSOR] == EVENTS && second[CURSOR] == EVENTS);
    assert(first[ENTRY] == EVENTS && second[ENTRY] == EVENTS && truth == EVENTS)
}

active proctype killer()
{
    byte kills;

    do
    :: atomic { kills < KILLS && !done && !kill -> kill = true; kills++ }
    :: done -> break
    od
}

/* The value before the batch under way, if the log has it still when it has been read. */
inline look_up()
{
    log_number = log_batch;
    at = log_used;
    d_step {
        found = false;
        do
        :: log_number > committed && at > 0 && !found ->
            at--;
            found = (log_object[at] == ENTRY)
        :: else -> break
        od
    };
    if
    :: found ->
        a = log_first[at];
        b = log_second[at];
#ifndef LOG_NOT_LOOKED_AT_AGAIN
        found = (log_batch == log_number)
#endif
    :: else
    fi;
    d_step { log_number = 0; at = 0 }
}

active proctype reader()
{
    byte known_committed, number, a, b, last, reads, log_number, at;
    bool found;

    was_committed[0] = true;
    do
    :: reads == READS || done -> break
    :: else ->
#ifdef READER_LOADS_COMMITTED_LAST
        known_committed = 255;
#else
        known_committed = committed;
#endif
        number = stamp[ENTRY];
#ifndef READER_IGNORES_COMMITTED
        if
        :: number > known_committed ->
            look_up();
            if
            :: found -> goto accept
            :: else -> goto again
            fi
        :: else
        fi;
#endif
        a = first[ENTRY];
        b = second[ENTRY];
        if
        :: stamp[ENTRY] != number -> goto again
        :: else
        fi;
#ifdef READER_LOADS_COMMITTED_LAST
        if
        :: number > committed -> goto again
        :: else
        fi;
#endif
accept:
        skip;
        d_step {
            assert(a == b && was_committed[a]);
            assert(a >= last);
            last = a;
            reads++
        }
again:
        skip;
        d_step { known_committed = 0; number = 0; a = 0; b = 0; found = false }
    od
}
