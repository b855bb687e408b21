/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chaos_gateway CONTROL_FILE TRUTH_FILE NUMBER: a gateway whose threads do the steps of chaos/calls.h as CONTROL_FILE allows
 * them and note in TRUTH_FILE, before and after each, how far they are. A step for which there is no room is done again. Exit status 1 if
 * the library refuses anything else.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "chaos/calls.h"

#define START_NS INT64_C(1700000000000000000)
#define NS_PER_MS INT64_C(1000000)
#define WAIT_NS 300000
#define NAP_NS 1000 /* and what the kernel adds */
#define NO_ROOM_NS 1000000
#define MODELS 4 /* more than the collector tells apart */
#define MODEL_BYTES 16

static struct chaos_control *control;
static struct chaos_truth *truth;
static tkr_producer *producer;
static uint32_t number;

struct worker {
    pthread_t thread;
    uint32_t index;
    struct chaos_call long_call;
    tkr_call long_open;
};

/* A call with what it is told to the library as. */
struct telling {
    tkr_start start;
    tkr_usage usage;
    char id[TKR_ACCOUNTS_MAX][CHAOS_ID_BYTES];
    char model[MODEL_BYTES];
};

static void nap(long ns)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static void tell(const struct chaos_call *call, struct telling *ret_telling)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;

    start.account_count = call->account_count;
    for (uint32_t i = 0; i < call->account_count; i++) {
        start.account[i].kind = chaos_account_kind(call->account[i]);
        start.account[i].len = (uint32_t)chaos_account_id(call->account[i], ret_telling->id[i]);
        start.account[i].id = ret_telling->id[i];
    }
    start.model = ret_telling->model;
    start.model_len = (uint32_t)snprintf(ret_telling->model, sizeof(ret_telling->model), "m:%d", (int)(call->prompt % MODELS));
    start.cycle = chaos_cycle(call->cycle);
    start.start_ns = START_NS;
    start.prompt_estimate = call->estimate;
    usage.estimated = call->estimated;
    usage.error = call->error;
    usage.prompt = call->prompt;
    usage.completion = call->completion;
    usage.total = call->total;
    usage.cached = call->cached;
    usage.cache_write = call->cache_write;
    usage.reasoning = call->reasoning;
    usage.cost_nano_usd = call->cost_nano_usd;
    usage.end_ns = START_NS + call->duration_ms * NS_PER_MS;
    ret_telling->start = start;
    ret_telling->usage = usage;
}

/* The tmpfs is full: nothing was begun, or what was is dropped. */
static bool found_no_room(int result)
{
    if (result != TKR_EFULL && result != TKR_ENOSPC)
        return false;
    nap(NO_ROOM_NS);
    return true;
}

static int begin_to_end(const struct chaos_call *call, const struct telling *telling)
{
    tkr_call open;
    int result = tkr_call_begin(producer, &telling->start, &open);

    if (result != TKR_OK)
        return result;
    if (call->nap == CHAOS_NAP_WITHIN)
        nap(NAP_NS);
    result = tkr_call_progress(producer, open, call->completion / 2);
    if (result != TKR_OK)
        return result;
    if (call->nap == CHAOS_NAP_WITHIN)
        nap(NAP_NS);
    return tkr_call_end(producer, open, &telling->usage);
}

static int make_short(const struct chaos_call *call)
{
    struct telling telling;
    int result;

    tell(call, &telling);
    if (call->nap == CHAOS_NAP_BEFORE)
        nap(NAP_NS);
    do {
        result = call->one_shot ? tkr_record(producer, &telling.start, &telling.usage) : begin_to_end(call, &telling);
    } while (found_no_room(result));
    if (call->nap == CHAOS_NAP_AFTER)
        nap(NAP_NS);
    return result;
}

static int begin_long(const struct telling *telling, tkr_call *ret_open)
{
    int result;

    do {
        result = tkr_call_begin(producer, &telling->start, ret_open);
    } while (found_no_room(result));
    return result;
}

/* A call that was dropped at its end is recorded once more, whole. */
static int end_long(tkr_call open, const struct telling *telling)
{
    int result = tkr_call_end(producer, open, &telling->usage);

    while (found_no_room(result))
        result = tkr_record(producer, &telling->start, &telling->usage);
    return result;
}

static int do_step(struct worker *worker, uint64_t i)
{
    struct chaos_step step = chaos_step_make(&worker->long_call, i);
    struct telling telling;
    struct chaos_call call;

    switch (step.kind) {
    case CHAOS_LONG_BEGIN:
        worker->long_call = chaos_call_make(number, worker->index, step.call);
        tell(&worker->long_call, &telling);
        return begin_long(&telling, &worker->long_open);
    case CHAOS_LONG_TELL:
        return tkr_call_progress(producer, worker->long_open, step.told);
    case CHAOS_LONG_END:
        tell(&worker->long_call, &telling);
        return end_long(worker->long_open, &telling);
    default:
        call = chaos_call_make(number, worker->index, step.call);
        return make_short(&call);
    }
}

/* Waits until a step is allowed. 0: it is the caller's; -1: no more steps are. */
static int claim(struct chaos_thread *thread)
{
    for (;;) {
        uint32_t pause = atomic_load(&control->pause);
        uint64_t claimed = atomic_load(&control->claimed);
        atomic_store(&thread->paused, pause);
        while (pause == 0 && claimed < atomic_load(&control->allowed)) {
            if (atomic_compare_exchange_weak(&control->claimed, &claimed, claimed + 1))
                return 0;
        }
        if (pause == 0 && atomic_load(&control->stop) != 0)
            return -1;
        nap(WAIT_NS);
    }
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    struct chaos_thread *thread = &truth->thread[worker->index];

    for (uint64_t i = 0; claim(thread) == 0; i++) {
        int result;
        /* Release: the notes stand in the order of the steps also for the compiler. */
        atomic_store_explicit(&thread->begun, i + 1, memory_order_release);
        result = do_step(worker, i);
        if (result != TKR_OK) {
            (void)fprintf(stderr, "chaos_gateway %u: step %llu: %s\n", number, (unsigned long long)i, tkr_strerror(result));
            exit(1);
        }
        atomic_store_explicit(&thread->finished, i + 1, memory_order_release);
    }
    return NULL;
}

static void *map(const char *path, size_t size)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *bytes = fd >= 0 ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

    if (fd >= 0)
        (void)close(fd);
    if (bytes != MAP_FAILED)
        return bytes;
    perror(path);
    exit(2);
}

int main(int argc, char **argv)
{
    static struct worker worker[CHAOS_THREADS];
    tkr_options options = TKR_OPTIONS_INIT;
    int result;

    if (argc != 4)
        return 2;
    control = map(argv[1], sizeof(*control));
    truth = map(argv[2], sizeof(*truth));
    number = (uint32_t)atol(argv[3]);
    options.lane_bytes = 16384; /* lanes grow on the way */
    while ((result = tkr_open(&options, &producer)) == TKR_ETMPFS || result == TKR_ENOSPC)
        nap(NO_ROOM_NS);
    if (result != TKR_OK) {
        (void)fprintf(stderr, "chaos_gateway %u: %s\n", number, tkr_strerror(result));
        return 1;
    }
    for (uint32_t i = 0; i < CHAOS_THREADS; i++) {
        worker[i].index = i;
        if (pthread_create(&worker[i].thread, NULL, run, &worker[i]) != 0)
            return 1;
    }
    for (uint32_t i = 0; i < CHAOS_THREADS; i++)
        (void)pthread_join(worker[i].thread, NULL);
    tkr_close(producer); /* settles the long calls */
    return 0;
}
