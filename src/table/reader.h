/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a shard that a worker may be changing, in this process or another: no lock, no disturbance, and never a state that a
 * recovery could take back (table/layout.h, P1 and P2).
 */
#ifndef TKR_TABLE_READER_H
#define TKR_TABLE_READER_H

#include <stdbool.h>

#include "base/settings.h"
#include "table/layout.h"

/* An (account, cycle), or a model of it, as it was in some committed state. */
struct tkr_entry_copy {
    uint64_t kind;
    uint64_t life;
    uint32_t cycle;
    uint32_t id_len;
    uint32_t model_len;            /* 0: the account's own entry */
    char id[TKR_ENTRY_ID_MAX + 1]; /* with a NUL behind it, as the model */
    char model[TKR_ENTRY_LABEL_MAX + 1];
    uint64_t stamp; /* the batch that touched it last */
    tkr_counts counts;
    uint64_t known_life; /* what the sink is believed to have; 0: nothing */
    tkr_counts known;
};

/*
 * Copies a stamped object of bytes (a multiple of 8), stamp included, in a committed state. What the batch under way has
 * touched, or one that its writer's death left unfinished, is read as it was before, out of the undo log. false: the object
 * changed hands under every one of many tries, for about a hundred milliseconds, or was never committed, which shows at once.
 */
bool tkr_stamped_copy(const struct tkr_shard_header *header, const void *object, size_t bytes, void *ret_bytes);

/* Copies an entry; a life of 0 says that it is forgotten. false: as above, or the entry is of no committed batch. */
bool tkr_entry_copy_read(const struct tkr_shard_header *header, const struct tkr_entry *entry, struct tkr_entry_copy *ret_copy);

/* What is counted and, as far as known, not in the sink yet: never negative. */
void tkr_entry_copy_unflushed(const struct tkr_entry_copy *copy, tkr_counts *ret_counts);

/* A shard's file opened for reading. */
struct tkr_reader;

/*
 * Opens the file "shard-N" of the collector's directory ("collector" in the runtime directory) read-only.
 * 1: opened; 0: there is no such shard; -1 with the reason: it may not be read, or is of another boot or layout.
 */
int tkr_reader_open(int collector_directory, uint32_t number, struct tkr_reader **ret_reader, tkr_message *ret_message);

void tkr_reader_close(struct tkr_reader *reader);

const struct tkr_shard_header *tkr_reader_header(const struct tkr_reader *reader);

/* The law's numbers of the shard in a committed state. false: as tkr_stamped_copy. */
bool tkr_reader_law(const struct tkr_reader *reader, struct tkr_law *ret_law);

/* The next entry, from the first after opening or tkr_reader_rewind; those that cannot be read are left out. false: end. */
bool tkr_reader_next(struct tkr_reader *reader, struct tkr_entry_copy *ret_copy);

/*
 * The next place of an entry, forgotten ones too, in the same walk. Places neither move nor change their order (table/layout.h, I5):
 * the n-th is the same memory in each walk, and who remembers its stamp knows without a copy whether it has changed since (I1).
 * NULL: end.
 */
const struct tkr_entry *tkr_reader_step(struct tkr_reader *reader);
void tkr_reader_rewind(struct tkr_reader *reader);

/* Cursor number i of header->regions_max; NULL: its memory was never used. Read it with tkr_stamped_copy. */
const struct tkr_cursor *tkr_reader_cursor(const struct tkr_reader *reader, uint32_t i);

#endif
