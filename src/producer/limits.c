/* SPDX-License-Identifier: Apache-2.0 */
#include "producer/limits.h"

#include <string.h>

#include "base/clock.h"
#include "event/encode.h"
#include "limit/hold.h"
#include "producer/arguments.h"
#include "producer/lanes.h"
#include "producer/slots.h"

#define LIMIT_SIZE_MIN (2 * sizeof(uint32_t))
#define LIMIT_SIZE_MAX 4096u

/* --- telling the collector --- */

/* The turn at the end of a cycle: what the thread looked up last, or looked up. channel may be NULL. */
static __attribute__((noinline)) struct tkr_cycle_turn find_turn(const struct tkr_producer *producer, struct tkr_channel *channel,
                                                                 uint32_t cycle)
{
    struct tkr_cycle_turn turn;

    tkr_cycle_turn_find(&producer->rule, cycle, &turn);
    if (channel != NULL && !channel->shared)
        channel->turn = turn;
    return turn;
}

static inline int64_t cycle_end(const struct tkr_producer *producer, struct tkr_channel *channel, uint32_t cycle)
{
    if (__builtin_expect(channel != NULL && channel->turn.cycle == cycle, 1))
        return channel->turn.end_ns;
    return find_turn(producer, channel, cycle).end_ns;
}

/*
 * Each account has a place where it is noted in which second the collector was told of it. Where another is noted, it is written
 * over: then the collector is told once more, which costs it a look, while an account that had to wait would stay unknown.
 */
static struct tkr_told *place_of(struct tkr_channel *channel, uint64_t hash)
{
    return &channel->told[(hash >> 32) % TKR_TOLD_MAX];
}

/* Writes it, if that leaves half of the lane to records: nothing waits or grows for it. The lane's numbering passes over it. */
static bool put(struct tkr_channel *channel, const tkr_start *start, const struct tkr_cycle_turn *turn)
{
    size_t head_bytes = tkr_frame_head_bytes(start);
    struct tkr_frame_values values;
    void *frame;

    tkr_frame_values_init(&values, 0);
    tkr_frame_value_add(&values, TKR_WATCH_END_S, turn->end_ns / TKR_NS_PER_S);
    tkr_frame_value_add(&values, TKR_WATCH_NEXT, turn->next);
    if (tkr_lane_room(&channel->writer) <= channel->writer.mask / 2)
        return false;
    frame = tkr_lane_reserve(&channel->writer, tkr_frame_bytes(head_bytes, &values));
    if (frame == NULL)
        return false;
    tkr_frame_head_put(frame, head_bytes, start, start->cycle, start->start_ns);
    tkr_frame_finish_as(frame, head_bytes, TKR_FRAME_WATCH, &values, 0);
    tkr_lane_publish_to(&channel->writer, tkr_lane_pending(&channel->writer), channel->writer.sequence);
    return true;
}

/* Once a second at most, or as soon as there is room. */
static __attribute__((noinline)) void tell(const struct tkr_producer *producer, struct tkr_channel *channel,
                                           const tkr_account *account, uint32_t cycle, uint64_t hash, int64_t now_ns)
{
    const struct tkr_told told = {.tag = (uint32_t)hash, .second = (uint32_t)(now_ns / TKR_NS_PER_S) + 1}; /* zeros are none */
    tkr_start start = TKR_START_INIT;
    struct tkr_cycle_turn turn;
    struct tkr_told *place;

    if (channel == NULL)
        return;
    tkr_channel_lock(channel);
    place = place_of(channel, hash);
    if (place->tag != told.tag || place->second != told.second) {
        turn = channel->turn.cycle == cycle ? channel->turn : find_turn(producer, channel, cycle);
        start.account_count = 1;
        start.account[0] = *account;
        start.cycle = cycle;
        start.start_ns = tkr_clock_coarse_ns();
        if (put(channel, &start, &turn))
            *place = told;
    }
    tkr_channel_unlock(channel);
}

/* --- the board --- */

/* Does a slot of this process name a board of this tag? */
static bool is_named(const void *context, uint64_t tag)
{
    const struct tkr_producer *producer = context;
    uint64_t count = atomic_load_explicit(&producer->region.header->slot_count, memory_order_acquire);

    for (uint64_t i = 0; i < count; i++) {
        if (tkr_hold_may_name(atomic_load_explicit(&producer->region.slots[i].hold, memory_order_acquire), tag))
            return true;
    }
    return false;
}

static inline bool fresh(const struct tkr_producer *producer, int64_t fresh_ns, int64_t now_ns)
{
    return fresh_ns != 0 && now_ns - fresh_ns <= producer->limit.max_age_ns;
}

/* --- checking --- */

static int32_t judge(const struct tkr_limit_rule *rule, const struct tkr_board_figures *figures, int64_t want)
{
    int64_t taken = figures->used + figures->reserved; /* neither is beyond a quarter of the range: limit/board.c, and below */

    if (figures->limit == 0)
        return __builtin_expect(figures->blocked, 0) ? TKR_LIMIT_REFUSED : TKR_LIMIT_ALLOWED;
    if (taken >= figures->limit || want > figures->limit - taken)
        return TKR_LIMIT_REFUSED;
    return (double)(taken + want) * 100 >= (double)figures->limit * rule->warn_percent ? TKR_LIMIT_SOFT : TKR_LIMIT_ALLOWED;
}

/* Totals are the sum of what calls used; what is beyond, or below 0, somebody wrote into the sink by hand. */
static int64_t clamp(int64_t tokens)
{
    return tokens < 0 ? 0 : tokens > INT64_MAX / 4 ? INT64_MAX / 4 : tokens;
}

static void fill(const struct tkr_producer *producer, struct tkr_board_figures *figures, int64_t want, int64_t now_ns,
                 tkr_limit *ret_limit)
{
    int64_t left;

    tkr_board_unblock(figures);
    figures->used = clamp(figures->used);
    if (figures->fresh_ns == 0)
        return;
    left = figures->limit - figures->used - figures->reserved;
    ret_limit->age_ns = now_ns > figures->fresh_ns ? now_ns - figures->fresh_ns : 0;
    ret_limit->used = figures->used;
    ret_limit->reserved = figures->reserved;
    if (figures->limit > 0 || figures->blocked) {
        ret_limit->limit = figures->limit;
        ret_limit->remaining = left > 0 ? left : 0;
    }
    if (fresh(producer, figures->fresh_ns, now_ns))
        ret_limit->verdict = judge(&producer->limit, figures, want);
}

/*
 * The keeper looks at an account each second while somebody asks for it, or it has no room left, and else each few seconds.
 * What an account has that is idle and was not looked at for so long refuses nobody: its limit may have been raised since, or
 * cleared. It is unknown then, the collector is told, and looks at once. While somebody asks, figures grow old only where the
 * sink cannot be asked, and then they refuse as long as they count for known.
 */
static inline bool is_late(const struct tkr_board *board, uint32_t number, int64_t fresh_ns, int64_t now_ns)
{
    return fresh_ns != 0 && now_ns - fresh_ns > TKR_LIMIT_REFUSE_AGE_NS &&
           !tkr_board_busy(board, number, (uint64_t)(now_ns / TKR_NS_PER_S));
}

/* An account, where the board has it, and who asks. */
struct asking {
    const struct tkr_producer *producer;
    struct tkr_channel *channel;
    const struct tkr_board *board;
    const tkr_account *account;
    uint32_t cycle;
    int64_t now_ns;
};

/* Once a second of each account: notes that somebody asks; of one that is late, the keeper does, once it has looked. */
static __attribute__((noinline)) void note_asked(const struct asking *asking, uint32_t number, int64_t fresh_ns, uint64_t hash)
{
    if (is_late(asking->board, number, fresh_ns, asking->now_ns))
        tell(asking->producer, asking->channel, asking->account, asking->cycle, hash, asking->now_ns);
    else
        tkr_board_ask(asking->board, number, (uint64_t)(asking->now_ns / TKR_NS_PER_S));
}

static inline void ask(const struct asking *asking, uint32_t number, int64_t fresh_ns, uint64_t hash)
{
    if (__builtin_expect(!tkr_board_asked_in(asking->board, number, (uint64_t)(asking->now_ns / TKR_NS_PER_S)), 0))
        note_asked(asking, number, fresh_ns, hash);
}

/* Fills in what the board says. false: it has no such account. */
static inline bool look(const struct asking *asking, const struct tkr_board_key *key, int64_t want, tkr_limit *ret_limit)
{
    const struct tkr_board *board = asking->board;
    struct tkr_board_figures figures;
    uint32_t number;
    uint64_t seq;

    if (!tkr_board_find(board, key, &number, &seq) || !tkr_board_read(board, number, seq, &figures))
        return false;
    if (tkr_board_shown(board))
        fill(asking->producer, &figures, want, asking->now_ns, ret_limit);
    if (__builtin_expect(ret_limit->verdict == TKR_LIMIT_REFUSED, 0) && is_late(board, number, figures.fresh_ns, asking->now_ns))
        ret_limit->verdict = TKR_LIMIT_UNKNOWN;
    ask(asking, number, figures.fresh_ns, key->hash);
    return true;
}

static __attribute__((noinline)) const struct tkr_board *find_board(struct tkr_producer *producer)
{
    struct tkr_window *window = &producer->live->window;

    tkr_window_find(window, producer->path, producer->own_directory, tkr_clock_monotonic_coarse_ns(), is_named, producer);
    return tkr_window_board(window);
}

static inline const struct tkr_board *board_of(struct tkr_producer *producer)
{
    const struct tkr_board *board = tkr_window_board(&producer->live->window);

    return __builtin_expect(board != NULL, 1) ? board : find_board(producer);
}

/* What is on the board is an account and a cycle: only of others it must be asked. */
static int check_key(const tkr_account *account, uint32_t cycle)
{
    int result = tkr_arguments_account(account);

    return result == TKR_OK && !tkr_cycle_valid(cycle) ? TKR_ECYCLE : result;
}

static uint32_t cycle_of_now(const struct tkr_producer *producer, struct tkr_channel *channel)
{
    const tkr_start start = {.cycle = 0};
    int64_t now_ns = tkr_clock_coarse_ns();

    return tkr_producer_cycle(producer, channel, &start, &now_ns);
}

/* id fits. */
static int check(struct tkr_producer *producer, const tkr_account *account, uint32_t cycle, int64_t want, tkr_limit *ret_limit)
{
    struct tkr_channel *channel;
    const struct tkr_board *board;
    struct tkr_board_key key;
    struct asking asking;
    int result;

    if (tkr_producer_channel(producer, &channel) != TKR_OK)
        channel = NULL; /* nobody is told */
    if (channel == NULL && (result = tkr_producer_ready(producer)) != TKR_OK)
        return result;
    if (cycle == 0)
        cycle = cycle_of_now(producer, channel);
    board = board_of(producer);
    if (board != NULL) {
        tkr_board_key(board, account->kind, account->id, account->len, cycle, &key);
        tkr_board_prefetch(board, &key);
    }
    asking = (struct asking){producer, channel, board, account, cycle, tkr_clock_monotonic_coarse_ns()};
    if (board == NULL || !look(&asking, &key, want, ret_limit)) {
        result = check_key(account, cycle);
        if (result != TKR_OK)
            return tkr_producer_refuse(producer, result);
        if (board != NULL)
            tell(producer, channel, account, cycle, key.hash, asking.now_ns);
    }
    ret_limit->cycle_end_ns = cycle_end(producer, channel, cycle);
    if (ret_limit->verdict == TKR_LIMIT_UNKNOWN && producer->limit.closed)
        ret_limit->verdict = TKR_LIMIT_REFUSED;
    return TKR_OK;
}

static int check_arguments(const tkr_account *account, int64_t want_tokens, const tkr_limit *ret_limit)
{
    if (account == NULL || ret_limit == NULL)
        return TKR_EINVAL;
    if (!tkr_arguments_id_fits(account))
        return TKR_EACCOUNT;
    if (!tkr_arguments_fits(want_tokens, TKR_TOKENS_MAX))
        return TKR_ERANGE;
    return ret_limit->size < LIMIT_SIZE_MIN || ret_limit->size > LIMIT_SIZE_MAX ? TKR_ESIZE : TKR_OK;
}

int tkr_limit_check(tkr_producer *producer, const tkr_account *account, uint32_t cycle, int64_t want_tokens, tkr_limit *ret_limit)
{
    tkr_limit limit = TKR_LIMIT_INIT;
    int result;

    if (producer == NULL)
        return TKR_EINVAL;
    result = check_arguments(account, want_tokens, ret_limit);
    if (__builtin_expect(result != TKR_OK, 0))
        return tkr_producer_refuse(producer, result);
    result = check(producer, account, cycle, tkr_arguments_or_zero(want_tokens), &limit);
    if (__builtin_expect(result != TKR_OK, 0))
        return result;
    limit.size = ret_limit->size; /* the caller's size says how much it has room for */
    if (__builtin_expect(limit.size == sizeof(limit), 1))
        *ret_limit = limit;
    else
        memcpy(ret_limit, &limit, limit.size < sizeof(limit) ? limit.size : sizeof(limit));
    return TKR_OK;
}

/* --- holding --- */

static struct tkr_hold_slot slot_words(struct tkr_call_slot *slot)
{
    return (struct tkr_hold_slot){&slot->hold, &slot->hold_more};
}

/*
 * The entry of an account whose figures are fresh. false: there is none, and the collector is told if it does not know it. Whether
 * the entry is the account's still, tkr_hold_take asks.
 */
static inline bool claim(const struct asking *asking, struct tkr_hold_claim *ret_claim)
{
    const tkr_account *account = asking->account;
    struct tkr_board_key key;
    int64_t fresh_ns;

    tkr_board_key(asking->board, account->kind, account->id, account->len, asking->cycle, &key);
    tkr_board_prefetch(asking->board, &key);
    if (!tkr_board_find(asking->board, &key, &ret_claim->number, &ret_claim->seq)) {
        tell(asking->producer, asking->channel, account, asking->cycle, key.hash, asking->now_ns);
        return false;
    }
    fresh_ns = atomic_load_explicit(&asking->board->entry[ret_claim->number].fresh_ns, memory_order_acquire);
    ask(asking, ret_claim->number, fresh_ns, key.hash);
    return fresh(asking->producer, fresh_ns, asking->now_ns);
}

/* Is there no room by figures that are too old to refuse? What the call itself had added is given back. */
static bool refuses_late(const struct tkr_board *board, const struct tkr_hold_claim *claim, int64_t reserve, int64_t now_ns)
{
    struct tkr_board_figures figures;

    return tkr_board_read(board, claim->number, claim->seq, &figures) && figures.limit > 0 &&
           figures.used > figures.limit - figures.reserved - reserve && is_late(board, claim->number, figures.fresh_ns, now_ns);
}

/* After a refusal: holds on those alone who do not refuse too late, if it was such that did. */
static __attribute__((noinline)) enum tkr_hold_result hold_without_late(const struct tkr_board *board, struct tkr_call_slot *slot,
                                                                        struct tkr_hold_claim *known, uint32_t count,
                                                                        int64_t now_ns)
{
    enum tkr_hold_result result = TKR_HOLD_REFUSED;
    uint32_t left = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (!refuses_late(board, &known[i], slot->reserve, now_ns))
            known[left++] = known[i];
    }
    if (left == 0)
        result = TKR_HOLD_OK; /* nothing is known that refuses */
    else if (left < count)
        result = tkr_hold_take(board, slot_words(slot), known, left, slot->reserve);
    return result == TKR_HOLD_REFUSED && left < count ? hold_without_late(board, slot, known, left, now_ns) : result;
}

bool tkr_limits_hold(struct tkr_producer *producer, struct tkr_channel *channel, struct tkr_call_slot *slot,
                     const tkr_start *start, uint32_t cycle, int64_t now_ns)
{
    const struct tkr_board *board = board_of(producer);
    struct tkr_hold_claim known[TKR_ACCOUNTS_MAX];
    enum tkr_hold_result result;
    uint32_t count = 0;

    if (board == NULL)
        return !producer->limit.closed;
    for (uint32_t i = 0; i < start->account_count; i++)
        count += claim(&(struct asking){producer, channel, board, &start->account[i], cycle, now_ns}, &known[count]);
    if (producer->limit.closed && count < start->account_count)
        return false;
    if (count == 0)
        return true;
    slot->reserve = start->reserve;
    result = tkr_hold_take(board, slot_words(slot), known, count, start->reserve);
    if (__builtin_expect(result == TKR_HOLD_REFUSED, 0) && !producer->limit.closed)
        result = hold_without_late(board, slot, known, count, now_ns);
    switch (result) {
    case TKR_HOLD_OK:
        return true;
    case TKR_HOLD_REFUSED:
        return false;
    default:
        return !producer->limit.closed; /* not known at present */
    }
}

void tkr_limits_leave(struct tkr_call_slot *slot, int64_t used, struct tkr_frame_release *ret_release)
{
    ret_release->word = tkr_hold_leave(slot_words(slot));
    ret_release->more = atomic_load_explicit(&slot->hold_more, memory_order_relaxed); /* the caller's */
    ret_release->tokens = used < slot->reserve ? used : slot->reserve;
}

void tkr_limits_left(struct tkr_producer *producer, struct tkr_call_slot *slot, int64_t tokens)
{
    tkr_hold_left(atomic_load_explicit(&producer->live->window.board, memory_order_acquire), slot_words(slot), tokens);
}

/* --- without a call --- */

/* Holds in a slot that was taken; one that holds nothing goes back. */
static int reserve_in(struct tkr_producer *producer, struct tkr_channel *channel, uint32_t number, const tkr_start *start,
                      struct tkr_limits_held *ret_held)
{
    struct tkr_call_slot *slot = &producer->region.slots[number];
    int64_t start_ns = start->start_ns != 0 ? start->start_ns : tkr_clock_coarse_ns();
    uint32_t cycle = tkr_producer_cycle(producer, channel, start, &start_ns);
    bool held = tkr_limits_hold(producer, channel, slot, start, cycle, tkr_clock_monotonic_coarse_ns());

    if (atomic_load_explicit(&slot->hold, memory_order_relaxed) == TKR_HOLD_NONE) { /* ours */
        tkr_slot_give(producer, channel, number);
        return held ? TKR_OK : TKR_ELIMIT;
    }
    ret_held->session = atomic_load_explicit(&producer->live->session, memory_order_relaxed);
    ret_held->slot = number + 1;
    return TKR_OK;
}

int tkr_limits_reserve(struct tkr_producer *producer, const tkr_start *start, struct tkr_limits_held *ret_held)
{
    struct tkr_channel *channel;
    uint32_t number;
    int result = tkr_arguments_start(start);

    if (result == TKR_OK && tkr_producer_channel(producer, &channel) != TKR_OK)
        channel = NULL;
    if (result == TKR_OK)
        result = tkr_producer_ready(producer);
    if (result == TKR_OK)
        result = tkr_slot_take(producer, channel, &number);
    if (result == TKR_OK)
        result = reserve_in(producer, channel, number, start, ret_held);
    return result == TKR_OK ? TKR_OK : tkr_producer_refuse(producer, result);
}

/* Publishes a release, if the thread's lane has room: nothing waits or grows for it. false: it has none, or what the thread
 * recorded before may lie in another. */
static bool put_release(struct tkr_channel *channel, const struct tkr_frame_release *release)
{
    unsigned char *frame;

    if (!tkr_lanes_left_drained(channel))
        return false;
    frame = tkr_lane_reserve(&channel->writer, TKR_FRAME_RELEASE_BYTES);
    if (frame == NULL)
        return false;
    tkr_frame_release_put(frame, release);
    tkr_lane_publish_to(&channel->writer, tkr_lane_pending(&channel->writer), channel->writer.sequence);
    return true;
}

/* publish: by a release; if that cannot be, or without one, it is drift, and mended when all lanes are drained (limit/hold.h). */
static void release_held(struct tkr_producer *producer, const struct tkr_limits_held *held, bool publish)
{
    struct tkr_frame_release release;
    struct tkr_channel *channel;
    struct tkr_call_slot *slot;

    if (held->slot == 0 || atomic_load_explicit(&producer->live->session, memory_order_acquire) != held->session)
        return;
    slot = &producer->region.slots[held->slot - 1];
    tkr_limits_leave(slot, slot->reserve, &release);
    if (publish && tkr_producer_channel(producer, &channel) == TKR_OK) {
        tkr_channel_lock(channel);
        (void)put_release(channel, &release);
        tkr_channel_unlock(channel);
    }
    TKR_CRASH(HOLD_PUBLISHED);
    tkr_limits_left(producer, slot, 0);
    tkr_slot_give_any(producer, held->slot - 1);
}

void tkr_limits_release(struct tkr_producer *producer, const struct tkr_limits_held *held)
{
    release_held(producer, held, true);
}

void tkr_limits_let_go(struct tkr_producer *producer, const struct tkr_limits_held *held)
{
    release_held(producer, held, false);
}
