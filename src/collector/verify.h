/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verification: compares every contribution in the shards with the record that the sink has of it, by the same conditional
 * script that flushes, asked to add nothing. It proves records, not counters: resets and other writers are legitimate.
 *
 * A record that the sink had acknowledged and has no more is looked at with the account's total and the records of all others:
 * does the total have what it stood for? Only where that is known, or was chosen, is it repaired (sink/repair.h); nothing is
 * added twice.
 *
 * May run beside a collector: what that flushes meanwhile is no difference, and a repair that comes in its way finds or is
 * found, as the protocol has it. What was never acknowledged is left to it: it would not know that somebody sent it, should the
 * record be deleted before it comes to it.
 */
#ifndef TKR_COLLECTOR_VERIFY_H
#define TKR_COLLECTOR_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "sink/repair.h"
#include "sink/sink.h"

/* Called once a missing record, with what is known of it; repaired: it was, and the sink has all of it. */
typedef void tkr_verify_tell(const struct tkr_repair *missing, bool repaired, void *arg);

struct tkr_verify_options {
    const char *runtime_dir;       /* NULL: the default */
    struct tkr_usage_query query;  /* which accounts, and their models; by_model is not looked at */
    bool repair;                   /* repair what is missing; send what is unflushed, unless a collector runs here, which does */
    enum tkr_repair_choice choice; /* for what cannot be known */
    tkr_verify_tell *tell;         /* NULL: nobody */
    void *arg;
};

struct tkr_verify_report {
    uint32_t shards;
    uint64_t accounts;  /* accounts and cycles, and models of them, looked at */
    uint64_t agree;     /* the sink has what is counted */
    uint64_t unflushed; /* the sink has less, or nothing yet: it is on its way */
    uint64_t missing;   /* the sink had acknowledged a record and has none, or less of it */
    uint64_t undecided; /* of them, it cannot be known whether the total is missing, too, or it cannot be read */
    uint64_t forgotten; /* the sink had a record, and somebody had the account forgotten since: not to be repaired */
    uint64_t ahead;     /* the sink has a newer life, or more than was ever counted here */
    uint64_t poison;    /* the account cannot be written as it is */
    uint64_t repaired;  /* of unflushed and missing, the sink has all of it now */
    uint64_t left;      /* of missing, not repaired */
};

/*
 * Reads the shards in the runtime directory and asks the sink; repairs if it is to. 0 with the report, or -1 with the reason: no
 * shards, or the sink failed.
 */
int tkr_verify(const struct tkr_verify_options *options, const struct tkr_sink_config *config,
               struct tkr_verify_report *ret_report, tkr_message *ret_message);

#endif
