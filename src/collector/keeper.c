/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/keeper.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "collector/board.h"
#include "collector/drain.h"
#include "collector/monitor.h"
#include "sink/sink.h"
#include "table/reader.h"

#define WANTED_MAX 1024u /* accounts that wait to be taken up; what comes beyond asks again in a second */
#define TAKEN_MAX 4096u  /* accounts that wait for the workers */
#define CHUNK 256u       /* accounts in one question */
#define FAILURES_MAX 3   /* single questions that fail in a row: it is the sink, not the accounts */
#define REFRESH_MAX_NS TKR_NS_PER_S
#define IDLE_NS (5 * TKR_NS_PER_S)  /* between lookups of accounts that nobody asks for */
#define ASKED_S 10u                 /* that somebody asked for within so many seconds is busy */
#define SOON_NS (5 * TKR_NS_PER_MS) /* while workers are waited for */
#define BACKOFF_NS (200 * TKR_NS_PER_MS)

/* An account that somebody wants on the board. */
struct wanted {
    uint64_t kind;
    uint32_t cycle;
    uint32_t len;
    char id[TKR_ID_BYTES_MAX + 1];
};

/* The thread's own, by entry. */
struct kept {
    int64_t due_ns; /* monotonic: to be looked up */
    uint64_t taken; /* its place in `taken`, plus 1 */
    bool again;     /* it is looked up once more, soon */
    bool told;      /* the log has why it cannot be looked up */
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
    struct question *question; /* the thread's work space: of many, of one */
    struct tkr_shard *const *shard;
    uint32_t shard_count;
    tkr_sink *sink;
    int64_t refresh_ns;
    struct kept *kept;
    _Atomic uint32_t *link;     /* by entry and shard: reference of the shard's entry; 0: it has none */
    _Atomic uint64_t *resolved; /* by shard: entries taken that its worker has linked */
    uint32_t taken[TAKEN_MAX];
    _Atomic uint64_t taken_count;
    uint32_t resumed; /* of a board that was taken over: places whose accounts are taken up */
    bool resuming;
    bool failing;
    int64_t not_before_ns;
    struct tkr_pulse *pulse; /* may be NULL */
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool finish;
    uint32_t wanted_count;
    struct wanted wanted[WANTED_MAX];
};

static _Atomic uint32_t *link_of(const struct tkr_keeper *keeper, uint32_t number, uint32_t shard)
{
    return &keeper->link[(uint64_t)number * keeper->shard_count + shard];
}

/* --- the workers' --- */

static void want(struct tkr_keeper *keeper, const struct tkr_drain_notice *watch)
{
    struct wanted *wanted;

    if (keeper->wanted_count == WANTED_MAX)
        return;
    wanted = &keeper->wanted[keeper->wanted_count++];
    wanted->kind = watch->account.kind;
    wanted->cycle = watch->cycle;
    wanted->len = watch->account.len;
    memcpy(wanted->id, watch->account.id, watch->account.len);
}

static void take_watches(struct tkr_keeper *keeper, const struct tkr_drain *drain)
{
    (void)pthread_mutex_lock(&keeper->mutex);
    for (uint32_t i = 0; i < drain->notices; i++) {
        if (drain->notice[i].watch)
            want(keeper, &drain->notice[i]);
    }
    (void)pthread_cond_signal(&keeper->wake);
    (void)pthread_mutex_unlock(&keeper->mutex);
}

static bool has_watches(const struct tkr_drain *drain)
{
    for (uint32_t i = 0; i < drain->notices; i++) {
        if (drain->notice[i].watch)
            return true;
    }
    return false;
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
    if (drain->notices > 0 && has_watches(drain))
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

void tkr_keeper_resolve(struct tkr_keeper *keeper, uint32_t shard)
{
    uint64_t at;
    uint64_t end;

    if (keeper == NULL)
        return;
    at = atomic_load_explicit(&keeper->resolved[shard], memory_order_relaxed); /* the worker's own */
    end = atomic_load_explicit(&keeper->taken_count, memory_order_acquire);    /* P2 */
    if (at == end)
        return;
    for (; at < end; at++)
        resolve(keeper, shard, keeper->taken[at % TAKEN_MAX]);
    atomic_store_explicit(&keeper->resolved[shard], end, memory_order_release); /* P1 */
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

/* An account that is taken up. */
struct taking {
    struct tkr_board *board;
    struct tkr_board_key key;
    uint64_t now_s;
    uint32_t number;
    bool taken;
};

static void take(void *argument)
{
    struct taking *taking = argument;

    taking->taken = tkr_board_take(taking->board, &taking->key, &taking->number);
    if (taking->taken)
        tkr_board_ask(taking->board, taking->number, taking->now_s);
}

static void take_up(struct tkr_keeper *keeper, const struct wanted *wanted, int64_t now_ns)
{
    struct taking taking = {.board = &keeper->guarded->board, .now_s = (uint64_t)(now_ns / TKR_NS_PER_S)};
    uint64_t count = atomic_load_explicit(&keeper->taken_count, memory_order_relaxed); /* the thread's own */
    uint32_t number;
    uint64_t seq;

    tkr_board_key(taking.board, wanted->kind, wanted->id, wanted->len, wanted->cycle, &taking.key);
    if (tkr_board_find(taking.board, &taking.key, &number, &seq) || count - resolved_by_all(keeper) >= TAKEN_MAX ||
        !tkr_guarded_board_call(keeper->guarded, take, &taking) || !taking.taken)
        return;
    keeper->kept[taking.number] = (struct kept){.due_ns = now_ns, .taken = count + 1};
    keeper->taken[count % TAKEN_MAX] = taking.number;
    atomic_store_explicit(&keeper->taken_count, count + 1, memory_order_release); /* P2 */
}

/*
 * Takes up accounts of a board that was taken over, a number at a time that leaves room for those that are wanted. Until then
 * nothing of them is looked up. One that has changed hands since was taken up then.
 */
static void resume_some(struct tkr_keeper *keeper, int64_t now_ns)
{
    uint64_t count = atomic_load_explicit(&keeper->taken_count, memory_order_relaxed); /* the thread's own */
    uint64_t max = resolved_by_all(keeper) + TAKEN_MAX / 2;

    while (count < max && tkr_board_next(&keeper->guarded->board, &keeper->resumed)) {
        uint32_t number = keeper->resumed++;
        if (keeper->kept[number].due_ns != INT64_MAX)
            continue;
        keeper->kept[number] = (struct kept){.due_ns = now_ns, .taken = count + 1};
        keeper->taken[count++ % TAKEN_MAX] = number;
        atomic_store_explicit(&keeper->taken_count, count, memory_order_release); /* P2 */
    }
    keeper->resuming = keeper->resumed < keeper->guarded->board.places;
}

/* Takes up what is wanted; the workers may go on wanting meanwhile. */
static void take_wanted(struct tkr_keeper *keeper, int64_t now_ns)
{
    struct wanted wanted;
    bool more = true;

    while (more) {
        (void)pthread_mutex_lock(&keeper->mutex);
        more = keeper->wanted_count > 0;
        if (more)
            wanted = keeper->wanted[--keeper->wanted_count];
        (void)pthread_mutex_unlock(&keeper->mutex);
        if (more)
            take_up(keeper, &wanted, now_ns);
    }
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

/* Adds an entry to the question: counted, then unflushed, then, when all are added, the sink (I2). */
static void ask_for(struct tkr_keeper *keeper, struct question *question, uint32_t number)
{
    const struct tkr_board_entry *entry = &keeper->guarded->board.entry[number];
    uint64_t shape = atomic_load_explicit(&entry->shape, memory_order_relaxed); /* the thread's own words */
    uint32_t i = question->count;

    question->row[i] = (struct tkr_usage_row){.kind = atomic_load_explicit(&entry->kind, memory_order_relaxed),
                                              .id = (const char *)entry->id,
                                              .id_len = tkr_board_id_len(shape),
                                              .cycle = (uint32_t)shape};
    question->number[i] = number;
    question->counted[i] = atomic_load_explicit(&entry->counted, memory_order_acquire);
    question->count += sum_unflushed(keeper, number, &question->row[i], &question->unflushed[i]);
}

static int64_t next_due(struct tkr_keeper *keeper, uint32_t number, int64_t now_ns)
{
    uint64_t asked_s = 0; /* a hint */
    uint64_t now_s = (uint64_t)(now_ns / TKR_NS_PER_S);

    (void)tkr_guarded_board_asked(keeper->guarded, number, &asked_s); /* of a board that was given up: nobody asks */
    return now_ns + (asked_s + ASKED_S >= now_s || keeper->refresh_ns > IDLE_NS ? keeper->refresh_ns : IDLE_NS);
}

/* Was something acknowledged while the sink was asked? Then it may be in the figures twice. */
static bool flushed_meanwhile(const struct tkr_keeper *keeper, const struct question *question, uint32_t i)
{
    uint64_t counted = atomic_load_explicit(&keeper->guarded->board.entry[question->number[i]].counted, memory_order_acquire);
    int64_t unflushed;

    return sum_unflushed(keeper, question->number[i], &question->row[i], &unflushed) &&
           question->unflushed[i] + (int64_t)(counted - question->counted[i]) > unflushed;
}

/* When to look again: once more soon, where it is not certain that the figures are exact. */
static void schedule(struct tkr_keeper *keeper, const struct question *question, uint32_t i, int64_t asked_ns)
{
    struct kept *kept = &keeper->kept[question->number[i]];

    kept->again = !kept->again && flushed_meanwhile(keeper, question, i);
    kept->due_ns = kept->again ? asked_ns + SOON_NS : next_due(keeper, question->number[i], asked_ns);
    kept->told = false;
}

static void publish(struct tkr_keeper *keeper, const struct question *question, int64_t asked_ns)
{
    for (uint32_t i = 0; i < question->count; i++) {
        uint32_t number = question->number[i];
        const struct tkr_usage_found *found = &question->found[i];
        uint64_t base = (uint64_t)(found->counts.value[TKR_COUNTER_TOTAL] + question->unflushed[i]) - question->counted[i];

        tkr_board_publish(&keeper->guarded->board, number, tkr_usage_limit(found), (int64_t)base, asked_ns);
        schedule(keeper, question, i, asked_ns);
    }
}

/* Puts a question. false: it failed; ret_message has why. */
static bool put(struct tkr_keeper *keeper, struct question *question, tkr_message *ret_message)
{
    int64_t asked_ns = tkr_clock_monotonic_ns();

    if (keeper->sink->ops->lookup(keeper->sink, question->row, question->count, question->found, ret_message) != 0)
        return false;
    publish(keeper, question, asked_ns);
    return true;
}

/* An account that cannot be looked up, while others can: the only one of its question. */
static void pass_over(struct tkr_keeper *keeper, const struct question *single, const tkr_message *message)
{
    const struct tkr_usage_row *row = &single->row[0];
    struct kept *kept = &keeper->kept[single->number[0]];

    if (!kept->told)
        TKR_LOG(TKR_LOG_WARNING, "the limit of {kind} {account} cannot be looked up: {error}", tkr_field_kind(row->kind),
                tkr_field_account(row->kind, row->id, row->id_len), tkr_field_cycle(row->cycle), tkr_field_error(message->text));
    kept->told = true;
    kept->due_ns = tkr_clock_monotonic_ns() + IDLE_NS;
}

/*
 * One by one, after they have failed together while the sink can be reached: some account is at fault. Many in a row are not.
 * false: it is the sink that fails.
 */
static bool put_singly(struct tkr_keeper *keeper, const struct question *question, struct question *single,
                       tkr_message *ret_message)
{
    int failures = 0;

    for (uint32_t i = 0; i < question->count; i++) {
        single->count = 0;
        ask_for(keeper, single, question->number[i]);
        if (single->count == 0)
            continue;
        if (put(keeper, single, ret_message)) {
            failures = 0;
            continue;
        }
        if (++failures == FAILURES_MAX || keeper->sink->ops->connect(keeper->sink, ret_message) != 0)
            return false;
        pass_over(keeper, single, ret_message);
    }
    return true;
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

/* Puts a question and publishes what it brings. false: the sink fails. */
static bool answer(struct tkr_keeper *keeper, struct question *question, struct question *single)
{
    tkr_message message = {""};

    if (question->count == 0)
        return true;
    if (!put(keeper, question, &message) &&
        (keeper->sink->ops->connect(keeper->sink, &message) != 0 || !put_singly(keeper, question, single, &message))) {
        note_failure(keeper, &message);
        return false;
    }
    note_success(keeper);
    return true;
}

/* Looks up what is due. Returns when something is again. */
static int64_t look_up_due(struct tkr_keeper *keeper, int64_t now_ns)
{
    uint64_t resolved = resolved_by_all(keeper);
    struct question *question = &keeper->question[0];
    int64_t next_ns = INT64_MAX;

    question->count = 0;
    for (uint32_t i = 0; tkr_board_next(&keeper->guarded->board, &i); i++) {
        const struct kept *kept = &keeper->kept[i];
        bool waits = kept->due_ns > now_ns;
        int64_t at_ns = waits ? kept->due_ns : now_ns + SOON_NS; /* looked up again below, or its workers are waited for */
        if (!waits && kept->taken <= resolved) {
            ask_for(keeper, question, i);
            if (question->count == CHUNK) {
                if (!answer(keeper, question, &keeper->question[1]))
                    return keeper->not_before_ns;
                question->count = 0;
            }
            at_ns = now_ns + SOON_NS; /* at the soonest */
        }
        next_ns = at_ns < next_ns ? at_ns : next_ns;
    }
    return answer(keeper, question, &keeper->question[1]) ? next_ns : keeper->not_before_ns;
}

/* --- the thread --- */

/* Waits until that moment, or until somebody is wanted. true: the end is asked for. */
static bool wait_until(struct tkr_keeper *keeper, int64_t at_ns)
{
    struct timespec at = {.tv_sec = at_ns / TKR_NS_PER_S, .tv_nsec = at_ns % TKR_NS_PER_S};
    int failure = 0;
    bool finish;

    (void)pthread_mutex_lock(&keeper->mutex);
    while (!keeper->finish && keeper->wanted_count == 0 && failure != ETIMEDOUT) {
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
    int64_t next_ns = keeper->resuming ? 0 : INT64_MAX;

    for (;;) {
        int64_t now_ns;
        tkr_pulse_set(keeper->pulse, INT64_MAX);
        if (wait_until(keeper, next_ns))
            break;
        now_ns = tkr_clock_monotonic_ns();
        tkr_pulse_set(keeper->pulse, now_ns);
        take_wanted(keeper, now_ns);
        if (keeper->resuming)
            resume_some(keeper, now_ns);
        if (atomic_load_explicit(&keeper->guarded->board.header->waits, memory_order_acquire) != 0) /* pairs in reaper.c */
            next_ns = now_ns + SOON_NS;
        else
            next_ns = now_ns < keeper->not_before_ns ? keeper->not_before_ns : look_up_due(keeper, now_ns);
        if (keeper->resuming && next_ns > now_ns + SOON_NS)
            next_ns = now_ns + SOON_NS;
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
    keeper->question = calloc(2, sizeof(*keeper->question));
    return keeper->kept != NULL && keeper->link != NULL && keeper->resolved != NULL && keeper->question != NULL &&
           make_wake(keeper);
}

int tkr_keeper_open(const struct tkr_collector_config *config, struct tkr_guarded_board *guarded, struct tkr_shard *const *shard,
                    uint32_t shard_count, struct tkr_pulse *pulse, struct tkr_keeper **ret_keeper, tkr_message *ret_message)
{
    struct tkr_keeper *keeper = calloc(1, sizeof(*keeper));
    int64_t interval_ns = (int64_t)config->flush_interval_ms * TKR_NS_PER_MS;

    if (keeper == NULL)
        return tkr_message_set(ret_message, "no memory for limits");
    keeper->guarded = guarded;
    keeper->shard = shard;
    keeper->shard_count = shard_count;
    keeper->pulse = pulse;
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

void tkr_keeper_resume(struct tkr_keeper *keeper)
{
    for (uint32_t i = 0; tkr_board_next(&keeper->guarded->board, &i); i++)
        keeper->kept[i].due_ns = INT64_MAX;
    keeper->resuming = true;
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
    free(keeper);
}
