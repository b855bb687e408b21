/* SPDX-License-Identifier: Apache-2.0 */
#include "region/region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/host.h"
#include "region/name.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

#define PAGE_BYTES UINT64_C(4096)
#define ALLOCATE_BYTES (UINT64_C(128) << 10) /* some 40 us */
#define SLOTS_AT_ONCE 128u                   /* 192 KiB, whole pages */
#define REFUSED_NS (10 * TKR_NS_PER_MS)      /* until memory that was not to be had is asked for again */
#define MODE 0660
#define LANES_OFFSET TKR_REGION_HEADER_BYTES
#define SLOTS_OFFSET (LANES_OFFSET + TKR_REGION_LANES_MAX * (uint64_t)sizeof(struct tkr_lane))
_Static_assert((SLOTS_AT_ONCE * TKR_CALL_SLOT_BYTES) % PAGE_BYTES == 0, "slots are allocated in whole pages");
_Static_assert(SLOTS_OFFSET % PAGE_BYTES == 0, "slots begin a page");

/* A region while it is made: what must be undone when a step fails. */
struct making {
    int directory;
    int fd;
    char name_new[TKR_REGION_NAME_BYTES];
    char name[TKR_REGION_NAME_BYTES];
    uint8_t id[TKR_REGION_ID_BYTES];
    uint64_t bytes;
    uint64_t data_offset;
};

/* Maps the pages now, so that the hot path takes no fault, and allocates those that are not there. false: the kernel cannot, or
 * there is no room, which it says without a signal. */
static bool populate(void *at, uint64_t bytes)
{
    return madvise(at, bytes, MADV_POPULATE_WRITE) == 0;
}

/*
 * Allocates a part by touching it through the mapping, which has small pages, also on a tmpfs that is mounted with huge=always,
 * where posix_fallocate takes 2 MiB for each byte; and by that where it cannot be touched. 0, or an error number.
 */
static int allocate_part(int fd, char *base, uint64_t offset, uint64_t bytes)
{
    int failure;

    if (populate(base + offset, bytes))
        return 0;
    do {
        failure = posix_fallocate(fd, (off_t)offset, (off_t)bytes);
    } while (failure == EINTR);
    return failure;
}

/*
 * Allocates the pages of a range of the file that is mapped at base, all or none. In small parts: before Linux 6 a signal made
 * tmpfs undo a whole call, and a host with a profiling timer would wait for ever for a large one.
 */
static int allocate(int fd, void *base, uint64_t offset, uint64_t bytes)
{
    uint64_t done = 0;
    int failure = 0;

    while (failure == 0 && done < bytes) {
        uint64_t part = bytes - done < ALLOCATE_BYTES ? bytes - done : ALLOCATE_BYTES;
        failure = allocate_part(fd, base, offset + done, part);
        done += part;
    }
    if (failure == 0)
        return TKR_OK;
    /* Nobody was told of these pages; of the last part, some may be there. */
    (void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)done);
    return failure == ENOSPC || failure == EDQUOT ? TKR_ENOSPC : TKR_ESYSTEM;
}

static bool size_allowed(uint64_t bytes)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= bytes);
}

static int lock(int fd)
{
    struct flock request = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &request) == 0 ? TKR_OK : TKR_ESYSTEM;
}

static int open_failure(int error)
{
    if (error == ENOSPC || error == EDQUOT)
        return TKR_ENOSPC;
    return error == EMFILE || error == ENFILE || error == ENOMEM ? TKR_ESYSTEM : TKR_ENODIR;
}

/* Creates, locks and sizes the file under its temporary name. */
static int make_file(struct making *making)
{
    making->fd = openat(making->directory, making->name_new, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, MODE);
    if (making->fd < 0)
        return open_failure(errno);
    TKR_CRASH(REGION_CREATED);
    if (lock(making->fd) != TKR_OK)
        return TKR_ESYSTEM;
    TKR_CRASH(REGION_LOCKED);
    if (fchmod(making->fd, MODE) != 0 || !size_allowed(making->bytes) || ftruncate(making->fd, (off_t)making->bytes) != 0)
        return TKR_ESYSTEM;
    TKR_CRASH(REGION_SIZED);
    return TKR_OK;
}

static int map_file(struct making *making, struct tkr_region *ret_region)
{
    struct stat status;
    void *base = mmap(NULL, making->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, making->fd, 0);

    if (base == MAP_FAILED)
        return TKR_ENOMEM;
    ret_region->header = base;
    ret_region->mapped_bytes = making->bytes;
    ret_region->lanes = (struct tkr_lane *)((char *)base + LANES_OFFSET);
    ret_region->slots = (struct tkr_call_slot *)((char *)base + SLOTS_OFFSET);
    (void)madvise(base, making->bytes, MADV_NOHUGEPAGE); /* if not, the kernel has none */
    if (madvise(base, making->bytes, MADV_DONTFORK) != 0 || fstat(making->fd, &status) != 0)
        return TKR_ESYSTEM;
    ret_region->device = status.st_dev;
    ret_region->inode = status.st_ino;
    ret_region->grow_fd = openat(making->directory, making->name_new, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (ret_region->grow_fd < 0)
        return TKR_ESYSTEM;
    (void)close(making->fd); /* the mapping keeps the lock */
    making->fd = -1;
    return TKR_OK;
}

static int initialise(const struct making *making, const struct tkr_region_geometry *geometry, struct tkr_region *region)
{
    struct tkr_region_header *header = region->header;

    header->major = TKR_REGION_MAJOR;
    header->minor = TKR_REGION_MINOR;
    if (!tkr_boot_id(header->boot_id))
        return TKR_ESYSTEM;
    memcpy(header->id, making->id, sizeof(header->id));
    header->bytes = making->bytes;
    header->slots_offset = SLOTS_OFFSET;
    header->data_offset = making->data_offset;
    header->lanes_max = TKR_REGION_LANES_MAX;
    header->slots_max = geometry->slots_max;
    header->slot_bytes = TKR_CALL_SLOT_BYTES;
    header->pid = (uint32_t)getpid();
    header->created_ns = tkr_clock_unix_ns();
    (void)prctl(PR_GET_NAME, header->command);
    header->inode = region->inode;
    return TKR_OK;
}

static void lane_publish(struct tkr_region *region, uint32_t number, uint64_t offset, uint64_t bytes)
{
    struct tkr_lane *lane = &region->lanes[number];

    (void)populate((char *)region->header + offset, bytes); /* they are there */
    lane->offset = offset;
    lane->capacity = bytes;
    TKR_CRASH(LANE_GEOMETRY);
    /* Geometry before the count; pairs with the collector's acquire of lane_count. */
    atomic_store_explicit(&region->header->lane_count, number + 1, memory_order_release);
}

static int prepare(int directory, const struct tkr_region_geometry *geometry, struct making *ret_making)
{
    uint64_t slots_bytes = (uint64_t)geometry->slots_max * TKR_CALL_SLOT_BYTES;

    memset(ret_making, 0, sizeof(*ret_making));
    ret_making->directory = directory;
    ret_making->fd = -1;
    if (!tkr_random(ret_making->id, sizeof(ret_making->id)))
        return TKR_ESYSTEM;
    tkr_region_name_format(TKR_REGION_PREFIX_NEW, ret_making->id, ret_making->name_new);
    tkr_region_name_format(TKR_REGION_PREFIX, ret_making->id, ret_making->name);
    ret_making->data_offset = SLOTS_OFFSET + (slots_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    ret_making->bytes = ret_making->data_offset + geometry->data_bytes_max;
    return TKR_OK;
}

int tkr_region_create(int directory, const struct tkr_region_geometry *geometry, struct tkr_region *ret_region)
{
    struct tkr_region region = {.grow_fd = -1};
    struct making making;
    int result = prepare(directory, geometry, &making);

    if (result != TKR_OK)
        return result;
    region.data_bytes_max = geometry->data_bytes_max;
    result = make_file(&making);
    if (result == TKR_OK)
        result = map_file(&making, &region);
    TKR_CRASH(REGION_MAPPED);
    if (result == TKR_OK)
        result = allocate(region.grow_fd, region.header, 0, SLOTS_OFFSET);
    if (result == TKR_OK)
        result = allocate(region.grow_fd, region.header, making.data_offset, geometry->lane_bytes);
    TKR_CRASH(REGION_ALLOCATED);
    if (result == TKR_OK)
        result = initialise(&making, geometry, &region);
    if (result != TKR_OK)
        goto fail;
    lane_publish(&region, 0, making.data_offset, geometry->lane_bytes);
    region.data_bytes = geometry->lane_bytes;
    TKR_CRASH(REGION_INITIALISED);
    atomic_store_explicit(&region.header->magic, TKR_REGION_MAGIC, memory_order_release); /* all before magic */
    TKR_CRASH(REGION_MAGIC);
    if (renameat(directory, making.name_new, directory, making.name) != 0) {
        result = TKR_ENODIR;
        goto fail;
    }
    TKR_CRASH(REGION_NAMED);
    *ret_region = region;
    return TKR_OK;

fail:
    tkr_region_close(&region);
    if (making.fd >= 0)
        (void)close(making.fd);
    (void)unlinkat(directory, making.name_new, 0);
    return result;
}

uint64_t tkr_region_budget(const struct tkr_region *region)
{
    return region->data_bytes_max - region->data_bytes;
}

void *tkr_region_lane_data(const struct tkr_region *region, uint32_t lane)
{
    return (char *)region->header + region->lanes[lane].offset;
}

/* Is the second descriptor what we opened? The host may have closed it, and got its number for something else. */
static bool grow_fd_is_ours(const struct tkr_region *region)
{
    struct stat status;

    return region->grow_fd >= 0 && fstat(region->grow_fd, &status) == 0 && status.st_dev == region->device &&
           status.st_ino == region->inode;
}

/*
 * Allocates through the second descriptor. What was refused is not asked for again for a while: callers come with each call
 * that they drop, and a system call each would slow down a host that is in trouble already. Less may be asked for at once.
 */
static int grow(struct tkr_region *region, uint64_t offset, uint64_t bytes)
{
    int64_t now = tkr_clock_monotonic_ns();

    if (now < region->retry_ns && bytes >= region->refused_bytes)
        return TKR_ENOSPC;
    if (grow_fd_is_ours(region) && allocate(region->grow_fd, region->header, offset, bytes) == TKR_OK)
        return TKR_OK;
    region->refused_bytes = bytes;
    region->retry_ns = now + REFUSED_NS;
    return TKR_ENOSPC;
}

int tkr_region_lane_add(struct tkr_region *region, uint64_t bytes, uint32_t *ret_lane)
{
    uint32_t number = (uint32_t)atomic_load_explicit(&region->header->lane_count, memory_order_relaxed); /* ours */
    uint64_t offset = region->header->data_offset + region->data_bytes;

    if (number == TKR_REGION_LANES_MAX || bytes > tkr_region_budget(region))
        return TKR_EFULL;
    if (grow(region, offset, bytes) != TKR_OK)
        return TKR_ENOSPC;
    TKR_CRASH(LANE_ALLOCATED);
    region->data_bytes += bytes;
    lane_publish(region, number, offset, bytes);
    TKR_CRASH(LANE_ADDED);
    *ret_lane = number;
    return TKR_OK;
}

int tkr_region_slots_add(struct tkr_region *region, uint32_t *ret_slot_count)
{
    uint32_t count = (uint32_t)atomic_load_explicit(&region->header->slot_count, memory_order_relaxed); /* ours */
    uint32_t more = region->header->slots_max - count;
    uint64_t offset = SLOTS_OFFSET + (uint64_t)count * TKR_CALL_SLOT_BYTES;

    if (more > SLOTS_AT_ONCE)
        more = SLOTS_AT_ONCE;
    if (more == 0)
        return TKR_ECALLS;
    if (grow(region, offset, (uint64_t)more * TKR_CALL_SLOT_BYTES) != TKR_OK)
        return TKR_ENOSPC;
    (void)populate((char *)region->header + offset, (uint64_t)more * TKR_CALL_SLOT_BYTES); /* they are there */
    TKR_CRASH(SLOTS_ALLOCATED);
    /* Memory before the count: the collector reads only slots below it. */
    atomic_store_explicit(&region->header->slot_count, count + more, memory_order_release);
    *ret_slot_count = count + more;
    return TKR_OK;
}

static void close_grow_fd(const struct tkr_region *region)
{
    if (grow_fd_is_ours(region))
        (void)close(region->grow_fd);
}

void tkr_region_close(struct tkr_region *region)
{
    if (region->header != NULL) {
        close_grow_fd(region);
        (void)munmap(region->header, region->mapped_bytes);
    }
    region->header = NULL;
    region->grow_fd = -1;
}

void tkr_region_forget(struct tkr_region *region)
{
    close_grow_fd(region);
    memset(region, 0, sizeof(*region));
    region->grow_fd = -1;
}
