/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateways know, against what Redis has. */
#ifndef TESTS_CHAOS_TRUTH_H
#define TESTS_CHAOS_TRUTH_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "chaos/calls.h"

/* One gateway that ran or runs, in the order of their numbers. */
struct truth_gateway {
    struct chaos_truth *truth;
    bool ended; /* its long calls are settled; one that still runs is paused */
};

struct truth_report {
    uint64_t calls;       /* made and counted, interrupted and settled ones too */
    uint64_t settled;     /* of them, settled from what was told */
    uint64_t interrupted; /* steps that a kill interrupted; what came of them: */
    uint64_t wholly;
    uint64_t partly; /* settled */
    uint64_t nothing;
    uint64_t accounts;    /* with their cycles */
    int64_t lost;         /* tokens missing, sum over accounts */
    int64_t doubled;      /* tokens too many */
    uint64_t negative;    /* fields below zero */
    uint64_t differences; /* fields that differ, whatever they count */
    uint64_t strangers;   /* keys that nobody should have made */
};

#define TRUTH_KEY_BYTES 128

/* The key of an account's totals in a cycle (both by number), with its NUL; returns its length. */
size_t truth_key(uint32_t account, uint32_t cycle, char ret_key[TRUTH_KEY_BYTES]);

/* Calls that are finished, for how far the work is. */
uint64_t truth_calls_finished(const struct truth_gateway *gateway, uint32_t count);

/*
 * Compares. verbose: each field that differs becomes a line on standard error. 0 with the report, or -1 when Redis does not
 * answer.
 */
int truth_compare(const struct truth_gateway *gateway, uint32_t count, redisContext *redis, bool verbose,
                  struct truth_report *ret_report);

/* Is it all as it must be? */
static inline bool truth_exact(const struct truth_report *report)
{
    return report->lost == 0 && report->doubled == 0 && report->negative == 0 && report->differences == 0 &&
           report->strangers == 0;
}

#endif
