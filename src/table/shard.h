/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shard as its worker sees it: opened (made or recovered), changed in batches, closed.
 *
 * Threads: one worker at a time; what the flusher may call says so.
 */
#ifndef TKR_TABLE_SHARD_H
#define TKR_TABLE_SHARD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/settings.h"
#include "table/index.h"
#include "table/layout.h"
#include "table/undo.h"

#define TKR_BATCH_CHARGES_MAX 1024u /* charges in a batch */
#define TKR_BATCH_LANES_MAX 256u    /* lane cursors in a batch */
#define TKR_BATCH_CURSORS_MAX 256u  /* region cursors in a batch: each lane may be of another region */

#define TKR_MODELS_MAX 16u
#define TKR_REQUESTS_MAX 64u

enum tkr_request_kind {
    TKR_REQUEST_FORGET, /* give up an entry that the sink has and that has been idle; an account's own after all its models' */
    TKR_REQUEST_RELIVE  /* begin a new life with what the sink has not acknowledged */
};

/* What the flusher wants done with an entry, which only the worker may do. */
struct tkr_request {
    enum tkr_request_kind kind;
    uint32_t reference;
    uint64_t life;       /* that it has; another: nothing is done */
    uint64_t stamp_max;  /* FORGET: touched later, it stays */
    uint64_t life_above; /* RELIVE: the new life is higher */
    bool done;           /* out */
};

/* Entries that changed since the last handover, by reference; a list that the worker fills and the flusher empties. */
struct tkr_changed {
    uint32_t *reference;
    size_t count;
    size_t max;
};

struct tkr_shard {
    struct tkr_shard_header *header; /* the mapping */
    unsigned char *base;             /* the same */
    struct tkr_undo *undo;
    struct tkr_cursor *cursor;
    unsigned char *arena;
    uint64_t arena_allocated; /* bytes of the arena that have memory */
    uint64_t batch;           /* under way, or the last one */
    uint64_t handed_over;     /* entries with a stamp above it are in `changed` */
    uint64_t seed;            /* of the hashes */
    struct tkr_index index;
    struct tkr_changed *changed;
    struct tkr_changed lists[2];
    _Atomic(struct tkr_changed *) to_flusher;     /* handed over, not yet taken */
    _Atomic(struct tkr_changed *) from_flusher;   /* empty, to fill next */
    atomic_bool asked;                            /* the flusher wants the changed entries, and its requests done */
    struct tkr_request request[TKR_REQUESTS_MAX]; /* the flusher's; between asking and the answer the worker's */
    uint32_t request_count;
    struct tkr_changed unused[TKR_ENTRY_UNITS_MAX + 1]; /* forgotten entries by size in units, the worker's */
    uint8_t *labels;     /* by reference of an account's own entry: how many models it has; TKR_LABELS_OTHER: and `other` */
    uint32_t models_max; /* as opened with */
    bool labelled;       /* there were entries of models at start */
    int fd;
    int64_t memory_retry_ns; /* monotonic: the tmpfs had no memory, and is not asked for more before; 0: it had some */
    bool overflowing;        /* said so in the log: there was no room for an account */
    bool recovered;          /* opening put an unfinished batch back */
};

#define TKR_LABELS_OTHER 0x80u

/*
 * One account's share of an event, for tkr_batch_apply. With a model, what goes to the account's entry of that label; the charge
 * of the account itself, of the same event, comes before it.
 */
struct tkr_charge {
    uint64_t kind;
    const char *id;
    uint32_t id_len;
    uint32_t cycle;
    uint32_t model_len; /* 0: the account itself; at most TKR_ENTRY_LABEL_MAX */
    const char *model;
    const tkr_counts *counts;
    uint32_t event; /* charges of one event follow each other and carry its number */
    uint32_t queue; /* events of one queue follow each other: where one must wait, so must all behind it */
    bool refused;   /* out: the event can never be counted: a counter would pass 2^63-1 */
    bool waits;     /* out: there is no memory for one of its accounts at present; nothing of it was counted */
    uint32_t word;  /* work space: cycle and length of the label as an entry has them */
    uint64_t hash;
    struct tkr_entry *entry;
};

/* What a shard is opened with. */
struct tkr_shard_options {
    uint64_t name;         /* the collector's */
    uint32_t number;       /* of the shard */
    uint32_t accounts_max; /* entries, 1..10,000,000; beyond them TKR_OVERFLOW_ID is charged */
    uint32_t models_max;   /* of an account and cycle, 0..TKR_MODELS_MAX; beyond them TKR_LABEL_OTHER is charged */
};

/*
 * Opens the file "shard-N" in the directory, making it if it is missing (table/file.h: what becomes of one that does not fit). It
 * keeps the name it was made with: under another one the sink would take the same usage twice. An unfinished batch is put back.
 * 0, or -1 with the reason. The caller closes it.
 */
int tkr_shard_open(int directory, const struct tkr_shard_options *options, struct tkr_shard **ret_shard,
                   tkr_message *ret_message);

void tkr_shard_close(struct tkr_shard *shard);

/* Begins a batch: everything up to tkr_batch_commit happens wholly or not at all. false: no memory; try later. */
bool tkr_batch_begin(struct tkr_shard *shard);

/* Saves an object (one that begins with a stamp) before its first change in this batch. */
static inline void tkr_batch_touch(struct tkr_shard *shard, void *object, size_t bytes)
{
    tkr_undo_touch(shard->undo, shard->base, (uint64_t)((unsigned char *)object - shard->base), bytes, shard->batch);
}

/* Stores one word of a touched object (release: layout.h, P1). */
static inline void tkr_batch_set(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static inline void tkr_batch_add(_Atomic uint64_t *word, uint64_t more)
{
    tkr_batch_set(word, atomic_load_explicit(word, memory_order_relaxed) + more); /* the worker's own words */
}

/* The law's counters, ready to change. */
struct tkr_law *tkr_batch_law(struct tkr_shard *shard);

/*
 * Adds the charges, count up to TKR_BATCH_CHARGES_MAX in a batch. An event whose account is new, while the tmpfs has no memory
 * for it, waits, and so does what is behind it in its queue: the caller keeps them and offers them again (table/entries.c).
 */
void tkr_batch_apply(struct tkr_shard *shard, struct tkr_charge *charge, uint32_t count);

void tkr_batch_commit(struct tkr_shard *shard);

/* Did the tmpfs refuse memory just now? Until it may be asked again, what waits for it would wait in vain. */
bool tkr_shard_short_of_memory(const struct tkr_shard *shard);

/* Cursors that have memory: shard->cursor[0..count). */
uint32_t tkr_shard_cursor_count(const struct tkr_shard *shard);

/* A free cursor, for the caller to take in a batch; NULL: all are in use, or there is no memory. */
struct tkr_cursor *tkr_shard_cursor_unused(struct tkr_shard *shard);

/*
 * The changed entries, from the worker to the flusher, and requests the other way. The flusher asks; the worker answers between two batches, so that what
 * it hands over is committed; the flusher takes the list (NULL: nothing has changed) and gives it back empty when it is done.
 */
void tkr_shard_changed_ask(struct tkr_shard *shard);
void tkr_shard_changed_answer(struct tkr_shard *shard);
bool tkr_shard_changed_answered(const struct tkr_shard *shard);
struct tkr_changed *tkr_shard_changed_take(struct tkr_shard *shard);
void tkr_shard_changed_return(struct tkr_shard *shard, struct tkr_changed *list);

/* Worker, between batches: the reference of an account's own entry in a cycle; 0: there is none. */
uint32_t tkr_shard_find(const struct tkr_shard *shard, uint64_t kind, const char *id, uint32_t id_len, uint32_t cycle);

/* Flusher: notes what the sink is believed to have recorded of an entry. */
void tkr_entry_known_set(struct tkr_entry *entry, uint64_t life, const tkr_counts *counts);

static inline struct tkr_entry *tkr_shard_entry(const struct tkr_shard *shard, uint32_t reference)
{
    return (struct tkr_entry *)(shard->arena + (uint64_t)(reference - 1) * TKR_ENTRY_UNIT);
}

#endif
