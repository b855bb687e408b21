/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Retiring a collector that is dead for good: its records leave the sink, the totals stay. (A live one removes its own records:
 * collector/forget.h.)
 *
 * Is it dead? On this host its lock tells; and as long as its tables are in memory here it is not, whether it runs or not: it
 * would count on from records that are gone. On another host, it is asked: a number of ours is put where it keeps the number of
 * its last chunk, and a live one puts its own there as soon as it looks, which it does every second (collector/settle.c).
 *
 * It may have been out of reach, and come back with its memory later. So its number stays behind, higher than any that it knew:
 * then the sink has not gone back, a record that it believes acknowledged and does not find is ambiguous
 * (sink/contribution.h), and is parked and reported; a number that fell to nothing would make it send everything again, on top
 * of the totals that it is in already. Numbers of whole seconds are ours: a collector's are a clock's nanoseconds.
 *
 * Records are removed by the same conditional step that flushes: read, then removed where it still is as it was read. A death
 * at any point leaves records that the next run removes.
 */
#ifndef TKR_COLLECTOR_RETIRE_H
#define TKR_COLLECTOR_RETIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "sink/sink.h"

#define TKR_COLLECTOR_NAME_BYTES 17 /* 16 hexadecimal digits and the NUL */
#define TKR_RETIRE_WAIT_S 10        /* a collector looks every second, when its sink answers in time */

struct tkr_retire_options {
    char name[TKR_COLLECTOR_NAME_BYTES];
    const char *runtime_dir; /* of this host; NULL: the default */
    const char *state_dir;   /* of this host; NULL: none */
    uint32_t wait_s;         /* for a sign of life */
    bool dry_run;            /* only count the records; nobody is asked for a sign of life */
};

struct tkr_retire_report {
    uint32_t sources; /* shards of the collector that the sink knows */
    uint64_t records; /* removed, or, in a dry run, there */
    uint64_t left;    /* not understood, or written at that moment: left alone */
};

/* Is this the name of a collector: 16 digits 0-9 and a-f? */
bool tkr_collector_name_valid(const char *text);

/* A number of a chunk that was put there by a retirement. */
bool tkr_retire_number(uint64_t seen);

/*
 * Retires the collector. 0, or -1 with the reason: it is alive, or may come back to this host; the sink does not know it, or
 * failed. The report holds what was done until then.
 */
int tkr_retire(const struct tkr_retire_options *options, const struct tkr_sink_config *config,
               struct tkr_retire_report *ret_report, tkr_message *ret_message);

#endif
