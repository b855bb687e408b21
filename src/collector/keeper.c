/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/keeper.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/account.h"
#include "base/clock.h"
#include "base/cycle.h"
#include "base/log.h"
#include "collector/board.h"
#include "collector/drain.h"
#include "collector/due.h"
#include "collector/monitor.h"
#include "collector/turns.h"
#include "collector/wanted.h"
#include "sink/sink.h"
#include "table/reader.h"

#define TAKEN_MAX (UINT32_C(1) << 16) /* accounts that wait for the workers; what is wanted beyond waits in its queue */
#define RESOLVE_MAX 1024u             /* accounts that a worker links between two batches */
#define TAKE_MAX 4096u                /* accounts that are taken up between two questions */
#define CHUNK 1024u                   /* accounts in one question */
#define REFRESH_MAX_NS TKR_NS_PER_S
#define IDLE_NS (5 * TKR_NS_PER_S)   /* between lookups of accounts that nobody asks for */
#define IDLE_PACE 3                  /* and a pause so many times as long as what the sink was asked for them */
#define SOON_NS (5 * TKR_NS_PER_MS)  /* while figures may not be exact */
#define RESOLVE_NS TKR_NS_PER_MS     /* while workers are waited for */
#define OLD_NS (500 * TKR_NS_PER_MS) /* an account that is asked for anew, with figures that are older, is looked up at once */
#define BACKOFF_NS (200 * TKR_NS_PER_MS)
#define NAMED_BYTES 120u           /* of an id, in a sentence */
#define SAY_NS (60 * TKR_NS_PER_S) /* between lines of the log about a board that is full */

/* The thread's own, by entry. */
struct kept {
    uint64_t taken; /* its place in `taken`, plus 1 */
    int64_t own;    /* the last limits of its cycle, and standing, that could be read (sink/limit.h) */
    int64_t standing;
    int64_t published; /* what holds, as it was published last; TKR_LIMIT_UNREADABLE: nothing was */
    bool again;        /* it is looked up once more, soon */
    bool asked;        /* somebody waits for figures that are not old */
    bool troubled;     /* something about it cannot be understood; the log has it */
};

/* A question under way: accounts, and what this host had counted of each when it was put. */
struct question {
    uint32_t count;
    uint32_t number[CHUNK];
    uint64_t counted[CHUNK];
    int64_t unflushed[CHUNK];
    struct tkr_usage_row row[CHUNK];
    struct tkr_usage_found found[CHUNK];
};

struct tkr_keeper {
    struct tkr_guarded_board *guarded;
    struct question *question; /* the thread's work space */
    struct tkr_shard *const *shard;
    uint32_t shard_count;
    tkr_sink *sink;
    int64_t refresh_ns;
    struct kept *kept;
    struct tkr_due due;
    struct tkr_turns turns;
    int64_t turn_step_ns;       /* monotonic: of the next step */
    uint32_t adopted;           /* places of the board that were looked at for accounts that it began with */
    int64_t idle_not_before_ns; /* monotonic */
    int64_t full_said_ns;
    uint32_t named;             /* the entry in figures->named, plus 1; 0: none */
    _Atomic uint32_t *link;     /* by entry and shard: reference of the shard's entry; 0: it has none */
    _Atomic uint64_t *resolved; /* by shard: entries taken that its worker has linked */
    uint32_t taken[TAKEN_MAX];
    _Atomic uint64_t taken_count;
    bool failing;
    int64_t not_before_ns;
    struct tkr_pulse *pulse; /* may be NULL */
    struct tkr_limit_figures *figures;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool finish;
    struct tkr_wanted_queue wanted;
};

static void count(_Atomic uint64_t *figure, uint64_t more)
{
    (void)atomic_fetch_add_explicit(figure, more, memory_order_relaxed); /* a figure */
}

static _Atomic uint32_t *link_of(const struct tkr_keeper *keeper, uint32_t number, uint32_t shard)
{
    return &keeper->link[(uint64_t)number * keeper->shard_count + shard];
}

/* --- the workers' --- */

/* An entry that has no figures yet is being looked up. */
static bool is_old(const struct tkr_board_entry *entry, int64_t now_ns)
{
    int64_t fresh_ns = atomic_load_explicit(&entry->fresh_ns, memory_order_acquire);

    return fresh_ns != 0 && now_ns - fresh_ns > OLD_NS;
}

/* Is the account not on the board, or are its figures old? */
static bool is_wanted(const struct tkr_board *board, const struct tkr_drain_notice *watch, int64_t now_ns)
{
    struct tkr_board_key key;
    uint32_t number;
    uint64_t seq;

    tkr_board_key(board, watch->account.kind, watch->account.id, watch->account.len, watch->cycle, &key);
    if (!tkr_board_find(board, &key, &number, &seq))
        return true;
    return is_old(&board->entry[number], now_ns);
}

static void fill_block(const struct tkr_board *board, const struct tkr_drain *drain, struct tkr_wanted_block *block)
{
    int64_t now_ns = tkr_clock_monotonic_coarse_ns();

    for (uint32_t i = 0; i < drain->notices; i++) {
        const struct tkr_drain_notice *notice = &drain->notice[i];
        if (notice->watch && is_wanted(board, notice, now_ns))
            tkr_wanted_add(block,
                           &(struct tkr_wanted){
                               .account = notice->account, .cycle = notice->cycle, .next = notice->next, .end_s = notice->end_s});
    }
}

static void wake(struct tkr_keeper *keeper)
{
    (void)pthread_mutex_lock(&keeper->mutex);
    (void)pthread_cond_signal(&keeper->wake);
    (void)pthread_mutex_unlock(&keeper->mutex);
}

static void take_watches(struct tkr_keeper *keeper, const struct tkr_drain *drain)
{
    struct tkr_wanted_block *block;
    uint32_t watches = 0;
    uint32_t id_bytes = 0;

    for (uint32_t i = 0; i < drain->notices; i++) {
        watches += drain->notice[i].watch;
        id_bytes += drain->notice[i].watch ? drain->notice[i].account.len : 0;
    }
    if (watches == 0)
        return;
    block = tkr_wanted_begin(&keeper->wanted, watches, id_bytes);
    if (block == NULL) {
        count(&keeper->figures->backlog, watches);
        return;
    }
    fill_block(&keeper->guarded->board, drain, block);
    if (tkr_wanted_push(&keeper->wanted, block))
        wake(keeper);
}

/* The entry first: who loads counted before it sums must not miss what is linked (limit/layout.h, I2). */
static void count_charge(struct tkr_keeper *keeper, uint32_t shard, const struct tkr_charge *charge)
{
    const struct tkr_board *board = &keeper->guarded->board;
    struct tkr_board_key key;
    uint32_t number;
    uint64_t seq;
    uint32_t reference;

    tkr_board_key(board, charge->kind, charge->id, charge->id_len, charge->cycle, &key);
    tkr_board_prefetch(board, &key);
    if (!tkr_board_find(board, &key, &number, &seq))
        return;
    reference = (uint32_t)((uint64_t)((const unsigned char *)charge->entry - keeper->shard[shard]->arena) / TKR_ENTRY_UNIT) + 1;
    if (atomic_load_explicit(link_of(keeper, number, shard), memory_order_relaxed) != reference)
        atomic_store_explicit(link_of(keeper, number, shard), reference, memory_order_release);
    (void)atomic_fetch_add_explicit(&board->entry[number].counted, (uint64_t)charge->counts->value[TKR_COUNTER_TOTAL],
                                    memory_order_release);
}

void tkr_keeper_count(struct tkr_keeper *keeper, uint32_t shard, const struct tkr_drain *drain)
{
    if (keeper == NULL)
        return;
    if (drain->notices > 0)
        take_watches(keeper, drain);
    if (atomic_load_explicit(&keeper->guarded->board.header->accounts, memory_order_relaxed) == 0) /* nobody watches anybody */
        return;
    for (uint32_t i = 0; i < drain->charges; i++) {
        if (drain->charge[i].model_len == 0 && !drain->charge[i].refused && !drain->charge[i].waits)
            count_charge(keeper, shard, &drain->charge[i]);
    }
}

/* One that changes hands meanwhile comes again, as the next account. */
static void resolve(struct tkr_keeper *keeper, uint32_t shard, uint32_t number)
{
    struct tkr_board_account account;

    if (tkr_board_copy_key(&keeper->guarded->board, number, &account))
        atomic_store_explicit(link_of(keeper, number, shard),
                              tkr_shard_find(keeper->shard[shard], account.kind, account.id, account.id_len, account.cycle),
                              memory_order_release);
}

bool tkr_keeper_resolve(struct tkr_keeper *keeper, uint32_t shard)
{
    uint64_t at;
    uint64_t taken;
    uint64_t end;

    if (keeper == NULL)
        return false;
    at = atomic_load_explicit(&keeper->resolved[shard], memory_order_relaxed); /* the worker's own */
    taken = atomic_load_explicit(&keeper->taken_count, memory_order_acquire);  /* P2 */
    if (at == taken)
        return false;
    end = taken - at > RESOLVE_MAX ? at + RESOLVE_MAX : taken;
    for (; at < end; at++)
        resolve(keeper, shard, keeper->taken[at % TAKEN_MAX]);
    atomic_store_explicit(&keeper->resolved[shard], end, memory_order_release); /* P1 */
    return end < taken;
}

/* --- taking up --- */

/* Entries that all workers have linked. */
static uint64_t resolved_by_all(const struct tkr_keeper *keeper)
{
    uint64_t least = UINT64_MAX;

    for (uint32_t i = 0; i < keeper->shard_count; i++) {
        uint64_t resolved = atomic_load_explicit(&keeper->resolved[i], memory_order_acquire); /* P1 */
        least = resolved < least ? resolved : least;
    }
    return least;
}

/* May one more be taken up, or do the workers have so many to link that the next has to wait? */
static bool has_room_to_take(const struct tkr_keeper *keeper)
{
    return atomic_load_explicit(&keeper->taken_count, memory_order_relaxed) - resolved_by_all(keeper) < TAKEN_MAX;
}

/* What could not be understood about the account at this place is mended, or of nobody any more. */
static void end_trouble(struct tkr_keeper *keeper, uint32_t number)
{
    if (!keeper->kept[number].troubled)
        return;
    keeper->kept[number].troubled = false;
    (void)atomic_fetch_sub_explicit(&keeper->figures->unreadable, 1, memory_order_relaxed); /* a figure */
    if (keeper->named != number + 1)
        return;
    keeper->named = 0;
    (void)pthread_mutex_lock(&keeper->figures->mutex);
    keeper->figures->named.text[0] = '\0';
    (void)pthread_mutex_unlock(&keeper->figures->mutex);
}

/* From now on the workers count it, and it is looked up once they have all linked it. It is not in a list yet, or in that of
 * who was there before. */
static void enlist(struct tkr_keeper *keeper, uint32_t number, int64_t now_ns)
{
    uint64_t count = atomic_load_explicit(&keeper->taken_count, memory_order_relaxed); /* the thread's own */

    end_trouble(keeper, number);
    keeper->kept[number] =
        (struct kept){.taken = count + 1, .own = TKR_LIMIT_NONE, .standing = TKR_LIMIT_NONE, .published = TKR_LIMIT_UNREADABLE};
    keeper->taken[count % TAKEN_MAX] = number;
    tkr_due_put(&keeper->due, TKR_DUE_NEW, number, now_ns);
    atomic_store_explicit(&keeper->taken_count, count + 1, memory_order_release); /* P2 */
}

/* An account that is taken up. */
struct taking {
    struct tkr_board *board;
    struct tkr_board_key key;
    uint64_t asked_s;  /* when somebody asked for it; 0: nobody did */
    uint64_t leaves_s; /* whom nobody has asked for since may leave for it; 0: nobody leaves */
    uint32_t number;
    bool taken;
};

static void take(void *argument)
{
    struct taking *taking = argument;

    taking->taken = tkr_board_take(taking->board, &taking->key, taking->leaves_s, &taking->number);
    if (taking->taken)
        tkr_board_ask(taking->board, taking->number, taking->asked_s);
}

static bool take_up(struct tkr_keeper *keeper, struct taking *taking, int64_t now_ns)
{
    if (!tkr_guarded_board_call(keeper->guarded, take, taking))
        return true; /* given up: there is no board that could be full */
    if (taking->taken)
        enlist(keeper, taking->number, now_ns);
    return taking->taken;
}

static void say_full(struct tkr_keeper *keeper, int64_t now_ns)
{
    count(&keeper->figures->no_room, 1);
    atomic_store_explicit(&keeper->figures->no_room_ns, now_ns, memory_order_relaxed); /* a figure */
    if (keeper->full_said_ns != 0 && now_ns - keeper->full_said_ns < SAY_NS)
        return;
    keeper->full_said_ns = now_ns;
    TKR_LOG(TKR_LOG_WARNING,
            "the board of limits is full with {accounts_max} accounts that gateways ask for; those beyond stay unknown to "
            "gateways: raise TOKENRING_BOARD_ACCOUNTS",
            tkr_field_accounts_max(keeper->guarded->board.accounts_max));
}

/* Takes an account up in the cycle that follows, where there is room for it and it is not there yet. */
static void take_twin(struct tkr_keeper *keeper, uint64_t kind, const char *id, uint32_t id_len, uint32_t next, int64_t now_ns)
{
    struct taking taking = {.board = &keeper->guarded->board};
    uint32_t number;
    uint64_t seq;

    tkr_board_key(taking.board, kind, id, id_len, next, &taking.key);
    if (!tkr_board_find(taking.board, &taking.key, &number, &seq))
        (void)take_up(keeper, &taking, now_ns);
}

/* Of an account that came up when a turn of its cycle is near. */
static void take_twins(struct tkr_keeper *keeper, const struct tkr_wanted *wanted, int64_t unix_s, int64_t now_ns)
{
    for (uint32_t i = 0; i < TKR_TURNS_MAX; i++) {
        const struct tkr_turn *turn = &keeper->turns.turn[i];
        if (turn->cycle == wanted->cycle && tkr_turn_near(turn, unix_s))
            take_twin(keeper, wanted->account.kind, wanted->account.id, wanted->account.len, turn->next, now_ns);
    }
}

/* One that is there is looked up at once: its figures are old, or were when a worker looked. */
static void take_wanted_one(struct tkr_keeper *keeper, const struct tkr_wanted *wanted, int64_t unix_s, int64_t now_ns)
{
    uint64_t now_s = (uint64_t)(now_ns / TKR_NS_PER_S);
    struct taking taking = {
        .board = &keeper->guarded->board, .asked_s = now_s, .leaves_s = now_s > TKR_BOARD_BUSY_S ? now_s - TKR_BOARD_BUSY_S : 0};
    uint32_t number;
    uint64_t seq;

    if (wanted->end_s != 0 && tkr_turns_note(&keeper->turns, wanted->cycle, wanted->next, wanted->end_s, unix_s))
        keeper->turn_step_ns = 0;
    tkr_board_key(taking.board, wanted->account.kind, wanted->account.id, wanted->account.len, wanted->cycle, &taking.key);
    if (tkr_board_find(taking.board, &taking.key, &number, &seq)) {
        keeper->kept[number].asked = true;
        if (is_old(&taking.board->entry[number], now_ns) && keeper->due.place[number].list != TKR_DUE_NEW)
            tkr_due_put(&keeper->due, TKR_DUE_NEW, number, now_ns);
        return;
    }
    if (!take_up(keeper, &taking, now_ns))
        say_full(keeper, now_ns);
    else
        take_twins(keeper, wanted, unix_s, now_ns);
}

/* Takes up what is wanted, as far as the workers keep up with it. */
static void take_wanted(struct tkr_keeper *keeper, int64_t now_ns)
{
    int64_t unix_s = tkr_clock_coarse_ns() / TKR_NS_PER_S;
    struct tkr_wanted wanted;

    for (uint32_t i = 0; i < TAKE_MAX && has_room_to_take(keeper) && tkr_wanted_take(&keeper->wanted, &wanted); i++)
        take_wanted_one(keeper, &wanted, unix_s, now_ns);
}

/* Accounts that the board had when the thread began. */
static void adopt(struct tkr_keeper *keeper, int64_t now_ns)
{
    for (; has_room_to_take(keeper) && tkr_board_next(&keeper->guarded->board, &keeper->adopted); keeper->adopted++) {
        if (keeper->kept[keeper->adopted].taken == 0)
            enlist(keeper, keeper->adopted, now_ns);
    }
}

/* --- ahead of a turn --- */

/* Looks at an account on the board that may be of the turn's cycle. */
static void turn_one(struct tkr_keeper *keeper, const struct tkr_turn *turn, uint32_t number, int64_t now_ns)
{
    uint64_t since_s =
        (uint64_t)(now_ns / TKR_NS_PER_S) - TKR_TURN_RECENT_S; /* below 0: beyond all, and the second pass has them */
    struct tkr_board_account account;
    uint64_t asked_s = 0;

    if (!tkr_board_copy_key(&keeper->guarded->board, number, &account) || account.cycle != turn->cycle ||
        !tkr_guarded_board_asked(keeper->guarded, number, &asked_s) || (turn->pass == 0 && asked_s < since_s))
        return;
    take_twin(keeper, account.kind, account.id, account.id_len, turn->next, now_ns);
}

static void step_turn(struct tkr_keeper *keeper, struct tkr_turn *turn, int64_t unix_s, int64_t now_ns)
{
    const struct tkr_board *board = &keeper->guarded->board;
    uint32_t step = tkr_turn_step(turn, board->places, unix_s);
    uint32_t end = step < board->places - turn->at ? turn->at + step : board->places;

    for (; has_room_to_take(keeper) && tkr_board_next(board, &turn->at) && turn->at < end; turn->at++)
        turn_one(keeper, turn, turn->at, now_ns);
    if (turn->at >= board->places) {
        turn->pass++;
        turn->at = 0;
    }
}

/* Returns when to look again. */
static int64_t step_turns(struct tkr_keeper *keeper, int64_t now_ns)
{
    int64_t unix_s = tkr_clock_coarse_ns() / TKR_NS_PER_S;
    int64_t next_ns = INT64_MAX;

    if (now_ns < keeper->turn_step_ns)
        return keeper->turn_step_ns;
    for (uint32_t i = 0; i < TKR_TURNS_MAX; i++) {
        struct tkr_turn *turn = &keeper->turns.turn[i];
        if (turn->cycle == 0 || turn->pass >= 2 || unix_s > turn->first_s)
            continue;
        next_ns = next_ns < now_ns + TKR_NS_PER_S ? next_ns : now_ns + TKR_NS_PER_S; /* the wall clock may step */
        if (!tkr_turn_near(turn, unix_s))
            continue;
        step_turn(keeper, turn, unix_s, now_ns);
        next_ns = now_ns + TKR_TURN_STEP_NS;
    }
    keeper->turn_step_ns = next_ns;
    return next_ns;
}

/* --- looking up --- */

static bool is_of(const struct tkr_entry_copy *copy, const struct tkr_usage_row *row)
{
    return copy->life != 0 && copy->kind == row->kind && copy->cycle == row->cycle && copy->id_len == row->id_len &&
           copy->model_len == 0 && memcmp(copy->id, row->id, row->id_len) == 0;
}

/* What the shards have counted of an account and not seen acknowledged. false: not readable at present. */
static bool sum_unflushed(const struct tkr_keeper *keeper, uint32_t number, const struct tkr_usage_row *row, int64_t *ret_tokens)
{
    struct tkr_entry_copy copy;
    tkr_counts counts;

    *ret_tokens = 0;
    for (uint32_t i = 0; i < keeper->shard_count; i++) {
        const struct tkr_shard *shard = keeper->shard[i];
        uint32_t reference = atomic_load_explicit(link_of(keeper, number, i), memory_order_acquire);
        if (reference == 0)
            continue;
        if (!tkr_entry_copy_read(shard->header, tkr_shard_entry(shard, reference), &copy))
            return false;
        if (!is_of(&copy, row))
            continue; /* forgotten: the sink has all of it */
        tkr_entry_copy_unflushed(&copy, &counts);
        *ret_tokens += counts.value[TKR_COUNTER_TOTAL];
    }
    return true;
}

/* Adds an entry to the question: counted, then unflushed, then, when all are added, the sink (I2). One that cannot be read at
 * present comes again soon. */
static void ask_for(struct tkr_keeper *keeper, struct question *question, uint32_t number, int64_t now_ns)
{
    const struct tkr_board_entry *entry = &keeper->guarded->board.entry[number];
    uint64_t shape = atomic_load_explicit(&entry->shape, memory_order_relaxed); /* the thread's own words */
    uint32_t i = question->count;

    tkr_due_remove(&keeper->due, number);
    if (atomic_load_explicit(&entry->seq, memory_order_relaxed) % 2 != 0) { /* it has left, and nobody has come */
        end_trouble(keeper, number);
        return;
    }
    question->row[i] = (struct tkr_usage_row){.kind = atomic_load_explicit(&entry->kind, memory_order_relaxed),
                                              .id = (const char *)entry->id,
                                              .id_len = tkr_board_id_len(shape),
                                              .cycle = (uint32_t)shape};
    question->number[i] = number;
    question->counted[i] = atomic_load_explicit(&entry->counted, memory_order_acquire);
    if (sum_unflushed(keeper, number, &question->row[i], &question->unflushed[i]))
        question->count++;
    else
        tkr_due_put(&keeper->due, TKR_DUE_SOON, number, now_ns + SOON_NS);
}

/* Was something acknowledged while the sink was asked? Then it may be in the figures twice. */
static bool flushed_meanwhile(const struct tkr_keeper *keeper, const struct question *question, uint32_t i)
{
    uint64_t counted = atomic_load_explicit(&keeper->guarded->board.entry[question->number[i]].counted, memory_order_acquire);
    int64_t unflushed;

    return sum_unflushed(keeper, question->number[i], &question->row[i], &unflushed) &&
           question->unflushed[i] + (int64_t)(counted - question->counted[i]) > unflushed;
}

static bool is_busy(struct tkr_keeper *keeper, uint32_t number, int64_t now_ns)
{
    uint64_t asked_s = 0; /* a hint */

    (void)tkr_guarded_board_asked(keeper->guarded, number, &asked_s); /* of a board that was given up: nobody asks */
    return asked_s + TKR_BOARD_BUSY_S >= (uint64_t)(now_ns / TKR_NS_PER_S);
}

/* Who has no room left is looked at as if he asked: he is refused by figures that are not old (limit/board.h). */
static bool has_no_room(const struct tkr_keeper *keeper, uint32_t number)
{
    const struct tkr_board_entry *entry = &keeper->guarded->board.entry[number];
    int64_t limit = atomic_load_explicit(&entry->limit, memory_order_relaxed); /* the thread's own words */
    uint64_t base = (uint64_t)atomic_load_explicit(&entry->base, memory_order_relaxed);

    return limit > 0 && (int64_t)(base + atomic_load_explicit(&entry->counted, memory_order_relaxed)) >= limit;
}

/* When to look again: once more soon, where it is not certain that the figures are exact. */
static void schedule(struct tkr_keeper *keeper, const struct question *question, uint32_t i, int64_t asked_ns)
{
    uint32_t number = question->number[i];
    struct kept *kept = &keeper->kept[number];

    kept->again = !kept->again && flushed_meanwhile(keeper, question, i);
    if (kept->again)
        tkr_due_put(&keeper->due, TKR_DUE_SOON, number, asked_ns + SOON_NS);
    else if (kept->troubled)
        tkr_due_put(&keeper->due, TKR_DUE_TROUBLED, number, asked_ns + keeper->refresh_ns);
    else if (is_busy(keeper, number, asked_ns) || has_no_room(keeper, number))
        tkr_due_put(&keeper->due, TKR_DUE_BUSY, number, asked_ns + keeper->refresh_ns);
    else
        tkr_due_put(&keeper->due, TKR_DUE_IDLE, number, asked_ns + IDLE_NS);
}

/* Notes that somebody asks who was not relied on to, since figures were old: from now on they are looked at each interval. */
struct asking {
    struct tkr_board *board;
    uint32_t number;
    uint64_t now_s;
};

static void ask(void *argument)
{
    const struct asking *asking = argument;

    tkr_board_ask(asking->board, asking->number, asking->now_s);
}

static void note_asked(struct tkr_keeper *keeper, uint32_t number, int64_t now_ns)
{
    struct asking asking = {&keeper->guarded->board, number, (uint64_t)(now_ns / TKR_NS_PER_S)};

    if (keeper->kept[number].asked)
        (void)tkr_guarded_board_call(keeper->guarded, ask, &asking);
    keeper->kept[number].asked = false;
}

/* --- what was found --- */

/*
 * The limit that holds. Where the cycle's own cannot be read, the last one that could be, else the standing one; where that
 * cannot be read, likewise; where nothing was ever known, what held before, or TKR_LIMIT_UNREADABLE.
 */
static int64_t take_limit(struct kept *kept, const struct tkr_usage_found *found)
{
    int64_t limit;

    if (found->limit != TKR_LIMIT_UNREADABLE)
        kept->own = found->limit;
    if (found->standing != TKR_LIMIT_UNREADABLE)
        kept->standing = found->standing;
    limit = kept->own != TKR_LIMIT_NONE ? kept->own : kept->standing;
    return limit == TKR_LIMIT_NONE && tkr_usage_limit(found) == TKR_LIMIT_UNREADABLE ? kept->published : limit;
}

static void publish_one(struct tkr_keeper *keeper, const struct question *question, uint32_t i, int64_t asked_ns)
{
    const struct tkr_usage_found *found = &question->found[i];
    struct kept *kept = &keeper->kept[question->number[i]];
    int64_t total = found->counts.value[TKR_COUNTER_TOTAL];
    int64_t limit = take_limit(kept, found);

    if (limit == TKR_LIMIT_UNREADABLE)
        return;     /* nothing is known */
    if (limit == 0) /* who wrote a total beyond reads another */
        total = (total < TKR_BOARD_BLOCKED_BASE / 2 ? total : TKR_BOARD_BLOCKED_BASE / 2) + TKR_BOARD_BLOCKED_BASE;
    kept->published = limit;
    tkr_board_publish(&keeper->guarded->board, question->number[i],
                      limit == 0                ? TKR_BOARD_BLOCKED_LIMIT
                      : limit == TKR_LIMIT_NONE ? 0
                                                : limit,
                      (int64_t)((uint64_t)(total + question->unflushed[i]) - question->counted[i]), asked_ns);
}

/* Names one of those that cannot be understood, for whoever asks about health. */
static void name_troubled(struct tkr_keeper *keeper, uint32_t number, const struct tkr_usage_row *row, const char *text)
{
    char cycle[TKR_CYCLE_TEXT_BYTES];
    char kind[TKR_KIND_NAME_BYTES];

    tkr_kind_name(row->kind, kind);
    tkr_cycle_format(row->cycle, cycle);
    keeper->named = number + 1;
    (void)pthread_mutex_lock(&keeper->figures->mutex);
    (void)tkr_message_set(&keeper->figures->named, "%s %.*s, cycle %s: %s", kind,
                          (int)(row->id_len < NAMED_BYTES ? row->id_len : NAMED_BYTES), row->id, cycle, text);
    (void)pthread_mutex_unlock(&keeper->figures->mutex);
}

static void say_troubled(const struct tkr_usage_row *row, const struct tkr_usage_found *found)
{
    if (found->fault)
        TKR_LOG(TKR_LOG_WARNING, "the limit of {kind} {account} cannot be looked up: {error}", tkr_field_kind(row->kind),
                tkr_field_account(row->kind, row->id, row->id_len), tkr_field_cycle(row->cycle), tkr_field_error(found->text));
    else
        TKR_LOG(TKR_LOG_WARNING,
                "the limit of {kind} {account} cannot be read: {error}; the last one that was known holds, else the standing one",
                tkr_field_kind(row->kind), tkr_field_account(row->kind, row->id, row->id_len), tkr_field_cycle(row->cycle),
                tkr_field_error(found->text));
}

/* Something about it can be understood again, or no more: said once, each time. */
static void note_troubled(struct tkr_keeper *keeper, uint32_t number, const struct tkr_usage_row *row,
                          const struct tkr_usage_found *found)
{
    struct kept *kept = &keeper->kept[number];
    bool troubled = !tkr_usage_found_good(found);

    if (troubled && keeper->named == 0)
        name_troubled(keeper, number, row, found->text);
    if (troubled == kept->troubled)
        return;
    if (!troubled) {
        end_trouble(keeper, number);
        TKR_LOG(TKR_LOG_INFO, "the limit of {kind} {account} can be read again", tkr_field_kind(row->kind),
                tkr_field_account(row->kind, row->id, row->id_len), tkr_field_cycle(row->cycle));
        return;
    }
    kept->troubled = true;
    count(&keeper->figures->unreadable, 1);
    say_troubled(row, found);
}

static void take_answers(struct tkr_keeper *keeper, const struct question *question, int64_t asked_ns)
{
    for (uint32_t i = 0; i < question->count; i++) {
        note_troubled(keeper, question->number[i], &question->row[i], &question->found[i]);
        if (!question->found[i].fault)
            publish_one(keeper, question, i, asked_ns);
        note_asked(keeper, question->number[i], asked_ns);
        schedule(keeper, question, i, asked_ns);
    }
}

static void note_failure(struct tkr_keeper *keeper, const tkr_message *message)
{
    if (!keeper->failing)
        TKR_LOG(TKR_LOG_WARNING, "limits cannot be looked up: {error}; what gateways see of them grows old",
                tkr_field_error(message->text));
    keeper->failing = true;
    keeper->not_before_ns = tkr_clock_monotonic_ns() + BACKOFF_NS;
}

static void note_success(struct tkr_keeper *keeper)
{
    if (keeper->failing)
        tkr_log(TKR_LOG_INFO, "limits can be looked up again");
    keeper->failing = false;
}

/* Puts a question and publishes what it brings. false: the sink fails, and they are due again. */
static bool put(struct tkr_keeper *keeper, struct question *question)
{
    int64_t asked_ns = tkr_clock_monotonic_ns();
    tkr_message message = {""};

    if (question->count == 0)
        return true;
    if (keeper->sink->ops->lookup(keeper->sink, question->row, question->count, question->found, &message) == 0) {
        take_answers(keeper, question, asked_ns);
        note_success(keeper);
        return true;
    }
    for (uint32_t i = 0; i < question->count; i++) {
        note_asked(keeper, question->number[i], asked_ns);
        tkr_due_put(&keeper->due, TKR_DUE_SOON, question->number[i], asked_ns + SOON_NS);
    }
    note_failure(keeper, &message);
    return false;
}

/* --- what is due --- */

/* Those of a list that are due are added to the question, if there is room. */
static void add_due(struct tkr_keeper *keeper, struct question *question, enum tkr_due_list list, int64_t now_ns)
{
    uint64_t resolved = resolved_by_all(keeper);
    uint32_t number;
    int64_t due_ns;

    while (question->count < CHUNK && tkr_due_first(&keeper->due, list, &number, &due_ns) && due_ns <= now_ns &&
           keeper->kept[number].taken <= resolved)
        ask_for(keeper, question, number, now_ns);
}

/* Those that nobody asks for leave the sink three quarters of its time. */
static bool put_idle(struct tkr_keeper *keeper, struct question *question, int64_t now_ns)
{
    int64_t begun_ns = tkr_clock_monotonic_ns();
    bool put_well;

    if (now_ns < keeper->idle_not_before_ns)
        return true;
    question->count = 0;
    add_due(keeper, question, TKR_DUE_IDLE, now_ns);
    put_well = put(keeper, question);
    if (question->count > 0)
        keeper->idle_not_before_ns = now_ns + (IDLE_PACE + 1) * (tkr_clock_monotonic_ns() - begun_ns);
    return put_well;
}

/* When something is due next. */
static int64_t next_due(const struct tkr_keeper *keeper, int64_t now_ns)
{
    int64_t next_ns = INT64_MAX;
    uint32_t number;

    for (enum tkr_due_list list = TKR_DUE_NEW; list < TKR_DUE_LISTS; list++) {
        int64_t due_ns;
        if (!tkr_due_first(&keeper->due, list, &number, &due_ns))
            continue;
        if (list == TKR_DUE_IDLE && due_ns < keeper->idle_not_before_ns)
            due_ns = keeper->idle_not_before_ns;
        if (due_ns <= now_ns && keeper->kept[number].taken > resolved_by_all(keeper))
            due_ns = now_ns + RESOLVE_NS; /* the workers are waited for */
        next_ns = due_ns < next_ns ? due_ns : next_ns;
    }
    return next_ns;
}

/* A question of each kind, in turn, so that none keeps another waiting: new accounts, those that are refreshed, idle ones.
 * Returns when something is due again. */
static int64_t look_up_due(struct tkr_keeper *keeper, int64_t now_ns)
{
    struct question *question = keeper->question;
    bool good;

    question->count = 0;
    add_due(keeper, question, TKR_DUE_NEW, now_ns);
    good = put(keeper, question);
    question->count = 0;
    if (good) {
        add_due(keeper, question, TKR_DUE_TROUBLED, now_ns);
        add_due(keeper, question, TKR_DUE_SOON, now_ns);
        add_due(keeper, question, TKR_DUE_BUSY, now_ns);
        good = put(keeper, question) && put_idle(keeper, question, now_ns);
    }
    return good ? next_due(keeper, now_ns) : keeper->not_before_ns;
}

/* --- the thread --- */

/* Waits until that moment, or until somebody is wanted who can be taken up. true: the end is asked for. */
static bool wait_until(struct tkr_keeper *keeper, int64_t at_ns)
{
    struct timespec at = {.tv_sec = at_ns / TKR_NS_PER_S, .tv_nsec = at_ns % TKR_NS_PER_S};
    bool heeds = has_room_to_take(keeper);
    int failure = 0;
    bool finish;

    (void)pthread_mutex_lock(&keeper->mutex);
    while (!keeper->finish && !(heeds && !tkr_wanted_empty(&keeper->wanted)) && failure != ETIMEDOUT) {
        if (at_ns == INT64_MAX)
            (void)pthread_cond_wait(&keeper->wake, &keeper->mutex);
        else
            failure = pthread_cond_timedwait(&keeper->wake, &keeper->mutex, &at);
    }
    finish = keeper->finish;
    (void)pthread_mutex_unlock(&keeper->mutex);
    return finish;
}

static void *run(void *argument)
{
    struct tkr_keeper *keeper = argument;
    int64_t next_ns = 0; /* what the board began with is taken up first */

    for (;;) {
        int64_t now_ns;
        int64_t turn_ns;
        tkr_pulse_set(keeper->pulse, INT64_MAX);
        if (wait_until(keeper, next_ns))
            break;
        now_ns = tkr_clock_monotonic_ns();
        tkr_pulse_set(keeper->pulse, now_ns);
        adopt(keeper, now_ns);
        take_wanted(keeper, now_ns);
        turn_ns = step_turns(keeper, now_ns);
        if (atomic_load_explicit(&keeper->guarded->board.header->waits, memory_order_acquire) != 0) /* pairs in reaper.c */
            next_ns = now_ns + SOON_NS;
        else
            next_ns = now_ns < keeper->not_before_ns ? keeper->not_before_ns : look_up_due(keeper, now_ns);
        next_ns = turn_ns < next_ns ? turn_ns : next_ns;
        if (!has_room_to_take(keeper) && next_ns > now_ns + RESOLVE_NS)
            next_ns = now_ns + RESOLVE_NS;
    }
    tkr_pulse_set(keeper->pulse, 0);
    return NULL;
}

/* --- life --- */

static bool make_wake(struct tkr_keeper *keeper)
{
    pthread_condattr_t attributes;
    bool made = pthread_condattr_init(&attributes) == 0 && pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_mutex_init(&keeper->mutex, NULL) == 0 && pthread_cond_init(&keeper->wake, &attributes) == 0;

    (void)pthread_condattr_destroy(&attributes);
    return made;
}

/* Zeroed memory that is taken when it is used. */
static bool allocate(struct tkr_keeper *keeper, uint32_t accounts_max)
{
    uint32_t places = tkr_board_places(accounts_max);

    keeper->kept = calloc(places, sizeof(*keeper->kept));
    keeper->link = calloc((size_t)places * keeper->shard_count, sizeof(*keeper->link));
    keeper->resolved = calloc(keeper->shard_count, sizeof(*keeper->resolved));
    keeper->question = calloc(1, sizeof(*keeper->question));
    keeper->due.place = calloc(places, sizeof(*keeper->due.place));
    return keeper->kept != NULL && keeper->link != NULL && keeper->resolved != NULL && keeper->question != NULL &&
           keeper->due.place != NULL && make_wake(keeper);
}

int tkr_keeper_open(const struct tkr_collector_config *config, struct tkr_guarded_board *guarded, struct tkr_shard *const *shard,
                    uint32_t shard_count, struct tkr_pulse *pulse, struct tkr_limit_figures *figures,
                    struct tkr_keeper **ret_keeper, tkr_message *ret_message)
{
    struct tkr_keeper *keeper = calloc(1, sizeof(*keeper));
    int64_t interval_ns = (int64_t)config->flush_interval_ms * TKR_NS_PER_MS;

    if (keeper == NULL)
        return tkr_message_set(ret_message, "no memory for limits");
    keeper->guarded = guarded;
    keeper->shard = shard;
    keeper->shard_count = shard_count;
    keeper->pulse = pulse;
    keeper->figures = figures;
    keeper->refresh_ns = interval_ns < REFRESH_MAX_NS ? interval_ns : REFRESH_MAX_NS;
    if (!allocate(keeper, config->board_accounts)) {
        (void)tkr_message_set(ret_message, "no memory for limits");
        goto fail;
    }
    if (tkr_sink_open(&config->sink, &keeper->sink, ret_message) != 0)
        goto fail;
    *ret_keeper = keeper;
    return 0;

fail:
    tkr_keeper_close(keeper);
    return -1;
}

int tkr_keeper_start(struct tkr_keeper *keeper, tkr_message *ret_message)
{
    if (keeper == NULL)
        return 0;
    if (pthread_create(&keeper->thread, NULL, run, keeper) != 0)
        return tkr_message_set(ret_message, "cannot start the thread that looks up limits");
    keeper->started = true;
    return 0;
}

void tkr_keeper_end(struct tkr_keeper *keeper)
{
    if (keeper == NULL || !keeper->started)
        return;
    (void)pthread_mutex_lock(&keeper->mutex);
    keeper->finish = true;
    (void)pthread_cond_signal(&keeper->wake);
    (void)pthread_mutex_unlock(&keeper->mutex);
    (void)pthread_join(keeper->thread, NULL);
    keeper->started = false;
}

void tkr_keeper_close(struct tkr_keeper *keeper)
{
    if (keeper == NULL)
        return;
    if (keeper->sink != NULL)
        keeper->sink->ops->close(keeper->sink);
    free(keeper->kept);
    free((void *)(uintptr_t)keeper->link);
    free((void *)(uintptr_t)keeper->resolved);
    free(keeper->question);
    free(keeper->due.place);
    tkr_wanted_free(&keeper->wanted);
    free(keeper);
}
