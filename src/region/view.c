/* SPDX-License-Identifier: Apache-2.0 */
#include "region/view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "region/guard.h"
#include "region/name.h"

/* The geometry of a header that we hold a private copy of, against the file's size. */
static bool geometry_fits(const struct tkr_region_header *header, uint64_t file_bytes)
{
    uint64_t lanes_end = TKR_REGION_HEADER_BYTES + TKR_REGION_LANES_MAX * (uint64_t)sizeof(struct tkr_lane);

    return header->bytes == file_bytes && header->lanes_max == TKR_REGION_LANES_MAX &&
           header->slot_bytes == TKR_CALL_SLOT_BYTES && header->slots_max <= TKR_REGION_SLOTS_MAX &&
           header->slots_offset >= lanes_end && header->slots_offset <= file_bytes && header->data_offset <= file_bytes &&
           header->data_offset >= header->slots_offset + (uint64_t)header->slots_max * TKR_CALL_SLOT_BYTES &&
           header->slots_offset % sizeof(uint64_t) == 0 && header->data_offset % sizeof(uint64_t) == 0;
}

static enum tkr_view_result check_header(struct tkr_view *view, tkr_message *ret_message)
{
    struct tkr_region_header header;
    uint8_t boot_id[TKR_BOOT_ID_BYTES];
    enum tkr_view_result result = TKR_VIEW_BROKEN;
    uint64_t magic = 0;

    if (tkr_guarded_copy(&header, view->mapped, sizeof(header)))
        magic = atomic_load_explicit(&header.magic, memory_order_relaxed);
    if (magic == TKR_REGION_MAGIC_RETIRED) {
        (void)tkr_message_set(ret_message, "%s has been counted to its end", view->name);
        result = TKR_VIEW_RETIRED;
    } else if (magic != TKR_REGION_MAGIC) {
        (void)tkr_message_set(ret_message, "%s is not a region", view->name);
    } else if (header.major > TKR_REGION_MAJOR || header.major < TKR_REGION_MAJOR_OLDEST) {
        (void)tkr_message_set(ret_message, "%s of process %u has layout %u.%u; this version reads %u.x to %u.x", view->name,
                              header.pid, header.major, header.minor, TKR_REGION_MAJOR_OLDEST, TKR_REGION_MAJOR);
        result = header.major > TKR_REGION_MAJOR ? TKR_VIEW_NEWER : TKR_VIEW_OLDER;
    } else if (!tkr_boot_id(boot_id)) { /* no descriptor left, say: that tells nothing about the region */
        (void)tkr_message_set(ret_message, "%s: the boot's identifier cannot be read at present", view->name);
        result = TKR_VIEW_DENIED;
    } else if (memcmp(boot_id, header.boot_id, sizeof(boot_id)) != 0) {
        (void)tkr_message_set(ret_message, "%s is of another boot", view->name);
        result = TKR_VIEW_OTHER;
    } else if (!geometry_fits(&header, view->bytes) || memcmp(header.id, view->id, sizeof(header.id)) != 0) {
        (void)tkr_message_set(ret_message, "%s has an impossible geometry or identity", view->name);
    } else if (header.inode != 0 && header.inode != view->inode) {
        (void)tkr_message_set(ret_message, "%s is a copy of a region, which must not be counted twice", view->name);
    } else {
        view->slots_offset = header.slots_offset;
        view->data_offset = header.data_offset;
        view->slots_max = header.slots_max;
        view->pid = header.pid;
        memcpy(view->command, header.command, sizeof(header.command));
        result = TKR_VIEW_OK;
    }
    return result;
}

/* Is it a file, and long enough? */
static bool may_be_region(const struct stat *status)
{
    return S_ISREG(status->st_mode) &&
           status->st_size >= (off_t)TKR_REGION_HEADER_BYTES + (off_t)(TKR_REGION_LANES_MAX * sizeof(struct tkr_lane));
}

static enum tkr_view_result map_view(struct tkr_view *view, tkr_message *ret_message)
{
    struct stat status;
    void *base;

    if (fstat(view->fd, &status) != 0 || !may_be_region(&status)) {
        (void)tkr_message_set(ret_message, "%s is not a file or too short for a region", view->name);
        return TKR_VIEW_BROKEN;
    }
    if (status.st_size > (off_t)TKR_REGION_BYTES_MAX) { /* sparse, it costs its owner nothing and us address space */
        (void)tkr_message_set(ret_message, "%s is too long for a region", view->name);
        return TKR_VIEW_BROKEN;
    }
    view->device = status.st_dev;
    view->inode = status.st_ino;
    view->owner = status.st_uid;
    view->bytes = (uint64_t)status.st_size;
    base = mmap(NULL, view->bytes, view->writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, view->fd, 0);
    if (base == MAP_FAILED) {
        (void)tkr_message_set(ret_message, "%s cannot be mapped: %s", view->name, strerror(errno));
        return TKR_VIEW_DENIED;
    }
    (void)madvise(base, view->bytes, MADV_NOHUGEPAGE); /* else the kernel might fill its holes in the background (huge=always) */
    view->mapped = base;
    view->mapped_lanes = (struct tkr_lane *)((char *)base + TKR_REGION_HEADER_BYTES);
    return check_header(view, ret_message);
}

/*
 * A link, a directory or a socket is no region; it will not become one. Nor is a file, whoever may open it, that is shorter than
 * one: a region has its size before it has its name.
 */
static enum tkr_view_result open_failure(int directory, const char *name, int error)
{
    struct stat status;

    if (error == ENOENT)
        return TKR_VIEW_GONE;
    if (error == ELOOP || error == EISDIR || error == ENXIO)
        return TKR_VIEW_BROKEN;
    return fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && !may_be_region(&status) ? TKR_VIEW_BROKEN
                                                                                                  : TKR_VIEW_DENIED;
}

enum tkr_view_result tkr_view_open(int directory, const char *name, bool writable, struct tkr_view **ret_view,
                                   tkr_message *ret_message)
{
    struct tkr_view *view = calloc(1, sizeof(*view));
    enum tkr_view_result result;

    if (view == NULL) {
        (void)tkr_message_set(ret_message, "no memory for %s", name);
        return TKR_VIEW_DENIED;
    }
    view->writable = writable;
    view->fd = openat(directory, name, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (view->fd < 0) {
        int error = errno;
        result = open_failure(directory, name, error);
        (void)tkr_message_set(ret_message, "%s cannot be opened: %s", name, strerror(error));
    } else if (!tkr_region_name_parse(name, view->id)) {
        (void)tkr_message_set(ret_message, "%s is not the name of a region", name);
        result = TKR_VIEW_BROKEN;
    } else {
        strncpy(view->name, name, sizeof(view->name) - 1);
        result = map_view(view, ret_message);
    }
    if (result == TKR_VIEW_OK)
        *ret_view = view;
    else
        tkr_view_close(view);
    return result;
}

void tkr_view_close(struct tkr_view *view)
{
    if (view == NULL)
        return;
    if (view->mapped != NULL)
        (void)munmap(view->mapped, view->bytes);
    if (view->fd >= 0)
        (void)close(view->fd);
    free(view);
}

bool tkr_view_owner_alive(const struct tkr_view *view)
{
    struct flock request = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};

    return fcntl(view->fd, F_OFD_GETLK, &request) != 0 || request.l_type != F_UNLCK;
}

static bool lane_fits(const struct tkr_view *view, const struct tkr_view_lane *lane)
{
    bool power_of_two = lane->capacity != 0 && (lane->capacity & (lane->capacity - 1)) == 0;

    return power_of_two && lane->capacity >= TKR_LANE_BYTES_MIN && lane->capacity <= TKR_LANE_BYTES_MAX &&
           lane->offset % sizeof(uint64_t) == 0 && lane->offset >= view->data_offset && lane->offset <= view->bytes &&
           lane->capacity <= view->bytes - lane->offset;
}

bool tkr_view_lanes_refresh(struct tkr_view *view)
{
    uint64_t count;

    /* Geometry after the count; pairs with the release in the owner's lane_publish. */
    if (!tkr_guarded_load(&view->mapped->lane_count, &count))
        return false;
    if (count > TKR_REGION_LANES_MAX || count < view->lane_count)
        return false;
    while (view->lane_count < count) {
        const struct tkr_lane *lane = &view->mapped_lanes[view->lane_count];
        struct tkr_view_lane *ours = &view->lane[view->lane_count];
        if (!tkr_guarded_copy(&ours->offset, &lane->offset, sizeof(ours->offset)) ||
            !tkr_guarded_copy(&ours->capacity, &lane->capacity, sizeof(ours->capacity)) || !lane_fits(view, ours))
            return false;
        view->lane_count++;
    }
    return true;
}

bool tkr_view_lane_head(const struct tkr_view *view, uint32_t lane, uint64_t *ret_head)
{
    return tkr_guarded_load(&view->mapped_lanes[lane].head, ret_head);
}

bool tkr_view_lane_heads(const struct tkr_view *view, uint64_t ret_head[TKR_REGION_LANES_MAX], uint32_t *ret_count)
{
    uint64_t count;

    if (!tkr_guarded_load(&view->mapped->lane_count, &count))
        return false;
    *ret_count = count < TKR_REGION_LANES_MAX ? (uint32_t)count : TKR_REGION_LANES_MAX;
    for (uint32_t i = 0; i < *ret_count; i++) {
        if (!tkr_view_lane_head(view, i, &ret_head[i]))
            return false;
    }
    return true;
}

bool tkr_view_lane_sequence(const struct tkr_view *view, uint32_t lane, uint64_t *ret_sequence)
{
    return tkr_guarded_load(&view->mapped_lanes[lane].sequence, ret_sequence);
}

uint64_t tkr_view_lane_left(const struct tkr_view *view, uint32_t lane, uint64_t sequence)
{
    uint64_t published;

    if (!tkr_view_lane_sequence(view, lane, &published))
        return 0;
    published -= sequence;
    return published <= view->lane[lane].capacity / TKR_FRAME_HEADER_BYTES ? published : 0;
}

bool tkr_view_lane_read(const struct tkr_view *view, uint32_t lane, uint64_t position, void *ret_bytes, size_t max,
                        size_t *ret_count, uint64_t *ret_head)
{
    const struct tkr_view_lane *geometry = &view->lane[lane];
    uint64_t at = position & (geometry->capacity - 1);
    uint64_t count;

    /* Payload after head; pairs with the producer's release (ring/lane.h, P1). */
    if (!tkr_view_lane_head(view, lane, ret_head))
        return false;
    count = *ret_head - position;
    if (count > geometry->capacity || count % TKR_FRAME_ALIGN != 0)
        return false;
    if (count > geometry->capacity - at)
        count = geometry->capacity - at;
    if (count > max)
        count = max;
    *ret_count = (size_t)count;
    return count == 0 || tkr_guarded_copy(ret_bytes, (const char *)view->mapped + geometry->offset + at, (size_t)count);
}

bool tkr_view_lane_release(struct tkr_view *view, uint32_t lane, uint64_t position, uint64_t sequence)
{
    struct tkr_lane *mapped = &view->mapped_lanes[lane];

    /* All reads of the frames are done; pairs with the producer's acquire of free (ring/lane.h, P2). */
    return tkr_guarded_store(&mapped->counted, sequence) && tkr_guarded_store(&mapped->free, position);
}

void tkr_view_retire(struct tkr_view *view)
{
    (void)tkr_guarded_store(&view->mapped->magic, TKR_REGION_MAGIC_RETIRED); /* truncated: as good */
}

bool tkr_view_touch(struct tkr_view *view, int64_t monotonic_ns)
{
    return tkr_guarded_store((_Atomic uint64_t *)&view->mapped->collector_seen_ns, (uint64_t)monotonic_ns);
}

bool tkr_view_counters(const struct tkr_view *view, uint64_t ret_dropped[TKR_DROP_MAX], uint64_t ret_refused[TKR_REFUSED_MAX])
{
    for (int i = 0; i < TKR_DROP_MAX; i++) {
        if (!tkr_guarded_load(&view->mapped->dropped[i], &ret_dropped[i]))
            return false;
    }
    for (int i = 0; i < TKR_REFUSED_MAX; i++) {
        if (!tkr_guarded_load(&view->mapped->refused[i], &ret_refused[i]))
            return false;
    }
    return true;
}

bool tkr_view_spent(const struct tkr_view *view, uint64_t *ret_ns, uint64_t ret_events[TKR_SPENT_BUCKETS])
{
    for (int i = 0; i < TKR_SPENT_BUCKETS; i++) {
        if (!tkr_guarded_load(&view->mapped->spent[i], &ret_events[i]))
            return false;
    }
    return tkr_guarded_load(&view->mapped->spent_ns, ret_ns);
}

bool tkr_view_bad_times(const struct tkr_view *view, uint64_t *ret_calls)
{
    return tkr_guarded_load(&view->mapped->bad_times, ret_calls);
}

bool tkr_view_slot_count(const struct tkr_view *view, uint32_t *ret_count)
{
    uint64_t count;

    if (!tkr_guarded_load(&view->mapped->slot_count, &count) || count > view->slots_max)
        return false;
    *ret_count = (uint32_t)count;
    return true;
}

bool tkr_view_slot_read(const struct tkr_view *view, uint32_t number, struct tkr_call_slot *ret_slot, bool *ret_open)
{
    const char *slots = (const char *)view->mapped + view->slots_offset;
    uint64_t position;
    uint64_t head;
    uint32_t lane;

    if (!tkr_guarded_copy(ret_slot, slots + (uint64_t)number * TKR_CALL_SLOT_BYTES, sizeof(*ret_slot)))
        return false;
    *ret_open = tkr_call_slot_open(ret_slot);
    position = atomic_load_explicit(&ret_slot->end_position, memory_order_relaxed);
    if (!*ret_open || !tkr_call_slot_ending(ret_slot) || position == TKR_CALL_POSITION_NONE)
        return true;
    lane = atomic_load_explicit(&ret_slot->end_lane, memory_order_relaxed);
    if (lane >= view->lane_count || !tkr_view_lane_head(view, lane, &head))
        return false;
    *ret_open = head < position;
    return true;
}

bool tkr_view_slot_hold_clear(struct tkr_view *view, uint32_t number)
{
    struct tkr_call_slot *slot = (struct tkr_call_slot *)((char *)view->mapped + view->slots_offset) + number;

    return tkr_guarded_store(&slot->hold, 0);
}

bool tkr_view_slot_hold(const struct tkr_view *view, uint32_t number, struct tkr_view_hold *ret_hold)
{
    const struct tkr_call_slot *slot = (const struct tkr_call_slot *)((const char *)view->mapped + view->slots_offset) + number;
    uint64_t before;
    uint64_t after;
    uint64_t again;

    if (!tkr_guarded_load(&slot->state, &before) || !tkr_guarded_load(&slot->hold, &ret_hold->word) ||
        !tkr_guarded_load(&slot->hold_more, &ret_hold->more) ||
        !tkr_guarded_copy(&ret_hold->reserve, &slot->reserve, sizeof(ret_hold->reserve)) ||
        !tkr_guarded_load(&slot->hold, &again) || !tkr_guarded_load(&slot->state, &after))
        return false;
    ret_hold->stable = before == after && ret_hold->word == again;
    return true;
}
