/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/producer.h"

#include <stdbool.h>
#include <time.h>

#include "base/clock.h"

#define BATCH (2 * TKR_COST_BATCH)  /* half recorded in one shot, half as open calls */
#define NAP_NS (50 * TKR_NS_PER_MS) /* longest sleep before looking at `stop` again */
#define GO_NAP_NS (200 * TKR_NS_PER_US)

/* One process at work: a batch is prepared, made and timed, tallied. */
struct work {
    const struct tkr_gateway_config *config;
    struct tkr_gateway_shared *shared;
    struct tkr_gateway_child *self;
    tkr_producer *producer;
    uint64_t next; /* number of the next call */
    int64_t go_ns;
    unsigned turn;  /* which way gets the odd call of a batch */
    unsigned count; /* calls of the batch */
    bool doomed;    /* to be killed: the parent tallies */
    struct tkr_traffic_call call[BATCH];
    tkr_start start[BATCH];
    tkr_usage usage[BATCH];
    int code[BATCH];
    bool begun[BATCH]; /* the code is that of the end */
};

static bool stopped(const struct work *work)
{
    return atomic_load_explicit(&work->shared->stop, memory_order_relaxed) != 0;
}

static void nap(int64_t ns)
{
    struct timespec time = {.tv_sec = ns / TKR_NS_PER_S, .tv_nsec = ns % TKR_NS_PER_S};

    (void)nanosleep(&time, NULL); /* woken early is well: callers look again */
}

static void set_name(const struct tkr_traffic_names *names, uint32_t number, const char **ret_text, uint32_t *ret_len)
{
    *ret_text = names->name[number].text;
    *ret_len = names->name[number].len;
}

static void prepare_call(struct work *work, unsigned i)
{
    const struct tkr_traffic_call *call = &work->call[i];

    work->start[i] = (tkr_start)TKR_START_INIT;
    work->start[i].account_count = 1;
    work->start[i].start_ns = call->start_ns;
    set_name(work->config->users, call->user, &work->start[i].account[0].id, &work->start[i].account[0].len);
    if (call->model != 0)
        set_name(work->config->models, call->model - 1, &work->start[i].model, &work->start[i].model_len);
    work->usage[i] = (tkr_usage)TKR_USAGE_INIT;
    work->usage[i].prompt = call->prompt_tokens;
    work->usage[i].completion = call->completion_tokens;
    if (call->start_ns != 0)
        work->usage[i].end_ns = call->start_ns; /* a trace does not tell how long a call took */
}

/* Takes the calls that are due, at most a batch; none when the next is due later, at *ret_due_ns. */
static void prepare_batch(struct work *work, int64_t *ret_due_ns)
{
    int64_t now_ns = tkr_clock_monotonic_ns();

    for (work->count = 0; work->count < BATCH && work->next < work->config->call_count; work->count++) {
        struct tkr_traffic_call *call = &work->call[work->count];

        work->config->source(work->config->source_arg, work->next, call);
        *ret_due_ns = work->go_ns + call->due_ns;
        if (*ret_due_ns > now_ns)
            return;
        prepare_call(work, work->count);
        work->next += work->config->producer_count;
    }
}

static void step(_Atomic uint64_t *count)
{
    /* Release: before what comes after in the program; a kill needs no more. */
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_release);
}

static bool tells(const struct work *work)
{
    return work->doomed && atomic_load_explicit(&work->self->failed_code, memory_order_relaxed) == TKR_OK;
}

static void tell_begun(struct work *work)
{
    if (tells(work))
        step(&work->self->begun);
}

static void tell_made(struct work *work, int code)
{
    if (!tells(work))
        return;
    if (code == TKR_OK)
        step(&work->self->made);
    else
        atomic_store_explicit(&work->self->failed_code, code, memory_order_relaxed);
}

static void record_calls(struct work *work, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        tell_begun(work);
        work->code[i] = tkr_record(work->producer, &work->start[i], &work->usage[i]);
        tell_made(work, work->code[i]);
    }
}

/* As a gateway that streams: told half of the completion on the way. */
static void open_calls(struct work *work, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        tkr_call call;

        tell_begun(work);
        work->code[i] = tkr_call_begin(work->producer, &work->start[i], &call);
        work->begun[i] = work->code[i] == TKR_OK;
        if (work->begun[i]) {
            (void)tkr_call_progress(work->producer, call, work->usage[i].completion / 2); /* the end tells all */
            work->code[i] = tkr_call_end(work->producer, call, &work->usage[i]);
        }
        tell_made(work, work->code[i]);
    }
}

/* What could not be begun is recorded when it ends, as the library asks for. */
static void record_unbegun(struct work *work, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        if (!work->begun[i])
            record_calls(work, i, i + 1);
    }
}

static void time_calls(struct work *work, void (*way)(struct work *, unsigned, unsigned), unsigned from, unsigned to,
                       struct tkr_cost *cost)
{
    int64_t begin_ns = tkr_clock_monotonic_ns();

    way(work, from, to);
    if (to - from == TKR_COST_BATCH)
        tkr_cost_add(cost, (uint64_t)(tkr_clock_monotonic_ns() - begin_ns));
}

static void make_batch(struct work *work)
{
    unsigned half = (work->count + work->turn) / 2;

    work->turn ^= work->count & 1;
    time_calls(work, record_calls, 0, half, &work->shared->record_cost);
    time_calls(work, open_calls, half, work->count, &work->shared->open_call_cost);
    record_unbegun(work, half, work->count);
}

static void add(_Atomic uint64_t *sum, uint64_t value)
{
    atomic_fetch_add_explicit(sum, value, memory_order_relaxed);
}

void tkr_gateway_sum_add(struct tkr_gateway_sum *sum, const struct tkr_traffic_call *call)
{
    add(&sum->calls, 1);
    add(&sum->prompt_tokens, (uint64_t)call->prompt_tokens);
    add(&sum->completion_tokens, (uint64_t)call->completion_tokens);
}

static void tally_call(struct work *work, unsigned i)
{
    int code = work->code[i];

    if (code == TKR_OK) {
        if (!work->doomed)
            tkr_gateway_sum_add(&work->shared->user[work->call[i].user], &work->call[i]);
    } else if (code == TKR_EFULL || code == TKR_ENOSPC) {
        add(&work->shared->dropped[-code], 1);
    } else {
        add(&work->shared->refused[code < 0 && code > -(int)TKR_RESULT_COUNT ? -code : TKR_RESULT_OK], 1);
        return;
    }
    add(&work->self->offered, 1);
}

static void tally_batch(struct work *work)
{
    for (unsigned i = 0; i < work->count; i++)
        tally_call(work, i);
    add(&work->shared->done, work->count);
}

static void run_calls(struct work *work)
{
    while (work->next < work->config->call_count && !stopped(work)) {
        int64_t due_ns = 0;

        prepare_batch(work, &due_ns);
        if (work->count == 0) {
            int64_t wait_ns = due_ns - tkr_clock_monotonic_ns();

            nap(wait_ns < 0 ? 0 : wait_ns < NAP_NS ? wait_ns : NAP_NS);
            continue;
        }
        make_batch(work);
        tally_batch(work);
    }
}

/* Waits until all producers are open. False when the run was stopped first. */
static bool await_go(struct work *work)
{
    atomic_fetch_add_explicit(&work->shared->ready, 1, memory_order_relaxed);
    while ((work->go_ns = atomic_load_explicit(&work->shared->go_ns, memory_order_acquire)) == 0) {
        if (stopped(work))
            return false;
        nap(GO_NAP_NS);
    }
    return true;
}

static int open_producer(struct work *work)
{
    tkr_options options = TKR_OPTIONS_INIT;

    options.runtime_dir = work->config->runtime_dir;
    return tkr_open(&options, &work->producer);
}

/* Waits for the collector when asked, and takes the library's own count. */
static int finish(struct work *work)
{
    tkr_stat stat = TKR_STAT_INIT;
    int code = TKR_OK;

    if (work->config->sync_timeout_ms > 0)
        code = tkr_sync(work->producer, work->config->sync_timeout_ms);
    atomic_store_explicit(&work->self->sync_code, code, memory_order_relaxed);
    if (tkr_stat_read(work->producer, &stat) == TKR_OK)
        atomic_store_explicit(&work->self->stat_offered, stat.offered, memory_order_relaxed);
    return code;
}

int tkr_gateway_produce(const struct tkr_gateway_config *config, struct tkr_gateway_shared *shared, uint32_t index)
{
    static struct work work; /* a process of its own; too large for a stack */
    int code;

    work = (struct work){.config = config,
                         .shared = shared,
                         .self = &shared->child[index],
                         .next = index,
                         .turn = 1,
                         .doomed = index < config->kill_count};
    code = open_producer(&work);
    (void)tkr_open_error(work.self->open_error, sizeof(work.self->open_error)); /* "" without one */
    atomic_store_explicit(&work.self->open_code, code, memory_order_relaxed);
    if (code != TKR_OK)
        return 1;
    if (await_go(&work))
        run_calls(&work);
    code = finish(&work);
    tkr_close(work.producer);
    return code == TKR_OK ? 0 : 1;
}
