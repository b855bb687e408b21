/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits in the hot path: what a call holds on the board (limit/hold.h), and telling the collector of accounts that are not on
 * it.
 *
 * Threads: any.
 */
#ifndef TKR_PRODUCER_LIMITS_H
#define TKR_PRODUCER_LIMITS_H

#include "producer/producer.h"

/*
 * Holds start->reserve on the limits of the start's accounts in the cycle, in a slot that is the caller's alone. channel is the
 * thread's, or NULL; now_ns: monotonic, may be a tick behind. false: a limit has no room, or an account is unknown and limits are closed; then nothing is held.
 */
bool tkr_limits_hold(struct tkr_producer *producer, struct tkr_channel *channel, struct tkr_call_slot *slot,
                     const tkr_start *start, uint32_t cycle, int64_t now_ns);

/*
 * The end of a call that holds, whose slot the caller has claimed, in two steps (limit/hold.h): before its usage is published,
 * with the release at once; and after, which gives back tokens of what it held, of a call that is not published all.
 */
void tkr_limits_leave(struct tkr_call_slot *slot, int64_t used, struct tkr_frame_release *ret_release);
void tkr_limits_left(struct tkr_producer *producer, struct tkr_call_slot *slot, int64_t tokens);

/* As tkr_call_begin, but the reserve is noted only, for who settles the call of a dead process: limits do not hear of it. */
int tkr_producer_begin_unheld(struct tkr_producer *producer, const tkr_start *start, tkr_call *ret_call);

/* What is held without a call: a slot that stays free of one. Zeros: nothing. */
struct tkr_limits_held {
    uint64_t session; /* of the producer: a child of a fork holds nothing of its parent's */
    uint32_t slot;    /* number, plus 1 */
};

/*
 * Holds start->reserve, above 0, on the limits of the start's accounts. 0, also when nothing is known of them and limits are
 * open; TKR_ELIMIT: refused; what tkr_call_begin answers else.
 */
int tkr_limits_reserve(struct tkr_producer *producer, const tkr_start *start, struct tkr_limits_held *ret_held);

/*
 * Gives it back, after what its call used was recorded by the same thread: the collector takes it off when that is counted. Where
 * that order cannot be told by a lane, the collector takes it off when it has drained all lanes (collector/reaper.h).
 */
void tkr_limits_release(struct tkr_producer *producer, const struct tkr_limits_held *held);

/* The same, always when it has drained all lanes. */
void tkr_limits_let_go(struct tkr_producer *producer, const struct tkr_limits_held *held);

#endif
