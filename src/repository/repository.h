/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A repository: a sink that is asked by one thread at a time, and the sentence about the last failure, under a lock of its own so
 * that who asks for it does not wait for the sink. Increments touch neither: they go to the borrowed producer.
 */
#ifndef TKR_REPOSITORY_REPOSITORY_H
#define TKR_REPOSITORY_REPOSITORY_H

#include <pthread.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cycle.h"
#include "sink/sink.h"
#include "tokenring/repository.h"

#define TKR_REPOSITORY_STRUCT_BYTES_MAX 4096 /* of a structure that a later version has */

struct tkr_repository {
    tkr_producer *producer;     /* borrowed; NULL: none */
    struct tkr_cycle_rule rule; /* of the default cycle */
    pthread_mutex_t sink_lock;  /* over the three below, held while the sink is asked */
    struct tkr_sink_config config;
    tkr_sink *sink;             /* NULL: not opened yet */
    pid_t pid;                  /* of the process that opened it: a child's questions do not go down its parent's connection */
    pthread_mutex_t error_lock; /* over the one below; never held while something else is waited for */
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
