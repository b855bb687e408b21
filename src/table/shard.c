/* SPDX-License-Identifier: Apache-2.0 */
/* A shard: opened, recovered, closed; its batches, its cursors, the lists of changed entries. */
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
#include "table/file.h"

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
    uint64_t bytes = header->arena_offset + tkr_shard_arena_bytes(options->accounts_max);
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

/* From now on the file has what this minor adds; that of a later one stays. */
static void raise_minor(struct tkr_shard_header *header, uint32_t minor)
{
    if (header->minor < minor)
        header->minor = minor;
}

static bool open_lists(struct tkr_shard *shard)
{
    shard->changed = &shard->lists[0];
    atomic_store_explicit(&shard->from_flusher, &shard->lists[1], memory_order_relaxed);
    /* Pages of it have memory only where an account has models. */
    shard->labels = calloc(shard->header->arena_bytes / TKR_ENTRY_UNIT + 1, sizeof(*shard->labels));
    return shard->labels != NULL && tkr_entries_index(shard);
}

static int map(struct tkr_shard *shard, const struct tkr_shard_options *options, uint64_t file_bytes, tkr_message *ret_message)
{
    void *base = mmap(NULL, file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, shard->fd, 0);
    enum tkr_recovery recovery;

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
    recovery = tkr_shard_file_recover(shard->header, &shard->batch);
    if (recovery == TKR_RECOVERY_DAMAGED)
        return tkr_message_set(ret_message, "shard-%u is damaged: its undo log leads nowhere", options->number);
    raise_minor(shard->header, TKR_SHARD_MINOR);
    shard->recovered = recovery == TKR_RECOVERY_DONE;
    show_entries(shard); /* a death may have come between a commit and this */
    if (!tkr_random(&shard->seed, sizeof(shard->seed)) || !open_lists(shard))
        return tkr_message_set(ret_message, "no memory for shard-%u", options->number);
    return 0;
}

int tkr_shard_open(int directory, const struct tkr_shard_options *options, struct tkr_shard **ret_shard, tkr_message *ret_message)
{
    struct tkr_shard *shard = calloc(1, sizeof(*shard));
    uint64_t bytes;

    if (shard == NULL)
        return tkr_message_set(ret_message, "no memory for shard-%u", options->number);
    shard->fd = -1;
    shard->models_max = options->models_max;
    if (tkr_shard_file_open(directory, options, &shard->fd, &bytes, ret_message) != 0 ||
        map(shard, options, bytes, ret_message) != 0) {
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
    free(shard->labels);
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

/* --- memory --- */

bool tkr_shard_short_of_memory(const struct tkr_shard *shard)
{
    return shard->memory_retry_ns != 0 && tkr_clock_monotonic_coarse_ns() < shard->memory_retry_ns;
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
        !tkr_shard_allocate(shard, shard->header->cursors_offset + count * sizeof(struct tkr_cursor), sizeof(struct tkr_cursor)))
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
