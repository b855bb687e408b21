/* SPDX-License-Identifier: Apache-2.0 */
#include "producer/notice.h"

#include <string.h>

#include "base/clock.h"
#include "producer/arguments.h"
#include "producer/producer.h"

/* Writes it, if the lane has room. The lane's numbering passes over it. */
static bool put(struct tkr_channel *channel, const tkr_start *start, uint32_t cycle, const struct tkr_frame_values *values)
{
    size_t head_bytes = tkr_frame_head_bytes(start);
    void *frame = tkr_lane_reserve(&channel->writer, tkr_frame_bytes(head_bytes, values));

    if (frame == NULL)
        return false;
    tkr_frame_head_put(frame, head_bytes, start, cycle, start->start_ns);
    tkr_frame_finish_as(frame, head_bytes, TKR_FRAME_NOTICE, values, 0);
    tkr_lane_publish_to(&channel->writer, tkr_lane_pending(&channel->writer), channel->writer.sequence);
    return true;
}

bool tkr_producer_notice(tkr_producer *producer, const struct tkr_notice_told *told)
{
    tkr_start start = TKR_START_INIT;
    struct tkr_frame_values values;
    struct tkr_channel *channel;
    bool done;

    if (producer == NULL || tkr_arguments_account(told->account) != TKR_OK || tkr_producer_channel(producer, &channel) != TKR_OK)
        return false;
    start.account_count = 1;
    start.account[0] = *told->account;
    start.model = told->type;
    start.model_len = (uint32_t)strnlen(told->type, TKR_MODEL_BYTES_MAX);
    start.start_ns = tkr_clock_unix_ns();
    tkr_frame_values_init(&values, (uint8_t)told->what);
    tkr_frame_value_add(&values, TKR_COUNTER_PROMPT, told->figure < TKR_TOKENS_MAX ? told->figure : TKR_TOKENS_MAX);
    tkr_frame_value_add(&values, TKR_COUNTER_DURATION, told->duration_ns / TKR_NS_PER_US);
    tkr_channel_lock(channel);
    done = put(channel, &start, tkr_producer_cycle(producer, channel, &start, &start.start_ns), &values);
    tkr_channel_unlock(channel);
    return done;
}
