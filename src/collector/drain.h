/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lane to usage table: one batch at a time. Frames are copied out of shared memory, then parsed, then applied; the cursors move
 * in the same batch as the counters, and only after the commit is the memory given back to the producers.
 *
 * An event that tells a model is charged twice to each of its accounts: to the account, and to the account's model.
 */
#ifndef TKR_COLLECTOR_DRAIN_H
#define TKR_COLLECTOR_DRAIN_H

#include "collector/config.h"
#include "collector/feed.h"
#include "event/frame.h"

#define TKR_DRAIN_EVENTS_MAX 256u
#define TKR_DRAIN_CHARGES_MAX (2 * TKR_ACCOUNTS_MAX) /* of an event: each account, and each account's model */
#define TKR_DRAIN_BYTES (UINT32_C(128) << 10)

/* Frames of one lane within a batch. */
struct tkr_drain_span {
    struct tkr_feed *feed;
    uint32_t lane;
    uint32_t first_event;
    uint32_t event_count;
    uint32_t notices_end;  /* of the batch's notices, behind those of this span and of the ones before */
    uint32_t releases_end; /* the same, of releases */
    uint64_t position;     /* behind the last frame */
    uint64_t sequence;     /* of the last frame */
    uint64_t unknown;      /* frames skipped */
    bool broken;           /* what follows is no frame */
};

/* Where an event begins, to go back to should it have to wait: what its span was before it. Of an open call: its slot. */
struct tkr_drain_mark {
    uint64_t position; /* or the slot's number */
    uint64_t unknown;  /* or slots before it that are broken */
    uint32_t notices;  /* of the batch */
    uint32_t releases; /* the same */
};

#define TKR_DRAIN_NOTICES_MAX 512u  /* of a batch */
#define TKR_DRAIN_RELEASES_MAX 512u /* of a batch */

/* A notice of a batch, or a watch: account and cycle alone; it points into the buffer. */
struct tkr_drain_notice {
    enum tkr_notice what;
    uint32_t type_len;
    const char *type; /* of the handler */
    tkr_account account;
    int64_t figure;
    int64_t duration_us;
    uint32_t cycle;
    uint32_t next; /* of a watch: the cycle that follows, and Unix time in seconds at which it does; 0: not told */
    int64_t end_s;
    bool watch;
    bool waits; /* it stays in its lane, behind an event that does, and comes again */
};

/* What an event tells of its call, beside what is charged. Texts point into the buffer. */
struct tkr_drain_call {
    const char *provider;
    const char *model;
    uint32_t provider_len;
    uint32_t model_len;
    int64_t duration_us;    /* 0: not told */
    int64_t first_token_us; /* the same */
    uint16_t present;       /* which counters it adds to: bit i */
    uint8_t error;          /* TKR_ERROR_* */
    bool is_call;           /* and no increment */
    bool refused;           /* not counted with this batch: refused by the table, or it waits */
};

/* Work space of a worker: about 350 KiB. Its events and charges, after a call, are those that were committed. */
struct tkr_drain {
    uint32_t notices;
    struct tkr_drain_notice notice[TKR_DRAIN_NOTICES_MAX];
    uint32_t releases;
    struct tkr_frame_release release[TKR_DRAIN_RELEASES_MAX]; /* of what was counted in this batch or before */
    uint32_t events;
    uint32_t charges;
    uint32_t spans;
    uint32_t bytes;
    bool split;         /* usage by models too */
    uint64_t lane_high; /* bytes: the most that a lane had for this batch */
    struct tkr_drain_span span[TKR_BATCH_LANES_MAX];
    struct tkr_drain_mark mark[TKR_DRAIN_EVENTS_MAX];
    tkr_counts counts[TKR_DRAIN_EVENTS_MAX];
    struct tkr_drain_call call[TKR_DRAIN_EVENTS_MAX];
    struct tkr_charge charge[TKR_BATCH_CHARGES_MAX];
    char label[TKR_DRAIN_EVENTS_MAX][TKR_ENTRY_LABEL_MAX]; /* "provider/model", where a provider is told */
    alignas(64) unsigned char buffer[TKR_DRAIN_BYTES];
};

/*
 * Drains one batch from the feeds, looking at the first of the list first, and in each at the lane after the last looked at. Returns
 * the events counted or dropped, or -1 when memory is short; *ret_more says that lanes may hold more.
 *
 * An event of a new account for which the tmpfs has no memory stays in its lane, with all behind it; other lanes go on. The lane is
 * looked at again when there may be memory (tkr_shard_short_of_memory).
 */
int tkr_drain_batch(struct tkr_drain *drain, struct tkr_shard *shard, struct tkr_feed *feeds, bool *ret_more);

/*
 * Settles some of the open calls of a dead owner whose lanes are drained, by the policy, in a batch of their own.
 * true: all slots have been looked at. Else feed->settling_waits says whether there is no memory for the next one's account.
 */
bool tkr_drain_settle(struct tkr_drain *drain, struct tkr_shard *shard, struct tkr_feed *feed, enum tkr_orphan_policy policy);

#endif
