/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verification: compares every contribution in the shards with the record that the sink has of it, by the same conditional
 * script that flushes, asked to add nothing. It proves records, not counters: resets and other writers are legitimate.
 *
 * May run beside a collector: what that flushes meanwhile is no difference, and a repair that comes in its way finds or is
 * found, as the protocol has it.
 */
#ifndef TKR_COLLECTOR_VERIFY_H
#define TKR_COLLECTOR_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "sink/sink.h"

struct tkr_verify_report {
    uint32_t shards;
    uint64_t accounts;  /* accounts and cycles, and models of them, looked at */
    uint64_t agree;     /* the sink has what is counted */
    uint64_t unflushed; /* the sink has less, or nothing yet: it is on its way */
    uint64_t missing;   /* the sink had acknowledged a record and has none, or less of it */
    uint64_t forgotten; /* the sink had a record, and somebody had the account forgotten since: not to be repaired */
    uint64_t ahead;     /* the sink has a newer life, or more than was ever counted here */
    uint64_t poison;    /* the account cannot be written as it is */
    uint64_t repaired;  /* of unflushed and missing, sent again */
};

/*
 * Reads the shards in the runtime directory (NULL: the default) and asks the sink. With repair set, sends what is unflushed or
 * missing. 0 with the report, or -1 with the reason: no shards, or the sink failed.
 */
int tkr_verify(const char *runtime_dir, const struct tkr_sink_config *config, bool repair, struct tkr_verify_report *ret_report,
               tkr_message *ret_message);

#endif
