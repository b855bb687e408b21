/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/drain.h"

#include <string.h>

#include "base/crash.h"
#include "base/log.h"
#include "event/encode.h"

#define LANE_BYTES_AT_ONCE (UINT32_C(32) << 10) /* so that one busy lane does not keep the others waiting */
#define SLOTS_AT_ONCE 64u                       /* each up to TKR_CALL_SLOT_BYTES of the buffer */
_Static_assert((SLOTS_AT_ONCE * TKR_CALL_SLOT_BYTES) <= TKR_DRAIN_BYTES && SLOTS_AT_ONCE <= TKR_DRAIN_EVENTS_MAX &&
                   SLOTS_AT_ONCE * TKR_DRAIN_CHARGES_MAX <= TKR_BATCH_CHARGES_MAX,
               "a round of settling fits the work space and a batch");

static uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed); /* the worker's own words */
}

static void start(struct tkr_drain *drain, const struct tkr_shard *shard)
{
    drain->split = shard->models_max > 0;
    drain->events = 0;
    drain->notices = 0;
    drain->releases = 0;
    drain->charges = 0;
    drain->spans = 0;
    drain->bytes = 0;
    drain->lane_high = 0;
}

/* Returns the length of the label of the event's model: "provider/model", or "model" where no provider is told. */
static uint32_t compose_label(const struct tkr_event *event, char composed[TKR_ENTRY_LABEL_MAX], const char **ret_label)
{
    uint32_t head = event->provider_len > 0 ? event->provider_len + 1 : 0;

    if (head + event->model_len > TKR_ENTRY_LABEL_MAX) {
        *ret_label = TKR_LABEL_OTHER;
        return sizeof(TKR_LABEL_OTHER) - 1;
    }
    *ret_label = event->model;
    if (head == 0)
        return event->model_len;
    memcpy(composed, event->provider, event->provider_len);
    composed[event->provider_len] = '/';
    memcpy(composed + head, event->model, event->model_len);
    *ret_label = composed;
    return head + event->model_len;
}

static struct tkr_charge *add_charge(struct tkr_drain *drain, const struct tkr_event *event, uint32_t account)
{
    struct tkr_charge *charge = &drain->charge[drain->charges++];

    charge->kind = event->account[account].kind;
    charge->id = event->account[account].id;
    charge->id_len = event->account[account].len;
    charge->cycle = event->cycle;
    charge->model_len = 0;
    charge->counts = &drain->counts[drain->events];
    charge->event = drain->events;
    charge->queue = drain->spans; /* the span that is being parsed */
    return charge;
}

/* The same to the label's entry of each account, behind the charges of the accounts themselves. */
static void add_labels(struct tkr_drain *drain, const struct tkr_event *event)
{
    const char *label;
    uint32_t label_len = compose_label(event, drain->label[drain->events], &label);

    for (uint32_t i = 0; i < event->account_count; i++) {
        struct tkr_charge *charge = add_charge(drain, event, i);
        charge->model = label;
        charge->model_len = label_len;
    }
}

/* Counted from the end: what is asked for is among the last. */
static int64_t value_of(const struct tkr_event *event, unsigned bit)
{
    uint32_t from = event->values.present >> bit;
    uint32_t at = event->values.count - 1;

    for (uint32_t above = from >> 1; above != 0; above &= above - 1)
        at--;
    return (from & 1) != 0 ? event->values.value[at] : 0;
}

static void add_call(struct tkr_drain *drain, const struct tkr_event *event)
{
    drain->call[drain->events] = (struct tkr_drain_call){.provider = event->provider,
                                                         .model = event->model,
                                                         .provider_len = event->provider_len,
                                                         .model_len = event->model_len,
                                                         .duration_us = value_of(event, TKR_COUNTER_DURATION),
                                                         .first_token_us = value_of(event, TKR_VALUE_FIRST_TOKEN_US),
                                                         .present = event->values.present,
                                                         .error = event->values.error,
                                                         .is_call = event->type != TKR_FRAME_INCREMENT};
}

static void add_event(struct tkr_drain *drain, const struct tkr_event *event)
{
    tkr_counts *counts = &drain->counts[drain->events];

    add_call(drain, event);
    memset(counts, 0, sizeof(*counts));
    tkr_event_counts(event, counts);
    for (uint32_t i = 0; i < event->account_count; i++)
        (void)add_charge(drain, event, i);
    if (event->model_len > 0 && drain->split)
        add_labels(drain, event);
    drain->events++;
}

/* For one more event, whatever it charges. */
static bool has_room_for_event(const struct tkr_drain *drain)
{
    return drain->events < TKR_DRAIN_EVENTS_MAX && drain->charges <= TKR_BATCH_CHARGES_MAX - TKR_DRAIN_CHARGES_MAX &&
           drain->notices < TKR_DRAIN_NOTICES_MAX && drain->releases < TKR_DRAIN_RELEASES_MAX;
}

/* --- frames out of lanes --- */

static void add_notice(struct tkr_drain *drain, const struct tkr_event *event)
{
    drain->notice[drain->notices++] = (struct tkr_drain_notice){.what = (enum tkr_notice)event->values.error,
                                                                .type_len = event->model_len,
                                                                .type = event->model,
                                                                .account = event->account[0],
                                                                .cycle = event->cycle,
                                                                .next = (uint32_t)value_of(event, TKR_WATCH_NEXT),
                                                                .end_s = value_of(event, TKR_WATCH_END_S),
                                                                .watch = event->type == TKR_FRAME_WATCH,
                                                                .figure = value_of(event, TKR_COUNTER_PROMPT),
                                                                .duration_us = value_of(event, TKR_COUNTER_DURATION)};
}

/* Takes one frame of the span. false: it breaks the rules. */
static bool take_frame(struct tkr_drain *drain, struct tkr_drain_span *span, const unsigned char *frame, size_t length)
{
    struct tkr_event event;

    if (!tkr_frame_decode(frame, length, &event))
        return false;
    if (tkr_frame_type_charges(event.type)) {
        if (event.sequence != span->sequence + 1)
            return false;
        drain->mark[drain->events] = (struct tkr_drain_mark){span->position, span->unknown, drain->notices, drain->releases};
        span->sequence++;
        add_event(drain, &event);
        span->event_count++;
    } else if (event.type == TKR_FRAME_NOTICE || event.type == TKR_FRAME_WATCH) {
        add_notice(drain, &event);
    } else if (event.type == TKR_FRAME_RELEASE) {
        drain->release[drain->releases++] = event.release;
    } else if (event.type != TKR_FRAME_PADDING) {
        span->unknown++; /* of a later version */
    }
    span->position += length;
    return true;
}

/* Parses what was copied; cut says that the last frame may not be whole. Returns the bytes used. */
static uint32_t parse(struct tkr_drain *drain, struct tkr_drain_span *span, const unsigned char *bytes, size_t count, bool cut)
{
    size_t at = 0;

    while (at < count && has_room_for_event(drain)) {
        size_t length = tkr_frame_length(bytes + at, count - at);
        if (length == 0 && cut && count - at < TKR_FRAME_BYTES_MAX)
            break;
        if (length == 0 || !take_frame(drain, span, bytes + at, length)) {
            span->broken = true;
            break;
        }
        at += length;
    }
    return (uint32_t)at;
}

/* Copies and parses what one lane has, as far as the batch has room. false: there may be more in it. */
static bool drain_lane(struct tkr_drain *drain, struct tkr_feed *feed, uint32_t lane)
{
    const struct tkr_lane_cursor *cursor = &feed->cursor->lane[lane];
    struct tkr_drain_span *span = &drain->span[drain->spans];
    unsigned char *bytes = drain->buffer + drain->bytes;
    size_t max = TKR_DRAIN_BYTES - drain->bytes;
    size_t count = 0;
    uint64_t head = 0;

    if (max > LANE_BYTES_AT_ONCE)
        max = LANE_BYTES_AT_ONCE;
    span->feed = feed;
    span->lane = lane;
    span->first_event = drain->events;
    span->event_count = 0;
    span->position = get(&cursor->position);
    span->sequence = get(&cursor->sequence);
    span->unknown = 0;
    span->broken = !tkr_view_lane_read(feed->view, lane, span->position, bytes, max, &count, &head);
    if (!span->broken && head - span->position > drain->lane_high)
        drain->lane_high = head - span->position;
    if (!span->broken && count > 0)
        drain->bytes += parse(drain, span, bytes, count, count == max);
    span->notices_end = drain->notices;
    span->releases_end = drain->releases;
    if (span->broken || count > 0)
        drain->spans++;
    return !span->broken && span->position == head;
}

static bool has_room(const struct tkr_drain *drain)
{
    return has_room_for_event(drain) && drain->spans < TKR_BATCH_LANES_MAX &&
           TKR_DRAIN_BYTES - drain->bytes >= 2 * TKR_FRAME_BYTES_MAX;
}

/* false: there may be more in its lanes. Those that wait for memory are passed over while there is none. */
static bool drain_feed(struct tkr_drain *drain, struct tkr_feed *feed, bool short_of_memory)
{
    bool empty = true;

    if (!tkr_view_lanes_refresh(feed->view)) {
        if (!has_room(drain))
            return false;
        drain->span[drain->spans++] = (struct tkr_drain_span){.feed = feed, .broken = true, .lane = TKR_REGION_LANES_MAX};
        return true;
    }
    for (uint32_t i = 0; i < feed->view->lane_count; i++) {
        if (!has_room(drain))
            return false;
        if (feed->lane_next >= feed->view->lane_count)
            feed->lane_next = 0;
        if (!short_of_memory || !tkr_feed_lane_waits(feed, feed->lane_next))
            empty &= drain_lane(drain, feed, feed->lane_next);
        feed->lane_next++;
    }
    return empty;
}

/* --- into the table --- */

static uint64_t count_refused(struct tkr_drain *drain, struct tkr_shard *shard, const struct tkr_drain_span *span)
{
    uint64_t refused = 0;
    uint32_t previous = UINT32_MAX;

    for (uint32_t i = 0; i < drain->charges; i++) {
        const struct tkr_charge *charge = &drain->charge[i];
        bool of_span = charge->event >= span->first_event && charge->event < span->first_event + span->event_count;
        if (!charge->refused || !of_span || charge->event == previous)
            continue;
        previous = charge->event;
        drain->call[charge->event].refused = true;
        tkr_feed_drop(shard, span->feed, TKR_DROP_OVERFLOW, 1);
        refused++;
    }
    return refused;
}

static bool any_refused(const struct tkr_drain *drain)
{
    bool any = false;

    for (uint32_t i = 0; i < drain->charges; i++)
        any |= drain->charge[i].refused;
    return any;
}

/* The span ends before this event, as if no more had been read of its lane. What may be broken behind it is found out later. */
static void cut_span(struct tkr_drain *drain, struct tkr_drain_span *span, uint32_t event)
{
    const struct tkr_drain_mark *mark = &drain->mark[event];

    span->sequence -= span->first_event + span->event_count - event;
    span->event_count = event - span->first_event;
    span->position = mark->position;
    span->unknown = mark->unknown;
    span->broken = false;
    tkr_feed_lane_set_waiting(span->feed, span->lane, true);
    for (uint32_t i = mark->notices; i < span->notices_end; i++)
        drain->notice[i].waits = true;
    for (uint32_t i = mark->releases; i < span->releases_end; i++)
        drain->release[i].word = 0; /* which releases nothing */
}

/* Leaves in their lanes the events that wait, of each span those from the first of them on. Returns how many. */
static uint32_t cut_waiting(struct tkr_drain *drain)
{
    struct tkr_drain_span *span = drain->span;
    uint32_t previous = UINT32_MAX;
    uint32_t waiting = 0;

    for (uint32_t i = 0; i < drain->charges; i++) {
        const struct tkr_charge *charge = &drain->charge[i];
        if (!charge->waits || charge->event == previous)
            continue;
        previous = charge->event;
        drain->call[charge->event].refused = true;
        waiting++;
        while (span < drain->span + drain->spans && span->first_event + span->event_count <= charge->event)
            span++;
        if (span < drain->span + drain->spans && charge->event >= span->first_event)
            cut_span(drain, span, charge->event);
    }
    return waiting;
}

/* Lanes that were read, and of which nothing waits, wait no more. */
static void end_waiting(struct tkr_drain *drain)
{
    for (uint32_t i = 0; i < drain->spans; i++) {
        const struct tkr_drain_span *span = &drain->span[i];
        if (span->lane < TKR_REGION_LANES_MAX && tkr_feed_lane_waits(span->feed, span->lane))
            tkr_feed_lane_set_waiting(span->feed, span->lane, false);
    }
}

static void move_cursor(struct tkr_shard *shard, const struct tkr_drain_span *span, uint64_t refused)
{
    struct tkr_lane_cursor *cursor = &span->feed->cursor->lane[span->lane];

    if (!TKR_BROKEN(CURSOR))
        tkr_batch_touch(shard, cursor, sizeof(*cursor));
    tkr_batch_set(&cursor->position, span->position);
    TKR_CRASH(CURSOR_HALF);
    tkr_batch_set(&cursor->sequence, span->sequence);
    tkr_batch_add(&cursor->counted, span->event_count - refused);
    TKR_CRASH(CURSOR_MOVED);
    if (span->unknown > 0) {
        tkr_batch_touch(shard, span->feed->cursor, TKR_CURSOR_HEAD_BYTES);
        tkr_batch_add(&span->feed->cursor->unknown, span->unknown);
    }
}

/* Notices that stay in their lanes are nobody's yet; nor is what would be released there. */
static void keep_rest(struct tkr_drain *drain)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < drain->notices; i++) {
        if (!drain->notice[i].waits)
            drain->notice[kept++] = drain->notice[i];
    }
    drain->notices = kept;
    kept = 0;
    for (uint32_t i = 0; i < drain->releases; i++) {
        if (drain->release[i].word != 0)
            drain->release[kept++] = drain->release[i];
    }
    drain->releases = kept;
}

static void apply_spans(struct tkr_drain *drain, struct tkr_shard *shard)
{
    bool refused = any_refused(drain);

    for (uint32_t i = 0; i < drain->spans; i++) {
        const struct tkr_drain_span *span = &drain->span[i];
        if (span->lane < TKR_REGION_LANES_MAX)
            move_cursor(shard, span, refused ? count_refused(drain, shard, span) : 0);
    }
    for (uint32_t i = 0; i < drain->spans; i++) {
        if (drain->span[i].broken && tkr_feed_state(drain->span[i].feed) == TKR_CURSOR_ACTIVE)
            tkr_feed_quarantine(shard, drain->span[i].feed);
    }
}

/* After the commit: what is counted is the producers' again. */
static void release_spans(const struct tkr_drain *drain)
{
    for (uint32_t i = 0; i < drain->spans; i++) {
        const struct tkr_drain_span *span = &drain->span[i];
        if (span->lane < TKR_REGION_LANES_MAX && !span->broken)
            (void)tkr_view_lane_release(span->feed->view, span->lane, span->position, span->sequence);
        TKR_CRASH(LANE_RELEASED);
    }
}

int tkr_drain_batch(struct tkr_drain *drain, struct tkr_shard *shard, struct tkr_feed *feeds, bool *ret_more)
{
    bool short_of_memory = tkr_shard_short_of_memory(shard);
    bool empty = true;
    uint32_t waiting;

    start(drain, shard);
    for (struct tkr_feed *feed = feeds; feed != NULL; feed = feed->next) {
        if (feed->view == NULL || tkr_feed_state(feed) != TKR_CURSOR_ACTIVE)
            continue;
        empty &= drain_feed(drain, feed, short_of_memory);
        if (!has_room(drain)) {
            empty = false;
            break;
        }
    }
    *ret_more = !empty;
    if (drain->spans == 0)
        return 0;
    TKR_CRASH(DRAIN_COPIED);
    if (!tkr_batch_begin(shard)) {
        drain->charges = drain->events = drain->releases = drain->spans = 0; /* of these, nothing is counted */
        return -1;
    }
    tkr_batch_apply(shard, drain->charge, drain->charges);
    end_waiting(drain);
    waiting = cut_waiting(drain);
    if (waiting > 0)
        keep_rest(drain);
    apply_spans(drain, shard);
    tkr_batch_commit(shard);
    release_spans(drain);
    return (int)(drain->events - waiting);
}

/* --- open calls of the dead --- */

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* What a call is charged whose end nobody told. All of it is estimated. */
static void settle_values(const struct tkr_call_slot *slot, enum tkr_orphan_policy policy, struct tkr_frame_values *ret_values)
{
    int64_t prompt = policy == TKR_ORPHAN_ZERO ? 0 : slot->prompt_estimate;
    int64_t completion = policy == TKR_ORPHAN_ZERO || policy == TKR_ORPHAN_PROMPT ? 0 : tkr_call_slot_streamed(slot);
    int64_t total = prompt + completion;

    if (policy == TKR_ORPHAN_RESERVE)
        total = larger(total, slot->reserve);
    tkr_frame_values_init(ret_values, TKR_ERROR_ORPHANED);
    tkr_frame_value_add(ret_values, TKR_COUNTER_PROMPT, prompt);
    tkr_frame_value_add(ret_values, TKR_COUNTER_COMPLETION, completion);
    tkr_frame_value_add(ret_values, TKR_COUNTER_TOTAL, total);
    tkr_frame_value_add(ret_values, TKR_COUNTER_ESTIMATED, total);
}

static bool estimates_fit(const struct tkr_call_slot *slot)
{
    return slot->prompt_estimate >= 0 && slot->prompt_estimate <= TKR_TOKENS_MAX && slot->reserve >= 0 &&
           slot->reserve <= TKR_TOKENS_MAX && tkr_call_slot_streamed(slot) <= TKR_TOKENS_MAX;
}

/*
 * Reads slot number i into the buffer; adds its event when its call is open. broken: slots before it that are. false: so is this one,
 * which is none that we would write.
 */
static bool settle_slot(struct tkr_drain *drain, const struct tkr_feed *feed, uint32_t i, uint32_t broken,
                        enum tkr_orphan_policy policy)
{
    struct tkr_call_slot *slot = (struct tkr_call_slot *)(drain->buffer + drain->bytes);
    struct tkr_event event;
    size_t length;
    bool open;

    if (!tkr_view_slot_read(feed->view, i, slot, &open))
        return false;
    if (!open)
        return true;
    length = tkr_frame_length(slot->frame, sizeof(slot->frame));
    if (length == 0 || !tkr_frame_decode(slot->frame, length, &event) || event.type != TKR_FRAME_OPEN || !estimates_fit(slot))
        return false;
    settle_values(slot, policy, &event.values);
    drain->bytes += TKR_CALL_SLOT_BYTES; /* the charge points into it */
    drain->mark[drain->events] = (struct tkr_drain_mark){.position = i, .unknown = broken};
    add_event(drain, &event);
    return true;
}

/* A slot of a region that broke the rules: its call, if it is open, is lost. */
static bool slot_is_free(struct tkr_drain *drain, const struct tkr_feed *feed, uint32_t i)
{
    struct tkr_call_slot *slot = (struct tkr_call_slot *)drain->buffer;
    bool open;

    return tkr_view_slot_read(feed->view, i, slot, &open) && !open;
}

/* The first event that waits, and all behind it, are for another time: the slots end before its own. false: none waits. */
static bool cut_slots(struct tkr_drain *drain, uint32_t *slots_end, uint32_t *broken)
{
    for (uint32_t i = 0; i < drain->charges; i++) {
        const struct tkr_charge *charge = &drain->charge[i];
        if (!charge->waits)
            continue;
        *slots_end = (uint32_t)drain->mark[charge->event].position;
        *broken = (uint32_t)drain->mark[charge->event].unknown;
        drain->events = charge->event;
        drain->charges = i;
        return true;
    }
    return false;
}

/* Adds the open calls of the slots [at, end), or looks whether those of a region that broke the rules are free. Returns the broken. */
static uint32_t read_slots(struct tkr_drain *drain, const struct tkr_feed *feed, uint32_t at, uint32_t end,
                           enum tkr_orphan_policy policy)
{
    bool quarantined = tkr_feed_state(feed) == TKR_CURSOR_QUARANTINED;
    uint32_t broken = 0;

    for (; at < end; at++)
        broken += quarantined ? !slot_is_free(drain, feed, at) : !settle_slot(drain, feed, at, broken, policy);
    return broken;
}

bool tkr_drain_settle(struct tkr_drain *drain, struct tkr_shard *shard, struct tkr_feed *feed, enum tkr_orphan_policy policy)
{
    struct tkr_cursor *cursor = feed->cursor;
    uint32_t at = (uint32_t)get(&cursor->slots_settled);
    uint32_t refused = 0;
    uint32_t broken;
    uint32_t slots;
    uint32_t end;

    start(drain, shard);
    if (!tkr_view_slot_count(feed->view, &slots) || at >= slots)
        return true;
    if (feed->settling_waits && tkr_shard_short_of_memory(shard))
        return false;
    end = slots - at > SLOTS_AT_ONCE ? at + SLOTS_AT_ONCE : slots;
    broken = read_slots(drain, feed, at, end, policy);
    if (!tkr_batch_begin(shard)) {
        drain->charges = drain->events = 0;
        return false;
    }
    tkr_batch_apply(shard, drain->charge, drain->charges);
    feed->settling_waits = cut_slots(drain, &end, &broken);
    tkr_batch_touch(shard, cursor, TKR_CURSOR_HEAD_BYTES);
    if (any_refused(drain)) {
        struct tkr_drain_span all = {.feed = feed, .event_count = drain->events};
        refused = (uint32_t)count_refused(drain, shard, &all);
    }
    tkr_batch_set(&cursor->slots_settled, end);
    tkr_batch_add(&cursor->orphans, drain->events);
    tkr_batch_add(&cursor->settled, drain->events - refused);
    tkr_batch_add(&cursor->dropped[TKR_DROP_CORRUPT], broken);
    TKR_CRASH(SETTLE_APPLIED);
    tkr_batch_commit(shard);
    TKR_CRASH(SETTLED);
    return end >= slots;
}
