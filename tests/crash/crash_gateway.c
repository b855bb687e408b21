/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash_gateway TRUTH_FILE NUMBER CALLS: a gateway of two threads that each make CALLS calls and more until TRUTH_FILE, a mapped
 * file of struct crash_truth, says enough, and note there before and after each how far they are. When the file tells them to, they
 * keep calls open, or rest. Exit status 1 if the library refuses anything.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "crash/calls.h"
#include "support/light.h"
#include "support/process.h"
#include "tokenring/tokenring.h"

#define CALLS_BETWEEN_NAPS (TEST_COLLECTOR_IS_SLOW ? 1 : 10)
#define NAP_NS 500000

static struct crash_truth *truth;
static tkr_producer *producer;
static uint32_t number;
static uint64_t calls;

static tkr_usage usage_of(const struct crash_call *call)
{
    tkr_usage usage = TKR_USAGE_INIT;

    usage.prompt = call->prompt;
    usage.completion = call->completion;
    return usage;
}

/* Begins a call, or records it: then ret_open is 0. */
static int begin_call(const struct crash_call *call, tkr_call *ret_open)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = usage_of(call);
    char user[16];
    char team[16];
    char model[16];
    int result;

    start.account_count = call->team < 0 ? 1 : 2;
    start.account[0].id = user;
    start.account[0].len = (uint32_t)snprintf(user, sizeof(user), "user-%02u", call->user);
    start.account[1].kind = TKR_KIND_TEAM;
    start.account[1].id = team;
    start.account[1].len = (uint32_t)snprintf(team, sizeof(team), "team-%d", call->team);
    start.model = model;
    start.model_len =
        call->team < 0 ? 0 : (uint32_t)snprintf(model, sizeof(model), "model-%02d", (int)(call->prompt % CRASH_MODELS));
    start.start_ns = CRASH_START_NS; /* not the cycle: most calls are plain (producer/plain.h), those of a team are not */
    *ret_open = 0;
    if (call->one_shot)
        return tkr_record(producer, &start, &usage);
    start.prompt_estimate = call->prompt;
    start.reserve = call->reserve; /* once both accounts are on the board it is held, and there is room */
    result = tkr_call_begin(producer, &start, ret_open);
    return result != TKR_OK ? result : tkr_call_progress(producer, *ret_open, call->completion / 2);
}

static int end_call(const struct crash_call *call, tkr_call open)
{
    tkr_usage usage = usage_of(call);

    return open == 0 ? TKR_OK : tkr_call_end(producer, open, &usage);
}

static void require(int result, uint64_t i)
{
    if (result == TKR_OK)
        return;
    (void)fprintf(stderr, "crash_gateway: call %llu: %s\n", (unsigned long long)i, tkr_strerror(result));
    exit(1);
}

static void nap(void)
{
    const struct timespec time = {.tv_nsec = NAP_NS};

    (void)nanosleep(&time, NULL);
}

/* Notes that an order is done, and waits for the next one. */
static void obey(uint32_t thread, enum crash_order order)
{
    atomic_store(&truth->obeyed[thread], order);
    while (atomic_load(&truth->order) == order)
        nap();
}

/* Makes calls from number first to before last, all open at once; where they are CRASH_HELD, until that order is over. */
static void make_calls(uint32_t thread, uint64_t first, uint64_t last)
{
    tkr_call open[CRASH_HELD];

    /* Release: the notes stand in the order of the calls also for the compiler; a kill needs no more. */
    atomic_store_explicit(&truth->begun[thread], last, memory_order_release);
    for (uint64_t i = first; i < last; i++) {
        struct crash_call call = crash_call_make(number, thread, i);
        require(begin_call(&call, &open[i - first]), i);
    }
    if (last - first == CRASH_HELD)
        obey(thread, CRASH_HOLD);
    for (uint64_t i = first; i < last; i++) {
        struct crash_call call = crash_call_make(number, thread, i);
        require(end_call(&call, open[i - first]), i);
    }
    atomic_store_explicit(&truth->finished[thread], last, memory_order_release);
}

static void *run(void *argument)
{
    uint32_t thread = *(const uint32_t *)argument;
    uint64_t i = 0;

    while (i < calls || !atomic_load_explicit(&truth->enough, memory_order_relaxed)) {
        bool holds = atomic_load(&truth->order) == CRASH_HOLD;
        uint64_t last = i + (holds ? CRASH_HELD : 1);
        make_calls(thread, i, last);
        if (holds) {
            require(tkr_sync(producer, PROCESS_PATIENCE_MS), last);
            obey(thread, CRASH_REST);
        }
        if (i % CALLS_BETWEEN_NAPS == 0)
            nap();
        i = last;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    tkr_options options = TKR_OPTIONS_INIT;
    static uint32_t index[CRASH_THREADS];
    pthread_t thread[CRASH_THREADS];
    int fd = argc == 4 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
    int result;

    if (fd < 0)
        return 2;
    truth = mmap(NULL, sizeof(*truth), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    number = (uint32_t)atol(argv[2]);
    calls = (uint64_t)atoll(argv[3]);
    options.lane_bytes = 16384; /* lanes grow on the way */
    result = truth == MAP_FAILED ? TKR_ENOMEM : tkr_open(&options, &producer);
    if (result != TKR_OK) {
        (void)fprintf(stderr, "crash_gateway: %s\n", tkr_strerror(result));
        return 1;
    }
    for (uint32_t i = 0; i < CRASH_THREADS; i++) {
        index[i] = i;
        if (pthread_create(&thread[i], NULL, run, &index[i]) != 0)
            return 1;
    }
    for (uint32_t i = 0; i < CRASH_THREADS; i++)
        (void)pthread_join(thread[i], NULL);
    tkr_close(producer);
    return 0;
}
