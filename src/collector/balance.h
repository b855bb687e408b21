/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The law's balance of a host, read from shared memory by any process that may read it, whether a collector runs or not:
 *
 *     offered = counted + in_lanes + dropped
 *
 * The two sides are counted by different hands. Offered comes from the frames' own sequence numbers, which producers write;
 * counted from the collector's cursors, which count frame by frame; in_lanes by walking the frames between the two.
 *
 * Readers take no lock and disturb nobody. While calls are under way the balance of each lane is of one moment, those of
 * different lanes are not.
 */
#ifndef TKR_COLLECTOR_BALANCE_H
#define TKR_COLLECTOR_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/settings.h"
#include "collector/health.h"
#include "region/layout.h"

struct tkr_balance {
    uint64_t offered;
    uint64_t counted;
    uint64_t in_lanes;
    uint64_t dropped[TKR_DROP_MAX];
    uint64_t refused[TKR_REFUSED_MAX]; /* by the API, never offered */
    uint64_t unknown;                  /* frames of types that this version does not know, skipped; never offered */
    uint64_t bad_times;                /* calls whose told times made no sense, and have no duration for it */
    uint64_t settled;                  /* of counted: calls whose process had died */
    uint64_t open_calls;
    uint64_t lanes;
    uint64_t lane_bytes; /* that lanes have */
    uint64_t lane_used;  /* of them, bytes that are not counted yet */
};

enum tkr_region_standing {
    TKR_REGION_NEW, /* no collector has taken it up yet */
    TKR_REGION_ACTIVE,
    TKR_REGION_QUARANTINED, /* it broke the rules; nothing more is read from it */
    TKR_REGION_NEWER,       /* of a layout for a newer collector, which will find all of it; not in the balance */
    TKR_REGION_OLDER,       /* of a layout that only an older collector reads; not in the balance */
    TKR_REGION_UNREADABLE   /* of another boot, broken, or denied to us; not in the balance */
};

struct tkr_balance_region {
    char name[TKR_REGION_NAME_BYTES];
    char command[17];
    uint32_t pid;
    bool alive;
    int shard; /* -1: none yet */
    enum tkr_region_standing standing;
    struct tkr_balance balance;
};

struct tkr_balance_shard {
    uint32_t number;
    uint64_t name;      /* the collector's, for the source */
    uint64_t accounts;  /* accounts and cycles in memory, and models of them */
    uint64_t unflushed; /* of them, not in the sink as far as known */
    uint64_t overflow_charges;
    uint64_t gone_regions;
    struct tkr_balance balance; /* its regions, gone ones included */
};

struct tkr_host_balance {
    bool collector_running;
    uint32_t shard_count;
    uint32_t region_count;
    struct tkr_balance_shard *shard;
    struct tkr_balance_region *region;
    struct tkr_balance host;   /* everything */
    struct tkr_health *health; /* what the collector, or the last one, says of its sink; NULL: nothing */
};

/* Reads it all. 0, or -1 with the reason; free with tkr_balance_free. tkr_guard_install() must have been called. */
int tkr_balance_read(const char *runtime_dir, struct tkr_host_balance *ret_balance, tkr_message *ret_message);

/* The same, but for the accounts that are unflushed, which stay 0: each entry would be looked at. */
int tkr_balance_read_law(const char *runtime_dir, struct tkr_host_balance *ret_balance, tkr_message *ret_message);

void tkr_balance_free(struct tkr_host_balance *balance);

/* Sum over the causes. */
uint64_t tkr_balance_dropped(const struct tkr_balance *balance);

/* Does the law hold? */
bool tkr_balance_holds(const struct tkr_balance *balance);

#endif
