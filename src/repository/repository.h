/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A repository: a sink that is asked by one thread at a time, and the sentence about the last failure, under a lock of its own so
 * that who asks for it does not wait for the sink. Increments touch neither: they go to the borrowed producer.
 *
 * Fork. Both, and the sink with its connection, are of one process, whose generation is beside them (base/process.h): a child
 * makes them anew at its first use, under the process' lock. What it inherited it does not use:
 *   - a connection to Redis that nobody was using is closed in the child as soon as it begins (its memory is in order, since the
 *     fork held the sink's lock); one that a thread was using is left, an open descriptor, since its memory may be half changed;
 *   - SQLite cannot be used in a child that began while a thread was inside of it. The ledger is open during a question only, so
 *     a fork waits for the question: some ten microseconds, at most SQLite's busy timeout.
 * A bare clone(2) runs no fork handlers: then the connection is left open, and the ledger must not be asked during it.
 */
#ifndef TKR_REPOSITORY_REPOSITORY_H
#define TKR_REPOSITORY_REPOSITORY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/cycle.h"
#include "sink/sink.h"
#include "tokenring/repository.h"

#define TKR_REPOSITORY_STRUCT_BYTES_MAX 4096 /* of a structure that a later version has */

struct tkr_repository {
    tkr_producer *producer;     /* borrowed; NULL: none */
    struct tkr_cycle_rule rule; /* of the default cycle */
    struct tkr_sink_config config;
    struct tkr_repository *next; /* of all that are open */
    bool held;                   /* the fork under way has the sink's lock; its own */
    _Atomic uint64_t generation; /* of the process whose the locks and what is under them are */
    pthread_mutex_t sink_lock;   /* over the one below, held while the sink is asked */
    tkr_sink *sink;              /* NULL: not opened yet */
    tkr_sink *inherited;         /* that the parent was using: left alone, kept in sight of leak checkers */
    pthread_mutex_t error_lock;  /* over the one below; never held while something else is waited for */
    tkr_message error;
};

/* A question to the sink. 0 or above: done; -1 with the reason. */
typedef int tkr_repository_task(tkr_sink *sink, void *arg, tkr_message *ret_message);

/* Asks, with the sink locked. TKR_OK or TKR_ESINK, the reason being kept. */
int tkr_repository_ask(tkr_repository *repository, tkr_repository_task *task, void *arg);

/* May a caller's structure, which it says to be so many bytes, be filled in or read? needed: bytes of the first version. */
int tkr_repository_check_size(uint32_t size, size_t needed);

/* Takes an account and a cycle (0: the default one of now) over into a row. TKR_OK, TKR_EINVAL, TKR_EACCOUNT, TKR_EKIND, TKR_ECYCLE. */
int tkr_repository_row(const tkr_repository *repository, const tkr_account *account, uint32_t cycle,
                       struct tkr_usage_row *ret_row);

#endif
