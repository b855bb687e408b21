/* SPDX-License-Identifier: Apache-2.0 */
/* A region: its header, what its process dropped and refused, lanes, frames that are still in them, open calls. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "command/dump/file.h"
#include "command/frame_text.h"
#include "command/moment.h"
#include "limit/hold.h"
#include "region/call.h"
#include "region/layout.h"

#define GAP_BYTES (2 * TKR_FRAME_BYTES_MAX) /* behind the head, which a producer may be writing */

/* A lane's data as they were copied, and where the two sides stood when that was done. */
struct lane {
    uint32_t number;
    unsigned char *data;
    uint64_t capacity;
    uint64_t given_back; /* all before it is counted */
    uint64_t head;
    uint64_t readable; /* nothing before it is whole any more */
};

struct lists {
    struct tkr_dump_list waiting; /* not counted, as far as the lane knows */
    struct tkr_dump_list counted;
};

/* --- header --- */

static void set_process(json_t *object, const struct tkr_region_header *header)
{
    tkr_dump_set(object, "pid", header->pid);
    tkr_command_json_set_id(object, "command", header->command, strnlen(header->command, sizeof(header->command)));
}

static bool locked(const struct tkr_dump *dump)
{
    struct flock request = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};

    return fcntl(dump->fd, F_OFD_GETLK, &request) != 0 || request.l_type != F_UNLCK;
}

static void put_header(struct tkr_dump *dump, const struct tkr_region_header *header)
{
    json_t *object = json_object();
    char created[TKR_COMMAND_MOMENT_BYTES];

    tkr_dump_set_layout(object, header->major, header->minor);
    tkr_dump_set_hex(object, "id", header->id, sizeof(header->id));
    tkr_dump_set_boot(dump, object, header->boot_id);
    set_process(object, header);
    (void)json_object_set_new(object, "owner_alive", json_boolean(locked(dump)));
    tkr_dump_set_text(object, "created", tkr_command_moment(header->created_ns, created));
    tkr_dump_set(object, "bytes", header->bytes);
    tkr_dump_set(object, "slots_offset", header->slots_offset);
    tkr_dump_set(object, "data_offset", header->data_offset);
    tkr_dump_set(object, "lanes_max", header->lanes_max);
    tkr_dump_set(object, "lanes",
                 atomic_load_explicit(&header->lane_count, memory_order_relaxed)); /* of a private copy, as below */
    tkr_dump_set(object, "slots_max", header->slots_max);
    tkr_dump_set(object, "slots", atomic_load_explicit(&header->slot_count, memory_order_relaxed));
    tkr_dump_set(object, "slot_bytes", header->slot_bytes);
    (void)json_object_set_new(object, "is_a_copy", json_boolean(header->inode != 0 && header->inode != dump->inode));
    (void)json_object_set_new(object, "collector_was_here",
                              json_boolean(atomic_load_explicit(&header->collector_seen_ns, memory_order_relaxed) != 0));
    (void)json_object_set_new(dump->object, "header", object);
    if (header->bytes != dump->bytes)
        tkr_dump_doubt(dump, "the header says %" PRIu64 " bytes, the file has %" PRIu64, header->bytes, dump->bytes);
}

static void put_law(struct tkr_dump *dump, const struct tkr_region_header *header, uint64_t published)
{
    json_t *object = json_object();
    json_t *dropped = json_object();
    json_t *refused = json_object();

    for (int i = 0; i < TKR_DROP_COUNT; i++)
        tkr_dump_set(dropped, tkr_drop_key[i], atomic_load_explicit(&header->dropped[i], memory_order_relaxed));
    for (unsigned i = 1; i < TKR_RESULT_COUNT; i++) {
        uint64_t calls = atomic_load_explicit(&header->refused[i], memory_order_relaxed);
        if (calls > 0)
            tkr_dump_set(refused, tkr_result_key(i), calls);
    }
    tkr_dump_set(object, "published", published);
    (void)json_object_set_new(object, "dropped", dropped);
    (void)json_object_set_new(object, "refused", refused);
    tkr_dump_set(object, "bad_times", atomic_load_explicit(&header->bad_times, memory_order_relaxed));
    (void)json_object_set_new(dump->object, "law", object);
}

/* --- frames --- */

static const unsigned char *at_position(const struct lane *lane, uint64_t position)
{
    return lane->data + (position & (lane->capacity - 1));
}

/* The frame at a position, which does not cross the end of the data. Returns its length; 0: there is none. */
static size_t frame_at(const struct lane *lane, uint64_t position, struct tkr_event *ret_event)
{
    uint64_t left = lane->capacity - (position & (lane->capacity - 1));
    size_t length = tkr_frame_length(at_position(lane, position), left);

    memset(ret_event, 0, sizeof(*ret_event)); /* of a type that is not known, only that is set */
    return length != 0 && tkr_frame_decode(at_position(lane, position), length, ret_event) ? length : 0;
}

static void put_frame(struct tkr_dump_list *list, const struct tkr_dump *dump, const struct lane *lane, uint64_t position,
                      const struct tkr_event *event)
{
    json_t *row;
    json_t *rest;

    if (event->type == TKR_FRAME_PADDING || !tkr_dump_list_takes(dump, list))
        return;
    row = json_object();
    tkr_dump_set(row, "lane", lane->number);
    tkr_dump_set(row, "position", position);
    rest = tkr_command_frame_json(event);
    (void)json_object_update(row, rest);
    json_decref(rest);
    (void)json_array_append_new(list->array, row);
}

/* Frames from a position to another, or to where there is none. Returns where that is. */
static uint64_t put_frames(struct tkr_dump_list *list, const struct tkr_dump *dump, const struct lane *lane, uint64_t position,
                           uint64_t end)
{
    struct tkr_event event;
    size_t length;

    while (position < end && (length = frame_at(lane, position, &event)) != 0) {
        put_frame(list, dump, lane, position, &event);
        position += length;
    }
    return position;
}

/* Do frames follow each other without a gap from here to the end? tried: a bit for each place from which that is known not to be so. */
static bool leads_to(const struct lane *lane, uint64_t position, uint64_t end, unsigned char *tried)
{
    struct tkr_event event;

    while (position < end) {
        uint64_t place = (position & (lane->capacity - 1)) / TKR_FRAME_ALIGN;
        size_t length = frame_at(lane, position, &event);

        if (length == 0 || (tried[place / 8] >> place % 8 & 1) != 0)
            return false;
        tried[place / 8] = (unsigned char)(tried[place / 8] | 1u << place % 8);
        position += length;
    }
    return position == end;
}

/*
 * Frames that are counted and not overwritten yet: they end where memory has been given back to, and begin wherever the first of them
 * begins that leads there. Each place is tried once.
 */
static void put_counted(struct lists *lists, const struct tkr_dump *dump, const struct lane *lane)
{
    uint64_t position = (lane->readable + TKR_FRAME_ALIGN - 1) & ~(uint64_t)(TKR_FRAME_ALIGN - 1);
    unsigned char *tried;

    if (position >= lane->given_back || lane->given_back - position > lane->capacity)
        return;
    tried = calloc(lane->capacity / TKR_FRAME_ALIGN / 8, 1);
    while (tried != NULL && position < lane->given_back && !leads_to(lane, position, lane->given_back, tried))
        position += TKR_FRAME_ALIGN;
    free(tried);
    if (tried != NULL)
        (void)put_frames(&lists->counted, dump, lane, position, lane->given_back);
}

static void put_lane_frames(struct tkr_dump *dump, struct lists *lists, const struct lane *lane)
{
    uint64_t end;

    put_counted(lists, dump, lane);
    if (lane->given_back < lane->readable)
        return; /* what was waiting has been overwritten while it was copied: it is counted by now */
    end = put_frames(&lists->waiting, dump, lane, lane->given_back, lane->head);
    if (end != lane->head)
        tkr_dump_doubt(dump, "lane %u: at position %" PRIu64 " is no frame; its head is at %" PRIu64, lane->number, end,
                       lane->head);
}

/* --- lanes --- */

static bool lane_fits(struct tkr_dump *dump, const struct tkr_region_header *header, uint32_t number, const struct tkr_lane *lane)
{
    char what[32];

    (void)snprintf(what, sizeof(what), "data of lane %u", number);
    if (lane->capacity < TKR_LANE_BYTES_MIN || lane->capacity > TKR_LANE_BYTES_MAX ||
        (lane->capacity & (lane->capacity - 1)) != 0) {
        tkr_dump_doubt(dump, "lane %u: %" PRIu64 " bytes is no size of a lane", number, lane->capacity);
        return false;
    }
    if (lane->offset < header->data_offset)
        tkr_dump_doubt(dump, "%s lie before where data begin", what);
    return tkr_dump_within(dump, what, lane->offset, lane->capacity, dump->bytes);
}

/* Copies the data, and sees how far the producer has come meanwhile. false: there is no memory, or nothing that can be. */
static bool copy_lane(struct tkr_dump *dump, uint64_t offset, const struct tkr_lane *at_first, struct lane *lane)
{
    uint64_t before = atomic_load_explicit(&at_first->head, memory_order_relaxed);

    lane->capacity = at_first->capacity;
    lane->given_back = atomic_load_explicit(&at_first->free, memory_order_relaxed);
    lane->head = before;
    if (before - lane->given_back > lane->capacity) {
        tkr_dump_doubt(dump, "lane %u: its head is at %" PRIu64 ", and given back is %" PRIu64, lane->number, before,
                       lane->given_back);
        lane->given_back = before > lane->capacity ? before & ~(lane->capacity - 1) : 0;
    }
    lane->data = malloc(lane->capacity);
    if (lane->data == NULL || !tkr_dump_read(dump, at_first->offset, lane->data, lane->capacity)) {
        tkr_dump_doubt(dump, "lane %u: its data cannot be read to their end", lane->number);
        return lane->data != NULL;
    }
    /* What was not given back yet is not written over (ring/lane.h); nor what lies less than a round before the head. */
    before = tkr_dump_word(dump, offset + offsetof(struct tkr_lane, head)) + GAP_BYTES;
    lane->readable = tkr_dump_word(dump, offset + offsetof(struct tkr_lane, free));
    if (lane->readable > (before > lane->capacity ? before - lane->capacity : 0))
        lane->readable = before > lane->capacity ? before - lane->capacity : 0;
    return true;
}

static void put_lane(struct tkr_dump *dump, struct tkr_dump_list *list, uint32_t number, const struct tkr_lane *lane)
{
    json_t *row;

    if (!tkr_dump_list_takes(dump, list))
        return;
    row = json_object();
    tkr_dump_set(row, "lane", number);
    tkr_dump_set(row, "capacity", lane->capacity);
    tkr_dump_set(row, "head", atomic_load_explicit(&lane->head, memory_order_relaxed));
    tkr_dump_set(row, "given_back", atomic_load_explicit(&lane->free, memory_order_relaxed));
    tkr_dump_set(row, "sequence", atomic_load_explicit(&lane->sequence, memory_order_relaxed));
    tkr_dump_set(row, "counted", atomic_load_explicit(&lane->counted, memory_order_relaxed));
    tkr_dump_set(row, "offset", lane->offset);
    (void)json_array_append_new(list->array, row);
}

/* Returns how many usage records the lanes' producers say that they published. */
static uint64_t put_lanes(struct tkr_dump *dump, const struct tkr_region_header *header, uint64_t count, struct lists *lists)
{
    struct tkr_dump_list list = TKR_DUMP_LIST_INIT;
    uint64_t published = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = TKR_REGION_HEADER_BYTES + (uint64_t)i * sizeof(struct tkr_lane);
        struct tkr_lane lane;
        struct lane copy = {.number = i};

        if (!tkr_dump_read(dump, offset, &lane, sizeof(lane))) {
            tkr_dump_doubt(dump, "the file ends before lane %u", i);
            break;
        }
        put_lane(dump, &list, i, &lane);
        published += atomic_load_explicit(&lane.sequence, memory_order_relaxed);
        if (lane_fits(dump, header, i, &lane) && copy_lane(dump, offset, &lane, &copy))
            put_lane_frames(dump, lists, &copy);
        free(copy.data);
    }
    tkr_dump_list_end(dump->object, "lanes", &list);
    return published;
}

/* --- open calls --- */

static void set_hold(json_t *object, const struct tkr_call_slot *slot)
{
    static const char *const states[] = {"none", "joining", "held", "leaving"};
    uint64_t word = atomic_load_explicit(&slot->hold, memory_order_relaxed);

    tkr_dump_set_signed(object, "reserve", slot->reserve);
    tkr_dump_set_text(object, "hold", states[word & TKR_HOLD_STATE_MASK]);
}

static void put_slot(struct tkr_dump *dump, struct tkr_dump_list *list, uint32_t number, const struct tkr_call_slot *slot)
{
    size_t length = tkr_frame_length(slot->frame, sizeof(slot->frame));
    struct tkr_event event = {.type = 0};
    json_t *row;
    bool whole = length != 0 && tkr_frame_decode(slot->frame, length, &event) && event.type == TKR_FRAME_OPEN;

    if (!whole)
        tkr_dump_doubt(dump, "slot %u: the call in it is none, or was just changing", number);
    if (!tkr_dump_list_takes(dump, list))
        return;
    row = json_object();
    tkr_dump_set(row, "slot", number);
    tkr_dump_set(row, "generation", atomic_load_explicit(&slot->state, memory_order_relaxed) >> TKR_CALL_PHASE_BITS);
    tkr_dump_set_text(row, "phase", tkr_call_slot_ending(slot) ? "ending" : "open");
    tkr_dump_set_signed(row, "prompt_estimate", slot->prompt_estimate);
    tkr_dump_set_signed(row, "streamed", tkr_call_slot_streamed(slot));
    set_hold(row, slot);
    if (whole)
        (void)json_object_set_new(row, "call", tkr_command_frame_json(&event));
    (void)json_array_append_new(list->array, row);
}

static void put_slots(struct tkr_dump *dump, const struct tkr_region_header *header, uint64_t count)
{
    struct tkr_dump_list list = TKR_DUMP_LIST_INIT;

    for (uint32_t i = 0; i < count; i++) {
        struct tkr_call_slot slot;
        if (!tkr_dump_read(dump, header->slots_offset + (uint64_t)i * TKR_CALL_SLOT_BYTES, &slot, sizeof(slot)))
            break; /* told by the caller */
        if (tkr_call_slot_open(&slot))
            put_slot(dump, &list, i, &slot);
    }
    tkr_dump_list_end(dump->object, "open_calls", &list);
}

static uint64_t slots_that_fit(struct tkr_dump *dump, const struct tkr_region_header *header)
{
    uint64_t said = atomic_load_explicit(&header->slot_count, memory_order_relaxed);
    uint64_t room = header->slots_offset < dump->bytes ? (dump->bytes - header->slots_offset) / TKR_CALL_SLOT_BYTES : 0;

    if (header->slot_bytes != TKR_CALL_SLOT_BYTES) {
        tkr_dump_doubt(dump, "its slots have %u bytes, those that this version knows %u", header->slot_bytes,
                       TKR_CALL_SLOT_BYTES);
        return 0;
    }
    said = tkr_dump_clamp(dump, "slots", said, TKR_REGION_SLOTS_MAX);
    return tkr_dump_clamp(dump, "slots", said, room);
}

void tkr_dump_region(struct tkr_dump *dump)
{
    struct lists lists = {TKR_DUMP_LIST_INIT, TKR_DUMP_LIST_INIT};
    struct tkr_region_header header;
    uint64_t lanes;
    uint64_t published;

    if (!tkr_dump_read(dump, 0, &header, sizeof(header)))
        tkr_dump_doubt(dump, "the file ends within its header");
    put_header(dump, &header);
    if (header.major > TKR_REGION_MAJOR || header.major < TKR_REGION_MAJOR_OLDEST)
        tkr_dump_doubt(dump, "this version reads layouts %u.x to %u.x; what follows may be wrong", TKR_REGION_MAJOR_OLDEST,
                       TKR_REGION_MAJOR);
    lanes = tkr_dump_clamp(dump, "lanes", atomic_load_explicit(&header.lane_count, memory_order_relaxed), TKR_REGION_LANES_MAX);
    published = put_lanes(dump, &header, lanes, &lists);
    put_law(dump, &header, published);
    tkr_dump_list_end(dump->object, "frames_waiting", &lists.waiting);
    tkr_dump_list_end(dump->object, "frames_counted_and_still_there", &lists.counted);
    put_slots(dump, &header, slots_that_fit(dump, &header));
}
