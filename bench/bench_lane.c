/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of 88 bytes between two processes through one lane: as many as go, by the lane's size; and one at a time, when the reader
 * has nothing else to do. The reader copies, finds each frame's number in order, and gives the memory back.
 */
#include <ck_pr.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "event/frame.h"
#include "harness/bench.h"
#include "harness/crew.h"
#include "harness/latency.h"
#include "ring/lane.h"

#define FRAME_BYTES 88
#define BYTES_AT_ONCE (32u << 10)
#define FRAMES 4000000
#define PINGS 20000
#define SPINS 1000 /* before the processor is given away, of which there may be one only */

static struct shared {
    struct tkr_lane lane;
    struct bench_latency latency;
    uint64_t frames;
    bool one_by_one; /* the next when the last is read */
    alignas(64) unsigned char data[];
} * shared;

static void pause_briefly(unsigned *spins)
{
    if (++*spins % SPINS == 0)
        (void)sched_yield();
    else
        ck_pr_stall();
}

static int write_frames(void)
{
    struct tkr_lane_writer writer;
    unsigned spins = 0;

    tkr_lane_writer_attach(&writer, &shared->lane, shared->data);
    for (uint64_t i = 0; i < shared->frames; i++) {
        struct tkr_frame_header *frame;
        while (shared->one_by_one && atomic_load_explicit(&shared->lane.free, memory_order_acquire) != writer.head)
            pause_briefly(&spins);
        while ((frame = tkr_lane_reserve(&writer, FRAME_BYTES)) == NULL)
            pause_briefly(&spins);
        memset(frame, 7, FRAME_BYTES);
        frame->bytes = FRAME_BYTES;
        frame->type = TKR_FRAME_USAGE;
        frame->sequence = i + 1;
        frame->start_ns = shared->one_by_one ? tkr_clock_monotonic_ns() : 0;
        tkr_lane_publish(&writer);
    }
    return 0;
}

/* Whole frames in bytes[0..count): how far they go. 0: one is not as it should be. */
static size_t take(const unsigned char *bytes, size_t count, uint64_t *seen)
{
    size_t at = 0;

    while (at + sizeof(struct tkr_frame_header) <= count) {
        const struct tkr_frame_header *frame = (const void *)(bytes + at);
        if (at + frame->bytes > count)
            break;
        at += frame->bytes;
        if (frame->type == TKR_FRAME_PADDING)
            continue;
        if (frame->bytes != FRAME_BYTES || frame->sequence != ++*seen)
            return 0;
        if (shared->one_by_one)
            bench_latency_add(&shared->latency, tkr_clock_monotonic_ns() - frame->start_ns);
    }
    return at;
}

static int read_frames(void)
{
    static alignas(8) unsigned char bytes[BYTES_AT_ONCE];
    uint64_t capacity = shared->lane.capacity;
    uint64_t position = 0;
    uint64_t seen = 0;
    unsigned spins = 0;

    while (seen < shared->frames) {
        /* Frames after head: pairs with the release of head in tkr_lane_publish (P1). */
        uint64_t count = atomic_load_explicit(&shared->lane.head, memory_order_acquire) - position;
        uint64_t to_end = capacity - (position & (capacity - 1));
        if (count == 0) {
            pause_briefly(&spins);
            continue;
        }
        count = count < to_end ? count : to_end;
        count = count < BYTES_AT_ONCE ? count : BYTES_AT_ONCE;
        memcpy(bytes, shared->data + (position & (capacity - 1)), count);
        if (to_end < sizeof(struct tkr_frame_header)) { /* padding too small for more than its length */
            position += to_end;
        } else {
            count = take(bytes, count, &seen);
            if (count == 0)
                return 1;
            position += count;
        }
        /* Reads before free: pairs with the acquire in tkr_lane_reserve (P2). */
        atomic_store_explicit(&shared->lane.free, position, memory_order_release);
    }
    return 0;
}

static int prepare(void *unused, unsigned number)
{
    (void)unused;
    (void)number;
    return 0;
}

static int work(void *unused, unsigned number)
{
    (void)unused;
    return number == 0 ? read_frames() : write_frames();
}

/* Nanoseconds; negative after bench_wrong. */
static double run(uint64_t capacity, uint64_t frames, bool one_by_one)
{
    const struct bench_crew crew = {.count = 2, .processes = true, .prepare = prepare, .work = work};

    memset(shared, 0, sizeof(*shared));
    shared->lane.capacity = capacity;
    shared->frames = frames;
    shared->one_by_one = one_by_one;
    return bench_crew_run(&crew);
}

static void bench_size(uint64_t capacity)
{
    struct bench_series rate = {.count = 0};
    char name[64];

    (void)snprintf(name, sizeof(name), "lane of %u KiB", (unsigned)(capacity >> 10));
    for (unsigned i = 0; i < bench_repeats(); i++) {
        double ns = run(capacity, bench_work(FRAMES), false);
        if (ns <= 0)
            return;
        bench_add(&rate, (double)shared->frames * 1e3 / ns);
    }
    bench_figure(name, "rate", "M frames/s", &rate);
}

static void bench_idle(void)
{
    struct bench_series p50 = {.count = 0};
    struct bench_series p99 = {.count = 0};

    for (unsigned i = 0; i < bench_repeats(); i++) {
        if (run(64u << 10, bench_work(PINGS), true) <= 0)
            return;
        bench_add(&p50, (double)bench_latency_percentile(&shared->latency, 50));
        bench_add(&p99, (double)bench_latency_percentile(&shared->latency, 99));
    }
    bench_figure("one frame, the reader waiting", "p50", "ns", &p50);
    bench_figure("one frame, the reader waiting", "p99", "ns", &p99);
}

int main(int argc, char **argv)
{
    bench_begin(argc, argv, "lane");
    shared = mmap(NULL, sizeof(*shared) + TKR_LANE_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE,
                  -1, 0);
    if (shared == MAP_FAILED)
        return -bench_wrong("no memory");
    for (uint64_t capacity = TKR_LANE_BYTES_MIN; capacity <= TKR_LANE_BYTES_MAX && bench_wants("size", false); capacity *= 4)
        bench_size(capacity);
    if (bench_wants("idle", false))
        bench_idle();
    return bench_end();
}
