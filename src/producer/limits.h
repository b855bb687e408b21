/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits in the hot path: what a call holds on the board (limit/hold.h), and telling the collector of accounts that are not on it.
 *
 * Threads: any.
 */
#ifndef TKR_PRODUCER_LIMITS_H
#define TKR_PRODUCER_LIMITS_H

#include "producer/producer.h"

/*
 * Holds start->reserve on the limits of the start's accounts in the cycle, in a slot that is the caller's alone. channel is the
 * thread's, or NULL. false: a limit has no room, or an account is unknown and limits are closed; then nothing is held.
 */
bool tkr_limits_hold(struct tkr_producer *producer, struct tkr_channel *channel, struct tkr_call_slot *slot,
                     const tkr_start *start, uint32_t cycle);

/* Gives back what a slot holds that the caller has claimed. */
void tkr_limits_give(struct tkr_producer *producer, struct tkr_call_slot *slot);

#endif
