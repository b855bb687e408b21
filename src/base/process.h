/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which process this is, whatever made it. A fork copies memory, but no threads: a lock that another thread held stays held in
 * the child, a queue has nobody who empties it, a connection is shared. So what belongs to one process (a thread, its queue, a
 * connection) is kept together with the generation of the process that made it; a child finds another generation, leaves what it
 * inherited alone and makes its own.
 *
 *   page, zeroed by the kernel in every child (MADV_WIPEONFORK):  generation, mutex
 *   ordinary memory, inherited:                                  the last generation that was given
 *
 * Invariants
 *   I1  A generation is not 0, and above those of all ancestors: the first to ask in a process takes the one after the last
 *       given,
 *       which it inherited. Siblings may have the same: they share no memory.
 *   I2  It does not change within a process: it is set by one compare-and-swap from 0.
 *   I3  The mutex is unlocked when a child begins: zeros are an unlocked mutex.
 *
 * A bare clone(2), which runs no fork handlers, is seen too; getpid() is a system call, and a number that is used again. Each of
 * our two shared libraries has such a page of its own.
 */
#ifndef TKR_BASE_PROCESS_H
#define TKR_BASE_PROCESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct tkr_process {
    _Atomic uint64_t generation; /* 0: nobody has asked yet */
    pthread_mutex_t mutex;       /* for what is made once a process, and seldom */
};

extern struct tkr_process *tkr_process_page;

/* Maps the page, once. false: the kernel refuses it. Before all below, by whoever makes what belongs to a process. */
bool tkr_process_prepare(void);

uint64_t tkr_process_generation_take(void);

/* This process' generation. Threads: any; wait-free, no system call. */
static inline uint64_t tkr_process_generation(void)
{
    /* Relaxed: a number, by which nothing else is published. */
    uint64_t generation = atomic_load_explicit(&tkr_process_page->generation, memory_order_relaxed);

    return __builtin_expect(generation != 0, 1) ? generation : tkr_process_generation_take();
}

/* One lock for the process, free when a child begins. Not recursive; nothing that waits for others is done under it. */
void tkr_process_lock(void);
void tkr_process_unlock(void);

#endif
