/* SPDX-License-Identifier: Apache-2.0 */
/* Finished calls, recorded in one shot: the commonest ones in a way of their own (producer/plain.h), then any. */
#include "base/clock.h"
#include "base/crash.h"
#include "producer/arguments.h"
#include "producer/plain.h"
#include "producer/producer.h"

/* --- plain --- */

static inline bool is_plain(const tkr_start *start, const tkr_usage *usage)
{
    return (tkr_plain_start_zeros(start) | (uint64_t)(start->prompt_estimate | start->reserve)) == 0 && tkr_plain_usage(usage) &&
           usage->end_ns == TKR_ABSENT;
}

/* Records a plain call, if nothing stands in the way: the thread's own channel, with room in its lane, and a day that it knows,
 * which says that the time is one that is allowed, that the channel is not shared, and that the second is not a cycle's last. */
static inline __attribute__((always_inline)) bool record_plain(const struct tkr_producer *producer, const tkr_start *start,
                                                               const tkr_usage *usage, bool short_id)
{
    int64_t start_ns = start->start_ns != 0 ? start->start_ns : tkr_clock_second_ns();
    uint64_t session = atomic_load_explicit(&producer->live->session, memory_order_relaxed); /* tkr_producer_channel says why */
    struct tkr_channel *channel = tkr_channel_last(session);
    const tkr_account *user = &start->account[0];
    size_t head_bytes = tkr_frame_plain_head_bytes(user);
    size_t bytes = head_bytes + TKR_FRAME_PLAIN_VALUES_BYTES;
    unsigned char *frame;
    uint64_t head;
    uint64_t sequence;

    if (channel == NULL || !tkr_cycle_span_has(&channel->span, start_ns) || !tkr_lane_has_room(&channel->writer, bytes))
        return false;
    head = channel->writer.head;
    sequence = channel->writer.sequence + 1;
    TKR_CRASH(FRAME_RESERVED);
    frame = channel->writer.data + (head & channel->writer.mask);
    if (!tkr_frame_plain_head_put(frame, head_bytes, user, short_id, channel->span.cycle, start_ns))
        return false;
    tkr_frame_plain_finish(frame, head_bytes, 0, (uint32_t)usage->prompt, (uint32_t)usage->completion, 0, sequence);
    channel->drops = 0;
    tkr_lane_publish_to(&channel->writer, head + bytes, sequence);
    return true;
}

/* --- any --- */

/* Both structures are checked; more: usage tells more than the three figures. */
static inline int record_checked(struct tkr_producer *producer, struct tkr_channel *channel, enum tkr_frame_type type,
                                 const tkr_start *start, const tkr_usage *usage, bool more)
{
    int64_t start_ns = start->start_ns != 0 ? start->start_ns : tkr_clock_coarse_ns();
    uint32_t cycle = tkr_producer_cycle(producer, channel, start, &start_ns);
    size_t head_bytes = tkr_frame_head_bytes(start);
    struct tkr_call_times times = {.bad = false};
    struct tkr_frame_values values;
    void *frame;
    int result;

    if (more)
        times = tkr_arguments_times(start, usage);
    tkr_arguments_values(usage, more, &times, &values);
    result = tkr_channel_reserve(producer, channel, tkr_frame_bytes(head_bytes, &values), &frame);
    if (__builtin_expect(result == TKR_OK, 1)) {
        tkr_frame_head_put(frame, head_bytes, start, cycle, start_ns);
        tkr_frame_finish_as(frame, head_bytes, type, &values, channel->writer.sequence + 1);
        tkr_lane_publish(&channel->writer);
    }
    tkr_channel_unlock(channel);
    if (__builtin_expect(times.bad, 0))
        tkr_producer_bad_times(producer);
    return result == TKR_OK ? TKR_OK : tkr_producer_drop(producer, result);
}

/* Without a lane the record is dropped, if there is a region to count it in. */
static inline __attribute__((always_inline)) int channel_or_drop(struct tkr_producer *producer, struct tkr_channel **ret_channel)
{
    int result = tkr_producer_channel(producer, ret_channel);

    if (result != TKR_OK && atomic_load_explicit(&producer->live->session, memory_order_acquire) != 0)
        return tkr_producer_drop(producer, result);
    return result;
}

static int record_current(struct tkr_producer *producer, enum tkr_frame_type type, const tkr_start *start, const tkr_usage *usage)
{
    struct tkr_channel *channel;
    bool more;
    int result = tkr_arguments_start(start);

    if (result == TKR_OK)
        result = tkr_arguments_usage(usage, &more);
    if (result != TKR_OK)
        return tkr_producer_refuse(producer, result);
    result = channel_or_drop(producer, &channel);
    return result == TKR_OK ? record_checked(producer, channel, type, start, usage, more) : result;
}

/* Any call; structures of another version's size, or none at all. */
static __attribute__((noinline)) int record_any(struct tkr_producer *producer, enum tkr_frame_type type, const tkr_start *start,
                                                const tkr_usage *usage)
{
    tkr_start local_start;
    tkr_usage local_usage;
    int result = TKR_OK;

    if (tkr_arguments_start_is_current(start) && tkr_arguments_usage_is_current(usage))
        return record_current(producer, type, start, usage);
    result = tkr_arguments_adopt_start(start, &local_start);
    if (result == TKR_OK)
        result = tkr_arguments_adopt_usage(usage, &local_usage);
    return result == TKR_OK ? record_current(producer, type, &local_start, &local_usage) : tkr_producer_refuse(producer, result);
}

/* A plain call of a user with a short id. Apart, so that the other has no calls to save registers for. */
static __attribute__((noinline)) int record_short(struct tkr_producer *producer, const tkr_start *start, const tkr_usage *usage)
{
    return record_plain(producer, start, usage, true) ? TKR_OK : record_any(producer, TKR_FRAME_USAGE, start, usage);
}

int tkr_record(tkr_producer *producer, const tkr_start *start, const tkr_usage *usage)
{
    if (producer == NULL)
        return TKR_EINVAL;
    if (!tkr_arguments_start_is_current(start) || !tkr_arguments_usage_is_current(usage) || !is_plain(start, usage))
        return record_any(producer, TKR_FRAME_USAGE, start, usage);
    if (start->account[0].len < TKR_SHORT_ID_BYTES)
        return record_short(producer, start, usage);
    return record_plain(producer, start, usage, false) ? TKR_OK : record_any(producer, TKR_FRAME_USAGE, start, usage);
}

int tkr_increment(tkr_producer *producer, const tkr_start *start, const tkr_usage *usage)
{
    return producer == NULL ? TKR_EINVAL : record_any(producer, TKR_FRAME_INCREMENT, start, usage);
}

int tkr_record_many(tkr_producer *producer, const tkr_start *start, const tkr_usage *usage, uint32_t count,
                    uint32_t *ret_recorded)
{
    uint32_t recorded = 0;
    int result = TKR_OK;

    if (count > 0 && (producer == NULL || start == NULL || usage == NULL))
        result = producer == NULL ? TKR_EINVAL : tkr_producer_refuse(producer, TKR_EINVAL);
    while (result == TKR_OK && recorded < count) {
        const void *one_start = (const char *)start + (size_t)recorded * start->size;
        const void *one_usage = (const char *)usage + (size_t)recorded * usage->size;
        result = tkr_record(producer, one_start, one_usage);
        recorded += result == TKR_OK;
    }
    if (ret_recorded != NULL)
        *ret_recorded = recorded;
    return result;
}
