/* SPDX-License-Identifier: Apache-2.0 */
#include "table/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "table/carry.h"
#include "table/entries.h"

#define PAGE_BYTES UINT64_C(4096)
#define UNDO_BYTES (UINT64_C(256) << 10)
#define ENTRY_BYTES_MAX (TKR_ENTRY_UNITS_MAX * TKR_ENTRY_UNIT)
#define REGIONS_READ_MAX (1u << 20)
#define MODE 0640
#define NAME_BYTES 64
#define MEMORY_RETRY_NS (100 * TKR_NS_PER_MS) /* between tries to get memory from a tmpfs that is full */

_Static_assert(sizeof(struct tkr_undo) + TKR_BATCH_CHARGES_MAX * TKR_UNDO_RECORD_BYTES(TKR_ENTRY_UNDO_BYTES) +
                       TKR_BATCH_LANES_MAX * TKR_UNDO_RECORD_BYTES(sizeof(struct tkr_lane_cursor)) +
                       TKR_BATCH_CURSORS_MAX * TKR_UNDO_RECORD_BYTES(TKR_CURSOR_HEAD_BYTES) +
                       TKR_UNDO_RECORD_BYTES(sizeof(struct tkr_law)) <=
                   UNDO_BYTES,
               "the log holds the largest batch");

/* What was found under the shard's name. */
struct found {
    enum { NOTHING, FIT, OLDER, UNKNOWN, UNFIT } what;
    const char *why; /* of UNFIT */
    int fd;
    uint64_t bytes;
    struct tkr_shard_header header;
};

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static void name_shard(char ret_name[NAME_BYTES], const char *prefix, uint32_t number)
{
    (void)snprintf(ret_name, NAME_BYTES, "%sshard-%u", prefix, number);
}

uint64_t tkr_shard_arena_bytes(uint32_t accounts_max)
{
    return round_up((uint64_t)accounts_max * ENTRY_BYTES_MAX + 2 * TKR_ARENA_STEP_BYTES, TKR_ARENA_STEP_BYTES);
}

int tkr_shard_file_allocate(int fd, uint64_t offset, uint64_t bytes)
{
    int failure;

    do {
        failure = posix_fallocate(fd, (off_t)offset, (off_t)bytes);
    } while (failure == EINTR);
    return failure;
}

void tkr_shard_memory_refused(struct tkr_shard *shard)
{
    shard->memory_retry_ns = tkr_clock_monotonic_coarse_ns() + MEMORY_RETRY_NS;
}

bool tkr_shard_allocate(struct tkr_shard *shard, uint64_t offset, uint64_t bytes)
{
    if (tkr_shard_short_of_memory(shard))
        return false;
    if (tkr_shard_file_allocate(shard->fd, offset, bytes) == 0) {
        shard->memory_retry_ns = 0;
        return true;
    }
    tkr_shard_memory_refused(shard);
    return false;
}

/* --- making --- */

/* An arena that holds so many accounts of any length, and so many bytes that there are already. */
static void geometry_set(struct tkr_shard_header *header, uint32_t accounts_max, uint64_t bytes_carried)
{
    uint64_t arena_bytes = tkr_shard_arena_bytes(accounts_max);

    header->undo_offset = TKR_SHARD_HEADER_BYTES;
    header->undo_bytes = UNDO_BYTES;
    header->cursors_offset = header->undo_offset + header->undo_bytes;
    header->arena_offset =
        round_up(header->cursors_offset + TKR_SHARD_REGIONS_MAX * (uint64_t)sizeof(struct tkr_cursor), TKR_ARENA_STEP_BYTES);
    header->arena_bytes = arena_bytes > bytes_carried ? arena_bytes : round_up(bytes_carried, TKR_ARENA_STEP_BYTES);
    header->bytes = header->arena_offset + header->arena_bytes;
    header->regions_max = TKR_SHARD_REGIONS_MAX;
    header->accounts_max = accounts_max;
    header->counters = TKR_COUNTER_COUNT;
}

/*
 * Writes a new file under a temporary name and puts it in place: whoever opens "shard-N" finds it whole. With an older one,
 * mapped, it holds what that does, and replaces it in the same step.
 */
static int make(int directory, const struct tkr_shard_options *options, const struct tkr_shard_header *older,
                tkr_message *ret_message)
{
    struct tkr_shard_header header;
    struct stat status = {0};
    char name_new[NAME_BYTES];
    char name[NAME_BYTES];
    int failure;
    int fd;

    name_shard(name_new, ".", options->number);
    name_shard(name, "", options->number);
    fd = openat(directory, name_new, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, MODE);
    if (fd < 0)
        return tkr_message_set(ret_message, "cannot create %s: %s", name, strerror(errno));
    TKR_CRASH(SHARD_CREATED);
    memset(&header, 0, sizeof(header));
    header.magic = TKR_SHARD_MAGIC;
    header.major = TKR_SHARD_MAJOR;
    header.minor = TKR_SHARD_MINOR;
    header.name = options->name;
    header.number = options->number;
    geometry_set(&header, options->accounts_max, older != NULL ? tkr_carry_bytes(older) : 0);
    failure = !tkr_boot_id(header.boot_id) || fstat(fd, &status) != 0 ? EIO : 0;
    header.inode = status.st_ino;
    if (failure == 0 && ftruncate(fd, (off_t)header.bytes) != 0)
        failure = errno;
    if (failure == 0)
        failure = tkr_shard_file_allocate(fd, 0, header.cursors_offset);
    TKR_CRASH(SHARD_ALLOCATED);
    if (failure == 0 && older != NULL)
        failure = tkr_carry(older, fd, &header);
    if (failure == 0 && pwrite(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
        failure = errno;
    TKR_CRASH(SHARD_WRITTEN);
    if (failure == 0 && renameat(directory, name_new, directory, name) != 0)
        failure = errno;
    TKR_CRASH(SHARD_NAMED);
    (void)close(fd);
    if (failure == 0)
        return 0;
    (void)unlinkat(directory, name_new, 0);
    if (older != NULL)
        return tkr_message_set(ret_message, "cannot carry %s over to this version's layout: %s; it stays as it is", name,
                               strerror(failure));
    return tkr_message_set(ret_message, "cannot create %s: %s", name, strerror(failure));
}

/* --- judging --- */

/* Could there be so many accounts? A batch that a death cut may have counted some that the arena does not have. */
static bool accounts_fit(const struct tkr_shard_header *header)
{
    uint64_t used = atomic_load_explicit(&header->law.arena_used, memory_order_relaxed); /* a copy of our own */

    return atomic_load_explicit(&header->law.accounts, memory_order_relaxed) <= used / TKR_ENTRY_UNIT + TKR_BATCH_CHARGES_MAX;
}

static bool geometry_fits(const struct tkr_shard_header *header, uint64_t file_bytes)
{
    return header->bytes <= file_bytes && header->undo_offset >= TKR_SHARD_HEADER_BYTES &&
           header->undo_bytes >= sizeof(struct tkr_undo) && header->undo_offset <= file_bytes &&
           header->undo_bytes <= file_bytes && header->undo_offset % sizeof(uint64_t) == 0 &&
           header->cursors_offset % sizeof(uint64_t) == 0 && header->cursors_offset >= header->undo_offset + header->undo_bytes &&
           header->cursors_offset <= file_bytes && header->regions_max <= REGIONS_READ_MAX &&
           header->arena_offset >= header->cursors_offset + header->regions_max * (uint64_t)sizeof(struct tkr_cursor) &&
           header->arena_offset % PAGE_BYTES == 0 && header->bytes >= header->arena_offset &&
           header->arena_bytes <= file_bytes - header->arena_offset && /* less: died while it was made larger */
           atomic_load_explicit(&header->law.arena_used, memory_order_relaxed) <= header->arena_bytes &&
           atomic_load_explicit(&header->cursors_used, memory_order_relaxed) <= header->regions_max &&
           atomic_load_explicit(&header->cursors_used, memory_order_relaxed) <= TKR_SHARD_REGIONS_MAX;
}

static void judge(struct found *found, uint64_t inode, const uint8_t boot_id[TKR_BOOT_ID_BYTES])
{
    const struct tkr_shard_header *header = &found->header;

    found->what = UNFIT;
    if (header->magic != TKR_SHARD_MAGIC)
        found->why = "is no shard";
    else if (memcmp(boot_id, header->boot_id, sizeof(header->boot_id)) != 0)
        found->why = "is of another boot";
    else if (header->inode != inode)
        found->why = "is a copy";
    else if (header->major > TKR_SHARD_MAJOR || header->major < TKR_SHARD_MAJOR_OLDEST || header->counters > TKR_COUNTER_COUNT)
        found->what = UNKNOWN;
    else if (header->counters == 0 || !geometry_fits(header, found->bytes) || !accounts_fit(header))
        found->why = "has an impossible geometry";
    else if (header->major < TKR_SHARD_MAJOR || header->counters < TKR_COUNTER_COUNT ||
             header->regions_max != TKR_SHARD_REGIONS_MAX || header->undo_bytes < UNDO_BYTES)
        found->what = OLDER;
    else
        found->what = FIT;
}

/* Opens the file and looks at its header. -1: that is not possible at present, and in doubt nothing is done. */
static int look(int directory, const char *name, struct found *ret_found, tkr_message *ret_message)
{
    uint8_t boot_id[TKR_BOOT_ID_BYTES];
    struct stat status;

    ret_found->what = NOTHING;
    ret_found->fd = openat(directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (ret_found->fd < 0 && errno == ENOENT)
        return 0;
    if (ret_found->fd < 0 || fstat(ret_found->fd, &status) != 0 || !tkr_boot_id(boot_id)) {
        (void)tkr_message_set(ret_message, "cannot open %s: %s", name, strerror(errno));
        if (ret_found->fd >= 0)
            (void)close(ret_found->fd);
        return -1;
    }
    ret_found->what = UNFIT;
    ret_found->why = "is too short for a shard";
    ret_found->bytes = (uint64_t)status.st_size;
    if (pread(ret_found->fd, &ret_found->header, sizeof(ret_found->header), 0) == (ssize_t)sizeof(ret_found->header))
        judge(ret_found, status.st_ino, boot_id);
    return 0;
}

/* --- what cannot be gone on with --- */

/* The oldest file that was set aside of this shard, by the number in its name, and the newest one's. Returns how many there are. */
static int find_aside(int directory, const char *name, char ret_oldest[NAME_BYTES], long long *ret_newest)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *files = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *item;
    long long oldest = INT64_MAX;
    int count = 0;

    *ret_newest = 0;
    if (files == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return 0; /* out of descriptors: at the next occasion */
    }
    while ((item = readdir(files)) != NULL) {
        char rest[NAME_BYTES] = "";
        long long time_ns;
        if (sscanf(item->d_name, "aside-%lld-%31s", &time_ns, rest) != 2 || strcmp(rest, name) != 0) /* NOLINT: both bounded */
            continue;
        count++;
        if (time_ns > *ret_newest)
            *ret_newest = time_ns;
        if (time_ns < oldest) {
            oldest = time_ns;
            (void)snprintf(ret_oldest, NAME_BYTES, "%.*s", NAME_BYTES - 1, item->d_name);
        }
    }
    (void)closedir(files);
    return count;
}

static void set_aside(int directory, const char *name, const char *why)
{
    long long number = (long long)tkr_clock_unix_ns(); /* a time, for people; their order is that of the numbers, also when */
    long long newest;                                  /* the clock has stepped back */
    char aside[NAME_BYTES];

    (void)find_aside(directory, name, aside, &newest);
    if (number <= newest && newest < INT64_MAX)
        number = newest + 1;
    (void)snprintf(aside, sizeof(aside), "aside-%lld-%.32s", number, name);
    TKR_LOG(TKR_LOG_WARNING, "{file} {reason}; it is kept as {kept_as} and a new one made", tkr_field_file(name, strlen(name)),
            tkr_field_reason(why), tkr_field_kept_as(aside, strlen(aside)));
    (void)renameat(directory, name, directory, aside); /* if it stays, making a new one replaces it */
    while (find_aside(directory, name, aside, &newest) > TKR_ASIDE_KEPT) {
        if (unlinkat(directory, aside, 0) != 0)
            break;
        TKR_LOG(TKR_LOG_WARNING, "{file} is removed: the last {files} are kept", tkr_field_file(aside, strlen(aside)),
                tkr_field_files(TKR_ASIDE_KEPT));
    }
}

static int refuse(const struct found *found, const char *name, tkr_message *ret_message)
{
    const struct tkr_shard_header *header = &found->header;
    bool newer = header->major > TKR_SHARD_MAJOR || header->counters > TKR_COUNTER_COUNT;

    return tkr_message_set(
        ret_message,
        "%s has layout %u.%u with %u counters, this version reads %u.x to %u.x with up to %d: start %s version, "
        "or move the file away and lose what it has not flushed",
        name, header->major, header->minor, header->counters, TKR_SHARD_MAJOR_OLDEST, TKR_SHARD_MAJOR, (int)TKR_COUNTER_COUNT,
        newer ? "the newer" : "an older");
}

/* --- carrying over --- */

enum tkr_recovery tkr_shard_file_recover(struct tkr_shard_header *header, uint64_t *ret_batch)
{
    unsigned char *base = (unsigned char *)header;
    struct tkr_undo *undo = (struct tkr_undo *)(base + header->undo_offset);
    uint64_t committed = atomic_load_explicit(&header->committed, memory_order_relaxed); /* nobody else writes */
    uint64_t begun = atomic_load_explicit(&undo->batch, memory_order_relaxed);

    *ret_batch = committed;
    if (begun <= committed)
        return TKR_RECOVERY_NONE;
    TKR_CRASH(RECOVERY_BEGUN);
    *ret_batch = begun + 1; /* I3: the number that was taken back is never used again */
    if (!tkr_undo_roll_back(undo, header->undo_bytes, base, header->bytes, *ret_batch))
        return TKR_RECOVERY_DAMAGED;
    TKR_CRASH(RECOVERY_DONE);
    atomic_store_explicit(&header->committed, *ret_batch, memory_order_release); /* all put back before (P2) */
    return TKR_RECOVERY_DONE;
}

static int carry_over(int directory, const struct tkr_shard_options *options, const struct found *found, const char *name,
                      tkr_message *ret_message)
{
    struct tkr_shard_header *older = mmap(NULL, found->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, found->fd, 0);
    uint64_t batch;
    int result;

    if (older == MAP_FAILED)
        return tkr_message_set(ret_message, "cannot map %s: %s", name, strerror(errno));
    if (tkr_shard_file_recover(older, &batch) == TKR_RECOVERY_DAMAGED || tkr_carry_bytes(older) == UINT64_MAX) {
        (void)munmap(older, found->bytes);
        return tkr_message_set(ret_message, "%s is damaged: its undo log or its entries lead nowhere", name);
    }
    TKR_CRASH(CARRY_BEGUN);
    result = make(directory, options, older, ret_message);
    if (result == 0)
        tkr_log(TKR_LOG_INFO, "%s of layout %u.%u with %u counters is carried over to %u.%u with %d", name, older->major,
                older->minor, older->counters, TKR_SHARD_MAJOR, TKR_SHARD_MINOR, (int)TKR_COUNTER_COUNT);
    (void)munmap(older, found->bytes);
    TKR_CRASH(CARRIED);
    return result;
}

/* Makes way for a file that is fit. 0: "shard-N" is one now. */
static int prepare(int directory, const struct tkr_shard_options *options, const struct found *found, const char *name,
                   tkr_message *ret_message)
{
    if (found->what == UNKNOWN)
        return refuse(found, name, ret_message);
    if (found->what == OLDER)
        return carry_over(directory, options, found, name, ret_message);
    if (found->what == UNFIT)
        set_aside(directory, name, found->why);
    return make(directory, options, NULL, ret_message);
}

int tkr_shard_file_open(int directory, const struct tkr_shard_options *options, int *ret_fd, uint64_t *ret_bytes,
                        tkr_message *ret_message)
{
    struct found found;
    char name[NAME_BYTES];
    int prepared;

    name_shard(name, ".", options->number);
    (void)unlinkat(directory, name, 0); /* left by a death while it was made */
    name_shard(name, "", options->number);
    if (look(directory, name, &found, ret_message) != 0)
        return -1;
    if (found.what != FIT) {
        prepared = prepare(directory, options, &found, name, ret_message);
        if (found.what != NOTHING)
            (void)close(found.fd);
        if (prepared != 0 || look(directory, name, &found, ret_message) != 0)
            return -1;
    }
    if (found.what != FIT) {
        if (found.what != NOTHING)
            (void)close(found.fd);
        return tkr_message_set(ret_message, "%s vanished while it was made", name);
    }
    *ret_fd = found.fd;
    *ret_bytes = found.bytes;
    return 0;
}
