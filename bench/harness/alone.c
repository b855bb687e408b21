/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/alone.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "harness/bench.h"
#include "table/shard.h"

#define LANE_BYTES (32u << 20)
#define REGION_BYTES (UINT64_C(64) << 20)

static int open_producers(struct bench_alone *alone)
{
    tkr_options options = TKR_OPTIONS_INIT;

    options.runtime_dir = alone->runtime;
    options.lane_bytes = LANE_BYTES;
    options.region_bytes_max = REGION_BYTES;
    for (int i = 0; i < BENCH_ALONE_LANES; i++) {
        if (tkr_open(&options, &alone->producer[i]) != TKR_OK)
            return bench_wrong("no producer");
    }
    return 0;
}

static int open_shard(struct bench_alone *alone, uint32_t accounts)
{
    struct tkr_shard_options options = {.name = 1, .number = 0, .accounts_max = accounts + 1000};
    tkr_message why;

    alone->shard_directory = open(alone->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tkr_shard_open(alone->shard_directory, &options, &alone->shard, &why) != 0)
        return bench_wrong("%s", why.text);
    for (int i = 0; i < BENCH_ALONE_LANES; i++) {
        struct tkr_feed *feed = &alone->feed[i];
        feed->next = i + 1 < BENCH_ALONE_LANES ? feed + 1 : NULL;
        feed->view = alone->consumer.view[i];
        if (!tkr_feed_adopt(alone->shard, feed))
            return bench_wrong("a region is not taken");
    }
    return 0;
}

int bench_alone_make(struct bench_alone *alone, uint32_t accounts)
{
    memset(alone, 0, sizeof(*alone));
    alone->shard_directory = -1;
    alone->drain = aligned_alloc(64, sizeof(*alone->drain));
    if (alone->drain == NULL || tempdir_make(alone->runtime) != 0 || tempdir_make(alone->state) != 0)
        return bench_wrong("no memory or no directory for a drain alone");
    if (open_producers(alone) != 0 || bench_consumer_open(&alone->consumer, alone->runtime) != 0 ||
        bench_consumer_take_up(&alone->consumer) != 0)
        return -1;
    return open_shard(alone, accounts);
}

int64_t bench_alone_drain(struct bench_alone *alone)
{
    int64_t begun_ns = tkr_clock_monotonic_ns();
    bool more = true;

    while (more) {
        int events = tkr_drain_batch(alone->drain, alone->shard, alone->feed, &more);
        alone->events += events > 0 ? (uint64_t)events : 0;
    }
    return tkr_clock_monotonic_ns() - begun_ns;
}

void bench_alone_remove(struct bench_alone *alone)
{
    for (int i = 0; i < BENCH_ALONE_LANES; i++) {
        if (alone->producer[i] != NULL)
            tkr_close(alone->producer[i]);
    }
    if (alone->shard != NULL)
        tkr_shard_close(alone->shard);
    bench_consumer_close(&alone->consumer);
    if (alone->shard_directory > 0)
        (void)close(alone->shard_directory);
    tempdir_remove(alone->runtime);
    tempdir_remove(alone->state);
    free(alone->drain);
    memset(alone, 0, sizeof(*alone));
}
