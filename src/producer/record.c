/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of a gateway: recorded in one shot, or begun, streamed and ended. */
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "producer/arguments.h"
#include "producer/producer.h"
#include "producer/slots.h"

#define PLAIN_MAX (INT64_C(1) << 31) /* two of them fit 32 bits */

static int64_t end_of(const tkr_usage *usage, int64_t otherwise_ns)
{
    return usage->end_ns > 0 ? usage->end_ns : otherwise_ns;
}

/* The thread's channel: the one of its last call, which one comparison tells, or found. 0, or why there is none. */
static inline int channel_of_thread(struct tkr_producer *producer, struct tkr_channel **ret_channel)
{
    /* Relaxed: equality says that this thread itself has seen this session opened. */
    uint64_t session = atomic_load_explicit(&producer->live->session, memory_order_relaxed);

    if (__builtin_expect(session != 0 && (*ret_channel = tkr_channel_last(session)) != NULL, 1))
        return TKR_OK;
    return tkr_channel_of_thread(producer, ret_channel);
}

/* The call's cycle: given, else by the rule, remembered in the thread's channel (may be NULL) for its next call. */
static inline __attribute__((always_inline)) uint32_t cycle_of(const struct tkr_producer *producer, struct tkr_channel *channel,
                                                               const tkr_start *start, int64_t start_ns)
{
    struct tkr_cycle_span span;

    if (start->cycle != 0)
        return start->cycle;
    if (channel == NULL || channel->shared) { /* what many threads use cannot remember */
        tkr_cycle_find(&producer->rule, start_ns, &span);
        return span.cycle;
    }
    if (start_ns < channel->span.begin_ns || start_ns >= channel->span.end_ns)
        tkr_cycle_find(&producer->rule, start_ns, &channel->span);
    return channel->span.cycle;
}

/* Both structures are checked; more: usage tells more than the three figures. */
static inline int record_checked(struct tkr_producer *producer, struct tkr_channel *channel, const tkr_start *start,
                                 const tkr_usage *usage, bool more)
{
    int64_t start_ns = start->start_ns != 0 ? start->start_ns : tkr_clock_coarse_ns();
    uint32_t cycle = cycle_of(producer, channel, start, start_ns);
    size_t head_bytes = tkr_frame_head_bytes(start);
    struct tkr_frame_values values;
    void *frame;
    int result;

    tkr_arguments_values(usage, more, start_ns, end_of(usage, 0), &values);
    result = tkr_channel_reserve(producer, channel, tkr_frame_bytes(head_bytes, &values), &frame);
    if (__builtin_expect(result == TKR_OK, 1)) {
        tkr_frame_head_put(frame, head_bytes, start, cycle, start_ns);
        tkr_frame_finish(frame, head_bytes, &values, channel->writer.sequence + 1);
        tkr_lane_publish(&channel->writer);
    }
    tkr_channel_unlock(channel);
    return result == TKR_OK ? TKR_OK : tkr_producer_drop(producer, result);
}

/* Is it the commonest call: one user, prompt and completion, and nothing else told, all of it small? */
static inline bool is_plain(const tkr_start *start, const tkr_usage *usage)
{
    uint64_t call_id[2];

    memcpy(call_id, start->call_id, sizeof(call_id));
    return start->account_count == 1 && start->account[0].kind == TKR_KIND_USER &&
           ((start->model_len | start->provider_len | start->attempt | start->cycle) | (call_id[0] | call_id[1])) == 0 &&
           (start->prompt_estimate | start->reserve) == 0 && usage->prompt > 0 && usage->completion > 0 &&
           (usage->prompt | usage->completion) < PLAIN_MAX && usage->total == TKR_ABSENT && !tkr_arguments_tells_more(usage);
}

/* Records it; what is_plain does not say is checked. */
static inline int record_plain(struct tkr_producer *producer, struct tkr_channel *channel, const tkr_start *start,
                               const tkr_usage *usage)
{
    const tkr_account *user = &start->account[0];
    const uint32_t value[4] = {(uint32_t)usage->prompt, (uint32_t)usage->completion,
                               (uint32_t)(usage->prompt + usage->completion), 0};
    int64_t start_ns = start->start_ns != 0 ? start->start_ns : tkr_clock_coarse_ns();
    uint32_t cycle = cycle_of(producer, channel, start, start_ns);
    size_t head_bytes = tkr_frame_plain_head_bytes(user);
    void *frame;
    int result = tkr_channel_reserve(producer, channel, head_bytes + TKR_FRAME_PLAIN_VALUES_BYTES, &frame);

    if (__builtin_expect(result == TKR_OK, 1)) {
        tkr_frame_plain_put(frame, head_bytes, user, cycle, start_ns, value, channel->writer.sequence + 1);
        tkr_lane_publish(&channel->writer);
    }
    tkr_channel_unlock(channel);
    return result == TKR_OK ? TKR_OK : tkr_producer_drop(producer, result);
}

/* Counts a refusal, for which a child opens its region first; without a region there is nothing to count it in. */
static int refuse(struct tkr_producer *producer, int code)
{
    (void)tkr_producer_ready(producer);
    return tkr_producer_refuse(producer, code);
}

/* Without a lane the record is dropped, if there is a region to count it in. */
static inline __attribute__((always_inline)) int channel_or_drop(struct tkr_producer *producer, struct tkr_channel **ret_channel)
{
    int result = channel_of_thread(producer, ret_channel);

    if (result != TKR_OK && atomic_load_explicit(&producer->live->session, memory_order_acquire) != 0)
        return tkr_producer_drop(producer, result);
    return result;
}

static bool start_is_current(const tkr_start *start)
{
    return __builtin_expect(start != NULL && start->size == sizeof(*start), 1);
}

static bool usage_is_current(const tkr_usage *usage)
{
    return __builtin_expect(usage != NULL && usage->size == sizeof(*usage), 1);
}

/* Structures of another version's size, or none at all. */
static __attribute__((noinline)) int record_other(struct tkr_producer *producer, const tkr_start *start, const tkr_usage *usage)
{
    tkr_start local_start;
    tkr_usage local_usage;
    int result = tkr_arguments_adopt_start(start, &local_start);

    if (result == TKR_OK)
        result = tkr_arguments_adopt_usage(usage, &local_usage);
    return result == TKR_OK ? tkr_record(producer, &local_start, &local_usage) : refuse(producer, result);
}

int tkr_record(tkr_producer *producer, const tkr_start *start, const tkr_usage *usage)
{
    struct tkr_channel *channel;
    bool more;
    int result;

    if (producer == NULL)
        return TKR_EINVAL;
    if (!start_is_current(start) || !usage_is_current(usage))
        return record_other(producer, start, usage);
    if (is_plain(start, usage)) {
        result = tkr_arguments_account(&start->account[0]);
        if (result == TKR_OK && !tkr_arguments_time_fits(start->start_ns))
            result = TKR_ERANGE;
        if (result != TKR_OK)
            return refuse(producer, result);
        result = channel_or_drop(producer, &channel);
        return result == TKR_OK ? record_plain(producer, channel, start, usage) : result;
    }
    result = tkr_arguments_start(start);
    if (result == TKR_OK)
        result = tkr_arguments_usage(usage, &more);
    if (result != TKR_OK)
        return refuse(producer, result);
    result = channel_or_drop(producer, &channel);
    return result == TKR_OK ? record_checked(producer, channel, start, usage, more) : result;
}

int tkr_record_many(tkr_producer *producer, const tkr_start *start, const tkr_usage *usage, uint32_t count,
                    uint32_t *ret_recorded)
{
    uint32_t recorded = 0;
    int result = TKR_OK;

    if (count > 0 && (producer == NULL || start == NULL || usage == NULL))
        result = producer == NULL ? TKR_EINVAL : refuse(producer, TKR_EINVAL);
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

int tkr_call_begin(tkr_producer *producer, const tkr_start *start, tkr_call *ret_call)
{
    struct tkr_channel *channel;
    tkr_start local;
    int64_t start_ns;
    uint32_t slot;
    int result = TKR_OK;

    if (producer == NULL)
        return TKR_EINVAL;
    if (!start_is_current(start)) {
        result = tkr_arguments_adopt_start(start, &local);
        start = &local;
    }
    if (result == TKR_OK)
        result = ret_call == NULL ? TKR_EINVAL : tkr_arguments_start(start);
    if (result != TKR_OK)
        return refuse(producer, result);
    if (channel_of_thread(producer, &channel) != TKR_OK)
        channel = NULL; /* no lane at present: the end will need one */
    result = tkr_producer_ready(producer);
    if (result == TKR_OK)
        result = tkr_slot_take(producer, channel, &slot);
    if (result != TKR_OK)
        return refuse(producer, result);
    start_ns = start->start_ns != 0 ? start->start_ns : tkr_clock_coarse_ns();
    *ret_call = tkr_call_slot_begin(&producer->region.slots[slot], slot, producer->region.identity, start,
                                    cycle_of(producer, channel, start, start_ns), start_ns);
    return TKR_OK;
}

/* The slot that a handle names in this process' region. */
static int slot_of(struct tkr_producer *producer, tkr_call call, uint32_t *ret_slot, uint32_t *ret_generation)
{
    int result = tkr_producer_ready(producer);
    uint64_t count;

    if (result != TKR_OK)
        return result;
    count = atomic_load_explicit(&producer->region.header->slot_count, memory_order_acquire);
    return tkr_call_handle_split(call, producer->region.identity, (uint32_t)count, ret_slot, ret_generation) ? TKR_OK
                                                                                                             : TKR_EHANDLE;
}

int tkr_call_progress(tkr_producer *producer, tkr_call call, int64_t completion_tokens)
{
    uint32_t slot;
    uint32_t generation;
    int result;

    if (producer == NULL)
        return TKR_EINVAL;
    result = completion_tokens < 0 || completion_tokens > TKR_TOKENS_MAX ? TKR_ERANGE : TKR_OK;
    if (result == TKR_OK)
        result = slot_of(producer, call, &slot, &generation);
    if (result == TKR_OK)
        result = tkr_call_slot_progress(&producer->region.slots[slot], generation, completion_tokens);
    return result == TKR_OK ? TKR_OK : refuse(producer, result);
}

/* Publishes the end of a claimed call: the slot's head with the values. */
static int end_claimed(struct tkr_producer *producer, struct tkr_channel *channel, struct tkr_call_slot *slot,
                       const tkr_usage *usage, bool more)
{
    const struct tkr_frame_header *header = (const struct tkr_frame_header *)slot->frame;
    struct tkr_frame_values values;
    void *frame;
    int result;

    tkr_arguments_values(usage, more, header->start_ns, end_of(usage, tkr_clock_coarse_ns()), &values);
    result = tkr_channel_reserve(producer, channel, tkr_frame_bytes(slot->head_bytes, &values), &frame);
    if (__builtin_expect(result == TKR_OK, 1)) {
        memcpy(frame, slot->frame, slot->head_bytes);
        tkr_frame_finish(frame, slot->head_bytes, &values, channel->writer.sequence + 1);
        tkr_call_slot_note(slot, channel->lane, tkr_lane_pending(&channel->writer));
        tkr_lane_publish(&channel->writer);
    }
    tkr_channel_unlock(channel);
    return result;
}

int tkr_call_end(tkr_producer *producer, tkr_call call, const tkr_usage *usage)
{
    struct tkr_call_slot *slot;
    struct tkr_channel *channel = NULL;
    tkr_usage local;
    uint32_t number;
    uint32_t generation;
    bool more;
    int result = TKR_OK;

    if (producer == NULL)
        return TKR_EINVAL;
    if (!usage_is_current(usage)) {
        result = tkr_arguments_adopt_usage(usage, &local);
        usage = &local;
    }
    if (result == TKR_OK)
        result = tkr_arguments_usage(usage, &more);
    if (result == TKR_OK)
        result = slot_of(producer, call, &number, &generation);
    if (result != TKR_OK)
        return refuse(producer, result);
    slot = &producer->region.slots[number];
    result = tkr_call_slot_claim(slot, generation);
    if (result != TKR_OK)
        return tkr_producer_refuse(producer, result);
    TKR_CRASH(CALL_CLAIMED);
    result = channel_of_thread(producer, &channel);
    if (result == TKR_OK)
        result = end_claimed(producer, channel, slot, usage, more);
    /* The drop before the slot: a death in between shows one drop more than there was, and never a call that nobody counts. */
    if (result != TKR_OK)
        (void)tkr_producer_drop(producer, result);
    tkr_call_slot_free(slot);
    tkr_slot_give(producer, channel, number);
    return result;
}
