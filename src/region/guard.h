/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access to mapped files that somebody else may truncate: a fault is an answer, not a signal. For the collector and the
 * tools, which own their process' signals; never for the producer library.
 *
 * Threads: any, each for itself. The handler jumps only when it interrupted one of the functions below on its own thread;
 * any other SIGBUS ends the process as if there were no handler.
 */
#ifndef TKR_REGION_GUARD_H
#define TKR_REGION_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Installs the SIGBUS handler; once per process, before the functions below. false: the kernel refused. */
bool tkr_guard_install(void);

/* Copies count bytes. false: a page is gone; the destination is then undefined. */
bool tkr_guarded_copy(void *ret_bytes, const void *mapped, size_t count);

/* One acquire load. */
bool tkr_guarded_load(const _Atomic uint64_t *mapped, uint64_t *ret_value);

/* One release store. */
bool tkr_guarded_store(_Atomic uint64_t *mapped, uint64_t value);

/* Calls a function that touches such memory, holds no lock and calls none of these. false: it was left where it faulted. */
bool tkr_guarded_call(void (*call)(void *argument), void *argument);

/*
 * Runs what may touch such memory anywhere, and may call all of the above, but not itself. false: it was left where it faulted,
 * and what it had then, memory, descriptors and mappings, is lost: for programs that look, say so, and end.
 */
bool tkr_guarded_run(void (*run)(void *argument), void *argument);

#endif
