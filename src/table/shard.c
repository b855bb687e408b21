/* SPDX-License-Identifier: Apache-2.0 */
/* The shard's file: made, recovered, closed; its cursors; the lists of changed entries. */
#include "table/shard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/crash.h"
#include "table/entries.h"

#define PAGE_BYTES UINT64_C(4096)
#define UNDO_BYTES (UINT64_C(256) << 10)
#define ENTRY_BYTES_MAX 512u
#define MODE 0640
#define NAME_BYTES 64

_Static_assert(sizeof(struct tkr_undo) + TKR_BATCH_CHARGES_MAX * TKR_UNDO_RECORD_BYTES(TKR_ENTRY_UNDO_BYTES) +
                       TKR_BATCH_LANES_MAX * TKR_UNDO_RECORD_BYTES(sizeof(struct tkr_lane_cursor)) +
                       TKR_BATCH_CURSORS_MAX * TKR_UNDO_RECORD_BYTES(TKR_CURSOR_HEAD_BYTES) +
                       TKR_UNDO_RECORD_BYTES(sizeof(struct tkr_law)) <=
                   UNDO_BYTES,
               "the log holds the largest batch");

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static void name_shard(char ret_name[NAME_BYTES], const char *prefix, uint32_t number)
{
    (void)snprintf(ret_name, NAME_BYTES, "%sshard-%u", prefix, number);
}

static uint64_t arena_bytes_for(uint32_t accounts_max)
{
    return round_up((uint64_t)accounts_max * ENTRY_BYTES_MAX + 2 * TKR_ARENA_STEP_BYTES, TKR_ARENA_STEP_BYTES);
}

static int allocate(int fd, uint64_t offset, uint64_t bytes)
{
    int failure;

    do {
        failure = posix_fallocate(fd, (off_t)offset, (off_t)bytes);
    } while (failure == EINTR);
    return failure;
}

/* --- making --- */

static void geometry_set(struct tkr_shard_header *header, const struct tkr_shard_options *options)
{
    header->undo_offset = TKR_SHARD_HEADER_BYTES;
    header->undo_bytes = UNDO_BYTES;
    header->cursors_offset = header->undo_offset + header->undo_bytes;
    header->arena_offset =
        round_up(header->cursors_offset + TKR_SHARD_REGIONS_MAX * (uint64_t)sizeof(struct tkr_cursor), TKR_ARENA_STEP_BYTES);
    header->arena_bytes = arena_bytes_for(options->accounts_max);
    header->bytes = header->arena_offset + header->arena_bytes;
    header->regions_max = TKR_SHARD_REGIONS_MAX;
    header->accounts_max = options->accounts_max;
    header->counters = TKR_COUNTER_COUNT;
}

/* Writes a new file under a temporary name and puts it in place: whoever opens "shard-N" finds it whole. */
static int make(int directory, const struct tkr_shard_options *options, tkr_message *ret_message)
{
    struct tkr_shard_header header;
    struct stat status = {0};
    char name_new[NAME_BYTES];
    char name[NAME_BYTES];
    int failure;
    int fd;

    name_shard(name_new, ".", options->number);
    name_shard(name, "", options->number);
    (void)unlinkat(directory, name_new, 0); /* left by a death in here */
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
    geometry_set(&header, options);
    failure = !tkr_boot_id(header.boot_id) || fstat(fd, &status) != 0 ? EIO : 0;
    header.inode = status.st_ino;
    if (failure == 0 && ftruncate(fd, (off_t)header.bytes) != 0)
        failure = errno;
    if (failure == 0)
        failure = allocate(fd, 0, header.cursors_offset);
    TKR_CRASH(SHARD_ALLOCATED);
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
    return tkr_message_set(ret_message, "cannot create %s: %s", name, strerror(failure));
}

/* --- opening --- */

static bool geometry_fits(const struct tkr_shard_header *header, uint64_t file_bytes)
{
    return header->bytes <= file_bytes && header->undo_offset >= TKR_SHARD_HEADER_BYTES &&
           header->undo_bytes >= UNDO_BYTES && header->cursors_offset >= header->undo_offset + header->undo_bytes &&
           header->regions_max == TKR_SHARD_REGIONS_MAX &&
           header->arena_offset >= header->cursors_offset + header->regions_max * (uint64_t)sizeof(struct tkr_cursor) &&
           header->arena_offset % PAGE_BYTES == 0 && header->bytes >= header->arena_offset &&
           header->arena_bytes <= file_bytes - header->arena_offset && /* less: died while it was made larger */
           atomic_load_explicit(&header->law.arena_used, memory_order_relaxed) <= header->arena_bytes &&
           atomic_load_explicit(&header->cursors_used, memory_order_relaxed) <= header->regions_max;
}

/* Why a file that is there cannot be gone on with; NULL: it can. */
static const char *unfit(const struct tkr_shard_header *header, const struct stat *status,
                         const uint8_t boot_id[TKR_BOOT_ID_BYTES])
{
    if (header->magic != TKR_SHARD_MAGIC)
        return "is no shard";
    if (header->major != TKR_SHARD_MAJOR || header->counters != TKR_COUNTER_COUNT)
        return "has another layout";
    if (memcmp(boot_id, header->boot_id, sizeof(header->boot_id)) != 0)
        return "is of another boot";
    if (header->inode != status->st_ino)
        return "is a copy";
    return geometry_fits(header, (uint64_t)status->st_size) ? NULL : "has an impossible geometry";
}

static void set_aside(int directory, uint32_t number)
{
    char name[NAME_BYTES];
    char aside[NAME_BYTES];

    name_shard(name, "", number);
    (void)snprintf(aside, sizeof(aside), "aside-%lld-shard-%u", (long long)tkr_clock_unix_ns(), number);
    (void)renameat(directory, name, directory, aside); /* if it stays, making a new one replaces it */
}

/* Opens the file and checks its header. 1: fit; 0: there is none, or it was set aside; -1: error. */
static int open_file(int directory, uint32_t number, int *ret_fd, struct stat *ret_status, tkr_message *ret_message)
{
    struct tkr_shard_header header;
    const char *why = "is too short for a shard";
    uint8_t boot_id[TKR_BOOT_ID_BYTES];
    char name[NAME_BYTES];
    int fd;

    name_shard(name, "", number);
    fd = openat(directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, ret_status) != 0 || !tkr_boot_id(boot_id)) { /* in doubt nothing is set aside */
        (void)tkr_message_set(ret_message, "cannot open %s: %s", name, strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    if (pread(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header))
        why = unfit(&header, ret_status, boot_id);
    if (why == NULL) {
        *ret_fd = fd;
        return 1;
    }
    (void)close(fd);
    tkr_log(TKR_LOG_WARNING, "%s %s; it is set aside and a new one made", name, why);
    set_aside(directory, number);
    return 0;
}

/* The file is as long as that; a kill in between is mended here at the next opening. */
static void size_set(struct tkr_shard_header *header, uint64_t file_bytes)
{
    header->bytes = file_bytes;
    header->arena_bytes = file_bytes - header->arena_offset;
}

/* Makes room for more accounts than the file was made for; fewer only bound what is added. */
static bool resize(struct tkr_shard *shard, const struct tkr_shard_options *options)
{
    struct tkr_shard_header *header = shard->header;
    uint64_t bytes = header->arena_offset + arena_bytes_for(options->accounts_max);
    void *base;

    header->accounts_max = options->accounts_max;
    if (bytes <= header->bytes)
        return true;
    if (ftruncate(shard->fd, (off_t)bytes) != 0)
        return false;
    base = mremap(shard->base, header->bytes, bytes, MREMAP_MAYMOVE);
    if (base == MAP_FAILED)
        return false; /* the old mapping stays */
    shard->base = base;
    shard->header = base;
    size_set(shard->header, bytes);
    return true;
}

/* Shows readers the entries that are committed: what lies beyond could be taken back under their eyes. */
static void show_entries(struct tkr_shard *shard)
{
    uint64_t used = atomic_load_explicit(&shard->header->law.arena_used, memory_order_relaxed); /* the worker's own */

    /* Entries and committed before it; pairs with the acquire in tkr_reader_next. */
    atomic_store_explicit(&shard->header->arena_committed, used, memory_order_release);
}

/* Puts an unfinished batch back. Killed in here, it is begun again with the same number. */
static bool recover(struct tkr_shard *shard)
{
    struct tkr_shard_header *header = shard->header;
    uint64_t committed = atomic_load_explicit(&header->committed, memory_order_relaxed);
    uint64_t begun = atomic_load_explicit(&shard->undo->batch, memory_order_relaxed);

    shard->batch = committed;
    if (begun <= committed)
        return true;
    shard->recovered = true;
    TKR_CRASH(RECOVERY_BEGUN);
    shard->batch = begun + 1; /* I3: the number that was taken back is never used again */
    if (!tkr_undo_roll_back(shard->undo, header->undo_bytes, shard->base, header->bytes, shard->batch))
        return false;
    TKR_CRASH(RECOVERY_DONE);
    atomic_store_explicit(&header->committed, shard->batch, memory_order_release); /* all put back before (P2) */
    return true;
}

static bool open_lists(struct tkr_shard *shard)
{
    shard->changed = &shard->lists[0];
    atomic_store_explicit(&shard->from_flusher, &shard->lists[1], memory_order_relaxed);
    return tkr_entries_index(shard);
}

static int map(struct tkr_shard *shard, const struct tkr_shard_options *options, uint64_t file_bytes,
               tkr_message *ret_message)
{
    void *base = mmap(NULL, file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, shard->fd, 0);

    if (base == MAP_FAILED)
        return tkr_message_set(ret_message, "cannot map shard-%u: %s", options->number, strerror(errno));
    shard->base = base;
    shard->header = base;
    size_set(shard->header, file_bytes);
    if (!resize(shard, options))
        return tkr_message_set(ret_message, "cannot enlarge shard-%u: %s", options->number, strerror(errno));
    shard->undo = (struct tkr_undo *)(shard->base + shard->header->undo_offset);
    shard->cursor = (struct tkr_cursor *)(shard->base + shard->header->cursors_offset);
    shard->arena = shard->base + shard->header->arena_offset;
    if (!recover(shard))
        return tkr_message_set(ret_message, "shard-%u is damaged: its undo log leads nowhere", options->number);
    show_entries(shard); /* a death may have come between a commit and this */
    if (!tkr_random(&shard->seed, sizeof(shard->seed)) || !open_lists(shard))
        return tkr_message_set(ret_message, "no memory for shard-%u", options->number);
    return 0;
}

int tkr_shard_open(int directory, const struct tkr_shard_options *options, struct tkr_shard **ret_shard,
                   tkr_message *ret_message)
{
    struct tkr_shard *shard = calloc(1, sizeof(*shard));
    struct stat status;
    int found;

    if (shard == NULL)
        return tkr_message_set(ret_message, "no memory for shard-%u", options->number);
    shard->fd = -1;
    found = open_file(directory, options->number, &shard->fd, &status, ret_message);
    if (found == 0 && make(directory, options, ret_message) == 0) {
        found = open_file(directory, options->number, &shard->fd, &status, ret_message);
        if (found == 0)
            (void)tkr_message_set(ret_message, "shard-%u vanished while it was made", options->number);
    }
    if (found != 1 || map(shard, options, (uint64_t)status.st_size, ret_message) != 0) {
        tkr_shard_close(shard);
        return -1;
    }
    *ret_shard = shard;
    return 0;
}

void tkr_shard_close(struct tkr_shard *shard)
{
    if (shard == NULL)
        return;
    tkr_index_close(&shard->index);
    free(shard->lists[0].reference);
    free(shard->lists[1].reference);
    for (uint32_t units = 0; units <= TKR_ENTRY_UNITS_MAX; units++)
        free(shard->unused[units].reference);
    if (shard->header != NULL)
        (void)munmap(shard->base, shard->header->bytes);
    if (shard->fd >= 0)
        (void)close(shard->fd);
    free(shard);
}

/* --- batches --- */

bool tkr_batch_begin(struct tkr_shard *shard)
{
    if (!tkr_entries_reserve(shard, TKR_BATCH_CHARGES_MAX))
        return false;
    shard->batch++;
    tkr_undo_begin(shard->undo, shard->batch);
    return true;
}

struct tkr_law *tkr_batch_law(struct tkr_shard *shard)
{
    tkr_batch_touch(shard, &shard->header->law, sizeof(shard->header->law));
    return &shard->header->law;
}

void tkr_batch_commit(struct tkr_shard *shard)
{
    TKR_CRASH(BATCH_APPLIED);
    /* Every change of the batch before it; pairs with a reader's acquire of committed (P2). */
    atomic_store_explicit(&shard->header->committed, shard->batch, memory_order_release);
    TKR_CRASH(BATCH_COMMITTED);
    show_entries(shard);
}

/* --- cursors --- */

uint32_t tkr_shard_cursor_count(const struct tkr_shard *shard)
{
    return (uint32_t)atomic_load_explicit(&shard->header->cursors_used, memory_order_relaxed); /* the worker's own */
}

struct tkr_cursor *tkr_shard_cursor_unused(struct tkr_shard *shard)
{
    uint32_t count = tkr_shard_cursor_count(shard);

    for (uint32_t i = 0; i < count; i++) {
        if (atomic_load_explicit(&shard->cursor[i].state, memory_order_relaxed) == TKR_CURSOR_FREE)
            return &shard->cursor[i];
    }
    if (count == shard->header->regions_max ||
        allocate(shard->fd, shard->header->cursors_offset + count * sizeof(struct tkr_cursor), sizeof(struct tkr_cursor)) != 0)
        return NULL;
    atomic_store_explicit(&shard->header->cursors_used, count + UINT64_C(1), memory_order_release); /* memory before it */
    return &shard->cursor[count];
}

/* --- changed entries --- */

void tkr_shard_changed_ask(struct tkr_shard *shard)
{
    atomic_store_explicit(&shard->asked, true, memory_order_release);
}

bool tkr_shard_changed_answered(const struct tkr_shard *shard)
{
    return !atomic_load_explicit(&shard->asked, memory_order_acquire); /* the list is offered before */
}

void tkr_shard_changed_answer(struct tkr_shard *shard)
{
    struct tkr_changed *next;

    if (!atomic_load_explicit(&shard->asked, memory_order_acquire)) /* requests are written before */
        return;
    tkr_entries_serve_requests(shard);
    next = shard->changed->count > 0 ? atomic_exchange_explicit(&shard->from_flusher, NULL, memory_order_acquire) : NULL;
    if (next != NULL) { /* NULL: nothing changed, or the last list is still out */
        atomic_store_explicit(&shard->to_flusher, shard->changed, memory_order_release);
        shard->changed = next;
        shard->handed_over = shard->batch;
    }
    atomic_store_explicit(&shard->asked, false, memory_order_release); /* after the list is offered */
}

struct tkr_changed *tkr_shard_changed_take(struct tkr_shard *shard)
{
    return atomic_exchange_explicit(&shard->to_flusher, NULL, memory_order_acquire);
}

void tkr_shard_changed_return(struct tkr_shard *shard, struct tkr_changed *list)
{
    list->count = 0;
    atomic_store_explicit(&shard->from_flusher, list, memory_order_release); /* emptied before it is given back */
}
