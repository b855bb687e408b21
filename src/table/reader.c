/* SPDX-License-Identifier: Apache-2.0 */
#include "table/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "table/undo.h"

#define TRIES_BUSY 1000
#define TRIES 2000
#define PAUSE_NS 100000

struct tkr_reader {
    const unsigned char *base;
    const struct tkr_shard_header *header;
    uint64_t bytes;
    uint64_t at; /* next entry, offset in the arena */
};

/* What an object was before the batch under way, or before one that a death has left unfinished (I4). */
static bool copy_logged(const struct tkr_shard_header *header, const _Atomic uint64_t *object, size_t words, uint64_t *ret_words)
{
    const unsigned char *base = (const unsigned char *)header;
    const struct tkr_undo *undo = (const struct tkr_undo *)(base + header->undo_offset);

    return tkr_undo_read(undo, header->undo_bytes, &header->committed, (uint64_t)((const unsigned char *)object - base),
                         words * sizeof(*ret_words), ret_words);
}

/* What a try met. */
struct meeting {
    uint64_t committed;
    uint64_t batch; /* of the log */
    uint64_t stamp; /* the object's own, which the copy's is older than when the log has it */
};

/* One attempt at a consistent copy. */
static bool try_copy(const struct tkr_shard_header *header, const _Atomic uint64_t *object, size_t words, uint64_t *ret_words,
                     struct meeting *ret_met)
{
    const struct tkr_undo *undo = (const struct tkr_undo *)((const unsigned char *)header + header->undo_offset);

    ret_met->committed = atomic_load_explicit(&header->committed, memory_order_acquire); /* before all else (P2) */
    ret_met->stamp = atomic_load_explicit(&object[0], memory_order_acquire);
    if (ret_met->stamp > ret_met->committed) {
        ret_met->batch = atomic_load_explicit(&undo->batch, memory_order_acquire);
        return copy_logged(header, object, words, ret_words);
    }
    ret_met->batch = 0;
    ret_words[0] = ret_met->stamp;
    for (size_t i = 1; i < words; i++)
        ret_words[i] = atomic_load_explicit(&object[i], memory_order_acquire); /* before the stamp is read again (P1) */
    return atomic_load_explicit(&object[0], memory_order_relaxed) == ret_met->stamp;
}

/*
 * Is it worth another try, after so many? Not when two in a row met the same. Then the writer, who may be dead, did nothing
 * between them, and what a batch has stamped is in the log before it is stamped (I4): the object is of no committed batch, which no
 * kill leaves.
 */
static bool try_again(int tries, const struct meeting *met, struct meeting *last)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    bool same = tries > 0 && memcmp(met, last, sizeof(*met)) == 0;

    *last = *met;
    if (same || tries + 1 >= TRIES)
        return false;
    if (tries >= TRIES_BUSY)
        (void)nanosleep(&pause, NULL);
    return true;
}

bool tkr_stamped_copy(const struct tkr_shard_header *header, const void *object, size_t bytes, void *ret_bytes)
{
    struct meeting met;
    struct meeting last;
    int tries = 0;

    do {
        if (try_copy(header, object, bytes / sizeof(uint64_t), ret_bytes, &met))
            return true;
    } while (try_again(tries++, &met, &last));
    return false;
}

static bool try_known(const struct tkr_entry *entry, struct tkr_entry_copy *ret_copy)
{
    uint16_t sequence = atomic_load_explicit(&entry->known_sequence, memory_order_acquire);

    ret_copy->known_life = atomic_load_explicit(&entry->known_life, memory_order_acquire);
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        ret_copy->known.value[i] = atomic_load_explicit(&entry->known[i], memory_order_acquire);
    return sequence % 2 == 0 && atomic_load_explicit(&entry->known_sequence, memory_order_relaxed) == sequence;
}

/* What follows the words under the log: of one moment only if the stamp is the same before and after. */
static void copy_key(const struct tkr_entry *entry, struct tkr_entry_copy *ret_copy)
{
    const _Atomic uint64_t *word = (const _Atomic uint64_t *)entry->id;
    struct tkr_entry_shape shape = tkr_entry_shape_unpack(atomic_load_explicit(&entry->shape, memory_order_acquire));
    uint32_t label_len = tkr_entry_word_label_len(shape.cycle);
    char text[TKR_ENTRY_ID_MAX + TKR_ENTRY_LABEL_MAX + sizeof(*word)]; /* has room for whole words */

    if (label_len > TKR_ENTRY_LABEL_MAX)
        label_len = TKR_ENTRY_LABEL_MAX; /* damaged */
    for (uint32_t at = 0; at < shape.id_len + label_len; at += sizeof(*word), word++) {
        uint64_t value = atomic_load_explicit(word, memory_order_acquire);
        memcpy(text + at, &value, sizeof(value));
    }
    ret_copy->kind = atomic_load_explicit(&entry->kind, memory_order_acquire);
    ret_copy->cycle = tkr_entry_word_cycle(shape.cycle);
    ret_copy->id_len = shape.id_len;
    ret_copy->model_len = label_len;
    memcpy(ret_copy->id, text, shape.id_len);
    memcpy(ret_copy->model, text + shape.id_len, label_len);
    ret_copy->id[shape.id_len] = ret_copy->model[label_len] = '\0';
}

static bool try_entry(const struct tkr_shard_header *header, const struct tkr_entry *entry, struct tkr_entry_copy *ret_copy,
                      struct meeting *ret_met)
{
    uint64_t words[TKR_ENTRY_UNDO_BYTES / sizeof(uint64_t)];

    if (!try_copy(header, (const _Atomic uint64_t *)entry, sizeof(words) / sizeof(words[0]), words, ret_met))
        return false;
    copy_key(entry, ret_copy);
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        ret_copy->counts.value[i] = (int64_t)words[i + 1];
    ret_copy->life = words[TKR_COUNTER_COUNT + 1];
    ret_copy->stamp = words[0];
    /* All loads before are acquire (P1). The key of an entry that lives does not change within a batch either (I5). */
    return atomic_load_explicit(&entry->stamp, memory_order_relaxed) == ret_met->stamp;
}

bool tkr_entry_copy_read(const struct tkr_shard_header *header, const struct tkr_entry *entry, struct tkr_entry_copy *ret_copy)
{
    struct meeting met;
    struct meeting last;
    int known = 0;
    int tries = 0;

    while (!try_known(entry, ret_copy) && ++known < TRIES_BUSY)
        continue; /* its writer died in between: a hint, taken as it is */
    do {
        if (try_entry(header, entry, ret_copy, &met))
            return true;
    } while (try_again(tries++, &met, &last));
    return false;
}

void tkr_entry_copy_unflushed(const struct tkr_entry_copy *copy, tkr_counts *ret_counts)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        int64_t known =
            copy->known_life == copy->life && copy->known.value[i] > 0 ? copy->known.value[i] : 0; /* below: damaged */
        ret_counts->value[i] = copy->counts.value[i] > known ? copy->counts.value[i] - known : 0;
    }
}

/* --- a shard's file --- */

static int check(const struct tkr_shard_header *header, uint64_t bytes, uint32_t number, tkr_message *ret_message)
{
    uint8_t boot_id[TKR_BOOT_ID_BYTES];

    if (header->magic != TKR_SHARD_MAGIC)
        return tkr_message_set(ret_message, "shard-%u is no shard", number);
    if (header->major != TKR_SHARD_MAJOR || header->counters != TKR_COUNTER_COUNT)
        return tkr_message_set(ret_message, "shard-%u has layout %u.%u with %u counters; this version reads %u.x with %d", number,
                               header->major, header->minor, header->counters, TKR_SHARD_MAJOR, (int)TKR_COUNTER_COUNT);
    if (!tkr_boot_id(boot_id) || memcmp(boot_id, header->boot_id, sizeof(boot_id)) != 0)
        return tkr_message_set(ret_message, "shard-%u is of another boot", number);
    if (header->undo_offset < TKR_SHARD_HEADER_BYTES || header->undo_offset % sizeof(uint64_t) != 0 ||
        header->undo_offset > header->cursors_offset || header->undo_bytes > header->cursors_offset - header->undo_offset ||
        header->cursors_offset % sizeof(uint64_t) != 0 || header->arena_offset % TKR_ENTRY_UNIT != 0 ||
        header->undo_bytes < sizeof(struct tkr_undo) || header->arena_offset > bytes ||
        header->regions_max > TKR_SHARD_REGIONS_MAX || header->cursors_offset > header->arena_offset ||
        header->arena_offset - header->cursors_offset < header->regions_max * (uint64_t)sizeof(struct tkr_cursor))
        return tkr_message_set(ret_message, "shard-%u has an impossible geometry", number);
    return 0;
}

int tkr_reader_open(int collector_directory, uint32_t number, struct tkr_reader **ret_reader, tkr_message *ret_message)
{
    struct tkr_reader *reader;
    struct stat status;
    char name[32];
    void *base;
    int fd;

    (void)snprintf(name, sizeof(name), "shard-%u", number);
    fd = openat(collector_directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        (void)tkr_message_set(ret_message, "%s cannot be opened: %s", name, fd < 0 ? strerror(errno) : "it is no file");
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    base = status.st_size < (off_t)TKR_SHARD_HEADER_BYTES ? MAP_FAILED
                                                          : mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (base == MAP_FAILED)
        return tkr_message_set(ret_message, "%s is too short or cannot be mapped", name);
    reader = calloc(1, sizeof(*reader));
    if (reader == NULL || check(base, (uint64_t)status.st_size, number, ret_message) != 0) {
        if (reader == NULL)
            (void)tkr_message_set(ret_message, "no memory for %s", name);
        (void)munmap(base, (size_t)status.st_size);
        free(reader);
        return -1;
    }
    reader->base = base;
    reader->header = base;
    reader->bytes = (uint64_t)status.st_size;
    *ret_reader = reader;
    return 1;
}

void tkr_reader_close(struct tkr_reader *reader)
{
    if (reader == NULL)
        return;
    (void)munmap((void *)(uintptr_t)reader->base, reader->bytes);
    free(reader);
}

const struct tkr_shard_header *tkr_reader_header(const struct tkr_reader *reader)
{
    return reader->header;
}

bool tkr_reader_law(const struct tkr_reader *reader, struct tkr_law *ret_law)
{
    return tkr_stamped_copy(reader->header, &reader->header->law, sizeof(*ret_law), ret_law);
}

const struct tkr_entry *tkr_reader_step(struct tkr_reader *reader)
{
    uint64_t used = atomic_load_explicit(&reader->header->arena_committed, memory_order_acquire); /* I5 */
    const struct tkr_entry *entry;
    uint64_t bytes;

    if (used > reader->bytes - reader->header->arena_offset) /* made larger since; what is new is for the next reader */
        used = reader->bytes - reader->header->arena_offset;
    if (reader->at >= used || used - reader->at < sizeof(*entry))
        return NULL;
    entry = (const struct tkr_entry *)(reader->base + reader->header->arena_offset + reader->at);
    bytes = tkr_entry_size(entry);
    if (bytes == 0 || bytes > used - reader->at)
        return NULL; /* damaged: no kill leaves this */
    reader->at += bytes;
    return entry;
}

bool tkr_reader_next(struct tkr_reader *reader, struct tkr_entry_copy *ret_copy)
{
    const struct tkr_entry *entry;

    while ((entry = tkr_reader_step(reader)) != NULL) {
        if (tkr_entry_copy_read(reader->header, entry, ret_copy) && ret_copy->life != 0)
            return true;
    }
    return false;
}

void tkr_reader_rewind(struct tkr_reader *reader)
{
    reader->at = 0;
}

const struct tkr_cursor *tkr_reader_cursor(const struct tkr_reader *reader, uint32_t i)
{
    if (i >= atomic_load_explicit(&reader->header->cursors_used, memory_order_acquire) || i >= reader->header->regions_max)
        return NULL;
    return (const struct tkr_cursor *)(reader->base + reader->header->cursors_offset) + i;
}
