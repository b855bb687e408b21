/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The undo log: old values of stamped objects, over borrowed memory. See table/layout.h for the invariants.
 *
 *   begin(b)   used = 0, then batch = b. The other order would let a kill in between put back what batch b - 1 replaced.
 *   touch      record written, then used, then the object's stamp, then its contents.
 *   commit     not here: one store of `committed` by the owner.
 *   read       a reader takes the old value of what the batch under way has stamped: it need not wait for its writer.
 *   roll back  for each record: contents from the end to the front, the stamp (the recovery's own number) before them, so
 *              that a reader never takes half of it; may be repeated from the start any number of times.
 *
 * A record: { 8: offset of the object in the file, 8: its bytes, a multiple of 8, then these }.
 */
#ifndef TKR_TABLE_UNDO_H
#define TKR_TABLE_UNDO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tkr_undo {
    _Atomic uint64_t batch; /* whose old values these are */
    _Atomic uint64_t used;  /* bytes of records */
    uint64_t reserved[6];
    unsigned char records[];
};

/* Opens the log for a batch; its number is higher than any before. */
void tkr_undo_begin(struct tkr_undo *undo, uint64_t batch);

/* Saves an object of bytes (a multiple of 8) at base + offset, stamp included, if the current batch has not yet; stamps it.
 * The caller has made sure of room. */
static inline void tkr_undo_touch(struct tkr_undo *undo, unsigned char *base, uint64_t offset, size_t bytes, uint64_t batch);

/* Most bytes that one touch of an object of this size takes. */
#define TKR_UNDO_RECORD_BYTES(object_bytes) (16 + (object_bytes))

/*
 * Puts back what the log holds, stamping the objects with stamp. false: a record leads out of the file or the log
 * (damage that no kill leaves); what was put back until then stays.
 */
bool tkr_undo_roll_back(const struct tkr_undo *undo, uint64_t undo_bytes, unsigned char *base, uint64_t file_bytes,
                        uint64_t stamp);

/*
 * Copies what an object at offset was before the batch under way, up to bytes of it (a multiple of 8), stamp included. For
 * readers, beside a writer that may go on. false: the log does not have it, or the batch is over by now.
 */
bool tkr_undo_read(const struct tkr_undo *undo, uint64_t undo_bytes, const _Atomic uint64_t *committed, uint64_t offset,
                   size_t bytes, uint64_t *ret_words);

void tkr_undo_save(struct tkr_undo *undo, const unsigned char *base, uint64_t offset, size_t bytes);

static inline void tkr_undo_touch(struct tkr_undo *undo, unsigned char *base, uint64_t offset, size_t bytes, uint64_t batch)
{
    _Atomic uint64_t *stamp = (_Atomic uint64_t *)(base + offset);

    if (atomic_load_explicit(stamp, memory_order_relaxed) == batch)
        return;
    tkr_undo_save(undo, base, offset, bytes);
    /* The old value is in the log before the stamp says so (a kill), the stamp is there before the contents change: those
     * are release stores (layout.h, P1). */
    atomic_store_explicit(stamp, batch, memory_order_release);
}

#endif
