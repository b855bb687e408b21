/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contributions of one account (src/sink/sink.h): a collector that may be killed, a network that cuts connections,
 * delivers late, in any order between connections, and twice, and a Redis that may go back to an older state of itself.
 *
 *   here                    there
 *   now, known, seen,       the shard's memory, which survives a kill: the entry's counts and known, header->seen,
 *   recheck                 header->recheck_at < recheck_end
 *   numbers                 the clock, from which next_seen takes a chunk's number: it goes on over a kill
 *   expected, given         outlet->seen_expected, outlet->seen_sent: the flusher's own
 *   send                    collector/parcel.c fills and numbers, collector/delivery.c submits; an empty chunk is a probe
 *   note_seen, settle       those of collector/settle.c, which decides by contribution.c; resend: requeue
 *   cut                     tkr_delivery_fail: what was in flight may still arrive
 *   redis                   the script of src/sink/redis/script.c
 *   snapshot, go_back       a failover or a torn log: totals, record and `seen` together are an older state. A command
 *                           that was late arrives in it as in any other; one that was executed before does not come
 *                           again (no TCP connection does that): then `seen` could go forward without its record.
 *   EVICTING                somebody removes the record alone, once it is acknowledged and nothing is on its way; more
 *                           than that is not promised of a Redis that evicts
 *   HOST_LOST               the shard's memory is lost; the entry comes back as a newer life
 *   FORGETTING              request_idle of collector/forget.c: an entry that is acknowledged is given up, its record is removed by a
 *                           command like any other (remove_records), and a late event brings it back as a newer life
 *   ERASING                 `tokenring forget`: totals and record go in one step, which is remembered (tombstone: decide's `erased`);
 *                           relive: tkr_forget_relive, a new life of what was not acknowledged
 *
 * Claims: the total in Redis is the sum of what it recorded and never above what was counted; once all is calm it is
 * what was counted, whatever happened before (with ERASING, what was erased and what is there are what was counted; with
 * UNANSWERED besides, where a reply may be lost and the collector killed, what was applied and not answered may return, and nothing is
 * missing; with EVICTING it may stay below, and the entry is parked; with HOST_LOST
 * it is what Redis had of the old life and all of the new one).
 *
 * Three rules beyond the script are needed for that, and each has its variant without it:
 *  - An answer is an acknowledgement only if its chunk found the `seen` that it expected: else its own number was not
 *    recorded, and nothing would tell that Redis went back to before it. (ACKNOWLEDGED_OUT_OF_ORDER)
 *  - A number is never given twice, not by the next process either: else a late chunk of the last one passes for a
 *    newer one once Redis has gone back. (NUMBERS_GIVEN_AGAIN)
 *  - A chunk whose number is not above the `seen` that it finds is late: it changes nothing. Else the first contribution of an
 *    entry, held up on a connection that was given up, would be taken for another one once the record is removed.
 *    (with FORGETTING: LATE_APPLIED)
 *
 * Broken on purpose besides: RECORD_IGNORED (the script just adds), BLIND_RESEND (the found record is expected, the old
 * difference sent), SEEN_NOT_LOOKED_AT, SEEN_ALWAYS_ADVANCED, HEALED_UNSEEN (with EVICTING: a missing record is taken
 * for a lost one though Redis did not go back), LIFE_IGNORED (with HOST_LOST), and with FORGETTING: LIFE_KEPT (an entry comes
 * back under the life that it had), REMOVED_BLINDLY (the record is removed whatever it is by now), FORGOTTEN_UNACKNOWLEDGED; with
 * ERASING: ERASED_HEALED (the record is taken for lost, all is sent again), ERASED_ACKNOWLEDGED (what is new is taken for erased too).
 */
#ifdef ERASING
#define COUNTED 3
#else
#define COUNTED 2
#endif
#define COMMANDS 3      /* on their way at the same time */

#ifdef EVICTING
#define CUTS 0
#define KILLS 0
#define TIMES_BACK 0
#define TIMES_TWICE 0
#elif defined(HOST_LOST)
#define CUTS 2
#define KILLS 0
#define TIMES_BACK 0
#define TIMES_TWICE 1
#elif defined(ERASING) && !defined(UNANSWERED)
#define CUTS 0
#define KILLS 0
#define TIMES_BACK 0
#define TIMES_TWICE 1
#elif defined(ERASING)
#define CUTS 1
#define KILLS 1
#define TIMES_BACK 0
#define TIMES_TWICE 0
#elif defined(FORGETTING)
#define CUTS 1
#define KILLS 1
#define TIMES_BACK 0
#define TIMES_TWICE 1
#elif !defined(CUTS)
#define CUTS 1
#define KILLS 1
#define TIMES_BACK 1
#define TIMES_TWICE 1
#endif

/* A record is life * 16 + counts, 0 for none. */
#define LIFE(r) ((r) / 16)
#define COUNTS(r) ((r) % 16)

/* The network: commands that Redis has yet to execute. */
bool there[COMMANDS], with_item[COMMANDS], repeated[COMMANDS];
byte of_connection[COMMANDS], old[COMMANDS], new[COMMANDS], difference[COMMANDS];
byte seen_old[COMMANDS], seen_new[COMMANDS];

/* Redis, and the state to which it may go back. */
byte total, record, redis_seen;
byte total_then, record_then, seen_then;
bool kept;
byte total_of_old; /* what it has of the life before */
byte erased;       /* what it had when it was told to forget */
bool tombstone;

/* The answer on the connection that is open. */
byte connection;
bool waiting, answered, answer_applied;
byte answer_seen, answer_found;

/* The shard. */
byte life = 1, now, known, known_before, seen, numbers;
bool recheck;

/* The flusher's own. */
byte expected, given, sent_known, sent_new, sent_expected, sent_next, sent_difference, blind;
bool resend, noted, sent_item, sent_removal, sent_recheck, sent_calm, clean;
byte removal; /* the record of a forgotten entry, which is to go; 0: none */

byte counted_of_old, cuts, kills, back, twice;
bool evicted, lost, forgotten, calm, parked, finished;

#define NETWORK_EMPTY (!there[0] && !there[1] && !there[2])
#define NOW (life * 16 + now)
#ifdef ERASING /* a life counts on where the one before was */
#define COUNT_ON (counted_of_old + now < COUNTED)
#define COUNTED_ALL (counted_of_old + now == COUNTED)
#else
#define COUNT_ON (now < COUNTED)
#define COUNTED_ALL (now == COUNTED)
#endif
#define QUEUED (now > 0 && !parked && (known != NOW || resend))

#ifdef LATE_APPLIED
#define LATE(i) false
#else
#define LATE(i) (seen_new[i] != seen_old[i] && redis_seen >= seen_new[i])
#endif
#ifdef REMOVED_BLINDLY
#define FITS(i) ((record == old[i] || new[i] == 0) && !LATE(i))
#else
#define FITS(i) (record == old[i] && !LATE(i))
#endif

/* --- Redis --- */

inline apply(i)
{
    if
    :: LIFE(record) != LIFE(new[i]) -> total_of_old = total_of_old + COUNTS(record)
    :: else
    fi;
    total = total + difference[i];
    record = new[i];
#ifdef UNANSWERED
    assert(total <= counted_of_old + now); /* never above */
#else
    assert(total + erased <= counted_of_old + now); /* never above */
#endif
#if !defined(EVICTING) && !defined(BLIND_RESEND) && !defined(LIFE_IGNORED) && !defined(RECORD_IGNORED)
    assert(total == COUNTS(record) + total_of_old)
#endif
}

inline advance_seen(i)
{
#ifdef SEEN_ALWAYS_ADVANCED
    redis_seen = (seen_new[i] > redis_seen -> seen_new[i] : redis_seen)
#else
    redis_seen = (redis_seen == seen_old[i] -> seen_new[i] : redis_seen)
#endif
}

inline clear(i)
{
    there[i] = false; repeated[i] = false; with_item[i] = false; of_connection[i] = 0; old[i] = 0; new[i] = 0;
    difference[i] = 0; seen_old[i] = 0; seen_new[i] = 0
}

inline drop_repeated(i)
{
    if
    :: repeated[i] -> clear(i)
    :: else
    fi
}

inline execute(i)
{
    if
    :: of_connection[i] == connection && waiting && !repeated[i] ->
        answered = true;
        answer_seen = redis_seen;
        answer_found = record;
        answer_applied = (with_item[i] && FITS(i))
    :: else
    fi;
    if
#ifdef RECORD_IGNORED
    :: with_item[i] -> apply(i)
#else
    :: with_item[i] && FITS(i) -> apply(i)
#endif
    :: else
    fi;
    advance_seen(i);
    if
    :: twice < TIMES_TWICE && !calm -> repeated[i] = true; twice++ /* it comes once more, whenever */
    :: clear(i)
    fi
}

active proctype redis()
{
    do
    :: atomic { there[0] -> execute(0) }
    :: atomic { there[1] -> execute(1) }
    :: atomic { there[2] -> execute(2) }
    :: atomic { /* snapshot */
           !kept && !calm && back < TIMES_BACK ->
           kept = true; total_then = total; record_then = record; seen_then = redis_seen
       }
    :: atomic { /* go_back */
           kept && !calm && back < TIMES_BACK ->
           back++; total = total_then; record = record_then; redis_seen = seen_then;
           drop_repeated(0); drop_repeated(1); drop_repeated(2);
           kept = false; total_then = 0; record_then = 0; seen_then = 0
       }
#ifdef EVICTING
    :: atomic { !evicted && record != 0 && record == known && NETWORK_EMPTY && !waiting -> evicted = true; record = 0 }
#endif
#ifdef ERASING
    :: atomic { /* erase */
           !calm && !tombstone && total > 0 ->
           tombstone = true; erased = total; total = 0; record = 0; total_of_old = 0
       }
#endif
    :: atomic { !calm && NETWORK_EMPTY -> calm = true } /* from now on nothing goes wrong */
    :: finished -> break
    od
}

/* --- the collector --- */

inline put(i)
{
    there[i] = true;
    of_connection[i] = connection;
    with_item[i] = sent_item || sent_removal;
    old[i] = (sent_item -> known : (sent_removal -> removal : 0));
    new[i] = sent_new;
    difference[i] = sent_difference;
    seen_old[i] = sent_expected;
    seen_new[i] = sent_next
}

inline find_difference()
{
#ifdef LIFE_IGNORED
    sent_difference = (now > COUNTS(known) -> now - COUNTS(known) : 0);
#else
    sent_difference = (LIFE(known) == life -> now - COUNTS(known) : now);
#endif
#ifdef BLIND_RESEND
    if
    :: blind > 0 -> sent_difference = blind
    :: else
    fi
#endif
}

inline send()
{
    sent_item = QUEUED || (recheck && now > 0 && !parked);
    sent_removal = removal != 0 && !sent_item;
    sent_recheck = recheck && !QUEUED;
    sent_calm = calm && !sent_item && !sent_removal;
    sent_expected = expected;
    sent_next = expected;
    sent_new = 0;
    sent_difference = 0;
    if
    :: sent_item ->
        given++;
        numbers = given;
        sent_next = given;
        sent_new = NOW;
        find_difference()
    :: sent_removal ->
        given++;
        numbers = given;
        sent_next = given
    :: else
    fi;
    expected = sent_next;
    if
    :: !there[0] -> put(0)
    :: there[0] && !there[1] -> put(1)
    :: else -> put(2)
    fi;
    waiting = true;
    clean = false
}

inline know(what)
{
    known_before = known;
    known = what
}

inline note_seen()
{
#ifndef SEEN_NOT_LOOKED_AT
    recheck = recheck || (answer_seen < seen);
#endif
    if
    :: answer_seen == sent_expected -> seen = sent_next
    :: else -> seen = answer_seen; expected = answer_seen
    fi;
    if
    :: seen > given -> given = seen; numbers = given
    :: else
    fi;
    noted = true
}

#if defined(ACKNOWLEDGED_OUT_OF_ORDER) || defined(SEEN_ALWAYS_ADVANCED)
#define COVERED true
#else
#define COVERED (answer_seen == sent_expected)
#endif
#ifdef HEALED_UNSEEN
#define IN_ORDER false
#else
#define IN_ORDER (!recheck)
#endif
#ifdef LIFE_IGNORED
#define AHEAD (COUNTS(answer_found) > COUNTS(sent_new))
#else
#define AHEAD (answer_found > sent_new)
#endif

#ifdef ERASED_HEALED
#define HEALED tombstone
#else
#define HEALED false
#endif

/* A record that is missing: begins a new life where it was erased, else parks. */
inline relive()
{
    if
#ifdef ERASED_ACKNOWLEDGED
    :: tombstone -> know(sent_new); resend = false
#else
    :: tombstone ->
        counted_of_old = counted_of_old + COUNTS(known);
        now = now - COUNTS(known);
        life++;
        resend = false
#endif
    :: else -> parked = true
    fi
}

inline settle()
{
    if
    :: sent_removal -> removal = (COVERED -> 0 : removal) /* whatever was found */
    :: !sent_item && !sent_removal -> clean = sent_calm && COVERED && !QUEUED && (!recheck || parked)
    :: sent_item && !COVERED -> resend = true /* with the same known */
    :: sent_item && COVERED && (answer_applied || answer_found == sent_new) ->
        know(sent_new);
        resend = false;
        blind = 0
    :: sent_item && COVERED && !answer_applied && answer_found != sent_new ->
        if
        :: answer_found == 0 && LIFE(known) == life && IN_ORDER && !HEALED -> relive()
        :: else ->
            assert(!AHEAD);
            blind = sent_difference;
            know(answer_found);
            resend = true
        fi
    fi;
    if
    :: sent_item && sent_recheck && COVERED -> recheck = false
    :: else
    fi;
    hang_up()
}

/* Forgets what was asked. */
inline hang_up()
{
    waiting = false; answered = false; noted = false; answer_applied = false; answer_seen = 0; answer_found = 0;
    sent_item = false; sent_removal = false; sent_recheck = false; sent_calm = false; sent_new = 0; sent_expected = 0; sent_next = 0;
    sent_difference = 0
}

/* The next process takes up what the shard has. */
inline start_again()
{
    resend = false;
    blind = 0;
    removal = 0; /* what it would have removed stays */
    clean = false;
    expected = seen;
#ifdef NUMBERS_GIVEN_AGAIN
    given = seen;
#else
    given = numbers;
#endif
    connection++;
    hang_up()
}

active proctype collector()
{
    do
    :: atomic { COUNT_ON -> now++; clean = false }
    :: atomic { !waiting && !(there[0] && there[1] && there[2]) && !clean -> send() }
    :: atomic { waiting && answered && !noted -> note_seen() }
    :: atomic { noted -> settle() }
    :: atomic { /* cut */
           waiting && !noted && !calm && cuts < CUTS ->
           cuts++; connection++; expected = seen; resend = resend || sent_item; hang_up()
       }
    :: atomic { /* kill: known may be behind what was acknowledged */
           !calm && kills < KILLS ->
           kills++;
           if
           :: known_before < known -> known = known_before
           :: known = 0
           :: skip
           fi;
           start_again()
       }
#ifdef HOST_LOST
    :: atomic {
           !calm && !lost && now > 0 ->
           lost = true; counted_of_old = now; life = 2; now = 0; known = 0; known_before = 0; seen = 0; numbers = 0;
           start_again()
       }
#endif
#ifdef FORGETTING
#ifdef FORGOTTEN_UNACKNOWLEDGED
#define IDLE (now > 0)
#else
#define IDLE (now > 0 && known == NOW && !QUEUED)
#endif
    :: atomic { /* forget */
           !forgotten && !waiting && IDLE ->
           forgotten = true; removal = NOW; counted_of_old = now;
#ifndef LIFE_KEPT
           life = 2;
#endif
           now = 0; known = 0; known_before = 0; clean = false
       }
#endif
    :: atomic { clean && COUNTED_ALL && !QUEUED && (!recheck || parked) -> break }
    od;
    finished = true;
#if defined(EVICTING)
    assert(total == now || parked)
#elif defined(UNANSWERED)
    assert(total <= counted_of_old + now && total + erased >= counted_of_old + now && !parked)
#elif defined(ERASING)
    assert(total + erased == counted_of_old + now && !parked)
#else
    assert(total == total_of_old + now && !parked);
#ifdef FORGETTING
    assert(total == counted_of_old + now)
#endif
#endif
}
