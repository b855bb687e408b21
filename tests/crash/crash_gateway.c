/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash_gateway TRUTH_FILE NUMBER CALLS: a gateway of two threads that each make CALLS calls and more until TRUTH_FILE, a mapped
 * file of struct crash_truth, says enough, and note there before and after each how far they are. Exit status 1 if the library
 * refuses anything.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "crash/calls.h"
#include "tokenring/tokenring.h"

#define CALLS_BETWEEN_NAPS 10
#define NAP_NS 500000

static struct crash_truth *truth;
static tkr_producer *producer;
static uint32_t number;
static uint64_t calls;

static int make_call(const struct crash_call *call)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;
    char user[16];
    char team[16];
    char model[16];
    tkr_call open;
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
    if (!call->one_shot)
        start.prompt_estimate = call->prompt;
    if (!call->one_shot && call->team >= 0)
        start.reserve = call->prompt; /* there is no limit: once both accounts are on the board it is held, and never refused */
    usage.prompt = call->prompt;
    usage.completion = call->completion;
    if (call->one_shot)
        return tkr_record(producer, &start, &usage);
    result = tkr_call_begin(producer, &start, &open);
    if (result != TKR_OK)
        return result;
    result = tkr_call_progress(producer, open, call->completion / 2);
    return result != TKR_OK ? result : tkr_call_end(producer, open, &usage);
}

static void *run(void *argument)
{
    const struct timespec nap = {.tv_nsec = NAP_NS};
    uint32_t thread = *(const uint32_t *)argument;

    for (uint64_t i = 0; i < calls || !atomic_load_explicit(&truth->enough, memory_order_relaxed); i++) {
        struct crash_call call = crash_call_make(number, thread, i);
        int result;
        /* Release: the notes stand in the order of the calls also for the compiler; a kill needs no more. */
        atomic_store_explicit(&truth->begun[thread], i + 1, memory_order_release);
        result = make_call(&call);
        if (result != TKR_OK) {
            (void)fprintf(stderr, "crash_gateway: call %llu: %s\n", (unsigned long long)i, tkr_strerror(result));
            exit(1);
        }
        atomic_store_explicit(&truth->finished[thread], i + 1, memory_order_release);
        if (i % CALLS_BETWEEN_NAPS == 0)
            (void)nanosleep(&nap, NULL);
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
