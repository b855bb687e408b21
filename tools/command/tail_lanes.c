/* SPDX-License-Identifier: Apache-2.0 */
#include "command/tail_lanes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "region/guard.h"
#include "region/name.h"

#define COPY_BYTES (UINT32_C(64) << 10)
#define MARGIN(capacity) ((capacity) / 4)
_Static_assert(TKR_LANE_BYTES_MIN / 4 > 2 * TKR_FRAME_BYTES_MAX, "what a producer may be writing lies within the margin");

struct lane {
    uint64_t position; /* all before it is passed on or missed */
    uint64_t sequence; /* of the last frame before it */
    bool numbered;     /* sequence is that of a frame, and no hint */
    bool leapt;        /* over what was overwritten, and no frame has told yet how much that was */
};

struct tkr_tail_region {
    char name[TKR_REGION_NAME_BYTES];
    struct tkr_view *view; /* NULL: it cannot be read, which has been told */
    uint32_t lanes;        /* taken up */
    bool seen;             /* in the directory, in this look */
    struct lane lane[TKR_REGION_LANES_MAX];
};

/* --- lanes --- */

static bool load_free(const struct tkr_view *view, uint32_t number, uint64_t *ret_free)
{
    return tkr_guarded_load(&view->mapped_lanes[number].free, ret_free);
}

/* A place between two frames from which nothing has been written over. false: truncated, or no lane of a sound producer. */
static bool find_place(const struct tkr_view *view, uint32_t number, uint64_t *ret_position)
{
    uint64_t head;

    return load_free(view, number, ret_position) && tkr_view_lane_head(view, number, &head) &&
           head - *ret_position <= view->lane[number].capacity;
}

/* Is what was copied from a position on what lay there? See the header. false: it may have been written over. */
static bool vouched(const struct tkr_view *view, uint32_t number, uint64_t position)
{
    uint64_t capacity = view->lane[number].capacity;
    uint64_t given_back;
    uint64_t head;

    atomic_thread_fence(memory_order_acquire); /* the copy before the numbers: acquire loads alone would let it be later */
    return load_free(view, number, &given_back) && tkr_view_lane_head(view, number, &head) &&
           (given_back <= position || head - position <= capacity - MARGIN(capacity));
}

/* Takes up a lane: of a region that was there before us where it stands now, else from its beginning. */
static bool take_up(const struct tkr_view *view, uint32_t number, bool was_there, bool backlog, struct lane *ret_lane)
{
    *ret_lane = (struct lane){.numbered = true};
    if (!was_there)
        return true;
    ret_lane->numbered = false;
    if (!tkr_view_lane_sequence(view, number, &ret_lane->sequence))
        return false;
    return backlog ? find_place(view, number, &ret_lane->position) : tkr_view_lane_head(view, number, &ret_lane->position);
}

/* Numbers that are missing between the last frame and this one. */
static uint64_t gap(struct lane *lane, uint64_t sequence)
{
    uint64_t missing = lane->numbered && sequence > lane->sequence ? sequence - lane->sequence - 1 : 0;

    lane->sequence = sequence;
    lane->numbered = true;
    lane->leapt = false;
    return missing;
}

static void tell_missed(struct tkr_tail *tail, const struct tkr_tail_told *told, const struct tkr_view *view, uint64_t calls)
{
    tail->missed += calls;
    if (calls > 0)
        told->missed(told->arg, view, calls);
}

/* Passes the frames in bytes on. Returns the bytes walked: less than count where the last frame is cut, or what follows is none. */
static size_t pass_on(struct tkr_tail *tail, const struct tkr_tail_told *told, const struct tkr_view *view, struct lane *lane,
                      const unsigned char *bytes, size_t count)
{
    struct tkr_event event;
    size_t at = 0;
    size_t length;

    while ((length = tkr_frame_length(bytes + at, count - at)) != 0) {
        memset(&event, 0, sizeof(event)); /* of a type that is not known, only that is set */
        if (!tkr_frame_decode(bytes + at, length, &event))
            break;
        if (event.type != TKR_FRAME_PADDING && event.type != TKR_FRAME_RELEASE) { /* neither tells of an account */
            if (tkr_frame_type_charges(event.type))
                tell_missed(tail, told, view, gap(lane, event.sequence));
            told->frame(told->arg, view, &event);
            tail->frames++;
        }
        at += length;
    }
    return at;
}

/* What was to be read is overwritten: goes on where that is possible. The next frame's number tells how many were missed. */
static bool leap(const struct tkr_view *view, uint32_t number, struct lane *lane)
{
    lane->numbered = true; /* the hint of the beginning counts for lack of a better one */
    lane->leapt = true;
    return find_place(view, number, &lane->position);
}

enum reading { READ, IDLE, BROKEN };

static enum reading read_lane(struct tkr_tail *tail, const struct tkr_tail_told *told, const struct tkr_view *view,
                              uint32_t number, struct lane *lane)
{
    uint64_t capacity = view->lane[number].capacity;
    uint64_t head;
    size_t count;
    size_t walked;

    if (!tkr_view_lane_head(view, number, &head) || head - lane->position > INT64_MAX)
        return BROKEN; /* truncated, or its head went back */
    if (head == lane->position)
        return IDLE;
    if (head - lane->position > capacity)
        return leap(view, number, lane) ? READ : BROKEN;
    if (!tkr_view_lane_read(view, number, lane->position, tail->buffer, COPY_BYTES, &count, &head))
        return BROKEN;
    if (!vouched(view, number, lane->position))
        return leap(view, number, lane) ? READ : BROKEN;
    walked = pass_on(tail, told, view, lane, tail->buffer, count);
    lane->position += walked;
    return walked > 0 ? READ : BROKEN;
}

/* --- regions --- */

static void drop(struct tkr_tail_region *region)
{
    tkr_view_close(region->view);
    region->view = NULL;
}

static void refuse(const struct tkr_tail_told *told, struct tkr_tail_region *region, const char *why)
{
    tkr_message sentence;

    (void)tkr_message_set(&sentence, "%s %s", region->name, why); /* -1 is not asked for */
    told->refused(told->arg, sentence.text);
    drop(region);
}

static bool take_up_lanes(struct tkr_tail_region *region, bool was_there, bool backlog)
{
    if (!tkr_view_lanes_refresh(region->view))
        return false;
    for (; region->lanes < region->view->lane_count; region->lanes++) {
        if (!take_up(region->view, region->lanes, was_there, backlog, &region->lane[region->lanes]))
            return false;
    }
    return true;
}

/* Looks from behind the one found last: the order of a directory hardly changes. */
static struct tkr_tail_region *find_region(struct tkr_tail *tail, const char *name)
{
    for (size_t i = 0; i < tail->count; i++) {
        size_t here = (tail->found + i) % tail->count;
        if (strcmp(tail->region[here].name, name) == 0) {
            tail->found = here + 1;
            return &tail->region[here];
        }
    }
    return NULL;
}

static struct tkr_tail_region *add_region(struct tkr_tail *tail, const char *name)
{
    size_t room = 2 * tail->room + 16;
    struct tkr_tail_region *more = tail->region;

    if (tail->count == tail->room) {
        more = reallocarray(tail->region, room, sizeof(*more));
        if (more == NULL)
            return NULL;
        tail->region = more;
        tail->room = room;
    }
    more += tail->count++;
    memset(more, 0, sizeof(*more));
    memcpy(more->name, name, strnlen(name, sizeof(more->name) - 1));
    return more;
}

/* A file of the directory: known, or opened. false: no memory. */
static bool look_at(struct tkr_tail *tail, const struct tkr_tail_told *told, const char *name)
{
    struct tkr_tail_region *region = find_region(tail, name);
    enum tkr_view_result result;
    tkr_message why;

    if (region == NULL) {
        region = add_region(tail, name);
        if (region == NULL)
            return false;
        result = tkr_view_open(tail->runtime, name, false, &region->view, &why);
        if (result == TKR_VIEW_OK && !take_up_lanes(region, !tail->looked, tail->backlog))
            refuse(told, region, "is damaged, and is not read");
        else if (result != TKR_VIEW_OK && result != TKR_VIEW_GONE && result != TKR_VIEW_RETIRED)
            told->refused(told->arg, why.text);
    }
    region->seen = true;
    return true;
}

/* Lanes that were added since the last pass too. */
static bool read_to_its_end(struct tkr_tail_region *region)
{
    if (!take_up_lanes(region, false, false))
        return true; /* it was cut */
    for (uint32_t i = 0; i < region->lanes; i++) {
        uint64_t head;
        if (tkr_view_lane_head(region->view, i, &head) && head != region->lane[i].position)
            return false;
    }
    return true;
}

/* What was leapt over and no later frame told of: the producer's own number says, which a kill may leave one too high. */
static void settle(struct tkr_tail *tail, const struct tkr_tail_told *told, struct tkr_tail_region *region)
{
    for (uint32_t i = 0; region->view != NULL && i < region->lanes; i++) {
        uint64_t sequence;
        if (region->lane[i].leapt && tkr_view_lane_sequence(region->view, i, &sequence))
            tell_missed(tail, told, region->view, gap(&region->lane[i], sequence + 1));
    }
}

void tkr_tail_settle(struct tkr_tail *tail, const struct tkr_tail_told *told)
{
    for (size_t i = 0; i < tail->count; i++)
        settle(tail, told, &tail->region[i]);
}

/* Those that are in the directory no more: what they still hold is read first, which the mapping keeps. */
static void let_go(struct tkr_tail *tail, const struct tkr_tail_told *told)
{
    for (size_t i = 0; i < tail->count;) {
        struct tkr_tail_region *region = &tail->region[i];
        if (region->seen || (region->view != NULL && !read_to_its_end(region))) {
            i++;
            continue;
        }
        settle(tail, told, region);
        drop(region);
        *region = tail->region[--tail->count];
    }
}

int tkr_tail_look(struct tkr_tail *tail, const struct tkr_tail_told *told, tkr_message *ret_message)
{
    int fd = openat(tail->runtime, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    uint8_t id[TKR_REGION_ID_BYTES];
    const struct dirent *item;
    bool memory = true;

    if (directory == NULL) {
        (void)tkr_message_set(ret_message, "the runtime directory may not be listed: %s", strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    if (tail->buffer == NULL)
        tail->buffer = malloc(COPY_BYTES);
    for (size_t i = 0; i < tail->count; i++)
        tail->region[i].seen = false;
    while (memory && tail->buffer != NULL && (item = readdir(directory)) != NULL)
        memory = !tkr_region_name_parse(item->d_name, id) || look_at(tail, told, item->d_name);
    (void)closedir(directory);
    if (!memory || tail->buffer == NULL)
        return tkr_message_set(ret_message, "there is no memory for so many regions");
    let_go(tail, told);
    tail->looked = true;
    return 0;
}

bool tkr_tail_read(struct tkr_tail *tail, const struct tkr_tail_told *told)
{
    bool any = false;

    for (size_t i = 0; i < tail->count; i++) {
        struct tkr_tail_region *region = &tail->region[i];
        if (region->view != NULL && !take_up_lanes(region, false, false))
            refuse(told, region, "is damaged or was cut, and is not read any more");
        for (uint32_t n = 0; region->view != NULL && n < region->lanes; n++) {
            enum reading reading = read_lane(tail, told, region->view, n, &region->lane[n]);
            any |= reading == READ;
            if (reading == BROKEN)
                refuse(told, region, "holds what is no frame, or was cut, and is not read any more");
        }
    }
    return any;
}

void tkr_tail_free(struct tkr_tail *tail)
{
    for (size_t i = 0; i < tail->count; i++)
        drop(&tail->region[i]);
    free(tail->region);
    free(tail->buffer);
    *tail = (struct tkr_tail){.runtime = -1};
}
