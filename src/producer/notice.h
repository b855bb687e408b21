/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices: what a handler has to tell the collector, which counts and logs it. They go through the calling thread's lane; where
 * there is no room for one it is not told, and nothing waits or grows for it: the handler has its own numbers.
 */
#ifndef TKR_PRODUCER_NOTICE_H
#define TKR_PRODUCER_NOTICE_H

#include <stdbool.h>

#include "event/frame.h"

struct tkr_notice_told {
    enum tkr_notice what;
    const char *type;           /* of the handler, ended by NUL, at most TKR_MODEL_BYTES_MAX bytes */
    const tkr_account *account; /* that it is about; checked here: without a good one nothing is told */
    int64_t figure;             /* how many, or what was answered; 0..TKR_TOKENS_MAX */
    int64_t duration_ns;        /* 0: none */
};

/* producer may be NULL. true: it is on its way. Threads: any. Progress: as tkr_record, but no lane grows. */
bool tkr_producer_notice(tkr_producer *producer, const struct tkr_notice_told *told);

#endif
