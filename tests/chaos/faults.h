/* SPDX-License-Identifier: Apache-2.0 */
/* What can go wrong: one list of kinds, and one function that does one of them. */
#ifndef TESTS_CHAOS_FAULTS_H
#define TESTS_CHAOS_FAULTS_H

#include "chaos/world.h"
#include "support/random.h"

/* FAULT(name, weight): how often it is chosen, in comparison with the others. */
#define FAULT_LIST(FAULT)      \
    FAULT(kill_gateway, 14)    \
    FAULT(kill_collector, 12)  \
    FAULT(stop_collector, 6)   \
    FAULT(change_workers, 5)   \
    FAULT(kill_redis, 6)       \
    FAULT(stop_redis, 6)       \
    FAULT(tear_aof, 5)         \
    FAULT(rewrite_aof, 2)      \
    FAULT(restore_rdb, 4)      \
    FAULT(flush_all, 3)        \
    FAULT(promote_replica, 6)  \
    FAULT(kill_replica, 2)     \
    FAULT(hold_replication, 4) \
    FAULT(cut_replication, 2)  \
    FAULT(reset_account, 6)    \
    FAULT(forget_scripts, 1)   \
    FAULT(cut_request, 7)      \
    FAULT(cut_reply, 7)        \
    FAULT(cut_late, 7)         \
    FAULT(hold_request, 5)     \
    FAULT(hold_reply, 5)       \
    FAULT(delay, 4)            \
    FAULT(refuse, 2)           \
    FAULT(fill_tmpfs, 8)       \
    FAULT(silence_names, 5)    \
    FAULT(step_clock, 6)       \
    FAULT(delete_record, 8)

#define FAULT_ENUM(name, weight) FAULT_##name,
enum fault { FAULT_LIST(FAULT_ENUM) FAULT_KINDS };
#undef FAULT_ENUM

#define FAULT_DETAIL_BYTES 160

struct faults {
    struct world *world;
    struct test_random random;
    bool allowed[FAULT_KINDS];
    int rest_ms; /* out: no other fault for so long */
    uint64_t count[FAULT_KINDS];
};

const char *fault_name(enum fault fault);

/* The kind with that name, or FAULT_KINDS. */
enum fault fault_find(const char *name);

/* Chooses one of the kinds that are allowed and possible at present, and does it. 0 with what it did, -1 when none is
 * possible. */
int faults_do(struct faults *faults, enum fault *ret_fault, char ret_detail[FAULT_DETAIL_BYTES]);

#endif
