/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that are begun, streamed and ended. The slot's argument is in region/call.h. */
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "producer/arguments.h"
#include "producer/limits.h"
#include "producer/plain.h"
#include "producer/producer.h"
#include "producer/slots.h"

/* --- begin --- */

static int64_t start_of(const tkr_start *start)
{
    return start->start_ns != 0 ? start->start_ns : tkr_clock_coarse_ns();
}

/* Now; start_ns is what the clock said if the start does not tell. */
static inline int64_t monotonic_of(struct tkr_channel *channel, const tkr_start *start, int64_t start_ns)
{
    return start->start_ns == 0 ? tkr_channel_monotonic_ns(channel, start_ns) : tkr_clock_monotonic_coarse_ns();
}

/* When a call began, for its slot (region/call.h). */
static inline uint64_t begun_of(const tkr_start *start, int64_t now_ns)
{
    return start->start_ns == 0 ? (uint64_t)now_ns & ~(uint64_t)TKR_CALL_START_TOLD : TKR_CALL_START_TOLD;
}

static inline bool estimates_fit(const tkr_start *start, int64_t reserve_max)
{
    return tkr_arguments_fits(start->prompt_estimate, TKR_TOKENS_MAX) && tkr_arguments_fits(start->reserve, reserve_max);
}

#define NOT_PLAIN 1 /* no result code is above 0 */

/*
 * Begins a plain call (producer/plain.h) in the slot that the thread keeps, if it does, on a day that its channel knows. holds:
 * it reserves. 0; NOT_PLAIN; TKR_ELIMIT.
 */
static inline __attribute__((always_inline)) int begin_plain(struct tkr_producer *producer, const tkr_start *start, bool holds,
                                                             tkr_call *ret_call)
{
    uint64_t session = atomic_load_explicit(&producer->live->session, memory_order_relaxed); /* tkr_producer_channel says why */
    struct tkr_channel *channel = tkr_channel_last(session);
    const tkr_account *user = &start->account[0];
    size_t head_bytes = tkr_frame_plain_head_bytes(user);
    int64_t start_ns = start_of(start);
    struct tkr_call_slot *slot;
    uint32_t number;
    int64_t now_ns;

    if (channel == NULL || channel->slot == 0 || !tkr_cycle_span_has(&channel->span, start_ns))
        return NOT_PLAIN;
    number = channel->slot - 1;
    slot = &producer->region.slots[number];
    if (!tkr_frame_plain_head_put(slot->frame, head_bytes, user, user->len < TKR_SHORT_ID_BYTES, channel->span.cycle, start_ns))
        return NOT_PLAIN;
    now_ns = holds || start->start_ns == 0 ? monotonic_of(channel, start, start_ns) : 0;
    tkr_frame_plain_open(slot->frame, head_bytes, begun_of(start, now_ns));
    slot->head_bytes = (uint32_t)head_bytes;
    if (holds && !tkr_limits_hold(producer, channel, slot, start, channel->span.cycle, now_ns))
        return TKR_ELIMIT;
    channel->slot = 0;
    *ret_call = tkr_call_slot_begin_written(slot, number, producer->region.identity, start);
    return TKR_OK;
}

/* holds: what it reserves is held against limits. */
static __attribute__((noinline)) int begin_any(struct tkr_producer *producer, const tkr_start *start, bool holds,
                                               tkr_call *ret_call)
{
    struct tkr_channel *channel;
    tkr_start local;
    int64_t start_ns;
    int64_t now_ns;
    uint32_t cycle;
    uint32_t slot;
    int result = TKR_OK;

    if (!tkr_arguments_start_is_current(start)) {
        result = tkr_arguments_adopt_start(start, &local);
        start = &local;
    }
    if (result == TKR_OK)
        result = ret_call == NULL ? TKR_EINVAL : tkr_arguments_start(start);
    if (result != TKR_OK)
        return tkr_producer_refuse(producer, result);
    if (tkr_producer_channel(producer, &channel) != TKR_OK)
        channel = NULL; /* no lane at present: the end will need one */
    result = tkr_producer_ready(producer);
    if (result == TKR_OK)
        result = tkr_slot_take(producer, channel, &slot);
    if (result != TKR_OK)
        return tkr_producer_refuse(producer, result);
    start_ns = start_of(start);
    cycle = tkr_producer_cycle(producer, channel, start, &start_ns);
    now_ns = tkr_clock_monotonic_coarse_ns();
    if (holds && start->reserve > 0 && !tkr_limits_hold(producer, channel, &producer->region.slots[slot], start, cycle, now_ns)) {
        tkr_slot_give(producer, channel, slot);
        return tkr_producer_refuse(producer, TKR_ELIMIT);
    }
    *ret_call = tkr_call_slot_begin(&producer->region.slots[slot], slot, producer->region.identity, start, cycle, start_ns,
                                    begun_of(start, now_ns));
    return TKR_OK;
}

/* A call that reserves. */
static __attribute__((noinline)) int begin_holding(struct tkr_producer *producer, const tkr_start *start, tkr_call *ret_call)
{
    int result = begin_plain(producer, start, true, ret_call);

    if (result == NOT_PLAIN)
        return begin_any(producer, start, true, ret_call);
    return result == TKR_OK ? TKR_OK : tkr_producer_refuse(producer, result);
}

int tkr_call_begin(tkr_producer *producer, const tkr_start *start, tkr_call *ret_call)
{
    if (producer == NULL)
        return TKR_EINVAL;
    if (tkr_arguments_start_is_current(start) && ret_call != NULL && tkr_plain_start_zeros(start) == 0) {
        if (estimates_fit(start, 0) && begin_plain(producer, start, false, ret_call) == TKR_OK)
            return TKR_OK;
        if (start->reserve > 0 && estimates_fit(start, TKR_TOKENS_MAX))
            return begin_holding(producer, start, ret_call);
    }
    return begin_any(producer, start, true, ret_call);
}

int tkr_producer_begin_unheld(struct tkr_producer *producer, const tkr_start *start, tkr_call *ret_call)
{
    if (start->reserve > 0)
        return begin_any(producer, start, false, ret_call);
    return tkr_call_begin(producer, start, ret_call);
}

/* --- progress --- */

/* The slot that a handle names in this process' region. */
static inline int slot_of(struct tkr_producer *producer, tkr_call call, uint32_t *ret_slot, uint32_t *ret_generation)
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
    return result == TKR_OK ? TKR_OK : tkr_producer_refuse(producer, result);
}

/* --- end --- */

#define SLACK_NS TKR_NS_PER_S         /* between what is told by a precise clock and what coarse ones measure */
#define AHEAD_NS (20 * TKR_NS_PER_MS) /* by which a told start may be ahead of the coarse clock and still be now: two ticks */

static inline bool start_told(const struct tkr_frame_header *header)
{
    return (header->sequence & TKR_CALL_START_TOLD) != 0;
}

/*
 * What has passed since the start: by the clock that does not step, where the producer saw it; else by the wall clock, which is
 * the one that the start was told by. To read both clocks when a call begins would cost as much as the rest of it.
 */
static inline int64_t passed_ns(const struct tkr_frame_header *header)
{
    int64_t passed_ns;

    if (!start_told(header))
        return tkr_clock_monotonic_coarse_ns() - (int64_t)header->sequence;
    passed_ns = tkr_clock_coarse_ns() - header->start_ns;
    return passed_ns < 0 && passed_ns >= -AHEAD_NS ? 0 : passed_ns;
}

/*
 * A call's times. What is told is by the caller's clock: both ends are taken at its word, if they make a duration; a time without
 * a start can be of no later moment than has been reached since the call began.
 */
static struct tkr_call_times times_of(const struct tkr_frame_header *header, const tkr_usage *usage)
{
    struct tkr_call_times times = {.bad = false};
    int64_t passed = passed_ns(header);
    int64_t most = start_told(header) || passed > TKR_DURATION_MAX_NS - SLACK_NS ? TKR_DURATION_MAX_NS : passed + SLACK_NS;

    times.duration_ns = usage->end_ns > 0 ? tkr_arguments_elapsed(header->start_ns, usage->end_ns, most, &times.bad)
                                          : tkr_arguments_elapsed(0, passed, TKR_DURATION_MAX_NS, &times.bad);
    if (usage->first_token_ns > 0)
        times.first_token_ns = tkr_arguments_elapsed(header->start_ns, usage->first_token_ns, most, &times.bad);
    return times;
}

/* The duration, if it is that of a plain frame: short, and measured or told by both ends. Else false: end_any looks closer. */
static inline bool plain_duration(const struct tkr_frame_header *header, const tkr_usage *usage, uint32_t *ret_us)
{
    int64_t ns;

    if (usage->end_ns > 0 && !start_told(header))
        return false;
    ns = usage->end_ns > 0 ? usage->end_ns - header->start_ns : passed_ns(header);
    if ((uint64_t)ns > (uint64_t)UINT32_MAX * TKR_NS_PER_US)
        return false;
    *ret_us = (uint32_t)((uint64_t)ns / TKR_NS_PER_US);
    return true;
}

/* What is known of a call's head: 16 bytes at once, the last time beyond it, where the values will be. */
static inline void copy_head(unsigned char *frame, const unsigned char *head, size_t head_bytes)
{
    for (size_t at = 0; at < head_bytes; at += 16)
        memcpy(frame + at, head + at, 16);
}

/* Publishes the end of a claimed call whose usage is plain, if there is room in the thread's own lane, and what it releases, if
 * not NULL, at once with it. */
static inline __attribute__((always_inline)) bool end_plain(struct tkr_channel *channel, struct tkr_call_slot *slot,
                                                            const tkr_usage *usage, const struct tkr_frame_release *release)
{
    const struct tkr_frame_header *header = (const struct tkr_frame_header *)slot->frame;
    uint32_t duration_us;
    size_t head_bytes = slot->head_bytes;
    size_t frame_bytes = head_bytes + TKR_FRAME_PLAIN_VALUES_BYTES;
    size_t bytes = frame_bytes + (release != NULL ? TKR_FRAME_RELEASE_BYTES : 0);
    uint64_t head = channel->writer.head;
    uint64_t sequence = channel->writer.sequence + 1;
    unsigned char *frame = channel->writer.data + (head & channel->writer.mask);

    if (channel->shared || !plain_duration(header, usage, &duration_us) || !tkr_lane_has_room(&channel->writer, bytes))
        return false;
    TKR_CRASH(FRAME_RESERVED);
    copy_head(frame, slot->frame, head_bytes);
    tkr_frame_plain_finish(frame, head_bytes, header->flags, (uint32_t)usage->prompt, (uint32_t)usage->completion, duration_us,
                           sequence);
    if (release != NULL)
        tkr_frame_release_put(frame + frame_bytes, release);
    channel->drops = 0;
    tkr_call_slot_note(slot, channel->lane, head + bytes);
    tkr_lane_publish_to(&channel->writer, head + bytes, sequence);
    return true;
}

/* The same for any usage, with a lane that may have to be made. 0, or why it is dropped. */
static __attribute__((noinline)) int end_any(struct tkr_producer *producer, struct tkr_channel *channel,
                                             struct tkr_call_slot *slot, const tkr_usage *usage,
                                             const struct tkr_frame_release *release)
{
    const struct tkr_frame_header *header = (const struct tkr_frame_header *)slot->frame;
    struct tkr_call_times times = times_of(header, usage);
    struct tkr_frame_values values;
    size_t bytes;
    void *frame;
    int result;

    tkr_arguments_values(usage, tkr_arguments_tells_more(usage), &times, &values);
    bytes = tkr_frame_bytes(slot->head_bytes, &values);
    result = tkr_channel_reserve(producer, channel, bytes + (release != NULL ? TKR_FRAME_RELEASE_BYTES : 0), &frame);
    if (__builtin_expect(result == TKR_OK, 1)) {
        memcpy(frame, slot->frame, slot->head_bytes);
        tkr_frame_finish(frame, slot->head_bytes, &values, channel->writer.sequence + 1);
        if (release != NULL)
            tkr_frame_release_put((unsigned char *)frame + bytes, release);
        tkr_call_slot_note(slot, channel->lane, tkr_lane_pending(&channel->writer));
        tkr_lane_publish(&channel->writer);
    }
    tkr_channel_unlock(channel);
    if (__builtin_expect(times.bad, 0))
        tkr_producer_bad_times(producer);
    return result;
}

/* Of a call that holds: what it used stays held until it is counted, the rest is given back; all of it where it is dropped. */
static __attribute__((noinline)) int end_holding(struct tkr_producer *producer, struct tkr_channel *channel,
                                                 struct tkr_call_slot *slot, const tkr_usage *usage, bool plain)
{
    int64_t used = usage->total != TKR_ABSENT ? usage->total
                                              : tkr_arguments_or_zero(usage->prompt) + tkr_arguments_or_zero(usage->completion);
    struct tkr_frame_release release;
    int result = TKR_OK;

    tkr_limits_leave(slot, used, &release);
    if (!(plain && end_plain(channel, slot, usage, &release)))
        result = end_any(producer, channel, slot, usage, &release);
    TKR_CRASH(HOLD_PUBLISHED);
    tkr_limits_left(producer, slot, slot->reserve - (result == TKR_OK ? release.tokens : 0));
    return result;
}

static inline int end_with(struct tkr_producer *producer, struct tkr_channel *channel, struct tkr_call_slot *slot,
                           const tkr_usage *usage, bool plain)
{
    if (__builtin_expect(atomic_load_explicit(&slot->hold, memory_order_relaxed) != 0, 0)) /* claimed: ours */
        return end_holding(producer, channel, slot, usage, plain);
    return plain && end_plain(channel, slot, usage, NULL) ? TKR_OK : end_any(producer, channel, slot, usage, NULL);
}

/* Ends the call with a usage of this version's size that was checked. */
static inline int end_checked(struct tkr_producer *producer, tkr_call call, const tkr_usage *usage, bool plain)
{
    struct tkr_call_slot *slot;
    struct tkr_channel *channel = NULL;
    uint32_t number;
    uint32_t generation;
    int result = slot_of(producer, call, &number, &generation);

    if (result != TKR_OK)
        return tkr_producer_refuse(producer, result);
    slot = &producer->region.slots[number];
    result = tkr_call_slot_claim(slot, generation);
    if (result != TKR_OK)
        return tkr_producer_refuse(producer, result);
    TKR_CRASH(CALL_CLAIMED);
    result = tkr_producer_channel(producer, &channel);
    if (result == TKR_OK)
        result = end_with(producer, channel, slot, usage, plain);
    /* The drop before the slot: a death in between shows one drop more than there was, and never a call that nobody counts. */
    if (result != TKR_OK)
        (void)tkr_producer_drop(producer, result);
    if (__builtin_expect(atomic_load_explicit(&slot->hold, memory_order_relaxed) != 0, 0)) /* there is no lane */
        tkr_limits_left(producer, slot, slot->reserve);
    tkr_call_slot_free(slot);
    tkr_slot_give(producer, channel, number);
    return result;
}

static __attribute__((noinline)) int end_unchecked(struct tkr_producer *producer, tkr_call call, const tkr_usage *usage)
{
    tkr_usage local;
    bool more;
    int result = TKR_OK;

    if (!tkr_arguments_usage_is_current(usage)) {
        result = tkr_arguments_adopt_usage(usage, &local);
        usage = &local;
    }
    if (result == TKR_OK)
        result = tkr_arguments_usage(usage, &more);
    return result == TKR_OK ? end_checked(producer, call, usage, false) : tkr_producer_refuse(producer, result);
}

int tkr_call_end(tkr_producer *producer, tkr_call call, const tkr_usage *usage)
{
    if (producer == NULL)
        return TKR_EINVAL;
    if (tkr_arguments_usage_is_current(usage) && tkr_plain_usage(usage) && tkr_arguments_fits(usage->end_ns, TKR_TIME_MAX_NS - 1))
        return end_checked(producer, call, usage, true);
    return end_unchecked(producer, call, usage);
}
