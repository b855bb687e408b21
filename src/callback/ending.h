/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a composite: what limit handlers hold is given back when all its members have ended, those of composites in it too,
 * whatever their order: the collector is to count what the call used before (producer/limits.h).
 *
 * Threads: that of the call's end. It lies on the outermost composite's stack.
 */
#ifndef TKR_CALLBACK_ENDING_H
#define TKR_CALLBACK_ENDING_H

#include "callback/callback.h"
#include "producer/limits.h"

#define TKR_ENDING_RELEASES_MAX 8u

struct tkr_ending {
    const tkr_callback_context *context;
    struct tkr_ending *before; /* of another call's end, within which this one is */
    uint32_t count;
    struct {
        tkr_producer *producer;
        struct tkr_limits_held held;
    } release[TKR_ENDING_RELEASES_MAX];
};

/* Begins the end of a call. false: the end of the call is within another's of the same context, which does all. */
bool tkr_ending_begin(struct tkr_ending *ending, const tkr_callback_context *context);

/* All members have ended: gives back. Only after a begin that was true. */
void tkr_ending_finish(struct tkr_ending *ending);

/* Gives back what a limit handler held, now or when the composite in which it is has ended. */
void tkr_ending_release(const tkr_callback_context *context, tkr_producer *producer, const struct tkr_limits_held *held);

#endif
