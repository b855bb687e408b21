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

/*
 * May an account be told of now? Each has a place that moves with the second; where another has it in this second, it waits for
 * the next. So none is told of twice in a second.
 */
static bool may_tell(struct tkr_channel *channel, uint64_t hash, uint32_t second)
{
    uint32_t *told = &channel->watched_s[(hash ^ second) % TKR_WATCHED_MAX];

    if (*told == second)
        return false;
    *told = second;
    return true;
}

/* Writes it, if the lane has room: nothing waits or grows for it. The lane's numbering passes over it. */
static void put(struct tkr_channel *channel, const tkr_start *start)
{
    size_t head_bytes = tkr_frame_head_bytes(start);
    struct tkr_frame_values values;
    void *frame;

    tkr_frame_values_init(&values, 0);
    frame = tkr_lane_reserve(&channel->writer, tkr_frame_bytes(head_bytes, &values));
    if (frame == NULL)
        return;
    tkr_frame_head_put(frame, head_bytes, start, start->cycle, start->start_ns);
    tkr_frame_finish_as(frame, head_bytes, TKR_FRAME_WATCH, &values, 0);
    tkr_lane_publish_to(&channel->writer, tkr_lane_pending(&channel->writer), channel->writer.sequence);
}

static __attribute__((noinline)) void tell(struct tkr_channel *channel, const tkr_account *account, uint32_t cycle, uint64_t hash,
                                           int64_t now_ns)
{
    uint32_t second = (uint32_t)(now_ns / TKR_NS_PER_S) + 1; /* zeros are no second */
    tkr_start start = TKR_START_INIT;

    if (channel == NULL)
        return;
    tkr_channel_lock(channel);
    if (may_tell(channel, hash, second)) {
        start.account_count = 1;
        start.account[0] = *account;
        start.cycle = cycle;
        start.start_ns = tkr_clock_coarse_ns();
        put(channel, &start);
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
        return TKR_LIMIT_ALLOWED;
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

    figures->used = clamp(figures->used);
    if (figures->fresh_ns == 0)
        return;
    left = figures->limit - figures->used - figures->reserved;
    ret_limit->age_ns = now_ns > figures->fresh_ns ? now_ns - figures->fresh_ns : 0;
    ret_limit->used = figures->used;
    ret_limit->reserved = figures->reserved;
    if (figures->limit > 0) {
        ret_limit->limit = figures->limit;
        ret_limit->remaining = left > 0 ? left : 0;
    }
    if (fresh(producer, figures->fresh_ns, now_ns))
        ret_limit->verdict = judge(&producer->limit, figures, want);
}

/* Fills in what the board says. false: it has no such account. */
static inline bool look(const struct tkr_producer *producer, const struct tkr_board *board, const struct tkr_board_key *key,
                        int64_t want, int64_t now_ns, tkr_limit *ret_limit)
{
    struct tkr_board_figures figures;
    uint32_t number;
    uint64_t seq;

    if (!tkr_board_find(board, key, &number, &seq) || !tkr_board_read(board, number, seq, &figures))
        return false;
    tkr_board_ask(board, number, (uint64_t)(now_ns / TKR_NS_PER_S));
    if (tkr_board_shown(board))
        fill(producer, &figures, want, now_ns, ret_limit);
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

    return tkr_producer_cycle(producer, channel, &start, tkr_clock_coarse_ns());
}

/* id fits. */
static int check(struct tkr_producer *producer, const tkr_account *account, uint32_t cycle, int64_t want, tkr_limit *ret_limit)
{
    struct tkr_channel *channel;
    const struct tkr_board *board;
    struct tkr_board_key key;
    int64_t now_ns;
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
    now_ns = tkr_clock_monotonic_coarse_ns();
    if (board == NULL || !look(producer, board, &key, want, now_ns, ret_limit)) {
        result = check_key(account, cycle);
        if (result != TKR_OK)
            return tkr_producer_refuse(producer, result);
        if (board != NULL)
            tell(channel, account, cycle, key.hash, now_ns);
    }
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
static inline bool claim(const struct tkr_producer *producer, struct tkr_channel *channel, const struct tkr_board *board,
                         const tkr_account *account, uint32_t cycle, int64_t now_ns, struct tkr_hold_claim *ret_claim)
{
    struct tkr_board_key key;

    tkr_board_key(board, account->kind, account->id, account->len, cycle, &key);
    tkr_board_prefetch(board, &key);
    if (!tkr_board_find(board, &key, &ret_claim->number, &ret_claim->seq)) {
        tell(channel, account, cycle, key.hash, now_ns);
        return false;
    }
    tkr_board_ask(board, ret_claim->number, (uint64_t)(now_ns / TKR_NS_PER_S));
    return fresh(producer, atomic_load_explicit(&board->entry[ret_claim->number].fresh_ns, memory_order_acquire), now_ns);
}

bool tkr_limits_hold(struct tkr_producer *producer, struct tkr_channel *channel, struct tkr_call_slot *slot,
                     const tkr_start *start, uint32_t cycle, int64_t now_ns)
{
    const struct tkr_board *board = board_of(producer);
    struct tkr_hold_claim known[TKR_ACCOUNTS_MAX];
    uint32_t count = 0;

    if (board == NULL)
        return !producer->limit.closed;
    for (uint32_t i = 0; i < start->account_count; i++)
        count += claim(producer, channel, board, &start->account[i], cycle, now_ns, &known[count]);
    if (producer->limit.closed && count < start->account_count)
        return false;
    if (count == 0)
        return true;
    slot->reserve = start->reserve;
    switch (tkr_hold_take(board, slot_words(slot), known, count, start->reserve)) {
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
    uint32_t cycle = tkr_producer_cycle(producer, channel, start, start_ns);
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
