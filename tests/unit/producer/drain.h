/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A collector for tests: reads all that the regions of a directory hold, as a stranger would, and sums what the frames
 * say. It starts where the lane's free position is, so that a second reading without releasing finds the same again.
 */
#ifndef TESTS_UNIT_PRODUCER_DRAIN_H
#define TESTS_UNIT_PRODUCER_DRAIN_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event/frame.h"
#include "limit/hold.h"
#include "region/guard.h"
#include "region/view.h"

struct drained {
    uint32_t regions;
    uint32_t alive; /* regions whose owner lives */
    uint32_t lanes;
    uint64_t bytes;    /* of the lanes, all together */
    uint64_t frames;   /* usage frames */
    uint64_t mix;      /* of accounts and prompts, see drain_mix */
    uint64_t cycles;   /* sum of the cycles' numbers */
    tkr_counts counts; /* sums over all accounts */
    uint64_t last;     /* sum over the lanes of the sequence of the last frame: all that was ever published */
    uint64_t dropped[TKR_DROP_MAX];
    uint64_t refused[TKR_REFUSED_MAX];
    uint64_t bad_times; /* calls whose told times make no duration */
    uint64_t releases;
    uint64_t frames_released; /* usage frames before the last release */
    uint32_t open_calls;
    int64_t open_streamed; /* tokens told by open calls */
};

/* On which releases are obeyed; NULL: on none. */
static const struct tkr_board *drain_board;

static inline void drain_release(const struct tkr_frame_release *release, struct drained *sum)
{
    sum->releases++;
    sum->frames_released = sum->frames;
    if (drain_board != NULL)
        tkr_hold_release(drain_board, release->word, release->more, release->tokens);
}

/* A sum over (account, prompt) that misses nothing: wrong figures at the right account, right ones at a wrong account.
 */
static inline uint64_t drain_mix(const char *id, uint32_t len, int64_t prompt)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (uint32_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)id[i]) * UINT64_C(0x100000001b3);
    return hash * (uint64_t)(prompt + 1);
}

static inline bool drain_fail(const char *what, uint32_t lane, uint64_t position)
{
    (void)fprintf(stderr, "drain: lane %u at %llu: %s\n", lane, (unsigned long long)position, what);
    return false;
}

static inline void drain_event(const struct tkr_event *event, struct drained *sum)
{
    tkr_counts counts = {{0}};

    tkr_event_counts(event, &counts);
    sum->frames++;
    sum->cycles += event->cycle;
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        sum->counts.value[i] += counts.value[i];
    for (uint32_t i = 0; i < event->account_count; i++)
        sum->mix += drain_mix(event->account[i].id, event->account[i].len, counts.value[TKR_COUNTER_PROMPT]);
}

/* Frames in a copy that begins at position; each must follow the one before. */
static inline bool drain_bytes(const unsigned char *bytes, size_t count, uint32_t lane, uint64_t position, uint64_t *sequence,
                               struct drained *sum)
{
    for (size_t at = 0; at < count;) {
        size_t length = tkr_frame_length(bytes + at, count - at);
        struct tkr_event event;
        if (length == 0 || !tkr_frame_decode(bytes + at, length, &event))
            return drain_fail("no frame", lane, position + at);
        if (event.type != TKR_FRAME_PADDING && event.type != TKR_FRAME_NOTICE && event.type != TKR_FRAME_WATCH &&
            event.type != TKR_FRAME_RELEASE && !tkr_frame_type_charges(event.type))
            return drain_fail("unknown frame", lane, position + at);
        if (tkr_frame_type_charges(event.type)) {
            if (event.sequence != ++*sequence)
                return drain_fail("out of sequence", lane, position + at);
            drain_event(&event, sum);
        }
        if (event.type == TKR_FRAME_RELEASE)
            drain_release(&event.release, sum);
        at += length;
    }
    return true;
}

static inline bool drain_lane(struct tkr_view *view, uint32_t lane, bool release, struct drained *sum)
{
    uint64_t position = atomic_load(&view->mapped_lanes[lane].free);
    uint64_t sequence = atomic_load(&view->mapped_lanes[lane].counted);
    unsigned char *bytes = malloc(view->lane[lane].capacity);
    uint64_t head;
    size_t count;
    bool good = bytes != NULL;

    while (good) {
        if (!tkr_view_lane_read(view, lane, position, bytes, view->lane[lane].capacity, &count, &head))
            good = drain_fail("impossible head", lane, position);
        if (!good || count == 0)
            break;
        good = drain_bytes(bytes, count, lane, position, &sequence, sum);
        position += count;
    }
    if (good && release)
        good = tkr_view_lane_release(view, lane, position, sequence);
    free(bytes);
    sum->last += sequence;
    sum->lanes++;
    sum->bytes += view->lane[lane].capacity;
    return good;
}

static inline bool drain_slots(struct tkr_view *view, struct drained *sum)
{
    uint32_t count;

    if (!tkr_view_slot_count(view, &count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct tkr_call_slot slot;
        bool open;
        if (!tkr_view_slot_read(view, i, &slot, &open))
            return false;
        sum->open_calls += open;
        sum->open_streamed += open ? tkr_call_slot_streamed(&slot) : 0;
    }
    return true;
}

static inline bool drain_view(struct tkr_view *view, bool release, struct drained *sum)
{
    uint64_t dropped[TKR_DROP_MAX];
    uint64_t refused[TKR_REFUSED_MAX];
    uint64_t bad_times;

    sum->regions++;
    sum->alive += tkr_view_owner_alive(view);
    if (!tkr_view_lanes_refresh(view) || !tkr_view_counters(view, dropped, refused) || !tkr_view_bad_times(view, &bad_times) ||
        !drain_slots(view, sum))
        return false;
    sum->bad_times += bad_times;
    for (int i = 0; i < TKR_DROP_MAX; i++)
        sum->dropped[i] += dropped[i];
    for (int i = 0; i < TKR_REFUSED_MAX; i++)
        sum->refused[i] += refused[i];
    for (uint32_t i = 0; i < view->lane_count; i++) {
        if (!drain_lane(view, i, release, sum))
            return false;
    }
    return true;
}

static inline bool drain_file(int directory, const char *name, bool release, struct drained *sum)
{
    struct tkr_view *view;
    tkr_message message;
    bool good;

    if (tkr_view_open(directory, name, true, &view, &message) != TKR_VIEW_OK) {
        (void)fprintf(stderr, "drain: %s\n", message.text);
        return false;
    }
    good = drain_view(view, release, sum);
    tkr_view_close(view);
    return good;
}

/* Reads all regions of a directory; gives the lanes' memory back when release is set. false, with the reason on
 * standard error, when something is not as it must be. Files that are no regions are an error, too. */
static inline bool drain_directory(const char *path, bool release, struct drained *ret_sum)
{
    DIR *directory = opendir(path);
    bool good = directory != NULL && tkr_guard_install();
    struct dirent *entry;

    memset(ret_sum, 0, sizeof(*ret_sum));
    while (good && (entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && strcmp(entry->d_name, "board") != 0 &&
            strcmp(entry->d_name, "reservations") != 0)
            good = drain_file(dirfd(directory), entry->d_name, release, ret_sum);
    }
    if (directory != NULL)
        (void)closedir(directory);
    return good;
}

/* Removes all regions, as after reclaiming them. */
static inline void drain_remove(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL)
        (void)unlinkat(dirfd(directory), entry->d_name, 0);
    if (directory != NULL)
        (void)closedir(directory);
}

#endif
