/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/consumer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "event/frame.h"
#include "harness/bench.h"
#include "limit/hold.h"
#include "region/guard.h"
#include "region/name.h"

#define BYTES_AT_ONCE (64u << 10)

int bench_consumer_open(struct bench_consumer *consumer, const char *runtime)
{
    memset(consumer, 0, sizeof(*consumer));
    tkr_guard_install();
    consumer->directory = open(runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return consumer->directory >= 0 ? 0 : bench_wrong("%s: %s", runtime, strerror(errno));
}

static bool known(const struct bench_consumer *consumer, const char *name)
{
    for (uint32_t i = 0; i < consumer->count; i++) {
        if (strcmp(consumer->view[i]->name, name) == 0)
            return true;
    }
    return false;
}

int bench_consumer_take_up(struct bench_consumer *consumer)
{
    DIR *listing = fdopendir(dup(consumer->directory));
    uint8_t id[TKR_REGION_ID_BYTES];
    tkr_message why;
    int result = 0;

    if (listing == NULL)
        return bench_wrong("no listing: %s", strerror(errno));
    rewinddir(listing);
    for (struct dirent *entry; result == 0 && (entry = readdir(listing)) != NULL;) {
        if (!tkr_region_name_parse(entry->d_name, id) || known(consumer, entry->d_name))
            continue;
        if (consumer->count == BENCH_REGIONS_MAX)
            result = bench_wrong("more than %d regions", BENCH_REGIONS_MAX);
        else if (tkr_view_open(consumer->directory, entry->d_name, true, &consumer->view[consumer->count], &why) != TKR_VIEW_OK)
            result = bench_wrong("%s", why.text);
        else
            consumer->count++;
    }
    (void)closedir(listing);
    return result;
}

static int take_frames(struct bench_consumer *consumer, uint32_t region, uint32_t lane, const unsigned char *bytes, size_t count)
{
    uint64_t *sequence = &consumer->sequence[region][lane];
    size_t at = 0;

    while (at < count) {
        size_t length = tkr_frame_length(bytes + at, count - at);
        struct tkr_event event;
        if (length == 0) /* cut; the rest comes with the next reading */
            break;
        if (!tkr_frame_decode(bytes + at, length, &event))
            return bench_wrong("a frame that is none in lane %u", lane);
        at += length;
        if (event.type == TKR_FRAME_RELEASE && consumer->board != NULL)
            tkr_hold_release(consumer->board, event.release.word, event.release.more, event.release.tokens);
        if (event.type != TKR_FRAME_USAGE)
            continue;
        if (event.sequence != ++*sequence)
            return bench_wrong("lane %u: a gap in the sequence", lane);
        consumer->calls++;
        for (uint32_t i = 0, values = event.values.present; values != 0; values &= values - 1, i++)
            consumer->tokens += __builtin_ctz(values) == TKR_COUNTER_TOTAL ? (uint64_t)event.values.value[i] : 0;
    }
    consumer->position[region][lane] += at;
    return 0;
}

static int drain_lane(struct bench_consumer *consumer, uint32_t region, uint32_t lane)
{
    static unsigned char bytes[BYTES_AT_ONCE];
    struct tkr_view *view = consumer->view[region];
    size_t count;
    uint64_t head;

    do {
        if (!tkr_view_lane_read(view, lane, consumer->position[region][lane], bytes, sizeof(bytes), &count, &head))
            return bench_wrong("lane %u cannot be read", lane);
        if (take_frames(consumer, region, lane, bytes, count) != 0)
            return -1;
    } while (consumer->position[region][lane] != head);
    (void)tkr_view_lane_release(view, lane, head, consumer->sequence[region][lane]);
    return 0;
}

int bench_consumer_drain(struct bench_consumer *consumer)
{
    if (bench_consumer_take_up(consumer) != 0)
        return -1;
    for (uint32_t region = 0; region < consumer->count; region++) {
        if (!tkr_view_lanes_refresh(consumer->view[region]))
            return bench_wrong("a region is broken");
        for (uint32_t lane = 0; lane < consumer->view[region]->lane_count; lane++) {
            if (drain_lane(consumer, region, lane) != 0)
                return -1;
        }
    }
    return 0;
}

void bench_consumer_close(struct bench_consumer *consumer)
{
    for (uint32_t i = 0; i < consumer->count; i++)
        tkr_view_close(consumer->view[i]);
    if (consumer->directory > 0)
        (void)close(consumer->directory);
}
