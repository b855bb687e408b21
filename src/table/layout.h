/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shard: one file of the collector in <runtime directory>/collector, written by one worker thread at a time.
 *
 *   offset
 *        0   header, 4096 bytes: identity and geometry (constant), committed batch, the flusher's `seen`, law counters
 *   undo     undo log (table/undo.h)
 *   cursors  region cursors: regions_max x sizeof(struct tkr_cursor)
 *   arena    entries, each from a 64-byte boundary, in the order of their creation
 *
 * The file is as long as it may ever get; memory is allocated (fallocate) before it is touched.
 *
 * Everything that a batch changes is an object that begins with a stamp: the 64-bit number of the last batch that touched
 * it. Law counters, cursors and entries are such objects; the undo log knows nothing else.
 *
 * Invariants
 *   I1  An object whose stamp is at most `committed` holds a committed state, and has since that batch.
 *   I2  The stamp changes before anything else in the object does, within a batch and in a recovery.
 *   I3  A stamp that was given is never given again: recovery gives the objects it puts back a number of its own.
 *   I4  undo.batch > committed  <=>  a batch (or its recovery) is under way; then the log holds the old value of every
 *       object with that stamp.
 *   I5  Entries below arena_used are whole; id, label, kind and cycle change only while life is 0 or not committed, the size of
 *       an entry never: the two lengths that tell it change in one store. Below arena_committed they are
 *       also committed and stay where they are; a recovery may take back what lies between, and other entries follow there.
 *
 * Barrier pairs
 *   P1  stamp, then contents (release stores of each word), read back as stamp, contents (acquire), stamp: a reader that saw
 *       a changed word also sees the changed stamp.
 *   P2  contents, then committed (release); a reader loads committed (acquire) first of all. A stamp that it accepts was
 *       committed when it began, so what it read cannot be taken back (I1, I3).
 *   P3  the log's number, then its records (a fence), read back as number, record, number: a reader takes the old value of an
 *       object with an uncommitted stamp out of the log (I4) and need not wait for its writer, which may be dead. While the
 *       number is the same the log is only added to.
 *   A kill needs no fence: what a dead process leaves is a prefix of its program order.
 *
 * What a kill leaves, at any instruction: the state before the batch plus the log that leads back to it, or the state after
 * it. Who repairs: tkr_shard_open, which may be killed itself and begun again.
 *
 * Versions: magic, major, minor, boot id and inode lie here in every layout. A minor adds words that were 0 and may be left 0; all
 * else is a new major, or another number of counters. Labels are a new major although all else lies as before: who does not know
 * them would take the entry of a model for one of an account in an impossible cycle.
 *
 * Rejected: copy-on-write of entries (twice the memory, and the index would have to be shared); a redo log (every counter is
 * written twice also when nothing dies, and readers would see states that are not in the table yet).
 */
#ifndef TKR_TABLE_LAYOUT_H
#define TKR_TABLE_LAYOUT_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/account.h"
#include "base/counters.h"
#include "base/drops.h"
#include "base/host.h"

#define TKR_SHARD_MAGIC UINT64_C(0x3144524148535254) /* "TRSHARD1" */
#define TKR_SHARD_MAJOR 2u                           /* 2: entries of models; one of major 1 is one of 2 that has none */
#define TKR_SHARD_MINOR 1u        /* 2.1: marks by a clock that does not step; calls with bad times; recheck_seen; sent */
#define TKR_SHARD_MAJOR_OLDEST 1u /* that is still read, and carried over (table/carry.h) */
#define TKR_SHARD_HEADER_BYTES 4096u
#define TKR_SHARDS_MAX 64u /* of a collector */
#define TKR_SHARD_REGIONS_MAX 8192u
#define TKR_SHARD_LANES_MAX 256u
#define TKR_SHARD_REFUSED_MAX 32
#define TKR_ENTRY_UNIT 64u
#define TKR_ENTRY_ID_MAX 255u
#define TKR_ENTRY_LABEL_MAX TKR_LABEL_BYTES_MAX
#define TKR_MARKS 64u
#define TKR_OVERFLOW_ID "~overflow" /* charged when the table is full */
#define TKR_LABEL_OTHER "other"     /* charged when an account has its models, or a label is too long */

/* The law's numbers of a shard, and what else a batch changes once. Regions that are gone are folded in here. */
struct tkr_law {
    _Atomic uint64_t stamp;
    _Atomic uint64_t arena_used;   /* bytes */
    _Atomic uint64_t accounts;     /* entries, those of models too */
    _Atomic uint64_t life_last;    /* life given last */
    _Atomic uint64_t gone_offered; /* usage records that regions now gone had published or dropped; settled calls */
    _Atomic uint64_t gone_counted;
    _Atomic uint64_t gone_settled; /* open calls of dead processes among them */
    _Atomic uint64_t gone_regions;
    _Atomic uint64_t gone_dropped[TKR_DROP_MAX];
    _Atomic uint64_t gone_refused[TKR_SHARD_REFUSED_MAX];
    _Atomic uint64_t overflow_charges; /* charges that went to TKR_OVERFLOW_ID */
    _Atomic uint64_t gone_unknown;     /* frames of types that this version does not know, skipped; never offered */
    _Atomic uint64_t gone_bad_times;   /* calls whose told times made no sense */
};

struct tkr_shard_header {
    uint64_t magic; /* stored last */
    uint32_t major;
    uint32_t minor;
    uint8_t boot_id[TKR_BOOT_ID_BYTES];
    uint64_t inode; /* of this file: a copy is no continuation */
    uint64_t bytes;
    uint64_t undo_offset;
    uint64_t undo_bytes;
    uint64_t cursors_offset;
    uint64_t arena_offset;
    uint64_t arena_bytes;
    uint64_t name; /* of the collector, as the source of contributions */
    uint32_t number;
    uint32_t regions_max;
    uint32_t accounts_max;
    uint32_t counters;
    alignas(128) _Atomic uint64_t committed; /* batch */
    _Atomic uint64_t arena_committed;        /* arena_used of that batch, or of an earlier one; only grows */
    alignas(128) struct tkr_law law;
    alignas(128) _Atomic uint64_t cursors_used; /* cursors that have memory; only grows, in no batch */
    alignas(128) _Atomic uint64_t seen;         /* the flusher's: number of the last chunk acknowledged by the sink */
    _Atomic uint64_t recheck_at;                /* the flusher's: entries in arena[recheck_at, recheck_end) were acknowledged */
    _Atomic uint64_t recheck_end;               /* before the sink went back, and have not been compared with it since */
    _Atomic uint64_t wall_marks;                /* of minor 0, in Unix time, which steps: neither read nor written any more, so */
    _Atomic uint64_t wall_mark_time_s[TKR_MARKS]; /* that a collector of minor 0 finds its own as it left them */
    _Atomic uint64_t wall_mark_batch[TKR_MARKS];
    _Atomic uint64_t marks;                  /* the flusher's: marks ever made; the last TKR_MARKS of them are below */
    _Atomic uint64_t mark_boot_s[TKR_MARKS]; /* when, CLOCK_BOOTTIME: the file is of one boot */
    _Atomic uint64_t mark_batch[TKR_MARKS];  /* the batch committed last by then: stamps up to it are older */
    _Atomic uint64_t
        recheck_seen;      /* the flusher's: the number that the sink had gone back to (sink/sink.h); 0: none, or unknown */
    _Atomic uint64_t sent; /* the flusher's: the highest number that a chunk was given; 0: none, or in a minor before 2.1 */
};
_Static_assert(sizeof(struct tkr_shard_header) <= TKR_SHARD_HEADER_BYTES, "the header fits its page");

/* How far one lane of a region has been counted. */
struct tkr_lane_cursor {
    _Atomic uint64_t stamp;
    _Atomic uint64_t position; /* all before it is counted or dropped */
    _Atomic uint64_t sequence; /* of the last frame before position */
    _Atomic uint64_t counted;  /* frames counted, one by one: sequence, less where the lane was taken up and what was dropped */
};

enum tkr_cursor_state {
    TKR_CURSOR_FREE = 0,
    TKR_CURSOR_ACTIVE = 1,
    TKR_CURSOR_QUARANTINED = 2, /* its region broke the rules: nothing more is read from it */
    TKR_CURSOR_GONE = 3         /* folded into the law; its file may still have to be unlinked */
};

/* A region that belongs to this shard. */
struct tkr_cursor {
    _Atomic uint64_t stamp;
    _Atomic uint64_t state; /* enum tkr_cursor_state */
    _Atomic uint64_t id[2];
    _Atomic uint64_t inode;
    _Atomic uint64_t slots_settled;         /* the synthetic lane: slots of the dead owner that have been looked at */
    _Atomic uint64_t orphans;               /* of them, calls that were open */
    _Atomic uint64_t settled;               /* of these, counted; equals orphans less what was dropped here */
    _Atomic uint64_t dropped[TKR_DROP_MAX]; /* by the collector */
    _Atomic uint64_t unknown;               /* frames of types that this version does not know, skipped */
    _Atomic uint64_t adopted;   /* sum of the sequences from which its lanes were taken up: not offered to this shard */
    _Atomic uint64_t set_aside; /* of dropped[TKR_DROP_CORRUPT]: what its lanes held when it was quarantined */
    _Atomic uint64_t reserved[5];
    struct tkr_lane_cursor lane[TKR_SHARD_LANES_MAX];
};
#define TKR_CURSOR_HEAD_BYTES offsetof(struct tkr_cursor, lane)
_Static_assert(TKR_CURSOR_HEAD_BYTES == 256 && sizeof(struct tkr_lane_cursor) == 32, "cursors have no holes");

/*
 * One (account, cycle), or one model of it: beside the account's own entry, which counts all, there may be entries of (account,
 * cycle, label), which count a part. The undo log covers stamp, counts and life; known is the flusher's own. What follows life is
 * constant as long as life is not 0. An entry of life 0 is forgotten: its memory waits for an entry of as many units.
 */
struct tkr_entry {
    alignas(TKR_ENTRY_UNIT) _Atomic uint64_t stamp;
    _Atomic int64_t counts[TKR_COUNTER_COUNT];
    _Atomic uint64_t life;
    _Atomic uint64_t kind;
    union {
        struct {
            _Atomic uint32_t cycle;          /* yyyymmdd | bytes of the label << 25; no label: the account's own entry */
            _Atomic uint8_t id_len;          /* not 0, also when forgotten: it tells the entry's size */
            _Atomic uint8_t near_full;       /* a counter has passed 2^62: look before adding */
            _Atomic uint16_t known_sequence; /* odd while the flusher writes known */
        };
        _Atomic uint64_t shape; /* the four in one word: struct tkr_entry_shape */
    };
    _Atomic uint64_t known_life; /* what the sink is believed to have; 0: nothing */
    _Atomic int64_t known[TKR_COUNTER_COUNT];
    alignas(8) char id[]; /* then the label; written and read by others in words of 8 bytes, the last may be zeros in part */
};
#define TKR_ENTRY_UNDO_BYTES offsetof(struct tkr_entry, kind)
#define TKR_ENTRY_UNITS_MAX \
    ((offsetof(struct tkr_entry, id) + TKR_ENTRY_ID_MAX + TKR_ENTRY_LABEL_MAX + TKR_ENTRY_UNIT - 1) / TKR_ENTRY_UNIT)

/* What lies in the word `shape`. A reader that takes both lengths out of one load has those of one entry. */
struct tkr_entry_shape {
    uint32_t cycle;
    uint8_t id_len;
    uint8_t near_full;
    uint16_t known_sequence;
};
_Static_assert(sizeof(struct tkr_entry_shape) == sizeof(uint64_t) &&
                   offsetof(struct tkr_entry_shape, id_len) ==
                       offsetof(struct tkr_entry, id_len) - offsetof(struct tkr_entry, cycle) &&
                   offsetof(struct tkr_entry_shape, known_sequence) ==
                       offsetof(struct tkr_entry, known_sequence) - offsetof(struct tkr_entry, cycle),
               "a shape lies as the fields of the entry");

#define TKR_ENTRY_LABEL_SHIFT 25u /* above any cycle: 22611231 is the last */
_Static_assert(TKR_ENTRY_LABEL_MAX < 1u << (32u - TKR_ENTRY_LABEL_SHIFT), "a label's length fits beside the cycle");

/* The word `cycle` of an entry, and what is in it. */
static inline uint32_t tkr_entry_cycle_word(uint32_t cycle, uint32_t label_len)
{
    return cycle | label_len << TKR_ENTRY_LABEL_SHIFT;
}

static inline uint32_t tkr_entry_word_cycle(uint32_t word)
{
    return word & ((UINT32_C(1) << TKR_ENTRY_LABEL_SHIFT) - 1);
}

static inline uint32_t tkr_entry_word_label_len(uint32_t word)
{
    return word >> TKR_ENTRY_LABEL_SHIFT;
}

static inline uint64_t tkr_entry_shape_pack(struct tkr_entry_shape shape)
{
    uint64_t word;

    memcpy(&word, &shape, sizeof(word));
    return word;
}

static inline struct tkr_entry_shape tkr_entry_shape_unpack(uint64_t word)
{
    struct tkr_entry_shape shape;

    memcpy(&shape, &word, sizeof(shape));
    return shape;
}

/* Bytes of an entry whose id and label have so many. */
static inline uint64_t tkr_entry_bytes(uint32_t text_len)
{
    return (offsetof(struct tkr_entry, id) + text_len + TKR_ENTRY_UNIT - 1) / TKR_ENTRY_UNIT * TKR_ENTRY_UNIT;
}

/* Bytes of this entry, whoever looks and whether or not it is forgotten. 0: damaged; no kill leaves that. */
static inline uint64_t tkr_entry_size(const struct tkr_entry *entry)
{
    /* Relaxed: the word may change, the size does not (I5). */
    struct tkr_entry_shape shape = tkr_entry_shape_unpack(atomic_load_explicit(&entry->shape, memory_order_relaxed));
    uint32_t label_len = tkr_entry_word_label_len(shape.cycle);

    return shape.id_len == 0 || label_len > TKR_ENTRY_LABEL_MAX ? 0 : tkr_entry_bytes(shape.id_len + label_len);
}

#endif
