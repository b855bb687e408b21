/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local time zone, asked once and then known: localtime_r takes a lock of libc, which would make a producer wait for
 * whatever thread of its host asks for the time, and wait for ever in a child that was forked while one did.
 */
#ifndef TKR_BASE_ZONE_H
#define TKR_BASE_ZONE_H

#include <stdint.h>

#define TKR_ZONE_OFFSETS_MAX 1024u /* twice a year, and more for zones whose summer time pauses */

struct tkr_zone {
    uint32_t count;
    struct {
        int64_t from_s;   /* Unix time; the first is INT64_MIN */
        int64_t offset_s; /* local time minus UTC */
    } offset[TKR_ZONE_OFFSETS_MAX];
};

/*
 * Asks libc for the zone of the process over all that 63 bits of nanoseconds reach; some 10 ms. Offsets that hold for less
 * than a week may be missed. Threads: calls localtime_r, so not in a child of a process with threads.
 */
void tkr_zone_read(struct tkr_zone *ret_zone);

/* The offset at unix_s, which holds for all moments from <= t < end. */
int64_t tkr_zone_offset(const struct tkr_zone *zone, int64_t unix_s, int64_t *ret_from_s, int64_t *ret_end_s);

#endif
